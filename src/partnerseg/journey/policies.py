"""Policies: what following a rule would have been worth, told from steps that were taken with known chances."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import betainc
from scipy.stats import t as student

from partnerseg.journey.routes import estimate_process

METHODS = ("logged", "ips", "weighted", "doubly_robust", "gain")
LEAST_EFFECTIVE = 30.0  # partners; below it intervals do not hold what they promise
VALUES = ["method", "value", "lower", "upper", "n", "effective_n", "largest_weight", "reason"]
_NEEDED = ("partner_id", "period", "stage", "action", "propensity", "reward")
_END = "(ended)"  # where journeys are when no more steps follow
# How often logs with true propensities may be refused for them: stated, not tuned.
FALSE_REFUSALS = 0.01
_HIDDEN = 0.05  # share of partners without a way to the step that the check looks for; others are found as well


def policy_value(
    log: pd.DataFrame,
    policy: Mapping[str, str] | pd.DataFrame,
    *,
    periods: int | None = None,
    discount: float = 1.0,
    level: float = 0.95,
    least_effective: float = LEAST_EFFECTIVE,
    folds: int = 5,
) -> pd.DataFrame:
    """Estimate what a policy would have earned from steps that were taken with known chances.

    A step weighs the policy's chance of it divided by its propensity; a journey weighs the product of its
    steps so far. The doubly robust value corrects a model of the process, learned from the other partners
    (cross-fitted), by the weighted errors of that model. Intervals are clustered by partner, with Student's
    distribution on one degree of freedom less than there are effective partners.

    Nothing is told where the policy's steps were taken so rarely, or so often, that the propensities cannot be true:
    some partners never could get a step, or nobody in some periods. Logs with true propensities are refused for that
    in about 1% (`FALSE_REFUSALS`), in 3-6% where the chances of a step differ tenfold and more between partners, as the
    log tells only those of the steps taken. What is found depends on how much was logged: of 10,000 partners, a share
    of 20% without a way to the step is nearly always found, one of 3% seldom.

    Args:
        log: One row a step, with `partner_id`, `period` (rising within a partner), `stage`, `action`,
            `propensity` (chance with which the action was taken, above 0 to 1, given all that decided on it)
            and `reward` (of the period, less costs). A journey with fewer rows than the longest, or than
            `periods`, counts as ended with no more rewards; leave out those that were not followed as far.
        policy: The action for each stage, or stages x actions with the chance (0-1) of each.
        periods: Steps of a journey that count; None: of the longest. 1: each row is a journey of one step.
        discount: What a reward of the next period is worth in this one, above 0 to 1.
        level: Level of the intervals.
        least_effective: Effective number of partners under which nothing is told, at least 2.
        folds: Parts of the partners for cross-fitting, at least 2.

    Returns:
        One row a `method`: `logged` (the mean of what was done), `ips` (inverse propensity), `weighted`
        (self-normalized), `doubly_robust`, `gain` (doubly robust less logged). `value`, a journey, with
        `lower` and `upper`; `n` (journeys), `effective_n` (Kish: how many partners the weights are worth;
        for `logged` all journeys weigh alike), `largest_weight` (share of the sum of weights that one partner has),
        `reason` (empty, or why value and interval are missing).

    Raises:
        ValueError: A column is missing, a partner has two rows in a period, a reward is infinite, or a number is out
            of range.

    References:
        Horvitz and Thompson (1952); Kish (1965), Survey sampling; Precup, Sutton and Singh (2000),
        Eligibility traces for off-policy policy evaluation; Jiang and Li (2016), Doubly robust off-policy
        value evaluation for reinforcement learning; Thomas and Brunskill (2016), Data-efficient off-policy
        policy evaluation.

    Example:
        >>> log = pd.DataFrame({"partner_id": range(400), "period": 1, "stage": "a", "propensity": 0.5})
        >>> log["action"] = ["call", "none"] * 200
        >>> log["reward"] = [3.0, 1.0, 5.0, 1.0] * 100
        >>> told = policy_value(log, {"a": "call"})
        >>> told.set_index("method")["value"].round(2).to_dict()
        {'logged': 2.5, 'ips': 4.0, 'weighted': 4.0, 'doubly_robust': 4.0, 'gain': 1.5}
    """
    _check(log, periods, discount, level, least_effective, folds)
    journeys = _Journeys(log, policy, periods, discount)
    reason = journeys.find_gap()
    rows = [journeys.tell("logged", level)]
    if not reason:
        journeys.weigh()
        reason = journeys.find_weakness(least_effective)
    for method in METHODS[1:]:
        rows.append(journeys.refuse(method, reason) if reason else journeys.tell(method, level, folds))
    return pd.DataFrame(rows, columns=VALUES)


@dataclass(frozen=True)
class _Model:
    """Expected rewards from each period on: `taken` (periods x states x actions), `state` (periods x states)."""

    taken: np.ndarray
    state: np.ndarray


class _Journeys:
    """The log as arrays journeys x periods, where -1 is a step after the end."""

    def __init__(
        self, log: pd.DataFrame, policy: Mapping[str, str] | pd.DataFrame, periods: int | None, discount: float
    ) -> None:
        rows = log.sort_values(["partner_id", "period"], kind="stable", ignore_index=True)
        partner = pd.factorize(rows["partner_id"])[0]
        if periods == 1:
            journey, place = np.arange(len(rows)), np.zeros(len(rows), dtype=int)
        else:
            journey, place = partner, rows.groupby("partner_id").cumcount().to_numpy()
        self.periods = int(place.max()) + 1 if periods is None else periods
        last = ~pd.Series(journey).duplicated(keep="last").to_numpy()
        after = rows["stage"].shift(-1).mask(last)
        # Where the last step is the last that counts, nobody knows what followed; before that, it is the end.
        ended = last & ((place < self.periods - 1) | (self.periods == 1))
        self.rows = rows.assign(
            partner=partner, journey=journey, place=place, next_stage=after.mask(ended, _END)
        )[place < self.periods]  # fmt: skip
        self.chances = _read_policy(policy, self.rows["action"])
        self.stages = [str(name) for name in pd.unique(self.rows["stage"])]
        self.discounts = discount ** np.arange(self.periods)
        self.discount = discount
        first = self.rows.drop_duplicates("journey")
        self.partner = first["partner"].to_numpy()
        self.n = len(first)
        self.stage = self._spread(pd.Index(self.stages).get_indexer(pd.Index(self.rows["stage"])), -1)
        self.action = self._spread(self.chances.columns.get_indexer(pd.Index(self.rows["action"])), -1)
        self.reward = self._spread(self.rows["reward"].to_numpy(dtype=float), 0.0)
        self.effective_n, self.largest_weight = np.nan, np.nan

    def _spread(self, values: np.ndarray, fill: float) -> np.ndarray:
        table = np.full((self.n, self.periods), fill, dtype=values.dtype)
        table[self.rows["journey"], self.rows["place"]] = values
        return table

    def find_gap(self) -> str:
        """Return why the log cannot tell the policy's value at all; empty where it can."""
        propensity, reward = (self.rows[name].astype(float) for name in ("propensity", "reward"))
        if propensity.isna().any():
            return f"propensity is missing in {propensity.isna().sum()} of {len(self.rows)} steps"
        wrong = propensity[~((propensity > 0) & (propensity <= 1))]
        if len(wrong):
            return f"propensity {wrong.iloc[0]:g} in {len(wrong)} of {len(self.rows)} steps, must be above 0 to 1"
        if reward.isna().any():
            return f"reward is missing in {reward.isna().sum()} of {len(self.rows)} steps"
        return self._find_unseen()

    def _find_unseen(self) -> str:
        """Follow the policy through what was seen and return the first step of it that never was."""
        steps = self.rows.groupby(["stage", "action"])["next_stage"]
        seen = {step: set(after.dropna()) - {_END} for step, after in steps}
        self.met: set[str] = set()
        here = set(self.rows.loc[self.rows["place"] == 0, "stage"])
        for _ in range(self.periods):
            ahead: set[str] = set()
            for stage in sorted(here - self.met):
                if stage not in self.chances.index:
                    return f"the policy leads to {stage} and says nothing there"
                for action in self.chances.columns[self.chances.loc[stage] > 0]:
                    if (stage, action) not in seen:
                        return f"{action} was never logged in {stage}, where the policy takes it"
                    ahead |= seen[stage, action]
            self.met |= here
            here = ahead
        return ""

    def weigh(self) -> None:
        """Set the weights of journeys up to each period, and what they are worth."""
        table = self.chances.reindex(self.stages).fillna(0.0).to_numpy()
        on_way = self.stage >= 0
        ratio = np.where(on_way, table[self.stage, self.action], 1.0)
        self.ratio = ratio / self._spread(self.rows["propensity"].to_numpy(dtype=float), 1.0)
        self.weights = self.ratio.cumprod(axis=1)
        self.effective_n, self.largest_weight = self._find_effective(self.weights[:, -1])

    def _find_effective(self, weights: np.ndarray) -> tuple[float, float]:
        """Return how many partners with equal weights tell as much, and the share of the sum that one has."""
        own = np.bincount(self.partner, weights)
        if not own.sum() > 0:
            return 0.0, np.nan
        return float(own.sum() ** 2 / (own**2).sum()), float(own.max() / own.sum())

    def find_weakness(self, least_effective: float) -> str:
        """Return why the weights do not carry an estimate; empty where they do."""
        if reason := self._find_untrue():
            return reason
        if self.effective_n < least_effective:
            return f"effective number of partners is {self.effective_n:.1f}, must be at least {least_effective:g}"
        return ""

    def _find_untrue(self) -> str:
        """Return the first step of the policy that was taken too rarely or too often for its propensities.

        1 / propensity where a step was taken and 0 elsewhere has a mean of 1 after any past, if propensities are
        true. Three things are looked for in each stage and step: partners who never could get the step (a partner
        counts the more, the longer it went without), periods in which nobody could, and chances that are too low.
        The log has no chances of steps that were not taken: what the taken one left is shared out as in the stage, and
        lowered where the taken ones say so. But for that guess all tests together refuse true propensities in at most
        `FALSE_REFUSALS` of logs (Bonferroni).
        """
        rows = self.rows[self.rows["stage"].isin(self.met)]
        for stage in sorted(self.met):
            own = rows[rows["stage"] == stage]
            partner, action = own["partner"].to_numpy(), own["action"].to_numpy()
            propensity = own["propensity"].to_numpy(dtype=float)
            shares = own["action"].value_counts(normalize=True)
            left = (1 - propensity) / (1 - shares[action].to_numpy()).clip(1e-12)
            period, alike, whole = pd.factorize(own["period"])[0], np.ones(len(own)), np.zeros(len(own), dtype=int)
            follows = dict(zip(self.chances.columns, self.chances.loc[[stage]].to_numpy()[0], strict=True))
            for step in (name for name, wanted in follows.items() if wanted > 0):
                taken = action == step
                chance = np.where(taken, propensity, _guess_chances(left * shares[step], propensity, taken))
                level = FALSE_REFUSALS * follows[step] * len(own) / len(rows)
                of_period = 0.25 * level * np.bincount(period) / len(own)
                if _judge(taken, chance, _weigh_waiting(partner, taken, chance), whole)[0] < 0.5 * level:
                    why = "some partners could never get it, or propensities are not true"
                elif (_judge(taken, chance, alike, period)[0] < of_period).any():
                    why = "in some periods nobody could get it, or propensities are not true"
                elif _judge(taken, chance, alike, whole)[1] < 0.25 * level:
                    why = "propensities are not true"
                else:
                    continue
                mean = (taken / chance).mean()
                return f"weights of {step} in {stage} have a mean of {mean:.2f}, must be nearer to 1: {why}"
        return ""

    def tell(self, method: str, level: float, folds: int = 5) -> dict[str, object]:
        effective, largest = self.effective_n, self.largest_weight
        if method == "logged":
            effective, largest = self._find_effective(np.ones(self.n))
        if method == "logged" and self.reward_missing():
            return self.refuse(method, "reward is missing in some steps") | {"effective_n": effective}
        score = self._score(method, folds)
        partners = len(np.unique(self.partner))
        away = np.bincount(self.partner, score - score.mean(), minlength=int(self.partner.max()) + 1)
        free = effective - 1
        std_err = np.sqrt((away**2).sum() * partners / max(partners - 1, 1)) / self.n
        reach = student.ppf(0.5 + level / 2, free) * std_err if free > 0 else np.nan
        value = float(score.mean())
        told = [method, value, value - reach, value + reach, self.n, effective, largest, ""]
        return dict(zip(VALUES, told, strict=True))

    def reward_missing(self) -> bool:
        return bool(np.isnan(self.reward).any())

    def refuse(self, method: str, reason: str) -> dict[str, object]:
        told = [method, np.nan, np.nan, np.nan, self.n, self.effective_n, self.largest_weight, reason]
        return dict(zip(VALUES, told, strict=True))

    def _score(self, method: str, folds: int) -> np.ndarray:
        """Return what each journey says; their mean is the value."""
        if method == "logged":
            return self.reward @ self.discounts
        if method == "ips":
            return (self.weights * self.reward) @ self.discounts
        if method == "weighted":
            share = self.weights / self.weights.mean(axis=0)
            mean = (share * self.reward).mean(axis=0)
            # Linearized: the mean of the second part is 0, its spread that of a ratio of two means.
            return mean @ self.discounts + (share * (self.reward - mean)) @ self.discounts
        if not hasattr(self, "robust"):
            self.robust = self._score_robust(folds)
        return self.robust - (self.reward @ self.discounts if method == "gain" else 0.0)

    def _score_robust(self, folds: int) -> np.ndarray:
        before = np.concatenate([np.ones((self.n, 1)), self.weights[:, :-1]], axis=1)
        partners = int(self.partner.max()) + 1
        fold = np.random.default_rng(0).permutation(partners) % folds
        score = np.empty(self.n)
        period = np.arange(self.periods)
        for part in range(folds):
            own = fold[self.partner] == part
            if not own.any():
                continue
            model = self._learn(self.rows[fold[self.rows["partner"]] != part])
            stage, on_way = self.stage[own], self.stage[own] >= 0
            taken = np.where(on_way, model.taken[period, stage, self.action[own]], 0.0)
            state = np.where(on_way, model.state[period, stage], 0.0)
            steps = self.weights[own] * (self.reward[own] - taken) + before[own] * state
            score[own] = steps @ self.discounts
        return score

    def _learn(self, rows: pd.DataFrame) -> _Model:
        """Learn expected rewards from each period on under the policy; 0 where nothing is known."""
        decisions = rows[["stage", "action", "next_stage"]].assign(value_after=rows["reward"])
        process = estimate_process(decisions, [*self.stages, _END], period_days=1, least_seen=1)
        ways = np.zeros((len(self.chances.columns), len(self.stages), len(self.stages)))
        earned = np.zeros(ways.shape[:2])
        seen = process.transitions[:, :-1, :-1], process.rewards[:, :-1]
        ways[:], earned[:] = map(_pool, seen)
        places = self.chances.columns.get_indexer(pd.Index(process.actions))
        ways[places], earned[places] = (
            np.where(np.isnan(known), usual[places], known) for known, usual in zip(seen, (ways, earned), strict=True)
        )
        chances = self.chances.reindex(self.stages).fillna(0.0).to_numpy()
        taken = np.zeros((self.periods, len(self.stages), len(self.chances.columns)))
        state = np.zeros((self.periods + 1, len(self.stages)))
        for period in reversed(range(self.periods)):
            taken[period] = (earned + self.discount * ways @ state[period + 1]).T
            state[period] = (chances * taken[period]).sum(axis=1)
        return _Model(taken, state[:-1])


def _pool(values: np.ndarray) -> np.ndarray:
    """Return the mean over actions, 0 where none is known."""
    return np.nan_to_num(values).sum(axis=0) / np.maximum((~np.isnan(values)).sum(axis=0), 1)


def _weigh_waiting(partner: np.ndarray, taken: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Weigh decisions by how likely it looked before them that their partner never gets the step; rows by partner."""
    first = np.append(True, np.diff(partner) != 0)
    begin = np.flatnonzero(first)[np.cumsum(first) - 1]
    before, missed = (
        np.append(0.0, np.cumsum(values))[:-1] for values in (taken, np.log1p(-np.minimum(chance, 0.999)))
    )
    odds_against = (1 - _HIDDEN) / _HIDDEN * np.exp(missed - missed[begin])
    return np.where(before == before[begin], 1 / (1 + odds_against), 0.0)


def _judge(
    taken: np.ndarray, chance: np.ndarray, weight: np.ndarray, part: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return how likely so few steps, and so many, are in each part of the decisions if their chances are true.

    A part counts as a binomial draw with the mean and variance of its weighted ratios taken / chance; it is one where
    all weights and all chances are equal.
    """
    total = lambda values: np.bincount(part, values)  # noqa: E731
    n = total(weight) ** 2 / total(weight**2)
    usual = total(weight**2) / total(weight**2 / chance)
    seen = np.minimum(n * usual * total(weight * taken / chance) / total(weight), n)
    # Where all were taken no count can be lower, though chances of 1 would make it look impossible.
    few = np.where(n - seen > 1e-9 * n, betainc(np.maximum(n - seen, 1e-12), seen + 1, 1 - usual), 1.0)
    return few, betainc(seen, n - seen + 1, usual)


def _guess_chances(guess: np.ndarray, propensity: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Lower guesses of the chances of a step that was not taken to as low as the taken ones' propensities say.

    The sum of 1 / chance over all decisions, which the variance hangs on, is told without bias by 1 / chance ** 2 of
    those where the step was taken.
    """
    guess = guess.clip(1e-6, 1.0)
    known = (1 / propensity[taken] ** 2 - 1 / propensity[taken]).sum()
    return guess / max(known / max((1 / guess[~taken]).sum(), 1e-300), 1.0)


def _read_policy(policy: Mapping[str, str] | pd.DataFrame, taken: pd.Series) -> pd.DataFrame:
    """Return stages x actions with the policy's chances, all actions of log and policy as columns."""
    if isinstance(policy, pd.DataFrame):
        table = policy.astype(float).fillna(0.0)
        wrong = table.index[(table < 0).any(axis=1) | ((table.sum(axis=1) - 1).abs() > 1e-6)]
        if len(wrong):
            raise ValueError(
                f"policy[{wrong[0]!r}] == {table.loc[wrong[0]].to_dict()}, must be chances from 0 that sum to 1; "
                "correct the row"
            )
    else:
        choice = pd.Series(dict(policy), dtype="object").dropna()
        table = pd.get_dummies(choice).astype(float)
    actions = sorted(set(taken.unique()) | {str(name) for name in table.columns})
    return table.reindex(columns=actions, fill_value=0.0)


def _check(
    log: pd.DataFrame, periods: int | None, discount: float, level: float, least_effective: float, folds: int
) -> None:
    missing = [name for name in _NEEDED if name not in log]
    if missing:
        raise ValueError(f"log has no column {', '.join(missing)}; needed are {', '.join(_NEEDED)}")
    if log.empty:
        raise ValueError("log has no rows, must have at least one step; give the steps that were taken")
    for name in ("partner_id", "period", "stage", "action"):
        if log[name].isna().any():
            raise ValueError(f"log.{name} is missing in {log[name].isna().sum()} rows, must be known; leave them out")
    if periods != 1 and log.duplicated(["partner_id", "period"]).any():
        twice = log[log.duplicated(["partner_id", "period"])].iloc[0]
        raise ValueError(
            f"log has partner {twice['partner_id']!r} twice in period {twice['period']!r}, must be one step a period; "
            "number the steps, or give periods=1 to judge single steps"
        )
    endless = np.flatnonzero(np.isinf(log["reward"].to_numpy(dtype=float)))
    if len(endless):
        row = log.iloc[endless[0]]
        raise ValueError(
            f"log.reward of row {endless[0]} (partner {row['partner_id']!r}, period {row['period']!r}) == "
            f"{row['reward']}, must be finite; correct the row or leave the partner out"
        )
    rules = {
        "periods": (periods is None or periods >= 1, periods, "at least 1"),
        "discount": (0 < discount <= 1, discount, "above 0 to 1"),
        "level": (0 < level < 1, level, "between 0 and 1"),
        "least_effective": (least_effective >= 2, least_effective, "at least 2"),
        "folds": (folds >= 2, folds, "at least 2"),
    }
    for name, (kept, value, rule) in rules.items():
        if not kept:
            raise ValueError(f"{name} == {value}, must be {rule}; correct the argument")
