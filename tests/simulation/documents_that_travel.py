"""Cases of documents that travel in the browser, each made for one guard: they hold with it, and fail without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx2

from session_ctx_middleware.testing import FakeEmporix, Fault

from ..continuity.browser import SECRET, Browser, again
from ..continuity.travel import DOCUMENT, TRAVELS
from ..support.shop import Shop, held


@asynccontextmanager
async def workers(number: int) -> AsyncIterator[tuple[FakeEmporix, list[Shop]]]:
    """Workers that share nothing but the browser."""
    emporix = FakeEmporix(now=lambda: 1.79e9 + asyncio.get_running_loop().time())
    shops = [Shop(emporix, httpx2, secret_key=SECRET, continuity=TRAVELS) for _ in range(number)]
    try:
        yield emporix, shops
    finally:
        for shop in shops:
            await shop.browser.aclose()
            await shop.upstream_client.aclose()


async def a_document_counts_for_its_own_token_alone() -> None:
    async with workers(2) as (emporix, (one, two)):
        first, second = (Browser(emporix.new_session(currency=code).token) for code in ("EUR", "USD"))
        for browser in (first, second):
            await browser.currency(one)
        second.cookies[DOCUMENT] = first.cookies[DOCUMENT]
        assert await second.currency(two) == "USD"


UNDATED: Final = Fault(headers={"date": "unknown"})
"""Something on the way takes the time of Emporix away: else that alone tells what is from before a choice."""


async def an_older_document_does_not_undo_a_choice() -> None:
    async with workers(2) as (emporix, (one, two)):
        emporix.fault("context.*", UNDATED, times=None)
        session = emporix.new_session(currency="EUR")
        browser = Browser(session.token)
        await browser.currency(one)
        backup = held(emporix, session.session_id)
        for code in ("USD", "CHF", "GBP"):
            await browser.switch(one, currency=code)
            await browser.currency(one)
        old = browser.cookies[DOCUMENT]
        emporix.rewrite_context(session.session_id, backup)
        await asyncio.sleep(15)
        await browser.visit(one, again)
        await browser.switch(one, currency="SEK")
        browser.cookies[DOCUMENT] = old
        assert await browser.currency(two) == "SEK"


async def a_document_that_came_before_the_choice_does_not_undo_it() -> None:
    async with workers(2) as (emporix, (one, two)):
        emporix.fault("context.*", UNDATED, times=None)
        session = emporix.new_session(currency="EUR")
        browser = Browser(session.token)
        await browser.currency(one)
        backup = held(emporix, session.session_id)
        for code in ("USD", "CHF", "GBP"):
            await browser.switch(one, currency=code)
            await browser.currency(one)
        overtaken = Browser(browser.token)
        overtaken.cookies = dict(browser.cookies)
        emporix.rewrite_context(session.session_id, backup)
        await asyncio.sleep(15)
        await overtaken.currency(two)
        await browser.visit(one, again)
        await browser.switch(one, currency="SEK")
        emporix.clear_faults()
        emporix.fault("context.*", Fault(status=503), times=None)
        assert await browser.currency(two) == "SEK"


async def of_two_documents_the_later_one_shows() -> None:
    async with workers(2) as (emporix, (one, two)):
        session = emporix.new_session(currency="EUR")
        browser = Browser(session.token)
        await browser.currency(one)
        old = browser.cookies[DOCUMENT]
        await asyncio.sleep(40)
        emporix.edit(session.session_id, currency="USD")
        await browser.visit(two, again)
        assert await browser.currency(two) == "USD"
        await asyncio.sleep(70)
        browser.cookies[DOCUMENT] = old
        emporix.fault("context.*", Fault(status=503), times=None)
        assert await browser.currency(two) == "USD"
