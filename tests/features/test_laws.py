"""What holds for any data: the future is unseen, order does not matter, one date is as good as many."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partnerseg.features.build import build_features
from partnerseg.features.catalogue import FEATURES
from partnerseg.programme.simulate import simulate_programme
from partnerseg.programme.tables import TABLES

DATES = ["2024-02-29", "2025-02-28", "2025-12-15", "2026-01-31", "2026-03-30", "2026-06-30"]


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return simulate_programme(120, random_state=3).tables


@pytest.fixture(scope="module")
def features(tables) -> pd.DataFrame:
    return build_features(tables, DATES)


def assert_same_bits(left: pd.DataFrame, right: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(left, right, check_exact=True)
    for name in FEATURES:
        assert left[name].to_numpy().tobytes() == right[name].to_numpy().tobytes(), name


def know_until(tables: dict[str, pd.DataFrame], as_of: str) -> dict[str, pd.DataFrame]:
    """Only the rows that had happened and arrived by the end of a day."""
    end = pd.Timestamp(as_of) + pd.Timedelta(days=1)
    known = {}
    for name, frame in tables.items():
        time = TABLES[name].time
        if time is not None:
            seen = frame[time].isna() | (frame[time] < end)
            frame = frame[seen & ~(frame["arrived_at"] >= end)] if "arrived_at" in frame else frame[seen]
        known[name] = frame
    return known


@pytest.mark.parametrize("as_of", ["2025-02-28", "2026-03-30"])
def test_later_rows_change_nothing(tables, features, as_of):
    known = know_until(tables, as_of)
    assert len(known["sales"]) < len(tables["sales"])
    assert_same_bits(features.loc[as_of], build_features(known, as_of))


def test_a_row_that_arrives_late_counts_from_its_arrival_on():
    row = {"sale_id": ["1"], "partner_id": ["a"], "sold_at": pd.to_datetime(["2026-03-01"]), "amount": [5.0],
           "currency": ["EUR"], "is_return": [False], "arrived_at": pd.to_datetime(["2026-04-10 08:00"])}  # fmt: skip
    data = {"partners": pd.DataFrame({"partner_id": ["a"]}), "sales": pd.DataFrame(row)}
    found = build_features(data, ["2026-03-31", "2026-04-09", "2026-04-10", "2026-06-30"])["monetary_value_90d"]
    assert found.isna().tolist() == [True, True, False, False]
    assert found.tolist()[2:] == [5.0, 0.0]


def test_one_date_alone_equals_the_same_date_in_a_list(tables, features):
    for as_of in ("2024-02-29", "2025-12-15", "2026-06-30"):
        assert_same_bits(features.loc[as_of], build_features(tables, as_of))
    assert_same_bits(features, build_features(tables, [*DATES[::-1], DATES[0]]))


def test_order_of_rows_does_not_matter(tables, features):
    shuffled = {name: frame.sample(frac=1, random_state=1) for name, frame in tables.items()}
    assert_same_bits(features, build_features(shuffled, DATES))


def test_unknown_optional_columns_leave_the_rest_alone(tables):
    full = build_features(tables, "2026-06-30")
    bare = build_features({**tables, "sales": tables["sales"].drop(columns=["customer_id", "country"])}, "2026-06-30")
    lost = [name for name in FEATURES if bare[name].isna().all()]
    assert set(lost) == {
        "customers_90d", "customers_365d", "new_customers_90d", "new_customers_365d", "repeat_rate_365d",
        "top_customer_share_365d", "countries_365d", "effective_countries_365d",
    }  # fmt: skip
    assert_same_bits(full.drop(columns=lost).assign(**bare[lost]), bare.drop(columns=lost).assign(**bare[lost]))


def test_money_scales_and_everything_else_stays(tables):
    sales = tables["sales"].assign(amount=tables["sales"]["amount"] * 100)
    full, scaled = build_features(tables, "2026-06-30"), build_features({**tables, "sales": sales}, "2026-06-30")
    money = [f"monetary_value_{days}d" for days in (30, 90, 365)] + ["average_order_value_365d"]
    scaled[money] /= 100
    pd.testing.assert_frame_equal(full, scaled, check_exact=False, rtol=1e-9, atol=1e-9)


def test_the_result_may_be_written_to(features):
    copy = features.copy(deep=False)
    copy.loc[copy.index[0], list(FEATURES)] = 1.0
    assert (copy.iloc[0][list(FEATURES)] == 1).all()
    assert not (copy.iloc[1][list(FEATURES)] == 1).all()


def tell_by_loops(sales: pd.DataFrame, as_of: str, partner: str) -> dict[str, float]:
    """The features of sales that are hardest to roll, written down once more, row by row."""
    end = pd.Timestamp(as_of) + pd.Timedelta(days=1)
    rows = sales[(sales["partner_id"] == partner) & (sales[["sold_at", "arrived_at"]].max(axis=1) < end)]
    orders = rows[~rows["is_return"]]
    year = orders[orders["sold_at"] >= end - pd.Timedelta(days=365)]
    quarter = orders[orders["sold_at"] >= end - pd.Timedelta(days=90)]
    named = year[year["customer_id"].notna()]
    by_customer = named.groupby("customer_id")["amount"].agg(["size", "sum"])
    firsts = orders.groupby("customer_id")["sold_at"].min()
    share = named.groupby("customer_id")["amount"].sum() / named["amount"].sum()
    days = np.sort(year["sold_at"].dt.normalize().unique())
    month_end = end.to_period("M")
    months = [month_end - back for back in range(12, 0, -1)]
    first_month = orders["sold_at"].min().to_period("M") if len(orders) else month_end
    revenue = [rows.loc[rows["sold_at"].dt.to_period("M") == month, "amount"].sum() for month in months
               if month >= first_month]  # fmt: skip
    active = orders["sold_at"].dt.to_period("M").isin(months)
    n_active = orders.loc[active, "sold_at"].dt.to_period("M").nunique()
    lost = len(year) > 0 and len(named) == 0
    lost_quarter = len(quarter) > 0 and quarter["customer_id"].notna().sum() == 0
    return {
        "customers_365d": np.nan if lost else len(by_customer),
        "new_customers_90d": np.nan if lost_quarter else (firsts >= end - pd.Timedelta(days=90)).sum(),
        "repeat_rate_365d": (by_customer["size"] >= 2).mean() if len(by_customer) else np.nan,
        "top_customer_share_365d": share.max() if len(share) else np.nan,
        "effective_countries_365d": np.exp(-(share * np.log(share)).sum()) if len(share) else np.nan,
        "longest_gap_days_365d": np.diff(days).max() / np.timedelta64(1, "D") if len(days) > 1 else np.nan,
        "active_months_365d": n_active,
        "monthly_variation_365d": np.std(revenue) / np.mean(revenue) if n_active >= 3 and sum(revenue) > 0 else np.nan,
        "monetary_value_365d": rows.loc[rows["sold_at"] >= end - pd.Timedelta(days=365), "amount"].sum(),
        "recency_days": (end - orders["sold_at"].max()).days if len(orders) else np.nan,
    }


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), late=st.sampled_from([0.0, 0.3, 1.0]), n_rows=st.integers(5, 150))
def test_rolled_windows_equal_loops_over_rows(seed, late, n_rows):
    rng = np.random.default_rng(seed)
    sold = pd.Timestamp("2024-09-01") + pd.to_timedelta(rng.integers(0, 669 * 86_400, n_rows), unit="s")
    delay = np.where(rng.random(n_rows) < late, rng.integers(0, 200 * 86_400, n_rows), 0)
    customer = rng.choice(np.array(["x", "y", "z", "w", None], dtype=object), n_rows)
    back = rng.random(n_rows) < 0.15
    sales = pd.DataFrame({
        "sale_id": [f"s{place}" for place in range(n_rows)],
        "partner_id": rng.choice(["a", "b"], n_rows),
        "sold_at": sold,
        "amount": np.where(back, -1, 1) * np.round(rng.lognormal(3, 1, n_rows) + 0.01, 2),
        "currency": "EUR",
        "customer_id": customer,
        "country": customer,
        "is_return": back,
        "arrived_at": sold + pd.to_timedelta(delay, unit="s"),
    })  # fmt: skip
    dates = ["2025-09-30", "2026-01-15", "2026-02-28", "2026-06-30"]
    found = build_features({"partners": pd.DataFrame({"partner_id": ["a", "b"]}), "sales": sales}, dates)
    known = sales[["sold_at", "arrived_at"]].max(axis=1)
    for as_of in dates:
        seen = known < pd.Timestamp(as_of) + pd.Timedelta(days=1)
        told = customer[seen & ~sales["is_return"]]
        if not any(name is not None for name in told):
            continue
        for partner in ("a", "b"):
            expected = tell_by_loops(sales, as_of, partner)
            actual = found.loc[(as_of, partner), list(expected)].astype(float)
            np.testing.assert_allclose(actual, list(expected.values()), rtol=1e-9, atol=1e-9, err_msg=f"{as_of}")
