"""Page pieces that a notebook's cells return, and the pages made of them."""

import base64
import copy
import hashlib
import io
import itertools
import re
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote
from xml.etree import ElementTree

import pandas as pd

from partnerseg.report.figures import INKS, NOTHING, apply_style
from partnerseg.report.findings import is_known
from partnerseg.report.language import (
    MISSING,
    NO_BREAK,
    format_change,
    format_count,
    format_date,
    format_number,
    format_points,
    format_share,
    format_value,
    load_language,
    say,
    say_count,
    say_name,
)

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from nbformat import NotebookNode

TEMPLATES = Path(__file__).parent / "templates"
PHONE_WIDTH = 340  # px of the drawing that a phone gets
_FINDINGS = 5  # sentences at the top of a page
_MORE_ROWS = 200  # rows of a table after "more"
_CSV_ROWS = 5_000
_UNSEEN = ("Cc", "Cf", "Zs", "Zl", "Zp")  # kinds of signs that are not seen
_NAMED = (  # columns that hold names of ours, not of the data
    *("action", "channel", "column", "criterion", "engagement_level", "experiment", "factor", "family", "feature"),
    *("grade", "kind", "language", "metric", "next_stage", "next_step", "next_tier", "partner_type", "pillar"),
    *("revenue_potential", "stage", "table", "tier", "tier_before", "variant"),
)
_KIND = "partnerseg"  # key of the pieces' metadata in a notebook's outputs


class PageError(ValueError):
    """A page that would not show what its notebook says."""


@dataclass(frozen=True)
class Evidence:
    """A piece of a page: a notebook's cell returns it, JupyterLab shows it, the page carries it.

    Attributes:
        kind: `figure`, `table`, `text`, `doubts` or `method`.
        id: Its place on the page, for links.
        finding: The sentence it is evidence for; empty for texts.
        text: What it says in plain text; notebook tests compare this.
        html: What it looks like.
        action: True where it says what to do next.
    """

    kind: str
    id: str
    finding: str
    text: str
    html: str = field(repr=False)
    action: bool = False

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict[str, str], dict[str, Any]]:
        about = {"kind": self.kind, "id": self.id, "finding": self.finding, "action": self.action}
        return {"text/html": self.html, "text/plain": self.text}, {_KIND: about}


@dataclass(frozen=True)
class PageContext:
    """What a page says about itself and its neighbors.

    Attributes:
        programme: Name of the programme.
        region: Region code, `all` for the whole programme.
        region_name: The region in words.
        as_of: Date of the report, `YYYY-MM-DD`.
        language: ISO 639-1 code of the page's words.
        page: Slug of this page; the file is `<page>.html`.
        pages: (slug, title) of every page of this region, in order.
        regions: (code, name, href) of every region; href leads from this page to the region's page.
        edition_key: Hash that names the edition's inputs and parameters.
        versions: Package name to version.
        seed: Random seed in force.
        parameters: Parameters in force, dotted key to value.
        index: Where the index lies, seen from this page.
    """

    programme: str
    region: str
    region_name: str
    as_of: str
    language: str
    page: str
    pages: Sequence[tuple[str, str]]
    regions: Sequence[tuple[str, str, str]]
    edition_key: str
    versions: dict[str, str]
    seed: int
    parameters: dict[str, object]
    index: str = "../index.html"


@dataclass(frozen=True)
class Measure:
    """A column of the index: a measure that every region has.

    Attributes:
        column: Column of the summary; `<column>_lower` and `<column>_upper` hold its interval where there is one.
        title: The measure in words.
        unit: A currency, `share`, `count` or a word.
    """

    column: str
    title: str
    unit: str = "count"


@dataclass(frozen=True)
class Failure:
    """A page that could not be made: its region, its page, the cell that failed and its error."""

    region: str
    page: str
    cell: str
    error: str


@dataclass(frozen=True)
class Answer:
    """A question and the best sentence its page has.

    Attributes:
        title: The question.
        finding: The sentence; empty when the page reports none.
        href: Where the evidence is; empty when the page could not be made.
    """

    title: str
    finding: str
    href: str


@dataclass(frozen=True)
class IndexContext:
    """What the index of an edition says.

    Attributes:
        programme: Name of the programme.
        as_of: Date of the edition, `YYYY-MM-DD`.
        language: ISO 639-1 code of the page's words.
        edition_key: Hash that names the edition's inputs and parameters.
        regions: (code, name, href) of every region, href empty where no page could be made.
        summary: Index region code; columns as the measures name them.
        measures: The columns to show, the most important first: regions are sorted by it.
        answers: The questions with their best sentences.
        changes: What changed since the last edition, ready to be shown; None for the first edition.
        failures: Pages that could not be made.
    """

    programme: str
    as_of: str
    language: str
    edition_key: str
    regions: Sequence[tuple[str, str, str]]
    summary: pd.DataFrame
    measures: Sequence[Measure]
    answers: Sequence[Answer]
    changes: pd.DataFrame | None = None
    failures: Sequence[Failure] = ()


def show_figure(
    axes: "Axes",
    *,
    finding: str,
    measure: str,
    alt: str,
    data: pd.DataFrame | pd.Series | None = None,
    note: str = "",
    action: bool = False,
) -> Evidence:
    """Show a figure under the finding it is evidence for; the figure is closed afterwards.

    Of a figure that says that nothing is known only the finding is shown.

    Args:
        axes: What a figure function returned.
        finding: The headline, a sentence with its number.
        measure: The subtitle: measure, unit, period and n.
        alt: What the figure shows, for readers who do not see it; one without a number gets the finding added.
        data: The numbers behind it, offered as a table and as CSV.
        note: One line: sources, coverage, how sure we are, what was left out.
        action: True where the figure says what to do next.

    Raises:
        ValueError: finding, measure or alt is empty.
    """
    _require(finding=finding, measure=measure, alt=alt)
    wide, narrow = _draw_svg(axes)
    if axes.get_label() == NOTHING:
        return _show_nothing(finding, action)
    measure, alt = _space_counts(measure), alt if re.search(r"\d", alt) else f"{alt} {finding}"
    place = _name_place(measure, wide.svg, finding, alt)
    html = _render(
        "evidence.html.j2",
        id=place,
        finding=finding,
        measure=measure,
        note=note,
        action=action,
        alt=alt,
        wide=_clean_svg(wide, f"{place}-w", alt, "ps-wide"),
        narrow=_clean_svg(narrow, f"{place}-n", alt, "ps-narrow"),
        table=None if data is None or not len(data) else _lay_out(data, place, measure, rows=10),
        open=False,
    )
    return Evidence("figure", place, finding, f"{finding}\n{measure}", html, action)


def show_table(
    frame: pd.DataFrame | pd.Series,
    *,
    finding: str,
    measure: str,
    note: str = "",
    rows: int = 10,
    action: bool = False,
    data: pd.DataFrame | None = None,
) -> Evidence:
    """Show a table under the finding it is evidence for: the first rows, more on request, and CSV.

    Of a table without rows only the finding is shown.

    Args:
        frame: The table; its order is kept. A column lower or upper is read in the unit of the column before it.
        finding: The headline, a sentence with its number.
        measure: The subtitle: measure, unit, period and n.
        note: One line: sources, coverage, how sure we are, what was left out.
        rows: Rows shown at once.
        action: True where the table says what to do next.
        data: What the CSV holds, where that is more than the table shows.

    Raises:
        ValueError: finding or measure is empty.
    """
    _require(finding=finding, measure=measure)
    if not len(frame):
        return _show_nothing(finding, action)
    measure = _space_counts(measure)
    place = _name_place(measure, finding, _to_csv(_flatten(frame)))
    html = _render(
        "evidence.html.j2",
        id=place,
        finding=finding,
        measure=measure,
        note=note,
        action=action,
        table=_lay_out(frame, place, measure, rows=rows, data=data),
        open=True,
    )
    return Evidence("table", place, finding, f"{finding}\n{measure}", html, action)


def show_text(sentences: str | Sequence[str]) -> Evidence:
    """Show sentences as paragraphs.

    Example:
        >>> print(show_text(["We know 12 partners.", "Ten of them sold."]).text)
        We know 12 partners.
        Ten of them sold.
    """
    return _show_sentences("text", [sentences] if isinstance(sentences, str) else sentences)


def show_doubts(sentences: Sequence[str]) -> Evidence:
    """Show what is missing, set aside, suppressed or too small, one sentence a doubt; says so when there is none.

    Example:
        >>> print(show_doubts([]).text)
        We found nothing that is missing, set aside or too small.
    """
    return _show_sentences("doubts", list(sentences) or [say("page.no_doubts")])


def show_method(sentences: Sequence[str]) -> Evidence:
    """Show how the page was made: the method in a few sentences with its source; the page adds what was in force.

    Example:
        >>> print(show_method(["Medians are Kaplan-Meier estimates (Kaplan and Meier 1958)."]).text)
        Medians are Kaplan-Meier estimates (Kaplan and Meier 1958).
    """
    return _show_sentences("method", sentences)


def collect_findings(notebook: "NotebookNode") -> list[dict[str, Any]]:
    """Collect the findings of an executed notebook: dicts of kind, id, finding, action.

    They keep their order, but what says that we do not know comes last.
    """
    findings = [dict(_about(output)) for output in _outputs(notebook) if _about(output).get("finding")]
    return sorted(findings, key=lambda finding: not is_known(finding["finding"]))


def count_figures(notebook: "NotebookNode") -> int:
    """Count the figures that an executed notebook says it has: figure pieces, images and plotly drawings."""
    return sum(_is_figure(output) for output in _outputs(notebook))


def render_page(notebook: "NotebookNode", context: PageContext) -> str:
    """Render an executed notebook as a page that needs nothing but itself: no code, no requests, no scripts.

    Args:
        notebook: Executed; its first heading of level 1 is the question, headings of level 2 are sections.
        context: What the page says about itself.

    Returns:
        The whole HTML document; the same notebook and context give the same text.

    Raises:
        PageError: The notebook has no question, ended in an error, a figure would be lost, or the page would ask
            for something from the network.
    """
    where = f"{context.page} ({context.region})"
    question, notebook = _take_question(_prepare(notebook, where), where)
    body = _render_body(notebook)
    expected, page = count_figures(notebook), _PageReader(body)
    if page.figures != expected:
        raise PageError(
            f"{where}: the notebook has {expected} figures, the page would show {page.figures}; "
            "return figures through show_figure(...)"
        )
    findings = [finding | {"section": page.sections.get(finding["id"], "")} for finding in collect_findings(notebook)]
    known = [finding for finding in findings if is_known(finding["finding"])]
    html = _render(
        "page.html.j2",
        language=context.language,
        context=context,
        question=question,
        findings=_choose_findings(known),
        actions=[finding for finding in known if finding["action"]],
        unknown=_name_open(findings, known),
        contents=page.headings,
        body=body,
        has_method=any(_about(output).get("kind") == "method" for output in _outputs(notebook)),
    )
    _check_requests(html, where)
    return html


def render_index(context: IndexContext) -> str:
    """Render the index of an edition: regions side by side, what changed, what failed, the questions.

    Args:
        context: What the index says.

    Returns:
        The whole HTML document.

    Raises:
        PageError: The page would ask for something from the network.
    """
    names = {code: (name, href) for code, name, href in context.regions}
    order = [code for code in context.summary.index if code in names]
    if context.measures:
        first = context.summary.loc[order, context.measures[0].column]
        order = list(first.sort_values(ascending=False, kind="stable").index)
    order = sorted(order, key=lambda code: code != "all") + [code for code in names if code not in order]
    columns = [_place_measure(context.summary.reindex(order), measure) for measure in context.measures]
    html = _render(
        "index.html.j2",
        language=context.language,
        context=context,
        rows=[(*names[code], [column[place] for column in columns]) for place, code in enumerate(order)],
        changes=None
        if context.changes is None
        else _lay_out(_format_changes(context), "changes", say("index.changes"), rows=10, data=context.changes),
    )
    _check_requests(html, "index")
    return html


def _require(**texts: str) -> None:
    for name, text in texts.items():
        if not str(text).strip():
            raise ValueError(f"{name} is empty; say it: every piece of evidence carries its {name}")


def _show_nothing(finding: str, action: bool) -> Evidence:
    place = _name_place("nothing", finding)
    return Evidence("nothing", place, finding, finding, _render("evidence.html.j2", id=place, nothing=finding), action)


def _choose_findings(known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Choose the findings for the top of the page: the first of each section, then others, in the page's order."""
    seen: dict[str, int] = {}
    ranked = []
    for place, finding in enumerate(known):
        rank = seen[finding["section"]] = seen.get(finding["section"], -1) + 1
        ranked.append((rank, place))
    return [known[place] for place in sorted(place for _, place in sorted(ranked)[:_FINDINGS])]


def _name_open(findings: list[dict[str, Any]], known: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Choose one finding for each section that knows nothing."""
    told = {finding["section"] for finding in known}
    return list({one["section"]: one for one in reversed(findings) if one["section"] not in told}.values())[::-1]


def _space_counts(measure: str) -> str:
    return re.sub(r"(?<=n = )\d+\b", lambda n: format_count(int(n.group())), measure)


def _name_place(measure: str, *contents: str) -> str:
    """Name a place on the page after its measure; the digest keeps ids of several pieces apart."""
    words = re.sub(r"[^a-z]+", "-", measure.split(",")[0].lower()).strip("-")[:40].strip("-") or "evidence"
    return f"{words}-{hashlib.sha256(chr(0).join((measure, *contents)).encode()).hexdigest()[:8]}"


def _show_sentences(kind: str, sentences: Sequence[str]) -> Evidence:
    sentences = [str(sentence) for sentence in sentences]
    place = _name_place(kind, *sentences)
    html = _render("evidence.html.j2", id=place, kind=kind, sentences=sentences)
    return Evidence(kind, place, "", "\n".join(sentences), html)


# Drawings


@dataclass(frozen=True)
class _Drawing:
    """A drawing by matplotlib, and where the lines of its text blocks are anchored: id, x, side."""

    svg: str
    anchors: dict[str, tuple[float, str]]


def _draw_svg(axes: "Axes") -> tuple[_Drawing, _Drawing]:
    """Draw the figure for a desktop and once more, laid out anew, for a phone; close it."""
    import matplotlib.pyplot as plt
    from matplotlib.text import Text

    figure = cast("Figure", axes.get_figure(root=True))
    height = figure.get_figheight()
    drawings = []
    with apply_style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the reader's fonts draw the text
        figure.draw_without_rendering()
        blocks = [text for text in figure.findobj(Text) if "\n" in text.get_text()]
        for number, text in enumerate(blocks):
            text.set_gid(f"lines-{number}")
        for width in (figure.get_figwidth(), PHONE_WIDTH / 72):
            figure.set_size_inches(width, height)
            drawing = io.StringIO()
            figure.savefig(drawing, format="svg", transparent=True, metadata={"Date": None})
            drawings.append(_Drawing(drawing.getvalue(), {str(text.get_gid()): _find_anchor(text) for text in blocks}))
    plt.close(figure)
    return drawings[0], drawings[1]


def _find_anchor(text: "Text") -> tuple[float, str]:
    """Find where a single line would be anchored, so that lines stay aligned in the reader's font."""
    x, _ = text.get_transform().transform(text.get_unitless_position())
    return float(x), {"left": "start", "right": "end", "center": "middle"}[str(text.get_horizontalalignment())]


def _clean_svg(drawing: _Drawing, prefix: str, alt: str, style: str) -> "Markup":
    """Make a matplotlib drawing fit for a page: own ids, the page's colors and font, nothing that is not drawn."""
    from markupsafe import Markup

    root = ElementTree.fromstring(drawing.svg)
    used = set(re.findall(r"""(?:url\(#|href="#)([\w.:-]+)""", drawing.svg))
    for parent in list(root.iter()):
        parent.tag = parent.tag.rpartition("}")[2]
        if parent.get("id") in drawing.anchors:
            x, side = drawing.anchors[str(parent.get("id"))]
            for line in parent.findall("{*}text"):
                y = re.findall(r"[-\d.]+", line.attrib.pop("transform"))[1]
                line.attrib.update({"x": f"{x:.1f}", "y": y, "style": f"{line.get('style')}; text-anchor: {side}"})
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("metadata", "style"):
                parent.remove(child)
        if parent.tag not in ("text", "tspan"):
            parent.text = None
        for child in parent:
            child.tail = None
        for name, value in list(parent.attrib.items()):
            del parent.attrib[name]
            if (name == "id" and value not in used) or value.startswith("rotate(-0 "):
                continue
            parent.set(name.rpartition("}")[2], _clean_value(name, value, prefix))
    _hoist_styles(root)
    _prune(root)
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    root.attrib.pop("version", None)
    root.attrib.update({"class": style, "role": "img", "aria-label": alt})
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _clean_value(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return f"{prefix}-{value}"
    if name == "style":
        value = re.sub(r"font-family: [^;]*;? ?", "", value)
        return re.sub(r"#[0-9a-f]{6}\b", lambda ink: _name_ink(ink.group()), value).strip("; ")
    if name.endswith("href"):
        return value.replace("#", f"#{prefix}-", 1) if value.startswith("#") else value
    if name == "clip-path":
        return value.replace("url(#", f"url(#{prefix}-")
    if name in ("d", "points", "transform", "x", "y", "viewBox"):
        return re.sub(
            r"-?\d+\.\d+", lambda number: f"{float(number.group()):.1f}".removesuffix(".0"), " ".join(value.split())
        )
    return value


def _round(number: str) -> str:
    return f"{float(number):.1f}".removesuffix(".0")


def _name_ink(ink: str) -> str:
    return f"var(--ps-{INKS[ink]}, {ink})" if ink in INKS else ink


def _hoist_styles(root: ElementTree.Element) -> None:
    """Say a style once for a group of points that share it."""
    for group in root.iter("g"):
        styles = {point.get("style") for point in group}
        if len(group) > 2 and len(styles) == 1 and all(point.tag == "use" for point in group):
            group.set("style", styles.pop() or "")
            for point in group:
                point.attrib.pop("style", None)


def _prune(element: ElementTree.Element) -> None:
    """Remove groups without content and paths without ink."""
    for child in list(element):
        _prune(child)
        if (child.tag in ("g", "defs") and not len(child)) or (
            child.tag == "path" and child.get("style") == "fill: none"
        ):
            element.remove(child)


# Tables


def _flatten(frame: pd.DataFrame | pd.Series) -> pd.DataFrame:
    """Turn the index into columns unless it only counts rows, and column levels into one name."""
    frame = frame.to_frame() if isinstance(frame, pd.Series) else frame
    if not isinstance(frame.index, pd.RangeIndex):
        names = [name if name is not None else "" for name in frame.index.names]
        frame = frame.reset_index(names=names)
    return frame.set_axis(
        ["_".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in frame.columns], axis="columns"
    )


def _lay_out(
    frame: pd.DataFrame | pd.Series, place: str, measure: str, *, rows: int, data: pd.DataFrame | None = None
) -> dict[str, Any]:
    """Lay out a table for the template: headers, the first rows, more rows, how many are left, and the CSV."""
    frame = _flatten(frame)
    whole = frame if data is None else _flatten(data)
    columns = _format_columns(frame.head(_MORE_ROWS))
    cells = list(zip(*columns.values(), strict=True))
    part = len(whole) > _CSV_ROWS
    csv = base64.b64encode(_to_csv(whole.head(_CSV_ROWS)).encode("utf-8")).decode("ascii")
    return {
        "headers": [
            {"text": say_name(name), "style": _choose_style(whole.get(name, frame.get(name)), column)}
            for name, column in columns.items()
        ],
        "rows": cells[:rows],
        "more": cells[rows:],
        "left": len(frame) - len(cells),
        "label": say("page.table_label", measure=measure),
        "file": f"{place}.csv",
        "csv": f"data:text/csv;charset=utf-8;base64,{csv}",
        "csv_text": say("page.csv_part", count=format_count(_CSV_ROWS)) if part else say("page.csv"),
    }


def _format_columns(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Write the cells of every column; an interval is one column, a unit stands with its value."""
    columns: dict[str, list[str]] = {}
    form: Callable[[Any], str] = format_number
    for name in frame:
        values = frame[name]
        if name in ("value", "lower", "upper") and "unit" in frame:
            columns[name] = [format_value(v, str(u)) for v, u in zip(values, frame["unit"], strict=True)]
            continue
        if name not in ("lower", "upper"):
            form = _choose_form(str(name), values)
        columns[str(name)] = [form(value) for value in values]
    if "value" in columns:
        columns.pop("unit", None)
    if "lower" in columns and "upper" in columns:
        bounds = zip(columns["lower"], columns.pop("upper"), strict=True)
        columns["lower"] = ["" if low == high == MISSING else say("to", lower=low, upper=high) for low, high in bounds]
        columns = {"interval" if name == "lower" else name: cells for name, cells in columns.items()}
    return columns


def _format_changes(context: IndexContext) -> pd.DataFrame:
    """Write the change of every measure that changed in its unit, with its sign."""
    changes, units = cast(pd.DataFrame, context.changes), {measure.title: measure.unit for measure in context.measures}
    return pd.DataFrame(
        {
            name: [format_change(value, units[name]) for value in values] if name in units else values
            for name, values in changes.items()
            if values.fillna(0).ne(0).any()
        },
        index=changes.index,
    )


def _choose_form(name: str, values: pd.Series) -> Callable[[Any], str]:
    if name in _NAMED:
        return say_name
    if not _is_number(values):
        return _format_cell
    if name in ("score", "points_missing"):
        return format_points
    known = values.dropna().astype(float)
    if (
        re.search(r"(^|_)(share|rate|coverage|conversion|probability|kept|chance|arrive|within)(_|$)", name)
        and known.between(0, 1).all()
    ):
        return format_share
    if (known == known.round()).all():
        return format_count
    return format_number


def _format_cell(value: Any) -> str:
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(map(str, sorted(value) if isinstance(value, (set, frozenset)) else value)) or MISSING
    if pd.isna(value):
        return MISSING
    if isinstance(value, bool):
        return say("page.yes") if value else say("page.no")
    if isinstance(value, pd.Timestamp):
        day = format_date(value).replace(" ", NO_BREAK)
        return day if value == value.normalize() else f"{day} {value:%H:%M}"
    if isinstance(value, (int, float)):
        return format_number(value)
    return str(value)


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _choose_style(values: pd.Series | None, cells: Sequence[str]) -> str:
    if values is None or _is_number(values):
        return "ps-number"
    return "ps-long" if max(map(len, cells), default=0) > 30 else ""


def _to_csv(frame: pd.DataFrame) -> str:
    """Write CSV that spreadsheets read as text and numbers, never as formulas."""
    safe = frame.copy()
    for name in safe:
        if not _is_number(safe[name]):
            safe[name] = [disarm(value) for value in safe[name]]
    safe.columns = [disarm(name) for name in safe]
    return "\ufeff" + safe.to_csv(index=False, lineterminator="\n")


def disarm(value: Any) -> Any:
    """Return text so that no spreadsheet takes it for a formula; what is no text stays as it is."""
    if not isinstance(value, str) or not value:
        return value
    # What a spreadsheet may skip, or take for the sign itself, hides nothing.
    seen = "".join(sign for sign in unicodedata.normalize("NFKC", value) if unicodedata.category(sign) not in _UNSEEN)
    return f"'{value}" if seen.startswith(("=", "+", "-", "@")) or value[0] in "\t\r" else value


# Pages


def _render(template: str, *, language: str = "en", **values: Any) -> str:
    environment = _open_templates()
    return environment.get_template(template).render(
        language=language,
        words=load_language(language),
        say=lambda key, /, **inserts: say(key, language=language, **inserts),
        date=lambda value: format_date(value, language=language),
        pages=lambda count: say_count("page", count, language=language),
        more_rows=lambda count: say_count("more_row", count, language=language),
        link=_quote_href,
        **values,
    )


@cache
def _open_templates() -> "Environment":
    from jinja2 import Environment, FileSystemLoader

    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)


def _quote_href(href: str) -> str:
    """Percent-encode what is not yet encoded in a relative link; a colon too, so that no name can become a scheme."""
    path, hash_mark, fragment = href.partition("#")
    return quote(path, safe="/%") + hash_mark + quote(fragment, safe="%")


def _outputs(notebook: "NotebookNode") -> list[Any]:
    """List what the cells returned or displayed, in order."""
    return [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type in ("execute_result", "display_data")
    ]


def _about(output: Any) -> dict[str, Any]:
    return output.get("metadata", {}).get(_KIND, {})


def _is_figure(output: Any) -> bool:
    if _about(output):
        return _about(output).get("kind") == "figure"
    return any(mime.startswith("image/") or "plotly" in mime for mime in output.data)


def _prepare(notebook: "NotebookNode", where: str) -> "NotebookNode":
    """Copy the notebook; refuse one that ended in an error; make the ids of its pieces unique on the page."""
    notebook = copy.deepcopy(notebook)
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                raise PageError(f"{where}: cell {number} ended in {output.ename}: {output.evalue}")
    seen: dict[str, int] = {}
    for output in _outputs(notebook):
        if about := _about(output):
            html, place = "".join(output.data["text/html"]), about["id"]
            html = re.sub(r"<style data-partnerseg>.*?</style>\n?", "", html, count=1, flags=re.DOTALL)
            seen[place] = seen.get(place, 0) + 1
            if seen[place] > 1:
                about["id"] = f"{place}-{seen[place]}"
                html = html.replace(place, about["id"])
            output.data["text/html"] = html
    return notebook


def _take_question(notebook: "NotebookNode", where: str) -> tuple[str, "NotebookNode"]:
    """Take the first heading of level 1 out of the notebook: it is the page's question."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (title := re.search(r"^# +(.+?) *#*$", cell.source, flags=re.MULTILINE)):
            cell.source = (cell.source[: title.start()] + cell.source[title.end() :]).strip()
            if not cell.source:
                notebook.cells.remove(cell)
            return title.group(1), notebook
    raise PageError(f"{where}: the notebook has no question; its first markdown cell starts with '# ' and the question")


def _render_body(notebook: "NotebookNode") -> "Markup":
    from markupsafe import Markup

    body, _ = _open_exporter().from_notebook_node(notebook, resources={"undescribed": say("page.undescribed")})
    sections = itertools.count(1)
    body = re.sub(r"(?<=<)(/?)h1>", r"\1h2>", body)  # the question is the page's only heading of level 1
    body = re.sub(r'<div class="prose"><h2>[^\n]*</h2>\s*</div>\s*(?=<div class="prose"><h2>|$)', "", body)
    return Markup(re.sub("<h2>", lambda _: f'<h2 id="section-{next(sections)}">', body))


@cache
def _open_exporter():
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(
        template_name="body", extra_template_basedirs=[str(TEMPLATES)], exclude_anchor_links=True, embed_images=False
    )
    exporter.template  # noqa: B018  compiles the template once
    return exporter


class _PageReader(HTMLParser):
    """Read a page as a browser does: its figures, its sections, its ids and whatever it would ask for."""

    def __init__(self, html: str):
        super().__init__()
        self.figures = 0
        self.headings: list[tuple[str, str]] = []
        self.sections: dict[str, str] = {}  # evidence to the heading it stands under
        self.ids: list[str] = []
        self.requests: list[str] = []
        self._heading: tuple[str, list[str]] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.figures += tag == "figure" and "data-figure" in given
        self.ids += [given["id"]] if "id" in given else []
        if tag == "section" and "id" in given and self.headings:
            self.sections[given["id"]] = self.headings[-1][1]
        if tag == "h2" and "id" in given:
            self._heading = (given["id"], [])
        if tag in ("script", "iframe", "object", "embed", "base", "form", "audio", "video"):
            self.requests.append(f"<{tag}>")
        for name, value in given.items():
            loads = name in ("src", "srcset", "poster", "background", "data") or (name.endswith("href") and tag != "a")
            if name.startswith("on") or (loads and not value.startswith(("#", "data:"))):
                self.requests.append(f"<{tag} {name}={value[:80]!r}>")
            if name == "style" and re.search(r"url\((?!['\"]?(?:#|data:))", value):
                self.requests.append(f"<{tag} {name}={value[:80]!r}>")
            if name == "href" and value.strip().lower().startswith(("javascript:", "vbscript:")):
                self.requests.append(f"<{tag} {name}={value[:80]!r}>")

    def handle_endtag(self, tag: str) -> None:
        if tag == "h2" and self._heading:
            self.headings.append((self._heading[0], "".join(self._heading[1]).strip()))
            self._heading = None

    def handle_data(self, data: str) -> None:
        if self._heading:
            self._heading[1].append(data)


def _check_requests(html: str, where: str) -> None:
    if requests := _PageReader(html).requests:
        raise PageError(
            f"{where}: the page would run or ask for {', '.join(requests[:3])}; a page needs nothing but itself, "
            "show results through show_figure, show_table or show_text"
        )


# Index


def _place_measure(summary: pd.DataFrame, measure: Measure) -> list[dict[str, Any]]:
    """Place a measure of every region on one scale from 0 to 100, which zero and all intervals belong to."""
    missing = pd.Series(float("nan"), index=summary.index)
    value = summary.get(measure.column, missing).astype(float)
    lower = summary.get(f"{measure.column}_lower", missing).astype(float)
    upper = summary.get(f"{measure.column}_upper", missing).astype(float)
    known = pd.concat([value, lower, upper]).dropna()
    start, end = min(0.0, known.min()) if len(known) else 0.0, max(0.0, known.max()) if len(known) else 1.0
    scale = 100 / ((end - start) or 1.0)
    cells = []
    for at, low, high in zip(value, lower, upper, strict=True):
        text, label = format_value(at, measure.unit), f"{measure.title}: {format_value(at, measure.unit)}"
        if pd.notna(low) and pd.notna(high):
            words = say("interval", lower=format_value(low, measure.unit), upper=format_value(high, measure.unit))
            label = f"{label}, {words}"
        cells.append(
            {
                "text": text,
                "label": label,
                "title": measure.title,
                "zero": round((0 - start) * scale, 1),
                "at": None if pd.isna(at) else round((at - start) * scale, 1),
                "low": None if pd.isna(low) or pd.isna(high) else round((low - start) * scale, 1),
                "high": None if pd.isna(low) or pd.isna(high) else round((high - start) * scale, 1),
            }
        )
    return cells
