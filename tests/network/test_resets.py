"""Connections that break around one call: the page is right, and a change has its effect exactly once."""

from __future__ import annotations

import pytest

from .backend import Network
from .proxy import Mode
from .shop import RealShop

pytestmark = pytest.mark.network


@pytest.mark.parametrize(
    "mode", [Mode.RESET_BEFORE, Mode.RESET_AFTER, Mode.RESET_WITHIN, Mode.CUT_BEFORE, Mode.CUT_AFTER]
)
async def test_get_is_repeated_once(mode: Mode, shop: RealShop, network: Network) -> None:
    """A GET whose connection breaks is repeated once."""
    session = network.emporix.new_session(currency="EUR")
    network.proxy.next(mode)

    page = await shop.page(session.token)

    assert (page["currency"], page["degraded"], page["stale"]) == ("EUR", False, False)
    assert network.proxy.requests["GET"] == 2


@pytest.mark.parametrize("mode", [Mode.RESET_AFTER, Mode.RESET_WITHIN, Mode.CUT_AFTER])
async def test_f13_lost_answer(mode: Mode, shop: RealShop, network: Network) -> None:
    """F13: A change whose answer is lost is settled by a GET."""
    session = network.emporix.new_session(currency="EUR")
    await shop.page(session.token)
    network.proxy.next(mode, method="PATCH")

    await shop.switch(session.token, "USD")
    page = await shop.page(session.token)

    assert (page["currency"], page["version"], page["pending"]) == ("USD", 2, [])
    assert (network.emporix.count("context.patch"), network.emporix.count("context.get")) == (1, 2)


@pytest.mark.parametrize("mode", [Mode.RESET_BEFORE, Mode.CUT_BEFORE])
async def test_f14_lost_request(mode: Mode, shop: RealShop, network: Network) -> None:
    """F14: A change that did not reach Emporix is sent again."""
    session = network.emporix.new_session(currency="EUR")
    await shop.page(session.token)
    network.proxy.next(mode, method="PATCH")

    await shop.switch(session.token, "USD")
    page = await shop.page(session.token)

    assert (page["currency"], page["version"], page["pending"]) == ("USD", 2, [])
    assert (network.proxy.requests["PATCH"], network.emporix.count("context.patch")) == (2, 1)
