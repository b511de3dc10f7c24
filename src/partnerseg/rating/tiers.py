"""Tiers: from scores to named tiers with frozen thresholds and hysteresis."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

TIERS = {"platinum": 0.1, "gold": 0.2, "silver": 0.3, "bronze": 0.4}


class Tiers(NamedTuple):
    """Tiers of partners and the thresholds behind them.

    Attributes:
        tier: Tier of each partner, an ordered category, worst first; missing means not rated.
        thresholds: Least score of each tier, best tier first; the last is 0. Missing when no partner
            was rated.
    """

    tier: pd.Series
    thresholds: pd.Series


def find_thresholds(score: pd.Series, tiers: Mapping[str, float] = TIERS) -> pd.Series:
    """Find the least score of each tier from the shares of rated partners that tiers should hold.

    Partners with equal scores stay together in the better tier, so a tier can hold more than its share.

    Args:
        score: Scores 0-100; missing means not rated.
        tiers: Share of rated partners for each tier, best tier first; shares sum to 1.

    Returns:
        Thresholds by tier, best first; the last is 0. All missing when no partner is rated.

    Raises:
        ValueError: Shares are negative or do not sum to 1.

    Examples:
        >>> find_thresholds(pd.Series([90.0, 70, 50, 10]), {"gold": 0.25, "silver": 0.25, "bronze": 0.5}).to_dict()
        {'gold': 90.0, 'silver': 70.0, 'bronze': 0.0}
    """
    shares = pd.Series(dict(tiers.items()), dtype=float)
    if not len(shares) or (shares < 0).any() or abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"rating.tiers == {shares.to_dict()}, must be shares >= 0 that sum to 1")
    best_first = np.sort(score.dropna().to_numpy(dtype=float))[::-1]
    if not len(best_first):
        return pd.Series(np.nan, index=shares.index, name="threshold")
    places = np.ceil(np.round(shares.cumsum().to_numpy() * len(best_first), 9)).astype(int)
    thresholds = best_first[np.clip(places, 1, len(best_first)) - 1]
    thresholds[-1] = 0.0
    return pd.Series(thresholds, index=shares.index, name="threshold")


def assign_tiers(
    score: pd.Series,
    *,
    tiers: Mapping[str, float] = TIERS,
    hysteresis: float = 0.0,
    previous: pd.Series | None = None,
    thresholds: pd.Series | None = None,
) -> Tiers:
    """Assign a tier to every rated partner.

    A partner with a previous tier is promoted only at `hysteresis` points or more above the threshold
    of a better tier, and loses a tier only at more than `hysteresis` points below its threshold.

    Args:
        score: Scores 0-100; missing means not rated.
        tiers: Share of rated partners for each tier, best first; read only without `thresholds`.
        hysteresis: Points past a threshold before a tier changes, at least 0.
        previous: Tier of each partner before; partners that are absent or missing there have none.
        thresholds: Frozen thresholds, best first, as `PartnerRating.tier_thresholds_`; without them
            they are found from these scores, which is right only for the whole programme.

    Returns:
        Tiers and the thresholds used.

    Raises:
        ValueError: Shares do not sum to 1, thresholds rise, hysteresis is negative, or `previous` names
            a tier that does not exist.

    Examples:
        >>> assign_tiers(pd.Series([90.0, 40, None]), tiers={"gold": 0.5, "bronze": 0.5}).tier.tolist()
        ['gold', 'bronze', nan]
    """
    if thresholds is None:
        thresholds = find_thresholds(score, tiers)
    if (thresholds.diff() > 0).any():
        raise ValueError(f"thresholds == {thresholds.to_dict()}, must fall from the best tier to the last")
    if not hysteresis >= 0:
        raise ValueError(f"rating.hysteresis == {hysteresis}, must be >= 0")
    names = list(thresholds.index)
    before = np.full(len(score), -1)
    if previous is not None:
        labels = previous.reindex(score.index).astype(object)
        unknown = set(labels.dropna()) - set(names)
        if unknown:
            raise ValueError(f"previous holds the tiers {sorted(unknown)}; possible values are: {', '.join(names)}")
        before = labels.map({name: place for place, name in enumerate(names)}).fillna(-1).to_numpy(dtype=int)
    values = score.to_numpy(dtype=float, na_value=np.nan)
    # Place 0 is the best tier. Walk up from the last tier; each threshold is lowered for those who
    # stood above it and raised for those who stood below.
    place = np.full(len(score), len(names) - 1)
    for better in range(len(names) - 2, -1, -1):
        shift = np.where(before < 0, 0.0, np.where(before <= better, -hysteresis, hysteresis))
        place[values >= thresholds.iloc[better] + shift] = better
    place[np.isnan(values) | thresholds.isna().any()] = -1
    worst_first = np.where(place < 0, -1, len(names) - 1 - place)
    tier = pd.Categorical.from_codes(worst_first.astype(int), categories=pd.Index(names[::-1]), ordered=True)
    return Tiers(pd.Series(tier, index=score.index, name="tier"), thresholds)
