"""Workers with a store alone know which changes Emporix took from each of them, also what a proxy has swallowed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import ContextDefaults, SessionContext
from session_ctx_middleware.model.changes import ContextChanges
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, FakeSession, Fault

from .support.shop import Shop, held, patches
from .support.virtual_time import VirtualClock
from .support.wire import Wire

DEFAULTS = ContextDefaults(currency="CHF", language="xx")
LAG = 10
SWALLOWED = Fault(status=204)
SWALLOWED_SLOWLY = Fault(status=204, delay=0.1)
ANSWERED_SLOWLY = Fault(delay_after=0.1)
LONG = 600
SOON = 0.5
"""Seconds in which everybody has heard of everything."""

Shops = tuple[Shop, Shop, Shop]


class Slow(MemoryStore):
    """A store on which the first worker has to wait."""

    async def park(self, name: str, changes: ContextChanges) -> None:
        await asyncio.sleep(0.1)
        await super().park(name, changes)

    async def invalidate(
        self, names: Sequence[str], identity: str, floor: int, *, lifetime: float, **more: Any
    ) -> None:
        await asyncio.sleep(0.5)
        await super().invalidate(names, identity, floor, lifetime=lifetime, **more)


@pytest.fixture
def shops(make_shop: Callable[..., Shop]) -> Shops:
    """Three workers that share a store, and no cookie."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two, three = (make_shop(store=each, defaults=DEFAULTS) for each in (store, store.sibling(), store.sibling()))
    return one, two, three


@pytest.fixture
async def session(shops: Shops, emporix: FakeEmporix) -> FakeSession:
    """A session that all workers have read."""
    session = emporix.new_session(currency="EUR", language="en")
    await all_look(shops, session)
    return session


async def look(shop: Shop, session: FakeSession) -> str:
    """Return what a page shows: currency and language."""

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        return f"{ctx.currency} {ctx.language}"

    return (await shop.visit(page, token=session.token)).text


async def refresh(shop: Shop, session: FakeSession) -> None:
    """Have a worker ask Emporix."""

    async def page(ctx: SessionContext, _: Request) -> None:
        await ctx.refresh()

    await shop.visit(page, token=session.token)


async def all_look(shops: Shops, session: FakeSession) -> None:
    """Have all workers read the session."""
    for shop in shops:
        assert await look(shop, session) == "EUR en"


def there(emporix: FakeEmporix, session: FakeSession) -> str:
    """Return what Emporix holds."""
    document = held(emporix, session.session_id)
    return f"{document['currency']} {document['language']}"


async def at_once(emporix: FakeEmporix, session: FakeSession, one: Shop, two: Shop, *faults: Fault) -> None:
    """Switch the currency on one worker and the language on another, with a fault for each PATCH."""
    for fault in faults:
        emporix.fault("context.patch", fault, times=1)
    await asyncio.gather(one.switch(session.token, currency="USD"), two.switch(session.token, language="fr"))


async def test_announced_after_the_lie(shops: Shops, emporix: FakeEmporix, session: FakeSession) -> None:
    """Of two changes with one version all workers show both, and the one that Emporix lacks is sent again."""
    one, two, three = shops
    await at_once(emporix, session, one, two, ANSWERED_SLOWLY, SWALLOWED)
    assert there(emporix, session) == "USD en"
    await asyncio.sleep(SOON)

    assert [await look(shop, session) for shop in (three, one, two)] == ["USD fr"] * 3
    assert there(emporix, session) == "USD fr"


async def test_announced_before_the_lie(shops: Shops, emporix: FakeEmporix, session: FakeSession) -> None:
    """That a worker has heard of the version before its own change was swallowed makes no difference."""
    one, two, three = shops
    await at_once(emporix, session, one, two, Fault(), SWALLOWED_SLOWLY)
    assert there(emporix, session) == "USD en"

    assert [await look(shop, session) for shop in (three, one, two)] == ["USD fr"] * 3
    assert there(emporix, session) == "USD fr"
    assert len(patches(emporix)) == 3


async def test_announced_by_the_one_who_was_lied_to(shops: Shops, emporix: FakeEmporix, session: FakeSession) -> None:
    """A worker whose change Emporix has does not send it twice."""
    one, two, three = shops
    await at_once(emporix, session, one, two, SWALLOWED, ANSWERED_SLOWLY)
    await asyncio.sleep(SOON)
    assert len(patches(emporix)) == 2

    assert [await look(shop, session) for shop in (three, one, two)] == ["USD fr"] * 3
    assert there(emporix, session) == "USD fr"
    assert len(patches(emporix)) == 3


async def test_later_version(shops: Shops, emporix: FakeEmporix, session: FakeSession) -> None:
    """That a later version has followed hides nothing."""
    one, two, three = shops
    emporix.fault("context.get", Fault(delay=0.2), times=2)
    await at_once(emporix, session, one, two, ANSWERED_SLOWLY, SWALLOWED)
    emporix.edit(session.session_id, siteCode="other")
    await asyncio.sleep(SOON)

    assert [await look(shop, session) for shop in (three, one, two)] == ["USD fr"] * 3


async def test_what_waited_goes_along(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """What waited for Emporix and was swallowed on its way waits again, whatever its commit takes away at its end."""
    store = Slow(clock=VirtualClock(), shared=True)
    one, two, three = (make_shop(store=each, defaults=DEFAULTS) for each in (store.sibling(), store, store.sibling()))
    session = emporix.new_session(currency="EUR", language="en")
    await all_look((one, two, three), session)

    async def later_ones() -> None:
        await asyncio.sleep(0.01)
        await two.switch(session.token, language="fr")  # is parked
        await two.switch(session.token, site_code="other")  # takes that along

    emporix.fault("context.patch", Fault(delay=1.0), times=1)
    emporix.fault("context.patch", Fault(status=503), times=4)
    emporix.fault("context.patch", SWALLOWED, times=1)
    await asyncio.gather(one.switch(session.token, currency="USD"), later_ones())

    assert [await look(shop, session) for shop in (three, one, two)] == ["USD fr"] * 3


async def test_taken_back_by_somebody_else(shops: Shops, emporix: FakeEmporix, session: FakeSession) -> None:
    """A change that turned out to be there is not sent again when somebody else takes it back."""
    one, two, three = shops
    await at_once(emporix, session, one, two, ANSWERED_SLOWLY, SWALLOWED)
    await asyncio.sleep(SOON)
    assert [await look(shop, session) for shop in (three, one, two)] == ["USD fr"] * 3
    emporix.edit(session.session_id, currency="EUR")
    await asyncio.sleep(LONG)
    for shop in shops:
        await look(shop, session)  # what is stale is renewed

    assert [await look(shop, session) for shop in (three, one, two)] == ["EUR fr"] * 3
    assert there(emporix, session) == "EUR fr"


async def test_read_between_the_two(shops: Shops, emporix: FakeEmporix, session: FakeSession) -> None:
    """That a document has the version of the lie says nothing, though it was read before the choice was made."""
    one, two, three = shops
    emporix.fault("context.patch", ANSWERED_SLOWLY, times=1)
    first = asyncio.create_task(one.switch(session.token, language="fr"))
    await asyncio.sleep(0.02)
    await refresh(three, session)
    await asyncio.sleep(0.02)
    emporix.fault("context.patch", SWALLOWED, times=1)
    await two.switch(session.token, currency="USD")
    await first
    await asyncio.sleep(SOON)

    assert [await look(shop, session) for shop in (three, one, two)] == ["USD fr"] * 3


async def test_lie_to_both(shops: Shops, emporix: FakeEmporix, session: FakeSession) -> None:
    """Of two choices of one field that Emporix was to have taken at once, the later one shows everywhere."""
    one, two, three = shops
    emporix.fault("context.patch", SWALLOWED_SLOWLY, times=1)
    first = asyncio.create_task(one.switch(session.token, currency="USD"))
    await asyncio.sleep(0.02)
    emporix.fault("context.patch", SWALLOWED, times=1)
    await two.switch(session.token, currency="GBP")
    await first

    assert [await look(shop, session) for shop in (three, one, two)] == ["GBP en"] * 3


async def test_lie_before_the_first_document(shops: Shops, emporix: FakeEmporix) -> None:
    """What a worker is told while it waits for its first document it knows with its version, once it has that."""
    one, two, _ = shops
    session = emporix.new_session(currency="EUR", language="en")
    emporix.fault("context.get", Fault(delay_after=0.3), times=1)
    page = asyncio.create_task(look(two, session))  # is answered with what was there before the switch
    await asyncio.sleep(0.1)
    emporix.fault("context.patch", SWALLOWED, times=1)
    await one.switch(session.token, currency="USD")
    emporix.edit(session.session_id, language="fr")

    assert await page == "USD fr"


async def test_lie_where_nothing_is_shown(shops: Shops, emporix: FakeEmporix, session: FakeSession) -> None:
    """A worker that hides a document whose version has fallen remembers what the others tell of later versions."""
    one, two, three = shops
    backup = held(emporix, session.session_id)
    for value in ("SEK", "NOK", "EUR"):
        emporix.edit(session.session_id, currency=value)
    await asyncio.sleep(LONG)
    for shop in (*shops, *shops):
        await look(shop, session)
    emporix.rewrite_context(session.session_id, backup)
    await asyncio.sleep(60)
    await refresh(one, session)
    await asyncio.sleep(SOON)
    emporix.fault("context.patch", SWALLOWED, times=1)
    await one.switch(session.token, currency="USD")
    emporix.edit(session.session_id, language="fr")

    assert [await look(shop, session) for shop in (two, three, one)] == ["USD fr"] * 3


# Nobody else has made the version: after ten seconds somebody finds that it is not there


async def test_denied_by_the_one_who_was_lied_to(shops: Shops, emporix: FakeEmporix, session: FakeSession) -> None:
    """Whoever finds that Emporix lacks its own change parks it before the others hear of the lower version."""
    one, two, three = shops
    emporix.fault("context.patch", SWALLOWED, times=1)
    await one.switch(session.token, currency="USD")
    await asyncio.sleep(LAG + 1)

    async def soon(shop: Shop) -> str:
        await asyncio.sleep(0.05)
        return await look(shop, session)

    assert [*await asyncio.gather(look(one, session), soon(two), soon(three))] == ["USD en"] * 3


async def test_denied_beside_others(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Whoever hears that a version is not there waits until the worker that has announced it has parked its change."""
    store = Slow(clock=VirtualClock(), shared=True)
    one, two, three = (make_shop(store=each, defaults=DEFAULTS) for each in (store, store.sibling(), store.sibling()))
    session = emporix.new_session(currency="EUR", language="en")
    await all_look((one, two, three), session)
    emporix.fault("context.patch", SWALLOWED, times=1)
    await one.switch(session.token, currency="USD")
    await asyncio.sleep(LAG + 1)

    async def soon(shop: Shop) -> str:
        await asyncio.sleep(0.02)
        return await look(shop, session)

    assert [*await asyncio.gather(look(two, session), soon(three))] == ["USD en"] * 2


async def test_announced_again(shops: Shops, emporix: FakeEmporix, session: FakeSession) -> None:
    """Over a document that is older than a version which was announced long ago, and once more, the choice shows."""
    one, _, three = shops
    emporix.fault("context.patch", SWALLOWED, times=2)
    await one.switch(session.token, currency="USD")
    await asyncio.sleep(LAG + 1)
    emporix.fault("context.get", Fault(delay=0.05), times=1)
    emporix.fault("context.get", Fault(delay=0.3), times=None)

    async def soon(shop: Shop) -> str:
        await asyncio.sleep(0.01)
        return await look(shop, session)  # parks the change again, and sends it at its end

    assert [*await asyncio.gather(look(three, session), soon(one))] == ["USD en", "USD en"]


async def test_after_a_switch_to_what_is_there(shops: Shops, emporix: FakeEmporix, session: FakeSession) -> None:
    """A PATCH that changes nothing may have raised the version: the next one is made to what Emporix has by now."""
    one, two, _ = shops
    await asyncio.sleep(1)
    await two.switch(session.token, currency="EUR")
    await two.switch(session.token, language="fr")

    assert there(emporix, session) == "EUR fr"
    assert len(patches(emporix)) == 2
    assert await look(one, session) == "EUR fr"


async def test_version_of_which_not_everything_was_told(
    shops: Shops, emporix: FakeEmporix, session: FakeSession
) -> None:
    """Of a version that a lost answer was about nobody claims to know all: in an outage no page mixes old and new."""
    one, two, _ = shops
    emporix.fault("context.patch", Fault(status=503), times=4)
    await one.switch(session.token, currency="USD")  # is parked
    await asyncio.sleep(SOON)
    emporix.fault("context.patch", Fault(drop="after"), times=1)
    await one.switch(session.token, language="fr")  # takes it along, and has to look whether it was taken
    assert there(emporix, session) == "USD fr"
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await look(two, session) in {"USD fr", "CHF xx"}


class HearsLate(Wire):
    """A store that takes a while to say what others have done."""

    delay = 0.3


@pytest.mark.parametrize("late", [0.02, 0.2])
async def test_sent_by_somebody_else_meanwhile(
    late: float, make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    """Whoever finds the same lie a moment later shows the choice, though it has been sent and waits no more."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    late_one = HearsLate(store.sibling(), VirtualClock())
    one, two, three = (make_shop(store=each, defaults=DEFAULTS) for each in (store, store.sibling(), late_one))
    session = emporix.new_session(currency="EUR", language="en")
    await all_look((one, two, three), session)
    await at_once(emporix, session, one, two, SWALLOWED, ANSWERED_SLOWLY)
    await asyncio.sleep(2)
    emporix.fault("context.get", Fault(), times=1)
    emporix.fault("context.get", Fault(delay_after=late), times=1)
    answers = await asyncio.gather(look(one, session), look(three, session))

    assert [*answers, await look(two, session)] == ["USD fr"] * 3
    assert there(emporix, session) == "USD fr"


async def test_earlier_choice_that_is_sent_later(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A choice that waits is not taken for replaced by a later one which Emporix has swallowed twice."""
    shop = make_shop()
    session = emporix.new_session(currency="EUR", language="en")
    assert await look(shop, session) == "EUR en"

    async def slowly(ctx: SessionContext, _: Request) -> None:
        ctx.switch(currency="USD")
        await asyncio.sleep(60)

    earlier = asyncio.create_task(shop.visit(slowly, token=session.token))
    await asyncio.sleep(1)
    emporix.fault("context.patch", SWALLOWED, times=2)
    await shop.switch(session.token, currency="GBP")
    for language in ("de", "fr"):  # makes the version that GBP was to have; which is sent once more
        emporix.edit(session.session_id, language=language)
        await refresh(shop, session)
    assert await look(shop, session) == "EUR fr"
    emporix.fault("context.patch", Fault(status=503), times=4)
    await earlier

    assert await look(shop, session) == "USD fr"
