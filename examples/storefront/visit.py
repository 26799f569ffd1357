"""One visit: what the shop's own layer knows about a request, outside of the session context middleware."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .costs import OPERATIONS, Bill, Ledger

if TYPE_CHECKING:
    from .visitor import Credentials

__all__ = ["Visit", "VisitLayer", "get_visit"]

VISITOR_COOKIE: Final = "shop_visitor"
COSTS_COOKIE: Final = "shop_costs"
VISITOR_SECONDS: Final = 24 * 3600  # as long as a refresh token
COSTS_SECONDS: Final = 10
POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(slots=True, kw_only=True)
class Visit:
    """Who is visiting, and what it has cost so far.

    Args:
        cookie: the visitor's cookie, as it came.
        earlier: the calls since the page before this one: of the form that led here.
    """

    cookie: str | None
    earlier: tuple[str, ...]
    bill: Bill = field(default_factory=Bill)
    credentials: Credentials | None = None
    sought: bool = False
    new_cookie: str | None = None
    is_offline: bool = False
    is_over: bool = False
    shown: int | None = None

    @property
    def token(self) -> str | None:
        """The shopper's token, once it has been sought."""
        return None if self.credentials is None else self.credentials.access_token

    def forget(self) -> None:
        """Drop the session: Emporix does not want it any more, and the next page begins another one."""
        self.is_over = True
        self.new_cookie = ""

    def present(self) -> tuple[str, ...]:
        """Return the calls so far, to be shown on this page."""
        self.shown = len(self.bill.calls)
        return tuple(self.bill.calls)


class VisitLayer:
    """Sets cookies and the content security policy, and counts; goes around the session context middleware.

    Around, because the middleware looks for the token, and sends changes, as late as just before the response starts.

    Args:
        app: the application, the middleware included.
        ledger: counts calls.
    """

    def __init__(self, app: ASGIApp, *, ledger: Ledger) -> None:
        self._app = app
        self._ledger = ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        cookies = HTTPConnection(scope).cookies
        visit = Visit(cookie=cookies.get(VISITOR_COOKIE), earlier=_calls(cookies.get(COSTS_COOKIE, "")))
        scope.setdefault("state", {})["visit"] = visit

        async def send_wrapper(message: Message) -> None:
            if message["type"] == "http.response.start":
                _finish(visit, message, secure=scope["scheme"] == "https")
            await send(message)

        with self._ledger.open(visit.bill):
            await self._app(scope, receive, send_wrapper)


def get_visit(connection: HTTPConnection) -> Visit:
    """Return the visit of a request."""
    visit: Visit = connection.state.visit
    return visit


def _finish(visit: Visit, message: Message, *, secure: bool) -> None:
    headers = MutableHeaders(scope=message)
    headers["content-security-policy"] = POLICY
    # Calls that no page has shown yet: those of a form, whose answer is a redirect, and a PATCH behind a page.
    unseen = "+".join(visit.bill.calls[visit.shown or 0 :])
    if visit.new_cookie is not None:
        _set_cookie(headers, VISITOR_COOKIE, visit.new_cookie, VISITOR_SECONDS, secure=secure)
    if unseen or (visit.earlier and visit.shown is not None):
        _set_cookie(headers, COSTS_COOKIE, unseen, COSTS_SECONDS, secure=secure)


def _set_cookie(headers: MutableHeaders, name: str, value: str, seconds: int, *, secure: bool) -> None:
    jar = Response()
    jar.set_cookie(name, value, max_age=seconds if value else 0, secure=secure, httponly=True, samesite="lax")
    headers.append("set-cookie", jar.headers["set-cookie"])
    headers["cache-control"] = "private, no-store"  # nobody else may ever be handed this cookie


def _calls(cookie: str) -> tuple[str, ...]:
    return tuple(name for name in cookie[:500].split("+") if name in OPERATIONS)
