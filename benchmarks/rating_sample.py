"""The rating on the sample programme against its planted truth.

python benchmarks/rating_sample.py [SEEDS]

For each seed a programme of 2,000 partners is drawn. Weights learned from it: learned_weights.py.

Shuffled. `AUC rating`: the default rating of 2025-06-30 against who was retained a year later, shuffled, ten times.

Fairness. `assess_fairness` with its defaults on the same rating and the revenue of the next 365 days. Ten points are
taken from, or given to, each of the four regions in turn: `bias found` is the share of these eight where the region is
flagged with the right sign. `false alarm` is 1 when any region or language is flagged though nothing was planted. Size
and tenure are told apart: a rating may well treat them unequally. Synthetic worlds are described in the table.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import ndtr

import partnerseg as ps
from partnerseg.rating.fairness import assess_fairness, fairness_groups
from partnerseg.rating.validation import next_outcomes, validate_rating

RESULT = Path(__file__).parent / "results" / "2026-11-22-rating_sample.md"
PAST, LAST = "2025-06-30", "2026-06-30"


def measure_rating(tables: dict[str, pd.DataFrame], then: pd.DataFrame, params: object, seed: int) -> dict:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        score = ps.PartnerRating(factors=params.rating.factors).fit(then).score(then)["score"]  # type: ignore[attr-defined]
    outcomes = next_outcomes(tables, [PAST], until=LAST).loc[PAST]
    rng = np.random.default_rng(seed)
    known = outcomes["retained"].dropna()
    shuffled = [pd.Series(rng.permutation(known), index=known.index) for _ in range(10)]
    aucs = [validate_rating(score, one.to_frame("retained"), draws=1)["auc"].iloc[0] for one in shuffled]
    real = validate_rating(score, outcomes, draws=1).set_index("outcome")
    row: dict[str, float] = {"AUC rating": float(np.mean(aucs)), "AUC not shuffled": real.loc["retained", "auc"]}
    row["Spearman with revenue"] = real.loc["revenue", "spearman"]
    groups = fairness_groups(then)
    table = assess_fairness(score, groups, outcomes["revenue"]).set_index(["attribute", "group"])
    flagged = table["flagged"].fillna(False).astype(bool)
    row["false alarm"] = float(flagged[["region", "language"]].any())
    row |= {f"flagged {name}": float(flagged[name].any()) for name in ("company_size", "tenure")}
    row["tenure under 1 year"] = table.loc[("tenure", "under 1 year"), "difference"]
    found = {}
    for region in sorted(then["region"].dropna().unique()):
        for sign in (-1, 1):
            biased = (score + 10 * sign * (then["region"] == region)).clip(0, 100)
            told = assess_fairness(biased, groups, outcomes["revenue"]).set_index(["attribute", "group"])
            one = told.loc[("region", region)]
            found[region, sign] = float(bool(one["flagged"]) and one["difference"] * sign > 0)
    row["bias found"] = float(np.mean(list(found.values())))
    return row | {f"bias found in {region}": (found[region, -1] + found[region, 1]) / 2 for region, _ in found}


def draw_world(seed: int, apart: float, bias: float, *, curved: bool) -> tuple:
    """Groups of unequal quality; score and outcome see quality through noise; one group's score is biased."""
    rng = np.random.default_rng(seed)
    names = np.array(list("abcdefgh"))
    sizes = rng.integers(60 if curved else 150, 700, rng.integers(2, 9))
    group = np.repeat(np.arange(len(sizes)), sizes)
    n = len(group)
    quality = rng.normal(0, apart, len(sizes))[group] + rng.normal(size=n)
    see, noise = rng.uniform(0.65, 0.9), rng.uniform(0.7, 1.4, len(sizes))[group]
    points = see * quality + np.sqrt(1 - see**2) * noise * rng.normal(size=n)
    shapes = [50 + 10 * points, 20 + 60 * ndtr(points / 1.5), 90 - 25 * np.exp(-points / 2)]
    score = np.clip(shapes[rng.integers(3)] if curved else shapes[0], 0, 100)
    come = rng.uniform(0.65, 0.9)
    outcome = np.exp(come * quality + np.sqrt(1 - come**2) * rng.normal(size=n)) * (rng.random(n) > rng.uniform(0, 0.2))
    one = int(rng.integers(len(sizes)))
    other = rng.choice(["small", "medium", "large"], n)
    groups = pd.DataFrame({"region": names[group], "size": other})
    return pd.Series(score + bias * (group == one)), groups, pd.Series(outcome), names[one]


def measure_worlds(worlds: int) -> list[str]:
    rows = []
    for label, apart, curved in (
        ("no difference", 0.0, False),
        ("regions 0.3 deviations of quality apart", 0.3, False),
        ("1 deviation apart, curved scores, small groups", 1.0, True),
    ):
        alarms, found = [], []
        for seed in range(worlds):
            score, groups, outcome, _ = draw_world(seed, apart, 0.0, curved=curved)
            alarms.append(assess_fairness(score, groups, outcome)["flagged"].fillna(False).any())
            score, groups, outcome, one = draw_world(seed, apart, -10.0, curved=curved)
            told = assess_fairness(score, groups, outcome).set_index(["attribute", "group"]).loc[("region", one)]
            found.append(bool(told["flagged"]) and told["difference"] < 0)
        rows.append(f"| {label} | {worlds} | {np.mean(alarms):.3f} | {np.mean(found):.3f} |")
        print(rows[-1], flush=True)
    return rows


def measure(seed: int, params: object) -> dict[str, float]:
    tables = ps.simulate_programme(2_000, random_state=seed).tables
    return measure_rating(tables, ps.build_features(tables, as_of=PAST), params, seed)


def main(seeds: int) -> None:
    params = ps.load_params(Path(__file__).parents[1] / "params")
    rows = []
    for seed in range(seeds):
        rows.append(measure(seed, params))
        print(seed, {key: round(value, 3) for key, value in rows[-1].items()}, flush=True)
    summary = pd.DataFrame(rows).agg(["mean", "median", "min", "max"]).T.round(3)
    lines = ["# The rating on the sample programme", "", (__doc__ or "").split("\n\n", 2)[2].strip(), ""]
    lines += [f"{seeds} seeds.", "", "| measure | mean | median | least | most |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {name} | " + " | ".join(map(str, row)) + " |"
        for name, row in zip(summary.index, summary.to_numpy(), strict=True)
    ]
    lines += ["", "| synthetic worlds | worlds | false alarms | 10 points found |", "| --- | --- | --- | --- |"]
    lines += measure_worlds(20 * seeds)
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
