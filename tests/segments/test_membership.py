"""Assignment from whatever is known, held to scikit-learn and to worked cases."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier

from partnerseg.segments.membership import (
    Discriminant,
    Neighbors,
    agree_with_discriminant,
    assign,
    learn_discriminant,
    refine_homes,
)


@pytest.fixture(scope="module")
def clouds():
    rng = np.random.default_rng(0)
    homes = rng.integers(0, 3, 900)
    root = rng.normal(size=(4, 4))
    return rng.normal(size=(900, 4)) @ root + np.array([[0, 0, 0, 0], [4, 0, 2, 0], [0, 5, 0, 3]])[homes], homes


def weigh(model: Discriminant, rows: np.ndarray) -> np.ndarray:
    logs = model.weigh(rows) + np.log(model.shares)
    chances = np.exp(logs - logs.max(axis=1, keepdims=True))
    return chances / chances.sum(axis=1, keepdims=True)


def test_complete_rows_are_assigned_as_by_linear_discriminant_analysis(clouds):
    rows, homes = clouds
    other = LinearDiscriminantAnalysis(solver="lsqr").fit(rows, homes)
    ours = weigh(learn_discriminant(rows, homes), rows)
    # Ours draws the covariance toward its diagonal by 4 in 904 and the centers by one row in 300.
    np.testing.assert_allclose(ours, other.predict_proba(rows), atol=0.02)


def test_an_unknown_cell_counts_as_if_its_column_were_not_there(clouds):
    rows, homes = clouds
    whole = learn_discriminant(rows, homes)
    kept = [0, 1, 3]
    part = Discriminant(whole.centers[:, kept], whole.covariance[np.ix_(kept, kept)], whole.shares, whole.scales)
    blanked = rows.copy()
    blanked[:, 2] = np.nan
    np.testing.assert_allclose(weigh(whole, blanked), weigh(part, rows[:, kept]), atol=1e-8)
    nothing = np.full((1, 4), np.nan)
    np.testing.assert_allclose(weigh(whole, nothing)[0], whole.shares)


def test_one_in_a_hundred_members_is_odd_whatever_is_known(clouds):
    rows, homes = clouds
    model = learn_discriminant(rows, homes)
    rng = np.random.default_rng(1)
    fresh = rng.integers(0, 3, 20_000)
    drawn = model.centers[fresh] + rng.normal(size=(20_000, 4)) @ np.linalg.cholesky(model.covariance).T
    unscaled = Discriminant(model.centers, model.covariance, model.shares, np.ones(3))
    for share in (0.0, 0.3):
        known = np.where(rng.random(drawn.shape) < share, np.nan, drawn)
        called = unscaled.mark_background(known, fresh)[~np.isnan(known).all(axis=1)].mean()
        assert 0.0075 < called < 0.0125  # four standard errors of 1% in 20,000, and a little for rows of one cell


def test_rows_between_the_segments_become_background(clouds):
    rows, homes = clouds
    between = np.random.default_rng(2).uniform(rows.min(axis=0), rows.max(axis=0), size=(90, 4))
    mixed, start = np.vstack([rows, between]), np.r_[homes, np.zeros(90, dtype=int)]
    refined = refine_homes(mixed, start)
    assert (refined[900:] < 0).mean() > 0.6
    assert (refined[:900] < 0).mean() < 0.05
    assert (refined[:900] == homes)[refined[:900] >= 0].mean() > 0.9


def test_round_clouds_agree_with_a_discriminant_and_rings_do_not(clouds):
    assert agree_with_discriminant(*clouds) > 0.9
    rng = np.random.default_rng(0)
    homes, angle = rng.integers(0, 2, 400), rng.uniform(0, 2 * np.pi, 400)
    rings = (1 + 2 * homes[:, None]) * np.column_stack([np.cos(angle), np.sin(angle)])
    assert agree_with_discriminant(rings, homes) < 0.7


def test_neighbors_vote_as_in_scikit_learn(clouds):
    rows, homes = clouds
    model = Neighbors(rows, homes, np.full(3, 1 / 3))
    fresh = np.random.default_rng(3).normal(1, 3, size=(500, 4))
    other = KNeighborsClassifier(15).fit(rows, homes)
    assert (assign(model, fresh) == other.predict(fresh)).mean() > 0.995  # ties may fall either way
