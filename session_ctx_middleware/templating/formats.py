"""Amounts, numbers, moments and names as the readers of one language expect them (Babel: Unicode CLDR).

A page is worth more than a value on it: what cannot be written well is written as it is, and what is missing is empty.
Digits are Latin in every language: Babel knows the separators of other numbering systems, but not their digits.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, DecimalException
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

from ..checks import printable
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from babel import Locale

__all__ = ["Formats", "zone_named"]

Amount: TypeAlias = "int | float | Decimal | str | None"
Moment: TypeAlias = "datetime | date | str | None"
Width: TypeAlias = Literal["short", "medium", "long", "full"]

REMEMBERED: Final = 512
LONGEST_TAG: Final = 35
"""Characters of a language tag that any software has to take (RFC 5646, section 4.4.1)."""


class Formats:
    """Writes values for the readers of one language.

    Args:
        language: a tag such as ``de-CH`` (BCP 47); of one that is not known as much as is, else `fallback`.
        currency: of amounts for which no other is named (ISO 4217).
        zone: the time zone of the site.
        fallback: the language for those that nobody knows.

    Raises:
        ConfigurationError: the extra ``jinja`` is not installed, or `fallback` is no language.
    """

    __slots__ = ("_currency", "_locale", "_zone")

    def __init__(
        self, language: str | None, *, currency: str | None = None, zone: tzinfo = UTC, fallback: str = "en"
    ) -> None:
        locale = locale_of(language) or locale_of(fallback)
        if locale is None:
            raise ConfigurationError("fallback=... must be a language that Babel knows, such as 'en'.")
        self._locale = locale
        self._currency = currency
        self._zone = zone

    @property
    def tag(self) -> str:
        """The language that is written, for ``<html lang>``."""
        return str(self._locale).replace("_", "-")

    @property
    def direction(self) -> str:
        """``rtl`` or ``ltr``, for ``<html dir>``."""
        return self._locale.text_direction

    def money(self, amount: Amount, currency: str | None = None) -> str:
        """Return an amount with as many decimals as its currency has (ISO 4217).

        Args:
            amount: a number, or one as text; nothing for `None`.
            currency: its own; without one, that of the session.
        """
        from babel.numbers import format_currency

        number, code = _decimal(amount), currency or self._currency
        if number is None:
            return _as_it_is(amount)
        return format_currency(number, code.upper(), locale=self._locale) if code else self.number(number)

    def number(self, value: Amount, decimals: int | None = None) -> str:
        """Return a number.

        Args:
            value: a number, or one as text; nothing for `None`.
            decimals: how many it is to have; at most three where that is left out.
        """
        from babel.numbers import format_decimal

        number = _decimal(value)
        if number is None:
            return _as_it_is(value)
        # CLDR's pattern, with other decimals.
        pattern = None if decimals is None else "#,##0." + "0" * decimals if decimals else "#,##0"
        return format_decimal(number, format=pattern, locale=self._locale)

    def percent(self, share: Amount, decimals: int = 0) -> str:
        """Return a share as per cent: 0.19 is 19 %.

        Args:
            share: of 1.
            decimals: at most so many.
        """
        from babel.numbers import format_percent

        number = _decimal(share)
        if number is None:
            return _as_it_is(share)
        return format_percent(round(number, decimals + 2), locale=self._locale, decimal_quantization=False)

    def date(self, moment: Moment, width: Width = "medium") -> str:
        """Return a day, as it is called where the site is.

        Args:
            moment: a date, a moment, or either as Emporix writes it (ISO 8601); without a zone it is UTC.
            width: how much of it.
        """
        from babel.dates import format_date

        found = _moment(moment)
        if isinstance(found, datetime):
            found = found.astimezone(self._zone).date()
        return _as_it_is(moment) if found is None else format_date(found, width, locale=self._locale)

    def time(self, moment: Moment, width: Width = "short") -> str:
        """Return the time of day, as clocks show it where the site is.

        Args:
            moment: a moment, or one as Emporix writes it (ISO 8601); without a zone it is UTC.
            width: how much of it; from ``long`` on with the zone.
        """
        from babel.dates import format_time

        found = _moment(moment)
        if not isinstance(found, datetime):
            return _as_it_is(moment)
        return format_time(found, width, tzinfo=self._zone, locale=self._locale)

    def country(self, code: str | None) -> str:
        """Return the name of a country (ISO 3166-1 alpha-2)."""
        return str(self._locale.territories.get((code or "").upper()) or code or "")

    def language(self, tag: str | None) -> str:
        """Return the name of a language in that language, as switchers show it: ``de`` is Deutsch."""
        locale = locale_of(tag, exactly=True)
        name = locale.get_display_name() if locale is not None else None
        return name[:1].upper() + name[1:] if name else tag or ""

    def currency(self, code: str | None) -> str:
        """Return the name of a currency (ISO 4217)."""
        return str(self._locale.currencies.get((code or "").upper()) or code or "")


@lru_cache(REMEMBERED)
def locale_of(tag: str | None, *, exactly: bool = False) -> Locale | None:
    """Return what is known of a language, or of as much of its tag as is known (RFC 4647, section 3.4).

    Args:
        tag: of any origin.
        exactly: of the whole tag only.
    """
    try:
        from babel import Locale, UnknownLocaleError
    except ImportError as error:  # pragma: no cover - tested from a wheel without extras
        raise ConfigurationError("Formats need Babel: pip install 'session-ctx-middleware[jinja]'.") from error

    parts = (tag or "")[:LONGEST_TAG].replace("_", "-").split("-")
    while parts[0]:
        try:
            return Locale.parse("-".join(parts), sep="-")
        except (UnknownLocaleError, ValueError, TypeError):
            parts.pop()
            if exactly or not parts:
                break
    return None


def zone_named(name: object) -> tzinfo:
    """Return a time zone by its name in the IANA data base.

    Raises:
        ConfigurationError: nobody knows it.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(printable(name, "time_zone=..."))
    except (KeyError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"time_zone={name!r} is not known here: take a name such as 'Europe/Berlin'; where there is no data base "
            "of time zones, install the package tzdata."
        ) from error


def _decimal(value: object) -> Decimal | None:
    """Return a number, `None` for what is none: endless ones, too."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        # The digits that a float shows, not those that it has.
        number = Decimal(str(value).strip())
    except DecimalException:
        return None
    return number if number.is_finite() and abs(number.adjusted()) < LONGEST_TAG else None


def _moment(value: object) -> datetime | date | None:
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value) if len(value) == len("2026-11-27") else datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return value if isinstance(value, date) else None


def _as_it_is(value: object) -> str:
    return "" if value is None or isinstance(value, float) else str(value)
