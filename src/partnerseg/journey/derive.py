"""Derive when partners enter stages from the events that the programme has anyway."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

import pandas as pd

from partnerseg.programme.tables import TABLES

_ROWS = ["partner_id", "deal_id", "stage", "entered_at", "arrived_at"]


@dataclass(frozen=True)
class Rule:
    """How a stage is told from events, a row of `journey.rules` in `params/programme.yaml`.

    Attributes:
        stage: The stage or exit that is entered.
        table: Table of the events; `partners` tells of joining.
        where: Values that a row must have, by column; empty: every row counts.
        column: Number that is summed up; empty: rows are counted, returns not. In a sum they count as negative.
        least: Entered on the day on which so many rows (or so large a sum) are reached.
        within_days: Only rows of so many days up to then count; 0: all.
        silent_days: Entered instead when so many days have passed since the last such row; 0: not told by silence.
            The next such row leads back to the stage that was left.
    """

    stage: str
    table: str
    where: dict[str, Any] = field(default_factory=dict)
    column: str = ""
    least: float = 1
    within_days: int = 0
    silent_days: int = 0


def read_rules(rows: Iterable[Any], stages: Iterable[str]) -> tuple[Rule, ...]:
    """Check the rules of a journey.

    Args:
        rows: `params.journey.rules`, or mappings with the same keys; `stage` and `table` are required.
        stages: Stages and exits of the journey.

    Returns:
        One `Rule` a row, in the same order.

    Raises:
        ValueError: A row has an unknown key, stage, table or column, a stage has two rules, or a number is out of
            range.

    Examples:
        >>> read_rules([{"stage": "activated", "table": "sales"}], ["recruited", "activated"])[0].least
        1
    """
    rules = tuple(_read_rule(row, f"journey.rules[{place}]", tuple(stages)) for place, row in enumerate(rows))
    told = [rule.stage for rule in rules]
    for stage in told:
        if told.count(stage) > 1:
            raise ValueError(f"journey.rules: stage {stage!r} has two rules; give each stage one")
    return rules


def derive_stages(tables: Mapping[str, pd.DataFrame], rules: Iterable[Rule], *, as_of: str) -> pd.DataFrame:
    """Tell from events when each partner entered the stages that have a rule.

    Args:
        tables: DataFrames named as the tables.
        rules: What `read_rules` returns.
        as_of: Date YYYY-MM-DD; rows that happened or arrived after its end are not seen. A row that arrived late
            counts from the day it happened.

    Returns:
        Rows of the table `stages`: `partner_id`, `deal_id` (missing), `stage`, `entered_at` (the day), `arrived_at`
        (missing). A partner without such events has no row.

    Examples:
        >>> sales = pd.DataFrame({"partner_id": ["p1", "p1"], "sold_at": pd.to_datetime(["2026-01-05", "2026-02-03"])})
        >>> rules = read_rules([{"stage": "growing", "table": "sales", "least": 2}], ["growing"])
        >>> derive_stages({"sales": sales}, rules, as_of="2026-06-30")[["partner_id", "stage", "entered_at"]]
          partner_id    stage entered_at
        0         p1  growing 2026-02-03
    """
    day = pd.Timestamp(as_of).normalize()
    parts = []
    silences = []
    for rule in rules:
        events = _find_events(tables, rule, day)
        if rule.silent_days:
            silences.append((rule, events))
        else:
            parts.append(_find_reached(events, rule))
    found = (
        pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["partner_id", "stage", "entered_at"])
    )
    for rule, events in silences:
        found = pd.concat([found, _find_silences(events, rule, found, day)], ignore_index=True)
    found = found.sort_values(["partner_id", "entered_at"], kind="stable", ignore_index=True)
    found = found.astype({"partner_id": "str", "stage": "str", "entered_at": "datetime64[us]"})
    return found.assign(deal_id=pd.Series(dtype="str"), arrived_at=pd.Series(dtype="datetime64[us]"))[_ROWS]


def _read_rule(row: Any, key: str, stages: tuple[str, ...]) -> Rule:
    row = row.to_dict() if hasattr(row, "to_dict") else dict(row)
    known = [column.name for column in fields(Rule)]
    for name in row:
        if name not in known:
            raise ValueError(f"{key}.{name}: no such key; possible keys are: {', '.join(known)}")
    for name in ("stage", "table"):
        if not row.get(name):
            raise ValueError(f"{key}.{name}: must not be empty; name it in params/programme.yaml")
    rule = Rule(**{**row, "where": dict(row.get("where") or {})})
    _check_choice(f"{key}.stage", rule.stage, stages)
    _check_choice(f"{key}.table", rule.table, [name for name, table in TABLES.items() if _time_of(name)])
    columns = {column.name: column for column in TABLES[rule.table].columns}
    for name in rule.where:
        _check_choice(f"{key}.where", name, list(columns))
    if rule.column:
        numbers = [name for name, column in columns.items() if column.kind == "number"]
        _check_choice(f"{key}.column", rule.column, numbers)
    if not rule.least > 0:
        raise ValueError(f"{key}.least == {rule.least}, must be > 0")
    for name in ("within_days", "silent_days"):
        if getattr(rule, name) < 0:
            raise ValueError(f"{key}.{name} == {getattr(rule, name)}, must be days >= 0, 0 for none")
    return rule


def _check_choice(key: str, value: str, choices: Iterable[str]) -> None:
    choices = list(choices)
    if value not in choices:
        close = get_close_matches(str(value), choices, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"{key} == {value!r} must be one of {', '.join(choices)}{hint}")


def _time_of(table: str) -> str:
    return "joined_at" if table == "partners" else TABLES[table].time or ""


def _find_events(tables: Mapping[str, pd.DataFrame], rule: Rule, day: pd.Timestamp) -> pd.DataFrame:
    """Return `partner_id`, `day` and `size` of the rows that count, in their order."""
    rows, end = tables[rule.table], day + pd.Timedelta(days=1)
    time = rows[_time_of(rule.table)]
    known = time < end
    if "arrived_at" in rows:
        known &= ~(rows["arrived_at"] >= end)
    for name, value in rule.where.items():
        known &= rows[name].isin(value if isinstance(value, list) else [value])
    if not rule.column and "is_return" in rows:
        known &= ~rows["is_return"].fillna(False).astype(bool)
    size = rows[rule.column].astype(float) if rule.column else pd.Series(1.0, index=rows.index)
    events = pd.DataFrame({"partner_id": rows["partner_id"], "day": time.dt.normalize(), "size": size})
    return events[known & size.notna()].sort_values(["partner_id", "day"], kind="stable", ignore_index=True)


def _find_reached(events: pd.DataFrame, rule: Rule) -> pd.DataFrame:
    """Return the first day of each partner on which enough has come together."""
    daily = events.groupby(["partner_id", "day"], as_index=False)["size"].sum()
    reached = daily.groupby("partner_id")["size"].cumsum()
    if rule.within_days:
        window = daily.set_index("day").groupby("partner_id")["size"].rolling(f"{rule.within_days}D").sum()
        reached = pd.Series(window.to_numpy(), index=daily.index)
    enough = daily[reached >= rule.least - 1e-9].drop_duplicates("partner_id")
    return pd.DataFrame({"partner_id": enough["partner_id"], "stage": rule.stage, "entered_at": enough["day"]})


def _find_silences(events: pd.DataFrame, rule: Rule, found: pd.DataFrame, day: pd.Timestamp) -> pd.DataFrame:
    """Return when partners fell silent, and when they came back to the stage that they were in."""
    days = events.drop_duplicates(["partner_id", "day"])[["partner_id", "day"]]
    following = days.groupby("partner_id")["day"].shift(-1)
    silent_from = days["day"] + pd.Timedelta(days=rule.silent_days)
    fell = (silent_from <= day) & ~(following <= silent_from)
    silent = days[fell].assign(entered_at=silent_from[fell], back_at=following[fell])
    out = silent[["partner_id", "entered_at"]].assign(stage=rule.stage)
    back = silent.dropna(subset=["back_at"])[["partner_id", "entered_at", "back_at"]].sort_values("entered_at")
    before = found.rename(columns={"entered_at": "was_at"}).astype({"was_at": back["entered_at"].dtype})
    before = before[before["stage"] != rule.stage].sort_values("was_at", kind="stable")
    stood = pd.merge_asof(back, before, left_on="entered_at", right_on="was_at", by="partner_id")
    stood = stood.dropna(subset=["stage"])[["partner_id", "back_at", "stage"]].rename(columns={"back_at": "entered_at"})
    return pd.concat([out, stood], ignore_index=True)[["partner_id", "stage", "entered_at"]]
