"""Crowds at an empty process, and broken neighbours: who has to wait, and who must not be made to."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from starlette.requests import Request

from session_ctx_middleware import ContextDefaults, SessionContext, UpstreamPolicy
from session_ctx_middleware.testing import FakeEmporix, FakeSession, Fault

from .support.outage import Way
from .support.shop import Shop, held, patches

DEFAULTS = ContextDefaults(currency="EUR")
DEADLINE = 2.0

MakeShop = Callable[..., Shop]


def known(emporix: FakeEmporix, count: int) -> list[FakeSession]:
    """Return sessions of shoppers who have chosen another currency than the default."""
    return [emporix.new_session(currency="USD") for _ in range(count)]


async def pages(shop: Shop, sessions: Sequence[FakeSession], *, within: float = 0.0) -> list[tuple[str | None, float]]:
    """Show each shopper a page, spread over so many seconds; return what it shows, and how long it took."""
    loop = asyncio.get_running_loop()

    async def page(number: int, session: FakeSession) -> tuple[str | None, float]:
        await asyncio.sleep(within * number / len(sessions))
        began = loop.time()
        return await shop.currency(session.token), loop.time() - began

    return await asyncio.gather(*(page(number, session) for number, session in enumerate(sessions)))


@pytest.mark.parametrize(
    ("count", "within"), [(200, 0.0), (1_000, 0.0), pytest.param(2_000, 1.0, marks=pytest.mark.slow)]
)
async def test_crowd_at_an_empty_process(make_shop: MakeShop, emporix: FakeEmporix, count: int, within: float) -> None:
    """A thousand known shoppers at once at a process that knows nothing: each sees its own value in time."""
    shop = make_shop(defaults=DEFAULTS)
    emporix.latency = 0.05

    shown = await pages(shop, known(emporix, count), within=within)

    assert [currency for currency, _ in shown].count("USD") == count
    assert max(seconds for _, seconds in shown) < DEADLINE
    assert emporix.count("context.get") == count


async def test_too_large_a_crowd(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """More than there is time for, within a second: whoever is answered without Emporix is right a second later."""
    shop = make_shop(defaults=DEFAULTS, upstream=UpstreamPolicy(max_concurrency=18))
    emporix.latency = 0.05
    sessions = known(emporix, 1_200)

    shown = await pages(shop, sessions, within=1.0)

    assert max(seconds for _, seconds in shown) <= DEADLINE + 1e-6
    wrong = [session for session, (currency, _) in zip(sessions, shown, strict=True) if currency != "USD"]
    assert wrong, "the crowd was to be too large"
    assert [seconds for currency, seconds in shown if currency != "USD"].count(0.0) > len(wrong) / 2
    await asyncio.sleep(1)
    again = await pages(shop, wrong)
    assert {currency for currency, _ in again} == {"USD"}
    assert emporix.count("context.get") == len(sessions)


async def test_nobody_is_locked_out(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Whoever was turned away asks again with the next page: reloading every second, all are right in the end."""
    shop = make_shop(defaults=DEFAULTS, upstream=UpstreamPolicy(max_concurrency=10, deadline=0.5))
    emporix.latency = 0.05
    sessions = known(emporix, 500)
    wrong = []

    for _ in range(6):
        shown = await pages(shop, sessions)
        wrong.append(sum(currency != "USD" for currency, _ in shown))
        await asyncio.sleep(1)

    assert wrong[0] > 300
    assert all(later <= max(0, earlier - 80) for earlier, later in itertools.pairwise(wrong))
    assert wrong[-1] == 0


async def test_shedding_is_no_failure(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """That this process does not ask opens no breaker, and says nothing of Emporix."""
    shop = make_shop(defaults=DEFAULTS, upstream=UpstreamPolicy(max_concurrency=2, deadline=0.2))
    emporix.latency = 0.05

    await pages(shop, known(emporix, 200))

    assert shop.named("upstream.unavailable") == []
    assert shop.named("upstream.failed") == []
    assert await shop.currency(emporix.new_session(currency="USD").token) == "USD"


async def test_queue_is_told_that_it_is_of_no_use(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Once it is clear that Emporix fails for everybody, those who wait for a turn are answered at once."""
    shop = make_shop(defaults=DEFAULTS, upstream=UpstreamPolicy(max_concurrency=5, get_retry=False))
    emporix.fault("context.get", Fault(status=500, delay=0.3), times=None)

    shown = await pages(shop, known(emporix, 100))

    assert max(seconds for _, seconds in shown) < 0.4
    assert emporix.count("context.get") == 5


async def test_fair_turns(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """First come, first served."""
    shop = make_shop(defaults=DEFAULTS, upstream=UpstreamPolicy(max_concurrency=2))
    emporix.latency = 0.05
    order = []

    async def visit(number: int, session: FakeSession) -> None:
        await shop.currency(session.token)
        order.append(number)

    await asyncio.gather(*(visit(number, session) for number, session in enumerate(known(emporix, 40))))

    # Of two that are answered in one moment, either may be the first.
    assert all(abs(place - number) < 2 for place, number in enumerate(order))


@pytest.mark.slow
async def test_crowd_of_switches(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Five hundred switches at once: all are kept, each is sent once, and nobody is turned away by a number."""
    shop = make_shop(defaults=DEFAULTS, upstream=UpstreamPolicy(max_flights=1))
    emporix.latency = 0.02
    sessions = known(emporix, 500)

    answers = await asyncio.gather(*(shop.switch(session.token, currency="GBP") for session in sessions))

    assert {answer.status_code for answer in answers} == {200}
    await asyncio.sleep(3)
    assert {currency for currency, _ in await pages(shop, sessions)} == {"GBP"}
    await asyncio.sleep(3)
    assert {held(emporix, session.session_id)["currency"] for session in sessions} == {"GBP"}
    assert len(patches(emporix)) == len(sessions)


@pytest.mark.parametrize(
    "between", [0.1, 1.0, pytest.param(7.0, marks=pytest.mark.slow)], ids=["busy", "calm", "quiet"]
)
async def test_broken_sessions_cost_the_others_nothing(
    make_shop: MakeShop, emporix: FakeEmporix, http_library: Any, between: float
) -> None:
    """Ten sessions for which Emporix always fails hide it from nobody, however seldom healthy shoppers come."""
    way = Way(emporix, http_library)
    shop = make_shop(http_client=way.client, defaults=DEFAULTS)
    broken, loop = known(emporix, 10), asyncio.get_running_loop()
    way.broken = {session.token for session in broken}
    over = loop.time() + 40 * between

    async def reload(session: FakeSession) -> None:
        await asyncio.sleep(0.5)
        while loop.time() < over:
            await shop.currency(session.token)
            await asyncio.sleep(0.3)

    reloading = [asyncio.create_task(reload(session)) for session in broken]
    wrong = 0
    while loop.time() < over:
        wrong += await shop.currency(emporix.new_session(currency="USD").token) != "USD"
        await asyncio.sleep(between)
    await asyncio.gather(*reloading)

    assert wrong == 0
    assert len(shop.named("upstream.unavailable")) <= (between > 5)  # at most at first, when nobody else has come
    assert way.calls_of_broken <= len(broken) * (40 * between + 1), "each about once a second at most"


async def test_broken_sessions_come_first(make_shop: MakeShop, emporix: FakeEmporix, http_library: Any) -> None:
    """Where nobody but broken sessions has come so far, the first healthy shopper finds out that all is well."""
    way = Way(emporix, http_library)
    shop = make_shop(http_client=way.client, defaults=DEFAULTS)
    broken = known(emporix, 10)
    way.broken = {session.token for session in broken}
    for _ in range(60):
        await asyncio.gather(*(shop.currency(session.token) for session in broken))
        await asyncio.sleep(0.4)
    assert len(shop.named("upstream.unavailable")) == 1

    assert await shop.currency(emporix.new_session(currency="USD").token) == "USD"
    assert len(shop.named("upstream.restored")) == 1


async def test_one_load_among_many_waits(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Pages that load in several tasks wait in the queue once."""
    shop = make_shop(defaults=DEFAULTS, upstream=UpstreamPolicy(max_concurrency=1))
    emporix.latency = 0.1

    async def page(ctx: SessionContext, _: Request) -> str:
        await asyncio.gather(*(ctx.load() for _number in range(5)))
        return ctx.currency or ""

    shown = await asyncio.gather(*(shop.visit(page, token=session.token) for session in known(emporix, 15)))

    assert {answer.text for answer in shown} == {"USD"}
    assert emporix.count("context.get") == 15
