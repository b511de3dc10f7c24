"""Routes and the value of following them, on simulated processes whose optimum is known.

python benchmarks/routes.py [RUNS]

50 random processes (4-8 states, 3-6 actions, loops back, exits) and 5 like a partner programme (five stages, two
exits, actions of which some are useless and one harms). Told: the gap between `solve_process` and a linear program
(HiGHS); what rules learned from 10,000 journeys under a random logging policy lose on the true process against its
optimum over 8 periods (by `solve_process`, which may change its mind as time runs out, and by route 1 of
`find_routes`, one action a stage); whether a route's interval holds its true chance; where the partner-like ones lose
most; the same regret over RUNS logs (default 20) of each of them, beside an oracle that knows all there is to know of
how such processes are made but for which action is which; coverage of `policy_value`, RUNS
logs of 10,000 journeys of 2 periods for each process; refusals where overlap is planted to
be missing, and false ones. About 15 minutes on one core.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linprog
from scipy.sparse import lil_array
from scipy.special import softmax, xlogy

from partnerseg.journey.policies import policy_value
from partnerseg.journey.routes import OBJECTIVES, Process, estimate_process, find_routes, solve_process

RESULT = Path(__file__).parent / "results" / "2026-11-22-routes.md"
PERIODS, SHORT, JOURNEYS, PERIOD_DAYS = 8, 2, 10_000, 90
LOGGED = (8, 12)  # periods of the journeys that are learned from: two and three years
LOGS = ((JOURNEYS, 8), (JOURNEYS, 12), (10 * JOURNEYS, 8))  # journeys and periods of the logs beside an oracle
POWERS = (0.8, 1.2)  # of the multiplied odds of moving forward, at least and at most
STAGES, EXITS = ("recruited", "onboarded", "activated", "growing", "strategic"), ("dormant", "left")
# Odds of moving forward, and of going dormant or leaving, that an action multiplies, by stage; 1 elsewhere.
EFFECTS = {
    "welcome_call": ({"recruited": 1.5}, 1.0),
    "onboarding_workshop": ({"recruited": 1.8, "onboarded": 1.6}, 0.9),
    "product_certification": ({"onboarded": 1.4, "activated": 1.5, "growing": 1.2}, 0.9),
    "joint_campaign": ({"activated": 1.6, "growing": 1.7}, 0.8),
    "pipeline_review": ({"activated": 1.3, "growing": 1.4}, 0.9),
    "executive_meeting": ({"growing": 2.0}, 0.8),
    "reactivation_call": ({"dormant": 2.5}, 1.0),
    "newsletter": ({}, 1.0),
    "technical_audit": ({}, 1.0),
    "co_funding": ({"activated": 0.6, "growing": 0.6}, 1.4),
}
COSTS = dict(
    zip(("none", *EFFECTS), (0.0, 20.0, 250.0, 300.0, 800.0, 60.0, 150.0, 25.0, 1.0, 400.0, 1500.0), strict=True)
)


def make_random(seed: int) -> Process:
    """Return a random process: the last state is the target, the one before it perhaps an exit."""
    random = np.random.default_rng(seed)
    states, actions = int(random.integers(4, 9)), int(random.integers(3, 7))
    base = random.dirichlet(np.full(states, 0.5), states)
    own = random.dirichlet(np.full(states, 0.5), (actions, states))
    share = random.uniform(0.1, 0.9)  # how far the actions differ
    stay = random.uniform(0.0, 0.6)
    transitions = stay * np.eye(states) + (1 - stay) * ((1 - share) * base + share * own)
    if random.uniform() < 0.5:
        transitions[:, states - 2] = np.eye(states)[states - 2]
    names = tuple(f"s{place}" for place in range(states))
    rewards = np.tile(random.uniform(0, 10, states), (actions, 1)) * random.uniform(0.8, 1.2, (actions, states))
    costs = np.tile(random.uniform(0, 2, (actions, 1)), (1, states))
    costs[0] = 0
    dead = np.diagonal(transitions, axis1=1, axis2=2).min(axis=0) == 1
    rewards[:, dead] = costs[:, dead] = 0  # who has left earns and costs nothing
    counts = np.full((actions, states), JOURNEYS)
    kinds = ("none", *(f"a{place}" for place in range(1, actions)))
    return Process(names, kinds, transitions, counts, rewards, costs, PERIOD_DAYS)


def make_partner_like(seed: int) -> Process:
    """Return a process like a partner programme: forward, skipping a stage, back, to exits and back from dormant."""
    random = np.random.default_rng(1_000 + seed)
    states, actions = STAGES + EXITS, tuple(COSTS)
    transitions = np.zeros((len(actions), len(states), len(states)))
    last, dormant, left = len(STAGES) - 1, states.index("dormant"), states.index("left")
    for here in range(len(states)):
        odds = np.zeros(len(states))
        odds[here] = 1.0
        if here <= last:
            odds[dormant], odds[left] = random.uniform(0.05, 0.12), random.uniform(0.02, 0.06)
        if here < last:
            odds[here + 1] = random.uniform(0.2, 0.5)
            odds[min(here + 2, last)] += random.uniform(0.01, 0.05)
        if 0 < here <= last:
            odds[here - 1] = random.uniform(0.01, 0.05)
        if here == dormant:
            odds[states.index("activated")], odds[left] = random.uniform(0.05, 0.15), random.uniform(0.05, 0.15)
        for place, action in enumerate(actions):
            transitions[place, here] = share(odds * multiply_odds(action, here, random.uniform(*POWERS)))
    money = np.array([200.0, 800.0, 3_000.0, 8_000.0, 20_000.0, 100.0, 0.0]) * random.uniform(0.7, 1.3, len(states))
    costs = np.tile(np.array(list(COSTS.values()))[:, None], (1, len(states)))
    costs[:, left] = 0
    shape = costs.shape
    return Process(
        states, actions, transitions, np.full(shape, JOURNEYS), np.tile(money, (shape[0], 1)), costs, PERIOD_DAYS
    )


def multiply_odds(action: str, here: int, power: float) -> np.ndarray:
    """Return what an action multiplies the odds of each next state by, in a state of a partner-like process."""
    states = STAGES + EXITS
    forward, exits = EFFECTS.get(action, ({}, 1.0))
    times = np.ones(len(states))
    ahead = states.index("activated") if states[here] == "dormant" else here + 1
    times[ahead : len(STAGES)] = forward.get(states[here], 1.0) ** power
    if here < len(STAGES):
        times[[states.index(name) for name in EXITS]] = exits
    return times


def share(odds: np.ndarray) -> np.ndarray:
    return odds / odds.sum()


def list_processes() -> Iterator[tuple[str, Process, str, str]]:
    """Yield kind, process, start and target."""
    for seed in range(50):
        process = make_random(seed)
        yield "random", process, process.states[0], process.states[-1]
    for seed in range(5):
        yield "partner-like", make_partner_like(seed), "recruited", "strategic"


def draw_journeys(
    process: Process, chances: np.ndarray, start: int, n: int, periods: int, random: np.random.Generator
) -> pd.DataFrame:
    """Return one row a step of n journeys; `chances` (states x actions) are those of the logging policy."""
    state, parts = np.full(n, start), []
    dead = np.array([np.allclose(process.transitions[:, s, s], 1) for s in range(len(process.states))])
    partner = np.arange(n)
    for period in range(periods):
        state, partner = state[~dead[state]], partner[~dead[state]]
        action = _draw(chances[state], random)
        after = _draw(process.transitions[action, state], random)
        mean = process.rewards[action, state]
        value = mean * random.gamma(2.0, 0.5, len(state))  # skewed, as money is
        parts.append(
            pd.DataFrame(
                {
                    "partner_id": partner,
                    "period": period,
                    "stage": np.array(process.states)[state],
                    "action": np.array(process.actions)[action],
                    "propensity": chances[state, action],
                    "next_stage": np.array(process.states)[after],
                    "value_after": value,
                    "cost": process.costs[action, state],
                    "reward": value - process.costs[action, state],
                }
            )
        )
        state = after
    return pd.concat(parts, ignore_index=True)


def _draw(chances: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return (chances.cumsum(axis=1) < random.uniform(size=(len(chances), 1))).sum(axis=1).clip(max=chances.shape[1] - 1)


def solve_by_program(process: Process, objective: str, to: str, periods: int) -> np.ndarray:
    """Return the value with all periods left, by linear programming: the least values that no action can better."""
    actions, states = process.counts.shape
    target = process.states.index(to)
    place = lambda left, state: left * states + state  # noqa: E731
    rows, bounds = [], []
    free: list[tuple[float | None, float | None]] = [(None, None)] * ((periods + 1) * states)
    for left in range(periods + 1):
        for state in range(states):
            reached = objective != "value" and state == target
            if left == 0 or reached:
                free[place(left, state)] = (known := float(objective == "chance" and reached), known)
                continue
            for action in range(actions):
                gain = {"chance": 0.0, "time": -1.0}.get(
                    objective, process.rewards[action, state] - process.costs[action, state]
                )
                rows.append((left, state, process.transitions[action, state]))
                bounds.append(-gain)
    matrix = lil_array((len(rows), len(free)))
    for row, (left, state, chances) in enumerate(rows):
        for after, chance in enumerate(chances):
            matrix[row, place(left - 1, after)] = chance
        matrix[row, place(left, state)] = -1.0
    options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found = linprog(np.ones(len(free)), A_ub=matrix.tocsr(), b_ub=bounds, bounds=free, method="highs", options=options)
    return found.x[-states:]


def evaluate_rules(process: Process, rules: np.ndarray, objective: str, to: str) -> np.ndarray:
    """Return the true value of rules (periods x states, rising periods left) in every state."""
    states = np.arange(len(process.states))
    target = process.states.index(to)
    value = np.zeros(len(states))
    value[target] = objective == "chance"
    for rule in rules:
        after = (process.transitions[rule, states] * value).sum(axis=1)
        if objective == "value":
            value = process.rewards[rule, states] - process.costs[rule, states] + after
        else:
            value = np.where(states == target, value, after - (objective == "time"))
    return value


def read_rules(process: Process, table: pd.DataFrame) -> np.ndarray:
    return np.maximum(pd.Index(process.actions).get_indexer(table.to_numpy().ravel()), 0).reshape(table.shape)


def read_route(process: Process, routes: pd.DataFrame, number: int = 1) -> np.ndarray:
    told = routes[routes["route"] == number].dropna(subset="action").set_index("stage")["action"]
    return np.maximum(pd.Index(process.actions).get_indexer(told.reindex(process.states)), 0)


def random_logging(process: Process, random: np.random.Generator) -> np.ndarray:
    """Return states x actions, no chance under 0.3 / actions."""
    states, actions = len(process.states), len(process.actions)
    return 0.3 / actions + 0.7 * random.dirichlet(np.ones(actions), states)


def measure_gap() -> pd.DataFrame:
    rows = []
    for kind, process, _start, to in list_processes():
        for objective in OBJECTIVES:
            ours = solve_process(process, objective=objective, to=to, periods=PERIODS).values.iloc[-1].to_numpy()
            ours = -ours / PERIOD_DAYS if objective == "time" else ours
            other = solve_by_program(process, objective, to, PERIODS)
            rows.append((kind, objective, np.abs(ours - other).max() / max(np.abs(other).max(), 1.0)))
    return pd.DataFrame(rows, columns=["processes", "objective", "gap"])


def measure_regret(logged: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one row a process and objective with its regrets, and one a route with its interval and the truth."""
    rows, told = [], []
    for number, (kind, process, start, to) in enumerate(list_processes()):
        random = np.random.default_rng((10_000 + number, logged))
        here = process.states.index(start)
        log = draw_journeys(process, random_logging(process, random), here, JOURNEYS, logged, random)
        learned = estimate_process(log, process.states, period_days=PERIOD_DAYS)
        same = np.array([process.actions.index(name) for name in learned.actions])
        for objective in OBJECTIVES:
            routes = find_routes(learned, start, to=to, objective=objective, within_days=PERIODS * PERIOD_DAYS)
            route = np.tile(same[read_route(learned, routes)], (PERIODS, 1))
            solved = solve_rules(process, learned, objective, to)
            rows.append((kind, objective, *(lose(process, each, objective, start, to) for each in (solved, route))))
            for place, own in routes.dropna(subset="route").groupby("route"):
                rule = np.tile(same[read_route(learned, routes, int(place))], (PERIODS, 1))
                truth = evaluate_rules(process, rule, "chance", to)[here]
                held = own["lower"].iloc[0] <= truth <= own["upper"].iloc[0]
                told.append((kind, "route 1" if place == 1 else "alternatives", held))
    return (
        pd.DataFrame(rows, columns=["processes", "objective", "solved", "route"]),
        pd.DataFrame(told, columns=["processes", "routes", "held"]),
    )


def solve_rules(process: Process, learned: Process, objective: str, to: str) -> np.ndarray:
    """Return the best rules of what was learned (periods x states), as places in the actions of the process."""
    rules = read_rules(learned, solve_process(learned, objective=objective, to=to, periods=PERIODS).rules)
    return np.array([process.actions.index(name) for name in learned.actions])[rules]


def lose(process: Process, rules: np.ndarray, objective: str, start: str, to: str) -> float:
    """Return the regret of rules, relative to the optimum."""
    here = process.states.index(start)
    best = solve_rules(process, process, objective, to)
    most, own = (evaluate_rules(process, each, objective, to)[here] for each in (best, rules))
    return float((most - own) / abs(most))


def learn_as_oracle(process: Process, log: pd.DataFrame) -> np.ndarray:
    """Return the expected transitions given the log, by Bayes' rule, of one who knows how the process was made.

    Known are the odds without a step in this very process, `EFFECTS` and `POWERS`; not known is, in each stage, which
    action is which (any, with equal chances). So a method that has only the log can hardly lose less on average,
    unless it learns from one stage what the same action does in another.
    """
    keys = [
        pd.Categorical(log[name], names)
        for name, names in (("action", process.actions), ("stage", process.states), ("next_stage", process.states))
    ]
    seen = np.zeros(process.transitions.shape)
    np.add.at(seen, tuple(key.codes for key in keys), 1)
    expected = np.empty_like(seen)
    for here, odds in enumerate(process.transitions[process.actions.index("none")]):
        kinds = np.array(
            [
                share(odds * multiply_odds(action, here, power))
                for action in process.actions
                for power in np.linspace(*POWERS, 9)
            ]
        )
        expected[:, here] = softmax(xlogy(seen[:, None, here], kinds).sum(axis=2), axis=1) @ kinds
    return expected


def measure_logs(runs: int) -> pd.DataFrame:
    """Return one row a log of a partner-like process and objective with its regrets, and those of an oracle."""
    rows = []
    for seed in range(5):
        process, start, to = make_partner_like(seed), "recruited", "strategic"
        for journeys, logged in LOGS:
            for run in range(runs if journeys == JOURNEYS else max(runs // 5, 1)):
                random = np.random.default_rng((40_000 + seed, journeys, logged, run))
                log = draw_journeys(process, random_logging(process, random), 0, journeys, logged, random)
                learned = estimate_process(log, process.states, period_days=PERIOD_DAYS)
                order = [process.actions.index(name) for name in learned.actions]
                told = np.where(np.isnan(learned.transitions), np.nan, learn_as_oracle(process, log)[order])
                for objective in OBJECTIVES:
                    routes = find_routes(
                        learned, start, to=to, objective=objective, within_days=PERIODS * PERIOD_DAYS, alternatives=0
                    )
                    rules = {
                        "route 1 of find_routes": np.tile(np.array(order)[read_route(learned, routes)], (PERIODS, 1)),
                        "solve_process": solve_rules(process, learned, objective, to),
                        "oracle": solve_rules(process, replace(learned, transitions=told), objective, to),
                    }
                    truth = evaluate_rules(process, rules["route 1 of find_routes"], "chance", to)[0]
                    held = routes["lower"].iloc[0] <= truth <= routes["upper"].iloc[0]
                    rows += [
                        (journeys, logged, seed, objective, who, lose(process, rule, objective, start, to), held)
                        for who, rule in rules.items()
                    ]
    return pd.DataFrame(rows, columns=["journeys", "periods", "process", "objective", "by", "lost", "held"])


def measure_floor() -> pd.DataFrame:
    """Return one row a process and objective: what route 1 of the true process loses, as it has one action a stage."""
    rows = []
    for kind, process, start, to in list_processes():
        for objective in OBJECTIVES:
            options = {"objective": objective, "within_days": PERIODS * PERIOD_DAYS, "alternatives": 0}
            rule = np.tile(read_route(process, find_routes(process, start, to=to, **options)), (PERIODS, 1))
            rows.append((kind, objective, lose(process, rule, objective, start, to)))
    return pd.DataFrame(rows, columns=["processes", "objective", "lost"])


def find_mistakes() -> pd.DataFrame:
    """Return, for the logs of 8 periods of the partner-like processes, the stage whose steps lose most chance."""
    rows = []
    for number, (kind, process, start, to) in enumerate(list_processes()):
        if kind == "random":
            continue
        random = np.random.default_rng((10_000 + number, LOGGED[0]))
        log = draw_journeys(process, random_logging(process, random), 0, JOURNEYS, LOGGED[0], random)
        learned = estimate_process(log, process.states, period_days=PERIOD_DAYS)
        best, solved = (solve_rules(process, each, "chance", to) for each in (process, learned))
        alone = np.tile(best, (len(STAGES) - 1, 1, 1))
        for here in range(len(alone)):
            alone[here, :, here] = solved[:, here]
        lost = np.array([lose(process, rules, "chance", start, to) for rules in alone])
        here = int(lost.argmax())
        steps = [process.actions[rules[-1 - here, here]] for rules in (best, solved)]
        told = [_tell_step(process, log, step, here) for step in steps]
        total = lose(process, solved, "chance", start, to)
        rows.append((number - 50, f"{total:.1%}", STAGES[here], f"{lost[here]:.1%}", *told))
    return pd.DataFrame(
        rows, columns=["process", "loses", "most in", "there", "best step: n, true, seen", "taken: n, true, seen"]
    )


def _tell_step(process: Process, log: pd.DataFrame, step: str, here: int) -> str:
    """Return the decisions with a step and its chance to move forward, true and seen with its standard error."""
    own = log[(log["action"] == step) & (log["stage"] == STAGES[here])]
    seen = own["next_stage"].isin(STAGES[here + 1 :]).mean()
    truth = process.transitions[process.actions.index(step), here, here + 1 : len(STAGES)].sum()
    return f"{step}: {len(own)}, {truth:.3f}, {seen:.3f} ± {np.sqrt(truth * (1 - truth) / len(own)):.3f}"


def soften(process: Process, rule: np.ndarray, share: float, chances: np.ndarray) -> np.ndarray:
    """Return states x actions: the rule with a chance of `share`, otherwise as logged."""
    return share * np.eye(len(process.actions))[rule] + (1 - share) * chances


def true_value(process: Process, chances: np.ndarray, start: int, periods: int) -> float:
    value = np.zeros(len(process.states))
    dead = np.array([np.allclose(process.transitions[:, s, s], 1) for s in range(len(process.states))])
    for _ in range(periods):
        taken = process.rewards - process.costs + process.transitions @ value
        value = np.where(dead, 0.0, (chances * taken.T).sum(axis=1))
    return float(value[start])


def measure_coverage(runs: int) -> pd.DataFrame:
    """One row a process, run, policy and method: told or not, held or not."""
    rows = []
    for number, (kind, process, start, to) in enumerate(list_processes()):
        here = process.states.index(start)
        best = solve_process(process, objective="value", to=to, periods=SHORT).rules.iloc[-1:]
        rule = read_rules(process, best)[0]
        for run in range(runs):
            random = np.random.default_rng((20_000 + number, run))
            chances = random_logging(process, random)
            log = draw_journeys(process, chances, here, JOURNEYS, SHORT, random)
            logged = true_value(process, chances, here, SHORT)
            for policy, share in {"half of the steps": 0.5, "every step": 1.0}.items():
                wanted = soften(process, rule, share, chances)
                truth = true_value(process, wanted, here, SHORT)
                table = pd.DataFrame(wanted, index=list(process.states), columns=list(process.actions))
                for row in policy_value(log, table, periods=SHORT).to_dict("records"):
                    goal = {"logged": logged, "gain": truth - logged}.get(row["method"], truth)
                    held = row["lower"] <= goal <= row["upper"]
                    width = (row["upper"] - row["lower"]) / abs(truth)
                    rows.append((kind, number, policy, row["method"], row["reason"], held, width, row["effective_n"]))
    columns = ["processes", "process", "policy", "method", "reason", "held", "width", "effective_n"]
    return pd.DataFrame(rows, columns=columns)


def measure_refusals(runs: int) -> pd.DataFrame:
    """One row a process, run and planted lack of overlap: refused or not."""
    rows = []
    for number, (kind, process, start, to) in enumerate(list_processes()):
        here = process.states.index(start)
        rule = read_rules(process, solve_process(process, objective="value", to=to, periods=SHORT).rules.iloc[-1:])[0]
        policy = {state: process.actions[action] for state, action in zip(process.states, rule, strict=True)}
        for run in range(runs):
            random = np.random.default_rng((30_000 + number, run))
            chances = random_logging(process, random)
            for lack, log in _plant(process, chances, here, rule, random).items():
                told = policy_value(log, policy, periods=SHORT).set_index("method")
                rows.append((kind, lack, bool(told.loc["doubly_robust", "reason"])))
    return pd.DataFrame(rows, columns=["processes", "planted", "refused"])


def _plant(
    process: Process, chances: np.ndarray, start: int, rule: np.ndarray, random: np.random.Generator
) -> dict[str, pd.DataFrame]:
    """Return logs from which the rule cannot be judged, by what they lack."""
    never = chances.copy()
    never[start, rule[start]] = 0
    never /= never.sum(axis=1, keepdims=True)
    live = np.diagonal(process.transitions, axis1=1, axis2=2).min(axis=0) < 1
    ahead = int((process.transitions[rule[start], start] * live).argmax())
    later = chances.copy()
    later[ahead, rule[ahead]] = 0
    later /= later.sum(axis=1, keepdims=True)
    rare = chances.copy()
    rare[:, :] = np.where(np.eye(len(process.actions))[rule] > 0, 0.002, chances)
    rare /= rare.sum(axis=1, keepdims=True)
    draw = lambda table: draw_journeys(process, table, start, JOURNEYS, SHORT, random)  # noqa: E731
    # Half of the partners never get the step; the log tells the chances of the other half.
    open_, closed = draw(chances), draw(never)
    hidden = pd.concat([open_[open_["partner_id"] % 2 == 0], closed[closed["partner_id"] % 2 == 1]])
    known = pd.Series(chances.ravel(), pd.MultiIndex.from_product([process.states, process.actions]))
    keys = pd.MultiIndex.from_frame(hidden[["stage", "action"]])
    unknown = draw(chances)
    unknown.loc[unknown.index % 50 == 0, "propensity"] = np.nan
    return {
        "the first step was never logged": closed,
        "a later step was never logged": draw(later),
        "the steps were logged with a chance of 0.002": draw(rare),
        "half of the partners never got the first step, and the log does not say so": hidden.assign(
            propensity=known[keys].to_numpy()
        ),
        "2% of the propensities are missing": unknown,
    }


def to_markdown(table: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|" + " --- |" * table.shape[1]]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False))])


def tell_gap(gaps: pd.DataFrame) -> str:
    table = gaps.groupby(["processes", "objective"])["gap"].agg(["size", "max"]).reset_index()
    return to_markdown(table.assign(max=table["max"].map("{:.1e}".format)).rename(columns={"max": "largest gap"}))


def tell_regret(regret: pd.DataFrame) -> str:
    rows = []
    for (kind, objective), own in regret.groupby(["processes", "objective"]):
        for name, who in {"solved": "solve_process", "route": "route 1 of find_routes"}.items():
            lost = own[name]
            within = f"{(lost <= 0.05).sum()} of {len(own)}"
            rows.append((kind, objective, who, f"{lost.mean():.2%}", f"{lost.max():.2%}", within))
    return to_markdown(pd.DataFrame(rows, columns=["processes", "objective", "by", "mean", "worst", "at most 5%"]))


def tell_coverage(told: pd.DataFrame) -> str:
    rows = []
    for (kind, policy, method), own in told.groupby(["processes", "policy", "method"], sort=False):
        kept = own[own["reason"] == ""]
        rows.append(
            (
                kind, policy, method, len(own), f"{1 - len(kept) / len(own):.1%}",
                f"{kept['held'].mean():.1%}" if len(kept) else "", f"{kept['width'].median():.1%}" if len(kept) else "",
                f"{kept['effective_n'].median():.0f}" if len(kept) else "",
            )
        )  # fmt: skip
    columns = [
        "processes", "policy follows", "method", "runs", "refused", "held", "median width", "effective n"
    ]  # fmt: skip
    return to_markdown(pd.DataFrame(rows, columns=columns))


def tell_refusals(refusals: pd.DataFrame) -> str:
    table = refusals.groupby(["processes", "planted"], sort=False)["refused"].agg(["size", "sum"]).reset_index()
    return to_markdown(table.rename(columns={"size": "logs", "sum": "refused"}))


def tell_held(routes: pd.DataFrame) -> str:
    table = routes.groupby(["processes", "routes"], sort=False)["held"].agg(["size", "mean"]).reset_index()
    return to_markdown(table.assign(mean=table["mean"].map("{:.1%}".format)).rename(columns={"mean": "held"}))


def tell_floor(floor: pd.DataFrame) -> str:
    table = floor.groupby(["processes", "objective"])["lost"].agg(["mean", "max"]).map("{:.2%}".format).reset_index()
    return to_markdown(table.rename(columns={"max": "worst"}))


def tell_logs(logs: pd.DataFrame) -> str:
    """One row a kind of log, objective and who; the interval is of the chance of route 1."""
    rows = []
    for (journeys, periods, objective, who), own in logs.groupby(["journeys", "periods", "objective", "by"]):
        lost, each = own["lost"], own.groupby("process")["lost"]
        within = f"{(lost <= 0.05).mean():.1%}"
        worst = f"{each.apply(lambda its: (its <= 0.05).mean()).min():.0%}"
        together = f"{(lost.groupby(each.cumcount()).max() <= 0.05).mean():.0%}"
        mean = f"{lost.mean():.2%}", f"{each.mean().max():.2%}", f"{lost.max():.1%}"
        held = f"{own['held'].mean():.1%}" if who.startswith("route") else ""
        rows.append((f"{journeys:,}", periods, objective, who, len(own), *mean, within, worst, together, held))
    columns = [
        "journeys", "periods", "objective", "by", "logs", "mean", "largest mean of a process", "worst log",
        "logs at most 5%", "least of a process", "all five", "interval held",
    ]  # fmt: skip
    return to_markdown(pd.DataFrame(rows, columns=columns))


def tell_learned() -> str:
    parts = []
    for logged in LOGGED:
        regret, routes = measure_regret(logged)
        parts.append(
            f"Journeys of {logged} periods\n\n{tell_regret(regret)}\n\n"
            f"Intervals (95%) that hold the true chance of the route\n\n{tell_held(routes)}"
        )
    return "\n\n".join(parts)


def write_result(
    runs: int,
    gaps: pd.DataFrame,
    learned: str,
    floor: pd.DataFrame,
    mistakes: pd.DataFrame,
    logs: pd.DataFrame,
    coverage: pd.DataFrame,
    refusals: pd.DataFrame,
) -> None:
    told = coverage[(coverage["method"] == "doubly_robust") & (coverage["reason"] == "")]
    each = told.groupby("process")["held"].mean()
    RESULT.write_text(
        f"""# Routes and the value of following them, 2026-11-22

`python benchmarks/routes.py {runs}`: 50 random processes and 5 like a partner programme.

## Solver against a linear program, {PERIODS} periods (relative to the largest value, at least 1)

{tell_gap(gaps)}

## What rules learned from {JOURNEYS:,} journeys lose of the true optimum over {PERIODS} periods, random logging policy

{learned}

What route 1 loses where nothing need be learned: one action a stage, whatever time is left

{tell_floor(floor)}

Where the partner-like ones lose most chance after journeys of 8 periods, if only the steps of that stage were learned

{to_markdown(mistakes)}

## The same over {runs} logs of each partner-like process, beside an oracle

The oracle knows the odds without a step and the table of effects, but not which action is which in a stage: it loses
what {JOURNEYS:,} journeys cannot tell. With ten times the journeys {max(runs // 5, 1)} logs a process.
`all five`: runs in which no process loses over 5%. All rules are judged over {PERIODS} periods.

{tell_logs(logs)}

## Value of a policy, {JOURNEYS:,} journeys of {SHORT} periods, {runs} logs a process

Of {len(told)} doubly robust values told, {told["held"].mean():.1%} have the truth within their interval.
{(each >= 0.9).sum()} of {len(each)} processes are at 90% or more, the worst at {each.min():.0%}.

{tell_coverage(coverage)}

## Overlap planted to be missing

{tell_refusals(refusals)}
"""
    )


if __name__ == "__main__":
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    learned = measure_gap(), tell_learned(), measure_floor(), find_mistakes(), measure_logs(runs)
    write_result(runs, *learned, measure_coverage(runs), measure_refusals(max(runs // 10, 1)))
