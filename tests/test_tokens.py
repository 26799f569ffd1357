"""Token sources, what may be believed of a token, and whose data it shows."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from starlette.requests import HTTPConnection, Request

from session_ctx_middleware import (
    BearerToken,
    CachePolicy,
    ConfigurationError,
    CookieToken,
    SessionContext,
    StorefrontToken,
)
from session_ctx_middleware.testing import FakeEmporix, Fault
from session_ctx_middleware.tokens import TokenChain

from .support.shop import Shop


def connection(*headers: tuple[str, str]) -> HTTPConnection:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return HTTPConnection({"type": "http", "headers": raw})


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("BEARER   abc ", "abc"),
        ("Bearer", None),
        ("Bearer ", None),
        ("Basic abc", None),
        ("abc", None),
        ("", None),
        ("Bearer a b", None),
        ("Bearer a\tb", None),
        ("Bearer a\x00b", None),
        ("Bearer \xe9", None),
        ("Bearer " + "x" * 8192, "x" * 8192),
        ("Bearer " + "x" * 8193, None),
    ],
)
async def test_bearer_token(header: str, token: str | None) -> None:
    """A bearer token is what a header can carry."""
    found = await TokenChain(BearerToken()).find(connection(("Authorization", header)))

    assert (found.value if found else None) == token


async def test_first_hit_wins() -> None:
    """The first source that finds one wins."""

    async def slow(_: HTTPConnection) -> StorefrontToken | None:
        return StorefrontToken("from-app", session_id="s")

    chain = TokenChain([CookieToken("shop"), BearerToken(), slow])

    async def value(*headers: tuple[str, str]) -> str | None:
        found = await chain.find(connection(*headers))
        return found.value if found else None

    assert await value(("Cookie", "a=b; shop=c1"), ("Authorization", "Bearer b1")) == "c1"
    assert await value(("Cookie", "shop="), ("Authorization", "Bearer b1")) == "b1"
    assert await value() == "from-app"
    assert chain.vary == ("Cookie", "Authorization")


@pytest.mark.parametrize("wrong", [3, b"token", {"token": "x"}, StorefrontToken(3)])  # type: ignore[arg-type]
async def test_source_of_something_else(wrong: Any) -> None:
    """A source that returns something else is a configuration error."""
    with pytest.raises(ConfigurationError, match="str, StorefrontToken or None"):
        await TokenChain(lambda _: wrong).find(connection())


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"session_id": 3}, "session_id"),
        ({"session_id": b"s"}, "session_id"),
        ({"session_id": ["s"]}, "session_id"),
    ],
)
async def test_token_with_something_else(wrong: dict[str, Any], named: str) -> None:
    """What an application says about a token has the types that it must have, or the error names it."""
    with pytest.raises(ConfigurationError, match=named):
        await TokenChain(lambda _: StorefrontToken("token", **wrong)).find(connection())


class Masked(str):
    """A text that no log shows, and that is equal to all others of its kind."""

    __slots__ = ()

    def __str__(self) -> str:
        return "***"

    def __format__(self, _: str) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Masked)

    def __hash__(self) -> int:
        return 1

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        return b"***"


@pytest.mark.parametrize("kind", [Masked, lambda value: StorefrontToken(Masked(value), Masked(f"s{value}"))])
async def test_kinds_of_str(make_shop: Callable[..., Shop], emporix: FakeEmporix, kind: Any) -> None:
    """A token is what it consists of, whatever the class of the string makes of it: nobody sees another's session."""
    shop = make_shop(token=lambda connection: kind(connection.headers["X-Shopper"]))
    mine, theirs = emporix.new_session(currency="EUR"), emporix.new_session(currency="JPY")

    async def page(ctx: SessionContext, _: Request) -> str:
        return (await ctx).currency or "nothing"

    seen = [(await shop.visit(page, headers={"X-Shopper": each.token})).text for each in (mine, theirs, mine)]

    assert seen == ["EUR", "JPY", "EUR"]


def unsigned(**claims: Any) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}.c2ln"


@pytest.mark.parametrize(
    ("token", "ends_at"),
    [
        ("opaque", None),
        ("a.b.c", None),
        ("...", None),
        (unsigned(), None),
        (unsigned(exp=2000), 1999.0),
        (unsigned(exp=2000.5), 1999.5),
        (unsigned(exp=10**20), 1e20 - 1),
        *[
            (unsigned(exp=exp), None)
            for exp in (float("nan"), float("inf"), float("-inf"), "9", None, True, -1, 0, [1], 10**400)
        ],
        (jwt.encode({"exp": 5000}, "k" * 32), 4999.0),
        ("x" * 1_000_000, None),
    ],
)
def test_f30_unverified_exp(token: str, ends_at: float | None) -> None:
    """F30: An unverified `exp` is a finite number or nothing."""
    assert StorefrontToken(token).ends_at() == ends_at


@pytest.mark.parametrize(
    ("said", "exp", "ends_at"),
    [(3000.0, 2000, 1999.0), (1500.0, 2000, 1499.0), (float("nan"), 2000, 1999.0), (float("inf"), None, None)],
)
def test_the_earlier_end_counts(said: float, exp: int | None, ends_at: float | None) -> None:
    """The earlier end counts."""
    token = unsigned(exp=exp) if exp else "opaque"

    assert StorefrontToken(token, expires_at=said).ends_at() == ends_at


async def test_f29_jwt_ends_soon(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """F29: A JWT that ends soon shortens the life of its entry."""
    shop = make_shop(cache=CachePolicy(ttl=60))
    session = emporix.new_session(currency="EUR")
    token = unsigned(exp=shop.clock.time() + 11)
    emporix._world.access[token] = emporix._world.access[session.token]
    await shop.currency(token)
    await asyncio.sleep(9)
    await shop.currency(token)
    assert emporix.count("context.get") == 1

    await asyncio.sleep(2)
    await shop.currency(token)

    assert emporix.count("context.get") == 2


async def test_f31_forged_jwt(shop: Shop, emporix: FakeEmporix) -> None:
    """F31: A forged JWT reaches nobody else's entry."""
    session = emporix.new_session(currency="EUR")
    victim = unsigned(sub="C1", sessionId=session.session_id)
    emporix._world.access[victim] = emporix._world.access[session.token]
    assert await shop.currency(victim) == "EUR"
    forged = victim[:-1] + "A"

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        return f"{ctx.currency} {ctx.is_rejected}"

    assert (await shop.visit(page, token=forged)).text == "None True"
    assert await shop.currency(victim) == "EUR"
    assert emporix.count("context.get") == 2


async def test_known_session_id(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A session id that the app knows connects its tokens."""
    session = emporix.new_session(exists=False)
    tokens = [session.token, emporix.new_token(session.session_id)]
    shop = make_shop(
        token=lambda c: StorefrontToken(c.headers["x-token"], session_id=session.session_id) if c.headers else None
    )

    async def switch(ctx: SessionContext, _: Request) -> None:
        ctx.switch_currency("USD")

    async def page(ctx: SessionContext, _: Request) -> str:
        return (await ctx).currency or ""

    await shop.visit(switch, headers={"X-Token": tokens[0]})
    assert (await shop.visit(page, headers={"X-Token": tokens[1]})).text == "USD"


def test_repr() -> None:
    """A token shows nothing in its repr."""
    assert re.fullmatch(
        "<StorefrontToken expires_at=5.0 [0-9a-f]{16}>", repr(StorefrontToken("secret", "session", 5.0))
    )
    assert repr([BearerToken(), CookieToken("shop")]) == "[BearerToken(), CookieToken('shop')]"


async def test_refined_bearer_source(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A bearer source that an application refines is asked."""

    class OnlyVerified(BearerToken):
        def __call__(self, connection: HTTPConnection) -> str | None:
            return None  # verification failed

    session = emporix.new_session(currency="EUR")

    assert await make_shop(token=OnlyVerified()).currency(session.token) is None
    assert emporix.count() == 0


async def test_source_is_asked_once(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """Loading from two tasks asks the token source once."""
    session = emporix.new_session(currency="EUR")
    asked: list[int] = []

    async def source(_: HTTPConnection) -> str:
        asked.append(1)
        await asyncio.sleep(0.1)
        return session.token

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        await asyncio.gather(ctx.load(), ctx.load())

    await make_shop(token=source).visit(endpoint)

    assert len(asked) == 1


async def test_unproven_session_id(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A session id that is not proven shows nothing of that session."""
    victim, attacker = emporix.new_session(exists=False), emporix.new_session(exists=False)

    def source(connection: HTTPConnection) -> StorefrontToken | None:
        # A shop that takes the session id from a cookie.
        value = connection.headers.get("authorization", "").removeprefix("Bearer ")
        return StorefrontToken(value, session_id=connection.headers.get("x-session"))

    shop = make_shop(token=source)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.set_attribute("name", "victim")

    await shop.visit(endpoint, token=victim.token, headers={"x-session": victim.session_id})
    emporix.fault("context.get", Fault(status=503), times=None)

    async def page(ctx: SessionContext, _: Request) -> str:
        await ctx
        return repr(dict(ctx.attributes))

    response = await shop.visit(page, token=attacker.token, headers={"x-session": victim.session_id})

    assert response.text == "{}"


async def test_source_that_needs_a_token(make_shop: Callable[..., Shop]) -> None:
    """A source that loads the context, for which its token is needed, is told so instead of waiting for itself."""

    async def source(connection: HTTPConnection) -> str:
        return (await connection.state.session_ctx).currency or ""

    async def page(ctx: SessionContext, _: Request) -> None:
        await ctx

    with pytest.raises(ConfigurationError, match="token source"):
        await asyncio.wait_for(make_shop(token=source).visit(page), 60)
