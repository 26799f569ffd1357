"""Crowds of visitors, and crowds that leave: the connections to Emporix survive them."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from session_ctx_middleware import UpstreamPolicy
from session_ctx_middleware.testing import FakeEmporix

from .backend import Network
from .conftest import OpenShop
from .proxy import Mode
from .shop import IN_TIME, QUICK, RealShop, Stopwatch, until

pytestmark = pytest.mark.network

CROWD = 100
ROUNDS = 2
LONGEST_VISIT = 0.02
STORMY = UpstreamPolicy(deadline=1.5, commit_deadline=1.5, timeout=0.5, max_concurrency=15)
UNHURRIED = UpstreamPolicy(deadline=60.0, commit_deadline=60.0, timeout=60.0, total_timeout=60.0, max_concurrency=15)
"""No call fails only because the machine has other things to do."""

HELD = replace(QUICK, timeout=8.0, total_timeout=8.0)
"""Whoever waited for calls that hang in eight connections, one after the other, would wait far longer than it may."""


async def _visit_and_leave(shop: RealShop, token: str, patience: float) -> None:
    visit = asyncio.ensure_future(shop.page(token))
    await asyncio.sleep(patience)
    visit.cancel()
    await asyncio.gather(visit, return_exceptions=True)


async def _storm(shop: RealShop, emporix: FakeEmporix, rng: random.Random) -> None:
    """Let a crowd come and leave, each visitor at another moment."""
    tokens = [emporix.new_session(currency="EUR").token for _ in range(CROWD)]
    await asyncio.gather(*(_visit_and_leave(shop, token, LONGEST_VISIT * rng.random()) for token in tokens))


async def _calm(shop: RealShop) -> None:
    """Wait until every abandoned call has ended by itself, and until nobody remembers that it failed."""
    await until(lambda: not [task for task in asyncio.all_tasks() if "_fly" in str(task.get_coro())])
    shop.clock.jump()


async def test_f44_pool_survives(open_shop: OpenShop, network: Network) -> None:
    """F44: A cancel storm leaves the pool alive."""
    shop, rng = await open_shop(upstream=STORMY), random.Random(44)
    network.emporix.latency = 0.002

    for mode in (Mode.PASS, Mode.STALL, Mode.BLACKHOLE, Mode.DRIP):
        for _ in range(ROUNDS):
            await network.set(mode)
            await _storm(shop, network.emporix, rng)
            await network.set(Mode.PASS)
            await _calm(shop)

        sessions = [network.emporix.new_session(currency="EUR") for _ in range(STORMY.max_concurrency)]
        # On a busy machine a call may take longer than it may; a pool that is dead answers none of them ever again.
        await asyncio.gather(*(shop.converge(session.token, currency="EUR") for session in sessions))
        await until(lambda: not shop.busy_connections)


async def test_f38_leaving_opens_no_breaker(open_shop: OpenShop, network: Network) -> None:
    """F38: Visitors who leave do not open the breaker."""
    shop, rng = await open_shop(upstream=UNHURRIED), random.Random(38)
    network.emporix.latency = 0.05

    for _ in range(ROUNDS):
        await _storm(shop, network.emporix, rng)
    await until(lambda: not shop.busy_connections)

    # The clock stands where it was: an open breaker would refuse this page.
    assert not (await shop.page(network.emporix.new_session().token))["degraded"]


async def test_f38_all_connections_taken(open_shop: OpenShop, network: Network) -> None:
    """F38: With every connection taken, pages keep their deadline."""
    shop = await open_shop(upstream=HELD)
    chooser, *crowd = [network.emporix.new_session(currency="EUR") for _ in range(1 + 10 * QUICK.max_concurrency)]
    await shop.converge(chooser.token, currency="EUR")
    await network.set(Mode.BLACKHOLE)

    with Stopwatch() as watch:
        visits = asyncio.gather(*(shop.page(session.token) for session in crowd))
        await asyncio.gather(visits, shop.switch(chooser.token, "USD"))
    assert watch.seconds < IN_TIME
    assert {(page["currency"], page["degraded"]) for page in visits.result()} == {("XXX", True)}
    assert (await shop.page(chooser.token))["currency"] == "USD"
    assert network.proxy.open_connections <= QUICK.max_concurrency

    await network.set(Mode.PASS)
    # A PATCH in the void keeps its session's turn, and a choice that waits lives for a day of this clock.
    await until(lambda: not shop.busy_connections)
    for session in crowd[:: QUICK.max_concurrency]:
        await shop.converge(session.token, currency="EUR")
    await shop.converge(chooser.token, currency="USD", version=2)
    assert network.emporix.count("context.patch") == 1
