"""Finds natural segments of partners and assigns every partner to one, whatever is known of it."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from partnerseg.segments.encoding import Encoding, correlate_known, fill_unknown, learn_encoding
from partnerseg.segments.evidence import Evidence, weigh_evidence
from partnerseg.segments.profiles import name_segments, profile_segments

LANDMARKS = 20_000  # above this many rows the map is made of a sample, the others are placed on it
VOTERS = 15  # nearest landmarks that say where a partner belongs
ANCHORS = 5  # nearest landmarks that say where it lies on the map
CORE_NEIGHBORS = 10  # HDBSCAN's min_samples
HALVINGS = 2  # times that the rows are halved, each half mapped and clustered on its own
HALVED_ROWS = 4_000
HALF_ROUNDS = 200  # of drawing for the map of a half, which nobody looks at
SHARPNESS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)  # powers that are tried in calibration
CALIBRATED_ROWS = 1_000
STABLE = 0.6  # stability that every segment must reach
FORMAT = 1


class PartnerSegmenter(TransformerMixin, ClusterMixin, BaseEstimator):
    """Find natural segments in mixed columns with missing values.

    Columns become coordinates (`encoding`), UMAP draws a map of them from exact neighbors, HDBSCAN reads the dense
    places of the map, and what halves of the data do not keep apart is joined. Segments are claimed only if the data
    split more clearly than matched data without segments (`evidence_`); otherwise there is one segment, and the map is
    a plain projection on the two main directions. Above 20,000 rows the map is made of a sample of landmarks. Later
    partners are placed by their nearest landmarks in the coordinates that are known of them, without UMAP.

    Args:
        min_partners: Fewer rows are not clustered.
        min_share: The smallest segment, as a share of all rows.
        n_neighbors: Neighbors that shape the map.
        columns: Columns that make the segments; all that vary if None or empty.
        random_state: Seed; the same seed gives the same segments, whatever the order of rows and columns.

    Attributes:
        labels_: Segment of each row at fit, 0 is the largest; -1 is background: near no segment.
        n_segments_: Number of segments; 1 when there is no evidence for more.
        names_: Segment to readable name.
        profile_: One row a segment (and -1 for the background, where there is one): name, n, share (0-1), coverage
            (share of known cells), stability, then the typical value of every column: median or most frequent text,
            missing where nothing is known.
        stability_: One value a segment, 0.6-1: mean Jaccard similarity with what is found in its stead when halves of
            the rows are mapped and clustered anew and assign all rows. Empty with one segment.
        evidence_: Whether there are segments, with a sentence why.
        dropped_: Columns that were not used, and why.

    References:
        McInnes, Healy, Melville (2018), UMAP, arXiv:1802.03426. Campello, Moulavi, Sander (2013), Density-based
        clustering based on hierarchical density estimates, PAKDD. Hennig (2007), Cluster-wise assessment of cluster
        stability, CSDA 52.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> orders = np.r_[rng.normal(10, 1, 80), rng.normal(40, 1, 80)]
        >>> features = pd.DataFrame({"orders": orders, "visits": orders / 5 + rng.normal(0, 0.3, 160)})
        >>> segmenter = PartnerSegmenter(random_state=0).fit(features)
        >>> segmenter.n_segments_
        2
        >>> segmenter.predict_proba(pd.DataFrame({"orders": [41.0], "visits": [np.nan]})).round(1).to_numpy().max()
        np.float64(1.0)
    """

    def __init__(
        self,
        min_partners: int = 100,
        min_share: float = 0.03,
        n_neighbors: int = 30,
        columns: Sequence[str] | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.min_partners = min_partners
        self.min_share = min_share
        self.n_neighbors = n_neighbors
        self.columns = columns
        self.random_state = random_state

    def fit(self, X: pd.DataFrame | np.ndarray, y: object = None) -> "PartnerSegmenter":
        """Find the segments.

        Args:
            X: One row a partner: numbers, flags and text, missing values are unknown; or an array of numbers.
            y: Ignored.

        Returns:
            The fitted segmenter.

        Raises:
            ValueError: A parameter is out of range, a column is absent, holds times or infinite numbers.
        """
        frame = self._read(X, reset=True)
        self._check_parameters()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self._encoding = learn_encoding(frame, self.columns)
        self.dropped_ = dict(self._encoding.dropped)
        coordinates = self._encoding.encode(frame)
        # Rows in the order of their content, so that their order in the frame leaves no trace.
        order = np.argsort(pd.util.hash_pandas_object(pd.DataFrame(coordinates), index=False), kind="stable")
        if len(order) > LANDMARKS:
            order = order[np.sort(np.random.default_rng(seed).choice(len(order), LANDMARKS, replace=False))]
        landmarks = coordinates[order]
        self._known = ~np.isnan(landmarks)
        self._landmarks = fill_unknown(landmarks, correlate_known(landmarks)) if landmarks.shape[1] else landmarks
        self.evidence_ = self._weigh(landmarks, len(frame), seed)
        places, homes = None, np.zeros(len(landmarks), dtype=int)
        stability = np.empty(0)
        if self.evidence_.found:
            places = _draw_map(self._landmarks, self.n_neighbors, seed)
            homes, stability = _find_segments(self._landmarks, places, self.min_share, self.n_neighbors, seed)
            if homes.max() < 1:
                places, homes, stability = None, np.zeros(len(landmarks), dtype=int), np.empty(0)
                self.evidence_ = replace(
                    self.evidence_,
                    found=False,
                    reason="The data are not one round cloud, but no separate groups that halves of the data agree on "
                    f"were found (each at least {self.min_share:.0%} of the partners; segments.min_share).",
                )
        self._places = _project(self._landmarks) if places is None else places
        self._homes = homes
        self.n_segments_ = int(self._homes.max()) + 1
        self._shares = np.bincount(self._homes[self._homes >= 0], minlength=self.n_segments_).astype(float)
        self._shares /= self._shares.sum()
        self.labels_ = np.empty(len(frame), dtype=np.int64)
        self.labels_[order] = self._homes
        rest = np.setdiff1d(np.arange(len(frame)), order)
        if len(rest):
            self.labels_[rest] = self._count_votes(coordinates[rest], background=True).argmax(axis=1) - 1
        self._sharpness = self._calibrate(seed) if self.n_segments_ > 1 else 1.0
        self.stability_ = pd.Series(
            stability, index=pd.RangeIndex(len(stability), name="segment"), name="stability", dtype=np.float64
        )
        self.names_ = name_segments(frame, self.labels_, self._encoding)
        self.profile_ = profile_segments(frame, self.labels_, self.names_, self.stability_, self._encoding)
        return self

    def fit_predict(self, X: pd.DataFrame | np.ndarray, y: object = None) -> np.ndarray:
        """Fit and return `labels_`, background included."""
        return self.fit(X, y).labels_

    def predict(self, X: pd.DataFrame | np.ndarray) -> Any:
        """Return the likeliest segment of every partner, also of those near no segment and those with gaps.

        Args:
            X: One row a partner, the columns as at fit.

        Returns:
            A Series `segment` for a DataFrame, else an array; 0 to `n_segments_ - 1`.
        """
        frame = self._read(X, reset=False)
        segments = self._assign(frame).argmax(axis=1)
        return pd.Series(segments, index=frame.index, name="segment") if isinstance(X, pd.DataFrame) else segments

    def predict_proba(self, X: pd.DataFrame | np.ndarray) -> Any:
        """Return how likely each partner belongs to each segment, from what is known of it.

        The 15 nearest landmarks (more when they tie), measured over the known cells, vote for their segments; how
        sharply votes are read was calibrated at fit on landmarks with and without gaps. The fewer cells are known, the
        more the neighbors differ and the flatter it gets; a partner of whom nothing is known gets the shares of the
        segments.

        Args:
            X: One row a partner, the columns as at fit.

        Returns:
            Partners x segments, rows sum to 1; a DataFrame for a DataFrame, else an array.
        """
        frame = self._read(X, reset=False)
        membership = self._assign(frame)
        if not isinstance(X, pd.DataFrame):
            return membership
        return pd.DataFrame(membership, index=frame.index, columns=pd.RangeIndex(self.n_segments_, name="segment"))

    def transform(self, X: pd.DataFrame | np.ndarray) -> Any:
        """Return the place of each partner on the map: x and y, without unit; near means alike, far says little.

        Args:
            X: One row a partner, the columns as at fit.

        Returns:
            Partners x 2 (`x`, `y`); a DataFrame for a DataFrame, else an array. Who was on the map at fit stays there.
        """
        frame = self._read(X, reset=False)
        places = np.empty((len(frame), 2))
        for rows, distances in self._measure(self._encoding.encode(frame)):
            weights = np.where(_mark_nearest(distances, ANCHORS), 1 / (distances + 1e-9), 0.0)
            places[rows] = (weights @ self._places) / weights.sum(axis=1, keepdims=True)
        places = np.round(places, 6)
        return pd.DataFrame(places, index=frame.index, columns=["x", "y"]) if isinstance(X, pd.DataFrame) else places

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return the names of the map's two directions."""
        check_is_fitted(self)
        return np.array(["x", "y"], dtype=object)

    def fields_to_ask(self, partner: pd.Series | pd.DataFrame) -> pd.Series:
        """Rank the unknown fields of a partner by how much knowing them would settle its segment.

        Args:
            partner: One row of the features.

        Returns:
            Index field, best first: expected fall of the entropy of the partner's membership, in bits; 0 is useless.
            Fields count one by one, and as independent of the known ones within a segment. Empty when all is known.

        Raises:
            ValueError: There is not exactly one row.
        """
        frame = partner.to_frame().T.infer_objects() if isinstance(partner, pd.Series) else partner
        if len(frame) != 1:
            raise ValueError(
                f"{len(frame)} rows were given, must be one: choose a partner, as features.loc[[partner_id]]"
            )
        frame = self._read(frame, reset=False)
        membership = self._assign(frame)[0]
        coordinates = self._encoding.encode(frame)[0]
        owners, gains = self._encoding.owners, {}
        for place, column in enumerate(self._encoding.columns):
            cells = np.flatnonzero(owners == place)
            if not np.isnan(coordinates[cells]).any():
                continue
            usable = self._known[:, cells[0]] & (self._homes >= 0)
            values = self._landmarks[usable][:, cells]
            if column.kind == "number":
                cuts = np.unique(np.quantile(values, [0.25, 0.5, 0.75]))
                answers = np.searchsorted(cuts, values[:, 0], side="left")
            else:
                answers = values.argmax(axis=1)
            counts = np.zeros((self.n_segments_, int(answers.max(initial=0)) + 1))
            np.add.at(counts, (self._homes[usable], answers), 1)
            chances = (counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True)
            joint = membership[:, None] * chances
            after = (joint.sum(axis=0) * _measure_entropy(joint / joint.sum(axis=0))).sum()
            gains[column.name] = max(float(_measure_entropy(membership) - after), 0.0)
        ranked = pd.Series(gains, dtype=np.float64, name="expected_gain").rename_axis("field")
        return ranked.sort_values(ascending=False, kind="stable")

    def save(self, directory: str | Path) -> None:
        """Write the fitted segmenter into a folder: JSON, npz and Parquet, nothing that runs when it is read."""
        check_is_fitted(self)
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        seed = self.random_state if isinstance(self.random_state, int | np.integer) else None
        stored = {
            "format": FORMAT,
            "parameters": {
                **self.get_params(),
                "random_state": None if seed is None else int(seed),
                "columns": None if self.columns is None else list(self.columns),
            },
            "feature_names": list(map(str, self.feature_names_in_)) if hasattr(self, "feature_names_in_") else None,
            "n_features": int(self.n_features_in_),
            "n_segments": self.n_segments_,
            "sharpness": self._sharpness,
            "names": {str(segment): name for segment, name in self.names_.items()},
            "evidence": asdict(self.evidence_),
            "encoding": self._encoding.to_dict(),
        }
        text = json.dumps(stored, indent=1, ensure_ascii=False, sort_keys=True)
        (folder / "segmenter.json").write_text(text + "\n", encoding="utf-8")
        np.savez_compressed(
            folder / "segmenter.npz",
            allow_pickle=False,
            landmarks=self._landmarks,
            known=self._known,
            places=self._places,
            homes=self._homes,
            shares=self._shares,
            labels=self.labels_,
            stability=self.stability_.to_numpy(),
        )
        self.profile_.to_parquet(folder / "profile.parquet")

    @classmethod
    def load(cls, directory: str | Path) -> "PartnerSegmenter":
        """Read a segmenter that `save` wrote; it predicts the same to the last bit.

        Raises:
            FileNotFoundError: The folder holds no segmenter.
            ValueError: It was written in another format.
        """
        folder = Path(directory)
        stored = json.loads((folder / "segmenter.json").read_text(encoding="utf-8"))
        if stored["format"] != FORMAT:
            raise ValueError(
                f"format is {stored['format']}, must be {FORMAT}: fit and save again ({folder / 'segmenter.json'})"
            )
        segmenter = cls(**stored["parameters"])
        segmenter.n_features_in_ = stored["n_features"]
        if stored["feature_names"] is not None:
            segmenter.feature_names_in_ = np.array(stored["feature_names"], dtype=object)
        segmenter.n_segments_ = stored["n_segments"]
        segmenter._sharpness = stored["sharpness"]
        segmenter.names_ = {int(segment): name for segment, name in stored["names"].items()}
        segmenter.evidence_ = Evidence(**stored["evidence"])
        segmenter._encoding = Encoding.from_dict(stored["encoding"])
        segmenter.dropped_ = dict(segmenter._encoding.dropped)
        with np.load(folder / "segmenter.npz", allow_pickle=False) as arrays:
            segmenter._landmarks, segmenter._known = arrays["landmarks"], arrays["known"]
            segmenter._places, segmenter._homes = arrays["places"], arrays["homes"]
            segmenter._shares, segmenter.labels_ = arrays["shares"], arrays["labels"]
            stability = arrays["stability"]
        segmenter.stability_ = pd.Series(
            stability, index=pd.RangeIndex(len(stability), name="segment"), name="stability", dtype=np.float64
        )
        segmenter.profile_ = pd.read_parquet(folder / "profile.parquet")
        return segmenter

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _check_parameters(self) -> None:
        rules = (
            ("min_partners", self.min_partners >= 10, "at least 10"),
            ("min_share", 0.001 <= self.min_share <= 0.5, "between 0.001 and 0.5"),
            ("n_neighbors", 2 <= self.n_neighbors <= 200, "between 2 and 200"),
        )
        for name, holds, rule in rules:
            if not holds:
                raise ValueError(f"{name} is {getattr(self, name)}, must be {rule} (segments.{name})")

    def _read(self, X: Any, *, reset: bool) -> pd.DataFrame:
        """Check the input as scikit-learn does and return it as a frame."""
        if not reset:
            check_is_fitted(self)
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=reset, skip_check_array=True)
            if not len(X):
                raise ValueError("Found array with 0 sample(s), a minimum of 1 is required: no partner was given")
            return X
        array = validate_data(self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan")
        width = len(str(array.shape[1]))
        return pd.DataFrame(array, columns=[f"x{place:0{width}d}" for place in range(array.shape[1])])

    def _weigh(self, landmarks: np.ndarray, rows: int, seed: int) -> Evidence:
        if rows < self.min_partners:
            return Evidence(
                False,
                f"{rows} partners are too few to look for segments; at least {self.min_partners} are needed "
                "(segments.min_partners).",
            )
        return weigh_evidence(landmarks[:, self._encoding.numeric], random_state=seed)

    def _assign(self, frame: pd.DataFrame) -> np.ndarray:
        votes = self._count_votes(self._encoding.encode(frame), background=False)
        # Twelve decimals, so that a row in company is the same as the row alone.
        return np.round(_sharpen(votes, self._shares, self._sharpness), 12)

    def _calibrate(self, seed: int) -> float:
        """Choose how sharply votes are read: the power that makes the segments of landmarks likeliest.

        Each landmark is assigned by the others, once from all that was known of it and once from half of that.
        """
        rng = np.random.default_rng(seed)
        rows = np.flatnonzero(self._homes >= 0)
        rows = np.sort(rng.permutation(rows)[:CALIBRATED_ROWS])
        known = np.where(self._known[rows], self._landmarks[rows], np.nan)
        losses = np.zeros(len(SHARPNESS))
        hidden = rng.uniform(size=(len(rows), len(self._encoding.columns))) < 0.5
        for coordinates in (known, np.where(hidden[:, self._encoding.owners], np.nan, known)):
            votes = self._count_votes(coordinates, background=False, absent=rows)
            for place, sharpness in enumerate(SHARPNESS):
                membership = _sharpen(votes, self._shares, sharpness)
                losses[place] -= np.log(membership[np.arange(len(rows)), self._homes[rows]]).mean()
        return SHARPNESS[int(losses.argmin())]

    def _count_votes(
        self, coordinates: np.ndarray, *, background: bool, absent: np.ndarray | None = None
    ) -> np.ndarray:
        """Count the segments (the background first, if it votes) of the landmarks nearest to each row.

        `absent` names for each row a landmark without a vote.
        """
        voters = np.full(len(self._homes), True) if background else self._homes >= 0
        homes = self._homes[voters] + background
        ballots = np.eye(self.n_segments_ + background)[homes]
        votes = np.empty((len(coordinates), ballots.shape[1]))
        enough = int(min(VOTERS, np.bincount(self._homes[self._homes >= 0]).min()))
        for rows, distances in self._measure(coordinates):
            if absent is not None:
                distances[np.arange(len(distances)), absent[rows]] = np.inf
            votes[rows] = _mark_nearest(distances[:, voters], enough) @ ballots
        return votes

    def _measure(self, coordinates: np.ndarray) -> Any:
        """Yield blocks of rows and their squared distances to all landmarks over the cells that each row knows."""
        step = max(1, 8_000_000 // max(1, len(self._landmarks)))
        squares = self._landmarks.T**2
        for start in range(0, len(coordinates), step):
            block = coordinates[start : start + step]
            known = ~np.isnan(block)
            filled = np.where(known, block, 0.0)
            distances = (filled**2).sum(axis=1)[:, None] - 2 * (filled @ self._landmarks.T) + known @ squares
            # Nine decimals, so that a row in company is the same as the row alone.
            yield slice(start, start + len(block)), np.round(np.maximum(distances, 0.0), 9)


def _find_segments(
    landmarks: np.ndarray, places: np.ndarray, min_share: float, n_neighbors: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find dense places of the map and keep apart what halves of the data keep apart.

    Halves of the rows are mapped and clustered on their own and assign all rows; each of their segments stands for the
    segment with most of its members. The stability of a segment is its mean Jaccard similarity with what stands for it.
    As long as one is below 0.6 (Hennig 2007: not to be trusted) it is joined with the segment that it is most often
    mixed up with.

    Returns:
        Segment of each landmark, numbered by size, -1 is background; and the stability of each segment.
    """
    rng = np.random.default_rng(seed)
    share = max(min_share, 10 / len(places))  # five members in a half
    homes = _find_dense(places, share)
    if homes.max() < 1:
        return homes, np.empty(0)
    parts = []
    for _ in range(HALVINGS):
        rows = rng.permutation(len(landmarks))[:HALVED_ROWS]
        whole = _vote(landmarks, homes, landmarks[rows])
        for half in (np.sort(rows[: len(rows) // 2]), np.sort(rows[len(rows) // 2 :])):
            found = _find_dense(_draw_map(landmarks[half], n_neighbors, seed, rounds=HALF_ROUNDS), share)
            part = _vote(landmarks[half], found, landmarks[rows]) if found.max() > 0 else np.zeros(len(rows), dtype=int)
            parts.append(np.eye(homes.max() + 1)[whole].T @ np.eye(part.max() + 1)[part])
    joined = np.arange(homes.max() + 1)
    while True:
        stability, mixed = _measure_stability(parts)
        worst = int(stability.argmin())
        if len(stability) < 2 or stability[worst] >= STABLE:
            break
        other = int(np.where(np.arange(len(mixed)) == worst, -1.0, mixed[worst] + mixed[:, worst]).argmax())
        low, high = min(worst, other), max(worst, other)
        parts = [np.delete(_add_row(part, low, high), high, axis=0) for part in parts]
        joined = np.where(joined == high, low, joined - (joined > high))
    homes = np.where(homes >= 0, joined[homes], -1)
    numbered = _number_by_size(homes)
    places_of = [int(homes[numbered == segment][0]) for segment in range(numbered.max() + 1)]
    return numbered, stability[places_of]


def _add_row(table: np.ndarray, low: int, high: int) -> np.ndarray:
    added = table.copy()
    added[low] += added[high]
    return added


def _measure_stability(parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return each segment's stability, and how many members of each (row) are found in what stands for each."""
    similarities, mixed = [], np.zeros((len(parts[0]), len(parts[0])))
    for shared in parts:
        stands = np.eye(len(shared))[shared.argmax(axis=0)]
        confused = shared @ stands
        both = np.diag(confused)
        similarities.append(both / (confused.sum(axis=1) + confused.sum(axis=0) - both))
        mixed += confused
    return np.mean(similarities, axis=0), mixed


def _vote(landmarks: np.ndarray, homes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the most frequent segment among the landmarks nearest to each row; the background has no vote."""
    from sklearn.neighbors import NearestNeighbors

    voters = homes >= 0
    count = int(min(VOTERS, np.bincount(homes[voters]).min()))
    finder = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(landmarks[voters])
    nearest = homes[voters][finder.kneighbors(rows, return_distance=False)]
    return np.eye(homes.max() + 1)[nearest].sum(axis=1).argmax(axis=1)


def _draw_map(landmarks: np.ndarray, n_neighbors: int, seed: int, *, rounds: int | None = None) -> np.ndarray:
    """Draw the map with UMAP from exact neighbors, in so many rounds (its own choice if None)."""
    from sklearn.neighbors import NearestNeighbors

    # More than a tenth of the rows would blur small segments.
    neighbors = int(min(n_neighbors, max(10, len(landmarks) // 10), len(landmarks) - 1))
    finder = NearestNeighbors(n_neighbors=neighbors, algorithm="brute").fit(landmarks)
    distances, indices = finder.kneighbors(landmarks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed means one thread, and that such a map cannot place new rows
        import umap

        drawer = umap.UMAP(
            n_neighbors=neighbors,
            n_epochs=rounds,
            min_dist=0.0,
            random_state=seed,
            n_jobs=1,
            precomputed_knn=(indices, distances),
        )
        return np.asarray(drawer.fit_transform(landmarks), dtype=np.float64)


def _find_dense(places: np.ndarray, share: float) -> np.ndarray:
    """Find the dense places of the map with HDBSCAN; -1 is background."""
    import hdbscan

    smallest = max(5, int(np.ceil(share * len(places))))
    finder = hdbscan.HDBSCAN(min_cluster_size=smallest, min_samples=min(CORE_NEIGHBORS, smallest), core_dist_n_jobs=1)
    return finder.fit_predict(np.ascontiguousarray(places))


def _number_by_size(homes: np.ndarray) -> np.ndarray:
    """Number segments from the largest; of equal ones the one whose first member comes first."""
    segments, first, counts = np.unique(homes[homes >= 0], return_index=True, return_counts=True)
    ranked = segments[np.lexsort((first, -counts))]
    numbers = np.full(homes.max() + 2, -1)
    numbers[ranked] = np.arange(len(ranked))
    return numbers[homes]


def _project(landmarks: np.ndarray) -> np.ndarray:
    """Return the places on the two main directions, signs fixed by each direction's largest entry."""
    places = np.zeros((len(landmarks), 2))
    if landmarks.shape[1]:
        centered = landmarks - landmarks.mean(axis=0)
        vectors = np.linalg.eigh(centered.T @ centered)[1][:, ::-1][:, :2]
        vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
        places[:, : vectors.shape[1]] = centered @ vectors
    return places


def _sharpen(votes: np.ndarray, shares: np.ndarray, sharpness: float) -> np.ndarray:
    """Turn votes into memberships: shares of the segments times a power of what the votes say beyond them."""
    voted = (votes + shares) / (votes.sum(axis=1, keepdims=True) + 1)
    membership = shares * (voted / shares) ** sharpness
    return membership / membership.sum(axis=1, keepdims=True)


def _mark_nearest(distances: np.ndarray, count: int) -> np.ndarray:
    """Mark the nearest columns of each row, all that tie with the last included."""
    count = min(count, distances.shape[1])
    return distances <= np.partition(distances, count - 1, axis=1)[:, count - 1 : count]


def _measure_entropy(chances: np.ndarray) -> np.ndarray:
    """Return the entropy of each column in bits."""
    return -(chances * np.log2(np.maximum(chances, 1e-300))).sum(axis=0)
