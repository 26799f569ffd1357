"""Emporix in trouble: pages keep their deadline, Emporix is left alone, and everything converges."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest
from starlette.requests import Request

from session_ctx_middleware import CachePolicy, Commit, ContextDefaults, SessionContext, UpstreamPolicy
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop

DEFAULTS = ContextDefaults(currency="CHF")


async def test_f37_breaker_and_probe(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """F37: When calls fail for everybody, the breaker opens; one probe at a time closes it."""
    shop = make_shop(defaults=DEFAULTS, upstream=UpstreamPolicy(get_retry=False))
    emporix.fault("context.get", Fault(status=503), times=None)
    sessions = [emporix.new_session(currency="EUR") for _ in range(400)]

    for session in sessions[:100]:
        await shop.currency(session.token)
    assert emporix.count("context.get") == 5
    await asyncio.sleep(1)
    emporix.clear_faults()
    emporix.fault("context.get", Fault(delay=0.5), times=1)
    await asyncio.gather(*(shop.currency(session.token) for session in sessions[100:200]))
    assert emporix.count("context.get") == 6

    shown = [await shop.currency(session.token) for session in sessions[200:300]]

    assert set(shown) == {"EUR"}


async def test_f37_half_of_the_calls_fail(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """F37: While others get answers, a call that fails is its own session's trouble: everybody goes on asking."""
    shop = make_shop(defaults=DEFAULTS, upstream=UpstreamPolicy(get_retry=False))
    shown = [await shop.currency(emporix.new_session(currency="EUR").token)]  # else the first five might all fail
    emporix.fault("context.get", Fault(status=503, probability=0.5), times=None)

    for _ in range(399):
        shown.append(await shop.currency(emporix.new_session(currency="EUR").token))
        await asyncio.sleep(0.05)

    assert emporix.count("context.get") == 400
    assert 150 < shown.count("EUR") < 250


async def test_failing_probe_doubles_pause(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A probe that fails doubles the pause up to four seconds."""
    shop = make_shop(upstream=UpstreamPolicy(get_retry=False))
    emporix.fault("context.get", Fault(status=500), times=None)
    loop = asyncio.get_running_loop()
    began = loop.time()
    calls: list[float] = []

    while loop.time() - began < 40:
        before = emporix.count("context.get")
        await shop.currency(emporix.new_session().token)
        if emporix.count("context.get") > before:
            calls.append(loop.time() - began)
        await asyncio.sleep(0.05)
    pauses = [later - earlier for earlier, later in itertools.pairwise(calls[4:])]

    assert len(pauses) >= 8
    for pause, expected in zip(pauses, [1, 2, 4, 4, 4, 4], strict=False):
        assert 0.8 * expected <= pause <= expected + 0.051


async def test_hanging_costs_first_pages_only(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """When Emporix hangs, the first pages take their deadline, and the others no time."""
    shop = make_shop(defaults=DEFAULTS)
    emporix.fault("context.get", Fault(hang=True), times=None)
    loop = asyncio.get_running_loop()
    took = []

    for _ in range(100):
        began = loop.time()
        assert await shop.currency(emporix.new_session().token) == "CHF"
        took.append(loop.time() - began)
        await asyncio.sleep(0.01)

    assert max(took) <= 2.0 + 1e-6
    slow = [seconds for seconds in took if seconds > 0.002]
    assert 1 <= len(slow) <= 6
    emporix.clear_faults()


async def test_f36_closed_gate(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """F36: After a 429 nobody asks and nobody waits, until the time is over."""
    shop = make_shop(defaults=DEFAULTS)
    emporix.fault("context.get", Fault(status=429, retry_after=30), times=1)
    await shop.currency(emporix.new_session().token)
    loop = asyncio.get_running_loop()
    session = emporix.new_session(currency="EUR")

    began = loop.time()
    for _ in range(20):
        assert await shop.currency(emporix.new_session().token) == "CHF"
    assert loop.time() - began < 0.01
    assert emporix.count("context.get") == 1
    await asyncio.sleep(31)
    assert await shop.currency(session.token) == "EUR"


@pytest.mark.parametrize("retry_after", ["", "soon", "-5", "1e3", "NaN", "Wed, 99 Foo 2026"])
async def test_f36_nonsense_retry_after(shop: Shop, emporix: FakeEmporix, retry_after: str) -> None:
    """F36: A nonsense Retry-After is a short pause."""
    emporix.fault("context.get", Fault(status=429, retry_after=retry_after), times=1)
    await shop.currency(emporix.new_session().token)

    await asyncio.sleep(1.1)

    assert await shop.currency(emporix.new_session(currency="EUR").token) == "EUR"


async def test_switch_at_a_closed_gate(shop: Shop, emporix: FakeEmporix) -> None:
    """While the gate is closed, a switch is parked without a call."""
    session = emporix.new_session(currency="EUR")
    await shop.currency(session.token)
    emporix.fault("context.patch", Fault(status=429, retry_after=10), times=1)
    await shop.switch(session.token, language="fr")
    calls = emporix.count()
    outcome = []

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")
        outcome.append(await ctx.commit())

    await shop.visit(endpoint, token=session.token)
    assert (outcome, emporix.count()) == ([Commit.PARKED], calls)
    await asyncio.sleep(12)
    await shop.currency(session.token)

    document = emporix.document(session.session_id) or {}
    assert (document["currency"], document["language"]) == ("USD", "fr")


async def test_f38_clients_that_go_away(shop: Shop, emporix: FakeEmporix) -> None:
    """F38: Clients that go away do not open the breaker."""
    emporix.fault("context.get", Fault(delay=0.5), times=None)

    for _ in range(50):
        leaving = asyncio.create_task(shop.currency(emporix.new_session().token))
        await asyncio.sleep(0.01)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
    await asyncio.sleep(2)
    emporix.clear_faults()

    assert await shop.currency(emporix.new_session(currency="EUR").token) == "EUR"


async def test_client_errors_do_not_count(shop: Shop, emporix: FakeEmporix) -> None:
    """Answers below 500 do not open the breaker."""
    for status in (400, 401, 403, 404, 409):
        emporix.fault("context.get", Fault(status=status), times=20)
        for _ in range(20):
            await shop.currency(emporix.new_session().token)

    assert await shop.currency(emporix.new_session(currency="EUR").token) == "EUR"


async def test_f43_malformed_answer(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """F43: A malformed answer is not cached, and does not open the breaker."""
    shop = make_shop(defaults=DEFAULTS)
    bodies = [b"<html>", b"", b"[]", b"{}", b'{"metadata":{"version":"1"}}', b"[" * 100_000, b"x" * 300_000, b"NaN"]
    for body in bodies * 5:
        emporix.fault("context.get", Fault(body=body), times=1)
        assert await shop.currency(emporix.new_session(currency="EUR").token) == "CHF"

    session = emporix.new_session(currency="EUR")
    emporix.fault("context.get", Fault(body=b"<html>"), times=1)
    assert await shop.currency(session.token) == "CHF"
    await asyncio.sleep(8)
    assert await shop.currency(session.token) == "EUR"


@pytest.mark.parametrize("waves", [4, pytest.param(20, marks=pytest.mark.slow)])
async def test_f7_ten_thousand_tokens(make_shop: Callable[..., Shop], emporix: FakeEmporix, waves: int) -> None:
    """F7: Ten thousand tokens at a hanging Emporix cost so many calls and the deadline once, and all recovers."""
    shop = make_shop(upstream=UpstreamPolicy(max_concurrency=10), cache=CachePolicy(max_entries=500))
    emporix.fault("context.get", Fault(hang=True), times=None)
    loop = asyncio.get_running_loop()
    took = []

    for wave in range(waves):
        arrived = loop.time()
        await asyncio.gather(*(shop.currency(f"token-{wave}-{number}") for number in range(500)))
        took.append(loop.time() - arrived)

    assert took[0] == pytest.approx(2.0)
    assert max(took[1:]) <= 0.75
    await asyncio.sleep(20)
    flights = [task for task in asyncio.all_tasks() if "_fly" in str(task.get_coro())]
    assert not flights
    emporix.clear_faults()
    assert await shop.currency(emporix.new_session(currency="EUR").token) == "EUR"


async def test_one_budget_per_request(shop: Shop, emporix: FakeEmporix) -> None:
    """One request has one budget for all its waits."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.get", Fault(hang=True), times=None)
    loop = asyncio.get_running_loop()

    async def page(ctx: SessionContext, _: Request) -> None:
        await ctx
        for _number in range(5):
            await ctx.refresh()
        await ctx.cart_created("cart")

    began = loop.time()
    await shop.visit(page, token=session.token)

    assert loop.time() - began <= 2.01


async def test_parallel_waits_count_once(shop: Shop, emporix: FakeEmporix) -> None:
    """Waits that go on at the same time are one: what they left of the budget serves those that follow."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.get", Fault(delay=0.9), times=1)

    async def page(ctx: SessionContext, _: Request) -> str:
        await asyncio.gather(*(ctx.load() for _number in range(5)))
        emporix.fault("context.get", Fault(delay=0.9), times=1)
        emporix.edit(session.session_id, currency="USD")
        await ctx.cart_created()
        return f"{ctx.currency} {ctx.is_degraded}"

    assert (await shop.visit(page, token=session.token)).text == "USD False"


async def test_overlapping_waits_are_bounded(shop: Shop, emporix: FakeEmporix) -> None:
    """Waits that overlap, each begun before the last has ended, together take no longer than one."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.get", Fault(hang=True), times=None)
    loop = asyncio.get_running_loop()

    async def page(ctx: SessionContext, _: Request) -> None:
        async def later(seconds: float) -> None:
            await asyncio.sleep(seconds)
            await ctx.refresh()

        await asyncio.gather(*(later(0.5 * number) for number in range(8)))

    began = loop.time()
    await shop.visit(page, token=session.token)

    assert loop.time() - began <= 3.5 + 1e-6  # when the last of them begins there is nothing left


async def test_time_of_the_app_is_free(shop: Shop, emporix: FakeEmporix) -> None:
    """Time that the app itself takes is not counted."""
    session = emporix.new_session(currency="EUR")

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        await asyncio.sleep(60)
        emporix.edit(session.session_id, currency="USD")
        await ctx.refresh()
        return ctx.currency or ""

    assert (await shop.visit(page, token=session.token)).text == "USD"
