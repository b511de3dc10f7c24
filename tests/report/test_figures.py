from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest

from partnerseg.report import figures
from tests.report import frames as f

EVIDENCE = SimpleNamespace(statistic=5.9, null_95=2.0)
GROUPS = pd.concat([f.CONVERSION.assign(group=name) for name in ("north", "south")])
TRENDS = pd.concat([f.TREND.assign(group=name) for name in ("north", "south")])
FIGURES = {
    "ledger": lambda: figures.draw_ledger(f.LEDGER),
    "freshness": lambda: figures.draw_freshness(f.FRESHNESS, as_of=f.AS_OF),
    "coverage": lambda: figures.draw_coverage(f.COVERAGE),
    "segment_map": lambda: figures.draw_segment_map(f.POINTS),
    "segment_sizes": lambda: figures.draw_segment_sizes(f.SIZES),
    "segment_shares": lambda: figures.draw_segment_sizes(f.PROFILE.head(2)),
    "segment_map_exemplars": lambda: figures.draw_segment_map(f.POINTS, f.EXEMPLARS),
    "structure": lambda: figures.draw_structure(EVIDENCE),
    "stability": lambda: figures.draw_stability(f.PROFILE, least=0.6),
    "proof": lambda: figures.draw_proof(f.PROOF.head(3)),
    "membership": lambda: figures.draw_membership(f.MEMBERS, sure=0.95),
    "potential": lambda: figures.draw_potential(f.POTENTIAL, currency="EUR"),
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
    "structure": lambda: figures.draw_structure(SimpleNamespace(statistic=f.NAN, null_95=f.NAN)),
    "stability": lambda: figures.draw_stability(f.PROFILE.head(1), least=0.6),
    "membership": lambda: figures.draw_membership(f.MEMBERS.assign(probability=1.0), sure=0.95),
    "potential": lambda: figures.draw_potential(f.POTENTIAL.tail(1), currency="EUR"),
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
    assert texts(axes) == ["all used", "100 not used"]


def test_tables_that_are_used_whole_share_one_bar():
    more = f.LEDGER.tail(1).assign(table="costs", rows_in=20, used=20)
    axes = figures.draw_ledger(pd.concat([f.LEDGER, more]))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["2 tables\n120 rows", "sales\n900 rows"]


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


def key(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_every_segment_has_a_number_and_a_line_in_the_key_and_six_have_a_color():
    segment = [number % 9 - 1 for number in range(90)]
    points = pd.DataFrame(
        {"x": range(90), "y": range(90), "segment": segment, "segment_name": [f"s{s}" for s in segment]}
    )
    axes = figures.draw_segment_map(points)
    colors = [mpl.colors.to_hex(drawn.get_facecolor()[0]) for drawn in axes.collections]
    assert colors == [figures.QUIET, *figures.SERIES, figures.GRAY, figures.GRAY]
    assert sorted(texts(axes)) == [f"{number}" for number in range(1, 9)]
    assert key(axes) == [*(f"{number + 1}  s{number} (10)" for number in range(8)), "in no segment clearly (10)"]


def test_a_segment_keeps_its_number_color_and_shape_where_others_are_missing():
    axes = figures.draw_segment_map(f.POINTS[f.POINTS["segment"] != 0])
    assert texts(axes) == ["2"]
    assert mpl.colors.to_hex(axes.collections[1].get_facecolor()[0]) == figures.SERIES[1]
    assert key(axes) == ["2  New $a$ & agents (3)", "in no segment clearly (1)"]


def test_where_all_partners_are_one_group_the_map_has_no_numbers_and_no_key():
    axes = figures.draw_segment_map(f.POINTS[f.POINTS["segment"] == 0])
    assert texts(axes) == []
    assert axes.get_legend() is None


def test_time_in_stage_leaves_out_where_the_way_ends():
    won = f.TIMES.tail(1).assign(stage="won", censored=20)
    axes = figures.draw_time_in_stage(pd.concat([f.TIMES, won]))
    assert len(axes.get_yticklabels()) == 3


def test_one_segment_or_one_group_is_no_comparison():
    for axes in (
        figures.draw_segment_sizes(f.SIZES.head(1)),
        figures.draw_criteria(f.CRITERIA.head(3), criterion="partner_type"),
        figures.draw_tiers(f.TIERS.tail(1)),
        figures.draw_metric_by_group(f.METRICS.head(1), metric="revenue_per_partner", by="region"),
    ):
        assert axes.get_label() == figures.NOTHING


def test_numbers_of_neighboring_segments_do_not_cover_each_other():
    points = pd.DataFrame({"x": [0.0, 0, 10], "y": [0.0, 0.1, 10], "segment": [0, 1, 2]})
    heights = {segment: y for segment, _, y in figures._spread_numbers(points)}
    assert heights[1] - heights[0] >= 0.7


def test_dollar_signs_are_dollars():
    axes = figures.draw_segment_map(f.POINTS)
    lines = axes.get_legend().get_texts()
    assert any("New $a$ & agents" in text.get_text() and not text.get_parse_math() for text in lines)


def test_style_ends_with_its_context():
    before = mpl.rcParams["text.parse_math"], mpl.rcParams["svg.fonttype"]
    with figures.apply_style():
        assert mpl.rcParams["svg.fonttype"] == "none"
    assert (mpl.rcParams["text.parse_math"], mpl.rcParams["svg.fonttype"]) == before


def test_shares_of_partners_and_of_revenue_have_one_scale():
    axes = figures.draw_segment_sizes(f.PROFILE.head(2))
    assert sorted(round(bar.get_width(), 2) for bar in axes.patches) == [0.25, 0.3, 0.5, 0.65]
    assert "65% of revenue" in texts(axes)


def test_bands_of_membership_hold_every_partner_once():
    axes = figures.draw_membership(f.MEMBERS, sure=0.95)
    assert [bar.get_width() for bar in axes.patches][::-1] == [2, 1, 1, 1]


def test_the_most_typical_partner_of_a_segment_is_named_in_the_key():
    legend = figures.draw_segment_map(f.POINTS, f.EXEMPLARS).get_legend()
    key = [" ".join(text.get_text().split()) for text in legend.get_texts()]
    assert "such as Blue, Ltd" in key[0]
    assert "such as Oak" in key[1]


def test_types_of_few_known_partners_are_not_drawn():
    axes = figures.draw_potential(f.POTENTIAL, currency="EUR")
    labels = [label.get_text().split("\n")[0] for label in axes.get_yticklabels()]
    assert labels == ["all types", "agent", "reseller"]
