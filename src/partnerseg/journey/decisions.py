"""Decisions: every step that was taken, and comparable times at which none was, with what came after."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from partnerseg.journey.survival import FORWARD, WAITING, tell_outcome

if TYPE_CHECKING:
    from partnerseg.journey.stages import Journey

NONE = "none"  # the action of a decision without a step
HISTORY_PERIODS = 8  # how far back the history of a decision reaches
DECISIONS = {
    "partner_id": "str",
    "decided_at": "datetime64[us]",
    "stage": "str",
    "days_in_stage": "float64",
    "action": "str",
    "approach": "str",
    "propensity": "float64",
    "cost": "float64",
    "next_stage": "str",
    "moved": "float64",
    "value_before": "float64",
    "value_after": "float64",
    "orders_before": "float64",
    "orders_after": "float64",
    "period_days": "float64",
    "history_days": "float64",
    "value_history": "float64",
    "orders_history": "float64",
}
_EPOCH = pd.Timestamp("1970-01-01")
_DAY, _SECOND = pd.Timedelta(days=1), pd.Timedelta(seconds=1)
_DAYS, _SECONDS = 200_000, 200_000 * 86_400  # more than any date since 1970 has: keys are partner x this + time
_CENTS = 10_000  # amounts are summed as whole numbers, so that the order of rows cannot matter


def list_decisions(
    journey: "Journey", log: pd.DataFrame, *, sales: pd.DataFrame | None = None, period_days: int | None = None
) -> pd.DataFrame:
    """List the decisions: one row a step that was taken, and one a partner and period in which none was.

    Time is cut into periods of `period_days`, where the fewest steps fall, from the one with the first step on (where
    no step was logged, from the one in which the first partner entered a stage). A partner without a step in a period
    has one row with the action `none`, on the day of the period's last step (its last day, where nobody had one): by
    then it is known that the partner had none, and nothing that came later decides who is listed. What follows a
    decision is told whatever steps came afterwards. Deals are not listed, nor a decision while the partner's stage is
    not known.

    Args:
        journey: A fitted journey.
        log: The table `actions`: `partner_id`, `taken_at`, `action`, perhaps `approach`, `propensity`, `cost`,
            `arrived_at`. A row whose action is `none` says that it was decided to do nothing. Rows that happened or
            arrived after the journey's `as_of` are not seen.
        sales: The table `sales`: `partner_id`, `sold_at`, `amount`, `is_return`, perhaps `arrived_at`. None or
            empty: values and orders are not known.
        period_days: Length of a period, and of the time before and after a decision, in days. None: the journey's
            `horizon_days`.

    Returns:
        One row a decision, sorted by partner and day: `partner_id`, `decided_at` (day), `stage`, `days_in_stage`,
        `action`, `approach`, `propensity` and `cost` (missing: not known), `next_stage` (where the partner stands
        period_days later), `moved` (1.0: left the stage forward within the period, 0.0: did not; missing in the last
        stage, too), `value_before`, `value_after` (net revenue of the period up to the day and of the one after it),
        `orders_before`, `orders_after`. `next_stage`, `moved` and what comes after are missing where the period is
        not over by `as_of`, what comes before where sales are not known so far back. For estimates: `period_days`,
        `history_days` (of the eight periods up to the day, those on the journey with known sales), `value_history`
        and `orders_history` (in these days).

    Raises:
        ValueError: `period_days` is under 1.

    References:
        Hernan and Robins (2016), Using big data to emulate a target trial, for listing by what was known on the day.

    Example:
        >>> from partnerseg.journey.stages import Journey
        >>> day = pd.Timestamp("2026-01-01")
        >>> stages = pd.DataFrame({"partner_id": ["p1", "p2"], "stage": "recruited", "entered_at": day})
        >>> journey = Journey(["recruited", "activated"]).fit({"stages": stages}, as_of="2026-06-30")
        >>> log = pd.DataFrame({"partner_id": ["p1"], "action": "call", "taken_at": day + pd.Timedelta(days=9)})
        >>> list_decisions(journey, log).head(2)[["partner_id", "action", "days_in_stage", "moved"]]
          partner_id action  days_in_stage  moved
        0         p1   call            9.0    0.0
        1         p1   none          144.0    NaN
    """
    period = journey.horizon_days if period_days is None else period_days
    if period < 1:
        raise ValueError(f"period_days == {period}, must be >= 1; edit journey.horizon_days")
    end = int((pd.Timestamp(journey.as_of_) - _EPOCH) / _DAY)
    spells = journey.spells_[journey.spells_["deal_id"].isna() & journey.spells_["entered_at"].notna()]
    partners = pd.Index(spells["partner_id"].unique()).sort_values()
    stays = _Stays(spells, partners, journey.stages)
    steps = _see(log, "taken_at", end, partners)
    since = int(steps["day"].min()) if len(steps) else stays.first
    rows = pd.concat([steps, _list_quiet(steps, len(partners), since, period, end)], ignore_index=True)
    rows = stays.locate(rows)
    rows = rows.sort_values(["partner", "day", "action", "second"], ignore_index=True, kind="stable")
    stays.follow(rows, period, end)
    rows["period_days"] = period
    _add_sales(rows, None if sales is None else _see(sales, "sold_at", end, partners), period, end)
    rows["partner_id"] = partners.to_numpy()[rows["partner"]]
    rows["decided_at"] = _EPOCH + pd.to_timedelta(rows["day"], unit="D")
    return rows.reindex(columns=list(DECISIONS)).astype(DECISIONS)


def list_planned(actions: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the pairs of action and stage in which actions.yaml plans it."""
    return [(name, stage) for name, entry in actions.items() for stage in entry["stages"]]


def keep_steps(decisions: pd.DataFrame, pairs: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """Keep the decisions without a step, and those with one of the pairs of action and stage."""
    known = {*pairs}
    found = zip(decisions["action"], decisions["stage"], strict=True)
    return decisions[np.array([pair[0] == NONE or pair in known for pair in found], dtype=bool)]


def _see(table: pd.DataFrame, time: str, end: int, partners: pd.Index) -> pd.DataFrame:
    """Return what is seen by the end of the day: `partner` (number), `second`, `day` and the table's own columns."""
    late = table["arrived_at"] >= _EPOCH + (end + 1) * _DAY if "arrived_at" in table else False
    number = partners.get_indexer(pd.Index(table["partner_id"].array))
    second = ((table[time] - _EPOCH) / _SECOND).floordiv(1)
    seen = (second < (end + 1) * 86_400) & ~late
    table = table.assign(partner=number, second=second, known_from=second[seen].min() // 86_400)
    table = table[seen & (number >= 0)].astype({"second": "int64"})
    return table.assign(day=table["second"] // 86_400)


def _list_quiet(steps: pd.DataFrame, n: int, since: int, period: int, end: int) -> pd.DataFrame:
    """Return `partner`, `second`, `day` of those without a step, period by period from the day `since` on."""
    days = steps["day"].to_numpy()
    first_end = _find_cut(days, period, end)
    number = (first_end - days) // period  # periods are counted back from the last one
    until = first_end - period * np.arange(0 - int(end > first_end), (first_end - since) // period + 1)
    last = pd.Series(days).groupby(number).max()
    until = np.asarray([last.get((first_end - day) // period, day) for day in until], dtype=np.int64)
    which = (first_end - until) // period
    until, which = until[until <= end], which[until <= end]
    stepped = pd.MultiIndex.from_arrays([steps["partner"].to_numpy(), number])
    everyone = pd.MultiIndex.from_product([range(n), which])
    quiet = np.flatnonzero(~everyone.isin(stepped))
    day = np.tile(until, n)[quiet]
    return pd.DataFrame(
        {"partner": quiet // max(len(which), 1), "day": day, "second": (day + 1) * 86_400 - 1, "action": NONE}
    )


def _find_cut(days: np.ndarray, period: int, end: int) -> int:
    """Return the last day of the latest period that is over: in the middle of the days without steps, or `end`."""
    phase = np.unique(days % period)
    if not len(phase):
        return end
    gaps = np.diff(np.append(phase, phase[0] + period))
    widest = int(np.argmax(gaps))
    if gaps[widest] <= max(period // 10, 1):  # steps fall on all days
        return end
    cut = int(phase[widest] + gaps[widest] // 2)
    return end - (end - cut) % period


class _Stays:
    """The stays of partners in stages, to be looked up by partner and time."""

    def __init__(self, spells: pd.DataFrame, partners: pd.Index, stages: tuple[str, ...]) -> None:
        partner = partners.get_indexer(pd.Index(spells["partner_id"].array))
        entered = np.floor(((spells["entered_at"] - _EPOCH) / _SECOND).to_numpy(dtype=float))
        order = np.lexsort((np.arange(len(spells)), entered, partner))
        spells = spells.iloc[order]
        self.partner, self.key = partner[order], partner[order] * _SECONDS + entered[order].astype(np.int64)
        self.entered = (entered[order] // 86_400).astype(np.int64)
        self.stage = spells["stage"].to_numpy()
        self.event = tell_outcome(spells, stages)
        self.left = np.floor(((spells["left_at"] - _EPOCH) / _DAY).to_numpy(dtype=float))
        # Who left on an unknown day stands nowhere known from the day of entering on.
        self.known = (spells["left_at"].notna() | (self.event == WAITING)).to_numpy()
        self.last = self.stage == stages[-1]
        self.first = int(self.entered.min(initial=_DAYS))
        self.joined = np.full(len(partners), _DAYS)
        np.minimum.at(self.joined, self.partner, self.entered)

    def find(self, partner: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return the number of the stay of each partner at each time, -1 where it is not known."""
        place = np.searchsorted(self.key, partner * _SECONDS + second, side="right") - 1
        found = np.maximum(place, 0)
        there = (place >= 0) & (self.partner[found] == partner) & self.known[found]
        return np.where(there, found, -1)

    def locate(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows whose stay is known, with `stay`, `stage`, `days_in_stage` and the day of `joined`."""
        stay = self.find(rows["partner"].to_numpy(), rows["second"].to_numpy())
        rows = rows.assign(stay=stay)[stay >= 0]
        stay = stay[stay >= 0]
        return rows.assign(
            stage=self.stage[stay],
            days_in_stage=rows["day"] - self.entered[stay],
            joined=self.joined[rows["partner"]],
        )

    def follow(self, rows: pd.DataFrame, period: int, end: int) -> None:
        """Add what became of each stay within the period."""
        stay, day = rows["stay"].to_numpy(), rows["day"].to_numpy()
        over = day + period <= end
        ahead = (self.event[stay] == FORWARD) & (self.left[stay] <= day + period)
        rows["moved"] = np.where(over & ~self.last[stay], ahead, np.nan)
        later = self.find(rows["partner"].to_numpy(), (day + period + 1) * 86_400 - 1)
        rows["next_stage"] = pd.Series(self.stage[later], index=rows.index).where(over & (later >= 0))


def _add_sales(rows: pd.DataFrame, sales: pd.DataFrame | None, period: int, end: int) -> None:
    """Add revenue and orders before and after each decision, and of its history."""
    names = [f"{kind}_{when}" for kind in ("value", "orders") for when in ("before", "after", "history")]
    rows[[*names, "history_days"]] = np.nan
    if sales is None or sales.empty:
        return
    day, known_from = rows["day"].to_numpy(), int(sales["known_from"].iloc[0])
    since = np.maximum(day - HISTORY_PERIODS * period, known_from - 1)
    spans = {
        "before": (np.where(day - period >= known_from - 1, day - period, -1), day),
        "after": (np.where(day + period <= end, day, -1), day + period),
        "history": (np.where(since < day, since, -1), day),
    }
    rows["history_days"] = np.where(since < day, np.minimum(day - since, day - rows["joined"] + 1), np.nan)
    key = sales["partner"].to_numpy() * _DAYS + sales["day"].to_numpy()
    order = np.argsort(key, kind="stable")
    key, partner = key[order], rows["partner"].to_numpy() * _DAYS
    cents = np.round(sales["amount"].to_numpy(dtype=float) * _CENTS).astype(np.int64)
    for kind, amount, unit in (
        ("value", cents, _CENTS),
        ("orders", ~sales["is_return"].to_numpy(dtype=bool), 1),
    ):
        total = np.concatenate([[0], np.cumsum(amount[order])])
        for when, (start, stop) in spans.items():
            first = total[np.searchsorted(key, partner + start + 1)]
            told = total[np.searchsorted(key, partner + stop + 1)] - first
            rows[f"{kind}_{when}"] = np.where(start >= 0, told / unit, np.nan)
