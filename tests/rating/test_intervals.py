import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binom, norm, rankdata

from partnerseg.rating import intervals
from partnerseg.rating.aggregation import AGGREGATIONS
from partnerseg.rating.intervals import draw_rank_interval, rank_scores

RNG = np.random.default_rng(0)


def make_points(n: int, f: int, *, missing: float = 0.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 100, (n, f))
    holes = rng.random((n, f)) < missing
    holes[:, 0] = False
    return np.where(holes, np.nan, points)


# Ranks


@settings(max_examples=300)
@given(hnp.arrays(float, st.integers(1, 40), elements=st.floats(-1e6, 1e6) | st.sampled_from([0.0, 50.0, 1e-10, 1e12])))
def test_ranks_are_those_of_rankdata(scores):
    expected = rankdata(-np.round(scores, 9), method="min")
    assert rank_scores(scores).tolist() == expected.tolist()


def test_equal_to_nine_decimals_is_a_tie_and_missing_is_no_rank():
    scores = np.array([70.0, 70 + 4e-10, 70 + 2e-9, np.nan, 0.0, 100.0])
    assert rank_scores(scores).tolist() == [3, 3, 2, 0, 5, 1]
    assert rank_scores(np.full(3, np.nan)).tolist() == [0, 0, 0]
    assert rank_scores(np.zeros(0)).tolist() == []


@pytest.mark.parametrize("n", [1, 2, 65_535, 65_536, 150_000])
def test_ranks_of_many_with_ties(n):
    scores = np.round(np.random.default_rng(n).uniform(0, 100, n), 3)
    assert rank_scores(scores).tolist() == rankdata(-scores, method="min").tolist()


# Intervals


def test_weight_draws_give_the_ranks_of_a_plain_loop():
    points = np.round(make_points(300, 6), 0)
    points[10] = points[20]
    weights = np.array([0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    lower, upper = draw_rank_interval([points], weights, draws=500, random_state=7)
    drawn = np.random.RandomState(7).standard_gamma(100 * weights, size=(500, 6))
    drawn /= drawn.sum(axis=1, keepdims=True)
    ranks = np.array([rankdata(-np.round(points @ row, 9), method="min") for row in drawn])
    expected = np.quantile(ranks, [0.05, 0.95], axis=0, method="inverted_cdf")
    assert lower.tolist() == expected[0].tolist()
    assert upper.tolist() == expected[1].tolist()
    assert (lower[10], upper[10]) == (lower[20], upper[20])


def test_noise_moves_two_partners_as_often_as_the_normal_distribution_says():
    # a leads by 5 points; the difference of the draws has a standard deviation of 3 * sqrt(2): b leads in 11.9%.
    points, noise = np.array([[50.0], [45.0]]), np.full((2, 1), 3.0)
    share = norm.cdf(-5 / (3 * np.sqrt(2)))
    outside = 2 * share
    for level, seen in ((1 - outside * 1.2, True), (1 - outside * 0.8, False)):
        lower, upper = draw_rank_interval([points], np.ones(1), noise=noise, level=level)
        assert (upper[0] == 2) == (not seen)
        assert lower[0] == 1 and upper[1] == 2
    # 10,000 draws leave the share within three standard errors, well inside the 20% on either side.
    assert binom.std(10_000, share) * 3 < 0.2 * share * 10_000


def test_noise_is_drawn_around_what_is_expected():
    points = np.array([[90.0], [50.0], [10.0]])
    expected, noise = np.array([[20.0], [np.nan], [80.0]]), np.full((3, 1), 1e-6)
    lower, upper = draw_rank_interval([points], np.ones(1), noise=noise, expected=expected, draws=50)
    assert lower.tolist() == upper.tolist() == [3, 2, 1]
    # Without noise there is nothing to be expected behind a value.
    lower, upper = draw_rank_interval([points], np.ones(1), noise=noise * 0, expected=expected, draws=50)
    assert lower.tolist() == upper.tolist() == [1, 2, 3]


def test_points_with_noise_stay_between_0_and_100():
    # Half of the draws of either would be over 100; cut there they tie at rank 1 in a quarter of all draws.
    points, noise = np.array([[100.0], [100.0]]), np.full((2, 1), 10.0)
    lower, upper = draw_rank_interval([points], np.ones(1), noise=noise, level=0.2)
    assert lower.tolist() == upper.tolist() == [1, 1]
    world = draw_rank_interval([np.array([[50.0], [50.0]])], np.ones(1), noise=noise, level=0.2)
    assert world[0].tolist() == [1, 1] and world[1].tolist() == [2, 2]


def test_missing_factors_are_drawn_from_the_frozen_distribution():
    # c is unknown on the second factor: 0 or 100, so that it scores 25 or 75, last or first.
    points = np.array([[50.0, 60], [50, 40], [50, np.nan]])
    grid = np.array([[50.0, 0], [50, 100]])
    common = {"sources": ["missing"], "draws": 1000}
    lower, upper = draw_rank_interval([points], np.array([0.5, 0.5]), grid, **common)
    assert lower.tolist() == [1, 2, 1]
    assert upper.tolist() == [2, 3, 3]
    # Without a distribution the weight is shared: c scores 50 and lies between.
    for where in (None, np.full((2, 2), np.nan)):
        lower, upper = draw_rank_interval([points], np.array([0.5, 0.5]), where, **common)
        assert lower.tolist() == upper.tolist() == [1, 3, 2]
    lower, upper = draw_rank_interval([points], np.array([0.5, 0.5]), grid, sources=["weights"], draws=1000)
    assert lower[0] == 1 and upper[1] == 3


def test_each_draw_picks_one_normalization():
    first, second = np.array([[80.0], [20.0]]), np.array([[20.0], [80.0]])
    lower, upper = draw_rank_interval([first, second], np.ones(1), draws=200)
    assert (lower.tolist(), upper.tolist()) == ([1, 1], [2, 2])
    lower, upper = draw_rank_interval([first, second], np.ones(1), draws=200, sources=["weights"])
    assert (lower.tolist(), upper.tolist()) == ([1, 2], [1, 2])
    # One table of three is drawn in a third of the draws: beyond a level of 1/3, within one of 0.9.
    tables = [first, first, second]
    assert draw_rank_interval(tables, np.ones(1), draws=3000, level=0.3)[1].tolist() == [1, 2]
    assert draw_rank_interval(tables, np.ones(1), draws=3000, level=0.4)[1].tolist() == [2, 2]


def test_groups_have_their_own_weights():
    points = np.array([[90.0, 10], [90, 10], [50, 50]])
    weights = np.array([[0.9, 0.1], [0.1, 0.9], [0.5, 0.5]])
    lower, upper = draw_rank_interval([points], weights, draws=300)
    assert lower.tolist() == upper.tolist() == [1, 3, 2]
    same = np.tile([0.6, 0.4], (3, 1))
    one = draw_rank_interval([points], same[0], draws=300)
    each = draw_rank_interval([points], same, draws=300)
    assert np.array_equal(one, each)


@pytest.mark.parametrize("aggregation", list(AGGREGATIONS))
def test_no_source_gives_the_rank_itself(aggregation):
    points = make_points(80, 5, missing=0.2)
    weights = np.array([0.4, 0.3, 0.1, 0.1, 0.1])
    for evidence in (None, RNG.uniform(0.1, 1, points.shape)):
        lower, upper = draw_rank_interval(
            [points], weights, points * 0, evidence=evidence, sources=[], draws=3, aggregation=aggregation
        )
        counted = weights if evidence is None else weights * evidence
        ranks = rank_scores(AGGREGATIONS[aggregation](points, counted))
        assert lower.tolist() == upper.tolist() == ranks.tolist()


@pytest.mark.parametrize("aggregation", list(AGGREGATIONS))
def test_weight_without_evidence_is_drawn_like_an_unknown_factor(aggregation):
    # c has 50 and 50, but half of the second factor is without evidence: 0 or 100 there make 25 or 75 of it.
    points = np.array([[50.0, 60], [50, 40], [50, 50]])
    grid = np.array([[50.0, 0], [50, 100]])
    evidence = np.array([[1.0, 1], [1, 1], [1, 0.5]])
    common = {"sources": ["missing"], "draws": 1000, "aggregation": aggregation}
    weights = np.array([0.5, 0.5])
    lower, upper = draw_rank_interval([points], weights, grid, evidence=evidence, **common)
    assert (lower.tolist(), upper.tolist()) == ([1, 2, 1], [2, 3, 3])
    # All of it counts, or there is nothing to draw from and the rest is shared: c lies between.
    full = np.where(evidence < 1, np.nan, 1.0)
    for where, told in ((grid, None), (grid, full), (None, evidence), (np.full((2, 2), np.nan), evidence)):
        lower, upper = draw_rank_interval([points], weights, where, evidence=told, **common)
        assert lower.tolist() == upper.tolist() == [1, 3, 2]


def test_noise_counts_as_far_as_the_evidence():
    # A rival 5 points ahead is passed with noise of 20 points in 40% of draws, with a tenth of it in 0.6%.
    points, noise = np.array([[50.0], [55]]), np.array([[20.0], [0]])
    best = {}
    for told in (1.0, 0.1):
        lower, _ = draw_rank_interval(
            [points],
            np.ones(1),
            np.full((1, 1), 50.0),
            noise=noise,
            evidence=np.array([[told], [1]]),
            sources=["noise", "missing"],
            draws=2000,
        )
        best[told] = int(lower[0])
    assert best == {1.0: 1, 0.1: 2}


def test_the_fast_path_and_the_general_one_draw_the_same_world():
    # The same distribution, other numbers: bounds of 400 ranks agree within five ranks on average.
    points = make_points(400, 6, missing=0.15)
    grid = np.sort(RNG.uniform(0, 100, (200, 6)), axis=0)
    weights = np.array([0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    noise = np.where(RNG.random(points.shape) < 0.5, 8.0, 0.0)
    evidence = np.where(RNG.random(points.shape) < 0.5, 0.4, 1.0)
    options = {"noise": noise, "expected": points * 0.9 + 5, "evidence": evidence, "draws": 1500}
    fast = draw_rank_interval([points], weights, grid, **options)
    general = draw_rank_interval([points], np.tile(weights, (400, 1)), grid, aggregation="arithmetic", **options)
    world = {**AGGREGATIONS, "same": AGGREGATIONS["arithmetic"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "AGGREGATIONS", world)
        slow = draw_rank_interval([points], weights, grid, aggregation="same", **options)
    assert np.array_equal(fast, general)
    assert np.abs(np.subtract(fast, slow)).mean() < 5
    assert np.abs(np.subtract(fast, slow).mean()) < 1


def test_sources_add_up():
    points = make_points(300, 5, missing=0.2)
    grid, noise = np.sort(make_points(100, 5, seed=3), axis=0), np.full(points.shape, 6.0)
    curved = 100 * (points / 100) ** 2
    args = ([points, curved], np.full(5, 0.2), [grid, 100 * (grid / 100) ** 2])
    widths = {
        sources: np.subtract(*reversed(draw_rank_interval(*args, noise=noise, sources=sources, draws=400))).mean()
        for sources in (*[(source,) for source in intervals.SOURCES], intervals.SOURCES)
    }
    everything = widths.pop(intervals.SOURCES)
    assert all(0 < width < everything for width in widths.values())


def test_order_of_rows_leaves_every_interval():
    points = make_points(150, 5, missing=0.2)
    grid = np.sort(make_points(50, 5, seed=2), axis=0)
    labels = np.array([f"P{place:03d}" for place in range(150)])
    noise = RNG.uniform(0, 10, points.shape)
    weights = np.where(np.arange(150)[:, None] % 3 == 0, [0.6, 0.1, 0.1, 0.1, 0.1], np.full(5, 0.2))
    found = draw_rank_interval([points], weights, grid, noise=noise, labels=labels, draws=200)
    shuffle = RNG.permutation(150)
    again = draw_rank_interval(
        [points[shuffle]], weights[shuffle], grid, noise=noise[shuffle], labels=labels[shuffle], draws=200
    )
    for before, after in zip(found, again, strict=True):
        assert after.tolist() == before[shuffle].tolist()


def test_counting_in_bounded_memory_gives_the_same_ranks(monkeypatch):
    points = np.round(make_points(500, 4, missing=0.1), 0)
    args = ([points], np.full(4, 0.25), np.sort(make_points(50, 4, seed=2), axis=0))
    options = {"noise": np.full(points.shape, 3.0), "draws": 301}
    found = draw_rank_interval(*args, **options)
    for budget in (1, 100_000, 250_000):
        monkeypatch.setattr(intervals, "BUDGET_BYTES", budget)
        assert np.array_equal(draw_rank_interval(*args, **options), found)


def test_number_of_threads_and_calls_change_nothing(monkeypatch):
    points = make_points(400, 4, missing=0.1)
    args = ([points, points], np.full(4, 0.25), np.sort(make_points(50, 4, seed=2), axis=0))
    monkeypatch.setattr(intervals, "BLOCK_CELLS", 4000)
    found = draw_rank_interval(*args, noise=np.ones(points.shape), draws=300)
    monkeypatch.setattr(intervals, "THREADS", 1)
    assert np.array_equal(draw_rank_interval(*args, noise=np.ones(points.shape), draws=300), found)


def test_copies_of_one_partner_tie_whatever_their_place():
    points = np.tile(RNG.uniform(0, 100, 15), (1001, 1))
    lower, upper = draw_rank_interval([points], np.full(15, 1 / 15), draws=300, level=0.999)
    assert (lower == 1).all() and (upper == 1).all()


@settings(max_examples=50)
@given(st.integers(0, 30), st.integers(0, 3), st.floats(0, 50))
def test_raising_a_factor_never_worsens_a_bound(partner, factor, step):
    points = make_points(31, 4)
    before = draw_rank_interval([points], np.full(4, 0.25), draws=60)
    points[partner, factor] = min(100, points[partner, factor] + step)
    after = draw_rank_interval([points], np.full(4, 0.25), draws=60)
    assert after[0][partner] <= before[0][partner]
    assert after[1][partner] <= before[1][partner]


def test_ninety_percent_intervals_cover_true_ranks_in_ninety_percent():
    # Truth N(50, 10), noise of 8 points. Around what is expected the level holds (band: 0.88-0.92; 10,000 partners
    # leave a standard error of 0.003); around what was observed noise counts twice and the level is missed.
    rng = np.random.default_rng(4)
    truth = rng.normal(50, 10, (10_000, 2))
    seen = truth + rng.normal(0, 8, truth.shape)
    kept = 100 / 164
    expected, error = 50 + kept * (seen - 50), np.full(truth.shape, np.sqrt(100 * 64 / 164))
    ranks = rank_scores(truth.mean(axis=1))
    shares = []
    for middle, noise in ((expected, error), (None, np.full(truth.shape, 8.0))):
        lower, upper = draw_rank_interval(
            [seen], np.ones(2), noise=noise, expected=middle, sources=["noise"], draws=1000
        )
        shares.append(((lower <= ranks) & (ranks <= upper)).mean())
    assert 0.88 < shares[0] < 0.92
    assert shares[1] < 0.87


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"draws": 0}, "rating.interval_draws == 0, must be a whole number >= 1"),
        ({"level": 1.0}, "rating.interval_level == 1.0, must be between 0 and 1"),
        ({"concentration": 0}, "concentration == 0, must be > 0"),
        ({"aggregation": "median"}, "rating.aggregation == 'median'; possible values are: arithmetic"),
        ({"sources": ["luck"]}, "sources holds 'luck'; possible values are: weights"),
        ({"weights": np.ones(3)}, r"weights has the shape \(1, 3\), must be \(1, 2\)"),
        ({"weights": np.zeros(2)}, "each row must hold one above 0"),
        ({"noise": np.full((4, 2), -1.0)}, r"noise\[0\] holds -1.0, must be >= 0 points"),
        ({"noise": np.ones((3, 2))}, r"noise\[0\] has the shape \(3, 2\), must be \(4, 2\)"),
        ({"distribution": np.ones((5, 3))}, r"distribution\[0\] has the shape"),
    ],
)
def test_impossible_arguments_are_named(change, message):
    arguments = {"points": [make_points(4, 2)], "weights": np.ones(2), **change}
    with pytest.raises(ValueError, match=message):
        draw_rank_interval(**arguments)


def test_a_partner_without_any_known_factor_is_named():
    points = np.array([[1.0, 2], [np.nan, np.nan]])
    with pytest.raises(ValueError, match=r"points\[0\] row 1 has no factor known or drawn"):
        draw_rank_interval([points], np.ones(2))
    with pytest.raises(ValueError, match=r"points\[1\] has other cells unknown"):
        draw_rank_interval([points, np.ones((2, 2))], np.ones(2))
    nobody = draw_rank_interval([np.zeros((0, 2))], np.ones(2))
    assert [bound.tolist() for bound in nobody] == [[], []]
