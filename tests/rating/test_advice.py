import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import partnerseg as ps
from partnerseg.rating.advice import find_advice, find_reach
from partnerseg.rating.aggregation import AGGREGATIONS
from partnerseg.rating.factors import read_factors, read_numbers
from partnerseg.rating.scaling import fit_scales, score_numbers

TIERS = {"platinum": 0.1, "gold": 0.2, "silver": 0.3, "bronze": 0.4}
# Two features in one factor, one feature in two factors, a target, whole numbers, logarithms.
TABLE = (
    {"factor": "volume", "features": ["sales"], "weight": 4.0},
    {"factor": "quality", "features": ["returns", "review"], "direction": ["down", "up"], "bounds": [[], [1, 5]]},
    {"factor": "training", "features": ["courses", "certificates"], "weight": 2.0},
    {"factor": "drive", "features": ["courses", "plan"], "bounds": [[0, 8], [0, 100]], "weight": 1.5},
    {"factor": "care", "features": ["calls"], "direction": ["target"], "bounds": [[0, 6, 20]], "weight": 1.5},
)


class Rated:
    """A rating in a few lines: frozen scales, stated weights, thresholds by shares."""

    def __init__(self, features, table=TABLE, aggregation="arithmetic", min_coverage=0.4, before=None):
        factors = read_factors(table)
        self.scales = fit_scales(features, factors)
        self.weights = {factor.factor: factor.weight for factor in factors}
        self.aggregate, self.min_coverage = AGGREGATIONS[aggregation], min_coverage
        self.reach = find_reach(features, self.scales, before=before)
        self.names = list(dict.fromkeys(scale.feature for scale in self.scales))
        self.features, self.numbers = features, read_numbers(features, self.names)
        self.scores = self.score(self.numbers)
        rated = np.sort(self.scores[~np.isnan(self.scores)])
        places = np.cumsum(list(TIERS.values()))[:3]
        self.thresholds = dict(zip(list(TIERS)[:3], np.quantile(rated, 1 - places), strict=True))

    def score(self, numbers):
        points = score_numbers(numbers, self.scales)
        weights = np.array(list(self.weights.values()))
        coverage = (~np.isnan(points) * weights).sum(axis=1) / weights.sum()
        return np.where(coverage >= self.min_coverage, self.aggregate(points, weights), np.nan)

    def advise(self, place, tier="gold", **options):
        row = {name: values[place] for name, values in self.numbers.items()}
        kinds = self.features.get("partner_type")
        return find_advice(
            row,
            self.scales,
            self.score,
            **{
                "partner_id": str(self.features.index[place]),
                "tier": tier,
                "needed": self.thresholds[tier],
                "weights": self.weights,
                "min_coverage": self.min_coverage,
                "reach": self.reach,
                "group": "" if kinds is None else str(kinds.iloc[place]),
                **options,
            },
        )


def make_features(n=300, seed=0, missing=0.1):
    rng = np.random.default_rng(seed)
    features = pd.DataFrame(
        {
            "sales": np.exp(rng.normal(8, 1.5, n)),
            "returns": rng.beta(1, 12, n),
            "review": rng.uniform(1, 5, n),
            "courses": rng.poisson(2, n).astype(float),
            "certificates": rng.poisson(1, n).astype(float),
            "plan": rng.uniform(0, 100, n),
            "calls": rng.poisson(7, n).astype(float),
        },
        index=pd.Index([f"P{place:04d}" for place in range(n)], name="partner_id"),
    )
    features = features.mask(rng.random(features.shape) < missing)
    features["partner_type"] = rng.choice(["reseller", "agent"], n)
    return features


def apply(rated, place, advice):
    numbers = {name: values[[place]].copy() for name, values in rated.numbers.items()}
    for change in advice.changes.itertuples():
        numbers[change.feature][:] = change.then
    return float(rated.score(numbers)[0])


# What is promised is kept


@pytest.mark.parametrize("aggregation", list(AGGREGATIONS))
def test_every_advice_is_kept_and_every_refusal_gives_a_reason(aggregation):
    rated = Rated(make_features(300 if aggregation == "arithmetic" else 120), aggregation=aggregation)
    scores, kinds = rated.scores, rated.features["partner_type"].to_numpy()
    outcomes = set()
    for place in range(len(scores)):
        # The next tier up; the unrated ask for the lowest that must be earned.
        higher = [tier for tier, least in rated.thresholds.items() if not least <= scores[place]]
        if not higher:
            continue
        advice = rated.advise(place, higher[-1])
        outcomes.add((advice.reachable, min(len(advice.changes), 2)))
        if np.isnan(scores[place]):
            assert not advice.reachable
            assert advice.reason.startswith("Not rated")
            assert "Get known: " in advice.reason
        elif not advice.reachable:
            assert advice.reason.startswith("Out of reach")
            assert scores[place] <= advice.furthest < advice.needed
        else:
            after = apply(rated, place, advice)
            assert after == advice.score_after
            assert after >= rated.thresholds[higher[-1]]
            assert 1 <= len(advice.changes) <= 4
            assert advice.cost == pytest.approx(advice.changes["cost"].sum())
            for change in advice.changes.itertuples():
                values = rated.numbers[change.feature]
                own = values[(kinds == kinds[place]) & ~np.isnan(values)]
                low, high = np.quantile(own, [0.1, 0.9], method="inverted_cdf")
                assert change.now == values[place]
                assert change.then <= high if change.then > change.now else change.then >= low
                assert min(change.now, change.reach) <= change.then <= max(change.now, change.reach)
                assert change.feature not in ("courses", "certificates", "calls") or change.then == round(change.then)
    assert {(True, 1), (True, 2)} <= outcomes


# Nothing cheaper is found by trying everything


SMALL = (
    {"factor": "volume", "features": ["sales"], "weight": 3.0},
    {"factor": "service", "features": ["review", "courses"], "bounds": [[1, 5], [0, 6]], "weight": 2.0},
    {"factor": "drive", "features": ["courses"], "bounds": [[0, 8]], "weight": 1.0},
    {"factor": "care", "features": ["calls"], "direction": ["target"], "bounds": [[0, 6, 20]], "weight": 2.0},
)


def list_grid(rated, place, feature):
    """Values a feature may take: all whole numbers, or every fourth point up to what the best tenth has."""
    now = rated.numbers[feature][place]
    if np.isnan(now):
        return [now]
    known = rated.numbers[feature][~np.isnan(rated.numbers[feature])]
    low, high = np.quantile(known, [0.1, 0.9], method="inverted_cdf")
    own = [scale for scale in rated.scales if scale.feature == feature]
    low = now if all(scale.direction == "up" for scale in own) else min(low, now)
    high = max(high, now)
    if own[0].direction == "target":
        # Up to the target, not past it.
        low, high = (now, max(now, min(high, 6))) if now <= 6 else (min(now, max(low, 6)), now)
    if own[0].whole:
        return [now, *np.arange(low, high + 1)]
    start, end = own[0].to_points(np.array([now, high]))
    fine = np.linspace(now, high, 2001)
    return [now, *np.interp(np.arange(start, end, 4.0), own[0].to_points(fine), fine), high]


def try_everything(rated, place, needed, costs):
    """Cost of the cheapest change on the grid that is enough, without end where none is."""
    grid = [list_grid(rated, place, name) for name in rated.names]
    tried = np.array(list(itertools.product(*grid))).T
    numbers = dict(zip(rated.names, tried, strict=True))
    paid = np.zeros(tried.shape[1])
    for name, values in numbers.items():
        now = rated.numbers[name][place]
        if costs is not None:
            paid += np.nan_to_num(np.abs(values - now)) * costs[name]
            continue
        own = [scale for scale in rated.scales if scale.feature == name]
        moved = [np.abs(scale.to_points(values) - scale.to_points(np.array([now]))) for scale in own]
        paid += np.nan_to_num(np.max(moved, axis=0))
    return np.where(rated.score(numbers) >= needed, paid, np.inf).min()


@pytest.mark.parametrize("costs", [None, {"sales": 0.01, "review": 5.0, "courses": 2.0, "calls": 1.0}])
@pytest.mark.parametrize("aggregation", list(AGGREGATIONS))
def test_trying_everything_finds_nothing_cheaper(aggregation, costs):
    reached = 0
    for seed in range(3):
        features = make_features(30, seed, missing=0.05)[["sales", "review", "courses", "calls"]]
        rated = Rated(features, SMALL, aggregation)
        for place in range(30):
            needed = rated.thresholds["platinum" if place % 2 else "gold"]
            if not rated.scores[place] < needed:
                continue
            cheapest = try_everything(rated, place, needed, costs)
            advice = rated.advise(place, needed=needed, costs=costs)
            assert advice.reachable or not np.isfinite(cheapest), (seed, place)
            reached += advice.reachable
            assert not advice.reachable or advice.cost <= cheapest + 1e-6, (seed, place, advice.changes)
    assert reached > 30


def make_linear(seed, whole, smooth, most_levels=18):
    """A rating with one feature a factor, straight from 0 to its bound; all start at 0."""
    rng = np.random.default_rng(seed)
    names = [f"x{place:02d}" for place in range(whole + smooth)]
    bounds = rng.integers(13, most_levels + 1, whole).tolist() + [10.0] * smooth
    weights = rng.uniform(0.5, 3, whole + smooth)
    features = pd.DataFrame(
        {name: np.linspace(0.0, bound, 21) for name, bound in zip(names, bounds, strict=True)},
        index=[f"P{place}" for place in range(21)],
    )
    features[names[:whole]] = features[names[:whole]].round()
    features[names[whole:]] += 0.25
    features.iloc[0] = 0.0
    table = [
        {"factor": name, "features": [name], "bounds": [[0, bound]], "weight": weight}
        for name, bound, weight in zip(names, bounds, weights, strict=True)
    ]
    costs = dict(zip(names, (weights * rng.uniform(0.6, 1.4, len(names)) * 100 / np.array(bounds)), strict=True))
    return Rated(features, table), costs


def list_ways(rated, costs, name):
    """Reach, points of score and cost of a unit of a feature."""
    scale = next(scale for scale in rated.scales if scale.feature == name)
    most = rated.reach.set_index("feature").loc[name, "most"]
    return min(most, scale.best), rated.weights[name] / sum(rated.weights.values()) * 100 / scale.best, costs[name]


def try_whole_numbers(rated, costs, needed, whole, max_changes):
    """Cost of the cheapest change among all whole numbers, one smooth feature closing the rest."""
    ways = [list_ways(rated, costs, name) for name in rated.names]
    tried = np.array(list(itertools.product(*(np.arange(most + 1) for most, _, _ in ways[:whole]))))
    used = (tried > 0).sum(axis=1)
    gain = tried @ [unit for _, unit, _ in ways[:whole]]
    paid = tried @ [cost for _, _, cost in ways[:whole]]
    cheapest = paid[(gain >= needed - 1e-9) & (used <= max_changes)].min(initial=np.inf)
    for most, unit, cost in ways[whole:]:
        part = np.clip((needed - gain) / unit, 0, None)
        enough = (part <= most + 1e-9) & (used < max_changes)
        cheapest = min(cheapest, (paid + part * cost)[enough].min(initial=np.inf))
    return cheapest


@pytest.mark.parametrize("seed", range(6))
def test_with_three_and_more_whole_number_changes_nothing_cheaper_exists(seed):
    rated, costs = make_linear(seed, whole=4, smooth=1)
    furthest = rated.advise(0, needed=101.0, costs=costs).furthest
    for share in (0.35, 0.6, 0.83, 0.97):
        for max_changes in (3, 4):
            needed = share * furthest
            advice = rated.advise(0, needed=needed, costs=costs, max_changes=max_changes)
            cheapest = try_whole_numbers(rated, costs, needed, 4, max_changes)
            assert advice.reachable == np.isfinite(cheapest), (share, max_changes)
            if advice.reachable:
                assert advice.cost == pytest.approx(cheapest, abs=1e-5), (share, max_changes)
                assert advice.at_least == pytest.approx(cheapest, abs=1e-5)
                assert advice.is_cheapest
                assert apply(rated, 0, advice) >= needed


@pytest.mark.parametrize("seed", range(4))
def test_of_many_features_none_is_left_out(seed):
    rated, costs = make_linear(seed, whole=0, smooth=40)
    # What adds more is dearer a point: the best features are neither the strongest nor those that add most for a cost.
    costs = {name: cost * rated.weights[name] ** 2 for name, cost in costs.items()}
    ways = np.array([list_ways(rated, costs, name) for name in rated.names])
    full, rate = ways[:, 0] * ways[:, 1], ways[:, 1] / ways[:, 2]
    for share in (0.1, 0.3, 0.5, 0.7):
        needed = share * np.sort(full)[-2:].sum()
        # One feature in full or not at all, another one as far as needed.
        rest = needed - np.append(full, 0.0)[:, None]
        cost = np.append(full / rate, 0.0)[:, None] + np.maximum(rest, 0) / rate
        cost[(rest > full + 1e-9) | (np.arange(len(full) + 1)[:, None] == np.arange(len(full)))] = np.inf
        advice = rated.advise(0, needed=needed, costs=costs, max_changes=2)
        assert advice.cost == pytest.approx(cost.min(), abs=1e-5)
        assert advice.is_cheapest


@pytest.mark.parametrize("aggregation", ["arithmetic", "geometric"])
@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_the_currency_of_costs_changes_no_advice(aggregation, unit):
    features = make_features(60, missing=0.0)[["sales", "review", "courses", "calls"]]
    rated = Rated(features, SMALL, aggregation)
    costs = {"sales": 0.01, "review": 5.0, "courses": 2.0, "calls": 1.0}
    tried = 0
    for place in np.flatnonzero(rated.scores < rated.thresholds["gold"])[:20]:
        plain = rated.advise(place, costs=costs)
        other = rated.advise(place, costs={name: cost * unit for name, cost in costs.items()})
        assert other.changes["feature"].tolist() == plain.changes["feature"].tolist()
        assert other.changes["then"].tolist() == pytest.approx(plain.changes["then"].tolist())
        assert other.cost == pytest.approx(plain.cost * unit, rel=1e-6, abs=0)
        assert (other.is_cheapest, other.reason) == (plain.is_cheapest, plain.reason)
        tried += len(plain.changes)
    assert tried > 20


@pytest.mark.parametrize("seed", range(4))
def test_a_feature_too_dear_for_anybody_hides_no_cheaper_way(seed):
    rated, costs = make_linear(seed, whole=2, smooth=2)
    for share in (0.2, 0.4):
        needed = share * rated.advise(0, needed=101.0, costs=costs).furthest
        plain = rated.advise(0, needed=needed, costs={name: costs[name] for name in rated.names[1:]})
        other = rated.advise(0, needed=needed, costs=costs | {rated.names[0]: 1e9 * costs[rated.names[0]]})
        assert plain.reachable and plain.is_cheapest and other.is_cheapest
        assert other.cost == pytest.approx(plain.cost, rel=1e-5)


@pytest.mark.parametrize(("count", "max_changes"), [(12, 12), (17, 17), (30, 28)])
def test_nearly_all_features_may_change(count, max_changes):
    rng = np.random.default_rng(7)
    features = pd.DataFrame({f"f{place}": rng.gamma(2, 10, 60) for place in range(count)})
    table = [{"factor": name, "features": [name]} for name in features]
    rated = Rated(features, table, "geometric")
    place = int(np.argmin(rated.scores))
    few = rated.advise(place, needed=rated.scores[place] + 5)
    many = rated.advise(place, needed=few.needed, max_changes=max_changes)
    assert few.reachable and many.reachable and not many.is_cheapest
    assert many.cost <= few.cost * 1.01
    far = rated.advise(place, needed=few.furthest + 5, max_changes=max_changes)
    assert far.reachable and len(far.changes) > 4
    assert apply(rated, place, far) >= far.needed


def test_what_is_not_proven_says_so():
    rated = Rated(make_features(60), aggregation="geometric")
    place = int(np.flatnonzero(rated.scores < rated.thresholds["gold"])[0])
    needed = rated.scores[place] + 2
    advice = rated.advise(place, needed=needed)
    assert advice.reachable and not advice.is_cheapest
    assert np.isnan(advice.at_least)
    assert advice.reason.endswith("A cheaper way is not ruled out.")
    plain = Rated(make_features(60)).advise(place, needed=needed)
    assert plain.is_cheapest
    assert "not ruled out" not in plain.reason


def test_where_imbalance_costs_changes_are_shared_out():
    # Geometric, equal weights, 20 points in each of three: 50 in all three is cheapest, by symmetry and concavity.
    table = [{"factor": name, "features": [name], "bounds": [[0, 100]]} for name in "xyz"]
    features = pd.DataFrame({name: np.arange(0.5, 100) for name in "xyz"})
    features.loc[0] = 20.25
    advice = Rated(features, table, "geometric").advise(0, needed=50.25)
    assert advice.cost == pytest.approx(90, abs=0.1)
    assert advice.changes["then"].tolist() == pytest.approx([50.25] * 3, abs=2)


# What is feasible


def line(n=11, **columns):
    """Partners with the values 0, 10, ..., 100 in every column."""
    values = {name: np.arange(n) * 100.0 / (n - 1) for name in ("x", "y")} | columns
    return pd.DataFrame(values, index=[f"P{place}" for place in range(n)])


XY = (
    {"factor": "x", "features": ["x"], "bounds": [[0, 100]], "weight": 3.0},
    {"factor": "y", "features": ["y"], "bounds": [[0, 100]], "weight": 1.0},
)


def test_the_cheaper_feature_first_and_the_rest_by_the_next():
    rated = Rated(line(), XY)
    # Best tenth: 90 in both; a point of x is worth three of y.
    advice = rated.advise(4, needed=70.0)
    assert advice.changes[["feature", "now", "then", "reach", "points"]].values.tolist() == [["x", 40, 80, 90, 40]]
    advice = rated.advise(0, needed=70.0)
    assert advice.changes[["feature", "then"]].values.tolist() == [["x", 90], ["y", pytest.approx(10)]]
    assert advice.cost == pytest.approx(100)
    refused = rated.advise(0, needed=91.0)
    assert refused.furthest == pytest.approx(90)
    assert refused.changes.empty
    assert refused.reason == (
        "Out of reach: 91.0 points needed, 0.0 now; the best change of up to 4 features within what comparable "
        "partners achieve (x and y) gives 90.0, 1.0 short."
    )
    assert not rated.advise(0, needed=70.0, max_changes=1).reachable
    assert rated.advise(10, needed=70.0).reason == "Already there: 100.0 points, 70.0 needed."
    assert rated.advise(10, needed=np.nan).reason.startswith("There are no tiers")


def test_stated_costs_change_what_is_cheapest():
    rated = Rated(line(), XY)
    # 10 points of score: 13.3 of x or 40 of y.
    dear = rated.advise(4, needed=50.0, costs={"x": 100.0, "y": 1.0})
    assert dear.changes[["feature", "cost"]].values.tolist() == [["y", pytest.approx(40)]]
    # What has no cost stated is not changed.
    only = rated.advise(4, needed=50.0, costs={"y": 1000.0})
    assert only.changes["feature"].tolist() == ["y"]
    assert not rated.advise(4, needed=60.0, costs={"y": 1.0}).reachable


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"costs": {"z": 1.0}}, "costs names 'z', which is no feature of the rating; those are: x and y"),
        ({"costs": {"x": -1.0}}, r"costs\['x'\] == -1.0, must be a number >= 0"),
        ({"max_changes": 0}, "max_changes == 0, must be >= 1"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Rated(line(), XY).advise(0, needed=70.0, **options)


def test_nobody_is_advised_to_rise_faster_than_comparable_partners_did():
    # Everybody rose by 5 in x; in y the upper half by 30, the lower half not at all.
    now = line(101)
    before = now.assign(x=now["x"] - 5, y=np.where(now["y"] >= 50, now["y"] - 30, now["y"]))
    bounded = Rated(now, XY, before=before)
    rises = bounded.reach[bounded.reach["feature"] == "x"]
    assert rises["rise"].tolist() == [5.0] * 5
    assert (bounded.reach["fall"] == 0).all()
    advice = bounded.advise(40, needed=42.0)
    assert advice.changes["feature"].tolist() == ["x"]
    refused = bounded.advise(5, needed=12.0)
    # 5 of x at most, and nobody who started so low rose in y.
    assert not refused.reachable
    assert refused.furthest == pytest.approx(5 + 5 * 0.75)
    assert Rated(now, XY).advise(5, needed=12.0).reachable


def test_the_same_group_is_comparable_where_enough_are_known():
    features = pd.DataFrame({"x": [*range(100), 500.0]}, index=[f"P{place}" for place in range(101)])
    features["partner_type"] = ["agent"] * 50 + ["reseller"] * 50 + ["influencer"]
    rated = Rated(features, [{"factor": "x", "features": ["x"]}])
    # The 45th of 0..49, the 45th of 50..99, and of all 101 the 91st value.
    assert rated.reach.set_index("group")["most"].to_dict() == {"": 90.0, "agent": 44.0, "reseller": 94.0}
    assert rated.advise(50, needed=80.0).changes["reach"].tolist() == [94.0]
    assert not rated.advise(0, needed=80.0).reachable
    assert rated.advise(0, needed=80.0, group="unheard of").changes["reach"].tolist() == [90.0]


def test_a_feature_of_two_factors_moves_in_both():
    # Up in one with weight 2, down in the other with weight 1: of 100 points it moves the score by 100 / 3.
    table = [
        {"factor": "more", "features": ["x"], "bounds": [[0, 100]], "weight": 2},
        {"factor": "less", "features": ["x"], "direction": ["down"], "bounds": [[100, 0]], "weight": 1},
    ]
    rated = Rated(line(), table)
    advice = rated.advise(0, needed=50.0)
    assert advice.changes[["factor", "feature", "then"]].values.tolist() == [["more, less", "x", pytest.approx(50)]]
    assert not rated.advise(0, needed=64.0).reachable


def test_a_target_is_met_from_both_sides_and_not_passed():
    table = [
        {"factor": "calls", "features": ["x"], "direction": ["target"], "bounds": [[0, 50, 100]], "weight": 1},
        {"factor": "y", "features": ["y"], "bounds": [[0, 100]], "weight": 1},
    ]
    rated = Rated(line(y=50.0), table)
    assert rated.advise(2, needed=75.0).changes[["feature", "then"]].values.tolist() == [["x", pytest.approx(50)]]
    assert rated.advise(8, needed=75.0).changes[["feature", "then"]].values.tolist() == [["x", pytest.approx(50)]]
    assert not rated.advise(2, needed=76.0).reachable


def test_the_unrated_are_told_what_to_get_known():
    features = line(21)
    features.loc["P0", "x"] = np.nan
    features.loc["P1"] = np.nan
    rated = Rated(features, XY, min_coverage=0.5)
    advice = rated.advise(0, needed=50.0)
    assert not advice.reachable
    assert advice.reason == "Not rated: 25% of the weight is known, 50% is needed. Get known: x."
    assert advice.to_assess == ("x",)
    assert np.isnan(advice.score)
    # What counts for little covers little.
    weak = rated.advise(0, needed=50.0, evidence={"y": 0.4, "x": 0.0})
    assert weak.reason == "Not rated: 10% of the weight is known, 50% is needed. Get known: x."
    assert rated.advise(1, needed=50.0).reason.endswith("0% of the weight is known, 50% is needed. Get known: x.")
    # Rated but out of reach: what is unknown is named, not changed.
    features = line(21)
    features.loc["P0", "y"] = np.nan
    refused = Rated(features, XY).advise(0, needed=95.0)
    assert refused.reason.endswith("Unknown and worth having assessed: y.")
    assert refused.to_assess == ("y",)


def test_the_unrated_are_told_of_nothing_that_would_not_help():
    features = line(21, flat=5.0)
    features.loc["P0", "x"] = np.nan
    rated = Rated(features, [*XY, {"factor": "flat", "features": ["flat"], "weight": 4.0}])
    told = rated.advise(0, needed=50.0, min_coverage=0.3).reason
    assert told == "Not rated: 12% of the weight is known, 30% is needed. Get known: x."
    told = rated.advise(0, needed=50.0, min_coverage=0.6).reason
    assert told.endswith(
        "Get known: x. That is not enough while nothing can score flat: fit anew once partners differ on it."
    )
    # All is known, on evidence too old to count.
    rated.score = lambda numbers: np.array([np.nan])
    told = rated.advise(1, needed=50.0, evidence={"x": 0.2, "y": 0.9}).reason
    assert told.endswith("19% of the weight is known, 40% is needed. Assess anew, for the evidence is old or weak: x.")


def test_a_second_date_must_be_one_date():
    features = line()
    dated = pd.concat({"2026-01-31": features, "2026-02-28": features})
    with pytest.raises(ValueError, match="must be partner_id"):
        Rated(features, XY, before=dated)


# With the rating itself


def test_on_the_sample_all_advice_to_the_next_tier_is_kept():
    sample = ps.simulate_programme(300, random_state=1)
    features = ps.build_features(sample.tables, as_of="2026-06-30")
    params = ps.load_params(Path(__file__).parents[2] / "params")
    rating = ps.PartnerRating(factors=params.rating.factors).fit(features)
    scores = rating.score(features)["score"]
    tiers = ps.assign_tiers(scores, thresholds=rating.tier_thresholds_).tier.astype(object)
    names = list(rating.tier_thresholds_.index)
    changed, promised = features.copy(), {}
    for partner_id, tier in tiers.items():
        if tier == names[0]:
            continue
        target = names[-1] if pd.isna(tier) else names[names.index(tier) - 1]
        advice = rating.raise_to(features, partner_id, target, hysteresis=params.rating.hysteresis)
        if advice.reachable:
            promised[partner_id] = (advice.score_after, target)
            for change in advice.changes.itertuples():
                changed.loc[partner_id, change.feature] = change.then
        else:
            assert advice.reason.startswith("Not rated" if pd.isna(tier) else "Out of reach")
    after = rating.score(changed)["score"]
    reached = ps.assign_tiers(
        after, thresholds=rating.tier_thresholds_, previous=tiers, hysteresis=params.rating.hysteresis
    ).tier
    assert len(promised) > 80
    assert {partner_id: (after[partner_id], reached[partner_id]) for partner_id in promised} == promised
