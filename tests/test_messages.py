"""The messages of an application belong to it: every one that leaves changed is a new one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from session_ctx_middleware import SharedCacheLeak
from session_ctx_middleware.testing import FakeEmporix

from .support.asgi import Message, middleware, never, scope_for

SECRET = "s" * 32


class Reuses:
    """A raw ASGI application that sends the same messages with every response, as raw ones do.

    Args:
        headers: of the response.
        touch: what it does with the context before.
    """

    def __init__(self, headers: Any, touch: Callable[[Any], Any]) -> None:
        self.messages: list[Message] = [
            {"type": "http.response.start", "status": 200, "headers": headers},
            {"type": "http.response.body", "body": b"x"},
        ]
        self._touch = touch

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        context = scope["state"]["session_ctx"]
        if scope["path"] != "/untouched":
            await self._touch(context)
        for message in self.messages:
            await send(message)


async def read(ctx: Any) -> None:
    await ctx


async def switch(ctx: Any) -> None:
    ctx.switch_currency("USD")


async def park(ctx: Any) -> None:
    ctx.set_attribute("note", "of one shopper")


GIVEN: list[Any] = [
    [(b"content-type", b"text/plain")],
    [(b"Cache-Control", b"public, max-age=60"), (b"Vary", b"Accept")],
    [[b"cdn-cache-control", b"max-age=60"], [b"x-accel-expires", b"60"]],
    ((b"cache-control", b"max-age=60"),),
    [],
]


async def sent(app: Any, token: str | None, path: str = "/") -> list[Message]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    await app(scope_for(token, path=path, scheme="https"), never, send)
    return messages


@pytest.mark.parametrize("touch", [read, switch, park], ids=lambda touch: touch.__name__)
@pytest.mark.parametrize("headers", GIVEN, ids=range(len(GIVEN)))
async def test_messages_stay_as_they_are(emporix: FakeEmporix, headers: Any, touch: Any) -> None:
    """One shopper's cookie and `private` do not go out with everybody's responses from then on."""
    inner = Reuses(headers, touch)
    app = middleware(inner, emporix, httpx2, secret_key=SECRET)
    before = copy.deepcopy(inner.messages)
    without_context = emporix.new_session(exists=False).token

    start, _ = await sent(app, without_context)
    untouched, body = await sent(app, emporix.new_session().token, "/untouched")

    assert b"cache-control" in dict(start["headers"])
    assert (b"set-cookie" in dict(start["headers"])) is (touch is not read)
    assert inner.messages == before
    assert untouched is inner.messages[0]
    assert body is inner.messages[1]


async def test_headers_that_can_be_read_once(emporix: FakeEmporix) -> None:
    """ASGI asks for an iterable of headers, which may be one that can be read only once."""

    async def once(scope: Any, receive: Any, send: Any) -> None:
        await read(scope["state"]["session_ctx"])
        await send({"type": "http.response.start", "status": 200, "headers": iter([(b"content-type", b"text/plain")])})

    start, *_ = await sent(middleware(once, emporix, httpx2), emporix.new_session().token)

    assert [name for name, _ in start["headers"]] == [b"content-type", b"vary", b"cache-control"]


async def test_strict_mode_changes_nothing_either(emporix: FakeEmporix) -> None:
    """A message that is refused stays as it is, too."""
    inner = Reuses([(b"cache-control", b"public")], read)
    before = copy.deepcopy(inner.messages)

    with pytest.raises(SharedCacheLeak):
        await sent(middleware(inner, emporix, httpx2, strict=True), emporix.new_session().token)

    assert inner.messages == before


async def test_messages_that_nobody_knows(emporix: FakeEmporix) -> None:
    """Early hints, trailers, files and whatever comes pass as the application sent them, the very same objects."""
    others: list[Message] = [
        {"type": "http.response.early_hint", "links": [b"</style.css>; rel=preload"]},
        {"type": "http.response.push", "path": "/style.css", "headers": []},
        {"type": "http.response.start", "status": 200, "headers": [], "trailers": True},
        {"type": "http.response.zerocopysend", "file": 3, "count": 10, "more_body": True},
        {"type": "http.response.pathsend", "path": "/srv/page.html"},
        {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": False},
        {"type": "http.response.unheard_of"},
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await read(scope["state"]["session_ctx"])
        for message in others:
            await send(message)

    passed = await sent(middleware(app, emporix, httpx2), emporix.new_session().token)

    starts = [index for index, message in enumerate(others) if message["type"] == "http.response.start"]
    assert [message is other for message, other in zip(passed, others, strict=True)].count(False) == len(starts) == 1
    assert passed[starts[0]]["trailers"] is True
    assert dict(passed[starts[0]]["headers"])[b"cache-control"] == b"private"
