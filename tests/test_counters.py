"""What `stats()` counts moves: each counter has a test that moves it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import CachePolicy, SessionContext
from session_ctx_middleware.emporix import CartFollows, PublicToken, SiteCatalog
from session_ctx_middleware.engine import Stats
from session_ctx_middleware.events import Events
from session_ctx_middleware.testing import FakeEmporix, Fault, Quirks

from .continuity.browser import Browser
from .continuity.travel import stats, travelling
from .sessions.customers import CustomerShop
from .support.shop import Shop
from .support.virtual_time import WALL_START
from .test_carts import CartShop

MakeShop = Callable[..., Shop]
TABLES = {"test_docs_tables.py", "test_telemetry_names.py"}
"""Tests that read what the docs say: they name counters, and move none."""


@pytest.fixture
def platform() -> FakeEmporix:
    """Emporix, where a login begins a context."""
    return FakeEmporix(context_at="login", now=lambda: WALL_START + asyncio.get_running_loop().time())


async def page(ctx: SessionContext, _: Request) -> str:
    return (await ctx).currency or ""


async def refreshed(ctx: SessionContext, _: Request) -> None:
    await ctx.refresh()


async def with_a_cart(ctx: SessionContext, _: Request) -> None:
    await ctx.cart_created()


async def test_reads_and_calls(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Reads are counted by where their answer came from, calls as they are made."""
    shop, token = make_shop(cache=CachePolicy(jitter=0)), emporix.new_session(currency="EUR").token
    await shop.visit(page, token=token)
    await shop.visit(page, token=token)
    await asyncio.sleep(61)
    await shop.visit(page, token=token)
    await asyncio.sleep(1)
    await shop.switch(token, currency="USD")
    emporix.fault("context.get", Fault(status=422), times=None)
    await shop.visit(page, token=emporix.new_session().token)

    names = ("hits", "stale", "misses", "degraded", "upstream_gets", "upstream_patches")
    assert [stats(shop)[name] for name in names] == [1, 1, 2, 1, 3, 1]


async def test_a_publication_that_came_too_late(shop: Shop, emporix: FakeEmporix) -> None:
    """An answer that was asked for before a refresh is not kept, and that is counted."""
    token = emporix.new_session(currency="EUR").token
    emporix.fault("context.get", Fault(delay=1), times=1)
    first = asyncio.create_task(shop.visit(page, token=token))
    await asyncio.sleep(0.5)
    await shop.visit(refreshed, token=token)
    await first

    assert stats(shop)["refused_publications"] == 1


async def test_a_document_that_is_outdated(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A document that a browser brings is counted where it is older than what the browser has seen since."""
    one, two, three = travelling(make_shop, 3)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    late = await browser.send(one, page)
    emporix.edit(session.session_id, currency="CHF")
    await browser.visit(two, with_a_cart)
    browser.receive(late)

    assert (await browser.visit(three, page)).text == "CHF"
    assert stats(three)["document_outdated"] == 1


@pytest.mark.parametrize(
    ("quirks", "counter"), [(Quirks(), "cart.moved"), (Quirks(currency_delay=5.0), "cart.accepted")]
)
async def test_carts_that_follow(make_shop: MakeShop, quirks: Quirks, counter: str) -> None:
    """A cart that has followed its shopper is counted, also one that does not show it yet."""
    shop = CartShop(make_shop, FakeEmporix(quirks=quirks, now=lambda: asyncio.get_running_loop().time()))
    await shop.fill()
    await shop.switch(currency="CHF")

    assert stats(shop.shop)[counter] == 1


async def test_a_login(make_shop: MakeShop, platform: FakeEmporix) -> None:
    """A login is a move to another token, and tells what became of the guest's cart."""
    shop = CustomerShop(make_shop, platform, carts=CartFollows())
    await shop.page()
    await shop.login()

    assert [stats(shop.shop)[name] for name in ("session.moved", "cart.merged")] == [1, 1]


async def test_sites_that_come_back(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A failure of Site Settings is counted, and its end."""
    catalog = SiteCatalog(PublicToken("storefront"))
    shop, token = make_shop(sites=catalog), emporix.new_session(currency="EUR").token
    emporix.fault("site.list", Fault(status=500), times=1)
    for _ in range(2):
        await shop.visit(page, token=token)
        await catalog.load()
        await asyncio.sleep(61)

    assert [stats(shop)[name] for name in ("sites.failed", "sites.answered")] == [1, 1]


def test_every_counter_has_a_test() -> None:
    """No counter is there that no test names."""
    tests = [path for path in Path(__file__).parent.rglob("*.py") if path.name not in TABLES]
    named = {each for path in tests for each in re.findall(r'"([a-z_.]+)"', path.read_text("utf-8"))}

    assert {*asdict(Stats()), *Events().counters()} <= named


def test_every_outcome_has_a_counter() -> None:
    """What `stats()` counts by outcomes has no event left that it would not count."""
    counted: Any = Events().counters()

    assert "document.passed_over" not in counted
    assert "document.ignored" not in counted
    assert {"document_outdated", "document_unreadable", "refused", "dropped"} <= set(counted)
