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
async def test_a_get_whose_connection_breaks_is_repeated_once(mode: Mode, shop: RealShop, network: Network) -> None:
    session = network.emporix.new_session(currency="EUR")
    network.proxy.next(mode)

    page = await shop.page(session.token)

    assert (page["currency"], page["degraded"], page["stale"]) == ("EUR", False, False)
    assert network.proxy.requests["GET"] == 2


@pytest.mark.parametrize("mode", [Mode.RESET_AFTER, Mode.RESET_WITHIN, Mode.CUT_AFTER])
async def test_f13_a_change_whose_answer_is_lost_is_settled_by_a_get(
    mode: Mode, shop: RealShop, network: Network
) -> None:
    session = network.emporix.new_session(currency="EUR")
    await shop.page(session.token)
    network.proxy.next(mode, method="PATCH")

    await shop.switch(session.token, "USD")
    page = await shop.page(session.token)

    assert (page["currency"], page["version"], page["pending"]) == ("USD", 2, [])
    assert (network.emporix.count("context.patch"), network.emporix.count("context.get")) == (1, 2)


@pytest.mark.parametrize("mode", [Mode.RESET_BEFORE, Mode.CUT_BEFORE])
async def test_f14_a_change_that_did_not_reach_emporix_is_sent_again(
    mode: Mode, shop: RealShop, network: Network
) -> None:
    session = network.emporix.new_session(currency="EUR")
    await shop.page(session.token)
    network.proxy.next(mode, method="PATCH")

    await shop.switch(session.token, "USD")
    page = await shop.page(session.token)

    assert (page["currency"], page["version"], page["pending"]) == ("USD", 2, [])
    assert (network.proxy.requests["PATCH"], network.emporix.count("context.patch")) == (2, 1)
