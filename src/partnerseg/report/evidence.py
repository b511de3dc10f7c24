"""Show results: every function takes a result and returns the piece of a page that is its evidence.

What a piece says beside its finding (measure, alternative text, note) stands under `evidence` in
`language/<code>.yaml`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from partnerseg.report import figures, findings, flow, html, journey, tables
from partnerseg.report.doubts import RELIABLE
from partnerseg.report.html import Evidence
from partnerseg.report.language import format_count, format_date, format_share, join_words, load_language, say, say_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def show_ledger(ledger: pd.DataFrame) -> Evidence:
    """Show what became of the rows read; see `figures.draw_ledger`."""
    readings = format_count(len(ledger))
    return _show("ledger", figures.draw_ledger(ledger), findings.state_ledger(ledger), data=ledger, readings=readings)


def show_freshness(freshness: pd.DataFrame, *, as_of: str) -> Evidence:
    """Show from when to when each table tells; see `figures.draw_freshness`."""
    drawn = figures.draw_freshness(freshness, as_of=as_of)
    return _show("freshness", drawn, findings.state_freshness(freshness, as_of=as_of), data=freshness)


def show_coverage(coverage: pd.DataFrame, *, partners: int) -> Evidence:
    """Show for what share of so many partners each family of features is known; see `figures.draw_coverage`."""
    n = format_count(partners)
    return _show("coverage", figures.draw_coverage(coverage), findings.state_coverage(coverage), data=coverage, n=n)


def show_aside(aside: pd.DataFrame) -> Evidence:
    """Show why rows were set aside; see `tables.list_aside`."""
    return _show_table("aside", tables.list_aside(aside), findings.state_aside(aside))


def show_structure(evidence: Any, *, segments: int) -> Evidence:
    """Show whether there are natural segments at all; see `figures.draw_structure` and `findings.state_structure`."""
    finding = findings.state_structure(evidence, segments=segments)
    data = pd.DataFrame({"statistic": [evidence.statistic], "null_95": [evidence.null_95], "shape": [evidence.shape]})
    return _show("structure", figures.draw_structure(evidence), finding, data=data)


def show_segment_map(
    partners: pd.DataFrame, sizes: pd.DataFrame, exemplars: pd.DataFrame, *, evidence: Any
) -> Evidence:
    """Show every partner as a point of the map; see `figures.draw_segment_map` and `findings.state_map`."""
    points = partners[["name", "segment_name", "probability", "x", "y"]]
    drawn = figures.draw_segment_map(partners, exemplars)
    finding = findings.state_map(sizes, evidence=evidence)
    return _show("map", drawn, finding, data=points, n=format_count(len(partners)))


def show_segment_sizes(sizes: pd.DataFrame, programme: pd.DataFrame, *, region: str) -> Evidence | None:
    """Show how large the segments are; nothing where there is one only. See `findings.state_sizes`."""
    if len(sizes) < 2:
        return None
    finding = findings.state_sizes(sizes, programme, region=region)
    data = sizes.assign(segment=sizes["segment"] + 1).rename(columns={"n": "partners"})
    return _show("sizes", figures.draw_segment_sizes(sizes), finding, data=data, n=format_count(sizes["n"].sum()))


def show_profile(profile: pd.DataFrame) -> Evidence | None:
    """Show what sets each segment apart; nothing where there is one only. See `findings.state_differences`."""
    if len(profile) < 2:
        return None
    listed, finding = tables.list_segments(profile), findings.state_differences(profile)
    return _show_table("profile", listed, finding, data=profile, rows=len(listed))


def show_typical(profile: pd.DataFrame) -> Evidence | None:
    """Show the typical values of each segment; nothing where there is one only. See `findings.state_typical`."""
    if len(profile) < 2:
        return None
    listed = tables.list_typical(profile)
    numbers = list(listed.select_dtypes("number").columns)
    finding = findings.state_typical(profile, column=numbers[0] if numbers else "")
    return _show_table("typical", listed, finding, data=profile, rows=len(listed))


def show_exemplars(exemplars: pd.DataFrame) -> Evidence | None:
    """Show who stands for each segment; nothing where there is one only. See `findings.state_exemplars`."""
    if exemplars.empty:
        return None
    listed, finding = tables.list_exemplars(exemplars), findings.state_exemplars(exemplars)
    return _show_table("exemplars", listed, finding, data=exemplars, rows=len(listed))


def show_stability(profile: pd.DataFrame, *, method: str, assignment: str) -> Evidence | None:
    """Show how well each segment is found again; nothing where there is one only. See `findings.state_profile`.

    Args:
        profile: One row a segment: segment, name, stability, chance_stability.
        method: How segments were found and why so, a sentence.
        assignment: How partners are assigned and why, a sentence.
    """
    if profile["stability"].notna().sum() < 2:
        return None
    drawn, data = (
        figures.draw_stability(profile, least=RELIABLE),
        profile[["segment", "name", "stability", "chance_stability"]],
    )
    finding = findings.state_profile(profile)
    return _show("stability", drawn, finding, data=data, least=RELIABLE, method=method, assignment=assignment)


def show_membership(partners: pd.DataFrame) -> Evidence | None:
    """Show how sure we are where partners belong; nothing where there is one segment only."""
    if (partners["probability"] == 1).all():
        return None
    unsure = partners.sort_values("probability", kind="stable")[["name", "segment_name", "probability"]]
    drawn, n = figures.draw_membership(partners, sure=findings.SURE), format_count(len(partners))
    return _show("membership", drawn, findings.state_membership(partners), data=unsure, n=n)


def show_questions(questions: pd.DataFrame, *, regions: Sequence[Any]) -> Evidence | None:
    """Show whom to ask for what to be surer of their segment; nothing where there is nobody to ask."""
    if questions.empty:
        return None
    listed = tables.list_questions(questions, regions=regions)
    return _show_table("questions", listed, findings.state_questions(questions), data=questions, action=True)


def show_criteria_instead(
    segments: pd.DataFrame, *, by: Sequence[str], currency: str, evidence: Any
) -> Evidence | None:
    """Show the criteria segments where there are no natural ones, and why; nothing where there are."""
    return None if evidence.found else _show_criteria(segments, by, currency, found=False)


def show_criteria_segments(
    segments: pd.DataFrame, *, by: Sequence[str], currency: str, evidence: Any
) -> Evidence | None:
    """Show the criteria segments beside natural ones; nothing where they already took their place."""
    return _show_criteria(segments, by, currency, found=True) if evidence.found else None


def show_potential(potential: pd.DataFrame, *, currency: str, level: float) -> Evidence:
    """Show what typical partners could reach and are expected to sell; see `findings.state_potential`."""
    drawn = figures.draw_potential(potential, currency=currency)
    listed, finding = (
        tables.list_potential(potential, currency=currency),
        findings.state_potential(potential, currency=currency),
    )
    return _show("potential", drawn, finding, data=listed, currency=currency, level=format_share(level))


def show_lineage(lineage: pd.DataFrame, year_before: pd.DataFrame) -> Evidence:
    """Show what became of the segments of a year ago; see `findings.state_lineage`."""
    listed = tables.list_lineage(lineage)
    finding = findings.state_lineage(lineage, year_before)
    return _show_table("lineage", listed, finding, data=lineage, rows=len(listed))


def show_movers(partners: pd.DataFrame, *, names: Any) -> Evidence | None:
    """Show who moved and what changed; nothing where segments cannot be compared. See `findings.state_movers`.

    Args:
        partners: One row a partner: name, segment_before, settled_segment, moved_from, move_cause, monetary_value_365d.
        names: Segment to name.
    """
    if partners["segment_before"].isna().all():
        return None
    moved = partners.assign(moved_to=partners["settled_segment"].map(dict(names)))
    return _show_table("movers", tables.list_movers(moved), findings.state_movers(partners))


def show_drift(drift: pd.DataFrame, year_before: pd.DataFrame) -> Evidence | None:
    """Show whether the model of a year ago still fits; nothing where there was none. See `findings.state_drift`."""
    if drift.empty:
        return None
    listed = tables.list_drift(drift)
    return _show_table("drift", listed, findings.state_drift(drift, year_before), data=drift, rows=len(listed))


def show_criterion(partners: pd.DataFrame, criterion: str) -> Evidence:
    """Show how many partners fall into each category of a criterion; see `figures.draw_criteria`."""
    drawn, finding = (
        figures.draw_criteria(partners, criterion=criterion),
        findings.state_criteria(partners, criterion=criterion),
    )
    counts, n = partners[criterion].value_counts(), format_count(len(partners))
    return _show("criterion", drawn, finding, data=counts, n=n, criterion=say_name(criterion))


def show_moves(moves: pd.DataFrame) -> Evidence | None:
    """Show between which segments partners moved; nothing where they cannot be compared. See `tables.list_moves`."""
    if moves.empty:
        return None
    return _show_table("moves", tables.list_moves(moves), findings.state_moves(moves), data=moves)


def show_tiers(tiers: pd.Series) -> Evidence:
    """Show how many partners stand in each tier; see `figures.draw_tiers`."""
    counts, n = tiers.value_counts(dropna=False), format_count(len(tiers))
    return _show("tiers", figures.draw_tiers(tiers), findings.state_tiers(tiers), data=counts, n=n)


def show_contributions(contributions: pd.DataFrame, means: pd.DataFrame) -> Evidence:
    """Show what each factor adds to the average score; see `figures.draw_factor_contributions`."""
    drawn, n = figures.draw_factor_contributions(contributions), format_count(len(contributions))
    return _show("contributions", drawn, findings.state_factor_contributions(contributions), data=means, n=n)


def show_ranks(partners: pd.DataFrame) -> Evidence:
    """Show the best and the last partners with the range of their rank; see `figures.draw_rank_intervals`."""
    columns = ["name", "score", "tier", "rank", "rank_lower", "rank_upper"]
    ranks = partners[columns].sort_values("rank", kind="stable")
    drawn = figures.draw_rank_intervals(ranks.rename(columns={"rank_lower": "lower", "rank_upper": "upper"}))
    n = format_count(ranks["rank"].count())
    return _show("ranks", drawn, findings.state_rank_intervals(ranks), data=ranks, n=n)


def show_advice(advice: pd.DataFrame, *, regions: Sequence[Any]) -> Evidence:
    """Show who is close below a tier and what would lift them; see `tables.list_advice`."""
    listed = tables.list_advice(advice, regions=regions)
    return _show_table("advice", listed, findings.state_advice(advice), data=advice, action=True)


def show_factors(factors: pd.DataFrame) -> Evidence:
    """Show how much each factor weighs; see `tables.list_factors`."""
    listed = tables.list_factors(factors)
    return _show_table("factors", listed, findings.state_factors(factors), data=factors, rows=len(listed))


def show_proof(proof: pd.DataFrame, *, outcome: str) -> Evidence:
    """Show how well the rating and plain figures ordered one outcome; see `figures.draw_proof`."""
    own = proof[proof["outcome"] == outcome].reset_index(drop=True)
    dates = (
        ""
        if own.empty
        else say("from_to", first=format_date(own["first"].iloc[0]), last=format_date(own["last"].iloc[0]))
    )
    finding, outcome = findings.state_proof(own), say_name(outcome)
    return _show("proof", figures.draw_proof(own), finding, data=own, outcome=outcome, dates=dates)


def show_tier_proof(tiers: pd.DataFrame, *, outcome: str, currency: str) -> Evidence | None:
    """Show what came of the partners of each tier; nothing without proof. See `figures.draw_tier_proof`."""
    if tiers.empty:
        return None
    own = tiers[tiers["outcome"] == outcome].reset_index(drop=True)
    drawn, finding = figures.draw_tier_proof(own, currency=currency), findings.state_tier_proof(own, currency=currency)
    return _show("tier_proof", drawn, finding, data=own, outcome=say_name(outcome), currency=currency)


def show_proof_table(proof: pd.DataFrame, *, outcome: str) -> Evidence | None:
    """Show how well the rating and plain figures ordered every outcome, the sentence about one; nothing without any."""
    if proof.empty:
        return None
    own = proof[proof["outcome"] == outcome].reset_index(drop=True)
    listed = tables.list_proof(proof)
    return _show_table("proof_table", listed, findings.state_proof(own), data=proof, rows=len(listed))


def show_steadiness(steadiness: pd.DataFrame) -> Evidence:
    """Show how much the order moves when something happens that should not matter; see `tables.list_steadiness`."""
    listed, finding = tables.list_steadiness(steadiness), findings.state_steadiness(steadiness)
    return _show_table("steadiness", listed, finding, data=steadiness)


def show_rating_models(models: pd.DataFrame) -> Evidence:
    """Show the ways of weighting side by side; see `tables.list_rating_models`."""
    listed, finding = tables.list_rating_models(models), findings.state_rating_models(models)
    return _show_table("rating_models", listed, finding, data=models, rows=len(listed))


def show_fairness(fairness: pd.DataFrame, *, regions: Sequence[Any]) -> Evidence:
    """Show how groups of partners fare in the rating; see `tables.list_fairness`."""
    listed = tables.list_fairness(fairness, regions=regions)
    named = fairness.assign(group=fairness["group"].replace({str(own.code): own.name for own in regions}))
    finding = findings.state_fairness(named)
    return _show_table("fairness", listed, finding, data=fairness, rows=len(listed))


def show_tier_changes(changes: pd.DataFrame, *, partners: pd.DataFrame) -> Evidence:
    """Show who rose and who fell within a year and why; see `tables.list_tier_changes`."""
    finding = findings.state_tier_changes(changes, partners=int(partners["score"].count()))
    return _show_table("tier_changes", tables.list_tier_changes(changes), finding, data=changes)


def show_economics(economics: pd.DataFrame, *, currency: str) -> Evidence:
    """Show what tiers bring and cost; see `tables.list_economics`."""
    listed = tables.list_economics(economics, currency=currency)
    finding = findings.state_economics(economics, currency=currency)
    return _show_table("economics", listed, finding, data=economics, rows=len(listed), currency=currency)


def show_what_if(what_if: pd.DataFrame, *, currency: str) -> Evidence:
    """Show what other thresholds would change; see `tables.list_what_if`."""
    listed = tables.list_what_if(what_if, currency=currency)
    finding = findings.state_what_if(what_if, currency=currency)
    return _show_table("what_if", listed, finding, data=what_if, currency=currency)


def show_flow(moves: pd.DataFrame, *, stages: Sequence[str], exits: Sequence[str]) -> Evidence:
    """Show how the stream narrows from stage to stage; see `flow.draw_flow`."""
    drawn = flow.draw_flow(moves, stages=list(stages), exits=list(exits))
    finding, listed = journey.state_flow(moves, stages=list(stages)), journey.list_flow(moves, stages=list(stages))
    return _show("flow", drawn, finding, data=listed, n=format_count(moves["n"].sum()))


def show_transitions(moves: pd.DataFrame, *, stages: Sequence[str], exits: Sequence[str]) -> Evidence:
    """Show all moves between stages and out; see `flow.draw_transitions`."""
    n = format_count(moves.loc[moves["next_stage"].notna(), "n"].sum())
    drawn = flow.draw_transitions(moves, stages=list(stages), exits=list(exits))
    finding = journey.state_transitions(moves, stages=list(stages))
    return _show("transitions", drawn, finding, data=journey.list_transitions(moves), n=n)


def show_cohorts(cohorts: pd.DataFrame, *, horizon_days: int) -> Evidence:
    """Show conversion by cohort; see `journey.list_cohorts`."""
    finding = journey.state_cohorts(cohorts, horizon_days=horizon_days)
    return _show_table("cohorts", journey.list_cohorts(cohorts), finding, data=cohorts, days=horizon_days)


def show_horizons(horizons: pd.DataFrame, *, horizon_days: int) -> Evidence:
    """Show who moves on within how many days; see `journey.list_horizons`."""
    finding = journey.state_horizons(horizons, horizon_days=horizon_days)
    return _show_table("horizons", journey.list_horizons(horizons), finding, data=horizons)


def show_groups(conversion: pd.DataFrame, *, bottlenecks: pd.DataFrame, horizon_days: int) -> Evidence:
    """Show how segments move on from the stage where most money waits; see `journey.draw_groups`."""
    stage = str(bottlenecks["stage"].iloc[0]) if len(bottlenecks) else ""
    finding = journey.state_groups(conversion, stage=stage, horizon_days=horizon_days)
    drawn = journey.draw_groups(conversion, stage=stage)
    listed = journey.list_conversion(conversion)
    return _show("groups", drawn, finding, data=listed, stage=say_name(stage), days=horizon_days)


def show_waiting(waiting: pd.DataFrame) -> Evidence:
    """Show what those who wait have in common; see `journey.list_waiting`."""
    return _show_table("waiting", journey.list_waiting(waiting), journey.state_waiting(waiting), data=waiting)


def show_drop_outs(drop_outs: pd.DataFrame, *, horizon_days: int) -> Evidence:
    """Show where partners drop out."""
    finding = journey.state_drop_outs(drop_outs, horizon_days=horizon_days)
    listed = journey.list_drop_outs(drop_outs)
    return _show_table("drop_outs", listed, finding, data=drop_outs, days=horizon_days)


def show_effects(effects: pd.DataFrame, *, horizon_days: int) -> Evidence:
    """Show what each step did to revenue, all partners together; see `journey.draw_effects`."""
    whole = effects[effects["segment"].isna()]
    finding = journey.state_effects(whole, horizon_days=horizon_days)
    listed = journey.list_effects(whole)
    return _show("effects", journey.draw_effects(whole), finding, data=listed, days=horizon_days)


def show_routes(routes: pd.DataFrame, *, to: str, within_days: int, currency: str) -> Evidence:
    """Show the routes from every stage; see `journey.list_routes`."""
    finding = journey.state_routes(routes, to=to, within_days=within_days)
    listed = journey.list_routes(routes, currency=currency)
    judged = say(f"figures.best_by_{routes['objective'].iloc[0]}")
    return _show_table("routes", listed, finding, data=routes, to=say_name(to), days=within_days, judged=judged)


def show_avoiding(avoiding: pd.DataFrame, *, currency: str) -> Evidence:
    """Show what leaving out a step of a route costs."""
    objective = str(avoiding["objective"].iloc[0]) if len(avoiding) else "value"
    finding = journey.state_avoiding(avoiding, objective=objective, currency=currency)
    listed = journey.list_avoiding(avoiding, objective=objective, currency=currency)
    judged, compared = say(f"figures.best_by_{objective}"), say(f"figures.avoided_by_{objective}")
    return _show_table("avoiding", listed, finding, data=avoiding, judged=judged, compared=compared)


def show_route_value(values: pd.DataFrame, *, currency: str, horizon_days: int) -> Evidence:
    """Show what following the best steps would have brought."""
    finding = journey.state_route_value(values, currency=currency, horizon_days=horizon_days)
    listed = journey.list_route_value(values)
    return _show_table("route_value", listed, finding, data=values, currency=currency, days=horizon_days)


def show_segment_plans(plans: pd.DataFrame) -> Evidence:
    """Show the steps of every stage, for everybody and by segment; see `journey.list_segment_plans`."""
    listed, rows = journey.list_segment_plans(plans), max(int(plans["segment"].isna().sum()), 1)
    return _show_table("segment_plans", listed, journey.state_segment_plans(plans), data=plans, rows=rows)


def show_stages(current: pd.DataFrame, *, stages: Sequence[str]) -> Evidence:
    """Show where partners or deals stand, stages and exits in order; see `figures.draw_stages`."""
    counts, n = current["stage"].value_counts(), format_count(len(current))
    drawn = figures.draw_stages(current, stages=list(stages))
    return _show("stages", drawn, findings.state_stages(current), data=counts, n=n)


def show_conversion(conversion: pd.DataFrame, *, horizon_days: int) -> Evidence:
    """Show what share moves on within the horizon; see `figures.draw_conversion`."""
    finding = findings.state_conversion(conversion, horizon_days=horizon_days)
    listed = journey.list_conversion(conversion)
    return _show("conversion", figures.draw_conversion(conversion), finding, data=listed, days=horizon_days)


def show_time_in_stage(times: pd.DataFrame) -> Evidence:
    """Show how long stages take; see `figures.draw_time_in_stage`."""
    finding = f"{findings.state_time_in_stage(times)} {journey.state_targets(times)}".strip()
    return _show("times", figures.draw_time_in_stage(times), finding, data=journey.list_times(times))


def show_time_segments(times: pd.DataFrame, speed: pd.DataFrame) -> Evidence:
    """Show how long segments stay; see `journey.list_time_segments`."""
    finding, listed = journey.state_time_segments(times, speed), journey.list_time_segments(times, speed)
    return _show_table("time_segments", listed, finding, data=times, rows=len(listed))


def show_bottlenecks(bottlenecks: pd.DataFrame, *, currency: str) -> Evidence:
    """Show where money waits; see `figures.draw_bottlenecks`."""
    drawn = figures.draw_bottlenecks(bottlenecks, currency=currency)
    finding = findings.state_bottlenecks(bottlenecks, currency=currency)
    listed = journey.list_bottlenecks(bottlenecks, currency=currency)
    return _show("bottlenecks", drawn, finding, data=listed, currency=currency)


def show_plan(plan: pd.DataFrame, *, currency: str) -> Evidence:
    """Show the next step of each partner; see `tables.list_steps`."""
    listed = tables.list_steps(plan, currency=currency)
    return _show_table("plan", listed, findings.state_plan(plan, currency=currency), data=plan, action=True)


def show_metrics(metrics: pd.DataFrame, programme: pd.DataFrame, *, window_days: int) -> Evidence:
    """Show all measures, the first against the whole programme's; see `tables.list_metrics`."""
    finding = findings.state_metric(metrics, metric="revenue_per_partner", programme=programme)
    listed = tables.list_metrics(metrics)
    return _show_table("metrics", listed, finding, data=metrics, rows=len(listed), days=window_days)


def show_metric_by(metrics: pd.DataFrame, metric: str, by: str, *, window_days: int) -> Evidence:
    """Show one measure for every group but `all`; see `figures.draw_metric_by_group`."""
    own = metrics[(metrics["metric"] == metric) & (metrics[by] != "all")]
    drawn = figures.draw_metric_by_group(own, metric=metric, by=by)
    finding = findings.state_metric_by_group(own, metric=metric, by=by)
    words = {"metric": say_name(metric), "by": say_name(by), "days": window_days}
    return _show("metric_by", drawn, finding, data=own, **words)


def show_trend(trend: pd.DataFrame, metric: str, *, unit: str, window_days: int) -> Evidence:
    """Show one measure over time; see `figures.draw_metric_trend`."""
    own = trend[trend["metric"] == metric]
    finding = findings.state_metric_trend(own, metric=metric, unit=unit)
    drawn = figures.draw_metric_trend(own, unit=unit)
    return _show("trend", drawn, finding, data=own, metric=say_name(metric), days=window_days)


def show_experiments(experiments: pd.DataFrame) -> Evidence:
    """Show who takes part in which experiment; see `tables.list_experiments`."""
    return _show_table("experiments", tables.list_experiments(experiments), findings.state_experiments(experiments))


def show_method(page: str, *, language: str = "en") -> Evidence:
    """Show how a page was made: `data`, `segments`, `rating`, `journey` or `effect`."""
    return html.show_method(load_language(language)["method"][page])


def _show_criteria(segments: pd.DataFrame, by: Sequence[str], currency: str, *, found: bool) -> Evidence:
    listed, finding = (
        tables.list_criteria_segments(segments, currency=currency),
        findings.state_criteria_segments(segments, by=by, found=found),
    )
    n, criteria = format_count(segments["n"].sum()), join_words(map(say_name, by))
    return _show_table("criteria_segments", listed, finding, data=segments, n=n, criteria=criteria)


def _show(name: str, drawn: "Axes", finding: str, *, data: Any, **values: Any) -> Evidence:
    return html.show_figure(drawn, finding=finding, data=data, **_find_words(name, **values))


def _show_table(
    name: str,
    frame: pd.DataFrame,
    finding: str,
    *,
    data: pd.DataFrame | None = None,
    action: bool = False,
    rows: int = 10,
    **values: Any,
) -> Evidence:
    words = _find_words(name, **values)
    return html.show_table(frame, finding=finding, data=data, action=action, rows=rows, **words)


def _find_words(name: str, **values: Any) -> dict[str, Any]:
    """Return what the catalog says of a piece: measure, note and, for figures, alt."""
    return {kind: say(f"evidence.{name}.{kind}", **values) for kind in load_language()["evidence"][name]}
