"""Emporix behind real sockets, on an event loop and a thread of its own, with the proxy in front of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from session_ctx_middleware.testing import FakeEmporix

from .proxy import LOOPBACK, Mode, Proxy, bind, reserve_port

__all__ = ["PATIENCE", "Background", "Network", "WebServer"]

T = TypeVar("T")

TICK: Final = 0.005
GRACE: Final = 1
PATIENCE: Final = 30.0


class WebServer:
    """A real uvicorn around an ASGI application; it can be stopped and started again on the same port.

    Args:
        app: the application.
        lifespan: whether the application has one.
    """

    def __init__(self, app: ASGIApp, *, lifespan: bool = False) -> None:
        self._app = app
        self._lifespan = lifespan
        self._reserved, self.port = reserve_port()
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """Where the server is."""
        return f"http://{LOOPBACK}:{self.port}"

    async def start(self) -> None:
        """Begin to serve, if it does not."""
        if self._server is not None:
            return
        config = uvicorn.Config(
            self._app,
            lifespan="on" if self._lifespan else "off",
            interface="asgi3",
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=None if self._lifespan else GRACE,
        )
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve(sockets=[bind(self.port)]))
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(TICK)
        self._server, self._serving = server, serving

    async def stop(self) -> None:
        """Shut down as on SIGTERM."""
        if self._server is None or self._serving is None:
            return
        self._server.should_exit = True
        await self._serving
        self._server = self._serving = None

    async def aclose(self) -> None:
        """Shut down for good."""
        await self.stop()
        self._reserved.close()


class Background:
    """An event loop on a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` over there, and wait for it on the event loop here."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def run_and_block(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` over there, where there is no event loop here."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Network:
    """Emporix, its server, and the proxy that the shop believes to be Emporix."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._server = WebServer(self._platform)
        self.emporix = FakeEmporix()
        self.proxy = Proxy(self._server.port)

    @property
    def address(self) -> str:
        """Where the shop finds Emporix, behind the proxy."""
        return self.proxy.address

    @property
    def direct(self) -> str:
        """Where Emporix is without a proxy."""
        return self._server.address

    async def set(self, mode: Mode) -> None:
        """Let everything from now on go this way."""
        await self._background.run(self.proxy.set(mode))

    async def start_emporix(self) -> None:
        """Start the server."""
        await self._background.run(self._server.start())

    async def stop_emporix(self) -> None:
        """Shut the server down."""
        await self._background.run(self._server.stop())

    async def renew(self) -> None:
        """Begin anew: a platform where nothing has happened yet, and healthy ways to it."""
        self.emporix = FakeEmporix()
        await self._background.run(self._heal())

    async def _heal(self) -> None:
        await self._server.start()
        await self.proxy.renew()

    async def _platform(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.emporix(scope, receive, send)

    @classmethod
    @contextmanager
    def up(cls) -> Iterator[Network]:
        """Run everything inside the block."""
        background = Background()
        network = cls(background)
        try:
            background.run_and_block(network.proxy.start())
            yield network
        finally:
            background.run_and_block(network.proxy.stop())
            background.run_and_block(network._server.aclose())
            background.close()
