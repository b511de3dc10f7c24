"""Write the SQL that turns a column's text into its value, and tells what is wrong with it."""

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb

from partnerseg.programme.mapping import Source, SourceError, nearest
from partnerseg.programme.reading import TextTable, quote_text
from partnerseg.programme.tables import Column

_CLOCK = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}([.]\d{1,9})?)?"
_OFFSET = r"(Z|[+-](0\d|1[0-3])(:?[0-5]\d)?|[+-]14(:?00)?)"
_AWARE = rf"{_CLOCK} ?{_OFFSET}"
_NAIVE = rf"{_CLOCK}|\d{{4}}-\d{{2}}-\d{{2}}"
_AMBIGUOUS = r"\d{1,2}[./-]\d{1,2}[./-](\d{4}|\d{2})([ T,].*)?"
_YEARS = (1900, 2200)
_YES, _NO = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
_ISO = "YYYY-MM-DD, alone or with HH:MM[:SS] and maybe Z or +HH:MM"


@dataclass(frozen=True)
class Money:
    """The programme's currency and what one unit of each other one is worth in it."""

    currency: str
    rates: Mapping[str, float]


@dataclass(frozen=True)
class Conversion:
    """SQL expressions of one column of a table.

    Attributes:
        text: `... AS t_<column>`: what the source says.
        value: The value, NULL if there is none; stands in the next query as `v_<column>`.
        error: Code of what is wrong with a value, NULL if nothing is.
        rules: The rule in words of each code.
        notes: What was normalized: for each code the condition and a message.
        join: Join with the code table in a file, or empty.
    """

    text: str
    value: str
    error: str
    rules: Mapping[str, str]
    notes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    join: str = ""


def convert_columns(
    connection: duckdb.DuckDBPyConnection, source: Source, text: TextTable, *, lookups: Mapping[str, str], money: Money
) -> dict[str, Conversion]:
    """Return the conversion of each mapped column, and that of `_latest` when the source keeps the latest rows.

    Args:
        connection: Tells which time zones and formats exist.
        source: The mapping entry.
        text: The file as text.
        lookups: For each column with a lookup the name of its (key, value) table.
        money: Currency and rates.

    Raises:
        SourceError: A column of the file is missing, or a zone or format does not exist.
    """
    for name, key in source.used_columns().items():
        text.column(name, f"{source.label}: {key}")
    conversions = {}
    for column in source.table.columns:
        if column.name not in source.columns:
            continue
        rule, name = source.columns[column.name], column.name
        told = _select_text(rule, text)
        if column.kind == "time":
            conversions[name] = _convert_time(connection, column, told, rule, source, f"columns.{name}")
        elif column.kind == "number":
            conversions[name] = _convert_number(column, told, rule, source, text, money)
        elif column.kind == "flag":
            conversions[name] = _convert_flag(column, told, rule)
        else:
            conversions[name] = _convert_text(column, told, rule, lookups.get(name, ""), money)
    if source.keep:
        told, moment = text.columns[source.keep["latest_by"]], Column("_latest", "time")
        conversions["_latest"] = _convert_time(connection, moment, told, source.keep, source, "keep")
    return conversions


def limit_scope(connection: duckdb.DuckDBPyConnection, source: Source, text: TextTable) -> str:
    """Return SQL of the position in `where` of the first rule that a row does not pass, NULL for rows in scope."""
    cases = []
    for number, rule in enumerate(source.where):
        column = text.columns[rule["column"]]
        tests = []
        if "in" in rule:
            tests.append(f"coalesce({column} IN ({_list_texts(rule['in'])}), false)")
        if "not_in" in rule:
            tests.append(f"coalesce({column} NOT IN ({_list_texts(rule['not_in'])}), true)")
        if "missing" in rule:
            tests.append(f"{column} IS {'' if rule['missing'] else 'NOT '}NULL")
        if "starts_with" in rule:
            tests.append(f"coalesce(starts_with({column}, {quote_text(rule['starts_with'])}), false)")
        _check_format(connection, rule, f"{source.label}: where: format")
        local, aware, _ = _parse_time(column, rule.get("format", ""))
        for key, sign in (("from", ">="), ("until", "<=")):
            if key in rule:
                day = _check_day(rule[key], f"{source.label}: where: {key}")
                date = f"CAST(coalesce({local}, timezone('UTC', {aware})) AS DATE)"
                tests.append(f"coalesce({date} {sign} DATE '{day}', true)")
        cases.append(f"WHEN NOT ({' AND '.join(tests)}) THEN {number}")
    return f"CASE {' '.join(cases)} END" if cases else "NULL::INTEGER"


def _check_day(day: str, label: str) -> str:
    try:
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", day):
            return dt.date.fromisoformat(day).isoformat()
    except ValueError:
        pass
    raise SourceError(f"{label}: {day!r} must be a day as YYYY-MM-DD")


def _select_text(rule: Mapping[str, Any], text: TextTable) -> str:
    """SQL of the text that a rule takes from a row, NULL when there is none."""
    if "value" in rule:
        return quote_text(rule["value"]) if rule["value"] else "NULL::VARCHAR"
    if "column" in rule:
        return text.columns[rule["column"]]
    parts = rule.get("product") or rule["join"]
    if parts == "all":
        told = ", ".join(f"coalesce({column}, '')" for column in text.columns.values())
        return f"md5(concat_ws(chr(31), {told}))"
    names = [text.columns[part] for part in parts if isinstance(part, str)]
    if "product" in rule:
        return (
            f"CASE WHEN {' AND '.join(f'{n} IS NOT NULL' for n in names)} THEN concat_ws(' x ', {', '.join(names)}) END"
        )
    marked = ", ".join(rf"replace(replace(coalesce({n}, ''), '\', '\\'), '|', '\|')" for n in names)
    return f"CASE WHEN coalesce({', '.join(names)}) IS NOT NULL THEN concat_ws('|', {marked}) END"


def _convert_text(column: Column, told: str, rule: Mapping[str, Any], lookup: str, money: Money) -> Conversion:
    held = f"t_{column.name}"
    rules = {"missing": "must have a value"}
    notes: dict[str, tuple[str, str]] = {}
    value, join, looked_up = held, "", ""
    if lookup:
        join = f"LEFT JOIN {lookup} l_{column.name} ON l_{column.name}.key = {told}"
        looked_up = f", l_{column.name}.value AS k_{column.name}, l_{column.name}.key IS NOT NULL AS f_{column.name}"
        value = f"k_{column.name}"
    if "replace" in rule:
        value = f"CASE {value} {_list_cases(rule['replace'])} ELSE {value} END"
    unlisted = f"NOT f_{column.name}" if lookup else "false"
    if "codes" in rule:
        unlisted = f"({unlisted} OR ({value}) NOT IN ({_list_texts(rule['codes'])}))"
        value = f"CASE {value} {_list_cases(rule['codes'])} END"
    unlisted = f"{held} IS NOT NULL AND {unlisted}"
    error = "NULL"
    if "default" in rule:
        value = f"CASE WHEN {unlisted} THEN {quote_text(rule['default'])} ELSE {value} END"
        notes["defaulted"] = (unlisted, f"values without a code became {rule['default']!r}")
    elif lookup or "codes" in rule:
        rules["no_code"] = "must be one of the codes in the mapping; add it there, or a default"
        error = f"CASE WHEN {unlisted} THEN 'no_code' END"
    if column.choices:
        listed = _list_texts(column.choices)
        value = f"CASE WHEN lower({value}) IN ({listed}) THEN lower({value}) ELSE {value} END"
        notes["case"] = (f"v_{column.name} <> {held} AND v_{column.name} = lower({held})", "written in small letters")
        rules["not_a_choice"] = f"must be one of {', '.join(column.choices)}; correct it or map it with codes"
        error = f"coalesce({error}, CASE WHEN v_{column.name} NOT IN ({listed}) THEN 'not_a_choice' END)"
    if column.reserved:
        listed = _list_texts(column.reserved)
        rules["reserved"] = "stands for the whole programme; leave the field empty or give another code, as by replace"
        error = f"coalesce({error}, CASE WHEN lower(v_{column.name}) IN ({listed}) THEN 'reserved' END)"
    if column.name == "currency":
        value = f"upper({value})"
        notes["case"] = (f"v_currency <> {held} AND v_currency = upper({held})", "written in capitals")
        notes |= {
            f"converted_{code}": (f"v_currency = {quote_text(code)}", f"amounts in {code} converted at {rate:g}")
            for code, rate in money.rates.items()
            if code != money.currency
        }
        rules["no_rate"] = (
            f"has no rate; amounts are told in {money.currency}: write what one unit is worth in it under "
            "programme.rates in programme.yaml"
        )
        known = _list_texts((money.currency, *money.rates))
        error = f"coalesce({error}, CASE WHEN v_currency NOT IN ({known}) THEN 'no_rate' END)"
    if not column.nullable:
        error = f"CASE WHEN v_{column.name} IS NULL AND ({error}) IS NULL THEN 'missing' ELSE {error} END"
    return Conversion(f"{told} AS {held}{looked_up}", value, error, rules, notes, join)


def _list_texts(values: Iterable[str]) -> str:
    return ", ".join(map(quote_text, values))


def _list_cases(meanings: Mapping[str, str]) -> str:
    return " ".join(f"WHEN {quote_text(old)} THEN {quote_text(new)}" for old, new in meanings.items())


def _convert_number(
    column: Column, told: str, rule: Mapping[str, Any], source: Source, text: TextTable, money: Money
) -> Conversion:
    held, value = f"t_{column.name}", f"v_{column.name}"
    decimal = rule.get("decimal", source.options["decimal"])
    thousands = rule.get("thousands", source.options["thousands"])
    if "product" in rule:
        factors = [
            _parse_number(text.columns[part], decimal, thousands) if isinstance(part, str) else f"({part})::DOUBLE"
            for part in rule["product"]
        ]
        number = " * ".join(factors)
    else:
        number = _parse_number(held, decimal, thousands)
    marks = f"decimal mark {decimal!r}" + (f" and thousands mark {thousands!r}" if thousands else "")
    rules = {
        "missing": "must have a value",
        "not_a_number": f"must be a number with {marks}; see decimal and thousands",
    }
    error = f"CASE WHEN {held} IS NULL THEN {_missing(column)}"
    error += f" WHEN {value} IS NULL OR NOT isfinite({value}) THEN 'not_a_number'"
    for limit, sign, words, code in (
        (column.lower, "<", "at least", "too_small"),
        (column.upper, ">", "at most", "too_large"),
    ):
        if limit is not None:
            rules[code] = f"must be {words} {limit:g}"
            error += f" WHEN {value} {sign} {limit} THEN '{code}'"
    for kinds, lower, upper in column.bounds_by_kind:
        rules["out_of_bounds"] = f"must be {lower:g} to {upper:g} where kind is {' or '.join(kinds)}"
        error += f" WHEN v_kind IN ({_list_texts(kinds)}) AND {value} NOT BETWEEN {lower} AND {upper}"
        error += " THEN 'out_of_bounds'"
    if column.name == "amount":
        worth = " ".join(
            f"WHEN {quote_text(code)} THEN {rate!r}" for code, rate in money.rates.items() if code != money.currency
        )
        number = f"({number}) * CASE v_currency {worth} ELSE 1 END" if worth else number
    return Conversion(f"{told} AS {held}", number, f"{error} END", rules)


def _parse_number(text: str, decimal: str, thousands: str) -> str:
    mark = re.escape(decimal)
    whole = r"\d+"
    plain = text
    if thousands:
        kinds = "[ \u00a0\u202f]" if thousands == " " else re.escape(thousands)
        whole = rf"(\d+|\d{{1,3}}({kinds}\d{{3}})+)"
        plain = f"regexp_replace({plain}, {quote_text(kinds)}, '', 'g')"
    pattern = rf"[+-]?({whole}({mark}\d*)?|{mark}\d+)([eE][+-]?\d+)?"
    plain = plain if decimal == "." else f"replace({plain}, {quote_text(decimal)}, '.')"
    return f"CASE WHEN regexp_full_match({text}, {quote_text(pattern)}) THEN TRY_CAST({plain} AS DOUBLE) END"


def _convert_flag(column: Column, told: str, rule: Mapping[str, Any]) -> Conversion:
    held, value = f"t_{column.name}", f"v_{column.name}"
    if "starts_with" in rule:
        flag = f"starts_with({held}, {quote_text(rule['starts_with'])})"
        rules = {"missing": "must have a value"}
    else:
        yes, no = rule.get("yes", _YES), rule.get("no", _NO)
        listed = [", ".join(quote_text(word.lower()) for word in words) for words in (yes, no)]
        flag = f"CASE WHEN lower({held}) IN ({listed[0]}) THEN true WHEN lower({held}) IN ({listed[1]}) THEN false END"
        rules = {
            "missing": "must have a value",
            "not_a_flag": f"must be one of {', '.join(yes)} or {', '.join(no)}; give other words with yes and no",
        }
    error = f"CASE WHEN {held} IS NULL THEN {_missing(column)} WHEN {value} IS NULL THEN 'not_a_flag' END"
    return Conversion(f"{told} AS {held}", flag, error, rules)


def _convert_time(
    connection: duckdb.DuckDBPyConnection, column: Column, told: str, rule: Mapping[str, Any], source: Source, at: str
) -> Conversion:
    held, value = f"t_{column.name}", f"v_{column.name}"
    form, zone = rule.get("format", ""), rule.get("zone", source.options["zone"])
    _check_format(connection, rule, f"{source.label}: {at}.format")
    if zone:
        _check_zone(connection, zone, f"{source.label}: {at}: zone")
    local, aware, has_clock = _parse_time(held, form)
    utc = f"timezone('UTC', {aware})"
    naive = "NULL::TIMESTAMP"
    if zone:
        naive = local if zone == "UTC" else f"timezone('UTC', timezone({quote_text(zone)}, {local}))"
    first, last = _YEARS
    years = f"with a year of {first} to {last}"
    rules = {
        "missing": "must have a value",
        "not_a_time": f"must be a time as {form}, {years}; see format"
        if form
        else f"must be {_ISO}, {years}; declare another format in the mapping",
        "ambiguous_date": "may be read in two ways; declare format in the mapping, as %d/%m/%Y or %m/%d/%Y",
        "no_zone": "names no time zone; declare zone in the mapping, as UTC or Europe/Kyiv",
        "no_such_time": f"does not exist in {zone}: the clock jumps over it",
    }
    error = f"CASE WHEN {held} IS NULL THEN {_missing(column)}"
    if not zone:
        error += f" WHEN {local} IS NOT NULL THEN 'no_zone'"
    if not form:
        error += f" WHEN {value} IS NULL AND regexp_full_match({held}, {quote_text(_AMBIGUOUS)}) THEN 'ambiguous_date'"
    error += f" WHEN {value} IS NULL THEN 'not_a_time'"
    notes = {}
    if zone and zone != "UTC":
        back = f"timezone({quote_text(zone)}, timezone('UTC', {value}))"
        earlier = f"timezone({quote_text(zone)}, timezone('UTC', {value} - INTERVAL 1 HOUR))"
        error += f" WHEN {has_clock} AND {back} <> {local} THEN 'no_such_time'"
        notes["repeated_hour"] = (
            f"{has_clock} AND {earlier} = {local}",
            f"times in the hour that {zone} repeats; read as the second",
        )
    return Conversion(f"{told} AS {held}", f"coalesce({utc}, {naive})", f"{error} END", rules, notes)


def _parse_time(text: str, form: str) -> tuple[str, str, str]:
    """SQL of a text as local time, as time with a zone (each NULL if it is not one), and whether it has a clock.

    A year that is not within `_YEARS` makes it no time: `%Y` reads 25 as the year 25.
    """
    if form:
        parsed = f"try_strptime({text}, {quote_text(form)})"
        clock = "true" if re.search("%[HIMXcT]", form) else "false"
        if "%z" not in form.lower():
            return _limit_years(parsed), "NULL::TIMESTAMPTZ", clock
        _, mark, rest = form.partition("%z")
        if mark:
            ending = quote_text(_OFFSET + re.sub("%-?[A-Za-z]", ".*", re.escape(rest).replace("\\-", "-")) + "$")
            parsed = f"CASE WHEN regexp_matches({text}, {ending}) THEN {parsed} END"
        return "NULL::TIMESTAMP", _limit_years(parsed), clock
    local = f"CASE WHEN regexp_full_match({text}, {quote_text(_NAIVE)}) THEN TRY_CAST({text} AS TIMESTAMP) END"
    aware = f"CASE WHEN regexp_full_match({text}, {quote_text(_AWARE)}) THEN TRY_CAST({text} AS TIMESTAMPTZ) END"
    return _limit_years(local), _limit_years(aware), f"contains({text}, ':')"


def _limit_years(time: str) -> str:
    return f"CASE WHEN year({time}) BETWEEN {_YEARS[0]} AND {_YEARS[1]} THEN {time} END"


def _check_format(connection: duckdb.DuckDBPyConnection, rule: Mapping[str, Any], label: str) -> None:
    try:
        connection.execute(f"SELECT try_strptime('', {quote_text(rule.get('format', '%d'))})")
    except duckdb.Error:
        raise SourceError(
            f"{label}: {rule['format']!r} is no date format; write the parts of a date as in %d.%m.%Y"
        ) from None


def _check_zone(connection: duckdb.DuckDBPyConnection, zone: str, label: str) -> None:
    names = [row[0] for row in connection.execute("SELECT name FROM pg_timezone_names()").fetchall()]
    if zone not in names:
        raise SourceError(f"{label}: {zone!r} is not a time zone, as Europe/Kyiv or UTC{nearest(zone, names)}")


def _missing(column: Column) -> str:
    return "NULL" if column.nullable else "'missing'"
