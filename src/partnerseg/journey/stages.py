"""Stages: who stands where, who moves on, how long it takes, what money waits."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from partnerseg.journey.decisions import DECISIONS, keep_steps, list_decisions, list_planned
from partnerseg.journey.derive import derive_stages, read_rules
from partnerseg.journey.routes import Process, estimate_process, find_routes
from partnerseg.journey.step_plans import split_effects
from partnerseg.journey.survival import (
    FORWARD,
    OTHERWISE,
    WAITING,
    YEAR_DAYS,
    compare_shares,
    cumulative_incidence,
    estimate_share,
    find_expected_stay,
    find_median,
    kaplan_meier,
    tell_outcome,
)
from partnerseg.programme.sources import as_frames

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
_CONVERSION = [
    "group", "stage", "n", "converted", "left", "waiting", "conversion", "lower", "upper", "horizon_days", "cohort",
    "followed", "immature", "followed_days", "so_far", "so_far_lower", "so_far_upper",
]  # fmt: skip
_TIMES = [
    "group", "stage", "n", "censored", "median_days", "lower", "upper", "target_days", "within_target"
]  # fmt: skip
COHORTS = {"month": "M", "quarter": "Q", "year": "Y"}
LEAST_FOLLOWED = 0.1  # of the spells, for the whole of a time, without which no share is told for it


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
        rules: How stages are told from events, see `derive.Rule`; a stage with a rule is not read from the table
            `stages`.

    Attributes:
        spells_: One row a spell: `traveler` (number), `partner_id`, `deal_id` (missing: the partner itself
            travels), `stage`, `entered_at` and `left_at` (UTC; missing when unknown or not yet), `next_stage`
            (missing while there), `days` (in the stage so far; missing when unknown).
        current_: One row a traveler: `partner_id`, `deal_id`, `stage`, `entered_at`, `days_in_stage`.
        decisions_: One row a step that was taken, and one a partner and period in which none was, with what came
            after; see `decisions.list_decisions`.
        counts_: What was used and what was left out, in rows, travelers and spells.
        as_of_: The day up to whose end all is told, as YYYY-MM-DD.
        actions_: `stages`, `channels` and `cost` of each action that was declared; empty: none was.

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
    decisions_: pd.DataFrame
    counts_: dict[str, int]
    as_of_: str
    actions_: dict[str, dict[str, Any]]

    def __init__(
        self,
        stages: Iterable[str],
        exits: Iterable[str] = (),
        horizon_days: int = 90,
        rules: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        self.stages = tuple(stages)
        self.exits = tuple(exits)
        self.horizon_days = horizon_days
        names = self.stages + self.exits
        if not self.stages or len(set(names)) < len(names):
            raise ValueError(
                f"stages {list(self.stages)} and exits {list(self.exits)} must be at least one stage and no name "
                "twice; edit journey.stages and journey.exits in programme.yaml"
            )
        _check_days(horizon_days)
        self.rules = read_rules(rules, names)

    def fit(self, data: Any, as_of: str, *, actions: Mapping[str, Any] | None = None) -> "Journey":
        """Learn the journey from the table `stages`, or by rules from events, and what was done from `actions`.

        Args:
            data: A programme, or a dict of DataFrames named as the tables. Without rows in `stages`, or events that
                rules tell stages from, all results are empty.
            as_of: Date YYYY-MM-DD; rows that happened or arrived after its end are not seen. A row that
                carries neither time is seen at every date.
            actions: An entry for each action, as in actions.yaml (`params.actions`); `stages`, `channels` and `cost`
                are kept for routes. None: not known.

        Returns:
            The journey itself.

        Raises:
            ValueError: A stage in the table is not among those declared.
        """
        day = pd.Timestamp(as_of).normalize()
        tables = as_frames(data)
        rows = tables["stages"][["partner_id", "deal_id", "stage", "entered_at", "arrived_at"]]
        if self.rules:
            told = [rule.stage for rule in self.rules]
            rows = pd.concat([rows[~rows["stage"].isin(told)], derive_stages(tables, self.rules, as_of=as_of)])
        end = day + pd.Timedelta(days=1)
        known = rows[~(rows["entered_at"] >= end) & ~(rows["arrived_at"] >= end)]
        self._check_names(known["stage"])
        self.as_of_ = day.strftime("%Y-%m-%d")
        self.actions_ = {name: _shorten_action(entry) for name, entry in (actions or {}).items()}
        self.spells_, self.counts_ = self._find_spells(known, day)
        self.counts_ = {"rows": len(rows), "rows_after_as_of": len(rows) - len(known), **self.counts_}
        self.current_ = self._find_current()
        self.decisions_ = list_decisions(self, tables["actions"], sales=tables["sales"])
        return self

    def conversion(
        self,
        *,
        horizon_days: int | Sequence[int] | None = None,
        by: pd.Series | None = None,
        cohort: str = "",
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Estimate the share that moves forward within the horizon of entering a stage.

        Who leaves by an exit or goes back competes; who is still on the way is censored (Aalen-Johansen).
        The interval is Wilson's, with the effective number of spells incidence x (1 - incidence) / variance. Nothing is
        told for a horizon that fewer than a tenth of the spells have been followed for: there the end of a curve hangs
        on a handful. What is known of such a young cohort is how many have moved on so far.

        Args:
            horizon_days: Days after entering, one number or several; None means the journey's own.
            by: A group for each partner, indexed by partner_id, or for each deal, its index called deal_id;
                partners outside the index are left out and those without a value are the group `unknown`. None:
                one group, `all`.
            cohort: `month`, `quarter` or `year`: told apart by when the stage was entered. Empty: all together.
            level: Level of the interval.

        Returns:
            One row a group, cohort, horizon and stage but the last: `group`, `stage`, `n` (spells with a known
            start), `converted` (seen to move forward in time), `left` (seen to leave otherwise in time),
            `waiting` (still there, for less than the horizon), `conversion` (0-1), `lower`, `upper`,
            `horizon_days`, `cohort` (the first day of its month, quarter or year; missing without cohorts),
            `followed` (spells that began at least a horizon ago), `immature` (true: fewer than half of the spells
            were followed for the whole horizon), `followed_days` (the horizon, or where immature the days that half of
            the spells have been followed for), `so_far` (the share that moves forward within `followed_days`), with
            `so_far_lower`, `so_far_upper`. Conversion is missing while fewer than a tenth were followed so long.

        Raises:
            ValueError: A horizon is no whole number of days from 1, the level is not between 0 and 1, `by` names a
                partner twice, or there is no such cohort.

        References:
            Aalen and Johansen (1978); Dorey and Korn (1987), Effective sample sizes for confidence intervals
            for survival probabilities; Pocock, Clayton and Altman (2002), Survival plots of time-to-event outcomes in
            clinical trials, for where a curve ends.
        """
        _check_level(level)
        horizons = self._list_horizons(horizon_days)
        rows = []
        for group, start, stage, spells in self._split_stages(by, cohort, self.stages[:-1]):
            days, event = spells["days"].to_numpy(dtype=float), tell_outcome(spells, self.stages)
            age = np.sort(self._count_days(spells))
            for horizon in horizons:
                share, lower, upper = self._estimate(spells, event, horizon, level)
                followed = int((age >= horizon).sum())
                half = int(min(age[len(age) // 2], horizon)) if len(age) else 0
                so_far, so_far_lower, so_far_upper = self._estimate(spells, event, half, level)
                rows.append(
                    {
                        "group": group,
                        "stage": stage,
                        "n": len(days),
                        "converted": int(((event == FORWARD) & (days <= horizon)).sum()),
                        "left": int(((event == OTHERWISE) & (days <= horizon)).sum()),
                        "waiting": int(((event == WAITING) & (days < horizon)).sum()),
                        "conversion": share,
                        "lower": lower,
                        "upper": upper,
                        "horizon_days": horizon,
                        "cohort": start,
                        "followed": followed,
                        "immature": 2 * followed < len(days),
                        "followed_days": half,
                        "so_far": so_far,
                        "so_far_lower": so_far_lower,
                        "so_far_upper": so_far_upper,
                    }
                )
        table = pd.DataFrame(rows, columns=_CONVERSION)
        return table.astype({"cohort": "datetime64[us]"})

    def drop_outs(
        self, *, horizon_days: int | None = None, by: pd.Series | None = None, level: float = 0.95
    ) -> pd.DataFrame:
        """Estimate the share that leaves a stage by each exit within the horizon of entering it.

        Args:
            horizon_days: Days after entering; None means the journey's own.
            by: A group for each partner or deal, as in `conversion`.
            level: Level of the interval.

        Returns:
            One row a group, stage and exit that was taken from there: `group`, `stage`, `exit`, `n` (spells with
            a known start), `dropped` (seen to take the exit, at any time), `share` (0-1, by the horizon, the other
            ways competing), `lower`, `upper` (missing while fewer than a tenth were followed so long).

        Raises:
            ValueError: As `conversion`.
        """
        _check_level(level)
        horizon = self._list_horizons(horizon_days)[0]
        rows = []
        for group, _, stage, spells in self._split_stages(by, "", self.stages):
            for way in self.exits:
                taken = spells["next_stage"] == way
                if not taken.any():
                    continue
                event = np.select([spells["next_stage"].isna(), taken], [WAITING, FORWARD], OTHERWISE)
                estimate = self._estimate(spells, event, horizon, level)
                rows.append((group, stage, way, len(spells), int(taken.sum()), *estimate))
        return pd.DataFrame(rows, columns=["group", "stage", "exit", "n", "dropped", "share", "lower", "upper"])

    def time_in_stage(
        self,
        *,
        by: pd.Series | None = None,
        targets: Mapping[str, float] | None = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Estimate the median number of days from entering a stage to leaving it, whichever way.

        Who is still there is censored (Kaplan-Meier).

        Args:
            by: A group for each partner or deal, as in `conversion`.
            targets: Days that a stage should take at most, by stage; None or a stage left out: no target.
            level: Level of the interval.

        Returns:
            One row a group and stage: `group`, `stage`, `n` (spells with known times), `censored` (still
            there), `median_days` (the first day by which half have left), `lower`, `upper`, `target_days` (missing:
            none) and `within_target` (0-1, the share that moves forward by then, exits competing; missing while
            fewer than a tenth were followed so long). A median or bound that has not been reached yet is missing.

        Raises:
            ValueError: A target names an undeclared stage or is not above 0 days, the level is not between 0 and 1, or
                `by` names a partner twice.

        References:
            Brookmeyer and Crowley (1982), A confidence interval for the median survival time; on the
            logarithm, as R's survival package does.
        """
        _check_level(level)
        targets = dict(targets or {})
        self._check_names(pd.Series(list(targets), dtype=object), "journey.target_days")
        for stage, days_wanted in targets.items():
            if not days_wanted > 0:
                raise ValueError(f"journey.target_days.{stage} == {days_wanted}, must be > 0 days; or leave it out")
        rows = []
        for group, _, stage, spells in self._split_stages(by, "", self.stages):
            days, event = spells["days"].to_numpy(dtype=float), tell_outcome(spells, self.stages)
            target = float(targets.get(stage, np.nan))
            median, lower, upper = find_median(kaplan_meier(days, event != WAITING, level=level))
            within = np.nan if np.isnan(target) else self._estimate(spells, event, target, level)[0]
            counts = (len(days), int((event == WAITING).sum()))
            rows.append((group, stage, *counts, median, lower, upper, target, within))
        return pd.DataFrame(rows, columns=_TIMES)

    def curves(self, *, by: pd.Series | None = None) -> pd.DataFrame:
        """Estimate how many have moved forward, or left otherwise, after each number of days in a stage.

        Args:
            by: A group for each partner or deal, as in `conversion`.

        Returns:
            One row a group, stage, outcome and day: `group`, `stage`, `outcome` (`forward` or `otherwise`), `time`
            (days), `at_risk`, `events`, `incidence` (0-1) and `std_err`. The share still there is one less both.
        """
        names = {FORWARD: "forward", OTHERWISE: "otherwise"}
        parts = []
        for group, _, stage, spells in self._split_stages(by, "", self.stages):
            curve = cumulative_incidence(spells["days"], tell_outcome(spells, self.stages))
            parts.append(curve.assign(group=group, stage=stage, outcome=curve.pop("event").map(names)))
        columns = ["group", "stage", "outcome", "time", "at_risk", "events", "incidence", "std_err"]
        return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)

    def compare_groups(self, by: pd.Series) -> pd.DataFrame:
        """Test whether groups of partners leave a stage at different speed.

        Args:
            by: A group for each partner or deal, as in `conversion`.

        Returns:
            One row a stage with at least two groups that were followed until somebody left, and not all left on that
            day: `stage`, `groups` (number), `n`, `statistic` (chi-square of the log-rank test), `pvalue`, and
            `pvalue_adj` (Holm, over the stages).

        References:
            Mantel (1966), Evaluation of survival data and two new rank order statistics.
        """
        from statsmodels.duration.survfunc import survdiff
        from statsmodels.stats.multitest import multipletests

        groups = self._split(by) or [("", self.spells_.head(0))]
        spells = pd.concat([part.assign(group=group) for group, part in groups])
        rows = []
        for stage in self.stages:
            own = self._with_days(spells, stage)
            left = tell_outcome(own, self.stages) != WAITING
            # Of a group that nobody has stayed in until then nothing is known.
            first = own["days"][left].min()
            followed = own.groupby("group")["days"].transform("max") >= first
            own, left = own[followed], left[followed.to_numpy()]
            if own["group"].nunique() < 2 or (own["days"] == first)[left].sum() == (own["days"] >= first).sum():
                continue
            # A day of the stay is counted whole: who leaves on the day of entering was there for a moment.
            statistic, pvalue = survdiff(own["days"].to_numpy() + 0.5, left.astype(int), own["group"].to_numpy())
            rows.append((stage, own["group"].nunique(), len(own), float(statistic), float(pvalue)))
        table = pd.DataFrame(rows, columns=["stage", "groups", "n", "statistic", "pvalue"])
        adjusted = multipletests(table["pvalue"], method="holm")[1] if len(table) else []
        return table.assign(pvalue_adj=adjusted)

    def describe_waiting(
        self,
        attributes: pd.DataFrame,
        *,
        log: pd.DataFrame | None = None,
        least: int = 30,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Tell what partners who wait in a stage have in common, against those who went on from it.

        Who has waited longer than half of all stay counts as waiting, in a stage that half have not left yet everybody
        there does. It describes and does not explain: what they share need not be why they wait.

        Args:
            attributes: What is known of each partner, index partner_id: columns of text, such as segment and
                partner_type. A missing value is left out.
            log: The table `actions`. Then an action that a partner did not get while half leave the stage, or before
                it went on, is told too: attribute `missing_step`, value the action. Rows after `as_of` are not seen.
            least: Fewer waiting, or gone on, are not compared.
            level: Level of all intervals of a stage together (Bonferroni).

        Returns:
            One row a stage, attribute and value: `stage`, `attribute`, `value`, `n` (waiting with it), `waiting`
            (waiting of whom the attribute is known), `share` (of these), `share_gone_on` (of those who went on),
            `difference` and its `lower`, `upper`; the largest difference of a stage first, only what is clearly more
            common among those who wait.

        Raises:
            ValueError: The level is not between 0 and 1, or `attributes` names a partner twice.

        References:
            Newcombe (1998), Interval estimation for the difference between independent proportions, method 10.
        """
        _check_level(level)
        _check_once(attributes.index, "attributes")
        rows = []
        medians = (
            self.time_in_stage().set_index("stage")["median_days"] if len(self.spells_) else pd.Series(dtype=float)
        )
        for stage in self.stages[:-1]:
            spells = self._with_days(self.spells_, stage)
            event = tell_outcome(spells, self.stages)
            half = medians.get(stage, np.nan)
            long = spells["days"] >= (0 if np.isnan(half) else half)
            mine = spells["partner_id"].isin(attributes.index)
            waits, went = spells[(event == WAITING) & long & mine], spells[(event == FORWARD) & mine]
            here = attributes.reindex(waits["partner_id"].unique())
            gone = attributes.reindex(went["partner_id"].unique())
            told = [(name, *counts) for name in attributes for counts in _count_values(here[name], gone[name], least)]
            if log is not None and not np.isnan(half):
                end = pd.Timestamp(self.as_of_) + pd.Timedelta(days=1)
                late = log["arrived_at"] >= end if "arrived_at" in log else False
                told += _count_missing_steps(waits, went, log[(log["taken_at"] < end) & ~late], half, least)
            one = 1 - (1 - level) / max(len(told), 1)
            for name, value, n, waiting, gone_n, gone_of in told:
                difference = compare_shares(n, waiting, gone_n, gone_of, one)
                rows.append((stage, name, value, n, waiting, n / waiting, gone_n / gone_of, *difference))
        columns = ["n", "waiting", "share", "share_gone_on", "difference", "lower", "upper"]
        table = pd.DataFrame(rows, columns=["stage", "attribute", "value", *columns])
        table = table[table["lower"] > 0].assign(place=lambda found: found["stage"].map(self._order))
        table = table.sort_values(["place", "difference"], ascending=[True, False], kind="stable", ignore_index=True)
        return table.drop(columns="place")

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

        Raises:
            ValueError: `value` names a partner twice.
        """
        _check_once(value.index, "value")
        rows = []
        for stage in self.stages[:-1]:
            here = self.current_[(self.current_["stage"] == stage) & self.current_["partner_id"].isin(value.index)]
            worth = here["partner_id"].map(value).astype(float)
            days, event = self._timed(self.spells_, stage)
            delay = pd.Series(
                find_expected_stay(kaplan_meier(days, event != WAITING), here["days_in_stage"].to_numpy(dtype=float)),
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

    def transitions(self, *, by: pd.Series | None = None) -> pd.DataFrame:
        """Count what became of everybody who entered a stage or exit.

        Args:
            by: A group for each partner or deal, as in `conversion`.

        Returns:
            One row a group and kind of move that was seen, in the order of the stages: `group`, `stage`, `next_stage`
            (missing: still there), `n` (spells), `share` (of all moves out of the stage; who is still there does not
            count, so it is no chance; missing for those).
        """
        parts = []
        for group, spells in self._split(by):
            table = spells.groupby(["stage", "next_stage"], dropna=False).size().rename("n").reset_index()
            moved = table["n"].where(table["next_stage"].notna())
            table["share"] = moved / moved.groupby(table["stage"]).transform("sum")
            order = table[["stage", "next_stage"]].apply(lambda names: names.map(self._order))
            parts.append(table.loc[order.sort_values(["stage", "next_stage"]).index].assign(group=group))
        columns = ["group", "stage", "next_stage", "n", "share"]
        return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)

    def process(
        self,
        *,
        actions: Mapping[str, Any] | None = None,
        effects: pd.DataFrame | None = None,
        unclear: bool = False,
    ) -> Process:
        """Estimate what doing nothing, and each step that clearly helps, leads to from each stage, period by period.

        Args:
            actions: An entry for each action, as in actions.yaml: a step counts in its `stages` only, and costs its
                `cost` where the log tells none. None: as given to `fit`; where none were, every logged step counts.
            effects: What steps did, as `estimate_action_effects` returns it. None: told from the journey's decisions.
            unclear: Also take steps of which nothing clear is told. A step that clearly harms in a stage is never
                taken there.

        Returns:
            The process, as `estimate_process` tells.
        """
        from partnerseg.journey.effects import estimate_action_effects, judge_effects

        known = self.actions_ if actions is None else {name: _shorten_action(entry) for name, entry in actions.items()}
        decisions = keep_steps(self.decisions_, list_planned(known)) if known else self.decisions_
        whole = split_effects(estimate_action_effects(decisions) if effects is None else effects)[0]
        judged = judge_effects(whole)
        cells = whole[~judged["harms"] if unclear else judged["helps"]]
        return estimate_process(
            keep_steps(decisions, zip(cells["action"], cells["stage"], strict=True)),
            self.stages + self.exits,
            period_days=self.horizon_days,
            costs={name: entry["cost"] for name, entry in known.items() if entry["cost"] is not None},
        )

    def route(
        self,
        partner: str,
        to: str,
        *,
        avoid: Iterable[str] = (),
        channels: Mapping[str, Iterable[str]] | None = None,
        effects: pd.DataFrame | None = None,
        unclear: bool = False,
        **options: Any,
    ) -> pd.DataFrame:
        """Find the best route to a stage, turn by turn, with alternatives and what avoiding costs.

        A route is made of steps that clearly help where they are taken, see `process`.

        Args:
            partner: Who travels, by partner_id, from where it stands; or a stage or exit to start from.
            to: Stage to reach.
            avoid: Actions, stages and channels that the route does not use.
            channels: Channels of each action. None: as given to `fit` in `actions`.
            effects: As in `process`.
            unclear: As in `process`.
            options: `alternatives`, `objective`, `within_days` and `level`, see `routes.find_routes`.

        Returns:
            One row a route and stage, as `routes.find_routes` tells; one with a `reason` where no route can be told.

        Raises:
            ValueError: The partner or a name is not known, a number out of range, or money is not known for `value`.
        """
        if channels is None:
            channels = {name: entry["channels"] for name, entry in self.actions_.items()}
        avoid = [avoid] if isinstance(avoid, str) else list(avoid)
        logged = dict.fromkeys(self.decisions_["action"].unique(), ())  # may be avoided though they are in no route
        if not channels and (unknown := [name for name in avoid if name not in {**logged, **self._order}]):
            raise ValueError(
                f"avoid: {unknown[0]!r} is no action that was logged and no stage, and of channels nothing is known; "
                "pass channels={action: [channel, ...]} here, or actions=params.actions to fit"
            )
        return find_routes(
            self.process(effects=effects, unclear=unclear),
            partner if partner in self._order else self._find_stage(partner),
            to=to,
            avoid=avoid,
            channels={**logged, **channels},
            **options,
        )

    def save(self, directory: str | Path) -> None:
        """Write the fitted journey: `journey.json`, `journey_spells.parquet` and `journey_decisions.parquet`."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        facts = {
            "stages": self.stages,
            "exits": self.exits,
            "horizon_days": self.horizon_days,
            "rules": [asdict(rule) for rule in self.rules],
            "as_of": self.as_of_,
            "counts": self.counts_,
            "actions": self.actions_,
        }
        text = json.dumps(facts, ensure_ascii=False, indent=1)
        (directory / "journey.json").write_text(text + "\n", encoding="utf-8")
        self.spells_.to_parquet(directory / "journey_spells.parquet", index=False)
        self.decisions_.to_parquet(directory / "journey_decisions.parquet", index=False)

    @classmethod
    def load(cls, directory: str | Path) -> "Journey":
        """Read a journey that `save` has written."""
        facts = json.loads((Path(directory) / "journey.json").read_text(encoding="utf-8"))
        journey = cls(facts["stages"], facts["exits"], facts["horizon_days"], facts["rules"])
        journey.as_of_, journey.counts_, journey.actions_ = facts["as_of"], facts["counts"], facts.get("actions", {})
        journey.spells_ = pd.read_parquet(Path(directory) / "journey_spells.parquet").astype(_SPELLS)
        journey.current_ = journey._find_current()
        journey.decisions_ = pd.read_parquet(Path(directory) / "journey_decisions.parquet").astype(DECISIONS)
        return journey

    def _find_stage(self, partner: str) -> str:
        """Return where a partner itself stands."""
        own = self.current_[self.current_["partner_id"] == partner]
        stage = own.loc[own["deal_id"].isna(), "stage"]
        if stage.empty:
            why = "has deals that travel, and no stage of its own" if len(own) else "stands in no stage"
            raise ValueError(
                f"partner == {partner!r} {why} by {self.as_of_}, must be a partner who stands in one, or a stage to "
                f"start from: {', '.join(self._order)}"
            )
        return str(stage.iloc[0])

    @property
    def _order(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.stages + self.exits)}

    def _check_names(self, names: pd.Series, place: str = "stages") -> None:
        for name in names.unique():
            if name not in self._order:
                close = get_close_matches(str(name), list(self._order), n=1)
                raise ValueError(
                    f"{place}: stage {name!r} must be one of {', '.join(self._order)}"
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

    def _list_horizons(self, horizon_days: int | Sequence[int] | None) -> list[int]:
        given = self.horizon_days if horizon_days is None else horizon_days
        return [_check_days(days) for days in np.atleast_1d(given).tolist()]

    def _count_days(self, spells: pd.DataFrame) -> np.ndarray:
        """Return how many days ago each spell began."""
        return ((pd.Timestamp(self.as_of_) - spells["entered_at"].dt.normalize()) / pd.Timedelta(days=1)).to_numpy()

    def _estimate(
        self, spells: pd.DataFrame, event: np.ndarray, horizon: float, level: float
    ) -> tuple[float, float, float]:
        """Return the share that has moved forward by the horizon and its interval; missing where too few were followed.

        Whether it is told hangs on when the spells began only, not on what became of them.
        """
        if not len(spells) or (self._count_days(spells) >= horizon).mean() < LEAST_FOLLOWED:
            return np.nan, np.nan, np.nan
        return estimate_share(spells["days"].to_numpy(dtype=float), event, FORWARD, horizon, level)

    def _split(self, by: pd.Series | None) -> list[tuple[str, pd.DataFrame]]:
        """Return the spells of each group, groups in the order of their names."""
        if by is None:
            return [("all", self.spells_)] if len(self.spells_) else []
        _check_once(by.index, "by")
        who = self.spells_["deal_id" if by.index.name == "deal_id" else "partner_id"]
        spells = self.spells_[who.isin(by.index)]
        names = by.astype(object).where(by.notna(), "unknown").astype(str)
        return [(str(group), part) for group, part in spells.groupby(who[spells.index].map(names))]

    def _split_stages(
        self, by: pd.Series | None, cohort: str, stages: Iterable[str]
    ) -> Iterable[tuple[str, pd.Timestamp | None, str, pd.DataFrame]]:
        """Yield the spells with known times of each group, cohort (by its first day) and stage."""
        if cohort and cohort not in COHORTS:
            raise ValueError(f"cohort == {cohort!r}; possible values are: {', '.join(COHORTS)}")
        for group, spells in self._split(by):
            for stage in stages:
                own = self._with_days(spells, stage)
                if not cohort:
                    yield group, None, stage, own
                    continue
                start = own["entered_at"].dt.to_period(COHORTS[cohort]).dt.start_time
                for day, part in own.groupby(start):
                    yield group, day, stage, part

    def _with_days(self, spells: pd.DataFrame, stage: str) -> pd.DataFrame:
        return spells[(spells["stage"] == stage) & spells["days"].notna()]

    def _timed(self, spells: pd.DataFrame, stage: str) -> tuple[np.ndarray, np.ndarray]:
        """Return days and event (waiting, forward, otherwise) of a stage's spells with known times."""
        spells = self._with_days(spells, stage)
        return spells["days"].to_numpy(dtype=float), tell_outcome(spells, self.stages)


def _shorten_action(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what routes need of an entry of actions.yaml."""
    cost = entry.get("cost")
    return {
        "stages": list(entry["stages"]),
        "channels": list(entry.get("channels", ())),
        "cost": None if cost is None else float(cost),
    }


def _check_days(days: float) -> int:
    """Return a horizon as a whole number of days."""
    if isinstance(days, str) or not (np.isfinite(days) and days >= 1 and days == int(days)):
        raise ValueError(
            f"horizon_days == {days!r}, must be >= 1, a whole number of days; edit journey.horizon_days, or what is "
            "passed here"
        )
    return int(days)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level == {level}, must be above 0 and below 1, as 0.95")


def _check_once(index: pd.Index, name: str) -> None:
    """Raise ValueError where an index names somebody twice."""
    twice = index[index.duplicated()]
    if len(twice):
        raise ValueError(
            f"{name}: {index.name or 'partner_id'} {twice[0]!r} stands in the index twice ({len(twice)} in all), must "
            "stand there once; leave one row, as by drop_duplicates"
        )


def _count_values(here: pd.Series, gone: pd.Series, least: int) -> list[tuple[str, int, int, int, int]]:
    """Return for each value: itself, how many wait with it of how many known, and the same of those who went on."""
    here, gone = here.dropna(), gone.dropna()
    if len(here) < least or len(gone) < least:
        return []
    among = gone.value_counts()
    return [
        (str(value), int(n), len(here), int(among.get(value, 0)), len(gone)) for value, n in here.value_counts().items()
    ]


def _count_missing_steps(
    waits: pd.DataFrame, went: pd.DataFrame, log: pd.DataFrame, half: float, least: int
) -> list[tuple[str, str, int, int, int, int]]:
    """Count for each action who did not get it in the first `half` days of the stay, of those who wait and who went."""
    if min(len(waits), len(went)) < least:
        return []
    until = pd.Timedelta(days=half)
    lacking = []
    for spells in (waits, went):
        own = spells[["traveler", "partner_id", "entered_at", "left_at"]].merge(log, on="partner_id")
        early = (own["taken_at"] >= own["entered_at"]) & (own["taken_at"] <= own["entered_at"] + until)
        had = own[early & ~(own["taken_at"] >= own["left_at"])].drop_duplicates(["traveler", "action"])
        lacking.append(len(spells) - had["action"].value_counts())
    actions = lacking[0].index.union(lacking[1].index)
    return [
        ("missing_step", str(action), int(lacking[0].get(action, len(waits))), len(waits),
         int(lacking[1].get(action, len(went))), len(went))
        for action in actions
    ]  # fmt: skip
