"""Clocks of workers that are wrong: never a wrong page, and at worst as many calls as without the document."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from session_ctx_middleware import CachePolicy, ContinuityPolicy
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.shop import Shop
from ..support.virtual_time import VirtualClock
from .browser import Browser, everything, page
from .travel import DOCUMENT, in_full, stats, travelling

MakeShop = Callable[..., Shop]
WRONG = [-3600.0, -60.0, -15.0, -5.0, -1.0, 0.0, 1.0, 5.0, 15.0, 60.0, 3600.0]


def wrong(make_shop: MakeShop, *offsets: float, **options: Any) -> list[Shop]:
    """Return workers whose clocks are wrong by so many seconds."""
    shops = [travelling(make_shop, **options)[0] for _ in offsets]
    for shop, offset in zip(shops, offsets, strict=True):
        assert isinstance(shop.clock, VirtualClock)
        shop.clock.wall_offset = offset
    return shops


@pytest.mark.parametrize("offset", WRONG)
async def test_own_writes(make_shop: MakeShop, emporix: FakeEmporix, offset: float) -> None:
    """Whatever the clocks say, who changed something reads it next, while late answers bring older documents."""
    shops = wrong(make_shop, 0.0, offset, -offset)
    browser = Browser(emporix.new_session(currency="EUR").token)
    for number, code in enumerate(("USD", "CHF", "GBP", "SEK", "NOK") * 2):
        late = await browser.send(shops[number % 3], page)
        await browser.switch(shops[(number + 1) % 3], currency=code)
        browser.receive(late)
        await asyncio.sleep((0, 1, 12, 30, 70)[number % 5])
        browser.receive(late)
        for shop in shops:
            assert await browser.currency(shop) == code


@pytest.mark.parametrize("offset", WRONG)
async def test_no_more_calls_than_without(make_shop: MakeShop, emporix: FakeEmporix, offset: float) -> None:
    """A visit over workers whose clocks are wrong takes no more calls than it does without the document."""
    counts = []
    for policy in (ContinuityPolicy(document=True), ContinuityPolicy()):
        shops = wrong(make_shop, 0.0, offset, -offset, continuity=policy, cache=CachePolicy(jitter=0))
        browser = Browser(emporix.new_session(currency="EUR").token)
        emporix.clear_calls()
        for step in range(90):
            assert await browser.currency(shops[step * 7 % 3]) == "EUR"
            await asyncio.sleep((2.0, 9.0, 17.0, 4.0)[step % 4])
        counts.append(emporix.count("context.get"))

    assert counts[0] <= counts[1]


@pytest.mark.parametrize(("ahead", "believed"), [(1.9, True), (2.1, False)])
async def test_from_the_future(make_shop: MakeShop, emporix: FakeEmporix, ahead: float, believed: bool) -> None:
    """Up to two seconds ahead a document counts as new; what comes from later is not believed, and says so."""
    fast, right = wrong(make_shop, ahead, 0.0)
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(fast)

    assert await browser.currency(right) == "EUR"
    assert (stats(right)["travelled"], stats(right)["document_ahead"]) == (int(believed), int(not believed))


async def test_too_old(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """The reader's policy holds, whatever the browser keeps: also for when Emporix is down."""
    (one,) = travelling(make_shop)
    (short,) = travelling(make_shop, cache=CachePolicy(ttl=5, stale_while_revalidate=0, stale_if_error=20))
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(one)
    emporix.fault("context.*", Fault(status=503), times=None)
    await asyncio.sleep(24)
    assert (await browser.visit(short, in_full)).text == "EUR stale"
    (other,) = travelling(make_shop, cache=CachePolicy(ttl=5, stale_while_revalidate=0, stale_if_error=20))
    await asyncio.sleep(2)

    assert (await browser.visit(other, in_full)).text == "- degraded"
    assert stats(other)["document_expired"] == 1


async def test_clock_that_is_behind_gives_up_no_floor(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A document that seems to be much later than a change, by a wrong clock, does not undo that change."""
    fast, right, cold = wrong(make_shop, 30.0, 0.0, 0.0)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    old = await browser.send(fast, page)
    await asyncio.sleep(15)
    emporix.edit(session.session_id, language="fr")
    await browser.switch(right, currency="USD")
    browser.receive(old)
    await asyncio.sleep(30)
    overtaken = Browser(browser.token)
    overtaken.receive(old)
    assert await overtaken.currency(cold) == "EUR"  # a page that was asked for before the change

    assert DOCUMENT in browser.cookies
    assert [(await browser.visit(shop, everything)).text for shop in (cold, right, cold)] == ["USD fr"] * 3
