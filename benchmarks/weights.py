"""Time of CRITIC, entropy and TOPSIS on a million partners x 30 factors, against pymcdm and scikit-criteria.

python benchmarks/weights.py [RUNS]

Every run is a process of its own with two threads: it draws a million partners x 30 correlated factors between 1 and
100 and imports what it needs (neither is counted), then weighs by CRITIC and by entropy and compares by TOPSIS (vector
normalization, equal weights), all counted from the table in the form that the library takes: a DataFrame here, an array
for pymcdm, a decision matrix for scikit-criteria (making it is not counted). The three take turns; ratios are of one
turn, given as the median with the least and the most. Results are compared after each turn: the largest difference of a
weight or of a partner's closeness.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

RESULT = Path(__file__).parent / "results" / "2026-11-22-weights.md"
ROWS, FACTORS = 1_000_000, 30
STEPS = ("critic", "entropy", "topsis")
WAYS = ("partnerseg", "pymcdm", "scikit-criteria")


def draw() -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 1, (ROWS, FACTORS))
    values[:, 1::3] = 0.6 * values[:, 1::3] + 0.4 * values[:, 0::3]
    return 1 + 99 * values


def prepare_ours(values: np.ndarray) -> list[Callable[[], np.ndarray]]:
    import pandas as pd

    from partnerseg.rating.aggregation import topsis_of
    from partnerseg.rating.weights import critic, entropy, equal

    X = pd.DataFrame(values, columns=[f"f{place:02d}" for place in range(FACTORS)], copy=False)
    weights = equal(X.columns).weights
    return [
        lambda: critic(X).weights.to_numpy(),
        lambda: entropy(X).weights.to_numpy(),
        lambda: topsis_of(X, weights).to_numpy(),
    ]


def prepare_pymcdm(values: np.ndarray) -> list[Callable[[], np.ndarray]]:
    import pymcdm.weights
    from pymcdm.methods import TOPSIS
    from pymcdm.normalizations import vector_normalization

    topsis = TOPSIS(vector_normalization)
    share, up = np.full(FACTORS, 1 / FACTORS), np.ones(FACTORS)
    return [
        lambda: pymcdm.weights.critic_weights(values),
        lambda: pymcdm.weights.entropy_weights(values),
        lambda: topsis(values, share, up),
    ]


def prepare_skcriteria(values: np.ndarray) -> list[Callable[[], np.ndarray]]:
    import skcriteria
    from skcriteria.agg.topsis import TOPSIS
    from skcriteria.preprocessing.scalers import VectorScaler
    from skcriteria.preprocessing.weighters import CRITIC, EntropyWeighter

    table = skcriteria.mkdm(values, [max] * FACTORS, weights=np.full(FACTORS, 1 / FACTORS))
    scaler, topsis = VectorScaler(target="matrix"), TOPSIS()
    return [
        lambda: np.asarray(CRITIC().transform(table).weights),
        lambda: np.asarray(EntropyWeighter().transform(table).weights),
        lambda: np.asarray(topsis.evaluate(scaler.transform(table)).e_.similarity),
    ]


PREPARE = dict(zip(WAYS, (prepare_ours, prepare_pymcdm, prepare_skcriteria), strict=True))


def run_child(way: str, path: str) -> None:
    steps = PREPARE[way](draw())
    found, told = {}, {}
    for name, step in zip(STEPS, steps, strict=True):
        start = time.perf_counter()
        found[name] = step()
        told[name] = time.perf_counter() - start
    told["all"] = sum(told.values())
    told["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    np.savez(path, **found)
    print(json.dumps(told))


def measure(way: str, path: Path) -> dict[str, float]:
    threads = {name: "2" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")}
    command = [sys.executable, "-W", "ignore", __file__, "--child", way, str(path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **threads}).stdout
    result = json.loads(output.splitlines()[-1])
    print(way, {key: round(value, 3) for key, value in result.items()}, flush=True)
    return result


def differ(folder: Path, peer: str) -> float:
    with np.load(folder / "partnerseg.npz") as ours, np.load(folder / f"{peer}.npz") as theirs:
        return max(float(np.abs(ours[name] - theirs[name]).max()) for name in STEPS)


def tell(values: list[float], digits: int = 2) -> str:
    return f"{np.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def main(runs: int) -> None:
    results: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    gaps: dict[str, float] = dict.fromkeys(WAYS[1:], 0.0)
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs):
            for way in WAYS:
                results[way].append(measure(way, Path(folder) / f"{way}.npz"))
            gaps = {peer: max(gap, differ(Path(folder), peer)) for peer, gap in gaps.items()}
    lines = [
        "# CRITIC, entropy and TOPSIS on a million partners",
        "",
        (__doc__ or "").split("\n\n", 2)[2].strip(),
        "",
        f"{runs} runs each, two cores; {ROWS:,} partners x {FACTORS} factors; seconds.",
        "",
        "| way | CRITIC | entropy | TOPSIS | all three | peak GB |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for way, own in results.items():
        cells = [tell([result[name] for result in own]) for name in (*STEPS, "all")]
        lines.append(f"| {way} | {' | '.join(cells)} | {np.median([result['peak'] for result in own]):.2f} |")
    lines.append("")
    for peer, gap in gaps.items():
        pairs = list(zip(results["partnerseg"], results[peer], strict=True))
        faster = [
            f"{tell([theirs[name] / mine[name] for mine, theirs in pairs], 1)} in {label}"
            for name, label in (("all", "all three"), *zip(STEPS, ("CRITIC", "entropy", "TOPSIS"), strict=True))
        ]
        lines.append(f"- Times faster than {peer}: {', '.join(faster)}; largest difference {gap:.1e} (n = {runs}).")
    text = "\n".join(lines) + "\n"
    RESULT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        run_child(sys.argv[2], sys.argv[3])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
