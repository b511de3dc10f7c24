"""The rating on the sample programme against its planted truth.

python benchmarks/rating_sample.py [SEEDS]

Learned weights. For each seed a programme of 2,000 partners is drawn. Its eight planted factors are measured at twelve
quarter ends by features of the quarter alone (`build_features` on the quarter's events): assessments, task quality and
on-time rate, scores and number of trainings, replies, openings and attendances. Rates are told against the partner's
own level. How much of a measure is the factor and how much is noise is estimated from the data alone: by how it repeats
up to eight quarters later (covariance = signal x memory ** lag; the memory is that of the assessed factors together)
and by the cases behind each value. A factor's points are what these measures let expect on the day (a Kalman filter of
one state that forgets at that memory). The outcome is the log of next quarter's orders against the partner's own level
and the quarter's; rows count by the precision of it. `weights.learned` then knows nothing but this. `Spearman` is the
rank correlation of its weights with the planted effects (three of which are 0): without a prior (`strength=0`), held to
equal weights, held to the stated weights of the parameters, and of these stated weights alone. `as measured`: points
neither weighed nor shrunk, each measure standardized.

Future. Next quarter's orders are entered as everybody's content_uniqueness of the quarter, but arrive after the last
date: `future rows` counts whether any point changed. `future leak` is the weight that this factor gets where the
arrival is ignored, so that one sees the test can fail. `future column` is the weight of a column with the outcome
itself that is unknown at all past dates.

Shuffled. `AUC rating`: the default rating of 2025-06-30 against who was retained a year later, shuffled, ten times.
`AUC learned`: weights learned from shuffled outcomes of half of the partners, told on the other half (above or below
their middle outcome).

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
from scipy.stats import spearmanr

import partnerseg as ps
from partnerseg.programme.planted import FACTOR_EFFECTS
from partnerseg.rating import weights
from partnerseg.rating.fairness import assess_fairness, fairness_groups
from partnerseg.rating.validation import next_outcomes, validate_rating

RESULT = Path(__file__).parent / "results" / "2026-11-22-rating_sample.md"
DATES = pd.date_range("2023-06-30", "2026-06-30", freq="QE")
PLANTED = pd.Series(FACTOR_EFFECTS)
LAGS = range(1, 9)  # quarters between repeated measures
PAST, LAST = "2025-06-30", "2026-06-30"
EVENTS = {"touches": "touched_at", "trainings": "completed_at", "tickets": "opened_at", "assessments": "assessed_at"}
# Measures of a factor: rates with what they count, and counts.
RATES = {
    "task_quality": [("task_quality_365d", "tickets_365d"), ("on_time_rate_365d", "tickets_365d")],
    "training_and_specialization": [("training_score_365d", "trainings_365d")],
    "audience_communication": [("reply_rate_365d", "touches_365d"), ("open_rate_365d", "touches_365d")],
}
COUNTS = {"training_and_specialization": "trainings_365d", "audience_communication": "attendances_365d"}


def spread_dates(values: pd.Series) -> pd.DataFrame:
    """Partners x dates."""
    return values.unstack("as_of")  # noqa: PD010


def gather_dates(table: pd.DataFrame) -> pd.Series:
    """Back from partners x dates to (as_of, partner_id)."""
    return table.T.rename_axis(index="as_of").stack(future_stack=True)  # noqa: PD013


def build_quarters(tables: dict[str, pd.DataFrame], joined: pd.Index) -> pd.DataFrame:
    """Features of each quarter's own events: a partner's quarters are moved to the last one, as so many partners."""
    ends = DATES[1:]
    moved: dict[str, pd.DataFrame] = {}
    for name, time in EVENTS.items():
        table = tables[name].reset_index(drop=True)
        place = np.searchsorted(ends, table[time].dt.normalize())
        table, place = table[place < len(ends)], place[place < len(ends)]
        later = pd.Series(ends[-1] - ends[place], index=table.index)
        times = [column for column in table.columns if str(table[column].dtype).startswith("datetime64")]
        day = pd.Series(ends[place].strftime("%Y-%m-%d"), index=table.index)
        moved[name] = table.assign(
            partner_id=table["partner_id"] + "|" + day, **{column: table[column] + later for column in times}
        )
    people = tables["partners"][["partner_id"]]
    days = [str(end.date()) for end in ends]
    moved["partners"] = pd.concat([people["partner_id"] + "|" + day for day in days], ignore_index=True).to_frame()
    features = ps.build_features(moved, as_of=days[-1])
    who, day = features.index.str.split("|", n=1, expand=True).to_frame(index=False).to_numpy().T
    return features.set_index(pd.MultiIndex.from_arrays([day, who], names=["as_of", "partner_id"])).reindex(joined)


def list_measures(quarters: pd.DataFrame) -> dict[str, list[tuple[pd.DataFrame, pd.DataFrame, bool]]]:
    """Measures of every factor, partners x dates: values, the cases behind each, and whether around the own level."""

    def spread(name: str) -> pd.DataFrame:
        values = spread_dates(quarters[name])
        return values - values.mean()

    def around_own(values: pd.DataFrame, n: pd.DataFrame) -> pd.DataFrame:
        return values.sub((values * n).sum(axis=1) / n.sum(axis=1).replace(0.0, np.nan), axis=0)

    measures: dict[str, list[tuple[pd.DataFrame, pd.DataFrame, bool]]] = {}
    for factor in PLANTED.index:
        told = measures[factor] = []
        if f"assessed_{factor}" in quarters.columns:
            values = spread(f"assessed_{factor}")
            told.append((values, values.notna().astype(float), False))
        for name, counted in RATES.get(factor, []):
            values = spread(name)
            n = spread_dates(quarters[counted]).fillna(0.0).where(values.notna(), 0.0)
            own = not name.endswith("score_365d")
            told.append((around_own(values, n) if own else values, n, own))
        if factor in COUNTS:
            n = spread_dates(quarters[COUNTS[factor]])
            own = n.mean(axis=1)
            values = n.div(own.replace(0.0, np.nan), axis=0).sub(1)
            told.append((values, values.notna().mul(own, axis=0), True))
    return measures


def measure_repeats(values: pd.DataFrame, n: pd.DataFrame) -> pd.DataFrame:
    """Covariance of a measure with itself, pairs weighing as their cases: lag (in quarters), covariance, weight."""
    told, cases = values.to_numpy(), n.where(values.notna(), 0.0).to_numpy()
    rows = []
    for lag in LAGS:
        weight = cases[:, :-lag] * cases[:, lag:]
        known = (weight > 0) & ~np.isnan(told[:, :-lag]) & ~np.isnan(told[:, lag:])
        if known.sum() >= 100:
            products = told[:, :-lag][known] * told[:, lag:][known]
            rows.append((lag, np.average(products, weights=weight[known]), float(known.sum())))
    return pd.DataFrame(rows, columns=["lag", "covariance", "weight"])


def fit_signal(repeats: pd.DataFrame, memory: float, *, level: bool) -> tuple[float, float, float]:
    """Fit covariance = signal * memory ** lag - taken by least squares; return signal, taken and the squares left.

    What is taken is the part that a partner's own level, where it was removed, takes from all covariances.
    """
    design = np.column_stack([memory ** repeats["lag"], -np.ones(len(repeats)) * level])
    root = np.sqrt(repeats["weight"].to_numpy())
    found = np.linalg.lstsq(design * root[:, None], repeats["covariance"].to_numpy() * root, rcond=None)[0]
    left = (repeats["covariance"].to_numpy() - design @ found) * root
    return float(found[0]), float(found[1]) if level else 0.0, float(left @ left)


def find_memory(measures: dict[str, list[tuple[pd.DataFrame, pd.DataFrame, bool]]]) -> float:
    """Correlation of a factor with itself a quarter later, from the assessed ones together."""
    repeats = [measure_repeats(values, n) for told in measures.values() for values, n, level in told[:1] if not level]
    tried = np.arange(0.3, 0.99, 0.01)
    return float(min(tried, key=lambda memory: sum(fit_signal(table, memory, level=False)[2] for table in repeats)))


def measure_factors(quarters: pd.DataFrame, *, plain: bool = False) -> pd.DataFrame:
    """Points of the eight factors at each date; index (as_of, partner_id)."""
    measures = list_measures(quarters)
    memory = find_memory(measures)
    points = {}
    for factor, told in measures.items():
        if plain:
            standard = [values / np.nanstd(values.to_numpy()) for values, _, _ in told]
            points[factor] = gather_dates(sum(values.ffill(axis=1).fillna(0.0) for values in standard))
            points[factor] /= points[factor].std()
            continue
        seen = []  # measure in deviations of the factor, its precision
        for values, n, own in told:
            signal, taken, _ = fit_signal(measure_repeats(values, n), memory, level=own)
            known = values.notna() & (n > 0)
            noise = float(np.nanmean(((values**2 - signal + taken) * n).where(known).to_numpy()))
            if signal > 0:
                seen.append((values / signal**0.5, n.where(known, 0.0) * signal / max(noise, 1e-9 * signal)))
        level, doubt = 0.0, 1.0
        tracked = {}
        for day in told[0][0].columns:
            level, doubt = memory * level, memory**2 * doubt + 1 - memory**2
            precision = 1 / doubt + sum(p[day] for _, p in seen)
            level = (level / doubt + sum(values[day].fillna(0.0) * p[day] for values, p in seen)) / precision
            doubt = 1 / precision
            tracked[day] = level
        points[factor] = gather_dates(pd.DataFrame(tracked).fillna(0.0))
    return pd.DataFrame(points)


def find_outcome(features: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Log of next quarter's orders of partners who have sold for a while and still sell, and their precision."""
    orders = spread_dates(features["frequency_90d"])
    following = orders.shift(-1, axis=1)
    still = following.iloc[:, ::-1].cumsum(axis=1).iloc[:, ::-1] > 0
    selling = spread_dates(features["first_sale_days"]) >= 60
    following = gather_dates(following.where(still & selling)).dropna()
    mean = following.groupby("partner_id").transform("mean")
    return np.log(following + 0.5), mean / (1 + 0.05 * mean)


def remove_levels(values: pd.DataFrame) -> pd.DataFrame:
    """Take away what a partner always has and what everybody has at a date."""
    for _ in range(6):
        values = values - values.groupby("as_of").transform("mean")
        values = values - values.groupby("partner_id").transform("mean")
    return values


def learn(points: pd.DataFrame, outcome: pd.Series, precision: pd.Series, **options: object) -> pd.Series:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        X, y = prepare(points, outcome, precision)
        return weights.learned(X, y, **options).weights  # type: ignore[arg-type]


def prepare(points: pd.DataFrame, outcome: pd.Series, precision: pd.Series) -> tuple[pd.DataFrame, pd.Series]:
    known = points.reindex(outcome.index)
    weight = np.sqrt(precision)
    return remove_levels(known.fillna(0.0)).mul(weight, axis=0), remove_levels(outcome.to_frame("y"))["y"] * weight


def agree(found: pd.Series) -> float:
    return float(spearmanr(found.reindex(PLANTED.index), PLANTED).statistic)


def measure_weights(tables: dict[str, pd.DataFrame], features: pd.DataFrame, stated: pd.Series, seed: int) -> dict:
    quarters = build_quarters(tables, features.index)
    points = measure_factors(quarters)
    outcome, precision = find_outcome(features)
    free = learn(points, outcome, precision, strength=0.0)
    row = {
        "Spearman": agree(free),
        "Spearman, equal prior": agree(learn(points, outcome, precision)),
        "Spearman, stated prior": agree(learn(points, outcome, precision, prior=stated)),
        "Spearman, stated alone": agree(stated),
        "Spearman, as measured": agree(learn(measure_factors(quarters, plain=True), outcome, precision, strength=0.0)),
    }
    row |= {f"weight {name}": value for name, value in free.items()}
    return (
        row
        | hide_future(tables, features.index, points, outcome, precision)
        | shuffle(points, outcome, precision, seed)
    )


def hide_future(tables: dict, joined: pd.Index, points: pd.DataFrame, outcome: pd.Series, precision: pd.Series) -> dict:
    rows = outcome.reset_index(name="score")
    future = pd.DataFrame(
        {
            "partner_id": rows["partner_id"],
            "assessed_at": pd.to_datetime(rows["as_of"]).astype("datetime64[us]"),
            "factor": "content_uniqueness",
            "score": rows["score"] * 15,
            "assessor": "audit",
            "arrived_at": pd.Timestamp("2026-07-01"),
        }
    )
    future["arrived_at"] = future["arrived_at"].astype("datetime64[us]")
    hidden = {**tables, "assessments": pd.concat([tables["assessments"], future], ignore_index=True)}
    leaked = {**tables, "assessments": pd.concat([tables["assessments"], future.drop(columns="arrived_at")])}
    unseen = measure_factors(build_quarters(hidden, joined))
    seen = measure_factors(build_quarters(leaked, joined))
    late = points.assign(future=np.nan)
    late.loc[~late.index.isin(outcome.index), "future"] = 1.0 * np.arange((~late.index.isin(outcome.index)).sum())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        X, y = prepare(points, outcome, precision)
        X["future"] = late["future"].reindex(X.index)
        found = weights.learned(X, y, strength=0.0).weights
    return {
        "future rows": float(not unseen.equals(points)),
        "future leak": learn(seen, outcome, precision, strength=0.0)["content_uniqueness"],
        "future column": found["future"],
    }


def shuffle(points: pd.DataFrame, outcome: pd.Series, precision: pd.Series, seed: int) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    X, y = prepare(points, outcome, precision)
    y = pd.Series(rng.permutation(y), index=y.index)
    half = X.index.get_level_values("partner_id").isin(rng.permutation(X.index.unique("partner_id"))[:1000])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = weights.learned(X[half], y[half], strength=0.0).weights
    return {"AUC learned": float(roc_auc_score(y[~half] > y[~half].median(), X[~half] @ found))}


def measure_rating(tables: dict[str, pd.DataFrame], features: pd.DataFrame, params: object, seed: int) -> dict:
    then = features.loc[PAST]
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
    features = ps.build_features(tables, as_of=[str(day.date()) for day in DATES[1:]])
    stated = pd.Series({row.factor: row.weight for row in params.rating.factors})[PLANTED.index]  # type: ignore[attr-defined]
    return measure_weights(tables, features, stated, seed) | measure_rating(tables, features, params, seed)


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
