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
    """Only the rows that had happened and arrived by the end of a day, and of them what had come after them."""
    end = pd.Timestamp(as_of) + pd.Timedelta(days=1)
    known = {}
    for name, frame in tables.items():
        time = TABLES[name].time
        if time is not None:
            seen = frame[time].isna() | (frame[time] < end)
            frame = frame[seen & ~(frame["arrived_at"] >= end)] if "arrived_at" in frame else frame[seen]
        later = [column for column in ("answered_at", "reopened_at") if column in frame]
        known[name] = frame.assign(**{column: frame[column].where(frame[column] < end) for column in later})
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


def test_a_country_known_long_ago_is_known_on_one_date_as_on_many():
    sales = pd.DataFrame({"sale_id": ["1"], "partner_id": ["a"], "sold_at": pd.to_datetime(["2025-01-01"]),
                          "amount": 1.0, "currency": "EUR", "is_return": False, "country": "SE"})  # fmt: skip
    data = {"partners": pd.DataFrame({"partner_id": ["a"]}), "sales": sales}
    many = build_features(data, ["2024-12-31", "2025-06-30", "2026-06-30"])
    assert many["countries_365d"].fillna(-1).tolist() == [-1, 1, 0]
    assert_same_bits(many.loc["2026-06-30"], build_features(data, "2026-06-30"))


def test_order_of_rows_does_not_matter(tables, features):
    shuffled = {name: frame.sample(frac=1, random_state=1) for name, frame in tables.items()}
    assert_same_bits(features, build_features(shuffled, DATES))


def test_unknown_optional_columns_leave_the_rest_alone(tables):
    full = build_features(tables, "2026-06-30")
    bare = build_features({**tables, "sales": tables["sales"].drop(columns=["customer_id", "country"])}, "2026-06-30")
    lost = [name for name in FEATURES if bare[name].isna().all()]
    assert set(lost) == {
        "customers_90d", "customers_365d", "new_customers_90d", "new_customers_365d", "repeat_rate_365d",
        "top_customer_share_365d", "countries_365d", "effective_countries_365d", "retained_customers_365d",
        "customer_lifetime_days", "established_countries_365d", "new_deals_365d", "former_customers_365d",
    }  # fmt: skip
    assert_same_bits(full.drop(columns=lost).assign(**bare[lost]), bare.drop(columns=lost).assign(**bare[lost]))


def test_money_scales_and_everything_else_stays(tables):
    sales = tables["sales"].assign(amount=tables["sales"]["amount"] * 100)
    full, scaled = build_features(tables, "2026-06-30"), build_features({**tables, "sales": sales}, "2026-06-30")
    money = [f"monetary_value_{days}d" for days in (30, 90, 365)] + [
        "average_order_value_365d",
        "potential_reached_365d",
    ]
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
    before = orders[(orders["sold_at"] >= end - pd.Timedelta(days=730)) & ~orders.index.isin(year.index)]
    former, former_lost = set(before["customer_id"].dropna()), len(before) and before["customer_id"].isna().all()
    both_lost = lost and (former_lost or not len(before))
    kept = np.nan if lost or former_lost or both_lost or not former else len(former & set(named["customer_id"]))
    span = (
        orders.dropna(subset="customer_id").assign(day=orders["sold_at"].dt.normalize()).groupby("customer_id")["day"]
    )
    taken = rows[rows["is_return"] & (rows["sold_at"] >= end - pd.Timedelta(days=365))]
    gross, back = (frame.groupby("country")["amount"].sum() for frame in (named, taken))
    n_by_country = named.groupby("country").size() * (1 + back.reindex(gross.index).fillna(0) / gross).clip(lower=0)
    lost_quarter = len(quarter) > 0 and quarter["customer_id"].notna().sum() == 0
    return {
        "customers_365d": np.nan if lost else len(by_customer),
        "new_customers_90d": np.nan if lost_quarter else (firsts >= end - pd.Timedelta(days=90)).sum(),
        "repeat_rate_365d": (by_customer["size"] >= 2).mean() if len(by_customer) else np.nan,
        "retained_customers_365d": kept / len(former) if former else np.nan,
        "customer_lifetime_days": (span.max() - span.min()).dt.days.mean() if len(span) else np.nan,
        "established_countries_365d": np.nan if lost else (n_by_country**2 / (n_by_country**2 + 9)).sum(),
        "top_customer_share_365d": share.max() if len(share) else np.nan,
        "effective_countries_365d": np.exp(-(share * np.log(share)).sum()) if len(share) else np.nan,
        "longest_gap_days_365d": np.diff(days).max() / np.timedelta64(1, "D") if len(days) > 1 else np.nan,
        "active_months_365d": n_active,
        "monthly_variation_365d": np.std(revenue) / np.mean(revenue) if n_active >= 3 and sum(revenue) > 0 else np.nan,
        "shrunk_variation_365d": (
            ((len(revenue) - 1) * np.std(revenue) / np.mean(revenue) + 6 * 0.75) / (len(revenue) - 1 + 6)
            if len(orders) and sum(revenue) > 0
            else np.nan
        ),
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
            np.testing.assert_allclose(actual, list(expected.values()), rtol=1e-9, atol=2e-6, err_msg=f"{as_of}")


MONTHS = [f"{month}-15" for month in pd.period_range("2025-07", "2026-06", freq="M")]
GEOGRAPHY = "established_countries_365d"
CASES = 150


def build_sales(by_partner: dict[str, list[tuple[str, float, str]]]) -> pd.DataFrame:
    """Features of partners from their sales as (day, amount, country); below 0 is a return."""
    rows = [(partner, *row) for partner, own in by_partner.items() for row in own]
    frame = pd.DataFrame(rows, columns=["partner_id", "sold_at", "amount", "country"])
    sold = pd.to_datetime(frame["sold_at"])
    frame = frame.assign(sale_id=frame.index.astype(str), sold_at=sold, currency="EUR", is_return=frame["amount"] < 0)
    return build_features({"partners": pd.DataFrame({"partner_id": list(by_partner)}), "sales": frame}, "2026-06-30")


def sell(counts: list[int], *, prefix: str = "c") -> list[tuple[str, float, str]]:
    return [("2026-03-01", 10.0, f"{prefix}{place}") for place, n in enumerate(counts) for _ in range(n)]


def build_variants(cases: list[dict[str, list[tuple[str, float, str]]]]) -> pd.DataFrame:
    """Features of the variants of each case, each a partner of its own; index (case, variant)."""
    found = build_sales({f"{n} {name}": rows for n, case in enumerate(cases) for name, rows in case.items()})
    return found.set_axis(found.index.str.split(" ", n=1, expand=True))


def lay_side_by_side(values: pd.Series) -> pd.DataFrame:
    """One row a case in order, a column a variant."""
    frame = values.rename("value").rename_axis(["case", "variant"]).reset_index()
    return frame.pivot_table("value", "case", "variant", dropna=False).sort_index(key=lambda case: case.astype(int))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_country_without_sales_adds_nothing_and_success_in_one_never_takes_away(seed):
    rng = np.random.default_rng(seed)
    cases, n_tiny = [], rng.integers(1, 10, CASES)
    for tiny in n_tiny:
        counts = [1, *rng.integers(0, 30, rng.integers(0, 5))]
        more = int(rng.integers(1, 20))
        back = ("2026-03-20", -10.0 * more, "elsewhere")
        raised = list(counts)
        raised[rng.integers(len(counts))] += more
        cases.append({
            "as it is": sell(counts),
            "only returns": [*sell(counts), ("2026-03-01", -10.0, "elsewhere")],
            "all returned": [*sell(counts), *[("2026-03-01", 10.0, "elsewhere")] * more, back],
            "half returned": [*sell(counts), *[("2026-03-01", 10.0, "elsewhere")] * 2 * more, back],
            "long ago": [*sell(counts), *[("2025-01-01", 10.0, "elsewhere")] * 50],
            "many tiny": sell(counts) + sell([1] * tiny, prefix="tiny"),
            "more": sell(raised),
            "one more": sell(counts) + sell([more], prefix="new"),
        })  # fmt: skip
    found = lay_side_by_side(build_variants(cases)[GEOGRAPHY])
    assert (found["only returns"] == found["as it is"]).all()
    assert (found["long ago"] == found["as it is"]).all()
    assert (found["all returned"] == found["as it is"]).all()
    assert (found["half returned"] == found["one more"]).all()
    assert (found["many tiny"] - found["as it is"] <= n_tiny * (0.1 + 1e-6)).all()
    assert (found["more"] >= found["as it is"]).all()
    assert (found["one more"] > found["as it is"]).all()
    assert (found["one more"] < found["as it is"] + 1).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_more_volatile_sales_at_equal_volume_are_never_steadier(seed):
    """Moving money from a weaker month to a stronger one makes any partner more volatile (Pigou-Dalton)."""
    rng = np.random.default_rng(seed)
    cases, lengths = [], rng.integers(2, 13, CASES)
    for n in lengths:
        months = np.round(rng.lognormal(5, rng.choice([0.1, 1, 2]), n) + 1)
        low, high = np.sort(rng.choice(n, 2, replace=False))
        low, high = (low, high) if months[low] <= months[high] else (high, low)
        moved = np.floor(rng.random() * months[low])
        volatile = months.copy()
        volatile[[low, high]] += [-moved, moved]
        variants = {"steady": [months.sum() / n] * n, "as it is": months, "volatile": volatile}
        cases.append({
            name: [(day, amount, "c") for day, amount in zip(MONTHS[-n:], amounts, strict=True)]
            for name, amounts in variants.items()
        })  # fmt: skip
    found = build_variants(cases)
    volume = lay_side_by_side(found["monetary_value_365d"])
    assert (volume.max(axis=1) - volume.min(axis=1) < 0.01).all()
    swing = lay_side_by_side(found["shrunk_variation_365d"])
    assert (swing["as it is"] <= swing["volatile"] + 1e-12).all()
    assert (swing["steady"] <= swing["as it is"] + 1e-12).all()
    assert (swing["volatile"] > swing["as it is"]).mean() > 0.9
    np.testing.assert_allclose(swing["steady"], 6 * 0.75 / (lengths - 1 + 6), atol=1e-4)


@pytest.mark.parametrize("months", [[100.0], [100.0, 0.001]])
def test_few_months_say_less_than_many(months):
    """Steady or not, a partner of two months stands nearer to the middle than one of twelve."""
    n = len(months)
    found = build_sales({
        "short": [(day, amount, "c") for day, amount in zip(MONTHS[-n:], months, strict=True)],
        "long": [(day, amount, "c") for day, amount in zip(MONTHS, months * (12 // n), strict=True)],
    })["shrunk_variation_365d"]  # fmt: skip
    assert abs(found["short"] - 0.75) < abs(found["long"] - 0.75)


def test_later_rows_change_nothing_for_factors_and_weights_of_ones_own(tables):
    options = {"assessed": ["teamwork", "innovation"], "evidence": {"manager": 0.333, "self": 1.0}}
    full = build_features(tables, DATES, **options)
    for as_of in ("2025-02-28", "2026-03-30"):
        known = build_features(know_until(tables, as_of), as_of, **options)
        pd.testing.assert_frame_equal(full.loc[as_of], known, check_exact=True)
    assert full[["assessed_innovation", "evidence_innovation"]].isna().all(axis=None)
    assert full["assessed_teamwork"].notna().any()
