"""Finds natural segments of partners and assigns every partner to one, whatever is known of it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from partnerseg.features.assessments import EVIDENCE
from partnerseg.features.catalogue import RATING_ONLY
from partnerseg.segments.discovery import (
    FEW,
    ROUND,
    Found,
    find_chance_stability,
    find_segments,
    number_by_size,
    project,
)
from partnerseg.segments.encoding import BLOCK, Encoding, correlate_known, fill_unknown, learn_encoding
from partnerseg.segments.evidence import NOT_ROUND, Evidence, draw_matched, weigh_evidence
from partnerseg.segments.membership import (
    Discriminant,
    Neighbors,
    agree_with_discriminant,
    assign,
    learn_discriminant,
    mark_nearest,
    measure_blocks,
    refine_homes,
)
from partnerseg.segments.profiles import find_exemplars, find_traits, name_segments, profile_segments

LANDMARKS = 4_000  # above this many rows segments are found in a sample, the others are placed by it
ANCHORS = 5  # nearest landmarks that say where a partner lies on the map
SHARPNESS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)  # powers that are tried in calibration
CALIBRATED_ROWS = 1_000
NULL_ROWS = 600  # of matched data without segments
DOUBT = 0.001  # chance that a partner is not what its data say: no membership is 0 or 1
FORMAT = 2


class PartnerSegmenter(TransformerMixin, ClusterMixin, BaseEstimator):
    """Find natural segments in mixed columns with missing values.

    Columns become coordinates (`encoding`). Up to six are clustered by HDBSCAN as they are, more on a map that UMAP
    draws from exact neighbors; what halves of the data do not keep apart is joined. Where the segments are round clouds
    and a Gaussian mixture parts more of them, the mixture is taken (`discovery`). Segments are claimed only if the data
    part more clearly than matched data without segments (`evidence_`); otherwise there is one segment, and the map is
    a plain projection on the two main directions. Above 4,000 rows segments are found in a sample, the landmarks.

    Partners, also later ones, are assigned from whatever is known of them: by linear discriminant analysis where the
    segments are round clouds, which also tells who is background, otherwise by their nearest landmarks (`membership`).

    Args:
        min_partners: Fewer rows are not clustered.
        min_share: The smallest segment, as a share of all rows.
        n_neighbors: Neighbors that shape the map.
        columns: Columns that make the segments; if None or empty all that vary, but for features that were made for the
            rating (`features.catalogue.RATING_ONLY`).
        require_evidence: Whether segments are only looked for where the data hang together less than matched data
            without segments do. If False they are shown wherever halves of the data agree on them, as a sketch to
            look at; `evidence_` still says what it saw.
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
        traits_: What sets each segment apart, strongest first (`profiles.find_traits`);
            `profiles.name_segments(traits_, "uk")` names the segments in another language.
        exemplars_: Segment to its three most typical members at fit (index values; at most the landmarks).
        method_: A sentence that says how the segments were found, by density or by a Gaussian mixture, and why so.
        assignment_: How partners are assigned: "discriminant" (segments are round clouds) or "neighbors" (any shape).
        assignment_reason_: A sentence that says why.
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
        min_share: float = 0.02,
        n_neighbors: int = 30,
        columns: Sequence[str] | None = None,
        require_evidence: bool = True,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.min_partners = min_partners
        self.min_share = min_share
        self.n_neighbors = n_neighbors
        self.columns = columns
        self.require_evidence = require_evidence
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
        made = [name for name in frame.columns if name in RATING_ONLY or str(name).startswith(EVIDENCE)]
        left = pd.Index([] if self.columns is not None and len(self.columns) else made)
        encoding = learn_encoding(frame, list(frame.columns.drop(left)) if len(left) else self.columns)
        reasons = dict.fromkeys(map(str, left), "made for the rating")
        self._encoding = replace(encoding, dropped={**encoding.dropped, **reasons})
        self.dropped_ = dict(self._encoding.dropped)
        order = self._choose_landmarks(frame, seed)
        coordinates = self._encoding.encode(frame.iloc[order])
        self._landmarks = fill_unknown(coordinates, correlate_known(coordinates))
        self._known = ~np.isnan(coordinates)
        self.evidence_ = self._weigh(coordinates, len(frame), seed)
        homes, stability, self._places = np.zeros(len(order), dtype=int), np.empty(0), project(self._landmarks)
        self.method_, found = "There is one segment only.", None
        if self.evidence_.found or (not self.require_evidence and len(frame) >= self.min_partners):
            found = find_segments(self._landmarks, self.min_share, self.n_neighbors, seed, self._known)
            if len(found.stability) > 1:
                homes, stability, self._places, self.method_ = found.homes, found.stability, found.places, found.reason
            elif self.evidence_.found:
                self.evidence_ = replace(
                    self.evidence_,
                    found=False,
                    shape=NOT_ROUND,
                    reason="The data are not one round cloud, but no separate groups that halves of the data agree on "
                    f"were found (each at least {self.min_share:.0%} of the partners; segments.min_share).",
                )
        homes, stability = self._choose_model(coordinates, homes, stability, found)
        self.n_segments_ = int(homes.max()) + 1
        self._sharpness = self._calibrate(coordinates, homes, seed) if self.n_segments_ > 1 else 1.0
        self.labels_ = np.zeros(len(frame), dtype=np.int64)
        if self.n_segments_ > 1:
            for rows, block in self._encode_blocks(frame):
                likeliest = assign(self._model, block)
                self.labels_[rows] = np.where(self._model.mark_background(block, likeliest), -1, likeliest)
            self.labels_[order] = homes
        self.stability_ = pd.Series(
            stability, index=pd.RangeIndex(len(stability), name="segment"), name="stability", dtype=np.float64
        )
        self.traits_ = find_traits(frame, self.labels_, self._encoding)
        self.names_ = name_segments(self.traits_)
        self.profile_ = profile_segments(
            frame, self.labels_, self.names_, self.stability_, self._encoding, traits=self.traits_
        )
        self.exemplars_ = find_exemplars(coordinates, homes, index=frame.index[order])
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

        Where the segments are round clouds (`assignment_` is "discriminant") it is the likelihood of the known cells
        under each segment; otherwise the 15 nearest landmarks (more when they tie), measured over the known cells,
        vote. How sharply that is read was calibrated at fit on landmarks with and without gaps. The less is known, the
        flatter it gets; a partner of whom nothing is known gets the shares of the segments. No membership is 0 or 1.

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

        def place(rows: slice, distances: np.ndarray) -> np.ndarray:
            weights = np.where(mark_nearest(distances, ANCHORS), 1 / (distances + 1e-9), 0.0)
            return (weights @ self._places) / weights.sum(axis=1, keepdims=True)

        blocks = [measure_blocks(block, self._landmarks, place) for _, block in self._encode_blocks(frame)]
        places = np.round(np.concatenate(blocks), 6)
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
            if column.kind in ("number", "ordered"):
                cuts = np.unique(np.quantile(values, [0.25, 0.5, 0.75]))
                answers = np.searchsorted(cuts, values[:, 0], side="left")
            else:
                answers = np.unique(values, axis=0, return_inverse=True)[1].ravel()
            counts = np.zeros((self.n_segments_, int(answers.max(initial=0)) + 1))
            np.add.at(counts, (self._homes[usable], answers), 1)
            chances = (counts + 0.5) / (counts + 0.5).sum(axis=1, keepdims=True)
            joint = membership[:, None] * chances
            after = (joint.sum(axis=0) * _measure_entropy(joint / joint.sum(axis=0))).sum()
            gains[column.name] = max(float(_measure_entropy(membership) - after), 0.0)
        ranked = pd.Series(gains, dtype=np.float64, name="expected_gain").rename_axis("field")
        return ranked.sort_values(ascending=False, kind="stable")

    def chance_stability(self, draws: int = 5) -> pd.Series:
        """Measure what stability data without segments reach in the same search.

        Matched data without segments (see `evidence_`) of up to 600 rows are mapped and clustered in the same way;
        counted is the most stable of the dense places, before any is joined. Segments should be far above.

        Args:
            draws: Number of matched data sets, each takes about a second.

        Returns:
            Stability 0-1 of each draw, 0 where nothing was parted; empty where no column varies.
        """
        check_is_fitted(self)
        coordinates = np.where(self._known, self._landmarks, np.nan)[:NULL_ROWS]
        matched = draw_matched(coordinates, random_state=0, owners=self._encoding.owners, draws=draws)
        reached = [find_chance_stability(drawn, self.min_share, self.n_neighbors, 0) for drawn in matched]
        return pd.Series(reached, index=pd.RangeIndex(len(reached), name="draw"), name="stability", dtype=np.float64)

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
            "assignment": [self.method_, self.assignment_, self.assignment_reason_],
            "exemplars": {str(segment): [str(one) for one in ids] for segment, ids in self.exemplars_.items()},
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
            labels=self.labels_,
            stability=self.stability_.to_numpy(),
            **{f"model_{name}": value for name, value in vars(self._model).items()},
        )
        self.profile_.to_parquet(folder / "profile.parquet")
        self.traits_.to_parquet(folder / "traits.parquet")

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
        segmenter.method_, segmenter.assignment_, segmenter.assignment_reason_ = stored["assignment"]
        segmenter.exemplars_ = {int(segment): np.array(ids) for segment, ids in stored["exemplars"].items()}
        segmenter.names_ = {int(segment): name for segment, name in stored["names"].items()}
        segmenter.evidence_ = Evidence(**stored["evidence"])
        segmenter._encoding = Encoding.from_dict(stored["encoding"])
        segmenter.dropped_ = dict(segmenter._encoding.dropped)
        with np.load(folder / "segmenter.npz", allow_pickle=False) as arrays:
            segmenter._landmarks, segmenter._known = arrays["landmarks"], arrays["known"]
            segmenter._places, segmenter._homes = arrays["places"], arrays["homes"]
            segmenter.labels_, stability = arrays["labels"], arrays["stability"]
            kind = Discriminant if segmenter.assignment_ == Discriminant.kind else Neighbors
            parts = {name.removeprefix("model_"): value for name, value in arrays.items() if name[:6] == "model_"}
            segmenter._model = kind(**parts)
        segmenter.stability_ = pd.Series(
            stability, index=pd.RangeIndex(len(stability), name="segment"), name="stability", dtype=np.float64
        )
        segmenter.profile_ = pd.read_parquet(folder / "profile.parquet")
        segmenter.traits_ = pd.read_parquet(folder / "traits.parquet")
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
        return weigh_evidence(landmarks, random_state=seed, owners=self._encoding.owners)

    def _choose_landmarks(self, frame: pd.DataFrame, seed: int) -> np.ndarray:
        """Return the rows that segments are found in, by their content, whatever their order in the frame."""
        marks = np.concatenate([_mark_content(block) for _, block in self._encode_blocks(frame)])
        order = np.argsort(marks, kind="stable")
        if len(order) > LANDMARKS:
            order = order[np.sort(np.random.default_rng(seed).choice(len(order), LANDMARKS, replace=False))]
        return order

    def _choose_model(
        self, coordinates: np.ndarray, homes: np.ndarray, stability: np.ndarray, found: Found | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Choose how partners are assigned; return the segments of the landmarks after it and their stability."""
        self.assignment_, self.assignment_reason_ = Neighbors.kind, "There is one segment only."
        mixed = found is not None and found.kind == "mixture"
        if homes.max() > 0 and coordinates.shape[1] <= FEW and not mixed:
            self.assignment_reason_ = f"Neighbors vote: in up to {FEW} coordinates they know segments of every shape."
        elif homes.max() > 0:
            agreed = agree_with_discriminant(coordinates, homes)
            round_ = agreed >= ROUND
            self.assignment_ = Discriminant.kind if round_ else Neighbors.kind
            self.assignment_reason_ = (
                f"Discriminant analysis returns {agreed:.0%} of the members to their segments, so the segments are "
                + (
                    "round clouds and it assigns."
                    if round_
                    else f"no round clouds ({ROUND:.0%} needed): neighbors vote."
                )
            )
        if self.assignment_ == Discriminant.kind:
            homes = refine_homes(coordinates, homes)
            numbers = number_by_size(homes)
            homes, stability = numbers[homes], stability[np.argsort(numbers[:-1])]
            self._model: Discriminant | Neighbors = learn_discriminant(coordinates, homes)
        else:
            self._model = Neighbors(self._landmarks, homes, np.bincount(homes[homes >= 0]) / (homes >= 0).sum())
        self._homes = homes
        return homes, stability

    def _assign(self, frame: pd.DataFrame) -> np.ndarray:
        weighed = [self._model.weigh(block) for _, block in self._encode_blocks(frame)]
        # Twelve decimals, so that a row in company is the same as the row alone.
        return np.round(_sharpen(np.concatenate(weighed), self._model.shares, self._sharpness), 12)

    def _encode_blocks(self, frame: pd.DataFrame) -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, len(frame), BLOCK):
            rows = slice(start, start + BLOCK)
            yield rows, self._encoding.encode(frame.iloc[rows])

    def _calibrate(self, coordinates: np.ndarray, homes: np.ndarray, seed: int) -> float:
        """Choose how sharply weights are read: the power that makes the segments of landmarks likeliest.

        Landmarks are assigned by a model that has not seen them, once from all that is known of them and once from half
        of that.
        """
        rng = np.random.default_rng(seed)
        rows = np.sort(rng.permutation(np.flatnonzero(homes >= 0))[:CALIBRATED_ROWS])
        hidden = rng.uniform(size=(len(rows), len(self._encoding.columns))) < 0.5
        losses = np.zeros(len(SHARPNESS))
        for shown in (coordinates[rows], np.where(hidden[:, self._encoding.owners], np.nan, coordinates[rows])):
            weighed = self._weigh_unseen(coordinates, homes, rows, shown)
            for place, sharpness in enumerate(SHARPNESS):
                membership = _sharpen(weighed, self._model.shares, sharpness)
                losses[place] -= np.log(np.maximum(membership[np.arange(len(rows)), homes[rows]], 1e-12)).mean()
        return SHARPNESS[int(losses.argmin())]

    def _weigh_unseen(
        self, coordinates: np.ndarray, homes: np.ndarray, rows: np.ndarray, shown: np.ndarray
    ) -> np.ndarray:
        if isinstance(self._model, Neighbors):
            return self._model.weigh(shown, absent=rows)
        weighed = np.empty((len(rows), self.n_segments_))
        for fold in range(2):
            tested = np.arange(len(rows)) % 2 == fold
            kept = homes.copy()
            kept[rows[tested]] = -1
            if np.bincount(kept[kept >= 0], minlength=self.n_segments_).min() == 0:
                kept = homes
            weighed[tested] = learn_discriminant(coordinates, kept, scaled=False).weigh(shown[tested])
        return weighed


def _mark_content(coordinates: np.ndarray) -> np.ndarray:
    """Return a number for each row that depends on its content alone."""
    bits = np.where(np.isnan(coordinates), 0.5, coordinates + 0.0).view(np.uint64)
    factors = np.random.default_rng(0).integers(1, 2**63, size=bits.shape[1], dtype=np.uint64) | np.uint64(1)
    mixed = (bits ^ (bits >> np.uint64(29))) * factors
    return (mixed ^ (mixed >> np.uint64(32))).sum(axis=1, dtype=np.uint64)


def _sharpen(weighed: np.ndarray, shares: np.ndarray, sharpness: float) -> np.ndarray:
    """Turn log weights into memberships: shares of the segments times a power of what is known beyond them."""
    logs = np.log(shares) + sharpness * (weighed - weighed.max(axis=1, keepdims=True))
    membership = np.exp(logs - logs.max(axis=1, keepdims=True))
    membership /= membership.sum(axis=1, keepdims=True)
    return (1 - DOUBT) * membership + DOUBT * shares


def _measure_entropy(chances: np.ndarray) -> np.ndarray:
    """Return the entropy of each column in bits."""
    return -(chances * np.log2(np.maximum(chances, 1e-300))).sum(axis=0)
