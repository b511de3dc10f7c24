"""Draw results: every function takes a result, returns the Axes and computes nothing but places on the paper."""

import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, cast

import pandas as pd

from partnerseg.report.language import (
    format_count,
    format_date,
    format_money,
    format_month,
    format_number,
    format_points,
    format_share,
    format_value,
    say,
    say_count,
    say_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#1a1a1a"
GRAY = "#5c5c5c"
QUIET = "#949494"
GRID = "#e4e4e4"
PAPER = "#ffffff"
ACCENT = "#0b5cad"
WARNING = "#b34700"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe-Ito
MARKERS = ("o", "s", "^", "D", "v", "P")

# Every ink of a figure, and the page's name for it: a page may show it lighter on a dark ground.
INKS = {
    INK: "ink",
    "#000000": "ink",
    GRAY: "gray",
    QUIET: "quiet",
    GRID: "grid",
    PAPER: "paper",
    ACCENT: "accent",
    WARNING: "warning",
    **{color: f"series-{number}" for number, color in enumerate(SERIES, start=1)},
}

WIDTH = 640  # px of a desktop drawing; the page draws it again at 340 for a phone
_Form = Callable[[Any], str]  # how a number is written
_ROW = 30  # px a bar takes
_MOST_POINTS = 5_000  # more are drawn as one bitmap
_BADGE = {"boxstyle": "circle,pad=0.25", "facecolor": PAPER, "edgecolor": INK, "linewidth": 1, "alpha": 0.9}
NOTHING = "nothing to draw"  # the label of axes that say so


@contextmanager
def apply_style() -> Iterator[None]:
    """Draw inside this context to get the style that all figures share: quiet axes, 13 px text, text kept as text."""
    import matplotlib as mpl

    with mpl.rc_context(
        {
            "figure.dpi": 72,
            "savefig.dpi": 72,
            "figure.constrained_layout.use": True,
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "font.family": ["DejaVu Sans"],
            "font.size": 13,
            "axes.titlesize": 13,
            "axes.labelsize": 13,
            "axes.labelcolor": GRAY,
            "axes.edgecolor": QUIET,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.spines.left": False,
            "axes.spines.bottom": False,
            "axes.grid": False,
            "axes.axisbelow": True,
            "axes.unicode_minus": True,
            "grid.color": GRID,
            "grid.linewidth": 1,
            "text.color": INK,
            "text.parse_math": False,
            "xtick.color": GRAY,
            "ytick.color": GRAY,
            "xtick.labelcolor": GRAY,
            "ytick.labelcolor": INK,
            "xtick.major.size": 0,
            "ytick.major.size": 0,
            "xtick.minor.size": 0,
            "ytick.minor.size": 0,
            "svg.fonttype": "none",
            "svg.hashsalt": "partnerseg",
        }
    ):
        yield


def draw_ledger(ledger: pd.DataFrame) -> "Axes":
    """Draw what became of the rows of every table, as shares of the rows read; tables used whole share one bar.

    Args:
        ledger: One row a source file and table: table, rows_in, used, quarantined, deduplicated, out_of_scope.
    """
    fates = ["used", "deduplicated", "out_of_scope", "quarantined"]
    totals = ledger.groupby("table")[["rows_in", *fates]].sum() if len(ledger) else pd.DataFrame()
    totals = totals[totals["rows_in"] > 0] if len(totals) else totals
    if totals.empty:
        return draw_nothing()
    totals.index = totals.index.map(say_name)
    whole = totals["used"] == totals["rows_in"]
    least = (totals["used"] / totals["rows_in"])[~whole].sort_values(ascending=False, kind="stable").index
    totals, rest = totals.loc[least], totals[whole]
    if len(rest):
        name = rest.index[0] if len(rest) == 1 else say_count("table", len(rest))
        totals = pd.concat([rest.sum().to_frame(name).T, totals])
    labels = [f"{table}\n{say_count('row', rows)}" for table, rows in totals["rows_in"].items()]
    with apply_style():
        axes = open_axes(len(totals) * 40 + 60)
        left = pd.Series(0.0, index=totals.index)
        for fate, color in zip(fates, (SERIES[0], QUIET, GRID, WARNING), strict=True):
            share = totals[fate] / totals["rows_in"]
            if totals[fate].sum():
                axes.barh(labels, share, left=left, color=color, height=0.5, label=say_name(fate))
            left += share
        for place, (rows, used) in enumerate(zip(totals["rows_in"], totals["used"], strict=True)):
            text = say("figures.not_used", rows=format_count(rows - used))
            text = text if used < rows else say("figures.all_used")
            write_value(axes, 1, place, text, color=INK if used < rows else GRAY)
        _grid(axes, "x", format_share)
        axes.set(xlim=(0, 1), ylim=(-0.6, len(totals) - 0.4))
        axes.figure.legend(loc="outside upper left", ncols=2, frameon=False, handlelength=1)
    return axes


def draw_freshness(freshness: pd.DataFrame, *, as_of: str) -> "Axes":
    """Draw from when to when each table tells something, against the date of the report.

    Args:
        freshness: One row a table: table, rows, first, last.
        as_of: Date of the report, `YYYY-MM-DD`.
    """
    known = freshness.dropna(subset=["first", "last"]).sort_values("last", kind="stable")
    if known.empty:
        return draw_nothing()
    day = pd.Timestamp(as_of)
    labels = [wrap_label(say_name(table)) for table in known["table"]]
    with apply_style():
        axes = open_axes(len(known) * _ROW + 50)
        axes.hlines(labels, known["first"], known["last"], color=QUIET, linewidth=6)
        axes.plot(known["last"], labels, "o", color=ACCENT, markersize=7)
        axes.axvline(cast(float, day), color=INK, linewidth=1)
        for place, last in enumerate(known["last"]):
            late = max((day - pd.Timestamp(last).normalize()).days, 0)
            text = say("figures.current") if late == 0 else say("figures.late", days=say_count("day", late))
            write_value(axes, day, place, text, color=INK if late <= 31 else WARNING)
        axes.set_ylim(-0.6, len(known) - 0.4)
        _mark_months(axes, pd.concat([known["first"], known["last"]]))
        _grid(axes, "x")
    return axes


def draw_coverage(coverage: pd.DataFrame) -> "Axes":
    """Draw for what share of partners each family of features is known.

    Args:
        coverage: One row a family: family, coverage (0 to 1).
    """
    return _draw_share_bars(coverage, "family", "coverage")


def draw_structure(evidence: Any) -> "Axes":
    """Draw how clearly the data part, beside what matched data without segments reach by chance.

    Args:
        evidence: The segmenter's `evidence_`: statistic, null_95 (standard deviations; NaN if not looked for).
    """
    if pd.isna(evidence.statistic):
        return draw_nothing()
    values = [max(float(value), 0.0) for value in (evidence.null_95, evidence.statistic)]
    texts = [say("figures.up_to", value=format_number(values[0], digits=2)), format_number(values[1], digits=2)]
    return _draw_bars([say("figures.by_chance"), say("figures.these")], values, texts, color=[QUIET, ACCENT])


def draw_segment_map(points: pd.DataFrame, exemplars: pd.DataFrame | None = None) -> "Axes":
    """Draw every partner as a point, a number on every segment, and the key of the numbers below.

    Segment 0, the largest of the whole programme, has number 1; numbers 1 to 6 have a color and a shape. The most
    typical member of a segment has a ring and is named in the key.

    Args:
        points: One row a partner: x, y (places without a unit), segment (-1 for none), segment_name.
        exemplars: One row a typical member, the most typical of each segment first: segment, name, x, y.
    """
    points = points.dropna(subset=["x", "y"])
    if points.empty:
        return draw_nothing()
    if (points["segment"] == points["segment"].iloc[0]).all():  # one group is no segment
        points = points.assign(segment=-1)
    names = points[points["segment"] >= 0].groupby("segment")["segment_name"].agg(["first", "size"])
    size = 26 if len(points) <= 500 else 14
    bitmap = len(points) > _MOST_POINTS
    typical = pd.DataFrame(columns=["segment", "name", "x", "y"]) if exemplars is None else exemplars
    typical = typical[typical["segment"].isin(names.index)].drop_duplicates("segment").set_index("segment")
    key = [
        wrap_label(
            say("figures.segment", number=segment + 1, name=name, n=format_count(n))
            + (say("figures.typical", name=typical.loc[segment, "name"]) if segment in typical.index else ""),
            46,
            lines=4,
        )
        for segment, name, n in names.itertuples()
    ]
    background = points[~points["segment"].isin(names.index)]
    if len(names) and len(background):
        key.append(f"{say('figures.background')} ({format_count(len(background))})")
    with apply_style():
        axes = open_axes(420 + sum(10 + 16 * (text.count("\n") + 1) for text in key))
        axes.scatter(background["x"], background["y"], s=size * 0.3, color=QUIET, linewidth=0, rasterized=bitmap)
        for segment in names.index:
            color, marker = _style_segment(segment)
            own = points[points["segment"] == segment]
            axes.scatter(own["x"], own["y"], s=size, color=color, marker=marker, linewidth=0, rasterized=bitmap)
        if len(typical):
            axes.scatter(typical["x"], typical["y"], s=60, facecolor="none", edgecolor=INK, linewidth=1.5)
        for segment, x, y in _spread_numbers(points[points["segment"] >= 0]):
            axes.annotate(str(segment + 1), (x, y), ha="center", va="center", weight="bold", bbox=_BADGE)
        if key:
            axes.legend(
                [*(_mark(*_style_segment(segment)) for segment in names.index), _mark(QUIET, "o", 4)][: len(key)],
                key,
                loc="upper left",
                bbox_to_anchor=(0, 0),
                frameon=False,
                handlelength=1,
                borderaxespad=0.4,
                borderpad=0,
                labelspacing=0.5,
            )
        axes.set(xticks=[], yticks=[])
        axes.margins(0.04)
    return axes


def draw_segment_sizes(profile: pd.DataFrame) -> "Axes":
    """Draw how many partners each segment has and, where it is known, its share of revenue.

    Args:
        profile: One row a segment: segment, name, n, share (of all partners), share_of_revenue (missing: not known).
    """
    if len(profile) < 2:
        return draw_nothing()
    ordered = profile.sort_values("n", kind="stable")
    if "share_of_revenue" in ordered and ordered["share_of_revenue"].notna().any():
        return _draw_shares(ordered)
    texts = [
        f"{format_count(n)}  ({format_share(share)})" for n, share in zip(ordered["n"], ordered["share"], strict=True)
    ]
    labels = [f"{segment + 1}  {name}" for segment, name in zip(ordered["segment"], ordered["name"], strict=True)]
    return _draw_bars(labels, ordered["n"], texts)


def draw_stability(profile: pd.DataFrame, *, least: float) -> "Axes":
    """Draw how well every segment is found again in halves of the data, against the least that is needed.

    Args:
        profile: One row a segment: segment (-1 is the background), name, stability (0 to 1; missing for one segment),
            chance_stability (what data without segments reach).
        least: Stability under which nothing is published as a segment.
    """
    known = profile.dropna(subset=["stability"]).sort_values("stability", kind="stable")
    if len(known) < 2:
        return draw_nothing()
    labels = [f"{segment + 1}  {name}" for segment, name in zip(known["segment"], known["name"], strict=True)]
    texts = [format_number(value, digits=2) for value in known["stability"]]
    axes = _draw_bars(labels, known["stability"], texts, label=say("figures.least_stability", value=least))
    axes.axvline(least, color=WARNING, linewidth=1.5)
    axes.axvline(known["chance_stability"].iloc[0], color=WARNING, linewidth=1.5, linestyle=":")
    axes.set_xlim(0, 1)
    return axes


def draw_membership(partners: pd.DataFrame, *, sure: float) -> "Axes":
    """Draw how many partners are how sure to belong to their likeliest segment.

    Args:
        partners: One row a partner: probability of the likeliest segment (0 to 1), segment (-1 is the background).
        sure: Probability from which we call it sure.
    """
    chance = partners["probability"]
    if chance.empty or (chance == 1).all():
        return draw_nothing()
    edges = [sure, 0.8, 0.5, 0.0]
    tops = [float("inf"), *edges[:-1]]
    labels = [
        say("figures.from", share=format_share(sure)),
        *(say("to", lower=format_share(low), upper=format_share(top)) for low, top in ((0.8, sure), (0.5, 0.8))),
        say("under", value=format_share(0.5)),
    ]
    counts = [int(((chance >= edge) & (chance < top)).sum()) for edge, top in zip(edges, tops, strict=True)]
    texts = [f"{format_count(n)}  ({format_share(n / len(chance))})" for n in counts]
    colors = [ACCENT, ACCENT, ACCENT, WARNING]
    return _draw_bars(labels[::-1], counts[::-1], texts[::-1], color=colors[::-1], label=say("figures.partners"))


def draw_potential(potential: pd.DataFrame, *, currency: str) -> "Axes":
    """Draw what typical partners of each type sold, are expected to sell and could reach, with intervals.

    Args:
        potential: One row a partner type and one for `all`, medians: monetary_value_365d, forecast_value, forecast_low,
            forecast_high, potential_value, potential_low, potential_high; n (partners), n_potential (of whom that is
            known; types of fewer than ten are not drawn).
        currency: Currency of all of them.
    """
    known = potential[potential["n_potential"] >= 10].dropna(subset=["potential_value"])
    known = known.sort_values("potential_value", ascending=False, kind="stable")
    if len(known) == 2:  # one type: all partners are the same
        known = known[known["partner_type"] == "all"]
    known = pd.concat([known[known["partner_type"] == "all"], known[known["partner_type"] != "all"]])
    if known.empty:
        return draw_nothing()
    label = [
        f"{say('figures.all_types') if name == 'all' else say_name(name)}\nn = {format_count(n)}"
        for name, n in zip(known["partner_type"], known["n"], strict=True)
    ]
    sold = known.rename(columns={"monetary_value_365d": "sold_value"}).assign(sold_low=None, sold_high=None)
    parts = [
        pd.DataFrame(
            {
                "type": label,
                "group": say(f"figures.{kind}"),
                "value": sold[f"{kind}_value"].to_numpy(),
                "lower": sold[f"{kind}_low"].to_numpy(dtype="float64"),
                "upper": sold[f"{kind}_high"].to_numpy(dtype="float64"),
            }
        )
        for kind in ("sold", "forecast", "potential")
    ]
    table = pd.concat(parts, ignore_index=True)
    axes = draw_dots(table, "type", "value", lambda value: format_money(value, currency))
    axes.set_xticks([])  # every value is written, and three amounts of money would not fit a phone
    return axes


def draw_criteria(criteria: pd.DataFrame, *, criterion: str) -> "Axes":
    """Draw how many partners fall into each category of one criterion.

    Args:
        criteria: One row a partner, a column a criterion.
        criterion: The column to draw.
    """
    if criterion not in criteria or criteria.empty:
        return draw_nothing()
    counts = criteria[criterion].value_counts()
    counts = counts[counts > 0].sort_values(kind="stable")
    if len(counts) < 2:
        return draw_nothing()
    texts = [f"{format_count(n)}  ({format_share(n / len(criteria))})" for n in counts]
    colors = [QUIET if label == "unknown" else ACCENT for label in counts.index]
    return _draw_bars([say_name(label) for label in counts.index], counts, texts, color=colors)


def draw_tiers(tiers: pd.Series) -> "Axes":
    """Draw how many partners stand in each tier, the best tier on top; who has no tier is gray.

    Args:
        tiers: The tier of each partner, an ordered categorical with the best tier last; missing means no rating.
    """
    if tiers.isna().all():
        return draw_nothing()
    order = list(tiers.cat.categories)[::-1]
    counts = tiers.astype("object").value_counts().reindex(order, fill_value=0)
    labels, values, colors = [say_name(tier) for tier in order], counts.tolist(), [ACCENT] * len(order)
    if unrated := int(tiers.isna().sum()):
        labels, values, colors = [*labels, say("figures.unrated")], [*values, unrated], [*colors, QUIET]
    texts = [f"{format_count(n)}  ({format_share(n / len(tiers))})" for n in values]
    return _draw_bars(labels[::-1], values[::-1], texts[::-1], color=colors[::-1])


def draw_factor_contributions(contributions: pd.DataFrame) -> "Axes":
    """Draw what each factor adds to the score of an average partner; the bars sum to the average score.

    Args:
        contributions: One row a partner, a column a factor, in points of the score; a missing factor adds
            nothing, a row without any is not rated.
    """
    rated = contributions.dropna(how="all")
    means = rated.fillna(0).mean()[rated.notna().any()].sort_values(kind="stable")
    if means.empty:
        return draw_nothing()
    texts = [format_points(value) for value in means]
    return _draw_bars([say_name(factor) for factor in means.index], means, texts, label=say("figures.points"))


def draw_rank_intervals(ranks: pd.DataFrame, *, show: int = 8) -> "Axes":
    """Draw the rank of the best and the last partners, each with the range it could as well have.

    Args:
        ranks: One row a partner: rank (1 is best), lower, upper (or rank_lower, rank_upper), and name where known; a
            missing rank means unrated.
        show: How many partners at either end.
    """
    ranks = ranks.rename(columns={"rank_lower": "lower", "rank_upper": "upper"})
    rated = ranks.dropna(subset=["rank"]).sort_values("rank", kind="stable")
    if rated.empty:
        return draw_nothing()
    shown = rated if len(rated) <= 2 * show else pd.concat([rated.head(show), rated.tail(show)])
    names = shown["name"] if "name" in shown else shown.index.to_series()
    gap = 1 if len(shown) < len(rated) else 0
    places = [-place - (gap if place >= show else 0) for place in range(len(shown))]
    with apply_style():
        axes = open_axes((len(shown) + gap) * 26 + 50)
        axes.hlines(places, shown["lower"], shown["upper"], color=QUIET, linewidth=4)
        axes.plot(shown["rank"], places, "o", color=ACCENT, markersize=7, clip_on=False)
        axes.set_yticks(places, [wrap_label(str(name), 22, lines=1) for name in names])
        if gap:
            axes.text(
                0.5,
                -show,
                say("figures.between", partners=say_count("partner", len(rated) - len(shown))),
                transform=axes.get_yaxis_transform(),
                ha="center",
                va="center",
                color=GRAY,
            )
        axes.set_xlim(left=0)
        axes.set_xlabel(say("figures.rank"))
        axes.xaxis.set_major_locator(_few_ticks())
        _grid(axes, "x", format_count)
    return axes


def draw_proof(proof: pd.DataFrame) -> "Axes":
    """Draw how well the rating and plain figures ordered what happened next, the best on top, with intervals.

    Args:
        proof: One row a predictor: predictor, n (partners), value (rank correlation, -1 to 1), lower, upper.
    """
    ordered = proof.sort_values("value", ascending=False, kind="stable")
    return draw_dots(ordered, "predictor", "value", format_number, axis_label=say("figures.correlation"))


def draw_tier_proof(tiers: pd.DataFrame, *, currency: str) -> "Axes":
    """Draw the mean outcome of each tier, the best tier on top, with its interval.

    Args:
        tiers: One row a tier, best first: tier, n, mean, lower, upper (money; missing where there are too few).
        currency: Currency.
    """
    return draw_dots(tiers, "tier", "mean", lambda value: format_money(value, currency), tick_form=format_number)


def draw_stages(current: pd.DataFrame, *, stages: list[str]) -> "Axes":
    """Draw how many travelers stand at each stage today, in the order of the stages.

    Args:
        current: One row a traveler: stage.
        stages: All stages and exits in order; the first is drawn on top.
    """
    if current.empty:
        return draw_nothing()
    counts = current["stage"].value_counts().reindex(list(stages), fill_value=0)
    texts = [f"{format_count(n)}  ({format_share(n / len(current))})" for n in counts]
    return _draw_bars([say_name(stage) for stage in counts.index][::-1], counts[::-1], texts[::-1])


def draw_conversion(conversion: pd.DataFrame) -> "Axes":
    """Draw the share that reaches the next stage within the horizon, with its interval.

    Args:
        conversion: One row a group and stage: stage, conversion, lower, upper (0 to 1), n; group where there are
            several.
    """
    return draw_dots(conversion, "stage", "conversion", format_share)


def draw_time_in_stage(times: pd.DataFrame) -> "Axes":
    """Draw the median number of days that a stage takes, with its interval.

    Args:
        times: One row a group and stage: stage, n, censored (still there), median_days, lower, upper (days); group
            where there are several.
            A missing median means that fewer than half have moved on.
    """
    left = times[times["n"] > times["censored"]]  # nobody leaves where the way ends
    return draw_dots(left, "stage", "median_days", format_number, axis_label=say("figures.days"))


def draw_bottlenecks(bottlenecks: pd.DataFrame, *, currency: str) -> "Axes":
    """Draw the money that waits at each stage, the most on top.

    Args:
        bottlenecks: One row a stage: stage, waiting (travelers), money_waiting.
        currency: Currency of the money.
    """
    known = bottlenecks.dropna(subset=["money_waiting"]).sort_values("money_waiting", kind="stable")
    if known.empty:
        return draw_nothing()
    labels = [
        f"{say_name(stage)}\n{say('figures.waiting', n=format_count(n))}"
        for stage, n in zip(known["stage"], known["waiting"], strict=True)
    ]
    texts = [format_money(value, currency) for value in known["money_waiting"]]
    return _draw_bars(labels, known["money_waiting"], texts, color=[ACCENT] * (len(known) - 1) + [WARNING])


def draw_metric_by_group(metrics: pd.DataFrame, *, metric: str, by: str) -> "Axes":
    """Draw one metric for every group on one scale, the highest on top, with its interval; one group is no comparison.

    Args:
        metrics: One row a group and metric: a column named as `by`, metric, value, lower, upper, unit, n.
        metric: The metric to draw.
        by: The column of the groups.
    """
    chosen = metrics[metrics["metric"] == metric].sort_values("value", ascending=False, kind="stable")
    if chosen["value"].count() < 2:
        return draw_nothing()
    unit = str(chosen["unit"].iloc[0]) if len(chosen) else ""
    tick_form = format_share if unit == "share" else format_number
    return draw_dots(chosen, by, "value", lambda value: format_value(value, unit), tick_form=tick_form)


def draw_metric_trend(trend: pd.DataFrame, *, unit: str) -> "Axes":
    """Draw one metric over time with its interval; several groups are labeled where their line ends.

    Args:
        trend: One row a date and group: as_of, value, and lower, upper, group where there are any.
        unit: Unit of the values: a currency, `share`, or a word.
    """
    import seaborn as sns

    trend = trend.dropna(subset=["value"])
    if trend.empty:
        return draw_nothing()
    trend = trend.assign(as_of=pd.to_datetime(trend["as_of"]), group=trend.get("group", ""))
    last = trend.sort_values("as_of").groupby("group").tail(1).sort_values("value", ascending=False)
    groups = list(last["group"].head(len(SERIES)))
    with apply_style():
        axes = open_axes(300)
        sns.lineplot(
            data=trend[trend["group"].isin(groups)],
            x="as_of",
            y="value",
            hue="group",
            hue_order=groups,
            style="group",
            style_order=groups,
            markers=list(MARKERS[: len(groups)]),
            dashes=False,
            palette=list(SERIES[: len(groups)]),
            errorbar=None,
            legend=False,
            ax=axes,
        )
        for group, color in zip(groups, SERIES, strict=False):
            line = trend[trend["group"] == group].sort_values("as_of")
            if {"lower", "upper"} <= set(line):
                axes.fill_between(line["as_of"], line["lower"], line["upper"], color=color, alpha=0.15, linewidth=0)
        axes.margins(y=0.1)
        bottom, top = axes.get_ylim()
        height = bottom
        for day, group, value in last[last["group"].isin(groups)][["as_of", "group", "value"]].itertuples(index=False):
            height = value if height == bottom else min(value, height - (top - bottom) * 0.14)
            write_value(axes, day, height, f"{say_name(group)}\n{format_value(value, unit)}".strip())
        axes.set(xlabel="", ylabel="")
        _mark_months(axes, trend["as_of"])
        axes.yaxis.set_major_locator(_few_ticks())
        _grid(axes, "y", format_share if unit == "share" else format_number)
    return axes


def _style_segment(segment: int) -> tuple[str, str]:
    """Return color and shape of a segment, the same on every page: the six largest have their own."""
    return (SERIES[segment], MARKERS[segment]) if segment < len(SERIES) else (GRAY, "o")


def _mark(color: str, marker: str, size: float = 8) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, marker=marker, markersize=size, linewidth=0)


def _spread_numbers(points: pd.DataFrame) -> list[tuple[int, float, float]]:
    """Place each segment's number at its middle, moved up where it would cover another on a phone's drawing."""
    x, y = points["x"], points["y"]
    across, up = (x.max() - x.min()) * 0.1 or 1.0, (y.max() - y.min()) * 0.07 or 1.0
    middles = points.groupby("segment")[["x", "y"]].median()
    placed: list[tuple[int, float, float]] = []
    for segment, at_x, at_y in middles.sort_values("y", kind="stable").itertuples():
        for _, other_x, other_y in sorted(placed, key=lambda label: label[2]):
            if abs(at_x - other_x) < across and abs(at_y - other_y) < up:
                at_y = other_y + up
        placed.append((int(segment), at_x, at_y))
    return placed


def _draw_share_bars(frame: pd.DataFrame, label: str, share: str) -> "Axes":
    if frame.empty:
        return draw_nothing()
    ordered = frame.sort_values(share, kind="stable")
    texts = [format_share(value) for value in ordered[share]]
    axes = _draw_bars([say_name(name) for name in ordered[label]], ordered[share].fillna(0), texts)
    axes.set_xlim(0, 1)
    return axes


def _draw_shares(ordered: pd.DataFrame) -> "Axes":
    """Draw two bars a segment, share of partners above share of revenue; the last segment is on top."""
    labels = [
        wrap_label(f"{segment + 1}  {name}", 24, lines=4)
        for segment, name in zip(ordered["segment"], ordered["name"], strict=True)
    ]
    row = max(50, *(12 + 15 * (text.count("\n") + 1) for text in labels))
    partners = [
        say("figures.of_partners", n=say_count("partner", n), share=format_share(share))
        for n, share in zip(ordered["n"], ordered["share"], strict=True)
    ]
    revenue = [say("figures.of_revenue", share=format_share(share)) for share in ordered["share_of_revenue"]]
    with apply_style():
        axes = open_axes(len(labels) * row + 16)
        for column, texts, shift, color in (
            ("share", partners, 0.19, ACCENT),
            ("share_of_revenue", revenue, -0.19, SERIES[4]),
        ):
            places = [place + shift for place in range(len(labels))]
            axes.barh(places, ordered[column].fillna(0), color=color, height=14 / row)
            for place, value, text in zip(places, ordered[column].fillna(0), texts, strict=True):
                write_value(axes, max(value, 0), place, text)
        axes.set_yticks(range(len(labels)), labels)
        axes.axvline(0, color=QUIET, linewidth=1)
        axes.set_xticks([])
        axes.set_ylim(-0.6, len(labels) - 0.4)
    return axes


def _draw_bars(
    labels: Sequence[str],
    values: Sequence[float] | pd.Series,
    texts: Sequence[str],
    *,
    color: str | list[str] = ACCENT,
    label: str = "",
) -> "Axes":
    """Draw horizontal bars from zero, each with its value written at its end; the last label is on top."""
    labels = [wrap_label(text, lines=4) for text in labels]
    row = max([_ROW, *(12 + 15 * (text.count("\n") + 1) for text in labels)])
    with apply_style():
        axes = open_axes(len(labels) * row + (40 if label else 16))
        places = range(len(labels))
        axes.barh(places, values, color=color, height=18 / row)
        axes.set_yticks(places, labels)
        for place, value, text in zip(places, values, texts, strict=True):
            write_value(axes, max(value, 0), place, text)
        axes.axvline(0, color=QUIET, linewidth=1)
        axes.set_xticks([])
        axes.set_xlabel(label)
        axes.set_ylim(-0.6, len(labels) - 0.4)
    return axes


def draw_dots(
    frame: pd.DataFrame, label: str, value: str, form: _Form, *, tick_form: _Form | None = None, axis_label: str = ""
) -> "Axes":
    """Draw a dot with its interval for each row in the order given; several groups share a label's place."""
    if frame.empty or frame[value].isna().all():
        return draw_nothing()
    group = frame["group"].astype(str) if "group" in frame else pd.Series("", index=frame.index)
    groups, labels = list(dict.fromkeys(group))[: len(SERIES)], list(dict.fromkeys(frame[label]))
    bounded = frame["upper"].replace(float("inf"), float("nan"))
    open_ended = frame["lower"].notna() & bounded.isna() & frame[value].notna()
    end = max(0 if bounded.isna().all() else bounded.max(), frame[value].max() * (1.15 if open_ended.any() else 1))
    rows = [_label_row(frame[frame[label] == name], name) for name in labels]
    height = max([44, 22 * len(groups) + 12, *(14 + 16 * (text.count("\n") + 1) for text in rows)])
    with apply_style():
        axes = open_axes(len(labels) * height + 40)
        for number, name in enumerate(groups):
            shift = (number - (len(groups) - 1) / 2) * 0.8 / len(groups)
            color, marker = (SERIES[number], MARKERS[number]) if len(groups) > 1 else (ACCENT, "o")
            whose = f"{name}  " if len(groups) > 1 else ""
            for row in frame[group == name].to_dict("records"):
                place = labels.index(row[label]) + shift
                if pd.isna(row[value]):
                    write_value(axes, 0, place, f"{whose}{say('figures.unknown')}", color=GRAY)
                    continue
                upper = row["upper"] if row["upper"] <= end else end
                if upper is end and pd.notna(row["lower"]):
                    axes.plot(end, place, ">", color=color, markersize=6)
                if pd.notna(row["lower"]):
                    axes.hlines(place, row["lower"], upper, color=color, linewidth=2)
                axes.plot(row[value], place, marker, color=color, markersize=8)
                edge = upper if pd.notna(row["lower"]) else row[value]
                write_value(axes, edge, place, f"{whose}{form(row[value])}")
        axes.set_yticks(range(len(labels)), rows)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        axes.set_xlim(min(0, frame["lower"].min(), frame[value].min()), None)
        axes.axvline(0, color=QUIET, linewidth=1)
        axes.set_xlabel(axis_label)
        axes.xaxis.set_major_locator(_few_ticks())
        _grid(axes, "x", tick_form or form)
    return axes


def _label_row(rows: pd.DataFrame, name: object) -> str:
    """Label a row with its name and, below, the number of partners behind it."""
    label = wrap_label(say_name(name), lines=4)
    return f"{label}\nn = {format_count(rows['n'].sum())}" if "n" in rows else label


def _few_ticks():
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10])


def draw_nothing() -> "Axes":
    """Draw that there is nothing to draw."""
    with apply_style():
        axes = open_axes(60)
        axes.text(0.5, 0.5, say("figures.nothing"), ha="center", va="center", color=GRAY, transform=axes.transAxes)
        axes.set(xticks=[], yticks=[], label=NOTHING)
    return axes


def open_axes(height: int) -> "Axes":
    """Open axes as wide as a page's figure and so many px high."""
    import matplotlib.pyplot as plt

    _, axes = plt.subplots(figsize=(WIDTH / 72, height / 72))
    return axes


def write_value(axes: "Axes", x: Any, y: float, text: str, *, color: str = INK) -> None:
    """Write a value just right of a place; the layout makes room for it."""
    axes.annotate(
        text, (x, y), xytext=(6, 0), textcoords="offset points", va="center", color=color, annotation_clip=False
    )


def _grid(axes: "Axes", side: Literal["x", "y"], form: _Form | None = None) -> None:
    axes.grid(axis=side)
    if form is not None:
        axis = axes.xaxis if side == "x" else axes.yaxis
        axis.set_major_formatter(lambda value, _: form(value))


def _mark_months(axes: "Axes", days: pd.Series) -> None:
    """Mark at most three months, or years where there are many, on the axis of time."""
    first, last = days.min(), days.max()
    months = pd.date_range(first.normalize(), last, freq="MS")
    if len(months) < 2:
        axes.set_xticks(cast(Any, [first, last]), [format_date(first), format_date(last)])
        return
    step = next(step for step in (1, 2, 3, 4, 6, 12, 24, 60, 120, 1200) if len(months) <= 3 * step)
    ticks = [month for month in months if (month.year * 12 + month.month - 1) % step == 0]
    axes.set_xticks(cast(Any, ticks), [str(month.year) if step >= 12 else format_month(month) for month in ticks])


def wrap_label(text: str, width: int = 20, *, lines: int = 3) -> str:
    """Wrap a label to so many characters a line, and cut it where it takes more lines."""
    parts = [part for line in text.split("\n") for part in textwrap.wrap(line, width)] or [text]
    if len(parts) > max(lines, text.count("\n") + 1):
        parts = textwrap.wrap(" ".join(parts), width, max_lines=lines, placeholder="…")
    return "\n".join(parts)
