"""The sample programme: all fourteen tables, drawn from a model whose truth is returned beside them."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from partnerseg.programme import planted
from partnerseg.programme.tables import TABLES

DAY = 86_400
YEAR = 365.25 * DAY
_NEVER = np.iinfo(np.int64).max // 4  # later than every event
_UNKNOWN = np.iinfo(np.int64).min  # becomes a missing time
_QUARTERS = 12
_SEGMENT_NAMES = (*planted.SEGMENTS, planted.BACKGROUND)
_BACKGROUND = len(planted.SEGMENTS)
_TICKETS = ("support", "task", "complaint", "conflict")


def _seconds(date: str) -> int:
    return int(np.datetime64(date, "s").astype(np.int64))


_FIRST = _seconds(planted.FIRST_DAY)
_END = _seconds(planted.AS_OF) + DAY
_EDGES = (np.datetime64(planted.FIRST_DAY, "M") + 3 * np.arange(_QUARTERS + 1)).astype("datetime64[s]").astype(np.int64)


@dataclass(frozen=True)
class Truth:
    """What was planted in a sample; nothing here is estimated from its tables.

    Attributes:
        as_of: Last day of the sample, `YYYY-MM-DD`.
        random_state: The seed.
        partners: Index partner_id; `segment_start`, `segment_end` (at joining or the first day, and at the
            end; "background" belongs to none), `blend_with` and `blend` (the other segment it partly behaves
            like and by how much, 0 to 0.4), `joined_at`, `stage_end` (last stage before any exit), `exit`
            (dormant, left or empty), `exited_at`, `potential` (EUR a year it could reach), `observed` (true: a
            member of a segment that joined over 365 days before the end, is still active and has not moved
            within them, so that the last 365 days show its segment).
        segments: Index segment; planted `share` of partners and the center of each behavior.
        moves: One row a move: partner_id, moved_at, segment_before, segment_after.
        factor_effects: Change of the log of next quarter's expected orders for one standard deviation of a
            factor now.
        factor_levels: Index partner_id; each factor in standard deviations in the last quarter.
        stage_hazards: Index stage; chance a day to go on (`next`), to go `dormant`, to leave (`left`).
        stage_times: Index stage; `median_days` until leaving the stage in any way, `median_days_to_next`
            if exits did not happen (what Kaplan-Meier with exits censored estimates), `conversion` ever, and
            `conversion_90d` within 90 days with exits competing. Missing for the last stage where there is
            no next.
        bottleneck: The stage with the longest way on.
        action_effects: Index action, a column a stage: relative change of the next quarter's expected orders.
        action_propensities: Index (approach, stage, quiet), a column an action: chance of the action for a
            partner that gets one.
        experiment: Name of the experiment.
        experiment_effect: Relative change of the treated partners' expected orders from `experiment_start`.
        experiment_start: First day of the effect.
        return_rates: Index segment; center of the chance that a sale is returned.
        missing: One row a cause of missing values: table, column, `mechanism` (at random, at random given
            what is seen, not at random), `given` (for whom), `share`.
        late_share: Index table; share of rows with an `arrived_at` after the event.
        acquisition_costs: Index region; mean EUR spent on recruiting for a partner who joins.
        planted_errors: What `write_sample` adds to the raw files: table, kind (duplicate, bad_value, orphan),
            column, rows.
    """

    as_of: str
    random_state: int
    partners: pd.DataFrame
    segments: pd.DataFrame
    moves: pd.DataFrame
    factor_effects: pd.Series
    factor_levels: pd.DataFrame
    stage_hazards: pd.DataFrame
    stage_times: pd.DataFrame
    bottleneck: str
    action_effects: pd.DataFrame
    action_propensities: pd.DataFrame
    experiment: str
    experiment_effect: float
    experiment_start: str
    return_rates: pd.Series
    missing: pd.DataFrame
    late_share: pd.Series
    acquisition_costs: pd.Series
    planted_errors: pd.DataFrame

    def __repr__(self) -> str:
        return f"Truth({', '.join(field.name for field in fields(self))})"


@dataclass(frozen=True)
class Sample:
    """A sample programme.

    Attributes:
        tables: The fourteen tables by name, clean, with every column of the schema; text as `str`, times as
            `datetime64[us]` in UTC, numbers as float64, flags as `boolean`.
        truth: What was planted.
    """

    tables: dict[str, pd.DataFrame]
    truth: Truth

    def __repr__(self) -> str:
        rows = ", ".join(f"{name} {len(table):,}" for name, table in self.tables.items())
        return f"Sample({rows})"


def simulate_programme(n_partners: int = 2_000, random_state: int = 0, *, activity: float = 1.0) -> Sample:
    """Draw a partner programme of three years with known truth.

    The model in words; every number stands in `planted.py` and in the truth:

    - **Partners** join from 2021-07-01 on, 70% of them before the first event of 2023-07-01, and live in four
      regions (40, 30, 20, 10%). 92% belong to six segments (30, 22, 15, 11, 9, 5%); 8% are background: each of
      their behaviors is drawn by itself, anywhere between the segments. A segment is a center for 18 behaviors
      (order frequency and value, customers, countries, discounts, returns, contacts and answers, training,
      tickets, service, satisfaction) and chances for type, industry, size and specialization. Partners vary
      around their center; 6% of the members behave 10-40% like another segment. 0.8% of the members move to
      another segment at the start of each quarter.
    - **Stages**: a partner starts as recruited and waits an exponential time in each stage; going on, going
      dormant and leaving compete with constant hazards. The median way on is 18 days for recruited, 32 for
      onboarded, 844 for activated (the bottleneck) and 422 for growing. Orders come between onboarding and exit.
    - **Orders** of a quarter are Poisson; the log of their expectation is the behavior, the stage, the season,
      the partner's eight factors of the quarter before (five matter: 0.05 to 0.12 a standard deviation), the
      effect of an action taken at the end of the quarter before, and the experiment. Order values are
      lognormal; 1-10% are returned after 3-40 days, three in ten of those only in part.
    - **Traces of factors**: who works well in teams sells together with others more often (0.6 log odds a standard
      deviation) and is in conflict less often; whose tasks are good has fewer reopened; who communicates well
      answers sooner (0.4 a standard deviation of log hours).
    - **Actions**: in the last ten days of each quarter an active partner gets an action with chance 0.35,
      chosen by one of two approaches with chances that depend on its stage and on whether it was quiet (at
      most one order in the quarter); the chance of the action, given that there is one, is its propensity.
    - **Experiment**: all partners active in the last days of September 2025 are assigned to treatment or
      control by a fair coin; the treated order 15% more from 1 October 2025 on.
    - **Gaps**: fields are missing at random, at random given the region, and not at random (small sizes, low
      potential, dissatisfied partners); 2-5% of the rows of six tables arrive 1-60 days late, some of them
      after the end. Marketing contacts stop when their consent is withdrawn, actions while navigation is paused.

    The same arguments give the same tables, and `write_sample` the same bytes. Peak memory is about 3 KB a
    partner and 34 KB more for each 1.0 of `activity`: a million partners fit into 24 GB at 0.5.

    Args:
        n_partners: Number of partners, 100 to 1,000,000.
        random_state: Seed, an integer from 0 up.
        activity: Multiplies the number of sales, touches, trainings, tickets and answers a partner has; over 0, at
            most 10. Behaviors in the truth are told for 1.0.

    Returns:
        A `Sample`: tables (dict of DataFrames by table name) and truth.

    Raises:
        ValueError: An argument is out of its range.
        TypeError: An argument is not a number.

    Example:
        >>> sample = simulate_programme(n_partners=100, random_state=0)
        >>> len(sample.tables), len(sample.tables["partners"])
        (14, 100)
        >>> sample.truth.bottleneck
        'activated'
    """
    _check_arguments(n_partners, random_state, activity)
    world = _World(n_partners, random_state, activity)
    orders, actions, assignments = _draw_orders_and_actions(world)
    tables = {
        "partners": _partners(world),
        "sales": _sales(world, orders),
        "touches": _touches(world),
        "trainings": _trainings(world),
        "tickets": _tickets(world),
        "feedback": _feedback(world),
        "stages": _stages(world),
        "assessments": _assessments(world),
        "actions": actions,
        "assignments": assignments,
        "consents": _consents(world),
        "preferences": _preferences(world),
        "costs": _costs(world),
        "identities": _identities(world),
    }
    return Sample(tables, _truth(world, tables))


def write_sample(sample: Sample, directory: str | Path) -> Path:
    """Write the raw files of a sample: one CSV a table, as a CRM would export them.

    Files are UTF-8 with commas, text in double quotes, times as `2026-06-30T21:05:00Z`, plain decimals,
    `true` and `false`, nothing between the commas where a value is missing. Exact duplicate rows, bad values
    and orphan events are added as `truth.planted_errors` lists them, each far below 1% of a file. They are
    written in a staging folder beside `directory` and renamed. An earlier sample there is replaced.

    Args:
        sample: What `simulate_programme` returned.
        directory: Folder of the files; made if it is not there.

    Returns:
        The folder.

    Raises:
        FileExistsError: `directory` holds other things than the files of a sample.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     raw = write_sample(simulate_programme(n_partners=100, random_state=0), Path(folder) / "raw")
        ...     len(list(raw.glob("*.csv")))
        14
    """
    target = Path(directory)
    expected = {f"{name}.csv" for name in TABLES}
    others = sorted(path.name for path in target.iterdir() if path.name not in expected) if target.exists() else []
    if others:
        raise FileExistsError(
            f"{target} holds {others[0]!r}, must be empty or hold only an earlier sample: choose another folder"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.name}.staging")
    former = target.with_name(f".{target.name}.former")
    for leftover in (staging, former):
        shutil.rmtree(leftover, ignore_errors=True)
    staging.mkdir()
    errors = sample.truth.planted_errors
    options = pa.csv.WriteOptions(quoting_style="needed")
    for number, (name, frame) in enumerate(sample.tables.items()):
        rng = np.random.default_rng([sample.truth.random_state, 1_000 + number])
        text = _spoil(rng, _as_text(name, frame), errors[errors["table"] == name])
        pa.csv.write_csv(text, staging / f"{name}.csv", options)
    if target.exists():
        os.rename(target, former)
    os.rename(staging, target)
    shutil.rmtree(former, ignore_errors=True)
    return target


def _check_arguments(n_partners: Any, random_state: Any, activity: Any) -> None:
    for name, value in {"n_partners": n_partners, "random_state": random_state}.items():
        if not isinstance(value, int | np.integer) or isinstance(value, bool):
            raise TypeError(f"{name} == {value!r}, must be an integer")
    if not isinstance(activity, int | float | np.number) or isinstance(activity, bool):
        raise TypeError(f"activity == {activity!r}, must be a number")
    if not 100 <= n_partners <= 1_000_000:
        raise ValueError(f"n_partners == {n_partners}, must be in 100..1000000")
    if random_state < 0:
        raise ValueError(f"random_state == {random_state}, must be >= 0")
    if not 0 < activity <= 10:
        raise ValueError(f"activity == {activity}, must be > 0 and <= 10")


# Partners: who they are, how they behave, where they stand


class _World:
    """Partners and their hidden states; arrays with a row a partner."""

    def __init__(self, n: int, random_state: int, activity: float) -> None:
        self.n, self.random_state, self.activity = n, int(random_state), float(activity)
        rng = self.stream("partners")
        self.region = _draw(rng, planted.REGION_SHARE, n)
        country_share = [
            [shares.get(country, 0.0) for country in planted.COUNTRIES] for shares in planted.REGION_COUNTRIES
        ]
        self.country = _draw_given(rng, country_share, self.region)
        self._draw_stages(self.stream("stages"))
        self._draw_segments(self.stream("segments"))
        self._draw_consents(self.stream("consents"))
        self.factors = self._draw_factors(self.stream("factors"))

        def by_segment(shares: Sequence[Sequence[float]]) -> np.ndarray:
            even = [1 / len(shares[0])] * len(shares[0])  # the background
            return _draw_given(rng, (*shares, even), self.segment[:, 0])

        self.partner_type = by_segment(planted.TYPE_SHARE)
        self.industry = by_segment(planted.INDUSTRY_SHARE)
        self.size = by_segment(planted.SIZE_SHARE)
        self.specialization = by_segment(planted.SPECIALIZATION_SHARE)
        self.language = _draw_given(rng, planted.REGION_LANGUAGES, self.region)
        self.mood = rng.normal(0, 0.5, n)
        value = np.asarray(planted.REGION_VALUE)[self.region]
        yearly = self.level("orders")[:, -1] * self.level("order_value")[:, -1] * value
        self.potential = yearly * np.exp(rng.normal(0.4, 0.3, n))

    def stream(self, name: str) -> np.random.Generator:
        """Random numbers of one subject: a change in one table leaves the others as they are."""
        return np.random.default_rng([self.random_state, *name.encode()])

    def _draw_stages(self, rng: np.random.Generator) -> None:
        n, founded = self.n, _seconds(planted.FOUNDED)
        early = rng.random(n) < 0.7
        share = rng.random(n)
        joined = np.where(early, founded + share * (_FIRST - founded), _FIRST + share * (_END - _FIRST))
        self.joined_at = (joined // DAY).astype(np.int64) * DAY
        stages = len(planted.STAGES)
        self.entered_at = np.full((n, stages), _NEVER)
        self.exited_at = np.full(n, _NEVER)
        self.exit = np.full(n, -1, dtype=np.int8)
        now = self.joined_at.astype(float)
        for stage in range(stages):
            here = now < _END
            self.entered_at[here, stage] = now[here].astype(np.int64)
            hazards = np.asarray(planted.STAGE_HAZARDS[stage])
            now = now + rng.exponential(YEAR / hazards.sum(), n)
            which = _draw(rng, hazards / hazards.sum(), n)
            gone = here & (which > 0) & (now < _END)
            self.exited_at[gone] = now[gone].astype(np.int64)
            self.exit[gone] = which[gone] - 1
            now[~here | (which > 0)] = _NEVER
        self.onboarded_at = self.entered_at[:, 1]
        self.left_at = np.where(self.exit == 1, self.exited_at, _NEVER)

    def _draw_segments(self, rng: np.random.Generator) -> None:
        n = self.n
        first = _draw(rng, (*planted.SEGMENT_SHARE, 1 - sum(planted.SEGMENT_SHARE)), n)
        self.segment = np.repeat(first[:, None], _QUARTERS, axis=1)
        anywhere = np.full((_BACKGROUND, _BACKGROUND), 0.1 / (_BACKGROUND - 1))
        anywhere[np.arange(_BACKGROUND), planted.MOVES_TO] += 0.9
        np.fill_diagonal(anywhere, 0)
        anywhere /= anywhere.sum(1, keepdims=True)
        for quarter in range(1, _QUARTERS):
            edge = _EDGES[quarter]
            now = self.segment[:, quarter - 1].copy()
            free = (now != _BACKGROUND) & (self.joined_at < edge) & (self.exited_at > edge)
            movers = np.flatnonzero(free & (rng.random(n) < planted.MOVE_SHARE))
            now[movers] = _draw_given(rng, anywhere, now[movers])
            self.segment[:, quarter] = now
        self.blend_with = rng.integers(0, _BACKGROUND, n).astype(np.int8)
        self.blend = np.where(rng.random(n) < planted.BLEND_SHARE, rng.uniform(0.1, 0.4, n), 0.0)
        self.blend[(first == _BACKGROUND) | (self.blend_with == first)] = 0.0
        self._deviation: dict[str, np.ndarray] = {}
        for name, (scale, spread, centers) in planted.BEHAVIORS.items():
            deviation = rng.normal(0, spread, n)
            ends = _transform(scale, np.asarray([min(centers), max(centers)], dtype=float))
            background = rng.uniform(ends[0], ends[1], n)
            self._deviation[name] = np.where(first == _BACKGROUND, background, deviation)

    def _draw_factors(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Factor levels, partners x (one quarter before the first, then all quarters), standard normal."""
        memory = planted.FACTOR_MEMORY
        factors = {}
        for name in planted.FACTOR_EFFECTS:
            levels = np.empty((self.n, _QUARTERS + 1), dtype=np.float32)
            levels[:, 0] = rng.standard_normal(self.n)
            for quarter in range(1, _QUARTERS + 1):
                fresh = rng.standard_normal(self.n) * np.sqrt(1 - memory**2)
                levels[:, quarter] = memory * levels[:, quarter - 1] + fresh
            factors[name] = levels
        return factors

    def _draw_consents(self, rng: np.random.Generator) -> None:
        def moment(share: float) -> np.ndarray:
            start = np.maximum(self.joined_at + DAY, _FIRST)
            at = (start + rng.random(self.n) * (_END - start)).astype(np.int64)
            return np.where((rng.random(self.n) < share) & (start < _END), at, _NEVER)

        self.marketing_off = moment(planted.MARKETING_WITHDRAWN)
        self.analytics_off = moment(planted.ANALYTICS_WITHDRAWN)
        self.paused_at = moment(planted.NAVIGATION_PAUSED)
        resumed = self.paused_at + (30 + rng.integers(0, 150, self.n)) * DAY
        self.resumed_at = np.where((rng.random(self.n) < 0.4) & (resumed < _END), resumed, _NEVER)

    def level(self, name: str) -> np.ndarray:
        """A behavior in its own unit, partners x quarters."""
        scale, _, centers = planted.BEHAVIORS[name]
        center = np.append(_transform(scale, np.asarray(centers, dtype=float)), 0.0).astype(np.float32)
        blend = self.blend[:, None].astype(np.float32)
        mixed = center[self.segment] * (1 - blend) + center[self.blend_with][:, None] * blend
        mixed += self._deviation[name][:, None].astype(np.float32)
        if scale == "plain":
            return mixed
        return np.exp(mixed) if scale == "log" else 1 / (1 + np.exp(-mixed))

    def factor(self, name: str) -> np.ndarray:
        """A factor's level, partners x quarters."""
        return self.factors[name][:, 1:]

    def stage_at(self, times: np.ndarray | np.int64) -> np.ndarray:
        """Number of the last stage entered by a time, a row a partner; 0 before the first."""
        entered = (self.entered_at <= np.asarray(times).reshape(-1, 1)).sum(1)
        return np.maximum(entered - 1, 0)

    def events(
        self, rng: np.random.Generator, rates: np.ndarray, start: np.ndarray, stop: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw events at yearly `rates` (partners x quarters) between start and stop: partner, quarter, time."""
        lower = np.maximum(_EDGES[:-1], start[:, None])
        exposure = np.clip(np.minimum(_EDGES[1:], stop[:, None]) - lower, 0, None) / YEAR
        counts = rng.poisson(rates * exposure * self.activity)
        return _scatter(rng, counts, start, stop)


def _scatter(
    rng: np.random.Generator, counts: np.ndarray, start: np.ndarray, stop: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spread counts (partners x quarters) evenly over the open part of each quarter, sorted by time."""
    cell = np.repeat(np.arange(counts.size, dtype=np.int32), counts.ravel())
    partner, quarter = np.divmod(cell, _QUARTERS)
    lower = np.maximum(_EDGES[quarter], start[partner])
    upper = np.minimum(_EDGES[quarter + 1], stop[partner])
    time = lower + (rng.random(len(cell)) * (upper - lower)).astype(np.int64)
    order = np.argsort(time, kind="stable")
    return partner[order], quarter[order].astype(np.int8), time[order]


def _transform(scale: str, values: np.ndarray) -> np.ndarray:
    if scale == "log":
        return np.log(values)
    return np.log(values / (1 - values)) if scale == "logit" else values


def _draw(rng: np.random.Generator, shares: Sequence[float] | np.ndarray, n: int) -> np.ndarray:
    return np.searchsorted(np.cumsum(shares)[:-1], rng.random(n), side="right").astype(np.int8)


def _draw_given(rng: np.random.Generator, shares: Any, row: np.ndarray) -> np.ndarray:
    """Draw a category for each entry of `row`, with the chances of that row of `shares`."""
    bounds = np.cumsum(np.asarray(shares, dtype=float), axis=1)
    u = rng.random(len(row))
    codes = np.zeros(len(row), dtype=np.int8)
    for column in range(bounds.shape[1] - 1):
        codes += u >= bounds[row, column]
    return codes


# Orders and what the programme does about them


def _draw_orders_and_actions(world: _World) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """Quarter by quarter: orders from what was before, then actions. Orders are partners x quarters."""
    rng = world.stream("orders")
    n = world.n
    rates = world.level("orders")
    effects = np.asarray([change for _, change in planted.ACTIONS.values()])
    propensities = _action_propensities()
    orders = np.zeros((n, _QUARTERS), dtype=np.int32)
    lift = np.ones(n)
    treated = np.zeros(n, dtype=bool)
    rounds: list[dict[str, np.ndarray]] = []
    assignments = pd.DataFrame()
    noise = 0.15
    for quarter in range(_QUARTERS):
        start, stop = _EDGES[quarter], _EDGES[quarter + 1]
        open_for = np.clip(np.minimum(stop, world.exited_at) - np.maximum(start, world.onboarded_at), 0, None)
        pull = sum(beta * world.factors[name][:, quarter] for name, beta in planted.FACTOR_EFFECTS.items())
        season = planted.QUARTER_SALES[(quarter + 2) % 4]  # the first quarter starts in July
        mean = rates[:, quarter] * np.exp(pull + rng.normal(-(noise**2) / 2, noise, n)) * lift * season
        mean *= np.asarray(planted.STAGE_SALES)[world.stage_at(start)]
        if quarter >= planted.EXPERIMENT_QUARTER:
            mean *= np.where(treated, 1 + planted.EXPERIMENT_EFFECT, 1.0)
        orders[:, quarter] = rng.poisson(mean * open_for / YEAR * world.activity)

        at = stop - 1 - rng.integers(0, 10 * DAY, n)
        stage = world.stage_at(at)
        quiet = (orders[:, quarter] <= 1).astype(np.int8)
        approach = _draw(rng, planted.APPROACH_SHARE, n)
        row = (approach * len(planted.STAGES) + stage) * 2 + quiet
        action = _draw_given(rng, propensities, row)
        active = (world.joined_at < at) & (at < world.exited_at)
        navigated = ~((world.paused_at <= at) & (at < world.resumed_at))
        chosen = active & navigated & (rng.random(n) < planted.ACTION_CHANCE)
        lift = np.where(chosen, 1 + effects[action, stage], 1.0)
        who = np.flatnonzero(chosen)
        rounds.append(
            {
                "partner": who,
                "at": at[who],
                "action": action[who],
                "approach": approach[who],
                "propensity": propensities[row[who], action[who]],
            }
        )
        if quarter == planted.EXPERIMENT_QUARTER - 1:
            enrolled = np.flatnonzero((world.joined_at < stop - 5 * DAY) & (world.exited_at >= stop))
            coin = rng.random(len(enrolled)) < 0.5
            treated[enrolled[coin]] = True
            assigned_at = stop - 5 * DAY + rng.integers(9 * 3600, 17 * 3600, len(enrolled))
            assignments = _frame(
                "assignments",
                experiment=_pick([planted.EXPERIMENT], np.zeros(len(enrolled), dtype=np.int8)),
                partner_id=_partner_ids(enrolled),
                variant=_pick(["control", "treatment"], coin.astype(np.int8)),
                assigned_at=assigned_at,
            )
    drawn = {key: np.concatenate([part[key] for part in rounds]) for key in rounds[0]}
    order = np.argsort(drawn["at"], kind="stable")
    drawn = {key: values[order] for key, values in drawn.items()}
    costs = np.asarray([cost for cost, _ in planted.ACTIONS.values()], dtype=float)
    actions = _frame(
        "actions",
        action_id=_ids("A", np.arange(len(order)) + 1, 7),
        partner_id=_partner_ids(drawn["partner"]),
        taken_at=drawn["at"],
        action=_pick(list(planted.ACTIONS), drawn["action"]),
        approach=_pick(planted.APPROACHES, drawn["approach"]),
        propensity=np.round(drawn["propensity"], 4),
        cost=costs[drawn["action"]],
    )
    return orders, actions, assignments


def _action_propensities() -> np.ndarray:
    """Chance of each action: a row for each approach x stage x quiet, in that order."""
    by_stage = np.asarray(planted.BY_STAGE_WEIGHTS, dtype=float)
    weights = np.repeat(np.stack([np.ones_like(by_stage), by_stage])[:, :, None, :], 2, axis=2)
    weights[:, :, 1, list(planted.ACTIONS).index("reactivation_call")] *= planted.QUIET_WEIGHT
    weights = weights.reshape(-1, len(planted.ACTIONS))
    return weights / weights.sum(1, keepdims=True)


# Tables


def _frame(table: str, **columns: Any) -> pd.DataFrame:
    """Give columns the schema's order and types; a column that is not given is unknown."""
    arrays = {}
    n = len(next(iter(columns.values())))
    kinds = {"text": pa.large_string(), "time": pa.timestamp("us"), "number": pa.float64(), "flag": pa.bool_()}
    for column in TABLES[table].columns:
        values = columns.pop(column.name, None)
        if values is None:
            arrays[column.name] = pa.nulls(n, kinds[column.kind])
        elif column.kind == "time":
            arrays[column.name] = pa.array(np.asarray(values).astype("datetime64[s]").astype("datetime64[us]"))
        else:
            arrays[column.name] = values if isinstance(values, pa.Array) else pa.array(values, kinds[column.kind])
    if columns:
        raise KeyError(f"{table} has no column {', '.join(columns)}")
    frame = pa.table(arrays).to_pandas(self_destruct=True, split_blocks=True)
    flags = [column.name for column in TABLES[table].columns if column.kind == "flag"]
    return frame.astype(dict.fromkeys(flags, "boolean"))


def _pick(words: Sequence[str], codes: np.ndarray, known: np.ndarray | None = None) -> pa.Array:
    """Words by their codes; missing where `known` is false or the word is empty."""
    missing = np.asarray([not word for word in words])[codes]
    if known is not None:
        missing |= ~known
    indices = pa.array(codes.astype(np.int32), mask=missing)
    return pa.DictionaryArray.from_arrays(indices, pa.array(words, pa.large_string())).cast(pa.large_string())


def _ids(prefix: str, numbers: np.ndarray, width: int) -> pa.Array:
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.large_string()), width, "0")
    return _join(pa.scalar(prefix, pa.large_string()), digits)


def _join(left: Any, right: pa.Array, between: str = "") -> pa.Array:
    return pc.binary_join_element_wise(left, right, pa.scalar(between, pa.large_string()))


def _partner_ids(partner: np.ndarray) -> pa.Array:
    return _ids("P", partner + 1, 6)


def _partner_ids_where(partner: np.ndarray) -> pa.Array:
    """Ids of partners; missing where the number is -1."""
    return pc.if_else(pa.array(partner >= 0), _partner_ids(partner), pa.scalar(None, pa.large_string()))


def _arrivals(world: _World, table: str, time: np.ndarray) -> np.ndarray:
    """When rows became known: missing for most, 1-60 days after the event for the late ones."""
    rng = world.stream(f"arrivals {table}")
    late = rng.random(len(time)) < planted.LATE_SHARE[table]
    return np.where(late, time + rng.integers(DAY, 60 * DAY, len(time)), _UNKNOWN)


def _shift(chance: np.ndarray | float, log_odds: np.ndarray | float) -> np.ndarray:
    """Move chances by log odds."""
    odds = chance / (1 - chance) * np.exp(log_odds)
    return odds / (1 + odds)


def _with_background(shares: Sequence[Sequence[float]]) -> np.ndarray:
    """Chances by segment with one more row, their mean, for the background."""
    table = np.asarray(shares, dtype=float)
    return np.vstack([table, table.mean(0)])


def _partners(world: _World) -> pd.DataFrame:
    rng = world.stream("partner fields")
    n = world.n
    thin = rng.random(n) < np.asarray(planted.THIN_FILE_SHARE)[world.region]

    def known(share_missing: float | np.ndarray, *, thins: bool = True) -> np.ndarray:
        seen = rng.random(n) >= share_missing
        return seen & ~(thin & (rng.random(n) < 0.5)) if thins else seen

    low = world.potential < np.median(world.potential)
    declared = known(np.where(low, 0.55, 0.15))
    joined_known = known(0.005, thins=False)
    return _frame(
        "partners",
        partner_id=_partner_ids(np.arange(n)),
        name=_names(rng, world.region),
        partner_type=_pick(planted.PARTNER_TYPES, world.partner_type, known(0.01, thins=False)),
        industry=_pick(planted.INDUSTRIES, world.industry, known(0.0)),
        company_size=_pick(planted.SIZES, world.size, known(np.where(world.size == 0, 0.12, 0.02))),
        country=_pick(planted.COUNTRIES, world.country),
        region=_pick(planted.REGIONS, world.region),
        language=_pick(planted.LANGUAGES, world.language, known(0.03)),
        specialization=_pick(planted.SPECIALIZATIONS, world.specialization, known(0.10)),
        joined_at=np.where(joined_known, world.joined_at, _UNKNOWN),
        declared_potential=np.where(declared, np.round(world.potential, -2), np.nan),
    )


def _names(rng: np.random.Generator, region: np.ndarray) -> pa.Array:
    def draw(first: Sequence[str], second: Sequence[str], form: Sequence[str]) -> pa.Array:
        words = np.asarray([f"{a} {b}{c}" for a in first for b in second for c in form])
        return pa.array(words[rng.integers(0, len(words), len(region))], pa.large_string())

    latin = draw(planted.NAME_FIRST, planted.NAME_SECOND, planted.NAME_FORM)
    cyrillic = draw(planted.NAME_FIRST_UA, planted.NAME_SECOND_UA, planted.NAME_FORM_UA)
    return pc.if_else(pa.array(region == planted.REGIONS.index("Київ")), cyrillic, latin)


def _sales(world: _World, orders: np.ndarray) -> pd.DataFrame:
    rng = world.stream("sales")
    partner, quarter, time = _scatter(rng, orders, world.onboarded_at, world.exited_at)
    m = len(time)
    segment = world.segment[partner, quarter]
    region_value = np.asarray(planted.REGION_VALUE)[world.region[partner]]
    amount = world.level("order_value")[partner, quarter] * region_value * np.exp(rng.normal(0, 0.6, m))
    amount = np.maximum(np.round(amount, 2), 1.0)
    discount = world.level("discount")[partner, quarter] + rng.normal(0, 0.03, m)
    discount = np.round(np.clip(discount, 0, 0.6), 2)
    abroad = world.level("abroad")[partner, quarter]
    step = 1 + (rng.random(m) * (1 + 9 * abroad)).astype(np.int8)
    country = (world.country[partner] + step * (rng.random(m) < abroad)) % len(planted.COUNTRIES)
    pool = np.maximum(world.level("customers")[partner, quarter], 1)
    grown = 0.5 * pool * (time - _FIRST) / YEAR
    old = rng.random(m) < 0.75
    customer = np.where(old, pool * rng.random(m) ** 2, pool + grown * rng.random(m)).astype(np.int32)
    count = np.maximum(np.round(world.level("products")[partner, quarter]), 1)
    product = (partner + (count * rng.random(m) ** 1.3).astype(np.int32)) % len(planted.PRODUCTS)
    channel = _draw_given(rng, _with_background(planted.SALE_CHANNEL_SHARE), segment)
    back = np.flatnonzero(rng.random(m) < world.level("returned")[partner, quarter])
    first, last = planted.RETURN_DAYS
    back_at = time[back] + rng.integers(first * DAY, last * DAY, len(back))
    part = np.where(rng.random(len(back)) < 0.3, rng.uniform(0.2, 0.9, len(back)), 1.0)
    back, back_at, part = back[back_at < _END], back_at[back_at < _END], part[back_at < _END]

    joint = _joint_partners(world, partner, quarter, time)
    source = np.concatenate([np.arange(m), back])
    time = np.concatenate([time, back_at])
    order = np.argsort(time, kind="stable")
    source, time = source[order], time[order]
    is_return = order >= m
    signed = np.concatenate([amount, -np.round(amount[back] * part, 2)])[order]
    sold_by = partner[source]
    return _frame(
        "sales",
        sale_id=_ids("S", np.arange(len(source)) + 1, 8),
        partner_id=_partner_ids(sold_by),
        sold_at=time,
        amount=signed,
        currency=_pick([planted.CURRENCY], np.zeros(len(source), dtype=np.int8)),
        customer_id=_join(_ids("C", sold_by + 1, 6), _ids("", customer[source], 3), "-"),
        country=_pick(planted.COUNTRIES, country[source]),
        product=_pick(planted.PRODUCTS, product[source]),
        channel=_pick(planted.SALE_CHANNELS, channel[source]),
        discount=discount[source],
        joint_partner_id=_partner_ids_where(joint[source]),
        is_return=is_return,
        arrived_at=_arrivals(world, "sales", time),
    )


def _joint_partners(world: _World, partner: np.ndarray, quarter: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Number of the partner that sold along, -1 for a sale alone: those who work well in teams find one more often."""
    rng = world.stream("joint sales")
    wanted = rng.random(len(partner)) < _shift(planted.JOINT_SALES, 0.6 * world.factor("teamwork")[partner, quarter])
    other = rng.integers(0, world.n, len(partner), dtype=np.int32)
    sells = (world.onboarded_at[other] <= time) & (time < world.exited_at[other]) & (other != partner)
    return np.where(wanted & sells, other, -1)


def _touches(world: _World) -> pd.DataFrame:
    rng = world.stream("touches")
    partner, quarter, time = world.events(rng, world.level("contacts"), world.joined_at, world.left_at)
    channel = _draw_given(rng, _with_background(planted.CHANNEL_SHARE), world.segment[partner, quarter])
    email, phone, webinar, event, portal, social = range(6)
    allowed = (channel == phone) | (time < world.marketing_off[partner])
    partner, quarter, time, channel = partner[allowed], quarter[allowed], time[allowed], channel[allowed]
    m = len(time)
    topic = _draw(rng, [1 / len(planted.TOPICS)] * len(planted.TOPICS), m)
    actions = ("sent", "opened", "clicked", "replied", "called", "met", "attended", "visited", "unsubscribed")
    code = {action: number for number, action in enumerate(actions)}
    cost = np.asarray(planted.CONTACT_COST)[channel]
    first = np.where(channel == phone, code["called"], code["sent"]).astype(np.int8)
    rows = [(np.arange(m), time, first, cost)]
    replied_at = np.full(m, _NEVER)

    written = (channel == email) | (channel == social)
    invited = (channel == webinar) | (channel == event)
    eager = world.factor("audience_communication")[partner, quarter]

    def answer(level: str) -> np.ndarray:
        return rng.random(m) < _shift(world.level(level)[partner, quarter], 0.3 * eager)

    opened = written & answer("opened")
    attended = invited & answer("attended")
    for action, happened in {
        "opened": opened,
        "clicked": opened & (rng.random(m) < 0.3),
        "replied": (opened | (channel == phone)) & answer("replied"),
        "attended": attended,
        "met": attended & (channel == event) & (rng.random(m) < 0.7),
    }.items():
        which = np.flatnonzero(happened)
        later = time[which] + rng.integers(600, 3 * DAY, len(which))
        fine = later < np.minimum(world.exited_at[partner[which]], _END)
        which, later = which[fine], later[fine]
        rows.append((which, later, np.full(len(which), code[action], dtype=np.int8), np.zeros(len(which))))
        if action == "replied":
            replied_at[which] = later

    source = np.concatenate([row[0] for row in rows])
    visitor, _, visit_at = world.events(rng, world.level("visits"), world.joined_at, world.exited_at)
    off = np.flatnonzero((world.marketing_off < np.minimum(world.left_at, _END)) & (rng.random(world.n) < 0.7))
    none = len(visitor) + len(off)
    by = np.concatenate([partner[source], visitor, off])
    time = np.concatenate([*(row[1] for row in rows), visit_at, world.marketing_off[off]])
    action_code = np.concatenate(
        [*(row[2] for row in rows), np.full(len(visitor), code["visited"]), np.full(len(off), code["unsubscribed"])]
    )
    cost = np.concatenate([*(row[3] for row in rows), np.zeros(none)])
    answered_at = np.full(len(time), _UNKNOWN)
    answered_at[:m] = _answers(world, time[:m], np.where(first == code["sent"], replied_at, _NEVER), eager)
    through = np.concatenate([channel[source], np.full(len(visitor), portal), np.full(len(off), email)])
    about = np.concatenate([topic[source], np.full(none, len(planted.TOPICS))])
    campaigns = [f"{year}-Q{number}" for year, number in _quarter_names()] + [""]
    in_campaign = np.where(channel[source] == phone, _QUARTERS, quarter[source])
    wave = np.concatenate([in_campaign, np.full(none, _QUARTERS)])
    order = np.argsort(time, kind="stable")
    return _frame(
        "touches",
        touch_id=_ids("T", np.arange(len(order)) + 1, 8),
        partner_id=_partner_ids(by[order]),
        touched_at=time[order],
        channel=_pick(planted.CHANNELS, through[order]),
        action=_pick(actions, action_code[order]),
        campaign=_pick(campaigns, wave[order]),
        topic=_pick([*planted.TOPICS, ""], about[order]),
        answered_at=answered_at[order],
        cost=cost[order],
        arrived_at=_arrivals(world, "touches", time[order]),
    )


def _answers(world: _World, sent_at: np.ndarray, replied_at: np.ndarray, eager: np.ndarray) -> np.ndarray:
    """When the first answer to a message came: soon from the eager, never after the reply that is on record."""
    rng = world.stream("answers")
    hours = planted.ANSWER_HOURS * np.exp(rng.normal(0, 0.8, len(sent_at)) - 0.4 * eager)
    first = sent_at + np.maximum(hours * 3600, 60).astype(np.int64)
    return np.where(replied_at < _END, np.minimum(first, replied_at), _UNKNOWN)


def _quarter_names() -> list[tuple[int, int]]:
    months = pd.DatetimeIndex(_EDGES[:-1].astype("datetime64[s]"))
    return [(month.year, month.quarter) for month in months]


def _trainings(world: _World) -> pd.DataFrame:
    rng = world.stream("trainings")
    skill = world.factor("training_and_specialization")
    rates = world.level("trainings") * np.exp(0.3 * skill - 0.045)
    partner, quarter, time = world.events(rng, rates, world.joined_at, world.exited_at)
    m = len(time)
    courses, kinds, subjects = (np.asarray(values) for values in zip(*planted.COURSES, strict=True))
    taught = np.asarray([[1.0 if subject == own else 0.0 for subject in subjects] for own in planted.SPECIALIZATIONS])
    share = 0.5 * taught / taught.sum(1, keepdims=True) + 0.5 / len(courses)
    course = _draw_given(rng, share, world.specialization[partner])
    kind = kinds[course]
    graded = (kind == "course") | (kind == "certification")
    score = np.clip(72 + 6 * skill[partner, quarter] + rng.normal(0, 9, m), 0, 100)
    frame = _frame(
        "trainings",
        partner_id=_partner_ids(partner),
        completed_at=time,
        course=_pick(courses.tolist(), course),
        kind=_pick(kinds.tolist(), course),
        specialization=_pick(subjects.tolist(), course),
        score=np.where(graded, np.round(score, 1), np.nan),
        expires_at=np.where(kind == "certification", time + 730 * DAY, _UNKNOWN),
        arrived_at=_arrivals(world, "trainings", time),
    )
    return frame.drop_duplicates(list(TABLES["trainings"].key), ignore_index=True)


def _tickets(world: _World) -> pd.DataFrame:
    rng = world.stream("tickets")
    partner, quarter, time = world.events(rng, world.level("tickets"), world.onboarded_at, world.exited_at)
    m = len(time)
    care = world.factor("task_quality")[partner, quarter]
    severity = _draw(rng, (0.25, 0.5, 0.2, 0.05), m)
    hours = world.level("resolution_hours")[partner, quarter] * np.exp(rng.normal(0, 0.6, m) - 0.1 * care)
    hours *= np.asarray((1.3, 1.0, 0.8, 0.5))[severity]
    resolved_at = time + (hours * 3600).astype(np.int64)
    done = resolved_at < _END
    on_time = rng.random(m) < _shift(world.level("on_time")[partner, quarter], 0.5 * care)
    quality = np.clip(world.level("quality")[partner, quarter] + 5 * care + rng.normal(0, 8, m), 0, 100)
    feeling = world.level("satisfaction")[partner, quarter] + world.mood[partner] + rng.normal(0, 0.8, m)
    answered = rng.random(m) < 1 / (1 + np.exp(-0.8 * feeling))
    csat = np.clip(np.round(3.7 + 0.6 * feeling + 0.2 * care), 1, 5)
    kind = _draw(rng, (0.6, 0.32, 0.08), m)
    return _frame(
        "tickets",
        ticket_id=_ids("K", np.arange(m) + 1, 7),
        partner_id=_partner_ids(partner),
        opened_at=time,
        resolved_at=np.where(done, resolved_at, _UNKNOWN),
        reopened_at=_reopenings(world, resolved_at, kind, care),
        kind=_pick(_TICKETS, _conflicts(world, partner, quarter, kind)),
        severity=_pick(["low", "normal", "high", "critical"], severity),
        on_time=pa.array(on_time, mask=~done),
        quality=np.where(done, np.round(quality, 1), np.nan),
        csat=np.where(done & answered, csat, np.nan),
        about=_complaint_subjects(world, "tickets", partner, quarter, kind == _TICKETS.index("complaint")),
        arrived_at=_arrivals(world, "tickets", time),
    )


def _reopenings(world: _World, resolved_at: np.ndarray, kind: np.ndarray, care: np.ndarray) -> np.ndarray:
    """When a task was opened again, within the month after it was done: more often where the work is poor."""
    rng = world.stream("reopenings")
    again = (kind == _TICKETS.index("task")) & (rng.random(len(kind)) < _shift(planted.REOPENED, -0.6 * care))
    at = resolved_at + rng.integers(3600, 30 * DAY, len(kind))
    return np.where(again & (at < _END), at, _UNKNOWN)


def _conflicts(world: _World, partner: np.ndarray, quarter: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """Kinds of tickets where some support cases are conflicts: more often of those who work badly in teams."""
    rng = world.stream("conflicts")
    clash = rng.random(len(kind)) < _shift(planted.CONFLICTS, -0.6 * world.factor("teamwork")[partner, quarter])
    return np.where(clash & (kind == _TICKETS.index("support")), _TICKETS.index("conflict"), kind).astype(np.int8)


def _complaint_subjects(
    world: _World, table: str, partner: np.ndarray, quarter: np.ndarray, complains: np.ndarray
) -> pa.Array:
    """What complaints are about: the more of a partner's sales come back, the more often the product."""
    rng = world.stream(f"complaints {table}")
    returned = world.level("returned")[partner, quarter]
    product = rng.random(len(partner)) < _shift(returned, planted.PRODUCT_COMPLAINTS)
    others = 1 + _draw(rng, (0.4, 0.4, 0.2), len(partner))
    known = complains & (rng.random(len(partner)) >= planted.NO_SUBJECT)
    return _pick(["product", "delivery", "service", "other"], np.where(product, 0, others), known)


def _feedback(world: _World) -> pd.DataFrame:
    rng = world.stream("feedback")
    satisfaction = world.level("satisfaction") + world.mood[:, None]
    asked = (  # kind, given_by, asked a year
        ("nps", "partner", 1.6),
        ("csat", "partner", 0.6),
        ("nps", "customer", 1.4),
        ("review", "customer", 1.6),
        ("suggestion", "partner", 0.2),
        ("complaint", "partner", 0.15),
    )
    parts = []
    for number, (kind, _, rate) in enumerate(asked):
        partner, quarter, time = world.events(
            rng, np.full((world.n, _QUARTERS), rate), world.onboarded_at, world.exited_at
        )
        feeling = satisfaction[partner, quarter] + 0.3 * world.factor("task_quality")[partner, quarter]
        feeling = feeling + rng.normal(0, 0.5, len(time))
        score = np.full(len(time), np.nan)
        if kind == "nps":
            score = np.clip(np.round(7.4 + 1.9 * feeling), 0, 10)
        elif kind in ("csat", "review"):
            score = np.clip(np.round(3.7 + 0.9 * feeling), 1, 5)
        willing = 1 / (1 + np.exp(-0.5 - feeling)) if kind != "complaint" else 1 / (1 + np.exp(0.5 + feeling))
        kept = rng.random(len(time)) < willing
        parts.append((partner[kept], quarter[kept], time[kept], np.full(kept.sum(), number), score[kept]))
    partner, quarter, time, which, score = (np.concatenate(values) for values in zip(*parts, strict=True))
    order = np.argsort(time, kind="stable")
    partner, quarter, time, which, score = partner[order], quarter[order], time[order], which[order], score[order]
    texts = [*planted.SUGGESTIONS, *planted.COMPLAINTS, ""]
    said = rng.integers(0, len(planted.SUGGESTIONS), len(order))
    said = np.select([which == 4, which == 5], [said, said + len(planted.SUGGESTIONS)], len(texts) - 1)
    return _frame(
        "feedback",
        feedback_id=_ids("F", np.arange(len(order)) + 1, 7),
        partner_id=_partner_ids(partner),
        given_at=time,
        kind=_pick([kind for kind, _, _ in asked], which),
        given_by=_pick([by for _, by, _ in asked], which),
        score=score,
        text=_pick(texts, said),
        about=_complaint_subjects(world, "feedback", partner, quarter, which == len(asked) - 1),
        arrived_at=_arrivals(world, "feedback", time),
    )


def _stages(world: _World) -> pd.DataFrame:
    times = np.column_stack([world.entered_at, world.exited_at])
    codes = np.tile(np.arange(times.shape[1], dtype=np.int8), (world.n, 1))
    codes[:, -1] += np.maximum(world.exit, 0)
    partner, column = np.nonzero(times < _END)
    time, code = times[partner, column], codes[partner, column]
    order = np.argsort(time, kind="stable")
    return _frame(
        "stages",
        partner_id=_partner_ids(partner[order]),
        stage=_pick([*planted.STAGES, *planted.EXITS], code[order]),
        entered_at=time[order],
    )


def _assessments(world: _World) -> pd.DataFrame:
    rng = world.stream("assessments")
    parts = []
    for quarter in range(_QUARTERS):
        start, stop = _EDGES[quarter], _EDGES[quarter + 1]
        present = (np.arange(world.n) % 4 == quarter % 4) & (world.joined_at < start) & (world.exited_at > stop)
        for assessor, share, bias, noise in (("manager", 0.9, 0, 6), ("self", 0.25, 8, 9), ("audit", 0.08, -2, 3)):
            partner = np.flatnonzero(present & (rng.random(world.n) < share))
            time = start + rng.integers(0, stop - start, len(partner))
            for factor in planted.ASSESSED:
                level = 58 + bias + 11 * world.factor(factor)[partner, quarter]
                score = np.clip(np.round(level + rng.normal(0, noise, len(partner)), 1), 0, 100)
                who = np.full(len(partner), ("manager", "self", "audit").index(assessor))
                what = np.full(len(partner), planted.ASSESSED.index(factor))
                parts.append((partner, time, what, who, score))
    partner, time, what, who, score = (np.concatenate(values) for values in zip(*parts, strict=True))
    order = np.argsort(time, kind="stable")
    return _frame(
        "assessments",
        partner_id=_partner_ids(partner[order]),
        assessed_at=time[order],
        factor=_pick(planted.ASSESSED, what[order]),
        score=score[order],
        assessor=_pick(["manager", "self", "audit"], who[order]),
        arrived_at=_arrivals(world, "assessments", time[order]),
    )


def _consents(world: _World) -> pd.DataFrame:
    everyone = np.arange(world.n)
    parts = [
        (everyone, 0, True, world.joined_at),
        (everyone, 1, True, world.joined_at),
        (everyone, 2, True, world.joined_at),
        (everyone, 0, False, world.analytics_off),
        (everyone, 1, False, world.marketing_off),
        (everyone, 2, False, world.paused_at),
        (everyone, 2, True, world.resumed_at),
    ]
    partner = np.concatenate([part[0] for part in parts])
    purpose = np.repeat(np.asarray([part[1] for part in parts]), world.n)
    granted = np.repeat(np.asarray([part[2] for part in parts]), world.n)
    time = np.concatenate([part[3] for part in parts])
    happened = np.flatnonzero(time < _END)
    order = happened[np.argsort(time[happened], kind="stable")]
    return _frame(
        "consents",
        partner_id=_partner_ids(partner[order]),
        purpose=_pick(["analytics", "marketing", "navigation"], purpose[order]),
        granted=granted[order],
        changed_at=time[order],
    )


def _preferences(world: _World) -> pd.DataFrame:
    rng = world.stream("preferences")
    partner = np.flatnonzero(rng.random(world.n) < planted.PREFERENCES_SHARE)
    m = len(partner)

    def lists(words: Sequence[str], chosen: np.ndarray) -> pa.Array:
        texts = [
            ";".join(word for bit, word in enumerate(words) if number >> bit & 1) for number in range(2 ** len(words))
        ]
        return _pick(texts, chosen @ (1 << np.arange(len(words))))

    likes = _with_background(planted.CHANNEL_SHARE)[world.segment[partner, -1]]
    channels = rng.random((m, len(planted.CHANNELS))) < np.clip(0.1 + 1.2 * likes, 0, 0.9)
    channels[~channels.any(1), 0] = True
    topics = rng.random((m, len(planted.TOPICS))) < 0.3
    shunned = ("phone", "webinar", "event", "newsletter", "executive_meeting")
    avoid = rng.random((m, len(shunned))) < 0.06
    avoid[:, :3] &= ~channels[:, 1:4]
    return _frame(
        "preferences",
        partner_id=_partner_ids(partner),
        language=_pick(planted.LANGUAGES, world.language[partner], rng.random(m) < 0.8),
        channels=lists(planted.CHANNELS, channels),
        topics=lists(planted.TOPICS, topics),
        avoid=lists(shunned, avoid),
    )


def _costs(world: _World) -> pd.DataFrame:
    """Monthly costs of each region by kind, and of the programme's center, which has no region."""
    rng = world.stream("costs")
    months = np.datetime64(planted.FIRST_DAY, "M") + np.arange(3 * _QUARTERS + 1)
    edges = months.astype("datetime64[s]").astype(np.int64)
    rows = []
    kinds = (*planted.COST_KINDS, "recruiting")
    for start, stop in pairwise(edges.tolist()):
        present = (world.joined_at < stop) & (world.left_at >= start)
        joined = (world.joined_at >= start) & (world.joined_at < stop)
        everybody = np.bincount(world.region[present], minlength=len(planted.REGIONS))
        new = np.bincount(world.region[joined], minlength=len(planted.REGIONS))
        for region in range(len(planted.REGIONS)):
            by_kind = [cost * everybody[region] for cost in planted.COST_A_PARTNER]
            by_kind.append(planted.ACQUISITION_COST[region] * new[region])
            for kind, amount in enumerate(by_kind):
                rows.append((stop - DAY, region, kind, round(amount * rng.uniform(0.9, 1.1), 2)))
        center = 3.0 * everybody.sum() * rng.uniform(0.95, 1.05)
        rows.append((stop - DAY, len(planted.REGIONS), kinds.index("partner_management"), round(center, 2)))
    spent_at, where, what, amounts = (np.asarray(values) for values in zip(*rows, strict=True))
    return _frame(
        "costs",
        spent_at=spent_at,
        region=_pick([*planted.REGIONS, ""], where),
        kind=_pick(kinds, what),
        amount=amounts,
        currency=_pick([planted.CURRENCY], np.zeros(len(rows), dtype=np.int8)),
    )


def _identities(world: _World) -> pd.DataFrame:
    rng = world.stream("identities")
    everyone = np.arange(world.n)
    marketed = np.flatnonzero(rng.random(world.n) < planted.MARKETING_IDENTITY)
    twice = marketed[rng.random(len(marketed)) < planted.SECOND_IDENTITY]
    keys = rng.permutation(2 * world.n)  # a marketing key says nothing about the partner's number
    partner = np.concatenate([everyone, marketed, twice])
    source = np.repeat([0, 1], [world.n, len(marketed) + len(twice)])
    ids = pa.concat_arrays(
        [_ids("CRM-", 10_000 + rng.permutation(world.n), 7), _ids("m", keys[: len(marketed) + len(twice)], 7)]
    )
    return _frame(
        "identities", source=_pick(["crm", "marketing"], source), source_id=ids, partner_id=_partner_ids(partner)
    )


# Truth


def _truth(world: _World, tables: Mapping[str, pd.DataFrame]) -> Truth:
    ids = pd.Index(tables["partners"]["partner_id"], name="partner_id")
    names = np.asarray(_SEGMENT_NAMES)
    partner, before = np.nonzero(np.diff(world.segment, axis=1))
    moved_at = _EDGES[before + 1]
    moves = pd.DataFrame(
        {
            "partner_id": ids[partner],
            "moved_at": moved_at.astype("datetime64[s]").astype("datetime64[us]"),
            "segment_before": names[world.segment[partner, before]],
            "segment_after": names[world.segment[partner, before + 1]],
        }
    )
    year_ago = _END - 365 * DAY
    moved_lately = np.zeros(world.n, dtype=bool)
    moved_lately[partner[moved_at > year_ago]] = True
    member = world.segment[:, -1] != _BACKGROUND
    exited_at = np.where(world.exited_at < _END, world.exited_at, _UNKNOWN)
    partners = pd.DataFrame(
        {
            "segment_start": names[world.segment[:, 0]],
            "segment_end": names[world.segment[:, -1]],
            "blend_with": np.where(world.blend > 0, names[world.blend_with], ""),
            "blend": world.blend,
            "joined_at": world.joined_at.astype("datetime64[s]").astype("datetime64[us]"),
            "stage_end": np.asarray(planted.STAGES)[world.stage_at(np.int64(_END))],
            "exit": np.asarray([*planted.EXITS, ""])[world.exit],
            "exited_at": exited_at.astype("datetime64[s]").astype("datetime64[us]"),
            "potential": world.potential,
            "observed": member & (world.joined_at <= year_ago) & (world.exited_at >= _END) & ~moved_lately,
        },
        index=ids,
    )
    yearly = pd.DataFrame(planted.STAGE_HAZARDS, index=list(planted.STAGES), columns=["next", *planted.EXITS])
    hazards = (yearly / 365.25).rename_axis("stage")
    total = hazards.sum(axis=1)
    going = hazards["next"].where(hazards["next"] > 0)
    times = pd.DataFrame(
        {
            "median_days": np.log(2) / total,
            "median_days_to_next": np.log(2) / going,
            "conversion": going / total,
            "conversion_90d": going / total * (1 - np.exp(-90 * total)),
        }
    )
    quiet = pd.MultiIndex.from_product(
        [planted.APPROACHES, planted.STAGES, (False, True)], names=["approach", "stage", "quiet"]
    )
    segments = pd.DataFrame({name: centers for name, (_, _, centers) in planted.BEHAVIORS.items()}, dtype=float)
    segments.insert(0, "share", planted.SEGMENT_SHARE)
    segments.index = pd.Index(planted.SEGMENTS, name="segment")
    return Truth(
        as_of=planted.AS_OF,
        random_state=world.random_state,
        partners=partners,
        segments=segments,
        moves=moves,
        factor_effects=pd.Series(planted.FACTOR_EFFECTS, name="effect").rename_axis("factor"),
        factor_levels=pd.DataFrame({name: levels[:, -1] for name, levels in world.factors.items()}, index=ids),
        stage_hazards=hazards,
        stage_times=times,
        bottleneck=planted.BOTTLENECK,
        action_effects=pd.DataFrame(
            {action: change for action, (_, change) in planted.ACTIONS.items()}, index=list(planted.STAGES)
        ).T.rename_axis("action"),
        action_propensities=pd.DataFrame(_action_propensities(), index=quiet, columns=list(planted.ACTIONS)),
        experiment=planted.EXPERIMENT,
        experiment_effect=planted.EXPERIMENT_EFFECT,
        experiment_start=str(_EDGES[planted.EXPERIMENT_QUARTER].astype("datetime64[s]").astype("datetime64[D]")),
        return_rates=segments["returned"],
        missing=_missing(),
        late_share=pd.Series(planted.LATE_SHARE, name="share").rename_axis("table"),
        acquisition_costs=pd.Series(planted.ACQUISITION_COST, index=pd.Index(planted.REGIONS, name="region")),
        planted_errors=_plan_errors(tables),
    )


def _missing() -> pd.DataFrame:
    seen = [
        ("industry", 0.0), ("company_size", 0.02), ("language", 0.03), ("specialization", 0.10),
        ("declared_potential", 0.15),
    ]  # fmt: skip
    rows = [
        ("partners", "partner_type", "at random", "all", 0.01),
        ("partners", "joined_at", "at random", "all", 0.005),
    ]
    for column, share in seen:
        for region, thin in zip(planted.REGIONS, planted.THIN_FILE_SHARE, strict=True):
            missing = 1 - (1 - share) * (1 - thin / 2)
            given = {"company_size": " and not micro", "declared_potential": " and potential above the median"}
            where = f"region {region}{given.get(column, '')}"
            rows.append(("partners", column, "at random given region", where, round(missing, 4)))
    rows += [
        ("partners", "company_size", "not at random", "micro, on top of the region's thin files", 0.12),
        ("partners", "declared_potential", "not at random", "potential below the median, on top of thin files", 0.55),
        ("tickets", "about", "at random", "complaints", planted.NO_SUBJECT),
        ("feedback", "about", "at random", "complaints", planted.NO_SUBJECT),
        ("preferences", "", "at random", "partners without a row", 1 - planted.PREFERENCES_SHARE),
    ]
    return pd.DataFrame(rows, columns=["table", "column", "mechanism", "given", "share"])


# Raw files

_ERRORS = (  # table, kind, column, a few rows, one more for so many rows
    ("partners", "duplicate", "", 2, 2_000),
    ("sales", "duplicate", "", 5, 20_000),
    ("sales", "bad_value", "amount", 3, 50_000),
    ("sales", "bad_value", "sold_at", 2, 100_000),
    ("sales", "orphan", "partner_id", 4, 50_000),
    ("touches", "duplicate", "", 3, 20_000),
    ("touches", "bad_value", "action", 2, 100_000),
    ("touches", "orphan", "partner_id", 3, 50_000),
    ("tickets", "bad_value", "csat", 1, 5_000),
    ("feedback", "duplicate", "", 1, 5_000),
)
_BAD_VALUES = {"amount": "12O.50", "sold_at": "2025-02-30T10:00:00Z", "action": "faxed", "csat": "7"}


def _plan_errors(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    rows = []
    for table, kind, column, least, per in _ERRORS:
        n = len(tables[table])
        rows.append((table, kind, column, min(least, n // 500) + n // per))  # small files stay nearly clean
    return pd.DataFrame(rows, columns=["table", "kind", "column", "rows"])


def _as_text(table: str, frame: pd.DataFrame) -> pa.Table:
    """All columns as text, the way they stand in the file."""
    columns = {}
    for column in TABLES[table].columns:
        values = pa.Array.from_pandas(frame[column.name])
        if column.kind == "time":
            values = pc.strftime(values.cast(pa.timestamp("s")), format="%Y-%m-%dT%H:%M:%SZ")
        elif column.kind == "number":
            values = values.cast(pa.decimal128(18, 4 if column.name == "propensity" else 2))
        columns[column.name] = values.cast(pa.large_string())
    return pa.table(columns)


def _spoil(rng: np.random.Generator, text: pa.Table, errors: pd.DataFrame) -> pa.Table:
    """Add the planted errors: each bad value and orphan in a row of its own, duplicates at the end."""
    needed = int(errors["rows"].sum())
    if not needed:
        return text
    places = iter(rng.choice(len(text), needed, replace=False).tolist())
    duplicates: list[int] = []
    changes: dict[str, dict[int, str]] = {}
    for _, kind, column, count in errors.itertuples(index=False):
        for number in range(count):
            if kind == "duplicate":
                duplicates.append(next(places))
            else:
                value = f"X{number + 1:06d}" if kind == "orphan" else _BAD_VALUES[column]
                changes.setdefault(column, {})[next(places)] = value
    for column, values in changes.items():
        mask = np.zeros(len(text), dtype=bool)
        rows = sorted(values)
        mask[rows] = True
        fresh = pc.replace_with_mask(
            text[column].combine_chunks(), pa.array(mask), pa.array([values[row] for row in rows], pa.large_string())
        )
        text = text.set_column(text.column_names.index(column), column, fresh)
    return pa.concat_tables([text, text.take(duplicates)]) if duplicates else text
