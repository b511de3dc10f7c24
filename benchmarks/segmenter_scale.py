"""Time and memory of PartnerSegmenter against UMAP + HDBSCAN, and from 100 thousand to a million partners.

python benchmarks/segmenter_scale.py [RUNS]

Every run is a process of its own with two threads: it draws eight overlapping groups in 40 columns (not counted), then
imports, compiles, fits and assigns everyone, all counted. Runs take turns; ratios are of one turn's pair, given as the
median with the least and the most. Peak memory is that of the whole process, the data included. UMAP has 30 neighbors,
min_dist 0 and a seed; HDBSCAN asks for groups of 2%. At 20,000 the peer is UMAP + fast-hdbscan.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

RESULT = Path(__file__).parent / "results" / "2026-11-22-segmenter_scale.md"
SHARES = np.array([25, 20, 15, 12, 10, 8, 6, 4]) / 100


def draw(rows: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.choice(len(SHARES), rows, p=SHARES)
    values = rng.normal(0, 1.3, (rows, 40))
    values += rng.normal(0, 1, (len(SHARES), 40))[truth]
    return pd.DataFrame(values, columns=[f"x{place:02d}" for place in range(40)], copy=False), truth


def run_ours(frame: pd.DataFrame) -> np.ndarray:
    from partnerseg import PartnerSegmenter

    return PartnerSegmenter(random_state=0).fit(frame).predict(frame).to_numpy()


def run_umap(frame: pd.DataFrame, *, fast: bool) -> np.ndarray:
    import umap

    if fast:
        from fast_hdbscan import HDBSCAN
    else:
        from hdbscan import HDBSCAN

    values = ((frame - frame.mean()) / frame.std()).to_numpy()
    places = umap.UMAP(n_neighbors=30, min_dist=0.0, random_state=0).fit_transform(values)
    finder = HDBSCAN(min_cluster_size=len(frame) // 50, min_samples=10)
    return finder.fit_predict(np.ascontiguousarray(places, dtype=np.float64))


def run_child(way: str, rows: int) -> None:
    frame, truth = draw(rows)
    start, before = time.perf_counter(), time.process_time()
    found = run_ours(frame) if way == "partnerseg" else run_umap(frame, fast=way == "UMAP + fast-hdbscan")
    wall, cpu = time.perf_counter() - start, time.process_time() - before
    from sklearn.metrics import adjusted_rand_score

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    ari = adjusted_rand_score(truth, found)
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak, "ari": ari, "groups": int(found.max()) + 1}))


def measure(way: str, rows: int) -> dict[str, float]:
    threads = {name: "2" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")}
    command = [sys.executable, __file__, "--child", way, str(rows)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **threads}).stdout
    result = json.loads(output.splitlines()[-1])
    print(way, rows, {key: round(value, 3) for key, value in result.items()}, flush=True)
    return result


def tell(values: list[float]) -> str:
    return f"{np.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def main(runs: int) -> None:
    pairs = [("UMAP + fast-hdbscan", 20_000), ("UMAP + HDBSCAN", 100_000)]
    lines = [
        "# PartnerSegmenter: time and memory",
        "",
        (__doc__ or "").split("\n\n", 2)[2].strip(),
        "",
        f"{runs} runs each, two cores.",
        "",
        "| rows | way | wall s | CPU s | peak GB | ARI |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    ratios = []
    ours: dict[int, list[dict[str, float]]] = {}
    for peer, rows in pairs:
        results = [(measure("partnerseg", rows), measure(peer, rows)) for _ in range(runs)]
        ours[rows] = [mine for mine, _ in results]
        for way, own in (("partnerseg", ours[rows]), (peer, [other for _, other in results])):
            lines.append(describe(rows, way, own))
        faster = tell([other["wall"] / mine["wall"] for mine, other in results])
        leaner = tell([other["peak"] / mine["peak"] for mine, other in results])
        gain = [mine["ari"] - other["ari"] for mine, other in results]
        ratios.append(
            f"- {rows:,} rows: {faster} times faster than {peer}, {leaner} times less memory, "
            f"ARI {np.median(gain):+.3f} ({min(gain):+.3f} to {max(gain):+.3f})."
        )
    million = [measure("partnerseg", 1_000_000) for _ in range(runs)]
    lines.append(describe(1_000_000, "partnerseg", million))
    growth = tell([large["wall"] / small["wall"] for large, small in zip(million, ours[100_000], strict=True)])
    ratios.append(f"- From 100,000 to 1,000,000 rows the time grows {growth} times.")
    text = "\n".join([*lines, "", *ratios]) + "\n"
    RESULT.write_text(text, encoding="utf-8")
    print(text)


def describe(rows: int, way: str, own: list[dict[str, float]]) -> str:
    cells = [tell([result[key] for result in own]) for key in ("wall", "cpu")]
    peak, ari = (f"{np.median([result[key] for result in own]):.2f}" for key in ("peak", "ari"))
    return f"| {rows:,} | {way} | {cells[0]} | {cells[1]} | {peak} | {ari} |"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        run_child(sys.argv[2], int(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
