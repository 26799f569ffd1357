"""Fixtures for the tests of a shop: pytest loads them where this package is installed (extra ``testing``).

They are plain functions, made when a test asks for them, and work with the async plugin of anyio and that of
pytest-asyncio alike. asyncio only, as the middleware itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx
import pytest

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ..context import SessionContext
    from .app import FakeEmporix
    from .fake_session import FakeSession

__all__ = ["emporix_client", "emporix_context", "emporix_fake", "emporix_tenant"]

OpenClient: TypeAlias = "Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]"
OpenContext: TypeAlias = "Callable[..., AbstractAsyncContextManager[SessionContext]]"

SHOP = "https://shop.test"
UNLIMITED = 60.0
"""Seconds that a call to a fake in this process may take: it is as fast as it is told to be."""


@pytest.fixture
def emporix_tenant() -> str:
    """The tenant of `emporix_fake`: override this fixture where that of your shop is another one."""
    return "acme"


@pytest.fixture
def emporix_fake(emporix_tenant: str, monkeypatch: pytest.MonkeyPatch) -> FakeEmporix:
    """Emporix, as a `FakeEmporix` of its own for each test.

    Every client that this package builds calls it, whatever ``base_url`` says, so that the application under test
    needs no other configuration; one that is passed in (``http_client=...``) calls where it calls.
    """
    from ..emporix.transport import libraries
    from ..emporix.transport.httpx_adapter import HttpxTransport
    from .app import FakeEmporix

    emporix = FakeEmporix(emporix_tenant)
    monkeypatch.setattr(libraries, "build", lambda *_: HttpxTransport(emporix.client(httpx), UNLIMITED))
    _begin_anew(monkeypatch)
    return emporix


@pytest.fixture
def emporix_client(emporix_fake: FakeEmporix) -> OpenClient:  # noqa: ARG001 - it is what the application calls
    """Open a client for an ASGI application.

    ``async with emporix_client(app, session) as client: ...``

    The client is an ``httpx.AsyncClient``. With `session` (of `FakeEmporix.new_session`) its requests bring the token
    as ``Authorization: Bearer``; shops that read a cookie set that themselves. Cookies stay from one request to the
    next, as in a browser. The application starts before, and shuts down afterwards (lifespan). A Starlette or FastAPI
    application builds its middleware anew, so that nothing of an earlier test is left.
    """

    @asynccontextmanager
    async def opened(
        app: ASGIApp, session: FakeSession | None = None, *, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[httpx.AsyncClient]:
        from .fake_session import checked

        sent = dict(headers or {})
        if session is not None:
            sent["Authorization"] = f"Bearer {checked(session).token}"
        if not callable(app):
            raise TypeError("emporix_client(app, session) wants the ASGI application itself, not its name.")
        lifespan_manager = _lifespan_manager()
        built: Any = app
        if hasattr(built, "middleware_stack"):
            built.middleware_stack = None
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(lifespan_manager(_apart(app)))
            transport = httpx.ASGITransport(running.app)
            client = httpx.AsyncClient(transport=transport, base_url=SHOP, headers=sent)
            yield await stack.enter_async_context(client)

    return opened


@pytest.fixture
def emporix_context(emporix_fake: FakeEmporix) -> OpenContext:
    """Open a loaded session context without any application.

    ``async with emporix_context(currency="EUR") as ctx: ...``

    It is that of `session`, or of a new one: the keywords are those of `FakeEmporix.new_session`. What is changed in
    the block is sent when it ends, as at the end of a request; when it raises, nothing is.
    """

    @asynccontextmanager
    async def opened(session: FakeSession | None = None, **fields: Any) -> AsyncIterator[SessionContext]:
        from .fake_session import checked

        request = _Request(emporix_fake, emporix_fake.new_session(**fields) if session is None else checked(session))
        try:
            yield await request.context()
        except BaseException:
            await request.fails()
            raise
        await request.ends()

    return opened


class _Request:
    """A request that goes on for as long as a test wants.

    Args:
        emporix: the platform.
        session: the shopper's.
    """

    def __init__(self, emporix: FakeEmporix, session: FakeSession) -> None:
        from ..middleware import SessionContextMiddleware
        from ..stores import MemoryStore

        self._context: asyncio.Future[SessionContext] = asyncio.get_running_loop().create_future()
        self._may_end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._middleware = SessionContextMiddleware(self._app, tenant=emporix.tenant, store=MemoryStore())
        headers = [(b"authorization", f"Bearer {session.token}".encode())]
        scope = {"type": "http", "method": "GET", "path": "/", "scheme": "https", "headers": headers}
        self._task = asyncio.ensure_future(self._middleware(scope, _receive, _send))

    async def context(self) -> SessionContext:
        """Return the loaded context."""
        either: list[asyncio.Future[Any]] = [self._context, self._task]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            await self._task
        return await self._context

    async def ends(self) -> None:
        """Let the response start, and with it the commit."""
        self._may_end.set_result(None)
        await self._task
        await self._middleware.aclose()

    async def fails(self) -> None:
        """Let nothing of it be sent."""
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._middleware.aclose()

    async def _app(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self._context.set_result(await scope["state"]["session_ctx"].load())
        await self._may_end
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


def _apart(app: ASGIApp) -> ASGIApp:
    """Give each request a state of its own, as servers do: what runs lifespan here hands all of them one."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if "state" in scope and scope["type"] != "lifespan":
            scope = {**scope, "state": {**scope["state"]}}
        await app(scope, receive, send)

    return wrapped


def _lifespan_manager() -> Any:
    try:
        from asgi_lifespan import LifespanManager
    except ImportError:
        raise ImportError("emporix_client needs more: pip install 'session-ctx-middleware[testing]'") from None
    return LifespanManager


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(_message: Message) -> None:
    """Take what would go to a browser."""


def _begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep instances of the middleware apart from those that earlier tests have left, and that were not collected."""
    from weakref import WeakValueDictionary

    from ..engine import neighbours

    monkeypatch.setattr(neighbours, "_known", WeakValueDictionary())
