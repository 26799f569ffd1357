"""What happens to sessions is told: one event each time, a counter, and one log line where an operator has to know."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from session_ctx_middleware import ContextDefaults
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.testing import FakeEmporix, Fault
from session_ctx_middleware.testing.world import World

from ..support.shop import Shop
from ..support.virtual_time import WALL_START
from ..test_troubles import lines, look
from .test_guests import GOOGLE, SECRET, currency, who
from .test_keep_in_store import Shelf, refuses

MakeShop = Callable[..., Shop]


@pytest.fixture(autouse=True)
def _all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "session_ctx_middleware")


@pytest.fixture
def emporix() -> FakeEmporix:
    return FakeEmporix(context_at="login", now=lambda: WALL_START + asyncio.get_running_loop().time())


@pytest.fixture
def guests(make_shop: MakeShop) -> Callable[..., Shop]:
    def guests(**options: Any) -> Shop:
        sessions = StorefrontSessions("storefront", **options)
        return make_shop(token=sessions, secret_key=SECRET, defaults=ContextDefaults(currency="EUR"))

    return guests


async def check(shop: Shop, name: str, *outcomes: str, counter: int | None = None) -> None:
    """Check that an event has come with these outcomes, and that it was counted as often."""
    assert [event.outcome for event in shop.named(name)] == [*outcomes]
    assert all(event.operation for event in shop.named(name))
    assert (await look(shop))[0][name] == (len(outcomes) if counter is None else counter)


def told(caplog: pytest.LogCaptureFixture, name: str, *remedies: str) -> None:
    """Check that operators heard of an event once for each of these remedies."""
    heard = lines(caplog, name)
    assert len(heard) == len(remedies)
    assert all(remedy in line for remedy, line in zip(remedies, heard, strict=True))


async def test_life(guests: Callable[..., Shop], caplog: pytest.LogCaptureFixture) -> None:
    """A session that is begun and renewed is nothing that an operator has to hear of."""
    shop = guests()
    await shop.visit(who)
    await asyncio.sleep(3500.0)
    await shop.visit(who)

    await check(shop, "session.begun", "ok")
    await check(shop, "session.renewed", "ok")
    assert not [line for name in ("session.begun", "session.renewed") for line in lines(caplog, name)]


async def test_none(guests: Callable[..., Shop], caplog: pytest.LogCaptureFixture) -> None:
    """Why none was begun is counted, and no news: crawlers come every second."""
    shop = guests()
    await shop.visit(currency, headers={"user-agent": GOOGLE})
    await shop.visit(currency, headers={"sec-purpose": "prefetch"})

    await check(shop, "session.none", "crawler", "prefetch")
    told(caplog, "session.none")


async def test_outage(guests: Callable[..., Shop], emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """That sessions cannot be begun is told once, and once that they can be again."""
    shop = guests()
    emporix.fault("anonymous.login", Fault(status=503), times=None)
    for _ in range(5):
        await shop.visit(currency)
        await asyncio.sleep(3.0)
    emporix.clear_faults()
    await asyncio.sleep(10.0)
    await shop.visit(who)

    await check(shop, "session.failed", *["EmporixFailed"] * 5)
    await check(shop, "session.restored", "over")
    told(caplog, "session.failed", "See Emporix' status page")
    told(caplog, "session.restored", "begun and refreshed again")


async def test_refresh_fails(
    guests: Callable[..., Shop], emporix: FakeEmporix, caplog: pytest.LogCaptureFixture
) -> None:
    """The same for a refresh, with what to look at."""
    shop = guests()
    await shop.visit(who)
    await asyncio.sleep(3500.0)
    emporix.fault("anonymous.refresh", Fault(drop="before"))
    await shop.visit(who)
    await asyncio.sleep(15.0)
    await shop.visit(who)

    await check(shop, "session.failed", "EmporixUnreachable")
    await check(shop, "session.restored", "over")
    told(caplog, "session.failed", "Check base_url=..., the network")


async def test_replaced(guests: Callable[..., Shop], emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """That a session was replaced is told, as it should be seldom."""
    shop = guests()
    await shop.visit(who)
    emporix._world.refresh.clear()
    await asyncio.sleep(7200.0)
    await shop.visit(who)
    await asyncio.sleep(11.0)
    await shop.visit(who)

    await check(shop, "session.replaced", "refused")
    told(caplog, "session.replaced", "choices that the browser knows go along")


async def test_too_large(
    guests: Callable[..., Shop], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens that no cookie can hold are told of, with where else they can be kept."""
    monkeypatch.setattr(World, "new_secret", lambda world: World.new_id(world) * 40)
    shop = guests()
    for _ in range(3):
        await shop.visit(who)

    await check(shop, "session.unkept", *["too large"] * 3)
    told(caplog, "session.unkept", "StorefrontSessions(keep=...)")


async def test_store(guests: Callable[..., Shop], caplog: pytest.LogCaptureFixture) -> None:
    """That the store of sessions fails is told once, shows in the health, and is over when it answers again."""
    shelf = Shelf()
    shop = guests(keep=shelf)
    session = (await shop.visit(who)).text
    shelf.failing = refuses
    for _ in range(3):
        await shop.visit(who)
    assert not (await look(shop))[1]["store"]
    shelf.failing = None
    await asyncio.sleep(12.0)
    assert (await shop.visit(who)).text == session
    assert (await look(shop))[1]["store"]

    await check(shop, "tokens.failed", *["OSError"] * 3)
    await check(shop, "tokens.answered", "over")
    await check(shop, "session.none", *["store"] * 3)
    told(caplog, "tokens.failed", "Check the store")
    told(caplog, "tokens.answered", "works again")


async def test_store_takes_nothing(guests: Callable[..., Shop], caplog: pytest.LogCaptureFixture) -> None:
    """A session that was begun and could not be kept is told of, with what the page shows."""
    shelf = Shelf()
    shop = guests(keep=shelf)

    async def cannot_write(call: str) -> None:
        if call == "save":
            raise OSError("/secret/path")

    shelf.failing = cannot_write
    await shop.visit(who)

    await check(shop, "session.unkept", "store")
    told(caplog, "session.unkept", "Check the store")
    assert "/secret/path" not in caplog.text


async def test_unreadable(guests: Callable[..., Shop], caplog: pytest.LogCaptureFixture) -> None:
    """What a store has and nobody can open is told of, with what may be the matter."""
    shelf = Shelf()
    shop = guests(keep=shelf)
    await shop.visit(who)
    shelf.texts = dict.fromkeys(shelf.texts, "bent")
    await shop.visit(who)

    await check(shop, "tokens.failed", "unreadable")
    told(caplog, "tokens.failed", "secret_key")


@pytest.mark.parametrize(
    ("option", "name", "remedy"),
    [("persist", "consent.failed", "persist=..."), ("is_crawler", "crawler.failed", "is_crawler=...")],
)
async def test_functions_of_the_shop(
    option: str, name: str, remedy: str, guests: Callable[..., Shop], caplog: pytest.LogCaptureFixture
) -> None:
    """A function of the shop that raises is told of by the class of what it raised."""

    def broken(_: object) -> bool:
        raise LookupError("a secret")

    shop = guests(**{option: broken})
    await shop.visit(who)

    await check(shop, name, "LookupError")
    told(caplog, name, remedy)
    assert "a secret" not in caplog.text


async def test_lost(guests: Callable[..., Shop], caplog: pytest.LogCaptureFixture) -> None:
    """That a store has lost a session is told; that one has ended of itself is no news."""
    shelf = Shelf()
    shop = guests(keep=shelf)
    session = (await shop.visit(who)).text
    shelf.texts.clear()
    another = (await shop.visit(who)).text
    assert another not in {"", session}
    await check(shop, "session.replaced", "lost")
    told(caplog, "session.replaced", "evicts nothing")

    await asyncio.sleep(48 * 3600.0)
    assert (await shop.visit(who)).text not in {"", another}
    await check(shop, "session.replaced", "lost")
