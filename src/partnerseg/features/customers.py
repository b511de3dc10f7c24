"""Whom a partner sells to or means to, and whether they come back."""

from typing import Any

from partnerseg.features.feature import feature

UNKNOWN = "customers unknown, for all or for each of the partner's sales"


@feature("customers_{days}d", unit="customers", direction="up", missing=UNKNOWN, days=(90, 365))
def customers(events: Any, days: int) -> Any:
    """Number of different customers sold to in the window."""
    return events.sales.distinct("customer", days)


@feature("new_customers_{days}d", unit="customers", direction="up", missing=UNKNOWN, days=(90, 365))
def new_customers(events: Any, days: int) -> Any:
    """Number of customers whose first known purchase from the partner falls into the window."""
    return events.sales.new("customer", days)


@feature(
    "new_deals_{days}d",
    unit="deals",
    direction="up",
    missing="deals unknown",
    days=(365,),
    rating_only=True,
)
def new_deals(events: Any, days: int) -> Any:
    """Number of deals that entered their first stage in the window: leads and opportunities, won or not."""
    return events.deals.new("deal", days)


@feature(
    "repeat_rate_{days}d",
    unit="share",
    direction="up",
    missing="no sale with a known customer",
    days=(365,),
    counted_by="customers_{days}d",
)
def repeat_rate(events: Any, days: int) -> Any:
    """Share of the window's customers who bought at least twice in it."""
    return events.sales.repeated("customer", days) / events.sales.distinct("customer", days).nullif(0)


@feature(
    "top_customer_share_{days}d", unit="share", direction="down", missing="no sale with a known customer", days=(365,)
)
def top_customer_share(events: Any, days: int) -> Any:
    """Share of the largest customer in the window's sales to known customers."""
    return events.sales.largest_share("customer", days)


@feature(
    "former_customers_{days}d",
    unit="customers",
    direction="none",
    missing="sales do not reach back to the beginning of the window before, or their customers are unknown",
    days=(365,),
    rating_only=True,
)
def former_customers(events: Any, days: int) -> Any:
    """Number of different customers sold to in the window before."""
    return events.sales.distinct("customer", days, before=days)


@feature(
    "retained_customers_{days}d",
    unit="share",
    direction="up",
    missing="no sale with a known customer in the window before",
    days=(365,),
    rating_only=True,
    counted_by="former_customers_{days}d",
)
def retained_customers(events: Any, days: int) -> Any:
    """Share of the customers of the window before who bought in the window too."""
    before = former_customers(events, days)
    either = events.sales.distinct("customer", 2 * days)
    return (events.sales.distinct("customer", days) + before - either) / before.nullif(0)


@feature(
    "customer_lifetime_days",
    unit="days",
    direction="up",
    missing="no sale with a known customer ever",
    rating_only=True,
)
def customer_lifetime(events: Any) -> Any:
    """Mean time from a customer's first to its last known purchase; 0 for one who bought on one day only."""
    return events.sales.lifetime("customer")
