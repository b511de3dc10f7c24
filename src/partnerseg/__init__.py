"""partnerseg: who your partners are, how good, where they stand, what to do next, what works.

The public nouns are imported when they are first used, so that `import partnerseg` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from partnerseg.batch import run
    from partnerseg.effect.metrics import METRICS, summarize_metrics
    from partnerseg.features.build import build_features
    from partnerseg.features.catalogue import describe_features
    from partnerseg.journey.next_steps import plan_next_steps
    from partnerseg.journey.stages import Journey
    from partnerseg.params import load_params
    from partnerseg.programme.simulate import simulate_programme
    from partnerseg.programme.sources import open_programme
    from partnerseg.programme_pass import open_models
    from partnerseg.rating.economics import tier_economics, what_if_thresholds
    from partnerseg.rating.errors import estimate_errors
    from partnerseg.rating.fairness import assess_fairness
    from partnerseg.rating.rating import PartnerRating
    from partnerseg.rating.tiers import assign_tiers, follow_tiers, list_tier_changes
    from partnerseg.rating.validation import compare_ratings, next_outcomes, validate_rating
    from partnerseg.segments.criteria import assign_criteria, combine_criteria, summarize_criteria
    from partnerseg.segments.moves import (
        explain_moves,
        match_segments,
        measure_drift,
        migration_matrix,
        settle_segments,
        trace_lineage,
    )
    from partnerseg.segments.potential import estimate_potential, forecast_revenue, summarize_orders
    from partnerseg.segments.profiles import name_segments
    from partnerseg.segments.segmenter import PartnerSegmenter

__version__ = "0.1.0"

_HOMES = {
    "Journey": "journey.stages",
    "METRICS": "effect.metrics",
    "PartnerRating": "rating.rating",
    "PartnerSegmenter": "segments.segmenter",
    "assess_fairness": "rating.fairness",
    "assign_criteria": "segments.criteria",
    "assign_tiers": "rating.tiers",
    "build_features": "features.build",
    "combine_criteria": "segments.criteria",
    "compare_ratings": "rating.validation",
    "describe_features": "features.catalogue",
    "estimate_errors": "rating.errors",
    "estimate_potential": "segments.potential",
    "explain_moves": "segments.moves",
    "follow_tiers": "rating.tiers",
    "forecast_revenue": "segments.potential",
    "list_tier_changes": "rating.tiers",
    "load_params": "params",
    "match_segments": "segments.moves",
    "measure_drift": "segments.moves",
    "migration_matrix": "segments.moves",
    "name_segments": "segments.profiles",
    "next_outcomes": "rating.validation",
    "open_models": "programme_pass",
    "open_programme": "programme.sources",
    "plan_next_steps": "journey.next_steps",
    "run": "batch",
    "settle_segments": "segments.moves",
    "simulate_programme": "programme.simulate",
    "summarize_criteria": "segments.criteria",
    "summarize_metrics": "effect.metrics",
    "summarize_orders": "segments.potential",
    "tier_economics": "rating.economics",
    "trace_lineage": "segments.moves",
    "validate_rating": "rating.validation",
    "what_if_thresholds": "rating.economics",
}
__all__ = [
    "METRICS",
    "Journey",
    "PartnerRating",
    "PartnerSegmenter",
    "assess_fairness",
    "assign_criteria",
    "assign_tiers",
    "build_features",
    "combine_criteria",
    "compare_ratings",
    "describe_features",
    "estimate_errors",
    "estimate_potential",
    "explain_moves",
    "follow_tiers",
    "forecast_revenue",
    "list_tier_changes",
    "load_params",
    "match_segments",
    "measure_drift",
    "migration_matrix",
    "name_segments",
    "next_outcomes",
    "open_models",
    "open_programme",
    "plan_next_steps",
    "run",
    "settle_segments",
    "simulate_programme",
    "summarize_criteria",
    "summarize_metrics",
    "summarize_orders",
    "tier_economics",
    "trace_lineage",
    "validate_rating",
    "what_if_thresholds",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"partnerseg has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"partnerseg.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
