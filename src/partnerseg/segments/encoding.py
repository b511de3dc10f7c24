"""Turns mixed columns with gaps into coordinates in which distances mean something."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

FAR = 5.0  # coordinates are cut here: one giant must not stretch the space
RARE_SHARE = 0.01  # levels with a smaller share are treated as one
NOMINAL_VARIANCE = 0.25  # a text column's say, where a number column has 1
FEW_VALUES = 5  # a number of no more different values is treated likewise
COPY = 0.999  # squared correlation from which a column only repeats another
BLOCK = 16_384  # rows that are worked on at a time
OTHER = "(other)"


@dataclass(frozen=True)
class EncodedColumn:
    """How one column becomes coordinates.

    Attributes:
        name: Column name.
        kind: `number` or `ordered` (one coordinate), `nominal` or `multi` (one for each level).
        unit: For a skewed number the unit of its signed logarithm; 0 keeps the number as it is.
        center: Means that are subtracted, one for each coordinate.
        spread: Standard deviation that is divided by; 1 for the levels of a text.
        weight: How much the column counts; a factor at the end.
        levels: Of an ordered column from the lowest, of a nominal or multi-valued one from the most frequent; rare
            ones share the level `(other)`.
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
        """True for each coordinate that comes from a number or an ordered column."""
        return np.array([self.columns[owner].kind in ("number", "ordered") for owner in self.owners], dtype=bool)

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Return partners x coordinates; what is unknown of a partner is NaN.

        A row's coordinates do not depend on the other rows. A level never seen counts as a rare one where there were
        rare ones; otherwise it is unknown, or left out of a list.

        Raises:
            ValueError: A column holds infinity, or no longer the kind of values that it was learned from.
        """
        coordinates = np.empty((len(frame), len(self.owners)))
        starts = np.searchsorted(self.owners, np.arange(len(self.columns) + 1))
        for start in range(0, len(frame), BLOCK):
            rows = slice(start, start + BLOCK)
            for place, column in enumerate(self.columns):
                coordinates[rows, starts[place] : starts[place + 1]] = _encode_column(
                    frame[column.name].iloc[rows], column
                )
            block = coordinates[rows]
            # Nine decimals: neither the unit of a column nor the order of its rows leaves a trace behind them.
            np.round(block, 9, out=block)
            block += 0.0  # no negative zeros
        return coordinates

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

    - A number (or flag) is centered and divided by its standard deviation, after a signed logarithm where it is
      strongly skewed (money, counts).
    - An ordered column (an ordered categorical) is the rank of its level, treated as a number.
    - A number or ordered column of at most five values (a flag, a grade) has a quarter of the variance: the empty
      space between its values is no gap between groups.
    - A text becomes indicators that together have a quarter of a number's variance.
    - A list of texts (preferred channels) likewise, one indicator a level; an empty list is known to hold none.

    Columns that say the same share a say: the variance of a number is divided by the square root of the sum of its
    squared correlations with all numbers, itself included, where copies of one column count as one and share its
    variance. Texts and lists are treated so among each other; squared correlation is then the RV coefficient of their
    indicators. A text that only spells out a number column is dropped.

    What is learned depends on the shares of values alone: not on the order of rows and columns, nor on units.

    Args:
        frame: One row a partner. Numbers, flags, ordered categories, text, and lists (tuples, sets, arrays) of text;
            missing values are unknown.
        columns: The columns to use; all if None.

    Returns:
        The encoding; constant and empty columns and texts without groups are in `dropped` with the reason.

    Raises:
        ValueError: A column is not there, is there twice, is a time, holds an infinite number, or its name is no text.

    References:
        Robert, Escoufier (1976), A unifying tool for linear multivariate statistical methods: the RV coefficient,
        Applied Statistics 25.

    Example:
        >>> frame = pd.DataFrame({"size": [1.0, 2.0, 3.0, None], "channels": [["email"], ["email", "phone"], [], None]})
        >>> encoding = learn_encoding(frame)
        >>> [(column.name, column.kind, column.levels) for column in encoding.columns]
        [('channels', 'multi', ('email', 'phone')), ('size', 'number', ())]
        >>> encoding.encode(frame).round(2)
        array([[ 0.25, -0.25, -0.61],
               [ 0.25,  0.5 ,  0.  ],
               [-0.5 , -0.25,  0.61],
               [  nan,   nan,   nan]])
    """
    chosen = list(frame.columns) if columns is None or not len(columns) else list(columns)
    _check_names(frame, chosen)
    found = {name: _learn_column(frame[name]) for name in sorted(chosen)}
    learned = {name: column for name, column in found.items() if isinstance(column, EncodedColumn)}
    dropped = {name: reason for name, reason in found.items() if isinstance(reason, str)}
    for name, number in _find_repeated_numbers(frame, learned).items():
        dropped[name] = f"the numbers of {number!r} as text"
        del learned[name]
    return _weigh(Encoding(tuple(learned.values()), dropped), frame)


def is_number(values: pd.Series) -> bool:
    """Tell whether a column holds numbers or flags rather than text; raises ValueError on times."""
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind.startswith(("date", "time", "period")):
        raise ValueError(f"column {values.name!r} holds times; must be numbers or text: give days since then instead")
    return kind in ("integer", "floating", "mixed-integer-float", "decimal", "boolean")


def read_numbers(values: pd.Series) -> np.ndarray:
    """Return a number column as float64 with NaN for unknown; raises ValueError on infinity and text."""
    try:
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(f"column {values.name!r} must hold numbers, as it did when it was learned: {error}") from None
    if np.isinf(numbers).any():
        raise ValueError(f"column {values.name!r} holds infinity; must be finite or missing")
    return numbers


def read_levels(values: pd.Series) -> np.ndarray:
    """Return a text column as objects, None for unknown.

    Example:
        >>> read_levels(pd.Series(["a", None, 3]))
        array(['a', None, '3'], dtype=object)
    """
    codes, names = _read_texts(values)
    return np.array([*names, None], dtype=object)[codes]


def read_lists(values: pd.Series) -> np.ndarray:
    """Return a column of lists as objects: a sorted tuple of texts, None for unknown; a single text is a list of one.

    Example:
        >>> read_lists(pd.Series([["b", "a", "b"], [], None])).tolist()
        [('a', 'b'), (), None]
    """
    lists = np.empty(len(values), dtype=object)
    for place, cell in enumerate(values.to_numpy(dtype=object)):
        if pd.api.types.is_list_like(cell):
            lists[place] = tuple(sorted({str(item) for item in cell if not pd.isna(item)}))
        elif not pd.isna(cell):
            lists[place] = (str(cell),)
    return lists


def correlate_known(coordinates: np.ndarray) -> np.ndarray:
    """Correlate columns over the rows that know both, made a proper correlation matrix.

    Args:
        coordinates: Rows x columns with NaN for unknown.

    Returns:
        Columns x columns, positive definite. Pairs known together in fewer than ten rows count as uncorrelated.
    """
    blocks = [coordinates[start : start + BLOCK] for start in range(0, len(coordinates), BLOCK)]
    counts = sum((~np.isnan(block)).sum(axis=0) for block in blocks)
    center = sum(np.nansum(block, axis=0) for block in blocks) / np.maximum(counts, 1)
    return correct_correlation(_correlate(blocks, center))


def mark_coarse(coordinates: np.ndarray) -> np.ndarray:
    """Mark the columns of at most five different known values: texts, flags and grades rather than numbers."""
    return np.array([len(np.unique(column[~np.isnan(column)])) <= FEW_VALUES for column in coordinates.T], dtype=bool)


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


def _check_names(frame: pd.DataFrame, chosen: list[str]) -> None:
    if absent := [name for name in chosen if name not in frame.columns]:
        raise ValueError(
            f"columns {absent} are not among the features; must be some of {list(frame.columns)} (segments.columns)"
        )
    if wrong := [name for name in chosen if not isinstance(name, str)]:
        raise ValueError(f"column names {wrong} must be text: use features.rename(columns=str)")
    if twice := sorted(set(frame.columns[frame.columns.duplicated()]) & set(chosen)):
        raise ValueError(
            f"columns {twice} stand in the features more than once; must be there once: rename or drop one"
        )


def _learn_column(values: pd.Series) -> EncodedColumn | str:
    if values.isna().all():
        return "all missing"
    if isinstance(values.dtype, pd.CategoricalDtype) and values.dtype.ordered:
        return _learn_ranks(values)
    if is_number(values):
        return _learn_number(values)
    return _learn_lists(values) if _holds_lists(values) else _learn_levels(values)


def _holds_lists(values: pd.Series) -> bool:
    if isinstance(values.dtype, pd.StringDtype | pd.CategoricalDtype):
        return False
    return any(map(pd.api.types.is_list_like, values.to_numpy(dtype=object)))


def _learn_number(values: pd.Series) -> EncodedColumn | str:
    # Sorted, so that sums do not depend on the order of the rows.
    known = np.sort(read_numbers(values))
    known = known[: len(known) - np.isnan(known).sum()]
    if known[0] == known[-1]:
        return "constant"
    unit = 0.0
    # A signed logarithm of numbers to both sides of zero would tear them apart there.
    if abs(_skewness(known)) > 1.5 and min((known > 0).mean(), (known < 0).mean()) <= 0.05:
        sizes = np.abs(known[known != 0])
        candidate = float(np.quantile(sizes, 0.25, method="inverted_cdf"))  # the same when all rows are there twice
        if abs(_skewness(_squeeze(known, candidate))) < abs(_skewness(known)):
            unit = candidate
    squeezed = _squeeze(known, unit)
    center, spread = _measure(squeezed)
    if not spread > 1e-12 * float(np.abs(squeezed).max()):
        return "constant"
    few = np.count_nonzero(np.diff(known)) < FEW_VALUES
    return EncodedColumn(str(values.name), "number", unit, (center,), spread, NOMINAL_VARIANCE**0.5 if few else 1.0)


def _learn_ranks(values: pd.Series) -> EncodedColumn | str:
    counts = np.bincount(values.cat.codes[values.notna()], minlength=len(values.cat.categories))
    levels = tuple(str(level) for level in values.cat.categories[counts > 0])
    if len(levels) < 2:
        return "constant"
    center, spread = _measure(np.repeat(np.arange(float(len(levels))), counts[counts > 0]))
    weight = NOMINAL_VARIANCE**0.5 if len(levels) <= FEW_VALUES else 1.0
    return EncodedColumn(str(values.name), "ordered", 0.0, (center,), spread, weight, levels)


def _learn_levels(values: pd.Series) -> EncodedColumn | str:
    codes, names = _read_texts(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    if len(names) == 1:
        return "constant"
    total = int(counts.sum())
    if total**2 >= (counts**2).sum() / RARE_SHARE:  # a partner's level has, on average, less than a rare one's share
        return f"{len(names)} different texts, hardly any groups"
    common = _rank_levels(dict(zip(names, counts.tolist(), strict=True)), total)
    return _learn_indicators(str(values.name), "nominal", common, total, other=total - sum(common.values()))


def _learn_lists(values: pd.Series) -> EncodedColumn | str:
    codes, lists = pd.factorize(read_lists(values))
    counts = np.bincount(codes[codes >= 0], minlength=len(lists)).tolist()
    members: dict[str, int] = {}
    for levels, count in zip(lists, counts, strict=True):
        for level in levels:
            members[level] = members.get(level, 0) + count
    common = _rank_levels(members, sum(counts))
    if members and not common:
        return f"{len(members)} different texts, hardly any groups"
    rare = set(members) - set(common)
    other = sum(count for levels, count in zip(lists, counts, strict=True) if rare.intersection(levels))
    return _learn_indicators(str(values.name), "multi", common, sum(counts), other=other)


def _rank_levels(counts: dict[str, int], total: int) -> dict[str, int]:
    """Return the levels that are not rare, most frequent first, and how many have each."""
    common = [level for level, count in counts.items() if count >= RARE_SHARE * total]
    return {level: counts[level] for level in sorted(common, key=lambda level: (-counts[level], level))}


def _learn_indicators(name: str, kind: str, counts: dict[str, int], total: int, other: int) -> EncodedColumn | str:
    shares = {level: count / total for level, count in counts.items()}
    if other:
        shares[OTHER] = other / total
    variance = sum(share * (1 - share) for share in shares.values())
    if not variance:
        return "constant"
    weight = float(np.sqrt(NOMINAL_VARIANCE / variance))
    return EncodedColumn(name, kind, 0.0, tuple(shares.values()), 1.0, weight, tuple(shares))


def _find_repeated_numbers(frame: pd.DataFrame, learned: dict[str, EncodedColumn]) -> dict[str, str]:
    """Return the text columns that spell out a number column in whatever unit, and that column's name."""
    repeated = {}
    for name, column in learned.items():
        if column.kind != "nominal":
            continue
        codes, names = _read_texts(frame[name])
        spelled = pd.to_numeric(pd.Series(names), errors="coerce").to_numpy(dtype=np.float64)
        if not np.isfinite(spelled).all():
            continue
        texts = np.append(spelled, np.nan)[codes]
        for other in (other for other, column in learned.items() if column.kind == "number"):
            numbers = read_numbers(frame[other])
            both = np.column_stack([texts, numbers])[~np.isnan(texts)]
            with np.errstate(all="ignore"):
                same = (
                    np.corrcoef((both / np.abs(both).max(axis=0)).T)[0, 1] ** 2 >= COPY
                )  # NaN where the text knows more
            if same:
                repeated[name] = other
                break
    return repeated


def _weigh(encoding: Encoding, frame: pd.DataFrame) -> Encoding:
    """Let columns that say the same share a say, numbers and texts apart."""
    blocks = (encoding.encode(frame.iloc[start : start + BLOCK]) for start in range(0, len(frame), BLOCK))
    owners = encoding.owners
    squares = _correlate(blocks, np.zeros(len(owners))) ** 2
    numeric = encoding.numeric
    factors = np.ones(len(encoding.columns))
    if numeric.any():
        factors[owners[numeric]] = _share_say(squares[np.ix_(numeric, numeric)])
    if not numeric.all():
        texts, starts = np.unique(owners[~numeric], return_index=True)
        centers = np.concatenate([encoding.columns[text].center for text in texts])
        variances = centers * (1 - centers)
        products = squares[np.ix_(~numeric, ~numeric)] * np.outer(variances, variances)
        products = np.add.reduceat(np.add.reduceat(products, starts, axis=0), starts, axis=1)
        factors[texts] = _share_say(products / np.sqrt(np.outer(np.diag(products), np.diag(products))))
    # Six decimals, so that the order of rows, in which sums were taken, leaves no trace.
    weights = (np.round(column.weight * factor, 6) for column, factor in zip(encoding.columns, factors, strict=True))
    columns = (replace(column, weight=float(weight)) for column, weight in zip(encoding.columns, weights, strict=True))
    return replace(encoding, columns=tuple(columns))


def _share_say(similarity: np.ndarray) -> np.ndarray:
    """Return the factor of each column's coordinates, given squared correlations of columns; copies count as one."""
    copies = (similarity >= COPY).sum(axis=1)
    return (copies * np.sqrt((similarity / copies).sum(axis=1))) ** -0.5


def _correlate(blocks: Iterable[np.ndarray], center: np.ndarray) -> np.ndarray:
    """Correlate columns around the center over the rows that know both, block by block."""
    counts, products, squares = np.zeros((3, len(center), len(center)))
    for block in blocks:
        known = ~np.isnan(block)
        filled, mask = np.where(known, block - center, 0.0), known.astype(np.float64)
        counts += mask.T @ mask
        products += filled.T @ filled
        squares += (filled**2).T @ mask
    spread = np.sqrt(squares * squares.T)
    usable = (counts >= 10) & (spread > 1e-12 * counts)
    correlation = np.divide(products, spread, out=np.zeros_like(products), where=usable)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def _encode_column(values: pd.Series, column: EncodedColumn) -> np.ndarray:
    if column.kind == "number":
        return _standardize(_squeeze(read_numbers(values), column.unit)[:, None], column)
    if column.kind == "multi":
        codes, lists = pd.factorize(read_lists(values))
        rows = [_place_levels(levels, column) for levels in lists]
    else:
        codes, names = _read_texts(values)
        rows = [_place_levels((name,), column) for name in names]
    unknown = [np.nan] * len(column.center)
    return _standardize(np.array([*rows, unknown]), column)[codes]


def _place_levels(levels: tuple[str, ...], column: EncodedColumn) -> list[float]:
    """Return the rank of the one level of an ordered column, or which of a column's levels are there."""
    if column.kind == "ordered":
        return [float(column.levels.index(levels[0])) if levels[0] in column.levels else np.nan]
    found = {level if level in column.levels else OTHER for level in levels}
    if column.kind == "nominal" and not found.intersection(column.levels):
        return [np.nan] * len(column.levels)
    return [float(level in found) for level in column.levels]


def _standardize(values: np.ndarray, column: EncodedColumn) -> np.ndarray:
    return np.clip((values - np.array(column.center)) / column.spread, -FAR, FAR) * column.weight


def _read_texts(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return the place of each cell's text among the different texts, -1 for unknown, and these texts."""
    try:
        codes, found = pd.factorize(values)
    except (TypeError, NotImplementedError):
        raise ValueError(
            f"column {values.name!r} holds lists; must be text, as it was when it was learned: learn it anew"
        ) from None
    merged, names = pd.factorize(np.array([str(value) for value in found], dtype=object))
    return np.append(merged, -1)[codes], list(names)


def _measure(values: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation, of values of any size."""
    largest = float(np.abs(values).max())
    scaled = values / largest
    return float(scaled.mean()) * largest, float(scaled.std()) * largest


def _squeeze(values: np.ndarray, unit: float) -> np.ndarray:
    return np.sign(values) * np.log1p(np.abs(values) / unit) if unit else values


def _skewness(values: np.ndarray) -> float:
    center, spread = _measure(values)
    return float((((values - center) / spread) ** 3).mean()) if spread > 0 else 0.0
