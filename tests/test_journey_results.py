"""The journey told for a programme, its regions and segments, on a simulated programme."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import partnerseg as ps
from partnerseg import journey_results, rating_results
from partnerseg.journey.stages import Journey
from partnerseg.models import list_dates
from partnerseg.params import load_params
from partnerseg.programme.consent import consent_at

SPAN = {"lower", "upper"}
COLUMNS = {
    "stages": {"partner_id", "stage", "entered_at", "days_in_stage", "region"},
    "transitions": {"region", "stage", "next_stage", "n", "share"},
    "conversion": {"region", "stage", "n", "converted", "left", "waiting", "conversion", "immature", *SPAN},
    "horizons": {"region", "stage", "horizon_days", "conversion", *SPAN},
    "cohorts": {"region", "stage", "cohort", "followed", "immature", "conversion", *SPAN},
    "conversion_segments": {"group", "region", "stage", "n", "conversion", *SPAN},
    "time_in_stage": {"region", "stage", "n", "censored", "median_days", "target_days", "within_target", *SPAN},
    "time_segments": {"group", "region", "stage", "n", "median_days", *SPAN},
    "speed": {"stage", "groups", "n", "statistic", "pvalue", "pvalue_adj"},
    "bottlenecks": {"region", "stage", "waiting", "expected_days", "value_waiting", "money_waiting"},
    "waiting": {"region", "stage", "attribute", "value", "waiting", "share", "share_gone_on", "difference", *SPAN},
    "drop_outs": {"region", "stage", "exit", "n", "dropped", "share", *SPAN},
    "effects": {"action", "stage", "segment", "n", "effect_chance", "effect_value", "reason"},
    "routes": {"start", "route", "step", "stage", "action", "next_stage", "n", "route_chance", "reason", *SPAN},
    "avoiding": {"start", "action", "loses"},
    "route_value": {"method", "value", "n", "effective_n", "reason", *SPAN},
    "segment_plans": {"segment", "segment_name", "stage", "step", "action", "title", "instructions", "clear"},
    "partner_plans": {"region", "step", "stage", "action", "status"},
    "plan": {"stage", "action", "title", "reason", "expected_gain", "channel", "hours", "cost", "alternative"},
}  # fmt: skip
HARM = "technical_audit"  # planted: a fifth fewer orders in the quarter after, in every stage


class Tables(dict):
    """Tables as a programme gives them."""

    def frame(self, name: str) -> pd.DataFrame:
        return self[name]


def fit_journey(params, tables, **given) -> Journey:
    settings = params.journey
    return Journey(settings.stages, settings.exits, settings.horizon_days, settings.rules).fit(
        tables, params.programme.as_of, **given
    )


@pytest.fixture(scope="module")
def models() -> SimpleNamespace:
    params = load_params(Path(__file__).parents[1] / "params")
    tables = Tables(ps.simulate_programme(1_500, random_state=0).tables)
    features = ps.build_features(tables, as_of=list_dates(params))
    before, now = (rating_results.take_date(features, date) for date in list_dates(params))
    rating = rating_results.fit_rating(params, now, before)
    journey = fit_journey(params, tables)
    return SimpleNamespace(params=params, programme=tables, features=now, rating=rating, journey=journey)


@pytest.fixture(scope="module")
def partners(models) -> pd.DataFrame:
    """Segments by type of partner; every twentieth is in none."""
    known = models.features[["region", "partner_type", "industry", "company_size"]].copy()
    kind = known["partner_type"].astype(object).where(np.arange(len(known)) % 20 > 0)
    order = {name: place for place, name in enumerate(sorted(kind.dropna().unique()))}
    return known.assign(segment=kind.map(order).astype("Int64"), segment_name=kind, tier="bronze")


@pytest.fixture(scope="module")
def willing(models, partners) -> pd.Index:
    allowed = consent_at(models.programme["consents"], models.params.programme.as_of)
    refusing = allowed.index[allowed.eq(False).any(axis=1)]
    assert 50 < len(refusing) < len(partners) / 2
    return partners.index.difference(refusing)


@pytest.fixture(scope="module")
def tables(models, partners, willing) -> dict[str, pd.DataFrame]:
    groups = {"all": partners.index} | {str(code): rows for code, rows in partners.groupby("region").groups.items()}
    told = journey_results.tell_journey(models, models.features, partners, groups)
    routes = journey_results.tell_routes(models, partners)
    plan = journey_results.plan_steps(models, models.features, partners, routes["effects"])
    plans = journey_results.plan_stages(models, partners, willing, routes["effects"])
    return {**told, **routes, **plans, "plan": plan}


def take_whole(effects):
    return effects[effects["segment"].isna()].drop(columns="segment")


def find_harmful(effects) -> set[tuple[str, str]]:
    harmful = effects[(effects["upper_chance"] < 0) | (effects["upper_value"] < 0)]
    return set(zip(harmful["action"], harmful["stage"], strict=True))


def list_pairs(table) -> set[tuple[str, str]]:
    rows = table[table["action"].notna()]
    return set(zip(rows["action"], rows["stage"], strict=True))


def turn(effects, action, lower, upper):
    """The same effects, but those of an action are planted."""
    own = effects["action"] == action
    planted = dict.fromkeys(["chance", "value"], (lower + upper) / 2)
    changed = {f"effect_{name}": effects[f"effect_{name}"].mask(own, middle) for name, middle in planted.items()}
    for name in planted:
        changed[f"lower_{name}"] = effects[f"lower_{name}"].mask(own, lower)
        changed[f"upper_{name}"] = effects[f"upper_{name}"].mask(own, upper)
    return effects.assign(**changed)


def test_every_table_has_its_columns(tables):
    assert set(COLUMNS) == set(tables)
    for name, columns in COLUMNS.items():
        assert columns <= set(tables[name].columns), name
        assert len(tables[name]) or name == "waiting", name
    assert tables["plan"].index.name == tables["partner_plans"].index.name == "partner_id"


@pytest.mark.parametrize(
    ("name", "counts", "keys"),
    [
        ("transitions", ["n"], ["stage", "next_stage"]),
        ("conversion", ["n", "converted", "left", "waiting", "followed"], ["stage"]),
        ("horizons", ["n", "converted", "left", "waiting"], ["stage", "horizon_days"]),
        ("cohorts", ["n", "converted", "left", "waiting"], ["stage", "cohort"]),
        ("time_in_stage", ["n", "censored"], ["stage"]),
        ("bottlenecks", ["waiting", "unknown", "value_waiting", "money_waiting"], ["stage"]),
        ("drop_outs", ["dropped"], ["stage", "exit"]),
    ],
)
def test_regions_sum_to_the_programme(tables, partners, name, counts, keys):
    table = tables[name].fillna({"next_stage": "still there"}).set_index("region")
    assert set(table.index) == {"all", *partners["region"].unique()}
    whole = table.loc["all"].groupby(keys)[counts].sum()
    parts = table.drop(index="all").groupby(keys)[counts].sum()
    pd.testing.assert_frame_equal(parts, whole, check_dtype=False)


def test_segments_sum_to_those_who_have_one_or_none(tables):
    for name in ("conversion", "time_in_stage"):
        groups = tables["conversion_segments" if name == "conversion" else "time_segments"]
        assert "no segment" in set(groups["group"])
        whole = tables[name].set_index(["region", "stage"])["n"]
        pd.testing.assert_series_equal(groups.groupby(["region", "stage"])["n"].sum(), whole.sort_index())


def test_everybody_stands_somewhere_and_more_move_on_in_a_longer_time(tables, partners):
    stages = tables["stages"]
    assert stages["region"].eq("all").sum() == len(stages) / 2 == len(partners)
    told = tables["horizons"].sort_values("horizon_days")
    assert told.groupby(["region", "stage"])["converted"].apply(lambda n: n.is_monotonic_increasing).all()
    assert set(told["horizon_days"]) == {*journey_results.WITHIN, 90}
    latest = tables["cohorts"].groupby("cohort")["immature"].all()
    assert len(latest) == journey_results.COHORTS_TOLD and latest.iloc[-1] and not latest.iloc[0]


def test_bottlenecks_are_ranked_by_money(tables):
    for _, own in tables["bottlenecks"].groupby("region"):
        assert own["money_waiting"].dropna().is_monotonic_decreasing
    assert tables["bottlenecks"].iloc[0]["stage"] == "activated"


def test_harmful_steps_are_found_and_in_no_route_nor_plan(tables):
    harmful = find_harmful(take_whole(tables["effects"]))
    assert {action for action, _ in harmful} == {HARM} and len(harmful) >= 2
    for name in ("routes", "plan"):
        assert not harmful & list_pairs(tables[name]), name
    assert HARM not in set(tables["plan"]["alternative"])
    for segment, own in tables["segment_plans"].groupby("segment", dropna=False):
        clear = tables["effects"]
        clear = clear[clear["segment"].isna() if pd.isna(segment) else clear["segment"] == segment]
        assert not find_harmful(clear) & list_pairs(own)
    assert not {pair for pair in list_pairs(tables["partner_plans"]) if pair[0] == HARM}


def test_a_step_that_would_turn_harmful_leaves_routes_and_plans(models, partners, willing, tables):
    """The step planned most is planted to harm: it goes out of everything, though it is a standard step."""
    often = tables["plan"]["action"].mode().iloc[0]
    assert models.params.actions.to_dict()[often]["default"]
    bad = turn(tables["effects"], often, -0.3, -0.2)
    plan = journey_results.plan_steps(models, models.features, partners, bad)
    assert often not in set(plan["action"]) | set(plan["alternative"])
    plans = journey_results.plan_stages(models, partners, willing, bad)
    told = set(zip(bad["action"], bad["stage"], strict=True))
    for table in plans.values():
        assert not {pair for pair in list_pairs(table) if pair[0] == often} & told
    learn = partial(models.journey.process, actions=models.params.actions)
    process = learn(effects=bad)
    assert often not in process.actions
    good = learn(effects=turn(bad, often, 0.2, 0.3))
    assert often in good.actions and HARM not in good.actions


def test_routes_take_only_steps_that_clearly_help_and_harm_nothing(models, tables):
    effects = take_whole(tables["effects"])
    process = models.journey.process(actions=models.params.actions, effects=effects)
    told = np.argwhere(~np.isnan(process.transitions).any(axis=2))
    pairs = {(process.actions[action], process.states[stage]) for action, stage in told}
    taken = {pair for pair in pairs if pair[0] != "none"}
    helps = effects[(effects["lower_chance"] > 0) | (effects["lower_value"] > 0)]
    assert taken and taken <= list_pairs(helps) - find_harmful(effects)
    # More partners would go on, and all would sell less: that is no help.
    action = min(taken)[0]
    torn = turn(effects, action, 0.2, 0.3)
    own = torn["action"] == action
    torn = torn.assign(lower_value=torn["lower_value"].mask(own, -0.3), upper_value=torn["upper_value"].mask(own, -0.1))
    assert action not in models.journey.process(actions=models.params.actions, effects=torn).actions


def test_the_journey_itself_tells_the_routes_of_the_page(models, tables):
    """By the same rules: only steps that clearly help, in the stages of actions.yaml, at its costs."""
    params, told = models.params, tables["routes"]
    options = {"objective": params.journey.objective, "within_days": params.journey.within_days}
    journey = fit_journey(params, models.programme, actions=params.actions)
    route = journey.route("activated", params.journey.target, alternatives=journey_results.ALTERNATIVES, **options)
    own = told[told["start"] == "activated"].drop(columns=["start", "objective"])
    assert (own["action"].dropna() != "none").any()
    pd.testing.assert_frame_equal(route, own.reset_index(drop=True))
    everything = journey.route("activated", params.journey.target, unclear=True, alternatives=99, **options)
    assert list_pairs(everything) - list_pairs(own) and not list_pairs(everything) & find_harmful(
        take_whole(tables["effects"])
    )


def test_words_that_keep_no_step_away_are_noticed(models):
    assert journey_results.note_unknown_words(models).empty
    wishes = pd.DataFrame(
        {"partner_id": list("abcde"), "avoid": ["phone;webinars", "Webinars", "WEBINARS,x", "x", "x"]}
    )
    own = SimpleNamespace(params=models.params, programme=Tables(preferences=wishes))
    noted = journey_results.note_unknown_words(own).set_index("rows")
    assert noted["message"].tolist() == [
        "'webinars' is no action, channel or topic of actions.yaml and keeps no step away; did you mean 'webinar'? "
        "(a, b, c)",
        "'x' is no action, channel or topic of actions.yaml and keeps no step away (c, d, e)",
    ]
    assert (noted["kind"] == "warn").all() and noted.index.tolist() == [3, 3]


def test_who_has_paused_is_in_no_plan(models, tables, willing, partners):
    allowed = consent_at(models.programme["consents"], models.params.programme.as_of)
    paused = allowed.index[allowed["navigation"].eq(False)]
    assert len(paused) > 10
    assert not set(paused) & set(tables["plan"].index)
    assert set(tables["partner_plans"].index) <= set(willing)
    # Everybody else has one who stands where there is something to do.
    current = models.journey.current_.set_index("partner_id")["stage"].reindex(willing)
    at_work = current.index[current.isin(set(tables["segment_plans"]["stage"]))]
    missing = set(at_work) - set(tables["partner_plans"].index)
    wishes = models.programme["preferences"].set_index("partner_id")["avoid"]
    assert wishes.reindex(list(missing)).notna().all()


def test_a_partner_does_the_first_step_of_its_segment_that_it_has_not_had(models, tables, partners):
    plans, segments = tables["partner_plans"], tables["segment_plans"]
    current = models.journey.current_.set_index("partner_id")
    avoid = models.programme["preferences"].drop_duplicates("partner_id").set_index("partner_id")["avoid"].fillna("")
    log = models.programme["actions"]
    since = pd.Timestamp(models.params.programme.as_of) - pd.Timedelta(days=models.journey.horizon_days - 1)
    known = {None if pd.isna(key) else key: own for key, own in segments.groupby("segment", dropna=False)}
    tried = {"next": 0, "none left": 0}
    for partner_id in plans.index.unique():
        own, stage = plans.loc[[partner_id]], current.loc[partner_id, "stage"]
        assert own["step"].tolist() == list(range(1, len(own) + 1)) and (own["status"] == "next").sum() <= 1
        segment = partners.loc[partner_id, "segment"]
        told = known[None if pd.isna(segment) else segment].query("stage == @stage")
        steps, helps = told["action"], set(told.loc[told["clear"], "action"])
        had = log[(log["partner_id"] == partner_id) & (log["taken_at"] >= current.loc[partner_id, "entered_at"])]
        had = had[~had["action"].isin(helps) | (had["taken_at"] >= since)]
        words = set(str(avoid.get(partner_id, "")).split(";"))
        shunned = {name for name, entry in models.params.actions.items() if set(entry.channels) <= words} | words
        open_ = [action for action in steps if action not in set(had["action"]) and action not in shunned]
        found = own[(own["status"] == "next") & (own["stage"] == stage)]["action"].tolist()
        assert found == open_[:1]
        tried["next" if open_ else "none left"] += 1
    assert min(tried.values()) > 3


def test_no_planned_step_is_done(tables):
    own = tables["partner_plans"].reset_index()
    done = set(own.loc[own["status"] == "done", ["partner_id", "action"]].itertuples(index=False, name=None))
    plan = tables["plan"].reset_index()
    for name in ("action", "alternative"):
        assert not done & set(plan[["partner_id", name]].itertuples(index=False, name=None))
    assert len(done) > 50 and len(plan) > 100


def test_a_step_that_harms_a_segment_is_not_planned_for_it(models, partners, tables):
    often, effects = tables["plan"]["action"].mode().iloc[0], tables["effects"]
    own = effects["segment"] == 0
    bad = pd.concat([effects[~own], turn(effects[own], often, -0.3, -0.2)])
    told = set(bad.loc[(bad["segment"] == 0) & (bad["action"] == often), "stage"])
    plan = journey_results.plan_steps(models, models.features, partners, bad)
    mine = plan[(plan["segment"] == 0) & plan["stage"].isin(told)]
    assert told and len(mine) and often in set(plan["action"])
    assert often not in set(mine["action"]) | set(mine["alternative"])


def test_every_standard_step_appears_in_its_stages_for_every_segment(models, tables):
    harmful = find_harmful(tables["effects"])
    keys = [None, *tables["segment_plans"]["segment"].dropna().unique()]
    assert len(keys) > 3
    for segment in keys:
        own = tables["segment_plans"]
        own = own[own["segment"].isna() if segment is None else own["segment"] == segment]
        wanted = {(name, stage) for name, entry in models.params.actions.items() for stage in entry.default}
        assert wanted - harmful <= list_pairs(own)
        possible = {(name, stage) for name, entry in models.params.actions.items() for stage in entry.stages}
        assert list_pairs(own) <= possible
    assert (tables["segment_plans"].groupby(["segment", "stage"], dropna=False)["step"].min() == 1).all()
    assert tables["segment_plans"][["title", "instructions"]].notna().all(axis=None)


def test_the_plan_keeps_within_its_capacity_and_its_wishes(models, tables):
    plan, capacity = tables["plan"], models.params.plan
    assert plan.index.is_unique and len(plan) > 100
    assert plan["hours"].sum() <= capacity.manager_hours + 1e-6 and plan["cost"].sum() <= capacity.budget + 1e-6
    seats = plan["action"].value_counts()
    for name, entry in models.params.actions.items():
        assert not entry.to_dict().get("seats") or seats.get(name, 0) <= entry.seats
    avoid = models.programme["preferences"].drop_duplicates("partner_id").set_index("partner_id")["avoid"]
    avoid = avoid.reindex(plan.index).fillna("")
    for action, channel, words in zip(plan["action"], plan["channel"], avoid, strict=True):
        assert action not in words.split(";") and channel not in words.split(";")


def test_a_route_is_told_or_refused_from_every_stage(models, tables):
    routes = tables["routes"]
    journey = models.journey
    assert set(routes["start"]) == {*journey.stages, *journey.exits} - {models.params.journey.target}
    refused = routes["route"].isna()
    assert (routes["reason"].ne("") == refused).all() and not refused.all()
    told = routes[~refused]
    best = told[(told["route"] == 1) & (told["step"] == 1)].set_index("start")
    assert (best["stage"] == best.index).all() and (best["loses"] == 0).all()
    assert told["route_chance"].between(told["lower"], told["upper"]).all()
    assert (told["n"].fillna(0)[told["action"].notna()] >= 10).all()
    possible = {(name, stage) for name, entry in models.params.actions.items() for stage in entry.stages}
    steps = told[told["action"].notna() & (told["action"] != "none")]
    assert list_pairs(steps) <= possible


def test_what_avoiding_costs_is_told_for_each_step_of_the_best_routes(tables):
    routes, avoiding = tables["routes"], tables["avoiding"]
    best = routes[(routes["route"] == 1) & routes["action"].notna() & (routes["action"] != "none")]
    assert set(zip(avoiding["start"], avoiding["action"], strict=True)) == set(
        zip(best["start"], best["action"], strict=True)
    )
    assert (avoiding["loses"].dropna() >= 0).all() and avoiding["loses"].max() > 0


def test_the_value_of_routes_is_told_or_refused_with_a_reason(models, tables):
    value = tables["route_value"]
    # The sample's chances are true of all steps together; of the planned ones alone they would not be.
    assert value["reason"].eq("").all()
    assert value[["value", "lower", "upper"]].notna().all(axis=None)
    assert value["value"].between(value["lower"], value["upper"]).all()
    # Where it was not logged with what chances steps were chosen, nothing can be weighed.
    blind = SimpleNamespace(decisions_=models.journey.decisions_.assign(propensity=np.nan))
    refused = journey_results._value_routes(models.params, blind)
    estimates = refused[refused["method"].isin(["ips", "weighted", "doubly_robust", "gain"])]
    assert estimates["reason"].ne("").all() and estimates["value"].isna().all()


def test_the_step_that_helps_most_is_chosen_from_what_was_over_before_it_is_judged(models, monkeypatch):
    seen = {}
    tell_effects, tell_value = journey_results.estimate_action_effects, journey_results.policy_value
    monkeypatch.setattr(
        journey_results, "estimate_action_effects", lambda rows: tell_effects(seen.setdefault("chosen", rows))
    )
    monkeypatch.setattr(
        journey_results,
        "policy_value",
        lambda log, *rest, **more: tell_value(seen.setdefault("judged", log), *rest, **more),
    )
    journey_results._value_routes(models.params, models.journey)
    over = seen["chosen"]["decided_at"].max() + pd.Timedelta(days=models.params.journey.horizon_days)
    assert len(seen["chosen"]) > 1000 and len(seen["judged"]) > 100
    assert over < seen["judged"]["decided_at"].min()


def test_without_logged_steps_there_are_routes_but_no_claims(models, partners, willing):
    tables = Tables({**models.programme, "actions": models.programme["actions"].head(0)})
    quiet = SimpleNamespace(**{**vars(models), "programme": tables, "journey": fit_journey(models.params, tables)})
    told = journey_results.tell_routes(quiet, partners)
    assert told["effects"].empty and told["avoiding"].empty
    assert set(told["routes"]["action"].dropna()) == {"none"}
    reached = told["routes"].query("start == 'recruited' and step == 1")
    assert reached["route_chance"].between(0.01, 0.99).all() and len(reached) == 1
    plans = journey_results.plan_stages(quiet, partners, willing, told["effects"])
    assert not plans["segment_plans"]["clear"].any() and not plans["partner_plans"]["status"].eq("done").any()


def test_steps_of_later_days_are_not_seen(models, partners, willing, tables):
    """Every partner gets every step the day after the report: no plan of the report changes."""
    after = pd.Timestamp(models.params.programme.as_of) + pd.Timedelta(days=1, hours=9)
    log = models.programme["actions"]
    names = list(models.params.actions)
    later = pd.DataFrame({"partner_id": np.repeat(partners.index, len(names)), "action": names * len(partners)})
    later = later.assign(action_id=[f"later{place}" for place in range(len(later))], taken_at=after, arrived_at=after)
    more = Tables({**models.programme, "actions": pd.concat([log, later.reindex(columns=log.columns)])})
    again = SimpleNamespace(**{**vars(models), "programme": more, "journey": fit_journey(models.params, more)})
    for name, table in journey_results.plan_stages(again, partners, willing, tables["effects"]).items():
        pd.testing.assert_frame_equal(table, tables[name])
    plan = journey_results.plan_steps(again, models.features, partners, tables["effects"])
    pd.testing.assert_frame_equal(plan, tables["plan"])
