"""How well a partner's support cases, tasks and complaints go."""

from typing import Any

from partnerseg.features.feature import cap, feature


@feature("tickets_{days}d", unit="tickets", direction="none", missing="tickets unknown", days=(90, 365))
def tickets(events: Any, days: int) -> Any:
    """Support cases, tasks, complaints and conflicts opened in the window."""
    return events.tickets.total("ticket", days)


@feature("resolution_hours_{days}d", unit="hours", direction="down", missing="no ticket resolved", days=(365,))
def resolution_hours(events: Any, days: int) -> Any:
    """Mean time from opening to resolving the window's tickets, of those resolved by the date."""
    return events.outcomes.mean("hours", days)


@feature(
    "timed_tickets_{days}d",
    unit="tickets",
    direction="none",
    missing="on time or not: unknown",
    days=(365,),
    rating_only=True,
)
def timed_tickets(events: Any, days: int) -> Any:
    """Tickets of the window of which it is known whether they were done on time."""
    return events.outcomes.known("on_time", days)


@feature(
    "on_time_rate_{days}d",
    unit="share",
    direction="up",
    missing="on time or not: unknown",
    days=(365,),
    counted_by="timed_tickets_{days}d",
)
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
    counted_by="frequency_{days}d",
)
def complaint_rate(events: Any, days: int) -> Any:
    """Complaints about the product in the window, from tickets and from feedback, divided by its sales. A complaint
    of which it is unknown what it is about counts too: all do where the column `about` is unknown."""
    tickets, feedback = (source.total("product_complaint", days) for source in (events.tickets, events.feedback))
    return (tickets + feedback).coalesce(tickets, feedback) / events.sales.total("sale", days).nullif(0)


@feature(
    "tasks_{days}d",
    unit="tasks",
    direction="none",
    missing="tickets unknown",
    days=(365,),
    rating_only=True,
)
def tasks(events: Any, days: int) -> Any:
    """Tasks opened in the window."""
    return events.tickets.total("task", days)


@feature(
    "reopened_rate_{days}d",
    unit="share",
    direction="down",
    missing="no task, or no reopening known of anybody",
    days=(365,),
    rating_only=True,
    counted_by="tasks_{days}d",
)
def reopened_rate(events: Any, days: int) -> Any:
    """Tasks reopened in the window, divided by the tasks opened in it; at most 1."""
    return cap(events.reopenings.total("task", days) / tasks(events, days).nullif(0))


@feature(
    "conflicts_{days}d",
    unit="conflicts",
    direction="down",
    missing="no conflict known of anybody, or the partner had neither sale nor ticket",
    days=(365,),
    rating_only=True,
)
def conflicts(events: Any, days: int) -> Any:
    """Conflicts with others of the programme in the window, from tickets; of partners who had to do with anybody."""
    busy = tickets(events, days) + events.sales.total("sale", days).fill_null(0) > 0
    return busy.ifelse(events.tickets.total("conflict", days), None)
