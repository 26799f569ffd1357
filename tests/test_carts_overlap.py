"""Carts that follow while other pages switch, too, and while Emporix, the cart or the browser goes away meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from starlette.requests import HTTPConnection
from starlette.responses import Response

from session_ctx_middleware import SessionContext, SessionContextError, UpstreamPolicy, get_session_context
from session_ctx_middleware.emporix import CartOutcome, PublicToken, SiteCatalog
from session_ctx_middleware.errors import ConfigurationError
from session_ctx_middleware.resolution import Host
from session_ctx_middleware.testing import FakeEmporix, Fault, Quirks

from .support.shop import Shop, held
from .test_carts import CartShop

MakeShop = Callable[..., Shop]
SLOW_CART = Fault(delay=0.3)


@pytest.fixture
async def shop(make_shop: MakeShop, emporix: FakeEmporix) -> CartShop:
    shop = CartShop(make_shop, emporix)
    await shop.fill()
    return shop


def agree_or_are_said_not_to(shop: CartShop, *outcomes: CartOutcome | None) -> bool:
    session, cart = shop.currencies
    return session == cart or bool({each.state for each in outcomes if each is not None} & {"half", "accepted"})


# Several pages, several commits


async def test_two_pages_at_once(shop: CartShop) -> None:
    """One moves cart and session after the other."""
    await shop.page()
    shop.emporix.fault("cart.change_currency", SLOW_CART)
    slow = asyncio.create_task(shop.switch(currency="CHF"))
    await asyncio.sleep(0.05)
    outcomes = await asyncio.gather(shop.switch(currency="USD"), slow)

    assert len(set(shop.currencies)) == 1
    assert agree_or_are_said_not_to(shop, *outcomes)


async def test_switch_while_a_commit_waits(shop: CartShop) -> None:
    """What is recorded meanwhile goes with the next commit, and its cart, too."""

    async def endpoint(ctx: SessionContext, _: Any) -> None:
        await ctx
        shop.emporix.fault("cart.change_currency", SLOW_CART)
        ctx.switch(currency="CHF")
        first = asyncio.create_task(ctx.commit())
        await asyncio.sleep(0.1)
        ctx.switch(currency="USD")
        await first
        await ctx.commit()

    await shop.shop.visit(endpoint, token=shop.session.token, method="POST")
    assert shop.currencies == ("USD", "USD")


async def test_two_commits_at_once(shop: CartShop) -> None:
    """They are one."""

    async def endpoint(ctx: SessionContext, _: Any) -> str:
        ctx.switch(currency="CHF")
        await asyncio.gather(ctx.commit(), ctx.commit())
        return "" if ctx.cart_outcome is None else ctx.cart_outcome.state

    answer = await shop.shop.visit(endpoint, token=shop.session.token, method="POST")
    assert answer.text == "moved"
    assert shop.calls.count("cart.change_currency") == 1


async def test_conflict_that_others_win(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Where the shop decides for what somebody else has written, the cart is said to be elsewhere."""
    shop = CartShop(make_shop, emporix, upstream=UpstreamPolicy(on_conflict=lambda field, base, ours, theirs: theirs))
    await shop.fill()
    await shop.page()
    shop.emporix.fault("cart.change_currency", SLOW_CART)
    switching = asyncio.create_task(shop.switch(currency="CHF"))
    await asyncio.sleep(0.1)
    emporix.edit(shop.session.session_id, currency="USD")

    assert agree_or_are_said_not_to(shop, await switching)


async def test_browser_that_leaves(shop: CartShop) -> None:
    """The session follows the cart though nobody waits for it any more."""
    await shop.page()
    shop.emporix.fault("cart.change_currency", SLOW_CART)
    leaving = asyncio.create_task(shop.switch(currency="CHF"))
    await asyncio.sleep(0.1)
    leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving
    await asyncio.sleep(10.0)

    assert shop.currencies == ("CHF", "CHF")


async def test_no_time_left(shop: CartShop) -> None:
    """A commit that has no time left begins nothing with the cart, and keeps the choice."""
    shop.emporix.fault("context.patch", Fault(hang=True), times=1)

    async def endpoint(ctx: SessionContext, _: Any) -> None:
        ctx.set_attribute("gift", "yes")
        with suppress(SessionContextError):
            await ctx.commit()
        ctx.switch(currency="CHF")

    await shop.shop.visit(endpoint, token=shop.session.token, method="POST")
    await asyncio.sleep(20.0)
    await shop.page()
    assert shop.currencies == ("CHF", "CHF")


# Which cart it is


@pytest.mark.parametrize("times", [1, 3, None])
async def test_context_that_cannot_be_read(shop: CartShop, times: int | None) -> None:
    """Nothing is switched without knowing the cart: the choice waits, and takes the cart along."""
    shop.emporix.fault("context.get", Fault(status=503), times=times)
    outcome = await shop.switch(currency="CHF")
    assert agree_or_are_said_not_to(shop, outcome)
    shop.emporix.clear_faults()
    await asyncio.sleep(20.0)
    await shop.page()

    assert shop.currencies == ("CHF", "CHF")


async def test_cart_made_elsewhere(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A cart that another device has made since the context was read goes along."""
    shop = CartShop(make_shop, emporix)
    await shop.page()
    await shop.fill()
    await shop.switch(currency="CHF")
    assert shop.currencies == ("CHF", "CHF")


async def test_another_cart_meanwhile(shop: CartShop) -> None:
    """So does one that has taken the place of one that was ordered."""
    await shop.page()
    shop.emporix.end_cart(shop.cart_id)
    await shop.fill()
    await shop.switch(currency="CHF")
    assert shop.currencies == ("CHF", "CHF")


async def test_choice_that_has_waited(shop: CartShop) -> None:
    """It takes the cart along, whatever else the request that sends it wants."""
    shop.emporix.fault("context", Fault(status=503), times=None)
    await shop.switch(currency="CHF", commits=False)
    shop.emporix.clear_faults()
    await asyncio.sleep(20.0)
    outcome = await shop.switch(language="fr")

    assert agree_or_are_said_not_to(shop, outcome)
    assert held(shop.emporix, shop.session.session_id)["language"] == "fr"


async def test_choice_that_has_waited_and_cannot_take_the_cart(shop: CartShop) -> None:
    """It is made, and cart and session are said to disagree."""
    shop.emporix.fault("context", Fault(status=503), times=None)
    await shop.switch(currency="CHF", commits=False)
    shop.emporix.clear_faults()
    await asyncio.sleep(20.0)
    shop.emporix.fault("cart.change_currency", Fault(status=400))
    outcome = await shop.switch(language="fr")

    assert outcome is not None
    assert outcome.state == ("half" if len(set(shop.currencies)) > 1 else "failed")


# What the Cart Service says


@pytest.mark.parametrize("status", [429, 400, 401, 404])
@pytest.mark.parametrize("first", [Fault(status=502, apply=True), Fault(drop="after")], ids=["a lie", "breaks"])
async def test_refused_after_a_doubt(shop: CartShop, first: Fault, status: int) -> None:
    """What a second attempt is refused may have been done by the first one."""
    shop.emporix.fault("cart.change_currency", first)
    shop.emporix.fault("cart.change_currency", Fault(status=status, retry_after=1))
    outcome = await shop.switch(currency="CHF")

    assert outcome is not None
    assert outcome.state in {"moved", "half"}
    assert agree_or_are_said_not_to(shop, outcome)


async def test_doubt_about_what_shows_later(make_shop: MakeShop) -> None:
    """A cart that shows the old currency after a lost answer may still have taken the new one."""
    emporix = FakeEmporix(quirks=Quirks(currency_delay=5.0), now=lambda: asyncio.get_running_loop().time())
    shop = CartShop(make_shop, emporix)
    await shop.fill()
    emporix.fault("cart.change_currency", Fault(status=502, apply=True), times=2)
    outcome = await shop.switch(currency="CHF")

    assert outcome is not None
    assert outcome.state == "half"


async def test_what_was_chosen_along_with_a_site(shop: CartShop) -> None:
    """A language and a country that were chosen are switched, though the cart cannot follow to the site."""
    shop.emporix.fault("cart.change_site", Fault(status=400), times=None)
    await shop.switch(site_code="us", currency="USD", language="fr", target_location="AT")

    document = held(shop.emporix, shop.session.session_id)
    assert (document["siteCode"], document["language"], document["targetLocation"]) == ("main", "fr", "AT")


async def test_what_a_site_brings_along(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What only the site has brought along stays away with it."""
    shop = CartShop(make_shop, emporix, sites=SiteCatalog(PublicToken("storefront")))
    await shop.fill()
    await shop.page()
    emporix.fault("cart.change_site", Fault(status=400), times=None)
    await shop.switch(site_code="us")

    document = held(emporix, shop.session.session_id)
    assert [document[name] for name in ("siteCode", "currency", "language")] == ["main", "EUR", "de"]


async def test_currency_of_the_address(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A currency that only the address names is not the session's, and moves no cart."""
    shop = CartShop(make_shop, emporix, resolve=Host({"shop.test": {"currency": "USD"}}))
    await shop.fill()
    await shop.switch(site_code="main")
    assert shop.currencies == ("EUR", "EUR")


# Whoever leaves, or has to wait


@pytest.mark.parametrize("values", [{"language": "fr"}, {"currency": "CHF"}, {"currency": "CHF", "language": "fr"}])
@pytest.mark.parametrize("commits", [True, False])
async def test_browser_that_leaves_before_anything_is_known(
    shop: CartShop, commits: bool, values: dict[str, str]
) -> None:
    """What it has chosen is sent all the same."""
    shop.emporix.fault("context.get", Fault(delay=0.3), times=1)
    await left(shop.switch(commits=commits, **values))
    await asyncio.sleep(20.0)
    await shop.page()

    document = held(shop.emporix, shop.session.session_id)
    assert {name: document[name] for name in values} == values
    assert len(set(shop.currencies)) == 1


async def test_browser_that_leaves_while_the_cart_refuses(shop: CartShop) -> None:
    """What has nothing to do with the cart is switched."""
    await shop.page()
    shop.emporix.fault("cart.change_currency", Fault(delay=0.3, status=400))
    await left(shop.switch(currency="CHF", language="fr"))
    await asyncio.sleep(5.0)
    assert held(shop.emporix, shop.session.session_id)["language"] == "fr"


@pytest.mark.parametrize("slow", ["cart.change_currency", "context.patch"])
async def test_browser_that_leaves_before_an_outage(shop: CartShop, slow: str) -> None:
    """What cannot be sent then waits, though an explicit commit would have raised."""
    await shop.page()
    shop.emporix.fault(slow, Fault(delay=0.3), times=1)
    shop.emporix.fault("context.patch", Fault(status=503), times=None)
    await left(shop.switch(currency="CHF"))
    await asyncio.sleep(20.0)
    shop.emporix.clear_faults()
    await asyncio.sleep(20.0)
    await shop.page()
    assert shop.currencies == ("CHF", "CHF")


async def left(request: Any) -> None:
    leaving = asyncio.create_task(request)
    await asyncio.sleep(0.1)
    leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving


async def test_shutdown_while_a_cart_hangs(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Pages end as they do while a cart hangs, and say so."""
    shop = CartShop(make_shop, emporix, secret_key="s" * 32)
    await shop.fill()
    middlewares: list[Any] = []

    async def endpoint(ctx: SessionContext, _: Any) -> None:
        await ctx
        middlewares.append(ctx.middleware)
        ctx.switch(currency="CHF")

    emporix.fault("cart", Fault(hang=True), times=None)
    pages = [asyncio.create_task(shop.shop.visit(endpoint, token=shop.session.token, method="POST")) for _ in range(3)]
    await asyncio.sleep(0.5)
    await middlewares[0].aclose()

    for answer in await asyncio.gather(*pages):
        assert answer.status_code == 200
    assert shop.shop.named("cart.half")
    assert not shop.shop.named("changes.discarded")


async def test_commits_that_are_cut_short(shop: CartShop) -> None:
    """None of them keeps the next one waiting for ever."""
    done: list[int] = []

    async def endpoint(ctx: SessionContext, _: Any) -> None:
        await ctx
        ctx.switch(currency="CHF")
        for number in range(4):
            with suppress(SessionContextError):
                await ctx.commit()
            done.append(number)
            await asyncio.sleep(0)

    shop.emporix.fault("cart", Fault(delay=40.0), times=None)
    page = asyncio.create_task(shop.shop.visit(endpoint, token=shop.session.token, method="POST"))
    await asyncio.sleep(0.5)
    await asyncio.wait_for(page, 60.0)
    assert done == [0, 1, 2, 3]


async def test_many_switches_while_the_cart_hangs(shop: CartShop) -> None:
    """None of them waits for longer than a commit may take."""
    shop.emporix.fault("cart", Fault(hang=True), times=None)
    loop = asyncio.get_running_loop()

    async def timed() -> float:
        began = loop.time()
        await shop.switch(currency="CHF", commits=False)
        return loop.time() - began

    assert max(await asyncio.gather(*(timed() for _ in range(8)))) <= 3.1


async def test_token_source_that_commits(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """It is told so, instead of waiting for itself."""

    async def source(connection: HTTPConnection) -> str:
        ctx = get_session_context(connection)
        ctx.switch(currency="CHF")
        with pytest.raises(ConfigurationError, match="token source"):
            await ctx.commit()
        ctx.discard()
        return token

    shop = CartShop(make_shop, emporix, token=source)
    token = shop.session.token
    await asyncio.wait_for(shop.page(), 10.0)


# One request, several attempts


async def test_second_attempt(shop: CartShop) -> None:
    """The outcome is that of the last one."""
    shop.emporix.fault("context.patch", Fault(status=503), times=1)
    states: list[str] = []

    async def endpoint(ctx: SessionContext, _: Any) -> None:
        ctx.switch(currency="CHF")
        for _attempt in range(2):
            with suppress(SessionContextError):
                await ctx.commit()
            states.append("" if ctx.cart_outcome is None else ctx.cart_outcome.state)

    await shop.shop.visit(endpoint, token=shop.session.token, method="POST")
    assert states[-1] == "moved"
    assert shop.currencies == ("CHF", "CHF")


async def test_choice_made_while_another_one_fails(shop: CartShop) -> None:
    """It is not dropped with it."""
    await shop.page()
    shop.emporix.fault("cart.change_currency", Fault(delay=0.3, status=400), times=1)

    async def endpoint(ctx: SessionContext, _: Any) -> None:
        ctx.switch(currency="CHF")
        first = asyncio.create_task(ctx.commit())
        await asyncio.sleep(0.1)
        ctx.switch(currency="USD")
        with suppress(SessionContextError):
            await first
        await ctx.commit()

    await shop.shop.visit(endpoint, token=shop.session.token, method="POST")
    assert shop.currencies == ("USD", "USD")


async def test_failed_choice_over_one_that_waits(shop: CartShop) -> None:
    """The earlier one is made, with its cart, and said to be."""
    shop.emporix.fault("context", Fault(status=503), times=None)
    await shop.switch(currency="CHF", commits=False)
    shop.emporix.clear_faults()
    await asyncio.sleep(30.0)
    shop.emporix.fault("cart.change_currency", Fault(status=400), times=1)
    outcome = await shop.switch(currency="USD")

    assert outcome is not None
    assert len(set(shop.currencies)) == 1
    assert outcome.state == "moved"


@pytest.mark.parametrize("ends", ["discard", "status 500"])
async def test_open_cart_before_a_choice_is_dropped(shop: CartShop, ends: str) -> None:
    """A cart that is there goes nowhere that the session never gets to."""

    async def endpoint(ctx: SessionContext, _: Any) -> Response:
        await ctx
        ctx.switch(currency="CHF")
        await ctx.open_cart()
        if ends == "discard":
            ctx.discard()
        return Response(status_code=500 if ends == "status 500" else 200)

    await shop.shop.visit(endpoint, token=shop.session.token, method="POST")
    assert shop.currencies == ("EUR", "EUR")


async def test_language_alone_over_what_is_cached(shop: CartShop) -> None:
    """It costs what it costs without carts, however old the cache is."""
    for age in (0.0, 5.0, 70.0, 400.0):
        await shop.page()
        await asyncio.sleep(age)
        shop.emporix.clear_calls()
        await shop.switch(language="fr" if age else "en")
        assert shop.calls.count("context.get") <= 1
        assert not [each for each in shop.calls if each.startswith("cart.")]
