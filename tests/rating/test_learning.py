"""Weights learned from how partners changed: panels with known truth, exact expectations, and the sample programme."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import partnerseg as ps
from partnerseg.programme.planted import FACTOR_EFFECTS
from partnerseg.rating import panel as panels
from partnerseg.rating.panel import Changes, build_periods, expect_changes
from partnerseg.rating.weights import learn_weights, learned

ENDS = [str(day.date()) for day in pd.date_range("2023-09-30", "2026-06-30", freq="QE")]
FACTORS = [
    {"factor": "skill", "features": ["test", "passed_365d"], "bounds": [[0, 100], []]},
    {"factor": "care", "features": ["errors"], "direction": ["down"]},
    {"factor": "luck", "features": ["guess"]},
]
COUNTS = {"test": "tests"}
EFFECTS = {"skill": 0.2, "care": 0.1, "luck": 0.0}
SAMPLE = [
    {"factor": "training_and_specialization", "features": ["training_score_365d", "trainings_365d"]},
    {"factor": "task_quality", "features": ["task_quality_365d", "on_time_rate_365d"]},
    {"factor": "audience_communication", "features": ["reply_rate_365d", "open_rate_365d", "attendances_365d"]},
    *[
        {"factor": name, "features": [f"assessed_{name}"]}
        for name in (
            "teamwork",
            "marketing_strategy",
            "content_uniqueness",
            "strategic_planning",
            "technical_equipment",
        )
    ],
]


def draw_factors(rng: np.random.Generator, partners: int, dates: int, memory: float) -> np.ndarray:
    """Stationary factors of unit variance, partners x dates."""
    levels = rng.normal(size=(partners, dates))
    for date in range(1, dates):
        levels[:, date] = memory * levels[:, date - 1] + np.sqrt(1 - memory**2) * levels[:, date]
    return levels


def draw_panel(seed: int, partners: int = 2000, memory: float = 0.7) -> pd.DataFrame:
    """Factors seen through levels and noise; orders of the next period follow them, on a level of each partner."""
    rng = np.random.default_rng(seed)
    dates = len(ENDS)
    skill, care, luck = (draw_factors(rng, partners, dates, memory) for _ in range(3))
    lasting = rng.normal(size=(partners, 1))
    # Who has a high level in everything orders more, whatever it changes: nothing to learn from.
    mean = 10 * np.exp(0.5 * lasting + 0.1 * rng.normal(size=(partners, dates)))
    mean[:, 1:] *= np.exp(EFFECTS["skill"] * skill + EFFECTS["care"] * care + EFFECTS["luck"] * luck)[:, :-1]
    mean *= 1 + 0.2 * (np.arange(dates) % 4 == 1)
    tests = rng.poisson(1.5, (partners, dates))
    spread = 10 / np.sqrt(np.maximum(tests, 1))
    columns = {
        "test": np.where(tests > 0, 50 + 8 * lasting + 6 * skill + spread * rng.normal(size=mean.shape), np.nan),
        "tests": tests.astype(float),
        "passed_365d": rng.poisson(2 * np.exp(0.3 * skill + 0.3 * lasting)).astype(float),
        "errors": 5 + lasting - 0.5 * care + 0.5 * rng.normal(size=mean.shape),
        "guess": np.where(rng.random(mean.shape) < 0.5, luck + 0.5 * rng.normal(size=mean.shape), np.nan),
        "frequency_365d": rng.poisson(mean).astype(float),
    }
    index = pd.MultiIndex.from_product([ENDS, [f"P{k:04}" for k in range(partners)]], names=["as_of", "partner_id"])
    return pd.DataFrame({name: values.T.ravel() for name, values in columns.items()}, index=index)


def find_effects(changes: Changes) -> pd.Series:
    found = np.linalg.lstsq(changes.X.to_numpy(), changes.y.to_numpy())[0]
    return pd.Series(found, index=changes.X.columns)


@pytest.fixture(scope="module")
def panel() -> pd.DataFrame:
    return draw_panel(0)


@pytest.fixture(scope="module")
def changes(panel) -> Changes:
    return expect_changes(panel, FACTORS, counts=COUNTS)


# Expected changes


def test_effects_memory_and_noise_are_those_planted():
    # Means over six panels; standard errors of one panel's effects are about 0.015, of a signal about 10%.
    found = [expect_changes(draw_panel(seed), FACTORS, counts=COUNTS) for seed in range(6)]
    effects = pd.DataFrame([find_effects(one) for one in found]).mean()
    assert effects["skill"] == pytest.approx(0.2, abs=0.03)
    assert effects["care"] == pytest.approx(0.1, abs=0.02)
    assert effects["luck"] == pytest.approx(0.0, abs=0.02)
    assert np.mean([one.memory for one in found]) == pytest.approx(0.7, abs=0.07)
    test = pd.concat([one.measures for one in found]).query("feature == 'test'").mean(numeric_only=True)
    assert test["signal"] == pytest.approx(36, rel=0.25)
    assert test["level"] == pytest.approx(64, rel=0.25)
    assert test["noise"] == pytest.approx(100, rel=0.25)


@pytest.mark.parametrize("every", [1, 2])
def test_noise_is_told_from_levels_that_busy_partners_have_more_of(every):
    # Deviations of the level of 12 and 4 points for those with 6 tests a period and with 1; a factor of 8 points, told
    # every period or every other; a case has variance 100. Means of six panels, of which one varies
    # by up to 20%. With the level or changes of the factor taken for noise it would be 135 or more.
    found = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        panel = draw_panel(seed, partners=1000)
        busy = rng.random((1000, 1)) < 0.5
        tests = rng.poisson(np.where(busy, 6, 1), (1000, len(ENDS))) * (np.arange(len(ENDS)) % every == 0)
        level = rng.normal(size=(1000, 1)) * np.where(busy, 12, 4) + 8 * draw_factors(rng, 1000, len(ENDS), 0.7)
        score = 50 + level + 10 * rng.normal(size=tests.shape) / np.sqrt(np.maximum(tests, 1))
        panel["test"] = np.where(tests > 0, score, np.nan).T.ravel()
        panel["tests"] = tests.T.ravel().astype(float)
        measures = expect_changes(panel, FACTORS, counts=COUNTS).measures
        found.append(measures.set_index("feature").loc["test", "noise"])
    assert np.mean(found) == pytest.approx(100, rel=0.2)


def test_what_is_expected_is_the_exact_conditional_mean_of_what_was_seen_so_far():
    rng = np.random.default_rng(3)
    partners, dates, memory = 4, 5, 0.6
    rows = []
    for signal, level, noise in ((4.0, 2.0, 3.0), (1.0, 0.0, 0.5)):
        cases = rng.integers(0, 3, (partners, dates)).astype(float)
        measure = panels._Measure("f", "m", rng.normal(size=(partners, dates)) * (cases > 0), cases, False)
        rows.append(panels._Noise(measure, signal, level, noise))
    precision = rng.integers(0, 3, (partners, dates)).astype(float)
    found = panels._expect(rows, memory, precision)
    own = memory ** np.abs(np.subtract.outer(range(dates), range(dates)))
    for partner in range(partners):
        for day in range(dates):
            past = precision[partner, :day]
            if past.sum() == 0:
                assert found[partner, day] == 0
                continue
            wanted = -np.append(past / past.sum(), np.zeros(dates - day))
            wanted[day] += 1
            # Joint normal distribution of all values seen up to the day, written out.
            seen = [(j, t) for j, row in enumerate(rows) for t in range(day + 1) if row.measure.cases[partner, t] > 0]
            roots = np.array([np.sqrt(rows[j].signal) for j, _ in seen])
            times = [t for _, t in seen]
            among = np.outer(roots, roots) * own[np.ix_(times, times)]
            among += [[rows[j].level * (j == k) for k, _ in seen] for j, _ in seen]
            among += np.diag([rows[j].noise / rows[j].measure.cases[partner, t] for j, t in seen])
            values = np.array([rows[j].measure.values[partner, t] for j, t in seen])
            exact = (wanted @ own[:, times] * roots) @ np.linalg.solve(among, values)
            assert found[partner, day] == pytest.approx(exact, abs=1e-9)


def test_neither_units_nor_the_order_of_rows_matter(panel, changes):
    other = panel.assign(errors=panel["errors"] * -1000 + 7, guess=panel["guess"] / 60).sample(frac=1, random_state=0)
    turned = [dict(row, direction=["up"]) if row["factor"] == "care" else row for row in FACTORS]
    again = expect_changes(other, turned, counts=COUNTS)
    pd.testing.assert_frame_equal(again.X, changes.X, atol=1e-8)
    pd.testing.assert_series_equal(again.y, changes.y, atol=1e-8)


def test_what_a_partner_always_had_and_everybody_has_at_a_date_counts_for_nothing(panel, changes):
    season = panel.index.get_level_values("as_of").map({day: place for place, day in enumerate(ENDS)})
    dated = panel.assign(guess=panel["guess"] + 0.05 * season)
    again = find_effects(expect_changes(dated, FACTORS, counts=COUNTS))
    assert np.abs(again - find_effects(changes)).max() < 0.01
    # A level that goes with orders, but never moves: plain learning gives it all the weight.
    rng = np.random.default_rng(1)
    mean = panel.groupby("partner_id")["frequency_365d"].transform("mean")
    fixed = panel.assign(guess=np.log(mean + 1) + 0.05 * rng.normal(size=len(panel)))
    assert abs(find_effects(expect_changes(fixed, FACTORS, counts=COUNTS))["luck"]) < 0.03
    last = fixed.loc[ENDS[-2]][["errors", "guess"]].assign(errors=lambda rows: -rows["errors"])
    assert learned(last, panel.loc[ENDS[-1], "frequency_365d"], strength=0).weights["guess"] > 0.5


def test_an_outcome_counts_between_the_first_sale_and_the_last(panel):
    orders = panel["frequency_365d"].unstack("as_of")  # noqa: PD010
    orders.iloc[0, :4] = 0.0
    orders.iloc[1, 8:] = 0.0
    orders.iloc[2, 5] = np.nan
    sparse = panel.assign(frequency_365d=orders.T.stack(future_stack=True))  # noqa: PD013
    rows = expect_changes(sparse, FACTORS, counts=COUNTS).y.index
    dates = {name: list(rows[rows.get_level_values(1) == name].get_level_values(0)) for name in orders.index[:4]}
    assert dates["P0003"] == ENDS[1:-1]  # the first outcome has no past, the last date no outcome
    assert dates["P0000"] == ENDS[5:-1]
    assert dates["P0001"] == ENDS[1:7]
    assert dates["P0002"] == [day for day in ENDS[1:-1] if day != ENDS[4]]


def test_a_factor_without_data_is_missing_and_one_of_noise_alone_is_told_as_such(panel):
    rng = np.random.default_rng(0)
    other = panel.assign(unknown=np.nan, noise=rng.normal(size=len(panel)))
    rows = [*FACTORS, *({"factor": name, "features": [name]} for name in ("unknown", "noise"))]
    changes = expect_changes(other, rows, counts=COUNTS)
    measures = changes.measures.set_index("factor")
    assert changes.X["unknown"].isna().all() and np.isnan(measures.loc["unknown", "signal"])
    assert measures.loc["noise", "signal"] < 0.02 * measures.loc["noise", "noise"]
    assert changes.X[["skill", "care", "luck"]].notna().all(axis=None)


def test_what_is_counted_from_the_sales_is_not_learned_from_them(panel, changes):
    # Both are the orders themselves; of all others each keeps what it had.
    own = panel.assign(monetary_value_365d=100 * panel["frequency_365d"], repeat_rate_365d=panel["frequency_365d"])
    rows = [
        {**FACTORS[0], "features": ["test", "passed_365d", "repeat_rate_365d"], "bounds": [[0, 100], [], []]},
        *FACTORS[1:],
        {"factor": "volume", "features": ["monetary_value_365d"]},
    ]
    found = expect_changes(own, rows, counts=COUNTS)
    assert found.X["volume"].isna().all()
    pd.testing.assert_frame_equal(found.X.drop(columns="volume"), changes.X)
    assert set(found.measures["feature"]) == set(changes.measures["feature"])
    every = expect_changes(own, rows, counts=COUNTS, leave_out=())
    assert set(every.measures["feature"]) - set(found.measures["feature"]) == {
        "monetary_value_365d",
        "repeat_rate_365d",
    }
    points = pd.DataFrame(np.random.default_rng(0).normal(50, 10, (500, 4)), columns=found.X.columns)
    prior = pd.Series({"skill": 3.0, "care": 3.0, "luck": 3.0, "volume": 1.0})
    assert learn_weights(points, found, prior=prior).weights["volume"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda panel: panel.droplevel("as_of"), "one row a date and partner"),
        (lambda panel: pd.concat([panel, panel]), "one row a date and partner"),
        (lambda panel: panel.loc[ENDS[:3]], "panel has 3 dates with frequency_365d above 0, must be >= 12"),
        (lambda panel: panel.assign(frequency_365d=panel["frequency_365d"].drop(ENDS[0])), "panel has 11 dates with"),
        (
            lambda panel: pd.concat([panel, panel.loc[[ENDS[-1]]].rename({ENDS[-1]: "2026-12-31"})]),
            "panel: dates are 90 to 184 days apart, must be the same",
        ),
        (lambda panel: panel.drop(columns="frequency_365d"), "outcome == 'frequency_365d': panel has no such column"),
        (lambda panel: panel.assign(frequency_365d=-1.0), "panel.frequency_365d == -1.0 for"),
        (lambda panel: panel.drop(columns="guess"), "guess"),
    ],
)
def test_impossible_panels_are_refused(panel, change, message):
    with pytest.raises((ValueError, KeyError), match=message):
        expect_changes(change(panel), FACTORS, counts=COUNTS)


# Weights of points


def test_a_weight_is_the_effect_over_the_spread_of_points_and_the_unknown_keeps_its_share(changes):
    rng = np.random.default_rng(0)
    points = pd.DataFrame({"skill": 20.0, "care": 10.0, "luck": 10.0, "unknown": 10.0}, index=range(500))
    points *= rng.normal(size=points.shape)
    prior = pd.Series({"skill": 1.0, "care": 1.0, "luck": 1.0, "unknown": 1.0})
    told = Changes(changes.X.assign(unknown=np.nan), changes.y, changes.memory, changes.measures)
    found = learn_weights(points, told, prior=prior).weights
    assert found.sum() == pytest.approx(1)
    assert found["unknown"] == pytest.approx(0.25)
    # Effects of 0.2 and 0.1 over deviations of 20 and 10 points: equal weights. Effects err by 0.015.
    assert found["skill"] / found["care"] == pytest.approx(1.0, abs=0.35)
    assert found["luck"] < 0.05
    with pytest.raises(ValueError, match="changes tell of no factor"):
        learn_weights(points[["unknown"]], told)
    with pytest.raises(ValueError, match="prior has no weight for factor luck"):
        learn_weights(points, told, prior=prior.drop("luck"))
    with pytest.warns(UserWarning, match="constant"):
        still = learn_weights(points, Changes(told.X.assign(luck=0.0), told.y, told.memory, told.measures), prior=prior)
    assert still.weights["luck"] == 0 and still.details.loc["luck", "effect"] == 0


def draw_alike(correlation: float, seed: int = 0) -> Changes:
    """Care and luck of that correlation, of which care alone has an effect, as skill has."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(4000, 3)), columns=["skill", "care", "luck"])
    X["luck"] = correlation * X["care"] + np.sqrt(1 - correlation**2) * X["luck"]
    X.index = pd.MultiIndex.from_product([["2026-03-31"], range(4000)], names=["as_of", "partner_id"])
    y = 0.5 * X["skill"] + 0.5 * X["care"] + rng.normal(size=4000)
    return Changes(X, y, 0.8, pd.DataFrame())


def test_factors_told_by_the_same_events_are_learned_as_one_and_share_as_the_prior_says():
    rng = np.random.default_rng(1)
    points = pd.DataFrame(rng.normal(50, [10, 10, 20], (500, 3)), columns=["skill", "care", "luck"])
    prior = pd.Series({"skill": 2.0, "care": 3.0, "luck": 1.0})
    alike = learn_weights(points, draw_alike(0.8), prior=prior)
    assert alike.details["learned_as"].to_dict() == {
        "skill": "skill", "care": "care + luck", "luck": "care + luck"
    }  # fmt: skip
    # Of weights, which are of a point, the prior says 3 to 1.
    assert alike.weights["care"] / alike.weights["luck"] == pytest.approx(3.0)
    deviation = points.std()
    effect = alike.details["effect"]
    assert effect["care"] / effect["luck"] == pytest.approx(3 * deviation["care"] / deviation["luck"])
    # What both do together is what care does: 0.5 for a deviation of care brings 0.8 of luck.
    assert effect["care"] + 0.8 * effect["luck"] == pytest.approx(effect["skill"], rel=0.2)
    apart = learn_weights(points, draw_alike(0.3), prior=prior)
    assert apart.details["learned_as"].tolist() == ["skill", "care", "luck"]
    assert apart.weights["luck"] < 0.1 * apart.weights["care"]
    against = learn_weights(points, draw_alike(-0.8), prior=prior)
    assert against.details["learned_as"].tolist() == ["skill", "care", "luck"]


# Features of periods


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return ps.simulate_programme(200, random_state=1).tables


def test_a_period_sees_its_own_events_alone(tables):
    plain = {name: table for name, table in tables.items() if name not in ("consents", "preferences")}
    found = build_periods(plain, ENDS)
    everybody = ps.build_features(plain, as_of=ENDS)
    pd.testing.assert_index_equal(found.index, everybody.index)
    start, end = pd.Timestamp(ENDS[4]) + pd.Timedelta(days=1), pd.Timestamp(ENDS[5])
    times = {"sales": "sold_at", "touches": "touched_at", "tickets": "opened_at", "assessments": "assessed_at"}
    own = {name: table[table[time].dt.normalize().between(start, end)] for name, time in times.items()
           for table in [plain[name]]}  # fmt: skip
    by_hand = ps.build_features({**own, "partners": plain["partners"]}, as_of=ENDS[5])
    columns = ["frequency_365d", "monetary_value_365d", "reply_rate_365d", "on_time_rate_365d", "tickets_365d",
               "assessed_teamwork", "repeat_rate_365d"]  # fmt: skip
    pd.testing.assert_frame_equal(found.loc[ENDS[5], columns], by_hand[columns], check_names=False)


def test_events_before_the_first_period_and_late_ones_are_unseen():
    day = pd.to_datetime(["2025-12-30", "2026-03-01", "2026-03-02", "2026-05-01"])
    sales = pd.DataFrame(
        {
            "sale_id": list("abcd"),
            "partner_id": "p",
            "amount": 1.0,
            "currency": "EUR",
            "sold_at": day,
            "is_return": False,
            "arrived_at": pd.to_datetime([None, None, "2026-04-02", None]),
        }
    )
    partners = pd.DataFrame({"partner_id": ["p", "q"], "joined_at": pd.to_datetime(["2024-01-01", "2026-04-01"])})
    found = build_periods({"partners": partners, "sales": sales}, ["2026-03-31", "2026-06-30"])["frequency_365d"]
    assert found.to_dict() == {("2026-03-31", "p"): 1.0, ("2026-06-30", "p"): 1.0, ("2026-06-30", "q"): 0.0}


def test_consent_withdrawn_hides_a_partner_from_then_on(tables):
    who = tables["partners"].sort_values("joined_at")["partner_id"].iloc[0]
    consents = pd.DataFrame(
        {"partner_id": [who], "purpose": "analytics", "granted": False, "changed_at": pd.to_datetime(["2025-01-15"])}
    )
    found = build_periods({**tables, "consents": consents}, ENDS)["frequency_365d"]
    own = found[found.index.get_level_values("partner_id") == who].droplevel("partner_id")
    assert own.notna().tolist() == [day < "2025-01-15" for day in ENDS]


@pytest.mark.parametrize("ends", [["2026-06-30"], ["2024-06-30", "2026-06-30"]])
def test_impossible_periods_are_refused(tables, ends):
    with pytest.raises(ValueError, match="must be at least two days, none over 365 days after another"):
        build_periods(tables, ends)


# The sample programme


@pytest.fixture(scope="module")
def sample() -> dict[str, pd.DataFrame]:
    return ps.simulate_programme(2_000, random_state=0).tables


def test_learned_weights_order_the_planted_effects(sample):
    # Over seeds 0-19 Spearman's correlation is 0.97 on average and at least 0.93 (benchmarks/learned_weights.py).
    changes = expect_changes(build_periods(sample, ENDS), SAMPLE)
    found = learned(changes.X, changes.y, strength=0.0).weights
    assert spearmanr(found, pd.Series(FACTOR_EFFECTS)[found.index]).statistic >= 0.9


def test_learned_among_all_rows_of_the_parameters_the_planted_effects_keep_their_order(sample):
    # See benchmarks/learned_weights.py for other seeds; learned from sales too, this is 0.8.
    rows = ps.load_params(Path(__file__).parents[2] / "params").rating.factors
    changes = expect_changes(build_periods(sample, ENDS), rows)
    whole = ["sales_volume", "sales_stability", "geography", "customer_loyalty"]
    assert changes.X[whole].isna().all(axis=None)
    found = learned(changes.X.dropna(axis=1), changes.y, strength=0.0).weights[list(FACTOR_EFFECTS)]
    assert spearmanr(found, pd.Series(FACTOR_EFFECTS)).statistic >= 0.9


def test_what_arrives_after_the_last_date_changes_no_bit(sample):
    kept = {name: sample[name] for name in ("partners", "sales", "assessments")}
    future = sample["assessments"].assign(
        score=100.0, assessor="audit", arrived_at=pd.Timestamp("2026-07-01").as_unit("us")
    )
    hidden = {**kept, "assessments": pd.concat([kept["assessments"], future], ignore_index=True)}
    rows = [row for row in SAMPLE if row["features"][0].startswith("assessed")]
    known, unseen = (expect_changes(build_periods(tables, ENDS), rows) for tables in (kept, hidden))
    pd.testing.assert_frame_equal(unseen.X, known.X, rtol=0, atol=0)
