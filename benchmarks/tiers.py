"""Advice kept and tiers that noise does not move, on the sample programme.

python benchmarks/tiers.py [PARTNERS]

Advice: a programme (2,000 partners, seed 0) is rated with the default parameters as of 2026-06-30, reach bounded by the
levels of that day and by the changes since half a year before. For every partner the cheapest way to the next tier is
asked for, promotion taking 2 points above the threshold; every proposal is applied and scored anew by the rating. Those
who cannot reach it are counted by the reason given. The same for the other aggregations with the first 200 partners.

Noise: the partners' scores, five seeds, stay what they are for 12 months, but each month noise with a standard
deviation of 1 point, 1% of the range, is added anew. Changes of tier are counted without hysteresis (naive) and with;
once for all partners and once for those within 1 point of a threshold.
"""

import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

import partnerseg as ps
from partnerseg.rating.tiers import assign_tiers, follow_tiers

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "2026-11-22-tiers.md"
HYSTERESIS = 2.0
SEEDS = range(5)
RULES = (
    {"hysteresis": 1.0},
    {"hysteresis": 1.5},
    {"hysteresis": 2.0},
    {"hysteresis": 3.0},
    {"grace_days": 31},
    {"grace_days": 62},
    {"hysteresis": 1.0, "grace_days": 31},
    {"hysteresis": 2.0, "grace_days": 31},
)


def build(partners: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    sample = ps.simulate_programme(partners, random_state=seed)
    features = ps.build_features(sample.tables, as_of=["2025-12-31", "2026-06-30"])
    dates = sorted(features.index.get_level_values(0).unique())
    return features.loc[dates[0]], features.loc[dates[1]]


def fit(features: pd.DataFrame, before: pd.DataFrame, **options) -> ps.PartnerRating:
    params = ps.load_params(ROOT / "params")
    rating = ps.PartnerRating(factors=params.rating.factors, min_coverage=params.rating.min_coverage, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return rating.fit(features, before=before)


def advise(features: pd.DataFrame, before: pd.DataFrame, asked: int, **options) -> dict[str, object]:
    """Ask for every partner's way to the next tier and apply it."""
    rating = fit(features, before, **options)
    scores = rating.score(features)["score"]
    names = list(rating.tier_thresholds_.index)
    tiers = assign_tiers(scores, thresholds=rating.tier_thresholds_).tier.astype(object)
    changed, found, seconds = features.copy(), {}, []
    for partner_id in features.index[:asked]:
        tier = tiers[partner_id]
        if tier == names[0]:
            continue
        target = names[-1] if pd.isna(tier) else names[names.index(tier) - 1]
        start = time.process_time()
        found[partner_id] = advice = rating.raise_to(features, partner_id, target, hysteresis=HYSTERESIS)
        seconds.append(time.process_time() - start)
        for change in advice.changes.itertuples():
            changed.loc[partner_id, change.feature] = change.then
    after = rating.score(changed)["score"]
    reachable = [partner_id for partner_id, advice in found.items() if advice.reachable]
    kept = [
        partner_id
        for partner_id in reachable
        if after[partner_id] >= rating.tier_thresholds_[found[partner_id].tier] + HYSTERESIS
        and after[partner_id] == found[partner_id].score_after
    ]
    refused = [advice for advice in found.values() if not advice.reachable]
    told = [advice.reason.startswith(("Not rated: ", "Out of reach: ")) for advice in refused]
    sizes = pd.Series([len(found[partner_id].changes) for partner_id in reachable])
    costs = pd.Series([found[partner_id].cost for partner_id in reachable])
    return {
        "asked": len(found),
        "reachable": len(reachable),
        "kept when applied": len(kept),
        "not rated": sum(advice.reason.startswith("Not rated") for advice in refused),
        "out of reach": sum(advice.reason.startswith("Out of reach") for advice in refused),
        "refused without a reason": len(refused) - sum(told),
        "1, 2, 3, 4 features": ", ".join(str((sizes == size).sum()) for size in (1, 2, 3, 4)),
        "median cost, points": round(costs.median(), 1),
        "CPU ms a partner": round(1e3 * float(np.mean(seconds)), 1),
        "CPU seconds": round(float(np.sum(seconds)), 1),
    }


def count_changes(score: pd.Series, thresholds: pd.Series, **rule) -> int:
    return int((follow_tiers(score, thresholds=thresholds, **rule)["reason"] != "").sum())


def shake(score: pd.Series, thresholds: pd.Series, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    months = pd.date_range("2026-07-31", periods=12, freq="ME")
    noisy = np.clip(score.to_numpy() + rng.normal(0, 1, (len(months), len(score))), 0, 100)
    index = pd.MultiIndex.from_product([months, score.index], names=["as_of", "partner_id"])
    shaken = pd.Series(noisy.ravel(), index=index)
    naive = count_changes(shaken, thresholds)
    counts = {"partners": len(score), "naive": naive}
    return counts | {tell(rule): count_changes(shaken, thresholds, **rule) for rule in RULES}


def tell(rule: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in rule.items())


def write(advice: pd.DataFrame, noise: dict[str, pd.DataFrame]) -> None:
    lines = ["# Advice and tiers", "", *__doc__.split("\n\n", 2)[2].strip().splitlines(), "", "## Advice", ""]
    lines += [f"| | {' | '.join(advice.columns)} |", "| --- |" + " --- |" * advice.shape[1]]
    lines += [
        f"| {name} | {' | '.join(map(str, row))} |" for name, row in zip(advice.index, advice.values, strict=True)
    ]
    for name, table in noise.items():
        partners = ", ".join(map(str, table["partners"]))
        lines += [
            "",
            f"## Changes of tier in 12 months under noise: {name}",
            "",
            f"Partners of seeds 0-4: {partners}.",
            "",
        ]
        lines += [
            "| rule | changes a seed, mean | naive / rule, mean | least | most |",
            "| --- | --- | --- | --- | --- |",
        ]
        for rule in table.columns[1:]:
            times = table["naive"] / table[rule].clip(lower=1)
            lines.append(
                f"| {rule} | {table[rule].mean():.0f} | {times.mean():.1f} | {times.min():.1f} | {times.max():.1f} |"
            )
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    partners = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    columns, noise = {}, {"all partners": [], "partners near a threshold": []}
    for seed in SEEDS:
        before, features = build(partners, seed)
        if seed == 0:
            columns["arithmetic"] = advise(features, before, partners)
            for aggregation in ("geometric", "penalty", "topsis"):
                columns[aggregation] = advise(features, before, min(partners, 200), aggregation=aggregation)
        rating = fit(features, before)
        score = rating.score(features)["score"].dropna()
        distance = np.abs(score.to_numpy()[:, None] - rating.tier_thresholds_.to_numpy()[:-1]).min(axis=1)
        noise["all partners"].append(shake(score, rating.tier_thresholds_, seed))
        noise["partners near a threshold"].append(shake(score[distance < 1], rating.tier_thresholds_, seed))
    write(pd.DataFrame(columns), {name: pd.DataFrame(rows) for name, rows in noise.items()})
    print(RESULT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
