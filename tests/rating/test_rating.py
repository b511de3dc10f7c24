import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from partnerseg.params import Params
from partnerseg.rating.rating import FORMAT, PartnerRating
from partnerseg.rating.tiers import assign_tiers

ASEM = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "asem_composite"

# Four factors: two features in one, a direction down, stated and fitted bounds, self-reported evidence.
TABLE = (
    {"factor": "volume", "pillar": "sales", "features": ["sales"], "weight": 4.0},
    {
        "factor": "quality",
        "pillar": "offer",
        "features": ["return_rate", "review"],
        "direction": ["down", "up"],
        "bounds": [[], [1, 5]],
        "weight": 3.0,
    },
    {"factor": "training", "pillar": "capability", "features": ["courses"], "weight": 2.0, "grade": "audit"},
    {
        "factor": "planning",
        "pillar": "capability",
        "features": ["planning"],
        "bounds": [[0, 100]],
        "weight": 1.0,
        "grade": "self",
    },
)
UP = {"sales": 1, "return_rate": -1, "review": 1, "courses": 1, "planning": 1}


def make_features(n=60, seed=0, missing=0.15):
    rng = np.random.default_rng(seed)
    features = pd.DataFrame(
        {
            "sales": np.exp(rng.normal(8, 1.5, n)),
            "return_rate": rng.beta(1, 12, n),
            "review": rng.uniform(1, 5, n),
            "courses": rng.poisson(2, n).astype(float),
            "planning": rng.uniform(0, 100, n),
        },
        index=pd.Index([f"P{place:04d}" for place in range(n)], name="partner_id"),
    )
    features = features.mask(rng.random(features.shape) < missing)
    features["partner_type"] = rng.choice(["reseller", "agent"], n)
    return features


FEATURES = make_features()
FITTED = {
    weighting: PartnerRating(TABLE, weighting=weighting).fit(FEATURES)
    for weighting in ("direct", "equal", "entropy", "critic")
}
weightings = st.sampled_from(list(FITTED))
partners = st.sampled_from(list(FEATURES.index))


@pytest.fixture
def rating():
    return FITTED["direct"]


def three():
    """Three partners and two factors, worked out below by hand.

    Weights: volume 6 with system evidence (1.0) is 6, planning 5 by self-report (0.4) is 2: shares 3/4 and 1/4.
    Points: volume 0, 50, 100 (bounds 100 to 300); planning 80, missing, 20.
    """
    features = pd.DataFrame({"sales": [100.0, 200, 300], "planning": [80.0, np.nan, 20]}, index=["a", "b", "c"])
    table = (
        {"factor": "volume", "features": ["sales"], "weight": 6.0},
        {"factor": "planning", "features": ["planning"], "bounds": [[0, 100]], "weight": 5.0, "grade": "self"},
    )
    return features, PartnerRating(table, bounds_quantiles=(0, 1), tiers={"gold": 0.3, "bronze": 0.7}).fit(features)


def test_three_partners_by_hand():
    features, rating = three()
    assert rating.factors_["stated_weight"].tolist() == pytest.approx([6 / 11, 5 / 11])
    assert rating.factors_["weight"].tolist() == pytest.approx([0.75, 0.25])
    assert rating.factors_["coverage"].tolist() == pytest.approx([1, 2 / 3])
    result = rating.score(features)
    # a: .25 * 80; b: volume alone; c: .75 * 100 + .25 * 20
    assert result["score"].tolist() == pytest.approx([20, 50, 80])
    assert result["coverage"].tolist() == pytest.approx([1, 0.75, 1])
    assert result["rank"].tolist() == [3, 2, 1]
    contributions = rating.contributions(features)
    assert contributions.loc["c"].tolist() == pytest.approx([75, 5])
    assert contributions.loc["b", "volume"] == pytest.approx(50)
    assert np.isnan(contributions.loc["b", "planning"])
    assert rating.tier_thresholds_.to_dict() == pytest.approx({"gold": 80, "bronze": 0})


def test_below_the_minimum_coverage_there_is_no_score():
    features, rating = three()
    features.loc["b"] = [np.nan, 60.0]
    result = rating.score(features)
    assert result.loc["b", "coverage"] == pytest.approx(0.25)
    assert np.isnan(result.loc["b", "score"])
    assert result.loc["b", "rank"] is pd.NA
    assert result["rank"].dropna().tolist() == [2, 1]
    assert rating.contributions(features).loc["b"].isna().all()
    lenient = clone(rating).set_params(min_coverage=0.25).fit(features)
    assert lenient.score(features).loc["b", "score"] == pytest.approx(60)


def test_nothing_known_is_never_rated():
    features, rating = three()
    features.loc["a"] = np.nan
    lenient = clone(rating).set_params(min_coverage=0.0).fit(features)
    assert np.isnan(lenient.score(features).loc["a", "score"])
    assert lenient.score(features).loc["a", "coverage"] == 0


def test_equal_scores_share_the_smallest_rank():
    features, rating = three()
    twice = pd.concat([features, features.rename(lambda name: name + "2")])
    assert rating.score(twice)["rank"].tolist() == [5, 3, 1, 5, 3, 1]


def test_several_dates_are_ranked_apart():
    features, rating = three()
    dates = pd.concat([features, features * [2, 1]], keys=["2026-05-31", "2026-06-30"], names=["as_of", "partner_id"])
    # On the second date sales are 200, 400, 600: points 50, 100, 100; scores 57.5, 100, 80.
    assert rating.score(dates)["rank"].tolist() == [3, 2, 1, 3, 1, 2]
    with pytest.raises(ValueError, match="take one date"):
        rating.rank_interval(dates)


# Laws


@settings(max_examples=100)
@given(weightings, partners, st.sampled_from(list(UP)), st.floats(0, 10), st.floats(0, 1e6))
def test_raising_a_feature_in_its_direction_never_lowers_score_or_rank(weighting, partner, feature, factor, step):
    rating = FITTED[weighting]
    raised = FEATURES.copy()
    value = raised.loc[partner, feature]
    raised.loc[partner, feature] = value + UP[feature] * (abs(value) * factor + step)
    before, after = rating.score(FEATURES), rating.score(raised)
    if pd.isna(before.loc[partner, "score"]):
        assert pd.isna(after.loc[partner, "score"])
        return
    assert after.loc[partner, "score"] >= before.loc[partner, "score"] - 1e-9
    assert after.loc[partner, "rank"] <= before.loc[partner, "rank"]
    others = FEATURES.index != partner
    pd.testing.assert_series_equal(after.loc[others, "score"], before.loc[others, "score"], check_exact=True)


@settings(max_examples=30)
@given(weightings, st.sampled_from(["sales", "return_rate", "courses"]), st.floats(1e-4, 1e4))
def test_units_do_not_matter_when_bounds_come_from_the_data(weighting, feature, unit):
    converted = FEATURES.copy()
    converted[feature] *= unit
    score = PartnerRating(TABLE, weighting=weighting).fit(converted).score(converted)["score"]
    np.testing.assert_allclose(score, FITTED[weighting].score(FEATURES)["score"], atol=1e-7)


@settings(max_examples=50)
@given(weightings, st.sets(partners, min_size=1))
def test_a_part_of_the_programme_scores_as_in_the_whole_to_the_last_bit(weighting, chosen):
    rating = FITTED[weighting]
    part = FEATURES.loc[sorted(chosen)]
    whole = rating.score(FEATURES)[["score", "coverage"]]
    pd.testing.assert_frame_equal(rating.score(part)[["score", "coverage"]], whole.loc[part.index], check_exact=True)
    pd.testing.assert_frame_equal(
        rating.contributions(part), rating.contributions(FEATURES).loc[part.index], check_exact=True
    )


def test_every_single_row_and_large_random_parts_score_as_in_the_whole():
    features = make_features(n=5000, seed=3)
    rating = PartnerRating(TABLE).fit(features)
    whole = rating.score(features)["score"]
    rng = np.random.default_rng(0)
    for size in [1] * 100 + [2, 3, 7, 8, 9, 63, 64, 65, 1000, 4999]:
        part = features.iloc[rng.permutation(len(features))[:size]]
        assert rating.score(part)["score"].equals(whole.loc[part.index])


def test_dropping_a_partner_changes_no_other_score(rating):
    whole = rating.score(FEATURES)["score"]
    for partner in FEATURES.index:
        rest = FEATURES.drop(partner)
        assert rating.score(rest)["score"].equals(whole.drop(partner))


@settings(max_examples=50)
@given(weightings, st.lists(st.tuples(partners, st.sampled_from(list(UP))), max_size=60))
def test_a_missing_value_stays_with_its_partner(weighting, cells):
    rating = FITTED[weighting]
    holes = FEATURES.copy()
    for partner, feature in cells:
        holes.loc[partner, feature] = np.nan
    before, after = rating.score(FEATURES), rating.score(holes)
    untouched = ~FEATURES.index.isin([partner for partner, _ in cells])
    assert after.loc[untouched, "score"].equals(before.loc[untouched, "score"])
    assert (after["coverage"] <= before["coverage"]).all()
    assert after["score"].notna().equals(after["coverage"] >= 0.4 - 1e-12)
    refitted = PartnerRating(TABLE, weighting=weighting).fit(holes)
    assert refitted.factors_["weight"].sum() == pytest.approx(1)
    assert refitted.score(holes)["score"].notna().any()


@pytest.mark.parametrize("weighting", list(FITTED))
def test_contributions_sum_to_the_score(weighting):
    rating = FITTED[weighting]
    score = rating.score(FEATURES)["score"]
    total = rating.contributions(FEATURES).sum(axis=1, min_count=1)
    np.testing.assert_allclose(total, score, atol=1e-9)
    assert score.between(0, 100).sum() == score.notna().sum() > 50


@pytest.mark.parametrize("weighting", list(FITTED))
def test_order_of_rows_is_irrelevant(weighting):
    shuffled = FEATURES.sample(frac=1, random_state=1)
    rating = PartnerRating(TABLE, weighting=weighting).fit(shuffled)
    pd.testing.assert_frame_equal(
        rating.score(shuffled).loc[FEATURES.index], FITTED[weighting].score(FEATURES), check_exact=False, atol=1e-9
    )


def test_fit_leaves_its_input_alone():
    features = FEATURES.copy()
    PartnerRating(TABLE).fit(features).rank_interval(features, draws=5)
    pd.testing.assert_frame_equal(features, FEATURES)


# Weights


def test_evidence_lowers_the_weight_of_self_reports():
    factors = FITTED["equal"].factors_
    # Evidence 1, 1, .9, .4: sum 3.3.
    assert factors["weight"].tolist() == pytest.approx([1 / 3.3, 1 / 3.3, 0.9 / 3.3, 0.4 / 3.3])
    trusting = PartnerRating(TABLE, weighting="equal", evidence={"system": 1, "audit": 1, "manager": 1, "self": 1})
    assert trusting.fit(FEATURES).factors_["weight"].tolist() == pytest.approx([0.25] * 4)


@pytest.mark.parametrize("weighting", list(FITTED))
def test_a_factor_nobody_is_known_on_lowers_coverage_by_its_stated_weight(weighting):
    features = FEATURES.assign(planning=np.nan)
    rating = PartnerRating(TABLE, weighting=weighting).fit(features)
    # Stated weight times evidence: 4, 3, 2 * .9, 1 * .4: sum 9.2; equal: 1, 1, .9, .4: sum 3.3.
    weight = 0.4 / 3.3 if weighting == "equal" else 0.4 / 9.2
    assert rating.factors_.loc["planning", "weight"] == pytest.approx(weight)
    assert rating.factors_.loc["planning", "coverage"] == 0
    assert rating.score(features)["coverage"].max() == pytest.approx(1 - weight)


def test_a_constant_feature_is_named_and_left_out():
    with pytest.warns(UserWarning, match="feature courses is the same for all partners"):
        rating = PartnerRating(TABLE, weighting="critic").fit(FEATURES.assign(courses=2.0))
    assert rating.factors_.loc["training", "coverage"] == 0
    assert rating.score(FEATURES)["score"].notna().any()


def test_no_data_at_all_gives_no_scores_and_no_error():
    nothing = FEATURES.assign(**dict.fromkeys(UP, np.nan))
    for features in (nothing, nothing.iloc[:0]):
        rating = PartnerRating(TABLE, weighting="entropy").fit(features)
        assert rating.score(features)["score"].isna().all()
        assert rating.rank_interval(features, draws=10).isna().all(axis=None)
    assert rating.raise_to(nothing, "P0000", "gold").reason.startswith("Not rated: 0% of the weight")


# Rank intervals


def test_intervals_hold_the_rank_and_are_repeatable(rating):
    interval = rating.rank_interval(FEATURES, draws=300)
    rated = interval["rank"].notna()
    assert interval["rank"].equals(rating.score(FEATURES)["rank"])
    assert ((interval["lower"] <= interval["rank"]) & (interval["rank"] <= interval["upper"]))[rated].all()
    assert interval[~rated].isna().all(axis=None)
    assert interval.loc[rated, "lower"].min() >= 1
    assert interval.loc[rated, "upper"].max() <= rated.sum()
    shuffled = FEATURES.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(rating.rank_interval(shuffled, draws=300).loc[FEATURES.index], interval)


def test_a_higher_level_gives_wider_intervals(rating):
    narrow, wide = (rating.rank_interval(FEATURES, draws=300, level=level) for level in (0.5, 0.95))
    rated = narrow["rank"].notna()
    assert (wide["lower"] <= narrow["lower"])[rated].all()
    assert (wide["upper"] >= narrow["upper"])[rated].all()


def test_a_partner_best_in_everything_is_first_in_every_draw():
    features = make_features(missing=0)
    features.loc["P0000", list(UP)] = [1e9, 0, 5, 50, 100]
    features.loc["P0001", list(UP)] = [1, 0.99, 1, 0, 0]
    interval = PartnerRating(TABLE).fit(features).rank_interval(features, draws=200)
    assert interval.loc["P0000"].tolist() == [1, 1, 1]
    assert interval.loc["P0001"].tolist() == [60, 60, 60]


def test_twins_are_shown_as_a_tie():
    features = make_features(missing=0)
    features.loc["P0007"] = features.loc["P0003"]
    interval = PartnerRating(TABLE).fit(features).rank_interval(features, draws=200)
    assert interval.loc["P0007"].tolist() == interval.loc["P0003"].tolist()


def test_rounding_breaks_no_tie():
    # 201 times the same partner: a matrix product may round the last column otherwise than the first.
    names = [f"f{place}" for place in range(15)]
    rng = np.random.default_rng(0)
    features = pd.DataFrame([rng.uniform(0, 100, 15)] * 201, columns=names, index=[f"P{place}" for place in range(201)])
    table = [{"factor": name, "features": [name], "bounds": [[0, 100]]} for name in names]
    interval = PartnerRating(table).fit(features).rank_interval(features, draws=300, level=0.999)
    assert (interval == 1).all(axis=None)
    # The same points in another order sum to the same score but for the last bit.
    features = pd.DataFrame(list(itertools.permutations([10.1, 20.2, 70.4])), columns=names[:3])
    result = PartnerRating(table[:3]).fit(features).score(features)
    assert (result["rank"] == 1).all()


def test_missing_factors_widen_the_interval():
    features = make_features(n=200, missing=0)
    rating = PartnerRating(TABLE).fit(features)
    middle = rating.score(features)["rank"].sub(100).abs().sort_values().index[:20]
    holes = features.copy()
    holes.loc[middle, ["return_rate", "review", "courses"]] = np.nan
    width = [
        rating.rank_interval(frame, draws=300).loc[middle].eval("upper - lower").mean() for frame in (features, holes)
    ]
    assert width[1] > 1.5 * width[0]


def test_intervals_with_two_factors_by_simulation():
    # One weight w ~ Beta(100 * .75, 100 * .25) decides: a scores 100 w, b scores 100 (1 - w), c scores 60.
    # a passes c when w > .6: probability under 1 - 2e-3 only; b is always last: w < .5 has probability 3e-8.
    features = pd.DataFrame({"x": [100.0, 0, 60], "y": [0.0, 100, 60]}, index=["a", "b", "c"])
    table = [
        {"factor": "x", "features": ["x"], "bounds": [[0, 100]], "weight": 3},
        {"factor": "y", "features": ["y"], "bounds": [[0, 100]], "weight": 1},
    ]
    rating = PartnerRating(table).fit(features)
    assert rating.rank_interval(features, level=0.99).to_numpy(dtype=int).tolist() == [[1, 1, 1], [3, 3, 3], [2, 2, 2]]
    # At .7 instead of .6 a and c change places in about 13% of draws, which a 90% interval shows.
    features.loc["c"] = 70
    assert rating.rank_interval(features).to_numpy(dtype=int).tolist() == [[1, 1, 2], [3, 3, 3], [2, 1, 2]]


# Reasons and ways up


def test_explain_by_hand():
    features, rating = three()
    result = rating.explain(features, "c")
    assert result.index.tolist() == ["volume", "planning"]
    assert result["score"].tolist() == pytest.approx([100, 20])
    assert result["weight"].tolist() == pytest.approx([0.75, 0.25])
    assert result["contribution"].tolist() == pytest.approx([75, 5])
    # Medians: 50 of (0, 50, 100) and 50 of (80, 20).
    assert result["gap"].tolist() == pytest.approx([50, -30])
    unknown = rating.explain(features, "b").loc["planning"]
    assert unknown["weight"] == 0
    assert unknown[["score", "contribution", "gap"]].isna().all()
    with pytest.raises(KeyError, match="partner 'z' is not among the 3 partners"):
        rating.explain(features, "z")


def test_raise_to_by_hand():
    # Weights 3/4 and 1/4, linear. Partner a: 40 and 40 points, score 40. Best tenth: 90 in both.
    values = np.arange(0.0, 101, 10)
    features = pd.DataFrame({"x": values, "y": values}, index=list("abcdefghijk"))
    table = [
        {"factor": "x", "features": ["x"], "bounds": [[0, 100]], "weight": 3},
        {"factor": "y", "features": ["y"], "bounds": [[0, 100]], "weight": 1},
    ]
    rating = PartnerRating(table, tiers={"gold": 0.3, "silver": 0.3, "bronze": 0.4}).fit(features)
    assert rating.tier_thresholds_.to_dict() == {"gold": 70.0, "silver": 40.0, "bronze": 0.0}
    # e has 40 + 40: gold takes 30 points of score, 40 of x: 80, within 90. y alone could not.
    advice = rating.raise_to(features, "e", "gold")
    assert advice.reachable
    assert advice.changes[["feature", "now", "then", "reach"]].values.tolist() == [["x", 40.0, 80.0, 90.0]]
    assert advice.score_after == pytest.approx(70)
    # a has nothing: x to 90 brings 67.5, the missing 2.5 take 10 points of y.
    advice = rating.raise_to(features, "a", "gold")
    assert advice.changes[["feature", "now", "then"]].values.tolist() == [["x", 0.0, 90.0], ["y", 0.0, 10.0]]
    # 90 + 90 make 90 points at most.
    assert rating.raise_to(features, "a", "gold", hysteresis=20).reachable
    advice = rating.raise_to(features, "a", "gold", hysteresis=21)
    assert not advice.reachable
    assert advice.changes.empty
    assert advice.reason.startswith("Out of reach: 91.0 points needed, 0.0 now")
    assert rating.raise_to(features, "k", "gold").reason == "Already there: 100.0 points, 70.0 needed."
    with pytest.raises(ValueError, match="possible values are: gold, silver, bronze"):
        rating.raise_to(features, "a", "wood")


@pytest.mark.parametrize("weighting", ["direct", "critic"])
def test_advice_keeps_what_it_promises(weighting):
    features = make_features(n=120, seed=5)
    rating = PartnerRating(TABLE, weighting=weighting).fit(features)
    scores = rating.score(features)["score"]
    outcomes = set()
    for partner, tier in itertools.product(features.index, ["platinum", "gold", "silver"]):
        advice = rating.raise_to(features, partner, tier)
        outcomes.add((advice.reachable, len(advice.changes)))
        if not advice.reachable:
            assert advice.changes.empty
            continue
        changed = features.copy()
        for change in advice.changes.itertuples():
            assert change.now == features.loc[partner, change.feature]
            assert UP[change.feature] * (change.then - change.now) >= 0
            assert UP[change.feature] * (change.reach - change.then) >= 0
            assert change.feature != "courses" or change.then == round(change.then)
            changed.loc[partner, change.feature] = change.then
        after = rating.score(changed)["score"]
        assert after[partner] == advice.score_after
        reached = assign_tiers(after, thresholds=rating.tier_thresholds_).tier >= tier
        assert reached[partner]
        assert after.drop(partner).equals(scores.drop(partner))
    assert {(True, 0), (True, 1), (True, 2), (False, 0)} <= outcomes


def test_a_feature_without_bounds_takes_no_part_in_advice():
    features = pd.DataFrame({"x": np.arange(0.0, 1.01, 0.1), "same": 1.0})
    table = [{"factor": "f", "features": ["x", "same"], "bounds": [[0, 1], []]}]
    with pytest.warns(UserWarning, match="feature same"):
        rating = PartnerRating(table, tiers={"gold": 0.3, "bronze": 0.7}).fit(features)
    # Three of eleven and a bit: the fourth, 0.7, is gold.
    assert rating.raise_to(features, 0, "gold").changes["then"].tolist() == pytest.approx([0.7])


def test_advice_is_tried_before_it_is_given():
    # What x adds to one factor it takes from another: it looks strong (2/3) and moves the score by 1/3.
    features = pd.DataFrame({"x": np.arange(0.0, 101, 10), "y": np.arange(0.0, 101, 10)})
    table = [
        {"factor": "more", "features": ["x"], "bounds": [[0, 100]], "weight": 2},
        {"factor": "less", "features": ["x"], "direction": ["down"], "bounds": [[100, 0]], "weight": 1},
    ]
    rating = PartnerRating(table, tiers={"gold": 0.3, "bronze": 0.7}).fit(features)
    # x = 0 scores 33.3, x = 70 scores (140 + 30) / 3 = 56.7, x = 35 would be 45.
    assert rating.tier_thresholds_["gold"] == pytest.approx(170 / 3)
    advice = rating.raise_to(features, 0, "gold")
    assert not advice.reachable


def test_reach_is_that_of_the_same_partner_type_where_enough_are_known():
    features = pd.DataFrame({"x": [*range(100), 500.0]}, index=[f"P{place}" for place in range(101)])
    features["partner_type"] = ["agent"] * 50 + ["reseller"] * 50 + ["influencer"]
    rating = PartnerRating([{"factor": "x", "features": ["x"]}]).fit(features)
    # The 45th of 0..49, the 45th of 50..99, and of all 101 the 91st value.
    assert rating.raise_to(features, "P0", "bronze").reachable
    assert rating.reach_["x.x"].dropna().to_dict() == {"": 90.0, "agent": 44.0, "reseller": 94.0}
    advice = rating.raise_to(features, "P0", "platinum")
    assert not advice.reachable
    assert rating.raise_to(features, "P50", "platinum").changes["reach"].tolist() == [94.0]


# Estimator


def test_clone_and_parameters():
    rows = Params({"rating": {"factors": TABLE, "tiers": {"gold": 0.5, "bronze": 0.5}, "evidence": {"system": 1.0}}})
    rating = PartnerRating(rows.rating.factors[:2], tiers=rows.rating.tiers, evidence=rows.rating.evidence)
    copy = clone(rating)
    assert copy.get_params() == rating.get_params()
    assert copy.set_params(weighting="equal").weighting == "equal"
    plain = PartnerRating(TABLE[:2]).fit(FEATURES)
    assert clone(rating).fit(FEATURES).score(FEATURES).equals(plain.score(FEATURES))
    assert clone(PartnerRating(TABLE)).fit(FEATURES).score(FEATURES).equals(FITTED["direct"].score(FEATURES))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weighting": "magic"}, "possible values are: direct, equal, entropy, critic"),
        ({"min_coverage": 1.5}, "between 0 and 1"),
        ({"bounds_quantiles": (0.9, 0.1)}, "lower < upper"),
        ({"tiers": {"gold": 0.5}}, "sum to 1"),
        ({"evidence": {"system": 1.0}}, "grade == 'audit'"),
    ],
)
def test_impossible_parameters_are_refused_by_fit(options, message):
    with pytest.raises(ValueError, match=message):
        PartnerRating(TABLE, **options).fit(FEATURES)


@pytest.mark.parametrize("options", [{"draws": 0}, {"level": 1.0}])
def test_impossible_draws_are_refused(rating, options):
    with pytest.raises(ValueError, match="must be"):
        rating.rank_interval(FEATURES, **options)


@pytest.mark.parametrize("weighting", list(FITTED))
def test_saved_and_loaded_it_is_the_same_to_the_last_bit(weighting, tmp_path):
    features = FEATURES.assign(planning=np.nan)
    rating = PartnerRating(TABLE, weighting=weighting, random_state=3).fit(features)
    path = tmp_path / "rating.json"
    rating.save(path)
    loaded = PartnerRating.load(path)
    for method in ("score", "contributions", "rank_interval"):
        pd.testing.assert_frame_equal(
            getattr(loaded, method)(features), getattr(rating, method)(features), check_exact=True
        )
    assert loaded.tier_thresholds_.equals(rating.tier_thresholds_)
    pd.testing.assert_frame_equal(loaded.factors_, rating.factors_, check_exact=True)
    pd.testing.assert_frame_equal(loaded.explain(features, "P0001"), rating.explain(features, "P0001"))
    assert loaded.raise_to(features, "P0001", "gold").reason == rating.raise_to(features, "P0001", "gold").reason
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_parameters_as_read_from_files_are_saved(tmp_path):
    rows = Params({"rating": {"factors": TABLE, "bounds": [0.1, 0.9]}}).rating
    rating = PartnerRating(rows.factors, bounds_quantiles=rows.bounds).fit(FEATURES)
    rating.save(tmp_path / "rating.json")
    loaded = PartnerRating.load(tmp_path / "rating.json")
    assert loaded.fit(FEATURES).score(FEATURES).equals(rating.score(FEATURES))


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "rating.json"
    path.write_text(json.dumps({"format": FORMAT + "0"}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"rating.json: format == "):
        PartnerRating.load(path)


def test_a_seed_that_is_no_number_cannot_be_saved(tmp_path):
    rating = PartnerRating(TABLE, random_state=np.random.RandomState(0)).fit(FEATURES)
    with pytest.raises(ValueError, match="must be a whole number or None"):
        rating.save(tmp_path / "rating.json")


# Printed sources


@pytest.mark.skipif(not ASEM.is_dir(), reason="needs the ASEM tables in ../shared/data/asem_composite")
def test_asem_index_is_reproduced():
    """From treated indicators to the printed index and ranks: 49 indicators, 8 pillars, equal weights in each half."""
    treated = pd.read_csv(ASEM / "data_treated.csv", index_col="UnitCode")
    indicators = pd.read_csv(ASEM / "indicator_meta.csv", index_col="IndCode")
    printed = pd.read_csv(ASEM / "expected_results_scores.csv", index_col="UnitCode")
    halves = indicators.groupby("Agg1")["Agg2"].first()
    table = []
    for pillar, members in indicators.groupby("Agg1"):
        up = members["Direction"] > 0
        low, high = treated[members.index].min(), treated[members.index].max()
        table.append(
            {
                "factor": pillar,
                "features": list(members.index),
                "direction": list(np.where(up, "up", "down")),
                "bounds": np.where(up, [low, high], [high, low]).T.tolist(),
                "weight": 0.5 / (halves == halves[pillar]).sum(),
            }
        )
    rating = PartnerRating(table).fit(treated)
    result = rating.score(treated).loc[printed.index]
    np.testing.assert_allclose(result["score"], printed["Index"], atol=0.005 + 1e-9)
    # Where two printed scores are equal, COINr ranks by the digits that it does not print, as we do.
    assert result["rank"].tolist() == printed["Rank"].astype(int).tolist()
    points = rating.contributions(treated) / rating.factors_["weight"]
    np.testing.assert_allclose(points.loc[printed.index, printed.columns[5:]], printed.iloc[:, 5:], atol=0.005 + 1e-9)
