"""Tokens that stay on the server: browsers have an id, workers share sessions, and whoever reads the store nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocket

from session_ctx_middleware import ContextDefaults, SessionContext, SessionContextMiddleware, get_session_context
from session_ctx_middleware.errors import ConfigurationError
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.asgi import never
from ..support.shop import Shop
from ..support.virtual_time import VirtualClock
from .test_guests import COOKIE, SECRET, currency, kept, who

MakeShop = Callable[..., Shop]


@pytest.fixture
def emporix() -> FakeEmporix:
    return FakeEmporix(context_at="login", now=lambda: 1_800_000_000.0 + asyncio.get_running_loop().time())


class Shelf:
    """A token store of somebody else, which can be looked into, and which fails as it is told."""

    def __init__(self) -> None:
        self.texts: dict[str, Any] = {}
        self.claims: dict[str, float] = {}
        self.ends: dict[str, float] = {}
        self.failing: Callable[[str], Awaitable[None]] | None = None
        self.calls: list[str] = []

    async def load(self, key: str) -> str | None:
        await self._may("load")
        return self.texts.get(key) if self.ends.get(key, 0.0) > asyncio.get_running_loop().time() else None

    async def save(self, key: str, sealed: str, lifetime: float) -> None:
        await self._may("save")
        self.texts.pop(key, None)
        if lifetime > 0:
            self.texts[key], self.ends[key] = sealed, asyncio.get_running_loop().time() + lifetime

    async def claim(self, key: str, seconds: float) -> bool:
        await self._may("claim")
        now = asyncio.get_running_loop().time()
        if self.claims.get(key, 0.0) > now:
            return False
        self.claims[key] = now + seconds
        return True

    async def _may(self, call: str) -> None:
        self.calls.append(call)
        if self.failing is not None:
            await self.failing(call)


async def refuses(_: str) -> None:
    raise OSError("the store is gone")


async def hangs(_: str) -> None:
    await asyncio.sleep(3600.0)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def workers(make_shop: MakeShop, keep: Any, number: int = 1, **options: Any) -> list[Shop]:
    """Return workers of one shop, before which one browser stands."""
    defaults = ContextDefaults(currency="EUR")
    shops = [
        make_shop(token=StorefrontSessions("storefront", keep=keep), secret_key=SECRET, defaults=defaults, **options)
        for _ in range(number)
    ]
    for shop in shops[1:]:
        shop.browser._cookies = shops[0].browser._cookies
    return shops


async def test_every_worker(make_shop: MakeShop, emporix: FakeEmporix, shelf: Shelf) -> None:
    """All workers that share the store know the session; the browser has an id, and the store what it cannot read."""
    one, other = workers(make_shop, shelf, 2)
    session = (await one.visit(who)).text

    assert session
    assert (await other.visit(who)).text == session
    assert emporix.count("anonymous.login") == 1
    secrets = [session, *emporix._world.access, *emporix._world.refresh]
    assert not [each for each in secrets if each in repr((shelf.texts, shelf.claims, kept(one)))]
    assert len(kept(one)) < 200


async def test_refresh_sets_nothing(make_shop: MakeShop, emporix: FakeEmporix, shelf: Shelf) -> None:
    """A refresh reaches all workers at once by way of the store, and the browser keeps what it has."""
    one, other = workers(make_shop, shelf, 2)
    session = (await one.visit(who)).text
    cookie = kept(one)
    for _ in range(3):
        await asyncio.sleep(3500.0)
        pages = await asyncio.gather(*(shop.visit(who) for shop in (one, other) for _ in range(5)))
        assert {page.text for page in pages} == {session}
        assert not [each for page in pages for each in page.headers.get_list("set-cookie") if COOKIE in each]

    assert emporix.count("anonymous.refresh") == 3
    assert kept(one) == cookie


@pytest.mark.parametrize("failing", [refuses, hangs])
async def test_store_fails(
    failing: Callable[[str], Awaitable[None]], make_shop: MakeShop, emporix: FakeEmporix, shelf: Shelf
) -> None:
    """While the store fails, pages show the defaults in time, nothing is begun, replaced or cleared, and it is told."""
    (shop,) = workers(make_shop, shelf)
    session = (await shop.visit(who)).text
    cookie = kept(shop)
    shelf.failing = failing
    loop, times = asyncio.get_running_loop(), []
    for _ in range(20):
        began = loop.time()
        assert (await shop.visit(currency)).text == "EUR"
        times.append(loop.time() - began)
    stranger = await shop.visit(currency, headers={"cookie": "a=b"})

    assert max(times) <= 0.6
    assert sum(times) <= 3.0
    assert not stranger.headers.get_list("set-cookie")
    assert emporix.count("anonymous.login") == 1
    assert kept(shop) == cookie
    assert shop.named("tokens.failed")
    shelf.failing = None
    await asyncio.sleep(5.0)
    assert (await shop.visit(who)).text == session
    await asyncio.sleep(10.0)
    assert (await shop.visit(who)).text == session
    assert shop.named("tokens.answered")


async def test_nobody_would_find_it_again(make_shop: MakeShop, emporix: FakeEmporix, shelf: Shelf) -> None:
    """A session that cannot be kept is used for nothing: a choice waits for one that can."""
    (shop,) = workers(make_shop, shelf)

    async def cannot_write(call: str) -> None:
        if call == "save":
            raise OSError("read only")

    async def choose(ctx: SessionContext, _: Any) -> None:
        ctx.switch(currency="CHF")

    shelf.failing = cannot_write
    answer = await shop.visit(choose, method="POST")
    assert not [each for each in answer.headers.get_list("set-cookie") if COOKIE in each]
    assert [event.outcome for event in shop.named("session.unkept")] == ["store"]
    assert emporix.count("context.patch") == 0

    shelf.failing = None
    await asyncio.sleep(5.0)
    assert (await shop.visit(currency)).text == "CHF"


async def test_tokens_outlive_a_store_that_fails(make_shop: MakeShop, emporix: FakeEmporix, shelf: Shelf) -> None:
    """Tokens that a refresh has brought while the store took nothing are kept as soon as it does."""
    (shop,) = workers(make_shop, shelf)
    session = (await shop.visit(who)).text
    await asyncio.sleep(3500.0)

    async def cannot_write(call: str) -> None:
        if call == "save":
            raise OSError("read only")

    shelf.failing = cannot_write
    assert (await shop.visit(who)).text == session
    shelf.failing = None
    await asyncio.sleep(3500.0)

    assert (await shop.visit(who)).text == session
    assert emporix.count("anonymous.login") == 1


@pytest.mark.parametrize("text", ["", "rubbish", "s" * 20_000, None, 7])
async def test_whatever_the_store_answers(text: Any, make_shop: MakeShop, emporix: FakeEmporix, shelf: Shelf) -> None:
    """What somebody has written there is no session; another one begins under another id."""
    (shop,) = workers(make_shop, shelf)
    session, cookie = (await shop.visit(who)).text, kept(shop)
    shelf.texts = dict.fromkeys(shelf.texts, text)

    assert (await shop.visit(who)).text not in {"", session}
    assert kept(shop) != cookie


async def test_swapped(make_shop: MakeShop, shelf: Shelf) -> None:
    """Whoever can write to the store cannot give one shopper the session of another one."""
    (one,), (other,) = workers(make_shop, shelf), workers(make_shop, shelf)
    first, second = (await one.visit(who)).text, (await other.visit(who)).text
    keys = [key for key in shelf.texts if key.startswith("session-")]
    shelf.texts.update(zip(keys, [shelf.texts[key] for key in reversed(keys)], strict=True))

    assert (await one.visit(who)).text not in {first, second}
    assert (await other.visit(who)).text not in {first, second}


async def test_memory_of_this_process(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """The store of contexts of one process serves as well."""
    store = MemoryStore(clock=VirtualClock())
    one, other = workers(make_shop, store, 2, store=store)

    assert (await one.visit(who)).text == (await other.visit(who)).text
    assert emporix.count("anonymous.login") == 1


@pytest.mark.parametrize("keep", ["nowhere", None, MemoryStore, object(), {"load": 1}])
def test_configuration(keep: Any) -> None:
    """What is no store is said at construction."""
    with pytest.raises(ConfigurationError, match="TokenStore"):
        StorefrontSessions("storefront", keep=keep)


async def test_store_hangs_while_refreshing(make_shop: MakeShop, emporix: FakeEmporix, shelf: Shelf) -> None:
    """A page whose token is due is not kept by a store that hangs after it has answered once."""
    (shop,) = workers(make_shop, shelf)
    session = (await shop.visit(who)).text
    await asyncio.sleep(3500.0)

    async def hangs_later(call: str) -> None:
        if call != "load":
            await asyncio.sleep(3600.0)

    shelf.failing = hangs_later
    began = asyncio.get_running_loop().time()
    assert (await shop.visit(who)).text == session
    assert asyncio.get_running_loop().time() - began <= 2.1
    emporix.fault("anonymous.refresh", Fault(status=503), times=None)
    assert (await shop.visit(who)).text == session


async def test_refused_for_good(make_shop: MakeShop, emporix: FakeEmporix, shelf: Shelf) -> None:
    """Where all workers agree by way of one store nobody was faster: a session that was refused is replaced at once."""
    one, other = workers(make_shop, shelf, 2)
    session, cookie = (await one.visit(who)).text, kept(one)
    emporix._world.refresh.clear()
    await asyncio.sleep(7200.0)
    emporix.fault("anonymous.login", Fault(delay=0.3), times=None)

    pages = await asyncio.gather(*(shop.visit(who) for shop in (one, other) for _ in range(4)))

    assert len({page.text for page in pages}) == 1
    assert pages[0].text not in {"", session}
    assert kept(one) != cookie
    assert emporix.count("anonymous.login") == 2
    assert len([*one.named("session.replaced"), *other.named("session.replaced")]) == 1


async def test_id_of_a_session_that_is_over(make_shop: MakeShop, emporix: FakeEmporix, shelf: Shelf) -> None:
    """An id whose session is gone from the store is given to nobody again: the next session has another one."""
    (shop,) = workers(make_shop, shelf)
    session, cookie = (await shop.visit(who)).text, kept(shop)
    before = set(shelf.texts)
    shelf.texts.clear()

    assert (await shop.visit(who)).text not in {"", session}
    assert kept(shop) != cookie
    assert not before & set(shelf.texts)


async def test_websocket(make_shop: MakeShop, emporix: FakeEmporix, shelf: Shelf) -> None:
    """A WebSocket refreshes a session as well, again and again while it is open, and pages go on with that."""
    (shop,) = workers(make_shop, shelf)
    session = (await shop.visit(who)).text
    heard: list[str | None] = []

    async def endpoint(scope: Any, _receive: Any, _send: Any) -> None:
        ctx = get_session_context(WebSocket(scope, _receive, _send))
        for _ in range(3):
            await asyncio.sleep(3500.0)
            await ctx.refresh()
            heard.append(ctx.session_id)

    client = emporix.client(httpx2, base_url="http://emporix.test")
    app = SessionContextMiddleware(
        endpoint,
        tenant="acme",
        token=StorefrontSessions("storefront", keep=shelf),
        secret_key=SECRET,
        http_client=client,
        clock=VirtualClock(),
        store=MemoryStore(clock=VirtualClock()),
    )
    cookie = "; ".join(f"{each.name}={each.value}" for each in shop.browser.cookies.jar).encode()
    scope = {"type": "websocket", "scheme": "wss", "path": "/", "headers": [(b"cookie", cookie)]}
    await app(scope, never, never)  # type: ignore[arg-type]
    await app.aclose()
    await client.aclose()

    assert heard == [session] * 3
    assert emporix.count("anonymous.refresh") >= 2
    assert (await shop.visit(who)).text == session
    assert emporix.count("anonymous.login") == 1


async def test_streams(make_shop: MakeShop, emporix: FakeEmporix, shelf: Shelf) -> None:
    """What is loaded first in a body that streams on has the token of a session that is there, refreshed if due."""
    (shop,) = workers(make_shop, shelf)
    session = (await shop.visit(who)).text
    await asyncio.sleep(3700.0)
    heard: list[str | None] = []

    async def endpoint(ctx: SessionContext, _: Any) -> Response:
        async def body() -> AsyncIterator[str]:
            yield "a"
            heard.append((await ctx).session_id)

        return StreamingResponse(body(), headers={"cache-control": "private"})

    await shop.visit(endpoint)

    assert heard == [session]
    assert emporix.count("anonymous.refresh") == 1
    assert (await shop.visit(who)).text == session


async def test_persists(make_shop: MakeShop, shelf: Shelf) -> None:
    """A cookie that may outlive the browser lives on with each refresh, under the same id; other ones are not set."""
    sessions = StorefrontSessions("storefront", keep=shelf, persist=lambda _: True)
    shop = make_shop(token=sessions, secret_key=SECRET)
    first = await shop.visit(who)
    await asyncio.sleep(3500.0)
    later = await shop.visit(who)

    for answer in (first, later):
        (header,) = [each for each in answer.headers.get_list("set-cookie") if COOKIE in each]
        assert "; Max-Age=8" in header
    assert later.text == first.text
    assert not [each for each in (await shop.visit(who)).headers.get_list("set-cookie") if COOKIE in each]
    assert len([key for key in shelf.texts if key.startswith("session-")]) == 1


@pytest.mark.parametrize("pause", [10.0, 3500.0, 3700.0])
async def test_moves_into_the_store(pause: float, make_shop: MakeShop, emporix: FakeEmporix, shelf: Shelf) -> None:
    """A shop that gets a store takes its sessions along: what the browser brings whole is kept there from then on."""
    (before,) = workers(make_shop, "cookie")
    (after,) = workers(make_shop, shelf)
    after.browser._cookies = before.browser._cookies
    session, cookie = (await before.visit(who)).text, kept(before)
    await asyncio.sleep(pause)

    assert (await after.visit(who)).text == session
    assert kept(after) != cookie
    assert len([key for key in shelf.texts if key.startswith("session-")]) == 1
    assert not [each for each in (await after.visit(who)).headers.get_list("set-cookie") if COOKIE in each]
    assert (await after.visit(who)).text == session
    assert emporix.count("anonymous.login") == 1


async def test_moves_when_it_can(make_shop: MakeShop, emporix: FakeEmporix, shelf: Shelf) -> None:
    """While the store fails, what the browser brings whole serves as before, and is refreshed as before."""
    (before,) = workers(make_shop, "cookie")
    (after,) = workers(make_shop, shelf)
    after.browser._cookies = before.browser._cookies
    session = (await before.visit(who)).text
    shelf.failing = refuses
    for _ in range(3):
        assert (await after.visit(who)).text == session
        await asyncio.sleep(3500.0)
    assert shelf.texts == {}
    shelf.failing = None

    assert (await after.visit(who)).text == session
    assert len([key for key in shelf.texts if key.startswith("session-")]) == 1
    assert emporix.count("anonymous.login") == 1
