"""Ranks, and how far they could move: weights, normalization, missing factors and noise drawn together."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral, Real
from threading import Lock
from typing import Any

import numpy as np
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from partnerseg.rating.aggregation import AGGREGATIONS

SOURCES = ("weights", "normalization", "missing", "noise")
# Dirichlet concentration of drawn weights: a weight of 0.10 has a standard deviation of 0.03.
CONCENTRATION = 100.0
# Scores of one block of draws, and ranks or counts held at a time.
BLOCK_CELLS = 2_000_000
ROWS_CELLS = 400_000
BUDGET_BYTES = 500_000_000
THREADS = 2
DECIMALS = 9


def rank_scores(scores: np.ndarray) -> np.ndarray:
    """Rank scores exactly, in one sort of whole numbers.

    A score rounded to nine decimals and its place fit into 64 bits together, so that sorting plain integers,
    which processors do many at a time, replaces sorting places by score.

    Args:
        scores: One score a partner; missing (NaN) means not rated.

    Returns:
        int64: 1 is the highest score, scores equal to nine decimals share the smallest rank, 0 is not rated.

    Examples:
        >>> rank_scores(np.array([50.0, 80.0, np.nan, 50.0])).tolist()
        [2, 1, 0, 2]
    """
    scores = np.asarray(scores, dtype=np.float64)
    ranks = np.zeros(len(scores), dtype=np.int64)
    rated = np.flatnonzero(~np.isnan(scores))
    values = scores[rated]
    if not len(values):
        return ranks
    if np.abs(values).max() >= 2.0 ** (62 - _count_bits(len(values))) / 10**DECIMALS:
        lowered = -np.round(values, DECIMALS)
        ranks[rated] = np.searchsorted(np.sort(lowered), lowered) + 1
    else:
        found = np.empty((1, len(values)), dtype=np.int64)
        _rank_rows(values[None, :], found)
        ranks[rated] = found[0]
    return ranks


def draw_rank_interval(
    points: Sequence[np.ndarray],
    weights: np.ndarray,
    distribution: np.ndarray | Sequence[np.ndarray] | None = None,
    *,
    noise: np.ndarray | Sequence[np.ndarray] | None = None,
    expected: np.ndarray | Sequence[np.ndarray] | None = None,
    evidence: np.ndarray | None = None,
    concentration: float = CONCENTRATION,
    draws: int = 10_000,
    level: float = 0.9,
    aggregation: str = "arithmetic",
    sources: Collection[str] = SOURCES,
    labels: Sequence[Any] | None = None,
    random_state: Any = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Tell how far ranks could move, with every source of doubt drawn together.

    Each draw takes weights from a Dirichlet distribution around the frozen ones, one of the tables of points, a
    value for every unknown factor from the factor's frozen distribution, and normal noise for every value that
    has some; then all partners are ranked anew, exactly. Where groups of partners have weights of their own, a
    draw multiplies the weight of a factor by the same number in all groups.

    Ranks of up to 500 MB are kept; beyond that the quantiles are found by counting in ever narrower brackets of
    ranks, which draws the same numbers several times and gives the same result in bounded memory.

    Args:
        points: For each normalization an array partners x factors, 0 (worst) to 100, NaN unknown; the first is
            the rating's own. All have the same cells unknown.
        weights: Frozen weights of the factors, f; or n x f, a row a partner, where groups have their own.
        distribution: Frozen points of each factor, q x f, each row equally likely; or one such array for each
            table of points. None, or NaN in a column: unknown factors are not drawn, their weight is shared.
        noise: Standard deviation in points, n x f, or one such array for each table; 0 or NaN is none.
        expected: Points around which noise is drawn, n x f, or one such array for each table; NaN or None: around
            the points themselves. What was observed is itself spread by noise, so that noise drawn around it
            counts twice; intervals keep their level around what is expected behind it (`errors.estimate_errors`).
        evidence: Share of the weight of each known factor that the partner's evidence is worth, n x f, 0 to 1; NaN or
            None: all of it. The rest of the weight is drawn like an unknown factor, or shared where those are not.
        concentration: Dirichlet concentration; the larger, the closer drawn weights are to the frozen ones.
        draws: Number of draws, at least 1.
        level: Share of draws that the interval holds, between 0 and 1.
        aggregation: A name in `aggregation.AGGREGATIONS`; all but `arithmetic` take a call a draw.
        sources: What is drawn, out of `SOURCES`; the rest stays as it is.
        labels: Partner ids, each once. Drawn numbers go to partners in the order of their labels, so that an
            interval does not depend on the order of rows. None: in the order of rows.
        random_state: Seed of the draws.

    Returns:
        (lower, upper): the best and the worst rank of each partner's interval, int64; 1 is the best, scores
        equal to nine decimals share the smallest rank.

    Raises:
        ValueError: An argument is out of its range, shapes do not fit, or a partner has no factor that is known
            or drawn.

    References:
        Saisana, Saltelli, Tarantola (2005), Uncertainty and sensitivity analysis techniques as tools for the quality
        assessment of composite indicators, JRSS A 168(2).

    Examples:
        >>> lower, upper = draw_rank_interval([np.array([[90.0, 80], [50, 60], [60, 48]])], np.array([0.5, 0.5]))
        >>> lower.tolist(), upper.tolist()
        ([1, 2, 2], [1, 3, 3])
    """
    check_draws(draws, level)
    _check_options(concentration, aggregation, sources)
    n = len(points[0])
    if n == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    order = np.arange(n) if labels is None else np.argsort(np.asarray(labels), kind="stable")
    world = _World.prepare(
        [np.asarray(table, dtype=np.float64) for table in points], weights, distribution, noise, expected,
        evidence, order, aggregation, sources,
    )  # fmt: skip
    random = check_random_state(random_state)
    plan = _Plan.draw(world, draws, concentration if "weights" in sources else np.inf, random)
    tail = (1 - level) / 2
    targets = [max(0, int(np.ceil(round(draws * place, 6))) - 1) for place in (tail, 1 - tail)]
    kind = np.dtype(np.uint16 if n < 2**16 else np.int32)
    select = _select_from_all if draws * n * kind.itemsize <= BUDGET_BYTES else _select_by_counting
    # Blocks have threads of their own; more of them in each matrix product only get into the way.
    with threadpool_limits(1, user_api="blas"):
        found = select(plan, targets, kind)
    lower, upper = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    lower[order], upper[order] = found
    return lower, upper


def check_draws(draws: int, level: float) -> None:
    """Raise ValueError unless there is a whole number of draws, at least 1, and a level between 0 and 1."""
    if isinstance(draws, bool) or not (isinstance(draws, Integral) and draws >= 1):
        raise ValueError(f"rating.interval_draws == {draws!r}, must be a whole number >= 1")
    if not (isinstance(level, Real) and 0 < level < 1):
        raise ValueError(f"rating.interval_level == {level!r}, must be between 0 and 1")


def _check_options(concentration: float, aggregation: str, sources: Collection[str]) -> None:
    if not concentration > 0:
        raise ValueError(f"concentration == {concentration}, must be > 0")
    if aggregation not in AGGREGATIONS:
        raise ValueError(f"rating.aggregation == {aggregation!r}; possible values are: {', '.join(AGGREGATIONS)}")
    for source in sources:
        if source not in SOURCES:
            raise ValueError(f"sources holds {source!r}; possible values are: {', '.join(SOURCES)}")


@dataclass(frozen=True)
class _World:
    """What is drawn from, partners in the order of their labels.

    Attributes:
        tables: Points of each normalization, n x f, NaN unknown.
        grids: Frozen points for each table, q x f; None when unknown factors are not drawn.
        noise: For each table n x f, 0 where there is none.
        middle: For each table n x f, points around which noise is drawn.
        evidence: n x f, share of a known factor's weight that its evidence is worth; None: all of it, everywhere.
        weights: Different rows of weights, g x f, each summing to 1.
        group: Row of `weights` of each partner.
        aggregate: None for the arithmetic mean.
    """

    tables: list[np.ndarray]
    grids: list[np.ndarray] | None
    noise: list[np.ndarray]
    middle: list[np.ndarray]
    evidence: np.ndarray | None
    weights: np.ndarray
    group: np.ndarray
    aggregate: Callable[[np.ndarray, np.ndarray], np.ndarray] | None

    @classmethod
    def prepare(
        cls,
        tables: list[np.ndarray],
        weights: np.ndarray,
        distribution: np.ndarray | Sequence[np.ndarray] | None,
        noise: np.ndarray | Sequence[np.ndarray] | None,
        expected: np.ndarray | Sequence[np.ndarray] | None,
        evidence: np.ndarray | None,
        order: np.ndarray,
        aggregation: str,
        sources: Collection[str],
    ) -> "_World":
        """Check shapes, leave out what is not drawn, and put partners in order."""
        shape = tables[0].shape
        if "normalization" not in sources:
            tables = tables[:1]
        for place, table in enumerate(tables):
            _check_shape(f"points[{place}]", table, shape)
            if (np.isnan(table) != np.isnan(tables[0])).any():
                raise ValueError(f"points[{place}] has other cells unknown than points[0], must have the same")
        weights = np.asarray(weights, dtype=np.float64)
        if weights.ndim == 1:
            weights = weights[None, :]
            group = np.zeros(shape[0], dtype=np.int64)
            _check_shape("weights", weights, (1, shape[1]))
        else:
            _check_shape("weights", weights, shape)
            weights, group = np.unique(weights[order], axis=0, return_inverse=True)
            group = group.ravel()
        if not ((weights >= 0).all() and (weights.sum(axis=1) > 0).all()):
            raise ValueError("weights must be >= 0 and each row must hold one above 0")
        grids = None
        if "missing" in sources and distribution is not None:
            grids = _spread("distribution", distribution, len(tables))
        for place, grid in enumerate(grids or []):
            _check_shape(f"distribution[{place}]", grid, (len(grid), shape[1]))
        spread = [np.zeros(shape)] * len(tables)
        middle = list(tables)
        if noise is not None and "noise" in sources:
            spread = _spread("noise", noise, len(tables))
            if expected is not None:
                middle = _spread("expected", expected, len(tables))
            for place, (deviation, center) in enumerate(zip(spread, middle, strict=True)):
                _check_shape(f"noise[{place}]", deviation, shape)
                _check_shape(f"expected[{place}]", center, shape)
                if not (deviation[~np.isnan(deviation)] >= 0).all():
                    raise ValueError(f"noise[{place}] holds {np.nanmin(deviation)}, must be >= 0 points or missing")
            unknown = np.isnan(tables[0])
            spread = [np.where(unknown | np.isnan(deviation), 0.0, deviation) for deviation in spread]
            middle = [np.where(np.isnan(center), table, center) for center, table in zip(middle, tables, strict=True)]
        if evidence is not None:
            evidence = np.asarray(evidence, dtype=np.float64)
            _check_shape("evidence", evidence, shape)
            if ((evidence < 0) | (evidence > 1)).any():
                raise ValueError("evidence must be between 0 and 1, or missing")
            evidence = np.where(np.isnan(tables[0]) | np.isnan(evidence), 1.0, evidence)[order]
        drawable = np.zeros(shape[1], dtype=bool)
        if grids is not None:
            drawable = ~np.any([np.isnan(grid).any(axis=0) for grid in grids], axis=0)
        unknown = ~(~np.isnan(tables[0]) | drawable).any(axis=1)
        if unknown.any():
            raise ValueError(f"points[0] row {np.flatnonzero(unknown)[0]} has no factor known or drawn: leave it out")
        return cls(
            tables=[table[order] for table in tables],
            grids=grids,
            noise=[deviation[order] for deviation in spread],
            middle=[center[order] for center in middle],
            evidence=evidence,
            weights=weights / weights.sum(axis=1, keepdims=True),
            group=group,
            aggregate=None if aggregation == "arithmetic" else AGGREGATIONS[aggregation],
        )

    def find_drawable(self, table: int) -> np.ndarray:
        """Mark the factors whose frozen points are known, f."""
        if self.grids is None:
            return np.zeros(self.tables[table].shape[1], dtype=bool)
        return ~np.isnan(self.grids[table]).any(axis=0)

    def get_evidence(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Shares of partners, 1 where nothing is told."""
        return np.ones(self.tables[0][rows].shape) if self.evidence is None else self.evidence[rows]


def _check_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape}, must be {shape}")


def _spread(name: str, given: np.ndarray | Sequence[np.ndarray], tables: int) -> list[np.ndarray]:
    """One array for each table, from one for all or one for each."""
    if isinstance(given, np.ndarray) and given.ndim == 2:
        return [given.astype(np.float64, copy=False)] * tables
    arrays = [np.asarray(array, dtype=np.float64) for array in given]
    if len(arrays) < tables:
        raise ValueError(f"{name} holds {len(arrays)} arrays, must be one, or one for each of {tables} tables")
    return arrays[:tables]


@dataclass(frozen=True)
class _Plan:
    """Draws that can be made again: weights and tables are fixed, the rest has a seed for each block.

    Attributes:
        world: What is drawn from.
        shocks: Draws x factors: what the weights of all groups are multiplied by.
        table: Table of points of each draw, ascending.
        seed: Seed of the blocks.
        blocks: (first draw, draw after the last, table).
        parts: For each group of partners its rows and, for each table, a `_Part` (arithmetic mean only).
    """

    world: _World
    shocks: np.ndarray
    seed: int
    blocks: list[tuple[int, int, int]]
    parts: list[tuple[np.ndarray | slice, list["_Part"]]]

    @classmethod
    def draw(cls, world: _World, draws: int, concentration: float, random: np.random.RandomState) -> "_Plan":
        """Draw weights and tables for all draws and divide them into blocks."""
        n, f = world.tables[0].shape
        shocks = np.ones((draws, f))
        center = world.weights.mean(axis=0)
        if np.isfinite(concentration):
            positive = center > 0
            shapes = concentration * center[positive]
            shocks[:, positive] = random.standard_gamma(shapes, size=(draws, len(shapes))) / shapes
        seed = int(random.randint(2**31))
        # All draws are alike, so those of one table may stand together.
        table = (
            np.sort(random.randint(len(world.tables), size=draws)) if len(world.tables) > 1 else np.zeros(draws, int)
        )
        edges = [0, *(np.flatnonzero(np.diff(table)) + 1).tolist(), draws]
        size = max(1, BLOCK_CELLS // n)
        blocks = [
            (start, min(start + size, stop), int(table[first]))
            for first, stop in pairwise(edges)
            for start in range(first, stop, size)
        ]
        parts = []
        for number in range(len(world.weights)) if world.aggregate is None else []:
            rows = slice(None) if len(world.weights) == 1 else np.flatnonzero(world.group == number)
            parts.append((rows, [_Part.prepare(world, rows, place) for place in range(len(world.tables))]))
        return cls(world, shocks, seed, blocks, parts)

    def rank_block(self, number: int, ranks: np.ndarray) -> None:
        """Write the ranks of one block, draws x partners."""
        start, stop, table = self.blocks[number]
        random = np.random.default_rng([self.seed, number])
        weights = self._weigh(start, stop)
        if self.world.aggregate is not None:
            scores = np.stack([self._aggregate(weights[:, row], table, random) for row in range(stop - start)])
        elif len(self.parts) == 1:
            scores = self.parts[0][1][table].score(weights[0], random)
        else:
            scores = np.empty((stop - start, len(self.world.group)))
            for own, (rows, parts) in zip(weights, self.parts, strict=True):
                scores[:, rows] = parts[table].score(own, random)
        _rank_rows(scores, ranks)

    def _weigh(self, start: int, stop: int) -> np.ndarray:
        """Drawn weights, groups x draws x factors."""
        weights = self.world.weights[:, None, :] * self.shocks[None, start:stop, :]
        return weights / weights.sum(axis=2, keepdims=True)

    def _aggregate(self, weights: np.ndarray, table: int, random: np.random.Generator) -> np.ndarray:
        world = self.world
        values = world.tables[table].copy()
        own = weights[0] if len(weights) == 1 else weights[world.group]
        unknown = np.isnan(values)
        rows, columns = np.nonzero(world.noise[table])
        if len(rows):
            drawn = world.noise[table][rows, columns] * random.standard_normal(len(rows))
            drawn += world.middle[table][rows, columns]
            values[rows, columns] = np.clip(drawn, 0, 100)
        drawable = world.find_drawable(table)
        if drawable.any():
            assert world.grids is not None
            grid, share = world.grids[table], np.where(unknown, 0.0, world.get_evidence())
            rows, columns = np.nonzero((share < 1) & drawable)
            drawn = (1 - share[rows, columns]) * grid[random.integers(len(grid), size=len(rows)), columns]
            values[rows, columns] = share[rows, columns] * np.nan_to_num(values[rows, columns]) + drawn
        if world.evidence is not None:
            own = own * np.where(drawable, 1.0, world.evidence)
        assert world.aggregate is not None
        return world.aggregate(values, own)


@dataclass(frozen=True)
class _Part:
    """Partners with the same weights, points of one table: arithmetic means of many draws at once.

    Attributes:
        still: Factors x partners: points that no draw changes, times evidence, 0 elsewhere; padded to a multiple of 64
            partners.
        shared: Factors x partners: the share of the factor's weight that is not shared out; None when all are 1.
        missing: (factor, rows, frozen points, share) where values are drawn; share of the weight that they have.
        noisy: (factor, rows, middle, standard deviation, share) where noise is drawn.
        n: Number of partners.
    """

    still: np.ndarray
    shared: np.ndarray | None
    missing: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]]
    noisy: list[tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]
    n: int

    @classmethod
    def prepare(cls, world: _World, rows: np.ndarray | slice, table: int) -> "_Part":
        """Divide the cells into those that stay, those drawn and those with noise."""
        points, noise, middle = world.tables[table][rows], world.noise[table][rows], world.middle[table][rows]
        n, f = points.shape
        share = np.where(np.isnan(points), 0.0, world.get_evidence(rows))
        kept = share.copy()
        missing, noisy = [], []
        for factor in np.flatnonzero((share < 1).any(axis=0) & world.find_drawable(table)):
            assert world.grids is not None
            where = np.flatnonzero(share[:, factor] < 1)
            missing.append((int(factor), where, world.grids[table][:, factor], 1 - share[where, factor]))
            kept[:, factor] = 1.0
        for factor in np.flatnonzero(noise.any(axis=0)):
            where = np.flatnonzero(noise[:, factor])
            noisy.append((int(factor), where, middle[where, factor], noise[where, factor], share[where, factor]))
        # A matrix product may round the last partners otherwise than the first unless there are more of them.
        still = np.zeros((f, n + -n % 64))
        still[:, :n] = np.where((share == 0) | (noise > 0), 0.0, points * share).T
        return cls(still, np.ascontiguousarray(kept.T) if (kept < 1).any() else None, missing, noisy, n)

    def score(self, weights: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Scores of draws x partners."""
        scores = (weights @ self.still)[:, : self.n]
        for factor, rows, grid, share in self.missing:
            drawn = grid[random.integers(len(grid), size=(len(weights), len(rows)))]
            drawn *= share
            scores[:, rows] += weights[:, [factor]] * drawn
        for factor, rows, middle, deviation, share in self.noisy:
            drawn = random.standard_normal((len(weights), len(rows)), dtype=np.float32) * deviation
            drawn += middle
            np.clip(drawn, 0, 100, out=drawn)
            drawn *= share
            scores[:, rows] += weights[:, [factor]] * drawn
        if self.shared is not None:
            known = weights @ self.shared
            np.divide(scores, known, out=scores, where=known > 0)
        return scores


def _count_bits(n: int) -> int:
    return max(1, int(n - 1).bit_length())


def _rank_rows(scores: np.ndarray, ranks: np.ndarray) -> None:
    """Rank each row of scores that are never NaN and whose rounded value and place fit into 63 bits together."""
    n = scores.shape[1]
    bits = _count_bits(n)
    place = np.arange(n, dtype=np.int64)
    position = np.arange(1, n + 1, dtype=ranks.dtype)
    # Several rows at a time: threads hinder each other in short steps.
    size = max(1, ROWS_CELLS // n)
    packed = np.empty((min(size, len(scores)), n), dtype=np.int64)
    for start in range(0, len(scores), size):
        rows = scores[start : start + size]
        keys = packed[: len(rows)]
        np.rint(rows * -(10.0**DECIMALS), out=keys, casting="unsafe")
        keys <<= bits
        keys |= place
        keys.sort(axis=1)
        where = keys & ((1 << bits) - 1)
        keys >>= bits
        tied = keys[:, 1:] == keys[:, :-1]
        for row in range(len(rows)):
            first = position
            if tied[row].any():
                first = position.copy()
                first[1:][tied[row]] = 0
                np.maximum.accumulate(first, out=first)
            ranks[start + row, where[row]] = first


def _select_from_all(plan: _Plan, targets: list[int], kind: np.dtype) -> list[np.ndarray]:
    """Keep all ranks and sort each partner's."""
    n = len(plan.world.group)
    ranks = np.empty((len(plan.shocks), n), dtype=kind)
    found = np.empty((len(targets), n), dtype=np.int64)
    size = max(1, BLOCK_CELLS // len(ranks))

    def fill(number: int) -> None:
        start, stop, _ = plan.blocks[number]
        plan.rank_block(number, ranks[start:stop])

    def select(start: int) -> None:
        own = np.ascontiguousarray(ranks[:, start : start + size].T)
        own.sort(axis=1)
        found[:, start : start + size] = own[:, targets].T

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(fill, range(len(plan.blocks))))
        list(pool.map(select, range(0, n, size)))
    return list(found)


def _select_by_counting(plan: _Plan, targets: list[int], kind: np.dtype) -> list[np.ndarray]:
    """Count ranks in equal bins of a bracket, go on in the bin that holds the one sought, until it is one rank."""
    n, draws = len(plan.world.group), len(plan.shocks)
    counted = np.dtype(np.uint16 if draws < 2**16 else np.int32)
    bins = int(np.clip(BUDGET_BYTES // (2 * len(targets) * n * counted.itemsize), 8, n))
    base = np.ones((len(targets), n), dtype=np.int64)
    below = np.zeros((len(targets), n), dtype=np.int64)
    size = max(1, BLOCK_CELLS // bins)
    width = n
    while width > 1:
        width = -(-width // bins)
        counts = _count_ranks(plan, base, width, np.zeros((len(targets), n * bins), dtype=counted), kind)
        for target, wanted in enumerate(targets):
            for start in range(0, n, size):
                part = slice(start, min(start + size, n))
                cells = counts[target, part.start * bins : part.stop * bins].reshape(-1, bins)
                reached = below[target, part, None] + np.cumsum(cells, axis=1, dtype=np.int64)
                chosen = (reached > wanted).argmax(axis=1)
                before = reached[np.arange(len(cells)), chosen - 1]
                below[target, part] = np.where(chosen > 0, before, below[target, part])
                base[target, part] += chosen * width
    return list(base)


def _count_ranks(plan: _Plan, base: np.ndarray, width: int, counts: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Count, for each target and partner, the ranks in bins of a width from a base on."""
    n = len(plan.world.group)
    bins = counts.shape[1] // n
    lock = Lock()

    def count(number: int) -> None:
        start, stop, _ = plan.blocks[number]
        ranks = np.empty((stop - start, n), dtype=kind)
        plan.rank_block(number, ranks)
        with lock:
            for row in ranks:
                for target in range(len(base)):
                    place = (row - base[target]) // width
                    inside = np.flatnonzero((place >= 0) & (place < bins))
                    counts[target, inside * bins + place[inside]] += 1

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(count, range(len(plan.blocks))))
    return counts
