"""One visit: what the shop's own layer knows about a request, outside of the session context middleware."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .costs import OPERATIONS, Bill, Ledger

__all__ = ["Visit", "VisitLayer", "get_visit"]

COSTS_COOKIE: Final = "shop_costs"
COSTS_SECONDS: Final = 10
POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(slots=True, kw_only=True)
class Visit:
    """One request, and what it has cost so far.

    Args:
        earlier: the calls since the page before this one: of the form that led here.
        bill: the calls of this request.
        is_offline: whether Emporix has just failed to answer.
        shown: how many calls the page has shown.
    """

    earlier: tuple[str, ...]
    bill: Bill = field(default_factory=Bill)
    is_offline: bool = False
    shown: int | None = None

    def present(self) -> tuple[str, ...]:
        """Return the calls so far, to be shown on this page."""
        self.shown = len(self.bill.calls)
        return tuple(self.bill.calls)


class VisitLayer:
    """Sets the content security policy, and counts calls; goes around the session context middleware.

    Around, because the middleware sends changes as late as just before the response starts.

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
        visit = Visit(earlier=_calls(cookies.get(COSTS_COOKIE, "")))
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
    if unseen or (visit.earlier and visit.shown is not None):
        _set_cookie(headers, COSTS_COOKIE, unseen, COSTS_SECONDS, secure=secure)


def _set_cookie(headers: MutableHeaders, name: str, value: str, seconds: int, *, secure: bool) -> None:
    jar = Response()
    jar.set_cookie(name, value, max_age=seconds if value else 0, secure=secure, httponly=True, samesite="lax")
    headers.append("set-cookie", jar.headers["set-cookie"])
    headers["cache-control"] = "private, no-store"  # nobody else may ever be handed this cookie


def _calls(cookie: str) -> tuple[str, ...]:
    return tuple(name for name in cookie[:500].split("+") if name in OPERATIONS)
