import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr
from scipy.stats import kendalltau, norm, spearmanr
from sklearn.metrics import roc_auc_score

from partnerseg.rating.samples import measure_error, normal_scores
from partnerseg.rating.validation import (
    _area,
    _count_below,
    _kendall,
    calibrate_tiers,
    compare_ratings,
    measure_noise,
    measure_reversal,
    measure_stability,
    next_outcomes,
    validate_rating,
)


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
        ({"draws": 0}, "draws == 0, must be a whole number >= 1; 1000 is usual"),
        ({"draws": np.nan}, "draws == nan, must be a whole number"),
        ({"draws": 5.5}, "draws == 5.5, must be a whole number"),
        ({"score": plant()["clear"][:0]}, "score is empty, must hold at least one partner; rate a date"),
        ({"score": plant()["clear"].to_numpy()}, "score is ndarray, must be a Series with the index partner_id"),
        ({"score": plant()["clear"].replace(plant()["clear"].iloc[0], np.inf)}, "an infinite score, must be finite"),
        ({"outcomes": plant()["revenue"]}, "outcomes is Series, must be a DataFrame"),
        ({"level": 1.0}, "between 0 and 1"),
        ({"baselines": pd.concat([plant()[["clear"]]] * 2)}, "one row a partner"),
    ],
)
def test_impossible_comparisons_are_refused(options, message):
    world = plant()
    arguments = {"score": world["clear"], "outcomes": world[["revenue"]], **options}
    with pytest.raises(ValueError, match=message):
        validate_rating(**arguments)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (plant()["blurred"][:0], r"ratings\['other'\] is empty, must hold at least one partner"),
        (pd.concat({"2026-06-30": plant()["blurred"]})[:0], r"ratings\['other'\] is empty"),
        (plant()["blurred"].to_numpy(), r"ratings\['other'\] is ndarray, must be a Series"),
    ],
)
def test_a_rating_of_nobody_is_not_compared(other, message):
    world = plant()
    for ratings in ({"plain": world["clear"], "other": other}, {"other": other}):
        with pytest.raises(ValueError, match=message):
            compare_ratings(ratings, world[["revenue"]])


def test_whole_numbers_of_any_kind_are_draws():
    world = plant()
    one = validate_rating(world["clear"], world[["revenue"]], draws=np.int64(20))
    pd.testing.assert_frame_equal(one, validate_rating(world["clear"], world[["revenue"]], draws=20))


def test_normal_scores_are_told_within_a_date():
    values = pd.Series([1.0, 5, 5, 9, 2, 3], index=pd.MultiIndex.from_arrays([[1, 1, 1, 1, 2, 2], range(6)]))
    expected = [norm.ppf(share) for share in (1 / 8, 4 / 8, 4 / 8, 7 / 8, 1 / 4, 3 / 4)]
    assert normal_scores(values).tolist() == pytest.approx(expected)
    assert normal_scores(values.droplevel(0).iloc[:4]).tolist() == pytest.approx(expected[:4])


def over_dates(world, dates=("2024-12-31", "2025-06-30")):
    return pd.concat([world] * len(dates), keys=dates, names=["as_of", "partner_id"])


def test_kendall_by_hand_and_as_printed():
    # Six pairs: four agree, one is tied in x only, one in y only: 4 / sqrt(5 * 5).
    assert _kendall(np.array([1, 1, 2, 3]), np.array([1, 2, 2, 3]))[0] == pytest.approx(0.8)
    # Hollander and Wolfe (1973), p. 187: lightness of tuna and the scores of a panel, tau 0.444.
    lightness = np.array([44.4, 45.9, 41.9, 53.3, 44.7, 44.1, 50.7, 45.2, 60.1])
    panel = np.array([2.6, 3.1, 2.5, 5.0, 3.6, 4.0, 5.2, 2.8, 3.8])
    assert round(_kendall(lightness, panel)[0], 3) == 0.444
    assert np.isnan(_kendall(np.ones(5), np.arange(5))[0])


def test_auc_by_hand_and_as_printed():
    # Of four pairs three are in order and one is tied.
    assert _area(np.array([1.0, 2, 2, 3]), np.array([0, 0, 1, 1]))[0] == 0.875
    # Hanley and McNeil (1982), table I: 109 images rated 1 to 5, area 0.893, standard error 0.032 by their model.
    rated = np.repeat([1, 2, 3, 4, 5] * 2, [33, 6, 6, 11, 2, 3, 2, 2, 11, 33])
    abnormal = np.repeat([0, 1], [58, 51])
    area, influence = _area(rated, abnormal)
    assert round(area, 3) == 0.893
    assert measure_error(influence, np.arange(109)) == pytest.approx(0.032, abs=0.002)
    assert np.isnan(_area(rated, np.ones(109))[0])


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_kendall_auc_and_counts_equal_second_implementations(decimals):
    rng = np.random.default_rng(decimals)
    for n in (2, 3, 31, 200):
        x = rng.normal(size=n).round(decimals)
        y = (x + rng.normal(size=n)).round(decimals)
        flag = np.r_[0, 1, y[2:] > 0].astype(float)
        assert _count_below(x, y).tolist() == [((x < a) & (y < b)).sum() for a, b in zip(x, y, strict=True)]
        assert _kendall(x, y)[0] == pytest.approx(kendalltau(x, y).statistic, nan_ok=True)
        assert _area(x, flag)[0] == pytest.approx(roc_auc_score(flag, x))


def test_standard_errors_agree_with_the_jackknife_also_with_ties():
    rng = np.random.default_rng(0)
    x = rng.exponential(size=150).round(0)  # two thirds of the pairs are tied, unevenly
    y = (x + rng.normal(size=150)).round(0)
    for find, other in ((_kendall, y), (_area, (y > 1).astype(float))):
        left_out = [find(np.delete(x, place), np.delete(other, place))[0] for place in range(150)]
        jackknife = np.sqrt(149 * np.var(left_out))
        assert measure_error(find(x, other)[1], np.arange(150)) == pytest.approx(jackknife, rel=0.03)


def test_intervals_hold_the_truth_as_often_as_they_say():
    # 200 worlds of 150 partners with a known truth; 95% intervals: fewer than 180 happen in under 0.1% of such tests.
    link, gap = 0.5, 1.0
    truth = {
        "spearman": 6 / np.pi * np.arcsin(link / 2),
        "kendall": 2 / np.pi * np.arcsin(link),
        "auc": float(ndtr(gap / np.sqrt(2))),
    }
    held = dict.fromkeys(truth, 0)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        flag = pd.Series((rng.random(150) < 0.3).astype(float))
        score = pd.Series(rng.normal(size=150))
        outcome = link * score + np.sqrt(1 - link**2) * rng.normal(size=150)
        row = validate_rating(score, outcome.to_frame("revenue"), draws=150, random_state=seed).iloc[0]
        told = validate_rating(score + gap * flag, flag.to_frame("retained"), draws=1).iloc[0]
        held["spearman"] += row["lower"] <= truth["spearman"] <= row["upper"]
        held["kendall"] += row["kendall_lower"] <= truth["kendall"] <= row["kendall_upper"]
        held["auc"] += told["auc_lower"] <= truth["auc"] <= told["auc_upper"]
    assert min(held.values()) >= 180, held


def test_dates_of_a_partner_are_drawn_together():
    # The same partners twice tell nothing new: every interval stays as wide. Drawing rows would make it narrower.
    world = plant()
    world["retained"] = (world["revenue"] > world["revenue"].median()).astype(float)
    outcomes = ["revenue", "retained"]
    once = validate_rating(world["clear"], world[outcomes], baselines=world[["blurred"]], draws=50)
    double = over_dates(world)
    twice = validate_rating(double["clear"], double[outcomes], baselines=double[["blurred"]], draws=50)
    assert twice["dates"].tolist() == [2] * 4
    pd.testing.assert_frame_equal(once.drop(columns="dates"), twice.drop(columns="dates"))


def test_dates_are_ranked_apart_and_small_ones_left_out():
    # In each date the order is perfect; the second date is ten times as rich, the third has too few partners.
    score = pd.Series(np.tile(np.arange(40.0), 3))
    days = np.repeat(["2024-12-31", "2025-06-30", "2025-12-31"], 40)
    index = pd.MultiIndex.from_arrays([days, np.tile(np.arange(40), 3)], names=["as_of", "partner_id"])
    outcome = pd.DataFrame(
        {"revenue": np.r_[np.arange(40.0), 1000 - 10 * np.arange(40.0)[::-1], -score[80:]]}, index=index
    )
    score.index = index
    score.iloc[:20] += 5  # changes no order within the date but one across
    row = validate_rating(score.drop(index[100:]), outcome, draws=10).iloc[0]
    assert row["dates"] == 2
    assert row["n"] == 40
    assert row["spearman"] == pytest.approx((1 + spearmanr(score[:40], np.arange(40)).statistic) / 2)


def test_auc_is_told_for_zeros_and_ones_only():
    world = plant()
    assert np.isnan(validate_rating(world["clear"], world[["revenue"]], draws=5).loc[0, "auc"])
    flag = (world["revenue"] > 1).astype(float)
    row = validate_rating(world["clear"], flag.to_frame("retained"), draws=5).iloc[0]
    assert row["auc"] == pytest.approx(roc_auc_score(flag, world["clear"]))
    assert row["auc_lower"] < row["auc"] < row["auc_upper"] < 1


def test_ratings_side_by_side():
    world = plant()
    world["copy"] = world["clear"]
    table = compare_ratings(
        {"blurred": world["blurred"], "clear": world["clear"]}, world[["revenue"]], baselines=world[["copy"]], draws=100
    ).set_index("model")
    assert table["verdict"].to_dict() == {"clear": "undecided", "copy": "undecided", "blurred": "behind"}
    assert table["kind"].to_dict() == {"clear": "rating", "copy": "baseline", "blurred": "rating"}
    assert table.loc["copy", "behind"] == 0
    alone = compare_ratings({"blurred": world["blurred"], "clear": world["clear"]}, world[["revenue"]], draws=100)
    assert alone[["model", "verdict"]].to_numpy().tolist() == [["clear", "winner"], ["blurred", "behind"]]
    assert alone.loc[0, "behind"] == -alone.loc[1, "behind"]
    for column in ("n", "spearman", "kendall", "lower"):
        assert alone.loc[0, column] == validate_rating(world["clear"], world[["revenue"]], draws=100).loc[0, column]


def test_noise_wins_against_noise_rarely():
    # 60 pairs of worthless ratings at 95%: a winner is called in about 3; more than 9 has a chance under 0.1%.
    won = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        models = {name: pd.Series(rng.normal(size=100)) for name in "ab"}
        table = compare_ratings(models, pd.DataFrame({"revenue": rng.normal(size=100)}), draws=100, random_state=seed)
        won += "winner" in table["verdict"].tolist()
    assert won <= 9


def test_a_single_or_unknown_rating_has_no_rival():
    world = plant()
    assert compare_ratings({"clear": world["clear"]}, world[["revenue"]], draws=5)["verdict"].tolist() == [None]
    few = plant(n=20)
    assert np.isnan(compare_ratings({"clear": few["clear"]}, few[["revenue"]], draws=5).loc[0, "spearman"])
    with pytest.raises(ValueError, match="at least one rating"):
        compare_ratings({}, world[["revenue"]])
    with pytest.raises(ValueError, match="both hold 'clear'"):
        compare_ratings({"clear": world["clear"]}, world[["revenue"]], baselines=world[["clear"]])


def test_tiers_by_hand():
    # Gold has 10 and 20, silver 5, bronze 7 on average; small holds too few to be told.
    tier = pd.Series(["gold"] * 60 + ["silver"] * 30 + ["small"] * 29 + ["bronze"] * 30)
    revenue = pd.DataFrame({"revenue": [10.0, 20.0] * 30 + [5.0] * 30 + [9.0] * 29 + [7.0] * 30})
    table = calibrate_tiers(tier, revenue, ["gold", "silver", "small", "bronze"]).set_index("tier")
    assert table["mean"].tolist() == pytest.approx([15, 5, np.nan, 7], nan_ok=True)
    assert table["step"].tolist() == pytest.approx([10, -2, np.nan, np.nan], nan_ok=True)
    assert table["order"].tolist()[:2] == ["above", "below"]
    assert table["order"].isna().tolist() == [False, False, True, True]
    assert not table["monotone"].any()
    # Standard error of gold's mean: 5 / sqrt(60), with 149 partners drawn.
    assert table.loc["gold", "upper"] - 15 == pytest.approx(1.959964 * 5 / np.sqrt(60) * np.sqrt(149 / 148))
    better = calibrate_tiers(tier, revenue, ["gold", "bronze", "small", "silver"])
    assert better["monotone"].all()


def test_tiers_of_several_dates_count_partners():
    tier = pd.Series(["gold"] * 40 + ["silver"] * 40)
    revenue = pd.DataFrame({"revenue": np.random.default_rng(0).normal(size=80)})
    once = calibrate_tiers(tier, revenue, ["gold", "silver"])
    days = {"keys": ["2024-12-31", "2025-06-30"], "names": ["as_of", "partner_id"]}
    twice = calibrate_tiers(pd.concat([tier] * 2, **days), pd.concat([revenue] * 2, **days), ["gold", "silver"])
    pd.testing.assert_frame_equal(once, twice)
    with pytest.raises(ValueError, match="'gold' is not in tiers"):
        calibrate_tiers(tier, revenue, ["silver"])


def test_stability_by_hand():
    # 40 partners, one of them rated on one date only; the first goes from rank 39 to 1 among 39 and all others by 1.
    before, after = pd.Series(np.arange(40.0)), pd.Series(np.arange(40.0))
    before.iloc[39], after.iloc[0] = np.nan, 100
    score = pd.concat([before, after], keys=["2026-05-31", "2026-06-30"])
    row = measure_stability(score).iloc[0]
    assert row["n"] == 39
    assert row["rank_shift"] == pytest.approx((38 + 38) / 39)
    assert row["share_shift"] == pytest.approx((38 + 38) / 39 / 39)
    assert row["spearman"] == pytest.approx(1 - 6 * (38**2 + 38) / (39 * (39**2 - 1)))
    assert measure_stability(score.loc[["2026-05-31"]]).empty
    with pytest.raises(ValueError, match="must be"):
        measure_stability(before)


def test_noise_moves_ranks_by_what_theory_says():
    # Scores on a normal scale with noise of 1% of 100 points: ranks move by n * mean |noise| * density, about.
    rng = np.random.default_rng(0)
    features = pd.DataFrame({"revenue": 100 + 10 * rng.normal(size=2000), "region": "north"})
    table = measure_noise(lambda X: X["revenue"], features, draws=5)
    expected = 2000 * np.sqrt(2 / np.pi) * 1.0 * (norm.pdf(0, scale=np.sqrt(2)) / 10)
    assert table["rank_shift"].mean() == pytest.approx(expected, rel=0.15)
    assert (table["spearman"] > 0.98).all()
    for options in ({"noise": -1}, {"draws": 0}):
        with pytest.raises(ValueError, match="must be >="):
            measure_noise(lambda X: X["revenue"], features, **options)


def test_reversal_is_measured_and_none_when_frozen():
    # Refitted: shares of the largest. Without c the ratio of a and b to the largest changes, their order with weights.
    features = pd.DataFrame({"volume": [4.0, 1.0, 10.0], "service": [1.0, 2.0, 2.0]}, index=["a", "b", "c"])
    fixed = measure_reversal(lambda X: X["volume"] / 10 + X["service"] / 2, features, ["a", "b", "c"])
    assert fixed["score_change"].tolist() == [0, 0, 0]
    assert fixed["reversed_pairs"].tolist() == [0, 0, 0]
    # With c: a 0.4 + 0.5 = 0.9, b 0.1 + 1 = 1.1. Without: a 1 + 0.5 = 1.5, b 0.25 + 1 = 1.25: turned around.
    anew = measure_reversal(lambda X: (X / X.max()).sum(axis=1), features, ["c"])
    assert anew.loc["c", "reversed_pairs"] == 1
    assert anew.loc["c", "score_change"] == pytest.approx(0.6)
    assert anew.loc["c", "n"] == 2


def make_tables():
    sold = ["2025-01-10", "2025-03-20", "2025-04-10", "2025-06-20", "2025-01-15", "2025-04-05", "2025-06-28"]
    return {
        "partners": pd.DataFrame({"partner_id": ["a", "b", "c"]}),
        "sales": pd.DataFrame(
            {
                "sale_id": [str(number) for number in range(7)],
                "partner_id": ["a", "a", "a", "a", "b", "b", "c"],
                "sold_at": pd.to_datetime(sold),
                "amount": [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0],
                "currency": "EUR",
                "is_return": False,
                "arrived_at": pd.to_datetime([None] * 6 + ["2025-08-01"]),
            }
        ),
    }


def test_outcomes_by_hand():
    # After 2025-03-31, 90 days end on 2025-06-29. a sold 30 + 40, b 60 on 5 April: not retained (but it had no sale
    # in the 45 days before, so that it could not be). c's sale is learned of later.
    found = next_outcomes(make_tables(), ["2025-03-31"], until="2025-06-30", days=90).loc["2025-03-31"]
    assert found["revenue"].to_dict() == {"a": 70.0, "b": 60.0, "c": 0.0}
    assert found.loc["a", "retained"] == 1
    assert np.isnan(found.loc["b", "retained"])
    # The last sale of b before 2025-04-05 is that day: afterwards nothing until 4 July.
    later = next_outcomes(make_tables(), ["2025-04-05"], until="2025-07-04", days=90).loc["2025-04-05"]
    assert later.loc["b", "retained"] == 0


def test_only_times_that_are_known_are_told():
    dates = ["2025-03-31", "2025-06-30"]
    found = next_outcomes(make_tables(), dates, until="2025-06-30", days=90)
    assert found.index.unique("as_of").tolist() == ["2025-03-31"]
    with pytest.raises(ValueError, match="choose earlier dates"):
        next_outcomes(make_tables(), dates, until="2025-06-28", days=90)
    with pytest.raises(ValueError, match="days == 30, must be 90 or 365"):
        next_outcomes(make_tables(), dates, until="2025-06-30", days=30)


def test_indexes_must_match():
    world = plant()
    with pytest.raises(ValueError, match="levels of the index"):
        validate_rating(world["clear"], over_dates(world)[["revenue"]])
