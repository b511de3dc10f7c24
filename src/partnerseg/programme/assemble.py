"""Assemble the fourteen tables and the account of every row from the sources."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from partnerseg.programme.checks import Findings, Unit, check_unit, finish_table, make_stage, tell_set_aside
from partnerseg.programme.conversions import Money
from partnerseg.programme.mapping import READING, Source, SourceError, nearest
from partnerseg.programme.reading import Input, TextTable, read_lookup, read_text
from partnerseg.programme.tables import TABLES

_STATES = ("in", "used", "quarantined", "deduplicated", "out_of_scope")
_LEDGER: dict[str, Any] = {"table": "str", "source": "str", "file": "str"} | {
    f"rows_{s}" if s == "in" else s: "int64" for s in _STATES
}
_LEDGER |= {f"amount_{state}": "float64" for state in _STATES}
_QUARANTINE = {"file": "str", "line": "int64", "table": "str", "column": "str", "value": "str", "code": "str"}
_QUARANTINE |= {"reason": "str", "content": "str"}
_NOTICES = {
    "kind": "str",
    "code": "str",
    "table": "str",
    "file": "str",
    "column": "str",
    "rows": "int64",
    "message": "str",
}
_FRESHNESS = {"table": "str", "rows": "int64", "first": "datetime64[us]", "last": "datetime64[us]"}


def assemble_tables(
    params: Any, sources: list[Source], inputs: list[tuple[list[Input], dict[str, Input]]], *, folder: Path, work: Path
) -> None:
    """Read and check all sources and write the fourteen tables and their account.

    Args:
        params: Used are `programme.currency`, `programme.rates`, `quality.max_bad_share` and `regions`.
        sources: All sources of the programme.
        inputs: For each source its files and the file of each of its lookups.
        folder: Gets `<table>.parquet` for all tables, `ledger`, `quarantine`, `notices` and `freshness` as
            Parquet, and `unknown.json`.
        work: For temporary files.

    Raises:
        SourceError: A file or its content cannot be used, or no partner is left.
    """
    findings = Findings()
    money = Money(params.programme.currency, dict(params.programme.rates))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = true")
        connection.execute(f"SET temp_directory = '{str(work).replace(chr(39), chr(39) * 2)}'")
        texts: dict[tuple, TextTable] = {}

        def read(source: Input, options: Mapping[str, Any]) -> TextTable:
            key = (source.path, *(options[name] for name in sorted(READING)))
            if key not in texts:
                texts[key] = read_text(connection, f"text_{len(texts)}", source, options)
                _notice_text(texts[key], findings)
            return texts[key]

        units: list[Unit] = []
        for name in sorted(TABLES, key=lambda name: name != "partners"):
            table = TABLES[name]
            make_stage(connection, table)
            own: list[Unit] = []
            for number, (source, (files, lookups)) in enumerate(zip(sources, inputs, strict=True)):
                if source.table is not table:
                    continue
                codes = {}
                for column, file in lookups.items():
                    lookup, codes[column] = source.lookups[column], f"lookup_{number}_{column}"
                    label = f"{source.label}: columns.{column}.lookup"
                    read_lookup(connection, codes[column], read(file, lookup.options), lookup, label)
                for file in files:
                    unit = Unit(len(units) + len(own), source, read(file, source.options))
                    check_unit(
                        connection,
                        unit,
                        lookups=codes,
                        money=money,
                        max_bad_share=params.quality.max_bad_share,
                        findings=findings,
                    )
                    own.append(unit)
            finish_table(connection, table, own, findings=findings)
            units += own
            if name == "partners":
                _refuse_nobody(connection, own, findings)
        for unit in units:
            _notice_unit(unit, params.quality.max_bad_share, findings)
        _notice_oddities(connection, [region.code for region in params.regions], findings)
        _write_tables(connection, units, findings, folder)


def _notice_text(text: TextTable, findings: Findings) -> None:
    for column, rows in text.missing.items():
        if rows:
            message = f"{rows:,} of {text.rows:,} rows have no {column}"
            findings.notice("missing", "no_value", rows, message, file=text.file, column=column)
    for column, rows in text.trimmed.items():
        if rows:
            message = "written without outer space and in Unicode NFC"
            findings.notice("normalize", "trimmed", rows, message, file=text.file, column=column)


def _refuse_nobody(connection: duckdb.DuckDBPyConnection, units: list[Unit], findings: Findings) -> None:
    """Refuse a programme without partners."""
    if not _count(connection, "final_partners", "true"):
        files = ", ".join(unit.text.file for unit in units)
        told = tell_set_aside(findings, "partners")
        why = f"set aside: {told}" if told else "see `where`"
        raise SourceError(f"{files}: no partner is left after the checks, a programme has at least one; {why}")


def _notice_unit(unit: Unit, max_bad_share: float, findings: Findings) -> None:
    """Warn of a file that gave nothing, and of one that lost many rows, whatever the reasons."""
    table, file, aside = unit.source.table.name, unit.text.file, unit.rows["quarantined"]
    if not unit.rows["used"]:
        message = "no row was used" if unit.checked else "no row was looked at, so nothing has been checked"
        findings.notice("warn", "no_rows", unit.rows["in"], message, table=table, file=file)
    rows = unit.rows["in"] - unit.rows["out_of_scope"]
    if aside > max_bad_share * rows:
        share = f"{aside:,} of {rows:,} rows ({aside / rows:.1%})"
        message = f"{share} were set aside, more than quality.max_bad_share ({max_bad_share:g}); see the quarantine"
        findings.notice("warn", "many_set_aside", aside, message, table=table, file=file)


def _notice_oddities(connection: duckdb.DuckDBPyConnection, regions: list[str], findings: Findings) -> None:
    """Warn of values that look wrong."""
    returns = _count(connection, "final_sales", "is_return AND amount > 0")
    if returns:
        message = "returns with a positive amount; the amount of a return is negative"
        findings.notice("warn", "positive_return", returns, message, table="sales", column="amount")
    found = connection.execute("SELECT region, count(*) FROM final_partners GROUP BY 1 ORDER BY 1").fetchall()
    for code, rows in found if regions else ():
        if code is not None and code not in regions:
            message = f"region {code!r} has no file in regions/{nearest(code, regions)}"
            findings.notice("warn", "unlisted_region", rows, message, table="partners", column="region")


def _count(connection: duckdb.DuckDBPyConnection, table: str, condition: str) -> int:
    row = connection.execute(f"SELECT count(*) FILTER ({condition}) FROM {table}").fetchone()
    return row[0] if row else 0


def _write_tables(connection: duckdb.DuckDBPyConnection, units: list[Unit], findings: Findings, folder: Path) -> None:
    freshness, unknown = [], {}
    for name, table in TABLES.items():
        path = str(folder / f"{name}.parquet").replace("'", "''")
        connection.execute(
            f"COPY (SELECT * EXCLUDE (_unit) FROM final_{name}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
        )
        span = f"min({table.time}), max({table.time})" if table.time else "NULL, NULL"
        rows, first, last = connection.execute(f"SELECT count(*), {span} FROM final_{name}").fetchone() or (
            0,
            None,
            None,
        )
        freshness.append({"table": name, "rows": rows, "first": first, "last": last})
        known = {column for unit in units if unit.source.table.name == name for column in unit.source.columns}
        unknown[name] = [column.name for column in table.columns if not rows or column.name not in known]
    ledger = [
        {
            "table": unit.source.table.name,
            "source": f"{unit.source.path.name} {unit.source.number}",
            "file": unit.text.file,
        }
        | {f"rows_{state}" if state == "in" else state: unit.rows[state] for state in _STATES}
        | {f"amount_{state}": unit.amounts.get(state) for state in _STATES}
        for unit in units
    ]
    accounts = {"ledger": (ledger, _LEDGER), "quarantine": (findings.quarantine, _QUARANTINE)}
    accounts |= {"notices": (findings.notices, _NOTICES), "freshness": (freshness, _FRESHNESS)}
    for account, (rows, kinds) in accounts.items():
        frame = pd.DataFrame(rows, columns=list(kinds)).astype(kinds)
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), folder / f"{account}.parquet")
    (folder / "unknown.json").write_text(json.dumps(unknown, indent=1), encoding="utf-8")
