"""Laws of a whole journey: what may not matter, on drawn programmes of partners that come and go."""

import numpy as np
import pandas as pd
import pytest

from partnerseg.journey.effects import estimate_action_effects
from partnerseg.journey.stages import Journey

STAGES, EXITS = ["recruited", "onboarded", "activated"], ["dormant", "left"]
AS_OF = pd.Timestamp("2026-06-30")
PARTNERS = 160
seeds = pytest.mark.parametrize("seed", range(6))


def draw_programme(seed, n=PARTNERS):
    """Partners that enter over two years, go on, fall out, come back; calls and mails; orders that calls raise."""
    rng = np.random.default_rng(seed)
    days = rng.integers(0, 500, n)
    rows, log, sold = [], [], []
    for number, first in enumerate(days):
        place, day = 0, float(first)
        while day < 730:
            rows.append((f"p{number}", (STAGES + EXITS)[place], day))
            day += 1 + rng.exponential(120)
            place = rng.choice([p for p in range(5) if p != place], p=[0.1, 0.35, 0.35, 0.2])
        for start in range(int(first), 730, 90):
            called = rng.random() < 0.4
            if called:
                step = rng.choice(["call", "mail"], p=[0.7, 0.3])
                log.append((f"p{number}", step, start + rng.uniform(0, 9), rng.uniform(0.2, 0.8)))
            sold += [(f"p{number}", start + rng.uniform(9, 90), round(rng.lognormal(4, 1), 2))
                     for _ in range(rng.poisson(5 + 2 * called))]  # fmt: skip
    start = AS_OF - pd.Timedelta(days=729)

    def shape(rows, names, time, key):
        table = pd.DataFrame(rows, columns=names).assign(arrived_at=pd.NaT)
        at = start + pd.to_timedelta(table[time].astype(float), unit="D").dt.floor("s")
        return table.assign(**{time: at, key: [f"{key}{place}" for place in range(len(table))]})

    stages = shape(rows, ["partner_id", "stage", "entered_at"], "entered_at", "row").drop(columns="row")
    actions = shape(log, ["partner_id", "action", "taken_at", "propensity"], "taken_at", "action_id")
    sales = shape(sold, ["partner_id", "sold_at", "amount"], "sold_at", "sale_id")
    return {
        "stages": stages.assign(deal_id=None),
        "actions": actions.assign(cost=np.where(actions["action"] == "call", 20.0, 5.0)),
        "sales": sales.assign(currency="EUR", is_return=False),
    }


def fit(tables):
    return Journey(STAGES, EXITS, horizon_days=90).fit(tables, f"{AS_OF:%Y-%m-%d}")


def tell(journey, tables):
    """Every table that a journey tells."""
    partners = pd.Index([f"p{number}" for number in range(PARTNERS)])
    partners = partners.append(partners + "-again")
    number = partners.str.removesuffix("-again").str[1:].astype(int)
    by = pd.Series(np.where(number % 3 > 0, "north", "south"), index=partners)
    value = pd.Series(number * 10.0, index=partners)
    attributes = pd.DataFrame({"kind": np.where(number % 2 > 0, "agent", "reseller")}, index=partners)
    starts = [*STAGES[:-1], *EXITS]
    return {
        "current": journey.current_,
        "spells": journey.spells_,
        "decisions": journey.decisions_,
        "conversion": journey.conversion(by=by, horizon_days=[30, 90]),
        "cohorts": journey.conversion(cohort="quarter"),
        "time_in_stage": journey.time_in_stage(by=by, targets={"recruited": 60}),
        "curves": journey.curves(by=by),
        "drop_outs": journey.drop_outs(by=by),
        "transitions": journey.transitions(by=by),
        "speed": journey.compare_groups(by),
        "waiting": journey.describe_waiting(attributes, log=tables["actions"], least=3, level=0.5),
        "bottlenecks": journey.bottlenecks(value),
        "effects": estimate_action_effects(journey.decisions_),
        "effects_by": estimate_action_effects(journey.decisions_, by=by),
        **{f"route_{start}": journey.route(start, "activated", objective="value") for start in starts},
    }


@seeds
def test_the_order_of_rows_changes_no_table(seed):
    tables = draw_programme(seed)
    mixed = {name: table.sample(frac=1, random_state=seed) for name, table in tables.items()}
    told, again = tell(fit(tables), tables), tell(fit(mixed), mixed)
    assert len(told["decisions"]) > 300 and told["effects"]["effect_value"].notna().any()
    for name, table in told.items():
        pd.testing.assert_frame_equal(table, again[name], obj=name)


@seeds
def test_what_happens_or_arrives_later_changes_no_table(seed):
    """Twice as many rows, moved behind the day of the report or arriving behind it."""
    tables, other = draw_programme(seed), draw_programme(seed + 1)
    times = {"stages": "entered_at", "actions": "taken_at", "sales": "sold_at"}
    after = AS_OF + pd.Timedelta(days=1)
    more = {}
    for name, time in times.items():
        happened = other[name].assign(**{time: other[name][time] + pd.Timedelta(days=731)})
        arrived = other[name].assign(arrived_at=after)
        later = pd.concat([happened, arrived])
        key = {"actions": "action_id", "sales": "sale_id"}.get(name)
        if key:
            later[key] = [f"later{place}" for place in range(len(later))]
        more[name] = pd.concat([tables[name], later])
    told, again = tell(fit(tables), tables), tell(fit(more), more)
    for name, table in told.items():
        pd.testing.assert_frame_equal(table, again[name], obj=name)


ESTIMATES = {
    "conversion": ["conversion"],
    "cohorts": ["conversion", "immature"],
    "time_in_stage": ["median_days", "within_target"],
    "curves": ["time", "incidence"],
    "drop_outs": ["share"],
    "transitions": ["share"],
    "bottlenecks": ["median_wait_days", "expected_days"],
}
COUNTS = {
    "conversion": ["n", "converted", "left", "waiting", "followed"],
    "time_in_stage": ["n", "censored"],
    "curves": ["at_risk", "events"],
    "drop_outs": ["n", "dropped"],
    "transitions": ["n"],
    "bottlenecks": ["waiting", "value_waiting", "money_waiting"],
    "speed": ["n", "groups"],
}


@seeds
def test_twice_as_many_of_the_same_partners_leave_estimates_and_double_counts(seed):
    tables = draw_programme(seed)
    twice = {}
    for name, table in tables.items():
        key = {"actions": "action_id", "sales": "sale_id"}.get(name)
        copy = table.assign(partner_id=table["partner_id"] + "-again")
        twice[name] = pd.concat([table, copy.assign(**{key: copy[key] + "-again"}) if key else copy])
    told, again = tell(fit(tables), tables), tell(fit(twice), twice)
    assert len(again["decisions"]) == 2 * len(told["decisions"])
    for name, columns in ESTIMATES.items():
        pd.testing.assert_frame_equal(told[name][columns], again[name][columns], obj=name, rtol=1e-9)
    for name, columns in COUNTS.items():
        factor = [1 if column == "groups" else 2 for column in columns]
        pd.testing.assert_frame_equal(
            told[name][columns] * factor, again[name][columns], obj=name, check_dtype=False, rtol=1e-9
        )
    # What is told of who waits when there are few is told of twice as many, and perhaps more.
    told_before = told["waiting"][["stage", "attribute", "value", "share"]]
    kept = told_before.merge(again["waiting"], on=["stage", "attribute", "value"], how="left")
    assert kept["share_x"].to_numpy() == pytest.approx(kept["share_y"].to_numpy())
    for name in ("conversion", "time_in_stage"):
        one, two = (table[name]["upper"] - table[name]["lower"] for table in (told, again))
        both = one.notna() & two.notna()
        assert (two <= one + 1e-12)[both].all() and (two < one)[both].any()


@seeds
def test_twice_as_many_decisions_leave_what_they_say_where_nothing_is_shrunk(seed):
    """Effects are shrunk by how many there are; the shares in them, before it, move by the ridge at most."""
    tables = draw_programme(seed)
    decisions = fit(tables).decisions_
    twice = pd.concat([decisions, decisions.assign(partner_id=decisions["partner_id"] + "-again")])
    one, two = (estimate_action_effects(rows).set_index(["action", "stage"]) for rows in (decisions, twice))
    both = one["chance_with"].notna()
    assert both.any()
    # More decisions are compared within finer classes: then some have none without a step in theirs.
    same = both & (two["n"] == 2 * one["n"]) & (two["n_without"] == 2 * one["n_without"])
    assert same.sum() >= both.sum() / 2
    assert two.loc[same, "chance_with"].to_numpy() == pytest.approx(one.loc[same, "chance_with"].to_numpy())
    gap = (two["effect_value"] - one["effect_value"]).abs()
    reach = (one["upper_value"] - one["lower_value"]) / 2
    assert (gap <= reach)[gap.notna()].all()
