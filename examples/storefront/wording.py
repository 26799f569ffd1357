"""Money, languages, countries and lists, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from babel import Locale, UnknownLocaleError
from babel.numbers import format_currency

__all__ = ["country_name", "language_name", "money", "tally"]


def money(amount: float, currency: str, language: str | None) -> str:
    """Write an amount as readers of a language expect it; the currency is the price's own, never a wish."""
    return format_currency(amount, currency, locale=_locale(language) or Locale("en"))


def language_name(tag: str) -> str:
    """Return the name of a language in that language: ``de`` is Deutsch."""
    locale = _locale(tag)
    return ((locale and locale.get_display_name()) or tag).capitalize()


def country_name(code: str) -> str:
    """Return the English name of a country."""
    return str(Locale("en").territories.get(code, code))


def tally(calls: Iterable[str]) -> str:
    """Return calls as text: ``context.get, price.match (2)``."""
    return ", ".join(name if count == 1 else f"{name} ({count})" for name, count in Counter(calls).items())


def _locale(tag: str | None) -> Locale | None:
    try:
        return Locale.parse(tag or "en", sep="-")
    except (UnknownLocaleError, ValueError):
        return None
