"""Proof of a rating: does it order what happened next, better than plain figures, and does it stay put?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit, ndtri
from scipy.stats import rankdata
from sklearn.utils import check_random_state

from partnerseg.rating.samples import MIN_PARTNERS, measure_error

if TYPE_CHECKING:
    from partnerseg.programme.sources import Programme

TOP = 0.1


def next_outcomes(
    data: "Programme | Mapping[str, pd.DataFrame]", dates: Sequence[str | date], *, until: str | date, days: int = 365
) -> pd.DataFrame:
    """Tell what happened to every partner in the time after each date.

    Args:
        data: A programme, or a dict of DataFrames named as the tables.
        dates: Past days `YYYY-MM-DD`.
        until: Last day of which everything is known; a date whose time reaches beyond it is left out.
        days: Length of the time after a date: 90 or 365.

    Returns:
        One row a partner and date, for partners who had joined by the date; index (as_of, partner_id), dates as
        `YYYY-MM-DD`. `revenue` (sales less returns of the days after the date), `growth` (revenue against that of
        as many days before: 0.1 is a tenth more; missing where there was none, or sales do not reach back so
        far), `retained` (1 when the last sale known at the end lies in the second half of the time, 0 when it
        does not; missing for partners without a sale in as long a time before the date). All are missing
        where features are: unknown sales, consent withdrawn.

    Raises:
        ValueError: `days` is neither 90 nor 365, or the time after every date reaches beyond `until`.

    Examples:
        >>> tables = {
        ...     "partners": pd.DataFrame({"partner_id": ["a", "b"]}),
        ...     "sales": pd.DataFrame({
        ...         "sale_id": ["1", "2", "3"], "partner_id": ["a", "b", "a"], "amount": [100.0, 80.0, 50.0],
        ...         "sold_at": pd.to_datetime(["2026-03-30", "2026-03-30", "2026-06-20"]),
        ...         "currency": "EUR", "is_return": False})}
        >>> next_outcomes(tables, ["2026-03-31"], until="2026-06-30", days=90)[["revenue", "retained"]].values.tolist()
        [[50.0, 1.0], [0.0, 0.0]]
    """
    from partnerseg.features.build import build_features

    if days not in (90, 365):
        raise ValueError(f"days == {days}, must be 90 or 365")
    wanted = pd.DatetimeIndex([pd.Timestamp(day) for day in dates]).unique().sort_values()
    ends = wanted + pd.Timedelta(days=days)
    known = ends <= pd.Timestamp(until)
    if not known.any():
        raise ValueError(f"dates: {days} days after each of them end after until == {until}; choose earlier dates")
    wanted, ends = wanted[known], ends[known]
    features = build_features(data, [str(day.date()) for day in wanted.union(ends)])
    parts = {}
    for start, end in zip(wanted.strftime("%Y-%m-%d"), ends.strftime("%Y-%m-%d"), strict=True):
        before, after = features.loc[start], features.loc[end]
        after = after.reindex(before.index)
        retained = (after["recency_days"] < days / 2).astype(float)
        parts[start] = pd.DataFrame(
            {
                "revenue": after[f"monetary_value_{days}d"],
                "growth": after[f"revenue_growth_{days}d"],
                "retained": retained.where((before["recency_days"] < days / 2) & after["recency_days"].notna()),
            }
        )
    return pd.concat(parts, names=["as_of"])


def validate_rating(
    score: pd.Series,
    outcomes: pd.DataFrame,
    *,
    baselines: pd.DataFrame | None = None,
    draws: int = 1000,
    level: float = 0.95,
    random_state: Any = 0,
) -> pd.DataFrame:
    """Compare a rating at past dates with what happened afterwards, beside plain baselines.

    All are compared on the same partners: rated, with every baseline and the outcome known. It is up
    to the caller that scores and baselines use only what was known at each date. With several dates every
    figure is its mean over the dates, each weighing as many as are compared on it (dates with under 30 are left
    out), and the intervals take partners, not rows, as what is drawn.

    Args:
        score: Scores at the past date, by partner_id, or by (as_of, partner_id); missing means not rated.
        outcomes: The same index, one column an outcome of the time after that date; more is better.
        baselines: The same index, one column a figure known at that date; more is better (so the
            negative of `recency_days`).
        draws: Bootstrap draws behind the intervals of Spearman's correlation and of the advantage.
        level: Share of draws that the intervals hold, between 0 and 1.
        random_state: Seed of the draws.

    Returns:
        One row an outcome and predictor (`rating` first): `outcome, predictor, n` (partners compared), `dates`;
        `spearman, lower, upper` (rank correlation with the outcome, -1 to 1, and its interval); `kendall,
        kendall_lower, kendall_upper` (tau-b); `auc, auc_lower, auc_upper` (for outcomes that are 0 or 1: the
        chance that a partner with 1 stands above one with 0, 0 to 1; read on leaving, that one who leaves stands
        below one who stays); `top_decile_lift` (mean outcome of the best tenth over the mean of all;
        missing where that mean is not above 0); `advantage, advantage_lower, advantage_upper` (the rating's
        Spearman correlation minus this one's, on the same draws; missing for the rating itself); `winner`
        (`rating`, `baseline`, or `undecided` where the interval holds 0; missing for the rating itself);
        `finding`, a sentence. Figures are missing under 30 partners or when nothing varies.

    Raises:
        ValueError: `score` is empty or infinite, a baseline is called rating, an outcome and a baseline share a
            name, an index has duplicates, `draws` is under 1, or `level` is not between 0 and 1.

    References:
        Efron, B., Tibshirani, R. (1993), An Introduction to the Bootstrap, Chapman & Hall, chapter 13.
        Kendall, M. G. (1945), The treatment of ties in ranking problems, Biometrika 33(3), 239-251.
        DeLong, E. R., DeLong, D. M., Clarke-Pearson, D. L. (1988), Comparing the areas under two or more
        correlated receiver operating characteristic curves, Biometrics 44(3), 837-845.

    Examples:
        >>> score = pd.Series(range(40), dtype=float)
        >>> result = validate_rating(score, pd.DataFrame({"revenue": score**2}), draws=10)
        >>> result[["predictor", "n", "spearman", "kendall"]].values.tolist()
        [['rating', 40, 1.0, 1.0]]
    """
    _check({"score": score, "outcomes": outcomes}, draws, level)
    baselines = pd.DataFrame(index=score.index) if baselines is None else baselines
    if "rating" in baselines.columns or set(baselines.columns) & set(outcomes.columns):
        raise ValueError("baselines: a name is `rating` or the name of an outcome; rename the baseline")
    _check({"score": score, "baselines": baselines}, draws, level)
    predictors = pd.concat([score.rename("rating"), baselines], axis=1, join="inner").astype(float)
    rows = []
    for outcome in outcomes.columns:
        order = _Order.of(predictors, outcomes[outcome], draws, random_state)
        for place, predictor in enumerate(predictors.columns):
            row = {"outcome": str(outcome), "predictor": predictor, **order.describe(place, level)}
            row |= {"advantage": np.nan, "advantage_lower": np.nan, "advantage_upper": np.nan, "winner": None}
            if place:
                gap, lower, upper = order.difference(0, place, level)
                row |= {"advantage": gap, "advantage_lower": lower, "advantage_upper": upper}
                row["winner"] = _decide(lower, upper, "rating", "baseline")
            rows.append({**row, "finding": _tell(row)})
    return pd.DataFrame(rows)


def compare_ratings(
    ratings: Mapping[str, pd.Series],
    outcomes: pd.DataFrame,
    *,
    baselines: pd.DataFrame | None = None,
    draws: int = 1000,
    level: float = 0.95,
    random_state: Any = 0,
) -> pd.DataFrame:
    """Put rating models side by side: which orders what happened next best, and is that more than chance?

    All models and baselines are compared on the partners whom all of them know, on the same draws.

    Args:
        ratings: Scores of each model by its name, each by partner_id or (as_of, partner_id).
        outcomes: The same index, one column an outcome of the time after; more is better.
        baselines: The same index, one column a figure known at that date; more is better.
        draws: Bootstrap draws of partners.
        level: Level of the intervals.
        random_state: Seed of the draws.

    Returns:
        One row an outcome and model, the best first: `outcome, model, kind` (`rating` or `baseline`) and the
        figures of `validate_rating` from `n` to `top_decile_lift`; `behind, behind_lower, behind_upper` (Spearman
        correlation of the best minus this one's, on the same draws; for the best itself, that of the second
        minus its own); `verdict`: `winner` (ahead of each other one beyond its interval), `behind` (beyond its
        interval behind the best), `undecided` otherwise, missing where figures are. The best is chosen by the same
        data, so a close `winner` deserves a later date as a second look.

    Raises:
        ValueError: No rating is given, one is empty or infinite, two share a name, an index has duplicates, `draws`
            is under 1, or `level` is not between 0 and 1.

    Examples:
        >>> skill = pd.Series(range(100), dtype=float)
        >>> noise = pd.Series(np.random.default_rng(0).normal(size=100))
        >>> table = compare_ratings({"plain": noise, "clear": skill}, pd.DataFrame({"revenue": skill**2}), draws=50)
        >>> table[["model", "verdict"]].values.tolist()
        [['clear', 'winner'], ['plain', 'behind']]
    """
    if not ratings:
        raise ValueError("ratings == {}, must hold at least one rating")
    named = {f"ratings[{str(name)!r}]": score for name, score in ratings.items()}
    _check({**named, "outcomes": outcomes}, draws, level)
    baselines = pd.DataFrame(index=next(iter(ratings.values())).index) if baselines is None else baselines
    for name in set(ratings) & set(baselines.columns):
        raise ValueError(f"ratings, baselines: both hold {name!r}; rename the baseline")
    _check({**named, "baselines": baselines}, draws, level)
    columns = [score.rename(name) for name, score in ratings.items()]
    models = pd.concat([*columns, baselines], axis=1, join="inner").astype(float)
    rows: list[dict[str, Any]] = []
    for outcome in outcomes.columns:
        order = _Order.of(models, outcomes[outcome], draws, random_state)
        ranked = np.argsort(-np.nan_to_num(order.spearman, nan=-2.0), kind="stable")
        for place in ranked:
            name = models.columns[place]
            row: dict[str, Any] = {"outcome": str(outcome), "model": name}
            row["kind"] = "rating" if name in ratings else "baseline"
            row |= order.describe(place, level)
            others = [other for other in ranked if other != place]
            rivals = others if place == ranked[0] else [ranked[0]]
            gaps = [order.difference(rival, place, level) for rival in rivals]
            row |= dict(zip(("behind", "behind_lower", "behind_upper"), gaps[0] if gaps else [np.nan] * 3, strict=True))
            verdicts = {_decide(lower, upper, "behind", "winner") for _, lower, upper in gaps}
            row["verdict"] = verdicts.pop() if len(verdicts) == 1 else "undecided" if verdicts else None
            rows.append(row)
    return pd.DataFrame(rows)


def calibrate_tiers(
    tier: pd.Series, outcomes: pd.DataFrame, tiers: Sequence[str], *, level: float = 0.95
) -> pd.DataFrame:
    """Tell what happened next to the partners of each tier, and whether a better tier did better.

    Args:
        tier: Tier at the past date, by partner_id, or by (as_of, partner_id); missing means none.
        outcomes: The same index, one column an outcome of the time after that date; more is better.
        tiers: Names of the tiers, best first.
        level: Level of the intervals, between 0 and 1.

    Returns:
        One row an outcome and tier, best first: `outcome, tier, n` (partners), `mean, lower, upper` (mean outcome
        and its interval; several dates of a partner count as one draw); `step, step_lower, step_upper`
        (mean minus that of the next tier down); `order` (`above` or `below` the next tier down, beyond the
        interval; `undecided` where it holds 0); `monotone` (no mean is under that of a tier below it; the
        same on all rows of an outcome). Figures are missing for a tier of under 30 partners, which does not count
        in `monotone`; `step` is told against the next tier that has them.

    Raises:
        ValueError: A tier is not in `tiers`, an index has duplicates, or `level` is not between 0 and 1.

    Examples:
        >>> tier = pd.Series(["gold"] * 40 + ["silver"] * 40)
        >>> table = calibrate_tiers(tier, pd.DataFrame({"revenue": range(80, 0, -1)}), ["gold", "silver"])
        >>> table[["tier", "n", "mean", "monotone"]].values.tolist()
        [['gold', 40, 60.5, True], ['silver', 40, 20.5, True]]
    """
    _check({"tier": tier, "outcomes": outcomes}, 1, level)
    unknown = set(tier.dropna().unique()) - set(tiers)
    if unknown:
        raise ValueError(f"tier: {sorted(unknown)[0]!r} is not in tiers == {list(tiers)}")
    wide = float(ndtri((1 + level) / 2))
    rows: list[dict[str, Any]] = []
    for outcome in outcomes.columns:
        table = pd.concat([tier.rename("tier"), outcomes[outcome].rename("outcome")], axis=1, join="inner").dropna()
        partner = _partners(table.index)
        values, names = table["outcome"].to_numpy(dtype=float), table["tier"].to_numpy()
        means, influence, sizes = [], [], []
        for name in tiers:
            inside = names == name
            sizes.append(len(np.unique(partner[inside])))
            enough = sizes[-1] >= MIN_PARTNERS
            means.append(values[inside].mean() if enough else np.nan)
            share = inside.mean() if enough else np.nan
            influence.append(np.where(inside, values - means[-1], 0.0) / share)
        told = [place for place in range(len(tiers)) if sizes[place] >= MIN_PARTNERS]
        steps = dict(pairwise(told))
        monotone = all(means[one] >= means[other] for one, other in steps.items())
        for place, name in enumerate(tiers):
            error = measure_error(influence[place], partner) if place in told else np.nan
            row: dict[str, Any] = {"outcome": str(outcome), "tier": name, "n": sizes[place], "mean": means[place]}
            row |= {"lower": means[place] - wide * error, "upper": means[place] + wide * error}
            row |= {"step": np.nan, "step_lower": np.nan, "step_upper": np.nan, "order": None, "monotone": monotone}
            if place in steps:
                below = steps[place]
                step, error = means[place] - means[below], measure_error(influence[place] - influence[below], partner)
                row |= {"step": step, "step_lower": step - wide * error, "step_upper": step + wide * error}
                row["order"] = _decide(row["step_lower"], row["step_upper"], "above", "below")
            rows.append(row)
    return pd.DataFrame(rows)


def measure_stability(score: pd.Series) -> pd.DataFrame:
    """Tell how much the order of partners moves from one date to the next.

    Args:
        score: Scores by (as_of, partner_id); missing means not rated.

    Returns:
        One row a pair of consecutive dates: `before, after, n` (partners rated on both), `spearman` (1 is the same
        order), `rank_shift` (mean absolute change of rank among them), `share_shift` (the same as a
        share of n: 0.01 is one hundredth of the list). Missing under 30 partners.

    Raises:
        ValueError: The index is not (as_of, partner_id), or has duplicates.

    Examples:
        >>> index = pd.MultiIndex.from_product([["2026-05-31", "2026-06-30"], range(40)])
        >>> measure_stability(pd.Series([*range(40), 1, 0, *range(2, 40)], index=index))["rank_shift"].tolist()
        [0.05]
    """
    _check({"score": score}, 1, 0.5)
    if score.index.nlevels != 2:
        raise ValueError("score: its index must be (as_of, partner_id); rate the partners at several dates")
    dates = sorted(score.index.get_level_values(0).unique())
    rows = []
    for before, after in pairwise(dates):
        rows.append({"before": before, "after": after, **_compare_orders(score.loc[before], score.loc[after])})
    return pd.DataFrame(rows, columns=["before", "after", "n", "spearman", "rank_shift", "share_shift"])


def measure_noise(
    rate: Callable[[pd.DataFrame], pd.Series],
    features: pd.DataFrame,
    *,
    noise: float = 0.01,
    draws: int = 20,
    random_state: Any = 0,
) -> pd.DataFrame:
    """Tell how much the order of partners moves when every number is a little off.

    Args:
        rate: Gives scores for features, as `lambda X: rating.score(X)["score"]`.
        features: One row a partner; numbers are multiplied by 1 + `noise` times a normal draw, texts stay.
        noise: Size of the noise: 0.01 is 1%.
        draws: How often.
        random_state: Seed of the noise.

    Returns:
        One row a draw, with the columns of `measure_stability` from `n` on.

    Raises:
        ValueError: `noise` is negative, or `draws` is under 1.

    Examples:
        >>> features = pd.DataFrame({"revenue": np.arange(1.0, 101.0)})
        >>> measure_noise(lambda X: X["revenue"], features, noise=0.0, draws=1)["rank_shift"].tolist()
        [0.0]
    """
    if not noise >= 0:
        raise ValueError(f"noise == {noise}, must be >= 0")
    if not draws >= 1:
        raise ValueError(f"draws == {draws}, must be >= 1")
    random = check_random_state(random_state)
    numbers = features.select_dtypes("number").columns
    before = rate(features)
    rows = []
    for _ in range(draws):
        blurred = features.copy()
        blurred[numbers] = features[numbers] * (1 + noise * random.normal(size=(len(features), len(numbers))))
        rows.append(_compare_orders(before, rate(blurred)))
    return pd.DataFrame(rows)


def measure_reversal(
    rate: Callable[[pd.DataFrame], pd.Series], features: pd.DataFrame, partners: Sequence[Any]
) -> pd.DataFrame:
    """Tell whether dropping one partner changes the scores or the order of the others.

    Args:
        rate: Gives scores for features: of a frozen rating, `lambda X: rating.score(X)["score"]`; of one fitted
            anew each time, `lambda X: rating.fit(X).score(X)["score"]`.
        features: One row a partner.
        partners: Those to drop, one at a time.

    Returns:
        One row a partner dropped, index partner_id: `n` (others rated both times), `score_change` (largest
        absolute change of a score, points; 0 when frozen), `reversed_pairs` (pairs of others whose order
        turned around).

    Raises:
        KeyError: A partner is not in `features`.

    Examples:
        >>> features = pd.DataFrame({"revenue": [1.0, 5.0, 9.0]}, index=["a", "b", "c"])
        >>> refitted = measure_reversal(lambda X: X["revenue"] / X["revenue"].max(), features, ["c"])
        >>> refitted["score_change"].round(2).tolist()
        [0.44]
    """
    whole = rate(features)
    rows = []
    for partner in partners:
        rest = rate(features.drop(index=partner))
        both = pd.concat([whole.rename("before"), rest.rename("after")], axis=1, join="inner").astype(float).dropna()
        before, after = both["before"].to_numpy(), both["after"].to_numpy()
        change = float(np.abs(after - before).max()) if len(both) else np.nan
        turned = int(_count_below(before, -after).sum())
        rows.append({"n": len(both), "score_change": change, "reversed_pairs": turned})
    return pd.DataFrame(rows, index=pd.Index(list(partners), name="partner_id"))


@dataclass(frozen=True)
class _Order:
    """How well predictors order one outcome.

    Attributes:
        n: Partners compared.
        dates: Dates compared.
        spearman: A correlation a predictor, missing where it cannot be told.
        drawn: Draws x predictors.
        kendall: A pair of tau-b and standard error a predictor.
        auc: The same of the area under the curve; missing where the outcome is not 0 or 1.
        lift: A figure a predictor.
    """

    n: int
    dates: int
    spearman: np.ndarray
    drawn: np.ndarray
    kendall: list[tuple[float, float]]
    auc: list[tuple[float, float]]
    lift: list[float]

    @classmethod
    def of(cls, predictors: pd.DataFrame, outcome: pd.Series, draws: int, random_state: Any) -> "_Order":
        # The draws must not depend on the order of rows.
        table = pd.concat([predictors, outcome.astype(float).rename("\0")], axis=1, join="inner").dropna().sort_index()
        count = predictors.shape[1]
        dates = [table] if table.index.nlevels == 1 else [part for _, part in table.groupby(level=0)]
        if table.index.nlevels == 2:
            dates = [part for part in dates if len(part) >= MIN_PARTNERS]
        partner = [part.index.get_level_values(-1) for part in dates]
        n = len(partner[0].append(partner[1:]).unique()) if dates else 0
        if n < MIN_PARTNERS:
            nothing = [(np.nan, np.nan)] * count
            n = len(table.index.get_level_values(-1).unique())
            return cls(
                n, 0, np.full(count, np.nan), np.full((draws, count), np.nan), nothing, nothing, [np.nan] * count
            )
        place = np.split(pd.factorize(partner[0].append(partner[1:]))[0], np.cumsum([len(part) for part in dates])[:-1])
        values = [part.to_numpy() for part in dates]
        codes = [np.column_stack([rankdata(column, "dense") - 1 for column in block.T]) for block in values]
        whole = np.ones(n)
        random = check_random_state(random_state)
        drawn = np.full((draws, count), np.nan)
        for draw in range(draws):
            times = np.bincount(random.randint(0, n, size=n), minlength=n).astype(float)
            drawn[draw] = _mean_over_dates(
                [(_correlate_ranks(c, times[p]), times[p].sum()) for c, p in zip(codes, place, strict=True)]
            )
        found = _mean_over_dates([(_correlate_ranks(c, whole[p]), len(p)) for c, p in zip(codes, place, strict=True)])
        flag = np.isin(table["\0"].to_numpy(), (0.0, 1.0)).all()
        taus = [_pool([_kendall(v[:, k], v[:, -1]) for v in values], place) for k in range(count)]
        aucs = [
            _pool([_area(v[:, k], v[:, -1]) for v in values], place) if flag else (np.nan, np.nan) for k in range(count)
        ]
        lifts = [
            float(_mean_over_dates([(np.array([_lift(v[:, k], v[:, -1])]), len(v)) for v in values])[0])
            for k in range(count)
        ]
        return cls(n, len(dates), found, drawn, taus, aucs, lifts)

    def describe(self, place: int, level: float) -> dict[str, Any]:
        lower, upper = _quantiles(self.drawn[:, place], level)
        kendall_lower, kendall_upper = _limits(*self.kendall[place], level, -1.0)
        auc_lower, auc_upper = _limits(*self.auc[place], level, 0.0)
        return {
            "n": self.n,
            "dates": self.dates,
            "spearman": self.spearman[place],
            "lower": lower,
            "upper": upper,
            "kendall": self.kendall[place][0],
            "kendall_lower": kendall_lower,
            "kendall_upper": kendall_upper,
            "auc": self.auc[place][0],
            "auc_lower": auc_lower,
            "auc_upper": auc_upper,
            "top_decile_lift": self.lift[place],
        }

    def difference(self, one: int, other: int, level: float) -> tuple[float, float, float]:
        lower, upper = _quantiles(self.drawn[:, one] - self.drawn[:, other], level)
        return float(self.spearman[one] - self.spearman[other]), lower, upper


def _check(tables: Mapping[str, pd.Series | pd.DataFrame], draws: int, level: float) -> None:
    for name, table in tables.items():
        kind = pd.Series if name == "score" or name.startswith("ratings[") else pd.DataFrame
        if name != "tier" and not isinstance(table, kind):
            raise ValueError(f"{name} is {type(table).__name__}, must be a {kind.__name__} with the index partner_id")
        if kind is pd.Series and not len(table):
            raise ValueError(f"{name} is empty, must hold at least one partner; rate a date with `PartnerRating.score`")
        if kind is pd.Series and np.isinf(table.to_numpy(dtype=float, na_value=np.nan)).any():
            raise ValueError(f"{name} holds an infinite score, must be finite; missing where a partner is not rated")
    if not all(table.index.is_unique for table in tables.values()):
        raise ValueError(
            f"{', '.join(tables)}: a partner has more than one row; must be one row a partner, or a partner and date"
        )
    levels = {name: table.index.nlevels for name, table in tables.items()}
    if len(set(levels.values())) > 1 or max(levels.values()) > 2:
        raise ValueError(f"levels of the index == {levels}, must be the same: partner_id, or (as_of, partner_id)")
    if not (isinstance(draws, Integral) and draws >= 1):
        raise ValueError(f"draws == {draws}, must be a whole number >= 1; 1000 is usual")
    if not 0 < level < 1:
        raise ValueError(f"level == {level}, must be between 0 and 1")


def _decide(lower: float, upper: float, above: str, below: str) -> str | None:
    if np.isnan(lower):
        return None
    return above if lower > 0 else below if upper < 0 else "undecided"


def _tell(row: dict[str, Any]) -> str:
    outcome, predictor = row["outcome"], row["predictor"]
    if row["n"] < MIN_PARTNERS:
        return f"Only {row['n']} partners can be compared on {outcome}; {MIN_PARTNERS} are needed."
    if np.isnan(row["spearman"]):
        return f"{predictor} and {outcome} cannot be compared: one of them is the same for all partners."
    if predictor == "rating":
        return f"The rating orders {outcome} with a rank correlation of {row['spearman']:.2f}."
    return {
        "rating": f"The rating orders {outcome} better than {predictor} alone.",
        "baseline": f"{predictor} alone orders {outcome} better than the rating.",
        "undecided": f"The rating and {predictor} alone order {outcome} about equally well.",
        None: f"The rating and {predictor} cannot be compared: the rating is the same for all partners.",
    }[row["winner"]]


def _correlate_ranks(codes: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Spearman correlation of every column with the last one, each row counting some times; NaN where constant.

    Columns hold dense ranks from 0, so that a draw needs no sorting.
    """
    total = times.sum()
    if total == 0:
        return np.full(codes.shape[1] - 1, np.nan)
    ranks = np.empty(codes.shape)
    for column in range(codes.shape[1]):
        held = np.bincount(codes[:, column], times)
        ranks[:, column] = (np.cumsum(held) - held / 2)[codes[:, column]]
    ranks -= total / 2  # the mean of mid-ranks
    spread = np.sqrt((ranks**2 * times[:, None]).sum(axis=0))
    norm = spread[:-1] * spread[-1]
    product = (ranks[:, :-1] * (ranks[:, -1] * times)[:, None]).sum(axis=0)
    return np.divide(product, norm, out=np.full(len(norm), np.nan), where=norm > 1e-9)


def _mean_over_dates(parts: list[tuple[np.ndarray, float]]) -> np.ndarray:
    if len(parts) == 1:
        return parts[0][0]
    values = np.array([figures for figures, _ in parts])
    weights = np.array([weight for _, weight in parts], dtype=float)[:, None] * ~np.isnan(values)
    total = weights.sum(axis=0)
    return np.divide(np.nansum(values * weights, axis=0), total, out=np.full(len(total), np.nan), where=total > 0)


def _kendall(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Kendall's tau-b and the influence of each row on it; NaN where x or y is constant."""
    n = len(x)
    agree = _count_below(x, y) + _count_below(-x, -y)
    against = _count_below(x, -y) + _count_below(-x, y)
    own = (agree - against) / (n - 1)
    untied = [1 - (_count_ties(values) - 1) / (n - 1) for values in (x, y)]
    mean_x, mean_y = untied[0].mean(), untied[1].mean()
    if not mean_x * mean_y > 0:
        return np.nan, np.full(n, np.nan)
    scale = np.sqrt(mean_x * mean_y)
    tau = own.mean() / scale
    part = (untied[0] / mean_x + untied[1] / mean_y) / 2 - 1
    return float(tau), 2 * ((own - own.mean()) / scale - tau * part)


def _area(x: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Area under the ROC curve of x for y (0 or 1) and the influence of each row; NaN where y is constant."""
    one = y == 1
    if one.all() or not one.any():
        return np.nan, np.full(len(x), np.nan)
    ranks, within = rankdata(x), np.empty(len(x))
    within[one], within[~one] = rankdata(x[one]), rankdata(x[~one])
    placed = np.where(one, ranks - within, one.sum() - (ranks - within))
    placed = placed / np.where(one, (~one).sum(), one.sum())
    area = placed[one].mean()
    return float(area), (placed - area) / np.where(one, one.mean(), 1 - one.mean())


def _pool(parts: list[tuple[float, np.ndarray]], place: list[np.ndarray]) -> tuple[float, float]:
    """Mean over dates and its standard error, all dates of a partner being one draw."""
    told = [k for k, (figure, _) in enumerate(parts) if not np.isnan(figure)]
    if not told:
        return np.nan, np.nan
    sizes = np.array([len(place[k]) for k in told])
    figure = float(np.average([parts[k][0] for k in told], weights=sizes))
    partner = pd.factorize(np.concatenate([place[k] for k in told]))[0]
    return figure, measure_error(np.concatenate([parts[k][1] for k in told]), partner)


def _limits(figure: float, error: float, level: float, least: float) -> tuple[float, float]:
    """Interval between `least` and 1, symmetric in log odds."""
    share = (figure - least) / (1 - least)
    if np.isnan(share) or not 0 < share < 1:
        return figure, figure
    wide = float(ndtri((1 + level) / 2)) * error / (1 - least) / (share * (1 - share))
    lower, upper = expit(logit(share) + np.array([-wide, wide])) * (1 - least) + least
    return float(lower), float(upper)


def _count_ties(values: np.ndarray) -> np.ndarray:
    """How many rows have the same value, itself included."""
    _, code, count = np.unique(values, return_inverse=True, return_counts=True)
    return count[code]


def _count_below(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Number of rows with both a smaller x and a smaller y, for each row; O(n log^2 n).

    Rows in the order of x (ties: larger y first) are merged block by block, as in merge sort: a row of the right
    half of a block counts the smaller y of the left half.
    """
    n = len(x)
    code = (rankdata(y, "dense") - 1).astype(np.int64)
    order = np.lexsort((-code, x))
    code = code[order]
    found = np.zeros(n, dtype=np.int64)
    place = np.arange(n)
    top = int(code.max(initial=0)) + 1
    width = 1
    while width < n:
        block, right = place // (2 * width), (place // width) % 2 == 1
        # Equal y: the right half first, so that it does not count as smaller.
        key = (block * top + code) * 2 + ~right
        sorted_ = np.argsort(key, kind="stable")
        left = np.cumsum(~right[sorted_])
        full = np.minimum(block[sorted_] * 2 * width, n)  # rows of the blocks before
        before = np.concatenate([[0], np.cumsum(~right)])[full]
        found[sorted_] += np.where(right[sorted_], left - before, 0)
        width *= 2
    counts = np.empty(n, dtype=np.int64)
    counts[order] = found
    return counts


def _compare_orders(before: pd.Series, after: pd.Series) -> dict[str, Any]:
    both = pd.concat([before.rename("before"), after.rename("after")], axis=1, join="inner").astype(float).dropna()
    n = len(both)
    row: dict[str, Any] = {"n": n, "spearman": np.nan, "rank_shift": np.nan, "share_shift": np.nan}
    if n >= MIN_PARTNERS:
        ranks = rankdata(both.to_numpy(), axis=0)
        codes = np.column_stack([rankdata(column, "dense") - 1 for column in ranks.T])
        shift = float(np.abs(ranks[:, 0] - ranks[:, 1]).mean())
        row |= {
            "spearman": float(_correlate_ranks(codes, np.ones(n))[0]),
            "rank_shift": shift,
            "share_shift": shift / n,
        }
    return row


def _partners(index: pd.Index) -> np.ndarray:
    return np.asarray(pd.factorize(index.get_level_values(-1))[0])


def _quantiles(values: np.ndarray, level: float) -> tuple[float, float]:
    values = values[~np.isnan(values)]
    if not len(values):
        return np.nan, np.nan
    lower, upper = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(lower), float(upper)


def _lift(predictor: np.ndarray, outcome: np.ndarray) -> float:
    """Mean outcome of the best tenth over the mean of all; partners tied at the cut count in part."""
    if not outcome.mean() > 0:
        return np.nan
    size = int(np.ceil(round(TOP * len(predictor), 9)))
    cut = np.sort(predictor)[-size]
    above, tied = predictor > cut, predictor == cut
    total = outcome[above].sum() + (size - above.sum()) * outcome[tied].mean()
    return float(total / size / outcome.mean())
