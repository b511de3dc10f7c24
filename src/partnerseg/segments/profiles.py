"""Says in words and numbers what a segment is like."""

import re

import numpy as np
import pandas as pd

from partnerseg.segments.encoding import Encoding, read_levels

STRONG = 0.5  # standard deviations between a segment's and the others' median before it is worth a word
PARTNER_KINDS = {
    "reseller": "resellers",
    "integrator": "integrators",
    "agent": "agents",
    "influencer": "influencers",
    "technology": "technology partners",
}
# What people say of a partner that has little or much of something; windows are left out of the keys.
WORDS = {
    "monetary_value": ("low revenue", "high revenue"),
    "frequency": ("rare orders", "frequent orders"),
    "average_order_value": ("small orders", "large orders"),
    "return_rate": ("few returns", "many returns"),
    "discount": ("small discounts", "large discounts"),
    "products": ("few products", "many products"),
    "monthly_variation": ("steady", "uneven"),
    "active_months": ("few active months", "active all year"),
    "longest_gap_days": ("short pauses", "long pauses"),
    "revenue_growth": ("shrinking", "growing"),
    "recency_days": ("bought lately", "long without a sale"),
    "tenure_days": ("young", "long-standing"),
    "first_sale_days": ("first sale lately", "first sale long ago"),
    "countries": ("few countries", "many countries"),
    "effective_countries": ("one country", "many countries"),
    "customers": ("few customers", "many customers"),
    "new_customers": ("few new customers", "many new customers"),
    "repeat_rate": ("one-time customers", "loyal customers"),
    "top_customer_share": ("spread customers", "one main customer"),
    "touches": ("few contacts", "many contacts"),
    "conversations": ("few conversations", "many conversations"),
    "channels": ("one channel", "many channels"),
    "email_touches": ("few emails", "many emails"),
    "phone_touches": ("few calls", "many calls"),
    "event_touches": ("seldom at events", "often at events"),
    "portal_touches": ("seldom in the portal", "often in the portal"),
    "response_recency_days": ("responded lately", "long silent"),
    "reply_rate": ("seldom reply", "often reply"),
    "open_rate": ("seldom read", "often read"),
    "attendances": ("few events", "many events"),
    "visits": ("few portal visits", "many portal visits"),
    "contact_recency_days": ("contacted lately", "long without contact"),
    "trainings": ("little training", "much training"),
    "certificates_in_force": ("few certificates", "many certificates"),
    "training_score": ("low training scores", "high training scores"),
    "specialized_trainings": ("little specialized training", "much specialized training"),
    "tickets": ("few tickets", "many tickets"),
    "resolution_hours": ("quick solutions", "slow solutions"),
    "on_time_rate": ("often late", "on time"),
    "task_quality": ("low task quality", "high task quality"),
    "ticket_csat": ("unhappy with support", "happy with support"),
    "feedback": ("little feedback", "much feedback"),
    "complaints": ("few complaints", "many complaints"),
    "partner_nps": ("critical of us", "fond of us"),
    "customer_nps": ("critical customers", "fond customers"),
    "review_score": ("poor reviews", "good reviews"),
    "declared_potential": ("low declared potential", "high declared potential"),
    "preferred_channels": ("few preferred channels", "many preferred channels"),
    "preferred_topics": ("few preferred topics", "many preferred topics"),
    "avoided": ("nothing to avoid", "much to avoid"),
}
_WINDOW = re.compile(r"_\d+d$")


def name_segments(frame: pd.DataFrame, labels: np.ndarray, encoding: Encoding) -> dict[int, str]:
    """Name each segment by what sets it apart from all other partners.

    A name is the kind of partner, if most members share one, and the two or three numbers in which their median
    differs most from that of the others; columns that say the same as one already told are passed over.

    Args:
        frame: One row a partner.
        labels: Segment of each row, -1 is background.
        encoding: The columns that made the segments.

    Returns:
        Segment to name; names differ. A single segment is "All partners".
    """
    segments = range(int(labels.max()) + 1)
    if len(segments) < 2:
        return {0: "All partners"}
    coordinates = encoding.encode(frame)
    numbers = [column for column in encoding.columns if column.kind == "number"]
    # Back to standard deviations: how much a column counts on the map is no reason to mention it.
    values = (
        np.column_stack(
            [coordinates[:, place] / _deviation(coordinates[:, place]) for place in np.flatnonzero(encoding.numeric)]
        )
        if numbers
        else np.empty((len(frame), 0))
    )
    nouns, traits = {}, {}
    for segment in segments:
        members = labels == segment
        nouns[segment] = _find_noun(frame, members)
        traits[segment] = _find_traits(values, members, [column.name for column in numbers])
    names: dict[int, str] = {}
    for segment in segments:
        for length in range(2, len(traits[segment]) + 1):
            name = ", ".join([nouns[segment], *traits[segment][:length]])
            if name not in names.values():
                break
        else:
            name = ", ".join([nouns[segment], *traits[segment]])
        if name in names.values():
            name = f"{name} ({segment + 1})"
        names[segment] = name
    return names


def profile_segments(
    frame: pd.DataFrame, labels: np.ndarray, names: dict[int, str], stability: pd.Series, encoding: Encoding
) -> pd.DataFrame:
    """Describe each segment by its size and typical values.

    Args:
        frame: One row a partner.
        labels: Segment of each row, -1 is background.
        names: Segment to name.
        stability: Segment to stability, may be empty.
        encoding: The columns that made the segments.

    Returns:
        Index segment, -1 (the background) last: name, n, share (0-1, they sum to 1), coverage (share of known cells,
        0-1), stability (0-1, missing for the background and for a single segment), then each column's median or most
        frequent text; missing where nothing is known.
    """
    rows = []
    columns = [column.name for column in encoding.columns]
    for segment in [*names, *([-1] if (labels == -1).any() else [])]:
        members = frame.loc[labels == segment, columns]
        row: dict[str, object] = {
            "segment": segment,
            "name": names.get(segment, "No segment"),
            "n": len(members),
            "share": len(members) / len(frame),
            "coverage": float(members.notna().to_numpy().mean()) if columns else np.nan,
            "stability": float(stability.get(segment, np.nan)),
        }
        for column in encoding.columns:
            values = members[column.name]
            if column.kind == "number":
                known = values.dropna().to_numpy(dtype=np.float64)
                row[column.name] = float(np.median(known)) if len(known) else np.nan
            else:
                row[column.name] = _find_mode(values)
        rows.append(row)
    return pd.DataFrame(rows).set_index("segment")


def _find_noun(frame: pd.DataFrame, members: np.ndarray) -> str:
    """Return the members' size and type where most share them, as "Large integrators"."""
    noun = "partners"
    if "partner_type" in frame and (kind := _find_majority(frame["partner_type"], members)):
        noun = PARTNER_KINDS.get(kind, f"{kind} partners")
    if "company_size" in frame and (size := _find_majority(frame["company_size"], members)):
        noun = f"{size} {noun}"
    return noun[0].upper() + noun[1:]


def _find_majority(values: pd.Series, members: np.ndarray) -> str | None:
    """Return the level that more than half of the members have, and clearly more of them than of the others."""
    level = _find_mode(values[members])
    if level is None:
        return None
    levels = read_levels(values)
    share = (levels[members] == level).mean()
    return level if share > 0.5 and share > 1.25 * (levels[~members] == level).mean() else None


def _find_mode(values: pd.Series) -> str | None:
    levels = read_levels(values)
    known = levels[[level is not None for level in levels]]
    if not len(known):
        return None
    names, counts = np.unique(known.astype(str), return_counts=True)
    return str(names[counts.argmax()])


def _deviation(values: np.ndarray) -> float:
    return float(np.nanstd(values)) or 1.0


def _find_traits(values: np.ndarray, members: np.ndarray, columns: list[str]) -> list[str]:
    """Return words for what sets the members apart, strongest first."""
    gaps = np.array([_find_gap(column[members], column[~members]) for column in values.T])
    known = np.nan_to_num(values)
    words: list[str] = []
    told: list[int] = []
    for place in np.argsort(-np.abs(gaps), kind="stable"):
        if abs(gaps[place]) < STRONG or len(words) == 6:
            break
        if any(abs(np.corrcoef(known[:, place], known[:, other])[0, 1]) > 0.6 for other in told):
            continue
        word = _say(columns[place], bool(gaps[place] > 0))
        if word not in words:
            told.append(place)
            words.append(word)
    return words


def _find_gap(inside: np.ndarray, outside: np.ndarray) -> float:
    inside, outside = inside[~np.isnan(inside)], outside[~np.isnan(outside)]
    return float(np.median(inside) - np.median(outside)) if len(inside) and len(outside) else 0.0


def _say(column: str, much: bool) -> str:
    stem = _WINDOW.sub("", column)
    if stem in WORDS:
        return WORDS[stem][much]
    level = "high" if much else "low"
    if stem.startswith("assessed_"):
        return f"{level} {stem.removeprefix('assessed_').replace('_', ' ')} rating"
    return f"{level} {stem.replace('_', ' ')}"
