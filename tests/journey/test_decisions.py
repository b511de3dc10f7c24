import numpy as np
import pandas as pd
import pytest

from partnerseg.journey.decisions import DECISIONS, list_decisions
from partnerseg.journey.stages import Journey

STAGES, EXITS = ["recruited", "activated", "growing"], ["dormant"]
AS_OF = "2026-06-30"


def make_journey(rows, as_of=AS_OF, **columns):
    """Rows: partner, stage, day of entering."""
    stages = pd.DataFrame(rows, columns=["partner_id", "stage", "entered_at"])
    stages = stages.assign(entered_at=pd.to_datetime(stages["entered_at"]), **columns)
    return Journey(STAGES, EXITS, horizon_days=30).fit({"stages": stages}, as_of)


def make_log(*rows, **columns):
    """Rows: partner, action, time."""
    log = pd.DataFrame(rows, columns=["partner_id", "action", "taken_at"])
    return log.assign(taken_at=pd.to_datetime(log["taken_at"], format="ISO8601"), **columns)


def make_sales(*rows):
    """Rows: partner, time, amount; a negative amount is a return."""
    sales = pd.DataFrame(rows, columns=["partner_id", "sold_at", "amount"])
    return sales.assign(sold_at=pd.to_datetime(sales["sold_at"], format="ISO8601"), is_return=sales["amount"] < 0)


def steps_of(decisions):
    return decisions[decisions["action"] != "none"].reset_index(drop=True)


def quiet_of(decisions):
    found = decisions[decisions["action"] == "none"]
    return [(partner, f"{day:%m-%d}") for partner, day in zip(found["partner_id"], found["decided_at"], strict=True)]


def test_a_step_with_all_that_followed_by_hand():
    journey = make_journey(
        [("p1", "recruited", "2026-01-01"), ("p1", "activated", "2026-02-10"), ("p2", "recruited", "2026-01-01")]
    )
    sales = make_sales(
        ("p2", "2025-10-01", 1.0),  # sales are known from here on
        ("p1", "2026-01-10", 50.0),  # 31 days before the step: history only
        ("p1", "2026-01-12", 70.0),
        ("p1", "2026-02-09 23:59", 30.0),  # on the day itself: before
        ("p1", "2026-02-10", 100.0),
        ("p1", "2026-03-11 23:59", 9.5),  # the 30th day after
        ("p1", "2026-03-12", 1000.0),
        ("p1", "2026-03-01", -20.0),
    )
    log = make_log(("p1", "call", "2026-02-09 15:00"), approach="calendar", propensity=0.25, cost=20.0)
    step = steps_of(list_decisions(journey, log, sales=sales)).iloc[0]
    assert (step["stage"], step["days_in_stage"], step["next_stage"], step["moved"]) == (
        "recruited",
        39,
        "activated",
        1,
    )
    assert (step["approach"], step["propensity"], step["cost"]) == ("calendar", 0.25, 20)
    assert (step["value_before"], step["orders_before"]) == (100.0, 2)
    assert (step["value_after"], step["orders_after"]) == (89.5, 2)
    assert (step["history_days"], step["value_history"], step["orders_history"]) == (40, 150.0, 3)


def test_outcomes_are_missing_until_the_period_is_over():
    journey = make_journey([("p1", "recruited", "2026-01-01"), ("p2", "recruited", "2026-01-01")])
    sales = make_sales(("p1", "2026-05-20", 5.0), ("p1", "2026-06-10", 5.0))
    log = make_log(("p1", "call", "2026-05-31"), ("p2", "call", "2026-06-01"))
    told = steps_of(list_decisions(journey, log, sales=sales)).set_index("partner_id")
    assert told.loc["p1", "moved"] == 0 and told.loc["p1", "value_after"] == 5
    late = told.loc["p2"]
    assert late[["moved", "next_stage", "value_after", "orders_after"]].isna().all()
    assert told[["value_before", "orders_before"]].isna().all(axis=None)  # sales are known from 20 May on only
    assert told["history_days"].tolist() == [12, 13]


def test_a_period_without_a_step_is_listed_on_the_day_of_its_last_step():
    everyone = [(partner, "recruited", "2026-01-01") for partner in ("p1", "p2", "p3")]
    log = make_log(("p1", "call", "2026-03-01"), ("p2", "call", "2026-03-05"), ("p3", "call", "2026-05-02"))
    found = quiet_of(list_decisions(make_journey(everyone), log))
    # Steps fall on few days of a period: it is cut between them. In April nobody had a step: then its last day counts.
    assert [pair for pair in found if pair[1] == "03-05"] == [("p3", "03-05")]
    assert [pair for pair in found if pair[1] == "05-02"] == [("p1", "05-02"), ("p2", "05-02")]
    assert len([pair for pair in found if "03-05" < pair[1] < "05-02"]) == 3
    assert min(day for _, day in found) == "03-05"  # before the first step nothing was logged


def test_who_leaves_later_in_the_period_is_not_listed_more_often_without_a_step():
    """Steps and exits fall on all days; a step that changes nothing must find the same exits with and without."""
    rng = np.random.default_rng(0)
    n, start = 4_000, pd.Timestamp("2025-07-01")
    gone = np.ceil(rng.exponential(100, n))
    rows = [(f"p{i:04d}", "recruited", start) for i in range(n)]
    rows += [(f"p{i:04d}", "dormant", start + pd.Timedelta(days=day)) for i, day in enumerate(gone) if day < 360]
    steps = [(f"p{i:04d}", "call", start + pd.Timedelta(days=d)) for d in range(360) for i in np.flatnonzero(
        (rng.random(n) < 1.5 / 30) & (gone > d))]  # fmt: skip
    told = list_decisions(make_journey(rows), make_log(*steps)).query("stage == 'recruited' and next_stage.notna()")
    left = (told["next_stage"] == "dormant").groupby(told["action"] == "none").agg(["mean", "size"])
    assert left["size"].min() > 1_500
    # 1 - exp(-30 / 100) = 0.259; listed in the middle of the period, more than half would have left.
    assert left["mean"].to_numpy() == pytest.approx(0.259, abs=0.03)


def test_an_exit_can_be_left_and_the_last_stage_has_nothing_ahead():
    journey = make_journey(
        [("p1", "dormant", "2026-01-01"), ("p1", "activated", "2026-03-01"), ("p2", "growing", "2026-01-01")]
    )
    told = steps_of(list_decisions(journey, make_log(("p1", "call", "2026-02-20"), ("p2", "call", "2026-02-20"))))
    assert told["moved"].iloc[0] == 1 and told["next_stage"].tolist() == ["activated", "growing"]
    assert np.isnan(told["moved"].iloc[1])


def test_deals_and_unknown_stages_are_not_listed():
    rows = [("p1", "recruited", "2026-01-01"), ("p2", "recruited", "2026-01-01"), ("p3", "recruited", None)]
    journey = make_journey(rows, deal_id=[None, "d1", None])
    log = make_log(*[(partner, "call", "2026-02-01") for partner in ("p1", "p2", "p3", "p4")])
    assert set(list_decisions(journey, log)["partner_id"]) == {"p1"}
    assert list_decisions(journey, make_log(("p1", "call", "2025-12-31"))).query("action == 'call'").empty


def test_what_comes_later_or_arrives_later_changes_nothing():
    journey = make_journey([("p1", "recruited", "2026-01-01"), ("p2", "recruited", "2026-01-01")])
    log = make_log(("p1", "call", "2026-02-01"), arrived_at=pd.Timestamp("2026-02-02"))
    sales = make_sales(("p1", "2026-01-01", 5.0), ("p1", "2026-02-20", 7.0)).assign(arrived_at=pd.NaT)
    told = list_decisions(journey, log, sales=sales)
    later = [
        make_log(("p2", "call", "2026-07-01"), arrived_at=pd.NaT),
        make_log(("p2", "call", "2026-02-01"), arrived_at=pd.Timestamp("2026-07-01")),
    ]
    sold = [
        make_sales(("p1", "2026-07-01", 5.0)).assign(arrived_at=pd.NaT),
        make_sales(("p1", "2026-02-20", 5.0)).assign(arrived_at=pd.Timestamp("2026-07-02")),
    ]
    again = list_decisions(journey, pd.concat([log, *later]), sales=pd.concat([sales, *sold]))
    pd.testing.assert_frame_equal(told, again)


def test_the_order_of_rows_is_irrelevant_and_nothing_is_changed():
    rng = np.random.default_rng(1)
    days = pd.date_range("2026-01-01", AS_OF)
    names = [f"p{i}" for i in range(20)]
    log = make_log(*[(rng.choice(names), rng.choice(["call", "mail"]), rng.choice(days)) for _ in range(60)])
    sales = make_sales(*[(rng.choice(names), rng.choice(days), round(rng.lognormal(3, 2), 2)) for _ in range(500)])
    journey = make_journey([(name, "recruited", "2026-01-01") for name in names])
    kept = log.copy(), sales.copy()
    told = list_decisions(journey, log, sales=sales)
    again = list_decisions(journey, log.sample(frac=1, random_state=2), sales=sales.sample(frac=1, random_state=3))
    pd.testing.assert_frame_equal(told, again)
    pd.testing.assert_frame_equal(log, kept[0])
    pd.testing.assert_frame_equal(sales, kept[1])


def test_doing_nothing_may_be_logged_with_its_chance():
    journey = make_journey([("p1", "recruited", "2026-01-01")])
    told = list_decisions(journey, make_log(("p1", "none", "2026-02-01"), propensity=0.7))
    assert told.iloc[0]["propensity"] == 0.7 and told.iloc[0]["action"] == "none"
    assert (told["decided_at"] < "2026-02-20").sum() == 1


def test_empty_tables_give_typed_columns():
    empty = make_log().astype({"taken_at": "datetime64[us]"})
    journey = make_journey([("p1", "recruited", "2026-01-01")])
    assert dict(list_decisions(journey, empty).dtypes.astype(str)) == dict.fromkeys(DECISIONS) | {
        name: pd.Series(dtype=kind).dtype.name for name, kind in DECISIONS.items()
    }
    nobody = make_journey([], as_of=AS_OF)
    assert list_decisions(nobody, empty, sales=make_sales().astype({"sold_at": "datetime64[us]"})).empty


def test_without_logged_steps_periods_start_with_the_first_stay():
    """Periods of 30 days end on 30 June, 31 May, ..., 1 January: that of the first stay is told, none before."""
    rows = [("p1", "recruited", "2025-12-20"), ("p1", "activated", "2026-01-15"), ("p2", "recruited", "2026-04-10")]
    told = list_decisions(make_journey(rows), make_log(("p9", "call", "2026-02-01"), ("p1", "call", "2026-07-01")))
    assert quiet_of(told) == [
        *(("p1", day) for day in ("01-01", "01-31", "03-02", "04-01", "05-01", "05-31", "06-30")),
        *(("p2", day) for day in ("05-01", "05-31", "06-30")),
    ]
    assert len(told) == 10 and told["moved"].tolist()[:6] == [1, 0, 0, 0, 0, 0]


def test_a_period_has_at_least_a_day():
    with pytest.raises(ValueError, match=r"period_days == 0, must be >= 1; edit journey\.horizon_days"):
        list_decisions(make_journey([("p1", "recruited", "2026-01-01")]), make_log(), period_days=0)


def test_who_moves_on_on_the_last_day_of_the_period_has_moved():
    """A call on 1 February; 30 days later is 3 March."""
    rows = [(partner, "recruited", "2026-01-01 00:00") for partner in ("p1", "p2")]
    journey = make_journey([*rows, ("p1", "activated", "2026-03-03 23:00"), ("p2", "activated", "2026-03-04 00:00")])
    told = steps_of(list_decisions(journey, make_log(*[(partner, "call", "2026-02-01") for partner in ("p1", "p2")])))
    assert told["moved"].tolist() == [1, 0] and told["next_stage"].tolist() == ["activated", "recruited"]
