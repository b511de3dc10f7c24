import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partnerseg.rating.sensitivity import correlation_ratio, estimate_sobol, measure_sensitivity

NAMES = ["a", "b", "c", "d"]


def make_points(n: int = 4000, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.uniform(0, 100, (n, 4)) * [1, 0.5, 0.5, 0.1] + [0, 20, 0, 50], columns=NAMES)


def test_ishigami():
    # f = sin x1 + 7 sin^2 x2 + 0.1 x3^4 sin x1 on (-pi, pi). Closed form (Ishigami and Homma 1990; Saltelli et al.
    # 2008, Global Sensitivity Analysis: The Primer): S1 .3139, .4424, 0; ST .5576, .4424, .2437.
    def ishigami(places):
        x = (2 * places - 1) * np.pi
        return np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])

    found = estimate_sobol(ishigami, 3, draws=8192)
    assert found["first_order"].tolist() == pytest.approx([0.3139, 0.4424, 0], abs=0.01)
    assert found["total"].tolist() == pytest.approx([0.5576, 0.4424, 0.2437], abs=0.01)


@settings(max_examples=20)
@given(st.lists(st.floats(0.05, 1), min_size=4, max_size=4), st.integers(0, 99))
def test_indices_of_a_weighted_mean_have_a_closed_form(weights, seed):
    points = make_points(500, seed)
    frozen = pd.DataFrame({name: np.sort(points[name])[1::2] for name in NAMES})
    found = measure_sensitivity(points, pd.Series(weights, index=NAMES), frozen, random_state=seed)
    share = np.square(weights) * frozen.var(ddof=0)
    share /= share.sum()
    assert found["first_order"].tolist() == pytest.approx(share.tolist(), abs=0.03)
    assert found["total"].tolist() == pytest.approx(share.tolist(), abs=0.03)


def test_effective_is_nominal_where_factors_are_independent_and_spread_alike():
    points = pd.DataFrame(np.random.default_rng(0).uniform(0, 100, (20_000, 4)), columns=NAMES)
    found = measure_sensitivity(points, pd.Series([4.0, 3, 2, 1], index=NAMES))
    assert found["nominal"].tolist() == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert found["effective"].tolist() == pytest.approx([0.4, 0.3, 0.2, 0.1], abs=0.01)
    assert not found["flagged"].any()


def test_a_factor_that_hardly_varies_is_flagged():
    found = measure_sensitivity(make_points(20_000), pd.Series(0.25, index=NAMES))
    # Standard deviations 10 : 5 : 5 : 1 of 21.
    assert found["effective"].tolist() == pytest.approx(np.array([10, 5, 5, 1]) / 21, abs=0.015)
    assert found["flagged"].to_dict() == {"a": False, "b": False, "c": False, "d": True}


def test_a_factor_without_weight_has_influence_through_another():
    points = make_points()
    points["d"] = points["a"]
    found = measure_sensitivity(points, pd.Series([0.4, 0.3, 0.3, 0.0], index=NAMES))
    assert found.loc["d", ["first_order", "total"]].tolist() == [0, 0]
    assert found.loc["d", "effective"] == pytest.approx(found.loc["a", "effective"])
    assert found.loc["d", "flagged"]


@pytest.mark.parametrize("aggregation", ["geometric", "topsis"])
def test_indices_follow_the_aggregation(aggregation):
    found = measure_sensitivity(make_points(), pd.Series(0.25, index=NAMES), aggregation=aggregation)
    plain = measure_sensitivity(make_points(), pd.Series(0.25, index=NAMES))
    assert np.abs(found["first_order"] - plain["first_order"]).max() > 0.01
    assert (found["total"] >= found["first_order"] - 0.02).all()
    assert found["effective"].sum() == pytest.approx(1)


def test_unknown_and_constant_factors_move_nothing():
    points = make_points(500).assign(c=np.nan, d=50.0)
    points.loc[:250, "b"] = np.nan
    found = measure_sensitivity(points, pd.Series(0.25, index=NAMES))
    assert found.loc[["c", "d"], ["first_order", "total", "correlation_ratio", "effective"]].eq(0).all(axis=None)
    assert found["flagged"].loc[["c", "d"]].tolist() == [False, True]
    assert found["effective"].sum() == pytest.approx(1)
    assert found["first_order"].sum() == pytest.approx(1, abs=0.02)
    few = measure_sensitivity(points.iloc[:20], pd.Series(0.25, index=NAMES), points)
    assert few["effective"].isna().any() and not few.loc[few["effective"].isna(), "flagged"].any()


def test_factors_that_nobody_is_known_on_flag_no_other():
    names = list("abcdefghij")
    points = pd.DataFrame(np.nan, index=range(2_000), columns=names)
    points[names[:4]] = np.random.default_rng(0).uniform(0, 100, (2_000, 4))
    found = measure_sensitivity(points, pd.Series(0.1, index=names))
    assert found.loc[names[:4], "effective"].between(0.2, 0.3).all()
    assert not found["flagged"].any()


@pytest.mark.filterwarnings("error")
def test_nothing_known_and_nothing_varying_warn_of_nothing():
    for points in (make_points(50) * np.nan, make_points(50) * 0 + 3):
        found = measure_sensitivity(points, pd.Series(0.25, index=NAMES))
        assert found["effective"].eq(0).all()


def test_order_of_rows_and_calls_changes_nothing():
    points = make_points(300)
    weights = pd.Series([0.4, 0.3, 0.2, 0.1], index=NAMES)
    found = measure_sensitivity(points, weights)
    pd.testing.assert_frame_equal(measure_sensitivity(points.sample(frac=1, random_state=1), weights), found)


def test_correlation_ratio_by_hand():
    # Three groups of ten, means 1, 2, 6; within them +-1 in turn: SSW 30, total 30 + 10 * (4 + 1 + 9) = 170.
    x, y = np.repeat([1.0, 2, 3], 10), np.repeat([1.0, 2, 6], 10) + np.tile([1, -1], 15)
    assert correlation_ratio(x, y) == pytest.approx(1 - 30 / 27 / (170 / 29))
    assert np.isnan(correlation_ratio(x[:29], y[:29]))
    assert correlation_ratio(np.ones(30), y) == 0
    assert correlation_ratio(x, np.ones(30)) == 0


def test_correlation_ratio_of_nothing_is_nothing():
    # 400 pairs without influence: 0 but for what clipping at 0 leaves, about half a standard error of 0.017.
    rng = np.random.default_rng(0)
    found = [correlation_ratio(rng.normal(size=400), rng.normal(size=400)) for _ in range(400)]
    assert np.mean(found) < 0.012
    assert np.mean(np.array(found) == 0) > 0.4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": pd.Series(1.0, index=["a", "b"])}, "must be for"),
        ({"weights": pd.Series([1, 1, 1, -1.0], index=NAMES)}, "must be >= 0"),
        ({"aggregation": "median"}, "possible values are: arithmetic"),
        ({"draws": 1000}, "draws == 1000, must be a power of 2"),
    ],
)
def test_impossible_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        measure_sensitivity(**{"points": make_points(40), "weights": pd.Series(0.25, index=NAMES), **change})
