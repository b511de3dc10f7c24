"""The same rows out of a real PostgreSQL server, started here in a temporary folder."""

import subprocess

import pandas as pd
import pytest

from partnerseg.programme.mapping import SourceError
from partnerseg.programme.sources import open_programme
from tests.conftest import BINARIES
from tests.programme.sources_setup import UNKNOWN, make_params

SCRIPT = """
CREATE SCHEMA crm;
CREATE TABLE crm."Partners" (id text, region text);
INSERT INTO crm."Partners" VALUES ('0007', 'north'), ('NA', 'Київ'), ('c', NULL);
CREATE TABLE crm.sales (id bigint, partner text, at timestamptz, amount numeric(12, 2), ret boolean, note text);
INSERT INTO crm.sales VALUES
    (9007199254740993, '0007', '2025-03-30 03:30:00+02', 10.50, false, 'a "b", c'),
    (9007199254740992, 'NA', '2025-03-01 23:30:00-02', -3, true, E'two\\nlines'),
    (3, 'nobody', '2025-03-01 00:00:00+00', 5, false, '');
SET TIME ZONE 'Asia/Tokyo';
"""


@pytest.fixture(scope="module")
def server(postgres):
    psql = str(BINARIES[-1].parent / "psql")
    command = [psql, postgres, "-v", "ON_ERROR_STOP=1", "-q"]
    subprocess.run(command, input=SCRIPT.encode(), check=True, capture_output=True, cwd="/")
    return postgres


def database_params(home, **changes):
    sales = {
        "table": "sales",
        "connection": "TEST_CRM_DATABASE",
        "relation": "crm.sales",
        "columns": {
            "sale_id": "id", "partner_id": "partner", "sold_at": "at", "amount": "amount", "currency": {"value": "EUR"},
            "is_return": "ret", "product": "note",
        },
    }  # fmt: skip
    partners = {
        "table": "partners",
        "connection": "TEST_CRM_DATABASE",
        "relation": "crm.Partners",
        "columns": {"partner_id": "id", "region": "region"},
        "unknown": UNKNOWN,
    }
    return make_params(home, {}, [partners, sales | changes])


def test_rows_come_out_as_out_of_a_file(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_CRM_DATABASE", server)
    programme = open_programme(database_params(tmp_path))
    partners = programme.frame("partners").set_index("partner_id")["region"]
    assert partners.dropna().to_dict() == {"0007": "north", "NA": "Київ"} and pd.isna(partners["c"])
    found = programme.frame("sales").set_index("sale_id")
    assert found["sold_at"].to_dict() == {
        "9007199254740993": pd.Timestamp("2025-03-30 01:30"),
        "9007199254740992": pd.Timestamp("2025-03-02 01:30"),
    }
    assert found.loc["9007199254740992", ["amount", "is_return", "product"]].tolist() == [-3.0, True, "two\nlines"]
    assert programme.ledger[["file", "rows_in", "used", "quarantined"]].to_numpy().tolist() == [
        ["crm.Partners", 3, 3, 0], ["crm.sales", 3, 2, 1]
    ]  # fmt: skip
    assert programme.quarantine[["file", "code", "value"]].to_numpy().tolist() == [["crm.sales", "orphan", "nobody"]]
    assert open_programme(database_params(tmp_path)).key == programme.key
    assert not list((tmp_path / "processed").glob(".*"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"relation": "crm.sale"}, 'relation "crm.sale" does not exist'),
        ({"relation": "sales; DROP TABLE crm"}, 'relation "sales; DROP TABLE crm" does not exist'),
        ({"connection": "TEST_NO_DATABASE"}, "the environment variable TEST_NO_DATABASE is not set"),
    ],
)
def test_what_the_database_refuses_is_told(server, tmp_path, monkeypatch, changes, told):
    monkeypatch.setenv("TEST_CRM_DATABASE", server)
    with pytest.raises(SourceError, match=told):
        open_programme(database_params(tmp_path, **changes))


def test_a_server_that_is_not_there_is_told_without_the_password(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_CRM_DATABASE", f"postgresql://tester:geheim@/postgres?host={tmp_path}")
    with pytest.raises(SourceError, match="the database says") as raised:
        open_programme(database_params(tmp_path))
    assert "geheim" not in str(raised.value)
