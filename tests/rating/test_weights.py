import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pymcdm.weights as pymcdm
import pytest
import skcriteria
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pymcdm.weights.subjective import AHP
from scipy.optimize import linprog, minimize_scalar, nnls
from skcriteria.preprocessing.weighters import CRITIC, EntropyWeighter
from sklearn.decomposition import PCA

from partnerseg.rating.moments import TASK, measure_moments
from partnerseg.rating.weights import (
    WEIGHTINGS,
    ahp,
    benefit_of_the_doubt,
    best_worst,
    blend,
    critic,
    direct,
    entropy,
    equal,
    learned,
    pca,
)

FROM_DATA = [entropy, critic, pca, benefit_of_the_doubt]


def test_direct_and_equal():
    assert direct({"a": 2, "b": 6, "c": 0}).weights.to_dict() == {"a": 0.25, "b": 0.75, "c": 0.0}
    assert equal(["a", "b", "c", "d"]).weights.tolist() == [0.25] * 4


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": -1.0}, "weight of a == -1.0, must be a number >= 0"),
        ({"a": np.nan}, "weight of a == nan, must be a number >= 0"),
        ({"a": np.inf}, "weight of a == inf, must be a number >= 0"),
        ({"a": None}, "weight of a == None, must be a number >= 0"),
        ({"a": pd.NA}, "weight of a == <NA>, must be a number >= 0"),
        ({"a": "3"}, "weight of a == '3', must be a number >= 0"),
        ({"a": True}, "weight of a == True, must be a number >= 0"),
        ({"a": 0}, "must be > 0 and finite"),
        ({"a": 1e308, "b": 1e308}, "sum to inf, must be > 0 and finite"),
        ({}, "weights: there is none; name at least one factor"),
        ([1, 2], "weights is a list, must give each name a number"),
        (pd.Series([1, 2], ["a", "a"]), "weights names a twice; keep one of them"),
    ],
)
def test_impossible_weights_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        direct(weights)


def test_numbers_of_any_kind_are_taken():
    stated = {"a": np.int64(3), "b": np.float32(1), "c": Fraction(3), "d": Decimal(1)}
    assert direct(stated).weights.tolist() == [0.375, 0.125, 0.375, 0.125]
    assert direct(pd.Series([3, 1], ["a", "b"], dtype="Int64")).weights.tolist() == [0.75, 0.25]
    rows = rows_of(("a", "b", np.int64(2)), ("b", "c", np.float32(2)), ("a", "c", Fraction(4)))
    assert ahp(rows, max_consistency_ratio=np.float32(0.1)).weights.tolist() == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    found = best_worst({"b": np.int64(2), "c": Decimal(4)}, {"a": np.float32(4), "b": 2}).weights
    assert found[["a", "b", "c"]].tolist() == pytest.approx([4 / 7, 2 / 7, 1 / 7])


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ([], "factors: there is none; name at least one factor"),
        (["a", "b", "a"], "factors names a twice; keep one of them"),
        ("volume", r"factors == 'volume', must be a list of names, as \['volume'\]"),
    ],
)
def test_impossible_factors_are_refused(factors, message):
    with pytest.raises(ValueError, match=message):
        equal(factors)


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


@pytest.mark.parametrize("method", FROM_DATA)
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


@pytest.mark.parametrize("method", FROM_DATA)
def test_duplicated_factors_are_named(method):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.uniform(0, 100, (30, 2)), columns=["a", "b"])
    X["copy"] = X["a"]
    with pytest.warns(UserWarning, match="factors a and copy order partners the same"):
        weights = method(X).weights
    if method is not benefit_of_the_doubt:  # which of the two a partner chooses is up to it
        assert weights["a"] == pytest.approx(weights["copy"])


@pytest.mark.parametrize("method", FROM_DATA)
def test_no_variation_at_all_is_an_error(method):
    with pytest.warns(UserWarning, match="is constant"), pytest.raises(ValueError, match="must be > 0"):
        method(pd.DataFrame({"a": [1.0, 1.0], "b": [2.0, 2.0]}))


@pytest.mark.parametrize("method", FROM_DATA)
def test_an_infinite_value_is_refused_by_name(method):
    with pytest.raises(ValueError, match="factor b has an infinite value"):
        method(pd.DataFrame({"a": [1.0, 2.0], "b": [np.inf, 2.0]}))


@pytest.mark.parametrize("method", [*FROM_DATA, "learned"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.to_numpy(), "X is a ndarray, must be a frame, partners x factors"),
        (lambda X: X.iloc[:0], "X has 0 partners and 2 factors, must have some of both"),
        (lambda X: X[[]], "X has 40 partners and 0 factors, must have some of both"),
        (lambda X: X[["f0", "f1", "f1"]], "X has two factors f1; keep one of them"),
        (lambda X: X.assign(f1=["low", *X["f1"][1:]]), "f1 is 'low' for P00000, must be a number or missing"),
        (lambda X: X.assign(f1=X["f1"].astype(str)), "f1 is '.+' for P00000, must be a number or missing"),
        (lambda X: X.assign(f1=pd.Timestamp("2026-01-31")), "f1 is datetime64.*, must be a number or missing"),
    ],
)
def test_frames_that_are_no_points_are_refused(method, change, message):
    X = make_points(40, 2)
    with pytest.raises(ValueError, match=message):
        weigh(method, change(X), X["f0"] - X["f1"])


@pytest.mark.parametrize("method", [*FROM_DATA, "learned"])
@pytest.mark.parametrize("kind", ["float32", "Float64", object])
def test_points_of_any_kind_of_number_weigh_the_same(method, kind):
    X = make_points(40, 3, missing=0.1).round()
    y = make_outcome(X, [1, 0.5, 0.2], 5)
    other = X.astype(kind)
    if kind is object:
        other = other.where(X.notna(), None)
    np.testing.assert_allclose(weigh(method, other, y), weigh(method, X, y), atol=1e-12)


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        (pca, {"components": "2"}, "components == '2', must be a whole number >= 1"),
        (pca, {"components": 1.5}, "components == 1.5, must be a whole number >= 1"),
        (pca, {"components": 3}, "components == 3, must be between 1 and the 2 factors that vary"),
        (benefit_of_the_doubt, {"partners": 0}, "partners == 0, must be a whole number >= 1"),
        (benefit_of_the_doubt, {"partners": 2.5}, "partners == 2.5, must be a whole number >= 1"),
        (benefit_of_the_doubt, {"lower": "half"}, "lower bound of f0 == 'half', must be a number >= 0"),
        (benefit_of_the_doubt, {"upper": {"f1": np.nan}}, "upper bound of f1 == nan, must be a number >= 0"),
        (benefit_of_the_doubt, {"lower": {"f_1": 0.2}}, "lower: a name == 'f_1', must be a factor; did you mean 'f1'"),
        (benefit_of_the_doubt, {"lower": 0.5, "upper": 0.4}, "bounds of f0 are 0.5 and 0.4, must be 0 <= lower"),
        (benefit_of_the_doubt, {"lower": 0.6}, "lower bounds sum to 1.2 and upper bounds to 2"),
    ],
)
def test_impossible_options_are_refused(method, arguments, message):
    with pytest.raises(ValueError, match=message):
        method(make_points(40, 2), **arguments)


def test_whole_numbers_of_numpy_are_options():
    X = make_points(40, 2)
    assert pca(X, components=np.int64(1)).details["component"].tolist() == [1, 1]
    assert len(benefit_of_the_doubt(X, partners=np.int32(7)).details) == 7


def test_a_single_factor_that_varies_takes_all():
    for method in FROM_DATA:
        assert method(pd.DataFrame({"a": [0.0, 1, 3]})).weights.tolist() == [1.0]


def test_pairs_that_share_too_few_partners_are_named():
    nan = np.nan
    X = pd.DataFrame({"a": [0, 50, 100, nan, nan, nan], "b": [nan, nan, nan, 0, 20, 100], "c": [1.0, 5, 3, 2, 9, 4]})
    with pytest.warns(UserWarning, match="factors a and b share too few partners"):
        weights = critic(X).weights
    assert np.isfinite(weights).all()


def make_points(rows: int = 200, columns: int = 6, seed: int = 0, missing: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    values = rng.uniform(1, 99, (rows, columns)) @ (np.eye(columns) + 0.15)
    frame = pd.DataFrame(values * 50 / values.mean(), columns=[f"f{place}" for place in range(columns)])
    frame.index = pd.Index([f"P{place:05d}" for place in range(rows)], name="partner_id")
    return frame.mask(rng.random(frame.shape) < missing)


# Second implementations


@pytest.mark.parametrize("rows", [3, 200, 2 * TASK + 17])
def test_entropy_and_critic_equal_pymcdm_and_scikit_criteria(rows):
    X = make_points(rows)
    table = skcriteria.mkdm(X.to_numpy(), [max] * 6)
    for method, first, second in (
        (critic, pymcdm.critic_weights, CRITIC()),
        (entropy, pymcdm.entropy_weights, EntropyWeighter()),
    ):
        weights = method(X).weights
        np.testing.assert_allclose(weights, first(X.to_numpy()), atol=1e-12)
        np.testing.assert_allclose(weights, second.transform(table).weights, atol=1e-12)


def test_ahp_equals_pymcdm():
    rng = np.random.default_rng(0)
    for n in (3, 5, 9, 15):
        truth = np.sort(rng.uniform(1, 5, n))[::-1]
        matrix = np.eye(n)
        for one in range(n):
            for other in range(one + 1, n):
                matrix[one, other] = max(round(truth[one] / truth[other] * rng.uniform(0.8, 1.25)), 1)
                matrix[other, one] = 1 / matrix[one, other]
        names = [f"f{place}" for place in range(n)]
        ours, theirs = ahp(pd.DataFrame(matrix, names, names)), AHP(matrix=matrix)
        np.testing.assert_allclose(ours.weights, theirs(), atol=1e-12)
        # The random indices differ by a few percent (Saaty here, Tummala and Ling there).
        assert ours.consistency_ratio == pytest.approx(theirs.get_cr(), rel=0.1)


def test_best_worst_equals_another_program():
    rng = np.random.default_rng(1)
    for _ in range(20):
        n = int(rng.integers(3, 8))
        best, worst = rng.integers(2, 10, n).astype(float), rng.integers(2, 10, n).astype(float)
        best[0] = worst[-1] = 1.0
        best[-1] = worst[0] = 9.0
        names = [f"f{place}" for place in range(n)]
        ours = best_worst(pd.Series(best, names), pd.Series(worst, names))
        # Written with a residual of its own for each judgment, and the interior point method.
        identity, top, bottom = np.eye(n), np.eye(n)[0], np.eye(n)[-1]
        gaps = np.vstack([top - best[:, None] * identity, identity - worst[:, None] * bottom])
        equal_to = np.block([[gaps, -np.eye(2 * n), np.zeros((2 * n, 1))], [np.ones((1, n)), np.zeros((1, 2 * n + 1))]])
        below = np.block([[np.zeros((2 * n, n)), sign * np.eye(2 * n), -np.ones((2 * n, 1))] for sign in [1]])
        above = np.block([[np.zeros((2 * n, n)), -np.eye(2 * n), -np.ones((2 * n, 1))]])
        found = linprog(
            [0] * (3 * n) + [1],
            A_ub=np.vstack([below, above]),
            b_ub=np.zeros(4 * n),
            A_eq=equal_to,
            b_eq=[0] * (2 * n) + [1],
            bounds=[(0, None)] * n + [(None, None)] * (2 * n) + [(0, None)],
            method="highs-ipm",
        )
        assert ours.ksi == pytest.approx(found.fun, abs=1e-9)
        assert np.abs(gaps @ ours.weights.to_numpy()).max() == pytest.approx(ours.ksi, abs=1e-9)


def test_pca_equals_scikit_learn_and_a_search_over_angles():
    X = make_points(300, 5)
    result = pca(X, components=2)
    standard = (X - X.mean()) / X.std()
    theirs = PCA().fit(standard)
    np.testing.assert_allclose(result.details["eigenvalue"], theirs.explained_variance_, atol=1e-10)
    loadings = (theirs.components_[:2] * np.sqrt(theirs.explained_variance_[:2, None])).T
    unit = loadings / np.linalg.norm(loadings, axis=1, keepdims=True)

    def turn(angle):
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    def minus_variance(angle):
        return -((unit @ turn(angle)) ** 2).var(axis=0).sum()

    start = min(np.linspace(0, np.pi / 2, 181), key=minus_variance)
    angle = minimize_scalar(minus_variance, bounds=(start - 0.02, start + 0.02), method="bounded").x
    squared = (loadings @ turn(angle)) ** 2
    share = squared / squared.sum(axis=0) * squared.sum(axis=0) / squared.sum()
    expected = share.max(axis=1) / share.max(axis=1).sum()
    np.testing.assert_allclose(result.weights, expected, atol=1e-5)


def bound_freely(values: np.ndarray, partner: int, least: np.ndarray, most: np.ndarray) -> float:
    own = values[partner]
    shares = np.vstack([np.outer(least, own) - np.diag(own), np.diag(own) - np.outer(most, own)])
    found = linprog(
        -own,
        A_ub=np.vstack([values, shares]),
        b_ub=np.r_[np.ones(len(values)), np.zeros(2 * len(own))],
        method="highs-ds",
    )
    return -found.fun


@pytest.mark.parametrize(("lower", "upper"), [(0.0, 1.0), (0.1, 0.4), (0.25, 0.25)])
def test_benefit_of_the_doubt_equals_programs_over_all_peers(lower, upper):
    X = make_points(60, 4)
    result = benefit_of_the_doubt(X, lower=lower, upper=upper)
    expected = [bound_freely(X.to_numpy(), place, np.full(4, lower), np.full(4, upper)) for place in range(60)]
    np.testing.assert_allclose(result.details["composite"], expected, atol=1e-7)
    shares = result.details[list(X)]
    assert (shares.sum(axis=1) - 1).abs().max() < 1e-9
    assert shares.min(axis=None) >= lower - 1e-7
    assert shares.max(axis=None) <= upper + 1e-7
    np.testing.assert_allclose(result.weights, shares.mean(), atol=1e-12)


@pytest.mark.parametrize("strength", [0.0, 0.3, 5.0])
def test_learned_equals_non_negative_least_squares_on_rows(strength):
    X = make_points(150, 4)
    rng = np.random.default_rng(2)
    y = X @ [0.6, 0.3, 0, 0] - 0.4 * X["f3"] + rng.normal(0, 20, 150)
    prior = pd.Series([0.1, 0.4, 0.3, 0.2], X.columns)
    result = learned(X, y, prior=prior, strength=strength)
    from scipy.stats import norm, rankdata

    target = norm.ppf((rankdata(y) - 0.5) / 150)
    target = (target - target.mean()) / target.std(ddof=1)
    scaled = ((X - X.mean()) / X.std()).to_numpy()
    start = prior.to_numpy() * X.std().to_numpy()
    start *= (scaled @ start) @ target / ((scaled @ start) ** 2).sum()
    # The prior as rows of data: sqrt(strength * (n - 1)) times the distance of each coefficient.
    size = np.sqrt(strength * 149)
    effect = nnls(np.vstack([scaled, size * np.eye(4)]), np.r_[target, size * start])[0]
    np.testing.assert_allclose(result.details["effect"], effect, atol=1e-7)
    np.testing.assert_allclose(result.weights, effect / X.std() / (effect / X.std()).sum(), atol=1e-7)
    assert result.weights["f3"] == 0 or strength > 0


def test_moments_equal_pandas_with_and_without_missing_values():
    for missing in (0.0, 0.3):
        X = make_points(5000, 4, missing=missing)
        X["far"] = X["f0"] * 1e-3 + 1e6
        X["sparse"] = X["f1"].where(X["f0"] > 80) + 1e7 * (X["f2"] < 40)
        moments = measure_moments(X.to_numpy())
        np.testing.assert_allclose(moments.correlation, X.corr(min_periods=3), atol=1e-9)
        np.testing.assert_allclose(moments.deviation, X.std(), rtol=1e-9)
        assert moments.n.tolist() == X.count().tolist()


def test_a_pair_known_on_partners_unlike_the_others_keeps_its_digits():
    X = pd.DataFrame({"a": np.random.default_rng(0).uniform(-1e6, 1e6, 1000), "b": np.nan})
    X.loc[:9, "a"] = 1e6 + 1e-3 * np.arange(10)
    X.loc[:9, "b"] = [3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3]
    expected = np.corrcoef(X.loc[:9, "a"] - 1e6, X.loc[:9, "b"])[0, 1]
    assert measure_moments(X.to_numpy()).correlation[0, 1] == pytest.approx(expected, abs=1e-6)


def test_entropy_of_shares_near_zero_equals_scikit_criteria():
    X = pd.DataFrame(np.geomspace([1e-9, 1e-3, 1], [1, 1, 5], 50), columns=list("abc"))
    theirs = EntropyWeighter().transform(skcriteria.mkdm(X.to_numpy(), [max] * 3)).weights
    np.testing.assert_allclose(entropy(X).weights, theirs, atol=1e-12)


# Judgments


def rows_of(*pairs: tuple[str, str, float]) -> list[dict]:
    return [{"better": better, "worse": worse, "times": times} for better, worse, times in pairs]


def test_a_contradiction_is_refused_and_its_remedy_works():
    rows = rows_of(("a", "b", 3), ("b", "c", 3), ("c", "a", 9), ("a", "d", 2), ("b", "d", 0.5), ("c", "d", 0.25))
    with pytest.raises(
        ValueError, match=r"consistency ratio == \d\.\d+, must be <= 0.1; revisit c over a times 9"
    ) as error:
        ahp(rows)
    told = str(error.value)
    times, ratio = float(told.split("times 9: ")[1].split(" ")[0]), float(told.rsplit(" ", 1)[1])
    mended = [row | {"times": times} if row["times"] == 9 else row for row in rows]
    assert times < 1
    assert "so a over c times" in told
    assert ahp(mended).consistency_ratio == pytest.approx(ratio, abs=2e-3)
    # No other judgment, whatever its value, brings the ratio as low.
    for place, row in enumerate(rows):
        tried = [
            ahp([*rows[:place], row | {"times": other}, *rows[place + 1 :]], max_consistency_ratio=9).consistency_ratio
            for other in np.geomspace(1 / 20, 20, 81)
        ]
        assert min(tried) >= ratio - 2e-3


def test_a_looser_limit_is_a_parameter():
    rows = rows_of(("a", "b", 3), ("b", "c", 3), ("c", "a", 3))
    assert ahp(rows, max_consistency_ratio=9).consistency_ratio > 0.1


def test_missing_judgments_are_completed_for_the_least_eigenvalue():
    rows = rows_of(
        ("a", "b", 2), ("b", "c", 3), ("c", "d", 4), ("a", "d", 5), ("d", "e", 2), ("b", "e", 9), ("a", "e", 3)
    )
    completed = ahp(rows, max_consistency_ratio=1).details

    def largest(matrix):
        return np.linalg.eigvals(matrix).real.max()

    best = largest(completed.to_numpy())
    for one, other in (("a", "c"), ("b", "d"), ("c", "e")):
        for factor in (0.999, 1.001):
            moved = completed.copy()
            moved.loc[one, other] *= factor
            moved.loc[other, one] /= factor
            assert largest(moved.to_numpy()) > best


def test_half_a_matrix_equals_rows():
    rows = rows_of(("a", "b", 2), ("b", "c", 3), ("a", "c", 5))
    half = pd.DataFrame([[1, 2, 5], [np.nan, 1, 3], [np.nan, np.nan, 1]], list("abc"), list("abc"))
    full = pd.DataFrame([[1, 2, 5], [1 / 2, 1, 3], [1 / 5, 1 / 3, 1]], list("abc"), list("abc"))
    for other in (half, half.T.rdiv(1), full, pd.DataFrame(rows)):
        pd.testing.assert_series_equal(ahp(other).weights, ahp(rows).weights)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "judgments: there is none"),
        (rows_of(("a", "b", 0)), r"judgments\[0\]: a over b: times == 0, must be a number > 0"),
        (rows_of(("a", "b", np.nan)), "times == nan"),
        (rows_of(("a", "b", "3")), r"judgments\[0\]: a over b: times == '3', must be a number > 0"),
        (rows_of(("a", "b", None)), r"judgments\[0\]: a over b: times == None, must be a number > 0"),
        (rows_of(("a", "b", 2), ("b", None, 2)), r"judgments\[1\]\.worse is missing; name a factor"),
        ([{"better": "a", "worse": "b", "time": 2}], r"judgments\[0\] has the keys better, worse, time, must be a row"),
        ([("a", "b", 2)], r"judgments\[0\] == \('a', 'b', 2\), must be a row \{better, worse, times\}"),
        (None, "judgments is a NoneType, must be a list"),
        (rows_of(("a", "b", 2))[0], "judgments is a dict, must be a list"),
        (pd.DataFrame(), "judgments: there is none"),
        (pd.DataFrame([[1, "2"], [None, 1]], list("ab"), list("ab")), "a over b: times == '2', must be a number > 0"),
        (pd.DataFrame([[1, -2], [None, 1]], list("ab"), list("ab")), "a over b: times == -2, must be a number > 0"),
        (pd.DataFrame([{"better": "a", "worse": "b", "time": 2}]), "or the columns better, worse and times"),
        (rows_of(("a", "a", 2)), "compared with itself"),
        (rows_of(("a", "b", 2), ("b", "a", 2)), r"judgments\[1\]: b over a: this pair is judged twice"),
        (rows_of(("a", "b", 2), ("c", "d", 2)), "nothing connects c, d with a"),
        (pd.DataFrame([[1, 2], [3, 1]], list("ab"), list("ab")), "must be its reciprocal"),
        (pd.DataFrame([[1, 3], [0.3, 1]], list("ab"), list("ab")), "must be its reciprocal"),
        (pd.DataFrame([[2, 2], [0.5, 1]], list("ab"), list("ab")), "must be its reciprocal|compared with itself"),
        (pd.DataFrame([[1, 2], [0.5, 1]], list("ab"), list("ac")), "must be the same factors"),
    ],
)
def test_impossible_judgments_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        ahp(rows)


def test_a_reciprocal_of_two_digits_is_one():
    rounded = pd.DataFrame([[1, 3], [0.33, 1]], list("ab"), list("ab"))
    assert ahp(rounded).weights.tolist() == pytest.approx([0.75, 0.25])


@pytest.mark.parametrize("limit", [-0.1, np.nan, "0.1", None])
def test_impossible_limits_of_consistency_are_refused(limit):
    with pytest.raises(ValueError, match=r"max_consistency_ratio == .*, must be a number >= 0"):
        ahp(rows_of(("a", "b", 9), ("b", "c", 9), ("c", "a", 9)), max_consistency_ratio=limit)


@pytest.mark.parametrize(
    ("best", "worst", "message"),
    [
        ({"b": "2"}, {"a": 2}, "best_to_others: b: times == '2', must be a number >= 1"),
        ({"b": 2}, {"a": None}, "others_to_worst: a: times == None, must be a number >= 1"),
        ([2, 1], {"a": 2}, "best_to_others is a list, must give each name a number"),
        ({"b": 2}, pd.Series([2, 3], ["a", "a"]), "others_to_worst names a twice; keep one of them"),
        ({"b": 0.5}, {"a": 2}, "best_to_others: b: times == 0.5, must be a number >= 1"),
        ({"b": 2, "c": 3}, {"a": 3}, "others_to_worst lacks b, c"),
        ({"a": 2, "b": 3, "c": 4}, {"a": 4, "b": 2, "c": 1}, "best_to_others has no factor with 1"),
        ({"b": 2, "c": 4}, {"a": 5, "b": 2}, r"both compare a with c and must be the same"),
        ({}, {}, "there are no judgments"),
    ],
)
def test_impossible_best_worst_judgments_are_refused(best, worst, message):
    with pytest.raises(ValueError, match=message):
        best_worst(best, worst)


@st.composite
def judgments(draw):
    truth = draw(st.lists(st.integers(1, 9), min_size=3, max_size=6))
    noise = draw(st.lists(st.floats(0.9, 1.1), min_size=15, max_size=15))
    names = [f"f{place}" for place in range(len(truth))]
    pairs = [(one, other) for one in range(len(truth)) for other in range(one + 1, len(truth))]
    return names, [
        {"better": names[one], "worse": names[other], "times": truth[one] / truth[other] * noise[place]}
        for place, (one, other) in enumerate(pairs)
    ]


@given(judgments(), st.randoms(use_true_random=False))
def test_ahp_does_not_depend_on_the_order_or_direction_of_judgments(given_judgments, random):
    names, rows = given_judgments
    expected = ahp(rows)
    assert expected.weights.sum() == pytest.approx(1)
    assert (expected.weights > 0).all()
    random.shuffle(rows)
    turned = [
        {"better": row["worse"], "worse": row["better"], "times": 1 / row["times"]} if random.random() < 0.5 else row
        for row in rows
    ]
    again = ahp(turned)
    np.testing.assert_allclose(again.weights[names], expected.weights[names], atol=1e-9)
    assert again.consistency_ratio == pytest.approx(expected.consistency_ratio, abs=1e-9)


@given(st.lists(st.tuples(st.integers(2, 9), st.integers(2, 9)), min_size=1, max_size=4), st.randoms())
def test_best_worst_deviates_by_ksi_and_not_by_the_order(middle, random):
    table = [("best", 1, 9), *((f"f{place}", *pair) for place, pair in enumerate(middle)), ("worst", 9, 1)]
    found = []
    for _ in range(2):
        random.shuffle(table)
        found.append(best_worst({name: best for name, best, _ in table}, {name: worst for name, _, worst in table}))
    first, second = found
    assert first.weights.sum() == pytest.approx(1)
    assert first.weights.min() >= 0
    assert first.ksi == pytest.approx(second.ksi, abs=1e-9)
    deviation = max(
        max(
            abs(first.weights["best"] - best * first.weights[name]),
            abs(first.weights[name] - worst * first.weights["worst"]),
        )
        for name, best, worst in table
    )
    assert deviation == pytest.approx(first.ksi, abs=1e-9)


# Learned weights


def make_outcome(X: pd.DataFrame, effects: list[float], noise: float, seed: int = 0) -> pd.Series:
    rng = np.random.default_rng(seed)
    return X.fillna(X.mean()) @ np.array(effects) + rng.normal(0, noise, len(X))


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_learned_weights_find_planted_effects_against_a_wrong_prior(missing):
    effects = [0.4, 0.3, 0.2, 0.1, 0.0, 0.0]
    X = make_points(2000, 6, missing=0.0)
    # A factor has a deviation of about 14 points, so noise of 10 leaves a weight a standard error of about 0.02 (0.03
    # with 30% missing, which also adds the noise of what is unknown); the band is 0.1.
    y = make_outcome(X, effects, 10)
    wrong = pd.Series(effects[::-1], X.columns)
    holes = make_points(2000, 6, missing=missing)
    result = learned(holes, y, prior=wrong)
    assert np.abs(result.weights - effects).max() < 0.1
    assert result.weights.rank().corr(pd.Series(effects, X.columns).rank()) > 0.9


def test_learned_weights_stay_near_the_prior_where_the_data_say_little():
    X = make_points(200, 4)
    prior = pd.Series([0.4, 0.3, 0.2, 0.1], X.columns)
    y = make_outcome(X, [0.4, 0.3, 0.2, 0.1], 300)
    held, free = learned(X, y, prior=prior), learned(X, y, prior=prior, strength=0)
    assert held.strength > 0
    assert np.abs(held.weights - prior).max() < np.abs(free.weights - prior).max()
    assert np.abs(learned(X, y, prior=prior, strength=1e9).weights - prior).max() < 1e-6


def test_a_factor_known_only_where_the_outcome_is_not_weighs_nothing_and_is_named():
    X = make_points(300, 3)
    X["future"] = np.nan
    X["late"] = X["f0"].where(np.arange(300) >= 200)
    y = make_outcome(X[["f0", "f1", "f2"]], [1, 1, 0], 20).where(np.arange(300) < 200)
    with pytest.warns(UserWarning) as caught:
        weights = learned(X, y).weights
    text = " | ".join(str(warning.message) for warning in caught)
    for name in ("future", "late"):
        assert f"factor {name} is known for fewer than two partners wherever the outcome is known: it weighs 0" in text
        assert weights[name] == 0
    assert weights.sum() == pytest.approx(1)


def test_rows_of_a_partner_at_several_dates_share_a_group_and_dates_are_leveled():
    X = make_points(150, 3)
    dates = pd.to_datetime(["2026-01-31", "2026-02-28"])
    both = pd.concat([X, X], keys=dates, names=["as_of", "partner_id"])
    y = make_outcome(X, [2, 1, 0], 30)
    # The second date's outcomes are a hundred times as large: ranks within a date do not mind.
    twice = pd.concat([y, y * 100 + 7], keys=dates)
    once, result = learned(X, y), learned(both, twice)
    assert result.strength == once.strength
    np.testing.assert_allclose(result.weights, once.weights, atol=0.01)


def test_nothing_to_learn_gives_the_prior():
    X = make_points(100, 2)
    prior = pd.Series([0.7, 0.3], X.columns)
    with pytest.warns(UserWarning, match="no factor goes with the outcome"):
        result = learned(X, -X.sum(axis=1), prior=prior, strength=0.1)
    pd.testing.assert_series_equal(result.weights, prior, check_names=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": lambda y: y.where(np.arange(100) < 20)}, "y is known for 20 partners of X, must be >= 30"),
        ({"y": lambda y: y * 0}, "y is the same for all partners"),
        ({"y": lambda y: y.replace(y.iloc[3], np.inf)}, "y is infinite for P00003"),
        ({"X": lambda X: X.set_axis(["P1"] * 100)}, "an index is repeated"),
        ({"X": lambda X: X * 0}, "no factor varies"),
        ({"prior": lambda _: {"f0": 1}}, "prior has no weight for factor f1"),
        ({"prior": lambda _: {"f0": "1", "f1": 1}}, "weight of f0 == '1', must be a number >= 0"),
        ({"strength": lambda _: -1}, "strength == -1, must be a number >= 0"),
        ({"strength": lambda _: "1"}, "strength == '1', must be a number >= 0"),
        ({"strength": lambda _: np.nan}, "strength == nan, must be a number >= 0"),
        ({"y": lambda y: y.tolist()}, "y is a list, must be a series by the index of X"),
        ({"y": lambda y: y.astype(str)}, "y is '.+' for P00000, must be a number or missing"),
    ],
)
@pytest.mark.filterwarnings("ignore:factor")
def test_impossible_learning_is_refused(change, message):
    X = make_points(100, 2)
    arguments = {"X": X, "y": make_outcome(X, [1, 1], 5), "prior": None, "strength": None}
    for name, alter in change.items():
        arguments[name] = alter(arguments[name])
    with pytest.raises(ValueError, match=message):
        learned(**arguments)


# Blends and the registry


def test_a_blend_is_the_weighted_mean():
    parts = {"one": direct({"a": 3, "b": 1}), "other": direct({"b": 3, "a": 1})}
    assert blend(parts, {"one": 3, "other": 1}).weights.to_dict() == pytest.approx({"a": 0.625, "b": 0.375})
    assert blend(parts).weights.to_dict() == pytest.approx({"a": 0.5, "b": 0.5})
    assert blend(parts).details["other"].to_dict() == {"a": 0.25, "b": 0.75}


@pytest.mark.parametrize(
    ("parts", "shares", "message"),
    [
        ({}, None, "parts: there is none"),
        ({"one": {"a": 1}}, {"other": 1}, "shares name other, must be the parts: one"),
        ({"one": {"a": 1}, "two": {"b": 1}}, None, "two has other factors than one: a, b"),
        ({"one": {"a": 1}}, {"one": -1}, "weight of one == -1"),
    ],
)
def test_impossible_blends_are_refused(parts, shares, message):
    with pytest.raises(ValueError, match=message):
        blend({name: direct(weights) for name, weights in parts.items()}, shares)


def test_what_is_no_weights_is_no_part_of_a_blend():
    with pytest.raises(ValueError, match="parts: one is a dict, must be Weights"):
        blend({"one": {"a": 1}})
    with pytest.raises(ValueError, match="shares is a list, must give each name a number"):
        blend({"one": direct({"a": 1})}, [1])


def give_all(X: pd.DataFrame) -> dict:
    names = list(X.columns)
    pairs = [(names[0], name, 2.0) for name in names[1:]] + [(name, names[-1], 2.0) for name in names[1:-1]]
    rng = np.random.default_rng(0)
    return {
        "stated": pd.Series(np.arange(1.0, len(names) + 1), names),
        "judgments": rows_of(*pairs),
        "outcome": pd.Series(rng.normal(size=len(X)), X.index),
        "blend": {"direct": 0.5, "equal": 0.5},
    }


@pytest.mark.parametrize("method", list(WEIGHTINGS))
def test_every_weighting_of_the_registry_gives_shares_of_all_factors(method):
    X = make_points(80, 5, missing=0.1)
    result = WEIGHTINGS[method](X, **give_all(X))
    assert result.method == method
    assert list(result.weights.index) == list(X.columns)
    assert result.weights.sum() == pytest.approx(1)
    assert (result.weights >= 0).all()


@pytest.mark.parametrize(
    ("method", "needed"),
    [
        ("direct", "stated"),
        ("ahp", "judgments"),
        ("best_worst", "judgments"),
        ("learned", "outcome"),
        ("blend", "blend"),
    ],
)
def test_what_a_weighting_needs_is_named(method, needed):
    X = make_points(50, 3)
    with pytest.raises(ValueError, match=f"{needed} is empty, but the weighting {method} needs it"):
        WEIGHTINGS[method](X, stated=None, judgments=None, outcome=None, blend=None)


def test_judgments_of_the_registry():
    X = make_points(50, 3)
    rows = rows_of(("f0", "f1", 2), ("f1", "f2", 2), ("f0", "f2", 4), ("f0", "constant", 8))
    # What was judged beyond the factors that vary is left out, its share goes to the others.
    factors = [*X.columns, "constant"]
    assert WEIGHTINGS["ahp"](X, judgments=rows, factors=factors).weights.tolist() == pytest.approx(
        [4 / 7, 2 / 7, 1 / 7]
    )
    with pytest.raises(ValueError, match="factor f2 is not judged"):
        WEIGHTINGS["ahp"](X, judgments=rows[:1])
    assert WEIGHTINGS["best_worst"](X, judgments=rows[:3]).weights.tolist() == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    with pytest.raises(ValueError, match="no factor stands as worse against every other, so the worst is unknown"):
        WEIGHTINGS["best_worst"](X, judgments=rows_of(("f0", "f1", 2), ("f0", "f2", 4)))
    with pytest.raises(ValueError, match="unknown weighting 'luck'; possible values are: ahp, "):
        WEIGHTINGS["blend"](X, blend={"luck": 1})


@pytest.mark.parametrize("method", ["ahp", "best_worst", "blend"])
def test_a_misspelled_factor_in_judgments_is_named_with_the_one_meant(method):
    X = make_points(50, 3).set_axis(["volume", "quality", "service"], axis=1)
    given = {"blend": {"ahp": 0.5, "best_worst": 0.5}, "factors": [*X.columns, "training"]}
    rows = rows_of(("volume", "quality", 2), ("quality", "service", 2), ("volume", "service", 4))
    assert WEIGHTINGS[method](X, judgments=rows, **given).weights.tolist() == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    wrong = [*rows, *rows_of(("volume", "trainning", 2))]
    message = r"judgments\[3\]\.worse == 'trainning', must be a factor; did you mean 'training'\?"
    with pytest.raises(ValueError, match=message):
        WEIGHTINGS[method](X, judgments=wrong, **given)
    with pytest.raises(
        ValueError, match=r"judgments\[0\]\.better == 'luck', must be a factor; possible values are: volume"
    ):
        WEIGHTINGS[method](X, judgments=rows_of(("luck", "volume", 2)), **given)


def test_misspelled_factors_in_a_matrix_and_in_stated_weights_are_named():
    X = make_points(50, 2).set_axis(["volume", "quality"], axis=1)
    names = ["volume", "qualty"]
    matrix = pd.DataFrame([[1, 2], [0.5, 1]], names, names)
    with pytest.raises(ValueError, match=r"row or column == 'qualty', must be a factor; did you mean 'quality'\?"):
        WEIGHTINGS["ahp"](X, judgments=matrix)
    with pytest.raises(ValueError, match=r"stated: a name == 'qualty', must be a factor; did you mean 'quality'\?"):
        WEIGHTINGS["direct"](X, stated={"volume": 1, "quality": 1, "qualty": 1})
    with pytest.raises(ValueError, match="stated has no weight for factor quality; give one, 0 if it should not count"):
        WEIGHTINGS["direct"](X, stated={"volume": 1})
    stated = {"training": 2, "quality": 1, "volume": 3}
    found = WEIGHTINGS["direct"](X, stated=stated, factors=[*X.columns, "training"]).weights
    assert found.to_dict() == {"volume": 0.75, "quality": 0.25}


# Laws


matrices = arrays(
    float, st.tuples(st.integers(4, 12), st.integers(2, 5)), elements=st.one_of(st.integers(0, 100), st.just(np.nan))
)


@given(matrices, st.sampled_from(list(WEIGHTINGS)))
def test_weights_are_shares_or_an_error_and_never_missing(values, method):
    X = pd.DataFrame(np.tile(values, (8, 1)), columns=[f"f{place}" for place in range(values.shape[1])])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            weights = WEIGHTINGS[method](X, **give_all(X)).weights
        except ValueError as error:
            assert "use direct or equal weights" in str(error)
            return
    assert list(weights.index) == list(X.columns)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1)


from_data = st.sampled_from([*FROM_DATA, "learned"])


def weigh(method, X: pd.DataFrame, y: pd.Series, strength: float | None = None) -> pd.Series:
    return learned(X, y, strength=strength).weights if method == "learned" else method(X).weights


@settings(max_examples=40, deadline=None)
@given(from_data, st.integers(0, 1000))
def test_order_of_rows_and_columns_is_irrelevant(method, seed):
    X = make_points(60, 4, seed, missing=0.1)
    y = make_outcome(X, [1, 0.5, 0.2, 0], 20, seed)
    order = np.random.default_rng(seed).permutation(X.columns)
    again = weigh(method, X.sample(frac=1, random_state=seed)[order], y)
    np.testing.assert_allclose(again[X.columns], weigh(method, X, y), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(from_data, st.integers(0, 1000), st.floats(0.001, 1000), st.floats(-100, 100))
def test_units_are_irrelevant(method, seed, unit, zero):
    X = make_points(60, 4, seed, missing=0.1)
    y = make_outcome(X, [1, 0.5, 0.2, 0], 20, seed)
    other = X * [unit, 1, 1, 1]
    if method in (critic, pca):
        other["f1"] += zero
    weights, again = weigh(method, X, y, strength=0), weigh(method, other, y, strength=0)
    if method == "learned":
        # Its weights are for the points as they come: in a smaller unit a factor needs a larger one.
        weights = weights / [unit, 1, 1, 1]
        weights /= weights.sum()
    np.testing.assert_allclose(again, weights, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(from_data, st.integers(0, 1000))
def test_an_unknown_column_changes_no_other_weight(method, seed):
    X = make_points(60, 4, seed, missing=0.1)
    y = make_outcome(X, [1, 0.5, 0.2, 0], 20, seed)
    expected = weigh(method, X, y)
    prior_free = method != "learned"
    with pytest.warns(UserWarning, match="factor unknown is known for fewer than two partners"):
        weights = weigh(method, X.assign(unknown=np.nan), y)
    assert weights["unknown"] == 0
    if prior_free:
        np.testing.assert_allclose(weights[X.columns], expected, atol=1e-9)


def test_frames_beyond_one_task_name_duplicates_and_missing_values_alike():
    X = make_points(TASK + 5000, 3, missing=0.01)
    X["copy"] = X["f0"] * 2 + 1
    X["nearly"] = X["f1"].where(X.index != X.index[70000], 1.0)
    for method in (critic, entropy):
        with pytest.warns(UserWarning) as caught:
            weights = method(X).weights
        named = [str(warning.message) for warning in caught]
        assert [text for text in named if "the same" in text] == [
            "factors f0 and copy order partners the same: what they say counts twice"
        ]
        assert np.isfinite(weights).all()
    small = measure_moments(X.to_numpy())
    np.testing.assert_allclose(small.correlation, X.corr(), atol=1e-10)
