"""Result tables: the frozen models applied to the whole programme, everything that pages and editions show."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from partnerseg.effect.metrics import summarize_metrics
from partnerseg.features.assessments import list_assessed
from partnerseg.features.catalogue import describe_features
from partnerseg.journey_results import note_unknown_words, plan_stages, plan_steps, tell_journey, tell_routes
from partnerseg.models import Models
from partnerseg.programme.consent import consent_at
from partnerseg.programme.sources import as_frames
from partnerseg.rating_results import (
    advise_partners,
    count_economics,
    follow_partners_tiers,
    list_changes,
    list_factors,
    mean_factors,
    measure_steadiness,
    prove_rating,
    rate_partners,
    try_thresholds,
)
from partnerseg.segment_results import (
    count_criteria,
    count_moves,
    count_potential,
    count_segments,
    follow_partners,
    list_exemplars,
    list_questions,
    place_partners,
    shorten_profile,
)

if TYPE_CHECKING:
    from partnerseg.params import Params
    from partnerseg.programme.sources import Programme


def apply_models(models: Models) -> dict[str, pd.DataFrame]:
    """Apply the frozen models to the whole programme: every result table by its name.

    Tables with one row a partner have the index partner_id and a column region. All others have a
    column region with `all` for the whole programme, unless they are about the programme only.
    """
    programme = models.programme
    before, features = models.features.values()
    names = programme.frame("partners").set_index("partner_id")["name"].reindex(features.index)
    membership = models.segmenter.predict_proba(features)
    followed = follow_partners(models, before, features, membership)
    tiers = follow_partners_tiers(models)
    rated, contributions = rate_partners(models, features, tiers)
    partners = pd.concat([place_partners(models, features, membership), followed.partners, rated], axis=1)
    partners.insert(0, "name", names.fillna(names.index.to_series()))
    partners.insert(1, "region", features["region"])
    routes = tell_routes(models, partners)
    plan = plan_steps(models, features, partners, routes["effects"])
    partners["next_step"] = plan["action"].reindex(partners.index)
    plan.insert(0, "name", partners["name"])
    willing = partners.drop(index=_list_refusing(models, partners.index))
    groups = {"all": partners.index} | {str(code): rows for code, rows in partners.groupby("region").groups.items()}
    tables = {
        "partners": partners,
        "features": features,
        "contributions": contributions.assign(region=features["region"]),
        "plan": plan.assign(region=features["region"]),
        "advice": advise_partners(models, features, willing),
        "ledger": programme.ledger,
        "freshness": programme.freshness,
        "aside": _count_aside(programme.quarantine),
        "notices": pd.concat([programme.notices, note_unknown_words(models)], ignore_index=True),
        "unknown": _list_unknown(programme),
        "experiments": _count_variants(
            programme.frame("assignments"), features["region"], models.params.programme.as_of
        ),
        "profile": shorten_profile(models.segmenter),
        "exemplars": list_exemplars(models, features, partners),
        "questions": list_questions(models, features, willing),
        "lineage": followed.lineage,
        "drift": followed.drift,
        "year_before": followed.year_before,
        "factors": list_factors(models, features),
        "tier_changes": list_changes(tiers, models, partners),
        "steadiness": measure_steadiness(models, features, tiers),
        **prove_rating(models),
        **tell_journey(models, features, partners, groups),
        **routes,
        **plan_stages(models, partners, willing.index, routes["effects"]),
        **_tell_effect(models, partners),
    }
    by_region = {
        "coverage": lambda rows: _summarize_coverage(features.loc[rows], models.params),
        "segments": lambda rows: count_segments(partners.loc[rows], models.segmenter.names_),
        "criteria_segments": lambda rows: count_criteria(partners.loc[rows], models.params.segments),
        "potential": lambda rows: count_potential(partners.loc[rows]),
        "moves": lambda rows: count_moves(partners.loc[rows], followed),
        "factor_means": lambda rows: mean_factors(contributions.loc[rows], models.rating.factors_),
        "economics": lambda rows: count_economics(partners.loc[rows], models, tiers),
        "what_if": lambda rows: try_thresholds(partners.loc[rows], models, tiers),
    }
    for name, compute in by_region.items():
        tables[name] = pd.concat(
            [compute(rows).assign(region=code) for code, rows in groups.items()], ignore_index=True
        )
    tables["summaries"] = _summarize_regions(partners, tables["metrics"], groups)
    return tables


def _tell_effect(models: Models, partners: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Metrics for the programme and each region, by segment within them, and quarter by quarter."""
    settings, programme, as_of = models.params.effect, as_frames(models.programme), models.params.programme.as_of
    options: dict[str, Any] = {
        "window_days": settings.window_days,
        "level": settings.interval_level,
        "stages": tuple(settings.conversion),
    }
    groups = partners[["segment_name"]].fillna("no segment")
    after = pd.Timestamp(models.params.programme.as_of) + pd.Timedelta(days=1)
    ends = [after - pd.DateOffset(months=months) - pd.Timedelta(days=1) for months in range(21, -1, -3)]
    first = programme["sales"]["sold_at"].min() + pd.Timedelta(days=settings.window_days - 31)
    quarters = [end.strftime("%Y-%m-%d") for end in ends if first <= end]  # a window must lie within what is known

    def spread(as_of: str | list[str], by: list[str], **more: Any) -> pd.DataFrame:
        whole = summarize_metrics(programme, as_of=as_of, by=by, **options, **more).assign(region="all")
        return pd.concat([whole, summarize_metrics(programme, as_of=as_of, by=["region", *by], **options, **more)])

    trend = ["revenue_per_partner", "active_share", "engagement_rate"]
    return {
        "metrics": spread(as_of, []),
        "segment_metrics": spread(as_of, ["segment_name"], groups=groups),
        "trend": spread(quarters, [], metrics=trend),
    }


def _summarize_coverage(features: pd.DataFrame, params: "Params") -> pd.DataFrame:
    """One row a family of features: family, number of features, share of known values (0 to 1)."""
    family = describe_features(assessed=list_assessed(params.rating.factors))["family"]
    known = features.notna().mean().groupby(family.reindex(features.columns), sort=False).agg(["size", "mean"])
    return known.set_axis(["features", "coverage"], axis=1).rename_axis("family").reset_index()


def _count_aside(quarantine: pd.DataFrame) -> pd.DataFrame:
    """One row a table and reason: how many rows were set aside, and where the first one stands."""
    keys = ["table", "column", "reason"]
    counts = quarantine.groupby(keys, dropna=False, sort=False).agg(
        rows=("line", "size"), file=("file", "first"), line=("line", "first")
    )
    return counts.reset_index().sort_values("rows", ascending=False, kind="stable", ignore_index=True)


def _list_unknown(programme: "Programme") -> pd.DataFrame:
    """One row a column that no source knows: table, column; `*` where the table has no rows."""
    empty = set(programme.freshness.loc[programme.freshness["rows"] == 0, "table"])
    rows = [
        (table, column)
        for table, columns in programme.unknown.items()
        for column in (["*"] if table in empty else columns)
    ]
    return pd.DataFrame(rows, columns=["table", "column"])


def _list_refusing(models: Models, partners: pd.Index) -> pd.Index:
    """The partners who have paused or withdrawn anything: no page proposes a step for them."""
    allowed = consent_at(models.programme.frame("consents"), models.params.programme.as_of)
    return allowed.index[allowed.eq(False).any(axis=1)].intersection(partners)


def _count_variants(assignments: pd.DataFrame, region: pd.Series, as_of: str) -> pd.DataFrame:
    """One row an experiment and variant: partners, first and last day of assignment, as known at the end of a day."""
    end = pd.Timestamp(as_of) + pd.Timedelta(days=1)
    assignments = assignments[(assignments["assigned_at"] < end) & ~(assignments["arrived_at"] >= end)]
    own = assignments.assign(region=assignments["partner_id"].map(region))
    both = pd.concat([own.assign(region="all"), own])
    counts = both.groupby(["region", "experiment", "variant"]).agg(
        n=("partner_id", "nunique"), first=("assigned_at", "min"), last=("assigned_at", "max")
    )
    return counts.reset_index()


def _summarize_regions(partners: pd.DataFrame, metrics: pd.DataFrame, groups: dict[str, pd.Index]) -> pd.DataFrame:
    """One row a region: the measures that the index compares, with `_lower` and `_upper` where there is an interval."""
    shown = ["revenue_per_partner", "active_share", "engagement_rate", "conversion"]
    rows = {}
    for code, index in groups.items():
        own = metrics[metrics["region"] == code].set_index("metric")
        row: dict[str, Any] = {"partners": len(index), "revenue": own.loc["revenue", "value"]}
        for name in shown:
            row |= {
                name: own.loc[name, "value"],
                f"{name}_lower": own.loc[name, "lower"],
                f"{name}_upper": own.loc[name, "upper"],
            }
        row["score"] = partners.loc[index, "score"].median()
        rows[code] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("region")
