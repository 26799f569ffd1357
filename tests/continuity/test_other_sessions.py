"""Another session in the same browser: what goes along, and what waits until the shopper is back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.requests import HTTPConnection, Request

from session_ctx_middleware import SessionContext, StorefrontToken
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.shop import Shop, held
from .browser import SECRET, Browser, attribute, named, tier


def attributes(emporix: FakeEmporix, session_id: str) -> dict[str, Any]:
    """Return the attributes that Emporix has, but for the receipts."""
    document: dict[str, Any] = emporix.document(session_id) or {}
    return {key: value for key, value in (document.get("context") or {}).items() if key != "_session_ctx"}


async def test_only_switches_go_along(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """To another session only the switches go along."""
    guest, customer = emporix.new_session(exists=False), emporix.new_session(currency="EUR")
    browser = Browser(guest.token)

    async def choose(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        ctx.set_attribute("tier", "gold")

    await browser.visit(workers[0], choose)
    browser.token = customer.token
    assert await browser.currency(workers[1]) == "USD"
    assert (await browser.visit(workers[2], tier)).text == ""

    document = emporix.document(customer.session_id) or {}
    assert (document["currency"], attributes(emporix, customer.session_id)) == ("USD", {})


async def test_refreshed_token(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """A refreshed token of the same session takes everything along."""
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.currency(workers[0])
    emporix.fault("context.patch", Fault(status=503), times=None)
    await browser.visit(workers[0], attribute)
    browser.token = emporix.new_token(session.session_id)

    assert (await browser.visit(workers[1], tier)).text == "gold"


def said(connection: HTTPConnection) -> StorefrontToken | None:
    """Return a token, and the session that the application knows it is of."""
    value, _, session_id = connection.headers.get("authorization", "").removeprefix("Bearer ").partition("/")
    return StorefrontToken(value, session_id=session_id or None) if value else None


async def test_refreshed_token_before_session_known(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """What the application says about a refreshed token is enough to show what the shopper's own browser brings."""
    one, two = (make_shop(secret_key=SECRET, token=said) for _ in range(2))
    session, other = emporix.new_session(currency="EUR"), emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.visit(one, attribute)
    emporix.fault("context.*", Fault(status=503), times=None)

    shown = []
    for told in (session, other):
        browser.token = f"{emporix.new_token(session.session_id)}/{told.session_id}"
        shown.append((await browser.visit(two, tier)).text)

    assert shown == ["gold", ""]


async def test_attribute_before_session_known(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """An attribute follows the shopper before anybody knows whose session the token is of."""
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    await browser.switch(workers[0], currency="USD")  # this is what the cookie is bound to
    emporix.fault("context.*", Fault(status=503), times=None)
    await browser.visit(workers[0], named("size", "XL"))
    browser.token = emporix.new_token(session.session_id)
    await browser.visit(workers[0], attribute)

    assert (await browser.visit(workers[1], tier)).text == "gold"

    emporix.clear_faults()
    await asyncio.sleep(15)
    assert (await browser.visit(workers[2], tier)).text == "gold"
    assert attributes(emporix, session.session_id) == {"tier": "gold", "size": "XL"}


async def test_refreshed_token_after_a_long_request(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """A note names the session that Emporix has told, though what was cached of it has ended by then."""
    one, two, _ = workers
    session = emporix.new_session(exists=False)
    browser = Browser(session.token)

    async def slowly(ctx: SessionContext, _: Request) -> None:
        ctx.set_attribute("tier", "gold")
        await ctx.commit()
        await asyncio.sleep(300)

    await browser.visit(one, slowly)
    browser.token = emporix.new_token(session.session_id)
    emporix.create_context(session.session_id)

    assert (await browser.visit(two, tier)).text == "gold"


async def test_attribute_stays_with_session(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """An attribute of an unknown session goes to its own session alone."""
    guest, customer = emporix.new_session(currency="EUR"), emporix.new_session(currency="EUR")
    browser = Browser(guest.token)
    await browser.switch(workers[0], currency="USD")
    emporix.fault("context.*", Fault(status=503), times=None)
    await browser.visit(workers[0], named("size", "XL"))
    browser.token = customer.token
    await browser.visit(workers[0], attribute)
    emporix.clear_faults()
    await asyncio.sleep(15)

    browser.token = guest.token
    assert (await browser.visit(workers[1], tier)).text == ""
    browser.token = customer.token
    assert (await browser.visit(workers[2], tier)).text == "gold"
    assert attributes(emporix, guest.session_id) == {"size": "XL"}
    assert attributes(emporix, customer.session_id) == {"tier": "gold"}


async def test_unknown_session_outlives_token(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """What waits under a token that never told its session outlives the next token."""
    first, second = emporix.new_session(currency="EUR"), emporix.new_session(currency="EUR")
    browser = Browser(first.token)
    emporix.fault("context.*", Fault(status=503), times=None)
    await browser.visit(workers[0], attribute)
    emporix.clear_faults()
    await asyncio.sleep(15)
    browser.token = second.token
    await browser.switch(workers[1], currency="USD")
    assert (await browser.visit(workers[1], tier)).text == ""

    browser.token = first.token
    assert (await browser.visit(workers[2], tier)).text == "gold"
    assert attributes(emporix, first.session_id) == {"tier": "gold"}
    assert attributes(emporix, second.session_id) == {}


async def test_many_unknown_sessions(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """Attributes of any number of unknown tokens find their session."""
    session = emporix.new_session(currency="EUR")
    tokens = [session.token, emporix.new_token(session.session_id), emporix.new_token(session.session_id)]
    browser = Browser(session.token)
    emporix.fault("context.*", Fault(status=503), times=None)
    for number, token in enumerate(tokens):
        browser.token = token
        await browser.visit(workers[0], named(f"a{number}", "yes"))
    emporix.clear_faults()
    await asyncio.sleep(15)

    async def sent_after(token: str) -> list[str]:
        browser.token = token
        await browser.currency(workers[1])
        return sorted(attributes(emporix, session.session_id))

    assert await sent_after(tokens[2]) == ["a2"]
    assert await sent_after(tokens[0]) == ["a0", "a2"]
    assert await sent_after(tokens[1]) == ["a0", "a1", "a2"]


async def test_room_for_what_was_brought(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """What was brought along has the room before attributes of an unknown token."""
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)
    emporix.fault("context.*", Fault(status=503), times=None)
    await browser.visit(workers[0], named("size", "x" * 1400))
    browser.token = emporix.new_token(session.session_id)
    await browser.visit(workers[0], named("tier", "g" * 2000))

    assert sum(map(len, browser.cookies.values())) <= 4 * 1024
    assert sum(map(len, browser.last)) <= 3 * 1024
    assert len(workers[0].named("continuity.overflow")) == 1

    emporix.clear_faults()
    await asyncio.sleep(15)
    assert len((await browser.visit(workers[0], tier)).text) == 2000
    browser.token = session.token
    await browser.currency(workers[1])
    assert sorted(attributes(emporix, session.session_id)) == ["size", "tier"]


async def test_lost_answer_is_carried(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """What a lost answer would have told is carried by the next one of another token."""
    one, two = (make_shop(secret_key=SECRET) for _ in range(2))
    session = emporix.new_session(currency="EUR")
    other = emporix.new_token(session.session_id)
    browser = Browser(other)
    emporix.fault("context.patch", Fault(status=503), times=None)
    await browser.switch(one, language="fr")  # so this worker remembers the session longer than the context
    emporix.clear_faults()
    await asyncio.sleep(1000)
    browser.token = session.token
    assert await browser.currency(two) == "EUR"
    emporix.fault("context.patch", Fault(status=503), times=None)
    await browser.switch(two, currency="USD")
    emporix.clear_faults()
    await asyncio.sleep(15)
    before = dict(browser.cookies)
    assert await browser.currency(one) == "USD"
    assert (emporix.document(session.session_id) or {})["currency"] == "USD"
    browser.cookies = before  # that answer never arrived
    emporix.fault("context.*", Fault(status=503), times=None)
    browser.token = other
    await browser.currency(one)

    browser.token = session.token
    assert await browser.currency(two) == "USD"


async def test_attributes_wait_for_return(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """Attributes that wait for a session are there when the shopper comes back to it."""
    one, two = emporix.new_session(currency="EUR"), emporix.new_session(currency="EUR")
    browser = Browser(one.token)
    await browser.switch(workers[0], currency="USD")
    emporix.fault("context.patch", Fault(status=503), times=None)
    await browser.visit(workers[0], attribute)
    emporix.clear_faults()
    browser.token = two.token
    assert (await browser.visit(workers[1], tier)).text == ""
    await asyncio.sleep(15)

    browser.token = emporix.new_token(one.session_id)
    assert (await browser.visit(workers[2], tier)).text == "gold"
    assert attributes(emporix, one.session_id) == {"tier": "gold"}
    assert attributes(emporix, two.session_id) == {}


async def test_waiting_attribute_is_older(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """An attribute that waits apart does not undo a later one."""
    one, two, three = workers
    session, other = emporix.new_session(currency="EUR"), emporix.new_session(currency="EUR")
    refreshed = emporix.new_token(session.session_id)
    browser = Browser(session.token)
    emporix.fault("context.*", Fault(status=503), times=None)
    await browser.switch(one, currency="USD")
    browser.token = refreshed
    await browser.visit(one, named("tier", "old"))
    browser.token = session.token
    await browser.visit(one, named("tier", "new"))
    emporix.clear_faults()
    await asyncio.sleep(15)
    assert (await browser.visit(two, tier)).text == "new"
    browser.token = other.token
    await browser.currency(three)

    browser.token = refreshed
    assert (await browser.visit(three, tier)).text == "new"
    assert attributes(emporix, session.session_id) == {"tier": "new"}


async def test_foreign_floor_costs_no_call(workers: tuple[Shop, ...], emporix: FakeEmporix) -> None:
    """A floor of another session costs no call."""
    one, two = emporix.new_session(currency="EUR"), emporix.new_session(currency="CHF")
    browser = Browser(two.token)
    await browser.currency(workers[1])
    browser.token = one.token
    for value in ("one", "two", "three"):
        await browser.visit(workers[0], named("tier", value))
    browser.token = two.token
    emporix.clear_calls()

    assert await browser.currency(workers[1]) == "CHF"
    assert emporix.count() == 0


async def test_attribute_of_a_session_told_later(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """An attribute chosen before Emporix told the session follows the next token, once any answer has told it."""
    one, two = (make_shop(secret_key=SECRET) for _ in range(2))
    session = emporix.new_session(currency="EUR")
    browser = Browser(session.token)

    async def choose(ctx: SessionContext, _: Request) -> None:
        ctx.set_attribute("size", "42")

    async def shown(ctx: SessionContext, _: Request) -> str:
        return str((await ctx).attributes.get("size"))

    emporix.fault("context.*", Fault(status=503), times=None)
    await browser.visit(one, choose)
    emporix.clear_faults()
    emporix.fault("context.patch", Fault(status=503), times=None)
    await asyncio.sleep(5)
    assert (await browser.visit(one, shown)).text == "42"
    browser.token = emporix.new_token(session.session_id)

    assert (await browser.visit(two, shown)).text == "42"
    emporix.clear_faults()
    await asyncio.sleep(10)
    await browser.visit(two, shown)
    assert held(emporix, session.session_id)["context"]["size"] == "42"
