import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partnerseg.params import Params
from partnerseg.rating.economics import sum_privileges, tier_economics, what_if_thresholds
from partnerseg.rating.tiers import assign_tiers, follow_tiers

THRESHOLDS = pd.Series({"gold": 80.0, "silver": 60.0, "bronze": 0.0})
PRIVILEGES = [
    {"tier": "gold", "privilege": "own manager", "cost": 500.0},
    {"tier": "gold", "privilege": "early access", "cost": 100.0},
    {"tier": "silver", "privilege": "training", "cost": 150.0},
]
SCORE = pd.Series([90.0, 85, 70, 61, 10, np.nan], index=list("abcdef"))
REVENUE = pd.Series({"a": 10_000.0, "b": 2_000.0, "c": 1_000.0, "e": 50.0, "f": 70.0})


def test_economics_by_hand():
    tiers = assign_tiers(SCORE, thresholds=THRESHOLDS).tier
    table = tier_economics(tiers, REVENUE, privileges=PRIVILEGES, margin=0.2)
    assert table.index.tolist() == ["gold", "silver", "bronze", "not rated", "all"]
    assert table["partners"].tolist() == [2, 2, 1, 1, 6]
    # d's revenue is unknown.
    assert table["known"].tolist() == [2, 1, 1, 1, 5]
    assert table["revenue"].tolist() == [12_000, 1_000, 50, 70, 13_120]
    assert table["margin"].tolist() == pytest.approx([2_400, 200, 10, 14, 2_624])
    assert table["cost"].tolist() == [1_200, 300, 0, 0, 1_500]
    assert table["net"].tolist() == pytest.approx([1_200, -100, 10, 14, 1_124])
    assert table["cost_per_revenue"].tolist() == pytest.approx([0.1, 0.3, 0, 0, 1_500 / 13_120])
    assert table["revenue_per_partner"].tolist() == pytest.approx([6_000, 1_000, 50, 70, 2_624])


def test_privileges_cost_for_the_time_looked_at():
    tiers = assign_tiers(SCORE, thresholds=THRESHOLDS).tier
    table = tier_economics(tiers, REVENUE, privileges=PRIVILEGES, period_days=73)
    assert table.loc["gold", "cost"] == pytest.approx(240)


def test_unknown_revenue_is_not_zero():
    tiers = assign_tiers(SCORE, thresholds=THRESHOLDS).tier
    table = tier_economics(tiers, pd.Series({"a": 1.0}), privileges=PRIVILEGES)
    assert table.loc["silver", ["revenue", "net", "cost_per_revenue"]].isna().all()
    nobody = tier_economics(tiers[:0], REVENUE, privileges=PRIVILEGES)
    assert nobody["partners"].sum() == 0
    assert (nobody["net"] == 0).all()


def test_back_dated_tables_by_date():
    dates = pd.to_datetime(["2026-01-31", "2026-02-28"])
    index = pd.MultiIndex.from_product([dates, ["a", "b"]], names=["as_of", "partner_id"])
    followed = follow_tiers(pd.Series([85.0, 50, 79, 82], index=index), thresholds=THRESHOLDS)
    revenue = pd.Series([100.0, 10, 200, 20], index=index)
    table = tier_economics(followed["tier"], revenue, privileges=PRIVILEGES)
    assert table.index.names == ["as_of", "tier"]
    assert table.xs("gold", level="tier")["revenue"].tolist() == [100, 20]
    assert table.xs("all", level="tier")["cost"].tolist() == [600, 750]
    one = tier_economics(followed.loc[dates[0], "tier"], revenue[dates[0]], privileges=PRIVILEGES)
    pd.testing.assert_frame_equal(table.loc[dates[0]], one)


def test_privileges_as_read_from_files():
    rows = Params({"rating": {"privileges": PRIVILEGES}}).rating.privileges
    assert sum_privileges(rows, ["gold", "silver", "bronze"]) == {"gold": 600.0, "silver": 150.0, "bronze": 0.0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"privileges": [{"tier": "wood", "privilege": "x", "cost": 1}]}, r"privileges\[0\].tier == 'wood'"),
        ({"privileges": [{"tier": "gold", "cost": 1}]}, r"privileges\[0\].privilege: must be there"),
        ({"privileges": [{"tier": "gold", "privilege": "x", "cost": -1}]}, r"privileges\[0\].cost == -1"),
        ({"privileges": [{"tier": "gold", "privilege": "x", "cost": "dear"}]}, "cost == dear, must be a number >= 0"),
        ({"privileges": [{"tier": np.str_("wood"), "privilege": "x", "cost": 1}]}, "tier == 'wood'"),
        ({"margin": 1.2}, r"rating.margin == 1.2"),
        ({"period_days": 0}, "period_days == 0"),
        ({"tiers": pd.Series(["gold"])}, "must be an ordered category"),
    ],
)
def test_impossible_economics_are_refused(options, message):
    arguments = {"tiers": assign_tiers(SCORE, thresholds=THRESHOLDS).tier, "revenue": REVENUE, **options}
    with pytest.raises(ValueError, match=message):
        tier_economics(**arguments)


def test_what_if_by_hand():
    options = {"thresholds": THRESHOLDS, "revenue": REVENUE, "privileges": PRIVILEGES}
    result = what_if_thresholds(SCORE, changes={"gold": 8.0, "silver": -52.0}, **options)
    # b falls to silver, e rises to silver; the others stay.
    assert result.moves["change"].to_dict() == {"b": "demoted", "e": "promoted"}
    assert result.moves.loc["b", ["tier_before", "tier_after"]].tolist() == ["gold", "silver"]
    table = result.table
    assert table["threshold_after"].tolist()[:3] == [88, 8, 0]
    assert table["partners_after"].tolist() == [1, 4, 0, 5 + 1]
    assert table["cost_before"].tolist() == [1_200, 300, 0, 1_500]
    assert table["cost_after"].tolist() == [600, 600, 0, 1_200]
    # Revenue stays: what is saved on privileges is what is won.
    assert table.loc["all", "net_after"] - table.loc["all", "net_before"] == pytest.approx(300)


def test_what_if_with_other_shares():
    options = {"thresholds": THRESHOLDS, "revenue": REVENUE}
    result = what_if_thresholds(SCORE, shares={"gold": 0.6, "silver": 0.2, "bronze": 0.2}, **options)
    assert result.table["threshold_after"].tolist()[:3] == [70, 61, 0]
    assert result.moves["tier_after"].astype(object).to_dict() == {"c": "gold"}


def test_what_if_follows_the_rule_that_the_tiers_follow():
    dates = ["2026-04-30", "2026-05-31", "2026-06-30"]
    index = pd.MultiIndex.from_product([dates, list("abc")], names=["as_of", "partner_id"])
    # a fell 1 under gold (hysteresis keeps it), b waits out its grace, c rises.
    score = pd.Series([81, 85, 50, 79, 70, 50, 79, 70, 64], index=index, dtype=float)
    revenue = pd.Series({"a": 1_000.0, "b": 500.0, "c": 100.0})
    rule = {"hysteresis": 2.0, "grace_days": 60}
    options = {"thresholds": THRESHOLDS, "revenue": revenue, "privileges": PRIVILEGES}
    followed = follow_tiers(score, thresholds=THRESHOLDS, **rule).loc[dates[-1]]
    assert followed["tier"].tolist() == ["gold", "gold", "silver"]
    same = what_if_thresholds(score, changes={"gold": 0.0}, **options, **rule)
    assert same.moves.empty
    assert same.table.loc["all", "cost_after"] == 2 * 600 + 150
    # Had gold been at 88 all along, a and b had never been in it; without the rule they are not in it anyway.
    higher = what_if_thresholds(score, changes={"gold": 8.0}, **options, **rule)
    assert higher.moves["change"].to_dict() == {"a": "demoted", "b": "demoted"}
    assert what_if_thresholds(score, changes={"gold": 8.0}, **options).moves.empty


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"changes": {"gold": np.nan}}, r"changes\['gold'\] == nan, must be a finite number of points; 0 leaves it"),
        ({"changes": {"gold": np.inf}}, r"changes\['gold'\] == inf, must be a finite number"),
        ({"changes": {"gold": 1.0}, "hysteresis": np.nan}, "rating.hysteresis == nan, must be a number >= 0"),
        ({}, "exactly one must be given"),
        ({"changes": {"gold": 1}, "shares": {"gold": 1.0}}, "exactly one must be given"),
        ({"changes": {"bronze": 1}}, "possible values are: gold, silver"),
        ({"changes": {"gold": -30}}, "must fall"),
        ({"shares": {"gold": 0.5, "bronze": 0.5}}, "must be .'gold', 'silver', 'bronze'."),
    ],
)
def test_impossible_what_ifs_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        what_if_thresholds(SCORE, thresholds=THRESHOLDS, revenue=REVENUE, **options)


def test_a_what_if_of_nobody_is_refused():
    with pytest.raises(ValueError, match="score is empty, must hold the score of at least one partner"):
        what_if_thresholds(SCORE[:0], thresholds=THRESHOLDS, revenue=REVENUE, changes={"gold": 1.0})


@given(st.lists(st.one_of(st.integers(0, 100), st.just(np.nan)), min_size=1, max_size=30), st.integers(-15, 15))
def test_lower_thresholds_promote_and_higher_ones_demote(values, points):
    score = pd.Series(values, dtype=float)
    revenue = pd.Series(range(len(values)), dtype=float)
    options = {"thresholds": THRESHOLDS, "revenue": revenue, "privileges": PRIVILEGES}
    result = what_if_thresholds(score, changes={"gold": points, "silver": points}, **options)
    assert set(result.moves["change"]) <= {"promoted" if points < 0 else "demoted"}
    table = result.table.drop(index="all")
    assert table["partners_before"].sum() == table["partners_after"].sum() == score.notna().sum()
    assert table["cost_after"].sum() == pytest.approx(result.table.loc["all", "cost_after"])
