"""Do 90% rank intervals cover the planted ranks of the sample programme?

python benchmarks/rank_coverage.py [SEEDS]

For each seed a programme of 2,000 partners is drawn. The factors rated are those whose planted level is known and that
are observed: the five assessed ones, with equal weights; an assessment counts as far as its evidence. Rated are the
partners who have been assessed, of them the observed ones (with the programme for over a year and still active). The
planted rank is the rank, among them, of the mean planted level in the last quarter. Noise and drift of the assessments
come from `estimate_errors`, so from the tables alone. Drawn are noise, and missing factors and evidence; weights and
normalization are known in this world and are not drawn, but for the column `all sources`, which is what
`PartnerRating.rank_interval` gives. In `gaps` a fifth of the assessed factors is blanked at random. In `around the
observed` the same noise is drawn around the observed points instead of what is expected behind them, so that it counts
twice. `width` is the mean width of the intervals, as a share of the partners; `Spearman` compares observed and planted
ranks. 10,000 draws; one configuration, fitted to no seed.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

import partnerseg as ps
from partnerseg.rating.errors import Errors, estimate_errors
from partnerseg.rating.intervals import draw_rank_interval, rank_scores
from partnerseg.rating.scaling import find_best_evidence, score_factors, spread_errors, weigh_evidence

RESULT = Path(__file__).parent / "results" / "2026-11-22-rank_coverage.md"
AS_OF = "2026-06-30"
BAND = (0.86, 0.94)
FACTORS = ("marketing_strategy", "content_uniqueness", "teamwork", "strategic_planning", "technical_equipment")
TABLE = [
    {"factor": name, "features": [f"assessed_{name}"], "bounds": [[0, 100]], "grade": "manager"} for name in FACTORS
]
GAPS = 0.2


def measure(seed: int) -> dict[str, float]:
    sample = ps.simulate_programme(2_000, random_state=seed)
    features = ps.build_features(sample.tables, as_of=AS_OF)
    columns = [f"assessed_{name}" for name in FACTORS]
    rng = np.random.default_rng(seed)
    blanked = features.assign(**features[columns].mask(rng.random((len(features), len(columns))) < GAPS))
    rating = ps.PartnerRating(TABLE, weighting="equal").fit(features)
    errors = estimate_errors(features, sample.tables["assessments"], as_of=AS_OF)
    rated = rating.score(features)["score"].notna() & sample.truth.partners["observed"].reindex(features.index)
    rows = features[rated]
    planted = rank_scores(sample.truth.factor_levels.loc[rows.index, list(FACTORS)].to_numpy(dtype=float).mean(axis=1))
    lower, upper = draw(rating, rows, errors)
    naive = Errors(features[columns], errors.standard_error)
    everything = rating.rank_interval(rows, errors=errors)
    return {
        "partners": len(rows),
        "Spearman": float(spearmanr(rating.score(rows)["rank"].to_numpy(dtype=float), planted).statistic),
        "coverage": cover(lower, upper, planted),
        "width": float((upper - lower).mean() / len(rows)),
        "gaps": measure_gaps(rating, blanked.loc[rows.index], sample.tables["assessments"], planted),
        "all sources": cover(everything["lower"].to_numpy(int), everything["upper"].to_numpy(int), planted),
        "around the observed": cover(*draw(rating, rows, naive), planted),
    }


def measure_gaps(rating: ps.PartnerRating, rows: pd.DataFrame, assessments: pd.DataFrame, planted: np.ndarray) -> float:
    """Coverage of those still rated, among the same partners; whoever has nothing left is not drawn."""
    errors = estimate_errors(rows, assessments, as_of=AS_OF)
    rated = (rating.score(rows)["score"].notna()).to_numpy()
    lower, upper = draw(rating, rows[rated], errors)
    return cover(lower, upper, rank_scores(-planted[rated].astype(float)))


def draw(rating: ps.PartnerRating, rows: pd.DataFrame, errors: Errors) -> tuple[np.ndarray, np.ndarray]:
    behind = errors.expected.loc[rows.index]
    expected = rows.assign(**{name: behind[name].fillna(rows[name]) for name in behind})
    shares = weigh_evidence(rows, rating.scales_, rating.factors_["evidence"].to_dict())
    assert shares is not None
    return draw_rank_interval(
        [score_factors(rows, rating.scales_, shares).to_numpy()],
        rating.factors_["weight"].to_numpy(),
        rating.distribution_.to_numpy(),
        noise=spread_errors(expected, errors.standard_error.loc[rows.index], rating.scales_, shares).to_numpy(),
        expected=score_factors(expected, rating.scales_, shares).to_numpy(),
        evidence=find_best_evidence(shares, rating.scales_),
        sources=("noise", "missing"),
        labels=rows.index.tolist(),
    )


def cover(lower: np.ndarray, upper: np.ndarray, planted: np.ndarray) -> float:
    return float(((lower <= planted) & (planted <= upper)).mean())


def main(seeds: int) -> None:
    rows = []
    for seed in range(seeds):
        rows.append(measure(seed))
        print(seed, {key: round(value, 3) for key, value in rows[-1].items()}, flush=True)
    frame = pd.DataFrame(rows, index=pd.RangeIndex(seeds, name="seed"))
    lines = [
        "# 90% rank intervals against planted ranks",
        "",
        (__doc__ or "").split("\n\n", 2)[2].strip(),
        "",
        f"Seeds 0 to {seeds - 1}.",
        "",
        f"| seed | {' | '.join(frame.columns)} |",
        "| --- " * (len(frame.columns) + 1) + "|",
        *[tell(str(seed), row) for seed, row in frame.iterrows()],
        tell("mean", frame.mean()),
        tell("least", frame.min()),
        tell("most", frame.max()),
        "",
        f"- Coverage {np.average(frame['coverage'], weights=frame['partners']):.1%} over all partners and seeds, "
        f"between {frame['coverage'].min():.1%} and {frame['coverage'].max():.1%}; asked were "
        f"{BAND[0]:.0%} to {BAND[1]:.0%}: "
        f"{int(frame['coverage'].between(*BAND).sum())} of {seeds} seeds are within.",
    ]
    text = "\n".join(lines) + "\n"
    RESULT.write_text(text, encoding="utf-8")
    print(text)


def tell(label: str, row: pd.Series) -> str:
    cells = [f"{value:,.0f}" if name == "partners" else f"{value:.3f}" for name, value in row.items()]
    return f"| {label} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
