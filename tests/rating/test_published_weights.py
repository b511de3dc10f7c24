"""Weights and indices as printed in the literature, to the printed digits."""

import json
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest

from partnerseg.rating.aggregation import topsis_of
from partnerseg.rating.judgments import RANDOM_INDEX, find_consistency_ratio
from partnerseg.rating.weights import (
    ahp,
    benefit_of_the_doubt,
    best_worst,
    critic,
    entropy,
    pca,
)

AHP = Path(__file__).parents[3] / "shared" / "data" / "rating_references" / "ahp_published_examples.json"
needs_ahp = pytest.mark.skipif(
    not AHP.is_file(), reason="../shared/data/rating_references is absent: no printed AHP weights"
)


# Mean consistency index of random matrices of 3 to 15 factors, as printed. Saaty, T. L. (1980), The Analytic Hierarchy
# Process, and later printings; Donegan, H. A., Dodd, F. J. (1991), A note on Saaty's random indexes, Mathematical and
# Computer Modelling 15(10), 135-137; Alonso, J. A., Lamata, M. T. (2006), Consistency in the analytic hierarchy
# process: a new approach, International Journal of Uncertainty, Fuzziness and Knowledge-Based Systems 14(4), 445-459.
SIZES = range(3, 16)
SAATY = dict(zip(SIZES, [0.58, 0.90, 1.12, 1.24, 1.32, 1.41, 1.45, 1.49, 1.51, 1.48, 1.56, 1.57, 1.59], strict=True))
DONEGAN_DODD = dict(
    zip(
        SIZES,
        [0.4914, 0.8286, 1.0591, 1.1797, 1.2519, 1.3171, 1.3733, 1.4055, 1.4213, 1.4497, 1.4643, 1.4822, 1.4969],
        strict=True,
    )
)
ALONSO_LAMATA = dict(
    zip(
        SIZES,
        [0.5245, 0.8815, 1.1086, 1.2479, 1.3417, 1.4056, 1.4499, 1.4854, 1.5141, 1.5365, 1.5551, 1.5713, 1.5838],
        strict=True,
    )
)


def read_case(name: str) -> dict:
    return next(case for case in json.loads(AHP.read_text())["cases"] if case["id"] == name)


def read_pairs(pairs: dict) -> list[dict]:
    rows = []
    for pair, times in pairs.items():
        better, worse = pair.split("|")
        rows.append({"better": better, "worse": worse, "times": times})
    return rows


@needs_ahp
def test_saaty_2008_drinks():
    case = read_case("saaty2008_drinks")
    result = ahp(read_pairs(case["pairs"]))
    assert result.weights.round(3).to_dict() == case["expected_weights"]
    assert result.weights.round(4).to_dict() == case["weights_4dp"]
    assert round(result.consistency_ratio, 3) == case["consistency_ratio_saaty_RI"]
    by_donegan = result.consistency_ratio * RANDOM_INDEX[6] / DONEGAN_DODD[7]
    assert round(by_donegan, 4) == case["consistency_ratio_donegan_dodd_RI"]


@needs_ahp
def test_saaty_2005_cities():
    case = read_case("saaty2005_cities")
    criteria = ahp(read_pairs(case["criteria"])).weights
    cities = pd.DataFrame({name: ahp(read_pairs(pairs)).weights for name, pairs in case["alternatives"].items()})
    target = (cities * criteria).sum(axis=1)
    assert target.round(3).to_dict() == case["expected_target_weights"]
    assert target.round(4).to_dict() == case["target_weights_4dp"]


@needs_ahp
def test_bozoki_2010_incomplete_matrix():
    case = read_case("bozoki2010_incomplete")
    result = ahp(read_pairs(case["pairs"]))
    assert round(result.details.loc["c", "d"], 6) == case["expected_completed"]["c|d"]
    assert result.details.loc["d", "c"] == pytest.approx(1 / result.details.loc["c", "d"])
    assert result.weights.round(4).to_dict() == case["expected_weights"]
    # Printed with the random indices of Donegan and Dodd, as AHPy has them by default.
    by_donegan = result.consistency_ratio * RANDOM_INDEX[3] / DONEGAN_DODD[4]
    assert round(by_donegan, 4) == case["consistency_ratio"]


@needs_ahp
def test_wang_chin_2011_matrix_is_refused_by_default():
    # Its consistency ratio is known to be above 0.10: the paper's example of an inconsistent matrix.
    case = read_case("wang_chin2011")
    names = list("abcdef")
    matrix = pd.DataFrame([[float(Fraction(str(cell))) for cell in row] for row in case["matrix"]], names, names)
    with pytest.raises(ValueError, match=r"consistency ratio == 0\.\d+, must be <= 0.1; revisit"):
        ahp(matrix)
    assert ahp(matrix, max_consistency_ratio=1).weights.round(4).tolist() == case["expected_weights"]


@pytest.mark.parametrize("n", SIZES)
def test_random_indices_are_saatys_at_every_size(n):
    # Judgments as contradictory as random ones have the ratio 1: their mean eigenvalue is n + (n - 1) * index.
    assert RANDOM_INDEX[n - 1] == SAATY[n]
    assert find_consistency_ratio(n + (n - 1) * SAATY[n], n) == pytest.approx(1, abs=1e-12)
    # Judgments at the limit of 0.10 have about the same ratio by the other two tables: Alonso and Lamata's is within 4%
    # (11% at three factors, where Saaty's is high), Donegan and Dodd's is lower throughout, by 2 to 16%.
    assert ALONSO_LAMATA[n] == pytest.approx(SAATY[n], rel=0.11 if n == 3 else 0.04)
    assert 0.84 <= DONEGAN_DODD[n] / SAATY[n] <= 0.98


def test_random_indices_beyond_the_table_are_on_the_line_of_alonso_and_lamata():
    # The mean eigenvalue is 2.7699 n - 4.3513; of 16 factors 39.9671, of 20 factors 51.0467.
    for n, largest in ((16, 39.9671), (20, 51.0467)):
        assert find_consistency_ratio(largest, n) == pytest.approx(1, abs=1e-9)
    assert find_consistency_ratio(2, 2) == 0


# Profitability, market share and productivity of eight firms.
FIRMS = pd.DataFrame(
    [
        [61, 1.08, 4.33],
        [20.7, 0.26, 4.34],
        [16.3, 1.98, 2.53],
        [9, 3.29, 1.65],
        [5.4, 2.77, 2.33],
        [4, 4.12, 1.21],
        [-6.1, 3.52, 2.10],
        [-34.6, 3.31, 0.98],
    ],
    columns=["profitability", "market_share", "productivity"],
)


def test_critic_of_diakoulaki_1995():
    # Diakoulaki, Mavrotas, Papayannakis (1995), Computers & Operations Research 22(7), 763-770: the matrix of the
    # illustrative example, with the weights to the eight digits that the tests of scikit-criteria hold against it.
    expected = [0.20222554, 0.48090173, 0.31687273]
    assert critic(FIRMS).weights.round(8).tolist() == expected


def test_critic_of_tus_and_aytac_adali_2019():
    # Tus, A., Aytac Adali, E. (2019), The new combination with CRITIC and WASPAS methods for the time and attendance
    # software selection problem, Opsearch 56(2), 528-538: the decision matrix of five programs and their weights.
    X = pd.DataFrame(
        [[5000, 3, 3, 4, 3, 2], [680, 5, 3, 2, 2, 1], [2000, 3, 2, 3, 4, 3], [600, 4, 3, 1, 2, 2], [800, 2, 4, 3, 3, 4]]
    )
    assert critic(X).weights.round(3).tolist() == [0.157, 0.249, 0.168, 0.121, 0.154, 0.151]


# Decision matrices with their entropy weights as printed, as the tests of objective-weighting quote them.
ENTROPY = {
    # Xu, X. (2004), A note on the subjective and objective integrated approach to determine attribute weights,
    # European Journal of Operational Research 156(2), 530-532.
    "xu 2004": (
        [[30, 30, 38, 29], [19, 54, 86, 29], [19, 15, 85, 28.9], [68, 70, 60, 29]],
        [0.4630, 0.3992, 0.1378, 0.0000],
    ),
    # Zavadskas, E. K., Podvezko, V. (2016), Integrated determination of objective criteria weights in MCDM,
    # International Journal of Information Technology & Decision Making 15(2), 267-283.
    "zavadskas and podvezko 2016": (
        [[3.0, 100, 10, 7], [2.5, 80, 8, 5], [1.8, 50, 20, 11], [2.2, 70, 12, 9]],
        [0.1146, 0.1981, 0.4185, 0.2689],
    ),
    # Lee, H. C., Chang, C. T. (2018), Comparative analysis of MCDM methods for ranking renewable energy sources in
    # Taiwan, Renewable and Sustainable Energy Reviews 92, 883-896.
    "lee and chang 2018": (
        [
            [4550, 30, 6.74, 20, 15, 5, 85, 150, 0.87, 4.76],
            [3005, 60.86, 2.4, 35, 27, 4, 26, 200, 0.17, 4.51],
            [2040, 14.85, 1.7, 90, 25, 5, 26, 500, 0.27, 4.19],
            [3370, 99.4, 3.25, 25.3, 54, 3, 45, 222, 0.21, 3.78],
            [3920, 112.6, 4.93, 11.4, 71.7, 2, 50, 100, 0.25, 4.11],
        ],
        [0.026, 0.154, 0.089, 0.199, 0.115, 0.040, 0.080, 0.123, 0.172, 0.002],
    ),
    # Ersoy, Y. (2021), Equipment selection for an e-commerce company using entropy-based TOPSIS, EDAS and CODAS methods
    # during the COVID-19, LogForum 17(3).
    "ersoy 2021": (
        [
            [256, 8, 41, 1.6, 1.77, 7347.16],
            [256, 8, 32, 1.0, 1.8, 6919.99],
            [256, 8, 53, 1.6, 1.9, 8400],
            [256, 8, 41, 1.0, 1.75, 6808.9],
            [512, 8, 35, 1.6, 1.7, 8479.99],
            [256, 4, 35, 1.6, 1.7, 7499.99],
        ],
        [0.405, 0.221, 0.134, 0.199, 0.007, 0.034],
    ),
}


@pytest.mark.parametrize("source", list(ENTROPY))
def test_entropy_weights_as_printed(source):
    matrix, printed = ENTROPY[source]
    digits = 4 if len(printed) == 4 else 3
    assert entropy(pd.DataFrame(matrix)).weights.round(digits).tolist() == printed


def test_topsis_of_hwang_and_yoon_1981():
    # Hwang and Yoon (1981), Multiple Attribute Decision Making, chapter 3, choice of a fighter aircraft: speed, range,
    # payload, cost (less is better), reliability, maneuverability; printed closeness 0.643, 0.268, 0.613, 0.312. The
    # book divides distances rounded to four digits, which moves the third digit by less than one.
    X = pd.DataFrame(
        [
            [2.0, 1500, 20000, -5.5, 5, 9],
            [2.5, 2700, 18000, -6.5, 3, 5],
            [1.8, 2000, 21000, -4.5, 7, 7],
            [2.2, 1800, 20000, -5.0, 5, 5],
        ],
        columns=["speed", "range", "payload", "cost", "reliability", "maneuverability"],
    )
    weights = dict(zip(X.columns, [0.2, 0.1, 0.1, 0.1, 0.2, 0.3], strict=True))
    assert topsis_of(X, weights).tolist() == pytest.approx([0.643, 0.268, 0.613, 0.312], abs=0.0006)


# Technology Achievement Index: patents, royalties, internet hosts, exports, log telephones, log electricity,
# schooling, university; 23 countries from Finland to Slovenia, OECD and JRC (2008), Handbook on Constructing
# Composite Indicators, annex.
TAI = pd.DataFrame(
    [
        [187, 125.6, 200.2, 50.7, 3.08, 4.15, 10, 27.4],
        [289, 130, 179.1, 66.2, 3, 4.07, 12, 13.9],
        [271, 156.6, 125.8, 59.7, 3.1, 4.14, 11.4, 15.3],
        [994, 64.6, 49, 80.8, 3, 3.86, 9.5, 10],
        [779, 9.8, 4.8, 66.7, 2.97, 3.65, 10.8, 23.2],
        [189, 151.2, 136, 50.9, 3.02, 3.77, 9.4, 9.5],
        [82, 134, 57.4, 61.9, 3.02, 3.73, 9.4, 14.9],
        [31, 38.6, 108, 48.7, 2.94, 4.18, 11.6, 14.2],
        [75, 18.2, 125.9, 16.2, 2.94, 3.94, 10.9, 25.3],
        [8, 25.5, 72.3, 74.9, 2.95, 3.83, 7.1, 24.2],
        [235, 36.8, 41.2, 64.2, 2.94, 3.75, 10.2, 14.4],
        [103, 20.2, 193.6, 19, 3.12, 4.39, 11.9, 11.2],
        [106, 110.3, 48.6, 53.6, 2.97, 3.68, 9.4, 12.3],
        [72, 73.9, 58.9, 47.6, 2.91, 3.86, 9.3, 13.6],
        [103, 13, 146.7, 15.4, 2.86, 3.91, 11.7, 13.1],
        [165, 14.8, 84.2, 50.3, 2.99, 3.79, 8.4, 13.6],
        [205, 33.6, 36.4, 58.9, 2.97, 3.8, 7.9, 12.6],
        [74, 43.6, 43.2, 45, 2.96, 3.74, 9.6, 11],
        [42, 8.6, 21, 53.4, 2.86, 3.62, 7.3, 15.6],
        [13, 9.8, 30.4, 51, 3, 3.65, 7.2, 13],
        [28, 4.2, 25, 51.7, 2.75, 3.68, 9.5, 8.2],
        [26, 6.2, 21.6, 63.5, 2.73, 3.46, 9.1, 7.7],
        [105, 4, 20.3, 49.5, 2.84, 3.71, 7.1, 10.6],
    ],
    columns=["patents", "royalties", "internet", "exports", "telephones", "electricity", "schooling", "university"],
)


def test_principal_components_of_the_oecd_handbook():
    # Table 16, variance explained in %: 41.9, 21.8, 12.3, 11.1, 6.0, 3.7, 2.2, 0.9. The handbook's logarithms are
    # printed with two decimals, so the fourth and fifth come out 0.1 off.
    result = pca(TAI)
    percent = (result.details["eigenvalue"] / 8 * 100).round(1).tolist()
    assert percent[:3] + percent[5:] == [41.9, 21.8, 12.3, 3.7, 2.2, 0.9]
    assert percent[3:5] == pytest.approx([11.1, 6.0], abs=0.11)
    # It retains four factors; Table 17: patents load 0.97 on one of them, 0.67 of its squared loadings.
    assert sorted(result.details["component"].unique()) == [1, 2, 3, 4]
    assert round(result.details.loc["patents", "loading"], 2) == 0.97


def test_benefit_of_the_doubt_of_cooper_seiford_tone():
    # Cooper, Seiford, Tone (2007), Data Envelopment Analysis, 2nd edition, section 1.4: customers and sales per
    # employee of seven branches; B, E, F, G are the frontier, the text prints 0.75 for D and 0.714 for A.
    branches = pd.DataFrame(
        {"customers": [1.0, 2, 3, 4, 4, 5, 6], "sales": [5.0, 7, 4, 3, 6, 5, 2]}, index=list("ABCDEFG")
    )
    composite = benefit_of_the_doubt(branches).details["composite"]
    assert composite[["B", "E", "F", "G"]].round(9).tolist() == [1, 1, 1, 1]
    assert composite[["A", "D"]].round(3).tolist() == [0.714, 0.75]
    assert composite["C"] < 1


@pytest.mark.parametrize(
    ("best_to_others", "others_to_worst", "printed", "ksi"),
    [
        # Table 2, fully consistent: 4, 8, 2, 4 and 1 nineteenths, and nothing deviates.
        ([2, 1, 4, 2, 8], [4, 8, 2, 4, 1], [0.2105, 0.4211, 0.1053, 0.2105, 0.0526], 0.0),
        # Table 3, not fully consistent.
        ([2, 1, 4, 3, 8], [4, 8, 2, 3, 1], [0.2295, 0.4481, 0.1148, 0.1530, 0.0546], 0.0109),
    ],
)
def test_best_worst_of_rezaei_2016(best_to_others, others_to_worst, printed, ksi):
    # Rezaei, J. (2016), Best-worst multi-criteria decision-making method: some properties and a linear model, Omega 64,
    # 126-130: a car buyer's criteria, with the weights and the deviation of the linear model as section 4 prints them.
    criteria = ["quality", "price", "comfort", "safety", "style"]
    result = best_worst(pd.Series(best_to_others, criteria), pd.Series(others_to_worst, criteria))
    assert result.weights[criteria].round(4).tolist() == printed
    assert round(result.ksi, 4) == ksi
    # Liang, Brunelli, Rezaei (2020): only safety contradicts, |3 * 3 - 8| / (8 * 8 - 8).
    assert result.consistency_ratio == pytest.approx(1 / 56 if ksi else 0)


def test_best_worst_by_hand():
    # Mode of transport, Rezaei (2015), Omega 53: load flexibility, accessibility, cost; cost is best (8, 2, 1), load
    # flexibility worst (1, 5, 8). In the linear model the largest deviation ksi is shared by |c - 2a|, |a - 5l| and
    # |c - 8l|: c = 2a - ksi, a = 5l - ksi, c = 8l + ksi give 8l + ksi = 10l - 3 ksi, so l = 2 ksi, a = 9 ksi,
    # c = 17 ksi, and ksi = 1/28.
    result = best_worst({"load": 8, "access": 2}, {"access": 5, "cost": 8})
    assert (result.weights[["load", "access", "cost"]] * 28).tolist() == pytest.approx([2, 9, 17])
    assert result.ksi == pytest.approx(1 / 28)
    # Liang, Brunelli, Rezaei (2020): |2 * 5 - 8| / (8 * 8 - 8).
    assert result.consistency_ratio == pytest.approx(2 / 56)
