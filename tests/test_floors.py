"""Versions below which nothing is believed: what they are good for across workers, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import CachePolicy, SessionContext
from session_ctx_middleware.model.changes import ContextChanges
from session_ctx_middleware.stores import Attachment, Listener, MemoryStore, Notice
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop
from .support.terse import Terse
from .support.virtual_time import VirtualClock


@pytest.fixture
def workers(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> tuple[Shop, Shop]:
    store = MemoryStore(clock=VirtualClock(), shared=True)
    return make_shop(store=store, emporix=emporix), make_shop(store=store.sibling(), emporix=emporix)


def fake(**options: object) -> FakeEmporix:
    return FakeEmporix(now=lambda: asyncio.get_running_loop().time() + 1.79e9, **options)  # type: ignore[arg-type]


class TestALaggingReplica:
    @pytest.fixture
    def emporix(self) -> FakeEmporix:
        return fake(replica_lag=0.05)

    async def test_hides_the_past_from_newcomers(self, workers: tuple[Shop, Shop], emporix: FakeEmporix) -> None:
        """It does not show a worker that knows nothing what was before the switch."""
        one, two = workers
        session = emporix.new_session(currency="EUR")
        await asyncio.sleep(1)
        await one.switch(session.token, currency="USD")

        assert await two.currency(session.token) == "USD"


class TestAVersionThatDoesNotRise:
    """Nobody has promised that a PATCH that changes nothing raises the version."""

    @pytest.fixture
    def emporix(self) -> FakeEmporix:
        return fake(same_values_raise_version=False)

    async def test_costs_this_worker_nothing(self, shop: Shop, emporix: FakeEmporix) -> None:
        """It costs this worker nothing."""
        session = emporix.new_session(currency="EUR")
        await shop.currency(session.token)
        await shop.switch(session.token, currency="EUR")
        emporix.clear_calls()

        assert [await shop.currency(session.token) for _ in range(5)] == ["EUR"] * 5
        assert emporix.count() == 1

    async def test_keeps_no_worker_waiting(self, workers: tuple[Shop, Shop], emporix: FakeEmporix) -> None:
        """It does not keep another worker waiting for it."""
        one, two = workers
        session = emporix.new_session(currency="EUR")
        assert await two.currency(session.token) == "EUR"
        await one.switch(session.token, currency="EUR")
        for _ in range(6):
            assert await two.currency(session.token) == "EUR"
            await asyncio.sleep(3)
        emporix.clear_calls()

        assert [await two.currency(session.token) for _ in range(5)] == ["EUR"] * 5
        assert emporix.count() <= 1

    async def test_leaves_no_newcomer_empty(self, workers: tuple[Shop, Shop], emporix: FakeEmporix) -> None:
        """It does not leave a worker that knows nothing without values."""
        one, two = workers
        session = emporix.new_session(currency="EUR")
        await one.currency(session.token)
        await one.switch(session.token, currency="EUR")
        for _ in range(6):
            await two.currency(session.token)
            await asyncio.sleep(3)
        emporix.clear_calls()

        assert [await two.currency(session.token) for _ in range(5)] == ["EUR"] * 5
        assert emporix.count() <= 1


async def test_lost_answer_is_told(workers: tuple[Shop, Shop], emporix: FakeEmporix) -> None:
    """A change whose answer was lost is told to the other workers too."""
    one, two = workers
    session = emporix.new_session(currency="EUR")
    assert [await shop.currency(session.token) for shop in workers] == ["EUR", "EUR"]
    emporix.fault("context.patch", Fault(drop="after"))
    await one.switch(session.token, currency="USD")

    assert await two.currency(session.token) == "USD"


async def test_known_value_is_told(workers: tuple[Shop, Shop], emporix: FakeEmporix) -> None:
    """A choice that Emporix had already is told to the other workers too."""
    one, two = workers
    session = emporix.new_session(currency="EUR")
    assert await two.currency(session.token) == "EUR"
    emporix.edit(session.session_id, currency="USD")

    async def choose(ctx: SessionContext, _: Request) -> None:
        ctx.switch(currency="USD")
        await asyncio.sleep(0.1)
        await ctx.refresh()

    await one.visit(choose, token=session.token)

    assert await two.currency(session.token) == "USD"


async def test_others_show_it_in_an_outage(workers: tuple[Shop, Shop], emporix: FakeEmporix) -> None:
    """While Emporix is down, other workers show a switch of which they were told."""
    one, two = workers
    session = emporix.new_session(currency="EUR")
    assert await two.currency(session.token) == "EUR"
    await one.switch(session.token, currency="USD")
    emporix.fault("context.*", Fault(status=503), times=None)

    assert [await shop.currency(session.token) for shop in (two, one)] == ["USD", "USD"]


async def test_others_hide_in_an_outage_what_is_past(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """While Emporix is down, no other worker shows what was before a switch of which it only heard the version."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    one, two = (make_shop(store=each) for each in (Terse(store), store))
    session = emporix.new_session(currency="EUR")
    assert await two.currency(session.token) == "EUR"
    await one.switch(session.token, currency="USD")
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await two.currency(session.token) is None, "better the defaults than what the shopper knows to be past"
    assert await one.currency(session.token) == "USD"


async def test_created_cart_is_told(workers: tuple[Shop, Shop], emporix: FakeEmporix) -> None:
    """A created cart shows on the other workers too."""
    one, two = workers
    session = emporix.new_session(currency="EUR")
    assert [await shop.currency(session.token) for shop in workers] == ["EUR", "EUR"]
    emporix.edit(session.session_id, cartId="cart-1")

    async def created(ctx: SessionContext, _: Request) -> None:
        await ctx.cart_created("cart-1")

    async def cart(ctx: SessionContext, _: Request) -> str | None:
        return (await ctx).cart_id

    await one.visit(created, token=session.token)
    await asyncio.sleep(0.01)  # a notice takes its time

    assert (await two.visit(cart, token=session.token)).text == "cart-1"


async def test_shared_document_is_fresh(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A shared document that is not past its TTL is fresh."""
    store = MemoryStore(clock=VirtualClock(), shared=True)
    policy = CachePolicy(ttl=10, jitter=0.5, stale_while_revalidate=0)
    shops = [make_shop(store=each, cache=policy) for each in (store, *(store.sibling() for _ in range(20)))]
    session = emporix.new_session(currency="EUR")
    await shops[0].currency(session.token)
    await asyncio.sleep(9)

    async def stale(ctx: SessionContext, _: Request) -> str:
        return str((await ctx).is_stale)

    assert {(await shop.visit(stale, token=session.token)).text for shop in shops[1:]} == {"False"}


class LateNotices:
    """A store whose notices take a while; once armed, something happens when it is asked for parked changes."""

    shared = True

    def __init__(self, store: MemoryStore, happens: Callable[[], Awaitable[None]]) -> None:
        self._store, self._happens, self.armed = store, happens, False

    def attach(self, listener: Listener) -> Attachment:
        loop = asyncio.get_running_loop()

        def late(notice: Notice) -> None:
            loop.call_later(0.5, listener, notice)

        return self._store.attach(late)

    async def parked(self, names: Sequence[str]) -> ContextChanges:
        if self.armed:
            self.armed = False
            await self._happens()
        return await self._store.parked(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_choice_sent_elsewhere(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A choice that another worker sends while this one looks for it is shown."""
    shared, session = MemoryStore(clock=VirtualClock(), shared=True), emporix.new_session(currency="EUR")
    sender, reader = make_shop(store=shared), make_shop(store=shared.sibling())

    async def send() -> None:
        for _ in range(50):
            if await sender.currency(session.token) == (emporix.document(session.session_id) or {})["currency"]:
                return
            await asyncio.sleep(0.01)

    store = LateNotices(shared.sibling(), send)
    late = make_shop(store=store)
    await late.currency(emporix.new_session().token)  # it listens from here on
    await reader.currency(session.token)
    emporix.fault("context.patch", Fault(status=503), times=None)
    await sender.switch(session.token, currency="USD")
    emporix.clear_faults()
    await asyncio.sleep(10)
    store.armed = True

    assert await late.currency(session.token) == "USD"
    assert not store.armed
    assert (emporix.document(session.session_id) or {})["currency"] == "USD"
