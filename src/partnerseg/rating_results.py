"""Result tables about the rating: scores, tiers and their changes, advice, and the proof of it all."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from partnerseg.features.catalogue import list_counts
from partnerseg.models import Models, list_history
from partnerseg.rating.advice import find_reach
from partnerseg.rating.economics import tier_economics, what_if_thresholds
from partnerseg.rating.errors import estimate_errors
from partnerseg.rating.fairness import assess_fairness, fairness_groups
from partnerseg.rating.panel import expect_changes
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
QUARTERS = 5  # dates that the rating is proved at, up to a year before the report, and that tiers are counted at
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


def fit_rating(
    params: "Params",
    features: pd.DataFrame,
    before: pd.DataFrame | None,
    *,
    periods: pd.DataFrame | None = None,
    **changes: Any,
) -> PartnerRating:
    """Fit a rating to the features of a date, with those of a year before.

    Weights that are learned need what came of the time between. With `periods`, features of many periods up to that
    date (see `panel.build_periods`), they are learned from how partners changed and what came next of it, and factors
    made of the sales themselves keep their stated share (see `panel.expect_changes`, `leave_out`); otherwise from the
    features of the year before, whose bounds are kept, and the revenue since.

    Raises:
        ValueError: Weights are to be learned, there are no `periods`, and nobody is known a year before; or of fewer
            than 12 periods sales are known.
    """
    rating = make_rating(params, **changes)
    known = before if before is not None and len(before) else None
    learns = rating.weighting == "learned" or "learned" in (rating.blend or {})
    if not learns:
        return rating.fit(features, before=known)
    if periods is not None:
        return rating.fit(features, expect_changes(periods, rating.factors), before=known)
    if known is None:
        raise ValueError(
            "rating.weighting == 'learned': nobody is known a year before, whose revenue since then could be learned "
            "from; set a later programme.as_of or another weighting"
        )
    rating.fit(known, y=features["monetary_value_365d"].reindex(known.index))
    rating.reach_ = find_reach(features, rating.scales_, before=known, group_by=rating.group_by)
    return rating


def follow_partners_tiers(models: Models) -> pd.DataFrame:
    """The frozen rating month by month: index (as_of, partner_id), see `follow_tiers`."""
    score = models.rating.score(models.history)["score"]
    return follow_tiers(score, thresholds=models.rating.tier_thresholds_, **_take_rule(models))


def _take_rule(models: Models) -> dict[str, Any]:
    """The rule for tiers as the parameters have it."""
    rule = {name: getattr(models.params.rating, name) for name in ("hysteresis", "grace_days", "min_tenure_days")}
    return rule | {"joined_at": models.programme.frame("partners").set_index("partner_id")["joined_at"]}


def rate_partners(models: Models, features: pd.DataFrame, followed: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row a partner: score, rank and its interval, tier, and the tier of a year ago; and the contributions."""
    rating, settings, as_of = models.rating, models.params.rating, models.params.programme.as_of
    assessments = models.programme.frame("assessments")
    errors = estimate_errors(features, assessments, as_of=as_of, counts=list_counts())
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
    """One row a factor: as in `factors_`, and how it tells in effect.

    Beside these `counted` (mean share of its weight that counts by the evidence there is, over partners known on it),
    `effective` (weight in effect) and `flagged` (True where that differs twofold).
    """
    effect = models.rating.sensitivity(features)[["effective", "flagged"]]
    counted = models.rating.weigh_evidence(features).mean().rename("counted")
    return models.rating.factors_.join([counted, effect]).reset_index()


def mean_factors(contributions: pd.DataFrame, factors: pd.DataFrame) -> pd.DataFrame:
    """One row a factor: its mean contribution in points, and for what share of the rated partners it is known."""
    rated = contributions.dropna(how="all")
    return pd.DataFrame(
        {
            "factor": factors.index,
            "pillar": factors["pillar"].to_numpy(),
            "weight": factors["weight"].to_numpy(),
            "contribution": rated.fillna(0).mean().reindex(factors.index).to_numpy(),
            "coverage": rated.notna().mean().reindex(factors.index).to_numpy(),
        }
    )


def count_economics(partners: pd.DataFrame, models: Models, followed: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a date and tier, the last date and the best tier first, for these partners.

    Args:
        partners: One row a partner.
        models: The frozen models.
        followed: From `follow_partners_tiers`; None: followed here.

    Returns:
        as_of, tier, partners, revenue, margin, privileges, net (money, of the year before the date), at the date of the
        report and each quarter of the year before it, as far as a year of sales is known.
    """
    settings, history = models.params.rating, models.history
    followed = _take_partners(follow_partners_tiers(models) if followed is None else followed, partners)
    dates = {models.params.programme.as_of, *_list_quarters(models, 0)}
    tiers = followed.loc[followed.index.get_level_values("as_of").isin(dates), "tier"]
    economics = tier_economics(
        tiers,
        history["monetary_value_365d"].reindex(tiers.index),
        privileges=settings.privileges,
        margin=settings.margin,
    )
    economics = economics.rename(columns={"cost": "privileges"}).reset_index()
    order = {tier: place for place, tier in enumerate(settings.tiers)}
    return (
        economics[economics["tier"].isin(order)]
        .sort_values("tier", key=lambda tier: tier.map(order))
        .sort_values("as_of", ascending=False, kind="stable", ignore_index=True)
    )


def try_thresholds(partners: pd.DataFrame, models: Models, followed: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a shift of all thresholds: shift (points), promoted, demoted, privileges and net (money a year).

    What tiers would be had thresholds been others all along: the same rule is followed, so that without a shift the
    sums are those of `count_economics`, of its last date.

    Args:
        partners: One row a partner: monetary_value_365d.
        models: The frozen models.
        followed: From `follow_partners_tiers`; None: followed here.
    """
    settings, thresholds = models.params.rating, models.rating.tier_thresholds_
    followed = _take_partners(follow_partners_tiers(models) if followed is None else followed, partners)
    rows = []
    for shift in SHIFTS if followed["score"].notna().any() else ():
        tried = what_if_thresholds(
            followed["score"],
            thresholds=thresholds,
            revenue=partners["monetary_value_365d"],
            changes=dict.fromkeys(thresholds.index[:-1], shift),
            privileges=settings.privileges,
            margin=settings.margin,
            **_take_rule(models),
        )
        change, whole = tried.moves["change"].value_counts(), tried.table.loc[list(thresholds.index)]
        rows.append(
            {
                "shift": shift,
                "promoted": int(change.get("promoted", 0)),
                "demoted": int(change.get("demoted", 0)),
                "privileges": whole["cost_after"].sum(),
                "net": whole["net_after"].sum(min_count=1),
            }
        )
    return pd.DataFrame(rows, columns=["shift", "promoted", "demoted", "privileges", "net"])


def _take_partners(followed: pd.DataFrame, partners: pd.DataFrame) -> pd.DataFrame:
    return followed[followed.index.get_level_values("partner_id").isin(partners.index)]


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
    return _list_quarters(models, 12)


def _list_quarters(models: Models, months: int) -> list[str]:
    """Quarters up to so many months before the report, the earliest first, that are preceded by a year of sales."""
    as_of = pd.Timestamp(models.params.programme.as_of)
    sold = models.programme.frame("sales")["sold_at"]
    if not len(sold):
        return []
    known = set(models.history.index.get_level_values("as_of"))
    first = sold.min() + pd.Timedelta(days=364)
    dates = [as_of - pd.DateOffset(months=months + 3 * quarter) for quarter in range(QUARTERS - 1, -1, -1)]
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
