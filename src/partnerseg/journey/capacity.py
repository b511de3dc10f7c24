"""Capacity: the steps that together bring most within limits of hours, money and seats."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

_SLACK = 1e-9  # of a limit: sums of decimals are not exact
# Searches, each among more of the rows that the ones before could not rule out: rows, and nodes of the search. A limit
# of time would make the choice differ between machines.
_SEARCHES = ((250, 1_000), (1_000, 300))
_CUTS = 300  # points at which the limits are priced
_BLOCKS = 20  # of partners, each with a line of its own below the bound that prices give
_CHUNK = 20_000  # rows that are filled up at once
_NOTHING = 1e-15  # of a limit: a million such uses are within its slack
_CLOSE = 1e-7  # of the bound: prices are not looked for any closer


@dataclass(frozen=True)
class Choice:
    """Which steps to take, and how far from the best choice that can be.

    Attributes:
        taken: One flag a row of the steps.
        value: Sum of the gains of the steps taken.
        bound: No choice within the limits is worth more; equal to `value` where it is proven to be the best.
        prices: What one more unit of each limit would add, about; index the limits. With prices >= 0 the value of any
            choice is at most the sum of prices x limits and of each partner's largest gain less prices x uses.
    """

    taken: np.ndarray
    value: float
    bound: float
    prices: pd.Series


@dataclass(frozen=True)
class _Problem:
    """Partners with the same rows are one group; rows are sorted by group, uses are shares of the limits."""

    gain: np.ndarray  # one a row
    uses: np.ndarray  # rows x limits; what all may use of each is 1
    group: np.ndarray  # of each row
    start: np.ndarray  # first row of each group
    size: np.ndarray  # partners of each group


def choose_steps(steps: pd.DataFrame, limits: Mapping[str, float]) -> Choice:
    """Choose at most one step a partner so that the sum of gains is largest within all limits.

    Partners whose steps are alike are taken together. The limits are priced (the Lagrangian dual, by cutting planes
    in a box), which bounds what any choice can reach. The steps that are best at these prices, filled up, and two
    greedy choices are candidates. An integer program (HiGHS) then looks for a better one among the rows that the
    bound does not rule out; where these are too many, among those that are nearest to being chosen.

    Args:
        steps: One row a possible step: `partner_id`, `gain` (rows at or below 0 are never taken) and one column a
            limit, named as it, with what the step uses of it (>= 0).
        limits: What all steps together may use (>= 0; infinite: no limit).

    Returns:
        The choice. Up to some thousand rows it is nearly always proven to be the best; the same rows give the same
        choice on every machine.

    Raises:
        ValueError: A limit, gain or use is missing, a gain is infinite, or a limit or use is negative.

    References:
        Kellerer, Pferschy and Pisinger (2004), Knapsack Problems, chapters 9 and 11; Marsten, Hogan and Blankenship
        (1975), The boxstep method for large-scale optimization.

    Example:
        >>> steps = pd.DataFrame({"partner_id": ["a", "b", "c"], "gain": [100.0, 80.0, 80.0], "hours": [10.0, 5, 5]})
        >>> choice = choose_steps(steps, {"hours": 10.0})
        >>> choice.taken.tolist(), choice.value, choice.bound
        ([False, True, True], 160.0, 160.0)
    """
    names = list(limits)
    ceilings = np.array([limits[name] for name in names], dtype=float)
    gain, uses = steps["gain"].to_numpy(dtype=float), steps[names].to_numpy(dtype=float)
    _check(names, ceilings, gain, uses)
    prices = pd.Series(0.0, index=pd.Index(names, name="limit"))
    usable = np.flatnonzero((gain > 0) & (uses <= ceilings * (1 + _SLACK)).all(axis=1))
    taken = np.zeros(len(steps), dtype=bool)
    if not len(usable):
        return Choice(taken, 0.0, 0.0, prices)
    partner = pd.factorize(steps["partner_id"].to_numpy()[usable])[0]
    binding = _find_binding(partner, uses[usable], ceilings)
    reachable = _reach(uses[np.ix_(usable, binding)], ceilings[binding])
    shares = uses[np.ix_(usable, binding)] / reachable
    shares[shares < _NOTHING] = 0.0
    problem, row, place = _join_alike(partner, gain[usable], shares)
    counts, bound, scaled = _solve(problem)
    # The first partners of a group take its first row, the next ones its second, and so on.
    before = np.cumsum(counts) - counts
    before -= before[problem.start][problem.group]
    taken[usable] = (before[row] <= place) & (place < before[row] + counts[row])
    with np.errstate(over="ignore"):
        prices.iloc[np.flatnonzero(binding)] = np.minimum(scaled / reachable, np.finfo(float).max)
    value = float(gain[taken].sum())
    return Choice(taken, value, max(float(bound), value), prices)


def _check(names: list[str], ceilings: np.ndarray, gain: np.ndarray, uses: np.ndarray) -> None:
    for name, ceiling in zip(names, ceilings, strict=True):
        if not ceiling >= 0:
            raise ValueError(f"limits[{name!r}] == {ceiling}, must be >= 0; infinite means no limit")
    if np.isnan(gain).any():
        raise ValueError(f"gain of row {np.isnan(gain).argmax()} is missing, must be a number; leave such steps out")
    if np.isinf(gain).any():
        row = np.isinf(gain).argmax()
        raise ValueError(f"gain of row {row} == {gain[row]}, must be finite; correct it or leave the step out")
    wrong = ~(uses >= 0)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ValueError(f"{names[column]} of row {row} == {uses[row, column]}, must be >= 0")


def _find_binding(partner: np.ndarray, uses: np.ndarray, ceilings: np.ndarray) -> np.ndarray:
    """Return which limits can be reached at all: by everybody's largest use."""
    most = np.zeros((partner.max() + 1, uses.shape[1]))
    np.maximum.at(most, partner, uses)
    return (most.sum(axis=0) > ceilings) & (ceilings > 0)


def _reach(uses: np.ndarray, ceilings: np.ndarray) -> np.ndarray:
    """Return the largest multiple of the uses' common divisor in each limit: what lies between is never used.

    Limits of uses with more than three decimals, or of millions of divisors, stay as they are.
    """
    whole = np.round(uses * 1_000)
    plain = ((np.abs(uses * 1_000 - whole) <= 1e-6 * whole) & (whole < 1e15)).all(axis=0)
    divisor = np.maximum(np.gcd.reduce(np.where(plain, whole, 1).astype(np.int64), axis=0), 1)
    steps = np.floor(ceilings * 1_000 / divisor * (1 + _SLACK))
    exact = plain & (steps < 1e6)
    return np.where(exact, steps * divisor / 1_000, ceilings)


def _join_alike(partner: np.ndarray, gain: np.ndarray, uses: np.ndarray) -> tuple[_Problem, np.ndarray, np.ndarray]:
    """Join partners with the same rows; return for each row the row of its group and the partner's place in it."""
    kind = pd.DataFrame(np.column_stack([gain, uses])).groupby(list(range(1 + uses.shape[1])), sort=False).ngroup()
    order = np.lexsort((kind.to_numpy(), partner))
    first = np.append(True, np.diff(partner[order]) != 0)
    position = np.arange(len(order)) - np.flatnonzero(first)[np.cumsum(first) - 1]
    wide = np.full((partner.max() + 1, position.max() + 1), -1)
    wide[partner[order], position] = kind.to_numpy()[order]
    numbered = pd.DataFrame(wide).groupby(list(range(wide.shape[1])), sort=False).ngroup()
    group, place = numbered.to_numpy(), numbered.groupby(numbered).cumcount().to_numpy()
    # The rows of each group's first partner stand for all.
    shown = order[place[partner[order]] == 0]
    shown = shown[np.argsort(group[partner[shown]], kind="stable")]
    of_group = group[partner[shown]]
    start = np.flatnonzero(np.append(True, np.diff(of_group) != 0))
    row = np.empty(len(partner), dtype=int)
    row[order] = start[group[partner[order]]] + position
    problem = _Problem(gain[shown], uses[shown], of_group, start, np.bincount(group))
    return problem, row, place[partner]


def _solve(problem: _Problem) -> tuple[np.ndarray, float, np.ndarray]:
    """Return how many partners take each row, the bound, and the prices of the limits."""
    prices, bound = _price_limits(problem)
    loss, chosen, margin = _rank_rows(problem, prices)
    density = problem.gain / np.maximum(problem.uses.max(axis=1, initial=0.0), 1e-12)
    rounded = np.where(chosen, -margin[problem.group], loss)
    orders = [np.argsort(rank, kind="stable") for rank in (rounded, -problem.gain, -density)]
    counts = max((_fill_up(problem, order) for order in orders), key=lambda counts: float(problem.gain @ counts))
    for n_rows, n_nodes in _SEARCHES:
        value = float(problem.gain @ counts)
        if bound - value <= _SLACK * bound:
            break
        # Another row than a group's best costs at least its loss, so a row that loses more than is missing to the
        # bound is in no better choice, and a group where all others do is taken as it is.
        missing = bound - value
        open_rows = np.flatnonzero((loss <= missing) & (margin[problem.group] <= missing))
        complete = len(open_rows) <= n_rows
        if not complete:
            off = np.add.reduceat(np.where(chosen, 0, counts), problem.start) > 0
            nearest = np.where(off[problem.group], 0.0, np.maximum(loss, margin[problem.group]))[open_rows]
            open_rows = open_rows[np.argsort(nearest, kind="stable")[:n_rows]]
        closed = ~np.isin(problem.group, problem.group[open_rows])
        fixed = np.where(closed, np.where(chosen, problem.size[problem.group], 0) if complete else counts, 0)
        found, ceiling = _search(problem, open_rows, fixed, bound, n_nodes)
        if found is not None:
            found = _fill_up(problem, orders[0], _drop_excess(problem, found, loss))
            counts = found if problem.gain @ found > value else counts
        if complete:
            bound = min(bound, max(ceiling, float(problem.gain @ counts)))
            break
    return counts, bound, prices


def _reduce_gains(problem: _Problem, prices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest reduced gain of each group, at least 0 (no step), and the reduced gain of each row."""
    reduced = problem.gain - problem.uses @ prices
    return np.maximum(np.maximum.reduceat(reduced, problem.start), 0.0), reduced


def _price_limits(problem: _Problem) -> tuple[np.ndarray, float]:
    """Find prices that make the bound on all choices as low as can be; return them and the bound.

    The bound is convex in the prices. Lines below it, one a block of groups and a point already seen, give a model;
    its lowest point within a box around the best prices so far is the next point (a linear program of a few columns).
    """
    from scipy.optimize import linprog

    n_limits = problem.uses.shape[1]
    block = np.arange(len(problem.start)) * min(_BLOCKS, len(problem.start)) // len(problem.start)
    n_blocks = int(block[-1]) + 1

    def look(prices: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        best, reduced = _reduce_gains(problem, prices)
        wanted = np.flatnonzero((reduced >= best[problem.group]) & (reduced > 0))
        wanted = wanted[np.append(True, np.diff(problem.group[wanted]) != 0)] if len(wanted) else wanted
        used = np.zeros((n_blocks, n_limits))
        groups = problem.group[wanted]
        np.add.at(used, block[groups], problem.size[groups, None] * problem.uses[wanted])
        height = np.bincount(block, weights=problem.size * best, minlength=n_blocks)
        return float(prices.sum() + height.sum()), height, used

    center = np.zeros(n_limits)
    lowest, height, used = look(center)
    if not n_limits:
        return center, lowest
    largest, reach = lowest, lowest  # no limit is worth more than everything
    goal = np.concatenate([np.ones(n_limits), np.ones(n_blocks)])
    lines, levels, point = [], [], center
    for _ in range(_CUTS):
        # height of a block >= its height here - used x (prices - prices here)
        lines.append(np.hstack([-used, -np.eye(n_blocks)]))
        levels.append(-(height + used @ point))
        box = np.column_stack([np.maximum(center - reach, 0), np.minimum(center + reach, largest)])
        bounds = np.vstack([box, np.tile([0.0, np.inf], (n_blocks, 1))])
        model = linprog(goal, A_ub=np.vstack(lines), b_ub=np.concatenate(levels), bounds=bounds, method="highs")
        if model.x is None or lowest - model.fun <= _CLOSE * lowest:
            break
        point = np.clip(model.x[:n_limits], 0.0, None)
        total, height, used = look(point)
        share = (lowest - total) / (lowest - model.fun)
        if total < lowest:
            center, lowest = point, total
        reach *= 0.5 if share < 0.1 else 2.0 if share > 0.7 else 1.0
    return center, lowest


def _rank_rows(problem: _Problem, prices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what each row loses against its group's best, whether it is that, and what a group loses without it."""
    best, reduced = _reduce_gains(problem, prices)
    loss = best[problem.group] - reduced
    chosen = loss <= 0
    chosen &= ~pd.Series(problem.group).where(chosen).duplicated().to_numpy()
    margin = np.minimum.reduceat(np.where(chosen, np.inf, loss), problem.start)
    # Where there is a best row, no step is another choice; otherwise no step is the best.
    any_chosen = np.logical_or.reduceat(chosen, problem.start)
    return loss, chosen, np.where(any_chosen, np.minimum(margin, best), margin)


def _fill_up(problem: _Problem, order: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """Take rows in the given order, each by as many partners as are left and as the limits allow.

    All rows up to the first that does not fit are taken at once; then those that no longer fit are dropped.
    """
    counts = np.zeros(len(problem.gain), dtype=int) if counts is None else counts.copy()
    left = 1 + _SLACK - counts @ problem.uses
    free = problem.size - np.add.reduceat(counts, problem.start)
    for begin in range(0, len(order), _CHUNK):
        rows = order[begin : begin + _CHUNK]
        while len(rows):
            rows = rows[(free[problem.group[rows]] > 0) & (problem.uses[rows] <= left).all(axis=1)]
            # What the first row of a group leaves of it is known afterwards, so its other rows wait.
            first = ~pd.Series(problem.group[rows]).duplicated().to_numpy()
            number = np.where(first, free[problem.group[rows]], 0)
            over = (np.cumsum(number[:, None] * problem.uses[rows], axis=0) > left).any(axis=1)
            whole = int(over.argmax()) if over.any() else len(rows)
            number = number[: whole + 1]
            if whole < len(rows):
                uses = problem.uses[rows[whole]]
                rest = left - number[:whole] @ problem.uses[rows[:whole]]
                number[whole] = max(int((rest[uses > 0] / uses[uses > 0]).min()), 0)
            taken, waits = rows[: whole + 1], ~first[: whole + 1]
            counts[taken] += number
            left = left - number @ problem.uses[taken]
            np.subtract.at(free, problem.group[taken], number)
            rows = np.concatenate([taken[waits], rows[whole + 1 :]])
    return counts


def _search(
    problem: _Problem, rows: np.ndarray, fixed: np.ndarray, bound: float, n_nodes: int
) -> tuple[np.ndarray | None, float]:
    """Search for the best counts of some rows beside the fixed ones.

    Returns:
        Counts of all rows (None: nothing found), and what no such choice exceeds.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    left, base = 1 - fixed @ problem.uses, float(problem.gain @ fixed)
    if (left < -_SLACK).any() or not len(rows):
        return (fixed, base) if (left >= -_SLACK).all() else (None, 0.0)
    groups, column = np.unique(problem.group[rows], return_inverse=True)
    largest = np.maximum(problem.uses[rows].max(axis=0, initial=0.0), 1e-300)
    scale = 1e4 / float(problem.gain[rows].max())  # the solver stops a millionth from the best
    one_each = csr_array((np.ones(len(rows)), (column, np.arange(len(rows)))))
    found = milp(
        -problem.gain[rows] * scale,
        integrality=np.ones(len(rows)),
        bounds=Bounds(0, problem.size[problem.group[rows]]),
        constraints=[
            LinearConstraint(one_each, -np.inf, problem.size[groups]),
            LinearConstraint((problem.uses[rows] / largest).T, -np.inf, np.maximum(left, 0.0) / largest),
        ],
        options={
            "mip_rel_gap": _SLACK * bound / max(bound - base, _SLACK * bound),
            "node_limit": n_nodes,
            "presolve": False,
        },
    )
    ceiling = base - found.mip_dual_bound / scale if found.mip_dual_bound is not None else np.inf
    if found.x is None:
        return None, ceiling
    counts = fixed.copy()
    counts[rows] = np.round(found.x).astype(int)
    return counts, ceiling


def _drop_excess(problem: _Problem, counts: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Drop the steps that lose most, of those that exceed a limit: the solver's sums are exact to a millionth only."""
    while (over := counts @ problem.uses > 1 + _SLACK).any():
        rows = np.flatnonzero((counts > 0) & (problem.uses[:, over] > 0).any(axis=1))
        counts[rows[loss[rows].argmax()]] -= 1
    return counts
