"""Laws that a rating keeps whatever the data: every normalization with every aggregation."""

import json
import warnings
from itertools import product

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from partnerseg.features.build import build_features
from partnerseg.features.catalogue import list_counts
from partnerseg.rating.aggregation import AGGREGATIONS
from partnerseg.rating.errors import estimate_errors
from partnerseg.rating.rating import PartnerRating
from partnerseg.rating.scaling import NORMALIZATIONS, score_factors

# Ends stated for features with a natural scale, where the normalization has a use for them.
BOUNDS = {"review": [1.0, 5.0], "assessed_planning": [0.0, 100.0], "assessed_care": [0.0, 100.0]}
CALLS = [0.0, 10.0, 40.0]
UP = {"sales": 1, "return_rate": -1, "review": 1, "courses": 1, "assessed_planning": 1, "assessed_care": 1}
COLUMNS = [*UP, "calls"]
# Who assessed: a system today, a manager, the partner, long ago; nobody knows.
EVIDENCE = [1.0, 0.7, 0.4, 0.05, np.nan]
GROUP_WEIGHTS = (
    {"group": "influencer", "factor": "volume", "weight": 0.5},
    {"group": "influencer", "factor": "care", "weight": 6.0},
)


def make_features(n=80, seed=0, missing=0.15):
    rng = np.random.default_rng(seed)
    features = pd.DataFrame(
        {
            "sales": np.exp(rng.normal(8, 1.5, n)),
            "return_rate": rng.beta(1, 12, n),
            "review": rng.uniform(1, 5, n),
            "courses": rng.poisson(2, n).astype(float),
            "assessed_planning": rng.uniform(0, 100, n),
            "assessed_care": rng.uniform(0, 100, n),
            "calls": rng.gamma(2, 6, n),
        },
        index=pd.Index([f"P{place:04d}" for place in range(n)], name="partner_id"),
    )
    features = features.mask(rng.random(features.shape) < missing)
    features["partner_type"] = rng.choice(["reseller", "agent", "influencer"], n)
    for name in ("planning", "care"):
        features[f"evidence_{name}"] = rng.choice(EVIDENCE, n)
    return features


def make_table(how, units=None):
    """Seven features in five factors, two assessed; stated bounds in the units given (1 where none is)."""
    units = units or {}

    def bound(*features):
        stated = [[] if how in ("z", "rank") else BOUNDS.get(name, []) for name in features]
        return [[end * units.get(name, 1.0) for end in ends] for name, ends in zip(features, stated, strict=True)]

    quality = ["return_rate", "review", "assessed_care"]
    return (
        {"factor": "volume", "features": ["sales"], "weight": 4.0, "normalization": how},
        {
            "factor": "quality",
            "features": quality,
            "direction": ["down", "up", "up"],
            "bounds": bound(*quality),
            "weight": 3.0,
            "normalization": how,
        },
        {"factor": "training", "features": ["courses"], "weight": 2.0, "grade": "audit", "normalization": how},
        {
            "factor": "planning",
            "features": ["assessed_planning"],
            "bounds": bound("assessed_planning"),
            "grade": "manager",
            "weight": 2.0,
            "normalization": how,
        },
        {
            "factor": "care",
            "features": ["calls"],
            "direction": ["target"],
            "bounds": [[end * units.get("calls", 1.0) for end in CALLS]],
            "weight": 1.5,
        },
    )


def make_rating(how, aggregation, units=None):
    """Groups have their own weights under geometric and topsis, outliers are winsorized under penalty and topsis."""
    return PartnerRating(
        make_table(how, units),
        aggregation=aggregation,
        group_weights=GROUP_WEIGHTS if aggregation in ("geometric", "topsis") else (),
        outliers="winsorize" if aggregation in ("penalty", "topsis") else "none",
    )


FEATURES = make_features()
KINDS = list(product(NORMALIZATIONS, AGGREGATIONS))
FITTED = {kind: make_rating(*kind).fit(FEATURES) for kind in KINDS}
SCORES = {kind: rating.score(FEATURES) for kind, rating in FITTED.items()}
kinds = st.sampled_from(KINDS)
partners = st.sampled_from(list(FEATURES.index))
each = pytest.mark.parametrize("kind", KINDS, ids=["-".join(kind) for kind in KINDS])


def assert_same_bits(left, right):
    pd.testing.assert_frame_equal(left, right, check_exact=True)
    assert left["score"].to_numpy().tobytes() == right["score"].to_numpy().tobytes()


@each
@settings(max_examples=25)
@given(data=st.data())
def test_raising_a_feature_in_its_direction_never_lowers_score_or_rank(kind, data):
    rating, before = FITTED[kind], SCORES[kind]
    partner, feature = data.draw(partners), data.draw(st.sampled_from(COLUMNS))
    value = FEATURES.loc[partner, feature]
    if feature == "calls":
        raised = value + data.draw(st.floats(0, 1)) * (CALLS[1] - value)
    else:
        step = abs(value) * data.draw(st.floats(0, 10)) + data.draw(st.sampled_from([0.0, 1e-6, 1.0, 1e3, 1e9]))
        # Under `log` and `auto` no value of a feature fitted as never negative is ever negative.
        raised = max(value + UP[feature] * step, 0.0)
    changed = FEATURES.copy()
    changed.loc[partner, feature] = raised
    after = rating.score(changed)
    if pd.isna(before.loc[partner, "score"]):
        assert pd.isna(after.loc[partner, "score"])
    else:
        assert after.loc[partner, "score"] >= before.loc[partner, "score"] - 1e-9
        assert after.loc[partner, "rank"] <= before.loc[partner, "rank"]
    others = FEATURES.index != partner
    assert_same_bits(after.loc[others, ["score", "coverage"]], before.loc[others, ["score", "coverage"]])


def test_raising_is_no_idle_law():
    # Two standard deviations of sales, or a review of 5, do raise scores under each kind of rating.
    for kind, rating in FITTED.items():
        for feature, value in (("sales", np.exp(11)), ("review", 5.0), ("return_rate", 0.0), ("calls", 10.0)):
            better = rating.score(FEATURES.assign(**{feature: value}).where(FEATURES.notna()))["score"]
            assert (better - SCORES[kind]["score"]).max() > 1


@each
@settings(max_examples=5)
@given(units=st.fixed_dictionaries(dict.fromkeys(COLUMNS, st.sampled_from([1e-3, 0.01, 0.3, 1.0, 7.0, 1e2, 86400.0]))))
def test_units_do_not_matter(kind, units):
    converted = FEATURES.assign(**{name: FEATURES[name] * unit for name, unit in units.items()})
    score = make_rating(*kind, units).fit(converted).score(converted)
    np.testing.assert_allclose(score["score"], SCORES[kind]["score"], rtol=0, atol=1e-9)
    assert score["rank"].equals(SCORES[kind]["rank"])


@each
def test_dropping_any_partner_changes_no_other_score(kind):
    whole = SCORES[kind][["score", "coverage"]]
    for partner in FEATURES.index:
        rest = FITTED[kind].score(FEATURES.drop(partner))
        assert_same_bits(rest[["score", "coverage"]], whole.drop(partner))


@settings(max_examples=100)
@given(kinds, st.sets(partners, min_size=1))
def test_a_region_scores_as_in_the_whole(kind, chosen):
    rating, part = FITTED[kind], FEATURES.loc[sorted(chosen)]
    assert_same_bits(rating.score(part)[["score", "coverage"]], SCORES[kind].loc[part.index, ["score", "coverage"]])
    pd.testing.assert_frame_equal(
        rating.contributions(part), rating.contributions(FEATURES).loc[part.index], check_exact=True
    )


def test_single_rows_and_parts_of_all_sizes_score_as_in_the_whole():
    # Sizes around the widths of vector instructions and of numpy's blocks.
    features = make_features(n=5000, seed=3)
    rng = np.random.default_rng(0)
    for rating in FITTED.values():
        whole = rating.score(features)[["score", "coverage"]]
        for size in [1] * 10 + [2, 3, 7, 8, 9, 63, 64, 65, 1000, 4999]:
            part = features.iloc[rng.permutation(len(features))[:size]]
            assert_same_bits(rating.score(part)[["score", "coverage"]], whole.loc[part.index])


@settings(max_examples=100)
@given(kinds, st.lists(st.tuples(partners, st.sampled_from(COLUMNS)), max_size=60))
def test_a_missing_value_stays_where_it_is(kind, cells):
    rating, before = FITTED[kind], SCORES[kind]
    holes = FEATURES.copy()
    for partner, feature in cells:
        holes.loc[partner, feature] = np.nan
    after = rating.score(holes)
    untouched = ~FEATURES.index.isin([partner for partner, _ in cells])
    assert_same_bits(after.loc[untouched, ["score", "coverage"]], before.loc[untouched, ["score", "coverage"]])
    assert (after["coverage"] <= before["coverage"]).all()
    assert after["score"].notna().equals(after["coverage"] >= 0.4 - 1e-12)
    # Points of factors none of whose features was touched are the same to the last bit.
    points, known = score_factors(FEATURES, rating.scales_), score_factors(holes, rating.scales_)
    for factor, names in rating.factors_["features"].items():
        touched = FEATURES.index.isin([partner for partner, feature in cells if feature in names.split(", ")])
        assert points.loc[~touched, factor].equals(known.loc[~touched, factor])


@pytest.mark.filterwarnings("ignore:nobody is known")
@pytest.mark.parametrize("weighting", ["direct", "equal", "entropy", "critic", "pca"])
def test_a_column_full_of_gaps_spoils_no_weight(weighting):
    rng = np.random.default_rng(4)
    holes = FEATURES.assign(assessed_planning=np.nan)
    holes[COLUMNS] = holes[COLUMNS].mask(rng.random((len(holes), len(COLUMNS))) < 0.4)
    rating = PartnerRating(make_table("auto"), weighting=weighting).fit(holes)
    assert rating.factors_["weight"].notna().all()
    assert rating.factors_["weight"].sum() == pytest.approx(1)
    score = rating.score(holes)
    assert score["score"].notna().equals(score["coverage"] >= 0.4 - 1e-12)
    assert score["score"].notna().sum() > 20


@each
def test_contributions_sum_to_the_score(kind):
    parts = FITTED[kind].contributions(FEATURES)
    score = SCORES[kind]["score"]
    assert ("imbalance" in parts) == (kind[1] != "arithmetic")
    np.testing.assert_allclose(parts.sum(axis=1, min_count=1), score, rtol=0, atol=1e-9)
    assert parts[score.isna()].isna().all(axis=None)
    assert score.between(0, 100).sum() == score.notna().sum() > 60


def test_evidence_is_no_idle_law():
    # Of itself, and long ago: most scores differ from those where every assessment is a record of today.
    trusted = FEATURES.assign(evidence_planning=1.0, evidence_care=1.0)
    for kind, rating in FITTED.items():
        change = (rating.score(trusted) - SCORES[kind])[["score", "coverage"]]
        assert change["score"].abs().max() > 1
        assert (change["coverage"] >= 0).all()
        assert change["coverage"].max() > 0.1


@settings(max_examples=50)
@given(kinds, partners, st.floats(0, 1), st.floats(0, 1))
def test_better_evidence_never_lowers_coverage_and_moves_nobody_else(kind, partner, one, other):
    rating = FITTED[kind]
    low, high = (
        rating.score(FEATURES.assign(evidence_planning=FEATURES["evidence_planning"].where(others, told)))
        for others, told in ((FEATURES.index != partner, told) for told in sorted((one, other)))
    )
    assert low.loc[partner, "coverage"] <= high.loc[partner, "coverage"]
    rest = FEATURES.index != partner
    assert_same_bits(low.loc[rest, ["score", "coverage"]], high.loc[rest, ["score", "coverage"]])


@each
def test_order_of_rows_and_columns_does_not_matter(kind):
    rating = FITTED[kind]
    other = FEATURES.sample(frac=1, random_state=1)[list(FEATURES.columns[::-1])]
    assert_same_bits(rating.score(other).loc[FEATURES.index], SCORES[kind])
    # Fitted in another order, means may differ in the last bit.
    again = make_rating(*kind).fit(other).score(FEATURES)
    np.testing.assert_allclose(again["score"], SCORES[kind]["score"], rtol=0, atol=1e-9)
    assert again["rank"].equals(SCORES[kind]["rank"])


@each
def test_saved_and_loaded_it_scores_the_same_to_the_last_bit(kind, tmp_path):
    rating = FITTED[kind]
    rating.save(tmp_path / "rating.json")
    loaded = PartnerRating.load(tmp_path / "rating.json")
    assert_same_bits(loaded.score(FEATURES), SCORES[kind])
    for method in ("contributions", "rank_interval"):
        options = {"draws": 20} if method == "rank_interval" else {}
        pd.testing.assert_frame_equal(
            getattr(loaded, method)(FEATURES, **options), getattr(rating, method)(FEATURES, **options), check_exact=True
        )
    for name in ("factors_", "group_weights_", "distribution_", "reach_"):
        pd.testing.assert_frame_equal(getattr(loaded, name), getattr(rating, name), check_exact=True)
    assert loaded.tier_thresholds_.equals(rating.tier_thresholds_)
    assert repr(loaded.scales_) == repr(rating.scales_)
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "rating.json").read_bytes()
    assert json.loads((tmp_path / "rating.json").read_text(encoding="utf-8"))["format"] == "partnerseg rating 3"


# From events to the score, with the factors of the default parameters


def make_sales(rows):
    """Rows of (partner_id, sold_at, amount, country); a negative amount is a return."""
    frame = pd.DataFrame(rows, columns=["partner_id", "sold_at", "amount", "country"])
    return frame.assign(
        sale_id=[f"s{place}" for place in range(len(frame))],
        sold_at=pd.to_datetime(frame["sold_at"], format="ISO8601"),
        currency="EUR",
        is_return=frame["amount"] < 0,
    )


def make_history(rng, partner, spread=1.0, volume=1200.0, shape=None):
    """A sale two years ago and one in every month of a year, of the same sum whatever their spread."""
    shape = rng.dirichlet(np.ones(12)) if shape is None else shape
    amounts = volume * (1 / 12 + spread * (shape - 1 / 12))
    months = pd.period_range("2025-07", "2026-06", freq="M")
    rows = [(partner, "2024-01-15", 50.0, "DE")]
    return rows + [(partner, f"{month}-15", amount, "DE") for month, amount in zip(months, amounts, strict=True)]


def rate_events(rows, partners, pytestconfig):
    text = (pytestconfig.rootpath / "params" / "programme.yaml").read_text(encoding="utf-8")
    settings = yaml.safe_load(text)["rating"]
    tables = {"partners": pd.DataFrame(partners), "sales": make_sales(rows)}
    features = build_features(tables, "2026-06-30")
    # Most factors are unknown here; of the features known many are the same for all.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rating = PartnerRating(settings["factors"], min_coverage=0.0, evidence=settings["evidence"]).fit(features)
    return rating.score(features)["score"], score_factors(features, rating.scales_)


def test_more_volatile_sales_at_equal_volume_never_score_higher(pytestconfig):
    rng = np.random.default_rng(0)
    spreads = [0.0, 0.25, 0.5, 0.75, 1.0]
    rows = []
    for place in range(30):
        # No month at 0: a sale of nothing, or less by rounding, would be a return.
        shape = 0.01 / 12 + 0.99 * rng.dirichlet(np.full(12, rng.choice([0.2, 1.0, 5.0])))
        volume = np.exp(rng.normal(8, 1))
        for spread in spreads:
            rows += make_history(rng, f"P{place:02d}-{spread}", spread, volume, shape)
    partners = {"partner_id": sorted({row[0] for row in rows})}
    score, points = rate_events(rows, partners, pytestconfig)
    for found in (score, points["sales_stability"]):
        by_spread = found.to_numpy().reshape(30, len(spreads))
        assert (np.diff(by_spread, axis=1) <= 1e-9).all()
        assert (by_spread[:, 0] - by_spread[:, -1]).min() > 0.5


def test_a_region_without_sales_adds_nothing(pytestconfig):
    rng = np.random.default_rng(1)
    rows, twins = [], []
    for place in range(30):
        history = make_history(rng, f"P{place:02d}", volume=np.exp(rng.normal(8, 1)))
        abroad = [(f"P{place:02d}", f"2026-0{1 + sale % 6}-20", 40.0, f"C{sale % 3}") for sale in range(place % 7)]
        rows += history + abroad
        twins += [(f"{row[0]}-more", *row[1:]) for row in history + abroad]
        # Left long ago, and named on paper only.
        twins.append((f"P{place:02d}-more", "2024-02-15", 70.0, "FR"))
    names = sorted({row[0] for row in [*rows, *twins]})
    partners = {
        "partner_id": names,
        "country": ["FR" if name.endswith("more") else "DE" for name in names],
        "region": ["south" if name.endswith("more") else "north" for name in names],
    }
    score, points = rate_events(rows + twins, partners, pytestconfig)
    for found in (score, points["geography"]):
        pairs = found.to_numpy().reshape(30, 2)
        np.testing.assert_allclose(pairs[:, 1], pairs[:, 0], rtol=0, atol=1e-9)
    assert points["geography"].nunique() > 3


def test_a_region_with_nothing_but_returns_never_raises_the_score(pytestconfig):
    rng = np.random.default_rng(2)
    rows, twins = [], []
    for place in range(30):
        history = make_history(rng, f"P{place:02d}", volume=np.exp(rng.normal(8, 1)))
        abroad = [(f"P{place:02d}", f"2026-0{1 + sale % 6}-20", 40.0, f"C{sale % 3}") for sale in range(place % 7)]
        rows += history + abroad
        twins += [(f"{row[0]}-more", *row[1:]) for row in history + abroad]
        twins.append((f"P{place:02d}-more", "2026-03-20", -30.0, "FR"))
    partners = {"partner_id": sorted({row[0] for row in [*rows, *twins]})}
    score, points = rate_events(rows + twins, partners, pytestconfig)
    for found in (score, points["geography"]):
        pairs = found.to_numpy().reshape(30, 2)
        assert (pairs[:, 1] <= pairs[:, 0] + 1e-9).all()


@pytest.mark.parametrize("returned", [-40.0, -55.0])
def test_a_region_whose_sales_all_came_back_never_raises_geography(returned, pytestconfig):
    rng = np.random.default_rng(3)
    rows, twins = [], []
    for place in range(30):
        history = make_history(rng, f"P{place:02d}", volume=np.exp(rng.normal(8, 1)))
        abroad = [(f"P{place:02d}", f"2026-0{1 + sale % 6}-20", 40.0, f"C{sale % 3}") for sale in range(place % 7)]
        rows += history + abroad
        twins += [(f"{row[0]}-more", *row[1:]) for row in history + abroad]
        twins += [
            (f"P{place:02d}-more", "2026-02-20", 40.0, "FR"),
            (f"P{place:02d}-more", "2026-03-20", returned, "FR"),
        ]
    partners = {"partner_id": sorted({row[0] for row in [*rows, *twins]})}
    _, points = rate_events(rows + twins, partners, pytestconfig)
    pairs = points["geography"].to_numpy().reshape(30, 2)
    assert (pairs[:, 1] <= pairs[:, 0] + 1e-9).all()
    assert points["geography"].nunique() > 3


def test_with_partners_and_sales_alone_there_is_no_noise_to_draw(pytestconfig):
    rng = np.random.default_rng(4)
    rows = [row for place in range(40) for row in make_history(rng, f"P{place:02d}", volume=np.exp(rng.normal(8, 1)))]
    tables = {"partners": pd.DataFrame({"partner_id": [f"P{place:02d}" for place in range(40)]})}
    features = build_features(tables | {"sales": make_sales(rows)}, "2026-06-30")
    text = (pytestconfig.rootpath / "params" / "programme.yaml").read_text(encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rating = PartnerRating(yaml.safe_load(text)["rating"]["factors"], min_coverage=0.0).fit(features)
    errors = estimate_errors(features, counts=list_counts())
    assert errors.standard_error.shape == (40, 0)
    plain = rating.rank_interval(features, draws=50)
    assert plain["rank"].notna().all()
    for nothing in (errors, errors.standard_error):
        pd.testing.assert_frame_equal(rating.rank_interval(features, errors=nothing, draws=50), plain)
