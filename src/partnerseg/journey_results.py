"""Result tables about the journey: stages and traffic, what steps did, routes, and the plan."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from partnerseg.journey.decisions import NONE, keep_steps, list_planned
from partnerseg.journey.effects import estimate_action_effects, judge_effects
from partnerseg.journey.next_steps import find_unknown_words, plan_next_steps
from partnerseg.journey.policies import VALUES, policy_value
from partnerseg.journey.routes import find_routes
from partnerseg.journey.stages import Journey
from partnerseg.journey.step_plans import add_texts, plan_partners, plan_segments
from partnerseg.models import Models

if TYPE_CHECKING:
    from partnerseg.journey.routes import Process
    from partnerseg.params import Params

COHORTS_TOLD = 8  # the latest ones
ALTERNATIVES = 3  # routes beside the best
ATTRIBUTES = ("segment_name", "partner_type", "region", "industry", "company_size")  # of those who wait
_NAMED = 3  # partners named in a notice
WITHIN = (30, 90, 180, 365)  # days, beside the journey's horizon


def tell_journey(
    models: Models, features: pd.DataFrame, partners: pd.DataFrame, groups: dict[str, pd.Index]
) -> dict[str, pd.DataFrame]:
    """Stages and traffic, for the programme and each region; with what waits, drops out, and how segments differ."""
    journey, settings, region = models.journey, models.params.journey, features["region"]
    targets = dict(settings.target_days.items())
    deals = bool(journey.current_["deal_id"].notna().any())
    worth = features["average_order_value_365d" if deals else "monetary_value_365d"]
    current = journey.current_.assign(region=journey.current_["partner_id"].map(region))
    horizons = sorted({*WITHIN, settings.horizon_days})
    segment: pd.Series = partners["segment_name"].fillna("no segment").astype(str)
    cohorts = pd.concat(
        [journey.conversion(cohort=settings.cohort), journey.conversion(by=region, cohort=settings.cohort)]
    )
    known, log = _describe_partners(models, partners), models.programme.frame("actions")
    return {
        "stages": pd.concat([current.assign(region="all"), current], ignore_index=True),
        "transitions": _spread(journey.transitions(), journey.transitions(by=region)),
        "conversion": _spread(journey.conversion(), journey.conversion(by=region)),
        "horizons": _spread(
            journey.conversion(horizon_days=horizons), journey.conversion(by=region, horizon_days=horizons)
        ),
        "cohorts": _keep_latest(cohorts).rename(columns={"group": "region"}),
        "conversion_segments": _by_group(groups, lambda rows: journey.conversion(by=segment.loc[rows])),
        "time_in_stage": _spread(
            journey.time_in_stage(targets=targets), journey.time_in_stage(by=region, targets=targets)
        ),
        "time_segments": _by_group(groups, lambda rows: journey.time_in_stage(by=segment.loc[rows], targets=targets)),
        "speed": journey.compare_groups(segment),
        "bottlenecks": _by_group(groups, lambda rows: journey.bottlenecks(worth.loc[rows])),
        "waiting": _by_group(groups, lambda rows: journey.describe_waiting(known.loc[rows], log=log)),
        "drop_outs": _spread(journey.drop_outs(), journey.drop_outs(by=region)),
    }


def tell_routes(models: Models, partners: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What steps did, the routes to the target from every stage, what avoiding costs, and what following is worth.

    All are about the programme as a whole: regions are too few to tell them apart.
    """
    params, journey = models.params, models.journey
    decisions = keep_steps(journey.decisions_, list_planned(params.actions))
    effects = estimate_action_effects(decisions)
    process = journey.process(actions=params.actions, effects=effects)
    objective = params.journey.objective if _knows_money(process) else "chance"
    target, stages = params.journey.target, [*journey.stages, *journey.exits]
    options: dict[str, Any] = {
        "to": target,
        "objective": objective,
        "within_days": max(params.journey.within_days, params.journey.horizon_days),
        "channels": {name: entry.channels for name, entry in params.actions.items()},
    }
    routes = [
        find_routes(process, stage, alternatives=ALTERNATIVES, **options).assign(start=stage, objective=objective)
        for stage in stages
        if stage != target
    ]
    told = pd.concat(routes, ignore_index=True)
    named = partners.loc[partners["segment_name"].notna(), "segment"].dropna()
    own = decisions[decisions["partner_id"].isin(named.index)]
    segments = estimate_action_effects(own, by=named)
    return {
        "effects": pd.concat([effects, segments], ignore_index=True),
        "routes": told,
        "avoiding": _price_avoiding(process, told, options),
        "route_value": _value_routes(params, journey),
    }


def plan_steps(models: Models, features: pd.DataFrame, partners: pd.DataFrame, effects: pd.DataFrame) -> pd.DataFrame:
    """The plan for the whole programme, index partner_id, with the title of each step in the report's language."""
    params, programme = models.params, models.programme
    plan = plan_next_steps(
        features,
        partners[["segment"]],
        _find_weakest(models, features),
        models.journey,
        actions=params.actions,
        capacity=params.plan,
        effects=effects,
        consents=programme.frame("consents"),
        preferences=programme.frame("preferences"),
        tickets=programme.frame("tickets"),
        log=programme.frame("actions"),
        as_of=params.programme.as_of,
    )
    titles = {name: action.text[params.report.language].title for name, action in params.actions.items()}
    plan.insert(4, "title", plan["action"].map(titles))
    plan["alternative_title"] = plan["alternative"].map(titles)
    return plan.set_index("partner_id")


def plan_stages(
    models: Models, partners: pd.DataFrame, willing: pd.Index, effects: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """The steps of every stage for each segment, in the report's language, and each willing partner's own plan."""
    params, journey = models.params, models.journey
    named = partners.dropna(subset=["segment", "segment_name"])
    names = named.drop_duplicates("segment").set_index("segment")["segment_name"]
    stages = [*journey.exits, *journey.stages]
    segments = plan_segments(effects, params.actions, stages=stages, segments=sorted(names.index))
    own = journey.current_[journey.current_["deal_id"].isna()].set_index("partner_id")[["stage", "entered_at"]]
    wishes = models.programme.frame("preferences").drop_duplicates("partner_id").set_index("partner_id")["avoid"]
    people = partners.loc[willing.intersection(own.index), ["segment"]].join(own).join(wishes)
    plans = plan_partners(
        segments,
        people,
        models.programme.frame("actions"),
        actions=params.actions,
        stages=journey.stages,
        to=params.journey.target,
        as_of=params.programme.as_of,
        horizon_days=journey.horizon_days,
    ).set_index("partner_id")
    told = add_texts(segments, params.actions, params.report.language)
    return {
        "segment_plans": told.assign(segment_name=told["segment"].map(names)),
        "partner_plans": plans.assign(region=partners["region"].reindex(plans.index)),
    }


def note_unknown_words(models: Models) -> pd.DataFrame:
    """What partners avoid that is no action, channel or topic: one row a word, columns as `Programme.notices`."""
    unknown = find_unknown_words(models.programme.frame("preferences"), models.params.actions)
    rows = []
    for word, own in unknown.groupby("word", sort=False):
        meant = own["nearest"].iloc[0]
        partners = ", ".join(own["partner_id"].head(_NAMED)) + (", ..." if len(own) > _NAMED else "")
        rows.append(
            {
                "kind": "warn",
                "code": "unknown_word",
                "table": "preferences",
                "file": "",
                "column": "avoid",
                "rows": len(own),
                "message": f"{word!r} is no action, channel or topic of actions.yaml and keeps no step away"
                f"{'' if pd.isna(meant) else f'; did you mean {meant!r}?'} ({partners})",
            }
        )
    columns = ["kind", "code", "table", "file", "column", "rows", "message"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns, "str") | {"rows": "int64"})


def _spread(table: pd.DataFrame, by_region: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table, by_region], ignore_index=True).rename(columns={"group": "region"})


def _by_group(groups: dict[str, pd.Index], compute: Any) -> pd.DataFrame:
    return pd.concat([compute(rows).assign(region=code) for code, rows in groups.items()], ignore_index=True)


def _keep_latest(cohorts: pd.DataFrame) -> pd.DataFrame:
    days = sorted(cohorts["cohort"].dropna().unique())[-COHORTS_TOLD:]
    return cohorts[cohorts["cohort"].isin(days)]


def _knows_money(process: "Process") -> bool:
    """Tell whether rewards and costs are known wherever transitions are."""
    seen = ~np.isnan(process.transitions).any(axis=2)
    return bool(seen.any() and not np.isnan((process.rewards - process.costs)[seen]).any())


def _describe_partners(models: Models, partners: pd.DataFrame) -> pd.DataFrame:
    """What those who wait may have in common: their kind, pauses, and steps they have not had in their stage."""
    from partnerseg.programme.consent import consent_at

    known = partners[[name for name in ATTRIBUTES if name in partners]].copy()
    allowed = consent_at(models.programme.frame("consents"), models.params.programme.as_of)["navigation"]
    known["paused"] = allowed.eq(False).reindex(known.index).fillna(False).map({True: "yes", False: "no"})
    return known


def _find_weakest(models: Models, features: pd.DataFrame) -> pd.DataFrame:
    """The factor of each partner that costs it most points."""
    contributions = models.rating.contributions(features)
    weights = models.rating.factors_["weight"].reindex(contributions.columns)
    lost = contributions.rsub(weights / weights.sum() * 100, axis=1).where(contributions.notna())
    lost = lost.dropna(how="all")
    return lost.idxmax(axis=1).reindex(features.index).to_frame("weakest_factor")


def _price_avoiding(process: "Process", routes: pd.DataFrame, options: dict[str, Any]) -> pd.DataFrame:
    """One row a start and a step of its best route: the chance to arrive with it and without, and what that loses."""
    best = routes[(routes["route"] == 1) & routes["action"].notna() & (routes["action"] != NONE)]
    rows = []
    for start, action in best[["start", "action"]].drop_duplicates().itertuples(index=False):
        other = find_routes(process, start, avoid=[action], alternatives=0, **options)
        chance = best.loc[best["start"] == start, "route_chance"].iloc[0]
        rows.append((start, action, chance, other["route_chance"].iloc[0], other["avoiding_costs"].iloc[0]))
    table = pd.DataFrame(rows, columns=["start", "action", "arrive", "arrive_without", "loses"])
    return table.assign(objective=options["objective"])


def _value_routes(params: "Params", journey: Journey) -> pd.DataFrame:
    """What a period would have brought, less costs, had those who got a step got the one that helps most there.

    Which one that is, is told from the earlier half of the decisions, as far as what came of them came in it too, and
    what it is worth from the later half: from all steps of it, planned ones or not, as their chances are of all that
    might have been taken.
    """
    decisions, period = journey.decisions_, params.journey.horizon_days
    after = decisions["decided_at"] - pd.Timestamp(decisions["decided_at"].median())
    later, earlier = after > pd.Timedelta(0), after <= -pd.Timedelta(days=period)
    effects = estimate_action_effects(keep_steps(decisions[earlier], list_planned(params.actions)))
    helps = effects[(effects["lower_value"] > 0) & judge_effects(effects)["helps"]].sort_values(
        "effect_value", ascending=False, kind="stable"
    )
    best = {str(stage): str(action) for action, stage in helps.drop_duplicates("stage")[["action", "stage"]].to_numpy()}
    steps = decisions[later & (decisions["action"] != NONE) & decisions["value_after"].notna()]
    steps = steps[steps["stage"].isin(list(best))]
    if steps.empty:
        return pd.DataFrame(columns=VALUES)
    log = steps.assign(
        reward=steps["value_after"] - steps["cost"].fillna(0), period=steps.groupby("partner_id").cumcount()
    )
    return policy_value(log, best, periods=1)
