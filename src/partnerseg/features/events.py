"""What features measure of the events: Ibis expressions, one a measure, declared once a source."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from partnerseg.programme.tables import ASSESSORS

FRESH = 365  # days after which an assessment counts half
PARTS = 1000  # of an assessor's weight that are kept, so that weighted sums are whole numbers
ASSESSED = ("marketing_strategy", "content_uniqueness", "teamwork", "strategic_planning", "technical_equipment")
RESPONSES = ("opened", "clicked", "replied", "attended", "visited")
ANSWERS = ("clicked", "replied", "attended")  # to a campaign


@dataclass(frozen=True)
class Measure:
    """A number told by each event.

    It is rounded to a whole number of `1 / scale`. Sums of whole numbers are the same in whatever order and
    grouping they are added, so features do not depend on the order of rows, on threads or on other dates.

    Attributes:
        number: Takes the source's rows and returns an Ibis column; missing is unknown.
        scale: Parts of the unit that are kept.
        columns: Optional columns it needs; when they are wholly unknown, so is the measure.
        half_life: Days after which an event that fades counts half.
    """

    number: Callable[[Any], Any]
    scale: int = 1
    columns: tuple[str, ...] = ()
    half_life: float = 0.0


@dataclass(frozen=True)
class Source:
    """Events of one table, ready to be measured.

    Attributes:
        table: Table of the programme.
        time: When an event happened.
        measures: What can be summed, by name.
        counted: Measure that is 1 for the events that keys, months and gaps look at.
        amount: Measure that keys add up.
        net: The same less what was taken back; where it is not given nothing is.
        keys: Text columns whose different values are counted.
        rows: Takes the table and returns the rows that belong to the source.
        known_at: Further time before which nothing is known of an event.
        latest_of: Only the latest event of this (and the partner) counts.
        expires: Time from which an event no longer counts.
        ages: Time from which an event fades, where it is not `expires`.
    """

    table: str
    time: str
    measures: dict[str, Measure]
    counted: str = ""
    amount: str = ""
    net: str = ""
    keys: dict[str, str] = field(default_factory=dict)
    rows: Callable[[Any], Any] = lambda rows: rows
    known_at: str = ""
    latest_of: Callable[[Any], Any] | None = None
    expires: str = ""
    ages: str = ""


def _count(rows: Any) -> Any:
    return rows.partner_id.notnull()


def _is(column: str, *values: str) -> Callable[[Any], Any]:
    return lambda rows: rows[column].isin(values)


def _nps(given_by: str) -> Callable[[Any], Any]:
    """+1 for a promoter, -1 for a detractor, 0 between; missing for everything else."""

    def number(rows: Any) -> Any:
        sign = (rows.score >= 9).cast("float64") - (rows.score < 7).cast("float64")
        return ((rows.kind == "nps") & (rows.given_by == given_by)).ifelse(sign, None)

    return number


def _in_campaign(*actions: str) -> Callable[[Any], Any]:
    return lambda rows: rows.campaign.notnull().ifelse(rows.action.isin(actions), None)


def _is_about_product(rows: Any) -> Any:
    """True for a complaint about the product, or about nobody knows what."""
    return (rows.kind == "complaint") & (rows.about.fill_null("product") == "product")


def _log_hours(start: str, end: str) -> Callable[[Any], Any]:
    """Logarithm of the hours from one time to a later one; missing where they are not in this order."""

    def number(rows: Any) -> Any:
        seconds = (rows[end].epoch_seconds() - rows[start].epoch_seconds()).cast("float64")
        return ((seconds > 0).ifelse(seconds, None) / 3600).ln()

    return number


def _is_own(rows: Any) -> Any:
    """True for a training in the partner's own specialization; false where either is unknown."""
    return (rows.specialization == rows.partner_specialization).fill_null(False)


def _measure_assessments(assessed: Sequence[str], evidence: Mapping[str, float]) -> dict[str, Measure]:
    """For each factor, its scores times the assessors' weights, the weights, and their squares.

    A factor's steps belong to it. Squares fade twice as fast, as they weigh the weights by themselves.
    """
    parts = [(assessor, round(weight * PARTS)) for assessor, weight in evidence.items()]

    def score_of(factor: str) -> Callable[[Any], Any]:
        return lambda rows: is_about(rows, factor).ifelse(rows.score * weigh(rows), None)

    def weight_of(factor: str) -> Callable[[Any], Any]:
        return lambda rows: is_about(rows, factor).ifelse(weigh(rows), None)

    def square_of(factor: str) -> Callable[[Any], Any]:
        return lambda rows: is_about(rows, factor).ifelse(weigh(rows) * weigh(rows), None)

    def is_about(rows: Any, factor: str) -> Any:
        return (rows.factor == factor) | rows.factor.startswith(f"{factor}.")

    def weigh(rows: Any) -> Any:
        return rows.assessor.cases(*parts, else_=0)

    measures = {}
    for factor in assessed:
        measures[factor] = Measure(score_of(factor), scale=1_000_000)
        measures[f"weight_of_{factor}"] = Measure(weight_of(factor), half_life=FRESH)
        measures[f"square_of_{factor}"] = Measure(square_of(factor), half_life=FRESH / 2)
    return measures


def list_sources(assessed: Sequence[str] = ASSESSED, evidence: Mapping[str, float] = ASSESSORS) -> dict[str, Source]:
    """List what can be measured, by source, when these factors are assessed and assessors count so much.

    Args:
        assessed: Factors, as in the column factor of the table assessments; `planning` takes `planning.analysis` in.
        evidence: Weight of each assessor, 0 to 1; kept to thousandths. An assessor that is not named counts nothing.
    """
    own = replace(SOURCES["assessments"], measures=_measure_assessments(assessed, evidence))
    return SOURCES | {"assessments": own}


# What may be asked of a partner itself, and the table that says it.
ATTRIBUTES = {
    "tenure": "partners",
    "potential": "partners",
    "specialized": "partners",
    "channels": "preferences",
    "topics": "preferences",
    "avoid": "preferences",
}

SOURCES: dict[str, Source] = {
    "sales": Source(
        "sales",
        "sold_at",
        {
            "amount": Measure(lambda rows: rows.amount, scale=10_000),
            "gross": Measure(lambda rows: (~rows.is_return).ifelse(rows.amount, None), scale=10_000),
            "sale": Measure(lambda rows: ~rows.is_return),
            "return": Measure(lambda rows: rows.is_return),
            "discount": Measure(
                lambda rows: (~rows.is_return).ifelse(rows.discount, None), scale=1_000_000, columns=("discount",)
            ),
            "joint": Measure(
                lambda rows: (~rows.is_return & (rows.joint_partner_id != rows.partner_id)).ifelse(1, None),
                columns=("joint_partner_id",),
            ),
        },
        counted="sale",
        amount="gross",
        net="amount",
        keys={"customer": "customer_id", "country": "country", "product": "product"},
    ),
    "touches": Source(
        "touches",
        "touched_at",
        {
            "touch": Measure(_count),
            "sent": Measure(_is("action", "sent")),
            "opened": Measure(_is("action", "opened")),
            "replied": Measure(_is("action", "replied")),
            "attended": Measure(_is("action", "attended")),
            "visited": Measure(_is("action", "visited")),
            "spoken": Measure(_is("action", "called", "met")),
            "response": Measure(_is("action", *RESPONSES)),
            "campaign_message": Measure(_in_campaign("sent"), columns=("campaign",)),
            "campaign_answer": Measure(_in_campaign(*ANSWERS), columns=("campaign",)),
            "email": Measure(_is("channel", "email")),
            "phone": Measure(_is("channel", "phone")),
            "event": Measure(_is("channel", "event", "webinar")),
            "portal": Measure(_is("channel", "portal")),
        },
        counted="touch",
        amount="touch",
        keys={"channel": "channel"},
    ),
    "answers": Source(
        "touches",
        "touched_at",
        {
            "log_hours": Measure(_log_hours("touched_at", "answered_at"), scale=1_000_000, columns=("answered_at",)),
        },
        rows=lambda rows: rows.filter(rows.action == "sent"),
        known_at="answered_at",
    ),
    "trainings": Source(
        "trainings",
        "completed_at",
        {
            "training": Measure(_count),
            "score": Measure(lambda rows: rows.score, scale=1_000_000, columns=("score",)),
            "specialized": Measure(
                lambda rows: rows.specialization.notnull().ifelse(_is_own(rows), None), columns=("specialization",)
            ),
        },
    ),
    "certificates": Source(
        "trainings",
        "completed_at",
        {
            "certificate": Measure(_is("kind", "certification"), half_life=180),
            "own_certificate": Measure(lambda rows: (rows.kind == "certification") & _is_own(rows), half_life=180),
        },
        latest_of=lambda rows: rows.kind + "\n" + rows.course,
        expires="expires_at",
    ),
    "tickets": Source(
        "tickets",
        "opened_at",
        {
            "ticket": Measure(_count),
            "task": Measure(_is("kind", "task")),
            "complaint": Measure(_is("kind", "complaint")),
            "product_complaint": Measure(_is_about_product),
            "conflict": Measure(lambda rows: (rows.kind == "conflict").ifelse(1, None)),
        },
    ),
    "reopenings": Source(
        "tickets",
        "reopened_at",
        {"task": Measure(_is("kind", "task"), columns=("reopened_at",))},
        rows=lambda rows: rows.filter(rows.reopened_at.notnull()),
    ),
    "outcomes": Source(
        "tickets",
        "opened_at",
        {
            "hours": Measure(
                lambda rows: (rows.resolved_at.epoch_seconds() - rows.opened_at.epoch_seconds()).cast("float64") / 3600,
                scale=3600,
                columns=("resolved_at",),
            ),
            "on_time": Measure(lambda rows: rows.on_time, columns=("on_time",)),
            "quality": Measure(lambda rows: rows.quality, scale=1_000_000, columns=("quality",)),
            "csat": Measure(lambda rows: rows.csat, scale=1_000_000, columns=("csat",)),
        },
        known_at="resolved_at",
    ),
    "feedback": Source(
        "feedback",
        "given_at",
        {
            "answer": Measure(_is("kind", "nps", "csat", "review", "suggestion")),
            "complaint": Measure(_is("kind", "complaint")),
            "product_complaint": Measure(_is_about_product),
            "partner_nps": Measure(_nps("partner"), columns=("score",)),
            "customer_nps": Measure(_nps("customer"), columns=("score",)),
            "review": Measure(
                lambda rows: (rows.kind == "review").ifelse(rows.score, None), scale=1_000_000, columns=("score",)
            ),
        },
    ),
    "assessments": Source(
        "assessments",
        "assessed_at",
        _measure_assessments(ASSESSED, ASSESSORS),
        latest_of=lambda rows: rows.factor + "\n" + rows.assessor,
        ages="assessed_at",
    ),
    "deals": Source(
        "stages",
        "entered_at",
        {"entry": Measure(_count)},
        counted="entry",
        amount="entry",
        keys={"deal": "deal_id"},
        rows=lambda rows: rows.filter(rows.deal_id.notnull()),
    ),
    "consents": Source(
        "consents",
        "changed_at",
        {"withdrawn": Measure(lambda rows: ~rows.granted)},
        rows=lambda rows: rows.filter(rows.purpose == "analytics"),
        latest_of=lambda rows: rows.purpose,
    ),
}
