import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from partnerseg.rating.factors import read_factors
from partnerseg.rating.scaling import (
    KNOTS,
    NORMALIZATIONS,
    Scale,
    find_best_evidence,
    fit_scales,
    score_factors,
    score_numbers,
    spread_errors,
    weigh_evidence,
    winsorize,
)


def scales_of(values, quantiles=(0, 1), **row):
    factors = read_factors([{"factor": "f", "features": ["x"], **row}])
    return fit_scales(pd.DataFrame({"x": values}), factors, bounds_quantiles=quantiles)


def test_bounds_come_from_the_quantiles_of_known_values():
    (scale,) = scales_of([*range(101), None], quantiles=(0.05, 0.95))
    assert (scale.worst, scale.best, scale.source, scale.whole) == (5.0, 95.0, "data", True)
    assert np.isnan(scale.unit)
    (scale,) = scales_of([*range(101), None], quantiles=(0.05, 0.95), direction=["down"])
    assert (scale.worst, scale.best) == (95.0, 5.0)


def test_mostly_equal_values_are_bounded_by_the_least_and_the_largest():
    (scale,) = scales_of([0.0] * 98 + [1.0, 4.0], quantiles=(0.05, 0.95))
    assert (scale.worst, scale.best) == (0.0, 4.0)


@pytest.mark.parametrize(("values", "source"), [([3.0, 3.0], "constant"), ([None, None], "no data"), ([], "no data")])
def test_a_feature_without_spread_has_no_bounds_and_stays_unknown(values, source):
    scales = scales_of(pd.Series(values, dtype=float))
    assert scales[0].source == source
    assert not scales[0].is_known
    assert score_factors(pd.DataFrame({"x": [1.0, 3.0, 9.0]}), scales)["f"].isna().all()


def test_stated_bounds_hold_also_without_data():
    scales = scales_of(pd.Series([None, None], dtype=float), bounds=[[0, 10]])
    assert score_factors(pd.DataFrame({"x": [5.0]}), scales)["f"].tolist() == [50.0]


def test_a_long_tail_is_put_on_a_logarithmic_scale():
    # Upper half 64 - 8 = 56, lower half 8 - 0 = 8: 7 times as long. The unit is the median positive value, 8.
    (scale,) = scales_of([0.0, 8.0, 8.0, 8.0, 64.0])
    assert scale.unit == 8.0
    # log(1 + 8/8) / log(1 + 64/8) = log 2 / log 9
    assert scale.to_points(np.array([0.0, 8.0, 64.0])) == pytest.approx([0, 100 * np.log(2) / np.log(9), 100])


def test_negative_values_even_tails_and_stated_bounds_stay_linear():
    assert np.isnan(scales_of([-1.0, 0.0, 100.0])[0].unit)
    for unit in (1, 0.1, 0.3, 0.7, 1.1, 1e-5, 3e7):  # exactly three times as long, in whatever unit
        assert np.isnan(scales_of(np.array([0.0, 25.0, 100.0]) * unit)[0].unit)
    assert np.isnan(scales_of([0.0, 1.0, 100.0], bounds=[[0, 100]])[0].unit)
    assert scales_of([0.0, 1.0, 100.0], normalization="min_max")[0].normalization == "min_max"


def test_a_factor_is_the_mean_of_its_known_features():
    features = pd.DataFrame(
        {"csat": [5.0, 3.0, np.nan, np.nan], "hours": [0.0, np.nan, 24.0, np.nan]}, index=list("abcd")
    )
    rows = [{"factor": "f", "features": ["csat", "hours"], "direction": ["up", "down"], "bounds": [[1, 5], [48, 0]]}]
    scores = score_factors(features, fit_scales(features, read_factors(rows)))
    assert scores["f"].tolist()[:3] == [100.0, 50.0, 50.0]
    assert np.isnan(scores.loc["d", "f"])


# Normalizations


def test_z_is_50_at_the_mean_and_ends_at_three_standard_deviations():
    # Mean 4, standard deviation (n - 1) 2.
    (scale,) = scales_of([2.0, 4.0, 6.0], normalization="z")
    assert scale.to_points(np.array([4.0, 6.0, 10.0, -2.0, 99.0])) == pytest.approx([50, 50 + 100 / 6, 100, 0, 100])
    (scale,) = scales_of([2.0, 4.0, 6.0], normalization="z", direction=["down"])
    assert scale.to_points(np.array([4.0, 6.0])) == pytest.approx([50, 50 - 100 / 6])


def test_rank_is_the_share_of_others_below_with_ties_half():
    # Of 4 others: for 0 (twice) nobody below and one tied; for 5 two below; for 7 three; for 9 four.
    (scale,) = scales_of([0.0, 0.0, 5.0, 7.0, 9.0], normalization="rank")
    assert scale.to_points(np.array([-1.0, 0.0, 5.0, 7.0, 8.0, 9.0, 20.0])) == pytest.approx(
        [12.5, 12.5, 50, 75, 87.5, 100, 100]
    )
    (scale,) = scales_of([0.0, 0.0, 5.0, 7.0, 9.0], normalization="rank", direction=["down"])
    assert scale.to_points(np.array([0.0, 9.0])) == pytest.approx([87.5, 0])


def test_a_rank_scale_of_many_values_is_small_and_near_the_ranks():
    values = np.exp(np.random.default_rng(0).normal(size=5000))
    (scale,) = scales_of(values, normalization="rank")
    assert len(scale.values) == len(scale.shares) <= KNOTS
    exact = (stats.rankdata(values) - 1) / 4999 * 100
    # Two knots are at most 1/199 of the partners apart.
    assert np.abs(scale.to_points(values) - exact).max() < 100 / 199 + 0.1


def test_log_may_be_asked_for_and_refuses_negative_values():
    (scale,) = scales_of([1.0, 2.0, 3.0], normalization="log", bounds=[[0, 6]])
    assert (scale.unit, scale.source) == (2.0, "stated")
    assert scale.to_points(np.array([6.0, 2.0])) == pytest.approx([100, 100 * np.log(2) / np.log(4)])
    with pytest.raises(ValueError, match=r"rating.factors\[0\] \(f\): feature x goes down to -1, must be >= 0"):
        scales_of([-1.0, 2.0, 3.0], normalization="log")
    # Nothing positive is known, so there is no unit: linear.
    assert scales_of([None], normalization="log", bounds=[[0, 6]])[0].normalization == "min_max"


def test_target_is_best_in_the_middle():
    (scale,) = scales_of([1.0, 2.0], direction=["target"], bounds=[[0, 4, 12]])
    values = np.array([-3.0, 0, 2, 4, 6, 12, 99, np.nan])
    np.testing.assert_allclose(scale.to_points(values), [0, 0, 50, 100, 75, 0, 0, np.nan])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"normalization": "magic"}, "possible values are: auto, min_max, log, z, rank"),
        ({"normalization": "z", "bounds": [[0, 1]]}, r"bounds == \[0.0, 1.0\] for x, must be \[\]"),
        ({"normalization": "rank", "bounds": [[0, 1]]}, "normalization rank takes none"),
        ({"normalization": "rank", "direction": ["target"], "bounds": [[0, 1, 2]]}, "must be auto or min_max"),
    ],
)
def test_normalizations_that_cannot_be_are_refused(row, message):
    with pytest.raises(ValueError, match=message):
        scales_of([1.0, 2.0], **row)


def test_one_normalization_for_all_leaves_stated_bounds_aside():
    features = pd.DataFrame({"x": [1.0, 2.0, 5.0], "y": [1.0, 2.0, 5.0]})
    rows = [
        {"factor": "f", "features": ["x"], "bounds": [[0, 10]]},
        {"factor": "g", "features": ["y"], "direction": ["target"], "bounds": [[0, 2, 10]]},
    ]
    scales = fit_scales(features, read_factors(rows), normalization="rank")
    assert [scale.normalization for scale in scales] == ["rank", "target"]


numbers = st.lists(st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3)), min_size=2, max_size=40)


@given(numbers, st.sampled_from(list(NORMALIZATIONS)), st.booleans(), st.booleans())
def test_points_are_monotone_within_0_and_100_and_come_back_from_json(values, how, up, winsorizing):
    values = np.abs(values) if how == "log" else np.array(values)
    assume(values.min() < values.max())
    factors = read_factors([{"factor": "f", "features": ["x"], "direction": ["up" if up else "down"],
                             "normalization": how}])  # fmt: skip
    outliers = "winsorize" if winsorizing else "none"
    (scale,) = fit_scales(pd.DataFrame({"x": values}), factors, outliers=outliers)
    least = 0 if how == "log" else values.min() - 10
    grid = np.unique(np.concatenate([values, np.linspace(least, values.max() + 10, 101)]))
    points = scale.to_points(grid)
    assert points.min() >= -1e-9
    assert points.max() <= 100 + 1e-9
    assert (np.diff(points) * (1 if up else -1) >= -1e-9).all()
    assert points[0] != points[-1]
    back = json.loads(json.dumps(asdict(scale)))
    again = Scale(**back | {"values": tuple(back["values"]), "shares": tuple(back["shares"])})
    assert again.to_points(grid).tobytes() == points.tobytes()


@given(numbers, st.sampled_from(list(NORMALIZATIONS)), st.booleans(), st.floats(1e-4, 1e4))
def test_points_are_the_same_in_another_unit(values, how, winsorizing, unit):
    values = np.abs(values) if how == "log" else np.array(values)
    # Values that differ by rounding only in one unit may be the same in the other.
    assume(np.diff(np.unique(values)).min(initial=np.inf) > 1e-6 * np.abs(values).max())
    factors = read_factors([{"factor": "f", "features": ["x"], "normalization": how}])
    outliers = "winsorize" if winsorizing else "none"
    one, other = (
        score_factors(frame, fit_scales(frame, factors, outliers=outliers))["f"].to_numpy()
        for frame in (pd.DataFrame({"x": values}), pd.DataFrame({"x": values * unit}))
    )
    np.testing.assert_allclose(one, other, atol=1e-7)


# Errors


def test_errors_are_spread_through_the_scale_and_the_mean():
    # Linear, 10 points a unit; the mean of two halves the error; at a bound one side counts: 20 / sqrt 2.
    features = pd.DataFrame(
        {"x": [5.0, 5.0, 10.0, np.nan, 5.0], "y": [5.0, np.nan, np.nan, np.nan, 5.0]}, index=list("abcde")
    )
    rows = [{"factor": "f", "features": ["x", "y"], "bounds": [[0, 10], [0, 10]]}]
    scales = fit_scales(features, read_factors(rows))
    errors = pd.DataFrame({"x": [2.0, 2.0, 2.0, 2.0], "other": 1.0}, index=list("abcd"))
    assert spread_errors(features, errors, scales)["f"].tolist() == pytest.approx([10, 20, 20 / np.sqrt(2), 0, 0])
    both = pd.DataFrame({"x": [3.0], "y": [4.0]}, index=["a"])
    assert spread_errors(features, both, scales).loc["a", "f"] == pytest.approx(25)
    with pytest.raises(ValueError, match=r"errors\['x'\] == -1.0 for partner 'b', must be >= 0"):
        spread_errors(features, pd.DataFrame({"x": [-1.0]}, index=["b"]), scales)


def test_errors_at_the_top_of_a_target_count():
    scales = scales_of([1.0], direction=["target"], bounds=[[0, 5, 10]])
    noise = spread_errors(pd.DataFrame({"x": [5.0, 2.0]}), pd.DataFrame({"x": [1.0, 1.0]}), scales)
    assert noise["f"].tolist() == pytest.approx([20, 20])


# Outliers


def test_one_far_value_is_moved_to_the_next():
    values = [1.0, 2, 3, 4, 5, 6, 7, 8, 9, 100]
    treated = winsorize(pd.DataFrame({"x": [*values, None], "y": [*(-np.array(values)), None]}))
    assert treated.values["x"].tolist()[:10] == [1.0, 2, 3, 4, 5, 6, 7, 8, 9, 9]
    assert treated.values["y"].tolist()[:10] == [-1.0, -2, -3, -4, -5, -6, -7, -8, -9, -9]
    assert treated.values.iloc[10].isna().all()
    assert treated.summary[["low", "high"]].to_numpy().tolist() == [[0, 1], [1, 0]]
    assert treated.summary["passed"].all()


def test_a_column_that_needs_too_many_moved_stays_and_is_named():
    # 5 of 100 at any one value have an excess kurtosis of 15.
    values = np.array([0.0] * 95 + [1.0, 2, 3, 4, 5])
    treated = winsorize(pd.DataFrame({"x": values}))
    assert treated.values["x"].tolist() == values.tolist()
    assert not treated.summary.loc["x", "passed"]
    assert treated.summary.loc["x", "skew"] == pytest.approx(stats.skew(values, bias=False))


def winsorize_slowly(values, skew, kurtosis, most):
    """COINr's loop, word by word."""
    values, moved = values.copy(), 0
    while abs(stats.skew(values, bias=False)) > skew and stats.kurtosis(values, bias=False) > kurtosis:
        if moved >= most or len(np.unique(values)) < 3:
            return None
        if stats.skew(values, bias=False) > 0:
            values[values == values.max()] = np.unique(values)[-2]
        else:
            values[values == values.min()] = np.unique(values)[1]
        moved += 1
    return values


@given(st.integers(0, 10**6), st.integers(4, 80), st.sampled_from(["normal", "tail", "both", "counts"]))
def test_winsorizing_equals_the_loop(seed, n, kind):
    rng = np.random.default_rng(seed)
    values = {
        "normal": lambda: rng.normal(size=n),
        "tail": lambda: np.exp(rng.normal(0, 2, n)),
        "both": lambda: rng.standard_t(1.5, n),
        "counts": lambda: rng.poisson(0.3, n) * rng.integers(1, 9, n).astype(float),
    }[kind]()
    assume(len(np.unique(values)) > 1)
    expected = winsorize_slowly(values, 2.0, 3.5, np.ceil(round(0.1 * n, 9)))
    treated = winsorize(pd.DataFrame({"x": values}))
    assert treated.summary.loc["x", "passed"] == (expected is not None)
    np.testing.assert_array_equal(treated.values["x"], values if expected is None else expected)


def test_winsorized_bounds_are_frozen():
    values = np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 9, 100])
    factors = read_factors([{"factor": "f", "features": ["x"]}])
    (scale,) = fit_scales(pd.DataFrame({"x": values}), factors, outliers="winsorize")
    assert (scale.worst, scale.best) == (1.0, 9.0)
    with pytest.raises(ValueError, match=r"rating.outliers == 'drop'; possible values are: none, winsorize"):
        fit_scales(pd.DataFrame({"x": values}), factors, outliers="drop")


def test_few_or_equal_values_are_left():
    treated = winsorize(pd.DataFrame({"x": [1.0, None, 99], "y": [2.0, 2, 2], "z": [np.nan] * 3}))
    assert treated.values.isna().sum().tolist() == [1, 0, 3]
    assert treated.summary["passed"].all()
    with pytest.raises(ValueError, match="max_share == 2, must be between 0 and 1"):
        winsorize(pd.DataFrame({"x": [1.0]}), max_share=2)


def told_evidence(evidence, stated=0.7, **columns):
    """Shares of the features given, all between 0 and 100, of one factor; its points and its own share."""
    features = pd.DataFrame({**columns, "evidence_planning": evidence})
    factors = read_factors([{"factor": "f", "features": list(columns), "bounds": [[0, 100]] * len(columns)}])
    scales = fit_scales(features, factors)
    shares = weigh_evidence(features, scales, {"f": stated})
    return shares.T.tolist(), score_factors(features, scales, shares)["f"], find_best_evidence(shares, scales)[:, 0]


def test_evidence_counts_beside_what_the_grade_states():
    (shares,), points, best = told_evidence([0.7, 0.35, 0.4, 1.0, 0.0], assessed_planning=[50.0] * 5)
    assert shares == best.tolist() == pytest.approx([1.0, 0.5, 4 / 7, 1.0, 0.0])
    # One feature alone is its factor, however little it counts; what counts nothing is not known.
    assert points.tolist()[:4] == [50.0] * 4
    assert np.isnan(points[4])
    # Nothing told counts as stated; a grade that counts nothing has no share to take.
    assert told_evidence([np.nan], assessed_planning=[50.0])[0] == [[1.0]]
    assert told_evidence([0.4], assessed_planning=[np.nan])[0] == [[0.0]]
    assert told_evidence([0.4], stated=0.0, assessed_planning=[50.0])[0] == [[1.0]]
    with pytest.raises(ValueError, match=r"features\['evidence_planning'\] == -1.0 for partner 0, must be between 0"):
        told_evidence([-1.0], assessed_planning=[50.0])


def test_beside_a_record_an_assessment_counts_less_in_the_mean():
    columns = {"assessed_planning": [90.0, 90, np.nan], "sales": [30.0, np.nan, 30]}
    shares, points, best = told_evidence([0.35] * 3, **columns)
    assert shares == [[0.5, 0.5, 0.0], [1.0, 0.0, 1.0]]
    # (0.5 * 90 + 30) / 1.5; alone; nothing but the record. The factor counts as much as its best evidence.
    assert points.tolist() == pytest.approx([50.0, 90.0, 30.0])
    assert best.tolist() == [1.0, 0.5, 1.0]


def test_noise_of_an_assessment_counts_as_the_assessment_does():
    features = pd.DataFrame({"assessed_planning": [50.0], "sales": [50.0]})
    factors = read_factors([{"factor": "f", "features": list(features), "bounds": [[0, 100]] * 2}])
    errors = pd.DataFrame({"assessed_planning": [9.0], "sales": [4.0]})
    scales = fit_scales(features, factors)
    found = spread_errors(features, errors, scales, np.array([[0.5, 1.0]]))
    # (0.5 * 9 and 1 * 4) / 1.5
    assert found.loc[0, "f"] == pytest.approx(np.hypot(4.5, 4) / 1.5)


def test_without_a_column_about_them_nothing_is_told_of_assessments():
    features = pd.DataFrame({"assessed_planning": [50.0], "sales": [1.0], "evidence_sales": [0.1]})
    factors = read_factors([{"factor": name, "features": [name], "bounds": [[0, 9]]} for name in features.columns[:2]])
    assert weigh_evidence(features, fit_scales(features, factors), {"assessed_planning": 1.0, "sales": 1.0}) is None


def test_arrays_and_frames_score_alike():
    features = pd.DataFrame({"x": [1.0, np.nan], "y": [2.0, 3.0]})
    factors = read_factors([{"factor": "g", "features": ["y"]}, {"factor": "f", "features": ["x", "y"]}])
    scales = fit_scales(features, factors, bounds_quantiles=(0, 1))
    found = score_numbers({name: features[name].to_numpy() for name in features}, scales)
    np.testing.assert_array_equal(found, score_factors(features, scales).to_numpy())
