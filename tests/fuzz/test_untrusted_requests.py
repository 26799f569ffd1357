"""What a browser sends is never believed: a page renders whatever stands in its headers."""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from starlette.requests import HTTPConnection

from session_ctx_middleware import (
    BearerToken,
    CachePolicy,
    CookieToken,
    SessionContext,
    SessionContextError,
    StorefrontToken,
)

from ..support.virtual_time import WALL_START
from .support import CANARY, Asked, Headers, Reply, Site, Upstream, currency, fuzz, overheard, page, play

GOOD = "good-token"
DOCUMENT = json.dumps({"sessionId": "s-1", "currency": "EUR", "metadata": {"version": 3}}).encode()
BEARER, COOKIE = BearerToken(), CookieToken("shop_token")
TOKENS = [BEARER, COOKIE]


class Shopkeeper(Upstream):
    """An Emporix that knows one shopper, and has one answer for everybody else."""

    def __init__(self, others: Reply | None = None) -> None:
        super().__init__(httpx, others or Reply(401))
        self.down = False

    def reply(self, call: Asked) -> Reply:
        if self.down:
            return Reply(400)
        known = call.authorization == b"Bearer " + GOOD.encode()
        if known and call.method == "GET":
            return Reply(200, DOCUMENT)
        reply = super().reply(call)
        return replace(reply, body=reply.body.replace(b"NUMBER", call.authorization.rpartition(b".")[2]))


# Headers

visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
schemes = st.sampled_from([b"Bearer", b"bearer", b"BEARER", b"Basic", b"Digest", b"", b"Bearer:", b"Bearer\t", b"\xff"])
raw = st.one_of(
    st.binary(max_size=60),
    visible.map(str.encode),
    st.sampled_from([GOOD.encode(), b" " + GOOD.encode() + b" ", b"\t" + GOOD.encode(), GOOD.encode() + b"\x00"]),
    st.builds(
        lambda byte, size: bytes([byte]) * size, st.integers(0, 255), st.sampled_from([8191, 8192, 8193, 99_999])
    ),
)
authorizations = st.tuples(
    st.just(b"authorization"),
    st.one_of(st.binary(max_size=40), st.builds(lambda scheme, token: scheme + b" " + token, schemes, raw)),
)
crumbs = st.one_of(
    raw.map(lambda value: b"shop_token=" + value),
    st.sampled_from(
        [b"shop_token", b'shop_token="', b"=shop_token", b"shop_token=;", b'shop_token="a\\"b\\054"', b"$Path"]
    ),
    st.binary(max_size=30),
)
cookies = st.tuples(st.just(b"cookie"), st.lists(crumbs, max_size=4).map(b"; ".join))
unheard_of = st.tuples(st.sampled_from([b"host", b"proxy-authorization", b"x-authorization", b""]), raw)
header_lists = st.lists(st.one_of(authorizations, cookies, unheard_of), max_size=5)


def sendable(authorization: bytes) -> bool:
    scheme, _, token = authorization.partition(b" ")
    return scheme == b"Bearer" and 0 < len(token) <= 8192 and all(0x21 <= byte <= 0x7E for byte in token)


@fuzz(300)
@given(header_lists, st.sampled_from([TOKENS, TOKENS[::-1], TOKENS[:1], TOKENS[1:]]))
def test_any_headers(headers: Headers, tokens: list[Any]) -> None:
    """A page renders whatever the headers hold."""

    async def work() -> None:
        upstream = Shopkeeper()
        site = Site(upstream.client, token=tokens)

        async def write(ctx: SessionContext) -> str:
            ctx.switch(currency="USD")
            return ctx.currency or "" if ctx.is_loaded else ""

        for handler in (page, write, page):
            assert (await site.visit(handler, headers)).status == 200
        assert all(sendable(call.authorization) for call in upstream.calls)

    with overheard() as lines:
        play(work)
    assert not [line for line in lines if "unexpected" in line]


@fuzz(100)
@given(header_lists)
def test_source_of_the_application(headers: Headers) -> None:
    """A source of the application finds the same as ours."""

    async def work() -> None:
        def bearer(connection: HTTPConnection) -> str | None:
            return BEARER(connection)

        async def cookie(connection: HTTPConnection) -> str | None:
            return COOKIE(connection)

        ours, theirs = Shopkeeper(), Shopkeeper()
        assert (await Site(ours.client, token=TOKENS).visit(page, headers)) == (
            await Site(theirs.client, token=[bearer, cookie]).visit(page, headers)
        )
        assert ours.calls == theirs.calls

    play(work)


# Tokens that look like JWTs

NOW = int(WALL_START)
MOMENTS = (0, 20, 40, 70, 100, 130, 300, 600, 700, 800, 1000)


class Raw(str):
    """A JSON text that `json` would not write."""

    __slots__ = ()


nonsense = st.one_of(
    st.sampled_from([Raw(text) for text in ("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "[" * 5000)]),
    st.sampled_from([Raw("9" * 400), Raw("9" * 5000), Raw("-" + "9" * 400), Raw("0"), Raw("-1"), Raw("-0.0")]),
    st.integers(max_value=0),
    st.floats(max_value=0),
    st.booleans(),
    st.none(),
    st.text(max_size=12),
    st.sampled_from(["0x10", str(NOW + 5), "soon"]),
    st.lists(st.integers(NOW, NOW + 50), max_size=2),
    st.dictionaries(st.sampled_from(["exp", ""]), st.integers(NOW, NOW + 50), max_size=2),
)
usable = st.one_of(
    st.integers(1, NOW + 2000), st.floats(NOW - 50, NOW + 1500), st.integers(2**40, 2**200), st.floats(1e10, 1e300)
)
others = st.dictionaries(
    st.sampled_from(["nbf", "iat", "aud", "iss", "sub", "jti", "sessionId", "session_id", "é"]),
    st.one_of(usable, nonsense),
    max_size=3,
)
jwt_headers = st.one_of(
    st.fixed_dictionaries(
        {"alg": st.sampled_from(["none", "HS256", "ES256", "", "nope"])},
        optional={"b64": st.booleans(), "crit": st.just(["b64"]), "typ": st.just("JWT"), "zip": st.just("DEF")},
    ),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    st.lists(st.integers(), max_size=1),
)


def text_of(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{text_of(item)}" for key, item in value.items()) + "}"
    return str(value) if isinstance(value, Raw) else json.dumps(value)


def segment(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def jwt_of(header: object, claims: object) -> str:
    """Return a token with any header and claims; the signature is nobody's."""
    return ".".join((segment(text_of(header).encode()), segment(text_of(claims).encode()), segment(CANARY.encode())))


async def lifetime(token: str | StorefrontToken) -> list[bool]:
    """Return at which moments the context of a token is still shown when Emporix is never heard of again."""

    def source(_: HTTPConnection) -> str | StorefrontToken:
        return token

    upstream = Upstream(httpx, Reply(200, DOCUMENT))
    site = Site(upstream.client, token=source)
    loop = asyncio.get_running_loop()
    shown, began = [], loop.time()
    for moment in MOMENTS:
        await asyncio.sleep(began + moment - loop.time())
        shown.append((await site.visit(currency)).text == "EUR")
        upstream.get = Reply(400)
    return shown


@fuzz(100)
@given(jwt_headers, nonsense, others)
def test_nonsense_exp(header: object, exp: object, claims: dict[str, object]) -> None:
    """A nonsense `exp` is as good as none."""

    async def work() -> None:
        token = jwt_of(header, {**claims, "exp": exp})
        assume(len(token) <= 8192)
        assert await lifetime(token) == await lifetime(GOOD)

    play(work)


@fuzz(100)
@given(jwt_headers, usable, others, st.one_of(st.none(), usable))
def test_exp_only_shortens(header: object, exp: float, claims: dict[str, object], told: float | None) -> None:
    """An `exp` only ever makes a lifetime shorter."""

    async def work() -> None:
        began = WALL_START + asyncio.get_running_loop().time()
        token = StorefrontToken(jwt_of(header, {**claims, "exp": exp}), expires_at=told)
        shown = await lifetime(token)

        opaque = await lifetime(GOOD)
        assert all(was <= might for was, might in zip(shown, opaque, strict=True))
        if told is not None:
            # The first page asks Emporix itself, so nothing of it comes from the cache.
            assert not any(
                was for was, moment in zip(shown, MOMENTS, strict=True) if moment > 0 and began + moment > told
            )

    play(work)


@fuzz(60)
@given(st.floats(NOW - 50, NOW + 1500))
def test_nothing_after_the_exp(exp: float) -> None:
    """Nothing is served from the cache after the `exp`."""

    async def work() -> None:
        began = WALL_START + asyncio.get_running_loop().time()
        shown = await lifetime(jwt_of({"alg": "HS256", "typ": "JWT"}, {"exp": exp}))

        opaque = await lifetime(GOOD)
        for was, might, moment in zip(shown[1:], opaque[1:], MOMENTS[1:], strict=True):
            assert was == (might and began + moment < exp - 1)

    play(work)


@fuzz(60)
@given(st.one_of(nonsense, st.sampled_from([math.nan, math.inf, -math.inf, 10**400, "soon", [1], object()])))
def test_nonsense_about_a_token(told: Any) -> None:
    """Nonsense that an application tells about a token is as good as nothing."""

    async def work() -> None:
        assert await lifetime(StorefrontToken(GOOD, expires_at=told)) == await lifetime(GOOD)

    play(work)


@fuzz(100)
@given(
    st.one_of(
        st.lists(st.binary(max_size=20), min_size=3, max_size=3).map(lambda parts: ".".join(map(segment, parts))),
        st.lists(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20), min_size=3).map(".".join),
        st.builds(jwt_of, jwt_headers, st.one_of(nonsense, others)),
    )
)
def test_three_parts(token: str) -> None:
    """Any token of three parts renders."""

    async def work() -> None:
        opaque = await lifetime(GOOD)
        assert all(was <= might for was, might in zip(await lifetime(token), opaque, strict=True))

    if 2 < len(token) <= 8192:
        play(work)


# Garbage in large numbers

MAX = 20
session_404 = st.sampled_from(["s-2", "g-NUMBER", "NUMBER" + "x" * 250, "x" * 257, "\ud800", "\x00", ""]).map(
    lambda session_id: Reply(404, json.dumps({"sessionId": session_id}).encode())
)
refusals = st.one_of(st.sampled_from([401, 403, 404, 400]).map(Reply), session_404)


def sizes(root: object) -> dict[str, int]:
    """Return how much is in every collection that an object of the package reaches, whatever it is called."""
    found: dict[str, int] = {}
    seen: set[int] = set()
    waiting: list[tuple[str, object]] = [(type(root).__name__, root)]
    while waiting:
        path, thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, Mapping | list | set | deque):
            found[path] = max(found.get(path, 0), len(thing))
            waiting += [(f"{path}[]", part) for part in (thing.values() if isinstance(thing, Mapping) else thing)]
        elif type(thing).__module__.startswith("session_ctx_middleware"):
            waiting += [(f"{type(thing).__name__}.{name}", part) for name, part in parts_of(thing)]
    return found


def parts_of(thing: object) -> list[tuple[str, object]]:
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    named = [(name, getattr(thing, name)) for name in slots if hasattr(thing, name)]
    return [*named, *getattr(thing, "__dict__", {}).items()]


# Entries are filed under a key and under a session, those with a document apart from those without.
LIMIT = 2 * MAX
FIXED = {
    "KnownSessions._by_key": 10_000,
    "SessionBreaker._failing": 1_000,
    "Speed._last": 50,
}


async def swamped(answer: Reply, numbers: range, *, writes: bool) -> None:
    """Have a good shopper, then a flood of made-up tokens, then Emporix go down: the good shopper sees no change."""
    upstream = Shopkeeper(answer)
    site = Site(upstream.client, cache=CachePolicy(max_entries=MAX))
    assert (await site.visit(currency, token=GOOD)).text == "EUR"

    async def endpoint(ctx: SessionContext) -> None:
        await ctx
        if writes:
            ctx.switch(currency="USD")
            ctx.set_attribute("a", {"b": CANARY})

    for number in numbers:
        assert (await site.visit(endpoint, token=f"garbage.x.{number}")).status == 200
    upstream.down = True
    assert (await site.visit(currency, token=GOOD)).text == "EUR"
    await asyncio.sleep(100)
    assert (await site.visit(currency, token=GOOD)).text == "EUR"
    await asyncio.sleep(30)
    found = sizes(site.middleware)
    assert {name: size for name, size in found.items() if size > FIXED.get(name, LIMIT)} == {}
    assert len(found) > 10  # something was looked at


@fuzz(12)
@given(refusals, st.booleans())
def test_made_up_tokens(answer: Reply, writes: bool) -> None:
    """Made-up tokens push nobody out, and take no room."""
    play(lambda: swamped(answer, range(100), writes=writes))


@pytest.mark.slow
@pytest.mark.parametrize("answer", [Reply(401), Reply(404, b'{"sessionId": "g-NUMBER"}')], ids=["refused", "missing"])
def test_thousands_of_made_up_tokens(answer: Reply) -> None:
    """Thousands of made-up tokens do no harm either."""
    play(lambda: swamped(answer, range(2000), writes=True))


@fuzz(60)
@given(refusals, header_lists)
def test_errors_quote_nothing(answer: Reply, headers: Headers) -> None:
    """What a handler is told is an error of ours, and quotes nothing."""

    async def work() -> None:
        site = Site(Shopkeeper(answer).client, token=TOKENS)
        headers_with_canary = [*headers, (b"authorization", b"Bearer " + CANARY.encode())]

        async def endpoint(ctx: SessionContext) -> str:
            texts = [repr(ctx)]
            ctx.switch(currency="USD")
            for call in (ctx.load(required=True), ctx.commit(), ctx.refresh(), ctx.cart_created("c"), ctx.forget()):
                try:
                    await call
                except SessionContextError as error:
                    texts.append(f"{error!r} {error}")
            return "\n".join(texts)

        answered = await site.visit(endpoint, headers_with_canary)
        assert CANARY not in answered.text + repr(site.events)

    with overheard() as lines:
        play(work)
    assert CANARY not in "".join(lines)
