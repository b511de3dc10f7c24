from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partnerseg.journey.decisions import DECISIONS
from partnerseg.journey.effects import EFFECTS, estimate_action_effects
from partnerseg.journey.stages import Journey
from partnerseg.journey.survival import compare_shares, cumulative_incidence, kaplan_meier

DATA = Path(__file__).parents[2].parent / "shared" / "data"
LUNG = DATA / "survival_references"
STAGES, EXITS = ["recruited", "onboarded", "activated"], ["dormant", "left"]

outcomes = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2)), min_size=1, max_size=40)


def make_stages(*rows):
    """Rows are (partner_id, stage, entered_at) or with deal_id and arrived_at after these."""
    names = ["partner_id", "stage", "entered_at", "deal_id", "arrived_at"]
    table = pd.DataFrame([[*row, *[None] * (5 - len(row))] for row in rows], columns=names)
    times = {name: pd.to_datetime(table[name], format="ISO8601") for name in ("entered_at", "arrived_at")}
    return table.assign(**times)


def fit(*rows, as_of="2026-06-30", **options):
    return Journey(STAGES, EXITS, **options).fit({"stages": make_stages(*rows)}, as_of)


def days_after(start, days):
    return str(pd.Timestamp(start) + pd.Timedelta(days=days))


# Curves


@pytest.mark.skipif(not LUNG.is_dir(), reason="../shared/data/survival_references is absent: no printed Kaplan-Meier")
@pytest.mark.parametrize("strata", ["all", "sex=1", "sex=2"])
def test_kaplan_meier_of_lung_is_that_of_r(strata):
    lung = pd.read_csv(LUNG / "lung.csv")
    expected = pd.read_csv(LUNG / "expected_km_lung.csv").query("strata == @strata")
    if strata != "all":
        lung = lung[lung["sex"] == int(strata[-1])]
    curve = kaplan_meier(lung["time"], lung["status"] == 1)
    assert curve["time"].tolist() == expected["time"].tolist()
    assert curve["at_risk"].tolist() == expected["n_risk"].tolist()
    assert curve["events"].tolist() == expected["n_event"].tolist()
    for ours, theirs in {"survival": "surv", "std_err": "std_err", "lower": "lower95", "upper": "upper95"}.items():
        np.testing.assert_allclose(curve[ours], expected[theirs], rtol=1e-10)


@pytest.mark.skipif(not LUNG.is_dir(), reason="../shared/data/survival_references is absent: no published median")
def test_median_of_lung_is_the_published_one():
    lung = pd.read_csv(LUNG / "lung.csv")
    start = pd.Timestamp("2020-01-01")
    rows = []
    for number, (time, status) in enumerate(zip(lung["time"], lung["status"], strict=True)):
        entered = start + pd.Timedelta(days=2000 - time)
        rows.append((f"p{number}", "recruited", str(entered)))
        if status == 1:
            rows.append((f"p{number}", "left", days_after(entered, time)))
    as_of = days_after(start, 2000)[:10]
    table = fit(*rows, as_of=as_of).time_in_stage().set_index("stage").loc["recruited"]
    assert (table["n"], table["censored"]) == (228, 63)
    assert tuple(table[["median_days", "lower", "upper"]]) == (310, 285, 363)


def test_kaplan_meier_worked_by_hand_with_ties():
    # 6 at risk: at 2 two leave and one is still there (4/6), at 5 one of 3 (2/3), at 7 both (0).
    curve = kaplan_meier([2, 2, 2, 5, 7, 7], [1, 1, 0, 1, 1, 1])
    assert curve["at_risk"].tolist() == [6, 3, 2]
    np.testing.assert_allclose(curve["survival"], [4 / 6, 4 / 9, 0])
    assert curve.loc[2, ["lower", "upper"]].isna().all()


def test_cumulative_incidence_worked_by_hand_with_ties():
    # time  at risk  way 1  way 2  still there     S before   F1              F2
    #  1       10      1      1        0              1        1/10            1/10
    #  3        8      2      1        1             8/10      1/10 + 2/10     1/10 + 1/10
    #  4        4      0      1        1             1/2       3/10            2/10 + 1/8
    #  6        2      1      1        0             3/8       3/10 + 3/16     13/40 + 3/16
    duration = [1, 1, 3, 3, 3, 3, 4, 4, 6, 6]
    event = [1, 2, 1, 1, 2, 0, 2, 0, 1, 2]
    table = cumulative_incidence(duration, event)
    one, two = (table[table["event"] == kind] for kind in (1, 2))
    assert one["at_risk"].tolist() == two["at_risk"].tolist() == [10, 8, 4, 2]
    np.testing.assert_allclose(one["incidence"], [0.1, 0.3, 0.3, 0.4875])
    np.testing.assert_allclose(two["incidence"], [0.1, 0.2, 0.325, 0.5125])
    # Variance of F1 at 3: 0.2^2 * 2/(10*8) + [1*1*9/10^3 + 0.64*2*6/8^3] - 2 * 0.2 * 1*1/10^2
    assert one["std_err"].iloc[1] == pytest.approx(np.sqrt(0.001 + 0.009 + 0.015 - 0.004))


@given(outcomes, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_of_rows_is_irrelevant(pairs, random):
    shuffled = random.sample(pairs, len(pairs))
    for table in (lambda rows: cumulative_incidence(*zip(*rows, strict=True)),
                  lambda rows: kaplan_meier([row[0] for row in rows], [row[1] > 0 for row in rows])):  # fmt: skip
        pd.testing.assert_frame_equal(table(pairs), table(shuffled))


@given(outcomes)
@settings(max_examples=60, deadline=None)
def test_incidences_and_survival_sum_to_one(pairs):
    duration, event = np.array(pairs).T
    table = cumulative_incidence(duration, event)
    total = table.groupby("time")["incidence"].sum()
    survival = kaplan_meier(duration, event > 0).set_index("time")["survival"]
    if len(table):
        np.testing.assert_allclose(total + survival, 1)


@given(outcomes)
@settings(max_examples=60, deadline=None)
def test_without_competition_the_incidence_is_kaplan_meier_and_greenwood(pairs):
    duration, event = np.array(pairs).T
    table, curve = cumulative_incidence(duration, event > 0), kaplan_meier(duration, event > 0)
    if len(table):
        np.testing.assert_allclose(table["incidence"], 1 - curve["survival"], atol=1e-12)
        still = curve["survival"] > 0
        np.testing.assert_allclose(table["std_err"][still], curve["std_err"][still], atol=1e-9)


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")  # statsmodels divides by zero at the last time
def test_same_incidence_and_standard_error_as_statsmodels():
    from statsmodels.duration.survfunc import CumIncidenceRight

    random = np.random.default_rng(3)
    duration, event = random.integers(1, 20, 60), random.integers(0, 3, 60)
    theirs, table = CumIncidenceRight(duration, event), cumulative_incidence(duration, event)
    for kind in (1, 2):
        ours = table[table["event"] == kind].set_index("time").loc[theirs.times]
        np.testing.assert_allclose(ours["incidence"], theirs.cinc[kind - 1], atol=1e-12)
        np.testing.assert_allclose(ours["std_err"][:-1], theirs.cinc_se[kind - 1][:-1], atol=1e-12)


@pytest.mark.parametrize("duration", [[1.0, np.nan], [1.0, -1.0]])
def test_impossible_durations_are_refused(duration):
    with pytest.raises(ValueError, match="1 durations are missing or negative, must be >= 0"):
        kaplan_meier(duration, [True, True])


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="2 durations and 1 events"):
        cumulative_incidence([1, 2], [1])


# Spells


def test_current_stage_and_days():
    journey = fit(
        ("p1", "recruited", "2026-06-01 23:00"), ("p1", "onboarded", "2026-06-20"), ("p2", "left", "2026-06-30")
    )
    current = journey.current_.set_index("partner_id")
    assert current["stage"].to_dict() == {"p1": "onboarded", "p2": "left"}
    assert current["days_in_stage"].to_dict() == {"p1": 10, "p2": 0}
    assert journey.spells_["days"].tolist() == [19, 10, 0]


def test_deals_travel_on_their_own():
    journey = fit(
        ("p1", "recruited", "2026-01-01", "d1"),
        ("p1", "onboarded", "2026-02-01", "d1"),
        ("p1", "recruited", "2026-03-01", "d2"),
        ("p1", "activated", "2026-04-01"),
    )
    assert len(journey.current_) == 3
    assert journey.current_.groupby("deal_id", dropna=False)["stage"].first().to_dict() == {
        "d1": "onboarded", "d2": "recruited", np.nan: "activated"
    }  # fmt: skip


def test_a_deal_handed_over_goes_on_with_its_new_partner():
    journey = fit(("p2", "recruited", "2026-01-01", "d1"), ("p1", "onboarded", "2026-02-01", "d1"))
    assert journey.current_[["partner_id", "stage"]].to_numpy().tolist() == [["p1", "onboarded"]]
    assert journey.counts_["deals_of_several_partners"] == 1


def test_a_deal_and_a_partner_of_the_same_name_are_two_travelers():
    assert len(fit(("x", "recruited", "2026-01-01"), ("p", "onboarded", "2026-02-01", "x")).current_) == 2


def test_standing_since_an_unknown_day_counts_but_not_in_times():
    journey = fit(("p1", "recruited", None), ("p2", "recruited", "2026-01-01"), ("p2", "onboarded", "2026-01-31"))
    current = journey.current_.set_index("partner_id")
    assert current.loc["p1", "stage"] == "recruited" and np.isnan(current.loc["p1", "days_in_stage"])
    assert journey.time_in_stage().set_index("stage").loc["recruited", ["n", "censored", "median_days"]].tolist() == [
        1,
        0,
        30,
    ]
    assert journey.conversion().set_index("stage").loc["recruited", "n"] == 1
    assert journey.counts_["since_unknown_day"] == 1


def test_an_undated_row_behind_the_dated_ones_is_past():
    journey = fit(("p1", "recruited", None), ("p1", "onboarded", "2026-01-31"))
    assert journey.current_["stage"].tolist() == ["onboarded"]
    assert journey.counts_["undated_rows_taken_as_past"] == 1
    again = fit(("p1", "onboarded", None), ("p1", "onboarded", "2026-01-31"))
    assert again.current_["days_in_stage"].tolist() == [150]
    assert [again.counts_[name] for name in ("undated_rows_taken_as_past", "since_unknown_day")] == [1, 0]


def test_an_undated_row_ahead_of_the_dated_ones_ends_them_on_an_unknown_day():
    journey = fit(("p1", "recruited", "2026-01-31"), ("p1", "activated", None))
    assert journey.current_["stage"].tolist() == ["activated"]
    assert journey.counts_["left_on_unknown_day"] == 1
    assert journey.time_in_stage()["n"].sum() == 0
    moves = journey.transitions().dropna(subset=["next_stage"])
    assert moves[["stage", "next_stage", "n"]].to_numpy().tolist() == [["recruited", "activated", 1]]


def test_loops_and_skips_are_allowed_and_repetitions_are_one_spell():
    journey = fit(
        ("p1", "recruited", "2026-01-01"),
        ("p1", "recruited", "2026-01-11"),
        ("p1", "activated", "2026-01-21"),
        ("p1", "dormant", "2026-02-01"),
        ("p1", "activated", "2026-03-01"),
    )
    assert journey.spells_["stage"].tolist() == ["recruited", "activated", "dormant", "activated"]
    assert journey.spells_["days"].tolist()[0] == 20
    assert journey.counts_["rows_repeating_a_stage"] == 1
    assert journey.conversion().set_index("stage").loc["recruited", "converted"] == 1


def test_stages_of_one_moment_follow_their_order():
    journey = fit(("p1", "onboarded", "2026-01-01"), ("p1", "recruited", "2026-01-01"))
    assert journey.current_["stage"].tolist() == ["onboarded"]
    assert journey.conversion().set_index("stage").loc["recruited", ["n", "conversion"]].tolist() == [1, 1.0]


def test_rows_after_as_of_are_not_seen():
    known = [("p1", "recruited", "2026-01-01"), ("p2", "recruited", "2026-06-30 23:59")]
    later = [
        ("p1", "onboarded", "2026-07-01"),
        ("p2", "onboarded", "2026-06-30", None, "2026-07-01"),
        ("p3", "recruited", None, None, "2026-07-02"),
        ("p4", "no such stage", "2026-08-01"),
    ]
    alone, together = fit(*known), fit(*known, *later)
    pd.testing.assert_frame_equal(alone.spells_, together.spells_)
    assert together.counts_["rows_after_as_of"] == 4


def test_order_of_the_table_is_irrelevant():
    rows = [(f"p{i % 7}", (STAGES + EXITS)[i % 5], days_after("2025-01-01", (i * 37) % 400)) for i in range(60)]
    pd.testing.assert_frame_equal(fit(*rows).spells_, fit(*reversed(rows)).spells_)


def test_unknown_stage_names_the_nearest():
    with pytest.raises(
        ValueError, match=r"'onbord' must be one of recruited, .*did you mean 'onboarded'\?.*journey\.stages"
    ):
        fit(("p1", "onbord", "2026-01-01"))


@pytest.mark.parametrize(
    "declared", [([], []), (["a", "a"], []), (["a"], ["a"])], ids=["no stages", "stage twice", "stage and exit"]
)
def test_impossible_stages_are_refused(declared):
    with pytest.raises(ValueError, match=r"edit journey\.stages"):
        Journey(*declared)


def test_horizon_is_at_least_a_day():
    with pytest.raises(ValueError, match="horizon_days == 0, must be >= 1"):
        Journey(STAGES, horizon_days=0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("data", [{}, {"stages": make_stages()}, {"stages": make_stages(("p1", "left", "2027-01-01"))}])
def test_without_rows_results_are_empty_with_their_columns(data, tmp_path):
    journey = Journey(STAGES, EXITS).fit(data, "2026-06-30")
    value = pd.Series({"p1": 1.0})
    spans = ["lower", "upper"]
    empty = {
        "current": (journey.current_, ["partner_id", "deal_id", "stage", "entered_at", "days_in_stage"]),
        "conversion": (
            journey.conversion(),
            ["group", "stage", "n", "converted", "left", "waiting", "conversion", *spans,
             "horizon_days", "cohort", "followed", "immature", "followed_days", "so_far", "so_far_lower",
             "so_far_upper"],
        ),
        "times": (
            journey.time_in_stage(by=value),
            ["group", "stage", "n", "censored", "median_days", *spans, "target_days", "within_target"],
        ),
        "bottlenecks": (
            journey.bottlenecks(value),
            ["stage", "waiting", "unknown", "median_wait_days", "expected_days", "value_waiting", "money_waiting"],
        ),
        "transitions": (journey.transitions(), ["group", "stage", "next_stage", "n", "share"]),
        "drop_outs": (journey.drop_outs(), ["group", "stage", "exit", "n", "dropped", "share", *spans]),
        "curves": (
            journey.curves(),
            ["group", "stage", "outcome", "time", "at_risk", "events", "incidence", "std_err"],
        ),
        "speed": (journey.compare_groups(value), ["stage", "groups", "n", "statistic", "pvalue", "pvalue_adj"]),
        "waiting": (
            journey.describe_waiting(value.astype(str).to_frame("type")),
            ["stage", "attribute", "value", "n", "waiting", "share", "share_gone_on", "difference", *spans],
        ),
        "effects": (estimate_action_effects(journey.decisions_), EFFECTS),
        "decisions": (journey.decisions_, list(DECISIONS)),
    }  # fmt: skip
    for table, columns in empty.values():
        assert table.empty and list(table.columns) == columns
    for objective in ("chance", "time", "value"):
        route = journey.route("recruited", "activated", objective=objective)
        assert route["reason"].tolist() == ["nothing is known of leaving recruited: no action was seen often enough"]
    journey.save(tmp_path)
    assert Journey.load(tmp_path).current_.empty


# Conversion, time, money


def test_conversion_counts_what_is_known_and_lets_exits_compete():
    """Ten enter: 4 move on at day 10, 2 leave at day 20, 4 are followed for longer than the horizon."""
    rows = []
    for number in range(10):
        rows.append((f"p{number}", "recruited", "2026-01-01"))
        if number < 6:
            stage, days = ("onboarded", 10) if number < 4 else ("left", 20)
            rows.append((f"p{number}", stage, days_after("2026-01-01", days)))
    found = fit(*rows).conversion().set_index("stage").loc["recruited"]
    assert found[["n", "converted", "left", "waiting"]].tolist() == [10, 4, 2, 0]
    # Nobody is censored: the share and Wilson's interval of 4 of 10 (Newcombe's formula by hand).
    assert found["conversion"] == pytest.approx(0.4)
    assert (found["lower"], found["upper"]) == pytest.approx((0.1682, 0.6873), abs=1e-4)


def test_the_last_day_of_the_horizon_counts():
    """Two go on and one leaves on day 30, one on day 31; one has waited for 30 days, one for 29."""
    rows = [row for number in range(2) for row in enter(number, "2026-01-01", "onboarded", 30)]
    rows += [*enter(2, "2026-01-01", "left", 30), *enter(3, "2026-01-01", "onboarded", 31)]
    rows += [*enter(4, "2026-05-31"), *enter(5, "2026-06-01")]
    found = fit(*rows).conversion(horizon_days=30).set_index("stage").loc["recruited"]
    assert found[["converted", "left", "waiting", "followed"]].tolist() == [2, 1, 1, 5]
    assert found["conversion"] == pytest.approx(2 / 5)  # five are at risk on day 30


def test_going_back_is_no_conversion():
    found = fit(("p1", "onboarded", "2026-01-01"), ("p1", "recruited", "2026-01-11")).conversion().set_index("stage")
    assert found.loc["onboarded", ["converted", "left", "conversion"]].tolist() == [0, 1, 0]


def test_those_still_on_the_way_are_not_taken_as_failures():
    """Half enter too late to be followed; among the others 60% move on at day 30."""
    rows = []
    for number in range(20):
        entered = "2026-01-01" if number < 10 else "2026-06-20"
        rows.append((f"p{number}", "recruited", entered))
        if number < 6:
            rows.append((f"p{number}", "onboarded", days_after(entered, 30)))
    found = fit(*rows).conversion().set_index("stage").loc["recruited"]
    assert found["waiting"] == 10
    assert found["conversion"] == pytest.approx(0.6)


def test_conversion_is_missing_before_anybody_was_followed_so_long():
    rows = [("p1", "recruited", "2026-06-01"), ("p1", "onboarded", "2026-06-11"), ("p2", "recruited", "2026-06-01")]
    journey = fit(*rows)
    assert journey.conversion().set_index("stage").loc["recruited", ["conversion", "lower", "upper"]].isna().all()
    assert journey.conversion(horizon_days=20).set_index("stage").loc["recruited", "conversion"] == pytest.approx(0.5)


def test_nobody_moving_on_gives_zero_with_an_interval():
    rows = [(f"p{number}", "recruited", "2026-01-01") for number in range(10)]
    found = fit(*rows).conversion().set_index("stage").loc["recruited"]
    assert found["conversion"] == 0 and found["lower"] == 0
    assert found["upper"] == pytest.approx(1.959964**2 / (10 + 1.959964**2), abs=1e-6)  # Wilson for 0 of 10


def test_groups_leave_out_other_partners_and_name_the_unknown():
    rows = [(f"p{number}", "recruited", "2026-01-01") for number in range(4)]
    by = pd.Series({"p0": "north", "p1": "south", "p2": None})
    counts = fit(*rows).conversion(by=by).query("stage == 'recruited'").set_index("group")["n"]
    assert counts.to_dict() == {"north": 1, "south": 1, "unknown": 1}


def test_median_that_is_not_reached_is_missing():
    rows = [("p1", "recruited", "2026-01-01"), ("p1", "onboarded", "2026-01-02"),
            ("p2", "recruited", "2026-01-01"), ("p3", "recruited", "2026-01-01")]  # fmt: skip
    found = fit(*rows).time_in_stage().set_index("stage").loc["recruited"]
    assert np.isnan(found["median_days"]) and found["censored"] == 2


def simulate_spells(random, n, rate, exit_rate, days):
    """Partners enter evenly over `days` and leave at the rates a day; half or so are still there."""
    rows = []
    for number in range(n):
        entered = random.uniform(0, days)
        stay, out = random.exponential(1 / rate), random.exponential(1 / exit_rate)
        rows.append((f"p{number}", "recruited", days_after("2024-01-01", entered)))
        if entered + min(stay, out) < days:
            left = days_after("2024-01-01", entered + min(stay, out))
            rows.append((f"p{number}", "onboarded" if stay < out else "left", left))
    return rows


def test_planted_median_and_conversion_are_recovered():
    random = np.random.default_rng(11)
    rate, exit_rate, days = np.log(2) / 80, np.log(2) / 240, 200
    rows = simulate_spells(random, 3_000, rate, exit_rate, days)
    journey = fit(*rows, as_of=days_after("2024-01-01", days - 1)[:10])
    times = journey.time_in_stage().set_index("stage").loc["recruited"]
    assert 0.2 < times["censored"] / times["n"] < 0.6
    assert times["median_days"] == pytest.approx(np.log(2) / (rate + exit_rate), rel=0.06)  # 60 days
    found = journey.conversion().set_index("stage").loc["recruited"]
    truth = rate / (rate + exit_rate) * (1 - np.exp(-(rate + exit_rate) * 90))
    assert found["lower"] < truth < found["upper"]
    assert found["conversion"] == pytest.approx(truth, abs=0.03)


def test_intervals_of_conversion_hold_their_level():
    """200 groups of 60 partners each; about a third are still on the way."""
    random = np.random.default_rng(5)
    rate, exit_rate, days = 0.01, 0.004, 250
    truth = rate / (rate + exit_rate) * (1 - np.exp(-(rate + exit_rate) * 90))
    rows = simulate_spells(random, 12_000, rate, exit_rate, days)
    by = pd.Series({f"p{number}": number % 200 for number in range(12_000)})
    found = fit(*rows, as_of=days_after("2024-01-01", days - 1)[:10]).conversion(by=by).query("stage == 'recruited'")
    held = (found["lower"] <= truth) & (truth <= found["upper"])
    assert len(found) == 200 and 180 <= held.sum() <= 199  # under a level of 95% both ends come up once in 500


def test_money_waits_where_value_and_delay_are():
    """Recruited: all leave on day 10. Onboarded: half leave on day 100, half on day 200."""
    rows = [("w1", "recruited", "2026-06-30"), ("w2", "onboarded", "2026-06-30"), ("w3", "onboarded", None)]
    for number in range(50):
        rows.append((f"r{number}", "recruited", "2025-01-01"))
        rows.append((f"r{number}", "left", days_after("2025-01-01", 10)))
        rows.append((f"o{number}", "onboarded", "2025-01-01"))
        rows.append((f"o{number}", "left", days_after("2025-01-01", 100 if number % 2 else 200)))
    value = pd.Series({"w1": 730.0, "w2": 730.0, "w3": 730.0, "r0": 1.0, "elsewhere": 5.0})
    found = fit(*rows).bottlenecks(value)
    assert found["stage"].tolist() == ["onboarded", "recruited"]
    first, second = found.iloc[0], found.iloc[1]
    assert (first["waiting"], first["unknown"], first["value_waiting"]) == (2, 1, 1460)
    assert first["expected_days"] == pytest.approx(150)
    assert first["money_waiting"] == pytest.approx(730 * 150 / 365)
    assert second["money_waiting"] == pytest.approx(730 * 10 / 365)


def test_who_has_waited_past_the_early_leavers_is_expected_to_stay_for_the_rest():
    """Half leave on day 100, half on day 200: after 120 days it is 80 more."""
    rows = [("w", "onboarded", days_after("2026-06-30", -120))]
    for number in range(2_000):
        rows.append((f"o{number}", "onboarded", "2025-01-01"))
        rows.append((f"o{number}", "left", days_after("2025-01-01", 100 if number % 2 else 200)))
    found = fit(*rows).bottlenecks(pd.Series({"w": 365.0})).set_index("stage").loc["onboarded"]
    assert found["expected_days"] == pytest.approx(80, abs=0.1)


def test_money_of_a_stage_without_known_times_is_missing_not_zero():
    found = fit(("p1", "recruited", None)).bottlenecks(pd.Series({"p1": 10.0})).set_index("stage").loc["recruited"]
    assert found["waiting"] == 1 and found["unknown"] == 1
    assert np.isnan(found["money_waiting"]) and found["value_waiting"] == 10


def test_transitions_are_shares_of_moves():
    rows = []
    for number, stage in enumerate(["onboarded", "onboarded", "activated", "left", None]):
        rows.append((f"p{number}", "recruited", "2026-01-01"))
        if stage:
            rows.append((f"p{number}", stage, "2026-02-01"))
    found = fit(*rows).transitions()
    still = found[found["next_stage"].isna()]
    assert (
        still.set_index("stage")["n"].to_dict() == {"recruited": 1, "onboarded": 2, "activated": 1, "left": 1}
        and still["share"].isna().all()
    )
    assert found.drop(columns="group").dropna(subset=["next_stage"]).to_numpy().tolist() == [
        ["recruited", "onboarded", 2, 0.5], ["recruited", "activated", 1, 0.25], ["recruited", "left", 1, 0.25]
    ]  # fmt: skip


# Routes


def make_log(*rows):
    """Rows are (partner_id, action, taken_at)."""
    log = pd.DataFrame(rows, columns=["partner_id", "action", "taken_at"])
    return log.assign(taken_at=pd.to_datetime(log["taken_at"]), action_id=[f"a{place}" for place in range(len(log))])


def make_called(n=400):
    """All enter recruited on the first of January; of those called two in three are activated, of the others one.

    Calls are all on the second, and who goes on does so by way of onboarded on the thirtieth: activated in June.
    """
    rows, log = [], []
    for number in range(n):
        partner, called = f"p{number}", number % 2 == 0
        rows.append((partner, "recruited", "2025-01-01"))
        if called:
            log.append((partner, "call", "2025-01-02"))
        if number // 2 % 3 < (2 if called else 1):
            rows += [(partner, "onboarded", "2025-01-30"), (partner, "activated", "2025-06-10")]
    return {"stages": make_stages(*rows), "actions": make_log(*log)}


@pytest.fixture(scope="module")
def called():
    return Journey(STAGES, EXITS, horizon_days=90).fit(make_called(), "2025-12-31")


def test_route_takes_the_step_that_led_on_more_often(called):
    route = called.route("recruited", "activated", alternatives=1, within_days=270)
    best, other = (route[route["route"] == number] for number in (1, 2))
    assert best[["stage", "action", "next_stage"]].to_numpy().tolist() == [
        ["recruited", "call", "onboarded"],
        ["onboarded", "none", "activated"],
    ]
    assert other["action"].tolist() == ["none", "none"]
    assert (best["n"] >= 100).all()
    assert best["lower"].iloc[0] < best["route_chance"].iloc[0] < best["upper"].iloc[0]
    assert other["loses"].iloc[0] > 0.1


def test_the_likelier_way_is_told_through_logged_decisions():
    """9 of 10 go recruited > onboarded > activated, 1 of 10 jumps; whoever is in a stage gets a call in it."""
    rows, log = [], []
    for number in range(100):
        partner = f"p{number}"
        rows.append((partner, "recruited", "2025-01-01"))
        log.append((partner, "call", "2025-01-02"))
        if number % 10:
            rows.append((partner, "onboarded", "2025-03-21"))
            log.append((partner, "call", "2025-04-02"))
        rows.append((partner, "activated", "2025-03-21" if number % 10 == 0 else "2025-06-10"))
    journey = Journey(STAGES, EXITS).fit({"stages": make_stages(*rows), "actions": make_log(*log)}, "2025-12-31")
    # Everybody got the call, so what it did is not known: by itself the journey routes over no such step.
    told = journey.route("recruited", "activated", alternatives=0)
    assert told["reason"].tolist() == ["nothing is known of leaving recruited: no action was seen often enough"]
    route = journey.route("recruited", "activated", alternatives=0, unclear=True)
    assert route["next_stage"].tolist() == ["onboarded", "activated"]
    assert route["chance"].tolist() == pytest.approx([0.9, 1.0], abs=0.01)
    assert route["route_chance"].iloc[0] == pytest.approx(1.0, abs=0.01)


def test_route_of_a_partner_starts_where_it_stands(called):
    waiting = called.current_.query("stage == 'recruited'")["partner_id"].iloc[0]
    pd.testing.assert_frame_equal(called.route(waiting, "activated"), called.route("recruited", "activated"))
    arrived = called.current_.query("stage == 'activated'")["partner_id"].iloc[0]
    assert called.route(arrived, "activated")["reason"].tolist() == ["already in activated"]


def test_route_of_an_unknown_partner_or_of_deals_is_refused(called):
    with pytest.raises(ValueError, match=r"partner == 'p9999' stands in no stage by 2025-12-31.*start from: recruited"):
        called.route("p9999", "activated")
    deals = fit(("p1", "recruited", "2026-01-01", "d1"))
    with pytest.raises(ValueError, match="partner == 'p1' has deals that travel, and no stage of its own"):
        deals.route("p1", "activated")


def test_route_without_a_channel_or_a_step(called):
    channels = {"call": ["phone"], "visit": ["phone", "email"]}
    free = called.route("recruited", "activated", alternatives=0, channels=channels)
    assert free["action"].iloc[0] == "call" and free["avoiding_costs"].iloc[0] == 0
    for avoid in (["phone"], ["call"]):
        bound = called.route("recruited", "activated", avoid=avoid, alternatives=0, channels=channels)
        assert bound["action"].tolist() == ["none", "none"]
        assert bound["avoiding_costs"].iloc[0] == pytest.approx(
            free["route_chance"].iloc[0] - bound["route_chance"].iloc[0]
        )
    email = called.route("recruited", "activated", avoid=["email"], alternatives=0, channels=channels)
    assert email["action"].iloc[0] == "call"
    with pytest.raises(ValueError, match="avoid: 'phon' is not known; did you mean 'phone'"):
        called.route("recruited", "activated", avoid=["phon"], channels=channels)


def test_a_journey_that_knows_the_actions_avoids_their_channels(called, tmp_path):
    actions = {"call": {"stages": ["recruited"], "channels": ["phone"], "cost": 3.0}}
    knowing = Journey(STAGES, EXITS, horizon_days=90).fit(make_called(), "2025-12-31", actions=actions)
    knowing.save(tmp_path)
    for journey in (knowing, Journey.load(tmp_path)):
        free, bound = (journey.route("recruited", "activated", avoid=avoid) for avoid in ([], "phone"))
        assert free["action"].iloc[0] == "call" and "call" not in set(bound["action"])
        assert 3 <= free["route_cost"].iloc[0] <= 4 * 3  # of at most four periods
    assert np.isnan(called.route("recruited", "activated")["route_cost"].iloc[0])
    with pytest.raises(
        ValueError, match=r"avoid: 'phone' is no action .*pass channels=\{action: .*actions=params\.actions to fit"
    ):
        called.route("recruited", "activated", avoid=["phone"])
    assert "call" not in set(called.route("recruited", "activated", avoid=["call"])["action"])


def test_routes_take_no_step_that_harms_or_is_not_clear_or_not_planned_there():
    """Mail goes with fewer moves; of those who got neither, one in three moves on."""
    tables = make_called()
    number = tables["stages"]["partner_id"].str[1:].astype(int)
    log = make_log(*[(f"p{n}", "mail", "2025-01-02") for n in range(400) if n // 2 % 3 == 2 and n % 2])
    tables["actions"] = pd.concat([tables["actions"], log.assign(action_id="m" + log["action_id"])])
    journey = Journey(STAGES, EXITS, horizon_days=90).fit(tables, "2025-12-31")
    effects = estimate_action_effects(journey.decisions_).set_index("action")
    assert number.nunique() == 400 and effects.loc["mail", "upper_chance"] < 0 < effects.loc["call", "lower_chance"]
    for unclear in (False, True):
        assert journey.process(unclear=unclear).actions == ("none", "call")
    own = effects.loc[["call"]].assign(lower_chance=-0.1).reset_index()
    assert journey.process(effects=own).actions == ("none",)
    assert journey.process(effects=own, unclear=True).actions == ("none", "call")
    elsewhere = {"call": {"stages": ["onboarded"]}}
    assert journey.process(actions=elsewhere, unclear=True).actions == ("none",)
    # What is told of a segment alone says nothing about everybody.
    segment = effects.loc[["call"]].reset_index().assign(segment="a")
    assert journey.process(effects=segment).actions == ("none",)


@pytest.mark.filterwarnings("error")
def test_without_logged_steps_the_likeliest_way_is_told(tmp_path):
    journey = Journey(STAGES, EXITS).fit({"stages": make_called()["stages"]}, "2025-12-31")
    route = journey.route("recruited", "activated", within_days=360)
    assert route["route"].tolist() == [1, 1] and route["action"].tolist() == ["none", "none"]
    assert route["next_stage"].tolist() == ["onboarded", "activated"]
    assert 0 < route["lower"].iloc[0] < route["route_chance"].iloc[0] < route["upper"].iloc[0] < 1
    assert estimate_action_effects(journey.decisions_).empty
    journey.save(tmp_path)
    again = Journey.load(tmp_path)
    pd.testing.assert_frame_equal(again.decisions_, journey.decisions_)
    pd.testing.assert_frame_equal(again.route("recruited", "activated", within_days=360), route)


@pytest.mark.filterwarnings("error")
def test_a_journey_of_deals_has_no_decisions_and_no_route():
    rows = [row for number in range(30) for row in ((f"p{number}", "recruited", "2025-01-01", f"d{number}"),
            (f"p{number}", "activated", "2025-06-01", f"d{number}"))]  # fmt: skip
    journey = Journey(STAGES, EXITS).fit({"stages": make_stages(*rows), "actions": make_log()}, "2025-12-31")
    assert journey.decisions_.empty and journey.conversion()["n"].iloc[0] == 30
    for objective in ("chance", "time", "value"):
        route = journey.route("recruited", "activated", objective=objective)
        assert route["reason"].tolist() == ["nothing is known of leaving recruited: no action was seen often enough"]


def test_a_frozen_journey_tells_the_same(tmp_path):
    rows = [("p1", "recruited", "2026-01-01"), ("p1", "onboarded", "2026-02-01"), ("p2", "recruited", None),
            ("p3", "onboarded", "2026-03-01", "d1")]  # fmt: skip
    journey = fit(*rows, horizon_days=30)
    journey.save(tmp_path)
    again = Journey.load(tmp_path)
    assert (again.stages, again.exits, again.horizon_days) == (journey.stages, journey.exits, 30)
    assert (again.as_of_, again.counts_) == (journey.as_of_, journey.counts_)
    pd.testing.assert_frame_equal(again.current_, journey.current_)
    pd.testing.assert_frame_equal(again.conversion(), journey.conversion())


# Cohorts, horizons, targets, exits, groups


def enter(number, entered, stage=None, after=0):
    """A partner that enters recruited and, `after` days later, a stage."""
    rows = [(f"p{number}", "recruited", entered)]
    return [*rows, (f"p{number}", stage, days_after(entered, after))] if stage else rows


def test_cohorts_are_told_apart_and_the_young_ones_flagged():
    rows = []
    for number in range(40):  # a year ago every second one went on after 30 days; of this June's nobody could yet
        rows += enter(number, "2025-06-10", "onboarded" if number % 2 else None, 30)
        rows += enter(100 + number, "2026-06-10")
    told = fit(*rows).conversion(cohort="quarter", horizon_days=[20, 60])
    told = told[told["stage"] == "recruited"].set_index(["cohort", "horizon_days"])
    old, young = pd.Timestamp("2025-04-01"), pd.Timestamp("2026-04-01")
    assert told.loc[(old, 20), "conversion"] == 0 and told.loc[(old, 60), "conversion"] == 0.5
    assert not told.loc[old, "immature"].any() and told.loc[old, "followed"].tolist() == [40, 40]
    assert told.loc[(young, 20), "conversion"] == 0 and not told.loc[(young, 20), "immature"]
    assert np.isnan(told.loc[(young, 60), "conversion"]) and told.loc[(young, 60), "immature"]
    assert told.loc[(young, 60), "waiting"] == 40


def test_a_cohort_not_followed_for_the_horizon_is_told_only_so_far():
    """Entered this month, all who were in it for long have moved on: that is 100% of a curve that hangs on one.

    By hand: one a day enters on 11 to 30 June; the first three went on after 15 days, nobody else.
    """
    rows = []
    for number in range(20):
        rows += enter(number, days_after("2026-06-11", number), *(("onboarded", 15) if number < 3 else ()))
    told = fit(*rows).conversion(cohort="quarter", horizon_days=[90, 12, 9]).query("stage == 'recruited'")
    told = told.set_index("horizon_days")
    assert told["followed"].tolist() == [0, 8, 11] and told["immature"].tolist() == [True, True, False]
    # Ages are 19, 18, ..., 0 days; ten of twenty began 10 days ago or earlier.
    assert told["followed_days"].tolist() == [10, 10, 9]
    assert told.loc[90, ["conversion", "lower", "upper"]].isna().all()
    assert told.loc[90, "so_far"] == 0 < told.loc[90, "so_far_upper"] < 0.3
    assert told.loc[[12, 9], "conversion"].tolist() == [0, 0]
    sooner = []
    for number in range(20):
        sooner += enter(number, days_after("2026-06-11", number), *(("onboarded", 5) if number < 10 else ()))
    told = fit(*sooner).conversion(cohort="quarter").query("stage == 'recruited'").iloc[0]
    # All ten who were there for 6 days or more had left after 5: none of them can be censored before.
    assert told["followed_days"] == 10 and told["converted"] == 10 and np.isnan(told["conversion"])


def test_what_few_were_followed_for_is_not_told_whatever_came_of_it():
    """Of 20, one entered 60 days ago and left on day 50, the last to be there; the others entered 20 days ago."""
    rows = [row for number in range(1, 20) for row in enter(number, "2026-06-10", "left" if number < 5 else None, 3)]
    for stage in ("onboarded", "left"):
        journey = fit(*enter(0, "2026-05-01", stage, 50), *rows)
        told = journey.conversion(horizon_days=[15, 55]).query("stage == 'recruited'").set_index("horizon_days")
        assert told.loc[15, "conversion"] == 0 and np.isnan(told.loc[55, "conversion"])
        dropped = journey.drop_outs(horizon_days=55).query("stage == 'recruited'")
        assert dropped["share"].isna().all() and dropped["dropped"].tolist() == [4 + (stage == "left")]
        times = journey.time_in_stage(targets={"recruited": 55}).set_index("stage")
        assert np.isnan(times.loc["recruited", "within_target"])


def test_one_in_ten_followed_for_the_horizon_is_enough():
    for others, told in ((9, True), (10, False)):
        rows = [row for number in range(1, others + 1) for row in enter(number, "2026-06-20")]
        journey = fit(*enter(0, "2026-01-01"), *rows)
        found = journey.conversion().query("stage == 'recruited'").iloc[0]
        assert (found["followed"], found["immature"], pd.notna(found["conversion"])) == (1, True, told)


@pytest.mark.parametrize("level", [0, 1, 2, -0.5, np.nan])
def test_impossible_levels_are_refused(called, level):
    people = pd.DataFrame({"kind": ["agent"]}, index=["p0"])
    for tell in (
        called.conversion,
        called.time_in_stage,
        called.drop_outs,
        lambda level: called.describe_waiting(people, level=level),
        lambda level: called.route("recruited", "activated", level=level),
    ):
        with pytest.raises(ValueError, match=f"level == {level}, must be above 0 and below 1"):
            tell(level=level)


@pytest.mark.parametrize("days", [np.inf, np.nan, 0, -3, 30.5, "90"])
def test_impossible_horizons_are_refused(called, days):
    for tell in (called.conversion, called.drop_outs, lambda horizon_days: Journey(STAGES, EXITS, horizon_days)):
        with pytest.raises(ValueError, match=f"horizon_days == {days!r}, must be >= 1, a whole number"):
            tell(horizon_days=days)


@pytest.mark.parametrize("days", [np.inf, np.nan])
def test_impossible_times_of_routes_are_refused(called, days):
    with pytest.raises(ValueError, match=f"within_days == {days}, must be at least one period of 90 days and at most"):
        called.route("recruited", "activated", within_days=days)


def test_who_stands_twice_in_a_group_or_value_is_named(called):
    twice = pd.Series(["a", "b", "c"], index=["p0", "p1", "p1"])
    for tell in (
        lambda: called.conversion(by=twice),
        lambda: called.compare_groups(twice),
        lambda: called.bottlenecks(pd.Series(1.0, index=twice.index)),
        lambda: called.describe_waiting(twice.to_frame("kind")),
    ):
        with pytest.raises(
            ValueError, match=r"partner_id 'p1' stands in the index twice \(1 in all\), must .*leave one"
        ):
            tell()


def test_deals_are_grouped_by_what_they_are_about():
    rows = [(f"p{number % 2}", "recruited", "2026-01-01", f"d{number}") for number in range(6)]
    rows += [(f"p{number % 2}", "onboarded", "2026-01-11", f"d{number}") for number in range(3)]
    product = pd.Series({f"d{number}": "a" if number < 3 else "b" for number in range(6)}).rename_axis("deal_id")
    told = fit(*rows).conversion(by=product).query("stage == 'recruited'").set_index("group")
    assert told["conversion"].to_dict() == {"a": 1.0, "b": 0.0}


def test_unknown_cohorts_and_targets_are_refused():
    journey = fit(*enter(0, "2026-01-01"))
    with pytest.raises(ValueError, match="cohort == 'week'; possible values are: month, quarter, year"):
        journey.conversion(cohort="week")
    with pytest.raises(ValueError, match=r"journey.target_days: stage 'recrutied' must be .* did you mean 'recruited'"):
        journey.time_in_stage(targets={"recrutied": 30})
    with pytest.raises(ValueError, match=r"journey\.target_days\.recruited == 0, must be > 0 days"):
        journey.time_in_stage(targets={"recruited": 0})


def test_share_within_target_lets_exits_compete():
    """Of ten, four go on in 20 days, two leave after 5, four in 50."""
    rows = []
    for number in range(10):
        stage, after = ("onboarded", 20) if number < 4 else ("left", 5) if number < 6 else ("onboarded", 50)
        rows += enter(number, "2026-01-01", stage, after)
    told = fit(*rows).time_in_stage(targets={"recruited": 30}).set_index("stage")
    assert told.loc["recruited", ["target_days", "within_target"]].tolist() == [30, 0.4]
    assert np.isnan(told.loc["onboarded", "target_days"]) and np.isnan(told.loc["onboarded", "within_target"])


def test_drop_outs_by_exit_compete_with_going_on():
    """By hand: 8 enter; 2 go dormant after 10 days, 1 leaves after 20, 4 go on after 30, 1 waits."""
    rows = []
    for number in range(8):
        stage, after = ("dormant", 10) if number < 2 else ("left", 20) if number < 3 else ("onboarded", 30)
        rows += enter(number, "2026-01-01", *((stage, after) if number < 7 else ()))
    told = fit(*rows).drop_outs(horizon_days=40).query("stage == 'recruited'").set_index("exit")
    np.testing.assert_allclose(told["share"], [2 / 8, 1 / 8])
    assert told["dropped"].tolist() == [2, 1] and (told["n"] == 8).all()
    assert (told["lower"] < told["share"]).all() and (told["share"] < told["upper"]).all()


def test_curves_end_where_conversion_does():
    rows = [row for number in range(9) for row in enter(number, "2026-01-01", "onboarded" if number else None, 10)]
    journey = fit(*rows)
    curve = journey.curves().query("stage == 'recruited' and outcome == 'forward'")
    assert curve["incidence"].iloc[-1] == pytest.approx(journey.conversion()["conversion"].iloc[0]) == 8 / 9


def test_log_rank_of_lung_by_sex_is_the_published_one():
    if not LUNG.is_dir():
        pytest.skip("../shared/data/survival_references is absent: no published log-rank test")
    lung = pd.read_csv(LUNG / "lung.csv")
    rows = []
    for number, (time, dead) in enumerate(zip(lung["time"], lung["status"] == 1, strict=True)):
        entered = "2020-01-01" if dead else days_after("2025-12-31", -time)
        rows += enter(number, entered, "left" if dead else None, time)
    sex = {f"p{number}": str(own) for number, own in enumerate(lung["sex"])}
    told = fit(*rows, as_of="2025-12-31").compare_groups(pd.Series(sex)).set_index("stage")
    assert round(told.loc["recruited", "statistic"], 1) == 10.3
    assert round(told.loc["recruited", "pvalue"], 3) == 0.001


@pytest.mark.parametrize(
    "rows",
    [
        # Of the group c nobody was there for long enough to see the first of a and b leave.
        [*enter(0, "2026-01-01", "onboarded", 30), *enter(1, "2026-01-01", "onboarded", 60), *enter(2, "2026-06-29")],
        # All leave on the same day.
        [row for number in range(3) for row in enter(number, "2026-01-01", "onboarded", 30)],
        # Nobody leaves.
        [row for number in range(3) for row in enter(number, "2026-01-01")],
    ],
    ids=["one was not followed", "all on one day", "nobody left"],
)
@pytest.mark.filterwarnings("error")
def test_groups_that_cannot_be_compared_are_left_out(rows):
    by = pd.Series({"p0": "a", "p1": "b", "p2": "c"})
    told = fit(*rows).compare_groups(by)
    assert told["groups"].tolist() == ([2] if len(rows) == 5 else [])
    assert told["pvalue"].notna().all()


def test_who_waits_is_described_by_what_is_more_common_among_them():
    """A share of .8 of those who wait against .3 of those who went on is told; what is as common is not."""
    rng = np.random.default_rng(0)
    rows, known = [], {}
    for number in range(400):
        waits = number < 200
        rows += enter(number, "2026-01-01", None if waits else "onboarded", 10)
        known[f"p{number}"] = {
            "partner_type": "agent" if rng.random() < (0.8 if waits else 0.3) else "reseller",
            "size": rng.choice(["small", "large"]),
        }
    told = fit(*rows).describe_waiting(pd.DataFrame.from_dict(known, orient="index"))
    assert told[["stage", "attribute", "value"]].to_numpy().tolist() == [["recruited", "partner_type", "agent"]]
    assert told["lower"].iloc[0] < 0.5 < told["upper"].iloc[0] and told["waiting"].iloc[0] == 200


def test_a_step_that_those_who_wait_did_not_get_is_told_as_known_on_the_day():
    """Who went on after 40 days was called before; of those who wait one in five was, of whom it is known."""
    rows, log = [], []
    for number in range(200):
        waits = number < 80
        rows += enter(number, "2026-01-01", None if waits else "onboarded", 40)
        if not waits or number % 5 == 0:
            log.append((f"p{number}", "call", "2026-01-10"))
    late = make_log(*[(f"p{number}", "call", "2026-01-11") for number in range(80)])
    late = late.assign(arrived_at=pd.Timestamp("2026-07-01"))
    people = pd.DataFrame({"kind": "agent"}, index=[f"p{number}" for number in range(200)])
    told = [fit(*rows).describe_waiting(people, log=own) for own in (make_log(*log), pd.concat([make_log(*log), late]))]
    found = told[0].set_index("attribute").loc["missing_step"]
    assert found[["value", "n", "waiting"]].tolist() == ["call", 64, 80] and found["share_gone_on"] == 0
    pd.testing.assert_frame_equal(*told)


@pytest.mark.parametrize(
    ("taken", "lacking"),
    [
        ("2026-01-01 00:00:00", 0.0),  # the moment of entering
        ("2025-12-31 23:59:59", None),
        ("2026-01-20 23:59:59", 0.0),
        ("2026-01-21 00:00:00", 0.75),  # who leaves in this moment had it too late; half have left by then
        ("2026-01-21 00:00:01", None),
    ],
)
def test_a_step_counts_from_entering_to_leaving_while_half_leave(taken, lacking):
    """Of 200, 120 go on after 20 days, 40 after 60; 40 wait, for just as long as half of all stay; none of them got it.

    Where nobody counts as having got it nothing is told.
    """
    rows = [row for number in range(120) for row in enter(number, "2026-01-01", "onboarded", 20)]
    rows += [row for number in range(120, 160) for row in enter(number, "2026-01-01", "onboarded", 60)]
    rows += [row for number in range(160, 200) for row in enter(number, "2026-06-10")]
    people = pd.DataFrame(index=[f"p{number}" for number in range(200)])
    log = make_log(*[(f"p{number}", "call", taken) for number in range(160)])
    told = fit(*rows).describe_waiting(people, log=log)
    assert told[["value", "n", "waiting"]].to_numpy().tolist() == ([] if lacking is None else [["call", 40, 40]])
    assert told["share_gone_on"].tolist() == ([] if lacking is None else [lacking])


def test_intervals_of_those_who_wait_hold_together():
    """Nine values are told of at once: each interval is that of a ninth of 5%."""
    rows = [row for number in range(200) for row in enter(number, "2026-01-01", "onboarded" if number % 2 else None, 9)]
    named = {f"p{number}": "a" if number % 2 == 0 or number % 4 == 1 else "b" for number in range(200)}
    kind = pd.Series(named)
    other = pd.Series("same", index=kind.index)
    journey = fit(*rows)
    alone = journey.describe_waiting(kind.to_frame("kind")).iloc[0]
    among = journey.describe_waiting(pd.DataFrame({"kind": kind} | {f"other{n}": other for n in range(8)})).iloc[0]
    assert alone["difference"] == among["difference"] == 0.5
    assert (alone["lower"], alone["upper"]) == pytest.approx(compare_shares(100, 100, 50, 100, 0.95)[1:])
    # One value waits of kind, and one of each of eight others.
    assert (among["lower"], among["upper"]) == pytest.approx(compare_shares(100, 100, 50, 100, 1 - 0.05 / 9)[1:])


def test_what_is_as_common_among_those_who_wait_is_seldom_told():
    """50 worlds of four attributes without any difference: at most 6 tell one (5% of 50, and 2 standard deviations)."""
    rng = np.random.default_rng(1)
    rows = [row for number in range(200) for row in enter(number, "2026-01-01", "onboarded" if number % 2 else None, 9)]
    journey = fit(*rows)
    drawn = (pd.DataFrame(rng.choice(list("abc"), (200, 4)), index=[f"p{n}" for n in range(200)]) for _ in range(50))
    assert sum(len(journey.describe_waiting(attributes)) > 0 for attributes in drawn) <= 6
