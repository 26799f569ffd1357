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


async def test_failure_serves_the_old_value(shop: Shop, emporix: FakeEmporix) -> None:
    """When Emporix fails, the old value is served, and Emporix is left alone for a while."""
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
    """Once `stale_if_error` is over, the old value is not served any more."""
    shop = make_shop(defaults=DEFAULTS)
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context.get", Fault(status=503), times=None)
    await asyncio.sleep(700)

    assert await shop.currency(session.token) == "CHF"


async def test_degraded_shows_defaults(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A degraded context shows the defaults."""
    shop = make_shop(defaults=DEFAULTS)
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.get", Fault(drop="before"), times=None)

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        return f"{ctx.currency} {ctx.is_degraded} {ctx.exists} {ctx.source('currency')}"

    assert (await shop.visit(page, token=session.token)).text == "CHF True False default"


async def test_get_is_repeated_once(shop: Shop, emporix: FakeEmporix) -> None:
    """A GET is repeated once after a connection error."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.get", Fault(drop="before"), times=1)

    assert await shop.currency(session.token) == "EUR"
    assert emporix.count("context.get") == 2


async def test_hanging_read(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A hanging Emporix costs a page its deadline once."""
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


async def test_f6_crowd_behind_a_failure(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """F6: Of a hundred waiters of a failing read, each gets its page, and nobody asks again at once."""
    shop = make_shop(defaults=DEFAULTS)
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.get", Fault(status=500), times=None)

    shown = await asyncio.gather(*(shop.currency(session.token) for _ in range(100)))
    await asyncio.gather(*(shop.currency(session.token) for _ in range(100)))

    assert set(shown) == {"CHF"}
    assert emporix.count("context.get") == 1


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(drop="before"), Fault(status=429, retry_after=20)])
async def test_switch_while_down(shop: Shop, emporix: FakeEmporix, fault: Fault) -> None:
    """While Emporix is down, a switch is parked, and it is sent when Emporix heals."""
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


async def test_hanging_switch(shop: Shop, emporix: FakeEmporix) -> None:
    """A hanging Emporix costs a switch its deadline, and nothing is lost."""
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
    assert held(emporix, session.session_id)["metadata"]["version"] in {2, 3}  # 3: what was left behind arrived, too


async def test_late_patch_is_not_repeated(shop: Shop, emporix: FakeEmporix) -> None:
    """A PATCH that arrives after its request gave up is not applied again."""
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context.patch", Fault(delay=3.5))
    await shop.switch(session.token, currency="USD")
    await asyncio.sleep(2)
    emporix.edit(session.session_id, currency="CHF")
    emporix.clear_calls()

    assert await shop.currency(session.token) == "CHF"
    assert emporix.count("context.patch") == 0


async def test_timed_out_commit_is_parked(shop: Shop, emporix: FakeEmporix) -> None:
    """An explicit commit that timed out is parked at the end without another wait."""
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


async def test_parked_shows_in_the_next(shop: Shop, emporix: FakeEmporix) -> None:
    """A parked choice shows when Emporix is down a moment later."""
    session = emporix.new_session(exists=False)
    await shop.switch(session.token, currency="USD")
    await asyncio.sleep(10)
    emporix.fault("context.*", Fault(status=503), times=None)

    assert await shop.currency(session.token) == "USD"


async def test_pages_pass_a_hanging_patch(shop: Shop, emporix: FakeEmporix) -> None:
    """Pages do not wait behind a PATCH that hangs."""
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
