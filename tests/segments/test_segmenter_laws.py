"""Laws that PartnerSegmenter keeps whatever the data: five worlds, each law on each."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist
from sklearn.metrics import adjusted_rand_score

from partnerseg.segments.segmenter import PartnerSegmenter

KINDS = np.array(["reseller", "integrator", "influencer", "agent"])


def mix(
    rng: np.random.Generator, rows: int, columns: int, groups: int, apart: float
) -> tuple[pd.DataFrame, np.ndarray]:
    truth = rng.integers(0, groups, rows)
    centers = rng.normal(size=(groups, columns))
    centers *= apart / pdist(centers).min()  # standard deviations between the nearest two
    values = centers[truth] + rng.normal(size=(rows, columns))
    return pd.DataFrame(values, columns=[f"c{place:02d}" for place in range(columns)]), truth


def make_world(name: str) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(["few", "many", "mixed", "gaps", "moons"].index(name))
    if name == "few":
        frame, truth = mix(rng, 300, 3, 3, 6.0)
    elif name == "many":
        frame, truth = mix(rng, 300, 12, 4, 6.0)
        frame = np.exp(frame)  # skewed, as money and counts are
    elif name == "moons":
        angle, truth = rng.uniform(0, np.pi, 400), np.repeat([0, 1], 200)
        frame = pd.DataFrame(
            {
                "x": np.where(truth == 0, np.cos(angle), 1 - np.cos(angle)) + rng.normal(0, 0.06, 400),
                "y": np.where(truth == 0, np.sin(angle), 0.4 - np.sin(angle)) + rng.normal(0, 0.06, 400),
            }
        )
    else:
        frame, truth = mix(rng, 320, 9, 3, 8.0)
        kinds = np.where(rng.random(320) < 0.9, truth, rng.integers(0, 4, 320))
        frame["partner_type"] = KINDS[kinds]
        frame["channels"] = [list(KINDS[: kind % 3]) for kind in kinds]
        if name == "gaps":
            frame = frame.mask(rng.random(frame.shape) < 0.3)
    frame.index = pd.Index([f"P{place:04d}" for place in range(len(frame))], name="partner_id")
    return frame, truth


@pytest.fixture(scope="module", params=["few", "many", "mixed", "gaps", "moons"])
def world(request):
    frame, truth = make_world(request.param)
    return frame, truth, PartnerSegmenter(random_state=0).fit(frame)


def label(frame: pd.DataFrame) -> pd.Series:
    return pd.Series(PartnerSegmenter(random_state=0).fit(frame).labels_, index=frame.index)


def test_planted_groups_are_found(world):
    frame, truth, segmenter = world
    assert adjusted_rand_score(truth, segmenter.predict(frame)) > 0.85


def test_order_of_rows_leaves_every_label(world):
    frame, _, segmenter = world
    shuffled = frame.sample(frac=1, random_state=1)
    assert label(shuffled)[frame.index].tolist() == segmenter.labels_.tolist()


def test_order_of_columns_leaves_every_label(world):
    frame, _, segmenter = world
    assert label(frame[frame.columns[::-1]]).tolist() == segmenter.labels_.tolist()


def test_a_constant_column_leaves_every_label(world):
    frame, _, segmenter = world
    assert label(frame.assign(a_constant=3.0, z_constant="same")).tolist() == segmenter.labels_.tolist()


def test_units_leave_every_label(world):
    frame, _, segmenter = world
    numbers = frame.select_dtypes("number").columns
    scales = dict(zip(numbers, [1000.0, 0.001, 1.609344, 86400.0] * len(numbers), strict=False))
    other = frame.assign(**{name: frame[name] * scale for name, scale in scales.items()})
    # The last digit of a coordinate may differ, and with it the map: all but a few stay where they were.
    assert adjusted_rand_score(label(other), segmenter.labels_) > 0.97


def test_spelling_of_levels_leaves_every_label(world):
    frame, _, segmenter = world
    if "partner_type" not in frame:
        pytest.skip("this world has no text")
    spelled = frame["partner_type"].map(dict(zip(KINDS, ["zeta", "alpha", "omega", "beta"], strict=True)))
    assert adjusted_rand_score(label(frame.assign(partner_type=spelled)), segmenter.labels_) > 0.97


def test_rows_that_are_there_twice_share_their_segment(world):
    frame, truth, _ = world
    twice = pd.concat([frame, frame.set_axis(frame.index + "b")])
    found = label(twice)
    assert found[frame.index].tolist() == found[frame.index + "b"].tolist()
    inside = found[frame.index].to_numpy() >= 0
    assert adjusted_rand_score(truth[inside], found[frame.index][inside]) > 0.85


def test_a_row_in_company_is_the_same_as_the_row_alone(world):
    frame, _, segmenter = world
    together = segmenter.predict_proba(frame)
    for partner in frame.index[:5]:
        alone = segmenter.predict_proba(frame.loc[[partner]])
        np.testing.assert_array_equal(alone.to_numpy()[0], together.loc[partner].to_numpy())
