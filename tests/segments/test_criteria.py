"""Criteria segments: every rule by hand, unknown never dropped."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from partnerseg.segments.criteria import assign_criteria

SETTINGS = SimpleNamespace(
    engagement=SimpleNamespace(new_tenure_days=90, active_recency_days=60), potential_quantile=0.8
)


@pytest.mark.parametrize(
    ("tenure", "recency", "orders", "reply_rate", "level"),
    [
        (89, 10, 3, 0.5, "new"),
        (90, 60, 3, 0.0, "active"),
        (90, 61, 3, 0.0, "inactive"),
        (400, 200, 3, 0.1, "active"),  # no sale lately, but a reply
        (400, np.nan, 0, 0.0, "inactive"),  # sales are known: there was none
        (400, np.nan, np.nan, np.nan, "unknown"),  # sales are unknown
        (np.nan, 200, 3, np.nan, "inactive"),  # a sale 200 days ago: not new
        (np.nan, 20, 3, np.nan, "active"),  # it may be new as well: nobody knows
        (np.nan, 70, 3, np.nan, "unknown"),  # not active, and may be new
        (np.nan, np.nan, 0, 0.0, "unknown"),  # may be new or not
    ],
)
def test_engagement(tenure, recency, orders, reply_rate, level):
    features = pd.DataFrame(
        {
            "tenure_days": [tenure],
            "recency_days": [recency],
            "frequency_365d": [orders],
            "reply_rate_90d": [reply_rate],
        },
        dtype=float,
    )
    assert assign_criteria(features, SETTINGS)["engagement_level"].tolist() == [level]


def test_potential_is_what_comparable_partners_reach():
    # 41 small resellers with 0..40 thousand, 10 large ones (too few: all resellers count), 30 agents with 7,000.
    features = pd.DataFrame(
        {
            "partner_type": ["reseller"] * 51 + ["agent"] * 30 + [None],
            "company_size": ["small"] * 41 + ["large"] * 10 + ["small"] * 30 + ["small"],
            "monetary_value_365d": [*(1000.0 * np.arange(41)), *([100_000.0] * 10), *([7000.0] * 30), np.nan],
        }
    )
    result = assign_criteria(features, SETTINGS)
    assert result["potential_value"][0] == pytest.approx(32_000)  # the 80th percentile of 0..40 is 32
    assert result["headroom"][0] == pytest.approx(32_000)
    assert result["headroom"][40] == 0
    # Resellers together: 51 values, the 80th percentile is the 41st from below, which is 40,000.
    assert result["potential_value"][45] == pytest.approx(40_000)
    assert result["potential_value"][60] == pytest.approx(7000)
    # Nothing is known of the last but the programme: of 81 values the 65th from below,
    # which is the 27th above the 38 values up to 7,000.
    assert result["potential_value"].iloc[-1] == pytest.approx(34_000)
    assert np.isnan(result["headroom"].iloc[-1])
    # In order: 30 times 7,000 (mean rank 15.5 of 82), 41 times 32,000 (51), then 34,000 and 10 times 40,000.
    assert result["revenue_potential"].iloc[[60, 0, 45]].tolist() == ["low", "medium", "high"]


def test_unknown_is_a_category_and_no_one_is_dropped():
    features = pd.DataFrame({"partner_type": ["agent", None]}, index=pd.Index(["P1", "P2"], name="partner_id"))
    result = assign_criteria(features, SETTINGS)
    assert result.index.tolist() == ["P1", "P2"]
    assert result["partner_type"].tolist() == ["agent", "unknown"]
    for column in ("industry", "company_size", "geography", "engagement_level", "revenue_potential"):
        assert result[column].tolist() == ["unknown", "unknown"]
    assert result["potential_value"].isna().all()


def test_sizes_and_levels_are_ordered():
    features = pd.DataFrame({"company_size": ["large", "micro", "small"]})
    result = assign_criteria(features, SETTINGS)
    assert result["company_size"].sort_values().tolist() == ["micro", "small", "large"]
    assert result["engagement_level"].cat.categories.tolist() == ["new", "active", "inactive", "unknown"]
    assert result["revenue_potential"].cat.categories.tolist() == ["low", "medium", "high", "unknown"]


def test_equal_potential_is_medium():
    features = pd.DataFrame({"monetary_value_365d": np.full(40, 5.0)})
    assert set(assign_criteria(features, SETTINGS)["revenue_potential"]) == {"medium"}
