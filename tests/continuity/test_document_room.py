"""How much room documents and notes take together: in one response, and in the browser."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from starlette.requests import Request

from session_ctx_middleware import ContinuityPolicy, SessionContext
from session_ctx_middleware.testing import FakeEmporix

from ..support.shop import Shop
from .browser import Browser, everything, named, page
from .travel import DOCUMENT, stats, travelling

MakeShop = Callable[..., Shop]


def set_bytes(browser: Browser) -> int:
    return sum(map(len, browser.last))


def carried(browser: Browser) -> int:
    return sum(len(name) + 1 + len(value) for name, value in browser.cookies.items())


@pytest.mark.parametrize("bulk", [0, 500, 1000, 1500, 1800, 2000, 2100, 2300, 2600])
async def test_one_response(make_shop: MakeShop, emporix: FakeEmporix, bulk: int) -> None:
    """No response sets more than three KiB, and no browser carries more than six, whatever the document is like."""
    shops = travelling(make_shop, 3)
    browser = Browser(emporix.new_session(currency="EUR", attributes={"bulk": "b" * bulk}).token)
    for number in range(12):
        shop = shops[number % 3]
        await browser.visit(shop, named(f"key{number % 4}", str(number) * 200) if number % 3 == 1 else page)
        assert set_bytes(browser) <= 3 * 1024
        assert carried(browser) <= 6 * 1024


async def test_document_waits_for_room(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A document that has no room beside a new note goes with the next response."""
    one, two = travelling(make_shop, 2)
    session = emporix.new_session(currency="EUR", attributes={"bulk": "b" * 1100})
    browser = Browser(session.token)

    async def both(ctx: SessionContext, _: Request) -> None:
        ctx.set_attribute("note", "n" * 600)
        await ctx.commit()
        await ctx.refresh()

    await browser.visit(one, both)
    assert (DOCUMENT in browser.cookies, len(browser.cookies)) == (False, 1)
    await browser.visit(one, page)
    assert DOCUMENT in browser.cookies
    emporix.clear_calls()
    assert await browser.currency(two) == "EUR"
    assert emporix.calls == []


async def test_notes_come_first(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Where notes and document would take more than six KiB together, the document goes, and no choice is lost."""
    one, two = travelling(make_shop, 2)
    session = emporix.new_session(currency="EUR", attributes={"bulk": "b" * 1500})
    browser = Browser(session.token)
    await browser.currency(one)
    assert DOCUMENT in browser.cookies
    for number in range(5):
        await browser.visit(one, named(f"key{number}", str(number) * 700))
    assert carried(browser) <= 6 * 1024

    shown = (await browser.visit(two, everything)).text
    assert [f"key{number}={str(number) * 700}" in shown for number in range(5)] == [True] * 5


async def test_smaller_cookies(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """`max_bytes` holds for the document, too."""
    (shop,) = travelling(make_shop, continuity=ContinuityPolicy(document=True, max_bytes=512))
    browser = Browser(emporix.new_session(currency="EUR", attributes={"bulk": "b" * 400}).token)
    await browser.currency(shop)

    assert browser.cookies == {}
    assert stats(shop)["document.left_out"] == 1


async def test_other_alphabets(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A letter of any alphabet takes as many bytes as UTF-8 needs for it, and odd values travel unchanged."""
    one, two = travelling(make_shop, 2)
    attributes = {"name": "ümläut" * 100, "odd": "half \ud83d", "deep": {"a": {"b": {"c": None}}}}
    session = emporix.new_session(currency="EUR", attributes=attributes)
    browser = Browser(session.token)
    await browser.currency(one)

    async def whole(ctx: SessionContext, _: Request) -> str:
        document = (await ctx).document
        assert document is not None
        return json.dumps(document.to_wire(), sort_keys=True)

    assert (await browser.visit(two, whole)).text == (await browser.visit(one, whole)).text
    assert stats(two)["travelled"] == 1
    assert len(browser.cookies[DOCUMENT]) < 1700
