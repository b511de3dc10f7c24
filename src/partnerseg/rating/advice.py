"""Advice: the cheapest feasible change that lifts a partner to a score, or why there is none."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from partnerseg.rating.changes import Change, Score, Search, list_levers
from partnerseg.rating.factors import read_numbers
from partnerseg.rating.scaling import Scale

# What comparable partners achieve: this quantile of their values, from at least so many partners.
REACH = 0.9
MIN_COMPARABLE = 20
# Comparable partners are parted by where they started into at most so many ranges.
STARTS = 5
# Costs closer than this share are the same.
SAME_COST = 1e-5


@dataclass(frozen=True)
class Advice:
    """The cheapest change found that brings a partner to a tier, or why there is none.

    Attributes:
        partner_id: The partner.
        tier: The tier aimed at.
        reachable: True when applying `changes` gives the score needed; this was tried.
        reason: One or two sentences.
        score: Score now, 0-100; missing when not rated.
        score_after: Score with `changes` applied; the score now when there are none.
        changes: One row a changed feature: `factor` (those it counts in, with commas between), `feature`, `now`,
            `then`, `reach` (in the feature's unit; `reach` is how far comparable partners get), `points` (of the
            feature, 0-100, by how many it moves) and `cost`.
        needed: Score needed; missing when there are no tiers.
        furthest: Best score that feasible changes give; missing when not rated.
        cost: Sum of the costs of `changes`.
        at_least: What any change that gives the score costs at least; missing where no bound is known.
        to_assess: Features of the partner that are unknown, that of the weightiest factor first: to get known, which is
            no change and may lower a score as well as raise it.
    """

    partner_id: str
    tier: str
    reachable: bool
    reason: str
    score: float
    score_after: float
    changes: pd.DataFrame
    needed: float
    furthest: float
    cost: float
    at_least: float
    to_assess: tuple[str, ...]

    @property
    def is_cheapest(self) -> bool:
        """True when it is proven that nothing cheaper gives the score."""
        return self.cost <= self.at_least * (1 + SAME_COST)


def find_reach(
    features: pd.DataFrame,
    scales: Sequence[Scale],
    *,
    before: pd.DataFrame | None = None,
    group_by: str = "partner_type",
) -> pd.DataFrame:
    """Find how far comparable partners get, by level and, with an earlier date, by change in the time between.

    Comparable are partners of the same group, if at least 20 of them are known on the feature, otherwise everybody.
    `least` and `most` are the levels that the lowest and the highest tenth reach. `fall` and `rise` are the changes
    between the two dates that the tenth which fell or rose most reaches, among comparable partners who started in the
    same range: up to five ranges of equal counts, at least 20 partners in each.

    Args:
        features: One row a partner.
        scales: From `fit_scales`.
        before: The same partners at an earlier date; without it only levels bound a change.
        group_by: Column that tells who is comparable; without it everybody is.

    Returns:
        One row a group ("" is everybody), feature and range of starts, by rising start: `group, feature, start` (least
        value of the range; missing: no bound below), `known` (partners behind the levels), `least, most, fall, rise` in
        the feature's unit; `fall` (at most 0) and `rise` (at least 0) are missing where no change is known.

    Raises:
        ValueError: A feature is absent, not a number, or infinite; or `before` has more than one date.

    Examples:
        >>> scale = Scale("volume", "sales", "up", 0.0, 9.0, np.nan, "stated", True)
        >>> find_reach(pd.DataFrame({"sales": range(10)}), [scale])[["least", "most"]].values.tolist()
        [[0.0, 8.0]]
    """
    names = list(dict.fromkeys(scale.feature for scale in scales))
    now = read_numbers(features, names)
    then = {name: np.full(len(features), np.nan) for name in names}
    if before is not None:
        if before.index.nlevels > 1:
            raise ValueError(
                f"before has the index {list(before.index.names)}, must be partner_id alone: take one date"
            )
        then = read_numbers(before.reindex(features.index.get_level_values(-1)), names)
    groups = {"": np.full(len(features), True)}
    if group_by in features.columns:
        kinds = features[group_by].astype(object)
        groups |= {str(kind): (kinds == kind).to_numpy(dtype=bool) for kind in sorted(kinds.dropna().unique())}
    rows = []
    for name in names:
        common: list[tuple[float, float, float]] = []
        for group, members in groups.items():
            values = now[name][members & ~np.isnan(now[name])]
            both = members & ~np.isnan(now[name]) & ~np.isnan(then[name])
            if len(values) < (MIN_COMPARABLE if group else 1):
                continue
            ranges = common
            if not group or both.sum() >= MIN_COMPARABLE:
                ranges = _find_changes(then[name][both], now[name][both])
            common = common or ranges
            least, most = np.quantile(values, [1 - REACH, REACH], method="inverted_cdf").tolist()
            rows += [(group, name, start, len(values), least, most, fall, rise) for start, fall, rise in ranges]
    return pd.DataFrame(rows, columns=["group", "feature", "start", "known", "least", "most", "fall", "rise"])


def _find_changes(start: np.ndarray, end: np.ndarray) -> list[tuple[float, float, float]]:
    """Ranges of starts, each with how far the tenth that fell most and the one that rose most got."""
    if not len(start):
        return [(np.nan, np.nan, np.nan)]
    count = int(np.clip(len(start) // MIN_COMPARABLE, 1, STARTS))
    edges = np.unique(np.quantile(start, np.arange(1, count) / count, method="inverted_cdf"))
    edges = edges[edges > start.min()]
    places = np.searchsorted(edges, start, side="right")
    ranges = []
    for place in range(len(edges) + 1):
        change = (end - start)[places == place]
        fall, rise = np.quantile(change, [1 - REACH, REACH], method="inverted_cdf").tolist()
        ranges.append((float(edges[place - 1]) if place else np.nan, min(fall, 0.0), max(rise, 0.0)))
    return ranges


def find_advice(
    numbers: Mapping[str, float],
    scales: Sequence[Scale],
    score: Score,
    *,
    partner_id: str,
    tier: str,
    needed: float,
    weights: Mapping[str, float],
    min_coverage: float,
    reach: pd.DataFrame,
    group: str = "",
    evidence: Mapping[str, float] | None = None,
    costs: Mapping[str, float] | None = None,
    max_changes: int = 4,
) -> Advice:
    """Find the cheapest feasible change of a few features that gives a score.

    A known feature may move as far as comparable partners get (see `find_reach`), in whole numbers where it holds only
    those, and towards a target, never past it; one that stands in two factors moves in both. A change costs the points
    of the feature that it moves, or the stated cost. What is proposed was scored by `score` itself, whatever the
    aggregation.

    Where the score is a sum of what its features add, each in proportion to what it costs or in whole numbers, the
    cheapest change is the solution of a linear programme with whole numbers, solved to proven optimality by HiGHS:
    nothing cheaper exists, and `is_cheapest` says so. (Of a feature with over 64 whole numbers ahead the solution is
    rounded up; where that makes it dearer, `is_cheapest` is False.) Otherwise, so with any other aggregation than the
    arithmetic mean, sets of up to `max_changes` features are improved by exchanging a little of one change for a little
    of another until that saves nothing: a local optimum, from several starts, that is not proven cheapest. Nor is it
    proven then, where there are over 200,000 such sets, that none gets further: the strongest features alone are looked
    at (20, or as many as may change), and of large sets those alone that the best smaller one grows into.

    Args:
        numbers: The partner's features (all that `scales` names), NaN unknown.
        scales: From `fit_scales`; those without bounds take no part.
        score: The rating's own: takes a float array of n values for each feature, returns n scores 0-100, NaN where not
            rated, for partners of this partner's group.
        partner_id: The partner.
        tier: The tier aimed at.
        needed: Score needed, hysteresis included; NaN: there are no tiers.
        weights: Weight of each factor for this partner's group, before the share of unknown ones is passed on.
        min_coverage: Least share of weight that must be known, 0-1.
        reach: From `find_reach`.
        group: The partner's group; "" or one that `reach` does not hold means everybody.
        evidence: Share of each factor's weight that counts for what is known of the partner, 0-1; None: all of it.
        costs: Cost of a unit of change, in any currency, by feature; features without one are then not changed.
            None: a point of a feature costs 1.
        max_changes: Most features to change.

    Returns:
        The cheapest change found, or why there is none.

    Raises:
        ValueError: A cost is negative or names no feature of the rating, or `max_changes` is under 1.

    References:
        Martello, S., Toth, P. (1990), Knapsack Problems, Wiley, chapter 3.
        Huangfu, Q., Hall, J. A. J. (2018), Parallelizing the dual revised simplex method, Mathematical Programming
        Computation 10(1), 119-142 (HiGHS).

    Examples:
        >>> scale = Scale("volume", "sales", "up", 0.0, 10.0, np.nan, "stated", True)
        >>> reach = find_reach(pd.DataFrame({"sales": range(10)}), [scale])
        >>> advice = find_advice({"sales": 3.0}, [scale], lambda numbers: numbers["sales"] * 10, partner_id="a",
        ...     tier="gold", needed=65.0, weights={"volume": 1.0}, min_coverage=0.4, reach=reach)
        >>> advice.reason, advice.changes["then"].tolist(), advice.is_cheapest
        ('With sales changed, 30.0 points become 70.0.', [7.0], True)
    """
    _check_options(scales, costs, max_changes)
    scales = [scale for scale in scales if scale.is_known]
    missing = _list_unknown(numbers, scales, weights)
    to_assess = tuple(dict.fromkeys(feature for _, feature in missing))
    now = float(score({name: np.array([float(value)]) for name, value in numbers.items()})[0])

    def advise(
        reachable: bool,
        reason: str,
        chosen: Sequence[Change] = (),
        after: float = now,
        furthest: float = now,
        at_least: float = np.nan,
    ) -> Advice:
        table = pd.DataFrame(chosen, columns=list(Change._fields))
        paid = float(sum(change.cost for change in chosen))
        return Advice(
            partner_id, tier, reachable, reason, now, after, table, needed, furthest, paid, at_least, to_assess
        )

    if np.isnan(now):
        return advise(False, _tell_coverage(numbers, scales, weights, evidence or {}, min_coverage))
    if np.isnan(needed):
        return advise(False, "There are no tiers: no partner was rated when the rating was fitted.")
    if now >= needed:
        return advise(True, f"Already there: {now:.1f} points, {needed:.1f} needed.", at_least=0.0)
    search = Search(numbers, list_levers(numbers, scales, reach, group, costs), score, now, needed, max_changes)
    best, furthest = search.go_furthest()
    if furthest < needed:
        return advise(
            False,
            _tell_out_of_reach(needed, now, furthest, search.list_names(best), to_assess, max_changes),
            furthest=furthest,
        )
    chosen, at_least = search.find_cheapest()
    after = float(search.score(chosen[None])[0])
    advice = advise(
        True,
        f"With {_join(search.list_names(chosen))} changed, {now:.1f} points become {after:.1f}.",
        search.list_changes(chosen),
        after,
        furthest,
        at_least,
    )
    return advice if advice.is_cheapest else replace(advice, reason=f"{advice.reason} A cheaper way is not ruled out.")


def _check_options(scales: Sequence[Scale], costs: Mapping[str, float] | None, max_changes: int) -> None:
    if not max_changes >= 1:
        raise ValueError(f"max_changes == {max_changes}, must be >= 1")
    names = {scale.feature for scale in scales}
    for name, cost in (costs or {}).items():
        if name not in names:
            raise ValueError(
                f"costs names {name!r}, which is no feature of the rating; those are: {_join(sorted(names))}"
            )
        if not (np.isfinite(cost) and cost >= 0):
            raise ValueError(f"costs[{name!r}] == {cost}, must be a number >= 0")


def _list_unknown(
    numbers: Mapping[str, float], scales: Iterable[Scale], weights: Mapping[str, float]
) -> list[tuple[str, str]]:
    """Unknown features with their factor, the weightiest factor first."""
    unknown = [(scale.factor, scale.feature) for scale in scales if np.isnan(numbers[scale.feature])]
    return sorted(unknown, key=lambda pair: -weights.get(pair[0], 0.0))


def _tell_coverage(
    numbers: Mapping[str, float],
    scales: Sequence[Scale],
    weights: Mapping[str, float],
    evidence: Mapping[str, float],
    min_coverage: float,
) -> str:
    """Say what covers enough of the weight: what is unknown first, then what is known on weak evidence."""
    whole = sum(weights.values())
    known = {scale.factor for scale in scales if not np.isnan(numbers[scale.feature])}
    missing = {factor: weights[factor] for factor in weights if factor not in known}
    unknown = {factor: weight for factor, weight in missing.items() if factor in {scale.factor for scale in scales}}
    weak = {factor: weights[factor] * (1 - evidence.get(factor, 1.0)) for factor in weights if factor in known}
    coverage = sum(weights[factor] - short for factor, short in weak.items()) / whole
    text = f"Not rated: {coverage:.0%} of the weight is known, {min_coverage:.0%} is needed."
    for what, gains in (("Get known", unknown), ("Assess anew, for the evidence is old or weak", weak)):
        wanted = []
        for factor, gain in sorted(gains.items(), key=lambda pair: -pair[1]):
            if gain > 0 and coverage < min_coverage - 1e-12:
                wanted.append(factor)
                coverage += gain / whole
        text += f" {what}: {_join(wanted)}." if wanted else ""
    dead = [factor for factor, weight in missing.items() if weight > 0 and factor not in unknown]
    if coverage < min_coverage - 1e-12 and dead:
        text += f" That is not enough while nothing can score {_join(dead)}: fit anew once partners differ on it."
    return text


def _tell_out_of_reach(
    needed: float, now: float, furthest: float, names: list[str], to_assess: Sequence[str], max_changes: int
) -> str:
    text = f"Out of reach: {needed:.1f} points needed, {now:.1f} now"
    if not names:
        text += ", and no known feature can move further than it is among comparable partners."
    else:
        text += (
            f"; the best change of up to {max_changes} features within what comparable partners achieve "
            f"({_join(names)}) gives {furthest:.1f}, {max(needed - furthest, 0.05):.1f} short."
        )
    return f"{text} Unknown and worth having assessed: {_join(to_assess[:3])}." if to_assess else text


def _join(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
