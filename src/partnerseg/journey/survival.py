"""Curves of time: how many are still there, how many ended in which way, when half have left."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

YEAR_DAYS = 365
WAITING, FORWARD, OTHERWISE = 0, 1, 2


def kaplan_meier(duration: Any, observed: Any, *, level: float = 0.95) -> pd.DataFrame:
    """Estimate how many are still there after each duration, some being still on their way.

    Ties are exact: whoever is still on the way at a duration counts as being there during all of it. The
    order of the rows does not matter.

    Args:
        duration: How long each was observed, at least 0, none missing.
        observed: True where the end was seen, False where it was still on the way.
        level: Level of the interval.

    Returns:
        One row a distinct duration, rising: `time`, `at_risk`, `events`, `survival` (0-1), `std_err` (of
        survival, Greenwood), `lower` and `upper` (computed on the logarithm; missing where survival is 0).

    Raises:
        ValueError: The two differ in length, or a duration is missing or negative.

    References:
        Kaplan and Meier (1958), Nonparametric estimation from incomplete observations.

    Example:
        >>> kaplan_meier([1, 2, 2, 3], [True, True, False, True])[["time", "at_risk", "survival"]]
           time  at_risk  survival
        0   1.0        4      0.75
        1   2.0        3      0.50
        2   3.0        1      0.00
    """
    times, at_risk, events = _count_by_time(duration, np.asarray(observed).astype(bool).astype(int), [1])
    events = events[0]
    survival = np.cumprod(1 - events / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.sqrt(np.cumsum(events / (at_risk * (at_risk - events))))
        std_err = np.where(survival > 0, survival * relative, 0.0)
        reach = norm.ppf(0.5 + level / 2) * relative
        lower = np.where(survival > 0, survival * np.exp(-reach), np.nan)
        upper = np.where(survival > 0, np.minimum(survival * np.exp(reach), 1.0), np.nan)
    return pd.DataFrame(
        {
            "time": times,
            "at_risk": at_risk,
            "events": events,
            "survival": survival,
            "std_err": std_err,
            "lower": lower,
            "upper": upper,
        }
    )


def cumulative_incidence(duration: Any, event: Any) -> pd.DataFrame:
    """Estimate how many have ended in each of several ways after each duration (Aalen-Johansen).

    The ways compete: who ended in one can no longer end in another. Ties are exact and the order of the
    rows does not matter.

    Args:
        duration: How long each was observed, at least 0, none missing.
        event: 0 where it was still on the way, otherwise the number of the way in which it ended.

    Returns:
        One row a way and distinct duration: `event`, `time`, `at_risk`, `events` (of this way),
        `incidence` (share that has ended this way by then, 0-1) and `std_err`.

    Raises:
        ValueError: The two differ in length, or a duration is missing or negative.

    References:
        Aalen and Johansen (1978), An empirical transition matrix for nonhomogeneous Markov chains; the
        variance is that of Marubini and Valsecchi (1995), Analysing survival data, section 10.

    Example:
        >>> table = cumulative_incidence([1, 2, 2, 3], [1, 1, 2, 0])
        >>> table.groupby("event")["incidence"].last().to_dict()
        {1: 0.5, 2: 0.25}
    """
    event = np.asarray(event).astype(int)
    kinds = sorted(set(event.tolist()) - {0})
    times, at_risk, counts = _count_by_time(duration, event, kinds)
    every = counts.sum(axis=0)
    survival = np.cumprod(1 - every / at_risk)
    before = np.concatenate([[1.0], survival[:-1]])
    parts = []
    for kind, events in zip(kinds, counts, strict=True):
        incidence = np.cumsum(before * events / at_risk)
        parts.append(
            pd.DataFrame(
                {
                    "event": kind,
                    "time": times,
                    "at_risk": at_risk,
                    "events": events,
                    "incidence": incidence,
                    "std_err": np.sqrt(_incidence_variance(at_risk, every, events, before, incidence)),
                }
            )
        )
    if not parts:
        return pd.DataFrame({name: [] for name in ("event", "time", "at_risk", "events", "incidence", "std_err")})
    return pd.concat(parts, ignore_index=True)


def is_followed(days: np.ndarray, event: np.ndarray, horizon: float) -> bool:
    """Tell whether somebody was followed for the whole horizon, or everybody up to the end."""
    return len(days) > 0 and bool(days.max() >= horizon or (event[days == days.max()] != WAITING).all())


def _count_by_time(duration: Any, event: np.ndarray, kinds: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return distinct times, how many are at risk at each, and the events of each kind (kinds x times)."""
    duration = np.asarray(duration, dtype=float)
    if duration.shape != event.shape:
        raise ValueError(f"{duration.size} durations and {event.size} events, must be one event for each duration")
    if bad := int((~(duration >= 0)).sum()):
        raise ValueError(f"{bad} durations are missing or negative, must be >= 0; leave such rows out")
    times, place = np.unique(duration, return_inverse=True)
    at_risk = len(duration) - np.searchsorted(np.sort(duration), times, side="left")
    counts = np.array([np.bincount(place[event == kind], minlength=len(times)) for kind in kinds])
    return times, at_risk, counts.reshape(len(kinds), len(times))


def _incidence_variance(
    at_risk: np.ndarray, every: np.ndarray, events: np.ndarray, before: np.ndarray, incidence: np.ndarray
) -> np.ndarray:
    """Variance of the cumulative incidence at each time: three sums over the times up to it."""
    remaining = at_risk - every
    with np.errstate(divide="ignore", invalid="ignore"):
        a = np.where(remaining > 0, every / (at_risk * remaining), 0.0)
    b = before**2 * events * (at_risk - events) / at_risk**3
    c = before * events / at_risk**2
    # sum (F(t) - F(j))^2 a_j + sum b_j - 2 sum (F(t) - F(j)) c_j, with the square written out.
    squares = incidence**2 * np.cumsum(a) - 2 * incidence * np.cumsum(incidence * a) + np.cumsum(incidence**2 * a)
    crossed = incidence * np.cumsum(c) - np.cumsum(incidence * c)
    return np.maximum(squares + np.cumsum(b) - 2 * crossed, 0.0)


def estimate_share(
    days: np.ndarray, event: np.ndarray, kind: int, horizon: float, level: float
) -> tuple[float, float, float]:
    """Return the incidence of one kind of event by the horizon and its interval; missing while not followed so long."""
    in_time = days <= horizon
    if not is_followed(days, event, horizon):
        return np.nan, np.nan, np.nan
    outcome_known = int((~in_time | (event != WAITING)).sum())
    share, variance = 0.0, 0.0
    if ((event == kind) & in_time).any():
        table = cumulative_incidence(days, event)
        last = table[(table["event"] == kind) & (table["time"] <= horizon)].iloc[-1]
        share, variance = min(float(last["incidence"]), 1.0), float(last["std_err"]) ** 2
    uneven = share * (1 - share)
    effective = uneven / variance if variance > 0 and uneven > 1e-12 else float(max(outcome_known, 1))
    return share, *find_wilson(share, effective, level)


def find_wilson(share: float, n: float, level: float) -> tuple[float, float]:
    """Return Wilson's interval of a share of n cases; n need not be whole."""
    z2 = norm.ppf(0.5 + level / 2) ** 2
    center = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return float(max(center - reach, 0.0)), float(min(center + reach, 1.0))


def compare_shares(n: int, of: int, other_n: int, other_of: int, level: float) -> tuple[float, float, float]:
    """Return the difference of two shares, n of `of` less other_n of `other_of`, and its interval.

    References:
        Newcombe (1998), Interval estimation for the difference between independent proportions, method 10.

    Example:
        >>> [round(value, 4) for value in compare_shares(56, 70, 48, 80, 0.95)]
        [0.2, 0.0524, 0.3339]
    """
    share, other = n / of, other_n / other_of
    low, high = find_wilson(share, of, level)
    other_low, other_high = find_wilson(other, other_of, level)
    lower = share - other - np.hypot(share - low, other_high - other)
    return share - other, float(lower), float(share - other + np.hypot(high - share, other - other_low))


def find_median(curve: pd.DataFrame) -> tuple[float, float, float]:
    """Return the first times at which survival, its lower and its upper bound reach one half; missing if never."""

    def first(column: str) -> float:
        # The small allowance is for products that are one half but for rounding.
        reached = curve.loc[curve[column] <= 0.5 + 1e-9, "time"]
        return float(reached.iloc[0]) if len(reached) else np.nan

    return first("survival"), first("lower"), first("upper")


def find_expected_stay(curve: pd.DataFrame, waited: np.ndarray) -> np.ndarray:
    """Return the days still expected within a year, for each number of days waited so far.

    Beyond the longest duration observed the curve stays level: nobody is taken to leave there.
    """
    if curve.empty:
        return np.full(len(waited), np.nan)
    # The mean of min(T - waited, year) given T > waited is the area under S(t) / S(waited) for a year.
    edges = np.concatenate([[0.0], curve["time"].to_numpy(dtype=float)])
    height = np.concatenate([[1.0], curve["survival"].to_numpy(dtype=float)])
    area_before = np.concatenate([[0.0], np.cumsum(np.diff(edges) * height[:-1])])

    def area(until: np.ndarray) -> np.ndarray:
        place = np.searchsorted(edges, until, side="right") - 1
        return area_before[place] + (until - edges[place]) * height[place]

    known = np.where(np.isnan(waited), 0.0, waited)
    standing = height[np.searchsorted(edges, known, side="right") - 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        stay = (area(known + YEAR_DAYS) - area(known)) / standing
    return np.where(np.isnan(waited), np.nan, stay)


def tell_outcome(spells: pd.DataFrame, stages: tuple[str, ...]) -> np.ndarray:
    """Tell for each spell whether it goes on (0), ended forward (1) or ended otherwise (2).

    Args:
        spells: Rows with `stage` and `next_stage`, as `Journey.spells_`.
        stages: Stages in order; from an exit every stage lies forward.
    """
    place = {name: number for number, name in enumerate(stages)}
    here, there = spells["stage"].map(place).fillna(-1), spells["next_stage"].map(place).fillna(-1)
    return np.select([spells["next_stage"].isna(), there > here], [WAITING, FORWARD], OTHERWISE)
