"""Next steps: at most one for each partner, the whole programme planned together under one capacity."""

import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd

from partnerseg.journey.capacity import choose_steps
from partnerseg.journey.stages import YEAR_DAYS, Journey
from partnerseg.journey.step_plans import WORDS, find_done, split_effects
from partnerseg.programme.consent import consent_at

LEAST_DAYS = 7  # nothing is due earlier than this, unless everything is
PLAN = [
    "partner_id", "stage", "segment", "action", "reason", "spoke", "expected_gain", "gain_lower", "gain_upper",
    "channel", "language", "topic", "owner", "hours", "cost", "due_at", "alternative", "refusal_cost",
]  # fmt: skip
KINDS = ("demographic", "behavior", "engagement", "performance", "preferences", "feedback")
TALK = "phone"  # the channel on which an unhappy partner is reached first
# What tells on which channels a partner was in contact; messages count as far as they were opened.
_CONTACTS = {
    "email": "email_touches_365d",
    "phone": "phone_touches_365d",
    "webinar": "event_touches_365d",
    "event": "event_touches_365d",
    "portal": "portal_touches_365d",
}
_ALIKE = 0.85  # from which on one name is taken for a slip of another (difflib's ratio)
_TOLD = 5  # unknown words that a warning names
_NO_STEPS = {
    "at": np.array([], dtype=int),
    "place": np.array([], dtype=int),
    "channel": np.array([], dtype=object),
    **{name: np.array([], dtype=bool) for name in ("talks", "by_wish", "by_answer", "fits_weakest", "default")},
    **{name: np.array([], dtype=float) for name in ("hours", "cost")},
}
_EFFECT = ["n", "chance_with", "chance_without", "effect_value", "lower_value", "upper_value"]


def plan_next_steps(
    features: pd.DataFrame,
    segments: pd.DataFrame,
    rating: pd.DataFrame,
    journey: Journey,
    *,
    actions: Mapping[str, Any],
    capacity: Mapping[str, Any],
    effects: pd.DataFrame | None = None,
    consents: pd.DataFrame,
    preferences: pd.DataFrame,
    tickets: pd.DataFrame | None = None,
    log: pd.DataFrame | None = None,
    as_of: str,
    value: pd.Series | None = None,
) -> pd.DataFrame:
    """Plan at most one next step for each partner, all together under one capacity.

    A step is possible in the stages its entry names, unless the partner avoids it, all its channels or all its topics,
    has paused navigation, or has withdrawn consent to marketing or analytics (`consent_at`; who never said anything has
    not refused). An unhappy partner (an open complaint, or more bad than good marks in `partner_nps_365d`) first gets a
    step that can be taken by phone, if there is one, by phone.

    The gain of a step is its effect on the chance to move forward x what the next stage is worth more a year, plus
    its effect on value x the partner's own revenue in one horizon; each counts only where its interval leaves out
    zero. What counts is the effect in the partner's segment where something clear is told of it, else that on all. A
    step that clearly harms in one of the two is never planned. Gains are revenue, before the cost of the step, which
    the budget bounds; a step is not worth taking where even the upper end of its gain is below its cost. Where no
    effect is told, a step is planned only in the stages its entry calls `default`, and its gain is missing: not known.
    What the partner has had since it entered its stage is not planned again; only a step that clearly helps may be,
    once `horizon_days` of the journey have passed.

    First the sum of known gains is made as large as capacity allows (`choose_steps`); then what is left goes to steps
    of unknown gain, each partner counting 1, up to 1 more by the rank of its value, and half more for a step that
    works on the partner's weakest factor.

    Args:
        features: One row a partner, index partner_id; used where there: `language`, `monetary_value_365d`,
            `partner_nps_365d`, `open_rate_365d` and the contacts by channel (`email_touches_365d`, `phone_`, `event_`,
            `portal_`).
        segments: Index partner_id with `segment`.
        rating: Index partner_id with, where known, `weakest_factor` (name of the factor that costs most points).
        journey: A journey fitted at `as_of`; partners that travel themselves are planned for, deals are not.
        actions: An entry for each action, as in actions.yaml: `stages`, `hours`, `cost`, `channels`, `default`, and
            perhaps `owner` (a role), `seats` (how many partners one plan may give it to; 0: no limit), `topics` (what
            it can be about; none: anything) and `factors` (of the rating, that it works on). One without any stage of
            this journey is left out.
        capacity: `manager_hours`, `budget`, `due_days`, as in the section `plan` of programme.yaml, and perhaps
            `owner_hours` (hours of each role; a role that is not named has only the limit of all).
        effects: As `estimate_action_effects` returns them, with a column `segment` for those in segments (missing: on
            all). None: estimated from the journey's own decisions.
        consents: The table `consents`.
        preferences: The table `preferences`; its lists may be separated by `;`, `,` or line breaks, in small letters or
            capitals. A word in `avoid` that is no action, channel or topic binds nothing: it is warned of
            (`find_unknown_words`).
        tickets: The table `tickets`, for open complaints. None: not known.
        log: The table `actions`, for steps already taken. None: not known.
        as_of: Date YYYY-MM-DD; what happened or arrived after its end is not seen.
        value: What one more partner in the next stage is worth a year, by partner_id. None: the median
            `monetary_value_365d` of partners in the next stage (from an exit: in any) less that of those in the
            same stage, at least 0.

    Returns:
        One row a partner with a step, largest known gain first, then largest value: `partner_id`, `stage`, `segment`
        (missing: not known), `action`, `reason` (sentences), `spoke` (which of the six kinds of data shaped the row,
        separated by `, `), `expected_gain` (money; missing: not known) with `gain_lower`, `gain_upper` (the ends of
        both effects added), `channel` (a wished one first, then where the partner answers most, then as in the
        entry), `language`, `topic` (the first wished one that the step can be about; missing: none), `owner`, `hours`,
        `cost`, `due_at` (earlier in proportion for who has been in the stage longer than half stay, at once after
        an open complaint; never under 7 days), `alternative` (the next best step that capacity allows in its place;
        missing: none) and `refusal_cost` (known gain that is lost by taking the alternative, or nothing, instead; an
        unknown gain counts as none; missing where the step's own gain is not known).

    Raises:
        ValueError: The journey is of another date, an action has no channels or names a stage that is not declared
            beside one that is, or nearly as one that is, or `owner_hours` a role that no action has.

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
        ...     consents=pd.DataFrame(columns=["partner_id", "purpose", "granted", "changed_at"]),
        ...     preferences=pd.DataFrame(columns=["partner_id", "language", "channels", "topics", "avoid"]),
        ...     as_of="2026-06-30",
        ... )
        >>> plan[["partner_id", "action", "channel", "language", "spoke"]]
          partner_id        action channel language                  spoke
        0         p1  welcome_call   phone       uk  demographic, behavior
        >>> plan["reason"].iloc[0]
        'In stage recruited for 29 days. What it brings here is not known yet; it is the standard step of the stage.'
    """
    day = pd.Timestamp(as_of).normalize()
    if f"{day:%Y-%m-%d}" != journey.as_of_:
        raise ValueError(
            f"as_of == {as_of!r}, must be the journey's, {journey.as_of_!r}: fit it again or pass that date"
        )
    _warn_of_words(find_unknown_words(preferences, actions))
    actions = _find_actions(actions, journey)
    if effects is None:
        from partnerseg.journey.effects import estimate_action_effects

        effects = estimate_action_effects(journey.decisions_)
    partners = _find_partners(features, journey, consents, day)
    partners["segment"] = segments["segment"].reindex(partners.index)
    worth = _value_next_stage(features, partners, journey) if value is None else value.reindex(partners.index)
    partners["worth"] = worth.astype(float).clip(lower=0)
    partners["revenue"] = _take(features, "monetary_value_365d", partners.index).clip(lower=0)
    partners["revenue"] *= journey.horizon_days / YEAR_DAYS
    partners["weakest"] = rating["weakest_factor"].reindex(partners.index) if "weakest_factor" in rating else None
    partners["complains"] = partners.index.isin(_list_complaining(tickets, day))
    partners["unhappy"] = partners["complains"] | (_take(features, "partner_nps_365d", partners.index) < 0)
    wishes = _read_wishes(preferences, partners.index)
    steps = _list_steps(partners, actions, wishes, _count_contacts(features, partners.index))
    steps = _count_gains(steps, partners, effects)
    if log is not None:
        entered = partners["entered_at"].to_numpy()[steps["at"]]
        had = find_done(steps.assign(entered_at=entered, clear=steps["helps"]), log, as_of, journey.horizon_days)
        steps = steps[~had].reset_index(drop=True)
    steps = _keep_calls(steps, partners)
    limits = _list_limits(steps, actions, capacity)
    chosen = _choose(steps, limits)
    plan = pd.concat([steps.loc[chosen], _find_alternatives(steps, chosen, limits)], axis=1)
    plan = plan.join(partners.drop(columns=["stage", "segment", "worth"]), on="partner_id")
    plan = _add_details(plan, actions, wishes, features)
    medians = journey.time_in_stage().set_index("stage")["median_days"]
    plan["median"] = plan["stage"].map(medians).astype(float)
    plan["due_at"] = day + pd.to_timedelta(_count_due_days(plan, int(capacity["due_days"])), unit="D")
    plan["reason"] = _tell_reasons(plan, journey.horizon_days)
    plan["spoke"] = _tell_kinds(plan)
    order = ["expected_gain", "worth", "partner_id"]
    return plan.sort_values(order, ascending=[False, False, True], ignore_index=True)[PLAN]


def find_unknown_words(preferences: pd.DataFrame, actions: Mapping[str, Any]) -> pd.DataFrame:
    """List the words in `avoid` that are no action, channel or topic, and so keep no step away.

    Args:
        preferences: The table `preferences`; `partner_id` and `avoid` are read.
        actions: An entry for each action, as in actions.yaml; its names, `channels` and `topics` are known words.

    Returns:
        One row a partner and unknown word, in the order of the table: `partner_id`, `word` (in small letters) and
        `nearest` (the known word most like it; missing: none is).

    Example:
        >>> preferences = pd.DataFrame({"partner_id": ["p1", "p2"], "avoid": ["phone; webinars", "Webinar"]})
        >>> find_unknown_words(preferences, {"course": {"channels": ["phone", "webinar"]}})
          partner_id      word  nearest
        0         p1  webinars  webinar
    """
    listed = (name for entry in actions.values() for key in ("channels", "topics") for name in entry.get(key, ()))
    known = sorted({str(name).casefold() for name in (*actions, *listed, *_CONTACTS)})
    words = _split_words(preferences, "avoid")
    words = words[~words["word"].isin(known)].reset_index(drop=True)
    nearest = {word: next(iter(get_close_matches(word, known, n=1)), None) for word in words["word"].unique()}
    return words.assign(nearest=words["word"].map(nearest).astype("str"))


def _warn_of_words(unknown: pd.DataFrame) -> None:
    if unknown.empty:
        return
    told = [f"{row.word!r} of partner {row.partner_id}" for row in unknown.head(_TOLD).itertuples()]
    more = f" and {len(unknown) - _TOLD} more" if len(unknown) > _TOLD else ""
    warnings.warn(
        f"preferences.avoid: {', '.join(told)}{more} keeps no step away, must be an action, channel or topic of "
        "actions.yaml; correct the preference, or name it there (find_unknown_words lists all)",
        stacklevel=3,
    )


def _split_words(preferences: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return one row a partner and word of one of its lists, in small letters: `partner_id`, `word`."""
    lists = preferences[["partner_id", name]].dropna().reset_index(drop=True)
    words = lists[name].astype("str").str.casefold().str.split(WORDS, regex=True).explode().str.strip()
    told = pd.DataFrame({"partner_id": lists["partner_id"].reindex(words.index), "word": words})
    return told[told["word"] != ""].drop_duplicates(ignore_index=True)


def _find_actions(actions: Mapping[str, Any], journey: Journey) -> dict[str, Any]:
    """Return the actions of this journey: those whose stages it has; one with none of them is for another journey.

    But not where a stage is written nearly as one of this journey: that is a slip.
    """
    known = set(journey.stages + journey.exits)
    for name, entry in actions.items():
        if not entry["channels"]:
            raise ValueError(f"{name}.channels == [], must name at least one way to take the step; edit actions.yaml")
        unknown = [stage for stage in entry["stages"] if stage not in known]
        near = [(stage, like) for stage in unknown for like in get_close_matches(stage, sorted(known), 1, _ALIKE)]
        if near or 0 < len(unknown) < len(entry["stages"]):
            stage, like = near[0] if near else (unknown[0], "")
            raise ValueError(
                f"{name}.stages: {stage!r} must be one of {', '.join(journey.stages + journey.exits)}"
                f"{f'; did you mean {like!r}?' if like else ''}; edit actions.yaml, or journey.stages in programme.yaml"
            )
    return {name: entry for name, entry in actions.items() if known.intersection(entry["stages"])}


def _find_partners(features: pd.DataFrame, journey: Journey, consents: pd.DataFrame, day: pd.Timestamp) -> pd.DataFrame:
    """Return `stage`, `entered_at` and `days_in_stage` of the partners that may be planned for, by partner_id."""
    current = journey.current_[journey.current_["deal_id"].isna()].set_index("partner_id")
    current = current[current.index.isin(features.index)][["stage", "entered_at", "days_in_stage"]].sort_index()
    allowed = consent_at(consents, f"{day:%Y-%m-%d}")
    refused = allowed.index[allowed.eq(False).any(axis=1)]
    return current[~current.index.isin(refused)].copy()


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


def _take(features: pd.DataFrame, name: str, index: pd.Index) -> pd.Series:
    """Return a feature as numbers, missing where it is not there."""
    found = features[name] if name in features else pd.Series(np.nan, index=features.index)
    return found.reindex(index).astype(float)


def _list_complaining(tickets: pd.DataFrame | None, day: pd.Timestamp) -> pd.Series:
    """Return the partners with a complaint that is open at the end of the day, as known then."""
    if tickets is None:
        return pd.Series([], dtype="str")
    end = day + pd.Timedelta(days=1)
    open_ = (tickets["kind"] == "complaint") & (tickets["opened_at"] < end)
    if "resolved_at" in tickets:
        open_ &= ~(tickets["resolved_at"] < end)
    if "arrived_at" in tickets:
        open_ &= ~(tickets["arrived_at"] >= end)
    return tickets.loc[open_, "partner_id"]


def _read_wishes(preferences: pd.DataFrame, index: pd.Index) -> dict[str, pd.DataFrame]:
    """Return `channels`, `topics` and `avoid` as one row a word (`at` a partner, `word`), and `language`."""
    known = preferences[preferences["partner_id"].isin(index)]
    wishes = {}
    for name in ("channels", "topics", "avoid"):
        words = _split_words(known, name)
        wishes[name] = words.assign(at=index.get_indexer(pd.Index(words["partner_id"])))[["at", "word"]]
    language = known.dropna(subset=["language"]).drop_duplicates("partner_id", keep="last")
    wishes["language"] = language.set_index("partner_id")[["language"]]
    return wishes


def _count_contacts(features: pd.DataFrame, index: pd.Index) -> pd.DataFrame:
    """Return how often a partner was reached on each channel in the year before; 0 where nothing is known."""
    contacts = {channel: _take(features, name, index) for channel, name in _CONTACTS.items()}
    contacts["email"] = contacts["email"] * _take(features, "open_rate_365d", index)
    return pd.DataFrame(contacts).fillna(0.0)


def _list_steps(
    partners: pd.DataFrame, actions: Mapping[str, Any], wishes: dict[str, pd.DataFrame], contacts: pd.DataFrame
) -> pd.DataFrame:
    """Return one row a partner and step that it does not avoid, with the channel and why that one.

    Rows are in the order of partners and, within them, of the actions.
    """
    channels = list(dict.fromkeys(channel.casefold() for entry in actions.values() for channel in entry["channels"]))
    liked = _spread(wishes["channels"], channels, len(partners), first=True)
    # An action may be called as a channel is: whoever avoids the one then avoids both.
    topics = (topic.casefold() for entry in actions.values() for topic in entry.get("topics", ()))
    names = list(dict.fromkeys([*channels, *(action.casefold() for action in actions), *topics]))
    avoided = _spread(wishes["avoid"], names, len(partners)) < np.inf
    avoids_any = pd.Series(avoided.any(axis=1))
    reached = contacts.reindex(columns=channels, fill_value=0.0).to_numpy(dtype=float)
    stage, unhappy, weakest = (partners[name].to_numpy() for name in ("stage", "unhappy", "weakest"))
    parts = []
    for place, (action, entry) in enumerate(actions.items()):
        own = np.array([channels.index(channel.casefold()) for channel in entry["channels"]], dtype=int)
        shunned = avoided[:, own]
        about = [names.index(topic.casefold()) for topic in entry.get("topics", ())]
        possible = np.isin(stage, list(entry["stages"])) & ~shunned.all(axis=1)
        possible &= ~avoided[:, names.index(action.casefold())]
        if about:
            possible &= ~avoided[:, about].all(axis=1)
        at = np.flatnonzero(possible)
        shunned = shunned[at]
        likes = np.where(shunned, np.inf, liked[np.ix_(at, own)])
        answers = np.where(shunned, 0.0, reached[np.ix_(at, own)])
        by_wish, by_answer = np.isfinite(likes).any(axis=1), answers.max(axis=1) > 0
        pick = np.where(
            by_wish, likes.argmin(axis=1), np.where(by_answer, answers.argmax(axis=1), shunned.argmin(axis=1))
        )
        spoken = [channel.casefold() for channel in entry["channels"]]
        talk = spoken.index(TALK) if TALK in spoken else -1
        talks = (talk >= 0) & unhappy[at] & ~shunned[:, talk]
        pick = np.where(talks, talk, pick)
        part = pd.DataFrame({"at": at, "place": place, "talks": talks})
        part["channel"] = np.array(entry["channels"], dtype=object)[pick]
        part["by_wish"], part["by_answer"] = by_wish & ~talks, by_answer & ~by_wish & ~talks
        part["fits_weakest"] = np.isin(weakest[at], list(entry.get("factors", ())))
        part["default"] = np.isin(stage[at], list(entry["default"]))
        parts.append(part.assign(hours=float(entry["hours"]), cost=float(entry["cost"])))
    steps = pd.concat(parts) if parts else pd.DataFrame(_NO_STEPS)
    steps = steps.sort_values(["at", "place"], ignore_index=True)
    steps["partner_id"] = partners.index.to_numpy()[steps["at"]]
    steps["stage"], steps["segment"] = stage[steps["at"]], partners["segment"].to_numpy()[steps["at"]]
    steps["action"] = np.array([*actions, ""], dtype=object)[steps["place"]]
    steps["shunned"] = avoids_any.to_numpy()[steps["at"]]
    return steps


def _spread(words: pd.DataFrame, names: list[str], n: int, *, first: bool = False) -> np.ndarray:
    """Return a table of partners and names: infinite where the partner has not said it, else its place in the list."""
    table = np.full((n, len(names)), np.inf)
    column = pd.Index(names).get_indexer(pd.Index(words["word"])) if len(words) else np.array([], dtype=int)
    place = words.groupby("at").cumcount().to_numpy() if first else np.zeros(len(words))
    known = column >= 0
    table[words["at"].to_numpy(dtype=int)[known], column[known]] = place[known]
    return table


def _count_gains(steps: pd.DataFrame, partners: pd.DataFrame, effects: pd.DataFrame) -> pd.DataFrame:
    """Add the gain of each step and its interval; leave out what harms, brings nothing or is no step without proof."""
    own = _find_effects(steps, effects)
    steps = steps.assign(**{name: own[name].to_numpy(dtype=float) for name in _EFFECT})
    parts, helps, harms = [], np.zeros(len(steps), dtype=bool), np.zeros(len(steps), dtype=bool)
    for name, money in {"chance": "worth", "value": "revenue"}.items():
        effect, lower, upper = (own[f"{end}_{name}"].to_numpy(dtype=float) for end in ("effect", "lower", "upper"))
        good, bad = lower > 0, upper < 0
        helps, harms = helps | good, harms | bad
        amount = partners[money].to_numpy()[steps["at"]] * np.column_stack([effect, lower, upper]).T
        parts.append(np.where(good, amount, 0.0))
        steps[f"counts_{name}"] = good
    both = np.stack(parts)  # of the effects on chance and value: gain, lower, upper of each step
    gain, lower, upper = np.nansum(both, axis=0)
    unknown = np.isnan(both[:, 0]).any(axis=0)
    # Of a help in unknown money nothing is known but that it helps.
    nothing = unknown & (np.isnan(both[:, 0]) | (both[:, 0] == 0)).all(axis=0)
    keep = ~harms & (helps | steps["default"].to_numpy(dtype=bool))
    known = helps & ~nothing
    keep &= ~known | ((gain > 0) & (upper >= steps["cost"].to_numpy()))
    for name, amount in {"expected_gain": gain, "gain_lower": lower, "gain_upper": upper}.items():
        steps[name] = np.where(known, amount, np.nan)
    steps["helps"] = helps
    steps["worth"] = partners["worth"].to_numpy()[steps["at"]]
    return steps[keep].reset_index(drop=True)


def _find_effects(steps: pd.DataFrame, effects: pd.DataFrame) -> pd.DataFrame:
    """Return the effect of each step: that in the segment where it tells something clear, else that on all."""
    ends = [f"{end}_{name}" for name in ("chance", "value") for end in ("effect", "lower", "upper")]
    told = [*dict.fromkeys([*_EFFECT, *ends])]
    tables = []
    for table, keys in zip(split_effects(effects), (["action", "stage"], ["action", "stage", "segment"]), strict=True):
        known = table[keys + told].astype({key: object for key in keys})
        found = steps[keys].astype(object).merge(known, on=keys, how="left", validate="many_to_one")
        tables.append(found[told].astype(float))
    whole, own = tables
    lower, upper = own[["lower_chance", "lower_value"]], own[["upper_chance", "upper_value"]]
    clear = (lower > 0).any(axis=1) | (upper < 0).any(axis=1)
    return own.where(clear | whole["n"].isna(), whole)


def _keep_calls(steps: pd.DataFrame, partners: pd.DataFrame) -> pd.DataFrame:
    """Leave an unhappy partner only the steps taken by phone, if it has any."""
    calls = np.zeros(len(partners), dtype=bool)
    calls[steps.loc[steps["talks"], "at"]] = True
    return steps[steps["talks"] | ~calls[steps["at"]]].reset_index(drop=True)


def _list_limits(steps: pd.DataFrame, actions: Mapping[str, Any], capacity: Mapping[str, Any]) -> dict[str, float]:
    """Return the limits by name and add to the steps a column with what each uses of it."""
    limits = {"manager hours": float(capacity["manager_hours"]), "budget": float(capacity["budget"])}
    steps["manager hours"], steps["budget"] = steps["hours"].astype(float), steps["cost"].astype(float)
    owners = {name: entry.get("owner", "") for name, entry in actions.items()}
    steps["owner"] = steps["action"].map(owners).replace("", np.nan).astype("str")
    for role, hours in dict(capacity.get("owner_hours", {})).items():
        if role not in owners.values():
            raise ValueError(
                f"plan.owner_hours: {role!r} must be the owner of an action, one of "
                f"{', '.join(sorted(set(owners.values())))}; edit plan.owner_hours in programme.yaml, or owner in "
                "actions.yaml"
            )
        limits[f"hours of {role}"] = float(hours)
        steps[f"hours of {role}"] = np.where(steps["owner"] == role, steps["hours"].astype(float), 0.0)
    for action, entry in actions.items():
        if entry.get("seats", 0):
            limits[f"seats of {action}"] = float(entry["seats"])
            steps[f"seats of {action}"] = (steps["action"] == action).astype(float)
    return limits


def _choose(steps: pd.DataFrame, limits: Mapping[str, float]) -> np.ndarray:
    """Return the rows of the plan: known gains first, then steps of unknown gain with what is left."""
    known = np.flatnonzero(steps["expected_gain"].notna())
    told = steps.iloc[known]
    best = known[choose_steps(told.assign(gain=told["expected_gain"]), limits).taken]
    used = steps[list(limits)].to_numpy(dtype=float)[best].sum(axis=0)
    left = {name: max(limit - own, 0.0) for (name, limit), own in zip(limits.items(), used, strict=True)}
    rest = steps[steps["expected_gain"].isna() & ~steps["at"].isin(steps["at"].iloc[best])]
    weight = 1 + rest["worth"].rank(pct=True).fillna(0).round(2) + 0.5 * rest["fits_weakest"]
    more = rest.index.to_numpy()[choose_steps(rest.assign(gain=weight), left).taken]
    return np.concatenate([best, more])


def _find_alternatives(steps: pd.DataFrame, chosen: np.ndarray, limits: Mapping[str, float]) -> pd.DataFrame:
    """Return `alternative` and `refusal_cost` of each row of the plan: the next best step that fits in its place."""
    uses = steps[list(limits)].to_numpy(dtype=float)
    ceilings = np.array(list(limits.values()), dtype=float)
    left = ceilings - uses[chosen].sum(axis=0)
    row_of = np.full(int(steps["at"].max()) + 1 if len(steps) else 0, -1)
    row_of[steps["at"].to_numpy()[chosen]] = chosen
    first = row_of[steps["at"]]
    other = np.flatnonzero((first >= 0) & (first != np.arange(len(steps))))
    slack = 1e-9 * np.where(np.isinf(ceilings), 0.0, ceilings)
    other = other[(uses[other] - uses[first[other]] <= left + slack).all(axis=1)]
    others = steps.iloc[other].sort_values(["at", "expected_gain", "place"], ascending=[True, False, True])
    others = others.drop_duplicates("at").set_index("at")[["action", "expected_gain"]].add_suffix("_other")
    plan = steps.iloc[chosen][["at", "expected_gain"]].join(others, on="at")
    cost = plan["expected_gain"] - plan["expected_gain_other"].fillna(0.0)
    return pd.DataFrame({"alternative": plan["action_other"].astype("str"), "refusal_cost": cost})


def _add_details(
    plan: pd.DataFrame, actions: Mapping[str, Any], wishes: dict[str, pd.DataFrame], features: pd.DataFrame
) -> pd.DataFrame:
    """Add `language`, where it is from, and `topic`: the first that is wished, not avoided, and in the step's reach."""
    asked = plan["partner_id"].map(wishes["language"]["language"])
    spoken = plan["partner_id"].map(features["language"]) if "language" in features else asked
    plan["language"], plan["by_language"] = asked.astype("str").fillna(spoken), asked.notna()
    can = pd.DataFrame(
        [(name, topic.casefold()) for name, entry in actions.items() for topic in entry.get("topics", ())],
        columns=["action", "word"],
        dtype="str",
    )
    wished = (
        wishes["topics"]
        .reset_index(names="place")
        .merge(wishes["avoid"], on=["at", "word"], how="left", indicator=True)
    )
    wanted = plan[["at", "action"]].merge(wished[wished["_merge"] == "left_only"], on="at")
    fits = pd.MultiIndex.from_frame(wanted[["action", "word"]]).isin(pd.MultiIndex.from_frame(can))
    wanted = wanted[fits | ~wanted["action"].isin(can["action"])].sort_values("place").drop_duplicates("at")
    plan["topic"] = plan["at"].map(wanted.set_index("at")["word"]).astype("str")
    return plan


def _count_due_days(plan: pd.DataFrame, due_days: int) -> np.ndarray:
    """Return in how many days each step is due: the longer past the usual time in the stage, the sooner."""
    least = min(LEAST_DAYS, due_days)
    late = (plan["median"] / plan["days_in_stage"].where(plan["days_in_stage"] > 0)).fillna(1.0).clip(upper=1.0)
    days = np.ceil(due_days * late.to_numpy(dtype=float))
    return np.where(plan["complains"], least, np.maximum(days, least)).astype(int)


def _tell_kinds(plan: pd.DataFrame) -> np.ndarray:
    """Tell which kinds of data shaped each row: without them another step, channel, text or date might stand there."""
    used = {
        "demographic": plan["language"].notna() & ~plan["by_language"],
        "behavior": pd.Series(True, index=plan.index),  # its stage, the time in it, its revenue
        "engagement": plan["by_answer"],
        "performance": plan["fits_weakest"] & plan["expected_gain"].isna(),
        "preferences": plan["by_wish"] | plan["shunned"] | plan["by_language"] | plan["topic"].notna(),
        "feedback": plan["talks"],
    }
    told = np.full(len(plan), "", dtype=object)
    for kind in KINDS:
        told = told + np.where(used[kind].to_numpy(dtype=bool), f", {kind}", "").astype(object)
    return pd.Series(told, dtype="str").str[2:].to_numpy()


def _tell_reasons(plan: pd.DataFrame, horizon_days: int) -> list[str]:
    """Tell for each row in short sentences why this step, why so and why then."""
    names = [
        "stage", "days_in_stage", "median", "action", "channel", "talks", "complains", "by_wish", "by_answer",
        "weakest", "fits_weakest", "counts_chance", "counts_value", *_EFFECT,
    ]  # fmt: skip
    return [_tell_reason(row, horizon_days) for row in plan[names].itertuples(index=False)]


def _tell_reason(step: Any, horizon_days: int) -> str:
    told = []
    if step.talks:
        told.append(f"{'A complaint is open' if step.complains else 'Unhappy with us at last asking'}: call first.")
    since = "since an unknown day" if np.isnan(step.days_in_stage) else f"for {_count(step.days_in_stage, 'day')}"
    usual = "" if np.isnan(step.median) else f"; half leave within {step.median:.0f}"
    told.append(f"In stage {step.stage} {since}{usual}.")
    if step.counts_chance:
        told.append(
            f"Of {_count(step.n, 'like case')} with this step, {step.chance_with:.0%} moved on within "
            f"{horizon_days} days, {step.chance_without:.0%} without it."
        )
    if step.counts_value:
        told.append(
            f"It raised revenue of the next {horizon_days} days by {step.effect_value:.0%} "
            f"({step.lower_value:.0%} to {step.upper_value:.0%})."
        )
    if not (step.counts_chance or step.counts_value):
        known = "Past cases show no clear gain" if step.n > 0 else "What it brings here is not known yet"
        told.append(f"{known}; it is the standard step of the stage.")
    if step.fits_weakest:
        told.append(f"It works on the weakest point, {step.weakest.replace('_', ' ')}.")
    if step.by_wish:
        told.append(f"Wishes to be reached by {step.channel}.")
    elif step.by_answer:
        told.append(f"Answers most by {step.channel}.")
    return " ".join(told)


def _count(number: float, noun: str) -> str:
    return f"{number:.0f} {noun}{'' if round(number) == 1 else 's'}"
