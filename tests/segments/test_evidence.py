"""Evidence: nothing is claimed where nothing is, one bent cloud stays one, and segments are seen."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from partnerseg.segments.encoding import learn_encoding
from partnerseg.segments.evidence import THIN, Evidence, _measure_gap, weigh_evidence

SHAPES = {"one cloud", "not one round cloud", "separate segments"}
BENCHMARKS = Path(__file__).parents[3] / "shared/data/clustering_benchmarks/data"
SETS = 8  # of a family without segments
ALLOWED = 2  # of those: at a true rate of 5% more are claimed in 0.6% of runs


def weigh(data: np.ndarray | pd.DataFrame, seed: int = 0, draws: int = 19) -> Evidence:
    frame = data if isinstance(data, pd.DataFrame) else pd.DataFrame(data).add_prefix("x")
    encoding = learn_encoding(frame)
    return weigh_evidence(encoding.encode(frame), random_state=seed, owners=encoding.owners, draws=draws)


def draw_null(family: str, seed: int, rows: int = 120, columns: int = 4) -> np.ndarray | pd.DataFrame:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(columns, columns)) / np.sqrt(columns) + 0.5 * np.eye(columns)
    cloud = rng.normal(size=(rows, columns)) @ root
    if family == "uniform":
        return rng.uniform(size=(rows, columns))
    if family == "t3":
        return cloud / np.sqrt(rng.chisquare(3, size=(rows, 1)) / 3)
    if family == "correlated with gaps":
        cloud[rng.uniform(size=cloud.shape) < 0.2] = np.nan
    if family == "lognormal":
        return np.exp(cloud)
    if family == "zero-inflated counts":
        return rng.poisson(np.exp(0.8 * cloud)) * (rng.uniform(size=cloud.shape) < 0.5).astype(float)
    if family == "rounded":
        return np.round(cloud)
    if family == "mixed":
        frame = pd.DataFrame(cloud).add_prefix("x")
        frame["x1"] = (cloud[:, 1] > 0.3).astype(float)
        frame["x2"] = ["cab"[level] for level in np.digitize(cloud[:, 2], [-0.4, 0.4])]
        return frame
    return cloud


def draw_grid(apart: float, rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Draw four round segments on a square along the first two columns."""
    cloud = rng.normal(size=(rows, columns))
    cloud[:, :2] += apart * rng.integers(2, size=(rows, 2))
    return cloud


def draw_arc(turns: float, thickness: float, rows: int, rng: np.random.Generator) -> np.ndarray:
    along = rng.uniform(0, 2 * np.pi * turns, rows)
    return np.column_stack([np.cos(along), np.sin(along)]) + thickness * rng.normal(size=(rows, 2))


@pytest.mark.parametrize(
    "family",
    ["correlated with gaps", "t3", "lognormal", "uniform", "zero-inflated counts", "rounded", "mixed"],
)
def test_no_segments_are_claimed_in_data_without_segments(family):
    assert sum(weigh(draw_null(family, seed), seed).found for seed in range(SETS)) <= ALLOWED


@pytest.mark.parametrize("columns", [2, 6])
def test_a_grid_along_the_columns_is_seen(columns):
    for seed in range(3):
        evidence = weigh(draw_grid(5.0, 200, columns, np.random.default_rng(seed)), seed)
        assert evidence.shape == "separate segments"
        assert evidence.statistic > evidence.null_95
        assert evidence.pvalue <= 0.05
        assert "clearer than" in evidence.reason


def test_segments_that_no_column_shows_alone_are_seen():
    corners = np.array([[1, 1, 1, 0], [1, -1, -1, 0], [-1, 1, -1, 0], [-1, -1, 1, 0]]) / np.sqrt(8)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        assert weigh(5 * corners[rng.integers(4, size=240)] + rng.normal(size=(240, 4)), seed).found


def test_segments_in_texts_alone_are_seen():
    for seed in range(3):
        rng = np.random.default_rng(seed)
        home = rng.integers(4, size=300)
        frame = {}
        for name in "abcdef":
            own = rng.uniform(size=300) < 0.9
            frame[name] = [
                "uvwx"[level] for level in np.where(own, rng.permutation(4)[home], rng.integers(4, size=300))
            ]
        assert weigh(pd.DataFrame(frame), seed, draws=39).found


def test_rings_within_each_other_are_separate():
    rng = np.random.default_rng(0)
    rings = np.vstack([draw_arc(1.0, 0.05, 150, rng), 3 * draw_arc(1.0, 0.02, 250, rng)])
    assert weigh(rings).shape == "separate segments"


def test_neighbors_see_a_gap_between_rings_and_none_in_a_thread():
    from scipy.spatial.distance import pdist

    for seed in range(5):
        rng = np.random.default_rng(seed)
        rings = np.vstack([draw_arc(1.0, 0.05, 150, rng), 3 * draw_arc(1.0, 0.02, 250, rng)])
        assert _measure_gap(pdist(rings), 400) > THIN
        assert _measure_gap(pdist(draw_arc(0.5, 0.05, 400, rng)), 400) < THIN


@pytest.mark.parametrize("cloud", ["banana", "half-moon", "three quarters of a ring", "rotated exponential"])
def test_one_bent_cloud_is_not_sold_as_segments(cloud):
    shapes = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        if cloud == "banana":
            along = rng.normal(size=150)
            data = np.column_stack([along, along**2 + 0.4 * rng.normal(size=150)])
        elif cloud == "rotated exponential":
            data = rng.exponential(size=(150, 2)) @ np.array([[0.8, 0.6], [-0.6, 0.8]])
        else:
            data = draw_arc({"half-moon": 0.5, "three quarters of a ring": 0.75}[cloud], 0.15, 150, rng)
        shapes.append(weigh(data, seed).shape)
    assert shapes.count("separate segments") <= 1
    assert shapes.count("not one round cloud") >= 2


@pytest.mark.parametrize("name", ["fcps_chainlink", "fcps_twodiamonds", "graves_ring_outliers", "other_iris"])
def test_published_sets_with_plain_clusters_are_seen(name):
    path = BENCHMARKS / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"the published sets are not at {BENCHMARKS}")
    assert weigh(pd.read_csv(path).filter(regex=r"^x\d")).found


def test_the_sentence_says_what_was_seen():
    evidence = weigh(np.random.default_rng(3).normal(size=(150, 3)))
    assert evidence.shape == "one cloud"
    assert not evidence.found
    assert "one cloud" in evidence.reason
    assert f"{evidence.statistic:.1f}" in evidence.reason


@pytest.mark.parametrize("family", ["correlated with gaps", "mixed"])
def test_same_seed_same_evidence(family):
    data = draw_null(family, 0)
    evidence = weigh(data, 5)
    assert evidence == weigh(data, 5)
    assert evidence.shape in SHAPES
    assert 0 < evidence.pvalue <= 1


def test_many_rows_are_looked_at_through_a_sample():
    rng = np.random.default_rng(0)
    assert weigh(draw_grid(5.0, 5_000, 3, rng)).found
    assert not weigh(rng.normal(size=(5_000, 3))).found


@pytest.mark.parametrize("coordinates", [np.empty((50, 0)), np.full((50, 2), np.nan), np.ones((50, 2))])
def test_without_columns_that_vary_there_is_no_evidence(coordinates):
    evidence = weigh_evidence(coordinates, random_state=0)
    assert not evidence.found
    assert evidence.shape == "one cloud"
    assert np.isnan(evidence.pvalue)


def test_too_few_draws_are_refused():
    with pytest.raises(ValueError, match="draws is 5, must be at least 19"):
        weigh_evidence(np.zeros((50, 2)), random_state=0, draws=5)
