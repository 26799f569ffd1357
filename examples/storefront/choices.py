"""What a shopper can choose, and what a choice means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from session_ctx_middleware import ContextDefaults, SessionContext

from .models import Site
from .wording import country_name, language_name

__all__ = ["FIELDS", "Choice", "changes_of", "choices_for", "site_named"]

FIELDS: Final[Mapping[str, str]] = {
    "site_code": "Site",
    "currency": "Currency",
    "language": "Language",
    "target_location": "Ship to",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """One drop-down list: its options as (value, text), and where the value in force comes from."""

    field: str
    label: str
    value: str | None
    source: str
    options: Sequence[tuple[str, str]]


def site_named(sites: Sequence[Site], code: str | None, defaults: ContextDefaults) -> Site:
    """Return a site by its code; where nobody knows it, one that offers the shop's defaults."""
    for site in sites:
        if site.code == code:
            return site
    one = [(value,) if value else () for value in (defaults.currency, defaults.language, defaults.target_location)]
    return Site(code or "", code or "", *one)


def choices_for(ctx: SessionContext, sites: Sequence[Site], defaults: ContextDefaults) -> Sequence[Choice]:
    """Return the four lists of the switcher."""
    site = site_named(sites, ctx.site_code, defaults)
    options = {
        "site_code": [(each.code, each.name) for each in sites or [site]],
        "currency": [(each, each) for each in site.currencies],
        "language": [(each, language_name(each)) for each in site.languages],
        "target_location": [(each, country_name(each)) for each in site.locations],
    }
    return [_choice(ctx, field, label, options[field]) for field, label in FIELDS.items()]


def changes_of(form: Mapping[str, object], ctx: SessionContext, sites: Sequence[Site]) -> dict[str, str]:
    """Return what a form changes, completed: a value that the chosen site does not offer becomes the site's own.

    Args:
        form: the four fields; any may be missing.
        ctx: the loaded context.
        sites: the sites, as far as they are known.
    """
    wanted = {field: str(form.get(field) or getattr(ctx, field) or "") for field in FIELDS}
    site = next((each for each in sites if each.code == wanted["site_code"]), None)
    if site is not None:
        offers = {"currency": site.currencies, "language": site.languages, "target_location": site.locations}
        wanted |= {field: offer[0] for field, offer in offers.items() if offer and wanted[field] not in offer}
    return {field: value for field, value in wanted.items() if value and value != getattr(ctx, field)}


def _choice(ctx: SessionContext, field: str, label: str, options: Sequence[tuple[str, str]]) -> Choice:
    value: str | None = getattr(ctx, field)
    known = {option for option, _ in options}
    extra = [(value, value)] if value and value not in known else []
    return Choice(field, label, value, ctx.source(field), [*extra, *options])
