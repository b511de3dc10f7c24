"""Exact rank intervals of 100,000 partners from 1,000 weight draws, against a loop of rankdata.

python benchmarks/rank_intervals.py [RUNS]

Every run is a process of its own: it imports and draws 100,000 partners with 30 factors, all known, and 1,000 sets of
weights from a Dirichlet distribution (not counted, for either way), then finds the 90% interval of every partner's
rank, all counted. `partnerseg` is `draw_rank_interval`, which draws the same weights itself, and that is counted.
`rankdata` is a loop over the draws of a matrix product, `np.round` to nine decimals and
`scipy.stats.rankdata(method="min")`, then `np.quantile` over the draws. Runs take turns; ratios are of one turn's pair,
given as the median with the least and the most. Peak memory is that of the whole process, the data included. A further
row is 10,000 draws, whose ranks do not fit into the memory allowed and are counted instead. Before the runs, the result
of both is compared rank by rank.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from partnerseg.rating.intervals import draw_rank_interval

RESULT = Path(__file__).parent / "results" / "2026-11-22-rank_intervals.md"
PARTNERS, FACTORS, DRAWS = 100_000, 30, 1_000
MANY = 10_000
SEED = 0


def make_points() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(SEED)
    return rng.uniform(0, 100, (PARTNERS, FACTORS)), rng.dirichlet(np.full(FACTORS, 5.0))


def draw_weights(weights: np.ndarray, draws: int) -> np.ndarray:
    """The weights that `draw_rank_interval` draws from this seed."""
    drawn = np.random.RandomState(SEED).standard_gamma(100 * weights, size=(draws, len(weights)))
    return drawn / drawn.sum(axis=1, keepdims=True)


def run_ours(points: np.ndarray, weights: np.ndarray, draws: int) -> np.ndarray:
    return np.stack(draw_rank_interval([points], weights, draws=draws, sources=("weights",), random_state=SEED))


def run_loop(points: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    ranks = np.empty((len(drawn), len(points)))
    for row, weights in zip(ranks, drawn, strict=True):
        row[:] = rankdata(-np.round(points @ weights, 9), method="min")
    return np.quantile(ranks, [0.05, 0.95], axis=0, method="inverted_cdf")


def run_child(way: str, draws: int, target: str) -> None:
    points, weights = make_points()
    drawn = draw_weights(weights, draws) if way == "rankdata" else weights
    start, before = time.perf_counter(), time.process_time()
    found = run_loop(points, drawn) if way == "rankdata" else run_ours(points, weights, draws)
    wall, cpu = time.perf_counter() - start, time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    if target:
        np.save(target, found.astype(np.int64))
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak}))


def measure(way: str, draws: int = DRAWS, target: str = "") -> dict[str, float]:
    threads = {name: "2" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")}
    command = [sys.executable, __file__, "--child", way, str(draws), target]
    output = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **threads}).stdout
    result = json.loads(output.splitlines()[-1])
    print(way, draws, {key: round(value, 3) for key, value in result.items()}, flush=True)
    return result


def compare() -> int:
    """Number of bounds, of 200,000, in which the two ways differ."""
    with tempfile.TemporaryDirectory() as folder:
        targets = [f"{folder}/{way}.npy" for way in ("partnerseg", "rankdata")]
        for target in targets:
            measure(Path(target).stem, DRAWS, target)
        ours, loop = (np.load(target) for target in targets)
    return int((ours != loop).sum())


def tell(values: list[float]) -> str:
    return f"{np.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def describe(way: str, draws: int, own: list[dict[str, float]]) -> str:
    wall, cpu, peak = (tell([result[key] for result in own]) for key in ("wall", "cpu", "peak"))
    return f"| {way} | {draws:,} | {wall} | {cpu} | {peak} |"


def main(runs: int) -> None:
    different = compare()
    pairs = [(measure("partnerseg"), measure("rankdata")) for _ in range(runs)]
    many = measure("partnerseg", MANY)
    faster = tell([loop["wall"] / ours["wall"] for ours, loop in pairs])
    saved = tell([loop["cpu"] / ours["cpu"] for ours, loop in pairs])
    lines = [
        "# Rank intervals: time and memory",
        "",
        (__doc__ or "").split("\n\n", 2)[2].strip(),
        "",
        f"{runs} runs each, two cores; median (least-most).",
        "",
        "| way | draws | wall s | CPU s | peak GB |",
        "| --- | --- | --- | --- | --- |",
        describe("partnerseg", DRAWS, [ours for ours, _ in pairs]),
        describe("rankdata", DRAWS, [loop for _, loop in pairs]),
        describe("partnerseg", MANY, [many]),
        "",
        f"- {faster} times faster, {saved} times less CPU.",
        f"- {different} of {2 * PARTNERS:,} bounds differ.",
    ]
    text = "\n".join(lines) + "\n"
    RESULT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        run_child(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
