"""What a feature is, and the decorator that registers one."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import getdoc
from typing import Any, Literal

Direction = Literal["up", "down", "none"]


@dataclass(frozen=True)
class Feature:
    """One feature: a column of `build_features` and how it comes about.

    Attributes:
        name: Column name.
        family: Module in which it stands: sales, stability, ...
        meaning: One sentence saying what the number is.
        unit: Unit of the number: currency, sales, days, share, ...
        direction: `up` when more is better, `down` when less is, `none` when neither.
        missing: When the value is missing.
        days: Length of the window in days; None when the feature has no window.
        formula: Takes what may be asked of the events and returns an Ibis expression.
        rating_only: True when it is made for a factor of the rating and should not make segments.
        counted_by: Of a rate, the feature that tells the number of its cases; empty when none does.
    """

    name: str
    family: str
    meaning: str
    unit: str
    direction: Direction
    missing: str
    days: int | None
    formula: Callable[[Any], Any]
    rating_only: bool = False
    counted_by: str = ""


REGISTRY: dict[str, Feature] = {}


def feature(
    name: str,
    *,
    unit: str,
    direction: Direction,
    missing: str,
    days: tuple[int, ...] = (),
    rating_only: bool = False,
    counted_by: str = "",
) -> Callable[[Callable], Callable]:
    """Register the decorated function as a feature, or as one feature a window.

    The function takes `events` (see `partnerseg.features.windows.Events`) and, when `days` is given,
    the length of the window; it returns an Ibis expression. Its docstring is the feature's meaning.

    Args:
        name: Column name; with `days`, `{days}` in it is replaced by the length of the window.
        unit: Unit of the number.
        direction: `up`, `down` or `none`.
        missing: When the value is missing.
        days: Lengths of windows, in days.
        rating_only: True when it is made for a factor of the rating and should not make segments.
        counted_by: Of a rate, the feature that tells the number of its cases; `{days}` as in the name.
    """

    def register(function: Callable) -> Callable:
        for window in days or (None,):
            column = name.format(days=window)
            if column in REGISTRY:
                raise ValueError(f"feature {column!r} is registered twice; give one of them another name")
            REGISTRY[column] = Feature(
                name=column,
                family=function.__module__.rpartition(".")[2],
                meaning=" ".join((getdoc(function) or "").split()),
                unit=unit,
                direction=direction,
                missing=missing,
                days=window,
                formula=function if window is None else partial(function, days=window),
                rating_only=rating_only,
                counted_by=counted_by.format(days=window),
            )
        return function

    return register


def cap(rate: Any) -> Any:
    """A rate of at most 1: what came of the window's cases may belong to older ones."""
    return (rate > 1).ifelse(1.0, rate)
