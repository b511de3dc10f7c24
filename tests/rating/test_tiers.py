import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from partnerseg.rating.tiers import TIERS, assign_tiers, find_thresholds

THRESHOLDS = pd.Series({"gold": 80.0, "silver": 60.0, "bronze": 0.0})
scores = st.lists(st.one_of(st.integers(0, 100), st.just(np.nan)), min_size=1, max_size=40).map(
    lambda values: pd.Series(values, dtype=float)
)


def test_default_tiers_are_those_of_the_parameters(pytestconfig):
    text = (pytestconfig.rootpath / "params" / "programme.yaml").read_text(encoding="utf-8")
    assert list(yaml.safe_load(text)["rating"]["tiers"].items()) == list(TIERS.items())


def test_shares_by_hand():
    score = pd.Series(np.arange(10.0, 110, 10))  # 10, 20, ..., 100
    tier, thresholds = assign_tiers(score)
    # 10%: 100; the next 20%: 90, 80; the next 30%: 70, 60, 50; the rest.
    assert thresholds.to_dict() == {"platinum": 100.0, "gold": 80.0, "silver": 50.0, "bronze": 0.0}
    assert tier.tolist() == ["bronze"] * 4 + ["silver"] * 3 + ["gold"] * 2 + ["platinum"]


def test_tiers_are_ordered_and_the_unrated_have_none():
    tier = assign_tiers(pd.Series([90.0, 10.0, np.nan], index=["a", "b", "c"]), thresholds=THRESHOLDS).tier
    assert tier["a"] == "gold"
    assert tier["b"] == "bronze"
    assert pd.isna(tier["c"])
    assert list(tier.cat.categories) == ["bronze", "silver", "gold"]
    assert (tier >= "silver").tolist() == [True, False, False]


def test_equal_scores_stay_together_in_the_better_tier():
    tier = assign_tiers(pd.Series([50.0, 50, 50, 10]), tiers={"gold": 0.25, "bronze": 0.75}).tier
    assert tier.tolist() == ["gold", "gold", "gold", "bronze"]


def test_hysteresis_by_hand():
    score = pd.Series({"up": 61.9, "up_enough": 62.0, "down": 78.0, "down_enough": 77.9, "new": 60.0, "two_down": 58.5})
    previous = pd.Series(
        {
            "up": "bronze",
            "up_enough": "bronze",
            "down": "gold",
            "down_enough": "gold",
            "two_down": "gold",
            "gone": "gold",
        }
    )
    tier = assign_tiers(score, thresholds=THRESHOLDS, previous=previous, hysteresis=2).tier
    assert tier.to_dict() == {
        "up": "bronze",  # under 60 + 2
        "up_enough": "silver",
        "down": "gold",  # not under 80 - 2
        "down_enough": "silver",
        "new": "silver",  # without a previous tier the threshold itself counts
        "two_down": "silver",  # under 78, not under 58
    }


def test_previous_tiers_may_be_a_category_with_missing_values():
    first = assign_tiers(pd.Series([90.0, np.nan]), thresholds=THRESHOLDS)
    again = assign_tiers(pd.Series([79.0, 79.0]), thresholds=THRESHOLDS, previous=first.tier, hysteresis=2)
    assert again.tier.tolist() == ["gold", "silver"]


def test_nobody_rated_gives_no_thresholds_and_no_tiers():
    tier, thresholds = assign_tiers(pd.Series([np.nan, np.nan]))
    assert tier.isna().all()
    assert thresholds.isna().all()
    assert assign_tiers(pd.Series([50.0]), thresholds=thresholds).tier.isna().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tiers": {"gold": 0.5, "bronze": 0.4}}, "sum to 1"),
        ({"tiers": {"gold": -0.5, "bronze": 1.5}}, "sum to 1"),
        ({"tiers": {}}, "sum to 1"),
        ({"thresholds": THRESHOLDS[::-1]}, "must fall"),
        ({"hysteresis": -1}, "must be >= 0"),
        ({"previous": pd.Series(["wood"])}, "possible values are: platinum, gold, silver, bronze"),
    ],
)
def test_impossible_tiers_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        assign_tiers(pd.Series([1.0]), **options)


@given(scores)
def test_a_higher_score_never_has_a_lower_tier(score):
    tier = assign_tiers(score).tier.cat.codes[score.notna()]
    order = score.dropna().sort_values(kind="stable").index
    assert tier[order].is_monotonic_increasing


@given(scores, st.floats(0, 10))
def test_hysteresis_never_moves_a_partner_that_stays(score, hysteresis):
    tier, thresholds = assign_tiers(score)
    again = assign_tiers(score, thresholds=thresholds, previous=tier, hysteresis=hysteresis).tier
    assert again.equals(tier)


@given(scores)
def test_each_tier_holds_at_least_its_share(score):
    thresholds = find_thresholds(score)
    rated = score.dropna()
    for share, threshold in zip(np.cumsum(list(TIERS.values())), thresholds, strict=True):
        assert not len(rated) or (rated >= threshold).mean() >= share - 1e-9
