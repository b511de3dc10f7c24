"""Says whether the data hold separate segments at all, against matched data that hold none."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from partnerseg.segments.encoding import correct_correlation, correlate_known, fill_unknown

DRAWS = 39
ROWS = 600
LEVEL = 0.05
SMALLEST = 0.05  # share of rows that each side of a valley must have
TRIED = (2, 3, 4, 5, 7)  # numbers of parts that are tried
DIRECTIONS = 10  # principal directions that are looked along
BINS = 128
REACH = 3.5  # standard deviations that the bins cover to each side
BANDWIDTH = 0.45  # of a density estimate, in standard deviations of 1 row; shrinks with the fifth root of the rows
SHALLOW = 0.8  # a valley whose floor is higher, as a share of its lower shore, is none
MATCHED_SHALLOW = 0.7  # the same after matching
KEPT = 0.6  # share of its depth that a valley must keep after matching
SURE = 0.15  # a valley whose floor is lower needs no matching: too few rows lie there to hold a cloud together
CLEAREST = 0.7  # the deepest of the valleys that stay, as a share of the deepest of all: else the cloud is bent
CLEAREST_OF_MANY = 0.45  # the same in more than twelve coordinates, of which a bend takes few
SLAB = 0.15  # share of rows, those nearest to the valley's floor, that the others are matched with
NEIGHBORS = 8
THIN = 1.0  # log ratio of densities, mode to saddle, below which a gap between neighbors may be chance
MARGIN_BINS = 30
ATOM = 0.05  # share of rows that makes a value of a margin stand out
ONE_CLOUD, NOT_ROUND, SEPARATE = "one cloud", "not one round cloud", "separate segments"

Margin = tuple[np.ndarray, np.ndarray, bool]  # shares reached, values there, whether it jumps from value to value


@dataclass(frozen=True)
class Evidence:
    """Whether there are segments, and how we know.

    Attributes:
        found: True when segments are claimed: exactly when the shape is "separate segments".
        reason: One sentence that says what was seen.
        statistic: How far the clearest separation of the data stands out of matched data without segments, in standard
            deviations, higher is clearer; NaN if it was not looked for.
        null_95: What matched data without segments stay under in 95 of 100 draws; NaN likewise.
        pvalue: Share of matched draws that separate at least as clearly; NaN likewise.
        shape: "one cloud"; "not one round cloud", which is curved or skewed but hangs together; "separate segments".
    """

    found: bool
    reason: str
    statistic: float = np.nan
    null_95: float = np.nan
    pvalue: float = np.nan
    shape: str = ONE_CLOUD


def weigh_evidence(
    coordinates: np.ndarray, *, random_state: int, owners: np.ndarray | None = None, draws: int = DRAWS
) -> Evidence:
    """Look for valleys that separate the data, and compare them with those of matched data without segments.

    Separate segments have thinly populated valleys between them. Four kinds are looked for: along each column, along
    the principal directions, between the parts of k-means (2 to 7 parts, along the discriminant of each pair; the
    shallowest valley on the best way between two sides counts), and as a gap between neighbors in the tree of nearest
    neighbors, which also sees rings and chains. The largest of them, in units of the matched data, is the statistic.

    A curved cloud can have a valley in a projection though its ends hang together. So a valley counts only if it stays
    when the rows are weighted to resemble, in the directions across, those on the valley's floor; and none of them
    counts if the deepest one does not stay.

    The matched data come from a Gaussian or t copula with the same correlations and heaviness of joint tails. Margins
    have a single hump, fitted to the data; zeros, ties and the shares of texts stay. Unknown cells are drawn from the
    same copula given the known ones, so a gap cannot look like a segment. At most 600 rows are looked at.

    Args:
        coordinates: Rows x coordinates as `Encoding.encode` makes them, NaN for unknown.
        random_state: Seed of everything that is drawn.
        owners: The column that each coordinate belongs to (`Encoding.owners`): coordinates of the same column are the
            indicators of its texts. Each coordinate is a number of its own if None.
        draws: Number of matched data sets, at least 19.

    Returns:
        The evidence; segments are found when at most 5% of the draws separate as clearly. A single cloud is "not one
        round cloud" if it has a valley that does not separate, or is more skewed than 95% of the draws.

    Raises:
        ValueError: There are fewer than 19 draws.

    References:
        Hennig (2010), Methods for merging Gaussian mixture components. ADAC 4. Wei, Chen (2023), Skeleton clustering:
        dimension-free density-aided clustering. JASA. Chaudhuri, Dasgupta (2010), Rates of convergence for the
        cluster tree. NeurIPS. Mardia (1970), Measures of multivariate skewness and kurtosis. Biometrika 57.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> groups = np.repeat([[0.0, 0.0], [8.0, 8.0]], 100, axis=0) + rng.normal(size=(200, 2))
        >>> weigh_evidence(groups, random_state=0).shape
        'separate segments'
        >>> weigh_evidence(rng.normal(size=(200, 2)), random_state=0).found
        False
    """
    if draws < 19:
        raise ValueError(f"draws is {draws}, must be at least 19: fewer can never reach the level of {LEVEL:.0%}")
    rng = np.random.default_rng(random_state)
    if len(coordinates) > ROWS:
        coordinates = coordinates[np.sort(rng.choice(len(coordinates), ROWS, replace=False))]
    blocks = _list_blocks(coordinates, owners)
    if not blocks:
        return Evidence(False, "No column varies enough to look for segments.")
    table = _Table(coordinates[:, np.concatenate(blocks)], [len(block) for block in blocks])
    null = _Null(table, rng)
    data = table.expand(null.filled)
    seen, separating = _measure_separation(data, _measure_valley), _measure_separation(data, _measure_matched_valley)
    separating = [np.minimum(*pair) for pair in zip(seen, separating, strict=True)]
    separating[-1] = np.where(separating[-1] < THIN, 0.0, separating[-1])
    bent = _measure_skewness(null.filled)
    drawn, bends = [], []
    for _ in range(draws):
        columns = null.fill(null.draw(len(data), rng))
        drawn.append(_measure_separation(table.expand(columns), _measure_valley))
        bends.append(_measure_skewness(columns))
    clearest = CLEAREST if data.shape[1] <= 12 else CLEAREST_OF_MANY
    if _measure_excess(separating[:-1], drawn) < clearest * _measure_excess(seen[:-1], drawn):
        separating = [*(np.zeros_like(kind) for kind in separating[:-1]), separating[-1]]
    statistic, null_95, pvalue = _compare(separating, drawn)
    lopsided = (1 + (np.array(bends) >= bent).sum()) / (1 + draws) <= LEVEL
    if pvalue <= LEVEL:
        shape, reason = SEPARATE, "The data fall into separate segments: the valleys between them are clearer than"
    elif lopsided or _compare(seen, drawn)[2] <= LEVEL:
        shape, reason = NOT_ROUND, "The data are not one round cloud, but hang together: no valley is clearer than"
    else:
        shape, reason = ONE_CLOUD, "The data look like one cloud: no valley is clearer than"
    reason += (
        f" matched data without segments allow ({statistic:.1f} standard deviations; up to {null_95:.1f} in 95 of 100 "
        "draws)."
    )
    return Evidence(shape == SEPARATE, reason, statistic, null_95, pvalue, shape)


def draw_matched(
    coordinates: np.ndarray, *, random_state: int, owners: np.ndarray | None = None, draws: int
) -> Iterator[np.ndarray]:
    """Draw the matched data without segments that `weigh_evidence` compares with.

    Args:
        coordinates: As in `weigh_evidence`.
        random_state: Seed.
        owners: As in `weigh_evidence`.
        draws: Number of data sets.

    Yields:
        Rows x coordinates that vary, without gaps; nothing where no column varies.
    """
    rng = np.random.default_rng(random_state)
    blocks = _list_blocks(coordinates, owners)
    if not blocks:
        return
    table = _Table(coordinates[:, np.concatenate(blocks)], [len(block) for block in blocks])
    null = _Null(table, rng)
    for _ in range(draws):
        yield table.expand(null.fill(null.draw(len(coordinates), rng)))


def _list_blocks(coordinates: np.ndarray, owners: np.ndarray | None) -> list[np.ndarray]:
    """Return the coordinates of each column that varies."""
    owners = np.arange(coordinates.shape[1]) if owners is None else owners
    return [block for owner in np.unique(owners) if _varies(coordinates[:, block := np.flatnonzero(owners == owner)])]


def _varies(block: np.ndarray) -> bool:
    known = block[~np.isnan(block).any(axis=1)]
    return len(known) >= 10 and bool((known.max(axis=0) > known.min(axis=0)).any())


def _measure_excess(data: list[np.ndarray], drawn: list[list[np.ndarray]]) -> float:
    """Return how far the deepest valley, of whatever kind, is deeper than its mean over the draws."""
    means = np.mean([np.concatenate(draw[:-1]) for draw in drawn], axis=0)
    return float((np.concatenate(data) - means).max())


def _compare(data: list[np.ndarray], drawn: list[list[np.ndarray]]) -> tuple[float, float, float]:
    """Return the largest of the statistics in standard deviations, the draws' 95% quantile of it, and the p-value.

    Within a kind the largest excess over the mean counts; kinds are made comparable by their spread. Data and draws
    are treated alike, so that the p-value is exact where the data are one more draw.
    """
    kinds = []
    for kind in range(len(data)):
        values = np.array([data[kind], *(draw[kind] for draw in drawn)])
        if values.shape[1]:
            excess = (values - values.mean(axis=0)).max(axis=1)
            # A gap between neighbors is mostly 0 in draws: its spread is not taken from the few that are not.
            floor = 0.3 if kind == len(data) - 1 else 0.1
            kinds.append((excess - excess.mean()) / max(float(excess.std()), floor))
    largest = np.max(kinds, axis=0)
    pvalue = float((largest >= largest[0]).mean())
    return float(largest[0]), float(np.quantile(largest[1:], 0.95)), pvalue


class _Table:
    """Columns behind coordinates: numbers, and texts as the places of their levels in an order of likeness."""

    def __init__(self, coordinates: np.ndarray, widths: list[int]):
        filled = np.where(np.isnan(coordinates), 0.0, coordinates)
        filled = filled - filled.mean(axis=0)
        main = filled @ np.linalg.eigh(filled.T @ filled)[1][:, -1]
        ends = np.cumsum(widths)
        self.levels: list[np.ndarray | None] = []
        columns = []
        for start, end in zip(ends - widths, ends, strict=True):
            block = coordinates[:, start:end]
            if end - start == 1:
                self.levels.append(None)
                columns.append(block[:, 0])
                continue
            known = ~np.isnan(block[:, 0])
            texts, members = np.unique(block[known], axis=0, return_inverse=True)
            members = members.ravel()
            order = np.argsort(np.bincount(members, weights=main[known]) / np.bincount(members), kind="stable")
            places = np.full(len(block), np.nan)
            places[known] = np.argsort(order)[members]
            self.levels.append(texts[order])
            columns.append(places)
        self.columns = np.column_stack(columns)

    def expand(self, columns: np.ndarray) -> np.ndarray:
        """Return the coordinates of rows without unknown cells."""
        parts = [
            column[:, None] if levels is None else levels[column.astype(int)]
            for column, levels in zip(columns.T, self.levels, strict=True)
        ]
        return np.hstack(parts)


class _Null:
    """Matched data without segments: a copula with margins of one hump."""

    def __init__(self, table: _Table, rng: np.random.Generator):
        columns = table.columns
        self.degrees = np.inf
        self.margins = [
            _fit_margin(np.sort(column[~np.isnan(column)]), text=levels is not None)
            for column, levels in zip(columns.T, table.levels, strict=True)
        ]
        scores = _score_normally(columns)
        correlation = correlate_known(scores)
        self.latent = correlation
        tied = np.array([len(np.unique(column)) < 0.9 * len(column) for column in columns.T])
        self._match_correlation(correlation, tied, 10 * len(columns), rng)
        self.unknown = np.isnan(columns)
        self.slopes = _learn_slopes(correlation, ~self.unknown) if self.unknown.any() else None
        self.filled = self.fill(columns)
        self._match_tails(fill_unknown(scores, correlation, rng=rng), rng)

    def draw(self, rows: int, rng: np.random.Generator) -> np.ndarray:
        """Draw rows x columns."""
        from scipy.stats import norm, t

        cloud = rng.standard_normal((rows, len(self.latent))) @ np.linalg.cholesky(self.latent).T
        if not np.isfinite(self.degrees):
            return self._take(norm.cdf(cloud))
        cloud *= np.sqrt(self.degrees / rng.chisquare(self.degrees, size=(rows, 1)))
        return self._take(t.cdf(cloud, self.degrees))

    def fill(self, columns: np.ndarray) -> np.ndarray:
        """Return the columns with the gaps of the data, filled with what the known cells of the row let expect."""
        from scipy.special import ndtr

        if self.slopes is None:
            return columns
        scores = np.nan_to_num(_score_normally(np.where(self.unknown, np.nan, columns)))
        expected = self._take(ndtr(np.einsum("ni,nij->nj", scores, self.slopes)))
        return np.where(self.unknown, expected, columns)

    def _take(self, shares: np.ndarray) -> np.ndarray:
        taken = []
        for (reached, values, jumps), share in zip(self.margins, shares.T, strict=True):
            if jumps:
                taken.append(values[np.minimum(np.searchsorted(reached, share), len(values) - 1)])
            else:
                taken.append(np.interp(share, reached, values))
        return np.column_stack(taken)

    def _match_correlation(self, target: np.ndarray, tied: np.ndarray, rows: int, rng: np.random.Generator) -> None:
        """Find the latent correlation whose data correlate like the target once ties have weakened it."""
        weakened = tied[:, None] | tied
        wanted = target
        for _ in range(3 if tied.any() else 0):
            reached = correlate_known(_score_normally(self.draw(rows, rng)))
            wanted = np.where(weakened, np.clip(wanted + target - reached, -0.99, 0.99), target)
            self.latent = correct_correlation(wanted)

    def _match_tails(self, complete: np.ndarray, rng: np.random.Generator) -> None:
        """Choose the degrees of freedom whose distances from the center vary like those of the data."""
        inverse = np.linalg.inv(0.9 * self.latent + 0.1 * np.eye(len(self.latent)))

        def vary(scores: np.ndarray) -> float:
            return float(np.log(np.einsum("ij,jk,ik->i", scores, inverse, scores) + 1e-9).std())

        misses = {}
        for self.degrees in (np.inf, 20.0, 10.0, 5.0, 3.0):
            reached = [vary(_score_normally(self.draw(len(complete), rng))) for _ in range(3)]
            misses[self.degrees] = abs(np.mean(reached) - vary(complete))
        self.degrees = min(misses, key=lambda degrees: misses[degrees])


def _learn_slopes(correlation: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return for each row how its known scores (second axis) lead to all scores (third axis)."""
    ridged = 0.95 * correlation + 0.05 * np.eye(len(correlation))
    both = known[:, :, None] & known[:, None, :]
    inner = np.where(both, ridged, 0.0) + ~known[:, :, None] * np.eye(len(correlation))
    return np.linalg.solve(inner, np.where(known[:, :, None], ridged, 0.0))


def _score_normally(columns: np.ndarray) -> np.ndarray:
    """Return normal scores of the mean ranks, with a standard deviation of 1; NaN stays."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    known = ~np.isnan(columns)
    scores = np.asarray(ndtri((rankdata(columns, axis=0, nan_policy="omit") - 0.5) / known.sum(axis=0)))
    spread = np.nanstd(scores, axis=0)
    return scores / np.where(spread > 0, spread, 1.0)


def _fit_margin(values: np.ndarray, *, text: bool) -> Margin:
    """Fit a distribution of one hump to sorted values; what many rows share stays as frequent as it is."""
    distinct, counts = np.unique(values, return_counts=True)
    shares = counts / len(values)
    if text or len(distinct) < min(MARGIN_BINS, 0.9 * len(values)):
        return _fit_scale(distinct, shares, text=text)
    shared = distinct[shares >= ATOM]
    reached, places = _fit_density(values[~np.isin(values, shared)])
    for value, share in zip(shared, shares[shares >= ATOM], strict=True):
        place = int(np.searchsorted(places, value))
        before = float(np.interp(value, places, reached))
        steps = np.array([before, before + share / (1 - share)])
        reached = np.concatenate([reached[:place], steps, reached[place:] + steps[1] - before]) * (1 - share)
        places = np.concatenate([places[:place], [value, value], places[place:]])
    return reached, places, False


def _fit_scale(distinct: np.ndarray, shares: np.ndarray, *, text: bool) -> Margin:
    """Fit the shares of a scale of few values, in their order."""
    shares = shares.copy()
    if not text and len(distinct) > 3:
        around = np.concatenate([shares[1:2], (shares[:-2] + shares[2:]) / 2, shares[-2:-1]])
        smooth = ~((shares >= ATOM) & (shares >= 3 * around))
        smooth[[0, -1]] = False  # zeros, floors and caps
        if smooth.sum() > 2:
            shares[smooth] = _join_humps(shares[smooth], np.ones(smooth.sum()))
    return np.cumsum(shares) / shares.sum(), distinct, True


def _fit_density(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit a density of one hump to values in their order: shares reached, and where."""
    bins = min(MARGIN_BINS, len(values) // 8)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1))) if bins else values[:0]
    if len(edges) < 4:
        return (np.arange(len(values)) + 0.5) / len(values), values
    shares = _join_humps(np.histogram(values, edges)[0] / len(values), np.diff(edges))
    reached = np.concatenate([[0.0], np.cumsum(shares)]) / shares.sum()
    # The outer bins may be long: there as the data are, between them by value, so that a gap is filled.
    low, high = values[values <= edges[1]], values[values >= edges[-2]]
    below = (np.arange(len(low)) + 0.5) / len(low) * reached[1]
    above = reached[-2] + (np.arange(len(high)) + 0.5) / len(high) * (1 - reached[-2])
    return np.concatenate([below, reached[2:-2], above]), np.concatenate([low, edges[2:-2], high])


def _join_humps(shares: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Return the likeliest shares of bins whose density rises to one hump and falls."""
    from scipy.optimize import isotonic_regression

    density, best, joined = shares / widths, -np.inf, shares
    for hump in range(len(shares) + 1):
        parts = [density[:0]]
        if hump:
            parts.append(isotonic_regression(density[:hump], weights=widths[:hump]).x)
        if hump < len(shares):
            parts.append(isotonic_regression(density[hump:], weights=widths[hump:], increasing=False).x)
        fitted = np.concatenate(parts)
        if (likelihood := float(shares @ np.log(np.maximum(fitted, 1e-300)))) > best:
            best, joined = likelihood, fitted * widths
    return joined


def _measure_separation(rows: np.ndarray, measure: Callable[[np.ndarray, np.ndarray], float]) -> list[np.ndarray]:
    """Return four kinds of separation, 0 is none: of columns, principal directions, parts, and neighbors."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import pdist

    rows = rows - rows.mean(axis=0)
    main = np.linalg.eigh(rows.T @ rows)[1][:, ::-1][:, :DIRECTIONS]
    distances = pdist(rows)
    merges = linkage(distances, "ward")
    parts = [_measure_parts(rows, _split(rows, merges, count), measure) for count in TRIED if 5 * count <= len(rows)]
    return [
        np.array([measure(rows, direction) for direction in np.eye(rows.shape[1])]),
        np.array([measure(rows, direction) for direction in main.T]),
        np.array(parts),
        np.array([_measure_gap(distances, len(rows))]),
    ]


def _measure_valley(rows: np.ndarray, direction: np.ndarray) -> float:
    """Return how deep the deepest valley of the rows along a direction is."""
    return find_valley(rows @ direction)[0]


def _measure_matched_valley(rows: np.ndarray, direction: np.ndarray) -> float:
    """Return the same; 0 if it does not stay when rows resemble, across, those on the valley's floor.

    Rows are matched along three directions across the valley: the one in which the floor differs most in its mean,
    and those in which it spreads most and least.
    """
    places = rows @ direction
    depth, floor, cut = find_valley(places)
    if not SURE < floor <= SHALLOW:
        return depth if floor <= SURE else 0.0
    nearest = np.argsort(np.abs(places - cut), kind="stable")[: max(8, int(SLAB * len(rows)))]
    along = direction / np.linalg.norm(direction)
    across = rows - np.outer(rows @ along, along)
    across = across - across.mean(axis=0)
    sizes, vectors = np.linalg.eigh(across.T @ across)
    usable = sizes > 1e-8 * max(float(sizes.max()), 1e-4)
    if not usable.any():
        return depth
    across = across @ vectors[:, usable]
    across = across / across.std(axis=0)
    middle = across[nearest].mean(axis=0)
    spreads = np.linalg.eigh((across[nearest] - middle).T @ (across[nearest] - middle))[1]
    for matched in (middle, spreads[:, 0], spreads[:, -1]):
        weights = _match_rows(across @ matched, nearest)
        share = weights.sum() ** 2 / (weights**2).sum() / len(rows)
        left, floor, _ = find_valley(places, weights)
        if floor > MATCHED_SHALLOW or left < KEPT * depth * share**0.4:
            return 0.0
    return depth


def _match_rows(places: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Weight rows, at most 1, so that they lie where the chosen ones lie."""
    grid = np.linspace(places.min(), places.max(), 101)

    def estimate(points: np.ndarray) -> np.ndarray:
        width = max(0.6 * float(places.std()) * len(points) ** -0.2, 1e-9)
        return np.exp(-0.5 * ((grid[:, None] - points) / width) ** 2).mean(axis=1) / width

    ratio = estimate(places[chosen]) / np.maximum(estimate(places), 1e-12)
    weights = np.interp(places, grid, ratio)
    return np.minimum(weights / max(float(np.median(weights[chosen])), 1e-12), 1.0)


def find_valley(places: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float, float]:
    """Find the deepest valley of a density with at least 5% of the weight on each side.

    Returns:
        Its depth below the lower shore, in roots of the density times what makes it comparable over numbers of rows;
        the height of its floor as a share of the lower shore; where it is.
    """
    from scipy.ndimage import gaussian_filter1d

    weights = np.ones(len(places)) if weights is None else weights
    rows = weights.sum() ** 2 / (weights**2).sum()
    weights = weights / weights.sum()
    center = weights @ places
    spread = np.sqrt(weights @ (places - center) ** 2)
    if spread < 1e-9:
        return 0.0, 1.0, float(center)
    step = 2 * REACH / BINS
    position = np.clip(((places - center) / spread + REACH) / step - 0.5, 0, BINS - 1.001)
    left = position.astype(int)
    right_share = position - left
    shares = np.bincount(left, weights * (1 - right_share), BINS) + np.bincount(left + 1, weights * right_share, BINS)
    density = gaussian_filter1d(shares, BANDWIDTH * rows**-0.2 / step, mode="constant") / step
    shore = np.minimum(np.maximum.accumulate(density), np.maximum.accumulate(density[::-1])[::-1])
    below = np.cumsum(shares)
    inside = (below >= SMALLEST) & (below <= 1 - SMALLEST)
    depths = np.where(inside, np.sqrt(shore) - np.sqrt(density), 0.0)
    deepest = int(depths.argmax())
    floor = density[deepest] / max(shore[deepest], 1e-12)
    return float(depths[deepest] * rows**0.4), float(floor), float(center + spread * ((deepest + 0.5) * step - REACH))


def _split(rows: np.ndarray, merges: np.ndarray, count: int) -> np.ndarray:
    """Split rows by k-means that starts from Ward's parts."""
    from scipy.cluster.hierarchy import fcluster

    parts = fcluster(merges, count, "maxclust") - 1
    for _ in range(12):
        members = np.eye(parts.max() + 1)[parts]
        members = members[:, members.any(axis=0)]
        centers = members.T @ rows / members.sum(axis=0)[:, None]
        before, parts = parts, ((centers**2).sum(axis=1) - 2 * rows @ centers.T).argmin(axis=1)
        if (before == parts).all():
            break
    return np.unique(parts, return_inverse=True)[1]


def _measure_parts(rows: np.ndarray, parts: np.ndarray, measure: Callable[[np.ndarray, np.ndarray], float]) -> float:
    """Join parts, those with the shallowest valley first; return the deepest valley that joins two sides of 5%."""
    members = np.eye(parts.max() + 1)[parts]
    sizes = members.sum(axis=0)
    centers = members.T @ rows / sizes[:, None]
    within = (rows - centers[parts]).T @ (rows - centers[parts]) / len(rows)
    ridge = 0.1 * np.trace(within) / len(within) + 1e-9
    inverse = np.linalg.inv(0.9 * within + ridge * np.eye(len(within)))
    valleys = sorted(
        (measure(rows[(parts == one) | (parts == other)], inverse @ (centers[one] - centers[other])), one, other)
        for one in range(len(sizes))
        for other in range(one)
    )
    homes, deepest = np.arange(len(sizes)), 0.0
    for depth, one, other in valleys:
        sides = homes == homes[one], homes == homes[other]
        if homes[one] == homes[other]:
            continue
        if min(sizes[sides[0]].sum(), sizes[sides[1]].sum()) >= SMALLEST * len(rows):
            deepest = max(deepest, depth)
        homes[sides[1]] = homes[one]
    return deepest


def _measure_gap(distances: np.ndarray, count: int) -> float:
    """Return the widest gap in the tree of nearest neighbors between two sides of at least 5% of the rows.

    It is the log ratio of the density of the thinner side to that on the way between them. Distances become densities
    by the local dimension, so that a thin thread is not taken for a row of islands.
    """
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    near = np.sort(np.partition(squareform(distances), NEIGHBORS, axis=1)[:, 1 : NEIGHBORS + 1], axis=1)
    core = near[:, -1] + 1e-9
    ratios = np.log(core[:, None] / np.maximum(near[:, :-1], 1e-3 * core[:, None])).mean(axis=1)
    one, other = np.triu_indices(count, 1)
    tree = linkage(np.maximum(distances, np.maximum(core[one], core[other])), "single")
    sizes = np.concatenate([np.ones(count), tree[:, 3]])
    widest = 0.0
    for left, right, height, _ in tree:
        if min(sizes[int(left)], sizes[int(right)]) < SMALLEST * count:
            continue
        sides = [_list_members(tree, int(side), count) for side in (left, right)]
        thinner = max(sides, key=lambda side: float(np.median(core[side])))
        # Levina and Bickel's estimate, averaged as MacKay and Ghahramani do.
        dimension = (NEIGHBORS - 2) / (NEIGHBORS - 1) / max(float(ratios[thinner].mean()), 1e-3)
        widest = max(widest, dimension * float(np.log(height / np.median(core[thinner]))))
    return widest


def _list_members(tree: np.ndarray, node: int, count: int) -> list[int]:
    waiting, members = [node], []
    while waiting:
        node = waiting.pop()
        if node < count:
            members.append(node)
        else:
            waiting += [int(tree[node - count, 0]), int(tree[node - count, 1])]
    return members


def _measure_skewness(columns: np.ndarray) -> float:
    """Return Mardia's skewness of the normal scores: 0 for a round cloud, larger for curved and lopsided ones."""
    scores = _score_normally(columns)
    scores = scores - scores.mean(axis=0)
    sizes, vectors = np.linalg.eigh(scores.T @ scores / len(scores))
    usable = sizes > 1e-6 * sizes.max()
    white = scores @ vectors[:, usable] / np.sqrt(sizes[usable])
    return float(((white @ white.T) ** 3).mean())
