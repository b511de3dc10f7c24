"""Criteria segments: every rule by hand, unknown never dropped, sums equal to the whole."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partnerseg.params import load_params
from partnerseg.segments.criteria import CRITERIA, assign_criteria, combine_criteria, summarize_criteria

SETTINGS = SimpleNamespace(
    engagement=SimpleNamespace(
        new_tenure_days=90, active_recency_days=60, active_signs=["recency_days", "response_recency_days"]
    ),
    potential=SimpleNamespace(
        quantile=0.8, level=0.9, pooling=30.0, groups=["partner_type", "company_size", "industry", "region"]
    ),
)


def draw_features(seed: int, n: int) -> pd.DataFrame:
    """Features with gaps everywhere; a row a partner."""
    rng = np.random.default_rng(seed)
    text = {
        "partner_type": rng.choice(["reseller", "agent", "an, odd one"], n),
        "company_size": rng.choice(["micro", "small", "huge"], n),
        "industry": rng.choice(["retail", "finance"], n),
        "region": rng.choice(["north", "south", "west"], n),
    }
    numbers = {
        "tenure_days": rng.integers(0, 1_500, n),
        "recency_days": rng.integers(0, 400, n),
        "response_recency_days": rng.integers(0, 400, n),
        "frequency_365d": rng.integers(0, 30, n),
        "monetary_value_365d": np.round(rng.lognormal(9, 1, n)),
    }
    index = pd.Index([f"P{i:04d}" for i in range(n)], name="partner_id")
    features = pd.DataFrame({**text, **{name: values.astype(float) for name, values in numbers.items()}}, index=index)
    return features.mask(rng.random(features.shape) < 0.15)


@pytest.mark.parametrize(
    ("tenure", "recency", "orders", "response", "level"),
    [
        (89, 10, 3, 5, "new"),
        (90, 60, 3, np.nan, "active"),
        (90, 61, 3, np.nan, "inactive"),
        (400, 200, 3, 60, "active"),  # no sale lately, but a response
        (400, 200, 3, 61, "inactive"),
        (400, np.nan, 0, np.nan, "inactive"),  # sales are known: there was none
        (400, np.nan, np.nan, np.nan, "unknown"),  # sales are unknown
        (400, np.nan, np.nan, 10, "active"),  # sales are unknown, a response is not
        (np.nan, 200, 3, np.nan, "inactive"),  # a sale 200 days ago: not new
        (np.nan, 20, 3, np.nan, "active"),  # it may be new as well: nobody knows
        (np.nan, 70, 3, np.nan, "unknown"),  # not active, and may be new
        (np.nan, np.nan, 0, np.nan, "unknown"),  # may be new or not
    ],
)
def test_engagement(tenure, recency, orders, response, level):
    row = {
        "tenure_days": [tenure],
        "recency_days": [recency],
        "frequency_365d": [orders],
        "response_recency_days": [response],
    }
    assert assign_criteria(pd.DataFrame(row, dtype=float), SETTINGS)["engagement_level"].tolist() == [level]


def test_signs_of_activity_are_parameters():
    features = pd.DataFrame(
        {"tenure_days": [400.0], "recency_days": [10.0], "response_recency_days": [200.0], "frequency_365d": [1.0]}
    )
    levels = []
    for signs in (["response_recency_days"], ["recency_days"], []):
        engagement = SimpleNamespace(**{**vars(SETTINGS.engagement), "active_signs": signs})
        rules = SimpleNamespace(engagement=engagement, potential=SETTINGS.potential)
        levels += assign_criteria(features, rules)["engagement_level"].tolist()
    assert levels == ["inactive", "active", "inactive"]


def test_potential_and_headroom():
    # 100 resellers with 0..99 thousand, a new one, one whose revenue nobody knows.
    features = pd.DataFrame(
        {
            "partner_type": ["reseller"] * 102,
            "tenure_days": [800.0] * 100 + [364.0, 800.0],
            "monetary_value_365d": [*(1000.0 * np.arange(100)), 1e6, np.nan],
        }
    )
    result = assign_criteria(features, SETTINGS)
    # 80% of 99 others are 79.2: the 80th from below. The new one's million is not a year's and counts for nobody.
    assert result["potential_value"].iloc[[0, 99]].tolist() == [80_000, 79_000]
    assert result["headroom"].iloc[[0, 70, 99]].tolist() == [80_000, 10_000, 0]
    assert result["potential_value"].iloc[[100, 101]].tolist() == [79_000, 79_000]  # the 80th of all 100
    assert result["headroom"].iloc[[100, 101]].isna().all()
    for end in ("low", "high"):
        expected = (result[f"potential_{end}"] - features["monetary_value_365d"])[:100].clip(lower=0)
        assert result[f"headroom_{end}"][:100].tolist() == expected.tolist()
    assert (result["potential_low"] < result["potential_value"]).all()
    assert (result["potential_value"] < result["potential_high"]).all()
    assert set(result["revenue_potential"]) == {"medium"}  # one group, one level, though potentials differ by a rank


def test_thirds_of_the_potential():
    features = pd.DataFrame(
        {
            "partner_type": np.repeat(["a", "b", "c"], 100),
            "monetary_value_365d": [*range(100), *range(1_000, 1_100), *range(9_000, 9_100)],
        }
    )
    levels = assign_criteria(features, SETTINGS)["revenue_potential"]
    assert levels.iloc[[0, 99, 100, 199, 200, 299]].tolist() == ["low", "low", "medium", "medium", "high", "high"]


def test_unknown_is_a_category_and_no_one_is_dropped():
    features = pd.DataFrame({"partner_type": ["agent", None]}, index=pd.Index(["P1", "P2"], name="partner_id"))
    result = assign_criteria(features, SETTINGS)
    assert result.index.tolist() == ["P1", "P2"]
    assert result["partner_type"].tolist() == ["agent", "unknown"]
    for column in CRITERIA[1:]:
        assert result[column].tolist() == ["unknown", "unknown"]
    assert result["potential_value"].isna().all()
    segments = combine_criteria(result, by=CRITERIA)
    assert segments.tolist()[1] == (
        "unknown partner type, unknown industry, unknown company size, unknown geography, unknown engagement level, "
        "unknown revenue potential"
    )
    assert len(assign_criteria(features[:0], SETTINGS)) == 0


def test_sizes_and_levels_are_ordered():
    features = pd.DataFrame({"company_size": ["large", "micro", "small"]})
    result = assign_criteria(features, SETTINGS)
    assert result["company_size"].sort_values().tolist() == ["micro", "small", "large"]
    assert result["engagement_level"].cat.categories.tolist() == ["new", "active", "inactive", "unknown"]
    assert result["revenue_potential"].cat.categories.tolist() == ["low", "medium", "high", "unknown"]


def test_default_parameters_name_the_criteria():
    defaults = load_params(Path(__file__).parents[2] / "params").segments
    features = draw_features(0, 80)
    criteria = assign_criteria(features, defaults)
    segments = combine_criteria(criteria, by=defaults.criteria.by)
    table = summarize_criteria(segments, features["monetary_value_365d"], small=defaults.criteria.small)
    assert table["n"].sum() == 80


def test_segments_by_hand():
    criteria = pd.DataFrame(
        {
            "partner_type": ["agent", "reseller", "agent", "unknown", "agent"],
            "company_size": pd.Categorical(
                ["small", "micro", "micro", "small", "unknown"], ["micro", "small", "unknown"], ordered=True
            ),
        },
        index=list("abcde"),
    )
    segments = combine_criteria(criteria, by=["partner_type", "company_size"])
    assert segments.to_dict() == {
        "a": "agent, small",
        "b": "reseller, micro",
        "c": "agent, micro",
        "d": "unknown partner type, small",
        "e": "agent, unknown company size",
    }
    table = summarize_criteria(segments, pd.Series([10.0, 20.0, 30.0, np.nan, 0.0], index=list("abcde")), small=1)
    assert table.index.tolist() == [
        "agent, micro",
        "agent, small",
        "agent, unknown company size",
        "reseller, micro",
        "unknown partner type, small",
    ]
    assert table["n"].tolist() == [1] * 5
    assert table["revenue"].tolist()[:4] == [30, 10, 0, 20]
    assert np.isnan(table["revenue"].iloc[4])
    assert table["coverage"].tolist() == [1, 1, 1, 1, 0]
    assert not table["is_small"].any()
    assert combine_criteria(criteria, by=["company_size"]).tolist()[4] == "unknown company size"


def test_values_with_commas_stay_apart():
    criteria = pd.DataFrame({"x": ["a, b", "a"], "y": ["c", "b, c"]})
    assert combine_criteria(criteria, by=["x", "y"]).nunique() == 2


def test_small_groups_are_marked_and_shown():
    segments = pd.Series(["a"] * 10 + ["b"] * 9)
    table = summarize_criteria(segments, pd.Series(np.ones(19)))
    assert table["is_small"].to_dict() == {"a": False, "b": True}


@pytest.mark.parametrize("by", [[], ["size"], ["partner_type", "partner_type"]])
def test_wrong_criteria_are_refused(by):
    with pytest.raises(ValueError, match=r"see `segments\.criteria\.by`"):
        combine_criteria(pd.DataFrame({"partner_type": ["agent"]}), by=by)


def test_wrong_tables_are_refused():
    with pytest.raises(ValueError, match="different indexes"):
        summarize_criteria(pd.Series(["a"]), pd.Series([1.0], index=[3]))
    with pytest.raises(ValueError, match="partner 1 has no segment"):
        summarize_criteria(pd.Series(["a", None]), pd.Series([1.0, 2.0]))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000), n=st.integers(1, 150), by=st.lists(st.sampled_from(CRITERIA), min_size=1, unique=True)
)
def test_laws(seed, n, by):
    rng, features = np.random.default_rng(seed), draw_features(seed, n)
    criteria = assign_criteria(features, SETTINGS)
    assert criteria.index.equals(features.index)
    assert criteria[list(CRITERIA)].notna().all(axis=None)
    # Order of rows and of columns is irrelevant; extra columns too.
    rows, columns = rng.permutation(n), rng.permutation(features.columns)
    shuffled = assign_criteria(features.assign(other=1)[[*columns, "other"]].iloc[rows], SETTINGS)
    pd.testing.assert_frame_equal(shuffled, criteria.iloc[rows])
    # Money in another unit: levels stay, amounts follow.
    scaled = assign_criteria(features.assign(monetary_value_365d=features["monetary_value_365d"] * 4), SETTINGS)
    money = [name for name in criteria if name.startswith(("potential_", "headroom"))]
    pd.testing.assert_frame_equal(scaled[money], criteria[money] * 4)
    pd.testing.assert_frame_equal(scaled.drop(columns=money), criteria.drop(columns=money))
    # Segments hold everybody once and sum to the whole.
    segments = combine_criteria(criteria, by=by)
    assert segments.notna().all()
    assert len(set(zip(segments, *(criteria[name] for name in by), strict=True))) == segments.nunique()
    table = summarize_criteria(segments, features["monetary_value_365d"])
    assert table["n"].sum() == n
    assert table["revenue"].sum() == features["monetary_value_365d"].sum()  # whole numbers: exactly
    assert table["share"].sum() == pytest.approx(1)
    assert (table["coverage"] * table["n"]).sum() == pytest.approx(features["monetary_value_365d"].notna().sum())
    # A region taken from the programme: the same segments, and its tables sum to the programme's.
    parts = [summarize_criteria(segments[part.index], part["monetary_value_365d"]) for _, part in features.groupby(
        features["region"].fillna("unknown"))]  # fmt: skip
    together = pd.concat(parts).groupby(level=0, observed=True)[["n", "revenue"]].sum(min_count=1)
    pd.testing.assert_frame_equal(together, table[["n", "revenue"]], check_dtype=False, check_index_type=False)


def test_a_region_alone_is_not_the_programme():
    # Why the whole is assigned first: alone, a region compares its partners with others.
    features = draw_features(1, 400)
    north = features["region"] == "north"
    whole, alone = assign_criteria(features, SETTINGS)[north], assign_criteria(features[north], SETTINGS)
    assert not whole["potential_value"].equals(alone["potential_value"])
    pd.testing.assert_series_equal(whole["engagement_level"], alone["engagement_level"])
