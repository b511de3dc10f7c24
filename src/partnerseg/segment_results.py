"""Segment tables: where every partner belongs and how sure that is, what it could reach, whom to ask, who moved."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from partnerseg.models import Models, list_dates
from partnerseg.report.language import join_words, say
from partnerseg.segments.criteria import assign_criteria, combine_criteria, summarize_criteria
from partnerseg.segments.encoding import learn_encoding
from partnerseg.segments.moves import (
    SURE,
    explain_moves,
    match_segments,
    measure_drift,
    migration_matrix,
    trace_lineage,
)
from partnerseg.segments.potential import forecast_revenue, summarize_orders
from partnerseg.segments.profiles import find_exemplars

_TELLING = 6  # columns of a segment's typical values on its page
_ASKED = 10  # partners of each region who are asked
_FIELDS = 3  # fields asked of each
_TRIED = 30  # the least certain partners of each region among whom those are looked for
_LEAST_GAIN = 0.01  # bits that an answer must settle
_YEAR = 365  # days
_AGING = ("tenure_days", "first_sale_days")  # they grow by a day a day for everybody: the calendar, no drift
_COUNTED = ["n_old", "n_new", "stayed", "known", "kept", "inherited", "similarity", "by"]
_ASK = ["partner_id", "name", "segment_name", "second", "probability", "field", "expected_gain", "region"]


@dataclass(frozen=True)
class Following:
    """What became of the segments of a year ago, in the numbers of today's segments.

    Attributes:
        partners: One row a partner of today: segment_before (where it belonged a year ago by the model of that time;
            a segment of today has its number, one that is gone a number of its own), settled_segment (where it is
            counted now: as a year ago unless it moved or went along with its segment), moved_from (name then) and
            move_cause (partner, model, both) of those who moved. Missing where nothing can be compared.
        names: Segment to name, those that are gone included; all differ.
        names_before: Segment to the name that it had a year ago, or has now if it is new.
        lineage: One row an event: event, old, new (names in words), n_old, n_new and so on as `trace_lineage`.
        drift: One row a segment of a year ago: segment, name and so on as `Drift.segments`.
        year_before: One row: partners known a year ago; segments (found then); why_not (why nothing is compared; empty
            where it is); stale, reason, stability_index as `Drift`.
    """

    partners: pd.DataFrame
    names: dict[int, str]
    names_before: dict[int, str]
    lineage: pd.DataFrame
    drift: pd.DataFrame
    year_before: pd.DataFrame


def place_partners(models: Models, features: pd.DataFrame, membership: pd.DataFrame) -> pd.DataFrame:
    """One row a partner: criteria and potential, segment and how sure that is, place on the map, expected revenue.

    Args:
        models: The frozen models.
        features: Of the whole programme, as of the report.
        membership: What the segmenter's `predict_proba` said of these.
    """
    segmenter, settings = models.segmenter, models.params.segments
    criteria = assign_criteria(features, settings)
    segment = pd.Series(segmenter.labels_, index=features.index)
    return pd.concat(
        [
            criteria,
            combine_criteria(criteria, settings.criteria.by).astype("str").rename("criteria_segment"),
            segment.rename("segment"),
            segment.map(segmenter.names_).rename("segment_name"),
            _rank_segments(membership),
            segmenter.transform(features),
            _forecast_partners(models).reindex(features.index),
        ],
        axis=1,
    )


def follow_partners(
    models: Models, before: pd.DataFrame, features: pd.DataFrame, membership: pd.DataFrame
) -> Following:
    """Compare the segments of a year ago, found by a model of that time, with those of today.

    Args:
        models: The frozen models.
        before: Features of the whole programme a year ago; perhaps of nobody.
        features: Of the whole programme, as of the report.
        membership: What today's segmenter's `predict_proba` said of these.
    """
    now, earlier = models.segmenter, models.segmenter_before
    if earlier is None or min(earlier.n_segments_, now.n_segments_) < 2:
        return _follow_nobody(models, before, features)
    labels = pd.Series(now.labels_, index=features.index)
    then = pd.Series(earlier.labels_, index=before.index)
    # Today's numbers for the segments of a year ago, so that a segment has one number on every page.
    ids = match_segments(labels, then, old_features=features, new_features=before)["segment"]
    called = {int(ids[old]): name for old, name in earlier.names_.items()}
    gone = {segment: _tell_apart(name, now.names_) for segment, name in called.items() if segment not in now.names_}
    names = {**now.names_, **gone}
    lineage = trace_lineage(then.map(ids).fillna(-1), labels, old_features=before, new_features=features)
    first, between = (earlier.predict_proba(rows).rename(columns=ids) for rows in (before, features))
    moves = explain_moves(first, between, membership, lineage=lineage)
    homes = first.idxmax(axis=1), between.idxmax(axis=1)
    partners = _settle_partners(homes[0], membership.idxmax(axis=1), moves, lineage, set(now.names_))
    partners["moved_from"] = moves["segment_before"].map(called).reindex(features.index)
    partners["move_cause"] = moves["cause"].reindex(features.index)
    used = [name for name in (models.params.segments.columns or before.columns) if name not in earlier.dropped_]
    quoted = {segment: say("quote", name=name) for segment, name in called.items()}
    used = [name for name in used if name not in _AGING] or used
    drift = measure_drift(before[used], homes[0], features[used], homes[1], names=quoted)
    told = {"stale": drift.stale, "reason": drift.reason, "stability_index": drift.stability_index}
    segments = drift.segments.reset_index()
    segments.insert(1, "name", segments["segment"].map(called))
    return Following(
        partners,
        names,
        {**names, **called},
        _name_lineage(lineage, names, called),
        segments.assign(nearest=segments["nearest"].map(called)),
        pd.DataFrame([{"partners": len(before), "segments": earlier.n_segments_, "why_not": "", **told}]),
    )


def count_segments(partners: pd.DataFrame, names: Mapping[int, str]) -> pd.DataFrame:
    """One row a segment: segment, name, n, share (of the partners given), share_of_revenue, revenue_coverage.

    Who belongs to none is in no row.
    """
    revenue = partners["monetary_value_365d"]
    groups = revenue.groupby(partners["segment"])
    counts = partners["segment"].value_counts().reindex(list(names), fill_value=0)
    whole = revenue.sum()
    return pd.DataFrame(
        {
            "segment": counts.index,
            "name": counts.index.map(dict(names)),
            "n": counts.to_numpy(),
            "share": counts.to_numpy() / max(len(partners), 1),
            "share_of_revenue": (
                groups.sum(min_count=1).reindex(counts.index) / (whole if whole > 0 else np.nan)
            ).to_numpy(),
            "revenue_coverage": (groups.count().reindex(counts.index) / counts.where(counts > 0)).to_numpy(),
        }
    )


def count_criteria(partners: pd.DataFrame, settings: Any) -> pd.DataFrame:
    """One row a criteria segment: segment, n, share, revenue, revenue_share, coverage (of revenue), is_small."""
    segments = combine_criteria(partners, settings.criteria.by)
    table = summarize_criteria(segments, partners["monetary_value_365d"], small=settings.criteria.small)
    return table.reset_index().astype({"segment": "str"})


def count_potential(partners: pd.DataFrame) -> pd.DataFrame:
    """One row a partner type and one for `all`: what a typical partner sold, could reach and is expected to sell.

    Columns are medians of the partners of whom they are known, n_potential of n and n_forecast of n.
    """
    columns = [
        "monetary_value_365d",
        *(f"{name}{end}" for name in ("potential", "headroom", "forecast") for end in ("_value", "_low", "_high")),
    ]
    known = partners.rename(columns={"headroom": "headroom_value"})
    groups = {"all": known} | dict(list(known.groupby(known["partner_type"].astype("str"))))
    rows = [
        {
            "partner_type": name,
            "n": len(own),
            "n_potential": int(own["potential_value"].notna().sum()),
            "n_headroom": int(own["headroom_value"].notna().sum()),
            "n_forecast": int(own["forecast_value"].notna().sum()),
            **own[columns].median(),
        }
        for name, own in groups.items()
    ]
    return pd.DataFrame(rows)


def count_moves(partners: pd.DataFrame, followed: Following) -> pd.DataFrame:
    """One row a segment a year ago, a column a segment now, in one order: how many partners; joined and left last.

    A row has the name that the segment had a year ago, a column the one that it has now. No rows where nothing can be
    compared.
    """
    if partners["settled_segment"].isna().all():
        return pd.DataFrame({"a_year_ago": pd.Series(dtype="str")})
    matrix = migration_matrix(partners["segment_before"], partners["settled_segment"])
    segments = sorted(followed.names)
    matrix = matrix.reindex(index=[*segments, "joined"], columns=[*segments, "left"], fill_value=0)
    return matrix.rename(index=followed.names_before, columns=followed.names).reset_index(names="a_year_ago")


def shorten_profile(segmenter: Any) -> pd.DataFrame:
    """One row a segment: how large, known and stable, what sets it apart, and the values that differ most.

    `chance_stability` is the largest that data without segments reach, the same in every row.
    """
    profile, traits = segmenter.profile_, segmenter.traits_
    columns = ["name", "n", "share", "share_of_revenue", "revenue_coverage", "coverage", "stability", "differs"]
    strength = traits[traits["repeats"].isna()]["effect"].abs().groupby(traits["column"]).max()
    telling = strength.sort_values(ascending=False, kind="stable").index.intersection(profile.columns, sort=False)
    words = [name for name in ("partner_type", "company_size") if name in profile]
    numbers = [name for name in telling if name not in words][:_TELLING]
    shown = profile[[*columns, *words, *numbers]]
    if segmenter.n_segments_ > 1:
        shown.insert(columns.index("stability") + 1, "chance_stability", segmenter.chance_stability().max())
    return shown.reset_index(names="segment")


def list_exemplars(models: Models, features: pd.DataFrame, partners: pd.DataFrame) -> pd.DataFrame:
    """One row a typical member of a segment, of the whole programme and of each region, the most typical first."""
    segmenter = models.segmenter
    found = {"all": segmenter.exemplars_}
    encoding = learn_encoding(features, list(models.params.segments.columns) or None)
    for code, own in partners.groupby("region"):
        coordinates = encoding.encode(features.loc[own.index])
        found[str(code)] = find_exemplars(coordinates, own["segment"].to_numpy(), index=own.index)
    rows = [
        {"region": code, "segment": segment, "segment_name": segmenter.names_[segment], "partner_id": partner_id}
        for code, exemplars in found.items()
        for segment, ids in exemplars.items()
        for partner_id in ids
        if segmenter.n_segments_ > 1
    ]
    listed = pd.DataFrame(rows, columns=["region", "segment", "segment_name", "partner_id"])
    columns = ["name", "partner_type", "country", "monetary_value_365d", "probability", "x", "y"]
    about = partners.assign(country=features.get("country"))[columns].reindex(listed["partner_id"])
    return pd.concat([listed, about.set_axis(listed.index)], axis=1)


def list_questions(models: Models, features: pd.DataFrame, partners: pd.DataFrame) -> pd.DataFrame:
    """One row a question: of the least certain partners of each region, what would settle their segment most.

    Args:
        models: The frozen models.
        features: Of the whole programme, as of the report.
        partners: One row a partner who may be asked: name, region, probability, likely_segment, second_segment.

    Returns:
        Index partner_id, the least certain first: name, segment_name (the likeliest), second (the next one),
        probability, field, expected_gain (bits), region.
    """
    segmenter = models.segmenter
    rows: list[dict[str, Any]] = []
    if segmenter.n_segments_ > 1:
        unsure = partners[partners["probability"] < SURE].sort_values("probability", kind="stable")
        for _, own in unsure.groupby("region"):
            asked = 0
            for partner_id in own.index[:_TRIED]:
                gains = segmenter.fields_to_ask(features.loc[[partner_id]])
                gains = gains[gains >= _LEAST_GAIN].head(_FIELDS)
                rows += [_ask(own, partner_id, field, gain, segmenter.names_) for field, gain in gains.items()]
                asked += len(gains) > 0
                if asked == _ASKED:
                    break
    listed = pd.DataFrame(rows, columns=_ASK).set_index("partner_id")
    return listed.sort_values("probability", kind="stable")


def _ask(partners: pd.DataFrame, partner_id: str, field: Any, gain: float, names: Mapping[int, str]) -> dict[str, Any]:
    partner = dict(partners.loc[partner_id])
    return {
        "partner_id": partner_id,
        "name": partner["name"],
        "segment_name": names[int(partner["likely_segment"])],
        "second": names[int(partner["second_segment"])],
        "probability": partner["probability"],
        "field": field,
        "expected_gain": gain,
        "region": partner["region"],
    }


def _rank_segments(membership: pd.DataFrame) -> pd.DataFrame:
    """One row a partner: likeliest segment, how likely it is, and the next one (missing where there is one only)."""
    chances = membership.to_numpy()
    order = np.argsort(-chances, axis=1, kind="stable")
    second = pd.array(order[:, 1] if chances.shape[1] > 1 else [None] * len(chances), dtype="Int64")
    table = {"likely_segment": order[:, 0], "probability": chances.max(axis=1), "second_segment": second}
    return pd.DataFrame(table, index=membership.index)


def _forecast_partners(models: Models) -> pd.DataFrame:
    """One row a partner who sold: forecast_value, forecast_low, forecast_high of the next year's revenue."""
    sales, (before, as_of) = models.programme.frame("sales"), list_dates(models.params)
    orders = summarize_orders(sales, as_of)
    earlier = None
    if len(sales) and sales["sold_at"].min() <= pd.Timestamp(before) - pd.Timedelta(days=_YEAR - 1):
        earlier = summarize_orders(sales, before)
    level = models.params.segments.potential.level
    forecast = forecast_revenue(orders, horizon=float(_YEAR), level=level, earlier=earlier)
    columns = {f"expected_{end}": f"forecast_{end}" for end in ("value", "low", "high")}
    return forecast[list(columns)].rename(columns=columns)


def _follow_nobody(models: Models, before: pd.DataFrame, features: pd.DataFrame) -> Following:
    """Say why nothing can be compared."""
    now, earlier = models.segmenter, models.segmenter_before
    if now.n_segments_ < 2:
        why_not = say("findings.before_now")
    elif earlier is None:
        why_not = say("findings.before_nobody")
    else:
        why_not = earlier.evidence_.reason
    told = {"partners": len(before), "segments": 0 if earlier is None else earlier.n_segments_, "why_not": why_not}
    nothing = {"segment_before": pd.NA, "settled_segment": pd.NA, "moved_from": None, "move_cause": None}
    types = {"segment_before": "Int64", "settled_segment": "Int64", "moved_from": "str", "move_cause": "str"}
    return Following(
        pd.DataFrame(nothing, index=features.index).astype(types),
        dict(now.names_),
        dict(now.names_),
        pd.DataFrame(columns=["event", "old", "new", *_COUNTED]).astype({"event": "str", "old": "str", "new": "str"}),
        pd.DataFrame(columns=["segment", "name", "stale"]).astype({"segment": "int64", "name": "str", "stale": "bool"}),
        pd.DataFrame([{**told, "stale": None, "reason": "", "stability_index": np.nan}]).astype({"stale": "boolean"}),
    )


def _settle_partners(
    before: pd.Series, likely: pd.Series, moves: pd.DataFrame, lineage: pd.DataFrame, current: set[int]
) -> pd.DataFrame:
    """One row a partner of today: its segment a year ago, and where it is counted now."""
    was = before.reindex(likely.index).astype("Int64")
    events = zip(lineage["old"], lineage["new"], strict=True)
    links = [(old, new) for olds, news in events for old in olds for new in news]
    along = pd.MultiIndex.from_arrays([was.fillna(-1), likely]).isin(links) if links else np.zeros(len(was), dtype=bool)
    stays = was.isin(current).fillna(False).to_numpy(dtype=bool) & ~along
    settled = likely.astype("Int64").where(~stays, was)
    settled.loc[moves.index] = moves["segment_after"].astype("Int64")
    return pd.DataFrame({"segment_before": was, "settled_segment": settled}, index=likely.index)


def _tell_apart(name: str, names: Mapping[int, str]) -> str:
    """Mark the name of a segment that is gone where one of today is called the same."""
    return say("was", name=name) if name in names.values() else name


def _name_lineage(lineage: pd.DataFrame, names: Mapping[int, str], then: Mapping[int, str]) -> pd.DataFrame:
    """Put names in the place of the numbers; a segment of a year ago has the name that it had then."""

    def put(segments: tuple[int, ...], called: Mapping[int, str]) -> str:
        return join_words(say("quote", name=called[segment]) for segment in segments)

    named = lineage.assign(
        old=[put(segments, then) for segments in lineage["old"]],
        new=[put(segments, names) for segments in lineage["new"]],
    )
    return named.astype({"old": "str", "new": "str"})
