from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import yaml

from partnerseg.programme.tables import ASSESSORS
from partnerseg.rating.factors import read_factors, read_numbers


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
    assert rating["evidence"] == ASSESSORS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, r"rating.factors\[0\].colour: no such key"),
        ({"features": []}, r"rating.factors\[0\] \(f\).features: must not be empty"),
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
        ({"window": -1}, r"window == -1, must be a number >= 0"),
        ({"window": "year"}, r"\(f\).window == 'year', must be a number >= 0"),
        ({"weight": "three"}, r"rating.factors\[0\] \(f\).weight == 'three', must be a number >= 0"),
        ({"weight": None}, "weight == None, must be a number >= 0"),
        ({"features": "abc"}, r"features == 'abc', must be a list with one for each feature, as \[abc\]"),
        ({"direction": "up"}, "direction == 'up', must be a list"),
        ({"unit": "h"}, "unit == 'h', must be a list"),
        ({"bounds": [0, 1]}, r"bounds\[0\] == 0, must be \[\] or \[worst, best\]: bounds hold one such list for each"),
        ({"bounds": [["0", "1"]]}, "must hold numbers"),
        ({"bounds": 5}, "bounds == 5, must be a list"),
        ({"weight": -1}, "weight == -1, must be a number >= 0"),
        ({"weight": float("nan")}, "weight == nan, must be a number >= 0"),
        ({"weight": 0}, "no factor has a weight above 0"),
        ({"grade": "rumor"}, "possible values are: system, audit, manager, self"),
    ],
)
def test_wrong_rows_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        read_factors([{"factor": "f", "features": ["x"], **change}])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("abc", r"rating.factors is a str, must be a list of rows \{factor, features\}"),
        ({"factor": "f", "features": ["x"]}, "rating.factors is a dict, must be a list of rows"),
        (5, "rating.factors is a int, must be a list of rows"),
        (["f"], r"rating.factors\[0\] == 'f', must be a row"),
    ],
)
def test_what_is_no_table_of_factors_is_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        read_factors(rows)


@pytest.mark.parametrize(
    ("evidence", "message"),
    [
        ([1.0], "rating.evidence is a list, must give each name a number"),
        ({"system": "high"}, "rating.evidence.system == 'high', must be a number >= 0"),
        ({"system": -1}, "rating.evidence.system == -1, must be a number >= 0"),
        ({"system": 1.4}, "rating.evidence.system == 1.4, must be a number <= 1, where 1 counts in full"),
        ({"system": 0, "self": 1}, r"of all grades used \(system\) none counts"),
    ],
)
def test_impossible_evidence_is_refused(evidence, message):
    with pytest.raises(ValueError, match=message):
        read_factors([{"factor": "f", "features": ["x"]}], evidence=evidence)


def test_numbers_and_arrays_of_numpy_make_the_same_factor():
    plain = {"factor": "f", "features": ["x"], "bounds": [[0, 1]], "weight": 2, "window": 30}
    arrays = {
        "features": np.array(["x"]),
        "bounds": np.array([[0, 1]]),
        "weight": np.float32(2),
        "window": np.int64(30),
    }
    assert read_factors([{**plain, **arrays}]) == read_factors([plain])


def test_a_factor_named_twice_is_refused():
    with pytest.raises(ValueError, match="'f' stands there twice"):
        read_factors([{"factor": "f", "features": ["x"]}, {"factor": "f", "features": ["y"]}])


def test_a_missing_column_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'sales_365d'"):
        read_numbers(pd.DataFrame({"sales_365d": [1.0]}), ["sale_365d"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", "b"], r"features\['x'\] == 'a' for partner 0, must be numbers; convert it, as with pd.to_numeric"),
        ([None, "12"], r"features\['x'\] == '12' for partner 1, must be numbers"),
        (pd.Series([1.0, "12"], dtype=object), r"features\['x'\] == '12' for partner 1, must be numbers"),
        (pd.Categorical([1, 2]), r"features\['x'\] is category, must be numbers"),
        (pd.Categorical([True, False]), r"features\['x'\] is category, must be numbers"),
        (pd.to_datetime(["2026-01-01", None]), r"features\['x'\] is datetime64.*, must be numbers"),
        (pd.to_datetime(["2026-01-01", None], utc=True), r"features\['x'\] is datetime64.*UTC.*, must be numbers"),
        (pd.to_timedelta(["1D", None]), r"features\['x'\] is timedelta64.*, must be numbers"),
        (
            pd.Series([pd.Timestamp("2026-01-01"), 1], dtype=object),
            r"== Timestamp\(.*\) for partner 0, must be numbers",
        ),
        ([1j, 2.0], r"features\['x'\] is complex128, must be numbers"),
        ([1.0, np.inf], r"features\['x'\] is infinite for partner 1, must be finite or missing"),
        ([1, Decimal("Infinity")], r"features\['x'\] is infinite for partner 1"),
    ],
)
def test_what_is_no_finite_number_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        read_numbers(pd.DataFrame({"x": values}), ["x"])


@pytest.mark.parametrize(
    ("features", "message"),
    [(None, "features is a NoneType, must be a table"), (pd.DataFrame(), "features has no column")],
)
def test_what_is_no_table_of_features_is_refused(features, message):
    with pytest.raises(ValueError, match=message):
        read_numbers(features, ["x"])


def test_a_column_twice_is_refused():
    features = pd.DataFrame([[1.0, 2.0]], columns=["x", "x"])
    with pytest.raises(ValueError, match="features has 2 columns 'x'; keep one of them"):
        read_numbers(features, ["x"])


def test_another_table_is_called_by_its_name():
    for table, message in (([1], "before is a list"), (pd.DataFrame({"x": ["a"]}), r"before\['x'\] == 'a'")):
        with pytest.raises(ValueError, match=message):
            read_numbers(table, ["x"], name="before")


def test_a_partner_twice_is_refused():
    with pytest.raises(ValueError, match="'a' has more than one row"):
        read_numbers(pd.DataFrame({"x": [1.0, 2.0]}, index=["a", "a"]), ["x"])


def test_numbers_of_every_kind_are_read():
    features = pd.DataFrame(
        {
            "count": pd.array([1, None], dtype="Int64"),
            "flag": pd.array([True, None], dtype="boolean"),
            "exact": pd.Series([Decimal(1), None], dtype=object),
            "ratio": pd.Series([Fraction(2, 2), pd.NA], dtype=object),
            "mixed": pd.Series([np.bool_(True), np.nan], dtype=object),
        }
    )
    for values in read_numbers(features, features.columns).values():
        np.testing.assert_array_equal(values, [1.0, np.nan])
