"""The journey on the sample programme against its planted truth.

python benchmarks/journey_sample.py [SEEDS]

For each seed a programme of 2,000 partners is drawn, and the journey fitted at two dates: at its end, and two years
before, when more are still on their way. `error` is how far the median time in a stage lies from the planted one, as a
share of it (mean and largest of the seeds' absolute errors; bias is their mean with sign), `within 10%` the share of
seeds where it is at most a tenth, `95% interval` how often the interval of the median, and of the conversion within 90
days, holds the planted value. `completers` is the same error when only those who have left are looked at, as one would
without Kaplan-Meier. The bottleneck is ranked by last year's revenue of the partners, and at random among the stages
where anybody waits it would be right one time in four.

How near one could come at all: `all followed` is the error of the plain median of the same partners had nobody been
censored: who still waits is followed on, by a draw from the planted hazard (which does not change with time, so the
draw is exact); what it lacks is sampling alone. `form known` is the maximum-likelihood median of an exponential time,
fitted to the same censored stays: it is told the planted form, which Kaplan-Meier does not suppose.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

import partnerseg as ps
from partnerseg.programme.simulate import Sample

RESULT = Path(__file__).parent / "results" / "2026-11-22-journey_sample.md"
DATES = ("2024-06-30", "2026-06-30")
ERRORS = {"error": "as told", "followed": "all followed", "fitted": "form known"}
STAGES, EXITS = ("recruited", "onboarded", "activated", "growing", "strategic"), ("dormant", "left")


def find_limits(spells: pd.DataFrame, median: float, as_of: str, rng: np.random.Generator) -> dict[str, float]:
    """Return the errors of the median had everybody been followed, and where the form of the times is known."""
    end = pd.Timestamp(as_of) + pd.Timedelta(days=1)
    days = (spells["left_at"].fillna(end) - spells["entered_at"]) / pd.Timedelta(days=1)
    waits = spells["next_stage"].isna()
    followed = days + waits * rng.exponential(median / np.log(2), len(days))
    return {
        "followed": followed.median() / median - 1,
        "fitted": np.log(2) * days.sum() / (~waits).sum() / median - 1,
    }


def measure_date(sample: Sample, as_of: str) -> tuple[ps.Journey, list[dict]]:
    journey = ps.Journey(STAGES, EXITS).fit(sample.tables, as_of=as_of)
    times, conversion = journey.time_in_stage().set_index("stage"), journey.conversion().set_index("stage")
    rows, rng = [], np.random.default_rng([sample.truth.random_state, int(as_of[:4])])
    for stage, truth in sample.truth.stage_times.iloc[:-1].iterrows():
        own, share = times.loc[stage], conversion.loc[stage]
        spells = journey.spells_[journey.spells_["stage"] == stage]
        completed = spells.loc[spells["next_stage"].notna(), "days"].median()
        rows.append(
            {
                "date": as_of,
                "stage": stage,
                "censored": own["censored"] / own["n"],
                "n": own["n"],
                "error": own["median_days"] / truth["median_days"] - 1,
                "completers": completed / truth["median_days"] - 1,
                "median covered": own["lower"] <= truth["median_days"] <= own["upper"],
                "conversion covered": share["lower"] <= truth["conversion_90d"] <= share["upper"],
            }
            | find_limits(spells, truth["median_days"], as_of, rng)
        )
    return journey, rows


def tell_near(errors: pd.Series) -> float:
    """Tell the share of errors of at most a tenth."""
    return float((errors.abs() <= 0.1).mean())


def main(seeds: int) -> None:
    rows, first, planned = [], [], 20
    for seed in range(seeds):
        sample = ps.simulate_programme(2_000, random_state=seed)
        for as_of in DATES:
            journey, found = measure_date(sample, as_of)
            rows += found
        if seed < planned:
            worth = ps.build_features(sample.tables, as_of=DATES[-1])["monetary_value_365d"]
            first.append(journey.bottlenecks(worth)["stage"].iloc[0] == sample.truth.bottleneck)
    table = pd.DataFrame(rows)
    grouped = table.groupby(["date", "stage"], sort=False)
    shown = pd.DataFrame(
        {
            "n": grouped["n"].mean().round(),
            "still there": grouped["censored"].mean(),
            "error, mean": grouped["error"].agg(lambda values: values.abs().mean()),
            "error, largest": grouped["error"].agg(lambda values: values.abs().max()),
            "bias": grouped["error"].mean(),
            "within 10%": grouped["error"].agg(tell_near),
            "within 10%, all followed": grouped["followed"].agg(tell_near),
            "within 10%, form known": grouped["fitted"].agg(tell_near),
            "bias of completers": grouped["completers"].mean(),
            "95% interval, median": grouped["median covered"].mean(),
            "95% interval, conversion": grouped["conversion covered"].mean(),
        }
    ).round(3)
    names = ["date", "stage", *shown.columns]
    lines = ["# The journey on the sample programme", "", (__doc__ or "").split("\n\n", 2)[2].strip(), ""]
    lines += [f"{seeds} seeds.", "", "| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += [
        "| " + " | ".join([*key, f"{row[0]:.0f}", *(f"{value:.3f}" for value in row[1:])]) + " |"
        for key, row in zip(shown.index, shown.to_numpy(), strict=True)
    ]
    held = table[["median covered", "conversion covered"]].mean()
    censored = table[table["censored"].between(0.2, 0.6)]
    lines += [
        "",
        f"All stages and dates: the 95% interval held the planted median in {held.iloc[0]:.1%} and the planted "
        f"conversion in {held.iloc[1]:.1%} of {len(table):,} cases.",
        "",
        f"Where 20-60% are still there ({len(censored):,} cases) the intervals of the median hold in "
        f"{censored['median covered'].mean():.1%}; the median itself:",
        "",
        "| median | error, mean | error, root mean square | within 10% |",
        "| --- | --- | --- | --- |",
        *(
            f"| {words} | {censored[name].abs().mean():.3f} | {(censored[name] ** 2).mean() ** 0.5:.3f} | "
            f"{tell_near(censored[name]):.3f} |"
            for name, words in ERRORS.items()
        ),
        "",
        f"The planted bottleneck came first in {sum(first)} of {len(first)} seeds.",
    ]
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    np.seterr(all="ignore")
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
