"""Assigns every partner to segments by rule: what it is, where it is, how engaged it is, what it could reach."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from partnerseg.segments.potential import estimate_potential

UNKNOWN = "unknown"
CRITERIA = ("partner_type", "industry", "company_size", "geography", "engagement_level", "revenue_potential")
SIZES = ("micro", "small", "medium", "large")
ENGAGEMENT = ("new", "active", "inactive")
POTENTIAL = ("low", "medium", "high")
YEAR = 365


def assign_criteria(features: pd.DataFrame, settings: Any) -> pd.DataFrame:
    """Assign partners to the six criteria; unknown is a category of its own.

    Engagement is the first that holds: "new" (with the programme for fewer than `engagement.new_tenure_days`),
    "active" (one of `engagement.active_signs`, which count days since something, is at most
    `engagement.active_recency_days`), "inactive" (none is). It is unknown where sales are unknown, or where an idle
    partner of unknown tenure may still be new.

    Revenue potential is what comparable partners reach: the `potential.quantile` of last year's revenue among partners
    alike in `potential.groups`, small groups completed by coarser ones, the partner itself left out; see
    `estimate_potential`. Partners who joined within the year have no full year to compare with: they have a potential,
    but nobody is compared with them, and their headroom is missing. By what their group reaches partners are "low",
    "medium" or "high", a third each; who tie stay together. The comparison is with the partners given: assign the whole
    programme, then take a region from the result.

    Args:
        features: One row a partner as `build_features` makes it for one date; any column may be absent.
        settings: `params.segments`, of which `engagement` and `potential` are read.

    Returns:
        Index as the features: partner_type, industry, geography (the region) as text; company_size, engagement_level,
        revenue_potential as ordered categories with "unknown" last; potential_value, potential_low, potential_high (its
        interval), headroom, headroom_low, headroom_high in the programme's currency a year; comparable_partners, the
        number of partners compared in effect. Headroom is potential less last year's revenue, at least 0. Missing where
        it cannot be said: fewer than 30 partners of known revenue, or fewer than 5 compared in effect.

    Example:
        >>> from types import SimpleNamespace
        >>> engagement = SimpleNamespace(new_tenure_days=90, active_recency_days=90, active_signs=["recency_days"])
        >>> potential = SimpleNamespace(quantile=0.8, level=0.9, pooling=30.0, groups=["partner_type"])
        >>> features = pd.DataFrame({"tenure_days": [20, 400], "recency_days": [5, 200]}, index=["P1", "P2"])
        >>> settings = SimpleNamespace(engagement=engagement, potential=potential)
        >>> assign_criteria(features, settings)["engagement_level"].tolist()
        ['new', 'inactive']
    """
    rules = settings.potential
    revenue = _read_number(features, "monetary_value_365d")
    year = revenue.mask(_read_number(features, "tenure_days") < YEAR)
    groups = pd.DataFrame({name: _read_text(features, name) for name in rules.groups}, index=features.index)
    potential = estimate_potential(
        year, groups, quantile=float(rules.quantile), level=float(rules.level), pooling=float(rules.pooling)
    )
    size = _read_text(features, "company_size")
    limits = {"": "potential_value", "_low": "potential_low", "_high": "potential_high"}
    headroom = {f"headroom{end}": (potential[name] - year).clip(lower=0.0) for end, name in limits.items()}
    return pd.DataFrame(
        {
            "partner_type": _read_text(features, "partner_type"),
            "industry": _read_text(features, "industry"),
            "company_size": _order(size, [*SIZES, *sorted(set(size) - {*SIZES, UNKNOWN})]),
            "geography": _read_text(features, "region"),
            "engagement_level": _order(_find_engagement(features, settings.engagement), ENGAGEMENT),
            "revenue_potential": _order(_split_in_thirds(potential["group_potential"]), POTENTIAL),
            **potential.drop(columns="group_potential"),
            **headroom,
        },
        index=features.index,
    )


def combine_criteria(criteria: pd.DataFrame, by: Sequence[str]) -> pd.Series:
    """Combine criteria into one segment a partner: "reseller, small, active".

    Args:
        criteria: One row a partner, a column a criterion, as `assign_criteria` returns it.
        by: Criteria that make the segment, in the order of its name; at least one.

    Returns:
        Index as the criteria: the segment, an ordered category in the order of the criteria's own categories (text by
        the alphabet). Nobody is without: who is unknown in a criterion is in a segment that says so, "unknown
        industry".

    Raises:
        ValueError: `by` is empty, names a criterion twice or one that is not there.

    Example:
        >>> criteria = pd.DataFrame({"partner_type": ["agent", "reseller"], "geography": ["north", "unknown"]})
        >>> combine_criteria(criteria, by=["partner_type", "geography"]).tolist()
        ['agent, north', 'reseller, unknown geography']
    """
    by = list(by)
    wrong = [name for name in by if name not in criteria] or [name for name in by if by.count(name) > 1]
    if wrong or not by:
        raise ValueError(
            f"by == {by!r}, must be at least one of {list(criteria.columns)!r}, none twice: see `segments.criteria.by`"
        )
    ordered = pd.DataFrame({name: _as_category(criteria[name]) for name in by}, index=criteria.index)
    groups = ordered.groupby(by, observed=True, sort=True)
    number = groups.ngroup()
    rows = ordered.iloc[np.unique(number.to_numpy(), return_index=True)[1]].astype(object)
    parts = [
        [
            str(value) if value != UNKNOWN else f"{UNKNOWN} {name.replace('_', ' ')}"
            for name, value in zip(by, row, strict=True)
        ]
        for row in rows.itertuples(index=False)
    ]
    names = [", ".join(part) for part in parts]
    if len(set(names)) < len(names):  # values with commas of their own: quotes keep the segments apart
        names = [json.dumps(part, ensure_ascii=False)[1:-1] for part in parts]
    dtype = pd.CategoricalDtype(names, ordered=True)
    return pd.Series(pd.Categorical.from_codes(number.to_numpy(), dtype=dtype), index=criteria.index)


def summarize_criteria(segments: pd.Series, revenue: pd.Series, *, small: int = 10) -> pd.DataFrame:
    """Summarize segments: how many partners, how much revenue, how well known.

    Args:
        segments: Index partner_id: segment, as `combine_criteria` returns it or any criterion of `assign_criteria`.
        revenue: Same index: revenue in any currency; missing where unknown, which is not zero.
        small: Segments with fewer partners are told as small; they stay as they are.

    Returns:
        Index segment, in the order of the categories: n (partners), share (of all partners, 0-1), revenue (of the
        partners whose revenue is known; missing where none is), revenue_share (0-1; missing where revenue is, or where
        all revenue together is not over 0), coverage (share of the segment's partners with a known revenue), is_small.
        Partners sum to all partners, revenue to all revenue known, and each share to 1.

    Raises:
        ValueError: The two indexes differ, or a partner has no segment.

    Example:
        >>> table = summarize_criteria(pd.Series(["a", "a", "b"]), pd.Series([1.0, None, 3.0]), small=2)
        >>> table[["n", "revenue", "revenue_share", "coverage", "is_small"]].values.tolist()
        [[2, 1.0, 0.25, 0.5, False], [1, 3.0, 0.75, 1.0, True]]
    """
    if not segments.index.equals(revenue.index):
        raise ValueError("`segments` and `revenue` have different indexes, must have the same partners in one order")
    if segments.isna().any():
        raise ValueError(f"partner {segments.index[segments.isna()][0]!r} has no segment: unknown must be a category")
    money = revenue.astype(np.float64)
    grouped = money.groupby(_as_category(segments), observed=True)
    table = pd.DataFrame({"n": grouped.size(), "share": grouped.size() / max(len(segments), 1)})
    table["revenue"] = grouped.sum(min_count=1)
    whole = table["revenue"].sum()
    table["revenue_share"] = table["revenue"] / whole if whole > 0 else np.nan
    table["coverage"] = grouped.count() / table["n"]
    table["is_small"] = table["n"] < small
    return table.rename_axis("segment")


def _as_category(values: pd.Series) -> pd.Series:
    """Return values as an ordered category; text by the alphabet, unknown and missing last."""
    if isinstance(values.dtype, pd.CategoricalDtype) and not values.isna().any():
        return values
    text = values.astype("str").fillna(UNKNOWN)
    return pd.Series(_order(text, sorted(set(text) - {UNKNOWN})), index=values.index)


def _find_engagement(features: pd.DataFrame, rules: Any) -> np.ndarray:
    tenure, recency = _read_number(features, "tenure_days"), _read_number(features, "recency_days")
    sold = _read_number(features, "frequency_365d")
    # A sale long ago proves that a partner is not new, even if nobody wrote down when it joined.
    age = tenure.fillna(_read_number(features, "first_sale_days").fillna(recency))
    active = np.zeros(len(features), dtype=bool)
    for sign in rules.active_signs:
        active |= (_read_number(features, sign) <= rules.active_recency_days).to_numpy()
    return np.select(
        [
            tenure < rules.new_tenure_days,
            active,
            ~(age >= rules.new_tenure_days) | (recency.isna() & sold.isna()),
        ],
        ["new", "active", UNKNOWN],
        "inactive",
    )


def _split_in_thirds(values: pd.Series) -> np.ndarray:
    order = (values.rank() - 0.5) / max(values.notna().sum(), 1)
    return np.select([order.isna(), order < 1 / 3, order > 2 / 3], [UNKNOWN, "low", "high"], "medium")


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
