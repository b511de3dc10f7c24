import inspect
import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from partnerseg.journey.stages import Journey
from partnerseg.report import figures, findings, html, journey, tables
from tests.report import frames as f

STAGES = f.STAGES[:3]
TIMES = f.TIMES.assign(target_days=[30.0, 60.0, f.NAN], within_target=[0.7, 0.4, f.NAN])
UNKNOWN = f.ROUTE_VALUE.assign(value=f.NAN, reason="a step was never logged there")
FEWER = f.ROUTE_VALUE.assign(
    value=-f.ROUTE_VALUE["value"], lower=-f.ROUTE_VALUE["upper"], upper=-f.ROUTE_VALUE["lower"]
)
HARMS_MOVES = pd.DataFrame(
    {
        "action": ["newsletter"], "stage": "onboarded", "effect_value": f.NAN, "lower_value": f.NAN,
        "upper_value": f.NAN, "effect_chance": -0.05, "lower_chance": -0.08, "upper_chance": -0.02,
    }
)  # fmt: skip

HORIZONS = pd.DataFrame(
    {
        "stage": ["recruited"] * 3 + ["onboarded"] * 3 + ["activated"],
        "horizon_days": [90, 180, 365] * 2 + [90],
        "n": [100] * 6 + [0],
        "conversion": [0.8, 0.85, 0.99, 0.3, 0.6, 0.9, f.NAN],
        "lower": [0.7, 0.75, 0.9, 0.2, 0.5, 0.8, f.NAN],
        "upper": [0.9, 0.95, 1.0, 0.4, 0.7, 1.0, f.NAN],
        "immature": [False, False, True] * 2 + [True],
    }
)
TIME_SEGMENTS = pd.DataFrame(
    {
        "group": ["New agents", "Old resellers", "New agents", "Old resellers"],
        "stage": ["recruited", "recruited", "onboarded", "onboarded"],
        "n": [50, 40, 45, 30],
        "censored": [5, 2, 8, 12],
        "median_days": [20.0, 21.0, 30.0, 90.0],
        "lower": [18.0, 19.0, 25.0, 70.0],
        "upper": [22.0, 23.0, 36.0, f.NAN],
    }
)
UNSURE = TIME_SEGMENTS.tail(1).assign(group="Third", median_days=f.NAN, lower=f.NAN)  # half have not left it yet
SPEED = pd.DataFrame({"stage": ["recruited", "onboarded"], "pvalue_adj": [0.4, 0.0]})

EXPECTED = [
    (
        lambda: journey.state_flow(f.MOVES, stages=STAGES),
        "Of 94 on the journey 60 have reached activated so far; most are lost from onboarded: 10.",
    ),
    (
        lambda: journey.state_flow(f.MOVES[f.MOVES["next_stage"] != "left"], stages=STAGES),
        "Of 94 on the journey 60 have reached activated so far; nobody was seen to leave.",
    ),
    (
        lambda: journey.state_transitions(f.MOVES, stages=STAGES),
        "Of 141 moves between stages, 20 skipped a stage, 6 led back and 15 led out; all others led to the next stage.",
    ),
    (
        lambda: journey.state_transitions(f.MOVES.query("next_stage == 'onboarded'"), stages=STAGES),
        "All 60 moves between stages led to the next stage.",
    ),
    (
        lambda: journey.state_horizons(HORIZONS, horizon_days=90),
        "From onboarded, 60% (between 50% and 70%) move on within 180 days, against 30% within 90 days.",
    ),
    (
        lambda: journey.state_time_segments(TIME_SEGMENTS, SPEED),
        "Segments differ most clearly at onboarded: half of “New agents” have left it within 30 days, "
        "half of “Old resellers” within 90 days.",
    ),
    (
        lambda: journey.state_time_segments(TIME_SEGMENTS.assign(median_days=[20.0, 21.0, 30.0, f.NAN]), SPEED),
        "Segments differ most clearly at onboarded: half of “New agents” have left it within 30 days; "
        "of “Old resellers” more than half are still there.",
    ),
    (
        lambda: journey.state_time_segments(TIME_SEGMENTS.assign(lower=36.0), SPEED),
        "Segments differ in how long they stay at onboarded, by a test on the whole programme; "
        "which of them stay longest is not clear.",
    ),
    (
        lambda: journey.state_time_segments(pd.concat([TIME_SEGMENTS, UNSURE]), SPEED),
        "Segments differ most clearly at onboarded: half of “New agents” have left it within 30 days, "
        "half of “Old resellers” within 90 days.",
    ),
    (
        lambda: journey.state_time_segments(
            TIME_SEGMENTS.assign(median_days=[20.0, 21.0, 30.0, f.NAN], lower=f.NAN), SPEED
        ),
        "Segments differ in how long they stay at onboarded, by a test on the whole programme; "
        "which of them stay longest is not clear.",
    ),
    (
        lambda: journey.state_time_segments(TIME_SEGMENTS.assign(n=29), SPEED),
        "Segments differ clearly in how long they stay at onboarded, "
        "but there are too few partners to say by how much.",
    ),
    (
        lambda: journey.state_time_segments(TIME_SEGMENTS, SPEED.assign(pvalue_adj=0.05)),
        "How long partners stay does not clearly differ between segments.",
    ),
    (
        lambda: journey.state_cohorts(f.COHORTS, horizon_days=90),
        "Of those who entered onboarded from 1 January 2026 on, 25% (between 15% and 35%) moved on within 90 days; "
        "of those before, 50%.",
    ),
    (
        lambda: journey.state_cohorts(f.COHORTS.assign(upper=0.6), horizon_days=90),
        "Of those who entered onboarded from 1 January 2026 on, 25% (between 15% and 60%) moved on within 90 days, "
        "no clear change from 50% before.",
    ),
    (
        lambda: journey.state_groups(f.SEGMENT_CONVERSION, stage="recruited", horizon_days=90),
        "From recruited, “Old resellers” moves on most: 70% within 90 days; “New agents” least: 40%.",
    ),
    (
        lambda: journey.state_groups(f.SEGMENT_CONVERSION.assign(upper=0.9), stage="recruited", horizon_days=90),
        "From recruited, between 40% and 70% move on within 90 days; the differences between segments may be chance.",
    ),
    (
        lambda: journey.state_targets(TIMES),
        "The target of 60 days is missed most at onboarded: 40% move on by then.",
    ),
    (
        lambda: journey.state_targets(TIMES.assign(within_target=[1.0, 1.0, f.NAN])),
        "At every stage whose target can be judged yet, all moved on in time.",
    ),
    (
        lambda: journey.state_waiting(f.WAITING),
        "Of those who wait at onboarded, 60% have partner type: agent; of those who went on, 20%.",
    ),
    (
        lambda: journey.state_waiting(f.WAITING.tail(1)),
        "Of those who wait at activated, 90% had no welcome call early on, of those who went on 70%.",
    ),
    (
        lambda: journey.state_drop_outs(f.DROP_OUTS, horizon_days=90),
        "Most drop out of onboarded: 18% (between 10% and 29%) end as left within 90 days of entering it.",
    ),
    (
        lambda: journey.state_drop_outs(f.DROP_OUTS.assign(share=0.0), horizon_days=90),
        "Hardly anybody drops out within 90 days of entering a stage; later most did from onboarded: 10 ended as left.",
    ),
    (
        lambda: journey.state_effects(f.EFFECTS, horizon_days=90),
        "Newsletter at onboarded raised revenue most: by 8% (between 3% and 13%) over the next 90 days. "
        "Technical audit at onboarded lowered revenue by 20% (between 10% and 30%); it is in no plan. "
        "Welcome call at recruited raised the chance to move on most: by 20 points (between 10 and 30) within 90 days.",
    ),
    (
        lambda: journey.state_effects(HARMS_MOVES, horizon_days=90),
        "Newsletter at onboarded lowered the chance to move on by 5 points (between 2 and 8); it is in no plan.",
    ),
    (
        lambda: journey.state_routes(f.ROUTES, to="activated", within_days=720),
        "From recruited the best way to activated is welcome call at recruited, then waiting at onboarded: "
        "40% (between 30% and 50%) get there within 720 days.",
    ),
    (
        lambda: journey.state_routes(f.ROUTES.assign(action="none"), to="activated", within_days=720),
        "From recruited 40% (between 30% and 50%) get to activated within 720 days without a step; "
        "we do not know of one that helps on the way.",
    ),
    (
        lambda: journey.state_avoiding(f.AVOIDING, objective="value", currency="EUR"),
        "On the way from recruited leaving out welcome call costs most: EUR 1 000 a partner.",
    ),
    (
        lambda: journey.state_avoiding(f.AVOIDING.assign(loses=[0.1, 0.2]), objective="chance", currency="EUR"),
        "On the way from onboarded leaving out newsletter costs most: 20 fewer in a hundred get there.",
    ),
    (
        lambda: journey.state_avoiding(f.AVOIDING.assign(loses=[90.2, 3.0]), objective="time", currency="EUR"),
        "On the way from recruited leaving out welcome call costs most: 90 days a partner.",
    ),
    (
        lambda: journey.state_route_value(f.ROUTE_VALUE, currency="EUR", horizon_days=90),
        "Had every partner with a step got the one that helps most there, it would have brought EUR 2 500 "
        "(between EUR 1 000 and EUR 4 000) more than the EUR 16 000 a step over 90 days.",
    ),
    (
        lambda: journey.state_route_value(FEWER, currency="EUR", horizon_days=90),
        "Had every partner with a step got the one that helps most there, it would have brought EUR 2 500 "
        "(between EUR 1 000 and EUR 4 000) less than the EUR −16 000 a step over 90 days.",
    ),
    (
        lambda: journey.state_route_value(f.ROUTE_VALUE.assign(lower=-500.0), currency="EUR", horizon_days=90),
        "Whether always giving the step that helps most brings more than the EUR 16 000 a step over 90 days is not "
        "clear: EUR 2 500 (between EUR −500 and EUR 4 000) more.",
    ),
    (
        lambda: journey.state_segment_plans(f.SEGMENT_PLANS),
        "The steps differ from those for everybody in “Old resellers”.",
    ),
    (
        lambda: journey.state_segment_plans(f.SEGMENT_PLANS.head(4)),
        "The steps of 1 segment are the same as those for everybody.",
    ),
]


@pytest.fixture(autouse=True)
def close_figures():
    mpl.use("agg")
    yield
    plt.close("all")


@pytest.mark.parametrize(("state", "sentence"), EXPECTED)
def test_findings_say_the_number_the_interval_and_the_comparison(state, sentence):
    assert state().replace("\u202f", " ").replace("\u00a0", " ") == sentence


NOTHING = [
    (lambda: journey.state_flow(f.MOVES.head(0), stages=STAGES), "no stage was recorded"),
    (lambda: journey.state_transitions(f.MOVES.tail(2), stages=STAGES), "any move"),
    (lambda: journey.state_cohorts(f.COHORTS.head(2), horizon_days=90), "not two of them"),
    (lambda: journey.state_cohorts(f.COHORTS.tail(4).assign(immature=True), horizon_days=90), "not two of them"),
    (lambda: journey.state_cohorts(f.COHORTS.assign(n=9), horizon_days=90), "not two of them"),
    (lambda: journey.state_groups(f.SEGMENT_CONVERSION, stage="onboarded", horizon_days=90), "not two of them"),
    (
        lambda: journey.state_groups(f.SEGMENT_CONVERSION.assign(immature=True), stage="recruited", horizon_days=90),
        "not two of them",
    ),
    (
        lambda: journey.state_groups(
            f.SEGMENT_CONVERSION.replace({"New agents": "no segment"}), stage="recruited", horizon_days=90
        ),
        "not two of them",
    ),
    (lambda: journey.state_horizons(HORIZONS.head(0), horizon_days=90), "nobody was followed for longer"),
    (lambda: journey.state_horizons(HORIZONS.assign(immature=True), horizon_days=90), "nobody was followed for longer"),
    (lambda: journey.state_time_segments(TIME_SEGMENTS, SPEED.head(0)), "not two to compare"),
    (lambda: journey.state_groups(f.SEGMENT_CONVERSION.assign(n=29), stage="recruited", horizon_days=90), "not two"),
    (lambda: journey.state_waiting(f.WAITING.head(0)), "sets those who wait apart"),
    (lambda: journey.state_drop_outs(f.DROP_OUTS.assign(dropped=0), horizon_days=90), "anybody who dropped out"),
    (lambda: journey.state_effects(f.EFFECTS.tail(1), horizon_days=90), "no clear difference"),
    (lambda: journey.state_routes(f.ROUTES.tail(1), to="activated", within_days=720), "nothing is known of leaving"),
    (lambda: journey.state_avoiding(f.AVOIDING.tail(1), objective="value", currency="EUR"), "that matters"),
    (lambda: journey.state_route_value(UNKNOWN, currency="EUR", horizon_days=90), "a step was never logged there"),
    (lambda: journey.state_route_value(f.ROUTE_VALUE.head(1), currency="EUR", horizon_days=90), "no step was logged"),
    (lambda: journey.state_segment_plans(f.SEGMENT_PLANS.head(0)), "a next step"),
]


@pytest.mark.parametrize(("state", "why"), NOTHING)
def test_where_nothing_can_be_said_the_finding_says_so_and_why(state, why):
    sentence = state()
    assert not findings.is_known(sentence)
    assert why in sentence
    assert "nan" not in sentence.split()


def test_without_a_target_nothing_is_said_of_one():
    assert journey.state_targets(TIMES.assign(within_target=f.NAN)) == ""


def test_every_finding_is_tested_here():
    named = {name for name, _ in inspect.getmembers(journey, inspect.isfunction) if name.startswith("state_")}
    for cases, without in ((EXPECTED, set()), (NOTHING, {"state_targets"})):
        tested = {name for state, _ in cases for name in state.__code__.co_names if name.startswith("state_")}
        assert named - without == tested


def read(frame: pd.DataFrame) -> list[dict[str, str]]:
    """Read a table as the page shows it."""
    told = html._lay_out(frame, "place", "measure", rows=len(frame))
    rows = [[cell.replace("\u00a0", " ") for cell in row] for row in told["rows"]]
    return [dict(zip([header["text"] for header in told["headers"]], row, strict=True)) for row in rows]


def test_cohorts_come_latest_first_and_of_those_that_are_too_young_nothing_is_told():
    rows = read(journey.list_cohorts(f.COHORTS))
    assert rows == [
        {
            "cohort": "1 January 2026",
            "recruited": "90% (80% to 97%) n = 20",
            "onboarded": "25% (15% to 35%) n = 20",
        },
        {
            "cohort": "1 October 2025",
            "recruited": "90% (85% to 95%) n = 60",
            "onboarded": "50% (40% to 60%) n = 40",
        },
    ]


def test_a_cohort_of_few_is_not_told():
    rows = read(journey.list_cohorts(f.COHORTS.assign(n=[9, 10, 60, 40, 30, 30])))
    assert rows[0] == {"cohort": "1 January 2026", "recruited": "too few", "onboarded": "25% (15% to 35%) n = 10"}
    assert journey.list_cohorts(f.COHORTS.assign(n=9)).empty


def test_where_one_stage_is_too_young_it_is_said_there():
    rows = read(journey.list_cohorts(f.COHORTS.assign(immature=[False, True] + [False] * 2 + [True] * 2)))
    assert rows[0] == {
        "cohort": "1 January 2026",
        "recruited": "90% (80% to 97%) n = 20",
        "onboarded": "too early to say",
    }


def test_of_a_young_cohort_the_share_so_far_is_told_and_never_as_that_of_the_horizon():
    young = f.COHORTS.assign(
        followed_days=[90] * 4 + [45, 0],
        so_far=[f.NAN] * 4 + [0.6, f.NAN],
    )
    assert read(journey.list_cohorts(young))[0] == {
        "cohort": "1 April 2026",
        "recruited": "so far 60% in 45 days",
        "onboarded": "too early to say",
    }


def test_a_cohort_that_nobody_entered_a_stage_in_has_a_dash_there():
    rows = read(journey.list_cohorts(f.COHORTS.drop(index=3)))
    assert rows[1] == {"cohort": "1 October 2025", "recruited": "90% (85% to 95%) n = 60", "onboarded": "–"}


def test_horizons_are_columns_and_a_stage_nobody_entered_is_no_row():
    rows = read(journey.list_horizons(HORIZONS))
    assert rows == [
        {
            "stage": "recruited",
            "90 days": "80% (70% to 90%)",
            "180 days": "85% (75% to 95%)",
            "365 days": "too early to say",
        },
        {
            "stage": "onboarded",
            "90 days": "30% (20% to 40%)",
            "180 days": "60% (50% to 70%)",
            "365 days": "too early to say",
        },
    ]


def test_segments_that_stay_longest_where_they_differ_come_first_and_chance_comes_last():
    rows = read(journey.list_time_segments(TIME_SEGMENTS.iloc[::-1], SPEED))
    assert rows == [
        {"segment": "Old resellers", "recruited": "21 (19 to 23)", "onboarded": "90 (at least 70)"},
        {"segment": "New agents", "recruited": "20 (18 to 22)", "onboarded": "30 (25 to 36)"},
        {"segment": "so different by chance alone", "recruited": "40%", "onboarded": "under 0.1%"},
    ]


def test_a_segment_of_few_stays_and_one_that_is_still_there_say_so():
    times = TIME_SEGMENTS.assign(n=[29, 40, 45, 0], median_days=[20.0, 21.0, f.NAN, f.NAN])
    times = pd.concat([times, times.tail(1).assign(group="Third", n=30, median_days=40.0)])
    rows = read(journey.list_time_segments(times, SPEED.head(0)))
    assert [row["recruited"] for row in rows] == ["21 (19 to 23)", "too few", "–", "–"]
    assert [row["onboarded"] for row in rows] == ["–", "more than half are still there", "40 (at least 70)", "–"]


def test_one_segment_is_no_table():
    assert journey.list_time_segments(TIME_SEGMENTS.query("group == 'New agents'"), SPEED).empty


def test_the_stream_is_listed_with_the_shares_that_are_drawn():
    rows = read(journey.list_flow(f.MOVES, stages=[*STAGES, "won"]))
    assert rows[1] == {
        "stage": "onboarded",
        "stays": "60",
        "went on": "66.7%",
        "left or back": "26.7%",
        "still there": "6.7%",
    }
    assert rows[3] == {"stage": "won", "stays": "0", "went on": "[x]", "left or back": "[x]", "still there": "[x]"}


def test_what_followed_a_stage_is_in_words_and_its_shares_sum_to_all():
    listed = journey.list_transitions(f.MOVES)
    assert read(listed)[3] == {
        "stage": "recruited",
        "what followed": "still there",
        "stays": "15",
        "share of them": "15%",
    }
    assert listed.groupby("stage")["share_of_stays"].sum().tolist() == pytest.approx([1, 1, 1, 1])


@pytest.mark.parametrize(
    "table",
    [
        lambda: journey.list_conversion(f.COHORTS.assign(region="all", group=None)),
        lambda: journey.list_times(TIMES.assign(region="all", target_days=f.NAN, within_target=f.NAN)),
        lambda: journey.list_bottlenecks(f.BOTTLENECKS.assign(region="all"), currency="EUR"),
        lambda: journey.list_drop_outs(f.DROP_OUTS),
    ],
)
def test_the_data_hold_only_columns_that_tell_something(table):
    listed = table().drop(columns="segment_name", errors="ignore")
    assert "region" not in listed
    assert not any(name in listed for name in ("target_days", "within_target", "cohort", "horizon_days", "immature"))
    assert listed.notna().any().all()


def test_conversion_of_what_is_too_young_is_missing_in_the_data():
    listed = journey.list_conversion(f.COHORTS)
    assert listed["conversion"].tolist() == pytest.approx([0.9, 0.25, 0.9, 0.5, f.NAN, f.NAN], nan_ok=True)
    assert listed["moved_on"].tolist() == f.COHORTS["converted"].tolist()


def test_money_that_waits_has_its_currency():
    rows = read(journey.list_bottlenecks(f.BOTTLENECKS, currency="EUR"))
    assert rows[0]["money that waits, EUR"] == "1\u202f230\u202f000"
    assert rows[0]["median days waiting"] == "64"


def test_effects_have_their_unit_and_interval_and_why_one_is_not_known():
    rows = read(journey.list_effects(f.EFFECTS))
    assert rows[0] == {
        "action": "newsletter",
        "stage": "onboarded",
        "times taken": "300",
        "change of revenue": "8% (3% to 13%)",
        "change of the chance to move on, points": "−1 (−3 to 1)",
        "why we do not know": "",
    }
    assert [row["action"] for row in rows] == ["newsletter", "welcome call", "technical audit", "co funding"]
    assert rows[3]["change of revenue"] == "[x]"
    assert rows[3]["why we do not know"] == "seen 3 times, fewer than 10"
    assert "why we do not know" not in read(journey.list_effects(f.EFFECTS.head(3)))[0]


@pytest.mark.parametrize(
    ("objective", "header", "cells"),
    [
        ("value", "costs to leave out, EUR a partner", ["1\u202f000", "0"]),
        ("chance", "fewer of 100 get there", ["10", "5"]),
        ("time", "days longer", ["12", "3"]),
    ],
)
def test_what_leaving_out_costs_is_in_the_unit_that_ways_are_judged_by(objective, header, cells):
    loses = {"value": [1000.0, 0.0], "chance": [0.1, 0.05], "time": [12.0, 3.0]}[objective]
    avoiding = f.AVOIDING.assign(loses=loses).iloc[::-1]
    rows = read(journey.list_avoiding(avoiding, objective=objective, currency="EUR"))
    assert [row[header] for row in rows] == cells
    assert rows[0]["from"] == "recruited"
    assert rows[0]["left out"] == "welcome call"
    assert (rows[0]["get there"], rows[0]["get there without it"]) == ("40%", "30%")


def test_drop_outs_are_sorted_by_share():
    rows = read(journey.list_drop_outs(f.DROP_OUTS))
    assert [row["share"] for row in rows] == ["18%", "5%", "[x]"]
    assert rows[0]["dropped out, at any time"] == "10"


def test_what_those_who_wait_share_is_listed_in_words():
    rows = read(journey.list_waiting(f.WAITING))
    assert rows[1] == {
        "stage": "activated",
        "attribute": "missing step",
        "value": "welcome call",
        "partners": "90",
        "share of those who wait": "90%",
        "share of those who went on": "70%",
        "difference": "20%",
        "interval": "5% to 35%",
    }


def test_a_route_is_one_row_and_a_stage_without_a_way_is_none():
    rows = read(journey.list_routes(f.ROUTES, currency="EUR"))
    assert [(row["start"], row["route"]) for row in rows] == [
        ("recruited", "1"),
        ("recruited", "2"),
        ("onboarded", "1"),
    ]
    assert rows[0]["way"] == "welcome call at recruited, then waiting at onboarded"
    assert rows[0]["get there"] == "40%"
    assert rows[0]["interval"] == "30% to 50%"
    assert rows[0]["days"] == "200"
    assert rows[2]["cost, EUR"] == "1"
    assert rows[2]["value, EUR"] == "6\u202f000"
    assert journey.list_routes(f.ROUTES.tail(1), currency="EUR").empty


def test_the_gain_is_listed_between_what_was_and_what_would_have_been():
    rows = read(journey.list_route_value(f.ROUTE_VALUE))
    assert [row["how it is estimated"] for row in rows] == [
        "as it was logged",
        "had the best step been taken",
        "difference",
    ]
    assert rows[2] == {
        "how it is estimated": "difference",
        "value": "2\u202f500",
        "interval": "1\u202f000 to 4\u202f000",
        "times taken": "900",
        "counts as": "170",
    }


def test_of_a_gain_that_is_refused_there_is_no_table():
    assert journey.list_route_value(UNKNOWN).empty


def test_reasons_are_told_in_words():
    refused = UNKNOWN.assign(reason="weights of pipeline_review in growing are uneven")
    sentence = journey.state_route_value(refused, currency="EUR", horizon_days=90)
    assert sentence.endswith("bring: weights of pipeline review in growing are uneven.")
    routes = f.ROUTES.tail(1).assign(reason="welcome_call was never seen")
    assert journey.state_routes(routes, to="activated", within_days=720).endswith("welcome call was never seen.")


def test_the_steps_for_everybody_are_named_so():
    rows = read(journey.list_segment_plans(f.SEGMENT_PLANS))
    assert [row["segment"] for row in rows] == ["everybody", "everybody", "Old resellers"]
    assert [row["clearly helps"] for row in rows] == ["yes", "no", "yes"]
    assert rows[0]["next step"] == "Welcome call"


def test_steps_of_segments_are_listed_only_where_they_differ():
    plans = f.SEGMENT_PLANS.assign(
        action=["welcome_call", "newsletter", "welcome_call", "technical_audit", "newsletter"]
    )
    rows = read(journey.list_segment_plans(plans))
    assert [(row["segment"], row["stage"]) for row in rows[2:]] == [
        ("New agents", "onboarded"),
        ("Old resellers", "recruited"),
    ]
    assert "segment" not in read(journey.list_segment_plans(plans.head(3)))[0]


def test_of_many_steps_the_clearest_are_drawn():
    many = pd.concat([f.EFFECTS.head(3)] * 5, ignore_index=True)
    many["stage"] = [f"stage {number}" for number in range(15)]
    many["effect_value"] = [0.01, 0.02, -0.5] * 5
    many[["lower_value", "upper_value"]] = [[-0.2, 0.2], [-0.05, 0.05], [-0.6, -0.4]] * 5
    names = [" ".join(text.get_text().split("\n")[:-1]) for text in journey.draw_effects(many).get_yticklabels()]
    assert len(names) == 10
    assert {name.split(" at ")[0] for name in names} == {"welcome call", "technical audit"}


def label(axes):
    return [text.get_text().split("\n")[0] for text in axes.get_yticklabels()]


def test_the_step_that_changed_most_is_on_top_and_what_is_not_known_is_not_drawn():
    axes = journey.draw_effects(f.EFFECTS)
    names = [" ".join(text.get_text().split("\n")[:-1]) for text in axes.get_yticklabels()]
    assert names == ["newsletter at onboarded", "welcome call at recruited", "technical audit at onboarded"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first is on top
    assert axes.get_xlim()[0] <= -0.3  # what lowered revenue is drawn whole


def test_groups_of_few_are_not_drawn():
    axes = journey.draw_groups(f.SEGMENT_CONVERSION, stage="recruited")
    assert label(axes) == ["Old resellers", "New agents"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: journey.draw_effects(f.EFFECTS.tail(1)),
        lambda: journey.draw_groups(f.SEGMENT_CONVERSION, stage="won"),
        lambda: journey.draw_groups(f.SEGMENT_CONVERSION.assign(n=29), stage="recruited"),
        lambda: journey.draw_groups(f.SEGMENT_CONVERSION.head(1), stage="recruited"),
    ],
)
def test_without_data_nothing_is_drawn(draw):
    assert draw().get_label() == figures.NOTHING


def test_without_a_date_of_entering_it_is_said_why_nothing_is_known_of_moving_on():
    for conversion in (f.CONVERSION.head(0), f.CONVERSION.assign(n=0, conversion=f.NAN)):
        sentence = findings.state_conversion(conversion, horizon_days=90)
        assert not findings.is_known(sentence)
        assert "no stage that leads further" in sentence


def test_the_plan_shows_only_columns_that_tell_something():
    whole = tables.list_steps(f.PLAN, currency="EUR")
    assert {"language", "topic", "alternative_title", "cost of refusing, EUR"} <= set(whole)
    second = tables.list_steps(f.PLAN.iloc[[1]].assign(expected_gain=5.0), currency="EUR")
    assert second.columns.tolist() == [
        "name", "stage", "title", "expected gain, EUR", "due_at", "owner", "channel", "reason"
    ]  # fmt: skip


@pytest.mark.parametrize("plan", [f.PLAN.head(0), f.PLAN.tail(1)])
def test_without_a_step_the_plan_says_what_may_be_the_reason(plan):
    sentence = findings.state_plan(plan, currency="EUR")
    assert not findings.is_known(sentence)
    assert "no partner may get one, or none fits the stage, the hours and the budget" in sentence
    assert tables.list_steps(plan, currency="EUR").empty


def make_journey(size: int, *, exits: tuple[str, ...] = ("left",)) -> Journey:
    """Fit a journey of so many stages with long names; 80 partners, of whom every fourth waits in the first stage."""
    stages = [f"stage {number} of a very long way, with “quotes” and 100% {{braces}}" for number in range(1, size + 1)]
    rows = []
    for partner in range(80):
        day = pd.Timestamp("2025-01-01") + pd.Timedelta(days=partner)
        for number, stage in enumerate(stages[: 1 if partner % 4 == 0 else size]):
            rows.append((f"p{partner}", stage, day + pd.Timedelta(days=number * (10 + partner % 4))))
        if exits and partner % 10 == 1:
            rows.append((f"p{partner}", exits[0], day + pd.Timedelta(days=30 * size)))
    table = pd.DataFrame(rows, columns=["partner_id", "stage", "entered_at"])
    return Journey(stages, exits, horizon_days=90).fit({"stages": table}, as_of="2026-06-30")


@pytest.mark.parametrize("size", [1, 2, 12])
@pytest.mark.parametrize("exits", [(), ("left",)])
def test_everything_can_be_said_of_one_stage_and_of_twelve_with_long_names(size, exits):
    own = make_journey(size, exits=exits)
    people = sorted(own.current_["partner_id"])
    segment = pd.Series({name: f"Segment {int(name[1:]) % 2}" for name in people})
    moves, conversion = own.transitions(), own.conversion()
    horizons, cohorts = own.conversion(horizon_days=[30, 90, 365]), own.conversion(cohort="quarter")
    by_segment, times, speed = own.conversion(by=segment), own.time_in_stage(by=segment), own.compare_groups(segment)
    bottlenecks, drop_outs = own.bottlenecks(pd.Series(1.0, index=people)), own.drop_outs().assign(region="all")
    stage = own.stages[0]
    sentences = [
        findings.state_stages(own.current_),
        journey.state_flow(moves, stages=own.stages),
        journey.state_transitions(moves, stages=own.stages),
        findings.state_conversion(conversion, horizon_days=90),
        journey.state_horizons(horizons, horizon_days=90),
        journey.state_cohorts(cohorts, horizon_days=90),
        journey.state_groups(by_segment, stage=stage, horizon_days=90),
        journey.state_drop_outs(drop_outs, horizon_days=90),
        findings.state_time_in_stage(own.time_in_stage()),
        journey.state_time_segments(times, speed),
        findings.state_bottlenecks(bottlenecks, currency="EUR"),
    ]
    for sentence in sentences:
        assert sentence.endswith(".")
        assert not {"nan", "None", "NaT", "[x]"} & set(re.split(r"[\s():;,]", sentence))
    listed = [
        journey.list_flow(moves, stages=own.stages),
        journey.list_transitions(moves),
        journey.list_conversion(conversion),
        journey.list_horizons(horizons),
        journey.list_cohorts(cohorts),
        journey.list_drop_outs(drop_outs),
        journey.list_times(own.time_in_stage()),
        journey.list_time_segments(times, speed),
        journey.list_bottlenecks(bottlenecks, currency="EUR"),
    ]
    for table in listed:
        assert not any("nan" in cell or "None" in cell for row in read(table) for cell in row.values())
    if size == 1:
        assert [findings.is_known(sentence) for sentence in sentences[3:7]] == [False] * 4
    else:
        assert findings.is_known(sentences[3])


def test_the_shares_of_a_journey_that_nobody_left_are_those_counted_by_hand():
    own = make_journey(3, exits=())
    first, second = own.stages[:2]
    rows = {row["stage"]: row for row in read(journey.list_conversion(own.conversion()))}
    assert (rows[first]["stays"], rows[first]["moved on in time"], rows[first]["waiting"]) == ("80", "60", "0")
    assert rows[first]["share that moves on"] == "75%"
    assert rows[second]["share that moves on"] == "100%"
    assert findings.state_conversion(own.conversion(), horizon_days=90).startswith(
        f"Fewest move on from {first}: 75% ("
    )
    cohorts = read(journey.list_cohorts(own.conversion(cohort="year")))
    assert re.fullmatch(r"75% \(.+\) n = 80", cohorts[0][first])


def parse(text: str) -> list[float]:
    """Read the numbers of a cell or a sentence back, percentages as shares."""
    found = re.findall(r"(−?\d[\d\u202f]*(?:\.\d+)?)(%?)", text)
    return [float(n.replace("\u202f", "").replace("−", "-")) / (100 if share else 1) for n, share in found]


@pytest.mark.parametrize("seed", range(5))
def test_printed_numbers_are_those_of_the_table(seed):
    random = np.random.default_rng(seed)
    stages, days = ["one", "two", "three"], [30, 90, 365]
    shares = np.sort(random.uniform(0.01, 0.99, size=(9, 3)), axis=1)
    horizons = pd.DataFrame({"stage": np.repeat(stages, 3), "horizon_days": days * 3, "n": 50, "immature": False})
    horizons[["lower", "conversion", "upper"]] = shares
    for row, table in zip(read(journey.list_horizons(horizons)), np.split(shares, 3), strict=True):
        cells = [parse(row[f"{count} days"]) for count in days]
        assert np.array(cells) == pytest.approx(table[:, [1, 0, 2]], abs=0.0005001)
    effects = pd.DataFrame({"action": [f"step {n}" for n in range(9)], "stage": "one", "n": 50, "reason": ""})
    effects[["lower_value", "effect_value", "upper_value"]] = shares - 0.5
    effects[["lower_chance", "effect_chance", "upper_chance"]] = (shares - 0.5) / 5
    rows = {row["action"]: row for row in read(journey.list_effects(effects))}
    assert list(rows) == effects.sort_values("effect_value", ascending=False)["action"].tolist()
    for number in range(9):
        lower, middle, upper = shares[number] - 0.5
        cells = rows[f"step {number}"]
        assert parse(cells["change of revenue"]) == pytest.approx([middle, lower, upper], abs=0.001)
        points = parse(cells["change of the chance to move on, points"])
        assert points == pytest.approx([20 * middle, 20 * lower, 20 * upper], abs=0.05001)
    later, soon = shares[2::3, 1], shares[1::3, 1]
    most = int(np.argmax(later - soon))
    told = parse(journey.state_horizons(horizons, horizon_days=90))
    expected = [later[most], shares[3 * most + 2, 0], shares[3 * most + 2, 2], 365, soon[most], 90]
    assert told == pytest.approx(expected, abs=0.0005001)
