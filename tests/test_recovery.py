"""However long Emporix was away, and however it failed: five seconds after it is back, pages are fresh."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from session_ctx_middleware import CachePolicy, ContextDefaults, UpstreamPolicy
from session_ctx_middleware.testing import FakeEmporix, FakeSession

from .support.outage import WAYS, Way
from .support.shop import Shop, held

CACHE = CachePolicy(ttl=1.0, stale_while_revalidate=0.0)
DEFAULTS = ContextDefaults(currency="CHF")
BACK = 5.0

MakeShop = Callable[..., Shop]


@pytest.fixture
async def way(emporix: FakeEmporix, http_library: Any) -> Way:
    return Way(emporix, http_library)


@pytest.fixture
async def shop(make_shop: MakeShop, way: Way) -> Shop:
    return make_shop(http_client=way.client, cache=CACHE, defaults=DEFAULTS)


@pytest.fixture
async def unrepeating(make_shop: MakeShop, way: Way) -> Shop:
    """A shop that repeats no GET."""
    upstream = UpstreamPolicy(get_retry=False)
    return make_shop(http_client=way.client, cache=CACHE, defaults=DEFAULTS, upstream=upstream)


class Crowd:
    """Shoppers who look at pages again and again."""

    def __init__(self, shop: Shop, emporix: FakeEmporix, size: int, seed: int) -> None:
        self.shop = shop
        self.emporix = emporix
        self.rng = random.Random(seed)
        self.sessions = [emporix.new_session(currency="EUR") for _ in range(size)]
        self.seen: list[tuple[float, float, str | None]] = []

    async def browse(self, until: float, pause: float) -> None:
        await asyncio.gather(*(self._shopper(session.token, until, pause) for session in self.sessions))

    async def _shopper(self, token: str, until: float, pause: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            await asyncio.sleep(pause * (0.5 + self.rng.random()))
            began = loop.time()
            shown = await self.shop.currency(token)
            self.seen.append((began, loop.time() - began, shown))

    def edit(self, currency: str) -> None:
        for session in self.sessions:
            self.emporix.edit(session.session_id, currency=currency)


@pytest.fixture(params=[("shop", 1), ("unrepeating", 1), ("shop", 10)], ids=lambda param: f"{param[0]}-{param[1]}")
async def crowd(request: pytest.FixtureRequest, shop: Shop, unrepeating: Shop, emporix: FakeEmporix) -> Crowd:
    kind, size = request.param
    return Crowd(shop if kind == "shop" else unrepeating, emporix, size, seed=size)


@pytest.mark.parametrize("fails", WAYS)
async def test_fresh_soon_after(crowd: Crowd, way: Way, fails: str) -> None:
    """Whoever comes five seconds after Emporix is back sees what it has, however many shoppers there are."""
    loop = asyncio.get_running_loop()
    await crowd.browse(loop.time() + 2, 0.5)
    for length in (0.3, 4.2, 13.0):
        crowd.edit("EUR")
        await crowd.browse(loop.time() + 2, 0.5)
        way.fails = fails
        crowd.edit("USD")
        browsing = asyncio.create_task(crowd.browse(loop.time() + length + BACK + 1, 0.5))
        await asyncio.sleep(length)
        way.fails = ""
        back = loop.time()
        await browsing

        late = [(began - back, shown) for began, _, shown in crowd.seen if began >= back + BACK and shown != "USD"]
        assert late == []
        crowd.seen.clear()


@pytest.mark.parametrize("fails", WAYS)
async def test_first_page_after_a_quiet_time(shop: Shop, emporix: FakeEmporix, way: Way, fails: str) -> None:
    """Nobody need have come in between: the first page after five seconds shows what Emporix has."""
    sessions = [emporix.new_session(currency="EUR") for _ in range(10)]
    for length in (0.5, 3.0, 10.0):
        way.fails = fails
        for _ in range(int(length / 0.5)):
            await asyncio.gather(*(shop.currency(session.token) for session in sessions))
            await asyncio.sleep(0.5)
        way.fails = ""
        await asyncio.sleep(BACK)

        for session in sessions:
            assert await shop.currency(session.token) == "EUR"


@pytest.mark.parametrize("fails", WAYS)
async def test_changes_arrive_soon_after(shop: Shop, emporix: FakeEmporix, way: Way, fails: str) -> None:
    """A change that was made meanwhile is at Emporix five seconds after it is back."""
    session = emporix.new_session(currency="EUR")
    for number, length in enumerate((0.3, 2.5, 8.0, 31.0)):
        await shop.currency(session.token)
        way.fails = fails
        wanted = ("USD", "GBP")[number % 2]
        assert (await shop.switch(session.token, currency=wanted)).status_code == 200
        await asyncio.sleep(length)
        way.fails = ""
        back = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < back + BACK:
            assert await shop.currency(session.token) == wanted
            await asyncio.sleep(0.25)

        assert held(emporix, session.session_id)["currency"] == wanted


@pytest.mark.parametrize(
    "fails", [pytest.param(each, marks=[] if each in {"silent", "5xx"} else pytest.mark.slow) for each in WAYS]
)
async def test_pages_are_cheap_meanwhile(make_shop: MakeShop, emporix: FakeEmporix, way: Way, fails: str) -> None:
    """While it is away, the first pages take their deadline at most; then hardly any waits, and few calls are made."""
    shop = make_shop(http_client=way.client, defaults=DEFAULTS)
    way.fails = fails
    took = []
    loop = asyncio.get_running_loop()
    for _ in range(500):
        began = loop.time()
        assert await shop.currency(emporix.new_session(currency="EUR").token) == "CHF"
        took.append(loop.time() - began)
        await asyncio.sleep(0.05)

    assert max(took) <= 2.0
    slow = [number for number, seconds in enumerate(took) if seconds > 0.001]
    assert len([number for number in slow if number >= 5]) <= 12  # one probe in four seconds, and a few more at first
    assert len(way.calls) <= 30


class Choosing(Crowd):
    """Shoppers who choose another currency now and then, and look at pages otherwise."""

    def __init__(self, shop: Shop, emporix: FakeEmporix, size: int, seed: int) -> None:
        super().__init__(shop, emporix, size, seed)
        self.chosen = dict.fromkeys((session.session_id for session in self.sessions), "EUR")
        self.wrong: list[float] = []

    async def visit(self, until: float) -> None:
        await asyncio.gather(*(self._visitor(session, until) for session in self.sessions))

    async def _visitor(self, session: FakeSession, until: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            await asyncio.sleep(self.rng.uniform(0.2, 1.0))
            if self.rng.random() < 0.15:
                currency = self.rng.choice(["USD", "GBP", "SEK"])
                await self.shop.switch(session.token, currency=currency)
                self.chosen[session.session_id] = currency
                continue
            began = loop.time()
            if await self.shop.currency(session.token) != self.chosen[session.session_id]:
                self.wrong.append(began)


@pytest.mark.slow
@pytest.mark.parametrize("fails", WAYS)
async def test_choices_in_many_outages(shop: Shop, emporix: FakeEmporix, way: Way, fails: str) -> None:
    """However often Emporix goes and comes: five seconds after it is back every page is right, and all is sent."""
    loop, rng = asyncio.get_running_loop(), random.Random(fails)
    crowd = Choosing(shop, emporix, 6, seed=len(fails))
    visiting = asyncio.create_task(crowd.visit(loop.time() + 60))
    outages: list[tuple[float, float]] = []
    while loop.time() < 45:
        await asyncio.sleep(rng.uniform(6, 10))
        way.fails, began = fails, loop.time()
        await asyncio.sleep(rng.choice([0.2, 1, 3, 8]))
        way.fails = ""
        outages.append((began, loop.time() + BACK))
    await visiting
    await asyncio.sleep(BACK)
    for session in crowd.sessions:
        await shop.currency(session.token)

    assert [moment for moment in crowd.wrong if not any(began <= moment < end for began, end in outages)] == []
    sent = {session.session_id: held(emporix, session.session_id)["currency"] for session in crowd.sessions}
    assert sent == crowd.chosen
