"""The ASEM sustainable connectivity index, from raw indicators to ranks, each step against the published tables.

51 countries, 49 indicators, 8 pillars, 2 sub-indices. Steps are compared as they are stored, in full precision: two
floats of the same number differ by rounding in the last place only, hence the relative tolerance of 1e-12, and 1e-10
points (of 100) from normalization on. Printed scores have two decimals: 0.005.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from partnerseg.rating.factors import read_factors
from partnerseg.rating.rating import PartnerRating
from partnerseg.rating.scaling import fit_scales, score_factors, winsorize

ASEM = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "asem_composite"
pytestmark = pytest.mark.skipif(not ASEM.is_dir(), reason="needs the ASEM tables in ../shared/data/asem_composite")

EXACT = 1e-12
POINTS = 1e-10
PRINTED = 0.005 + 1e-9
SUBINDICES = ("Conn", "Sust")


def read(name: str, index: str = "UnitCode") -> pd.DataFrame:
    return pd.read_csv(ASEM / f"{name}.csv", index_col=index)


@pytest.fixture(scope="module")
def indicators() -> pd.DataFrame:
    return read("indicator_meta", "IndCode")


@pytest.fixture(scope="module")
def raw(indicators) -> pd.DataFrame:
    return read("data_raw")[indicators.index]


@pytest.fixture(scope="module")
def denominated(raw, indicators) -> pd.DataFrame:
    denominators = read("denominators")
    return raw.apply(
        lambda values: values if pd.isna(by := indicators["Denominator"][values.name]) else values / denominators[by]
    )


@pytest.fixture(scope="module")
def imputed(denominated) -> pd.DataFrame:
    groups = read("data_raw")["Group_EurAsia"]
    return denominated.fillna(denominated.groupby(groups).transform("mean"))


def make_table(indicators: pd.DataFrame, **options: object) -> list[dict[str, object]]:
    """Pillars as factors; each of the two sub-indices has half of the weight."""
    half = indicators.groupby("Agg1")["Agg2"].first()
    return [
        {
            "factor": pillar,
            "pillar": half[pillar],
            "features": list(members.index),
            "direction": np.where(members["Direction"] > 0, "up", "down").tolist(),
            "normalization": "min_max",
            "weight": 0.5 / (half == half[pillar]).sum(),
            **options,
        }
        for pillar, members in indicators.groupby("Agg1")
    ]


@pytest.fixture(scope="module")
def rating(imputed, indicators) -> PartnerRating:
    return PartnerRating(make_table(indicators), outliers="winsorize").fit(imputed)


def test_denominated(denominated, indicators):
    expected = read("data_denominated")[indicators.index]
    assert denominated.isna().sum().sum() == expected.isna().sum().sum() == 65
    np.testing.assert_allclose(denominated, expected, rtol=EXACT)


def test_imputed_by_the_mean_of_the_continent(imputed, indicators):
    np.testing.assert_allclose(imputed, read("data_imputed")[indicators.index], rtol=EXACT)


def test_treated(imputed, indicators):
    treated = winsorize(imputed, skew=2.0, kurtosis=3.5)
    np.testing.assert_allclose(treated.values, read("data_treated")[indicators.index], rtol=EXACT)
    summary = read("treatment_summary", "IndCode").loc[treated.summary.index]
    assert treated.summary[["low", "high"]].to_numpy().tolist() == summary[["Low", "High"]].to_numpy().tolist()
    assert treated.summary["passed"].all()
    # The treatment is not idle here: 35 values of 15 indicators.
    assert (treated.summary[["low", "high"]].sum(axis=1) > 0).sum() == 15
    assert treated.summary[["low", "high"]].sum().sum() == 35


def test_normalized_between_the_ends_of_the_treated_values(imputed, indicators):
    table = [
        {"factor": name, "features": [name], "direction": ["up" if sign > 0 else "down"], "normalization": "min_max"}
        for name, sign in indicators["Direction"].items()
    ]
    scales = fit_scales(imputed, read_factors(table), outliers="winsorize")
    np.testing.assert_allclose(
        score_factors(imputed, scales), read("data_normalised")[indicators.index], rtol=0, atol=POINTS
    )


def test_aggregated_to_pillars(rating, imputed):
    points = score_factors(imputed, rating.scales_)
    expected = read("data_aggregated")[points.columns]
    np.testing.assert_allclose(points, expected, rtol=0, atol=POINTS)
    printed = read("expected_results_scores")
    np.testing.assert_allclose(points.loc[printed.index], printed[points.columns], rtol=0, atol=PRINTED)


def test_aggregated_to_sub_indices(rating, imputed, indicators):
    printed = read("expected_results_scores")
    for name in SUBINDICES:
        table = [row for row in make_table(indicators) if row["pillar"] == name]
        score = PartnerRating(table, outliers="winsorize").fit(imputed).score(imputed)["score"]
        np.testing.assert_allclose(score, read("data_aggregated")[name], rtol=0, atol=POINTS)
        np.testing.assert_allclose(score[printed.index], printed[name], rtol=0, atol=PRINTED)
        # What these pillars contribute to the index is half of the sub-index.
        half = rating.contributions(imputed)[[row["factor"] for row in table]].sum(axis=1)
        np.testing.assert_allclose(2 * half, score, rtol=0, atol=POINTS)


def test_index(rating, imputed):
    printed = read("expected_results_scores")
    score = rating.score(imputed)["score"]
    np.testing.assert_allclose(score, read("data_aggregated")["Index"], rtol=0, atol=POINTS)
    np.testing.assert_allclose(score[printed.index], printed["Index"], rtol=0, atol=PRINTED)


def test_ranks(rating, imputed, indicators):
    printed = read("expected_results_ranks")
    assert rating.score(imputed)["rank"][printed.index].tolist() == printed["Index"].tolist()
    # Printed ranks are those of the printed scores: two pairs of pillar scores are equal to two decimals only.
    pillars = score_factors(imputed, rating.scales_).round(2).rank(ascending=False, method="min")
    assert (pillars.loc[printed.index] == printed[pillars.columns]).all(axis=None)
    for name in SUBINDICES:
        table = [row for row in make_table(indicators) if row["pillar"] == name]
        rank = PartnerRating(table, outliers="winsorize").fit(imputed).score(imputed)["rank"]
        assert rank[printed.index].tolist() == printed[name].tolist()


def test_without_treatment_the_index_is_another(imputed, indicators):
    # The chain above would be proof of little if leaving a step out made no difference.
    plain = PartnerRating(make_table(indicators), bounds_quantiles=(0, 1)).fit(imputed).score(imputed)["score"]
    assert np.abs(plain - read("data_aggregated")["Index"]).max() > 1


def test_a_country_keeps_its_score_whoever_else_is_rated(rating, imputed):
    whole = rating.score(imputed)["score"]
    for country in imputed.index:
        assert rating.score(imputed.loc[[country]])["score"].item() == whole[country]
