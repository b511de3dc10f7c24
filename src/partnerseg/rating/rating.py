"""The rating of partners: scores, ranks, reasons and ways up, with bounds and weights frozen at fit."""

import json
import warnings
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import asdict
from decimal import Decimal
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from partnerseg.programme.tables import ASSESSORS
from partnerseg.rating.advice import Advice, find_advice, find_reach
from partnerseg.rating.aggregation import AGGREGATIONS
from partnerseg.rating.errors import Errors
from partnerseg.rating.factors import check_table, read_column, read_evidence, read_factors, read_numbers, read_rows
from partnerseg.rating.intervals import check_draws, draw_rank_interval
from partnerseg.rating.judgments import check_judged, check_name, read_by_name, read_number
from partnerseg.rating.panel import Changes
from partnerseg.rating.scaling import (
    Scale,
    find_best_evidence,
    fit_scales,
    score_factors,
    score_numbers,
    spread_errors,
    weigh_evidence,
)
from partnerseg.rating.sensitivity import GRID, measure_sensitivity
from partnerseg.rating.tiers import TIERS, find_thresholds
from partnerseg.rating.weights import WEIGHTINGS, Weights, direct, equal

# Normalizations that a rank interval tries beside the rating's own.
ALTERNATIVES = ("min_max", "z", "rank")
# Weightings that ask people instead of data, so that a factor needs no data to have a weight.
_JUDGED = ("direct", "equal", "ahp", "best_worst")
FORMAT = "partnerseg rating 3"
_FRAMES = ("factors_", "group_weights_", "distribution_", "reach_")
_PARTS = ("parameters", "scales_", "alternatives_", "tier_thresholds_", "weights_", *_FRAMES)


class PartnerRating(BaseEstimator):
    """Rate partners from 0 (worst) to 100 (best) by a table of factors.

    A factor is the mean of its known features, each scaled between frozen bounds (see
    `scaling.fit_scales`). The score aggregates the known factors by their weights: the weight of unknown
    factors is shared among the known in proportion. `coverage` is the share of weight that is known;
    below `min_coverage` there is no score. Where `features` tell how much those who assessed a partner count
    (`evidence_<factor>` beside `assessed_<factor>`, see `scaling.weigh_evidence`), such a feature counts for this
    partner only as far in the mean of its factor, and the factor's weight as far as the best of its features; the rest
    is shared as if it was unknown: what the partner said of itself moves its score less than what its manager said, and
    coverage is lower. After `fit` a partner's score depends on nothing but
    its own row, to the last bit, so a region's partners score alike in the region's run and in the programme's.

    Args:
        factors: Rows of the factor table: `params.rating.factors` or mappings (see `factors.Factor`).
        weighting: How weights are found, a key of `weights.WEIGHTINGS`. Weights are multiplied by the
            evidence of the factor's grade. Where weights come from the data, a factor that nobody is known on,
            or that does not vary, keeps its stated weight, so that coverage stays honest.
        aggregation: How points become one score, a key of `aggregation.AGGREGATIONS`.
        outliers: `none`, or `winsorize` to take bounds from winsorized values (see `scaling.winsorize`).
        min_coverage: Least share of weight that must be known, 0-1.
        bounds_quantiles: Quantiles that bound a feature without stated bounds.
        evidence: How much each grade of evidence counts, 0-1; None means `programme.tables.ASSESSORS`.
        group_by: Column of `features` with the groups of `group_weights`; it also tells who is comparable with whom.
        group_weights: Rows `{group, factor, weight}`: stated weights of a group where they differ from the
            factor's. A weighting that does not ask for stated weights is tilted by their ratio.
        judgments: Rows `{better, worse, times}` for the weightings `ahp` and `best_worst`.
        blend: Share of each weighting in the weighting `blend`.
        tiers: Share of rated partners in each tier, best first; None means `tiers.TIERS`.
        random_state: Seed of the draws behind `rank_interval` and `sensitivity`.

    Attributes:
        factors_: Index factor: `pillar, features, direction, normalization, grade, evidence, stated_weight, weight`
            (both sum to 1), `coverage` (share of partners known) and `median` (points) of the partners fitted.
        group_weights_: Groups x factors: the weights of partners of that group, each row summing to 1; no row where
            the group has the weights of `factors_`.
        scales_: A `scaling.Scale` for each factor and feature; as a table: `pd.DataFrame(rating.scales_)`.
        tier_thresholds_: Least score of each tier, best first.
        weights_: What the weighting function returned, before evidence and the share of what does not vary.
        alternatives_: For each of `ALTERNATIVES` its scales and the distribution of its points.

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
        aggregation: str = "arithmetic",
        outliers: str = "none",
        min_coverage: float = 0.4,
        bounds_quantiles: tuple[float, float] = (0.05, 0.95),
        evidence: Mapping[str, float] | None = None,
        group_by: str = "partner_type",
        group_weights: Iterable[Any] = (),
        judgments: Iterable[Any] = (),
        blend: Mapping[str, float] | None = None,
        tiers: Mapping[str, float] | None = None,
        random_state: Any = 0,
    ) -> None:
        """Store the parameters as given, what can be read only once as a list; they are checked by `fit`."""
        self.factors = _keep(factors)
        self.weighting = weighting
        self.aggregation = aggregation
        self.outliers = outliers
        self.min_coverage = min_coverage
        self.bounds_quantiles = bounds_quantiles
        self.evidence = evidence
        self.group_by = group_by
        self.group_weights = _keep(group_weights)
        self.judgments = _keep(judgments)
        self.blend = blend
        self.tiers = tiers
        self.random_state = random_state

    def fit(
        self, features: pd.DataFrame, y: pd.Series | Changes | None = None, *, before: pd.DataFrame | None = None
    ) -> Self:
        """Freeze bounds, weights, distributions and tier thresholds.

        Args:
            features: One row a partner, the whole programme; missing means unknown. The column `group_by`, where
                present, tells who is comparable with whom; `group_weights` need it.
            y: Outcome of each partner after the date of `features`, more is better, for the weighting `learned`;
                by partner_id, missing where unknown; or `panel.Changes` of partners over many periods.
            before: The features at an earlier date, to learn from how much partners change (see
                `advice.find_reach`).

        Raises:
            ValueError: A parameter is impossible; a feature or an outcome is absent, not a number, or infinite; or a
                partner has two rows or outcomes.

        Warns:
            UserWarning: A feature without stated bounds is constant and so left out, nobody is known on a feature or on
                a whole factor, nobody belongs to a group that has weights of its own, or a weighting warns.
        """
        quantiles = self._check_parameters()
        evidence = read_evidence(ASSESSORS if self.evidence is None else self.evidence)
        factors = read_factors(self.factors, evidence=evidence)
        judgments = read_rows("rating.judgments", self.judgments, "{better, worse, times}")
        if judgments:
            check_judged(judgments, [factor.factor for factor in factors])

        def fit_with(normalization: str | None) -> tuple[Scale, ...]:
            return fit_scales(
                features, factors, bounds_quantiles=quantiles, outliers=self.outliers, normalization=normalization
            )

        if before is not None:
            read_numbers(before, dict.fromkeys(name for factor in factors for name in factor.features), name="before")
        self.scales_ = fit_with(None)
        self._name_features()
        shares = weigh_evidence(features, self.scales_, {factor.factor: evidence[factor.grade] for factor in factors})
        points = score_factors(features, self.scales_, shares)
        _warn_of_unknown(features, points, self.scales_)

        table = pd.DataFrame(
            {
                "pillar": [factor.pillar for factor in factors],
                "features": [", ".join(factor.features) for factor in factors],
                "direction": [", ".join(factor.direction) for factor in factors],
                "normalization": [
                    ", ".join(scale.normalization for scale in self.scales_ if scale.factor == factor.factor)
                    for factor in factors
                ],
                "grade": [factor.grade for factor in factors],
                "evidence": [float(evidence[factor.grade]) for factor in factors],
                "stated_weight": [factor.weight for factor in factors],
            },
            index=pd.Index([factor.factor for factor in factors], name="factor"),
        )
        stated = table["stated_weight"]
        table["stated_weight"] = direct(stated).weights
        table["weight"] = self._find_weights(points, table, y, judgments)
        table["coverage"] = points.notna().mean() if len(points) else 0.0
        table["median"] = points.median()
        self.factors_ = table
        self.group_weights_ = self._find_group_weights(stated)
        self._warn_of_absent_groups(features)

        self.distribution_ = _freeze_distribution(points)
        self.alternatives_ = {}
        for name in ALTERNATIVES:
            pairs = zip(self.scales_, fit_with(name), strict=True)
            scales = tuple(other if own.is_known and other.is_known else own for own, other in pairs)
            self.alternatives_[name] = (scales, _freeze_distribution(score_factors(features, scales, shares)))
        self.reach_ = find_reach(features, self.scales_, before=before, group_by=self.group_by)
        found, _ = self._rate(points.to_numpy(), self._take_weights(features), self._take_evidence(shares))
        score = pd.Series(found, index=features.index)
        self.tier_thresholds_ = find_thresholds(score, TIERS if self.tiers is None else self.tiers)
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
            ValueError: A feature is absent, not a number, or infinite; or there are `group_weights` and no
                column `group_by`.
        """
        points, evidence = self._score_factors(features)
        found, coverage = self._rate(points.to_numpy(), self._take_weights(features), evidence)
        score = pd.Series(found, index=features.index)
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
            unknown, a whole row where the partner is not rated. Factors contribute weight times points; when the
            aggregation is not the arithmetic mean there is one column more, `imbalance`: the score minus that mean.

        Raises:
            ValueError: As `score`.
        """
        points, evidence = self._score_factors(features)
        weights = self._take_weights(features)
        score, _ = self._rate(points.to_numpy(), weights, evidence)
        parts = self._share_weights(points, weights, evidence) * points
        parts.loc[np.isnan(score)] = np.nan
        if self.aggregation != "arithmetic":
            parts["imbalance"] = score - parts.sum(axis=1, min_count=1)
        return parts

    def weigh_evidence(self, features: pd.DataFrame) -> pd.DataFrame:
        """Tell how much each partner's evidence counts, beside what the grade of the factor states.

        Args:
            features: One row a partner.

        Returns:
            Partners x factors, 0 to 1: the share of the factor's weight that counts for this partner, 1 where nothing
            tells of evidence; missing where the factor is unknown.

        Raises:
            ValueError: As `score`, or evidence is not between 0 and 1.
        """
        points, evidence = self._score_factors(features)
        shares = np.ones(points.shape) if evidence is None else evidence
        return pd.DataFrame(shares, index=points.index, columns=points.columns).where(points.notna())

    def rank_interval(
        self,
        features: pd.DataFrame,
        *,
        errors: Errors | pd.DataFrame | None = None,
        draws: int = 10_000,
        level: float = 0.9,
    ) -> pd.DataFrame:
        """Tell how far ranks could move with other weights and normalizations, missing factors known, and no noise.

        Each draw takes weights from a Dirichlet distribution around the frozen ones; the rating's own
        normalization or one of `ALTERNATIVES`, frozen at fit like it; for every unknown factor of a partner, and for
        the weight of a known one that its evidence is not worth, a value from the distribution of that factor at fit;
        and for every known one, noise as large as `errors` say. Then all rated partners are ranked anew. A factor that
        nobody was known on at fit stays out.

        Args:
            features: One row a partner, one date; their order does not matter.
            errors: From `errors.estimate_errors`; or standard errors alone, partners x features in the
                features' units. Missing, and partners or features left out, mean that none is known. None: no noise
                is drawn.
            draws: Number of draws.
            level: Share of draws that the interval holds, between 0 and 1.

        Returns:
            Index as in `features`, integers: `rank`, `lower` (best) and `upper` (worst) rank. The interval
            always holds the rank itself. All missing where the partner is not rated.

        Raises:
            ValueError: As `score`; or there is more than one date, ids mix text and numbers, an error is negative or
                infinite, `draws` is under 1, or `level` is not between 0 and 1.
        """
        check_draws(draws, level)
        _check_one_date(features)
        result = self.score(features)[["rank"]]
        rated = _sort_partners(result.index[result["rank"].notna()])
        rows = features.loc[rated]
        weights = self._take_weights(rows)
        weighs = weights > 0 if weights.ndim == 1 else (weights > 0).any(axis=0)
        used = np.flatnonzero((self.factors_["coverage"].to_numpy() > 0) & weighs)
        ends = np.zeros((2, len(rated)), dtype=np.int64)
        if len(rated):
            tables = [(self.scales_, self.distribution_), *self.alternatives_.values()]
            expected, noise = self._read_errors(rows, errors)
            shares = self._weigh_features(rows)
            evidence = self._take_evidence(shares)
            numbers, around = (read_numbers(frame, self.feature_names_in_) for frame in (rows, expected))
            spread = None if noise is None else [spread_errors(expected, noise, scales, shares) for scales, _ in tables]
            ends[:] = draw_rank_interval(
                [score_numbers(numbers, scales, shares)[:, used] for scales, _ in tables],
                weights[..., used],
                [distribution.to_numpy()[:, used] for _, distribution in tables],
                noise=None if spread is None else [deviations.to_numpy()[:, used] for deviations in spread],
                expected=None
                if spread is None
                else [score_numbers(around, scales, shares)[:, used] for scales, _ in tables],
                evidence=None if evidence is None else evidence[:, used],
                draws=draws,
                level=level,
                aggregation=self.aggregation,
                labels=rated.tolist(),
                random_state=self.random_state,
            )
        rank = result.loc[rated, "rank"].to_numpy(dtype=np.int64)
        for name, bound in (("lower", np.minimum(ends[0], rank)), ("upper", np.maximum(ends[1], rank))):
            result[name] = pd.Series(bound, index=rated).astype("Int64").reindex(result.index)
        return result

    def sensitivity(self, features: pd.DataFrame) -> pd.DataFrame:
        """Tell which factors the score really follows, beside the weights that they were given.

        Args:
            features: One row a partner.

        Returns:
            One row a factor, see `sensitivity.measure_sensitivity`; with the common weights, whatever groups have, and
            the evidence of each partner.

        Raises:
            ValueError: As `score`.
        """
        points, evidence = self._score_factors(features)
        return measure_sensitivity(
            points,
            self.factors_["weight"],
            self.distribution_,
            evidence=evidence,
            aggregation=self.aggregation,
            random_state=self.random_state,
        )

    def explain(self, features: pd.DataFrame, partner_id: str) -> pd.DataFrame:
        """Tell where a partner's score comes from.

        Args:
            features: One row a partner.
            partner_id: The partner.

        Returns:
            Index factor, largest contribution first, unknown factors last: `pillar`, `score` (points 0-100,
            missing when unknown), `evidence` (share of the factor's weight that counts for this partner, 0-1: 1 when
            its evidence is as good as the factor's grade states, 0.57 when it assessed itself where a manager should;
            missing when unknown), `weight` (its share in this partner's score, 0 when unknown), `contribution` (points
            of the score; missing when unknown or the partner is not rated), `programme_median` (points, of the partners
            fitted) and `gap` (score minus that). When the aggregation is not the arithmetic mean the last row is
            `imbalance`, with nothing but its contribution.

        Raises:
            KeyError: The partner is not in `features`.
            ValueError: As `score`.
        """
        row = self._take_partner(features, partner_id)
        points, evidence = self._score_factors(row)
        parts = self.contributions(row).iloc[0]
        result = pd.DataFrame(
            {
                "pillar": self.factors_["pillar"],
                "score": points.iloc[0],
                "evidence": self.weigh_evidence(row).iloc[0],
                "weight": self._share_weights(points, self._take_weights(row), evidence).iloc[0].fillna(0.0),
                "contribution": parts.reindex(self.factors_.index),
                "programme_median": self.factors_["median"],
                "gap": points.iloc[0] - self.factors_["median"],
            }
        )
        order = result["contribution"].fillna(result["score"] * result["weight"])
        result = result.loc[order.sort_values(ascending=False, kind="stable", na_position="last").index]
        if "imbalance" in parts.index:
            last = {"pillar": "", "weight": 0.0, "contribution": parts["imbalance"]}
            result = pd.concat([result, pd.DataFrame(last, index=["imbalance"])])
        return result.rename_axis("factor")

    def raise_to(
        self,
        features: pd.DataFrame,
        partner_id: str,
        tier: str,
        *,
        hysteresis: float = 0.0,
        costs: Mapping[str, float] | None = None,
        max_changes: int = 4,
    ) -> Advice:
        """Find the cheapest feasible change in a few features that lifts a partner to a tier.

        What is feasible, what it costs and what the advice holds is told with `advice.find_advice`. What is
        proposed was applied and scored.

        Args:
            features: One row a partner.
            partner_id: The partner.
            tier: The tier aimed at.
            hysteresis: Points above the threshold that a promotion takes, as for `assign_tiers`, at least 0; nobody
                is promoted to the last tier, so that it takes none.
            costs: Cost a unit of a feature's change, by feature; None: every point of a feature costs the same.
            max_changes: Most features to change.

        Raises:
            KeyError: The partner is not in `features`.
            ValueError: The tier does not exist, `hysteresis` or a cost is no number of at least 0, `max_changes` is no
                whole number of at least 1, or as `score`.
        """
        check_is_fitted(self, "factors_")
        names = self.tier_thresholds_.index.tolist()
        if tier not in names:
            raise ValueError(f"tier == {tier!r}; possible values are: {', '.join(map(str, names))}")
        above = read_number("hysteresis", hysteresis, 0)
        if isinstance(max_changes, bool) or not (isinstance(max_changes, Integral) and max_changes >= 1):
            raise ValueError(f"max_changes == {max_changes!r}, must be a whole number >= 1")
        if costs is not None:
            costs = {key: read_number(f"costs[{key!r}]", cost, 0) for key, cost in read_by_name("costs", costs).items()}
        row = self._take_partner(features, partner_id)
        numbers = read_numbers(row, self.feature_names_in_)
        weights, shares = np.atleast_2d(self._take_weights(row))[0], self._weigh_features(row)
        evidence = self._take_evidence(shares)
        kind = row[self.group_by].iloc[0] if self.group_by in row.columns else None

        def score(values: Mapping[str, np.ndarray]) -> np.ndarray:
            return self._rate(score_numbers(values, self.scales_, shares), weights, evidence)[0]

        return find_advice(
            {name: float(values[0]) for name, values in numbers.items()},
            self.scales_,
            score,
            partner_id=partner_id,
            tier=tier,
            needed=float(self.tier_thresholds_[tier]) + (0.0 if tier == names[-1] else above),
            weights=dict(zip(self.factors_.index.tolist(), weights.tolist(), strict=True)),
            evidence=None if evidence is None else dict(zip(self.factors_.index, evidence[0].tolist(), strict=True)),
            min_coverage=float(self.min_coverage),
            reach=self.reach_,
            group="" if kind is None or pd.isna(kind) else str(kind),
            costs=costs,
            max_changes=max_changes,
        )

    def save(self, path: str | Path) -> None:
        """Write the fitted rating as JSON; scores after `load` are the same to the last bit.

        Args:
            path: The file.

        Raises:
            ValueError: `random_state` is neither a number nor None.
        """
        check_is_fitted(self, "factors_")
        if not (self.random_state is None or isinstance(self.random_state, Integral)):
            raise ValueError(f"random_state == {self.random_state!r}, must be a whole number or None to be saved")
        parameters = self.get_params(deep=False)
        for name in ("factors", "group_weights", "judgments"):
            parameters[name] = read_rows(f"rating.{name}", parameters[name], "to be saved")
        parameters["bounds_quantiles"] = list(self.bounds_quantiles)
        for name in ("evidence", "tiers", "blend"):
            if parameters[name] is not None:
                parameters[name] = dict(parameters[name].items())
        state = {
            "format": FORMAT,
            "parameters": parameters,
            "scales_": _pack_scales(self.scales_),
            "alternatives_": {
                name: {"scales": _pack_scales(scales), "distribution": _pack(distribution)}
                for name, (scales, distribution) in self.alternatives_.items()
            },
            "tier_thresholds_": _pack(self.tier_thresholds_.to_frame()),
            "weights_": _pack_weights(self.weights_),
            **{name: _pack(getattr(self, name)) for name in _FRAMES},
        }
        text = json.dumps(state, ensure_ascii=False, indent=1, allow_nan=False, default=_to_plain)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a rating written by `save`.

        Args:
            path: The file.

        Raises:
            ValueError: The file is not a saved rating of this format.
        """
        try:
            state = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{Path(path).name} is no JSON, so no saved rating; fit and save it again") from error
        found = state.get("format") if isinstance(state, dict) else None
        if found != FORMAT:
            raise ValueError(
                f"{Path(path).name}: format == {found!r}, must be {FORMAT!r}; fit and save the rating again"
            )
        absent = [part for part in _PARTS if part not in state]
        if absent:
            raise ValueError(f"{Path(path).name} lacks {', '.join(absent)}; fit and save the rating again")
        try:
            return cls._restore(state)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{Path(path).name} holds what `save` did not write ({type(error).__name__}: {error}); "
                "fit and save the rating again"
            ) from error

    @classmethod
    def _restore(cls, state: dict[str, Any]) -> Self:
        parameters = state["parameters"]
        for name in ("bounds_quantiles", "factors", "group_weights", "judgments"):
            parameters[name] = tuple(parameters[name])
        rating = cls(**parameters)
        for name in _FRAMES:
            setattr(rating, name, _unpack(state[name]))
        rating.group_weights_ = rating.group_weights_.rename_axis(columns="factor")
        rating.scales_ = _unpack_scales(state["scales_"])
        rating.alternatives_ = {
            name: (_unpack_scales(packed["scales"]), _unpack(packed["distribution"]))
            for name, packed in state["alternatives_"].items()
        }
        rating.tier_thresholds_ = _unpack(state["tier_thresholds_"])["threshold"]
        rating.weights_ = _unpack_weights(state["weights_"])
        rating._name_features()
        return rating

    def _check_parameters(self) -> tuple[float, float]:
        """Return the quantiles that bound a feature; other parameters are read by those who use them."""
        for name, registry in (("weighting", WEIGHTINGS), ("aggregation", AGGREGATIONS)):
            if getattr(self, name) not in list(registry):
                raise ValueError(
                    f"rating.{name} == {getattr(self, name)!r}; possible values are: {', '.join(registry)}"
                )
        share = self.min_coverage
        if isinstance(share, bool) or not (isinstance(share, Real | Decimal) and 0 <= float(share) <= 1):
            raise ValueError(f"rating.min_coverage == {share!r}, must be between 0 and 1")
        if not isinstance(self.group_by, Hashable):
            raise ValueError(f"rating.group_by == {self.group_by!r}, must be the name of one column")
        for tier, part in ({} if self.tiers is None else read_by_name("rating.tiers", self.tiers)).items():
            read_number(f"rating.tiers.{tier}", part, 0)
        _check_seed(self.random_state)
        quantiles = self.bounds_quantiles
        pair = list(quantiles) if isinstance(quantiles, Iterable) and not isinstance(quantiles, str) else []
        if not (len(pair) == 2 and all(isinstance(one, Real) for one in pair) and 0 <= pair[0] < pair[1] <= 1):
            raise ValueError(
                f"rating.bounds_quantiles == {quantiles!r}, must be [lower, upper], 0 <= lower < upper <= 1"
            )
        return float(pair[0]), float(pair[1])

    def _find_weights(
        self, points: pd.DataFrame, table: pd.DataFrame, y: pd.Series | Changes | None, judgments: list[dict[str, Any]]
    ) -> pd.Series:
        """Weights by the method and the evidence; from data, a factor that does not vary keeps its stated weight."""
        prior = equal(table.index).weights if self.weighting == "equal" else table["stated_weight"]
        prior = direct(prior * table["evidence"]).weights
        weighed = table.index if self.weighting in _JUDGED else table.index[points.max() > points.min()]
        if not len(weighed):
            self.weights_ = direct(prior)
            return prior
        self.weights_ = WEIGHTINGS[self.weighting](
            points[weighed],
            stated=table.loc[weighed, "stated_weight"],
            judgments=judgments or None,
            factors=table.index.tolist(),
            outcome=y if y is None or isinstance(y, Changes) else _align(y, points.index),
            blend=None if self.blend is None else read_by_name("rating.blend", self.blend) or None,
        )
        found = direct(self.weights_.weights * table.loc[weighed, "evidence"]).weights
        weights = prior.copy()
        weights[weighed] = found * prior[weighed].sum()
        return direct(weights).weights

    def _find_group_weights(self, stated: pd.Series) -> pd.DataFrame:
        """Weights of each group: the common ones, tilted by the ratio of the stated weights."""
        given = _read_group_weights(self.group_weights, stated.index)
        found, evidence = self.factors_["weight"], self.factors_["evidence"]
        rows = {}
        for group, weights in given.items():
            theirs = stated.copy()
            theirs.update(pd.Series(weights))
            # Where the common stated weight is 0 there is no ratio: the weight is what `direct` makes of it.
            tilted = (found * theirs / stated).where(stated > 0, theirs * evidence / (stated * evidence).sum())
            if not tilted.sum() > 0:
                raise ValueError(f"rating.group_weights: group {group!r} has no weight above 0; state one")
            rows[group] = direct(tilted).weights
        table = pd.DataFrame(
            [row.tolist() for row in rows.values()], index=list(rows), columns=stated.index, dtype=float
        )
        return table.rename_axis(index="group", columns="factor")

    def _warn_of_absent_groups(self, features: pd.DataFrame) -> None:
        if not len(self.group_weights_):
            return
        present = set(self._read_groups(features))
        for group in self.group_weights_.index:
            if group not in present:
                warnings.warn(
                    f"rating.group_weights names the group {group!r}, which no partner has as {self.group_by}",
                    stacklevel=3,
                )

    def _read_groups(self, features: pd.DataFrame) -> list[str]:
        if self.group_by not in features.columns:
            raise ValueError(
                f"rating.group_by == {self.group_by!r}, which is no column of features; rating.group_weights need it"
            )
        groups = features[self.group_by]
        return groups.astype(object).where(groups.notna(), "").astype(str).tolist()

    def _take_weights(self, features: pd.DataFrame) -> np.ndarray:
        """Weights of the factors, or partners x factors where groups have their own."""
        common = self.factors_["weight"].to_numpy(dtype=float)
        if not len(self.group_weights_):
            return common
        table = np.vstack([common, self.group_weights_.to_numpy()])
        places = {group: place for place, group in enumerate(self.group_weights_.index, start=1)}
        return table[[places.get(group, 0) for group in self._read_groups(features)]]

    def _score_factors(self, features: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray | None]:
        """Points of each factor, and the share of its weight that counts."""
        check_is_fitted(self, "factors_")
        shares = self._weigh_features(features)
        return score_factors(features, self.scales_, shares), self._take_evidence(shares)

    def _weigh_features(self, features: pd.DataFrame) -> np.ndarray | None:
        return weigh_evidence(features, self.scales_, self.factors_["evidence"].to_dict())

    def _take_evidence(self, shares: np.ndarray | None) -> np.ndarray | None:
        """Share of each factor's weight that counts, partners x factors; None: all of it."""
        return None if shares is None else find_best_evidence(shares, self.scales_)

    def _rate(
        self, points: np.ndarray, weights: np.ndarray, evidence: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Score and coverage of each row."""
        _, whole = _sum_weights(points, weights)
        counted = weights if evidence is None else weights * evidence
        known, _ = _sum_weights(points, counted)
        coverage = known / whole
        score = AGGREGATIONS[self.aggregation](points, counted)
        return np.where((known > 0) & (coverage >= float(self.min_coverage) - 1e-12), score, np.nan), coverage

    def _share_weights(self, points: pd.DataFrame, weights: np.ndarray, evidence: np.ndarray | None) -> pd.DataFrame:
        """Weight of each known factor in a partner's score; missing where the factor is unknown."""
        values, weights = points.to_numpy(), weights if evidence is None else weights * evidence
        known, _ = _sum_weights(values, weights)
        known[known == 0] = np.nan
        shares = [
            np.where(np.isnan(values[:, place]), np.nan, weights[..., place]) / known
            for place in range(values.shape[1])
        ]
        return pd.DataFrame(dict(zip(points.columns, shares, strict=True)), index=points.index, columns=points.columns)

    def _read_errors(
        self, features: pd.DataFrame, errors: Errors | pd.DataFrame | None
    ) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        """Features as expected behind the observed ones, and their standard errors."""
        told = errors.standard_error if isinstance(errors, Errors) else errors
        if told is None or (isinstance(told, pd.DataFrame) and not told.shape[1]):
            return features, None
        if not isinstance(errors, Errors):
            return features, errors
        names = [name for name in self.feature_names_in_ if name in errors.expected.columns]
        behind = errors.expected[names].reindex(features.index)
        expected = features.assign(**{name: behind[name].fillna(features[name]) for name in names})
        return expected.where(features.notna()), errors.standard_error

    def _name_features(self) -> None:
        names = list(dict.fromkeys(scale.feature for scale in self.scales_))
        self.feature_names_in_ = np.array(names, dtype=object)
        self.n_features_in_ = len(names)

    def _take_partner(self, features: pd.DataFrame, partner_id: str) -> pd.DataFrame:
        _check_one_date(features)
        if not isinstance(partner_id, Hashable):
            raise ValueError(f"partner_id == {partner_id!r}, must be one partner; ask for each in turn")
        if partner_id not in features.index:
            raise KeyError(f"partner {partner_id!r} is not among the {len(features)} partners in features")
        return features.loc[[partner_id]]


def _check_seed(seed: Any) -> None:
    try:
        check_random_state(seed)
    except (TypeError, ValueError) as error:
        rule = "must be a whole number from 0 to 2**32 - 1, None or a RandomState"
        raise ValueError(f"rating.random_state == {seed!r}, {rule}") from error


def _keep(rows: Any) -> Any:
    """What can be read only once as a list, so that it is there for the next `fit` and for `save`."""
    return list(rows) if isinstance(rows, Iterator) else rows


def _align(y: Any, index: pd.Index) -> pd.Series:
    """Outcomes in the order of the partners; what names no partners is in that order already."""
    y = pd.Series(y) if isinstance(y, Mapping) else y
    if not isinstance(y, pd.Series):
        if np.ndim(y) != 1:
            raise ValueError(f"y is a {type(y).__name__}, must be a Series by partner, or one outcome for each partner")
        if len(y) != len(index):
            raise ValueError(
                f"y holds {len(y)} outcomes, must be one for each of {len(index)} partners, or a Series by partner"
            )
        y = pd.Series(y, index=index)
    if not y.index.is_unique:
        label = y.index[y.index.duplicated()][0]
        raise ValueError(f"y: partner {label!r} has more than one outcome; must be one a partner")
    y = y.reindex(index)
    return pd.Series(read_column("y", y), index=index)


def _read_group_weights(rows: Iterable[Any], factors: pd.Index) -> dict[str, dict[str, float]]:
    given: dict[str, dict[str, float]] = {}
    for place, row in enumerate(read_rows("rating.group_weights", rows, "{group, factor, weight}")):
        key = f"rating.group_weights[{place}]"
        if set(row) != {"group", "factor", "weight"}:
            raise ValueError(f"{key} has the keys {', '.join(map(str, row))}; must be group, factor, weight")
        group, factor, weight = str(row["group"]), str(row["factor"]), read_number(f"{key}.weight", row["weight"], 0)
        check_name(f"{key}.factor", factor, factors)
        if factor in given.setdefault(group, {}):
            raise ValueError(f"{key}: group {group!r} has two weights for {factor}; give one")
        given[group][factor] = weight
    return given


def _sum_weights(points: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weight known and weight in all of each row.

    Sums run over factors in a fixed order, one column at a time: a row's result must not depend on how many other
    rows there are, as it would in a matrix product.
    """
    known, whole = np.zeros(len(points)), np.zeros(len(points))
    for place in range(points.shape[1]):
        weight = weights[..., place]
        known += np.where(np.isnan(points[:, place]), 0.0, weight)
        whole += weight
    return known, whole


def _freeze_distribution(points: pd.DataFrame) -> pd.DataFrame:
    """Equally likely points of each factor, missing where nobody is known."""
    frozen = pd.DataFrame(np.nan, index=range(GRID), columns=list(points.columns))
    places = (np.arange(GRID) + 0.5) / GRID
    for name in frozen.columns:
        known = points[name].dropna()
        if len(known):
            frozen[name] = np.quantile(known, places, method="inverted_cdf")
    return frozen


def _check_one_date(features: pd.DataFrame) -> None:
    check_table(features)
    if features.index.nlevels > 1:
        raise ValueError(
            f"features has the index {list(features.index.names)}, must be partner_id alone: take one date"
        )


def _warn_of_unknown(features: pd.DataFrame, points: pd.DataFrame, scales: Iterable[Scale]) -> None:
    """Name the features and factors that no partner has points of, and why."""
    constant = dict.fromkeys(scale.feature for scale in scales if scale.source == "constant")
    unknown = [name for name in dict.fromkeys(scale.feature for scale in scales) if features[name].isna().all()]
    factors = points.columns[points.isna().all()]
    for name in constant:
        warnings.warn(f"feature {name} is the same for all partners and has no stated bounds: left out", stacklevel=3)
    told = f"nobody is known on {_join('feature', unknown)}: left out" if unknown else ""
    if len(factors):
        told += "; " if told else ""
        told += f"{_join('factor', factors)} can score nobody, so that coverage lacks the weight"
    if told:
        warnings.warn(told, stacklevel=3)


def _join(noun: str, names: Iterable[str]) -> str:
    names = list(names)
    return f"{noun}{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and np.isnan(value) else value


def _to_plain(value: Any) -> Any:
    """What JSON does not know: numbers and arrays of numpy, fractions and decimals; times become text."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return float(value) if isinstance(value, Real | Decimal) else str(value)


def _sort_partners(index: pd.Index) -> pd.Index:
    """Sort ids, so that draws do not depend on the order of rows."""
    try:
        return index.sort_values()
    except TypeError:
        kinds = {type(name): repr(name) for name in index}
        raise ValueError(
            f"features: partner_id holds {' and '.join(kinds.values())}, must be all text or all numbers; "
            'read the file with dtype={"partner_id": str}'
        ) from None


def _pack(frame: pd.DataFrame) -> dict[str, Any]:
    columns = {str(name): [_plain(value) for value in column.tolist()] for name, column in frame.items()}
    return {"index": frame.index.tolist(), "names": list(frame.index.names), "columns": columns}


def _unpack(packed: dict[str, Any]) -> pd.DataFrame:
    labels, names = packed["index"], packed["names"]
    index = pd.Index(labels, name=names[0])
    if len(names) > 1:
        index = pd.MultiIndex.from_arrays(
            [[label[level] for label in labels] for level in range(len(names))], names=names
        )
    frame = pd.DataFrame(packed["columns"], index=index)
    # A column without any known number comes back as objects.
    return frame.astype(dict.fromkeys(frame.columns[frame.isna().all()], float))


def _pack_scales(scales: Iterable[Scale]) -> list[dict[str, Any]]:
    return [{name: _plain(value) for name, value in asdict(scale).items()} for scale in scales]


def _unpack_scales(rows: Iterable[dict[str, Any]]) -> tuple[Scale, ...]:
    return tuple(
        Scale(
            **row
            | {name: np.nan if row[name] is None else row[name] for name in ("worst", "best", "unit", "high")}
            | {name: tuple(row[name]) for name in ("values", "shares")}
        )
        for row in rows
    )


def _pack_weights(weights: Weights) -> dict[str, Any]:
    fields = {name: _plain(value) for name, value in vars(weights).items()}
    return fields | {"weights": _pack(weights.weights.to_frame("weight")), "details": _pack(weights.details)}


def _unpack_weights(packed: dict[str, Any]) -> Weights:
    fields: dict[str, Any] = {name: np.nan if value is None else value for name, value in packed.items()}
    fields["weights"], fields["details"] = _unpack(packed["weights"])["weight"], _unpack(packed["details"])
    return Weights(**fields)
