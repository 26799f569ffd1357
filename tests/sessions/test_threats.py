"""What an attacker might have a browser send: none of it changes whose session a page shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest

from session_ctx_middleware import LoginRefused, SessionContext
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.testing import FakeEmporix

from ..support.shop import Shop
from ..support.virtual_time import WALL_START
from .customers import JANE, JOE, CustomerShop, platform
from .keys import SECRET

PREFIX = "__Host-"
MakeShop = Callable[..., Shop]


@pytest.fixture
def emporix() -> FakeEmporix:
    return FakeEmporix(context_at="login", now=lambda: WALL_START + asyncio.get_running_loop().time())


@pytest.fixture
def shop(make_shop: MakeShop) -> Shop:
    return make_shop(token=StorefrontSessions("storefront"), secret_key=SECRET)


@pytest.fixture
async def attacker(shop: Shop) -> AsyncIterator[httpx2.AsyncClient]:
    """Another browser in the same shop."""
    transport = httpx2.ASGITransport(shop.app)
    async with httpx2.AsyncClient(transport=transport, base_url="https://shop.test") as browser:
        yield browser


async def who(ctx: SessionContext, _: Any) -> str:
    return (await ctx).session_id or ""


def kept(browser: httpx2.AsyncClient) -> tuple[str, str]:
    """Return name and value of the cookie of a browser's session."""
    found = [(each.name, each.value or "") for each in browser.cookies.jar if "storefront_session" in each.name]
    assert len(found) == 1
    return found[0]


async def begun(browser: httpx2.AsyncClient, shop: Shop) -> str:
    shop._handlers["who"] = who
    return (await browser.get("/who")).text


async def test_tossed_cookie(shop: Shop, attacker: httpx2.AsyncClient) -> None:
    """A cookie that a neighbouring host or a page without TLS has set, with a session that exists, is nobody's."""
    theirs = await begun(attacker, shop)
    name, value = kept(attacker)
    tossed = f"{name.removeprefix(PREFIX)}={value}"

    first = (await shop.visit(who, headers={"cookie": tossed})).text
    mine = (await shop.visit(who)).text
    own = "=".join(kept(shop.browser))

    assert theirs not in {first, mine}
    for order in (f"{own}; {tossed}", f"{tossed}; {own}", "; ".join([tossed] * 30 + [own])):
        assert (await shop.visit(who, headers={"cookie": order})).text == mine


async def test_duplicated_cookie(shop: Shop) -> None:
    """Of several cookies of one name the one that can be opened counts, whatever stands before it."""
    mine = (await shop.visit(who)).text
    name, value = kept(shop.browser)

    for others in ([""], ["rubbish"], [value[:-1]], ["rubbish", value[1:], f'"{value[2:]}"']):
        bent = [f"{name}={other}" for other in others]
        assert (await shop.visit(who, headers={"cookie": "; ".join([*bent, f"{name}={value}"])})).text == mine


async def test_cookie_of_another_tenant(make_shop: MakeShop, shop: Shop) -> None:
    """A session of one tenant is none of another one, also where both have one secret and the name was changed."""
    await shop.visit(who)
    _, value = kept(shop.browser)
    other = make_shop(
        emporix=FakeEmporix("other", context_at="login"), token=StorefrontSessions("storefront"), secret_key=SECRET
    )
    await other.visit(who)
    name, own = kept(other.browser)

    mine = (await other.visit(who)).text
    assert (await other.visit(who, headers={"cookie": f"{name}={value}; {name}={own}"})).text == mine
    assert (await other.visit(who, headers={"cookie": f"{name}={value}"})).text != mine


async def test_stolen_note(shop: Shop, attacker: httpx2.AsyncClient) -> None:
    """What a browser carries besides its session shows nothing of it to somebody with another one."""

    async def switch(ctx: SessionContext, _: Any) -> None:
        await ctx
        ctx.switch(currency="CHF")
        ctx.set_attribute("gift", "for Ann")

    async def read(ctx: SessionContext, _: Any) -> str:
        return f"{(await ctx).attributes.get('gift')}"

    await shop.visit(switch, method="POST")
    notes = [f"{each.name}={each.value}" for each in shop.browser.cookies.jar if "storefront" not in each.name]
    await begun(attacker, shop)
    shop._handlers["read"] = read
    assert notes

    seen = await attacker.get("/read", headers={"cookie": "; ".join([*notes, "=".join(kept(attacker))])})

    assert seen.text == "None"
    assert (await shop.visit(read)).text == "for Ann"


async def test_login_by_another_site(make_shop: MakeShop) -> None:
    """A form on another site logs nobody in: the shopper would buy in the attacker's account (login CSRF)."""
    emporix = platform()
    shop = CustomerShop(make_shop, emporix)
    before = await shop.page()

    with pytest.raises(LoginRefused):
        await shop.login(JOE, headers={"sec-fetch-site": "cross-site", "origin": "https://evil.example"})

    assert emporix.count("customer.login") == 0
    assert (await shop.page())["session"] == before["session"]
    assert (await shop.login(JANE, headers={"sec-fetch-site": "same-origin"})).kind == "login"


async def test_replay_after_logout(make_shop: MakeShop) -> None:
    """Cookies of before a logout show nothing of the customer: not in her browser, and not in a thief's."""
    shop = CustomerShop(make_shop, platform())
    await shop.login(JANE)
    await shop.note(gift="for Ann")
    await shop.page()
    stolen = "; ".join(f"{each.name}={each.value}" for each in shop.shop.browser.cookies.jar)
    await shop.logout()
    marks = "; ".join(f"{each.name}={each.value}" for each in shop.shop.browser.cookies.jar)
    shop.shop.browser.cookies.clear()

    for cookies in (f"{stolen}; {marks}", f"{marks}; {stolen}", stolen):
        seen = await shop.page(headers={"cookie": cookies})
        shop.shop.browser.cookies.clear()
        assert seen["customer"] in {None, "ANONYMOUS"}
        assert (seen["attributes"], seen["is_logged_in"]) == ({}, False)
