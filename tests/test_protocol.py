"""ASGI on the wire: message order, lifespan, sub-applications, WebSockets, several loops, disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import import_module
from typing import Any

import pytest
from asgi_lifespan import LifespanManager
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from session_ctx_middleware import (
    ConfigurationError,
    ContextEvent,
    SessionContext,
    SessionContextMiddleware,
    get_session_context,
)
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.asgi import Message, middleware, never, scope_for
from .support.shop import Shop
from .support.virtual_time import VirtualClock


async def test_unknown_messages(emporix: FakeEmporix, http_library: Any) -> None:
    """Unknown messages pass through, untouched and in order."""
    messages: list[Message] = [
        {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]},
        {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")], "trailers": True},
        {"type": "http.response.body", "body": b"a", "more_body": True},
        {"type": "http.response.pathsend", "path": "/x"},
        {"type": "http.response.trailers", "headers": []},
        {"type": "made.up", "data": object()},
    ]
    sent: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    async def send(message: Message) -> None:
        sent.append(message)

    await middleware(app, emporix, http_library)(scope_for(None), never, send)

    assert all(one is other for one, other in zip(sent, messages, strict=True))


async def test_other_scope_types_pass_through(emporix: FakeEmporix, http_library: Any) -> None:
    """Other scope types pass through."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope))

    await middleware(app, emporix, http_library)({"type": "mqtt"}, never, never)  # type: ignore[arg-type]

    assert seen == [{"type": "mqtt"}]


async def test_response_without_headers(emporix: FakeEmporix, http_library: Any) -> None:
    """A response without headers gets its own."""
    session = emporix.new_session(currency="EUR")
    sent: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        _ = (await scope["state"]["session_ctx"]).currency
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    async def send(message: Message) -> None:
        sent.append(message)

    await middleware(app, emporix, http_library)(scope_for(session.token), never, send)

    assert sent[0]["headers"] == [(b"vary", b"Authorization"), (b"cache-control", b"private")]


async def test_commit_before_the_start(emporix: FakeEmporix, http_library: Any) -> None:
    """The commit is complete when the response starts."""
    session = emporix.new_session(currency="EUR")
    currency_at_start: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["session_ctx"].switch_currency("USD")
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Message) -> None:
        currency_at_start.append((emporix.document(session.session_id) or {})["currency"])

    await middleware(app, emporix, http_library)(scope_for(session.token), never, send)

    assert currency_at_start == ["USD"]


async def test_handle_is_visible_outside(emporix: FakeEmporix, http_library: Any) -> None:
    """The handle is visible to outer middleware and error handlers."""
    session = emporix.new_session(currency="EUR")
    seen: list[Any] = []

    class Outer(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
            request.state.early = True
            response = await call_next(request)
            seen.append(request.state.session_ctx.currency)
            return response

    async def failed(request: Request, _: Exception) -> Response:
        seen.append(request.state.session_ctx.currency)
        return PlainTextResponse("sorry", 500)

    async def boom(request: Request) -> Response:
        await request.state.session_ctx
        raise ValueError

    async def page(request: Request) -> Response:
        return PlainTextResponse((await request.state.session_ctx).currency)

    app = Starlette(
        routes=[Route("/boom", boom), Route("/", page)],
        exception_handlers={Exception: failed},
        middleware=[
            Middleware(Outer),
            Middleware(
                SessionContextMiddleware,
                tenant="acme",
                http_client=emporix.client(http_library),
                clock=VirtualClock(),
            ),
        ],
    )
    httpx2 = import_module("httpx2")
    headers = {"Authorization": f"Bearer {session.token}"}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app, raise_app_exceptions=False)) as browser:
        assert (await browser.get("http://shop/", headers=headers)).text == "EUR"
        assert (await browser.get("http://shop/boom", headers=headers)).text == "sorry"

    assert seen == ["EUR", "EUR"]


async def test_mounted_twice(emporix: FakeEmporix, http_library: Any) -> None:
    """Where the middleware is mounted twice, the outer one wins."""
    session = emporix.new_session(currency="EUR")
    inner_calls = FakeEmporix()
    contexts: list[SessionContext] = []

    async def page(request: Request) -> Response:
        contexts.append(get_session_context(request))
        return PlainTextResponse((await request.state.session_ctx).currency)

    sub = middleware(Starlette(routes=[Route("/page", page)]), inner_calls, http_library)
    app = middleware(Starlette(routes=[Mount("/sub", sub)]), emporix, http_library)
    httpx2 = import_module("httpx2")
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app)) as browser:
        response = await browser.get("http://shop/sub/page", headers={"Authorization": f"Bearer {session.token}"})

    assert response.text == "EUR"
    assert (emporix.count("context.get"), inner_calls.count()) == (1, 0)


async def test_shared_state(emporix: FakeEmporix, http_library: Any) -> None:
    """Two requests that a server gives one state do not see each other.

    asgi-lifespan hands the same state to every request, against the ASGI specification.
    """
    first, second = emporix.new_session(currency="EUR"), emporix.new_session(currency="USD")
    events: list[ContextEvent] = []
    httpx2 = import_module("httpx2")

    async def page(request: Request) -> Response:
        await request.state.session_ctx
        await asyncio.sleep(1)
        return PlainTextResponse(request.state.session_ctx.currency)

    app = middleware(Starlette(routes=[Route("/", page)]), emporix, http_library, on_event=events.append)
    async with LifespanManager(app) as manager:
        transport = httpx2.ASGITransport(manager.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://shop") as browser:
            answers = await asyncio.gather(
                *(
                    browser.get("/", headers={"Authorization": f"Bearer {session.token}"})
                    for session in (first, second, first, second)
                )
            )

    assert [answer.text for answer in answers] == ["EUR", "USD", "EUR", "USD"]
    assert "state.shared" in {event.name for event in events}


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
async def test_disconnect_during_the_commit(emporix: FakeEmporix, http_library: Any, spec_version: str) -> None:
    """A disconnect during the commit does not stop it."""
    from starlette.responses import StreamingResponse

    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=1.0))

    async def page(request: Request) -> Response:
        request.state.session_ctx.switch_currency("USD")

        async def body() -> AsyncIterator[Any]:
            yield b"x"

        return StreamingResponse(body())

    async def receive() -> Message:
        await asyncio.sleep(0.5)
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        pass

    app = middleware(Starlette(routes=[Route("/", page)]), emporix, http_library)
    scope = scope_for(session.token, asgi={"version": "3.0", "spec_version": spec_version})
    await asyncio.gather(app(scope, receive, send), return_exceptions=True)
    await asyncio.sleep(2)

    assert (emporix.document(session.session_id) or {})["currency"] == "USD"


async def test_websocket(emporix: FakeEmporix, http_library: Any) -> None:
    """A WebSocket loads lazily, and commits by itself."""
    session = emporix.new_session(currency="EUR")
    events: list[ContextEvent] = []

    class Chat(WebSocketEndpoint):
        encoding = "text"

        async def on_receive(self, websocket: WebSocket, data: str) -> None:
            ctx = await get_session_context(websocket)
            if data != "show":
                ctx.switch_currency(data)
                await ctx.commit()
            await websocket.send_text(f"{ctx.currency} {ctx.source('currency')}")

    class Forgetful(WebSocketEndpoint):
        async def on_connect(self, websocket: WebSocket) -> None:
            websocket.state.session_ctx.switch_currency("CHF")
            await websocket.accept()
            await websocket.close()

    app = SessionContextMiddleware(
        Starlette(routes=[WebSocketRoute("/chat", Chat), WebSocketRoute("/forgetful", Forgetful)]),
        tenant="acme",
        http_client=emporix.client(http_library),
        on_event=events.append,
    )
    headers = {"Authorization": f"Bearer {session.token}"}

    def talk() -> list[str]:
        answers = []
        with TestClient(app) as client:
            with client.websocket_connect("/chat", headers=headers) as socket:
                for word in ("show", "USD", "show"):
                    socket.send_text(word)
                    answers.append(socket.receive_text())
            with client.websocket_connect("/forgetful", headers=headers):
                pass
        return answers

    emporix.now = lambda: 1.79e9
    assert await asyncio.to_thread(talk) == ["EUR document", "USD document", "USD document"]
    assert (emporix.document(session.session_id) or {})["currency"] == "USD"
    assert [event.name for event in events if event.name == "changes.uncommitted"] == ["changes.uncommitted"]


async def test_sync_endpoint(emporix: FakeEmporix, http_library: Any) -> None:
    """A sync endpoint reads without awaiting."""
    session = emporix.new_session(currency="EUR")

    def page(request: Request) -> Response:
        ctx = request.state.session_ctx
        before = ctx.currency
        ctx.switch_currency("USD")
        return PlainTextResponse(f"{before} {ctx.currency}")

    app = SessionContextMiddleware(
        Starlette(routes=[Route("/", page)]), tenant="acme", http_client=emporix.client(http_library)
    )

    def visit() -> str:
        with TestClient(app) as client:
            return str(client.get("/", headers={"Authorization": f"Bearer {session.token}"}).text)

    emporix.now = lambda: 1.79e9
    assert await asyncio.to_thread(visit) == "EUR USD"
    assert (emporix.document(session.session_id) or {})["currency"] == "USD"


async def test_missing_middleware(emporix: FakeEmporix) -> None:
    """Without the middleware, the error says what to add."""
    with pytest.raises(ConfigurationError, match="Middleware"):
        get_session_context(Request(scope_for(None)))


async def test_stats_count(shop: Shop, emporix: FakeEmporix, http_library: Any) -> None:
    """`stats` counts."""
    session = emporix.new_session(currency="EUR")

    async def page(request: Request) -> Response:
        return PlainTextResponse((await request.state.session_ctx).currency)

    app = middleware(Starlette(routes=[Route("/", page)]), emporix, http_library)
    httpx2 = import_module("httpx2")
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app)) as browser:
        for _ in range(3):
            await browser.get("http://shop/", headers={"Authorization": f"Bearer {session.token}"})

    stats = app.stats()
    assert (stats["hits"], stats["misses"], stats["upstream_gets"]) == (2, 1, 1)
