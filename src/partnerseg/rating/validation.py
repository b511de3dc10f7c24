"""Proof of a rating: does it order what happened next, and better than plain figures?"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.utils import check_random_state

TOP = 0.1
MIN_PARTNERS = 30


def validate_rating(
    score: pd.Series,
    outcomes: pd.DataFrame,
    *,
    baselines: pd.DataFrame | None = None,
    draws: int = 1000,
    level: float = 0.95,
    random_state: Any = 0,
) -> pd.DataFrame:
    """Compare a rating at a past date with what happened afterwards, beside plain baselines.

    All are compared on the same partners: rated, with every baseline and the outcome known. It is up
    to the caller that scores and baselines use only what was known at that date.

    Args:
        score: Scores at the past date, by partner_id; missing means not rated.
        outcomes: One row a partner, one column an outcome of the time after that date; more is better.
        baselines: One row a partner, one column a figure known at that date; more is better (so the
            negative of `recency_days`).
        draws: Bootstrap draws behind the intervals.
        level: Share of draws that the intervals hold, between 0 and 1.
        random_state: Seed of the draws.

    Returns:
        One row an outcome and predictor (`rating` first): `outcome, predictor, n` (partners compared);
        `spearman, lower, upper` (rank correlation with the outcome, -1 to 1, and its interval);
        `top_decile_lift` (mean outcome of the best tenth over the mean of all; missing where that mean
        is not above 0); `advantage, advantage_lower, advantage_upper` (the rating's correlation minus this
        one's, on the same draws; missing for the rating itself); `winner` (`rating`, `baseline`, or
        `undecided` where the interval holds 0; missing for the rating itself); `finding`, a sentence.
        Figures are missing under 30 partners or when nothing varies.

    Raises:
        ValueError: A baseline is called rating, an outcome and a baseline share a name, an index has
            duplicates, `draws` is under 1, or `level` is not between 0 and 1.

    References:
        Efron, B., Tibshirani, R. (1993), An Introduction to the Bootstrap, Chapman & Hall, chapter 13.

    Examples:
        >>> score = pd.Series(range(40), dtype=float)
        >>> result = validate_rating(score, pd.DataFrame({"revenue": score**2}), draws=10)
        >>> result[["predictor", "n", "spearman"]].values.tolist()
        [['rating', 40, 1.0]]
    """
    baselines = pd.DataFrame(index=score.index) if baselines is None else baselines
    if "rating" in baselines.columns or set(baselines.columns) & set(outcomes.columns):
        raise ValueError("baselines: a name is `rating` or the name of an outcome; rename the baseline")
    if not (score.index.is_unique and outcomes.index.is_unique and baselines.index.is_unique):
        raise ValueError("score, outcomes, baselines: a partner has more than one row; must be one row a partner")
    if not draws >= 1:
        raise ValueError(f"draws == {draws}, must be >= 1")
    if not 0 < level < 1:
        raise ValueError(f"level == {level}, must be between 0 and 1")
    rows = []
    for outcome in outcomes.columns:
        table = (
            pd.concat([score.rename("rating"), baselines, outcomes[[outcome]]], axis=1, join="inner")
            .astype(float)
            .dropna()
        )
        # The draws must not depend on the order of rows.
        values = table.sort_index().to_numpy()
        rows += _compare(values, str(outcome), list(table.columns[:-1]), draws, level, random_state)
    return pd.DataFrame(rows)


def _compare(
    values: np.ndarray, outcome: str, predictors: list[str], draws: int, level: float, random_state: Any
) -> list[dict[str, object]]:
    random = check_random_state(random_state)
    n = len(values)
    found = np.full(len(predictors), np.nan)
    drawn = np.full((draws, len(predictors)), np.nan)
    if n >= MIN_PARTNERS:
        found = _correlate_ranks(values)
        for draw in range(draws):
            drawn[draw] = _correlate_ranks(values[random.randint(0, n, size=n)])
    ends = [(1 - level) / 2, (1 + level) / 2]
    rows = []
    for place, predictor in enumerate(predictors):
        lower, upper = _quantiles(drawn[:, place], ends)
        gap_lower, gap_upper = _quantiles(drawn[:, 0] - drawn[:, place], ends)
        row: dict[str, object] = {
            "outcome": outcome,
            "predictor": predictor,
            "n": n,
            "spearman": found[place],
            "lower": lower,
            "upper": upper,
            "top_decile_lift": _lift(values[:, place], values[:, -1]) if n >= MIN_PARTNERS else np.nan,
            "advantage": np.nan,
            "advantage_lower": np.nan,
            "advantage_upper": np.nan,
            "winner": None,
        }
        if place:
            row |= {"advantage": found[0] - found[place], "advantage_lower": gap_lower, "advantage_upper": gap_upper}
            if gap_lower > 0:
                row["winner"] = "rating"
            elif gap_upper < 0:
                row["winner"] = "baseline"
            elif not np.isnan(gap_lower):
                row["winner"] = "undecided"
        row["finding"] = _tell(row)
        rows.append(row)
    return rows


def _tell(row: dict[str, Any]) -> str:
    outcome, predictor = row["outcome"], row["predictor"]
    if row["n"] < MIN_PARTNERS:
        return f"Only {row['n']} partners can be compared on {outcome}; {MIN_PARTNERS} are needed."
    if np.isnan(row["spearman"]):
        return f"{predictor} and {outcome} cannot be compared: one of them is the same for all partners."
    if predictor == "rating":
        return f"The rating orders {outcome} with a rank correlation of {row['spearman']:.2f}."
    return {
        "rating": f"The rating orders {outcome} better than {predictor} alone.",
        "baseline": f"{predictor} alone orders {outcome} better than the rating.",
        "undecided": f"The rating and {predictor} alone order {outcome} about equally well.",
        None: f"The rating and {predictor} cannot be compared: the rating is the same for all partners.",
    }[row["winner"]]


def _correlate_ranks(values: np.ndarray) -> np.ndarray:
    """Spearman correlation of every column with the last one; NaN where a column is constant."""
    ranks = rankdata(values, axis=0)
    ranks -= ranks.mean(axis=0)
    spread = np.sqrt((ranks**2).sum(axis=0))
    norm = spread[:-1] * spread[-1]
    return np.divide(ranks[:, :-1].T @ ranks[:, -1], norm, out=np.full(len(norm), np.nan), where=norm > 0)


def _quantiles(values: np.ndarray, ends: list[float]) -> tuple[float, float]:
    values = values[~np.isnan(values)]
    if not len(values):
        return np.nan, np.nan
    lower, upper = np.quantile(values, ends)
    return float(lower), float(upper)


def _lift(predictor: np.ndarray, outcome: np.ndarray) -> float:
    """Mean outcome of the best tenth over the mean of all; partners tied at the cut count in part."""
    if not outcome.mean() > 0:
        return np.nan
    size = int(np.ceil(round(TOP * len(predictor), 9)))
    cut = np.sort(predictor)[-size]
    above, tied = predictor > cut, predictor == cut
    total = outcome[above].sum() + (size - above.sum()) * outcome[tied].mean()
    return float(total / size / outcome.mean())
