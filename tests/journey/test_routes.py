import itertools
import math

import numpy as np
import pandas as pd
import pytest

from partnerseg.journey.routes import find_route


def make_steps(*steps):
    return pd.DataFrame(steps, columns=["stage", "next_stage", "chance"])


def test_the_product_of_chances_decides_not_the_number_of_steps():
    steps = make_steps(("a", "b", 0.9), ("b", "c", 0.9), ("a", "c", 0.8))
    assert find_route(steps, "a", "c") == [("a", "b"), ("b", "c")]  # 0.81 > 0.8


def test_steps_without_a_chance_are_not_taken():
    steps = make_steps(("a", "c", 0.0), ("a", "b", np.nan), ("b", "c", 1.0))
    assert find_route(steps, "a", "c") == []


def test_no_steps_are_needed_to_stay():
    assert find_route(make_steps(("a", "b", 0.5)), "a", "a") == []


def test_loops_do_no_harm():
    steps = make_steps(("a", "b", 1.0), ("b", "a", 1.0), ("b", "c", 0.1))
    assert find_route(steps, "a", "c") == [("a", "b"), ("b", "c")]


@pytest.mark.parametrize("seed", range(20))
def test_no_other_way_is_likelier(seed):
    """Against all ways without repetition in a random graph of six stages."""
    random = np.random.default_rng(seed)
    names = list("abcdef")
    chance = {
        (here, there): float(random.uniform(0.05, 0.95))
        for here, there in itertools.permutations(names, 2)
        if random.uniform() < 0.5
    }
    ways = (
        ("a", *middle, "f") for size in range(5) for middle in itertools.permutations("bcde", size)
    )  # fmt: skip
    best = max(math.prod(chance.get(step, 0.0) for step in itertools.pairwise(way)) for way in ways)
    found = find_route(make_steps(*((here, there, p) for (here, there), p in chance.items())), "a", "f")
    assert math.prod(chance[step] for step in found) * bool(found) == pytest.approx(best)
