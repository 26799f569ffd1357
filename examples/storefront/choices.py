"""What a shopper can choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from session_ctx_middleware import ContextDefaults, SessionContext
from session_ctx_middleware.emporix import SiteCatalog

from .wording import country_name, language_name

__all__ = ["FIELDS", "Choice", "choices_for"]

FIELDS: Final[Mapping[str, str]] = {
    "site_code": "Site",
    "currency": "Currency",
    "language": "Language",
    "target_location": "Ship to",
}

NAMED_BY: Final[Mapping[str, Callable[[str], str]]] = {
    "site_code": str,
    "currency": str,
    "language": language_name,
    "target_location": country_name,
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One drop-down list: its options as (value, text), and where the value in force comes from."""

    field: str
    label: str
    value: str | None
    source: str
    options: Sequence[tuple[str, str]]


def choices_for(ctx: SessionContext, sites: SiteCatalog, defaults: ContextDefaults) -> Sequence[Choice]:
    """Return the four lists of the switcher; where nobody knows the sites, with the shop's defaults alone."""
    offers = sites.offers(ctx)
    return [
        _choice(ctx, field, label, offers.get(field) or [getattr(defaults, field)]) for field, label in FIELDS.items()
    ]


def _choice(ctx: SessionContext, field: str, label: str, offered: Sequence[str | tuple[str, str]]) -> Choice:
    value: str | None = getattr(ctx, field)
    options = [each if isinstance(each, tuple) else (each, NAMED_BY[field](each)) for each in offered if each]
    extra = [(value, value)] if value and value not in dict(options) else []
    return Choice(field, label, value, ctx.source(field), [*extra, *options])
