"""The shop: a small application around the middleware, with fixed pages, so that it can stand behind a real server."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from typing import Any, Final, Self

import aiohttp
import httpx
from asgi_lifespan import LifespanManager
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from session_ctx_middleware import ContextDefaults, SessionContextMiddleware, UpstreamPolicy, get_session_context
from session_ctx_middleware.clock import SystemClock
from session_ctx_middleware.stores import MemoryStore

from .backend import PATIENCE, WebServer
from .proxy import LOOPBACK

__all__ = ["IN_TIME", "QUICK", "JumpingClock", "Page", "RealShop", "Stopwatch", "until"]

QUICK: Final = UpstreamPolicy(deadline=0.4, commit_deadline=0.6, timeout=60.0, total_timeout=60.0, max_concurrency=8)
"""Deadlines that a test can wait for; calls last much longer, so that only the deadline ends a wait in time."""
IN_TIME: Final = 20.0
"""Seconds that whatever has a deadline takes at most, however busy the machine is; a call takes far longer."""
DEFAULTS: Final = ContextDefaults(currency="XXX")
LONG: Final = 100.0

Page = dict[str, Any]


class JumpingClock(SystemClock):
    """The real clock, and a way past the pauses of breakers and caches, which nobody wants to sit through."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def jump(self, seconds: float = LONG) -> None:
        """Let this much time have passed."""
        self._ahead += seconds


def busy_connections(client: Any) -> list[str]:
    """Return the connections of an HTTP client that are not at rest."""
    if isinstance(client, aiohttp.ClientSession):
        connector: Any = client.connector
        return [repr(each) for each in connector._acquired]
    return [repr(each) for each in client._transport._pool.connections if not each.is_idle()]


class RealShop:
    """An application with one page and one form.

    Args:
        base_url: where Emporix is.
        served: stand behind a real server instead of being called directly.
        around: what the server sees instead of the application.
        options: keywords of the middleware.
    """

    def __init__(
        self,
        base_url: str,
        *,
        served: bool = False,
        around: Callable[[ASGIApp], ASGIApp] | None = None,
        **options: Any,
    ) -> None:
        self.clock = JumpingClock()
        store = MemoryStore(clock=self.clock)  # as if in a process of its own
        options = {"defaults": DEFAULTS, "clock": self.clock, "store": store, **options}
        self.app = Starlette(
            routes=[Route("/", self._page), Route("/switch", self._switch, methods=["POST"])],
            middleware=[Middleware(SessionContextMiddleware, tenant="acme", base_url=base_url, **options)],
        )
        outermost = self.app if around is None else around(self.app)
        self._server = WebServer(outermost, lifespan=True) if served else None
        self._lifespan = LifespanManager(self.app, startup_timeout=PATIENCE, shutdown_timeout=PATIENCE)
        self._browser: Any = None

    @property
    def address(self) -> tuple[str, int]:
        """Where the shop listens, if it is served."""
        assert self._server is not None
        return LOOPBACK, self._server.port

    @property
    def busy_connections(self) -> list[str]:
        """The connections to Emporix that are not at rest."""
        layer: Any = self.app.middleware_stack
        while not isinstance(layer, SessionContextMiddleware):
            layer = layer.app
        clients: Any = layer._emporix._http._clients
        return busy_connections(clients.current().client)

    async def open(self) -> None:
        """Start up, and be ready for visitors."""
        if self._server is not None:
            await self._server.start()
            self._browser = httpx.AsyncClient(base_url=self._server.address, timeout=PATIENCE)
        else:
            await self._lifespan.__aenter__()
            transport = httpx.ASGITransport(self.app)
            self._browser = httpx.AsyncClient(transport=transport, base_url="https://shop.test")

    async def close(self) -> None:
        """Shut down; a second time does nothing."""
        browser, self._browser = self._browser, None
        if browser is None:
            return
        if self._server is not None:
            await self._server.aclose()
        else:
            await self._lifespan.__aexit__()
        await browser.aclose()

    async def page(self, token: str) -> Page:
        """Look at the page."""
        answer = await self._browser.get("/", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200
        page: Page = answer.json()
        return page

    async def switch(self, token: str, currency: str) -> None:
        """Send the form."""
        headers = {"Authorization": f"Bearer {token}"}
        answer = await self._browser.post("/switch", params={"currency": currency}, headers=headers)
        assert answer.status_code == 200

    async def converge(self, token: str, **wanted: object) -> Page:
        """Come back until the page is as wanted, healthy and with nothing pending."""
        wanted = {"degraded": False, "stale": False, "pending": [], **wanted}
        end = time.monotonic() + PATIENCE
        attempts = itertools.count()
        while True:
            page = await self.page(token)
            if wanted.items() <= page.items():
                return page
            assert time.monotonic() < end, page
            if (
                next(attempts) % 2
            ):  # each time would make stale again what the page before has renewed in the background
                self.clock.jump()
            await asyncio.sleep(0.02)

    async def _page(self, request: Request) -> Response:
        context = await get_session_context(request)
        return JSONResponse(
            {
                "currency": context.currency,
                "version": context.version,
                "degraded": context.is_degraded,
                "stale": context.is_stale,
                "pending": list(context.pending),
            }
        )

    async def _switch(self, request: Request) -> Response:
        get_session_context(request).switch_currency(request.query_params["currency"])
        return PlainTextResponse("done")


class Stopwatch:
    """Measures how long a block takes."""

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._began


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread or task will bring about."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        await asyncio.sleep(0.005)
