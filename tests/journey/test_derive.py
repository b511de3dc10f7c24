import pandas as pd
import pytest

from partnerseg.journey.derive import derive_stages, read_rules
from partnerseg.journey.stages import Journey

STAGES = ["recruited", "activated", "growing", "dormant"]
PARTNERS = pd.DataFrame(
    {"partner_id": ["p1", "p2"], "joined_at": pd.to_datetime(["2025-01-01 10:00", "2025-02-01 00:00"])}
)


def sell(*rows):
    """Rows are (partner_id, sold_at, amount) and perhaps arrived_at."""
    table = pd.DataFrame([[*row, None][:4] for row in rows], columns=["partner_id", "sold_at", "amount", "arrived_at"])
    table = table.assign(sale_id=[f"s{number}" for number in range(len(rows))], currency="EUR", is_return=False)
    return table.assign(sold_at=pd.to_datetime(table["sold_at"]), arrived_at=pd.to_datetime(table["arrived_at"]))


def derive(rules, sales, as_of="2025-12-31"):
    found = derive_stages({"partners": PARTNERS, "sales": sales}, read_rules(rules, STAGES), as_of=as_of)
    days = found["entered_at"].dt.strftime("%Y-%m-%d")
    return list(zip(found["partner_id"], found["stage"], days, strict=True))


def test_joining_and_the_first_and_third_sale():
    rules = [
        {"stage": "recruited", "table": "partners"},
        {"stage": "activated", "table": "sales"},
        {"stage": "growing", "table": "sales", "least": 3},
    ]
    sales = sell(("p1", "2025-03-01", 5), ("p1", "2025-03-01", 5), ("p1", "2025-04-09", 5))
    assert derive(rules, sales) == [
        ("p1", "recruited", "2025-01-01"), ("p1", "activated", "2025-03-01"), ("p1", "growing", "2025-04-09"),
        ("p2", "recruited", "2025-02-01"),
    ]  # fmt: skip


def test_a_sum_within_days_is_reached_when_the_window_holds_it():
    """100 + 100 lie 91 days apart, 100 + 100 + 50 within 90 days are reached on 1 June."""
    rules = [{"stage": "growing", "table": "sales", "column": "amount", "least": 250, "within_days": 90}]
    sales = sell(
        ("p1", "2025-01-01", 100), ("p1", "2025-04-02", 100), ("p1", "2025-05-01", 100), ("p1", "2025-06-01", 50)
    )
    assert derive(rules, sales) == [("p1", "growing", "2025-06-01")]


def test_returns_are_taken_from_a_sum():
    rules = [{"stage": "growing", "table": "sales", "column": "amount", "least": 150}]
    sales = sell(
        ("p1", "2025-01-01", 100), ("p1", "2025-01-05", -80), ("p1", "2025-02-01", 100), ("p1", "2025-03-01", 40)
    )
    assert derive(rules, sales) == [("p1", "growing", "2025-03-01")]


def test_only_rows_with_the_values_count():
    rules = [{"stage": "growing", "table": "sales", "where": {"amount": [5, 6]}, "least": 2}]
    sales = sell(("p1", "2025-01-01", 5), ("p1", "2025-02-01", 7), ("p1", "2025-03-01", 6))
    assert derive(rules, sales) == [("p1", "growing", "2025-03-01")]


def test_silence_leads_out_and_the_next_sale_back():
    rules = [
        {"stage": "activated", "table": "sales"},
        {"stage": "dormant", "table": "sales", "silent_days": 100},
    ]
    sales = sell(("p1", "2025-01-01", 5), ("p1", "2025-06-01", 5), ("p2", "2025-10-01", 5))
    assert derive(rules, sales) == [
        ("p1", "activated", "2025-01-01"), ("p1", "dormant", "2025-04-11"), ("p1", "activated", "2025-06-01"),
        ("p1", "dormant", "2025-09-09"), ("p2", "activated", "2025-10-01"),
    ]  # fmt: skip


def test_a_sale_on_the_last_day_of_silence_ends_it():
    rules = [{"stage": "activated", "table": "sales"}, {"stage": "dormant", "table": "sales", "silent_days": 100}]
    sales = sell(("p1", "2025-01-01", 5), ("p1", "2025-04-11", 5))
    assert derive(rules, sales, as_of="2025-05-01") == [("p1", "activated", "2025-01-01")]


def test_later_rows_and_late_ones_are_not_seen():
    rules = [{"stage": "activated", "table": "sales"}]
    sales = sell(("p1", "2026-01-01", 5), ("p2", "2025-03-01", 5, "2026-02-01"))
    assert derive(rules, sales) == []
    assert derive(rules, sales, as_of="2026-02-01") == [
        ("p1", "activated", "2026-01-01"),
        ("p2", "activated", "2025-03-01"),
    ]


def test_a_stage_with_a_rule_is_not_read_from_the_table_and_others_are():
    stages = pd.DataFrame(
        {
            "partner_id": ["p1", "p1"],
            "deal_id": None,
            "stage": ["recruited", "activated"],
            "entered_at": pd.to_datetime(["2025-01-01", "2025-01-02"]),
            "arrived_at": pd.NaT,
        }
    )
    rules = [{"stage": "activated", "table": "sales"}]
    journey = Journey(["recruited", "activated"], rules=rules)
    journey.fit({"stages": stages, "sales": sell(("p1", "2025-05-01", 5))}, as_of="2025-12-31")
    assert journey.spells_["stage"].tolist() == ["recruited", "activated"]
    assert journey.spells_["entered_at"].dt.strftime("%m-%d").tolist() == ["01-01", "05-01"]


def test_a_frozen_journey_keeps_its_rules(tmp_path):
    rules = [{"stage": "activated", "table": "sales", "where": {"channel": "direct"}}]
    journey = Journey(["activated"], rules=rules).fit(
        {"sales": sell(("p1", "2025-05-01", 5)).assign(channel="direct")}, "2025-12-31"
    )
    journey.save(tmp_path)
    assert Journey.load(tmp_path).rules == journey.rules and len(journey.spells_) == 1


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"stage": "activated"}, r"journey.rules\[0\].table: must not be empty"),
        ({"stage": "actvated", "table": "sales"}, "did you mean 'activated'"),
        ({"stage": "activated", "table": "sale"}, "did you mean 'sales'"),
        ({"stage": "activated", "table": "sales", "where": {"chanel": 1}}, "did you mean 'channel'"),
        ({"stage": "activated", "table": "sales", "column": "currency"}, "column == 'currency' must be one of amount"),
        ({"stage": "activated", "table": "sales", "least": 0}, r"least == 0, must be > 0"),
        ({"stage": "activated", "table": "sales", "silent_days": -1}, "silent_days == -1, must be days >= 0"),
        ({"stage": "activated", "table": "sales", "colum": "amount"}, "no such key; possible keys are: stage, table"),
    ],
)
def test_wrong_rules_are_refused(rule, message):
    with pytest.raises(ValueError, match=message):
        read_rules([rule], STAGES)


def test_two_rules_for_one_stage_are_refused():
    with pytest.raises(ValueError, match="stage 'activated' has two rules"):
        read_rules([{"stage": "activated", "table": "sales"}] * 2, STAGES)
