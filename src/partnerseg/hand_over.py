"""Hand the next steps over to a CRM or marketing automation: what changed, for whom consents, with a receipt."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from partnerseg.edition import EditionBusy, hash_value, write_file
from partnerseg.programme.consent import consent_at
from partnerseg.report.html import disarm

if TYPE_CHECKING:
    from partnerseg.models import Models

STATE = "handed_over.json"
_ALWAYS = "2200-01-01"  # a day that everything is known by
_KEYED = ("hubspot", "salesforce")  # forms whose rows are found by the system's own key
TABLE = "partnerseg_next_steps"
PLANNED, CHANGED, WITHDRAWN = "planned", "changed", "withdrawn"
TOLD = (
    "step_id", "status", "partner_id", "external_id", "name", "region", "stage", "segment", "action", "title",
    "instructions", "reason", "channel", "language", "topic", "owner", "due_on",
)  # fmt: skip
_KEYS = ("step_id", "partner_id", "external_id")
_KEPT = (*_KEYS, "due_on", "status", "content")  # of a row, to tell the next time what has changed


@dataclass(frozen=True)
class Receipt:
    """What a hand-over did.

    Attributes:
        form: `hubspot`, `salesforce`, `jsonl` or `postgresql`.
        as_of: Date of the plan.
        number: How many hand-overs to this place there have been, this one included where it changed anything.
        planned: Partners with a step that was not there before.
        changed: Partners whose step is another, or told otherwise, than before.
        withdrawn: Partners who were handed over before and have no step any more, or refuse.
        unchanged: Partners whose step stands there already.
        left_out: Partners with a step who are not handed over, by reason: `no_consent` (never asked, or refused),
            `paused`, `analytics_withdrawn`, `withdrawn_since` (refused after the date of the plan), `no_key` (the
            system's own key is not known).
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
        `region`, `stage`, `segment`, `action`, `title` and `instructions` (in the partner's language, else the
        report's), `reason`, `channel`, `language`, `topic`, `owner`, `due_on` (YYYY-MM-DD); missing values are empty.
    """
    params, plan = models.params, models.table("plan", region="all")
    fallback = params.report.language
    texts = []
    for action, language in zip(plan["action"], plan["language"], strict=True):
        written = params.actions[action].text.to_dict()
        texts.append(written.get(language) or written[fallback])
    identities = models.programme.frame("identities")
    own = identities[identities["source"] == params.hand_over.source].drop_duplicates("partner_id")
    steps = pd.DataFrame(
        {
            "external_id": plan.index.map(own.set_index("partner_id")["source_id"]),
            **{name: plan[name] for name in ("name", "region", "stage")},
            "segment": models.table("partners", region="all")["segment_name"].reindex(plan.index),
            "action": plan["action"],
            "title": [text["title"] for text in texts],
            "instructions": [text["instructions"] for text in texts],
            **{name: plan[name] for name in ("reason", "channel", "language", "topic", "owner")},
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
    once as withdrawn, without anything but its keys. A step that stands keeps the day it was due at first. Handing
    over the same plan twice changes nothing. A hand-over that is killed leaves the last state: the next one does it
    again, into the same file.

    Args:
        steps: One row a partner, as `list_steps` returns.
        consents: The table `consents`.
        as_of: Date of the plan, YYYY-MM-DD.
        form: `hubspot` (a CSV to import companies by their record id), `salesforce` (a CSV to upsert tasks by an
            external id), `jsonl` (one JSON object a line) or `postgresql` (a table).
        to: Folder of the files, made where it is missing; for `postgresql` the environment variable that holds the
            connection string.
        purpose: Purpose that a partner must have granted.

    Returns:
        The receipt; beside a file it is written as JSON too.

    Raises:
        ValueError: There is no such form, a file that keeps the state cannot be read, the variable is not set, or the
            database refuses.
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
    if form not in FORMS and form != "postgresql":
        raise ValueError(f"form == {form!r}; possible values are: {', '.join([*FORMS, 'postgresql'])}")
    allowed, left_out = _sort_out(steps, consents, as_of, purpose, form)
    if form == "postgresql":
        return _hand_to_database(allowed, left_out, as_of, to)
    return _hand_to_folder(allowed, left_out, as_of, form, Path(to))


def _sort_out(
    steps: pd.DataFrame, consents: pd.DataFrame, as_of: str, purpose: str, form: str
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the steps of partners who consent, and how many of the others there are by reason."""
    said = consent_at(consents, as_of).reindex(steps.index)
    reason = pd.Series("", index=steps.index)
    reason[~said[purpose].fillna(False).to_numpy(dtype=bool)] = "no_consent"
    for other, name in {"analytics": "analytics_withdrawn", "navigation": "paused"}.items():
        reason[said[other].eq(False).fillna(False).to_numpy(dtype=bool)] = name
    since = consent_at(consents, _ALWAYS).reindex(steps.index)[[purpose, "analytics", "navigation"]]
    refused = since.eq(False).fillna(False).any(axis=1).to_numpy(dtype=bool)
    reason[refused & (reason == "")] = "withdrawn_since"
    if form in _KEYED:
        reason[(steps["external_id"] == "") & (reason == "")] = "no_key"
    return steps[reason == ""], {str(name): int(n) for name, n in reason[reason != ""].value_counts().items()}


def _find_changes(steps: pd.DataFrame, before: Mapping[str, Mapping[str, str]]) -> tuple[list[dict[str, str]], int]:
    """Return the rows to hand over, and how many stand there already; `before` is what stands there by partner."""
    rows, unchanged = [], 0
    standing = {partner_id: last for partner_id, last in before.items() if last["status"] != WITHDRAWN}
    for partner_id, step in zip(steps.index, steps.to_dict("records"), strict=True):
        row = {str(name): str(value) for name, value in step.items()} | {"partner_id": str(partner_id)}
        last = standing.pop(str(partner_id), None)
        if last is not None and last["step_id"] == row["step_id"]:
            row["due_on"] = last["due_on"]
        row = {name: row[name] for name in TOLD if name != "status"}
        # A reason tells of days, which pass though the step stands.
        row["content"] = hash_value({name: told for name, told in row.items() if name != "reason"})[:16]
        if last is not None and row["content"] == last["content"]:
            unchanged += 1
            continue
        replaced = last["step_id"] if last is not None and last["step_id"] != row["step_id"] else ""
        rows.append(row | {"status": PLANNED if last is None else CHANGED, "replaces": replaced})
    empty = dict.fromkeys([*TOLD, "content", "replaces"], "")
    rows += [empty | {name: last[name] for name in _KEYS} | {"status": WITHDRAWN} for last in standing.values()]
    return rows, unchanged


def _count(rows: list[dict[str, str]]) -> tuple[int, int, int]:
    """Return how many are planned, changed and withdrawn."""
    status = [row["status"] for row in rows]
    return status.count(PLANNED), status.count(CHANGED), status.count(WITHDRAWN)


# Files


def _hand_to_folder(steps: pd.DataFrame, left_out: dict[str, int], as_of: str, form: str, folder: Path) -> Receipt:
    folder.mkdir(parents=True, exist_ok=True)
    with _hold(folder):
        state = _read_state(folder / STATE, form)
        rows, unchanged = _find_changes(steps, state["partners"])
        if not rows:
            return Receipt(form, as_of, state["number"], 0, 0, 0, unchanged, left_out)
        number = state["number"] + 1
        name = f"next_steps-{number:04d}-{as_of}"
        suffix, write = FORMS[form]
        file = folder / f"{name}.{suffix}"
        sha256 = write_file(file, write(rows).encode("utf-8"))
        receipt = Receipt(form, as_of, number, *_count(rows), unchanged, left_out, file.name, sha256)
        write_file(folder / f"{name}.receipt.json", _dump(asdict(receipt)))
        partners = state["partners"] | {row["partner_id"]: {name: row[name] for name in _KEPT} for row in rows}
        write_file(folder / STATE, _dump({"form": form, "number": number, "partners": partners}))
        return receipt


def _read_state(path: Path, form: str) -> dict[str, Any]:
    if not path.is_file():
        return {"form": form, "number": 0, "partners": {}}
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if state["form"] != form:
            raise ValueError(
                f"{path}: was handed over as {state['form']}, not {form}; give each system a folder of its own"
            )
        return {"number": int(state["number"]), "partners": dict(state["partners"])}
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path}: tells what was handed over before and cannot be read ({error}); restore it, or remove it to hand "
            "everything over anew"
        ) from None


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


def _write_hubspot(rows: list[dict[str, str]]) -> str:
    """Properties of companies, found by their record id: an import again gives the same."""
    columns = {
        "Record ID": "external_id",
        "Company name": "name",
        "Partner ID": "partner_id",
        "Next step": "title",
        "Next step status": "status",
        "Next step due date": "due_on",
        "Next step instructions": "instructions",
        "Next step reason": "reason",
        "Next step channel": "channel",
        "Next step language": "language",
        "Next step topic": "topic",
        "Next step owner": "owner",
        "Partner stage": "stage",
    }
    return _write_csv([{column: row[name] for column, name in columns.items()} for row in rows])


def _write_salesforce(rows: list[dict[str, str]]) -> str:
    """Tasks, upserted by an external id field; a step that is taken back, or gives way to another, is deferred."""
    empty = dict.fromkeys(TOLD, "")
    gone = [
        empty | {name: row[name] for name in _KEYS} | {"step_id": row["replaces"], "status": WITHDRAWN}
        for row in rows
        if row["replaces"]
    ]
    return _write_csv(
        [
            {
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
            for row in [*gone, *rows]
        ]
    )


def _write_csv(rows: list[dict[str, str]]) -> str:
    return pd.DataFrame(rows).map(disarm).to_csv(index=False, lineterminator="\r\n")


def _write_lines(rows: list[dict[str, str]]) -> str:
    return "".join(json.dumps({name: row[name] for name in TOLD}, ensure_ascii=False) + "\n" for row in rows)


FORMS: dict[str, tuple[str, Callable[[list[dict[str, str]]], str]]] = {
    "hubspot": ("csv", _write_hubspot),
    "salesforce": ("csv", _write_salesforce),
    "jsonl": ("jsonl", _write_lines),
}


# Database


def _hand_to_database(steps: pd.DataFrame, left_out: dict[str, int], as_of: str, variable: str) -> Receipt:
    """Keep one row a partner in the table, all changes of a hand-over in one transaction."""
    import psycopg

    if not os.environ.get(variable):
        raise ValueError(
            f"the environment variable {variable} is not set; it holds the connection string, as "
            "postgresql://user@host/database"
        )
    names = [*TOLD, "content", "as_of", "number"]
    columns = ", ".join(f"{name} text not null" for name in (*TOLD, "content") if name != "partner_id")
    values = ", ".join(f"%({name})s" for name in names)
    updates = ", ".join(f"{name} = excluded.{name}" for name in names if name != "partner_id")
    try:
        with psycopg.connect(os.environ[variable], connect_timeout=20) as connection, connection.cursor() as cursor:
            cursor.execute(
                f"create table if not exists {TABLE} (partner_id text primary key, {columns}, as_of date not null, "
                "number integer not null)"
            )
            cursor.execute(f"lock table {TABLE} in exclusive mode")
            cursor.execute(f"select number, {', '.join(_KEPT)} from {TABLE}")
            found = [(number, dict(zip(_KEPT, kept, strict=True))) for number, *kept in cursor.fetchall()]
            rows, unchanged = _find_changes(steps, {kept["partner_id"]: kept for _, kept in found})
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
    return Receipt("postgresql", as_of, number, *_count(rows), unchanged, left_out, sha256=sha256)
