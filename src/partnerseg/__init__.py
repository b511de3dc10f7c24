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
    from partnerseg.rating.rating import PartnerRating
    from partnerseg.rating.tiers import assign_tiers
    from partnerseg.rating.validation import validate_rating
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
    "METRICS": "effect.metrics",
    "Journey": "journey.stages",
    "PartnerRating": "rating.rating",
    "PartnerSegmenter": "segments.segmenter",
    "assign_criteria": "segments.criteria",
    "assign_tiers": "rating.tiers",
    "build_features": "features.build",
    "combine_criteria": "segments.criteria",
    "describe_features": "features.catalogue",
    "estimate_potential": "segments.potential",
    "explain_moves": "segments.moves",
    "forecast_revenue": "segments.potential",
    "load_params": "params",
    "match_segments": "segments.moves",
    "measure_drift": "segments.moves",
    "migration_matrix": "segments.moves",
    "name_segments": "segments.profiles",
    "open_models": "programme_pass",
    "open_programme": "programme.sources",
    "plan_next_steps": "journey.next_steps",
    "run": "batch",
    "settle_segments": "segments.moves",
    "simulate_programme": "programme.simulate",
    "summarize_criteria": "segments.criteria",
    "summarize_metrics": "effect.metrics",
    "summarize_orders": "segments.potential",
    "trace_lineage": "segments.moves",
    "validate_rating": "rating.validation",
}
__all__ = [
    "METRICS",
    "Journey",
    "PartnerRating",
    "PartnerSegmenter",
    "assign_criteria",
    "assign_tiers",
    "build_features",
    "combine_criteria",
    "describe_features",
    "estimate_potential",
    "explain_moves",
    "forecast_revenue",
    "load_params",
    "match_segments",
    "measure_drift",
    "migration_matrix",
    "name_segments",
    "open_models",
    "open_programme",
    "plan_next_steps",
    "run",
    "settle_segments",
    "simulate_programme",
    "summarize_criteria",
    "summarize_metrics",
    "summarize_orders",
    "trace_lineage",
    "validate_rating",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"partnerseg has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"partnerseg.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
