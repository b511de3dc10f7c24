"""All features, by column name, and what is said of them."""

from collections.abc import Sequence
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
from partnerseg.features.assessments import make_assessed, make_evidence
from partnerseg.features.events import ASSESSED, Source, list_sources
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


def list_features(assessed: Sequence[str] = ASSESSED) -> dict[str, Feature]:
    """List the features by column name, in the order of columns.

    Args:
        assessed: Factors of the table assessments that get two features each.

    Raises:
        ValueError: A factor has no name or stands there twice.

    Example:
        >>> [name for name in list_features(["planning", "planning.analysis"]) if name.startswith("assessed")]
        ['assessed_planning', 'assessed_planning.analysis']
    """
    for factor in assessed:
        if not factor or list(assessed).count(factor) > 1:
            raise ValueError(f"assessed == {list(assessed)}, must be names of factors, each once, not {factor!r}")
    features: dict[str, Feature] = {}
    for family in FAMILIES:
        own = family.__name__.rpartition(".")[2]
        features |= {name: feature for name, feature in REGISTRY.items() if feature.family == own}
        if family is assessments:
            made = [make(factor) for make in (make_assessed, make_evidence) for factor in assessed]
            features |= {feature.name: feature for feature in made}
    return features


FEATURES = list_features()
# Made for the rating: they weigh what other features tell, and would make segments of their own.
RATING_ONLY = tuple(name for name, feature in FEATURES.items() if feature.rating_only)


def list_counts() -> dict[str, str]:
    """List the rates whose number of cases is a feature too, and that feature.

    Returns:
        Name of the count by name of the rate: with n cases a rate of p has a standard error of sqrt(p (1 - p) / n).

    Example:
        >>> list_counts()["repeat_rate_365d"]
        'customers_365d'
    """
    return {name: feature.counted_by for name, feature in FEATURES.items() if feature.counted_by}


def describe_features(*, assessed: Sequence[str] = ASSESSED) -> "pd.DataFrame":
    """Describe every feature.

    Args:
        assessed: Factors of the table assessments that get two features each, as in `build_features`.

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

    rows, sources = [], list_sources(assessed)
    for feature in list_features(assessed).values():
        tables, columns = _trace(feature, sources)
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


def _trace(feature: Feature, sources: dict[str, Source]) -> tuple[list[str], list[str]]:
    """Find the tables and optional columns behind a feature from what its formula asks."""
    events = Events(sources)
    feature.formula(events)
    tables: dict[str, None] = dict.fromkeys(events.attributes.values())
    columns: dict[str, None] = {}
    for level in events.asked.values():
        source = sources[level.source]
        tables[source.table] = None
        needed = [source.keys[level.what]] if level.what in source.keys else source.measures[level.what].columns
        table = TABLES[source.table]
        columns |= dict.fromkeys(f"{table.name}.{name}" for name in needed if not table.column(name).required)
    return list(tables), list(columns)
