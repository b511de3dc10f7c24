"""Tiers: from scores to named tiers with frozen thresholds, hysteresis, grace period and minimum tenure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

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
    if not len(shares) or not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-6:
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
    _check_rule(thresholds, hysteresis)
    before = np.full(len(score), -1)
    if previous is not None:
        before = _read_places(previous.reindex(score.index), thresholds)
    place = _place_scores(score.to_numpy(dtype=float, na_value=np.nan), thresholds, before, hysteresis)
    return Tiers(_name_places(place, thresholds, score.index), thresholds)


def follow_tiers(
    score: pd.Series,
    *,
    thresholds: pd.Series,
    hysteresis: float = 0.0,
    grace_days: int = 0,
    min_tenure_days: int = 0,
    joined_at: pd.Series | None = None,
    previous: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Apply the rule for tiers date after date.

    On every date a partner is promoted at `hysteresis` points or more above the threshold of a better tier. It is
    demoted when its score has been more than `hysteresis` points below its tier's threshold on every date since
    `grace_days` or longer ago; then it goes to the tier of that day's score. A partner that is not rated, or absent, on
    a date has no tier from then on, and starts anew when it is rated again. A partner younger than `min_tenure_days` is
    not promoted, and stands in the last tier when it had none; when it is old enough it starts anew, without
    hysteresis.

    Args:
        score: Scores 0-100, index (as_of, partner_id); missing means not rated.
        thresholds: Frozen thresholds, best first, as `PartnerRating.tier_thresholds_`.
        hysteresis: Points past a threshold before a tier changes, at least 0.
        grace_days: Days that a score must have been too low before a demotion, at least 0; 0: at once.
        min_tenure_days: Days in the programme before a promotion, at least 0.
        joined_at: Day on which each partner joined, by partner_id; unknown means long ago. Needed for a minimum tenure.
        previous: What this function returned before, to go on from: its last date counts, which must be before the
            first date here. Following in two runs is the same as in one.

    Returns:
        Index as in `score`, by date: `score`, `tier` (an ordered category, worst first; missing: not rated),
        `tier_before` (on the date before, or in `previous`), `below_since` (date since which the score has been too low
        for the tier, missing where it is not), `held_back` (True while too young for the tier that the score is worth)
        and `reason`: why the tier differs from the one before (`threshold_passed`, `threshold_lost`, `grace_ended`,
        `tenure_reached`, `rated`, `not_rated`), "" where it does not and where a partner is rated for the first time.

    Raises:
        ValueError: The index is not (as_of, partner_id) with each once, thresholds rise, a parameter is negative,
            `joined_at` is not given for a minimum tenure, or `previous` is not before `score`.

    Examples:
        >>> dates = pd.MultiIndex.from_product([["2026-01-31", "2026-02-28", "2026-03-31"], ["a"]])
        >>> score = pd.Series([85.0, 70.0, 70.0], index=dates)
        >>> thresholds = pd.Series({"gold": 80.0, "silver": 50.0, "bronze": 0.0})
        >>> follow_tiers(score, thresholds=thresholds, grace_days=30)[["tier", "reason"]].values.tolist()
        [['gold', ''], ['gold', ''], ['silver', 'grace_ended']]
    """
    _check_rule(thresholds, hysteresis)
    for name, value in (("grace_days", grace_days), ("min_tenure_days", min_tenure_days)):
        if not (np.isfinite(value) and value >= 0 and value == int(value)):
            raise ValueError(f"rating.{name} == {value}, must be a whole number of days >= 0; 0 is without")
    if min_tenure_days and joined_at is None:
        raise ValueError(f"rating.min_tenure_days == {min_tenure_days}, must be 0 without joined_at: pass joined_at")
    if score.index.nlevels != 2 or not score.index.is_unique:
        raise ValueError(
            f"score has the index {list(score.index.names)}, must be (as_of, partner_id) with each pair once"
        )
    dates = _read_days(score.index.get_level_values(0))
    labels = score.index.get_level_values(1)
    partners = pd.Index(labels.unique())
    if previous is not None:
        partners = partners.union(previous.index.get_level_values(1).unique(), sort=False)
    rows = partners.get_indexer(labels)
    state = _State(partners, thresholds, hysteresis, grace_days)
    if previous is not None and len(previous):
        state.resume(previous, dates.min())
    joined = pd.Series(pd.NaT, index=partners)
    if joined_at is not None:
        joined = pd.Series(_read_days(pd.Index(joined_at)), index=joined_at.index).reindex(partners)
    parts = []
    for date in dates.unique().sort_values():
        here = np.flatnonzero(dates == date)
        values = np.full(len(partners), np.nan)
        values[rows[here]] = score.to_numpy(dtype=float, na_value=np.nan)[here]
        young = ((date - joined).dt.days < min_tenure_days).to_numpy(dtype=bool)
        part = state.step(date, values, young)
        parts.append(part.iloc[rows[here]].set_axis(score.index[here]))
    return pd.concat(parts) if parts else state.step(pd.Timestamp(0), np.zeros(0), np.zeros(0, bool)).iloc[:0]


def list_tier_changes(followed: pd.DataFrame, thresholds: pd.Series) -> pd.DataFrame:
    """List promotions, demotions and partners gained or lost, each with its date and reason.

    Args:
        followed: From `follow_tiers`.
        thresholds: The thresholds followed.

    Returns:
        One row a change, by date: `as_of, partner_id, change` (`promoted`, `demoted`, `rated`, `not_rated`),
        `tier_before, tier_after` (missing: none), `score`, `threshold` (the one passed or lost; missing where there is
        none), `distance` (score minus threshold, points), `reason` (code, see `follow_tiers`) and `sentence`. A partner
        that is absent on a date is not listed there.

    Examples:
        >>> dates = pd.MultiIndex.from_product([["2026-01-31", "2026-02-28"], ["a"]])
        >>> thresholds = pd.Series({"gold": 80.0, "bronze": 0.0})
        >>> followed = follow_tiers(pd.Series([70.0, 82.5], index=dates), thresholds=thresholds)
        >>> list_tier_changes(followed, thresholds)["sentence"].tolist()
        ['Promoted from bronze to gold: 82.5 points, 2.5 over the threshold of 80.0.']
    """
    names = list(thresholds.index)
    rows = []
    for row in followed[followed["reason"] != ""].itertuples():
        label: Any = row.Index
        old, new = (tier if isinstance(tier, str) else None for tier in (row.tier_before, row.tier))
        change = _tell_change(old, new, names)
        passed = {"promoted": new, "demoted": old}.get(change)
        threshold = float(thresholds[passed]) if passed else np.nan
        told: dict[str, Any] = {"as_of": label[0], "partner_id": label[1], "change": change}
        told |= {"tier_before": old, "tier_after": new, "score": row.score}
        told |= {"threshold": threshold, "distance": row.score - threshold, "reason": row.reason}  # type: ignore[operator]
        rows.append(told | {"sentence": _tell_reason(told, row.below_since)})
    columns = ["as_of", "partner_id", "change", "tier_before", "tier_after", "score", "threshold", "distance"]
    return pd.DataFrame(rows, columns=[*columns, "reason", "sentence"])


def _tell_change(old: str | None, new: str | None, names: list[str]) -> str:
    if new is None:
        return "not_rated"
    if old is None:
        return "rated"
    return "promoted" if names.index(new) < names.index(old) else "demoted"


def _tell_reason(told: Mapping[str, Any], below_since: Any) -> str:
    old, new, points = told["tier_before"], told["tier_after"], told["score"]
    if told["change"] == "not_rated":
        return f"Not rated any more: was {old}."
    if told["change"] == "rated":
        return f"Rated: {points:.1f} points are {new}."
    distance = f"{abs(told['distance']):.1f} {'over' if told['distance'] >= 0 else 'under'}"
    text = f"{told['change'].capitalize()} from {old} to {new}: {points:.1f} points, {distance} the threshold of "
    text += f"{told['threshold']:.1f}"
    if told["reason"] == "grace_ended":
        text += f"; too low since {below_since:%Y-%m-%d}, grace ended"
    if told["reason"] == "tenure_reached":
        text += "; minimum tenure reached"
    return text + "."


class _State:
    """Where every partner stands after a date; places count from 0, the best tier, -1 is no tier."""

    def __init__(self, partners: pd.Index, thresholds: pd.Series, hysteresis: float, grace_days: int) -> None:
        self.partners, self.thresholds, self.hysteresis = partners, thresholds, hysteresis
        self.grace = np.timedelta64(int(grace_days), "D")
        self.place = np.full(len(partners), -1)
        self.below_since = np.full(len(partners), np.datetime64("NaT"), dtype="datetime64[ns]")
        self.held_back = np.zeros(len(partners), dtype=bool)
        self.seen = np.zeros(len(partners), dtype=bool)

    def resume(self, previous: pd.DataFrame, first: pd.Timestamp) -> None:
        """Take over where a former run ended."""
        dates = _read_days(previous.index.get_level_values(0))
        if not dates.max() < first:
            raise ValueError(
                f"previous ends at {dates.max():%Y-%m-%d}, must be before {first:%Y-%m-%d}, where score starts"
            )
        last = previous[dates == dates.max()].droplevel(0).reindex(self.partners)
        self.place = _read_places(last["tier"], self.thresholds)
        waiting = last["tier"].astype(object) == last["tier_before"].astype(object)
        self.below_since = last["below_since"].where(waiting).to_numpy(dtype="datetime64[ns]")
        self.held_back = last["held_back"].fillna(False).to_numpy(dtype=bool)
        self.seen = self.partners.isin(previous.index[previous["tier"].notna()].get_level_values(1))

    def step(self, date: pd.Timestamp, values: np.ndarray, young: np.ndarray) -> pd.DataFrame:
        """Apply the rule on a date."""
        before, last = self.place, len(self.thresholds) - 1
        ripe = self.held_back & ~young
        anew = _place_scores(values, self.thresholds, np.where(ripe, -1, before), self.hysteresis)
        # Places grow toward the last tier. The young keep what they have, or get the last tier.
        cap = np.where(before >= 0, before, last)
        held_back = young & (anew >= 0) & (anew < cap)
        place = np.where(held_back, cap, anew)
        falling = (before >= 0) & (place > before) & ~ripe
        since = np.where(falling & np.isnat(self.below_since), np.datetime64(date, "ns"), self.below_since)
        waiting = falling & (np.datetime64(date, "ns") - since < self.grace)
        place = np.where(waiting, before, place)
        reason = np.full(len(values), "", dtype=object)
        reason[(place >= 0) & (before < 0) & self.seen] = "rated"
        reason[(place >= 0) & (place < before) & (before >= 0)] = "threshold_passed"
        reason[(place > before) & (before >= 0)] = "grace_ended" if self.grace else "threshold_lost"
        reason[ripe & (place >= 0) & (place != before)] = "tenure_reached"
        reason[(place < 0) & (before >= 0)] = "not_rated"
        told = pd.DataFrame(
            {
                "score": values,
                "tier": _name_places(place, self.thresholds, self.partners),
                "tier_before": _name_places(before, self.thresholds, self.partners),
                "below_since": np.where(falling, since, np.datetime64("NaT", "ns")),
                "held_back": held_back,
                "reason": reason,
            },
            index=self.partners,
        )
        self.place, self.held_back, self.seen = place, held_back, self.seen | ~np.isnan(values)
        self.below_since = np.where(waiting, since, np.datetime64("NaT", "ns"))
        return told


def _read_days(dates: pd.Index) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(pd.to_datetime(dates, utc=True)).tz_localize(None)


def _check_rule(thresholds: pd.Series, hysteresis: float) -> None:
    if not isinstance(thresholds, pd.Series):
        raise ValueError(f"thresholds is {type(thresholds).__name__}, must be a Series of points by tier, best first")
    if (thresholds.diff() > 0).any():
        raise ValueError(f"thresholds == {thresholds.to_dict()}, must fall from the best tier to the last")
    if not (np.isfinite(hysteresis) and hysteresis >= 0):
        raise ValueError(f"rating.hysteresis == {hysteresis}, must be a number >= 0; 0 is without hysteresis")


def _read_places(tiers: pd.Series, thresholds: pd.Series) -> np.ndarray:
    names = list(thresholds.index)
    labels = tiers.astype(object)
    unknown = set(labels.dropna()) - set(names)
    if unknown:
        raise ValueError(
            f"previous holds the tiers {sorted(map(str, unknown))}; possible values are: {', '.join(names)}"
        )
    return labels.map({name: place for place, name in enumerate(names)}).fillna(-1).to_numpy(dtype=int)


def _place_scores(values: np.ndarray, thresholds: pd.Series, before: np.ndarray, hysteresis: float) -> np.ndarray:
    """Place among the tiers, 0 is the best, -1 where not rated."""
    place = np.full(len(values), len(thresholds) - 1)
    # Walk up from the last tier; each threshold is lowered for those who stood above it and raised for those who
    # stood below.
    for better in range(len(thresholds) - 2, -1, -1):
        shift = np.where(before < 0, 0.0, np.where(before <= better, -hysteresis, hysteresis))
        place[values >= thresholds.iloc[better] + shift] = better
    place[np.isnan(values) | thresholds.isna().any()] = -1
    return place


def _name_places(place: np.ndarray, thresholds: pd.Series, index: pd.Index) -> pd.Series:
    names = list(thresholds.index)
    worst_first = np.where(place < 0, -1, len(names) - 1 - place)
    tier = pd.Categorical.from_codes(worst_first.astype(int), categories=pd.Index(names[::-1]), ordered=True)
    return pd.Series(tier, index=index, name="tier")
