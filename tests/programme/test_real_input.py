"""The two real inputs, mapped by YAML alone, against the totals that were published for them."""

import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from partnerseg.params import load_params
from partnerseg.programme.sources import open_programme

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("PARTNERSEG_SHARED", ROOT.parent / "shared")) / "data"
COUNTS = ["used", "quarantined", "deduplicated", "out_of_scope"]


def open_example(name, folder, data):
    """Open an example as it stands in params/, its data folder aside so that the repository stays as it is."""
    if not (SHARED / data).is_dir():
        pytest.skip(f"the real data {data} are not there: ../shared/data is absent (or set PARTNERSEG_SHARED)")
    shutil.copytree(ROOT / "params", folder / "main" / "params")
    (folder / "shared").mkdir()
    (folder / "shared" / "data").symlink_to(SHARED.resolve())
    return open_programme(load_params(folder / "main" / "params" / "examples" / name))


@pytest.fixture(scope="module")
def retail(tmp_path_factory):
    return open_example("online_retail", tmp_path_factory.mktemp("retail"), "online_retail")


@pytest.fixture(scope="module")
def crm(tmp_path_factory):
    return open_example("crm_pipeline", tmp_path_factory.mktemp("crm"), "crm_sales_opportunities")


@pytest.mark.parametrize("name", ["retail", "crm"])
def test_the_ledger_adds_up_on_every_file(name, request):
    programme = request.getfixturevalue(name)
    ledger = programme.ledger
    assert (ledger["rows_in"] == ledger[COUNTS].sum(axis=1)).all() and (ledger["rows_in"] > 0).all()
    assert ledger["quarantined"].sum() == len(programme.quarantine) == 0
    money = ledger.dropna(subset="amount_in")
    parts = money[[f"amount_{count}" for count in COUNTS]].sum(axis=1)
    assert parts.tolist() == pytest.approx(money["amount_in"].tolist(), abs=1e-6)
    assert (programme.notices["kind"] != "warn").all()


def test_online_retail_accounts_for_every_line(retail):
    lines = retail.ledger.query("table == 'sales'").set_index("file").filter(like="2009_2010.parquet", axis=0).iloc[0]
    assert lines["rows_in"] == 525_461
    assert lines["out_of_scope"] == 107_927  # lines that name no customer
    assert round(lines["amount_in"], 2) == 9_539_484.63  # all lines
    # Lines with a customer; the invoices, each rounded to a penny, add up to 8,348,208.56.
    assert round(lines["amount_used"] + lines["amount_deduplicated"], 3) == 8_348_208.574
    assert lines["deduplicated"] == 525_461 - 107_927 - lines["used"] > 0
    invoices = retail.ledger.query("table == 'sales'").iloc[1]
    assert invoices["rows_in"] == 45_642
    assert round(invoices["amount_in"], 2) == round(8_348_208.56 + 8_300_065.81, 2)  # both sheets
    reasons = retail.notices.query("kind == 'scope' and table == 'sales'").set_index("message")["rows"]
    assert reasons["the order lines tell of 2009-2010"] == 23_548


def test_online_retail_has_the_published_numbers_of_customers(retail):
    sales = retail.frame("sales")
    overlap = (sales["sold_at"] >= "2010-12-01") & (sales["sold_at"] < "2010-12-10")
    assert sales.loc[sales["sold_at"] < "2010-12-10", "partner_id"].nunique() == 4_383
    assert sales.loc[sales["sold_at"] >= "2010-12-01", "partner_id"].nunique() == 4_372
    assert overlap.any() and sales["sale_id"].is_unique
    assert sales["sold_at"].max() == pd.Timestamp("2011-12-09 12:50")


def test_online_retail_returns_are_negative_and_cancellations(retail):
    sales = retail.frame("sales")
    assert (sales.loc[sales["is_return"], "amount"] <= 0).all()
    assert sales["is_return"].sum() > 9_000


def test_online_retail_partners_are_customers_with_their_latest_country(retail):
    partners = retail.frame("partners")
    assert partners["partner_id"].is_unique and partners["partner_id"].str.fullmatch(r"\d{5}").all()
    assert set(partners["region"]) == {"united-kingdom", "western-europe", "rest-of-europe", "rest-of-world"}
    assert partners["partner_type"].unique().tolist() == ["reseller"]
    assert retail.notices.set_index("code").loc["superseded", "rows"] == 13  # customers with two countries
    sales = retail.frame("sales").sort_values("sold_at")
    latest = sales.groupby("partner_id")["country"].last()
    assert (partners.set_index("partner_id")["country"] == latest).all()
    unspecified = partners.loc[partners["country"] == "Unspecified", "region"]
    assert len(unspecified) and set(unspecified) == {"rest-of-world"}


def test_online_retail_invents_nothing(retail):
    assert {"industry", "company_size", "joined_at", "name"} <= set(retail.unknown["partners"])
    assert retail.frame("partners")[retail.unknown["partners"]].isna().all(axis=None)
    assert all(len(retail.frame(name)) == 0 for name in ("touches", "trainings", "tickets", "stages", "consents"))


def test_crm_totals_are_the_published_ones(crm):
    facts = json.loads((SHARED / "crm_sales_opportunities" / "expected_facts.json").read_text())
    sales = crm.frame("sales").merge(crm.frame("partners")[["partner_id", "region"]], on="partner_id")
    assert len(sales) == facts["stages"]["Won"] == 4_238
    assert sales["amount"].sum() == facts["won_value_total"] == 10_005_534
    by_region = sales.groupby("region")["amount"].agg(["sum", "count"])
    for row in facts["by_region"]:
        assert by_region.loc[row["regional_office"]].tolist() == [row["revenue"], row["won"]]
    by_agent = sales.groupby("partner_id")["amount"].agg(["count", "sum"])
    assert by_agent.to_numpy().tolist() == [[row["size"], row["sum"]] for row in facts["by_agent_won"]]


def test_crm_deals_stand_where_they_were_published_to_stand(crm):
    stages = crm.frame("stages")
    current = stages.sort_values("entered_at", na_position="first", kind="stable").groupby("deal_id")["stage"].last()
    assert current.value_counts().to_dict() == {"Won": 4238, "Lost": 2473, "Engaging": 1589, "Prospecting": 500}
    prospecting = stages[stages["stage"] == "Prospecting"]
    assert prospecting["entered_at"].isna().all()
    assert stages.loc[stages["stage"] != "Prospecting", "entered_at"].notna().all()


def test_crm_keys_meet_and_what_is_missing_is_told(crm):
    products = pd.read_csv(SHARED / "crm_sales_opportunities" / "products.csv")["product"]
    assert set(crm.frame("sales")["product"]) <= set(products) and "GTX Pro" in set(crm.frame("sales")["product"])
    assert "Philippines" in set(crm.frame("sales")["country"]) and "Philipines" not in set(
        crm.frame("sales")["country"]
    )
    partners = crm.frame("partners")
    assert len(partners) == 35
    assert len(set(partners["partner_id"]) - set(crm.frame("stages")["partner_id"])) == 5
    missing = crm.notices.query("kind == 'missing'").set_index("column")
    assert missing.loc["account", ["rows", "message"]].tolist() == [1425, "1,425 of 8,800 rows have no account"]
    assert crm.freshness.set_index("table").loc["sales", "last"] == pd.Timestamp("2017-12-31")
