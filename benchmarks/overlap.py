"""How small a lack of overlap `policy_value` notices that the log does not tell, and what the unnoticed does.

python benchmarks/overlap.py [LOGS]

Random and partner-like processes of `routes.py`, other seeds; LOGS logs a process (default 2) under a random logging
policy. A share of the partners never gets the policy's step in the first stage, while the log tells everybody the
chances of the others. The policy takes every step over 2 periods, and a fifth of the steps over 8 (following all of
them for 8 periods leaves too few effective journeys). Found: refused as the weights are not those of true propensities.
Best count test: how often a one-sided test at 1% would find the share from the number of steps taken if it were told
where to look. Where nothing is found, whether the doubly robust interval (95%) holds the truth, and how far its
middle is off, in widths: where the closed partners are like the others, and where they earn half. Share 0 tells false
refusals, stated at 1%.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from routes import (
    draw_journeys,
    make_partner_like,
    make_random,
    random_logging,
    read_rules,
    soften,
    solve_process,
    to_markdown,
    true_value,
)
from scipy.stats import binomtest, norm

from partnerseg.journey.policies import FALSE_REFUSALS, policy_value
from partnerseg.journey.routes import Process

RESULT = Path(__file__).parent / "results" / "2026-11-22-overlap.md"
FIRST_SEED, RANDOM, PARTNER_LIKE = 100, 20, 5
SHARES = (0.0, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5)
HONEST = 40  # more logs a process with true propensities, of 1,000 journeys of 2 periods
SIZES = ((10_000, 2), (10_000, 8), (1_000, 2), (1_000, 8))  # journeys, periods


def list_processes() -> list[tuple[str, Process, str, str]]:
    """Return kind, process, start and target."""
    drawn = [make_random(seed) for seed in range(FIRST_SEED, FIRST_SEED + RANDOM)]
    random = [("random", process, process.states[0], process.states[-1]) for process in drawn]
    seeds = range(FIRST_SEED, FIRST_SEED + PARTNER_LIKE)
    return random + [("partner-like", make_partner_like(seed), "recruited", "strategic") for seed in seeds]


def measure(logs: range, journeys: int, periods: int, shares: tuple[float, ...] = SHARES) -> pd.DataFrame:
    """Return one row a log, share and kind of closed partners."""
    rows = []
    for number, (kind, process, start, to) in enumerate(list_processes()):
        here = process.states.index(start)
        rule = read_rules(process, solve_process(process, objective="value", to=to, periods=2).rules.iloc[-1:])[0]
        for run in logs:
            random = np.random.default_rng((50_000 + number, run, journeys, periods))
            chances = random_logging(process, random)
            wanted = soften(process, rule, 1.0 if periods == 2 else 0.2, chances)
            policy = pd.DataFrame(wanted, index=list(process.states), columns=list(process.actions))
            truth = true_value(process, wanted, here, periods)
            halved = Process(**{**vars(process), "rewards": process.rewards / 2})
            lower_truth = true_value(halved, wanted, here, periods)
            open_, closed = draw_pair(process, chances, here, rule[here], journeys, periods, random)
            chance, first = chances[here, rule[here]], int((open_["stage"] == start).sum())
            for share in shares:
                is_closed = closed["partner_id"] < share * journeys
                log = pd.concat([open_[open_["partner_id"] >= share * journeys], closed[is_closed]])
                told = judge(log, policy, periods, truth)
                power = norm.cdf(share * np.sqrt(first * chance / (1 - chance)) - norm.ppf(1 - FALSE_REFUSALS))
                common = (kind, share, chance, power, told["found"], told["few"])
                rows.append((*common, "alike", told["held"], told["off"]))
                if share and not told["found"] and not told["few"]:
                    poor = log["reward"] - (log["partner_id"] < share * journeys) * log["value_after"] / 2
                    told = judge(log.assign(reward=poor), policy, periods, (1 - share) * truth + share * lower_truth)
                    rows.append((*common, "earn half", told["held"], told["off"]))
    columns = ["processes", "share", "chance", "best", "found", "few", "closed", "held", "off"]
    return pd.DataFrame(rows, columns=columns)


def draw_pair(
    process: Process, chances: np.ndarray, start: int, step: int, journeys: int, periods: int,
    random: np.random.Generator,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Return journeys in which the step can be had at the start, and some in which it cannot though the log says so."""
    never = chances.copy()
    never[start, step] = 0
    never /= never.sum(axis=1, keepdims=True)
    open_, closed = (draw_journeys(process, table, start, journeys, periods, random) for table in (chances, never))
    told = pd.Series(chances.ravel(), pd.MultiIndex.from_product([process.states, process.actions]))
    steps = pd.MultiIndex.from_frame(closed[["stage", "action"]])
    return open_, closed.assign(propensity=told[steps].to_numpy())


def judge(log: pd.DataFrame, policy: pd.DataFrame, periods: int, truth: float) -> dict[str, object]:
    row = policy_value(log, policy, periods=periods).set_index("method").loc["doubly_robust"]
    found = row["reason"].startswith("weights of")
    return {
        "found": found,
        "few": bool(row["reason"]) and not found,
        "held": row["lower"] <= truth <= row["upper"],
        "off": (row["value"] - truth) / (row["upper"] - row["lower"]),
    }


def tell(table: pd.DataFrame) -> str:
    rows = []
    for (kind, share), own in table.groupby(["processes", "share"], sort=False):
        alike = own[own["closed"] == "alike"]
        cells = [kind, f"{share:.0%}", len(alike), f"{alike['found'].mean():.0%}", f"{alike['best'].mean():.0%}"]
        cells.append(int(alike["few"].sum()))
        for who in ("alike", "earn half"):
            kept = own[(own["closed"] == who) & ~own["found"] & ~own["few"]]
            cells += (
                [len(kept), f"{kept['held'].mean():.0%}", f"{kept['off'].mean():+.2f}"] if len(kept) else [0, "", ""]
            )
        rows.append(cells)
    columns = [
        "processes", "closed", "logs", "found", "best count test", "too few effective", "told, alike", "held", "off",
        "told, earn half", "held ", "off ",
    ]  # fmt: skip
    return to_markdown(pd.DataFrame(rows, columns=columns))


def tell_smallest(parts: dict[tuple[int, int], pd.DataFrame]) -> str:
    """Tell the smallest share that is found in 95% of logs, by how often the step is logged."""
    rows = []
    for (journeys, periods), table in parts.items():
        own = table[(table["closed"] == "alike") & (table["share"] > 0)]
        groups = pd.cut(own["chance"], [0, 0.1, 0.3, 1], labels=["under 10%", "10-30%", "over 30%"])
        for chance, part in own.groupby(groups, observed=True):
            found = part.groupby("share")["found"].mean()
            enough = found.index[found[::-1].cummin()[::-1] >= 0.95]
            n = len(part) // part["share"].nunique()
            rows.append((f"{journeys:,}", periods, chance, n, f"{enough[0]:.0%}" if len(enough) else "over 50%"))
    columns = ["journeys", "periods", "step logged with a chance", "logs", "smallest share found in 95%"]
    return to_markdown(pd.DataFrame(rows, columns=columns))


def main(logs: int) -> None:
    parts = {size: measure(range(logs), *size) for size in SIZES}
    more = measure(range(logs, logs + HONEST), 1_000, 2, shares=(0.0,))
    honest = pd.concat([*parts.values(), more]).query("share == 0")
    wrong, all_logs = int(honest["found"].sum()), len(honest)
    span = binomtest(wrong, all_logs).proportion_ci(method="exact")
    told = honest[~honest["found"] & ~honest["few"]]
    lines = [
        "# Lack of overlap that the log does not tell, 2026-11-22", "",
        f"`python benchmarks/overlap.py {logs}`: " + (__doc__ or "").split("\n\n", 2)[2].strip(), "",
        f"False refusals: {wrong} of {all_logs} logs with true propensities ({wrong / all_logs:.1%}, 95% interval "
        f"{span.low:.1%} to {span.high:.1%}; stated: at most {FALSE_REFUSALS:.0%}). The doubly robust interval holds "
        f"the truth in {told['held'].mean():.1%} of the {len(told)} told.", "",
        "## Smallest share that is found", "", tell_smallest(parts),
    ]  # fmt: skip
    for (journeys, periods), table in parts.items():
        lines += ["", f"## {journeys:,} journeys of {periods} periods", "", tell(table)]
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
