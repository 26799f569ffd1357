"""The form that posts to `switcher_routes`: works without JavaScript, by keyboard and with screen readers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from ..addresses import spelt_path, spelt_query
from ..context import SessionContext
from ..errors import ConfigurationError
from .formats import Formats

if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.runtime import Context
    from markupsafe import Markup
    from starlette.requests import Request

__all__ = ["switcher_form"]

Offer: TypeAlias = "Iterable[str | tuple[str, str]]"

LABELS: Final = {"site_code": "Site", "currency": "Currency", "language": "Language", "target_location": "Ship to"}
ROUTE: Final = "session_ctx_switch"


class _Option(NamedTuple):
    """One line of a list."""

    value: str
    text: str
    lang: str = ""


class _Field(NamedTuple):
    """One list."""

    name: str
    label: str
    value: str
    options: list[_Option]


def switcher_form(
    context_of: Callable[[Context], SessionContext], formats: Callable[[SessionContext], Formats]
) -> Callable[..., Markup]:
    """Return what templates call as ``switcher(...)``.

    Args:
        context_of: finds the session context of what is rendered.
        formats: of a session context.
    """
    from jinja2 import pass_context
    from markupsafe import Markup

    template = _template()  # read now: a page must not wait for a disk

    @pass_context
    def switcher(
        context: Context,
        offers: Mapping[str, Offer],
        labels: Mapping[str, str] | None = None,
        *,
        action: str | None = None,
        button: str = "Switch",
    ) -> Markup:
        ctx, request = context_of(context), context["request"]
        fields = list(_fields(ctx, formats(ctx), offers, labels or {}))
        target = action or _path_of_the_route(request)
        return Markup(template.render(fields=fields, action=target, button=button, back=_back(request)))  # noqa: S704

    return switcher


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader(__name__.rpartition(".")[0], ""), autoescape=True, trim_blocks=True)
    return environment.get_template("switcher.html")


def _fields(
    ctx: SessionContext, formats: Formats, offers: Mapping[str, Offer], labels: Mapping[str, str]
) -> Iterator[_Field]:
    for name, offer in offers.items():
        if name not in LABELS:
            raise ConfigurationError(f"switcher({{{name!r}: ...}}) must name any of {', '.join(LABELS)}.")
        value: str = getattr(ctx, name) or ""
        options = [_option(name, each, formats) for each in offer]
        if value not in {option.value for option in options}:
            options.append(_Option(value, value))
        yield _Field(name, labels.get(name, LABELS[name]), value, options)


def _option(name: str, offered: str | tuple[str, str], formats: Formats) -> _Option:
    if not isinstance(offered, str):
        return _Option(*offered)
    if name == "language":
        return _Option(offered, formats.language(offered), offered)
    return _Option(offered, formats.country(offered) if name == "target_location" else offered)


def _path_of_the_route(request: Request) -> str:
    from starlette.routing import NoMatchFound

    try:
        path: Any = request.url_for(ROUTE).path
    except NoMatchFound as error:
        raise ConfigurationError(
            "switcher(...) needs *switcher_routes() among the routes of the application, or action='/path'."
        ) from error
    return str(path)


def _back(request: Request) -> str:
    """Return the page that is shown, with what was asked of it, spelt as the browser has spelt it."""
    query = spelt_query(request.scope)
    return spelt_path(request.scope) + (f"?{query}" if query else "")
