"""A shop inside another one: each works with the contexts of its own tenant, and both protect what they answer."""

from __future__ import annotations

from typing import Any

import httpx
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from session_ctx_middleware import CookieToken, SessionContextMiddleware, get_session_context
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix

from .support.shop import held
from .support.virtual_time import VirtualClock

Fakes = dict[str, FakeEmporix]


@pytest.fixture
def shops(emporix: FakeEmporix) -> Fakes:
    """Two platforms, of two tenants, on which the same token stands for different sessions."""
    return {tenant: FakeEmporix(tenant, seed=1, now=emporix.now) for tenant in ("outer", "inner")}


def around(app: Any, emporix: FakeEmporix, **options: Any) -> SessionContextMiddleware:
    clock = VirtualClock()
    options = {"tenant": emporix.tenant, "store": MemoryStore(clock=clock), "clock": clock, **options}
    return SessionContextMiddleware(app, http_client=emporix.client(httpx), **options)


async def page(request: Request) -> Response:
    """Show both ways to the context, and switch what is asked for."""
    ctx = get_session_context(request)
    if "to" in request.query_params:
        request.state.session_ctx.switch_currency(request.query_params["to"])
    await ctx
    same = request.state.session_ctx is ctx
    return JSONResponse({"currency": ctx.currency, "same": same, "seen": sorted(request.state._state)})


async def get(app: Any, path: str, token: str) -> httpx2.Response:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://shop.test") as browser:
        return (await browser.get(path, headers={"Authorization": f"Bearer {token}"})).raise_for_status()


async def test_two_tenants(shops: Fakes) -> None:
    """C3: A shop mounted inside one of another tenant reads and writes its own session, and nobody else's."""
    mine, theirs = shops["outer"].new_session(currency="EUR"), shops["inner"].new_session(currency="JPY")
    assert mine == theirs
    inner = around(Starlette(routes=[Route("/", page)]), shops["inner"])
    app = around(Starlette(routes=[Route("/", page), Mount("/inner", inner)]), shops["outer"])

    assert (await get(app, "/inner/", mine.token)).json() == {"currency": "JPY", "same": True, "seen": ["session_ctx"]}
    assert (await get(app, "/inner/?to=KRW", mine.token)).json()["currency"] == "KRW"
    assert (await get(app, "/", mine.token)).json()["currency"] == "EUR"

    assert held(shops["inner"], mine.session_id)["currency"] == "KRW"
    assert held(shops["outer"], mine.session_id)["currency"] == "EUR"


async def test_both_protect(shops: Fakes) -> None:
    """C3: A response that depends on both contexts is private, and varies with the tokens of both."""
    mine, theirs = shops["outer"].new_session(currency="EUR"), shops["inner"].new_session(currency="JPY")
    inner = around(Starlette(routes=[Route("/", page)]), shops["inner"], token=CookieToken("inner"))

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        ctx = await scope["state"]["session_ctx"]
        assert ctx.currency == "EUR"
        await inner(scope, receive, send)
        assert get_session_context(Request(scope)) is ctx is scope["state"]["session_ctx"]

    app = around(outer, shops["outer"])
    headers = {"Authorization": f"Bearer {mine.token}", "Cookie": f"inner={theirs.token}"}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://shop.test") as browser:
        answer = await browser.get("/", headers=headers)

    assert answer.json()["currency"] == "JPY"
    assert answer.headers["cache-control"] == "private"
    assert {each.strip() for each in answer.headers["vary"].split(",")} == {"Authorization", "Cookie"}


@pytest.mark.parametrize("url", ["https://api.emporix.io/", "https://eu.emporix.test"])
async def test_two_addresses(url: str, shops: Fakes) -> None:
    """C3: One tenant at two addresses is two shops; a slash more is none."""
    token = shops["outer"].new_session(currency="EUR").token
    other = FakeEmporix("outer", seed=1, now=shops["outer"].now)
    other.new_session(currency="JPY")
    inner = around(Starlette(routes=[Route("/", page)]), other, base_url=url)

    answer = await get(around(inner, shops["outer"]), "/", token)

    assert answer.json()["currency"] == ("JPY" if "test" in url else "EUR")


async def test_outer_shop_inside_the_inner_one(shops: Fakes) -> None:
    """C3: Where a shop comes up again inside another one, its outermost middleware counts."""
    mine, _ = shops["outer"].new_session(currency="EUR"), shops["inner"].new_session(currency="JPY")
    again = FakeEmporix("outer")
    innermost = around(Starlette(routes=[Route("/", page)]), again)
    inner = around(Starlette(routes=[Route("/", page), Mount("/again", innermost)]), shops["inner"])
    app = around(Starlette(routes=[Mount("/inner", inner)]), shops["outer"])

    shown = await get(app, "/inner/again/?to=USD", mine.token)

    assert shown.json() == {"currency": "USD", "same": True, "seen": ["session_ctx"]}
    assert held(shops["outer"], mine.session_id)["currency"] == "USD"
    assert held(shops["inner"], mine.session_id)["currency"] == "JPY"
    assert again.count() == 0


@pytest.mark.parametrize("tenant", ["outer", "inner"])
async def test_scope_without_a_state(shops: Fakes, tenant: str) -> None:
    """C3: What stands between two middlewares may give the inner one a scope of its own, without the state."""
    mine, _ = shops["outer"].new_session(currency="EUR"), shops["inner"].new_session(currency="JPY")
    inner = around(Starlette(routes=[Route("/", page)]), shops[tenant])

    async def between(scope: Any, receive: Any, send: Any) -> None:
        await inner({key: value for key, value in scope.items() if key != "state"}, receive, send)

    answer = await get(around(between, shops["outer"]), "/", mine.token)

    assert answer.json() == {
        "currency": "EUR" if tenant == "outer" else "JPY",
        "same": True,
        "seen": ["session_ctx"],
    }


async def test_state_of_the_outer_application(shops: Fakes) -> None:
    """C3: What else the outer application has put into the state is there inside, and nothing is reported."""
    mine, _ = shops["outer"].new_session(), shops["inner"].new_session()
    events: list[Any] = []
    inner = around(Starlette(routes=[Route("/", page)]), shops["inner"], on_event=events.append)

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["basket"] = "full"
        await inner(scope, receive, send)

    assert (await get(around(outer, shops["outer"]), "/", mine.token)).json()["seen"] == ["basket", "session_ctx"]
    assert [event.name for event in events if event.name == "state.shared"] == []


def test_websocket() -> None:
    """C3: It is the same for a WebSocket."""
    outer, inner = (FakeEmporix(tenant, seed=1) for tenant in ("outer", "inner"))
    token = outer.new_session(currency="EUR").token
    inner.new_session(currency="JPY")

    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text((await get_session_context(websocket)).currency or "")
        await websocket.close()

    options = {"clock": None, "store": None}
    app = around(around(Starlette(routes=[WebSocketRoute("/", chat)]), inner, **options), outer, **options)
    with (
        TestClient(app) as client,
        client.websocket_connect("/", headers={"Authorization": f"Bearer {token}"}) as socket,
    ):
        assert socket.receive_text() == "JPY"
