"""What a partner has told about itself."""

from typing import Any

from partnerseg.features.feature import feature


@feature("tenure_days", unit="days", direction="none", missing="day of joining unknown")
def tenure(events: Any) -> Any:
    """Days since the partner joined; 0 is the day itself."""
    return events.partner("tenure")


@feature("declared_potential", unit="currency a year", direction="up", missing="not declared")
def declared_potential(events: Any) -> Any:
    """Yearly revenue that the partner says it could make."""
    return events.partner("potential")


@feature("preferred_channels", unit="channels", direction="none", missing="preferences unknown")
def preferred_channels(events: Any) -> Any:
    """Number of channels on which the partner wants to be reached."""
    return events.partner("channels")


@feature("preferred_topics", unit="topics", direction="none", missing="preferences unknown")
def preferred_topics(events: Any) -> Any:
    """Number of topics that the partner wants to hear about."""
    return events.partner("topics")


@feature("avoided", unit="actions or channels", direction="none", missing="preferences unknown")
def avoided(events: Any) -> Any:
    """Number of actions and channels that the partner wants to be spared."""
    return events.partner("avoid")
