"""Next steps: what each action did in each stage, and a plan for all partners under one capacity."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import Bounds, LinearConstraint, linprog, milp
from scipy.sparse import csr_array, vstack
from scipy.stats import norm

from partnerseg.journey.stages import (
    FORWARD,
    OTHERWISE,
    WAITING,
    Journey,
    cumulative_incidence,
    is_followed,
    tell_outcome,
)
from partnerseg.programme.consent import consent_at

LEAST_SEEN = 10  # spells with an action, and comparable ones without, below which nothing is told
_NODES = 500  # of the search for the best plan; a limit of time would make it differ between machines
_EFFECTS = [
    "action", "stage", "n", "n_without", "chance_with", "chance_without", "difference", "effect", "lower", "upper"
]  # fmt: skip
_PLAN = [
    "partner_id", "stage", "segment", "action", "reason", "expected_gain", "channel", "language", "topic",
    "hours", "cost", "due_at", "alternative",
]  # fmt: skip


def estimate_action_effects(journey: Journey, log: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """Estimate from logged actions what each action did to the chance of moving forward, stage by stage.

    A spell counts as one with the action from the day of its first such action on; its chance of moving forward
    within the journey's horizon of that day is told by Aalen-Johansen. It is compared with the chance, from the
    same day of the stage on and over as many days, of spells that have not had this action by then, whatever
    other actions they had. The difference is then shrunk toward the precision-weighted mean of all differences,
    the more so the less certain it is. Only partners that travel themselves are compared, not deals. Nothing
    but the stage and the time in it is held equal: where managers choose the partners, the difference is theirs
    too.

    Args:
        journey: A fitted journey.
        log: The table `actions`: one row an action taken, with `partner_id`, `taken_at`, `action` and perhaps
            `arrived_at`. Rows after the journey's `as_of` are not seen.
        level: Level of the interval.

    Returns:
        One row an action and stage where it was seen in at least 10 spells, and 10 comparable ones lack it:
        `action`, `stage`, `n` and `n_without` (spells; without: those on their way at the median day of the
        action), `chance_with`, `chance_without` (0-1), `difference`, and `effect` (the shrunken difference)
        with `lower` and `upper`.

    References:
        DerSimonian and Laird (1986), Meta-analysis in clinical trials, for the variance between actions;
        Morris (1983), Parametric empirical Bayes inference, for the shrinkage.

    Example:
        >>> day = pd.Timestamp("2026-01-01")
        >>> rows = [(f"p{i}", "recruited", day) for i in range(40)]
        >>> rows += [(f"p{i}", "activated", day + pd.Timedelta(days=9)) for i in range(24)]
        >>> stages = pd.DataFrame(rows, columns=["partner_id", "stage", "entered_at"])
        >>> journey = Journey(["recruited", "activated"]).fit({"stages": stages}, as_of="2026-06-30")
        >>> log = pd.DataFrame({"partner_id": [f"p{i}" for i in range(20)], "action": "call", "taken_at": day})
        >>> estimate_action_effects(journey, log)[["action", "stage", "n", "chance_with", "chance_without"]]
          action      stage   n  chance_with  chance_without
        0   call  recruited  20          1.0             0.2
    """
    horizon = journey.horizon_days
    own = journey.spells_[journey.spells_["deal_id"].isna() & journey.spells_["days"].notna()]
    own = own.assign(event=tell_outcome(own, journey.stages), spell=np.arange(len(own)))
    first = _find_first_actions(own, log, pd.Timestamp(journey.as_of_))
    rows = []
    for (action, stage), treated in first.groupby(["action", "stage"]):
        spells = own[own["stage"] == stage].merge(treated[["spell", "after"]], on="spell", how="left")
        row = _compare_spells(spells, horizon)
        if row is not None and stage != journey.stages[-1]:
            rows.append({"action": action, "stage": stage} | row)
    table = pd.DataFrame(rows, columns=[*_EFFECTS[:7], "variance"])
    order = {name: place for place, name in enumerate(journey.stages + journey.exits)}
    table = table.sort_values(["stage", "action"], key=lambda names: names.map(order).fillna(names), ignore_index=True)
    effect, std_err = _shrink(table["difference"].to_numpy(dtype=float), table["variance"].to_numpy(dtype=float))
    reach = norm.ppf(0.5 + level / 2) * std_err
    return table.assign(effect=effect, lower=effect - reach, upper=effect + reach)[_EFFECTS]


def plan_next_steps(
    features: pd.DataFrame,
    segments: pd.DataFrame,
    rating: pd.DataFrame,
    journey: Journey,
    *,
    actions: Mapping[str, Any],
    capacity: Mapping[str, Any],
    log: pd.DataFrame,
    consents: pd.DataFrame,
    preferences: pd.DataFrame,
    as_of: str,
    value: pd.Series | None = None,
) -> pd.DataFrame:
    """Plan at most one next step for each partner, all together under one capacity.

    A step is possible in the stages its entry names, unless the partner avoids it or all its channels, has
    paused navigation, or has withdrawn consent to marketing or analytics (`consent_at`; who never said anything
    has not refused). Logged actions speak where the interval of their effect (`estimate_action_effects`) leaves
    out zero: below it a step is never planned, above it the expected gain is effect x value. Otherwise a step is
    planned only in the stages its entry calls `default`, and its gain is missing: not known. First the sum of
    known gains is made as large as capacity allows; then what is left of it goes to steps of unknown
    gain, each partner counting 1 and up to 1 more by the rank of its value.

    Args:
        features: One row a partner, index partner_id; used: `language`, `monetary_value_365d`.
        segments: Index partner_id with `segment` and, if known, `segment_name`.
        rating: Index partner_id with `score`.
        journey: A journey fitted at `as_of`; partners that travel themselves are planned for, deals are not.
        actions: An entry for each action: `stages`, `hours`, `cost`, `channels`, `default`, as in actions.yaml. One
            without any stage of this journey is left out.
        capacity: `manager_hours`, `budget` and `due_days`, as in the section `plan` of programme.yaml.
        log: The table `actions`. Empty: nothing is known about gains.
        consents: The table `consents`.
        preferences: The table `preferences`.
        as_of: Date YYYY-MM-DD; what happened or arrived after its end is not seen.
        value: What one more partner in the next stage is worth a year, by partner_id. None: the median
            `monetary_value_365d` of partners in the next stage (from an exit: in any) less that of those in the
            same stage, at least 0.

    Returns:
        One row a partner with a step, largest known gain first, then largest value: `partner_id`, `stage`,
        `segment` (missing: not known), `action`, `reason` (sentences), `expected_gain` (money a year; missing:
        not known), `channel`, `language`, `topic` (missing: not known), `hours`, `cost`, `due_at`,
        `alternative` (the next best step for the partner; missing: none).

    Raises:
        ValueError: The journey is of another date, or an action names a stage that is not declared beside one that is.

    Example:
        >>> one = pd.Index(["p1"], name="partner_id")
        >>> stages = pd.DataFrame(
        ...     {"partner_id": one, "stage": "recruited", "entered_at": pd.Timestamp("2026-06-01")}
        ... )
        >>> call = {"stages": ["recruited"], "default": ["recruited"], "hours": 0.5, "cost": 20, "channels": ["phone"]}
        >>> plan = plan_next_steps(
        ...     pd.DataFrame({"language": ["uk"]}, index=one),
        ...     pd.DataFrame({"segment": [2]}, index=one),
        ...     pd.DataFrame({"score": [61.0]}, index=one),
        ...     Journey(["recruited", "activated"]).fit({"stages": stages}, as_of="2026-06-30"),
        ...     actions={"welcome_call": call},
        ...     capacity={"manager_hours": 8, "budget": 100, "due_days": 30},
        ...     log=pd.DataFrame(columns=["partner_id", "taken_at", "action"]).astype({"taken_at": "datetime64[us]"}),
        ...     consents=pd.DataFrame(columns=["partner_id", "purpose", "granted", "changed_at"]),
        ...     preferences=pd.DataFrame(columns=["partner_id", "language", "channels", "topics", "avoid"]),
        ...     as_of="2026-06-30",
        ... )
        >>> plan[["partner_id", "action", "expected_gain", "channel", "language"]]
          partner_id        action  expected_gain channel language
        0         p1  welcome_call            NaN   phone       uk
    """
    day = pd.Timestamp(as_of).normalize()
    if f"{day:%Y-%m-%d}" != journey.as_of_:
        raise ValueError(
            f"as_of == {as_of!r}, must be the journey's, {journey.as_of_!r}: fit it again or pass that date"
        )
    actions = _find_actions(actions, journey)
    partners = _find_partners(features, journey, consents, day)
    partners = partners.join(preferences.set_index("partner_id")[["language", "channels", "topics", "avoid"]])
    step_value = _value_next_stage(features, partners, journey) if value is None else value.reindex(partners.index)
    effects = estimate_action_effects(journey, log).set_index(["action", "stage"])
    steps = _list_steps(partners, actions, effects, step_value.astype(float))
    chosen = _choose_steps(steps, float(capacity["manager_hours"]), float(capacity["budget"]))
    plan = chosen.assign(alternative=_find_alternatives(steps, chosen))
    plan = plan.join(partners[["stage", "days_in_stage", "language", "channels", "topics", "avoid"]], on="partner_id")
    plan["segment"] = plan["partner_id"].map(segments["segment"])
    spoken = plan["partner_id"].map(features["language"]) if "language" in features else None
    plan["language"] = plan["language"] if spoken is None else plan["language"].fillna(spoken)
    plan["topic"] = plan["topics"].map(_words).str[0].astype("str")
    plan["reason"] = _tell_reasons(plan, effects, journey, segments, rating)
    plan["due_at"] = day + pd.Timedelta(days=int(capacity["due_days"]))
    order = ["expected_gain", "worth", "partner_id"]
    return plan.sort_values(order, ascending=[False, False, True], ignore_index=True)[_PLAN]


def _find_first_actions(spells: pd.DataFrame, log: pd.DataFrame, day: pd.Timestamp) -> pd.DataFrame:
    """Return one row a spell and action: `spell`, `stage`, `action`, `after` (days in the stage by then)."""
    end = day + pd.Timedelta(days=1)
    late = log["arrived_at"] >= end if "arrived_at" in log else False
    log = log.loc[~((log["taken_at"] >= end) | late), ["partner_id", "taken_at", "action"]]
    taken = spells[["spell", "partner_id", "stage", "entered_at", "left_at"]].merge(log, on="partner_id")
    taken = taken[(taken["taken_at"] >= taken["entered_at"]) & ~(taken["taken_at"] >= taken["left_at"])]
    days = (taken["taken_at"].dt.normalize() - taken["entered_at"].dt.normalize()) / pd.Timedelta(days=1)
    return taken.assign(after=days).groupby(["spell", "stage", "action"])["after"].min().reset_index()


def _compare_spells(spells: pd.DataFrame, horizon: int) -> dict[str, float] | None:
    """Compare the spells of one stage with an action (`after` known) and without; None where too few compare."""
    days, event, after = (spells[name].to_numpy(dtype=float) for name in ("days", "event", "after"))
    treated = ~np.isnan(after)
    # Without the action: everyone up to the day of it, as if not followed any longer.
    waited = np.where(treated, after, days)
    untouched = np.where(treated, WAITING, event).astype(int)
    # Comparable on the day of the action: those still there who do not get the action that day.
    gone = np.searchsorted(np.sort(waited), after[treated], side="left")
    same_day = pd.Series(after[treated]).groupby(after[treated]).transform("size").to_numpy()
    comparable = len(waited) - gone - same_day
    followed = after[treated] + horizon <= waited.max()
    used = (comparable >= LEAST_SEEN) & followed
    if used.sum() < LEAST_SEEN:
        return None
    start = after[treated][used]
    rest, outcome = days[treated][used] - start, event[treated][used].astype(int)
    if not is_followed(rest, outcome, horizon):
        return None
    with_action, variance_with = _incidence_at(rest, outcome, horizon)
    without = float(np.mean(_incidence_from(waited, untouched, start, horizon)))
    variance_without = _binomial_variance(without, 1 / np.mean(1 / comparable[used]))
    return {
        "n": int(used.sum()),
        "n_without": int(np.median(comparable[used])),
        "chance_with": with_action,
        "chance_without": without,
        "difference": with_action - without,
        "variance": variance_with + variance_without,
    }


def _binomial_variance(share: float, n: float) -> float:
    """Variance of a share, kept off zero by half a case on either side."""
    kept = (share * n + 0.5) / (n + 1)
    return kept * (1 - kept) / n


def _incidence_at(days: np.ndarray, event: np.ndarray, horizon: float) -> tuple[float, float]:
    """Return the cumulative incidence of moving forward by the horizon and its variance."""
    table = cumulative_incidence(days, event)
    table = table[(table["event"] == FORWARD) & (table["time"] <= horizon)]
    share, variance = (table["incidence"].iloc[-1], table["std_err"].iloc[-1] ** 2) if len(table) else (0.0, 0.0)
    return float(share), max(float(variance), _binomial_variance(float(share), len(days)))


def _incidence_from(days: np.ndarray, event: np.ndarray, start: np.ndarray, horizon: float) -> np.ndarray:
    """Return the chance to move forward from each starting day on, within the horizon, of those then still there."""
    table = cumulative_incidence(days, event)
    forward = _step_function(table[table["event"] == FORWARD])
    otherwise = _step_function(table[table["event"] == OTHERWISE])
    before, until = np.nextafter(start, -np.inf), start + horizon
    there = 1 - forward(before) - otherwise(before)
    return (forward(until) - forward(before)) / there


def _step_function(table: pd.DataFrame) -> Any:
    times = table["time"].to_numpy(dtype=float)
    height = np.concatenate([[0.0], table["incidence"].to_numpy(dtype=float)])
    return lambda at: height[np.searchsorted(times, at, side="right")]


def _shrink(estimate: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the estimates drawn toward their weighted mean, and their standard errors."""
    if len(estimate) < 2:
        return estimate, np.sqrt(variance)
    weight = 1 / variance
    mean = (weight * estimate).sum() / weight.sum()
    excess = (weight * (estimate - mean) ** 2).sum() - (len(estimate) - 1)
    between = max(excess / (weight.sum() - (weight**2).sum() / weight.sum()), 0.0)
    mean_weight = 1 / (between + variance)
    mean = (mean_weight * estimate).sum() / mean_weight.sum()
    kept = between / (between + variance)
    # The mean's own uncertainty counts as far as an estimate leans on it.
    return mean + kept * (estimate - mean), np.sqrt(kept * variance + (1 - kept) ** 2 / mean_weight.sum())


def _find_actions(actions: Mapping[str, Any], journey: Journey) -> dict[str, Any]:
    """Return the actions of this journey: those whose stages it has; one with none of them is for another journey."""
    known = set(journey.stages + journey.exits)
    for name, entry in actions.items():
        unknown = [stage for stage in entry["stages"] if stage not in known]
        if unknown and len(unknown) < len(entry["stages"]):
            raise ValueError(
                f"{name}.stages: {unknown[0]!r} must be one of {', '.join(journey.stages + journey.exits)}; edit "
                "actions.yaml, or journey.stages in programme.yaml"
            )
    return {name: entry for name, entry in actions.items() if known.intersection(entry["stages"])}


def _find_partners(features: pd.DataFrame, journey: Journey, consents: pd.DataFrame, day: pd.Timestamp) -> pd.DataFrame:
    """Return `stage` and `days_in_stage` of the partners that may be planned for, by partner_id."""
    current = journey.current_[journey.current_["deal_id"].isna()].set_index("partner_id")
    current = current[current.index.isin(features.index)][["stage", "days_in_stage"]].sort_index()
    allowed = consent_at(consents, f"{day:%Y-%m-%d}")
    refused = allowed.index[allowed.eq(False).any(axis=1)]
    return current[~current.index.isin(refused)]


def _value_next_stage(features: pd.DataFrame, partners: pd.DataFrame, journey: Journey) -> pd.Series:
    """Return what the next stage brings more a year than the present one, at the median of each."""
    if "monetary_value_365d" not in features:
        return pd.Series(np.nan, index=partners.index)
    stage = journey.current_[journey.current_["deal_id"].isna()].set_index("partner_id")["stage"]
    typical = features["monetary_value_365d"].groupby(stage.reindex(features.index)).median()
    following = dict(zip(journey.stages[:-1], journey.stages[1:], strict=True))
    there = partners["stage"].map(following).map(typical)
    # Who comes back from an exit is worth what a partner in any stage is.
    back = features["monetary_value_365d"][stage.reindex(features.index).isin(journey.stages)].median()
    there = there.mask(partners["stage"].isin(journey.exits), back)
    here = partners["stage"].map(typical).astype(float)
    return (there.astype(float) - here).clip(lower=0)


def _words(listed: Any) -> list[str]:
    """Split a list written with `;`."""
    return [word.strip().lower() for word in listed.split(";") if word.strip()] if isinstance(listed, str) else []


def _list_steps(
    partners: pd.DataFrame, actions: Mapping[str, Any], effects: pd.DataFrame, value: pd.Series
) -> pd.DataFrame:
    """Return one row a partner and possible step, with what it costs and is expected to bring."""
    liked = partners["channels"].map(_words)
    avoided = partners["avoid"].map(_words)
    rows = []
    for place, (action, entry) in enumerate(actions.items()):
        for stage in entry["stages"]:
            effect = effects.loc[(action, stage)] if (action, stage) in effects.index else None
            helps, harms = (effect["lower"] > 0, effect["upper"] < 0) if effect is not None else (False, False)
            if harms or not (helps or stage in entry["default"]):
                continue
            for partner in partners.index[partners["stage"] == stage]:
                channels = [name for name in entry["channels"] if name not in avoided[partner]]
                if action in avoided[partner] or not channels:
                    continue
                channel = next((name for name in liked[partner] if name in channels), channels[0])
                gain = effect["effect"] * value[partner] if helps and effect is not None else np.nan
                rows.append((partner, action, place, channel, float(entry["hours"]), float(entry["cost"]), gain))
    names = ["partner_id", "action", "place", "channel", "hours", "cost", "expected_gain"]
    steps = pd.DataFrame(rows, columns=names).assign(worth=lambda table: table["partner_id"].map(value))
    # What brings nothing is no step; a partner's best known gain comes first, then the order of the file.
    steps = steps[~(steps["expected_gain"] <= 0)]
    order = ["partner_id", "expected_gain", "place"]
    return steps.sort_values(order, ascending=[True, False, True], ignore_index=True)


def _choose_steps(steps: pd.DataFrame, hours: float, budget: float) -> pd.DataFrame:
    """Return the rows of the plan: known gains first, then steps of unknown gain with what is left."""
    known = steps[steps["expected_gain"].notna()]
    best = known[_solve(known, known["expected_gain"].to_numpy(dtype=float), hours, budget)]
    rest = steps[steps["expected_gain"].isna() & ~steps["partner_id"].isin(best["partner_id"])]
    # Each partner counts 1, and up to 1 more by the rank of its worth.
    weight = 1 + rest["worth"].rank(pct=True).fillna(0).to_numpy(dtype=float)
    more = rest[_solve(rest, weight, hours - best["hours"].sum(), budget - best["cost"].sum())]
    return pd.concat([best, more])


def _solve(steps: pd.DataFrame, gain: np.ndarray, hours: float, budget: float) -> np.ndarray:
    """Return which rows to take: the largest sum of gains, one row a partner, within hours and budget.

    The linear program prices hours and money and so bounds what any plan can reach. Rounded down and filled up
    it is a plan itself. Where that stays below the bound, the integer program looks for a better one among the
    rows that, by their prices, can be in it.
    """
    taken = np.zeros(len(steps), dtype=bool)
    limits = np.maximum([hours, budget], 0.0)
    if steps.empty:
        return taken
    partner = pd.factorize(steps["partner_id"])[0]
    uses = steps[["hours", "cost"]].to_numpy(dtype=float)
    one_each = csr_array((np.ones(len(steps)), (partner, np.arange(len(steps)))))
    rows = vstack([one_each, csr_array(uses.T)]).tocsr()
    bounds = np.concatenate([np.ones(one_each.shape[0]), limits])
    relaxed = linprog(-gain, A_ub=rows, b_ub=bounds, bounds=(0, 1), method="highs")
    prices = -relaxed.ineqlin.marginals[-2:]
    reduced = gain - uses @ prices
    best = np.maximum(pd.Series(reduced).groupby(partner).transform("max").to_numpy(), 0.0)
    order = np.argsort(-reduced, kind="stable")
    taken = _fill_up(relaxed.x > 1 - 1e-6, order, partner, uses, limits)
    gap = -relaxed.fun - gain[taken].sum()
    if gap <= 1e-9 * -relaxed.fun:
        return taken
    open_rows = np.flatnonzero(best - reduced <= gap * (1 + 1e-9))
    found = milp(
        -gain[open_rows],
        integrality=np.ones(len(open_rows)),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(one_each[:, open_rows], -np.inf, 1),
            LinearConstraint(uses[open_rows].T, -np.inf, limits),
        ],
        options={"mip_rel_gap": 1e-9, "node_limit": _NODES},
    )
    if found.x is None:
        return taken
    better = np.zeros(len(steps), dtype=bool)
    better[open_rows] = found.x > 0.5
    better = _fill_up(better, order, partner, uses, limits)
    return better if gain[better].sum() > gain[taken].sum() else taken


def _fill_up(
    wanted: np.ndarray, order: np.ndarray, partner: np.ndarray, uses: np.ndarray, limits: np.ndarray
) -> np.ndarray:
    """Take the wanted rows and then all others, each in the given order, as far as limits and partners allow."""
    taken, done, left = np.zeros(len(wanted), dtype=bool), np.zeros(partner.max() + 1, dtype=bool), limits.copy()
    for row in np.concatenate([order[wanted[order]], order[~wanted[order]]]):
        if not done[partner[row]] and (uses[row] <= left + 1e-9 * limits).all():  # sums of decimals are not exact
            taken[row] = done[partner[row]] = True
            left -= uses[row]
    return taken


def _find_alternatives(steps: pd.DataFrame, chosen: pd.DataFrame) -> pd.Series:
    """Return the next best action for each row of the plan; missing where the partner has no other step."""
    others = steps.drop(index=chosen.index).drop_duplicates("partner_id").set_index("partner_id")["action"]
    return chosen["partner_id"].map(others).astype("str")


def _tell_reasons(
    plan: pd.DataFrame, effects: pd.DataFrame, journey: Journey, segments: pd.DataFrame, rating: pd.DataFrame
) -> list[str]:
    """Return for each row why this step, and at the end which kinds of data spoke."""
    medians = journey.time_in_stage().set_index("stage")["median_days"]
    names = segments["segment_name" if "segment_name" in segments else "segment"]
    reasons = []
    for step in plan.to_dict("records"):
        told, spoke = [], ["journey"]
        since = "since an unknown day" if pd.isna(step["days_in_stage"]) else f"for {step['days_in_stage']:.0f} days"
        usual = medians.get(step["stage"], np.nan)
        told.append(f"In stage {step['stage']} {since}{'' if pd.isna(usual) else f', half leave within {usual:.0f}'}.")
        if (step["action"], step["stage"]) in effects.index:
            effect = effects.loc[(step["action"], step["stage"])]
            spoke.append("logged actions")
            told.append(
                f"Of {effect['n']:.0f} partners who got this step there, {effect['chance_with']:.0%} moved on within "
                f"{journey.horizon_days} days, {effect['chance_without']:.0%} of comparable ones without it."
            )
            if not effect["lower"] > 0:
                told.append("That is no clear difference; it is a standard step of the stage.")
        else:
            told.append("What it does here is not known from logged actions; it is a standard step of the stage.")
        for kind, found in {"segment": names, "rating": rating["score"]}.items():
            own = found.get(step["partner_id"])
            if pd.notna(own):
                told.append(f"{kind.capitalize()} {own if kind == 'segment' else format(own, '.0f') + ' of 100'}.")
                spoke.append(kind)
        if pd.notna(step["expected_gain"]):
            spoke.append("revenue")
        if isinstance(step["channels"], str) or isinstance(step["avoid"], str):
            spoke.append("preferences")
        reasons.append(" ".join([*told, f"From: {', '.join(spoke)}."]))
    return reasons
