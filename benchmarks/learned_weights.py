"""Weights learned from what came next, on the sample programme against its planted effects.

python benchmarks/learned_weights.py [SEEDS]

For each seed a programme of 2,000 partners is drawn. `build_periods` builds the features of its twelve quarters,
`expect_changes` tells what was to be expected of each factor and how many orders came next, both against the partner's
own past, and `weights.learned` knows nothing but this. The factor table of eight rows names what measures the eight
planted factors. Noise is estimated from the data.

`Spearman` is the rank correlation of the weights with the planted effects (three of which are 0): without a prior
(`strength=0`), held to equal weights, held to the stated weights of the parameters, and of these stated weights alone.
`parameters' rows`: without a prior, with the rows of the same eight factors of the parameters, whose features tell of
other things too (conflicts, portal visits). `all rows`: the same eight factors when they are learned together with all
others of the parameters; what is counted from the sales themselves is left out, as it is by default. `all rows, none
left out`: learned from that as well. `rating`: the weights of `fit_rating`, of points, held to the stated ones.
`effect`: change of the next quarter's orders for one standard deviation of the factor, by non-negative least squares,
beside the planted change of its log.

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


def learn_known(changes: Changes) -> pd.Series:
    return learn(replace(changes, X=changes.X.dropna(axis=1)), strength=0.0)


def agree(found: pd.Series) -> float:
    return float(spearmanr(found.reindex(PLANTED.index), PLANTED).statistic)


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


def measure(seed: int, params: Params) -> dict[str, float]:
    every = params.rating.factors
    rows = [row for row in every if row.factor in PLANTED.index]
    tables = ps.simulate_programme(2_000, random_state=seed).tables
    panel = build_periods(tables, ENDS)
    changes = expect_changes(panel, FACTORS)
    stated = pd.Series({row.factor: row.weight for row in rows})[PLANTED.index]
    free = learn(changes, strength=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        features = ps.build_features(tables, as_of=ENDS[-1])
        rating = fit_rating(params, features, None, periods=panel, weighting="learned")
    effects = pd.Series(nnls(changes.X.to_numpy(), changes.y.to_numpy())[0], index=changes.X.columns)
    return {
        "Spearman": agree(free),
        "Spearman, equal prior": agree(learn(changes)),
        "Spearman, stated prior": agree(learn(changes, prior=stated)),
        "Spearman, stated alone": agree(stated),
        "Spearman, parameters' rows": agree(learn(expect_changes(panel, rows), strength=0.0)),
        "Spearman, all rows": agree(learn_known(expect_changes(panel, every))),
        "Spearman, all rows, none left out": agree(learn_known(expect_changes(panel, every, leave_out=()))),
        "Spearman, rating": agree(rating.factors_["weight"]),
        "memory": changes.memory,
        **{f"weight {name}": value for name, value in free.items()},
        **{f"effect {name} (planted {PLANTED[name]:g})": value for name, value in effects.items()},
        **hide_future(tables, panel, changes),
        "AUC": shuffle(changes, seed),
    }


def main(seeds: int) -> None:
    params = ps.load_params(Path(__file__).parents[1] / "params")
    found = []
    for seed in range(seeds):
        found.append(measure(seed, params))
        print(seed, {key: round(value, 3) for key, value in found[-1].items()}, flush=True)
    table = pd.DataFrame(found)
    summary = table.agg(["mean", "median", "min", "max"]).T.round(3)
    enough = (table.filter(like="Spearman") >= 0.9 - 1e-9).sum()
    lines = ["# Weights learned from what came next", "", (__doc__ or "").split("\n\n", 2)[2].strip(), ""]
    lines += [f"{seeds} seeds, 0 to {seeds - 1}. `>= 0.9`: seeds.", ""]
    lines += ["| measure | mean | median | least | most | >= 0.9 |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [
        f"| {name} | " + " | ".join(map(str, row)) + f" | {enough.get(name, '')} |"
        for name, row in zip(summary.index, summary.to_numpy(), strict=True)
    ]
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
