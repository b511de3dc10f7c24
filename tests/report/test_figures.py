import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest

from partnerseg.report import figures
from tests.report import frames as f

GROUPS = pd.concat([f.CONVERSION.assign(group=name) for name in ("north", "south")])
TRENDS = pd.concat([f.TREND.assign(group=name) for name in ("north", "south")])
FIGURES = {
    "ledger": lambda: figures.draw_ledger(f.LEDGER),
    "freshness": lambda: figures.draw_freshness(f.FRESHNESS, as_of=f.AS_OF),
    "coverage": lambda: figures.draw_coverage(f.COVERAGE),
    "segment_map": lambda: figures.draw_segment_map(f.POINTS),
    "segment_sizes": lambda: figures.draw_segment_sizes(f.SIZES),
    "criteria": lambda: figures.draw_criteria(f.CRITERIA, criterion="partner_type"),
    "tiers": lambda: figures.draw_tiers(f.TIERS),
    "contributions": lambda: figures.draw_factor_contributions(f.CONTRIBUTIONS),
    "ranks": lambda: figures.draw_rank_intervals(f.RANKS),
    "stages": lambda: figures.draw_stages(f.CURRENT, stages=f.STAGES),
    "conversion": lambda: figures.draw_conversion(f.CONVERSION),
    "conversion_by_group": lambda: figures.draw_conversion(GROUPS),
    "time_in_stage": lambda: figures.draw_time_in_stage(f.TIMES),
    "bottlenecks": lambda: figures.draw_bottlenecks(f.BOTTLENECKS, currency="EUR"),
    "metric": lambda: figures.draw_metric_by_group(f.METRICS, metric="revenue_per_partner", by="region"),
    "trend": lambda: figures.draw_metric_trend(f.TREND, unit="share"),
    "trends": lambda: figures.draw_metric_trend(TRENDS, unit="share"),
}
EMPTY = {
    "ledger": lambda: figures.draw_ledger(f.LEDGER.head(0)),
    "freshness": lambda: figures.draw_freshness(f.FRESHNESS.tail(1), as_of=f.AS_OF),
    "coverage": lambda: figures.draw_coverage(f.COVERAGE.head(0)),
    "segment_map": lambda: figures.draw_segment_map(f.POINTS.head(0)),
    "segment_sizes": lambda: figures.draw_segment_sizes(f.SIZES.head(0)),
    "criteria": lambda: figures.draw_criteria(f.CRITERIA, criterion="industry"),
    "tiers": lambda: figures.draw_tiers(f.TIERS.head(0)),
    "contributions": lambda: figures.draw_factor_contributions(f.CONTRIBUTIONS.tail(1)),
    "ranks": lambda: figures.draw_rank_intervals(f.RANKS.tail(1)),
    "stages": lambda: figures.draw_stages(f.CURRENT.head(0), stages=f.STAGES),
    "conversion": lambda: figures.draw_conversion(f.CONVERSION.tail(1)),
    "time_in_stage": lambda: figures.draw_time_in_stage(f.TIMES.head(0)),
    "bottlenecks": lambda: figures.draw_bottlenecks(f.BOTTLENECKS.tail(1), currency="EUR"),
    "metric": lambda: figures.draw_metric_by_group(f.METRICS, metric="nps", by="region"),
    "trend": lambda: figures.draw_metric_trend(f.TREND.head(0), unit="share"),
}


@pytest.fixture(autouse=True)
def close_figures():
    mpl.use("agg")
    yield
    plt.close("all")


def texts(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("name", FIGURES)
def test_figures_return_axes_and_leave_their_data_alone(name):
    before = {key: value.copy() for key, value in vars(f).items() if isinstance(value, (pd.DataFrame, pd.Series))}
    axes = FIGURES[name]()
    axes.get_figure().draw_without_rendering()
    assert isinstance(axes, mpl.axes.Axes)
    for key, value in before.items():
        getattr(pd.testing, f"assert_{'series' if isinstance(value, pd.Series) else 'frame'}_equal")(
            value, getattr(f, key)
        )


@pytest.mark.parametrize("name", EMPTY)
def test_without_data_a_figure_says_that_nothing_is_known(name):
    assert any("do not know" in text for text in texts(EMPTY[name]()))


def test_bars_start_at_zero_and_are_as_long_as_their_values():
    axes = figures.draw_segment_sizes(f.SIZES)
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 30), (0, 50)]
    assert texts(axes) == ["30  (30%)", "50  (50%)"]


def test_ledger_bars_show_every_fate_as_a_share_of_the_rows():
    axes = figures.draw_ledger(f.LEDGER)
    sales = [bar.get_width() for bar in axes.patches if bar.get_y() > 0.5]
    assert sales == pytest.approx([800 / 900, 50 / 900, 10 / 900, 40 / 900])
    assert texts(axes) == ["all used", "11.1% not used"]


def test_tiers_are_drawn_best_on_top_with_the_unrated_below():
    labels = [label.get_text() for label in figures.draw_tiers(f.TIERS).get_yticklabels()]
    assert labels == ["not rated", "bronze", "silver", "gold"]


def test_mean_contributions_sum_to_the_mean_score():
    axes = figures.draw_factor_contributions(f.CONTRIBUTIONS)
    mean_score = f.CONTRIBUTIONS.sum(axis=1, min_count=1).mean()
    assert sum(bar.get_width() for bar in axes.patches) == pytest.approx(mean_score)


def test_ranks_show_both_ends_and_tell_who_is_left_out():
    axes = figures.draw_rank_intervals(f.RANKS, show=3)
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        f"Partner {number}" for number in (0, 1, 2, 27, 28, 29)
    ]
    assert "24 partners" in texts(axes)[0]


def test_an_unknown_median_is_marked_and_not_drawn():
    axes = figures.draw_time_in_stage(f.TIMES)
    assert texts(axes) == ["31", "64", "[x]"]


def test_at_most_six_segments_have_a_color_and_each_has_its_label():
    points = pd.DataFrame({"x": range(80), "y": range(80), "segment_name": [f"s{number % 8}" for number in range(80)]})
    axes = figures.draw_segment_map(points)
    assert len(axes.collections) == 1 + 6
    assert sorted(texts(axes)) == [f"s{number}" for number in range(8)]


def test_labels_of_neighboring_segments_do_not_cover_each_other():
    places = figures._spread_labels(pd.DataFrame({"x": [0.0, 0, 10], "y": [0.0, 0.1, 10]}), pd.Series(["a", "b", "c"]))
    heights = {name: y for name, _, y in places}
    assert heights["b"] - heights["a"] >= 1


def test_dollar_signs_are_dollars():
    axes = figures.draw_segment_map(f.POINTS)
    assert any(text.get_text() == "New $a$ & agents" and not text.get_parse_math() for text in axes.texts)


def test_style_ends_with_its_context():
    before = mpl.rcParams["text.parse_math"], mpl.rcParams["svg.fonttype"]
    with figures.apply_style():
        assert mpl.rcParams["svg.fonttype"] == "none"
    assert (mpl.rcParams["text.parse_math"], mpl.rcParams["svg.fonttype"]) == before
