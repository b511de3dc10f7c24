import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from partnerseg.rating.tiers import TIERS, assign_tiers, find_thresholds, follow_tiers, list_tier_changes

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
        ({"hysteresis": -1}, "must be a number >= 0"),
        ({"hysteresis": np.nan}, "rating.hysteresis == nan, must be a number >= 0; 0 is without hysteresis"),
        ({"tiers": {"gold": np.nan, "bronze": 1.0}}, "rating.tiers == .*nan.*, must be shares >= 0 that sum to 1"),
        ({"thresholds": {"gold": 80.0, "bronze": 0.0}}, "thresholds is dict, must be a Series of points by tier"),
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


# Date after date

MONTHS = pd.to_datetime(["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30"])


def follow(**values):
    """Scores of partners by month."""
    frame = pd.DataFrame(values, index=MONTHS[: len(next(iter(values.values())))], dtype=float)
    return frame.rename_axis(index="as_of", columns="partner_id").stack(future_stack=True)  # noqa: PD013


def tell(followed, partner):
    rows = followed.xs(partner, level="partner_id")
    return rows["tier"].astype(object).tolist(), rows["reason"].tolist()


def test_promotions_and_demotions_by_hand():
    followed = follow_tiers(
        follow(up=[70, 81, 82, 82], down=[85, 79, 77, 77], two=[59, 85, 85, 30]), thresholds=THRESHOLDS, hysteresis=2
    )
    assert tell(followed, "up") == (["silver", "silver", "gold", "gold"], ["", "", "threshold_passed", ""])
    assert tell(followed, "down") == (["gold", "gold", "silver", "silver"], ["", "", "threshold_lost", ""])
    assert tell(followed, "two")[0] == ["bronze", "gold", "gold", "bronze"]
    changes = list_tier_changes(followed, THRESHOLDS)
    assert changes["sentence"].tolist() == [
        "Promoted from bronze to gold: 85.0 points, 5.0 over the threshold of 80.0.",
        "Promoted from silver to gold: 82.0 points, 2.0 over the threshold of 80.0.",
        "Demoted from gold to silver: 77.0 points, 3.0 under the threshold of 80.0.",
        "Demoted from gold to bronze: 30.0 points, 50.0 under the threshold of 80.0.",
    ]
    assert changes["change"].tolist() == ["promoted", "promoted", "demoted", "demoted"]
    assert changes["as_of"].tolist() == [MONTHS[1], MONTHS[2], MONTHS[2], MONTHS[3]]


def test_a_demotion_waits_for_the_grace_period():
    score = follow(falls=[85, 70, 70, 70, 70, 70], recovers=[85, 70, 79, 70, 70, 79], climbs=[85, 50, 50, 62, 70, 70])
    followed = follow_tiers(score, thresholds=THRESHOLDS, hysteresis=2, grace_days=60)
    # Too low since the end of February; 60 days later is the end of April (61 days).
    assert tell(followed, "falls")[0] == ["gold"] * 3 + ["silver"] * 3
    assert tell(followed, "falls")[1] == ["", "", "", "grace_ended", "", ""]
    # 79 is not too low with hysteresis 2: the grace period starts anew at the end of April.
    assert tell(followed, "recovers")[0] == ["gold"] * 6
    # The tier of the day on which grace ends.
    assert tell(followed, "climbs")[0] == ["gold"] * 3 + ["silver"] * 3
    assert followed["below_since"].xs("falls", level=1).tolist()[:4] == [pd.NaT, MONTHS[1], MONTHS[1], MONTHS[1]]
    sentence = list_tier_changes(followed, THRESHOLDS)["sentence"].tolist()[0]
    assert sentence == (
        "Demoted from gold to silver: 70.0 points, 10.0 under the threshold of 80.0; "
        "too low since 2026-02-28, grace ended."
    )


def test_the_young_are_not_promoted():
    score = follow(new=[90, 90, 90, 90], poor=[10, 10, 10, 10], old=[90, 90, 90, 90], near=[81, 81, 81, 81])
    joined = pd.Series({"new": "2026-01-15", "poor": "2026-01-15", "old": "2020-01-01", "near": "2026-01-15"})
    followed = follow_tiers(score, thresholds=THRESHOLDS, hysteresis=2, min_tenure_days=60, joined_at=joined)
    # 60 days after 15 January is 16 March.
    assert tell(followed, "new") == (["bronze", "bronze", "gold", "gold"], ["", "", "tenure_reached", ""])
    assert followed["held_back"].xs("new", level=1).tolist() == [True, True, False, False]
    assert tell(followed, "poor")[1] == [""] * 4
    assert tell(followed, "old")[0] == ["gold"] * 4
    # One who was held back meets the threshold itself, as a newly rated one does.
    assert tell(followed, "near")[0] == ["bronze", "bronze", "gold", "gold"]
    assert list_tier_changes(followed, THRESHOLDS)["sentence"].str.endswith("; minimum tenure reached.").all()
    unknown = follow_tiers(score, thresholds=THRESHOLDS, min_tenure_days=60, joined_at=pd.Series({"old": "2020-01-01"}))
    assert tell(unknown, "new")[0] == ["gold"] * 4


def test_a_partner_that_is_not_rated_any_more_starts_anew():
    followed = follow_tiers(follow(a=[85, np.nan, 79, 81], b=[np.nan, 85, 85, 85]), thresholds=THRESHOLDS, hysteresis=2)
    assert tell(followed, "a")[1] == ["", "not_rated", "rated", ""]
    assert tell(followed, "a")[0][2:] == ["silver", "silver"]
    assert tell(followed, "b")[1] == [""] * 4
    changes = list_tier_changes(followed, THRESHOLDS)
    assert changes["sentence"].tolist() == ["Not rated any more: was gold.", "Rated: 79.0 points are silver."]
    assert changes["threshold"].isna().all()


def test_partners_that_come_and_go_have_rows_only_where_they_are():
    score = follow(a=[85, 85, 85], b=[70, 70, 70]).drop([(MONTHS[1], "a"), (MONTHS[0], "b")])
    followed = follow_tiers(score, thresholds=THRESHOLDS)
    assert followed.index.equals(score.index)
    assert tell(followed, "a") == (["gold", "gold"], ["", "rated"])
    assert follow_tiers(score.iloc[:0], thresholds=THRESHOLDS).empty
    assert list_tier_changes(followed.iloc[:0], THRESHOLDS).empty


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grace_days": -1}, "rating.grace_days == -1"),
        ({"grace_days": np.nan}, "rating.grace_days == nan, must be a whole number of days >= 0; 0 is without"),
        ({"grace_days": 1.5}, "rating.grace_days == 1.5, must be a whole number of days"),
        ({"hysteresis": np.inf}, "rating.hysteresis == inf, must be a number"),
        ({"min_tenure_days": -1}, "rating.min_tenure_days == -1"),
        ({"min_tenure_days": 30}, "pass joined_at"),
        ({"hysteresis": -1}, "rating.hysteresis == -1"),
        ({"thresholds": THRESHOLDS[::-1]}, "must fall"),
        ({"score": pd.Series([1.0])}, "must be \\(as_of, partner_id\\)"),
    ],
)
def test_impossible_rules_are_refused(options, message):
    arguments = {"score": follow(a=[1.0]), "thresholds": THRESHOLDS, **options}
    with pytest.raises(ValueError, match=message):
        follow_tiers(arguments.pop("score"), **arguments)


def test_days_of_any_kind_of_number_are_days():
    score = follow(a=[85, 70, 70])
    whole = follow_tiers(score, thresholds=THRESHOLDS, grace_days=30)
    pd.testing.assert_frame_equal(whole, follow_tiers(score, thresholds=THRESHOLDS, grace_days=np.float64(30)))


def test_one_cannot_go_on_from_a_later_date():
    score = follow(a=[85, 85])
    with pytest.raises(ValueError, match="previous ends at 2026-02-28, must be before"):
        follow_tiers(score, thresholds=THRESHOLDS, previous=follow_tiers(score, thresholds=THRESHOLDS))


histories = st.lists(
    st.lists(st.one_of(st.integers(0, 100), st.just(np.nan)), min_size=6, max_size=6), min_size=1, max_size=8
)
rules = st.fixed_dictionaries(
    {
        "hysteresis": st.sampled_from([0.0, 2.0, 10.0]),
        "grace_days": st.sampled_from([0, 30, 60]),
        "min_tenure_days": st.sampled_from([0, 45, 90]),
    }
)


def make_histories(values):
    score = follow(**{f"P{place}": row for place, row in enumerate(values)})
    joined = pd.Series({f"P{place}": MONTHS[place % 3] for place in range(len(values))})
    return score, joined


@example([[90, 70, 70, 10, 10, 10]], {"hysteresis": 2.0, "grace_days": 30, "min_tenure_days": 0}, 3)
@given(histories, rules, st.integers(1, 5))
def test_following_in_two_runs_is_the_same_as_in_one(values, rule, cut):
    score, joined = make_histories(values)
    whole = follow_tiers(score, thresholds=THRESHOLDS, joined_at=joined, **rule)
    early = score.index.get_level_values(0) < MONTHS[cut]
    first = follow_tiers(score[early], thresholds=THRESHOLDS, joined_at=joined, **rule)
    second = follow_tiers(score[~early], thresholds=THRESHOLDS, joined_at=joined, previous=first, **rule)
    pd.testing.assert_frame_equal(pd.concat([first, second]), whole)


@given(histories, rules)
def test_each_partner_is_followed_alone(values, rule):
    score, joined = make_histories(values)
    whole = follow_tiers(score, thresholds=THRESHOLDS, joined_at=joined, **rule)
    alone = score.xs("P0", level="partner_id", drop_level=False)
    own = follow_tiers(alone, thresholds=THRESHOLDS, joined_at=joined, **rule)
    pd.testing.assert_frame_equal(own, whole.loc[own.index])


@given(histories, st.sampled_from([0.0, 2.0]))
def test_without_grace_and_tenure_it_is_assign_tiers_on_each_date(values, hysteresis):
    score, _ = make_histories(values)
    followed = follow_tiers(score, thresholds=THRESHOLDS, hysteresis=hysteresis)
    previous = None
    for month in MONTHS:
        tier = assign_tiers(score[month], thresholds=THRESHOLDS, hysteresis=hysteresis, previous=previous).tier
        assert followed.loc[month, "tier"].equals(tier)
        previous = tier


@given(histories, rules)
def test_every_change_has_a_reason_and_nothing_else_has(values, rule):
    score, joined = make_histories(values)
    followed = follow_tiers(score, thresholds=THRESHOLDS, joined_at=joined, **rule)
    changes = list_tier_changes(followed, THRESHOLDS)
    tier = followed["tier"].cat.codes
    rated = score.notna().groupby(level=1).cumsum()
    differs = (tier != tier.groupby(level=1).shift()) & (rated.groupby(level=1).shift() > 0)
    assert len(changes) == differs.sum()
    promoted = changes["change"] == "promoted"
    assert (changes.loc[promoted, "distance"] >= 0).all()
    assert (changes.loc[changes["change"] == "demoted", "distance"] < 0).all()


def count_changes(score, thresholds, **rule):
    followed = follow_tiers(score, thresholds=thresholds, **rule)
    return (followed["reason"] != "").sum()


def add_noise(true, rng):
    """Twelve months of scores: each true score and new noise of 1 point, a hundredth of the range."""
    months = pd.date_range("2025-07-31", periods=12, freq="ME")
    noisy = np.clip(true + rng.normal(0, 1, (12, len(true))), 0, 100)
    return pd.Series(noisy.ravel(), index=pd.MultiIndex.from_product([months, range(len(true))]))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("near", [False, True])
def test_noise_of_one_percent_flips_five_times_fewer_tiers_than_naive_thresholds(seed, near):
    rng = np.random.default_rng(seed)
    true = rng.normal(50, 15, 2_000).clip(0, 100)
    thresholds = find_thresholds(pd.Series(true))
    if near:
        true = thresholds.to_numpy()[rng.integers(0, 3, 300)] + rng.uniform(-1, 1, 300)
    score = add_noise(true, rng)
    naive, kept = count_changes(score, thresholds), count_changes(score, thresholds, hysteresis=2.0)
    assert naive > 500
    assert naive >= 5 * kept
