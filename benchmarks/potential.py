"""Revenue potential and forecast: against published models on the held-back half of CDNOW, and coverage in simulation.

python benchmarks/potential.py [RUNS]

Tables: the published BG/NBD, Pareto/NBD and gamma-gamma figures reproduced; what each model says of weeks 40-78 of
CDNOW from weeks 1-39, with the published parameters, naive guesses beside; the same for the second year of Online
Retail II and the last year of the sample programme (BG/NBD fitted there); what comparable customers reach at their 80th
percentile, judged on customers left out; and coverage of the potential's 90% interval in simulated programmes, RUNS
each (default 50). About a minute on one core. Data are read from ../shared/data; what is not there is left out.
"""

import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, hyp2f1
from scipy.stats import norm

from partnerseg.programme.simulate import simulate_programme
from partnerseg.segments.potential import _fit_order_value, estimate_potential, forecast_revenue

DATA = Path(__file__).parents[2] / "shared" / "data"
RESULT = Path(__file__).parent / "results" / "2026-11-22-potential.md"
BG_NBD, PARETO_NBD, GAMMA_GAMMA = (0.243, 4.414, 0.793, 2.426), (0.553, 10.578, 0.606, 11.669), (6.25, 3.74, 15.44)
CDNOW_END, CDNOW_WEEKS = pd.Timestamp("1997-09-30"), 39.0
MEASURES = ["mean absolute error", "root mean squared error", "correlation", "total / actual"]

Columns = tuple[np.ndarray, np.ndarray, np.ndarray]


def split_bg_nbd(params: tuple[float, ...], columns: Columns) -> Columns:
    """Log-likelihood of BG/NBD in its parts: common, alive, dropped out (Fader, Hardie & Lee 2005)."""
    (r, alpha, a, b), (x, t_x, age) = params, columns
    common = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    alive = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + age)
    left = betaln(a + 1, b + np.maximum(x, 1) - 1) - betaln(a, b) - (r + x) * np.log(alpha + t_x)
    return common, alive, np.where(x > 0, left, -np.inf)


def fit_bg_nbd(columns: Columns) -> tuple[float, ...]:
    """Fit BG/NBD; time is scaled so that the longest age is 39, as in the paper."""
    scale = columns[2].max() / 39
    scaled = (columns[0], columns[1] / scale, columns[2] / scale)

    def lose(logs: np.ndarray) -> float:
        common, alive, left = split_bg_nbd(tuple(np.exp(logs)), scaled)
        return -(common + np.logaddexp(alive, left)).sum()

    found = minimize(lose, np.zeros(4), method="L-BFGS-B")
    r, alpha, a, b = np.exp(found.x)
    return r, alpha * scale, a, b


def expect_bg_nbd(params: tuple[float, ...], columns: Columns, horizon: float) -> np.ndarray:
    (r, alpha, a, b), (x, _, age) = params, columns
    _, alive, left = split_bg_nbd(params, columns)
    series = hyp2f1(r + x, b + x, a + b + x - 1, horizon / (alpha + age + horizon))
    stay = 1 - ((alpha + age) / (alpha + age + horizon)) ** (r + x) * series
    return (a + b + x - 1) / (a - 1) * stay / (1 + np.exp(left - alive))


def expect_pareto_nbd(params: tuple[float, ...], columns: Columns, horizon: float) -> np.ndarray:
    (r, alpha, s, beta), (x, t_x, age) = params, columns
    first, second = max(alpha, beta), s + 1 if alpha >= beta else r + x

    def series(t: np.ndarray) -> np.ndarray:
        ratio = abs(alpha - beta) / (first + t)
        return hyp2f1(r + s + x, second, r + s + x + 1, ratio) / (first + t) ** (r + s + x)

    gone = s / (r + s + x) * (alpha + age) ** (r + x) * (beta + age) ** s * (series(t_x) - series(age))
    rate = (r + x) * (beta + age) / ((alpha + age) * (s - 1))
    return rate * (1 - ((beta + age) / (beta + age + horizon)) ** (s - 1)) / (1 + gone)


def expect_value(params: tuple[float, ...], mean: np.ndarray, orders: np.ndarray) -> np.ndarray:
    p, q, v = params
    return p * (v + orders * mean) / (p * orders + q - 1)


def judge(guess: np.ndarray, actual: np.ndarray) -> list[float]:
    error = guess - actual
    related = np.corrcoef(guess, actual)[0, 1] if guess.std() > 0 else np.nan
    return [np.abs(error).mean(), np.sqrt((error**2).mean()), related, guess.sum() / actual.sum()]


def compare(guesses: dict[str, np.ndarray], actual: np.ndarray, draws: int = 2_000) -> pd.DataFrame:
    """One row a model; the last column is its absolute error less ours, with a 95% bootstrap interval of customers."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(actual), (draws, len(actual)))
    ours = np.abs(guesses["partnerseg"] - actual)
    table = {}
    for name, guess in guesses.items():
        more = np.abs(guess - actual) - ours
        low, high = np.quantile(more[rows].mean(axis=1), [0.025, 0.975])
        table[name] = [f"{value:.3f}" for value in judge(guess, actual)] + [
            "" if name == "partnerseg" else f"{more.mean():+.3f} ({low:+.3f} to {high:+.3f})"
        ]
    return pd.DataFrame.from_dict(table, orient="index", columns=[*MEASURES, "absolute error more than ours"])


def summarize_days(days: pd.DataFrame, until: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """One row a customer known by `until`: history, and orders and revenue after it; one row a day in."""
    seen, later = days[days["day"] <= until], days[(days["day"] > until) & (days["day"] <= end)]
    table = seen.groupby("customer").agg(
        first=("day", "min"), last=("day", "max"), n=("day", "size"), spent=("amount", "sum")
    )
    first = seen["day"] == seen["customer"].map(table["first"])
    table["first_spent"] = seen[first].groupby("customer")["amount"].sum()
    coming = later.groupby("customer")["amount"].agg(["size", "sum"]).reindex(table.index).fillna(0.0)
    return pd.DataFrame(
        {
            "frequency": table["n"] - 1.0,
            "recency": (table["last"] - table["first"]).dt.days.astype(float),
            "age": (until - table["first"]).dt.days.astype(float),
            "order_value": (table["spent"] / table["n"]).where(table["spent"] > 0),
            "spent": table["spent"],
            "repeat_value": ((table["spent"] - table["first_spent"]) / (table["n"] - 1)).fillna(0.0),
            "orders_after": coming["size"].astype(float),
            "revenue_after": coming["sum"],
        }
    )


def read_cdnow() -> tuple[pd.DataFrame, None]:
    log = pd.read_csv(DATA / "cdnow" / "cdnow_elog_sample.csv", dtype={"date": "str"})
    log["day"] = pd.to_datetime(log["date"], format="%Y%m%d")
    days = log.groupby(["sampleid", "day"])["sales"].sum().reset_index().set_axis(["customer", "day", "amount"], axis=1)
    table = summarize_days(days, CDNOW_END, pd.Timestamp("1998-06-30"))
    return table.assign(recency=table["recency"] / 7, age=table["age"] / 7), None


def read_retail() -> tuple[pd.DataFrame, None]:
    log = pd.read_csv(DATA / "online_retail" / "customer_invoices_2009_2011.csv.gz").dropna(subset=["CustomerID"])
    log["day"] = pd.to_datetime(log["InvoiceDate"]).dt.normalize()
    twice = (log["sheet"] == "2010-2011") & (log["day"] < "2010-12-10")
    log = log[~twice & ~log["is_return"].astype(bool) & (log["amount"] > 0)]
    days = (
        log.groupby(["CustomerID", "day"])["amount"].sum().reset_index().set_axis(["customer", "day", "amount"], axis=1)
    )
    return summarize_days(days, pd.Timestamp("2010-11-30"), pd.Timestamp("2011-11-30")), None


def read_sample() -> tuple[pd.DataFrame, pd.DataFrame]:
    sales = simulate_programme(2_000, random_state=0).tables["sales"]
    sales = sales[~sales["is_return"].astype(bool)].assign(day=sales["sold_at"].dt.normalize())
    days = (
        sales.groupby(["partner_id", "day"])["amount"]
        .sum()
        .reset_index()
        .set_axis(["customer", "day", "amount"], axis=1)
    )
    earlier, until, end = (pd.Timestamp(f"{year}-06-30") for year in (2024, 2025, 2026))
    return summarize_days(days, until, end), summarize_days(days, earlier, until)


def reproduce_published() -> pd.DataFrame:
    table = pd.read_csv(DATA / "cdnow" / "cdnow_customers_summary_with_transactions.csv")
    columns = tuple(table[name].to_numpy(float) for name in ("x", "t_x", "T"))
    params = fit_bg_nbd(columns)
    common, alive, left = split_bg_nbd(params, columns)
    likelihood = (common + np.logaddexp(alive, left)).sum()
    log = read_cdnow()[0]
    log = log[log["frequency"] > 0]
    p, q, v = _fit_order_value(log["repeat_value"].to_numpy(), log["frequency"].to_numpy())
    one = lambda x, t_x, age: (np.array([x]), np.array([t_x]), np.array([age]))  # noqa: E731
    rows = {
        "BG/NBD r, alpha, a, b": ("0.243, 4.414, 0.793, 2.426", ", ".join(f"{value:.3f}" for value in params)),
        "BG/NBD log-likelihood": ("-9582.4", f"{likelihood:.1f}"),
        "BG/NBD orders in 39 weeks, 2 until week 30.43 of 38.86": (
            "1.226", f"{expect_bg_nbd(BG_NBD, one(2.0, 30.43, 38.86), 39.0)[0]:.3f}"),
        "Pareto/NBD orders in 52 weeks, 26 until week 30.86 of 31": (
            "25.46", f"{expect_pareto_nbd(PARETO_NBD, one(26.0, 30.86, 31.0), 52.0)[0]:.2f}"),
        "gamma-gamma p, q, v": ("6.25, 3.74, 15.44", f"{p:.2f}, {q:.2f}, {v:.2f}"),
    }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index", columns=["published", "here"])


def forecast_held_back(
    table: pd.DataFrame, earlier: pd.DataFrame | None, horizon: float, published: bool
) -> tuple[dict, dict, str]:
    """Guesses of orders and of revenue by model, and how the interval did."""
    columns = tuple(table[name].to_numpy(float) for name in ("frequency", "recency", "age"))
    ours = forecast_revenue(table, horizon=horizon)
    x, again = columns[0], columns[0] > 0
    repeat = table["repeat_value"].to_numpy()
    spend = GAMMA_GAMMA if published else tuple(_fit_order_value(repeat[again], x[again]))
    value = expect_value(spend, repeat, x)
    orders = {"partnerseg": ours["expected_orders"].to_numpy()}
    if published:
        orders["Pareto/NBD"] = expect_pareto_nbd(PARETO_NBD, columns, horizon)
    orders["BG/NBD"] = expect_bg_nbd(BG_NBD if published else fit_bg_nbd(columns), columns, horizon)
    revenue = {"partnerseg": ours["expected_value"].to_numpy()}
    revenue |= {f"{name} + gamma-gamma": guess * value for name, guess in list(orders.items())[1:]}
    share = horizon / np.maximum(columns[2], columns[2].max() / 12)
    orders |= {"own rate so far": x * share, "everybody's mean": np.full(len(x), table["orders_after"].mean())}
    revenue |= {
        "own revenue so far": table["spent"].to_numpy() * horizon / columns[2].max(),
        "everybody's mean": np.full(len(x), table["revenue_after"].mean()),
    }
    actual = table["revenue_after"]
    said = ""
    for words, known in {"": None, " widened by what the forecast of a year before missed": earlier}.items():
        if not words or known is not None:
            wide, fifth = (forecast_revenue(table, horizon=horizon, level=p, earlier=known) for p in (0.9, 0.6))
            inside = ((actual >= wide["expected_low"]) & (actual <= wide["expected_high"])).mean()
            below = (actual <= fifth["expected_high"]).mean()
            said += f"{inside:.3f} lie in our 90% interval{words}, {below:.3f} at or below our 80th percentile. "
    return orders, revenue, said


def lose_pinball(guess: pd.Series, actual: pd.Series, quantile: float = 0.8) -> float:
    error = actual - guess
    return float(np.maximum(quantile * error, (quantile - 1) * error).mean())


def judge_potential(table: pd.DataFrame) -> pd.DataFrame:
    """What comparable customers reach at their 80th percentile in weeks 40-78, judged on a fifth left out in turn."""
    actual = table["revenue_after"]
    quarter = pd.cut(table["age"] - table["recency"], [-1, 4, 13, 26, 100]).astype("str")
    groups = pd.DataFrame(
        {
            "orders": table["frequency"].clip(upper=4).astype("str"),
            "last order": quarter,
            "value": (table["order_value"] > table["order_value"].median()).astype("str"),
        }
    )
    finest = groups.agg("/".join, axis=1)
    reached, hard = (pd.Series(np.nan, index=table.index) for _ in range(2))
    fold = pd.Series(np.random.default_rng(0).integers(0, 5, len(table)), index=table.index)
    for number in range(5):
        others, judged = actual[fold != number], fold == number
        reached[judged] = estimate_potential(actual.where(~judged), groups)["potential_value"][judged]
        hard[judged] = others.quantile(0.8)
        for group in (groups["orders"], groups["orders"] + groups["last order"], finest):
            grouped = others.groupby(group[others.index])
            found = grouped.quantile(0.8)[grouped.size() >= 30]
            hard[judged] = group[judged].map(found).fillna(hard[judged])
    guesses = {
        "estimate_potential": reached,
        "groups of 30 and more, otherwise the coarser group": hard,
        "forecast_revenue, its 80th percentile, from weeks 1-39 alone": forecast_revenue(
            table, horizon=CDNOW_WEEKS, level=0.6)["expected_high"],
        "80th percentile of all": pd.Series(actual.quantile(0.8), index=table.index),
        "own revenue of weeks 1-39": table["spent"],
    }  # fmt: skip
    rows = {}
    for name, guess in guesses.items():
        below = (actual <= guess).groupby(finest).mean()[finest.value_counts() >= 50]
        rows[name] = [
            f"{(actual <= guess).mean():.3f}",
            f"{below.min():.2f}-{below.max():.2f}",
            f"{lose_pinball(guess, actual):.3f}",
        ]
    columns = ["share at or below", "in the groups of 50 and more", "pinball loss at 0.8"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def draw_programme(rng: np.random.Generator, n: int, spread: tuple[float, ...], nested: bool) -> tuple:
    """Revenue (a tenth has none), four criteria and the true 80th percentile of each partner's group."""
    levels = (5, 4, 6, 4)
    criteria = [rng.choice(k, n, p=rng.dirichlet(np.full(k, 3.0))) for k in levels]
    log_mean, code = np.full(n, 8.0), np.zeros(n, dtype=int)
    for k, values, scale in zip(levels, criteria, spread, strict=True):
        code = code * k + values if nested else values
        log_mean += rng.normal(0, scale, code.max() + 1)[code]
    revenue = pd.Series(np.where(rng.random(n) < 0.1, 0.0, np.exp(log_mean + rng.normal(0, 1, n))))
    groups = pd.DataFrame(dict(zip(("type", "size", "industry", "region"), criteria, strict=True)))
    return revenue, groups, np.exp(log_mean + norm.ppf(0.7 / 0.9))


def simulate_coverage(runs: int) -> pd.DataFrame:
    worlds = {
        "groups do not differ": ((0.0, 0.0, 0.0, 0.0), False),
        "each criterion adds its part": ((0.7, 0.7, 0.3, 0.3), False),
        "each combination is its own, finer ones less": ((0.7, 0.4, 0.2, 0.1), True),
        "each combination is its own, strongly": ((1.0, 0.8, 0.6, 0.4), True),
    }
    rows = []
    for world, (spread, nested) in worlds.items():
        for n in (100, 400, 2_000):
            found = []
            for seed in range(runs):
                revenue, groups, truth = draw_programme(np.random.default_rng([seed, n]), n, spread, nested)
                ours = estimate_potential(revenue, groups)
                said = ours["potential_value"].notna()
                hard = pd.Series(revenue.quantile(0.8), index=revenue.index)
                for codes in (groups["type"], groups["type"] * 10 + groups["size"]):
                    grouped = revenue.groupby(codes)
                    hard = grouped.transform("quantile", 0.8).where(grouped.transform("size") >= 30, hard)
                inside = (ours["potential_low"] <= truth) & (truth <= ours["potential_high"])
                miss = [np.log(guess.clip(lower=1.0) / truth)[said] for guess in (ours["potential_value"], hard)]
                found.append([said.mean(), inside[said].mean(), *(np.sqrt((m**2).mean()) for m in miss)])
            rows.append([world, n, *np.nanmean(found, axis=0).round(3)])
    errors = ["error of log potential", "the same with groups of 30 and more"]
    return pd.DataFrame(
        rows, columns=["world", "partners", "said of", "coverage of the 90% interval", *errors]
    ).set_index("world")


def write_table(table: pd.DataFrame) -> str:
    head = ["", *map(str, table.columns)]
    rows = [[str(name), *map(str, row)] for name, row in zip(table.index, table.to_numpy(), strict=True)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def main(runs: int = 50) -> int:
    parts = [f"# Revenue potential, {date.today()}\n"]
    sets: dict = {"Sample programme, last year held back, 1 run": (read_sample, 365.0, False)}
    if (DATA / "online_retail").exists():
        sets = {"Online Retail II, second year held back": (read_retail, 365.0, False), **sets}
    if (DATA / "cdnow").exists():
        sets = {"CDNOW, weeks 40-78 from weeks 1-39, published parameters": (read_cdnow, CDNOW_WEEKS, True), **sets}
        parts += ["## Published figures, fitted here\n", write_table(reproduce_published())]
    for title, (read, horizon, published) in sets.items():
        table, earlier = read()
        orders, revenue, said = forecast_held_back(table, earlier, horizon, published)
        parts += [
            f"\n## {title}: orders, n = {len(table)}\n",
            write_table(compare(orders, table["orders_after"].to_numpy())),
        ]
        parts += ["\nRevenue\n", write_table(compare(revenue, table["revenue_after"].to_numpy())), f"\n{said}"]
        if published:
            parts += ["\n## CDNOW: what comparable customers reach\n", write_table(judge_potential(table))]
    parts += [
        f"\n## Coverage of the potential's interval, {runs} simulated programmes each\n",
        write_table(simulate_coverage(runs)),
    ]
    text = "\n".join(parts) + "\n"
    print(text)
    RESULT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
