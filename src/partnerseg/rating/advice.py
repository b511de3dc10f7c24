"""Advice: the cheapest feasible change that lifts a partner to a score, or why there is none."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise, product
from math import comb
from typing import NamedTuple

import numpy as np
import pandas as pd

from partnerseg.rating.factors import read_numbers
from partnerseg.rating.scaling import Scale

# What comparable partners achieve: this quantile of their values, from at least so many partners.
REACH = 0.9
MIN_COMPARABLE = 20
# Comparable partners are parted by where they started into at most so many ranges.
STARTS = 5
# Steps along a change of a feature between two bends of its scales, and every which of them is scored beforehand.
STEPS = 64
SCANNED = 8
# Where the score is no sum: trials to find starts, starts looked at closely, and the step at which that ends.
MOST_TRIALS = 8_000
STARTERS = 12
LAST_STEP = 1 / 128
MOST_LEVERS = 20

Score = Callable[[dict[str, np.ndarray]], np.ndarray]


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
    to_assess: tuple[str, ...]


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
    costs: Mapping[str, float] | None = None,
    max_changes: int = 4,
) -> Advice:
    """Find the cheapest feasible change of a few features that gives a score.

    A known feature may move as far as comparable partners get (see `find_reach`), in whole numbers where it holds only
    those; one that stands in two factors moves in both. A change costs the points of the feature that it moves, or the
    stated cost. What is proposed was scored by `score` itself, whatever the aggregation.

    Where the score is a sum of what its features add, every set of up to `max_changes` features, with every whole
    number, is looked at: all of a set but one go as far as they may, in the order of what they add for their cost, and
    the last as far as needed, which is the solution of that linear programme, so that nothing cheaper exists. Otherwise
    the best of these sets are improved by exchanging a little of one change for a little of another until that saves
    nothing: a local optimum, from several starts.

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
        costs: Cost of a unit of change, in any currency, by feature; features without one are then not changed.
            None: a point of a feature costs 1.
        max_changes: Most features to change.

    Returns:
        The cheapest change found, or why there is none.

    Raises:
        ValueError: A cost is negative or names no feature of the rating, or `max_changes` is under 1.

    Examples:
        >>> scale = Scale("volume", "sales", "up", 0.0, 10.0, np.nan, "stated", True)
        >>> reach = find_reach(pd.DataFrame({"sales": range(10)}), [scale])
        >>> advice = find_advice({"sales": 3.0}, [scale], lambda numbers: numbers["sales"] * 10, partner_id="a",
        ...     tier="gold", needed=65.0, weights={"volume": 1.0}, min_coverage=0.4, reach=reach)
        >>> advice.reason, advice.changes["then"].tolist()
        ('With sales changed, 30.0 points become 70.0.', [7.0])
    """
    _check_options(scales, costs, max_changes)
    scales = [scale for scale in scales if scale.is_known]
    missing = _list_unknown(numbers, scales, weights)
    to_assess = tuple(dict.fromkeys(feature for _, feature in missing))
    now = float(score({name: np.array([float(value)]) for name, value in numbers.items()})[0])

    def advise(
        reachable: bool, reason: str, chosen: Sequence["_Change"] = (), after: float = now, furthest: float = now
    ) -> Advice:
        table = pd.DataFrame(chosen, columns=list(_Change._fields))
        paid = float(sum(change.cost for change in chosen))
        return Advice(partner_id, tier, reachable, reason, now, after, table, needed, furthest, paid, to_assess)

    if np.isnan(now):
        return advise(False, _tell_coverage(numbers, scales, weights, min_coverage))
    if np.isnan(needed):
        return advise(False, "There are no tiers: no partner was rated when the rating was fitted.")
    if now >= needed:
        return advise(True, f"Already there: {now:.1f} points, {needed:.1f} needed.")
    search = _Search(numbers, _list_levers(numbers, scales, reach, group, costs), score, now, needed, max_changes)
    best, furthest = search.go_furthest()
    if furthest < needed:
        return advise(
            False,
            _tell_out_of_reach(needed, now, furthest, search.list_names(best), to_assess, max_changes),
            furthest=furthest,
        )
    chosen = search.find_cheapest()
    after = float(search.score(chosen[None])[0])
    names = _join(search.list_names(chosen))
    return advise(
        True,
        f"With {names} changed, {now:.1f} points become {after:.1f}.",
        search.list_changes(chosen),
        after,
        furthest,
    )


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
    numbers: Mapping[str, float], scales: Iterable[Scale], weights: Mapping[str, float], min_coverage: float
) -> str:
    whole = sum(weights.values())
    known = {scale.factor for scale in scales if not np.isnan(numbers[scale.feature])}
    coverage = sum(weights.get(factor, 0.0) for factor in known) / whole
    text = f"Not rated: {coverage:.0%} of the weight is known, {min_coverage:.0%} is needed."
    wanted = []
    for factor, weight in sorted(weights.items(), key=lambda pair: -pair[1]):
        if coverage >= min_coverage - 1e-12:
            break
        if factor not in known:
            wanted.append(factor)
            coverage += weight / whole
    return f"{text} Get known: {_join(wanted)}." if wanted else text


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


class _Change(NamedTuple):
    """A row of `Advice.changes`."""

    factor: str
    feature: str
    now: float
    then: float
    reach: float
    points: float
    cost: float


class _Lever(NamedTuple):
    """One way a feature can move: `values` from where it is to its limit; places along it run from 0 to 1.

    `listed` says that `values` are all there are (a few whole numbers), `whole` that others are whole numbers too.
    """

    scales: tuple[Scale, ...]
    feature: str
    whole: bool
    listed: bool
    values: np.ndarray
    limit: float
    unit_cost: float | None

    @property
    def steps(self) -> int:
        """Steps between the values."""
        return len(self.values) - 1

    @property
    def least_step(self) -> float:
        """Places closer than this are the same value, or next to it."""
        if self.listed:
            return 1 / self.steps
        return 0.5 / abs(self.values[-1] - self.values[0]) if self.whole else 0.0

    def list_scanned(self) -> np.ndarray:
        """Steps to score beforehand: all where listed or few, and all bends of the scales."""
        stride = 1 if self.listed or self.steps % STEPS else SCANNED
        return np.arange(0, self.steps + 1, stride)

    def take(self, place: np.ndarray) -> np.ndarray:
        """Values at places; of whole numbers the next one."""
        if self.listed:
            return self.values[np.ceil(np.round(place * self.steps, 6)).astype(int)]
        values = np.interp(place * self.steps, np.arange(self.steps + 1), self.values)
        if self.whole:
            sign = np.sign(self.limit - self.values[0])
            values = sign * np.ceil(np.round(sign * values, 6))
        return values

    def count_points(self, values: np.ndarray) -> np.ndarray:
        """Points by which the feature moves; the most, where factors scale it differently."""
        start = self.values[:1]
        return np.max([np.abs(scale.to_points(values) - scale.to_points(start)) for scale in self.scales], axis=0)

    def count_cost(self, values: np.ndarray) -> np.ndarray:
        """Costs of moving to values."""
        if self.unit_cost is None:
            return self.count_points(values)
        return np.abs(values - self.values[0]) * self.unit_cost


def _list_levers(
    numbers: Mapping[str, float],
    scales: Sequence[Scale],
    reach: pd.DataFrame,
    group: str,
    costs: Mapping[str, float] | None,
) -> list[_Lever]:
    """Ways that known features can move; a feature wanted higher here and lower there has two."""
    bounds = _take_bounds(numbers, reach, group)
    levers = []
    for name in dict.fromkeys(scale.feature for scale in scales):
        now = float(numbers[name])
        if np.isnan(now) or name not in bounds or (costs is not None and name not in costs):
            continue
        own = tuple(scale for scale in scales if scale.feature == name)
        whole = own[0].whole and now == round(now)
        directions = {scale.direction for scale in own}
        for limit, wanted in zip(bounds[name], ("down", "up"), strict=True):
            ahead = limit < now if wanted == "down" else limit > now
            if ahead and directions & {wanted, "target"}:
                values = _list_values(now, limit, own, whole)
                listed = whole and len(values) == abs(values[-1] - now) + 1
                if len(values) > 1:
                    cost = None if costs is None else costs[name]
                    levers.append(_Lever(own, name, whole, listed, values, limit, cost))
    return levers


def _take_bounds(numbers: Mapping[str, float], reach: pd.DataFrame, group: str) -> dict[str, tuple[float, float]]:
    """Least and most of each known feature that comparable partners with a similar start got to."""
    columns = [reach[name].to_numpy() for name in ("group", "feature", "start", "least", "most", "fall", "rise")]
    chosen = np.isin(columns[0], ["", group])
    bounds: dict[str, dict[str, tuple[float, float]]] = {}
    for label, name, start, least, most, fall, rise in zip(*(column[chosen] for column in columns), strict=True):
        now = numbers.get(name, np.nan)
        if np.isnan(start) or now >= start:
            low = least if np.isnan(fall) else max(least, now + fall)
            high = most if np.isnan(rise) else min(most, now + rise)
            bounds.setdefault(name, {})[label] = (float(low), float(high))
    return {name: found.get(group, found.get("", (np.nan, np.nan))) for name, found in bounds.items()}


def _list_values(now: float, limit: float, scales: tuple[Scale, ...], whole: bool) -> np.ndarray:
    """Values from now to the limit, with all bends of the scales, ending where no scale moves any more."""
    sign = 1.0 if limit > now else -1.0
    knots = sorted({sign * knot for scale in scales for knot in _list_knots(scale)})
    # Beyond the last bound of its scales a change costs but gains nothing.
    start, end = sign * now, min(sign * limit, knots[-1])
    if whole:
        end = np.floor(min(sign * limit, np.ceil(end)))
    if end <= start:
        return np.array([now])
    if whole and end - start <= STEPS:
        return sign * np.arange(start, end + 1)
    edges = [start, *(knot for knot in knots if start < knot < end), end]
    if len(edges) <= 5:
        parts = [_part_range(low, high, sign, scales) for low, high in pairwise(edges)]
        values = np.concatenate([part[:-1] for part in parts] + [np.array([end])])
    else:
        values = np.array(edges)
    return sign * (np.unique(np.ceil(np.round(values, 6))) if whole else values)


def _list_knots(scale: Scale) -> tuple[float, ...]:
    """Values where a scale bends."""
    if scale.values:
        return scale.values
    return tuple(knot for knot in (scale.worst, scale.best, scale.high) if not np.isnan(knot))


def _part_range(low: float, high: float, sign: float, scales: tuple[Scale, ...]) -> np.ndarray:
    """Values from low to high (both times the sign), as far apart in logarithms as the scale is."""
    unit = scales[0].unit
    if np.isnan(unit) or min(sign * low, sign * high) <= -unit:
        return np.linspace(low, high, STEPS + 1)
    values = sign * unit * np.expm1(np.linspace(np.log1p(sign * low / unit), np.log1p(sign * high / unit), STEPS + 1))
    values[0], values[-1] = low, high
    return values


class _Search:
    """Places along levers, one row a trial, one column a lever; 0 leaves a feature where it is, 1 is its limit."""

    def __init__(
        self,
        numbers: Mapping[str, float],
        levers: list[_Lever],
        score: Score,
        now: float,
        needed: float,
        max_changes: int,
    ) -> None:
        self._numbers, self._score, self._now = numbers, score, now
        self._needed, self._max_changes = needed, max_changes
        self.levers = levers
        self._shorten_levers()

    def score(self, places: np.ndarray) -> np.ndarray:
        """Scores of trials."""
        values = {name: np.full(len(places), float(value)) for name, value in self._numbers.items()}
        for column, lever in enumerate(self.levers):
            moved = places[:, column] > 0
            values[lever.feature][moved] = lever.take(places[moved, column])
        return self._score(values)

    def cost(self, places: np.ndarray) -> np.ndarray:
        """Costs of trials."""
        total = np.zeros(len(places))
        for column, lever in enumerate(self.levers):
            moved = places[:, column] > 0
            if moved.any():
                total[moved] += lever.count_cost(lever.take(places[moved, column]))
        return total

    def list_names(self, places: np.ndarray) -> list[str]:
        """Features that a trial changes, the one with most points first."""
        return [change.feature for change in self.list_changes(places)]

    def list_changes(self, places: np.ndarray) -> list[_Change]:
        """Changes of a trial, the one with most points first."""
        changes = []
        for lever, place in zip(self.levers, places, strict=True):
            if place > 0:
                then = lever.take(np.array([place]))
                points, cost = float(lever.count_points(then)[0]), float(lever.count_cost(then)[0])
                factors = ", ".join(scale.factor for scale in lever.scales)
                now = float(lever.values[0])
                changes.append(_Change(factors, lever.feature, now, float(then[0]), float(lever.limit), points, cost))
        return sorted(changes, key=lambda change: -change.points)

    def _shorten_levers(self) -> None:
        """End each lever where the score is highest along it alone; leave out those that raise nothing."""
        scanned = [lever.list_scanned() for lever in self.levers]
        rows = np.zeros((sum(len(nodes) for nodes in scanned), len(self.levers)))
        start = 0
        for column, nodes in enumerate(scanned):
            rows[start : start + len(nodes), column] = nodes / self.levers[column].steps
            start += len(nodes)
        scores = self.score(rows) if len(rows) else np.zeros(0)
        kept: list[_Lever] = []
        self._alone: list[tuple[np.ndarray, np.ndarray]] = []
        start = 0
        for lever, nodes in zip(self.levers, scanned, strict=True):
            gains = scores[start : start + len(nodes)] - self._now
            start += len(nodes)
            top = int(np.argmax(np.round(gains, 9)))
            if gains[top] > 1e-9:
                values = lever.values[: nodes[top] + 1]
                kept.append(lever._replace(values=values))
                self._alone.append((lever.values[nodes[: top + 1]], gains[: top + 1]))
        self.levers = kept
        if len(kept) > MOST_LEVERS:
            self._keep_strongest()
        self._full_gain = np.array([gains[-1] for _, gains in self._alone])
        full = [float(lever.count_cost(lever.values[-1:])[0]) for lever in self.levers]
        self._full_cost = np.maximum(np.array(full), 1e-12)

    def _keep_strongest(self) -> None:
        gains = np.array([gains[-1] for _, gains in self._alone])
        costs = np.array([float(lever.count_cost(lever.values[-1:])[0]) for lever in self.levers])
        # Half of them for what they add, half for what they add for their cost.
        first = np.argsort(-gains, kind="stable")[: MOST_LEVERS // 2].tolist()
        rest = [place for place in np.argsort(-gains / np.maximum(costs, 1e-12), kind="stable") if place not in first]
        chosen = sorted(first + rest[: MOST_LEVERS - len(first)])
        self.levers = [self.levers[place] for place in chosen]
        self._alone = [self._alone[place] for place in chosen]

    def _is_additive(self) -> bool:
        """True when the score is a sum over levers, each in proportion to its cost."""
        for lever, (values, gains) in zip(self.levers, self._alone, strict=True):
            cost = lever.count_cost(values)
            if not lever.listed and np.abs(gains - cost * gains[-1] / max(cost[-1], 1e-12)).max() > 1e-7:
                return False
        names = [lever.feature for lever in self.levers]
        first = np.array([[float(name not in names[:place]) for place, name in enumerate(names)]])
        together = self._now + float(first[0] @ self._full_gain)
        return together < 100 - 1e-6 and abs(float(self.score(first)[0]) - together) < 1e-7

    def _list_sets(self, columns: Sequence[int], size: int) -> np.ndarray:
        """Sets of levers of different features, one row a set."""
        sets = np.asarray(columns, dtype=int)[_combine(len(columns), size)]
        names = np.unique([lever.feature for lever in self.levers], return_inverse=True)[1]
        if size > 1 and len(np.unique(names)) < len(names):
            sets = sets[[len(set(row)) == size for row in names[sets].tolist()]]
        return sets

    def go_furthest(self) -> tuple[np.ndarray, float]:
        """The trial with the best score, and that score."""
        count = len(self.levers)
        if not count:
            return np.zeros(0), self._now
        self._additive = self._is_additive()
        best, furthest = np.zeros(count), self._now
        for size in range(1, min(self._max_changes, count) + 1):
            sets = self._list_sets(range(count), size)
            if not len(sets):
                break
            scores = self._now + self._full_gain[sets].sum(axis=1) if self._additive else self.score(self._fill(sets))
            top = int(np.argmax(scores))
            if scores[top] > furthest + 1e-9:
                best = self._fill(sets[[top]])[0]
                furthest = float(self.score(best[None])[0])
        return best, furthest

    def _fill(self, sets: np.ndarray, items: Sequence[tuple[int, float]] = ()) -> np.ndarray:
        """Trials from sets of levers moved to their limits, or from sets of items."""
        rows = np.zeros((len(sets), len(self.levers)))
        if items:
            columns, places = np.array([column for column, _ in items]), np.array([place for _, place in items])
            np.put_along_axis(rows, columns[sets], places[sets], axis=1)
        else:
            np.put_along_axis(rows, sets, 1.0, axis=1)
        return rows

    def find_cheapest(self) -> np.ndarray:
        """The cheapest trial found that has the score needed; there must be one."""
        if self._additive:
            chosen = self._close_sum()
            if chosen is not None:
                return chosen
        return self._exchange()

    def _close_sum(self) -> np.ndarray | None:
        """The cheapest trial where the score is a sum; None when scoring it does not confirm that."""
        gap = self._needed - self._now
        rate = self._full_gain / self._full_cost
        smooth = [place for place in np.argsort(-rate, kind="stable").tolist() if not self.levers[place].listed]
        whole = [place for place, lever in enumerate(self.levers) if lever.listed]
        best_cost, best = np.inf, None
        top_rate = max(rate[smooth], default=1e-12)
        for used in range(min(self._max_changes, len(whole)) + 1):
            for columns, nodes, gain, cost in self._list_whole(whole, used):
                open_gap = gap - gain
                least = cost + np.maximum(open_gap, 0.0) / top_rate
                for row in np.flatnonzero(least < best_cost - 1e-9)[np.argsort(least[least < best_cost - 1e-9])]:
                    if least[row] >= best_cost - 1e-9:
                        break
                    found = self._close_smooth(smooth, columns, open_gap[row], self._max_changes - used, rate)
                    if found is not None and cost[row] + found[0] < best_cost - 1e-9:
                        best_cost = cost[row] + found[0]
                        best = (columns, nodes[row], found[1])
        if best is None:
            return None
        places = np.zeros((1, len(self.levers)))
        for column, node in zip(best[0], best[1], strict=True):
            places[0, column] = node / self.levers[column].steps
        if len(best[2]):
            places[0, best[2]] = 1.0
            places = self._close(places, best[2][[-1]])
        return places[0] if self.score(places)[0] >= self._needed else None

    def _list_whole(
        self, whole: list[int], used: int
    ) -> Iterable[tuple[tuple[int, ...], np.ndarray, np.ndarray, np.ndarray]]:
        """Levels of so many levers of whole numbers: columns, nodes, what they add and cost."""
        for row in self._list_sets(whole, used).tolist() if used else [[]]:
            levels = []
            for column in row:
                steps = self.levers[column].steps
                most = steps if used < 3 else min(steps, 12)
                levels.append(np.unique(np.round(np.linspace(1, steps, most)).astype(int)))
            nodes = np.array(list(product(*levels)), dtype=int)
            gain, cost = np.zeros(len(nodes)), np.zeros(len(nodes))
            for place, column in enumerate(row):
                values, gains = self._alone[column]
                gain += gains[nodes[:, place]]
                cost += self.levers[column].count_cost(values)[nodes[:, place]]
            yield tuple(row), nodes, gain, cost

    def _close_smooth(
        self, smooth: list[int], taken: Sequence[int], gap: float, count: int, rate: np.ndarray
    ) -> tuple[float, np.ndarray] | None:
        """Cheapest way to add the gap with so many other levers: cost and levers, the last one only in part."""
        if gap <= 1e-9:
            return 0.0, np.zeros(0, dtype=int)
        names = {self.levers[column].feature for column in taken}
        free = [column for column in smooth if self.levers[column].feature not in names]
        best = None
        for size in range(1, min(count, len(free)) + 1):
            sets = self._list_sets(free, size)
            if not len(sets):
                break
            before, last = sets[:, :-1], sets[:, -1]
            rest = gap - self._full_gain[before].sum(axis=1)
            cost = self._full_cost[before].sum(axis=1) + rest / rate[last]
            cost[(rest <= 0) | (rest > self._full_gain[last] + 1e-9)] = np.inf
            top = int(np.argmin(cost))
            if np.isfinite(cost[top]) and (best is None or cost[top] < best[0] - 1e-9):
                best = (float(cost[top]), sets[top])
        return best

    def _close(self, places: np.ndarray, columns: np.ndarray, tolerance: float = 1e-8) -> np.ndarray:
        """Move one lever of each trial as little as gives the score; a trial that cannot becomes missing.

        Method: regula falsi with the Illinois rule, keeping both ends, so that the result is on the right side.
        """
        places, rows = places.copy(), np.arange(len(places))
        aim = self._needed
        low, high = np.zeros(len(places)), np.ones(len(places))
        ends = []
        for end in (low, high):
            places[rows, columns] = end
            ends.append(self.score(places) - aim)
        # What each end is short or over; halved for the line where the other end moved twice.
        below, over = ends
        above, last = over.copy(), np.zeros(len(places))
        done, failed = below >= 0, over < 0
        # Whole numbers are met by halving the range, down to two neighbors.
        counts = np.array([lever.steps if lever.listed else 0 for lever in self.levers])
        least = np.array([lever.least_step for lever in self.levers])
        high[done] = 0.0
        for turn in range(40):
            active = np.flatnonzero(~done & ~failed & (over > tolerance) & (high - low > least[columns] + 1e-12))
            if not len(active):
                break
            lo, hi = low[active], high[active]
            middle = lo - below[active] * (hi - lo) / (above[active] - below[active])
            # Where the score jumps, halving the range is the surer way.
            middle = np.clip(middle, lo, hi) if turn < 12 else (lo + hi) / 2
            count = np.maximum(counts[columns[active]], 1)
            halved = np.round((np.round(lo * count) + np.round(hi * count)) // 2) / count
            middle = np.where(counts[columns[active]] > 0, halved, middle)
            trial = places[active]
            trial[np.arange(len(active)), columns[active]] = middle
            found = self.score(trial) - aim
            up = found >= 0
            twice = last[active] == np.where(up, 1, -1)
            below[active] = np.where(up, np.where(twice, below[active] / 2, below[active]), found)
            above[active] = np.where(up, found, np.where(twice, above[active] / 2, above[active]))
            over[active] = np.where(up, found, over[active])
            last[active] = np.where(up, 1, -1)
            high[active], low[active] = np.where(up, middle, hi), np.where(up, lo, middle)
        places[rows, columns] = high
        for column, lever in enumerate(self.levers):
            if lever.listed:
                steps = lever.steps
                places[:, column] = np.ceil(np.round(places[:, column] * steps, 6)) / steps
        places[failed] = np.nan
        return places

    def _exchange(self) -> np.ndarray:
        """Start from full changes with one closed, then exchange changes while that saves something."""
        states = self._list_starts()
        costs = self._price(states)
        step = 0.25
        while step >= LAST_STEP:
            kept = np.argsort(costs, kind="stable")[: max(3, int(STARTERS * step))]
            states, costs = states[kept], costs[kept]
            trials, columns, owner = self._list_exchanges(states, step)
            if not len(trials):
                break
            closed = self._close(trials, columns, 1e-5)
            prices = self._price(closed)
            saved = 0.0
            for place in range(len(states)):
                own = np.flatnonzero(owner == place)
                top = own[np.argmin(prices[own])] if len(own) else -1
                if top >= 0 and prices[top] < costs[place] - 1e-7:
                    saved = max(saved, costs[place] - prices[top])
                    states[place], costs[place] = closed[top], prices[top]
            if saved < 1e-3 * costs.min():
                step /= 2
        return self._tighten(states[np.argmin(costs)])

    def _tighten(self, places: np.ndarray) -> np.ndarray:
        """Give back what is more than needed, in each lever in turn."""
        for column in np.flatnonzero(places > 0):
            closed = self._close(places[None], np.array([column]))
            if self._price(closed)[0] <= self._price(places[None])[0]:
                places = closed[0]
        return places

    def _price(self, places: np.ndarray) -> np.ndarray:
        """Costs of trials; without end where missing. A feature more is worth a billionth."""
        known = ~np.isnan(places).any(axis=1)
        cost = np.full(len(places), np.inf)
        cost[known] = self.cost(places[known]) + 1e-9 * (places[known] > 0).sum(axis=1)
        return cost

    def _list_starts(self) -> np.ndarray:
        """Sets with the score needed, one lever only in part where it can be: those that seem cheapest."""
        items = self._list_items()
        names = np.unique([self.levers[column].feature for column, _ in items], return_inverse=True)[1]
        base = len(items) + 1
        keys, scores, paid = np.zeros(1, dtype=np.int64), np.array([self._now]), np.zeros(1)
        found: list[tuple[float, tuple[int, ...], int]] = []
        for size in range(1, min(self._max_changes, len(self.levers)) + 1):
            sets = _combine(len(items), size)
            kinds = np.sort(names[sets], axis=1)
            sets = sets[(kinds[:, 1:] != kinds[:, :-1]).all(axis=1)]
            if not len(sets):
                break
            rows = self._fill(sets, items)
            own_scores, own_paid = self.score(rows), self.cost(rows)
            enough = np.flatnonzero(own_scores >= self._needed)
            for member in range(size):
                rest = np.searchsorted(keys, _encode(np.delete(sets[enough], member, axis=1), base))
                share = (self._needed - scores[rest]) / np.maximum(own_scores[enough] - scores[rest], 1e-12)
                share[[self.levers[items[item][0]].listed for item in sets[enough, member]]] = 1.0
                cost = np.where(
                    scores[rest] < self._needed, paid[rest] + share * (own_paid[enough] - paid[rest]), np.inf
                )
                for place in np.argsort(cost, kind="stable")[:STARTERS]:
                    if np.isfinite(cost[place]):
                        found.append((float(cost[place]), tuple(sets[enough[place]].tolist()), member))
            keys, scores, paid = _encode(sets, base), own_scores, own_paid
        chosen: dict[tuple[int, ...], int] = {}
        for _, row, member in sorted(found):
            if len(chosen) < 2 * STARTERS:
                chosen.setdefault(row, row[member])
        places = np.concatenate([self._fill(np.array([row]), items) for row in chosen])
        return self._close(places, np.array([items[item][0] for item in chosen.values()]))

    def _list_items(self) -> list[tuple[int, float]]:
        """Levers with the places to start from: their limits, and of whole numbers as many as there is time for."""
        for most in (STEPS, 8, 4, 2, 1):
            items = []
            for column, lever in enumerate(self.levers):
                count = min(most, lever.steps) if lever.listed else 1
                items += [(column, np.ceil(lever.steps * part / count) / lever.steps) for part in range(1, count + 1)]
            if sum(comb(len(items), size) for size in range(1, self._max_changes + 1)) <= MOST_TRIALS:
                break
        return items

    def _list_exchanges(self, states: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Trials with one lever moved by a step and another to be closed: trials, lever to close, state."""
        trials, closing, owner = [], [], []
        outside = self._rank_outside(states, step)
        for place, state in enumerate(states):
            used = np.flatnonzero(state > 0).tolist()
            more = outside[place] if len(used) < self._max_changes else []
            for column in [*used, *more]:
                for level in self._list_levels(column, state[column], step):
                    for last in used:
                        if last != column:
                            trial = state.copy()
                            trial[column] = level
                            trials.append(trial)
                            closing.append(last)
                            owner.append(place)
            if len(used) == self._max_changes:
                self._add_swaps(trials, closing, owner, place, state, used, outside[place])
        return np.array(trials), np.array(closing, dtype=int), np.array(owner, dtype=int)

    def _add_swaps(
        self,
        trials: list[np.ndarray],
        closing: list[int],
        owner: list[int],
        place: int,
        state: np.ndarray,
        used: list[int],
        outside: list[int],
    ) -> None:
        """Add trials that give up one lever for another one, closed as far as needed."""
        for column in outside:
            for given in used:
                trial = state.copy()
                trial[given] = 0.0
                trials.append(trial)
                closing.append(column)
                owner.append(place)

    def _list_levels(self, column: int, place: float, step: float) -> list[float]:
        lever = self.levers[column]
        if lever.listed:
            steps = lever.steps
            node = round(place * steps)
            jump = max(1, round(step * steps))
            nodes = {node - jump, node - 1, node + 1, node + jump, 0}
            return [node / steps for node in sorted(nodes - {round(place * steps)}) if 0 <= node <= steps]
        levels = {max(place - step, 0.0), min(place + step, 1.0), 0.0}
        return sorted(levels - {place})

    def _rank_outside(self, states: np.ndarray, step: float) -> list[list[int]]:
        """Levers that a state does not use: the three that add most for their cost."""
        count = len(self.levers)
        rows = np.repeat(states, count, axis=0)
        columns = np.tile(np.arange(count), len(states))
        free = rows[np.arange(len(rows)), columns] == 0
        names = [lever.feature for lever in self.levers]
        for place, (row, column) in enumerate(zip(rows, columns.tolist(), strict=True)):
            if free[place] and any(row[other] > 0 and names[other] == names[column] for other in range(count)):
                free[place] = False
        trials = rows.copy()
        trials[np.arange(len(rows)), columns] = step
        worth = np.full(len(rows), -np.inf)
        before = np.repeat(self.score(states), count)
        if free.any():
            extra = self.cost(trials[free]) - self.cost(rows[free])
            worth[free] = (self.score(trials[free]) - before[free]) / np.maximum(extra, 1e-12)
        ranked = []
        for row in worth.reshape(len(states), count):
            order = np.argsort(-row, kind="stable")[:3]
            ranked.append([int(column) for column in order if row[column] > 0])
        return ranked


@lru_cache(maxsize=256)
def _combine(count: int, size: int) -> np.ndarray:
    return np.array(list(combinations(range(count), size)), dtype=int).reshape(-1, size)


def _encode(sets: np.ndarray, base: int) -> np.ndarray:
    """One number for each set, in the order of the sets."""
    keys = np.zeros(len(sets), dtype=np.int64)
    for place in range(sets.shape[1]):
        keys = keys * base + sets[:, place]
    return keys
