import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from partnerseg.rating.validation import validate_rating


def plant(n=200, seed=0):
    """Skill drives next year's revenue; the rating sees skill well, last year's revenue badly."""
    rng = np.random.default_rng(seed)
    index = pd.Index([f"P{place:04d}" for place in range(n)], name="partner_id")
    skill = pd.Series(rng.normal(size=n), index=index)
    return pd.DataFrame(
        {
            "clear": skill + rng.normal(scale=0.5, size=n),
            "blurred": skill + rng.normal(scale=3, size=n),
            "revenue": np.exp(skill + rng.normal(scale=0.5, size=n)),
        }
    )


def test_the_rating_wins_where_it_sees_more_and_loses_where_it_sees_less():
    world = plant()
    result = validate_rating(world["clear"], world[["revenue"]], baselines=world[["blurred"]], draws=200)
    assert result["predictor"].tolist() == ["rating", "blurred"]
    assert result.loc[1, "winner"] == "rating"
    assert result.loc[1, "advantage_lower"] > 0
    worse = validate_rating(world["blurred"], world[["revenue"]], baselines=world[["clear"]], draws=200)
    assert worse.loc[1, "winner"] == "baseline"
    assert worse.loc[1, "finding"] == "clear alone orders revenue better than the rating."


def test_correlation_equals_scipy_also_with_ties_and_lies_in_its_interval():
    world = plant().round(1)
    result = validate_rating(world["clear"], world[["revenue"]], draws=200).iloc[0]
    assert result["spearman"] == pytest.approx(spearmanr(world["clear"], world["revenue"]).statistic)
    assert result["lower"] < result["spearman"] < result["upper"]


def test_interval_agrees_with_the_normal_approximation():
    # Bonett and Wright (2000): standard error of atanh(r) is sqrt((1 + r^2 / 2) / (n - 3)).
    world = plant(n=400)
    result = validate_rating(world["clear"], world[["revenue"]], draws=1000).iloc[0]
    r = result["spearman"]
    width = 1.96 * np.sqrt((1 + r**2 / 2) / 397)
    assert result["lower"] == pytest.approx(np.tanh(np.arctanh(r) - width), abs=0.02)
    assert result["upper"] == pytest.approx(np.tanh(np.arctanh(r) + width), abs=0.02)


def test_lift_by_hand():
    # 40 partners: the best tenth are 4, with 10 each; the others have 0. Mean of all is 1.
    score = pd.Series(np.arange(40.0))
    outcome = pd.DataFrame({"revenue": [0.0] * 36 + [10.0] * 4})
    assert validate_rating(score, outcome, draws=10).loc[0, "top_decile_lift"] == 10.0
    # Six tie for the four places, four of them with 10: the place is worth 40 / 6.
    tied = score.clip(upper=34)
    assert validate_rating(tied, outcome, draws=10).loc[0, "top_decile_lift"] == pytest.approx(40 / 6)


def test_lift_needs_a_positive_mean():
    score = pd.Series(np.arange(40.0))
    assert np.isnan(validate_rating(score, pd.DataFrame({"growth": -score}), draws=10).loc[0, "top_decile_lift"])


def test_all_are_compared_on_the_same_partners():
    world = plant()
    score = world["clear"].copy()
    score.iloc[:20] = np.nan
    baselines = world[["blurred"]].copy()
    baselines.iloc[10:40] = np.nan
    result = validate_rating(score, world[["revenue"]].iloc[:150], baselines=baselines, draws=20)
    assert result["n"].tolist() == [110, 110]


def test_a_copy_of_the_rating_neither_wins_nor_loses():
    world = plant()
    result = validate_rating(world["clear"], world[["revenue"]], baselines=world[["clear"]], draws=50)
    assert result.loc[1, "winner"] == "undecided"
    assert result.loc[1, "advantage"] == 0


def test_order_of_rows_is_irrelevant():
    world = plant()
    shuffled = world.sample(frac=1, random_state=1)
    one = validate_rating(world["clear"], world[["revenue"]], baselines=world[["blurred"]], draws=50)
    other = validate_rating(shuffled["clear"], world[["revenue"]], baselines=shuffled[["blurred"]], draws=50)
    pd.testing.assert_frame_equal(one, other)


def test_shuffled_outcomes_are_not_ordered():
    # 60 worlds without a link: the 90% interval holds 0 in about 54; fewer than 46 has a chance under 0.1%.
    held = 0
    for seed in range(60):
        world = plant(n=60, seed=seed)
        outcome = pd.DataFrame(
            {"revenue": np.random.default_rng(seed + 1000).permutation(world["revenue"])}, index=world.index
        )
        row = validate_rating(world["clear"], outcome, draws=100, level=0.9, random_state=seed).iloc[0]
        held += row["lower"] <= 0 <= row["upper"]
    assert held >= 46


def test_too_few_partners_and_constant_outcomes_say_so():
    world = plant(n=29)
    row = validate_rating(world["clear"], world[["revenue"]]).iloc[0]
    assert np.isnan(row["spearman"])
    assert row["finding"] == "Only 29 partners can be compared on revenue; 30 are needed."
    flat = pd.DataFrame({"revenue": 1.0}, index=plant().index)
    row = validate_rating(plant()["clear"], flat, draws=10).iloc[0]
    assert np.isnan(row["spearman"])
    assert "the same for all partners" in row["finding"]


def test_a_constant_rating_cannot_be_compared_with_a_baseline():
    world = plant()
    flat = pd.Series(50.0, index=world.index)
    result = validate_rating(flat, world[["revenue"]], baselines=world[["clear"]], draws=10)
    assert result.loc[1, "winner"] is None
    assert "cannot be compared" in result.loc[1, "finding"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baselines": plant()[["clear"]].rename(columns={"clear": "rating"})}, "rename the baseline"),
        ({"baselines": plant()[["revenue"]]}, "rename the baseline"),
        ({"draws": 0}, "must be >= 1"),
        ({"level": 1.0}, "between 0 and 1"),
        ({"baselines": pd.concat([plant()[["clear"]]] * 2)}, "one row a partner"),
    ],
)
def test_impossible_comparisons_are_refused(options, message):
    world = plant()
    with pytest.raises(ValueError, match=message):
        validate_rating(world["clear"], world[["revenue"]], **options)
