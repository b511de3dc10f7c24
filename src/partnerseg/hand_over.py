"""Hand the next steps over to a CRM or marketing automation: what changed, for whom consents, with a receipt."""

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from partnerseg.edition import EditionBusy, hash_value, write_file
from partnerseg.journey.step_plans import add_texts
from partnerseg.programme.consent import PURPOSES, consent_at
from partnerseg.report.html import disarm

if TYPE_CHECKING:
    from partnerseg.models import Models

STATE = "handed_over.json"
TABLE = "partnerseg_next_steps"
PLANNED, CHANGED, WITHDRAWN = "planned", "changed", "withdrawn"
TOLD = (
    "step_id", "status", "partner_id", "external_id", "name", "region", "stage", "segment", "action", "title",
    "instructions", "reason", "channel", "language", "topic", "owner", "due_on",
)  # fmt: skip
_KEYS = ("step_id", "partner_id", "external_id")
_KEPT = (*_KEYS, "due_on", "status", "content")  # of a row, to tell the next time what has changed
_NAME = re.compile(r"next_steps-([0-9]{4,})-[0-9]{4}-[0-9]{2}-[0-9]{2}")  # of a hand-over's files, without the ending


@dataclass(frozen=True)
class Receipt:
    """What a hand-over did.

    Attributes:
        form: `hubspot`, `salesforce`, `jsonl` or `postgresql`.
        as_of: Date of the plan.
        number: Of the last hand-over to this place, this one where it changed anything; it only grows.
        planned: Partners with a step that was not there before.
        changed: Partners whose step is another, or told otherwise, than before.
        withdrawn: Partners who were handed over before and have no step any more, or refuse.
        unchanged: Partners whose step stands there already.
        left_out: Partners with a step who are not handed over, by reason: `no_consent` (never asked, or refused),
            `paused`, `analytics_withdrawn`, `withdrawn_since` (refused after the date of the plan), `no_key` (the
            system's own key is not known), `formula_key` (a key looks like a formula: in a spreadsheet's file it can
            neither stand as it is nor be changed), `shared_key` (another partner with a step has the same key, under
            which the system can hold one step only).
        file: The file written; empty when nothing changed, or for a database.
        sha256: Hash of the file, or of the rows.
    """

    form: str
    as_of: str
    number: int
    planned: int
    changed: int
    withdrawn: int
    unchanged: int
    left_out: dict[str, int]
    file: str = ""
    sha256: str = ""


def list_steps(models: "Models") -> pd.DataFrame:
    """List the steps of the plan as somebody outside reads them.

    Args:
        models: Models of a programme, opened.

    Returns:
        One row a partner with a step, index partner_id: `step_id` (the same as long as partner, stage and action are),
        `external_id` (the partner's key in the source named by `hand_over.source`; missing: unknown), `name`,
        `region`, `stage`, `segment`, `action`, `title`, `instructions` and the `language` they are written in (the
        partner's, or English where there are no texts in it), `reason`, `channel`, `topic`, `owner`, `due_on`
        (YYYY-MM-DD); missing values are empty.

    Raises:
        ValueError: An action has no text in English, or no key in `identities` is of `hand_over.source`: a slip there
            would take back all that was handed over. Empty asks for no keys.
    """
    params, plan = models.params, models.table("plan", region="all")
    told = add_texts(plan.drop(columns="title").reset_index(), params.actions, plan["language"])
    plan = told.set_index("partner_id")
    identities = models.programme.frame("identities").sort_values("source_id")
    source, known = params.hand_over.source, sorted(identities["source"].dropna().unique())
    if source and known and source not in known:
        raise ValueError(
            f"hand_over.source == {source!r}, must be a source of the table identities, {', '.join(known)}, or empty: "
            "no keys; edit it in programme.yaml"
        )
    own = identities[identities["source"] == source].drop_duplicates("partner_id")
    steps = pd.DataFrame(
        {
            "external_id": plan.index.map(own.set_index("partner_id")["source_id"]),
            **{name: plan[name] for name in ("name", "region", "stage")},
            "segment": models.table("partners", region="all")["segment_name"].reindex(plan.index),
            **{name: plan[name] for name in ("action", "title", "instructions", "reason", "channel")},
            **{name: plan[name] for name in ("language", "topic", "owner")},
            "due_on": plan["due_at"].dt.strftime("%Y-%m-%d"),
        },
        index=plan.index,
    )
    steps = steps.astype(object).where(steps.notna(), "").map(str)
    ids = [hash_value([*row])[:16] for row in zip(steps.index, steps["stage"], steps["action"], strict=True)]
    steps.insert(0, "step_id", ids)
    return steps


def hand_over(
    steps: pd.DataFrame, consents: pd.DataFrame, *, as_of: str, form: str, to: str, purpose: str = "marketing"
) -> Receipt:
    """Hand over the steps that are new or changed since the last time, and take back those that are no more.

    Only partners who granted the purpose, have not paused navigation and have not withdrawn analytics are handed over;
    who never said anything has not consented. A partner who was handed over and now refuses, or has no step, is told
    once as withdrawn, without anything but its keys. A step that stands keeps the day it was due at first. What is
    written in this form tells whether a step has changed; its reason does not, as that tells of days, which pass.
    Handing over the same plan twice changes nothing. A hand-over that is killed has handed over nothing: the next one
    removes its files and begins anew, from the last state. A key comes through as it is: a partner with one that looks
    like a formula is left out of the forms that are spreadsheets, where all other text that looks so is disarmed.

    Args:
        steps: One row a partner, as `list_steps` returns.
        consents: The table `consents`, its times in UTC without a time zone.
        as_of: Date of the plan, YYYY-MM-DD.
        form: `hubspot` (a CSV to import companies by their record id), `salesforce` (a CSV to upsert tasks by an
            external id), `jsonl` (one JSON object a line) or `postgresql` (a table).
        to: Folder of the files, made where it is missing; for `postgresql` the environment variable that holds the
            connection string.
        purpose: Purpose that a partner must have granted: analytics, marketing or navigation.

    Returns:
        The receipt; beside a file it is written as JSON too.

    Raises:
        ValueError: There is no such form, purpose or date, a partner stands in `steps` twice, times of consents have a
            time zone, what keeps the state cannot be read, the variable is not set, or the database refuses. Then
            nothing is written.
        EditionBusy: Somebody else is handing over to the same place.

    References:
        The columns are those of HubSpot's import of companies and of Salesforce's object Task.

    Example:
        >>> import tempfile
        >>> steps = pd.DataFrame([{name: "x" for name in TOLD}], index=pd.Index(["p1"], name="partner_id"))
        >>> consents = pd.DataFrame({"partner_id": ["p1"], "purpose": "marketing", "granted": True,
        ...                          "changed_at": pd.Timestamp("2026-01-05")})
        >>> place = tempfile.mkdtemp()
        >>> hand_over(steps, consents, as_of="2026-06-30", form="jsonl", to=place).planned
        1
        >>> again = hand_over(steps, consents, as_of="2026-06-30", form="jsonl", to=place)
        >>> again.planned, again.unchanged
        (0, 1)
    """
    check_place(form, to)
    if purpose not in PURPOSES:
        raise ValueError(
            f"purpose == {purpose!r}, must be one of {', '.join(PURPOSES)}; edit hand_over.purpose in programme.yaml"
        )
    _check_tables(steps, consents)
    allowed, left_out = _sort_out(steps, consents, as_of, purpose, form)
    if form == "postgresql":
        return _hand_to_database(allowed, left_out, as_of, to)
    return _hand_to_folder(allowed, left_out, as_of, form, Path(to))


def check_place(form: str, to: str) -> None:
    """Raise ValueError where there is no such form, or the variable of a database is not set.

    Args:
        form: `hubspot`, `salesforce`, `jsonl` or `postgresql`.
        to: Folder, or for `postgresql` the environment variable that holds the connection string.

    Example:
        >>> check_place("jsonl", "data/handed_over")
    """
    if form not in FORMS and form != "postgresql":
        raise ValueError(f"form == {form!r}; possible values are: {', '.join([*FORMS, 'postgresql'])}")
    if form == "postgresql" and not os.environ.get(to):
        raise ValueError(
            f"the environment variable {to} is not set; it holds the connection string, as postgresql://user@host/database"
        )


def _check_tables(steps: pd.DataFrame, consents: pd.DataFrame) -> None:
    twice = steps.index[steps.index.duplicated()]
    if len(twice):
        raise ValueError(f"steps: partner_id {twice[0]!r} stands there twice, must stand once; leave one row")
    for name in ("changed_at", "arrived_at"):
        zone = getattr(consents[name].dtype, "tz", None) if name in consents else None
        if zone is not None:
            raise ValueError(
                f"consents: {name} has the time zone {zone}, must be in UTC without one; convert it by "
                "Series.dt.tz_convert(None)"
            )


def _sort_out(
    steps: pd.DataFrame, consents: pd.DataFrame, as_of: str, purpose: str, form: str
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the steps of partners who consent, and how many of the others there are by reason."""
    said = consent_at(consents, as_of).reindex(steps.index)
    reason = pd.Series("", index=steps.index)
    reason[~said[purpose].fillna(False).to_numpy(dtype=bool)] = "no_consent"
    for other, name in {"analytics": "analytics_withdrawn", "navigation": "paused"}.items():
        reason[said[other].eq(False).fillna(False).to_numpy(dtype=bool)] = name
    since = consent_at(consents).reindex(steps.index)[[purpose, "analytics", "navigation"]]
    refused = since.eq(False).fillna(False).any(axis=1).to_numpy(dtype=bool)
    reason[refused & (reason == "")] = "withdrawn_since"
    if form in FORMS and FORMS[form].spreadsheet:
        reason[(steps["external_id"] == "") & (reason == "")] = "no_key"
        keys = steps.drop(columns="partner_id", errors="ignore").reset_index(names="partner_id")[[*_KEYS]]
        risky = [_has_formula_key(row) for row in keys.to_dict("records")]
        reason[pd.Series(risky, index=steps.index, dtype=bool) & (reason == "")] = "formula_key"
        if FORMS[form].key == "external_id":
            left = steps.loc[reason == "", "external_id"].map(str)
            reason[left.index[left.duplicated(keep=False)]] = "shared_key"
    return steps[reason == ""], {str(name): int(n) for name, n in reason[reason != ""].value_counts().items()}


def _has_formula_key(row: Mapping[Any, Any]) -> bool:
    return any(disarm(str(row[name])) != str(row[name]) for name in _KEYS)


@dataclass(frozen=True)
class _Form:
    """What a form writes of a row, and the key under which the outside knows it."""

    key: str
    tell: Callable[[Mapping[str, str]], dict[str, str]]
    spreadsheet: bool = False


@dataclass(frozen=True)
class _Changes:
    """Rows to hand over, those of keys that gave way to another, and how many partners' steps stand already."""

    rows: list[dict[str, str]]
    replaced: list[dict[str, str]]
    unchanged: int


def _find_changes(steps: pd.DataFrame, before: Mapping[str, Mapping[str, str]], form: _Form) -> _Changes:
    """Compare the steps with what stands outside, by partner."""
    rows, replaced, unchanged = [], [], 0
    standing = {partner_id: last for partner_id, last in before.items() if last["status"] != WITHDRAWN}
    for partner_id, step in zip(steps.index, steps.to_dict("records"), strict=True):
        row = {str(name): str(value) for name, value in step.items()} | {"partner_id": str(partner_id)}
        last = standing.pop(str(partner_id), None)
        if last is not None and last["step_id"] == row["step_id"]:
            row["due_on"] = last["due_on"]
        row = {name: row[name] for name in TOLD if name != "status"}
        # A reason tells of days, which pass though the step stands.
        row["content"] = hash_value(form.tell(row | {"reason": "", "status": PLANNED}))[:16]
        if last is not None and row["content"] == last["content"]:
            unchanged += 1
            continue
        rows.append(row | {"status": PLANNED if last is None else CHANGED})
        if last is not None and last[form.key] != row[form.key]:
            replaced.append(_withdraw(last))
    rows += [_withdraw(last) for last in standing.values()]
    return _Changes(rows, replaced, unchanged)


def _withdraw(last: Mapping[str, str]) -> dict[str, str]:
    """Return a row with nothing but the keys of what stands outside."""
    return dict.fromkeys([*TOLD, "content"], "") | {name: last[name] for name in _KEYS} | {"status": WITHDRAWN}


def _count(rows: list[dict[str, str]]) -> tuple[int, int, int]:
    """Return how many are planned, changed and withdrawn."""
    status = [row["status"] for row in rows]
    return status.count(PLANNED), status.count(CHANGED), status.count(WITHDRAWN)


# Files


def _hand_to_folder(steps: pd.DataFrame, left_out: dict[str, int], as_of: str, form: str, folder: Path) -> Receipt:
    folder.mkdir(parents=True, exist_ok=True)
    own = FORMS[form]
    with _hold(folder):
        state = _read_state(folder / STATE, form)
        _remove_unfinished(folder, state)
        # A key that a spreadsheet must not hold has never stood outside.
        before = {
            name: last for name, last in state["partners"].items() if not (own.spreadsheet and _has_formula_key(last))
        }
        changes = _find_changes(steps, before, own)
        if not changes.rows:
            return Receipt(form, as_of, state["number"], 0, 0, 0, changes.unchanged, left_out)
        number = _count_on(folder, state["number"])
        name = f"next_steps-{number:04d}-{as_of}"
        write_file(folder / STATE, _dump(state | {"writing": name}))
        file = folder / f"{name}.{'csv' if own.spreadsheet else 'jsonl'}"
        taken = set(steps[own.key]) if own.spreadsheet else set()
        withdrawn = [row for row in changes.rows if row["status"] == WITHDRAWN]
        gone = {row[own.key]: row for row in [*changes.replaced, *withdrawn]}
        here = [row for row in changes.rows if row["status"] != WITHDRAWN]
        written = [own.tell(row) for row in [*(row for key, row in gone.items() if key not in taken), *here]]
        sha256 = write_file(file, (_write_csv if own.spreadsheet else _write_lines)(written).encode("utf-8"))
        receipt = Receipt(form, as_of, number, *_count(changes.rows), changes.unchanged, left_out, file.name, sha256)
        write_file(folder / f"{name}.receipt.json", _dump(asdict(receipt)))
        partners = state["partners"] | {row["partner_id"]: {name: row[name] for name in _KEPT} for row in changes.rows}
        write_file(folder / STATE, _dump({"form": form, "number": number, "partners": partners}))
        return receipt


def _count_on(folder: Path, last: int) -> int:
    """Return the number of this hand-over, past the last one and past every file that is there."""
    names = (_NAME.match(path.name) for path in folder.iterdir())
    return max([last, *(int(found[1]) for found in names if found)]) + 1


def _remove_unfinished(folder: Path, state: Mapping[str, Any]) -> None:
    """Remove what a hand-over that was killed has written: nobody knows for whom, so nothing could be taken back."""
    patterns = [f".{STATE}.*.part"]
    if name := state.get("writing"):
        patterns += [f"{name}.csv", f"{name}.jsonl", f"{name}.receipt.json", f".{name}.*.part"]
    for pattern in patterns:
        for path in folder.glob(pattern):
            path.unlink()


def _read_state(path: Path, form: str) -> dict[str, Any]:
    if not path.is_file():
        return {"form": form, "number": 0, "partners": {}}
    try:
        state = json.loads(path.read_bytes().decode("utf-8"))
        fault = _find_fault(state)
    except UnicodeDecodeError as error:
        fault = f"byte {error.start} is not UTF-8"
    except json.JSONDecodeError as error:
        fault = f"line {error.lineno} is no JSON: {error.msg}"
    if fault:
        raise ValueError(
            f"{path}: tells what was handed over before and cannot be read: {fault}; restore it from a copy, or move "
            "it away to hand everything over anew (what has to be taken back is then not known). Nothing was written"
        )
    if state["form"] != form:
        raise ValueError(
            f"{path}: was handed over as {state['form']}, not {form}; give each system a folder of its own"
        )
    return state


def _find_fault(state: Any) -> str:
    """Return what is wrong with a state, empty where nothing is."""
    if not isinstance(state, dict):
        return f'it must be an object, as {{"form": ...}}, not {str(state)[:40]!r}'
    for name, kind, words in (
        ("form", str, "text"),
        ("number", int, "a whole number"),
        ("partners", dict, "an object"),
    ):
        if name not in state:
            return f"{name} is missing"
        if type(state[name]) is not kind:
            return f"{name} == {str(state[name])[:40]!r}, must be {words}"
    if "writing" in state and not (isinstance(state["writing"], str) and _NAME.fullmatch(state["writing"])):
        return f"writing == {str(state['writing'])[:40]!r}, must be the name of a hand-over's files without the ending"
    return next((fault for name, row in state["partners"].items() if (fault := _find_row_fault(name, row))), "")


def _find_row_fault(partner_id: str, row: Any) -> str:
    """Return what is wrong with what is kept of a partner, empty where nothing is."""
    if not isinstance(row, dict):
        return f"partner {partner_id!r} == {str(row)[:40]!r}, must be an object with {', '.join(_KEPT)}"
    for name in _KEPT:
        if name not in row:
            return f"partner {partner_id!r}: {name} is missing"
        if not isinstance(row[name], str):
            return f"partner {partner_id!r}: {name} == {row[name]!r}, must be text"
    if row["status"] not in (PLANNED, CHANGED, WITHDRAWN):
        return f"partner {partner_id!r}: status == {row['status']!r}, must be one of {PLANNED}, {CHANGED}, {WITHDRAWN}"
    if row["partner_id"] != partner_id:
        return f"partner {partner_id!r}: partner_id == {row['partner_id']!r}, must be the same"
    return ""


def _dump(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode("utf-8")


@contextmanager
def _hold(folder: Path) -> Iterator[None]:
    with open(folder / ".lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EditionBusy(f"{folder}: another process is handing over to it; wait until it ends") from None
        yield


def _tell_all(row: Mapping[str, str]) -> dict[str, str]:
    return {name: row[name] for name in TOLD}


def _tell_hubspot(row: Mapping[str, str]) -> dict[str, str]:
    """Properties of a company, found by its record id: an import again gives the same."""
    return {
        "Record ID": row["external_id"],
        "Company name": row["name"],
        "Partner ID": row["partner_id"],
        "Next step": row["title"],
        "Next step status": row["status"],
        "Next step due date": row["due_on"],
        "Next step instructions": row["instructions"],
        "Next step reason": row["reason"],
        "Next step channel": row["channel"],
        "Next step language": row["language"],
        "Next step topic": row["topic"],
        "Next step owner": row["owner"],
        "Partner stage": row["stage"],
    }


def _tell_salesforce(row: Mapping[str, str]) -> dict[str, str]:
    """A task, upserted by an external id field; a step that is taken back, or gives way to another, is deferred."""
    return {
        "Partnerseg_Step__c": row["step_id"],
        "WhatId": row["external_id"],
        "Partner_ID__c": row["partner_id"],
        "Subject": row["title"],
        "Description": "\n\n".join(text for text in (row["instructions"], row["reason"]) if text),
        "ActivityDate": row["due_on"],
        "Status": "Deferred" if row["status"] == WITHDRAWN else "Not Started",
        "Priority": "Normal",
        "Channel__c": row["channel"],
        "Language__c": row["language"],
        "Topic__c": row["topic"],
        "Role__c": row["owner"],
    }


def _write_csv(rows: list[dict[str, str]]) -> str:
    return pd.DataFrame(rows).map(disarm).to_csv(index=False, lineterminator="\r\n")


def _write_lines(rows: list[dict[str, str]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


_WHOLE = _Form("partner_id", _tell_all)
FORMS: dict[str, _Form] = {
    "hubspot": _Form("external_id", _tell_hubspot, spreadsheet=True),
    "salesforce": _Form("step_id", _tell_salesforce, spreadsheet=True),
    "jsonl": _WHOLE,
}


# Database


def _hand_to_database(steps: pd.DataFrame, left_out: dict[str, int], as_of: str, variable: str) -> Receipt:
    """Keep one row a partner in the table, all changes of a hand-over in one transaction."""
    import psycopg

    names = [*TOLD, "content", "as_of", "number"]
    columns = ", ".join(f"{name} text not null" for name in (*TOLD, "content") if name != "partner_id")
    values = ", ".join(f"%({name})s" for name in names)
    updates = ", ".join(f"{name} = excluded.{name}" for name in names if name != "partner_id")
    anew = f"rename it to hand everything over anew. Nothing was written; see {variable}"
    try:
        with psycopg.connect(os.environ[variable], connect_timeout=20) as connection, connection.cursor() as cursor:
            cursor.execute(
                f"create table if not exists {TABLE} (partner_id text primary key, {columns}, as_of date not null, "
                "number integer not null)"
            )
            cursor.execute(f"lock table {TABLE} in exclusive mode")
            cursor.execute(f"select * from {TABLE} limit 0")
            there = {column.name for column in cursor.description or ()}
            if missing := [name for name in names if name not in there]:
                raise ValueError(
                    f"table {TABLE}: the column {missing[0]} is missing, must have {', '.join(names)}; {anew}"
                )
            cursor.execute(f"select number, {', '.join(_KEPT)} from {TABLE}")
            found = [(number, dict(zip(_KEPT, kept, strict=True))) for number, *kept in cursor.fetchall()]
            before = {kept["partner_id"]: kept for _, kept in found}
            for partner_id, kept in before.items():
                if fault := _find_row_fault(partner_id, kept):
                    raise ValueError(f"table {TABLE}: {fault}; correct it, or {anew}")
            changes = _find_changes(steps, before, _WHOLE)
            rows = changes.rows
            number = max((number for number, _ in found), default=0) + bool(rows)
            cursor.executemany(
                f"insert into {TABLE} ({', '.join(names)}) values ({values}) "
                f"on conflict (partner_id) do update set {updates}",
                [row | {"as_of": as_of, "number": number} for row in rows],
            )
    except psycopg.Error as error:
        message = " ".join(str(error).split())
        raise ValueError(f"{TABLE}: the database says: {message}; see {variable}") from None
    sha256 = hash_value(rows) if rows else ""
    return Receipt("postgresql", as_of, number, *_count(rows), changes.unchanged, left_out, sha256=sha256)
