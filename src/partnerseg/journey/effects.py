"""Effects: what each action did to the chance of moving forward and to value, stage by stage."""

from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np
import pandas as pd
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array
from scipy.stats import norm, t

from partnerseg.journey.decisions import NONE

LEAST_SEEN = 10  # decisions with an action, partners they are of, comparable ones without, below which nothing is told
LARGEST_ERROR = 0.2  # of an effect from its own decisions alone, above which it would only repeat the whole's
EFFECTS = [
    "action", "stage", "n", "n_without", "effective_n", "chance_with", "chance_without", "effect_chance",
    "lower_chance", "upper_chance", "effect_value", "lower_value", "upper_value", "reason",
]  # fmt: skip
SELDOM = f"seen in fewer than {LEAST_SEEN} decisions"
FEW = f"seen with fewer than {LEAST_SEEN} partners"
ALONE = f"fewer than {LEAST_SEEN} comparable decisions without a step"
APART = "no overlap: those with the step and those without differ too much to be compared"
UNEVEN = f"the chances of the step are so uneven that it counts as seen fewer than {LEAST_SEEN} times"
UNSOLD = "nothing was sold after decisions without a step"
UNSURE = f"its own decisions alone leave a standard error over {LARGEST_ERROR}"
UNFOLLOWED = "the period after the step is not over yet"
_OVERLAP = 0.5  # least share of an action's decisions that have comparable ones without
_LARGEST_WEIGHT = 10.0  # of a decision, against the median of its action and stage
_DATES = 40  # more days of comparison than that are put together by quarters
_CLASSES = 5  # of time in stage, of level and of the last period, within which decisions are comparable
_FARTHEST = 30.0  # of an expected logarithm
_PER_KNOT = 40  # decisions without a step for each place where the chance may bend over time in the stage
_ROUNDS = 30  # of Fisher scoring
_STEPS = (0, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)  # spreads of effects, against the largest effect
_OPTIONAL = [
    "days_in_stage", "propensity", "moved", "value_before", "value_after", "orders_before", "orders_after",
    "period_days", "history_days", "value_history", "orders_history",
]  # fmt: skip


def estimate_action_effects(
    decisions: pd.DataFrame,
    *,
    by: pd.Series | None = None,
    level: float = 0.95,
    outcome: Literal["orders", "value"] = "orders",
) -> pd.DataFrame:
    """Estimate what each action did, against no step, in each stage where it was seen.

    What would have come without the step is predicted for each decision from the decisions without a step: for the
    chance of moving forward by least squares in each stage, for value by quasi-likelihood with a log link, where
    revenue is counted in the partner's own typical orders and varies as 1 / orders + a constant, relative to what is
    expected. Decisions whose period is not over do not count. Both predictions hold equal the stage, the time in it,
    the date, the partner's own level over the eight periods before and the last period against it, so that a bad
    quarter that would have ended by itself is not credited to the step. An effect is the mean difference between
    what came and what was predicted. Where the chances with which steps were chosen were logged, decisions count by
    their inverse (at most ten times the median), so that whom the step was given to is not taken for what it did even
    where the prediction is wrong: it is doubly robust. Errors are clustered by partner, those of the prediction
    included. The effects are then shrunk: those of an action toward its mean over stages (in segments: toward the
    action's effect in the stage), and these toward the mean of all, the more the less certain they are and the less
    actions (stages, segments) differ.

    Only those decisions of an action count which have comparable ones without a step: in the same stage at the same
    time, as long in the stage and as well off in the last period at a like level of orders. Nothing is told of an
    action in a stage where its own decisions alone leave a standard error over 0.2: that would be the whole's effect
    in the stage's name. What partners had done with them later is no part of the comparison: with and without the
    step, all went on as usual.

    Args:
        decisions: The decisions of `list_decisions`.
        by: A segment for each partner, by partner_id; who has none is in the segment `unknown`. None: all together.
        level: Level of the intervals, between 0 and 1.
        outcome: What the effect on value is told for: `value` (net revenue) or `orders`.

    Returns:
        One row an action and stage where it was seen at least once (with `by` also for each segment, in the column
        `segment` after `stage`): `action`, `stage`, `n` (comparable decisions with the action), `n_without`
        (decisions without a step in the stage), `effective_n` (n as far as weights are even), `chance_with`,
        `chance_without` (0-1, of moving forward within the period; not shrunk), `effect_chance` (their difference,
        shrunk) with `lower_chance`, `upper_chance`; `effect_value` (relative change of value in the period after:
        0.2 is 20% more; shrunk) with `lower_value`, `upper_value`; `reason` (empty, or why nothing is told).
        Missing: not told, as chances in the last stage, or value without sales.

    Raises:
        ValueError: `level` is not between 0 and 1, or `outcome` is no known one.

    References:
        Robins, Rotnitzky and Zhao (1994), Estimation of regression coefficients when some regressors are not always
        observed, for the doubly robust estimate; Liang and Zeger (1986), for clustered errors; Morris (1983),
        Parametric empirical Bayes inference, for the shrinkage.

    Example:
        >>> rows = [(f"p{i}", "call" if i < 40 else "none", float(i % 40 < (30 if i < 40 else 10))) for i in range(80)]
        >>> table = pd.DataFrame(rows, columns=["partner_id", "action", "moved"])
        >>> table = table.assign(stage="recruited", decided_at=pd.Timestamp("2026-01-31"), days_in_stage=9.0)
        >>> estimate_action_effects(table)[["action", "stage", "n", "chance_with", "chance_without", "effect_chance"]]
          action      stage   n  chance_with  chance_without  effect_chance
        0   call  recruited  40         0.75            0.25            0.5
    """
    if not 0 < level < 1:
        raise ValueError(f"level == {level}, must be between 0 and 1")
    if outcome not in ("orders", "value"):
        raise ValueError(f"outcome == {outcome!r}, must be 'orders' or 'value'")
    keys = ["action", "stage"] if by is None else ["action", "stage", "segment"]
    rows, cells = _prepare(decisions, by, keys)
    chance, value = _compare_chances(rows, len(cells)), _compare_values(rows, len(cells), outcome)
    table = cells.assign(**chance.counts.where(chance.counts["n"] >= value.counts["n"], value.counts))
    table = table.astype({"n": "int64", "n_without": "int64"})
    table = table.assign(chance_with=chance.came, chance_without=chance.expected)
    for name, found in (("chance", chance), ("value", value)):
        effect, std_err = _shrink(found.effect, found.covariance, [cells[keys[:n]] for n in range(1, len(keys))])
        reach = norm.ppf(0.5 + level / 2) * std_err
        table[f"effect_{name}"], table[f"lower_{name}"], table[f"upper_{name}"] = effect, effect - reach, effect + reach
    told = table[["effect_chance", "effect_value"]].notna().any(axis=1)
    why = np.where(chance.reason == "", value.reason, chance.reason)
    table["reason"] = pd.Series(np.where(told, "", why), index=table.index, dtype="str")
    return table[[*keys, *EFFECTS[2:]]]


def judge_effects(effects: pd.DataFrame) -> pd.DataFrame:
    """Tell which steps clearly help and which clearly harm.

    Args:
        effects: What `estimate_action_effects` returns.

    Returns:
        One row a row of effects: `harms` (an interval, of the chance or of value, lies below zero) and `helps` (one
        lies above zero and none below). Both false: nothing clear is told.

    Example:
        >>> told = {"lower_chance": [0.1, 0.1, -0.1], "upper_chance": [0.2, 0.2, 0.1]}
        >>> told |= {"lower_value": [None, -0.3, -0.1], "upper_value": [None, -0.1, 0.1]}
        >>> judge_effects(pd.DataFrame(told, dtype=float))
           harms  helps
        0  False   True
        1   True  False
        2  False  False
    """
    harms = (effects["upper_chance"] < 0) | (effects["upper_value"] < 0)
    helps = ((effects["lower_chance"] > 0) | (effects["lower_value"] > 0)) & ~harms
    return pd.DataFrame({"harms": harms, "helps": helps})


class _Comparison:
    """What came with each cell (an action in a stage) against what was predicted; missing where it is not told."""

    def __init__(self, counts: pd.DataFrame, reason: np.ndarray) -> None:
        n = len(counts)
        self.counts, self.reason = counts, reason
        self.effect, self.came, self.expected = (np.full(n, np.nan) for _ in range(3))
        self.covariance = np.zeros((n, n))

    def add(
        self,
        rows: pd.DataFrame,
        keep: np.ndarray,
        design: np.ndarray,
        gram: np.ndarray,
        residual: np.ndarray,
        weight: np.ndarray,
        *,
        relative: bool,
    ) -> None:
        """Add the mean residual of each cell's kept rows and its covariance, clustered by partner.

        The prediction's own error is part of it: its coefficients are solutions of weighted scores of the rows
        without a step, with the matrix `gram`. A `relative` residual, came / expected - 1, moves by 1 + residual.
        """
        cell, without = rows["cell"].to_numpy(), rows["cell"].to_numpy() < 0
        n_cells = len(self.effect)
        scores = design[without] * (residual * weight)[without, None]
        weight = weight[keep]
        who, which = rows["partner"].factorize()[0], cell[keep]
        shape = (int(who.max()) + 1, n_cells)
        total = np.bincount(which, weight, minlength=n_cells)
        here = np.flatnonzero(total)
        safe = np.where(total > 0, total, 1.0)
        mean = np.bincount(which, weight * residual[keep], minlength=n_cells) / safe
        own = csr_array((weight * (residual[keep] - mean[which]) / safe[which], (who[keep], which)), shape=shape)
        share = csr_array((weight / safe[which], (which, np.arange(len(which)))), shape=(n_cells, len(which)))
        pull = -(share @ design[keep]) * np.where(relative, 1 + mean, 1.0)[:, None]
        lean = np.linalg.solve(gram, pull.T)
        member = csr_array(
            (np.ones(len(scores)), (who[without], np.arange(len(scores)))), shape=(shape[0], len(scores))
        )
        scores = member @ scores
        cross = (own.T @ scores) @ lean
        covariance = (own.T @ own).toarray() + cross + cross.T + lean.T @ (scores.T @ scores) @ lean
        few = self.counts["effective_n"].to_numpy()[here]
        wider = np.sqrt(few / (few - 1)) * t.ppf(0.975, few - 1) / norm.ppf(0.975)
        self.effect[here] = mean[here]
        self.covariance[np.ix_(here, here)] = covariance[np.ix_(here, here)] * np.outer(wider, wider)

    def average(self, rows: pd.DataFrame, keep: np.ndarray, weight: np.ndarray, came: np.ndarray) -> None:
        """Add the mean of what came with each cell, and from it what was predicted: both are shares."""
        which, weight = rows["cell"].to_numpy()[keep], weight[keep]
        total = np.bincount(which, weight, minlength=len(self.effect))
        here = np.flatnonzero(total)
        share = np.bincount(which, weight * came[keep], minlength=len(total))[here] / total[here]
        self.came[here], self.expected[here] = share, np.clip(share - self.effect[here], 0.0, 1.0)

    def widen_shares(self) -> None:
        """Keep the variance of a share from being that of a certain one: half a case more on either side."""
        n = self.counts["effective_n"].to_numpy()
        with np.errstate(invalid="ignore"):
            kept = (self.came * n + 0.5) / (n + 1)
            least = np.nan_to_num(kept * (1 - kept) / n)
        place = np.diag_indices_from(self.covariance)
        self.covariance[place] = np.maximum(self.covariance[place], least)

    def widen_ratios(self, cell: np.ndarray, expected: np.ndarray, first: float) -> None:
        """Keep the variance of a ratio from being under that of one order: no sale at all is not certain either."""
        total = np.bincount(cell, expected, minlength=len(self.effect))
        place = np.diag_indices_from(self.covariance)
        self.covariance[place] = np.maximum(self.covariance[place], first / np.maximum(total, 1e-100) ** 2)

    def refuse(self, cells: np.ndarray, reason: str) -> None:
        """Tell nothing of these cells."""
        self.reason = np.where(cells & (self.reason == ""), reason, self.reason)
        self.effect[cells] = self.came[cells] = self.expected[cells] = np.nan

    def refuse_unsure(self) -> None:
        """Tell nothing of cells whose own decisions say too little."""
        self.refuse(~np.isnan(self.effect) & (np.diag(self.covariance) > LARGEST_ERROR**2), UNSURE)


def _prepare(decisions: pd.DataFrame, by: pd.Series | None, keys: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the decisions as numbers, and the cells: what an effect is told of."""
    rows = decisions[decisions["stage"].notna() & decisions["action"].notna()]
    rows = rows.sort_values(["partner_id", "decided_at", "action"], kind="stable", ignore_index=True)
    rows = rows.reindex(columns=[*rows.columns, *(name for name in _OPTIONAL if name not in rows)])
    rows = rows.astype(dict.fromkeys(_OPTIONAL, "float64"))
    if by is not None:
        rows["segment"] = rows["partner_id"].map(by).astype(object).where(lambda names: names.notna(), "unknown")
    without = (rows["action"] == NONE).to_numpy()
    cells = rows.loc[~without, keys].drop_duplicates().sort_values([*keys[1:], "action"], ignore_index=True)
    number = pd.Series(np.arange(len(cells)), index=pd.MultiIndex.from_frame(cells)) if len(cells) else None
    rows["cell"] = -1
    if number is not None:
        rows.loc[~without, "cell"] = number.loc[pd.MultiIndex.from_frame(rows.loc[~without, keys])].to_numpy()
    rows["state"] = rows.groupby(keys[1:], sort=True).ngroup()
    rows["partner"] = rows["partner_id"].factorize()[0]
    rows["date"] = _number_dates(rows["decided_at"], without)
    rows["weight"] = _weigh(rows)
    _add_levels(rows)
    return rows, cells


def _number_dates(decided_at: pd.Series, without: np.ndarray) -> np.ndarray:
    """Number the days of comparison: each decision belongs to the first day on or after it of those without a step."""
    days = np.unique(decided_at[without].to_numpy())
    if len(days) > _DATES:
        days = np.unique(pd.DatetimeIndex(days).to_period("Q").end_time.normalize().to_numpy())
    return np.searchsorted(days, decided_at.to_numpy())


def _weigh(rows: pd.DataFrame) -> np.ndarray:
    """Return the inverse of the logged chance of each decision against the median of its kind, 1 where not known."""
    weight = rows["propensity"].where(rows["propensity"] > 0).rdiv(1.0)
    typical = weight.groupby([rows["state"], rows["action"]]).transform("median")
    return weight.div(typical).clip(upper=_LARGEST_WEIGHT).fillna(1.0).to_numpy()


def _add_levels(rows: pd.DataFrame) -> None:
    """Add `rate` (log of orders a period in the history), `recent` (the last period against it), `unit` of value."""
    period = rows["period_days"].max() if rows["period_days"].notna().any() else 1.0
    untold = rows["history_days"].isna()
    for kind in ("orders", "value"):
        rows[f"{kind}_history"] = rows[f"{kind}_history"].mask(untold, rows[f"{kind}_before"])
    rows["history_days"] = rows["history_days"].mask(untold & rows["orders_before"].notna(), period)
    length = (rows["history_days"] / period).clip(lower=1 / period)
    orders = rows["orders_history"]
    mean = orders.sum() / length[orders.notna()].sum() if orders.notna().any() else np.nan
    mean = mean if mean > 0 else 1.0
    # The mean of a gamma prior of shape 1 after `orders` in `length` periods.
    rate = _take_log(orders.add(1).div(length.add(1 / mean)))
    spans = length.clip(upper=1.0).add(1 / mean)
    unit = rows["value_history"].div(orders).where((orders > 0) & (rows["value_history"] > 0))
    rows["unit"] = unit.fillna(unit.median() if unit.notna().any() else 1.0)
    rows["unseen"] = rate.isna().astype(float)
    rows["rate"] = rate.fillna(rate.mean() if rate.notna().any() else 0.0)
    value = rows["value_before"].div(rows["unit"]).clip(lower=0)
    for name, amount in (("recent", rows["orders_before"]), ("recent_value", value)):
        rows[name] = _take_log(amount.add(1).div(spans)).sub(rate).fillna(0.0)
    rows["length"] = _take_log(length).fillna(0.0)
    rows["waited"] = _take_log(rows["days_in_stage"].clip(lower=0).add(1)).fillna(0.0)


def _take_log(values: pd.Series) -> pd.Series:
    return pd.Series(np.log(values.to_numpy(dtype=float)), index=values.index)


def _find_comparable(rows: pd.DataFrame) -> np.ndarray:
    """Tell which decisions have one without a step in their stage, at their time, long in it and of a like level."""
    without = rows["cell"] < 0
    n = without.groupby(rows["stage"]).transform("sum")
    classes = np.clip(np.sqrt(n / LEAST_SEEN), 1, _CLASSES).astype(int)
    for name in ("waited", "rate", "recent"):
        share = rows.groupby("stage")[name].rank(pct=True)
        rows = rows.assign(**{f"{name}_class": np.ceil(share * classes)})
    found = np.ones(len(rows), dtype=bool)
    for names in (["date"], ["waited_class", "rate_class"], ["recent_class", "rate_class"]):
        found &= without.groupby([rows[name] for name in ("stage", *names)]).transform("any").to_numpy()
    return found


def _choose(rows: pd.DataFrame, used: np.ndarray, n_cells: int) -> tuple[np.ndarray, pd.DataFrame, np.ndarray]:
    """Return which steps are compared, the counts of each cell, and why nothing can be told of it (empty: it can)."""
    cell, weight = rows["cell"].to_numpy(), rows["weight"].to_numpy()
    step = cell >= 0
    keep = np.zeros(len(rows), dtype=bool)
    keep[used] = _find_comparable(rows[used]) & step[used]

    def count(mask: np.ndarray, amount: np.ndarray) -> np.ndarray:
        return np.bincount(cell[mask], amount[mask], minlength=n_cells)

    one = np.ones(len(rows))
    listed, followed, n = count(step, one), count(step & used, one), count(keep, one)
    effective = count(keep, weight) ** 2 / np.maximum(count(keep, weight**2), 1e-300)
    partners = rows[keep].groupby(cell[keep])["partner"].nunique().reindex(range(n_cells), fill_value=0).to_numpy()
    effective = np.minimum(effective, partners)
    state = np.zeros(n_cells, dtype=int)
    state[cell[step]] = rows["state"].to_numpy()[step]
    without = np.bincount(rows["state"].to_numpy()[used & ~step], minlength=int(state.max(initial=0)) + 1)[state]
    reasons = [
        (listed < LEAST_SEEN, SELDOM),
        (followed < LEAST_SEEN, UNFOLLOWED),
        (without < LEAST_SEEN, ALONE),
        (n < np.maximum(_OVERLAP * followed, LEAST_SEEN), APART),
        (partners < LEAST_SEEN, FEW),
        (effective < LEAST_SEEN, UNEVEN),
    ]
    reason = np.select([true for true, _ in reasons], [text for _, text in reasons], "")
    keep[step] &= (reason == "")[cell[step]]
    return keep, pd.DataFrame({"n": n, "n_without": without, "effective_n": effective}), reason


def _compare_chances(rows: pd.DataFrame, n_cells: int) -> _Comparison:
    """Compare moves forward with the chances that decisions without a step predict, stage by stage."""
    used, moved = rows["moved"].notna().to_numpy(), rows["moved"].to_numpy(dtype=float)
    keep, counts, reason = _choose(rows, used, n_cells)
    found = _Comparison(counts, reason)
    for stage in rows["stage"][keep].unique():
        here = np.flatnonzero((rows["stage"] == stage).to_numpy() & used)
        part, came, weight = rows.iloc[here], moved[here], rows["weight"].to_numpy()[here]
        without = part["cell"].to_numpy() < 0
        design, ridge = _describe(part, by_stage=False)
        gram = _find_gram(design[without], weight[without], ridge)
        expected = design @ np.linalg.solve(gram, design[without].T @ (weight * came)[without])
        found.add(part, keep[here], design, gram, came - expected, weight, relative=False)
        found.average(part, keep[here], weight, came)
    found.widen_shares()
    found.refuse_unsure()
    return found


def _compare_values(rows: pd.DataFrame, n_cells: int, outcome: str) -> _Comparison:
    """Compare value after the decisions with what decisions without a step predict, as a ratio less 1."""
    came = rows["orders_after"] if outcome == "orders" else rows["value_after"] / rows["unit"]
    known = rows["value_before"].notna() if outcome == "value" else rows["orders_before"].notna()
    used = (came.notna() & known).to_numpy()
    keep, counts, reason = _choose(rows, used, n_cells)
    found = _Comparison(counts, reason)
    part, outcomes, keep = rows[used], came[used].to_numpy(dtype=float), keep[used]
    without = part["cell"].to_numpy() < 0
    if not keep.any() or not outcomes[without].sum() > 0:
        found.refuse(np.ones(n_cells, dtype=bool), UNSOLD)
        return found
    design, ridge = _describe(part, by_stage=True)
    offset, chosen = part["rate"].to_numpy(), part["weight"].to_numpy()
    stage = np.unique(part["stage"].to_numpy(dtype=object).astype(str), return_inverse=True)[1]
    fit = _fit_ratios(
        design[without],
        offset[without],
        outcomes[without],
        stage[without],
        chosen[without],
        ridge,
        int(stage.max()) + 1,
    )
    expected = fit.predict(design, offset)
    weight = chosen * fit.weigh(expected, stage)
    gram = _find_gram(design[without], weight[without], ridge)
    found.add(part, keep, design, gram, outcomes / expected - 1, weight, relative=True)
    found.widen_ratios(part["cell"].to_numpy()[keep], expected[keep], fit.first)
    found.refuse_unsure()
    return found


def _describe(rows: pd.DataFrame, *, by_stage: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return what is held equal, a row a decision, and the ridge on it.

    It is the state, the time in the stage, the date, the level and the last period against it. The ridge is worth
    one decision, and next to nothing for states, so that means stay as they are.
    """
    state = pd.get_dummies(rows["state"], dtype=float).to_numpy()
    date = pd.get_dummies(rows["date"], dtype=float).to_numpy()[:, 1:]
    stage = pd.get_dummies(rows["stage"], dtype=float).to_numpy()
    waited, rate, recent = (_center(rows[name]) for name in ("waited", "rate", "recent"))
    bends = [_bend(rows["rate"], share) for share in (1 / 3, 2 / 3)]
    turns = [_bend(rows["recent"], share) for share in (1 / 4, 1 / 2, 3 / 4)]
    short = _center(np.exp(-rows["length"]))  # of a short history the level says less
    smooth = [
        rate, *bends, recent, *turns, recent * rate, _center(rows["recent_value"]), short, short * rate, short * recent,
        rows["unseen"].to_numpy(),
    ]  # fmt: skip
    times = stage * waited[:, None]
    if not by_stage:
        knots = np.clip((rows["cell"] < 0).sum() // _PER_KNOT, 1, _CLASSES * 2)
        times = np.column_stack([waited, *(_bend(rows["waited"], k / (knots + 1)) for k in range(1, knots + 1))])
    design = np.column_stack([state, times, date, *smooth])
    return design, np.where(np.arange(design.shape[1]) < state.shape[1], 1e-6, 1.0)


def _center(values: pd.Series | np.ndarray) -> np.ndarray:
    """Return values with mean 0 and deviation 1, zeros where all are the same."""
    numbers = np.asarray(values, dtype=float)
    spread = numbers.std()
    return (numbers - numbers.mean()) / (spread if spread > 1e-9 else 1.0)


def _bend(values: pd.Series, share: float) -> np.ndarray:
    """Return what lies above a quantile: with it a slope may change there."""
    return _center(values.sub(float(values.quantile(share))).clip(lower=0))


def _find_gram(design: np.ndarray, weight: np.ndarray, ridge: np.ndarray) -> np.ndarray:
    """Return the weighted products of columns, with the ridge in units of the mean weight."""
    return (design * weight[:, None]).T @ design + weight.mean() * np.diag(ridge)


@dataclass(frozen=True)
class _Ratios:
    """A fit of came ~ exp(offset + shift + design @ beta), of relative variance first / expected + rest[stage]."""

    shift: float
    beta: np.ndarray
    first: float
    rest: np.ndarray

    def predict(self, design: np.ndarray, offset: np.ndarray) -> np.ndarray:
        return np.exp(np.clip(offset + self.shift + design @ self.beta, -_FARTHEST, _FARTHEST))

    def weigh(self, expected: np.ndarray, stage: np.ndarray) -> np.ndarray:
        return 1 / (self.first / expected + self.rest[stage])


def _fit_ratios(
    design: np.ndarray,
    offset: np.ndarray,
    came: np.ndarray,
    stage: np.ndarray,
    chosen: np.ndarray,
    ridge: np.ndarray,
    n_stages: int,
) -> _Ratios:
    """Fit by quasi-likelihood: Fisher scoring with the ridge of `_find_gram`, the variance told from residuals."""
    fit = _Ratios(
        float(np.log(came.sum() / np.exp(offset).sum())), np.zeros(design.shape[1]), 1.0, np.full(n_stages, 0.1)
    )
    for number in range(_ROUNDS):
        expected = fit.predict(design, offset)
        residual = came / expected - 1
        if 0 < number < 6:  # then the variance is left as it is, so that the coefficients settle
            first, rest = _split_variance(residual, expected, stage, n_stages)
            fit = replace(fit, first=first, rest=rest)
        precision = chosen * fit.weigh(expected, stage)
        score = design.T @ (precision * residual) - precision.mean() * ridge * fit.beta
        step = np.linalg.solve(_find_gram(design, precision, ridge), score)
        step *= min(1.0, 1.5 / max(float(np.abs(design @ step).max()), 1e-300))
        fit = replace(fit, beta=fit.beta + step)
        if number >= 6 and np.abs(step).max() < 1e-8:
            break
    return fit


def _split_variance(
    residual: np.ndarray, expected: np.ndarray, stage: np.ndarray, n_stages: int
) -> tuple[float, np.ndarray]:
    """Tell the variance of came / expected: one part / expected, and in each stage a constant rest."""
    square, few, many = residual**2 * expected / (1 + expected), 1 / (1 + expected), expected / (1 + expected)
    a, b, c = few @ few, few @ many, many @ many
    p, q = few @ square, many @ square
    first = float(np.clip((p * c - q * b) / max(a * c - b * b, 1e-300), 0.1, 100.0))
    over = np.bincount(stage, many * (square - first * few), minlength=n_stages)
    # As much as one decision more with the rest of all, for stages of which little is known.
    whole = over.sum() / c
    return first, np.clip((over + whole) / (np.bincount(stage, many**2, n_stages) + 1), 0.01, 100.0)


def _shrink(estimate: np.ndarray, covariance: np.ndarray, groups: list[pd.DataFrame]) -> tuple[np.ndarray, np.ndarray]:
    """Return the estimates drawn toward the means of their groups, these toward the mean of all, and standard errors.

    The truth is taken for a sum of normal parts: the mean of all (flat), one part a group of each kind and one a
    cell. How much each kind spreads is averaged over a grid, weighted by the restricted likelihood.
    """
    told = np.flatnonzero(~np.isnan(estimate))
    effect, std_err = np.full(len(estimate), np.nan), np.full(len(estimate), np.nan)
    if not len(told):
        return effect, std_err
    d, error = estimate[told], covariance[np.ix_(told, told)]
    same = [
        np.equal.outer(g, g).astype(float)
        for g in (frame.iloc[told].groupby(list(frame)).ngroup().to_numpy() for frame in groups)
    ]
    kinds = [*same, np.eye(len(d))]
    reach = float(np.abs(d - d.mean()).max())
    found = []
    for spreads in product(_STEPS, repeat=len(kinds)):
        total = error + sum((reach * spread) ** 2 * kind for spread, kind in zip(spreads, kinds, strict=True))
        factor = cho_factor(total + 1e-12 * np.trace(total) / len(d) * np.eye(len(d)), lower=True)
        inverse = cho_solve(factor, np.eye(len(d)))
        row = inverse.sum(axis=0)
        core = inverse - np.outer(row, row) / row.sum()
        fit = -np.log(np.diag(factor[0])).sum() - 0.5 * np.log(row.sum()) - 0.5 * d @ core @ d
        pull = error @ core
        found.append((fit, d - pull @ d, np.diag(error) - np.einsum("ij,ji->i", pull, error)))
        if reach == 0:
            break
    fits, means, variances = (np.asarray(part) for part in zip(*found, strict=True))
    weight = np.exp(fits - fits.max())[:, None] / np.exp(fits - fits.max()).sum()
    mean = (weight * means).sum(axis=0)
    effect[told] = mean
    std_err[told] = np.sqrt((weight * (np.maximum(variances, 0) + (means - mean) ** 2)).sum(axis=0))
    return effect, std_err
