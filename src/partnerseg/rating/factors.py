"""Factors of a rating: from feature columns to scores between 0 and 100 with frozen bounds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

EVIDENCE = {"system": 1.0, "audit": 0.9, "manager": 0.7, "self": 0.4}
DIRECTIONS = ("up", "down")
TAIL = 3.0


@dataclass(frozen=True)
class Factor:
    """One factor of a rating, a row of `rating.factors` in `params/programme.yaml`.

    Attributes:
        factor: Name of the factor.
        features: Feature columns; the factor is the mean of those that are known.
        pillar: Group of factors it belongs to, for reading only.
        direction: `up` (more is better) or `down` for each feature.
        bounds: For each feature `(worst, best)` in its unit, or `()` to take them from the data.
        weight: Stated weight, at least 0; only the ratio to the other weights counts.
        grade: Kind of evidence: `system`, `audit`, `manager` or `self`.
    """

    factor: str
    features: tuple[str, ...]
    pillar: str = ""
    direction: tuple[str, ...] = ()
    bounds: tuple[tuple[float, ...], ...] = ()
    weight: float = 1.0
    grade: str = "system"


@dataclass(frozen=True)
class Scale:
    """How one feature of a factor becomes points, 0 at its worst bound to 100 at its best.

    Attributes:
        factor: The factor.
        feature: The feature column.
        direction: `up` (more is better) or `down`.
        worst: Value worth 0 points, in the feature's unit; NaN leaves the feature out.
        best: Value worth 100 points.
        unit: Values are scaled as log(1 + value / unit); NaN means a linear scale.
        source: Where the bounds come from: `stated`, `data`, or none because the feature is `constant` or
            there is `no data`.
        whole: True when only whole numbers were seen.
    """

    factor: str
    feature: str
    direction: str
    worst: float
    best: float
    unit: float
    source: str
    whole: bool

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
        values = np.clip(values, min(self.worst, self.best), max(self.worst, self.best))
        if np.isnan(self.unit):
            return (values - self.worst) / (self.best - self.worst) * 100
        worst, best = np.log1p(self.worst / self.unit), np.log1p(self.best / self.unit)
        return (np.log1p(values / self.unit) - worst) / (best - worst) * 100

    def from_points(self, points: float) -> float:
        """Return the value worth these points, in the feature's unit.

        Examples:
            >>> Scale("volume", "sales", "up", 0.0, 10.0, np.nan, "stated", False).from_points(50)
            5.0
        """
        if np.isnan(self.unit):
            return float(self.worst + points / 100 * (self.best - self.worst))
        worst, best = np.log1p(self.worst / self.unit), np.log1p(self.best / self.unit)
        return float(self.unit * np.expm1(worst + points / 100 * (best - worst)))


def read_factors(rows: Iterable[Any], *, evidence: Mapping[str, float] = EVIDENCE) -> tuple[Factor, ...]:
    """Check the rows of a factor table.

    Args:
        rows: `params.rating.factors`, or mappings with the same keys. `factor` and `features` are
            required; what is left out means direction up, bounds from the data, weight 1, grade system.
        evidence: Grades that may be used, with how much each counts.

    Returns:
        One `Factor` a row, in the same order.

    Raises:
        ValueError: A row has an unknown key or grade, lists of unequal length, bounds against its
            direction, a negative weight, or a factor that stood there before; or all weights are zero.

    Examples:
        >>> read_factors([{"factor": "quality", "features": ["return_rate"], "direction": ["down"]}])[0].direction
        ('down',)
    """
    factors = [_read_factor(row, f"rating.factors[{place}]", evidence) for place, row in enumerate(rows)]
    names = [factor.factor for factor in factors]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"rating.factors: factor {name!r} stands there twice; give each factor one row")
    if not sum(factor.weight for factor in factors) > 0:
        raise ValueError("rating.factors: no factor has a weight above 0; state one in params/programme.yaml")
    return tuple(factors)


def _read_factor(row: Any, key: str, evidence: Mapping[str, float]) -> Factor:
    row = row.to_dict() if hasattr(row, "to_dict") else dict(row)
    known = [field.name for field in fields(Factor)]
    for name in row:
        if name not in known:
            raise ValueError(f"{key}.{name}: no such key; possible keys are: {', '.join(known)}")
    for name in ("factor", "features"):
        if not row.get(name):
            raise ValueError(f"{key}.{name}: must not be empty; name it in params/programme.yaml")
    count = len(row["features"])
    factor = Factor(
        factor=str(row["factor"]),
        features=tuple(str(feature) for feature in row["features"]),
        pillar=str(row.get("pillar", "")),
        direction=tuple(row.get("direction") or ("up",) * count),
        bounds=tuple(tuple(float(bound) for bound in pair) for pair in (row.get("bounds") or ((),) * count)),
        weight=float(row.get("weight", 1.0)),
        grade=str(row.get("grade", "system")),
    )
    key = f"{key} ({factor.factor})"
    if not len(factor.features) == len(factor.direction) == len(factor.bounds):
        raise ValueError(
            f"{key}: {count} features, {len(factor.direction)} directions, {len(factor.bounds)} bounds; "
            "must be one of each for a feature"
        )
    if len(set(factor.features)) < count:
        raise ValueError(f"{key}.features: a feature stands there twice; name each feature once")
    if not (np.isfinite(factor.weight) and factor.weight >= 0):
        raise ValueError(f"{key}.weight == {factor.weight}, must be >= 0")
    if factor.grade not in evidence:
        raise ValueError(f"{key}.grade == {factor.grade!r}; possible values are: {', '.join(evidence)}")
    for feature, direction, bounds in zip(factor.features, factor.direction, factor.bounds, strict=True):
        if direction not in DIRECTIONS:
            raise ValueError(f"{key}.direction == {direction!r} for {feature}; possible values are: up, down")
        if not bounds:
            continue
        if len(bounds) != 2 or not np.isfinite(bounds).all():
            raise ValueError(f"{key}.bounds == {list(bounds)} for {feature}, must be [] or [worst, best]")
        if bounds[0] == bounds[1] or (bounds[0] < bounds[1]) != (direction == "up"):
            rule = "worst < best" if direction == "up" else "worst > best"
            raise ValueError(f"{key}.bounds == {list(bounds)} for {feature}, must be [worst, best] with {rule}")
    return factor


def read_numbers(features: pd.DataFrame, columns: Iterable[str]) -> dict[str, np.ndarray]:
    """Take feature columns as float arrays with NaN where unknown.

    Args:
        features: One row a partner.
        columns: Columns to take.

    Returns:
        A contiguous float64 array for each column.

    Raises:
        ValueError: A column is absent, holds text or an infinite number, or a row label stands there twice.

    Examples:
        >>> read_numbers(pd.DataFrame({"sales": [1, None]}), ["sales"])["sales"].tolist()
        [1.0, nan]
    """
    if not features.index.is_unique:
        label = features.index[features.index.duplicated()][0]
        raise ValueError(f"features: partner {label!r} has more than one row; must be one row a partner and date")
    numbers = {}
    for column in columns:
        if column not in features.columns:
            near = get_close_matches(column, [str(name) for name in features.columns], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"rating.factors names the feature {column!r}, which is no column of features{hint} "
                "Correct it in params/programme.yaml"
            )
        try:
            values = features[column].to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
        except (TypeError, ValueError) as error:
            raise ValueError(f"features[{column!r}] is {features[column].dtype}, must be numbers") from error
        if np.isinf(values).any():
            label = features.index[np.isinf(values)][0]
            raise ValueError(f"features[{column!r}] is infinite for partner {label!r}, must be finite or missing")
        numbers[column] = np.ascontiguousarray(values)
    return numbers


def fit_scales(
    features: pd.DataFrame, factors: Iterable[Factor], *, bounds_quantiles: tuple[float, float] = (0.05, 0.95)
) -> tuple[Scale, ...]:
    """Freeze how each feature becomes points.

    Stated bounds are used as they are, on a linear scale. Bounds from the data are the two quantiles
    of the known values (the least and largest value where both quantiles coincide). Such a feature is
    put on a logarithmic scale, with its median positive value as the unit, when it is never negative
    and the upper half of its range is over three times as long as the lower half: money and counts have
    such tails. All this is the same in euros and in cents.

    Args:
        features: One row a partner.
        factors: From `read_factors`.
        bounds_quantiles: Lower and upper quantile.

    Returns:
        One `Scale` a factor and feature; as a table: `pd.DataFrame(scales)`.

    Raises:
        ValueError: As `read_numbers`.

    Examples:
        >>> factors = read_factors([{"factor": "volume", "features": ["sales"]}])
        >>> scale, = fit_scales(pd.DataFrame({"sales": [0.0, 5, 10]}), factors, bounds_quantiles=(0, 1))
        >>> scale.worst, scale.best, scale.source
        (0.0, 10.0, 'data')
    """
    scales = []
    for factor in factors:
        numbers = read_numbers(features, factor.features)
        for feature, direction, bounds in zip(factor.features, factor.direction, factor.bounds, strict=True):
            values = numbers[feature][~np.isnan(numbers[feature])]
            worst, best, unit, source = np.nan, np.nan, np.nan, "no data"
            if bounds:
                worst, best, source = bounds[0], bounds[1], "stated"
            elif len(values):
                low, middle, high = np.quantile(values, [bounds_quantiles[0], 0.5, bounds_quantiles[1]])
                if low == high:
                    low, high = values.min(), values.max()
                source = "data" if low < high else "constant"
                if low < high:
                    worst, best = (low, high) if direction == "up" else (high, low)
                    if values.min() >= 0 and high - middle > TAIL * (middle - low) * (1 + 1e-9):
                        unit = np.median(values[values > 0])
            whole = bool(len(values) and (values == np.round(values)).all())
            scales.append(
                Scale(factor.factor, feature, direction, float(worst), float(best), float(unit), source, whole)
            )
    return tuple(scales)


def score_factors(features: pd.DataFrame, scales: Iterable[Scale]) -> pd.DataFrame:
    """Score every partner on every factor with frozen scales.

    A row depends on nothing but itself: any subset of partners gets the same numbers to the last bit.

    Args:
        features: One row a partner.
        scales: From `fit_scales`.

    Returns:
        Partners x factors, 0 (worst) to 100 (best): the mean of the factor's known features, missing
        where none is known.

    Raises:
        ValueError: As `read_numbers`.

    Examples:
        >>> partners = pd.DataFrame({"sales": [0.0, 10], "growth": [1.0, None]}, index=["a", "b"])
        >>> factors = read_factors([{"factor": "sales", "features": ["sales", "growth"], "bounds": [[0, 10], [0, 2]]}])
        >>> score_factors(partners, fit_scales(partners, factors))["sales"].to_dict()
        {'a': 25.0, 'b': 100.0}
    """
    scales = tuple(scales)
    numbers = read_numbers(features, dict.fromkeys(scale.feature for scale in scales))
    names = list(dict.fromkeys(scale.factor for scale in scales))
    total = {name: np.zeros(len(features)) for name in names}
    count = {name: np.zeros(len(features)) for name in names}
    for scale in scales:
        if scale.is_known:
            points = scale.to_points(numbers[scale.feature])
            total[scale.factor] += np.where(np.isnan(points), 0.0, points)
            count[scale.factor] += ~np.isnan(points)
    scores = {}
    for name in names:
        scores[name] = np.full(len(features), np.nan)
        np.divide(total[name], count[name], out=scores[name], where=count[name] > 0)
    return pd.DataFrame(scores, index=features.index, columns=names)
