"""Choices that wait in a store that several workers share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import SessionContext, SessionContextMiddleware
from session_ctx_middleware.model.changes import ContextChanges
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.stores.protocol import METHODS
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop, held, patches
from .support.slow_store import SlowStore
from .support.virtual_time import VirtualClock
from .support.wire import Wire


async def test_sent_once_from_one_store(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Two workers with one store do not send a parked change twice."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(store=each) for each in (store, store.sibling()))
    session = emporix.new_session(currency="EUR")
    await one.currency(session.token)
    emporix.fault("context.patch", Fault(status=429, retry_after=1), times=1)
    await one.switch(session.token, currency="USD")
    await asyncio.sleep(5)
    await two.currency(session.token)  # sends USD
    assert held(emporix, session.session_id)["currency"] == "USD"
    await two.switch(session.token, currency="CHF")

    await one.currency(session.token)
    await one.currency(session.token)

    assert held(emporix, session.session_id)["currency"] == "CHF"


async def test_replaced_on_its_way(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A parked change that another worker replaces while it is on its way is not sent again."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(store=each) for each in (store, store.sibling()))
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(status=429, retry_after=1), times=1)
    await one.switch(session.token, currency="USD")
    await asyncio.sleep(5)
    emporix.fault("context.patch", Fault(delay=0.5), times=1)
    page = asyncio.create_task(two.currency(session.token))  # sends USD, which takes its time
    await asyncio.sleep(0.1)
    await one.switch(session.token, currency="CHF")
    assert held(emporix, session.session_id)["currency"] == "CHF"

    await page

    assert held(emporix, session.session_id)["currency"] == "CHF"


async def test_first_look_is_waited_for(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A page does not overtake the first look for parked changes."""
    store = SlowStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(store=each) for each in (store, store.sibling()))
    session = emporix.new_session(exists=False)
    emporix.fault("context.*", Fault(status=503), times=None)
    await one.switch(session.token, currency="USD")

    pages = await asyncio.gather(*(two.currency(session.token) for _ in range(3)))

    assert pages == ["USD", "USD", "USD"]


async def test_look_after_a_notice(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A page waits for the look at what another worker has just parked."""
    store = SlowStore(clock=VirtualClock(), shared=True)
    one, two = make_shop(store=store.sibling()), make_shop(store=store)
    session = emporix.new_session(exists=False)
    for shop in (one, two):
        assert not await shop.currency(session.token)
    await one.switch(session.token, currency="USD")

    pages = await asyncio.gather(*(two.currency(session.token) for _ in range(3)))

    assert pages == ["USD", "USD", "USD"]
    assert emporix.count("context.get") == 2


async def test_overlapping_page(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A page that overlaps the sending of a parked change elsewhere does not go behind it."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(store=each) for each in (store, store.sibling()))
    session = emporix.new_session(exists=False)
    await one.switch(session.token, currency="USD")
    assert await two.currency(session.token) == "USD"
    emporix.create_context(session.session_id, currency="EUR")
    await asyncio.sleep(3)
    emporix.fault("context.get", Fault(delay_after=0.5), times=1)

    page = asyncio.create_task(two.currency(session.token))  # is told of EUR in a while
    await asyncio.sleep(0.1)
    assert await one.currency(session.token) == "USD"  # and sends it
    assert held(emporix, session.session_id)["currency"] == "USD"

    assert await page == "USD"
    assert await two.currency(session.token) == "USD"


class Busy(MemoryStore):
    """A store whose answers come after something else has happened."""

    meanwhile: Sequence[Callable[[], Awaitable[object]]] = ()

    async def parked(self, names: Sequence[str]) -> ContextChanges:
        found = await super().parked(names)
        if self.meanwhile:
            (happens, *later), self.meanwhile = self.meanwhile, ()
            await happens()
            self.meanwhile = later
        return found


async def test_late_answer_of_the_store(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """What the store has said before a choice was parked does not show in its place, however many others are parked."""
    store = Busy(clock=VirtualClock(), shared=True)
    shop = make_shop(store=store)
    session, *others = (emporix.new_session(exists=False) for _ in range(3))
    await shop.switch(session.token, currency="USD")
    token = emporix.new_token(session.session_id)
    busy = [partial(shop.switch, each.token, currency="GBP") for each in others]
    store.meanwhile = [*busy, partial(shop.switch, session.token, currency="CHF")]
    await shop.currency(token)
    assert not store.meanwhile

    assert await shop.currency(token) == "CHF"


class SlowToPark(Wire):
    """A store that takes its time to park, and more to say what others have done."""

    delay = 0.2

    async def park(self, name: str, changes: ContextChanges) -> None:
        await asyncio.sleep(0.1)
        await super().park(name, changes)


@pytest.mark.parametrize(("exists", "shown"), [(False, "None fr True"), (True, "USD fr False")])
@pytest.mark.parametrize("token", ["its own", "another one"])
async def test_replaced_while_another_is_parked(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, exists: bool, shown: str, token: str
) -> None:
    """A page that misses a choice, as another worker has replaced it, shows it or says that it knows less."""
    memory = MemoryStore(clock=VirtualClock(), shared=True)
    one, two = make_shop(store=memory), make_shop(store=SlowToPark(memory.sibling(), VirtualClock()))
    session = emporix.new_session(exists=exists, **({"currency": "EUR", "language": "en"} if exists else {}))
    other = session.token if token == "its own" else emporix.new_token(session.session_id)
    if exists:
        for each in (session.token, other):
            assert await two.currency(each) == "EUR"
        emporix.fault(
            "context.patch", Fault(status=429, retry_after=60), times=1
        )  # the second worker parks from now on
    await two.switch(session.token, currency="USD")
    await asyncio.sleep(5)
    for each in (session.token, other):
        assert await two.currency(each) == "USD"

    async def switch_and_look(ctx: SessionContext, _: Request) -> str:
        ctx.switch(language="fr")
        await ctx.commit()
        return f"{ctx.currency} {ctx.language} {ctx.is_degraded}"

    if not exists:
        emporix.create_context(session.session_id, currency="EUR", language="en")
    page = asyncio.create_task(two.visit(switch_and_look, token=other))
    await asyncio.sleep(0.05)
    await one.switch(session.token, currency="CHF")

    assert (await page).text == shown
    await asyncio.sleep(0.5)
    assert await two.currency(session.token) == "CHF"


async def test_f39_client_left_process_stops(
    emporix: FakeEmporix, http_library: Any, make_shop: Callable[..., Shop]
) -> None:
    """F39: A change whose client left is kept when the process stops."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=60), times=1)
    store = MemoryStore(clock=VirtualClock(), shared=True)  # stands for one that outlives the process

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["session_ctx"].switch_currency("USD")
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def never(*_: Any) -> Any:
        await asyncio.Event().wait()

    wrapped = SessionContextMiddleware(
        app, tenant="acme", http_client=emporix.client(http_library), clock=VirtualClock(), store=store
    )
    scope = {"type": "http", "headers": [(b"authorization", f"Bearer {session.token}".encode())]}
    leaving = asyncio.create_task(wrapped(scope, never, never))
    await asyncio.sleep(0.2)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await wrapped.aclose()

    next_process = make_shop(store=store.sibling())
    assert await next_process.currency(session.token) == "USD"
    assert held(emporix, session.session_id)["currency"] == "USD"


async def language(shop: Shop, token: str) -> str | None:
    """Return the language that a page shows."""

    async def page(ctx: SessionContext, _: Request) -> str:
        return (await ctx).language or ""

    return (await shop.visit(page, token=token)).text or None


async def test_taken_though_no_answer_came(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A choice that was parked because no answer came, and that a receipt tells of, waits nowhere any more."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(store=each) for each in (store, store.sibling()))
    session = emporix.new_session(exists=False)
    await one.switch(session.token, currency="USD")  # parked, so that there will be receipts
    emporix.create_context(session.session_id, currency="EUR", language="en")
    await asyncio.sleep(5)
    for shop in (one, two):
        assert await language(shop, session.token) == "en"
    emporix.fault("context.patch", Fault(drop="after"), times=1)
    emporix.fault("context.get", Fault(status=503), times=2)
    await one.switch(session.token, language="fr")
    await asyncio.sleep(5)
    await one.switch(session.token, language="de")

    emporix.fault("context.*", Fault(status=503), times=None)

    assert await language(two, session.token) != "fr"


@pytest.mark.parametrize("shared", [True, False], ids=["two processes", "one process"])
async def test_read_elsewhere_though_no_answer_came(
    shared: bool, make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    """Once one worker has read what was parked because no answer came, no other shows what was there before."""
    store = MemoryStore(clock=VirtualClock(), shared=shared)
    one, two = make_shop(store=store), make_shop(store=store.sibling() if shared else store)
    session = emporix.new_session(exists=False)
    await one.switch(session.token, currency="USD")  # parked, so that there will be receipts
    emporix.create_context(session.session_id, currency="EUR", language="en")
    await asyncio.sleep(5)
    assert [await language(shop, session.token) for shop in (one, two)] == ["en", "en"]
    emporix.fault("context.patch", Fault(drop="after"), times=1)
    emporix.fault("context.get", Fault(status=503), times=2)
    await one.switch(session.token, language="fr")

    async def refresh(ctx: SessionContext, _: Request) -> str:
        return (await ctx.refresh()).language or ""

    assert (await one.visit(refresh, token=session.token)).text == "fr"
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await language(two, session.token) != "en"


async def test_worker_that_was_never_told(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """What waits for a session shows on a worker to which Emporix has not told whose token it is."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(store=each) for each in (store, store.sibling()))
    session = emporix.new_session(exists=False)
    emporix.fault("context.*", Fault(status=503), times=4)
    assert await two.currency(session.token) is None
    await two.switch(session.token, currency="USD")
    await asyncio.sleep(10)
    assert await one.currency(session.token) == "USD"  # Emporix tells this one the session
    emporix.fault("context.*", Fault(status=503), times=None)
    await one.switch(session.token, currency="CHF")

    assert await two.currency(session.token) == "CHF"


class OwnStore:
    """A store of somebody's own, with the nine methods and no more."""

    shared = True

    def __init__(self, memory: MemoryStore) -> None:
        for name in METHODS:
            setattr(self, name, getattr(memory, name))


async def test_store_without_an_index(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A store that does not know whose a token is keeps what waits for it as before."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(store=OwnStore(each)) for each in (store, store.sibling()))
    session = emporix.new_session(exists=False)
    emporix.fault("context.*", Fault(status=503), times=None)
    await one.switch(session.token, currency="USD")
    assert await two.currency(session.token) == "USD"
    emporix.clear_faults()
    await asyncio.sleep(10)
    assert await one.currency(session.token) == "USD"  # keeps it under the session's name from now on
    emporix.create_context(session.session_id)

    await asyncio.sleep(10)
    await two.currency(session.token)

    assert held(emporix, session.session_id)["currency"] == "USD"


async def test_logout_where_nobody_was_told(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A logout takes away what waits for the session, though Emporix has not told that worker whose token it is."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(store=each) for each in (store, store.sibling()))
    session = emporix.new_session(exists=False)
    await one.switch(session.token, currency="CHF")
    emporix.fault("context.*", Fault(status=503), times=None)
    assert await two.currency(session.token) == "CHF"

    async def log_out(ctx: SessionContext, _: Request) -> None:
        await ctx.forget()

    await two.visit(log_out, token=session.token)

    emporix.clear_faults()
    await asyncio.sleep(10)
    assert not await one.currency(emporix.new_token(session.session_id))


async def test_sent_while_another_is_parked(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """What another worker sends while a change is being parked beside it does not come back."""

    class Overtaken(MemoryStore):
        overtakes = False

        async def park(self, name: str, changes: ContextChanges) -> None:
            if self.overtakes:
                await other.unpark([name], await other.parked([name]))
            await super().park(name, changes)

    store = Overtaken(clock=VirtualClock(), shared=True)
    shop, other = make_shop(store=store), store.sibling()
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")
    store.overtakes = True
    await shop.switch(session.token, language="fr")

    emporix.create_context(session.session_id, currency="EUR", language="en")
    await asyncio.sleep(5)
    await shop.currency(session.token)

    assert [set(body) for body in patches(emporix)] == [{"language", "context", "metadata"}]


class BrokenStore(MemoryStore):
    async def parked(self, names: Sequence[str]) -> ContextChanges:
        raise ConnectionError("store is down")


async def test_broken_store(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A store that is down does not break a page."""
    shop = make_shop(store=BrokenStore(clock=VirtualClock()))
    session = emporix.new_session(currency="EUR")

    assert await shop.currency(session.token) == "EUR"
