"""What a partner has learned, and which certificates it holds."""

from typing import Any

from partnerseg.features.feature import feature


@feature("trainings_{days}d", unit="trainings", direction="up", missing="trainings unknown", days=(90, 365))
def trainings(events: Any, days: int) -> Any:
    """Courses, certifications, conferences and seminars completed in the window."""
    return events.trainings.total("training", days)


@feature("certificates_in_force", unit="certificates", direction="up", missing="trainings unknown")
def certificates_in_force(events: Any) -> Any:
    """Different certifications whose latest completion has not expired; without an expiry date they stay in force."""
    return events.certificates.latest("certificate")


@feature(
    "training_score_{days}d", unit="points of 100", direction="up", missing="no training with a score", days=(365,)
)
def training_score(events: Any, days: int) -> Any:
    """Mean score of the trainings completed in the window."""
    return events.trainings.mean("score", days)


@feature(
    "specialized_trainings_{days}d",
    unit="trainings",
    direction="up",
    missing="specializations of trainings or the partner's own unknown",
    days=(365,),
)
def specialized_trainings(events: Any, days: int) -> Any:
    """Trainings completed in the window in the partner's own specialization."""
    return events.partner("specialized").nullif(0) * events.trainings.total("specialized", days)


@feature(
    "focused_trainings_{days}d",
    unit="trainings",
    direction="up",
    missing="trainings unknown",
    days=(365,),
    rating_only=True,
)
def focused_trainings(events: Any, days: int) -> Any:
    """Trainings completed in the window: one in the partner's own specialization counts full, every other half."""
    own = events.trainings.total("specialized", days).fill_null(0)
    return (events.trainings.total("training", days) + own) / 2


@feature(
    "certified_knowledge",
    unit="certificates",
    direction="up",
    missing="trainings unknown",
    rating_only=True,
)
def certified_knowledge(events: Any) -> Any:
    """Certifications by their latest completion: in the own specialization full, others half; an expired one halves
    every 180 days."""
    return (events.certificates.fading("certificate") + events.certificates.fading("own_certificate")) / 2
