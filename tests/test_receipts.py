"""Receipts: a reserved attribute tells which parked choices Emporix has, so that no older one is sent over a newer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import ContinuityPolicy, InvalidChange, SessionContext
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, FakeSession, Fault

from .continuity.browser import SECRET, Browser, choosing, everything, named
from .support.shop import Shop, held, patches
from .support.virtual_time import VirtualClock

RESERVED = "_session_ctx"
DAY = 24 * 3600

MakeShop = Callable[..., Shop]

SECRETS = pytest.mark.parametrize("secret", [None, SECRET], ids=["no cookies", "cookies"])


def receipts(emporix: FakeEmporix, session: FakeSession) -> dict[str, float]:
    """Return the receipts that Emporix has."""
    found: dict[str, float] = (held(emporix, session.session_id).get("context") or {}).get(RESERVED, {})
    return found


async def parked_and_sent(shop: Shop, emporix: FakeEmporix, **document: Any) -> tuple[Browser, FakeSession]:
    """Return a browser whose choice of USD was parked, and was sent when there was a context."""
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)
    await browser.visit(shop, choosing(currency="USD"))
    emporix.create_context(session.session_id, **{"currency": "EUR", "language": "en", **document})
    await asyncio.sleep(20)
    await browser.visit(shop, everything)
    assert held(emporix, session.session_id)["currency"] == "USD"
    return browser, session


@SECRETS
async def test_nothing_was_parked(secret: str | None, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A session whose context was there before the first choice never gets a receipt."""
    shop = make_shop(secret_key=secret)
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.visit(shop, everything)
    for values in ({"currency": "USD"}, {"tier": "gold"}, {"currency": "GBP", "language": "fr"}):
        await browser.visit(shop, choosing(0, **values))
        await browser.visit(shop, everything)

    assert [RESERVED in str(body) for body in patches(emporix)] == [False] * 3
    assert held(emporix, session.session_id)["context"] == {"tier": "gold"}


@SECRETS
async def test_something_was_parked(secret: str | None, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What was parked leaves a receipt with its stamp, and so does all that is sent after it."""
    shop = make_shop(secret_key=secret)
    browser, session = await parked_and_sent(shop, emporix)
    first = receipts(emporix, session)
    assert set(first) == {"currency"}
    await browser.visit(shop, choosing(language="fr", tier="gold"))
    assert set(receipts(emporix, session)) == {"currency", "language", "attributes.tier"}
    assert receipts(emporix, session)["currency"] == first["currency"]

    await asyncio.sleep(5)
    await browser.visit(shop, choosing(currency="GBP"))
    assert receipts(emporix, session)["currency"] > first["currency"] + 5


async def test_another_worker_goes_on(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A worker that knows nothing but the document leaves receipts, too, once there are some."""
    browser, session = await parked_and_sent(make_shop(secret_key=SECRET), emporix)
    browser.cookies.clear()
    await browser.visit(make_shop(secret_key=SECRET), choosing(language="fr"))

    assert set(receipts(emporix, session)) == {"currency", "language"}


async def test_hidden_from_attributes(shop: Shop, emporix: FakeEmporix) -> None:
    """The application does not see them among its attributes, and the document as it is has them."""
    browser, session = await parked_and_sent(shop, emporix)
    await browser.visit(shop, named("tier", "gold"))

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        document = ctx.document
        assert document is not None
        assert dict(ctx.attributes) == dict(document.attributes) == {"tier": "gold"}
        context: Any = document.to_dict()["attributes"]
        assert context == {"tier": "gold", RESERVED: receipts(emporix, session)}
        return "seen"

    await asyncio.sleep(100)
    assert (await browser.visit(shop, page)).text == "seen"
    assert (await browser.visit(shop, page)).text == "seen"


async def test_reserved(shop: Shop, emporix: FakeEmporix) -> None:
    """The application can neither set nor remove them."""

    async def page(ctx: SessionContext, _: Request) -> str:
        with pytest.raises(InvalidChange):
            ctx.set_attribute(RESERVED, {})
        with pytest.raises(InvalidChange):
            ctx.remove_attribute(RESERVED)
        return "refused"

    browser, session = await parked_and_sent(shop, emporix)
    before = receipts(emporix, session)
    assert (await browser.visit(shop, page)).text == "refused"
    assert receipts(emporix, session) == before


@SECRETS
async def test_switched_off(secret: str | None, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Where they are not wanted, none is written, and parked choices arrive all the same."""
    shop = make_shop(secret_key=secret, continuity=ContinuityPolicy(receipts=False))
    browser, session = await parked_and_sent(shop, emporix, attributes={"theirs": "1"})
    await browser.visit(shop, choosing(tier="gold"))

    assert [RESERVED in str(body) for body in patches(emporix)] == [False] * 2
    assert held(emporix, session.session_id)["context"] == {"theirs": "1", "tier": "gold"}


@SECRETS
async def test_older_than_a_day(secret: str | None, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A receipt for which there can be no parked choice any more is left out."""
    shop = make_shop(secret_key=secret)
    browser, session = await parked_and_sent(shop, emporix)
    await asyncio.sleep(DAY / 2)
    await browser.visit(shop, choosing(language="fr"))
    assert set(receipts(emporix, session)) == {"currency", "language"}
    await asyncio.sleep(DAY / 2 + 60)
    await browser.visit(shop, choosing(tier="gold"))

    assert set(receipts(emporix, session)) == {"language", "attributes.tier"}


@SECRETS
async def test_foreign_attributes_stay(secret: str | None, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Attributes of others outlive a PATCH that carries receipts, also those that were written a moment ago."""
    shop = make_shop(secret_key=secret)
    theirs = {"a": "1", "deep": {"b": [1, 2, {"c": None}]}}
    browser, session = await parked_and_sent(shop, emporix, attributes=theirs)
    assert held(emporix, session.session_id)["context"] == {**theirs, RESERVED: receipts(emporix, session)}

    await browser.visit(shop, everything)  # a page keeps this version
    mine = receipts(emporix, session)
    emporix.edit(session.session_id, context={**theirs, "late": "2", RESERVED: mine})
    await browser.visit(shop, choosing(language="fr"))

    context = held(emporix, session.session_id)["context"]
    assert context == {**theirs, "late": "2", RESERVED: receipts(emporix, session)}
    assert set(context[RESERVED]) == {"currency", "language"}


async def test_no_room_taken(shop: Shop, emporix: FakeEmporix) -> None:
    """They do not count against the limits of attributes."""
    browser, session = await parked_and_sent(shop, emporix)
    many = {f"key{number}": "x" for number in range(64)}
    await browser.visit(shop, choosing(0, **many))

    context = held(emporix, session.session_id)["context"]
    assert {key: context[key] for key in many} == many
    assert len(context[RESERVED]) == 65


@pytest.mark.parametrize("odd", [None, [], "text", {"currency": "later"}, {"currency": -1}, {"currency": [1]}, 7])
async def test_somebody_wrote_nonsense(odd: Any, shop: Shop, emporix: FakeEmporix) -> None:
    """Nonsense in their place neither costs the session nor holds a choice back."""
    session = emporix.new_session(currency="EUR", attributes={RESERVED: odd, "theirs": "1"})
    browser = Browser(session.token)
    assert (await browser.visit(shop, everything)).text == "EUR en theirs=1"
    await browser.visit(shop, choosing(currency="USD"))

    assert (await browser.visit(shop, everything)).text == "USD en theirs=1"
    assert held(emporix, session.session_id)["currency"] == "USD"


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("ahead", [2.0, 3600.0])
async def test_slow_page(make_shop: MakeShop, emporix: FakeEmporix, ahead: float, *, reads: bool) -> None:
    """A choice counts though a receipt that was there before it seems to be later: somebody else's clock is ahead."""
    memory = MemoryStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(store=memory.sibling(), clock=VirtualClock()) for _ in range(2))
    one.clock.wall_offset = ahead
    browser, session = await parked_and_sent(one, emporix)
    await browser.visit(one, choosing(currency="CAD"))
    await asyncio.sleep(0.5)
    assert await two.currency(session.token) == "CAD"

    async def page(ctx: SessionContext, _: Request) -> None:
        if reads:
            await ctx
        ctx.switch(currency="GBP")
        await asyncio.sleep(1.8)

    await browser.visit(two, page)
    assert [await shop.currency(session.token) for shop in (one, two)] == ["GBP", "GBP"]
    assert held(emporix, session.session_id)["currency"] == "GBP"


async def test_slow_page_beside_others(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """It counts, too, where the document that it was made over is not what it is sent against."""
    memory = MemoryStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(store=memory.sibling(), clock=VirtualClock()) for _ in range(2))
    one.clock.wall_offset = 2.0
    browser, session = await parked_and_sent(one, emporix)
    await browser.visit(one, choosing(currency="CAD"))
    await asyncio.sleep(0.5)

    async def page(ctx: SessionContext, _: Request) -> None:
        assert (await ctx).currency == "CAD"
        ctx.switch(currency="GBP")
        await asyncio.sleep(1.8)

    slow = browser.send(two, page)
    await asyncio.sleep(0.5)
    await one.switch(session.token, language="de")
    await slow

    assert [await shop.currency(session.token) for shop in (one, two)] == ["GBP", "GBP"]


async def test_other_tokens_show_what_a_receipt_tells(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What a receipt says is done still shows for another token of the session, whose document is older."""
    shop = make_shop()
    session = emporix.new_session(currency="EUR")
    other = emporix.new_token(session.session_id)
    await shop.currency(session.token)
    await shop.currency(other)
    emporix.fault("context.*", Fault(status=503), times=None)
    await shop.switch(session.token, currency="USD")
    emporix.clear_faults()
    await asyncio.sleep(20)
    emporix.fault("context.patch", Fault(drop="after"))
    emporix.fault("context.get", Fault(), times=1)
    emporix.fault("context.get", Fault(status=503), times=None)
    await shop.currency(session.token)  # is sent with this page, and nobody hears that it was taken
    assert held(emporix, session.session_id)["currency"] == "USD"
    emporix.clear_faults()
    await asyncio.sleep(20)
    assert await shop.currency(session.token) == "USD"
    emporix.fault("context.*", Fault(status=503), times=None)
    await asyncio.sleep(100)
    await shop.switch(session.token, language="fr")  # is parked, and all tokens look what else is

    assert await shop.currency(other) == "USD"
