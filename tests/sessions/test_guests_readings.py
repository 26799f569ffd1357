"""Guests keep session and choices under every reading of what Emporix' sources contradict each other about."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from session_ctx_middleware import ContextDefaults, SessionContext
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.testing import FakeEmporix, Quirks

from .test_guests import COOKIE, MakeShop, who

SECRET = "a secret that all workers of this shop share"

READINGS: dict[str, dict[str, Any]] = {
    "documented": {},
    "reuse refused": {"refresh_reuse": "refused"},
    "silent refresh": {"refresh_names_session": False},
    "sessionId": {"session_id": "sessionId"},
    "session_id": {"session_id": "session_id"},
    "nobody is named": {"anonymous_customer": "absent"},
    "upper case": {"language_case": "upper"},
    "language as an attribute": {"language_at": "attribute"},
    "all at once": {
        "refresh_reuse": "refused",
        "refresh_names_session": False,
        "session_id": "session_id",
        "anonymous_customer": "absent",
    },
}
APPEARS: dict[str, dict[str, Any]] = {
    "login": {"context_at": "login"},
    "later": {"context_at": "login", "context_delay": 3.0},
    "cart": {"context_at": "cart"},
}


def platform(appears: str, **quirks: Any) -> FakeEmporix:
    now = 1_800_000_000.0
    return FakeEmporix(**APPEARS[appears], quirks=Quirks(**quirks), now=lambda: now + asyncio.get_running_loop().time())


async def currency(ctx: SessionContext, _: Any) -> str:
    return (await ctx).currency or ""


async def choose(ctx: SessionContext, _: Any) -> None:
    ctx.switch(currency="CHF")


@pytest.mark.parametrize("appears", APPEARS)
@pytest.mark.parametrize("reading", READINGS)
async def test_every_reading(reading: str, appears: str, make_shop: MakeShop) -> None:
    """A guest's session and choice outlive refreshes, pauses and crowds of requests, and cost one login."""
    emporix = platform(appears, **READINGS[reading])
    sessions = StorefrontSessions("storefront")
    shop = make_shop(emporix=emporix, token=sessions, secret_key=SECRET, defaults=ContextDefaults(currency="EUR"))
    assert (await shop.visit(currency)).text == "EUR"
    await shop.visit(choose, method="POST")
    assert (await shop.visit(currency)).text == "CHF"
    (session_id,) = emporix._world.sessions

    for pause in (10.0, 3500.0, 7200.0, 3599.0, 60_000.0):
        await asyncio.sleep(pause)
        pages = await asyncio.gather(*(shop.visit(currency) for _ in range(8)))
        assert {page.text for page in pages} == {"CHF"}
    assert [*emporix._world.sessions] == [session_id]
    assert emporix.count("anonymous.login") == 1
    assert emporix.count("anonymous.refresh") <= 4

    if appears == "cart":
        emporix.create_context(session_id)
        await asyncio.sleep(3.0)
        await shop.visit(currency)
        assert (emporix.document(session_id) or {})["currency"] == "CHF"


@pytest.mark.parametrize(("asked", "event"), [("persist", "consent.failed"), ("is_crawler", "crawler.failed")])
async def test_shop_that_raises(asked: str, event: str, make_shop: MakeShop) -> None:
    """A function of the shop that fails breaks no page: who cannot be asked has not agreed, and is no crawler."""

    def broken(_: HTTPConnection) -> bool:
        raise RuntimeError("secret of the shop")

    emporix = platform("login")
    options: dict[str, Any] = {asked: broken}
    shop = make_shop(emporix=emporix, token=StorefrontSessions("storefront", **options), secret_key=SECRET)

    page = await shop.visit(currency)

    assert page.status_code == 200
    cookies = [each for each in page.headers.get_list("set-cookie") if COOKIE in each]
    assert cookies
    assert not any("Max-Age" in each for each in cookies)
    assert [each.outcome for each in shop.named(event)] == ["RuntimeError"]


@pytest.mark.parametrize("off", [-3600.0, 3600.0])
@pytest.mark.parametrize("pause", [10.0, 3500.0, 3700.0, 7200.0, 84_600.0, 86_300.0])
async def test_clock_skew(pause: float, off: float, make_shop: MakeShop) -> None:
    """A worker whose clock is an hour wrong ends no session that Emporix would go on with."""
    emporix = platform("login")
    one, other = (make_shop(emporix=emporix, token=StorefrontSessions("storefront"), secret_key=SECRET) for _ in "ab")
    other.clock.wall_offset = off
    other.browser._cookies = one.browser._cookies  # one browser, before two workers
    for first, second in ((one, other), (other, one)):
        session = (await first.visit(who)).text
        await asyncio.sleep(pause)
        assert (await second.visit(who)).text == session
        assert (await first.visit(who)).text == session
        one.browser.cookies.clear()
