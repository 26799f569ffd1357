"""Amounts, numbers, moments and names in the languages of the world; odd values never break a page."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_ctx_middleware import ConfigurationError
from session_ctx_middleware.templating import Formats

SOON = datetime(2026, 11, 27, 23, 30, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def legible(text: str) -> str:
    """Return a text with plain blanks, and without the marks of direction."""
    return text.replace("\xa0", " ").replace("\u202f", " ").replace("\u200f", "").replace("\u200e", "")


@pytest.mark.parametrize(
    ("language", "written"),
    {
        "de": ("1.234,50 €", "1.234.567,8", "20 %", "27.11.2026", "23:30"),
        "it": ("1.234,50 €", "1.234.567,8", "20%", "27 nov 2026", "23:30"),
        "en": ("€1,234.50", "1,234,567.8", "20%", "Nov 27, 2026", "11:30 PM"),
        "fr": ("1 234,50 €", "1 234 567,8", "20 %", "27 nov. 2026", "23:30"),
        "es": ("1.234,50 €", "1.234.567,8", "20 %", "27 nov 2026", "23:30"),
        "pl": ("1 234,50 €", "1 234 567,8", "20%", "27 lis 2026", "23:30"),
        "ja": ("€1,234.50", "1,234,567.8", "20%", "2026/11/27", "23:30"),
        "he": ("1,234.50 €", "1,234,567.8", "20%", "27 בנוב׳ 2026", "23:30"),  # noqa: RUF001
    }.items(),
)
def test_languages(language: str, written: tuple[str, ...]) -> None:
    """Every filter writes what readers of a language expect."""
    formats = Formats(language, currency="EUR")
    moment = "2026-11-27T23:30:00.000Z"
    seen = (
        formats.money(1234.5),
        formats.number(1234567.8),
        formats.percent(0.2),
        formats.date(moment),
        formats.time(moment),
    )
    assert tuple(map(legible, seen)) == written


@pytest.mark.parametrize(
    ("language", "country", "currency"),
    [
        ("de", "Schweiz", "Euro"),
        ("en", "Switzerland", "Euro"),
        ("fr", "Suisse", "euro"),
        ("es", "Suiza", "euro"),
        ("pl", "Szwajcaria", "euro"),
        ("ar", "سويسرا", "يورو"),
    ],
)
def test_names(language: str, country: str, currency: str) -> None:
    """Countries and currencies have the names of the language; a language has its own."""
    formats = Formats(language)
    assert (formats.country("CH"), formats.currency("eur")) == (country, currency)
    assert (formats.language("de"), formats.language("fr-CH")) == ("Deutsch", "Français (Suisse)")


def test_unknown_names() -> None:
    """What has no name is shown as it is."""
    formats = Formats("de")
    assert (formats.country("QX"), formats.currency("XQZ"), formats.language("q")) == ("QX", "XQZ", "q")
    assert (formats.country(None), formats.currency(None), formats.language(None)) == ("", "", "")


@pytest.mark.parametrize(
    ("tag", "used", "direction"),
    [
        ("de-CH", "de-CH", "ltr"),
        ("de_CH", "de-CH", "ltr"),
        ("de-XX", "de", "ltr"),
        ("ar-EG", "ar-EG", "rtl"),
        ("fa", "fa", "rtl"),
        ("zh-Hant-TW", "zh-Hant-TW", "ltr"),
        ("en-x-foo", "en", "ltr"),
        ("xx", "fr", "ltr"),
        ("", "fr", "ltr"),
        (None, "fr", "ltr"),
        ("../../etc/passwd", "fr", "ltr"),
        ("d\0e", "fr", "ltr"),
    ],
)
def test_fallback(tag: str | None, used: str, direction: str) -> None:
    """Of a language that is not known as much of the tag is taken as is, and else the language to fall back to."""
    formats = Formats(tag, fallback="fr")
    assert (formats.tag, formats.direction) == (used, direction)


def test_decimals_of_currencies() -> None:
    """An amount has the decimals of its currency (ISO 4217); one of a currency that is not known has two."""
    formats = Formats("en", currency="USD")
    assert formats.money("1234.5") == "$1,234.50"
    assert formats.money(1234.5, "JPY") == "¥1,234"
    assert legible(formats.money(Decimal("1.5"), "KWD")) == "KWD1.500"
    assert legible(formats.money(1, "XQZ")) == "XQZ1.00"
    assert formats.money(0.1 + 0.2, "usd") == "$0.30"
    assert formats.money(-3) == "-$3.00"
    assert Formats("en").money(3) == "3"


def test_decimals_that_were_asked_for() -> None:
    """Numbers and shares have the decimals that a template asks for."""
    formats = Formats("de")
    assert (formats.number(5, 2), formats.number(3.14159, 1), formats.number(2.5, 0)) == ("5,00", "3,1", "2")
    assert (legible(formats.percent(0.195, 1)), legible(formats.percent("0.07"))) == ("19,5 %", "7 %")


def test_time_zone() -> None:
    """Days and times are those of the site; a moment without a zone is UTC, and a date has none."""
    formats = Formats("de", zone=BERLIN)
    assert (formats.date(SOON), formats.time(SOON)) == ("28.11.2026", "00:30")
    assert formats.date(SOON.replace(tzinfo=None)) == "28.11.2026"
    assert formats.date(SOON.astimezone(timezone(timedelta(hours=-8)))) == "28.11.2026"
    assert formats.date(date(2026, 11, 27)) == formats.date("2026-11-27") == "27.11.2026"
    assert formats.date(SOON, "full") == "Samstag, 28. November 2026"
    assert "MEZ" in formats.time(SOON, "long")


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), ""])
def test_nothing_to_show(value: object) -> None:
    """What is missing leaves its place empty."""
    formats = Formats("de", currency="EUR")
    assert [write(value) for write in (formats.money, formats.number, formats.percent)] == ["", "", ""]  # type: ignore[arg-type]


def test_not_a_value() -> None:
    """What is no number and no moment is shown as it is."""
    formats = Formats("de", currency="EUR")
    assert formats.money("on request") == "on request"
    assert formats.number("1e999999999") == "1e999999999"
    assert formats.date("tomorrow") == formats.time("tomorrow") == "tomorrow"
    assert (formats.date(None), formats.time(None)) == ("", "")
    assert formats.time(date(2026, 11, 27)) == "2026-11-27"


@given(st.text(max_size=40) | st.none(), st.text(max_size=5), st.floats() | st.text(max_size=30) | st.decimals())
def test_any_value(language: str | None, currency: str, value: float | str | Decimal) -> None:
    """No value breaks a page."""
    formats = Formats(language, currency=currency)
    for write in (formats.money, formats.number, formats.percent):
        assert isinstance(write(value), str)
    for text in (str(value), currency):
        named = (formats.date(text), formats.time(text), formats.country(text), formats.language(text))
        assert all(isinstance(each, str) for each in named)


def test_fallback_that_is_none() -> None:
    """A language to fall back to that nobody knows is a mistake."""
    with pytest.raises(ConfigurationError, match="fallback"):
        Formats("xx", fallback="xx")
