"""How evenly a partner's sales come in."""

from typing import Any

from partnerseg.features.feature import feature

TYPICAL = 0.75  # variation that is expected of a partner of whom no month is known
TRUST = 6  # months known that count as much as the expectation


@feature(
    "monthly_variation_{days}d",
    unit="standard deviations a mean",
    direction="down",
    missing="sales in fewer than 3 months, or no revenue in sum",
    days=(365,),
)
def monthly_variation(events: Any, days: int) -> Any:
    """Coefficient of variation of monthly revenue over the last 12 complete months, from the first sale on."""
    return events.sales.monthly_variation("amount", days)


@feature("active_months_{days}d", unit="months", direction="up", missing="sales unknown", days=(365,))
def active_months(events: Any, days: int) -> Any:
    """Months with a sale among the last 12 complete calendar months."""
    return events.sales.active_months("sale", days)


@feature(
    "longest_gap_days_{days}d",
    unit="days",
    direction="down",
    missing="sales on fewer than 2 days",
    days=(365,),
)
def longest_gap(events: Any, days: int) -> Any:
    """Longest time between two consecutive days with a sale, both within the window."""
    return events.sales.longest_gap("sale", days)


@feature(
    "shrunk_variation_{days}d",
    unit="standard deviations a mean",
    direction="down",
    missing="no complete month since the first sale, or no revenue in sum",
    days=(365,),
    rating_only=True,
)
def shrunk_variation(events: Any, days: int) -> Any:
    """Coefficient of variation of monthly revenue over the last 12 complete months, drawn towards a typical 0.75
    with the weight of 6 months: with few months since the first sale a partner is neither steady nor uneven. Of n
    months n - 1 count, as one month alone cannot swing."""
    months = events.sales.known_months("amount", days) - 1
    return (months * events.sales.any_variation("amount", days) + TRUST * TYPICAL) / (months + TRUST)
