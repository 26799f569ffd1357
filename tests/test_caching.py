"""How often Emporix is asked: once per session and TTL, and what is believed for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import jwt
import pytest
from starlette.requests import Request

from session_ctx_middleware import (
    CachePolicy,
    ContextDefaults,
    SessionContext,
    StorefrontToken,
)
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop

DEFAULTS = ContextDefaults(site_code="main", currency="CHF", language="de", target_location="CH")


async def test_f1_cold_crowd_makes_one_get(shop: Shop, emporix: FakeEmporix) -> None:
    """F1: A thousand concurrent cold requests make one GET."""
    session = emporix.new_session(currency="USD")

    shown = await asyncio.gather(*(shop.currency(session.token) for _ in range(1000)))

    assert set(shown) == {"USD"}
    assert emporix.count("context.get") == 1


async def test_within_the_ttl(shop: Shop, emporix: FakeEmporix) -> None:
    """Within the TTL nothing is asked again."""
    session = emporix.new_session(currency="EUR")

    await shop.currency(session.token)
    await asyncio.sleep(50)
    await shop.currency(session.token)

    assert emporix.count("context.get") == 1


async def test_after_the_ttl(shop: Shop, emporix: FakeEmporix) -> None:
    """After the TTL, the old value is served while one GET renews it."""
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.edit(session.session_id, currency="USD")
    await asyncio.sleep(61)
    stale = []

    async def page(ctx: SessionContext, _: Request) -> str:
        stale.append((await ctx).is_stale)
        return ctx.currency or ""

    answers = await asyncio.gather(*(shop.visit(page, token=session.token) for _ in range(20)))
    await asyncio.sleep(1)

    assert {answer.text for answer in answers} == {"EUR"}
    assert set(stale) == {True}
    assert await shop.currency(session.token) == "USD"
    assert emporix.count("context.get") == 2


async def test_after_both_windows(shop: Shop, emporix: FakeEmporix) -> None:
    """After both windows, a request waits for the new value."""
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.edit(session.session_id, currency="USD")
    await asyncio.sleep(121)

    assert await shop.currency(session.token) == "USD"


async def test_read_again_after_another_token(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A token is read again once another one of its session has got an answer."""
    session = emporix.new_session(currency="EUR")
    other = emporix.new_token(session.session_id)
    shop = make_shop(cache=CachePolicy(ttl=1, stale_while_revalidate=0, failure_throttle=30))
    assert [await shop.currency(token) for token in (session.token, other)] == ["EUR", "EUR"]
    emporix.edit(session.session_id, currency="USD")
    await asyncio.sleep(2)
    emporix.fault("context.get", Fault(status=500), times=None)
    assert await shop.currency(session.token) == "EUR"  # stale, and Emporix is left alone for a while
    emporix.clear_faults()

    assert await shop.currency(other) == "USD"
    assert await shop.currency(session.token) == "USD"


async def test_missing_for_two_seconds(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """That there is no context yet is normal, and believed for two seconds."""
    shop = make_shop(defaults=DEFAULTS)
    session = emporix.new_session(exists=False)

    assert await shop.currency(session.token) == "CHF"
    assert await shop.currency(session.token) == "CHF"
    assert emporix.count("context.get") == 1
    emporix.create_context(session.session_id, currency="EUR")
    await asyncio.sleep(2.1)
    assert await shop.currency(session.token) == "EUR"


async def test_rejected_for_three_seconds(shop: Shop, emporix: FakeEmporix) -> None:
    """The refusal of a token is believed for three seconds, and nothing is shown."""
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.revoke(session.token)
    await asyncio.sleep(130)
    emporix.clear_calls()

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        return f"{ctx.is_rejected} {ctx.exists} {ctx.currency}"

    for _ in range(3):
        assert (await shop.visit(page, token=session.token)).text == "True False None"
    assert emporix.count("context.get") == 1


async def test_f29_ended_token(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """F29: Nothing is served after the token has ended."""
    session = emporix.new_session(currency="EUR")
    ends: list[float] = []
    shop = make_shop(token=lambda _: StorefrontToken(session.token, expires_at=ends[0]))
    ends.append(shop.clock.time() + 3)

    await shop.currency(session.token)
    await asyncio.sleep(2.5)
    emporix.fault("context.get", Fault(status=500), times=None)

    assert await shop.currency(session.token) is None


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_f40_wall_clock_jumps(shop: Shop, emporix: FakeEmporix, jump: float) -> None:
    """F40: A jump of the wall clock does not change what is fresh."""
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    shop.clock.wall_offset = jump
    await asyncio.sleep(40)
    await shop.currency(session.token)
    assert emporix.count("context.get") == 1

    await asyncio.sleep(25)
    await shop.currency(session.token)
    await asyncio.sleep(1)

    assert emporix.count("context.get") == 2


async def test_ended_token_is_asked_once(shop: Shop, emporix: FakeEmporix) -> None:
    """A token that has ended is not asked about with every page."""
    ended = jwt.encode({"exp": int(shop.clock.time()) - 100}, "k" * 32)

    for _ in range(10):
        await shop.currency(ended)

    assert emporix.count("context.get") == 1


async def test_ended_token_is_throttled(shop: Shop, emporix: FakeEmporix) -> None:
    """A token that has ended does not escape the throttle."""
    ended = jwt.encode({"exp": int(shop.clock.time()) - 100}, "k" * 32)
    emporix.fault("context.get", Fault(status=500), times=None)

    for _ in range(4):
        await shop.currency(ended)

    assert emporix.count("context.get") <= 2


async def test_f45_garbage_tokens(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """F45: Garbage tokens do not push out good entries."""
    shop = make_shop(cache=CachePolicy(max_entries=10))
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.clear_calls()

    for number in range(200):
        await shop.currency(f"garbage-{number}")
    assert await shop.currency(session.token) == "EUR"

    assert emporix.count("context.get") == 200
