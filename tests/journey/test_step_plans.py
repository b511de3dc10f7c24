from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partnerseg.journey.step_plans import add_texts, plan_partners, plan_segments
from partnerseg.params import load_params

STAGES = ["recruited", "onboarded", "activated", "growing"]
ACTIONS = {
    "call": {
        "stages": ["recruited", "activated"],
        "default": ["recruited", "activated"],
        "channels": ["phone", "email"],
    },
    "workshop": {"stages": ["recruited", "onboarded"], "default": []},
    "campaign": {"stages": ["activated"], "default": []},
    "audit": {"stages": ["activated"], "default": ["activated"]},
    "visit": {"stages": ["dormant"], "default": ["dormant"]},
}
NOW = {"as_of": "2026-06-30", "horizon_days": 90}
BLANK = dict.fromkeys(
    ["effect_chance", "lower_chance", "upper_chance", "effect_value", "lower_value", "upper_value"], np.nan
)


def effect(action, stage, chance=None, value=None, segment=None):
    """Clear on either outcome where given: the interval is a tenth either way."""
    row = BLANK | {"action": action, "stage": stage, "segment": segment}
    for name, own in {"chance": chance, "value": value}.items():
        if own is not None:
            row |= {f"effect_{name}": own, f"lower_{name}": own - 0.1, f"upper_{name}": own + 0.1}
    return row


def find_steps(*effects, segments=(), segment=None, stage="activated"):
    told = pd.DataFrame(list(effects), columns=["action", "stage", "segment", *BLANK])
    plan = plan_segments(told, ACTIONS, stages=[*STAGES, "dormant"], segments=segments)
    own = plan["segment"].isna() if segment is None else plan["segment"] == segment
    return plan.loc[own & (plan["stage"] == stage), "action"].tolist()


def make_partners(**changes):
    row = {"stage": "recruited", "segment": None, "entered_at": pd.Timestamp("2026-01-01"), "avoid": None}
    return pd.DataFrame([row | changes], index=pd.Index(["p1"], name="partner_id"))


def find_plan(partners, *log, effects=(), segments=(), to="growing"):
    told = pd.DataFrame(list(effects), columns=["action", "stage", "segment", *BLANK])
    plan = plan_segments(told, ACTIONS, stages=[*STAGES, "dormant"], segments=segments)
    taken = pd.DataFrame(list(log), columns=["partner_id", "taken_at", "action"]).astype({"taken_at": "datetime64[us]"})
    found = plan_partners(plan, partners, taken, actions=ACTIONS, stages=STAGES, to=to, **NOW)
    return found[["stage", "action", "status"]].to_numpy().tolist()


def test_standard_steps_in_their_order_where_nothing_is_known():
    assert find_steps() == ["call", "audit"]
    assert find_steps(stage="recruited") == ["call"] and find_steps(stage="onboarded") == []


def test_what_clearly_helps_comes_first_and_what_harms_is_no_step():
    known = [effect("campaign", "activated", value=0.3), effect("audit", "activated", value=-0.2)]
    assert find_steps(*known) == ["campaign", "call"]
    assert find_steps(effect("campaign", "activated", value=0.05)) == ["call", "audit"]
    assert find_steps(effect("audit", "activated", chance=0.3, value=-0.2)) == ["call"]


def test_a_segment_of_which_something_is_told_has_its_own_steps():
    known = [effect("campaign", "activated", value=0.3), effect("campaign", "activated", value=-0.3, segment=1)]
    assert find_steps(*known, segments=[0, 1], segment=1) == ["call", "audit"]
    assert find_steps(*known, segments=[0, 1], segment=0) == ["campaign", "call", "audit"]


def test_the_plan_leads_from_where_a_partner_stands_to_the_target():
    assert find_plan(make_partners()) == [
        ["recruited", "call", "next"], ["activated", "call", "later"], ["activated", "audit", "later"]
    ]  # fmt: skip
    assert find_plan(make_partners(), to="activated") == [["recruited", "call", "next"]]
    assert find_plan(make_partners(stage="dormant")) == [["dormant", "visit", "next"]]


def test_the_plan_changes_with_stage_and_segment():
    known = [effect("campaign", "activated", value=0.3, segment=1)]
    options = {"effects": known, "segments": [0, 1]}
    assert find_plan(make_partners(stage="activated", segment=0), **options)[0] == ["activated", "call", "next"]
    assert find_plan(make_partners(stage="activated", segment=1), **options)[0] == ["activated", "campaign", "next"]
    assert find_plan(make_partners(stage="growing"), **options) == []


def test_a_segment_without_a_plan_of_its_own_has_the_plan_for_everybody():
    """The background, which has no name, and a segment that is gone are planned for as who is in none."""
    known = [
        effect("campaign", "activated", value=0.3),
        effect("campaign", "activated", value=-0.3, segment=-1),
        effect("workshop", "recruited", value=0.3, segment=-1),
        effect("audit", "activated", value=-0.3, segment=0),
    ]
    plans = {
        segment: find_plan(make_partners(segment=segment), effects=known, segments=[0, 1])
        for segment in (0, 1, 1.0, -1, -1.0, 7, np.nan, None)
    }
    everybody = [
        ["recruited", "call", "next"],
        *(["activated", name, "later"] for name in ("campaign", "call", "audit")),
    ]
    assert plans.pop(0) == [row for row in everybody if row[1] != "audit"]
    assert all(plan == everybody for plan in plans.values())


@pytest.mark.parametrize("to", ["dormant", "growth", ""])
def test_a_plan_to_what_is_no_stage_is_refused(to):
    with pytest.raises(ValueError) as caught:
        find_plan(make_partners(), to=to)
    for word in (f"to == {to!r}", "must be one of recruited, onboarded, activated, growing", "edit journey.target"):
        assert word in str(caught.value)


def test_a_plan_that_rested_goes_on_where_it_stopped():
    """The call of March was taken in the stage entered in January; that of last year was not."""
    march, before = pd.Timestamp("2026-03-01"), pd.Timestamp("2025-12-01")
    partners = make_partners(stage="activated")
    assert find_plan(partners, ("p1", march, "call")) == [["activated", "call", "done"], ["activated", "audit", "next"]]
    assert find_plan(partners, ("p1", before, "call")) == [
        ["activated", "call", "next"], ["activated", "audit", "later"]
    ]  # fmt: skip


def test_only_what_clearly_helps_is_taken_again_and_not_within_the_horizon():
    known = [effect("campaign", "activated", value=0.3)]
    partners = make_partners(stage="activated")
    for taken, status in (("2026-04-01", "next"), ("2026-04-02", "done"), ("2026-07-01", "next")):
        log = [("p1", pd.Timestamp(taken), action) for action in ("campaign", "audit")]
        told = {action: status for _, action, status in find_plan(partners, *log, effects=known)}
        assert told["campaign"] == status
        assert told["audit"] == ("later" if taken == "2026-07-01" else "done")


def test_what_a_partner_avoids_is_no_step():
    assert find_plan(make_partners(stage="activated", avoid="Call; audit")) == []
    assert find_plan(make_partners(stage="activated", avoid="phone;audit")) == [["activated", "call", "next"]]
    assert find_plan(make_partners(stage="activated", avoid="email; phone")) == [["activated", "audit", "next"]]
    for avoid in ("email,phone", "email\nphone", "email\r\nphone\r\n"):
        assert find_plan(make_partners(stage="activated", avoid=avoid)) == [["activated", "audit", "next"]]
    topics = {**ACTIONS["audit"], "topics": ["Technology", "compliance"]}
    about = {"call": ACTIONS["call"], "audit": topics}
    plan = plan_segments(pd.DataFrame(columns=["action", "stage", *BLANK]), about, stages=STAGES)
    log = pd.DataFrame({"partner_id": [], "taken_at": pd.to_datetime([]), "action": []})
    for avoid, left in (("technology", ["call", "audit"]), ("Compliance; technology", ["call"])):
        partners = make_partners(stage="activated", avoid=avoid)
        found = plan_partners(plan, partners, log, actions=about, stages=STAGES, to="growing", **NOW)
        assert found["action"].tolist() == left
    named = {"Call": ACTIONS["call"] | {"channels": ["Phone", "Email"]}, "audit": ACTIONS["audit"]}
    plan = plan_segments(pd.DataFrame(columns=["action", "stage", *BLANK]), named, stages=STAGES)
    for avoid in ("call", "CALL", "phone;EMAIL"):
        partners = make_partners(stage="activated", avoid=avoid)
        found = plan_partners(plan, partners, log, actions=named, stages=STAGES, to="growing", **NOW)
        assert found["action"].tolist() == ["audit"]


words = st.lists(st.sampled_from([*ACTIONS, "phone"]), max_size=4).map(";".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*STAGES, "dormant"]), st.sampled_from([0, 1, None]), words), min_size=1))
def test_every_partner_has_one_next_step_at_most_and_none_it_avoids(rows):
    index = pd.Index([f"p{number}" for number in range(len(rows))], name="partner_id")
    partners = pd.DataFrame(rows, columns=["stage", "segment", "avoid"], index=index, dtype=object)
    partners["entered_at"] = pd.Timestamp("2026-01-01")
    plan = plan_segments(pd.DataFrame([effect("workshop", "onboarded", 0.3)]), ACTIONS, stages=STAGES, segments=[0, 1])
    log = pd.DataFrame({"partner_id": ["p0"], "taken_at": [pd.Timestamp("2026-02-01")], "action": ["call"]})
    found = plan_partners(plan, partners, log, actions=ACTIONS, stages=STAGES, to="growing", **NOW)
    assert (found[found["status"] == "next"].groupby("partner_id").size() == 1).all()
    avoided = found["partner_id"].map(partners["avoid"]).str.split(";")
    assert not [action for action, words in zip(found["action"], avoided, strict=True) if action in words]
    assert found.groupby("partner_id")["step"].apply(lambda steps: list(steps) == list(range(1, len(steps) + 1))).all()


@pytest.mark.parametrize(
    ("language", "title", "written"),
    [
        ("uk", "Вітальний дзвінок", "uk"),
        ("ru", "Приветственный звонок", "ru"),
        ("zz", "Welcome call", "en"),
        (None, "Welcome call", "en"),
    ],
)
def test_texts_are_in_the_language_of_the_partner_and_say_which(language, title, written):
    actions = load_params(Path(__file__).parents[2] / "params").actions
    plan = pd.DataFrame({"partner_id": ["p1"], "action": ["welcome_call"]})
    told = add_texts(plan, dict(actions.items()), pd.Series({"p1": language}))
    assert told["title"].tolist() == [title] and told["language"].tolist() == [written]


def test_an_action_without_english_is_refused():
    actions = {"call": {"text": {"uk": {"title": "Дзвінок", "instructions": "Запитайте."}}}}
    with pytest.raises(ValueError, match=r"call: text has uk, must have en, .*; add it in actions.yaml"):
        add_texts(pd.DataFrame({"partner_id": ["p1"], "action": ["call"]}), actions, "uk")
