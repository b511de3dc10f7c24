"""Segments of the sample programme against its planted truth.

python benchmarks/segments_sample.py [SEEDS]

For each seed a programme of 2,000 partners is drawn and segmented with the defaults. `observed` partners (members that
have been with the programme for a year, did not leave and did not move lately) are compared with the segment planted
for them. Then 40% of the cells are blanked at random, once for the fitted model and once before it is fitted. The
calibration error counts a planted segment as all found ones with most of its members; ten bins. `asked` is by how much
the entropy of the membership falls, in bits, when the field that `fields_to_ask` puts first is filled in again,
`random` the same for any other blank field, over 100 partners.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

import partnerseg as ps

RESULT = Path(__file__).parent / "results" / "2026-11-22-segments_sample.md"
ASKED = 100


def measure(seed: int) -> dict[str, float]:
    sample = ps.simulate_programme(2_000, random_state=seed)
    features = ps.build_features(sample.tables, as_of="2026-06-30")
    truth = sample.truth.partners.reindex(features.index)
    planted, observed = truth["segment_end"].to_numpy(), truth["observed"].to_numpy()
    background = planted == "background"
    rng = np.random.default_rng(seed)
    gaps = features.mask(rng.random(features.shape) < 0.4)
    segmenter = ps.PartnerSegmenter(random_state=seed).fit(features)
    whole, partial = segmenter.predict_proba(features), segmenter.predict_proba(gaps)
    refitted = ps.PartnerSegmenter(random_state=seed).fit(gaps)
    assigned = refitted.predict(gaps)

    def score(found: np.ndarray) -> float:
        return adjusted_rand_score(planted[observed], np.asarray(found)[observed])

    return {
        "segments": segmenter.n_segments_,
        "ARI": score(whole.to_numpy().argmax(axis=1)),
        "ARI labels": score(segmenter.labels_),
        "background called": float((segmenter.labels_[background] < 0).mean()),
        "members called": float((segmenter.labels_[observed] < 0).mean()),
        "ARI 40%": score(partial.to_numpy().argmax(axis=1)),
        "ARI fitted at 40%": score(assigned),
        "assigned 40%": float(assigned.notna().mean()),
        "entropy": float(tell_entropy(whole.to_numpy()).mean()),
        "entropy 40%": float(tell_entropy(partial.to_numpy()).mean()),
        "ECE": tell_error(whole.to_numpy()[observed], planted[observed]),
        "ECE 40%": tell_error(partial.to_numpy()[observed], planted[observed]),
        **ask(segmenter, features, gaps[observed], rng),
    }


def ask(segmenter: ps.PartnerSegmenter, features: pd.DataFrame, gaps: pd.DataFrame, rng: np.random.Generator) -> dict:
    """Fill in the first field asked, and a random one, of partners who are unclear."""
    unclear = tell_entropy(segmenter.predict_proba(gaps).to_numpy())
    chosen = gaps.index[np.argsort(-unclear)[:ASKED]]
    before, asked, drawn = gaps.loc[chosen], gaps.loc[chosen].copy(), gaps.loc[chosen].copy()
    for partner in chosen:
        blank = [
            name for name in segmenter.fields_to_ask(gaps.loc[[partner]]).index if pd.notna(features.loc[partner, name])
        ]
        if len(blank) > 1:
            other = blank[rng.integers(1, len(blank))]
            asked.loc[partner, blank[0]] = features.loc[partner, blank[0]]
            drawn.loc[partner, other] = features.loc[partner, other]
    falls = {
        name: tell_entropy(segmenter.predict_proba(before).to_numpy())
        - tell_entropy(segmenter.predict_proba(frame).to_numpy())
        for name, frame in (("asked", asked), ("random", drawn))
    }
    return {name: float(fall.mean()) for name, fall in falls.items()}


def tell_entropy(chances: np.ndarray) -> np.ndarray:
    return -(chances * np.log2(np.maximum(chances, 1e-300))).sum(axis=1)


def tell_error(chances: np.ndarray, planted: np.ndarray, bins: int = 10) -> float:
    likeliest = chances.argmax(axis=1)
    owner = pd.crosstab(likeliest, planted).idxmax(axis=1)
    columns = {name: [segment for segment in owner.index if owner[segment] == name] for name in owner.unique()}
    summed = pd.DataFrame({name: chances[:, segments].sum(axis=1) for name, segments in columns.items()})
    sure, right = summed.max(axis=1).to_numpy(), summed.idxmax(axis=1).to_numpy() == planted
    places = np.minimum((sure * bins).astype(int), bins - 1)
    inside = [places == place for place in range(bins) if (places == place).any()]
    return float(sum(own.mean() * abs(sure[own].mean() - right[own].mean()) for own in inside))


def main(seeds: int) -> None:
    rows = []
    for seed in range(seeds):
        rows.append(measure(seed))
        print(seed, {key: round(value, 3) for key, value in rows[-1].items()}, flush=True)
    table = pd.DataFrame(rows)
    summary = table.agg(["median", "mean", "min", "max"]).T.round(3)
    lines = ["# Segments of the sample programme", "", (__doc__ or "").split("\n\n", 2)[2].strip(), ""]
    lines += [f"{seeds} seeds.", "", "| measure | median | mean | least | most |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {name} | " + " | ".join(map(str, row)) + " |"
        for name, row in zip(summary.index, summary.to_numpy(), strict=True)
    ]
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
