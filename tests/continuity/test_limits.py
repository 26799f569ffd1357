"""What the cookie costs: calls, memory, room in the browser."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import SessionContext, SessionContextMiddleware
from session_ctx_middleware import continuity as module
from session_ctx_middleware.testing import FakeEmporix

from ..support.shop import Shop
from .browser import PREFIX, Browser, page, tier


async def test_crowd_makes_one_call(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """A crowd behind one switch makes one call."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    for shop in workers:
        await browser.currency(shop)
    await browser.switch(workers[0], currency="USD")
    emporix.clear_calls()
    emporix.latency = 0.1
    cookie = {"Cookie": f"{PREFIX}0123456789abcdef={browser.note}"}

    pages = [workers[number % 3].visit(page, token=browser.token, headers=cookie) for number in range(300)]
    assert {response.text for response in await asyncio.gather(*pages)} == {"USD"}
    assert emporix.count("context.get") == 3


async def test_signature_checked_once(
    workers: tuple[Shop, ...], emporix: FakeEmporix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signature is checked once for all requests of a browser."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    await browser.switch(workers[0], currency="USD")
    checked: list[object] = []
    original = module.ContinuityCookies._checked

    def checking(self: module.ContinuityCookies, name: bytes, value: bytes) -> object:
        checked.append(value)
        return original(self, name, value)

    monkeypatch.setattr(module.ContinuityCookies, "_checked", checking)
    for _ in range(20):
        await browser.currency(workers[1])

    assert len(checked) == 1


async def test_garbage_is_bounded(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """Garbage cookies take a bounded amount of memory."""
    browser = Browser(emporix.new_session(currency="EUR").token)
    for number in range(module.REMEMBERED + 50):
        browser.carry(f"garbage-{number}")
        await browser.currency(workers[0])
    shop: Any = workers[0].app.middleware_stack
    while not isinstance(shop, SessionContextMiddleware):
        shop = shop.app
    cookies = shop._deps.cookies
    assert cookies is not None
    assert max(len(cookies._known), len(cookies._parsed)) <= module.REMEMBERED


async def test_overflow_stays_in_the_store(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """Attributes that do not fit are kept by the store, and reported."""
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)

    async def choose(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        ctx.set_attribute("tier", "g" * 5000)

    await browser.visit(workers[0], choose)

    assert len(browser.note) <= 3 * 1024
    assert len(workers[0].named("continuity.overflow")) == 1
    assert await browser.currency(workers[1]) == "USD"
    for _ in range(3):
        assert len((await browser.visit(workers[0], tier)).text) == 5000
        assert not browser.last, "it would say the same again"
    assert len(workers[0].named("continuity.overflow")) == 1


async def test_sent_attributes_take_no_room(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """Large attributes that Emporix took do not fill the cookie."""
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    for shop in workers:
        await browser.currency(shop)

    async def choose(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        ctx.set_attribute("tier", "g" * 5000)

    await browser.visit(workers[0], choose)

    assert len(browser.note) <= 3 * 1024
    assert len((await browser.visit(workers[1], tier)).text) == 5000
    assert await browser.currency(workers[2]) == "USD"
