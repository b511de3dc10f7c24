import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from partnerseg.journey import capacity
from partnerseg.journey.capacity import choose_steps


def draw_world(seed, n, *, alike=False, room=0.25, n_actions=6):
    """n partners in five stages, six actions with owners and seats; alike: gains are those of action and stage."""
    random = np.random.default_rng(seed)
    stage = random.integers(0, 5, n)
    money = np.exp(9 + 0.5 * stage) if alike else random.lognormal(9, 1.5, n)
    effect = random.lognormal(-3, 0.7, (n_actions, 5))
    steps = pd.DataFrame([(partner, action) for partner in range(n) for action in range(n_actions)])
    steps = steps.set_axis(["partner_id", "action"], axis=1)
    here = stage[steps["partner_id"]]
    possible = random.random((n_actions, 5)) < 0.6
    steps["gain"] = effect[steps["action"], here] * money[steps["partner_id"]]
    for name, choices in {"hours": [0.1, 0.5, 1, 1.5, 4, 6], "cost": [1, 20, 60, 300, 800]}.items():
        steps[name] = random.choice(np.array(choices, dtype=float), n_actions)[steps["action"]]
    owner = random.integers(0, 2, n_actions)[steps["action"]]
    limits = {"hours": room * 2 * n, "cost": room * 200 * n}
    for role in range(2):
        steps[f"owner {role}"] = np.where(owner == role, steps["hours"], 0.0)
        limits[f"owner {role}"] = float(np.round(room * n * random.uniform(0.5, 2), 1))
    for action in range(n_actions):
        steps[f"seats {action}"] = (steps["action"] == action).astype(float)
        limits[f"seats {action}"] = float(int(room * n * random.uniform(0.2, 2)) + 1)
    return steps[possible[steps["action"], here]].reset_index(drop=True), limits


def take_greedily(steps, limits, order):
    left, done, taken = pd.Series(limits) * (1 + 1e-9), set(), np.zeros(len(steps), dtype=bool)
    uses, partner = steps[list(limits)].to_numpy(), steps["partner_id"].to_numpy()
    left = left.to_numpy()
    for row in order:
        if partner[row] not in done and (uses[row] <= left).all():
            taken[row], left = True, left - uses[row]
            done.add(partner[row])
    return taken


def solve_whole(steps, limits):
    partner, n = pd.factorize(steps["partner_id"])[0], len(steps)
    one_each = LinearConstraint(csr_array((np.ones(n), (partner, np.arange(n)))), -np.inf, 1)
    within = LinearConstraint(steps[list(limits)].to_numpy().T, -np.inf, list(limits.values()))
    found = milp(
        -steps["gain"].to_numpy(),
        integrality=np.ones(n),
        bounds=Bounds(0, 1),
        constraints=[one_each, within],
        options={"mip_rel_gap": 1e-9},
    )
    return -found.fun


def check_feasible(steps, limits, taken):
    assert steps.loc[taken, "partner_id"].is_unique
    for name, limit in limits.items():
        assert steps.loc[taken, name].sum() <= limit * (1 + 1e-8)


@pytest.mark.parametrize("seed", range(40))
def test_no_choice_is_better_than_the_one_made(seed):
    """Against every choice for five partners with two steps each, half of the worlds with many equal gains."""
    random = np.random.default_rng(seed)
    steps = pd.DataFrame(
        {
            "partner_id": np.repeat([f"p{number}" for number in range(5)], 2),
            "hours": random.choice([0.5, 1.0, 1.3, 2.0, 4.0], 10),
            "cost": random.choice([0.0, 10.0, 17.7, 60.0], 10),
            "gain": random.choice([1.0, 2.0, 3.0], 10) if seed % 2 else random.lognormal(3, 1, 10),
        }
    )
    limits = {"hours": random.uniform(0, 8), "cost": random.uniform(0, 150)}
    best = 0.0
    for picks in itertools.product([None, 0, 1], repeat=5):
        rows = [2 * partner + pick for partner, pick in enumerate(picks) if pick is not None]
        own = steps.iloc[rows]
        if own["hours"].sum() <= limits["hours"] and own["cost"].sum() <= limits["cost"]:
            best = max(best, own["gain"].sum())
    choice = choose_steps(steps, limits)
    check_feasible(steps, limits, choice.taken)
    assert choice.value == pytest.approx(best, rel=1e-9) and choice.bound == pytest.approx(best, rel=1e-6)
    assert choice.value == pytest.approx(steps.loc[choice.taken, "gain"].sum())


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("alike", [False, True])
def test_it_is_as_good_as_the_whole_integer_program(seed, alike):
    """60 partners, ten limits of four kinds; every choice is proven to be the best."""
    steps, limits = draw_world(seed, 60, alike=alike)
    choice = choose_steps(steps, limits)
    check_feasible(steps, limits, choice.taken)
    assert choice.value == pytest.approx(solve_whole(steps, limits), rel=1e-8)
    assert choice.bound == pytest.approx(choice.value, rel=1e-6)


def test_it_is_never_below_greedy_choice_and_above_it_or_proven_best():
    """50 worlds of 120 partners, against largest gain first and most gain for the scarcest use."""
    better = 0
    for seed in range(50):
        steps, limits = draw_world(100 + seed, 120, alike=seed % 3 == 0, room=(0.05, 0.15, 0.3, 0.6, 3.0)[seed % 5])
        choice = choose_steps(steps, limits)
        check_feasible(steps, limits, choice.taken)
        gain, shares = steps["gain"].to_numpy(), steps[list(limits)].to_numpy() / np.array(list(limits.values()))
        greedy = [
            gain[take_greedily(steps, limits, np.argsort(-rank, kind="stable"))].sum()
            for rank in (gain, gain / shares.max(axis=1))
        ]
        assert choice.value >= max(greedy) * (1 - 1e-12)
        assert choice.bound >= choice.value
        better += choice.value > greedy[0] * (1 + 1e-9)
        if choice.bound > choice.value * (1 + 1e-9):  # not proven to be the best: at least better than greedy choice
            assert choice.value > greedy[0]
        if seed % 5 == 4:  # room for everybody's best step but for seats
            assert choice.value <= steps.groupby("partner_id")["gain"].max().sum() * (1 + 1e-9)
    assert better >= 30  # of 40 in which hours and money bind; in the others largest gain first is the best there is


def test_prices_bound_every_choice():
    for seed in range(10):
        steps, limits = draw_world(seed, 80)
        choice = choose_steps(steps, limits)
        assert (choice.prices >= 0).all()
        reduced = steps["gain"] - steps[list(limits)].to_numpy() @ choice.prices.to_numpy()
        best = reduced.groupby(steps["partner_id"]).max().clip(lower=0).sum()
        bound = best + (choice.prices * pd.Series(limits)).sum()
        assert choice.bound <= bound * (1 + 1e-9) and choice.bound >= choice.value
        assert bound <= choice.value * 1.1


def test_thousands_alike_are_chosen_as_fast_as_a_few(monkeypatch):
    """20,000 partners with five kinds of rows make five groups, and the choice is proven to be the best."""
    steps, limits = draw_world(3, 20_000, alike=True)
    seen = []
    whole = capacity._solve
    monkeypatch.setattr(capacity, "_solve", lambda problem: seen.append(len(problem.size)) or whole(problem))
    choice = choose_steps(steps, limits)
    check_feasible(steps, limits, choice.taken)
    assert seen == [5]
    assert choice.bound <= choice.value * (1 + 1e-6)


def test_many_different_partners_come_close_to_the_bound():
    steps, limits = draw_world(5, 3_000)
    limits = {name: limit for name, limit in limits.items() if not name.startswith("seats")}
    choice = choose_steps(steps, limits)
    check_feasible(steps, limits, choice.taken)
    assert choice.value <= choice.bound <= choice.value * 1.0005


def test_a_limit_of_nothing_and_none():
    steps = pd.DataFrame({"partner_id": ["a", "b"], "gain": [5.0, 3.0], "hours": [1.0, 0.0]})
    assert choose_steps(steps, {"hours": 0.0}).taken.tolist() == [False, True]
    assert choose_steps(steps, {"hours": np.inf}).taken.tolist() == [True, True]
    assert choose_steps(steps, {}).taken.tolist() == [True, True]
    assert not choose_steps(steps.assign(gain=[-1.0, 0.0]), {"hours": 9.0}).taken.any()
    empty = choose_steps(steps.iloc[:0], {"hours": 9.0})
    assert not len(empty.taken) and empty.value == empty.bound == 0


def test_sums_of_decimals_may_reach_a_limit():
    steps = pd.DataFrame({"partner_id": range(10), "gain": 1.0, "hours": 0.1})
    assert choose_steps(steps, {"hours": 1.0}).value == 10
    assert choose_steps(steps, {"hours": 0.99}).value == 9


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("use", [1e-320, 1e-200, 1e-12, 1e-7, 1e20])
def test_tiny_and_huge_uses_are_told_apart_without_a_warning(use):
    steps = pd.DataFrame({"partner_id": range(10), "gain": np.arange(1.0, 11), "hours": use})
    choice = choose_steps(steps, {"hours": 3.5 * use})
    assert choice.taken.tolist() == [False] * 7 + [True] * 3
    mixed = choose_steps(steps.assign(hours=[use, *[1.0] * 9]), {"hours": 5.0})
    both = steps.assign(hours=1.0, cost=[1.0] * 5 + [use] * 5)
    assert choose_steps(both, {"hours": 4.5, "cost": max(3.5, 4.5 * use)}).value == 10 + 9 + 8 + 7
    assert mixed.value == (41 if use <= 1e-12 else 40)


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 5), st.floats(0, 1e6), st.floats(0, 50), st.floats(0, 900)), min_size=1, max_size=14
    ),
    hours=st.floats(0, 120),
    cost=st.floats(0, 2000),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_no_limit_is_ever_broken(rows, hours, cost):
    steps = pd.DataFrame(rows, columns=["partner_id", "gain", "hours", "cost"])
    limits = {"hours": hours, "cost": cost}
    choice = choose_steps(steps, limits)
    check_feasible(steps, limits, choice.taken)
    order = np.argsort(-steps["gain"].to_numpy(), kind="stable")
    greedy = steps.loc[take_greedily(steps, limits, order), "gain"].sum()
    assert greedy * (1 - 1e-9) <= choice.value <= choice.bound


@pytest.mark.parametrize(
    ("rows", "limits", "message"),
    [
        ({"gain": [1.0], "hours": [1.0]}, {"hours": -1.0}, r"limits\['hours'\] == -1.0, must be >= 0"),
        ({"gain": [np.nan], "hours": [1.0]}, {"hours": 1.0}, "gain of row 0 is missing"),
        ({"gain": [np.inf], "hours": [1.0]}, {"hours": 1.0}, "gain of row 0 == inf, must be finite"),
        ({"gain": [1.0], "hours": [-2.0]}, {"hours": 1.0}, r"hours of row 0 == -2.0, must be >= 0"),
    ],
)
def test_wrong_input_is_refused(rows, limits, message):
    with pytest.raises(ValueError, match=message):
        choose_steps(pd.DataFrame({"partner_id": ["a"], **rows}), limits)
