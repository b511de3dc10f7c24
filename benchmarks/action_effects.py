"""What actions did, told from logged actions, against what was planted.

python benchmarks/action_effects.py [SEEDS]

Sample. For each seed a programme of 2,000 partners is drawn; its decisions are listed (`list_decisions`) and the effect
of each action on the orders of the 90 days after it is estimated in each stage (`estimate_action_effects`, defaults).
`told in ...`: of the ten actions planted in the stage, how many are told (50 planted cells in all); `told and clear`:
those with an interval that leaves out zero. `pairs right`: of all pairs of a useful and a useless or harmful action in
one stage, where both are told, the share in which the useful one has the larger effect. `harmful helps`: how often the
harmful action (technical_audit) is told with an effect over 0; `harmful recommended`: with an interval above 0, which
alone makes a step one that helps in a route or plan. `covered`: the share of intervals (95%) with the planted change in
them; the planted change is one of the next calendar quarter, and a step is taken up to ten days before it begins.
`false claims`: of the effects that are 0, the share with 0 outside the interval.

Chances. Synthetic journeys of 1,000 partners in two stages (chances 0.5 and 0.25 to move on within 90 days, exits
competing) over eight periods: a good, a bad and two idle actions (+0.15 and +0.10, -0.15 and -0.10, 0); and the same
without any effect.

Confounded. A call that does nothing is given eight times as often after a bad quarter: the mean of what is told, beside
what orders after, less those before, would credit to it. Another that does nothing is given by news that only the
manager has: call less mail with the logged chances, and without them.
"""

import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

import partnerseg as ps
from partnerseg.journey.decisions import list_decisions
from partnerseg.journey.effects import estimate_action_effects
from partnerseg.journey.stages import Journey

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.journey import test_effects as worlds

RESULT = Path(__file__).parent / "results" / "2026-11-22-action_effects.md"
STAGES = ["recruited", "onboarded", "activated", "growing", "strategic"]


def rank_pairs(told: pd.DataFrame, effect: str) -> list[bool]:
    """Tell of each pair of a useful action and another one in a stage whether the useful one is ranked higher."""
    right: list[bool] = []
    for _, here in told.groupby("stage"):
        helps, other = here.loc[here["truth"] > 0, effect], here.loc[here["truth"] <= 0, effect]
        right += [bool(high > low) for high, low in product(helps, other)]
    return right


def check_intervals(told: pd.DataFrame, name: str) -> dict[str, float]:
    """Tell what the intervals cover, and how often there is said to be an effect where there is none."""
    lower, upper, truth = told[f"lower_{name}"], told[f"upper_{name}"], told["truth"]
    claimed = ((lower > 0) | (upper < 0))[truth == 0]
    found = {"covered": ((lower <= truth) & (truth <= upper)).mean(), "false claims": claimed.mean()}
    return found | {"half width": (upper - lower).mean() / 2}


def recommends(effects: pd.DataFrame, truth: pd.DataFrame) -> int:
    """Count the stages in which a harmful action would be taken for one that helps."""
    helps = effects[(effects["lower_value"] > 0) | (effects["lower_chance"] > 0)]
    return sum(truth.loc[row.action, row.stage] < 0 for row in helps.itertuples())


def measure_sample(seed: int) -> dict[str, float]:
    sample = ps.simulate_programme(2_000, random_state=seed)
    journey = Journey(STAGES, ["dormant", "left"], 90).fit({"stages": sample.tables["stages"]}, sample.truth.as_of)
    start = time.perf_counter()
    decisions = list_decisions(journey, sample.tables["actions"], sales=sample.tables["sales"])
    effects = estimate_action_effects(decisions)
    seconds = time.perf_counter() - start
    truth, told = sample.truth.action_effects, effects.query("effect_value.notna()")
    told = told.assign(truth=[truth.loc[row.action, row.stage] for row in told.itertuples()])
    right, harm = rank_pairs(told, "effect_value"), told[told["truth"] < 0]
    clear = (told["lower_value"] > 0) | (told["upper_value"] < 0)
    return {
        "cells told": len(told),
        "cells told and clear": clear.sum(),
        **{f"told in {stage}": (told["stage"] == stage).sum() for stage in STAGES},
        **{f"told and clear in {stage}": (clear & (told["stage"] == stage)).sum() for stage in STAGES},
        "pairs told": len(right),
        "pairs right": np.mean(right),
        "harmful told": len(harm),
        "harmful helps": (harm["effect_value"] > 0).sum(),
        "harmful recommended": recommends(effects, truth),
        "seconds": seconds,
    } | check_intervals(told, "value")


def measure_chances(seed: int, *, planted: bool) -> dict[str, float]:
    lifts = worlds.LIFTS if planted else worlds.NO_LIFTS
    told = estimate_action_effects(worlds.simulate_moves(seed, lifts)).query("effect_chance.notna()")
    told = told.assign(truth=[lifts[row.action][row.stage != "recruited"] for row in told.itertuples()])
    right = rank_pairs(told, "effect_chance")
    found = {"pairs told": len(right), "pairs right": np.mean(right)} if planted else {}
    return found | check_intervals(told, "chance")


def measure_confounded(seed: int) -> dict[str, float]:
    bad = worlds.simulate_sales(seed, worlds.choose_after_a_bad_period)
    calls = bad[(bad["action"] == "call") & bad["orders_after"].notna()]
    found = {"bad quarter, after / before - 1": calls["orders_after"].sum() / calls["orders_before"].sum() - 1}
    news = worlds.simulate_sales(seed, worlds.choose_by_hidden_news)
    for logged in (True, False):
        how = "logged chances" if logged else "no chances"
        told = estimate_action_effects(bad if logged else bad.assign(propensity=np.nan)).iloc[0]
        found[f"bad quarter, effect, {how}"] = told["effect_value"]
        found[f"bad quarter, false claims, {how}"] = float(not told["lower_value"] <= 0 <= told["upper_value"])
        told = estimate_action_effects(news if logged else news.assign(propensity=np.nan)).set_index("action")
        found[f"hidden news, call - mail, {how}"] = told["effect_value"]["call"] - told["effect_value"]["mail"]
    return found


def count_untold(sample: list[dict[str, float]]) -> str:
    """Say how many of the planted cells are left untold, by stage."""
    planted = 10 * len(sample)
    untold = {stage: planted - sum(row[f"told in {stage}"] for row in sample) for stage in STAGES}
    parts = ", ".join(f"{stage} {n} of {planted} ({n / planted:.0%})" for stage, n in untold.items())
    return (
        f"Left untold, so in no pair: {sum(untold.values())} of {planted * len(STAGES)} planted cells "
        f"({sum(untold.values()) / planted / len(STAGES):.0%}): {parts}."
    )


def tell(title: str, rows: list[dict[str, float]]) -> str:
    table = pd.DataFrame(rows)
    lines = [f"## {title}", "", "| measure | mean | least | most |", "| --- | --- | --- | --- |"]
    for name in table:
        mean, least, most = (
            round(float(value), 3) for value in (table[name].mean(), table[name].min(), table[name].max())
        )
        lines.append(f"| {name} | {mean} | {least} | {most} |")
    return "\n".join(lines)


def main(seeds: int = 20) -> None:
    sample = [measure_sample(seed) for seed in range(seeds)]
    pairs = sum(row["pairs told"] for row in sample)
    right = round(sum(row["pairs told"] * row["pairs right"] for row in sample))
    parts = [
        f"# What actions did\n\n{(__doc__ or '').split('[SEEDS]')[1].strip()}",
        f"{seeds} seeds. Pairs of the sample in all: {right} of {pairs} right ({right / pairs:.1%}).",
        count_untold(sample),
        tell("Sample programme", sample),
        tell("Planted chances", [measure_chances(seed, planted=True) for seed in range(seeds)]),
        tell("No effects", [measure_chances(seed, planted=False) for seed in range(seeds)]),
        tell("Confounded", [measure_confounded(seed) for seed in range(seeds)]),
    ]
    RESULT.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print("\n\n".join(parts))


if __name__ == "__main__":
    main(*(int(value) for value in sys.argv[1:]))
