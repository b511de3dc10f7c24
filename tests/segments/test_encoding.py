"""Encoding: what a distance may and may not depend on."""

import json

import numpy as np
import pandas as pd
import pytest

from partnerseg.segments import encoding as module
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


def make_mixed(seed: int, rows: int = 300) -> pd.DataFrame:
    """Every kind of column, correlated, skewed and with gaps."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=rows)
    frame = make_frame(rows).assign(
        visits=np.exp(common + rng.normal(0, 0.3, rows)),
        calls=common + rng.normal(0, 0.5, rows),
        degrees=rng.normal(10, 5, rows),
        flag=rng.uniform(size=rows) < 0.3,
        size=pd.Categorical.from_codes(rng.integers(0, 3, rows), ["s", "m", "l"], ordered=True),
        region=rng.choice(["north", "south", "west", "far", "rare"], rows, p=[0.41, 0.3, 0.2, 0.085, 0.005]),
    )
    frame = frame.mask(rng.uniform(size=frame.shape) < 0.1)
    lists = [["email"], ["email", "phone"], [], ["portal", "phone"], None]
    frame["channels"] = [lists[place] for place in rng.choice(5, rows, p=[0.3, 0.25, 0.2, 0.15, 0.1])]
    return frame.astype({"size": pd.CategoricalDtype(["s", "m", "l"], ordered=True)})


def relabel(frame: pd.DataFrame) -> pd.DataFrame:
    names = {"north": "west", "west": "rare", "rare": "north"}
    lists = [
        cell if cell is None else [{"email": "zz", "phone": "aa"}.get(x, x) for x in cell] for cell in frame["channels"]
    ]
    return frame.assign(region=frame["region"].replace(names), channels=lists)


def change_units(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(
        revenue=frame["revenue"] * 1000,
        visits=frame["visits"] * 0.001,
        orders=frame["orders"] / 12,
        calls=frame["calls"] * 0.621371,
        degrees=frame["degrees"] * 1.8 + 32,
    )


LAWS = {
    "row order": lambda frame: frame.sample(frac=1, random_state=1),
    "column order": lambda frame: frame.iloc[:, ::-1],
    "units": change_units,
    "constant column": lambda frame: frame.assign(same=5.0, same_text="x"),
    "duplicated rows": lambda frame: frame.loc[frame.index.repeat(3)],
    "spelling": relabel,
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("law", LAWS)
def test_coordinates_do_not_depend_on(law, seed):
    frame = make_mixed(seed)
    expected = learn_encoding(frame).encode(frame)
    changed = LAWS[law](frame)
    found = pd.DataFrame(learn_encoding(changed).encode(changed), index=changed.index)
    found = found.groupby(level=0).first(skipna=False) if law == "duplicated rows" else found.loc[frame.index]
    exactly = law not in ("units", "duplicated rows")
    np.testing.assert_allclose(found, expected, rtol=0, atol=0 if exactly else 2e-9)


def test_a_row_alone_is_a_row_in_company_and_blocks_leave_no_trace(monkeypatch):
    frame = make_mixed(0)
    encoding = learn_encoding(frame)
    expected = encoding.encode(frame)
    monkeypatch.setattr(module, "BLOCK", 7)
    assert learn_encoding(frame) == encoding
    np.testing.assert_array_equal(encoding.encode(frame), expected)
    for row in range(0, 300, 17):
        np.testing.assert_array_equal(encoding.encode(frame.iloc[[row]])[0], expected[row])


def test_an_uncorrelated_number_has_variance_one_and_a_text_a_quarter():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=4000), "kind": rng.choice(["x", "y", "z"], 4000)})
    coordinates = learn_encoding(frame).encode(frame)
    assert coordinates[:, 0].var() == pytest.approx(1, rel=0.01)
    assert coordinates[:, 1:].var(axis=0).sum() == pytest.approx(0.25, rel=0.01)


def sum_variances(frame: pd.DataFrame) -> dict[str, float]:
    """Return the say of each column: the variance of its coordinates, summed."""
    encoding = learn_encoding(frame)
    variances = encoding.encode(frame).var(axis=0)
    return {column.name: variances[encoding.owners == place].sum() for place, column in enumerate(encoding.columns)}


def test_copies_of_a_number_have_the_say_of_one_in_whatever_unit():
    rng = np.random.default_rng(0)
    alone = pd.DataFrame({"a": rng.normal(size=1000), "b": rng.normal(size=1000)})
    say = sum_variances(alone.assign(a2=alone["a"], a3=alone["a"] * 1000, a4=-alone["a"] + 7))
    assert [say[name] for name in ("a", "a2", "a3", "a4")] == pytest.approx([0.25] * 4, rel=0.01)
    assert say["b"] == pytest.approx(1, rel=0.01)


def test_a_correlated_family_has_the_say_of_its_root():
    # Nine numbers with correlations of 0.9: sum of squares 1 + 8 * 0.81 = 7.48, so each has 1 / 2.73 and all have 3.3.
    rng = np.random.default_rng(0)
    common = rng.normal(size=20_000)
    family = {f"a{place}": np.sqrt(0.9) * common + np.sqrt(0.1) * rng.normal(size=20_000) for place in range(9)}
    say = sum_variances(pd.DataFrame({**family, "b": rng.normal(size=20_000)}))
    assert sum(say.values()) - say["b"] == pytest.approx(9 / np.sqrt(7.48), rel=0.02)
    assert say["b"] == pytest.approx(1, rel=0.02)


def test_texts_that_are_the_same_have_the_say_of_one_however_spelled():
    rng = np.random.default_rng(0)
    kinds = pd.Series(rng.choice(["x", "y", "z"], 2000, p=[0.5, 0.3, 0.2]))
    frame = pd.DataFrame({"kind": kinds, "code": kinds.map({"x": "3", "y": "1", "z": "2"}) + "!"})
    say = sum_variances(frame.assign(other=rng.choice(["u", "v"], 2000)))
    assert [say["kind"], say["code"]] == pytest.approx([0.125, 0.125], rel=0.01)
    assert say["other"] == pytest.approx(0.25, rel=0.01)


def test_a_text_that_another_splits_has_less_than_its_full_say():
    # Four equal regions of two countries each. RV: 3 / sqrt(3 * 7) = 0.655, so each has 0.25 / sqrt(1.655).
    country = np.tile(np.arange(8), 250)
    frame = pd.DataFrame({"country": [f"c{c}" for c in country], "region": [f"r{c // 2}" for c in country]})
    expected = 0.25 / np.sqrt(1 + 3 / np.sqrt(21))
    assert list(sum_variances(frame).values()) == pytest.approx([expected] * 2, rel=0.001)


def test_a_number_repeated_as_text_is_dropped_and_other_digits_are_kept():
    rng = np.random.default_rng(0)
    orders = rng.poisson(3, 400).astype(float)
    frame = pd.DataFrame({"orders": orders, "store": rng.choice(["101", "102", "207"], 400)})
    frame["text"] = [f"{count * 12:.0f}" for count in orders]
    encoding = learn_encoding(frame)
    assert encoding.dropped == {"text": "the numbers of 'orders' as text"}
    assert [column.name for column in encoding.columns] == ["orders", "store"]
    # Where the text knows less than the number it is no use, where it knows more it is kept.
    frame.loc[20:99, "text"] = None
    assert list(learn_encoding(frame).dropped) == ["text"]
    frame.loc[:9, "orders"] = np.nan
    assert not learn_encoding(frame).dropped


def test_ordered_levels_are_ranks_that_weigh_like_a_number():
    rng = np.random.default_rng(0)
    ranks = rng.integers(0, 4, 300)
    sizes = pd.Categorical.from_codes(ranks, ["micro", "small", "medium", "large"], ordered=True)
    frame = pd.DataFrame({"size": sizes, "a": ranks + rng.normal(0, 1, 300)})
    numbers = frame.assign(size=ranks.astype(float))
    encoding = learn_encoding(frame)
    assert encoding.columns[1].levels == ("micro", "small", "medium", "large")
    assert encoding.numeric.all()
    np.testing.assert_allclose(encoding.encode(frame), learn_encoding(numbers).encode(numbers), atol=2e-9)
    later = pd.DataFrame({"size": ["large", "giant", None], "a": 0.0})
    encoded = encoding.encode(later)[:, 1]
    assert encoded[0] == encoding.encode(frame)[ranks == 3, 1][0]
    assert np.isnan(encoded[1:]).all()


def test_levels_of_an_ordered_column_that_nobody_has_leave_no_gap():
    sizes = pd.Categorical(["s", "l", "xl"] * 5, ["s", "m", "l", "xl"], ordered=True)
    column = learn_encoding(pd.DataFrame({"size": sizes})).columns[0]
    assert (column.levels, column.center) == (("s", "l", "xl"), (1.0,))


CHANNELS = [["email", "phone"], ["email"], [], None, ["email", None, "email"]]


@pytest.mark.parametrize("box", [list, tuple, set, np.array, lambda cell: pd.array(cell, dtype="str")])
def test_lists_hold_their_levels_an_empty_one_none_and_a_missing_one_is_unknown(box):
    frame = pd.DataFrame({"channels": pd.Series([cell if cell is None else box(cell) for cell in CHANNELS * 4])})
    encoding = learn_encoding(frame)
    column = encoding.columns[0]
    assert (column.kind, column.levels, column.center) == ("multi", ("email", "phone"), (0.75, 0.25))
    # By hand: variance 2 * 3/16, weight sqrt(0.25 / 0.375) = 0.816497.
    expected = 0.816497 * np.array([[0.25, 0.75], [0.25, -0.25], [-0.75, -0.25], [np.nan, np.nan], [0.25, -0.25]])
    np.testing.assert_allclose(encoding.encode(frame)[:5], expected, atol=1e-9)
    later = encoding.encode(pd.DataFrame({"channels": [["fax"], ["fax", "phone"], "phone", np.nan]}))
    np.testing.assert_allclose(
        later[:3], 0.816497 * np.array([[-0.75, -0.25], [-0.75, 0.75], [-0.75, 0.75]]), atol=1e-9
    )
    assert np.isnan(later[3]).all()


def test_lists_survive_parquet(tmp_path):
    frame = pd.DataFrame({"channels": CHANNELS * 4})
    frame.to_parquet(tmp_path / "frame.parquet")
    again = pd.read_parquet(tmp_path / "frame.parquet")
    assert learn_encoding(again) == learn_encoding(frame)
    np.testing.assert_array_equal(learn_encoding(frame).encode(again), learn_encoding(frame).encode(frame))


def test_lists_without_groups_and_equal_lists_are_dropped():
    frame = pd.DataFrame({"many": [[f"t{place}"] for place in range(300)], "same": [["a", "b"]] * 300})
    assert learn_encoding(frame).dropped == {"many": "300 different texts, hardly any groups", "same": "constant"}


def test_numbers_of_any_size_have_coordinates():
    values = np.random.default_rng(0).normal(size=200)
    frame = pd.DataFrame(
        {"a": values, "big": values[::-1] * 1e300, "tiny": values**2 * 1e-300, "code": ["1", "2"] * 100}
    )
    encoding = learn_encoding(frame)
    assert not encoding.dropped
    expected = frame.assign(big=values[::-1], tiny=values**2)
    np.testing.assert_allclose(encoding.encode(frame), learn_encoding(expected).encode(expected), atol=2e-9)


def test_correlation_needs_ten_rows():
    rows = np.random.default_rng(0).normal(size=30).repeat(2).reshape(30, 2)
    rows[9:, 1] = np.nan
    assert correlate_known(rows)[0, 1] == 0
    rows[9, 1] = rows[9, 0]
    assert correlate_known(rows)[0, 1] > 0.9


def test_numbers_among_objects_are_numbers():
    frame = pd.DataFrame({"a": pd.Series([1, 2.5, None, 4] * 10, dtype=object), "flag": [True, None, False, True] * 10})
    assert [column.kind for column in learn_encoding(frame).columns] == ["number", "number"]


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


@pytest.mark.parametrize(
    ("learned", "given", "message"),
    [
        ([1.0, 2.0, 3.0], ["a", "b", "c"], "'a' must hold numbers"),
        (["x", "y", "x"], [["x"], ["y"], []], "'a' holds lists"),
        ([1.0, 2.0, 3.0], [1.0, np.inf, 2.0], "'a' holds infinity"),
    ],
)
def test_refuses_another_kind_of_values_than_it_learned_from(learned, given, message):
    with pytest.raises(ValueError, match=message):
        learn_encoding(pd.DataFrame({"a": learned})).encode(pd.DataFrame({"a": given}))


def test_names_of_columns_must_be_text_and_different():
    with pytest.raises(ValueError, match=r"\['score'\] stand in the features more than once"):
        learn_encoding(pd.concat([make_frame(), make_frame()[["score"]]], axis=1))
    with pytest.raises(ValueError, match=r"rename\(columns=str\)"):
        learn_encoding(pd.DataFrame({0: [1.0, 2.0]}))


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
