"""Time, memory and value of a plan for 1,000 to 100,000 partners, against greedy choice and the plain integer program.

python benchmarks/plan.py [LARGEST]

Partners stand in five stages with revenue drawn at random; ten actions with hours, costs, owners and seats, of which
seven have a known effect on the chance to move forward or on revenue. Hours, money, hours of three roles and the seats
of two actions are limited. The log holds eight steps a partner, drawn from two years; what was taken since the stage
was entered is not planned again. Every run is a process of its own with at most two threads. Plan: `plan_next_steps`
as a whole, from features, effects, consents and preferences to the table with reasons; imports are counted beside,
drawing the data and fitting the journey are not. Value is the sum of known gains; gap is how far below the best it may
be, as the prices of the limits prove; broken rules are limits exceeded, paused partners planned and partners planned
twice. Greedy: largest gain first over the same steps and limits. Integer program: `scipy.optimize.milp` (HiGHS) over
all steps of known gain to a relative gap of 1e-6, given up after 30 s. Four drawings a size: in two of them each
partner's gain is its own, in two its stage's.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

RESULT = Path(__file__).parent / "results" / "2026-11-22-plan.md"
AS_OF, LIMIT_SECONDS = "2026-06-30", 30
STAGES, EXITS = ["recruited", "onboarded", "activated", "growing", "strategic"], ["dormant", "left"]
OWNERS = ["partner manager", "partner enablement", "partner marketing"]


def draw(n: int, seed: int, *, own: bool):
    """What `plan_next_steps` is given, and the journey."""
    from partnerseg.journey.stages import Journey

    random = np.random.default_rng(seed)
    partners = pd.Index([f"p{number:06d}" for number in range(n)], name="partner_id")
    stage = random.choice([*STAGES, "dormant"], n, p=[0.1, 0.15, 0.35, 0.2, 0.1, 0.1])
    entered = pd.Timestamp(AS_OF) - pd.to_timedelta(random.integers(1, 700, n), unit="D")
    journey = Journey(STAGES, EXITS).fit(
        {"stages": pd.DataFrame({"partner_id": partners, "stage": stage, "entered_at": entered})}, AS_OF
    )
    revenue = random.lognormal(9, 1.4, n) * (1 + pd.Index(STAGES).get_indexer(stage))
    features = pd.DataFrame({"monetary_value_365d": revenue, "language": "en"}, index=partners)
    features["email_touches_365d"], features["phone_touches_365d"] = random.poisson(8, n), random.poisson(3, n)
    features["open_rate_365d"] = random.random(n)
    features["partner_nps_365d"] = np.where(random.random(n) < 0.05, -100.0, np.nan)
    actions, rows = {}, []
    for place in range(10):
        name = f"action_{place}"
        here = [*STAGES, "dormant"][place % 5 : place % 5 + 3] if place % 3 else STAGES[:4]
        hours, cost = [0.5, 4.0, 2.0, 6.0, 1.5, 5.0, 0.5, 0.1, 3.0, 3.0], [20, 250, 300, 800, 60, 400, 25, 1, 150, 900]
        actions[name] = {
            "stages": here,
            "hours": hours[place],
            "cost": float(cost[place]),
            "channels": [["phone", "email"], ["webinar", "event"], ["email", "portal", "phone"]][place % 3],
            "owner": OWNERS[place % 3],
            "default": here if place >= 7 else [],
            "seats": n // 20 if place in (1, 3) else 0,
        }
        for there in here if place < 7 else []:
            chance = random.uniform(0.01, 0.12) * (not own or place % 2)
            gain = random.uniform(0.02, 0.3) * own
            rows.append((name, there, 50, 0.5, 0.4, chance, chance / 2, 2 * chance, gain, gain / 2, 2 * gain))
    columns = ["action", "stage", "n", "chance_with", "chance_without", "effect_chance", "lower_chance", "upper_chance"]
    wishes = partners[random.random(n) < 0.6]
    words = np.array(["email", "phone", "portal", "webinar;phone", "event"])
    preferences = pd.DataFrame({"partner_id": wishes, "language": None, "topics": "pricing;events"})
    preferences["channels"] = words[random.integers(0, 5, len(wishes))]
    preferences["avoid"] = np.where(random.random(len(wishes)) < 0.2, "phone;action_3", None)
    paused = partners[random.random(n) < 0.05]
    taken = pd.Timestamp(AS_OF) - pd.to_timedelta(random.integers(1, 730, 8 * n), unit="D")
    log = pd.DataFrame({"partner_id": np.tile(partners, 8), "taken_at": taken})
    log["action"] = np.array(list(actions))[random.integers(0, len(actions), 8 * n)]
    return {
        "features": features,
        "segments": pd.DataFrame({"segment": 1}, index=partners),
        "rating": pd.DataFrame({"score": 50.0}, index=partners),
        "journey": journey,
        "actions": actions,
        "capacity": {
            "manager_hours": 0.6 * n,
            "budget": 60.0 * n,
            "due_days": 30,
            "owner_hours": {owner: round(share * n, 1) for owner, share in zip(OWNERS, (0.3, 0.2, 0.25), strict=True)},
        },
        "effects": pd.DataFrame(rows, columns=[*columns, "effect_value", "lower_value", "upper_value"]),
        "consents": pd.DataFrame(
            {"partner_id": paused, "purpose": "navigation", "granted": False, "changed_at": pd.Timestamp("2026-01-01")}
        ),
        "preferences": preferences,
        "log": log,
        "as_of": AS_OF,
    }


def choose_greedily(steps: pd.DataFrame, limits: dict[str, float]) -> float:
    left, done, value = np.array(list(limits.values())) * (1 + 1e-9), set(), 0.0
    gain, uses, partner = (steps[names].to_numpy() for names in ("gain", list(limits), "partner_id"))
    for row in np.argsort(-gain, kind="stable"):
        if partner[row] not in done and (uses[row] <= left).all():
            left, value = left - uses[row], value + gain[row]
            done.add(partner[row])
    return value


def solve_whole(steps: pd.DataFrame, limits: dict[str, float]) -> float:
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    n, partner = len(steps), pd.factorize(steps["partner_id"])[0]
    one_each = LinearConstraint(csr_array((np.ones(n), (partner, np.arange(n)))), -np.inf, 1)
    within = LinearConstraint(csr_array(steps[list(limits)].to_numpy().T), -np.inf, list(limits.values()))
    options = {"mip_rel_gap": 1e-6, "time_limit": LIMIT_SECONDS}
    found = milp(
        -steps["gain"].to_numpy(), integrality=np.ones(n), bounds=Bounds(0, 1), constraints=[one_each, within],
        options=options,
    )  # fmt: skip
    return -found.fun if found.x is not None else float("nan")


def run_child(n: int, seed: int, own: bool, whole: bool) -> None:
    start = time.perf_counter()
    from partnerseg.journey import next_steps

    imports = time.perf_counter() - start
    given = draw(n, seed, own=own)
    seen = []
    choose = next_steps.choose_steps

    def listen(steps: pd.DataFrame, limits: dict[str, float]):
        choice = choose(steps, limits)
        seen.append((steps, limits, choice))
        return choice

    next_steps.choose_steps = listen
    start, before = time.perf_counter(), time.process_time()
    plan = next_steps.plan_next_steps(**given)
    wall, cpu = time.perf_counter() - start, time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    steps, limits, choice = seen[0]
    broken = sum(steps.loc[choice.taken, name].sum() > limit * (1 + 1e-8) for name, limit in limits.items())
    broken += int(plan["partner_id"].isin(given["consents"]["partner_id"]).sum()) + int(
        plan["partner_id"].duplicated().sum()
    )
    result = {"imports": imports, "wall": wall, "cpu": cpu, "peak": peak, "planned": len(plan), "broken": broken}
    result |= {"steps": len(steps), "value": choice.value, "gap": choice.bound / choice.value - 1}
    start = time.perf_counter()
    result["greedy"] = choose_greedily(steps, limits)
    result["greedy_wall"] = time.perf_counter() - start
    if whole:
        start = time.perf_counter()
        result["whole"] = solve_whole(steps, limits)
        result["whole_wall"] = time.perf_counter() - start
    print(json.dumps(result, default=float))


def measure(n: int, seed: int, own: bool, whole: bool) -> dict[str, float]:
    threads = {name: "2" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    command = [sys.executable, __file__, "--child", str(n), str(seed), str(int(own)), str(int(whole))]
    output = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **threads}).stdout
    result = json.loads(output.splitlines()[-1])
    print(n, seed, own, {key: round(value, 6) for key, value in result.items()}, flush=True)
    return result


def main(largest: int) -> None:
    lines = ["# The plan: time, memory, value", "", (__doc__ or "").split("\n\n", 2)[2].strip(), ""]
    load = f"Load average of the machine when it began: {os.getloadavg()[0]:.1f}, on {os.cpu_count()} cores."
    lines += [
        load,
        "",
        "| partners | gains | steps | planned | plan s | CPU s | imports s | peak GB | gap | broken rules "
        "| over greedy | greedy s | over integer program | its s |",
        "| --- |" + " --- |" * 13,
    ]
    for n in [size for size in (1_000, 10_000, 100_000) if size <= largest]:
        for seed in range(4):
            own, whole = seed % 2 == 0, n <= 10_000
            got = measure(n, seed, own, whole)
            cells = [f"{n:,}", "own" if own else "of the stage", f"{got['steps']:,}", f"{got['planned']:,}"]
            cells += [f"{got[name]:.1f}" for name in ("wall", "cpu", "imports")] + [f"{got['peak']:.2f}"]
            cells += [f"{got['gap']:.1e}", f"{got['broken']:.0f}", f"{got['value'] / got['greedy'] - 1:+.1%}"]
            cells += [f"{got['greedy_wall']:.1f}"]
            cells += [f"{got['value'] / got['whole'] - 1:+.1e}", f"{got['whole_wall']:.1f}"] if whole else ["", ""]
            lines.append(f"| {' | '.join(cells)} |")
    text = "\n".join(lines) + "\n"
    RESULT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        run_child(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1", sys.argv[5] == "1")
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
