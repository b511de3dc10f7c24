"""Says in words and numbers what a segment is like, and which partners stand for it."""

import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from functools import cache
from math import fsum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from partnerseg.segments.encoding import (
    BLOCK,
    OTHER,
    EncodedColumn,
    Encoding,
    correlate_known,
    read_levels,
    read_lists,
    read_numbers,
)

STRONG = 0.5  # standardized difference from which a trait is worth a word: medium (Cohen 1988)
SLIGHT = 0.2  # below this a difference is no trait: small (Cohen 1988)
SAME = 0.6  # correlation from which a trait repeats a stronger one
MOST = 0.5  # share of the members that must have a level before it is told of the segment
NOUNS = ("partner_type", "company_size")  # columns that make the noun of a name
TRAITS = 20  # of a segment at most
WORDS_IN_NAME = 2  # traits after the noun; more only where names would be the same
WORDS_IN_PROFILE = 5
# What a manager can picture; these traits count half as much again when a name is chosen.
VIVID = {
    "industry",
    "country",
    "region",
    "monetary_value",
    "monthly_variation",
    "revenue_growth",
    "countries",
    "effective_countries",
}
VIVID_FACTOR = 1.5
# Columns whose words would repeat or contradict each other in one name; the strongest is told.
KINDRED = (
    {"countries", "effective_countries"},
    {"customers", "new_customers"},
    {"customers", "top_customer_share"},
    {"trainings", "specialized_trainings"},
    {"attendances", "event_touches"},
    {"visits", "portal_touches"},
    {"touches", "conversations"},
    {"touches", "email_touches"},
    {"touches", "phone_touches"},
    {"tenure_days", "first_sale_days"},
)
# Largest typical value for which the word for little is literally true, and smallest for the word for much.
CLAIMS = {
    "effective_countries": (1.5, 3.0),
    "countries": (1.0, 3.0),
    "channels": (1.0, 3.0),
    "revenue_growth": (-0.02, 0.02),
    "active_months": (6.0, 11.5),
    "top_customer_share": (0.2, 0.5),
    "on_time_rate": (0.5, 0.9),
    "partner_nps": (-10.0, 10.0),
    "customer_nps": (-10.0, 10.0),
    "avoided": (0.0, 3.0),
}
TRAIT = {
    "segment": "int64",
    "column": "str",
    "level": "str",
    "effect": "float64",
    "measure": "str",
    "inside": "float64",
    "outside": "float64",
    "repeats": "str",
}
_WINDOW = re.compile(r"_\d+d$")


def find_traits(frame: pd.DataFrame, labels: np.ndarray, encoding: Encoding) -> pd.DataFrame:
    """Find what sets each segment apart from all other partners, in sizes of effect.

    The effect is the difference between the means of members and of all others on the column's coordinate, in
    standard deviations over all partners: 0.2 is small, 0.5 medium, 0.8 large. The coordinate is logarithmic for
    skewed numbers and cut at five standard deviations, so a few giants do not make a trait, and where the medians
    do not differ so there is none; of texts and lists it is the presence of a level, and only levels that are more
    frequent inside are traits. There are no p-values: the columns made the segments, so a test on the same rows
    would always be significant.

    Args:
        frame: One row a partner.
        labels: Segment of each row, -1 is background: it belongs to the others, and has no traits of its own.
        encoding: The columns that made the segments.

    Returns:
        One row a trait of at least 0.2, strongest first within a segment, at most 20; a segment without one has its
        strongest, however weak. No rows if there is only one segment and no background. Columns: segment; column;
        level (`low`, `high`, or the level of a text or list); effect (negative for `low`); measure of the next two:
        `median`, `rank` (median rank of an ordered column, 0 is its lowest level) or `share` (of the partners of whom
        it is known, 0-1); inside; outside; repeats (column of a trait told before this one that correlates above 0.6
        with it; missing where the trait adds something).

    References:
        Cohen (1988), Statistical power analysis for the behavioral sciences, 2nd ed.

    Example:
        >>> from partnerseg.segments.encoding import learn_encoding
        >>> frame = pd.DataFrame({"orders": [1, 2, 3, 7, 8, 9], "kind": ["a", "a", "b", "b", "b", "b"]})
        >>> traits = find_traits(frame, np.array([0, 0, 0, 1, 1, 1]), learn_encoding(frame))
        >>> traits[["segment", "column", "level", "effect", "inside", "outside"]].round(2)
           segment  column level  effect  inside  outside
        0        0  orders   low   -1.93    2.00     8.00
        1        0    kind     a    1.41    0.67     0.00
        2        1  orders  high    1.93    8.00     2.00
        3        1    kind     b    1.41    1.00     0.33
    """
    labels = np.asarray(labels)
    segments = int(labels.max(initial=-1)) + 1
    if not encoding.columns or not (labels != 0).any():
        return pd.DataFrame(columns=list(TRAIT)).astype(TRAIT)
    coordinates = encoding.encode(frame)
    effects = _measure_effects(coordinates, labels, segments)
    traits = [
        {"segment": segment, **trait}
        for segment in range(segments)
        for trait in _list_traits(effects[segment], encoding)
    ]
    for place in {trait["place"] for trait in traits}:
        measure, values = _read_place(frame, encoding, place)
        for trait in (trait for trait in traits if trait["place"] == place):
            inside = labels == trait["segment"]
            medians = _sum_up(values[inside], measure), _sum_up(values[~inside], measure)
            trait |= {"measure": measure, "inside": medians[0], "outside": medians[1]}
            if (medians[0] - medians[1]) * trait["effect"] <= 0:
                trait["effect"] = 0.0
    correlation = correlate_known(coordinates)
    found = []
    for segment in range(segments):
        kept = _keep_traits([trait for trait in traits if trait["segment"] == segment])
        _mark_repeats(kept, correlation)
        found += kept
    return pd.DataFrame(found)[list(TRAIT)].astype(TRAIT)


def name_segments(traits: pd.DataFrame, language: str = "en") -> dict[int, str]:
    """Name each segment by what sets it apart from all other partners.

    A name is a noun and two traits, as "Large integrators, steady, one country". The noun is the type and the size that
    more than half of the members have, where they are more frequent than elsewhere. The traits are the strongest from
    0.5 standard deviations up; what a manager can picture (industry, country, region, revenue, its growth and
    steadiness, number of countries) counts half as much again. Passed over is what repeats a trait already told, and
    another number of the same kind: "one country" and "many countries" never stand in one name. A level of a text is
    told only if more than half of the members have it. "One country", "growing" and the like are said only where they
    are literally true of the segment's typical partner; otherwise it has "few countries" or "more growth". Equal names
    get more traits and, as a last resort, a number.

    Args:
        traits: What `find_traits` returned.
        language: ISO 639-1 code: en, uk or ru. What has no words there reads as the column's name.

    Returns:
        Segment to name; names differ. Without traits the only segment is "All partners".

    Raises:
        ValueError: There are no words in this language.

    Example:
        >>> traits = pd.DataFrame({
        ...     "segment": [0, 0, 1], "column": ["partner_type", "effective_countries_365d", "repair_hours"],
        ...     "level": ["integrator", "low", "high"], "effect": [2.0, -1.5, 1.5],
        ...     "measure": ["share", "median", "median"], "inside": [0.8, 1.2, 9.0], "repeats": None})
        >>> name_segments(traits)
        {0: 'Integrators, one country', 1: 'Partners, high repair hours'}
        >>> name_segments(traits, "uk")[0]
        'Інтегратори, одна країна'
    """
    words = load_words(language)
    groups = _group_traits(traits)
    if len(groups) < 2:
        return {0: _capitalize(words["all_partners"])}
    phrases = {segment: _say_traits(rows, words) for segment, rows in groups.items()}
    nouns = {segment: _say_noun(rows, words, typical=not phrases[segment]) for segment, rows in groups.items()}
    lengths = dict.fromkeys(groups, WORDS_IN_NAME)
    while True:
        names = {segment: ", ".join([nouns[segment], *phrases[segment][: lengths[segment]]]) for segment in groups}
        counts = Counter(names.values())
        equal = [segment for segment, name in names.items() if counts[name] > 1]
        longer = [segment for segment in equal if lengths[segment] < len(phrases[segment])]
        if not longer:
            break
        for segment in longer:
            lengths[segment] += 1
    first = dict(names)
    for place, segment in enumerate(equal):
        number = sum(first[other] == first[segment] for other in equal[: place + 1])
        names[segment] = f"{names[segment]} ({number})"
    return names


def profile_segments(
    frame: pd.DataFrame,
    labels: np.ndarray,
    names: Mapping[int, str],
    stability: pd.Series,
    encoding: Encoding,
    *,
    traits: pd.DataFrame | None = None,
    revenue: str = "monetary_value_365d",
    language: str = "en",
) -> pd.DataFrame:
    """Describe each segment by its size, its share of revenue, what sets it apart and its typical values.

    Args:
        frame: One row a partner.
        labels: Segment of each row, -1 is background.
        names: Segment to name.
        stability: Segment to stability, may be empty.
        encoding: The columns that made the segments.
        traits: What `find_traits` returned; without it nothing is said to differ.
        revenue: Column with the revenue of each partner; may be absent.
        language: Of `differs`: en, uk or ru.

    Returns:
        Index segment, -1 (the background) last: name; n; share (of partners, 0-1, they sum to 1); coverage (share of
        known cells, 0-1); stability (0-1, missing for the background and for a single segment); share_of_revenue (of
        the revenue that is known; they sum to 1, and are missing where revenue is unknown or sums to nothing);
        revenue_coverage (share of members whose revenue is known, 0-1); differs (up to five traits in words, `; `
        between them; empty for the background); then each column's typical value, missing where nothing is known: the
        median of a number, the median level of an ordered column, the most frequent text, the levels that more than
        half of the lists hold. A column called like one of the first ones gets `_typical` after its name.
    """
    labels = np.asarray(labels)
    words = load_words(language)
    told = {} if traits is None else _group_traits(traits)
    segments = [*names, *([-1] if (labels == -1).any() else [])]
    members = [labels == segment for segment in segments]
    known = np.zeros(len(frame), dtype=np.int64)
    for column in encoding.columns:
        known += frame[column.name].notna().to_numpy()
    profile: dict[str, list[Any]] = {
        "name": [names.get(segment, _capitalize(words["no_segment"])) for segment in segments],
        "n": [int(inside.sum()) for inside in members],
        "share": [float(inside.mean()) for inside in members],
        "coverage": [
            float(known[inside].mean() / len(encoding.columns)) if encoding.columns and inside.any() else np.nan
            for inside in members
        ],
        "stability": [float(stability.get(segment, np.nan)) for segment in segments],
        **_share_revenue(frame, members, revenue),
        "differs": ["; ".join(_say_traits(told.get(segment, []), words)[:WORDS_IN_PROFILE]) for segment in segments],
    }
    for column in encoding.columns:
        values = frame[column.name]
        key = f"{column.name}_typical" if column.name in profile else column.name
        profile[key] = [_find_typical(values[inside], column) for inside in members]
    return pd.DataFrame(profile, index=pd.Index(segments, name="segment"))


def find_exemplars(
    coordinates: np.ndarray, labels: np.ndarray, count: int = 3, *, index: Sequence[Hashable] | pd.Index | None = None
) -> dict[int, np.ndarray]:
    """Find the most typical members of each segment.

    They are the members nearest to the mean of their segment, which are those with the least sum of squared distances
    to all members. An unknown cell counts as far away as the segment's members are on average, so a member of whom
    little is known must be very typical in the rest. Ties go to the larger coordinates and then to the smaller index.

    Args:
        coordinates: Partners x coordinates, NaN for unknown.
        labels: Segment of each row, -1 is background: it has no exemplars.
        count: Members wanted of each segment; a smaller segment gives all.
        index: What to return of each row, such as its partner_id; its position if None.

    Returns:
        Segment to its exemplars, the most typical first; a number without members has none. With an index without
        repetitions they do not depend on the order of rows.

    Example:
        >>> coordinates = np.array([[0.0, 1.0], [0.1, 1.1], [0.1, np.nan], [0.3, 1.2], [5.0, 5.0]])
        >>> find_exemplars(coordinates, np.array([0, 0, 0, 0, -1]), count=2)
        {0: array([1, 2])}
    """
    labels = np.asarray(labels)
    ids = np.arange(len(labels)) if index is None else np.asarray(index)
    exemplars = {}
    for segment in range(int(labels.max(initial=-1)) + 1):
        rows = np.flatnonzero(labels == segment)
        if not len(rows):
            exemplars[segment] = ids[rows]
            continue
        distances = _measure_distances(coordinates[rows])
        wanted = min(count, len(rows))
        near = distances <= np.partition(distances, wanted - 1)[wanted - 1]
        rows, distances = rows[near], distances[near]
        content = np.nan_to_num(-coordinates[rows], nan=np.inf)
        by_id = np.argsort(np.argsort(ids[rows], kind="stable"), kind="stable")
        order = np.lexsort([by_id, *content.T[::-1], distances])
        exemplars[segment] = ids[rows[order[:wanted]]]
    return exemplars


@cache
def load_words(language: str = "en") -> dict[str, Any]:
    """Read the words for names of segments in a language.

    Args:
        language: ISO 639-1 code; the name of a file in the folder `words`.

    Raises:
        ValueError: There are no words in this language.

    Example:
        >>> load_words("en")["columns"]["monetary_value"]
        ['low revenue', 'high revenue']
    """
    import yaml

    folder = Path(__file__).parent / "words"
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if language not in known:
        raise ValueError(
            f"language is {language!r}, must be one of {', '.join(known)}: see report.language in programme.yaml"
        )
    return yaml.safe_load((folder / f"{language}.yaml").read_text(encoding="utf-8"))


def _measure_effects(coordinates: np.ndarray, labels: np.ndarray, segments: int) -> np.ndarray:
    """Return segments x coordinates: mean inside less mean outside, in standard deviations; 0 where one is unknown."""
    counts, sums = np.zeros((2, segments + 1, coordinates.shape[1]))
    squares = np.zeros(coordinates.shape[1])
    for start in range(0, len(coordinates), BLOCK):
        block = coordinates[start : start + BLOCK]
        members = (labels[start : start + BLOCK, None] == np.arange(-1, segments)).astype(np.float64)
        filled = np.nan_to_num(block)
        counts += members.T @ ~np.isnan(block)
        sums += members.T @ filled
        squares += (filled**2).sum(axis=0)
    everyone = counts.sum(axis=0)
    spread = np.sqrt(
        np.maximum(squares / np.maximum(everyone, 1) - (sums.sum(axis=0) / np.maximum(everyone, 1)) ** 2, 0)
    )
    inside, outside = counts[1:], everyone - counts[1:]
    gaps = sums[1:] / np.maximum(inside, 1) - (sums.sum(axis=0) - sums[1:]) / np.maximum(outside, 1)
    usable = (inside > 0) & (outside > 0) & (spread > 1e-6)
    # Nine decimals, so that the order of rows leaves no trace.
    return np.round(np.where(usable, gaps / np.where(spread > 1e-6, spread, 1.0), 0.0), 9)


def _list_traits(effects: np.ndarray, encoding: Encoding) -> list[dict[str, Any]]:
    """Return one segment's traits with the place of the coordinate that each was read from."""
    traits = []
    levels = [level for column in encoding.columns for level in (column.levels if _is_text(column) else [None])]
    for place, (owner, level) in enumerate(zip(encoding.owners, levels, strict=True)):
        effect = float(effects[place])
        if level is None:
            level = "high" if effect > 0 else "low"
        elif level == OTHER or effect < 0:
            effect = 0.0
        traits.append({"column": encoding.columns[owner].name, "level": level, "effect": effect, "place": place})
    return _keep_traits(traits)


def _keep_traits(traits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one segment's traits, strongest first, without the slight ones; at least one and at most 20."""
    ranked = sorted(traits, key=lambda trait: (-abs(trait["effect"]), trait["column"], trait["level"]))
    count = sum(abs(trait["effect"]) >= SLIGHT for trait in ranked)
    return ranked[: max(1, min(TRAITS, count))]


def _is_text(column: EncodedColumn) -> bool:
    return column.kind in ("nominal", "multi")


def _read_place(frame: pd.DataFrame, encoding: Encoding, place: int) -> tuple[str, np.ndarray]:
    """Return how a coordinate's values are summed up, and these: numbers, ranks, or 1 for each who has the level."""
    owner = encoding.owners[place]
    column = encoding.columns[owner]
    if column.kind == "number":
        return "median", read_numbers(frame[column.name])
    held = Encoding((column,), {}).encode(frame) / column.weight * column.spread + np.array(column.center)
    first = int(np.flatnonzero(encoding.owners == owner)[0])
    return "share" if _is_text(column) else "rank", np.round(held[:, place - first])


def _sum_up(values: np.ndarray, measure: str) -> float:
    known = values[~np.isnan(values)]
    if not len(known):
        return np.nan
    return float(known.mean() if measure == "share" else np.median(known))


def _mark_repeats(traits: list[dict[str, Any]], correlation: np.ndarray) -> None:
    """Note with each trait of one segment which column, told before, says the same; None where there is none."""
    told: list[dict[str, Any]] = []
    for trait in _order_telling(traits):
        same = [other for other in told if abs(correlation[trait["place"], other["place"]]) > SAME]
        trait["repeats"] = same[0]["column"] if same else None
        if not same and trait["column"] not in NOUNS:
            told.append(trait)


def _order_telling(traits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one segment's traits in the order in which they are told: nouns, then the strongest, vivid ones first."""

    def weigh(trait: dict[str, Any]) -> tuple[bool, float]:
        vivid = _strip_window(trait["column"]) in VIVID
        return trait["column"] not in NOUNS, -abs(trait["effect"]) * (VIVID_FACTOR if vivid else 1.0)

    return sorted(traits, key=weigh)


def _group_traits(traits: pd.DataFrame) -> dict[int, list[dict[str, Any]]]:
    groups: dict[int, list[dict[str, Any]]] = {}
    for trait in traits.to_dict("records"):
        groups.setdefault(int(trait["segment"]), []).append({str(key): value for key, value in trait.items()})
    return dict(sorted(groups.items()))


def _say_noun(traits: list[dict[str, Any]], words: dict[str, Any], *, typical: bool) -> str:
    """Return the members' size and type where most share them, as "Large integrators"."""
    kind, size = words["typical" if typical else "partners"], None
    for trait in traits:
        if trait["measure"] != "share" or trait["inside"] <= MOST or trait["effect"] < SLIGHT:
            continue
        level = trait["level"].strip().casefold()
        if trait["column"] == "partner_type":
            kind = words["kinds"].get(level, words["kind"].format(level=trait["level"]))
        elif trait["column"] == "company_size":
            size = words["sizes"].get(level)
    return _capitalize(words["sized"].format(size=size, kind=kind) if size else kind)


def _say_traits(traits: list[dict[str, Any]], words: dict[str, Any]) -> list[str]:
    """Return words for what sets the members apart besides size and type, in the order of telling."""
    told: list[dict[str, Any]] = []
    for trait in _order_telling(traits):
        if (
            abs(trait["effect"]) >= STRONG
            and pd.isna(trait["repeats"])
            and (trait["measure"] != "share" or trait["inside"] > MOST)
            and not _is_in_noun(trait, words)
            and not any(_are_kindred(trait, other) for other in told)
        ):
            told.append(trait)
    return list(dict.fromkeys(_say_trait(trait, words) for trait in told))


def _are_kindred(trait: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two traits say more or less of the same kind of thing; levels of texts and lists do not."""
    if "share" in (trait["measure"], other["measure"]):
        return False
    stems = {_strip_window(trait["column"]), _strip_window(other["column"])}
    return len(stems) == 1 or stems in KINDRED


def _is_in_noun(trait: dict[str, Any], words: dict[str, Any]) -> bool:
    """Tell whether the noun says it; a size without a word of its own is told among the traits."""
    if trait["column"] not in NOUNS or trait["measure"] != "share":
        return False
    return trait["column"] == "partner_type" or trait["level"].strip().casefold() in words["sizes"]


def _say_trait(trait: dict[str, Any], words: dict[str, Any]) -> str:
    column, level = trait["column"], trait["level"]
    stem = _strip_window(column)
    readable = stem.replace("_", " ")
    if trait["measure"] == "share":
        if stem == "industry":
            level = words["industries"].get(level.strip().casefold(), level)
        return words["levels"].get(stem, words["level"]).format(name=readable, level=level)
    high = level == "high"
    if stem in CLAIMS and (trait["inside"] >= CLAIMS[stem][1] if high else trait["inside"] <= CLAIMS[stem][0]):
        return words["claims"][stem][high]
    if stem in words["columns"]:
        return words["columns"][stem][high]
    return words["high" if high else "low"].format(name=readable)


def _strip_window(column: str) -> str:
    return _WINDOW.sub("", column)


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]


def _share_revenue(frame: pd.DataFrame, members: list[np.ndarray], revenue: str) -> dict[str, list[float]]:
    """Return the share of known revenue, and of members whose revenue is known, of each segment."""
    if revenue not in frame:
        return {"share_of_revenue": [np.nan] * len(members), "revenue_coverage": [np.nan] * len(members)}
    amounts = read_numbers(frame[revenue])
    known = ~np.isnan(amounts)
    sums = [fsum(amounts[inside & known]) for inside in members]
    total = fsum(sums)
    return {
        "share_of_revenue": [
            part / total if total > 0 and known[inside].any() else np.nan
            for part, inside in zip(sums, members, strict=True)
        ],
        "revenue_coverage": [float(known[inside].mean()) if inside.any() else np.nan for inside in members],
    }


def _find_typical(values: pd.Series, column: EncodedColumn) -> float | str | None:
    if column.kind == "number":
        numbers = read_numbers(values)
        known = numbers[~np.isnan(numbers)]
        return float(np.median(known)) if len(known) else np.nan
    if column.kind == "multi":
        lists = [levels for levels in read_lists(values) if levels is not None]
        counts = Counter(level for levels in lists for level in levels)
        return "; ".join(sorted(level for level in counts if counts[level] > MOST * len(lists))) if lists else None
    counts = Counter(level for level in read_levels(values) if level is not None)
    if column.kind == "ordered":
        ranked = [level for level in column.levels for _ in range(counts[level])]
        return ranked[(len(ranked) - 1) // 2] if ranked else None
    return min(counts, key=lambda level: (-counts[level], level)) if counts else None


def _measure_distances(coordinates: np.ndarray) -> np.ndarray:
    """Return the squared distance of each row to the mean; an unknown cell adds the column's variance."""
    known = ~np.isnan(coordinates)
    counts = np.maximum(known.sum(axis=0), 1)
    center = np.where(known, coordinates, 0.0).sum(axis=0) / counts
    squares = np.where(known, (coordinates - center) ** 2, 0.0)
    # Nine decimals, so that the order of rows leaves no trace.
    return np.round(np.where(known, squares, squares.sum(axis=0) / counts).sum(axis=1), 9)
