"""Whole shops, each a worker of its own, that share one Redis and nothing else."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import CachePolicy, SessionContext, SessionContextMiddleware, UpstreamPolicy
from session_ctx_middleware.clock import SystemClock
from session_ctx_middleware.stores.redis import RedisStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.fault_proxy import FaultProxy
from ..support.redis_server import RedisServer
from ..support.shop import Shop
from .conftest import PATIENT
from .helpers import SLOW, MakeRedisStore, attached, eventually

pytestmark = pytest.mark.redis

MakeWorker = Callable[..., Shop]
UNHURRIED = UpstreamPolicy(deadline=60.0, commit_deadline=60.0, timeout=60.0, total_timeout=60.0)


@pytest.fixture
def emporix() -> FakeEmporix:
    return FakeEmporix(now=time.time)


@pytest.fixture
async def make_worker(emporix: FakeEmporix, http_library: Any, namespace: str) -> AsyncIterator[MakeWorker]:
    """Build workers of one shop, and shut them down as a lifespan would."""
    shops: list[Shop] = []

    def make(url: str, **options: Any) -> Shop:
        store = RedisStore(url, namespace=namespace, budget=options.pop("budget", PATIENT))
        options.setdefault("upstream", UNHURRIED)
        shops.append(Shop(emporix, http_library, store=store, clock=SystemClock(), **options))
        return shops[-1]

    yield make
    for shop in shops:
        await shop.browser.aclose()
        await stop(shop)
        await shop.upstream_client.aclose()


@pytest.fixture
def workers(make_worker: MakeWorker, shared_server: RedisServer) -> tuple[Shop, Shop]:
    return make_worker(shared_server.url), make_worker(shared_server.url)


def patches(emporix: FakeEmporix) -> int:
    return emporix.count("context.patch")


def held(emporix: FakeEmporix, session_id: str) -> object:
    return (emporix.document(session_id) or {}).get("currency")


async def ask_emporix(ctx: SessionContext, _: Request) -> None:
    await ctx.refresh()


async def log_out(ctx: SessionContext, _: Request) -> None:
    await ctx.forget()


async def stop(shop: Shop) -> None:
    """Close the middleware, as the end of a lifespan does."""
    middleware = getattr(shop.app.middleware_stack, "app", None)
    if isinstance(middleware, SessionContextMiddleware):
        await middleware.aclose()


async def test_switch_is_read_on_the_next(workers: tuple[Shop, Shop], emporix: FakeEmporix) -> None:
    """A switch on one worker is read on the next."""
    session = emporix.new_session(currency="EUR")
    for number, currency in enumerate(["USD", "CHF", "GBP", "EUR", "USD"]):
        await workers[number % 2].switch(session.token, currency=currency)
        assert await workers[(number + 1) % 2].currency(session.token) == currency
    assert patches(emporix) == 5


async def test_f20_other_token_other_worker(workers: tuple[Shop, Shop], emporix: FakeEmporix) -> None:
    """F20: Another token of the session sees the change on another worker."""
    one, two = workers
    session = emporix.new_session(currency="EUR")
    refreshed = emporix.new_token(session.session_id)
    assert await one.currency(session.token) == "EUR"
    assert await two.currency(refreshed) == "EUR"

    await two.switch(refreshed, currency="USD")

    async def shown() -> bool:
        return await one.currency(session.token) == "USD"

    assert await eventually(shown) < 1.0 * SLOW


async def test_f27_slow_answer(
    workers: tuple[Shop, Shop], make_worker: MakeWorker, shared_server: RedisServer, emporix: FakeEmporix
) -> None:
    """F27: A slow answer does not bring an old document back."""
    one, two = workers
    session = emporix.new_session(currency="EUR")
    await two.currency(session.token)
    emporix.fault("context.get", Fault(delay_after=0.4), times=1)
    slow = asyncio.create_task(one.visit(ask_emporix, token=session.token))
    await asyncio.sleep(0.1)

    await two.switch(session.token, currency="USD")
    await slow

    third = make_worker(shared_server.url)
    assert [await shop.currency(session.token) for shop in (third, one)] == ["USD", "USD"]


async def test_f32_revoked_everywhere(
    make_worker: MakeWorker, shared_server: RedisServer, emporix: FakeEmporix
) -> None:
    """F32: What one worker learns of a revoked token takes it from all."""
    one = make_worker(shared_server.url, cache=CachePolicy(ttl=600))
    two = make_worker(shared_server.url, cache=CachePolicy(ttl=600))
    session = emporix.new_session(currency="EUR")
    assert [await shop.currency(session.token) for shop in (one, two)] == ["EUR", "EUR"]
    emporix.revoke(session.token)

    await one.visit(ask_emporix, token=session.token)

    async def gone() -> bool:
        return await two.currency(session.token) is None

    assert await eventually(gone) < 1.0 * SLOW


async def test_f33_context_appears(workers: tuple[Shop, Shop], emporix: FakeEmporix) -> None:
    """F33: A context that appears is seen by all workers, and takes the choice once."""
    one, two = workers
    session = emporix.new_session(exists=False)
    await one.switch(session.token, currency="USD")
    assert await two.currency(session.token) == "USD", "a choice shows on a worker that did not take it"
    emporix.create_context(session.session_id)

    async def cart(ctx: SessionContext, _: Request) -> None:
        await ctx.cart_created()

    await two.visit(cart, token=session.token)

    assert (await one.currency(session.token), patches(emporix)) == ("USD", 1)
    await asyncio.sleep(0.1)
    assert [await shop.currency(session.token) for shop in workers] == ["USD", "USD"]
    assert (held(emporix, session.session_id), patches(emporix)) == ("USD", 1)


async def test_f39_choice_outlives_worker(workers: tuple[Shop, Shop], emporix: FakeEmporix) -> None:
    """F39: A choice outlives the worker that took it."""
    one, two = workers
    session = emporix.new_session(exists=False)
    await one.switch(session.token, currency="USD")
    await stop(one)
    emporix.create_context(session.session_id)

    assert await two.currency(session.token) == "USD"
    assert (held(emporix, session.session_id), patches(emporix)) == ("USD", 1)


async def test_f21_logged_once(
    make_worker: MakeWorker, proxy: FaultProxy, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture
) -> None:
    """F21: A Redis that is gone is logged once, and not with every page."""
    shop = make_worker(proxy.url, budget=0.2)
    await shop.currency(emporix.new_session(currency="EUR").token)
    await proxy.refuse()

    for _ in range(30):
        session = emporix.new_session(currency="EUR")
        assert await shop.currency(session.token) == "EUR"
        await shop.switch(session.token, currency="USD")
        assert await shop.currency(session.token) == "USD"

    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [text for text in told if "left alone" in text]
    assert len(told) <= 5


async def test_f39_shutdown_despite_silence(make_worker: MakeWorker, proxy: FaultProxy, emporix: FakeEmporix) -> None:
    """F39: A Redis that does not answer does not keep the shop from shutting down."""
    shop = make_worker(proxy.url, budget=0.05)
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    proxy.blackhole()
    await shop.switch(session.token, currency="USD")

    began = time.monotonic()
    await stop(shop)

    assert time.monotonic() - began < 2.0 * SLOW


async def test_f32_late_logout_keeps_change(
    make_worker: MakeWorker,
    make_redis_store: MakeRedisStore,
    server: RedisServer,
    proxy: FaultProxy,
    emporix: FakeEmporix,
) -> None:
    """F32: A logout that Redis hears of late does not cost a change on its way."""
    one, two = make_worker(proxy.url), make_worker(server.url)
    heard, _ = await attached(make_redis_store(server.url))
    session = emporix.new_session(currency="EUR")
    for shop in (one, two):
        await shop.currency(session.token)
    await proxy.refuse()
    await one.visit(log_out, token=session.token)
    heard.clear()
    emporix.fault("context.patch", Fault(delay=6.0, status=429), times=None)
    change = asyncio.ensure_future(two.switch(session.token, currency="USD"))
    await asyncio.sleep(0.3)
    await proxy.listen()
    await eventually(lambda: len(heard) > 1)
    assert not change.done()
    await change

    assert await two.currency(session.token) == "USD"


@pytest.mark.parametrize("knows", [True, False], ids=["a worker that knows the session", "a worker that does not"])
async def test_f21_one_page_waits(
    make_worker: MakeWorker, server: RedisServer, proxy: FaultProxy, emporix: FakeEmporix, knows: bool
) -> None:
    """F21: One page waits once for a Redis that swallows everything."""
    budget = 2.0
    worker = make_worker(proxy.url, budget=budget)
    session = emporix.new_session(currency="EUR")
    await worker.currency(session.token if knows else emporix.new_session().token)
    proxy.blackhole()

    waited: list[float] = []
    for _ in range(10):
        for visit in (worker.currency(session.token), worker.switch(session.token, currency="USD")):
            began = time.monotonic()
            await visit
            waited.append(time.monotonic() - began)
        await asyncio.sleep(0.3)

    assert sorted(waited)[-2] < 0.9 * budget
    assert max(waited) < 1.8 * budget
    assert await worker.currency(session.token) == "USD"
