"""The list of cookies for a consent page says of every cookie what it is called, when it is set, how long it lives."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from http.cookies import SimpleCookie
from typing import Any, Final

import pytest
from starlette.requests import HTTPConnection

from session_ctx_middleware import ContinuityPolicy, SessionContext
from session_ctx_middleware.emporix import TokenAnswer
from session_ctx_middleware.sealing import Keyring, tenant_tag
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.sessions.cookie import SessionCookie
from session_ctx_middleware.sessions.kept import KeptSession
from session_ctx_middleware.testing import FakeEmporix

from .support.shop import Shop
from .support.virtual_time import WALL_START, VirtualClock
from .test_docs_tables import bare, table

MakeShop = Callable[..., Shop]
SECRET = "a secret that all workers of this shop share"
TAG: Final = tenant_tag("acme", "https://api.emporix.io")
UNITS = {"min": 60, "h": 3600, "days": 24 * 3600}
FORMS = {"<tag>": TAG, "<id>": "[0-9a-f]{16}", "<line>": r"(?:\.\d+\.\d+)?"}


@pytest.fixture
def emporix() -> FakeEmporix:
    return FakeEmporix(context_at="login", now=lambda: WALL_START + asyncio.get_running_loop().time())


def rows() -> list[tuple[re.Pattern[str], int | None]]:
    """Return the rows of the table: the form of the name, and how many seconds the cookie lives."""
    found: list[tuple[re.Pattern[str], int | None]] = []
    for name, _, lives, _ in table("docs/configuration.md", "cookie"):
        form = re.escape(bare(name))
        for part, pattern in FORMS.items():
            form = form.replace(re.escape(part), pattern)
        number, _, unit = lives.partition(" ")
        prefix = "" if bare(name) == "session_variant" else "__Host-"
        found.append((re.compile(f"{prefix}{form}"), int(number) * UNITS[unit] if unit in UNITS else None))
    return found


def row_of(name: str, life: int | None) -> int:
    """Return which row tells of a cookie, give or take a second."""
    fits = [
        number
        for number, (form, lives) in enumerate(rows())
        if form.fullmatch(name)
        if (life is None and lives is None) or (life is not None and lives is not None and abs(life - lives) < 3)
    ]
    assert len(fits) == 1, (name, life)
    return fits[0]


def told(headers: list[str]) -> set[int]:
    """Return the rows of the cookies that a response sets, each with the attributes that the page says."""
    found = set()
    for header in headers:
        ((name, cookie),) = SimpleCookie(header).items()
        assert (cookie["httponly"], cookie["samesite"], cookie["secure"], cookie["path"]) == (True, "Lax", True, "/")
        assert not cookie["domain"]
        if cookie["max-age"] != "0":
            found.add(row_of(name, int(cookie["max-age"]) if cookie["max-age"] else None))
    return found


async def test_every_cookie(make_shop: MakeShop) -> None:
    """Whatever a visit sets is in the table, and whatever is in the table a visit sets."""
    seen: set[int] = set()
    agreed: list[HTTPConnection] = []
    for persist in (lambda connection: connection in agreed, lambda connection: connection not in agreed):
        sessions = StorefrontSessions("storefront", persist=persist)
        shop = make_shop(token=sessions, secret_key=SECRET, continuity=ContinuityPolicy(document=True))

        async def looks(ctx: SessionContext, _: Any) -> None:
            await ctx

        async def chooses(ctx: SessionContext, _: Any) -> None:
            ctx.switch(currency="CHF")

        async def shares(ctx: SessionContext, _: Any) -> None:
            (await ctx).share_by_variant(60)

        async def leaves(ctx: SessionContext, _: Any) -> None:
            await ctx.forget()

        async def uses_nothing(_: SessionContext, __: Any) -> None: ...

        assert not (await shop.visit(uses_nothing)).headers.get_list("set-cookie")
        for page in (looks, looks, chooses, looks, shares, leaves, looks):
            seen |= told((await shop.visit(page)).headers.get_list("set-cookie"))
    assert seen | {row_of(*customer_cookie())} == set(range(len(rows())))


def customer_cookie() -> tuple[str, int]:
    """Return name and life of the cookie of a customer who stays logged in."""
    answer = TokenAnswer("access", 2_591_999.0, "refresh", 86_399.0)
    kept = KeptSession.granted(answer, VirtualClock().time(), is_customer=True)
    sealer = Keyring([SECRET.encode()], "acme", "https://api.emporix.io").sealer("session cookie")
    name = f"storefront_session.{TAG}"
    cookie = SessionCookie(sealer, name, https_only=True, persist=lambda _: True, clock=VirtualClock())
    connection = HTTPConnection({"type": "http", "headers": [], "scheme": "https"})
    headers = cookie.write(connection, kept.following(kept, 0))
    assert headers is not None
    ((written, morsel),) = SimpleCookie(headers[0].decode()).items()
    return written, int(morsel["max-age"])
