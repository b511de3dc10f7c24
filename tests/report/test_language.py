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
    [(0, "0%"), (1, "100%"), (0.5, "50%"), (0.0004, "under 0.1%"), (0.99951, "over 99.9%"), (np.nan, "[x]")],
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


def test_every_sentence_that_the_code_says_is_in_the_catalog():
    catalog = words.load_language("en")
    code = (HOME / "findings.py").read_text() + (HOME / "figures.py").read_text() + (HOME / "html.py").read_text()
    code += "".join(path.read_text() for path in (HOME / "templates").glob("*.j2"))
    said = set(re.findall(r"""(?<!_)say\(\s*["']([\w.]+)["']""", code))
    assert len(said) > 40
    for key in said:
        section, _, name = key.partition(".")
        assert (catalog[section] if not name else catalog[section][name]) is not None, key
    findings = set(re.findall(r"""_say\(\s*["'](\w+)["']""", (HOME / "findings.py").read_text()))
    assert findings <= set(catalog["findings"])


def test_every_placeholder_is_a_plain_name():
    for sentence in words.load_language("en")["findings"].values():
        assert all(name is None or name.isidentifier() for _, name, _, _ in Formatter().parse(sentence))
