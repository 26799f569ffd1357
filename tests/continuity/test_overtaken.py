"""Choices that Emporix takes in another order than that of their timestamps, and what a page shows while it is down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from starlette.requests import Request

from session_ctx_middleware import SessionContext
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.shop import Handler, Shop, held
from .browser import SECRET, Browser, choosing


def switching(seconds: float, currency: str) -> Handler:
    """Return an endpoint that switches, and then works for so long."""

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch(currency=currency)
        await asyncio.sleep(seconds)

    return endpoint


async def test_three_overlap(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Right clocks: three pages switch on three workers, the first click is taken last; a fourth has the second."""
    one, two, three, four = (make_shop(secret_key=SECRET) for _ in range(4))
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    answers = []
    for shop, seconds, currency in ((one, 3, "GBP"), (two, 1.5, "CHF"), (three, 0, "USD")):
        answers.append(browser.send(shop, switching(seconds, currency)))
        await asyncio.sleep(0.2)
    await asyncio.sleep(2)
    assert await browser.currency(four) == "CHF"
    for answer in await asyncio.gather(*answers):
        browser.receive(answer)
    assert held(emporix, session.session_id)["currency"] == "GBP"
    emporix.fault("context.get", Fault(status=503), times=None)

    assert await browser.currency(four) in {"GBP", "USD"}


@pytest.mark.parametrize("offset", [0.5, 2.0])
async def test_clocks_a_little_apart(offset: float, make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """One clock is half a second ahead, and its answer comes late: what two choices have replaced is shown no more."""
    one, two, third = (make_shop(secret_key=SECRET) for _ in range(3))
    two.clock.wall_offset = offset
    browser = Browser(emporix.new_session(currency="EUR").token)
    late = await browser.send(two, choosing(currency="USD"))
    await asyncio.sleep(0.3)
    await browser.switch(one, currency="CHF")
    assert await browser.currency(third) == "CHF"
    await browser.switch(one, currency="GBP")
    browser.receive(late)
    emporix.fault("context.get", Fault(status=503), times=None)

    assert await browser.currency(third) in {"GBP", "USD"}


@pytest.mark.parametrize("last", ["EUR", "GBP"])
async def test_last_one_is_what_was_there(last: str, make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Of two choices that overlap every page shows what Emporix took last, also where that chooses what was there."""
    one, two = workers = [make_shop(secret_key=SECRET) for _ in range(2)]
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    for shop in workers:
        assert await browser.currency(shop) == "EUR"
    await asyncio.sleep(20)
    emporix.fault("context.*", Fault(delay=0.02), times=None)
    second = browser.send(two, switching(0.2, last))
    await asyncio.sleep(0.01)
    first = browser.send(one, switching(0, "USD"))
    for answer in (first, second):
        browser.receive(await answer)
    assert held(emporix, session.session_id)["currency"] == last

    for pause in (0, 5, 30, 60):
        await asyncio.sleep(pause)
        assert [await browser.currency(shop) for shop in workers] == [last, last]
