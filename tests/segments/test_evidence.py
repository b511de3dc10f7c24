"""Evidence: nothing is claimed where nothing is, and plain groups are seen."""

import numpy as np
import pytest

from partnerseg.segments.evidence import score_normally, weigh_evidence

SEEDS = range(8)
ALLOWED = 2  # of 8 draws: at a true rate of 5% more are seen in 0.6% of runs


def draw_null(family: str, seed: int, rows: int = 200, columns: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(columns, columns)) / np.sqrt(columns) + 0.5 * np.eye(columns)
    cloud = rng.normal(size=(rows, columns)) @ root
    if family == "gaussian":
        return rng.normal(size=(rows, columns))
    if family == "correlated with gaps":
        cloud[rng.uniform(size=cloud.shape) < 0.2] = np.nan
    if family == "lognormal":
        return np.exp(cloud)
    if family == "zero-inflated counts":
        return rng.poisson(np.exp(0.8 * cloud)) * (rng.uniform(size=cloud.shape) < 0.5).astype(float)
    return cloud


@pytest.mark.parametrize("family", ["gaussian", "correlated with gaps", "lognormal", "zero-inflated counts"])
def test_no_segments_are_claimed_in_data_without_segments(family):
    found = sum(weigh_evidence(draw_null(family, seed), random_state=seed, draws=39).found for seed in SEEDS)
    assert found <= ALLOWED


def test_plain_groups_are_seen():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        centers = np.array([[0, 0, 0, 0], [4, 4, 0, 0], [0, 4, 4, 0], [4, 0, 4, 4]])
        rows = centers[rng.integers(4, size=240)] + rng.normal(size=(240, 4))
        evidence = weigh_evidence(rows, random_state=seed, draws=39)
        assert evidence.found
        assert evidence.statistic > evidence.null_95
        assert "clearer than" in evidence.reason


def test_the_sentence_says_that_nothing_was_found():
    evidence = weigh_evidence(draw_null("gaussian", 3), random_state=0, draws=39)
    assert not evidence.found
    assert "no clearer than" in evidence.reason
    assert f"{evidence.statistic:.2f}" in evidence.reason


def test_same_seed_same_evidence():
    rows = draw_null("correlated with gaps", 0)
    assert weigh_evidence(rows, random_state=5, draws=19) == weigh_evidence(rows, random_state=5, draws=19)


def test_without_number_columns_there_is_no_evidence():
    evidence = weigh_evidence(np.empty((50, 0)), random_state=0)
    assert not evidence.found
    assert np.isnan(evidence.pvalue)


def test_scores_ignore_monotone_bends_of_tied_columns_and_keep_gaps():
    column = np.array([0.0, 0, 0, 1, 2, 2, np.nan, 5])[:, None]
    scores = score_normally(column)
    np.testing.assert_array_equal(scores, score_normally(np.exp(column)))
    assert np.isnan(scores[6, 0])
    assert len(np.unique(scores[:3])) == 1
