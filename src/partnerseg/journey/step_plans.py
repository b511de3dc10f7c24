"""Step-by-step plans: what to do in which stage, for each segment and within it for each partner."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

DONE, NEXT, LATER = "done", "next", "later"
WORDS = r"[;,\r\n]"  # what stands between the words of a list; no name in actions.yaml holds one
_SEGMENT_PLAN = ["segment", "stage", "step", "action", "clear", "effect_chance", "effect_value"]
_PARTNER_PLAN = ["partner_id", "step", "stage", "action", "status"]


def plan_segments(
    effects: pd.DataFrame, actions: Mapping[str, Any], *, stages: Sequence[str], segments: Iterable[Any] = ()
) -> pd.DataFrame:
    """List the steps of every stage for each segment, the best first.

    First come the actions that clearly help there, as logged actions tell of this segment, or of all partners where of
    the segment nothing clear is told; then the standard steps of the stage (`default` in actions.yaml), in their
    order. An action that clearly harms is never among them.

    Args:
        effects: What `estimate_action_effects` returns: one row an action and stage, or action, stage and segment.
        actions: An entry for each action, as in actions.yaml; `stages` and `default` are read.
        stages: Stages and exits to plan for, in order.
        segments: Segments to plan for; a plan for everybody (segment missing) is always there.

    Returns:
        One row a segment, stage and step: `segment` (missing: everybody, and who is in none), `stage`, `step` (from 1,
        within the stage), `action`, `clear` (it clearly helps; false: standard step), `effect_chance` (of moving
        forward) and `effect_value` (relative change of revenue), missing where not told.

    Example:
        >>> effects = pd.DataFrame(
        ...     {"action": ["call"], "stage": ["recruited"], "effect_chance": [0.2], "lower_chance": [0.1],
        ...      "upper_chance": [0.3], "effect_value": [None], "lower_value": [None], "upper_value": [None]})
        >>> actions = {"visit": {"stages": ["recruited"], "default": ["recruited"]},
        ...            "call": {"stages": ["recruited"], "default": []}}
        >>> plan_segments(effects, actions, stages=["recruited"])[["step", "action", "clear"]].to_numpy().tolist()
        [[1, 'call', True], [2, 'visit', False]]
    """
    whole, own = split_effects(effects)
    rows: list[tuple[Any, ...]] = []
    for segment in [None, *segments]:
        told = own[own["segment"] == segment] if segment is not None else own.head(0)
        for stage in stages:
            rows += [(segment, *row) for row in _order_steps(stage, actions, told, whole)]
    return pd.DataFrame(rows, columns=_SEGMENT_PLAN)


def plan_partners(
    segment_plan: pd.DataFrame,
    partners: pd.DataFrame,
    log: pd.DataFrame,
    *,
    actions: Mapping[str, Any],
    stages: Sequence[str],
    to: str,
    as_of: str,
    horizon_days: int,
) -> pd.DataFrame:
    """Write each partner's own plan: the steps of its segment from where it stands up to the target.

    A step that the partner has had since it entered its stage is done (`find_done`), the first that is not is next. So
    a plan changes when its partner changes stage or segment, and one that rested goes on where it stopped.

    Args:
        segment_plan: What `plan_segments` returns.
        partners: One row a partner to plan for, index partner_id: `stage`, `entered_at` (of the stage; missing:
            unknown, then all its logged steps count), `segment` (missing: none; one without a plan of its own has the
            plan for everybody too), and `avoid` (actions, channels or topics it does not want, separated by `;`,
            `,` or a line break; missing: none). Whoever paused or refused must not be there.
        log: The table `actions`: partner_id, taken_at, action, and perhaps arrived_at.
        actions: An entry for each action, as in actions.yaml; `channels` and `topics` are read: a step whose
            channels, or topics, are all avoided is avoided.
        stages: Stages in order, without exits.
        to: Where the plan leads, one of the stages; the steps of that stage itself are not part of it.
        as_of: Date YYYY-MM-DD; steps taken or arrived after its end are not seen.
        horizon_days: A step that clearly helps may be taken again after so many days.

    Returns:
        One row a partner and step, in the order of partners: `partner_id`, `step` (from 1), `stage` in which it is
        taken, `action`, `status` (`done`, `next`, `later`). Who stands at or past the target has the steps of its own
        stage; who stands in an exit those of the exit.

    Raises:
        ValueError: `to` is none of the stages.
    """
    if to not in stages:
        raise ValueError(
            f"to == {to!r}, must be one of {', '.join(stages)}: a plan leads to no exit; edit journey.target"
        )
    place = {stage: number for number, stage in enumerate(stages)}
    here = partners["stage"].map(place)
    goal = place[to]
    parts = []
    for stage in segment_plan["stage"].drop_duplicates():
        number = place.get(stage)
        own = partners["stage"] == stage
        passes = (here < number) & (number < goal) if number is not None else pd.Series(False, index=partners.index)
        chosen = partners.loc[own | passes, ["stage", "segment", "entered_at", "avoid"]]
        parts.append(chosen.rename(columns={"stage": "now"}).reset_index().assign(stage=stage))
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if rows.empty:
        return pd.DataFrame(columns=_PARTNER_PLAN)
    known = segment_plan["segment"].dropna().unique()
    rows["segment"] = rows["segment"].where(rows["segment"].isin(known)).astype(object)
    plan = segment_plan.assign(segment=segment_plan["segment"].astype(object))
    rows = pd.concat(
        [
            rows[rows["segment"].notna()].merge(plan, on=["segment", "stage"]),
            rows[rows["segment"].isna()].drop(columns="segment").merge(plan[plan["segment"].isna()], on="stage"),
        ],
        ignore_index=True,
    )
    rows = rows[~_is_avoided(rows, actions)].reset_index(drop=True)
    rows["done"] = find_done(rows, log, as_of, horizon_days) & (rows["stage"] == rows["now"]).to_numpy()
    order = {partner_id: number for number, partner_id in enumerate(partners.index)}
    rows = rows.assign(who=rows["partner_id"].map(order), where=rows["stage"].map(place).fillna(-1))
    rows = rows.sort_values(["who", "where", "done", "step"], ascending=[True, True, False, True], ignore_index=True)
    todo = (~rows["done"]).groupby(rows["who"]).cumsum()
    rows["status"] = np.select([rows["done"], todo == 1], [DONE, NEXT], LATER)
    rows["step"] = rows.groupby("who").cumcount() + 1
    return rows[_PARTNER_PLAN]


def find_done(steps: pd.DataFrame, log: pd.DataFrame, as_of: str, horizon_days: int) -> np.ndarray:
    """Tell which steps of its stage a partner has had and does not get again.

    Done is what was taken since the partner entered its stage. Only a step that clearly helps may be taken again, once
    `horizon_days` have passed.

    Args:
        steps: `partner_id`, `action`, `entered_at` (of its stage; missing: all its logged steps count) and `clear` (the
            step clearly helps there).
        log: The table `actions`: partner_id, taken_at, action, and perhaps arrived_at.
        as_of: Date YYYY-MM-DD; steps taken or arrived after its end are not seen.
        horizon_days: Days until a step that clearly helps may be taken again.

    Returns:
        True where done, in the order of steps.
    """
    end = pd.Timestamp(as_of).normalize() + pd.Timedelta(days=1)
    seen = log["taken_at"] < end
    if "arrived_at" in log:
        seen &= ~(log["arrived_at"] >= end)
    last = log[seen].groupby(["partner_id", "action"])["taken_at"].max()
    taken = last.reindex(pd.MultiIndex.from_frame(steps[["partner_id", "action"]])).reset_index(drop=True)
    since = steps["entered_at"].reset_index(drop=True)
    done = taken.notna() & ((taken >= since) | since.isna())
    again = steps["clear"].to_numpy(dtype=bool) & (taken < end - pd.Timedelta(days=horizon_days)).to_numpy(dtype=bool)
    return done.to_numpy(dtype=bool) & ~again


def add_texts(plan: pd.DataFrame, actions: Mapping[str, Any], language: pd.Series | str) -> pd.DataFrame:
    """Add title and instructions of each step.

    Args:
        plan: Rows with `action`, and `partner_id` where `language` is one a partner.
        actions: An entry for each action with `text` by language; every one is there, as the tests make sure.
        language: One language, or one by partner_id; a missing or unknown one is told in English.

    Returns:
        The plan with `language` (the texts are written in), `title` and `instructions`.

    Raises:
        ValueError: An action has no text in English.
    """
    texts = {name: _plain(entry)["text"] for name, entry in actions.items()}
    for name, text in texts.items():
        if "en" not in text:
            raise ValueError(
                f"{name}: text has {', '.join(text) or 'no language'}, must have en, which stands in for the languages "
                "that are missing; add it in actions.yaml"
            )
    wanted = plan["partner_id"].map(language) if isinstance(language, pd.Series) else pd.Series(language, plan.index)
    written = [
        tongue if tongue in texts[action] else "en" for action, tongue in zip(plan["action"], wanted, strict=True)
    ]
    told = [texts[action][tongue] for action, tongue in zip(plan["action"], written, strict=True)]
    return plan.assign(
        language=written,
        title=[text["title"] for text in told],
        instructions=[text["instructions"] for text in told],
    )


def _plain(entry: Any) -> dict[str, Any]:
    return entry.to_dict() if hasattr(entry, "to_dict") else dict(entry)


def split_effects(effects: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the effects on everybody, and those on each segment."""
    if "segment" not in effects:
        return effects, effects.assign(segment=None).head(0)
    return effects[effects["segment"].isna()], effects[effects["segment"].notna()]


def _order_steps(
    stage: str, actions: Mapping[str, Any], own: pd.DataFrame, whole: pd.DataFrame
) -> list[tuple[str, int, str, bool, float, float]]:
    found = []
    for place, (action, entry) in enumerate(actions.items()):
        entry = _plain(entry)
        if stage not in entry["stages"]:
            continue
        rows = [table[(table["action"] == action) & (table["stage"] == stage)] for table in (own, whole)]
        told = [_judge(row) for table in rows for _, row in table.iterrows()]
        helps, harms, chance, value = next((one for one in told if one[0] or one[1]), (False, False, np.nan, np.nan))
        if harms or not (helps or stage in entry["default"]):
            continue
        rank = -(np.nan_to_num(chance) + np.nan_to_num(value)) if helps else 0.0
        found.append((not helps, rank, place, action, helps, chance, value))
    return [
        (stage, step, action, helps, chance, value)
        for step, (_, _, _, action, helps, chance, value) in enumerate(sorted(found), start=1)
    ]


def _judge(row: pd.Series) -> tuple[bool, bool, float, float]:
    """Return whether an action clearly helps, whether it clearly harms, and its two effects where they are clear."""
    effects, helps, harms = [], False, False
    for name in ("chance", "value"):
        lower, upper = float(row[f"lower_{name}"] or np.nan), float(row[f"upper_{name}"] or np.nan)
        helps, harms = helps or lower > 0, harms or upper < 0
        effects.append(float(row[f"effect_{name}"]) if lower > 0 or upper < 0 else np.nan)
    return helps and not harms, harms, effects[0], effects[1]


def _is_avoided(rows: pd.DataFrame, actions: Mapping[str, Any]) -> np.ndarray:
    """Tell which steps the partner does not want: the action, all its channels, or all its topics."""
    told = rows["avoid"].fillna("").map(str)
    words = {text: {word.strip().casefold() for word in re.split(WORDS, text)} for text in told.unique()}
    bound = {name: _list_bound(name, _plain(entry)) for name, entry in actions.items()}
    avoided = {
        (action, text)
        for action, text in set(zip(rows["action"], told, strict=True))
        if any(names <= words[text] for names in bound[action])
    }
    return np.fromiter((pair in avoided for pair in zip(rows["action"], told, strict=True)), bool, len(rows))


def _list_bound(name: str, entry: Mapping[str, Any]) -> list[set[str]]:
    """Return the sets of words each of which, avoided as a whole, keeps the action away."""
    sets = [{name}, set(entry.get("channels") or ()), set(entry.get("topics") or ())]
    return [{word.casefold() for word in words} for words in sets if words]
