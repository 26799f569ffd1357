"""Requests of one browser on several workers that refresh at the same moment: nobody's session is lost over it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from session_ctx_middleware import ContextDefaults
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.stores.tokens import MemoryTokens
from session_ctx_middleware.testing import FakeEmporix, Fault, Quirks

from ..support.shop import Shop
from ..support.virtual_time import VirtualClock
from .customers import JANE, CustomerShop, platform
from .test_guests import COOKIE, SECRET, currency, kept, who

MakeShop = Callable[..., Shop]
SLOW = Fault(delay=0.3)


@pytest.fixture
def emporix() -> FakeEmporix:
    now = 1_800_000_000.0
    return FakeEmporix(
        context_at="login",
        quirks=Quirks(refresh_reuse="refused"),
        now=lambda: now + asyncio.get_running_loop().time(),
    )


def workers(make_shop: MakeShop, number: int = 3, **options: Any) -> list[Shop]:
    """Return workers before which one browser stands; without a store they share nothing."""
    defaults = ContextDefaults(currency="EUR")
    stores = options.pop("stores", [None] * number)
    shops = [
        make_shop(
            token=StorefrontSessions("storefront"),
            secret_key=SECRET,
            defaults=defaults,
            **({} if store is None else {"store": store}),
            **options,
        )
        for store in stores
    ]
    for shop in shops[1:]:
        shop.browser._cookies = shops[0].browser._cookies
    return shops


def sharing(number: int = 3) -> list[MemoryStore]:
    store = MemoryStore(shared=True, clock=VirtualClock())
    return [store.sibling() for _ in range(number)]


def set_by(pages: Any) -> list[str]:
    return [each for page in pages for each in page.headers.get_list("set-cookie") if COOKIE in each]


async def test_losers_while_the_token_is_good(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Two of three workers that share nothing are refused, go on with the token, and leave the cookie alone."""
    shops = workers(make_shop)
    session = (await shops[0].visit(who)).text
    for _ in range(4):
        await asyncio.sleep(3500.0)
        emporix.fault("anonymous.refresh", SLOW, times=3)
        pages = await asyncio.gather(*(shop.visit(who) for shop in shops))

        assert [page.text for page in pages] == [session] * 3
        assert len(set_by(pages)) == 1, "the winner alone sets it"
        assert [(await shop.visit(who)).text for shop in shops] == [session] * 3
    assert not [event for shop in shops for event in shop.named("session.replaced")]
    assert emporix.count("anonymous.login") == 1


@pytest.mark.parametrize("pause", [3700.0, 40_000.0, 86_000.0])
async def test_losers_when_it_has_ended(pause: float, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Losers that have no token any more show the defaults once, and go on with what the winner's cookie brings."""
    shops = workers(make_shop)
    session = (await shops[0].visit(who)).text
    await asyncio.sleep(pause)
    emporix.fault("anonymous.refresh", SLOW, times=3)

    pages = await asyncio.gather(*(shop.visit(who) for shop in shops))

    assert sorted(page.text for page in pages) == ["", "", session]
    assert len(set_by(pages)) == 1
    for _ in range(3):
        assert [(await shop.visit(who)).text for shop in shops] == [session] * 3
        await asyncio.sleep(60.0)
    assert emporix.count("anonymous.login") == 1


async def test_refused_for_good(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A session that Emporix has ended is replaced once nobody can have won: a few pages later, and by one session."""
    shops = workers(make_shop)
    await shops[0].visit(who)
    emporix._world.refresh.clear()
    await asyncio.sleep(7200.0)
    first = await asyncio.gather(*(shop.visit(currency) for shop in shops))
    assert [page.text for page in first] == ["EUR"] * 3
    assert not set_by(first)
    await asyncio.sleep(11.0)
    pages = await asyncio.gather(*(shops[0].visit(who) for _ in range(8)))

    assert len({page.text for page in pages}) == 1
    assert pages[0].text
    assert emporix.count("anonymous.login") == 2
    assert len(shops[0].named("session.replaced")) == 1
    assert (await shops[1].visit(who)).text == pages[0].text


@pytest.mark.parametrize("pause", [3500.0, 7200.0])
async def test_one_call_over_all_workers(pause: float, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Workers that share a store make one call, and late holders on any of them get the successor for a minute."""
    shops = workers(make_shop, stores=sharing())
    session = (await shops[0].visit(who)).text
    old = kept(shops[0])
    name = next(each.name for each in shops[0].browser.cookies.jar if each.name.startswith(COOKIE))
    await asyncio.sleep(pause)
    emporix.fault("anonymous.refresh", SLOW, times=None)
    pages = await asyncio.gather(*(shop.visit(who) for shop in shops for _ in range(4)))

    assert {page.text for page in pages} == {session}
    assert emporix.count("anonymous.refresh") == 1
    await asyncio.sleep(50.0)
    shops[2].browser.cookies.clear()
    late = await shops[2].visit(who, headers={"cookie": f"{name}={old}"})
    assert late.text == session
    assert len(set_by([late])) == 1
    assert emporix.count("anonymous.refresh") == 1


async def test_refused_over_all_workers(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Workers that share a store ask once about a session that has ended, and replace it by one."""
    shops = workers(make_shop, stores=sharing())
    session = (await shops[0].visit(who)).text
    emporix._world.refresh.clear()
    await asyncio.sleep(7200.0)
    await asyncio.gather(*(shop.visit(who) for shop in shops))
    await asyncio.sleep(11.0)
    emporix.fault("anonymous.login", SLOW, times=None)
    pages = await asyncio.gather(*(shop.visit(who) for shop in shops for _ in range(3)))

    assert len({page.text for page in pages}) == 1
    assert pages[0].text not in {"", session}
    assert emporix.count("anonymous.refresh") == 1
    assert emporix.count("anonymous.login") == 2


async def test_worker_that_ends_while_it_refreshes(
    make_shop: MakeShop, emporix: FakeEmporix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that has said it would refresh, and is killed, keeps the others for seconds, not for ever."""
    stores = sharing()
    shops = workers(make_shop, stores=stores)
    session = (await shops[0].visit(who)).text
    await asyncio.sleep(3500.0)
    claim = MemoryTokens.claim

    async def and_dies(tokens: MemoryTokens, key: str, seconds: float) -> bool:
        await claim(tokens, key, seconds)
        return False

    with monkeypatch.context() as patch:
        patch.setattr(MemoryTokens, "claim", and_dies)
        waiting = asyncio.create_task(shops[0].visit(who))
        await asyncio.sleep(0.05)
    began = asyncio.get_running_loop().time()
    assert (await shops[1].visit(who)).text == session
    assert asyncio.get_running_loop().time() - began <= 2.1
    assert (await waiting).text == session
    await asyncio.sleep(8.0)

    assert (await shops[1].visit(who)).text == session
    assert emporix.count("anonymous.refresh") == 1


async def test_store_that_fails_meanwhile(
    make_shop: MakeShop, emporix: FakeEmporix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the store fails, each worker refreshes for itself, and no page is late."""
    stores = sharing()
    shops = workers(make_shop, stores=stores)
    session = (await shops[0].visit(who)).text
    await asyncio.sleep(3500.0)

    async def fails(*_: Any) -> bool:
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(MemoryTokens, "claim", fails)
        pages = await asyncio.gather(*(shop.visit(who) for shop in shops))

    assert {page.text for page in pages} == {session}
    assert all(shop.named("tokens.failed") for shop in shops)
    assert (await shops[1].visit(who)).text == session


@pytest.mark.parametrize("off", [3.0, 60.0, 3600.0, -3600.0])
async def test_clocks_differ(off: float, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Workers whose clocks differ by seconds, a minute or an hour share one session, and no refresh is made for it."""
    shops = workers(make_shop, 2, stores=sharing(2))
    shops[1].clock.wall_offset = off
    session = (await shops[0].visit(who)).text
    for pause in (10.0, 3500.0, 3700.0, 80_000.0):
        await asyncio.sleep(pause)
        for shop in (*shops, *reversed(shops)):
            assert (await shop.visit(who)).text == session
    assert emporix.count("anonymous.login") == 1
    assert emporix.count("anonymous.refresh") <= 8


async def test_call_that_fails(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Where the one call fails, all who wait hear of it at once, and two seconds later the next one is made."""
    shops = workers(make_shop, stores=sharing())
    session = (await shops[0].visit(who)).text
    await asyncio.sleep(3500.0)
    loop = asyncio.get_running_loop()
    for attempt in (1, 2, 3):
        emporix.fault("anonymous.refresh", Fault(status=503, delay=0.3))
        began = loop.time()
        pages = await asyncio.gather(*(shop.visit(who) for shop in shops for _ in range(2)))
        assert {page.text for page in pages} == {session}
        assert loop.time() - began <= 0.7
        assert emporix.count("anonymous.refresh") == attempt
        await asyncio.sleep(2.1)

    await shops[1].visit(who)
    assert emporix.count("anonymous.refresh") == 4
    assert [(await shop.visit(who)).text for shop in shops] == [session] * 3


async def test_instances_of_one_process(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Instances that a framework builds for its routes refresh a session once, as they are of one process."""
    clock = VirtualClock()
    shops = [
        make_shop(token=StorefrontSessions("storefront"), secret_key=SECRET, store=None, clock=clock) for _ in range(3)
    ]
    for shop in shops[1:]:
        shop.browser._cookies = shops[0].browser._cookies
    session = (await shops[0].visit(who)).text
    await asyncio.sleep(3500.0)
    emporix.fault("anonymous.refresh", SLOW, times=None)
    pages = await asyncio.gather(*(shop.visit(who) for shop in shops for _ in range(2)))

    assert {page.text for page in pages} == {session}
    assert emporix.count("anonymous.refresh") == 1


@pytest.mark.parametrize("shared", [True, False])
async def test_customers(shared: bool, make_shop: MakeShop) -> None:
    """A customer whose token was refused on three workers at once stays logged in on all of them, store or none."""
    emporix = platform(refresh_reuse="refused")
    stores = sharing() if shared else [MemoryStore(clock=VirtualClock()) for _ in range(3)]
    shops = [CustomerShop(make_shop, emporix, store=store) for store in stores]
    for shop in shops[1:]:
        shop.shop.browser._cookies = shops[0].shop.browser._cookies
    await shops[0].page()
    await shops[0].login(JANE)
    session = (await shops[0].page())["session"]
    for _ in range(3):
        await asyncio.sleep(70.0)
        emporix._world.access.clear()
        emporix.fault("customer.refresh", SLOW, times=3)
        pages = await asyncio.gather(*(shop.page() for shop in shops))

        shown = [page["customer"] for page in pages]
        assert shown.count("C0001") >= (3 if shared else 1)
        assert set(shown) <= {"C0001", None}
        for shop in shops:
            page = await shop.page()
            assert (page["customer"], page["session"]) == ("C0001", session)
    assert not [event for shop in shops for event in shop.shop.named("session.replaced")]
