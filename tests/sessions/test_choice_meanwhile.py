"""What one tab chooses while another one logs in, on a worker that does not hear of it: the login may not lose it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from session_ctx_middleware import CachePolicy, SessionContext, StorefrontToken
from session_ctx_middleware.emporix import CartFollows
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.shop import Shop
from .customers import JANE, JOE, SECRET, CustomerShop, MakeShop, platform

Meanwhile = Callable[[], Awaitable[None]]
QUICK = CachePolicy(ttl=0.2, stale_while_revalidate=0)


def two_workers(make_shop: MakeShop, emporix: FakeEmporix, *, carts: bool = False) -> tuple[CustomerShop, CustomerShop]:
    """Return workers before which one browser stands."""
    one, other = (
        CustomerShop(make_shop, emporix, cache=QUICK, carts=CartFollows() if carts else None) for _ in range(2)
    )
    other.shop.browser._cookies = one.shop.browser._cookies
    return one, other


def currency(emporix: FakeEmporix) -> str:
    (session,) = emporix._world.sessions
    return str((emporix.document(session) or {})["currency"])


async def log_in_while_another_worker_switches(one: CustomerShop, other: CustomerShop, *faults: Fault) -> None:
    """Choose before Emporix writes the customer's preferences, and after the login has looked.

    Args:
        one: logs in.
        other: switches.
        faults: of changes from then on.
    """
    one.emporix.fault("customer.login", Fault(delay=0.5))
    login = asyncio.create_task(one.login())
    await asyncio.sleep(0.2)
    await other.switch(currency="CHF")
    assert currency(one.emporix) == "CHF"
    for fault in faults:
        one.emporix.fault("context.patch", fault, times=None)
    await login


@pytest.mark.parametrize("before", [{}, {"currency": "GBP"}, {"language": "de"}])
async def test_choice_during_a_login(before: dict[str, str], make_shop: MakeShop) -> None:
    """It is there on every worker, and at Emporix, whatever was chosen before."""
    one, other = two_workers(make_shop, platform())
    await one.page()
    if before:
        await one.switch(**before)
    await log_in_while_another_worker_switches(one, other)

    assert (await one.page())["currency"] == "CHF"
    assert (await other.page())["currency"] == "CHF"
    assert currency(one.emporix) == "CHF"


async def test_choice_during_a_login_before_an_outage(make_shop: MakeShop) -> None:
    """What the login takes along has to wait, and shows, as if it was chosen now: the preferences do not."""
    one, other = two_workers(make_shop, platform())
    await one.page()
    await one.switch(currency="GBP")
    await log_in_while_another_worker_switches(one, other, Fault(status=503))
    assert (await one.page())["currency"] in {"GBP", "CHF"}
    one.emporix.clear_faults()
    await asyncio.sleep(10.0)

    shown = [(await each.page())["currency"] for each in (one, other)]
    assert shown in (["GBP"] * 2, ["CHF"] * 2)
    assert currency(one.emporix) == shown[0]


# With token code of the shop's own


async def adopting(shop: Shop, emporix: FakeEmporix, who: str, meanwhile: Meanwhile | None = None) -> str:
    """Log in by a call of the shop's own, which takes a moment; return the customer's token."""
    world = emporix._world
    (session,) = world.sessions.values()

    async def login(ctx: SessionContext, _: Any) -> str:
        await ctx
        world.log_in(session, world.customers[who])
        if meanwhile is not None:
            await meanwhile()
        token = world.issue(session, 3600.0, customer=world.customers[who])
        await ctx.adopt(StorefrontToken(token))
        return token

    return (await shop.visit(login, token=guests_token(emporix), method="POST")).text


def guests_token(emporix: FakeEmporix) -> str:
    return next(value for value, token in emporix._world.access.items() if token.customer is None)


@pytest.mark.parametrize("before", [{}, {"currency": "CHF"}])
@pytest.mark.parametrize("who", [JANE[0], JOE[0]], ids=["preferences", "none"])
async def test_another_tab_of_the_same_worker(make_shop: MakeShop, who: str, before: dict[str, str]) -> None:
    """What it chooses while the shop logs the customer in is what holds."""
    emporix = platform()
    shop = make_shop(emporix=emporix, secret_key=SECRET)
    guest = emporix.new_session(site_code="main", currency="EUR")
    if before:
        await shop.switch(guest.token, **before)

    async def choose() -> None:
        await shop.switch(guest.token, currency="SEK")

    token = await adopting(shop, emporix, who, choose)
    assert currency(emporix) == "SEK"
    assert await shop.currency(token) == "SEK"


async def test_choice_of_before_a_logout(make_shop: MakeShop) -> None:
    """A login in a session that somebody has logged out of brings back nothing of his, on any worker."""
    emporix = platform()
    one, two = (make_shop(emporix=emporix, secret_key=SECRET, cache=QUICK) for _ in range(2))
    two.browser._cookies = one.browser._cookies
    guest = emporix.new_session(site_code="main", currency="EUR")
    await two.switch(guest.token, currency="CHF")

    async def leave(ctx: SessionContext, _: Any) -> None:
        await ctx.forget()

    await one.visit(leave, token=guest.token, method="POST")
    emporix.edit(guest.session_id, currency="EUR")
    token = await adopting(one, emporix, JANE[0])
    await asyncio.sleep(1.0)

    assert await two.currency(token) == await one.currency(token) == "USD"
    assert currency(emporix) == "USD"


async def test_what_the_back_office_sets_after_a_login(make_shop: MakeShop) -> None:
    """It holds, though no page was seen since the choice that the login has written over."""
    one, other = two_workers(make_shop, platform())
    await one.page()
    await log_in_while_another_worker_switches(one, other)
    await asyncio.sleep(60.0)
    (session,) = one.emporix._world.sessions
    one.emporix.edit(session, currency="SEK")
    await asyncio.sleep(60.0)

    assert (await one.page())["currency"] == "SEK"
    assert currency(one.emporix) == "SEK"


async def test_newer_choice_of_another_worker_with_carts(make_shop: MakeShop) -> None:
    """A login asks what holds before it takes choices along, with carts that follow as well."""
    one, other = two_workers(make_shop, platform(), carts=True)
    await one.page()
    await other.page()
    await one.switch(currency="CHF")
    await one.page()
    sent = "; ".join(f"{each.name}={each.value}" for each in one.shop.browser.cookies.jar)
    await other.switch(currency="SEK")
    one.shop.browser.cookies.clear()
    await one.login(headers={"cookie": sent})

    assert currency(one.emporix) == "SEK"
