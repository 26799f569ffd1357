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


async def test_f1_a_thousand_concurrent_cold_requests_make_one_get(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="USD")

    shown = await asyncio.gather(*(shop.currency(session.token) for _ in range(1000)))

    assert set(shown) == {"USD"}
    assert emporix.count("context.get") == 1


async def test_within_the_ttl_nothing_is_asked_again(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")

    await shop.currency(session.token)
    await asyncio.sleep(50)
    await shop.currency(session.token)

    assert emporix.count("context.get") == 1


async def test_after_the_ttl_the_old_value_is_served_while_one_get_renews_it(shop: Shop, emporix: FakeEmporix) -> None:
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


async def test_after_both_windows_a_request_waits_for_the_new_value(shop: Shop, emporix: FakeEmporix) -> None:
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.edit(session.session_id, currency="USD")
    await asyncio.sleep(121)

    assert await shop.currency(session.token) == "USD"


async def test_a_token_is_read_again_once_another_one_of_its_session_has_got_an_answer(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
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


async def test_no_context_yet_is_a_normal_state_and_believed_for_two_seconds(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    shop = make_shop(defaults=DEFAULTS)
    session = emporix.new_session(exists=False)

    assert await shop.currency(session.token) == "CHF"
    assert await shop.currency(session.token) == "CHF"
    assert emporix.count("context.get") == 1
    emporix.create_context(session.session_id, currency="EUR")
    await asyncio.sleep(2.1)
    assert await shop.currency(session.token) == "EUR"


async def test_a_refused_token_is_believed_for_three_seconds_and_shows_nothing(
    shop: Shop, emporix: FakeEmporix
) -> None:
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


async def test_f29_nothing_is_served_after_the_token_has_ended(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:

    session = emporix.new_session(currency="EUR")
    ends: list[float] = []
    shop = make_shop(token=lambda _: StorefrontToken(session.token, expires_at=ends[0]))
    ends.append(shop.clock.time() + 3)

    await shop.currency(session.token)
    await asyncio.sleep(2.5)
    emporix.fault("context.get", Fault(status=500), times=None)

    assert await shop.currency(session.token) is None


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
async def test_f40_a_jump_of_the_wall_clock_does_not_change_what_is_fresh(
    shop: Shop, emporix: FakeEmporix, jump: float
) -> None:
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


async def test_a_token_that_has_ended_is_not_asked_about_with_every_page(shop: Shop, emporix: FakeEmporix) -> None:
    ended = jwt.encode({"exp": int(shop.clock.time()) - 100}, "k" * 32)

    for _ in range(10):
        await shop.currency(ended)

    assert emporix.count("context.get") == 1


async def test_a_token_that_has_ended_does_not_escape_the_throttle(shop: Shop, emporix: FakeEmporix) -> None:
    ended = jwt.encode({"exp": int(shop.clock.time()) - 100}, "k" * 32)
    emporix.fault("context.get", Fault(status=500), times=None)

    for _ in range(4):
        await shop.currency(ended)

    assert emporix.count("context.get") <= 2


async def test_f45_garbage_tokens_do_not_push_out_good_entries(
    make_shop: Callable[..., Shop], emporix: FakeEmporix
) -> None:
    shop = make_shop(cache=CachePolicy(max_entries=10))
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.clear_calls()

    for number in range(200):
        await shop.currency(f"garbage-{number}")
    assert await shop.currency(session.token) == "EUR"

    assert emporix.count("context.get") == 200
