import ast
import itertools
import re
from pathlib import Path
from string import Formatter

import numpy as np
import pandas as pd
import pytest

import partnerseg.report as report
from partnerseg.report import language as words

HOME = Path(report.__file__).parent


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.04567, "0.0457"),
        (0.00001234, "0.0000123"),
        (9.996, "10"),
        (12.0, "12"),
        (999.6, "1\u202f000"),
        (1234.5, "1\u202f230"),
        (-1234567.0, "\u22121\u202f230\u202f000"),
        (float("nan"), "[x]"),
        (None, "[x]"),
        (pd.NA, "[x]"),
        (np.float64(2.5), "2.5"),
    ],
)
def test_measures_have_three_significant_digits(value, text):
    assert words.format_number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0%"),
        (1, "100%"),
        (0.5, "50%"),
        (0.3655, "36.5%"),
        (np.float64(0.3655), "36.5%"),
        (0.0004, "under 0.1%"),
        (0.99951, "over 99.9%"),
        (np.nan, "[x]"),
    ],
)
def test_shares_never_claim_all_or_nothing_wrongly(value, text):
    assert words.format_share(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "EUR 0"),
        (12345.0, "EUR 12\u202f300"),
        (999_600.0, "EUR 1 million"),
        (10_005_534.0, "EUR 10 million"),
        (2.5e9, "EUR 2.5 billion"),
        (-1500.0, "EUR \u22121\u202f500"),
        (np.nan, "[x]"),
    ],
)
def test_money_carries_its_currency_and_does_not_break(value, text):
    assert words.format_money(value, "EUR") == text.replace(" ", "\u00a0")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.25, "share", "25%"),
        (1.0, "days", "1 day"),
        (64.0, "days", "64 days"),
        (2.5, "day", "2.5 days"),
        (1987.0, "count", "1\u202f987"),
        (7.25, "score", "7.25"),
        (np.nan, "days", "[x]"),
    ],
)
def test_values_are_written_in_their_unit(value, unit, text):
    assert words.format_value(value, unit) == text


def test_dates_are_written_in_words():
    assert words.format_date(pd.Timestamp("2026-01-05 23:59")) == "5 January 2026"
    assert words.format_date(pd.NaT) == "[x]"


def test_names_may_hold_braces_and_percent_signs():
    assert words.say("join", first="{x}", last="100%") == "{x} and 100%"


def test_unknown_language_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'tlh', must be one of en"):
        words.load_language("tlh")


SAYS = {  # what says sentences of which section
    "say": "",
    "say_finding": "findings.",
    "_say": "doubts.",
    "_show": "evidence.",
    "_show_table": "evidence.",
    "_find_words": "evidence.",
    "say_count": "nouns.",
}


def find_said() -> set[str]:
    """Find the keys that the report's code says, as patterns: what is put in later stands for anything."""
    said = set()
    for path in HOME.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in SAYS:
                said |= {SAYS[name] + key for key in find_keys(node.args[0])}
    for path in (HOME / "templates").glob("*.j2"):
        said |= set(re.findall(r"""say\(\s*["']([\w.]+)["']""", path.read_text()))
    return said


def find_keys(node: ast.expr) -> set[str]:
    if isinstance(node, ast.IfExp):
        return find_keys(node.body) | find_keys(node.orelse)
    if isinstance(node, ast.Constant):
        return {re.escape(str(node.value))}
    if isinstance(node, ast.JoinedStr):
        parts = [find_keys(part) for part in node.values]
        return {"".join(chosen) for chosen in itertools.product(*parts)}
    if isinstance(node, ast.FormattedValue):
        return find_keys(node.value) or {".+"}
    return set()


def list_keys(catalog: dict) -> set[str]:
    """List the keys of a catalog, those of its sections included."""
    inner = {f"{key}.{name}" for key, held in catalog.items() if isinstance(held, dict) for name in list_keys(held)}
    return inner | {str(key) for key in catalog}


def test_every_sentence_that_the_code_says_is_in_the_catalog():
    keys, said = list_keys(words.load_language("en")), find_said()
    assert len(said) > 200
    assert [pattern for pattern in sorted(said) if not any(re.fullmatch(pattern, key) for key in keys)] == []


@pytest.mark.parametrize("section", ["findings", "figures", "evidence", "doubts"])
def test_every_sentence_of_the_catalog_is_said(section):
    keys = [f"{section}.{name}" for name in words.load_language("en")[section]]
    anything = f"{section}\\..+"  # the name is put in: it stands in the code on its own
    said = find_said() - {anything}
    code = "".join(path.read_text() for path in HOME.parent.rglob("*.py"))
    unsaid = [key for key in keys if not any(re.fullmatch(pattern, key) for pattern in said)]
    assert [key for key in unsaid if f'"{key}"' not in code and f'"{key.partition(".")[2]}"' not in code] == []


def test_every_placeholder_is_a_plain_name():
    for sentence in words.load_language("en")["findings"].values():
        assert all(name is None or name.isidentifier() for _, name, _, _ in Formatter().parse(sentence))
