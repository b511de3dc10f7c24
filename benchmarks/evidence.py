"""How often segments are claimed where there are none, where four are planted, and in one curved or skewed cloud.

python benchmarks/evidence.py [NULL_SETS] [PLANTED_SETS] [CURVED_SETS]

NULL_SETS of each family without segments (200 if not given), PLANTED_SETS of each arrangement and separation, and
CURVED_SETS of each shape (50 if not given) go through `learn_encoding(...).encode(...)` and `weigh_evidence`, as in
`PartnerSegmenter`. Rows and columns change from set to set: 100 to 1,000 rows and 2 to 12 columns without segments.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from partnerseg.segments.encoding import learn_encoding
from partnerseg.segments.evidence import Evidence, weigh_evidence

SHAPES = ("one cloud", "not one round cloud", "separate segments")
Draw = Callable[[int, int, np.random.Generator], np.ndarray | pd.DataFrame]


def draw_correlated(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a Gaussian cloud of random correlations."""
    root = rng.normal(size=(columns, columns)) / np.sqrt(columns) + 0.5 * np.eye(columns)
    return rng.normal(size=(rows, columns)) @ root


def draw_mixed(rows: int, columns: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw numbers, flags, texts and money that correlate, from one Gaussian cloud."""
    cloud = draw_correlated(rows, columns, rng)
    frame = pd.DataFrame(cloud, columns=[f"x{place}" for place in range(columns)])
    for place, name in enumerate(frame):
        values = cloud[:, place] / cloud[:, place].std()
        if place % 4 == 1:
            frame[name] = (values > rng.uniform(-0.7, 0.7)).astype(float)
        if place % 4 == 2:
            levels = int(rng.integers(2, 6))
            cuts = np.quantile(values, np.arange(1, levels) / levels)
            frame[name] = ["caebdf"[level] for level in np.digitize(values, cuts)]
        if place % 4 == 3:
            frame[name] = np.exp(values)
    return frame


NULLS: dict[str, Draw] = {
    "Gaussian": lambda n, p, rng: rng.normal(size=(n, p)),
    "correlated": draw_correlated,
    "t3": lambda n, p, rng: draw_correlated(n, p, rng) / np.sqrt(rng.chisquare(3, size=(n, 1)) / 3),
    "t3, independent": lambda n, p, rng: rng.standard_t(3, size=(n, p)),
    "lognormal": lambda n, p, rng: np.exp(draw_correlated(n, p, rng)),
    "uniform": lambda n, p, rng: rng.uniform(size=(n, p)),
    "zero-inflated counts": lambda n, p, rng: (
        rng.poisson(np.exp(0.8 * draw_correlated(n, p, rng))) * (rng.uniform(size=(n, p)) < 0.6).astype(float)
    ),
    "correlated mixed types": draw_mixed,
    "rounded values": lambda n, p, rng: np.round(draw_correlated(n, p, rng) * rng.choice([0.7, 1, 2, 5], p)),
    "one long Gaussian": lambda n, p, rng: rng.normal(size=(n, p)) * np.array([8.0] + [1.0] * (p - 1)) @ _turn(p, rng),
}


def draw_curved(kind: str, rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one curved or skewed cloud; columns beyond its own are noise."""
    noise = rng.normal(size=(rows, 2))
    along = rng.uniform(0, np.pi, rows)
    if kind == "rotated exponential":
        return rng.exponential(size=(rows, columns)) @ _turn(columns, rng)
    if kind == "rotated lognormal":
        return np.exp(0.8 * rng.normal(size=(rows, columns))) @ _turn(columns, rng)
    if kind.startswith("banana"):
        thickness = {"banana, thin": 0.1, "banana": 0.5}[kind]
        cloud = np.column_stack([noise[:, 0], noise[:, 0] ** 2 + thickness * noise[:, 1]])
    elif kind == "funnel":
        cloud = np.column_stack([noise[:, 0], np.exp(0.75 * noise[:, 0]) * noise[:, 1]])
    elif kind == "cross":
        cloud = np.where(rng.integers(2, size=(rows, 1)), noise * [2, 0.2], noise * [0.2, 2])
    else:
        length, thickness = {
            "half-moon, thin": (1.0, 0.05),
            "half-moon": (1.0, 0.15),
            "three quarters of a ring": (1.5, 0.1),
            "ring": (2.0, 0.1),
        }[kind]
        cloud = np.column_stack([np.cos(length * along), np.sin(length * along)]) + thickness * noise
    return np.hstack([cloud, cloud.std() * rng.normal(size=(rows, columns - 2))])


CURVED = (
    "banana",
    "banana, thin",
    "half-moon",
    "half-moon, thin",
    "three quarters of a ring",
    "ring",
    "funnel",
    "cross",
    "rotated exponential",
    "rotated lognormal",
)


def place_centers(arrangement: str, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Place four centers whose nearest are 1 apart."""
    centers = np.zeros((4, columns))
    if arrangement.startswith("grid"):
        centers[:, :2] = [[0, 0], [0, 1], [1, 0], [1, 1]]
    elif arrangement == "line":
        centers[:, 0] = range(4)
    elif arrangement == "simplex":
        centers[:, :3] = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(8)
    else:
        centers = rng.normal(size=(4, columns))
        gaps = np.linalg.norm(centers[:, None] - centers, axis=2)
        centers /= gaps[gaps > 0].min()
    return centers @ _turn(columns, rng) if arrangement.endswith("turned") else centers


def draw_planted(arrangement: str, apart: float, rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Draw four round segments, so many standard deviations apart."""
    shares = [0.4, 0.3, 0.2, 0.1] if "unequal" in arrangement else [0.25] * 4
    centers = apart * place_centers(arrangement, columns, rng)
    return centers[rng.choice(4, size=rows, p=shares)] + rng.normal(size=(rows, columns))


PLANTED = (
    ("grid", 300, 2),
    ("grid", 300, 6),
    ("grid", 600, 10),
    ("grid, turned", 300, 6),
    ("grid, unequal", 300, 2),
    ("grid, unequal", 600, 6),
    ("simplex", 300, 3),
    ("simplex", 300, 6),
    ("simplex", 600, 10),
    ("random directions", 300, 2),
    ("random directions", 300, 6),
    ("line", 300, 2),
    ("line", 600, 6),
)


def weigh(data: np.ndarray | pd.DataFrame, seed: int) -> Evidence:
    """Weigh data as the segmenter does."""
    frame = pd.DataFrame(data)
    frame.columns = [f"x{place:02d}" for place in range(frame.shape[1])]
    encoding = learn_encoding(frame)
    coordinates = encoding.encode(frame)
    order = np.argsort(pd.util.hash_pandas_object(pd.DataFrame(coordinates), index=False), kind="stable")
    return weigh_evidence(coordinates[order], random_state=seed, owners=encoding.owners)


def tell_row(group: str, name: str, found: list[Evidence]) -> str:
    """Write a table row: the claimed share with its 95% interval, and how often each shape was seen."""
    claimed = sum(evidence.found for evidence in found)
    interval = binomtest(claimed, len(found)).proportion_ci(method="wilson")
    counts = [sum(evidence.shape == shape for evidence in found) for shape in SHAPES]
    return (
        f"| {group} | {name} | {len(found)} | {claimed / len(found):.1%} ({interval.low:.1%}-{interval.high:.1%}) | "
        + " | ".join(map(str, counts))
        + " |"
    )


def _turn(columns: int, rng: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(columns, columns)))[0]


def main(null_sets: int = 200, planted_sets: int = 50, curved_sets: int = 50) -> None:
    """Weigh all sets, print the table and write it."""
    start, weighed = time.process_time(), 0
    lines = [f"| data | | sets | claimed (95% interval) | {' | '.join(SHAPES)} |", "| --- " * 7 + "|"]
    print("\n".join(lines), flush=True)

    def add(group: str, name: str, sets: int, draw: Callable[[np.random.Generator], np.ndarray | pd.DataFrame]) -> None:
        found = [weigh(draw(np.random.default_rng([seed, len(lines)])), seed) for seed in range(sets)]
        lines.append(tell_row(group, name, found))
        print(lines[-1], flush=True)
        nonlocal weighed
        weighed += sets

    for name, draw in NULLS.items():
        add(
            "no segments",
            name,
            null_sets,
            lambda rng, draw=draw: draw(int(rng.choice([100, 200, 300, 600, 1000])), int(rng.integers(2, 13)), rng),
        )
    for apart in (4.0, 6.0):
        for arrangement, rows, columns in PLANTED:
            name = f"{arrangement}, {apart:.0f} sd apart, {rows} x {columns}"
            add(
                "four segments",
                name,
                planted_sets,
                lambda rng, a=arrangement, d=apart, n=rows, p=columns: draw_planted(a, d, n, p, rng),
            )
    for kind in CURVED:
        add(
            "one cloud",
            kind,
            curved_sets,
            lambda rng, kind=kind: draw_curved(kind, int(rng.choice([200, 500])), int(rng.integers(2, 7)), rng),
        )
    lines.append(f"\n{(time.process_time() - start) / weighed:.2f} s of CPU a set on one core.")
    print(lines[-1])
    results = Path(__file__).parent / "results" / "2026-11-22-evidence.md"
    results.write_text("# " + (__doc__ or "").split("\n")[0] + "\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
