"""Follows segments and partners from one date to another."""

import numpy as np
import pandas as pd

SAME = 0.3  # Jaccard similarity from which two segments can be the same one


def match_segments(old: pd.Series, new: pd.Series) -> pd.DataFrame:
    """Give the segments of a refit the ids of the old segments with the same members.

    Old and new segments are paired so that the pairs share as many members as they can in all (Jaccard similarity over
    the partners known at both dates, Hungarian method). A pair that shares less than 0.3 is no pair.

    Args:
        old: Index partner_id: segment; negative numbers (background) and missing values are no segment.
        new: The same, later.

    Returns:
        Index new segment: `segment`, the id to use (that of the old segment, otherwise the next number never used), and
        `similarity` (0-1, missing for a segment without an old one). `new.map(matched["segment"])` renumbers.

    Raises:
        ValueError: A partner is there twice.

    References:
        Kuhn (1955), The Hungarian method for the assignment problem. Naval Research Logistics 2.

    Example:
        >>> old = pd.Series({"P1": 0, "P2": 0, "P3": 1, "P4": 1})
        >>> new = pd.Series({"P1": 1, "P2": 1, "P3": 0, "P4": 0, "P5": 2})
        >>> match_segments(old, new)["segment"].to_dict()
        {0: 1, 1: 0, 2: 2}
    """
    from scipy.optimize import linear_sum_assignment

    before, after = _read(old, "old"), _read(new, "new")
    olds, news = np.unique(before[before >= 0]), np.unique(after[after >= 0])
    both = before.index.intersection(after.index)
    was = before[both].to_numpy()[:, None] == olds
    became = after[both].to_numpy()[:, None] == news
    shared = became.T.astype(np.float64) @ was
    joined = became.sum(axis=0)[:, None] + was.sum(axis=0) - shared
    similarity = shared / np.maximum(joined, 1)
    matched = pd.DataFrame({"segment": -1, "similarity": np.nan}, index=pd.Index(news, name="new_segment"))
    for row, column in zip(*linear_sum_assignment(-similarity), strict=True):
        if similarity[row, column] >= SAME:
            matched.loc[news[row], "segment"] = olds[column]
            matched.loc[news[row], "similarity"] = similarity[row, column]
    unmatched = matched["segment"] < 0
    start = int(olds.max(initial=-1)) + 1
    matched.loc[unmatched, "segment"] = np.arange(start, start + int(unmatched.sum()))
    return matched


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


def _read(segments: pd.Series, name: str) -> pd.Series:
    if segments.index.has_duplicates:
        twice = segments.index[segments.index.duplicated()][0]
        raise ValueError(f"partner {twice!r} is in `{name}` more than once, must be once: give one date at a time")
    return segments.dropna().astype(np.int64)
