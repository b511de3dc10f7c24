"""Moves: ids that survive a refit, and a matrix in which nobody is lost."""

import numpy as np
import pandas as pd
import pytest

from partnerseg.segments.moves import match_segments, migration_matrix


def series(values) -> pd.Series:
    return pd.Series(values, index=[f"P{place}" for place in range(len(values))])


def test_renumbered_segments_get_their_ids_back():
    old = series([0] * 5 + [1] * 4 + [2] * 3 + [-1])
    new = series([2] * 5 + [0] * 4 + [1] * 3 + [0])
    matched = match_segments(old, new)
    assert matched["segment"].to_dict() == {0: 1, 1: 2, 2: 0}
    # New 0 has five members, four of them old 1; the fifth was background: 4 of 5.
    assert matched["similarity"].to_dict() == {0: 0.8, 1: 1.0, 2: 1.0}


def test_a_segment_without_an_old_one_gets_a_number_never_used():
    old = series([0] * 6 + [3] * 6)
    new = series([0] * 6 + [1] * 6)
    fresh = pd.concat([new, pd.Series(2, index=["N1", "N2"])])
    matched = match_segments(old, fresh)
    assert matched["segment"].to_dict() == {0: 0, 1: 3, 2: 4}
    assert np.isnan(matched.loc[2, "similarity"])


def test_little_in_common_is_no_match():
    # Five new segments of four share two members with each old one: 2 of 12, far from the same.
    old = series([0] * 10 + [1] * 10)
    new = series(list(range(5)) * 4)
    matched = match_segments(old, new)
    assert matched["segment"].to_dict() == {0: 2, 1: 3, 2: 4, 3: 5, 4: 6}
    assert matched["similarity"].isna().all()


@pytest.mark.parametrize("empty", ["old", "new"])
def test_nothing_to_match(empty):
    some, none = series([0, 0, 1]), pd.Series([], dtype=int)
    matched = match_segments(none, some) if empty == "old" else match_segments(some, none)
    assert matched["segment"].to_dict() == ({0: 0, 1: 1} if empty == "old" else {})


def test_matrix_counts_everyone_once():
    before = pd.Series({"P1": 0, "P2": 0, "P3": 1, "P4": -1, "P5": 1})
    after = pd.Series({"P1": 0, "P2": 1, "P3": 1, "P4": 0, "P6": 1, "P7": np.nan})
    matrix = migration_matrix(before, after)
    assert matrix.index.tolist() == [-1, 0, 1, "joined"]
    assert matrix.columns.tolist() == [-1, 0, 1, "left"]
    assert matrix.to_numpy().tolist() == [[0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 1, 0]]
    cohorts = before.value_counts()
    assert all(matrix.loc[segment].sum() == cohorts[segment] for segment in cohorts.index)
    assert matrix.loc["joined"].sum() == 1
    assert matrix["left"].sum() == 1


def test_a_partner_twice_is_refused():
    twice = pd.Series([0, 1], index=["P1", "P1"])
    with pytest.raises(ValueError, match="'P1' is in `after` more than once"):
        migration_matrix(series([0]), twice)
