import csv
import gzip
import json
import os
import unicodedata

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partnerseg.programme import sources as sources_module
from partnerseg.programme.mapping import SourceError, read_mapping
from partnerseg.programme.sources import Programme, as_connection, as_frames, open_programme
from partnerseg.programme.tables import TABLES
from tests.programme.sources_setup import PARTNER_SOURCE, SALES_SOURCE, make_params

HEADER = "id,partner,day,sum,cur,ret\n"
GOOD_SALE = "good,p1,2025-03-01,1,EUR,no\n"


def open_sales(home, rows, *, source=SALES_SOURCE, header=HEADER, files=None, encoding="utf-8", **options):
    content = (header + rows).encode(encoding)
    return open_programme(
        make_params(home, {"sales.csv": content, **(files or {})}, [PARTNER_SOURCE, source], **options)
    )


def with_columns(**columns):
    return {**SALES_SOURCE, "columns": {**SALES_SOURCE["columns"], **columns}}


def test_all_tables_are_there_with_the_kinds_of_the_schema(tmp_path):
    programme = open_sales(tmp_path, "s1,p1,2025-03-01T22:30:00-02:00,10.5,EUR,false\n")
    kinds = {"text": "str", "time": "datetime64[us]", "number": "float64", "flag": "boolean"}
    for name, table in TABLES.items():
        frame = programme.frame(name)
        assert {column.name: kinds[column.kind] for column in table.columns} == frame.dtypes.astype(str).to_dict()
    (sale,) = programme.frame("sales").to_dict("records")
    assert sale["sold_at"] == pd.Timestamp("2025-03-02 00:30") and sale["amount"] == 10.5 and sale["is_return"] is False
    assert pd.isna(sale["product"])
    connection = programme.connect()
    assert [connection.table(name).count().execute() for name in ("partners", "sales", "costs")] == [4, 1, 0]
    assert connection.table("sales").amount.sum().execute() == 10.5
    with pytest.raises(KeyError, match="did you mean 'sales'"):
        programme.frame("sale")


def test_unknown_and_freshness_tell_what_is_not_there(tmp_path):
    programme = open_sales(tmp_path, "s1,p1,2025-03-01,1,EUR,no\ns2,p2,2025-06-01,1,EUR,no\n")
    assert programme.unknown["sales"] == [
        "customer_id", "country", "product", "channel", "discount", "joint_partner_id", "arrived_at",
    ]  # fmt: skip
    assert "industry" in programme.unknown["partners"] and "region" not in programme.unknown["partners"]
    assert programme.unknown["tickets"] == [column.name for column in TABLES["tickets"].columns]
    fresh = programme.freshness.set_index("table")
    assert fresh.loc["sales", ["rows", "first", "last"]].tolist() == [
        2,
        pd.Timestamp("2025-03-01"),
        pd.Timestamp("2025-06-01"),
    ]
    assert fresh.loc["tickets", "rows"] == 0 and pd.isna(fresh.loc["tickets", "last"])


def test_one_bad_value_in_a_hundred_is_set_aside_and_two_stop_the_run(tmp_path):
    rows = [f"s{i},p1,2025-03-01,{i},EUR,no\n" for i in range(100)]
    rows[40] = "s40,p1,2025-03-01,forty,EUR,no\n"
    programme = open_sales(tmp_path / "one", "".join(rows), max_bad_share=0.01)
    (aside,) = programme.quarantine.to_dict("records")
    assert (aside["file"], aside["line"], aside["column"], aside["value"]) == ("sales.csv", 42, "amount", "forty")
    assert json.loads(aside["content"])["id"] == "s40"
    rows[99] = "s99,p1,2025-03-01,ninety,EUR,no\n"
    with pytest.raises(SourceError) as raised:
        open_sales(tmp_path / "two", "".join(rows), max_bad_share=0.01)
    told = str(raised.value)
    for part in (
        "columns.amount",
        "2 of 100",
        "quality.max_bad_share",
        "sales.csv, line 42: 'forty'",
        "line 101: 'ninety'",
    ):
        assert part in told


def test_the_share_of_bad_values_is_taken_over_the_rows_with_a_value(tmp_path):
    rows = "".join(f"s{i},p1,2025-03-01,1,EUR,no,{'much' if i < 2 else ''}\n" for i in range(200))
    with pytest.raises(SourceError, match=r"columns\.discount: 2 of 2 values are bad"):
        open_sales(
            tmp_path, rows, source=with_columns(discount="d"), header=HEADER.strip() + ",d\n", max_bad_share=0.01
        )


def test_many_rows_set_aside_for_whatever_reason_are_a_warning(tmp_path):
    rows = "good,p1,2025-03-01,1,EUR,no\n" + "".join(f"s{i},p9,2025-03-01,1,EUR,no\n" for i in range(3))
    (warning,) = open_sales(tmp_path, rows, max_bad_share=0.01).notices.query("kind == 'warn'").to_dict("records")
    assert (warning["code"], warning["table"], warning["file"], warning["rows"]) == (
        "many_set_aside",
        "sales",
        "sales.csv",
        3,
    )
    assert "3 of 4 rows (75.0%)" in warning["message"]


def open_consents(home, rows, **more):
    source = {"table": "consents", "file": "said.csv", "zone": "UTC"} | more
    source["columns"] = {name: name for name in ("partner_id", "purpose", "granted", "changed_at", "arrived_at")}
    files = {"said.csv": ("partner_id,purpose,granted,changed_at,arrived_at,at\n" + rows).encode()}
    return open_programme(make_params(home, files, [PARTNER_SOURCE, source]))


@pytest.mark.parametrize("turned", [False, True])
def test_of_a_grant_and_a_withdrawal_at_one_moment_the_withdrawal_is_used(turned, tmp_path):
    rows = [
        "p1,marketing,yes,2026-01-05,,\n",
        "p1,marketing,no,2026-01-05,2026-01-07,\n",
        "p1,marketing,no,2026-01-05,2026-01-06,\n",
        "p2,marketing,yes,2026-01-05,,\n",
    ]
    programme = open_consents(tmp_path, "".join(reversed(rows) if turned else rows))
    found = programme.frame("consents")
    assert found[["partner_id", "granted"]].to_numpy().tolist() == [["p1", False], ["p2", True]]
    assert found.loc[0, "arrived_at"] == pd.Timestamp("2026-01-06")  # the refusal that was known first
    row = programme.ledger.set_index("table").loc["consents"]
    assert row[["rows_in", "used", "quarantined", "deduplicated"]].tolist() == [4, 2, 0, 2]
    (notice,) = programme.notices.query("code == 'superseded'").to_dict("records")
    assert notice["rows"] == 1 and "the refusal was kept" in notice["message"]


def test_a_later_correction_of_a_consent_is_kept_where_the_mapping_says_so(tmp_path):
    rows = "p1,marketing,no,2026-01-05,,2026-01-05\np1,marketing,yes,2026-01-05,,2026-01-06\n"
    programme = open_consents(tmp_path, rows, keep={"latest_by": "at"})
    assert programme.frame("consents")["granted"].tolist() == [True]


@pytest.mark.parametrize("row", ["p2,marketing,perhaps,2026-01-05,,\n", "p2,marketing\n"])
def test_a_consent_that_cannot_be_read_stops_the_run(row, tmp_path):
    with pytest.raises(SourceError, match="it may be a withdrawal"):
        open_consents(tmp_path, "p1,marketing,yes,2026-01-05,,\n" * 9 + row)


def open_costs(home, header, rows, *, columns=()):
    names = ("spent_at", "region", "kind", "amount", "currency", *columns)
    source = {"table": "costs", "file": "costs.csv", "zone": "UTC", "columns": {name: name for name in names}}
    files = {"costs.csv": (header + rows).encode()}
    return open_programme(make_params(home, files, [PARTNER_SOURCE, source], rates={"USD": 0.5}))


def test_costs_of_one_day_and_kind_are_all_counted(tmp_path):
    rows = "2026-01-05,north,marketing,500,EUR\n2026-01-05,north,marketing,900,EUR\n" * 2
    programme = open_costs(tmp_path, "spent_at,region,kind,amount,currency\n", rows)
    assert programme.frame("costs")["amount"].tolist() == [500, 500, 900, 900]
    row = programme.ledger.set_index("table").loc["costs"]
    assert row[["rows_in", "used", "amount_in", "amount_used"]].tolist() == [4, 4, 2800, 2800]


def test_costs_with_an_id_are_told_apart_by_it(tmp_path):
    rows = (
        "c1,2026-01-05,north,marketing,500,EUR\nc1,2026-01-05,north,marketing,500,EUR\n"
        "c2,2026-01-05,north,marketing,500,EUR\nc3,2026-01-05,,support,1,EUR\nc3,2026-01-05,,support,2,EUR\n"
        ",2026-01-05,,support,4,EUR\n,2026-01-05,,support,4,EUR\n"
    )
    programme = open_costs(tmp_path, "cost_id,spent_at,region,kind,amount,currency\n", rows, columns=["cost_id"])
    row = programme.ledger.set_index("table").loc["costs"]
    assert row[["rows_in", "used", "quarantined", "deduplicated"]].tolist() == [7, 4, 2, 1]
    assert programme.frame("costs")["amount"].sum() == 500 + 500 + 4 + 4


def test_equal_worth_in_two_currencies_is_not_the_same_content(tmp_path):
    programme = open_sales(
        tmp_path, "s1,p1,2025-03-01,10,USD,no\ns1,p1,2025-03-01,5,EUR,no\n" + GOOD_SALE, rates={"USD": 0.5}
    )
    assert programme.quarantine["code"].tolist() == ["conflict", "conflict"]
    assert programme.frame("sales")["sale_id"].tolist() == ["good"]


def test_columns_that_differ_in_case_only_stay_apart_in_the_content_set_aside(tmp_path):
    header = "id,partner,day,sum,cur,ret,ID\n"
    rows = "s1,p1,2025-03-01,1,EUR,no,first\ns2,p1,2025-03-01,x,EUR,no,second\n"
    (aside,) = open_sales(tmp_path / "csv", rows, header=header).quarantine.to_dict("records")
    told = {"id": "s2", "partner": "p1", "day": "2025-03-01", "sum": "x", "cur": "EUR", "ret": "no", "ID": "second"}
    assert json.loads(aside["content"]) == told
    lines = json.dumps({**told, "id": "s1", "sum": "1"}) + "\n" + json.dumps(told) + "\n"
    params = make_params(
        tmp_path / "json", {"sales.jsonl": lines.encode()}, [PARTNER_SOURCE, SALES_SOURCE | {"file": "sales.jsonl"}]
    )
    (aside,) = open_programme(params).quarantine.to_dict("records")
    assert json.loads(aside["content"]) == told


def test_a_control_character_is_a_value(tmp_path):
    rows = "s1,p1,2025-03-01,1,EUR,no,\x01\n"
    programme = open_sales(tmp_path, rows, source=with_columns(product="note"), header=HEADER.strip() + ",note\n")
    assert programme.frame("sales")["product"].tolist() == ["\x01"]


def test_the_error_names_the_conflict_that_took_the_partners(tmp_path):
    files = {"partners.csv": b"id,region\np1,north\np1,south\n"}
    with pytest.raises(SourceError, match="no partner is left") as raised:
        open_sales(tmp_path / "all", "s1,p1,2025-03-01,1,EUR,no\n", files=files)
    assert "partners.csv, line 2: 'p1' stands in rows with different content" in str(raised.value)
    files = {"partners.csv": b"id,region\np1,north\np1,south\np2,north\n"}
    with pytest.raises(SourceError, match=r"no row of sales\.csv belongs to a partner") as raised:
        open_sales(tmp_path / "one", "s1,p1,2025-03-01,1,EUR,no\n", files=files)
    assert "partners.csv, line 2: 'p1' stands in rows with different content" in str(raised.value)


def test_an_error_shows_the_first_three_places_only(tmp_path):
    rows = "".join(f"s{i},p1,2025-03-01,n{i},EUR,no\n" for i in range(5))
    with pytest.raises(SourceError) as raised:
        open_sales(tmp_path, rows)
    assert "line 4: 'n2'" in str(raised.value) and "n3" not in str(raised.value)


@pytest.mark.parametrize("encoding", ["cp1251", "utf-16", "utf-8", "koi8-u"])
def test_encoding_and_dialect_are_as_declared(tmp_path, encoding):
    text = "Ід|Партнер|День|Сума|Повернення\n'а|б'|p1|31.12.2024|1 234 567,50|ні\nв|0007|01.01.2025|-0,5|так\n"
    source = {
        "table": "sales",
        "file": "sales.csv",
        "encoding": encoding,
        "delimiter": "|",
        "quote": "'",
        "decimal": ",",
        "thousands": " ",
        "columns": {
            "sale_id": "Ід",
            "partner_id": "Партнер",
            "sold_at": {"column": "День", "format": "%d.%m.%Y", "zone": "Europe/Kyiv"},
            "amount": "Сума",
            "currency": {"value": "EUR"},
            "is_return": {"column": "Повернення", "yes": ["так"], "no": ["ні"]},
        },
    }
    programme = open_sales(tmp_path, "", header=text, source=source, encoding=encoding)
    frame = programme.frame("sales")
    assert frame["sale_id"].tolist() == ["а|б", "в"]
    assert frame["amount"].tolist() == [1234567.5, -0.5]
    assert frame["is_return"].tolist() == [False, True]
    assert frame["sold_at"].tolist() == [pd.Timestamp("2024-12-30 22:00"), pd.Timestamp("2024-12-31 22:00")]


def test_the_same_rows_come_out_of_every_kind_of_file(tmp_path):
    rows = [
        ("s1", "p1", "2025-03-01T10:00:00Z", "10.25", "EUR", "false"),
        ("s2", "0007", "2025-03-02T00:00:00Z", "-3", "EUR", "true"),
    ]
    names = HEADER.strip().split(",")
    text = HEADER + "".join(",".join(row) + "\n" for row in rows)
    frame = pd.DataFrame(rows, columns=names)
    (tmp_path / "made").mkdir()
    frame.assign(
        day=pd.to_datetime(frame["day"]), sum=frame["sum"].astype(float), ret=frame["ret"] == "true"
    ).to_parquet(tmp_path / "made" / "sales.parquet")
    lines = "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)
    contents = {
        "sales.csv": text.encode(),
        "sales.csv.gz": gzip.compress(text.encode()),
        "sales.tsv": text.replace(",", "\t").encode(),
        "sales.jsonl": lines.encode(),
        "sales.jsonl.gz": gzip.compress(lines.encode()),
        "sales.parquet": (tmp_path / "made" / "sales.parquet").read_bytes(),
    }
    found = []
    for name, content in contents.items():
        params = make_params(tmp_path / name, {name: content}, [PARTNER_SOURCE, SALES_SOURCE | {"file": name}])
        found.append(open_programme(params).frame("sales"))
    for other in found[1:]:
        pd.testing.assert_frame_equal(found[0], other)
    assert found[0]["partner_id"].tolist() == ["p1", "0007"]


def test_several_files_and_several_sources_fill_one_table(tmp_path):
    files = {
        "2024-1.csv": "s1,p1,2024-03-01,1,EUR,no\n",
        "2024-2.csv": "s2,p1,2024-04-01,2,EUR,no\ns1,p1,2024-03-01,1,EUR,no\n",
    }
    files = {name: (HEADER + rows).encode() for name, rows in files.items()}
    many = SALES_SOURCE | {"file": "2024-*.csv"}
    other = SALES_SOURCE | {
        "file": ["old/a.csv"],
        "columns": {**SALES_SOURCE["columns"], "sale_id": {"join": ["id", "day"]}},
    }
    files["old/a.csv"] = (HEADER + "s1,p2,2023-01-01,4,EUR,no\n").encode()
    programme = open_programme(make_params(tmp_path, files, [PARTNER_SOURCE, many, other]))
    assert programme.frame("sales")["sale_id"].tolist() == ["s1", "s1|2023-01-01", "s2"]
    ledger = programme.ledger.set_index("file")
    counts = ledger[["rows_in", "used", "deduplicated"]].T.to_dict("list")
    assert counts == {
        "partners.csv": [4, 4, 0],
        "2024-1.csv": [1, 1, 0],
        "2024-2.csv": [2, 1, 1],
        "old/a.csv": [1, 1, 0],
    }
    assert ledger["source"].tolist() == ["crm.yaml 1", "crm.yaml 2", "crm.yaml 2", "crm.yaml 3"]


def test_columns_are_made_as_the_mapping_tells(tmp_path):
    source = with_columns(
        sale_id={"join": "all"},
        amount={"product": ["sum", "cur", 0.5]},
        currency={"value": "EUR"},
        is_return={"column": "id", "starts_with": "C"},
        product={"column": "ret", "replace": {"GTXPro": "GTX Pro"}},
        channel={"column": "day", "codes": {"2025-03-01": "web"}, "default": "other"},
        country={
            "column": "partner",
            "lookup": {"file": "who.csv", "key": "p", "value": "c"},
            "default": "unknown",
            "replace": {"Perou": "Peru"},
        },
    )
    rows = "C1,p1,2025-03-01,3,4,GTXPro\n1C,p2,2025-03-02,2,2,Other\nC1,p1,2025-03-01,3,4,GTXPro\n"
    programme = open_sales(tmp_path, rows, source=source, files={"who.csv": b"p,c\np1,Perou\n"})
    found = programme.frame("sales").sort_values("sold_at")
    expected = {
        "amount": [6.0, 2.0], "is_return": [True, False], "product": ["GTX Pro", "Other"], "channel": ["web", "other"],
        "country": ["Peru", "unknown"], "currency": ["EUR", "EUR"],
    }  # fmt: skip
    assert {name: found[name].tolist() for name in expected} == expected
    assert found["sale_id"].is_unique and programme.ledger["deduplicated"].tolist() == [0, 1]


def test_a_joined_key_tells_its_parts_apart(tmp_path):
    source = with_columns(sale_id={"join": ["id", "ret"]}, is_return={"value": "no"})
    rows = "a|b,p1,2025-03-01,1,EUR,c\na,p1,2025-03-01,1,EUR,b|c\n"
    assert open_sales(tmp_path, rows, source=source).frame("sales")["sale_id"].nunique() == 2


def test_rows_out_of_scope_are_counted_with_their_reason_and_money(tmp_path):
    rules = [
        {"column": "cur", "in": ["EUR"], "reason": "other money"},
        {"column": "day", "from": "2025-01-01", "until": "2025-12-31", "reason": "another year"},
        {"column": "ret", "missing": False, "reason": "no flag"},
        {"column": "id", "starts_with": "s", "reason": "no sale"},
        {"column": "partner", "not_in": ["p2"], "reason": "left"},
    ]
    rows = (
        "s1,p1,2025-01-01,1,EUR,no\ns2,p1,2025-12-31,2,EUR,no\ns3,p1,2024-12-31,4,EUR,no\ns4,p1,2026-01-01,8,EUR,no\n"
        "s5,p1,2025-05-05,16,USD,no\ns6,p1,2025-05-05,32,EUR,\nt7,p1,2025-05-05,64,EUR,no\ns8,p2,2025-05-05,128,EUR,no\n"
    )
    programme = open_sales(tmp_path, rows, source=SALES_SOURCE | {"where": rules})
    row = programme.ledger.set_index("table").loc["sales"]
    assert row[["rows_in", "used", "out_of_scope"]].tolist() == [8, 2, 6]
    assert row[["amount_in", "amount_used", "amount_out_of_scope"]].tolist() == [255.0, 3.0, 252.0]
    scope = programme.notices[programme.notices["kind"] == "scope"].set_index("message")["rows"]
    assert scope.to_dict() == {"other money": 1, "another year": 2, "no flag": 1, "no sale": 1, "left": 1}


def test_amounts_are_told_in_the_currency_of_the_programme_and_add_up(tmp_path):
    rows = (
        "s1,p1,2025-03-01,100,USD,no\ns2,p1,2025-03-01,7,EUR,no\ns2,p1,2025-03-01,7,EUR,no\n"
        "s3,p1,2025-03-01,5,EUR,no\ns3,p1,2025-03-01,6,EUR,no\ns4,p1,2025-02-30,9,EUR,no\ns5,p9,2025-03-01,20,USD,no\n"
    )
    programme = open_sales(tmp_path, rows, rates={"USD": 0.5})
    row = programme.ledger.set_index("table").loc["sales"]
    assert row[["rows_in", "used", "quarantined", "deduplicated"]].tolist() == [7, 2, 4, 1]
    assert row[["amount_in", "amount_used", "amount_quarantined", "amount_deduplicated"]].tolist() == [94, 57, 30, 7]
    assert programme.frame("sales")[["amount", "currency"]].to_numpy().tolist() == [[50.0, "EUR"], [7.0, "EUR"]]
    assert pd.isna(programme.ledger.set_index("table").loc["partners", "amount_in"])


def test_the_latest_row_of_a_key_is_kept_over_files(tmp_path):
    files = {
        "a.csv": b"id,region,at\np1,north,2025-01-02\np2,north,2025-01-01\n",
        "b.csv": b"id,region,at\np1,south,2025-01-01\np2,north,2024-01-01\n",
    }
    source = PARTNER_SOURCE | {"file": ["a.csv", "b.csv"], "zone": "UTC", "keep": {"latest_by": "at"}}
    programme = open_programme(make_params(tmp_path, files, [source]))
    assert programme.frame("partners")[["partner_id", "region"]].to_numpy().tolist() == [
        ["p1", "north"],
        ["p2", "north"],
    ]
    assert programme.ledger[["used", "deduplicated"]].to_numpy().tolist() == [[2, 0], [0, 2]]
    assert programme.notices.set_index("code").loc["superseded", "rows"] == 1


def test_every_column_of_a_file_says_how_often_it_is_empty(tmp_path):
    programme = open_sales(
        tmp_path, "s1,p1,2025-03-01,1,EUR,no,\ns2,p1,2025-03-01,1,EUR,no,x\n", header=HEADER.strip() + ",note\n"
    )
    missing = programme.notices[programme.notices["kind"] == "missing"]
    assert missing[["column", "rows", "message"]].to_numpy().tolist() == [["note", 1, "1 of 2 rows have no note"]]


def test_unchanged_inputs_are_not_read_again(tmp_path, monkeypatch):
    first = open_sales(tmp_path, "s1,p1,2025-03-01,1,EUR,no\n")
    with monkeypatch.context() as patch:
        patch.setattr(sources_module, "assemble_tables", None)
        assert open_sales(tmp_path, "s1,p1,2025-03-01,1,EUR,no\n").key == first.key
    assert open_sales(tmp_path, "s1,p1,2025-03-01,2,EUR,no\n").key != first.key
    assert open_sales(tmp_path, "s1,p1,2025-03-01,1,EUR,no\n", rates={"USD": 1.0}).key != first.key
    assert (
        open_sales(tmp_path, "s1,p1,2025-03-01,1,EUR,no\n", source=SALES_SOURCE | {"zone": "Europe/Kyiv"}).key
        != first.key
    )
    assert first.frame("sales")["amount"].tolist() == [1.0]


def test_raw_is_never_changed_and_nothing_else_is_left_behind(tmp_path):
    leftover = tmp_path / "processed" / ".tables-999999999-x"
    leftover.mkdir(parents=True)
    ours = tmp_path / "processed" / f".tables-{os.getppid()}-x"
    ours.mkdir()
    programme = open_sales(tmp_path, "s1,p1,2025-03-01,1,EUR,no\n")
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["partners.csv", "sales.csv"]
    assert (tmp_path / "raw" / "sales.csv").read_text() == HEADER + "s1,p1,2025-03-01,1,EUR,no\n"
    assert {path.name for path in (tmp_path / "processed").iterdir()} == {programme.directory.name, ours.name}
    assert programme.directory.name == f"tables-{programme.key[:12]}"
    accounts = {"ledger.parquet", "quarantine.parquet", "notices.parquet", "freshness.parquet", "unknown.json"}
    assert {path.name for path in programme.directory.iterdir()} == accounts | {f"{name}.parquet" for name in TABLES}


def test_a_failure_while_assembling_publishes_nothing(tmp_path, monkeypatch):
    def fail(*_, folder, **__):
        (folder / "sales.parquet").write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sources_module, "assemble_tables", fail)
        with pytest.raises(KeyboardInterrupt):
            open_sales(tmp_path, "s1,p1,2025-03-01,1,EUR,no\n")
    assert not list((tmp_path / "processed").iterdir())
    assert len(open_sales(tmp_path, "s1,p1,2025-03-01,1,EUR,no\n").frame("sales")) == 1


def test_the_order_of_rows_does_not_matter(tmp_path):
    rows = [f"s{i % 17},p{i % 2 + 1},2025-03-{i % 17 + 1:02d},{i % 17},EUR,no\n" for i in range(0, 40, 2)]
    one = open_sales(tmp_path / "one", "".join(rows)).frame("sales")
    two = open_sales(tmp_path / "two", "".join(reversed(rows))).frame("sales")
    pd.testing.assert_frame_equal(one, two)


def test_the_same_input_gives_the_same_bytes(tmp_path):
    rows = "".join(f"s{i},p1,2025-03-01,{i},EUR,no\n" for i in range(500))
    one, two = (open_sales(tmp_path / name, rows) for name in ("one", "two"))
    for name in TABLES:
        assert one.tables[name].read_bytes() == two.tables[name].read_bytes()


def test_paths_are_seen_from_the_raw_folder_or_from_the_mapping(tmp_path):
    make_params(tmp_path, {}, [])
    (tmp_path / "beside.csv").write_bytes(b"id,region\np5,north\n")
    params = make_params(tmp_path, {}, [PARTNER_SOURCE | {"file": "./beside.csv"}])
    assert open_programme(params).frame("partners")["partner_id"].tolist() == ["p5"]
    params = make_params(tmp_path / "deep", {}, [PARTNER_SOURCE | {"file": "../beside.csv"}])
    programme = open_programme(params)
    assert programme.ledger["file"].tolist() == ["beside.csv"]


def test_a_programme_without_a_source_of_partners_is_refused(tmp_path):
    with pytest.raises(SourceError, match="no source fills the table partners"):
        open_programme(make_params(tmp_path, {"sales.csv": b""}, [SALES_SOURCE]))


def test_a_mapping_that_is_no_mapping_is_refused(tmp_path):
    for mapping in ({"sources": []}, {"sources": "x"}, {"sources": [3]}, {"source": []}, {"defaults": "UTC"}):
        with pytest.raises(SourceError):
            read_mapping(tmp_path / "crm.yaml", mapping)
    with pytest.raises(SourceError, match="put it in quotes"):
        read_mapping(tmp_path / "crm.yaml", {"sources": [SALES_SOURCE | {"where": [{"column": "v", "in": [1.5]}]}]})


plain = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters="\ufeff"),
    min_size=1,
    max_size=8,
).map(lambda text: unicodedata.normalize("NFC", text))
fields = st.one_of(plain, st.tuples(plain, st.sampled_from(["\n", ",", '"', ";", "\r\n", "\\"]), plain).map("".join))


@settings(max_examples=15, deadline=None)
@given(values=st.lists(fields, min_size=1, max_size=12, unique=True), delimiter=st.sampled_from(",;|\t"))
def test_text_comes_back_as_it_stood_with_its_line(values, delimiter, tmp_path_factory):
    home = tmp_path_factory.mktemp("text")
    values = [unicodedata.normalize("NFC", value) for value in values]
    path = home / "made.csv"
    lines, bad = [], 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(["id", "region", "size"])
        for number, value in enumerate(values):
            file.flush()
            begins = 1 + len(csv_lines(path))
            if number % 3 == 1:
                lines.append(begins)
                bad += 1
            writer.writerow([value, "north", "gigantic" if number % 3 == 1 else ""])
    source = PARTNER_SOURCE | {
        "file": "made.csv",
        "delimiter": delimiter,
        "columns": {"partner_id": "id", "region": "region", "company_size": "size"},
        "unknown": ["name", "partner_type", "industry", "country", "joined_at"],
    }
    programme = open_programme(make_params(home, {"made.csv": path.read_bytes()}, [source], max_bad_share=1.0))
    good = [value for number, value in enumerate(values) if number % 3 != 1]
    assert sorted(programme.frame("partners")["partner_id"]) == sorted(good)
    assert programme.quarantine["line"].tolist() == lines


def csv_lines(path):
    with path.open(encoding="utf-8", newline="") as file:
        return file.readlines()


KINDS = ("good", "repeat", "conflict", "orphan", "amount", "shape", "scope")


@settings(max_examples=15, deadline=None)
@given(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=30))
def test_the_ledger_adds_up_whatever_comes(kinds, tmp_path_factory):
    """Each kind of row is planted, so each count is known beforehand."""
    home = tmp_path_factory.mktemp("ledger")
    rows = {
        "good": ["g{i},p1,2025-03-01,1,EUR,no\n"],
        "repeat": ["r{i},p1,2025-03-01,1,EUR,no\n"] * 2,
        "conflict": ["c{i},p1,2025-03-01,1,EUR,no\n", "c{i},p1,2025-03-01,2,EUR,no\n"],
        "orphan": ["o{i},p9,2025-03-01,1,EUR,no\n"],
        "amount": ["a{i},p1,2025-03-01,x,EUR,no\n"],
        "shape": ["h{i},p1,2025-03-01,1,EUR\n"],
        "scope": ["s{i},p1,2025-03-01,1,UAH,no\n"],
    }
    text = "good,p1,2025-03-01,1,EUR,no\n" + "".join(
        row.format(i=i) for i, kind in enumerate(kinds) for row in rows[kind]
    )
    source = SALES_SOURCE | {"where": [{"column": "cur", "in": ["EUR"]}]}
    programme = open_sales(home, text, source=source, max_bad_share=1.0)
    n = {kind: kinds.count(kind) for kind in KINDS}
    row = programme.ledger.set_index("table").loc["sales"]
    assert row["used"] == 1 + n["good"] + n["repeat"]
    assert row["deduplicated"] == n["repeat"]
    assert row["quarantined"] == 2 * n["conflict"] + n["orphan"] + n["amount"] + n["shape"] == len(programme.quarantine)
    assert row["out_of_scope"] == n["scope"]
    assert row["rows_in"] == row[["used", "deduplicated", "quarantined", "out_of_scope"]].sum()


def test_frames_of_a_dict_are_completed_and_shaped():
    frames = as_frames(
        {
            "partners": pd.DataFrame({"partner_id": [7, 8], "joined_at": ["2025-01-01", None]}, index=[5, 3]),
            "touches": pd.DataFrame(
                {"touch_id": ["t"], "partner_id": ["7"], "touched_at": pd.to_datetime(["2025-01-01T00:00:00+02:00"]),
                 "channel": ["email"], "action": ["sent"]}
            ),
        }
    )  # fmt: skip
    assert list(frames) == list(TABLES) and all(
        list(frames[n]) == [c.name for c in t.columns] for n, t in TABLES.items()
    )
    assert frames["partners"]["partner_id"].tolist() == ["7", "8"]
    assert (
        frames["partners"]["declared_potential"].isna().all()
        and frames["partners"]["declared_potential"].dtype == "float64"
    )
    assert frames["touches"].loc[0, "touched_at"] == pd.Timestamp("2024-12-31 22:00")
    assert str(frames["stages"]["entered_at"].dtype) == "datetime64[us]"
    for wrong, told in (
        ({"sale": pd.DataFrame()}, "did you mean 'sales'"),
        ({"partners": pd.DataFrame({"partner_id": ["a"], "regoin": ["x"]})}, "did you mean 'region'"),
        ({"partners": pd.DataFrame({"region": ["x"]})}, "'partner_id' is missing"),
        (
            {"costs": pd.DataFrame({"spent_at": ["soon"], "kind": ["x"], "amount": [1.0], "currency": ["EUR"]})},
            "costs.spent_at",
        ),
    ):
        with pytest.raises(ValueError, match=told):
            as_frames(wrong)


def test_a_programme_and_its_frames_give_the_same_connection(tmp_path):
    programme = open_sales(tmp_path, "s1,p1,2025-03-01,1,EUR,no\ns2,p2,2025-03-02,5,EUR,yes\n")
    assert isinstance(programme, Programme)
    frames = as_frames(programme)
    for data in (programme, frames):
        connection = as_connection(data)
        for name in TABLES:
            assert connection.table(name).count().execute() == len(frames[name])
            assert list(connection.table(name).columns) == list(frames[name].columns)
    one, two = (as_connection(data).table("sales").schema() for data in (programme, frames))
    assert {name: str(kind) for name, kind in one.items()} == {name: str(kind) for name, kind in two.items()}
