"""The drawings of the stream and of the moves, of five stages and of twelve, for a desktop and for a phone."""

import re
from itertools import combinations, pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.text import Text

from partnerseg.report import figures, flow, html
from tests.report import frames as f

STAGES, EXITS = f.STAGES[:3], f.STAGES[3:]
WIDTHS = [figures.WIDTH, html.PHONE_WIDTH]


@pytest.fixture(autouse=True)
def close_figures():
    mpl.use("agg")
    yield
    plt.close("all")


def make_moves(stages: list[str]) -> pd.DataFrame:
    """Moves on, over one stage and over four, back by one and to the first, out by both exits, and back from one."""
    rows = []
    for number, stage in enumerate(stages):
        n = 30_000 - 2_000 * number
        ahead = [(number + 1, n - 6_000), (number + 2, 2_600), (number + 4, 2_500)]
        rows += [(stage, stages[place], moved) for place, moved in ahead if place < len(stages)]
        rows += [(stage, stages[place], 2_400) for place in {0, number - 1} if 0 <= place < number]
        rows += [(stage, "went dormant", 40), (stage, "left", 1_500), (stage, None, 2_500)]
    rows += [("left", stages[1], 1_200), ("left", None, 9_000), ("went dormant", None, 400)]
    return pd.DataFrame(rows, columns=["stage", "next_stage", "n"])


def draw(drawing: str, size: int) -> mpl.axes.Axes:
    """Draw so many stages with names that take two lines."""
    stages = [f"stage {number} of a long way" for number in range(1, size + 1)]
    return getattr(flow, f"draw_{drawing}")(make_moves(stages), stages=stages, exits=["went dormant", "left"])


def find_texts(axes: mpl.axes.Axes, width: int) -> list[tuple[str, mpl.transforms.Bbox]]:
    """Lay the drawing out as the page does, first for a desktop, then so many px wide, and find all texts."""
    figure = axes.figure
    with figures.apply_style():
        figure.draw_without_rendering()
        figure.set_size_inches(width / 72, figure.get_figheight())
        figure.draw_without_rendering()
        texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
        return [(text.get_text(), text.get_window_extent()) for text in texts]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("size", [5, 12])
@pytest.mark.parametrize("drawing", ["flow", "transitions"])
def test_every_text_is_inside_and_none_covers_another(drawing, size, width):
    axes = draw(drawing, size)
    texts = find_texts(axes, width)
    assert len(texts) > 2 * size + 2  # names, moves to the next stage and exits, and more
    paper = axes.figure.bbox
    assert [text for text, box in texts if box.x0 < -1 or box.x1 > paper.x1 + 1] == []
    assert [text for text, box in texts if box.y0 < -1 or box.y1 > paper.y1 + 1] == []
    assert [(one, other) for (one, a), (other, b) in combinations(texts, 2) if covers(a, b)] == []


def covers(a: mpl.transforms.Bbox, b: mpl.transforms.Bbox) -> bool:
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1


@pytest.mark.parametrize("size", [5, 12])
@pytest.mark.parametrize("drawing", ["flow", "transitions"])
def test_a_page_knows_every_ink_and_no_text_is_cut(drawing, size):
    wide, narrow = html._draw_svg(draw(drawing, size))
    for drawn in (wide, narrow):
        inks = {ink.lower() for ink in re.findall(r"#[0-9a-fA-F]{6}\b", drawn.svg)}
        assert {figures.ACCENT, figures.WARNING, figures.INK} <= inks <= set(figures.INKS)
        assert "…" not in drawn.svg


def find_bars(axes: mpl.axes.Axes) -> dict[int, list[tuple[float, str]]]:
    """Find the parts of every stage's bar: how long, and in which ink."""
    bars: dict[int, list[tuple[float, str]]] = {}
    for bar in (patch for patch in axes.patches if isinstance(patch, Rectangle)):
        place = -round(bar.get_y() + bar.get_height() / 2)
        assert bar.get_x() == sum(length for length, _ in bars.get(place, []))  # parts follow each other from zero
        bars.setdefault(place, []).append((bar.get_width(), mpl.colors.to_hex(bar.get_facecolor())))
    return bars


def test_bars_are_as_long_as_so_many_went_on_left_and_stayed():
    axes = flow.draw_flow(f.MOVES, stages=STAGES, exits=EXITS)
    inks = [figures.ACCENT, figures.WARNING, figures.QUIET]
    lengths = [[80, 5, 15], [40, 16, 4], [0, 0, 60]]
    assert find_bars(axes) == {place: list(zip(parts, inks, strict=True)) for place, parts in enumerate(lengths)}
    told = [text.get_text() for text in axes.texts]
    assert told[::2] == ["100", "60", "60"]
    assert told[1] == "80% went on\n5% left or back\n15% still there"
    assert told[5] == "0% left or back\n100% still there"


def test_streams_are_as_wide_as_so_many_moved_and_join_bars():
    axes = flow.draw_flow(f.MOVES, stages=STAGES, exits=EXITS)
    streams = [patch.get_path().vertices for patch in axes.patches if isinstance(patch, PathPatch)]
    above = [(points[0][0], points[-2][0]) for points in streams]
    below = [(points[3][0], points[4][0]) for points in streams]
    assert above == [(0, 60), (60, 80), (0, 40)]  # of recruited, of recruited, of onboarded
    assert below == [(0, 60), (0, 20), (20, 60)]  # to onboarded, to activated, to activated


def test_transitions_are_as_thick_as_often_and_show_their_kind():
    axes = flow.draw_transitions(f.MOVES, stages=STAGES, exits=EXITS)
    arcs = [patch for patch in axes.patches if isinstance(patch, PathPatch)]
    kinds = [(arc.get_linewidth(), mpl.colors.to_hex(arc.get_edgecolor()), arc.get_linestyle()) for arc in arcs]
    widths = [1 + 7 * n / 60 for n in (60, 40, 20, 10, 6, 5)]
    assert [width for width, _, _ in kinds] == pytest.approx(widths)
    forward, out, back = figures.ACCENT, figures.WARNING, figures.QUIET
    assert [ink for _, ink, _ in kinds] == [forward, forward, forward, out, back, out]
    assert [dashed not in ("solid", "-") for _, _, dashed in kinds] == [False, False, False, False, True, False]
    assert {text.get_text() for text in axes.texts} == {"60", "40", "20", "6", "left\n15"}


def test_rare_moves_are_left_out_but_exits_keep_theirs_together():
    rows = [("recruited", "onboarded", 1_000), ("onboarded", "recruited", 3)]
    rows += [(stage, "left", 3) for stage in STAGES[:2]] + [("activated", "lost", 2)]
    moves = pd.DataFrame(rows, columns=["stage", "next_stage", "n"])
    axes = flow.draw_transitions(moves, stages=STAGES, exits=["left", "lost"])
    assert {text.get_text().replace("\u202f", " ") for text in axes.texts} == {"1 000", "left\n6"}
    assert len([patch for patch in axes.patches if isinstance(patch, PathPatch)]) == 3


def test_who_comes_back_from_an_exit_is_drawn():
    moves = pd.DataFrame([("left", "recruited", 5)], columns=["stage", "next_stage", "n"])
    axes = flow.draw_transitions(moves, stages=STAGES, exits=EXITS)
    (arc,) = (patch for patch in axes.patches if isinstance(patch, PathPatch))
    assert mpl.colors.to_hex(arc.get_edgecolor()) == figures.QUIET


def test_the_first_stage_is_on_top():
    for drawn in (flow.draw_flow, flow.draw_transitions):
        axes = drawn(f.MOVES, stages=STAGES, exits=EXITS)
        places = [axes.transData.transform((0, y))[1] for y in axes.get_yticks()]
        assert [text.get_text() for text in axes.get_yticklabels()] == STAGES
        assert all(above > below for above, below in pairwise(places))


@pytest.mark.parametrize("drawn", [flow.draw_flow, flow.draw_transitions])
def test_nothing_is_drawn_of_nothing(drawn):
    assert drawn(f.MOVES.head(0), stages=STAGES, exits=EXITS).get_label() == figures.NOTHING


def test_of_partners_who_only_stand_there_the_stream_is_drawn_and_no_move():
    still = f.MOVES[f.MOVES["next_stage"].isna()]
    assert flow.draw_transitions(still, stages=STAGES, exits=EXITS).get_label() == figures.NOTHING
    axes = flow.draw_flow(still.head(1), stages=STAGES, exits=EXITS)
    assert [text.get_text() for text in axes.texts][3] == "nobody entered"


@pytest.mark.parametrize("drawn", [flow.draw_flow, flow.draw_transitions])
def test_drawing_leaves_the_moves_alone(drawn):
    moves = f.MOVES.copy()
    drawn(moves, stages=STAGES, exits=EXITS)
    pd.testing.assert_frame_equal(moves, f.MOVES)
