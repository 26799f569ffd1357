"""What people would use instead: each gets the same value to the same endpoint, and is imported only when asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from .apps import PATH, URL, Builder, Candidate, Shop, answer, endpoint, touch
from .servers import upstream

TTL = 3600
SIZE = 10_000

Document = dict[str, Any]
Fetch = Callable[[str], Awaitable[Document]]


def bearer(request: Request) -> str:
    """Return the token of a request, as a dependency of an application would."""
    scheme, _, token = request.headers["authorization"].partition(" ")
    if scheme.lower() != "bearer":
        raise PermissionError
    return token


async def _fetch(shop: Shop) -> Fetch:
    client = await shop.client()

    async def fetch(token: str) -> Document:
        response = await client.get(PATH, headers={"Authorization": f"Bearer {token}"})
        found: Document = response.raise_for_status().json()
        return found

    return fetch


def _reading(name: str, get: Fetch, shop: Shop) -> Candidate:
    async def read(request: Request) -> str:
        return str((await get(bearer(request)))["currency"])

    return Candidate(name, endpoint(read), shop.token)


async def ttl_cache(shop: Shop) -> Candidate:
    """A dependency written by hand."""
    from cachetools import TTLCache

    fetch, cache = await _fetch(shop), TTLCache[str, Document](SIZE, TTL)

    async def get(token: str) -> Document:
        found = cache.get(token)
        if found is None:
            found = cache[token] = await fetch(token)
        return found

    return _reading("cachetools.TTLCache, by hand", get, shop)


async def async_lru(shop: Shop) -> Candidate:
    """The decorator of async-lru."""
    from async_lru import alru_cache

    return _reading("async-lru", alru_cache(maxsize=SIZE, ttl=TTL)(await _fetch(shop)), shop)


async def cashews(shop: Shop) -> Candidate:
    """The decorator of cashews, in memory."""
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://", size=SIZE)
    shop.stack.push_async_callback(cache.close)
    return _reading("cashews, mem://", cache(ttl=TTL, key="context:{token}")(await _fetch(shop)), shop)


async def aiocache(shop: Shop) -> Candidate:
    """The decorator of aiocache, in memory."""
    from aiocache import SimpleMemoryCache, cached

    fetch = await _fetch(shop)
    keep = cached(ttl=TTL, cache=SimpleMemoryCache, key_builder=lambda _, token: token)
    return _reading("aiocache, SimpleMemoryCache", keep(fetch), shop)


async def starlette_context(shop: Shop) -> Candidate:
    """starlette-context, with a plugin that looks into a TTLCache."""
    from cachetools import TTLCache
    from starlette.requests import HTTPConnection
    from starlette_context import context
    from starlette_context.middleware import RawContextMiddleware
    from starlette_context.plugins import Plugin

    fetch, cache = await _fetch(shop), TTLCache[str, Document](SIZE, TTL)

    class SessionContext(Plugin):
        key = "session_ctx"

        async def process_request(self, request: Request | HTTPConnection) -> Document:
            token = request.headers["authorization"].partition(" ")[2]
            found = cache.get(token)
            if found is None:
                found = cache[token] = await fetch(token)
            return found

    async def read(_: Request) -> str:
        return str(context["session_ctx"]["currency"])

    app = RawContextMiddleware(endpoint(read), plugins=[SessionContext()])
    return Candidate("starlette-context and TTLCache", app, shop.token)


async def starsessions(shop: Shop) -> Candidate:
    """Sessions on the server, in memory, loaded where they are asked for."""
    from starsessions import InMemoryStore, SessionMiddleware, load_session

    values = {"site_code": "main", "currency": "EUR", "language": "en", "target_location": "DE"}

    async def read(request: Request) -> str:
        await load_session(request)
        if not request.session:
            request.session.update(values)
        return str(request.session["currency"])

    app = SessionMiddleware(endpoint(read), store=InMemoryStore(), cookie_https_only=False)
    headers, _ = await answer(app, shop.token)
    carried = next(value for name, value in headers if name.lower() == b"set-cookie")
    return Candidate("starsessions, InMemoryStore", app, shop.token, carried.partition(b";")[0])


async def hishel(shop: Shop) -> Candidate:
    """The cache of hishel around httpx, as RFC 9111 has it, in an SQLite database in memory."""
    import anysqlite
    from hishel import AsyncSqliteStorage, CacheOptions
    from hishel.httpx import AsyncCacheTransport

    storage = AsyncSqliteStorage(connection=await anysqlite.connect(":memory:"))
    transport = AsyncCacheTransport(httpx.ASGITransport(upstream), storage, rfc=CacheOptions(shared=False))
    client = await shop.stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=URL))

    async def get(token: str) -> Document:
        response = await client.get(f"{PATH}?cacheable", headers={"Authorization": f"Bearer {token}"})
        found: Document = response.json()
        return found

    return _reading("hishel on httpx", get, shop)


async def redis_store(shop: Shop) -> Candidate:
    """This middleware with a RedisStore, of which a hit in this process asks nothing."""
    from session_ctx_middleware.stores.redis import RedisStore

    from .servers import redis_server

    url = shop.stack.enter_context(redis_server())
    store = RedisStore(url)
    app = await shop.middleware(endpoint(touch), store=store)
    await store.load("warm")  # opens the subscription: until it stands, documents are believed for seconds only
    await asyncio.sleep(0.2)
    return Candidate("touched, hit, RedisStore", app, shop.token)


async def jinja_constant(shop: Shop) -> Candidate:
    """A template that is given the value."""

    def known(_: Request) -> Document:
        return {"session_ctx": {"currency": "EUR"}}

    return Candidate("Jinja, constant", _page(known), shop.token)


async def jinja_touched(shop: Shop) -> Candidate:
    """The same template with the context processor of this package."""
    from session_ctx_middleware.templating import context_processor

    app = await shop.middleware(_page(context_processor), preload=True)
    return Candidate("touched, hit, in Jinja", app, shop.token, floor="Jinja, constant")


def _page(processor: Callable[[Request], Document]) -> ASGIApp:
    from jinja2 import DictLoader, Environment
    from starlette.templating import Jinja2Templates

    text = "<p>Prices in {{ session_ctx.currency }}</p>"
    environment = Environment(loader=DictLoader({"page": text}), autoescape=True)
    templates = Jinja2Templates(env=environment, context_processors=[processor])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = templates.TemplateResponse(Request(scope, receive, send), "page")
        await response(scope, receive, send)

    return app


OURS: Sequence[Builder] = (redis_store, jinja_constant, jinja_touched)
OTHERS: Sequence[Builder] = (ttl_cache, async_lru, cashews, aiocache, starlette_context, starsessions, hishel)
