"""Follows segments and partners from one date to another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

FEW = 5  # with fewer partners in common, members do not tell whether two segments are the same
KEPT = 0.5  # share of its members that a segment must keep to live on (MONIC)
NEAR = 0.5  # profiles nearer than this part of the way to the next segment are the same
SURE = 0.95  # membership from which a partner settles in a segment
LEAST_CHANCE = 1e-3  # memberships are read as at least this, so that a certain 0 does not decide alone
SKEWED = 1.5  # skewness from which a number is read on a logarithmic scale
FAR = 10.0  # robust standard deviations from the median at which giants are cut
LARGE = 50_000  # drift is measured on so many partners at most
CHANCE = 0.05  # how often chance may pass for drift, all comparisons together
MOVED = 0.25  # part of the way to the nearest segment: half of the way to the border
SHIFTED = 0.25  # population stability index of a significant shift
BLURRED = 1.5  # how many times its spread a segment has
GAPS = 0.2  # rise of the share of unknown cells


@dataclass(frozen=True)
class Drift:
    """How far the segments have moved since the model was fitted.

    Attributes:
        stale: True when the model should be fitted anew.
        reason: One or two sentences that say why or why not.
        stability_index: Population stability index of the sizes; 0 is unchanged, 0.25 a significant shift.
        segments: One row a segment: `n_old`, `n_new`; `share_old`, `share_new` (0-1 of all partners) and
            `share_chance`, the change that chance explains; `way`, how much of the way to the `nearest` segment its
            typical member has gone (0 is none, 1 all of it; `nearest` is missing for a single segment, whose way is
            told in spreads); `spread`, how many times as far apart members lie; `unknown_old`, `unknown_new` (share of
            cells, 0-1); `moved`, the number of columns whose typical values moved beyond chance; `stale`. Missing for
            a segment that is empty at one date.
        columns: Index segment, column: `old`, `new` (median in the column's unit, or the most frequent text),
            `change` (new - old; missing for text), `shift` (change in spreads of a segment; for text that of the level
            that changed most certainly), `chance` (the largest shift in either direction that chance explains),
            `certain` (the shift is larger than that), `unknown_old`, `unknown_new` (0-1).
    """

    stale: bool
    reason: str
    stability_index: float
    segments: pd.DataFrame
    columns: pd.DataFrame


def match_segments(
    old: pd.Series,
    new: pd.Series,
    *,
    old_features: pd.DataFrame | None = None,
    new_features: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Give the segments of a refit the ids of the old segments that they continue.

    Two segments are linked if more than half of either one's members, of those known at both dates, are in the other.
    An old segment lives on only if those that it is linked to keep at least half of these members in all (survival in
    MONIC): what keeps 14% of a segment is another one, however pure. A segment that takes many others in has grown. Of
    linked segments those pairs keep an id that share as many members as they can in all (Jaccard similarity,
    Hungarian method): the largest part of a split, the largest part of a merger. If fewer than five partners of two
    segments are known at both dates, or neither shares half of its members with any segment (new partners have taken
    the place of all), members tell nothing; with features, profiles then decide: two segments are the same if they lie
    nearer to each other than half of the way to any other segment of their date.

    Args:
        old: Index partner_id: segment; negative numbers (background) and missing values are no segment.
        new: The same, later.
        old_features: One row a partner at the old date: numbers and text, missing values are unknown. May be None.
        new_features: The same at the new date.

    Returns:
        Index new segment: `segment`, the id to use (that of the old segment, otherwise the next number never used), and
        `similarity` (0-1: Jaccard similarity of members, or 1 less the part of the way between profiles; missing for a
        segment without an old one). `new.map(matched["segment"])` renumbers.

    Raises:
        ValueError: A partner is there twice; only one of the features is given; a column holds times.

    References:
        Kuhn (1955), The Hungarian method for the assignment problem. Naval Research Logistics 2. Spiliopoulou et al.
        (2006), MONIC: modeling and monitoring cluster transitions. KDD.

    Example:
        >>> old = pd.Series({"P1": 0, "P2": 0, "P3": 1, "P4": 1})
        >>> new = pd.Series({"P1": 1, "P2": 1, "P3": 0, "P4": 0, "P5": 2})
        >>> match_segments(old, new)["segment"].to_dict()
        {0: 1, 1: 0, 2: 2}
    """
    from scipy.optimize import linear_sum_assignment

    links = _link_segments(old, new, old_features, new_features)
    matched = pd.DataFrame({"segment": -1, "similarity": np.nan}, index=pd.Index(links.news, name="new_segment"))
    similarity = np.where(links.linked, links.similarity, 0.0)
    for row, column in zip(*linear_sum_assignment(-similarity), strict=True):
        if links.linked[row, column]:
            matched.loc[links.news[column], "segment"] = links.olds[row]
            matched.loc[links.news[column], "similarity"] = similarity[row, column]
    unmatched = matched["segment"] < 0
    start = int(links.olds.max(initial=-1)) + 1
    matched.loc[unmatched, "segment"] = np.arange(start, start + int(unmatched.sum()))
    return matched


def trace_lineage(
    old: pd.Series,
    new: pd.Series,
    *,
    old_features: pd.DataFrame | None = None,
    new_features: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Tell which segments continued, split, merged, appeared and died.

    Segments are linked as in `match_segments`. An old segment with several links has split, a new one with several
    has merged, two that have only each other have continued; a new segment without a link has appeared, an old one has
    died. Partners who joined or left and background say nothing about links; but a segment of which less than half as
    many members are known at both dates as of all partners is not told as a part of another by those few.

    Args:
        old: Index partner_id: segment; negative numbers (background) and missing values are no segment.
        new: The same, later; with the ids of `match_segments`, a segment that continued has one id.
        old_features: See `match_segments`.
        new_features: See `match_segments`.

    Returns:
        One row an event: `event`; `old`, `new` (tuples of segments); `n_old`, `n_new` (members); `stayed` (share of the
        old members who are known at the new date, 0-1), `known` (share of the new members who are known at the old
        one); of these `kept`, the share of the old members who are in the new segments, and `inherited`, the share
        of the new members who come from the old ones; `similarity` (0-1, Jaccard of members, or of profile); `by`
        (members or profile). Missing where an event has no old or no new segment.

    Raises:
        ValueError: As `match_segments`.

    References:
        Spiliopoulou et al. (2006), MONIC: modeling and monitoring cluster transitions. KDD.

    Example:
        >>> old = pd.Series([0, 0, 0, 0, 1, 1], index=list("abcdef"))
        >>> new = pd.Series([0, 0, 2, 2, 1, 1, 3, 3], index=list("abcdefgh"))
        >>> trace_lineage(old, new)[["event", "old", "new"]].to_numpy().tolist()
        [['split', (0,), (0, 2)], ['continued', (1,), (1,)], ['appeared', (), (3,)]]
    """
    links = _link_segments(old, new, old_features, new_features)
    rows = []
    for place in range(len(links.olds)):
        mine = np.flatnonzero(links.linked[place])
        if len(mine) == 0:
            rows.append(links.describe("died", [place], []))
        elif len(mine) > 1:
            rows.append(links.describe("split", [place], mine.tolist()))
        elif links.linked[:, mine[0]].sum() == 1:
            rows.append(links.describe("continued", [place], mine.tolist()))
    for place in range(len(links.news)):
        mine = np.flatnonzero(links.linked[:, place])
        if len(mine) == 0:
            rows.append(links.describe("appeared", [], [place]))
        elif len(mine) > 1:
            rows.append(links.describe("merged", mine.tolist(), [place]))
    rows.sort(key=lambda row: (not row["old"], row["old"], row["new"]))
    return pd.DataFrame(rows, columns=_LINEAGE)


def settle_segments(membership: pd.DataFrame, held: pd.Series | None = None, *, certainty: float = SURE) -> pd.Series:
    """Say in which segment each partner is settled; partners at a border do not flicker between dates.

    A partner settles in a segment when it belongs there with a probability of at least `certainty`, and stays
    there, however unsure it gets, until it is as sure of another one. For a series of dates pass what one date returned
    as `held` of the next.

    Args:
        membership: Partners x segments, 0-1, rows sum to 1, as `PartnerSegmenter.predict_proba` returns.
        held: Index partner_id: segment in which it was settled before; a partner that is not there, or whose segment
            is no column, was settled nowhere.
        certainty: Over 0.5, at most 1. At 0.95 the odds are 19 to 1.

    Returns:
        Index partner_id: segment, -1 for a partner not settled yet.

    Raises:
        ValueError: A partner is there twice, a membership is missing or not in 0..1, `certainty` is out of its range.

    References:
        Chow (1970), On optimum recognition error and reject tradeoff. IEEE Transactions on Information Theory 16.

    Example:
        >>> first = pd.DataFrame({0: [0.99, 0.97, 0.6], 1: [0.01, 0.03, 0.4]}, index=["a", "b", "c"])
        >>> then = pd.DataFrame({0: [0.3, 0.02, 0.4], 1: [0.7, 0.98, 0.6]}, index=["a", "b", "c"])
        >>> settle_segments(then, settle_segments(first)).to_dict()
        {'a': 0, 'b': 1, 'c': -1}
    """
    _check_membership(membership, "membership")
    if not 0.5 < certainty <= 1:
        raise ValueError(f"certainty == {certainty}, must be > 0.5 and <= 1")
    chances = membership.to_numpy(dtype=np.float64)
    stay = pd.Series(-1, index=membership.index)
    if held is not None:
        known = _read(held, "held")
        stay = known[known.isin(membership.columns)].reindex(membership.index).fillna(-1).astype(np.int64)
    if not chances.shape[1]:
        return stay.rename("segment")
    likeliest = membership.columns.to_numpy()[chances.argmax(axis=1)]
    return stay.where(chances.max(axis=1) < certainty, likeliest).rename("segment")


def explain_moves(
    before: pd.DataFrame,
    between: pd.DataFrame,
    after: pd.DataFrame | None = None,
    *,
    held: pd.Series | None = None,
    lineage: pd.DataFrame | None = None,
    certainty: float = SURE,
) -> pd.DataFrame:
    """List the partners who moved to another segment and say whether they changed or the model did.

    A move is told when a partner that was settled in one segment is settled in another (`settle_segments`). Its cause
    is read from the log odds of the new segment against the old one: what they gained from `before` to `between`,
    where only the partner's data changed, and from `between` to `after`, where only the model did. Two thirds of the
    gain name the cause; otherwise it is both. Into a segment that the old model did not know nobody moves alone.

    Args:
        before: Membership by the old model on the old features: partners x segments, as `predict_proba` returns.
        between: Membership by the old model on the new features.
        after: Membership by the new model on the new features, columns with the ids of `match_segments`; None when the
            model has not been fitted anew.
        held: Index partner_id: where it was settled before, in a series of dates (`settle_segments`).
        lineage: What `trace_lineage` returned for the segments with these ids. Who goes along with its segment into a
            part of it, or into what it has merged with, is then not told to have moved: the event tells it.
        certainty: See `settle_segments`.

    Returns:
        One row a partner who moved, index partner_id: `segment_before`, `segment_after`, `cause` (partner, model, both)
        and `partner_share`, the part of the gain that is the partner's (below 0 when the partner went the other way).
        Only partners known at both dates; who is no longer sure of any segment is not told to have moved.

    Raises:
        ValueError: As `settle_segments`; or `before` and `between` have other segments.

    Example:
        >>> before = pd.DataFrame({0: [0.99, 0.99, 0.98], 1: [0.01, 0.01, 0.02]}, index=["a", "b", "c"])
        >>> between = pd.DataFrame({0: [0.01, 0.99, 0.8], 1: [0.99, 0.01, 0.2]}, index=["a", "b", "c"])
        >>> after = pd.DataFrame({0: [0.01, 0.01, 0.7], 1: [0.99, 0.99, 0.3]}, index=["a", "b", "c"])
        >>> explain_moves(before, between, after)["cause"].to_dict()
        {'a': 'partner', 'b': 'model'}
    """
    _check_membership(between, "between")
    if set(before.columns) != set(between.columns):
        raise ValueError(
            f"segments of `before` are {list(before.columns)}, of `between` {list(between.columns)}, must be the same: "
            "both come from the old model"
        )
    last = between if after is None else after
    start, end = settle_segments(before, held, certainty=certainty), settle_segments(last, certainty=certainty)
    partners = start.index.intersection(between.index).intersection(end.index)
    start, end = start[partners], end[partners]
    moved = partners[(start >= 0) & (end >= 0) & (start != end) & ~_go_along(start, end, lineage)]
    origin, target = start[moved].to_numpy(), end[moved].to_numpy()
    doubt = np.log(certainty / (1 - certainty)) if certainty < 1 else -np.log(LEAST_CHANCE)
    first = np.minimum(_read_odds(before, moved, origin, target), -doubt)
    middle = _read_odds(between, moved, origin, target)
    final = np.maximum(_read_odds(last, moved, origin, target), doubt)
    share = (middle - first) / (final - first)
    alone = np.isin(target, before.columns)
    cause = np.select([share <= 1 / 3, (share >= 2 / 3) & alone], ["model", "partner"], "both")
    return pd.DataFrame(
        {"segment_before": origin, "segment_after": target, "cause": cause, "partner_share": share},
        index=pd.Index(moved, name="partner_id"),
    )


def migration_matrix(before: pd.Series, after: pd.Series) -> pd.DataFrame:
    """Count who went from which segment to which, who joined and who left.

    Args:
        before: Index partner_id: segment at the earlier date. -1 (background) is a row like others; a missing value
            means that the partner was not there.
        after: The same at the later date, with the same ids.

    Returns:
        Index `before` (segments, then "joined"), columns `after` (segments, then "left"): numbers of partners. A row
        sums to its cohort: the members of the segment before, or all who joined.

    Raises:
        ValueError: A partner is there twice.

    Example:
        >>> before = pd.Series({"P1": 0, "P2": 0, "P3": 1})
        >>> after = pd.Series({"P1": 0, "P2": 1, "P4": 1})
        >>> migration_matrix(before, after).loc[0, 1]
        np.int64(1)
        >>> migration_matrix(before, after)["left"].to_dict()
        {0: 0, 1: 1, 'joined': 0}
    """
    earlier, later = _read(before, "before"), _read(after, "after")
    partners = earlier.index.union(later.index)
    segments = np.union1d(earlier.unique(), later.unique()).tolist()
    origin = earlier.astype(object).reindex(partners).fillna("joined")
    target = later.astype(object).reindex(partners).fillna("left")
    counts = pd.crosstab(origin, target)
    counts = counts.reindex(index=[*segments, "joined"], columns=[*segments, "left"], fill_value=0)
    return counts.rename_axis(index="before", columns="after")


def measure_drift(
    old_features: pd.DataFrame,
    old_segments: pd.Series,
    new_features: pd.DataFrame,
    new_segments: pd.Series,
    *,
    names: Mapping[int, str] | None = None,
) -> Drift:
    """Measure how far the segments of a model have moved, and say whether the model is stale.

    Numbers, strongly skewed ones on a logarithmic scale and giants cut, are told in spreads: standard deviations within
    a segment, both dates together. Chance is judged from standard errors of the
    difference in which a partner known at both dates counts once (linearized), held for all segments and columns
    together (Bonferroni). The model is stale when, beyond chance, one of these holds:

    - the typical member of a segment has gone at least a quarter of the way to the nearest segment, which is half of
      the way to the border (the length of the way is freed of what chance adds);
    - members of a segment lie at least 1.5 times as far apart;
    - the share of unknown cells of a segment has risen by at least 0.2;
    - the sizes have a population stability index of at least 0.25; or a segment is empty.

    Above 50,000 partners a sample of them is measured, the same one at each call; `n_old` and `n_new` count all.

    Args:
        old_features: One row a partner at the date of the fit: numbers and text, missing values are unknown.
        old_segments: Index partner_id: segment at that date; negative numbers are background.
        new_features: The same columns at the later date. Columns that only one date has are left out.
        new_segments: Segments at the later date by the same model (`predict` at both dates): a refit draws its
            borders anew, and that would pass for drift.
        names: Segment to name, for the reason.

    Returns:
        The drift.

    Raises:
        ValueError: A partner is there twice, the dates share no column, nobody is in a segment at the old date, or a
            column holds times.

    References:
        Siddiqi (2006), Credit risk scorecards (population stability index). Binder (1983), On the variances of
        asymptotically normal estimators from complex surveys. International Statistical Review 51.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> segments = pd.Series(np.repeat([0, 1], 100))
        >>> then = pd.DataFrame({"orders": rng.normal(10 + 10 * segments, 1)})
        >>> now = pd.DataFrame({"orders": rng.normal(10 + 14 * segments, 1)})
        >>> drift = measure_drift(then, segments, now, segments)
        >>> drift.stale, drift.segments["stale"].to_dict()
        (True, {0: False, 1: True})
    """
    old, new = _read(old_segments, "old_segments"), _read(new_segments, "new_segments")
    segments = np.union1d(old[old >= 0], new[new >= 0])
    if not (old >= 0).any():
        raise ValueError("nobody is in a segment in `old_segments`; must be at least one: give the segments at the fit")
    sizes = [labels.value_counts().reindex(segments, fill_value=0).to_numpy() for labels in (old, new)]
    old, new = _sample_partners(old, new)
    then, now = old_features.reindex(old.index), new_features.reindex(new.index)
    places = _place_partners(then, now, old, new)
    columns = _compare_columns(then, now, old, new, places, segments)
    table = _compare_segments(then, now, old, new, places, segments).assign(n_old=sizes[0], n_new=sizes[1])
    table["moved"] = columns["certain"].groupby("segment").sum().reindex(segments, fill_value=0)
    reasons = _find_reasons(table, columns, names or {})
    table["stale"] = table.index.isin(reasons)
    index, sentence = _compare_sizes(table, old, new)
    said = [*reasons.values(), *([sentence] if sentence else [])]
    stale = bool(said)
    if stale:
        reason = " ".join([*said[:3], "Fit the model anew."])
    else:
        reason = (
            f"{int(columns['certain'].sum())} of {len(columns)} typical values moved beyond chance, but no segment "
            "went a quarter of the way to its nearest one, and sizes, spreads and gaps are much as they were: the "
            "model still fits."
        )
    order = ["n_old", "n_new", "share_old", "share_new", "share_chance", "way", "nearest", "spread"]
    return Drift(stale, reason, index, table[[*order, "unknown_old", "unknown_new", "moved", "stale"]], columns)


_LINEAGE = ["event", "old", "new", "n_old", "n_new", "stayed", "known", "kept", "inherited", "similarity", "by"]


@dataclass(frozen=True)
class _Links:
    """Which old segments (rows) and new ones (columns) belong together, and the counts behind it."""

    olds: np.ndarray
    news: np.ndarray
    n_old: np.ndarray
    n_new: np.ndarray
    stayed: np.ndarray
    known: np.ndarray
    shared: np.ndarray
    similarity: np.ndarray
    linked: np.ndarray
    by_profile: np.ndarray

    def describe(self, event: str, rows: list[int], columns: list[int]) -> dict[str, Any]:
        """Return a row of the lineage for these old and new segments."""
        stayed, known = self.stayed[rows].sum(), self.known[columns].sum()
        shared = self.shared[np.ix_(rows, columns)].sum()
        linked = bool(rows and columns)
        profile = linked and bool(self.by_profile[rows[0], columns[0]])
        similarity = self.similarity[rows[0], columns[0]] if profile else _divide(shared, stayed + known - shared)
        return {
            "event": event,
            "old": tuple(int(segment) for segment in self.olds[rows]),
            "new": tuple(int(segment) for segment in self.news[columns]),
            "n_old": self.n_old[rows].sum() if rows else np.nan,
            "n_new": self.n_new[columns].sum() if columns else np.nan,
            "stayed": _divide(stayed, self.n_old[rows].sum()),
            "known": _divide(known, self.n_new[columns].sum()),
            "kept": _divide(shared, stayed) if linked else np.nan,
            "inherited": _divide(shared, known) if linked else np.nan,
            "similarity": similarity if linked else np.nan,
            "by": ("profile" if profile else "members") if linked else None,
        }


def _link_segments(
    old: pd.Series, new: pd.Series, old_features: pd.DataFrame | None, new_features: pd.DataFrame | None
) -> _Links:
    before, after = _read(old, "old"), _read(new, "new")
    if (old_features is None) != (new_features is None):
        lacking = "old_features" if old_features is None else "new_features"
        raise ValueError(f"`{lacking}` is None and the other is not; must be both or neither: profiles are compared")
    olds, news = np.unique(before[before >= 0]), np.unique(after[after >= 0])
    n_old = before.value_counts().reindex(olds, fill_value=0).to_numpy()
    n_new = after.value_counts().reindex(news, fill_value=0).to_numpy()
    both = before.index.intersection(after.index)
    # The first row and column are the background.
    cells = _code(before[both], olds) * (len(news) + 1) + _code(after[both], news)
    counts = np.bincount(cells, minlength=(len(olds) + 1) * (len(news) + 1)).reshape(len(olds) + 1, len(news) + 1)
    shared, stayed, known = counts[1:, 1:], counts[1:].sum(axis=1), counts[:, 1:].sum(axis=0)
    together = stayed[:, None] + known - shared
    similarity = shared / np.maximum(together, 1)
    few = together < FEW
    # Where hardly any member is known at both dates, those few do not make it a part of another segment.
    expected_old = np.maximum(stayed, n_old * len(both) / max(len(before), 1) / 2)[:, None]
    expected_new = np.maximum(known, n_new * len(both) / max(len(after), 1) / 2)
    linked = (2 * shared > expected_old) | (2 * shared > expected_new)
    linked |= ~few & (2 * shared > stayed[:, None]) & (2 * shared > known)
    silent = few | ~(linked.any(axis=1)[:, None] | linked.any(axis=0))
    linked &= ((shared * linked).sum(axis=1) >= KEPT * stayed)[:, None]
    by_profile = np.zeros_like(silent)
    if old_features is not None and new_features is not None and silent.any():
        near = _compare_profiles(old_features.reindex(before.index), new_features.reindex(after.index), before, after)
        by_profile = silent
        similarity, linked = np.where(silent, near, similarity), np.where(silent, near > NEAR, linked)
    return _Links(olds, news, n_old, n_new, stayed, known, shared, similarity, linked, by_profile)


@dataclass(frozen=True)
class _Places:
    """Where partners lie at two dates: partners x coordinates in spreads of a segment, NaN is unknown.

    A number column has one coordinate, a text column one for each level, which together weigh as one number.
    """

    old: np.ndarray
    new: np.ndarray
    weights: np.ndarray
    owners: np.ndarray


def _place_partners(then: pd.DataFrame, now: pd.DataFrame, old: pd.Series, new: pd.Series) -> _Places:
    """Turn the columns of both dates into coordinates on one scale; rows as the segments."""
    segments = np.union1d(old, new)
    groups = np.r_[np.searchsorted(segments, old), len(segments) + np.searchsorted(segments, new)]
    members = np.r_[old, new] >= 0
    parts, weights, owners = [np.empty((len(groups), 0))], [], []
    for name in [column for column in then.columns if column in now.columns]:
        values = pd.concat([then[name], now[name]], ignore_index=True)
        coordinates = _scale_numbers(values) if _is_number(values) else _indicate_levels(values)
        coordinates = _divide_by_spread(coordinates, groups, members)
        parts.append(coordinates)
        weights += [1 / np.sqrt(max(coordinates.shape[1] - 1, 1))] * coordinates.shape[1]
        owners += [name] * coordinates.shape[1]
    if not owners:
        raise ValueError("the features of the two dates share no column that varies; must be at least one")
    stacked = np.hstack(parts)
    return _Places(stacked[: len(old)], stacked[len(old) :], np.array(weights), np.array(owners, dtype=object))


def _scale_numbers(values: pd.Series) -> np.ndarray:
    """Return numbers of both dates as one column, strongly skewed ones as signed logarithms; giants are cut."""
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(numbers).any():
        raise ValueError(f"column {values.name!r} holds infinity; must be finite or missing")
    known = numbers[~np.isnan(numbers)]
    if not known.any():
        return np.where(np.isnan(numbers), np.nan, 0.0)[:, None]
    logs = np.sign(numbers) * np.log1p(np.abs(numbers) / np.quantile(np.abs(known[known != 0]), 0.25))
    scales = [_cut_giants(numbers), _cut_giants(logs)]
    skewness = [abs(_measure_skewness(scale[~np.isnan(scale)])) for scale in scales]
    return scales[int(skewness[0] > max(SKEWED, skewness[1]))][:, None]


def _cut_giants(values: np.ndarray) -> np.ndarray:
    low, center, high = np.nanquantile(values, [0.25, 0.5, 0.75])
    spread = (high - low) / 1.349 or np.nanstd(values)
    return np.clip(values, center - FAR * spread, center + FAR * spread)


def _measure_skewness(values: np.ndarray) -> float:
    centered = values - values.mean()
    return float((centered**3).mean() / max(centered.std(), 1e-300) ** 3)


def _indicate_levels(values: pd.Series) -> np.ndarray:
    """Return an indicator for each text; rare ones share one, and texts without groups have none."""
    codes, levels = pd.factorize(values.map(str, na_action="ignore"), sort=True)
    counts = np.bincount(codes[codes >= 0], minlength=len(levels))
    if len(levels) > max(20, counts.sum() / 5):
        return np.empty((len(values), 0))
    common = counts >= 0.01 * counts.sum()
    places = np.where(common, np.cumsum(common) - 1, common.sum())
    indicators = np.eye(int(places.max(initial=0)) + 1)[places[codes] if len(levels) else codes * 0]
    indicators[codes < 0] = np.nan
    return indicators


def _divide_by_spread(coordinates: np.ndarray, groups: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Divide by the standard deviation within segments; coordinates that do not vary are left out."""
    means = _average(coordinates, groups, int(groups.max()) + 1)[0]
    within = (coordinates - means[groups])[members] ** 2
    known = (~np.isnan(within)).sum(axis=0)
    spread = np.sqrt(np.nansum(within, axis=0) / np.maximum(known, 1))
    whole = np.sqrt(np.nan_to_num(_average((coordinates - _average(coordinates)[0]) ** 2)[0][0]))
    # What only ever differs between segments would be infinitely far apart.
    spread = np.maximum(spread, 0.1 * whole)
    return coordinates[:, spread > 1e-9] / spread[spread > 1e-9]


def _average(values: np.ndarray, groups: np.ndarray | None = None, n_groups: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (NaN without any) and number of known values: groups x columns; groups below 0 count nowhere."""
    groups = np.zeros(len(values), dtype=int) if groups is None else groups
    sums, counts = np.zeros((n_groups, values.shape[1])), np.zeros((n_groups, values.shape[1]))
    for group in range(n_groups):
        inside = values[groups == group]
        counts[group] = (~np.isnan(inside)).sum(axis=0)
        sums[group] = np.nansum(inside, axis=0)
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0), counts


def _compare_profiles(then: pd.DataFrame, now: pd.DataFrame, old: pd.Series, new: pd.Series) -> np.ndarray:
    """Return old x new segments: 1 less the distance of profiles in units of that to the next segment; 0-1."""
    places = _place_partners(then, now, old, new)
    olds, news = np.unique(old[old >= 0]), np.unique(new[new >= 0])
    first = _average(places.old, _code(old, olds) - 1, len(olds))
    second = _average(places.new, _code(new, news) - 1, len(news))
    ways = _measure_ways(first, second, places.weights)
    next_old = _find_next(_measure_ways(first, first, places.weights))[0]
    next_new = _find_next(_measure_ways(second, second, places.weights))[0]
    least = np.minimum(next_old[:, None], next_new)
    return np.clip(1 - np.divide(ways, least, out=np.full_like(ways, np.inf), where=least > 0), 0, 1)


def _measure_ways(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], weights: np.ndarray
) -> np.ndarray:
    """Return distances between means in spreads, root mean square over columns, freed of what chance adds."""
    (means, counts), (others, other_counts) = first, second
    ways = np.empty((len(means), len(others)))
    for row in range(len(means)):
        noise = 1 / np.maximum(counts[row], 1) + 1 / np.maximum(other_counts, 1)
        ways[row] = _measure_length((others - means[row]) ** 2 - noise, weights)
    return ways


def _measure_length(squares: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the root mean square over columns of squared differences, rows x coordinates; unknown ones left out."""
    known = ~np.isnan(squares)
    # Indicators of one text have weights whose squares sum to little more than 1.
    total = np.where(known, weights**2, 0.0).sum(axis=-1)
    length = np.where(known, squares * weights**2, 0.0).sum(axis=-1)
    return np.sqrt(np.maximum(length, 0.0) / np.maximum(total, 1e-9))


def _find_next(ways: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance to the nearest other segment and which it is; a single segment has one spread to go."""
    if len(ways) < 2:
        return np.ones(len(ways)), np.full(len(ways), -1)
    others = ways + np.diag(np.full(len(ways), np.inf))
    return others.min(axis=1), others.argmin(axis=1)


def _compare_means(
    old_values: np.ndarray, new_values: np.ndarray, old_rows: np.ndarray, new_rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return change of the means, its standard error and degrees of freedom; rows name the partners of both dates."""
    partners, places = np.unique(np.r_[old_rows, new_rows], return_inverse=True)
    pulls = np.zeros((len(partners), old_values.shape[1]))
    means, counts = [], []
    for values, rows, sign in ((old_values, places[: len(old_rows)], -1), (new_values, places[len(old_rows) :], 1)):
        (mean,), (count,) = _average(values)
        pulls[rows] += sign * np.nan_to_num(values - mean) / np.sqrt(np.maximum(count * (count - 1), 1))
        means.append(mean)
        counts.append(count)
    freedom = np.minimum(*counts) - 1
    return means[1] - means[0], np.sqrt((pulls**2).sum(axis=0)), np.where(freedom >= FEW - 1, freedom, np.nan)


def _limit_chance(error: np.ndarray, freedom: np.ndarray, tests: Any) -> np.ndarray:
    """Return the largest change in either direction that chance explains, all tests together."""
    from scipy.special import stdtrit

    return stdtrit(freedom, 1 - CHANCE / 2 / tests) * error


def _compare_columns(
    then: pd.DataFrame, now: pd.DataFrame, old: pd.Series, new: pd.Series, places: _Places, segments: np.ndarray
) -> pd.DataFrame:
    """Return one row a segment and column, as `Drift.columns` says."""
    old_rows, new_rows = _number_partners(old, new)
    names = list(dict.fromkeys(places.owners))
    rows = []
    for segment in segments:
        was, is_ = (old == segment).to_numpy(), (new == segment).to_numpy()
        shift, error, freedom = _compare_means(places.old[was], places.new[is_], old_rows[was], new_rows[is_])
        levels = np.array([(places.owners == owner).sum() for owner in places.owners])
        chance = _limit_chance(error, freedom, len(segments) * len(names) * levels)
        for name in names:
            mine = np.flatnonzero(places.owners == name)
            place = mine[np.argmax(np.nan_to_num(np.abs(shift[mine]) - chance[mine], nan=-np.inf))]
            first, last = then.loc[was, name], now.loc[is_, name]
            typical = [_tell_typical(values) for values in (first, last)]
            rows.append(
                {
                    "segment": segment,
                    "column": name,
                    "old": typical[0],
                    "new": typical[1],
                    "change": typical[1] - typical[0] if _is_number(first) else np.nan,
                    "shift": shift[place],
                    "chance": chance[place],
                    "certain": bool(abs(shift[place]) > chance[place]),
                    "unknown_old": _divide(first.isna().sum(), len(first)),
                    "unknown_new": _divide(last.isna().sum(), len(last)),
                }
            )
    return pd.DataFrame(rows).set_index(["segment", "column"])


def _compare_segments(
    then: pd.DataFrame, now: pd.DataFrame, old: pd.Series, new: pd.Series, places: _Places, segments: np.ndarray
) -> pd.DataFrame:
    """Return one row a segment: shares, way, spread and unknown cells, and whether they changed beyond chance."""
    old_rows, new_rows = _number_partners(old, new)
    belongs = [labels.to_numpy()[:, None] == segments for labels in (old, new)]
    was, is_ = (inside.astype(np.float64) for inside in belongs)
    _, error, freedom = _compare_means(was, is_, old_rows, new_rows)
    table = pd.DataFrame(index=pd.Index(segments, name="segment"))
    table["share_old"], table["share_new"] = belongs[0].mean(axis=0), belongs[1].mean(axis=0)
    table["share_chance"] = _limit_chance(error, freedom, len(segments))
    names = list(dict.fromkeys(places.owners))
    gaps = [frame[names].isna().to_numpy().mean(axis=1)[:, None] for frame in (then, now)]
    profile = _average(places.old, _code(old, segments) - 1, len(segments))
    distance, nearest = _find_next(_measure_ways(profile, profile, places.weights))
    table["nearest"] = pd.Series(segments, dtype="Int64").reindex(nearest).to_numpy()
    for place, segment in enumerate(segments):
        rows = belongs[0][:, place], belongs[1][:, place]
        partners = old_rows[rows[0]], new_rows[rows[1]]
        inside = places.old[rows[0]], places.new[rows[1]]
        shift, error, _ = _compare_means(*inside, *partners)
        table.loc[segment, "way"] = _divide(
            float(_measure_length(shift**2 - error**2, places.weights)), distance[place]
        )
        scatter = [_measure_scatter(values, places.weights) for values in inside]
        means = [float(_average(values)[0][0, 0]) or np.nan for values in scatter]
        _, error, freedom = _compare_means(scatter[0] / means[0], scatter[1] / means[1], *partners)
        table.loc[segment, "spread"] = np.sqrt(_divide(means[1], means[0]))
        limit = _limit_chance(error, freedom, len(segments))[0]
        table.loc[segment, "blurred"] = bool(2 * np.log(max(table.loc[segment, "spread"], 1e-9)) > limit)
        change, error, freedom = _compare_means(gaps[0][rows[0]], gaps[1][rows[1]], *partners)
        table.loc[segment, "emptied"] = bool(change[0] > _limit_chance(error, freedom, len(segments))[0])
        for when, values, row in (("old", gaps[0], rows[0]), ("new", gaps[1], rows[1])):
            table.loc[segment, f"unknown_{when}"] = values[row].mean() if row.any() else np.nan
    return table


def _measure_scatter(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return each member's mean squared distance to the segment's mean, as one column; NaN of whom nothing is known."""
    squares = (values - _average(values)[0]) ** 2
    known = np.where(np.isnan(squares), 0.0, weights**2).sum(axis=1)
    return np.divide(np.nansum(squares * weights**2, axis=1), known, out=np.full(len(values), np.nan), where=known > 0)[
        :, None
    ]


def _find_reasons(table: pd.DataFrame, columns: pd.DataFrame, names: Mapping[int, str]) -> dict[int, str]:
    """Return a sentence for each segment that no longer is what it was."""
    reasons = {}
    for segment in table.index.tolist():
        row, name = table.loc[segment], names.get(segment, f"Segment {segment}")
        if row["n_old"] >= FEW and not row["n_new"]:
            reasons[segment] = f"{name} had {row['n_old']} partners and has none."
        elif row["way"] >= MOVED and row["moved"]:
            reasons[segment] = _tell_way(name, row, columns.loc[[segment]].droplevel(0), names)
        elif row["spread"] >= BLURRED and row["blurred"]:
            reasons[segment] = f"Partners of {name} lie {row['spread']:.1f} times as far apart as they did."
        elif row["unknown_new"] - row["unknown_old"] >= GAPS and row["emptied"]:
            unknown = f"{row['unknown_new']:.0%} of what made {name} is unknown now"
            reasons[segment] = f"{unknown}, {row['unknown_old']:.0%} was."
    return reasons


def _tell_way(name: str, row: pd.Series, columns: pd.DataFrame, names: Mapping[int, str]) -> str:
    most = columns[columns["certain"]].sort_values("shift", key=abs).iloc[-1]
    way = f"moved by {row['way']:.2f} spreads"
    if pd.notna(row["nearest"]):
        nearest = int(row["nearest"])
        way = f"gone {row['way']:.0%} of the way to {names.get(nearest, f'segment {nearest}')}"
    values = " to ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in most[["old", "new"]])
    return f"The typical partner of {name} has {way}, most in {most.name} ({values})."


def _compare_sizes(table: pd.DataFrame, old: pd.Series, new: pd.Series) -> tuple[float, str]:
    """Return the population stability index, background included, and a sentence if the sizes have shifted."""
    groups = np.union1d(old, new)
    counts = [labels.value_counts().reindex(groups, fill_value=0).to_numpy() + 0.5 for labels in (old, new)]
    then, now = (count / count.sum() for count in counts)
    index = float(((now - then) * np.log(now / then)).sum())
    change = table["share_new"] - table["share_old"]
    if index < SHIFTED or not (change.abs() > table["share_chance"]).any():
        return index, ""
    return index, f"The sizes of segments have shifted (population stability index {index:.2f})."


def _sample_partners(old: pd.Series, new: pd.Series) -> tuple[pd.Series, pd.Series]:
    partners = old.index.union(new.index)
    if len(partners) <= LARGE:
        return old, new
    drawn = partners[np.sort(np.random.default_rng(0).choice(len(partners), LARGE, replace=False))]
    return old[old.index.isin(drawn)], new[new.index.isin(drawn)]


def _number_partners(old: pd.Series, new: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    partners = old.index.union(new.index)
    return partners.get_indexer(old.index), partners.get_indexer(new.index)


def _go_along(start: pd.Series, end: pd.Series, lineage: pd.DataFrame | None) -> np.ndarray:
    """Mark the partners whose two segments are linked by an event."""
    events = [] if lineage is None else zip(lineage["old"], lineage["new"], strict=True)
    linked = [(old, new) for olds, news in events for old in olds for new in news]
    return pd.MultiIndex.from_arrays([start, end]).isin(linked)


def _read_odds(membership: pd.DataFrame, partners: pd.Index, origin: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return log odds of the target segment against the original one; a target without a column is all but it."""
    chances = membership.reindex(partners).to_numpy(dtype=np.float64)
    rows, segments = np.arange(len(partners)), pd.Index(membership.columns)
    here, there = segments.get_indexer(pd.Index(origin)), segments.get_indexer(pd.Index(target))
    stay = np.where(here >= 0, chances[rows, here], 0.0)
    go = np.where(there >= 0, chances[rows, there], 1 - stay)
    return np.log(np.maximum(go, LEAST_CHANCE) / np.maximum(stay, LEAST_CHANCE))


def _check_membership(membership: pd.DataFrame, name: str) -> None:
    _check_once(membership.index, name)
    chances = membership.to_numpy(dtype=np.float64)
    if not ((chances >= 0) & (chances <= 1)).all():
        raise ValueError(f"`{name}` holds a membership that is missing or not in 0..1: give what predict_proba returns")


def _check_once(partners: pd.Index, name: str) -> None:
    if partners.has_duplicates:
        twice = partners[partners.duplicated()][0]
        raise ValueError(f"partner {twice!r} is in `{name}` more than once, must be once: give one date at a time")


def _read(segments: pd.Series, name: str) -> pd.Series:
    _check_once(segments.index, name)
    known = segments.dropna().astype(np.int64)
    return known.where(known >= 0, -1)


def _code(segments: pd.Series, known: np.ndarray) -> np.ndarray:
    """Return 1 + the position of each segment, 0 for the background."""
    values = segments.to_numpy()
    return np.where(values >= 0, np.searchsorted(known, values) + 1, 0)


def _is_number(values: pd.Series) -> bool:
    if pd.api.types.is_datetime64_any_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
        raise ValueError(f"column {values.name!r} holds times; must be numbers or text: give days since then instead")
    return bool(pd.api.types.is_numeric_dtype(values))


def _tell_typical(values: pd.Series) -> Any:
    """Return the median, or the most frequent text; missing where nothing is known."""
    known = values.dropna()
    if _is_number(values):
        return float(known.astype(np.float64).median()) if len(known) else np.nan
    return known.map(str).value_counts().sort_index(kind="stable").idxmax() if len(known) else None


def _divide(part: float, whole: float) -> float:
    return float(part / whole) if whole else np.nan
