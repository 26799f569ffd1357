"""Workers with a store: what one of them still believes of a change that another one has found out about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import ContextDefaults, SessionContext
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, FakeSession, Fault

from .continuity.browser import SECRET, Browser, everything
from .support.shop import Shop, held
from .support.virtual_time import WALL_START, VirtualClock

MakeShop = Callable[..., Shop]
SWALLOWED = Fault(status=204)
NOTHING_KNOWN = "CHF xx None"
EVERY_NOW_AND_THEN = (1, 20, 70, 130, 130, 600, 3600)


def three(make_shop: MakeShop, **options: Any) -> list[Shop]:
    """Return three workers that share a store."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    options.setdefault("defaults", ContextDefaults(currency="CHF", language="xx"))
    return [make_shop(store=each, **options) for each in (store, store.sibling(), store.sibling())]


async def look(shop: Shop, session: FakeSession, *, refresh: bool = False) -> str:
    """Return what a page shows: currency, language and target location."""

    async def page(ctx: SessionContext, _: Request) -> str:
        await (ctx.refresh() if refresh else ctx)
        return f"{ctx.currency} {ctx.language} {ctx.target_location}"

    return (await shop.visit(page, token=session.token)).text


async def test_read_before_the_lie(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A document in the store that has the version of a dropped change, and is older, hides that from nobody."""
    one, two, third = three(make_shop)
    session = emporix.new_session(currency="EUR", language="en", target_location="DE")
    for shop in (one, two, third):
        await look(shop, session)
    emporix.edit(session.session_id, siteCode="other")  # makes the version
    await look(two, session, refresh=True)  # and is in the store
    await asyncio.sleep(0.1)
    emporix.fault("context.patch", SWALLOWED, times=1)
    await one.switch(session.token, target_location="US")

    shown = [[await look(shop, session) for shop in (one, two, third)]]
    await asyncio.sleep(11)
    shown.append([await look(shop, session) for shop in (one, two, third)])

    assert shown == [["EUR en US"] * 3] * 2
    assert held(emporix, session.session_id)["targetLocation"] == "US"


async def at_once(emporix: FakeEmporix, session: FakeSession, one: Shop, two: Shop) -> None:
    """Have one worker's change dropped, and another one find that out as its own one fails."""
    emporix.fault("context.patch", Fault(delay=0.3), times=1)
    emporix.fault("context.patch", SWALLOWED, times=1)
    second = asyncio.create_task(two.switch(session.token, language="fr"))
    await asyncio.sleep(0.05)
    await one.switch(session.token, currency="USD")
    emporix.edit(session.session_id, siteCode="other")
    await second


async def test_parked_again_by_another_worker(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A worker that was told that Emporix has a change shows it when another one has parked it once more."""
    shops = three(make_shop)
    session = emporix.new_session(currency="EUR", language="en", target_location="DE")
    for shop in shops:
        await look(shop, session)
    await at_once(emporix, session, *shops[:2])

    for pause in EVERY_NOW_AND_THEN:
        await asyncio.sleep(pause)
        assert await look(shops[0], session) == "USD fr DE"
    assert held(emporix, session.session_id)["currency"] == "USD"


async def test_parked_again_beside_a_browser(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A browser that knows a change as taken does not keep the one that waits once more."""
    shops = three(make_shop, secret_key=SECRET)
    session = emporix.new_session(currency="EUR", language="en")
    browser = Browser(session.token)
    for shop in shops:
        await browser.visit(shop, everything)
    emporix.fault("context.patch", Fault(delay=0.3), times=1)
    emporix.fault("context.patch", SWALLOWED, times=1)
    second = asyncio.create_task(browser.switch(shops[1], language="fr"))
    await asyncio.sleep(0.05)
    await browser.switch(shops[0], currency="USD")
    emporix.edit(session.session_id, siteCode="other")
    await second

    for pause in EVERY_NOW_AND_THEN:
        await asyncio.sleep(pause)
        assert (await browser.visit(shops[0], everything)).text == "USD fr"
    assert (await browser.visit(shops[1], everything)).text == "USD fr"
    assert held(emporix, session.session_id)["currency"] == "USD"


@pytest.mark.parametrize("pause", [0, 30])
@pytest.mark.parametrize("others", ["", "x", "xy", "xyz"])
async def test_version_that_was_not_there(pause: float, others: str, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A version that a backup has taken away counts when it is made once more."""
    shops = three(make_shop)
    session = emporix.new_session(currency="EUR", language="en", site_code="a", target_location="DE")
    backup = held(emporix, session.session_id)
    for each in "bcd":
        emporix.edit(session.session_id, siteCode=each)
    for shop in shops:
        await look(shop, session)
    await look(shops[0], session, refresh=True)
    await asyncio.sleep(20)
    emporix.rewrite_context(session.session_id, backup)
    await asyncio.sleep(20)
    for shop in shops:
        await look(shop, session, refresh=True)
    await asyncio.sleep(pause)
    for each in others:
        emporix.edit(session.session_id, siteCode=each)
    await look(shops[1], session, refresh=True)
    await shops[1].switch(session.token, currency="USD")
    await asyncio.sleep(0.5)

    assert [await look(shop, session) for shop in shops] == ["USD en DE"] * 3


@pytest.mark.parametrize("replica_lag", [0.0, 0.5, 2.0, 5.0, 9.0])
async def test_several_fields_of_one_lie(replica_lag: float, make_shop: MakeShop) -> None:
    """That Emporix lacks one field of a change proves that it lacks all that went in the same PATCH."""
    emporix = FakeEmporix(replica_lag=replica_lag, now=lambda: WALL_START + asyncio.get_running_loop().time())
    shops = three(make_shop, emporix=emporix)
    session = emporix.new_session(currency="EUR", language="en", target_location="DE")
    await asyncio.sleep(30)
    for shop in shops:
        await look(shop, session)
    emporix.fault("context.patch", Fault(drop="after"), times=1)
    await shops[2].switch(session.token, target_location="US")
    await asyncio.sleep(0.3)
    emporix.fault("context.patch", SWALLOWED, times=1)
    await shops[0].switch(session.token, currency="USD", target_location="DE")

    shown = []
    for _ in range(5):
        await asyncio.sleep(20)
        shown = [await look(shop, session) for shop in shops]
        assert {each for each in shown if each != NOTHING_KNOWN} <= {"USD en DE"}
    assert shown == ["USD en DE"] * 3
