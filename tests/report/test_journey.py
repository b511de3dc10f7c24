import inspect

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest

from partnerseg.report import figures, findings, html, journey
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
        "Of 141 moves between stages, 20 skipped a stage, 6 led back, 15 led out.",
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
    (lambda: journey.state_groups(f.SEGMENT_CONVERSION, stage="onboarded", horizon_days=90), "not two of them"),
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
    return [dict(zip([header["text"] for header in told["headers"]], row, strict=True)) for row in told["rows"]]


def test_cohorts_come_latest_first_and_those_that_are_too_young_are_marked():
    rows = read(journey.list_cohorts(f.COHORTS))
    assert [row["cohort"] for row in rows[::2]] == ["1 April 2026", "1 January 2026", "1 October 2025"]
    assert [row["not followed long enough"] for row in rows] == ["yes", "yes", "no", "no", "no", "no"]
    assert rows[3]["share that moves on"] == "25%"
    assert rows[3]["interval"] == "15% to 35%"


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


def test_reasons_are_a_column_only_where_there_are_any():
    assert set(read(journey.list_route_value(f.ROUTE_VALUE))[4]) == {
        "how it is estimated",
        "value",
        "interval",
        "number",
        "counts as",
    }
    rows = read(journey.list_route_value(UNKNOWN))
    assert {row["reason"] for row in rows} == {"a step was never logged there"}
    assert rows[3]["how it is estimated"] == "best step, doubly robust"


def test_the_steps_for_everybody_are_named_so():
    rows = read(journey.list_segment_plans(f.SEGMENT_PLANS))
    assert [row["segment"] for row in rows] == ["everybody"] * 2 + ["New agents"] * 2 + ["Old resellers"]
    assert [row["clearly helps"] for row in rows] == ["yes", "no", "yes", "no", "yes"]
    assert rows[0]["next step"] == "Welcome call"


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
    ],
)
def test_without_data_nothing_is_drawn(draw):
    assert draw().get_label() == figures.NOTHING
