import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partnerseg.journey.next_steps import _solve, estimate_action_effects, plan_next_steps
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


def make_log(rows=(), **columns):
    log = pd.DataFrame(rows, columns=["partner_id", "taken_at", "action"]).astype({"taken_at": "datetime64[us]"})
    return log.assign(**columns)


def make_consents(*rows):
    table = pd.DataFrame(rows, columns=["partner_id", "purpose", "granted", "changed_at"])
    return table.assign(changed_at=pd.to_datetime(table["changed_at"]), granted=table["granted"].astype("boolean"))


def make_preferences(**wishes):
    rows = [{"partner_id": partner} | wish for partner, wish in wishes.items()]
    return pd.DataFrame(rows, columns=["partner_id", "language", "channels", "topics", "avoid"], dtype=object)


def plan_for(journey, actions, hours=100.0, budget=10_000.0, **given):
    partners = pd.Index(sorted(set(journey.current_["partner_id"])), name="partner_id")
    inputs = {
        "features": pd.DataFrame({"language": "en", "monetary_value_365d": 0.0}, index=partners),
        "segments": pd.DataFrame({"segment": 1, "segment_name": "Steady"}, index=partners),
        "rating": pd.DataFrame({"score": 50.0}, index=partners),
        "log": make_log(),
        "consents": make_consents(),
        "preferences": make_preferences(),
        "value": pd.Series(1_000.0, index=partners),
        "as_of": journey.as_of_,
    } | given
    capacity = {"manager_hours": hours, "budget": budget, "due_days": 30}
    first = [inputs.pop(name) for name in ("features", "segments", "rating")]
    return plan_next_steps(*first, journey, actions=actions, capacity=capacity, **inputs)


def make_history(helped=0.8, plain=0.4, harmed=0.1, n=100):
    """n spells each: with `good` or `bad` on day 5, with neither. A share moves on on day 20; then 10 more wait."""
    rows, log = [], []
    for action, share in {"good": helped, "bad": harmed, "": plain}.items():
        for number in range(n):
            name = f"{action or 'none'}{number:03d}"
            rows.append((name, "recruited", START))
            if number < share * n:
                rows.append((name, "onboarded", START + pd.Timedelta(days=20)))
            if action:
                log.append((name, START + pd.Timedelta(days=5), action))
    rows += [(f"w{number}", "recruited", pd.Timestamp("2026-06-20")) for number in range(10)]
    return make_journey(rows), make_log(log)


# What actions did


def test_effects_are_differences_of_chances_drawn_together():
    journey, log = make_history()
    found = estimate_action_effects(journey, log).set_index("action")
    # Without the good action 40 of 100 with none and 10 of 100 with the bad one move on; without the bad one 40 and 80.
    good, bad = found.loc["good"], found.loc["bad"]
    assert (good["n"], bad["n"]) == (100, 100)
    assert good["chance_with"] == pytest.approx(0.8) and bad["chance_with"] == pytest.approx(0.1)
    assert good["chance_without"] == pytest.approx(50 / 200) and bad["chance_without"] == pytest.approx(120 / 200)
    assert good["difference"] == pytest.approx(0.55) and bad["difference"] == pytest.approx(-0.5)
    assert 0.4 < good["effect"] < 0.55 and -0.5 < bad["effect"] < -0.4
    assert good["lower"] < good["effect"] < good["upper"]


def test_who_waits_longer_is_not_blamed_on_the_action():
    """Half move on on day 2, before anybody gets the step; afterwards it changes nothing."""
    rows, log = [], []
    for number in range(400):
        rows.append((f"p{number:03d}", "recruited", START))
        moved = 2 if number < 200 else 60 if number % 4 == 0 else None
        if moved:
            rows.append((f"p{number:03d}", "onboarded", START + pd.Timedelta(days=moved)))
        if number >= 200 and number % 8 < 4:
            log.append((f"p{number:03d}", START + pd.Timedelta(days=10), "late"))
    found = estimate_action_effects(make_journey(rows), make_log(log)).set_index("action").loc["late"]
    assert found["chance_with"] == pytest.approx(0.25)
    assert found["chance_without"] == pytest.approx(0.25)


@pytest.mark.parametrize("n", [9, 10])
def test_nothing_is_told_of_fewer_than_ten(n):
    journey, log = make_history()
    few = log[log["action"] == "good"].head(n)
    assert len(estimate_action_effects(journey, few)) == (n >= 10)


def test_actions_outside_the_spell_or_after_as_of_are_not_seen():
    journey, log = make_history()
    before = log.assign(taken_at=START - pd.Timedelta(days=1))
    assert estimate_action_effects(journey, before).empty
    late = log.assign(arrived_at=pd.Timestamp("2026-07-01"))
    assert estimate_action_effects(journey, late).empty
    after = log.assign(taken_at=pd.Timestamp("2026-07-01"))
    pd.testing.assert_frame_equal(
        estimate_action_effects(journey, pd.concat([log, after])), estimate_action_effects(journey, log)
    )


def test_actions_that_do_nothing_are_seldom_told_to_help():
    """15 programmes, five useless actions in two stages each: some 130 intervals."""
    random = np.random.default_rng(7)
    false_claims = 0
    for _ in range(15):
        rows, log = [], []
        for number in range(300):
            moved = random.exponential(100)
            rows.append((f"p{number:03d}", "recruited", START))
            if moved < 180:
                rows.append((f"p{number:03d}", "onboarded", START + pd.Timedelta(days=moved)))
            taken = random.uniform(0, 60)
            log.append((f"p{number:03d}", START + pd.Timedelta(days=taken), f"a{random.integers(5)}"))
        found = estimate_action_effects(make_journey(rows), make_log(log))
        assert len(found) >= 5
        false_claims += int((found["lower"] > 0).sum())
    assert false_claims <= 6


# The plan


def test_known_gain_is_effect_times_value_and_harm_is_never_planned():
    journey, log = make_history()
    actions = make_actions(good={}, bad={"default": ["recruited"]})
    value = pd.Series({f"w{number}": 100.0 * number for number in range(10)})
    plan = plan_for(journey, actions, log=log, value=value).set_index("partner_id")
    waiting = plan.loc[[f"w{number}" for number in range(1, 10)]]
    effect = estimate_action_effects(journey, log).set_index("action").loc["good", "effect"]
    np.testing.assert_allclose(waiting["expected_gain"], effect * value.iloc[1:])
    assert set(plan["action"]) == {"good"}
    assert "w0" not in plan.index  # worth nothing
    assert (
        "Of 100 partners who got this step there, 80% moved on within 90 days, 25% of comparable"
        in plan.loc["w9", "reason"]
    )


def test_unseen_actions_are_planned_only_as_a_declared_default_and_their_gain_is_not_known():
    journey = make_journey([("p1", "recruited", START)])
    assert plan_for(journey, make_actions(step={})).empty
    plan = plan_for(journey, make_actions(step={"default": ["recruited"]})).iloc[0]
    assert plan["action"] == "step" and np.isnan(plan["expected_gain"])
    assert "not known from logged actions" in plan["reason"]


def test_a_gain_in_unknown_money_is_missing_not_zero():
    journey, log = make_history()
    plan = plan_for(journey, make_actions(good={}), log=log, value=pd.Series({"w1": np.nan}))
    assert set(plan["action"]) == {"good"} and plan["expected_gain"].isna().all()


def test_capacity_goes_where_the_gain_is():
    journey, log = make_history()
    value = pd.Series({f"w{number}": 100.0 + number for number in range(10)})
    plan = plan_for(journey, make_actions(good={"hours": 2.0}), log=log, value=value, hours=7.0)
    assert plan["partner_id"].tolist() == ["w9", "w8", "w7"]
    plan = plan_for(journey, make_actions(good={"cost": 30.0}), log=log, value=value, budget=59.0)
    assert plan["partner_id"].tolist() == ["w9"]


def test_the_plan_is_better_than_taking_the_largest_gain_first():
    """One step of 10 hours for 100 a year against two of 5 hours for 80 each, with 10 hours."""
    journey, log = make_history()
    slow = log.assign(action=log["action"].replace("good", "big"))
    actions = make_actions(good={"hours": 5.0}, big={"hours": 10.0, "default": []})
    value = pd.Series({"w1": 80.0, "w2": 80.0})
    plan = plan_for(journey, actions, log=pd.concat([log, slow]), value=value, hours=10.0)
    known = plan.dropna(subset=["expected_gain"])
    assert set(known["partner_id"]) == {"w1", "w2"}


def test_known_gains_come_before_unknown_ones():
    journey, log = make_history()
    actions = make_actions(good={"hours": 10.0}, standard={"hours": 1.0, "default": ["recruited"]})
    plan = plan_for(journey, actions, log=log, value=pd.Series({"w1": 5.0}), hours=12.0)
    assert plan["action"].tolist() == ["good", "standard", "standard"]
    assert plan["partner_id"].iloc[0] == "w1" and plan["alternative"].iloc[0] == "standard"


@pytest.mark.parametrize(
    ("said", "planned"),
    [
        ([], True),
        ([("p1", "navigation", True, "2026-01-01")], True),
        ([("p1", "navigation", True, "2026-01-01"), ("p1", "navigation", False, "2026-02-01")], False),
        ([("p1", "navigation", False, "2026-01-01"), ("p1", "navigation", True, "2026-02-01")], True),
        ([("p1", "navigation", False, "2026-07-01")], True),
        ([("p1", "marketing", False, "2026-01-01")], False),
        ([("p1", "analytics", False, "2026-01-01")], False),
        ([("p2", "navigation", False, "2026-01-01")], True),
    ],
)
def test_who_paused_or_withdrew_is_left_alone(said, planned):
    journey = make_journey([("p1", "recruited", START)])
    plan = plan_for(journey, make_actions(step={"default": ["recruited"]}), consents=make_consents(*said))
    assert len(plan) == planned


def test_wishes_are_respected():
    journey = make_journey([(f"p{number}", "recruited", START) for number in range(1, 6)])
    wishes = make_preferences(
        p1={"channels": "portal; Phone", "topics": "pricing;events", "language": "uk"},
        p2={"avoid": "email"},
        p3={"avoid": "first"},
        p4={"avoid": "email; phone"},
    )
    actions = make_actions(first={"default": ["recruited"]}, second={"hours": 2.0, "default": ["recruited"]})
    plan = plan_for(journey, actions, preferences=wishes).set_index("partner_id")
    assert plan["channel"].to_dict() == {"p1": "phone", "p2": "phone", "p3": "email", "p5": "email"}
    assert plan["action"].to_dict() == {"p1": "first", "p2": "first", "p3": "second", "p5": "first"}
    assert plan["language"].to_dict() == {"p1": "uk", "p2": "en", "p3": "en", "p5": "en"}
    assert plan.loc["p1", "topic"] == "pricing" and plan["topic"].isna().sum() == 3
    assert plan.loc["p5", "alternative"] == "second" and pd.isna(plan.loc["p3", "alternative"])
    assert plan.loc["p1", "reason"].endswith("From: journey, segment, rating, preferences.")


def test_due_date_and_who_else_is_told():
    journey = make_journey([("p1", "recruited", START), ("p2", "recruited", START)])
    features = pd.DataFrame({"monetary_value_365d": [1.0]}, index=pd.Index(["p1"], name="partner_id"))
    empty = pd.DataFrame({"segment": [], "score": []}, index=pd.Index([], name="partner_id", dtype=object))
    plan = plan_for(
        journey, make_actions(step={"default": ["recruited"]}), features=features, segments=empty, rating=empty
    )
    assert plan["partner_id"].tolist() == ["p1"]
    assert plan["due_at"].iloc[0] == pd.Timestamp("2026-07-30")
    assert plan[["segment", "language", "topic"]].isna().all(axis=None)


def test_deals_are_not_planned_for():
    stages = pd.DataFrame({"partner_id": ["p1"], "stage": ["recruited"], "entered_at": [START], "deal_id": ["d1"]})
    journey = Journey(STAGES, EXITS).fit({"stages": stages}, AS_OF)
    assert plan_for(journey, make_actions(step={"default": ["recruited"]})).empty


def test_without_a_value_the_next_stage_is_worth_what_its_partners_bring_more():
    journey, log = make_history()
    names = journey.current_["partner_id"]
    revenue = np.where(journey.current_["stage"] == "onboarded", 700.0, 200.0)
    features = pd.DataFrame({"monetary_value_365d": revenue}, index=pd.Index(names, name="partner_id"))
    plan = plan_for(journey, make_actions(good={}), log=log, features=features, value=None)
    effect = estimate_action_effects(journey, log).set_index("action").loc["good", "effect"]
    np.testing.assert_allclose(plan["expected_gain"], 500 * effect)


def test_an_empty_journey_gives_an_empty_plan_with_its_columns():
    journey = Journey(STAGES, EXITS).fit({}, AS_OF)
    plan = plan_for(journey, make_actions(step={"default": ["recruited"]}))
    assert plan.empty and list(plan.columns) == [
        "partner_id", "stage", "segment", "action", "reason", "expected_gain", "channel", "language", "topic",
        "hours", "cost", "due_at", "alternative",
    ]  # fmt: skip


def test_the_date_must_be_the_journeys():
    journey = make_journey([("p1", "recruited", START)])
    with pytest.raises(ValueError, match=r"as_of == '2026-05-31', must be the journey's, '2026-06-30'"):
        plan_for(journey, make_actions(), as_of="2026-05-31")


def test_a_stage_that_is_not_declared_is_refused():
    journey = make_journey([("p1", "recruited", START)])
    with pytest.raises(ValueError, match=r"step\.stages: 'elsewhere' must be one of recruited, .*actions\.yaml"):
        plan_for(journey, make_actions(step={"stages": ["recruited", "elsewhere"]}))


def test_actions_of_another_journey_are_left_out():
    journey = make_journey([("p1", "recruited", START)])
    assert plan_for(journey, make_actions(step={"stages": ["elsewhere"], "default": ["elsewhere"]})).empty


names = st.sampled_from([f"w{number}" for number in range(10)])
HISTORY = make_history()


@given(
    hours=st.floats(0, 12),
    budget=st.floats(0, 200),
    paused=st.sets(names),
    shunned=st.dictionaries(names, st.lists(st.sampled_from(["email", "phone", "good", "standard"]), max_size=3)),
    value=st.dictionaries(names, st.floats(0, 1e6) | st.none()),
)
@settings(max_examples=25, deadline=None)
def test_capacity_consent_and_wishes_are_never_violated(hours, budget, paused, shunned, value):
    journey, log = HISTORY
    plan = plan_for(
        journey,
        make_actions(good={"hours": 1.3, "cost": 17.7}, standard={"hours": 0.7, "default": ["recruited"]}),
        hours=hours,
        budget=budget,
        log=log,
        consents=make_consents(*((partner, "navigation", False, "2026-01-01") for partner in paused)),
        preferences=make_preferences(**{partner: {"avoid": ";".join(words)} for partner, words in shunned.items()}),
        value=pd.Series(value, dtype=float),
    )
    assert plan["hours"].sum() <= hours * (1 + 1e-9) and plan["cost"].sum() <= budget * (1 + 1e-9)
    assert plan["partner_id"].is_unique and not set(plan["partner_id"]) & paused
    for step in plan.itertuples():
        assert not {step.action, step.channel} & set(shunned.get(step.partner_id, []))
    assert not (plan["expected_gain"] <= 0).any()


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
        log=tables["actions"],
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


LANGUAGES = {"en": r"[A-Za-z]", "uk": r"[іїєґ]", "ru": r"[ыэёъ]"}


@pytest.mark.parametrize("name", read_yaml(PARAMS / "actions.yaml"))
def test_every_action_is_complete_and_written_in_three_languages(name):
    entry, params = read_yaml(PARAMS / "actions.yaml")[name], load_params(PARAMS)
    assert list(entry) == ["stages", "hours", "cost", "channels", "owner", "default", "text"]
    assert set(entry["stages"]) <= {*params.journey.stages, *params.journey.exits} and entry["stages"]
    assert set(entry["default"]) <= set(entry["stages"])
    assert entry["hours"] > 0 and entry["cost"] >= 0 and entry["owner"]
    assert entry["channels"] and set(entry["channels"]) <= {"email", "phone", "webinar", "event", "portal", "social"}
    assert list(entry["text"]) == list(LANGUAGES)
    for language, letters in LANGUAGES.items():
        text = entry["text"][language]
        assert list(text) == ["title", "instructions"] and 0 < len(text["title"]) <= 45
        assert re.search(letters, text["instructions"]) and text["instructions"].endswith(".")
        other = LANGUAGES["ru" if language == "uk" else "uk"]
        assert not re.search(other, " ".join(text.values()))


def test_every_stage_but_left_has_a_standard_step():
    params = load_params(PARAMS)
    standard = {stage for entry in params.actions.values() for stage in entry.default}
    assert standard == {*params.journey.stages, *params.journey.exits} - {"left"}


@pytest.mark.parametrize("seed", range(40))
def test_no_plan_is_better_than_the_one_chosen(seed):
    """Against every plan for five partners with two steps each."""
    random = np.random.default_rng(seed)
    steps = pd.DataFrame(
        {
            "partner_id": np.repeat([f"p{number}" for number in range(5)], 2),
            "hours": random.choice([0.5, 1.0, 1.3, 2.0, 4.0], 10),
            "cost": random.choice([0.0, 10.0, 17.7, 60.0], 10),
        }
    )
    gain = random.choice([1.0, 2.0, 3.0], 10) if seed % 2 else random.lognormal(3, 1, 10)
    hours, budget = random.uniform(0, 8), random.uniform(0, 150)
    best = 0.0
    for plan in itertools.product([None, 0, 1], repeat=5):
        rows = [2 * partner + step for partner, step in enumerate(plan) if step is not None]
        if steps["hours"].iloc[rows].sum() <= hours and steps["cost"].iloc[rows].sum() <= budget:
            best = max(best, gain[rows].sum())
    assert gain[_solve(steps, gain, hours, budget)].sum() == pytest.approx(best)
