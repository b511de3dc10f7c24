"""Encoding: what a distance may and may not depend on."""

import json

import numpy as np
import pandas as pd
import pytest

from partnerseg.segments.encoding import Encoding, correlate_known, fill_unknown, learn_encoding


def make_frame(rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "revenue": np.exp(rng.normal(8, 1.5, rows)),
            "score": rng.normal(50, 10, rows),
            "orders": rng.poisson(3, rows).astype(float),
            "kind": rng.choice(["agent", "reseller"], rows),
        }
    )


def test_constant_empty_and_ungrouped_columns_are_dropped_with_a_reason():
    frame = make_frame().assign(same=3.0, empty=np.nan, one="x", none=None, name=[f"Partner {i}" for i in range(200)])
    dropped = learn_encoding(frame).dropped
    assert dropped == {
        "same": "constant",
        "one": "constant",
        "empty": "all missing",
        "none": "all missing",
        "name": "200 different texts, hardly any groups",
    }


def test_unit_and_row_order_leave_no_trace():
    frame = make_frame()
    other = frame.assign(revenue=frame["revenue"] * 100, score=frame["score"] * 1.8 + 32, orders=frame["orders"] / 12)
    expected = learn_encoding(frame).encode(frame)
    np.testing.assert_allclose(learn_encoding(other).encode(other), expected, atol=2e-9)
    shuffled = frame.sample(frac=1, random_state=0)
    np.testing.assert_array_equal(learn_encoding(shuffled).encode(frame), expected)


def test_an_uncorrelated_number_has_variance_one_and_a_text_a_quarter():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=4000), "kind": rng.choice(["x", "y", "z"], 4000)})
    coordinates = learn_encoding(frame).encode(frame)
    assert coordinates[:, 0].var() == pytest.approx(1, rel=0.01)
    assert coordinates[:, 1:].var(axis=0).sum() == pytest.approx(0.25, rel=0.01)


def test_copies_of_a_column_share_a_say():
    rng = np.random.default_rng(0)
    alone = pd.DataFrame({"a": rng.normal(size=1000), "b": rng.normal(size=1000)})
    copied = alone.assign(a2=alone["a"], a3=alone["a"], a4=alone["a"])
    encoding = learn_encoding(copied)
    variance = dict(zip(copied.columns.sort_values(), encoding.encode(copied).var(axis=0), strict=True))
    # Four copies: sum of squared correlations 4, its square root 2, so each has half a say.
    assert variance["a"] == pytest.approx(0.5, rel=0.03)
    assert variance["b"] == pytest.approx(1.0, rel=0.03)


def test_a_level_never_seen_and_a_gap_are_unknown():
    frame = pd.DataFrame({"kind": ["a", "b"] * 50, "score": np.arange(100.0)})
    encoded = learn_encoding(frame).encode(pd.DataFrame({"kind": ["a", "new", None], "score": [1.0, np.nan, 2.0]}))
    assert np.isnan(encoded).tolist() == [[False, False, False], [True, True, True], [True, True, False]]


def test_rare_levels_count_as_one_and_so_does_a_new_one():
    frame = pd.DataFrame({"kind": ["a"] * 150 + ["b"] * 146 + ["c", "d", "e", "f"]})
    encoding = learn_encoding(frame)
    assert encoding.columns[0].levels == ("a", "b", "(other)")
    rare, new = encoding.encode(pd.DataFrame({"kind": ["c", "zzz"]}))
    np.testing.assert_array_equal(rare, new)


def test_survives_json_exactly():
    frame = make_frame()
    encoding = learn_encoding(frame)
    again = Encoding.from_dict(json.loads(json.dumps(encoding.to_dict())))
    assert again == encoding
    np.testing.assert_array_equal(again.encode(frame), encoding.encode(frame))


@pytest.mark.parametrize(
    ("column", "message"),
    [([1.0, np.inf], "holds infinity"), (pd.to_datetime(["2026-01-01", "2026-01-02"]), "holds times")],
)
def test_refuses_what_has_no_distance(column, message):
    with pytest.raises(ValueError, match=message):
        learn_encoding(pd.DataFrame({"a": column}))


def test_names_absent_columns_and_their_key():
    with pytest.raises(ValueError, match=r"'revenues'.*segments\.columns"):
        learn_encoding(make_frame(), ["revenues"])


def test_correlation_uses_the_rows_that_know_both():
    rng = np.random.default_rng(0)
    first = rng.normal(size=500)
    rows = np.column_stack([first, -first])
    rows[:200, 0], rows[300:, 1] = np.nan, np.nan
    assert correlate_known(rows)[0, 1] == pytest.approx(-1, abs=0.01)


def test_a_gap_is_filled_with_what_the_known_cells_let_expect():
    # By hand: standard deviations 1 and 2, correlation 0.6, a twentieth less by the ridge: 0.57 * 2 / 1 * x.
    rng = np.random.default_rng(0)
    rows = np.column_stack([rng.normal(size=20_000), 2 * rng.normal(size=20_000)])
    rows[0] = [1.5, np.nan]
    rows[1] = [np.nan, np.nan]
    filled = fill_unknown(rows, np.array([[1.0, 0.6], [0.6, 1.0]]))
    assert filled[0, 1] == pytest.approx(0.57 * 2 * 1.5, rel=0.03)
    assert filled[1].tolist() == [0.0, 0.0]
    np.testing.assert_array_equal(filled[2:], rows[2:])
