import pandas as pd

from partnerseg.params import Params
from partnerseg.report import tables
from tests.report import frames as f


def test_moves_are_listed_from_where_to_where_the_largest_first():
    moves = pd.DataFrame({"a_year_ago": ["A", "B", "joined"], "A": [60, 1, 3], "B": [2, 20, 0], "left": [0, 4, 0]})
    assert tables.list_moves(moves).to_numpy().tolist() == [
        ["B", "left", 4],
        ["joined", "A", 3],
        ["A", "B", 2],
        ["B", "A", 1],
    ]


def test_nobody_moved_is_no_row():
    assert tables.list_moves(pd.DataFrame({"a_year_ago": ["A"], "A": [60]})).empty


def test_factors_are_told_in_words_the_heaviest_first():
    factors = pd.DataFrame(
        {
            "factor": ["teamwork", "product_quality"],
            "pillar": ["delivery", "offer"],
            "features": ["assessed_teamwork", "return_rate_365d, review_score_365d"],
            "direction": ["up", "down, up"],
            "grade": ["manager", "system"],
            "weight": [0.25, 0.75],
            "counted": [0.7, 1.0],
            "effective": [0.4, 0.6],
            "coverage": [0.5, 0.9],
        }
    )
    listed = tables.list_factors(factors)
    assert listed["factor"].tolist() == ["product_quality", "teamwork"]
    assert listed["made_of"].tolist() == [
        "share returned (365 days) (less is better) and score of reviews (365 days)",
        "assessed teamwork",
    ]
    assert listed["weight_share"].tolist() == [0.75, 0.25]
    assert listed["counted_share"].tolist() == [1.0, 0.7]
    assert listed["effective_share"].tolist() == [0.6, 0.4]


def test_groups_that_stand_out_come_first_and_regions_have_names():
    regions = [Params({"code": "north", "name": "The North"}), Params({"code": "Київ", "name": "Kyiv"})]
    listed = tables.list_fairness(f.FAIRNESS, regions=regions)
    assert listed["group"].tolist() == ["Kyiv", "The North", "Ukrainian"]
    assert listed["stands_out"].tolist() == [True, False, False]


def test_the_latest_change_of_tier_comes_first():
    listed = tables.list_tier_changes(f.TIER_CHANGES)
    assert listed["name"].tolist() == ["Oak", "Red", "Blue, Ltd"]
    assert listed["tier"].tolist() == ["not rated", "silver", "gold"]


def test_the_weighting_in_use_comes_first():
    assert tables.list_rating_models(f.RATING_MODELS)["way_of_weighting"].tolist() == [
        "stated weights (in use)",
        "what came of it",
        "equal weights",
    ]


PLAN = pd.DataFrame(
    {
        "name": ["Later", "Sooner", "Nobody", "Gain"],
        "stage": "growing",
        "title": ["Call", "Call", None, "Visit"],
        "reason": "because",
        "channel": "phone",
        "language": "en",
        "owner": "partner manager",
        "topic": None,
        "alternative_title": [None, "Visit", None, "Call"],
        "refusal_cost": [f.NAN, f.NAN, f.NAN, 3.0],
        "expected_gain": [f.NAN, f.NAN, f.NAN, 12.0],
        "due_at": pd.to_datetime(["2026-07-30", "2026-07-14", None, "2026-08-30"]),
    }
)


def test_steps_with_a_known_gain_come_first_then_what_is_due_first():
    listed = tables.list_steps(PLAN, currency="EUR")
    assert listed["name"].tolist() == ["Gain", "Sooner", "Later"]
    assert listed["expected gain, EUR"].tolist()[0] == 12 and listed["cost of refusing, EUR"].tolist()[0] == 3
    assert "topic" not in listed


def test_where_no_gain_is_known_there_is_no_column_of_gains():
    listed = tables.list_steps(PLAN.head(3), currency="EUR")
    assert not [name for name in listed if "gain" in name or "refus" in name]


ADVICE = pd.DataFrame(
    {
        "name": ["A", "B"],
        "tier": "silver",
        "next_tier": "gold",
        "points_missing": [1.0, 2.0],
        "reachable": [True, False],
        "advice": "sell",
        "region": ["north", "Київ"],
    }
)


def test_advice_names_regions_where_there_are_several():
    regions = [Params({"code": "north", "name": "The North"})]
    assert tables.list_advice(ADVICE, regions=regions)["region"].tolist() == ["The North", "Київ"]
    assert list(tables.list_advice(ADVICE.head(1), regions=regions)) == [
        "name",
        "tier",
        "next_tier",
        "points_missing",
        "advice",
    ]


def test_what_is_not_known_comes_last_with_its_reason_in_words():
    unknown = f.METRICS.head(1).assign(metric="roi", value=f.NAN, reason="see revenue_per_cost")
    listed = tables.list_metrics(pd.concat([unknown, f.METRICS.assign(reason="")]))
    assert listed["metric"].tolist()[-1] == "roi"
    assert listed["why_unknown"].tolist() == ["", "", "", "see revenue per cost"]
    assert "why_unknown" not in tables.list_metrics(f.METRICS.assign(reason=""))


def test_reasons_are_told_in_words():
    aside = pd.DataFrame({"table": ["sales"], "reason": ["must be a partner_id"], "rows": [2]})
    assert tables.list_aside(aside)["reason"].tolist() == ["must be a partner"]


def test_experiments_are_dated_by_day():
    own = pd.DataFrame(
        {"experiment": ["a"], "variant": ["b"], "n": [3], "first": [pd.Timestamp("2026-01-02 09:00")], "last": [pd.NaT]}
    )
    assert tables.list_experiments(own)["first"].tolist() == [pd.Timestamp("2026-01-02")]


def test_criteria_segments_with_most_revenue_come_first_and_small_ones_are_marked():
    listed = tables.list_criteria_segments(f.CRITERIA_SEGMENTS, currency="EUR")
    assert listed["criteria_segment"].tolist() == ["agent, active", "reseller, active", "agent, new [u]"]
    assert listed["revenue, EUR"].tolist()[:2] == [700, 300]


def test_questions_are_one_row_a_partner():
    regions = [Params({"code": "north", "name": "The North"})]
    listed = tables.list_questions(f.QUESTIONS, regions=regions)
    assert listed["name"].tolist() == ["Oak", "Elm"]
    assert listed["ask"].tolist() == [
        "declared potential (0.5); score of reviews (365 days) (0.25)",
        "declared potential (0.12)",
    ]
    assert listed["region"].tolist() == ["The North", "Київ"]
    assert "region" not in tables.list_questions(f.QUESTIONS.tail(1), regions=regions)


def test_potential_is_told_with_its_range():
    listed = tables.list_potential(f.POTENTIAL, currency="EUR")
    assert listed["partner_type"].tolist() == ["agent", "all", "reseller", "unknown"]
    assert listed["could reach, EUR"].tolist()[0] == "1 000 (900 to 1 200)".replace(" 0", "\u202f0").replace(
        " 2", "\u202f2"
    )
    assert listed["headroom, EUR"].tolist()[3] == "[x]"


def test_changes_of_segments_come_before_what_continues():
    listed = tables.list_lineage(f.LINEAGE)
    assert listed["event"].tolist() == ["split", "merged", "gone", "new", "continues"]
    assert listed.loc[2, "now"] == listed.loc[3, "a_year_ago"] == "–"


def test_movers_with_most_revenue_come_first():
    moved = f.MEMBERS.assign(moved_to="New agents")
    listed = tables.list_movers(moved)
    assert listed.to_numpy().tolist() == [
        ["d", "Old resellers", "New agents", "both"],
        ["b", "Old resellers", "New agents", "partner"],
    ]


def test_what_drifted_farthest_comes_first():
    assert tables.list_drift(f.DRIFT)["segment_name"].tolist() == ["Old resellers", "New agents"]


def test_segments_and_typical_values_are_told_apart():
    assert list(tables.list_segments(f.PROFILE)) == [
        "segment_name",
        "differs",
        "partners",
        "share_of_revenue",
        "coverage",
    ]
    assert list(tables.list_typical(f.PROFILE)) == ["segment_name", "partner_type", "recency_days"]
    assert tables.list_exemplars(f.EXEMPLARS)["typical"].tolist() == ["Blue, Ltd; Red", "Oak"]
