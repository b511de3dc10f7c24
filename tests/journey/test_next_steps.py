import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partnerseg.journey.next_steps import find_unknown_words, plan_next_steps
from partnerseg.journey.stages import Journey
from partnerseg.params import load_params, read_yaml
from partnerseg.programme.simulate import simulate_programme

PARAMS = Path(__file__).parents[2] / "params"
AS_OF = "2026-06-30"
STAGES, EXITS = ["recruited", "onboarded", "activated"], ["dormant", "left"]
START = pd.Timestamp("2026-01-01")


def make_actions(**entries):
    """Each entry overrides what matters in a plain action for `recruited`."""
    plain = {"stages": ["recruited"], "hours": 1.0, "cost": 10.0, "channels": ["email", "phone"], "default": []}
    return {name: plain | entry for name, entry in entries.items()}


def make_journey(rows, as_of=AS_OF, horizon_days=90):
    stages = pd.DataFrame(rows, columns=["partner_id", "stage", "entered_at"])
    return Journey(STAGES, EXITS, horizon_days).fit({"stages": stages}, as_of)


def make_consents(*rows):
    table = pd.DataFrame(rows, columns=["partner_id", "purpose", "granted", "changed_at"])
    return table.assign(changed_at=pd.to_datetime(table["changed_at"]), granted=table["granted"].astype("boolean"))


def make_preferences(**wishes):
    rows = [{"partner_id": partner} | wish for partner, wish in wishes.items()]
    return pd.DataFrame(rows, columns=["partner_id", "language", "channels", "topics", "avoid"], dtype=object)


def name_partners(n):
    return pd.Index([f"w{number}" for number in range(n)], name="partner_id")


def make_waiting(n):
    """n partners who have been in the first stage for 180 days."""
    return make_journey([(name, "recruited", START) for name in name_partners(n)])


def frame_features(n, **columns):
    return pd.DataFrame({"language": "en", "monetary_value_365d": 0.0} | columns, index=name_partners(n))


HELPS, HARMS = (0.2, 0.1, 0.3), (-0.2, -0.3, -0.1)


def make_effects(segment=None, **told):
    """Effect on the chance with its interval, and on value where it is told, by action, in the stage recruited."""
    columns = ["effect_chance", "lower_chance", "upper_chance", "effect_value", "lower_value", "upper_value"]
    rows = [(name, "recruited", 50, 0.6, 0.4, *(told[name] + (np.nan,) * 3)[:6]) for name in told]
    table = pd.DataFrame(rows, columns=["action", "stage", "n", "chance_with", "chance_without", *columns])
    return table if segment is None else table.assign(segment=segment)


def plan_for(journey, actions, hours=1000.0, budget=100_000.0, owner_hours=None, **given):
    partners = pd.Index(sorted(set(journey.current_["partner_id"])), name="partner_id")
    inputs = {
        "features": pd.DataFrame({"language": "en", "monetary_value_365d": 0.0}, index=partners),
        "segments": pd.DataFrame({"segment": 1}, index=partners),
        "rating": pd.DataFrame({"score": 50.0}, index=partners),
        "effects": make_effects(),
        "consents": make_consents(),
        "preferences": make_preferences(),
        "value": pd.Series(1_000.0, index=partners),
        "as_of": journey.as_of_,
    } | given
    capacity = {"manager_hours": hours, "budget": budget, "due_days": 30}
    if owner_hours is not None:
        capacity["owner_hours"] = owner_hours
    first = [inputs.pop(name) for name in ("features", "segments", "rating")]
    return plan_next_steps(*first, journey, actions=actions, capacity=capacity, **inputs)


# The plan


def test_gain_is_effect_times_money_of_both_kinds():
    """0.2 of the 1,000 that the next stage is worth, and 10% of the 300 that a partner sells in 90 of 365 days."""
    features = frame_features(1, monetary_value_365d=300 * 365 / 90)
    effects = make_effects(call=(0.2, 0.1, 0.3, 0.1, 0.05, 0.15))
    step = plan_for(make_waiting(1), make_actions(call={}), features=features, effects=effects).iloc[0]
    assert step["expected_gain"] == pytest.approx(0.2 * 1000 + 0.1 * 300)
    assert step["gain_lower"] == pytest.approx(0.1 * 1000 + 0.05 * 300)
    assert step["gain_upper"] == pytest.approx(0.3 * 1000 + 0.15 * 300)
    assert step["reason"] == (
        "In stage recruited for 180 days. Of 50 like cases with this step, 60% moved on within 90 days, 40% without "
        "it. It raised revenue of the next 90 days by 10% (5% to 15%)."
    )


def test_an_effect_whose_interval_holds_zero_counts_as_nothing():
    effects = make_effects(call=(0.2, 0.1, 0.3, 0.1, -0.01, 0.2))
    step = plan_for(make_waiting(1), make_actions(call={}), effects=effects).iloc[0]
    assert step["expected_gain"] == pytest.approx(200) and "revenue" not in step["reason"]
    for unclear in ((0.2, -0.1, 0.5, 0.1, -0.01, 0.2), (0.2, 0.0, 0.4, 0.1, 0.0, 0.2)):
        assert plan_for(make_waiting(1), make_actions(call={}), effects=make_effects(call=unclear)).empty


@pytest.mark.parametrize(
    ("chance", "value", "planned"),
    [
        ((-0.2, -0.3, -0.1), (0.0, -0.1, 0.1), False),
        ((0.0, -0.1, 0.1), (-0.2, -0.3, -0.1), False),
        ((0.01, 0.005, 0.02), (-0.2, -0.3, -0.1), False),
        ((0.2, 0.1, 0.3), (-0.1, -0.15, -0.05), False),  # however much is gained
        ((0.2, 0.1, 0.3), (-0.1, -0.15, 0.05), True),
        ((0.2, 0.1, 0.3), (-0.1, -0.2, 0.0), True),  # an interval that ends at zero is not clear
    ],
)
def test_what_clearly_harms_in_one_outcome_is_never_planned(chance, value, planned):
    features = frame_features(1, monetary_value_365d=300 * 365 / 90)
    actions = make_actions(call={"default": ["recruited"]})
    plan = plan_for(make_waiting(1), actions, features=features, effects=make_effects(call=chance + value))
    assert len(plan) == planned


@pytest.mark.parametrize(
    ("whole", "own", "gain"),
    [
        (HELPS, HARMS, None),
        (HARMS, HELPS, 200),
        (HARMS, (0.1, -0.1, 0.3), None),  # of the segment nothing clear is told
        (HELPS, (0.1, -0.1, 0.3), 200),
        ((0.4, 0.3, 0.5), HELPS, 200),
        (HARMS, None, None),
        (None, HARMS, None),
    ],
)
def test_the_segment_counts_where_it_tells_something_clear_else_the_whole(whole, own, gain):
    told = [make_effects(segment=np.nan, call=whole)] if whole else []
    told += [make_effects(segment=1, call=own)] if own else []
    actions = make_actions(call={"default": ["recruited"]})
    plan = plan_for(make_waiting(1), actions, effects=pd.concat(told))
    assert plan["expected_gain"].tolist() == ([] if gain is None else [pytest.approx(gain)])


@pytest.mark.parametrize(
    ("taken", "planned"),
    [
        ("2025-12-31", {"good", "standard"}),  # before the stage
        ("2026-01-01", {"good"}),
        ("2026-04-01", {"good"}),
        ("2026-04-02", set()),
        ("2026-06-30 23:00", set()),
        ("2026-07-01", {"good", "standard"}),  # not yet taken
    ],
)
def test_what_was_done_in_the_stage_is_planned_again_only_where_it_helps_and_after_the_horizon(taken, planned):
    log = pd.DataFrame({"partner_id": "w0", "action": ["good", "standard"], "taken_at": pd.Timestamp(taken)})
    actions = make_actions(good={}, standard={"default": ["recruited"]})
    given = {"effects": make_effects(good=HELPS)}
    plan = plan_for(make_waiting(1), actions, log=log, **given)
    assert {*plan["action"], *plan["alternative"].dropna()} == planned
    nobody = plan_for(make_waiting(1), actions, log=log, consents=make_consents(("w0", "navigation", False, START)))
    assert nobody.empty and plan_for(make_waiting(1), actions, log=log.head(0), **given)["action"].tolist() == ["good"]
    late = log.assign(arrived_at=pd.Timestamp("2026-07-01"))
    pd.testing.assert_frame_equal(
        plan_for(make_waiting(1), actions, log=late, **given), plan_for(make_waiting(1), actions, **given)
    )


@pytest.mark.parametrize(
    "avoid",
    [
        "call",
        "CALL",
        "phone;EMAIL",
        "phone,EMAIL",
        " Phone , ; email,",
        "email;sms,phone",
        "phone\nemail",
        "phone\r\nEMAIL",
    ],
)
@pytest.mark.filterwarnings("ignore:preferences.avoid")
def test_names_in_capitals_are_avoided_too(avoid):
    actions = make_actions(Call={"channels": ["Phone", "Email"], "default": ["recruited"]})
    preferences = make_preferences(w0={"avoid": avoid}, w1={"channels": "eMail"})
    plan = plan_for(make_waiting(2), actions, preferences=preferences)
    assert plan[["partner_id", "channel"]].to_numpy().tolist() == [["w1", "Email"]]


@pytest.mark.filterwarnings("error::UserWarning")
def test_words_that_keep_nothing_away_are_told_and_the_others_bind():
    """Known are actions of other stages, channels of any, topics, and the channels that contacts are counted on."""
    actions = make_actions(
        call={"channels": ["phone"], "default": ["recruited"], "topics": ["pricing"]},
        visit={"stages": ["onboarded"], "channels": ["event"]},
    )
    known = make_preferences(w0={"avoid": "visit;EVENT,pricing"}, w1={"avoid": "portal"}, w2={"avoid": None})
    assert find_unknown_words(known, actions).empty
    assert plan_for(make_waiting(3), actions, preferences=known)["partner_id"].tolist() == ["w1", "w2"]
    unknown = make_preferences(w0={"avoid": "phones, mornings"}, w1={"avoid": "mornings;phone;  "})
    words = find_unknown_words(unknown, actions)
    assert words.drop(columns="nearest").to_numpy().tolist() == [
        ["w0", "phones"],
        ["w0", "mornings"],
        ["w1", "mornings"],
    ]
    assert words["nearest"].fillna("").tolist() == ["phone", "", ""]
    told = r"'phones' of partner w0, 'mornings' of partner w0, 'mornings' of partner w1 keeps no step away, must be an"
    with pytest.warns(UserWarning, match=told):
        plan = plan_for(make_waiting(3), actions, preferences=unknown)
    assert plan["partner_id"].tolist() == ["w0", "w2"]
    many = make_preferences(**{f"w{number}": {"avoid": "mornings"} for number in range(8)})
    with pytest.warns(UserWarning, match=r"'mornings' of partner w4 and 3 more keeps no step away"):
        plan_for(make_waiting(3), actions, preferences=many)


def test_a_topic_that_is_avoided_is_not_spoken_of():
    wishes = make_preferences(
        w0={"topics": "pricing;events", "avoid": "Pricing"},
        w1={"topics": "events", "avoid": "pricing,events"},
        w2={"topics": "product", "avoid": "product"},
    )
    actions = make_actions(
        talk={"default": ["recruited"], "topics": ["pricing", "events"]},
        call={"default": ["recruited"], "hours": 2.0},
        show={"stages": ["onboarded"], "topics": ["product"]},
    )
    plan = plan_for(make_waiting(3), actions, preferences=wishes).set_index("partner_id")
    assert plan["action"].to_dict() == {"w0": "talk", "w1": "call", "w2": "talk"}
    assert plan.loc["w0", "topic"] == "events" and plan.loc["w2", "topic"] != "product"
    assert pd.isna(plan.loc["w1", "alternative"])


def test_preferences_of_several_sources_may_share_their_row_numbers():
    wishes = pd.concat([make_preferences(w0={"avoid": "phone"}), make_preferences(w1={"avoid": "email"})])
    plan = plan_for(make_waiting(2), make_actions(step={"default": ["recruited"]}), preferences=wishes)
    assert plan.set_index("partner_id")["channel"].to_dict() == {"w0": "email", "w1": "phone"}


def test_an_action_without_channels_or_for_a_stage_nearly_of_this_journey_is_refused():
    with pytest.raises(ValueError, match=r"call\.channels == \[\], must name at least one way.*edit actions\.yaml"):
        plan_for(make_waiting(1), make_actions(call={"channels": []}))
    with pytest.raises(
        ValueError, match=r"call\.stages: 'recruted' must be one of recruited, .*did you mean 'recruited'"
    ):
        plan_for(make_waiting(1), make_actions(call={"stages": ["recruted"]}))
    with pytest.raises(ValueError, match=r"call\.stages: 'won' must be one of recruited, [^?]*edit actions\.yaml"):
        plan_for(make_waiting(1), make_actions(call={"stages": ["recruited", "won"]}))
    assert plan_for(make_waiting(1), make_actions(call={"stages": ["won"], "default": ["won"]})).empty


def test_a_complaint_known_only_later_changes_nothing():
    """It was opened in time and arrived after the day of the plan, or was opened after it; two are resolved."""
    opened = pd.to_datetime(["2026-06-01 00:00", "2026-07-01 00:00", "2026-06-30 23:00", "2026-06-01 00:00"])
    resolved = pd.to_datetime([None, None, "2026-07-01 00:00", "2026-06-30 23:59"])
    tickets = pd.DataFrame({"partner_id": [f"w{number}" for number in range(4)], "opened_at": opened})
    tickets = tickets.assign(kind="complaint", resolved_at=resolved)
    late = pd.to_datetime(["2026-07-01 00:00", None, "2026-06-30 23:30", None])
    actions = make_actions(mail={"channels": ["email"]}, call={"channels": ["phone"], "default": ["recruited"]})
    given = {"effects": make_effects(mail=HELPS), "tickets": tickets.assign(arrived_at=late)}
    given["features"] = frame_features(4, partner_nps_365d=[0.0, np.nan, 0.0, 0.0])  # as many good marks as bad ones
    plan = plan_for(make_waiting(4), actions, **given).set_index("partner_id")
    assert plan["action"].to_dict() == {"w0": "mail", "w1": "mail", "w2": "call", "w3": "mail"}
    known = plan_for(make_waiting(4), actions, **given | {"tickets": tickets}).set_index("partner_id")
    assert known["action"].to_dict() == {"w0": "call", "w1": "mail", "w2": "call", "w3": "mail"}


def test_an_action_may_be_called_as_a_channel():
    actions = make_actions(webinar={"channels": ["webinar", "email"], "default": ["recruited"]})
    plan = plan_for(make_waiting(2), actions, preferences=make_preferences(w0={"avoid": "webinar"}))
    assert plan["partner_id"].tolist() == ["w1"]


def test_harm_in_unknown_money_is_never_planned():
    features = frame_features(1).drop(columns="monetary_value_365d")
    effects = make_effects(call=(0.2, 0.1, 0.3, -0.1, -0.15, -0.05))
    assert plan_for(make_waiting(1), make_actions(call={}), features=features, effects=effects).empty


def test_a_gain_surely_below_its_cost_is_not_worth_taking():
    """At most 300 are gained."""
    for cost, planned in ((299.0, 1), (300.0, 1), (301.0, 0)):
        plan = plan_for(make_waiting(1), make_actions(call={"cost": cost}), effects=make_effects(call=HELPS))
        assert len(plan) == planned


def test_effects_are_those_of_the_partners_segment():
    effects = pd.concat([make_effects(call=HELPS, segment=1), make_effects(call=HARMS, segment=2)])
    segments = pd.DataFrame({"segment": [1.0, 2.0, np.nan]}, index=name_partners(3))
    plan = plan_for(make_waiting(3), make_actions(call={}), effects=effects, segments=segments)
    assert plan["partner_id"].tolist() == ["w0"]


def test_without_effects_those_of_the_journeys_own_decisions_count():
    journey = make_waiting(3)
    rows = [(f"p{i}", "call" if i < 40 else "none", float(i % 40 < (30 if i < 40 else 10))) for i in range(80)]
    decisions = pd.DataFrame(rows, columns=["partner_id", "action", "moved"])
    journey.decisions_ = decisions.assign(stage="recruited", decided_at=START, days_in_stage=9.0)
    plan = plan_for(journey, make_actions(call={}), effects=None)
    np.testing.assert_allclose(plan["expected_gain"], 500.0, rtol=0.05)


def test_unseen_actions_are_planned_only_as_a_declared_default_and_their_gain_is_not_known():
    assert plan_for(make_waiting(1), make_actions(step={})).empty
    plan = plan_for(make_waiting(1), make_actions(step={"default": ["recruited"]})).iloc[0]
    assert (
        plan["action"] == "step" and np.isnan(plan[["expected_gain", "gain_lower", "refusal_cost"]].astype(float)).all()
    )
    assert "not known yet" in plan["reason"]


def test_a_gain_in_unknown_money_is_missing_not_zero():
    plan = plan_for(
        make_waiting(3), make_actions(good={}), effects=make_effects(good=HELPS), value=pd.Series({"x": 1.0})
    )
    assert set(plan["action"]) == {"good"} and plan["expected_gain"].isna().all() and len(plan) == 3


def test_what_is_worth_nothing_is_no_step():
    value = pd.Series({"w0": 0.0, "w1": 10_000.0})
    plan = plan_for(make_waiting(2), make_actions(good={}), effects=make_effects(good=HELPS), value=value)
    assert plan["partner_id"].tolist() == ["w1"]


def test_capacity_goes_where_the_gain_is():
    effects = make_effects(good=HELPS)
    value = pd.Series({f"w{number}": 1000.0 + number for number in range(10)})
    given = {"effects": effects, "value": value}
    plan = plan_for(make_waiting(10), make_actions(good={"hours": 2.0}), hours=7.0, **given)
    assert plan["partner_id"].tolist() == ["w9", "w8", "w7"]
    plan = plan_for(make_waiting(10), make_actions(good={"cost": 30.0}), budget=59.0, **given)
    assert plan["partner_id"].tolist() == ["w9"]
    plan = plan_for(make_waiting(10), make_actions(good={"seats": 2}), **given)
    assert plan["partner_id"].tolist() == ["w9", "w8"]
    plan = plan_for(make_waiting(10), make_actions(good={"owner": "trainer"}), owner_hours={"trainer": 4.0}, **given)
    assert plan["partner_id"].tolist() == ["w9", "w8", "w7", "w6"] and set(plan["owner"]) == {"trainer"}


def test_the_plan_is_better_than_taking_the_largest_gain_first():
    """One step of 10 hours for 500 a year against two of 5 hours for 400 each, with 10 hours."""
    effects = make_effects(small=(0.4, 0.3, 0.5), big=(0.5, 0.4, 0.6))
    actions = make_actions(small={"hours": 5.0}, big={"hours": 10.0})
    plan = plan_for(make_waiting(2), actions, effects=effects, hours=10.0)
    assert plan["action"].tolist() == ["small", "small"]


def test_known_gains_come_before_unknown_ones():
    actions = make_actions(good={"hours": 10.0}, standard={"hours": 1.0, "default": ["recruited"]})
    value = pd.Series({"w0": 100.0, "w1": 0.0, "w2": 0.0})
    plan = plan_for(make_waiting(3), actions, effects=make_effects(good=HELPS), value=value, hours=12.0)
    assert plan["action"].tolist() == ["good", "standard", "standard"]
    first = plan.iloc[0]
    assert (first["partner_id"], first["alternative"], first["refusal_cost"]) == ("w0", "standard", pytest.approx(20.0))


def test_the_alternative_is_the_next_best_step_that_fits_in_place_of_the_first():
    effects = make_effects(good=(0.4, 0.3, 0.5), fair=(0.3, 0.2, 0.4), long=(0.35, 0.3, 0.4))
    actions = make_actions(good={}, fair={}, long={"hours": 5.0})
    plan = plan_for(make_waiting(1), actions, effects=effects).iloc[0]
    assert (plan["action"], plan["alternative"], plan["refusal_cost"]) == ("good", "long", pytest.approx(50.0))
    plan = plan_for(make_waiting(1), actions, effects=effects, hours=2.0).iloc[0]
    assert (plan["action"], plan["alternative"], plan["refusal_cost"]) == ("good", "fair", pytest.approx(100.0))
    plan = plan_for(make_waiting(1), make_actions(good={}), effects=effects).iloc[0]
    assert pd.isna(plan["alternative"]) and plan["refusal_cost"] == pytest.approx(400.0)


@pytest.mark.parametrize(
    ("said", "planned"),
    [
        ([], True),
        ([("w0", "navigation", True, "2026-01-01")], True),
        ([("w0", "navigation", True, "2026-01-01"), ("w0", "navigation", False, "2026-02-01")], False),
        ([("w0", "navigation", False, "2026-01-01"), ("w0", "navigation", True, "2026-02-01")], True),
        ([("w0", "navigation", False, "2026-07-01")], True),
        ([("w0", "marketing", False, "2026-01-01")], False),
        ([("w0", "analytics", False, "2026-01-01")], False),
        ([("w1", "navigation", False, "2026-01-01")], True),
    ],
)
def test_who_paused_or_withdrew_is_left_alone(said, planned):
    plan = plan_for(make_waiting(1), make_actions(step={"default": ["recruited"]}), consents=make_consents(*said))
    assert len(plan) == planned


def test_wishes_are_respected():
    wishes = make_preferences(
        w0={"channels": "portal; Phone", "topics": "pricing;events", "language": "uk"},
        w1={"avoid": "email"},
        w2={"avoid": "first"},
        w3={"avoid": "email; Phone"},
    )
    actions = make_actions(first={"default": ["recruited"]}, second={"hours": 2.0, "default": ["recruited"]})
    plan = plan_for(make_waiting(5), actions, preferences=wishes).set_index("partner_id")
    assert plan["channel"].to_dict() == {"w0": "phone", "w1": "phone", "w2": "email", "w4": "email"}
    assert plan["action"].to_dict() == {"w0": "first", "w1": "first", "w2": "second", "w4": "first"}
    assert plan["language"].to_dict() == {"w0": "uk", "w1": "en", "w2": "en", "w4": "en"}
    assert plan.loc["w0", "topic"] == "pricing" and plan["topic"].isna().sum() == 3
    assert plan.loc["w4", "alternative"] == "second" and pd.isna(plan.loc["w2", "alternative"])
    assert plan["spoke"].to_dict() == {
        "w0": "behavior, preferences",
        "w1": "demographic, behavior, preferences",
        "w2": "demographic, behavior, preferences",
        "w4": "demographic, behavior",
    }
    assert plan.loc["w0", "reason"].endswith("Wishes to be reached by phone.")


def test_the_topic_is_one_that_the_step_can_be_about():
    wishes = make_preferences(w0={"topics": "pricing; Events"}, w1={"topics": "pricing"})
    actions = make_actions(step={"default": ["recruited"], "topics": ["events", "product"]})
    plan = plan_for(make_waiting(2), actions, preferences=wishes).set_index("partner_id")
    assert plan.loc["w0", "topic"] == "events" and pd.isna(plan.loc["w1", "topic"])


def test_without_a_wish_the_channel_is_where_the_partner_answers_most():
    features = frame_features(3, email_touches_365d=[40.0, 40.0, np.nan], phone_touches_365d=[5.0, 5.0, np.nan])
    features["open_rate_365d"] = [0.5, 0.0, np.nan]
    actions = make_actions(step={"default": ["recruited"], "channels": ["portal", "email", "phone"]})
    plan = plan_for(make_waiting(3), actions, features=features).set_index("partner_id")
    assert plan["channel"].to_dict() == {"w0": "email", "w1": "phone", "w2": "portal"}
    assert ["engagement" in spoke for spoke in plan["spoke"]] == [True, True, False]
    assert plan.loc["w1", "reason"].endswith("Answers most by phone.")


def test_an_unhappy_partner_gets_a_call_first():
    """Though the campaign is known to help; who cannot be called gets what the others get."""
    effects = make_effects(campaign=HELPS)
    actions = make_actions(campaign={"channels": ["email"]}, call={"default": ["recruited"]})
    features = frame_features(4, partner_nps_365d=[-100.0, 100.0, np.nan, -50.0])
    tickets = pd.DataFrame(
        [("w2", "complaint", "2026-06-01", None), ("w1", "complaint", "2026-06-01", "2026-06-02"),
         ("w1", "support", "2026-06-01", None), ("w1", "complaint", "2026-07-01", None)],
        columns=["partner_id", "kind", "opened_at", "resolved_at"],
    )  # fmt: skip
    tickets = tickets.assign(**{name: pd.to_datetime(tickets[name]) for name in ("opened_at", "resolved_at")})
    given = {"features": features, "tickets": tickets, "preferences": make_preferences(w3={"avoid": "phone"})}
    plan = plan_for(make_waiting(4), actions, effects=effects, **given).set_index("partner_id")
    assert plan["action"].to_dict() == {"w0": "call", "w1": "campaign", "w2": "call", "w3": "campaign"}
    assert plan.loc[["w0", "w2"], "channel"].tolist() == ["phone", "phone"]
    assert plan.loc["w0", "reason"].startswith("Unhappy with us at last asking: call first. ")
    assert plan.loc["w2", "reason"].startswith("A complaint is open: call first. ")
    assert ["feedback" in plan.loc[name, "spoke"] for name in ("w0", "w1", "w2", "w3")] == [True, False, True, False]
    assert plan.loc["w2", "due_at"] == pd.Timestamp("2026-07-07") < plan.loc["w0", "due_at"]


def test_of_steps_of_unknown_gain_the_one_for_the_weakest_factor_comes_first():
    rating = pd.DataFrame({"weakest_factor": ["teamwork", "training", None]}, index=name_partners(3))
    actions = make_actions(call={"default": ["recruited"]}, course={"default": ["recruited"], "factors": ["training"]})
    plan = plan_for(make_waiting(3), actions, rating=rating).set_index("partner_id")
    assert plan["action"].to_dict() == {"w0": "call", "w1": "course", "w2": "call"}
    assert "performance" in plan.loc["w1", "spoke"] and "performance" not in plan.loc["w0", "spoke"]
    assert "It works on the weakest point, training." in plan.loc["w1", "reason"]


def test_a_much_better_partner_comes_before_the_one_whose_weakest_factor_a_step_works_on():
    """Capacity for one: 1 + 1 of the best of four against 1 + .25 + .5 of the least, or 1 + .75 + .5 of the next."""
    value = pd.Series([40.0, 30.0, 20.0, 10.0], index=name_partners(4))
    actions = make_actions(course={"default": ["recruited"], "factors": ["training"]})
    for weak, first in (("w3", "w0"), ("w1", "w1")):
        rating = pd.DataFrame({"weakest_factor": "teamwork"}, index=name_partners(4))
        rating.loc[weak, "weakest_factor"] = "training"
        plan = plan_for(make_waiting(4), actions, rating=rating, value=value, hours=1.0)
        assert plan["partner_id"].tolist() == [first]


def test_who_waits_longer_than_most_is_due_sooner():
    """Half leave within 20 days."""
    rows = [(f"d{number}", "recruited", START) for number in range(9)]
    rows += [(f"d{number}", "onboarded", START + pd.Timedelta(days=20)) for number in range(9)]
    for name, days in {"w10": 10, "w40": 40, "w180": 180}.items():
        rows.append((name, "recruited", pd.Timestamp(AS_OF) - pd.Timedelta(days=days)))
    plan = plan_for(make_journey(rows), make_actions(step={"default": ["recruited"]})).set_index("partner_id")
    due = (plan["due_at"] - pd.Timestamp(AS_OF)).dt.days
    assert due.to_dict() == {"w10": 30, "w40": 15, "w180": 7}
    assert "In stage recruited for 40 days; half leave within 20." in plan.loc["w40", "reason"]


def test_who_has_no_features_is_left_out_and_what_is_unknown_is_missing():
    features = pd.DataFrame({"monetary_value_365d": [1.0]}, index=name_partners(1))
    empty = pd.DataFrame({"segment": [], "score": []}, index=pd.Index([], name="partner_id", dtype=object))
    plan = plan_for(
        make_waiting(2), make_actions(step={"default": ["recruited"]}), features=features, segments=empty, rating=empty
    )
    assert plan["partner_id"].tolist() == ["w0"] and plan["due_at"].iloc[0] == pd.Timestamp("2026-07-30")
    assert plan[["segment", "language", "topic", "owner", "alternative"]].isna().all(axis=None)
    assert plan["spoke"].tolist() == ["behavior"]


def test_deals_are_not_planned_for():
    stages = pd.DataFrame({"partner_id": ["w0"], "stage": ["recruited"], "entered_at": [START], "deal_id": ["d1"]})
    journey = Journey(STAGES, EXITS).fit({"stages": stages}, AS_OF)
    assert plan_for(journey, make_actions(step={"default": ["recruited"]})).empty


def test_who_left_gets_only_steps_for_those_who_left():
    journey = make_journey([("w0", "left", START), ("w1", "recruited", START)])
    actions = make_actions(step={"default": ["recruited"]}, back={"stages": ["left"]})
    assert plan_for(journey, actions)["partner_id"].tolist() == ["w1"]


def test_without_a_value_the_next_stage_is_worth_what_its_partners_bring_more():
    rows = [(f"w{number}", "recruited", START) for number in range(4)]
    rows += [(f"z{number}", "onboarded", START) for number in range(4)]
    journey = make_journey(rows)
    revenue = np.where(journey.current_["stage"] == "onboarded", 700.0, 200.0)
    features = pd.DataFrame(
        {"monetary_value_365d": revenue}, index=pd.Index(journey.current_["partner_id"], name="partner_id")
    )
    given = {"effects": make_effects(good=HELPS), "features": features, "value": None}
    plan = plan_for(journey, make_actions(good={}), **given)
    np.testing.assert_allclose(plan["expected_gain"], 500 * 0.2)


def test_who_comes_back_from_an_exit_is_worth_what_a_partner_in_any_stage_is():
    """Medians: 300 in any stage, 50 of the dormant; the one who left for good counts in neither."""
    rows = [(f"w{number}", stage, START) for number, stage in enumerate(["recruited", "onboarded", "activated"])]
    journey = make_journey([*rows, ("w3", "dormant", START), ("w4", "left", START)])
    features = frame_features(5, monetary_value_365d=[200.0, 300.0, 1000.0, 50.0, 9000.0])
    effects = make_effects(back=HELPS).assign(stage="dormant")
    plan = plan_for(journey, make_actions(back={"stages": ["dormant"]}), features=features, effects=effects, value=None)
    assert plan["partner_id"].tolist() == ["w3"] and plan["expected_gain"].iloc[0] == pytest.approx(250 * 0.2)


def test_an_empty_journey_gives_an_empty_plan_with_its_columns():
    journey = Journey(STAGES, EXITS).fit({}, AS_OF)
    for actions in (make_actions(step={"default": ["recruited"]}), {}):
        plan = plan_for(journey, actions)
        assert plan.empty and list(plan.columns) == [
            "partner_id", "stage", "segment", "action", "reason", "spoke", "expected_gain", "gain_lower", "gain_upper",
            "channel", "language", "topic", "owner", "hours", "cost", "due_at", "alternative", "refusal_cost",
        ]  # fmt: skip


def test_the_order_of_rows_does_not_matter():
    effects = make_effects(good=HELPS, fair=(0.15, 0.1, 0.2))
    features = frame_features(20, monetary_value_365d=np.arange(20.0))
    actions = make_actions(good={"hours": 3.0}, fair={}, standard={"default": ["recruited"]})
    plans = []
    for step in (1, -1):
        journey = make_journey([(f"w{number}", "recruited", START) for number in range(20)][::step])
        given = {"features": features.iloc[::step], "effects": effects.iloc[::step]}
        plans.append(plan_for(journey, actions, hours=13.0, **given))
    pd.testing.assert_frame_equal(*plans)


def test_the_date_must_be_the_journeys():
    with pytest.raises(ValueError, match=r"as_of == '2026-05-31', must be the journey's, '2026-06-30'"):
        plan_for(make_waiting(1), make_actions(), as_of="2026-05-31")


def test_a_stage_that_is_not_declared_is_refused():
    with pytest.raises(ValueError, match=r"step\.stages: 'elsewhere' must be one of recruited, .*actions\.yaml"):
        plan_for(make_waiting(1), make_actions(step={"stages": ["recruited", "elsewhere"]}))


def test_hours_of_a_role_that_has_no_action_are_refused():
    with pytest.raises(
        ValueError, match=r"plan\.owner_hours: 'manger' must be the owner of an action, one of manager;"
    ):
        plan_for(make_waiting(1), make_actions(step={"owner": "manager"}), owner_hours={"manger": 4.0})


def test_actions_of_another_journey_are_left_out():
    assert plan_for(make_waiting(1), make_actions(step={"stages": ["elsewhere"], "default": ["elsewhere"]})).empty


names = st.sampled_from([f"w{number}" for number in range(10)])
WAITING_TEN = make_waiting(10)


@given(
    hours=st.floats(0, 12),
    budget=st.floats(0, 200),
    trainer=st.floats(0, 5),
    seats=st.integers(0, 4),
    paused=st.sets(names),
    withdrawn=st.sets(names),
    unhappy=st.sets(names),
    shunned=st.dictionaries(
        names, st.lists(st.sampled_from(["email", "phone", "good", "standard", "harm"]), max_size=3)
    ),
    value=st.dictionaries(names, st.floats(0, 1e6) | st.none()),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_capacity_consent_and_wishes_are_never_violated(
    hours, budget, trainer, seats, paused, withdrawn, unhappy, shunned, value
):
    features = frame_features(10)
    features["partner_nps_365d"] = np.where(features.index.isin(list(unhappy)), -100.0, np.nan)
    plan = plan_for(
        WAITING_TEN,
        make_actions(
            good={"hours": 1.3, "cost": 17.7, "channels": ["email"], "seats": seats},
            standard={"hours": 0.7, "default": ["recruited"], "owner": "trainer"},
            harm={"hours": 0.1, "cost": 0.0, "default": ["recruited"]},
        ),
        hours=hours,
        budget=budget,
        owner_hours={"trainer": trainer},
        features=features,
        effects=make_effects(good=HELPS, harm=HARMS),
        consents=make_consents(
            *((partner, "navigation", False, "2026-01-01") for partner in paused),
            *((partner, "marketing", False, "2026-01-01") for partner in withdrawn),
        ),
        preferences=make_preferences(**{partner: {"avoid": ";".join(words)} for partner, words in shunned.items()}),
        value=pd.Series(value, dtype=float),
    )
    assert plan["hours"].sum() <= hours * (1 + 1e-9) and plan["cost"].sum() <= budget * (1 + 1e-9)
    assert plan.loc[plan["owner"] == "trainer", "hours"].sum() <= trainer * (1 + 1e-9)
    assert (plan["action"] == "good").sum() <= (seats or 10)
    assert plan["partner_id"].is_unique and not set(plan["partner_id"]) & (paused | withdrawn)
    for step in plan.itertuples():
        avoided = set(shunned.get(step.partner_id, []))
        assert not {step.action, step.channel} & avoided and step.action != "harm"
        assert pd.isna(step.alternative) or (step.alternative not in avoided | {"harm", step.action})
        if step.partner_id in unhappy and not {"phone", "standard"} & avoided:
            assert step.channel == "phone"
    assert not (plan["expected_gain"] <= 0).any() and not (plan["refusal_cost"] < -1e-6).any()


def test_the_plan_beats_greedy_choice_in_every_programme():
    """50 programmes of 60 partners where longer steps bring more: above largest gain first whenever limits bind."""
    for seed in range(50):
        random = np.random.default_rng(seed)
        effect = np.sort(random.uniform(0.02, 0.4, 4))
        effects = make_effects(**{f"a{place}": (e, e / 2, 2 * e) for place, e in enumerate(effect)})
        uses = {
            f"a{place}": (hours, random.choice([1.0, 40.0, 90.0])) for place, hours in enumerate([0.5, 1.0, 2.5, 6.0])
        }
        actions = make_actions(**{name: {"hours": hours, "cost": cost} for name, (hours, cost) in uses.items()})
        value = pd.Series(random.lognormal(8, 1, 60), index=name_partners(60))
        room = (0.3, 0.5, 0.7)[seed % 3]
        limits = {"hours": float(60 * room * 2), "budget": float(60 * room * 60)}
        plan = plan_for(make_waiting(60), actions, effects=effects, value=value, **limits)
        everything = pd.DataFrame(
            [(partner, name, value[partner] * effect[int(name[1])]) for partner in value.index for name in uses],
            columns=["partner_id", "action", "gain"],
        )
        everything = everything[
            2 * everything["gain"] >= everything["action"].map({name: cost for name, (_, cost) in uses.items()})
        ]
        hours, budget, done, greedy = limits["hours"], limits["budget"], set(), 0.0
        for step in everything.sort_values("gain", ascending=False).itertuples():
            own_hours, own_cost = uses[step.action]
            if step.partner_id not in done and own_hours <= hours and own_cost <= budget:
                hours, budget, greedy = hours - own_hours, budget - own_cost, greedy + step.gain
                done.add(step.partner_id)
        most = everything.groupby("partner_id")["gain"].max().sum()
        assert greedy < most  # limits bind
        assert plan["expected_gain"].sum() > greedy


# The sample programme and its actions


def test_the_sample_is_planned_within_its_limits():
    params, sample = load_params(PARAMS), simulate_programme(400, random_state=1)
    tables = sample.tables
    journey = Journey(params.journey.stages, params.journey.exits).fit(tables, sample.truth.as_of)
    features = tables["partners"].set_index("partner_id").assign(monetary_value_365d=1_000.0)
    plan = plan_next_steps(
        features,
        pd.DataFrame({"segment": 0}, index=features.index),
        pd.DataFrame({"score": 50.0}, index=features.index),
        journey,
        actions=params.actions,
        capacity={"manager_hours": 60.0, "budget": 5_000.0, "due_days": 30},
        tickets=tables["tickets"],
        consents=tables["consents"],
        preferences=tables["preferences"],
        as_of=sample.truth.as_of,
    )
    assert len(plan) > 20 and plan["partner_id"].is_unique
    assert plan["hours"].sum() <= 60 and plan["cost"].sum() <= 5_000
    latest = tables["consents"].sort_values("changed_at").groupby(["partner_id", "purpose"])["granted"].last()
    refused = latest[~latest.astype(bool)].index.get_level_values("partner_id")
    assert len(refused) and not plan["partner_id"].isin(refused).any()
    avoid = tables["preferences"].set_index("partner_id")["avoid"].dropna()
    for step in plan.itertuples():
        assert step.stage in params.actions[step.action].stages
        assert step.channel in params.actions[step.action].channels
        assert not {step.action, step.channel} & set(avoid.get(step.partner_id, "").split(";"))


def test_medians_of_the_sample_are_recovered():
    sample = simulate_programme(1_500, random_state=2)
    params = load_params(PARAMS)
    journey = Journey(params.journey.stages, params.journey.exits).fit(sample.tables, sample.truth.as_of)
    found = journey.time_in_stage().set_index("stage")["median_days"]
    truth = sample.truth.stage_times["median_days"]
    for stage in ("recruited", "onboarded", "activated", "growing"):
        assert found[stage] == pytest.approx(truth[stage], rel=0.12)
    assert np.isnan(found["strategic"])
    conversion = journey.conversion().set_index("stage")["conversion"]
    assert conversion["activated"] == pytest.approx(
        sample.truth.stage_times.loc["activated", "conversion_90d"], abs=0.03
    )
    money = pd.Series(1.0, index=sample.tables["partners"]["partner_id"])
    assert journey.bottlenecks(money)["stage"].iloc[0] == sample.truth.bottleneck


LANGUAGES = {"en": r"[A-Za-z]", "uk": r"[іїєґ]", "ru": r"[а-я]"}
FOREIGN = {"en": r"[А-яІіЇїЄєҐґ]", "uk": r"[ыэёъ]", "ru": r"[іїєґ]"}  # letters that the language does not have


@pytest.mark.parametrize("name", read_yaml(PARAMS / "actions.yaml"))
def test_every_action_is_complete_and_written_in_three_languages(name):
    entry, params = read_yaml(PARAMS / "actions.yaml")[name], load_params(PARAMS)
    assert {"stages", "hours", "cost", "channels", "owner", "default", "text"} <= set(entry)
    assert set(entry["stages"]) <= {*params.journey.stages, *params.journey.exits} and entry["stages"]
    assert set(entry["default"]) <= set(entry["stages"])
    assert entry["hours"] > 0 and entry["cost"] >= 0 and entry["owner"]
    assert entry["channels"] and set(entry["channels"]) <= {"email", "phone", "webinar", "event", "portal", "social"}
    assert list(entry["text"]) == list(LANGUAGES)
    for language, letters in LANGUAGES.items():
        text = entry["text"][language]
        assert list(text) == ["title", "instructions"] and 0 < len(text["title"]) <= 45
        assert re.search(letters, text["instructions"]) and text["instructions"].endswith(".")
        assert not re.search(FOREIGN[language], " ".join(text.values()))


def test_every_stage_but_left_has_a_standard_step():
    params = load_params(PARAMS)
    standard = {stage for entry in params.actions.values() for stage in entry.default}
    assert standard == {*params.journey.stages, *params.journey.exits} - {"left"}
