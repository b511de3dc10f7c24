"""Non-negative least squares in moments, held to a prior whose strength is found by cross-validation."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from partnerseg.rating.moments import measure_moments
from partnerseg.rating.samples import MIN_PARTNERS, normal_scores

# Strengths of the prior that cross-validation looks at; 0 forgets it, at 100 the outcomes hardly count.
STRENGTHS = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
FOLDS = 5


def read_outcome(X: pd.DataFrame, y: pd.Series) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return the rows with an outcome, its normal scores within a date, and each row's group of partners.

    Raises:
        ValueError: An index is repeated, or the outcome is infinite, constant or known for too few partners.
    """
    if not (X.index.is_unique and y.index.is_unique):
        raise ValueError("X, y: an index is repeated; must be one row a partner, or a partner and date")
    outcome = y.reindex(X.index).astype(float)
    if np.isinf(outcome).any():
        raise ValueError(f"y is infinite for {outcome.index[np.isinf(outcome)][0]}, must be finite or missing")
    outcome = outcome.dropna()
    partners = outcome.index.get_level_values(-1)
    if partners.nunique() < MIN_PARTNERS:
        raise ValueError(
            f"y is known for {partners.nunique()} partners of X, must be >= {MIN_PARTNERS}; use stated weights"
        )
    scores = normal_scores(outcome)
    scores -= scores.mean()
    if not scores.std() > 0:
        raise ValueError("y is the same for all partners: there is nothing to learn; use stated weights")
    groups = pd.util.hash_array(np.asarray(partners.map(str), dtype=object)) % FOLDS
    return X.loc[outcome.index], (scores / scores.std()).to_numpy(), groups


@dataclass(frozen=True)
class Fit:
    """Least squares in moments: correlations of the factors and with the outcome, and the prior's effects."""

    among: np.ndarray
    against: np.ndarray
    prior: np.ndarray

    @classmethod
    def of(cls, scaled: np.ndarray, target: np.ndarray, start: np.ndarray) -> "Fit":
        """Take moments of standardized rows x factors (missing where unknown), outcomes and the prior's effects."""
        moments = measure_moments(np.column_stack([scaled, target]))
        correlation = np.nan_to_num(moments.correlation)
        among, against = correlation[:-1, :-1], correlation[:-1, -1]
        # Pairs known on different partners may not fit together.
        values, vectors = np.linalg.eigh(among)
        among = (vectors * np.maximum(values, 1e-8)) @ vectors.T
        # The prior is as strong as it shows in the data, and at least as strong as chance would show.
        deviation = np.sqrt(start @ among @ start)
        if deviation > 0:
            start = start / deviation
            start = start * max(float(against @ start), 1 / np.sqrt(len(target)))
        return cls(among, against, start)

    def solve(self, strength: float) -> np.ndarray:
        """Find the effects, none below 0."""
        from scipy.linalg import cholesky, solve_triangular
        from scipy.optimize import nnls

        root = cholesky(self.among + strength * np.eye(len(self.against)), lower=True)
        return nnls(root.T, solve_triangular(root, self.against + strength * self.prior, lower=True))[0]


def choose_strength(scaled: np.ndarray, target: np.ndarray, start: np.ndarray, groups: np.ndarray) -> float:
    """Find the largest strength that predicts the groups left out as well as the best one does, to a standard error."""
    known = np.nan_to_num(scaled)
    errors = np.zeros((len(STRENGTHS), len(target)))
    for group in np.unique(groups):
        out = groups == group
        if out.all() or target[~out].std() == 0:
            continue
        fit = Fit.of(scaled[~out], target[~out], start)
        for place, strength in enumerate(STRENGTHS):
            errors[place, out] = (target[out] - known[out] @ fit.solve(strength)) ** 2
    worse = errors - errors[errors.sum(axis=1).argmin()]
    enough = worse.mean(axis=1) <= worse.std(axis=1) / np.sqrt(len(target))
    return STRENGTHS[int(np.flatnonzero(enough)[-1])]
