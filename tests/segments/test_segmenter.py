"""PartnerSegmenter: planted segments are found, gaps and units and orders do no harm, and nothing is invented."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from partnerseg.segments.discovery import measure_stability
from partnerseg.segments.segmenter import PartnerSegmenter

CENTERS = {
    "orders": (60, 8, 20),
    "order_value": (100, 5000, 900),
    "countries": (1, 6, 1),
    "visits": (4, 4, 40),
    "trainings": (2, 20, 20),
}


def plant(rows: int = 240, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Three segments of 50, 30 and 20% in five skewed numbers, two columns of noise and a text; 3% gaps."""
    rng = np.random.default_rng(seed)
    truth = np.repeat([0, 1, 2], [rows // 2, rows * 3 // 10, rows - rows // 2 - rows * 3 // 10])
    frame = pd.DataFrame(
        {name: np.exp(rng.normal(np.log(np.array(values)[truth]), 0.2)) for name, values in CENTERS.items()}
    )
    frame["score"] = rng.normal(50, 10, rows)
    frame["growth"] = rng.normal(0, 0.1, rows)
    frame = frame.mask(rng.uniform(size=frame.shape) < 0.03)
    kinds = np.array(["reseller", "integrator", "influencer"])
    frame["partner_type"] = np.where(rng.uniform(size=rows) < 0.8, kinds[truth], rng.choice(kinds, rows))
    frame.index = pd.Index([f"P{place:04d}" for place in range(rows)], name="partner_id")
    return frame, truth


def same(first, second) -> float:
    return adjusted_rand_score(np.asarray(first), np.asarray(second))


def blank(frame: pd.DataFrame, share: float) -> pd.DataFrame:
    return frame.mask(np.random.default_rng(9).uniform(size=frame.shape) < share)


def entropy(membership: pd.DataFrame) -> float:
    chances = membership.to_numpy()
    return float(-(chances * np.log(chances)).sum(axis=1).mean())


@pytest.fixture(scope="module")
def planted():
    return plant()


@pytest.fixture(scope="module")
def fitted(planted):
    return PartnerSegmenter(random_state=0).fit(planted[0])


# The checks cluster 50 rows, so few must be allowed to have segments.
@parametrize_with_checks([PartnerSegmenter(min_partners=40)])
def test_follows_scikit_learn(estimator, check):
    check(estimator)


def test_finds_planted_segments(planted, fitted):
    frame, truth = planted
    assert fitted.n_segments_ == 3
    assert fitted.evidence_.found
    assert same(fitted.predict(frame), truth) > 0.95
    # Numbered from the largest; the planted ones are numbered so too.
    assert (fitted.labels_[fitted.labels_ >= 0] == truth[fitted.labels_ >= 0]).mean() > 0.97
    assert (fitted.stability_ > 0.8).all()


def test_labels_and_predictions_agree_outside_the_background(planted, fitted):
    inside = fitted.labels_ >= 0
    assert (fitted.predict(planted[0]).to_numpy() == fitted.labels_)[inside].mean() > 0.97


def test_gaussian_cloud_has_one_segment():
    # Five draws at a rate of 5%: more than one claim is seen in 2.3% of runs.
    claimed = 0
    for seed in range(5):
        cloud = np.random.default_rng(seed).normal(size=(200, 6))
        segmenter = PartnerSegmenter(random_state=seed).fit(cloud)
        claimed += segmenter.n_segments_ > 1
        if segmenter.n_segments_ == 1:
            assert set(segmenter.labels_) == {0}
            assert segmenter.names_ == {0: "All partners"}
            assert segmenter.evidence_.shape != "separate segments"
    assert claimed <= 1


def test_segments_are_shown_without_evidence_only_if_asked():
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(400, 3))
    cloud[200:, 0] += 2.2  # no valley between
    strict = PartnerSegmenter(random_state=0).fit(cloud)
    shown = PartnerSegmenter(random_state=0, require_evidence=False).fit(cloud)
    assert not strict.evidence_.found
    assert strict.n_segments_ == 1
    assert not shown.evidence_.found
    assert shown.evidence_ == strict.evidence_


def test_too_few_rows_are_one_segment_and_the_reason_names_both_numbers(planted):
    frame = planted[0].iloc[::7]
    segmenter = PartnerSegmenter(random_state=0).fit(frame)
    assert segmenter.n_segments_ == 1
    assert str(len(frame)) in segmenter.evidence_.reason
    assert "100" in segmenter.evidence_.reason
    assert (segmenter.predict(frame) == 0).all()
    assert segmenter.predict_proba(frame).to_numpy().tolist() == [[1.0]] * len(frame)
    assert np.isfinite(segmenter.transform(frame).to_numpy()).all()


def test_everyone_is_assigned_and_memberships_are_probabilities(planted, fitted):
    frame = blank(planted[0], 0.6)
    frame.iloc[0] = np.nan
    membership = fitted.predict_proba(frame)
    assert membership.index.equals(frame.index)
    np.testing.assert_allclose(membership.sum(axis=1), 1)
    assert (membership > 0).all(axis=None)
    assert set(fitted.predict(frame)) <= {0, 1, 2}
    # Of whom nothing is known has the shares of the segments.
    shares = np.bincount(fitted.labels_[fitted.labels_ >= 0]) / (fitted.labels_ >= 0).sum()
    np.testing.assert_allclose(membership.iloc[0], shares)


def test_missing_cells_flatten_memberships(planted, fitted):
    levels = [entropy(fitted.predict_proba(blank(planted[0], share))) for share in (0.0, 0.4, 0.7, 0.95)]
    assert levels == sorted(levels)
    assert levels[-1] > levels[0] + 0.3


def test_gaps_are_bridged(planted, fitted):
    assert same(fitted.predict(blank(planted[0], 0.4)), planted[1]) > 0.8


@pytest.mark.parametrize("change", ["rows", "columns", "unit", "constant"])
def test_partition_does_not_depend_on(change, planted, fitted):
    frame = planted[0]
    changed = {
        "rows": lambda: frame.sample(frac=1, random_state=3),
        "columns": lambda: frame[frame.columns[::-1]],
        "unit": lambda: frame.assign(order_value=frame["order_value"] * 100, growth=frame["growth"] * 1e6 + 32),
        "constant": lambda: frame.assign(constant=7.0),
    }[change]()
    refitted = PartnerSegmenter(random_state=0).fit(changed)
    found = pd.Series(refitted.labels_, index=changed.index)[frame.index]
    if change == "unit":  # the last bit of a distance may differ
        assert same(found, fitted.labels_) > 0.97
    else:
        assert found.tolist() == fitted.labels_.tolist()
        # Not even the map differs, which feels the smallest change.
        changed_map, fitted_map = refitted.transform(changed).loc[frame.index], fitted.transform(frame)
        pd.testing.assert_frame_equal(changed_map, fitted_map, check_exact=True)


def test_stability_counts_what_stands_for_a_segment():
    # Rows: two segments of 10; columns: three segments found in a half. The first two stand for the first segment and
    # take in 2 of the second, the third is the rest: 10 of 12 and 8 of 10 are shared.
    stability, mixed = measure_stability([np.array([[6.0, 4, 0], [1, 1, 8]])])
    np.testing.assert_allclose(stability, [10 / 12, 8 / 10])
    assert mixed.tolist() == [[10, 0], [2, 8]]


def test_only_the_chosen_columns_count(planted):
    frame, truth = planted
    segmenter = PartnerSegmenter(columns=["orders", "order_value", "visits"], random_state=0).fit(frame)
    assert same(segmenter.predict(frame), truth) > 0.9
    changed = frame.assign(score=-1.0, partner_type="agent")
    pd.testing.assert_frame_equal(segmenter.predict_proba(changed), segmenter.predict_proba(frame))


def test_the_map_keeps_its_partners_and_their_neighbors(planted, fitted):
    frame, truth = planted
    places = fitted.transform(frame)
    assert list(places) == ["x", "y"]
    np.testing.assert_allclose(places, fitted.transform(frame.sample(frac=1, random_state=1)).loc[frame.index])
    newcomers, kinds = plant(seed=5)
    centers = np.array([places[truth == kind].median() for kind in range(3)])
    distances = ((fitted.transform(newcomers).to_numpy()[:, None] - centers) ** 2).sum(axis=2)
    assert (distances.argmin(axis=1) == kinds).mean() > 0.95


def test_a_region_alone_gets_what_the_programme_gets(planted, fitted):
    frame = blank(planted[0], 0.3)
    region = frame.iloc[40:97]
    pd.testing.assert_frame_equal(
        fitted.predict_proba(region), fitted.predict_proba(frame).loc[region.index], check_exact=True
    )
    pd.testing.assert_frame_equal(fitted.transform(region), fitted.transform(frame).loc[region.index], check_exact=True)


def test_a_loaded_model_is_the_same_and_needs_no_map_maker(planted, fitted, tmp_path):
    frame = blank(planted[0], 0.2)
    fitted.save(tmp_path / "segments")
    assert sorted(path.name for path in (tmp_path / "segments").iterdir()) == [
        "profile.parquet",
        "segmenter.json",
        "segmenter.npz",
        "traits.parquet",
    ]
    frame.to_parquet(tmp_path / "features.parquet")
    program = (
        "import sys, pandas as pd\n"
        "from partnerseg.segments.segmenter import PartnerSegmenter\n"
        "folder = sys.argv[1]\n"
        "segmenter = PartnerSegmenter.load(folder + '/segments')\n"
        "features = pd.read_parquet(folder + '/features.parquet')\n"
        "result = segmenter.predict_proba(features).rename(columns=str)\n"
        "result.join(segmenter.transform(features)).to_parquet(folder + '/result.parquet')\n"
        "assert not {'umap', 'hdbscan', 'numba'} & set(sys.modules), 'map maker imported'\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    expected = fitted.predict_proba(frame).rename(columns=str).join(fitted.transform(frame))
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "result.parquet"), expected, check_exact=True)
    loaded = PartnerSegmenter.load(tmp_path / "segments")
    assert loaded.evidence_ == fitted.evidence_
    assert loaded.names_ == fitted.names_
    assert loaded.get_params() == fitted.get_params()
    pd.testing.assert_frame_equal(loaded.profile_, fitted.profile_, check_exact=True)
    pd.testing.assert_series_equal(loaded.stability_, fitted.stability_, check_exact=True)


def test_a_fresh_process_finds_the_same(planted, fitted, tmp_path):
    planted[0].to_parquet(tmp_path / "features.parquet")
    program = (
        "import sys, numpy as np, pandas as pd\n"
        "from partnerseg.segments.segmenter import PartnerSegmenter\n"
        "features = pd.read_parquet(sys.argv[1] + '/features.parquet')\n"
        "np.save(sys.argv[1] + '/labels.npy', PartnerSegmenter(random_state=0).fit(features).labels_)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    assert np.load(tmp_path / "labels.npy").tolist() == fitted.labels_.tolist()


def test_landmarks_stand_for_many_rows(monkeypatch, planted):
    monkeypatch.setattr("partnerseg.segments.segmenter.LANDMARKS", 160)
    frame, truth = planted
    segmenter = PartnerSegmenter(random_state=0).fit(frame)
    assert len(segmenter.labels_) == len(frame)
    assert same(segmenter.predict(frame), truth) > 0.9
    inside = segmenter.labels_ >= 0
    assert same(segmenter.labels_[inside], truth[inside]) > 0.9


def test_asks_first_for_what_tells_segments_apart(planted, fitted):
    partner = planted[0].iloc[[0]].copy()
    partner[["order_value", "score", "partner_type"]] = np.nan
    partner[["orders", "countries", "visits", "trainings"]] = np.nan
    gains = fitted.fields_to_ask(partner)
    assert set(gains.index) == {"order_value", "score", "partner_type", "orders", "countries", "visits", "trainings"}
    assert gains["order_value"] > 10 * gains["score"]
    assert gains.index[-1] == "score"
    assert (gains >= 0).all()
    known = planted[0].dropna().iloc[[0]]
    assert fitted.fields_to_ask(known).empty
    pd.testing.assert_series_equal(fitted.fields_to_ask(partner.iloc[0]), gains)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_partners": 3}, r"min_partners is 3, must be at least 10 \(segments.min_partners\)"),
        ({"min_share": 0.7}, r"min_share is 0.7, must be between"),
        ({"columns": ["orderz"]}, r"segments\.columns"),
    ],
)
def test_refuses_impossible_parameters(planted, parameters, message):
    with pytest.raises(ValueError, match=message):
        PartnerSegmenter(**parameters).fit(planted[0])


def test_asks_for_one_partner(planted, fitted):
    with pytest.raises(ValueError, match="2 rows were given"):
        fitted.fields_to_ask(planted[0].iloc[:2])


def test_features_made_for_the_rating_make_no_segments(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(120, 3)), columns=["a", "b", "shrunk_variation_365d"])
    segmenter = PartnerSegmenter(random_state=0).fit(frame)
    assert segmenter.dropped_ == {"shrunk_variation_365d": "made for the rating"}
    segmenter.save(tmp_path)
    assert PartnerSegmenter.load(tmp_path).dropped_ == segmenter.dropped_
    asked = PartnerSegmenter(columns=["a", "shrunk_variation_365d"], random_state=0).fit(frame)
    assert "shrunk_variation_365d" not in asked.dropped_
