"""Turns mixed columns with gaps into coordinates in which distances mean something."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

FAR = 5.0  # coordinates are cut here: one giant must not stretch the space
RARE_SHARE = 0.01  # categories with a smaller share are treated as one
NOMINAL_VARIANCE = 0.25  # a text column's say, where a number column has 1
OTHER = "(other)"


@dataclass(frozen=True)
class EncodedColumn:
    """How one column becomes coordinates.

    Attributes:
        name: Column name.
        kind: `number` (one coordinate) or `nominal` (one for each level).
        unit: For a skewed number the unit of its signed logarithm; 0 keeps the number as it is.
        center: Means that are subtracted, one for each coordinate.
        spread: Standard deviation that is divided by; 1 for levels.
        weight: How much the column counts; a factor at the end.
        levels: Categories of a nominal column; rare ones share the level `(other)`.
    """

    name: str
    kind: str
    unit: float
    center: tuple[float, ...]
    spread: float
    weight: float
    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Encoding:
    """Coordinates of partners, learned once and frozen.

    Attributes:
        columns: The columns in use, in the order of their names.
        dropped: Columns that are not used, and why.
    """

    columns: tuple[EncodedColumn, ...]
    dropped: dict[str, str]

    @property
    def owners(self) -> np.ndarray:
        """Position in `columns` of each coordinate's column."""
        return np.repeat(np.arange(len(self.columns)), [len(column.center) for column in self.columns])

    @property
    def numeric(self) -> np.ndarray:
        """True for each coordinate that comes from a number."""
        return np.repeat(
            [column.kind == "number" for column in self.columns], [len(column.center) for column in self.columns]
        ).astype(bool)

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Return partners x coordinates; what is unknown of a partner is NaN, and a level never seen is unknown."""
        parts = [np.empty((len(frame), 0))]
        for column in self.columns:
            if column.kind == "number":
                values = _squeeze(read_numbers(frame[column.name]), column.unit)[:, None]
            else:
                values = _indicate(read_levels(frame[column.name]), column.levels)
            standard = (values - np.array(column.center)) / column.spread
            parts.append(np.clip(standard, -FAR, FAR) * column.weight)
        # Nine decimals: neither the unit of a column nor the order of its rows leaves a trace behind them.
        return np.round(np.hstack(parts), 9)

    def to_dict(self) -> dict[str, Any]:
        """Return the encoding as plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Encoding":
        """Return the encoding that `to_dict` described."""
        columns = []
        for column in stored["columns"]:
            lists = {key: tuple(column[key]) for key in ("center", "levels")}
            columns.append(EncodedColumn(**{**column, **lists}))
        return cls(tuple(columns), dict(stored["dropped"]))


def learn_encoding(frame: pd.DataFrame, columns: Sequence[str] | None = None) -> Encoding:
    """Learn how columns become coordinates.

    A number is centered and divided by its standard deviation, after a signed logarithm where it is strongly
    skewed (money, counts). A text column becomes indicators that together have a quarter of a number's variance.
    Columns that say the same share a say: the variance of a number is divided by the square root of the sum of its
    squared correlations with all numbers, itself included.

    Args:
        frame: One row a partner. Numbers, flags and text; missing values are unknown.
        columns: The columns to use; all if None.

    Returns:
        The encoding; constant and empty columns and texts without groups are in `dropped` with the reason.

    Raises:
        ValueError: A column is not there, is a time, or holds an infinite number.
    """
    chosen = list(frame.columns) if columns is None or not len(columns) else list(columns)
    if absent := [name for name in chosen if name not in frame.columns]:
        raise ValueError(
            f"columns {absent} are not among the features; must be some of {list(frame.columns)} (segments.columns)"
        )
    dropped: dict[str, str] = {}
    learned: list[EncodedColumn] = []
    for name in sorted(chosen):
        column = _learn_number(frame[name]) if is_number(frame[name]) else _learn_levels(frame[name])
        if isinstance(column, str):
            dropped[name] = column
        else:
            learned.append(column)
    encoding = Encoding(tuple(learned), dropped)
    numbers = encoding.numeric
    if numbers.sum() < 2:
        return encoding
    correlation = correlate_known(encoding.encode(frame)[:, numbers])
    weights = iter((correlation**2).sum(axis=1) ** -0.25)
    return replace(
        encoding,
        columns=tuple(
            replace(column, weight=float(next(weights))) if column.kind == "number" else column for column in learned
        ),
    )


def is_number(values: pd.Series) -> bool:
    """Tell whether a column holds numbers or flags rather than text; raises ValueError on times."""
    if pd.api.types.is_datetime64_any_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
        raise ValueError(f"column {values.name!r} holds times; must be numbers or text: give days since then instead")
    return bool(pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values))


def read_numbers(values: pd.Series) -> np.ndarray:
    """Return a number column as float64 with NaN for unknown; raises ValueError on infinity."""
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(numbers).any():
        raise ValueError(f"column {values.name!r} holds infinity; must be finite or missing")
    return numbers


def read_levels(values: pd.Series) -> np.ndarray:
    """Return a text column as objects, None for unknown."""
    return np.array(
        [None if value is None or value is pd.NA or value != value else str(value) for value in values], dtype=object
    )


def correlate_known(coordinates: np.ndarray) -> np.ndarray:
    """Correlate columns over the rows that know both, made a proper correlation matrix.

    Args:
        coordinates: Rows x columns with NaN for unknown.

    Returns:
        Columns x columns, positive definite. Pairs known together in fewer than ten rows count as uncorrelated.
    """
    known = ~np.isnan(coordinates)
    counts = known.sum(axis=0)
    center = np.where(known, coordinates, 0.0).sum(axis=0) / np.maximum(counts, 1)
    filled = np.where(known, coordinates - center, 0.0)
    mask = known.astype(np.float64)
    products, squares = filled.T @ filled, (filled**2).T @ mask
    spread = np.sqrt(squares * squares.T)
    usable = (mask.T @ mask >= 10) & (spread > 0)
    correlation = np.divide(products, spread, out=np.zeros_like(products), where=usable)
    np.fill_diagonal(correlation, 1.0)
    return correct_correlation(correlation)


def correct_correlation(matrix: np.ndarray) -> np.ndarray:
    """Return the matrix with eigenvalues of at least 0.001 and a diagonal of ones: a proper correlation matrix."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    repaired = (vectors * np.maximum(values, 1e-3)) @ vectors.T
    size = np.sqrt(np.diag(repaired))
    return repaired / np.outer(size, size)


def fill_unknown(
    coordinates: np.ndarray, correlation: np.ndarray, *, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Fill unknown cells with what the known cells of the row let expect.

    Args:
        coordinates: Rows x columns of mean 0 with NaN for unknown.
        correlation: Columns x columns.
        rng: With it a cell is drawn from its distribution given the known cells; without it, it is the mean of that.

    Returns:
        Rows x columns without NaN. A row that knows nothing gets zeros (or a draw).
    """
    filled = coordinates.copy()
    known = ~np.isnan(coordinates)
    spread = np.sqrt(np.nanmean(np.where(known.any(axis=0), coordinates, 0.0) ** 2, axis=0))
    ridged = 0.95 * correlation + 0.05 * np.eye(len(correlation))
    covariance = ridged * np.outer(spread, spread) + 1e-9 * np.eye(len(correlation))
    rows = np.flatnonzero(~known.all(axis=1))
    if not len(rows):
        return filled
    groups = np.unique(np.packbits(known[rows], axis=1), axis=0, return_inverse=True)[1]
    members = np.split(rows[np.argsort(groups, kind="stable")], np.cumsum(np.bincount(groups))[:-1])
    for group in members:
        have = known[group[0]]
        lack = ~have
        slope = np.linalg.solve(covariance[np.ix_(have, have)], covariance[np.ix_(have, lack)])
        expected = coordinates[np.ix_(group, have)] @ slope
        if rng is not None:
            left = covariance[np.ix_(lack, lack)] - covariance[np.ix_(lack, have)] @ slope
            root = np.linalg.cholesky((left + left.T) / 2 + 1e-9 * np.eye(lack.sum()))
            expected = expected + rng.standard_normal(expected.shape) @ root.T
        filled[np.ix_(group, lack)] = expected
    return filled


def _learn_number(values: pd.Series) -> EncodedColumn | str:
    # Sorted, so that sums do not depend on the order of the rows.
    known = np.sort(read_numbers(values))
    known = known[~np.isnan(known)]
    if not len(known):
        return "all missing"
    if known[0] == known[-1]:
        return "constant"
    unit = 0.0
    if abs(_skewness(known)) > 1.5:
        sizes = np.abs(known[known != 0])
        candidate = float(np.quantile(sizes, 0.25))
        if abs(_skewness(_squeeze(known, candidate))) < abs(_skewness(known)):
            unit = candidate
    squeezed = _squeeze(known, unit)
    spread = float(squeezed.std())
    if not spread > 1e-12 * max(1.0, float(np.abs(squeezed).max())):
        return "constant"
    return EncodedColumn(str(values.name), "number", unit, (float(squeezed.mean()),), spread, 1.0)


def _learn_levels(values: pd.Series) -> EncodedColumn | str:
    levels = read_levels(values)
    known = levels[[level is not None for level in levels]]
    if not len(known):
        return "all missing"
    names, counts = np.unique(known.astype(str), return_counts=True)
    if len(names) == 1:
        return "constant"
    if len(names) > max(20, len(known) / 5):
        return f"{len(names)} different texts, hardly any groups"
    common = counts >= max(2, RARE_SHARE * len(known))
    shares = dict(zip(names[common].tolist(), (counts[common] / len(known)).tolist(), strict=True))
    if not common.all():
        shares[OTHER] = float(counts[~common].sum() / len(known))
    variance = sum(share * (1 - share) for share in shares.values())
    if not variance:
        return "constant"
    weight = float(np.sqrt(NOMINAL_VARIANCE / variance))
    return EncodedColumn(str(values.name), "nominal", 0.0, tuple(shares.values()), 1.0, weight, tuple(shares))


def _squeeze(values: np.ndarray, unit: float) -> np.ndarray:
    return np.sign(values) * np.log1p(np.abs(values) / unit) if unit else values


def _skewness(values: np.ndarray) -> float:
    centered = values - values.mean()
    spread = centered.std()
    return float((centered**3).mean() / spread**3) if spread > 0 else 0.0


def _indicate(levels: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    places = {name: place for place, name in enumerate(names)}
    found = np.array([places.get(level, places.get(OTHER, -1)) if level is not None else -1 for level in levels], int)
    indicators = np.zeros((len(levels), len(names)))
    indicators[np.flatnonzero(found >= 0), found[found >= 0]] = 1.0
    indicators[found < 0] = np.nan
    return indicators
