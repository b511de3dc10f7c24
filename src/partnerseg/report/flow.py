"""Draw the ways through the stages: how the stream narrows, and who goes from where to where."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from partnerseg.report.figures import (
    ACCENT,
    GRAY,
    INK,
    QUIET,
    WARNING,
    apply_style,
    draw_nothing,
    open_axes,
    wrap_label,
    write_value,
)
from partnerseg.report.language import format_count, format_share, say, say_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BAR = 18  # px of a stage's bar
_SIGN, _LINE = 8, 0.4  # a sign is so many px wide, a line such a part of a row high
_ROOM = 310  # px of a phone for names and arcs
_LEAST_SHARE = 0.005  # of everybody who entered the first stage: thinner streams are told in the table only


def draw_flow(moves: pd.DataFrame, *, stages: Sequence[str], exits: Sequence[str] = ()) -> "Axes":
    """Draw the stream from stage to stage, as wide as many went on, and what became of everybody who entered one.

    Args:
        moves: One row a kind of move: stage, next_stage (missing: still there), n (stays).
        stages: Stages in order; the first is drawn on top.
        exits: Ways out; who took one is told beside the stage.

    Returns:
        One bar a stage: who went forward (joined to the stage where they went), who left or went back, who is still
        there; the lines below it say the shares.
    """
    entered = moves.groupby("stage")["n"].sum().reindex(list(stages), fill_value=0)
    if not entered.sum():
        return draw_nothing()
    place = {stage: -number for number, stage in enumerate(stages)}
    row, widest = 84, entered.max()
    half = _BAR / row / 2
    start, end = dict.fromkeys(stages, 0.0), dict.fromkeys(stages, 0.0)
    with apply_style():
        axes = open_axes(len(stages) * row + 20)
        for stage in stages:
            own = moves[moves["stage"] == stage].set_index("next_stage")["n"]
            ahead = own[[name for name in stages[stages.index(stage) + 1 :] if name in own.index]]
            still, forward = own[own.index.isna()].sum(), ahead.sum()
            other = entered[stage] - still - forward
            left = 0.0
            for n, color in ((forward, ACCENT), (other, WARNING), (still, QUIET)):
                axes.barh(place[stage], n, left=left, height=2 * half, color=color)
                left += n
            for following, n in ((str(name), float(n)) for name, n in ahead.items()):
                if n >= _LEAST_SHARE * widest:
                    _draw_stream(
                        axes, (start[stage], place[stage] - half), (end[following], place[following] + half), n
                    )
                start[stage] += n
                end[following] += n
            write_value(axes, entered[stage], place[stage], format_count(entered[stage]))
            shares = _tell_shares(forward, other, still, last=stage == stages[-1])
            told = axes.annotate(
                shares, (0, place[stage] - half), xytext=(2, -3), textcoords="offset points", va="top", color=GRAY
            )
            told.set_in_layout(False)  # the bars keep their room on a phone
        axes.set_yticks([place[stage] for stage in stages], [wrap_label(say_name(stage)) for stage in stages])
        axes.set(xticks=[], xlim=(0, widest), ylim=(-len(stages) + 0.35, 0.4))
    return axes


def draw_transitions(moves: pd.DataFrame, *, stages: Sequence[str], exits: Sequence[str] = ()) -> "Axes":
    """Draw all moves that were seen, as thick as often: between stages as arcs, back ones dashed, and out to the exits.

    Args:
        moves: One row a kind of move: stage, next_stage (missing: still there, not drawn), n (stays).
        stages: Stages in order; the first is drawn on top.
        exits: Ways out, drawn on the right.

    Returns:
        The drawing; a number that finds no room beside its arc is left out.
    """
    told = moves.dropna(subset=["next_stage"])
    of_exit = told["n"].groupby(told["next_stage"]).transform("sum").where(told["next_stage"].isin(exits), told["n"])
    told = told[of_exit >= _LEAST_SHARE * told["n"].sum()]
    if told.empty:
        return draw_nothing()
    height = {stage: -float(number) for number, stage in enumerate(stages)}
    right = 0.75 * max(3.0, *(abs(height.get(a, 0) - height.get(b, 0)) for a, b in _list_pairs(told, exits))) + 1.5
    gap = len(stages) / (len(exits) + 1)
    seen = {*told["stage"], *told["next_stage"]}
    out = {name: 0.5 - gap * number for number, name in enumerate(exits, start=1) if name in seen}
    most = told["n"].max()
    names, outside = (
        [wrap_label(say_name(name), width) for name in those] for those, width in ((stages, 20), (out, 12))
    )
    px = right / max(_ROOM - _SIGN * (_measure(names) + _measure(outside)), 60)
    with apply_style():
        axes = open_axes(max(len(stages) * 44, 120) + 20)
        written: list[tuple[float, float, float]] = []
        for here, there, n in told.sort_values("n", ascending=False, kind="stable")[
            ["stage", "next_stage", "n"]
        ].itertuples(index=False):
            width = 1 + 7 * n / most
            if there in out or here in out:
                ends = [(0.0, height[name]) if name in height else (right, out[name]) for name in (here, there)]
                back = here in out
                middle = [(right / 2, y) for _, y in ends]
                _draw_arc(axes, [ends[0], *middle, ends[1]], width, QUIET if back else WARNING, dashed=back)
                continue
            back = height[there] > height[here]
            reach = 0.5 + 0.6 * abs(height[here] - height[there]) - (0.25 if back else 0)
            corners = [(0.0, height[here]), (reach, height[here]), (reach, height[there]), (0.0, height[there])]
            _draw_arc(axes, corners, width, QUIET if back else ACCENT, dashed=back)
            inside = [(0.05, (height[here] + height[there]) / 2)] if back and reach < 1 else []
            _write_apart(axes, written, [*inside, *_list_places(corners)], format_count(n), px)
        axes.scatter([0] * len(height), list(height.values()), s=40, color=INK, zorder=3, clip_on=False)
        for (name, y), label in zip(out.items(), outside, strict=True):
            n = moves.loc[moves["next_stage"] == name, "n"].sum()
            axes.scatter([right], [y], s=40, color=INK, zorder=3, clip_on=False)
            write_value(axes, right, y, f"{label}\n{format_count(n)}")
        axes.set_yticks(list(height.values()), names)
        axes.set(xticks=[], xlim=(-0.05, right), ylim=(-len(stages) + 0.5, 0.5))
    return axes


def _list_pairs(moves: pd.DataFrame, exits: Sequence[str]) -> list[tuple[str, str]]:
    inside = moves[~moves["stage"].isin(exits) & ~moves["next_stage"].isin(exits)]
    return list(zip(inside["stage"], inside["next_stage"], strict=True)) or [("", "")]


def _tell_shares(forward: float, other: float, still: float, *, last: bool) -> str:
    entered = forward + other + still
    if not entered:
        return say("figures.nobody_entered")
    shares = {"forward": forward, "other": other, "still": still}
    return say(
        f"figures.{'stayed' if last else 'became'}", **{key: format_share(n / entered) for key, n in shares.items()}
    )


def _draw_stream(axes: "Axes", above: tuple[float, float], below: tuple[float, float], n: float) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    (x0, y0), (x1, y1) = above, below
    middle = (y0 + y1) / 2
    corners = [(x0, y0), (x0, middle), (x1, middle), (x1, y1), (x1 + n, y1), (x1 + n, middle), (x0 + n, middle)]
    codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
    path = Path([*corners, (x0 + n, y0), (x0, y0)], codes)
    axes.add_patch(PathPatch(path, facecolor=ACCENT, alpha=0.18, linewidth=0))


def _draw_arc(axes: "Axes", corners: list[tuple[float, float]], width: float, color: str, *, dashed: bool) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    path = Path(corners, [Path.MOVETO, *[Path.CURVE4] * 3])
    style = (0, (3, 2)) if dashed else "solid"
    axes.add_patch(PathPatch(path, fill=False, edgecolor=color, linewidth=width, alpha=0.75, linestyle=style))


def _measure(labels: Sequence[str]) -> int:
    """Return the signs of the longest line."""
    return max((len(line) for label in labels for line in label.split("\n")), default=0)


def _list_places(corners: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """List places along an arc where its number may stand, the middle first."""
    (_, start), (reach, _), *_, (_, end) = corners
    parts = [0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8]
    return [(3 * part * (1 - part) * reach, start + (end - start) * part**2 * (3 - 2 * part)) for part in parts]


def _write_apart(
    axes: "Axes",
    written: list[tuple[float, float, float]],
    places: list[tuple[float, float]],
    text: str,
    px: float,
) -> None:
    """Write a number at the first place that is free of others, if there is one.

    Args:
        axes: What to write on.
        written: Left and right end and height of what stands there; the number is added.
        places: Places, the best first.
        text: The number.
        px: How wide a px is, in the units of the axes, on a phone.
    """
    wide = (len(text) * _SIGN + 6) * px
    for x, y in places:
        if all(abs(y - at) > _LINE or x + wide < left or x > end for left, end, at in written):
            written.append((x, x + wide, y))
            write_value(axes, x, y, text)
            return
