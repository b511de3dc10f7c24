"""The fourteen tables: their columns, keys, kinds and rules, declared once."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "time", "number", "flag"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: Column name.
        kind: `text`, `time` (UTC timestamp), `number` (float64) or `flag` (true or false).
        required: False when a source may leave the column out; its values are then unknown.
        nullable: True when a row stays usable without a value here.
        choices: The only values allowed; empty means any.
        lower: Smallest allowed number, inclusive; None means no bound.
        upper: Largest allowed number, inclusive; None means no bound.
        bounds_by_kind: Narrower bounds of rows of some kinds, as (kinds, smallest, largest).
        reserved: Words that no value may be, in whatever case, as they mean something else.
        note: What a reader must know: unit, scale, separator.
    """

    name: str
    kind: Kind = "text"
    required: bool = True
    nullable: bool = False
    choices: tuple[str, ...] = ()
    lower: float | None = None
    upper: float | None = None
    bounds_by_kind: tuple[tuple[tuple[str, ...], float, float], ...] = ()
    reserved: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Table:
    """One table: what a row is, its columns, its key and the time of its event.

    Attributes:
        name: Table name.
        row: What one row is, in words.
        columns: All columns in order.
        key: Columns that identify a row; a row without a value in any of them stands for itself.
        time: Column that says when the event happened; None for tables without events.
    """

    name: str
    row: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    time: str | None = None

    def column(self, name: str) -> Column:
        """Return the column called `name`; raises KeyError if there is none."""
        return {column.name: column for column in self.columns}[name]


def _optional(name: str, kind: Kind = "text", **rules) -> Column:
    return Column(name, kind, required=False, nullable=True, **rules)


def _known(name: str, kind: Kind = "text", **rules) -> Column:
    """A column every source must map or declare unknown; single values may be missing."""
    return Column(name, kind, nullable=True, **rules)


_PARTNER = Column("partner_id")
_ARRIVED = _optional("arrived_at", "time", note="when we learned of the row; the event's own time if missing")
_CURRENCY = Column("currency", note="ISO 4217 code")
_ABOUT = _optional("about", choices=("product", "delivery", "service", "other"), note="what a complaint is about")
_RESERVED = ("all",)  # stands for the whole programme
ASSESSORS = {"system": 1.0, "audit": 0.9, "manager": 0.7, "self": 0.4}  # how much the evidence of each counts, 0 to 1

_ALL = (
    Table(
        "partners",
        "a partner",
        (
            _PARTNER,
            _known("name"),
            _known("partner_type"),
            _known("industry"),
            _known("company_size", choices=("micro", "small", "medium", "large")),
            _known("country"),
            _known("region", reserved=_RESERVED),
            _optional("language", note="ISO 639-1 code"),
            _optional("specialization"),
            _known("joined_at", "time"),
            _optional("declared_potential", "number", lower=0, note="yearly revenue, programme currency"),
        ),
        ("partner_id",),
    ),
    Table(
        "sales",
        "a sale, or its return",
        (
            Column("sale_id"),
            _PARTNER,
            Column("sold_at", "time"),
            Column("amount", "number", note="signed: a return is negative"),
            _CURRENCY,
            _optional("customer_id"),
            _optional("country"),
            _optional("product"),
            _optional("channel"),
            _optional("discount", "number", lower=0, upper=1, note="share of the list price"),
            _optional("joint_partner_id", note="the partner that sold along; missing: sold alone"),
            Column("is_return", "flag"),
            _ARRIVED,
        ),
        ("sale_id",),
        "sold_at",
    ),
    Table(
        "touches",
        "a contact between programme and partner",
        (
            Column("touch_id"),
            _PARTNER,
            Column("touched_at", "time"),
            Column("channel"),
            Column(
                "action",
                choices=(
                    "sent",
                    "opened",
                    "clicked",
                    "replied",
                    "called",
                    "met",
                    "attended",
                    "visited",
                    "unsubscribed",
                ),
            ),
            _optional("campaign"),
            _optional("topic"),
            _optional("answered_at", "time", note="when the answer to a message came; missing while there is none"),
            _optional("cost", "number", lower=0, note="programme currency"),
            _ARRIVED,
        ),
        ("touch_id",),
        "touched_at",
    ),
    Table(
        "trainings",
        "a course, certification, conference or seminar",
        (
            _PARTNER,
            Column("completed_at", "time"),
            Column("course"),
            Column("kind", choices=("course", "certification", "conference", "seminar")),
            _optional("specialization"),
            _optional("score", "number", lower=0, upper=100),
            _optional("expires_at", "time"),
            _ARRIVED,
        ),
        ("partner_id", "course", "completed_at"),
        "completed_at",
    ),
    Table(
        "tickets",
        "a support case, task, complaint or conflict",
        (
            Column("ticket_id"),
            _PARTNER,
            Column("opened_at", "time"),
            _optional("resolved_at", "time", note="missing while open"),
            _optional("reopened_at", "time", note="when the work was found wanting; missing: never"),
            Column("kind", choices=("support", "task", "complaint", "conflict")),
            _optional("severity", choices=("low", "normal", "high", "critical")),
            _optional("on_time", "flag"),
            _optional("quality", "number", lower=0, upper=100),
            _optional("csat", "number", lower=1, upper=5),
            _ABOUT,
            _ARRIVED,
        ),
        ("ticket_id",),
        "opened_at",
    ),
    Table(
        "feedback",
        "an answer or a review",
        (
            Column("feedback_id"),
            _PARTNER,
            Column("given_at", "time"),
            Column("kind", choices=("nps", "csat", "review", "suggestion", "complaint")),
            Column("given_by", choices=("partner", "customer")),
            _optional(
                "score",
                "number",
                lower=0,
                upper=10,
                bounds_by_kind=((("csat", "review"), 1, 5),),
                note="nps 0-10; csat and review 1-5",
            ),
            _optional("text"),
            _ABOUT,
            _ARRIVED,
        ),
        ("feedback_id",),
        "given_at",
    ),
    Table(
        "stages",
        "a partner, or one of its deals, enters a stage",
        (
            _PARTNER,
            Column("stage"),
            _known("entered_at", "time", note="missing: stands in the stage since an unknown day"),
            _optional("deal_id", note="who travels; missing: the partner itself"),
            _ARRIVED,
        ),
        ("partner_id", "deal_id", "stage", "entered_at"),
        "entered_at",
    ),
    Table(
        "assessments",
        "somebody rates a factor that leaves no event",
        (
            _PARTNER,
            Column("assessed_at", "time"),
            Column("factor"),
            Column("score", "number", lower=0, upper=100),
            Column("assessor", choices=tuple(ASSESSORS)),
            _ARRIVED,
        ),
        ("partner_id", "factor", "assessor", "assessed_at"),
        "assessed_at",
    ),
    Table(
        "actions",
        "a step that the programme took",
        (
            Column("action_id"),
            _PARTNER,
            Column("taken_at", "time"),
            Column("action"),
            _optional("approach"),
            _optional("propensity", "number", lower=0, upper=1, note="chance with which the step was chosen"),
            _optional("cost", "number", lower=0, note="programme currency"),
            _ARRIVED,
        ),
        ("action_id",),
        "taken_at",
    ),
    Table(
        "assignments",
        "a partner's arm in an experiment",
        (
            Column("experiment"),
            _PARTNER,
            Column("variant"),
            Column("assigned_at", "time"),
            _ARRIVED,
        ),
        ("experiment", "partner_id"),
        "assigned_at",
    ),
    Table(
        "consents",
        "a partner grants or withdraws a purpose, pauses or resumes navigation",
        (
            _PARTNER,
            Column("purpose", choices=("analytics", "marketing", "navigation")),
            Column("granted", "flag"),
            Column("changed_at", "time"),
            _ARRIVED,
        ),
        ("partner_id", "purpose", "changed_at"),
        "changed_at",
    ),
    Table(
        "preferences",
        "what a partner wants",
        (
            _PARTNER,
            _optional("language", note="ISO 639-1 code"),
            _optional("channels", note="separated by ; , or line breaks"),
            _optional("topics", note="separated by ; , or line breaks"),
            _optional("avoid", note="actions, channels or topics, separated by ; , or line breaks"),
        ),
        ("partner_id",),
    ),
    Table(
        "costs",
        "what the programme spent",
        (
            _optional("cost_id", note="without it equal rows are costs of their own"),
            Column("spent_at", "time"),
            _optional("region", reserved=_RESERVED, note="missing: of no one region"),
            Column("kind"),
            Column("amount", "number", lower=0),
            _CURRENCY,
            _ARRIVED,
        ),
        ("cost_id",),
        "spent_at",
    ),
    Table(
        "identities",
        "one partner under another system's key",
        (Column("source"), Column("source_id"), _PARTNER),
        ("source", "source_id"),
    ),
)

TABLES: dict[str, Table] = {table.name: table for table in _ALL}
