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
        "name": ["Blue, Ltd", "Red", "Oak"],
        "stage": ["onboarded", "recruited", "recruited"],
        "title": ["Welcome call", "Welcome call", None],
        "reason": ["Half leave within 31 days.", "It has paused.", ""],
        "owner": ["partner manager", "partner manager", None],
        "channel": ["phone", "email", None],
        "language": ["en", "uk", None],
        "topic": ["pricing", None, None],
        "expected_gain": [1200.0, NAN, NAN],
        "due_at": pd.to_datetime(["2026-07-30", "2026-07-14", None]),
        "alternative_title": ["Newsletter", None, None],
        "refusal_cost": [200.0, NAN, NAN],
    }
)
PROFILE = pd.DataFrame(
    {
        "segment": [0, 1, -1],
        "name": ["New agents", "Old resellers", "No segment"],
        "n": [50, 30, 20],
        "share": [0.5, 0.3, 0.2],
        "share_of_revenue": [0.25, 0.65, 0.1],
        "revenue_coverage": [1.0, 0.9, 0.5],
        "coverage": [0.9, 0.8, 0.4],
        "stability": [0.7, 0.9, NAN],
        "chance_stability": [0.5, 0.5, 0.5],
        "differs": ["new; often reply; few products; steady", "high revenue; many countries", ""],
        "partner_type": ["agent", "reseller", "agent"],
        "recency_days": [3.0, 40.0, 900.0],
    }
)
EXEMPLARS = pd.DataFrame(
    {
        "segment": [0, 0, 1],
        "segment_name": ["New agents", "New agents", "Old resellers"],
        "partner_id": ["p0", "p1", "p4"],
        "name": ["Blue, Ltd", "Red", "Oak"],
        "x": [0.0, 1.0, 6.0],
        "y": [0.0, 0.0, 5.0],
    }
)
MEMBERS = pd.DataFrame(
    {
        "name": list("abcde"),
        "segment": [0, 0, 1, 1, -1],
        "segment_name": ["New agents", "New agents", "Old resellers", "Old resellers", None],
        "probability": [0.99, 0.95, 0.85, 0.6, 0.4],
        "segment_before": pd.array([0, 1, 1, 1, None], dtype="Int64"),
        "settled_segment": pd.array([0, 0, 1, 0, 1], dtype="Int64"),
        "moved_from": [None, "Old resellers", None, "Old resellers", None],
        "move_cause": [None, "partner", None, "both", None],
        "monetary_value_365d": [1.0, 20.0, 3.0, 40.0, 5.0],
    },
    index=pd.Index([f"p{number}" for number in range(5)], name="partner_id"),
)
QUESTIONS = pd.DataFrame(
    {
        "name": ["Oak", "Oak", "Elm"],
        "segment_name": "New agents",
        "second": "Old resellers",
        "probability": [0.5, 0.5, 0.6],
        "field": ["declared_potential", "review_score_365d", "declared_potential"],
        "expected_gain": [0.5, 0.25, 0.125],
        "region": ["north", "north", "Київ"],
    },
    index=pd.Index(["p1", "p1", "p2"], name="partner_id"),
)
CRITERIA_SEGMENTS = pd.DataFrame(
    {
        "segment": ["agent, active", "agent, new", "reseller, active"],
        "n": [40, 4, 56],
        "share": [0.4, 0.04, 0.56],
        "revenue": [700.0, NAN, 300.0],
        "revenue_share": [0.7, NAN, 0.3],
        "coverage": [1.0, 0.0, 1.0],
        "is_small": [False, True, False],
    }
)
POTENTIAL = pd.DataFrame(
    {
        "partner_type": ["all", "agent", "reseller", "unknown"],
        "n": [100, 40, 56, 4],
        "n_potential": [97, 40, 56, 1],
        "n_headroom": [91, 38, 53, 0],
        "n_forecast": [80, 30, 50, 0],
        "monetary_value_365d": [60.0, 50.0, 70.0, 9000.0],
        "potential_value": [900.0, 1000.0, 800.0, 9999.0],
        "potential_low": [700.0, 900.0, 600.0, 1.0],
        "potential_high": [1000.0, 1200.0, 900.0, 99999.0],
        "headroom_value": [500.0, 600.0, 400.0, NAN],
        "headroom_low": [300.0, 500.0, 200.0, NAN],
        "headroom_high": [600.0, 800.0, 500.0, NAN],
        "forecast_value": [80.0, 70.0, 90.0, NAN],
        "forecast_low": [40.0, 30.0, 50.0, NAN],
        "forecast_high": [120.0, 110.0, 130.0, NAN],
    }
)
LINEAGE = pd.DataFrame(
    {
        "event": ["continued", "split", "merged", "died", "appeared"],
        "old": ["“A”", "“B”", "“C” and “D”", "“E”", ""],
        "new": ["“A”", "“B” and “F”", "“C”", "", "“G”"],
        "n_old": [10.0, 20.0, 30.0, 40.0, NAN],
        "n_new": [11.0, 21.0, 31.0, NAN, 50.0],
        "kept": [0.9, 0.8, 0.7, NAN, NAN],
    }
)
YEAR_BEFORE = pd.DataFrame(
    [{"partners": 90, "segments": 5, "why_not": "", "stale": False, "reason": "", "stability_index": 0.01}]
)
DRIFT = pd.DataFrame(
    {
        "segment": [0, 1],
        "name": ["New agents", "Old resellers"],
        "n_old": [40, 30],
        "n_new": [50, 30],
        "way": [0.1, 0.2],
        "nearest": ["Old resellers", "New agents"],
        "spread": [1.0, 1.1],
        "unknown_old": [0.1, 0.1],
        "unknown_new": [0.1, 0.2],
        "stale": [False, False],
    }
)
PROOF = pd.DataFrame(
    {
        "outcome": ["next_revenue", "next_revenue", "next_revenue", "retained"],
        "predictor": ["rating", "monetary_value_365d", "recency_days", "rating"],
        "n": [900, 900, 900, 900],
        "value": [0.61, 0.84, 0.3, 0.4],
        "lower": [0.55, 0.82, 0.25, 0.3],
        "upper": [0.66, 0.86, 0.36, 0.5],
        "kendall": [0.45, 0.66, 0.2, 0.33],
        "top_decile_lift": [2.0, 4.1, 1.5, 1.1],
        "auc": [NAN, NAN, NAN, 0.72],
        "winner": [None, "baseline", "rating", None],
        "first": "2024-06-30",
        "last": "2025-06-30",
    }
)
TIER_PROOF = pd.DataFrame(
    {
        "outcome": "next_revenue",
        "tier": ["gold", "silver", "bronze"],
        "n": [40, 60, 10],
        "mean": [50_000.0, 20_000.0, NAN],
        "lower": [45_000.0, 18_000.0, NAN],
        "upper": [55_000.0, 22_000.0, NAN],
        "monotone": True,
    }
)
RATING_MODELS = pd.DataFrame(
    {
        "model": ["direct", "learned", "equal"],
        "used": [True, False, False],
        "revenue": [0.61, 0.8, 0.5],
        "lower": [0.55, 0.75, 0.45],
        "upper": [0.66, 0.84, 0.55],
        "auc": [0.72, 0.75, 0.7],
        "agreement": [1.0, 0.9, 0.95],
    }
)
FAIRNESS = pd.DataFrame(
    {
        "by": ["region", "region", "language"],
        "group": ["north", "Київ", "uk"],
        "n": [800, 200, 12],
        "difference": [1.5, -10.2, NAN],
        "lower": [0.5, -12.0, NAN],
        "upper": [2.5, -8.5, NAN],
        "flagged": [False, True, False],
        "assessed": [True, True, False],
    }
)
TIER_CHANGES = pd.DataFrame(
    {
        "partner_id": ["p0", "p1", "p2"],
        "name": ["Blue, Ltd", "Red", "Oak"],
        "as_of": pd.to_datetime(["2025-09-30", "2026-03-30", "2026-05-30"]),
        "before": ["silver", "gold", "bronze"],
        "after": ["gold", "silver", None],
        "kind": ["promoted", "demoted", "not_rated"],
        "reason": ["Passed gold by 2.1 points.", "Below gold by 3 points.", "Too little is known."],
    }
)
ECONOMICS = pd.DataFrame(
    {
        "as_of": ["2026-06-30", "2026-06-30", "2026-03-30", "2026-03-30"],
        "tier": ["gold", "silver", "gold", "silver"],
        "partners": [10, 30, 8, 31],
        "revenue": [500_000.0, 300_000.0, 400_000.0, 310_000.0],
        "margin": [100_000.0, 60_000.0, 80_000.0, 62_000.0],
        "privileges": [20_000.0, 6_000.0, 16_000.0, 6_200.0],
        "net": [80_000.0, 54_000.0, 64_000.0, 55_800.0],
    }
)
WHAT_IF = pd.DataFrame(
    {
        "shift": [-2.0, 0.0, 2.0],
        "promoted": [25, 0, 0],
        "demoted": [0, 0, 19],
        "privileges": [30_000.0, 26_000.0, 21_000.0],
        "net": [130_000.0, 134_000.0, 139_000.0],
    }
)
STEADINESS = pd.DataFrame(
    {
        "disturbance": ["month", "noise", "dropped"],
        "spearman": [0.99, 0.999, NAN],
        "share_shift": [0.02, 0.004, NAN],
        "score_change": [NAN, NAN, 0.0],
    }
)
MOVES = pd.DataFrame(
    [
        ("recruited", "onboarded", 60),
        ("recruited", "activated", 20),
        ("recruited", "left", 5),
        ("recruited", None, 15),
        ("onboarded", "activated", 40),
        ("onboarded", "recruited", 6),
        ("onboarded", "left", 10),
        ("onboarded", None, 4),
        ("activated", None, 60),
        ("left", None, 15),
    ],
    columns=["stage", "next_stage", "n"],
)
COHORTS = pd.DataFrame(
    {
        "stage": ["recruited", "onboarded"] * 3,
        "n": [20, 20, 60, 40, 30, 30],
        "converted": [18, 5, 54, 20, 27, 3],
        "left": [1, 2, 3, 4, 0, 1],
        "waiting": [1, 13, 3, 16, 3, 26],
        "conversion": [0.9, 0.25, 0.9, 0.5, NAN, 0.8],
        "lower": [0.8, 0.15, 0.85, 0.4, NAN, 0.6],
        "upper": [0.97, 0.35, 0.95, 0.6, NAN, 0.9],
        "horizon_days": 90,
        "cohort": pd.to_datetime(["2026-01-01"] * 2 + ["2025-10-01"] * 2 + ["2026-04-01"] * 2),
        "followed": [20, 20, 60, 40, 3, 3],
        "immature": [False] * 4 + [True] * 2,
    }
)
SEGMENT_CONVERSION = pd.DataFrame(
    {
        "group": ["New agents", "Old resellers", "Few", "New agents"],
        "stage": ["recruited", "recruited", "recruited", "onboarded"],
        "n": [50, 40, 5, 30],
        "conversion": [0.4, 0.7, 0.99, 0.1],
        "lower": [0.3, 0.6, 0.98, 0.05],
        "upper": [0.5, 0.8, 1.0, 0.2],
    }
)
WAITING = pd.DataFrame(
    {
        "stage": ["onboarded", "activated"],
        "attribute": ["partner_type", "missing_step"],
        "value": ["agent", "welcome_call"],
        "n": [40, 90],
        "waiting": [20, 30],
        "share": [0.6, 0.9],
        "share_gone_on": [0.2, 0.7],
        "difference": [0.4, 0.2],
        "lower": [0.1, 0.05],
        "upper": [0.7, 0.35],
    }
)
DROP_OUTS = pd.DataFrame(
    {
        "region": "all",
        "stage": ["recruited", "onboarded", "activated"],
        "exit": "left",
        "n": [100, 60, 0],
        "dropped": [5, 10, 0],
        "share": [0.05, 0.18, NAN],
        "lower": [0.02, 0.1, NAN],
        "upper": [0.1, 0.29, NAN],
    }
)
EFFECTS = pd.DataFrame(
    {
        "action": ["newsletter", "welcome_call", "technical_audit", "co_funding"],
        "stage": ["onboarded", "recruited", "onboarded", "onboarded"],
        "segment": [None, None, None, None],
        "n": [300, 200, 90, 3],
        "n_without": [900, 800, 900, 900],
        "chance_with": [0.2, 0.5, 0.18, NAN],
        "chance_without": [0.21, 0.3, 0.2, NAN],
        "effect_chance": [-0.01, 0.2, -0.02, NAN],
        "lower_chance": [-0.03, 0.1, -0.05, NAN],
        "upper_chance": [0.01, 0.3, 0.01, NAN],
        "effect_value": [0.08, 0.01, -0.2, NAN],
        "lower_value": [0.03, -0.05, -0.3, NAN],
        "upper_value": [0.13, 0.07, -0.1, NAN],
        "reason": ["", "", "", "seen 3 times, fewer than 10"],
    }
)
ROUTES = pd.DataFrame(
    {
        "start": ["recruited"] * 4 + ["onboarded", "left"],
        "objective": "value",
        "route": pd.array([1, 1, 1, 2, 1, None], dtype="Int64"),
        "step": pd.array([1, 2, None, 1, 1, None], dtype="Int64"),
        "stage": ["recruited", "onboarded", "left", "recruited", "onboarded", "left"],
        "action": ["welcome_call", "none", "none", "newsletter", "newsletter", None],
        "route_chance": [0.4, 0.4, 0.4, 0.3, 0.5, NAN],
        "lower": [0.3, 0.3, 0.3, 0.2, 0.4, NAN],
        "upper": [0.5, 0.5, 0.5, 0.4, 0.6, NAN],
        "route_days": [200.0, 200, 200, 300, 90, NAN],
        "route_cost": [40.0, 40, 40, 1, 1, NAN],
        "route_value": [5000.0, 5000, 5000, 4000, 6000, NAN],
        "reason": ["", "", "", "", "", "nothing is known of leaving left"],
    }
)
AVOIDING = pd.DataFrame(
    {
        "start": ["recruited", "onboarded"],
        "action": ["welcome_call", "newsletter"],
        "arrive": [0.4, 0.5],
        "arrive_without": [0.3, 0.45],
        "loses": [1000.0, 0.0],
        "objective": "value",
    }
)
ROUTE_VALUE = pd.DataFrame(
    {
        "method": ["logged", "ips", "weighted", "doubly_robust", "gain"],
        "value": [16_000.0, 23_000.0, 18_000.0, 18_500.0, 2_500.0],
        "lower": [15_000.0, 18_000.0, 15_000.0, 16_000.0, 1_000.0],
        "upper": [17_000.0, 28_000.0, 21_000.0, 21_000.0, 4_000.0],
        "n": 900,
        "effective_n": [900.0, 170, 170, 170, 170],
        "largest_weight": [0.001, 0.01, 0.01, 0.01, 0.01],
        "reason": "",
    }
)
SEGMENT_PLANS = pd.DataFrame(
    {
        "segment": pd.array([None, None, 0, 0, 1], dtype="Int64"),
        "segment_name": [None, None, "New agents", "New agents", "Old resellers"],
        "stage": ["recruited", "onboarded", "recruited", "onboarded", "recruited"],
        "step": [1, 1, 1, 1, 1],
        "action": ["welcome_call", "newsletter", "welcome_call", "newsletter", "newsletter"],
        "clear": [True, False, True, False, True],
        "title": ["Welcome call", "Newsletter", "Welcome call", "Newsletter", "Newsletter"],
        "instructions": ["Call.", "Write.", "Call.", "Write.", "Write."],
    }
)
