"""Compares what an application sends with what comes out of the middleware: nothing may differ but headers of ours."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Comparison", "Inside", "Outside", "odd_headers"]

SENT: Final = "every_application.sent"
OUR_COOKIE: Final = re.compile(rb"(?:__Host-)?session_ctx\.")
# For each field, what may be added, and what may go: the table of docs/compatibility.md.
ADDED: Final = {b"vary": {b"authorization", b"cookie"}, b"cache-control": {b"private"}}
GONE: Final = {b"vary": set[bytes](), b"cache-control": {b"public", b"s-maxage", b"proxy-revalidate"}}

Fields = Iterable[tuple[bytes, bytes]]


class Comparison:
    """What came out of the middleware, beside what the applications within have sent.

    Attributes:
        odd: what differs and is not ours.
        with_ours: how many answers had headers of ours.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget what was before."""
        self.odd: list[str] = []
        self.with_ours = 0

    def compare(self, original: Message, message: Message) -> None:
        """Take one message, as it was sent and as it came out."""
        self.odd += odd_parts(original, message)
        self.with_ours += list(original.get("headers", ())) != list(message.get("headers", ()))


class Outside:
    """Around the middleware: compares each message, and sends on what the application has sent.

    Args:
        app: the middleware, with `Inside` within.
        comparison: takes both.
    """

    def __init__(self, app: ASGIApp, comparison: Comparison) -> None:
        self._app = app
        self._comparison = comparison

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        sent: deque[Message] = deque()
        scope[SENT] = sent

        async def compare(message: Message) -> None:
            original = sent.popleft() if sent else {"type": "nothing"}
            self._comparison.compare(original, message)
            await send(original)

        await self._app(scope, receive, compare)


class Inside:
    """Within the middleware: takes down each message that the application sends.

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent = scope.pop(SENT, None)
        if sent is None:
            await self._app(scope, receive, send)
            return

        async def take_down(message: Message) -> None:
            sent.append({**message, **({"headers": list(message["headers"])} if "headers" in message else {})})
            await send(message)

        await self._app(scope, receive, take_down)


def odd_parts(original: Message, message: Message) -> list[str]:
    """Return how a message differs from what the application sent, but for headers that are ours."""
    odd = [
        f"{message['type']}: {name} was {original.get(name)!r}, and is {message.get(name)!r}"
        for name in sorted(original.keys() | message.keys())
        if name != "headers" and original.get(name) != message.get(name)
    ]
    return odd or odd_headers(original.get("headers", ()), message.get("headers", ()))


def odd_headers(original: Fields, fields: Fields) -> list[str]:
    """Return what differs between the headers of an application and those that came out, and is not ours."""
    before = [(name.lower(), value) for name, value in original]
    after = [(name.lower(), value) for name, value in fields]
    after = [
        each for each in after if not (each[0] == b"set-cookie" and OUR_COOKIE.match(each[1]) and each not in before)
    ]
    odd = []
    for name in ADDED:
        was, now = _members(before, name), _members(after, name)
        if not (_names(now - was) <= ADDED[name] and _names(was - now) <= GONE[name]):
            odd.append(f"{name.decode()} was {was}, and is {now}")
    others = [[each for each in each_side if each[0] not in ADDED] for each_side in (before, after)]
    if others[0] != others[1]:
        odd.append(f"headers were {others[0]}, and are {others[1]}")
    return odd


def _members(fields: Fields, name: bytes) -> set[bytes]:
    """Return what a field lists, over all its lines."""
    return {
        part.strip().lower() for each, value in fields if each == name for part in value.split(b",") if part.strip()
    }


def _names(members: Iterable[bytes]) -> set[bytes]:
    return {each.partition(b"=")[0] for each in members}
