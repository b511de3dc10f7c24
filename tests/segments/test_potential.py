"""Revenue potential: by hand, by brute force, in simulation; the forecast against published figures of CDNOW."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaln, hyp2f1
from scipy.stats import norm

from partnerseg.segments import potential
from partnerseg.segments.potential import estimate_potential, forecast_revenue, summarize_orders

CDNOW = Path(__file__).parents[3] / "shared" / "data" / "cdnow"
needs_cdnow = pytest.mark.skipif(not CDNOW.exists(), reason="CDNOW is not beside the project")


@pytest.fixture
def fixed_pooling(monkeypatch):
    monkeypatch.setattr(potential, "_find_pooling", lambda *_: 30.0)


def draw_partners(seed: int, n: int, spread: float = 0.6) -> tuple[pd.Series, pd.DataFrame, np.ndarray]:
    """Revenue (a tenth has none), type and size, and the true 80th percentile of each partner's kind."""
    rng = np.random.default_rng(seed)
    kinds, sizes = rng.integers(0, 4, n), rng.integers(0, 3, n)
    log_mean = 8 + rng.normal(0, spread, 4)[kinds] + rng.normal(0, spread, 3)[sizes]
    revenue = np.where(rng.random(n) < 0.1, 0.0, np.exp(log_mean + rng.normal(0, 1, n)))
    index = pd.Index([f"P{i:05d}" for i in range(n)], name="partner_id")
    groups = pd.DataFrame({"partner_type": kinds, "company_size": sizes}, index=index).astype("str")
    return pd.Series(revenue, index=index), groups, np.exp(log_mean + norm.ppf(0.7 / 0.9))


def test_one_group_by_hand():
    revenue, groups = pd.Series(np.arange(100.0)), pd.DataFrame({"partner_type": ["reseller"] * 100})
    result = estimate_potential(revenue, groups)
    # 80% of 99 others are 79.2, so the 80th from below: 80 where one up to 79 is left out, otherwise 79.
    assert result["potential_value"].iloc[[0, 79, 80, 99]].tolist() == [80, 80, 79, 79]
    assert result["group_potential"].eq(79).all()  # the 80th of 0..99


def test_a_small_group_leans_on_the_coarser_one(fixed_pooling):
    # 99 resellers with 1..99, one agent with 1000: its kind has nobody else, so all resellers count.
    revenue = pd.Series([*np.arange(1.0, 100.0), 1000.0])
    groups = pd.DataFrame({"partner_type": ["reseller"] * 99 + ["agent"]})
    assert estimate_potential(revenue, groups)["potential_value"].iloc[-1] == 80
    # 15 agents with 1000 and 30 of the coarser group: a third at 1000, and four fifths are reached among the agents.
    revenue = pd.Series([*np.arange(1.0, 86.0), *[1000.0] * 15])
    groups = pd.DataFrame({"partner_type": ["reseller"] * 85 + ["agent"] * 15})
    assert estimate_potential(revenue, groups)["potential_value"].iloc[-1] == 1000
    # A partner of unknown type and revenue, alone: as all.
    revenue, groups = pd.Series([*np.arange(1.0, 101.0), np.nan]), pd.DataFrame({"partner_type": ["a"] * 100 + [None]})
    assert estimate_potential(revenue, groups)["potential_value"].iloc[-1] == 80


def test_a_large_group_speaks_for_itself(fixed_pooling):
    rng = np.random.default_rng(0)
    revenue = pd.Series([*rng.uniform(0, 1, 5_000), *rng.uniform(10, 11, 5_000)])
    groups = pd.DataFrame({"partner_type": ["small"] * 5_000 + ["large"] * 5_000})
    result = estimate_potential(revenue, groups)["potential_value"]
    assert result[0] == pytest.approx(0.8, abs=0.03)
    assert result[9_999] == pytest.approx(10.8, abs=0.03)


def test_a_partner_is_not_compared_with_itself(fixed_pooling):
    revenue, groups, _ = draw_partners(0, 120)
    result = estimate_potential(revenue, groups)
    for partner in revenue.index[::7]:
        without = estimate_potential(revenue.where(revenue.index != partner), groups)
        rich = estimate_potential(revenue.where(revenue.index != partner, 1e9), groups)
        for other in (without, rich):
            pd.testing.assert_series_equal(
                result.loc[partner, "potential_value":"comparable_partners"],
                other.loc[partner, "potential_value":"comparable_partners"],
            )


def test_own_revenue_hardly_matters_when_pooling_is_found():
    revenue, groups, _ = draw_partners(0, 300)
    result = estimate_potential(revenue, groups)
    for partner in revenue.index[::30]:
        rich = estimate_potential(revenue.where(revenue.index != partner, 1e9), groups)
        assert rich.loc[partner, "potential_value"] == pytest.approx(result.loc[partner, "potential_value"], rel=0.1)


@pytest.mark.parametrize(("spread", "least", "largest"), [(0.0, 100, 1_000), (2.0, 1, 5)])
def test_pooling_is_weak_where_groups_differ(spread, least, largest):
    rng = np.random.default_rng(0)
    fine = np.repeat(np.arange(40), 100)
    values = rng.normal(0, 1, 4_000) + rng.normal(0, spread, 40)[fine]
    assert least <= potential._find_pooling(values, fine, np.zeros(4_000, dtype=int), 0.8, 30.0) <= largest


def test_interval_covers_what_comparable_partners_reach():
    # Twenty programmes of 400; three blocks of twenty beforehand: 0.893 to 0.904, deviation of one run 0.09.
    inside = []
    for seed in range(20):
        revenue, groups, truth = draw_partners(seed, 400)
        result = estimate_potential(revenue, groups)
        inside.append(((result["potential_low"] <= truth) & (truth <= result["potential_high"])).mean())
    assert 0.83 <= np.mean(inside) <= 0.96


def test_a_fifth_reaches_the_potential():
    revenue, groups, _ = draw_partners(3, 2_000)
    assert (revenue <= estimate_potential(revenue, groups)["potential_value"]).mean() == pytest.approx(0.8, abs=0.02)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1_000), n=st.integers(30, 120), unknown=st.floats(0, 0.4), power=st.integers(-3, 8))
def test_laws_of_the_potential(seed, n, unknown, power):
    rng = np.random.default_rng(seed)
    revenue, groups, _ = draw_partners(seed, n)
    groups = groups.mask(rng.random(groups.shape) < unknown)
    revenue = revenue.mask(rng.random(n) < unknown)
    result = estimate_potential(revenue, groups)
    assert result.index.equals(revenue.index)
    said = result["potential_value"].notna()
    assert (result["potential_low"] <= result["potential_value"])[said].all()
    assert (result["potential_value"] <= result["potential_high"])[said].all()
    order = rng.permutation(n)
    shuffled = estimate_potential(revenue.iloc[order], groups.iloc[order])
    pd.testing.assert_frame_equal(shuffled, result.iloc[order], check_exact=True)
    scaled = estimate_potential(revenue * 2.0**power, groups)
    money = [name for name in result if name != "comparable_partners"]
    pd.testing.assert_frame_equal(scaled[money], result[money] * 2.0**power)


def test_nothing_is_said_of_too_few():
    revenue, groups, _ = draw_partners(0, 60)
    few = revenue.where(np.arange(60) < 29)
    assert estimate_potential(few, groups).drop(columns="comparable_partners").isna().all(axis=None)
    enough = revenue.where(np.arange(60) < 30)
    assert estimate_potential(enough, groups[[]])["potential_value"].notna().all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"quantile": 1.0}, "quantile == 1.0"), ({"level": 0}, "level == 0"), ({"pooling": -1.0}, "pooling == -1.0")],
)
def test_wrong_arguments_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        estimate_potential(pd.Series([1.0]), pd.DataFrame({"a": ["b"]}), **arguments)
    with pytest.raises(ValueError, match="different indexes"):
        estimate_potential(pd.Series([1.0]), pd.DataFrame({"a": ["b"]}, index=[7]))


def test_orders_by_hand():
    rows = [
        ("P1", "2026-01-01 09:00", 100.0, False, None),
        ("P1", "2026-01-01 18:00", 50.0, False, None),  # the same day: one order day
        ("P1", "2026-03-02 10:00", 70.0, False, None),
        ("P1", "2026-03-05 10:00", 20.0, True, None),  # came back
        ("P1", "2026-06-20 10:00", 500.0, False, "2026-07-02"),  # not yet known
        ("P1", "2026-07-01 00:00", 500.0, False, None),  # the day after
        ("P2", "2026-06-30 23:59", 10.0, False, "2026-06-30"),
        ("P3", "2026-05-01 10:00", 10.0, False, None),
        ("P3", "2026-05-02 10:00", -10.0, True, None),  # all came back
    ]
    sales = pd.DataFrame(rows, columns=["partner_id", "sold_at", "amount", "is_return", "arrived_at"])
    sales = sales.assign(sold_at=pd.to_datetime(sales["sold_at"]), arrived_at=pd.to_datetime(sales["arrived_at"]))
    result = summarize_orders(sales, "2026-06-30")
    assert result.index.tolist() == ["P1", "P2", "P3"]
    assert result.loc["P1"].tolist() == [1, 60, 180, 100]  # (100 + 50 + 70 - 20) over two order days
    assert result.loc["P2"].tolist() == [0, 0, 0, 10]
    assert result.loc["P3", ["frequency", "age"]].tolist() == [0, 60]
    assert np.isnan(result.loc["P3", "order_value"])


def draw_histories(
    seed: int, n: int, drift: float = 0.0, shape: float = 4.0
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Summaries of the same customers after 365 and 730 days and what the third year brought; rates drift each year."""
    rng = np.random.default_rng(seed)
    rate, value = rng.gamma(2.0, 6.0, n), rng.lognormal(5.0, 0.7, n)
    life = rng.exponential(1 / rng.gamma(2.0, 0.1, n))
    tables: list[list] = [[], []]
    after = np.zeros((n, 2))
    for i in range(n):
        times = [0.0]
        for year in range(3):
            yearly = rate[i] * np.exp(rng.normal(0, drift)) if drift else rate[i]
            drawn = year + rng.random(rng.poisson(yearly))
            times += sorted(t for t in drawn if t < life[i])
        times = np.array(times)
        amounts = value[i] * rng.gamma(shape, 1 / shape, len(times))
        for table, end in zip(tables, (1, 2), strict=True):
            seen = times < end
            table.append([seen.sum() - 1, times[seen].max() * 365, 365.0 * end, amounts[seen].mean()])
        after[i] = (times >= 2).sum(), amounts[times >= 2].sum()
    earlier, orders = (
        pd.DataFrame(table, columns=["frequency", "recency", "age", "order_value"], dtype=float) for table in tables
    )
    return earlier, orders, pd.DataFrame(after, columns=["orders", "revenue"])


def share_inside(forecast: pd.DataFrame, after: pd.DataFrame) -> float:
    return ((after["revenue"] >= forecast["expected_low"]) & (after["revenue"] <= forecast["expected_high"])).mean()


def test_forecast_finds_planted_rates():
    # Ten runs beforehand: orders 0.98 to 1.05 of the truth in total, revenue 0.99 to 1.06, coverage 0.938 to 0.960.
    _, orders, after = draw_histories(0, 1_000)
    forecast = forecast_revenue(orders)
    assert forecast["expected_orders"].sum() == pytest.approx(after["orders"].sum(), rel=0.06)
    assert forecast["expected_value"].sum() == pytest.approx(after["revenue"].sum(), rel=0.1)
    assert 0.92 <= share_inside(forecast, after) <= 0.975
    for low, high in ((0.0, 0.5), (0.5, 0.95), (0.95, 1.0)):  # alive is a probability: it ordered, or it did not
        some = forecast["alive"].between(low, high)
        assert (after["orders"] > 0)[some].mean() <= forecast.loc[some, "alive"].mean() + 0.1


def test_interval_knows_that_order_values_vary():
    # Six runs beforehand: 0.938 to 0.960; 0.894 to 0.924 if single orders were all alike.
    _, orders, after = draw_histories(3, 800, shape=0.5)
    assert 0.93 <= share_inside(forecast_revenue(orders), after) <= 0.975


def test_interval_widens_where_rates_drift():
    # Eight runs beforehand: 0.714 to 0.804 without, 0.856 to 0.920 with the year before.
    earlier, orders, after = draw_histories(1, 500, drift=0.8)
    narrow, wide = forecast_revenue(orders), forecast_revenue(orders, earlier=earlier)
    pd.testing.assert_series_equal(narrow["expected_value"], wide["expected_value"])
    assert share_inside(narrow, after) < 0.82
    assert 0.84 <= share_inside(wide, after) <= 0.95


def test_laws_of_the_forecast():
    _, orders, _ = draw_histories(2, 200)
    orders.loc[[3, 7], "order_value"] = np.nan
    forecast = forecast_revenue(orders)
    assert forecast.notna().all(axis=None)
    order = np.random.default_rng(0).permutation(200)
    pd.testing.assert_frame_equal(forecast_revenue(orders.iloc[order]), forecast.iloc[order], rtol=1e-9)
    weeks = orders.assign(recency=orders["recency"] / 7, age=orders["age"] / 7)
    pd.testing.assert_frame_equal(forecast_revenue(weeks, horizon=365 / 7), forecast, rtol=1e-6)
    cents = forecast_revenue(orders.assign(order_value=orders["order_value"] * 100))
    money = ["order_value", "expected_value", "expected_low", "expected_high"]
    pd.testing.assert_frame_equal(cents[money], forecast[money] * 100, rtol=1e-4)
    longer = forecast_revenue(orders, horizon=730.0)
    assert (longer["expected_value"] > forecast["expected_value"]).all()


def test_forecast_of_too_few_is_missing_and_of_nonsense_refused():
    _, orders, _ = draw_histories(2, 40)
    assert forecast_revenue(orders[:29]).isna().all(axis=None)
    assert forecast_revenue(orders[:30]).notna().all(axis=None)
    with pytest.raises(ValueError, match=r"partner 4 .* recency at most age"):
        forecast_revenue(orders.assign(age=orders["age"].where(orders.index != 4, 0.0), recency=1.0))
    with pytest.raises(ValueError, match="horizon == 0"):
        forecast_revenue(orders, horizon=0)


@needs_cdnow
def test_gamma_gamma_finds_the_printed_parameters():
    log = pd.read_csv(CDNOW / "cdnow_elog_sample.csv")
    days = log[log["date"] <= 19970930].groupby(["sampleid", "date"], as_index=False)["sales"].sum()
    repeated = days[days["sampleid"].duplicated()].groupby("sampleid")["sales"].agg(["mean", "size"])
    assert len(repeated) == 946  # printed
    found = potential._fit_order_value(repeated["mean"].to_numpy(), repeated["size"].to_numpy(float))
    np.testing.assert_allclose(found, [6.25, 3.74, 15.44], atol=0.006)


def expect_bg_nbd(x, t_x, age, horizon):
    """Orders to come by BG/NBD at the printed parameters (Fader, Hardie & Lee 2005, equation 10)."""
    r, alpha, a, b = 0.243, 4.414, 0.793, 2.426
    stay = 1 - ((alpha + age) / (alpha + age + horizon)) ** (r + x) * hyp2f1(
        r + x, b + x, a + b + x - 1, horizon / (alpha + age + horizon)
    )
    odds = np.where(
        x > 0, np.exp(betaln(a + 1, b + np.maximum(x, 1) - 1) - betaln(a, b + x)), 0.0
    ) * ((alpha + age) / (alpha + t_x)) ** (r + x)  # fmt: skip
    return (a + b + x - 1) / (a - 1) * stay / (1 + odds)


@needs_cdnow
def test_forecast_of_the_held_back_weeks_is_no_worse_than_published():
    assert expect_bg_nbd(2.0, 30.43, 38.86, 39.0) == pytest.approx(1.226, abs=5e-4)  # printed
    log = pd.read_csv(CDNOW / "cdnow_elog_sample.csv", dtype={"date": "str"})
    sales = pd.DataFrame(
        {"partner_id": log["sampleid"], "sold_at": pd.to_datetime(log["date"]), "amount": log["sales"]}
    )
    sales["is_return"] = False
    orders = summarize_orders(sales, "1997-09-30")
    later = sales[sales["sold_at"] > "1997-09-30"].groupby("partner_id")
    days = later["sold_at"].nunique().reindex(orders.index, fill_value=0)
    revenue = later["amount"].sum().reindex(orders.index, fill_value=0.0)
    assert (len(orders), days.sum()) == (2357, 1882)
    forecast = forecast_revenue(orders, horizon=273.0)
    x, t_x, age = orders["frequency"], orders["recency"] / 7, orders["age"] / 7
    published = pd.Series(expect_bg_nbd(x.to_numpy(), t_x.to_numpy(), age.to_numpy(), 39.0), orders.index)
    ours = forecast["expected_orders"]
    assert published.corr(days) == pytest.approx(0.626, abs=5e-4)
    assert (ours - days).abs().mean() < (published - days).abs().mean() - 0.02
    assert ((ours - days) ** 2).mean() < ((published - days) ** 2).mean()
    assert ours.corr(days) > published.corr(days)
    assert (forecast["expected_value"] - revenue).abs().mean() < 29.46  # Pareto/NBD and gamma-gamma as printed
    inside = (revenue >= forecast["expected_low"]) & (revenue <= forecast["expected_high"])
    assert 0.87 <= inside.mean() <= 0.95
