"""Read files and database tables as text, every row with its line, nothing guessed."""

import csv
import gzip
import json
import os
import unicodedata
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import duckdb

from partnerseg.programme.mapping import Lookup, Source, SourceError, nearest

_SPACE = " \t\r\n\u00a0\ufeff"
_WHOLE = 2**53


@dataclass(frozen=True)
class Input:
    """A file to be read, under the name that messages and the ledger use."""

    name: str
    path: Path


@dataclass(frozen=True)
class Malformed:
    """A row that cannot be told into columns: its line, its fields and why."""

    line: int
    content: str
    reason: str


@dataclass(frozen=True)
class TextTable:
    """A file as a DuckDB table of text: `line` and one column a column of the file.

    Attributes:
        name: Name of the DuckDB table.
        file: Name of the file, as messages use it.
        columns: For each column of the file the name of its column in the DuckDB table.
        rows: Number of rows of the file, malformed ones included.
        malformed: Rows that are not in the table.
        missing: For each column of the file the number of rows without a value.
        trimmed: For each column the number of values that lost outer space or were composed to NFC.
    """

    name: str
    file: str
    columns: Mapping[str, str]
    rows: int
    malformed: tuple[Malformed, ...] = ()
    missing: Mapping[str, int] = field(default_factory=dict)
    trimmed: Mapping[str, int] = field(default_factory=dict)

    def column(self, name: str, label: str) -> str:
        """Return the DuckDB column of a column of the file; raises SourceError naming the nearest."""
        if name in self.columns:
            return self.columns[name]
        hint = nearest(name, self.columns)
        if len(self.columns) == 1:
            (only,) = self.columns
            found = [mark for mark in ";\t|," if mark in only]
            hint = f"; its header is one column: is `delimiter` {found[0]!r}?" if found else hint
        raise SourceError(
            f"{label}: {name!r} is no column of {self.file}{hint}; it has {', '.join(map(repr, self.columns))}"
        )


def quote_text(value: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def find_inputs(source: Source, raw_dir: Path) -> list[Input]:
    """Return the files of a source in order; raises SourceError for a name or pattern without a file."""
    inputs: dict[Path, Input] = {}
    for name in source.files:
        folder = source.path.parent if name.startswith(("./", "../")) else raw_dir
        if "*" not in name:
            inputs[folder / name] = find_input(name, source.path, raw_dir, f"{source.label}: file")
            continue
        found = sorted(path for path in folder.glob(name) if path.is_file())
        if not found:
            raise SourceError(f"{source.label}: file: no file fits {name!r} in {folder}")
        inputs |= {path: Input(_plain_name(str(Path(name).parent / path.name)), path) for path in found}
    return list(inputs.values())


def find_input(name: str, mapping_path: Path, raw_dir: Path, label: str) -> Input:
    """Return one file; a name with ./ or ../ is seen from the mapping file, any other from the raw folder."""
    folder = mapping_path.parent if name.startswith(("./", "../")) else raw_dir
    path = folder / name
    if not path.is_file():
        there = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise SourceError(f"{label}: there is no file {name!r} in {folder}{nearest(path.name, there)}")
    return Input(_plain_name(name), path)


def _plain_name(name: str) -> str:
    """A name as the ledger shows it: without the leading ./ and ../."""
    return "/".join(part for part in Path(name).parts if part != "..")


def dump_relations(sources: list[Source], folder: Path) -> dict[tuple[str, str], Input]:
    """Copy each database table that the sources name into a CSV file, all of one database as of one moment.

    Args:
        sources: Sources; those that read files are passed over.
        folder: Where the files are written.

    Returns:
        The file of each (connection, relation).

    Raises:
        SourceError: The environment variable is not set, the server does not answer, the relation is not there.
    """
    dumps: dict[tuple[str, str], Input] = {}
    wanted: dict[str, dict[str, Source]] = {}
    for source in sources:
        if source.relation:
            wanted.setdefault(source.connection, {})[source.relation] = source
    for variable, relations in wanted.items():
        first = next(iter(relations.values()))
        if not os.environ.get(variable):
            raise SourceError(
                f"{first.label}: connection: the environment variable {variable} is not set; "
                "it holds the connection string, as postgresql://user@host/database"
            )
        for relation, path in _copy_relations(variable, relations, folder):
            dumps[variable, relation] = Input(relation, path)
    return dumps


def _copy_relations(variable: str, relations: dict[str, Source], folder: Path) -> Iterator[tuple[str, Path]]:
    import psycopg
    from psycopg import sql

    options = "-c datestyle=ISO -c timezone=UTC -c client_encoding=UTF8 -c synchronize_seqscans=off"
    label = next(iter(relations.values())).label
    try:
        with psycopg.connect(os.environ[variable], options=options, connect_timeout=20) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            for relation, source in relations.items():
                label = f"{source.label}: relation: {relation}"
                name = sql.SQL(".").join(sql.Identifier(part) for part in relation.split("."))
                query = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT (FORMAT csv, HEADER)").format(name)
                path = folder / f"dump-{variable}-{len(list(folder.glob('dump-*')))}.csv"
                with path.open("wb") as file, connection.cursor().copy(query) as copy:
                    for block in copy:
                        file.write(block)
                yield relation, path
    except psycopg.Error as error:
        message = " ".join(str(error).split())
        raise SourceError(f"{label}: the database says: {message}; see {variable} and the name of the table") from None


def read_text(connection: duckdb.DuckDBPyConnection, name: str, source: Input, options: Mapping[str, Any]) -> TextTable:
    """Read one file into a DuckDB table of text.

    Every value is the text that stands in the file, without outer space and in Unicode NFC; the empty
    field and the words in `missing` become NULL. `line` is the line on which a row begins, or its number
    in a Parquet file.

    Args:
        connection: Where the table is made; it keeps its temporary files in its `temp_directory`.
        name: Name of the table.
        source: The file.
        options: Dialect as in `Source.options`.

    Raises:
        SourceError: The file is not what its name or options say, has no header, or a column twice.
    """
    form = options["format"] or _guess_format(source)
    if form == "parquet":
        columns, rows, malformed = _load_parquet(connection, name, source)
    else:
        folder = connection.execute("SELECT current_setting('temp_directory')").fetchone()
        staged = Path(folder[0] if folder else ".") / f"{name}.csv"
        stage = _stage_csv if form == "csv" else _stage_jsonl
        try:
            with staged.open("w", encoding="utf-8", newline="") as out:
                names, rows, malformed = stage(source, options, csv.writer(out, lineterminator="\n"))
        except UnicodeDecodeError as error:
            raise _decode_error(source, options, error) from None
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(
                f"{source.name}: cannot be read: {error}; is it whole and compressed as its name says?"
            ) from None
        columns = {column: f"c{i}" for i, column in enumerate(names)}
        kinds = ", ".join(f"'{column}': 'VARCHAR'" for column in columns.values())
        connection.execute(
            f"CREATE TABLE {name}_raw AS SELECT * FROM read_csv({quote_text(str(staged))}, auto_detect=false, "
            "header=false, delim=',', quote='\"', escape='\"', new_line='\\n', nullstr='', parallel=false, "
            f"max_line_size=67108864, columns={{'line': 'BIGINT', {kinds}}})"
        )
        staged.unlink()
    missing, trimmed = _clean_values(connection, name, columns, options["missing"])
    return TextTable(name, source.name, columns, rows, tuple(malformed), missing, trimmed)


def read_lookup(connection: duckdb.DuckDBPyConnection, name: str, text: TextTable, lookup: Lookup, label: str) -> None:
    """Make the table `name` (key, value) of a code table in a file; raises SourceError if a key has two values."""
    key, value = text.column(lookup.key, f"{label}.key"), text.column(lookup.value, f"{label}.value")
    connection.execute(
        f"CREATE TABLE {name} AS SELECT {key} AS key, any_value({value}) AS value, count(DISTINCT {value}) AS n "
        f"FROM {text.name} WHERE {key} IS NOT NULL GROUP BY 1"
    )
    twice = connection.execute(f"SELECT key FROM {name} WHERE n > 1 ORDER BY 1 LIMIT 3").fetchall()
    if twice:
        told = ", ".join(repr(row[0]) for row in twice)
        raise SourceError(
            f"{label}: in {text.file} one {lookup.key} has more than one {lookup.value}: {told}; correct the file"
        )


def _guess_format(source: Input) -> str:
    endings = source.path.name.lower().removesuffix(".gz")
    for form, suffixes in {
        "parquet": (".parquet", ".pq"),
        "jsonl": (".jsonl", ".ndjson"),
        "csv": (".csv", ".tsv", ".txt"),
    }.items():
        if endings.endswith(suffixes):
            return form
    raise SourceError(
        f"{source.name}: its name does not say what it is; write format: csv, parquet or jsonl in the mapping"
    )


def _clean_values(
    connection: duckdb.DuckDBPyConnection, name: str, columns: Mapping[str, str], words: tuple[str, ...]
) -> tuple[dict[str, int], dict[str, int]]:
    """Make the table `name` from `name_raw`; return by column how many values are missing and were trimmed."""
    space = quote_text(_SPACE)
    empty = ", ".join(quote_text(word) for word in ("", *words))
    clean = {
        c: f"CASE WHEN trim({c}, {space}) NOT IN ({empty}) THEN nfc_normalize(trim({c}, {space})) END"
        for c in columns.values()
    }
    made = ", ".join(f"{expression} AS {c}" for c, expression in clean.items())
    connection.execute(f"CREATE TABLE {name} AS SELECT line, {made} FROM {name}_raw")
    counts = ", ".join(f"count(*) - count(t.{c}), count(*) FILTER (t.{c} <> r.{c})" for c in columns.values())
    row = connection.execute(f"SELECT {counts} FROM {name} t POSITIONAL JOIN {name}_raw r").fetchone() or ()
    connection.execute(f"DROP TABLE {name}_raw")
    return dict(zip(columns, row[::2], strict=True)), dict(zip(columns, row[1::2], strict=True))


def _load_parquet(
    connection: duckdb.DuckDBPyConnection, name: str, source: Input
) -> tuple[dict[str, str], int, list[Malformed]]:
    path = quote_text(str(source.path))
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet({path})").fetchall()
        columns = {name: f"c{i}" for i, name in enumerate(_plain_columns(source, [row[0] for row in described]))}
        casts = []
        for i, (column, kind, *_) in enumerate(described):
            plain = '"' + column.replace('"', '""') + '"'
            if kind in ("DOUBLE", "FLOAT"):
                _refuse_rounded(connection, path, column, plain, source)
                whole = f"CAST(CAST({plain} AS BIGINT) AS VARCHAR)"
                exact = f"{plain} = trunc({plain}) AND abs({plain}) < {_WHOLE}"
                told = f"CASE WHEN {exact} THEN {whole} ELSE CAST({plain} AS VARCHAR) END"
                casts.append(f"CASE WHEN NOT isnan({plain}) THEN {told} END AS c{i}")
            else:
                casts.append(f"CAST({plain} AS VARCHAR) AS c{i}")
        connection.execute(
            f"CREATE TABLE {name}_raw AS SELECT file_row_number + 1 AS line, {', '.join(casts)} "
            f"FROM read_parquet({path}, file_row_number=true)"
        )
    except duckdb.Error as error:
        raise SourceError(f"{source.name}: cannot be read as Parquet: {str(error).splitlines()[0]}") from None
    row = connection.execute(f"SELECT count(*) FROM {name}_raw").fetchone()
    return columns, row[0] if row else 0, []


def _refuse_rounded(connection: duckdb.DuckDBPyConnection, path: str, column: str, plain: str, source: Input) -> None:
    """A whole number over 2^53 in a floating point column has lost digits: an id became its neighbor."""
    found = connection.execute(
        f"SELECT {plain} FROM read_parquet({path}) WHERE abs({plain}) >= {_WHOLE} AND isfinite({plain}) LIMIT 1"
    ).fetchone()
    if found:
        raise SourceError(
            f"{source.name}: column {column!r}: {found[0]:.0f} is over 2^53 in a floating point column and has lost "
            "digits; export the column as text"
        )


def _open_text(source: Input, options: Mapping[str, Any]) -> IO[str]:
    encoding = options["encoding"].lower().replace("_", "-")
    encoding = "utf-8-sig" if encoding in ("utf-8", "utf8") else encoding
    if source.path.name.lower().endswith(".gz"):
        return gzip.open(source.path, "rt", encoding=encoding, newline="")
    return source.path.open("r", encoding=encoding, newline="")


def _lines(file: IO[str], source: Input) -> Iterator[str]:
    for number, line in enumerate(file, start=1):
        if "\0" in line:
            raise SourceError(
                f"{source.name}, line {number}: has a NUL byte; if the file is UTF-16 write encoding: utf-16"
            )
        yield line


def _stage_csv(source: Input, options: Mapping[str, Any], writer: Any) -> tuple[list[str], int, list[Malformed]]:
    """Write every whole row with its line; return the header, the number of rows and the rows that are not whole."""
    delimiter = "\t" if source.path.name.lower().removesuffix(".gz").endswith(".tsv") else options["delimiter"]
    malformed: list[Malformed] = []
    with _open_text(source, options) as file:
        reader = csv.reader(
            _lines(file, source),
            delimiter=delimiter,
            quotechar=options["quote"] or None,
            quoting=csv.QUOTE_MINIMAL if options["quote"] else csv.QUOTE_NONE,
            escapechar=options["escape"] or None,
            strict=True,
        )
        header: list[str] = []
        try:
            header = next((row for row in reader if row), [])
        except csv.Error as error:
            raise SourceError(f"{source.name}, line {reader.line_num}: the header cannot be read: {error}") from None
        if not header:
            raise SourceError(f"{source.name}: is empty; a csv file begins with a line of column names")
        names = _plain_columns(source, header)
        counted = [0]
        writer.writerows(_whole_rows(reader, len(header), source, malformed, counted))
    return names, counted[0], malformed


def _plain_columns(source: Input, columns: list[str]) -> list[str]:
    """Return names of columns without outer space and in Unicode NFC; raises SourceError if two are then the same."""
    names = [unicodedata.normalize("NFC", column.strip(_SPACE)) for column in columns]
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice:
        raise SourceError(f"{source.name}: the column {twice[0]!r} stands twice in the header; rename one")
    return names


def _whole_rows(
    reader: Any, width: int, source: Input, malformed: list[Malformed], counted: list[int]
) -> Iterator[list[Any]]:
    before = reader.line_num
    while True:
        line = before + 1
        try:
            for row in reader:
                line, before = before + 1, reader.line_num
                if len(row) == width:
                    counted[0] += 1
                    yield [line, *row]
                elif row:
                    counted[0] += 1
                    reason = f"{len(row)} fields where the header has {width}"
                    malformed.append(Malformed(line, json.dumps(row, ensure_ascii=False), reason))
                line = before + 1
            return
        except csv.Error as error:
            if "unexpected end" in str(error) or "field limit" in str(error):
                raise SourceError(
                    f"{source.name}, line {line}: a field does not end, or is over {csv.field_size_limit():,} long; "
                    "close its quote, or write quote: '' in the mapping if quotes are ordinary letters there"
                ) from None
            counted[0] += 1
            malformed.append(Malformed(line, "", f"cannot be told into fields: {error}"))
            before = reader.line_num


def _stage_jsonl(source: Input, options: Mapping[str, Any], writer: Any) -> tuple[list[str], int, list[Malformed]]:
    """Write every JSON object with its line; return all keys, the number of rows and the lines that are no object."""
    names: dict[str, None] = {}
    malformed: list[Malformed] = []
    for _, told, _ in _json_rows(source, options):
        if isinstance(told, dict):
            names |= dict.fromkeys(told)
    if not names:
        raise SourceError(f"{source.name}: has no JSON object; a jsonl file has one on each line")
    rows = 0
    columns = _plain_columns(source, list(names))
    for line, told, wrong in _json_rows(source, options):
        rows += 1
        if isinstance(told, dict):
            writer.writerow([line, *(told.get(name, "") for name in names)])
        else:
            malformed.append(Malformed(line, told, wrong))
    return columns, rows, malformed


def _json_rows(source: Input, options: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, str] | str, str]]:
    """Yield each line with the values of its object as text, or as it stands with what is wrong with it."""
    with _open_text(source, options) as file:
        for line, text in enumerate(_lines(file, source), start=1):
            if text.strip():
                told, wrong = _read_object(text)
                yield line, text.strip() if told is None else told, wrong


def _read_object(text: str) -> tuple[dict[str, str] | None, str]:
    try:
        parsed = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
        if not isinstance(parsed, dict):
            return None, "is not a JSON object"
        told = {name: _json_text(value) for name, value in parsed.items()}
        if "\\u" in text:
            "".join([*told, *told.values()]).encode()
    except RecursionError:
        return None, "is nested too deeply"
    except UnicodeEncodeError:
        return None, "has half of a surrogate pair, which is no letter"
    except ValueError:
        return None, "is not a JSON object"
    return told, ""


def _json_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _decode_error(source: Input, options: Mapping[str, Any], error: UnicodeDecodeError) -> SourceError:
    """Say on which line a file is not in the encoding it was declared to be in."""
    where = ""
    if not options["encoding"].lower().startswith(("utf-16", "utf16", "utf-32", "utf32")):
        zipped = source.path.name.lower().endswith(".gz")
        with gzip.open(source.path, "rb") if zipped else source.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    line.decode(options["encoding"])
                except UnicodeDecodeError as found:
                    where, error = f", line {number}", found
                    break
    byte = error.object[error.start]
    return SourceError(
        f"{source.name}{where}: byte 0x{byte:02X} is not {options['encoding']}; write how the file is encoded in the "
        "mapping, as encoding: cp1251"
    )
