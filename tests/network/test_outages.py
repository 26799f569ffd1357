"""Emporix slow, broken or down: pages keep their deadline, and when it heals everything converges."""

from __future__ import annotations

import asyncio

import pytest

from .backend import Network
from .conftest import OpenShop
from .proxy import Mode
from .shop import IN_TIME, QUICK, RealShop, Stopwatch

pytestmark = pytest.mark.network

OUTDATED = 200.0
"""Seconds after which a document is served only because Emporix cannot be asked."""
OUTAGES = [Mode.REFUSE, Mode.STALL, Mode.BLACKHOLE, Mode.DRIP]


@pytest.mark.parametrize("mode", OUTAGES)
async def test_pages_keep_their_deadline(mode: Mode, quick_shop: RealShop, network: Network) -> None:
    """Pages keep their deadline in an outage, and converge after it."""
    shop = quick_shop
    known, *strangers = [network.emporix.new_session(currency="EUR") for _ in range(11)]
    await shop.converge(known.token, currency="EUR")
    shop.clock.jump(OUTDATED)
    await network.set(mode)

    with Stopwatch() as watch:
        pages = await asyncio.gather(*(shop.page(session.token) for session in [known, *strangers]))
    assert watch.seconds < IN_TIME
    assert (pages[0]["currency"], pages[0]["stale"]) == ("EUR", True)
    assert {(page["currency"], page["degraded"]) for page in pages[1:]} == {("XXX", True)}

    await network.set(Mode.PASS)
    for session in [known, *strangers]:
        await shop.converge(session.token, currency="EUR", version=1)


@pytest.mark.parametrize("mode", OUTAGES)
async def test_change_in_an_outage(mode: Mode, quick_shop: RealShop, network: Network) -> None:
    """A change made in an outage is shown at once, and sent once."""
    shop = quick_shop
    session = network.emporix.new_session(currency="EUR")
    await shop.converge(session.token, currency="EUR")
    await network.set(mode)

    with Stopwatch() as watch:
        await shop.switch(session.token, "USD")
    assert watch.seconds < IN_TIME
    with Stopwatch() as watch:
        page = await shop.page(session.token)
    assert watch.seconds < IN_TIME
    assert (page["currency"], page["pending"]) == ("USD", ["currency"])

    await network.set(Mode.PASS)
    await shop.converge(session.token, currency="USD", version=2)
    assert network.emporix.count("context.patch") == 1


async def test_emporix_is_restarted(open_shop: OpenShop, network: Network) -> None:
    """Pages survive that Emporix is restarted."""
    shop = await open_shop(base_url=network.direct, upstream=QUICK)
    known, chooser, stranger = (network.emporix.new_session(currency="EUR") for _ in range(3))
    await shop.converge(known.token, currency="EUR")
    await shop.converge(chooser.token, currency="EUR")
    shop.clock.jump(OUTDATED)
    await network.stop_emporix()

    with Stopwatch() as watch:
        assert (await shop.page(known.token))["stale"]
        assert (await shop.page(stranger.token))["degraded"]
        await shop.switch(chooser.token, "USD")
    assert watch.seconds < IN_TIME
    assert (await shop.page(chooser.token))["pending"] == ["currency"]

    await network.start_emporix()
    await shop.converge(known.token, currency="EUR", version=1)
    await shop.converge(stranger.token, currency="EUR", version=1)
    await shop.converge(chooser.token, currency="USD", version=2)
    assert network.emporix.count("context.patch") == 1


async def test_restart_between_pages(open_shop: OpenShop, network: Network) -> None:
    """A restart between two pages goes unnoticed."""
    shop = await open_shop(base_url=network.direct)
    sessions = [network.emporix.new_session(currency="EUR") for _ in range(10)]
    await asyncio.gather(*(shop.page(session.token) for session in sessions[:5]))

    await network.stop_emporix()
    await network.start_emporix()
    await shop.switch(sessions[0].token, "USD")
    pages = await asyncio.gather(*(shop.page(session.token) for session in sessions))

    assert [page["currency"] for page in pages] == ["USD"] + 9 * ["EUR"]
    assert not any(page["degraded"] or page["stale"] or page["pending"] for page in pages)
    assert network.emporix.count("context.patch") == 1


async def test_idle_connections_reset(shop: RealShop, network: Network) -> None:
    """Connections that were reset while idle do no harm."""
    sessions = [network.emporix.new_session(currency="EUR") for _ in range(10)]
    await asyncio.gather(*(shop.page(session.token) for session in sessions[:5]))

    await network.set(Mode.REFUSE)
    await network.set(Mode.PASS)
    await shop.switch(sessions[0].token, "USD")
    pages = await asyncio.gather(*(shop.page(session.token) for session in sessions))

    assert [page["currency"] for page in pages] == ["USD"] + 9 * ["EUR"]
    assert not any(page["degraded"] or page["stale"] or page["pending"] for page in pages)
    assert network.proxy.requests["PATCH"] == network.emporix.count("context.patch") == 1
