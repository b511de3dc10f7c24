"""Editions of the two real inputs: their totals are the published ones, and what is not known is said on every page."""

import html
import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest

from partnerseg.batch import run
from partnerseg.models import Models
from partnerseg.params import load_params
from partnerseg.programme_pass import open_models

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("PARTNERSEG_SHARED", ROOT.parent / "shared")) / "data"
EXAMPLES = ROOT / "params" / "examples"

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the reference data are not at {SHARED}")


def make_edition(name: str, out: Path, regions: list[str] | None = None) -> tuple[Path, Models]:
    result = run(EXAMPLES / name, regions=regions, out=out, progress=False)
    assert not result.failures, [page.failure for page in result.failures]
    return result.index.parent, open_models(load_params(EXAMPLES / name), progress=lambda step: None)


def read_text(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def crm(tmp_path_factory) -> tuple[Path, Models]:
    return make_edition("crm_pipeline", tmp_path_factory.mktemp("crm"))


@pytest.fixture(scope="module")
def retail(tmp_path_factory) -> tuple[Path, Models]:
    return make_edition("online_retail", tmp_path_factory.mktemp("retail"), ["all"])


def test_crm_totals_are_the_published_ones(crm):
    published = json.loads((SHARED / "crm_sales_opportunities" / "expected_facts.json").read_text(encoding="utf-8"))
    edition, models = crm
    regions = pd.read_parquet(edition / "tables" / "regions.parquet")
    assert regions.loc["all", "revenue"] == published["won_value_total"] == 10_005_534
    for row in published["by_region"]:
        assert regions.loc[row["regional_office"], "revenue"] == row["revenue"]
        stages = models.table("stages", region=row["regional_office"])["stage"].value_counts()
        assert stages["Won"] == row["won"]
        assert stages["Won"] + stages["Lost"] == row["n"]
    assert models.table("stages")["stage"].value_counts().to_dict() == published["stages"]
    partners = pd.read_parquet(edition / "all" / "tables" / "partners.parquet")
    for row in published["by_agent_won"]:
        assert partners.loc[row["sales_agent"], "monetary_value_365d"] == row["sum"]


def test_crm_pages_say_what_is_not_known(crm):
    edition, _ = crm
    assert len(list(edition.glob("*/*.html"))) == 4 * 5
    assert "35 partners are too few" in read_text(edition / "all" / "02-segments.html")
    said = {
        "01-data": "We know nothing of",
        "02-segments": "no evidence of natural segments",
        "03-rating": "Nothing is known on these factors",
        "04-journey": "We do not have a next step",
        "05-effect": "We do not know",
    }
    for region in ("all", "Central", "East", "West"):
        for page, words in said.items():
            assert words in read_text(edition / region / f"{page}.html"), f"{region}/{page}"


def test_online_retail_totals_are_the_published_ones(retail):
    edition, models = retail
    partners = pd.read_parquet(edition / "all" / "tables" / "partners.parquet")
    assert len(partners) == 5942  # 4,383 of 2009-2010 and 4,372 of 2010-2011, 2,813 of them in both
    ledger = models.table("ledger")
    lines = ledger[(ledger["table"] == "sales") & ledger["file"].str.endswith(".parquet")].iloc[0]
    assert lines["rows_in"] == 525_461
    assert lines["out_of_scope"] == 107_927  # no customer
    assert lines["amount_in"] == pytest.approx(9_539_484.634, abs=0.01)
    assert lines["amount_used"] + lines["amount_deduplicated"] == pytest.approx(8_348_208.57, abs=0.02)
    assert len(list(edition.glob("*/*.html"))) == 5


def test_online_retail_shows_why_there_are_segments_and_tells_stages_from_sales(retail):
    edition, models = retail
    # Who bought within the last year and who did not are far apart in all that a year's orders tell.
    page = read_text(edition / "all" / "02-segments.html")
    assert "separate segments" in page
    assert models.segmenter.n_segments_ > 1
    assert (models.segmenter.stability_ >= 0.6).all()
    sales = models.programme.frame("sales")
    last = sales[~sales["is_return"].astype(bool)].groupby("partner_id")["sold_at"].max().dt.normalize()
    silent = int((last + pd.Timedelta(days=180) <= pd.Timestamp("2011-12-09")).sum())
    stages = models.table("stages")["stage"].value_counts()
    assert stages["silent"] == silent and stages.sum() == len(last)
    assert "We do not have a next step to propose" in read_text(edition / "all" / "04-journey.html")
    assert "We know nothing about" in read_text(edition / "all" / "01-data.html")
