"""Filters for Jinja that follow the session's currency and language, and the site's time zone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..access import STATE_KEY
from ..checks import function, printable
from ..context import SessionContext
from ..errors import ConfigurationError
from ..links import PageLinks
from .formats import Formats, locale_of, zone_named
from .page_links import page_links
from .processor import context_processor
from .switcher_form import switcher_form

if TYPE_CHECKING:
    from jinja2 import Environment
    from jinja2.runtime import Context
    from starlette.templating import Jinja2Templates

__all__ = ["context_of", "environment_of", "install"]

TimeZone: TypeAlias = "str | Callable[[SessionContext], str]"

FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "money": Formats.money,
    "number": Formats.number,
    "percent": Formats.percent,
    "date": Formats.date,
    "time": Formats.time,
    "country": Formats.country,
    "language": Formats.language,
    "currency": Formats.currency,
}
REMEMBERED: Final = 1024


def install(
    templates: Jinja2Templates | Environment,
    *,
    languages: Iterable[str] = (),
    fallback: str = "en",
    time_zone: TimeZone = "UTC",
    links: PageLinks | None = None,
) -> None:
    """Add the session context and its filters to templates.

    The filters are ``money``, ``number``, ``percent``, ``date``, ``time``, ``country``, ``language`` and ``currency``:
    see `Formats`. ``formats()`` is the `Formats` of the request, for ``lang`` and ``dir``;
    ``switcher({"currency": ["EUR", "CHF"]})`` is the form of `switcher_routes`, and ``page_links()`` writes `links`.

    Args:
        templates: Starlette's templates, or an environment of Jinja whose templates are rendered with ``session_ctx``.
        languages: that are read now: else the first page in a language waits for a disk for some milliseconds.
        fallback: the language of pages where the session has none, or one that nobody knows.
        time_zone: where dates and times are told: a name such as ``"Europe/Berlin"``, or a function of the context
            (UTC where nobody knows what it returns).
        links: for search engines: where pages are in other languages.

    Raises:
        ConfigurationError: a value cannot work, or the extra ``jinja`` is not installed.
    """
    environment = environment_of(templates)
    if isinstance(languages, str):
        raise ConfigurationError("languages=... must be a list of tags, such as ['de', 'de-CH'].")
    for tag in (printable(fallback, "fallback=..."), *languages):
        if locale_of(tag) is None:
            raise ConfigurationError(f"{tag!r} is no language that Babel knows: take a tag such as 'de' or 'de-CH'.")
        Formats(tag).money(0, "EUR")  # reads what belongs to it
    formats = _formats_by(fallback, time_zone)
    for name, method in FILTERS.items():
        environment.filters[name] = _filter(method, formats)
    environment.globals["formats"] = _with_context(formats)
    environment.globals["switcher"] = switcher_form(context_of, formats)
    if links is not None:
        environment.globals["page_links"] = page_links(links)
    processors: list[Any] | None = getattr(templates, "context_processors", None)
    if processors is not None and context_processor not in processors:
        processors.append(context_processor)


def environment_of(templates: Jinja2Templates | Environment) -> Environment:
    """Return the environment of templates.

    Raises:
        ConfigurationError: these are no templates.
    """
    environment: Any = getattr(templates, "env", templates)
    if not isinstance(getattr(environment, "filters", None), dict):
        raise ConfigurationError("templates must be Starlette's Jinja2Templates(...) or a jinja2.Environment.")
    found: Environment = environment
    return found


def context_of(context: Context) -> SessionContext:
    """Return the session context of what is rendered.

    Raises:
        ConfigurationError: there is none.
    """
    found = context.get(STATE_KEY)
    if isinstance(found, SessionContext):
        return found
    raise ConfigurationError(
        f"This template has no {STATE_KEY}: render it with templates.TemplateResponse(request, ...), and import macros "
        "that use filters of the session 'with context'."
    )


def _formats_by(fallback: str, time_zone: TimeZone) -> Callable[[SessionContext], Formats]:
    zone_of = _zone_of(time_zone)

    @lru_cache(REMEMBERED)
    def made(language: str | None, currency: str | None, zone: tzinfo) -> Formats:
        return Formats(language, currency=currency, zone=zone, fallback=fallback)

    return lambda ctx: made(ctx.language, ctx.currency, zone_of(ctx))


def _zone_of(time_zone: TimeZone) -> Callable[[SessionContext], tzinfo]:
    if isinstance(time_zone, str):
        always = zone_named(time_zone)
        return lambda _: always
    function(time_zone, "time_zone=...")

    def asked(ctx: SessionContext) -> tzinfo:
        try:
            return zone_named(time_zone(ctx))
        except ConfigurationError:
            return UTC  # what a site is said to be in is data: no page fails because of it

    return asked


def _filter(method: Callable[..., str], formats: Callable[[SessionContext], Formats]) -> Callable[..., str]:
    from jinja2 import Undefined, pass_context

    @pass_context
    def filtered(context: Context, value: object, *args: Any, **kwargs: Any) -> str:
        missing = isinstance(value, Undefined)
        if missing:
            str(value)  # a strict environment says so
        return method(formats(context_of(context)), None if missing else value, *args, **kwargs)

    return filtered


def _with_context(formats: Callable[[SessionContext], Formats]) -> Callable[[Context], Formats]:
    from jinja2 import pass_context

    @pass_context
    def of_the_request(context: Context) -> Formats:
        return formats(context_of(context))

    return of_the_request
