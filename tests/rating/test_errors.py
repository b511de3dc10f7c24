import numpy as np
import pandas as pd
import pytest

from partnerseg.features.catalogue import list_counts
from partnerseg.rating.errors import estimate_errors, fit_assessments

AS_OF = "2026-06-30"
COUNTS = {"return_rate_365d": "frequency_365d", "repeat_rate_365d": "customers_365d"}


def make_assessments(n: int, *, noise: dict[str, float], signal: float = 10.0, memory: float = 1.0, seed: int = 0):
    """Each assessor assesses each partner four times, every 180 days, the last time on the last day."""
    rng = np.random.default_rng(seed)
    level = np.empty((n, 4))
    level[:, 0] = rng.normal(0, 1, n)
    for step in range(1, 4):
        level[:, step] = memory * level[:, step - 1] + np.sqrt(1 - memory**2) * rng.normal(0, 1, n)
    truth = pd.DataFrame(50 + signal * level, index=[f"P{place}" for place in range(n)])
    parts = []
    for bias, (assessor, deviation) in enumerate(noise.items()):
        for step in range(4):
            part = pd.DataFrame({"partner_id": truth.index, "factor": "teamwork", "assessor": assessor})
            part["assessed_at"] = pd.Timestamp(AS_OF) - pd.Timedelta(days=180 * (3 - step))
            part["score"] = truth[step].to_numpy() + 5 * bias + rng.normal(0, deviation, n)
            parts.append(part)
    return pd.concat(parts, ignore_index=True), truth


def make_features(truth: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"assessed_teamwork": truth[3]}, index=truth.index)


def with_days(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(day=(rows["assessed_at"] - pd.Timestamp(AS_OF)) / pd.Timedelta(days=1))


def test_planted_noise_signal_and_drift_are_found():
    rows, _ = make_assessments(3000, noise={"manager": 6.0, "self": 9.0}, memory=0.7)
    model = fit_assessments(with_days(rows))
    assert model.signal == pytest.approx(10, rel=0.05)
    assert model.noise.to_dict() == pytest.approx({"manager": 6.0, "self": 9.0}, rel=0.08)
    assert model.range_days == pytest.approx(-180 / np.log(0.7), rel=0.12)
    assert model.means["self"] - model.means["manager"] == pytest.approx(5, abs=0.5)


def test_without_drift_none_is_claimed():
    rows, _ = make_assessments(500, noise={"manager": 6.0})
    assert fit_assessments(with_days(rows)).range_days > 5000


def test_nothing_shared_and_too_few_pairs_tell_nothing():
    rows, truth = make_assessments(8, noise={"manager": 6.0})
    assert fit_assessments(with_days(rows).iloc[:16]) is None
    features = make_features(truth)
    assert estimate_errors(features, rows.iloc[:16], as_of=AS_OF).standard_error.shape == (8, 0)
    same = pd.DataFrame({"partner_id": np.tile(np.arange(40), 2), "day": 0.0, "assessor": "manager"})
    same["score"] = np.repeat([40.0, 60.0], 40)
    assert fit_assessments(same) is None


@pytest.mark.parametrize("memory", [1.0, 0.7])
def test_the_standard_error_is_that_of_what_is_expected(memory):
    # Bands of 8%: 3,000 partners leave the root mean square error within 1.3%, the fit within some percent.
    rows, truth = make_assessments(3000, noise={"manager": 6.0, "self": 9.0}, memory=memory, seed=1)
    half = rows[(rows["partner_id"].isin(truth.index[::2])) | (rows["assessed_at"] < "2026-06-01")]
    errors = estimate_errors(make_features(truth), half, as_of=AS_OF)
    expected, error = errors.expected["assessed_teamwork"], errors.standard_error["assessed_teamwork"]
    missed = truth[3] - expected
    for part in (slice(None, None, 2), slice(1, None, 2)):
        off = missed.iloc[part] - missed.mean()
        assert np.sqrt((off**2).mean()) == pytest.approx(error.iloc[part].mean(), rel=0.08)
    # Half a year old says less than new where things drift, and as much where they do not.
    ratio = error.iloc[1] / error.iloc[0]
    assert ratio > 1.3 if memory < 1 else ratio == pytest.approx(1, abs=0.03)


def test_of_one_assessor_it_is_the_shrunken_score():
    # Signal 10, noise 6, no drift: kept 100 / 136 of the deviation, standard error 10 * 6 / sqrt(136) = 5.145.
    rows, truth = make_assessments(4000, noise={"manager": 6.0}, seed=2)
    errors = estimate_errors(make_features(truth), rows, as_of=AS_OF)
    assert errors.standard_error["assessed_teamwork"].mean() == pytest.approx(5.145, rel=0.05)
    last = rows[rows["assessed_at"] == AS_OF].set_index("partner_id")["score"]
    slope = np.polyfit(last[truth.index], errors.expected["assessed_teamwork"], 1)[0]
    assert slope == pytest.approx(100 / 136, rel=0.05)


def test_nothing_later_is_known():
    rows, truth = make_assessments(400, noise={"manager": 6.0})
    rows["arrived_at"] = rows["assessed_at"]
    later = rows.assign(score=0.0, assessed_at=pd.Timestamp("2026-07-01 00:00"), arrived_at=pd.NaT)
    late = rows.assign(score=0.0, arrived_at=pd.Timestamp("2026-07-01 00:00"))
    features = make_features(truth)
    found = estimate_errors(features, rows, as_of=AS_OF)
    for more in (later, late):
        again = estimate_errors(features, pd.concat([rows, more]), as_of=AS_OF)
        pd.testing.assert_frame_equal(again.expected, found.expected)
        pd.testing.assert_frame_equal(again.standard_error, found.standard_error)
    zoned = rows.assign(assessed_at=rows["assessed_at"].dt.tz_localize("UTC"))
    pd.testing.assert_frame_equal(estimate_errors(features, zoned, as_of=AS_OF).expected, found.expected)


def test_steps_belong_to_their_factor():
    # Two steps assessed on one day, each 3 points off the other way: one assessment of their mean.
    rows, truth = make_assessments(300, noise={"manager": 6.0, "self": 9.0})
    steps = [
        rows.assign(factor=f"teamwork.{step}", score=rows["score"] + move)
        for step, move in (("deals", 3.0), ("talks", -3.0))
    ]
    features = make_features(truth)
    found = estimate_errors(features, pd.concat([*steps, rows.assign(factor="teamwork_other", score=1.0)]), as_of=AS_OF)
    whole = estimate_errors(features, rows, as_of=AS_OF)
    pd.testing.assert_frame_equal(found.expected, whole.expected)
    pd.testing.assert_frame_equal(found.standard_error, whole.standard_error)


def test_order_of_rows_changes_nothing_and_the_unassessed_stay_unknown():
    rows, truth = make_assessments(300, noise={"manager": 6.0, "self": 9.0})
    features = make_features(truth)
    features.loc["P7"] = np.nan
    features.loc["new"] = np.nan
    found = estimate_errors(features, rows, as_of=AS_OF)
    assert found.expected.loc[["P7", "new"]].isna().all(axis=None)
    assert found.standard_error["assessed_teamwork"].notna().sum() == 299
    again = estimate_errors(features.iloc[::-1], rows.sample(frac=1, random_state=0), as_of=AS_OF)
    pd.testing.assert_frame_equal(again.expected.loc[features.index], found.expected)


# Rates


def test_rates_out_of_a_count_are_covered_by_their_errors():
    # Beta(6, 4): mean 0.6, strength 10. Bands: 5,000 partners leave the coverage of 90% within 0.013.
    rng = np.random.default_rng(0)
    n = rng.integers(1, 60, 5000)
    truth = rng.beta(6, 4, 5000)
    features = pd.DataFrame({"repeat_rate_365d": rng.binomial(n, truth) / n, "customers_365d": n})
    errors = estimate_errors(features, counts=COUNTS)
    expected, error = errors.expected["repeat_rate_365d"], errors.standard_error["repeat_rate_365d"]
    assert (np.abs(truth - expected) < 1.645 * error).mean() == pytest.approx(0.9, abs=0.02)
    # One case: (n * p + 10 * 0.6) / 11.
    one = (n == 1) & (features["repeat_rate_365d"] == 1)
    assert expected[one].mean() == pytest.approx(7 / 11, abs=0.02)
    assert error[n == 1].mean() > 2 * error[n > 50].mean()


def test_rates_that_differ_by_chance_only_have_one_rate_behind_them():
    rng = np.random.default_rng(0)
    n = rng.integers(5, 60, 2000)
    features = pd.DataFrame({"return_rate_365d": rng.binomial(n, 0.1) / n, "frequency_365d": n})
    assert estimate_errors(features, counts=COUNTS).expected["return_rate_365d"].std() < 0.01


def test_impossible_and_unknown_rates_have_no_error():
    rng = np.random.default_rng(0)
    n = np.full(100, 20.0)
    features = pd.DataFrame({"return_rate_365d": rng.binomial(20, 0.2, 100) / 20, "frequency_365d": n})
    features.loc[0, "return_rate_365d"] = 1.5
    features.loc[1, "return_rate_365d"] = np.nan
    features.loc[2, "frequency_365d"] = 0
    errors = estimate_errors(features, counts=COUNTS)
    unknown = errors.standard_error["return_rate_365d"].isna()
    assert unknown[unknown].index.tolist() == [0, 1, 2]
    assert estimate_errors(features.drop(columns="frequency_365d"), counts=COUNTS).expected.shape == (100, 0)
    assert estimate_errors(features.iloc[:20], counts=COUNTS).expected.shape == (20, 0)
    assert estimate_errors(features).expected.shape == (100, 0)


def test_every_rate_that_says_what_counts_its_cases_gets_an_error():
    counts = list_counts()
    assert {"return_rate_365d", "open_rate_365d", "on_time_rate_365d"} <= set(counts)
    rng = np.random.default_rng(0)
    columns = {count: rng.integers(1, 40, 300).astype(float) for count in set(counts.values())}
    columns |= {rate: rng.binomial(columns[count].astype(int), 0.3) / columns[count] for rate, count in counts.items()}
    errors = estimate_errors(pd.DataFrame(columns), counts=counts)
    assert set(errors.standard_error) == set(counts)
    assert (errors.standard_error > 0).all(axis=None)


def test_a_missing_day_and_a_missing_column_are_named():
    rows, truth = make_assessments(10, noise={"manager": 6.0})
    with pytest.raises(ValueError, match="as_of == None, must be the day"):
        estimate_errors(make_features(truth), rows)
    with pytest.raises(ValueError, match="assessments has no column 'score'"):
        estimate_errors(make_features(truth), rows.drop(columns="score"), as_of=AS_OF)


def test_the_bias_of_an_assessor_changes_nothing():
    rows, truth = make_assessments(300, noise={"manager": 6.0, "self": 9.0}, memory=0.7)
    rows = rows[rows["assessor"].eq("manager") | rows["partner_id"].isin(truth.index[::3])]
    biased = rows.assign(score=rows["score"] + 20.0 * (rows["assessor"] == "self"))
    found, again = (estimate_errors(make_features(truth), table, as_of=AS_OF) for table in (rows, biased))
    pd.testing.assert_frame_equal(again.expected, found.expected)
    pd.testing.assert_frame_equal(again.standard_error, found.standard_error)


def test_scores_that_are_no_numbers_are_refused_and_of_no_factor_passed_over():
    features = pd.DataFrame({"assessed_q": [50.0, 60]}, index=["a", "b"])
    rows = pd.DataFrame(
        {"partner_id": ["a", "b"], "assessed_at": "2026-01-01", "factor": np.nan, "score": 50.0, "assessor": "manager"}
    )
    assert estimate_errors(features, rows, as_of="2026-06-30").standard_error.shape == (2, 0)
    for score, message in (("x", "== 'x' for partner 'a', must be numbers"), (np.inf, "is infinite for partner 'a'")):
        with pytest.raises(ValueError, match=rf"assessments\['score'\] {message}"):
            estimate_errors(features, rows.assign(score=score), as_of="2026-06-30")
