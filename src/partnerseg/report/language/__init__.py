"""Sentences and number formats of a page's language; one catalog a language."""

import math
import re
from collections.abc import Iterable
from datetime import date
from functools import cache
from numbers import Integral
from pathlib import Path
from typing import Any

import yaml

NARROW_SPACE = "\u202f"
NO_BREAK = "\u00a0"
MINUS = "\u2212"
MISSING = "[x]"


@cache
def load_language(language: str = "en") -> dict[str, Any]:
    """Read the catalog of a language.

    Args:
        language: ISO 639-1 code; the name of a file in this folder.

    Raises:
        ValueError: There is no catalog of this language.
    """
    folder = Path(__file__).parent
    path = folder / f"{language}.yaml"
    known = sorted(file.stem for file in folder.glob("*.yaml"))
    if language not in known:
        raise ValueError(
            f"language is {language!r}, must be one of {', '.join(known)}: see report.language in programme.yaml"
        )
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def say(key: str, /, *, language: str = "en", **values: object) -> str:
    """Say a sentence of the catalog with these values put in.

    Args:
        key: Place in the catalog, such as `findings.tiers`.
        language: ISO 639-1 code.
        values: What the sentence's placeholders stand for, already formatted.

    Raises:
        KeyError: The catalog has no such sentence, or the sentence needs a value that is not given.

    Example:
        >>> say("interval", lower="38", upper="44")
        'between 38 and 44'
    """
    sentence: Any = load_language(language)
    for part in key.split("."):
        sentence = sentence[part]
    return str(sentence).format(**values)


def say_count(noun: str, count: float, *, language: str = "en") -> str:
    """Say how many of something there are.

    Example:
        >>> say_count("partner", 1), say_count("partner", 1200)
        ('1 partner', '1\\u202f200 partners')
    """
    forms = load_language(language)["nouns"][noun]
    return f"{format_count(count)} {forms['one' if count == 1 else 'other']}"


def say_name(name: object, *, language: str = "en") -> str:
    """Say a column, factor, stage or metric in words: the catalog's, otherwise the name without underscores.

    Example:
        >>> say_name("sales_volume"), say_name("touches_90d")
        ('sales volume', 'contacts (90 days)')
    """
    if _is_missing(name):
        return MISSING
    names = load_language(language)["names"]
    if str(name) not in names and (window := re.fullmatch(r"(.+)_(\d+)d", str(name))):
        return say("window", language=language, name=say_name(window[1], language=language), days=window[2])
    return str(names.get(str(name), str(name).replace("_", " ")))


def join_words(words: Iterable[str], *, language: str = "en") -> str:
    """Join words as a sentence does.

    Example:
        >>> join_words(["north", "south", "west"])
        'north, south and west'
    """
    words = list(words)
    if len(words) < 2:
        return "".join(words)
    return say("join", language=language, first=", ".join(words[:-1]), last=words[-1])


def join_some(words: Iterable[str], *, most: int = 6, language: str = "en") -> str:
    """Join words as a sentence does, and only count the last ones of many.

    Example:
        >>> join_some(["a", "b", "c", "d", "e"], most=3)
        'a, b, c and 2 others'
    """
    words = list(words)
    left = len(words) - most
    if left <= 1:
        return join_words(words, language=language)
    return join_words([*words[:most], say("others", language=language, n=format_count(left))], language=language)


def say_message(text: str, *, language: str = "en") -> str:
    """Say a message for readers: names of columns in words, dates as the page writes them.

    Example:
        >>> say_message("known since 2026-03-01; see revenue_per_cost")
        'known since 1 March 2026; see revenue per cost'
    """
    text = re.sub(r"\b\d{4}-\d{2}-\d{2}\b", lambda day: format_date(day.group(), language=language), text)
    return re.sub(r"\b[a-z]+(?:_[a-z0-9]+)+\b", lambda name: say_name(name.group(), language=language), text)


def format_count(value: float) -> str:
    """Format a count exactly.

    Example:
        >>> format_count(1987)
        '1\\u202f987'
    """
    return MISSING if _is_missing(value) else _sign(f"{round(value):,}")


def format_number(value: float, *, digits: int = 3) -> str:
    """Format a measure with three significant digits, or as many as are asked for.

    Example:
        >>> format_number(0.04567), format_number(-12.345), format_number(123456.0)
        ('0.0457', '−12.3', '123\\u202f000')
    """
    if _is_missing(value):
        return MISSING
    if math.isinf(value):
        return _sign("∞" if value > 0 else "-∞")
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(float(value), decimals)
    text = f"{rounded:,.{max(decimals, 0)}f}"
    return _sign(text.rstrip("0").rstrip(".") if "." in text else text)


def format_share(value: float) -> str:
    """Format a share between 0 and 1 as a percentage; what is nearly all or nearly nothing never reads as 100% or 0%.

    Example:
        >>> format_share(0.4234), format_share(1.0), format_share(0.9999)
        ('42.3%', '100%', 'over 99.9%')
    """
    if _is_missing(value):
        return MISSING
    if 0 < value < 0.001:
        return say("under", value="0.1%")
    if 0.999 < value < 1:
        return say("over", value="99.9%")
    return f"{format_number(round(float(value) * 100, 1))}%"


def format_points(value: float) -> str:
    """Format points of a score to a tenth; what is less is said to be less.

    Example:
        >>> format_points(6.7333), format_points(0.0026)
        ('6.7', 'less than 0.1')
    """
    if not _is_missing(value) and 0 < abs(value) < 0.05:
        return say("less_than", value="0.1")
    return format_number(value if _is_missing(value) else round(value, 1), digits=6)


def format_change(value: float, unit: str, *, language: str = "en") -> str:
    """Format a difference in its unit, with its sign; shares differ by points.

    Example:
        >>> format_change(0.012, "share"), format_change(-1234.0, "EUR"), format_change(0.0, "count")
        ('+1.2 points', 'EUR\\xa0−1\\u202f230', '0')
    """
    if _is_missing(value) or value == 0:
        return MISSING if _is_missing(value) else "0"
    if unit == "share":
        value, unit = value * 100, "points"
    text = format_value(value, unit, language=language)
    return text if value < 0 else f"+{text}"


def format_money(value: float, currency: str, *, language: str = "en") -> str:
    """Format an amount of money with three significant digits and its currency.

    Example:
        >>> format_money(1234567.0, "EUR"), format_money(-1234.0, "EUR")
        ('EUR\\xa01.23\\xa0million', 'EUR\\xa0−1\\u202f230')
    """
    if _is_missing(value):
        return MISSING
    for size, name in ((1e9, "billion"), (1e6, "million")):
        if abs(value) >= size * 0.9995:
            amount = say(name, language=language, value=format_number(value / size))
            return f"{currency} {amount}".replace(" ", NO_BREAK)
    return f"{currency}{NO_BREAK}{format_number(value)}"


def format_date(value: object, *, language: str = "en") -> str:
    """Format a day.

    Example:
        >>> format_date("2026-06-30")
        '30 June 2026'
    """
    if _is_missing(value):
        return MISSING
    day = date.fromisoformat(str(value)[:10])
    return f"{day.day} {load_language(language)['months'][day.month - 1]} {day.year}"


def format_month(value: object, *, language: str = "en") -> str:
    """Format a month in short.

    Example:
        >>> format_month("2026-06-30")
        'Jun 2026'
    """
    day = date.fromisoformat(str(value)[:10])
    return f"{load_language(language)['months'][day.month - 1][:3]} {day.year}"


def format_value(value: float, unit: str, *, language: str = "en") -> str:
    """Format a value in its unit: `share`, a currency, `count`, a noun of the catalog, or any other word.

    Example:
        >>> format_value(0.5, "share"), format_value(1.0, "day"), format_value(4.25, "score")
        ('50%', '1 day', '4.25')
    """
    if _is_missing(value):
        return MISSING
    if unit in ("share", "rate"):
        return format_share(value)
    if len(unit) == 3 and unit.isupper():
        return format_money(value, unit, language=language)
    if unit in ("point", "points"):
        return f"{format_points(value)} {load_language(language)['nouns']['point']['one' if value == 1 else 'other']}"
    noun = unit if unit in load_language(language)["nouns"] else unit.removesuffix("s")
    if noun in load_language(language)["nouns"]:
        form = load_language(language)["nouns"][noun]["one" if value == 1 else "other"]
        return f"{format_count(value) if float(value).is_integer() else format_number(value)} {form}"
    return format_count(value) if isinstance(value, Integral) or unit == "count" else format_number(value)


def _is_missing(value: object) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def _sign(text: str) -> str:
    return text.replace(",", NARROW_SPACE).replace("-", MINUS)
