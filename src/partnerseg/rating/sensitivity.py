"""Which factors the score really follows beside the weights they were given, and which doubts move the ranks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_random_state

from partnerseg.rating.aggregation import AGGREGATIONS

GRID = 200  # points of the distribution of a factor, each equally likely
# A correlation ratio takes at least so many partners, and groups of neighbors of at least this size.
MIN_KNOWN = 30
MIN_GROUP = 10
MAX_GROUPS = 25
TWOFOLD = 2.0


def measure_sensitivity(
    points: pd.DataFrame,
    weights: pd.Series,
    distribution: pd.DataFrame | None = None,
    *,
    evidence: np.ndarray | None = None,
    aggregation: str = "arithmetic",
    draws: int = 1024,
    random_state: Any = 0,
) -> pd.DataFrame:
    """Compare the weight a factor was given with the weight it has.

    `first_order` and `total` are Sobol indices of the score when the factors are drawn independently from their
    frozen distributions: shares of its variance due to the factor alone, and with all interactions. The
    `correlation_ratio` is the share of the score's variance among the partners as they are, correlations between
    factors included, that the factor's points predict. A factor's standard deviation in the score is what answers
    to its weight, so `effective` is the root of that ratio, as a share of all: it equals the nominal weight where
    factors are independent and spread alike.

    Args:
        points: Partners x factors, 0 (worst) to 100 (best), missing where unknown.
        weights: Frozen weights by factor, at least 0.
        distribution: Frozen points of each factor, each row equally likely; None: quantiles of `points`. A factor
            whose column is missing was never known, moves nothing and so counts 0.
        evidence: Share of each factor's weight that counts for each partner, partners x factors, 0-1; None: all of it.
        aggregation: A name in `aggregation.AGGREGATIONS`.
        draws: Base size of the Sobol sequence, a power of 2; the score is computed draws x (factors + 2) times.
        random_state: Seed of the sequence.

    Returns:
        Index factor: `nominal` (weight, sums to 1), `first_order`, `total`, `correlation_ratio` (0-1; missing with
        fewer than 30 partners known), `effective` (sums to 1; missing where the ratio is) and `flagged` (true:
        they differ at least twofold, the weight of what is unknown shared out as in the score).

    Raises:
        ValueError: There is no partner, the weights are for other factors than the points, one is negative or all are
            0, the aggregation does not exist, or `draws` is no power of 2.

    References:
        Saltelli et al. (2010), Variance based sensitivity analysis of model output, Computer Physics Communications
        181(2); Paruolo, Saisana, Saltelli (2013), Ratings and rankings: voodoo or science?, JRSS A 176(3).

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> points = pd.DataFrame({"sales": rng.uniform(0, 100, 2000), "service": rng.uniform(45, 55, 2000)})
        >>> found = measure_sensitivity(points, pd.Series({"sales": 0.5, "service": 0.5}))
        >>> found["effective"].round(1).to_dict(), found["flagged"].to_dict()
        ({'sales': 0.9, 'service': 0.1}, {'sales': False, 'service': True})
    """
    if not len(points):
        raise ValueError("points has no row, must have one a partner: what a score follows is told of partners")
    if list(points.columns) != list(weights.index):
        raise ValueError(f"weights are for {list(weights.index)}, must be for {list(points.columns)}")
    if not ((weights >= 0).all() and weights.sum() > 0):
        raise ValueError(f"weights == {weights.to_dict()}, must be >= 0 and hold one above 0")
    if aggregation not in AGGREGATIONS:
        raise ValueError(f"rating.aggregation == {aggregation!r}; possible values are: {', '.join(AGGREGATIONS)}")
    if draws < 2 or draws & (draws - 1):
        raise ValueError(f"draws == {draws}, must be a power of 2")
    aggregate = AGGREGATIONS[aggregation]
    nominal = (weights / weights.sum()).astype(float)
    if distribution is None:
        places = (np.arange(GRID) + 0.5) / GRID
        distribution = pd.DataFrame(
            {
                name: np.quantile(values.dropna(), places) if values.notna().any() else np.full(GRID, np.nan)
                for name, values in points.items()
            }
        )
    used = [name for name in points.columns if distribution[name].notna().all() and nominal[name] > 0]
    result = pd.DataFrame({"nominal": nominal, "first_order": 0.0, "total": 0.0, "correlation_ratio": 0.0})
    if used:
        grid, own = distribution[used].to_numpy(dtype=float), nominal[used].to_numpy()

        def score(places: np.ndarray) -> np.ndarray:
            row = np.minimum((places * len(grid)).astype(np.int64), len(grid) - 1)
            return aggregate(np.take_along_axis(grid, row, axis=0), own)

        indices = estimate_sobol(score, len(used), draws=draws, random_state=random_state)
        result.loc[used, ["first_order", "total"]] = indices.to_numpy()
    counted = points.notna().astype(float) if evidence is None else points.notna() * evidence
    scores = aggregate(points.to_numpy(dtype=float), nominal.to_numpy() * counted.to_numpy())
    for name in points.columns[points.notna().any() & distribution.notna().all()]:
        result.loc[name, "correlation_ratio"] = correlation_ratio(points[name].to_numpy(dtype=float), scores)
    spread = np.sqrt(result["correlation_ratio"])
    result["effective"] = spread / spread.sum() if spread.sum() > 0 else spread
    # What nobody is known on moves nothing: its weight is shared by the others, as in the score.
    shared = nominal * counted.mean() * distribution.notna().all()
    both = pd.DataFrame({"nominal": shared / (shared.sum() or 1.0), "effective": result["effective"]})
    low, high = both.min(axis=1), both.max(axis=1)
    result["flagged"] = (high > 0) & (high >= TWOFOLD * low) & result["effective"].notna()
    return result.rename_axis("factor")


def estimate_sobol(
    function: Callable[[np.ndarray], np.ndarray], count: int, *, draws: int = 1024, random_state: Any = 0
) -> pd.DataFrame:
    """Estimate Sobol indices of a function of independent uniform variables, with SALib.

    Args:
        function: Takes an array rows x variables of numbers between 0 and 1 and returns a number a row.
        count: Number of variables.
        draws: Base size of the sequence, a power of 2.
        random_state: Seed.

    Returns:
        One row a variable: `first_order` and `total`; all 0 where the function is constant.

    Examples:
        >>> estimate_sobol(lambda x: 3 * x[:, 0] + x[:, 1], 2).round(2).to_numpy().tolist()
        [[0.9, 0.9], [0.1, 0.1]]
    """
    from SALib.analyze import sobol as analysis
    from SALib.sample import sobol as sequence

    seed = int(check_random_state(random_state).randint(2**31))
    problem = {"num_vars": count, "names": [f"x{place}" for place in range(count)], "bounds": [[0.0, 1.0]] * count}
    sample = sequence.sample(problem, draws, calc_second_order=False, seed=seed)
    values = function(sample)
    if np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
        return pd.DataFrame({"first_order": 0.0, "total": 0.0}, index=range(count))
    found = analysis.analyze(problem, values, calc_second_order=False, num_resamples=2, seed=seed)
    return pd.DataFrame({"first_order": found["S1"], "total": found["ST"]})


def correlation_ratio(x: np.ndarray, y: np.ndarray) -> float:
    """Estimate the share of y's variance that x predicts, in whatever form.

    Rows are put in groups of neighbors in x, up to 25 of equal size; the variance within them is compared with all
    of it, each free of bias (Kelley's epsilon squared), so that an x without influence has 0 on average.

    Args:
        x: Numbers; equal ones stay together. Rows where x or y is missing are left out.
        y: Numbers.

    Returns:
        0 to 1; 0 where x or y is constant; missing with fewer than 30 rows.

    References:
        Kelley (1935), An unbiased correlation ratio measure, PNAS 21(9).

    Examples:
        >>> x = np.linspace(-1, 1, 1000)
        >>> correlation_ratio(x, x**2) > 0.98
        True
    """
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    n = len(x)
    if n < MIN_KNOWN:
        return np.nan
    places = pd.Series(x).rank(method="average").to_numpy()
    groups = min(MAX_GROUPS, n // MIN_GROUP)
    _, group = np.unique(np.minimum((places - 0.5) * groups // n, groups - 1), return_inverse=True)
    count = np.bincount(group)
    total = ((y - y.mean()) ** 2).sum()
    if len(count) < 2 or total <= 1e-18 * n * max(1.0, float(np.abs(y).max()) ** 2):
        return 0.0
    within = ((y - (np.bincount(group, weights=y) / count)[group]) ** 2).sum()
    return float(np.clip(1 - within / (n - len(count)) / (total / (n - 1)), 0.0, 1.0))
