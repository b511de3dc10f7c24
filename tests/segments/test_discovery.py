"""How segments are found: by density, or by a mixture where that is plainly right."""

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

from partnerseg import PartnerSegmenter
from partnerseg.segments.discovery import find_mixture, find_segments, number_by_size

GRID = 6.0 * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])


def draw_grid(rows: int, columns: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.choice(4, rows, p=[0.4, 0.3, 0.2, 0.1])
    cloud = rng.normal(size=(rows, columns))
    cloud[:, :2] += GRID[truth]
    return (cloud - cloud.mean(axis=0)) / cloud.std(axis=0), truth


def draw_rings(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth, angle = np.repeat([0, 1], 250), rng.uniform(0, 2 * np.pi, 500)
    radius = np.where(truth == 0, 1.0, 3.0) + rng.normal(0, 0.1, 500)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]), truth


def test_round_clouds_that_density_misses_are_found_by_a_mixture():
    for seed in range(4):
        cloud, truth = draw_grid(500, 6, seed)
        found = find_segments(cloud, 0.02, 30, seed)
        assert found.kind == "mixture"
        assert len(found.stability) == 4
        assert adjusted_rand_score(truth, found.homes) > 0.95
        assert "Gaussian mixture" in found.reason


def test_gaps_and_texts_do_not_blur_round_segments():
    for seed in range(4):
        rng = np.random.default_rng(seed)
        cloud, truth = draw_grid(600, 6, seed)
        frame = pd.DataFrame(cloud, columns=[f"x{place}" for place in range(6)])
        frame["kind"] = np.array(["agent", "reseller", "integrator"])[rng.integers(0, 3, 600)]
        frame["place"] = np.array(["north", "south", "east", "west"])[rng.integers(0, 4, 600)]
        segmenter = PartnerSegmenter(random_state=seed).fit(frame.mask(rng.random(frame.shape) < 0.1))
        assert segmenter.n_segments_ == 4
        assert adjusted_rand_score(truth, segmenter.predict(frame)) > 0.95


def test_without_segments_stability_is_lower_than_with_them():
    cloud, _ = draw_grid(500, 6, 0)
    segmenter = PartnerSegmenter(random_state=0).fit(cloud)
    by_chance = segmenter.chance_stability(3)
    assert by_chance.between(0, 1).all() and len(by_chance) == 3
    assert by_chance.max() < segmenter.stability_.min()
    assert by_chance.equals(segmenter.chance_stability(3))


def test_rings_are_found_by_density_and_refused_by_the_mixture():
    for seed in range(4):
        cloud, truth = draw_rings(seed)
        found = find_segments(cloud, 0.02, 30, seed)
        assert found.kind == "density"
        inside = found.homes >= 0
        assert adjusted_rand_score(truth[inside], found.homes[inside]) > 0.99


def test_one_cloud_is_no_mixture():
    for seed in range(10):
        homes, stability = find_mixture(np.random.default_rng(seed).normal(size=(400, 5)), 0.02, seed)
        assert len(stability) == 0
        assert (homes == 0).all()


def test_a_start_without_members_among_the_clear_rows_is_left_out():
    cloud, truth = draw_grid(400, 5, 0)
    clear = truth != 3
    _, stability = find_mixture(cloud, 0.02, 0, clear, truth)
    assert len(stability) == 3


def test_segments_are_numbered_by_size_then_place():
    homes = np.array([2, 2, 0, 1, 1, -1])
    numbers = number_by_size(homes)
    assert numbers[homes].tolist() == [0, 0, 2, 1, 1, -1]
