"""Result tables about the rating: scores, tiers and their changes, advice, and the proof of it all."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from partnerseg.models import Models, list_history
from partnerseg.rating.advice import find_reach
from partnerseg.rating.economics import tier_economics, what_if_thresholds
from partnerseg.rating.errors import estimate_errors
from partnerseg.rating.fairness import assess_fairness, fairness_groups
from partnerseg.rating.rating import PartnerRating
from partnerseg.rating.tiers import follow_tiers, list_tier_changes
from partnerseg.rating.validation import (
    calibrate_tiers,
    compare_ratings,
    measure_noise,
    measure_reversal,
    measure_stability,
    next_outcomes,
    validate_rating,
)
from partnerseg.report.findings import state_changes

if TYPE_CHECKING:
    from partnerseg.params import Params

ADVISED = 10  # partners of each region that get advice
NEAR = 10.0  # points below the next tier, from which a partner is close
QUARTERS = 5  # dates that the rating is proved at, the last one a year before the report
COMPARED = ("direct", "equal", "entropy", "critic", "pca", "learned")  # ways of weighting that need nothing more
SHIFTS = (-5.0, -2.0, 0.0, 2.0, 5.0)  # points by which thresholds are moved in the what-if
OUTCOMES = {"revenue": "next_revenue", "growth": "next_growth", "retained": "retained"}


def make_rating(params: "Params", **changes: Any) -> PartnerRating:
    """Return an unfitted rating as the parameters have it, with `changes`."""
    settings = params.rating
    given = {
        name: getattr(settings, name)
        for name in ("weighting", "aggregation", "outliers", "group_by", "min_coverage", "evidence", "tiers")
    }
    given |= {"bounds_quantiles": tuple(settings.bounds_quantiles), "random_state": settings.random_state}
    given |= {name: list(getattr(settings, name)) or None for name in ("group_weights", "judgments")}
    given["blend"] = dict(settings.blend.items()) or None
    return PartnerRating(settings.factors, **{**given, **changes})


def fit_rating(params: "Params", features: pd.DataFrame, before: pd.DataFrame | None, **changes: Any) -> PartnerRating:
    """Fit a rating to the features of a date, with those of a year before.

    Weights that are learned need what came of the year between: they are learned from the features of the year before,
    whose bounds are kept, and the revenue since.

    Raises:
        ValueError: Weights are to be learned and nobody is known a year before.
    """
    rating = make_rating(params, **changes)
    known = before is not None and len(before) > 0
    if rating.weighting != "learned" and "learned" not in (rating.blend or {}):
        return rating.fit(features, before=before if known else None)
    if before is None or not len(before):
        raise ValueError(
            "rating.weighting == 'learned': nobody is known a year before, whose revenue since then could be learned "
            "from; set a later programme.as_of or another weighting"
        )
    rating.fit(before, y=features["monetary_value_365d"].reindex(before.index))
    rating.reach_ = find_reach(features, rating.scales_, before=before, group_by=rating.group_by)
    return rating


def follow_partners_tiers(models: Models) -> pd.DataFrame:
    """The frozen rating month by month: index (as_of, partner_id), see `follow_tiers`."""
    settings, history = models.params.rating, models.history
    joined = models.programme.frame("partners").set_index("partner_id")["joined_at"]
    return follow_tiers(
        models.rating.score(history)["score"],
        thresholds=models.rating.tier_thresholds_,
        hysteresis=settings.hysteresis,
        grace_days=settings.grace_days,
        min_tenure_days=settings.min_tenure_days,
        joined_at=joined,
    )


def rate_partners(models: Models, features: pd.DataFrame, followed: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row a partner: score, rank and its interval, tier, and the tier of a year ago; and the contributions."""
    rating, settings, as_of = models.rating, models.params.rating, models.params.programme.as_of
    errors = estimate_errors(features, models.programme.frame("assessments"), as_of=as_of)
    ranks = rating.rank_interval(features, errors=errors, draws=settings.interval_draws, level=settings.interval_level)
    dates = followed.index.get_level_values("as_of")
    earliest = (pd.Timestamp(as_of) - pd.DateOffset(years=1)).strftime("%Y-%m-%d")
    now, before = (followed[dates == date].droplevel("as_of")["tier"] for date in (as_of, earliest))
    rated = pd.concat(
        [
            rating.score(features),
            ranks[["lower", "upper"]].add_prefix("rank_"),
            now.reindex(features.index).rename("tier"),
            before.reindex(features.index).rename("tier_before"),
            features[["monetary_value_365d", "recency_days"]],
        ],
        axis=1,
    )
    return rated, rating.contributions(features)


def list_changes(followed: pd.DataFrame, models: Models, partners: pd.DataFrame) -> pd.DataFrame:
    """One row a change of tier within the last year: name, as_of, before, after, kind, reason and region by partner."""
    sold = models.programme.frame("sales")["sold_at"].min()
    since = pd.Timestamp(models.params.programme.as_of) - pd.DateOffset(years=1)
    if pd.notna(sold):  # while a year of sales fills up, everybody rises
        since = max(since, sold.normalize() + pd.Timedelta(days=364))
    changes = list_tier_changes(followed, models.rating.tier_thresholds_)
    changes = changes[(changes["as_of"] > since.strftime("%Y-%m-%d")) & changes["change"].isin(["promoted", "demoted"])]
    names = {"tier_before": "before", "tier_after": "after", "change": "kind"}
    told = changes.drop(columns="reason").rename(columns={**names, "sentence": "reason"}).reset_index(drop=True)
    told = told.assign(name=told["partner_id"].map(partners["name"]), region=told["partner_id"].map(partners["region"]))
    columns = ["partner_id", "name", "as_of", "before", "after", "kind", "reason", "region"]
    return told[columns].set_index("partner_id")


def advise_partners(models: Models, features: pd.DataFrame, partners: pd.DataFrame) -> pd.DataFrame:
    """One row a partner close below the next tier, the closest first: what would lift it, tried out."""
    rating, settings = models.rating, models.params.rating
    thresholds = rating.tier_thresholds_ + settings.hysteresis
    rows = []
    young = features.index[features["tenure_days"] < settings.min_tenure_days]
    for _, own in partners.drop(index=young, errors="ignore").dropna(subset=["tier"]).groupby("region"):
        gaps = pd.concat(
            {tier: thresholds[tier] - own.loc[own["tier"] < tier, "score"] for tier in thresholds.index[:-1]},
            names=["tier"],
        )
        nearest = (
            gaps[(gaps > 0) & (gaps <= NEAR)]
            .sort_values(kind="stable")
            .reset_index()
            .drop_duplicates("partner_id")
            .head(ADVISED)
        )
        for partner_id, tier, gap in nearest[["partner_id", "tier", "score"]].itertuples(index=False):
            advice = rating.raise_to(features, partner_id, tier, hysteresis=settings.hysteresis)
            changes = advice.changes[["feature", "now", "then"]].itertuples(index=False)
            rows.append(
                {
                    "partner_id": partner_id,
                    "name": partners.loc[partner_id, "name"],
                    "tier": str(partners.loc[partner_id, "tier"]),
                    "next_tier": tier,
                    "score": advice.score,
                    "points_missing": gap,
                    "reachable": advice.reachable,
                    "advice": state_changes(changes) or advice.reason,
                    "region": partners.loc[partner_id, "region"],
                }
            )
    columns = ["partner_id", "name", "tier", "next_tier", "score", "points_missing", "reachable", "advice", "region"]
    return pd.DataFrame(rows, columns=columns).set_index("partner_id").sort_values("points_missing", kind="stable")


def list_factors(models: Models, features: pd.DataFrame) -> pd.DataFrame:
    """One row a factor: as in `factors_`, with the weight that it has in effect and whether that differs twofold."""
    effect = models.rating.sensitivity(features)[["effective", "flagged"]]
    return models.rating.factors_.join(effect).reset_index()


def mean_factors(contributions: pd.DataFrame, factors: pd.DataFrame) -> pd.DataFrame:
    """One row a factor: its mean contribution in points, and for what share of these partners it is known."""
    return pd.DataFrame(
        {
            "factor": factors.index,
            "pillar": factors["pillar"].to_numpy(),
            "weight": factors["weight"].to_numpy(),
            "contribution": contributions.dropna(how="all").fillna(0).mean().reindex(factors.index).to_numpy(),
            "coverage": contributions.notna().mean().reindex(factors.index).to_numpy(),
        }
    )


def count_economics(partners: pd.DataFrame, models: Models) -> pd.DataFrame:
    """One row a tier, the best first: tier, partners, revenue, margin, privileges, net, money a year."""
    settings = models.params.rating
    economics = tier_economics(
        partners["tier"], partners["monetary_value_365d"], privileges=settings.privileges, margin=settings.margin
    )
    tiers = [tier for tier in settings.tiers if tier in economics.index]
    return economics.loc[tiers].rename(columns={"cost": "privileges"}).reset_index()


def try_thresholds(partners: pd.DataFrame, models: Models) -> pd.DataFrame:
    """One row a shift of all thresholds: shift (points), promoted, demoted, privileges and net (money a year)."""
    settings, thresholds = models.params.rating, models.rating.tier_thresholds_
    rows = []
    for shift in SHIFTS if partners["score"].notna().any() else ():
        tried = what_if_thresholds(
            partners["score"],
            thresholds=thresholds,
            revenue=partners["monetary_value_365d"],
            changes=dict.fromkeys(thresholds.index[:-1], shift),
            privileges=settings.privileges,
            margin=settings.margin,
        )
        change, whole = tried.moves["change"].value_counts(), tried.table.loc["all"]
        rows.append(
            {
                "shift": shift,
                "promoted": int(change.get("promoted", 0)),
                "demoted": int(change.get("demoted", 0)),
                "privileges": whole["cost_after"],
                "net": whole["net_after"],
            }
        )
    return pd.DataFrame(rows, columns=["shift", "promoted", "demoted", "privileges", "net"])


def prove_rating(models: Models) -> dict[str, pd.DataFrame]:
    """The proof, on partners and dates of which the following year is known, with ratings as they would have been.

    At each date the rating is fitted to what was known then. Without a year of sales after any date all tables are
    empty.
    """
    params, history = models.params, models.history
    dates = list_proof_dates(models)
    empty = {name: pd.DataFrame(columns=columns) for name, columns in _COLUMNS.items()}
    if not dates:
        return empty
    outcomes = next_outcomes(models.programme, dates, until=params.programme.as_of).rename(columns=OUTCOMES)
    scores, tiers = {}, {}
    for date in dates:
        features, before = take_date(history, date), _take_year_before(history, date)
        if before is None and "learned" in (params.rating.weighting, *params.rating.blend):
            continue
        rating = fit_rating(params, features, before)
        scores[date] = rating.score(features)["score"]
        tiers[date] = follow_tiers(
            pd.concat({date: scores[date]}, names=["as_of"]), thresholds=rating.tier_thresholds_
        )["tier"].droplevel(0)
    if not scores:
        return empty
    score = pd.concat(scores, names=["as_of"])
    tier = pd.concat({date: own.astype(object) for date, own in tiers.items()}, names=["as_of"])
    known = history.reindex(score.index)
    baselines = pd.DataFrame(
        {"monetary_value_365d": known["monetary_value_365d"], "recent_sale": -known["recency_days"]}
    )
    proof = validate_rating(score, outcomes, baselines=baselines).rename(columns={"spearman": "value"})
    proof = proof.assign(first=min(scores), last=max(scores))
    names = list(params.rating.tiers)
    fairness = assess_fairness(score, fairness_groups(known), outcomes["next_revenue"])
    fairness = fairness.rename(columns={"attribute": "by"}).assign(assessed=fairness["flagged"].notna())
    fairness["flagged"] = fairness["flagged"].fillna(False).astype(bool)
    return {
        "proof": proof,
        "tier_proof": calibrate_tiers(tier, outcomes, names),
        "fairness": fairness,
        "rating_models": _compare_models(models, outcomes, dates[-1]),
    }


def measure_steadiness(models: Models, features: pd.DataFrame, followed: pd.DataFrame) -> pd.DataFrame:
    """One row a disturbance: what it is, rank correlation before and after, shift of ranks, change of a score.

    Disturbances: a month goes by (mean of the last twelve), every number is 1% off (mean of five draws), one of the
    best five partners is dropped (largest of all). The shift is the mean change of rank, as a share of all ranks.
    """

    def rate(frame: pd.DataFrame) -> pd.Series:
        return models.rating.score(frame)["score"]

    since = list_history(models.params)[-13]
    months = measure_stability(followed.loc[followed.index.get_level_values("as_of") >= since, "score"])
    noise = measure_noise(rate, features, draws=5, random_state=models.params.rating.random_state)
    dropped = measure_reversal(rate, features, list(rate(features).nlargest(5).index))
    told = {
        "month": {"spearman": months["spearman"].mean(), "share_shift": months["share_shift"].mean()},
        "noise": {"spearman": noise["spearman"].mean(), "share_shift": noise["share_shift"].mean()},
        "dropped": {"score_change": dropped["score_change"].max()},
    }
    columns = ["spearman", "share_shift", "score_change"]
    return (
        pd.DataFrame.from_dict(told, orient="index").reindex(columns=columns).rename_axis("disturbance").reset_index()
    )


def list_proof_dates(models: Models) -> list[str]:
    """The dates that the rating is proved at: quarters of which the year after is known, and partners before."""
    as_of = pd.Timestamp(models.params.programme.as_of)
    sold = models.programme.frame("sales")["sold_at"]
    if not len(sold):
        return []
    known = set(models.history.index.get_level_values("as_of"))
    first = sold.min() + pd.Timedelta(days=364)
    dates = [as_of - pd.DateOffset(months=12 + 3 * quarter) for quarter in range(QUARTERS - 1, -1, -1)]
    return [name for date in dates if date >= first and (name := date.strftime("%Y-%m-%d")) in known]


_COLUMNS = {
    "proof": [
        "outcome", "predictor", "n", "value", "lower", "upper", "kendall", "auc", "top_decile_lift", "winner"
    ],
    "tier_proof": ["outcome", "tier", "n", "mean", "lower", "upper", "monotone"],
    "fairness": ["by", "group", "n", "difference", "lower", "upper", "flagged", "assessed"],
    "rating_models": ["model", "used", "revenue", "lower", "upper", "auc", "agreement"],
}  # fmt: skip


def _compare_models(models: Models, outcomes: pd.DataFrame, date: str) -> pd.DataFrame:
    """One row a way of weighting: how well it orders the year after the date, and agrees with the one in use."""
    params, history = models.params, models.history
    features, before, used = take_date(history, date), _take_year_before(history, date), params.rating.weighting
    names = [name for name in dict.fromkeys((used, *COMPARED)) if before is not None or name != "learned"]
    ratings = {name: fit_rating(params, features, before, weighting=name).score(features)["score"] for name in names}
    told = take_date(outcomes, date)
    compared = compare_ratings(ratings, told[["next_revenue", "retained"]])
    revenue = compared[compared["outcome"] == "next_revenue"].set_index("model")
    stays = compared[compared["outcome"] == "retained"].set_index("model")
    agreement = {name: score.corr(ratings[used], method="spearman") for name, score in ratings.items()}
    return pd.DataFrame(
        {
            "model": list(ratings),
            "used": [name == used for name in ratings],
            "revenue": revenue["spearman"].reindex(list(ratings)).to_numpy(),
            "lower": revenue["lower"].reindex(list(ratings)).to_numpy(),
            "upper": revenue["upper"].reindex(list(ratings)).to_numpy(),
            "auc": stays["auc"].reindex(list(ratings)).to_numpy(),
            "agreement": list(agreement.values()),
        }
    )


def take_date(table: pd.DataFrame, date: str) -> pd.DataFrame:
    """Return the rows of a date, index partner_id."""
    return table[table.index.get_level_values("as_of") == date].droplevel("as_of")


def _take_year_before(history: pd.DataFrame, date: str) -> pd.DataFrame | None:
    day = (pd.Timestamp(date) - pd.DateOffset(years=1)).strftime("%Y-%m-%d")
    return take_date(history, day) if day in history.index.get_level_values("as_of") else None
