"""Routes: what logged steps led to from each stage, and the best way from one stage to another."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import gammaln

LEAST_SEEN = 10  # decisions with an action in a stage below which nothing is told of it
OBJECTIVES = ("chance", "time", "value")
MOST_PERIODS = 4_000  # that anything is computed for
_MOST_IN_COMMON = 0.5  # share of steps that two routes with the same first action may have in common
_STRENGTHS = 4.0 ** np.arange(0, 11)  # decisions that a prior of the transitions is worth
_ROUNDS = 50  # at most, to fit how often each strength fits
_DRAWS = 1_000  # of the transitions, for the interval of a route's chance
_TIE = 1e-9  # relative difference of two values that counts as none
_LEAST_CHANCE = 1e-9  # smaller ones come out of arithmetic, not of decisions
_TEXTS = {"stage": "str", "action": "str", "next_stage": "str", "reason": "str"}
_ROUTES = [
    "route", "step", "stage", "action", "next_stage", "chance", "days", "n", "route_chance", "lower", "upper",
    "route_days", "route_cost", "route_value", "loses", "avoiding_costs", "reason",
]  # fmt: skip


@dataclass(frozen=True)
class Process:
    """A Markov decision process over stages: in each period one action is taken and leads to a next stage.

    A stage in which nothing is known of any action is an end: nothing is told of what follows it.

    Attributes:
        states: Stages and exits.
        actions: Names of the actions, `none` (no step) first where it was seen.
        transitions: actions x states x states, chance (0-1) to stand in the last after a period; rows sum to
            1 and are missing where the action was seen too seldom in the state.
        counts: actions x states, decisions seen.
        rewards: actions x states, money of one period before costs; missing where not known.
        costs: actions x states, money; missing where not known.
        period_days: Length of a period.
        worth: actions x states, decisions that the transitions are worth, for intervals; None: all of `counts`.
    """

    states: tuple[str, ...]
    actions: tuple[str, ...]
    transitions: np.ndarray
    counts: np.ndarray
    rewards: np.ndarray
    costs: np.ndarray
    period_days: int
    worth: np.ndarray | None = None


@dataclass(frozen=True)
class Solution:
    """The best that can be reached in a process, and how.

    Attributes:
        values: One row a number of periods left (from 0), a column a state: the objective. For time these are
            days until the target is reached, at most those left.
        rules: One row a number of periods left (from 1), a column a state: the action to take; missing at
            the target (but for value) and at ends.
    """

    values: pd.DataFrame
    rules: pd.DataFrame


def estimate_process(
    decisions: pd.DataFrame,
    states: Iterable[str],
    *,
    period_days: int,
    rewards: pd.Series | None = None,
    costs: Mapping[str, float] | None = None,
    least_seen: int = LEAST_SEEN,
) -> Process:
    """Estimate what each action leads to in each stage from logged decisions.

    The transitions of an action are shrunk toward those of the stage over all actions (mixture of Dirichlet
    priors, fitted to all counts), the more so the less actions differ and the seldomer the action was seen, but
    no chance by more than one standard error; chances under 1e-9 are 0. Money is drawn toward the stage's mean,
    after taking out what the money of the period before explains within an action. Nothing but the stage and that
    money is held equal: where managers choose the partners, the difference is theirs too.

    Args:
        decisions: One row a decision, with `stage`, `action` and `next_stage` (missing: not followed to the
            end of the period, no transition), and perhaps `value_after`, `value_before` and `cost`. Rows of
            stages outside `states` are not used.
        states: All stages and exits.
        period_days: Length of a period, at least 1.
        rewards: Money of a period by state, instead of `value_after`; missing where not known.
        costs: Cost of an action where the log does not tell one; `none` costs nothing unless said.
        least_seen: Decisions with an action in a stage below which nothing is told of it.

    Returns:
        The process. Where it has no `rewards` or `costs` for an action seen often enough they are missing.

    Raises:
        ValueError: A state is named twice, or the period is under a day.

    References:
        Stephens (2017), False discovery rates: a new deal, for the mixture; Efron and Morris (1972), Limiting
        the risk of Bayes and empirical Bayes estimators, for the limit; DerSimonian and Laird (1986),
        Meta-analysis in clinical trials, for the variance of money between actions.

    Example:
        >>> decisions = pd.DataFrame({"stage": "a", "action": ["none"] * 20 + ["call"] * 20})
        >>> decisions["next_stage"] = ["a"] * 18 + ["b"] * 2 + ["b"] * 20
        >>> process = estimate_process(decisions, ["a", "b"], period_days=90)
        >>> process.transitions[:, 0, 1].round(2).tolist()  # shrunk from 0.1 and 1
        [0.12, 0.98]
    """
    states = tuple(states)
    if len(set(states)) < len(states) or not states:
        raise ValueError(f"states {list(states)} must be at least one and no name twice; edit journey.stages")
    if not 1 <= period_days < np.inf:
        raise ValueError(f"period_days == {period_days}, must be a number of days >= 1; edit journey.horizon_days")
    rows = decisions[decisions["stage"].isin(states) & decisions["action"].notna()]
    names = sorted(rows["action"].unique(), key=lambda name: (name != "none", name))
    action, stage, after = (
        pd.Index(found).get_indexer(pd.Index(rows[column]))
        for found, column in ((names, "action"), (states, "stage"), (states, "next_stage"))
    )
    seen = np.zeros((len(names), len(states), len(states)))
    followed = after >= 0
    np.add.at(seen, (action[followed], stage[followed], after[followed]), 1)
    counts = seen.sum(axis=2)
    transitions, worth = _shrink_counts(seen)
    transitions[counts < max(least_seen, 1)] = np.nan
    if rewards is None:
        money = _column(rows, "value_after"), _column(rows, "value_before")
        earned = _estimate_rewards(action, stage, *money, counts.shape)
    else:
        earned = np.tile(rewards.reindex(states).to_numpy(dtype=float), (len(names), 1))
    return Process(
        states,
        tuple(names),
        transitions,
        counts.astype(int),
        earned,
        _estimate_costs(names, action, stage, _column(rows, "cost"), counts.shape, costs),
        int(period_days),
        worth,
    )


def solve_process(
    process: Process,
    *,
    objective: str = "chance",
    to: str | None = None,
    periods: int,
    avoid: Iterable[str] = (),
    discount: float = 1.0,
) -> Solution:
    """Find the best action for each state and number of periods left, by backward induction (exact).

    Args:
        process: What each action leads to. Actions with missing transitions are never taken.
        objective: `chance` (to reach `to` within the periods, largest), `time` (expected days until `to` is
            reached, counting those that do not reach it with all days there are, least) or `value` (expected
            rewards less costs in all periods, before and after `to`, largest).
        to: State to reach; for `value` it may be left out.
        periods: Number of periods, 1 to 4,000.
        avoid: Actions never taken; states at which a way counts as ended.
        discount: What money of the next period is worth in this one, above 0 to 1; for `value` only.

    Returns:
        Values and rules. Of equally good actions the one that costs less, then the first, is taken.

    Raises:
        ValueError: A name is not known, a number out of range, or money is not known for `value`.

    References:
        Puterman (1994), Markov decision processes, section 4.5.

    Example:
        >>> decisions = pd.DataFrame({"stage": "a", "action": ["none"] * 20 + ["call"] * 20})
        >>> decisions["next_stage"] = ["a"] * 18 + ["b"] * 2 + ["b"] * 20
        >>> process = estimate_process(decisions, ["a", "b"], period_days=90)
        >>> solve_process(process, to="b", periods=2).rules.loc[2, "a"]
        'call'
    """
    _check_numbers(objective, periods, discount)
    if objective != "value" and to is None:
        raise ValueError(f"to is missing, must be a state for objective {objective!r}: {list(process.states)}")
    problem = _pose(process, objective, to, _split_avoided(process, to, avoid, {}), discount)
    values, choices = _induct(problem, periods)
    names = np.array([*process.actions, None], dtype=object)
    scale = -process.period_days if objective == "time" else 1
    return Solution(
        pd.DataFrame(scale * values, columns=list(process.states)).rename_axis("periods_left"),
        pd.DataFrame(names[choices], index=range(1, periods + 1), columns=list(process.states))
        .rename_axis("periods_left")
        .astype("str"),
    )


def find_routes(
    process: Process,
    start: str,
    *,
    to: str,
    avoid: Iterable[str] = (),
    alternatives: int = 3,
    objective: str = "chance",
    within_days: int = 365,
    channels: Mapping[str, Iterable[str]] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Find the best route from one stage to another, turn by turn, and alternatives that really differ.

    A route names one action for each stage that can be met; it is followed for as many whole periods as fit
    into `within_days`. Its steps are the likeliest way to the target, followed by the other stages it may
    lead through, with what to do there. An alternative starts with another action, or has at most half of the
    steps in common with each route before it, and takes no step that is worse than no step.

    Args:
        process: What each action leads to, by `estimate_process`.
        start: Stage to start from.
        to: Stage to reach.
        avoid: Actions never taken, stages never passed, and, where `channels` is given, channels: an action
            whose channels are all avoided is not taken.
        alternatives: Largest number of routes beside the best, from 0.
        objective: What is best, as for `solve_process`.
        within_days: Days to reach the target in, at least one period and at most 4,000.
        channels: Channels of each action.
        level: Level of the interval, between 0 and 1.

    Returns:
        One row a route and stage: `route` (1 is best), `step` (from 1; missing: not on the likeliest way),
        `stage`, `action` (missing: an end, or reached), `next_stage` (missing off the way), `chance` (0-1: to
        go there when leaving the stage), `days` (expected until leaving it), `n` (such decisions seen) and,
        the same in all rows of a route: `route_chance` (to reach the target in time) with `lower` and `upper`
        (of the chance of this route, from draws of the transitions), `route_days` (expected days until it is
        reached, at most those there are), `route_cost` (expected costs until then), `route_value` (expected
        rewards less costs in the whole time; both missing where money is not known), `loses` (what the route
        is worse than the best in: chance, days or money), `avoiding_costs` (what the best route without
        `avoid` is better in). Where no route can be told: one row with `stage` and `reason`.

    Raises:
        ValueError: A name is not known, a number out of range, or money is not known for `value`.

    References:
        Puterman (1994), Markov decision processes; Dijkstra (1959) for the likeliest way.

    Example:
        >>> decisions = pd.DataFrame({"stage": "a", "action": ["none"] * 20 + ["call"] * 20})
        >>> decisions["next_stage"] = ["a"] * 18 + ["b"] * 2 + ["b"] * 20
        >>> process = estimate_process(decisions, ["a", "b"], period_days=90)
        >>> routes = find_routes(process, "a", to="b", within_days=180)
        >>> routes[["route", "step", "stage", "action", "next_stage", "route_chance"]].round(2)
           route  step stage action next_stage  route_chance
        0      1     1     a   call          b          1.00
        1      2     1     a   none          b          0.23
    """
    _check_name(start, process.states, "start")
    avoided = _split_avoided(process, to, avoid, channels)
    _check_name(objective, OBJECTIVES, "objective")
    periods = _count_periods(within_days, process.period_days)
    if not 0 < level < 1:
        raise ValueError(f"level == {level}, must be above 0 and below 1, as 0.95")
    if not alternatives >= 0:
        raise ValueError(f"alternatives == {alternatives}, must be >= 0; 0 tells the best route alone")
    if start == to:
        return _refuse(start, f"already in {to}")
    planner = _Planner(process, start, to, periods, objective, avoided)
    reason = planner.find_obstacle()
    if reason:
        return _refuse(start, reason)
    routes = _choose_routes(planner, alternatives)
    free = planner if not any(avoided) else _Planner(process, start, to, periods, objective, ((), ()))
    best = planner.judge(routes[0])
    # Routes are told by a search; what avoids nothing can always do what avoids something.
    saved = max(free.judge(free.improve()) - best, 0.0) if free is not planner else 0.0
    parts = []
    for number, rule in enumerate(routes, start=1):
        loss = {"loses": (best - planner.judge(rule)) * planner.unit, "avoiding_costs": saved * planner.unit}
        parts.append(planner.tell(rule, level).assign(route=number, **loss, reason=""))
    return _tidy(pd.concat(parts, ignore_index=True))


@dataclass(frozen=True)
class _Problem:
    """A process with its objective: all is made as large as possible; ends stay where they are.

    `transitions` (actions x states x states), `gain` (actions x states, a period), `open` (actions x states,
    may be taken), `ends` (states), `last` (states, value when no period is left), `costs` (to settle ties).
    """

    transitions: np.ndarray
    gain: np.ndarray
    open: np.ndarray
    ends: np.ndarray
    last: np.ndarray
    costs: np.ndarray
    discount: float


Avoided = tuple[tuple[int, ...], tuple[int, ...]]  # places of actions, of states


def _pose(process: Process, objective: str, to: str | None, avoided: Avoided, discount: float = 1.0) -> _Problem:
    target = np.array([state == to for state in process.states])
    may = ~np.isnan(process.transitions).any(axis=2)
    may[list(avoided[0])] = False
    ends = ~may.any(axis=0)
    ends[list(avoided[1])] = True
    if objective != "value":
        ends |= target
    may[:, ends] = False
    transitions = np.where(may[:, :, None], process.transitions, np.eye(len(process.states)))
    if objective == "value":
        gain = process.rewards - process.costs
        if np.isnan(gain[may]).any():
            action, state = np.argwhere(may & np.isnan(gain))[0]
            raise ValueError(
                f"reward or cost of {process.actions[action]!r} in {process.states[state]!r} is not known, must be "
                "for objective 'value'; give rewards and costs to estimate_process"
            )
    else:
        gain = np.where(target, 0.0, -1.0 if objective == "time" else 0.0) * np.ones_like(process.rewards)
    if objective == "value":
        gain = np.where(may, gain, 0.0)
    last = target.astype(float) if objective == "chance" else np.zeros(len(target))
    return _Problem(transitions, gain, may, ends, last, np.nan_to_num(process.costs), discount)


def _induct(problem: _Problem, periods: int) -> tuple[np.ndarray, np.ndarray]:
    """Return values (periods + 1 x states) and choices (periods x states, -1 at ends), rising periods left."""
    values, choices = [problem.last], []
    usable = problem.open | problem.ends
    for _ in range(periods):
        worth = problem.gain + problem.discount * problem.transitions @ values[-1]
        worth = np.where(usable, worth, -np.inf)
        best = worth.max(axis=0)
        equal = worth >= best - _TIE * np.maximum(np.abs(best), 1.0)
        choice = np.where(equal, problem.costs, np.inf).argmin(axis=0)
        values.append(np.take_along_axis(worth, choice[None], axis=0)[0])
        choices.append(np.where(problem.ends, -1, choice))
    return np.array(values), np.array(choices)


def _evaluate(problem: _Problem, rules: np.ndarray, periods: int) -> np.ndarray:
    """Return the value of each rule (rules x states, places of actions) in every state: rules x states."""
    place = np.arange(rules.shape[-1])
    transitions = problem.transitions[rules, place]
    gain = problem.gain[rules, place]
    value = np.broadcast_to(problem.last, gain.shape)
    for _ in range(periods):
        value = gain + problem.discount * (transitions @ value[..., None])[..., 0]
    return value


class _Planner:
    """Routes as rules, one action a state, judged from the start."""

    def __init__(self, process: Process, start: str, to: str, periods: int, objective: str, avoided: Avoided) -> None:
        self.process, self.periods, self.avoided = process, periods, avoided
        self.start, self.to = process.states.index(start), process.states.index(to)
        self.names = (start, to)
        self.unit = process.period_days if objective == "time" else 1
        self.problem = _pose(process, objective, to, avoided)
        self.reaching = _pose(process, "chance", to, avoided)
        self.waiting = _pose(process, "time", to, avoided)

    def find_obstacle(self) -> str:
        """Return why no route can be told; empty where one can."""
        start, to = self.names
        if self.start in self.avoided[1]:
            return f"{start} is to be avoided and the start"
        if self.reaching.ends[self.start]:
            why = "all actions seen there are to be avoided" if self.avoided[0] else "no action was seen often enough"
            return f"nothing is known of leaving {start}: {why}"
        if self._best_chance(self.avoided) > 0:
            return ""
        if any(self.avoided) and self._best_chance(((), ())) > 0:
            return f"nobody was seen to reach {to} from {start} without what is to be avoided"
        return f"nobody was seen to reach {to} from {start} within {self.periods} periods"

    def _best_chance(self, avoided: Avoided) -> float:
        return float(_induct(_pose(self.process, "chance", self.names[1], avoided), self.periods)[0][-1, self.start])

    def judge(self, rule: np.ndarray) -> float:
        return float(_evaluate(self.problem, rule, self.periods)[self.start])

    def improve(self, forced: tuple[int, int] | None = None) -> np.ndarray:
        """Return the best rule found, perhaps with the action of one state forced.

        Backward induction gives the first rules, one a number of periods left; the best is improved one state
        at a time until nothing is gained.
        """
        problem = self.problem
        if forced is not None:
            may = problem.open.copy()
            may[:, forced[0]] = np.arange(len(may)) == forced[1]
            problem = replace(problem, open=may)
        rules = np.maximum(_induct(problem, self.periods)[1], 0)
        rule = rules[_evaluate(problem, rules, self.periods)[:, self.start].argmax()]
        action, state = np.nonzero(problem.open)
        while True:
            tried = np.tile(rule, (len(action), 1))
            tried[np.arange(len(action)), state] = action
            values = _evaluate(problem, tried, self.periods)[:, self.start]
            value = self.judge(rule)
            if not values.max(initial=-np.inf) > value + _TIE * max(abs(value), 1.0):
                return rule
            rule = tried[values.argmax()]

    def follow(self, rule: np.ndarray) -> tuple[np.ndarray, list[int]]:
        """Return the transitions under a rule and the states of the likeliest way; empty where there is none."""
        import networkx as nx

        transitions = self.reaching.transitions[rule, np.arange(len(rule))]
        graph = nx.DiGraph()
        graph.add_nodes_from(range(len(rule)))
        for here, there in np.argwhere(transitions > 0):
            if here != there and not self.reaching.ends[here]:
                share = transitions[here, there] / (1 - transitions[here, here])
                graph.add_edge(int(here), int(there), weight=max(-np.log(share), 0.0))
        if not nx.has_path(graph, self.start, self.to):
            return transitions, []
        return transitions, nx.dijkstra_path(graph, self.start, self.to)

    def list_steps(self, rule: np.ndarray) -> list[tuple[int, int]]:
        """Return the steps on the likeliest way as pairs (state, action)."""
        return [(state, int(rule[state])) for state in self.follow(rule)[1][:-1]]

    def tell(self, rule: np.ndarray, level: float) -> pd.DataFrame:
        """Return one row a stage of the route, with its totals."""
        process, states = self.process, self.process.states
        transitions, way = self.follow(rule)
        rows: list[dict[str, Any]] = []
        stay = np.diag(transitions)
        for step, (here, there) in enumerate(pairwise(way), start=1):
            chance = transitions[here, there] / (1 - stay[here])
            rows.append({"step": step, "stage": states[here], "next_stage": states[there], "chance": chance})
        rows += [{"stage": states[state]} for state in self._list_others(transitions, way)]
        table = pd.DataFrame(rows, columns=["step", "stage", "next_stage", "chance"])
        place = [states.index(stage) for stage in table["stage"]]
        acts = ~self.problem.ends[place]
        table["action"] = [process.actions[rule[s]] if act else None for s, act in zip(place, acts, strict=True)]
        with np.errstate(divide="ignore"):
            table["days"] = np.where(acts & (stay[place] < 1), process.period_days / (1 - stay[place]), np.nan)
        table["n"] = np.where(acts, process.counts[rule[place], place], 0)
        return table.assign(**self._total(rule, level))

    def _list_others(self, transitions: np.ndarray, way: list[int]) -> list[int]:
        """Return the states off the way in which the route still says what to do, in their order."""
        met, open_ = {self.start}, [self.start]
        while open_:
            here = open_.pop()
            found = set(np.flatnonzero(transitions[here] > 0).tolist()) - met
            met |= found
            open_ += sorted(found)
        told = way[:-1]
        return [state for state in sorted(met) if state not in told and not self.problem.ends[state]]

    def _total(self, rule: np.ndarray, level: float) -> dict[str, float]:
        process, reaching = self.process, self.reaching
        chance = _evaluate(reaching, rule, self.periods)[self.start]
        lower, upper = self._interval(rule, level)
        days = -_evaluate(self.waiting, rule, self.periods)[self.start] * process.period_days
        spent = replace(reaching, gain=np.where(reaching.open, process.costs, 0.0), last=np.zeros(len(rule)))
        cost = _evaluate(spent, rule, self.periods)[self.start]
        return {
            "route_chance": float(chance),
            "lower": min(lower, float(chance)),
            "upper": max(upper, float(chance)),
            "route_days": float(days),
            "route_cost": float(cost),
            "route_value": self._value(rule),
        }

    def _value(self, rule: np.ndarray) -> float:
        """Return rewards less costs in the whole time; at the target what is best there is done."""
        try:
            problem = _pose(self.process, "value", self.names[1], self.avoided)
        except ValueError:
            return np.nan
        if self.reaching.ends[self.to] and not problem.ends[self.to] and self.problem.ends[self.to]:
            rule = rule.copy()
            rule[self.to] = _induct(problem, self.periods)[1][-1, self.to]
        return float(_evaluate(problem, rule, self.periods)[self.start])

    def _interval(self, rule: np.ndarray, level: float) -> tuple[float, float]:
        """Return the bounds of the chance, from draws of the transitions (Dirichlet, as many as they are worth)."""
        random = np.random.default_rng(0)
        worth = self.process.counts if self.process.worth is None else self.process.worth
        value = np.tile(self.reaching.last, (_DRAWS, 1))
        drawn = np.empty((_DRAWS, len(rule), len(rule)))
        for state in range(len(rule)):
            chances = self.reaching.transitions[rule[state], state]
            if self.reaching.ends[state]:
                drawn[:, state] = chances
                continue
            shape = np.maximum(chances * worth[rule[state], state], 1e-12)
            weight = random.standard_gamma(shape, (_DRAWS, len(rule)))
            drawn[:, state] = weight / weight.sum(axis=1, keepdims=True)
        for _ in range(self.periods):
            value = (drawn @ value[..., None])[..., 0]
        lower, upper = np.quantile(value[:, self.start], [0.5 - level / 2, 0.5 + level / 2])
        return float(lower), float(upper)


def _choose_routes(planner: _Planner, alternatives: int) -> list[np.ndarray]:
    """Return the best rule and, best first, those that differ from all before."""
    routes = [planner.improve()]
    pool: dict[tuple[int, int], np.ndarray] = {}
    while len(routes) <= alternatives:
        for state, taken in planner.list_steps(routes[-1]):
            pool |= {
                (state, action): rule
                for action, rule in _list_deviations(planner, state).items()
                if action != taken and (state, action) not in pool
            }
        ranked = sorted(pool.values(), key=planner.judge, reverse=True)
        found = next((rule for rule in ranked if _differs(planner, rule, routes)), None)
        if found is None:
            break
        routes.append(found)
    return routes


def _list_deviations(planner: _Planner, state: int) -> dict[int, np.ndarray]:
    """Return the best rule with each action in a state that is not worse than no step there."""
    forced = {int(a): planner.improve((state, int(a))) for a in np.flatnonzero(planner.problem.open[:, state])}
    idle = planner.process.actions.index("none") if "none" in planner.process.actions else -1
    least = planner.judge(forced[idle]) if idle in forced else -np.inf
    return {action: rule for action, rule in forced.items() if planner.judge(rule) >= least}


def _differs(planner: _Planner, rule: np.ndarray, routes: list[np.ndarray]) -> bool:
    own = planner.list_steps(rule)
    if not own:
        return False
    for other in map(planner.list_steps, routes):
        common = len(set(own) & set(other)) / max(len(own), len(other))
        if own[:1] == other[:1] and common > _MOST_IN_COMMON:
            return False
    return True


def _shrink_counts(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return chances (actions x states x next states) shrunk toward a center of each state, and what they are worth.

    The prior is a mixture of Dirichlet distributions around the center, from hardly any to nearly no difference
    between actions; its weights, common to all states, are those that make the counts likeliest (EM). So an action
    that stands out is hardly moved though all others are drawn together, and none by over a standard error.
    """
    total = seen.sum(axis=2)
    if not total.any():
        return seen, total
    center = _share(seen.sum(axis=0))
    weights = np.full(len(_STRENGTHS), 1 / len(_STRENGTHS))
    for _ in range(_ROUNDS):
        # Where nothing was ever counted the least number keeps logarithms finite; it cancels.
        prior = np.maximum(_STRENGTHS[:, None, None, None] * center, 1e-300)
        fit = (gammaln(seen + prior) - gammaln(prior)).sum(axis=3)
        fit += gammaln(_STRENGTHS)[:, None, None] - gammaln(total + _STRENGTHS[:, None, None])
        odds = weights[:, None, None] * np.exp(fit - fit.max(axis=0))
        odds /= odds.sum(axis=0)
        before, weights = weights, odds[:, total > 0].mean(axis=1)
        # An action counts for the center as far as it is drawn there.
        held = (odds * _STRENGTHS[:, None, None] / (total + _STRENGTHS[:, None, None])).sum(axis=0)
        center = _share((held[:, :, None] * seen).sum(axis=0))
        if np.abs(weights - before).max() < 1e-3:
            break
    posterior = (seen + prior) / (total + _STRENGTHS[:, None, None])[..., None]
    chances, worth = _limit(seen, (odds[..., None] * posterior).sum(axis=0))
    return _share(np.where(chances < _LEAST_CHANCE, 0.0, chances)), worth


def _limit(seen: np.ndarray, shrunk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return chances between the shares seen and the shrunk ones, none moved by over one standard error.

    And how many decisions they are worth: as many as make the variance grow by the square of the move.
    """
    total = seen.sum(axis=2, keepdims=True)
    raw = _share(seen)
    std_err = np.sqrt(np.clip(shrunk * (1 - shrunk), 0, None) / np.maximum(total, 1))
    moves = np.abs(shrunk - raw) / np.maximum(std_err, 1e-300)
    most = np.where(shrunk > 0, moves, 0.0).max(axis=2, keepdims=True)
    part = 1 / np.maximum(most, 1.0)
    worth = total / (1 + np.minimum(most, 1.0) ** 2)
    return raw + part * (shrunk - raw), worth[..., 0]


def _share(counts: np.ndarray) -> np.ndarray:
    """Return rows that sum to 1, or to 0 where nothing was counted."""
    return counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1e-300)


def _column(rows: pd.DataFrame, name: str) -> np.ndarray:
    return rows[name].to_numpy(dtype=float) if name in rows else np.full(len(rows), np.nan)


def _estimate_rewards(
    action: np.ndarray, stage: np.ndarray, after: np.ndarray, before: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Return the money of a period by action and state, shrunk toward the state's mean; missing where unseen."""
    rewards = np.full(shape, np.nan)
    for state in range(shape[1]):
        here = (stage == state) & ~np.isnan(after)
        if not here.any():
            continue
        n = np.bincount(action[here], minlength=shape[0]).astype(float)
        value = _adjust(action[here], after[here], before[here], n)
        with np.errstate(invalid="ignore"):
            mean = np.bincount(action[here], value, minlength=shape[0]) / n
        within = ((value - mean[action[here]]) ** 2).sum() / max(here.sum() - (n > 0).sum(), 1)
        rewards[:, state] = _shrink_means(mean, n, within)
    return rewards


def _adjust(action: np.ndarray, after: np.ndarray, before: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Take out of the money after what the money before explains within an action (analysis of covariance)."""
    if np.isnan(before).any():
        return after
    away = before - (np.bincount(action, before, minlength=len(n)) / np.maximum(n, 1))[action]
    spread = (away**2).sum()
    return after if spread == 0 else after - (away * after).sum() / spread * (before - before.mean())


def _shrink_means(mean: np.ndarray, n: np.ndarray, within: float) -> np.ndarray:
    """Return means drawn toward their common mean by the variance between them; missing where n is 0."""
    seen = n > 0
    center = np.average(mean[seen], weights=n[seen])
    shrunk = np.full(len(mean), np.nan)
    if within == 0 or seen.sum() < 2:
        shrunk[seen] = mean[seen]
        return shrunk
    weight = n[seen] / within
    excess = (weight * (mean[seen] - center) ** 2).sum() - (seen.sum() - 1)
    between = max(excess / (weight.sum() - (weight**2).sum() / weight.sum()), 0.0)
    shrunk[seen] = center + between / (between + 1 / weight) * (mean[seen] - center)
    return shrunk


def _estimate_costs(
    names: list[str],
    action: np.ndarray,
    stage: np.ndarray,
    cost: np.ndarray,
    shape: tuple[int, ...],
    known: Mapping[str, float] | None,
) -> np.ndarray:
    """Return the mean cost by action and state, otherwise of the action, otherwise the one given."""
    told = ~np.isnan(cost)
    n, total = np.zeros(shape), np.zeros(shape)
    np.add.at(n, (action[told], stage[told]), 1)
    np.add.at(total, (action[told], stage[told]), cost[told])
    given = {"none": 0.0} | dict(known or {})
    with np.errstate(invalid="ignore"):
        overall = total.sum(axis=1) / n.sum(axis=1)
        own = total / n
    overall = np.where(np.isnan(overall), [given.get(name, np.nan) for name in names], overall)
    return np.where(np.isnan(own), overall[:, None], own)


def _split_avoided(
    process: Process, to: str | None, avoid: Iterable[str], channels: Mapping[str, Iterable[str]] | None
) -> Avoided:
    """Return the places of the actions and states to avoid."""
    if to is not None:
        _check_name(to, process.states, "to")
    ways = {action: set(_list_names(names)) for action, names in (channels or {}).items()}
    avoid = _list_names(avoid)
    # An action may be planned for this programme and not have been seen yet: then avoiding it costs nothing.
    known = dict.fromkeys([*process.actions, *process.states, *ways, *sorted(set().union(*ways.values()))])
    hint = "; channels are known where `channels` is given" if channels is None else ""
    for name in avoid:
        _check_name(name, known, "avoid", hint)
        if name == to:
            raise ValueError(f"avoid contains {name!r}, must not be the state to reach; leave it out of one of the two")
    actions = [
        place
        for place, action in enumerate(process.actions)
        if action in avoid or (ways.get(action) and ways[action] <= set(avoid))
    ]
    return tuple(actions), tuple(place for place, state in enumerate(process.states) if state in avoid)


def _list_names(names: Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _check_name(name: str, known: Iterable[str], key: str, hint: str = "") -> None:
    known = list(known)
    if name not in known:
        folded = {each.casefold(): each for each in known}
        close = get_close_matches(str(name).casefold(), folded, n=1)
        raise ValueError(
            f"{key}: {name!r} is not known{f'; did you mean {folded[close[0]]!r}?' if close else '.'} "
            f"Possible values are: {', '.join(known)}{hint}"
        )


def _count_periods(within_days: float, period_days: int) -> int:
    """Return the whole periods in a number of days."""
    if not period_days <= within_days < (MOST_PERIODS + 1) * period_days:
        raise ValueError(
            f"within_days == {within_days}, must be at least one period of {period_days} days and at most "
            f"{MOST_PERIODS:,}; give days as 365, or another period"
        )
    return int(within_days // period_days)


def _check_numbers(objective: str, periods: int, discount: float) -> None:
    _check_name(objective, OBJECTIVES, "objective")
    if not 1 <= periods <= MOST_PERIODS:
        raise ValueError(f"periods == {periods}, must be from 1 to {MOST_PERIODS:,}")
    if not 0 < discount <= 1:
        raise ValueError(f"discount == {discount}, must be above 0 and at most 1; 1 counts all periods alike")


def _refuse(start: str, reason: str) -> pd.DataFrame:
    return _tidy(pd.DataFrame({"stage": [start], "reason": [reason]}))


def _tidy(table: pd.DataFrame) -> pd.DataFrame:
    table = table.reindex(columns=_ROUTES)
    return table.astype({"route": "Int64", "step": "Int64", "n": "Int64"} | _TEXTS)
