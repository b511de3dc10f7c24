import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from partnerseg.rating.factors import EVIDENCE, Scale, fit_scales, read_factors, read_numbers, score_factors


def scales_of(values, quantiles=(0, 1), **row):
    factors = read_factors([{"factor": "f", "features": ["x"], **row}])
    return fit_scales(pd.DataFrame({"x": values}), factors, bounds_quantiles=quantiles)


def test_factor_rows_of_the_default_parameters_are_read(pytestconfig):
    text = (pytestconfig.rootpath / "params" / "programme.yaml").read_text(encoding="utf-8")
    rating = yaml.safe_load(text)["rating"]
    factors = read_factors(rating["factors"], evidence=rating["evidence"])
    assert len(factors) == 15
    assert factors[0].direction == ("down", "up")
    assert factors[0].bounds == ((), (1.0, 5.0))
    assert rating["evidence"] == EVIDENCE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, r"rating.factors\[0\].colour: no such key"),
        ({"features": []}, r"rating.factors\[0\].features: must not be empty"),
        ({"features": ["x", "x"]}, "stands there twice"),
        ({"direction": ["up", "up"]}, "1 features, 2 directions"),
        ({"direction": ["more"]}, "possible values are: up, down"),
        ({"bounds": [[5, 1]]}, "worst < best"),
        ({"bounds": [[1, 5]], "direction": ["down"]}, "worst > best"),
        ({"bounds": [[1, 1]]}, "worst < best"),
        ({"bounds": [[1]]}, r"must be \[\] or \[worst, best\]"),
        ({"weight": -1}, "must be >= 0"),
        ({"weight": float("nan")}, "must be >= 0"),
        ({"weight": 0}, "no factor has a weight above 0"),
        ({"grade": "rumor"}, "possible values are: system, audit, manager, self"),
    ],
)
def test_wrong_rows_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        read_factors([{"factor": "f", "features": ["x"], **change}])


def test_a_factor_named_twice_is_refused():
    with pytest.raises(ValueError, match="'f' stands there twice"):
        read_factors([{"factor": "f", "features": ["x"]}, {"factor": "f", "features": ["y"]}])


def test_a_missing_column_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'sales_365d'"):
        read_numbers(pd.DataFrame({"sales_365d": [1.0]}), ["sale_365d"])


@pytest.mark.parametrize(
    ("values", "message"), [(["a", "b"], "must be numbers"), ([1.0, np.inf], "infinite for partner 1")]
)
def test_text_and_infinite_numbers_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        read_numbers(pd.DataFrame({"x": values}), ["x"])


def test_a_partner_twice_is_refused():
    with pytest.raises(ValueError, match="'a' has more than one row"):
        read_numbers(pd.DataFrame({"x": [1.0, 2.0]}, index=["a", "a"]), ["x"])


def test_nullable_and_flag_columns_are_numbers():
    features = pd.DataFrame(
        {"count": pd.array([1, None], dtype="Int64"), "flag": pd.array([True, None], dtype="boolean")}
    )
    for values in read_numbers(features, ["count", "flag"]).values():
        np.testing.assert_array_equal(values, [1.0, np.nan])


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


def test_a_factor_is_the_mean_of_its_known_features():
    features = pd.DataFrame(
        {"csat": [5.0, 3.0, np.nan, np.nan], "hours": [0.0, np.nan, 24.0, np.nan]}, index=list("abcd")
    )
    rows = [{"factor": "f", "features": ["csat", "hours"], "direction": ["up", "down"], "bounds": [[1, 5], [48, 0]]}]
    scores = score_factors(features, fit_scales(features, read_factors(rows)))
    assert scores["f"].tolist()[:3] == [100.0, 50.0, 50.0]
    assert np.isnan(scores.loc["d", "f"])


@given(
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
    st.one_of(st.just(np.nan), st.floats(1e-3, 1e3)),
    st.booleans(),
    st.floats(0, 100),
)
def test_points_and_values_are_inverse(low, width, unit, up, points):
    low = low if np.isnan(unit) else abs(low)
    worst, best = (low, low + width) if up else (low + width, low)
    scale = Scale("f", "x", "up" if up else "down", worst, best, unit, "data", False)
    value = scale.from_points(points)
    # What rounding of the value itself, of the size of its bounds, moves.
    error = 1e-6 + 1e-9 * max(abs(worst), abs(best)) / width
    assert scale.to_points(np.array([value]))[0] == pytest.approx(points, abs=error)
    assert scale.to_points(np.array([worst, best])).tolist() == [0.0, 100.0]
