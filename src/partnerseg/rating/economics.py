"""What tiers cost and bring: a table of tiers, and what moving their thresholds would do."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from partnerseg.rating.tiers import find_thresholds, follow_tiers

YEAR = 365
NOT_RATED = "not rated"
ALL = "all"


def tier_economics(
    tiers: pd.Series,
    revenue: pd.Series,
    *,
    privileges: Iterable[Any] = (),
    margin: float = 0.2,
    period_days: int = YEAR,
) -> pd.DataFrame:
    """Tell what each tier brings and what its privileges cost.

    A tier costs its partners times its privileges, for the time in which the revenue was made. The table describes; it
    does not say that a tier causes its revenue.

    Args:
        tiers: Tier of each partner, an ordered category, worst first, as from `assign_tiers` or `follow_tiers`; missing
            means not rated. Index partner_id, or (as_of, partner_id) for several dates.
        revenue: Revenue of each partner in the time looked at, same kind of index; missing or absent means unknown.
        privileges: Rows `{tier, privilege, cost}`, cost in money a partner and year; `params.rating.privileges`.
        margin: Share of revenue that is ours, 0-1.
        period_days: Days in which the revenue was made.

    Returns:
        Index tier, best first, then `not rated` and `all`; with several dates (as_of, tier): `partners`, `known`
        (partners with known revenue), `revenue` (sum of the known; missing where none is), `margin` (ours of it),
        `cost` (of privileges), `net` (margin minus cost), `cost_per_revenue` (missing without revenue) and
        `revenue_per_partner` (mean of the known). Revenue that is unknown is not counted while its partner's privileges
        are: compare `known` with `partners`.

    Raises:
        ValueError: A privilege has a key missing, a tier that does not exist or a negative cost, `margin` is not
            between 0 and 1, `period_days` is under 1, or `tiers` is no ordered category.

    Examples:
        >>> from partnerseg.rating.tiers import assign_tiers
        >>> tiers = assign_tiers(pd.Series([90.0, 40.0, 30.0]), tiers={"gold": 0.3, "bronze": 0.7}).tier
        >>> rows = [{"tier": "gold", "privilege": "manager", "cost": 50.0}]
        >>> table = tier_economics(tiers, pd.Series([1000.0, 200, 100]), privileges=rows)
        >>> table.loc["gold", ["margin", "cost", "net"]].tolist()
        [200.0, 50.0, 150.0]
    """
    if not (isinstance(tiers.dtype, pd.CategoricalDtype) and tiers.cat.ordered):
        raise ValueError(f"tiers is {tiers.dtype}, must be an ordered category, worst first: as assign_tiers gives it")
    if not 0 <= margin <= 1:
        raise ValueError(f"rating.margin == {margin}, must be between 0 and 1")
    if not period_days >= 1:
        raise ValueError(f"period_days == {period_days}, must be >= 1")
    names = [str(name) for name in tiers.cat.categories[::-1]]
    costs = {name: cost * period_days / YEAR for name, cost in sum_privileges(privileges, names).items()}
    by_date = tiers.index.nlevels > 1
    frame = pd.DataFrame(
        {
            "tier": tiers.astype(object).where(tiers.notna(), NOT_RATED).to_numpy(),
            "revenue": revenue.reindex(tiers.index).to_numpy(dtype=float, na_value=np.nan),
        },
        index=tiers.index.get_level_values(0) if by_date else tiers.index,
    )
    if not by_date:
        return _summarize(frame, names, costs, margin)
    parts = {date: _summarize(part, names, costs, margin) for date, part in frame.groupby(level=0, sort=True)}
    if not parts:
        return _summarize(frame, names, costs, margin).iloc[:0]
    return pd.concat(parts, names=["as_of", "tier"])


def sum_privileges(privileges: Iterable[Any], tiers: Iterable[str]) -> dict[str, float]:
    """Add up what a partner of each tier costs in a year.

    Args:
        privileges: Rows `{tier, privilege, cost}`.
        tiers: Names of the tiers.

    Returns:
        Money a partner and year for each tier, 0 where it has no privileges.

    Raises:
        ValueError: A row has a key missing, a tier that does not exist, or a negative cost.

    Examples:
        >>> sum_privileges([{"tier": "gold", "privilege": "manager", "cost": 50}], ["gold", "bronze"])
        {'gold': 50.0, 'bronze': 0.0}
    """
    costs = dict.fromkeys(tiers, 0.0)
    for place, row in enumerate(privileges):
        key = f"rating.privileges[{place}]"
        for name in ("tier", "privilege", "cost"):
            if name not in row:
                raise ValueError(f"{key}.{name}: must be there; state it in params/programme.yaml")
        if row["tier"] not in costs:
            raise ValueError(f"{key}.tier == {str(row['tier'])!r}; possible values are: {', '.join(costs)}")
        cost = pd.to_numeric(row["cost"], errors="coerce")
        if not (np.isfinite(cost) and cost >= 0):
            raise ValueError(f"{key}.cost == {row['cost']}, must be a number >= 0: money a partner and year")
        costs[row["tier"]] += float(cost)
    return costs


def _summarize(frame: pd.DataFrame, names: list[str], costs: Mapping[str, float], margin: float) -> pd.DataFrame:
    rows = {}
    for name in [*names, NOT_RATED, ALL]:
        own = frame if name == ALL else frame[frame["tier"] == name]
        known = own["revenue"].dropna()
        cost = sum(costs.get(str(tier), 0.0) * count for tier, count in own["tier"].value_counts().items())
        rows[name] = {
            "partners": len(own),
            "known": len(known),
            "revenue": known.sum() if len(known) else np.nan,
            "cost": float(cost),
            "revenue_per_partner": known.mean() if len(known) else np.nan,
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("tier")
    table["margin"] = table["revenue"] * margin
    # A tier without partners brings nothing and costs nothing; with partners of unknown revenue its net is unknown.
    table["net"] = table["margin"].where(table["partners"] > 0, 0.0) - table["cost"]
    table["cost_per_revenue"] = table["cost"] / table["revenue"].where(table["revenue"] > 0)
    columns = ["partners", "known", "revenue", "margin", "cost", "net", "cost_per_revenue", "revenue_per_partner"]
    return table[columns]


class WhatIf(NamedTuple):
    """What other thresholds would do.

    Attributes:
        table: Index tier, best first, and `all`: `threshold_before, threshold_after` (points), `partners_before,
            partners_after`, `cost_before, cost_after` (of privileges, money), `net_before, net_after` (margin minus
            cost, when revenue stays what it is).
        moves: One row a partner that changes its tier, index partner_id: `change` (`promoted` or `demoted`),
            `tier_before, tier_after, score` and `revenue`; best score first.
    """

    table: pd.DataFrame
    moves: pd.DataFrame


def what_if_thresholds(
    score: pd.Series,
    *,
    thresholds: pd.Series,
    revenue: pd.Series,
    changes: Mapping[str, float] | None = None,
    shares: Mapping[str, float] | None = None,
    privileges: Iterable[Any] = (),
    margin: float = 0.2,
    period_days: int = YEAR,
    **rule: Any,
) -> WhatIf:
    """Tell what moving thresholds, or shares, would do to counts, cost and net.

    Both sides follow the same rule through all dates given, and the last date is told: had the thresholds been others
    all along. So with no change both sides are the tiers that `follow_tiers` gives. Revenue stays what it is: what
    partners would do in another tier is for an experiment to tell.

    Args:
        score: Scores 0-100, index (as_of, partner_id), or partner_id for one date, which leaves the rule nothing to go
            on from; missing means not rated.
        thresholds: Thresholds now, best first.
        revenue: Revenue of each partner in the time looked at, by partner_id; missing or absent means unknown.
        changes: Points by which thresholds move, by tier; the last tier's cannot.
        shares: Shares of partners rated at the last date for new thresholds, best tier first, instead of `changes`.
        privileges: As for `tier_economics`.
        margin: As for `tier_economics`.
        period_days: As for `tier_economics`.
        **rule: `hysteresis, grace_days, min_tenure_days, joined_at`, as for `follow_tiers`.

    Raises:
        ValueError: `score` is empty, neither or both of `changes` and `shares` are given, they name other tiers, a
            change is no finite number, or thresholds end up in another order; or as `tier_economics` or `follow_tiers`.

    Examples:
        >>> thresholds = pd.Series({"gold": 80.0, "bronze": 0.0})
        >>> score, revenue = pd.Series([90.0, 78.0], index=["a", "b"]), pd.Series([10.0, 5.0], index=["a", "b"])
        >>> result = what_if_thresholds(score, thresholds=thresholds, revenue=revenue, changes={"gold": -5})
        >>> result.moves["change"].to_dict()
        {'b': 'promoted'}
    """
    if not len(score):
        raise ValueError("score is empty, must hold the score of at least one partner")
    if score.index.nlevels == 1:
        score = pd.concat({"1970-01-01": score}, names=["as_of"])
    now = score.xs(max(score.index.get_level_values(0)), level=0)
    moved = _move_thresholds(now, thresholds, changes, shares)
    options: dict[str, Any] = {"margin": margin, "period_days": period_days, "privileges": list(privileges)}
    parts, tiers = {}, {}
    for when, used in (("before", thresholds), ("after", moved)):
        tiers[when] = follow_tiers(score, thresholds=used, **rule)["tier"].tail(len(now)).droplevel(0)
        table = tier_economics(tiers[when], revenue, **options).drop(index=NOT_RATED)
        parts[when] = table[["partners", "cost", "net"]].assign(threshold=used)
    columns = [f"{name}_{when}" for name in ("threshold", "partners", "cost", "net") for when in ("before", "after")]
    whole = pd.concat([part.add_suffix(f"_{when}") for when, part in parts.items()], axis=1)[columns]
    before, after = tiers["before"], tiers["after"]
    steps = after.cat.codes - before.cat.codes
    changed = steps.index[steps != 0]
    moves = pd.DataFrame(
        {
            "change": np.where(steps[changed] > 0, "promoted", "demoted").astype(object),
            "tier_before": before[changed],
            "tier_after": after[changed],
            "score": now[changed],
            "revenue": revenue.reindex(changed),
        },
        index=changed,
    )
    return WhatIf(whole, moves.sort_values("score", ascending=False, kind="stable"))


def _move_thresholds(
    score: pd.Series, thresholds: pd.Series, changes: Mapping[str, float] | None, shares: Mapping[str, float] | None
) -> pd.Series:
    if (changes is None) == (shares is None):
        raise ValueError("changes and shares: exactly one must be given; changes are points by which thresholds move")
    names = list(thresholds.index)
    if shares is not None:
        if list(shares) != names:
            raise ValueError(f"shares names the tiers {list(shares)}, must be {names}, best first")
        return find_thresholds(score, shares)
    moved = thresholds.copy()
    for tier, points in (changes or {}).items():
        if tier not in names[:-1]:
            raise ValueError(f"changes names {str(tier)!r}; possible values are: {', '.join(names[:-1])}")
        if not np.isfinite(points):
            raise ValueError(f"changes[{str(tier)!r}] == {points}, must be a finite number of points; 0 leaves it")
        moved[tier] += points
    if (moved.diff() > 0).any():
        raise ValueError(f"changes give the thresholds {moved.to_dict()}, must fall from the best tier to the last")
    return moved
