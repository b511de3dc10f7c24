"""How often segments keep their ids, events are named, moves are reported, and a model is called stale.

python benchmarks/moves.py [RUNS] [PART ...]

Parts: `ids`, `lineage`, `profiles`, `moves`, `programme`, `drift`; all if none is named. Every run has a seed of its
own. A world has 600 partners (2,000 in `drift` and the sample programme), five segments whose centers lie at least six
standard deviations apart in six numbers (two lognormal, one a count, in the columns), two text columns, 10% unknown
cells. Half of a partner's variance stays with it, half is new at each date; 5% leave and 5% join in between. Programme
runs are a quarter of RUNS. Segments come from `PartnerSegmenter`, fitted anew at each date, or, where it says "truth",
from the planted ones with 4% of the members at random and 3% in the background.
"""

import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from partnerseg.features.build import build_features
from partnerseg.programme.simulate import simulate_programme
from partnerseg.segments.moves import (
    explain_moves,
    match_segments,
    measure_drift,
    settle_segments,
    trace_lineage,
)
from partnerseg.segments.segmenter import PartnerSegmenter

RESULTS = Path(__file__).parent / "results" / "2026-11-22-moves.md"
SHARES = np.array([0.3, 0.25, 0.2, 0.15, 0.1])
APART = 6.0
EVENTS = ("none", "split", "merge", "birth", "death")


@dataclass
class World:
    """Two dates of the same partners: features, and the planted segments."""

    old: pd.DataFrame
    new: pd.DataFrame
    truth_old: pd.Series
    truth_new: pd.Series


def draw_centers(rng: np.random.Generator, count: int, apart: float) -> np.ndarray:
    """Draw centers in six dimensions, scaled so that the nearest two are `apart`."""
    centers = rng.normal(size=(count, 6))
    gaps = np.linalg.norm(centers[:, None] - centers, axis=2) + np.diag(np.full(count, np.inf))
    return centers * apart / gaps.min()


def show_columns(rng: np.random.Generator, latent: np.ndarray, tastes: np.ndarray, unknown: float) -> pd.DataFrame:
    """Turn latent numbers into columns as partners have them, with gaps."""
    frame = pd.DataFrame(latent, columns=[f"x{place}" for place in range(6)])
    frame["x0"], frame["x1"] = np.exp(frame["x0"] + 5).round(2), np.exp(0.7 * frame["x1"] + 8).round(0)
    frame["x2"] = np.round(frame["x2"] * 4 + 20)
    frame["kind"] = np.array(["agent", "reseller", "integrator"], dtype=object)[tastes[:, 0]]
    frame["place"] = np.array(["north", "south", "east", "west"], dtype=object)[tastes[:, 1]]
    return frame.mask(rng.random(frame.shape) < unknown)


def draw_world(
    seed: int,
    event: str = "none",
    *,
    n: int = 600,
    movers: float = 0.0,
    turnover: float = 0.05,
    drift: str = "none",
    apart: float = APART,
) -> World:
    """Draw a world with one event, with partners who move, or with a drift of segment 1, between the dates."""
    rng = np.random.default_rng([seed, *event.encode()])
    centers = draw_centers(rng, 6, apart)
    before = rng.choice(5, n, p=SHARES)
    after, leaves = before.copy(), rng.random(n) < turnover
    moving = rng.random(n) < movers
    after[moving] = (before[moving] + rng.integers(1, 5, moving.sum())) % 5
    shares = np.array([0.1, 0.15, 0.2, 0.25, 0.3]) if drift == "sizes" else SHARES
    later = rng.choice(5, int(n * turnover), p=shares)
    if event == "split":
        after[(before == 1) & (rng.random(n) < 0.5)] = 5
    elif event == "merge":
        after[before == 3], later[later == 3] = 2, 2
    elif event == "birth":
        later = np.r_[later, np.full(int(0.12 * n), 5)]
    elif event == "death":
        gone = before == 3
        # Most leave, a few go anywhere; nobody joins there.
        after[gone] = rng.choice([0, 1, 2, 4], gone.sum())
        leaves |= gone & (rng.random(n) < 0.8)
        later = later[later != 3]
    own = rng.normal(size=(n + len(later), 6)) * np.sqrt(0.5)
    likes = np.stack([(rng.random(7) * 3).astype(int), (rng.random(7) * 4).astype(int)], axis=1)
    segment_new = np.r_[after, later]
    tastes = np.where(
        rng.random((len(own), 2)) < 0.5,
        likes[np.r_[before, later]],
        np.stack([rng.integers(0, 3, len(own)), rng.integers(0, 4, len(own))], axis=1),
    )
    frames = []
    for segments, rows in ((before, np.arange(n)), (segment_new, np.arange(len(own)))):
        deviation = own[rows] + rng.normal(size=(len(rows), 6)) * np.sqrt(0.5)
        frame_is_new, drifting = len(frames) == 1, (segments == 1)[:, None]
        if frame_is_new and drift == "spread":
            deviation = np.where(drifting, 2 * deviation, deviation)
        latent = centers[segments] + deviation
        if frame_is_new and drift == "way":
            gaps = np.linalg.norm(centers[:5] - centers[1], axis=1)
            gaps[1] = np.inf
            latent += drifting * 0.4 * (centers[gaps.argmin()] - centers[1])
        elif frame_is_new and drift == "one column":
            latent[:, 3] += drifting[:, 0] * 0.5 * apart
        elif frame_is_new and drift == "everywhere":
            latent[:, :3] += 0.3 * apart
        frame = show_columns(rng, latent, tastes[rows], 0.1)
        if frame_is_new and drift == "gaps":
            frame = frame.mask(drifting & (rng.random(frame.shape) < 0.4))
        frames.append(frame)
    ids = pd.Index([f"P{place:05d}" for place in range(len(own))], name="partner_id")
    stay = np.r_[~leaves, np.full(len(later), True)]
    old, new = frames[0].set_axis(ids[:n]), frames[1].set_axis(ids)[stay]
    return World(old, new, pd.Series(before, ids[:n]), pd.Series(segment_new, ids)[stay])


def blur(truth: pd.Series, seed: int, numbers: np.ndarray) -> pd.Series:
    """Number the planted segments anew, put 4% of the members anywhere and 3% in the background."""
    rng = np.random.default_rng([seed, 77])
    found = numbers[truth.to_numpy()]
    anywhere, background = rng.random(len(found)) < 0.04, rng.random(len(found)) < 0.03
    found = np.where(anywhere, rng.choice(np.unique(found), len(found)), found)
    return pd.Series(np.where(background, -1, found), truth.index)


def fit(features: pd.DataFrame, seed: int) -> tuple[PartnerSegmenter, pd.Series]:
    segmenter = PartnerSegmenter(random_state=seed).fit(features)
    return segmenter, pd.Series(segmenter.labels_, features.index)


def name_planted(found: pd.Series, truth: pd.Series) -> dict[int, int]:
    """Say for each found segment which planted one has most of its members."""
    return {segment: int(truth[found == segment].value_counts().idxmax()) for segment in np.unique(found[found >= 0])}


def check_lineage(lineage: pd.DataFrame, event: str, old: dict[int, int], new: dict[int, int]) -> bool:
    """Tell whether exactly the planted event is named, of the right segments, and all others continued."""
    told = {
        (row.event, tuple(sorted(old[segment] for segment in row.old)), tuple(sorted(new[s] for s in row.new)))
        for row in lineage.itertuples()
    }
    special = {
        "none": set(),
        "split": {("split", (1,), (1, 5))},
        "merge": {("merged", (2, 3), (2,))},
        "birth": {("appeared", (), (5,))},
        "death": {("died", (3,), ())},
    }[event]
    touched = {"split": {1}, "merge": {2, 3}, "death": {3}}.get(event, set())
    same = {("continued", (segment,), (segment,)) for segment in range(5) if segment not in touched}
    return told == special | same


def tell_share(hits: list[bool]) -> str:
    return f"{np.mean(hits):.1%} ({sum(hits)} of {len(hits)})" if hits else "none"


def run_ids(runs: int) -> list[str]:
    """Refit one world with ten seeds, and the same partners as they are at a second date."""
    same, dated, everyone = [], [], []
    for run in range(max(2, runs // 5)):
        world = draw_world(run)
        first = fit(world.old, 0)[1]
        planted = name_planted(first, world.truth_old)
        for seed in range(1, 11):
            again = fit(world.old, seed)[1]
            matched = match_segments(first, again)["segment"]
            renumbered = again.where(again < 0, again.map(matched))
            same.append(set(renumbered) - {-1} == set(first) - {-1})
            everyone.append(
                bool((renumbered[(first >= 0) & (again >= 0)] == first[(first >= 0) & (again >= 0)]).mean() > 0.98)
            )
        later = fit(world.new, 100 + run)[1]
        matched = match_segments(first, later)["segment"]
        names = name_planted(later, world.truth_new)
        dated += [planted.get(old) == names[new] for new, old in matched.items()]
    return [
        f"| refits of the same data keep every id (10 seeds a world) | {tell_share(same)} |",
        f"| ... and at least 98% of the members under it | {tell_share(everyone)} |",
        f"| segments that keep their id at the next date | {tell_share(dated)} |",
    ]


def run_lineage(runs: int) -> list[str]:
    rows = []
    for event in EVENTS:
        truth, fitted, found = [], [], []
        for run in range(max(runs, 200)):
            world = draw_world(run, event)
            rng = np.random.default_rng(run)
            numbers = rng.permutation(6), rng.permutation(6)
            labels = [blur(t, run, n) for t, n in zip((world.truth_old, world.truth_new), numbers, strict=True)]
            names = [dict(zip(n.tolist(), range(6), strict=True)) for n in numbers]
            truth.append(check_lineage(trace_lineage(*labels), event, *names))
            if run >= runs:
                continue
            old, new = fit(world.old, run)[1], fit(world.new, run + 1)[1]
            names = [name_planted(old, world.truth_old), name_planted(new, world.truth_new)]
            ok = check_lineage(trace_lineage(old, new), event, *names)
            fitted.append(ok)
            right = len(names[0]) == 5 and len(names[1]) == world.truth_new.nunique()
            found.append(right)
        seen = [hit for hit, right in zip(fitted, found, strict=True) if right]
        rows.append(
            f"| {event} | {tell_share(truth)} | {tell_share(fitted)} | {tell_share(found)} | {tell_share(seen)} |"
        )
    return rows


def run_profiles(runs: int) -> list[str]:
    """Match segments of other partners: none, or hardly any, are known at both dates."""
    rows = []
    for label, turnover in (("other partners", 1.0), ("all but 5% are new", 0.95)):
        hits, wrong = [], []
        for run in range(runs * 4):
            world = draw_world(run, turnover=turnover)
            numbers = np.random.default_rng(run).permutation(6)
            labels = blur(world.truth_old, run, np.arange(6)), blur(world.truth_new, run, numbers)
            matched = match_segments(*labels, old_features=world.old, new_features=world.new)["segment"]
            hits += [bool(matched.get(numbers[segment]) == segment) for segment in range(5)]
            # The same with one segment of which the old date knows nothing.
            least = labels[0].where(labels[0] != 4)
            fresh = match_segments(least, labels[1], old_features=world.old, new_features=world.new)["segment"]
            wrong.append(bool(fresh.get(numbers[4]) in range(4)))
        rows.append(f"| {label}: segments that keep their id | {tell_share(hits)} |")
        rows.append(f"| {label}: a new segment gets an old one's id | {tell_share(wrong)} |")
    return rows


def explain(
    old: pd.DataFrame, new: pd.DataFrame, seed: int, refit: bool
) -> tuple[pd.DataFrame, pd.Series, pd.Series, PartnerSegmenter]:
    """Fit at both dates as a user would and list the moves."""
    first, labels = fit(old, seed)
    after = lineage = None
    if refit:
        second, again = fit(new, seed + 1_000)
        ids = match_segments(labels, again, old_features=old, new_features=new)["segment"]
        lineage = trace_lineage(labels, again.where(again < 0, again.map(ids)))
        after = second.predict_proba(new).rename(columns=ids)
    before, between = first.predict_proba(old), first.predict_proba(new)
    last = between if after is None else after
    shared = before.index.intersection(last.index)
    flickers = (before.idxmax(axis=1)[shared] != last.idxmax(axis=1)[shared]).rename("flicker")
    return explain_moves(before, between, after, lineage=lineage), flickers, settle_segments(before), first


def run_moves(runs: int) -> list[str]:
    rows = []
    for apart, refit in ((APART, False), (APART, True), (4.0, False), (4.0, True)):
        false, naive, recall, plain, right, cause, sure = [], [], [], [], [], [], []
        for run in range(runs):
            still = draw_world(run, apart=apart)
            told, flickers, settled, _ = explain(still.old, still.new, run, refit)
            false.append(len(told) / len(flickers))
            naive.append(flickers.mean())
            sure.append((settled >= 0).mean())
            world = draw_world(run, movers=0.05, apart=apart)
            told, flickers, settled, first = explain(world.old, world.new, run, refit)
            both = flickers.index
            moved = both[(world.truth_old[both] != world.truth_new[both]).to_numpy()]
            names = name_planted(pd.Series(first.labels_, world.old.index), world.truth_old)
            recall.append(np.isin(moved, told.index).mean())
            plain.append(flickers[moved].mean())
            seen = told.loc[told.index.isin(moved)]
            right.append((seen["segment_after"].map(names) == world.truth_new[seen.index]).mean())
            cause.append((seen["cause"] == "partner").mean())
        label = f"{apart:.0f} sd apart, {'fitted anew' if refit else 'same model'}"
        rows.append(
            f"| {label} | {np.mean(false):.2%} (worst {np.max(false):.2%}) | {np.mean(naive):.2%} | "
            f"{np.mean(sure):.1%} | {np.mean(recall):.1%} | {np.mean(plain):.1%} | {np.mean(right):.1%} | "
            f"{np.mean(cause):.1%} |"
        )
    return rows


def run_programme(runs: int) -> list[str]:
    """The sample programme: a model of 2025-06-30 followed for a year by quarters, and one fitted anew at its end."""
    days = ["2025-06-30", "2025-09-30", "2025-12-31", "2026-03-31", "2026-06-30"]
    rows: dict[str, list[float]] = {}
    for run in range(max(2, runs // 4)):
        sample = simulate_programme(2_000, random_state=run)
        features = build_features(sample.tables, days)
        frames = [features.loc[day] for day in days]
        truth, moves = sample.truth.partners, sample.truth.moves
        first, labels = fit(frames[0], run)
        second, again = fit(frames[-1], run + 1_000)
        ids = match_segments(labels, again, old_features=frames[0], new_features=frames[-1])["segment"]
        lineage = trace_lineage(labels, again.where(again < 0, again.map(ids)))
        chances = [first.predict_proba(frame) for frame in frames]
        after = second.predict_proba(frames[-1]).rename(columns=ids)
        told = {
            "year, same model": explain_moves(chances[0], chances[-1]),
            "year, fitted anew": explain_moves(chances[0], chances[-1], after, lineage=lineage),
        }
        held, quarters = None, []
        for before, now in pairwise(chances):
            quarters.append(explain_moves(before, now, held=held))
            held = settle_segments(before, held)
        told["four quarters, same model"] = pd.concat(quarters)
        lately = moves.loc[moves["moved_at"].between("2024-06-30", "2026-06-30"), "partner_id"]
        everyone = frames[0].index.intersection(frames[-1].index)
        still = truth.loc[everyone.difference(lately)]
        gone = still["exited_at"] <= "2026-06-30"
        young = (still["joined_at"] > "2024-06-30") & ~gone
        groups = {"old and active": ~young & ~gone, "joined within a year": young, "left or dormant": gone}
        planted = moves[moves["moved_at"].between("2025-07-01", "2025-07-02")]
        planted = planted[planted["partner_id"].isin(everyone)]
        planted = planted[~(truth.loc[planted["partner_id"], "exited_at"] <= "2026-06-30").to_numpy()]
        for name, moved in told.items():
            for group, mask in groups.items():
                rows.setdefault(f"{name}: told to have moved, {group}", []).append(
                    still.index[mask].isin(moved.index).mean()
                )
            rows.setdefault(f"{name}: planted moves of July 2025 seen", []).append(
                planted["partner_id"].isin(moved.index).mean()
            )
        settled = settle_segments(chances[0]).loc[planted["partner_id"]] >= 0
        for quarter, _ in enumerate(quarters):
            seen = planted["partner_id"].isin(pd.concat(quarters[: quarter + 1]).index)
            rows.setdefault(f"planted moves seen after {3 * quarter + 3} months", []).append(seen.mean())
        rows.setdefault("planted movers settled before", []).append(settled.mean())
        likeliest = [table.idxmax(axis=1).loc[still.index[groups["old and active"]]] for table in chances]
        rows.setdefault("old and active, likeliest segment changed over the year", []).append(
            (likeliest[0] != likeliest[-1]).mean()
        )
        for certainty in (0.8, 0.9, 0.99):
            other = explain_moves(chances[0], chances[-1], certainty=certainty).index
            rows.setdefault(f"at {certainty}: old and active told to have moved", []).append(
                still.index[groups["old and active"]].isin(other).mean()
            )
            rows.setdefault(f"at {certainty}: planted moves seen", []).append(planted["partner_id"].isin(other).mean())
        for name, day in (("a quarter", 1), ("a year", 4)):
            drift = measure_drift(
                frames[0], first.predict(frames[0]), frames[day], first.predict(frames[day]), names=first.names_
            )
            rows.setdefault(f"model told to be stale after {name}", []).append(drift.stale)
            print(f"seed {run}, {name}: {drift.reason}")
    return [f"| {name} | {np.nanmean(v):.2%} | {np.nanmax(v):.2%} |" for name, v in rows.items()]


def run_drift(runs: int) -> list[str]:
    rows = []
    for drift in ("none", "none, other partners", "way", "one column", "everywhere", "spread", "gaps", "sizes"):
        cells = []
        for n, fitted in ((300, False), (2_000, False), (600, True)):
            stale, named = [], []
            for run in range(runs if fitted else 10 * runs):
                turnover = 1.0 if drift in ("sizes", "none, other partners") else 0.05
                world = draw_world(run, n=n, turnover=turnover, drift=drift)
                labels = world.truth_old, world.truth_new
                if fitted:
                    segmenter = fit(world.old, run)[0]
                    labels = segmenter.predict(world.old), segmenter.predict(world.new)
                told = measure_drift(world.old, labels[0], world.new, labels[1])
                names = name_planted(labels[0], world.truth_old)
                stale.append(told.stale)
                named.append(1 in [names[segment] for segment in told.segments.index[told.segments["stale"]]])
            cells.append(tell_share(stale))
            if drift in ("way", "one column", "spread", "gaps"):
                cells[-1] += f", segment named {np.mean(named):.0%}"
        rows.append(f"| {drift} | {' | '.join(cells)} |")
    return rows


PARTS = {
    "ids": (run_ids, ["## Ids", "", "| what | share |", "| --- | --- |"]),
    "lineage": (
        run_lineage,
        [
            "## Lineage",
            "",
            "Right: the planted event is named, of the right segments, and nothing else but continued.",
            "",
            "| planted | truth, 7% noise | fitted at both dates | both found the planted number | right of those |",
            "| --- | --- | --- | --- | --- |",
        ],
    ),
    "profiles": (run_profiles, ["## Profiles", "", "| what | share |", "| --- | --- |"]),
    "moves": (
        run_moves,
        [
            "## Moves of partners",
            "",
            "| model | told to have moved, nobody moved | another likeliest segment, nobody moved | settled | "
            "recall of moves | recall of likeliest | right target | cause is partner |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
        ],
    ),
    "programme": (
        run_programme,
        ["## The sample programme", "", "| what | mean | largest of the seeds |", "| --- | --- | --- |"],
    ),
    "drift": (
        run_drift,
        [
            "## Drift: told to be stale",
            "",
            "Segment 1 goes 40% of the way to its nearest (way), moves by half of the least distance of centers in one "
            "of six numbers (one column), all segments move by 0.3 of it in three (everywhere), segment 1 doubles its "
            "spread, loses 40% of its cells, shares are reversed (sizes). Segments are the planted ones, or predicted.",
            "",
            "| drift | 300 partners, truth | 2,000 partners, truth | 600 partners, fitted |",
            "| --- | --- | --- | --- |",
        ],
    ),
}


def main(runs: int = 20, *chosen: str) -> None:
    lines = ["# Moves, 22 November 2026", "", f"`python benchmarks/moves.py {runs}`; what the worlds are stands there."]
    for name in chosen or PARTS:
        run, head = PARTS[name]
        lines += ["", *head, *run(runs)]
        if not chosen:
            RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main(*[int(text) for text in sys.argv[1:2]], *sys.argv[2:])
