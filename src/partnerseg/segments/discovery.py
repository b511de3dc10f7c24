"""Finds the dense places of the data and keeps apart what halves of the data keep apart."""

import contextlib
import functools
import itertools
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from partnerseg.segments.encoding import mark_coarse
from partnerseg.segments.evidence import SHALLOW, find_valley
from partnerseg.segments.membership import Neighbors, agree_with_discriminant, assign

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

FEW = 6  # so many coordinates are clustered as they are, more on a map
CORE_NEIGHBORS = 10  # HDBSCAN's min_samples
HALVINGS = 2  # times that the rows are halved, each half mapped and clustered on its own
UNMAPPED_HALVINGS = 10  # the same without a map, which costs most of the time
HALVED_ROWS = 2_000
LEAST_ROWS = 200  # of a half, up to four fifths of all
MOST_COMPONENTS = 12
PARTED = 0.5  # components are joined unless the density between them falls to this share of the lower one
STARTS = 5  # of k-means before a mixture is fitted
DIRECTIONS = 10  # principal directions that a mixture is fitted in
ROUND = 0.9  # share of members that a discriminant returns to their segments if these are round clouds
STABLE = 0.6  # stability that every segment must reach (Hennig 2007)


@dataclass(frozen=True)
class Found:
    """Segments of the landmarks.

    Attributes:
        homes: Segment of each landmark, numbered by size, -1 is background; all 0 or -1 with fewer than two segments.
        stability: Stability of each segment, 0.6-1; empty with fewer than two segments.
        places: The map, landmarks x 2.
        kind: "density" or "mixture".
        reason: One sentence that says how they were found and why so.
    """

    homes: np.ndarray
    stability: np.ndarray
    places: np.ndarray
    kind: str
    reason: str


def find_segments(
    landmarks: np.ndarray, min_share: float, n_neighbors: int, seed: int, known: np.ndarray | None = None
) -> Found:
    """Find segments by density, and by a Gaussian mixture where that is plainly right.

    Density finds segments of every shape. Where its segments are round clouds, or it finds none, and a Gaussian mixture
    of the numbers parts the landmarks plainly, the mixture is taken: on a map round segments that lie close run
    together, and one with a thin place falls apart.

    Args:
        landmarks: Rows x coordinates, without gaps.
        min_share: The smallest segment, as a share of the rows.
        n_neighbors: Neighbors that shape the map.
        seed: Seed.
        known: Which cells were known before gaps were filled; None if all.
    """
    homes, stability, places = find_dense(landmarks, min_share, n_neighbors, seed)
    way = "HDBSCAN on the coordinates" if landmarks.shape[1] <= FEW else "HDBSCAN on a UMAP map"
    count = len(stability)
    kind, reason = "density", f"The segments are dense places, found with {way}."
    if count < 2 or agree_with_discriminant(landmarks, homes) >= ROUND:
        known = np.ones(landmarks.shape, dtype=bool) if known is None else known
        numbers = ~mark_coarse(np.where(known, landmarks, np.nan))
        gaps = (~known[:, numbers]).sum(axis=1)
        with threadpool_limits(1):  # many small fits: threads cost more than they gain
            mixed, reached = find_mixture(landmarks[:, numbers], min_share, seed, gaps <= np.median(gaps), homes)
        if len(reached) > 1:
            homes, stability, kind = mixed, reached, "mixture"
            reason = (
                f"The segments are round clouds, found with a Gaussian mixture, which parts {len(reached)} of them; "
                f"{way} parts {count or 'none'}."
            )
    return Found(homes, stability, places, kind, reason)


def find_dense(
    landmarks: np.ndarray, min_share: float, n_neighbors: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find dense places and join what is not stable.

    Up to six coordinates are clustered as they are, more on a UMAP map. Halves of the rows (more of few rows) are
    mapped and clustered on their own and assign all rows; each of their segments stands for the segment with most of
    its members. The stability of a segment is its mean Jaccard similarity with what stands for it. As long as one is
    below 0.6 it is joined with the segment that it is most often mixed up with.

    Returns:
        Segment of each landmark, numbered by size, -1 is background; the stability of each segment, empty if there are
        fewer than two; and the map (rows x 2).

    References:
        McInnes, Healy, Melville (2018), UMAP, arXiv:1802.03426. Campello, Moulavi, Sander (2013), Density-based
        clustering based on hierarchical density estimates, PAKDD. Hennig (2007), Cluster-wise assessment of cluster
        stability, CSDA 52.
    """
    rng = np.random.default_rng(seed)
    share = max(min_share, 10 / len(landmarks))  # five members in a half
    places = draw_map(landmarks, n_neighbors, seed)
    homes = _find_dense(places, share)
    drawn = places if landmarks.shape[1] > FEW else project(landmarks)
    if homes.max() < 1:
        return homes, np.empty(0), drawn
    parts = _compare_halves(landmarks, homes, share, n_neighbors, seed, rng)
    joined = np.arange(homes.max() + 1)
    while True:
        stability, mixed = measure_stability(parts)
        worst = int(stability.argmin())
        if len(stability) < 2:
            return np.zeros(len(landmarks), dtype=int), np.empty(0), drawn
        if stability[worst] >= STABLE:
            break
        other = int(np.where(np.arange(len(mixed)) == worst, -1.0, mixed[worst] + mixed[:, worst]).argmax())
        low, high = min(worst, other), max(worst, other)
        parts = [np.delete(_add_row(part, low, high), high, axis=0) for part in parts]
        joined = np.where(joined == high, low, joined - (joined > high))
    homes = np.where(homes >= 0, joined[homes], -1)
    numbers = number_by_size(homes)
    return numbers[homes], stability[np.argsort(numbers[:-1])], drawn


def find_chance_stability(landmarks: np.ndarray, min_share: float, n_neighbors: int, seed: int) -> float:
    """Return the stability of the most stable dense place of data without segments, before any is joined.

    Args:
        landmarks: Rows x coordinates without segments, as `evidence.draw_matched` makes them.
        min_share: The smallest segment, as a share of the rows.
        n_neighbors: Neighbors that shape the map.
        seed: Seed.

    Returns:
        0-1; 0 where nothing is parted.
    """
    share = max(min_share, 10 / len(landmarks))
    homes = _find_dense(draw_map(landmarks, n_neighbors, seed), share)
    if homes.max() < 1:
        return 0.0
    parts = _compare_halves(landmarks, homes, share, n_neighbors, seed, np.random.default_rng(seed))
    return float(measure_stability(parts)[0].max())


def _compare_halves(
    landmarks: np.ndarray, homes: np.ndarray, share: float, n_neighbors: int, seed: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Cluster halves of the rows and return for each the members that segments share with its own (rows x columns)."""
    parts = []
    for _ in range(UNMAPPED_HALVINGS if landmarks.shape[1] <= FEW else HALVINGS):
        rows = rng.permutation(len(landmarks))[:HALVED_ROWS]
        whole = _place(landmarks, homes, landmarks[rows])
        size = max(len(rows) // 2, min(LEAST_ROWS, len(rows) * 4 // 5))
        for half in (np.sort(rows[:size]), np.sort(rows[-size:])):
            found = _find_dense(draw_map(landmarks[half], n_neighbors, seed), share)
            part = _place(landmarks[half], found, landmarks[rows]) if found.max() > 0 else np.zeros(len(rows), int)
            parts.append(np.eye(homes.max() + 1)[whole].T @ np.eye(part.max() + 1)[part])
    return parts


def find_mixture(
    landmarks: np.ndarray,
    min_share: float,
    seed: int,
    clear: np.ndarray | None = None,
    start: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find round segments with a Gaussian mixture whose components are joined unless a valley parts them.

    Components share their covariance; their number is that of the least BIC. Of more than ten coordinates the ten
    principal directions are looked at. A component that is too small is joined too. Where more than one component has
    to be joined the segments are not what the mixture takes them for, and it is refused.

    Args:
        landmarks: Rows x coordinates, without gaps.
        min_share: The smallest segment, as a share of the rows.
        seed: Seed.
        clear: The rows that the mixture is fitted to, marked: filled gaps make clouds of their own. None if all.
        start: Segments that are tried as a start too, -1 is background; None if there are none.

    Returns:
        Segment of each landmark, numbered by size, and the stability of each (as in `find_segments`); all 0 and empty
        where there are fewer than two or one is not stable.

    References:
        Fraley, Raftery (2002), Model-based clustering, discriminant analysis, and density estimation, JASA 97. Hennig
        (2010), Methods for merging Gaussian mixture components, ADAC 4.
    """
    nothing = np.zeros(len(landmarks), dtype=int), np.empty(0)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(landmarks) if clear is None else np.flatnonzero(clear))[:HALVED_ROWS]
    if not landmarks.shape[1] or len(rows) < 20:
        return nothing
    main = centered = landmarks - landmarks[rows].mean(axis=0)
    if main.shape[1] > DIRECTIONS:
        main = centered @ np.linalg.eigh(centered[rows].T @ centered[rows])[1][:, ::-1][:, :DIRECTIONS]
    telling = np.array([find_valley(column)[1] < SHALLOW for column in main[rows].T])
    tried = [
        _fit_mixture(main[rows], count, telling, seed) for count in range(1, min(MOST_COMPONENTS, len(rows) // 5) + 1)
    ]
    if start is not None and len(np.unique(start[rows][start[rows] >= 0])) == start.max() + 1 > 1:
        tried.append(_fit_mixture(main[rows], int(start.max()) + 1, telling, seed, start[rows]))
    mixture = tried[int(np.argmin([each.bic(main[rows]) for each in tried]))]
    joined = _join_components(mixture, main[rows], min_share)
    count = int(joined.max()) + 1
    if count < 2 or mixture.n_components > count + 1:
        return nothing
    homes = joined[mixture.predict(main)]
    parts = []
    for _ in range(HALVINGS):
        shuffled = rng.permutation(rows)
        for half in (shuffled[: len(rows) // 2], shuffled[len(rows) // 2 :]):
            other = _fit_mixture(main[half], mixture.n_components, telling, seed)
            part = _join_components(other, main[half], min_share)[other.predict(main[rows])]
            parts.append(np.eye(count)[homes[rows]].T @ np.eye(part.max() + 1)[part])
    stability = measure_stability(parts)[0]
    if stability.min() < STABLE:
        return nothing
    numbers = number_by_size(homes)
    return numbers[homes], stability[np.argsort(numbers[:-1])]


def _fit_mixture(
    rows: np.ndarray, count: int, telling: np.ndarray, seed: int, homes: np.ndarray | None = None
) -> "GaussianMixture":
    """Fit a mixture from homes, or from k-means in all directions and in those with a valley; return the likelier."""
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    starts = [] if homes is None else [homes]
    if homes is None:
        chosen = [np.ones(rows.shape[1], dtype=bool), *([telling] if telling.any() and not telling.all() else [])]
        starts = [KMeans(count, n_init=STARTS, random_state=seed).fit_predict(rows[:, each]) for each in chosen]
    fitted = []
    for start in starts:
        members = (start[:, None] == np.arange(count)).astype(np.float64)
        inside = start >= 0
        means = members.T @ rows / members.sum(axis=0)[:, None]
        left = rows[inside] - means[start[inside]]
        within = left.T @ left / len(left) + 1e-4 * np.eye(rows.shape[1])
        mixture = GaussianMixture(
            count,
            covariance_type="tied",
            reg_covar=1e-4,
            weights_init=members[inside].mean(axis=0),
            means_init=means,
            precisions_init=np.linalg.inv(within),
            init_params="random_from_data",
            random_state=seed,
        )
        fitted.append(mixture.fit(rows))
    return max(fitted, key=lambda mixture: mixture.lower_bound_)


def _join_components(mixture: "GaussianMixture", rows: np.ndarray, min_share: float) -> np.ndarray:
    """Return the segment of each component: the same for components that no valley parts, nearest first."""
    homes = mixture.predict(rows)
    inverse = np.linalg.inv(mixture.covariances_)
    sizes = np.bincount(homes, minlength=mixture.n_components)
    joined = np.arange(mixture.n_components)
    gaps = mixture.means_[:, None] - mixture.means_
    squares = np.einsum("ijk,kl,ijl->ij", gaps, inverse, gaps)
    pairs = sorted(itertools.combinations(range(mixture.n_components), 2), key=lambda pair: squares[pair])
    for one, other in pairs:
        if joined[one] == joined[other]:
            continue
        small = min(sizes[joined == joined[one]].sum(), sizes[joined == joined[other]].sum()) < min_share * len(rows)
        both = rows[np.isin(homes, (one, other))]
        if small or find_valley(both @ inverse @ gaps[one, other])[1] > PARTED:
            joined[joined == joined[other]] = joined[one]
    return np.unique(joined, return_inverse=True)[1]


def draw_map(landmarks: np.ndarray, n_neighbors: int, seed: int) -> np.ndarray:
    """Draw the map with UMAP from exact neighbors; few coordinates need no map and are returned as they are."""
    from sklearn.neighbors import NearestNeighbors

    if landmarks.shape[1] <= FEW:
        return landmarks
    # More than a twentieth of the rows would blur small segments.
    neighbors = int(min(n_neighbors, max(10, len(landmarks) // 20), len(landmarks) - 1))
    finder = NearestNeighbors(n_neighbors=neighbors, algorithm="brute").fit(landmarks)
    distances, indices = finder.kneighbors(landmarks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed means one thread, and that such a map cannot place new rows
        import umap

        _cache_compiled()
        drawer = umap.UMAP(
            n_neighbors=neighbors,
            n_epochs=500 if len(landmarks) < 1_000 else 200,
            min_dist=0.0,
            random_state=seed,
            n_jobs=1,
            precomputed_knn=(indices, distances),
        )
        return np.asarray(drawer.fit_transform(landmarks), dtype=np.float64)


@functools.cache
def _cache_compiled() -> None:
    """Have UMAP's slowest functions compiled once on a machine instead of in every process, which takes 4 s."""
    from umap.umap_ import compute_membership_strengths, smooth_knn_dist

    with contextlib.suppress(RuntimeError):  # no folder can be written to
        smooth_knn_dist.enable_caching()
        compute_membership_strengths.enable_caching()


def project(landmarks: np.ndarray) -> np.ndarray:
    """Return the places on the two main directions, signs fixed by each direction's largest entry."""
    places = np.zeros((len(landmarks), 2))
    if landmarks.shape[1]:
        centered = landmarks - landmarks.mean(axis=0)
        vectors = np.linalg.eigh(centered.T @ centered)[1][:, ::-1][:, :2]
        vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
        places[:, : vectors.shape[1]] = centered @ vectors
    return places


def number_by_size(homes: np.ndarray) -> np.ndarray:
    """Return the new number of each segment, the largest first, of equal ones the one that comes first; last is -1."""
    segments, first, counts = np.unique(homes[homes >= 0], return_index=True, return_counts=True)
    numbers = np.full(int(homes.max()) + 2, -1)
    numbers[segments[np.lexsort((first, -counts))]] = np.arange(len(segments))
    return numbers


def measure_stability(parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return each segment's stability, and how many members of each (row) are found in what stands for each.

    Args:
        parts: One table a half: members of each segment (rows) in each segment of the half (columns).
    """
    similarities, mixed = [], np.zeros((len(parts[0]), len(parts[0])))
    for shared in parts:
        stands = np.eye(len(shared))[shared.argmax(axis=0)]
        confused = shared @ stands
        both = np.diag(confused)
        similarities.append(both / (confused.sum(axis=1) + confused.sum(axis=0) - both))
        mixed += confused
    return np.mean(similarities, axis=0), mixed


def _add_row(table: np.ndarray, low: int, high: int) -> np.ndarray:
    added = table.copy()
    added[low] += added[high]
    return added


def _find_dense(places: np.ndarray, share: float) -> np.ndarray:
    """Find the dense places with HDBSCAN; -1 is background."""
    import hdbscan

    smallest = max(5, int(np.ceil(share * len(places))))
    core = min(CORE_NEIGHBORS, max(2, len(places) // 20))
    finder = hdbscan.HDBSCAN(min_cluster_size=smallest, min_samples=core, core_dist_n_jobs=1)
    return finder.fit_predict(np.ascontiguousarray(places))


def _place(landmarks: np.ndarray, homes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the segment of each row by its nearest landmarks."""
    shares = np.full(int(homes.max()) + 1, 1 / (int(homes.max()) + 1))
    return assign(Neighbors(landmarks, homes, shares), rows)
