"""Assigns every partner to segments by rule: what it is, where it is, how engaged it is, what it could reach."""

from typing import Any

import numpy as np
import pandas as pd

UNKNOWN = "unknown"
SIZES = ("micro", "small", "medium", "large")
ENGAGEMENT = ("new", "active", "inactive")
POTENTIAL = ("low", "medium", "high")
COMPARABLE = 30  # partners of known revenue that a group of comparable partners must have


def assign_criteria(features: pd.DataFrame, settings: Any) -> pd.DataFrame:
    """Assign partners to the six criteria; unknown is a category of its own.

    Engagement is the first that holds: "new" (with the programme for fewer than `engagement.new_tenure_days`),
    "active" (a sale within `engagement.active_recency_days`, or a reply to a contact within 90 days), "inactive"
    (neither). It is unknown where sales are unknown, or where an idle partner of unknown tenure may still be new.

    Revenue potential is what comparable partners reach: the `potential_quantile` of last year's revenue among partners
    of the same type and size, of the same type if fewer than 30 of those are known, of all partners otherwise. By
    their rank in it partners are "low", "medium" or "high", a third each; who tie stay together. The comparison is
    with the partners given: assign the whole programme, then take a region from the result.

    Args:
        features: One row a partner as `build_features` makes it; any column may be absent.
        settings: `params.segments`: `engagement.new_tenure_days`, `engagement.active_recency_days` and
            `potential_quantile`.

    Returns:
        Index as the features: partner_type, industry, geography (the region) as text; company_size, engagement_level,
        revenue_potential as ordered categories with "unknown" last; potential_value and headroom in the programme's
        currency a year. Headroom is potential_value less last year's revenue, at least 0; missing where one is.

    Example:
        >>> from types import SimpleNamespace
        >>> settings = SimpleNamespace(
        ...     engagement=SimpleNamespace(new_tenure_days=90, active_recency_days=90), potential_quantile=0.8
        ... )
        >>> features = pd.DataFrame({"tenure_days": [20, 400], "recency_days": [5, 200]}, index=["P1", "P2"])
        >>> assign_criteria(features, settings)["engagement_level"].tolist()
        ['new', 'inactive']
    """
    kind, size = _read_text(features, "partner_type"), _read_text(features, "company_size")
    revenue = _read_number(features, "monetary_value_365d")
    potential = _find_potential(revenue, kind, size, float(settings.potential_quantile))
    order = (potential.rank() - 0.5) / max(potential.notna().sum(), 1)
    level = np.select([order.isna(), order < 1 / 3, order > 2 / 3], [UNKNOWN, "low", "high"], "medium")
    sizes = [*SIZES, *sorted(set(size) - {*SIZES, UNKNOWN})]
    return pd.DataFrame(
        {
            "partner_type": kind,
            "industry": _read_text(features, "industry"),
            "company_size": _order(size, sizes),
            "geography": _read_text(features, "region"),
            "engagement_level": _order(_find_engagement(features, settings.engagement), ENGAGEMENT),
            "revenue_potential": _order(level, POTENTIAL),
            "potential_value": potential,
            "headroom": (potential - revenue).clip(lower=0.0),
        },
        index=features.index,
    )


def _find_engagement(features: pd.DataFrame, rules: Any) -> np.ndarray:
    tenure, recency = _read_number(features, "tenure_days"), _read_number(features, "recency_days")
    sold, replied = _read_number(features, "frequency_365d"), _read_number(features, "reply_rate_90d")
    # A sale long ago proves that a partner is not new, even if nobody wrote down when it joined.
    age = tenure.fillna(_read_number(features, "first_sale_days").fillna(recency))
    return np.select(
        [
            tenure < rules.new_tenure_days,
            (recency <= rules.active_recency_days) | (replied > 0),
            ~(age >= rules.new_tenure_days) | (recency.isna() & sold.isna()),
        ],
        ["new", "active", UNKNOWN],
        "inactive",
    )


def _find_potential(revenue: pd.Series, kind: pd.Series, size: pd.Series, quantile: float) -> pd.Series:
    """Return the revenue that comparable partners reach; missing when fewer than 30 partners have a known revenue."""
    known = revenue.dropna()
    reached = known.quantile(quantile) if len(known) >= COMPARABLE else np.nan
    potential = pd.Series(reached, index=revenue.index, dtype=np.float64)
    for groups in (kind, kind + "\n" + size):
        grouped = revenue.groupby(groups)
        values = grouped.transform("quantile", quantile)
        potential = values.where(grouped.transform("count") >= COMPARABLE, potential)
    return potential


def _order(values: Any, categories: Any) -> pd.Categorical:
    return pd.Categorical(values, categories=[*categories, UNKNOWN], ordered=True)


def _read_text(features: pd.DataFrame, column: str) -> pd.Series:
    if column not in features:
        return pd.Series(UNKNOWN, index=features.index, dtype="str")
    return features[column].astype("str").fillna(UNKNOWN)


def _read_number(features: pd.DataFrame, column: str) -> pd.Series:
    if column not in features:
        return pd.Series(np.nan, index=features.index, dtype=np.float64)
    return features[column].astype(np.float64)
