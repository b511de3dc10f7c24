"""The rating of partners: scores, ranks, reasons and ways up, with bounds and weights frozen at fit."""

import json
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from partnerseg.rating.factors import EVIDENCE, Scale, fit_scales, read_factors, read_numbers, score_factors
from partnerseg.rating.tiers import TIERS, find_thresholds
from partnerseg.rating.weights import WEIGHTINGS, direct, equal

# Dirichlet concentration of drawn weights: a weight of 0.10 has a standard deviation of 0.03.
CONCENTRATION = 100.0
# Points of the frozen distribution of a factor, each equally likely.
GRID = 200
# What comparable partners achieve: this quantile of their values, from at least so many partners.
REACH = 0.9
MIN_COMPARABLE = 20
FORMAT = "partnerseg rating 1"
_FRAMES = ("factors_", "distribution_", "reach_")


@dataclass(frozen=True)
class Advice:
    """The cheapest change found that brings a partner to a tier, or why there is none.

    Attributes:
        partner_id: The partner.
        tier: The tier aimed at.
        reachable: True when applying `changes` gives the score needed; this was tried.
        reason: One sentence.
        score: Score now, 0-100; missing when not rated.
        score_after: Score with `changes` applied; the score now when there are none.
        changes: One row a changed feature: `factor, feature, now, then, reach` (in the feature's unit;
            `reach` is what comparable partners achieve) and `points` (points of the feature gained).
    """

    partner_id: str
    tier: str
    reachable: bool
    reason: str
    score: float
    score_after: float
    changes: pd.DataFrame


class PartnerRating(BaseEstimator):
    """Rate partners from 0 (worst) to 100 (best) by a table of factors.

    A factor is the mean of its known features, each scaled between frozen bounds (see
    `factors.fit_scales`). The score is the weighted mean of the known factors: the weight of unknown
    factors is shared among the known in proportion. `coverage` is the share of weight that is known;
    below `min_coverage` there is no score. After `fit` a partner's score depends on nothing but its own
    row, to the last bit, so a region's partners score alike in the region's run and in the programme's.

    Args:
        factors: Rows of the factor table: `params.rating.factors` or mappings (see `factors.Factor`).
        weighting: `direct` (stated weights), `equal`, `entropy` or `critic`. Weights are multiplied by
            the evidence of the factor's grade. Under `entropy` and `critic` a factor that nobody is
            known on, or that does not vary, keeps its stated weight, so that coverage stays honest.
        min_coverage: Least share of weight that must be known, 0-1.
        bounds_quantiles: Quantiles that bound a feature without stated bounds.
        evidence: How much each grade of evidence counts; None means `factors.EVIDENCE`.
        tiers: Share of rated partners in each tier, best first; None means `tiers.TIERS`.
        random_state: Seed of the draws behind `rank_interval`.

    Attributes:
        factors_: Index factor: `pillar, features, direction, grade, evidence, stated_weight, weight` (both
            sum to 1), `coverage` (share of partners known) and `median` (points) of the partners fitted.
        scales_: A `factors.Scale` for each factor and feature; as a table: `pd.DataFrame(rating.scales_)`.
        tier_thresholds_: Least score of each tier, best first.
        weights_: What the weighting function returned, for the factors that vary; not kept by `save`.

    References:
        OECD and JRC (2008), Handbook on Constructing Composite Indicators, OECD Publishing.

    Examples:
        >>> partners = pd.DataFrame({"sales": [0.0, 50, 100], "score": [3.0, None, 1]}, index=["a", "b", "c"])
        >>> table = [
        ...     {"factor": "volume", "features": ["sales"], "bounds": [[0, 100]], "weight": 3},
        ...     {"factor": "service", "features": ["score"], "bounds": [[1, 5]], "weight": 1},
        ... ]
        >>> PartnerRating(table).fit(partners).score(partners)
           score  coverage  rank
        a   12.5      1.00     3
        b   50.0      0.75     2
        c   75.0      1.00     1
    """

    def __init__(
        self,
        factors: Iterable[Any],
        weighting: str = "direct",
        min_coverage: float = 0.4,
        bounds_quantiles: tuple[float, float] = (0.05, 0.95),
        evidence: Mapping[str, float] | None = None,
        tiers: Mapping[str, float] | None = None,
        random_state: Any = 0,
    ) -> None:
        """Store the parameters as given; they are checked by `fit`."""
        self.factors = factors
        self.weighting = weighting
        self.min_coverage = min_coverage
        self.bounds_quantiles = bounds_quantiles
        self.evidence = evidence
        self.tiers = tiers
        self.random_state = random_state

    def fit(self, features: pd.DataFrame, y: Any = None) -> Self:
        """Freeze bounds, weights, distributions and tier thresholds.

        Args:
            features: One row a partner, the whole programme; missing means unknown. `partner_type`, where
                present, tells who is comparable with whom.
            y: Not used; here because scikit-learn passes it.

        Raises:
            ValueError: A parameter is impossible, or a feature is absent, not a number, or infinite.

        Warns:
            UserWarning: A feature without stated bounds is constant and so left out, or a weighting warns.
        """
        if self.weighting not in WEIGHTINGS:
            raise ValueError(f"rating.weighting == {self.weighting!r}; possible values are: {', '.join(WEIGHTINGS)}")
        if not 0 <= self.min_coverage <= 1:
            raise ValueError(f"rating.min_coverage == {self.min_coverage}, must be between 0 and 1")
        lower, upper = self.bounds_quantiles
        if not 0 <= lower < upper <= 1:
            raise ValueError(f"rating.bounds_quantiles == [{lower}, {upper}], must be 0 <= lower < upper <= 1")
        evidence = EVIDENCE if self.evidence is None else dict(self.evidence.items())
        factors = read_factors(self.factors, evidence=evidence)
        self.scales_ = fit_scales(features, factors, bounds_quantiles=(lower, upper))
        self._name_features()
        for scale in self.scales_:
            if scale.source == "constant":
                warnings.warn(
                    f"feature {scale.feature} is the same for all partners and has no stated bounds: left out",
                    stacklevel=2,
                )
        points = score_factors(features, self.scales_)

        table = pd.DataFrame(
            {
                "pillar": [factor.pillar for factor in factors],
                "features": [", ".join(factor.features) for factor in factors],
                "direction": [", ".join(factor.direction) for factor in factors],
                "grade": [factor.grade for factor in factors],
                "evidence": [float(evidence[factor.grade]) for factor in factors],
                "stated_weight": [factor.weight for factor in factors],
            },
            index=pd.Index([factor.factor for factor in factors], name="factor"),
        )
        table["stated_weight"] = direct(table["stated_weight"]).weights
        table["weight"] = self._find_weights(points, table)
        table["coverage"] = points.notna().mean() if len(points) else 0.0
        table["median"] = points.median()
        self.factors_ = table

        known = table.index[table["coverage"] > 0]
        self.distribution_ = pd.DataFrame(np.nan, index=range(GRID), columns=table.index)
        places = (np.arange(GRID) + 0.5) / GRID
        for name in known:
            self.distribution_[name] = np.quantile(points[name].dropna(), places, method="inverted_cdf")
        self.reach_ = self._find_reach(features)
        self.tier_thresholds_ = find_thresholds(self._rate(points)[0], TIERS if self.tiers is None else self.tiers)
        return self

    def score(self, features: pd.DataFrame, y: Any = None) -> pd.DataFrame:
        """Score and rank partners with the frozen bounds and weights.

        Args:
            features: One row a partner; with an index (as_of, partner_id) ranks are within each date.
            y: Not used.

        Returns:
            Index as in `features`: `score` (0-100, best 100, missing below `min_coverage`), `coverage` (share
            of weight known, 0-1) and `rank` (1 is best among the rated partners given here, equal scores
            share the smallest rank, missing where the score is).

        Raises:
            ValueError: A feature is absent, not a number, or infinite.
        """
        points = self._score_factors(features)
        score, coverage = self._rate(points)
        # Beyond nine decimals two scores differ by rounding only.
        rounded = score.round(9)
        by_date = rounded if features.index.nlevels == 1 else rounded.groupby(level=0, sort=False)
        rank = by_date.rank(method="min", ascending=False).astype("Int64")
        return pd.DataFrame({"score": score, "coverage": coverage, "rank": rank})

    def contributions(self, features: pd.DataFrame) -> pd.DataFrame:
        """Split every score into points by factor.

        Args:
            features: One row a partner.

        Returns:
            Partners x factors: points that sum to the score (within 1e-9); missing where the factor is
            unknown, a whole row where the partner is not rated.

        Raises:
            ValueError: As `score`.
        """
        points = self._score_factors(features)
        score, _ = self._rate(points)
        shares = self._share_weights(points)
        return (shares * points).where(score.notna())

    def rank_interval(self, features: pd.DataFrame, *, draws: int = 1000, level: float = 0.9) -> pd.DataFrame:
        """Tell how far ranks could move with other weights and with the missing factors known.

        Each draw takes weights from a Dirichlet distribution around the frozen ones and, for every unknown
        factor of a partner, a value from the distribution of that factor at fit; then all rated partners
        are ranked anew. A factor that nobody was known on at fit stays out of the draws.

        Args:
            features: One row a partner, one date; their order does not matter.
            draws: Number of draws.
            level: Share of draws that the interval holds, between 0 and 1.

        Returns:
            Index as in `features`, integers: `rank`, `lower` (best) and `upper` (worst) rank. The interval
            always holds the rank itself. All missing where the partner is not rated.

        Raises:
            ValueError: As `score`; or there is more than one date, `draws` is under 1, or `level` is not
                between 0 and 1.
        """
        if not draws >= 1:
            raise ValueError(f"rating.interval_draws == {draws}, must be >= 1")
        if not 0 < level < 1:
            raise ValueError(f"rating.interval_level == {level}, must be between 0 and 1")
        _check_one_date(features)
        result = self.score(features)[["rank"]]
        rated = result.index[result["rank"].notna()].sort_values()
        used = self.factors_.index[(self.factors_["coverage"] > 0) & (self.factors_["weight"] > 0)]
        points = self._score_factors(features.loc[rated])[used].to_numpy()
        ranks = np.empty((draws, len(rated)), dtype=np.int32)
        start = 0
        for scores in self._draw_scores(points, used, draws):
            for row in -np.round(scores, 9):
                ranks[start] = np.searchsorted(np.sort(row), row) + 1
                start += 1
        tail = (1 - level) / 2
        for name, place in (("lower", tail), ("upper", 1 - tail)):
            if len(rated):
                bound = pd.Series(np.quantile(ranks, place, axis=0, method="inverted_cdf"), index=rated).astype("Int64")
                result[name] = bound.reindex(result.index)
            else:
                result[name] = pd.array([pd.NA] * len(result), dtype="Int64")
        result["lower"] = result[["rank", "lower"]].min(axis=1).astype("Int64")
        result["upper"] = result[["rank", "upper"]].max(axis=1).astype("Int64")
        return result

    def explain(self, features: pd.DataFrame, partner_id: str) -> pd.DataFrame:
        """Tell where a partner's score comes from.

        Args:
            features: One row a partner.
            partner_id: The partner.

        Returns:
            Index factor, largest contribution first, unknown factors last: `pillar`, `score` (points 0-100,
            missing when unknown), `weight` (its share in this partner's score, 0 when unknown),
            `contribution` (points of the score; missing when unknown or the partner is not rated),
            `programme_median` (points, of the partners fitted) and `gap` (score minus that).

        Raises:
            KeyError: The partner is not in `features`.
            ValueError: As `score`.
        """
        row = self._take_partner(features, partner_id)
        points = self._score_factors(row)
        result = pd.DataFrame(
            {
                "pillar": self.factors_["pillar"],
                "score": points.iloc[0],
                "weight": self._share_weights(points).iloc[0].fillna(0.0),
                "contribution": self.contributions(row).iloc[0],
                "programme_median": self.factors_["median"],
                "gap": points.iloc[0] - self.factors_["median"],
            }
        )
        order = result["contribution"].fillna(result["score"] * result["weight"])
        result = result.loc[order.sort_values(ascending=False, kind="stable", na_position="last").index]
        return result.rename_axis("factor")

    def raise_to(self, features: pd.DataFrame, partner_id: str, tier: str, *, hysteresis: float = 0.0) -> Advice:
        """Find the smallest change in one feature, or else in two, that lifts a partner to a tier.

        A feature may rise to what the best tenth of comparable partners has (same `partner_type`, if at
        least 20 of them were known at fit, otherwise everybody); one that held whole numbers only changes
        in whole numbers. Smallest means the fewest points of the features in sum. What is proposed was
        applied and scored. Unknown features are not proposed; of a feature that stands in two factors one
        is looked at, so that a way through it can be missed.

        Args:
            features: One row a partner.
            partner_id: The partner.
            tier: The tier aimed at.
            hysteresis: Points above the threshold that a promotion takes, as for `assign_tiers`.

        Raises:
            KeyError: The partner is not in `features`.
            ValueError: The tier does not exist, or as `score`.
        """
        if tier not in self.tier_thresholds_.index:
            raise ValueError(f"tier == {tier!r}; possible values are: {', '.join(self.tier_thresholds_.index)}")
        row = self._take_partner(features, partner_id)
        rating = self.score(row)
        now = float(rating["score"].iloc[0])
        needed = float(self.tier_thresholds_[tier]) + hysteresis

        def advise(reachable: bool, reason: str, changes: Iterable[_Change] = (), after: float = now) -> Advice:
            table = pd.DataFrame(changes, columns=list(_Change._fields))
            return Advice(partner_id, tier, reachable, reason, now, after, table)

        if np.isnan(now):
            coverage = float(rating["coverage"].iloc[0])
            return advise(
                False, f"Not rated: {coverage:.0%} of the weight is known, {self.min_coverage:.0%} is needed."
            )
        if np.isnan(needed):
            return advise(False, "There are no tiers: no partner was rated when the rating was fitted.")
        if now >= needed:
            return advise(True, f"Already there: {now:.1f} points, {needed:.1f} needed.")
        levers = self._find_levers(row)
        for count in (1, 2):
            for changes in _propose_changes(levers, needed - now, count):
                changed = row.assign(**{change.feature: change.then for change in changes})
                after = float(self.score(changed)["score"].iloc[0])
                if after >= needed:
                    names = " and ".join(change.feature for change in changes)
                    return advise(True, f"With {names} changed, {now:.1f} points become {after:.1f}.", changes, after)
        return advise(
            False,
            f"Out of reach: {needed:.1f} points needed, {now:.1f} now, and no two changes within what comparable "
            "partners achieve were found to be enough.",
        )

    def save(self, path: str | Path) -> None:
        """Write the fitted rating as JSON; scores after `load` are the same to the last bit.

        Args:
            path: The file.

        Raises:
            ValueError: `random_state` is neither a number nor None.
        """
        check_is_fitted(self, "factors_")
        if not (self.random_state is None or isinstance(self.random_state, int)):
            raise ValueError(f"random_state == {self.random_state!r}, must be a whole number or None to be saved")
        parameters = self.get_params(deep=False)
        parameters["factors"] = [row.to_dict() if hasattr(row, "to_dict") else dict(row) for row in self.factors]
        parameters["bounds_quantiles"] = list(self.bounds_quantiles)
        for name in ("evidence", "tiers"):
            if parameters[name] is not None:
                parameters[name] = dict(parameters[name].items())
        state = {
            "format": FORMAT,
            "parameters": parameters,
            "scales_": [{name: _plain(value) for name, value in asdict(scale).items()} for scale in self.scales_],
            "tier_thresholds_": _pack(self.tier_thresholds_.to_frame()),
            **{name: _pack(getattr(self, name)) for name in _FRAMES},
        }
        text = json.dumps(state, ensure_ascii=False, indent=1, allow_nan=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a rating written by `save`.

        Args:
            path: The file.

        Raises:
            ValueError: The file is not a saved rating of this format.
        """
        state = json.loads(Path(path).read_text(encoding="utf-8"))
        found = state.get("format") if isinstance(state, dict) else None
        if found != FORMAT:
            raise ValueError(
                f"{Path(path).name}: format == {found!r}, must be {FORMAT!r}; fit and save the rating again"
            )
        parameters = state["parameters"]
        parameters["bounds_quantiles"] = tuple(parameters["bounds_quantiles"])
        parameters["factors"] = tuple(parameters["factors"])
        rating = cls(**parameters)
        for name in _FRAMES:
            setattr(rating, name, _unpack(state[name]))
        rating.factors_ = rating.factors_.rename_axis("factor")
        rating.scales_ = tuple(Scale(**{**row, **_numbers(row, "worst", "best", "unit")}) for row in state["scales_"])
        rating.tier_thresholds_ = _unpack(state["tier_thresholds_"])["threshold"]
        rating._name_features()
        return rating

    def _find_weights(self, points: pd.DataFrame, table: pd.DataFrame) -> pd.Series:
        """Weights by the method and the evidence; a factor that does not vary keeps its stated weight."""
        prior = equal(table.index).weights if self.weighting == "equal" else table["stated_weight"]
        prior = direct(prior * table["evidence"]).weights
        varying = table.index[points.max() > points.min()]
        if not len(varying):
            self.weights_ = direct(prior)
            return prior
        self.weights_ = WEIGHTINGS[self.weighting](points[varying], table.loc[varying, "stated_weight"])
        found = direct(self.weights_.weights * table.loc[varying, "evidence"]).weights
        weights = prior.copy()
        weights[varying] = found * prior[varying].sum()
        return direct(weights).weights

    def _find_reach(self, features: pd.DataFrame) -> pd.DataFrame:
        """What the best tenth achieves: everybody (first, labeled "") and partner types x features of factors."""
        groups = {"": np.full(len(features), True)}
        if "partner_type" in features.columns:
            kinds = features["partner_type"].astype(object)
            groups |= {str(kind): (kinds == kind).to_numpy(dtype=bool) for kind in sorted(kinds.dropna().unique())}
        names = [f"{scale.factor}.{scale.feature}" for scale in self.scales_]
        reach = pd.DataFrame(np.nan, index=list(groups), columns=names)
        numbers = read_numbers(features, self.feature_names_in_)
        for name, scale in zip(names, self.scales_, strict=True):
            place = REACH if scale.direction == "up" else 1 - REACH
            for label, members in groups.items():
                values = numbers[scale.feature][members]
                values = values[~np.isnan(values)]
                if len(values) >= (MIN_COMPARABLE if label else 1):
                    reach.loc[label, name] = np.quantile(values, place, method="inverted_cdf")
        return reach

    def _score_factors(self, features: pd.DataFrame) -> pd.DataFrame:
        check_is_fitted(self, "factors_")
        return score_factors(features, self.scales_)

    def _known_weight(self, points: pd.DataFrame) -> np.ndarray:
        # Sums run over factors in a fixed order, one column at a time: a row's result must not depend
        # on how many other rows there are, as it would in a matrix product.
        known = np.zeros(len(points))
        for name, weight in self._weights():
            known += np.where(np.isnan(points[name].to_numpy()), 0.0, weight)
        return known

    def _rate(self, points: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
        known = self._known_weight(points)
        whole = 0.0
        total = np.zeros(len(points))
        for name, weight in self._weights():
            whole += weight
            values = points[name].to_numpy()
            total += np.where(np.isnan(values), 0.0, weight * values)
        coverage = known / whole
        score = np.full(len(points), np.nan)
        np.divide(total, known, out=score, where=(known > 0) & (coverage >= self.min_coverage - 1e-12))
        return pd.Series(np.clip(score, 0, 100), index=points.index), pd.Series(coverage, index=points.index)

    def _share_weights(self, points: pd.DataFrame) -> pd.DataFrame:
        """Weight of each known factor in a partner's score; missing where the factor is unknown."""
        known = self._known_weight(points)
        known[known == 0] = np.nan
        weights = {name: np.where(points[name].notna(), weight, np.nan) / known for name, weight in self._weights()}
        return pd.DataFrame(weights, index=points.index, columns=points.columns)

    def _weights(self) -> Iterator[tuple[str, float]]:
        return zip(self.factors_.index.tolist(), self.factors_["weight"].tolist(), strict=True)

    def _name_features(self) -> None:
        names = list(dict.fromkeys(scale.feature for scale in self.scales_))
        self.feature_names_in_ = np.array(names, dtype=object)
        self.n_features_in_ = len(names)

    def _draw_scores(self, points: np.ndarray, used: pd.Index, draws: int) -> Iterator[np.ndarray]:
        """Yield blocks of draws x partners scores."""
        random = check_random_state(self.random_state)
        weights = random.standard_gamma(
            CONCENTRATION * self.factors_.loc[used, "weight"].to_numpy(), size=(draws, len(used))
        )
        weights /= weights.sum(axis=1, keepdims=True)
        grid = self.distribution_[used].to_numpy()
        missing = np.isnan(points)
        known = np.ascontiguousarray(np.where(missing, 0.0, points).T)
        block = max(1, 4_000_000 // max(1, len(points)))
        for start in range(0, draws, block):
            part = weights[start : start + block]
            scores = part @ known
            for place in np.flatnonzero(missing.any(axis=0)):
                rows = np.flatnonzero(missing[:, place])
                picked = random.randint(0, GRID, size=(len(part), len(rows)), dtype=np.uint8)
                scores[:, rows] += part[:, [place]] * grid[picked, place]
            yield scores

    def _take_partner(self, features: pd.DataFrame, partner_id: str) -> pd.DataFrame:
        _check_one_date(features)
        if partner_id not in features.index:
            raise KeyError(f"partner {partner_id!r} is not among the {len(features)} partners in features")
        return features.loc[[partner_id]]

    def _find_levers(self, row: pd.DataFrame) -> list["_Lever"]:
        """Known features of a partner that can rise, those that move the score most first."""
        kind = str(row["partner_type"].iloc[0]) if "partner_type" in row.columns else ""
        values = self.reach_.loc[""]
        if kind in self.reach_.index:
            values = self.reach_.loc[kind].fillna(values)
        reach = dict(zip(values.index, values.to_numpy().tolist(), strict=True))
        shares = self._share_weights(self._score_factors(row))
        numbers = read_numbers(row, self.feature_names_in_)
        known = [scale for scale in self.scales_ if scale.is_known and not np.isnan(numbers[scale.feature][0])]
        count = Counter(scale.factor for scale in known)
        levers = []
        for scale in known:
            now, best = float(numbers[scale.feature][0]), reach[f"{scale.factor}.{scale.feature}"]
            start, end = scale.to_points(np.array([now, best])).tolist()
            effect = float(shares[scale.factor].iloc[0]) / count[scale.factor]
            if end > start and effect > 0:
                levers.append(_Lever(scale, now, best, start, end - start, effect))
        return sorted(levers, key=lambda lever: -lever.effect)


class _Lever(NamedTuple):
    """A feature that can rise: value now and within reach, points now, room above, what a point adds."""

    scale: Scale
    now: float
    reach: float
    start: float
    room: float
    effect: float

    def pull(self, points: float) -> "_Change":
        """Raise the feature by so many points, in whole numbers where it has only those."""
        scale = self.scale
        then = scale.from_points(self.start + points)
        if scale.whole:
            then = float((np.ceil if scale.direction == "up" else np.floor)(round(then, 6)))
        then = min(then, self.reach) if scale.direction == "up" else max(then, self.reach)
        gained = float(scale.to_points(np.array([then]))[0]) - self.start
        return _Change(scale.factor, scale.feature, self.now, then, self.reach, gained)


class _Change(NamedTuple):
    """A row of `Advice.changes`."""

    factor: str
    feature: str
    now: float
    then: float
    reach: float
    points: float


def _propose_changes(levers: list[_Lever], gap: float, count: int) -> list[list[_Change]]:
    """Changes of `count` features that should add `gap` points to the score, smallest first."""
    proposals = []
    for chosen in combinations(levers, count):
        # The lever with the largest effect goes first and as far as it may; the last one brings the rest.
        rest = gap + 1e-9
        changes = []
        for lever in chosen:
            points = min(rest / lever.effect, lever.room)
            rest -= points * lever.effect
            changes.append(lever.pull(points))
        if rest <= 2e-9:
            proposals.append(changes)
    return sorted(proposals, key=lambda changes: sum(change.points for change in changes))


def _check_one_date(features: pd.DataFrame) -> None:
    if features.index.nlevels > 1:
        raise ValueError(
            f"features has the index {list(features.index.names)}, must be partner_id alone: take one date"
        )


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and np.isnan(value) else value


def _numbers(row: dict[str, Any], *names: str) -> dict[str, float]:
    return {name: np.nan if row[name] is None else row[name] for name in names}


def _pack(frame: pd.DataFrame) -> dict[str, Any]:
    columns = {str(name): [_plain(value) for value in column.tolist()] for name, column in frame.items()}
    return {"index": frame.index.tolist(), "columns": columns}


def _unpack(packed: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame(packed["columns"], index=packed["index"])
    # A column without any known number comes back as objects.
    return frame.astype(dict.fromkeys(frame.columns[frame.isna().all()], float))
