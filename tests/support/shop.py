"""A small shop around the middleware, and a browser for it."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from session_ctx_middleware import ContextEvent, SessionContext, SessionContextMiddleware, get_session_context
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix

from .virtual_time import VirtualClock

__all__ = ["Handler", "Shop", "held", "patches", "without_receipts"]

Handler = Callable[[SessionContext, Request], Awaitable[Response | str | None]]


class Shop:
    """A Starlette application whose endpoints are given by each test.

    Args:
        emporix: the platform.
        library: httpx or httpx2, for the calls to Emporix.
        options: keywords of the middleware.
    """

    def __init__(self, emporix: FakeEmporix, library: Any, **options: Any) -> None:
        self.emporix = emporix
        self.events: list[ContextEvent] = []
        self.clock = options.pop("clock", None) or VirtualClock()
        self._handlers: dict[str, Handler] = {}
        self._numbers = itertools.count()
        options.setdefault("on_event", self.events.append)
        options.setdefault("store", MemoryStore(clock=self.clock))  # a shop of its own, as if in another process
        self.upstream_client = options.setdefault(
            "http_client", emporix.client(library, base_url="http://emporix.test")
        )
        self.app = Starlette(
            routes=[Route("/{number}", self._endpoint, methods=["GET", "POST", "HEAD"])],
            middleware=[Middleware(SessionContextMiddleware, tenant=emporix.tenant, clock=self.clock, **options)],
        )
        self.browser = httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url="https://shop.test")

    async def _endpoint(self, request: Request) -> Response:
        handler = self._handlers[request.path_params["number"]]
        answer = await handler(get_session_context(request), request)
        return answer if isinstance(answer, Response) else PlainTextResponse(answer or "")

    async def visit(
        self, handler: Handler, *, token: str | None = None, headers: dict[str, str] | None = None, method: str = "GET"
    ) -> httpx2.Response:
        """Send one request that `handler` answers."""
        number = str(next(self._numbers))
        self._handlers[number] = handler
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        return await self.browser.request(method, f"/{number}", headers=sent)

    async def currency(self, token: str) -> str | None:
        """Return the currency that a page shows to the holder of `token`."""

        async def page(ctx: SessionContext, _: Request) -> str:
            return (await ctx).currency or ""

        return (await self.visit(page, token=token)).text or None

    async def switch(self, token: str, **values: str) -> httpx2.Response:
        """Switch values in one request, as a form endpoint does: without reading first."""

        async def endpoint(ctx: SessionContext, _: Request) -> None:
            ctx.switch(**values)

        return await self.visit(endpoint, token=token, method="POST")

    def named(self, name: str) -> list[ContextEvent]:
        """Return the events of one name so far."""
        return [event for event in self.events if event.name == name]


def held(emporix: FakeEmporix, session_id: str) -> dict[str, Any]:
    """Return the document that Emporix has, as JSON."""
    document = emporix.document(session_id)
    assert document is not None
    return document


def without_receipts(body: dict[str, Any]) -> dict[str, Any]:
    """Return a body as it were if no change had ever been parked."""
    context = {key: value for key, value in body.get("context", {}).items() if key != "_session_ctx"}
    return {key: context if key == "context" else value for key, value in body.items() if key != "context" or context}


def patches(emporix: FakeEmporix) -> list[Any]:
    """Return the body of every PATCH so far."""
    return [call.body for call in emporix.calls if call.operation == "context.patch"]
