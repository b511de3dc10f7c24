import itertools
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.pyplot as plt
import nbformat.v4 as nbf
import numpy as np
import pandas as pd
import pytest

from partnerseg.report import figures, html
from tests.report import frames as f

HOSTILE = "<script>alert('1')</script> \"A\" & B {{ x }}"
VOID = {"meta", "link", "br", "img", "hr", "input"}
PAGES = [("01-data", "What do we know?"), ("02-segments", "Who are our partners?")]
CONTEXT = html.PageContext(
    programme=f"Programme {HOSTILE}",
    region="Київ",
    region_name="Київ",
    as_of="2026-06-30",
    language="en",
    page="02-segments",
    pages=PAGES,
    regions=[("all", "Whole programme", "../all/02-segments.html"), ("Київ", "Київ", "../Київ/02-segments.html")],
    edition_key="0123456789abcdef",
    versions={"partnerseg": "0.1.0"},
    seed=0,
    parameters={"rating.weighting": HOSTILE},
)


@pytest.fixture(autouse=True)
def close_figures():
    mpl.use("agg")
    yield
    plt.close("all")


class Tags(HTMLParser):
    """Read HTML, insist that every tag is closed where it must be, and keep tags, ids and headings."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.open, self.levels, self.text = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.levels += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [dict(attrs)["id"]] if "id" in dict(attrs) else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def output(piece, kind="execute_result"):
    data, metadata = piece._repr_mimebundle_()
    return nbf.new_output(kind, data=data, metadata=metadata)


def cell(*outputs):
    return nbf.new_code_cell("secret = 1", outputs=list(outputs))


def notebook(*cells, title="# Who are our partners?"):
    return nbf.new_notebook(cells=[nbf.new_markdown_cell(title), *cells])


def figure(data=f.SIZES, finding="New agents lead.", **more):
    words = {"measure": "Partners by segment, n = 80", "alt": "Two bars.", "data": data, "finding": finding}
    return html.show_figure(figures.draw_segment_sizes(f.SIZES), **(words | more))


def table(frame, **more):
    return html.show_table(frame, **({"finding": "A finding.", "measure": "A measure, n = 3"} | more))


# Pieces


def test_figures_carry_finding_measure_alt_note_and_data():
    piece = figure(note="From sales.")
    page = Tags(piece.html)
    words = [text.strip() for text in page.text if text.strip()]
    for text in ("New agents lead.", "Partners by segment, n = 80", "From sales.", "Show the data", "Old resellers"):
        assert text in words
    pictures = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert [attrs["aria-label"] for attrs in pictures] == ["Two bars. New agents lead."] * 2
    assert all(attrs["role"] == "img" and "viewbox" in attrs for attrs in pictures)
    assert piece.text == "New agents lead.\nPartners by segment, n = 80"


def test_pieces_hand_jupyter_their_data_and_what_they_are():
    data, metadata = figure(action=True)._repr_mimebundle_()
    assert set(data) == {"text/html", "text/plain"}
    about = metadata["partnerseg"]
    assert (about["kind"], about["finding"], about["action"]) == ("figure", "New agents lead.", True)
    assert f'id="{about["id"]}"' in data["text/html"]


def test_figures_are_the_same_bytes_each_time_and_close_their_drawing():
    assert figure().html == figure().html
    assert plt.get_fignums() == []


@pytest.mark.parametrize("missing", ["finding", "measure", "alt"])
def test_a_figure_without_words_is_refused(missing):
    with pytest.raises(ValueError, match=f"{missing} is empty"):
        figure(**{missing: " "})


def test_text_of_figures_stays_text_in_the_fonts_and_colors_of_the_page():
    piece = figure()
    svg = re.findall(r"<svg.*?</svg>", piece.html, flags=re.DOTALL)
    assert len(svg) == 2
    for drawing in svg:
        root = ElementTree.fromstring(drawing)
        assert "2  New agents" in [text.text for text in root.iter("text")]
        assert "font-family" not in drawing
        inks = set(re.findall(r"#[0-9a-f]{6}", drawing))
        assert all(f"var(--ps-{figures.INKS[ink]}, {ink})" in drawing for ink in inks)
        assert not list(root.iter("style"))
        assert not list(root.iter("metadata"))


def test_lines_of_a_wrapped_label_share_their_anchor():
    sizes = f.SIZES.assign(name=["Large integrators with many customers", "New agents"])
    piece = html.show_figure(figures.draw_segment_sizes(sizes), finding="f", measure="m", alt="a")
    lines = re.findall(r'<text style="[^"]*text-anchor: end[^"]*" x="([\d.]+)"[^>]*>(?:1  Large|with)', piece.html)
    assert len(lines) == 4
    assert lines[0] == lines[1]
    assert lines[2] == lines[3]


def test_an_alternative_text_with_numbers_is_left_alone():
    assert 'aria-label="80 partners."' in figure(alt="80 partners.").html


def test_of_nothing_only_the_sentence_is_shown():
    piece = html.show_figure(
        figures.draw_segment_sizes(f.SIZES.head(0)), finding="We do not know it.", measure="m", alt="a"
    )
    assert (piece.kind, piece.finding) == ("nothing", "We do not know it.")
    assert "<figure" not in piece.html
    assert "<table" not in table(f.SIZES.head(0), finding="We do not know it.").html
    assert plt.get_fignums() == []


def test_counts_in_a_subtitle_are_written_for_readers():
    assert "n = 12\u202f345" in table(f.SIZES, measure="Partners by segment, n = 12345").html


def test_an_interval_is_one_column_and_a_unit_stands_with_its_value():
    page = table(f.METRICS.drop(columns=["n", "metric"])).html
    assert re.findall('<th scope="col"[^>]*>([^<]*)', page) == ["region", "value", "interval"]
    assert "EUR\xa013\u202f300 to EUR\xa015\u202f000" in page
    assert read_csv(table(f.METRICS)).startswith("region,metric,value,lower,upper,unit,n\n")
    assert "[x]" not in table(f.METRICS.assign(lower=f.NAN, upper=f.NAN)).html


def test_the_csv_may_hold_more_than_the_table_shows():
    piece = table(f.SIZES[["name"]], data=f.SIZES)
    assert read_csv(piece).startswith("segment,name,n,share\n0,Old resellers,30,0.3\n")
    assert "<td" not in piece.html


def test_hostile_names_are_text_wherever_they_appear():
    frame = pd.DataFrame({HOSTILE: [HOSTILE], "n": [1]})
    names = f.SIZES.assign(name=[HOSTILE, "b"])
    for piece in (
        table(frame, finding=HOSTILE, measure=HOSTILE, note=HOSTILE),
        html.show_figure(figures.draw_segment_sizes(names), finding=HOSTILE, measure=HOSTILE, alt=HOSTILE, data=frame),
        html.show_text([HOSTILE]),
        html.show_doubts([HOSTILE]),
        html.show_method([HOSTILE]),
    ):
        page = Tags(piece.html)
        assert "script" not in [tag for tag, _ in page.tags]
        assert HOSTILE in [text.strip() for text in page.text] or any(HOSTILE in text for text in page.text)


def test_tables_write_numbers_for_readers_and_mark_what_is_missing():
    frame = pd.DataFrame(
        {
            "stage": ["growing_up", None],
            "n": [1987.0, np.nan],
            "conversion": [0.4234, 1.0],
            "lower": [0.38, np.nan],
            "amount": [1234.56, 0.00123],
            "new": [True, False],
            "due_at": pd.to_datetime(["2026-06-30", None]),
            "topics": [["a", "b"], []],
        }
    )
    cells = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", table(frame).html.partition("<tbody>")[2])
    assert cells == [
        *("growing up", "1\u202f987", "42.3%", "38%", "1\u202f230", "yes", "30\u00a0June\u00a02026", "a, b"),
        *("[x]", "[x]", "100%", "[x]", "0.00123", "no", "[x]", "[x]"),
    ]


def test_values_of_a_long_table_are_read_in_the_unit_of_their_row():
    frame = pd.DataFrame({"metric": ["a", "b"], "value": [0.5, 1200.0], "unit": ["share", "EUR"]})
    assert "50%" in table(frame).html
    assert "EUR\u00a01\u202f200" in table(frame).html


def test_long_tables_show_ten_rows_then_more_then_tell_what_is_left():
    page = table(pd.DataFrame({"n": range(1, 251)})).html
    first, _, rest = page.partition('<details class="ps-more">')
    assert first.count("<tr>") == 1 + 10
    assert rest.count("<tr>") == 1 + 190
    assert "Show 190 more rows" in rest
    assert "Not shown here: 50 more rows." in rest
    assert "Show 1 more row<" in table(pd.DataFrame({"n": range(11)})).html


def read_csv(piece):
    import base64

    return base64.b64decode(re.search(r"base64,([^\"]*)", piece.html)[1]).decode("utf-8-sig")


def test_csv_holds_every_digit_and_no_formula():
    frame = pd.DataFrame({"name": ["=1+1", "@x", 'Мрія, "ТОВ"'], "gain": [-0.123456789, 2.0, np.nan]})
    assert read_csv(table(frame)) == ('name,gain\n\'=1+1,-0.123456789\n\'@x,2.0\n"Мрія, ""ТОВ""",\n')


def test_csv_and_table_carry_the_index_where_it_says_something():
    assert read_csv(table(f.POINTS[["x"]])).startswith("partner_id,x\np0,0.0")
    assert read_csv(table(pd.DataFrame({"x": [1]}))) == "x\n1\n"


def test_many_points_become_one_picture_inside_the_drawing():
    points = pd.DataFrame({"x": range(5001), "y": range(5001), "segment": 0, "segment_name": "a"})
    piece = html.show_figure(figures.draw_segment_map(points), finding="f", measure="m", alt="a")
    assert "data:image/png;base64," in piece.html
    assert len(piece.html) < 400_000


# Pages


def test_the_top_of_a_page_holds_the_first_finding_of_each_section_before_seconds():
    cells = []
    for section in range(4):
        cells.append(nbf.new_markdown_cell(f"## Section {section}"))
        cells += [cell(output(table(f.SIZES, finding=f"Finding {section}{place}."))) for place in range(3)]
    page = html.render_page(notebook(*cells), CONTEXT)
    top = re.search(r'<ul class="findings">(.*?)</ul>', page, re.DOTALL)[1]
    assert re.findall(r"Finding (\d\d)", top) == ["00", "01", "10", "20", "30"]


def test_pages_show_neither_code_nor_streams_nor_prompts():
    streams = [nbf.new_output("stream", name=name, text=f"/tmp/{name}") for name in ("stderr", "stdout")]
    page = html.render_page(notebook(cell(*streams, output(figure()))), CONTEXT)
    for hidden in ("secret", "/tmp/", "In&nbsp;[", "Out["):
        assert hidden not in page


def test_findings_stand_at_the_top_and_lead_to_their_evidence():
    pieces = [figure(finding=f"Finding {number}.") for number in range(7)]
    page = html.render_page(notebook(*[cell(output(piece)) for piece in pieces]), CONTEXT)
    top = page.partition('class="body"')[0]
    links = re.findall(r'<li><a href="#([^"]+)">(Finding \d\.)</a></li>', top)
    assert [text for _, text in links] == [f"Finding {number}." for number in range(5)]
    assert all(page.count(f'<section class="ps-evidence" id="{place}">') == 1 for place, _ in links)


def test_a_page_without_findings_says_so():
    page = html.render_page(notebook(cell(output(html.show_text("Some text.")))), CONTEXT)
    assert "Nothing here is certain enough" in page


def test_what_is_known_comes_first_and_what_is_not_is_one_line():
    cells = [
        nbf.new_markdown_cell("## How fast"),
        cell(output(table(f.SIZES.head(0), finding="We do not know how fast."))),
        cell(output(table(f.SIZES.head(0), finding="We do not know how far."))),
        nbf.new_markdown_cell("## What to do"),
        cell(output(table(f.SIZES.head(0), finding="We do not have a next step to propose.", action=True))),
        nbf.new_markdown_cell("## Sizes"),
        cell(output(figure())),
    ]
    nb = notebook(*cells)
    assert html.collect_findings(nb)[0]["finding"] == "New agents lead."
    top = html.render_page(nb, CONTEXT).partition('class="contents"')[0]
    assert re.findall(r'<li><a href="#[^"]+">([^<]*)', top)[-1] == "New agents lead."
    assert re.findall(r">([^<]*)</a>", top.partition("Not known yet: ")[2]) == ["How fast", "What to do"]
    assert "Act on this: " not in top


def test_what_to_do_is_linked_at_the_top():
    page = html.render_page(notebook(cell(output(table(f.PLAN, finding="Call two partners.", action=True)))), CONTEXT)
    assert re.search(r'Act on this: <a href="#[^"]+">Call two partners\.</a>', page)


def test_the_same_figure_twice_has_ids_of_its_own():
    page = html.render_page(notebook(cell(output(figure())), cell(output(figure()))), CONTEXT)
    ids = Tags(page).ids
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"url\(#([^)]+)\)", page)) | set(re.findall(r'<use[^>]* href="#([^"]+)"', page))
    assert used <= set(ids)
    assert set(re.findall(r'<a href="#([^"]+)"', page)) <= set(ids)


def test_every_kind_of_figure_has_ids_of_its_own():
    from tests.report.test_figures import FIGURES

    pieces = [html.show_figure(draw(), finding=name, measure="m", alt=name) for name, draw in FIGURES.items()]
    page = html.render_page(notebook(*[cell(output(piece)) for piece in pieces]), CONTEXT)
    ids = Tags(page).ids
    assert len(ids) == len(set(ids))
    assert page.count("<figure ") == len(FIGURES)


def test_headings_never_skip_a_level_and_there_is_one_question():
    cells = [nbf.new_markdown_cell("## Sizes"), cell(output(figure())), nbf.new_markdown_cell("# Another title")]
    page = html.render_page(notebook(*cells, cell(output(figure(finding="More.")))), CONTEXT)
    levels = Tags(page).levels
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_sections_are_listed_and_empty_ones_left_out():
    cells = [
        nbf.new_markdown_cell("## Sizes & shares"),
        cell(output(figure())),
        nbf.new_markdown_cell("## In numbers"),
        cell(nbf.new_output("stream", name="stdout", text="2000")),
    ]
    page = html.render_page(notebook(*cells), CONTEXT)
    assert '<li><a href="#section-1">Sizes &amp; shares</a></li>' in page
    assert "In numbers" not in page


def test_pages_ask_for_nothing_and_run_nothing():
    page = html.render_page(notebook(cell(output(figure())), cell(output(table(f.PLAN)))), CONTEXT)
    assert not re.search(r"https?://", page)
    assert "default-src 'none'" in page
    names = {tag for tag, _ in Tags(page).tags}
    assert not names & {"script", "iframe", "object", "embed", "form"}


def test_hostile_context_is_text():
    page = html.render_page(notebook(cell(output(figure()))), CONTEXT)
    assert "<script" not in page
    assert html.render_page(notebook(cell(output(figure()))), CONTEXT) == page


def test_links_are_percent_encoded_once():
    regions = [("a", "A", "../%D0%9A/02.html"), ("b", "B", "../К/02.html"), ("c", "C", "javascript:alert(1)")]
    page = html.render_page(notebook(), html.PageContext(**{**vars(CONTEXT), "regions": regions}))
    assert page.count('href="../%D0%9A/02.html"') == 2
    assert 'href="javascript:' not in page


PLOTLY = {"application/vnd.plotly.v1+json": {"data": []}, "text/plain": "Figure()"}
PNG = {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"}


def test_a_figure_that_would_vanish_stops_the_page():
    lost = notebook(cell(output(figure()), nbf.new_output("display_data", data=PLOTLY)))
    assert html.count_figures(lost) == 2
    with pytest.raises(html.PageError, match=r"\(Київ\): the notebook has 2 figures, the page would show 1"):
        html.render_page(lost, CONTEXT)


def test_plain_pictures_are_shown_and_counted():
    nb = notebook(cell(nbf.new_output("display_data", data=PNG)))
    assert html.count_figures(nb) == 1
    assert re.search(
        r'<img alt="A figure that [^"]+" src="data:image/png;base64,iVBORw0KGgo="', html.render_page(nb, CONTEXT)
    )


@pytest.mark.parametrize(
    "markup",
    [
        "<script>1</script>",
        '<img src="//host/x.png">',
        '<link rel="stylesheet" href="x.css">',
        '<p onclick="x()">',
        '<p style="background: url(//host/x)">',
        '<a href="javascript:x">x</a>',
    ],
)
def test_output_that_would_run_or_load_something_stops_the_page(markup):
    with pytest.raises(html.PageError, match="run or ask for"):
        html.render_page(notebook(cell(nbf.new_output("display_data", data={"text/html": markup}))), CONTEXT)


def test_a_notebook_that_failed_or_asks_nothing_is_no_page():
    error = nbf.new_output("error", ename="ValueError", evalue="no", traceback=[])
    with pytest.raises(html.PageError, match="cell 2 ended in ValueError: no"):
        html.render_page(notebook(cell(error)), CONTEXT)
    with pytest.raises(html.PageError, match="has no question"):
        html.render_page(notebook(title="no title"), CONTEXT)


def test_rendering_leaves_the_notebook_alone():
    nb = notebook(cell(output(figure())))
    before = str(nb)
    html.render_page(nb, CONTEXT)
    assert str(nb) == before


# Index

REGIONS = [("all", "Whole programme", "all/01.html"), ("Київ", "Київ", "Київ/01.html"), ("west", HOSTILE, "")]
SUMMARY = pd.DataFrame(
    {"revenue": [50.0, 100, 80], "share": [0.5, np.nan, 0.25], "share_lower": [0.4, np.nan, 0.2], "share_upper": 0.6},
    index=["west", "all", "Київ"],
)
MEASURES = [html.Measure("revenue", "Revenue", "EUR"), html.Measure("share", "Active", "share")]
INDEX = html.IndexContext(
    "Programme",
    "2026-06-30",
    "en",
    "0123456789abcdef",
    REGIONS,
    SUMMARY,
    MEASURES,
    [html.Answer("Who?", "Agents lead.", "all/02.html#x"), html.Answer("What?", "", "")],
)


def test_the_index_compares_regions_on_one_scale_with_the_programme_first():
    page = html.render_index(INDEX)
    assert re.findall(r'role="rowheader">(?:<a href="([^"]*)">)?([^<]*)', page)[:2] == [
        ("all/01.html", "Whole programme"),
        ("%D0%9A%D0%B8%D1%97%D0%B2/01.html", "Київ"),
    ]
    assert re.findall(r'aria-label="Revenue: [^"]*">\s*<rect class="bar" x="0.0" y="2" width="([\d.]+)"', page) == [
        "100.0",
        "80.0",
        "50.0",
    ]
    assert "Active: 25%, between 20% and 60%" in page
    assert "[x]" in page
    assert Tags(page).levels[0] == 1


def test_the_index_tells_what_failed_what_changed_and_the_best_sentences():
    failed = html.Failure("West", "What works?", "cell 7", HOSTILE)
    changes = pd.DataFrame(
        {"Revenue": [-1500.0], "Active": [0.012], "Same": [0.0]}, index=pd.Index(["West"], name="region")
    )
    page = html.render_index(html.IndexContext(**{**vars(INDEX), "failures": [failed], "changes": changes}))
    assert "<script" not in page
    assert "1 page could not be made" in page
    assert "cell 7" in page
    assert "EUR\xa0−1\u202f500" in page
    assert "+1.2 points" in page
    assert "Same" not in page
    assert '<a href="all/02.html#x">Agents lead.</a>' in page
    assert "This page could not be made." in page
    assert "This is the first edition" not in page
    assert "This is the first edition" in html.render_index(INDEX)
    assert not re.search(r"https?://", page)


# Colors


def luminance(color):
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light.css", "dark.css"])
def test_words_can_be_read_in_both_schemes(scheme):
    colors = dict(re.findall(r"--ps-([\w-]+): (#[0-9a-f]{6});", (html.TEMPLATES / scheme).read_text()))
    assert set(colors) == set(figures.INKS.values())
    for name in ("ink", "gray", "accent", "warning"):
        assert contrast(colors[name], colors["paper"]) >= 4.5, name
    for name in ("quiet", "series-1", "series-2", "series-3"):
        assert contrast(colors[name], colors["paper"]) >= 3, name


def test_figures_and_page_agree_on_the_light_colors():
    colors = dict(re.findall(r"--ps-([\w-]+): (#[0-9a-f]{6});", (html.TEMPLATES / "light.css").read_text()))
    assert {name: ink for ink, name in figures.INKS.items() if ink != "#000000"} == colors
