"""How much a partner sells, and whether that grows."""

from typing import Any

from partnerseg.features.feature import feature


@feature("monetary_value_{days}d", unit="currency", direction="up", missing="sales unknown", days=(30, 90, 365))
def monetary_value(events: Any, days: int) -> Any:
    """Revenue in the window: sales less returns."""
    return events.sales.total("amount", days)


@feature("frequency_{days}d", unit="sales", direction="up", missing="sales unknown", days=(30, 90, 365))
def frequency(events: Any, days: int) -> Any:
    """Number of sales in the window, returns not counted."""
    return events.sales.total("sale", days)


@feature("average_order_value_{days}d", unit="currency", direction="up", missing="no sale", days=(365,))
def average_order_value(events: Any, days: int) -> Any:
    """Mean amount of a sale in the window, returns not counted."""
    return events.sales.mean("gross", days)


@feature(
    "return_rate_{days}d",
    unit="returns a sale",
    direction="down",
    missing="no sale",
    days=(365,),
    counted_by="frequency_{days}d",
)
def return_rate(events: Any, days: int) -> Any:
    """Returns in the window, divided by its sales; above 1 when older sales came back."""
    return events.sales.total("return", days) / events.sales.total("sale", days).nullif(0)


@feature("discount_{days}d", unit="share", direction="none", missing="no sale with a known discount", days=(365,))
def discount(events: Any, days: int) -> Any:
    """Mean discount of the window's sales, as a share of the list price."""
    return events.sales.mean("discount", days)


@feature(
    "products_{days}d",
    unit="products",
    direction="up",
    missing="products unknown, for all or for each of the partner's sales",
    days=(365,),
)
def products(events: Any, days: int) -> Any:
    """Number of different products sold in the window."""
    return events.sales.distinct("product", days)


@feature(
    "revenue_growth_{days}d",
    unit="share",
    direction="up",
    missing="no revenue in the window before, or sales do not reach back to its beginning",
    days=(90, 365),
)
def revenue_growth(events: Any, days: int) -> Any:
    """Revenue of the window against the window before: 0.1 is a tenth more, -1 is all gone."""
    before = events.sales.total("amount", days, before=days)
    return (before > 0).ifelse(events.sales.total("amount", days) / before.nullif(0) - 1, None)


@feature("recency_days", unit="days", direction="down", missing="no sale ever")
def recency(events: Any) -> Any:
    """Days since the last sale; 0 is a sale on the day itself."""
    return events.sales.days_since_last("sale")


@feature("first_sale_days", unit="days", direction="none", missing="no sale ever")
def first_sale(events: Any) -> Any:
    """Days since the first known sale."""
    return events.sales.days_since_first("sale")


@feature(
    "potential_reached_{days}d",
    unit="share",
    direction="up",
    missing="no potential declared, or sales unknown",
    days=(365,),
    rating_only=True,
)
def potential_reached(events: Any, days: int) -> Any:
    """Revenue in the window against the yearly revenue that the partner has declared as its potential."""
    return events.sales.total("amount", days) / events.partner("potential").nullif(0)


@feature(
    "joint_sales_{days}d",
    unit="share",
    direction="up",
    missing="no sale, or no joint sale known of anybody",
    days=(365,),
    rating_only=True,
    counted_by="frequency_{days}d",
)
def joint_sales(events: Any, days: int) -> Any:
    """Share of the window's sales that were made together with another partner."""
    return events.sales.total("joint", days) / events.sales.total("sale", days).nullif(0)
