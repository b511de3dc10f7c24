"""Search for the cheapest change of a few features: proven where the score is a sum, a local optimum elsewhere."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import combinations, pairwise
from math import comb
from typing import NamedTuple

import numpy as np
import pandas as pd

from partnerseg.rating.scaling import Scale

# Steps along a change of a feature between two bends of its scales, and every which of them is scored beforehand.
STEPS = 64
SCANNED = 8
# Points more than needed that are tried where the solver's rounding leaves a change just short.
SLACKS = (0.0, 1e-8, 1e-5)
# Where the score is no sum: trials to find starts, starts looked at closely, and the step at which that ends; and
# the strongest levers, which alone are looked at where there are more sets of levers than this (more where more may
# change; of sets over the most, those alone that the best smaller one grows into).
MOST_TRIALS = 8_000
STARTERS = 12
LAST_STEP = 1 / 128
MOST_SETS = 200_000
MOST_LEVERS = 20

Score = Callable[[dict[str, np.ndarray]], np.ndarray]


class Change(NamedTuple):
    """A row of `Advice.changes`."""

    factor: str
    feature: str
    now: float
    then: float
    reach: float
    points: float
    cost: float


class Lever(NamedTuple):
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


def list_levers(
    numbers: Mapping[str, float],
    scales: Sequence[Scale],
    reach: pd.DataFrame,
    group: str,
    costs: Mapping[str, float] | None,
) -> list[Lever]:
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
                    levers.append(Lever(own, name, whole, listed, values, limit, cost))
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


class Search:
    """Places along levers, one row a trial, one column a lever; 0 leaves a feature where it is, 1 is its limit."""

    def __init__(
        self,
        numbers: Mapping[str, float],
        levers: list[Lever],
        score: Score,
        now: float,
        needed: float,
        max_changes: int,
    ) -> None:
        self._numbers, self._score, self._now = numbers, score, now
        self._needed, self._max_changes = needed, max_changes
        self.levers = levers
        self._unit = 1.0
        self._scale_costs()
        self._shorten_levers()
        self._additive = self._is_additive()
        sizes = range(1, min(max_changes, len(self.levers)) + 1)
        if not self._additive and sum(comb(len(self.levers), size) for size in sizes) > MOST_SETS:
            self._keep_strongest()

    def score(self, places: np.ndarray) -> np.ndarray:
        """Scores of trials."""
        values = {name: np.full(len(places), float(value)) for name, value in self._numbers.items()}
        for column, lever in enumerate(self.levers):
            moved = places[:, column] > 0
            values[lever.feature][moved] = lever.take(places[moved, column])
        return self._score(values)

    def cost(self, places: np.ndarray) -> np.ndarray:
        """Costs of trials, where costs are stated as shares of 100 of the dearest lever's."""
        total = np.zeros(len(places))
        for column, lever in enumerate(self.levers):
            moved = places[:, column] > 0
            if moved.any():
                total[moved] += lever.count_cost(lever.take(places[moved, column]))
        return total

    def list_names(self, places: np.ndarray) -> list[str]:
        """Features that a trial changes, the one with most points first."""
        return [change.feature for change in self.list_changes(places)]

    def list_changes(self, places: np.ndarray) -> list[Change]:
        """Changes of a trial, the one with most points first."""
        changes = []
        for lever, place in zip(self.levers, places, strict=True):
            if place > 0:
                then = lever.take(np.array([place]))
                points, cost = float(lever.count_points(then)[0]), self._unit * float(lever.count_cost(then)[0])
                factors = ", ".join(scale.factor for scale in lever.scales)
                now = float(lever.values[0])
                changes.append(Change(factors, lever.feature, now, float(then[0]), float(lever.limit), points, cost))
        return sorted(changes, key=lambda change: -change.points)

    def _scale_costs(self) -> None:
        """Make the dearest lever cost 100, so that no tolerance depends on the currency."""
        stated = [lever for lever in self.levers if lever.unit_cost is not None]
        dearest = max((float(lever.count_cost(lever.values[-1:])[0]) for lever in stated), default=0.0)
        if dearest > 0:
            self._unit = dearest / 100
            self.levers = [lever._replace(unit_cost=(lever.unit_cost or 0.0) / self._unit) for lever in stated]

    def _shorten_levers(self) -> None:
        """End each lever where the score is highest along it alone; leave out those that raise nothing."""
        scanned = [lever.list_scanned() for lever in self.levers]
        rows = np.zeros((sum(len(nodes) for nodes in scanned), len(self.levers)))
        start = 0
        for column, nodes in enumerate(scanned):
            rows[start : start + len(nodes), column] = nodes / self.levers[column].steps
            start += len(nodes)
        scores = self.score(rows) if len(rows) else np.zeros(0)
        kept: list[Lever] = []
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
        self._keep_levers(kept)

    def _keep_levers(self, kept: list[Lever]) -> None:
        self.levers = kept
        self._feature = np.unique([lever.feature for lever in kept], return_inverse=True)[1]
        self._full_gain = np.array([gains[-1] for _, gains in self._alone])

    def _keep_strongest(self) -> None:
        gains = self._full_gain
        costs = np.array([float(lever.count_cost(lever.values[-1:])[0]) for lever in self.levers])
        most = max(MOST_LEVERS, self._max_changes)
        # Half of them for what they add, half for what they add for their cost.
        first = np.argsort(-gains, kind="stable")[: most // 2].tolist()
        rest = [place for place in np.argsort(-gains / np.maximum(costs, 1e-12), kind="stable") if place not in first]
        chosen = sorted(first + rest[: most - len(first)])
        self._alone = [self._alone[place] for place in chosen]
        self._keep_levers([self.levers[place] for place in chosen])

    def _is_additive(self) -> bool:
        """True when the score is a sum over levers, each in proportion to its cost."""
        for lever, (values, gains) in zip(self.levers, self._alone, strict=True):
            cost = lever.count_cost(values)
            share = cost / cost[-1] if cost[-1] > 0 else cost
            if not lever.listed and np.abs(gains - share * gains[-1]).max() > 1e-7:
                return False
        first = np.zeros((1, len(self.levers)))
        first[0, np.unique(self._feature, return_index=True)[1]] = 1.0
        together = self._now + float(first[0] @ self._full_gain)
        return together < 100 - 1e-6 and abs(float(self.score(first)[0]) - together) < 1e-7

    def _list_sets(self, features: np.ndarray, size: int) -> np.ndarray:
        """Sets of places of different features, one row a set."""
        sets = _combine(len(features), size)
        kinds = np.sort(features[sets], axis=1)
        return sets[(kinds[:, 1:] != kinds[:, :-1]).all(axis=1)]

    def go_furthest(self) -> tuple[np.ndarray, float]:
        """The trial with the best score, and that score."""
        count = len(self.levers)
        if not count:
            return np.zeros(0), self._now
        if self._additive:
            order = np.argsort(-self._full_gain, kind="stable")
            first = order[np.sort(np.unique(self._feature[order], return_index=True)[1])][: self._max_changes]
            best = self._fill(first[None])[0]
            return best, float(self.score(best[None])[0])
        best, furthest = np.zeros(count), self._now
        for size in self._list_sizes(count):
            sets = self._list_sets(self._feature, size)
            if not len(sets):
                break
            scores = self.score(self._fill(sets))
            top = int(np.argmax(scores))
            if scores[top] > furthest + 1e-9:
                best = self._fill(sets[[top]])[0]
                furthest = float(self.score(best[None])[0])
        while (best > 0).sum() < self._max_changes:
            free = np.flatnonzero(~np.isin(self._feature, self._feature[best > 0]))
            trials = np.tile(best, (len(free), 1))
            trials[np.arange(len(free)), free] = 1.0
            scores = self.score(trials)
            if scores.max(initial=0.0) <= furthest + 1e-9:
                break
            best, furthest = trials[scores.argmax()], float(scores.max())
        return best, furthest

    def _list_sizes(self, count: int) -> range:
        """Sizes of the sets of `count` levers or items that can all be looked at."""
        sets, size = 0, 0
        while size < min(self._max_changes, count) and (count + 1) ** (size + 1) < 2**63:
            sets += comb(count, size + 1)
            if sets > MOST_SETS and size:
                break
            size += 1
        return range(1, size + 1)

    def _fill(self, sets: np.ndarray, items: Sequence[tuple[int, float]] = ()) -> np.ndarray:
        """Trials from sets of levers moved to their limits, or from sets of items."""
        rows = np.zeros((len(sets), len(self.levers)))
        if items:
            columns, places = np.array([column for column, _ in items]), np.array([place for _, place in items])
            np.put_along_axis(rows, columns[sets], places[sets], axis=1)
        else:
            np.put_along_axis(rows, sets, 1.0, axis=1)
        return rows

    def find_cheapest(self) -> tuple[np.ndarray, float]:
        """The cheapest trial found that has the score needed, and the least that any costs; there must be one."""
        if not self._additive:
            return self._exchange(), np.nan
        chosen, at_least = self._solve_sum()
        return self._exchange() if chosen is None else chosen, self._unit * at_least

    def _solve_sum(self) -> tuple[np.ndarray | None, float]:
        """The cheapest trial where the score is a sum, and what none can cost less than.

        Method: a linear programme with whole numbers. A lever is one way, which adds in proportion to what it costs, or
        as many single ways as it has whole numbers. The trial is missing where scoring it does not confirm it.
        """
        columns, places, gains, costs = self._list_ways()
        sloped = np.array([not self.levers[column].listed for column in columns], dtype=bool)
        at_least = np.nan
        for slack in SLACKS:
            chosen, bound = _solve_knapsack(
                gains, costs, sloped, self._feature[columns], self._needed - self._now + slack, self._max_changes
            )
            at_least = bound if np.isnan(at_least) else at_least
            if chosen is None:
                break
            trial = np.zeros((1, len(self.levers)))
            used = chosen > 0
            trial[0, columns[used]] = places[used] * chosen[used]
            # One lever at most is moved in part; the solver's rounding is taken out of it.
            for column in columns[used & sloped & (chosen < 1 - 1e-9)]:
                closed = self._close(trial, np.array([column]))
                trial = trial if np.isnan(closed).any() else closed
            if self.score(trial)[0] >= self._needed:
                return trial[0], at_least
        return None, at_least

    def _list_ways(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Lever, place, gain and cost of every whole number of a lever, or of its limit where it has others too."""
        rows = []
        for column, (lever, (values, gains)) in enumerate(zip(self.levers, self._alone, strict=True)):
            costs = lever.count_cost(values)
            nodes = range(1, lever.steps + 1) if lever.listed else [-1]
            rows += [(column, node / lever.steps if lever.listed else 1.0, gains[node], costs[node]) for node in nodes]
        table = np.array(rows)
        return table[:, 0].astype(int), table[:, 1], table[:, 2], table[:, 3]

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
        features = self._feature[[column for column, _ in items]]
        base = len(items) + 1
        keys, scores, paid = np.zeros(1, dtype=np.int64), np.array([self._now]), np.zeros(1)
        found: list[tuple[float, tuple[int, ...], int]] = []
        for size in self._list_sizes(len(items)):
            sets = self._list_sets(features, size)
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
        # What gets furthest is enough in any case, and may be larger than all sets looked at.
        large = self._thin(self.go_furthest()[0])
        closing = np.flatnonzero(large > 0)
        places = [self._fill(np.array([row]), items) for row in chosen] + [np.tile(large, (len(closing), 1))]
        return self._close(np.concatenate(places), np.array([*(items[item][0] for item in chosen.values()), *closing]))

    def _thin(self, places: np.ndarray) -> np.ndarray:
        """Give up levers, first what costs most for what it adds, as long as the rest is enough."""
        while True:
            used = np.flatnonzero(places > 0)
            trials = np.tile(places, (len(used), 1))
            trials[np.arange(len(used)), used] = 0.0
            scores = self.score(trials)
            if not (scores >= self._needed).any():
                return places
            worth = (self.cost(places[None]) - self.cost(trials)) / np.maximum(self.score(places[None]) - scores, 1e-12)
            places = trials[np.where(scores >= self._needed, worth, -np.inf).argmax()]

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
        for place, (row, column) in enumerate(zip(rows, columns.tolist(), strict=True)):
            free[place] &= not (row[self._feature == self._feature[column]] > 0).any()
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


def _solve_knapsack(
    gains: np.ndarray, costs: np.ndarray, sloped: np.ndarray, features: np.ndarray, gap: float, most: int
) -> tuple[np.ndarray | None, float]:
    """Cheapest shares of ways that close a gap, and what no other can cost less than.

    Args:
        gains: Points that a way adds in full.
        costs: Its cost in full, at least 0.
        sloped: True where a part of a way can be taken.
        features: Feature of each way; no two of one are taken.
        gap: Points needed.
        most: Most ways to take.

    Returns:
        Shares 0-1, None where there are none; and the bound.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array, csr_array, vstack

    count = len(gains)
    # Two variables a way: whether it is taken, and how much of it.
    one_each = coo_array((np.ones(count), (features, np.arange(count))), shape=(features.max() + 1, 2 * count))
    nothing = np.zeros(count)
    rows = vstack(
        [
            # In thousandths of a point, so that the solver's tolerance is small beside it.
            csr_array(1000 * np.concatenate([nothing, gains])[None]),
            csr_array(np.concatenate([np.ones(count), nothing])[None]),
            one_each,
            csr_array(np.hstack([-np.eye(count), np.eye(count)])),
        ]
    )
    low = np.concatenate([[1000 * gap], np.full(rows.shape[0] - 1, -np.inf)])
    low[-count:][~sloped] = 0.0
    high = np.concatenate([[np.inf, most], np.ones(one_each.shape[0]), np.zeros(count)])
    # Between equal costs the fewest changes: a feature more is worth a billionth.
    found = milp(
        np.concatenate([np.full(count, 1e-9), costs]),
        constraints=LinearConstraint(rows, low, high),
        integrality=np.concatenate([np.ones(count), nothing]),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0.0},
    )
    if found.x is None:
        return None, np.nan
    paid = float(costs @ found.x[count:])
    if 0 < paid < 1:
        # So little beside what else is to be had that the solver's tolerance may hide something cheaper.
        chosen, bound = _solve_knapsack(gains, costs * (100 / paid), sloped, features, gap, most)
        if chosen is not None:
            return chosen, bound * (paid / 100)
    return np.where(found.x[:count] > 0.5, found.x[count:], 0.0), max(float(found.mip_dual_bound), 0.0)
