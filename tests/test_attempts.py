"""A server or a dispatcher may ask again with the same scope, and a handshake may be refused by a page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from session_ctx_middleware import ContextEvent
from session_ctx_middleware.testing import FakeEmporix

from .support.asgi import Message, middleware, never, scope_for
from .support.shop import held

SECRET = "s" * 32


def answering(status: int, work: Callable[[Any], Any] | None = None) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        context = scope["state"]["session_ctx"]
        if work is not None:
            await work(context)
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"x"})

    return app


async def read(ctx: Any) -> None:
    await ctx


async def switch(ctx: Any) -> None:
    ctx.switch_currency("USD")


class Cascade:
    """Asks one application after the other until one knows the page.

    Args:
        apps: in this order.
    """

    def __init__(self, *apps: Any) -> None:
        self._apps = apps

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        for app in self._apps:
            messages: list[Message] = []

            async def keep(message: Message, messages: list[Message] = messages) -> None:
                messages.append(message)

            try:
                await app(scope, receive, keep)
            except KeyError:
                continue
            if messages[0]["status"] != 404:
                for message in messages:
                    await send(message)
                return


async def broken(ctx: Any) -> None:
    await ctx
    raise KeyError


@pytest.mark.parametrize("first", [answering(404), answering(404, read), answering(200, broken)], ids=range(3))
@pytest.mark.parametrize("work", [read, switch], ids=lambda work: work.__name__)
async def test_second_attempt(emporix: FakeEmporix, http_library: Any, first: Any, work: Any) -> None:
    """What is asked after the first answer was thrown away, or there was none, is a request of its own."""
    events: list[ContextEvent] = []
    session, sent = emporix.new_session(currency="EUR"), list[Message]()

    async def send(message: Message) -> None:
        sent.append(message)

    options = {"secret_key": SECRET, "on_event": events.append}
    apps = [middleware(each, emporix, http_library, **options) for each in (first, answering(200, work))]
    await Cascade(*apps)(scope_for(session.token), never, send)

    headers = dict(sent[0]["headers"])
    assert headers[b"cache-control"] == b"private"
    assert held(emporix, session.session_id)["currency"] == ("USD" if work is switch else "EUR")
    assert not [event for event in events if event.name in {"leak.late", "state.shared"}]


@pytest.mark.parametrize("touched", [True, False])
async def test_refused_handshake(emporix: FakeEmporix, http_library: Any, *, touched: bool) -> None:
    """The page that refuses a WebSocket (ASGI's denial response) is as personal as any other."""
    start = {"type": "websocket.http.response.start", "status": 403, "headers": [(b"cache-control", b"max-age=60")]}
    sent: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if touched:
            await scope["state"]["session_ctx"]
        await send(start)
        await send({"type": "websocket.http.response.body", "body": b"Sorry"})

    async def send(message: Message) -> None:
        sent.append(message)

    token = emporix.new_session().token
    await middleware(app, emporix, http_library)(scope_for(token, type="websocket"), never, send)

    assert dict(sent[0]["headers"])[b"cache-control"] == (b"private, max-age=60" if touched else b"max-age=60")
    assert (b"vary" in dict(sent[0]["headers"])) is touched
    assert start["headers"] == [(b"cache-control", b"max-age=60")]
