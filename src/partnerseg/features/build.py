"""Build the features of all partners, as of one date or of many."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from partnerseg.features.catalogue import FEATURES
from partnerseg.features.events import SOURCES
from partnerseg.features.windows import NO_KEY, Events, Level, Timeline, roll_levels
from partnerseg.programme.sources import as_connection
from partnerseg.programme.tables import TABLES

if TYPE_CHECKING:
    from partnerseg.programme.sources import Programme

ATTRIBUTES = ("partner_type", "industry", "company_size", "country", "region", "language", "specialization")
DAY = 86_400  # seconds
FOREVER = 10**6  # a day that no date reaches


def build_features(
    data: "Programme | Mapping[str, pd.DataFrame]", as_of: str | date | Sequence[str | date]
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

    Returns:
        One row a partner who has joined by the day, or whose day of joining is unknown; index partner_id, in
        alphabetical order; for a list of days index (as_of, partner_id), days ascending as `YYYY-MM-DD`.
        Columns: the partner's attributes as text (partner_type, industry, company_size, country, region,
        language, specialization), then the features as float64; `describe_features()` tells unit, direction and
        what missing means of each.

    Raises:
        ValueError: `as_of` is empty or no day; a partner_id stands twice in `partners`; a table does not have
            the form of `partnerseg.programme.tables`.

    Example:
        >>> tables = {
        ...     "partners": pd.DataFrame({"partner_id": ["a", "b"]}),
        ...     "sales": pd.DataFrame({
        ...         "sale_id": ["1", "2"], "partner_id": ["a", "a"], "sold_at": pd.to_datetime(["2026-06-30", "2026-05-30"]),
        ...         "amount": [100.0, 50.0], "currency": "EUR", "is_return": False})}
        >>> build_features(tables, "2026-06-30")[["monetary_value_30d", "monetary_value_90d", "recency_days"]]
                    monetary_value_30d  monetary_value_90d  recency_days
        partner_id
        a                        100.0               150.0           0.0
        b                          0.0                 0.0           NaN
    """
    dates = _read_dates(as_of)
    connection = as_connection(data)
    events = Events()
    formulas = {name: feature.formula(events) for name, feature in FEATURES.items()}
    withdrawn = events.consents.latest("withdrawn").fill_null(0) > 0
    asked = list(events.asked.values())
    timeline = Timeline(dates, {offset for level in asked for offset in (level.before, level.before + level.days)})
    partners, numbers = _read_partners(connection)
    n_partners = len(partners)

    columns: dict[str, np.ndarray] = {}
    for source in SOURCES:
        levels = [level for level in asked if level.source == source]
        rows = _prepare_rows(connection, source, levels, partners["partner_id"], timeline)
        answers = roll_levels(rows, levels, timeline, n_partners, connection)
        columns |= {name: values.ravel() for name, values in answers.items()}

    ends = np.repeat(timeline.ends, n_partners)
    for name, values in numbers.items():
        columns[f"partner.{name}"] = np.tile(values, len(dates))
    columns["partner.tenure"] = ends - 1 - columns.pop("partner.joined")
    columns["row"] = np.arange(len(ends))
    found = _evaluate(connection, columns, {**formulas, "withdrawn": withdrawn})
    connection.disconnect()

    behavior = [name for name, feature in FEATURES.items() if feature.family != "profile"]
    found.loc[found.pop("withdrawn"), behavior] = np.nan
    position = np.tile(np.arange(n_partners), len(dates))
    attributes = partners[list(ATTRIBUTES)].take(position).reset_index(drop=True)
    features = pd.concat([attributes, found], axis=1)
    ids = pd.Index(partners["partner_id"], name="partner_id")
    joined = ~(columns["partner.tenure"] < 0)
    if isinstance(as_of, (str, date)):
        return features.set_index(ids)[joined]
    days = pd.Index(dates.strftime("%Y-%m-%d"), name="as_of", dtype="str")
    codes = [np.repeat(np.arange(len(dates)), n_partners), position]
    features.index = pd.MultiIndex(levels=[days, ids], codes=codes, names=["as_of", "partner_id"])
    return features[joined]


def _read_dates(as_of: Any) -> pd.DatetimeIndex:
    wanted = [as_of] if isinstance(as_of, (str, date)) else list(as_of)
    if not wanted:
        raise ValueError("as_of == [], must hold at least one day such as '2026-06-30'")
    days = []
    for day in wanted:
        try:
            moment = pd.Timestamp(day)
        except (TypeError, ValueError):
            moment = pd.NaT
        if moment is pd.NaT or moment != moment.normalize() or moment.tzinfo is not None:
            raise ValueError(f"as_of == {day!r}, must be a day such as '2026-06-30', or a list of days")
        days.append(moment)
    return pd.DatetimeIndex(days).unique().sort_values()


def _read_partners(connection: Any) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Return the partners' ids and text attributes, sorted by id, and their numbers by name."""
    import ibis

    partners, preferences = connection.table("partners"), connection.table("preferences")
    lists = {"channels": "channels", "topics": "topics", "avoid": "avoid"}
    wishes = preferences.group_by("partner_id").agg(
        **{name: _count_items(preferences[column]).max() for name, column in lists.items()}
    )
    table = partners.left_join(wishes, "partner_id").select(
        partners.partner_id,
        *[partners[name] for name in ATTRIBUTES],
        *[wishes[name] for name in lists],
        joined=_day(partners.joined_at).cast("float64"),
        potential=partners.declared_potential,
        specialized=partners.specialization.notnull().cast("float64"),
    )
    frame = connection.to_pyarrow(table.order_by(ibis._.partner_id)).to_pandas()
    twice = frame["partner_id"][frame["partner_id"].duplicated()]
    if len(twice):
        raise ValueError(f"partners: partner_id {twice.iloc[0]!r} stands there twice; give each partner one row")
    numbers = frame.drop(columns=["partner_id", *ATTRIBUTES]).astype("float64")
    stated = [name for name in lists if numbers[name].notna().any()]
    numbers[stated] = numbers[stated].fillna(0.0)
    text = frame[["partner_id", *ATTRIBUTES]].astype("str").astype({"partner_id": "str"})
    return text, {name: numbers[name].to_numpy() for name in numbers}


def _count_items(column: Any) -> Any:
    """Count what a text lists, separated by `;`."""
    text = column.re_replace(r"^[;\s]+|[;\s]+$", "")
    return (text == "").ifelse(0, text.re_replace(r"[^;]+", "").re_replace(r";+", ";").length() + 1)


def _day(time: Any) -> Any:
    """Days since 1970 of an Ibis timestamp."""
    return (time.epoch_seconds() // DAY).cast("int64")


def _prepare_rows(
    connection: Any, name: str, levels: list[Level], partner_ids: pd.Series, timeline: Timeline
) -> Any:
    """Put the visible events of a source into a temporary table, as `roll_levels` wants them."""
    import ibis
    import pyarrow as pa

    source = SOURCES[name]
    rows = source.rows(connection.table(source.table))
    partners = ibis.memtable(
        pa.table({"partner_id": partner_ids, "partner": np.arange(len(partner_ids), dtype=np.int64)})
    )
    known = rows[source.time]
    for later in ("arrived_at", source.known_at):
        if later:
            known = ibis.greatest(known, rows[later].coalesce(rows[source.time]))
    rows = rows.mutate(
        day=_day(rows[source.time]).clip(lower=timeline.first_day),
        known_day=_day(known).clip(lower=timeline.first_day),
    )
    rows = rows.filter(rows.known_day < int(timeline.ends[-1]))
    if source.table == "trainings":
        own = connection.table("partners").select("partner_id", partner_specialization="specialization")
        rows = rows.left_join(own, "partner_id").drop("partner_id_right")
    calendar = ibis.memtable(timeline.calendar)
    visible = pd.DataFrame({"known_day": timeline.calendar["day"], "seen": timeline.first_date_after(timeline.calendar["day"].to_numpy())})
    rows = rows.inner_join(partners, "partner_id").inner_join(calendar, "day").inner_join(ibis.memtable(visible), "known_day")
    wanted = dict.fromkeys([source.counted, source.amount, *(level.what for level in levels)])
    columns = {}
    for what in wanted:
        if what in source.keys:
            key = rows[source.keys[what]]
            columns[what] = key.notnull().ifelse(key.hash(), NO_KEY)
        elif what:
            measure = source.measures[what]
            columns[what] = (measure.number(rows).cast("float64") * measure.scale).round().cast("float64")
    if source.latest_of is not None:
        columns["key"] = source.latest_of(rows).hash()
        columns["moment"] = rows[source.time]
        columns["expires"] = _day(rows[source.expires]).fill_null(FOREVER) if source.expires else ibis.literal(FOREVER)
    prepared = rows.select("partner", "day", "bin", "month", "seen", **columns)
    return connection.create_table(f"partnerseg_{name}", prepared, temp=True)


def _evaluate(connection: Any, columns: dict[str, np.ndarray], formulas: dict[str, Any]) -> pd.DataFrame:
    """Compute the formulas on columns of equal length, in their order."""
    import ibis
    import pyarrow as pa

    levels = ibis.memtable(pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()}))
    expressions = {
        name: formula if name == "withdrawn" else formula.cast("float64") for name, formula in formulas.items()
    }
    found = connection.to_pyarrow(levels.select("row", **expressions)).to_pandas()
    return found.set_index("row").sort_index().reset_index(drop=True)
