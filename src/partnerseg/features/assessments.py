"""What people who know a partner say about factors that leave no event."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from partnerseg.features.feature import Feature

PREFIX = "assessed_"


def make_assessed(factor: str) -> Feature:
    """Make the feature of an assessed factor, called `assessed_<factor>`.

    Args:
        factor: As in the column factor of the table assessments.
    """
    words = factor.replace("_", " ").replace(".", ", ")
    return Feature(
        name=f"{PREFIX}{factor}",
        family="assessments",
        meaning=f"{words[:1].upper()}{words[1:]}: mean of each assessor's latest score, of the whole and of each step, "
        "weighted by the grade of evidence.",
        unit="points of 100",
        direction="up",
        missing="never assessed",
        days=None,
        formula=partial(_tell_assessed, factor=factor),
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


def _tell_assessed(events: Any, factor: str) -> Any:
    weight = events.assessments.latest(f"weight_of_{factor}")
    return events.assessments.latest(factor) / weight.nullif(0)
