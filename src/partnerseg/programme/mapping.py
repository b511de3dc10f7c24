"""Source mappings: where each table comes from and how its columns are written, checked strictly.

A mapping is a YAML file in `params/sources/`. Its vocabulary, all of it:

```yaml
defaults: {zone: UTC}        # options that hold for every source of this file
sources:
  - table: sales             # one of the fourteen tables; several sources may fill one table
    file: [2024.csv, 2025-*.csv.gz]   # or one name; csv, parquet, jsonl, each also as .gz (not parquet)
    format: csv              # only when the name does not say it
    encoding: cp1251         # text files: utf-8 unless told
    delimiter: ";"           # csv: also quote (") and escape (none: a quote is doubled)
    missing: [NA, "-"]       # words for "no value", besides the empty field; alone it is only the empty field
    decimal: ","             # decimal mark, "." unless told; thousands: mark between thousands, none unless told
    zone: Europe/Kyiv        # time zone of times that state none; there is no default
    where:                   # others are out of scope; rules: in, not_in, missing, starts_with, from, until
      - {column: state, in: [Won], reason: not won}
    columns:                 # a column of the table: a column of the file, or
      sale_id: {join: [Invoice, Line]}          # several joined; {join: all} is made of the whole row
      amount: {product: [Quantity, Price]}      # multiplied; numbers may stand among the columns
      currency: {value: EUR}                    # the same for every row
      sold_at: {column: Date, format: "%d.%m.%y"}   # strptime; without format only ISO 8601 is understood
      is_return: {column: Invoice, starts_with: C}  # a flag; or yes: [Y], no: [N] as words for true and false
      product: {column: Item, replace: {GTXPro: GTX Pro}}  # corrections; other values stay
      channel: {column: Ch, codes: {"1": web}, default: other}  # a closed code table; without default others are bad
      country: {column: Account, lookup: {file: accounts.csv, key: account, value: office}}  # a code table in a file
    unknown: [industry]      # columns that every source must map or declare unknown
    keep: {latest_by: changed}  # same key, different content: keep the latest row instead of setting all aside
  - table: stages
    connection: CRM_DATABASE # instead of a file: the environment variable with the PostgreSQL connection string
    relation: crm.stages     # and the table or view
    columns: {...}
```

`zone`, `decimal` and `thousands` may also stand at a column. A path that starts with `./` or `../` is
seen from the mapping file, any other from `data_dir/raw`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from partnerseg.programme.tables import TABLES, Table

READING = {"format", "encoding", "delimiter", "quote", "escape", "missing"}
WRITING = {"zone", "decimal", "thousands"}
ORIGINS = ("column", "value", "product", "join")
RULES = ("in", "not_in", "missing", "starts_with", "from", "until")
_SOURCE_KEYS = {"table", "file", "connection", "relation", "columns", "unknown", "where", "keep"} | READING | WRITING
_LOOKUP_KEYS = {"file", "key", "value"} | READING
_COLUMN_KEYS = {
    "text": {"lookup", "replace", "codes", "default"},
    "time": {"format", "zone"},
    "number": {"decimal", "thousands", "product"},
    "flag": {"starts_with", "yes", "no"},
}
_FORMATS = ("csv", "parquet", "jsonl")


class SourceError(ValueError):
    """A source that cannot be read as its mapping says: tells file, value, rule and way out."""


@dataclass(frozen=True)
class Lookup:
    """A code table in a file: the column with the codes and the column with what they mean."""

    file: str
    key: str
    value: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """One checked entry of a mapping: what it reads, how, and into which columns of which table.

    Attributes:
        path: The mapping file.
        number: Position of the entry in it, from 1.
        table: The table that it fills.
        files: Names of files, maybe with `*`; empty when a database is read.
        connection: Environment variable with the connection string, or empty.
        relation: Table or view of the database, or empty.
        options: Dialect, zone and marks, with defaults filled in.
        columns: For each column of the table the rule as a dict with one of `column`, `value`, `product`, `join`.
        lookups: The code table in a file of each column that has one.
        where: Rules that a row must pass to be in scope.
        keep: `{latest_by, format?, zone?}` or empty.
    """

    path: Path
    number: int
    table: Table
    files: tuple[str, ...]
    connection: str
    relation: str
    options: Mapping[str, Any]
    columns: Mapping[str, Mapping[str, Any]]
    lookups: Mapping[str, Lookup]
    where: tuple[Mapping[str, Any], ...]
    keep: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Mapping file, entry and table, as messages name them."""
        return f"{self.path}: source {self.number} ({self.table.name})"

    def used_columns(self) -> dict[str, str]:
        """Return each column of the file that is used, with the key of the mapping that names it."""
        used: dict[str, str] = {}
        for name, rule in self.columns.items():
            named = [rule["column"]] if "column" in rule else rule.get("product", rule.get("join", ()))
            used |= {column: f"columns.{name}" for column in named if named != "all" and isinstance(column, str)}
        used |= {rule["column"]: "where" for rule in self.where}
        return used | ({self.keep["latest_by"]: "keep.latest_by"} if self.keep else {})


def read_mapping(path: Path, mapping: Mapping[str, Any]) -> list[Source]:
    """Check one mapping file and return its sources in order.

    Args:
        path: The mapping file, for messages and for paths seen from it.
        mapping: Its content, as `read_yaml` gives it.

    Raises:
        SourceError: A key, table, column or value is refused; the message tells the nearest known name.

    Example:
        >>> from pathlib import Path
        >>> (source,) = read_mapping(Path("costs.yaml"), {"defaults": {"zone": "UTC"}, "sources": [{
        ...     "table": "costs", "file": "costs.csv", "columns": {"spent_at": "day", "kind": "kind",
        ...     "amount": "sum", "currency": {"value": "EUR"}}}]})
        >>> source.columns["amount"], source.options["decimal"]
        ({'column': 'sum'}, '.')
    """
    check_keys(mapping, {"defaults", "sources"}, str(path))
    defaults = dict(_section(mapping.get("defaults", {}), f"{path}: defaults"))
    check_keys(defaults, READING | WRITING, f"{path}: defaults")
    entries = mapping.get("sources", [])
    if not isinstance(entries, list) or not entries:
        raise SourceError(f"{path}: sources: {entries!r} must be a list of sources, each with table, file and columns")
    return [_read_source(path, number, entry, defaults) for number, entry in enumerate(entries, start=1)]


def check_keys(given: Iterable[str], allowed: Iterable[str], where: str) -> None:
    """Raise SourceError for the first key that is not allowed, naming the nearest that is."""
    for key in given:
        if key not in allowed:
            raise SourceError(
                f"{where}: {key!r} is not a key here{nearest(key, allowed)}; known: {', '.join(sorted(allowed))}"
            )


def nearest(name: str, names: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the name most like this one, or empty text.

    Example:
        >>> nearest("CustomerID", ["Customer ID", "Country"])
        "; did you mean 'Customer ID'?"
    """
    plain = {_plain(known): known for known in names}
    close = get_close_matches(_plain(name), plain, n=1, cutoff=0.5)
    return f"; did you mean {plain[close[0]]!r}?" if close else ""


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum()) or name


def _read_source(path: Path, number: int, entry: Any, defaults: Mapping[str, Any]) -> Source:
    label = f"{path}: source {number}"
    entry = _section(entry, label)
    check_keys(entry, _SOURCE_KEYS, label)
    name = entry.get("table", "")
    if name not in TABLES:
        raise SourceError(f"{label}: table: {name!r} is not one of {', '.join(TABLES)}{nearest(str(name), TABLES)}")
    table, label = TABLES[name], f"{label} ({name})"
    if ("file" in entry) == ("relation" in entry):
        raise SourceError(f"{label}: a source has either `file`, or `connection` and `relation`")
    if ("relation" in entry) != ("connection" in entry):
        raise SourceError(
            f"{label}: `relation` needs `connection`: the environment variable with the connection string"
        )
    given = _section(entry.get("columns", {}), f"{label}: columns")
    unknown = _texts(entry.get("unknown", []), f"{label}: unknown")
    _check_coverage(table, given, unknown, label)
    columns, lookups = {}, {}
    for column in table.columns:
        if column.name in given:
            rule, lookup = _read_column(column.kind, given[column.name], f"{label}: columns.{column.name}", defaults)
            columns[column.name] = rule
            if lookup:
                lookups[column.name] = lookup
    keep = _section(entry.get("keep", {}), f"{label}: keep")
    check_keys(keep, {"latest_by", "format", "zone"}, f"{label}: keep")
    if keep and "latest_by" not in keep:
        raise SourceError(
            f"{label}: keep: say by which column of the file the latest row is known, as {{latest_by: changed}}"
        )
    rules = entry.get("where", [])
    if not isinstance(rules, list):
        raise SourceError(f"{label}: where: must be a list of rules, as - {{column: state, in: [Won]}}")
    return Source(
        path=path,
        number=number,
        table=table,
        files=_texts(entry.get("file", []), f"{label}: file"),
        connection=_text(entry.get("connection", ""), f"{label}: connection"),
        relation=_text(entry.get("relation", ""), f"{label}: relation"),
        options=_read_options({**defaults, **{key: entry[key] for key in READING | WRITING if key in entry}}, label),
        columns=columns,
        lookups=lookups,
        where=tuple(_read_rule(rule, f"{label}: where") for rule in rules),
        keep={key: _text(value, f"{label}: keep.{key}") for key, value in keep.items()},
    )


def _check_coverage(table: Table, given: Mapping[str, Any], unknown: tuple[str, ...], label: str) -> None:
    """Every required column is mapped or, where rows stay usable without it, declared unknown."""
    names = [column.name for column in table.columns]
    check_keys(given, names, f"{label}: columns")
    check_keys(unknown, names, f"{label}: unknown")
    for column in table.columns:
        if column.name in given and column.name in unknown:
            raise SourceError(f"{label}: {column.name} stands in columns and in unknown; delete one")
        if column.name in unknown and not column.nullable:
            raise SourceError(
                f"{label}: unknown: no row can do without {column.name}; map it, or give {{value: ...}} for all rows"
            )
        if column.required and column.name not in given and column.name not in unknown:
            way = " or write it under unknown: [...]" if column.nullable else ""
            raise SourceError(f"{label}: columns.{column.name} is missing; map it{way}")


def _read_column(
    kind: str, given: Any, label: str, defaults: Mapping[str, Any]
) -> tuple[dict[str, Any], Lookup | None]:
    if not isinstance(given, Mapping):
        return {"column": _text(given, label)}, None
    allowed = {"column", "value", "join"} | _COLUMN_KEYS[kind]
    check_keys(given, allowed, label)
    origins = [key for key in ORIGINS if key in given]
    if len(origins) != 1:
        raise SourceError(f"{label}: needs exactly one of {', '.join(ORIGINS)}, has {', '.join(origins) or 'none'}")
    rule: dict[str, Any] = {}
    for key, value in given.items():
        at = f"{label}.{key}"
        if key == "product":
            if not isinstance(value, list) or len(value) < 2:
                raise SourceError(f"{at}: {value!r} must be a list of columns and numbers, as [Quantity, Price]")
            rule[key] = tuple(item if isinstance(item, int | float) else _text(item, at) for item in value)
        elif key == "join":
            rule[key] = "all" if value == "all" else _texts(value, at)
        elif key in ("yes", "no"):
            rule[key] = _texts(value, at)
        elif key in ("codes", "replace"):
            rule[key] = {code: _text(meaning, f"{at}.{code}") for code, meaning in _section(value, at).items()}
        elif key == "value":
            rule[key] = str(value) if isinstance(value, float) else _text(value, at)
        elif key != "lookup":
            rule[key] = _text(value, at)
    if ("yes" in rule) != ("no" in rule):
        raise SourceError(f"{label}: words for true and for false belong together: give both yes: [...] and no: [...]")
    if "default" in rule and "codes" not in rule and "lookup" not in given:
        raise SourceError(
            f"{label}.default: stands in for values that codes or lookup do not list; there are none here"
        )
    _check_format(rule.get("format", "%"), f"{label}.format")
    if "lookup" not in given:
        return rule, None
    lookup = _section(given["lookup"], f"{label}.lookup")
    check_keys(lookup, _LOOKUP_KEYS, f"{label}.lookup")
    for key in ("file", "key", "value"):
        if key not in lookup:
            raise SourceError(
                f"{label}.lookup: {key} is missing; a lookup is {{file: f.csv, key: code, value: meaning}}"
            )
    named = [_text(lookup[key], f"{label}.lookup.{key}") for key in ("file", "key", "value")]
    options = _read_options({**defaults, **{k: lookup[k] for k in READING if k in lookup}}, f"{label}.lookup")
    return rule, Lookup(named[0], named[1], named[2], options)


def _read_rule(given: Any, label: str) -> dict[str, Any]:
    rule = _section(given, label)
    check_keys(rule, {"column", "reason", "format", *RULES}, label)
    tests = [key for key in RULES if key in rule]
    if "column" not in rule or not tests:
        raise SourceError(f"{label}: {dict(rule)!r} needs a column and one of {', '.join(RULES)}")
    checked: dict[str, Any] = {"column": _text(rule["column"], label)}
    for key in tests:
        if key == "missing" and not isinstance(rule[key], bool):
            raise SourceError(f"{label}.missing: {rule[key]!r} must be true (only rows without a value) or false")
        if key in ("in", "not_in"):
            checked[key] = _texts(rule[key], f"{label}.{key}")
        else:
            checked[key] = rule[key] if key == "missing" else _text(rule[key], f"{label}.{key}")
    told = ", ".join(f"{key.replace('_', ' ')} {_say(checked[key])}" for key in tests)
    checked["reason"] = _text(rule.get("reason", f"{checked['column']} is not: {told}"), f"{label}.reason")
    if "format" in rule:
        checked["format"] = _text(rule["format"], f"{label}.format")
        _check_format(checked["format"], f"{label}.format")
    return checked


def _say(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _read_options(given: Mapping[str, Any], label: str) -> dict[str, Any]:
    options = {"format": "", "encoding": "utf-8", "delimiter": ",", "quote": '"', "escape": ""}
    options |= {"decimal": ".", "thousands": "", "zone": ""}
    options |= {key: _text(value, f"{label}: {key}") for key, value in given.items() if key != "missing"}
    if options["format"] and options["format"] not in _FORMATS:
        raise SourceError(f"{label}: format: {options['format']!r} must be one of {', '.join(_FORMATS)}")
    for key in ("delimiter", "quote", "escape", "decimal", "thousands"):
        options[key] = "\t" if options[key] in ("tab", "\\t") else options[key]
        if len(options[key]) > 1 or (key in ("delimiter", "decimal") and not options[key]):
            raise SourceError(f"{label}: {key}: {options[key]!r} must be one character")
    if options["decimal"] == options["thousands"]:
        raise SourceError(f"{label}: thousands: {options['thousands']!r} is the decimal mark too; they must differ")
    try:
        "".encode(options["encoding"])
    except LookupError:
        raise SourceError(
            f"{label}: encoding: {options['encoding']!r} is not an encoding, as utf-8, cp1251, utf-16"
        ) from None
    return options | {"missing": _texts(given.get("missing", []), f"{label}: missing")}


def _check_format(text: str, label: str) -> None:
    if "%" not in text:
        raise SourceError(f"{label}: {text!r} has no % sign; write the parts of a date as in %d.%m.%Y")


def _section(value: Any, label: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SourceError(f"{label}: {value!r} must be `key: value` pairs")
    return value


def _texts(value: Any, label: str) -> tuple[str, ...]:
    return tuple(_text(item, label) for item in value) if isinstance(value, list) else (_text(value, label),)


def _text(value: Any, label: str) -> str:
    """Return a value of YAML as the text it stands for; raises SourceError where the text is not certain."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise SourceError(f"{label}: {value!r} must be text; put it in quotes")
