"""Travelling documents beside a store that workers share: judged alike, and never better than what the store knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from starlette.requests import Request

from session_ctx_middleware import SessionContext
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.shop import Shop
from ..support.virtual_time import VirtualClock
from .browser import Browser, page
from .travel import DOCUMENT, in_full, stats, travelling

MakeShop = Callable[..., Shop]


def shared(make_shop: MakeShop, number: int) -> list[Shop]:
    """Return workers that share a store."""
    store = MemoryStore(shared=True, clock=VirtualClock())
    return [travelling(make_shop, store=store if each == 0 else store.sibling())[0] for each in range(number)]


async def test_store_first(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What the store has is not opened again: neither costs a call."""
    one, two = shared(make_shop, 2)
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(one)
    emporix.clear_calls()

    assert await browser.currency(two) == "EUR"
    assert (emporix.calls, stats(two)["travelled"]) == ([], 0)


async def test_empty_store(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A store that was emptied costs no call where the browser brings the document."""
    (one,) = shared(make_shop, 1)
    (two,) = shared(make_shop, 1)
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.currency(one)
    emporix.clear_calls()

    assert await browser.currency(two) == "EUR"
    assert (emporix.calls, stats(two)["travelled"]) == ([], 1)


async def test_floor_of_the_store(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A document below a version that another worker has announced by way of the store is not shown."""
    one, two, three = shared(make_shop, 3)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(one)
    old = browser.cookies[DOCUMENT]
    await two.switch(session.token, currency="USD")  # by something that carries no cookies
    overtaken = Browser(session.token)
    overtaken.cookies[DOCUMENT] = old

    assert [await overtaken.currency(shop) for shop in (three, one, two)] == ["USD"] * 3


async def test_parked_in_the_store(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What waits in the store under the name of the session shows over a document that the browser brought."""
    one, two = shared(make_shop, 2)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(one)
    emporix.fault("context.patch", Fault(status=429), times=None)
    await one.switch(session.token, currency="USD")
    await asyncio.sleep(70)
    emporix.fault("context.get", Fault(status=503), times=None)

    assert (await browser.visit(two, in_full)).text.startswith("USD")


async def test_logout_elsewhere(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A page in flight while its shopper logs out on another worker leaves no document that counts."""
    one, two = shared(make_shop, 2)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    late = await browser.send(one, page)

    async def logout(ctx: SessionContext, _: Request) -> None:
        await ctx.forget()

    await browser.visit(two, logout)
    browser.receive(late)
    emporix.edit(session.session_id, currency="USD")

    assert [await browser.currency(shop) for shop in (one, two)] == ["USD", "USD"]


@pytest.mark.parametrize("same_token", [True, False])
async def test_another_client_of_the_session(make_shop: MakeShop, emporix: FakeEmporix, *, same_token: bool) -> None:
    """A document from before a switch shows in no other instance of the process that has sent the switch."""
    store = MemoryStore(clock=VirtualClock())
    (one,), (two,), (elsewhere,) = (travelling(make_shop, store=each) for each in (store, store, None))
    session = emporix.new_session(currency="EUR")
    shopper = Browser(session.token)
    other = Browser(session.token if same_token else emporix.new_token(session.session_id))
    await other.currency(elsewhere)
    await shopper.currency(one)
    await shopper.switch(one, currency="USD")
    await asyncio.sleep(1)

    assert await other.currency(two) == "USD"
