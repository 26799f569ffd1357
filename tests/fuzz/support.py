"""What the fuzz tests share: settings, virtual time for every example, one page, and an Emporix that says anything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import httpx2
import pytest
from hypothesis import HealthCheck, settings

from session_ctx_middleware import CachePolicy, ContextEvent, SessionContext, SessionContextMiddleware
from session_ctx_middleware.model.frozen_json import plain
from session_ctx_middleware.stores import MemoryStore

from ..support.examples import EXAMPLES
from ..support.virtual_time import VirtualClock, VirtualTimeLoop

CANARY = "canary-7f3a"
"""Stands in bodies and tokens, and must never be read in an error, an event or a log line."""

Headers = Sequence[tuple[bytes, bytes]]
Handler = Callable[[SessionContext], Awaitable[str | int | None]]

with_both_libraries = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])


def fuzz(examples: int = 80, **options: Any) -> settings:
    """Return the settings of one property: the same examples in every short run, new ones in a long one."""
    share = max(EXAMPLES * examples // 80, 1)
    return settings(
        max_examples=share if EXAMPLES else max(examples // 4, 1),
        derandomize=not EXAMPLES,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        **options,
    )


def play(work: Callable[[], Awaitable[None]]) -> None:
    """Run one example in virtual time; what nobody has noticed in the loop fails it."""
    unnoticed: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unnoticed.append(context))
        await work()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(watched())
    assert not unnoticed


@contextmanager
def overheard() -> Iterator[list[str]]:
    """Collect every log line, of every logger."""
    lines: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{self.format(record)} {vars(record)!r}")

    root, ear = logging.getLogger(), Ear(logging.DEBUG)
    level = root.level
    root.addHandler(ear)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.removeHandler(ear)
        root.setLevel(level)


@dataclass(frozen=True)
class Reply:
    """One answer of Emporix, byte for byte; what it is asked for is not looked at."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    chunk: int = 65_536


@dataclass(frozen=True)
class Asked:
    """One call that arrived."""

    method: str
    authorization: bytes
    body: bytes


class Upstream:
    """An Emporix that answers whatever an example wants.

    Args:
        library: httpx or httpx2, whose client the calls come from.
        get: the answer to a GET.
        patch: the answer to a PATCH.
    """

    def __init__(self, library: Any, get: Reply, patch: Reply | None = None) -> None:
        self.get = get
        self.patch = patch or Reply(204)
        self.calls: list[Asked] = []
        self._library = library
        self.client = library.AsyncClient(transport=library.MockTransport(self._answer))

    def count(self, method: str) -> int:
        return sum(call.method == method for call in self.calls)

    async def _answer(self, request: Any) -> Any:
        authorization = dict(request.headers.raw).get(b"Authorization", request.headers.get("authorization", ""))
        authorization = authorization if isinstance(authorization, bytes) else authorization.encode("latin-1")
        self.calls.append(Asked(request.method, authorization, request.content))
        reply = self.reply(self.calls[-1])
        # An iterator, as from the network: bytes would be decoded while the answer is still being made.
        return self._library.Response(reply.status, headers=list(reply.headers), content=_chunks(reply))

    def reply(self, call: Asked) -> Reply:
        return self.get if call.method == "GET" else self.patch


async def _chunks(reply: Reply) -> AsyncIterator[bytes]:
    for start in range(0, len(reply.body), reply.chunk):
        yield reply.body[start : start + reply.chunk]


@dataclass(frozen=True)
class Page:
    """What the browser got."""

    status: int
    text: str
    headers: Headers


class Site:
    """The middleware around one endpoint, called as a server calls it, so that nothing cleans the headers before.

    Args:
        client: the HTTP client for Emporix.
        options: keywords of the middleware.
    """

    def __init__(self, client: Any, **options: Any) -> None:
        self.events: list[ContextEvent] = []
        clock, size = VirtualClock(), options.get("cache", CachePolicy()).max_entries
        options.setdefault("store", MemoryStore(max_entries=size, clock=clock))  # as if in a process of its own
        self.middleware = SessionContextMiddleware(
            self._endpoint, tenant="acme", http_client=client, clock=clock, on_event=self.events.append, **options
        )

    async def visit(self, handler: Handler, headers: Headers = (), *, token: str | None = None) -> Page:
        """Send one request that `handler` answers; what it raises comes out here."""
        if token is not None:
            headers = [(b"authorization", b"Bearer " + token.encode("latin-1")), *headers]
        scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "query_string": b""}
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope |= {"headers": list(headers), "handler": handler}
        await self.middleware(scope, _receive, send)
        return Page(sent[0]["status"], sent[1]["body"].decode(), sent[0]["headers"])

    async def _endpoint(self, scope: Any, receive: Any, send: Any) -> None:
        answer = await scope["handler"](scope["state"]["session_ctx"])
        status, text = (answer, "") if isinstance(answer, int) else (200, answer or "")
        body = text.encode()  # as a response does it: strictly
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})


async def _receive() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


async def page(ctx: SessionContext) -> str:
    """Show everything, as a template might."""
    await ctx
    texts = (ctx.site_code, ctx.currency, ctx.language, ctx.target_location, ctx.cart_id, ctx.customer_id)
    flags = (ctx.exists, ctx.is_logged_in, ctx.is_stale, ctx.is_degraded, ctx.is_rejected)
    return f"{texts} {flags} {ctx.version} {plain(ctx.attributes)} {plain(ctx.pending)} {ctx.exists}"


async def currency(ctx: SessionContext) -> str:
    """Show the currency."""
    return (await ctx).currency or "none"
