"""Weights learned from what came next, on the sample programme against its planted effects.

python benchmarks/learned_weights.py [SEEDS [FRESH]]

For each seed a programme of 2,000 partners is drawn. `build_periods` builds the features of its twelve quarters,
`expect_changes` tells what was to be expected of each factor and how many orders came next, both against the partner's
own past, and nothing else is known. Noise is estimated from the data. FRESH seeds from 200 on, of which nothing was
seen while building, are told of beside them.

`Spearman` is the rank correlation with the planted effects, which are changes for one standard deviation of a factor;
three of the eight are 0. `rating`: effects of one standard deviation that `fit_rating` learns as the product does, with
all fifteen rows of the parameters, held to the stated weights. `stated`: what the stated weights alone say of the same.
`weights of points`: the weights that this rating freezes, which are of a point, not of a standard deviation, and count
evidence by its grade. `all rows`: without a prior, nothing learned as one. `eight rows`: a table that names what
measures the eight planted factors and nothing else, without a prior; `equal prior`: held to equal weights. `effect`:
change of the next quarter's orders for one standard deviation of the factor, by non-negative least squares on the eight
rows, beside the planted change of its log.

Future. Next quarter's orders are entered as everybody's content_uniqueness of the quarter, but arrive after the last
date: `future rows` counts whether any expected change of an assessed factor differs. `future leak` is the weight that
this factor gets among the assessed ones where the arrival is ignored, so that one sees the test can fail. `future
column` is the weight of a column with the outcome itself that is unknown at all past dates.

Shuffled. `AUC`: weights learned from shuffled outcomes of half of the partners, told on the other half (above or below
their middle outcome).
"""

import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import nnls
from scipy.stats import spearmanr

import partnerseg as ps
from partnerseg.params import Params
from partnerseg.programme.planted import FACTOR_EFFECTS
from partnerseg.programme_pass import assess_factors
from partnerseg.rating import weights
from partnerseg.rating.panel import Changes, build_periods, expect_changes
from partnerseg.rating_results import fit_rating

RESULT = Path(__file__).parent / "results" / "2026-11-22-learned_weights.md"
ENDS = [str(day.date()) for day in pd.date_range("2023-09-30", "2026-06-30", freq="QE")]
PLANTED = pd.Series(FACTOR_EFFECTS)
MEASURES = {
    "training_and_specialization": ["training_score_365d", "trainings_365d"],
    "task_quality": ["task_quality_365d", "on_time_rate_365d"],
    "audience_communication": ["reply_rate_365d", "open_rate_365d", "attendances_365d"],
}
FACTORS = [{"factor": name, "features": MEASURES.get(name, [f"assessed_{name}"])} for name in PLANTED.index]


def learn(changes: Changes, **options: object) -> pd.Series:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return weights.learned(changes.X, changes.y, **options).weights  # type: ignore[arg-type]


def agree(found: pd.Series) -> float:
    return float(spearmanr(found.reindex(PLANTED.index).fillna(0.0), PLANTED).statistic)


def hide_future(tables: dict, panel: pd.DataFrame, changes: Changes) -> dict[str, float]:
    following = panel["frequency_365d"].unstack("as_of").shift(-1, axis=1).T.stack().rename("score")  # noqa: PD010, PD013
    rows = following.reset_index()
    future = pd.DataFrame(
        {
            "partner_id": rows["partner_id"],
            "assessed_at": pd.to_datetime(rows["as_of"]).astype("datetime64[us]"),
            "factor": "content_uniqueness",
            "score": rows["score"].clip(upper=50) * 2,
            "assessor": "audit",
            "arrived_at": pd.Timestamp("2026-07-01").as_unit("us"),
        }
    )
    own = tables["assessments"]
    kept = {name: tables[name] for name in ("partners", "sales")}
    assessed = [row for row in FACTORS if row["factor"] not in MEASURES]

    def expect(*parts: pd.DataFrame) -> Changes:
        panel = build_periods({**kept, "assessments": pd.concat(parts, ignore_index=True)}, ENDS)
        return expect_changes(panel, assessed)

    known, unseen, seen = expect(own), expect(own, future), expect(own, future.drop(columns="arrived_at"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        X = changes.X.assign(future=np.nan)
        late = weights.learned(X, changes.y, strength=0.0).weights["future"]
    return {
        "future rows": float(not unseen.X.equals(known.X)),
        "future leak": learn(seen, strength=0.0)["content_uniqueness"],
        "future column": late,
    }


def shuffle(changes: Changes, seed: int) -> float:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    y = pd.Series(rng.permutation(changes.y), index=changes.y.index)
    partners = changes.X.index.unique("partner_id")
    half = changes.X.index.get_level_values("partner_id").isin(rng.permutation(partners)[: len(partners) // 2])
    found = learn(Changes(changes.X[half], y[half], changes.memory, changes.measures), strength=0.0)
    return float(roc_auc_score(y[~half] > y[~half].median(), changes.X[~half] @ found))


def rate(tables: dict, params: Params) -> dict[str, float]:
    """Compare what the product learns, from features as it builds them."""
    options = assess_factors(params)
    panel = build_periods(tables, ENDS, **options)
    features = ps.build_features(tables, as_of=ENDS[-1], **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rating = fit_rating(params, features, None, periods=panel, weighting="learned")
    changes = expect_changes(panel, params.rating.factors)
    details = rating.weights_.details
    return {
        "Spearman, rating": agree(details["effect"]),
        "Spearman, stated": agree(details["prior"]),
        "Spearman, weights of points": agree(rating.factors_["weight"]),
        "Spearman, all rows": agree(learn(replace(changes, X=changes.X.dropna(axis=1)), strength=0.0)),
    }


def measure(seed: int, params: Params) -> dict[str, float]:
    tables = ps.simulate_programme(2_000, random_state=seed).tables
    panel = build_periods(tables, ENDS)
    changes = expect_changes(panel, FACTORS)
    free = learn(changes, strength=0.0)
    effects = pd.Series(nnls(changes.X.to_numpy(), changes.y.to_numpy())[0], index=changes.X.columns)
    return {
        **rate(tables, params),
        "Spearman, eight rows": agree(free),
        "Spearman, eight rows, equal prior": agree(learn(changes)),
        "memory": changes.memory,
        **{f"weight {name}": value for name, value in free.items()},
        **{f"effect {name} (planted {PLANTED[name]:g})": value for name, value in effects.items()},
        **hide_future(tables, panel, changes),
        "AUC": shuffle(changes, seed),
    }


def tell(table: pd.DataFrame) -> list[str]:
    summary = table.agg(["mean", "median", "min", "max"]).T.round(3)
    enough = (table.filter(like="Spearman") >= 0.9 - 1e-9).sum()
    lines = ["| measure | mean | median | least | most | >= 0.9 |", "| --- | --- | --- | --- | --- | --- |"]
    return lines + [
        f"| {name} | " + " | ".join(map(str, row)) + f" | {enough.get(name, '')} |"
        for name, row in zip(summary.index, summary.to_numpy(), strict=True)
    ]


def main(seeds: int, fresh: int) -> None:
    params = ps.load_params(Path(__file__).parents[1] / "params")
    found = []
    for seed in range(seeds):
        found.append(measure(seed, params))
        print(seed, {key: round(value, 3) for key, value in found[-1].items()}, flush=True)
    lines = ["# Weights learned from what came next", "", (__doc__ or "").split("\n\n", 2)[2].strip(), ""]
    lines += [f"{seeds} seeds, 0 to {seeds - 1}. `>= 0.9`: seeds.", "", *tell(pd.DataFrame(found))]
    if fresh:
        unseen = [rate(ps.simulate_programme(2_000, random_state=200 + seed).tables, params) for seed in range(fresh)]
        lines += ["", f"{fresh} fresh seeds, 200 to {199 + fresh}.", "", *tell(pd.DataFrame(unseen))]
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    arguments = [int(number) for number in sys.argv[1:]]
    main(*arguments, *(20, 40)[len(arguments) :])
