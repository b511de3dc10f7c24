"""Hand-worked numbers for every family, and what is missing when."""

import numpy as np
import pandas as pd
import pytest

from partnerseg.features.build import TEXTS, build_features
from partnerseg.features.catalogue import FEATURES, describe_features
from partnerseg.features.events import ASSESSED
from partnerseg.programme.tables import ASSESSORS

AS_OF = "2026-06-30"


def times(values) -> pd.DatetimeIndex:
    return pd.to_datetime(values, format="ISO8601")


def day(text: str) -> pd.Timestamp:
    return pd.Timestamp(text)


def partners(*ids: str, **columns) -> pd.DataFrame:
    return pd.DataFrame({"partner_id": list(ids), **columns})


def sales(*rows: tuple, **columns) -> pd.DataFrame:
    """Rows of (partner_id, sold_at, amount); a negative amount is a return."""
    frame = pd.DataFrame(rows, columns=["partner_id", "sold_at", "amount"])
    frame["sale_id"] = [f"s{place}" for place in range(len(frame))]
    frame["sold_at"] = times(frame["sold_at"])
    frame["currency"] = "EUR"
    frame["is_return"] = frame["amount"] < 0
    return frame.assign(**columns)


def touches(*rows: tuple) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["partner_id", "touched_at", "channel", "action"])
    frame["touch_id"] = [f"t{place}" for place in range(len(frame))]
    frame["touched_at"] = times(frame["touched_at"])
    return frame


def build(as_of=AS_OF, *, assessed=ASSESSED, evidence=ASSESSORS, **tables) -> pd.DataFrame:
    return build_features({"partners": partners("a", "b"), **tables}, as_of, assessed=assessed, evidence=evidence)


SALES = sales(
    ("a", "2026-06-30 23:59", 100.0),
    ("a", "2026-06-01 00:00", 60.0),  # first moment of the 30 days
    ("a", "2026-05-31 23:59", 40.0),  # last moment before them
    ("a", "2026-06-10", -30.0),
    ("a", "2026-04-02 00:00", 200.0),  # first moment of the 90 days
    ("a", "2026-04-01 23:59", 400.0),
    ("a", "2025-07-01 00:00", 1000.0),  # first moment of the 365 days
    ("a", "2025-06-30 23:59", 5000.0),
    ("a", "2024-07-01 00:00", 2000.0),  # first day of the 365 days before
    discount=[0.1, 0.2, 0.3, np.nan, 0.0, np.nan, 0.4, 0.9, 0.9],
    product=["p", "q", "p", "z", "r", "p", None, "old", "old"],
)


def test_sales_volume_by_hand():
    a = build(sales=SALES).loc["a"]
    assert a["monetary_value_30d"] == 100 + 60 - 30
    assert a["monetary_value_90d"] == 100 + 60 - 30 + 40 + 200
    assert a["monetary_value_365d"] == 100 + 60 - 30 + 40 + 200 + 400 + 1000
    assert (a["frequency_30d"], a["frequency_90d"], a["frequency_365d"]) == (2, 4, 6)
    assert a["average_order_value_365d"] == 1800 / 6
    assert a["return_rate_365d"] == 1 / 6
    assert a["discount_365d"] == pytest.approx((0.1 + 0.2 + 0.3 + 0.0 + 0.4) / 5, abs=1e-15)
    assert a["products_365d"] == 3  # p, q, r: z was only returned
    assert a["recency_days"] == 0
    assert a["first_sale_days"] == 729


def test_growth_compares_with_the_window_before():
    a = build(sales=SALES).loc["a"]
    # 365 days: 1770 against 5000 + 2000; 90 days: 370 against 400.
    assert a["revenue_growth_365d"] == pytest.approx(1770 / 7000 - 1, abs=1e-15)
    assert a["revenue_growth_90d"] == pytest.approx(370 / 400 - 1, abs=1e-15)


def test_growth_is_unknown_when_sales_do_not_reach_back():
    recent = SALES[SALES["sold_at"] > day("2025-07-01")]
    a = build(sales=recent).loc["a"]
    assert np.isnan(a["revenue_growth_365d"])
    assert np.isnan(a["revenue_growth_90d"])  # the oldest row is of 1 April, the window before begins on 2 January
    assert np.isnan(build(sales=SALES).loc["b", "revenue_growth_90d"])  # no revenue before


def test_old_sales_keep_their_age():
    frame = sales(("a", "2010-01-01", 1.0), ("b", "2010-01-11", 1.0), ("b", "2026-06-29", 1.0))
    for as_of in ("2026-06-30", ["2012-12-31", "2026-06-30"]):
        found = build(sales=frame, as_of=as_of).tail(2)
        assert found["first_sale_days"].tolist() == [6024, 6014]
        assert found["recency_days"].tolist() == [6024, 1]


def test_stability_by_hand():
    # Months from the first sale on, November to June: 100, 0, 0, 300, 0, 200, 0, 0; mean 75, mean square 17500.
    frame = sales(
        ("a", "2025-11-03", 100.0), ("a", "2026-02-10", 300.0), ("a", "2026-04-10", 120.0), ("a", "2026-04-20", 80.0)
    )
    a = build(sales=frame).loc["a"]
    assert a["active_months_365d"] == 3
    assert a["monthly_variation_365d"] == pytest.approx(np.sqrt(17500 - 75**2) / 75, rel=1e-14)
    assert a["longest_gap_days_365d"] == 99  # 3 November to 10 February
    assert a["recency_days"] == 71
    # Two months with sales are too few; months that are not over do not count.
    assert np.isnan(build(sales=frame, as_of="2026-04-25").loc["a", "monthly_variation_365d"])
    assert build(sales=frame, as_of="2026-04-25").loc["a", "active_months_365d"] == 2


def test_months_before_the_first_sale_do_not_count_but_quiet_months_after_it_do():
    steady = sales(*[("a", f"2026-{month:02d}-15", 50.0) for month in (3, 4, 5, 6)], ("b", "2025-01-01", 1.0),
                   *[("b", f"2026-{month:02d}-15", 50.0) for month in (3, 4, 5, 6)])  # fmt: skip
    found = build(sales=steady)["monthly_variation_365d"]
    assert found["a"] == 0
    assert found["b"] == pytest.approx(np.sqrt(4 * 2500 / 12 - (200 / 12) ** 2) / (200 / 12), rel=1e-14)


def test_variation_is_drawn_to_the_middle_by_how_few_months_are_known():
    # a as above: 8 months since the first sale; b: 2 months, equal; c: in this month only.
    frame = sales(
        ("a", "2025-11-03", 100.0), ("a", "2026-02-10", 300.0), ("a", "2026-04-10", 200.0),
        ("b", "2026-05-10", 80.0), ("b", "2026-06-10", 80.0), ("b", "2026-07-10", 9000.0),
        ("c", "2026-07-11", 80.0), ("d", "2024-01-01", 80.0),
    )  # fmt: skip
    found = build(partners=partners("a", "b", "c", "d"), sales=frame, as_of="2026-07-15")["shrunk_variation_365d"]
    assert found["a"] == pytest.approx((7 * np.sqrt(17500 - 75**2) / 75 + 6 * 0.75) / 13, rel=1e-14)
    assert found["b"] == pytest.approx(6 * 0.75 / 7, rel=1e-14)  # July is not over
    assert found.isna().tolist() == [False, False, True, True]  # c has no complete month, d no revenue


def test_gap_needs_two_days_in_the_window():
    frame = sales(("a", "2025-06-30", 1.0), ("a", "2026-01-01", 1.0), ("a", "2026-01-01 12:00", 1.0))
    assert np.isnan(build(sales=frame).loc["a", "longest_gap_days_365d"])


def test_customers_by_hand():
    frame = sales(
        ("a", "2024-01-01", 10.0),
        ("a", "2025-08-01", 30.0),
        ("a", "2026-06-01", 20.0),
        ("a", "2026-06-02", 50.0),
        ("a", "2025-12-01", 100.0),
        ("a", "2025-12-02", -100.0),
        ("a", "2026-05-01", 7.0),
        customer_id=["old", "x", "x", "new", "old", "gone", None],
    )
    a = build(sales=frame).loc["a"]
    assert a["customers_90d"] == 2  # x, new
    assert a["customers_365d"] == 3  # x, new, old; gone only returned
    assert a["new_customers_90d"] == 1  # new
    assert a["new_customers_365d"] == 2  # x, new
    assert a["repeat_rate_365d"] == 1 / 3  # x
    assert a["top_customer_share_365d"] == 100 / 200


def test_customers_that_stay_by_hand():
    frame = sales(
        ("a", "2024-07-01", 10.0),  # first day of the window before
        ("a", "2024-06-30", 10.0),  # last day that is too old
        ("a", "2025-06-30", 10.0),
        ("a", "2025-07-01", 30.0),
        ("a", "2026-06-30", 30.0),
        ("a", "2026-06-01", 30.0),
        ("b", "2026-06-01", 30.0),
        ("b", "2025-06-01", 30.0),
        ("c", "2026-06-01", 30.0),
        customer_id=["kept", "old", "lost", "new", "kept", "new", "x", None, "y"],
    )
    found = build(partners=partners("a", "b", "c"), sales=frame)
    assert found["retained_customers_365d"].fillna(-1).tolist() == [1 / 2, -1, -1]  # kept, of kept and lost
    # kept 729 days, old 0, lost 0, new 335.
    assert found["customer_lifetime_days"].tolist() == [(729 + 335) / 4, 0, 0]
    assert found.loc["a", "customers_365d"] == 2


def test_new_deals_by_hand():
    stages = pd.DataFrame(
        [("a", "lead", "2026-01-01", "1"), ("a", "won", "2026-02-01", "1"), ("a", "lead", "2025-06-30", "2"),
         ("a", "won", "2026-02-01", "2"), ("a", "lead", None, "3"), ("a", "grown", "2026-02-01", None)],
        columns=["partner_id", "stage", "entered_at", "deal_id"],
    ).assign(entered_at=lambda frame: times(frame["entered_at"]))  # fmt: skip
    found = build(stages=stages)["new_deals_365d"]
    assert found.tolist() == [1, 0]  # deal 2 is older than the window, since when deal 3 stands there is not known
    assert build(stages=stages[stages["deal_id"].isna()])["new_deals_365d"].isna().all()


def test_geography_by_hand():
    frame = sales(
        ("a", "2026-06-01", 100.0),
        ("a", "2026-06-02", 60.0),
        ("a", "2026-06-03", 40.0),
        ("b", "2026-06-03", 40.0),
        country=["SE", "NO", "NO", "DK"],
    )
    found = build(sales=frame)
    assert found["countries_365d"].tolist() == [2, 1]
    assert found["effective_countries_365d"].tolist() == pytest.approx([2, 1], abs=1e-11)
    assert found["established_countries_365d"].tolist() == pytest.approx([1 / 10 + 4 / 13, 1 / 10], abs=1e-6)


def test_engagement_by_hand():
    frame = touches(
        ("a", "2026-06-30", "email", "sent"),
        ("a", "2026-06-20", "email", "sent"),
        ("a", "2026-06-21", "email", "opened"),
        ("a", "2026-04-20", "email", "sent"),
        ("a", "2026-01-20", "email", "sent"),
        ("a", "2026-01-21", "email", "replied"),
        ("a", "2026-01-22", "webinar", "attended"),
        ("a", "2026-05-22", "portal", "visited"),
        ("a", "2026-05-23", "phone", "called"),
        ("b", "2026-05-23", "email", "replied"),
    )
    found = build(touches=frame)
    a = found.loc["a"]
    assert (a["touches_30d"], a["touches_90d"], a["touches_365d"]) == (3, 6, 9)
    assert a["reply_rate_90d"] == 0
    assert a["reply_rate_365d"] == 1 / 4
    assert a["open_rate_365d"] == 1 / 4
    assert a["attendances_365d"] == 1
    assert a["visits_90d"] == 1
    assert (a["conversations_90d"], a["conversations_365d"]) == (1, 1)
    assert a["channels_365d"] == 4
    assert [a[f"{name}_touches_365d"] for name in ("email", "phone", "event", "portal")] == [6, 1, 1, 1]
    assert a["contact_recency_days"] == 0
    assert a["response_recency_days"] == 9
    assert np.isnan(found.loc["b", "reply_rate_365d"])  # nothing was sent


def test_campaigns_by_hand():
    rows = [("a", "sent", "c1"), ("a", "sent", "c1"), ("a", "sent", "c2"), ("a", "sent", None), ("a", "replied", "c1"),
            ("a", "opened", "c2"), ("a", "clicked", None), ("b", "attended", "c2"), ("c", "sent", "c1"),
            ("c", "clicked", "c1"), ("c", "replied", "c1")]  # fmt: skip
    frame = touches(*[(partner, "2026-06-01", "email", action) for partner, action, _ in rows])
    everybody = partners("a", "b", "c")
    found = build(partners=everybody, touches=frame.assign(campaign=[campaign for *_, campaign in rows]))
    assert found["campaign_responses_365d"].tolist() == [1, 1, 2]
    assert found["campaign_conversion_365d"].fillna(-1).tolist() == [1 / 3, -1, 1]
    unknown = build(partners=everybody, touches=frame)[["campaign_responses_365d", "campaign_conversion_365d"]]
    assert unknown.isna().all().all()


def test_rates_do_not_exceed_one():
    frame = touches(("a", "2026-06-01", "email", "sent"), *[("a", "2026-06-02", "email", "replied")] * 3)
    assert build(touches=frame).loc["a", "reply_rate_90d"] == 1


def trainings() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "partner_id": ["a"] * 5,
            "completed_at": times(["2026-05-01", "2025-09-01", "2024-01-01", "2025-01-01", "2026-01-01"]),
            "course": ["c1", "c2", "c1", "c3", "c4"],
            "kind": ["certification", "course", "certification", "certification", "certification"],
            "specialization": ["cloud", "cloud", "cloud", "cloud", "security"],
            "score": [80.0, 90.5, 10.0, 20.0, np.nan],
            "expires_at": times(["2027-05-01", None, "2025-01-01", "2026-06-30", None]),
        }
    )


def test_training_by_hand():
    found = build(partners=partners("a", "b", specialization=["cloud", None]), trainings=trainings())
    a = found.loc["a"]
    assert (a["trainings_90d"], a["trainings_365d"]) == (1, 3)
    assert a["training_score_365d"] == (80 + 90.5) / 2
    assert a["certificates_in_force"] == 2  # c1 until 2027, c4 without end; c3 ended on the day
    assert a["specialized_trainings_365d"] == 2
    assert np.isnan(found.loc["b", "specialized_trainings_365d"])
    assert found.loc["b", "trainings_365d"] == 0


def test_a_certificate_counts_once_and_until_it_expires():
    before = build(trainings=trainings(), as_of="2026-06-29").loc["a", "certificates_in_force"]
    assert before == 3  # c1 was renewed and counts once; c3 still holds


def test_knowledge_counts_full_in_the_own_specialization_and_half_outside_it():
    table = trainings()
    found = build(partners=partners("a", specialization=["security"]), trainings=table).loc["a"]
    # 3 trainings, 1 of them in security: 1 + 2 / 2. Certificates: c1 and c3 outside it, c4 in it.
    assert found["focused_trainings_365d"] == 2
    assert found["certified_knowledge"] == 1 / 2 + 1 / 2 + 1  # c3 expired on this day and counts still
    for unknown in (partners("a"), partners("a", specialization=[None])):
        found = build(partners=unknown, trainings=table).loc["a"]
        assert (found["focused_trainings_365d"], found["certified_knowledge"]) == (3 / 2, 3 / 2)
    bare = build(partners=partners("a", specialization=["security"]), trainings=table.drop(columns="specialization"))
    assert bare.loc["a", "focused_trainings_365d"] == 3 / 2


def test_an_expired_certificate_fades_until_it_is_renewed():
    dates = ["2026-06-30", "2026-12-27", "2027-06-25"]  # 0, 180 and 360 days after c3 expired
    table = trainings()[lambda frame: frame["course"] == "c3"]
    held = build(partners=partners("a", specialization=["cloud"]), trainings=table, as_of=dates)["certified_knowledge"]
    assert held.tolist() == [1, 1 / 2, 1 / 4]
    renewal = table.assign(completed_at=times(["2027-01-01"]), expires_at=times([None]), specialization="security")
    both = build(partners=partners("a", specialization=["cloud"]), trainings=pd.concat([table, renewal]), as_of=dates)[
        "certified_knowledge"
    ]
    assert both.tolist() == [1, 1 / 2, 1 / 2]  # renewed, in another specialization now


def tickets() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "ticket_id": list("12345"),
            "partner_id": ["a"] * 5,
            "opened_at": times(["2026-06-01", "2026-01-01", "2026-06-29", "2024-01-01", "2026-02-01"]),
            "resolved_at": times(["2026-06-01 12:00", "2026-01-02 12:00", "2026-07-05", "2024-01-09", None]),
            "kind": ["support", "task", "support", "support", "complaint"],
            "on_time": pd.array([True, False, True, True, None], dtype="boolean"),
            "quality": [90.0, 70.0, 10.0, 10.0, np.nan],
            "csat": [5.0, np.nan, 1.0, 1.0, 2.0],
        }
    )


def test_service_by_hand():
    a = build(tickets=tickets()).loc["a"]
    assert (a["tickets_90d"], a["tickets_365d"]) == (2, 4)
    assert a["resolution_hours_365d"] == (12 + 36) / 2
    assert a["on_time_rate_365d"] == 1 / 2
    assert a["task_quality_365d"] == 80
    assert a["ticket_csat_365d"] == (5 + 2) / 2
    assert a["complaints_365d"] == 1


def test_an_outcome_is_unknown_before_the_ticket_is_resolved():
    a = build(tickets=tickets(), as_of="2026-07-05").loc["a"]
    assert a["resolution_hours_365d"] == (12 + 36 + 6 * 24) / 3
    assert a["ticket_csat_365d"] == (5 + 2 + 1) / 3


def feedback() -> pd.DataFrame:
    rows = [("nps", "partner", 10), ("nps", "partner", 9), ("nps", "partner", 8), ("nps", "partner", 6),
            ("nps", "customer", 0), ("nps", "customer", 7), ("review", "customer", 4), ("review", "customer", 1.5),
            ("complaint", "partner", np.nan), ("csat", "partner", 3)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["kind", "given_by", "score"])
    return frame.assign(
        feedback_id=[f"f{place}" for place in range(len(frame))], partner_id="a", given_at=day("2026-03-01")
    )


def test_feedback_by_hand():
    found = build(feedback=feedback())
    a = found.loc["a"]
    assert a["partner_nps_365d"] == 100 * (2 - 1) / 4
    assert a["customer_nps_365d"] == 100 * (0 - 1) / 2
    assert a["review_score_365d"] == 2.75
    assert a["feedback_365d"] == 9
    assert a["complaints_365d"] == 1
    assert found.loc["b", "complaints_365d"] == 0
    assert np.isnan(found.loc["b", "partner_nps_365d"])


def test_complaints_are_added_over_tickets_and_feedback():
    assert build(feedback=feedback(), tickets=tickets()).loc["a", "complaints_365d"] == 2


def test_complaints_for_each_sale():
    frame = sales(
        ("a", "2026-01-01", 1.0), ("a", "2026-01-02", 1.0), ("a", "2026-01-03", -1.0), ("a", "2024-01-03", 1.0)
    )
    found = build(feedback=feedback(), tickets=tickets(), sales=frame)["complaint_rate_365d"]
    assert found.fillna(-1).tolist() == [2 / 2, -1]
    assert build(sales=frame)["complaint_rate_365d"].isna().all()


def test_complaints_about_other_things_than_the_product_do_not_count_against_it():
    frame = sales(*[("a", "2026-01-01", 1.0)] * 10)
    said = tickets().assign(kind="complaint", about=["product", "delivery", None, "product", "other"])
    heard = feedback().assign(about="service")
    found = build(sales=frame, tickets=said, feedback=heard).loc["a"]
    assert found["complaint_rate_365d"] == 2 / 10  # one of the product within the year, and one of nobody knows what
    assert found["complaints_365d"] == 4 + 1
    assert build(sales=frame, feedback=heard).loc["a", "complaint_rate_365d"] == 0


def test_reopened_tasks_by_hand():
    reopened = ["2026-06-02", "2026-01-10", None, "2024-01-10", None]
    table = tickets().assign(kind=["support", "task", "task", "task", "task"], reopened_at=times(reopened))
    a = build(tickets=table).loc["a"]
    assert a["tasks_365d"] == 3
    assert a["reopened_rate_365d"] == pytest.approx(1 / 3)  # a support case is no task, 2024 is long ago
    assert build(tickets=table, as_of="2026-01-09").loc["a", "reopened_rate_365d"] == 0
    assert build(tickets=table, as_of="2026-01-10").loc["a", "reopened_rate_365d"] == 1
    assert build(tickets=tickets()).loc["a", ["tasks_365d", "reopened_rate_365d"]].isna().tolist() == [False, True]


def test_conflicts_by_hand():
    table = tickets().assign(kind=["conflict", "task", "conflict", "conflict", "complaint"])
    seller = sales(("b", "2026-01-01", 1.0))
    found = build(partners=partners("a", "b", "c"), tickets=table, sales=seller)
    assert found["conflicts_365d"].fillna(-1).tolist() == [2, 0, -1]  # c had no occasion
    assert build(tickets=table)["conflicts_365d"].fillna(-1).tolist() == [2, -1]
    assert found.loc["a", "tickets_365d"] == 4  # a conflict is a ticket
    assert build(tickets=tickets())["conflicts_365d"].isna().all()


def test_joint_sales_by_hand():
    frame = sales(*[("a", "2026-01-01", 1.0)] * 4, ("a", "2026-01-02", -1.0), ("b", "2026-01-01", 1.0),
                  joint_partner_id=["b", None, "a", "z", "b", None])  # fmt: skip
    found = build(partners=partners("a", "b", "c"), sales=frame)["joint_sales_365d"]
    assert found.fillna(-1).tolist() == [2 / 4, 0, -1]  # nobody sells along with itself
    assert build(sales=frame.drop(columns="joint_partner_id"))["joint_sales_365d"].isna().all()


def test_response_hours_by_hand():
    table = touches(*[("a", "2026-06-28", "email", action) for action in ("sent", "sent", "sent", "opened", "sent")],
                    ("b", "2026-06-28", "email", "sent"))  # fmt: skip
    answered = ["2026-06-28 02:00", "2026-06-29 08:00", None, "2026-06-28 01:00", "2026-06-27", "2026-07-01 00:00"]
    table = table.assign(answered_at=times(answered))
    found = build(touches=table)["response_hours_365d"]
    assert found["a"] == pytest.approx(np.sqrt(2 * 32), abs=1e-4)  # an answer before its message is none
    assert np.isnan(found["b"])  # the answer comes on the next day
    assert build(touches=table, as_of="2026-07-01").loc["b", "response_hours_365d"] == pytest.approx(72, abs=1e-3)
    assert build(touches=table, as_of="2026-06-28").loc["a", "response_hours_365d"] == pytest.approx(2, abs=1e-4)


def test_numbers_of_cases_by_hand():
    former = sales(
        *[("a", day, 1.0) for day in ("2024-07-01", "2025-06-30", "2025-07-01")], customer_id=["x", "y", "z"]
    )
    sent = touches(*[("a", "2026-06-01", "email", action) for action in ("sent", "sent", "replied")],
                   ("a", "2026-01-01", "email", "sent")).assign(campaign=["c", None, None, "c"])  # fmt: skip
    a = build(sales=former, touches=sent, tickets=tickets()).loc["a"]
    assert (a["messages_90d"], a["messages_365d"], a["campaign_messages_365d"]) == (2, 3, 2)
    assert a["former_customers_365d"] == 2
    assert a["timed_tickets_365d"] == 2


def test_revenue_against_the_declared_potential():
    declared = partners("a", "b", "c", "d", declared_potential=[3540.0, 100.0, np.nan, 0.0])
    found = build(partners=declared, sales=SALES)["potential_reached_365d"]
    assert found.fillna(-1).tolist() == [1770 / 3540, 0, -1, -1]


def assessments(*rows: tuple) -> pd.DataFrame:
    columns = ["partner_id", "assessed_at", "factor", "score", "assessor"]
    return pd.DataFrame(rows, columns=columns).assign(assessed_at=lambda frame: times(frame["assessed_at"]))


def test_assessments_by_hand():
    # Of ages 365, 730 and 0 days: a half, a quarter and all of 0.7, 0.4 and 1.0 is left as evidence.
    frame = assessments(
        ("a", "2025-01-01", "teamwork", 20.0, "manager"),
        ("a", "2025-06-30", "teamwork", 60.0, "manager"),
        ("a", "2024-06-30", "teamwork", 100.0, "self"),
        ("a", "2026-06-30", "teamwork", 50.0, "system"),
        ("a", "2025-06-30 23:59", "strategic_planning", 33.3, "audit"),
    )
    found = build(assessments=frame)
    a = found.loc["a"]
    assert a["assessed_teamwork"] == pytest.approx((60 * 0.7 + 100 * 0.4 + 50 * 1.0) / 2.1, abs=1e-12)
    assert a["evidence_teamwork"] == pytest.approx((0.35**2 + 0.1**2 + 1.0**2) / 1.45, abs=1e-6)
    assert a["assessed_strategic_planning"] == pytest.approx(33.3, abs=1e-12)
    assert a["evidence_strategic_planning"] == pytest.approx(0.9 / 2, abs=1e-6)
    for name in ("assessed", "evidence"):
        assert np.isnan(a[f"{name}_marketing_strategy"])
        assert np.isnan(found.loc["b", f"{name}_teamwork"])


def test_the_evidence_of_an_assessment_fades_until_the_next():
    dates = ["2025-06-29", "2025-06-30", "2026-06-30", "2027-06-30", "2027-07-01"]
    frame = assessments(
        ("a", "2025-06-30", "teamwork", 60.0, "manager"), ("a", "2027-07-01", "teamwork", 80.0, "manager")
    )
    found = build(partners=partners("a"), assessments=frame, as_of=dates)
    assert found["evidence_teamwork"].fillna(-1).tolist() == pytest.approx([-1, 0.7, 0.35, 0.175, 0.7], abs=1e-6)
    assert found["assessed_teamwork"].fillna(-1).tolist() == [-1, 60, 60, 60, 80]
    late = frame.assign(arrived_at=times([None, "2027-12-31"]))
    found = build(partners=partners("a"), assessments=late, as_of=dates)
    assert found["evidence_teamwork"].iloc[-1] == pytest.approx(0.7 * 0.5 ** (731 / 365), abs=1e-6)


def test_a_report_of_ones_own_neither_replaces_nor_outweighs_an_audit():
    audit, own = ("teamwork", 40.0, "audit"), ("teamwork", 100.0, "self")
    frame = assessments(*[(partner, "2026-06-30", *row) for partner, row in
                          (("a", own), ("b", audit), ("c", audit), ("c", own))])  # fmt: skip
    found = build(partners=partners("a", "b", "c"), assessments=frame)
    assert found["evidence_teamwork"].tolist() == pytest.approx([0.4, 0.9, (0.81 + 0.16) / 1.3], abs=1e-6)
    assert found["assessed_teamwork"].tolist() == pytest.approx([100, 40, (36 + 40) / 1.3], abs=1e-12)


def test_steps_of_a_factor_belong_to_it_and_may_be_asked_for():
    rows = [("strategic_planning", 50.0, "manager"), ("strategic_planning.analysis", 80.0, "manager"),
            ("strategic_planning.analysis", 20.0, "self"), ("strategic_planning.action_plan", 60.0, "manager"),
            ("strategic_planningx", 0.0, "manager"), ("innovation", 10.0, "audit")]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["factor", "score", "assessor"])
    frame = frame.assign(partner_id="a", assessed_at=day("2026-03-01"))
    asked = ("strategic_planning", "strategic_planning.analysis", "strategic_planning.execution", "innovation")
    found = build(assessments=frame, assessed=asked)
    a = found.loc["a"]
    assert a["assessed_strategic_planning"] == pytest.approx((0.7 * (50 + 80 + 60) + 0.4 * 20) / 2.5, abs=1e-12)
    assert a["assessed_strategic_planning.analysis"] == pytest.approx((0.7 * 80 + 0.4 * 20) / 1.1, abs=1e-12)
    assert np.isnan(a["assessed_strategic_planning.execution"])
    assert a["assessed_innovation"] == 10
    assert {f"evidence_{factor}" for factor in asked} <= set(found)
    assert "assessed_teamwork" not in found
    assert list(describe_features(assessed=asked).index) == [name for name in found if name not in TEXTS]


def test_evidence_counts_as_much_as_it_is_said_to():
    frame = pd.DataFrame(
        {"partner_id": "a", "assessed_at": day("2026-03-01"), "factor": "teamwork", "score": [30.0, 90.0],
         "assessor": ["manager", "self"]}
    )  # fmt: skip
    weights = ({"manager": 1.0, "self": 0.25}, {"manager": 0.5, "self": 0.5}, {"self": 1.0}, {"self": 0.0})
    found = [build(assessments=frame, evidence=evidence).loc["a", "assessed_teamwork"] for evidence in weights]
    assert found[:3] == [(30 + 0.25 * 90) / 1.25, 60, 90]
    assert np.isnan(found[3])
    with pytest.raises(ValueError, match=r"evidence\['self'\] == 1.5, must be between 0 and 1"):
        build(assessments=frame, evidence={"self": 1.5})
    with pytest.raises(ValueError, match="must be names of factors, each once, not 'teamwork'"):
        build(assessments=frame, assessed=["teamwork", "teamwork"])


def test_profile_by_hand():
    found = build_features(
        {
            "partners": partners(
                "b", "a", "c", "later",
                joined_at=times(["2026-06-30 15:00", "2025-06-30", None, "2026-07-01"]),
                region=["north", "Київ", None, "north"],
                declared_potential=[np.nan, 5000.0, np.nan, np.nan],
            ),
            "preferences": pd.DataFrame({
                "partner_id": ["a", "b", "c"], "channels": ["email; phone,;event ;", None, None], "topics": None,
                "avoid": [" ", "x", "x \r\n y\nz\n"],
            }),
        },
        AS_OF,
    )  # fmt: skip
    assert found.index.tolist() == ["a", "b", "c"]
    assert found.index.name == "partner_id"
    assert found["tenure_days"].tolist()[:2] == [365, 0]
    assert np.isnan(found.loc["c", "tenure_days"])
    assert found["region"].tolist()[:2] == ["Київ", "north"]
    assert found["region"].isna().tolist() == [False, False, True]
    assert found["declared_potential"].tolist()[0] == 5000
    assert found["preferred_channels"].tolist() == [3, 0, 0]
    assert found["avoided"].tolist() == [0, 1, 3]
    assert found["preferred_topics"].isna().all()


def test_absent_and_empty_tables_are_unknown_and_not_zero():
    for tables in ({}, {"sales": SALES.iloc[:0]}, {"sales": SALES[SALES["sold_at"] > AS_OF]}):
        found = build_features({"partners": partners("a", "b"), **tables}, "2026-05-31")
        assert found[list(FEATURES)].isna().all().all()


def test_a_partner_without_events_has_zero_counts_and_missing_rates():
    b = build(sales=SALES).loc["b"]
    for name in ("monetary_value_365d", "frequency_30d", "products_365d", "active_months_365d"):
        assert b[name] == 0
    for name in ("return_rate_365d", "discount_365d", "average_order_value_365d", "recency_days"):
        assert np.isnan(b[name])


def test_an_optional_column_that_nobody_fills_is_unknown():
    found = build(sales=SALES)  # without customer_id and country
    for name in ("customers_365d", "new_customers_90d", "repeat_rate_365d", "countries_365d"):
        assert found[name].isna().all()
    known = build(sales=SALES.assign(customer_id=[None] * 8 + ["x"]))
    assert known["customers_365d"].isna().tolist() == [True, False]  # a sold, to whom is not known; b did not sell
    assert known.loc["b", "customers_365d"] == 0


def test_withdrawn_consent_hides_behavior_and_nothing_else():
    consents = pd.DataFrame(
        [
            ("a", "analytics", True, "2026-01-01", None),
            ("a", "analytics", False, "2026-05-01", None),
            ("b", "analytics", False, "2026-05-01", None),
            ("b", "analytics", True, "2026-05-01 10:00", None),
            ("c", "analytics", False, "2026-05-01", "2026-06-15"),
            ("d", "marketing", False, "2026-05-01", None),
        ],
        columns=["partner_id", "purpose", "granted", "changed_at", "arrived_at"],
    ).assign(
        changed_at=lambda frame: times(frame["changed_at"]),
        arrived_at=lambda frame: times(frame["arrived_at"]),
    )
    tables = {
        "partners": partners("a", "b", "c", "d", joined_at=day("2025-01-01")),
        "consents": consents,
        "sales": SALES,
    }
    found = build_features(tables, ["2026-04-30", "2026-05-31", "2026-06-30"])["frequency_365d"].isna()
    assert found.loc["2026-04-30"].tolist() == [False, False, False, False]
    assert found.loc["2026-05-31"].tolist() == [True, False, False, False]
    assert found.loc["2026-06-30"].tolist() == [True, False, True, False]
    a = build_features(tables, AS_OF).loc["a"]
    assert a["tenure_days"] == 545
    assert a[[name for name, feature in FEATURES.items() if feature.family != "profile"]].isna().all()


def test_a_withdrawal_wins_over_a_grant_at_the_same_moment():
    consents = pd.DataFrame({"partner_id": "a", "purpose": "analytics", "granted": [False, True],
                             "changed_at": day("2026-05-01")})  # fmt: skip
    for order in ([0, 1], [1, 0]):
        assert np.isnan(build(sales=SALES, consents=consents.iloc[order]).loc["a", "frequency_365d"])


@pytest.mark.parametrize("wrong", ["2026-02-30", "2026-06-30 12:00", "soon", "", None])
def test_a_wrong_day_is_refused(wrong):
    with pytest.raises(ValueError, match="must be a day such as '2026-06-30'"):
        build(as_of=[wrong])


def test_no_day_is_refused():
    with pytest.raises(ValueError, match="at least one day"):
        build(as_of=[])


def test_a_partner_that_stands_there_twice_is_refused():
    with pytest.raises(ValueError, match="partner_id 'a' stands there twice"):
        build_features({"partners": partners("a", "a")}, AS_OF)


def test_no_partners_give_no_rows():
    assert build_features({}, AS_OF).shape == (0, len(FEATURES) + 7)
    assert build_features({}, [AS_OF]).index.names == ["as_of", "partner_id"]
