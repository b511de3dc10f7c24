"""The rating looked at over time and proved, on a simulated programme."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import partnerseg as ps
from partnerseg import rating_results
from partnerseg.features.assessments import EVIDENCE
from partnerseg.features.catalogue import list_counts
from partnerseg.models import list_dates, list_history
from partnerseg.params import load_params
from partnerseg.programme_pass import TOLD

OUTCOMES = ["next_growth", "next_revenue", "retained"]


class Tables(dict):
    """Tables as a programme gives them."""

    def frame(self, name: str) -> pd.DataFrame:
        return self[name]


@pytest.fixture(scope="module")
def models() -> SimpleNamespace:
    params = load_params(Path(__file__).parents[1] / "params")
    tables = Tables(ps.simulate_programme(600, random_state=0).tables)
    features = ps.build_features(tables, as_of=list_history(params))
    used = {name for row in params.rating.factors for name in row.features} | set(TOLD)
    history = features[[name for name in features if name in used or name.startswith(EVIDENCE)]]
    now, before = (rating_results.take_date(features, date) for date in reversed(list_dates(params)))
    rating = rating_results.fit_rating(params, now, before)
    return SimpleNamespace(params=params, programme=tables, history=history, rating=rating, features=now, before=before)


@pytest.fixture(scope="module")
def followed(models) -> pd.DataFrame:
    return rating_results.follow_partners_tiers(models)


@pytest.fixture(scope="module")
def partners(models, followed) -> pd.DataFrame:
    rated, contributions = rating_results.rate_partners(models, models.features, followed)
    gap = (contributions.sum(axis=1, min_count=1) - rated["score"]).abs().max()
    assert gap < 1e-9
    return rated.assign(name="p", region=models.features["region"])


@pytest.fixture(scope="module")
def proof(models) -> dict[str, pd.DataFrame]:
    return rating_results.prove_rating(models)


def test_tiers_of_the_report_follow_from_those_of_every_month_before(models, followed, partners):
    assert followed.index.get_level_values("as_of").nunique() == 25
    assert partners["tier"].isna().equals(partners["score"].isna())
    young = models.features["tenure_days"] < models.params.rating.min_tenure_days
    assert young.any()
    assert set(partners.loc[young & partners["score"].notna(), "tier"]) == {"bronze"}
    # Somebody is too low for its tier and waits out the grace, which is the only way to lose a tier.
    waiting = followed["below_since"].notna() & (followed["tier"] == followed["tier_before"])
    assert waiting.any()
    lost = followed["reason"].isin(["grace_ended", "threshold_lost"])
    assert set(followed.loc[lost, "reason"]) == {"grace_ended"}
    days = pd.to_datetime(followed.index.get_level_values("as_of")) - followed["below_since"]
    assert days[lost].min() >= pd.Timedelta(days=models.params.rating.grace_days) > days[waiting].max()
    inside = partners["rank"].notna()
    assert (partners["rank_lower"] <= partners["rank"])[inside].all()
    assert (partners["rank"] <= partners["rank_upper"])[inside].all()


def test_the_noise_of_every_rate_whose_cases_are_counted_is_estimated(models, followed, monkeypatch):
    def stop(features, assessments, *, as_of, counts):
        assert counts == list_counts()
        assert as_of == models.params.programme.as_of
        raise InterruptedError

    monkeypatch.setattr(rating_results, "estimate_errors", stop)
    with pytest.raises(InterruptedError):
        rating_results.rate_partners(models, models.features, followed)


def test_of_a_factor_counts_what_its_evidence_is_worth(models):
    factors = rating_results.list_factors(models, models.features).set_index("factor")
    worth = models.rating.weigh_evidence(models.features)
    assert factors["counted"].tolist() == pytest.approx(worth.mean().tolist())
    assert (factors.loc[factors["grade"] == "system", "counted"] == 1).all()
    # Some partners assessed themselves on what a manager or an auditor should.
    assert factors.loc[factors["grade"].isin(["manager", "audit"]), "counted"].min() < 1


def test_every_change_of_the_year_is_listed_with_where_it_led(models, followed, partners):
    changes = rating_results.list_changes(followed, models, partners)
    assert len(changes) > 20
    assert (changes["as_of"] > list_dates(models.params)[0]).all()
    last = changes[~changes.index.duplicated(keep="last")]
    still = partners.loc[last.index, "tier"].astype(object)
    assert (still == last["after"]).mean() > 0.95  # but for those who lost their rating since
    order = list(models.params.rating.tiers)
    rose = changes["kind"] == "promoted"
    steps = changes["before"].map(order.index) - changes["after"].map(order.index)
    assert ((steps > 0) == rose).all()


def test_advice_is_true_for_everybody_who_gets_it(models, partners):
    advice = rating_results.advise_partners(models, models.features, partners)
    needed = models.rating.tier_thresholds_ + models.params.rating.hysteresis
    missing = advice["next_tier"].astype(object).map(needed) - partners.loc[advice.index, "score"]
    assert (missing - advice["points_missing"]).abs().max() < 1e-9
    tried = 0
    for partner_id, row in advice[advice["reachable"]].iterrows():
        found = models.rating.raise_to(models.features, partner_id, row["next_tier"], hysteresis=2.0)
        changed = models.features.loc[[partner_id]].assign(**dict(found.changes[["feature", "then"]].to_numpy()))
        assert models.rating.score(changed)["score"].iloc[0] >= needed[row["next_tier"]]
        tried += 1
    assert tried > 10


def test_factors_are_known_for_a_share_of_those_who_are_rated():
    table = pd.DataFrame({"pillar": ["p", "q"], "weight": [0.5, 0.5]}, index=["sales", "care"])
    parts = pd.DataFrame({"sales": [30.0, 10.0, None, None], "care": [20.0, None, None, 40.0]})
    means = rating_results.mean_factors(parts, table).set_index("factor")
    # The third is not rated; of the other three two are known on each.
    assert means["coverage"].tolist() == pytest.approx([2 / 3, 2 / 3])
    assert means["contribution"].tolist() == pytest.approx([40 / 3, 20])


def test_privileges_are_counted_by_tier_and_shifts_go_both_ways(models, partners):
    told = rating_results.count_economics(partners, models)
    assert told["as_of"].drop_duplicates().tolist() == [
        "2026-06-30", "2026-03-30", "2025-12-30", "2025-09-30", "2025-06-30"
    ]  # fmt: skip
    economics = told[told["as_of"] == "2026-06-30"].set_index("tier")
    assert list(economics.index) == list(models.params.rating.tiers)
    counts = partners["tier"].value_counts()
    assert economics["partners"].to_dict() == counts.to_dict()
    assert economics.loc["platinum", "privileges"] == 5_000 * counts["platinum"]
    what_if = rating_results.try_thresholds(partners, models).set_index("shift")
    # The same rule on both: without a shift the sums are those of the table.
    assert what_if.loc[0.0, "privileges"] == economics["privileges"].sum()
    assert what_if.loc[0.0, "net"] == pytest.approx(economics["net"].sum())
    assert what_if.loc[0.0, ["promoted", "demoted"]].tolist() == [0, 0]
    assert what_if.loc[-5.0, "promoted"] > what_if.loc[-2.0, "promoted"] > 0
    assert what_if.loc[5.0, "demoted"] > what_if.loc[2.0, "demoted"] > 0
    assert what_if["privileges"].is_monotonic_decreasing


def test_tiers_are_counted_at_earlier_dates_with_the_revenue_of_then(models, followed, partners):
    north = partners[partners["region"] == partners["region"].iloc[0]]
    told = rating_results.count_economics(north, models, followed).set_index(["as_of", "tier"])
    then = rating_results.take_date(followed, "2025-06-30")["tier"].reindex(north.index)
    revenue = rating_results.take_date(models.history, "2025-06-30")["monetary_value_365d"]
    gold = revenue.reindex(then.index[then == "gold"])
    assert told.loc[("2025-06-30", "gold"), "partners"] == len(gold) > 0
    assert told.loc[("2025-06-30", "gold"), "revenue"] == pytest.approx(gold.sum())
    # Following here or beforehand is the same.
    pd.testing.assert_frame_equal(told.reset_index(), rating_results.count_economics(north, models))


def test_the_proof_uses_what_was_known_then_and_what_came_after(models, proof):
    told = proof["proof"]
    assert sorted(told["outcome"].unique()) == OUTCOMES
    assert (told["dates"] == 5).all()
    revenue = told[told["outcome"] == "next_revenue"].set_index("predictor")["value"]
    assert revenue["rating"] > 0.3
    stays = told[told["outcome"] == "retained"].set_index("predictor")["auc"]
    assert stays["recent_sale"] > 0.6  # who sold lately goes on selling
    date = told["last"].iloc[0]
    assert date == list_dates(models.params)[0]
    # By hand, of the last date: the rating of the time against the revenue of the report.
    then = rating_results.take_date(models.history, date)
    earlier = rating_results.take_date(models.history, "2024-06-30")
    score = rating_results.fit_rating(models.params, then, earlier).score(then)["score"]
    by_hand = score.corr(models.features["monetary_value_365d"].reindex(score.index), method="spearman")
    row = proof["rating_models"].set_index("model").loc["direct"]
    assert row["used"] and row["agreement"] == pytest.approx(1)
    assert row["revenue"] == pytest.approx(by_hand, abs=0.02)  # on those whom every model rates


def test_a_frozen_rating_moves_with_time_and_noise_but_not_with_company(models, followed):
    steady = rating_results.measure_steadiness(models, models.features, followed).set_index("disturbance")
    assert steady.loc["dropped", "score_change"] == 0
    assert 0.9 < steady.loc["month", "spearman"] < 1
    assert 0 < steady.loc["noise", "share_shift"] < steady.loc["month", "share_shift"] < 0.1


def test_weights_learned_from_what_came_order_revenue_best(proof):
    models = proof["rating_models"].set_index("model")["revenue"]
    assert set(models.index) == set(rating_results.COMPARED)
    assert models.idxmax() == "learned"


def test_young_partners_stand_out_as_slighted_and_regions_do_not(proof):
    fairness = proof["fairness"].set_index(["by", "group"])
    assert not fairness.loc["region", "flagged"].any()
    assert fairness.loc[("tenure", "under 1 year"), "difference"] < 0


def test_a_programme_of_one_year_has_no_proof_and_says_so(models):
    recent = models.programme["sales"]
    recent = recent[recent["sold_at"] > "2025-09-01"]
    short = SimpleNamespace(**{**vars(models), "programme": Tables({**models.programme, "sales": recent})})
    tables = rating_results.prove_rating(short)
    assert all(table.empty for table in tables.values())
    assert set(tables) == {"proof", "tier_proof", "fairness", "rating_models"}


def test_without_periods_weights_are_learned_from_the_year_before_and_the_revenue_since(models):
    def learn(now):
        return rating_results.fit_rating(models.params, now, models.before, weighting="learned").factors_["weight"]

    learned = learn(models.features)
    # What else partners are today, who knows what of it came of their sales, teaches nothing.
    rng = np.random.default_rng(0)
    others = [name for name in models.features.select_dtypes("number") if name != "monetary_value_365d"]
    stirred = models.features.assign(**{name: rng.permutation(models.features[name]) for name in others})
    pd.testing.assert_series_equal(learn(stirred), learned)
    revenue = rng.permutation(models.features["monetary_value_365d"])
    assert not np.allclose(learn(models.features.assign(monetary_value_365d=revenue)), learned, atol=0.02)


def test_learning_without_a_year_before_is_refused(models):
    with pytest.raises(ValueError, match="nobody is known a year before"):
        rating_results.fit_rating(models.params, models.features, None, weighting="learned")
