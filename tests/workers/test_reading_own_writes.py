"""What a shopper has switched is what the shopper reads next, on whatever worker."""

from __future__ import annotations

import pytest

from ..support.redis_server import RedisServer
from .conftest import MakeShoppers, OpenFleet, OpenUvicorn
from .shoppers import Tally, wander

pytestmark = pytest.mark.network

SECRET = ["a secret that every worker of this shop has"]
SHOPPERS, STEPS = 30, 18


async def test_cookie_alone(open_fleet: OpenFleet, make_shoppers: MakeShoppers, tally: Tally) -> None:
    """With the cookie alone, every worker shows what was switched on any."""
    fleet = open_fleet(secret_key=SECRET)
    await wander(make_shoppers(SHOPPERS), fleet.addresses, steps=STEPS)

    assert tally.violations == []
    assert tally.statuses == {200: SHOPPERS * STEPS}
    assert len(tally.pids) == 3


async def test_requests_overlap(open_fleet: OpenFleet, make_shoppers: MakeShoppers, tally: Tally) -> None:
    """Six requests of one browser at once, before there is a context and after: nothing that was answered is undone."""
    addresses = open_fleet(secret_key=SECRET, cache={"missing_ttl": 0.2}).addresses
    early = make_shoppers(SHOPPERS // 2, exists=False)
    await wander([*early, *make_shoppers(SHOPPERS // 2)], addresses, steps=STEPS, clicks=3)

    assert tally.violations == []
    assert tally.statuses == {200: SHOPPERS * STEPS}


@pytest.mark.slow
@pytest.mark.redis
async def test_redis_alone(
    open_fleet: OpenFleet, make_shoppers: MakeShoppers, redis: RedisServer, tally: Tally
) -> None:
    """With Redis alone, every worker shows what was switched on any."""
    fleet = open_fleet(redis=redis.url)
    await wander(make_shoppers(SHOPPERS), fleet.addresses, steps=STEPS)

    assert tally.violations == []
    assert tally.statuses == {200: SHOPPERS * STEPS}


async def test_workers_of_one_uvicorn(open_uvicorn: OpenUvicorn, make_shoppers: MakeShoppers, tally: Tally) -> None:
    """Workers of one uvicorn show what was switched on any of them."""
    uvicorn = open_uvicorn(secret_key=SECRET)
    await wander(make_shoppers(20, fresh=True), [uvicorn.address], steps=16)

    assert len(tally.pids) > 1
    assert tally.violations == []
    assert "share nothing" not in uvicorn.log


async def test_sharing_nothing(open_uvicorn: OpenUvicorn, make_shoppers: MakeShoppers, tally: Tally) -> None:
    """Workers that share nothing show old values, and have been warned."""
    uvicorn = open_uvicorn()
    await wander(make_shoppers(20, fresh=True), [uvicorn.address], steps=16)

    assert len(tally.pids) > 1
    assert tally.violations != []
    assert tally.failures == 0
    assert "Several workers share nothing" in uvicorn.log
