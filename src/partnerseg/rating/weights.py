"""Weights of factors: stated, equal, or from the data (entropy, CRITIC)."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Weights:
    """Weights of factors and how they came about.

    Attributes:
        method: Name of the method.
        weights: One weight a factor, at least 0, summing to 1.
        details: One row a factor: the method's own figures, described with the method.
    """

    method: str
    weights: pd.Series
    details: pd.DataFrame = field(default_factory=pd.DataFrame)


def direct(weights: Mapping[str, float] | pd.Series) -> Weights:
    """Take weights as stated, scaled to sum to 1.

    Args:
        weights: A number of at least 0 for each factor; only ratios count.

    Raises:
        ValueError: A weight is negative, missing or infinite, or all are zero.

    Examples:
        >>> direct({"volume": 3, "quality": 1}).weights.to_dict()
        {'volume': 0.75, 'quality': 0.25}
    """
    stated = pd.Series(weights, dtype=float)
    for name, weight in stated.items():
        if not (np.isfinite(weight) and weight >= 0):
            raise ValueError(f"weight of {name} == {weight}, must be a number >= 0")
    return Weights("direct", _share(stated, "weights"))


def equal(factors: Iterable[str]) -> Weights:
    """Give every factor the same weight.

    Args:
        factors: Names of the factors.

    Raises:
        ValueError: There is no factor.

    Examples:
        >>> equal(["volume", "quality"]).weights.to_dict()
        {'volume': 0.5, 'quality': 0.5}
    """
    return Weights("equal", _share(pd.Series(1.0, index=list(factors)), "weights"))


def entropy(X: pd.DataFrame) -> Weights:
    """Weigh factors by how unevenly they are spread over the partners.

    A factor with values p as shares of their sum has entropy -sum(p log p) / log(n), with n its known
    values; its weight is proportional to 1 - entropy. The zero point of a factor matters, its unit
    does not.

    Args:
        X: Partners x factors, all at least 0 and more is better; missing where unknown.

    Returns:
        Weights; `details` holds `n` (known values) and `entropy` (1 is perfectly even). A factor that is
        constant or known for fewer than two partners weighs 0.

    Raises:
        ValueError: A value is negative or infinite, or no factor varies.

    Warns:
        UserWarning: A factor weighs 0, or two are the same and count twice; they are named.

    References:
        Zeleny, M. (1982), Multiple Criteria Decision Making, McGraw-Hill, chapter 7.

    Examples:
        >>> entropy(pd.DataFrame({"volume": [0.0, 1.0], "quality": [1.0, 3.0]})).weights.round(4).to_dict()
        {'volume': 0.8412, 'quality': 0.1588}
    """
    varying = _screen(X)
    result = pd.DataFrame({"n": X.notna().sum(), "entropy": 1.0})
    for name in varying:
        values = X[name].dropna().to_numpy(dtype=float)
        if values.min() < 0:
            raise ValueError(f"factor {name} has the value {values.min()}, must be >= 0; scale it to 0-100 first")
        share = values / values.max()
        share = share[share > 0] / share.sum()
        result.loc[name, "entropy"] = -(share * np.log(share)).sum() / np.log(len(values))
    divergence = (1 - result["entropy"]).clip(lower=0)
    return Weights("entropy", _share(divergence, "divergence from an even spread"), result)


def critic(X: pd.DataFrame) -> Weights:
    """Weigh factors by contrast and conflict (CRITIC).

    Each factor is scaled to 0-1 by its least and largest value; its information is its standard
    deviation times sum(1 - correlation) with the other factors; weights are proportional to it.
    Deviations use the values known, correlations the partners on whom both factors are known.

    Args:
        X: Partners x factors, more is better; missing where unknown.

    Returns:
        Weights; `details` holds `deviation` (standard deviation after scaling, n - 1), `conflict`
        (sum of 1 - correlation) and `information`. A factor that is constant or known for fewer than
        two partners weighs 0.

    Raises:
        ValueError: A value is infinite, or the factors carry no information at all.

    Warns:
        UserWarning: A factor weighs 0, two are the same, or two share too few partners for a correlation
            (it is then taken as 0); they are named.

    References:
        Diakoulaki, D., Mavrotas, G., Papayannakis, L. (1995), Determining objective weights in multiple
        criteria problems: the CRITIC method, Computers & Operations Research 22(7), 763-770.

    Examples:
        >>> X = pd.DataFrame({"a": [0.0, 5, 10], "b": [2.0, 1, 0], "c": [0.0, 1, 0.5]})
        >>> critic(X).weights.to_dict()
        {'a': 0.3125, 'b': 0.4375, 'c': 0.25}
    """
    varying = _screen(X)
    low, high = X[varying].min(), X[varying].max()
    scaled = (X[varying] - low) / (high - low)
    correlation = scaled.corr(min_periods=3) if len(varying) else pd.DataFrame()
    for one, other in _pairs(correlation.isna()):
        warnings.warn(f"factors {one} and {other} share too few partners for a correlation; taken as 0", stacklevel=2)
    details = pd.DataFrame(0.0, index=X.columns, columns=["deviation", "conflict", "information"])
    details.loc[varying, "deviation"] = scaled.std()
    # The diagonal is 1 by definition, also where a factor has fewer than three values.
    conflict = len(varying) - 1 - (correlation.fillna(0.0).sum() - np.diag(correlation.fillna(0.0)))
    details.loc[varying, "conflict"] = conflict.clip(lower=0)
    details["information"] = details["deviation"] * details["conflict"]
    if len(varying) == 1:
        details.loc[varying, "information"] = 1.0
    return Weights("critic", _share(details["information"], "information"), details)


# How a rating finds its weights: from the factor scores of all partners and the stated weights.
WEIGHTINGS: dict[str, Callable[[pd.DataFrame, pd.Series], Weights]] = {
    "direct": lambda X, stated: direct(stated),
    "equal": lambda X, stated: equal(X.columns),
    "entropy": lambda X, stated: entropy(X),
    "critic": lambda X, stated: critic(X),
}


def _share(amount: pd.Series, what: str) -> pd.Series:
    total = amount.sum()
    if not total > 0:
        raise ValueError(
            f"{what} of all {len(amount)} factors sum to {total}, must be > 0; use direct or equal weights"
        )
    return (amount / total).rename("weight")


def _pairs(marked: pd.DataFrame) -> list[tuple[str, str]]:
    names = list(marked.columns)
    rows, columns = np.nonzero(np.triu(marked.to_numpy(dtype=bool), k=1))
    return [(names[row], names[column]) for row, column in zip(rows, columns, strict=True)]


def _screen(X: pd.DataFrame) -> list[str]:
    """Return the factors that vary; warn of the others and of factors that are the same."""
    if np.isinf(X.to_numpy(dtype=float)).any():
        name = X.columns[np.isinf(X.to_numpy(dtype=float)).any(axis=0)][0]
        raise ValueError(f"factor {name} has an infinite value, must be finite or missing")
    varying = list(X.columns[X.max() > X.min()])
    for name in X.columns.difference(varying, sort=False):
        reason = "is constant" if X[name].notna().sum() > 1 else "is known for fewer than two partners"
        warnings.warn(f"factor {name} {reason}: it weighs 0", stacklevel=3)
    same = (X[varying].corr(min_periods=3) > 1 - 1e-12) if len(varying) else pd.DataFrame()
    for one, other in _pairs(same):
        if X[one].notna().equals(X[other].notna()):
            warnings.warn(
                f"factors {one} and {other} order partners the same: what they say counts twice", stacklevel=3
            )
    return varying
