"""What people who know a partner say about factors that leave no event."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from partnerseg.features.events import PARTS
from partnerseg.features.feature import Feature

PREFIX = "assessed_"
EVIDENCE = "evidence_"


def make_assessed(factor: str) -> Feature:
    """Make the feature of an assessed factor, called `assessed_<factor>`.

    Args:
        factor: As in the column factor of the table assessments.
    """
    return Feature(
        name=f"{PREFIX}{factor}",
        family="assessments",
        meaning=f"{_name(factor)}: mean of each assessor's latest score, of the whole and of each step, weighted by "
        "the grade of evidence.",
        unit="points of 100",
        direction="up",
        missing="never assessed",
        days=None,
        formula=partial(_tell_assessed, factor=factor),
    )


def make_evidence(factor: str) -> Feature:
    """Make the feature that tells how much an assessed factor's score is worth, called `evidence_<factor>`.

    Args:
        factor: As in the column factor of the table assessments.
    """
    return Feature(
        name=f"{EVIDENCE}{factor}",
        family="assessments",
        meaning=f"{_name(factor)}: how much the evidence behind its score counts, from 0 to 1 for the best grade of "
        "today: the weight of each assessor's latest score, halved with every year of age, on average weighted by "
        "itself, so that an old score takes nothing away from a fresh one.",
        unit="share",
        direction="none",
        missing="never assessed",
        days=None,
        formula=partial(_tell_evidence, factor=factor),
        rating_only=True,
    )


def list_assessed(factors: Iterable[Any]) -> tuple[str, ...]:
    """List the assessed factors that the rows of a rating name among their features.

    Args:
        factors: `params.rating.factors`, or mappings with the key `features`.

    Returns:
        Each once, in order: what `build_features` takes as `assessed`.

    Example:
        >>> list_assessed([{"features": ["return_rate_365d"]}, {"features": ["assessed_planning.analysis"]}])
        ('planning.analysis',)
    """
    features = dict.fromkeys(feature for row in factors for feature in row["features"])
    return tuple(feature.removeprefix(PREFIX) for feature in features if feature.startswith(PREFIX))


def _name(factor: str) -> str:
    words = factor.replace("_", " ").replace(".", ", ")
    return f"{words[:1].upper()}{words[1:]}"


def _tell_assessed(events: Any, factor: str) -> Any:
    weight = events.assessments.latest(f"weight_of_{factor}")
    return events.assessments.latest(factor) / weight.nullif(0)


def _tell_evidence(events: Any, factor: str) -> Any:
    weight = events.assessments.fading(f"weight_of_{factor}")
    return events.assessments.fading(f"square_of_{factor}") / weight.nullif(0) / PARTS
