"""Turn text into checked columns: every row is used, set aside with a reason, deduplicated or out of scope."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb

from partnerseg.programme.conversions import Conversion, Money, convert_columns, limit_scope
from partnerseg.programme.mapping import Source, SourceError, nearest
from partnerseg.programme.reading import TextTable, quote_text
from partnerseg.programme.tables import Table

_TYPES = {"text": "VARCHAR", "time": "TIMESTAMP", "number": "DOUBLE", "flag": "BOOLEAN"}
_STOPS = ("ambiguous_date", "no_zone", "no_rate")  # one such value stops the run, however few they are
_CONFLICT = "stands in rows with different content; correct the source or say keep: {latest_by: ...} in the mapping"


@dataclass
class Unit:
    """One source file on its way into one table: its counts, and the places of what was set aside.

    Attributes:
        number: Position among all units of the programme.
        source: The mapping entry.
        text: The file as text.
        rows: Rows by what became of them: `in`, `quarantined`, `deduplicated`, `out_of_scope`, `used`.
        amounts: Sums of `amount` in the programme's currency by the same names; empty without amounts.
        checked: Rows that the checks of columns have looked at.
    """

    number: int
    source: Source
    text: TextTable
    rows: dict[str, int] = field(default_factory=dict)
    amounts: dict[str, float] = field(default_factory=dict)
    checked: int = 0


@dataclass
class Findings:
    """What the checks found: rows set aside, and notices of what was changed or looks odd."""

    quarantine: list[dict[str, Any]] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)

    def notice(
        self, kind: str, code: str, rows: int, message: str, *, table: str = "", file: str = "", column: str = ""
    ) -> None:
        """Add one notice."""
        told = {"kind": kind, "code": code, "table": table, "file": file, "column": column, "rows": rows}
        self.notices.append(told | {"message": message})


def make_stage(connection: duckdb.DuckDBPyConnection, table: Table) -> None:
    """Make the empty table `stage_<table>` that collects the good rows of all its files."""
    columns = ", ".join(f"{column.name} {_TYPES[column.kind]}" for column in table.columns)
    connection.execute(
        f"CREATE TABLE stage_{table.name} "
        f"(_unit INTEGER, _line BIGINT, _latest TIMESTAMP, _amount DOUBLE, _currency VARCHAR, {columns})"
    )


def check_unit(
    connection: duckdb.DuckDBPyConnection,
    unit: Unit,
    *,
    lookups: Mapping[str, str],
    money: Money,
    max_bad_share: float,
    findings: Findings,
) -> None:
    """Convert and check one file column by column; good rows are added to the table's stage.

    Args:
        connection: Holds the text of the file, the lookups and the stage.
        unit: The file; its counts are filled in.
        lookups: For each column with a lookup the name of its (key, value) table.
        money: Currency and rates.
        max_bad_share: Largest share of bad values, among the rows that have one in the column, that is only set
            aside. Of `consents` none is: what cannot be read may be a withdrawal.
        findings: Collects rows set aside and notices.

    Raises:
        SourceError: A column is missing, too large a share of its values is bad, or a date is ambiguous, a
            time without zone, a currency without rate.
    """
    source, text, table = unit.source, unit.text, unit.source.table
    checks = convert_columns(connection, source, text, lookups=lookups, money=money)
    _make_step(connection, unit, checks)
    _count_scope(connection, unit, findings)
    _judge_values(connection, unit, checks, max_bad_share, findings)
    for column, code, rows in _count_notes(connection):
        message = checks[column].notes[code][1]
        findings.notice("normalize", code, rows, message, table=table.name, file=text.file, column=column)
    chosen = [column.name for column in table.columns if column.name in source.columns]
    values = ", ".join(quote_text(money.currency) if name == "currency" else f"v_{name}" for name in chosen)
    amount, currency = (f"v_{name}" if name in source.columns else "NULL" for name in ("amount", "currency"))
    latest = "v__latest" if source.keep else "NULL"
    connection.execute(
        f"INSERT INTO stage_{table.name} (_unit, _line, _latest, _amount, _currency, {', '.join(chosen)}) "
        f"SELECT {unit.number}, line, {latest}, {amount}, {currency}, {values} "
        "FROM step WHERE _scope IS NULL AND _bad IS NULL"
    )
    if "amount" in source.columns:
        unit.amounts = _sum_amounts(connection)
    connection.execute("DROP TABLE step")


def finish_table(connection: duckdb.DuckDBPyConnection, table: Table, units: list[Unit], *, findings: Findings) -> None:
    """Set aside orphans and conflicts, drop repeats, and make `final_<table>` of the rows that remain.

    Rows with one key and the same content everywhere are one row, the first is used. With different
    content none is used, unless the source says `keep: {latest_by: ...}` and one is the latest. Of consents
    with one key the row that refuses is used, so that no withdrawal is lost.

    Raises:
        SourceError: No event of a file belongs to a known partner.
    """
    name, stage = table.name, f"stage_{table.name}"
    connection.execute("CREATE OR REPLACE TABLE judged (_unit INTEGER, _line BIGINT, state VARCHAR)")
    if name != "partners" and "partner_id" in {column.name for column in table.columns}:
        connection.execute(
            f"INSERT INTO judged SELECT _unit, _line, 'orphan' FROM {stage} s "
            "WHERE NOT EXISTS (FROM final_partners p WHERE p.partner_id = s.partner_id)"
        )
        _refuse_strangers(connection, table, units, findings)
    for kept, keys in _judge_repeats(connection, table):
        message = f"{keys:,} keys had rows with different content; {kept} was kept"
        findings.notice("normalize", "superseded", keys, message, table=name, column=", ".join(table.key))
    _set_judged_aside(connection, table, units, findings)
    listed = ", ".join(column.name for column in table.columns)
    connection.execute(
        f"CREATE TABLE final_{name} AS SELECT _unit, {listed} FROM {stage} s WHERE NOT EXISTS "
        "(FROM judged j WHERE j._unit = s._unit AND j._line = s._line AND j.state <> 'used') "
        f"ORDER BY {', '.join(table.key) if _has_key(table) else listed}, _unit, _line"
    )
    _count_states(connection, table, units)
    connection.execute(f"DROP TABLE {stage}")


def _has_key(table: Table) -> bool:
    """Whether every row has a key."""
    return not all(table.column(name).nullable for name in table.key)


def _make_step(connection: duckdb.DuckDBPyConnection, unit: Unit, checks: Mapping[str, Conversion]) -> None:
    """Make `step`: line, _scope (rule not passed), v_<column>, _bad (what is wrong) and _notes of every row."""
    texts = ", ".join(check.text for check in checks.values())
    joins = " ".join(check.join for check in checks.values())
    early = "".join(f", {check.value} AS v_{name}" for name, check in checks.items() if name == "currency")
    late = ", ".join(f"{check.value} AS v_{name}" for name, check in checks.items() if name != "currency")
    errors = ", ".join(f"{check.error} AS e_{name}" for name, check in checks.items())
    bad = {f"e_{n} IS NOT NULL": f"{{'column': '{n}', 'value': t_{n}, 'code': e_{n}}}" for n in checks}
    noted = {sql: f"'{name} {code}'" for name, check in checks.items() for code, (sql, _) in check.notes.items()}
    values = ", ".join(f"v_{name}" for name in checks)
    connection.execute(
        f"""
        CREATE TABLE step AS
        WITH texts AS (SELECT src.*, {limit_scope(connection, unit.source, unit.text)} AS _scope, {texts}
                       FROM {unit.text.name} AS src {joins}),
        early AS (SELECT *{early} FROM texts),  -- amounts are converted by currency
        late AS (SELECT *, {late} FROM early),
        judged AS (SELECT *, {errors} FROM late)
        SELECT line, _scope, {values}, {_list_where(bad)} AS _bad, {_list_where(noted)} AS _notes FROM judged
        """
    )


def _list_where(items: Mapping[str, str]) -> str:
    """SQL of the list of items whose condition holds in a row in scope, NULL when there is none."""
    if not items:
        return "NULL::VARCHAR[]"
    some = " OR ".join(f"({condition})" for condition in items)
    listed = ", ".join(f"CASE WHEN {condition} THEN {item} END" for condition, item in items.items())
    return f"CASE WHEN _scope IS NULL AND ({some}) THEN list_filter([{listed}], lambda item: item IS NOT NULL) END"


def _count_scope(connection: duckdb.DuckDBPyConnection, unit: Unit, findings: Findings) -> None:
    text = unit.text
    unit.rows = {"in": text.rows, "quarantined": len(text.malformed), "out_of_scope": 0, "deduplicated": 0}
    for number, rows in connection.execute("SELECT _scope, count(*) FROM step GROUP BY 1 ORDER BY 1").fetchall():
        if number is None:
            unit.checked = rows
            continue
        rule = unit.source.where[number]
        unit.rows["out_of_scope"] += rows
        table = unit.source.table.name
        findings.notice(
            "scope", "out_of_scope", rows, rule["reason"], table=table, file=text.file, column=rule["column"]
        )


def _judge_values(
    connection: duckdb.DuckDBPyConnection,
    unit: Unit,
    checks: Mapping[str, Conversion],
    max_bad_share: float,
    findings: Findings,
) -> None:
    """Stop when too many values are bad; otherwise set their rows aside."""
    text, label = unit.text, unit.source.label
    limit = f"more than quality.max_bad_share ({max_bad_share:g})"
    if unit.source.table.name == "consents":
        max_bad_share, limit = 0.0, "and none may be, as it may be a withdrawal; correct it or leave it out by where"
    places: dict[str, list[tuple[int, str, str]]] = {}
    rows: dict[int, dict[str, Any]] = {}
    for line, column, value, code in connection.execute(
        "SELECT line, b.column, coalesce(b.value, ''), b.code "
        "FROM (SELECT line, unnest(_bad) AS b FROM step WHERE _bad IS NOT NULL) ORDER BY line"
    ).fetchall():
        places.setdefault(column, []).append((line, value, code))
        shown = unit.source.keep["latest_by"] if column == "_latest" else column
        reason = checks[column].rules[code]
        rows.setdefault(line, {"line": line, "column": shown, "value": value, "code": code, "reason": reason})
    for column, found in places.items():
        key = "keep.latest_by" if column == "_latest" else f"columns.{column}"
        stops = [place for place in found if place[2] in _STOPS]
        if stops:
            raise SourceError(f"{label}: {key}: {_tell_places(text, stops, checks[column])}")
        filled = unit.checked - _count_empty(connection, column)
        if len(found) > max_bad_share * filled:
            raise SourceError(
                f"{label}: {key}: {len(found):,} of {filled:,} values are bad, {limit}: "
                f"{_tell_places(text, found, checks[column])}"
            )
    if len(text.malformed) > max_bad_share * text.rows:
        told = "; ".join(f"{text.file}, line {row.line}: {row.reason}" for row in text.malformed[:3])
        raise SourceError(
            f"{label}: {len(text.malformed):,} of {text.rows:,} rows cannot be told into columns, {limit}: {told}; "
            "see delimiter, quote and escape"
        )
    place = {"file": text.file, "table": unit.source.table.name}
    findings.quarantine += [
        place
        | {"line": row.line, "column": "", "value": "", "code": "malformed_row", "reason": row.reason}
        | {"content": row.content}
        for row in text.malformed
    ]
    unit.rows["quarantined"] += len(rows)
    _set_aside(connection, unit, rows, findings)


def _count_empty(connection: duckdb.DuckDBPyConnection, column: str) -> int:
    """Count the rows in scope that have no value in a column, nor need one."""
    row = connection.execute(
        f"SELECT count(*) FROM step WHERE _scope IS NULL AND v_{column} IS NULL "
        f"AND NOT coalesce(list_contains(list_transform(_bad, lambda item: item.column), '{column}'), false)"
    ).fetchone()
    return row[0] if row else 0


def _tell_places(text: TextTable, places: list[tuple[int, str, str]], check: Conversion) -> str:
    return "; ".join(f"{text.file}, line {line}: {value!r} {check.rules[code]}" for line, value, code in places[:3])


def _set_aside(
    connection: duckdb.DuckDBPyConnection, unit: Unit, rows: Mapping[int, dict[str, Any]], findings: Findings
) -> None:
    """Add rows to the quarantine with the whole source row as JSON, so that they can be read afterwards."""
    if not rows:
        return
    columns = unit.text.columns
    connection.execute("CREATE OR REPLACE TEMP TABLE aside AS SELECT unnest(?::BIGINT[]) AS line", [list(rows)])
    found = connection.execute(
        f"SELECT line, {', '.join(columns.values())} FROM {unit.text.name} SEMI JOIN aside USING (line)"
    ).fetchall()
    contents = {
        line: json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=False, separators=(",", ":"))
        for line, *values in found
    }
    place = {"file": unit.text.file, "table": unit.source.table.name}
    findings.quarantine += [place | row | {"content": contents[line]} for line, row in rows.items()]


def _count_notes(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, int]]:
    counts = connection.execute(
        "SELECT split_part(note, ' ', 1), split_part(note, ' ', 2), count(*) "
        "FROM (SELECT unnest(_notes) AS note FROM step WHERE _notes IS NOT NULL) GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return [(column, code, rows) for column, code, rows in counts]


def _sum_amounts(connection: duckdb.DuckDBPyConnection) -> dict[str, float]:
    row = connection.execute(
        "SELECT fsum(v_amount), fsum(v_amount) FILTER (_scope IS NOT NULL), "
        "fsum(v_amount) FILTER (_bad IS NOT NULL) FROM step WHERE isfinite(v_amount)"
    ).fetchone() or (0, 0, 0)
    return dict(zip(("in", "out_of_scope", "quarantined"), (value or 0.0 for value in row), strict=True))


def _refuse_strangers(
    connection: duckdb.DuckDBPyConnection, table: Table, units: list[Unit], findings: Findings
) -> None:
    """A file whose every event belongs to nobody is a wrong mapping, not dirty data."""
    stage = f"stage_{table.name}"
    for number, value in connection.execute(
        f"SELECT s._unit, any_value(s.partner_id) FROM {stage} s LEFT JOIN judged j USING (_unit, _line) "
        "GROUP BY 1 HAVING count(*) = count(j.state) ORDER BY 1"
    ).fetchall():
        unit = next(unit for unit in units if unit.number == number)
        aside = tell_set_aside(findings, "partners")
        aside = f"; of the partners were set aside: {aside}" if aside else ""
        known = [row[0] for row in connection.execute("SELECT partner_id FROM final_partners LIMIT 1000").fetchall()]
        raise SourceError(
            f"{unit.source.label}: columns.partner_id: no row of {unit.text.file} belongs to a partner of the table "
            f"partners, as {value!r}{nearest(value, known)}; map the column with the partner's id{aside}"
        )


def tell_set_aside(findings: Findings, table: str) -> str:
    """Return the first three rows of a table that were set aside, each with its place, value and reason."""
    aside = [row for row in findings.quarantine if row["table"] == table]
    return "; ".join(f"{row['file']}, line {row['line']}: {row['value']!r} {row['reason']}" for row in aside[:3])


def _judge_repeats(connection: duckdb.DuckDBPyConnection, table: Table) -> list[tuple[str, int]]:
    """Add to `judged` the rows whose key stands more than once; return which rows won over others, and how often."""
    stage, key = f"stage_{table.name}", ", ".join(table.key)
    content = ", ".join(f"'{name}': {name}" for name in ("_currency", *(column.name for column in table.columns)))
    keyed = " OR ".join(f"{name} IS NOT NULL" for name in table.key)
    refuses, order = "false", ""
    if table.name == "consents":  # of several refusals the one that was known first
        refuses, order = "NOT granted", "refuses DESC, greatest(changed_at, arrived_at), "
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE repeats AS
        WITH live AS (SELECT *, hash({key}) AS h FROM {stage} s
                      WHERE ({keyed})
                      AND NOT EXISTS (FROM judged j WHERE j._unit = s._unit AND j._line = s._line)),
        twice AS (SELECT h FROM live GROUP BY h HAVING count(*) > 1),
        same AS (SELECT *, hash({{{content}}}) AS content, count(*) OVER k AS n, count(_latest) OVER k AS dated,
                        max(_latest) OVER k AS newest
                 FROM live WHERE h IN (FROM twice) WINDOW k AS (PARTITION BY {key})),
        best AS (SELECT *, (dated < n OR _latest = newest) AS candidate, {refuses} AS refuses FROM same WHERE n > 1),
        told AS (SELECT *, min(content) FILTER (candidate) OVER k <> max(content) FILTER (candidate) OVER k
                        AND NOT bool_or(candidate AND refuses) OVER k AS conflict,
                        min(content) OVER k <> max(content) OVER k AS differ,
                        row_number() OVER (PARTITION BY {key} ORDER BY candidate DESC, {order}_unit, _line) = 1
                        AS chosen
                 FROM best WINDOW k AS (PARTITION BY {key}))
        SELECT _unit, _line, conflict, differ, chosen, refuses FROM told
        """
    )
    connection.execute(
        "INSERT INTO judged SELECT _unit, _line, "
        "CASE WHEN conflict THEN 'conflict' WHEN chosen THEN 'used' ELSE 'deduplicated' END FROM repeats"
    )
    return connection.execute(
        "SELECT if(refuses, 'the refusal', 'the latest row') AS kept, count(*) FROM repeats "
        "WHERE chosen AND differ AND NOT conflict GROUP BY kept ORDER BY kept"
    ).fetchall()


def _set_judged_aside(
    connection: duckdb.DuckDBPyConnection, table: Table, units: list[Unit], findings: Findings
) -> None:
    key = ", ".join(f"CAST({name} AS VARCHAR)" for name in table.key)
    states = {"conflict": (f"concat_ws(' | ', {key})", ", ".join(table.key), _CONFLICT)}
    if "partner_id" in {column.name for column in table.columns}:
        states["orphan"] = ("partner_id", "partner_id", "must be a partner_id of the table partners")
    for unit in units:
        for state, (value, column, reason) in states.items():
            found = connection.execute(
                f"SELECT _line, {value} FROM judged JOIN stage_{table.name} USING (_unit, _line) "
                f"WHERE state = '{state}' AND _unit = {unit.number} ORDER BY _line"
            ).fetchall()
            told = {"column": column, "code": state, "reason": reason}
            _set_aside(connection, unit, {line: told | {"line": line, "value": text} for line, text in found}, findings)


def _count_states(connection: duckdb.DuckDBPyConnection, table: Table, units: list[Unit]) -> None:
    """Fill in the counts and sums of every file from what was judged and, independently, from what remains."""
    found = {
        (number, state): (rows, amount or 0.0)
        for number, state, rows, amount in connection.execute(
            "SELECT _unit, if(state = 'deduplicated', state, 'quarantined') AS s, count(*), fsum(_amount) "
            f"FROM judged JOIN stage_{table.name} USING (_unit, _line) WHERE state <> 'used' GROUP BY ALL"
        ).fetchall()
    }
    amount = "fsum(amount)" if "amount" in {column.name for column in table.columns} else "NULL"
    for number, rows, worth in connection.execute(
        f"SELECT _unit, count(*), {amount} FROM final_{table.name} GROUP BY 1"
    ).fetchall():
        found[number, "used"] = (rows, worth or 0.0)
    for unit in units:
        for state in ("used", "quarantined", "deduplicated"):
            rows, worth = found.get((unit.number, state), (0, 0.0))
            unit.rows[state] = unit.rows.get(state, 0) + rows
            if unit.amounts:
                unit.amounts[state] = unit.amounts.get(state, 0.0) + worth
        told = sum(unit.rows[state] for state in ("used", "quarantined", "deduplicated", "out_of_scope"))
        if told != unit.rows["in"]:
            raise AssertionError(
                f"{unit.source.label}: {unit.text.file}: {unit.rows['in']} rows in, {told} accounted for"
            )
