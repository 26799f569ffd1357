"""Guests without token code in the shop: whose session a request gets, what the browser keeps, and what it costs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from session_ctx_middleware import ContextDefaults, SessionContext, SessionContextMiddleware
from session_ctx_middleware.errors import ConfigurationError
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.shop import Shop

SECRET = "a secret that all workers of this shop share"
GOOGLE = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
COOKIE = "__Host-storefront_session."
MakeShop = Callable[..., Shop]


@pytest.fixture
def emporix() -> FakeEmporix:
    return FakeEmporix(context_at="login", now=lambda: 1_800_000_000.0 + asyncio.get_running_loop().time())


@pytest.fixture
def make_guests(make_shop: MakeShop) -> MakeShop:
    def make(**options: Any) -> Shop:
        sessions = StorefrontSessions("storefront", **options.pop("sessions", {}))
        return make_shop(token=sessions, secret_key=SECRET, defaults=ContextDefaults(currency="EUR"), **options)

    return make


async def who(ctx: SessionContext, _: Any) -> str:
    return (await ctx).session_id or ""


async def currency(ctx: SessionContext, _: Any) -> str:
    return (await ctx).currency or ""


async def nothing(_: SessionContext, __: Any) -> None:
    pass


def kept(shop: Shop) -> str:
    """Return the session cookie that the browser has."""
    return next((each.value or "" for each in shop.browser.cookies.jar if each.name.startswith(COOKIE)), "")


async def test_begun_when_needed(make_guests: MakeShop, emporix: FakeEmporix) -> None:
    """A visitor gets a session with the first page that needs the context, and keeps it."""
    shop = make_guests()
    assert not (await shop.visit(nothing)).headers.get_list("set-cookie")
    assert emporix.count("anonymous.login") == 0

    first = await shop.visit(who)
    again = await shop.visit(who)

    assert first.text
    assert first.text == again.text
    assert emporix.count("anonymous.login") == 1
    assert "private" in first.headers["cache-control"]
    assert "Cookie" in first.headers["vary"]
    assert not [each for each in again.headers.get_list("set-cookie") if COOKIE in each]


async def test_seeded(make_guests: MakeShop, emporix: FakeEmporix) -> None:
    """A session begins with the shop's defaults, and with what the visitor has chosen before he had one."""
    shop = make_guests()
    emporix.fault("anonymous.login", Fault(status=503), times=None)
    await shop.visit(_switch("CHF"), method="POST")
    emporix.clear_faults()
    await asyncio.sleep(3.0)

    emporix.fault("context.patch", Fault(status=503), times=None)
    session = (await shop.visit(who)).text

    document = emporix.document(session)
    assert document is not None
    assert document["currency"] == "CHF"
    assert (await shop.visit(currency)).text == "CHF"


def _switch(value: str) -> Any:
    async def endpoint(ctx: SessionContext, _: Any) -> None:
        ctx.switch(currency=value)

    return endpoint


async def test_two_browsers(make_guests: MakeShop) -> None:
    """Two browsers never share a session, however close together they come."""
    shop = make_guests()
    other = httpx2.AsyncClient(transport=httpx2.ASGITransport(shop.app), base_url="https://shop.test")
    shop._handlers["who"] = who

    answers = await asyncio.gather(shop.browser.get("/who"), other.get("/who"))
    await other.aclose()

    assert len({answer.text for answer in answers}) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"user-agent": GOOGLE},
        {"sec-purpose": "prefetch"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    ],
)
async def test_nothing_for_machines(headers: dict[str, str], make_guests: MakeShop, emporix: FakeEmporix) -> None:
    """Crawlers, prefetches and other sites get the defaults, no token, and no cookie."""
    shop = make_guests()
    answer = await shop.visit(currency, headers=headers)

    assert answer.text == "EUR"
    assert not answer.headers.get_list("set-cookie")
    assert emporix.count("anonymous.login") == 0
    assert shop.named("session.none")


async def test_refreshed_before_its_end(make_guests: MakeShop, emporix: FakeEmporix) -> None:
    """Two minutes before its end the token is renewed by one call for all requests, and the session stays."""
    shop = make_guests()
    session = (await shop.visit(who)).text
    cookie = kept(shop)
    await asyncio.sleep(3500.0)

    pages = await asyncio.gather(*(shop.visit(who) for _ in range(10)))

    assert {page.text for page in pages} == {session}
    assert emporix.count("anonymous.refresh") == 1
    assert kept(shop) != cookie
    await asyncio.sleep(3500.0)
    assert (await shop.visit(who)).text == session


async def test_late_holder(make_guests: MakeShop, emporix: FakeEmporix) -> None:
    """Who still brings the old cookie a moment later gets the successor, and does not use the refresh token again."""
    shop = make_guests()
    session = (await shop.visit(who)).text
    old = next(each for each in shop.browser.cookies.jar if each.name.startswith(COOKIE))
    await asyncio.sleep(3500.0)
    await shop.visit(who)
    other = httpx2.AsyncClient(transport=httpx2.ASGITransport(shop.app), base_url="https://shop.test")
    shop._handlers["who"] = who

    late = await other.get("/who", headers={"cookie": f"{old.name}={old.value}"})
    await other.aclose()

    assert late.text == session
    assert emporix.count("anonymous.refresh") == 1
    assert [each for each in late.headers.get_list("set-cookie") if COOKIE in each]


@pytest.mark.parametrize(
    "fault",
    [Fault(status=500), Fault(status=429), Fault(status=401, by="proxy"), Fault(drop="before"), Fault(hang=True)],
)
async def test_passing_errors_change_nothing(fault: Fault, make_guests: MakeShop, emporix: FakeEmporix) -> None:
    """An error that may pass neither ends the session nor touches the cookie, before and after the token's end."""
    shop = make_guests()
    session = (await shop.visit(who)).text
    cookie = kept(shop)
    emporix.fault("anonymous.refresh", fault, times=None)
    await asyncio.sleep(3500.0)
    assert (await shop.visit(who)).text == session
    await asyncio.sleep(200.0)
    assert (await shop.visit(currency)).text == "EUR"
    assert kept(shop) == cookie
    emporix.clear_faults()
    await asyncio.sleep(61.0)

    assert (await shop.visit(who)).text == session
    assert emporix.count("anonymous.login") == 1
    assert shop.named("session.failed")
    assert shop.named("session.restored")


async def test_refused_refresh(make_guests: MakeShop, emporix: FakeEmporix) -> None:
    """A refused refresh ends nothing while the token is good; when it has ended, another session begins."""
    shop = make_guests()
    session = (await shop.visit(who)).text
    cookie = kept(shop)
    emporix.fault("anonymous.refresh", Fault(status=401), times=None)
    await asyncio.sleep(3500.0)
    assert (await shop.visit(who)).text == session
    assert kept(shop) == cookie
    assert emporix.count("anonymous.login") == 1

    await asyncio.sleep(200.0)
    another = (await shop.visit(who)).text

    assert another
    assert another != session
    assert len(shop.named("session.replaced")) == 1
    assert (await shop.visit(who)).text == another


async def test_refused_token(make_guests: MakeShop, emporix: FakeEmporix) -> None:
    """A token that Emporix refuses is refreshed first, in the same request, and the session stays."""
    shop = make_guests()
    session = (await shop.visit(who)).text
    await asyncio.sleep(120.0)
    emporix.fault("context.get", Fault(status=401))

    assert (await shop.visit(who)).text == session
    assert emporix.count("anonymous.login") == 1


async def test_change_with_a_refused_token(make_guests: MakeShop, emporix: FakeEmporix) -> None:
    """A change that goes out with a refused token goes out again with its successor, and is not dropped."""
    shop = make_guests()
    session = (await shop.visit(who)).text
    emporix.fault("context.patch", Fault(status=401))
    await shop.visit(_switch("USD"), method="POST")

    document = emporix.document(session)
    assert document is not None
    assert document["currency"] == "USD"
    assert not shop.named("commit.refused")


async def test_emporix_down(make_guests: MakeShop, emporix: FakeEmporix) -> None:
    """While no session can be begun, visitors get the defaults within the deadline, and Emporix is not flooded."""
    shop = make_guests()
    emporix.fault("anonymous.login", Fault(delay=60.0), times=None)
    loop = asyncio.get_running_loop()
    times = []
    for _ in range(20):
        began = loop.time()
        assert (await shop.visit(currency)).text == "EUR"
        times.append(loop.time() - began)

    assert max(times) <= 2.1
    assert sum(each > 0.1 for each in times) <= 2
    assert emporix.count("anonymous.login") <= 2
    emporix.clear_faults()
    await asyncio.sleep(10.0)
    assert (await shop.visit(who)).text


async def test_wrong_client_id(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A client id that Emporix does not know is named in the log, and pages show the defaults."""
    shop = make_shop(token=StorefrontSessions("nobody"), secret_key=SECRET, defaults=ContextDefaults(currency="EUR"))

    for _ in range(5):
        assert (await shop.visit(currency)).text == "EUR"

    assert [event.outcome for event in shop.named("session.failed")] == ["TokenRejected"]
    assert emporix.count("anonymous.login") == 1


async def test_no_secret_anywhere(make_guests: MakeShop, caplog: pytest.LogCaptureFixture) -> None:
    """Neither log nor events tell a token, and the cookie is sealed."""
    with caplog.at_level(logging.DEBUG):
        shop = make_guests()
        session = (await shop.visit(who)).text
        await asyncio.sleep(3500.0)
        await shop.visit(who)

    told = caplog.text + repr(shop.events) + kept(shop)
    assert session not in told
    assert "refresh_token" not in told


async def test_persist(make_guests: MakeShop) -> None:
    """The cookie ends with the browser, unless the shop says that this one may stay."""
    one = await make_guests().visit(who)
    other = await make_guests(sessions={"persist": lambda _: True}).visit(who)

    assert "Max-Age" not in next(each for each in one.headers.get_list("set-cookie") if COOKIE in each)
    assert "Max-Age=86" in next(each for each in other.headers.get_list("set-cookie") if COOKIE in each)


async def test_header_first(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Beside other sources it comes into play where those find nothing."""
    from session_ctx_middleware import BearerToken

    shop = make_shop(token=[BearerToken(), StorefrontSessions("storefront")], secret_key=SECRET)
    session = emporix.new_session(currency="USD")

    assert (await shop.visit(who, token=session.token)).text == session.session_id
    assert emporix.count("anonymous.login") == 0
    assert (await shop.visit(who)).text not in {"", session.session_id}


def test_configuration() -> None:
    """What cannot work is said at construction: no secret, two middlewares, nonsense."""

    async def app(*_: Any) -> None:
        """Never called."""

    with pytest.raises(ConfigurationError, match=r"StorefrontSessions.* needs secret_key"):
        SessionContextMiddleware(app, tenant="acme", token=StorefrontSessions("storefront"))
    shared = StorefrontSessions("storefront")
    SessionContextMiddleware(app, tenant="acme", token=shared, secret_key=SECRET)
    with pytest.raises(ConfigurationError, match="one middleware"):
        SessionContextMiddleware(app, tenant="acme", token=shared, secret_key=SECRET)
    none: list[Any] = [True, [], bool, app]  # an async one says always yes
    wrong: list[dict[str, Any]] = [{"persist": each} for each in none]
    wrong += [{"keep": "nowhere"}, {"cookie_name": "a b"}, {"is_crawler": "no"}, {"is_crawler": app}]
    for options in wrong:
        with pytest.raises(ConfigurationError):
            StorefrontSessions("storefront", **options)
    with pytest.raises(ConfigurationError):
        StorefrontSessions("")


@pytest.mark.parametrize("pause", [3500.0, 3700.0])
async def test_one_budget(pause: float, make_guests: MakeShop, emporix: FakeEmporix) -> None:
    """A page waits no longer than its deadline in all: for a token, and for what it reads with that."""
    one, other = make_guests(), make_guests()
    other.browser._cookies = one.browser._cookies
    await one.visit(who)
    await asyncio.sleep(pause)
    emporix.fault("*", Fault(hang=True), times=None)
    loop = asyncio.get_running_loop()
    for shop in (other, one, other):
        began = loop.time()
        assert (await shop.visit(currency)).text == "EUR"
        assert loop.time() - began <= 2.01


async def _refreshes(ctx: SessionContext, _: Any) -> str:
    await ctx.refresh()
    return ctx.session_id or ""


async def _has_a_cart(ctx: SessionContext, _: Any) -> str:
    await ctx.cart_created()
    return ctx.session_id or ""


@pytest.mark.parametrize("handler", [_refreshes, _has_a_cart])
async def test_refused_again(handler: Any, make_guests: MakeShop, emporix: FakeEmporix) -> None:
    """Reading once more goes on with another token as well, where Emporix refuses the first one."""
    shop = make_guests()
    session = (await shop.visit(who)).text
    emporix._world.access.clear()

    assert (await shop.visit(handler)).text == session
    assert emporix.count("anonymous.refresh") == 1


async def test_refused_to_many(make_guests: MakeShop, emporix: FakeEmporix) -> None:
    """All who hold a token that Emporix has refused get its successor, also those who come a moment later."""
    shop = make_guests()
    session = (await shop.visit(who)).text
    jar = list(shop.browser.cookies.jar)
    await asyncio.sleep(120.0)
    for token in list(emporix._world.access):
        del emporix._world.access[token]
    pages = [page.text for page in await asyncio.gather(*(shop.visit(who) for _ in range(5)))]
    await asyncio.sleep(1.0)
    shop.browser.cookies.clear()
    for each in jar:
        shop.browser.cookies.jar.set_cookie(each)
    pages.append((await shop.visit(who)).text)

    assert pages == [session] * 6
    assert emporix.count("anonymous.refresh") == 1


async def test_refused_and_no_refresh_yet(make_guests: MakeShop, emporix: FakeEmporix) -> None:
    """That a token was refused is not remembered for longer than it is left alone to refresh it."""
    shop = make_guests()
    session = (await shop.visit(who)).text
    await asyncio.sleep(120.0)
    emporix._world.access.clear()
    emporix.fault("anonymous.refresh", Fault(status=503))
    assert (await shop.visit(who)).text == ""
    await asyncio.sleep(2.1)

    assert (await shop.visit(who)).text == session


async def test_no_task_for_a_session_that_is_there(make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the cookie, and cached, is shown without a task: by itself, behind a header, and not before others."""
    from session_ctx_middleware import BearerToken

    async def elsewhere(_: Any) -> str | None:
        return None

    began: list[str] = []

    async def counted(ctx: SessionContext, _: Any) -> str:
        loop = asyncio.get_running_loop()
        create = loop.create_task

        def counting(work: Any, **more: Any) -> Any:
            began.append("task")
            return create(work, **more)

        with monkeypatch.context() as patch:
            patch.setattr(loop, "create_task", counting)
            await ctx
        return ctx.session_id or ""

    for others, tasks in (([], 0), ([BearerToken()], 0), ([elsewhere], 1)):
        began.clear()
        shop = make_shop(token=[*others, StorefrontSessions("storefront")], secret_key=SECRET)
        session = (await shop.visit(who)).text
        assert (await shop.visit(counted)).text == session
        assert len(began) == tasks
