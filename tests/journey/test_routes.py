import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from partnerseg.journey.routes import Process, estimate_process, find_routes, solve_process


def make_decisions(*counts):
    """Counts as (stage, action, next stage, times)."""
    rows = [(here, action, there) for here, action, there, times in counts for _ in range(times)]
    return pd.DataFrame(rows, columns=["stage", "action", "next_stage"])


def make_process(states, chances, *, rewards=None, costs=None, seen=1_000, period_days=90):
    """A process from {(action, stage): {next stage: chance}}; what is not in there was never seen."""
    actions = sorted({action for action, _ in chances}, key=lambda name: (name != "none", name))
    shape = (len(actions), len(states))
    transitions, counts = np.full((*shape, len(states)), np.nan), np.zeros(shape, dtype=int)
    for (action, stage), after in chances.items():
        place = actions.index(action), states.index(stage)
        transitions[place] = [after.get(state, 0.0) for state in states]
        counts[place] = seen
    earned = np.zeros(shape) if rewards is None else np.tile([float(rewards[s]) for s in states], (len(actions), 1))
    spent = np.tile([[float((costs or {}).get(action, 0))] for action in actions], (1, len(states)))
    return Process(tuple(states), tuple(actions), transitions, counts, earned, spent, period_days)


def make_random_process(seed, states=6, actions=4):
    random = np.random.default_rng(seed)
    transitions = random.dirichlet(np.full(states, 0.5), (actions, states))
    transitions[:, states - 2] = np.eye(states)[states - 2]
    names = tuple("abcdefgh"[:states])
    kinds = ("none", "call", "visit", "webinar", "audit")[:actions]
    rewards, costs = random.uniform(0, 9, (actions, states)), random.uniform(0, 3, (actions, states))
    return Process(names, kinds, transitions, np.full((actions, states), 100), rewards, costs, 90)


LADDER = make_process(
    ["a", "b", "c", "out"],
    {
        ("none", "a"): {"a": 0.7, "b": 0.2, "out": 0.1},
        ("call", "a"): {"a": 0.5, "b": 0.4, "out": 0.1},
        ("webinar", "a"): {"a": 0.4, "b": 0.5, "out": 0.1},
        ("harm", "a"): {"a": 0.8, "b": 0.1, "out": 0.1},
        ("none", "b"): {"b": 0.6, "a": 0.1, "c": 0.3},
        ("call", "b"): {"b": 0.3, "a": 0.1, "c": 0.6},
        ("none", "c"): {"c": 1.0},
    },
    rewards={"a": 0, "b": 10, "c": 100, "out": 0},
    costs={"call": 5, "webinar": 30, "harm": 1},
)


def test_the_process_is_what_was_counted():
    decisions = make_decisions(("a", "none", "a", 600), ("a", "none", "b", 400), ("a", "call", "b", 1_000))
    process = estimate_process(decisions, ["a", "b"], period_days=30)
    assert process.actions == ("none", "call")
    assert process.counts.tolist() == [[1_000, 0], [1_000, 0]]
    assert process.transitions[:, 0, 1] == pytest.approx([0.4, 1.0], abs=0.02)
    assert np.isnan(process.transitions[:, 1]).all()


def test_nothing_is_told_of_what_was_seen_too_seldom_or_not_followed():
    decisions = make_decisions(("a", "none", "b", 50), ("a", "call", "b", 9), ("a", "visit", "b", 10))
    unfollowed = pd.DataFrame({"stage": "a", "action": "call", "next_stage": [None] * 5})
    process = estimate_process(pd.concat([decisions, unfollowed]), ["a", "b"], period_days=30)
    assert np.isnan(process.transitions[process.actions.index("call"), 0]).all()
    assert process.transitions[process.actions.index("visit"), 0, 1] == pytest.approx(1)


def test_where_nobody_was_seen_to_go_the_chance_is_none():
    """From dormant all come back to a, whatever is done, and from a nobody goes further than b."""
    counts = [("a", "none", "a", 400), ("a", "none", "b", 90), ("a", "none", "dormant", 90)]
    counts += [("dormant", "none", "dormant", 300), ("dormant", "none", "a", 3), ("dormant", "call", "a", 40)]
    counts += [("b", "none", "b", 50), ("c", "none", "c", 50)]
    process = estimate_process(make_decisions(*counts), ["a", "b", "c", "dormant"], period_days=90)
    told = process.transitions[~np.isnan(process.transitions).any(axis=2)]
    assert told.sum(axis=1) == pytest.approx(1, abs=1e-15)
    assert not ((told > 0) & (told < 1e-9)).any()
    place = process.states.index
    assert (np.nan_to_num(process.transitions)[:, place("dormant"), [place("b"), place("c")]] == 0).all()
    # A call may lead to staying, though nobody was seen to: those without one did.
    assert 0 < process.transitions[1, place("dormant"), place("dormant")] < 0.1
    routes = find_routes(process, "dormant", to="c", within_days=900)
    assert routes["reason"].tolist() == ["nobody was seen to reach c from dormant within 10 periods"]
    assert find_routes(process, "dormant", to="b")["reason"].tolist()[0] == ""


@pytest.mark.filterwarnings("error")
def test_a_process_of_no_decisions_tells_nothing():
    process = estimate_process(make_decisions(), ["a", "b"], period_days=30)
    assert process.actions == () and process.transitions.shape == (0, 2, 2)
    unfollowed = pd.DataFrame({"stage": "a", "action": "none", "next_stage": [None] * 5})
    assert np.isnan(estimate_process(unfollowed, ["a", "b"], period_days=30).transitions).all()


def test_few_decisions_are_drawn_toward_the_stage_and_many_are_not():
    others = [("a", f"x{place}", after, 500) for place in range(5) for after in ("a", "b")]
    few = estimate_process(make_decisions(*others, ("a", "call", "b", 12)), ["a", "b"], period_days=30)
    many = estimate_process(make_decisions(*others, ("a", "call", "b", 1_200)), ["a", "b"], period_days=30)
    found = [process.transitions[process.actions.index("call"), 0, 1] for process in (few, many)]
    assert 0.5 < found[0] < 0.98 < found[1] <= 1


@pytest.mark.parametrize("seed", range(5))
def test_shrunk_chances_are_nearer_the_truth_than_shares(seed):
    """20 actions, 30 decisions each, of which only two differ from the others."""
    random = np.random.default_rng(seed)
    truth = np.full(20, 0.3)
    truth[:2] = 0.7
    moved = random.binomial(30, truth)
    names = [f"x{place:02}" for place in range(20)]
    counts = [(name, after, n) for name, k in zip(names, moved, strict=True) for after, n in (("b", k), ("a", 30 - k))]
    process = estimate_process(
        make_decisions(*(("a", name, after, n) for name, after, n in counts)), ["a", "b"], period_days=30
    )
    shrunk = process.transitions[[process.actions.index(name) for name in names], 0, 1]
    assert ((shrunk - truth) ** 2).sum() < 0.9 * ((moved / 30 - truth) ** 2).sum()


def test_rows_sum_to_one_and_their_order_is_irrelevant():
    random = np.random.default_rng(0)
    decisions = pd.DataFrame({name: random.choice(list("abcd"), 3_000) for name in ("stage", "next_stage")})
    decisions["action"] = random.choice(["none", "call", "visit"], 3_000)
    decisions["value_before"] = random.gamma(2, 50, 3_000)
    decisions["value_after"] = random.gamma(2, 50, 3_000)
    one = estimate_process(decisions, list("abcd"), period_days=30)
    other = estimate_process(decisions.sample(frac=1, random_state=1), list("abcd"), period_days=30)
    assert one.transitions.sum(axis=2) == pytest.approx(1)
    assert one.transitions == pytest.approx(other.transitions)
    assert one.rewards == pytest.approx(other.rewards)


def test_money_of_the_period_before_is_held_equal():
    """Calls go to partners with much money before, and add 10."""
    random = np.random.default_rng(0)
    called = random.uniform(size=4_000) < 0.5
    before = random.normal(100, 10, 4_000) + 50 * called
    decisions = pd.DataFrame({"stage": "a", "next_stage": "a", "action": np.where(called, "call", "none")})
    decisions = decisions.assign(value_before=before, value_after=before + 10 * called + random.normal(0, 5, 4_000))
    process = estimate_process(decisions, ["a"], period_days=30)
    assert process.rewards[1, 0] - process.rewards[0, 0] == pytest.approx(10, abs=1)


def test_costs_come_from_the_log_and_then_from_what_is_given():
    decisions = make_decisions(("a", "none", "a", 20), ("a", "call", "b", 20), ("a", "visit", "b", 20))
    decisions["cost"] = np.where(decisions["action"] == "call", 7.0, np.nan)
    process = estimate_process(decisions, ["a", "b"], period_days=30, costs={"call": 1.0})
    assert process.costs[:2, 0].tolist() == [0.0, 7.0]
    assert np.isnan(process.costs[2, 0])


# Solving


def solve_by_program(process, objective, to, periods):
    """The same by linear programming (HiGHS): the least values that no action betters."""
    actions, states = process.counts.shape
    target = process.states.index(to)
    rows, limits, bounds = [], [], []
    for left, state in itertools.product(range(periods + 1), range(states)):
        reached = state == target and objective != "value"
        if left == 0 or reached:
            bounds.append((float(reached and objective == "chance"),) * 2)
            continue
        bounds.append((None, None))
        for action in range(actions):
            row = np.zeros((periods + 1, states))
            row[left - 1] = process.transitions[action, state]
            row[left, state] = -1
            rows.append(row.ravel())
            gain = process.rewards[action, state] - process.costs[action, state]
            limits.append(-{"chance": 0.0, "time": -1.0, "value": gain}[objective])
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found = linprog(np.ones(len(bounds)), A_ub=np.array(rows), b_ub=limits, bounds=bounds, options=tight)
    return found.x[-states:]


@pytest.mark.parametrize("objective", ["chance", "time", "value"])
@pytest.mark.parametrize("seed", range(4))
def test_no_linear_program_finds_better(seed, objective):
    process = make_random_process(seed)
    told = solve_process(process, objective=objective, to="f", periods=5).values.iloc[-1].to_numpy()
    told = -told / process.period_days if objective == "time" else told
    assert told == pytest.approx(solve_by_program(process, objective, "f", 5), abs=1e-6)


def test_solution_worked_by_hand():
    """Two periods to c: only call, then call: 0.5 by webinar and 0.6; values with one period left are 0 and 0.6."""
    solution = solve_process(LADDER, to="c", periods=2)
    assert solution.values.loc[1].tolist() == [0, 0.6, 1, 0]
    assert solution.values.loc[2, "a"] == pytest.approx(0.5 * 0.6)
    assert solution.rules.loc[2].tolist()[:2] == ["webinar", "call"]
    assert solution.rules.loc[2, ["c", "out"]].isna().all()
    days = solve_process(LADDER, objective="time", to="c", periods=2).values
    assert days.loc[2, "b"] == pytest.approx(90 * (1 + 0.4))
    assert days.loc[2, "out"] == 180
    money = solve_process(LADDER, objective="value", periods=1, discount=0.5)
    assert money.values.loc[1].tolist() == [0, 10, 100, 0]
    # One period earlier a call in b brings 10 - 5 + 0.5 x (0.3 x 10 + 0.6 x 100), none 10 + 0.5 x 36.
    twice = solve_process(LADDER, objective="value", periods=2, discount=0.5)
    assert twice.values.loc[2, "b"] == pytest.approx(36.5)


def test_of_equal_actions_the_cheaper_is_taken():
    process = make_process(
        ["a", "b"], {("none", "a"): {"b": 0.5, "a": 0.5}, ("call", "a"): {"b": 0.5, "a": 0.5}}, costs={"none": 2}
    )
    assert solve_process(process, to="b", periods=3).rules.loc[3, "a"] == "call"


def test_money_that_is_not_known_is_said():
    process = make_process(["a", "b"], {("none", "a"): {"b": 1.0}, ("call", "a"): {"b": 1.0}}, costs={"call": np.nan})
    with pytest.raises(ValueError, match="cost of 'call' in 'a' is not known"):
        solve_process(process, objective="value", periods=2)


def find_chance(process, rules, start, to):
    """Return the true chance of rules, {periods left: {state: action}}, to reach a state."""
    value = np.array([float(state == to) for state in process.states])
    for _, rule in sorted(rules.items()):
        places = [process.actions.index(rule[state]) for state in process.states]
        after = (process.transitions[places, range(len(value))] * value).sum(axis=1)
        value = np.where([state == to for state in process.states], 1.0, after)
    return value[process.states.index(start)]


def test_rules_learned_from_decisions_lose_little_of_the_optimum():
    """20 processes, 200 decisions with each action in each state: at most 5% of the chance lost in each."""
    lost = []
    for seed in range(100, 120):
        truth, random = make_random_process(seed), np.random.default_rng(seed)
        counts = [
            (here, action, there, n)
            for place, action in enumerate(truth.actions)
            for own, here in enumerate(truth.states)
            for there, n in zip(truth.states, random.multinomial(200, truth.transitions[place, own]), strict=True)
        ]
        learned = estimate_process(make_decisions(*counts), truth.states, period_days=90)
        best, own = (
            solve_process(process, to="f", periods=6).rules.fillna("none").T.to_dict() for process in (truth, learned)
        )
        lost.append(1 - find_chance(truth, own, "a", "f") / find_chance(truth, best, "a", "f"))
    assert max(lost) <= 0.05


# Routes


def follow(process, rule, start, to, periods, n=40_000):
    """Return the share that reaches the target and the mean days, by drawing journeys."""
    random = np.random.default_rng(0)
    state, reached = np.full(n, process.states.index(start)), np.full(n, periods)
    for period in range(periods):
        for place in range(len(process.states)):
            here = np.flatnonzero(state == place)
            if process.states[place] == to or process.states[place] not in rule:
                continue
            chances = process.transitions[process.actions.index(rule[process.states[place]]), place]
            after = random.choice(len(chances), len(here), p=chances)
            state[here] = np.where(after == place, place, after + 100)
        state %= 100
        arrived = (state == process.states.index(to)) & (reached == periods)
        reached[arrived] = np.minimum(reached[arrived], period + 1)
    return (state == process.states.index(to)).mean(), reached.mean() * process.period_days


def read_rule(routes, number=1):
    return routes[routes["route"] == number].dropna(subset="action").set_index("stage")["action"].to_dict()


def test_the_best_route_turn_by_turn():
    routes = find_routes(LADDER, "a", to="c", within_days=360)
    best = routes[routes["route"] == 1]
    assert best[["step", "stage", "action", "next_stage"]].to_numpy().tolist() == [
        [1, "a", "webinar", "b"],
        [2, "b", "call", "c"],
    ]
    assert best["chance"].tolist() == pytest.approx([0.5 / 0.6, 0.6 / 0.7])
    assert best["days"].tolist() == pytest.approx([150, 90 / 0.7])
    chance, days = follow(LADDER, read_rule(routes), "a", "c", 4)
    assert best["route_chance"].iloc[0] == pytest.approx(chance, abs=0.01)
    assert best["route_days"].iloc[0] == pytest.approx(days, abs=3)
    assert (best["lower"] < best["route_chance"]).all() and (best["route_chance"] < best["upper"]).all()


def test_alternatives_differ_lose_something_and_never_harm():
    routes = find_routes(LADDER, "a", to="c", alternatives=9, within_days=360)
    first = routes[routes["step"] == 1].set_index("route")
    assert first["action"].tolist()[:2] == ["webinar", "call"] and "none" in set(first["action"])
    assert not (routes["action"] == "harm").any()
    assert first["loses"].iloc[0] == 0 and first["loses"].is_monotonic_increasing
    steps = [
        set(zip(own["stage"], own["action"], strict=True)) for _, own in routes.dropna(subset="step").groupby("route")
    ]
    for (one, own), (other, its) in itertools.combinations(enumerate(steps, start=1), 2):
        same_start = first.loc[one, "action"] == first.loc[other, "action"]
        assert not same_start or len(own & its) / max(len(own), len(its)) <= 0.5


def test_avoiding_costs_what_the_best_way_is_better_in():
    free = find_routes(LADDER, "a", to="c", within_days=360)
    bound = find_routes(LADDER, "a", to="c", avoid=["webinar"], within_days=360)
    assert "webinar" not in set(bound["action"].dropna())
    assert bound["avoiding_costs"].iloc[0] == pytest.approx(
        free["route_chance"].iloc[0] - bound["route_chance"].iloc[0]
    )
    assert (free["avoiding_costs"] == 0).all()


def test_an_action_is_avoided_when_all_its_channels_are():
    channels = {"webinar": ["video", "event"], "call": ["phone", "video"]}
    routes = find_routes(LADDER, "a", to="c", avoid=["video", "event"], within_days=360, channels=channels)
    assert read_rule(routes) == {"a": "call", "b": "call"}
    # Of one channel, told as a word: not as its letters.
    routes = find_routes(LADDER, "a", to="c", avoid="video", within_days=360, channels={"webinar": "video"})
    assert "webinar" not in set(routes["action"].dropna())


def test_an_avoided_stage_is_not_passed():
    process = make_process(
        ["a", "b", "c", "d"],
        {
            ("call", "a"): {"b": 0.9, "a": 0.1},
            ("visit", "a"): {"c": 0.5, "a": 0.5},
            ("none", "b"): {"d": 0.9, "b": 0.1},
            ("none", "c"): {"d": 0.5, "b": 0.1, "c": 0.4},
        },
    )
    assert find_routes(process, "a", to="d")["action"].iloc[0] == "call"
    routes = find_routes(process, "a", to="d", avoid=["b"])
    assert read_rule(routes) == {"a": "visit", "c": "none"}
    assert routes["avoiding_costs"].iloc[0] > 0


def test_stages_off_the_likeliest_way_are_told_too():
    process = make_process(
        ["a", "b", "dormant"],
        {
            ("none", "a"): {"b": 0.6, "dormant": 0.3, "a": 0.1},
            ("none", "dormant"): {"dormant": 0.9, "a": 0.1},
            ("call", "dormant"): {"dormant": 0.2, "a": 0.8},
        },
    )
    routes = find_routes(process, "a", to="b", alternatives=0)
    other = routes[routes["step"].isna()]
    assert other[["stage", "action"]].to_numpy().tolist() == [["dormant", "call"]]


def test_by_value_what_costs_more_than_it_brings_is_left():
    dear = make_process(
        ["a", "b"],
        {("none", "a"): {"a": 0.9, "b": 0.1}, ("call", "a"): {"a": 0.5, "b": 0.5}, ("none", "b"): {"b": 1.0}},
        rewards={"a": 0, "b": 10},
        costs={"call": 1_000},
    )
    by_chance = find_routes(dear, "a", to="b")
    assert read_rule(by_chance)["a"] == "call"
    by_value = find_routes(dear, "a", to="b", objective="value")
    assert read_rule(by_value)["a"] == "none"
    # Four periods, of which the first, second, ... are in b with chance 0, 0.1, 0.19, 0.271.
    assert by_value["route_value"].iloc[0] == pytest.approx(10 * (0.1 + 0.19 + 0.271))
    # A call in every period until b is reached.
    assert by_chance["route_cost"].iloc[0] == pytest.approx(1_000 * (1 + 0.5 + 0.25 + 0.125))


def test_where_no_route_can_be_told_the_reason_is():
    def reason(process, start, to, **options):
        routes = find_routes(process, start, to=to, **options)
        assert len(routes) == 1 and routes["route"].isna().all()
        return routes["reason"].iloc[0]

    never = make_process(["a", "b", "c"], {("none", "a"): {"a": 0.5, "b": 0.5}, ("none", "b"): {"b": 1.0}})
    assert reason(never, "a", "c") == "nobody was seen to reach c from a within 4 periods"
    assert reason(never, "c", "a") == "nothing is known of leaving c: no action was seen often enough"
    assert "already in b" in reason(never, "b", "b")
    assert "all actions seen there are to be avoided" in reason(never, "a", "b", avoid=["none"])
    assert "without what is to be avoided" in reason(LADDER, "a", "c", avoid=["b"])
    assert reason(LADDER, "a", "c", within_days=90) == "nobody was seen to reach c from a within 1 periods"


@pytest.mark.parametrize("objective", ["chance", "time", "value"])
@pytest.mark.parametrize("seed", range(6))
def test_no_step_of_a_route_is_unseen_and_none_beats_the_first(seed, objective):
    process, random = make_random_process(seed), np.random.default_rng(seed)
    hidden = random.uniform(size=process.counts.shape) < 0.4
    hidden[0] = False
    process.transitions[hidden] = np.nan
    routes = find_routes(process, "a", to="f", objective=objective, within_days=540)
    for stage, action in routes[["stage", "action"]].dropna().itertuples(index=False):
        assert not hidden[process.actions.index(action), process.states.index(stage)]
    assert (routes["loses"] >= -1e-9).all()
    best = solve_process(process, objective=objective, to="f", periods=6).values.loc[6, "a"]
    column = {"chance": "route_chance", "time": "route_days", "value": "route_value"}[objective]
    sign = -1 if objective == "time" else 1
    assert sign * routes[column].iloc[0] <= sign * best + 1e-9
    # One action a stage costs little against rules that change as time runs out.
    assert routes[column].iloc[0] == pytest.approx(best, rel=0.15)


def test_unknown_names_are_said_with_the_nearest():
    with pytest.raises(ValueError, match="avoid: 'Webinar' is not known; did you mean 'webinar'"):
        find_routes(LADDER, "a", to="c", avoid=["Webinar"])
    with pytest.raises(ValueError, match="avoid: 'webinars' is not known; did you mean 'webinar'"):
        find_routes(LADDER, "a", to="c", avoid=["webinars"])
    with pytest.raises(ValueError, match="to: 'strategic' is not known"):
        find_routes(LADDER, "a", to="strategic")
    with pytest.raises(ValueError, match="start: 'B' is not known; did you mean 'b'"):
        find_routes(LADDER, "B", to="c")
    with pytest.raises(ValueError, match="objective: 'chances' is not known; did you mean 'chance'"):
        find_routes(LADDER, "a", to="c", objective="chances")
    with pytest.raises(ValueError, match="objective: 'speed'"):
        solve_process(LADDER, to="c", objective="speed", periods=2)
    with pytest.raises(ValueError, match="must not be the state to reach"):
        find_routes(LADDER, "a", to="c", avoid=["c"])


def test_a_channel_is_known_where_channels_are_given():
    with pytest.raises(ValueError, match=r"avoid: 'video' is not known.*channels are known where `channels` is given"):
        find_routes(LADDER, "a", to="c", avoid="video")
    with pytest.raises(ValueError, match="avoid: 'VIDEO' is not known; did you mean 'video'") as error:
        find_routes(LADDER, "a", to="c", avoid="VIDEO", channels={"webinar": ["video"]})
    assert "is given" not in str(error.value)
    with pytest.raises(ValueError, match="avoid: 'video' is not known") as error:
        solve_process(LADDER, to="c", periods=2, avoid="video")  # it knows no channels
    assert "is given" not in str(error.value)


@pytest.mark.parametrize("days", [0, -90, 30, float("nan"), float("inf"), 360_090])
def test_days_that_are_no_number_of_periods_are_refused(days):
    with pytest.raises(ValueError, match=f"within_days == {days}, must be at least one period of 90 days and at most"):
        find_routes(LADDER, "a", to="c", within_days=days)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"level": 95}, "level == 95, must be above 0 and below 1"),
        ({"level": float("nan")}, "level == nan"),
        ({"alternatives": -1}, "alternatives == -1, must be >= 0"),
    ],
)
def test_options_out_of_range_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        find_routes(LADDER, "a", to="c", **options)


@pytest.mark.parametrize("periods", [0, float("nan"), float("inf")])
def test_periods_out_of_range_are_refused(periods):
    with pytest.raises(ValueError, match=f"periods == {periods}, must be from 1 to 4,000"):
        solve_process(LADDER, to="c", periods=periods)
    with pytest.raises(ValueError, match=f"period_days == {periods}, must be a number of days >= 1"):
        estimate_process(make_decisions(), ["a"], period_days=periods)
