"""How wide and how evenly a partner sells across countries."""

from typing import Any

from partnerseg.features.feature import feature


@feature(
    "countries_{days}d",
    unit="countries",
    direction="up",
    missing="countries of sales unknown, for all or for each of the partner's sales",
    days=(365,),
)
def countries(events: Any, days: int) -> Any:
    """Number of different countries sold to in the window."""
    return events.sales.distinct("country", days)


@feature(
    "effective_countries_{days}d",
    unit="countries",
    direction="up",
    missing="no sale with a known country",
    days=(365,),
)
def effective_countries(events: Any, days: int) -> Any:
    """Number of equally large countries that would be as even: exp of the Shannon entropy of revenue by country."""
    return events.sales.entropy("country", days).exp()


@feature(
    "established_countries_{days}d",
    unit="countries",
    direction="up",
    missing="countries of sales unknown, for all or for each of the partner's sales",
    days=(365,),
    rating_only=True,
)
def established_countries(events: Any, days: int) -> Any:
    """Number of countries sold to in the window, each by its n sales as n^2 / (n^2 + 9): 1 is a tenth, 3 a half. Only
    the share of their revenue that did not come back counts of n, so that a country without net sales adds nothing."""
    return events.sales.established("country", days)
