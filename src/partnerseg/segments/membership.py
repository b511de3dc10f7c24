"""Says from whatever is known of a partner how well each segment explains it, and whether any does."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from threadpoolctl import threadpool_limits

from partnerseg.segments.encoding import correct_correlation, mark_coarse

VOTERS = 15  # nearest landmarks that say where a partner belongs
ODD = 0.01  # who is as far out as one in a hundred members of its likeliest segment is background
ROUNDS = 3  # of assigning landmarks and learning the segments anew from those that are typical
VARIES = 0.1  # of the variance of a text or flag so much is within segments at least: none tells them apart for certain
FOLDS = 5
CELLS = 1_000_000  # numbers in a block of work


@dataclass(frozen=True)
class Discriminant:
    """Linear discriminant analysis over the known cells.

    A segment is a center, and partners vary around every center with the same covariance. What is unknown of a partner
    is integrated out: centers and covariance are cut down to the cells that are known.

    Attributes:
        centers: Segments x coordinates.
        covariance: Coordinates x coordinates, within segments.
        shares: Share of each segment, 0-1.
        scales: How much farther out each segment's members are than a Gaussian's, in squared distance.

    References:
        Fisher (1936), The use of multiple measurements in taxonomic problems, Annals of Eugenics 7. McLachlan (1992),
        Discriminant Analysis and Statistical Pattern Recognition, section 6.4 (typicality).
    """

    kind: ClassVar[str] = "discriminant"
    centers: np.ndarray
    covariance: np.ndarray
    shares: np.ndarray
    scales: np.ndarray

    def weigh(self, coordinates: np.ndarray) -> np.ndarray:
        """Return rows x segments: log likelihood of the known cells, up to a constant in each row."""
        weighed = np.zeros((len(coordinates), len(self.centers)))
        for rows, scores, products, patterns in self._multiply(coordinates):
            weighed[rows] = scores - 0.5 * np.einsum("ukk->uk", products)[patterns]
        return np.round(weighed, 9)

    def mark_background(self, coordinates: np.ndarray, homes: np.ndarray) -> np.ndarray:
        """Mark the rows that are odder than 99 in 100 members of their segment.

        Their distance to the center, in the directions that tell segments apart, is too large: squared, it is
        chi-squared for a Gaussian segment whatever is known of the row.
        """
        from scipy.stats import chi2

        squares, degrees = self._measure_oddness(coordinates, homes)
        return (degrees > 0) & (chi2.sf(squares / self.scales[homes], np.maximum(degrees, 1)) < ODD)

    def _measure_oddness(self, coordinates: np.ndarray, homes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return squared distances to the home center and the number of directions they are measured in."""
        squares, degrees = np.zeros(len(coordinates)), np.zeros(len(coordinates), dtype=int)
        count = len(self.centers)
        for rows, scores, products, patterns in self._multiply(coordinates):
            home, here = homes[rows], np.arange(len(rows))
            pairs, place = np.unique(patterns * count + home, return_inverse=True)
            product, own, each = products[pairs // count], pairs % count, np.arange(len(pairs))
            toward = product[each, own]
            within = toward[each, own][:, None]
            # Where the other centers lie, seen from the home center.
            gram = product - toward[:, :, None] - toward[:, None, :] + within[:, :, None]
            values, vectors = np.linalg.eigh(gram)
            usable = values > np.maximum(1e-6 * values[:, -1:], 1e-9)
            inverse = np.where(usable, 1 / np.where(usable, values, 1.0), 0.0)
            offset = scores - scores[here, home][:, None] - (toward - within)[place]
            along = np.einsum("nk,nkj->nj", offset, vectors[place])
            squares[rows] = (along**2 * inverse[place]).sum(axis=1)
            degrees[rows] = usable.sum(axis=1)[place]
        return squares, degrees

    def _multiply(self, coordinates: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Yield row numbers, products of rows and centers, of centers and centers, and the pattern of each row.

        Products are taken with the inverse covariance of the known cells; a pattern is a set of known cells.
        """
        known = ~np.isnan(coordinates)
        packed = np.packbits(known, axis=1)
        order = np.arange(len(packed)) if known.all() else np.lexsort(packed.T)
        packed = packed[order]
        starts = np.r_[True, (packed[1:] != packed[:-1]).any(axis=1)]
        numbers = np.cumsum(starts) - 1
        # Threads of the algebra library cost more than they gain on many small matrices.
        with threadpool_limits(1, user_api="blas"):
            yield from self._multiply_blocks(coordinates, known, order, numbers)

    def _multiply_blocks(
        self, coordinates: np.ndarray, known: np.ndarray, order: np.ndarray, numbers: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        most_rows = max(1, CELLS // max(1, self.centers.size))
        most_patterns = max(1, CELLS // max(1, self.covariance.size))
        diagonal = np.arange(len(self.covariance))
        start = 0
        while start < len(order):
            stop = min(start + most_rows, int(np.searchsorted(numbers, numbers[start] + most_patterns)))
            rows, patterns = order[start:stop], numbers[start:stop] - numbers[start]
            masks = known[rows[np.r_[True, np.diff(patterns) > 0]]]
            covariances = np.where(masks[:, :, None] & masks[:, None, :], self.covariance, 0.0)
            covariances[:, diagonal, diagonal] += ~masks
            centers = np.where(masks[:, :, None], self.centers.T, 0.0)
            solved = np.linalg.solve(covariances, centers)
            filled = np.where(known[rows], coordinates[rows], 0.0)
            yield (
                rows,
                np.einsum("nd,ndk->nk", filled, solved[patterns]),
                np.einsum("udk,udj->ukj", centers, solved),
                patterns,
            )
            start = stop


@dataclass(frozen=True)
class Neighbors:
    """The votes of the nearest landmarks, measured over the known cells.

    Attributes:
        landmarks: Rows x coordinates, without gaps.
        homes: Segment of each landmark, -1 is background.
        shares: Share of each segment, 0-1.

    References:
        Fix, Hodges (1951), Discriminatory analysis: nonparametric discrimination. Dixon (1979), Pattern recognition
        with partly missing data, IEEE SMC 9.
    """

    kind: ClassVar[str] = "neighbors"
    landmarks: np.ndarray
    homes: np.ndarray
    shares: np.ndarray

    def weigh(self, coordinates: np.ndarray, *, absent: np.ndarray | None = None) -> np.ndarray:
        """Return rows x segments: log of the share of votes over the share that chance would give.

        The 15 nearest members vote, and all that tie with the last. `absent` names for each row a landmark without a
        vote: itself.
        """
        members = np.flatnonzero(self.homes >= 0)
        ballots = np.eye(len(self.shares))[self.homes[members]]
        enough = int(min(VOTERS, np.bincount(self.homes[members]).min()))
        places = None if absent is None else np.searchsorted(members, absent)

        def count_votes(rows: slice, distances: np.ndarray) -> np.ndarray:
            if places is not None:
                distances[np.arange(len(distances)), places[rows]] = np.inf
            return mark_nearest(distances, enough) @ ballots

        votes = measure_blocks(coordinates, self.landmarks[members], count_votes)
        voted = (votes + self.shares) / (votes.sum(axis=1, keepdims=True) + 1)
        return np.log(voted / self.shares)

    def mark_background(self, coordinates: np.ndarray, homes: np.ndarray) -> np.ndarray:
        """Mark the rows most of whose nearest landmarks are background."""
        if (self.homes >= 0).all():
            return np.zeros(len(coordinates), dtype=bool)
        background = (self.homes < 0).astype(np.float64)[:, None]

        def count_votes(rows: slice, distances: np.ndarray) -> np.ndarray:
            nearest = mark_nearest(distances, VOTERS)
            return nearest @ background / nearest.sum(axis=1, keepdims=True)

        return measure_blocks(coordinates, self.landmarks, count_votes)[:, 0] > 0.5


def learn_discriminant(coordinates: np.ndarray, homes: np.ndarray, *, scaled: bool = True) -> Discriminant:
    """Learn centers and covariance from the known cells of the members.

    The covariance is taken over the pairs of cells that are known and drawn toward its diagonal, the more the fewer
    members there are for the coordinates.

    Args:
        coordinates: Rows x coordinates, NaN for unknown.
        homes: Segment of each row, -1 is background; every segment has members.
        scaled: Whether `scales` are measured, which only the background needs; otherwise they are 1.
    """
    from scipy.stats import chi2

    count = int(homes.max()) + 1
    inside = homes >= 0
    values, home = coordinates[inside], homes[inside]
    known = (~np.isnan(values)).astype(np.float64)
    filled = np.where(known > 0, values, 0.0)
    members = np.eye(count)[home].T
    counts = members @ known
    overall = filled.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    # One more row at the overall mean: a center of which little is known is not far out.
    centers = (members @ filled + overall) / (counts + 1)
    left = np.where(known > 0, values - centers[home], 0.0)
    pairs = np.maximum(known.T @ known, 1.0)
    covariance = left.T @ left / pairs
    whole = (np.where(known > 0, values - overall, 0.0) ** 2).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    spread = np.sqrt(np.maximum(np.diag(covariance), VARIES * whole * mark_coarse(values) + 1e-6))
    correlation = correct_correlation(
        covariance / np.outer(spread, spread) * (1 - np.eye(len(spread))) + np.eye(len(spread))
    )
    drawn = len(spread) / (len(spread) + len(values))
    correlation = (1 - drawn) * correlation + drawn * np.eye(len(spread))
    learned = Discriminant(
        centers, correlation * np.outer(spread, spread), np.bincount(home) / len(home), np.ones(count)
    )
    if not scaled:
        return learned
    squares, degrees = learned._measure_oddness(values, home)
    ratio = squares / chi2.median(np.maximum(degrees, 1))
    return replace(learned, scales=np.array([max(float(np.median(ratio[home == each])), 0.1) for each in range(count)]))


def refine_homes(coordinates: np.ndarray, homes: np.ndarray) -> np.ndarray:
    """Assign rows by discriminant and learn it anew from those that are typical, in turns; -1 is background."""
    for _ in range(ROUNDS):
        learned = learn_discriminant(coordinates, homes)
        likeliest = assign(learned, coordinates)
        found = np.where(learned.mark_background(coordinates, likeliest), -1, likeliest)
        if np.bincount(found[found >= 0], minlength=int(homes.max()) + 1).min() < 2:
            break
        homes = found
    return homes


def agree_with_discriminant(coordinates: np.ndarray, homes: np.ndarray) -> float:
    """Return the share of members that a discriminant learned from the others returns to their segment, 0-1."""
    inside = np.flatnonzero(homes >= 0)
    agreed = 0
    for fold in range(FOLDS):
        # Rows come in the order of their content, so every fifth is a fair sample.
        tested = inside[fold::FOLDS]
        kept = homes.copy()
        kept[tested] = -1
        if np.bincount(kept[kept >= 0], minlength=int(homes.max()) + 1).min() < 1:
            continue
        agreed += int(
            (assign(learn_discriminant(coordinates, kept, scaled=False), coordinates[tested]) == homes[tested]).sum()
        )
    return agreed / max(len(inside), 1)


def assign(model: Discriminant | Neighbors, coordinates: np.ndarray) -> np.ndarray:
    """Return the likeliest segment of each row."""
    return (model.weigh(coordinates) + np.log(model.shares)).argmax(axis=1)


def measure_blocks(coordinates: np.ndarray, landmarks: np.ndarray, use: Any) -> np.ndarray:
    """Measure blocks of rows to all landmarks over the cells that each row knows, and stack what is made of them.

    Args:
        coordinates: Rows x coordinates, NaN for unknown.
        landmarks: Landmarks x coordinates, without gaps.
        use: Takes the rows (a slice) and their squared distances (rows x landmarks); returns an array of as many rows.
    """
    step = max(1, CELLS // max(1, len(landmarks)))
    squares = landmarks**2
    sums = squares.sum(axis=1)

    def work(start: int) -> np.ndarray:
        block = coordinates[start : start + step]
        known = ~np.isnan(block)
        filled = np.where(known, block, 0.0)
        distances = filled @ (-2 * landmarks.T)
        distances += sums if known.all() else known @ squares.T
        distances += (filled**2).sum(axis=1)[:, None]
        # Nine decimals, so that a row in company is the same as the row alone.
        return use(slice(start, start + len(block)), np.round(np.maximum(distances, 0.0, out=distances), 9))

    starts = range(0, len(coordinates), step)
    with ThreadPoolExecutor(2) as pool:
        return np.concatenate(list(pool.map(work, starts)))


def mark_nearest(distances: np.ndarray, count: int) -> np.ndarray:
    """Mark the nearest columns of each row, all that tie with the last included."""
    count = min(count, distances.shape[1])
    return distances <= np.partition(distances, count - 1, axis=1)[:, count - 1 : count]
