"""Bad files made by hand: each with what must become of it, told beforehand."""

import gzip
import io
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pytest

from partnerseg.programme.mapping import SourceError
from partnerseg.programme.sources import open_programme
from tests.programme.sources_setup import PARTNER_SOURCE, SALES_SOURCE, make_params

HEADER = "id,partner,day,sum,cur,ret\n"
GOOD = "s1,p1,2025-03-01,10.50,EUR,false\n"
BASE = HEADER + GOOD
SALES, PARTNERS = SALES_SOURCE, PARTNER_SOURCE
COUNTS = ("used", "quarantined", "deduplicated", "out_of_scope")


@dataclass(frozen=True)
class Case:
    """One file: its bytes, the mapping, and what is expected of it.

    `counts` are used, quarantined, deduplicated, out_of_scope; `line` and `code` those of the first row set
    aside, or the code of the notice.
    """

    name: str
    content: bytes
    outcome: str  # error, quarantine, normalize, warn or clean
    told: str = ""
    counts: tuple[int, int, int, int] = (1, 0, 0, 0)
    code: str = ""
    line: int = 0
    source: dict[str, Any] = field(default_factory=lambda: SALES)
    others: dict[str, bytes] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def sales(rows: str, *, header: str = HEADER) -> bytes:
    return (header + rows).encode()


def with_columns(source: dict[str, Any] = SALES, *, drop: tuple[str, ...] = (), **columns: Any) -> dict[str, Any]:
    kept = {name: rule for name, rule in {**source["columns"], **columns}.items() if name not in drop}
    return {**source, "columns": kept}


def without_zone(**more: Any) -> dict[str, Any]:
    return {key: value for key, value in {**SALES, **more}.items() if key != "zone"} | more


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


CODES = with_columns(channel={"column": "ch", "codes": {"1": "web", "2": "shop"}})
CODES_DEFAULT = with_columns(channel={"column": "ch", "codes": {"1": "web"}, "default": "other"})
LOOKUP = with_columns(country={"column": "acc", "lookup": {"file": "acc.csv", "key": "a", "value": "c"}})
KYIV = SALES | {"zone": "Europe/Kyiv"}
JSONL = SALES | {"file": "sales.jsonl"}
LINE = '{"id": "s1", "partner": "p1", "day": "2025-03-01", "sum": 10.50, "cur": "EUR", "ret": false}\n'
FRAME = pd.DataFrame(
    {"id": [1.0, 2.0], "partner": "p1", "day": "2025-03-01", "sum": [1.0, 2.5], "cur": "EUR", "ret": [True, False]}
)

FEEDBACK = {
    "table": "feedback",
    "file": "sales.csv",
    "zone": "UTC",
    "columns": {name: name for name in ("feedback_id", "partner_id", "given_at", "kind", "given_by", "score")},
}
ANSWERS = "feedback_id,partner_id,given_at,kind,given_by,score\n"

CASES = [
    # The file as a whole
    Case("empty file", b"", "error", "sales.csv: is empty"),
    Case("header only", HEADER.encode(), "warn", "nothing has been checked", (0, 0, 0, 0), "no_rows"),
    Case("file missing", sales(GOOD), "error", "did you mean 'sales.csv'", source=SALES | {"file": "sale.csv"}),
    Case("no file fits", sales(GOOD), "error", "no file fits 'x-*.csv'", source=SALES | {"file": "x-*.csv"}),
    Case("unknown ending", sales(GOOD), "error", "write format:", source=SALES | {"file": "sales.xls"}),
    Case("wrong delimiter", sales(GOOD).replace(b",", b";"), "error", "is `delimiter` ';'?"),
    Case("renamed column", sales(GOOD, header=HEADER.replace("sum", "Sum.")), "error", "did you mean 'Sum.'"),
    Case("column twice", sales(GOOD, header=HEADER.replace("cur", "sum")), "error", "'sum' stands twice"),
    Case(
        "column twice but for space in Parquet",
        parquet(FRAME.assign(**{"id ": "x"})),
        "error",
        "'id' stands twice",
        source=SALES | {"file": "sales.parquet"},
    ),
    Case(
        "key twice but for space in JSON",
        LINE.replace('"id"', '"id ": "x", "id"').encode(),
        "error",
        "'id' stands twice",
        source=JSONL,
    ),
    Case(
        "cp1251 undeclared", sales("s1,Київ,2025-03-01,1,EUR,no\n").decode().encode("cp1251"), "error", "line 2: byte"
    ),
    Case("utf-16 undeclared", BASE.encode("utf-16"), "error", "write how the file is encoded"),
    Case("utf-16 declared", BASE.encode("utf-16"), "clean", source=SALES | {"encoding": "utf-16"}),
    Case("no such encoding", sales(GOOD), "error", "is not an encoding", source=SALES | {"encoding": "cp999x"}),
    Case("NUL byte", sales("s1,p1\0,2025-03-01,1,EUR,no\n"), "error", "line 2: has a NUL byte"),
    Case("quote never closed", sales('s1,"p1,2025-03-01,1,EUR,no\n' + GOOD), "error", "line 2: a field does not end"),
    Case(
        "truncated gz",
        gzip.compress(BASE.encode() * 50)[:-30],
        "error",
        "is it whole",
        source=SALES | {"file": "sales.csv.gz"},
    ),
    Case(
        "not gz at all", BASE.encode(), "error", "compressed as its name says", source=SALES | {"file": "sales.csv.gz"}
    ),
    Case("not Parquet", BASE.encode(), "error", "cannot be read as Parquet", source=SALES | {"file": "sales.parquet"}),
    Case("byte order mark", b"\xef\xbb\xbf" + BASE.encode(), "clean"),
    Case("Windows line ends and blank lines", BASE.replace("\n", "\r\n\r\n").encode(), "clean"),
    Case("no line end at the end", BASE.strip().encode(), "clean"),
    # The shape of a row
    Case(
        "a field too many",
        sales("s2,p1,2025-03-01,1,000,EUR,no\n" + GOOD),
        "quarantine",
        "7 fields where the header has 6",
        (1, 1, 0, 0),
        "malformed_row",
        2,
    ),
    Case(
        "a field too few",
        sales(GOOD + "s2,p1,2025-03-01\n"),
        "quarantine",
        "3 fields where the header has 6",
        (1, 1, 0, 0),
        "malformed_row",
        3,
    ),
    Case(
        "letters after a quote",
        sales(GOOD + 's2,"p1"x,2025-03-01,1,EUR,no\n'),
        "quarantine",
        "cannot be told into fields",
        (1, 1, 0, 0),
        "malformed_row",
        3,
    ),
    Case(
        "line counts what it spans",
        sales('s1,p1,2025-03-01,1,EUR,"no"\n\ns2,"p\n1",2025-03-01,1,EUR,no\ns3,p1,x,1,EUR,no\n'),
        "quarantine",
        "must be YYYY-MM-DD",
        (1, 2, 0, 0),
        "not_a_time",
        6,
    ),
    Case("most rows misshapen", sales("s2,p1\ns3,p1\n" + GOOD), "error", "2 of 3 rows cannot be told into columns"),
    Case(
        "JSON line broken",
        (LINE + '{"id": "s2", \n').encode(),
        "quarantine",
        "is not a JSON object",
        (1, 1, 0, 0),
        "malformed_row",
        2,
        JSONL,
    ),
    Case(
        "JSON line with half a surrogate pair",
        (LINE + LINE.replace("s1", "\\ud800")).encode(),
        "quarantine",
        "half of a surrogate pair",
        (1, 1, 0, 0),
        "malformed_row",
        2,
        JSONL,
    ),
    Case(
        "JSON line with a whole surrogate pair",
        LINE.replace("s1", "\\ud83d\\ude00").encode(),
        "clean",
        source=JSONL,
    ),
    Case(
        "JSON nested deeply",
        (LINE + LINE.replace('"p1"', "[" * 100_000 + "]" * 100_000)).encode(),
        "quarantine",
        "nested too deeply",
        (1, 1, 0, 0),
        "malformed_row",
        2,
        JSONL,
    ),
    Case("JSON without objects", b"[1]\n[2]\n", "error", "has no JSON object", source=JSONL),
    Case("JSON key renamed", LINE.replace("sum", "sums").encode(), "error", "did you mean 'sums'", source=JSONL),
    # Times
    Case("ambiguous date", sales("s1,p1,03/04/2025,1,EUR,no\n"), "error", "'03/04/2025' may be read in two ways"),
    Case("one ambiguous date among good ones", sales(GOOD * 3 + "s2,p1,3.4.25,1,EUR,no\n"), "error", "declare format"),
    Case(
        "time without zone",
        sales("s1,p1,2025-03-01 10:00,1,EUR,no\n"),
        "error",
        "names no time zone",
        source=without_zone(),
    ),
    Case(
        "time with offset needs none",
        sales("s1,p1,2025-03-01T10:00:00+02:00,1,EUR,no\n"),
        "clean",
        source=without_zone(),
    ),
    Case(
        "year zero",
        sales(GOOD + "s2,p1,0000-01-01,1,EUR,no\n"),
        "quarantine",
        "with a year of 1900 to 2200",
        (1, 1, 0, 0),
        "not_a_time",
        3,
    ),
    Case(
        "two digits of a year where four are declared",
        sales("s1,p1,03/04/2025,1,EUR,no\ns2,p1,03/04/25,1,EUR,no\n"),
        "quarantine",
        "must be a time as %d/%m/%Y, with a year of",
        (1, 1, 0, 0),
        "not_a_time",
        3,
        with_columns(sold_at={"column": "day", "format": "%d/%m/%Y"}),
    ),
    Case(
        "a year that is none does not slip out of scope",
        sales("s1,p1,03/04/2025,1,EUR,no\ns2,p1,03/04/25,1,EUR,no\n"),
        "quarantine",
        "must be a time as",
        (1, 1, 0, 0),
        "not_a_time",
        3,
        with_columns(sold_at={"column": "day", "format": "%d/%m/%Y"})
        | {"where": [{"column": "day", "from": "2025-01-01", "format": "%d/%m/%Y"}]},
    ),
    Case(
        "offset that no place has",
        sales(GOOD + "s2,p1,2025-03-01T10:00:00+99:00,1,EUR,no\ns3,p1,2025-03-01T10:00:00+14:00,1,EUR,no\n"),
        "quarantine",
        "must be YYYY-MM-DD",
        (2, 1, 0, 0),
        "not_a_time",
        3,
    ),
    Case(
        "offset that no place has in a format",
        sales(
            "s1,p1,(-1400) 2025-03-01 10:00,1,EUR,no\ns2,p1,(+1401) 2025-03-01 10:00,1,EUR,no\n"
            "s3,p1,(+05:30) 2025-03-01 10:00,1,EUR,no\n"
        ),
        "quarantine",
        "must be a time as",
        (2, 1, 0, 0),
        "not_a_time",
        3,
        with_columns(sold_at={"column": "day", "format": "(%z) %Y-%m-%d %H:%M"}),
    ),
    Case("no such zone", sales(GOOD), "error", "did you mean 'Europe/Kyiv'", source=SALES | {"zone": "Europe/Kiyv"}),
    Case(
        "30 February",
        sales(GOOD + "s2,p1,2025-02-30,1,EUR,no\n"),
        "quarantine",
        "must be YYYY-MM-DD",
        (1, 1, 0, 0),
        "not_a_time",
        3,
    ),
    Case(
        "month 13 of a format",
        sales("s1,p1,01.02.25,1,EUR,no\ns2,p1,01.13.25,1,EUR,no\n"),
        "quarantine",
        "must be a time as %d.%m.%y",
        (1, 1, 0, 0),
        "not_a_time",
        3,
        with_columns(sold_at={"column": "day", "format": "%d.%m.%y"}),
    ),
    Case(
        "clock jumps over it",
        sales(GOOD + "s2,p1,2025-03-30 03:30,1,EUR,no\n"),
        "quarantine",
        "the clock jumps",
        (1, 1, 0, 0),
        "no_such_time",
        3,
        KYIV,
    ),
    Case(
        "hour that repeats",
        sales("s1,p1,2025-10-26 03:30,1,EUR,no\n"),
        "normalize",
        "read as the second",
        code="repeated_hour",
        source=KYIV,
    ),
    Case(
        "format without parts",
        sales(GOOD),
        "error",
        "has no % sign",
        source=with_columns(sold_at={"column": "day", "format": "dd.mm"}),
    ),
    Case(
        "format that is none",
        sales(GOOD),
        "error",
        "is no date format",
        source=with_columns(sold_at={"column": "day", "format": "%Q"}),
    ),
    # Numbers, flags, choices
    Case(
        "decimal comma undeclared",
        sales(GOOD + 's2,p1,2025-03-01,"1,50",EUR,no\n'),
        "quarantine",
        "decimal mark '.'",
        (1, 1, 0, 0),
        "not_a_number",
        3,
    ),
    Case(
        "thousands undeclared",
        sales(GOOD + 's2,p1,2025-03-01,"1,500.00",EUR,no\n'),
        "quarantine",
        "see decimal and thousands",
        (1, 1, 0, 0),
        "not_a_number",
        3,
    ),
    Case(
        "thousands misplaced",
        sales('s1,p1,2025-03-01,"1.500,25",EUR,no\ns2,p1,2025-03-01,"15.00,25",EUR,no\n'),
        "quarantine",
        "thousands mark '.'",
        (1, 1, 0, 0),
        "not_a_number",
        3,
        SALES | {"decimal": ",", "thousands": "."},
    ),
    Case("one mark for both", sales(GOOD), "error", "is the decimal mark too", source=SALES | {"thousands": "."}),
    Case(
        "not finite",
        sales(GOOD + "s2,p1,2025-03-01,inf,EUR,no\ns3,p1,2025-03-01,1e999,EUR,no\n" + "s4,p1,2025-03-01,5,EUR,no\n"),
        "quarantine",
        "must be a number",
        (2, 2, 0, 0),
        "not_a_number",
        3,
    ),
    Case(
        "over its bound",
        sales("s1,p1,2025-03-01,1,EUR,no,1.5\ns2,p1,2025-03-01,1,EUR,no,1\n", header=HEADER.strip() + ",d\n"),
        "quarantine",
        "must be at most 1",
        (1, 1, 0, 0),
        "too_large",
        2,
        with_columns(discount="d"),
    ),
    Case(
        "score beyond the scale of its kind",
        sales(
            "f1,p1,2025-03-01,nps,partner,10\nf2,p1,2025-03-01,csat,partner,5\nf3,p1,2025-03-01,csat,partner,6\n"
            "f4,p1,2025-03-01,review,customer,9\nf5,p1,2025-03-01,review,customer,1\nf6,p1,2025-03-01,nps,partner,0\n"
            "f7,p1,2025-03-01,csat,partner,\n",
            header=ANSWERS,
        ),
        "quarantine",
        "must be 1 to 5 where kind is csat or review",
        (5, 2, 0, 0),
        "out_of_bounds",
        4,
        FEEDBACK,
    ),
    Case(
        "flag word unknown",
        sales(GOOD + "s2,p1,2025-03-01,1,EUR,perhaps\n"),
        "quarantine",
        "give other words with yes and no",
        (1, 1, 0, 0),
        "not_a_flag",
        3,
    ),
    Case(
        "no value where one must be",
        sales(GOOD + "s2,,2025-03-01,1,EUR,no\n"),
        "quarantine",
        "must have a value",
        (1, 1, 0, 0),
        "missing",
        3,
    ),
    Case(
        "code unknown",
        sales("s1,p1,2025-03-01,1,EUR,no,1\ns2,p1,2025-03-01,1,EUR,no,9\n", header=HEADER.strip() + ",ch\n"),
        "quarantine",
        "one of the codes",
        (1, 1, 0, 0),
        "no_code",
        3,
        CODES,
    ),
    Case(
        "code with default",
        sales("s1,p1,2025-03-01,1,EUR,no,9\n", header=HEADER.strip() + ",ch\n"),
        "normalize",
        "became 'other'",
        code="defaulted",
        source=CODES_DEFAULT,
    ),
    Case(
        "lookup with two meanings",
        sales("s1,p1,2025-03-01,1,EUR,no,A\n", header=HEADER.strip() + ",acc\n"),
        "error",
        "more than one c: 'A'",
        source=LOOKUP,
        others={"acc.csv": b"a,c\nA,Peru\nA,Chile\n"},
    ),
    Case(
        "lookup without the key",
        sales("s1,p1,2025-03-01,1,EUR,no,B\ns2,p1,2025-03-01,1,EUR,no,A\n", header=HEADER.strip() + ",acc\n"),
        "quarantine",
        "one of the codes",
        (1, 1, 0, 0),
        "no_code",
        2,
        LOOKUP,
        {"acc.csv": b"a,c\nA,Peru\n"},
    ),
    Case(
        "choice unknown",
        b"id,region,size\np1,north,large\np2,north,enormous\n",
        "quarantine",
        "one of micro, small",
        (1, 1, 0, 0),
        "not_a_choice",
        3,
        {
            "table": "partners",
            "file": "sales.csv",
            "columns": {"partner_id": "id", "region": "region", "company_size": "size"},
            "unknown": ["name", "partner_type", "industry", "country", "joined_at"],
        },
    ),
    Case(
        "choice in capitals",
        b"id,region,size\np1,north,Large\n",
        "normalize",
        "small letters",
        code="case",
        source={
            "table": "partners",
            "file": "sales.csv",
            "columns": {"partner_id": "id", "region": "region", "company_size": "size"},
            "unknown": ["name", "partner_type", "industry", "country", "joined_at"],
        },
    ),
    Case(
        "id over 2^53 in floating point",
        parquet(FRAME.assign(id=[2.0**53 + 2, 1])),
        "error",
        "has lost digits",
        source=SALES | {"file": "sales.parquet"},
    ),
    Case(
        "whole ids in floating point",
        parquet(FRAME),
        "clean",
        counts=(2, 0, 0, 0),
        source=SALES | {"file": "sales.parquet"},
    ),
    # Money
    Case("currency without rate", sales(GOOD + "s2,p1,2025-03-01,1,USD,no\n"), "error", "'USD' has no rate"),
    Case(
        "currency with rate",
        sales("s1,p1,2025-03-01,100,USD,no\n"),
        "normalize",
        "USD converted at 0.9",
        code="converted_USD",
        options={"rates": {"USD": 0.9}},
    ),
    Case("currency in small letters", sales("s1,p1,2025-03-01,100,eur,no\n"), "normalize", "in capitals", code="case"),
    Case(
        "return with positive amount",
        sales("s1,p1,2025-03-01,100,EUR,yes\n"),
        "warn",
        "of a return is negative",
        code="positive_return",
    ),
    # Keys
    Case("row repeated", sales(GOOD * 3), "normalize", counts=(1, 0, 2, 0)),
    Case(
        "one key, two contents",
        sales(GOOD + GOOD.replace("10.50", "11")),
        "quarantine",
        "rows with different content",
        (0, 2, 0, 0),
        "conflict",
        2,
    ),
    Case(
        "one key, the latest is kept",
        sales(
            "s1,p1,2025-03-01,1,EUR,no,2025-03-01\ns1,p1,2025-03-01,2,EUR,no,2025-03-02\n",
            header=HEADER.strip() + ",at\n",
        ),
        "normalize",
        "the latest row was kept",
        (1, 0, 1, 0),
        "superseded",
        source=SALES | {"keep": {"latest_by": "at"}},
    ),
    Case(
        "one key, two latest",
        sales(
            "s1,p1,2025-03-01,1,EUR,no,2025-03-02\ns1,p1,2025-03-01,2,EUR,no,2025-03-02\n",
            header=HEADER.strip() + ",at\n",
        ),
        "quarantine",
        "rows with different content",
        (0, 2, 0, 0),
        "conflict",
        2,
        SALES | {"keep": {"latest_by": "at"}},
    ),
    Case(
        "orphan",
        sales(GOOD + "s2,p9,2025-03-01,1,EUR,no\n"),
        "quarantine",
        "of the table partners",
        (1, 1, 0, 0),
        "orphan",
        3,
    ),
    Case("nobody's events", sales("s1,p_1,2025-03-01,1,EUR,no\n"), "error", "no row of sales.csv belongs to a partner"),
    Case(
        "ids keep zeros and NA",
        sales("001,0007,2025-03-01,1,EUR,no\n002,NA,2025-03-01,1,EUR,no\n"),
        "clean",
        counts=(2, 0, 0, 0),
    ),
    Case(
        "NA declared missing",
        sales(GOOD + "002,NA,2025-03-01,1,EUR,no\n"),
        "quarantine",
        "must have a value",
        (1, 1, 0, 0),
        "missing",
        3,
        SALES | {"missing": ["NA"]},
    ),
    # Text
    Case(
        "outer space", sales("s1, p1\u00a0,2025-03-01,1,EUR,no\n"), "normalize", "without outer space", code="trimmed"
    ),
    Case(
        "decomposed letters",
        b"id,region\np1,Ki\xd0\xb8\xcc\x86v\n",
        "normalize",
        "Unicode NFC",
        code="trimmed",
        source=PARTNERS | {"file": "sales.csv"},
    ),
    Case(
        "region without a file",
        b"id,region\np1,nort\n",
        "warn",
        "did you mean 'north'",
        code="unlisted_region",
        source=PARTNERS | {"file": "sales.csv"},
    ),
    Case(
        "region with the name of the whole programme",
        b"id,region\np1,north\np2,ALL\n",
        "quarantine",
        "stands for the whole programme",
        (1, 1, 0, 0),
        "reserved",
        3,
        PARTNERS | {"file": "sales.csv"},
    ),
    # Scope
    Case(
        "nothing in scope",
        sales(GOOD),
        "warn",
        "nothing has been checked",
        (0, 0, 0, 1),
        "no_rows",
        source=SALES | {"where": [{"column": "cur", "in": ["UAH"]}]},
    ),
    Case(
        "a day that is none",
        sales(GOOD),
        "error",
        "must be a day as YYYY-MM-DD",
        source=SALES | {"where": [{"column": "day", "from": "1.3.2025"}]},
    ),
    # The mapping
    Case("key misspelled", sales(GOOD), "error", "did you mean 'delimiter'", source=SALES | {"delimeter": ";"}),
    Case("table misspelled", sales(GOOD), "error", "did you mean 'sales'", source=SALES | {"table": "sale"}),
    Case("column misspelled", sales(GOOD), "error", "did you mean 'amount'", source=with_columns(amont="sum")),
    Case(
        "column left out",
        sales(GOOD),
        "error",
        "columns.is_return is missing",
        source=with_columns(drop=("is_return",)),
    ),
    Case(
        "indispensable column unknown",
        sales(GOOD),
        "error",
        "no row can do without is_return",
        source=with_columns(drop=("is_return",)) | {"unknown": ["is_return"]},
    ),
    Case(
        "two origins",
        sales(GOOD),
        "error",
        "needs exactly one of column, value",
        source=with_columns(currency={"column": "cur", "value": "EUR"}),
    ),
    Case("partners empty", b"id,region\n", "error", "no partner is left", source=PARTNERS | {"file": "sales.csv"}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_becomes_what_was_told(case, tmp_path):
    name = "sales.csv" if "*" in case.source["file"] or case.source["file"] == "sale.csv" else case.source["file"]
    sources = [case.source] if case.source["table"] == "partners" else [PARTNERS, case.source]
    params = make_params(tmp_path, {name: case.content, **case.others}, sources, **case.options)
    if case.outcome == "error":
        with pytest.raises(SourceError) as raised:
            open_programme(params)
        assert case.told in str(raised.value)
        assert "crm.yaml" in str(raised.value) or name in str(raised.value)
        assert not list(tmp_path.glob("processed/*"))
        return
    programme = open_programme(params)
    ledger = programme.ledger
    assert (ledger["rows_in"] == ledger[list(COUNTS)].sum(axis=1)).all()
    row = ledger[ledger["file"] == name].iloc[0]
    assert tuple(row[list(COUNTS)]) == case.counts
    assert len(programme.frame(row["table"])) == case.counts[0]
    assert len(programme.quarantine) == case.counts[1]
    if case.outcome == "quarantine":
        aside = programme.quarantine
        assert case.told in " ".join(aside["reason"])
        assert case.line in aside["line"].tolist() and set(aside["file"]) == {name}
        assert case.code in aside["code"].tolist()
    elif case.told:
        notices = programme.notices[programme.notices["code"] == case.code]
        assert case.told in " ".join(notices["message"])
        assert set(notices["kind"]) == {case.outcome}


def test_there_are_at_least_thirty_files_and_each_outcome_occurs():
    assert len(CASES) >= 30
    assert {case.outcome for case in CASES} == {"error", "quarantine", "normalize", "warn", "clean"}
