"""How the programme reaches a partner, and how the partner answers."""

from typing import Any

from partnerseg.features.feature import cap, feature


@feature("touches_{days}d", unit="contacts", direction="up", missing="touches unknown", days=(30, 90, 365))
def touches(events: Any, days: int) -> Any:
    """Number of contacts in the window, of every kind and in both directions."""
    return events.touches.total("touch", days)


@feature(
    "messages_{days}d",
    unit="messages",
    direction="none",
    missing="touches unknown",
    days=(90, 365),
    rating_only=True,
)
def messages(events: Any, days: int) -> Any:
    """Messages sent to the partner in the window."""
    return events.touches.total("sent", days)


@feature(
    "reply_rate_{days}d",
    unit="replies a message",
    direction="up",
    missing="nothing was sent",
    days=(90, 365),
    counted_by="messages_{days}d",
)
def reply_rate(events: Any, days: int) -> Any:
    """Replies in the window, divided by the messages sent in it; at most 1."""
    return cap(events.touches.total("replied", days) / messages(events, days).nullif(0))


@feature(
    "open_rate_{days}d",
    unit="openings a message",
    direction="up",
    missing="nothing was sent",
    days=(365,),
    counted_by="messages_{days}d",
)
def open_rate(events: Any, days: int) -> Any:
    """Messages opened in the window, divided by the messages sent in it; at most 1."""
    return cap(events.touches.total("opened", days) / messages(events, days).nullif(0))


@feature(
    "response_hours_{days}d",
    unit="hours",
    direction="down",
    missing="no message with a known time of its answer",
    days=(365,),
    rating_only=True,
)
def response_hours(events: Any, days: int) -> Any:
    """Typical (geometric mean) time to the answer to the window's messages, of those answered by the date."""
    return events.answers.mean("log_hours", days).exp()


@feature(
    "campaign_responses_{days}d",
    unit="responses",
    direction="up",
    missing="campaigns of touches unknown",
    days=(365,),
    rating_only=True,
)
def campaign_responses(events: Any, days: int) -> Any:
    """Clicks, replies and attendances within campaigns in the window, on every channel."""
    return events.touches.total("campaign_answer", days)


@feature(
    "campaign_conversion_{days}d",
    unit="responses a message",
    direction="up",
    missing="nothing was sent within a campaign",
    days=(365,),
    rating_only=True,
    counted_by="campaign_messages_{days}d",
)
def campaign_conversion(events: Any, days: int) -> Any:
    """Clicks, replies and attendances within campaigns in the window, over the messages sent in them; at most 1."""
    return cap(campaign_responses(events, days) / campaign_messages(events, days).nullif(0))


@feature(
    "campaign_messages_{days}d",
    unit="messages",
    direction="none",
    missing="campaigns of touches unknown",
    days=(365,),
    rating_only=True,
)
def campaign_messages(events: Any, days: int) -> Any:
    """Messages sent within campaigns in the window."""
    return events.touches.total("campaign_message", days)


@feature("attendances_{days}d", unit="events", direction="up", missing="touches unknown", days=(365,))
def attendances(events: Any, days: int) -> Any:
    """Webinars and events attended in the window."""
    return events.touches.total("attended", days)


@feature("visits_{days}d", unit="visits", direction="up", missing="touches unknown", days=(90,))
def visits(events: Any, days: int) -> Any:
    """Visits to the partner portal or a site in the window."""
    return events.touches.total("visited", days)


@feature("conversations_{days}d", unit="conversations", direction="up", missing="touches unknown", days=(90, 365))
def conversations(events: Any, days: int) -> Any:
    """Calls and meetings in the window."""
    return events.touches.total("spoken", days)


@feature("channels_{days}d", unit="channels", direction="up", missing="touches unknown", days=(365,))
def channels(events: Any, days: int) -> Any:
    """Number of different channels on which there was contact in the window."""
    return events.touches.distinct("channel", days)


@feature("email_touches_{days}d", unit="contacts", direction="none", missing="touches unknown", days=(365,))
def email_touches(events: Any, days: int) -> Any:
    """Contacts by email in the window."""
    return events.touches.total("email", days)


@feature("phone_touches_{days}d", unit="contacts", direction="none", missing="touches unknown", days=(365,))
def phone_touches(events: Any, days: int) -> Any:
    """Contacts by phone in the window."""
    return events.touches.total("phone", days)


@feature("event_touches_{days}d", unit="contacts", direction="none", missing="touches unknown", days=(365,))
def event_touches(events: Any, days: int) -> Any:
    """Contacts at events and webinars in the window."""
    return events.touches.total("event", days)


@feature("portal_touches_{days}d", unit="contacts", direction="none", missing="touches unknown", days=(365,))
def portal_touches(events: Any, days: int) -> Any:
    """Contacts through the partner portal in the window."""
    return events.touches.total("portal", days)


@feature("contact_recency_days", unit="days", direction="down", missing="no contact ever")
def contact_recency(events: Any) -> Any:
    """Days since the last contact of any kind."""
    return events.touches.days_since_last("touch")


@feature("response_recency_days", unit="days", direction="down", missing="the partner never responded")
def response_recency(events: Any) -> Any:
    """Days since the partner last opened, clicked, replied, attended or visited."""
    return events.touches.days_since_last("response")
