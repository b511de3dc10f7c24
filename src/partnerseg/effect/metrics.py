"""Metrics: what each one is, and their values by region, segment or any other group."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from partnerseg.programme.sources import as_frames
from partnerseg.programme.tables import TABLES

CONVERSION_DAYS = 90
ENGAGED = ("replied", "attended", "visited")
_RESULT = ["metric", "value", "lower", "upper", "numerator", "denominator", "unit", "n", "reason"]


class Unknown(Exception):
    """A metric that the data cannot tell; its message is the reason."""


@dataclass(frozen=True)
class Window:
    """What a metric is computed from: the rows known at the end of `as_of`, and the window before it.

    Attributes:
        frames: The fourteen tables without the rows that happened or arrived after `as_of`.
        start: First moment of the window (UTC), inclusive.
        end: End of the day `as_of` (UTC), exclusive.
        stages: The two stages that conversion is told between.
        margin: Share of revenue that is earned; None if unknown.
    """

    frames: dict[str, pd.DataFrame]
    start: pd.Timestamp
    end: pd.Timestamp
    stages: tuple[str, str]
    margin: float | None

    @property
    def days(self) -> pd.Timedelta:
        """Length of the window."""
        return self.end - self.start

    def events(self, table: str, *, start: pd.Timestamp | None = None, end: pd.Timestamp | None = None) -> pd.DataFrame:
        """Return the rows of a table that happened in the window, or between the two times.

        Raises:
            Unknown: The table has no rows at all by `as_of`.
        """
        rows, time = self.frames[table], TABLES[table].time
        if rows.empty:
            raise Unknown(f"there are no rows in {table}")
        start, end = self.start if start is None else start, self.end if end is None else end
        return rows[(rows[time] >= start) & (rows[time] < end)]

    def known_since(self, table: str, moment: pd.Timestamp) -> None:
        """Raise Unknown unless the table holds rows from before `moment`."""
        first = self.frames[table][TABLES[table].time].min()
        if not first < moment:
            raise Unknown(f"{table} are known since {first:%Y-%m-%d} only, needed from before {moment:%Y-%m-%d}")


@dataclass(frozen=True)
class Metric:
    """One metric: what it means and how it is computed.

    Attributes:
        name: Name in results.
        definition: What it is, in a sentence.
        numerator: What is counted or summed above the line.
        denominator: What stands below; empty for a plain sum.
        unit: `share`, `days`, `points`, `score`, `ratio`, or `currency` (shown as the code of the data).
        direction: `up` where more is better, `down` where less is.
        interval: `wilson` (shares of partners), `ratio` (ratio of two sums over partners, linearized,
            Student's t) or `none` (a full count, or costs, which are no sample).
        compute: Function of a Window to one row a partner with `numerator` and `denominator`; raises Unknown.
        costs: Kinds of costs that belong to the metric; empty means all kinds. None: it has no costs.
        costs_above: True where the costs are the numerator; else they are the denominator.
        bounds: Least and largest possible value.
        scale: What the ratio is multiplied by.
        shift: What is added afterwards.
    """

    name: str
    definition: str
    numerator: str
    denominator: str
    unit: str
    direction: Literal["up", "down"]
    interval: Literal["wilson", "ratio", "none"]
    compute: Callable[[Window], pd.DataFrame]
    costs: tuple[str, ...] | None = None
    costs_above: bool = False
    bounds: tuple[float, float] = (-np.inf, np.inf)
    scale: float = 1.0
    shift: float = 0.0


def summarize_metrics(
    data: Any,
    *,
    as_of: str | Sequence[str],
    by: Sequence[str] = (),
    window_days: int = 365,
    groups: pd.DataFrame | None = None,
    metrics: Sequence[str] | None = None,
    stages: tuple[str, str] = ("recruited", "activated"),
    margin: float | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Summarize the metrics of a programme in the window before a date, by group.

    Partners are those who had joined by the end of `as_of` (or whose day of joining is unknown). What is not
    known is missing, never 0. Groups of any size are kept; `n` tells their size.

    Args:
        data: A programme, or a dict of DataFrames named as the tables, money in one currency.
        as_of: Date YYYY-MM-DD; rows that happened or arrived after its end are not seen. A list of dates gives
            one block a date and a first column `as_of`.
        by: Columns of `partners` or of `groups`; the value `unknown` stands for missing ones. Empty: all partners.
        window_days: Length of the window in days, its last day being `as_of`.
        groups: More columns to group by, indexed by partner_id, as segment or tier.
        metrics: Names in `METRICS`; None means all.
        stages: The two stages between which conversion is told.
        margin: Share of revenue that is earned, for `roi`; None means unknown, and so is `roi`.
        level: Level of the intervals.

    Returns:
        One row a group and metric: the columns `by`, `metric`, `value`, `lower`, `upper` (missing where there is
        no interval), `numerator`, `denominator`, `unit`, `n` (partners in the group), `reason` (why the value
        is missing or what it leaves out; empty otherwise).

    Raises:
        ValueError: A metric or column is not there, a window is under a day, or money is in several currencies.

    References:
        Wilson (1927), Probable inference, for shares; Cochran (1977), Sampling techniques, chapter 6, for ratios.

    Example:
        >>> partners = pd.DataFrame({"partner_id": ["a", "b"], "region": ["north", "north"]})
        >>> sale = {"sale_id": "1", "partner_id": "a", "sold_at": pd.Timestamp("2026-06-01"), "amount": 90.0,
        ...         "currency": "EUR", "is_return": False}
        >>> tables = {"partners": partners, "sales": pd.DataFrame([sale])}
        >>> table = summarize_metrics(tables, by=["region"], as_of="2026-06-30", metrics=["active_share", "nps"])
        >>> table[["region", "metric", "value", "n"]]
          region        metric  value  n
        0  north  active_share    0.5  2
        1  north           nps    NaN  2
        >>> table["reason"].tolist()
        ['', 'there are no rows in feedback']
    """
    if not isinstance(as_of, str):
        options: dict[str, Any] = {
            "by": by, "window_days": window_days, "groups": groups, "metrics": metrics,
            "stages": stages, "margin": margin, "level": level,
        }  # fmt: skip
        blocks = [summarize_metrics(data, as_of=day, **options).assign(as_of=day) for day in as_of]
        columns = ["as_of", *by, *_RESULT]
        return pd.concat(blocks, ignore_index=True)[columns] if blocks else pd.DataFrame(columns=columns)
    if window_days < 1:
        raise ValueError(f"window_days == {window_days}, must be >= 1; edit effect.window_days")
    chosen = [_find_name(name, METRICS, "metric") for name in (METRICS if metrics is None else metrics)]
    end = pd.Timestamp(as_of).normalize() + pd.Timedelta(days=1)
    frames = {name: _known(rows, name, end) for name, rows in as_frames(data).items()}
    window = Window(frames, end - pd.Timedelta(days=window_days), end, stages, margin)
    labels = _label_partners(frames["partners"], by, groups)
    currency = _find_currency(frames)
    blocks = []
    for name in chosen:
        metric = METRICS[name]
        block = _summarize_one(metric, window, labels, list(by), level)
        blocks.append(block.assign(metric=name, unit=currency if metric.unit == "currency" else metric.unit))
    table = pd.concat(blocks, ignore_index=True)[[*by, *_RESULT]]
    return table.sort_values(list(by), kind="stable", ignore_index=True) if by else table


def _known(rows: pd.DataFrame, name: str, end: pd.Timestamp) -> pd.DataFrame:
    time = "joined_at" if name == "partners" else TABLES[name].time
    for column in (time, "arrived_at"):
        if column in rows:
            rows = rows[~(rows[column] >= end)]
    if name == "tickets":  # what came of a ticket is known once it is resolved
        outcomes = ["resolved_at", "on_time", "quality", "csat"]
        rows = rows.assign(**rows[outcomes].mask(rows["resolved_at"] >= end))
    return rows


def _label_partners(partners: pd.DataFrame, by: Sequence[str], groups: pd.DataFrame | None) -> pd.DataFrame:
    """Return the columns to group by, indexed by partner_id."""
    own = partners.set_index("partner_id")
    more = pd.DataFrame(index=own.index) if groups is None else groups.reindex(own.index)
    labels = pd.DataFrame(index=own.index)
    for name in by:
        if name not in more:
            _find_name(name, [*more.columns, *own.columns], "column of partners or groups")
        column = more[name] if name in more else own[name]
        labels[name] = column.astype(object).where(column.notna(), "unknown").astype(str)
    return labels


def _find_name(name: str, names: Iterable[str], what: str) -> str:
    if name not in names:
        close = get_close_matches(name, list(names), n=1)
        raise ValueError(
            f"{name!r} must be a {what}: {', '.join(names)}{f'; did you mean {close[0]!r}?' if close else ''}"
        )
    return name


def _find_currency(frames: dict[str, pd.DataFrame]) -> str:
    codes = sorted({code for name in ("sales", "costs") for code in frames[name]["currency"].dropna().unique()})
    if len(codes) > 1:
        raise ValueError(f"currencies {', '.join(codes)} must be one; give the others in programme.rates")
    return codes[0] if codes else "currency"


def _summarize_one(metric: Metric, window: Window, labels: pd.DataFrame, by: list[str], level: float) -> pd.DataFrame:
    """Return one row a group with all but the name and unit of the metric."""
    sizes = labels.groupby(by).size() if by else pd.Series({"all": len(labels)})
    reason = ""
    try:
        parts = metric.compute(window)
    except Unknown as why:
        parts, reason = pd.DataFrame(columns=["numerator", "denominator"], dtype="float64"), str(why)
    parts = parts.reindex(labels.index, fill_value=0.0)
    costs, note = pd.Series(dtype="float64"), ""
    if metric.costs is not None and not reason:
        try:
            costs, note = _sum_costs(metric.costs, window, by)
        except Unknown as why:
            reason = str(why)
    rows = []
    members: dict[Any, Any] = {**labels.groupby(by).indices} if by else {"all": np.arange(len(labels))}
    for key, n in sizes.items():
        own = parts.iloc[members[key]]
        label = dict(zip(by, key if isinstance(key, tuple) else (key,), strict=True)) if by else {}
        rows.append(label | {"n": int(n)} | _estimate(metric, own, costs.get(key, np.nan), reason, level))
        rows[-1]["reason"] = rows[-1]["reason"] or note
    return pd.DataFrame(rows, columns=[*by, "n", "value", "lower", "upper", "numerator", "denominator", "reason"])


def _sum_costs(kinds: tuple[str, ...], window: Window, by: list[str]) -> tuple[pd.Series, str]:
    """Return the costs of each group, and what they leave out; they are known by region, not by partner."""
    costs = window.events("costs")
    if kinds:
        known = set(window.frames["costs"]["kind"])
        if absent := [kind for kind in kinds if kind not in known]:
            raise Unknown(f"no costs of the kind {' and '.join(absent)} are known")
        costs = costs[costs["kind"].isin(kinds)]
    if by not in ([], ["region"]):
        raise Unknown("costs are known by region only")
    if not by:
        return pd.Series({"all": costs["amount"].sum()}), ""
    elsewhere = costs.loc[costs["region"].isna(), "amount"].sum()
    note = f"without the costs that name no region ({elsewhere / costs['amount'].sum():.0%})" if elsewhere else ""
    return costs.groupby("region")["amount"].sum(), note


def _estimate(metric: Metric, parts: pd.DataFrame, cost: float, reason: str, level: float) -> dict[str, Any]:
    missing = {"value": np.nan, "lower": np.nan, "upper": np.nan, "numerator": np.nan, "denominator": np.nan}
    if reason:
        return missing | {"reason": reason}
    above, below = parts["numerator"].to_numpy(dtype=float), parts["denominator"].to_numpy(dtype=float)
    numerator, denominator = float(above.sum()), float(below.sum())
    if metric.costs is not None:
        if np.isnan(cost):
            return missing | {"reason": "no costs are known"}
        numerator, denominator = (cost, denominator) if metric.costs_above else (numerator, cost)
    counted = {"numerator": numerator, "denominator": denominator if metric.denominator else np.nan}
    if not metric.denominator:
        return missing | counted | {"value": numerator, "reason": ""}
    if denominator <= 0:
        return missing | counted | {"reason": f"no {metric.denominator}"}
    ratio = numerator / denominator
    lower, upper = np.nan, np.nan
    if metric.interval == "wilson":
        lower, upper = _wilson(ratio, denominator, level)
    elif metric.interval == "ratio":
        lower, upper = _ratio_interval(above, below, ratio, level)
    value, lower, upper = (metric.scale * number + metric.shift for number in (ratio, lower, upper))
    least, largest = metric.bounds
    lower, upper = max(lower, least), min(upper, largest)
    return counted | {"value": value, "lower": lower, "upper": upper, "reason": ""}


def _wilson(share: float, n: float, level: float) -> tuple[float, float]:
    z2 = norm.ppf(0.5 + level / 2) ** 2
    center = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = np.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return float(center - reach), float(center + reach)


def _ratio_interval(above: np.ndarray, below: np.ndarray, ratio: float, level: float) -> tuple[float, float]:
    """Interval of sum(above) / sum(below), partners being the sample."""
    taking_part = (below != 0) | (above != 0)
    n = int(taking_part.sum())
    if n < 2:
        return np.nan, np.nan
    residual = (above - ratio * below)[taking_part]
    std_err = np.sqrt(n / (n - 1) * (residual**2).sum()) / below.sum()
    reach = t.ppf(0.5 + level / 2, n - 1) * std_err
    return float(ratio - reach), float(ratio + reach)


def _of_all(window: Window, partners: Iterable[str]) -> pd.DataFrame:
    """One row a partner: 1 above the line for those named, 1 below for all."""
    everyone = pd.Index(window.frames["partners"]["partner_id"])
    return pd.DataFrame({"numerator": everyone.isin(list(partners)).astype(float), "denominator": 1.0}, index=everyone)


def _by_partner(
    partner_id: pd.Series, numerator: pd.Series | float, denominator: pd.Series | float = 0.0
) -> pd.DataFrame:
    parts = pd.DataFrame({"partner_id": partner_id, "numerator": numerator, "denominator": denominator})
    parts = parts.reset_index(drop=True)
    return parts.astype({"numerator": "float64", "denominator": "float64"}).groupby("partner_id").sum()


def _engagement(window: Window) -> pd.DataFrame:
    touches = window.events("touches")
    return _of_all(window, touches.loc[touches["action"].isin(ENGAGED), "partner_id"])


def _active(window: Window) -> pd.DataFrame:
    sales = window.events("sales")
    return _of_all(window, sales.loc[~_is_return(sales), "partner_id"])


def _revenue(window: Window) -> pd.DataFrame:
    sales = window.events("sales")
    return _by_partner(sales["partner_id"], sales["amount"])


def _revenue_per_partner(window: Window) -> pd.DataFrame:
    return _of_all(window, []).assign(numerator=_revenue(window)["numerator"]).fillna({"numerator": 0.0})


def _growth(window: Window) -> pd.DataFrame:
    before = window.start - window.days
    sales = window.events("sales", start=before)
    window.known_since("sales", before + pd.Timedelta(days=1))
    now = sales["sold_at"] >= window.start
    return _by_partner(sales["partner_id"], sales["amount"].where(now, 0.0), sales["amount"].where(~now, 0.0))


def _returns(window: Window) -> pd.DataFrame:
    sales = window.events("sales")
    back = _is_return(sales)
    return _by_partner(sales["partner_id"], -sales["amount"].where(back, 0.0), sales["amount"].where(~back, 0.0))


def _is_return(sales: pd.DataFrame) -> pd.Series:
    return sales["is_return"].fillna(False).astype(bool)


def _complaints(window: Window) -> pd.DataFrame:
    found = []
    for table in ("tickets", "feedback"):
        if len(window.frames[table]):
            rows = window.events(table)
            found.append(rows.loc[rows["kind"] == "complaint", "partner_id"])
    if not found:
        raise Unknown("no tickets and there are no rows in feedback")
    return _of_all(window, pd.concat(found))


def _answers(window: Window, kind: str, given_by: str) -> pd.DataFrame:
    feedback = window.events("feedback")
    known = feedback[(feedback["kind"] == kind) & (feedback["given_by"] == given_by)].dropna(subset=["score"])
    if known.empty:
        raise Unknown(f"no {kind} answers by {given_by}s are known")
    return known


def _nps(given_by: str) -> Callable[[Window], pd.DataFrame]:
    def compute(window: Window) -> pd.DataFrame:
        answers = _answers(window, "nps", given_by)
        score = answers["score"]
        return _by_partner(answers["partner_id"], (score >= 9).astype(float) - (score <= 6).astype(float), 1.0)

    return compute


def _csat(window: Window) -> pd.DataFrame:
    answers = _answers(window, "csat", "partner")
    return _by_partner(answers["partner_id"], answers["score"], 1.0)


def _ticket_csat(window: Window) -> pd.DataFrame:
    tickets = window.events("tickets").dropna(subset=["csat"])
    if tickets.empty:
        raise Unknown("no ticket carries a csat")
    return _by_partner(tickets["partner_id"], tickets["csat"], 1.0)


def _return_on_investment(window: Window) -> pd.DataFrame:
    if window.margin is None:
        raise Unknown("the margin is not known; see revenue_per_cost")
    revenue = _revenue(window)
    return revenue.assign(numerator=revenue["numerator"] * window.margin)


def _first_sales(window: Window) -> pd.DataFrame:
    window.events("sales")
    window.known_since("sales", window.start)
    sales = window.frames["sales"]
    first = sales[~_is_return(sales)].groupby("partner_id")["sold_at"].min()
    return _by_partner(first[first >= window.start].index.to_series(), 0.0, 1.0)


def _new_partners(window: Window) -> pd.DataFrame:
    partners = window.frames["partners"]
    if partners["joined_at"].isna().all():
        raise Unknown("no day of joining is known")
    return _by_partner(partners.loc[partners["joined_at"] >= window.start, "partner_id"], 0.0, 1.0)


def _conversion(window: Window) -> pd.DataFrame:
    start, target = window.stages
    if window.frames["stages"].empty:
        raise Unknown("there are no rows in stages")
    within = pd.Timedelta(days=CONVERSION_DAYS)
    rows = window.frames["stages"].dropna(subset=["entered_at"])
    rows = rows[rows["deal_id"].isna()]
    entered = rows[rows["stage"] == start].groupby("partner_id")["entered_at"].min()
    # Only those who have had all the days: nobody is taken as failed who may still get there.
    entered = entered[(entered >= window.start - within) & (entered < window.end - within)]
    if entered.empty:
        raise Unknown(f"no partner entered {start!r} in the window, {CONVERSION_DAYS} days earlier")
    reached = rows[rows["stage"] == target].groupby("partner_id")["entered_at"].min().reindex(entered.index)
    # Whole days: who arrives on the last day arrives in time, at whatever hour.
    in_time = (reached >= entered) & (reached.dt.normalize() - entered.dt.normalize() <= within)
    return _by_partner(entered.index.to_series(), in_time.astype(float), 1.0)


_SHARE = (0.0, 1.0)
_ALL = (
    Metric(
        "engagement_rate",
        "Share of partners who replied, attended or visited at least once.",
        "partners with a reply, attendance or visit",
        "partners",
        "share",
        "up",
        "wilson",
        _engagement,
        bounds=_SHARE,
    ),
    Metric(
        "active_share",
        "Share of partners with at least one sale.",
        "partners with a sale",
        "partners",
        "share",
        "up",
        "wilson",
        _active,
        bounds=_SHARE,
    ),
    Metric(
        "conversion",
        f"Share of partners who came from the first of two stages to the second within {CONVERSION_DAYS} days; "
        f"of those who entered the first in a window that ends {CONVERSION_DAYS} days earlier.",
        "partners who reached the second stage in time",
        "partners who entered the first stage",
        "share",
        "up",
        "wilson",
        _conversion,
        bounds=_SHARE,
    ),
    Metric("revenue", "Sales less returns.", "sales less returns", "", "currency", "up", "none", _revenue),
    Metric(
        "revenue_per_partner",
        "Sales less returns, a partner.",
        "sales less returns",
        "partners",
        "currency",
        "up",
        "ratio",
        _revenue_per_partner,
    ),
    Metric(
        "growth",
        "Change of revenue against the window before, as a share of it.",
        "sales less returns",
        "sales less returns of the window before",
        "share",
        "up",
        "ratio",
        _growth,
        shift=-1.0,
    ),
    Metric(
        "return_rate",
        "Amount returned as a share of the amount sold.",
        "amount of returns",
        "amount of sales",
        "share",
        "down",
        "ratio",
        _returns,
        bounds=(0.0, np.inf),
    ),
    Metric(
        "complaint_rate",
        "Share of partners with a complaint, by ticket or feedback.",
        "partners with a complaint",
        "partners",
        "share",
        "down",
        "wilson",
        _complaints,
        bounds=_SHARE,
    ),
    Metric(
        "nps",
        "Net promoter score of partners: share of answers 9-10 less share of answers 0-6, times 100.",
        "promoters less detractors",
        "answers",
        "points",
        "up",
        "ratio",
        _nps("partner"),
        bounds=(-100.0, 100.0),
        scale=100.0,
    ),
    Metric(
        "customer_nps",
        "Net promoter score of the partners' customers.",
        "promoters less detractors",
        "answers",
        "points",
        "up",
        "ratio",
        _nps("customer"),
        bounds=(-100.0, 100.0),
        scale=100.0,
    ),
    Metric(
        "csat",
        "Mean satisfaction in surveys of partners, 1-5.",
        "sum of scores",
        "answers",
        "score",
        "up",
        "ratio",
        _csat,
        bounds=(1.0, 5.0),
    ),
    Metric(
        "ticket_csat",
        "Mean satisfaction with tickets, 1-5.",
        "sum of scores",
        "tickets with a score",
        "score",
        "up",
        "ratio",
        _ticket_csat,
        bounds=(1.0, 5.0),
    ),
    Metric(
        "revenue_per_cost",
        "Sales less returns for one unit of programme costs; no return on investment, as the margin is not in it.",
        "sales less returns",
        "costs",
        "ratio",
        "up",
        "none",
        _revenue,
        costs=(),
    ),
    Metric(
        "roi",
        "Return on investment: margin times revenue less costs, as a share of costs.",
        "margin times revenue",
        "costs",
        "share",
        "up",
        "none",
        _return_on_investment,
        costs=(),
        shift=-1.0,
    ),
    Metric(
        "cac",
        "Acquisition cost: recruiting and marketing costs for each partner whose first sale fell in the window.",
        "recruiting and marketing costs",
        "partners with their first sale",
        "currency",
        "down",
        "none",
        _first_sales,
        costs=("recruiting", "marketing"),
        costs_above=True,
    ),
    Metric(
        "cost_per_new_partner",
        "Recruiting costs for each partner that joined in the window.",
        "recruiting costs",
        "partners who joined",
        "currency",
        "down",
        "none",
        _new_partners,
        costs=("recruiting",),
        costs_above=True,
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
