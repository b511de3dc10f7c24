"""All features, by column name, and what is said of them."""

from typing import TYPE_CHECKING

from partnerseg.features import (
    assessments,
    customers,
    engagement,
    feedback,
    geography,
    profile,
    sales,
    service,
    stability,
    training,
)
from partnerseg.features.events import SOURCES
from partnerseg.features.feature import REGISTRY, Feature
from partnerseg.features.windows import Events
from partnerseg.programme.tables import TABLES

if TYPE_CHECKING:
    import pandas as pd

# In the order of columns: a family is a module that registers features.
FAMILIES = (
    sales,
    stability,
    customers,
    geography,
    engagement,
    training,
    service,
    feedback,
    assessments,
    profile,
)
FEATURES: dict[str, Feature] = {
    name: feature
    for family in FAMILIES
    for name, feature in REGISTRY.items()
    if feature.family == family.__name__.rpartition(".")[2]
}


def describe_features() -> "pd.DataFrame":
    """Describe every feature.

    Returns:
        One row a feature, index name, with columns: family; meaning (a sentence); unit; direction (`up`: more
        is better, `down`: less is, `none`: neither); days (length of the window, missing without one); tables
        that it is made of and columns (optional columns without which it is unknown), each separated by `, `;
        missing (when the value is missing).

    Example:
        >>> describe_features().loc["discount_365d", ["family", "unit", "columns"]].tolist()
        ['sales', 'share', 'sales.discount']
    """
    import pandas as pd

    rows = []
    for feature in FEATURES.values():
        tables, columns = _trace(feature)
        rows.append(
            {
                "name": feature.name,
                "family": feature.family,
                "meaning": feature.meaning,
                "unit": feature.unit,
                "direction": feature.direction,
                "days": feature.days,
                "tables": ", ".join(tables),
                "columns": ", ".join(columns),
                "missing": feature.missing,
            }
        )
    return pd.DataFrame(rows).astype({"days": "Int64"}).set_index("name")


def _trace(feature: Feature) -> tuple[list[str], list[str]]:
    """Find the tables and optional columns behind a feature from what its formula asks."""
    events = Events()
    feature.formula(events)
    tables: dict[str, None] = dict.fromkeys(events.attributes.values())
    columns: dict[str, None] = {}
    for level in events.asked.values():
        source = SOURCES[level.source]
        tables[source.table] = None
        needed = [source.keys[level.what]] if level.what in source.keys else source.measures[level.what].columns
        table = TABLES[source.table]
        columns |= dict.fromkeys(f"{table.name}.{name}" for name in needed if not table.column(name).required)
    return list(tables), list(columns)
