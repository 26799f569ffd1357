"""Redis dies and comes back empty, or was never there: pages go on, and browsers with a cookie notice nothing."""

from __future__ import annotations

import asyncio
import logging
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product

import pytest

from ..support.fault_proxy import FaultProxy
from ..support.redis_server import RedisServer, free_port
from .__main__ import SETUPS, main
from .conftest import MakeShoppers, OpenFleet
from .fleet import Fleet
from .outages import killed_again_and_again
from .shoppers import Shopper, Tally, wander

pytestmark = [pytest.mark.redis, pytest.mark.network]

SECRET = ["a secret that every worker of this shop has"]
SHOPPERS, STEPS = 20, 20
OUTAGES = 2
CONVERGENCE = 60.0
BUDGET = 0.5
CHANNEL = "session-ctx:v1:notices"

_log = logging.getLogger(__name__)


async def converged(shoppers: list[Shopper], addresses: list[str]) -> float:
    """Wait until every worker shows every shopper the last choice; return the seconds it took."""
    began = time.monotonic()
    while True:
        pages = [(shopper, await shopper.page(address)) for shopper, address in product(shoppers, addresses)]
        behind = [page for shopper, page in pages if not shopper.chosen.items() <= page.items()]
        if not behind:
            return time.monotonic() - began
        assert time.monotonic() < began + CONVERGENCE, behind
        await asyncio.sleep(0.1)


def in_touch(redis: RedisServer, fleet: Fleet) -> bool:
    """Tell whether every worker talks to Redis and hears what the others say."""
    listening = redis.command("EVAL", "return redis.call('PUBSUB', 'NUMSUB', KEYS[1])[2]", 1, CHANNEL)
    logs = [worker.log for worker in fleet.workers]
    talking = [log.count("Redis fails") == log.count("Redis answers again") for log in logs]
    return listening == f":{len(logs)}" and all(talking)


async def test_cookie_hides_a_killed_redis(
    open_fleet: OpenFleet, make_shoppers: MakeShoppers, redis: RedisServer, tally: Tally
) -> None:
    """With the cookie, nobody notices that Redis is killed."""
    fleet = open_fleet(secret_key=SECRET, redis=redis.url)
    shoppers, addresses = make_shoppers(SHOPPERS), fleet.addresses
    async with killed_again_and_again(redis, OUTAGES) as outages:
        await wander(shoppers, addresses, steps=STEPS, going_on=lambda: outages.to_come)

    assert tally.violations == []
    assert set(tally.statuses) == {200}
    assert any("Redis fails" in worker.log for worker in fleet.workers)


@pytest.mark.slow
async def test_converges_without_the_cookie(
    open_fleet: OpenFleet, make_shoppers: MakeShoppers, redis: RedisServer, tally: Tally
) -> None:
    """Without the cookie, pages go on, and converge when Redis is back."""
    fleet = open_fleet(redis=redis.url)
    shoppers, addresses = make_shoppers(SHOPPERS), fleet.addresses
    async with killed_again_and_again(redis, OUTAGES) as outages:
        await wander(shoppers, addresses, steps=STEPS, going_on=lambda: outages.to_come)
    _log.info("while Redis comes and goes: %s", tally)
    _log.info("converged after %.1f s", await converged(shoppers, addresses))

    async with asyncio.timeout(CONVERGENCE):
        while not in_touch(redis, fleet):
            await wander(shoppers, addresses, steps=2)
    await converged(shoppers, addresses)
    tally.violations.clear()
    await wander(shoppers, addresses, steps=STEPS // 2)

    assert tally.violations == []
    assert set(tally.statuses) == {200}


@asynccontextmanager
async def out_of_reach(how: str, redis: RedisServer) -> AsyncIterator[str]:
    """Provide the URL of a Redis that cannot be reached."""
    if how == "closed":
        yield f"redis://127.0.0.1:{free_port()}/0"
        return
    async with FaultProxy(redis.port) as proxy:
        proxy.blackhole()
        yield proxy.url


async def seconds_for_a_page(shopper: Shopper, address: str) -> float:
    """Measure how long a shopper waits for the first page, for which the worker knows nothing yet."""
    began = time.perf_counter()
    await shopper.page(address)
    return time.perf_counter() - began


@pytest.mark.parametrize("how", ["closed", "blackholed"])
async def test_unreachable_redis(
    open_fleet: OpenFleet, make_shoppers: MakeShoppers, redis: RedisServer, tally: Tally, how: str
) -> None:
    """A Redis that cannot be reached costs pages no time."""
    async with out_of_reach(how, redis) as url:
        without, lonely = open_fleet(size=1, secret_key=SECRET), open_fleet(size=1, redis=url, budget=BUDGET)
        addresses = [*without.addresses, *lonely.addresses]
        for shopper, address in product(make_shoppers(5), addresses):
            await shopper.page(address)
        took: dict[str, list[float]] = {address: [] for address in addresses}
        for shopper, address in product(make_shoppers(20), addresses):
            took[address].append(await seconds_for_a_page(shopper, address))

        # It says so once the call that nobody waits for any more has come to its end.
        async with asyncio.timeout(CONVERGENCE):
            while "left alone" not in lonely.workers[0].log:
                await asyncio.sleep(0.05)
    # A page that waited for Redis would take all of the budget longer.
    usual, lonely_one = (statistics.median(took[address]) for address in addresses)
    _log.info("a page takes %.1f ms, %.1f ms without Redis", lonely_one * 1000, usual * 1000)
    assert lonely_one < usual + BUDGET / 2
    assert set(tally.statuses) == {200}


@pytest.mark.slow
def test_long_run(capsys: pytest.CaptureFixture[str]) -> None:
    """The long run counts what it plays."""
    assert main(["--requests", "400", "--shoppers", "10"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(SETUPS)
    assert all(" 0 violations, 0 failures" in line for line in lines)
    assert not any(" 0 requests" in line for line in lines)
