"""What one worker knows and the next one has to know: choices that wait, cookies under an old key, a sudden death."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from ..support.redis_server import RedisServer
from .conftest import MakeShoppers, OpenFleet
from .platform import Platform
from .shoppers import Shopper, Tally, wander

pytestmark = pytest.mark.network

OLD, NEW = "the secret that this shop had until now", "the secret that this shop has from now on"
MISSING_TTL: Final = 0.2
PATIENCE: Final = 60.0

_log = logging.getLogger(__name__)


@pytest.fixture(params=["cookie", pytest.param("redis", marks=[pytest.mark.redis, pytest.mark.slow])])
def shared(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the workers have in common, one or the other."""
    if request.param == "cookie":
        return {"secret_key": [OLD]}
    redis: RedisServer = request.getfixturevalue("redis")
    return {"redis": redis.url}


@pytest.fixture
def slow_emporix(emporix: Platform) -> Iterator[Platform]:
    """Emporix changes a context at once, but takes its time to say so."""
    emporix.fault("context.patch", delay_after=0.05)
    yield emporix
    emporix.heal()


async def test_early_choices_are_sent_once(
    open_fleet: OpenFleet, make_shoppers: MakeShoppers, emporix: Platform, shared: dict[str, Any], tally: Tally
) -> None:
    """Choices from before the cart are sent once, whichever worker sends them."""
    addresses = open_fleet(cache={"missing_ttl": MISSING_TTL}, **shared).addresses
    shoppers = make_shoppers(3, exists=False)
    for shopper in shoppers:
        await shopper.switch(addresses[0], currency="USD")
        await shopper.switch(addresses[1], language="fr")
        assert not any([(await shopper.page(address))["exists"] for address in addresses])
        emporix.create_cart(shopper.visit)
    await asyncio.sleep(2 * MISSING_TTL)

    for shopper, first in zip(shoppers, addresses, strict=True):
        for address in (first, *addresses, *addresses):
            assert (await shopper.page(address))["exists"]
        document = emporix.document(shopper.visit)
        assert (document["currency"], document["language"]) == ("USD", "fr")
        assert emporix.patches(shopper.visit) == [204]
    assert tally.violations == []


async def test_several_tabs(
    open_fleet: OpenFleet, make_shoppers: MakeShoppers, emporix: Platform, shared: dict[str, Any], tally: Tally
) -> None:
    """Several tabs at once send what waits without undoing anything."""
    addresses = open_fleet(cache={"missing_ttl": MISSING_TTL}, **shared).addresses
    shoppers = make_shoppers(10, exists=False)
    for shopper in shoppers:
        await shopper.switch(addresses[0], currency="USD")
        emporix.create_cart(shopper.visit)
    await asyncio.sleep(2 * MISSING_TTL)

    for shopper in shoppers:
        await asyncio.gather(*(shopper.page(address) for address in addresses))
        assert emporix.patches(shopper.visit).count(204) == 1
        await shopper.switch(addresses[1], currency="CHF")
        for address in (*addresses, *addresses):
            await shopper.page(address)
        assert emporix.document(shopper.visit)["currency"] == "CHF"
    assert tally.violations == []


async def test_old_key_still_counts(open_fleet: OpenFleet, make_shoppers: MakeShoppers) -> None:
    """A cookie that was signed with the old key is still honoured."""
    before = open_fleet(size=1, secret_key=[OLD])
    loyal, unlucky = make_shoppers(2, exists=False)
    for shopper in (loyal, unlucky):
        await shopper.switch(before.addresses[0], currency="USD")
    before.close()
    rotated, careless = open_fleet(size=2, secret_key=[NEW, OLD]), open_fleet(size=1, secret_key=[NEW])

    assert [(await loyal.page(address))["currency"] for address in rotated.addresses] == ["USD", "USD"]
    assert (await unlucky.page(careless.addresses[0]))["currency"] == "XXX"
    await loyal.switch(rotated.addresses[0], language="fr")
    await loyal.page(rotated.addresses[1])  # joins both notes, signed anew
    page = await loyal.page(careless.addresses[0])
    assert (page["currency"], page["language"]) == ("USD", "fr")


async def test_rotation_worker_by_worker(open_fleet: OpenFleet, make_shoppers: MakeShoppers, tally: Tally) -> None:
    """While keys are rotated worker by worker, nobody notices."""
    fleets = open_fleet(size=1, secret_key=[OLD, NEW]), open_fleet(size=1, secret_key=[NEW, OLD])
    await wander(make_shoppers(10), [address for fleet in fleets for address in fleet.addresses], steps=20)

    assert tally.violations == []
    assert set(tally.statuses) == {200}


async def switching(shopper: Shopper, addresses: list[str], dead: asyncio.Event) -> dict[str, str]:
    """Switch again and again; return the wish that was never answered, because the worker died."""
    while not dead.is_set():
        wish = shopper.something_else()
        try:
            await shopper.switch(shopper.rng.choice(addresses), **wish)
        except httpx.TransportError:
            dead.set()
            return wish
    return {}


async def shows_what_emporix_has(shopper: Shopper, address: str, emporix: Platform) -> None:
    """Come back until a page shows what Emporix has."""
    end = time.monotonic() + PATIENCE
    while True:
        page, document = await shopper.page(address), emporix.document(shopper.visit)
        if all(page[name] == document[name] for name in ("currency", "language")):
            return
        assert time.monotonic() < end, (page, document)
        await asyncio.sleep(0.05)


async def test_worker_dies(
    open_fleet: OpenFleet, make_shoppers: MakeShoppers, slow_emporix: Platform, shared: dict[str, Any], tally: Tally
) -> None:
    """When a worker dies, the next one shows all that was acknowledged."""
    fleet = open_fleet(cache={"ttl": 1.0, "stale_while_revalidate": 0.0}, **shared)
    shoppers, addresses = make_shoppers(30), fleet.addresses
    dead = asyncio.Event()
    streams = [asyncio.create_task(switching(shopper, addresses, dead)) for shopper in shoppers]
    await asyncio.sleep(1.5)
    fleet.workers[0].kill()
    lost = await asyncio.gather(*streams)
    assert any(lost)

    behind = 0
    for shopper, wish in zip(shoppers, lost, strict=True):
        known = dict(shopper.chosen)
        # Nobody told the shopper, or another worker, what became of this wish: for a while either may show.
        shopper.chosen = {name: value for name, value in known.items() if name not in wish}
        page = await shopper.page(shopper.rng.choice(addresses[1:]))
        assert all(page[name] in {known.get(name, page[name]), value} for name, value in wish.items())
        behind += any(page[name] != slow_emporix.document(shopper.visit)[name] for name in wish)
    _log.info("%d of %d shoppers got no answer, and %d of those see it late", sum(map(bool, lost)), len(lost), behind)

    for shopper, wish in zip(shoppers, lost, strict=True):
        for address in addresses[1:]:
            await shows_what_emporix_has(shopper, address, slow_emporix)
        if wish:
            await shopper.switch(addresses[1], **wish)
            await shopper.page(addresses[2])
    assert tally.violations == []
    assert set(tally.statuses) == {200}
