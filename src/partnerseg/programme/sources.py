"""Open a programme: its sources read, checked and kept as Parquet files, with a ledger of every row."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from partnerseg.programme.assemble import assemble_tables
from partnerseg.programme.mapping import Source, SourceError, nearest, read_mapping
from partnerseg.programme.reading import Input, dump_relations, find_input, find_inputs
from partnerseg.programme.tables import TABLES, Table

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

_ARROW = {"text": pa.string(), "time": pa.timestamp("us"), "number": pa.float64(), "flag": pa.bool_()}
_PANDAS: dict[str, Any] = {"text": "str", "time": "datetime64[us]", "number": "float64", "flag": "boolean"}


@dataclass(frozen=True)
class Programme:
    """The checked tables of a programme and the account of how they came about.

    Attributes:
        directory: Folder with one Parquet file a table and the account.
        key: Hash of the sources, their mappings, the currency and quality parameters and the code that read them.
    """

    directory: Path
    key: str

    @property
    def tables(self) -> dict[str, Path]:
        """The Parquet file of each of the fourteen tables; a table without a source has no rows."""
        return {name: self.directory / f"{name}.parquet" for name in TABLES}

    def frame(self, name: str) -> pd.DataFrame:
        """Return one table: text is `str`, times are naive UTC `datetime64[us]`, numbers `float64`, flags `boolean`.

        Raises:
            KeyError: There is no such table.
        """
        if name not in TABLES:
            raise KeyError(f"{name!r} is not one of {', '.join(TABLES)}{nearest(name, TABLES)}")
        frame = pq.read_table(self.tables[name]).to_pandas()
        return frame.astype({column.name: _PANDAS[column.kind] for column in TABLES[name].columns})

    def connect(self) -> "Backend":
        """Return an Ibis backend on an embedded DuckDB (session zone UTC) with one view a table."""
        connection = _connect_ibis()
        for name, path in self.tables.items():
            connection.read_parquet(path, table_name=name)
        return connection

    @cached_property
    def ledger(self) -> pd.DataFrame:
        """One row a source file and table: `rows_in = used + quarantined + deduplicated + out_of_scope`.

        Columns: table, source (mapping file and entry), file, the five counts, and for tables with amounts
        amount_in, amount_used, ... in the programme's currency (NaN elsewhere). Values that are no number
        count in no amount.
        """
        return self._read_account("ledger")

    @cached_property
    def quarantine(self) -> pd.DataFrame:
        """One row a source row set aside: file, line, table, column, value, code, reason, content (the row as JSON)."""
        return self._read_account("quarantine")

    @cached_property
    def freshness(self) -> pd.DataFrame:
        """One row a table: table, rows, first and last event (missing without events)."""
        return self._read_account("freshness")

    @cached_property
    def notices(self) -> pd.DataFrame:
        """What was changed or looks odd: kind, code, table, file, column, rows, message.

        Kinds: `normalize` (values changed and how), `scope` (rows out of scope and why), `missing` (how many
        rows of a source column hold no value), `warn` (worth a look).
        """
        return self._read_account("notices")

    @cached_property
    def unknown(self) -> dict[str, list[str]]:
        """For each table the columns that no source knows; all of them for a table without rows."""
        return json.loads((self.directory / "unknown.json").read_text(encoding="utf-8"))

    def _read_account(self, name: str) -> pd.DataFrame:
        return pq.read_table(self.directory / f"{name}.parquet").to_pandas()


def open_programme(params: Any) -> Programme:
    """Read and check all sources of a programme, or reuse what was read when nothing has changed.

    Every value is read as text and converted column by column. A row is used, set aside with a reason,
    dropped as a repeat, or out of the scope that its mapping tells; the ledger accounts for each. The result
    lies in `programme.data_dir/processed/tables-<key>/`, written beside it and renamed when whole;
    `programme.data_dir/raw` is never changed.

    Args:
        params: Parameters as `load_params` returns them; used are `programme` (currency, rates, data_dir),
            `quality.max_bad_share`, `regions` and `sources`. The mapping's vocabulary is told in
            `partnerseg.programme.mapping`.

    Returns:
        The programme with its fourteen tables.

    Raises:
        SourceError: A mapping, file or column cannot be used; the message tells value, rule, way out, file and key.

    Example:
        >>> import pathlib, tempfile
        >>> from partnerseg.params import Params
        >>> home = pathlib.Path(tempfile.mkdtemp())
        >>> (home / "raw").mkdir()
        >>> _ = (home / "raw" / "partners.csv").write_text("id,region\\n007,north\\n008,NA\\n")
        >>> mapping = {"sources": [{"table": "partners", "file": "partners.csv",
        ...     "columns": {"partner_id": "id", "region": "region"},
        ...     "unknown": ["name", "partner_type", "industry", "company_size", "country", "joined_at"]}]}
        >>> programme = open_programme(Params({
        ...     "programme": {"currency": "EUR", "rates": {}, "data_dir": home}, "quality": {"max_bad_share": 0.01},
        ...     "regions": [], "sources": [{"path": home / "crm.yaml", "mapping": mapping}]}))
        >>> programme.frame("partners")[["partner_id", "region"]].values.tolist()
        [['007', 'north'], ['008', 'NA']]
        >>> programme.ledger[["rows_in", "used"]].values.tolist()
        [[2, 2]]
    """
    data_dir = Path(params.programme.data_dir)
    sources = [source for entry in params.sources for source in read_mapping(Path(entry.path), entry.mapping.to_dict())]
    if not any(source.table.name == "partners" for source in sources):
        raise SourceError(
            f"{params.get('directory', data_dir)}: no source fills the table partners; add one in sources/"
        )
    processed = data_dir / "processed"
    processed.mkdir(parents=True, exist_ok=True)
    _sweep_staging(processed)
    staging = Path(tempfile.mkdtemp(dir=processed, prefix=f".tables-{os.getpid()}-"))
    try:
        work = staging / "work"
        work.mkdir()
        inputs = _find_all_inputs(sources, data_dir / "raw", dump_relations(sources, work))
        key = _hash_inputs(params, sources, inputs)
        final = processed / f"tables-{key[:12]}"
        if not final.is_dir():
            assemble_tables(params, sources, inputs, folder=staging, work=work)
            shutil.rmtree(work)
            _publish(staging, final)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Programme(final, key)


def as_frames(data: "Programme | Mapping[str, pd.DataFrame]") -> dict[str, pd.DataFrame]:
    """Return all fourteen tables as DataFrames with all their columns.

    Args:
        data: A programme, or a dict of DataFrames named as the tables; tables, and columns that may be
            missing, can be left out. Ids become text, times naive UTC.

    Raises:
        ValueError: A table or column is not known, or a column that a row cannot do without is missing.

    Example:
        >>> frames = as_frames({"partners": pd.DataFrame({"partner_id": ["a"]})})
        >>> len(frames), len(frames["sales"]), frames["partners"].loc[0, "region"]
        (14, 0, nan)
    """
    if isinstance(data, Programme):
        return {name: data.frame(name) for name in TABLES}
    for name in data:
        if name not in TABLES:
            raise ValueError(f"{name!r} is not one of the tables {', '.join(TABLES)}{nearest(str(name), TABLES)}")
    return {name: _shape_frame(table, data.get(name)) for name, table in TABLES.items()}


def as_connection(data: "Programme | Mapping[str, pd.DataFrame]") -> "Backend":
    """Return an Ibis backend on an embedded DuckDB with all fourteen tables and all their columns.

    Args:
        data: A programme, or a dict of DataFrames as for `as_frames`.

    Example:
        >>> connection = as_connection({"partners": pd.DataFrame({"partner_id": ["a", "b"]})})
        >>> connection.table("partners").count().execute(), connection.table("sales").count().execute()
        (2, 0)
    """
    if isinstance(data, Programme):
        return data.connect()
    connection = _connect_ibis()
    for name, frame in as_frames(data).items():
        connection.con.register(name, _to_arrow(TABLES[name], frame))
    return connection


def _connect_ibis() -> "Backend":
    import ibis

    connection = ibis.duckdb.connect()
    connection.raw_sql("SET TimeZone = 'UTC'")
    return connection


def _shape_frame(table: Table, given: pd.DataFrame | None) -> pd.DataFrame:
    given = pd.DataFrame() if given is None else given
    names = [column.name for column in table.columns]
    for name in given.columns:
        if name not in names:
            raise ValueError(
                f"{table.name}: {name!r} is not a column{nearest(str(name), names)}; known: {', '.join(names)}"
            )
    series = {}
    for column in table.columns:
        if column.name in given.columns:
            series[column.name] = _shape_series(
                given[column.name].reset_index(drop=True), column.kind, f"{table.name}.{column.name}"
            )
        elif len(given) and not column.nullable:
            raise ValueError(f"{table.name}: column {column.name!r} is missing; no row can do without it")
        else:
            series[column.name] = pd.Series([None] * len(given), dtype=object).astype(_PANDAS[column.kind])
    return pd.DataFrame(series)


def _shape_series(values: pd.Series, kind: str, label: str) -> pd.Series:
    try:
        if kind == "time":
            values = pd.to_datetime(values)
            values = values.dt.tz_convert("UTC").dt.tz_localize(None) if values.dt.tz is not None else values
        elif kind == "text" and values.dtype != "str":
            values = values.map(str, na_action="ignore")
        return values.astype(_PANDAS[kind])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{label}: must be {kind}: {error}") from None


def _to_arrow(table: Table, frame: pd.DataFrame) -> pa.Table:
    schema = pa.schema([(column.name, _ARROW[column.kind]) for column in table.columns])
    return pa.Table.from_pandas(frame, schema=schema, preserve_index=False)


def _find_all_inputs(
    sources: list[Source], raw_dir: Path, dumps: Mapping[tuple[str, str], Input]
) -> list[tuple[list[Input], dict[str, Input]]]:
    """Return for each source its files and the file of each lookup."""
    found = []
    for source in sources:
        files = [dumps[source.connection, source.relation]] if source.relation else find_inputs(source, raw_dir)
        lookups = {
            name: find_input(lookup.file, source.path, raw_dir, f"{source.label}: columns.{name}.lookup.file")
            for name, lookup in source.lookups.items()
        }
        found.append((files, lookups))
    return found


def _hash_inputs(params: Any, sources: list[Source], inputs: list[tuple[list[Input], dict[str, Input]]]) -> str:
    """Return the hash of all that decides what the tables hold."""
    hashes: dict[Path, str] = {}
    for files, lookups in inputs:
        for source in [*files, *lookups.values()]:
            if source.path not in hashes:
                with source.path.open("rb") as file:
                    hashes[source.path] = hashlib.file_digest(file, "blake2b").hexdigest()
    told = {
        "files": [[(i.name, hashes[i.path]) for i in (*files, *lookups.values())] for files, lookups in inputs],
        "mappings": [entry.mapping.to_dict() for entry in params.sources],
        "names": [source.path.name for source in sources],
        "money": [params.programme.currency, dict(params.programme.rates)],
        "quality": params.quality.max_bad_share,
        "regions": sorted(region.code for region in params.regions),
        "code": {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))},
        "duckdb": duckdb.__version__,
    }
    return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16).hexdigest()


def _sweep_staging(processed: Path) -> None:
    """Remove what runs that were killed have left behind."""
    for folder in processed.glob(".tables-*-*"):
        try:
            os.kill(int(folder.name.split("-")[1]), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (PermissionError, ValueError):
            continue


def _publish(staging: Path, final: Path) -> None:
    """Rename the finished folder; when another run was faster its equal result stays."""
    os.chmod(staging, 0o755)
    try:
        staging.rename(final)
    except OSError:
        if not final.is_dir():
            raise
