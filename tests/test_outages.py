"""Emporix slow or down: pages keep their deadline, changes wait, and everything converges when it heals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from starlette.requests import Request

from session_ctx_middleware import (
    ContextDefaults,
    ContextUnavailable,
    SessionContext,
)
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop, held

DEFAULTS = ContextDefaults(site_code="main", currency="CHF", language="de", target_location="CH")


async def test_when_emporix_fails_the_old_value_is_served_and_it_is_left_alone_for_a_while(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    await asyncio.sleep(300)
    emporix.fault("context.get", Fault(status=500), times=None)
    emporix.clear_calls()
    stale = []

    async def page(ctx: SessionContext, _: Request) -> str:
        stale.append((await ctx).is_stale)
        return ctx.currency or ""

    for _ in range(10):
        assert (await shop.visit(page, token=session.token)).text == "EUR"

    assert stale == [True] * 10
    assert emporix.count("context.get") == 1
    emporix.clear_faults()
    await asyncio.sleep(8)
    assert await shop.currency(session.token) == "EUR"
    assert emporix.count("context.get") == 2


async def test_stale_if_error_ends(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    shop = make_shop(defaults=DEFAULTS)
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context.get", Fault(status=503), times=None)
    await asyncio.sleep(700)

    assert await shop.currency(session.token) == "CHF"


async def test_a_degraded_context_shows_the_defaults(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    shop = make_shop(defaults=DEFAULTS)
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.get", Fault(drop="before"), times=None)

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        return f"{ctx.currency} {ctx.is_degraded} {ctx.exists} {ctx.source('currency')}"

    assert (await shop.visit(page, token=session.token)).text == "CHF True False default"


async def test_a_get_is_repeated_once_after_a_connection_error(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.get", Fault(drop="before"), times=1)

    assert await shop.currency(session.token) == "EUR"
    assert emporix.count("context.get") == 2


async def test_a_hanging_emporix_costs_a_page_its_deadline_once(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    shop = make_shop(defaults=DEFAULTS)
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.get", Fault(hang=True), times=1)
    loop = asyncio.get_running_loop()

    began = loop.time()
    assert await shop.currency(session.token) == "CHF"
    first = loop.time() - began
    began = loop.time()
    assert await shop.currency(session.token) == "CHF"

    assert first == pytest.approx(2.0)
    assert loop.time() - began < 0.1
    await asyncio.sleep(30)
    assert await shop.currency(session.token) == "EUR"


async def test_f6_of_a_hundred_waiters_of_a_failing_read_each_gets_its_page_and_nobody_asks_again_at_once(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    shop = make_shop(defaults=DEFAULTS)
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.get", Fault(status=500), times=None)

    shown = await asyncio.gather(*(shop.currency(session.token) for _ in range(100)))
    await asyncio.gather(*(shop.currency(session.token) for _ in range(100)))

    assert set(shown) == {"CHF"}
    assert emporix.count("context.get") == 1


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(drop="before"), Fault(status=429, retry_after=20)])
async def test_while_emporix_is_down_a_switch_is_parked_and_sent_when_it_heals(
    shop: Shop, emporix: FakeEmporix, fault: Fault
) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context", fault, times=None)

    response = await shop.switch(session.token, currency="USD")

    assert response.status_code == 200
    assert shop.named("commit.parked")
    assert await shop.currency(session.token) == "USD"
    emporix.clear_faults()
    await asyncio.sleep(200)
    assert await shop.currency(session.token) == "USD"
    assert held(emporix, session.session_id)["currency"] == "USD"


async def test_a_hanging_emporix_costs_a_switch_its_deadline_and_nothing_is_lost(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context.patch", Fault(delay=20))
    loop = asyncio.get_running_loop()

    began = loop.time()
    await shop.switch(session.token, currency="USD")

    assert loop.time() - began == pytest.approx(3.0, abs=0.1)
    assert shop.named("commit.parked")
    assert await shop.currency(session.token) == "USD"
    await asyncio.sleep(60)
    assert await shop.currency(session.token) == "USD"
    assert held(emporix, session.session_id)["currency"] == "USD"
    assert held(emporix, session.session_id)["metadata"]["version"] == 2


async def test_a_patch_that_arrives_after_its_request_gave_up_is_not_applied_again(
    shop: Shop, emporix: FakeEmporix
) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context.patch", Fault(delay=3.5))
    await shop.switch(session.token, currency="USD")
    await asyncio.sleep(2)
    emporix.edit(session.session_id, currency="CHF")
    emporix.clear_calls()

    assert await shop.currency(session.token) == "CHF"
    assert emporix.count("context.patch") == 0


async def test_an_explicit_commit_that_timed_out_is_parked_at_the_end_without_another_wait(
    shop: Shop, emporix: FakeEmporix
) -> None:

    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context.patch", Fault(delay=20))
    loop = asyncio.get_running_loop()

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        with pytest.raises(ContextUnavailable):
            await ctx.commit()

    began = loop.time()
    await shop.visit(endpoint, token=session.token)

    assert loop.time() - began == pytest.approx(3.0, abs=0.1)
    assert await shop.currency(session.token) == "USD"


async def test_a_parked_choice_shows_when_emporix_is_down_a_moment_later(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")
    await asyncio.sleep(10)
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await shop.currency(session.token) == "USD"


async def test_pages_do_not_wait_behind_a_patch_that_hangs(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context.patch", Fault(delay=60), times=1)
    await shop.switch(session.token, currency="USD")
    took = []

    for _ in range(4):
        began = asyncio.get_running_loop().time()
        assert await shop.currency(session.token) == "USD"
        took.append(asyncio.get_running_loop().time() - began)
    await asyncio.sleep(100)

    assert took[1:] == [0, 0, 0]
