import numpy as np
import pandas as pd
import pytest
import skcriteria
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pymcdm.methods import TOPSIS
from pymcdm.normalizations import vector_normalization
from skcriteria.agg.topsis import TOPSIS as SkcTOPSIS
from skcriteria.preprocessing.scalers import VectorScaler

from partnerseg.rating.aggregation import AGGREGATIONS, arithmetic, geometric, penalty, topsis, topsis_of
from partnerseg.rating.moments import TASK

everyone = pytest.mark.parametrize("aggregate", AGGREGATIONS.values(), ids=list(AGGREGATIONS))


@st.composite
def tables(draw, missing: bool = True):
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    number = st.floats(0, 100, allow_subnormal=False)
    points = draw(arrays(float, (rows, columns), elements=st.one_of(number, st.just(np.nan)) if missing else number))
    weights = draw(arrays(float, columns, elements=st.floats(0.01, 1)))
    return points, weights / weights.sum()


def test_by_hand():
    points, weights = np.array([[80.0, 20, np.nan]]), np.array([0.3, 0.1, 0.6])
    # 0.6 is shared among the known: 0.75 and 0.25.
    assert arithmetic(points, weights) == pytest.approx([65])
    # (1 + 0.99 * 80) ** 0.75 * (1 + 0.99 * 20) ** 0.25 on 1-100, moved back to 0-100
    assert geometric(points, weights) == pytest.approx([(80.2**0.75 * 20.8**0.25 - 1) / 0.99])
    # variance 0.75 * 15 ** 2 + 0.25 * 45 ** 2 = 675 over the mean 265 of the scale 200-300
    assert penalty(points, weights) == pytest.approx([65 - 675 / 265])
    # distances to 0: sqrt(60 ** 2 + 5 ** 2), to 100: sqrt(15 ** 2 + 20 ** 2)
    far, near = np.sqrt(60**2 + 5**2), 25
    assert topsis(points, weights) == pytest.approx([100 * far / (far + near)])


@everyone
def test_weights_by_row_equal_weights_by_factor(aggregate):
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 100, (20, 4))
    weights = rng.dirichlet(np.ones(4), 20)
    together = aggregate(points, weights)
    alone = [aggregate(points[[row]], weights[row])[0] for row in range(20)]
    assert together.tolist() == alone


@everyone
@given(table=tables())
def test_a_row_depends_on_itself_alone_to_the_last_bit(aggregate, table):
    points, weights = table
    scores = aggregate(points, weights)
    for row in range(len(points)):
        np.testing.assert_array_equal(scores[[row]], aggregate(points[[row]], weights))
    np.testing.assert_array_equal(aggregate(np.tile(points, (50, 1)), weights)[: len(points)], scores)
    np.testing.assert_array_equal(aggregate(np.asfortranarray(points), weights), scores)


@everyone
@given(table=tables())
def test_scores_stay_between_the_least_and_the_largest_point(aggregate, table):
    points, weights = table
    scores = aggregate(points, weights)
    unknown = np.isnan(points).all(axis=1)
    assert np.isnan(scores).tolist() == unknown.tolist()
    known = points[~unknown]
    assert (scores[~unknown] <= np.nanmax(known, axis=1) + 1e-9).all()
    least = np.nanmin(known, axis=1)
    if aggregate is penalty:
        # The penalty may go below the least point, but not below 0.
        least = np.zeros(len(known))
    assert (scores[~unknown] >= least - 1e-9).all()


@everyone
@given(table=tables(), place=st.integers(0, 4), rise=st.floats(0, 100))
def test_raising_a_factor_never_lowers_a_score(aggregate, table, place, rise):
    points, weights = table
    raised = points.copy()
    raised[:, place % points.shape[1]] = np.minimum(raised[:, place % points.shape[1]] + rise, 100)
    before, after = aggregate(points, weights), aggregate(raised, weights)
    known = ~np.isnan(before)
    assert (after[known] >= before[known] - 1e-9).all()


@everyone
@given(table=tables(), seed=st.integers(0, 99))
def test_the_order_of_factors_does_not_matter(aggregate, table, seed):
    points, weights = table
    order = np.random.default_rng(seed).permutation(points.shape[1])
    np.testing.assert_allclose(aggregate(points[:, order], weights[order]), aggregate(points, weights), atol=1e-9)


@everyone
def test_the_ends_are_the_ends_and_equal_points_give_those_points(aggregate):
    points = np.array([[0.0] * 3, [100.0] * 3, [37.0] * 3, [37.0, np.nan, 37.0]])
    assert aggregate(points, np.array([0.5, 0.3, 0.2])).tolist() == pytest.approx([0, 100, 37, 37])


@everyone
def test_a_factor_without_weight_does_not_count(aggregate):
    points = np.array([[np.nan, 60.0], [10, np.nan]])
    scores = aggregate(points, np.array([0.0, 1.0]))
    assert scores[0] == pytest.approx(60)
    assert np.isnan(scores[1])


@given(table=tables(missing=False))
def test_imbalance_costs(table):
    points, weights = table
    mean = arithmetic(points, weights)
    assert (geometric(points, weights) <= mean + 1e-9).all()
    assert (penalty(points, weights) <= mean + 1e-9).all()
    assert (penalty(points, weights) >= mean - 10.2).all()


def test_the_penalty_needs_its_scale_to_be_monotone():
    # On a scale from 150 the partner with one small factor above many at 0 would lose by raising it further.
    weights = np.array([0.001, 0.999])
    low, high = penalty(np.array([[90.0, 0], [100, 0]]), weights)
    assert high >= low

    def on_scale(start, points):
        mean = points @ weights + start
        return mean - ((points + start - mean) ** 2) @ weights / mean - start

    assert on_scale(150, np.array([100.0, 0])) < on_scale(150, np.array([90.0, 0]))


def make_table(rows: int, seed: int = 0) -> tuple[pd.DataFrame, dict[str, float]]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.uniform(1, 100, (rows, 5)), columns=list("abcde"))
    return X, dict(zip("abcde", [0.1, 0.2, 0.3, 0.15, 0.25], strict=True))


@pytest.mark.parametrize("rows", [2, 40, 3 * TASK + 17])
def test_topsis_of_equals_pymcdm_and_scikit_criteria(rows):
    X, weights = make_table(rows)
    ours = topsis_of(X, weights)
    share, values = np.array(list(weights.values())), X.to_numpy()
    theirs = TOPSIS(vector_normalization)(values, share, np.ones(5))
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    table = skcriteria.mkdm(values, [max] * 5, weights=share)
    again = SkcTOPSIS().evaluate(VectorScaler(target="matrix").transform(table)).e_.similarity
    np.testing.assert_allclose(ours, again, atol=1e-12)


def test_topsis_of_units_and_order_do_not_matter():
    X, weights = make_table(30)
    expected = topsis_of(X, weights)
    other = (X * [1000, 0.001, 7, 1, 3])[list("ecabd")].sample(frac=1, random_state=0)
    np.testing.assert_allclose(topsis_of(other, weights).reindex(X.index), expected, atol=1e-12)


def test_topsis_of_leaves_the_unknown_out():
    X, weights = make_table(30)
    X.loc[3, "a"] = np.nan
    X.loc[4] = np.nan
    X["unknown"] = np.nan
    X["same"] = 5.0
    closeness = topsis_of(X, {**weights, "unknown": 1.0, "same": 1.0})
    assert closeness.index[closeness.isna()].tolist() == [4]
    # Partner 3 without its factor a, with the ideals and the size of the others.
    others, share = X.drop(columns=["unknown", "same"]), np.array(list(weights.values()))
    size = share / np.sqrt((others**2).sum().to_numpy())
    far = np.sqrt((((others.loc[3] - others.min()) * size).dropna() ** 2).sum())
    near = np.sqrt((((others.loc[3] - others.max()) * size).dropna() ** 2).sum())
    assert closeness[3] == pytest.approx(far / (far + near))


@pytest.mark.parametrize(
    ("X", "weights", "message"),
    [
        ({"a": [1.0, 2], "b": [1.0, 1]}, {"a": 1}, "weights lack factor b"),
        ({"a": [1.0, 2]}, {"a": -1}, "weight of a == -1"),
        ({"a": [1.0, np.inf]}, {"a": 1}, "factor a has an infinite value"),
        ({"a": [1.0, 1]}, {"a": 1}, "no factor with a weight varies"),
        ({"a": [1.0, 2], "b": [1.0, 1]}, {"a": 0, "b": 1}, "no factor with a weight varies"),
    ],
)
def test_topsis_of_refuses_by_name(X, weights, message):
    with pytest.raises(ValueError, match=message):
        topsis_of(pd.DataFrame(X), weights)
