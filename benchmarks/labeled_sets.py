"""Adjusted Rand index on 26 labeled sets, nobody told the number of segments, everyone assigned.

Side by side: PartnerSegmenter with its defaults, which claims one segment where no valley parts the data; the same with
require_evidence=False; UMAP (30 neighbors) + HDBSCAN, HDBSCAN, k-means with the silhouette
choosing k. All but ours get z-scores; what HDBSCAN leaves out is a group of its own, as plain use has it. Of the
reference labelings of a set the best counts, points labeled as noise are left out.

Run: python benchmarks/labeled_sets.py [SEEDS], the sets in ../shared/data/clustering_benchmarks. Ours and UMAP are run
with so many seeds (3) and averaged.
"""

import sys
import time
import warnings
from pathlib import Path

import hdbscan
import numpy as np
import pandas as pd
import umap
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score

from partnerseg import PartnerSegmenter

ROOT = Path(__file__).parents[1]
SETS = ROOT.parent / "shared" / "data" / "clustering_benchmarks" / "data"
RESULT = ROOT / "benchmarks" / "results" / "2026-11-22-labeled_sets.md"


def use_ours(frame: pd.DataFrame, seed: int) -> np.ndarray:
    return PartnerSegmenter(random_state=seed).fit(frame).predict(frame).to_numpy()


def use_ours_anyway(frame: pd.DataFrame, seed: int) -> np.ndarray:
    return PartnerSegmenter(random_state=seed, require_evidence=False).fit(frame).predict(frame).to_numpy()


def use_hdbscan(frame: pd.DataFrame, seed: int) -> np.ndarray:
    finder = hdbscan.HDBSCAN(min_cluster_size=max(5, len(frame) // 50), core_dist_n_jobs=1)
    return finder.fit_predict(standardize(frame))


def use_umap_hdbscan(frame: pd.DataFrame, seed: int) -> np.ndarray:
    drawer = umap.UMAP(n_neighbors=30, min_dist=0.0, random_state=seed, n_jobs=1)
    places = drawer.fit_transform(standardize(frame)).astype(np.float64)
    finder = hdbscan.HDBSCAN(min_cluster_size=max(5, len(frame) // 50), core_dist_n_jobs=1)
    return finder.fit_predict(places)


def use_kmeans(frame: pd.DataFrame, seed: int) -> np.ndarray:
    values = standardize(frame)
    splits = [KMeans(k, n_init=10, random_state=seed).fit_predict(values) for k in range(2, 11)]
    return max(splits, key=lambda split: silhouette_score(values, split))


def standardize(frame: pd.DataFrame) -> np.ndarray:
    values = frame.to_numpy(dtype=np.float64)
    values = values[:, values.std(axis=0) > 0]
    return np.ascontiguousarray((values - values.mean(axis=0)) / values.std(axis=0))


def score(found: np.ndarray, labelings: pd.DataFrame) -> float:
    return max(
        adjusted_rand_score(labels[labels > 0], found[(labels > 0).to_numpy()]) for _, labels in labelings.items()
    )


WAYS = {
    "partnerseg": (use_ours, True),
    "partnerseg, evidence not required": (use_ours_anyway, True),
    "UMAP + HDBSCAN": (use_umap_hdbscan, True),
    "HDBSCAN": (use_hdbscan, False),
    "k-means, silhouette": (use_kmeans, False),
}


def main(seeds: int) -> None:
    warnings.simplefilter("ignore")
    rows = []
    for path in sorted(SETS.glob("**/*.csv.gz")):
        table = pd.read_csv(path)
        frame, labelings = table.filter(regex="^x"), table.filter(regex="^label")
        row = {"set": path.name.removesuffix(".csv.gz"), "n": len(frame), "columns": frame.shape[1]}
        for way, (use, drawn) in WAYS.items():
            start = time.process_time()
            reached = [score(use(frame, seed), labelings) for seed in range(seeds if drawn else 1)]
            row[way] = np.mean(reached)
            if way == "partnerseg":
                row["least"], row["most"] = min(reached), max(reached)
            row[f"{way}, CPU s"] = (time.process_time() - start) / len(reached)
        rows.append(row)
        print({key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()}, flush=True)
    scores = pd.DataFrame(rows).set_index("set")
    lines = [f"Mean adjusted Rand index of {len(scores)} sets, {seeds} seeds (ours and UMAP):", ""]
    lines += [f"- {way}: {scores[way].mean():.3f}, {scores[f'{way}, CPU s'].mean():.1f} s of CPU a set" for way in WAYS]
    shown = scores[["n", "columns", *WAYS, "least", "most"]].round(2)
    heads = ["set", *shown.columns]
    lines += ["", "| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in shown.reset_index().to_numpy(dtype=object)]
    text = (__doc__ or "").split("\n")[0] + "\n\n" + "\n".join(lines) + "\n"
    RESULT.write_text("# Labeled sets\n\n" + text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
