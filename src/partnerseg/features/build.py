"""Build the features of all partners, as of one date or of many."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from partnerseg.features.catalogue import list_features
from partnerseg.features.events import ASSESSED, Source, list_sources
from partnerseg.features.windows import NO_KEY, Events, Level, Timeline, roll_levels
from partnerseg.programme.sources import as_connection
from partnerseg.programme.tables import ASSESSORS

if TYPE_CHECKING:
    from partnerseg.programme.sources import Programme

TEXTS = ("partner_type", "industry", "company_size", "country", "region", "language", "specialization")
DAY = 86_400  # seconds
FOREVER = 10**6  # a day that no date reaches


def build_features(
    data: "Programme | Mapping[str, pd.DataFrame]",
    as_of: str | date | Sequence[str | date],
    *,
    assessed: Sequence[str] = ASSESSED,
    evidence: Mapping[str, float] = ASSESSORS,
) -> pd.DataFrame:
    """Describe every partner by numbers, as known at the end of a day (UTC).

    An event counts from the day on which it has happened and we have learned of it (`arrived_at`): later rows
    change nothing, to the last bit. A window of 90 days is the day itself and the 89 before it. A feature is
    missing (NaN) for everybody while nothing is known of its table or its optional columns; with events known,
    a partner without any has 0 in counts and sums and NaN in rates and means. All features but those of the
    family profile are missing for a partner who has withdrawn the consent to `analytics`.

    Args:
        data: A programme, or a dict of DataFrames named as the tables; tables and optional columns may be absent.
        as_of: Day `YYYY-MM-DD`, or a list of days. The events are read once for all of them.
        assessed: Factors of the table assessments that get the columns `assessed_<factor>` and `evidence_<factor>`;
            `planning` takes `planning.analysis` in, its steps. `list_assessed(params.rating.factors)` tells which ones
            a rating names.
        evidence: How much each kind of assessor counts, 0 to 1, as `params.rating.evidence`.

    Returns:
        One row a partner who has joined by the day, or whose day of joining is unknown; index partner_id, in
        alphabetical order; for a list of days index (as_of, partner_id), days ascending as `YYYY-MM-DD`.
        Columns: the partner's attributes as text (partner_type, industry, company_size, country, region,
        language, specialization), then the features as float64; `describe_features()` tells unit, direction and
        what missing means of each.

    Raises:
        ValueError: `as_of` is empty or no day; a partner_id stands twice in `partners`; a table does not have
            the form of `partnerseg.programme.tables`; a weight in `evidence` is not between 0 and 1.

    Example:
        >>> tables = {
        ...     "partners": pd.DataFrame({"partner_id": ["a", "b"]}),
        ...     "sales": pd.DataFrame({
        ...         "sale_id": ["1", "2"], "partner_id": ["a", "a"], "amount": [100.0, 50.0], "currency": "EUR",
        ...         "sold_at": pd.to_datetime(["2026-06-30", "2026-05-30"]), "is_return": False})}
        >>> features = build_features(tables, "2026-06-30")
        >>> features[["monetary_value_30d", "monetary_value_90d", "recency_days"]].to_numpy().tolist()
        [[100.0, 150.0, 0.0], [0.0, 0.0, nan]]
    """
    dates = _read_dates(as_of)
    for assessor, weight in evidence.items():
        if not 0 <= weight <= 1:
            raise ValueError(f"evidence[{assessor!r}] == {weight}, must be between 0 and 1")
    features, sources = list_features(assessed), list_sources(assessed, evidence)
    connection = as_connection(data)
    events = Events(sources)
    formulas = {name: feature.formula(events) for name, feature in features.items()}
    withdrawn = events.consents.latest("withdrawn").fill_null(0) > 0
    asked = list(events.asked.values())
    timeline = Timeline(dates, {offset for level in asked for offset in (level.before, level.before + level.days)})
    partners, numbers = _read_partners(connection)
    n_partners = len(partners)

    calendar = _memorize_calendar(timeline, partners["partner_id"])
    columns: dict[str, np.ndarray] = {}
    for name, source in sources.items():
        levels = [level for level in asked if level.source == name]
        rows = _prepare_rows(connection, name, source, levels, timeline, calendar)
        answers = roll_levels(rows, levels, source, timeline, n_partners, connection)
        columns |= {level: values.ravel() for level, values in answers.items()}

    for name, values in numbers.items():
        columns[f"partner.{name}"] = np.tile(values, len(dates))
    tenure = np.repeat(timeline.ends, n_partners) - 1 - columns.pop("partner.joined")
    found = _evaluate(connection, {**columns, "partner.tenure": tenure}, {**formulas, "withdrawn": withdrawn})
    connection.disconnect()

    hidden = found.pop("withdrawn").astype(bool)
    if hidden.any():
        for name, feature in features.items():
            if feature.family != "profile":
                found[name] = np.where(hidden, np.nan, found[name])
    joined = np.flatnonzero(~(tenure < 0))
    position = joined % max(n_partners, 1)
    if len(joined) < len(tenure):
        found = {name: values[joined] for name, values in found.items()}
    ids = pd.Index(partners.pop("partner_id"), name="partner_id")
    attributes = {name: partners[name].array.take(position) for name in TEXTS}
    if isinstance(as_of, str | date):
        index = ids.take(position)
    else:
        days = pd.Index(dates.strftime("%Y-%m-%d"), name="as_of", dtype="str")
        codes: Any = [joined // max(n_partners, 1), position]
        index = pd.MultiIndex(levels=[days, ids], codes=codes, names=["as_of", "partner_id"], verify_integrity=False)
    return pd.DataFrame({**attributes, **found}, index=index, copy=False)


def _read_dates(as_of: Any) -> pd.DatetimeIndex:
    wanted = [as_of] if isinstance(as_of, str | date) else list(as_of)
    if not wanted:
        raise ValueError("as_of == [], must hold at least one day such as '2026-06-30'")
    days = []
    for day in wanted:
        try:
            moment = pd.to_datetime(day)
        except (TypeError, ValueError):
            moment = None
        if pd.isna(moment) or moment != moment.normalize() or moment.tzinfo is not None:
            raise ValueError(f"as_of == {day!r}, must be a day such as '2026-06-30', or a list of days")
        days.append(moment)
    return pd.DatetimeIndex(days).unique().sort_values()


def _read_partners(connection: Any) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Return the partners' ids and text attributes, sorted by id, and their numbers by name."""
    import ibis

    partners, preferences = connection.table("partners"), connection.table("preferences")
    lists = ("channels", "topics", "avoid")
    wishes = preferences.group_by("partner_id").agg(**{name: _count_items(preferences[name]).max() for name in lists})
    table = partners.left_join(wishes, "partner_id").select(
        partners.partner_id,
        *[partners[name] for name in TEXTS],
        *[wishes[name] for name in lists],
        joined=_day(partners.joined_at).cast("float64"),
        potential=partners.declared_potential,
        specialized=partners.specialization.notnull().cast("float64"),  # noqa: PD004
    )
    frame = connection.to_pyarrow(table.order_by(ibis._.partner_id)).to_pandas()
    twice = frame["partner_id"][frame["partner_id"].duplicated()]
    if len(twice):
        raise ValueError(f"partners: partner_id {twice.iloc[0]!r} stands there twice; give each partner one row")
    numbers = frame.drop(columns=["partner_id", *TEXTS]).astype("float64")
    stated = [name for name in lists if numbers[name].notna().any()]
    numbers[stated] = numbers[stated].fillna(0.0)
    text = frame[["partner_id", *TEXTS]].astype("str").astype({"partner_id": "str"})
    return text, {name: numbers[name].to_numpy() for name in numbers}


def _count_items(column: Any) -> Any:
    """Count what a text lists, separated by `;`, `,` or a line break; empty items do not count."""
    text = column.strip().re_replace(r"\s*[;,\r\n][;,\s]*", ";").re_replace(r"^;|;$", "")
    return (text == "").ifelse(0, text.length() - text.replace(";", "").length() + 1)


def _day(time: Any) -> Any:
    """Days since 1970 of an Ibis timestamp."""
    return (time.epoch_seconds() // DAY).cast("int64")


def _memorize_calendar(timeline: Timeline, partner_ids: pd.Series) -> tuple[Any, Any, Any]:
    """Return small Ibis tables: position by partner_id, bin and month by day, first date by day of knowing."""
    import ibis
    import pyarrow as pa

    days = timeline.calendar["bin_day"]
    seen = timeline.first_date_after(days.to_numpy())
    return (
        ibis.memtable(pa.table({"partner_id": partner_ids, "partner": np.arange(len(partner_ids), dtype=np.int32)})),
        ibis.memtable(timeline.calendar),
        ibis.memtable(pd.DataFrame({"known_day": days, "seen": seen.astype("int32")})),
    )


def _prepare_rows(
    connection: Any,
    name: str,
    source: Source,
    levels: list[Level],
    timeline: Timeline,
    calendar: tuple[Any, Any, Any],
) -> Any:
    """Put the visible events of a source into a temporary table, as `roll_levels` wants them."""
    import ibis

    rows = source.rows(connection.table(source.table))
    known = rows[source.time]
    for later in ("arrived_at", source.known_at):
        if later:
            known = ibis.greatest(known, rows[later].coalesce(rows[source.time]))
    end = pd.Timestamp(int(timeline.ends[-1]) * DAY, unit="s")
    rows = rows.filter(known < end).mutate(
        day=_day(rows[source.time]),
        bin_day=ibis.greatest(_day(rows[source.time]), timeline.first_day),
        known_day=ibis.greatest(_day(known), timeline.first_day),
    )
    if source.table == "trainings":
        own = connection.table("partners").select("partner_id", partner_specialization="specialization")
        rows = rows.left_join(own, "partner_id").drop("partner_id_right")
    positions, days, dates = calendar
    rows = rows.inner_join(positions, "partner_id").inner_join(days, "bin_day").inner_join(dates, "known_day")
    wanted = dict.fromkeys([source.counted, source.amount, source.net, *(level.what for level in levels)])
    columns = {}
    for what in wanted:
        if what in source.keys:
            key = rows[source.keys[what]]
            columns[what] = key.notnull().ifelse(key.hash(), NO_KEY)  # noqa: PD004
        elif what:
            measure = source.measures[what]
            number = measure.number(rows).cast("float64")
            columns[what] = number if measure.scale == 1 else (number * measure.scale).round().cast("float64")
    if source.latest_of is not None:
        columns["key"] = source.latest_of(rows).hash()
        columns["moment"] = rows[source.time]
        for column, time in {"expires": source.expires, "ages": source.ages or source.expires}.items():
            columns[column] = _day(rows[time]).fill_null(FOREVER) if time else ibis.literal(FOREVER)
    prepared = rows.select("partner", "day", "bin", "month", "seen", **columns)
    return connection.create_table(f"partnerseg_{name}", prepared, temp=True)


def _evaluate(connection: Any, columns: dict[str, np.ndarray], formulas: dict[str, Any]) -> dict[str, np.ndarray]:
    """Compute the formulas on columns of equal length, row by row; missing is NaN on both sides."""
    import ibis
    import ibis.expr.operations as ops
    import pyarrow as pa

    empty = ibis.table({"row": "int64", **dict.fromkeys(columns, "float64")})
    bound = {name: formula.resolve(empty) for name, formula in formulas.items()}
    # A formula that only names a column needs no engine.
    found = {name: columns[answer.op().name] for name, answer in bound.items() if isinstance(answer.op(), ops.Field)}
    needed = {field.name for name in bound.keys() - found.keys() for field in bound[name].op().find(ops.Field)}
    rows = np.arange(len(next(iter(columns.values()))))
    arrays = {name: pa.array(columns[name], from_pandas=True) for name in columns if name in needed}
    computed = {name: formulas[name].cast("float64") for name in formulas if name not in found}
    answers = connection.to_pyarrow(ibis.memtable(pa.table({"row": rows, **arrays})).select("row", **computed))
    order = answers["row"].to_numpy()
    if (order != rows).any():
        answers = answers.take(np.argsort(order))
    found |= {name: np.require(answers[name].to_numpy(), requirements="W") for name in computed}
    return {name: found[name] for name in formulas}
