"""An upstream inside this process, which answers at once: what is left is what a miss does around its client's GET."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import import_module
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Scope

from session_ctx_middleware import CachePolicy, SessionContextMiddleware
from session_ctx_middleware.stores import MemoryStore

from .apps import PATH, SECRET, TENANT, endpoint, make_scope, raw_headers, receive, send, touch
from .timing import Contender

__all__ = ["BARE_GET", "MISS", "MISS_WITH_COOKIE", "calls_of", "miss_contenders"]

ADDRESS = "https://emporix.test"
BARE_GET, MISS, MISS_WITH_COOKIE = "bare GET", "miss", "miss, continuity cookie"
CONTENT_TYPE = (b"content-type", b"application/json")
NOTE = "n" * 120
WARM_UP = 60
"""Requests before: after fifty answers their mean counts, too."""


def miss_contenders(library: str) -> list[Contender]:
    """Return the bare GET of an HTTP client and misses through the same client; each request has a new token.

    Args:
        library: ``httpx`` or ``httpx2``.
    """
    tokens = (f"token-{number:024d}" for number in itertools.count())

    def prepare() -> Scope:
        return make_scope(raw_headers(next(tokens)))

    client = _client(library)
    apps: dict[str, ASGIApp]
    apps = {BARE_GET: endpoint(_bare_get(client)), MISS: _missing(client), MISS_WITH_COOKIE: _missing(client, SECRET)}
    return [Contender(f"{library}, {name}", calling(app), prepare) for name, app in apps.items()]


def calling(app: ASGIApp) -> Callable[[Scope], Awaitable[None]]:
    """Return what answers one request, and does what the application has left for later."""

    async def call(scope: Scope) -> None:
        await app(scope, receive, send)
        await asyncio.sleep(0)

    return call


def _missing(client: Any, secret_key: str | None = None) -> SessionContextMiddleware:
    return SessionContextMiddleware(
        endpoint(touch),
        tenant=TENANT,
        base_url=ADDRESS,
        http_client=client,
        cache=CachePolicy(stale_while_revalidate=0),
        store=MemoryStore(),
        secret_key=secret_key,
    )


def _bare_get(client: Any) -> Callable[[Request], Awaitable[str]]:
    async def handler(request: Request) -> str:
        await client.get(ADDRESS + PATH, headers={"Authorization": request.headers["authorization"]})
        return "EUR"

    return handler


def _client(name: str) -> Any:
    library: Any = import_module(name)
    bodies = (_body(number) for number in itertools.count())

    class Answers(library.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, _request: object) -> Any:
            await asyncio.sleep(0)  # as every call that goes out, this one lets the event loop go on
            return library.Response(200, headers=[CONTENT_TYPE], stream=Body(next(bodies)))

    class Body(library.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, body: bytes) -> None:
            self._body = body

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield self._body

    return library.AsyncClient(transport=Answers())


def _body(number: int) -> bytes:
    """Return a context of about 600 bytes, of a session that nobody has seen."""
    document = {
        "sessionId": f"session-{number:028d}",
        "customerId": "ANONYMOUS",
        "siteCode": "main",
        "currency": "EUR",
        "targetLocation": "DE",
        "language": "en",
        "cartId": f"{number:024d}",
        "context": {"segment": "b2c", "campaign": "winter", "store": {"id": "berlin-1", "pickup": True}, "note": NOTE},
        "metadata": {"version": 7, "createdAt": "2026-01-01T00:00:00.000Z", "modifiedAt": "2026-01-02T00:00:00.000Z"},
    }
    return json.dumps(document).encode()


def calls_of(contender: Contender, requests: int = 20) -> float:
    """Return how many functions one request calls, of Python and of C: what no other load on the machine disturbs."""
    called = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal called
        called += event in {"call", "c_call"}

    async def count() -> None:
        for _ in range(WARM_UP):
            await contender.call(contender.prepare())
        scopes = [contender.prepare() for _ in range(requests)]
        sys.setprofile(note)
        for scope in scopes:
            await contender.call(scope)
        sys.setprofile(None)

    asyncio.run(count())
    return called / requests


if __name__ == "__main__":
    print(json.dumps({each.name: calls_of(each) for each in miss_contenders(sys.argv[1])}))
