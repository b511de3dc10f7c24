"""Judgments of pairs of factors: read, complete, measure their consistency, name the one to revisit."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

# Mean consistency index of random matrices of 1, 2, ... 15 factors, as Saaty (1980) prints it (the dip at 12 is his:
# few matrices were drawn); larger ones by the line of Alonso and Lamata (2006).
RANDOM_INDEX = (0, 0, 0.58, 0.90, 1.12, 1.24, 1.32, 1.41, 1.45, 1.49, 1.51, 1.48, 1.56, 1.57, 1.59)
_KEYS = ("better", "worse", "times")
_ROW = "a row {better, worse, times}"


def read_number(where: str, value: Any, least: float, *, above: bool = False) -> float:
    """Return a finite number of at least `least`, or above it.

    Raises:
        ValueError: The value is text, true or false, missing, infinite or too small.
    """
    known = isinstance(value, Real | Decimal) and not isinstance(value, bool)
    number = float(value) if known else np.nan
    if not (np.isfinite(number) and (number > least if above else number >= least)):
        told = repr(value) if isinstance(value, str) else str(value)
        raise ValueError(f"{where} == {told}, must be a number {'>' if above else '>='} {least:g}")
    return number


def read_by_name(where: str, given: Any) -> dict[Any, Any]:
    """Return what a mapping or series gives each name.

    Raises:
        ValueError: It is neither, or a name stands there twice.
    """
    if not hasattr(given, "items"):
        raise ValueError(f"{where} is a {type(given).__name__}, must give each name a number, as {{volume: 3}}")
    if isinstance(given, pd.Series) and not given.index.is_unique:
        raise ValueError(f"{where} names {given.index[given.index.duplicated()][0]} twice; keep one of them")
    return dict(given.items())


def check_name(where: str, name: Any, known: Iterable[Any]) -> None:
    """Raise ValueError where a name is not among those known, with the one meant or all there are."""
    known = list(known)
    if name not in known:
        near = get_close_matches(str(name), [str(one) for one in known], n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"possible values are: {', '.join(map(str, known))}"
        raise ValueError(f"{where} == {name!r}, must be a factor; {hint}")


def _check_times(where: str, times: Any, least: float) -> float:
    return read_number(f"{where}: times", times, least, above=not least)


def check_judged(judgments: Any, factors: Iterable[Any]) -> None:
    """Check that judgments name nothing but factors.

    Args:
        judgments: As for `read_judgments`.
        factors: Names of all factors there are.

    Raises:
        ValueError: A name is no factor (the message tells where it stands and which factor may be meant), or as
            `read_judgments`.
    """
    factors = list(factors)
    for where, name in _list_names(judgments):
        check_name(where, name, factors)


def _list_names(judgments: Any) -> Iterator[tuple[str, Any]]:
    if _is_matrix(judgments):
        yield from (("judgments: a row or column", name) for name in (*judgments.index, *judgments.columns))
    else:
        for number, row in enumerate(_read_rows(judgments)):
            yield from ((f"judgments[{number}].{side}", row[side]) for side in ("better", "worse"))


def read_judgments(judgments: Any) -> tuple[list[Any], np.ndarray]:
    """Return names and the matrix of judgments, missing where not judged, 1 on the diagonal.

    Raises:
        ValueError: There is none, a row lacks a part, a value is not a number above 0, a pair is judged twice, or
            halves of a matrix disagree.
    """
    if _is_matrix(judgments):
        return _read_matrix(judgments)
    rows = _read_rows(judgments)
    names = list(dict.fromkeys(row[side] for row in rows for side in ("better", "worse")))
    judged = np.full((len(names), len(names)), np.nan)
    np.fill_diagonal(judged, 1.0)
    for number, row in enumerate(rows):
        better, worse = names.index(row["better"]), names.index(row["worse"])
        where = f"judgments[{number}]: {row['better']} over {row['worse']}"
        times = _check_times(where, row["times"], 0)
        if better == worse:
            raise ValueError(f"{where}: a factor is compared with itself; name two factors")
        if not np.isnan(judged[better, worse]):
            raise ValueError(f"{where}: this pair is judged twice; keep one of them")
        judged[better, worse], judged[worse, better] = times, 1 / times
    return names, judged


def _is_matrix(judgments: Any) -> bool:
    return isinstance(judgments, pd.DataFrame) and not set(_KEYS) <= set(judgments.columns)


def _read_rows(judgments: Any) -> list[Mapping[str, Any]]:
    if isinstance(judgments, Mapping | str) or not isinstance(judgments, Iterable):
        raise ValueError(f"judgments is a {type(judgments).__name__}, must be a list of which each is {_ROW}")
    rows: list[Any] = judgments.to_dict("records") if isinstance(judgments, pd.DataFrame) else list(judgments)
    if not rows:
        raise ValueError("judgments: there is none; add rows {better, worse, times}")
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise ValueError(f"judgments[{number}] == {row!r}, must be {_ROW}")
        if not set(_KEYS) <= set(row):
            raise ValueError(f"judgments[{number}] has the keys {', '.join(map(str, row))}, must be {_ROW}")
        for side in ("better", "worse"):
            if pd.isna(row[side]):
                raise ValueError(f"judgments[{number}].{side} is missing; name a factor")
    return rows


def _read_matrix(frame: pd.DataFrame) -> tuple[list[Any], np.ndarray]:
    names = list(frame.columns)
    if not names:
        raise ValueError("judgments: there is none; add rows {better, worse, times}")
    if set(frame.index) != set(names) or len(set(names)) != len(names) or len(frame) != len(names):
        raise ValueError(
            "judgments: rows and columns of the matrix must be the same factors, each once, "
            "or the columns better, worse and times"
        )
    judged = np.full((len(names), len(names)), np.nan)
    for one, row in enumerate(frame.reindex(names).itertuples(index=False)):
        for other, cell in enumerate(row):
            if not pd.isna(cell):
                judged[one, other] = _check_times(f"judgments: {names[one]} over {names[other]}", cell, 0)
    for one in range(len(names)):
        for other in range(one, len(names)):
            there, back = judged[one, other], judged[other, one]
            if not np.isnan(there * back) and not np.isclose(there * back, 1, rtol=0.02):
                where = f"judgments: {names[one]} over {names[other]}"
                raise ValueError(f"{where}: times == {there} and {back} the other way round, must be its reciprocal")
            times = 1 / back if np.isnan(there) else there
            judged[one, other], judged[other, one] = times, 1 / times
    np.fill_diagonal(judged, 1.0)
    return names, judged


def _find_parts(judged: np.ndarray) -> np.ndarray:
    """Number the groups of factors that judgments connect."""
    from scipy.sparse.csgraph import connected_components

    return np.asarray(connected_components(~np.isnan(judged), directed=False)[1])


def complete_judgments(names: Sequence[Any], judged: np.ndarray) -> np.ndarray:
    """Fill in the judgments not made so that the largest eigenvalue is the least possible (a convex problem).

    Raises:
        ValueError: Nothing connects some factors with the others.
    """
    parts = _find_parts(judged)
    if parts.max():
        alone = ", ".join(str(name) for name, part in zip(names, parts, strict=True) if part)
        raise ValueError(f"judgments: nothing connects {alone} with {names[0]}; add a judgment between them")
    one, other = np.nonzero(np.triu(np.isnan(judged), k=1))
    if not len(one):
        return judged
    from scipy.optimize import minimize

    # Start from the logarithmic least squares completion.
    known = ~np.isnan(judged)
    logs = np.log(np.where(known, judged, 1.0))
    laplacian = np.diag(known.sum(axis=1)) - known.astype(float)
    level = np.linalg.lstsq(laplacian, logs.sum(axis=1), rcond=None)[0]

    def fill(free: np.ndarray) -> np.ndarray:
        completed = judged.copy()
        completed[one, other], completed[other, one] = np.exp(free), np.exp(-free)
        return completed

    def measure(free: np.ndarray) -> tuple[float, np.ndarray]:
        completed = fill(free)
        largest, right = find_principal(completed)
        left = find_principal(completed.T)[1]
        up = left[one] * right[other] * completed[one, other]
        down = left[other] * right[one] * completed[other, one]
        return largest, (up - down) / (left @ right)

    found = minimize(measure, level[one] - level[other], jac=True, method="BFGS", options={"gtol": 1e-10})
    return fill(found.x)


def find_principal(matrix: np.ndarray) -> tuple[float, np.ndarray]:
    """Largest eigenvalue and its vector, above 0 and summing to 1."""
    values, vectors = np.linalg.eig(matrix)
    place = int(np.argmax(values.real))
    vector = np.abs(vectors[:, place].real)
    return float(values[place].real), vector / vector.sum()


def find_consistency_ratio(largest: float, n: int) -> float:
    """Return the consistency index of n factors over that of random matrices; 0 is perfect."""
    if n < 3:
        return 0.0
    index = RANDOM_INDEX[n - 1] if n <= len(RANDOM_INDEX) else (1.7699 * n - 4.3513) / (n - 1)
    return max((largest - n) / (n - 1) / index, 0.0)


def name_judgment(names: Sequence[Any], judged: np.ndarray) -> str:
    """Name the judgment without which the others fit best, and what it would be then."""
    best = (np.inf, 0, 0, 1.0)
    for one, other in np.argwhere(np.triu(~np.isnan(judged), k=1)).tolist():
        without = judged.copy()
        without[one, other] = without[other, one] = np.nan
        if not _find_parts(without).max():
            completed = complete_judgments(names, without)
            best = min(best, (find_principal(completed)[0], one, other, completed[one, other]))
    largest, one, other, fitting = best
    if judged[one, other] < 1:
        one, other, fitting = other, one, 1 / fitting
    told = f"{names[one]} over {names[other]} times {_tell(judged[one, other])}"
    turned = f" (so {names[other]} over {names[one]} times {_tell(1 / fitting)})" if fitting < 1 else ""
    ratio = find_consistency_ratio(largest, len(names))
    return f"revisit {told}: {_tell(fitting)}{turned} would fit the others best and bring the ratio to {ratio:.3f}"


def _tell(times: float) -> str:
    return f"{times:.3g}"


def read_best_worst(best_to_others: Any, others_to_worst: Any) -> tuple[pd.DataFrame, int, int]:
    """Return both judgments by factor and the places of the best and the worst.

    Raises:
        ValueError: A value is under 1, a factor is judged once only, or best and worst cannot be told or disagree.
    """
    given = {
        "best_to_others": read_by_name("best_to_others", best_to_others),
        "others_to_worst": read_by_name("others_to_worst", others_to_worst),
    }
    for where, judgments in given.items():
        for name, times in judgments.items():
            judgments[name] = _check_times(f"{where}: {name}", times, 1)
    names = list(dict.fromkeys([*given["others_to_worst"], *given["best_to_others"]]))
    if not names:
        raise ValueError("best_to_others, others_to_worst: there are no judgments; name at least one factor")
    for where, judgments in given.items():
        left_out = [name for name in names if name not in judgments]
        if len(left_out) > 1:
            raise ValueError(f"{where} lacks {', '.join(map(str, left_out))}; only one, compared with itself, may")
        judgments.update({name: 1.0 for name in left_out})
    table = pd.DataFrame(given, index=names)
    from_best, to_worst = (table[column].to_numpy(dtype=float) for column in table)
    # Of factors as important as the best, the one furthest above the worst; the name decides at last.
    order = sorted(range(len(names)), key=lambda place: str(names[place]))
    best = min(order, key=lambda place: (from_best[place], -to_worst[place]))
    worst = min(order, key=lambda place: (to_worst[place], -from_best[place]))
    for where, times in (("best_to_others", from_best[best]), ("others_to_worst", to_worst[worst])):
        if times != 1:
            raise ValueError(f"{where} has no factor with 1: which one all are compared with is unknown")
    if from_best[worst] != to_worst[best]:
        raise ValueError(
            f"best_to_others[{names[worst]!r}] == {from_best[worst]:g}, but others_to_worst[{names[best]!r}] == "
            f"{to_worst[best]:g}: both compare {names[best]} with {names[worst]} and must be the same"
        )
    return table, best, worst


def split_best_worst(judgments: Iterable[Mapping[str, Any]]) -> tuple[dict[Any, float], dict[Any, float]]:
    """Find the best and the worst in rows of pairs: the one above all others, and the one below all.

    Raises:
        ValueError: There is no such factor, or as `read_judgments`.
    """
    names, judged = read_judgments(judgments)
    others = len(names) - 1
    best = [place for place in range(len(names)) if (np.nan_to_num(judged[place]) >= 1).sum() == others + 1]
    worst = [place for place in range(len(names)) if (np.nan_to_num(judged[:, place]) >= 1).sum() == others + 1]
    if not best or not worst:
        side, column = ("best", "better") if not best else ("worst", "worse")
        raise ValueError(f"judgments: no factor stands as {column} against every other, so the {side} is unknown")
    top = min(best, key=lambda place: str(names[place]))
    bottom = min((place for place in worst if place != top or others == 0), key=lambda place: str(names[place]))
    return dict(zip(names, judged[top], strict=True)), dict(zip(names, judged[:, bottom], strict=True))
