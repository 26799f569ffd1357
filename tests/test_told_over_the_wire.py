"""Which changes were taken, as told by notices in Redis' form: between hosts whose clocks differ, late, or in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from starlette.requests import Request

from session_ctx_middleware import ContextDefaults, SessionContext
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, FakeSession, Fault

from .continuity.browser import choosing
from .support.shop import Shop, held
from .support.virtual_time import VirtualClock
from .support.wire import Wire

SECRET = "0123456789abcdef" * 2
DEFAULTS = ContextDefaults(currency="CHF", language="xx")
PAGES = 12
PUT = choosing(name="Alice")

Team = Callable[..., tuple[Sequence[Shop], Sequence[Wire]]]


@pytest.fixture
def team(make_shop: Callable[..., Shop]) -> Team:
    """Makes three workers on three hosts, the first of them with a clock that is so many seconds ahead."""

    def make(ahead: float = 0.0) -> tuple[Sequence[Shop], Sequence[Wire]]:
        memory, clocks = MemoryStore(clock=VirtualClock(), shared=True), [VirtualClock() for _ in range(3)]
        clocks[0].wall_offset = ahead
        stores = [Wire(memory.sibling(), clock) for clock in clocks]
        shops = [
            make_shop(store=store, clock=clock, defaults=DEFAULTS) for store, clock in zip(stores, clocks, strict=True)
        ]
        return shops, stores

    return make


async def look(shop: Shop, session: FakeSession) -> str:
    """Return what a page shows: currency and an attribute."""

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        return f"{ctx.currency} {ctx.attributes.get('name')}"

    return (await shop.visit(page, token=session.token)).text


async def all_look(shops: Sequence[Shop], session: FakeSession) -> list[str]:
    return [await look(shop, session) for shop in shops]


@pytest.mark.parametrize("pause", [1.0, 30.0])
async def test_context_that_is_created_anew(team: Team, emporix: FakeEmporix, pause: float) -> None:
    """What a context had that was created anew since is sent once more, though others were told that it was taken."""
    shops, _ = team()
    session = emporix.new_session(currency="EUR")
    await all_look(shops, session)
    await shops[0].switch(session.token, currency="USD")
    await asyncio.sleep(pause)
    emporix.recreate_context(session.session_id, currency="EUR")
    for _ in range(PAGES):
        await asyncio.sleep(10)
        await all_look(shops[:2], session)

    assert held(emporix, session.session_id)["currency"] == "USD"
    assert await all_look(shops[:2], session) == ["USD None"] * 2


@pytest.mark.parametrize("ahead", [0.0, 0.6, 5.0, 3600.0])
async def test_notice_between_two_attempts(team: Team, emporix: FakeEmporix, ahead: float) -> None:
    """A choice on its way is sent, though another worker tells of an earlier one with a later timestamp."""
    shops, stores = team(ahead)
    session = emporix.new_session(currency="EUR")
    await all_look(shops, session)
    await asyncio.sleep(1)
    stores[1].delay = 0.3
    await shops[0].switch(session.token, currency="USD")
    await asyncio.sleep(0.1)
    emporix.fault("context.get", Fault(delay=0.4), times=1)
    await shops[1].switch(session.token, currency="GBP")
    assert held(emporix, session.session_id)["currency"] == "GBP"
    await asyncio.sleep(1)

    assert await all_look(shops, session) == ["GBP None"] * 3


async def test_change_of_somebody_else_before_the_answer(team: Team, emporix: FakeEmporix) -> None:
    """What somebody else has changed shows, though the answer to the shopper's own PATCH comes later than that."""
    shops, _ = team()
    session = emporix.new_session(currency="EUR")
    await all_look(shops, session)
    await asyncio.sleep(61)
    emporix.fault("context.patch", Fault(delay_after=1.0), times=1)
    switch = asyncio.create_task(shops[0].switch(session.token, currency="USD"))
    await asyncio.sleep(0.1)
    emporix.edit(session.session_id, currency="GBP")
    await asyncio.sleep(0.1)
    await all_look(shops[1:], session)
    await switch
    for _ in range(PAGES):
        assert await all_look(shops, session) == ["GBP None"] * 3
        await asyncio.sleep(5)


async def test_change_of_somebody_else_within_a_second(team: Team, emporix: FakeEmporix) -> None:
    """Two workers know Emporix' time to a second: that makes no page ask again and again, nor show what is past."""
    shops, _ = team()
    session = emporix.new_session(currency="EUR")
    await look(shops[0], emporix.new_session())  # which tells the time at the beginning of a second
    await asyncio.sleep(0.98)
    await look(shops[2], emporix.new_session())  # and at its end
    await all_look(shops, session)
    await asyncio.sleep(0.5)
    await shops[0].switch(session.token, currency="USD")
    await asyncio.sleep(0.05)
    emporix.edit(session.session_id, currency="GBP")
    await asyncio.sleep(0.05)
    emporix.clear_calls()
    for _ in range(PAGES):
        assert await look(shops[2], session) == "GBP None"
        await asyncio.sleep(0.1)

    assert emporix.count("context.get") == 1


async def test_notice_of_a_slow_answer(team: Team, emporix: FakeEmporix) -> None:
    """A PATCH that was answered late, below a version made meanwhile, is no sign that versions have fallen."""
    shops, _ = team()
    session = emporix.new_session(currency="EUR", language="en")
    await all_look(shops, session)
    await asyncio.sleep(1)
    emporix.fault("context.patch", Fault(delay_after=2.9), times=1)
    late = asyncio.create_task(shops[0].switch(session.token, currency="USD"))
    await asyncio.sleep(0.1)
    await shops[1].switch(session.token, language="de")
    await late
    emporix.fault("context.get", Fault(status=503), times=None)

    assert await look(shops[1], session) == "USD None"


async def test_refused_token_after_a_late_notice(team: Team, emporix: FakeEmporix) -> None:
    """A notice of a lower version that comes late, and later an old token that is refused, deny no version."""
    shops, _ = team()
    session = emporix.new_session(currency="EUR")
    await all_look(shops, session)
    await asyncio.sleep(1)

    emporix.fault("context.patch", Fault(delay_after=0.3), times=1)
    slow = asyncio.create_task(shops[0].switch(session.token, currency="USD"))
    await asyncio.sleep(0.1)
    await shops[1].visit(PUT, token=session.token, method="POST")
    await slow
    await asyncio.sleep(5)
    emporix.edit(session.session_id, context={"name": "Bob"})
    await asyncio.sleep(70)
    renewed = replace(session, token=emporix.new_token(session.session_id))
    emporix.revoke(session.token)
    assert await look(shops[0], renewed) == await look(shops[2], renewed) == "USD Bob"
    await look(shops[2], session)  # another tab still has the old token
    await asyncio.sleep(1)

    assert await all_look(shops, renewed) == ["USD Bob"] * 3
    assert held(emporix, session.session_id)["context"] == {"name": "Bob"}


async def test_logout_meanwhile(team: Team, emporix: FakeEmporix) -> None:
    """What was on its way at a logout is told to nobody as the shopper's."""
    shops, _ = team()
    session = emporix.new_session(currency="EUR")
    await all_look(shops, session)
    await asyncio.sleep(1)

    async def leave(ctx: SessionContext, _: Request) -> None:
        await ctx.forget()

    emporix.fault("context.patch", Fault(delay_after=1.0), times=1)
    late = asyncio.create_task(shops[0].visit(PUT, token=session.token, method="POST"))
    await asyncio.sleep(0.2)
    await shops[1].visit(leave, token=session.token, method="POST")
    emporix.edit(session.session_id, context={})
    await asyncio.sleep(0.2)
    await all_look(shops[1:], session)
    await late
    await asyncio.sleep(0.1)

    assert await all_look(shops, session) == ["EUR None"] * 3


async def test_refusal_beside_a_success(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """That one instance of a process was refused hides nothing that another one reads and writes since."""
    one, two = (make_shop(store=None, secret_key=SECRET, defaults=DEFAULTS) for _ in range(2))
    session = emporix.new_session(currency="EUR")
    await all_look((one, two), session)
    await asyncio.sleep(1)
    emporix.fault("context.patch", Fault(status=401, delay=1.0), times=1)
    refused = asyncio.create_task(one.switch(session.token, currency="USD"))
    await asyncio.sleep(0.5)
    await two.switch(session.token, currency="GBP")
    await refused

    assert await look(two, session) == "GBP None"
    await two.switch(session.token, currency="CAD")
    assert held(emporix, session.session_id)["currency"] == "CAD"
