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
    from partnerseg.segments.criteria import assign_criteria
    from partnerseg.segments.moves import match_segments, migration_matrix
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
    "describe_features": "features.catalogue",
    "load_params": "params",
    "match_segments": "segments.moves",
    "migration_matrix": "segments.moves",
    "open_models": "programme_pass",
    "open_programme": "programme.sources",
    "plan_next_steps": "journey.next_steps",
    "run": "batch",
    "simulate_programme": "programme.simulate",
    "summarize_metrics": "effect.metrics",
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
    "describe_features",
    "load_params",
    "match_segments",
    "migration_matrix",
    "open_models",
    "open_programme",
    "plan_next_steps",
    "run",
    "simulate_programme",
    "summarize_metrics",
    "validate_rating",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"partnerseg has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"partnerseg.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
