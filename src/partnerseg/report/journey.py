"""What the journey's page states and lists: traffic, those who wait, what steps did, routes, plans."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from partnerseg.report.figures import draw_dots, draw_nothing
from partnerseg.report.findings import say_finding, tell_between
from partnerseg.report.language import (
    format_count,
    format_date,
    format_money,
    format_number,
    format_points,
    format_share,
    format_value,
    join_some,
    say,
    say_count,
    say_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NOTHING = "none"  # the action of doing nothing
_LITTLE = 0.0005  # a share that is written as 0
_LEAST = 30  # stays behind a group that is compared


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
    counts = {"skipped": step > 1, "back": step < 0, "out": ~told["next_stage"].isin(stages)}
    facts = {name: format_count(told.loc[rows, "n"].sum()) for name, rows in counts.items()}
    return say_finding("transitions", moves=say_count("move", told["n"].sum()), **facts)


def state_cohorts(cohorts: pd.DataFrame, *, horizon_days: int) -> str:
    """State how the latest cohort that was followed long enough moved on from the slowest stage, against those before.

    Args:
        cohorts: One row a cohort and stage: cohort, stage, n, converted, conversion, lower, upper, immature.
        horizon_days: Days within which moving on counts.
    """
    known = cohorts[~cohorts["immature"].astype(bool) & cohorts["conversion"].notna()]
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
    """List conversion by cohort, the latest first, those not followed long enough marked.

    Args:
        cohorts: One row a cohort and stage: cohort, stage, n, converted, left, waiting, conversion, lower, upper,
            immature.
    """
    listed = cohorts.sort_values("cohort", ascending=False, kind="stable", ignore_index=True)
    columns = ["stage", "n", "converted", "left", "waiting", "conversion", "lower", "upper", "immature"]
    return listed[columns].assign(cohort=listed["cohort"].map(format_date))[["cohort", *columns]]


def state_groups(conversion: pd.DataFrame, *, stage: str, horizon_days: int) -> str:
    """State which group moves on most from a stage and which least, and whether that may be chance.

    Args:
        conversion: One row a group and stage: group, stage, conversion, lower, upper, n.
        stage: The stage to compare in.
        horizon_days: Days within which moving on counts.
    """
    own = conversion[(conversion["stage"] == stage) & conversion["conversion"].notna() & (conversion["n"] >= _LEAST)]
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
    own = conversion[(conversion["stage"] == stage) & (conversion["n"] >= _LEAST)]
    own = own.sort_values("conversion", ascending=False, kind="stable")
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
    return say_finding(
        "targets",
        stage=say_name(first["stage"]),
        share=format_share(first["within_target"]),
        days=say_count("day", int(first["target_days"])),
    )


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
    """Draw what each step did to revenue in each stage, the largest change on top.

    Args:
        effects: One row an action and stage: action, stage, n, effect_value, lower_value, upper_value.
    """
    told = effects.dropna(subset=["effect_value"]).sort_values("effect_value", ascending=False, kind="stable")
    if told.empty:
        return draw_nothing()
    names = {"effect_value": "change", "lower_value": "lower", "upper_value": "upper"}
    labels = [
        say("figures.step_in_stage", action=say_name(action), stage=say_name(stage))
        for action, stage in zip(told["action"], told["stage"], strict=True)
    ]
    rows = told.rename(columns=names)[["change", "lower", "upper", "n"]].assign(step=labels)
    return draw_dots(rows, "step", "change", format_share)


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
        return say_finding("routes_unknown", to=say_name(to), reason=str(reason.iloc[0]) if len(reason) else "")
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
        return say_finding("route_value_refused", reason=reason)

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
    """List what was logged, what the best steps would have brought by each estimate, and the gain.

    Args:
        values: What `policy_value` returns.
    """
    listed = values.assign(method=values["method"].map(say_name))
    return listed.drop(columns=["largest_weight"] + ["reason"] * (not listed["reason"].any()))


def state_segment_plans(plans: pd.DataFrame) -> str:
    """State for how many segments the steps differ from those for everybody.

    Args:
        plans: One row a segment (missing: everybody), stage and step: segment, segment_name, stage, step, action.
    """
    if plans.empty:
        return say_finding("plan_none")
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
    """List the steps of every stage, those for everybody first, then of the segments.

    Args:
        plans: One row a segment (missing: everybody), stage and step: segment_name, stage, step, title, instructions,
            clear (it clearly helped there).
    """
    whose = plans["segment_name"].astype(object).where(plans["segment"].notna(), say_name("everybody"))
    listed = plans[["stage", "step", "title", "clear", "instructions"]].rename(columns={"clear": "clearly_helps"})
    listed.insert(0, "segment_name", whose)
    return listed


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


def _tell_points(chance: float) -> str:
    return format_value(abs(100 * chance), "points")


def _tell_reach(row: pd.Series, form: Callable[[float], str]) -> str:
    bounds = sorted([abs(row["lower"]), abs(row["upper"])])
    return tell_between(pd.Series({"lower": bounds[0], "upper": bounds[1]}), form)
