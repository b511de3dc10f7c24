import functools
import itertools

import numpy as np
import pandas as pd
import pytest

import partnerseg as ps
from partnerseg.journey.decisions import list_decisions
from partnerseg.journey.effects import EFFECTS, estimate_action_effects
from partnerseg.journey.stages import Journey

START = pd.Timestamp("2024-01-01")
LIFTS = {"good": (0.15, 0.10), "plain": (0.0, 0.0), "idle": (0.0, 0.0), "bad": (-0.15, -0.10)}
NO_LIFTS = dict.fromkeys(LIFTS, (0.0, 0.0))
BASE = (0.5, 0.25)  # the chance to move on within 90 days
PLANTED = ["activated", "growing", "strategic"]


def at(days):
    return START + pd.to_timedelta(np.asarray(days, dtype=float) * 86_400, unit="s")


def name_partners(numbers):
    return np.char.add("p", np.char.zfill(np.asarray(numbers, dtype=str), 5))


def make_decisions(stages, log, sales=None, *, days, names=("recruited", "activated", "growing")):
    """Stages: partner, stage, day; log: partner, action, day [, propensity]; sales: partner, day, amount."""
    rows = pd.DataFrame(stages, columns=["partner_id", "stage", "entered_at"])
    journey = Journey(names, ["dormant"], 90).fit(
        {"stages": rows.assign(partner_id=name_partners(rows["partner_id"]), entered_at=at(rows["entered_at"]))},
        f"{at([days - 1])[0]:%Y-%m-%d}",
    )
    log = pd.DataFrame(log, columns=["partner_id", "action", "taken_at", "propensity"][: len(log[0])])
    log = log.assign(partner_id=name_partners(log["partner_id"]), taken_at=at(log["taken_at"]))
    if sales is not None:
        sales = pd.DataFrame(sales, columns=["partner_id", "sold_at", "amount"]).assign(is_return=False)
        sales = sales.assign(partner_id=name_partners(sales["partner_id"]), sold_at=at(sales["sold_at"]))
    return list_decisions(journey, log, sales=sales)


def simulate_moves(seed, lifts, *, n=1_000, periods=8, share=0.4, leave=0.05):
    """Decisions of partners that join over time; a step adds to the chance to move on within the next 90 days."""
    rng = np.random.default_rng(seed)
    names, out = list(lifts), -np.log(1 - leave) / 90

    def hazards(chance):  # a day, to move on within 90 days where leaving competes
        grid = np.geomspace(1e-6, 0.2, 20_000)
        return np.interp(chance, grid / (grid + out) * (1 - np.exp(-90 * (grid + out))), grid)

    rate = np.array([hazards(np.array(BASE) + lift) for lift in ((0.0, 0.0), *lifts.values())])
    now = rng.integers(-200, 90 * periods, n).astype(float)  # day of entering the stage
    stage, step, stages, log = np.zeros(n, int), np.zeros(n, int), [], []
    stages += [(i, "recruited", day) for i, day in enumerate(now)]
    until = now.copy()  # followed so far
    for day in (*range(0, 90 * periods, 90), 90 * periods):
        # From the last round to this one: steps last as long as the stage does.
        open_ = (until < day) & (stage < 2)
        while open_.any():
            who = np.flatnonzero(open_)
            forward = rate[step[who], stage[who]]
            wait = rng.exponential(1 / (forward + out))
            moves = until[who] + wait < day
            goes_on = rng.random(len(who)) < forward / (forward + out)
            until[who] = np.where(moves, until[who] + wait, day)
            moved = who[moves]
            stage[moved] = np.where(goes_on[moves], stage[moved] + 1, 9)
            step[moved] = 0
            named = {1: "activated", 2: "growing", 9: "dormant"}
            stages += [(i, named[stage[i]], until[i]) for i in moved]
            open_ = (until < day) & (stage < 2)
        step[:] = 0
        here = np.flatnonzero((now < day) & (stage < 2) & (rng.random(n) < share))
        step[here] = rng.integers(1, len(names) + 1, len(here))
        log += [(i, names[step[i] - 1], day - 0.001) for i in here]
    return make_decisions(stages, log, days=90 * periods)


def simulate_sales(seed, choose, *, n=500, periods=9, memory=0.0):
    """Orders of partners; `choose(rng, orders so far, level) -> (action number or -1, propensity, lift of next)`."""
    rng = np.random.default_rng(seed)
    level, lift, past = rng.gamma(2.0, 6.0, n), np.ones(n), []
    luck = rng.normal(0, 0.6, n)
    log, sales = [], []
    for period in range(periods):
        luck = memory * luck + np.sqrt(1 - memory**2) * rng.normal(0, 0.6, n)
        orders = rng.poisson(level * np.exp(luck - 0.18) * lift)
        past.append(orders)
        who = np.repeat(np.arange(n), orders)
        sales.append(np.column_stack([who, 90 * period + 89 * rng.random(len(who)), rng.lognormal(4, 0.5, len(who))]))
        action, chance, lift = choose(rng, np.array(past), n)
        log += [(i, ("call", "mail")[action[i]], 90 * period + 89.9, chance[i]) for i in np.flatnonzero(action >= 0)]
    stages = [(i, "activated", -400) for i in range(n)]
    sales = pd.DataFrame(np.concatenate(sales), columns=["partner_id", "sold_at", "amount"]).astype({"partner_id": int})
    return make_decisions(stages, log, sales, days=90 * periods)


@functools.cache
def tell_worlds(planted, n_worlds=20):
    lifts = LIFTS if planted else NO_LIFTS
    found = []
    for seed in range(n_worlds):
        told = estimate_action_effects(simulate_moves(seed, lifts)).query("effect_chance.notna()")
        truth = [
            lifts[action][stage != "recruited"] for action, stage in zip(told["action"], told["stage"], strict=True)
        ]
        found.append(told.assign(truth=truth, world=seed))
    return pd.concat(found, ignore_index=True)


# Against planted chances


def test_planted_chances_are_ranked_and_covered():
    told = tell_worlds(planted=True)
    assert len(told) == 160  # 4 actions, 2 stages, 20 worlds
    right = []
    for _, group in told.groupby(["world", "stage"]):
        helps, other = (group.loc[group["truth"] > 0, "effect_chance"], group.loc[group["truth"] <= 0, "effect_chance"])
        right += [high > low for high, low in itertools.product(helps, other)]
    assert len(right) == 120 and np.mean(right) >= 0.95
    assert not (told["lower_chance"] > 0)[told["truth"] < 0].any()
    assert ((told["lower_chance"] <= told["truth"]) & (told["truth"] <= told["upper_chance"])).mean() >= 0.91
    assert (told["chance_without"] - np.where(told["stage"] == "recruited", *BASE)).abs().mean() < 0.04
    assert told["effect_value"].isna().all()


def test_null_worlds_claim_at_most_at_the_level():
    told = tell_worlds(planted=False)
    claims = (told["lower_chance"] > 0) | (told["upper_chance"] < 0)
    assert len(told) == 160 and claims.mean() <= 0.05


# Whom the step was given to


def choose_after_a_bad_period(rng, past, n, *, effect=0.0):
    """A call for those who sold under 0.7 of what they used to: eight times as often."""
    bad = past[-1] < 0.7 * past[:-1].mean(axis=0) if len(past) > 2 else np.zeros(n, dtype=bool)
    chance = np.where(bad, 0.8, 0.1) * (len(past) > 2)
    called = rng.random(n) < chance
    return np.where(called, 0, -1), chance, np.where(called, 1 + effect, 1.0)


def choose_by_hidden_news(rng, past, n):
    """Whose next period will be better is called rather than mailed, and only the manager knows it."""
    news = rng.random(n) < 0.5
    chance = np.where(news, 0.8, 0.2)
    action = np.where(rng.random(n) < chance, 0, 1)
    chance = np.where(action == 0, chance, 1 - chance)
    return np.where(rng.random(n) < 0.5, action, -1), chance, np.where(news, 1.4, 1.0)


@pytest.mark.parametrize("outcome", ["orders", "value"])
def test_a_bad_quarter_that_ends_by_itself_is_not_credited_to_the_call(outcome):
    found, naive = [], []
    for seed in range(8):
        decisions = simulate_sales(seed, choose_after_a_bad_period).assign(propensity=np.nan)
        found.append(estimate_action_effects(decisions, outcome=outcome).set_index("action").loc["call"])
        calls = decisions[(decisions["action"] == "call") & decisions["orders_after"].notna()]
        naive.append(calls["orders_after"].sum() / calls["orders_before"].sum() - 1)
    found = pd.DataFrame(found)
    assert np.mean(naive) > 0.4  # so much would be credited
    assert abs(found["effect_value"].mean()) < 0.04
    assert (found["lower_value"] > 0).sum() <= 1


def test_a_bad_quarter_that_lasts_is_not_blamed_on_the_call():
    worlds = [simulate_sales(seed, choose_after_a_bad_period, memory=0.7) for seed in range(8)]
    found = pd.DataFrame([estimate_action_effects(table.assign(propensity=np.nan)).iloc[0] for table in worlds])
    assert abs(found["effect_value"].mean()) < 0.05
    assert (found["upper_value"] < 0).sum() <= 1


def test_a_call_that_helps_after_a_bad_quarter_is_told_as_helping():
    choose = functools.partial(choose_after_a_bad_period, effect=0.3)
    found = [estimate_action_effects(simulate_sales(seed, choose)).iloc[0] for seed in range(4)]
    assert np.mean([row["effect_value"] for row in found]) == pytest.approx(0.3, abs=0.1)
    assert all(row["lower_value"] > 0 for row in found)


def test_logged_chances_undo_what_only_the_manager_knew():
    gaps = {True: [], False: []}
    for seed, logged in itertools.product(range(6), (True, False)):
        decisions = simulate_sales(seed, choose_by_hidden_news)
        told = estimate_action_effects(decisions if logged else decisions.assign(propensity=np.nan))
        told = told.set_index("action")["effect_value"]
        gaps[logged].append(told["call"] - told["mail"])
    # Neither does anything. Without the chances the call gets the credit of the news: (1.32 - 1.08) / 1.2 = 0.2.
    assert np.mean(gaps[False]) > 0.1
    assert abs(np.mean(gaps[True])) < 0.05


def test_time_in_stage_is_held_equal():
    """Half move on soon after entering, nobody later; the step comes late and changes nothing."""
    rng = np.random.default_rng(0)
    stages, log = [], []
    for i in range(1_200):
        start = rng.integers(0, 720)
        stages.append((i, "recruited", start))
        if i % 2:
            stages.append((i, "activated", start + 20 + rng.integers(0, 60)))
        elif rng.random() < 0.3:
            stages.append((i, "activated", start + 100 + rng.integers(0, 300)))
        for day in range(0, 720, 45):
            if not i % 2 and start + 80 < day and rng.random() < 0.3:
                log.append((i, "late", day))
    told = estimate_action_effects(make_decisions(stages, log, days=720)).set_index(["action", "stage"])
    row = told.loc[("late", "recruited")]
    assert row["lower_chance"] < 0 < row["upper_chance"] and abs(row["effect_chance"]) < 0.06


# What is told, and what is not


def make_table(**groups):
    """A group: action, stage, number, number that moved on."""
    rows = [
        (f"{name}{i}", action, stage, float(i < moved))
        for name, (action, stage, n, moved) in groups.items()
        for i in range(n)
    ]
    table = pd.DataFrame(rows, columns=["partner_id", "action", "stage", "moved"])
    return table.assign(decided_at=pd.Timestamp("2026-01-31"), days_in_stage=9.0)


@pytest.mark.parametrize(("n", "n_without", "reason"), [
    (10, 40, ""), (9, 40, "seen in fewer than 10 decisions"), (40, 9, "fewer than 10 comparable decisions without"),
])  # fmt: skip
def test_nothing_is_told_of_fewer_than_ten(n, n_without, reason):
    table = make_table(a=("call", "recruited", n, n // 10), b=("none", "recruited", n_without, n_without // 10))
    told = estimate_action_effects(table).iloc[0]
    assert told["reason"].startswith(reason) and (told["reason"] == "") == (reason == "")
    assert np.isnan(told["effect_chance"]) == (reason != "") and told["n_without"] == n_without


def test_an_effect_that_its_own_decisions_leave_open_is_not_told():
    table = make_table(a=("call", "recruited", 12, 6), b=("none", "recruited", 12, 6))
    table = pd.concat([table, make_table(c=("call", "activated", 400, 200), d=("none", "activated", 400, 200))])
    told = estimate_action_effects(table).set_index("stage")
    assert told.loc["recruited", "reason"] == "its own decisions alone leave a standard error over 0.2"
    assert np.isnan(told.loc["recruited", "effect_chance"]) and told.loc["activated", "reason"] == ""


def test_an_action_is_never_claimed_where_it_was_not_seen():
    table = make_table(
        a=("call", "recruited", 40, 30),
        b=("none", "recruited", 40, 10),
        c=("mail", "activated", 40, 10),
        d=("none", "activated", 40, 10),
    )
    told = estimate_action_effects(table)
    assert list(zip(told["action"], told["stage"], strict=True)) == [("mail", "activated"), ("call", "recruited")]


def test_no_overlap_is_refused():
    """Everyone is called after 200 days in the stage and nobody before."""
    table = make_table(a=("call", "recruited", 200, 100), b=("none", "recruited", 200, 50))
    table["days_in_stage"] = np.where(table["action"] == "call", 300.0, 100.0) + np.arange(400) % 50
    assert estimate_action_effects(table).iloc[0]["reason"].startswith("no overlap")
    other_dates = make_table(a=("call", "recruited", 200, 100), b=("none", "recruited", 200, 50))
    other_dates["decided_at"] += pd.to_timedelta(np.where(other_dates["action"] == "call", 90, 0), unit="D")
    assert estimate_action_effects(other_dates).iloc[0]["reason"].startswith("no overlap")


def test_very_uneven_chances_are_refused():
    table = make_table(a=("call", "recruited", 30, 15), b=("none", "recruited", 200, 50))
    table["propensity"] = np.where(table["action"] == "none", np.nan, np.where(np.arange(230) < 1, 0.001, 0.9))
    told = estimate_action_effects(table).iloc[0]
    assert told["effective_n"] == pytest.approx((29 + 10) ** 2 / (29 + 100)) and told["reason"] == ""
    table.loc[:9, "propensity"] = 0.001
    table = table.drop(index=range(10, 28))
    assert estimate_action_effects(table).iloc[0]["reason"] == ""
    table = table.drop(index=[5, 6, 7, 8, 9])
    assert "seen" in estimate_action_effects(table).iloc[0]["reason"]


def test_few_data_are_drawn_toward_the_whole():
    table = make_table(
        a=("call", "recruited", 400, 240), b=("none", "recruited", 400, 160),  # +0.2
        c=("call", "activated", 12, 2), d=("none", "activated", 400, 160),  # -0.23 of 12 decisions
        e=("mail", "recruited", 400, 160), f=("mail", "activated", 400, 160),
    )  # fmt: skip
    told = estimate_action_effects(table).set_index(["action", "stage"])
    few, many = told.loc[("call", "activated")], told.loc[("call", "recruited")]
    assert few["chance_with"] - few["chance_without"] == pytest.approx(2 / 12 - 0.4, abs=0.01)
    assert few["effect_chance"] > -0.15 and many["effect_chance"] > 0.15
    assert few["upper_chance"] - few["lower_chance"] > 2 * (many["upper_chance"] - many["lower_chance"])


def test_segments_are_told_apart_and_drawn_toward_the_stage():
    groups = {}
    for segment, moved, few in (("x", 140, 6), ("y", 60, 6)):
        groups[f"{segment}-with"] = ("call", "recruited", 200, moved)
        groups[f"{segment}-none"] = ("none", "recruited", 200, 80)
        groups[f"{segment}-mail"] = ("mail", "recruited", few, 3)
    table = make_table(**groups)
    by = table.set_index("partner_id").index.to_series().str[0]
    told = estimate_action_effects(table, by=by)
    assert list(told.columns) == [*EFFECTS[:2], "segment", *EFFECTS[2:]]
    told = told.set_index(["action", "segment"])["effect_chance"]
    assert 0.2 < told[("call", "x")] < 0.3 and -0.1 < told[("call", "y")] < 0.0
    assert told["mail"].isna().all()
    unknown = estimate_action_effects(table, by=by[by == "x"])
    assert set(unknown["segment"]) == {"x", "unknown"}


def test_decisions_whose_period_is_not_over_do_not_count():
    table = make_table(a=("call", "recruited", 60, 30), b=("none", "recruited", 60, 30))
    late = make_table(c=("call", "recruited", 60, 60), d=("none", "recruited", 60, 0)).assign(moved=np.nan)
    told = estimate_action_effects(pd.concat([table, late]))
    assert told["n"].tolist() == [60]
    pd.testing.assert_frame_equal(told, estimate_action_effects(table))
    assert estimate_action_effects(late)["reason"].tolist() == ["the period after the step is not over yet"]


# Laws


def test_the_order_of_rows_is_irrelevant_and_nothing_is_changed():
    decisions = simulate_sales(0, choose_by_hidden_news, n=150)
    kept = decisions.copy()
    told = estimate_action_effects(decisions)
    pd.testing.assert_frame_equal(told, estimate_action_effects(decisions.sample(frac=1, random_state=1)))
    pd.testing.assert_frame_equal(decisions, kept)
    assert list(told.columns) == EFFECTS


def test_a_scale_of_money_is_irrelevant():
    decisions = simulate_sales(0, choose_by_hidden_news, n=150)
    dear = decisions.copy()
    dear[["value_before", "value_after", "value_history"]] *= 1_000
    told = [estimate_action_effects(table, outcome="value") for table in (decisions, dear)]
    pd.testing.assert_frame_equal(*told)


@pytest.mark.parametrize("empty", [True, False])
def test_without_steps_nothing_is_told(empty):
    table = make_table(b=("none", "recruited", 40, 10))
    told = estimate_action_effects(table[:0] if empty else table)
    assert told.empty and list(told.columns) == EFFECTS


@pytest.mark.filterwarnings("error")
def test_no_sale_at_all_after_a_step_is_not_told_for_certain():
    """40 called do not sell where they would have had 80 orders: that is sure to within a few of them."""
    table = make_table(a=("call", "recruited", 40, 20), b=("none", "recruited", 400, 200))
    after = np.where(table["action"] == "call", 0.0, 1.0 + np.arange(440) % 3)
    table = table.assign(orders_before=2.0, orders_after=after, value_before=20.0, value_after=10 * after)
    for outcome in ("orders", "value"):
        told = estimate_action_effects(table.assign(period_days=30.0), outcome=outcome).iloc[0]
        assert told["effect_value"] == pytest.approx(-1)
        assert -0.999 < told["upper_value"] < -0.9


def test_wrong_arguments_say_so():
    table = make_table(b=("none", "recruited", 40, 10))
    with pytest.raises(ValueError, match=r"level == 95, must be between 0 and 1"):
        estimate_action_effects(table, level=95)
    with pytest.raises(ValueError, match="outcome == 'money', must be 'orders' or 'value'"):
        estimate_action_effects(table, outcome="money")


# On the sample programme


def test_useful_actions_are_ranked_over_useless_ones_on_the_sample():
    right, harmful, covered = [], [], []
    for seed in range(3):
        sample = ps.simulate_programme(2_000, random_state=seed)
        journey = Journey(["recruited", "onboarded", *PLANTED], ["dormant", "left"], 90)
        journey.fit({"stages": sample.tables["stages"]}, "2026-06-30")
        told = estimate_action_effects(
            list_decisions(journey, sample.tables["actions"], sales=sample.tables["sales"])
        ).query("effect_value.notna()")
        truth = sample.truth.action_effects
        truth = np.array(
            [truth.loc[action, stage] for action, stage in zip(told["action"], told["stage"], strict=True)]
        )
        assert set(told["stage"]) >= set(PLANTED)
        for stage in told["stage"].unique():
            here = (told["stage"] == stage).to_numpy()
            helps, other = told["effect_value"][here & (truth > 0)], told["effect_value"][here & (truth <= 0)]
            right += [high > low for high, low in itertools.product(helps, other)]
        harmful += list(told["effect_value"][truth < 0])
        covered += list((told["lower_value"] <= truth) & (truth <= told["upper_value"]))
    assert len(right) >= 140 and np.mean(right) >= 0.95
    assert max(harmful) < 0
    assert np.mean(covered) >= 0.88
