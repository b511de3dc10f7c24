from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from partnerseg.report import figures, flow, journey

mpl.use("Agg")
NAN = float("nan")
STAGES, EXITS = ["recruited", "activated", "strategic"], ["left"]
MOVES = pd.DataFrame(
    [
        ("recruited", "activated", 70), ("recruited", "strategic", 5), ("recruited", "left", 5),
        ("recruited", None, 20), ("activated", "strategic", 30), ("activated", "left", 10),
        ("activated", "recruited", 4), ("activated", None, 30), ("strategic", None, 35), ("left", None, 15),
    ],
    columns=["stage", "next_stage", "n"],
)  # fmt: skip
EFFECTS = pd.DataFrame(
    {
        "action": ["call", "audit", "letter"],
        "stage": "activated",
        "n": 50,
        "n_without": 400,
        "chance_with": 0.1,
        "chance_without": 0.1,
        "effect_value": [0.2, -0.15, 0.01],
        "lower_value": [0.1, -0.25, -0.1],
        "upper_value": [0.3, -0.05, 0.12],
        "effect_chance": [0.0, 0.0, 0.0],
        "lower_chance": [-0.1, -0.1, -0.1],
        "upper_chance": [0.1, 0.1, 0.1],
        "reason": "",
    }
)
ROUTES = pd.DataFrame(
    {
        "start": "recruited",
        "route": [1, 1, 2],
        "step": [1, 2, 1],
        "stage": ["recruited", "activated", "recruited"],
        "action": ["none", "call", "call"],
        "route_chance": [0.3, 0.3, 0.2],
        "lower": [0.2, 0.2, 0.1],
        "upper": [0.4, 0.4, 0.3],
        "route_days": [500.0, 500.0, 520.0],
        "route_cost": [100.0, 100.0, 50.0],
        "route_value": [9000.0, 9000.0, 8000.0],
        "reason": "",
    }
)
VALUES = pd.DataFrame(
    {
        "method": ["logged", "doubly_robust", "gain"],
        "value": [100.0, 130.0, 30.0],
        "lower": [90.0, 110.0, 10.0],
        "upper": [110.0, 150.0, 50.0],
        "n": 400,
        "effective_n": 200.0,
        "largest_weight": 0.01,
        "reason": "",
    }
)


def test_of_everybody_on_the_journey_so_many_have_arrived():
    told = journey.state_flow(MOVES, stages=STAGES)
    assert "Of 100 on the journey 35 have reached strategic" in told and "from activated: 10" in told
    assert "We do not know" in journey.state_flow(MOVES.head(0), stages=STAGES)


def test_skips_and_ways_back_are_counted():
    assert "124 moves" in (told := journey.state_transitions(MOVES, stages=STAGES))
    assert "5 skipped" in told and "4 led back" in told and "15 led out" in told


def test_what_helped_and_what_harmed_are_told_and_what_may_be_chance_is_not():
    told = journey.state_effects(EFFECTS, horizon_days=90)
    assert "Call at activated raised revenue most: by 20% (between 10% and 30%)" in told
    assert "Audit at activated lowered revenue by 15% (between 5% and 25%)" in told and "letter" not in told.lower()
    assert "We do not know of a step that clearly helps" in journey.state_effects(EFFECTS.tail(1), horizon_days=90)


def test_a_route_is_told_step_by_step():
    told = journey.state_routes(ROUTES, to="strategic", within_days=720)
    assert "wait at recruited, then call at activated: 30% (between 20% and 40%) get there within 720 days" in told
    listed = journey.list_routes(ROUTES, currency="EUR")
    assert listed["way"].tolist() == ["wait at recruited, then call at activated", "call at recruited"]
    assert listed["value, EUR"].tolist() == [9000, 8000]
    unknown = ROUTES.head(1).assign(route=None, step=None, reason="nobody was seen to reach it")
    assert "nobody was seen" in journey.state_routes(unknown, to="strategic", within_days=720)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (VALUES, "it would have brought EUR 30 (between EUR 10 and EUR 50) more"),
        (VALUES.assign(lower=-5.0), "is not clear"),
        (VALUES.assign(value=NAN, reason="a step was never logged there"), "a step was never logged there"),
        (VALUES.head(1), "no step was logged"),
    ],
)
def test_the_value_of_following_is_told_only_where_it_is_clear(values, word):
    told = journey.state_route_value(values, currency="EUR", horizon_days=90)
    assert word in told.replace("\N{NO-BREAK SPACE}", " ")


def test_cohorts_that_are_immature_are_not_compared():
    cohorts = pd.DataFrame(
        {
            "cohort": pd.to_datetime(["2026-01-01", "2025-10-01", "2026-04-01"]),
            "stage": "activated",
            "n": [100, 100, 90],
            "converted": [40, 20, 0],
            "left": 0,
            "waiting": 0,
            "conversion": [0.4, 0.2, 0.9],
            "lower": [0.3, 0.1, 0.8],
            "upper": [0.5, 0.3, 1.0],
            "immature": [False, False, True],
        }
    )
    told = journey.state_cohorts(cohorts, horizon_days=90)
    assert "from 1 January 2026 on, 40% (between 30% and 50%) moved on within 90 days; of those before, 20%" in told
    assert "no clear change" in journey.state_cohorts(cohorts.assign(lower=0.1), horizon_days=90)
    assert "We do not know" in journey.state_cohorts(cohorts.tail(2), horizon_days=90)
    assert journey.list_cohorts(cohorts)["cohort"].tolist() == ["1 April 2026", "1 January 2026", "1 October 2025"]


def test_who_waits_who_drops_out_and_which_target_is_missed():
    waiting = pd.DataFrame(
        {"stage": "activated", "attribute": ["partner_type", "missing_step"], "value": ["agent", "call"], "n": 9,
         "share": [0.5, 0.9], "share_gone_on": [0.2, 0.3], "difference": [0.3, 0.6], "lower": 0.1, "upper": 0.7}
    )  # fmt: skip
    assert "90% had no call early on, of those who went on 30%" in journey.state_waiting(waiting)
    assert "50% have partner type: agent" in journey.state_waiting(waiting.head(1))
    assert "We do not see anything" in journey.state_waiting(waiting.head(0))
    drop_outs = pd.DataFrame(
        {
            "stage": STAGES[:2],
            "exit": "left",
            "n": 90,
            "dropped": [2, 9],
            "share": [0.02, 0.1],
            "lower": 0.01,
            "upper": 0.2,
        }
    )
    assert "Most drop out of activated: 10%" in journey.state_drop_outs(drop_outs, horizon_days=90)
    late = journey.state_drop_outs(drop_outs.assign(share=0.0), horizon_days=90)
    assert "Hardly anybody" in late and "activated: 9" in late
    times = pd.DataFrame({"stage": STAGES[:2], "target_days": 30.0, "within_target": [0.9, 0.4]})
    assert "target of 30 days is missed most at activated: 40%" in journey.state_targets(times)
    assert journey.state_targets(times.assign(within_target=NAN)) == ""


def make_moves(stages):
    """Each stage passes half on, some skip, go back or leave."""
    rows, n = [], 4_000
    for number, stage in enumerate(stages):
        if number + 1 < len(stages):
            rows.append((stage, stages[number + 1], n // 2))
        if number + 2 < len(stages):
            rows.append((stage, stages[number + 2], n // 20))
        if number:
            rows.append((stage, stages[number - 1], n // 20))
        rows += [(stage, "left", n // 20), (stage, None, n // 5)]
        n //= 2
    return pd.DataFrame(rows, columns=["stage", "next_stage", "n"])


@pytest.mark.parametrize("size", [5, 12])
@pytest.mark.parametrize("draw", [flow.draw_flow, flow.draw_transitions])
def test_twelve_stages_stay_readable(draw, size):
    """Names of stages do not touch each other, and every ink is one that a page knows."""
    stages = [f"stage number {number}" for number in range(size)]
    axes = draw(make_moves(stages), stages=stages, exits=EXITS)
    axes.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in axes.get_yticklabels() if label.get_text()]
    assert len(boxes) == size
    tops = sorted((box.y0, box.y1) for box in boxes)
    assert all(above[0] >= below[1] for below, above in pairwise(tops))
    inks = {mpl.colors.to_hex(patch.get_facecolor()) for patch in axes.patches if patch.get_fill()}
    assert inks <= set(figures.INKS)


def test_bars_are_as_long_as_so_many_entered():
    axes = flow.draw_flow(MOVES, stages=STAGES, exits=EXITS)
    bars = [patch for patch in axes.patches if isinstance(patch, mpl.patches.Rectangle)]
    ends = {}
    for bar in bars:
        row = round(bar.get_y() + bar.get_height() / 2)
        ends[row] = max(ends.get(row, 0), bar.get_x() + bar.get_width())
    assert {row: round(end) for row, end in ends.items()} == {0: 100, -1: 74, -2: 35}
    assert np.isclose(sum(bar.get_width() for bar in bars), 209)


def test_nothing_is_drawn_of_nothing():
    for draw in (flow.draw_flow, flow.draw_transitions):
        assert draw(MOVES.head(0), stages=STAGES, exits=EXITS).get_label() == figures.NOTHING
