import numpy as np
import pandas as pd
import pytest
import yaml

from partnerseg.rating.factors import EVIDENCE, read_factors, read_numbers


def test_factor_rows_of_the_default_parameters_are_read(pytestconfig):
    text = (pytestconfig.rootpath / "params" / "programme.yaml").read_text(encoding="utf-8")
    rating = yaml.safe_load(text)["rating"]
    factors = read_factors(rating["factors"], evidence=rating["evidence"])
    assert len(factors) == 15
    assert factors[0].direction == tuple(rating["factors"][0]["direction"])
    assert factors[0].features == tuple(rating["factors"][0]["features"])
    stability = next(factor for factor in factors if factor.factor == "sales_stability")
    assert (stability.direction, stability.bounds, stability.window) == (("down",), ((),), 365)
    for factor in factors:
        assert factor.pillar
        assert all(factor.unit)
        assert factor.weight > 0
    assert rating["evidence"] == EVIDENCE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, r"rating.factors\[0\].colour: no such key"),
        ({"features": []}, r"rating.factors\[0\].features: must not be empty"),
        ({"features": ["x", "x"]}, "stands there twice"),
        ({"direction": ["up", "up"]}, "1 features, 2 directions"),
        ({"direction": ["more"]}, "possible values are: up, down, target"),
        ({"bounds": [[5, 1]]}, "worst < best"),
        ({"bounds": [[1, 5]], "direction": ["down"]}, "worst > best"),
        ({"bounds": [[1, 1]]}, "worst < best"),
        ({"bounds": [[1]]}, r"must be \[\] or \[worst, best\]"),
        ({"direction": ["target"]}, r"must be \[low, target, high\]"),
        ({"direction": ["target"], "bounds": [[0, 10]]}, r"must be \[low, target, high\]"),
        ({"direction": ["target"], "bounds": [[0, 12, 10]]}, "low < target < high"),
        ({"direction": ["target"], "bounds": [[5, 5, 10]]}, "low < target < high"),
        ({"bounds": [[0, 5, 10]]}, r"must be \[\] or \[worst, best\]"),
        ({"unit": ["h", "h"]}, "1 features, 1 directions, 1 bounds, 2 units"),
        ({"window": -1}, r"window == -1, must be days >= 0"),
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
