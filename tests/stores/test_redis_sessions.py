"""Sessions in Redis: all workers know them, one of them refreshes each, and a Redis that fails ends none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
from redis.asyncio import Redis

from session_ctx_middleware import ContextDefaults, SessionContext, UpstreamPolicy
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.stores.redis import RedisStore
from session_ctx_middleware.testing import FakeEmporix, Fault, Quirks

from ..support.hours import Hours
from ..support.redis_server import RedisServer
from ..support.shop import Shop
from .conftest import PATIENT
from .helpers import MakeRedisStore, eventually

pytestmark = pytest.mark.redis

SECRET = "a secret that all workers of this shop share"
MakeWorker = Callable[..., Shop]
UNHURRIED = UpstreamPolicy(deadline=60.0, commit_deadline=60.0, timeout=60.0, total_timeout=60.0)


@pytest.fixture(autouse=True)
def patient_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a busy machine time, where its speed is not the subject."""
    monkeypatch.setattr("session_ctx_middleware.sessions.sealed_tokens.PATIENCE", PATIENT)


@pytest.fixture
def hours() -> Hours:
    return Hours()


@pytest.fixture
def emporix(hours: Hours) -> FakeEmporix:
    return FakeEmporix(context_at="login", quirks=Quirks(refresh_reuse="refused"), now=hours.time)


@pytest.fixture
async def make_worker(emporix: FakeEmporix, hours: Hours) -> AsyncIterator[MakeWorker]:
    """Build workers of one shop, before which one browser stands."""
    workers: list[Shop] = []

    def make(store: RedisStore, *, keep: Any = "cookie") -> Shop:
        sessions = StorefrontSessions("storefront", keep=keep)
        defaults = ContextDefaults(currency="EUR")
        options = {"secret_key": SECRET, "defaults": defaults, "upstream": UNHURRIED, "clock": hours}
        worker = Shop(emporix, httpx2, token=sessions, store=store, **options)
        if workers:
            worker.browser._cookies = workers[0].browser._cookies
        workers.append(worker)
        return worker

    yield make
    for worker in workers:
        layer: Any = worker.app.middleware_stack
        while not hasattr(layer, "aclose"):
            layer = layer.app
        await layer.aclose()
        await worker.browser.aclose()
        await worker.upstream_client.aclose()


async def who(ctx: SessionContext, _: Any) -> str:
    return (await ctx).session_id or ""


@pytest.mark.parametrize("kept", ["in the browser", "in Redis"])
async def test_one_refresh_over_all_workers(
    *,
    kept: str,
    shared_server: RedisServer,
    make_redis_store: MakeRedisStore,
    make_worker: MakeWorker,
    emporix: FakeEmporix,
    hours: Hours,
) -> None:
    """Three workers with one Redis refresh a token once, wherever it is kept."""
    stores = [make_redis_store(shared_server.url) for _ in range(3)]
    workers = [make_worker(store, keep=store if kept == "in Redis" else "cookie") for store in stores]
    session = (await workers[0].visit(who)).text
    assert session
    for count in (1, 2):
        hours.passed += 3500.0
        emporix.fault("anonymous.refresh", Fault(delay=0.2))
        pages = await asyncio.gather(*(worker.visit(who) for worker in workers for _ in range(3)))
        assert {page.text for page in pages} == {session}
        assert emporix.count("anonymous.refresh") == count
    assert emporix.count("anonymous.login") == 1


async def test_nothing_to_read(
    shared_server: RedisServer,
    make_redis_store: MakeRedisStore,
    make_worker: MakeWorker,
    emporix: FakeEmporix,
    namespace: str,
) -> None:
    """Whoever reads all of Redis finds neither a token nor the id of a session or of a browser, and all of it ends."""
    store = make_redis_store(shared_server.url)
    worker = make_worker(store, keep=store)
    session = (await worker.visit(who)).text
    client = Redis(port=shared_server.port)
    found: list[Any] = []
    async for key in client.scan_iter(f"{namespace}:*tokens:*"):
        assert 0 < await client.pttl(key) <= 26 * 3600 * 1000
        found += [key, await client.get(key)]
    await client.aclose()

    assert found
    secrets = [session, *emporix._world.access, *emporix._world.refresh]
    assert not [each for each in secrets if each.encode() in b" ".join(found)]


async def test_redis_that_fails(
    server: RedisServer, make_redis_store: MakeRedisStore, make_worker: MakeWorker, emporix: FakeEmporix
) -> None:
    """While Redis does not answer no session is begun, replaced or cleared; when it does they are there again."""
    store = make_redis_store(server.url, budget=0.3)
    worker = make_worker(store, keep=store)
    session = (await worker.visit(who)).text
    cookies = dict(worker.browser.cookies)
    server.pause()
    try:
        for _ in range(5):
            page = await worker.visit(who)
            assert (page.status_code, page.text) == (200, "")
    finally:
        server.resume()
    assert dict(worker.browser.cookies) == cookies

    async def is_back() -> bool:
        return (await worker.visit(who)).text == session

    await eventually(is_back, within=30.0)
    assert emporix.count("anonymous.login") == 1
