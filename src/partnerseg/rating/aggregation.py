"""How the points of factors become one score: arithmetic, geometric, with a penalty for imbalance, TOPSIS."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd

from partnerseg.rating.moments import BLOCK, TASK, cut_blocks, fold_blocks, read_values, run_tasks

BEST = 100.0
# Mazziotta and Pareto's mean is monotone on a scale whose lower end is at least twice its width, see `penalty`.
PENALTY_START = 2 * BEST


def arithmetic(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Take the weighted mean: a lack in one factor is made up for by any other.

    Args:
        points: Partners x factors, 0 (worst) to 100 (best); missing where unknown.
        weights: One weight a factor, or partners x factors; at least 0. The weight of unknown factors is shared
            among the known in proportion.

    Returns:
        Scores 0-100; missing where no factor that weighs anything is known. A row depends on nothing but itself, to
        the last bit.

    Examples:
        >>> arithmetic(np.array([[100.0, 0], [40, np.nan]]), np.array([0.25, 0.75])).tolist()
        [25.0, 40.0]
    """
    known, total = _zeros(points, 2)
    for column, weight, there in _columns(points, weights):
        known += np.where(there, weight, 0.0)
        total += np.where(there, weight * column, 0.0)
    return np.clip(_divide(total, known), 0, BEST)


def geometric(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Take the weighted geometric mean: the lower a factor, the harder it is to make up for.

    A factor at 0 would take the score to 0 whatever the others are, so points are moved from 0-100 to 1-100 first
    and the mean is moved back: a factor at 0 costs much but not everything, every point still counts, and equal
    points give those points.

    Args:
        points: As for `arithmetic`.
        weights: As for `arithmetic`.

    Returns:
        Scores 0-100, at most the arithmetic mean; missing as for `arithmetic`.

    References:
        OECD and JRC (2008), Handbook on Constructing Composite Indicators, OECD Publishing, step 7.

    Examples:
        >>> geometric(np.array([[100.0, 0], [40, 40]]), np.array([0.5, 0.5])).round(2).tolist()
        [9.09, 40.0]
    """
    known, total = _zeros(points, 2)
    step = (BEST - 1) / BEST
    for column, weight, there in _columns(points, weights):
        known += np.where(there, weight, 0.0)
        total += np.where(there, weight * np.log1p(step * column), 0.0)
    return np.clip(np.expm1(_divide(total, known)) / step, 0, BEST)


def penalty(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Take the weighted mean and subtract for imbalance (Mazziotta and Pareto).

    The penalty is the variance of the points over their mean, on the scale 200-300 instead of 0-100: on this scale,
    and on none that starts lower, raising a factor never lowers the score. The most it takes is about 10 points,
    from a partner with half the weight at 0 and half at 100.

    Args:
        points: As for `arithmetic`.
        weights: As for `arithmetic`.

    Returns:
        Scores 0-100, at most the arithmetic mean and equal to it where all points are the same; missing as for
        `arithmetic`.

    References:
        Mazziotta, M., Pareto, A. (2016), On a generalized non-compensatory composite index for measuring
        socio-economic phenomena, Social Indicators Research 127(3), 983-1003.

    Examples:
        >>> penalty(np.array([[100.0, 0], [50, 50]]), np.array([0.5, 0.5])).tolist()
        [40.0, 50.0]
    """
    mean = arithmetic(points, weights)
    known, total = _zeros(points, 2)
    for column, weight, there in _columns(points, weights):
        known += np.where(there, weight, 0.0)
        total += np.where(there, weight * (column - mean) ** 2, 0.0)
    return np.clip(mean - _divide(total, known) / (PENALTY_START + mean), 0, BEST)


def topsis(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compare the distance to the worst partner possible with the distance to the best (TOPSIS, fixed ideals).

    The ideals are 100 and 0 points in every factor, not the best and worst of the partners at hand, so that no
    partner's score depends on another (see `topsis_of` for the textbook's).

    Args:
        points: As for `arithmetic`.
        weights: As for `arithmetic`; they multiply the points before the distance, so large ones count more than
            in a mean.

    Returns:
        Scores 0-100: 100 times the distance to 0 over the sum of both distances; missing as for `arithmetic`.

    References:
        Hwang, C.-L., Yoon, K. (1981), Multiple Attribute Decision Making, Springer, chapter 3.

    Examples:
        >>> topsis(np.array([[100.0, 0], [40, 40]]), np.array([0.75, 0.25])).tolist()
        [75.0, 40.0]
    """
    to_best, to_worst = _zeros(points, 2)
    for column, weight, there in _columns(points, weights):
        to_best += np.where(there, (weight * (BEST - column)) ** 2, 0.0)
        to_worst += np.where(there, (weight * column) ** 2, 0.0)
    far, near = np.sqrt(to_worst), np.sqrt(to_best)
    return np.clip(BEST * _divide(far, far + near), 0, BEST)


def topsis_of(X: pd.DataFrame, weights: Mapping[str, float] | pd.Series) -> pd.Series:
    """Compare partners with the best and the worst among themselves (TOPSIS as in the textbook).

    Every factor is divided by the root of its sum of squares and multiplied by its weight; the ideals are the largest
    and the least value of each factor. So a partner's figure depends on who else is there: a rating uses `topsis`.

    Args:
        X: Partners x factors, more is better (give costs as negative numbers); missing where unknown: such a
            factor is left out of both distances of the partner.
        weights: A number of at least 0 for each factor; only ratios count.

    Returns:
        Closeness by partner, 0 (the worst in everything) to 1 (the best in everything); missing where no factor that
        varies and weighs anything is known.

    Raises:
        ValueError: A weight is impossible or lacking, a value is infinite, or no weighted factor varies.

    References:
        Hwang, C.-L., Yoon, K. (1981), Multiple Attribute Decision Making, Springer, chapter 3.

    Examples:
        >>> X = pd.DataFrame({"speed": [2.0, 3, 4], "cost": [-5.0, -5, -8]}, index=["a", "b", "c"])
        >>> topsis_of(X, {"speed": 1, "cost": 1}).round(3).to_dict()
        {'a': 0.431, 'b': 0.645, 'c': 0.569}
    """
    values, share = read_values(X), _read_weights(X.columns, weights)
    factors = X.shape[1]

    def add_range(block: np.ndarray, total: np.ndarray) -> None:
        low, high = block.min(axis=1), None
        if np.isnan(low).any():
            there = ~np.isnan(block)
            low, high = np.where(there, block, np.inf).min(axis=1), np.where(there, block, -np.inf).max(axis=1)
            block[~there] = 0.0
        np.minimum(total[0], low, out=total[0])
        np.maximum(total[1], block.max(axis=1) if high is None else high, out=total[1])
        block *= block
        total[2] += block.sum(axis=1)

    def join(total: np.ndarray, part: np.ndarray) -> None:
        np.minimum(total[0], part[0], out=total[0])
        np.maximum(total[1], part[1], out=total[1])
        total[2] += part[2]

    empty = np.zeros((3, factors))
    empty[0], empty[1] = np.inf, -np.inf
    low, high, squares = fold_blocks(values, empty.copy, add_range, join)
    for name, least, most in zip(X.columns, low, high, strict=True):
        if least <= most and np.inf in (most, -least):
            raise ValueError(f"factor {name} has an infinite value, must be finite or missing")
    used = (high > low) & (share > 0)
    if not used.any():
        raise ValueError(f"no factor with a weight varies among the {len(X)} partners: there is nothing to compare")
    size = np.zeros(factors)
    size[used] = share[used] / np.sqrt(squares[used])
    # A factor that nobody is known on has no ideals, and counts for nothing.
    low, high = np.where(used, low, 0.0), np.where(used, high, 0.0)
    closeness = np.empty(len(X))

    def compare(first: int) -> None:
        memory = np.empty(factors * BLOCK)
        for rows, block in cut_blocks(values, first, first + TASK):
            gaps = memory[: block.size].reshape(block.shape)
            distances = []
            for ideal in (low, high):
                np.subtract(block, ideal[:, None], out=gaps)
                gaps *= size[:, None]
                gaps *= gaps
                square = gaps.sum(axis=0)
                distances.append(np.sqrt(np.nansum(gaps, axis=0) if np.isnan(square).any() else square))
            far, near = distances
            whole = far + near
            closeness[rows] = np.divide(far, whole, out=np.full(len(far), np.nan), where=whole > 0)

    run_tasks(compare, len(X))
    return pd.Series(closeness, index=X.index, name="closeness")


# How a rating makes one score of a partner's points.
AGGREGATIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "arithmetic": arithmetic,
    "geometric": geometric,
    "penalty": penalty,
    "topsis": topsis,
}


def _columns(points: np.ndarray, weights: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield points, weight and where known, factor by factor: sums in a fixed order, whatever the number of rows."""
    for place in range(points.shape[1]):
        column = np.ascontiguousarray(points[:, place], dtype=float)
        weight = np.ascontiguousarray(weights[..., place], dtype=float)
        yield column, weight, ~np.isnan(column)


def _zeros(points: np.ndarray, count: int) -> list[np.ndarray]:
    return [np.zeros(len(points)) for _ in range(count)]


def _divide(total: np.ndarray, known: np.ndarray) -> np.ndarray:
    return np.divide(total, known, out=np.full(len(total), np.nan), where=known > 0)


def _read_weights(names: pd.Index, weights: Mapping[str, float] | pd.Series) -> np.ndarray:
    given = dict(weights.items())
    for name in names:
        if name not in given:
            raise ValueError(f"weights lack factor {name}; give one, 0 if it should not count")
        if not (np.isfinite(given[name]) and given[name] >= 0):
            raise ValueError(f"weight of {name} == {given[name]}, must be a number >= 0")
    share = np.array([given[name] for name in names], dtype=float)
    return share / share.sum() if share.sum() > 0 else share
