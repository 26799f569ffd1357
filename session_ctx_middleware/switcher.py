"""Ready endpoints for a form that switches site, currency, language and location, without JavaScript."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import wraps
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from .access import get_session_context, resolvers_of
from .context import SessionContext
from .errors import ConfigurationError, InvalidChange, SessionContextError
from .model.carts import CartOutcome
from .model.fields import SWITCHES
from .same_origin import checked_origins, foreign_origin, local_target

__all__ = ["SHOWN", "same_origin_only", "switcher_routes"]

SHOWN: Final = "shown."
"""What the names of hidden fields begin with that hold what the form has shown."""
FORM: Final = "application/x-www-form-urlencoded"
MAX_BODY: Final = 16 * 1024
MAX_FIELDS: Final = 64
CART: Final = "cart"
"""The name in the query of the next page that says what became of the cart, where that is no good news."""

Allowed = Mapping[str, Collection[str]]
Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]]


def switcher_routes(
    path: str = "/switch",
    *,
    allowed: Allowed | None = None,
    trusted_origins: Collection[str] = (),
    home: str = "/",
) -> list[Route]:
    """Return the routes of a switcher: add them to those of the application.

    The form posts any of ``site_code``, ``currency``, ``language`` and ``target_location``. A field ``shown.currency``
    holds what the page showed: what the shopper has not changed is left alone, so that a tab that was open for long,
    or the Back button, undoes nothing. ``back`` is the page to return to; where its address says something else than
    what was chosen, its counterpart at the address that does (`resolution.UrlPrefix`, `resolution.Host`). Where a cart
    should follow and does not, ``cart=accepted``, ``cart=half`` or ``cart=failed`` stands in the query of that page.

    Args:
        path: of the endpoint.
        allowed: the values that each field may have; of one that is not named, all that look like one.
        trusted_origins: of pages besides this shop's that may post to it.
        home: where to go when ``back`` is no page of this shop.

    Raises:
        ConfigurationError: a value cannot work.
    """
    switcher = _Switcher(_checked_allowed(allowed), checked_origins(trusted_origins), _checked_path(home, "home=..."))
    return [Route(_checked_path(path, "path"), switcher.switch, methods=["POST"], name="session_ctx_switch")]


def same_origin_only(endpoint: Endpoint, *, trusted_origins: Collection[str] = ()) -> Endpoint:
    """Return an endpoint that answers 403 to forms which another site sends in the shopper's name.

    Args:
        endpoint: of a form.
        trusted_origins: of pages besides this shop's that may post to it.

    Raises:
        ConfigurationError: one of them is no origin.
    """
    trusted = checked_origins(trusted_origins)

    @wraps(endpoint)
    async def guarded(request: Request) -> Response:
        foreign = foreign_origin(request, trusted)
        return await endpoint(request) if foreign is None else _refused(foreign, request)

    return guarded


class _Switcher:
    """What the endpoint does.

    Args:
        allowed: values by field.
        trusted: origins.
        home: a path.
    """

    def __init__(self, allowed: Allowed, trusted: frozenset[str], home: str) -> None:
        self._allowed = allowed
        self._trusted = trusted
        self._home = home

    async def switch(self, request: Request) -> Response:
        foreign = foreign_origin(request, self._trusted)
        if foreign is not None:
            return _refused(foreign, request)
        form = await _form(request)
        if form is None:
            return _plain(f"A form of at most {MAX_BODY} bytes is wanted, as {FORM}.", 415)
        # What the site offers is known once the context is: else what it does not would go unsaid.
        ctx = await get_session_context(request).load()
        changes = self._changes(form)
        ctx.switch(**changes)
        await _send(ctx)
        target = local_target(form.get("back"), request.scope.get("root_path", "") + self._home)
        if (resolvers := resolvers_of(request)) is not None:
            target = resolvers.at_its_address(request, target, changes)
        if ctx.carts_follow:  # else what the query says of a cart is the shop's own
            target = _with_note(target, ctx.cart_outcome)
        return _onwards(request, target)

    def _changes(self, form: Mapping[str, str]) -> dict[str, str]:
        """Return what the shopper has changed.

        Raises:
            InvalidChange: to something that is not offered.
        """
        wanted = {field: form[field] for field in SWITCHES if form.get(field)}
        changes = {field: value for field, value in wanted.items() if value != form.get(SHOWN + field)}
        for field, value in changes.items():
            if field in self._allowed and value not in self._allowed[field]:
                raise InvalidChange(f"{field} has to be one of {', '.join(sorted(self._allowed[field]))}.")
        return changes


async def _form(request: Request) -> dict[str, str] | None:
    """Return the fields of a form, the first of several of one name; `None` for what is none, or too large."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        return None
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            return None
    try:
        pairs = parse_qsl(body.decode("ascii"), max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        return None
    return dict(reversed(pairs))


async def _send(ctx: SessionContext) -> None:
    """Send the changes.

    Raises:
        InvalidChange: the shopper's site does not offer one of them.
    """
    try:
        await ctx.commit()
    except InvalidChange:
        raise
    except SessionContextError:  # what could not be sent is parked at the end of the request
        pass


def _with_note(target: str, outcome: CartOutcome | None) -> str:
    """Return a page, and behind it what the shopper should know of his cart; not what an earlier switch has said."""
    page, hash_sign, fragment = target.partition("#")
    path, _, query = page.partition("?")
    kept = [each for each in query.split("&") if each and each.partition("=")[0] != CART]
    if outcome is not None and outcome.state != "moved":
        kept.append(f"{CART}={outcome.state}")
    return path + ("?" if kept else "") + "&".join(kept) + hash_sign + fragment


def _onwards(request: Request, target: str) -> Response:
    """Lead to a page by GET, so that reloading it sends nothing twice (RFC 9110, section 15.4.4)."""
    response: Response = RedirectResponse(target, 303)
    if request.headers.get("hx-request") == "true":
        # htmx would follow a redirection itself, and put the whole page where the answer belongs.
        response = Response(status_code=200, headers={"HX-Redirect": target})
    response.headers["Vary"] = "HX-Request"
    return response


def _refused(foreign: str, request: Request) -> Response:
    own = f"{request.scope['scheme']}://{request.headers.get('host', '')}"
    return _plain(f"This form was sent from {foreign}, and this shop is {own}: nothing was changed.", 403)


def _plain(text: str, status: int) -> Response:
    return PlainTextResponse(text, status, {"Cache-Control": "no-store"})


def _checked_allowed(allowed: object) -> Allowed:
    if allowed is None:
        return {}
    if not isinstance(allowed, Mapping) or not {*SWITCHES}.issuperset(allowed):
        raise ConfigurationError(f"allowed=... must map any of {', '.join(SWITCHES)} to values.")
    for field, values in allowed.items():
        if isinstance(values, str) or not isinstance(values, Collection):
            raise ConfigurationError(f"allowed[{field!r}] must be a list of values.")
    return dict(allowed)


def _checked_path(path: object, where: str) -> str:
    if not isinstance(path, str) or local_target(path, "") != path:
        raise ConfigurationError(f"{where} must be a path of this shop, such as '/switch'.")
    return path
