"""A real pipeline as a journey of deals: counts and win rates are the published ones, open deals are censored."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from partnerseg.journey.stages import Journey
from partnerseg.params import load_params
from partnerseg.programme.sources import open_programme

ROOT = Path(__file__).parents[2]
CRM = Path(os.environ.get("PARTNERSEG_SHARED", ROOT.parent / "shared")) / "data" / "crm_sales_opportunities"
SECTORS = {"technolgy": "technology"}  # misspelled in accounts.csv
PRODUCTS = {"GTXPro": "GTX Pro"}  # as products.csv spells it

pytestmark = pytest.mark.skipif(not CRM.is_dir(), reason=f"the CRM pipeline is not at {CRM}: its journey is not tested")


@pytest.fixture(scope="module")
def expected():
    return json.loads((CRM / "expected_facts.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def programme():
    return open_programme(load_params(ROOT / "params" / "examples" / "crm_pipeline"))


@pytest.fixture(scope="module")
def journey(programme):
    params = load_params(ROOT / "params" / "examples" / "crm_pipeline")
    settings = params.journey
    return Journey(settings.stages, settings.exits, settings.horizon_days).fit(programme, params.programme.as_of)


@pytest.fixture(scope="module")
def region(programme):
    return programme.frame("partners").set_index("partner_id")["region"]


@pytest.fixture(scope="module")
def deals():
    """The raw file, index deal_id, with clean keys, the account's sector, and days so far."""
    deals = pd.read_csv(CRM / "sales_pipeline.csv", dtype="str").rename(columns={"opportunity_id": "deal_id"})
    sector = pd.read_csv(CRM / "accounts.csv").set_index("account")["sector"].replace(SECTORS)
    start, end = (pd.to_datetime(deals[name], format="%d-%m-%y") for name in ("engage_date", "close_date"))
    deals = deals.assign(
        product=deals["product"].replace(PRODUCTS),
        sector=deals["account"].map(sector),
        days=(end.fillna(pd.Timestamp("2017-12-31")) - start).dt.days,
        closed=end.notna(),
    )
    return deals.set_index("deal_id")


def test_keys_of_the_files_agree_after_cleaning(deals):
    assert set(deals["product"]) == set(pd.read_csv(CRM / "products.csv")["product"])
    assert deals["account"].isna().sum() == deals["sector"].isna().sum() == 1_425
    assert "technology" in set(deals["sector"]) and "technolgy" not in set(deals["sector"])


def test_every_deal_stands_where_published(journey, expected):
    assert journey.current_["stage"].value_counts().to_dict() == expected["stages"]
    assert journey.counts_["travelers"] == 8_800 and journey.counts_["since_unknown_day"] == 500
    moves = journey.transitions().set_index("next_stage")
    assert (moves.loc["Won", "n"], moves.loc["Lost", "n"]) == (4_238, 2_473)
    assert round(moves.loc["Won", "share"], 4) == expected["win_rate_of_closed"] == 0.6315


def test_win_rates_by_region_are_the_published_ones(journey, region, expected):
    moves = journey.transitions(by=region).dropna(subset=["next_stage"]).set_index(["group", "next_stage"])
    assert len(expected["by_region"]) == 3 and len(moves) == 6
    for row in expected["by_region"]:
        office = row["regional_office"]
        assert moves.loc[(office, "Won"), "n"] == row["won"]
        assert moves.loc[office, "n"].sum() == row["n"]
        assert round(moves.loc[(office, "Won"), "share"], 5) == row["win_rate"]


def test_open_deals_are_censored_and_prospects_have_no_time(journey, region):
    times = journey.time_in_stage().set_index("stage")
    assert times.loc["Engaging", ["n", "censored"]].tolist() == [8_300, 1_589]
    assert times.loc["Prospecting", "n"] == 0
    by_region = journey.time_in_stage(by=region).groupby("stage")[["n", "censored"]].sum()
    assert by_region.loc["Engaging"].tolist() == [8_300, 1_589]
    # Of those that closed half had by day 45; with the open ones, which lost deals were before, it takes longer.
    closed = journey.spells_.query("stage == 'Engaging'").dropna(subset=["next_stage"])["days"].median()
    assert times.loc["Engaging", "median_days"] > closed + 10


def check_times(told, days, closed, group):
    """Medians and their intervals are those of statsmodels, group by group."""
    from statsmodels.duration.survfunc import SurvfuncRight

    told = told[told["stage"] == "Engaging"].set_index("group")
    assert sorted(told.index) == sorted(group.unique())
    for name, row in told.iterrows():
        own = (group == name).to_numpy()
        theirs = SurvfuncRight(days[own], closed[own].astype(int))
        assert (row["n"], row["censored"]) == (own.sum(), own.sum() - closed[own].sum())
        # The first day by which half have left; statsmodels waits for less than half to be there.
        median = theirs.surv_times[theirs.surv_prob <= 0.5 + 1e-12][:1].tolist() or [np.nan]
        bounds = np.array([*median, *theirs.quantile_ci(0.5, method="log")])
        # What is not reached is missing here, and may be infinite there.
        ours = row[["median_days", "lower", "upper"]].to_numpy(dtype=float)
        np.testing.assert_array_equal(ours, np.where(np.isinf(bounds), np.nan, bounds))
    return told


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")  # statsmodels divides by zero at the last time
@pytest.mark.parametrize(("by", "groups"), [("product", 7), ("sector", 11), ("region", 3)])
def test_time_to_close_by_product_sector_and_region(journey, deals, region, by, groups):
    if by == "region":
        group, told = deals["sales_agent"].map(region), journey.time_in_stage(by=region)
    else:
        group, told = deals[by].fillna("unknown"), journey.time_in_stage(by=deals[by])
    engaged = deals["days"].notna().to_numpy()
    days, closed = deals["days"].to_numpy()[engaged], deals["closed"].to_numpy()[engaged]
    found = check_times(told, days, closed, group[engaged])
    assert len(found) == groups
    known = found.drop(index="unknown", errors="ignore")
    assert known["lower"].notna().all() and (known["lower"] <= known["median_days"].fillna(np.inf)).all()


def test_deals_without_an_account_are_all_open_and_say_so(journey, deals):
    """Only open deals lack an account: nothing is told of when they close, and their share is no win rate."""
    times = journey.time_in_stage(by=deals["sector"]).query("stage == 'Engaging'").set_index("group")
    assert times.loc["unknown", ["n", "censored"]].tolist() == [1_088, 1_088]
    assert np.isnan(times.loc["unknown", "median_days"])
    won = journey.conversion(by=deals["sector"]).query("stage == 'Engaging'").set_index("group")
    assert won.loc["unknown", "converted"] == 0


def test_chance_to_win_by_product_counts_open_deals_as_neither(journey, deals):
    told = journey.conversion(by=deals["product"], horizon_days=[30, 90]).query("stage == 'Engaging'")
    assert told["n"].sum() == 2 * 8_300
    assert (told[["converted", "left", "waiting"]].sum(axis=1) <= told["n"]).all()
    assert ((told["lower"] < told["conversion"]) & (told["conversion"] < told["upper"])).all()
    engaged = deals[deals["days"].notna()]
    for product, row in told[told["horizon_days"] == 90].set_index("group").iterrows():
        own = engaged[engaged["product"] == product]
        in_time = own[own["days"] <= 90]
        assert row["converted"] == (in_time["deal_stage"] == "Won").sum()
        assert row["left"] == (in_time["deal_stage"] == "Lost").sum()
        # As if every open deal never closed, and as if each of them were won.
        open_ = (own["deal_stage"] == "Engaging").sum()
        assert row["conversion"] > row["converted"] / len(own) - 1e-12
        assert row["conversion"] < (row["converted"] + open_) / len(own)


def test_deals_have_no_decisions_and_no_route(journey):
    assert journey.decisions_.empty
    assert journey.route("Engaging", "Won")["reason"].iloc[0].startswith("nothing is known of leaving Engaging")
    with pytest.raises(ValueError, match="'Anna Snelling' has deals that travel, and no stage of its own"):
        journey.route("Anna Snelling", "Won")
