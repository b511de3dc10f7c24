import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from partnerseg.rating.weights import WEIGHTINGS, critic, direct, entropy, equal


def test_direct_and_equal():
    assert direct({"a": 2, "b": 6, "c": 0}).weights.to_dict() == {"a": 0.25, "b": 0.75, "c": 0.0}
    assert equal(["a", "b", "c", "d"]).weights.tolist() == [0.25] * 4


@pytest.mark.parametrize(
    ("weights", "message"),
    [({"a": -1.0}, "weight of a == -1"), ({"a": np.nan}, "weight of a"), ({"a": 0}, "must be > 0")],
)
def test_impossible_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        direct(weights)


def test_entropy_by_hand():
    # a: shares 1/4, 3/4: entropy = (1/4 log 4 + 3/4 log(4/3)) / log 2 = 2 - 3/4 log2(3) = 0.811278
    # b: shares 0, 1: entropy 0. c: shares 1/2, 1/2: entropy 1, weight 0.
    X = pd.DataFrame({"a": [1.0, 3.0], "b": [0.0, 7.0]})
    result = entropy(X)
    first = 2 - 0.75 * np.log2(3)
    assert result.details["entropy"].tolist() == pytest.approx([first, 0.0])
    assert result.weights.tolist() == pytest.approx([(1 - first) / (2 - first), 1 / (2 - first)])


def test_entropy_counts_only_known_values():
    X = pd.DataFrame({"a": [1.0, 3.0, np.nan], "b": [0.0, 7.0, 7.0]})
    result = entropy(X)
    assert result.details["n"].tolist() == [2, 3]
    assert result.details["entropy"].tolist() == pytest.approx([2 - 0.75 * np.log2(3), np.log(2) / np.log(3)])


def test_entropy_refuses_negative_values():
    with pytest.raises(ValueError, match="factor b has the value -1"):
        entropy(pd.DataFrame({"a": [1.0, 2.0], "b": [-1.0, 2.0]}))


def test_critic_by_hand():
    # Diakoulaki et al. (1995): C_j = s_j * sum_k(1 - r_jk) on columns scaled to 0-1, here
    # a = (0, .5, 1), b = (1, .5, 0), c = (0, 1, .5): every s = .5; r_ab = -1, r_ac = .5, r_bc = -.5.
    # C_a = .5 * (2 + .5) = 1.25, C_b = .5 * (2 + 1.5) = 1.75, C_c = .5 * (.5 + 1.5) = 1; sum 4.
    X = pd.DataFrame({"a": [10.0, 20, 30], "b": [2.0, 1, 0], "c": [0.0, 200, 100]})
    result = critic(X)
    assert result.details["deviation"].tolist() == pytest.approx([0.5] * 3)
    assert result.details["information"].tolist() == pytest.approx([1.25, 1.75, 1.0])
    assert result.weights.tolist() == pytest.approx([0.3125, 0.4375, 0.25])


def test_critic_uses_the_pairs_known_and_one_missing_value_does_not_spread():
    X = pd.DataFrame({"a": [10.0, 20, 30, np.nan], "b": [2.0, 1, 0, np.nan], "c": [0.0, 200, 100, 0.0]})
    result = critic(X)
    # Only c's own deviation changes: (0, 1, .5, 0) has sum of squares about 3/8 equal to .6875.
    deviation = np.sqrt(0.6875 / 3)
    assert result.details["information"].tolist() == pytest.approx([1.25, 1.75, deviation * 2])
    assert np.isfinite(result.weights).all()


@pytest.mark.parametrize("method", [entropy, critic])
def test_constant_and_unknown_factors_weigh_nothing_and_are_named(method):
    X = pd.DataFrame(
        {"a": [0.0, 50, 100], "b": [100.0, 10, 0], "same": [5.0, 5, 5], "unknown": [np.nan] * 3, "one": [1, None, None]}
    )
    with pytest.warns(UserWarning) as caught:
        weights = method(X).weights
    text = " | ".join(str(warning.message) for warning in caught)
    assert "factor same is constant" in text
    assert "factor unknown is known for fewer than two partners" in text
    assert "factor one is known for fewer than two partners" in text
    assert weights[["same", "unknown", "one"]].tolist() == [0.0, 0.0, 0.0]
    assert weights.sum() == pytest.approx(1)
    assert (weights[["a", "b"]] > 0).all()


@pytest.mark.parametrize("method", [entropy, critic])
def test_duplicated_factors_are_named(method):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(0, 100, (30, 2)), columns=["a", "b"])
    X["copy"] = X["a"]
    with pytest.warns(UserWarning, match="factors a and copy order partners the same"):
        weights = method(X).weights
    assert weights["a"] == pytest.approx(weights["copy"])


@pytest.mark.parametrize("method", [entropy, critic])
def test_no_variation_at_all_is_an_error(method):
    with pytest.warns(UserWarning, match="is constant"), pytest.raises(ValueError, match="must be > 0"):
        method(pd.DataFrame({"a": [1.0, 1.0], "b": [2.0, 2.0]}))


@pytest.mark.parametrize("method", [entropy, critic])
def test_an_infinite_value_is_refused_by_name(method):
    with pytest.raises(ValueError, match="factor b has an infinite value"):
        method(pd.DataFrame({"a": [1.0, 2.0], "b": [np.inf, 2.0]}))


def test_a_single_factor_that_varies_takes_all():
    for method in (entropy, critic):
        assert method(pd.DataFrame({"a": [0.0, 1, 3]})).weights.tolist() == [1.0]


def test_pairs_that_share_too_few_partners_are_named():
    nan = np.nan
    X = pd.DataFrame({"a": [0, 50, 100, nan, nan, nan], "b": [nan, nan, nan, 0, 20, 100], "c": [1.0, 5, 3, 2, 9, 4]})
    with pytest.warns(UserWarning, match="factors a and b share too few partners"):
        weights = critic(X).weights
    assert np.isfinite(weights).all()


matrices = arrays(
    float, st.tuples(st.integers(4, 12), st.integers(2, 5)), elements=st.one_of(st.integers(0, 100), st.just(np.nan))
)


@given(matrices, st.sampled_from(list(WEIGHTINGS)))
def test_weights_are_shares_or_an_error_and_never_missing(values, method):
    X = pd.DataFrame(values, columns=[f"f{place}" for place in range(values.shape[1])])
    stated = pd.Series(1.0, index=X.columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            weights = WEIGHTINGS[method](X, stated).weights
        except ValueError as error:
            assert "use direct or equal weights" in str(error)
            return
    assert list(weights.index) == list(X.columns)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)


@given(st.sampled_from([entropy, critic]), st.integers(0, 1000), st.floats(0.001, 1000))
def test_order_of_rows_and_units_are_irrelevant(method, seed, unit):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.uniform(0, 100, (15, 4)), columns=list("abcd")).mask(rng.random((15, 4)) < 0.1)
    weights = method(X).weights
    again = method(X.sample(frac=1, random_state=seed) * [unit, 1, 1, 1]).weights
    assert again.tolist() == pytest.approx(weights.tolist())
