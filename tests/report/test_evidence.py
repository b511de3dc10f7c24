"""The pieces of the segments' page: what is shown where there are segments, and what where there are none."""

from types import SimpleNamespace

import matplotlib as mpl
import pandas as pd
import pytest

from partnerseg.params import Params
from partnerseg.report import doubts, evidence
from partnerseg.report.findings import is_known
from tests.report import frames as f
from tests.report.test_journey import HORIZONS, SPEED, TIME_SEGMENTS

FOUND = SimpleNamespace(found=True, reason="", statistic=5.9, null_95=2.0, shape="separate segments")
NOT_FOUND = SimpleNamespace(
    found=False, reason="35 partners are too few.", statistic=f.NAN, null_95=f.NAN, shape="one cloud"
)
REGIONS = [Params({"code": "north", "name": "North"}), Params({"code": "Київ", "name": "Київ"})]
ONE = f.PROFILE.head(1).assign(stability=f.NAN)
SURE = f.MEMBERS.assign(probability=1.0, segment=0, segment_before=pd.NA, move_cause=None)
NOWHERE = f.YEAR_BEFORE.assign(why_not="Nobody was in the programme a year ago.")
WAYS = {"stages": f.STAGES[:3], "exits": f.STAGES[3:]}
TIMES = f.TIMES.assign(target_days=[30.0, 60.0, f.NAN], within_target=[0.7, 0.4, f.NAN])
POINTS = f.POINTS.assign(name="p", probability=1.0)
CRITERIA = {"by": ["partner_type", "engagement_level"], "currency": "EUR"}


@pytest.fixture(autouse=True)
def draw_nowhere():
    mpl.use("agg")


SHOWN = {
    "structure": lambda: evidence.show_structure(FOUND, segments=2),
    "map": lambda: evidence.show_segment_map(POINTS, f.SIZES, f.EXEMPLARS, evidence=FOUND),
    "sizes": lambda: evidence.show_segment_sizes(f.PROFILE.head(2), f.PROFILE.head(2), region="all"),
    "profile": lambda: evidence.show_profile(f.PROFILE),
    "typical": lambda: evidence.show_typical(f.PROFILE),
    "exemplars": lambda: evidence.show_exemplars(f.EXEMPLARS),
    "stability": lambda: evidence.show_stability(f.PROFILE, method="By density.", assignment="Neighbors vote."),
    "membership": lambda: evidence.show_membership(f.MEMBERS),
    "questions": lambda: evidence.show_questions(f.QUESTIONS, regions=REGIONS),
    "criteria": lambda: evidence.show_criteria_segments(f.CRITERIA_SEGMENTS, evidence=FOUND, **CRITERIA),
    "criteria instead": lambda: evidence.show_criteria_instead(f.CRITERIA_SEGMENTS, evidence=NOT_FOUND, **CRITERIA),
    "potential": lambda: evidence.show_potential(f.POTENTIAL, currency="EUR", level=0.9),
    "lineage": lambda: evidence.show_lineage(f.LINEAGE, f.YEAR_BEFORE),
    "movers": lambda: evidence.show_movers(f.MEMBERS, names={0: "New agents", 1: "Old resellers"}),
    "drift": lambda: evidence.show_drift(f.DRIFT, f.YEAR_BEFORE),
    "proof": lambda: evidence.show_proof(f.PROOF, outcome="next_revenue"),
    "tier proof": lambda: evidence.show_tier_proof(f.TIER_PROOF, outcome="next_revenue", currency="EUR"),
    "steadiness": lambda: evidence.show_steadiness(f.STEADINESS),
    "proof table": lambda: evidence.show_proof_table(f.PROOF, outcome="next_revenue"),
    "rating models": lambda: evidence.show_rating_models(f.RATING_MODELS),
    "fairness": lambda: evidence.show_fairness(f.FAIRNESS, regions=REGIONS),
    "tier changes": lambda: evidence.show_tier_changes(f.TIER_CHANGES, partners=pd.DataFrame({"score": [1.0, 2.0]})),
    "economics": lambda: evidence.show_economics(f.ECONOMICS, currency="EUR"),
    "what if": lambda: evidence.show_what_if(f.WHAT_IF, currency="EUR"),
    "flow": lambda: evidence.show_flow(f.MOVES, **WAYS),
    "transitions": lambda: evidence.show_transitions(f.MOVES, **WAYS),
    "cohorts": lambda: evidence.show_cohorts(f.COHORTS, horizon_days=90),
    "horizons": lambda: evidence.show_horizons(HORIZONS, horizon_days=90),
    "time segments": lambda: evidence.show_time_segments(TIME_SEGMENTS, SPEED),
    "groups": lambda: evidence.show_groups(f.SEGMENT_CONVERSION, bottlenecks=f.BOTTLENECKS.tail(1), horizon_days=90),
    "waiting": lambda: evidence.show_waiting(f.WAITING),
    "drop outs": lambda: evidence.show_drop_outs(f.DROP_OUTS, horizon_days=90),
    "effects": lambda: evidence.show_effects(f.EFFECTS, horizon_days=90),
    "routes": lambda: evidence.show_routes(f.ROUTES, to="activated", within_days=720, currency="EUR"),
    "avoiding": lambda: evidence.show_avoiding(f.AVOIDING, currency="EUR"),
    "route value": lambda: evidence.show_route_value(f.ROUTE_VALUE, currency="EUR", horizon_days=90),
    "segment plans": lambda: evidence.show_segment_plans(f.SEGMENT_PLANS),
    "time in stage": lambda: evidence.show_time_in_stage(TIMES),
    "plan": lambda: evidence.show_plan(f.PLAN, currency="EUR"),
}
LEFT_OUT = {
    "sizes": lambda: evidence.show_segment_sizes(ONE, ONE, region="all"),
    "profile": lambda: evidence.show_profile(ONE),
    "typical": lambda: evidence.show_typical(ONE),
    "exemplars": lambda: evidence.show_exemplars(f.EXEMPLARS.head(0)),
    "stability": lambda: evidence.show_stability(ONE, method="None.", assignment="There is one segment only."),
    "membership": lambda: evidence.show_membership(SURE),
    "questions": lambda: evidence.show_questions(f.QUESTIONS.head(0), regions=REGIONS),
    "criteria": lambda: evidence.show_criteria_segments(f.CRITERIA_SEGMENTS, evidence=NOT_FOUND, **CRITERIA),
    "criteria instead": lambda: evidence.show_criteria_instead(f.CRITERIA_SEGMENTS, evidence=FOUND, **CRITERIA),
    "proof table": lambda: evidence.show_proof_table(f.PROOF.head(0), outcome="retained"),
    "tier proof": lambda: evidence.show_tier_proof(f.TIER_PROOF.head(0), outcome="next_revenue", currency="EUR"),
    "moves": lambda: evidence.show_moves(pd.DataFrame({"a_year_ago": []})),
    "movers": lambda: evidence.show_movers(SURE, names={0: "All partners"}),
    "drift": lambda: evidence.show_drift(f.DRIFT.head(0), NOWHERE),
}
SAID = {
    "flow": (lambda: evidence.show_flow(f.MOVES.head(0), **WAYS), "We do not know where partners stand"),
    "transitions": (lambda: evidence.show_transitions(f.MOVES.tail(1), **WAYS), "We do not know of any move"),
    "cohorts": (lambda: evidence.show_cohorts(f.COHORTS.tail(2), horizon_days=90), "not two of them"),
    "horizons": (lambda: evidence.show_horizons(HORIZONS.head(0), horizon_days=90), "followed for longer"),
    "time segments": (
        lambda: evidence.show_time_segments(TIME_SEGMENTS.head(0), SPEED.head(0)),
        "there are not two to compare",
    ),
    "groups": (
        lambda: evidence.show_groups(f.SEGMENT_CONVERSION, bottlenecks=f.BOTTLENECKS.head(0), horizon_days=90),
        "We do not know how segments differ",
    ),
    "waiting": (lambda: evidence.show_waiting(f.WAITING.head(0)), "We do not see anything"),
    "drop outs": (lambda: evidence.show_drop_outs(f.DROP_OUTS.head(0), horizon_days=90), "We do not know of anybody"),
    "effects": (lambda: evidence.show_effects(f.EFFECTS.tail(1), horizon_days=90), "We do not know of a step"),
    "routes": (
        lambda: evidence.show_routes(f.ROUTES.tail(1), to="activated", within_days=720, currency="EUR"),
        "nothing is known of leaving left",
    ),
    "avoiding": (lambda: evidence.show_avoiding(f.AVOIDING.head(0), currency="EUR"), "We do not know of a step"),
    "route value": (
        lambda: evidence.show_route_value(f.ROUTE_VALUE.head(0), currency="EUR", horizon_days=90),
        "no step was logged",
    ),
    "segment plans": (lambda: evidence.show_segment_plans(f.SEGMENT_PLANS.head(0)), "We do not have a next step"),
    "structure": (lambda: evidence.show_structure(NOT_FOUND, segments=1), "35 partners are too few"),
    "map": (
        lambda: evidence.show_segment_map(POINTS.assign(segment=0), f.SIZES, f.EXEMPLARS.head(0), evidence=NOT_FOUND),
        "We do not see separate groups",
    ),
    "lineage": (lambda: evidence.show_lineage(f.LINEAGE.head(0), NOWHERE), "Nobody was in the programme a year ago"),
    "potential": (
        lambda: evidence.show_potential(f.POTENTIAL.tail(1), currency="EUR", level=0.9),
        "We do not know what partners could reach",
    ),
}


@pytest.mark.parametrize("piece", SHOWN)
def test_every_piece_has_a_finding_and_a_measure_without_gaps(piece):
    shown = SHOWN[piece]()
    finding, measure = shown.text.split("\n")
    assert finding.endswith(".")
    assert is_known(finding)
    assert measure
    assert "{" not in shown.text
    assert "nan" not in shown.text.split()


@pytest.mark.parametrize("piece", LEFT_OUT)
def test_what_needs_several_segments_or_a_year_before_is_left_out_without_them(piece):
    assert LEFT_OUT[piece]() is None


@pytest.mark.parametrize("piece", SAID)
def test_what_cannot_be_told_is_said(piece):
    show, words = SAID[piece]
    assert words in show().text


def test_a_stage_without_dates_is_not_called_too_young():
    counts = {"travelers": 9, "since_unknown_day": 5}
    conversion = pd.DataFrame({"stage": ["recruited", "onboarded"], "n": [0, 4], "conversion": [f.NAN, f.NAN]})
    assert doubts.list_journey_doubts(counts, f.PLAN.head(1), conversion) == [
        "5 stays in a stage have no date and are left out of all times.",
        "Too few have been followed from onboarded on for the whole horizon to tell who moves on.",
    ]
