"""Another host's clock never decides what is true: what workers tell each other is dated by Emporix' clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from starlette.requests import Request

from session_ctx_middleware import SessionContext
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.shop import Shop, held, patches
from .browser import SECRET, Browser, again, choosing, tier

pytestmark = pytest.mark.parametrize("offset", [-3600.0, 3600.0])


async def both(ctx: SessionContext, _: Request) -> str:
    await ctx
    return f"{ctx.currency} {ctx.language}"


async def test_f40_what_was_seen_elsewhere(make_shop: Callable[..., Shop], emporix: FakeEmporix, offset: float) -> None:
    """F40: Nothing older than what the shopper has seen on another worker shows, whatever the time is there."""
    one, two = (make_shop(secret_key=SECRET) for _ in range(2))
    two.clock.wall_offset = offset
    session = emporix.new_session(currency="EUR", language="en")
    browser = Browser(session.token)
    assert (await browser.visit(two, both)).text == "EUR en"
    emporix.edit(session.session_id, language="fr")
    await browser.switch(one, currency="USD")
    assert (await browser.visit(one, both)).text == "USD fr"

    assert (await browser.visit(two, both)).text == "USD fr"


async def test_f40_lagging_replica(make_shop: Callable[..., Shop], offset: float) -> None:
    """F40: An answer of a replica that is behind is no proof that Emporix never saw a change."""
    emporix = FakeEmporix(replica_lag=5.0, now=lambda: asyncio.get_running_loop().time() + 1.79e9)
    one, two = (make_shop(emporix=emporix, secret_key=SECRET) for _ in range(2))
    two.clock.wall_offset = offset
    session = emporix.new_session(currency="EUR", language="en")
    browser = Browser(session.token)
    await asyncio.sleep(30)
    await browser.switch(one, currency="USD")

    for _ in range(10):
        for shop in (two, one):
            assert await browser.currency(shop) == "USD"
        await asyncio.sleep(1)

    assert len(patches(emporix)) == 1
    assert held(emporix, session.session_id)["currency"] == "USD"


async def test_version_that_fell(make_shop: Callable[..., Shop], emporix: FakeEmporix, offset: float) -> None:
    """A change shows over what another worker has kept since before a backup was put back, whatever its clock says."""
    one, two = (make_shop(secret_key=SECRET) for _ in range(2))
    two.clock.wall_offset = offset
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(one)
    backup = held(emporix, session.session_id)
    for code in ("USD", "CHF", "GBP"):
        await browser.switch(one, currency=code)
        await browser.currency(one)
    await asyncio.sleep(20)
    assert await browser.currency(two) == "GBP"
    emporix.rewrite_context(session.session_id, backup)
    await asyncio.sleep(15)
    await browser.visit(one, again)
    await browser.switch(one, currency="SEK")

    assert [await browser.currency(shop) for shop in (one, two)] == ["SEK", "SEK"]


@pytest.mark.parametrize("fault", [None, Fault(status=503), Fault(delay=60.0)], ids=["sent", "refused", "out of time"])
async def test_choice_that_seems_to_be_older(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, offset: float, fault: Fault | None
) -> None:
    """A choice counts, sent or parked, though one that was replaced before, on another worker, seems to be later."""
    one, two = (make_shop(secret_key=SECRET) for _ in range(2))
    two.clock.wall_offset = offset
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    slow = await browser.send(two, choosing(currency="USD"))
    await browser.switch(one, currency="CHF")
    last = browser.send(one, choosing(3, currency="GBP"))
    await asyncio.sleep(1)
    browser.receive(slow)
    assert await browser.currency(one) in {"CHF", "USD"}
    if fault is not None:
        emporix.fault("context.patch", fault, times=None)
    browser.receive(await last)

    assert [await browser.currency(shop) for shop in (one, two)] == ["GBP", "GBP"]
    emporix.clear_faults()
    for shop in (one, two, one, two):
        await asyncio.sleep(60)
        assert await browser.currency(shop) == "GBP"
    assert held(emporix, session.session_id)["currency"] == "GBP"


async def test_choice_that_waits_beside_a_lost_one(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, offset: float
) -> None:
    """A choice shows though a worker whose clock runs ahead remembers another one, which nobody was told of."""
    fast, right = (make_shop(secret_key=SECRET) for _ in range(2))
    fast.clock.wall_offset = offset
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    for shop in (fast, right):
        await browser.currency(shop)
    await browser.send(fast, choosing(currency="USD"))  # its answer is lost
    emporix.edit(session.session_id, currency="GBP")
    await asyncio.sleep(15)
    assert await browser.currency(fast) == "GBP"
    emporix.fault("context.patch", Fault(status=503), times=None)
    await browser.switch(right, currency="CHF")

    assert [await browser.currency(shop) for shop in (right, fast)] == ["CHF", "CHF"]
    emporix.clear_faults()
    await asyncio.sleep(5)
    assert await browser.currency(fast) == "CHF"
    assert held(emporix, session.session_id)["currency"] == "CHF", "it is sent by whoever hears of it first"
    for shop in (fast, right, fast):
        await asyncio.sleep(15)
        assert await browser.currency(shop) == "CHF"


async def test_swallowed_choice_beside_a_lost_one(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, offset: float
) -> None:
    """A choice that a proxy has dropped shows, and is sent once more, also where another one is remembered."""
    wrong, right = (make_shop(secret_key=SECRET) for _ in range(2))
    wrong.clock.wall_offset = offset
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.send(wrong, choosing(currency="USD"))  # its answer is lost
    emporix.edit(session.session_id, currency="GBP")
    await asyncio.sleep(15)
    assert [await browser.currency(shop) for shop in (wrong, right)] == ["GBP", "GBP"]
    emporix.fault("context.patch", Fault(status=204))
    await browser.switch(right, currency="CHF")
    await asyncio.sleep(3)

    for _ in range(4):
        assert await browser.currency(wrong) == "CHF"
        await asyncio.sleep(5)
    assert held(emporix, session.session_id)["currency"] == "CHF"


async def test_choice_of_somebody_else(make_shop: Callable[..., Shop], emporix: FakeEmporix, offset: float) -> None:
    """What somebody else has changed shows from the cache, too, when another note tells of the shopper's own choice."""
    one, two = (make_shop(secret_key=SECRET) for _ in range(2))
    two.clock.wall_offset = offset
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.switch(two, currency="USD")
    await browser.switch(one, language="fr")
    await asyncio.sleep(15)
    emporix.edit(session.session_id, currency="GBP")

    for _ in range(3):
        assert await browser.currency(one) == "GBP"
        await asyncio.sleep(1)


@pytest.mark.parametrize("joined", [False, True], ids=["as they were told", "joined"])
async def test_choice_that_another_one_seems_to_follow(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, offset: float, *, joined: bool
) -> None:
    """No document from before a choice shows what that has replaced, though one made meanwhile seems to be later."""
    one, two, third = (make_shop(secret_key=SECRET) for _ in range(3))
    two.clock.wall_offset = offset
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    slow = await browser.send(two, choosing(currency="USD"))
    await asyncio.sleep(3)
    await browser.switch(one, currency="CHF")
    assert await browser.currency(third) == "CHF"
    await browser.switch(one, currency="GBP")
    browser.receive(slow)
    if joined:
        assert await browser.currency(one) in {"GBP", "USD"}
    emporix.fault("context.get", Fault(status=503), times=None)

    for shop in (third, one, third):
        assert await browser.currency(shop) in {"GBP", "USD"}, "neither of these two requests knew of the other one"
    emporix.clear_faults()
    await asyncio.sleep(60)
    assert [await browser.currency(shop) for shop in (one, two, third)] == ["GBP"] * 3, "what Emporix took last"
    assert held(emporix, session.session_id)["currency"] == "GBP"


async def test_choice_without_room(make_shop: Callable[..., Shop], emporix: FakeEmporix, offset: float) -> None:
    """What had no room in the cookie, and waits in one worker, does not come in the place of what was chosen later."""
    one, two = (make_shop(secret_key=SECRET) for _ in range(2))
    one.clock.wall_offset = offset
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)
    await browser.visit(one, choosing(tier="old" * 1500))
    assert one.named("continuity.overflow")
    await asyncio.sleep(5)
    await browser.visit(two, choosing(tier="new"))
    emporix.create_context(session.session_id)

    for shop in (two, one, two, one):
        assert (await browser.visit(shop, tier)).text == "new"
        await asyncio.sleep(10)
    assert held(emporix, session.session_id)["context"]["tier"] == "new"
