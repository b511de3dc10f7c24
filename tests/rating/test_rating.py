import itertools
import json
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from partnerseg.params import Params
from partnerseg.rating.errors import Errors
from partnerseg.rating.rating import FORMAT, PartnerRating
from partnerseg.rating.tiers import assign_tiers

# Four factors: two features in one, a direction down, stated and fitted bounds, self-reported evidence.
TABLE = (
    {"factor": "volume", "pillar": "sales", "features": ["sales"], "weight": 4.0},
    {
        "factor": "quality",
        "pillar": "offer",
        "features": ["return_rate", "review"],
        "direction": ["down", "up"],
        "bounds": [[], [1, 5]],
        "weight": 3.0,
    },
    {"factor": "training", "pillar": "capability", "features": ["courses"], "weight": 2.0, "grade": "audit"},
    {
        "factor": "planning",
        "pillar": "capability",
        "features": ["planning"],
        "bounds": [[0, 100]],
        "weight": 1.0,
        "grade": "self",
    },
)
UP = {"sales": 1, "return_rate": -1, "review": 1, "courses": 1, "planning": 1}


def make_features(n=60, seed=0, missing=0.15):
    rng = np.random.default_rng(seed)
    features = pd.DataFrame(
        {
            "sales": np.exp(rng.normal(8, 1.5, n)),
            "return_rate": rng.beta(1, 12, n),
            "review": rng.uniform(1, 5, n),
            "courses": rng.poisson(2, n).astype(float),
            "planning": rng.uniform(0, 100, n),
        },
        index=pd.Index([f"P{place:04d}" for place in range(n)], name="partner_id"),
    )
    features = features.mask(rng.random(features.shape) < missing)
    features["partner_type"] = rng.choice(["reseller", "agent"], n)
    return features


FEATURES = make_features()
FITTED = {
    weighting: PartnerRating(TABLE, weighting=weighting).fit(FEATURES)
    for weighting in ("direct", "equal", "entropy", "critic")
}
weightings = st.sampled_from(list(FITTED))
partners = st.sampled_from(list(FEATURES.index))


@pytest.fixture
def rating():
    return FITTED["direct"]


def three():
    """Three partners and two factors, worked out below by hand.

    Weights: volume 6 with system evidence (1.0) is 6, planning 5 by self-report (0.4) is 2: shares 3/4 and 1/4.
    Points: volume 0, 50, 100 (bounds 100 to 300); planning 80, missing, 20.
    """
    features = pd.DataFrame({"sales": [100.0, 200, 300], "planning": [80.0, np.nan, 20]}, index=["a", "b", "c"])
    table = (
        {"factor": "volume", "features": ["sales"], "weight": 6.0},
        {"factor": "planning", "features": ["planning"], "bounds": [[0, 100]], "weight": 5.0, "grade": "self"},
    )
    return features, PartnerRating(table, bounds_quantiles=(0, 1), tiers={"gold": 0.3, "bronze": 0.7}).fit(features)


def test_three_partners_by_hand():
    features, rating = three()
    assert rating.factors_["stated_weight"].tolist() == pytest.approx([6 / 11, 5 / 11])
    assert rating.factors_["weight"].tolist() == pytest.approx([0.75, 0.25])
    assert rating.factors_["coverage"].tolist() == pytest.approx([1, 2 / 3])
    result = rating.score(features)
    # a: .25 * 80; b: volume alone; c: .75 * 100 + .25 * 20
    assert result["score"].tolist() == pytest.approx([20, 50, 80])
    assert result["coverage"].tolist() == pytest.approx([1, 0.75, 1])
    assert result["rank"].tolist() == [3, 2, 1]
    contributions = rating.contributions(features)
    assert contributions.loc["c"].tolist() == pytest.approx([75, 5])
    assert contributions.loc["b", "volume"] == pytest.approx(50)
    assert np.isnan(contributions.loc["b", "planning"])
    assert rating.tier_thresholds_.to_dict() == pytest.approx({"gold": 80, "bronze": 0})


def test_below_the_minimum_coverage_there_is_no_score():
    features, rating = three()
    features.loc["b"] = [np.nan, 60.0]
    result = rating.score(features)
    assert result.loc["b", "coverage"] == pytest.approx(0.25)
    assert np.isnan(result.loc["b", "score"])
    assert result.loc["b", "rank"] is pd.NA
    assert result["rank"].dropna().tolist() == [2, 1]
    assert rating.contributions(features).loc["b"].isna().all()
    lenient = clone(rating).set_params(min_coverage=0.25).fit(features)
    assert lenient.score(features).loc["b", "score"] == pytest.approx(60)


def test_nothing_known_is_never_rated():
    features, rating = three()
    features.loc["a"] = np.nan
    lenient = clone(rating).set_params(min_coverage=0.0).fit(features)
    assert np.isnan(lenient.score(features).loc["a", "score"])
    assert lenient.score(features).loc["a", "coverage"] == 0


def test_equal_scores_share_the_smallest_rank():
    features, rating = three()
    twice = pd.concat([features, features.rename(lambda name: name + "2")])
    assert rating.score(twice)["rank"].tolist() == [5, 3, 1, 5, 3, 1]


def test_several_dates_are_ranked_apart():
    features, rating = three()
    dates = pd.concat([features, features * [2, 1]], keys=["2026-05-31", "2026-06-30"], names=["as_of", "partner_id"])
    # On the second date sales are 200, 400, 600: points 50, 100, 100; scores 57.5, 100, 80.
    assert rating.score(dates)["rank"].tolist() == [3, 2, 1, 3, 1, 2]
    with pytest.raises(ValueError, match="take one date"):
        rating.rank_interval(dates)


def test_fit_leaves_its_input_alone():
    features = FEATURES.copy()
    PartnerRating(TABLE).fit(features).rank_interval(features, draws=5)
    pd.testing.assert_frame_equal(features, FEATURES)


# Weights


def test_evidence_lowers_the_weight_of_self_reports():
    factors = FITTED["equal"].factors_
    # Evidence 1, 1, .9, .4: sum 3.3.
    assert factors["weight"].tolist() == pytest.approx([1 / 3.3, 1 / 3.3, 0.9 / 3.3, 0.4 / 3.3])
    trusting = PartnerRating(TABLE, weighting="equal", evidence={"system": 1, "audit": 1, "manager": 1, "self": 1})
    assert trusting.fit(FEATURES).factors_["weight"].tolist() == pytest.approx([0.25] * 4)


# Evidence of each partner


def assessed(**options):
    """Two factors of equal weight, one assessed by managers (0.7), and who assessed in fact.

    a by its manager, b by itself (0.4), c by nobody knows whom, d by nobody, e by a system record.
    """
    features = pd.DataFrame(
        {
            "sales": [20.0] * 5,
            "assessed_planning": [80.0, 80, 80, np.nan, 80],
            "evidence_planning": [0.7, 0.4, np.nan, np.nan, 1.0],
        },
        index=list("abcde"),
    )
    table = [
        {"factor": "volume", "features": ["sales"], "bounds": [[0, 100]], "weight": 0.7},
        {"factor": "planning", "features": ["assessed_planning"], "bounds": [[0, 100]], "grade": "manager"},
    ]
    return features, PartnerRating(table, tiers={"gold": 0.2, "bronze": 0.8}, **options).fit(features)


def test_what_a_partner_says_of_itself_counts_less():
    features, rating = assessed()
    assert rating.factors_["weight"].tolist() == pytest.approx([0.5, 0.5])
    result = rating.score(features)
    # b: planning counts 4/7 of 0.5, so 4/11 of what is left: (7 * 20 + 4 * 80) / 11. Coverage (1 + 4/7) / 2.
    assert result["score"].tolist() == pytest.approx([50, 460 / 11, 50, 20, 50])
    assert result["coverage"].tolist() == pytest.approx([1, 11 / 14, 1, 0.5, 1])
    parts = rating.contributions(features)
    assert parts.loc["b"].tolist() == pytest.approx([140 / 11, 320 / 11])
    assert parts.sum(axis=1).tolist() == pytest.approx(result["score"].tolist(), abs=1e-9)
    assert rating.weigh_evidence(features)["planning"].tolist() == pytest.approx([1, 4 / 7, 1, np.nan, 1], nan_ok=True)
    reasons = rating.explain(features, "b")
    assert reasons["evidence"].to_dict() == pytest.approx({"volume": 1, "planning": 4 / 7})
    assert reasons["weight"].to_dict() == pytest.approx({"volume": 7 / 11, "planning": 4 / 11})
    assert np.isnan(rating.explain(features, "d").loc["planning", "evidence"])
    # Without the column everybody counts as the grade of the factor states.
    plain = rating.score(features.drop(columns="evidence_planning"))
    assert plain["score"].tolist() == pytest.approx([50, 50, 50, 20, 50])
    assert (rating.weigh_evidence(features[["sales", "assessed_planning"]]).loc["b"] == 1).all()


def test_too_little_evidence_is_no_score():
    features, rating = assessed(min_coverage=0.8)
    assert rating.score(features)["score"].isna().tolist() == [False, True, False, True, False]
    assert rating.contributions(features).loc["b"].isna().all()
    assert rating.raise_to(features, "b", "gold").reason.startswith("Not rated: 79% of the weight is known, 80% is")


def test_tiers_are_cut_where_scores_with_their_evidence_are():
    features, rating = assessed()
    # Scores 50, 50, 50, 460 / 11 and 20: b is the fourth, whom full evidence would give 50.
    cut = clone(rating).set_params(tiers={"gold": 0.8, "bronze": 0.2}).fit(features)
    assert cut.tier_thresholds_["gold"] == pytest.approx(460 / 11)


@pytest.mark.parametrize("told", [-0.1, 1.1, 70.0])
def test_evidence_beyond_0_and_1_is_refused(told):
    features, rating = assessed()
    features.loc["b", "evidence_planning"] = told
    message = rf"features\['evidence_planning'\] == {told} for partner 'b', must be between 0 and 1, or missing"
    for method in (rating.score, rating.rank_interval, clone(rating).fit):
        with pytest.raises(ValueError, match=message):
            method(features)


@pytest.mark.parametrize("aggregation", ["arithmetic", "geometric", "penalty", "topsis"])
def test_advice_to_those_who_assessed_themselves_keeps_what_it_promises(aggregation):
    rng = np.random.default_rng(0)
    features = make_features(n=120, seed=5).rename(columns={"planning": "assessed_planning"})
    features["evidence_planning"] = rng.choice([0.4, 0.2, 0.1], len(features))
    table = [*TABLE[:3], {**TABLE[3], "features": ["assessed_planning"], "weight": 30.0}]
    rating = PartnerRating(table, aggregation=aggregation).fit(features)
    lifted = 0
    for partner in features.index[:25]:
        advice = rating.raise_to(features, partner, "gold")
        if not advice.reachable or advice.changes.empty:
            continue
        changed = features.copy()
        for change in advice.changes.itertuples():
            changed.loc[partner, change.feature] = change.then
        after = rating.score(changed).loc[partner, "score"]
        assert after == advice.score_after >= rating.tier_thresholds_["gold"]
        lifted += "assessed_planning" in advice.changes["feature"].tolist()
    assert lifted > 3


def test_sensitivity_follows_the_evidence():
    rng = np.random.default_rng(0)
    features = pd.DataFrame(rng.uniform(0, 100, (4000, 2)), columns=["sales", "assessed_planning"])
    rating = PartnerRating(
        [
            {"factor": "volume", "features": ["sales"], "bounds": [[0, 100]]},
            {"factor": "planning", "features": ["assessed_planning"], "bounds": [[0, 100]]},
        ]
    ).fit(features)
    effective = rating.sensitivity(features.assign(evidence_planning=0.25))["effective"]
    # Weights 0.8 and 0.2 in fact: standard deviations 4 : 1.
    assert effective.tolist() == pytest.approx([0.8, 0.2], abs=0.03)
    assert rating.sensitivity(features)["effective"].tolist() == pytest.approx([0.5, 0.5], abs=0.03)


def test_little_evidence_widens_the_interval():
    features = make_features(n=200, missing=0).rename(columns={"planning": "assessed_planning"})
    table = [*TABLE[:3], {**TABLE[3], "features": ["assessed_planning"], "weight": 10.0, "grade": "system"}]
    rating = PartnerRating(table).fit(features)
    width = [
        rating.rank_interval(features.assign(evidence_planning=told), draws=300).eval("upper - lower").mean()
        for told in (1.0, 0.5, 0.1)
    ]
    assert width[0] * 1.2 < width[1] < width[2] / 1.1
    plain = rating.rank_interval(features, draws=300)
    pd.testing.assert_frame_equal(rating.rank_interval(features.assign(evidence_planning=1.0), draws=300), plain)


@pytest.mark.filterwarnings("ignore:nobody is known")
@pytest.mark.parametrize("weighting", list(FITTED))
def test_a_factor_nobody_is_known_on_lowers_coverage_by_its_stated_weight(weighting):
    features = FEATURES.assign(planning=np.nan)
    rating = PartnerRating(TABLE, weighting=weighting).fit(features)
    # Stated weight times evidence: 4, 3, 2 * .9, 1 * .4: sum 9.2; equal: 1, 1, .9, .4: sum 3.3.
    weight = 0.4 / 3.3 if weighting == "equal" else 0.4 / 9.2
    assert rating.factors_.loc["planning", "weight"] == pytest.approx(weight)
    assert rating.factors_.loc["planning", "coverage"] == 0
    assert rating.score(features)["coverage"].max() == pytest.approx(1 - weight)


def test_a_constant_feature_is_named_and_left_out():
    with pytest.warns(UserWarning, match="feature courses is the same for all partners"):
        rating = PartnerRating(TABLE, weighting="critic").fit(FEATURES.assign(courses=2.0))
    assert rating.factors_.loc["training", "coverage"] == 0
    assert rating.score(FEATURES)["score"].notna().any()


def test_features_and_factors_that_nobody_is_known_on_are_named_once():
    with pytest.warns(UserWarning) as told:
        PartnerRating(TABLE).fit(FEATURES.assign(planning=np.nan, review=np.nan))
    assert [str(one.message) for one in told] == [
        "nobody is known on features review, planning: left out; "
        "factor planning can score nobody, so that coverage lacks the weight"
    ]
    with pytest.warns(UserWarning) as told:
        PartnerRating(TABLE).fit(FEATURES.assign(review=np.nan))
    assert [str(one.message) for one in told] == ["nobody is known on feature review: left out"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PartnerRating(TABLE).fit(FEATURES)


@pytest.mark.filterwarnings("ignore:nobody is known")
def test_no_data_at_all_gives_no_scores_and_no_error():
    nothing = FEATURES.assign(**dict.fromkeys(UP, np.nan))
    for features in (nothing, nothing.iloc[:0]):
        rating = PartnerRating(TABLE, weighting="entropy").fit(features)
        assert rating.score(features)["score"].isna().all()
        assert rating.rank_interval(features, draws=10).isna().all(axis=None)
    assert rating.raise_to(nothing, "P0000", "gold").reason.startswith("Not rated: 0% of the weight")


# Rank intervals


def test_intervals_hold_the_rank_and_are_repeatable(rating):
    interval = rating.rank_interval(FEATURES, draws=300)
    rated = interval["rank"].notna()
    assert interval["rank"].equals(rating.score(FEATURES)["rank"])
    assert ((interval["lower"] <= interval["rank"]) & (interval["rank"] <= interval["upper"]))[rated].all()
    assert interval[~rated].isna().all(axis=None)
    assert interval.loc[rated, "lower"].min() >= 1
    assert interval.loc[rated, "upper"].max() <= rated.sum()
    shuffled = FEATURES.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(rating.rank_interval(shuffled, draws=300).loc[FEATURES.index], interval)


def test_a_higher_level_gives_wider_intervals(rating):
    narrow, wide = (rating.rank_interval(FEATURES, draws=300, level=level) for level in (0.5, 0.95))
    rated = narrow["rank"].notna()
    assert (wide["lower"] <= narrow["lower"])[rated].all()
    assert (wide["upper"] >= narrow["upper"])[rated].all()


def test_a_partner_best_in_everything_is_first_in_every_draw():
    features = make_features(missing=0)
    features.loc["P0000", list(UP)] = [1e9, 0, 5, 50, 100]
    features.loc["P0001", list(UP)] = [1, 0.99, 1, 0, 0]
    interval = PartnerRating(TABLE).fit(features).rank_interval(features, draws=200)
    assert interval.loc["P0000"].tolist() == [1, 1, 1]
    assert interval.loc["P0001"].tolist() == [60, 60, 60]


def test_twins_are_shown_as_a_tie():
    features = make_features(missing=0)
    features.loc["P0007"] = features.loc["P0003"]
    interval = PartnerRating(TABLE).fit(features).rank_interval(features, draws=200)
    assert interval.loc["P0007"].tolist() == interval.loc["P0003"].tolist()


def test_rounding_breaks_no_tie():
    # 201 times the same partner: a matrix product may round the last column otherwise than the first.
    names = [f"f{place}" for place in range(15)]
    rng = np.random.default_rng(0)
    features = pd.DataFrame([rng.uniform(0, 100, 15)] * 201, columns=names, index=[f"P{place}" for place in range(201)])
    table = [{"factor": name, "features": [name], "bounds": [[0, 100]]} for name in names]
    interval = PartnerRating(table).fit(features).rank_interval(features, draws=300, level=0.999)
    assert (interval == 1).all(axis=None)
    # The same points in another order sum to the same score but for the last bit.
    features = pd.DataFrame(list(itertools.permutations([10.1, 20.2, 70.4])), columns=names[:3])
    result = PartnerRating(table[:3]).fit(features).score(features)
    assert (result["rank"] == 1).all()


def test_missing_factors_widen_the_interval():
    features = make_features(n=200, missing=0)
    rating = PartnerRating(TABLE).fit(features)
    middle = rating.score(features)["rank"].sub(100).abs().sort_values().index[:20]
    holes = features.copy()
    holes.loc[middle, ["return_rate", "review", "courses"]] = np.nan
    width = [
        rating.rank_interval(frame, draws=300).loc[middle].eval("upper - lower").mean() for frame in (features, holes)
    ]
    assert width[1] > 1.5 * width[0]


def test_intervals_with_two_factors_by_simulation():
    # One weight w ~ Beta(100 * .75, 100 * .25) decides: a scores 100 w, b scores 100 (1 - w), c scores 60.
    # a passes c when w > .6: probability under 1 - 2e-3 only; b is always last: w < .5 has probability 3e-8.
    features = pd.DataFrame({"x": [100.0, 0, 60], "y": [0.0, 100, 60]}, index=["a", "b", "c"])
    table = [
        {"factor": "x", "features": ["x"], "bounds": [[0, 100]], "weight": 3},
        {"factor": "y", "features": ["y"], "bounds": [[0, 100]], "weight": 1},
    ]
    rating = PartnerRating(table).fit(features)
    assert rating.rank_interval(features, level=0.99).to_numpy(dtype=int).tolist() == [[1, 1, 1], [3, 3, 3], [2, 2, 2]]
    # At .7 instead of .6 a and c change places in about 13% of draws, which a 90% interval shows.
    features.loc["c"] = 70
    assert rating.rank_interval(features).to_numpy(dtype=int).tolist() == [[1, 1, 2], [3, 3, 3], [2, 1, 2]]


# Reasons and ways up


def test_explain_by_hand():
    features, rating = three()
    result = rating.explain(features, "c")
    assert result.index.tolist() == ["volume", "planning"]
    assert result["score"].tolist() == pytest.approx([100, 20])
    assert result["weight"].tolist() == pytest.approx([0.75, 0.25])
    assert result["contribution"].tolist() == pytest.approx([75, 5])
    # Medians: 50 of (0, 50, 100) and 50 of (80, 20).
    assert result["gap"].tolist() == pytest.approx([50, -30])
    unknown = rating.explain(features, "b").loc["planning"]
    assert unknown["weight"] == 0
    assert unknown[["score", "contribution", "gap"]].isna().all()
    with pytest.raises(KeyError, match="partner 'z' is not among the 3 partners"):
        rating.explain(features, "z")


def test_raise_to_by_hand():
    # Weights 3/4 and 1/4, linear. Partner e: 40 and 40 points, score 40. Best tenth: 90 in both.
    values = np.arange(11) / 10
    features = pd.DataFrame({"x": values, "y": values}, index=list("abcdefghijk"))
    table = [
        {"factor": "x", "features": ["x"], "bounds": [[0, 1]], "weight": 3},
        {"factor": "y", "features": ["y"], "bounds": [[0, 1]], "weight": 1},
    ]
    rating = PartnerRating(table, tiers={"gold": 0.3, "silver": 0.3, "bronze": 0.4}).fit(features)
    assert rating.tier_thresholds_.to_dict() == pytest.approx({"gold": 70.0, "silver": 40.0, "bronze": 0.0})
    # e has 40 + 40: gold takes 30 points of score, 40 of x: 0.8, within 0.9. y alone could not.
    advice = rating.raise_to(features, "e", "gold")
    assert advice.reachable
    assert advice.changes["feature"].tolist() == ["x"]
    assert advice.changes[["now", "then", "reach"]].iloc[0].tolist() == pytest.approx([0.4, 0.8, 0.9])
    assert advice.score_after == pytest.approx(70)
    # a has nothing: x to 0.9 brings 67.5, the missing 2.5 take 0.1 of y.
    advice = rating.raise_to(features, "a", "gold")
    assert advice.changes.set_index("feature")["then"].to_dict() == pytest.approx({"x": 0.9, "y": 0.1})
    # Where y costs a tenth of x, y goes first: 0.9 of it brings 22.5, the missing 47.5 take 0.6333 of x.
    advice = rating.raise_to(features, "a", "gold", costs={"x": 10.0, "y": 1.0})
    assert advice.changes.set_index("feature")["then"].to_dict() == pytest.approx({"x": 47.5 / 75, "y": 0.9})
    # 0.9 and 0.9 make 90 points at most.
    assert rating.raise_to(features, "a", "gold", hysteresis=19.9).reachable
    advice = rating.raise_to(features, "a", "gold", hysteresis=21)
    assert not advice.reachable
    assert advice.changes.empty
    assert rating.raise_to(features, "k", "gold").reachable
    assert rating.raise_to(features, "k", "gold").changes.empty
    assert not rating.raise_to(features, "a", "gold", max_changes=1).reachable
    for tier in ("wood", None, ["gold"]):
        with pytest.raises(ValueError, match="possible values are: gold, silver, bronze"):
            rating.raise_to(features, "a", tier)


def test_the_last_tier_takes_no_hysteresis():
    features, rating = three()
    advice = rating.raise_to(features, "a", "bronze", hysteresis=50)
    assert advice.reachable
    assert advice.changes.empty
    # Gold takes 80 points, so with as much hysteresis more than there are.
    assert not rating.raise_to(features, "a", "gold", hysteresis=50).reachable


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hysteresis": np.nan}, "hysteresis == nan, must be a number >= 0"),
        ({"hysteresis": -50}, "hysteresis == -50, must be a number >= 0"),
        ({"hysteresis": "2"}, "hysteresis == '2', must be a number >= 0"),
        ({"max_changes": 2.5}, "max_changes == 2.5, must be a whole number >= 1"),
        ({"max_changes": "2"}, "max_changes == '2', must be a whole number >= 1"),
        ({"max_changes": 0}, "max_changes == 0, must be a whole number >= 1"),
        ({"max_changes": True}, "max_changes == True, must be a whole number >= 1"),
        ({"costs": ["sales"]}, "costs is a list, must give each name a number"),
        ({"costs": {"sales": "a"}}, r"costs\['sales'\] == 'a', must be a number >= 0"),
        ({"costs": {"sales": None}}, r"costs\['sales'\] == None, must be a number >= 0"),
        ({"partner_id": ["a", "b"]}, r"partner_id == \['a', 'b'\], must be one partner"),
    ],
)
def test_impossible_wishes_are_refused(options, message):
    features, rating = three()
    with pytest.raises(ValueError, match=message):
        rating.raise_to(features, **{"partner_id": "a", "tier": "gold", **options})


def test_costs_may_be_a_series():
    features, rating = three()
    costs = {"sales": 1.0, "planning": 5.0}
    by_name, series = (rating.raise_to(features, "b", "gold", costs=given) for given in (costs, pd.Series(costs)))
    assert by_name.cost == series.cost
    pd.testing.assert_frame_equal(by_name.changes, series.changes)


@pytest.mark.parametrize("weighting", ["direct", "critic"])
def test_advice_keeps_what_it_promises(weighting):
    features = make_features(n=120, seed=5)
    rating = PartnerRating(TABLE, weighting=weighting).fit(features)
    scores = rating.score(features)["score"]
    outcomes = set()
    for partner, tier in itertools.product(features.index[:40], ["platinum", "gold", "silver"]):
        advice = rating.raise_to(features, partner, tier)
        outcomes.add((advice.reachable, len(advice.changes)))
        if not advice.reachable:
            assert advice.changes.empty
            continue
        changed = features.copy()
        for change in advice.changes.itertuples():
            assert change.now == features.loc[partner, change.feature]
            assert UP[change.feature] * (change.then - change.now) >= 0
            assert UP[change.feature] * (change.reach - change.then) >= 0
            assert change.feature != "courses" or change.then == round(change.then)
            changed.loc[partner, change.feature] = change.then
        after = rating.score(changed)["score"]
        assert after[partner] == advice.score_after
        reached = assign_tiers(after, thresholds=rating.tier_thresholds_).tier >= tier
        assert reached[partner]
        assert after.drop(partner).equals(scores.drop(partner))
    assert {(True, 0), (True, 1), (True, 2), (False, 0)} <= outcomes


def test_a_feature_without_bounds_takes_no_part_in_advice():
    features = pd.DataFrame({"x": np.arange(0.0, 1.01, 0.1), "same": 1.0})
    table = [{"factor": "f", "features": ["x", "same"], "bounds": [[0, 1], []]}]
    with pytest.warns(UserWarning, match="feature same"):
        rating = PartnerRating(table, tiers={"gold": 0.3, "bronze": 0.7}).fit(features)
    # Three of eleven and a bit: the fourth, 0.7, is gold.
    assert rating.raise_to(features, 0, "gold").changes["then"].tolist() == pytest.approx([0.7])


def test_advice_follows_the_group_and_the_aggregation():
    # For agents y weighs 3/4: 30 points of score take 40 of y. Under the penalty the score is asked, not a sum.
    values = np.arange(11) / 10
    features = pd.DataFrame({"x": values, "y": values, "kind": "agent"}, index=list("abcdefghijk"))
    table = [
        {"factor": "x", "features": ["x"], "bounds": [[0, 1]], "weight": 3},
        {"factor": "y", "features": ["y"], "bounds": [[0, 1]], "weight": 1},
    ]
    swapped = [{"group": "agent", "factor": "x", "weight": 1}, {"group": "agent", "factor": "y", "weight": 3}]
    tiers = {"gold": 0.3, "bronze": 0.7}
    rating = PartnerRating(table, tiers=tiers, group_by="kind", group_weights=swapped).fit(features)
    advice = rating.raise_to(features, "e", "gold")
    assert advice.changes["feature"].tolist() == ["y"]
    assert advice.changes["then"].tolist() == pytest.approx([0.8])
    rating = PartnerRating(table, tiers=tiers, aggregation="penalty").fit(features)
    advice = rating.raise_to(features, "e", "gold")
    changed = features.copy()
    for change in advice.changes.itertuples():
        changed.loc["e", change.feature] = change.then
    assert advice.reachable
    assert rating.score(changed).loc["e", "score"] == pytest.approx(advice.score_after)
    assert advice.score_after >= rating.tier_thresholds_["gold"]


def test_what_partners_changed_since_an_earlier_date_bounds_advice():
    # Everybody had 0.05 less of x before: nobody has ever risen by more, so 0.4 more is out of reach.
    values = np.arange(41) / 40
    features = pd.DataFrame({"x": values}, index=[f"P{place:02d}" for place in range(41)])
    table = [{"factor": "x", "features": ["x"], "bounds": [[0, 1]]}]
    rating = PartnerRating(table, tiers={"gold": 0.3, "bronze": 0.7})
    assert rating.fit(features).raise_to(features, "P12", "gold").reachable
    assert not rating.fit(features, before=features - 0.05).raise_to(features, "P12", "gold").reachable


# Aggregations, groups, outliers, weightings


def two(**options):
    """Points 100 and 0, 50 and 50; weights 3/4 and 1/4."""
    features = pd.DataFrame({"x": [100.0, 50], "y": [0.0, 50], "partner_type": ["agent", None]}, index=["a", "b"])
    table = [
        {"factor": "x", "features": ["x"], "bounds": [[0, 100]], "weight": 3},
        {"factor": "y", "features": ["y"], "bounds": [[0, 100]], "weight": 1},
    ]
    return features, PartnerRating(table, **options).fit(features)


def test_imbalance_is_what_the_aggregation_takes_from_the_mean():
    features, rating = two(aggregation="penalty")
    # Mean 75, variance 3/4 * 25^2 + 1/4 * 75^2 = 1875; 1875 / 275 = 6.818.
    assert rating.score(features)["score"].tolist() == pytest.approx([75 - 1875 / 275, 50])
    parts = rating.contributions(features)
    assert parts.columns.tolist() == ["x", "y", "imbalance"]
    assert parts.loc["a"].tolist() == pytest.approx([75, 0, -1875 / 275])
    assert parts.loc["b", "imbalance"] == pytest.approx(0)
    reasons = rating.explain(features, "a")
    assert reasons.index.tolist() == ["x", "y", "imbalance"]
    assert reasons["contribution"].sum() == pytest.approx(rating.score(features).loc["a", "score"])
    assert two()[1].contributions(features).columns.tolist() == ["x", "y"]


def test_a_group_has_its_own_weights():
    rows = [{"group": "agent", "factor": "y", "weight": 9.0}]
    features, rating = two(group_weights=rows)
    # Agents 3 and 9: 1/4 and 3/4. b has no partner_type and so the common weights.
    assert rating.group_weights_.loc["agent"].tolist() == pytest.approx([0.25, 0.75])
    assert rating.score(features)["score"].tolist() == pytest.approx([25, 50])
    holes = features.assign(y=np.nan)
    assert rating.score(holes)["coverage"].tolist() == pytest.approx([0.25, 0.75])
    assert rating.score(holes)["score"].isna().tolist() == [True, False]
    assert rating.explain(features, "a")["weight"].to_dict() == pytest.approx({"x": 0.25, "y": 0.75})
    with pytest.raises(ValueError, match=r"rating\.group_by == 'partner_type', which is no column of features"):
        rating.score(features[["x", "y"]])


def test_group_weights_tilt_weights_from_the_data():
    rows = [{"group": "agent", "factor": "volume", "weight": 8.0}]
    rating = PartnerRating(TABLE, weighting="critic", group_weights=rows).fit(FEATURES)
    common, theirs = rating.factors_["weight"], rating.group_weights_.loc["agent"]
    # Volume counts twice as much beside the others as it does for everybody.
    assert (theirs / theirs["quality"])["volume"] == pytest.approx(2 * (common / common["quality"])["volume"])
    assert theirs["training"] / theirs["quality"] == pytest.approx(common["training"] / common["quality"])


def test_a_factor_may_count_for_one_group_only():
    features, _ = two()
    table = [
        {"factor": "x", "features": ["x"], "bounds": [[0, 100]], "weight": 3},
        {"factor": "y", "features": ["y"], "bounds": [[0, 100]], "weight": 0, "grade": "self"},
    ]
    rating = PartnerRating(table, group_weights=[{"group": "agent", "factor": "y", "weight": 5}]).fit(features)
    # 3 * 1 and 5 * 0.4.
    assert rating.group_weights_.loc["agent"].tolist() == pytest.approx([0.6, 0.4])
    assert rating.score(features)["score"].tolist() == pytest.approx([60, 50])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"group": "agent", "factor": "z", "weight": 1},
            r"group_weights\[0\].factor == 'z', must be a factor; possible values are: x, y",
        ),
        ({"group": "agent", "factor": "xx", "weight": 1}, "factor == 'xx', must be a factor; did you mean 'x'"),
        ({"group": "agent", "factor": "x", "weight": -1}, r"group_weights\[0\].weight == -1, must be a number >= 0"),
        ({"group": "agent", "factor": "x", "weight": "b"}, r"group_weights\[0\].weight == 'b', must be a number >= 0"),
        ({"group": "agent", "factor": "x"}, "must be group, factor, weight"),
    ],
)
def test_impossible_group_weights_are_refused(row, message):
    with pytest.raises(ValueError, match=message):
        two(group_weights=[row])


def test_group_weights_that_leave_nothing_or_nobody_are_told():
    rows = [{"group": "agent", "factor": name, "weight": 0} for name in ("x", "y")]
    with pytest.raises(ValueError, match="group 'agent' has no weight above 0"):
        two(group_weights=rows)
    with pytest.raises(ValueError, match="group 'agent' has two weights for x"):
        two(group_weights=[rows[0], rows[0]])
    with pytest.warns(UserWarning, match="group 'agents', which no partner has as partner_type"):
        two(group_weights=[{"group": "agents", "factor": "x", "weight": 1}])


def test_outliers_are_kept_from_the_bounds():
    features = pd.DataFrame({"x": [1.0, 2, 3, 4, 5, 6, 7, 8, 9, 100]})
    table = [{"factor": "x", "features": ["x"], "normalization": "min_max"}]
    rating = PartnerRating(table, outliers="winsorize").fit(features)
    assert (rating.scales_[0].worst, rating.scales_[0].best) == (1.0, 9.0)
    assert rating.score(features)["score"].tolist()[-3:] == pytest.approx([87.5, 100, 100])
    with pytest.raises(ValueError, match="possible values are: none, winsorize"):
        PartnerRating(table, outliers="drop").fit(features)


@pytest.mark.filterwarnings("ignore:nobody is known")
def test_judgments_weigh():
    judgments = [
        {"better": "volume", "worse": "quality", "times": 2.0},
        {"better": "volume", "worse": "training", "times": 4.0},
        {"better": "volume", "worse": "planning", "times": 8.0},
        {"better": "quality", "worse": "training", "times": 2.0},
        {"better": "quality", "worse": "planning", "times": 4.0},
        {"better": "training", "worse": "planning", "times": 2.0},
    ]
    # Consistent judgments 8 : 4 : 2 : 1, times evidence 1, 1, .9, .4; nobody is known on planning.
    expected = np.array([8, 4, 2 * 0.9, 1 * 0.4])
    for weighting in ("ahp", "best_worst"):
        rating = PartnerRating(TABLE, weighting=weighting, judgments=judgments).fit(FEATURES.assign(planning=np.nan))
        assert rating.factors_["weight"].tolist() == pytest.approx((expected / expected.sum()).tolist(), abs=1e-6)
        assert rating.weights_.consistency_ratio == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="judgments is empty"):
        PartnerRating(TABLE, weighting="ahp").fit(FEATURES)


@pytest.mark.parametrize("weighting", ["direct", "ahp", "critic"])
def test_judgments_about_no_factor_are_refused_whatever_the_weighting(weighting):
    judgments = [{"better": "volume", "worse": "qualty", "times": 2.0}]
    with pytest.raises(ValueError, match=r"judgments\[0\].worse == 'qualty', must be a factor; did you mean 'quality'"):
        PartnerRating(TABLE, weighting=weighting, judgments=judgments).fit(FEATURES)


@pytest.mark.filterwarnings("ignore:nobody is known")
def test_a_blend_with_judgments_bears_a_factor_that_nobody_is_known_on():
    judgments = [{"better": "volume", "worse": name, "times": 2.0} for name in ("quality", "training", "planning")]
    options = {"weighting": "blend", "blend": {"ahp": 0.5, "critic": 0.5}, "judgments": judgments}
    weights = PartnerRating(TABLE, **options).fit(FEATURES.assign(planning=np.nan)).factors_["weight"]
    # Stated 1 of 10 times 0.4, beside 4, 3 and 2 times 0.9.
    assert weights["planning"] == pytest.approx(0.4 / 9.2)


def test_outcomes_weigh():
    features = make_features(n=600, seed=2, missing=0)
    rng = np.random.default_rng(0)
    outcome = 3 * features["planning"] + rng.normal(0, 20, len(features))
    rating = PartnerRating(TABLE, weighting="learned", evidence={"system": 1, "audit": 1, "self": 1})
    rating.fit(features, outcome.sample(frac=0.9, random_state=0))
    assert rating.factors_["weight"].idxmax() == "planning"
    in_order, by_name = (clone(rating).fit(features, y).factors_["weight"] for y in (outcome.to_numpy(), outcome))
    assert in_order.equals(by_name)
    assert rating.factors_["stated_weight"].idxmax() == "volume"
    with pytest.raises(ValueError, match="outcome is empty"):
        PartnerRating(TABLE, weighting="learned").fit(features)


def test_a_blend_lies_between_its_parts():
    rating = PartnerRating(TABLE, weighting="blend", blend={"direct": 0.5, "critic": 0.5}).fit(FEATURES)
    expected = FITTED["direct"].weights_.weights / 2 + FITTED["critic"].weights_.weights / 2
    assert rating.weights_.weights.tolist() == pytest.approx(expected.tolist())


def test_noise_widens_intervals_where_it_is():
    features = make_features(n=200, missing=0)
    rating = PartnerRating(TABLE).fit(features)
    errors = pd.DataFrame({"sales": features["sales"]}).iloc[:100]
    plain, noisy = (
        rating.rank_interval(features, errors=known, draws=500).eval("upper - lower") for known in (None, errors)
    )
    assert noisy.iloc[:100].mean() > 1.3 * plain.iloc[:100].mean()
    with pytest.raises(ValueError, match=r"errors\['sales'\] == -1.0 for partner 'P0000', must be >= 0"):
        rating.rank_interval(features, errors=errors.assign(sales=-1.0), draws=5)


def test_ids_of_text_and_numbers_are_refused_where_their_order_counts():
    features = make_features(n=60, missing=0)
    rating = PartnerRating(TABLE).fit(features)
    mixed = features.set_axis(pd.Index([7, *features.index[1:]], dtype=object, name="partner_id"))
    with pytest.raises(ValueError, match=r"partner_id holds 7 and 'P0059', must be all text or all numbers; read the"):
        rating.rank_interval(mixed, draws=5)


def test_noise_is_drawn_around_what_is_expected():
    # Two partners with equal records; behind the first, less is expected: it is last in most draws.
    features = pd.DataFrame({"x": [50.0, 50, 40]}, index=["a", "b", "c"])
    rating = PartnerRating([{"factor": "x", "features": ["x"], "bounds": [[0, 100]]}]).fit(features)
    expected = pd.DataFrame({"x": [20.0]}, index=["a"])
    errors = Errors(expected, pd.DataFrame({"x": [1.0]}, index=["a"]))
    assert rating.rank_interval(features, errors=errors, draws=500).loc["a"].tolist() == [1, 1, 3]
    assert rating.rank_interval(features, draws=500).loc["a"].tolist() == [1, 1, 1]


def test_other_normalizations_move_ranks():
    # a leads by far in points; by rank within each factor a has 100 and 0, b 75 and 100, c 25 and 75: a ties with c.
    features = pd.DataFrame({"x": [100.0, 30, 0, 0, 0], "y": [40.0, 60, 50, 45, 41]}, index=list("abcde"))
    table = [{"factor": name, "features": [name], "bounds": [[0, 100]]} for name in ("x", "y")]
    rating = PartnerRating(table).fit(features)
    assert rating.score(features)["score"].tolist()[:2] == pytest.approx([70, 45])
    assert list(rating.alternatives_) == ["min_max", "z", "rank"]
    assert rating.rank_interval(features).loc["a"].tolist() == [1, 1, 3]
    rating.alternatives_ = {}
    assert rating.rank_interval(features).loc["a"].tolist() == [1, 1, 1]


def test_ranks_are_drawn_with_the_aggregation_of_the_rating():
    # Means 50 and 45, geometric means about 9 and 45.
    features = pd.DataFrame({"x": [100.0, 45], "y": [0.0, 45]}, index=["a", "b"])
    table = [{"factor": name, "features": [name], "bounds": [[0, 100]]} for name in ("x", "y")]
    rating = PartnerRating(table, aggregation="geometric").fit(features)
    rating.alternatives_ = {}
    assert rating.rank_interval(features, draws=500).loc["a"].tolist() == [2, 2, 2]


def test_sensitivity_is_told_for_every_factor(rating):
    result = rating.sensitivity(FEATURES)
    assert result.index.tolist() == rating.factors_.index.tolist()
    assert result["nominal"].tolist() == pytest.approx(rating.factors_["weight"].tolist())


# Estimator


def test_clone_and_parameters():
    rows = Params({"rating": {"factors": TABLE, "tiers": {"gold": 0.5, "bronze": 0.5}, "evidence": {"system": 1.0}}})
    rating = PartnerRating(rows.rating.factors[:2], tiers=rows.rating.tiers, evidence=rows.rating.evidence)
    copy = clone(rating)
    assert copy.get_params() == rating.get_params()
    assert copy.set_params(weighting="equal").weighting == "equal"
    plain = PartnerRating(TABLE[:2]).fit(FEATURES)
    assert clone(rating).fit(FEATURES).score(FEATURES).equals(plain.score(FEATURES))
    assert clone(PartnerRating(TABLE)).fit(FEATURES).score(FEATURES).equals(FITTED["direct"].score(FEATURES))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weighting": "magic"}, "rating.weighting == 'magic'; possible values are: direct, equal, "),
        ({"aggregation": "magic"}, "rating.aggregation == 'magic'; possible values are: arithmetic, geometric, "),
        ({"weighting": ["direct"]}, r"rating.weighting == \['direct'\]; possible values are"),
        ({"min_coverage": 1.5}, "rating.min_coverage == 1.5, must be between 0 and 1"),
        ({"min_coverage": "half"}, "rating.min_coverage == 'half', must be between 0 and 1"),
        ({"min_coverage": np.nan}, "rating.min_coverage == nan, must be between 0 and 1"),
        ({"bounds_quantiles": (0.9, 0.1)}, r"bounds_quantiles == \(0.9, 0.1\), must be \[lower, upper\]"),
        ({"bounds_quantiles": (0, 0.5, 1)}, r"must be \[lower, upper\]"),
        ({"bounds_quantiles": "all"}, "bounds_quantiles == 'all', must be"),
        ({"bounds_quantiles": None}, "bounds_quantiles == None, must be"),
        ({"bounds_quantiles": 5}, "bounds_quantiles == 5, must be"),
        ({"min_coverage": True}, "rating.min_coverage == True, must be between 0 and 1"),
        ({"min_coverage": Decimal("NaN")}, r"rating.min_coverage == Decimal\('NaN'\), must be between 0 and 1"),
        ({"group_by": ["kind"]}, r"rating.group_by == \['kind'\], must be the name of one column"),
        ({"tiers": [0.5, 0.5]}, "rating.tiers is a list, must give each name a number"),
        ({"tiers": {"gold": "x"}}, "rating.tiers.gold == 'x', must be a number >= 0"),
        ({"blend": [1]}, "rating.blend is a list, must give each name a number"),
        ({"evidence": {"system": 1.4}}, "rating.evidence.system == 1.4, must be a number <= 1"),
        ({"random_state": "a"}, r"rating.random_state == 'a', must be a whole number from 0 to 2\*\*32 - 1, None or"),
        ({"random_state": -1}, "rating.random_state == -1, must be a whole number"),
        ({"judgments": "abc"}, "rating.judgments is a str, must be a list of rows"),
        ({"group_weights": "abc"}, "rating.group_weights is a str, must be a list of rows"),
        ({"evidence": {"system": "a"}}, "rating.evidence.system == 'a', must be a number >= 0"),
        ({"tiers": {"gold": 0.5}}, "sum to 1"),
        ({"evidence": {"system": 1.0}}, "grade == 'audit'"),
    ],
)
def test_impossible_parameters_are_refused_by_fit(options, message):
    with pytest.raises(ValueError, match=message):
        PartnerRating(TABLE, **options).fit(FEATURES)


@pytest.mark.parametrize("method", ["score", "contributions", "rank_interval", "sensitivity"])
def test_before_fit_it_says_so(method):
    with pytest.raises(NotFittedError, match="not fitted"):
        getattr(PartnerRating(TABLE), method)(FEATURES)
    for arguments in ((FEATURES, "P0000"), (FEATURES, "P0000", "gold")):
        with pytest.raises(NotFittedError, match="not fitted"):
            getattr(PartnerRating(TABLE), "explain" if len(arguments) == 2 else "raise_to")(*arguments)


def test_outcomes_without_partners_must_be_as_many():
    with pytest.raises(ValueError, match="y holds 2 outcomes, must be one for each of 60 partners"):
        PartnerRating(TABLE, weighting="learned").fit(FEATURES, [1.0, 2.0])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (5, "y is a int, must be a Series by partner, or one outcome for each partner"),
        (FEATURES[["sales"]], "y is a DataFrame, must be a Series by partner"),
        (pd.Series("a", index=FEATURES.index), "y == 'a' for partner 'P0000', must be numbers"),
        (["a"] * 60, "y == 'a' for partner 'P0000', must be numbers"),
        (pd.Series(np.inf, index=FEATURES.index), "y is infinite for partner 'P0000'"),
        (pd.Series(1.0, index=[*FEATURES.index, "P0003"]), "y: partner 'P0003' has more than one outcome"),
    ],
)
def test_what_is_no_outcome_is_refused(y, message):
    with pytest.raises(ValueError, match=message):
        PartnerRating(TABLE, weighting="learned").fit(FEATURES, y)


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ([1], "before is a list, must be a table"),
        (pd.concat([FEATURES, FEATURES]), "before: partner 'P0000' has more than one row"),
        (FEATURES.assign(sales="a"), r"before\['sales'\] == 'a' for partner 'P0000', must be numbers"),
        (FEATURES[["sales"]], "names the feature 'return_rate', which is no column of before"),
    ],
)
def test_what_are_no_features_of_an_earlier_date_is_refused(before, message):
    with pytest.raises(ValueError, match=message):
        PartnerRating(TABLE).fit(FEATURES, before=before)


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        (5, "errors is a int, must be a table"),
        ({"sales": 1}, "errors is a dict, must be a table"),
        (FEATURES[["sales"]] * np.inf, r"errors\['sales'\] is infinite for partner 'P0000'"),
        (FEATURES[["sales"]].astype(str), r"errors\['sales'\] == .* for partner 'P0000', must be numbers"),
    ],
)
def test_what_are_no_errors_is_refused(rating, errors, message):
    with pytest.raises(ValueError, match=message):
        rating.rank_interval(FEATURES, errors=errors, draws=5)


@pytest.mark.parametrize("features", [{"sales": [1]}, FEATURES["sales"], FEATURES.to_numpy()])
def test_what_is_no_table_is_refused(rating, features):
    for method in (
        rating.score,
        rating.contributions,
        rating.rank_interval,
        rating.sensitivity,
        PartnerRating(TABLE).fit,
    ):
        with pytest.raises(ValueError, match=f"features is a {type(features).__name__}, must be a table"):
            method(features)
    for arguments in ((features, "P0000"), (features, "P0000", "gold")):
        with pytest.raises(ValueError, match="must be a table"):
            (rating.explain if len(arguments) == 2 else rating.raise_to)(*arguments)


def test_a_feature_that_stands_there_twice_is_refused(rating):
    twice = pd.concat([FEATURES, FEATURES[["sales"]]], axis=1)
    for method in (rating.score, PartnerRating(TABLE).fit):
        with pytest.raises(ValueError, match="features has 2 columns 'sales'; keep one of them"):
            method(twice)


def test_nobody_to_score_is_an_empty_table(rating):
    nobody = FEATURES.iloc[:0]
    assert rating.score(nobody).shape == (0, 3)
    assert rating.contributions(nobody).shape == rating.weigh_evidence(nobody).shape == (0, 4)
    assert rating.rank_interval(nobody).shape == (0, 3)
    assert rating.score(nobody.assign(evidence_planning=0.4)).shape == (0, 3)
    with pytest.raises(ValueError, match="points has no row, must have one a partner"):
        rating.sensitivity(nobody)
    for features, message in ((pd.DataFrame(), "features has no column"), ([1], "features is a list, must be a table")):
        with pytest.raises(ValueError, match=message):
            rating.score(features)


@pytest.mark.parametrize(
    "options", [{"draws": 0}, {"draws": True}, {"draws": 1.5}, {"draws": "a"}, {"level": 1.0}, {"level": "a"}]
)
def test_impossible_draws_are_refused(rating, options):
    with pytest.raises(ValueError, match="must be"):
        rating.rank_interval(FEATURES, **options)


@pytest.mark.filterwarnings("ignore:nobody is known")
@pytest.mark.parametrize("weighting", list(FITTED))
def test_saved_and_loaded_it_is_the_same_to_the_last_bit(weighting, tmp_path):
    features = FEATURES.assign(planning=np.nan)
    rating = PartnerRating(TABLE, weighting=weighting, random_state=3).fit(features)
    path = tmp_path / "rating.json"
    rating.save(path)
    loaded = PartnerRating.load(path)
    for method in ("score", "contributions", "rank_interval"):
        pd.testing.assert_frame_equal(
            getattr(loaded, method)(features), getattr(rating, method)(features), check_exact=True
        )
    assert loaded.tier_thresholds_.equals(rating.tier_thresholds_)
    pd.testing.assert_frame_equal(loaded.factors_, rating.factors_, check_exact=True)
    pd.testing.assert_frame_equal(loaded.explain(features, "P0001"), rating.explain(features, "P0001"))
    assert loaded.raise_to(features, "P0001", "gold").reason == rating.raise_to(features, "P0001", "gold").reason
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()
    assert loaded.weights_.weights.equals(rating.weights_.weights)
    pd.testing.assert_frame_equal(
        loaded.weights_.details, rating.weights_.details, check_exact=True, check_index_type=False
    )


def test_parameters_as_read_from_files_are_saved(tmp_path):
    rows = Params({"rating": {"factors": TABLE, "bounds": [0.1, 0.9]}}).rating
    rating = PartnerRating(rows.factors, bounds_quantiles=rows.bounds).fit(FEATURES)
    rating.save(tmp_path / "rating.json")
    loaded = PartnerRating.load(tmp_path / "rating.json")
    assert loaded.fit(FEATURES).score(FEATURES).equals(rating.score(FEATURES))


def test_every_parameter_is_saved(tmp_path):
    features = FEATURES.assign(kind=FEATURES["partner_type"])
    options = {
        "weighting": "blend",
        "aggregation": "topsis",
        "outliers": "winsorize",
        "min_coverage": 0.3,
        "bounds_quantiles": (0.1, 0.9),
        "evidence": {"system": 1.0, "audit": 0.8, "self": 0.5},
        "group_by": "kind",
        "group_weights": ({"group": "agent", "factor": "volume", "weight": 8.0},),
        "judgments": ({"better": "volume", "worse": "quality", "times": 2.0},),
        "blend": {"direct": 0.5, "critic": 0.5},
        "tiers": {"gold": 0.5, "bronze": 0.5},
        "random_state": 7,
    }
    assert {"factors", *options} == set(PartnerRating(TABLE).get_params())
    rating = PartnerRating(TABLE, **options).fit(features)
    rating.save(tmp_path / "rating.json")
    loaded = PartnerRating.load(tmp_path / "rating.json")
    assert {name: value for name, value in loaded.get_params().items() if name != "factors"} == options
    pd.testing.assert_frame_equal(loaded.score(features), rating.score(features), check_exact=True)
    pd.testing.assert_frame_equal(clone(loaded).fit(features).score(features), rating.score(features))


def test_numbers_of_numpy_are_saved(tmp_path):
    options = {
        "min_coverage": np.float32(0.5),
        "bounds_quantiles": np.array([0.1, 0.9], dtype=np.float32),
        "evidence": {"system": np.float32(1), "audit": np.float64(0.5), "self": np.int64(1)},
        "tiers": {"gold": np.float32(0.5), "bronze": np.float32(0.5)},
        "random_state": np.int64(3),
    }
    rows = [{**row, "features": np.array(row["features"]), "weight": np.float32(row["weight"])} for row in TABLE]
    rating = PartnerRating(rows, **options).fit(FEATURES)
    rating.save(tmp_path / "rating.json")
    loaded = PartnerRating.load(tmp_path / "rating.json")
    pd.testing.assert_frame_equal(loaded.score(FEATURES), rating.score(FEATURES), check_exact=True)
    pd.testing.assert_frame_equal(
        loaded.rank_interval(FEATURES, draws=20), rating.rank_interval(FEATURES, draws=20), check_exact=True
    )
    assert loaded.random_state == 3


def test_fractions_and_decimals_are_saved(tmp_path):
    rows = [{**row, "weight": Decimal(str(row["weight"]))} for row in TABLE]
    options = {"min_coverage": Fraction(3, 10), "bounds_quantiles": (Fraction(1, 10), Fraction(9, 10))}
    rating = PartnerRating(rows, **options, tiers={"gold": Decimal("0.5"), "bronze": Fraction(1, 2)}).fit(FEATURES)
    plain = PartnerRating(TABLE, min_coverage=0.3, bounds_quantiles=(0.1, 0.9), tiers={"gold": 0.5, "bronze": 0.5})
    assert plain.fit(FEATURES).score(FEATURES).equals(rating.score(FEATURES))
    rating.save(tmp_path / "rating.json")
    loaded = PartnerRating.load(tmp_path / "rating.json")
    assert loaded.min_coverage == 0.3
    for same in (loaded, clone(loaded).fit(FEATURES)):
        pd.testing.assert_frame_equal(same.score(FEATURES), rating.score(FEATURES), check_exact=True)
    exact = PartnerRating(TABLE, min_coverage=Decimal("0.4")).fit(FEATURES)
    assert exact.score(FEATURES).equals(FITTED["direct"].score(FEATURES))
    assert exact.raise_to(FEATURES, "P0001", "gold").reason


def test_rows_that_can_be_read_once_are_kept(tmp_path):
    judgments = [{"better": "volume", "worse": name, "times": 2.0} for name in ("quality", "training", "planning")]
    rating = PartnerRating(iter(TABLE), weighting="ahp", judgments=(row for row in judgments)).fit(FEATURES)
    again = clone(rating).fit(FEATURES).score(FEATURES)
    rating.save(tmp_path / "rating.json")
    loaded = PartnerRating.load(tmp_path / "rating.json")
    for found in (again, loaded.fit(FEATURES).score(FEATURES)):
        pd.testing.assert_frame_equal(found, rating.score(FEATURES), check_exact=True)


@pytest.mark.parametrize("dates", [["2026-05-31", "2026-06-30"], pd.to_datetime(["2026-05-31", "2026-06-30"])])
def test_weights_with_a_row_for_each_partner_and_date_are_saved(dates, tmp_path):
    features = pd.concat([FEATURES, FEATURES], keys=list(dates), names=["as_of", "partner_id"])
    rating = PartnerRating(TABLE, weighting="benefit_of_the_doubt").fit(features)
    rating.save(tmp_path / "rating.json")
    loaded = PartnerRating.load(tmp_path / "rating.json")
    pd.testing.assert_frame_equal(loaded.score(features), rating.score(features), check_exact=True)
    details = rating.weights_.details
    assert details.index.names == ["as_of", "partner_id"]
    if isinstance(dates, pd.DatetimeIndex):  # times become text
        details.index = details.index.set_levels([str(date) for date in dates], level=0)
    pd.testing.assert_frame_equal(loaded.weights_.details, details, check_exact=True)
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "rating.json").read_bytes()


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "rating.json"
    path.write_text("format: 3", encoding="utf-8")
    with pytest.raises(ValueError, match=r"rating.json is no JSON, so no saved rating"):
        PartnerRating.load(path)
    path.write_text(json.dumps({"format": FORMAT + "0"}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"rating.json: format == "):
        PartnerRating.load(path)


def test_a_file_that_lacks_a_part_or_holds_another_is_refused(rating, tmp_path):
    path = tmp_path / "rating.json"
    rating.save(path)
    state = json.loads(path.read_text(encoding="utf-8"))
    for part in state.keys() - {"format"}:
        path.write_text(json.dumps({name: value for name, value in state.items() if name != part}), encoding="utf-8")
        with pytest.raises(ValueError, match=f"rating.json lacks {part}; fit and save the rating again"):
            PartnerRating.load(path)
        path.write_text(json.dumps(state | {part: 5}), encoding="utf-8")
        with pytest.raises(ValueError, match=r"rating.json holds what `save` did not write \("):
            PartnerRating.load(path)
    path.write_text(json.dumps(state | {"parameters": {**state["parameters"], "color": 1}}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"color.*; fit and save the rating again"):
        PartnerRating.load(path)


def test_a_seed_that_is_no_number_cannot_be_saved(tmp_path):
    rating = PartnerRating(TABLE, random_state=np.random.RandomState(0)).fit(FEATURES)
    with pytest.raises(ValueError, match="must be a whole number or None"):
        rating.save(tmp_path / "rating.json")
