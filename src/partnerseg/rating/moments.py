"""Sums over a million partners in blocks of rows that fit the cache, with missing values and on two threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

# Rows of a block (about 0.5 MB at 30 factors), and blocks of a task; sums do not depend on the number of threads.
BLOCK = 2048
TASK = 32 * BLOCK
THREADS = 2
# Rows that tell the rough center and scale of a factor, so that sums of squares keep their digits.
SAMPLE = 4096
MIN_SHARED = 3
# What a column of objects may hold, in the words of pandas; `empty` is nothing known.
_NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal", "boolean", "empty")


@dataclass(frozen=True)
class Moments:
    """Counts, ranges, deviations and correlations of factors, over the values known.

    Attributes:
        n: Known values of each factor.
        low: Least value; infinity where nothing is known.
        high: Largest value; minus infinity where nothing is known.
        deviation: Standard deviation with n - 1; missing under two values.
        shared: Factors x factors, partners on whom both are known.
        correlation: Factors x factors, over the partners on whom both are known; missing under three of them, or
            where one of the two does not vary among them. The diagonal is 1.
    """

    n: np.ndarray
    low: np.ndarray
    high: np.ndarray
    deviation: np.ndarray
    shared: np.ndarray
    correlation: np.ndarray


def measure_moments(values: np.ndarray) -> Moments:
    """Measure factors and every pair of them in one pass.

    Args:
        values: Partners x factors, floats; NaN where unknown. Infinite values give infinite ranges and no sense
            elsewhere.
    """
    center, scale = _find_scale(values)
    factors = values.shape[1]

    def add_block(block: np.ndarray, total: list[np.ndarray]) -> None:
        low = block.min(axis=1)
        total_low, total_high, shared, sums, squares, products = total
        complete = not np.isnan(low).any()
        if complete:
            high = block.max(axis=1)
        else:
            there = ~np.isnan(block)
            low = np.where(there, block, np.inf).min(axis=1)
            high = np.where(there, block, -np.inf).max(axis=1)
        np.minimum(total_low, low, out=total_low)
        np.maximum(total_high, high, out=total_high)
        block -= center[:, None]
        block /= scale[:, None]
        if complete:
            gram = block @ block.T
            shared += block.shape[1]
            sums += block.sum(axis=1)[:, None]
            squares += np.diag(gram)[:, None]
            products += gram
        else:
            block[~there] = 0.0
            known = there.astype(float)
            shared += known @ known.T
            sums += block @ known.T
            squares += (block * block) @ known.T
            products += block @ block.T

    def start() -> list[np.ndarray]:
        square = [np.zeros((factors, factors)) for _ in range(4)]
        return [np.full(factors, np.inf), np.full(factors, -np.inf), *square]

    def join(total: list[np.ndarray], part: list[np.ndarray]) -> None:
        np.minimum(total[0], part[0], out=total[0])
        np.maximum(total[1], part[1], out=total[1])
        for mine, theirs in zip(total[2:], part[2:], strict=True):
            mine += theirs

    with np.errstate(all="ignore"):
        low, high, shared, sums, squares, products = fold_blocks(values, start, add_block, join)
        n = np.diag(shared)
        # squares[i, j] and sums[i, j] are of factor i where j is known too.
        spread = squares - sums**2 / shared
        cross = products - sums * sums.T / shared
        deviation = scale * np.sqrt(np.maximum(np.diag(spread), 0) / (n - 1))
        correlation = np.clip(cross / np.sqrt(spread * spread.T), -1, 1)
    deviation[n < 2] = np.nan
    correlation[(shared < MIN_SHARED) | ~(high > low) | ~(high > low)[:, None]] = np.nan
    # Where the partners shared differ from the others the sums lose their digits: such a pair is taken on its own.
    lost = (shared >= MIN_SHARED) & (spread < 1e-6 * squares)
    for one, other in np.argwhere(np.triu(lost | lost.T, k=1)):
        correlation[one, other] = correlation[other, one] = _correlate(values[:, one], values[:, other])
    np.fill_diagonal(correlation, 1.0)
    return Moments(n, low, high, deviation, shared, correlation)


def fold_blocks(
    values: np.ndarray,
    start: Callable[[], Any],
    add_block: Callable[[np.ndarray, Any], None],
    join: Callable[[Any, Any], None],
) -> Any:
    """Add up blocks of rows, the same way whatever the number of threads.

    Args:
        values: Partners x factors.
        start: Gives an empty total.
        add_block: Adds a block, factors x rows and contiguous, to a total; it may spoil the block.
        join: Adds the second total to the first.
    """

    def run(first: int) -> Any:
        total = start()
        for _, block in cut_blocks(values, first, first + TASK):
            add_block(block, total)
        return total

    total = start()
    for part in run_tasks(run, len(values)):
        join(total, part)
    return total


def cut_blocks(values: np.ndarray, first: int, stop: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield rows and a contiguous copy, factors x rows, of block after block; every copy is in the same memory."""
    memory = np.empty(values.shape[1] * BLOCK)
    for begin in range(first, min(stop, len(values)), BLOCK):
        rows = slice(begin, min(begin + BLOCK, len(values)))
        part = values[rows].T
        block = memory[: part.size].reshape(part.shape)
        np.copyto(block, part)
        yield rows, block


def run_tasks(run: Callable[[int], Any], rows: int) -> list[Any]:
    """Run a function of the first row of each task, on two threads where there is more than one."""
    firsts = range(0, rows, TASK)
    if len(firsts) <= 1:
        return [run(first) for first in firsts]

    def run_quietly(first: int) -> Any:
        with np.errstate(all="ignore"):  # its setting holds in its own thread only
            return run(first)

    with _one_blas_thread(), ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run_quietly, firsts))


def read_values(X: pd.DataFrame) -> np.ndarray:
    """Return the numbers of a frame as floats, without a copy where they are floats in one piece.

    Args:
        X: Partners x factors, numbers of any kind; missing where unknown.

    Raises:
        ValueError: X is no frame, a factor stands there twice, or a value is not a number.
    """
    if not isinstance(X, pd.DataFrame):
        raise ValueError(f"X is a {type(X).__name__}, must be a frame, partners x factors")
    if not X.columns.is_unique:
        raise ValueError(f"X has two factors {X.columns[X.columns.duplicated()][0]}; keep one of them")
    odd = [name for name, dtype in X.dtypes.items() if dtype.kind not in "biuf"]
    if odd:
        X = X.copy(deep=False)
        for name in odd:
            X[name] = _read_column(name, X[name])
    return X.to_numpy(dtype=float)


def _read_column(name: Any, column: pd.Series) -> pd.Series:
    if column.dtype != object or pd.api.types.infer_dtype(column) not in _NUMBERS:
        text = [(label, value) for label, value in column.items() if isinstance(value, str)]
        told = f"{text[0][1]!r} for {text[0][0]}" if text else str(column.dtype)
        raise ValueError(f"{name} is {told}, must be a number or missing")
    return column.where(column.notna(), np.nan).astype(float)


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


def _find_scale(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rough center and scale of each factor, from rows evenly spaced."""
    step = max(1, len(values) // SAMPLE)
    some = values[::step]
    there = np.isfinite(some)
    count = np.maximum(there.sum(axis=0), 1)
    center = np.where(there, some, 0.0).sum(axis=0) / count
    scale = np.abs(np.where(there, some - center, 0.0)).max(axis=0, initial=0.0)
    return center, np.where(scale > 0, scale, 1.0)


def _correlate(one: np.ndarray, other: np.ndarray) -> float:
    both = ~(np.isnan(one) | np.isnan(other))
    one, other = one[both], other[both]
    if len(one) < MIN_SHARED or one.min() == one.max() or other.min() == other.max():
        return np.nan
    one, other = one - one.mean(), other - other.mean()
    one, other = one / np.abs(one).max(), other / np.abs(other).max()
    return float(np.clip(one @ other / np.sqrt((one @ one) * (other @ other)), -1, 1))
