"""Cookies that were stolen, planted, kept too long or sent too late, where tokens are in a store: they open nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from session_ctx_middleware import ContextUnavailable
from session_ctx_middleware.testing import FakeEmporix, Fault
from session_ctx_middleware.testing.world import World

from .customers import COOKIE, JANE, JOE, SECRET, CustomerShop, MakeShop, platform
from .test_keep_in_store import Shelf, refuses


@pytest.fixture
def emporix() -> FakeEmporix:
    return platform()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def open_shop(make_shop: MakeShop, emporix: FakeEmporix, shelf: Shelf) -> Callable[..., CustomerShop]:
    """Return workers that share nothing but the store of sessions; each stands before a browser of its own."""

    def open_shop(**options: Any) -> CustomerShop:
        keep = {"keep": shelf, **options.pop("sessions", {})}
        return CustomerShop(make_shop, emporix, sessions=keep, **options)

    return open_shop


def stolen(shop: CustomerShop) -> str:
    """Return what somebody sends who has copied the cookies of a browser's session."""
    return "; ".join(f"{name}={value}" for name, value in shop.jar().items())


async def seen_with(cookie: str, shop: CustomerShop) -> dict[str, Any]:
    """Return what a page shows to somebody who sends this cookie, and nothing else."""
    own = dict(shop.shop.browser.cookies)
    shop.shop.browser.cookies.clear()
    seen = await shop.page(headers={"cookie": cookie})
    shop.shop.browser.cookies.clear()
    for name, value in own.items():
        shop.shop.browser.cookies.set(name, value, domain="shop.test", path="/")
    return seen


async def test_planted_before_login(open_shop: Callable[..., CustomerShop]) -> None:
    """Whoever knows the id that a guest had, as he has planted it, is nobody to the customer (session fixation)."""
    shop, other = open_shop(), open_shop()
    await shop.page()
    planted = stolen(shop)
    await shop.login(JANE)
    assert (await shop.page())["customer"] == "C0001"

    for worker in (shop, other):
        seen = await seen_with(planted, worker)
        assert (seen["customer"], seen["session"], seen["cookies"]) == (None, None, [])
    await asyncio.sleep(61.0)
    assert (await seen_with(planted, other))["customer"] in {None, "ANONYMOUS"}
    assert (await shop.page())["customer"] == "C0001"


async def test_stolen_and_logged_out(open_shop: Callable[..., CustomerShop]) -> None:
    """After a logout the customer's id opens nothing on any worker, also where the document is still cached."""
    shop, other = open_shop(), open_shop()
    await shop.page()
    await shop.login(JANE)
    await shop.note(secret="of Jane")
    copied = stolen(shop)
    assert (await seen_with(copied, other))["attributes"] == {"secret": "of Jane"}
    await shop.logout()

    for worker in (other, shop):
        seen = await seen_with(copied, worker)
        assert (seen["customer"], seen["session"], seen["attributes"]) == (None, None, {})
    await asyncio.sleep(200.0)
    seen = await seen_with(copied, other)
    assert seen["customer"] in {None, "ANONYMOUS"}
    assert seen["attributes"] == {}


async def test_refresh_that_lands_after_the_logout(
    open_shop: Callable[..., CustomerShop], emporix: FakeEmporix, shelf: Shelf
) -> None:
    """A refresh that was on its way when the customer logged out brings the session back nowhere."""
    shop, other = open_shop(), open_shop()
    await shop.page()
    await shop.login(JANE)
    copied = stolen(shop)
    await asyncio.sleep(2_591_999.0 - 60.0)
    emporix.fault("customer.refresh", Fault(delay_after=3.0))
    late = asyncio.create_task(seen_with(copied, other))
    await asyncio.sleep(0.5)
    await shop.logout()
    await late
    await asyncio.sleep(5.0)

    assert not [key for key in shelf.texts if key.startswith("session-")]
    assert (await seen_with(copied, other))["customer"] in {None, "ANONYMOUS"}


async def test_logout_while_the_store_fails(open_shop: Callable[..., CustomerShop], shelf: Shelf) -> None:
    """A logout that the store could not be told of counts here at once, and everywhere as soon as it can be."""
    shop, other = open_shop(), open_shop()
    await shop.page()
    await shop.login(JANE)
    copied = stolen(shop)
    shelf.failing = refuses
    await shop.logout()
    assert shop.jar() == {}
    shelf.failing = None
    await asyncio.sleep(0.6)
    assert (await seen_with(copied, shop))["customer"] is None
    await asyncio.sleep(60.0)

    assert not [key for key in shelf.texts if key.startswith("session-")]
    assert (await seen_with(copied, other))["customer"] in {None, "ANONYMOUS"}


async def test_login_while_the_store_fails(open_shop: Callable[..., CustomerShop], shelf: Shelf) -> None:
    """A login that cannot be kept is said to be impossible; the guest's session goes on."""
    shop = open_shop()
    before, jar = await shop.page(), shop.jar()

    async def cannot_write(call: str) -> None:
        if call == "save":
            raise OSError("read only")

    shelf.failing = cannot_write
    with pytest.raises(ContextUnavailable):
        await shop.login(JANE)
    shelf.failing = None
    await asyncio.sleep(3.0)

    assert shop.jar() == jar
    assert (await shop.page())["session"] == before["session"]


@pytest.mark.parametrize("keep", ["cookie", "store"])
async def test_slow_tab(keep: str, open_shop: Callable[..., CustomerShop], shelf: Shelf, emporix: FakeEmporix) -> None:
    """A page of another tab, asked for before the login and handled after it, logs nobody out and begins nothing."""
    shop = open_shop(sessions={"keep": shelf if keep == "store" else "cookie"})
    await shop.page()
    before = stolen(shop)
    await shop.login(JANE)
    jar = shop.jar()

    late = await shop.page(headers={"cookie": before})

    assert not [each for each in late["cookies"] if COOKIE in each and "Max-Age=0" not in each]
    assert shop.jar() == jar
    assert (await shop.page())["customer"] == "C0001"
    assert emporix.count("anonymous.login") == 1


async def test_answer_to_the_login_is_lost(open_shop: Callable[..., CustomerShop]) -> None:
    """A browser that never heard of its login is a guest again a minute later, with another session."""
    shop = open_shop()
    await shop.page()
    before = dict(shop.shop.browser.cookies)
    await shop.login(JANE)
    shop.shop.browser.cookies.clear()
    for name, value in before.items():
        shop.shop.browser.cookies.set(name, value, domain="shop.test", path="/")
    await asyncio.sleep(61.0)

    assert (await shop.page())["customer"] == "ANONYMOUS"
    assert (await shop.login(JANE)).kind == "login"
    assert (await shop.page())["customer"] == "C0001"


async def test_next_customer(open_shop: Callable[..., CustomerShop]) -> None:
    """Of two customers one after the other at one browser, the second one has an id that the first one never had."""
    shop = open_shop()
    await shop.page()
    await shop.login(JANE)
    jane = stolen(shop)
    await shop.logout()
    await shop.login(JOE)

    assert (await shop.page())["customer"] == "C0002"
    assert (await seen_with(jane, shop))["customer"] is None
    assert (await shop.page())["customer"] == "C0002"


async def test_another_tenant(make_shop: MakeShop, emporix: FakeEmporix, shelf: Shelf) -> None:
    """Two shops with one secret and one store: the id of one opens nothing in the other."""
    acme = CustomerShop(make_shop, emporix, sessions={"keep": shelf, "cookie_name": "sid"})
    other = FakeEmporix("other", context_at="login", now=emporix._world.now)
    theirs = CustomerShop(make_shop, other, sessions={"keep": shelf, "cookie_name": "sid"})
    await acme.page()
    await acme.login(JANE)
    copied = "; ".join(f"{name}={value}" for name, value in acme.shop.browser.cookies.items())

    seen = await seen_with(copied, theirs)

    assert seen["session"] in other._world.sessions
    assert seen["customer"] == "ANONYMOUS"
    assert (await acme.page())["customer"] == "C0001"


@pytest.mark.parametrize("keep", ["cookie", "store"])
async def test_first_requests_at_once(
    keep: str, open_shop: Callable[..., CustomerShop], shelf: Shelf, emporix: FakeEmporix
) -> None:
    """Two first requests of one browser begin two sessions at most; the cookie that comes last wins, and stays."""
    shop = open_shop(sessions={"keep": shelf if keep == "store" else "cookie"})
    emporix.fault("anonymous.login", Fault(delay=0.2), times=None)
    pages = await asyncio.gather(shop.page(), shop.page())

    assert emporix.count("anonymous.login") <= 2
    later = [(await shop.page())["session"] for _ in range(3)]
    assert len(set(later)) == 1
    assert later[0] in {page["session"] for page in pages}
    assert len(shop.jar()) == 1


async def test_secret_is_another(make_shop: MakeShop, emporix: FakeEmporix, shelf: Shelf) -> None:
    """A worker with another secret opens neither ids nor what is stored."""
    shop = CustomerShop(make_shop, emporix, sessions={"keep": shelf})
    other = CustomerShop(make_shop, emporix, sessions={"keep": shelf}, secret_key=SECRET[::-1])
    session = (await shop.page())["session"]

    assert (await seen_with(stolen(shop), other))["session"] != session


async def test_forgotten_in_another_way(open_shop: Callable[..., CustomerShop], shelf: Shelf) -> None:
    """A shop that logs out by `forget()` ends the session in the store as well, at once."""
    shop, other = open_shop(), open_shop()
    await shop.page()
    await shop.login(JANE)
    copied = stolen(shop)

    async def forgets(request: Any) -> None:
        await request.state.session_ctx.forget()

    await shop.do(forgets)

    assert not [key for key in shelf.texts if key.startswith("session-")]
    assert (await seen_with(copied, other))["customer"] is None
    assert (await shop.page())["customer"] == "ANONYMOUS"


async def test_keys_are_rotated(make_shop: MakeShop, emporix: FakeEmporix, shelf: Shelf) -> None:
    """Workers that are told of a new secret one by one know the same sessions all the while."""
    old, new = SECRET, SECRET[::-1]
    before, meanwhile, after = (
        CustomerShop(make_shop, emporix, sessions={"keep": shelf}, secret_key=secrets)
        for secrets in ([old, new], [new, old], [new])
    )
    session = (await before.page())["session"]
    assert (await seen_with(stolen(before), meanwhile))["session"] == session
    await before.logout()
    session = (await meanwhile.page())["session"]
    for shop in (before, after):
        assert (await seen_with(stolen(meanwhile), shop))["session"] == session


async def test_large_tokens(
    open_shop: Callable[..., CustomerShop], monkeypatch: pytest.MonkeyPatch, emporix: FakeEmporix
) -> None:
    """Tokens that no cookie could hold are kept in the store."""
    short = World.new_secret
    monkeypatch.setattr(World, "new_secret", lambda world: short(world).ljust(8192, "x"))
    shop = open_shop()
    session = (await shop.page())["session"]
    await shop.login(JANE)

    assert (await shop.page())["session"] == session
    assert emporix.count("anonymous.login") == 1
