"""The factor table of a rating: its rows, checked, and the feature columns that they name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from difflib import get_close_matches
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from partnerseg.programme.tables import ASSESSORS
from partnerseg.rating.judgments import read_by_name, read_number

DIRECTIONS = ("up", "down", "target")


@dataclass(frozen=True)
class Factor:
    """One factor of a rating, a row of `rating.factors` in `params/programme.yaml`.

    Attributes:
        factor: Name of the factor.
        features: Feature columns; the factor is the mean of those that are known.
        pillar: Group of factors it belongs to, for reading only.
        direction: For each feature `up` (more is better), `down`, or `target` (the nearer the better).
        bounds: For each feature `(worst, best)` in its unit, or `()` to take them from the data; with direction
            `target` `(low, target, high)`: 100 points at the target, 0 at low and high and beyond.
        weight: Stated weight, at least 0; only the ratio to the other weights counts.
        grade: Kind of evidence, a key of `programme.tables.ASSESSORS`: `system`, `audit`, `manager` or `self`.
        unit: Unit of each feature, for reading only.
        window: Days that the features look back, 0 for those that do not; for reading only.
        normalization: How values become points, a key of `scaling.NORMALIZATIONS`.
    """

    factor: str
    features: tuple[str, ...]
    pillar: str = ""
    direction: tuple[str, ...] = ()
    bounds: tuple[tuple[float, ...], ...] = ()
    weight: float = 1.0
    grade: str = "system"
    unit: tuple[str, ...] = ()
    window: int = 0
    normalization: str = "auto"


def read_factors(rows: Iterable[Any], *, evidence: Mapping[str, float] = ASSESSORS) -> tuple[Factor, ...]:
    """Check the rows of a factor table.

    Args:
        rows: `params.rating.factors`, or mappings with the same keys. `factor` and `features` are
            required; what is left out means direction up, bounds from the data, weight 1, grade system,
            no unit, no window, normalization auto.
        evidence: Grades that may be used, with how much each counts.

    Returns:
        One `Factor` a row, in the same order.

    Raises:
        ValueError: A row has an unknown key or grade, text where a list is wanted, lists of unequal length, bounds
            against its direction, a weight or window that is no number or negative, or a factor that stood there
            before; all weights are zero; or evidence is no number, negative or above 1, or of all factors zero.

    Examples:
        >>> read_factors([{"factor": "quality", "features": ["return_rate"], "direction": ["down"]}])[0].direction
        ('down',)
    """
    counts = read_evidence(evidence)
    factors = [
        _read_factor(row, f"rating.factors[{place}]", counts)
        for place, row in enumerate(read_rows("rating.factors", rows, "{factor, features}"))
    ]
    names = [factor.factor for factor in factors]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"rating.factors: factor {name!r} stands there twice; give each factor one row")
    if not sum(factor.weight for factor in factors) > 0:
        raise ValueError("rating.factors: no factor has a weight above 0; state one in params/programme.yaml")
    if not sum(factor.weight * counts[factor.grade] for factor in factors) > 0:
        grades = ", ".join(dict.fromkeys(factor.grade for factor in factors))
        raise ValueError(f"rating.evidence: of all grades used ({grades}) none counts; let one be above 0")
    return tuple(factors)


def read_evidence(evidence: Any) -> dict[str, float]:
    """Check how much each grade of evidence counts.

    Raises:
        ValueError: It is no mapping, or holds something that is no number between 0 and 1.

    Examples:
        >>> read_evidence({"system": 1})
        {'system': 1.0}
    """
    given = read_by_name("rating.evidence", evidence)
    counts = {str(grade): read_number(f"rating.evidence.{grade}", count, 0) for grade, count in given.items()}
    for grade, count in counts.items():
        if count > 1:
            raise ValueError(f"rating.evidence.{grade} == {count:g}, must be a number <= 1, where 1 counts in full")
    return counts


def read_rows(key: str, rows: Any, form: str) -> list[dict[str, Any]]:
    """Read a list of mappings, of parameters or of dictionaries.

    Args:
        key: Where it stands, for messages.
        rows: The list; None is an empty one.
        form: What a row holds, for messages.

    Raises:
        ValueError: It is no list, or a row no mapping.

    Examples:
        >>> read_rows("rating.factors", [{"factor": "quality"}], "{factor, features}")
        [{'factor': 'quality'}]
    """
    if isinstance(rows, str | Mapping) or not (rows is None or isinstance(rows, Iterable)):
        raise ValueError(f"{key} is a {type(rows).__name__}, must be a list of rows {form}")
    found = []
    for place, row in enumerate(() if rows is None else rows):
        if not (isinstance(row, Mapping) or hasattr(row, "to_dict")):
            raise ValueError(f"{key}[{place}] == {row!r}, must be a row {form}")
        found.append(row.to_dict() if hasattr(row, "to_dict") else dict(row))
    return found


def _read_factor(row: Any, key: str, evidence: Mapping[str, float]) -> Factor:
    known = [field.name for field in fields(Factor)]
    for name in row:
        if name not in known:
            raise ValueError(f"{key}.{name}: no such key; possible keys are: {', '.join(known)}")
    if "factor" in row:
        key = f"{key} ({row['factor']})"
    lists = {name: _read_list(f"{key}.{name}", row.get(name)) for name in ("features", "direction", "bounds", "unit")}
    for name, found in (("factor", row.get("factor")), ("features", lists["features"])):
        if not found:
            raise ValueError(f"{key}.{name}: must not be empty; name it in params/programme.yaml")
    count = len(lists["features"])
    factor = Factor(
        factor=str(row["factor"]),
        features=tuple(str(feature) for feature in lists["features"]),
        pillar=str(row.get("pillar", "")),
        direction=tuple(lists["direction"] or ["up"] * count),
        bounds=tuple(_read_bounds(f"{key}.bounds[{place}]", pair) for place, pair in enumerate(lists["bounds"]))
        or ((),) * count,
        weight=read_number(f"{key}.weight", row.get("weight", 1.0), 0),
        grade=str(row.get("grade", "system")),
        unit=tuple(str(unit) for unit in lists["unit"] or [""] * count),
        window=int(read_number(f"{key}.window", row.get("window") or 0, 0)),
        normalization=str(row.get("normalization") or "auto"),
    )
    if not count == len(factor.direction) == len(factor.bounds) == len(factor.unit):
        raise ValueError(
            f"{key}: {count} features, {len(factor.direction)} directions, {len(factor.bounds)} bounds, "
            f"{len(factor.unit)} units; must be one of each for a feature"
        )
    if len(set(factor.features)) < count:
        raise ValueError(f"{key}.features: a feature stands there twice; name each feature once")
    if factor.grade not in evidence:
        raise ValueError(f"{key}.grade == {factor.grade!r}; possible values are: {', '.join(evidence)}")
    for feature, direction, bounds in zip(factor.features, factor.direction, factor.bounds, strict=True):
        _check_bounds(key, feature, direction, bounds)
    return factor


def _read_list(key: str, value: Any) -> list[Any]:
    """Return a list's items; None is an empty one."""
    if isinstance(value, str | Mapping) or not (value is None or isinstance(value, Iterable)):
        raise ValueError(f"{key} == {value!r}, must be a list with one for each feature, as [{value}]")
    return [] if value is None else list(value)


def _read_bounds(key: str, pair: Any) -> tuple[float, ...]:
    if isinstance(pair, str | Mapping) or not isinstance(pair, Iterable):
        raise ValueError(f"{key} == {pair!r}, must be [] or [worst, best]: bounds hold one such list for each feature")
    bounds = list(pair)
    if not all(isinstance(bound, Real | Decimal) and not isinstance(bound, bool) for bound in bounds):
        raise ValueError(f"{key} == {bounds}, must hold numbers")
    return tuple(float(bound) for bound in bounds)


def _check_bounds(key: str, feature: str, direction: str, bounds: tuple[float, ...]) -> None:
    if direction not in DIRECTIONS:
        raise ValueError(
            f"{key}.direction == {direction!r} for {feature}; possible values are: {', '.join(DIRECTIONS)}"
        )
    place = f"{key}.bounds == {list(bounds)} for {feature}"
    if direction == "target":
        if len(bounds) != 3 or not np.isfinite(bounds).all() or not bounds[0] < bounds[1] < bounds[2]:
            raise ValueError(f"{place}, must be [low, target, high] with low < target < high, as direction is target")
        return
    if not bounds:
        return
    if len(bounds) != 2 or not np.isfinite(bounds).all():
        raise ValueError(f"{place}, must be [] or [worst, best]")
    if bounds[0] == bounds[1] or (bounds[0] < bounds[1]) != (direction == "up"):
        rule = "worst < best" if direction == "up" else "worst > best"
        raise ValueError(f"{place}, must be [worst, best] with {rule}")


def read_numbers(features: pd.DataFrame, columns: Iterable[str], *, name: str = "features") -> dict[str, np.ndarray]:
    """Take feature columns as float arrays with NaN where unknown.

    Args:
        features: One row a partner.
        columns: Columns to take.
        name: What the table is called, for messages.

    Returns:
        A contiguous float64 array for each column.

    Raises:
        ValueError: As `check_table` and `read_column`; or a column is absent or stands there twice.

    Examples:
        >>> read_numbers(pd.DataFrame({"sales": [1, None]}), ["sales"])["sales"].tolist()
        [1.0, nan]
    """
    check_table(features, name)
    numbers = {}
    for column in columns:
        if column not in features.columns:
            near = get_close_matches(column, [str(label) for label in features.columns], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"rating.factors names the feature {column!r}, which is no column of {name}{hint}. "
                "Correct it in params/programme.yaml"
            )
        values = features[column]
        if isinstance(values, pd.DataFrame):
            raise ValueError(f"{name} has {values.shape[1]} columns {column!r}; keep one of them")
        numbers[column] = read_column(f"{name}[{column!r}]", values)
    return numbers


def check_table(features: Any, name: str = "features") -> None:
    """Raise ValueError unless it is a DataFrame with columns, and no row label twice.

    Examples:
        >>> check_table(pd.DataFrame({"sales": [1.0]}))
    """
    if not isinstance(features, pd.DataFrame):
        raise ValueError(f"{name} is a {type(features).__name__}, must be a table (DataFrame) with one row a partner")
    if not features.shape[1]:
        raise ValueError(f"{name} has no column; must be a table with the features that rating.factors names")
    if not features.index.is_unique:
        label = features.index[features.index.duplicated()][0]
        raise ValueError(f"{name}: partner {label!r} has more than one row; must be one row a partner and date")


def read_column(where: str, values: pd.Series) -> np.ndarray:
    """Take a column as a float array with NaN where unknown; true counts 1 and false 0.

    Args:
        where: Where it stands, for messages.
        values: Real numbers of any kind.

    Raises:
        ValueError: It holds text, also text of digits, categories, times or complex numbers, or an infinite number.

    Examples:
        >>> read_column("features['sales']", pd.Series([1, None])).tolist()
        [1.0, nan]
    """
    kind = "category" if isinstance(values.dtype, pd.CategoricalDtype) else values.dtype.kind
    if kind not in "biufO":
        raise ValueError(f"{where} is {values.dtype}, must be numbers; convert it, as with pd.to_numeric")
    if kind == "O":
        for label, value in values.dropna().items():
            if not isinstance(value, Real | Decimal | np.bool_):
                raise ValueError(
                    f"{where} == {value!r} for partner {label!r}, must be numbers; convert it, as with pd.to_numeric"
                )
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    if np.isinf(numbers).any():
        label = values.index[np.isinf(numbers)][0]
        raise ValueError(f"{where} is infinite for partner {label!r}, must be finite or missing")
    return np.ascontiguousarray(numbers)
