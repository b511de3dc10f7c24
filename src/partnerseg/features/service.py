"""How well a partner's support cases, tasks and complaints go."""

from typing import Any

from partnerseg.features.feature import feature


@feature("tickets_{days}d", unit="tickets", direction="none", missing="tickets unknown", days=(90, 365))
def tickets(events: Any, days: int) -> Any:
    """Support cases, tasks and complaints opened in the window."""
    return events.tickets.total("ticket", days)


@feature("resolution_hours_{days}d", unit="hours", direction="down", missing="no ticket resolved", days=(365,))
def resolution_hours(events: Any, days: int) -> Any:
    """Mean time from opening to resolving the window's tickets, of those resolved by the date."""
    return events.outcomes.mean("hours", days)


@feature("on_time_rate_{days}d", unit="share", direction="up", missing="on time or not: unknown", days=(365,))
def on_time_rate(events: Any, days: int) -> Any:
    """Share of the window's tickets done on time, of those of which it is known."""
    return events.outcomes.mean("on_time", days)


@feature("task_quality_{days}d", unit="points of 100", direction="up", missing="no ticket with a quality", days=(365,))
def task_quality(events: Any, days: int) -> Any:
    """Mean quality of the window's tickets."""
    return events.outcomes.mean("quality", days)


@feature("ticket_csat_{days}d", unit="points of 5", direction="up", missing="no ticket with a rating", days=(365,))
def ticket_csat(events: Any, days: int) -> Any:
    """Mean satisfaction with the window's tickets, 1 to 5."""
    return events.outcomes.mean("csat", days)


@feature("complaints_{days}d", unit="complaints", direction="down", missing="tickets and feedback unknown", days=(365,))
def complaints(events: Any, days: int) -> Any:
    """Complaints in the window, from tickets and from feedback."""
    tickets, feedback = events.tickets.total("complaint", days), events.feedback.total("complaint", days)
    return (tickets + feedback).coalesce(tickets, feedback)


@feature(
    "complaint_rate_{days}d",
    unit="complaints a sale",
    direction="down",
    missing="no sale, or tickets and feedback unknown",
    days=(365,),
    rating_only=True,
)
def complaint_rate(events: Any, days: int) -> Any:
    """Complaints in the window, from tickets and from feedback, divided by its sales."""
    return complaints(events, days) / events.sales.total("sale", days).nullif(0)
