"""Weights of factors: stated, from judgments, from the data, learned from outcomes, and blends."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from partnerseg.rating.judgments import (
    check_judged,
    check_name,
    complete_judgments,
    find_consistency_ratio,
    find_principal,
    name_judgment,
    read_best_worst,
    read_by_name,
    read_judgments,
    read_number,
    split_best_worst,
)
from partnerseg.rating.learning import Fit, choose_strength, read_outcome
from partnerseg.rating.moments import SAMPLE, Moments, fold_blocks, measure_moments, read_values
from partnerseg.rating.panel import Changes

# Factors so correlated say the same.
SAME = 1 - 1e-12
ALIKE = 0.5  # correlation of two factors' expected changes from which on they are learned as one


@dataclass(frozen=True)
class Weights:
    """Weights of factors and how they came about.

    Attributes:
        method: Name of the method.
        weights: One weight a factor, at least 0, summing to 1.
        details: One row a factor: the method's own figures, described with the method.
        consistency_ratio: Of judgments, 0 is perfect (`ahp`, `best_worst`); missing for other methods.
        ksi: Largest deviation from a judgment (`best_worst`); missing for other methods.
        strength: Strength of the prior (`learned`); missing for other methods.
    """

    method: str
    weights: pd.Series
    details: pd.DataFrame = field(default_factory=pd.DataFrame)
    consistency_ratio: float = np.nan
    ksi: float = np.nan
    strength: float = np.nan


def direct(weights: Mapping[str, float] | pd.Series) -> Weights:
    """Take weights as stated, scaled to sum to 1.

    Args:
        weights: A number of at least 0 for each factor; only ratios count.

    Raises:
        ValueError: A weight is negative, missing, infinite or text, all are zero, there is none, or a factor stands
            there twice.

    Examples:
        >>> direct({"volume": 3, "quality": 1}).weights.to_dict()
        {'volume': 0.75, 'quality': 0.25}
    """
    given = read_by_name("weights", weights)
    _check_names("weights", given)
    numbers = [read_number(f"weight of {name}", weight, 0) for name, weight in given.items()]
    stated = pd.Series(numbers, index=weights.index if isinstance(weights, pd.Series) else list(given))
    return Weights("direct", _share(stated, "weights"))


def equal(factors: Iterable[str]) -> Weights:
    """Give every factor the same weight.

    Args:
        factors: Names of the factors.

    Raises:
        ValueError: There is no factor, or a name stands there twice.

    Examples:
        >>> equal(["volume", "quality"]).weights.to_dict()
        {'volume': 0.5, 'quality': 0.5}
    """
    if isinstance(factors, str):
        raise ValueError(f"factors == {factors!r}, must be a list of names, as [{factors!r}]")
    names = list(factors)
    _check_names("factors", names)
    return Weights("equal", _share(pd.Series(1.0, index=names), "weights"))


def ahp(judgments: pd.DataFrame | Iterable[Mapping[str, Any]], *, max_consistency_ratio: float = 0.10) -> Weights:
    """Derive weights from judgments of pairs (analytic hierarchy process).

    Weights are the principal eigenvector of the matrix of judgments. Judgments that were not made are completed so
    that the largest eigenvalue is the least possible. The consistency ratio is the consistency index over that of
    random matrices; it takes no account of judgments not made, which make it smaller.

    Args:
        judgments: Rows `{better, worse, times}` ("volume is 3 times as important as service"), each pair once; or a
            square frame, factors x factors, with how many times the row is as important as the column (missing
            where not judged; one of the two halves is enough). Times are above 0, customarily 1 to 9.
        max_consistency_ratio: Judgments that contradict each other more are refused; at least 0.

    Returns:
        Weights with `consistency_ratio`; `details` holds the completed matrix, factors x factors.

    Raises:
        ValueError: The judgments contradict each other too much (the message names the one to revisit and the value
            that fits the others), a value is not above 0, a pair is judged twice, or factors are not connected.

    References:
        Saaty, T. L. (1980), The Analytic Hierarchy Process, McGraw-Hill.
        Bozoki, S., Fulop, J., Ronyai, L. (2010), On optimal completion of incomplete pairwise comparison matrices,
        Mathematical and Computer Modelling 52(1-2), 318-333.

    Examples:
        >>> rows = [
        ...     {"better": "volume", "worse": "quality", "times": 2},
        ...     {"better": "quality", "worse": "service", "times": 2},
        ...     {"better": "volume", "worse": "service", "times": 4},
        ... ]
        >>> ahp(rows).weights.round(4).to_dict()
        {'volume': 0.5714, 'quality': 0.2857, 'service': 0.1429}
    """
    limit = read_number("max_consistency_ratio", max_consistency_ratio, 0)
    names, judged = read_judgments(judgments)
    completed = complete_judgments(names, judged)
    largest, vector = find_principal(completed)
    ratio = find_consistency_ratio(largest, len(names))
    if ratio > limit:
        raise ValueError(
            f"judgments: consistency ratio == {ratio:.3f}, must be <= {limit:g}; " + name_judgment(names, judged)
        )
    details = pd.DataFrame(completed, index=names, columns=names)
    return Weights("ahp", _share(pd.Series(vector, index=names), "weights"), details, consistency_ratio=ratio)


def best_worst(
    best_to_others: Mapping[str, float] | pd.Series, others_to_worst: Mapping[str, float] | pd.Series
) -> Weights:
    """Derive weights from judgments against the best and the worst factor (best-worst method, linear model).

    Args:
        best_to_others: How many times the most important factor is as important as each; itself 1 or left out.
        others_to_worst: How many times each is as important as the least important factor; itself 1 or left out.
            Times are at least 1, customarily at most 9.

    Returns:
        Weights with `ksi`, the largest deviation (0 is perfect), and `consistency_ratio`, the largest contradiction
        between `best_to_others` times `others_to_worst` and the judgment of best against worst as a share of the
        largest possible; `details` holds both judgments and each factor's `consistency_ratio`.

    Raises:
        ValueError: A value is under 1 or missing, a factor is judged once only, best and worst cannot be told, or
            the two judgments of best against worst differ.

    References:
        Rezaei, J. (2016), Best-worst multi-criteria decision-making method: some properties and a linear model,
        Omega 64, 126-130.
        Liang, F., Brunelli, M., Rezaei, J. (2020), Consistency issues in the best worst method: measurements and
        thresholds, Omega 96, 102175.

    Examples:
        >>> result = best_worst({"service": 2, "quality": 4}, {"volume": 4, "service": 2})
        >>> result.weights.round(4).to_dict(), round(result.ksi, 4)
        ({'volume': 0.5714, 'service': 0.2857, 'quality': 0.1429}, 0.0)
    """
    from scipy.optimize import linprog

    table, best, worst = read_best_worst(best_to_others, others_to_worst)
    n = len(table)
    if n == 1:
        return Weights("best_worst", _share(pd.Series(1.0, index=table.index), "weights"), consistency_ratio=0, ksi=0)
    rows = []
    for place in range(n):
        against_best, against_worst = np.zeros(n), np.zeros(n)
        against_best[best] += 1
        against_best[place] -= table["best_to_others"].iloc[place]
        against_worst[place] += 1
        against_worst[worst] -= table["others_to_worst"].iloc[place]
        rows += [against_best, -against_best, against_worst, -against_worst]
    found = linprog(
        [0.0] * n + [1.0],
        A_ub=np.column_stack([rows, -np.ones(len(rows))]),
        b_ub=np.zeros(len(rows)),
        A_eq=[[1.0] * n + [0.0]],
        b_eq=[1.0],
        method="highs",
    )
    most = table["best_to_others"].iloc[worst]
    gap = (table["best_to_others"] * table["others_to_worst"] - most).abs()
    table["consistency_ratio"] = gap / (most * most - most) if most > 1 else 0.0
    return Weights(
        "best_worst",
        _share(pd.Series(np.maximum(found.x[:n], 0), index=table.index), "weights"),
        table,
        consistency_ratio=float(table["consistency_ratio"].max()),
        ksi=max(float(found.x[n]), 0.0),
    )


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
    values = _read_points(X)
    peak = np.nanmax(np.abs(values[:: max(1, len(values) // SAMPLE)]), axis=0, initial=0.0)
    peak = np.where(np.isfinite(peak) & (peak > 0), peak, 1.0)[:, None]

    def add_block(block: np.ndarray, total: np.ndarray) -> None:
        low, known = block.min(axis=1), block.shape[1]
        if np.isnan(low).any():
            there = ~np.isnan(block)
            low, known = np.where(there, block, np.inf).min(axis=1), there.sum(axis=1)
            high = np.where(there, block, -np.inf).max(axis=1)
            block[~there] = 0.0
        else:
            high = block.max(axis=1)
        np.minimum(total[0], low, out=total[0])
        np.maximum(total[1], high, out=total[1])
        total[2] += known
        block /= peak
        total[3] += block.sum(axis=1)
        # A share of 0 adds nothing: 0 times the logarithm of a tiny number.
        logs = np.maximum(block, np.finfo(float).tiny)
        np.log(logs, out=logs)
        logs *= block
        total[4] += logs.sum(axis=1)

    def join(total: np.ndarray, part: np.ndarray) -> None:
        np.minimum(total[0], part[0], out=total[0])
        np.maximum(total[1], part[1], out=total[1])
        total[2:] += part[2:]

    empty = np.zeros((5, X.shape[1]))
    empty[0], empty[1] = np.inf, -np.inf
    with np.errstate(all="ignore"):
        low, high, n, sums, logs = fold_blocks(values, empty.copy, add_block, join)
        evenness = (np.log(sums) - logs / sums) / np.log(n)
    varying = _screen(X.columns, n, low, high)
    negative = varying & (low < 0)
    if negative.any():
        place = int(np.argmax(negative))
        raise ValueError(f"factor {X.columns[place]} has the value {low[place]}, must be >= 0; scale it to 0-100 first")
    for one, other in _find_same(values, varying):
        _warn_of_same(X.columns[one], X.columns[other])
    evenness = np.where(varying, np.minimum(evenness, 1.0), 1.0)
    details = pd.DataFrame({"n": n.astype(int), "entropy": evenness}, index=X.columns)
    return Weights("entropy", _share(1 - details["entropy"], "divergence from an even spread"), details)


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
    moments = measure_moments(_read_points(X))
    varying = _screen(X.columns, moments.n, moments.low, moments.high)
    correlation = _fill_correlation(X.columns, moments, varying)
    with np.errstate(all="ignore"):
        deviation = np.where(varying, moments.deviation / (moments.high - moments.low), 0.0)
    conflict = np.where(varying, (1 - correlation)[:, varying].sum(axis=1), 0.0)
    details = pd.DataFrame({"deviation": deviation, "conflict": np.maximum(conflict, 0)}, index=X.columns)
    details["information"] = details["deviation"] * details["conflict"]
    if varying.sum() == 1:
        details["information"] = varying.astype(float)
    return Weights("critic", _share(details["information"], "information"), details)


def pca(X: pd.DataFrame, *, components: int | None = None) -> Weights:
    """Weigh factors by what they explain of the partners' differences (principal components, rotated).

    The correlations of the factors are cut down to the leading components, turned by varimax. A factor is weighed by
    its squared loading on the component where it loads most, as a share of that component's squared loadings, times
    the component's share of what all retained ones explain. The sign of a loading does not count: a factor that runs
    against the others weighs as much as one that runs with them.

    Args:
        X: Partners x factors; missing where unknown. Correlations use the partners on whom both factors are known.
        components: Number of components; None retains those that explain at least 10% of the variance each, and more
            while they explain less than 60% together.

    Returns:
        Weights; `details` holds `component` (1 is the first; missing for a factor that weighs 0), `loading` (on that
        component, after rotation) and for each component `eigenvalue` (of the correlations, 1 is a factor's share),
        which stands in the row of the factor in its place, largest first. A factor that is constant or known for
        fewer than two partners weighs 0.

    Raises:
        ValueError: A value is infinite, no factor varies, or `components` is impossible.

    Warns:
        UserWarning: As `critic`.

    References:
        OECD and JRC (2008), Handbook on Constructing Composite Indicators, OECD Publishing, step 6.
        Nicoletti, G., Scarpetta, S., Boylaud, O. (2000), Summary indicators of product market regulation, OECD
        Economics Department Working Papers 226.

    Examples:
        >>> X = pd.DataFrame({"a": [0.0, 5, 10, 5], "b": [1.0, 5, 10, 4], "c": [5.0, 0, 5, 10]})
        >>> pca(X).weights.round(2).to_dict()
        {'a': 0.33, 'b': 0.33, 'c': 0.34}
    """
    moments = measure_moments(_read_points(X))
    varying = _screen(X.columns, moments.n, moments.low, moments.high)
    count = int(varying.sum())
    if count == 0:
        return Weights("pca", _share(pd.Series(0.0, index=X.columns), "variance"))
    if components is not None and not 1 <= _read_count("components", components) <= count:
        raise ValueError(f"components == {components}, must be between 1 and the {count} factors that vary")
    correlation = _fill_correlation(X.columns, moments, varying)[np.ix_(varying, varying)]
    eigenvalues, vectors = np.linalg.eigh(correlation)
    eigenvalues, vectors = np.maximum(eigenvalues[::-1], 0), vectors[:, ::-1]
    explained = eigenvalues / eigenvalues.sum()
    if components is None:
        components = max(int((explained >= 0.1).sum()), int(np.searchsorted(explained.cumsum(), 0.6 - 1e-9)) + 1)
    squared = _rotate(vectors[:, :components] * np.sqrt(eigenvalues[:components])) ** 2
    squared = squared[:, np.argsort(-squared.sum(axis=0), kind="stable")]
    home = squared.argmax(axis=1)
    weights = pd.Series(0.0, index=X.columns)
    # The share of the component's loadings times the component's share is the squared loading itself, to a constant.
    weights[varying] = squared.max(axis=1)
    details = pd.DataFrame({"component": np.nan, "loading": 0.0, "eigenvalue": np.nan}, index=X.columns)
    details.loc[varying, "component"] = home + 1.0
    details.loc[varying, "loading"] = np.sqrt(squared.max(axis=1))
    details.loc[varying, "eigenvalue"] = eigenvalues
    return Weights("pca", _share(weights, "squared loadings"), details)


def benefit_of_the_doubt(
    X: pd.DataFrame,
    *,
    lower: float | Mapping[str, float] | pd.Series = 0.0,
    upper: float | Mapping[str, float] | pd.Series = 1.0,
    partners: int = 1000,
) -> Weights:
    """Let every partner choose the weights that suit it best, and take the mean of their choices.

    A partner's composite is the largest weighted sum it can reach with weights under which nobody exceeds 1 (a linear
    program). Its share in a factor is what the factor adds to the composite; units do not matter. Shares are bounded.
    An unknown or zero factor adds nothing, for the partner and for its peers, and its bounds are shared among the
    others. Of a frontier partner's choices, all equally good, one whose largest share is smallest is taken; two factors
    that are the same share in any proportion.

    Args:
        X: Partners x factors, all at least 0 and more is better; missing where unknown.
        lower: Least share of the composite for every factor or by factor, 0-1; 0 where a factor is not named.
        upper: Largest share, 0-1; 1 where a factor is not named.
        partners: At most so many partners, evenly spaced in the order of their index, choose; all are peers.

    Returns:
        Weights, the mean share of each factor (so they keep the bounds where everything is known); `details` holds
        one row a partner that chose: `composite` (0-1, 1 is the frontier) and the share of each factor. Partners
        with nothing above 0 have no composite.

    Raises:
        ValueError: A value is negative or infinite, bounds are impossible, or no factor varies.

    Warns:
        UserWarning: A factor is constant, or known for fewer than two partners, and so weighs 0; or two are the same.

    References:
        Cherchye, L., Moesen, W., Rogge, N., Van Puyenbroeck, T. (2007), An introduction to 'benefit of the doubt'
        composite indicators, Social Indicators Research 82(1), 111-145.

    Examples:
        >>> X = pd.DataFrame({"volume": [10.0, 5, 5], "quality": [1.0, 2, 1]}, index=["a", "b", "c"])
        >>> result = benefit_of_the_doubt(X)
        >>> result.details["composite"].round(4).to_dict()
        {'a': 1.0, 'b': 1.0, 'c': 0.6667}
    """
    values = _read_points(X)
    count = _read_count("partners", partners)
    moments = measure_moments(values)
    varying = _screen(X.columns, moments.n, moments.low, moments.high)
    _fill_correlation(X.columns, moments, varying)
    if (moments.low[varying] < 0).any():
        place = int(np.argmax(varying & (moments.low < 0)))
        raise ValueError(f"factor {X.columns[place]} has the value {moments.low[place]}, must be >= 0")
    if not varying.any():
        return Weights("benefit_of_the_doubt", _share(pd.Series(0.0, index=X.columns), "shares"))
    names = X.columns[varying]
    bounds = _read_bounds(X.columns, lower, upper)[:, varying]
    _check_bounds(names, bounds)
    known = np.nan_to_num(values[:, varying], nan=0.0) / moments.high[varying]
    peers = _find_frontier(known)
    order = np.argsort(X.index.map(str), kind="stable") if X.index.nlevels == 1 else np.arange(len(X))
    chosen = np.sort(order[np.unique(np.linspace(0, len(X) - 1, min(count, len(X))).round().astype(int))])
    details = pd.DataFrame(0.0, index=X.index[chosen], columns=["composite", *X.columns])
    details.loc[~known[chosen].any(axis=1)] = np.nan
    for place, partner in enumerate(chosen):
        if known[partner].any():
            composite, shares = _give_benefit(known[partner], peers, bounds)
            details.iloc[place, 0] = composite
            details.iloc[place, 1 + np.flatnonzero(varying)] = shares
    return Weights("benefit_of_the_doubt", _share(details[list(X.columns)].mean(), "shares"), details)


def learned(
    X: pd.DataFrame,
    y: pd.Series,
    *,
    prior: Mapping[str, float] | pd.Series | None = None,
    strength: float | None = None,
) -> Weights:
    """Learn which factors go with a later outcome, held to an expert's weights where the data say little.

    The outcome is replaced by the normal scores of its ranks (within a date, so that neither outliers nor seasons
    count) and fitted by least squares on the factors, none of which may count against a partner. The further the
    coefficients are from the prior's, the more they cost. Missing points are left out pair by pair.

    Args:
        X: Rows x factors, points; missing where unknown. Indexed by partner_id, or by (as_of, partner_id) where
            partners have a row for several dates.
        y: What happened afterwards, more is better, by the same index; missing where it is not known yet.
        prior: The expert's weights; None means equal weights.
        strength: What distance from the prior costs: 0 forgets the prior, at 1 it counts as much as the data, at 100
            the data hardly count. None takes the largest that predicts partners left out, of five groups, as well as
            the best one does, to within a standard error of the difference.

    Returns:
        Weights with `strength`; `details` holds `n` (rows with factor and outcome known), `correlation` (with the
        outcome's scores), `effect` (deviations of the outcome for one deviation of the factor) and `prior` (what the
        prior's effect was). Where no factor goes with the outcome the prior's weights are returned.

    Raises:
        ValueError: An index is repeated, a value is infinite or text, the prior lacks a factor, `strength` is
            negative, the outcome is known for fewer than 30 partners or does not vary, or no factor varies among them.

    Warns:
        UserWarning: A factor weighs 0 since it is constant or unknown wherever the outcome is known, two are the
            same, or nothing was learned; they are named.

    References:
        Lawson, C. L., Hanson, R. J. (1974), Solving Least Squares Problems, Prentice-Hall, chapter 23.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> X = pd.DataFrame(rng.uniform(0, 100, (400, 3)), columns=["volume", "service", "luck"])
        >>> y = 4 * X["volume"] + X["service"] + rng.normal(0, 20, 400)
        >>> learned(X, y).weights.round(1).to_dict()
        {'volume': 0.8, 'service': 0.2, 'luck': 0.0}
    """
    _read_points(X)
    if not isinstance(y, pd.Series):
        raise ValueError(f"y is a {type(y).__name__}, must be a series by the index of X")
    if strength is not None:
        strength = read_number("strength", strength, 0)
    table, target, groups = read_outcome(X, pd.Series(read_values(y.to_frame("y"))[:, 0], y.index))
    values = read_values(table)
    moments = measure_moments(values)
    varying = _screen(X.columns, moments.n, moments.low, moments.high, where=" wherever the outcome is known")
    if not varying.any():
        raise ValueError("no factor varies among the partners whose outcome is known; use direct or equal weights")
    for one, other in _find_same(values, varying):
        _warn_of_same(X.columns[one], X.columns[other])
    expert = equal(X.columns) if prior is None else _take_stated(X.columns, prior, "prior")
    used = values[:, varying]
    scaled = (used - np.nanmean(used, axis=0)) / moments.deviation[varying]
    trusted = expert.weights.to_numpy()[varying]
    start = trusted * moments.deviation[varying]
    if strength is None:
        strength = choose_strength(scaled, target, start, groups)
    fit = Fit.of(scaled, target, start)
    effect = fit.solve(strength)
    details = pd.DataFrame({"n": moments.n.astype(int), "correlation": np.nan, "effect": 0.0}, index=X.columns)
    details["prior"] = 0.0
    details.loc[varying, "correlation"] = fit.against
    details.loc[varying, "effect"] = effect
    details.loc[varying, "prior"] = fit.prior
    weights = pd.Series(0.0, index=X.columns)
    weights[varying] = effect / moments.deviation[varying]
    if not effect.sum() > 1e-12:
        warnings.warn("no factor goes with the outcome: the prior's weights are returned", stacklevel=2)
        weights[varying] = trusted
    return Weights("learned", _share(weights, "effects"), details, strength=float(strength))


def learn_weights(
    points: pd.DataFrame, changes: Changes, *, prior: Mapping[str, float] | pd.Series | None = None
) -> Weights:
    """Learn weights of points from changes: of factors that partners differ in alike, what raises more weighs more.

    Effects are of a standard deviation; a weight is of a point, so the effect is divided by the deviation of the points
    among partners. A factor of which `changes` tell nothing, or on which partners do not differ, keeps its share of the
    prior. Factors whose expected changes correlate by 0.5 or more (told by the same events: replies are both audience
    communication and prospecting) cannot be told apart: they are learned as one and share its effect as the prior says.

    Args:
        points: Partners x factors at one date, 0-100; missing where unknown.
        changes: From `expect_changes`, of the same factor table.
        prior: The expert's weights; None means equal weights.

    Returns:
        As `weights.learned`, a weight for each column of `points`; `details` has a row a factor learned: `learned_as`
        (its name, or the names of those learned as one), `n` and `correlation` of these, and the factor's own `effect`
        and `prior`: deviations of the outcome for one deviation of the factor.

    Raises:
        ValueError: As `weights.learned`; or `changes` tell of no factor.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> index = pd.MultiIndex.from_product([["2026-03-31"], range(2000)], names=["as_of", "partner_id"])
        >>> X = pd.DataFrame(rng.normal(size=(2000, 2)), index=index, columns=["skill", "luck"])
        >>> changes = Changes(X, X["skill"] + rng.normal(size=2000), 0.8, pd.DataFrame())
        >>> points = pd.DataFrame({"skill": [40.0, 60.0], "luck": [0.0, 100.0], "size": [10.0, 30.0]})
        >>> learn_weights(points, changes).weights.round(2).to_dict()
        {'skill': 0.67, 'luck': 0.0, 'size': 0.33}
    """
    expert = (equal(points.columns) if prior is None else _take_stated(points.columns, prior, "prior")).weights
    deviation = points.std()
    told = [name for name in points.columns if name in changes.X and changes.X[name].notna().all()]
    told = [name for name in told if deviation[name] > 0]
    if not told:
        raise ValueError("changes tell of no factor: too few of its measures repeat; use stated weights")
    stated = expert[told] * deviation[told]
    names = _join_alike(changes.X[told])
    whole = stated.groupby(names).transform("sum")
    shares = (stated / whole).where(whole > 0, 1 / names.groupby(names).transform("size"))
    joined = (changes.X[told] * shares).T.groupby(names).sum().T
    prior = stated.groupby(names).sum() if stated.sum() > 0 else None
    found = learned(joined, changes.y, prior=prior)
    details = found.details.assign(learned_as=found.details.index).loc[names].set_axis(shares.index)
    spread = joined.std()[names].to_numpy()
    one: pd.Series = shares.where(spread > 0, 0.0) / np.where(spread > 0, spread, 1.0)
    details = details.assign(effect=details["effect"] * one, prior=details["prior"] * one)
    weights = expert.copy()
    effects = found.weights[names].to_numpy() * shares
    weights[told] = direct(effects / deviation[told]).weights * expert[told].sum()
    return replace(found, weights=direct(weights).weights, details=details)


def _join_alike(X: pd.DataFrame) -> pd.Series:
    """Name what each factor is learned with: itself, or all that are alike, directly or by way of others."""
    from scipy.sparse.csgraph import connected_components

    alike = X.corr().to_numpy() >= ALIKE
    groups = pd.Series(connected_components(alike, directed=False)[1], index=X.columns)
    return groups.map({group: " + ".join(map(str, own)) for group, own in groups.groupby(groups).groups.items()})


def blend(parts: Mapping[str, Weights], shares: Mapping[str, float] | None = None) -> Weights:
    """Mix weights of several methods.

    Args:
        parts: Weights by name, of the same factors.
        shares: How much each counts; only ratios matter. None means equally.

    Returns:
        Weights; `details` holds the weights of each part, one column a part.

    Raises:
        ValueError: There is no part or one is no `Weights`, factors differ, a share is impossible, or names of shares
            and parts differ.

    Examples:
        >>> parts = {"expert": direct({"volume": 3, "quality": 1}), "even": equal(["volume", "quality"])}
        >>> blend(parts, {"expert": 1, "even": 1}).weights.to_dict()
        {'volume': 0.625, 'quality': 0.375}
    """
    if not parts:
        raise ValueError("parts: there is none; name at least one method, as {direct: 0.5, critic: 0.5}")
    for name, part in parts.items():
        if not isinstance(part, Weights):
            raise ValueError(f"parts: {name} is a {type(part).__name__}, must be Weights, as direct({{volume: 1}})")
    counts = dict.fromkeys(parts, 1.0) if shares is None else read_by_name("shares", shares)
    if set(counts) != set(parts):
        raise ValueError(f"shares name {', '.join(counts)}, must be the parts: {', '.join(parts)}")
    share = direct(counts).weights
    first = next(iter(parts.values())).weights
    for name, part in parts.items():
        if set(part.weights.index) != set(first.index):
            odd = sorted(set(part.weights.index) ^ set(first.index), key=str)
            raise ValueError(f"parts: {name} has other factors than {next(iter(parts))}: {', '.join(map(str, odd))}")
    details = pd.DataFrame({name: part.weights.reindex(first.index) for name, part in parts.items()})
    return Weights("blend", _share(sum(details[name] * share[name] for name in parts), "weights"), details)


def _weigh_direct(X: pd.DataFrame, **given: Any) -> Weights:
    stated = read_by_name("stated", _need(given, "stated", "direct"))
    for name in stated:
        check_name("stated: a name", name, _list_factors(X, given))
    return _take_stated(X.columns, stated, "stated")


def _weigh_ahp(X: pd.DataFrame, **given: Any) -> Weights:
    return _take(ahp(_need_judgments(X, given, "ahp")), X.columns)


def _weigh_best_worst(X: pd.DataFrame, **given: Any) -> Weights:
    return _take(best_worst(*split_best_worst(_need_judgments(X, given, "best_worst"))), X.columns)


def _weigh_learned(X: pd.DataFrame, **given: Any) -> Weights:
    outcome = _need(given, "outcome", "learned")
    if isinstance(outcome, Changes):
        return learn_weights(X, outcome, prior=given.get("stated"))
    return learned(X, outcome, prior=given.get("stated"))


def _weigh_blend(X: pd.DataFrame, **given: Any) -> Weights:
    shares = read_by_name("blend", _need(given, "blend", "blend"))
    for name in shares:
        if name not in WEIGHTINGS or name == "blend":
            possible = ", ".join(sorted(set(WEIGHTINGS) - {"blend"}))
            raise ValueError(f"blend: unknown weighting {name!r}; possible values are: {possible}")
    return blend({name: WEIGHTINGS[name](X, **given) for name in shares}, shares)


# How a rating finds its weights, called as WEIGHTINGS[name](X, stated=..., judgments=..., outcome=..., blend=...,
# factors=...): X holds the points of the factors that vary, `factors` names all there are (those of X where left out),
# also those that may be judged though they do not vary; what a method does not need may be left out.
WEIGHTINGS: dict[str, Callable[..., Weights]] = {
    "direct": _weigh_direct,
    "equal": lambda X, **given: equal(X.columns),
    "ahp": _weigh_ahp,
    "best_worst": _weigh_best_worst,
    "entropy": lambda X, **given: entropy(X),
    "critic": lambda X, **given: critic(X),
    "pca": lambda X, **given: pca(X),
    "benefit_of_the_doubt": lambda X, **given: benefit_of_the_doubt(X),
    "learned": _weigh_learned,
    "blend": _weigh_blend,
}


def _need(given: Mapping[str, Any], name: str, method: str) -> Any:
    found = given.get(name)
    if found is None or len(found) == 0:
        raise ValueError(f"{name} is empty, but the weighting {method} needs it; give it or choose another weighting")
    return found


def _need_judgments(X: pd.DataFrame, given: Mapping[str, Any], method: str) -> Any:
    judgments = _need(given, "judgments", method)
    check_judged(judgments, _list_factors(X, given))
    return judgments


def _list_factors(X: pd.DataFrame, given: Mapping[str, Any]) -> list[Any]:
    factors = given.get("factors")
    return list(X.columns if factors is None else factors)


def _take(result: Weights, names: pd.Index) -> Weights:
    """Keep the factors asked for, of all that were judged."""
    missing = [name for name in names if name not in result.weights.index]
    if missing:
        raise ValueError(f"judgments: factor {missing[0]} is not judged; add a judgment or choose another weighting")
    return replace(result, weights=_share(result.weights.reindex(names), "weights"))


def _check_names(where: str, names: Iterable[Any]) -> None:
    index = pd.Index(list(names))
    if not len(index):
        raise ValueError(f"{where}: there is none; name at least one factor")
    if not index.is_unique:
        raise ValueError(f"{where} names {index[index.duplicated()][0]} twice; keep one of them")


def _read_points(X: pd.DataFrame) -> np.ndarray:
    """Return the points of partners x factors, at least one of each."""
    values = read_values(X)
    if not values.size:
        raise ValueError(
            f"X has {len(X)} partners and {len(X.columns)} factors, must have some of both; use direct or equal weights"
        )
    return values


def _read_count(where: str, count: Any) -> int:
    if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
        raise ValueError(f"{where} == {count!r}, must be a whole number >= 1")
    return int(count)


def _share(amount: pd.Series, what: str) -> pd.Series:
    with np.errstate(over="ignore"):
        total = amount.sum()
    if not 0 < total < np.inf:
        raise ValueError(
            f"{what} of all {len(amount)} factors sum to {total}, must be > 0 and finite; use direct or equal weights"
        )
    return (amount / total).rename("weight")


def _screen(names: pd.Index, n: np.ndarray, low: np.ndarray, high: np.ndarray, *, where: str = "") -> np.ndarray:
    """Mark the factors that vary and warn of the others."""
    for name, least, most in zip(names, low, high, strict=True):
        if np.inf in (most, -least) and least <= most:
            raise ValueError(f"factor {name} has an infinite value, must be finite or missing")
    varying = np.asarray(high > low)
    for place in np.flatnonzero(~varying).tolist():
        reason = "is constant" if n[place] > 1 else "is known for fewer than two partners"
        warnings.warn(f"factor {names[place]} {reason}{where}: it weighs 0", stacklevel=3)
    return varying


def _warn_of_same(one: Any, other: Any) -> None:
    warnings.warn(f"factors {one} and {other} order partners the same: what they say counts twice", stacklevel=3)


def _pairs(marked: np.ndarray) -> list[tuple[int, int]]:
    return [(int(one), int(other)) for one, other in np.argwhere(np.triu(marked, k=1))]


def _find_same(values: np.ndarray, varying: np.ndarray) -> list[tuple[int, int]]:
    """Find pairs of factors that are known for the same partners and correlate perfectly."""
    # Who is not the same on some partners is not on all: most pairs are out after a look at a few thousand.
    some = measure_moments(values[:: max(1, len(values) // SAMPLE)])
    both = varying & varying[:, None]
    suspects = np.triu(both & ~(some.correlation < 1 - 1e-9), k=1)
    places = np.flatnonzero(suspects.any(axis=0) | suspects.any(axis=1))
    if not len(places):
        return []
    return [(int(places[one]), int(places[other])) for one, other in _same(measure_moments(values[:, places]))]


def _same(moments: Moments) -> list[tuple[int, int]]:
    shared = moments.shared == moments.n
    return _pairs((moments.correlation > SAME) & shared & shared.T)


def _fill_correlation(names: pd.Index, moments: Moments, varying: np.ndarray) -> np.ndarray:
    """Correlations with 0 where there is none; warn of these and of factors that are the same."""
    both = varying & varying[:, None]
    for one, other in _same(moments):
        if both[one, other]:
            _warn_of_same(names[one], names[other])
    unknown = np.isnan(moments.correlation) & both
    for one, other in _pairs(unknown):
        warnings.warn(
            f"factors {names[one]} and {names[other]} share too few partners for a correlation; taken as 0",
            stacklevel=3,
        )
    return np.where(np.isnan(moments.correlation), 0.0, moments.correlation)


def _rotate(loadings: np.ndarray) -> np.ndarray:
    """Turn loadings by varimax with Kaiser's normalization."""
    length = np.sqrt((loadings**2).sum(axis=1, keepdims=True))
    unit = loadings / np.where(length > 0, length, 1.0)
    turn = np.eye(loadings.shape[1])
    before = 0.0
    for _ in range(1000):
        turned = unit @ turn
        left, size, right = np.linalg.svd(unit.T @ (turned**3 - turned * (turned**2).mean(axis=0)))
        turn = left @ right
        if size.sum() <= before * (1 + 1e-14):
            break
        before = size.sum()
    return unit @ turn * length


def _read_bounds(names: pd.Index, lower: Any, upper: Any) -> np.ndarray:
    """Return bounds of shares, 2 x factors."""
    bounds = np.empty((2, len(names)))
    for row, (where, given, default) in enumerate((("lower", lower, 0.0), ("upper", upper, 1.0))):
        by_name = read_by_name(where, given) if hasattr(given, "items") else dict.fromkeys(names, given)
        for name in by_name:
            check_name(f"{where}: a name", name, names)
        bounds[row] = [read_number(f"{where} bound of {name}", by_name.get(name, default), 0) for name in names]
    return bounds


def _check_bounds(names: pd.Index, bounds: np.ndarray) -> None:
    for name, least, most in zip(names, *bounds, strict=True):
        if not least <= most <= 1:
            raise ValueError(f"bounds of {name} are {least:g} and {most:g}, must be 0 <= lower <= upper <= 1")
    if bounds[0].sum() > 1 + 1e-12 or bounds[1].sum() < 1 - 1e-12:
        raise ValueError(
            f"lower bounds sum to {bounds[0].sum():g} and upper bounds to {bounds[1].sum():g}; must be <= 1 and >= 1"
        )


def _find_frontier(values: np.ndarray) -> np.ndarray:
    """Keep the partners whom nobody equals or beats in everything: the others bind nobody."""
    values = np.unique(values, axis=0)
    kept = np.empty((0, values.shape[1]))
    for row in values[np.argsort(-values.sum(axis=1), kind="stable")]:
        if not (kept >= row).all(axis=1).any():
            kept = np.vstack([kept, row])
    return kept


def _give_benefit(own: np.ndarray, peers: np.ndarray, bounds: np.ndarray) -> tuple[float, np.ndarray]:
    """Solve one partner's program in what each factor adds to its composite; return that and the shares."""
    from scipy.optimize import linprog

    active = own > 0
    least, most = bounds[:, active]
    most = np.maximum(most / min(1.0, most.sum()), least)
    n = len(least)
    # A peer's composite: what the factors add for the partner, times how much better the peer is. Scaled to unit
    # rows: a factor next to 0 makes them huge.
    ratio = peers[:, active] / own[active]
    size = np.maximum(ratio.max(axis=1, keepdims=True), 1.0)
    share_rows = np.vstack([least[:, None] - np.eye(n), np.eye(n) - most[:, None]])
    rows = np.vstack([ratio / size, share_rows])
    limits = np.concatenate([1 / size[:, 0], np.zeros(2 * n)])
    found = linprog(-np.ones(n), A_ub=rows, b_ub=limits, method="highs")
    composite, added = -float(found.fun), found.x
    if composite > 1 - 1e-9:
        # Minimize the largest addition z at the same composite.
        even = linprog(
            [0.0] * n + [1.0],
            A_ub=np.block([[rows, np.zeros((len(rows), 1))], [np.eye(n), -np.ones((n, 1))]]),
            b_ub=np.concatenate([limits, np.zeros(n)]),
            A_eq=[[1.0] * n + [0.0]],
            b_eq=[composite],
            method="highs",
        )
        added = even.x[:n] if even.status == 0 else added
    shares = np.zeros(len(own))
    shares[active] = np.maximum(added, 0) / np.maximum(added, 0).sum()
    return min(composite, 1.0), shares


def _take_stated(names: pd.Index, given: Any, where: str) -> Weights:
    """Take the stated weights of the factors asked for."""
    stated = read_by_name(where, given)
    missing = [name for name in names if name not in stated]
    if missing:
        raise ValueError(f"{where} has no weight for factor {missing[0]}; give one, 0 if it should not count")
    return direct({name: stated[name] for name in names})
