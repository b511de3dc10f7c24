"""Sum events over windows of time that end on many dates, reading the events once.

The dates and the ends of all windows cut time into bins; within a bin, all events fall into the same windows.
Ibis adds up the events by partner, bin and first date on which they are visible (by their own time and by
`arrived_at`), and by customer, country or product where that is needed. A window's value on a date is then
a running sum over dates: a group of events enters on the first date that sees it in the window and leaves on
the first that no longer does. All sums are of whole numbers and therefore exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from partnerseg.features.events import ATTRIBUTES, SOURCES, Source

MONTHS = 12
ENOUGH = 3  # sales in a country that make it count half
NAT = 2.0**40  # parts of a nat that are kept, so that entropies add up exactly
WHOLE = 2.0**20  # parts of a country or certificate that are kept, for the same reason
NO_KEY = 0
MONTHLY = ("monthly_variation", "any_variation", "known_months", "active_months")


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

    def __init__(self, sources: Mapping[str, Source] = SOURCES) -> None:
        self.sources = sources
        self.asked: dict[str, Level] = {}
        self.attributes: dict[str, str] = {}
        for name, source in sources.items():
            setattr(self, name, _Asker(name, source, self.asked))

    def __getattr__(self, name: str) -> "_Asker":
        raise AttributeError(f"events.{name}: no such source; possible sources are: {', '.join(SOURCES)}")

    def partner(self, attribute: str) -> Any:
        """Return an attribute of the partner itself."""
        import ibis

        if attribute not in ATTRIBUTES:
            raise ValueError(f"events.partner: {attribute!r}: no such attribute; possible: {', '.join(ATTRIBUTES)}")
        self.attributes[attribute] = ATTRIBUTES[attribute]
        return ibis._[f"partner.{attribute}"]


class _Asker:
    def __init__(self, name: str, source: Source, asked: dict[str, Level]) -> None:
        self._name, self._source, self._asked = name, source, asked

    def _ask(self, kind: str, what: str, days: int = 0, before: int = 0) -> Any:
        import ibis

        known = [*self._source.measures, *self._source.keys]
        if what not in known:
            raise ValueError(f"events.{self._name}: nothing is called {what!r}; possible names: {', '.join(known)}")
        level = Level(self._name, kind, what, days, before)
        self._asked[level.name] = level
        return ibis._[level.name]

    def total(self, measure: str, days: int, *, before: int = 0) -> Any:
        """Sum in the window; `before` shifts its end, and the sum is missing when the table begins later."""
        return self._ask("total", measure, days, before)

    def known(self, measure: str, days: int) -> Any:
        """Number of the window's events of which the measure is known."""
        return self._ask("known", measure, days)

    def mean(self, measure: str, days: int) -> Any:
        """Mean over the window's events of which the measure is known."""
        return self._ask("total", measure, days) / self.known(measure, days).nullif(0)

    def days_since_last(self, measure: str) -> Any:
        """Whole days since the last event of which the measure is 1."""
        return self._ask("last", measure)

    def days_since_first(self, measure: str) -> Any:
        """Whole days since the first event of which the measure is 1."""
        return self._ask("first", measure)

    def distinct(self, key: str, days: int, *, before: int = 0) -> Any:
        """Different values of a key in the window; `before` shifts its end; missing where no event has a value."""
        return self._ask("distinct", key, days, before)

    def new(self, key: str, days: int) -> Any:
        """Values of a key that came up for the first time in the window."""
        return self._ask("new", key, days)

    def repeated(self, key: str, days: int) -> Any:
        """Values of a key that came up at least twice in the window."""
        return self._ask("repeated", key, days)

    def established(self, key: str, days: int) -> Any:
        """Values of a key in the window, each by its n events as n^2 / (n^2 + 9); n times the share that was kept."""
        return self._ask("established", key, days)

    def lifetime(self, key: str) -> Any:
        """Mean days from the first to the last known event of a key's values."""
        return self._ask("lifetime", key)

    def largest_share(self, key: str, days: int) -> Any:
        """Share of the largest value of a key in the amount of the window."""
        return self._ask("largest_share", key, days)

    def entropy(self, key: str, days: int) -> Any:
        """Shannon entropy (nats) of the window's amount by values of a key."""
        return self._ask("entropy", key, days)

    def monthly_variation(self, measure: str, days: int) -> Any:
        """Coefficient of variation over the last 12 complete months; missing with events in fewer than 3 of them."""
        return self._ask("monthly_variation", measure, days)

    def any_variation(self, measure: str, days: int) -> Any:
        """Coefficient of variation over the last 12 complete months, however few there are since the first event."""
        return self._ask("any_variation", measure, days)

    def known_months(self, measure: str, days: int) -> Any:
        """Months since the first event among the last 12 complete months."""
        return self._ask("known_months", measure, days)

    def active_months(self, measure: str, days: int) -> Any:
        """Months with an event among the last 12 complete months."""
        return self._ask("active_months", measure, days)

    def longest_gap(self, measure: str, days: int) -> Any:
        """Longest time in days between consecutive days with an event in the window."""
        return self._ask("longest_gap", measure, days)

    def latest(self, measure: str) -> Any:
        """Sum over the latest events, one of each kind that the source tells apart."""
        return self._ask("latest", measure)

    def fading(self, measure: str) -> Any:
        """Sum over the latest events, where one that ages counts half after the measure's half-life, and so on."""
        return self._ask("fading", measure)


class Timeline:
    """Bins of time for windows that end on several dates.

    Attributes:
        ends: First day after each date, days since 1970, ascending.
        months: Month of each end, months since 1970; months before it are complete.
        first_day: First day of the calendar, before all windows; what happened earlier falls into its bin.
        calendar: One row a day: bin_day, bin, month (months since 1970).
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
        self.calendar = pd.DataFrame({"bin_day": days, "bin": bins.astype("int32"), "month": month.astype("int32")})
        starts = np.flatnonzero(np.r_[True, np.diff(bins) > 0])
        self._left = dict(zip(sorted(offsets), left[:, starts], strict=True))

    def first_date_after(self, day: np.ndarray) -> np.ndarray:
        """Position of the first date on or after a day; the number of dates if there is none."""
        return np.searchsorted(self.ends, day, side="right")

    def left(self, offset: int) -> np.ndarray:
        """For each bin, position of the first date that lies at least `offset` days after its days."""
        return self._left[offset]


@dataclass(frozen=True)
class Roller:
    """Turns groups of events into an array of dates x partners.

    Attributes:
        timeline: Dates and bins.
        n_partners: Number of partners.
        source: Where the events come from.
    """

    timeline: Timeline
    n_partners: int
    source: Source

    @property
    def shape(self) -> tuple[int, int]:
        """Number of dates and of partners."""
        return len(self.timeline.ends), self.n_partners

    def between(self, partner: np.ndarray, start: np.ndarray, until: np.ndarray) -> "Stay":
        """Note which dates each group of events counts on: from `start` to before `until`."""
        counts = start < until
        leaves = counts & (until < len(self.timeline.ends))
        return Stay(
            self.shape,
            counts,
            start[counts] * self.n_partners + partner[counts],
            leaves,
            until[leaves] * self.n_partners + partner[leaves],
        )

    def extreme(self, partner: np.ndarray, start: np.ndarray, day: np.ndarray, *, largest: bool) -> np.ndarray:
        """Largest or smallest day known on each date; NaN before the first."""
        pick = np.maximum if largest else np.minimum
        found = np.full(self.shape, -np.inf if largest else np.inf)
        seen = ~np.isnan(day)
        pick.at(found.ravel(), start[seen] * self.n_partners + partner[seen], day[seen])
        found = pick.accumulate(found, axis=0)
        found[np.isinf(found)] = np.nan
        return found

    def hide_unknown(self, values: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Put NaN on all dates before anything of this kind was known of any partner."""
        values[: int(seen.min(initial=len(self.timeline.ends)))] = np.nan
        return values


@dataclass(frozen=True)
class Stay:
    """On which dates groups of events count, each from its entry to its leave.

    Attributes:
        shape: Number of dates and of partners.
        counts: For each group whether it counts on any date.
        entries: Flat place (date, partner) where each of these enters.
        leaves: For each group whether it leaves before the last date.
        exits: Flat place where each of these leaves.
    """

    shape: tuple[int, int]
    counts: np.ndarray
    entries: np.ndarray
    leaves: np.ndarray
    exits: np.ndarray

    def add(self, number: np.ndarray | None = None) -> np.ndarray:
        """Sum a number over the groups that count, for every date and partner; without one, count groups."""
        size = self.shape[0] * self.shape[1]
        weights = (None, None) if number is None else (number[self.counts], number[self.leaves])
        change = np.bincount(self.entries, weights[0], size).astype(np.float64, copy=False)
        if len(self.exits):
            change -= np.bincount(self.exits, weights[1], size)
        change = change.reshape(self.shape)
        return np.cumsum(change, axis=0, out=change)


def roll_levels(
    rows: Any, levels: list[Level], source: Source, timeline: Timeline, n_partners: int, connection: Any
) -> dict[str, np.ndarray]:
    """Answer what was asked of one source.

    Args:
        rows: Ibis table of the source's visible events: partner (position), day (days since 1970), bin, month, seen
            (position of the first date that sees the event), measures as whole numbers, keys as hashes; for sources
            that look at the latest events also key, moment, expires and ages (days since 1970).
        levels: What was asked.
        source: The source.
        timeline: Dates and bins.
        n_partners: Number of partners.
        connection: Backend that holds the rows.

    Returns:
        For each level's name an array of dates x partners.
    """
    roller = Roller(timeline, n_partners, source)
    if connection.to_pyarrow(rows.count()).as_py() == 0:
        return {level.name: np.full(roller.shape, np.nan) for level in levels}
    answers: dict[str, np.ndarray] = {}
    plain = [level for level in levels if level.kind in ("total", "known", "last", "first")]
    keyed = [level for level in levels if level.what in source.keys]
    monthly = [level for level in levels if level.kind in MONTHLY]
    if plain:
        answers |= _roll_plain(rows, plain, roller, connection)
    for key in dict.fromkeys(level.what for level in keyed):
        answers |= _roll_keyed(rows, [level for level in keyed if level.what == key], roller, connection)
    if monthly:
        answers |= _roll_months(rows, monthly, roller, connection)
    for level in levels:
        if level.kind == "longest_gap":
            answers[level.name] = _roll_gaps(rows, level, roller, connection)
    latest = [level for level in levels if level.kind in ("latest", "fading")]
    if latest:
        answers |= _roll_latest(rows, latest, roller, connection)
    return answers


def _fetch(expression: Any, connection: Any) -> dict[str, np.ndarray]:
    table = connection.to_pyarrow(expression)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    return {name: values.astype(np.int64) if values.dtype.kind == "i" else values for name, values in columns.items()}


def _roll_plain(rows: Any, levels: list[Level], roller: Roller, connection: Any) -> dict[str, np.ndarray]:
    source, timeline = roller.source, roller.timeline
    sums = {}
    for kind, what in dict.fromkeys((level.kind, level.what) for level in levels):
        measure = rows[what]
        if kind == "total":
            sums[f"{kind}.{what}"] = measure.sum().fill_null(0.0)
        elif kind == "known":
            sums[f"{kind}.{what}"] = measure.count().cast("float64")
        else:
            day = rows.day.max(where=measure == 1) if kind == "last" else rows.day.min(where=measure == 1)
            sums[f"{kind}.{what}"] = day.cast("float64")
    cells = _fetch(rows.group_by("partner", "bin", "seen").agg(**sums), connection)
    partner, seen, bins = cells["partner"], cells["seen"], cells["bin"]
    # For each date the first day of the table, and for each measure the first date on which it is known.
    whats = list(dict.fromkeys(level.what for level in levels))
    known = {what: rows[what].count() for what in whats}
    begins = _fetch(rows.group_by("seen").agg(day=rows.day.min(), **known).order_by("seen"), connection)
    first_day = np.full(len(timeline.ends), np.inf)
    first_day[begins["seen"]] = begins["day"]
    first_day = np.minimum.accumulate(first_day)
    stays: dict[tuple[int, int], Stay] = {}
    answers = {}
    for level in levels:
        number = cells[f"{level.kind}.{level.what}"]
        if level.kind in ("last", "first"):
            values = timeline.ends[:, None] - 1 - roller.extreme(partner, seen, number, largest=level.kind == "last")
        else:
            window = level.before, level.before + level.days
            if window not in stays:
                start, until = (timeline.left(offset)[bins] for offset in window)
                stays[window] = roller.between(partner, np.maximum(seen, start), until)
            values = stays[window].add(number)
            if level.kind == "total":
                values /= source.measures[level.what].scale
        values = roller.hide_unknown(values, begins["seen"][begins[level.what] > 0])
        if level.before:
            values[first_day > timeline.ends - level.before - level.days] = np.nan
        answers[level.name] = values
    return answers


def _roll_keyed(rows: Any, levels: list[Level], roller: Roller, connection: Any) -> dict[str, np.ndarray]:
    source, timeline = roller.source, roller.timeline
    counted = rows.filter(rows[source.counted] == 1)
    known = _fetch(counted.agg(seen=counted.seen.min(where=counted[levels[0].what] != NO_KEY)), connection)["seen"]
    known = known[~np.isnan(known)].astype(np.int64)  # from where on the key is known at all, however long ago
    kinds = {level.kind for level in levels}
    nets = source.net if "established" in kinds else ""
    if nets:
        counted = rows
    if not kinds & {"new", "lifetime"}:
        reached = timeline.left(max(level.before + level.days for level in levels)) > 0
        counted = counted.filter(counted.bin >= int(np.argmax(reached)))
    sums = {
        "events": counted[source.counted].sum().cast("int64"),
        "amount": counted[source.amount].sum().fill_null(0.0),
    }
    if nets:
        sums["net"] = counted[nets].sum().fill_null(0.0)
    if "lifetime" in kinds:
        sums |= {"first": counted.day.min(), "last": counted.day.max()}
    cells = _fetch(
        counted.group_by("partner", "bin", "seen", key=counted[levels[0].what])
        .agg(**sums)
        .order_by("partner", "key", "bin"),
        connection,
    )
    named = cells["key"] != NO_KEY
    every = (cells["partner"], cells["seen"], cells["bin"])
    unnamed = np.where(named, 0, cells["events"])
    if not named.all():
        cells = {name: values[named] for name, values in cells.items()}
    netted = cells
    if nets:
        cells = {name: values[cells["events"] > 0] for name, values in cells.items()}
    partner, seen, bins = cells["partner"], cells["seen"], cells["bin"]
    group = _number_groups(partner, cells["key"])
    answers = {}
    for level in levels:
        window = level.before, level.before + level.days
        start, until = np.maximum(seen, timeline.left(window[0])[bins]), timeline.left(window[1])[bins]
        if level.kind == "lifetime":
            values = _roll_lifetimes(partner, group, seen, cells["first"], cells["last"], roller)
        elif level.kind in ("largest_share", "entropy"):
            values = _roll_shares(level.kind, partner, group, start, until, (cells["amount"],), roller)
        else:
            if level.kind == "established":
                values = _roll_established(netted, window, roller)
            else:
                values = _roll_counts(level.kind, partner, group, start, until, cells["events"], roller)
            if unnamed.any():
                opens, ends = (timeline.left(offset)[every[2]] for offset in window)
                in_vain = roller.between(every[0], np.maximum(every[1], opens), ends).add(unnamed)
                values[(in_vain > 0) & (roller.between(partner, start, until).add() == 0)] = np.nan
        answers[level.name] = roller.hide_unknown(values, known)
    return answers


def _roll_counts(
    kind: str,
    partner: np.ndarray,
    group: np.ndarray,
    seen: np.ndarray,
    until: np.ndarray,
    events: np.ndarray,
    roller: Roller,
) -> np.ndarray:
    """Count keys: each through the one event that is its latest, its first or its second latest on a date.

    An event is the latest of its key from the date that sees it to the date that sees a later one; so with the
    first and earlier ones. An event that no window sees as long as it is the latest hides no other one.
    """
    never = len(roller.timeline.ends)
    if kind == "new":
        return roller.between(partner, seen, np.minimum(until, _min_before(seen, group, never))).add()
    which = np.flatnonzero(seen < until)
    if kind == "repeated":
        which = np.repeat(which, np.minimum(events[which], 2))
    partner, seen, until, group = partner[which], seen[which], until[which], group[which]
    later = _min_after(seen, group, never)
    if kind == "repeated":
        seen, later = np.maximum(seen, later), _min_after(np.maximum(seen, later), group, never)
    return roller.between(partner, seen, np.minimum(until, later)).add()


def _roll_shares(
    kind: str,
    partner: np.ndarray,
    group: np.ndarray,
    seen: np.ndarray,
    until: np.ndarray,
    numbers: tuple[np.ndarray, ...],
    roller: Roller,
) -> np.ndarray:
    """Follow the numbers of every key over the dates; tell the largest share, the entropy or the established keys.

    The number is an amount; for established keys it is the events, their amount and what is left of it.
    """
    values = np.full(roller.shape, 0.0 if kind == "established" else np.nan)
    counts = seen < until
    if not counts.any():
        return values
    partner, seen, until = partner[counts], seen[counts], until[counts]
    group = _number_groups(partner, group[counts])
    of_group = np.flatnonzero(np.r_[True, np.diff(group) > 0])
    partner_of_group = partner[of_group]
    of_partner = np.flatnonzero(np.r_[True, np.diff(partner_of_group) > 0])
    groups_of_partner = np.diff(np.r_[of_partner, len(of_group)])
    present = partner_of_group[of_partner]
    sums = np.zeros((len(numbers), len(of_group)))
    for date in range(len(values)):
        enters, leaves = seen == date, until == date
        for total, number in zip(sums, (number[counts] for number in numbers), strict=True):
            total += np.bincount(group[enters], number[enters], len(total))
            total -= np.bincount(group[leaves], number[leaves], len(total))
        if kind == "established":
            n = _keep(*sums)
            parts = np.rint(n**2 / (n**2 + ENOUGH**2) * WHOLE)
            values[date, present] = np.add.reduceat(parts, of_partner) / WHOLE
            continue
        positive = np.maximum(sums[0], 0.0)
        total = np.add.reduceat(positive, of_partner)
        total[total == 0] = np.nan
        if kind == "largest_share":
            values[date, present] = np.maximum.reduceat(positive, of_partner) / total
        else:
            share = positive / np.repeat(total, groups_of_partner)
            parts = np.rint(-share * np.log(np.where(share > 0, share, 1.0)) * NAT)
            values[date, present] = np.add.reduceat(parts, of_partner) / NAT
    return values


def _roll_established(cells: dict[str, np.ndarray], window: tuple[int, int], roller: Roller) -> np.ndarray:
    """Count the keys by their sales of which something is left; `cells` hold what came back too."""
    left = roller.timeline.left
    start, until = np.maximum(cells["seen"], left(window[0])[cells["bin"]]), left(window[1])[cells["bin"]]
    group = _number_groups(cells["partner"], cells["key"])
    numbers = cells["events"], cells["amount"], cells.get("net", cells["amount"])
    return _roll_shares("established", cells["partner"], group, start, until, numbers, roller)


def _keep(events: np.ndarray, gross: np.ndarray, net: np.ndarray) -> np.ndarray:
    """Number of events times the share of their amount that was not taken back, 0 to 1."""
    return events * np.clip(net, 0.0, np.maximum(gross, 0.0)) / np.where(gross > 0, gross, 1.0)


def _roll_lifetimes(
    partner: np.ndarray, group: np.ndarray, seen: np.ndarray, first: np.ndarray, last: np.ndarray, roller: Roller
) -> np.ndarray:
    """Mean days from the first to the last event of a partner's keys: of each, its earliest and its latest cell."""
    never, sums = len(roller.timeline.ends), []
    for day, order in ((last, np.lexsort((last, group))), (first, np.lexsort((-first, group)))):
        until = _min_after(seen[order], group[order], never)
        stay = roller.between(partner[order], seen[order], until)
        sums.append(stay.add(day[order].astype(np.float64)))
    keys = stay.add()
    keys[keys == 0] = np.nan
    return (sums[0] - sums[1]) / keys


def _roll_months(rows: Any, levels: list[Level], roller: Roller, connection: Any) -> dict[str, np.ndarray]:
    import ibis

    source, months = roller.source, roller.timeline.months
    oldest = int(months[0]) - MONTHS - 1
    amount = next((level.what for level in levels if level.kind.endswith("variation")), source.amount)
    cells = _fetch(
        rows.group_by("partner", "seen", month=ibis.greatest(rows.month, oldest)).agg(
            amount=rows[amount].sum().fill_null(0.0), events=rows[source.counted].sum().fill_null(0.0)
        ),
        connection,
    )
    shape = int(months[-1]) - oldest + 1, roller.n_partners
    revenue, events = np.zeros(shape), np.zeros(shape)
    place = (cells["month"] - oldest) * roller.n_partners + cells["partner"]
    variation, active, known = (np.empty(roller.shape) for _ in range(3))
    for date, month in enumerate(months):
        enters = cells["seen"] == date
        revenue += np.bincount(place[enters], cells["amount"][enters], revenue.size).reshape(shape)
        events += np.bincount(place[enters], cells["events"][enters], events.size).reshape(shape)
        window = slice(month - MONTHS - oldest, month - oldest)
        sold = np.maximum.accumulate(events > 0, axis=0)[window]
        active[date] = (events[window] > 0).sum(axis=0)
        known[date] = sold.sum(axis=0)
        variation[date] = _variation(revenue[window], sold)
    values = {
        "monthly_variation": np.where(active < 3, np.nan, variation),
        "any_variation": variation,
        "known_months": known,
        "active_months": active,
    }
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
    values = np.full(roller.shape, np.nan)
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
    source, never = roller.source, len(roller.timeline.ends)
    measures = list(dict.fromkeys(level.what for level in levels))
    cells = _fetch(
        rows.select("partner", "key", "moment", "seen", "expires", "ages", *measures).order_by(
            "partner", "key", "moment", *measures
        ),
        connection,
    )
    group = _number_groups(cells["partner"], cells["key"])
    renewed = _min_after(cells["seen"], group, never)
    until = np.minimum(renewed, roller.timeline.first_date_after(cells["expires"]))
    answers = {}
    for level in levels:
        number = cells[level.what].astype(np.float64)
        known = ~np.isnan(number)
        if level.kind == "fading":
            half_life = source.measures[level.what].half_life
            known_cells = {name: cell[known] for name, cell in cells.items()}
            values = _fade(known_cells, number[known], renewed[known], half_life, roller)
        else:
            values = roller.between(cells["partner"][known], cells["seen"][known], until[known]).add(number[known])
        values /= source.measures[level.what].scale
        answers[level.name] = roller.hide_unknown(values, cells["seen"][known])
    return answers


def _fade(
    cells: dict[str, np.ndarray], number: np.ndarray, until: np.ndarray, half_life: float, roller: Roller
) -> np.ndarray:
    """Sum the events that nothing has replaced; one that ages counts half after each half-life."""
    values = np.empty(roller.shape)
    for date, end in enumerate(roller.timeline.ends):
        counts = (cells["seen"] <= date) & (date < until)
        age = np.maximum(end - 1 - cells["ages"][counts], 0)
        parts = np.rint(number[counts] * WHOLE * 0.5 ** (age / half_life))
        values[date] = np.bincount(cells["partner"][counts], parts, roller.n_partners) / WHOLE
    return values


def _number_groups(partner: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Number the runs of equal partner and key, 0, 1, 2, ..."""
    changes = (partner[1:] != partner[:-1]) | (key[1:] != key[:-1])
    return np.cumsum(np.r_[0, changes]) if len(partner) else np.zeros(0, dtype=np.int64)


def _min_after(values: np.ndarray, group: np.ndarray, never: int) -> np.ndarray:
    """Smallest value among the later rows of the same group; `never` if there is none."""
    return _min_before(values[::-1], -group[::-1], never)[::-1]


def _min_before(values: np.ndarray, group: np.ndarray, never: int) -> np.ndarray:
    """Smallest value among the earlier rows of the same group; `never` if there is none."""
    shift = group * (never + 1)  # a new group starts below all values of the one before
    lowest = np.minimum.accumulate(values - shift)
    found = np.full(len(values), never)
    np.copyto(found[1:], lowest[:-1] + shift[:-1], where=group[1:] == group[:-1])
    return found
