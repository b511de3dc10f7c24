"""What people who know a partner say about factors that leave no event."""

from typing import Any

from partnerseg.features.feature import feature


def _assessed(events: Any, factor: str) -> Any:
    weight = events.assessments.latest(f"weight_of_{factor}")
    return events.assessments.latest(factor) / weight.nullif(0)


@feature("assessed_marketing_strategy", unit="points of 100", direction="up", missing="never assessed")
def assessed_marketing_strategy(events: Any) -> Any:
    """Marketing strategy: mean of each assessor's latest score, weighted by the grade of evidence."""
    return _assessed(events, "marketing_strategy")


@feature("assessed_content_uniqueness", unit="points of 100", direction="up", missing="never assessed")
def assessed_content_uniqueness(events: Any) -> Any:
    """Uniqueness of content: mean of each assessor's latest score, weighted by the grade of evidence."""
    return _assessed(events, "content_uniqueness")


@feature("assessed_teamwork", unit="points of 100", direction="up", missing="never assessed")
def assessed_teamwork(events: Any) -> Any:
    """Teamwork: mean of each assessor's latest score, weighted by the grade of evidence."""
    return _assessed(events, "teamwork")


@feature("assessed_strategic_planning", unit="points of 100", direction="up", missing="never assessed")
def assessed_strategic_planning(events: Any) -> Any:
    """Strategic planning: mean of each assessor's latest score, weighted by the grade of evidence."""
    return _assessed(events, "strategic_planning")


@feature("assessed_technical_equipment", unit="points of 100", direction="up", missing="never assessed")
def assessed_technical_equipment(events: Any) -> Any:
    """Technical equipment: mean of each assessor's latest score, weighted by the grade of evidence."""
    return _assessed(events, "technical_equipment")
