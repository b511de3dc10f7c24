"""Sum events over windows of time that end on many dates, reading the events once.

The dates and the ends of all windows cut time into bins; within a bin, all events fall into the same windows.
Ibis adds up the events by partner, bin and first date on which they are visible (by their own time and by
`arrived_at`), and by customer, country or product where that is needed. A window's value on a date is then
a running sum over dates: a group of events enters on the first date that sees it in the window and leaves on
the first that no longer does. All sums are of whole numbers and therefore exact.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from partnerseg.features.events import ATTRIBUTES, SOURCES

MONTHS = 12
NAT = 2.0**40  # parts of a nat that are kept, so that entropies add up exactly
NO_KEY = 0


@dataclass(frozen=True)
class Level:
    """A number asked of the events, for every partner and date: `kind` of `what` in a window.

    Attributes:
        source: Key of `SOURCES`.
        kind: How events become a number, such as total or distinct.
        what: Measure or key.
        days: Length of the window; 0 means since ever.
        before: Days between the end of the window and the date.
    """

    source: str
    kind: str
    what: str
    days: int = 0
    before: int = 0

    @property
    def name(self) -> str:
        """Column under which formulas find the number."""
        return f"{self.source}.{self.kind}.{self.what}.{self.days}.{self.before}"


class Events:
    """What features may ask: `events.sales.total("amount", 365)`, `events.partner("tenure")`.

    Every answer is an Ibis expression; what was asked is kept in `asked` and `attributes`.
    """

    def __init__(self) -> None:
        self.asked: dict[str, Level] = {}
        self.attributes: dict[str, str] = {}
        for name in SOURCES:
            setattr(self, name, _Asker(name, self.asked))

    def __getattr__(self, name: str) -> "_Asker":
        raise AttributeError(f"events.{name}: no such source; possible sources are: {', '.join(SOURCES)}")

    def partner(self, attribute: str) -> Any:
        """Return an attribute of the partner itself."""
        import ibis

        self.attributes[attribute] = ATTRIBUTES[attribute]
        return ibis._[f"partner.{attribute}"]


class _Asker:
    def __init__(self, source: str, asked: dict[str, Level]) -> None:
        self._source, self._asked = source, asked

    def _ask(self, kind: str, what: str, days: int = 0, before: int = 0) -> Any:
        import ibis

        source = SOURCES[self._source]
        known = [*source.measures, *source.keys]
        if what not in known:
            raise ValueError(f"events.{self._source}: nothing is called {what!r}; possible names: {', '.join(known)}")
        level = Level(self._source, kind, what, days, before)
        self._asked[level.name] = level
        return ibis._[level.name]

    def total(self, measure: str, days: int, *, before: int = 0) -> Any:
        """Sum in the window; `before` shifts its end, and the sum is missing when the table begins later."""
        return self._ask("total", measure, days, before)

    def mean(self, measure: str, days: int) -> Any:
        """Mean over the window's events of which the measure is known."""
        return self._ask("total", measure, days) / self._ask("known", measure, days).nullif(0)

    def days_since_last(self, measure: str) -> Any:
        """Whole days since the last event of which the measure is 1."""
        return self._ask("last", measure)

    def days_since_first(self, measure: str) -> Any:
        """Whole days since the first event of which the measure is 1."""
        return self._ask("first", measure)

    def distinct(self, key: str, days: int) -> Any:
        """Different values of a key in the window; missing where it has events and no value."""
        return self._ask("distinct", key, days)

    def new(self, key: str, days: int) -> Any:
        """Values of a key that came up for the first time in the window."""
        return self._ask("new", key, days)

    def repeated(self, key: str, days: int) -> Any:
        """Values of a key that came up at least twice in the window."""
        return self._ask("repeated", key, days)

    def largest_share(self, key: str, days: int) -> Any:
        """Share of the largest value of a key in the amount of the window."""
        return self._ask("largest_share", key, days)

    def entropy(self, key: str, days: int) -> Any:
        """Shannon entropy (nats) of the window's amount by values of a key."""
        return self._ask("entropy", key, days)

    def monthly_variation(self, measure: str, days: int) -> Any:
        """Coefficient of variation over the last 12 complete months."""
        return self._ask("monthly_variation", measure, days)

    def active_months(self, measure: str, days: int) -> Any:
        """Months with an event among the last 12 complete months."""
        return self._ask("active_months", measure, days)

    def longest_gap(self, measure: str, days: int) -> Any:
        """Longest time in days between consecutive days with an event in the window."""
        return self._ask("longest_gap", measure, days)

    def latest(self, measure: str) -> Any:
        """Sum over the latest events, one of each kind that the source tells apart."""
        return self._ask("latest", measure)


class Timeline:
    """Bins of time for windows that end on several dates.

    Attributes:
        ends: First day after each date, days since 1970, ascending.
        first_day: First day of the calendar; what happened before counts as happening on it.
        calendar: One row a day: day, bin, month (months since 1970).
    """

    def __init__(self, dates: pd.DatetimeIndex, offsets: set[int]) -> None:
        self.ends = dates.values.astype("datetime64[D]").astype(np.int64) + 1
        self.months = (self.ends.astype("datetime64[D]")).astype("datetime64[M]").astype(np.int64)
        self.first_day = int(self.ends[0] - max(offsets, default=0) - 366 - 1)
        days = np.arange(self.first_day, self.ends[-1])
        offsets = {0, *offsets}
        left = np.stack([self.first_date_after(days + offset) for offset in sorted(offsets)])
        bins = np.r_[0, np.cumsum((np.diff(left) != 0).any(axis=0))]
        month = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        self.calendar = pd.DataFrame({"day": days, "bin": bins, "month": month}, dtype="int64")
        starts = np.flatnonzero(np.r_[True, np.diff(bins) > 0])
        self._left = dict(zip(sorted(offsets), left[:, starts], strict=True))

    def first_date_after(self, day: np.ndarray) -> np.ndarray:
        """Position of the first date that lies on a day or after it; the number of dates if none does."""
        return np.searchsorted(self.ends, day, side="right")

    def left(self, offset: int) -> np.ndarray:
        """For each bin, position of the first date that lies `offset` days after it or later."""
        return self._left[offset]


@dataclass
class Roller:
    """Levels of one source, for all dates (rows) and partners (columns).

    Attributes:
        timeline: Dates and bins.
        n_partners: Number of partners.
    """

    timeline: Timeline
    n_partners: int

    @cached_property
    def _shape(self) -> tuple[int, int]:
        return len(self.timeline.ends), self.n_partners

    def add(self, partner: np.ndarray, start: np.ndarray, until: np.ndarray, number: np.ndarray | None) -> np.ndarray:
        """Sum numbers that count from date `start` to before date `until`."""
        n_dates, n_partners = self._shape
        size = n_dates * n_partners
        counts = start < until
        enters = np.bincount((start * n_partners + partner)[counts], None if number is None else number[counts], size)
        leaves = counts & (until < n_dates)
        if leaves.any():
            gone = (until * n_partners + partner)[leaves]
            enters = enters - np.bincount(gone, None if number is None else number[leaves], size)
        return np.cumsum(enters.reshape(self._shape), axis=0).astype(np.float64, copy=False)

    def extreme(self, partner: np.ndarray, start: np.ndarray, day: np.ndarray, *, largest: bool) -> np.ndarray:
        """Largest or smallest day known on each date; NaN before the first."""
        pick = np.maximum if largest else np.minimum
        none = -np.inf if largest else np.inf
        found = np.full(self._shape, none)
        seen = np.isfinite(day) & (start < self._shape[0])
        pick.at(found.ravel(), (start * self.n_partners + partner)[seen], day[seen])
        found = pick.accumulate(found, axis=0)
        found[np.isinf(found)] = np.nan
        return found

    def hide_unknown(self, values: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Put NaN on all dates before anything of this kind was known of any partner."""
        values[: int(seen.min(initial=self._shape[0]))] = np.nan
        return values


def roll_levels(
    rows: Any, levels: list[Level], timeline: Timeline, n_partners: int, connection: Any
) -> dict[str, np.ndarray]:
    """Answer what was asked of one source.

    Args:
        rows: Ibis table of the source's visible events: partner (position), day, bin, month, seen (position of
            the first date that sees it), measures as whole numbers, keys as hashes; for sources that look at the
            latest events also rank (order in time) and until (position of the first date that it has expired on).
        levels: What was asked.
        timeline: Dates and bins.
        n_partners: Number of partners.
        connection: Backend that holds the rows.

    Returns:
        For each level's name an array of dates x partners.
    """
    roller = Roller(timeline, n_partners)
    answers: dict[str, np.ndarray] = {}
    plain = [level for level in levels if level.kind in ("total", "known", "last", "first")]
    keyed = [level for level in levels if level.kind in ("distinct", "new", "repeated", "largest_share", "entropy")]
    monthly = [level for level in levels if level.kind in ("monthly_variation", "active_months")]
    if plain:
        answers |= _roll_plain(rows, plain, roller, connection)
    for key in dict.fromkeys(level.what for level in keyed):
        answers |= _roll_keyed(rows, [level for level in keyed if level.what == key], roller, connection)
    if monthly:
        answers |= _roll_months(rows, monthly, roller, connection)
    for level in levels:
        if level.kind == "longest_gap":
            answers[level.name] = _roll_gaps(rows, level, roller, connection)
    latest = [level for level in levels if level.kind == "latest"]
    if latest:
        answers |= _roll_latest(rows, latest, roller, connection)
    return answers


def _fetch(expression: Any, connection: Any) -> dict[str, np.ndarray]:
    table = connection.to_pyarrow(expression)
    return {name: table[name].to_numpy() for name in table.column_names}


def _roll_plain(rows: Any, levels: list[Level], roller: Roller, connection: Any) -> dict[str, np.ndarray]:
    source = SOURCES[levels[0].source]
    sums = {}
    for level in levels:
        column = rows[level.what]
        sums[f"known.{level.what}"] = column.count().cast("float64")
        if level.kind == "total":
            sums[f"total.{level.what}"] = column.sum().fill_null(0.0)
        elif level.kind in ("last", "first"):
            days = rows.day.max(where=column == 1) if level.kind == "last" else rows.day.min(where=column == 1)
            sums[f"{level.kind}.{level.what}"] = days.cast("float64")
    if any(level.before for level in levels):
        sums["begins"] = rows.day.min()
    cells = _fetch(rows.group_by("partner", "bin", "seen").agg(**sums), connection)
    partner, seen, bins = cells["partner"], cells["seen"], cells["bin"]
    ends = roller.timeline.ends[:, None]
    answers = {}
    for level in levels:
        known = cells[f"known.{level.what}"]
        if level.kind in ("last", "first"):
            day = roller.extreme(partner, seen, cells[f"{level.kind}.{level.what}"], largest=level.kind == "last")
            values = ends - 1 - day
        else:
            start = np.maximum(seen, roller.timeline.left(level.before)[bins])
            until = roller.timeline.left(level.before + level.days)[bins]
            values = roller.add(partner, start, until, cells[f"{level.kind}.{level.what}"])
            if level.kind == "total":
                values /= source.measures[level.what].scale
        values = roller.hide_unknown(values, seen[known > 0])
        if level.before:
            begins = np.full(len(ends), np.inf)
            np.minimum.at(begins, seen, cells["begins"])
            values[np.minimum.accumulate(begins) > ends[:, 0] - level.before - level.days] = np.nan
        answers[level.name] = values
    return answers


def _roll_keyed(rows: Any, levels: list[Level], roller: Roller, connection: Any) -> dict[str, np.ndarray]:
    source, timeline = SOURCES[levels[0].source], roller.timeline
    counted = rows.filter(rows[source.counted] == 1)
    cells = _fetch(
        counted.group_by("partner", "bin", "seen", key=counted[levels[0].what])
        .agg(events=counted.count(), amount=counted[source.amount].sum().fill_null(0.0))
        .order_by("partner", "key", "bin"),
        connection,
    )
    every = {name: cells[name] for name in ("partner", "seen", "bin", "events")}
    cells = {name: values[cells["key"] != NO_KEY] for name, values in cells.items()}
    partner, seen, bins = cells["partner"], cells["seen"], cells["bin"]
    group = _number_groups(partner, cells["key"])
    answers = {}
    for level in levels:
        until = timeline.left(level.days)[bins]
        if level.kind in ("largest_share", "entropy"):
            values = _roll_shares(level.kind, partner, group, seen, until, cells["amount"], roller)
        else:
            values = _roll_counts(level.kind, cells, group, until, roller)
            every_until = timeline.left(level.days)[every["bin"]]
            events = roller.add(every["partner"], every["seen"], every_until, every["events"])
            named = roller.add(partner, seen, until, cells["events"])
            values[(events > 0) & (named == 0)] = np.nan
        answers[level.name] = roller.hide_unknown(values, seen)
    return answers


def _roll_counts(
    kind: str, cells: dict[str, np.ndarray], group: np.ndarray, until: np.ndarray, roller: Roller
) -> np.ndarray:
    """Count keys: each through the one event that is its latest, its first or its second latest on a date.

    An event is the latest of its key from the day that it is seen to the day that a later one is seen.
    """
    never = len(roller.timeline.ends)
    partner, seen = cells["partner"], cells["seen"]
    if kind == "distinct":
        return roller.add(partner, seen, np.minimum(until, _min_after(seen, group, never)), None)
    if kind == "new":
        return roller.add(partner, seen, np.minimum(until, _min_before(seen, group, never)), None)
    twice = np.repeat(np.arange(len(seen)), np.minimum(cells["events"], 2))
    partner, seen, until, group = partner[twice], seen[twice], until[twice], group[twice]
    later = _min_after(seen, group, never)
    second_later = _min_after(np.maximum(seen, later), group, never)
    return roller.add(partner, np.maximum(seen, later), np.minimum(until, second_later), None)


def _roll_shares(
    kind: str,
    partner: np.ndarray,
    group: np.ndarray,
    seen: np.ndarray,
    until: np.ndarray,
    amount: np.ndarray,
    roller: Roller,
) -> np.ndarray:
    """Follow the amount of every key over the dates and tell the largest share or the entropy."""
    n_dates, n_partners = len(roller.timeline.ends), roller.n_partners
    values = np.full((n_dates, n_partners), np.nan)
    counts = seen < until
    if not counts.any():
        return values
    partner, seen, until, amount = partner[counts], seen[counts], until[counts], amount[counts]
    group = _number_groups(partner, group[counts])
    of_group = np.flatnonzero(np.r_[True, np.diff(group) > 0])
    partner_of_group = partner[of_group]
    of_partner = np.flatnonzero(np.r_[True, np.diff(partner_of_group) > 0])
    groups_of_partner = np.diff(np.r_[of_partner, len(of_group)])
    present = partner_of_group[of_partner]
    amounts = np.zeros(len(of_group))
    for date in range(n_dates):
        enters, leaves = seen == date, until == date
        amounts += np.bincount(group[enters], amount[enters], len(amounts))
        amounts -= np.bincount(group[leaves], amount[leaves], len(amounts))
        positive = np.maximum(amounts, 0.0)
        total = np.add.reduceat(positive, of_partner)
        total[total == 0] = np.nan
        if kind == "largest_share":
            values[date, present] = np.maximum.reduceat(positive, of_partner) / total
        else:
            share = positive / np.repeat(total, groups_of_partner)
            parts = np.rint(-share * np.log(np.where(share > 0, share, 1.0)) * NAT)
            values[date, present] = np.add.reduceat(parts, of_partner) / NAT
    return values


def _roll_months(rows: Any, levels: list[Level], roller: Roller, connection: Any) -> dict[str, np.ndarray]:
    source, months = SOURCES[levels[0].source], roller.timeline.months
    oldest = int(months[0]) - MONTHS - 1
    amount = next((level.what for level in levels if level.kind == "monthly_variation"), source.amount)
    cells = _fetch(
        rows.group_by("partner", "seen", month=rows.month.clip(lower=oldest)).agg(
            amount=rows[amount].sum().fill_null(0.0), events=rows[source.counted].sum().fill_null(0.0)
        ),
        connection,
    )
    shape = int(months[-1]) - oldest + 1, roller.n_partners
    revenue, events = np.zeros(shape), np.zeros(shape)
    place = (cells["month"] - oldest) * roller.n_partners + cells["partner"]
    variation, active = np.empty((len(months), roller.n_partners)), np.empty((len(months), roller.n_partners))
    for date, month in enumerate(months):
        enters = cells["seen"] == date
        revenue += np.bincount(place[enters], cells["amount"][enters], revenue.size).reshape(shape)
        events += np.bincount(place[enters], cells["events"][enters], events.size).reshape(shape)
        window = slice(month - MONTHS - oldest, month - oldest)
        sold = np.maximum.accumulate(events > 0, axis=0)[window]
        active[date] = (events[window] > 0).sum(axis=0)
        variation[date] = _variation(revenue[window], sold)
        variation[date, active[date] < 3] = np.nan
    values = {"monthly_variation": variation, "active_months": active}
    return {level.name: roller.hide_unknown(values[level.kind], cells["seen"]) for level in levels}


def _variation(revenue: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Standard deviation over mean of each column's counted rows; added row by row, so that bits repeat."""
    months = counts.sum(axis=0).astype(np.float64)
    months[months == 0] = np.nan
    mean = sum(np.where(count, row, 0.0) for row, count in zip(revenue, counts, strict=True)) / months
    squares = sum(np.where(count, (row - mean) ** 2, 0.0) for row, count in zip(revenue, counts, strict=True))
    return np.sqrt(squares / months) / np.where(mean > 0, mean, np.nan)


def _roll_gaps(rows: Any, level: Level, roller: Roller, connection: Any) -> np.ndarray:
    timeline = roller.timeline
    counted = rows.filter((rows[level.what] == 1) & (rows.day >= int(timeline.ends[0]) - level.days))
    cells = _fetch(
        counted.group_by("partner", "day").agg(seen=counted.seen.min()).order_by("partner", "day"), connection
    )
    values = np.full((len(timeline.ends), roller.n_partners), np.nan)
    for date, end in enumerate(timeline.ends):
        counts = (cells["seen"] <= date) & (cells["day"] >= end - level.days)
        partner, day = cells["partner"][counts], cells["day"][counts]
        gap, same = np.diff(day), partner[1:] == partner[:-1]
        gap, partner = gap[same], partner[1:][same]
        if len(gap):
            first = np.flatnonzero(np.r_[True, np.diff(partner) > 0])
            values[date, partner[first]] = np.maximum.reduceat(gap, first)
    return values


def _roll_latest(rows: Any, levels: list[Level], roller: Roller, connection: Any) -> dict[str, np.ndarray]:
    source, never = SOURCES[levels[0].source], len(roller.timeline.ends)
    measures = list(dict.fromkeys(level.what for level in levels))
    cells = _fetch(
        rows.select("partner", "key", "moment", "seen", "expires", *measures).order_by(
            "partner", "key", "moment", *measures
        ),
        connection,
    )
    group = _number_groups(cells["partner"], cells["key"])
    until = np.minimum(_min_after(cells["seen"], group, never), roller.timeline.first_date_after(cells["expires"]))
    answers = {}
    for level in levels:
        number = cells[level.what].astype(np.float64)
        known = ~np.isnan(number)
        values = roller.add(cells["partner"][known], cells["seen"][known], until[known], number[known])
        values /= source.measures[level.what].scale
        answers[level.name] = roller.hide_unknown(values, cells["seen"][known])
    return answers


def _number_groups(partner: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Number the runs of equal partner and key, 0, 1, 2, ..."""
    changes = (partner[1:] != partner[:-1]) | (key[1:] != key[:-1])
    return np.cumsum(np.r_[0, changes]) if len(partner) else np.zeros(0, dtype=np.int64)


def _min_after(values: np.ndarray, group: np.ndarray, never: int) -> np.ndarray:
    """Smallest value among the later rows of the same group; `never` if there is none."""
    return _min_before(values[::-1], -group[::-1], never)[::-1]


def _min_before(values: np.ndarray, group: np.ndarray, never: int) -> np.ndarray:
    """Smallest value among the earlier rows of the same group; `never` if there is none."""
    lowered = np.minimum.accumulate(values - group * (never + 1)) + group * (never + 1)
    found = np.full(len(values), never)
    same = group[1:] == group[:-1]
    found[1:][same] = lowered[:-1][same]
    return found
