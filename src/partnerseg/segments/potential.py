"""Estimates what comparable partners reach in a year, and where a partner is heading by its own orders."""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

LEAST_KNOWN = 30  # partners of known revenue without which nothing is said
LEAST_COMPARABLE = 5.0  # comparable partners, in effect, without which nothing is said of a group
PRIOR_PARTNERS = 300.0  # partners that must speak before the given pooling is left for the one found
RATES, DROPOUTS = 40, 25  # nodes of the grid on which rates of ordering and of dropping out are found
FITTED = 5_000  # partners that the rates are found on
STEPS = 200  # of expectation maximization; more add nothing to the likelihood of partners held back


def estimate_potential(
    revenue: pd.Series,
    groups: pd.DataFrame,
    *,
    quantile: float = 0.8,
    level: float = 0.9,
    pooling: float = 30.0,
) -> pd.DataFrame:
    """Estimate the revenue that a quantile of comparable partners reaches, with an interval.

    Comparable are the partners of the same group; a group that is small is completed by the next coarser one, up to
    all partners: the distribution of revenue in a group of n partners is theirs, mixed with that of the coarser group
    at the weights n and k. k is large where groups on a level hardly differ and small where they do: k = 1/r - 1, with
    r the intraclass correlation of "below the coarser group's quantile" (analysis of variance), drawn to `pooling`
    as if 300 further partners had spoken for it. A partner never counts among those it is compared with, so that its
    potential does not follow its own revenue.

    The interval is that of a share of `quantile` seen on the partners that are compared in effect (Woodruff 1952,
    with Jeffreys limits); how much groups differ counts in it.

    Args:
        revenue: Index partner_id; revenue of a full year, any unit, negative where more came back than was sold.
            Missing: the partner is not counted among the comparable, and is compared with all of its group.
        groups: Same index; one column a criterion, the coarsest first: each divides the groups of those before it.
            Missing values are a category of their own.
        quantile: Share of comparable partners at or below the potential, between 0 and 1.
        level: Level of the interval, between 0 and 1.
        pooling: Partners of a group that count as much as the coarser group, before the data speak; over 0.

    Returns:
        Index as given: potential_value, potential_low, potential_high in the unit of revenue (each the revenue of some
        partner), comparable_partners (how many are compared in effect), and group_potential (the value with the partner
        itself counted: one for a group). All but comparable_partners are missing where fewer than 30 partners have a
        known revenue or fewer than 5 are compared in effect.

    Raises:
        ValueError: An argument is out of its range, or the two indexes differ.

    References:
        MacKay & Peto (1995), A hierarchical Dirichlet language model. Natural Language Engineering 1 (smooth backing
        off). Woodruff (1952), Confidence intervals for medians and other position measures. JASA 47.

    Example:
        >>> revenue = pd.Series(np.arange(100.0))
        >>> groups = pd.DataFrame({"partner_type": ["reseller"] * 100})
        >>> estimate_potential(revenue, groups)["potential_value"].iloc[[0, 99]].tolist()  # of the 99 others
        [80.0, 79.0]
    """
    for name, value in {"quantile": quantile, "level": level}.items():
        if not 0 < value < 1:
            raise ValueError(f"{name} == {value}, must be between 0 and 1")
    if not 0 < pooling < np.inf:
        raise ValueError(f"pooling == {pooling}, must be over 0")
    if not groups.index.equals(revenue.index):
        raise ValueError("`groups` and `revenue` have different indexes, must have one row a partner in the same order")
    values = revenue.to_numpy(np.float64)
    codes = _nest_groups(groups)
    result = np.full((len(values), 5), np.nan)
    result[:, 3] = 0.0
    if np.isfinite(values).sum() >= LEAST_KNOWN:
        result = _compare(values, codes, quantile, level, pooling)
    columns = ["potential_value", "potential_low", "potential_high", "comparable_partners", "group_potential"]
    table = pd.DataFrame(result, index=revenue.index, columns=columns)
    table.loc[table["comparable_partners"] < LEAST_COMPARABLE, table.columns != "comparable_partners"] = np.nan
    return table


def _nest_groups(groups: pd.DataFrame) -> list[np.ndarray]:
    """Return the number of each partner's group, level by level from all partners down."""
    codes = [np.zeros(len(groups), dtype=np.int64)]
    for column in groups:
        part = pd.factorize(groups[column].astype("str"), sort=True, use_na_sentinel=False)[0].astype(np.int64)
        codes.append(np.unique(codes[-1] * (part.max(initial=0) + 1) + part, return_inverse=True)[1])
    return codes


def _compare(values: np.ndarray, codes: list[np.ndarray], quantile: float, level: float, pooling: float) -> np.ndarray:
    """Return value, low, high, comparable partners and group value of every partner.

    Leaving a partner out changes the counts of its groups by one, at or below its revenue. So a group has only two
    such distributions, without one from below and without one from above the quantile: all partners share them.
    """
    from scipy.stats import beta

    known = np.isfinite(values)
    seen = np.unique(values[known])
    ranks = np.searchsorted(seen, values)
    pools = [0.0] + [
        _find_pooling(values[known], fine[known], coarse[known], quantile, pooling) for coarse, fine in pairwise(codes)
    ]
    groups, first, group = np.unique(codes[-1], return_index=True, return_inverse=True)
    mixture = _Mixture(ranks, known, codes, first, pools, len(seen))
    found = {}
    for left_out in ("none", "below", "above"):
        counted = mixture.count_comparable(left_out)
        tail = (1 - level) / 2
        shares = [np.full(len(groups), quantile)]
        shares += [beta.ppf(p, counted * quantile + 0.5, counted * (1 - quantile) + 0.5) for p in (tail, 1 - tail)]
        found[left_out] = np.column_stack([*(mixture.find_rank(share, left_out) for share in shares), counted])
    result = found["none"][group]
    for column in range(3):
        below, above = (found[left_out][group, column] for left_out in ("below", "above"))
        result[known, column] = np.where(ranks > above, above, below)[known]
    result[known, 3] = found["below"][group, 3][known]
    money = seen[np.column_stack([result[:, :3], found["none"][group, 0]]).astype(np.int64)]
    return np.column_stack([money[:, :3], result[:, 3], money[:, 3]])


class _Mixture:
    """The distribution of revenue (as ranks) in each finest group, completed by its coarser groups."""

    def __init__(
        self, ranks: np.ndarray, known: np.ndarray, codes: list[np.ndarray], first: np.ndarray, pools: list, size: int
    ) -> None:
        self.pools, self.size = pools, size
        self.groups = [code[first] for code in codes]
        self.sorted = [np.sort(code[known] * (size + 1) + ranks[known]) for code in codes]
        self.starts = [
            np.searchsorted(rows, group * (size + 1)) for rows, group in zip(self.sorted, self.groups, strict=True)
        ]
        self.counts = [
            np.searchsorted(rows, (group + 1) * (size + 1)) - start
            for rows, group, start in zip(self.sorted, self.groups, self.starts, strict=True)
        ]

    def count_comparable(self, left_out: str) -> np.ndarray:
        """Return the number of partners whose sample share would be as uncertain as the group's mixed share."""
        variance, weight = (np.zeros(len(self.groups[0])) for _ in range(2))
        for pool, count in zip(self.pools, self.counts, strict=True):
            n = np.maximum(count - (left_out != "none"), 0)
            own, rest = 1 / np.maximum(n + pool, 1), pool / np.maximum(n + pool, 1)
            # The coarser group holds the members of the group too: `weight` is that of each, here and there.
            variance = 1 / (n + pool + 1) + rest**2 * variance + 2 * (1 - rest) * rest * weight
            weight = own + rest * weight
        return 1 / variance - 1

    def find_share(self, rank: np.ndarray, left_out: str) -> np.ndarray:
        """Return the share of comparable partners at or below a rank."""
        share = np.zeros(len(rank))
        for pool, rows, group, start, count in zip(
            self.pools, self.sorted, self.groups, self.starts, self.counts, strict=True
        ):
            below = np.searchsorted(rows, group * (self.size + 1) + rank, side="right") - start
            # A group without members has nobody to leave out.
            n, below = np.maximum(count - (left_out != "none"), 0), np.maximum(below - (left_out == "below"), 0)
            share = (np.minimum(below, n) + pool * share) / (n + pool)
        return share

    def find_rank(self, share: np.ndarray, left_out: str) -> np.ndarray:
        """Return the lowest rank that a share of comparable partners does not exceed, by bisection."""
        low, high = np.zeros(len(share), dtype=np.int64), np.full(len(share), self.size - 1)
        for _ in range(self.size.bit_length()):
            middle = (low + high) // 2
            enough = self.find_share(middle, left_out) >= share - 1e-12
            low, high = np.where(enough, low, np.minimum(middle + 1, high)), np.where(enough, middle, high)
        return high


def _find_pooling(values: np.ndarray, fine: np.ndarray, coarse: np.ndarray, quantile: float, pooling: float) -> float:
    """Return how many partners of a group count as much as the coarser group it belongs to."""
    rows = pd.DataFrame({"value": values, "fine": fine, "coarse": coarse})
    reached = rows.groupby("coarse")["value"].transform("quantile", quantile)
    rows["below"] = (rows["value"] <= reached).astype(np.float64)
    whole = rows.groupby("coarse")["below"].agg(["mean", "size"])
    part = rows.groupby("fine").agg(mean=("below", "mean"), n=("below", "size"), coarse=("coarse", "first"))
    mean, size = (part["coarse"].map(whole[column]) for column in ("mean", "size"))
    between, inside = len(part) - len(whole), len(rows) - len(part)
    independent = len(rows) - (part["n"] ** 2 / size).sum()
    total = (whole["size"] * whole["mean"] * (1 - whole["mean"])).sum() / len(rows)
    found = 0.0
    if between and inside and total > 0:
        noise = (part["n"] * part["mean"] * (1 - part["mean"])).sum() / inside
        found = ((part["n"] * (part["mean"] - mean) ** 2).sum() - between * noise) / total
    correlation = (found + PRIOR_PARTNERS / (pooling + 1)) / (independent + PRIOR_PARTNERS)
    return float(np.clip(1 / max(correlation, 1e-9) - 1, 1, 1_000))


def summarize_orders(sales: pd.DataFrame, as_of: str) -> pd.DataFrame:
    """Summarize each partner's orders as of a date: how many, from when to when, of what value.

    Args:
        sales: One row a sale or its return: partner_id, sold_at (UTC), amount (not negative or, for returns, either
            sign), is_return; arrived_at is optional. Rows that were sold or arrived after `as_of` are not seen.
        as_of: Last day that is seen, `YYYY-MM-DD`.

    Returns:
        One row a partner with a sale, index partner_id: frequency (order days after the first), recency (days from the
        first order to the last), age (days from the first order to `as_of`), order_value (revenue an order day, returns
        taken off; missing where that is not over 0).

    Example:
        >>> sales = pd.DataFrame(
        ...     {"partner_id": ["P1", "P1"], "sold_at": pd.to_datetime(["2026-01-01", "2026-03-02"], utc=True),
        ...      "amount": [100.0, 50.0], "is_return": [False, False]}
        ... )
        >>> summarize_orders(sales, "2026-06-30").loc["P1"].tolist()
        [1.0, 60.0, 180.0, 75.0]
    """
    last = pd.Timestamp(as_of, tz="UTC")
    rows = sales.assign(sold_at=pd.to_datetime(sales["sold_at"], utc=True), amount=sales["amount"].abs())
    late = rows["sold_at"] >= last + pd.Timedelta(days=1)
    if "arrived_at" in rows:
        late |= pd.to_datetime(rows["arrived_at"], utc=True) >= last + pd.Timedelta(days=1)
    returned = rows["is_return"].fillna(False).astype(bool)
    rows["amount"] = rows["amount"].where(~returned, -rows["amount"])
    revenue = rows[~late].groupby("partner_id")["amount"].sum()
    orders = rows[~late & ~returned]
    days = orders["sold_at"].dt.normalize().groupby(orders["partner_id"]).agg(["nunique", "min", "max"])
    value = revenue.reindex(days.index) / days["nunique"]
    return pd.DataFrame(
        {
            "frequency": days["nunique"] - 1.0,
            "recency": (days["max"] - days["min"]).dt.days.astype(np.float64),
            "age": (last - days["min"]).dt.days.astype(np.float64),
            "order_value": value.where(value > 0),
        }
    )


def forecast_revenue(
    orders: pd.DataFrame, *, horizon: float = 365.0, level: float = 0.9, earlier: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Forecast what each partner will sell from how often, how lately and for how much it has sold.

    A partner orders at a rate of its own until it drops out, at a rate of its own (Schmittlein et al. 1987); which
    rates there are is found from all partners, on a grid, without supposing a form (nonparametric maximum likelihood).
    The value of an order varies around the partner's own mean, and these means between partners, as in the
    gamma-gamma model (Fader, Hardie & Lee 2005). Seasons, growth and discontinued products are not foreseen: without
    `earlier` the interval holds for partners whose rates stay as they are; with it, the interval is widened by the
    share of its forecast by which a partner was missed then, beyond chance.

    Args:
        orders: One row a partner as `summarize_orders` makes it: frequency, recency, age, order_value; any unit of
            time, any currency. A missing order_value is taken as that of the others.
        horizon: How far to look, over 0, in the unit of recency and age.
        level: Level of the interval, between 0 and 1.
        earlier: What `summarize_orders` told one horizon earlier; None where sales do not reach back that far.

    Returns:
        Index as given: alive (probability that the partner has not dropped out), expected_orders, order_value (expected
        mean), expected_value (revenue before further returns), expected_low, expected_high. All missing where fewer
        than 30 partners have ordered.

    Raises:
        ValueError: recency is larger than age, something is negative, or an argument is out of its range.

    References:
        Schmittlein, Morrison & Colombo (1987), Counting your customers. Management Science 33. Laird (1978),
        Nonparametric maximum likelihood estimation of a mixing distribution. JASA 73. Fader, Hardie & Lee (2005), RFM
        and CLV: using iso-value curves for customer base analysis. Journal of Marketing Research 42.

    Example:
        >>> orders = pd.DataFrame({"frequency": [9.0, 9.0] * 20, "recency": [170.0, 60.0] * 20, "age": 180.0})
        >>> forecast = forecast_revenue(orders.assign(order_value=100.0), horizon=180.0)
        >>> bool(forecast["alive"][0] > 0.9 > forecast["alive"][1])
        True
    """
    if not 0 < level < 1 or not 0 < horizon < np.inf:
        raise ValueError(f"level == {level}, horizon == {horizon}: must be between 0 and 1, and over 0")
    forecast, variance, none = _forecast_moments(orders, horizon)
    expected = forecast["expected_value"]
    if earlier is not None:
        variance = variance + (_measure_drift(earlier, orders, horizon) * expected) ** 2
    for name, p in {"expected_low": (1 - level) / 2, "expected_high": (1 + level) / 2}.items():
        forecast[name] = _find_quantile(p, expected.to_numpy(), variance.to_numpy(), none.to_numpy())
    return forecast


def _forecast_moments(orders: pd.DataFrame, horizon: float) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    """Return the forecast without its interval, the variance of revenue, and the chance of no order."""
    history = orders[["frequency", "recency", "age"]].to_numpy(np.float64)
    wrong = (history < 0).any(axis=1) | (history[:, 1] > history[:, 2]) | np.isnan(history).any(axis=1)
    if wrong.any():
        raise ValueError(
            f"partner {orders.index[wrong][0]!r} has {orders.loc[wrong].iloc[0].to_dict()}: frequency, recency and age "
            "must be at least 0 and known, recency at most age; see `summarize_orders`"
        )
    columns = ["alive", "expected_orders", "order_value", "expected_value", "variance", "none"]
    found = np.full((len(orders), len(columns)), np.nan)
    if len(orders) >= LEAST_KNOWN:
        counts = _forecast_orders(history, horizon)
        value = orders["order_value"].to_numpy(np.float64)
        mean, square, spread = _expect_value(value, history[:, 0] + 1)
        expected = counts["mean"] * mean
        variance = counts["mean"] * spread + (counts["mean"] + counts["pairs"]) * square - expected**2
        found = np.column_stack([counts["alive"], counts["mean"], mean, expected, variance, counts["none"]])
    table = pd.DataFrame(found, index=orders.index, columns=columns)
    return table[columns[:4]], table["variance"], table["none"]


def _measure_drift(earlier: pd.DataFrame, orders: pd.DataFrame, horizon: float) -> float:
    """Return the share of a forecast by which earlier ones missed what came since, beyond their own variance."""
    forecast, variance, _ = _forecast_moments(earlier, horizon)
    expected = forecast["expected_value"]
    before, now = (
        (table["order_value"] * (table["frequency"] + 1)).fillna(0.0).reindex(expected.index, fill_value=0.0)
        for table in (earlier, orders)
    )
    beyond = ((now - before - expected) ** 2 - variance).sum() / (expected**2).sum()
    return float(np.sqrt(max(beyond, 0.0))) if np.isfinite(beyond) else 0.0


def _forecast_orders(history: np.ndarray, horizon: float) -> dict[str, np.ndarray]:
    """Return the chance to be alive, the mean of orders to come, of ordered pairs of them, and the chance of none."""
    longest = max(history[:, 2].max(), 1e-9)
    nodes = _lay_grid(history, longest)
    rate, dropout = nodes
    thinned = history[np.lexsort(history.T)]
    if len(history) > FITTED:
        thinned = thinned[np.linspace(0, len(history) - 1, FITTED).astype(np.int64)]
    weights = _fit_weights(np.logaddexp(*_weigh_nodes(thinned, nodes)))
    # What a partner alive at a node does within the horizon: t is the time it is there.
    gone = dropout > 0
    safe = np.where(gone, dropout, 1.0)
    stays = np.exp(-dropout * horizon)
    time = np.where(gone, (1 - stays) / safe, horizon)
    time_squared = np.where(gone, 2 / safe**2 * (1 - stays * (1 + dropout * horizon)), horizon**2)
    none = (dropout + rate * np.exp(-(rate + dropout) * horizon)) / (rate + dropout)
    per_node = np.column_stack([np.ones_like(rate), rate * time, rate**2 * time_squared, 1 - none])
    found = np.empty((len(history), 4))
    for start in range(0, len(history), FITTED):
        alive, left = _weigh_nodes(history[start : start + FITTED], nodes)
        either = np.logaddexp(alive, left)
        shift = either.max(axis=1, keepdims=True)
        whole = np.exp(either - shift) @ weights
        found[start : start + FITTED] = (np.exp(alive - shift) * weights) @ per_node / whole[:, None]
    return {"alive": found[:, 0], "mean": found[:, 1], "pairs": found[:, 2], "none": 1 - found[:, 3]}


def _lay_grid(history: np.ndarray, longest: float) -> tuple[np.ndarray, np.ndarray]:
    """Return rates of ordering and of dropping out: all pairs, from too rare to be seen to the most frequent."""
    fastest = ((history[:, 0] + 1) / np.maximum(history[:, 2], longest / 50)).max()
    rates = np.geomspace(0.05 / longest, fastest, RATES)
    dropouts = np.r_[0.0, np.geomspace(0.05 / longest, 300 / longest, DROPOUTS - 1)]
    rate, dropout = np.meshgrid(rates, dropouts)
    return rate.ravel(), dropout.ravel()


def _weigh_nodes(history: np.ndarray, nodes: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the log-likelihood of each partner (row) at each node, being alive at the end and having dropped out."""
    rate, dropout = nodes
    frequency, recency, age = history.T[:, :, None]
    orders, both = frequency * np.log(rate), rate + dropout
    alive = orders + np.log(rate / both) - both * age
    with np.errstate(divide="ignore"):
        left = orders + np.log(dropout / both) - both * recency
    return alive, left


def _fit_weights(likelihood: np.ndarray) -> np.ndarray:
    """Return the share of partners at each node, by expectation maximization from equal shares."""
    scaled = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
    weights = np.full(likelihood.shape[1], 1 / likelihood.shape[1])
    for _ in range(STEPS):
        weights *= (1 / (scaled @ weights)) @ scaled / len(scaled)
    return weights / weights.sum()


def _fit_order_value(value: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Return p, q, v of the gamma-gamma model by maximum likelihood; value is the mean of a partner's orders."""
    from scipy.optimize import minimize
    from scipy.special import gammaln

    order = np.lexsort((orders, value))  # one order for all row orders: sums agree to the last bit
    unit = np.exp(np.log(value[order]).mean())
    z, n = value[order] / unit, orders[order]

    def lose(logs: np.ndarray) -> Any:
        p, q, v = np.exp(logs)
        shape = p * n
        terms = gammaln(shape + q) - gammaln(shape) - gammaln(q) + q * np.log(v)
        return -(terms + (shape - 1) * np.log(z) + shape * np.log(n) - (shape + q) * np.log(n * z + v)).mean()

    exact = {"ftol": 1e-14, "gtol": 1e-8}
    found = minimize(lose, np.zeros(3), method="L-BFGS-B", jac="3-point", bounds=[(-5.0, 8.0)] * 3, options=exact)
    return np.exp(found.x) * [1.0, 1.0, unit]


def _expect_value(value: np.ndarray, orders: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, of each partner's mean order value, the expectation, that of its square, and of the variance around it.

    Where the model has no finite variance, the second parameter is taken just large enough for one.
    """
    known = np.isfinite(value) & (value > 0)
    if known.sum() < LEAST_KNOWN:
        return (np.full(len(value), np.nan),) * 3
    p, q, v = _fit_order_value(value[known], orders[known])
    n = np.where(known, orders, 0.0)
    scale = v + n * np.where(known, value, 0.0)
    mean = p * scale / np.maximum(p * n + q - 1, 0.1)
    square = mean**2 * (1 + 1 / np.maximum(p * n + q - 2, 0.1))
    return mean, square, square / p


def _find_quantile(p: float, mean: np.ndarray, variance: np.ndarray, none: np.ndarray) -> np.ndarray:
    """Return a quantile of revenue: nothing with a known chance, otherwise gamma with the given moments."""
    from scipy.stats import gamma

    some = np.maximum(1 - none, 1e-12)
    inner = mean / some
    spread = np.maximum((variance + mean**2) / some - inner**2, 1e-12 * inner**2)
    rest = np.clip((p - none) / some, 0.0, 1.0)
    return np.where(rest == 0, 0.0, gamma.ppf(rest, inner**2 / spread, scale=spread / inner))
