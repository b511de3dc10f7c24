"""Cost of features: 24 month ends against one date, and against plain pandas on the sales features.

python benchmarks/features.py [N_PARTNERS] [ACTIVITY] [RUNS]

Runs take turns in one process; imports, simulation and one warming run of each are not counted. ACTIVITY scales how
many events a partner of the sample programme has: 2000 partners at 0.86 and 100000 at 0.57 have 150 thousand and
5 million sales. pandas computes the 25 features of sales with groupby,
for 24 dates one date after the other (left out above a million sales).
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from partnerseg.features.build import build_features
from partnerseg.programme.simulate import simulate_programme
from partnerseg.programme.sources import Programme, as_connection
from partnerseg.programme.tables import TABLES

MONTH_ENDS = [str(day.date()) for day in pd.date_range("2024-07-31", "2026-06-30", freq="ME")]
LIMIT = 4.0


def save_programme(tables: dict[str, pd.DataFrame], directory: Path) -> Programme:
    """Write tables as the Parquet files of an open programme."""
    directory.mkdir()
    connection = as_connection(tables)
    for name in TABLES:
        connection.to_parquet(connection.table(name), directory / f"{name}.parquet")
    return Programme(directory, "benchmark")


def tell_with_pandas(programme: Programme, as_of: str) -> pd.DataFrame:
    """Compute the features of sales as one would by hand, with groupby."""
    ids = pd.Index(programme.frame("partners")["partner_id"])
    sales = programme.frame("sales")
    end = pd.Timestamp(as_of) + pd.Timedelta(days=1)
    sales = sales[sales[["sold_at", "arrived_at"]].max(axis=1) < end]
    sales = sales.assign(is_return=sales["is_return"].astype(bool))
    orders = sales[~sales["is_return"]]
    found: dict[str, pd.Series] = {}
    windows = {days: end - pd.Timedelta(days=days) for days in (30, 90, 180, 365, 730)}
    for days in (30, 90, 365):
        found[f"monetary_value_{days}d"] = (
            sales[sales["sold_at"] >= windows[days]].groupby("partner_id")["amount"].sum()
        )
        found[f"frequency_{days}d"] = orders[orders["sold_at"] >= windows[days]].groupby("partner_id").size()
    year, quarter = orders[orders["sold_at"] >= windows[365]], orders[orders["sold_at"] >= windows[90]]
    by_partner = year.groupby("partner_id")
    found["products_365d"] = by_partner["product"].nunique()
    found["countries_365d"] = by_partner["country"].nunique()
    found["customers_365d"] = by_partner["customer_id"].nunique()
    found["customers_90d"] = quarter.groupby("partner_id")["customer_id"].nunique()
    first = orders.groupby(["partner_id", "customer_id"])["sold_at"].min()
    for days in (90, 365):
        found[f"new_customers_{days}d"] = first[first >= windows[days]].groupby("partner_id").size()
    day = orders["sold_at"].dt.normalize()
    month, last_month = year["sold_at"].dt.to_period("M"), pd.Timestamp(as_of).to_period("M")
    found["active_months_365d"] = month[month > last_month - 12].groupby(year["partner_id"]).nunique()
    counts = pd.DataFrame({name: values.reindex(ids).fillna(0.0) for name, values in found.items()})
    found = {
        "average_order_value_365d": by_partner["amount"].mean(),
        "discount_365d": by_partner["discount"].mean(),
        "recency_days": (end - pd.Timedelta(days=1) - day.groupby(orders["partner_id"]).max()).dt.days,
        "first_sale_days": (end - pd.Timedelta(days=1) - day.groupby(orders["partner_id"]).min()).dt.days,
    }
    returns = sales[sales["is_return"] & (sales["sold_at"] >= windows[365])].groupby("partner_id").size()
    found["return_rate_365d"] = returns.reindex(ids).fillna(0.0) / counts["frequency_365d"].replace(0.0, np.nan)
    for days in (90, 365):
        if sales["sold_at"].min() < windows[2 * days] + pd.Timedelta(days=1):
            earlier = (sales["sold_at"] >= windows[2 * days]) & (sales["sold_at"] < windows[days])
            before = sales[earlier].groupby("partner_id")["amount"].sum().round(4)
            found[f"revenue_growth_{days}d"] = counts[f"monetary_value_{days}d"] / before[before > 0] - 1
    by_customer = year.groupby(["partner_id", "customer_id"])["amount"].agg(["size", "sum"]).reset_index()
    found["repeat_rate_365d"] = (by_customer["size"] >= 2).groupby(by_customer["partner_id"]).mean()
    largest = by_customer.groupby("partner_id")["sum"].agg(["max", "sum"])
    found["top_customer_share_365d"] = largest["max"] / largest["sum"]
    by_country = year.groupby(["partner_id", "country"])["amount"].sum()
    share = by_country / by_country.groupby("partner_id").transform("sum")
    found["effective_countries_365d"] = np.exp(-(share * np.log(share)).groupby("partner_id").sum())
    days_sold = pd.DataFrame({"partner_id": year["partner_id"], "day": day.loc[year.index]}).drop_duplicates()
    days_sold = days_sold.sort_values(["partner_id", "day"])
    found["longest_gap_days_365d"] = (
        days_sold.groupby("partner_id")["day"].diff().dt.days.groupby(days_sold["partner_id"]).max()
    )
    recent = sales[sales["sold_at"] >= windows[365] - pd.Timedelta(days=1)]
    months = pd.period_range(last_month - 11, last_month, freq="M")
    revenue = recent.groupby(["partner_id", recent["sold_at"].dt.to_period("M")])["amount"].sum().unstack()  # noqa: PD010
    revenue = revenue.reindex(ids).reindex(columns=months).fillna(0.0)
    since = orders.groupby("partner_id")["sold_at"].min().reindex(ids).dt.to_period("M")
    revenue = revenue.where(months.to_numpy()[None, :] >= since.to_numpy()[:, None])
    variation = revenue.std(axis=1, ddof=0) / revenue.mean(axis=1)
    found["monthly_variation_365d"] = variation.where((counts["active_months_365d"] >= 3) & (revenue.sum(axis=1) > 0))
    return counts.join(pd.DataFrame({name: values.reindex(ids) for name, values in found.items()})).sort_index()


def take_turns(ways: dict[str, Callable[[], object]], runs: int) -> pd.DataFrame:
    """Run all ways in turn; one row a run, columns (way, cpu) and (way, wall) in seconds."""
    for way in ways.values():
        way()
    rows = []
    for _ in range(runs):
        row = {}
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            way()
            row[name, "cpu"], row[name, "wall"] = time.process_time() - cpu, time.perf_counter() - wall
        rows.append(row)
    times = pd.DataFrame(rows)
    return times.set_axis(pd.MultiIndex.from_tuples(times.columns), axis=1)


def tell_ratio(times: pd.DataFrame, over: str, under: str) -> float:
    """Print the ratio of two ways, median and range over the runs; return the median ratio of CPU seconds."""
    ratios = {unit: times[over, unit] / times[under, unit] for unit in ("cpu", "wall")}
    told = ", ".join(f"{r.median():.2f} ({r.min():.2f}-{r.max():.2f}) {unit}" for unit, r in ratios.items())
    print(f"  {over} / {under}: {told}; n = {len(times)}")
    return ratios["cpu"].median()


def main(n_partners: int = 2_000, activity: float = 0.86, runs: int = 5) -> int:
    tables = simulate_programme(n_partners, random_state=0, activity=activity).tables
    rows = {name: len(tables[name]) for name in ("partners", "sales", "touches")}
    with tempfile.TemporaryDirectory() as folder:
        whole = save_programme(tables, Path(folder) / "whole")
        sold = save_programme({name: tables[name] for name in ("partners", "sales")}, Path(folder) / "sold")
        del tables
        last = MONTH_ENDS[-1]
        ours, theirs = build_features(sold, last), tell_with_pandas(sold, last)
        different = [
            name for name in theirs
            if not np.allclose(ours[name], theirs[name].loc[ours.index], rtol=1e-6, atol=1e-6, equal_nan=True)
        ]  # fmt: skip
        print(f"{rows}; {theirs.shape[1]} sales features by pandas, different from ours: {different or 'none'}")
        ways: dict[str, Callable[[], object]] = {
            "one date": lambda: build_features(whole, last),
            "24 dates": lambda: build_features(whole, MONTH_ENDS),
            "one date, sales": lambda: build_features(sold, last),
            "24 dates, sales": lambda: build_features(sold, MONTH_ENDS),
            "one date, pandas": lambda: tell_with_pandas(sold, last),
        }
        if rows["sales"] <= 1_000_000:
            ways["24 dates, pandas"] = lambda: [tell_with_pandas(sold, day) for day in MONTH_ENDS]
        times = take_turns(ways, runs)
        print(times.median().unstack().round(2).to_string())  # noqa: PD010
        ratio = max(tell_ratio(times, "24 dates", "one date"), tell_ratio(times, "24 dates, sales", "one date, sales"))
        tell_ratio(times, "one date, pandas", "one date, sales")
        if "24 dates, pandas" in ways:
            tell_ratio(times, "24 dates, pandas", "24 dates, sales")
    return int(bool(different) or ratio > LIMIT)


if __name__ == "__main__":
    given = [kind(text) for kind, text in zip((int, float, int), sys.argv[1:], strict=False)]
    sys.exit(main(*given))
