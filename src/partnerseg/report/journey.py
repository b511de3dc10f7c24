"""What the journey's page states and lists: traffic, those who wait, what steps did, routes, plans."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from partnerseg.report.figures import draw_dots, draw_nothing
from partnerseg.report.findings import FEW, say_finding, tell_between
from partnerseg.report.language import (
    MISSING,
    NO_BREAK,
    format_count,
    format_date,
    format_money,
    format_number,
    format_points,
    format_share,
    format_value,
    join_some,
    join_words,
    say,
    say_count,
    say_message,
    say_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NOTHING = "none"  # the action of doing nothing
_LITTLE = 0.0005  # a share that is written as 0
_LEAST = 30  # stays behind a group that is compared
_CLEAR = 0.05  # a difference that chance makes more seldom is called clear
_TINY = 1e-9  # a p-value under it is written as under a tenth of a percent too
_DRAWN = 10  # steps in one drawing
_NO_SEGMENT = "no segment"  # the group of those who are in none


def state_flow(moves: pd.DataFrame, *, stages: Sequence[str]) -> str:
    """State how many have reached the last stage so far, and where most are lost.

    Args:
        moves: One row a kind of move: stage, next_stage (missing: still there), n.
        stages: Stages in order.
    """
    entered = moves.groupby("stage")["n"].sum().reindex(list(stages), fill_value=0)
    if not entered.sum():
        return say_finding("stages_unknown")
    travelers, last = moves.loc[moves["next_stage"].isna(), "n"].sum(), stages[-1]
    lost = moves[moves["stage"].isin(stages) & moves["next_stage"].notna() & ~moves["next_stage"].isin(stages)]
    facts = {
        "n": format_count(travelers),
        "last": say_name(last),
        "reached": format_count(entered[last]),
    }
    if lost.empty:
        return say_finding("flow_whole", **facts)
    most = lost.groupby("stage")["n"].sum()
    return say_finding("flow", stage=say_name(most.idxmax()), lost=format_count(most.max()), **facts)


def state_transitions(moves: pd.DataFrame, *, stages: Sequence[str]) -> str:
    """State how many moves skipped a stage, went back, or led out.

    Args:
        moves: One row a kind of move: stage, next_stage (missing: still there), n.
        stages: Stages in order.
    """
    told = moves.dropna(subset=["next_stage"])
    if told.empty:
        return say_finding("transitions_none")
    place = {stage: number for number, stage in enumerate(stages)}
    step = told["next_stage"].map(place) - told["stage"].map(place)
    kinds = {"skipped": step > 1, "back": step < 0, "out": ~told["next_stage"].isin(stages)}
    counts = {name: int(told.loc[rows, "n"].sum()) for name, rows in kinds.items()}
    kinds_told = [say(f"findings.moves_{name}", n=format_count(n)) for name, n in counts.items() if n]
    all_moves = say_count("move", told["n"].sum())
    if not kinds_told:
        return say_finding("transitions_straight", moves=all_moves)
    return say_finding("transitions", moves=all_moves, kinds=join_words(kinds_told))


def list_flow(moves: pd.DataFrame, *, stages: Sequence[str]) -> pd.DataFrame:
    """List how many entered each stage, and what share went on, left or went back, and is still there.

    Args:
        moves: One row a kind of move: stage, next_stage (missing: still there), n (stays).
        stages: Stages in order.
    """
    place = {stage: number for number, stage in enumerate(stages)}
    here, there = moves["stage"].map(place), moves["next_stage"].map(place)
    kinds = {"went_on": there > here, "left_or_back": moves["next_stage"].notna() & ~(there > here)}
    kinds["still_there"] = moves["next_stage"].isna()
    counts = pd.DataFrame({name: moves["n"].where(rows, 0) for name, rows in kinds.items()})
    totals = counts.groupby(moves["stage"]).sum().reindex(list(stages), fill_value=0)
    stays = totals.sum(axis=1)
    shares = totals.div(stays.where(stays > 0), axis=0).rename(columns=lambda name: f"{name}_share")
    return shares.rename_axis("stage").reset_index().assign(stays=stays.to_numpy())[["stage", "stays", *shares]]


def list_transitions(moves: pd.DataFrame) -> pd.DataFrame:
    """List what became of everybody who entered a stage, one row a stage and what followed.

    Args:
        moves: One row a kind of move: stage, next_stage (missing: still there), n, share (of those who moved).
    """
    entered = moves.groupby("stage")["n"].transform("sum")
    following = moves["next_stage"].map(say_name).where(moves["next_stage"].notna(), say("figures.still_there"))
    return moves[["stage"]].assign(
        what_followed=following, stays=moves["n"], share_of_stays=moves["n"] / entered.where(entered > 0)
    )


def list_conversion(conversion: pd.DataFrame) -> pd.DataFrame:
    """List who moves on, by stage or by segment and stage; what was not followed long enough is missing.

    Args:
        conversion: One row a stage (and group): group, stage, n, converted, left, waiting, conversion, lower, upper,
            immature.
    """
    columns = ["group", "stage", "n", "converted", "left", "waiting", "conversion", "lower", "upper"]
    listed = conversion[[name for name in columns if name in conversion]].copy()
    listed.loc[_find_immature(conversion), ["conversion", "lower", "upper"]] = np.nan
    return listed.rename(
        columns={"group": "segment_name", "n": "stays", "converted": "moved_on", "left": "left_in_time"}
    )


def state_horizons(horizons: pd.DataFrame, *, horizon_days: int) -> str:
    """State where most move on only later than the horizon.

    Args:
        horizons: One row a stage and horizon: stage, horizon_days, conversion, lower, upper, immature.
        horizon_days: Days within which moving on counts elsewhere on the page.
    """
    days, known = say_count("day", horizon_days), horizons[~_find_immature(horizons)].dropna(subset=["conversion"])
    latest = (
        known[known["horizon_days"] > horizon_days].sort_values("horizon_days").drop_duplicates("stage", keep="last")
    )
    soon = known[known["horizon_days"] == horizon_days].set_index("stage")["conversion"]
    both = latest[latest["stage"].isin(soon.index)]
    if both.empty:
        return say_finding("horizons_unknown", days=days)
    gain = both["conversion"] - both["stage"].map(soon)
    first = both.loc[gain.sort_values(ascending=False, kind="stable").index[0]]
    return say_finding(
        "horizons",
        stage=say_name(first["stage"]),
        later=format_share(first["conversion"]),
        interval=tell_between(first, format_share),
        later_days=say_count("day", int(first["horizon_days"])),
        share=format_share(soon[first["stage"]]),
        days=days,
    )


def list_horizons(horizons: pd.DataFrame) -> pd.DataFrame:
    """List who moves on within how many days, one row a stage, one column a horizon.

    Args:
        horizons: One row a stage and horizon: stage, horizon_days, conversion, lower, upper, immature.
    """
    ordered = horizons.sort_values("horizon_days", kind="stable")
    columns = ordered["horizon_days"].map(lambda days: say_count("day", int(days)))
    ordered, columns = ordered[ordered["n"] > 0], columns[ordered["n"] > 0]
    order = pd.Index([stage for stage in horizons["stage"].unique() if stage in set(ordered["stage"])])
    return _spread_out(ordered.assign(horizon=columns), "stage", "horizon", _tell_conversion(ordered), order=order)


def state_cohorts(cohorts: pd.DataFrame, *, horizon_days: int) -> str:
    """State how the latest cohort that was followed long enough moved on from the slowest stage, against those before.

    Args:
        cohorts: One row a cohort and stage: cohort, stage, n, converted, conversion, lower, upper, immature.
        horizon_days: Days within which moving on counts.
    """
    known = cohorts[~_find_immature(cohorts) & cohorts["conversion"].notna() & (cohorts["n"] >= FEW)]
    known = known[known.groupby("stage")["cohort"].transform("nunique") > 1]
    if known.empty:
        return say_finding("cohorts_unknown", days=say_count("day", horizon_days))
    slowest = known.groupby("stage")["conversion"].mean().idxmin()
    own = known[known["stage"] == slowest].sort_values("cohort")
    latest, before = own.iloc[-1], own.iloc[:-1]
    earlier = float(np.average(before["conversion"], weights=before["n"]))
    clear = not latest["lower"] <= earlier <= latest["upper"]
    return say_finding(
        "cohorts_changed" if clear else "cohorts_same",
        stage=say_name(slowest),
        cohort=format_date(latest["cohort"]),
        share=format_share(latest["conversion"]),
        interval=tell_between(latest, format_share),
        earlier=format_share(earlier),
        days=say_count("day", horizon_days),
    )


def list_cohorts(cohorts: pd.DataFrame) -> pd.DataFrame:
    """List conversion by cohort, the latest first, one column a stage.

    Args:
        cohorts: One row a cohort and stage: cohort, stage, n, conversion, lower, upper, immature, and perhaps
            followed_days (that half were followed for) and so_far (the share by then).

    Returns:
        One row a cohort of which something can be told; where it is too early, what is known so far, and where
        partners are too few, that.
    """
    listed = cohorts.sort_values("cohort", ascending=False, kind="stable", ignore_index=True)
    named = listed.assign(cohort=listed["cohort"].map(lambda day: format_date(day).replace(" ", NO_BREAK)))
    told = _tell_conversion(listed)
    counts = [say("figures.of_stays", n=format_count(n)).replace(" ", NO_BREAK) for n in listed["n"]]
    cells = [f"{text} {n}" if text[0].isdigit() else text for text, n in zip(told, counts, strict=True)]
    stages = list(cohorts["stage"].unique())
    wide = _spread_out(named, "cohort", "stage", cells).set_index("cohort")[stages]
    untold = [say("none"), say("figures.too_early"), say("figures.too_few")]
    return wide[~wide.isin(untold).all(axis=1)].reset_index()


def state_groups(conversion: pd.DataFrame, *, stage: str, horizon_days: int) -> str:
    """State which group moves on most from a stage and which least, and whether that may be chance.

    Args:
        conversion: One row a group and stage: group, stage, conversion, lower, upper, n.
        stage: The stage to compare in.
        horizon_days: Days within which moving on counts.
    """
    own = _choose_groups(conversion, stage).dropna(subset=["conversion"])
    own = own[own["group"] != _NO_SEGMENT]
    days = say_count("day", horizon_days)
    if len(own) < 2:
        return say_finding("groups_unknown")
    own = own.sort_values("conversion", kind="stable")
    least, most = own.iloc[0], own.iloc[-1]
    return say_finding(
        "groups" if most["lower"] > least["upper"] else "groups_alike",
        stage=say_name(stage),
        most=str(most["group"]),
        most_share=format_share(most["conversion"]),
        least=str(least["group"]),
        least_share=format_share(least["conversion"]),
        days=days,
    )


def draw_groups(conversion: pd.DataFrame, *, stage: str) -> "Axes":
    """Draw the conversion of each group from one stage, the highest on top.

    Args:
        conversion: One row a group and stage: group, stage, conversion, lower, upper, n.
        stage: The stage to compare in.
    """
    own = _choose_groups(conversion, stage).sort_values("conversion", ascending=False, kind="stable")
    if len(own) < 2:
        return draw_nothing()
    return draw_dots(own.rename(columns={"group": "name"}), "name", "conversion", format_share)


def state_targets(times: pd.DataFrame) -> str:
    """State at which stage the target of days is met least; nothing where no stage has a target that can be told.

    Args:
        times: One row a stage: stage, target_days, within_target (0-1; missing: no target, or not followed so long).
    """
    told = times.dropna(subset=["within_target"])
    if told.empty:
        return ""
    first = told.sort_values("within_target", kind="stable").iloc[0]
    if first["within_target"] == 1:
        return say_finding("targets_met")
    return say_finding(
        "targets",
        stage=say_name(first["stage"]),
        share=format_share(first["within_target"]),
        days=say_count("day", int(first["target_days"])),
    )


def list_times(times: pd.DataFrame) -> pd.DataFrame:
    """List how long stages take, with their targets where there are any.

    Args:
        times: One row a stage: stage, n, censored, median_days, lower, upper, target_days, within_target.
    """
    listed = times.rename(columns={"n": "stays"}).dropna(axis="columns", how="all")
    columns = ["stage", "stays", "censored", "median_days", "lower", "upper", "target_days", "within_target"]
    return listed[[name for name in columns if name in listed]]


def state_time_segments(times: pd.DataFrame, speed: pd.DataFrame) -> str:
    """State in which stage segments differ most clearly in how long they stay, and who stays longest.

    Args:
        times: One row a segment and stage: group, stage, n, median_days (missing: more than half are
            there), lower, upper.
        speed: One row a stage with segments to compare: stage, pvalue_adj (0-1).
    """
    if speed.empty:
        return say_finding("time_segments_unknown")
    clear = speed[speed["pvalue_adj"] < _CLEAR].sort_values("pvalue_adj", kind="stable")
    if clear.empty:
        return say_finding("time_segments_alike")
    for stage in clear["stage"]:
        own = times[(times["stage"] == stage) & (times["n"] >= _LEAST) & (times["group"] != _NO_SEGMENT)]
        known = own.dropna(subset=["median_days"]).sort_values("median_days", kind="stable")
        if known.empty or len(own) < 2:
            continue
        fast = known.iloc[0]
        # Of a group that half have not left yet, only the lower bound can say that it stays longer.
        slower = pd.concat([own[own["median_days"].isna()], known.tail(1)])
        slower = slower[slower["lower"] > fast["upper"]]
        if slower.empty:
            return say_finding("time_segments_unclear", stage=say_name(stage))
        slow = slower.iloc[0]
        return say_finding(
            "time_segments_open" if pd.isna(slow["median_days"]) else "time_segments",
            stage=say_name(stage),
            fast=str(fast["group"]),
            fast_days=format_value(fast["median_days"], "day"),
            slow=str(slow["group"]),
            slow_days=format_value(slow["median_days"], "day"),
        )
    return say_finding("time_segments_few", stage=say_name(clear["stage"].iloc[0]))


def list_time_segments(times: pd.DataFrame, speed: pd.DataFrame) -> pd.DataFrame:
    """List how long segments stay, the longest where they differ most clearly first, and last whether it is chance.

    Args:
        times: One row a segment and stage: group, stage, n, censored, median_days, lower, upper.
        speed: One row a stage with segments to compare: stage, pvalue_adj (0-1).
    """
    told = times["n"] >= _LEAST
    stays_known = (told & times["median_days"].notna()).groupby(times["stage"]).transform("any")
    known = times[stays_known & told.groupby(times["group"]).transform("any")]
    if known["group"].nunique() < 2:
        return pd.DataFrame()
    clearest = speed.sort_values("pvalue_adj", kind="stable")["stage"]
    stage = next((name for name in clearest if name in set(known["stage"])), known["stage"].iloc[0])
    longest = known[(known["stage"] == stage) & (known["n"] >= _LEAST)]
    longest = longest.sort_values("median_days", ascending=False, na_position="first", kind="stable")
    order = pd.Index(longest["group"]).union(known["group"].unique(), sort=False)
    cells = [_tell_median(row) for _, row in known.iterrows()]
    listed = _spread_out(known, "group", "stage", cells, order=order)
    chance = speed.set_index("stage")["pvalue_adj"].reindex(listed.columns[1:])
    listed.loc[len(listed)] = [say("figures.by_chance_alone"), *chance.map(_tell_chance)]
    return listed.rename(columns={"group": "segment_name"})


def state_waiting(waiting: pd.DataFrame) -> str:
    """State what those who wait have in common most clearly.

    Args:
        waiting: One row a stage, attribute and value: stage, attribute, value, share, share_gone_on, difference.
    """
    if waiting.empty:
        return say_finding("waiting_alike")
    first = waiting.sort_values("difference", ascending=False, kind="stable").iloc[0]
    return say_finding(
        "waiting_without" if first["attribute"] == "missing_step" else "waiting",
        stage=say_name(first["stage"]),
        attribute=say_name(first["attribute"]),
        value=say_name(first["value"]),
        share=format_share(first["share"]),
        other=format_share(first["share_gone_on"]),
    )


def list_waiting(waiting: pd.DataFrame) -> pd.DataFrame:
    """List what is clearly more common among those who wait than among those who went on.

    Args:
        waiting: One row a stage, attribute and value: stage, attribute, value, n, share, share_gone_on, difference,
            lower, upper.
    """
    listed = waiting[["stage", "attribute", "value", "n", "share", "share_gone_on", "difference", "lower", "upper"]]
    listed = listed.assign(attribute=listed["attribute"].map(say_name), value=listed["value"].map(say_name))
    return listed.rename(columns={"n": "partners", "share": "share_waiting", "difference": "difference_share"})


def state_drop_outs(drop_outs: pd.DataFrame, *, horizon_days: int) -> str:
    """State where most drop out within the horizon.

    Args:
        drop_outs: One row a stage and exit: stage, exit, n, dropped, share, lower, upper.
        horizon_days: Days within which dropping out counts.
    """
    known = drop_outs[drop_outs["share"].notna() & (drop_outs["dropped"] > 0)]
    if known.empty:
        return say_finding("drop_outs_none")
    first = known.sort_values("share", ascending=False, kind="stable").iloc[0]
    if first["share"] < _LITTLE:
        most = known.sort_values("dropped", ascending=False, kind="stable").iloc[0]
        told = {"stage": say_name(most["stage"]), "exit": say_name(most["exit"]), "n": format_count(most["dropped"])}
        return say_finding("drop_outs_late", days=say_count("day", horizon_days), **told)
    return say_finding(
        "drop_outs",
        stage=say_name(first["stage"]),
        exit=say_name(first["exit"]),
        share=format_share(first["share"]),
        interval=tell_between(first, format_share),
        days=say_count("day", horizon_days),
    )


def list_drop_outs(drop_outs: pd.DataFrame) -> pd.DataFrame:
    """List where partners drop out, the largest share first.

    Args:
        drop_outs: One row a stage and exit: stage, exit, n, dropped, share, lower, upper.
    """
    listed = drop_outs.sort_values(["share", "dropped"], ascending=False, kind="stable", ignore_index=True)
    listed = listed.assign(exit=listed["exit"].map(say_name)).rename(columns={"n": "stays", "dropped": "dropped_ever"})
    return listed[["stage", "exit", "stays", "dropped_ever", "share", "lower", "upper"]]


def list_bottlenecks(bottlenecks: pd.DataFrame, *, currency: str) -> pd.DataFrame:
    """List who waits where, for how long, and what money waits.

    Args:
        bottlenecks: One row a stage: stage, waiting, unknown, median_wait_days, expected_days, value_waiting,
            money_waiting.
        currency: Currency of the money.
    """
    money = {name: f"{say_name(name)}, {currency}" for name in ("value_waiting", "money_waiting")}
    columns = ["stage", "waiting", "unknown", "median_wait_days", "expected_days", *money]
    listed = bottlenecks[[name for name in columns if name in bottlenecks]].dropna(axis="columns", how="all")
    return listed.rename(columns={**money, "unknown": "of_unknown_value"})


def state_effects(effects: pd.DataFrame, *, horizon_days: int) -> str:
    """State which step clearly helped most, and which harmed.

    Args:
        effects: One row an action and stage: action, stage, effect_value (relative change of revenue) with lower_value,
            upper_value, effect_chance (of moving forward) with lower_chance, upper_chance.
        horizon_days: Days after the step that it is told for.
    """
    days = say_count("day", horizon_days)
    sentences = []
    for kind in ("value", "chance"):
        named = {f"effect_{kind}": "effect", f"lower_{kind}": "lower", f"upper_{kind}": "upper"}
        told = effects[["action", "stage", *named]].rename(columns=named).dropna(subset=["effect"])
        best, worst = told[told["lower"] > 0].nlargest(1, "effect"), told[told["upper"] < 0].nsmallest(1, "effect")
        for word, rows in (("helps", best), ("harms", worst)):
            for _, row in rows.iterrows():
                sentences.append(
                    say_finding(
                        f"effects_{word}_{kind}",
                        action=say_name(row["action"]),
                        stage=say_name(row["stage"]),
                        change=format_share(abs(row["effect"])) if kind == "value" else _tell_points(row["effect"]),
                        interval=_tell_reach(row, format_share if kind == "value" else _format_points),
                        days=days,
                    )
                )
    return " ".join(sentences) or say_finding("effects_none")


def draw_effects(effects: pd.DataFrame) -> "Axes":
    """Draw what steps did to revenue in each stage, the largest change on top; of many the ten clearest.

    Args:
        effects: One row an action and stage: action, stage, n, effect_value, lower_value, upper_value.
    """
    told = effects.dropna(subset=["effect_value"])
    if told.empty:
        return draw_nothing()
    clear = (told["effect_value"] / (told["upper_value"] - told["lower_value"])).abs()
    told = told.loc[clear.sort_values(ascending=False, kind="stable").index[:_DRAWN]]
    told = told.sort_values("effect_value", ascending=False, kind="stable")
    names = {"effect_value": "change", "lower_value": "lower", "upper_value": "upper"}
    labels = [
        say("figures.step_in_stage", action=say_name(action), stage=say_name(stage))
        for action, stage in zip(told["action"], told["stage"], strict=True)
    ]
    rows = told.rename(columns=names)[["change", "lower", "upper", "n"]].assign(step=labels)
    return draw_dots(rows, "step", "change", format_share)


def list_effects(effects: pd.DataFrame) -> pd.DataFrame:
    """List what each step did in each stage, and why that is not told of the others.

    Args:
        effects: One row an action and stage: action, stage, n, effect_chance and effect_value with their lower_ and
            upper_, reason (why not told).
    """
    columns: dict[str, object] = {"action": effects["action"], "stage": effects["stage"], "decisions": effects["n"]}
    for kind, form in (("value", format_share), ("chance", _format_tenths)):
        parts = effects[[f"effect_{kind}", f"lower_{kind}", f"upper_{kind}"]].to_numpy(dtype=float)
        columns[f"effect_{kind}"] = [_tell_range(row, form) for row in parts]
    why = effects["reason"].fillna("").map(say_message)
    order = effects[["effect_value", "effect_chance"]].sort_values(
        ["effect_value", "effect_chance"], ascending=False, kind="stable"
    )
    listed, why = pd.DataFrame(columns).loc[order.index], why.loc[order.index]
    listed, why = listed.reset_index(drop=True), why.reset_index(drop=True)
    return listed.assign(why_unknown=why) if (why != "").any() else listed


def state_routes(routes: pd.DataFrame, *, to: str, within_days: int) -> str:
    """State the best way from the first stage that a way leads from, step by step.

    Args:
        routes: One row a start, route and stage: start, route, step, stage, action, route_chance, lower, upper, reason.
        to: Stage to reach.
        within_days: Days to get there in.
    """
    told = routes[(routes["route"] == 1) & routes["step"].notna()]
    if told.empty:
        reason = routes["reason"].replace("", np.nan).dropna()
        return say_finding(
            "routes_unknown", to=say_name(to), reason=say_message(str(reason.iloc[0])) if len(reason) else ""
        )
    start = told["start"].iloc[0]
    own = told[told["start"] == start]
    return say_finding(
        "routes_waiting" if own["action"].eq(_NOTHING).all() else "routes",
        start=say_name(start),
        to=say_name(to),
        way=_tell_way(own),
        share=format_share(own["route_chance"].iloc[0]),
        interval=tell_between(own.iloc[0], format_share),
        days=say_count("day", within_days),
    )


def list_routes(routes: pd.DataFrame, *, currency: str) -> pd.DataFrame:
    """List the routes from every stage, one row each: the way, its chance, days, cost and value.

    Args:
        routes: One row a start, route and stage, see `routes.find_routes`, with `start`.
        currency: Currency of the money.
    """
    rows = []
    told = routes[routes["route"].notna() & routes["step"].notna()]
    for (start, route), own in told.groupby(["start", "route"], sort=False):
        first = own.iloc[0]
        rows.append(
            {
                "start": say_name(start),
                "route": route,
                "way": _tell_way(own),
                "arrive": first["route_chance"],
                "lower": first["lower"],
                "upper": first["upper"],
                "days": first["route_days"],
                f"{say_name('cost')}, {currency}": first["route_cost"],
                f"{say_name('value')}, {currency}": first["route_value"],
            }
        )
    return pd.DataFrame(rows)


def state_avoiding(avoiding: pd.DataFrame, *, objective: str, currency: str) -> str:
    """State which step it costs most to leave out.

    Args:
        avoiding: One row a start and action: start, action, loses.
        objective: What routes are judged by: value, chance or time.
        currency: Currency of the money.
    """
    known = avoiding[avoiding["loses"] > 0]
    if known.empty:
        return say_finding("avoiding_none")
    first = known.sort_values("loses", ascending=False, kind="stable").iloc[0]
    loss = first["loses"]
    told = {
        "value": say("findings.a_partner", amount=format_money(loss, currency)),
        "chance": say("findings.of_chance", n=format_number(loss * 100, digits=2)),
        "time": say("findings.a_partner", amount=say_count("day", round(loss))),
    }
    return say_finding(
        "avoiding", action=say_name(first["action"]), start=say_name(first["start"]), loses=told[objective]
    )


def list_avoiding(avoiding: pd.DataFrame, *, objective: str, currency: str) -> pd.DataFrame:
    """List what leaving out a step of the best way loses, in the unit that ways are judged by.

    Args:
        avoiding: One row a start and action: start, action, arrive, arrive_without, loses.
        objective: What routes are judged by: value, chance or time.
        currency: Currency of the money.
    """
    listed = avoiding.assign(start=avoiding["start"].map(say_name), action=avoiding["action"].map(say_name))
    listed = listed.sort_values("loses", ascending=False, kind="stable", ignore_index=True)
    loses = listed["loses"] * (100 if objective == "chance" else 1)
    unit = say(f"figures.loses_by_{objective}", currency=currency)
    return (
        listed[["start", "action", "arrive", "arrive_without"]]
        .rename(columns={"start": "from_stage", "action": "left_out"})
        .assign(**{unit: loses})
    )


def state_route_value(values: pd.DataFrame, *, currency: str, horizon_days: int) -> str:
    """State what following the best steps would have brought, or why that is not known.

    Args:
        values: One row a method: method (doubly_robust, gain, logged and others), value, lower, upper, n, reason.
        currency: Currency of the values.
        horizon_days: Days after a step that are counted.
    """
    by_method = values.set_index("method")
    if "gain" not in by_method.index:
        return say_finding("route_value_unseen")
    gain, reason = by_method.loc["gain"], str(by_method.loc["gain", "reason"] or "")
    if pd.isna(gain["value"]):
        return say_finding("route_value_refused", reason=say_message(reason))

    def money(value: float) -> str:
        return format_money(value, currency)

    less = bool(gain["upper"] < 0)
    clear = less or bool(gain["lower"] > 0)
    return say_finding(
        ("route_value_less" if less else "route_value") if clear else "route_value_unclear",
        gain=money(abs(gain["value"]) if less else gain["value"]),
        interval=_tell_reach(gain, money) if less else tell_between(gain, money),
        logged=money(by_method.loc["logged", "value"]),
        days=say_count("day", horizon_days),
    )


def list_route_value(values: pd.DataFrame) -> pd.DataFrame:
    """List what was logged, what the best steps would have brought, and the gain; other estimates stay in the CSV.

    Args:
        values: What `policy_value` returns.

    Returns:
        One row each of the three; none where the gain is refused: the finding says why.
    """
    told = values[values["method"].isin(["logged", "doubly_robust", "gain"])]
    listed = told.assign(method=told["method"].map(say_name), effective_n=told["effective_n"].round())
    listed = listed.rename(columns={"n": "decisions"}).reset_index(drop=True)
    listed = listed[["method", "value", "lower", "upper", "decisions", "effective_n"]]
    return listed.head(0) if listed["value"].isna().any() else listed


def state_segment_plans(plans: pd.DataFrame) -> str:
    """State for how many segments the steps differ from those for everybody.

    Args:
        plans: One row a segment (missing: everybody), stage and step: segment, segment_name, stage, step, action.
    """
    if plans.empty:
        return say_finding("segment_plans_none")
    steps = plans.sort_values(["stage", "step"])[["segment", "segment_name", "stage", "action"]]
    everybody = steps.loc[steps["segment"].isna(), ["stage", "action"]].to_numpy().tolist()
    own = list(steps.dropna(subset=["segment"]).groupby("segment"))
    differ = [
        say("quote", name=str(rows["segment_name"].iloc[0]))
        for _, rows in own
        if rows[["stage", "action"]].to_numpy().tolist() != everybody
    ]
    if not differ:
        return say_finding("segment_plans_alike", segments=say_count("segment", len(own)))
    return say_finding("segment_plans", segments=join_some(differ))


def list_segment_plans(plans: pd.DataFrame) -> pd.DataFrame:
    """List the steps of every stage for everybody, then the stages of segments whose steps differ from these.

    Args:
        plans: One row a segment (missing: everybody), stage and step: segment, segment_name, stage, step, action,
            title, instructions, clear (it clearly helped there).
    """
    whose = plans["segment_name"].astype(object).where(plans["segment"].notna(), say_name("everybody"))
    ordered = plans.assign(whose=whose).sort_values("step", kind="stable")
    steps = ordered.groupby(["whose", "stage"])["action"].agg(tuple).to_dict()
    pairs = zip(whose, plans["stage"], strict=True)
    differs = np.array([steps[name, stage] != steps.get((say_name("everybody"), stage)) for name, stage in pairs])
    differs = differs.astype(bool) | plans["segment"].isna().to_numpy()
    listed = plans.loc[differs, ["stage", "step", "title", "clear", "instructions"]]
    listed = listed.rename(columns={"clear": "clearly_helps"}).reset_index(drop=True)
    if plans.loc[differs, "segment"].notna().any():
        listed.insert(3, "segment_name", whose[differs].to_numpy())
    return listed


def _find_immature(conversion: pd.DataFrame) -> pd.Series:
    """Tell which rows were not followed long enough."""
    if "immature" in conversion:
        return conversion["immature"].astype(bool)
    return pd.Series(False, index=conversion.index)


def _choose_groups(conversion: pd.DataFrame, stage: str) -> pd.DataFrame:
    """Choose the groups of a stage that are compared: enough stays, followed long enough."""
    return conversion[(conversion["stage"] == stage) & (conversion["n"] >= _LEAST) & ~_find_immature(conversion)]


def _tell_conversion(rows: pd.DataFrame) -> list[str]:
    """Tell a share with its interval, or that it is too early, or that nobody entered."""
    told = []
    for (_, row), early in zip(rows.iterrows(), _find_immature(rows), strict=True):
        if not row["n"]:
            told.append(say("none"))
        elif row["n"] < FEW:
            told.append(say("figures.too_few"))
        elif early or pd.isna(row["conversion"]):
            told.append(_tell_so_far(row))
        else:
            told.append(_tell_range(row[["conversion", "lower", "upper"]], format_share))
    return told


def _tell_so_far(row: pd.Series) -> str:
    """Tell what share has moved on within the days that half were followed for, where that is known."""
    if pd.isna(row.get("so_far", math.nan)) or not row["followed_days"]:
        return say("figures.too_early")
    days = say_count("day", int(row["followed_days"]))
    return say("figures.so_far", share=format_share(row["so_far"]), days=days)


def _tell_median(row: pd.Series) -> str:
    """Tell a median of days with its interval, or why there is none."""
    if row["n"] < _LEAST:
        return say("figures.too_few") if row["n"] else say("none")
    if pd.isna(row["median_days"]):
        return say("figures.half_there")
    return _tell_range(row[["median_days", "lower", "upper"]], format_number)


def _tell_range(parts: Iterable[float], form: Callable[[float], str]) -> str:
    """Tell a value with its interval in brackets, which is not broken at the end of a line."""
    value, lower, upper = (float(part) for part in parts)
    if math.isnan(value):
        return MISSING
    between = tell_between(pd.Series({"lower": lower, "upper": upper}), form)
    if not math.isnan(upper):
        between = say("figures.range", lower=form(lower), upper=form(upper))
    return " ".join([form(value), between.strip().replace(" ", NO_BREAK)]).strip()


def _tell_chance(pvalue: float) -> str:
    return say("none") if pd.isna(pvalue) else format_share(max(pvalue, _TINY))


def _spread_out(
    table: pd.DataFrame, row: str, column: str, cells: Sequence[str], *, order: pd.Index | None = None
) -> pd.DataFrame:
    """Lay a long table out: a row for each value of one column, a column for each of another, in their order."""
    wide = (
        table[[row, column]]
        .assign(cell=list(cells))
        .pivot_table(index=row, columns=column, values="cell", aggfunc="first")
    )
    rows = pd.Index(table[row].unique()) if order is None else order
    wide = wide.reindex(index=rows, columns=pd.Index(table[column].unique())).fillna(say("none"))
    return wide.rename_axis(index=row, columns=None).reset_index()


def _tell_way(steps: pd.DataFrame) -> str:
    """Tell the steps of a route: what to do in which stage, in order."""
    told = []
    for action, stage in zip(steps["action"], steps["stage"], strict=True):
        if pd.notna(action):
            key = "wait_in_stage" if action == _NOTHING else "step_in_stage"
            told.append(say(f"figures.{key}", action=say_name(action), stage=say_name(stage)))
    return say("figures.then").join(told)


def _format_points(chance: float) -> str:
    return format_points(100 * chance)


def _format_tenths(chance: float) -> str:
    """Format a difference of chances as points to a tenth; next to nothing is 0, as its sign would say too much."""
    return format_number(round(100 * chance, 1), digits=6)


def _tell_points(chance: float) -> str:
    return format_value(abs(100 * chance), "points")


def _tell_reach(row: pd.Series, form: Callable[[float], str]) -> str:
    bounds = sorted([abs(row["lower"]), abs(row["upper"])])
    return tell_between(pd.Series({"lower": bounds[0], "upper": bounds[1]}), form)
