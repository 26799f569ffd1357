"""What type checkers see: `make types` checks this file with mypy and pyright, and the tests run it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict, assert_type

import aiohttp
import httpx
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from session_ctx_middleware import (
    ConfigurationError,
    SessionContext,
    SessionContextMiddleware,
    SessionState,
    get_session_context,
)
from session_ctx_middleware.health import Health, Monitored
from session_ctx_middleware.sessions import ShopAuth
from session_ctx_middleware.testing import FakeEmporix


class ShopState(SessionState):
    """What a shop keeps besides."""

    shop_name: str


async def page(request: Request[SessionState]) -> PlainTextResponse:
    ctx = await assert_type(request.state["session_ctx"], SessionContext)
    assert_type(ctx.currency, str | None)
    assert_type(ctx.middleware, Monitored)
    assert_type(ctx.middleware.health(), Health)
    assert_type(ctx.middleware.stats(), Mapping[str, int])
    assert ctx is get_session_context(request)
    return PlainTextResponse(ctx.currency)


class ForeignRequest:
    """A request of another framework, whose scope has types of its own."""

    def __init__(self, scope: ForeignScope) -> None:
        self.scope = scope


class ForeignScope(TypedDict):
    """As Litestar types it."""

    type: str


async def foreign(request: ForeignRequest) -> None:
    assert_type(get_session_context(request), SessionContext)


async def named(request: Request[ShopState]) -> PlainTextResponse:
    ctx = await assert_type(request.state["session_ctx"], SessionContext)
    request.state["shop_name"] = "Corner shop"
    return PlainTextResponse(f"{request.state['shop_name']} {ctx.currency}")


async def socket(websocket: WebSocket[SessionState]) -> None:
    await websocket.accept()
    ctx = await assert_type(websocket.state["session_ctx"], SessionContext)
    await websocket.send_text(f"{ctx.currency}")
    await websocket.close()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def calls(request: Request[SessionState]) -> PlainTextResponse:
    """Make a call with each kind of client, none of which leaves this process."""
    ctx = assert_type(request.state["session_ctx"], SessionContext)
    auth = assert_type(ctx.auth, ShopAuth)
    headers = assert_type((await ctx).auth.headers("GET", "https://api.emporix.io/"), dict[str, str])
    sent = [headers["Authorization"]]
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200)), auth=auth) as one:
        sent.append((await one.get("https://api.emporix.io/")).request.headers["Authorization"])
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: httpx2.Response(200))) as other:
        sent.append((await other.get("https://api.emporix.io/", auth=auth)).request.headers["Authorization"])
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as blocking:
        sent.append(blocking.get("https://api.emporix.io/", auth=auth).request.headers["Authorization"])
    async with aiohttp.ClientSession(middlewares=(auth, _answer)) as session:
        with pytest.raises(aiohttp.ClientConnectionError, match="Bearer"):
            await session.get("https://api.emporix.io/", middlewares=(auth, _answer))
    return PlainTextResponse(str(len(set(sent))))


async def _answer(request: aiohttp.ClientRequest, _: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    raise aiohttp.ClientConnectionError(request.headers["Authorization"].partition(" ")[0])


def build(emporix: FakeEmporix) -> Starlette:
    return Starlette(
        routes=[Route("/", page), Route("/named", named), Route("/calls", calls), WebSocketRoute("/socket", socket)],
        middleware=[Middleware(SessionContextMiddleware, tenant="acme", http_client=emporix.client(httpx2))],
    )


@pytest.mark.parametrize(("path", "expected"), [("/", "EUR"), ("/named", "Corner shop EUR"), ("/calls", "1")])
async def test_typed_state(path: str, expected: str) -> None:
    """The keys that `SessionState` promises are there."""
    emporix = FakeEmporix()
    headers = {"Authorization": f"Bearer {emporix.new_session(currency='EUR').token}"}
    transport = httpx2.ASGITransport(build(emporix))
    async with httpx2.AsyncClient(transport=transport, base_url="https://shop.test") as browser:
        assert (await browser.get(path, headers=headers)).text == expected


def test_typed_websocket_state() -> None:
    """A WebSocket has the same."""
    emporix = FakeEmporix()
    headers = {"Authorization": f"Bearer {emporix.new_session(currency='EUR').token}"}
    with TestClient(build(emporix)) as client, client.websocket_connect("/socket", headers=headers) as connection:
        assert connection.receive_text() == "EUR"


def test_request_of_another_framework() -> None:
    """Whatever has the scope of a connection leads to its context."""
    with pytest.raises(ConfigurationError, match="Middleware"):
        get_session_context(ForeignRequest({"type": "http"}))
