"""A context that was there a moment ago, and of which Emporix, or a replica that lags, says that there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from starlette.requests import Request

from session_ctx_middleware import ContextDefaults, SessionContext
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, FakeSession, Fault

from .continuity.browser import SECRET, Browser, everything
from .support.shop import Shop
from .support.virtual_time import VirtualClock

MakeShop = Callable[..., Shop]
DEFAULTS = ContextDefaults(currency="CHF", language="xx")


async def look(shop: Shop, session: FakeSession, *, refresh: bool = False) -> str:
    """Return what a page shows: currency and language."""

    async def page(ctx: SessionContext, _: Request) -> str:
        await (ctx.refresh() if refresh else ctx)
        return f"{ctx.currency} {ctx.language}"

    return (await shop.visit(page, token=session.token)).text


async def test_replica_that_knows_no_context_any_more(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Ten seconds after a change, no replica that knows no context makes one process forget it."""
    shop = make_shop(defaults=DEFAULTS)
    session = emporix.new_session(currency="EUR", language="en")
    await shop.switch(session.token, currency="USD")
    emporix.fault("context.get", Fault(status=404), times=1)

    assert await shop.currency(session.token) == "USD"
    emporix.delete_context(session.session_id)
    await asyncio.sleep(700)
    assert await shop.currency(session.token) == "CHF"


async def test_deleted_context(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A context that Emporix has no more comes back out of no store, and costs no more than one that never was."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    shops = [make_shop(store=each, defaults=DEFAULTS) for each in (store, store.sibling(), store.sibling())]
    session = emporix.new_session(currency="EUR", language="en")
    for shop in shops:
        await look(shop, session)
    await asyncio.sleep(20)
    emporix.delete_context(session.session_id)
    await shops[0].switch(session.token, currency="USD")
    await asyncio.sleep(1)
    emporix.clear_calls()

    for _ in range(10):
        assert {await look(shop, session) for shop in shops} == {"USD xx"}
        await asyncio.sleep(1)
    assert emporix.count("context.patch") == 0
    assert emporix.count("context.get") <= 3 * 10 / 2 + 3


@pytest.mark.parametrize("notes", [False, True])
async def test_context_that_goes_at_once(notes: bool, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Within ten seconds of a change one 404 is asked about once more, the next ones are believed."""
    shop = make_shop(**({"secret_key": SECRET} if notes else {}))
    session = emporix.new_session(currency="EUR", language="en")
    browser = Browser(session.token)
    await browser.visit(shop, everything)
    await browser.switch(shop, currency="USD")
    emporix.delete_context(session.session_id)
    emporix.clear_calls()

    for _ in range(10):
        await browser.visit(shop, everything)
        await asyncio.sleep(1)
    assert emporix.count("context.get") <= 10 / 2 + 2


async def test_refresh_of_a_deleted_context(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A refresh shows what Emporix has, also where that is nothing any more."""
    shop = make_shop()
    session = emporix.new_session(currency="EUR", language="en")
    await look(shop, session)
    await asyncio.sleep(3)
    emporix.delete_context(session.session_id)

    assert await look(shop, session, refresh=True) == "None None"
    assert await look(shop, session) == "None None"
