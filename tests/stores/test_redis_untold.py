"""A worker that is not told what others do, for whatever reason, believes nothing for longer than two seconds.

Redis may be gone, frozen, full, a replica, short of replicas, or refuse commands or the channel. Pages are slower then,
and never wrong.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.requests import Request

from session_ctx_middleware import CachePolicy, SessionContext, UpstreamPolicy
from session_ctx_middleware.clock import SystemClock
from session_ctx_middleware.stores.redis import RedisStore
from session_ctx_middleware.testing import FakeEmporix

from ..support.redis_server import RedisServer
from ..support.shop import Shop, held
from .helpers import SLOW, eventually

pytestmark = pytest.mark.redis

FOR_LONG = CachePolicy(ttl=3600.0, stale_while_revalidate=3600.0, jitter=0.0)
UNHURRIED = UpstreamPolicy(deadline=30.0, commit_deadline=30.0)
USER = ("ACL", "SETUSER", "default")


@dataclass(frozen=True)
class Fault:
    """A way in which Redis keeps workers from telling each other something.

    Args:
        begins: brings it about.
        ends: ends it.
        says: words of the log line.
    """

    begins: Callable[[RedisServer], object]
    ends: Callable[[RedisServer], object]
    says: str


def commands(*lines: str) -> Callable[[RedisServer], object]:
    """Return what sends commands to a server, one a line."""
    return lambda server: [server.command(*line.split()) for line in lines]


FAULTS = {
    "killed": Fault(RedisServer.kill, RedisServer.start, "left alone"),
    "frozen": Fault(RedisServer.pause, RedisServer.resume, "left alone"),
    "full": Fault(commands("CONFIG SET maxmemory 1"), commands("CONFIG SET maxmemory 0"), "memory"),
    "replica": Fault(commands("REPLICAOF 127.0.0.1 1"), commands("REPLICAOF NO ONE"), "master"),
    "too few replicas": Fault(
        commands("CONFIG SET min-replicas-to-write 1"), commands("CONFIG SET min-replicas-to-write 0"), "replicas"
    ),
    "no writing": Fault(commands("ACL SETUSER default -@write"), commands("ACL SETUSER default +@all"), "ACL SETUSER"),
    "no scripts": Fault(
        commands("ACL SETUSER default -@scripting"), commands("ACL SETUSER default +@all"), "ACL SETUSER"
    ),
    "no publishing": Fault(
        commands("ACL SETUSER default -publish"), commands("ACL SETUSER default +@all"), "ACL SETUSER"
    ),
    "no channel": Fault(
        commands("ACL SETUSER default resetchannels"), commands("ACL SETUSER default allchannels"), "channel"
    ),
}

EVERY_DAY = {"killed"}
"""Redis is gone. The others are left to the slow tier."""


@pytest.fixture
def emporix() -> FakeEmporix:
    return FakeEmporix(now=time.time)


@pytest.fixture
async def workers(emporix: FakeEmporix, namespace: str, server: RedisServer) -> AsyncIterator[tuple[Shop, Shop]]:
    """Two workers with a store each, on one Redis."""
    shops = [
        Shop(
            emporix,
            httpx,
            store=RedisStore(server.url, namespace=namespace),
            clock=SystemClock(),
            cache=FOR_LONG,
            upstream=UNHURRIED,
        )
        for _ in range(2)
    ]
    yield shops[0], shops[1]
    for shop in shops:
        await shop.browser.aclose()
        await shop.app.middleware_stack.app.aclose()  # type: ignore[union-attr]
        await shop.upstream_client.aclose()


def attachment(shop: Shop) -> Any:
    engine = shop.app.middleware_stack.app._engines.of(asyncio.get_running_loop())  # type: ignore[union-attr]
    return engine._parts.sharing.attachment


async def in_touch(*shops: Shop) -> None:
    """Wait until workers hear of each other."""
    await eventually(lambda: all(attachment(shop).connected for shop in shops))


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in EVERY_DAY else pytest.mark.slow) for kind in FAULTS]
)
async def test_f21_nothing_is_believed(
    kind: str,
    workers: tuple[Shop, Shop],
    server: RedisServer,
    emporix: FakeEmporix,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """F21: What was fresh is not believed for longer than two seconds once others cannot tell what they do."""
    one, two = workers
    fault, session = FAULTS[kind], emporix.new_session(currency="EUR")
    for shop in workers:
        assert await shop.currency(session.token) == "EUR"
    await in_touch(*workers)
    await asyncio.sleep(1.0)  # proofs come at any time of their period
    caplog.clear()

    await asyncio.to_thread(fault.begins, server)
    await one.switch(session.token, currency="USD")
    acknowledged = time.monotonic()
    assert held(emporix, session.session_id)["currency"] == "USD"
    while await two.currency(session.token) != "USD":
        assert time.monotonic() - acknowledged < 2.0 + SLOW
        await asyncio.sleep(0.05)

    # Nor is anything else believed from then on: neither what was read, nor what Redis has.
    for currency in ("GBP", "CHF"):
        await one.switch(session.token, currency=currency)
        await asyncio.sleep(2.1)
        assert await two.currency(session.token) == currency
    told = [record for record in caplog.records if record.levelno >= logging.WARNING and fault.says in record.message]
    assert 1 <= len(told) <= 2, "each of the two says it once"

    caplog.clear()
    await asyncio.to_thread(fault.ends, server)
    await eventually(lambda: attachment(one).connected and attachment(two).connected, within=20.0)
    await eventually(lambda: "again" in caplog.text or "any more" in caplog.text)
    await two.currency(session.token)
    await one.switch(session.token, currency="SEK")
    await eventually(lambda: shows(two, session.token, "SEK"), within=1.0)


@pytest.mark.parametrize("kind", ["killed", pytest.param("frozen", marks=pytest.mark.slow)])
async def test_logout_while_redis_is_gone(
    kind: str, workers: tuple[Shop, Shop], server: RedisServer, emporix: FakeEmporix
) -> None:
    """Who has logged out on one worker is shown by no other one, though nobody can tell it, two seconds later."""
    one, two = workers
    session = emporix.new_session(currency="EUR", customer_id="C4711")

    async def customer(ctx: SessionContext, _: Request) -> str:
        return (await ctx).customer_id or ""

    async def log_out(ctx: SessionContext, _: Request) -> None:
        await ctx.forget()
        emporix.revoke(session.token)

    for shop in workers:
        assert (await shop.visit(customer, token=session.token)).text == "C4711"
    await in_touch(*workers)
    await asyncio.sleep(1.0)

    await asyncio.to_thread(FAULTS[kind].begins, server)
    await one.visit(log_out, token=session.token)
    since = time.monotonic()
    assert (await one.visit(customer, token=session.token)).text == ""
    while (await two.visit(customer, token=session.token)).text:
        assert time.monotonic() - since < 2.0 + SLOW
        await asyncio.sleep(0.05)
    await asyncio.to_thread(FAULTS[kind].ends, server)


async def shows(shop: Shop, token: str, currency: str) -> bool:
    return await shop.currency(token) == currency
