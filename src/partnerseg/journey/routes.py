"""Routes: the likeliest way from one stage to another."""

import heapq
from itertools import pairwise

import pandas as pd


def find_route(steps: pd.DataFrame, start: str, to: str) -> list[tuple[str, str]]:
    """Find the way with the highest product of chances, by Dijkstra's algorithm on their logarithms.

    Args:
        steps: One row a possible step, with `stage`, `next_stage` and `chance` (0-1). Steps whose chance
            is missing or 0 cannot be taken.
        start: Stage to start from.
        to: Stage to reach.

    Returns:
        The steps in order as pairs (stage, next stage); empty when there is no way or start is the end.
        Of two equally likely ways the one with fewer steps, then the first in the alphabet.

    References:
        Dijkstra (1959), A note on two problems in connexion with graphs.

    Example:
        >>> steps = pd.DataFrame(
        ...     {"stage": ["a", "b", "a"], "next_stage": ["b", "c", "c"], "chance": [0.8, 0.5, 0.3]}
        ... )
        >>> find_route(steps, "a", "c")
        [('a', 'b'), ('b', 'c')]
    """
    open_steps = steps[steps["chance"] > 0]
    onward: dict[str, list[tuple[str, float]]] = {}
    for stage, next_stage, chance in zip(
        open_steps["stage"], open_steps["next_stage"], open_steps["chance"], strict=True
    ):
        onward.setdefault(stage, []).append((next_stage, float(chance)))
    # The heap is ordered by minus the chance of the whole way, its number of steps, its stages.
    ways: list[tuple[float, int, tuple[str, ...]]] = [(-1.0, 0, (start,))]
    reached: set[str] = set()
    while ways:
        minus_chance, length, way = heapq.heappop(ways)
        here = way[-1]
        if here == to:
            return list(pairwise(way))
        if here in reached:
            continue
        reached.add(here)
        for next_stage, chance in onward.get(here, []):
            if next_stage not in reached:
                heapq.heappush(ways, (minus_chance * chance, length + 1, (*way, next_stage)))
    return []
