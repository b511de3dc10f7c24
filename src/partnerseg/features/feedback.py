"""What partners and their customers say."""

from typing import Any

from partnerseg.features.feature import feature


@feature(
    "partner_nps_{days}d", unit="points, -100 to 100", direction="up", missing="the partner gave no answer", days=(365,)
)
def partner_nps(events: Any, days: int) -> Any:
    """Net promoter score given by the partner in the window: share of 9 and 10 less share of 0 to 6, times 100."""
    return 100 * events.feedback.mean("partner_nps", days)


@feature(
    "customer_nps_{days}d", unit="points, -100 to 100", direction="up", missing="no customer's answer", days=(365,)
)
def customer_nps(events: Any, days: int) -> Any:
    """Net promoter score given by the partner's customers in the window."""
    return 100 * events.feedback.mean("customer_nps", days)


@feature("review_score_{days}d", unit="points of 5", direction="up", missing="no review", days=(365,))
def review_score(events: Any, days: int) -> Any:
    """Mean score of the window's reviews, 1 to 5."""
    return events.feedback.mean("review", days)


@feature("feedback_{days}d", unit="answers", direction="up", missing="feedback unknown", days=(365,))
def feedback(events: Any, days: int) -> Any:
    """Answers, reviews and suggestions given by the partner or its customers in the window."""
    return events.feedback.total("answer", days)
