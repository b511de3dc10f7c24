import numpy as np
import pandas as pd
import pytest
from scipy import stats

from partnerseg.effect.metrics import METRICS, summarize_metrics
from partnerseg.programme.simulate import simulate_programme

AS_OF = "2026-06-30"
COLUMNS = ["metric", "value", "lower", "upper", "numerator", "denominator", "unit", "n", "reason"]


def make_partners(n=4, **columns):
    return pd.DataFrame({"partner_id": [f"p{number}" for number in range(1, n + 1)]} | columns)


def make_sales(*rows, currency="EUR"):
    """Rows are (partner_id, sold_at, amount); a negative amount is a return."""
    table = pd.DataFrame(rows, columns=["partner_id", "sold_at", "amount"])
    return table.assign(
        sale_id=[f"s{number}" for number in range(len(table))],
        sold_at=pd.to_datetime(table["sold_at"], format="ISO8601"),
        currency=currency,
        is_return=pd.array(table["amount"] < 0, dtype="boolean"),
    )


def make_feedback(*rows):
    """Rows are (partner_id, kind, given_by, score)."""
    table = pd.DataFrame(rows, columns=["partner_id", "kind", "given_by", "score"])
    return table.assign(feedback_id=[f"f{number}" for number in range(len(table))], given_at=pd.Timestamp("2026-05-01"))


def make_costs(*rows):
    table = pd.DataFrame(rows, columns=["region", "kind", "amount"])
    return table.assign(spent_at=pd.Timestamp("2026-05-01"), currency="EUR")


def make_stages(*rows):
    table = pd.DataFrame(rows, columns=["partner_id", "stage", "entered_at"])
    return table.assign(entered_at=pd.to_datetime(table["entered_at"], format="ISO8601"))


def tell(metric, as_of=AS_OF, **tables):
    options = {name: tables.pop(name) for name in ("by", "groups", "margin", "window_days") if name in tables}
    found = summarize_metrics({"partners": make_partners()} | tables, as_of=as_of, metrics=[metric], **options)
    return found if options.get("by") else found.iloc[0]


def test_every_metric_is_described():
    for name, metric in METRICS.items():
        assert metric.name == name and metric.definition.endswith(".") and metric.numerator
        assert metric.direction in ("up", "down") and metric.interval in ("wilson", "ratio", "none")
        assert bool(metric.denominator) == (name != "revenue")


def test_without_tables_everything_is_unknown_with_a_reason_and_never_zero():
    found = summarize_metrics({"partners": make_partners()}, as_of=AS_OF)
    assert list(found.columns) == COLUMNS and found["metric"].tolist() == list(METRICS)
    assert found[["value", "lower", "upper", "numerator", "denominator"]].isna().all(axis=None)
    assert (found["reason"].str.len() > 0).all() and (found["n"] == 4).all()


def test_without_partners_there_are_no_groups():
    assert summarize_metrics({}, as_of=AS_OF, by=["region"]).empty
    assert summarize_metrics({}, as_of=AS_OF)["value"].isna().all()


def test_shares_carry_wilsons_interval():
    sales = make_sales(("p1", "2026-06-01", 10.0), ("p1", "2026-06-02", 20.0), ("p2", "2026-06-01", -5.0))
    found = tell("active_share", sales=sales)
    assert found[["value", "numerator", "denominator", "n"]].tolist() == [0.25, 1, 4, 4]
    # Wilson for 1 of 4, by hand: (0.25 + z2/8 -+ z * sqrt(0.1875/4 + z2/64)) / (1 + z2/4) with z2 = 3.8415
    assert (found["lower"], found["upper"]) == pytest.approx((0.0456, 0.6994), abs=1e-4)


@pytest.mark.parametrize(("action", "engaged"), [("replied", 1), ("attended", 1), ("visited", 1), ("opened", 0)])
def test_engaged_is_who_replied_attended_or_visited(action, engaged):
    touch = {"touch_id": "t", "partner_id": "p1", "touched_at": pd.Timestamp("2026-06-01"), "channel": "email"}
    assert tell("engagement_rate", touches=pd.DataFrame([touch | {"action": action}]))["numerator"] == engaged


def test_window_is_its_last_day_and_the_days_before():
    moments = ["2025-06-30 23:59:59", "2025-07-01", "2026-06-30 23:59:59", "2026-07-01"]
    sales = make_sales(*(("p1", moment, 10.0**place) for place, moment in enumerate(moments)))
    assert tell("revenue", sales=sales)["value"] == 110
    assert tell("revenue", sales=sales, window_days=1)["value"] == 100


def test_rows_that_arrived_later_change_nothing():
    sales = make_sales(("p1", "2026-06-01", 10.0), ("p2", "2026-06-02", 20.0))
    late = sales.assign(arrived_at=pd.to_datetime([None, "2026-07-01"]))
    assert tell("revenue", sales=late)["value"] == 10
    joined = make_partners(
        joined_at=pd.to_datetime(["2026-01-01", None, "2026-06-30T12:00", "2026-07-01"], format="ISO8601")
    )
    assert tell("active_share", sales=sales, partners=joined)["n"] == 3


def test_money_a_partner_has_students_interval():
    sales = make_sales(("p1", "2026-06-01", 100.0), ("p2", "2026-06-01", 60.0), ("p1", "2026-06-09", -20.0))
    found = tell("revenue_per_partner", sales=sales)
    sums = [80.0, 60.0, 0.0, 0.0]
    reach = stats.t.ppf(0.975, 3) * np.std(sums, ddof=1) / 2
    assert found["value"] == 35 and found["unit"] == "EUR"
    assert (found["lower"], found["upper"]) == pytest.approx((35 - reach, 35 + reach))
    total = tell("revenue", sales=sales)
    assert total["value"] == 140 and np.isnan(total["denominator"]) and np.isnan(total["lower"])


def test_growth_needs_both_windows():
    sales = make_sales(("p1", "2025-01-01", 100.0), ("p1", "2026-01-01", 120.0), ("p2", "2026-02-01", 30.0))
    short = tell("growth", sales=sales)
    assert np.isnan(short["value"]) and short["reason"] == (
        "sales are known since 2025-01-01 only, needed from before 2024-07-02"
    )
    found = tell("growth", sales=pd.concat([sales, make_sales(("p3", "2024-06-01", 1.0))]))
    assert found[["value", "numerator", "denominator"]].tolist() == [0.5, 150, 100]


def test_returns_are_a_share_of_what_was_sold():
    sales = make_sales(("p1", "2026-06-01", 150.0), ("p1", "2026-06-05", -10.0), ("p2", "2026-06-01", 50.0))
    found = tell("return_rate", sales=sales)
    assert found[["value", "numerator", "denominator"]].tolist() == [0.05, 10, 200]
    # Residuals 10 - 0.05 * 150 and 0 - 0.05 * 50: standard error sqrt(2 / 1 * 2 * 2.5^2) / 200 = 0.025.
    assert found["upper"] == pytest.approx(0.05 + 12.7062 * 0.025, abs=1e-5)
    assert found["lower"] == 0 and METRICS["return_rate"].direction == "down"


def test_complaints_by_ticket_or_feedback_count_a_partner_once():
    tickets = pd.DataFrame(
        {"ticket_id": ["1", "2"], "partner_id": ["p1", "p2"], "kind": ["complaint", "support"]}
    ).assign(opened_at=pd.Timestamp("2026-06-01"))
    feedback = make_feedback(("p1", "complaint", "partner", None), ("p3", "complaint", "customer", None))
    assert tell("complaint_rate", tickets=tickets, feedback=feedback)["numerator"] == 2
    assert tell("complaint_rate", tickets=tickets)["numerator"] == 1


def test_net_promoter_score_and_who_gave_it():
    scores = [(f"p{1 + place % 4}", "nps", "partner", score) for place, score in enumerate([10, 9, 8, 7, 6])]
    feedback = make_feedback(*scores, ("p1", "nps", "customer", 0), ("p2", "nps", "partner", None))
    found = tell("nps", feedback=feedback)
    assert found[["value", "numerator", "denominator"]].tolist() == pytest.approx([20, 1, 5])
    assert tell("customer_nps", feedback=feedback)["value"] == -100
    assert tell("csat", feedback=feedback)["reason"] == "no csat answers by partners are known"


def test_satisfaction_is_the_mean_answer():
    feedback = make_feedback(("p1", "csat", "partner", 5), ("p1", "csat", "partner", 3), ("p2", "csat", "partner", 1))
    found = tell("csat", feedback=feedback)
    assert found["value"] == 3 and 1 <= found["lower"] < 3 < found["upper"] <= 5
    tickets = pd.DataFrame({"ticket_id": ["1", "2"], "partner_id": "p1", "kind": "support", "csat": [4.0, None]})
    assert tell("ticket_csat", tickets=tickets.assign(opened_at=pd.Timestamp("2026-06-01")))["value"] == 4


def test_intervals_take_partners_not_answers_as_the_sample():
    """Twenty equal answers of one partner tell less than one answer of each of twenty."""
    one = [("p1", "csat", "partner", 5)] * 20 + [("p2", "csat", "partner", 1)] * 20
    many = [(f"p{number}", "csat", "partner", 5 if number <= 20 else 1) for number in range(1, 41)]
    partners = make_partners(40)
    wide = tell("csat", feedback=make_feedback(*one), partners=partners)
    narrow = tell("csat", feedback=make_feedback(*many), partners=partners)
    assert wide["value"] == narrow["value"] == 3
    assert wide["upper"] - wide["lower"] > narrow["upper"] - narrow["lower"]


def test_costs_by_region_and_what_they_leave_out():
    partners = make_partners(region=["north", "north", "south", "south"])
    sales = make_sales(("p1", "2026-06-01", 100.0), ("p3", "2026-06-01", 60.0))
    costs = make_costs(("north", "support", 50.0), ("south", "support", 20.0), (None, "support", 30.0))
    assert tell("revenue_per_cost", partners=partners, sales=sales, costs=costs)["value"] == 1.6
    found = tell("revenue_per_cost", partners=partners, sales=sales, costs=costs, by=["region"])
    assert found.set_index("region")["value"].to_dict() == {"north": 2.0, "south": 3.0}
    assert (found["reason"] == "without the costs that name no region (30%)").all()
    groups = partners.set_index("partner_id")["region"].rename("segment").to_frame()
    found = tell("revenue_per_cost", partners=partners, sales=sales, costs=costs, by=["segment"], groups=groups)
    assert found["value"].isna().all() and (found["reason"] == "costs are known by region only").all()


def test_return_on_investment_needs_the_margin():
    tables = {"sales": make_sales(("p1", "2026-06-01", 300.0)), "costs": make_costs(("north", "support", 100.0))}
    unknown = tell("roi", **tables)
    assert np.isnan(unknown["value"]) and "margin is not known" in unknown["reason"]
    assert tell("roi", **tables, margin=0.4)["value"] == pytest.approx(0.2)  # (0.4 * 300 - 100) / 100


def test_acquisition_cost_counts_first_sales():
    sales = make_sales(("p1", "2024-01-01", 5.0), ("p1", "2026-01-01", 5.0), ("p2", "2026-02-01", 5.0))
    costs = make_costs(("north", "recruiting", 70.0), ("north", "marketing", 30.0), ("north", "support", 99.0))
    found = tell("cac", sales=sales, costs=costs)
    assert found[["value", "numerator", "denominator"]].tolist() == [100, 100, 1]
    # All first sales lie in the window because the data begin there: not known.
    assert "sales are known since 2026-01-01 only" in tell("cac", sales=sales.iloc[1:], costs=costs)["reason"]
    one_kind = tell("cac", sales=sales, costs=costs[costs["kind"] != "recruiting"])
    assert np.isnan(one_kind["value"]) and one_kind["reason"] == "no costs of the kind recruiting are known"


def test_cost_of_a_new_partner_and_no_new_partner():
    partners = make_partners(joined_at=pd.to_datetime(["2020-01-01", "2026-01-01", "2026-02-01", None]))
    costs = make_costs(("north", "recruiting", 70.0))
    assert tell("cost_per_new_partner", partners=partners, costs=costs)["value"] == 35
    found = tell("cost_per_new_partner", partners=partners.head(1), costs=costs)
    assert np.isnan(found["value"]) and found["reason"] == "no partners who joined" and found["numerator"] == 70


def test_conversion_takes_only_those_who_have_had_the_days():
    stages = make_stages(
        ("p1", "recruited", "2026-01-01 09:00"), ("p1", "activated", "2026-04-01 17:00"),  # the 90th day: in time
        ("p2", "recruited", "2026-01-01"), ("p2", "activated", "2026-04-02"),  # a day late
        ("p3", "recruited", "2026-05-01"), ("p3", "activated", "2026-05-02"),  # not yet followed for 90 days
    )  # fmt: skip
    found = tell("conversion", stages=stages)
    assert found[["value", "numerator", "denominator"]].tolist() == [0.5, 1, 2]
    other = summarize_metrics(
        {"partners": make_partners(), "stages": stages}, as_of=AS_OF, metrics=["conversion"], stages=("lead", "won")
    ).iloc[0]
    assert np.isnan(other["value"]) and other["reason"].startswith("no partner entered 'lead'")


def test_groups_name_the_unknown_and_sum_to_the_whole():
    partners = make_partners(region=["north", "north", "south", None], partner_type=["agent", None, "agent", "agent"])
    sales = make_sales(("p1", "2026-06-01", 1.0), ("p3", "2026-06-01", 2.0), ("p4", "2026-06-01", 4.0))
    found = tell("revenue", partners=partners, sales=sales, by=["region", "partner_type"])
    assert found[["region", "partner_type", "value", "n"]].to_numpy().tolist() == [
        ["north", "agent", 1, 1], ["north", "unknown", 0, 1], ["south", "agent", 2, 1], ["unknown", "agent", 4, 1]
    ]  # fmt: skip
    assert found["value"].sum() == tell("revenue", partners=partners, sales=sales)["value"]


def test_order_of_rows_is_irrelevant():
    tables = simulate_programme(120, random_state=4).tables
    turned = {name: table.iloc[::-1].reset_index(drop=True) for name, table in tables.items()}
    pd.testing.assert_frame_equal(
        summarize_metrics(tables, as_of=AS_OF, by=["region"]), summarize_metrics(turned, as_of=AS_OF, by=["region"])
    )


def test_several_dates_give_one_block_each():
    sales = make_sales(("p1", "2026-03-01", 10.0), ("p1", "2026-06-01", 5.0))
    found = summarize_metrics(
        {"partners": make_partners(), "sales": sales}, as_of=["2026-03-31", AS_OF], metrics=["revenue"]
    )
    assert list(found.columns) == ["as_of", *COLUMNS]
    assert found.set_index("as_of")["value"].to_dict() == {"2026-03-31": 10, AS_OF: 15}


def test_wrong_names_are_told_with_the_nearest():
    with pytest.raises(ValueError, match=r"'revenu' must be a metric: .*did you mean 'revenue'"):
        tell("revenu")
    with pytest.raises(ValueError, match=r"'regoin' must be a column of partners or groups: .*did you mean 'region'"):
        summarize_metrics({"partners": make_partners()}, as_of=AS_OF, by=["regoin"])
    with pytest.raises(ValueError, match="window_days == 0, must be >= 1"):
        tell("revenue", window_days=0)


def test_several_currencies_are_refused():
    sales = pd.concat([make_sales(("p1", "2026-06-01", 1.0)), make_sales(("p1", "2026-06-02", 1.0), currency="USD")])
    sales["sale_id"] = ["a", "b"]
    with pytest.raises(ValueError, match=r"currencies EUR, USD must be one; .*programme\.rates"):
        tell("revenue", sales=sales)


def test_intervals_of_ratios_hold_their_level():
    """Mean revenue of 60 partners drawn from a known gamma distribution, in 1,000 groups."""
    amounts = np.random.default_rng(8).gamma(30.0, 10.0, 60_000)
    partners = make_partners(60_000, region=[str(number // 60) for number in range(60_000)])
    rows = zip(partners["partner_id"], ["2026-06-01"] * 60_000, amounts, strict=True)
    sales = make_sales(*rows)
    found = tell("revenue_per_partner", partners=partners, sales=sales, by=["region"])
    held = found["lower"].le(300) & found["upper"].ge(300)
    assert len(found) == 1_000 and 0.93 < held.mean() < 0.965


def test_acquisition_cost_of_the_sample_is_the_planted_one():
    sample = simulate_programme(2_000, random_state=3)
    found = summarize_metrics(
        sample.tables, as_of=sample.truth.as_of, by=["region"], metrics=["cost_per_new_partner"]
    ).set_index("region")
    for region, cost in sample.truth.acquisition_costs.items():
        assert found.loc[region, "value"] == pytest.approx(cost, rel=0.15)
