"""Stages: who stands where, who moves on, how long it takes, what money waits."""

import json
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from partnerseg.journey.routes import find_route
from partnerseg.programme.sources import as_frames

YEAR_DAYS = 365
WAITING, FORWARD, OTHERWISE = 0, 1, 2
_SPELLS = {
    "traveler": "int64",
    "partner_id": "str",
    "deal_id": "str",
    "stage": "str",
    "entered_at": "datetime64[us]",
    "left_at": "datetime64[us]",
    "next_stage": "str",
    "days": "float64",
}


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


class Journey:
    """The journey of partners, or of their deals, through stages.

    Who travels is the deal where a row carries a `deal_id`, otherwise the partner itself. A *spell* is one
    stay in one stage; a traveler that comes back has a second spell. Stages may be skipped. Time is counted
    in whole UTC days, up to and including the day `as_of`. A row without `entered_at` says that the traveler
    stands in the stage since an unknown day: it is counted in `current_` and left out of every time and
    conversion. Where dated rows already lead further, such a row is taken as past.

    Args:
        stages: Stages in order.
        exits: Ways out, as dormant or left. Who comes back from one travels on.
        horizon_days: Conversion is told within so many days of entering a stage.

    Attributes:
        spells_: One row a spell: `traveler` (number), `partner_id`, `deal_id` (missing: the partner itself
            travels), `stage`, `entered_at` and `left_at` (UTC; missing when unknown or not yet), `next_stage`
            (missing while there), `days` (in the stage so far; missing when unknown).
        current_: One row a traveler: `partner_id`, `deal_id`, `stage`, `entered_at`, `days_in_stage`.
        counts_: What was used and what was left out, in rows, travelers and spells.
        as_of_: The day up to whose end all is told, as YYYY-MM-DD.

    Raises:
        ValueError: A stage is declared twice, there are none, or the horizon is under a day.

    Example:
        >>> stages = pd.DataFrame(
        ...     {
        ...         "partner_id": ["p1", "p1", "p2"],
        ...         "stage": ["recruited", "activated", "recruited"],
        ...         "entered_at": pd.to_datetime(["2026-01-01", "2026-02-01", "2026-03-01"]),
        ...     }
        ... )
        >>> journey = Journey(["recruited", "activated"], ["left"]).fit({"stages": stages}, as_of="2026-06-30")
        >>> journey.current_[["partner_id", "stage", "days_in_stage"]]
          partner_id      stage  days_in_stage
        0         p1  activated          149.0
        1         p2  recruited          121.0
    """

    spells_: pd.DataFrame
    current_: pd.DataFrame
    counts_: dict[str, int]
    as_of_: str

    def __init__(self, stages: Iterable[str], exits: Iterable[str] = (), horizon_days: int = 90) -> None:
        self.stages = tuple(stages)
        self.exits = tuple(exits)
        self.horizon_days = horizon_days
        names = self.stages + self.exits
        if not self.stages or len(set(names)) < len(names):
            raise ValueError(
                f"stages {list(self.stages)} and exits {list(self.exits)} must be at least one stage and no name "
                "twice; edit journey.stages and journey.exits in programme.yaml"
            )
        if horizon_days < 1:
            raise ValueError(f"horizon_days == {horizon_days}, must be >= 1; edit journey.horizon_days")

    def fit(self, data: Any, as_of: str) -> "Journey":
        """Learn the journey from the table `stages`.

        Args:
            data: A programme, or a dict of DataFrames named as the tables. Without rows in `stages` all
                results are empty.
            as_of: Date YYYY-MM-DD; rows that happened or arrived after its end are not seen. A row that
                carries neither time is seen at every date.

        Returns:
            The journey itself.

        Raises:
            ValueError: A stage in the table is not among those declared.
        """
        day = pd.Timestamp(as_of).normalize()
        rows = as_frames(data)["stages"][["partner_id", "deal_id", "stage", "entered_at", "arrived_at"]]
        end = day + pd.Timedelta(days=1)
        known = rows[~(rows["entered_at"] >= end) & ~(rows["arrived_at"] >= end)]
        self._check_names(known["stage"])
        self.as_of_ = day.strftime("%Y-%m-%d")
        self.spells_, self.counts_ = self._find_spells(known, day)
        self.counts_ = {"rows": len(rows), "rows_after_as_of": len(rows) - len(known), **self.counts_}
        self.current_ = self._find_current()
        return self

    def conversion(
        self, *, horizon_days: int | None = None, by: pd.Series | None = None, level: float = 0.95
    ) -> pd.DataFrame:
        """Estimate the share that moves forward within the horizon of entering a stage.

        Who leaves by an exit or goes back competes; who is still on the way is censored (Aalen-Johansen).
        The interval is Wilson's, with the effective number of spells incidence x (1 - incidence) / variance.

        Args:
            horizon_days: Days after entering; None means the journey's own.
            by: A group for each partner, indexed by partner_id; partners outside the index are left out and
                those without a value are the group `unknown`. None: one group, `all`.
            level: Level of the interval.

        Returns:
            One row a group and stage but the last: `group`, `stage`, `n` (spells with a known start),
            `converted` (seen to move forward in time), `left` (seen to leave otherwise in time), `waiting`
            (still there, for less than the horizon), `conversion` (0-1), `lower`, `upper`. Conversion is
            missing while nobody in the group has been followed for the whole horizon.

        References:
            Aalen and Johansen (1978); Dorey and Korn (1987), Effective sample sizes for confidence intervals
            for survival probabilities.
        """
        horizon = self.horizon_days if horizon_days is None else horizon_days
        rows = []
        for group, spells in self._split(by):
            for stage in self.stages[:-1]:
                days, event = self._timed(spells, stage)
                outcome = {
                    "converted": int(((event == FORWARD) & (days <= horizon)).sum()),
                    "left": int(((event == OTHERWISE) & (days <= horizon)).sum()),
                    "waiting": int(((event == WAITING) & (days < horizon)).sum()),
                }
                share, lower, upper = _estimate_share(days, event, FORWARD, horizon, level)
                estimate = {"conversion": share, "lower": lower, "upper": upper}
                rows.append({"group": group, "stage": stage, "n": len(days), **outcome, **estimate})
        columns = ["group", "stage", "n", "converted", "left", "waiting", "conversion", "lower", "upper"]
        return pd.DataFrame(rows, columns=columns)

    def time_in_stage(self, *, by: pd.Series | None = None, level: float = 0.95) -> pd.DataFrame:
        """Estimate the median number of days from entering a stage to leaving it, whichever way.

        Who is still there is censored (Kaplan-Meier).

        Args:
            by: A group for each partner, as in `conversion`.
            level: Level of the interval.

        Returns:
            One row a group and stage: `group`, `stage`, `n` (spells with known times), `censored` (still
            there), `median_days` (the first day by which half have left), `lower`, `upper`. A median or bound
            that has not been reached yet is missing.

        References:
            Brookmeyer and Crowley (1982), A confidence interval for the median survival time; on the
            logarithm, as R's survival package does.
        """
        rows = []
        for group, spells in self._split(by):
            for stage in self.stages:
                days, event = self._timed(spells, stage)
                counts = {"n": len(days), "censored": int((event == WAITING).sum())}
                median, lower, upper = _find_median(kaplan_meier(days, event != WAITING, level=level))
                estimate = {"median_days": median, "lower": lower, "upper": upper}
                rows.append({"group": group, "stage": stage, **counts, **estimate})
        return pd.DataFrame(rows, columns=["group", "stage", "n", "censored", "median_days", "lower", "upper"])

    def bottlenecks(self, value: pd.Series) -> pd.DataFrame:
        """Rank the stages by the money that waits in them.

        For everyone who stands in a stage, the days it is still expected to stay, within the next year, are
        read off the Kaplan-Meier curve of the stage, given how long it has been there. The money that waits
        is its yearly value times these days / 365: what this year's waiting keeps from being earned. A deal
        that waits is money as a whole.

        Args:
            value: What each partner is worth a year, or each of its deals where deals travel, indexed by
                partner_id. Partners outside the index are left out; a missing value counts as waiting but not
                as money.

        Returns:
            One row a stage but the last, most money first: `stage`, `waiting` (travelers), `unknown` (of them
            without a known value or day of entering), `median_wait_days` (so far), `expected_days` (mean of
            the days still expected), `value_waiting` (sum of values), `money_waiting`. Sums are over
            what is known, and missing when nothing is.
        """
        rows = []
        for stage in self.stages[:-1]:
            here = self.current_[(self.current_["stage"] == stage) & self.current_["partner_id"].isin(value.index)]
            worth = here["partner_id"].map(value).astype(float)
            days, event = self._timed(self.spells_, stage)
            delay = pd.Series(
                _expected_stay(kaplan_meier(days, event != WAITING), here["days_in_stage"].to_numpy(dtype=float)),
                index=here.index,
            )
            rows.append(
                {
                    "stage": stage,
                    "waiting": len(here),
                    "unknown": int((worth.isna() | delay.isna()).sum()),
                    "median_wait_days": here["days_in_stage"].median(),
                    "expected_days": delay.mean(),
                    "value_waiting": worth.sum(min_count=1),
                    "money_waiting": worth.where(here["deal_id"].notna(), worth * delay / YEAR_DAYS).sum(min_count=1),
                }
            )
        if self.current_.empty:
            rows = []
        columns = ["stage", "waiting", "unknown", "median_wait_days", "expected_days", "value_waiting", "money_waiting"]
        table = pd.DataFrame(rows, columns=columns)
        return table.sort_values(["money_waiting", "waiting"], ascending=False, ignore_index=True, kind="stable")

    def transitions(self) -> pd.DataFrame:
        """Count the moves from each stage or exit to the next.

        Returns:
            One row a kind of move that was seen, in the order of the stages: `stage`, `next_stage`, `n`,
            `share` (of all moves out of the stage; who is still there does not count, so it is no chance).
        """
        moves = self.spells_.dropna(subset=["next_stage"])
        table = moves.groupby(["stage", "next_stage"]).size().rename("n").reset_index()
        table["share"] = table["n"] / table.groupby("stage")["n"].transform("sum")
        order = table[["stage", "next_stage"]].apply(lambda names: names.map(self._order))
        return table.loc[order.sort_values(["stage", "next_stage"]).index].reset_index(drop=True)

    def route(self, stage: str, to: str) -> pd.DataFrame:
        """Find the likeliest way from one stage to another, each step taken within the horizon.

        The chance of a step is its cumulative incidence within `horizon_days` of entering the stage; stages
        may be skipped or repeated, exits are not passed through.

        Args:
            stage: Stage or exit to start from.
            to: Stage to reach.

        Returns:
            One row a step: `step` (from 1), `stage`, `next_stage`, `n` (spells with a known start in the
            stage), `chance` (0-1), `chance_so_far` (product). Empty when nobody has been seen to go there.

        Raises:
            ValueError: A stage is not among those declared.
        """
        self._check_names(pd.Series([stage, to]))
        moves = self.transitions()
        moves = moves[~moves["stage"].isin(set(self.exits) - {stage})]
        rows = []
        for here, there in zip(moves["stage"], moves["next_stage"], strict=True):
            spells = self._with_days(self.spells_, here)
            goes, stays = spells["next_stage"] == there, spells["next_stage"].isna()
            event = np.select([stays, goes], [WAITING, FORWARD], OTHERWISE)
            chance = _estimate_share(spells["days"].to_numpy(), event, FORWARD, self.horizon_days, 0.95)[0]
            rows.append({"stage": here, "next_stage": there, "n": len(spells), "chance": chance})
        steps = pd.DataFrame(rows, columns=["stage", "next_stage", "n", "chance"])
        way = pd.DataFrame(find_route(steps, stage, to), columns=["stage", "next_stage"]).astype("str")
        way = way.merge(steps, on=["stage", "next_stage"], how="left")
        way.insert(0, "step", range(1, len(way) + 1))
        return way.assign(chance_so_far=way["chance"].cumprod())

    def save(self, directory: str | Path) -> None:
        """Write the fitted journey as `journey.json` and `journey_spells.parquet`."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        facts = {
            "stages": self.stages,
            "exits": self.exits,
            "horizon_days": self.horizon_days,
            "as_of": self.as_of_,
            "counts": self.counts_,
        }
        text = json.dumps(facts, ensure_ascii=False, indent=1)
        (directory / "journey.json").write_text(text + "\n", encoding="utf-8")
        self.spells_.to_parquet(directory / "journey_spells.parquet", index=False)

    @classmethod
    def load(cls, directory: str | Path) -> "Journey":
        """Read a journey that `save` has written."""
        facts = json.loads((Path(directory) / "journey.json").read_text(encoding="utf-8"))
        journey = cls(facts["stages"], facts["exits"], facts["horizon_days"])
        journey.as_of_, journey.counts_ = facts["as_of"], facts["counts"]
        journey.spells_ = pd.read_parquet(Path(directory) / "journey_spells.parquet").astype(_SPELLS)
        journey.current_ = journey._find_current()
        return journey

    @property
    def _order(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.stages + self.exits)}

    def _check_names(self, names: pd.Series) -> None:
        for name in names.unique():
            if name not in self._order:
                close = get_close_matches(str(name), list(self._order), n=1)
                raise ValueError(
                    f"stages: stage {name!r} must be one of {', '.join(self._order)}"
                    f"{f'; did you mean {close[0]!r}?' if close else ''}; add it to journey.stages or journey.exits in "
                    "programme.yaml, or map it in the source's file"
                )

    def _find_spells(self, rows: pd.DataFrame, day: pd.Timestamp) -> tuple[pd.DataFrame, dict[str, int]]:
        """Return the spells as of the end of `day`, and what was counted on the way."""
        rows = rows.drop(columns="arrived_at").assign(place=rows["stage"].map(self._order))
        is_deal = rows["deal_id"].notna()
        who = pd.DataFrame({"is_deal": is_deal, "id": rows["deal_id"].where(is_deal, rows["partner_id"])})
        rows["traveler"] = who.groupby(["is_deal", "id"]).ngroup()
        owners = rows.loc[is_deal, ["traveler", "partner_id"]].drop_duplicates()
        shared = owners.loc[owners.duplicated("traveler"), "traveler"].drop_duplicates().size

        # Undated rows come last; only the furthest of a traveler, beyond all its dated rows, is where it stands.
        rows = rows.sort_values(["traveler", "entered_at", "place", "partner_id"], ignore_index=True)
        undated = rows["entered_at"].isna()
        furthest_dated = rows["place"].where(~undated).groupby(rows["traveler"]).transform("max").fillna(-1)
        last = ~rows.duplicated("traveler", keep="last")
        stands = undated & last & (rows["place"] > furthest_dated)
        rows = rows[~undated | stands]
        repeated = (rows["traveler"] == rows["traveler"].shift()) & (rows["stage"] == rows["stage"].shift())
        rows = rows[~repeated].reset_index(drop=True)

        going_on = rows["traveler"] == rows["traveler"].shift(-1)
        rows["left_at"] = rows["entered_at"].shift(-1).where(going_on)
        rows["next_stage"] = rows["stage"].shift(-1).where(going_on)
        until = rows["left_at"].where(going_on, day).dt.normalize()
        rows["days"] = (until - rows["entered_at"].dt.normalize()) / pd.Timedelta(days=1)
        rows["partner_id"] = rows.groupby("traveler")["partner_id"].transform("last")
        counts = {
            "travelers": int(rows["traveler"].nunique()),
            "spells": len(rows),
            "since_unknown_day": int(stands.sum()),
            "undated_rows_taken_as_past": int((undated & ~stands).sum()),
            "left_on_unknown_day": int((going_on & rows["left_at"].isna()).sum()),
            "rows_repeating_a_stage": int(repeated.sum()),
            "deals_of_several_partners": shared,
        }
        return rows[list(_SPELLS)].astype(_SPELLS), counts

    def _find_current(self) -> pd.DataFrame:
        last = self.spells_[~self.spells_.duplicated("traveler", keep="last")]
        last = last[["partner_id", "deal_id", "stage", "entered_at", "days"]]
        return last.rename(columns={"days": "days_in_stage"}).reset_index(drop=True)

    def _split(self, by: pd.Series | None) -> list[tuple[str, pd.DataFrame]]:
        """Return the spells of each group, groups in the order of their names."""
        if by is None:
            return [("all", self.spells_)] if len(self.spells_) else []
        spells = self.spells_[self.spells_["partner_id"].isin(by.index)]
        names = by.astype(object).where(by.notna(), "unknown").astype(str)
        return [(str(group), part) for group, part in spells.groupby(spells["partner_id"].map(names))]

    def _with_days(self, spells: pd.DataFrame, stage: str) -> pd.DataFrame:
        return spells[(spells["stage"] == stage) & spells["days"].notna()]

    def _timed(self, spells: pd.DataFrame, stage: str) -> tuple[np.ndarray, np.ndarray]:
        """Return days and event (waiting, forward, otherwise) of a stage's spells with known times."""
        spells = self._with_days(spells, stage)
        return spells["days"].to_numpy(dtype=float), tell_outcome(spells, self.stages)


def tell_outcome(spells: pd.DataFrame, stages: tuple[str, ...]) -> np.ndarray:
    """Tell for each spell whether it goes on (0), ended forward (1) or ended otherwise (2).

    Args:
        spells: Rows with `stage` and `next_stage`, as `Journey.spells_`.
        stages: Stages in order; from an exit every stage lies forward.
    """
    place = {name: number for number, name in enumerate(stages)}
    here, there = spells["stage"].map(place).fillna(-1), spells["next_stage"].map(place).fillna(-1)
    return np.select([spells["next_stage"].isna(), there > here], [WAITING, FORWARD], OTHERWISE)


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


def _estimate_share(
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
        share, variance = float(last["incidence"]), float(last["std_err"]) ** 2
    effective = share * (1 - share) / variance if variance > 0 else float(max(outcome_known, 1))
    return share, *_wilson(share, effective, level)


def _wilson(share: float, n: float, level: float) -> tuple[float, float]:
    z2 = norm.ppf(0.5 + level / 2) ** 2
    center = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return float(max(center - reach, 0.0)), float(min(center + reach, 1.0))


def _find_median(curve: pd.DataFrame) -> tuple[float, float, float]:
    """Return the first times at which survival, its lower and its upper bound reach one half; missing if never."""

    def first(column: str) -> float:
        # The small allowance is for products that are one half but for rounding.
        reached = curve.loc[curve[column] <= 0.5 + 1e-9, "time"]
        return float(reached.iloc[0]) if len(reached) else np.nan

    return first("survival"), first("lower"), first("upper")


def _expected_stay(curve: pd.DataFrame, waited: np.ndarray) -> np.ndarray:
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
