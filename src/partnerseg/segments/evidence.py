"""Says whether the data hold separate groups at all, against matched data that hold none."""

from dataclasses import dataclass

import numpy as np

from partnerseg.segments.encoding import correct_correlation, correlate_known, fill_unknown

DRAWS = 59
ROWS = 800
TRIED = (2, 3, 4, 5)  # numbers of parts that are tried
SMALLEST_PART = 0.05
DIRECTIONS = 10
BINS = 30
STARTS = 2
ROUNDS = 50


@dataclass(frozen=True)
class Evidence:
    """Whether there are segments, and how we know.

    Attributes:
        found: True when segments are claimed.
        reason: One sentence that says why or why not.
        statistic: Silhouette of the best split of the data, -1 to 1, higher is clearer; NaN if it was not looked for.
        null_95: What matched data without segments stay under in 95 of 100 draws; NaN likewise.
        pvalue: Share of matched draws that split at least as clearly; NaN likewise.
    """

    found: bool
    reason: str
    statistic: float = np.nan
    null_95: float = np.nan
    pvalue: float = np.nan


def weigh_evidence(coordinates: np.ndarray, *, random_state: int, draws: int = DRAWS) -> Evidence:
    """Compare the best split of the data with the best splits of matched data without segments.

    Every column is replaced by its normal scores, so that skewed margins cannot look like groups. The matched data
    come from a Gaussian or t copula with the same correlations, heaviness of joint tails and margins, ties and zeros
    included. Unknown cells are drawn from the same copula given the known ones, so a gap cannot look like a group
    either. The statistic is the largest silhouette of k-means with 2 to 5 parts of at least 5% of the rows each, in
    the first ten principal directions. At most 800 rows are looked at.

    This rejects "one elliptical cloud"; a single curved cloud can fail it too.

    Args:
        coordinates: Rows x number columns, NaN for unknown.
        random_state: Seed of everything that is drawn.
        draws: Number of matched data sets.

    Returns:
        The evidence; found when at most 5% of the draws split as clearly.

    References:
        Liu, Hayes, Nobel, Marron (2008), Statistical significance of clustering for high-dimension, low-sample size
        data. JASA 103. Halkidi, Vazirgiannis, Hennig (2015), Handbook of Cluster Analysis, ch. 26.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> groups = np.repeat([[0.0, 0.0], [8.0, 8.0]], 100, axis=0) + rng.normal(size=(200, 2))
        >>> weigh_evidence(groups, random_state=0).found
        True
        >>> weigh_evidence(rng.normal(size=(200, 2)), random_state=0).found
        False
    """
    rng = np.random.default_rng(random_state)
    if len(coordinates) > ROWS:
        coordinates = coordinates[rng.choice(len(coordinates), ROWS, replace=False)]
    known = ~np.isnan(coordinates)
    scores = score_normally(coordinates)
    usable = (known.sum(axis=0) >= 10) & (
        np.nanmax(np.where(known, scores, -np.inf), axis=0, initial=-np.inf)
        > np.nanmin(np.where(known, scores, np.inf), axis=0, initial=np.inf)
    )
    if not usable.any():
        return Evidence(False, "No number column varies enough to look for segments.")
    scores, known = scores[:, usable], known[:, usable]
    scores = scores / np.sqrt(np.nanmean((scores - np.nanmean(scores, axis=0)) ** 2, axis=0))
    margins = [np.sort(column[~np.isnan(column)]) if _is_tied(column) else None for column in scores.T]
    latent = _match_correlation(correlate_known(scores), margins, len(scores), rng)
    filled = fill_unknown(scores, correlate_known(scores), rng=rng)
    degrees = _match_tails(filled, latent, margins, rng)
    statistic = _best_silhouette(filled, rng)
    null = np.array(
        [_best_silhouette(_draw_null(latent, margins, len(scores), degrees, rng), rng) for _ in range(draws)]
    )
    null_95, pvalue = float(np.quantile(null, 0.95)), float((1 + (null >= statistic).sum()) / (1 + draws))
    found = pvalue <= 0.05
    reason = (
        f"The best split of the data (silhouette {statistic:.2f}) is {'clearer' if found else 'no clearer'} than "
        f"matched data without segments allow (up to {null_95:.2f} in 95 of 100 draws)."
    )
    return Evidence(found, reason, float(statistic), null_95, pvalue)


def score_normally(coordinates: np.ndarray) -> np.ndarray:
    """Make each column as normal as a map can that joins no groups and makes none.

    Each column is sent through the nearest distribution with a single hump, then through the normal quantiles: a
    skewed or flat column comes out normal, two humps stay two humps. A column with many ties gets the normal scores of
    its mean ranks. NaN stays.

    Example:
        >>> two_humps = np.r_[np.linspace(-9, -8, 100), np.linspace(8, 9, 100)][:, None]
        >>> np.diff(score_normally(two_humps), axis=0).max().round(1)
        np.float64(1.9)
    """
    from scipy.special import ndtri

    scores = np.full(coordinates.shape, np.nan)
    for place, column in enumerate(coordinates.T):
        known = ~np.isnan(column)
        if known.any():
            scores[known, place] = ndtri(_spread_one_hump(column[known]))
    return scores


def _is_tied(column: np.ndarray) -> bool:
    """Tell whether a column repeats its values so often that its margin must be taken as it is."""
    known = column[~np.isnan(column)]
    return len(np.unique(known)) < 0.9 * len(known)


def _spread_one_hump(values: np.ndarray) -> np.ndarray:
    """Return each value's probability under the nearest distribution with a single hump, ranks under ties."""
    from scipy.optimize import isotonic_regression
    from scipy.stats import rankdata

    count = len(values)
    shares = (rankdata(values) - 0.5) / count
    bins = min(BINS, count // 8)
    if _is_tied(values) or bins < 3:
        return shares
    edges = np.quantile(values, np.linspace(0, 1, bins + 1))
    widths = np.maximum(np.diff(edges), 1e-12)
    density = 1 / (bins * widths)
    best, mass = -np.inf, np.full(bins, 1 / bins)
    for hump in range(bins + 1):
        up = isotonic_regression(density[:hump], weights=widths[:hump]).x if hump else density[:0]
        down = (
            isotonic_regression(density[hump:], weights=widths[hump:], increasing=False).x
            if hump < bins
            else density[:0]
        )
        fitted = np.concatenate([up, down])
        if (likelihood := float(np.log(fitted).sum())) > best:
            best, mass = likelihood, fitted * widths
    reached = np.concatenate([[0.0], np.cumsum(mass)]) / mass.sum()
    # Inside the outer bins, which may be endless, by rank; between them by value, so that a gap stays a gap.
    by_rank = np.interp(shares, np.linspace(0, 1, bins + 1), reached)
    outer = (values < edges[1]) | (values > edges[-2])
    return np.where(outer, by_rank, np.interp(values, edges, reached))


def _draw_null(
    latent: np.ndarray, margins: list[np.ndarray | None], rows: int, degrees: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw rows from the copula; a margin of None is normal."""
    draw = rng.standard_normal((rows, len(latent))) @ np.linalg.cholesky(latent).T
    if np.isfinite(degrees):
        draw *= np.sqrt(degrees / rng.chisquare(degrees, size=(rows, 1)))
    for column, margin in enumerate(margins):
        if margin is not None:
            ranks = draw[:, column].argsort().argsort()
            draw[:, column] = margin[ranks * len(margin) // rows]  # as many values as the column knows, over all rows
        elif np.isfinite(degrees):
            draw[draw[:, column].argsort(), column] = np.sort(rng.standard_normal(rows))
    return draw


def _match_correlation(
    target: np.ndarray, margins: list[np.ndarray | None], rows: int, rng: np.random.Generator
) -> np.ndarray:
    """Find the latent correlation whose data correlate like the target once ties and zeros have weakened it."""
    tied = np.array([margin is not None for margin in margins])
    weakened = tied[:, None] | tied[None, :]
    latent = wanted = target
    for _ in range(3 if tied.any() else 0):
        reached = correlate_known(_draw_null(latent, margins, 10 * rows, np.inf, rng))
        wanted = np.where(weakened, np.clip(wanted + target - reached, -0.99, 0.99), target)
        latent = correct_correlation(wanted)
    return latent


def _match_tails(
    filled: np.ndarray, latent: np.ndarray, margins: list[np.ndarray | None], rng: np.random.Generator
) -> float:
    """Choose the degrees of freedom whose distances from the center vary like those of the data."""
    inverse = np.linalg.inv(0.9 * latent + 0.1 * np.eye(len(latent)))

    def vary(rows: np.ndarray) -> float:
        return float(np.log(np.einsum("ij,jk,ik->i", rows, inverse, rows) + 1e-9).std())

    wanted = vary(filled)
    reached = {
        degrees: np.mean([vary(_draw_null(latent, margins, len(filled), degrees, rng)) for _ in range(4)])
        for degrees in (np.inf, 20.0, 10.0, 5.0, 3.0)
    }
    return min(reached, key=lambda degrees: abs(reached[degrees] - wanted))


def _best_silhouette(rows: np.ndarray, rng: np.random.Generator) -> float:
    """Return the largest silhouette among splits into 2 to 5 parts of 5% at least; -1 if there is no such split."""
    centered = rows - rows.mean(axis=0)
    if centered.shape[1] > DIRECTIONS:
        vectors = np.linalg.eigh(centered.T @ centered)[1]
        centered = centered @ vectors[:, -DIRECTIONS:]
    squares = (centered**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * centered @ centered.T, 0.0))
    best = -1.0
    for parts in TRIED:
        if parts * 2 > len(rows):
            break
        for _ in range(STARTS):
            members = np.eye(parts)[_split(centered, parts, rng)]
            sizes = members.sum(axis=0)
            if sizes.min() >= max(2, SMALLEST_PART * len(rows)):
                best = max(best, _measure_silhouette(distances, members, sizes))
    return best


def _split(rows: np.ndarray, parts: int, rng: np.random.Generator) -> np.ndarray:
    """Split rows by k-means from one k-means++ start."""
    centers = rows[[rng.integers(len(rows))]]
    nearest = ((rows - centers[0]) ** 2).sum(axis=1)
    for _ in range(1, parts):
        chances = nearest.cumsum()
        place = min(int(np.searchsorted(chances, rng.random() * chances[-1])), len(rows) - 1)
        centers = np.vstack([centers, rows[place]])
        nearest = np.minimum(nearest, ((rows - rows[place]) ** 2).sum(axis=1))
    parted = np.full(len(rows), -1)
    for _ in range(ROUNDS):
        before, parted = parted, ((centers**2).sum(axis=1) - 2 * rows @ centers.T).argmin(axis=1)
        if (before == parted).all():
            break
        members = np.eye(parts)[parted]
        sizes = members.sum(axis=0)[:, None]
        centers = np.where(sizes > 0, members.T @ rows / np.maximum(sizes, 1), centers)
    return parted


def _measure_silhouette(distances: np.ndarray, members: np.ndarray, sizes: np.ndarray) -> float:
    sums, own = distances @ members, members.astype(bool)
    within = sums[own] / (sizes[own.argmax(axis=1)] - 1)
    between = np.where(own, np.inf, sums / sizes).min(axis=1)
    return float(((between - within) / np.maximum(np.maximum(between, within), 1e-12)).mean())
