"""Versions below which nothing is believed: what they are good for across workers, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix

from .support.shop import Shop
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

    async def test_does_not_show_a_worker_that_knows_nothing_what_was_before_the_switch(
        self, workers: tuple[Shop, Shop], emporix: FakeEmporix
    ) -> None:
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
        session = emporix.new_session(currency="EUR")
        await shop.currency(session.token)
        await shop.switch(session.token, currency="EUR")
        emporix.clear_calls()

        assert [await shop.currency(session.token) for _ in range(5)] == ["EUR"] * 5
        assert emporix.count() == 1

    async def test_does_not_keep_another_worker_waiting_for_it(
        self, workers: tuple[Shop, Shop], emporix: FakeEmporix
    ) -> None:
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

    async def test_does_not_leave_a_worker_that_knows_nothing_without_values(
        self, workers: tuple[Shop, Shop], emporix: FakeEmporix
    ) -> None:
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
