"""From feature values to points between 0 and 100, with everything frozen that the scales need."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from partnerseg.features.assessments import EVIDENCE, PREFIX
from partnerseg.rating.factors import Factor, check_table, read_numbers

# `auto` takes logarithms when the upper half of the range is this many times as long as the lower half.
TAIL = 3.0
# Standard deviations from the mean that are worth 0 and 100 points under `z`.
DEVIATIONS = 3.0
# Values of the frozen distribution under `rank`, at most.
KNOTS = 200
# COINr's limits, as used by the ASEM index.
SKEW, KURTOSIS, MAX_SHARE = 2.0, 3.5, 0.1


@dataclass(frozen=True)
class Scale:
    """How one feature of a factor becomes points, 0 at its worst bound to 100 at its best.

    Attributes:
        factor: The factor.
        feature: The feature column.
        direction: `up` (more is better), `down`, or `target` (the nearer to `best` the better).
        worst: Value worth 0 points, in the feature's unit (the lower one for `target`); NaN leaves the feature out.
        best: Value worth 100 points.
        unit: Values are scaled as log(1 + value / unit); NaN for every other normalization than `log`.
        source: Where the bounds come from: `stated`, `data`, or none because the feature is `constant` or
            there is `no data`.
        whole: True when only whole numbers were seen.
        normalization: `min_max` (linear), `log`, `z`, `rank` or `target`: what `auto` decided on, never `auto`.
        high: Upper value worth 0 points, direction `target` only, else NaN.
        values: Under `rank`, the frozen distribution: at most 200 values, rising.
        shares: Under `rank`, the share of the other partners below each of these values, 0-1.
    """

    factor: str
    feature: str
    direction: str
    worst: float
    best: float
    unit: float
    source: str
    whole: bool
    normalization: str = "min_max"
    high: float = np.nan
    values: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()

    @property
    def is_known(self) -> bool:
        """True when the scale has bounds."""
        return not np.isnan(self.worst)

    def to_points(self, values: np.ndarray) -> np.ndarray:
        """Scale values to points between 0 and 100; beyond the bounds they are clipped, NaN stays NaN.

        Examples:
            >>> scale = Scale("volume", "sales", "up", 0.0, 10.0, np.nan, "stated", False)
            >>> scale.to_points(np.array([0.0, 5.0, 20.0, np.nan])).tolist()
            [0.0, 50.0, 100.0, nan]
        """
        if self.normalization == "target":
            rise, fall = (
                (values - self.worst) / (self.best - self.worst),
                (self.high - values) / (self.high - self.best),
            )
            return np.clip(np.minimum(rise, fall), 0, 1) * 100
        if self.normalization == "rank":
            shares = np.interp(values, self.values, self.shares)
            return (shares if self.direction == "up" else 1 - shares) * 100
        values = np.clip(values, min(self.worst, self.best), max(self.worst, self.best))
        if np.isnan(self.unit):
            return (values - self.worst) / (self.best - self.worst) * 100
        worst, best = np.log1p(self.worst / self.unit), np.log1p(self.best / self.unit)
        return (np.log1p(values / self.unit) - worst) / (best - worst) * 100


class _Sample(NamedTuple):
    """The known values of a feature (at least one) and what bounds it: `low < high`."""

    values: np.ndarray
    low: float
    high: float
    stated: bool


def _scale_min_max(sample: _Sample) -> dict[str, Any]:
    return {"low": sample.low, "high": sample.high, "normalization": "min_max"}


def _scale_log(sample: _Sample) -> dict[str, Any]:
    least = min(sample.low, sample.values.min(initial=sample.low))
    if least < 0:
        raise ValueError(f"goes down to {least:g}, must be >= 0 for normalization log; use auto, min_max or z")
    positive = sample.values[sample.values > 0]
    if not len(positive):
        return _scale_min_max(sample)
    return _scale_min_max(sample) | {"unit": float(np.median(positive)), "normalization": "log"}


def _scale_auto(sample: _Sample) -> dict[str, Any]:
    if sample.stated or sample.values.min() < 0:
        return _scale_min_max(sample)
    middle = np.median(sample.values)
    # A little over, so that the same values in another unit are judged alike.
    long = sample.high - middle > TAIL * (middle - sample.low) * (1 + 1e-9)
    return _scale_log(sample) if long else _scale_min_max(sample)


def _scale_z(sample: _Sample) -> dict[str, Any]:
    mean, deviation = sample.values.mean(), sample.values.std(ddof=1)
    return {"low": mean - DEVIATIONS * deviation, "high": mean + DEVIATIONS * deviation, "normalization": "z"}


def _scale_rank(sample: _Sample) -> dict[str, Any]:
    ordered = np.sort(sample.values)
    values = np.unique(ordered)
    if len(values) > KNOTS:
        values = np.unique(np.quantile(ordered, np.linspace(0, 1, KNOTS), method="inverted_cdf"))
    below = np.searchsorted(ordered, values, side="left")
    same = np.searchsorted(ordered, values, side="right") - below
    shares = (below + (same - 1) / 2) / (len(ordered) - 1)
    knots = {"values": tuple(values.tolist()), "shares": tuple(shares.tolist())}
    return {"low": values[0], "high": values[-1], "normalization": "rank", **knots}


# How values become points. All are monotone in the factor's direction and the same in euros and in cents.
#   auto     log where bounds come from the data and the tail is long, else min_max
#   min_max  linear between the bounds
#   log      log(1 + value / median positive value) between the bounds; values must be >= 0
#   z        50 points at the mean, 0 and 100 at 3 standard deviations below and above
#   rank     share of the other partners below, those with the same value counting half
NORMALIZATIONS: dict[str, Callable[[_Sample], dict[str, Any]]] = {
    "auto": _scale_auto,
    "min_max": _scale_min_max,
    "log": _scale_log,
    "z": _scale_z,
    "rank": _scale_rank,
}
# These have no use for stated bounds.
_WITHOUT_BOUNDS = ("z", "rank")
OUTLIERS = ("none", "winsorize")


def fit_scales(
    features: pd.DataFrame,
    factors: Iterable[Factor],
    *,
    bounds_quantiles: tuple[float, float] = (0.05, 0.95),
    outliers: str = "none",
    normalization: str | None = None,
) -> tuple[Scale, ...]:
    """Freeze how each feature becomes points.

    Stated bounds are used as they are. Bounds from the data are the two quantiles of the known values (the
    least and largest value where both quantiles coincide), or with `outliers="winsorize"` the least and largest
    value left by `winsorize`, from which mean and standard deviation are taken then too. The factor's
    normalization says how points lie between the bounds; `auto` is linear between stated bounds, and between
    bounds from the data logarithmic, with the median positive value as the unit, when the feature is never
    negative and the upper half of its range is over three times as long as the lower half: money and counts
    have such tails. All this is the same in euros and in cents. A feature with direction `target` is always
    linear on both sides of its target.

    Args:
        features: One row a partner.
        factors: From `read_factors`.
        bounds_quantiles: Lower and upper quantile.
        outliers: `none` or `winsorize`.
        normalization: Use this one for all factors, and leave stated bounds aside where it has no use for
            them; None takes each factor's own.

    Returns:
        One `Scale` a factor and feature; as a table: `pd.DataFrame(scales)`.

    Raises:
        ValueError: As `read_numbers`; or a normalization does not exist, has no use for the bounds stated or for
            direction `target`, or is `log` for a feature with negative values; or `outliers` does not exist.

    References:
        OECD and JRC (2008), Handbook on Constructing Composite Indicators, OECD Publishing, step 5.

    Examples:
        >>> from partnerseg.rating.factors import read_factors
        >>> factors = read_factors([{"factor": "volume", "features": ["sales"]}])
        >>> scale, = fit_scales(pd.DataFrame({"sales": [0.0, 5, 10]}), factors, bounds_quantiles=(0, 1))
        >>> scale.worst, scale.best, scale.source, scale.normalization
        (0.0, 10.0, 'data', 'min_max')
    """
    if outliers not in OUTLIERS:
        raise ValueError(f"rating.outliers == {outliers!r}; possible values are: {', '.join(OUTLIERS)}")
    scales = []
    for place, factor in enumerate(factors):
        key = f"rating.factors[{place}] ({factor.factor})"
        how = normalization or factor.normalization
        if how not in NORMALIZATIONS:
            raise ValueError(f"{key}.normalization == {how!r}; possible values are: {', '.join(NORMALIZATIONS)}")
        numbers = read_numbers(features, factor.features)
        for feature, direction, stated in zip(factor.features, factor.direction, factor.bounds, strict=True):
            if normalization is None:
                _check_normalization(key, feature, how, direction, stated)
            bounds = () if how in _WITHOUT_BOUNDS and direction != "target" else stated
            found = numbers[feature]
            values = found[~np.isnan(found)]
            try:
                frozen = _freeze(values, direction, bounds, how, bounds_quantiles, outliers)
            except ValueError as error:
                raise ValueError(f"{key}: feature {feature} {error}") from error
            whole = bool(len(values) and (values == np.round(values)).all())
            scales.append(Scale(factor.factor, feature, direction, whole=whole, **frozen))
    return tuple(scales)


def _check_normalization(key: str, feature: str, how: str, direction: str, bounds: tuple[float, ...]) -> None:
    if direction == "target" and how not in ("auto", "min_max"):
        raise ValueError(f"{key}.normalization == {how!r}, must be auto or min_max: direction of {feature} is target")
    if bounds and how in _WITHOUT_BOUNDS:
        raise ValueError(
            f"{key}.bounds == {list(bounds)} for {feature}, must be []: normalization {how} takes none; "
            "or use min_max or log"
        )


def _freeze(
    values: np.ndarray,
    direction: str,
    bounds: tuple[float, ...],
    how: str,
    bounds_quantiles: tuple[float, float],
    outliers: str,
) -> dict[str, Any]:
    """Fields of a `Scale` but its names."""
    if direction == "target":
        low, target, high = bounds
        ends = {"worst": low, "best": target, "high": high}
        return {**ends, "unit": np.nan, "source": "stated", "normalization": "target"}
    unknown = {"worst": np.nan, "best": np.nan, "unit": np.nan}
    if bounds:
        sample = _Sample(values, min(bounds), max(bounds), True)
    elif not len(values):
        return {**unknown, "source": "no data"}
    elif values.min() == values.max():
        return {**unknown, "source": "constant"}
    else:
        sample = _bound(values, bounds_quantiles, outliers)
    fields = NORMALIZATIONS[how](sample)
    low, high = float(fields.pop("low")), float(fields.pop("high"))
    worst, best = (low, high) if direction == "up" else (high, low)
    return {"worst": worst, "best": best, "unit": np.nan, "source": "stated" if bounds else "data", **fields}


def _bound(values: np.ndarray, bounds_quantiles: tuple[float, float], outliers: str) -> _Sample:
    if outliers == "winsorize":
        values = _treat(values, SKEW, KURTOSIS, MAX_SHARE).values
        return _Sample(values, values.min(), values.max(), False)
    low, high = np.quantile(values, bounds_quantiles)
    if low == high:
        low, high = values.min(), values.max()
    return _Sample(values, low, high, False)


def score_factors(features: pd.DataFrame, scales: Iterable[Scale], shares: np.ndarray | None = None) -> pd.DataFrame:
    """Score every partner on every factor with frozen scales.

    A row depends on nothing but itself: any subset of partners gets the same numbers to the last bit.

    Args:
        features: One row a partner.
        scales: From `fit_scales`.
        shares: How much each feature counts in the mean, from `weigh_evidence`; None: those known count alike.

    Returns:
        Partners x factors, 0 (worst) to 100 (best): the mean of the factor's known features, missing
        where none is known or none counts.

    Raises:
        ValueError: As `read_numbers`.

    Examples:
        >>> from partnerseg.rating.factors import read_factors
        >>> partners = pd.DataFrame({"sales": [0.0, 10], "growth": [1.0, None]}, index=["a", "b"])
        >>> factors = read_factors([{"factor": "sales", "features": ["sales", "growth"], "bounds": [[0, 10], [0, 2]]}])
        >>> score_factors(partners, fit_scales(partners, factors))["sales"].to_dict()
        {'a': 25.0, 'b': 100.0}
    """
    scales = tuple(scales)
    numbers = read_numbers(features, dict.fromkeys(scale.feature for scale in scales))
    names = list(dict.fromkeys(scale.factor for scale in scales))
    return pd.DataFrame(score_numbers(numbers, scales, shares), index=features.index, columns=names)


def score_numbers(
    numbers: Mapping[str, np.ndarray], scales: Sequence[Scale], shares: np.ndarray | None = None
) -> np.ndarray:
    """Score as `score_factors`, from arrays.

    Args:
        numbers: An array of n values for each feature, from `read_numbers`.
        scales: From `fit_scales`.
        shares: From `weigh_evidence`, n x scales, or one row for all.

    Returns:
        n x factors, factors in the order of the scales.

    Examples:
        >>> scale = Scale("volume", "sales", "up", 0.0, 10.0, np.nan, "stated", False)
        >>> score_numbers({"sales": np.array([5.0, np.nan])}, [scale]).tolist()
        [[50.0], [nan]]
    """
    places = {name: place for place, name in enumerate(dict.fromkeys(scale.factor for scale in scales))}
    n = len(numbers[scales[0].feature]) if scales else 0
    total, count = np.zeros((len(places), n)), np.zeros((len(places), n))
    for place, scale in enumerate(scales):
        if scale.is_known:
            points = scale.to_points(numbers[scale.feature])
            share = 1.0 if shares is None else shares[:, place]
            total[places[scale.factor]] += np.where(np.isnan(points), 0.0, share * points)
            count[places[scale.factor]] += np.where(np.isnan(points), 0.0, share)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0).T


def weigh_evidence(features: pd.DataFrame, scales: Iterable[Scale], stated: Mapping[Any, float]) -> np.ndarray | None:
    """Tell how much each partner's evidence counts, beside what the grade of the factor states.

    How much those who assessed `assessed_<factor>` count stands in the column `evidence_<factor>`: 1 is a system record
    of today, less are other assessors and older scores. It is divided by what the grade states, never above 1; features
    that are no assessments, or of whose evidence nothing is told, count 1.

    Args:
        features: One row a partner; columns `evidence_<factor>` may be there or not.
        scales: From `fit_scales`.
        stated: How much the grade of each factor counts, at least 0.

    Returns:
        Partners x scales, 0 to 1; 0 where the feature is unknown or left out. None where no column tells of evidence.

    Raises:
        ValueError: As `read_numbers`; or evidence is not between 0 and 1.

    Examples:
        >>> scale = Scale("teamwork", "assessed_teamwork", "up", 0.0, 100.0, np.nan, "stated", False)
        >>> partners = pd.DataFrame({"assessed_teamwork": [60.0, 60], "evidence_teamwork": [0.7, 0.4]})
        >>> weigh_evidence(partners, [scale], {"teamwork": 0.7}).round(2).tolist()
        [[1.0], [0.57]]
    """
    check_table(features)
    scales = tuple(scales)
    assessed = [scale.feature for scale in scales if scale.is_known and scale.feature.startswith(PREFIX)]
    told = {feature: EVIDENCE + feature.removeprefix(PREFIX) for feature in assessed}
    told = {feature: column for feature, column in told.items() if column in features.columns}
    if not told:
        return None
    numbers = read_numbers(features, dict.fromkeys([*(scale.feature for scale in scales), *told.values()]))
    for column in told.values():
        # Counts that were multiplied may exceed 1 by rounding.
        beyond = (numbers[column] < 0) | (numbers[column] > 1 + 1e-9)
        if beyond.any():
            raise ValueError(
                f"features[{column!r}] == {numbers[column][beyond][0]} for partner {features.index[beyond][0]!r}, "
                "must be between 0 and 1, or missing"
            )
    shares = np.zeros((len(features), len(scales)))
    for place, scale in enumerate(scales):
        share = np.ones(len(features))
        if scale.feature in told and stated[scale.factor] > 0:
            share = np.fmin(numbers[told[scale.feature]] / stated[scale.factor], 1.0)
        shares[:, place] = np.where(np.isnan(numbers[scale.feature]) | (not scale.is_known), 0.0, share)
    return shares


def find_best_evidence(shares: np.ndarray, scales: Iterable[Scale]) -> np.ndarray:
    """Tell how much of each factor's weight a partner's evidence is worth: as much as the best of its features.

    Args:
        shares: From `weigh_evidence`, partners x scales.
        scales: From `fit_scales`.

    Returns:
        Partners x factors, 0 to 1; 0 where the factor is unknown.
    """
    factors = [scale.factor for scale in scales]
    names = list(dict.fromkeys(factors))
    return np.stack([shares[:, [factor == name for factor in factors]].max(axis=1) for name in names], axis=1)


def spread_errors(
    features: pd.DataFrame, errors: pd.DataFrame, scales: Iterable[Scale], shares: np.ndarray | None = None
) -> pd.DataFrame:
    """Turn standard errors of features into standard deviations in points of factors.

    A feature's deviation is the root mean square of what one standard error up and one down move its points,
    so an error beyond a bound counts as little as the bound makes of it. Errors of the features of a factor
    are taken as independent, the factor being the mean of those known.

    Args:
        features: One row a partner.
        errors: Standard errors in the features' units, at least 0; columns that are no feature of a scale are
            passed over; missing, absent rows and columns mean that no error is known and count as 0.
        scales: From `fit_scales`.
        shares: How much each feature counts, from `weigh_evidence`; None: those known count alike.

    Returns:
        Partners x factors, points, at least 0; 0 where the factor is unknown.

    Raises:
        ValueError: As `read_numbers`, for both tables; or an error is negative.

    Examples:
        >>> from partnerseg.rating.factors import read_factors
        >>> partners = pd.DataFrame({"sales": [5.0, 10], "growth": [1.0, None]}, index=["a", "b"])
        >>> factors = read_factors([{"factor": "sales", "features": ["sales", "growth"], "bounds": [[0, 10], [0, 2]]}])
        >>> errors = pd.DataFrame({"sales": [1.0, 1.0]}, index=["a", "b"])
        >>> spread_errors(partners, errors, fit_scales(partners, factors))["sales"].round(2).to_dict()
        {'a': 5.0, 'b': 7.07}
    """
    scales = [scale for scale in scales]
    names = list(dict.fromkeys(scale.factor for scale in scales))
    wanted = list(dict.fromkeys(scale.feature for scale in scales))
    numbers = read_numbers(features, wanted)
    check_table(errors, "errors")
    given = read_numbers(errors, [name for name in wanted if name in errors.columns], name="errors")
    variance = {name: np.zeros(len(features)) for name in names}
    count = {name: np.zeros(len(features)) for name in names}
    for place, scale in enumerate(scales):
        if not scale.is_known:
            continue
        share = 1.0 if shares is None else shares[:, place]
        values = numbers[scale.feature]
        points = scale.to_points(values)
        known = ~np.isnan(points)
        count[scale.factor] += np.where(known, share, 0.0)
        if scale.feature not in given:
            continue
        error = pd.Series(given[scale.feature], index=errors.index).reindex(features.index).fillna(0.0).to_numpy()
        if (error < 0).any():
            label = features.index[error < 0][0]
            raise ValueError(f"errors[{scale.feature!r}] == {error.min()} for partner {label!r}, must be >= 0")
        moves = (scale.to_points(values + error) - points) ** 2 + (scale.to_points(values - error) - points) ** 2
        variance[scale.factor] += np.where(known, share**2 * moves / 2, 0.0)
    return pd.DataFrame(
        {name: np.sqrt(variance[name]) / np.where(count[name] > 0, count[name], 1.0) for name in names},
        index=features.index,
        columns=names,
    )


class Winsorized(NamedTuple):
    """A table without outliers and what was done.

    Attributes:
        values: As the table given, the points farthest out moved in.
        summary: One row a column: `low`, `high` (points moved at each end), `skew`, `kurtosis` (afterwards) and
            `passed` (False where moving as many as allowed was not enough: nothing was moved there then).
    """

    values: pd.DataFrame
    summary: pd.DataFrame


def winsorize(
    X: pd.DataFrame, skew: float = SKEW, kurtosis: float = KURTOSIS, *, max_share: float = MAX_SHARE
) -> Winsorized:
    """Move the farthest points in, one after the other, until a column has no long tail.

    While a column's absolute skewness is above `skew` and its excess kurtosis above `kurtosis`, its largest value
    (its least, when the skewness is negative) is replaced by the next one; equal values move together and count
    as one. A column that needs more than `max_share` of its known values moved stays as it was; take its
    logarithm then.

    Args:
        X: Columns of numbers; missing values stay missing.
        skew: Limit of the skewness (without bias).
        kurtosis: Limit of the excess kurtosis (without bias).
        max_share: Share of known values that may be moved, rounded up to whole points.

    Returns:
        Values and summary.

    Raises:
        ValueError: A column holds text or an infinite number, or `max_share` is not between 0 and 1.

    References:
        Becker, W. et al. (2022), COINr: An R package for developing composite indicators, Journal of Open
        Source Software 7(78), 4567.

    Examples:
        >>> treated = winsorize(pd.DataFrame({"sales": [1.0, 2, 3, 4, 5, 6, 7, 8, 9, 100]}))
        >>> treated.values["sales"].tolist()[-3:], int(treated.summary.loc["sales", "high"])
        ([8.0, 9.0, 9.0], 1)
    """
    if not 0 <= max_share <= 1:
        raise ValueError(f"max_share == {max_share}, must be between 0 and 1")
    numbers = read_numbers(X, X.columns)
    rows = {}
    for name, values in numbers.items():
        known = ~np.isnan(values)
        treated = _treat(values[known], skew, kurtosis, max_share)
        values[known] = treated.values
        rows[name] = treated._replace(values=None)._asdict()
    summary = pd.DataFrame.from_dict(rows, orient="index").drop(columns="values")
    return Winsorized(pd.DataFrame(numbers, index=X.index), summary)


class _Treated(NamedTuple):
    values: Any
    low: int
    high: int
    skew: float
    kurtosis: float
    passed: bool


def _treat(values: np.ndarray, skew: float, kurtosis: float, max_share: float) -> _Treated:
    n = len(values)
    distinct, counts = np.unique(values, return_counts=True)
    if n < 4 or len(distinct) < 2:
        return _Treated(values, 0, 0, np.nan, np.nan, True)
    tails = _Tails(distinct, counts)
    low, high = 0, len(distinct) - 1
    start = tails.measure(low, high)
    found = start
    moved = 0
    while abs(found[0]) > skew and found[1] > kurtosis:
        at_middle = tails.middle == (high if found[0] > 0 else low)
        if moved >= np.ceil(round(max_share * n, 9)) or high - low < 2 or at_middle:
            return _Treated(values, 0, 0, *start, False)
        if found[0] > 0:
            high -= 1
        else:
            low += 1
        moved += 1
        found = tails.measure(low, high)
    return _Treated(np.clip(values, distinct[low], distinct[high]), low, len(distinct) - 1 - high, *found, True)


class _Tails:
    """Skewness and excess kurtosis of values clipped at two of them, each in constant time."""

    def __init__(self, distinct: np.ndarray, counts: np.ndarray) -> None:
        # Sums of powers around the median, collected from there outward: no large tail is ever subtracted again.
        total = counts.cumsum()
        self.n = int(total[-1])
        self.middle = int(np.searchsorted(total, self.n / 2))
        centered = distinct - distinct[self.middle]
        self.centered = centered / np.abs(centered).max()
        self.below, self.above = total - counts, self.n - total
        powers = self.centered ** np.arange(1, 5)[:, None] * counts
        self.up = np.zeros_like(powers)
        self.up[:, self.middle :] = powers[:, self.middle :].cumsum(axis=1)
        self.down = np.zeros_like(powers)
        self.down[:, : self.middle + 1] = powers[:, self.middle :: -1].cumsum(axis=1)[:, ::-1]

    def measure(self, low: int, high: int) -> tuple[float, float]:
        """Clip at these places among the distinct values, `low <= middle <= high`."""
        n = self.n
        inside = self.down[:, low] + self.up[:, high]
        ends = self.below[low] * self._power(low) + self.above[high] * self._power(high)
        one, two, three, four = ((inside + ends) / n).tolist()
        variance = two - one**2
        third = three - 3 * one * two + 2 * one**3
        fourth = four - 4 * one * three + 6 * one**2 * two - 3 * one**4
        skew = third / variance**1.5 * np.sqrt(n * (n - 1)) / (n - 2)
        kurtosis = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (fourth / variance**2 - 3) + 6)
        return float(skew), float(kurtosis)

    def _power(self, place: int) -> np.ndarray:
        return self.centered[place] ** np.arange(1, 5)
