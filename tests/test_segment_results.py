"""Segments of two dates side by side, on planted groups: who moved, what became of segments, whom to ask."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from partnerseg import segment_results
from partnerseg.params import load_params
from partnerseg.segments.segmenter import PartnerSegmenter

MOVED = [f"p{number:03d}" for number in range(8)]
COLUMNS = [f"x{number}" for number in range(4)]


def draw_features(groups: np.ndarray, seed: int) -> pd.DataFrame:
    """Three groups, 12 standard deviations apart."""
    rng = np.random.default_rng(seed)
    centers = np.eye(3, len(COLUMNS)) * 12 / np.sqrt(2)
    frame = pd.DataFrame(centers[groups] + rng.normal(size=(len(groups), len(COLUMNS))), columns=COLUMNS)
    frame.index = pd.Index([f"p{number:03d}" for number in range(len(groups))], name="partner_id")
    return frame.assign(monetary_value_365d=np.exp(rng.normal(8, 0.1, len(groups))))


@pytest.fixture(scope="module")
def dates() -> tuple[pd.DataFrame, pd.DataFrame]:
    """180 partners a year ago and 200 now; eight went from the first group to the second."""
    then = np.repeat([0, 1, 2], 60)
    now = np.r_[then, np.repeat([1], 20)]
    now[:8] = 1
    return draw_features(then, 1), draw_features(now, 2)


@pytest.fixture(scope="module")
def models(dates) -> SimpleNamespace:
    params = load_params(Path(__file__).parents[1] / "params")
    fitted = [PartnerSegmenter(min_share=0.1, random_state=0).fit(features) for features in dates]
    assert [segmenter.n_segments_ for segmenter in fitted] == [3, 3]
    return SimpleNamespace(params=params, segmenter_before=fitted[0], segmenter=fitted[1])


@pytest.fixture(scope="module")
def followed(models, dates) -> segment_results.Following:
    return segment_results.follow_partners(models, *dates, models.segmenter.predict_proba(dates[1]))


def test_those_who_went_are_told_to_have_moved_and_nobody_else(models, dates, followed):
    moved = followed.partners["move_cause"].dropna()
    assert sorted(moved.index) == MOVED
    assert set(moved) == {"partner"}
    assert len(set(followed.partners.loc[MOVED, "moved_from"])) == 1
    now = models.segmenter.predict(dates[1])
    assert (followed.partners.loc[MOVED, "settled_segment"] == now[MOVED]).all()
    assert followed.partners["segment_before"].isna().sum() == 20  # who joined


def test_segments_keep_their_number_and_rows_of_the_matrix_sum_to_their_cohort(dates, followed):
    assert followed.lineage["event"].tolist() == ["continued"] * 3
    matrix = segment_results.count_moves(followed.partners, followed).set_index("a_year_ago")
    assert sorted(matrix.drop(index="joined").sum(axis=1)) == [60, 60, 60]
    assert matrix.loc["joined"].sum() == 20
    kept = np.diag(matrix.drop(index="joined", columns="left").to_numpy())
    assert sorted(kept) == [52, 60, 60]


def test_last_years_model_still_fits_where_only_partners_moved(followed):
    row = followed.year_before.iloc[0]
    assert (row["partners"], row["segments"], row["why_not"], bool(row["stale"])) == (180, 3, "", False)
    assert followed.drift["nearest"].notna().all()


def test_a_stale_model_is_announced_with_the_segment_and_the_column(models, dates):
    before, now = dates
    drifted = now.assign(x0=now["x0"] + 6)
    fitted = SimpleNamespace(
        **{**vars(models), "segmenter": PartnerSegmenter(min_share=0.1, random_state=0).fit(drifted)}
    )
    followed = segment_results.follow_partners(fitted, before, drifted, fitted.segmenter.predict_proba(drifted))
    assert followed.year_before["stale"].item()
    assert "x0" in followed.year_before["reason"].item()
    assert "“" in followed.year_before["reason"].item()


@pytest.mark.parametrize("case", ["nobody", "few", "one now"])
def test_where_nothing_can_be_compared_it_says_why(models, dates, case):
    before, now = dates
    few = PartnerSegmenter(min_partners=100, random_state=0).fit(before.head(40))
    changed, then, why = {
        "nobody": ({"segmenter_before": None}, before.head(0), "Nobody"),
        "few": ({"segmenter_before": few}, before.head(40), "40 partners are too few"),
        "one now": ({"segmenter": few}, before, "no natural segments"),
    }[case]
    own = SimpleNamespace(**{**vars(models), **changed})
    followed = segment_results.follow_partners(own, then, now, own.segmenter.predict_proba(now))
    assert why in followed.year_before["why_not"].item()
    assert followed.partners.isna().all(axis=None)
    assert len(followed.partners) == 200
    assert followed.lineage.empty
    assert followed.drift.empty
    assert segment_results.count_moves(followed.partners, followed).empty


def test_questions_go_to_the_least_certain_and_only_where_an_answer_settles_something(models, dates):
    features = dates[1].copy()
    unsure = ["p010", "p070"]
    features.loc[unsure, ["x0", "x1", "x3"]] = np.nan
    membership = models.segmenter.predict_proba(features)
    partners = segment_results._rank_segments(membership).assign(name=features.index, region="north")
    questions = segment_results.list_questions(models, features, partners)
    assert set(questions.index) <= set(unsure)
    assert len(questions)
    assert set(questions["field"]) <= {"x0", "x1"}  # x3 is the same in all segments
    assert (questions["expected_gain"] >= 0.01).all()
    partners.loc[unsure, "probability"] = 0.95  # sure enough to be left alone
    assert segment_results.list_questions(models, features, partners).empty


def test_exemplars_of_a_region_are_its_own_also_where_a_segment_is_absent(models, dates):
    now = dates[1]
    partners = pd.DataFrame({"segment": models.segmenter.labels_, "x": 0.0, "y": 0.0}, index=now.index)
    partners = partners.assign(name=now.index, region="north", partner_type="agent", probability=1.0)
    partners["monetary_value_365d"] = now["monetary_value_365d"]
    alone = partners["segment"] == partners["segment"].max()
    partners.loc[alone, "region"] = "south"
    listed = segment_results.list_exemplars(models, now, partners)
    south = listed[listed["region"] == "south"]
    assert set(south["segment"]) == {partners["segment"].max()}
    assert set(south["partner_id"]) <= set(partners.index[alone])
    assert listed.groupby(["region", "segment"]).size().eq(3).all()
    assert listed.loc[listed["region"] == "all", "segment"].nunique() == 3


def test_shares_of_revenue_are_of_what_is_known():
    partners = pd.DataFrame({"segment": [0, 0, 1, -1], "monetary_value_365d": [1.0, np.nan, 2.0, 1.0]})
    sizes = segment_results.count_segments(partners, {0: "A", 1: "B", 2: "C"}).set_index("segment")
    assert sizes["share_of_revenue"].tolist()[:2] == [0.25, 0.5]
    assert sizes["revenue_coverage"].tolist()[:2] == [0.5, 1.0]
    assert sizes.loc[2, "n"] == 0
    assert np.isnan(sizes.loc[2, "share_of_revenue"])


def test_a_typical_potential_is_the_median_of_those_of_whom_it_is_known():
    columns = [
        "monetary_value_365d",
        *(f"{n}{e}" for n in ("potential", "forecast") for e in ("_value", "_low", "_high")),
        *("headroom", "headroom_low", "headroom_high"),
    ]
    partners = pd.DataFrame({name: [1.0, 3.0, np.nan, 100.0] for name in columns})
    partners["partner_type"] = ["agent", "agent", "agent", "reseller"]
    table = segment_results.count_potential(partners).set_index("partner_type")
    assert table.loc["agent", "potential_value"] == 2.0
    assert table.loc["agent", ["n", "n_potential"]].tolist() == [3, 2]
    assert table.loc["all", "headroom_value"] == 3.0


def test_criteria_segments_are_text_with_their_share_of_the_partners_given():
    settings = SimpleNamespace(criteria=SimpleNamespace(by=["partner_type", "engagement_level"], small=2))
    partners = pd.DataFrame({"partner_type": ["agent", "agent", "unknown"], "monetary_value_365d": [1.0, 3.0, np.nan]})
    partners["engagement_level"] = pd.Categorical(["new", "new", "active"], categories=["new", "active"], ordered=True)
    table = segment_results.count_criteria(partners, settings)
    assert table["segment"].tolist() == ["agent, new", "unknown partner type, active"]
    assert pd.api.types.is_string_dtype(table["segment"])
    assert table["is_small"].tolist() == [False, True]
    assert table["revenue"].tolist()[0] == 4.0


def test_who_is_likelier_elsewhere_but_not_surely_is_counted_where_it_was(models, dates):
    before, now = dates
    membership = models.segmenter.predict_proba(now)
    here, there = models.segmenter.predict(now)[["p020", "p070"]]
    membership.loc["p020"] = 0.0
    membership.loc["p020", [here, there]] = [0.4, 0.6]
    followed = segment_results.follow_partners(models, before, now, membership)
    assert followed.partners.loc["p020", "settled_segment"] == here
    assert "p020" not in followed.partners["move_cause"].dropna()
