"""Small results worked out by hand, as the rooms return them."""

import pandas as pd

NAN = float("nan")
AS_OF = "2026-06-30"

LEDGER = pd.DataFrame(
    {
        "table": ["sales", "sales", "partners"],
        "source": "crm",
        "file": ["a.csv", "b.csv", "p.csv"],
        "rows_in": [600, 300, 100],
        "used": [500, 300, 100],
        "quarantined": [40, 0, 0],
        "deduplicated": [50, 0, 0],
        "out_of_scope": [10, 0, 0],
    }
)
FRESHNESS = pd.DataFrame(
    {
        "table": ["sales", "tickets", "consents"],
        "rows": [900, 10, 0],
        "first": pd.to_datetime(["2025-01-01", "2025-02-01", None]),
        "last": pd.to_datetime(["2026-06-30 12:00", "2026-04-27 08:00", None]),
    }
)
COVERAGE = pd.DataFrame({"family": ["sales_volume", "training", "feedback"], "coverage": [0.98, 0.5, 0.0]})
POINTS = pd.DataFrame(
    {
        "x": [0.0, 1, 0, 5, 6, 5, 9],
        "y": [0.0, 0, 1, 5, 5, 6, 0],
        "segment": [0] * 3 + [1] * 3 + [-1],
        "segment_name": ["<b>Old</b> resellers"] * 3 + ["New $a$ & agents"] * 3 + [None],
    },
    index=pd.Index([f"p{number}" for number in range(7)], name="partner_id"),
)
SIZES = pd.DataFrame({"segment": [0, 1], "name": ["Old resellers", "New agents"], "n": [30, 50], "share": [0.3, 0.5]})
CRITERIA = pd.DataFrame({"partner_type": ["reseller"] * 3 + ["agent"] + ["unknown"]})
TIERS = pd.Series(
    pd.Categorical(["gold", "bronze", "bronze", None], categories=["bronze", "silver", "gold"], ordered=True)
)
CONTRIBUTIONS = pd.DataFrame(
    {"sales_volume": [30.0, 10.0, NAN], "geography": [5.0, NAN, NAN], "teamwork": [NAN, NAN, NAN]}, index=list("abc")
)
RANKS = pd.DataFrame(
    {
        "name": [f"Partner {number}" for number in range(30)] + ["Nobody"],
        "rank": pd.array([*range(1, 31), None], dtype="Int64"),
        "lower": pd.array([*([1] * 5), *range(1, 26), None], dtype="Int64"),
        "upper": pd.array([*range(6, 31), *([30] * 5), None], dtype="Int64"),
    }
)
STAGES = ["recruited", "onboarded", "activated", "left"]
CURRENT = pd.DataFrame({"partner_id": list("abcd"), "deal_id": None, "stage": ["onboarded"] * 3 + ["left"]})
CONVERSION = pd.DataFrame(
    {
        "stage": ["recruited", "onboarded", "activated"],
        "n": [40, 35, 0],
        "conversion": [0.62, 0.382, NAN],
        "lower": [0.57, 0.34, NAN],
        "upper": [0.67, 0.423, NAN],
    }
)
TIMES = pd.DataFrame(
    {
        "stage": ["recruited", "onboarded", "activated"],
        "n": [40, 35, 20],
        "censored": [2, 3, 18],
        "median_days": [31.0, 64, NAN],
        "lower": [28.0, 58, NAN],
        "upper": [35.0, NAN, NAN],
    }
)
BOTTLENECKS = pd.DataFrame(
    {
        "stage": ["onboarded", "recruited"],
        "waiting": [54, 21],
        "unknown": [0, 1],
        "median_wait_days": [64.0, 12],
        "money_waiting": [1.23e6, NAN],
    }
)
METRICS = pd.DataFrame(
    {
        "region": ["north", "Київ", "west"],
        "metric": "revenue_per_partner",
        "value": [14100.0, 12900, 9900],
        "lower": [13300.0, 11700, 8100],
        "upper": [15000.0, 14200, 11900],
        "unit": "EUR",
        "n": [700, 400, 300],
    }
)
TREND = pd.DataFrame(
    {
        "as_of": ["2025-12-31", "2026-03-31", "2026-06-30"],
        "value": [0.5, 0.55, 0.6],
        "lower": [0.45, 0.5, 0.55],
        "upper": [0.55, 0.6, 0.65],
    }
)
PLAN = pd.DataFrame(
    {
        "partner_id": ["p0", "p1", "p2"],
        "action": ["welcome_call", "welcome_call", None],
        "hours": [1.5, 2.5, NAN],
        "cost": [40.0, 60, NAN],
    }
)
