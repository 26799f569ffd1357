"""What Emporix, or something on the way to it, answers: pages render, and nonsense is not kept."""

from __future__ import annotations

import asyncio
import gzip
import json
import traceback
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from session_ctx_middleware import SessionContext, SessionContextError
from session_ctx_middleware.emporix import OwnContextClient
from session_ctx_middleware.emporix.answers import seconds_of

from ..support.virtual_time import VirtualClock
from .support import CANARY, Reply, Site, Upstream, currency, fuzz, overheard, page, play, with_both_libraries

TOKEN = "token"
LIMIT = 256 * 1024


def document(version: int = 3, **fields: object) -> dict[str, Any]:
    return {"sessionId": "s-1", "currency": "EUR", "metadata": {"version": version}, **fields}


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


OLD = Reply(200, encoded(document(3, currency="OLD")))
NEW = Reply(200, encoded(document(4, currency="NEW")))

# Bodies

CANARIES = encoded({"a": CANARY})
wrong = st.one_of(
    st.just(CANARY),
    st.text(max_size=5),
    st.integers(-3, 3),
    st.floats(allow_nan=False),
    st.booleans(),
    st.lists(st.just(CANARY), max_size=2),
    st.dictionaries(st.just(CANARY), st.just(CANARY), max_size=1),
    st.none(),
)
KEYS = [
    "sessionId",
    "customerId",
    "siteCode",
    "currency",
    "language",
    "targetLocation",
    "cartId",
    "context",
    "metadata",
]
no_version = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(max_value=-1),
    st.integers(2**53, 2**70),
    st.floats(allow_nan=False),
    st.sampled_from(["3", "", CANARY, [3], {"version": 3}]),
)
RAW_VERSIONS = [
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e400",
    b"3.0",
    b"3e0",
    b"-1",
    b"9" * 5000,
    b"0x3",
    b"03",
    b"+3",
    b"",
]
EVIL_VALUES = [b"NaN", b"-Infinity", b"1e400", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000, b"[" * 70 + b"]" * 70]


def of_another_type(key: str) -> st.SearchStrategy[bytes]:
    """A document whose `key` has a value of a type that it must not have."""
    fits: tuple[type, ...] = (dict,) if key in {"context", "metadata"} else (str,)
    return wrong.filter(lambda value: value is not None and not isinstance(value, fits)).map(
        lambda value: encoded(document(context={"x": CANARY}) | {key: value})
    )


malformed = st.one_of(
    st.sampled_from(
        [b"", b"null", b"[]", b'"' + CANARY.encode() + b'"', b"<html>" + CANARY.encode(), b"\xff\xfe", b"3"]
    ),
    st.sampled_from(KEYS).flatmap(of_another_type),
    no_version.map(lambda version: encoded(document(x=CANARY, metadata={"version": version}))),
    st.sampled_from(RAW_VERSIONS).map(
        lambda raw: b'{"x": "' + CANARY.encode() + b'", "metadata": {"version": ' + raw + b"}}"
    ),
    st.sampled_from(EVIL_VALUES).map(lambda raw: b'{"metadata": {"version": 3}, "x": ' + raw + b"}"),
    st.sampled_from(EVIL_VALUES).map(lambda raw: b'{"metadata": {"version": 3}, "context": {"a": ' + raw + b"}}"),
    st.sampled_from([encoded(document())[:-1], encoded(document()) + b"x", encoded(document()).replace(b'"', b"'")]),
    st.sampled_from([LIMIT + 1, 10**6]).map(lambda size: encoded(document(x=CANARY)).ljust(size)),
    # The last of two equal keys counts, as for every JSON parser that a shop is likely to meet.
    st.just(b'{"metadata": {"version": 3}, "metadata": {"version": "' + CANARY.encode() + b'"}}'),
)
odd_texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["\ud800", "\udfff\ud800", "\x00", "€", "𝄞", "x" * 5000, CANARY, "\u2028", ""]),
)
odd_documents = st.builds(
    lambda texts, attributes, version: encoded({**texts, "context": attributes, "metadata": {"version": version}}),
    st.dictionaries(st.sampled_from([*KEYS[:-2], "unknown", "\ud800"]), st.one_of(odd_texts, st.none()), max_size=4),
    st.dictionaries(odd_texts, st.one_of(odd_texts, wrong), max_size=3),
    st.integers(0, 2**53 - 1),
)
bodies = st.one_of(malformed, odd_documents, st.binary(max_size=40), st.just(encoded({"sessionId": CANARY})))

# Headers and statuses

retry_after = st.tuples(
    st.just(b"retry-after"),
    st.one_of(
        st.sampled_from(
            [b"0", b"-1", b"1", b"30", b"99999999999", b"1e9", b"nan", b"inf", b" 5 ", b"5, 6", b"", b"0.5"]
        ),
        st.sampled_from(
            [b"Wed, 21 Oct 2015 07:28:00 GMT", b"Fri, 31 Dec 9999 23:59:59 GMT", b"Thu, 99 Foo 99999 99:99"]
        ),
        st.binary(max_size=30),
    ),
)
content_type = st.tuples(
    st.just(b"content-type"),
    st.sampled_from([b"text/html", b"application/json; charset=utf-16", b"; charset=nope", b"\xff", b""]),
)
location = st.tuples(
    st.just(b"location"),
    st.one_of(
        st.sampled_from(
            [b"/", b"//", b"http://", b"http://[", b"https://x:99999/", b"file:///etc/passwd", b"\xff\xfe"]
        ),
        st.sampled_from(["http://ü.x/".encode(), b"http://a..b/", b"http://x/" + b"a" * 70_000, b"\x00"]),
        st.binary(max_size=20),
    ),
)
set_cookie = st.tuples(
    st.just(b"set-cookie"),
    st.one_of(st.just(b"a=" + CANARY.encode()), st.text(st.characters(max_codepoint=127), max_size=20).map(str.encode)),
)
content_length = st.tuples(
    st.just(b"content-length"), st.sampled_from([b"0", b"-1", b"9" * 30, b"x", "٣".encode(), b""])
)
headers = st.lists(
    st.one_of(retry_after, content_type, location, set_cookie, st.tuples(st.just(b"x-a"), st.just(CANARY.encode()))),
    max_size=4,
).map(tuple)
statuses = st.one_of(
    st.integers(100, 599), st.sampled_from([200, 201, 204, 301, 302, 304, 400, 401, 403, 404, 409, 412, 422, 429, 503])
)


def gzipped(body: bytes, headers: tuple[tuple[bytes, bytes], ...] = (), *, times: int = 1) -> Reply:
    for _ in range(times):
        body = gzip.compress(body, mtime=0)
    return Reply(200, body, (*headers, (b"content-encoding", b", ".join([b"gzip"] * times))))


def encoded_badly(body: bytes, encoding: bytes) -> Reply:
    return Reply(200, body, ((b"content-encoding", encoding),))


broken_encodings = st.one_of(
    st.builds(encoded_badly, st.binary(min_size=1, max_size=30), st.sampled_from([b"gzip", b"deflate", b"gzip, gzip"])),
    st.integers(5, 30).map(lambda cut: encoded_badly(gzip.compress(OLD.body, mtime=0)[:cut], b"gzip")),
    st.integers(5, 30).map(lambda cut: encoded_badly(zlib.compress(OLD.body)[:cut], b"deflate")),
    st.just(gzipped(b" " * 2_000_000)),
)
malformed_replies = st.one_of(
    st.builds(Reply, st.just(200), malformed, st.sampled_from([(), ((b"content-type", b"application/json"),)])),
    malformed.map(gzipped),
    broken_encodings,
    st.builds(Reply, st.just(200), malformed, st.tuples(content_length)),
)
failing_replies = st.builds(
    Reply,
    statuses.filter(lambda status: status not in {200, 401, 403, 404}),
    bodies,
    headers,
    st.sampled_from([1, 65_536]),
)
any_reply = st.one_of(st.builds(Reply, statuses, bodies, headers), malformed_replies)


def quiet(work: Callable[[], Awaitable[None]]) -> None:
    """Run one example, in whose log nothing of a body may stand, nor a sign of a case that nobody has thought of."""
    with overheard() as lines:
        play(work)
    text = "".join(lines)
    assert CANARY not in text
    assert "unexpected" not in text


# Reading


@with_both_libraries
@fuzz(120)
@given(reply=st.one_of(malformed_replies, failing_replies))
def test_an_answer_that_is_no_document_is_not_kept(library: Any, reply: Reply) -> None:
    async def work() -> None:
        upstream = Upstream(library, reply)
        site = Site(upstream.client)
        for _ in range(3):
            assert (await site.visit(currency, token=TOKEN)).text == "none"
        # A pause that Emporix asked for, and the one after failures, are at most a minute long.
        await asyncio.sleep(100)
        upstream.get = NEW
        assert (await site.visit(currency, token=TOKEN)).text == "NEW"
        assert CANARY not in repr(site.events)

    quiet(work)


@with_both_libraries
@fuzz(120)
@given(reply=st.one_of(malformed_replies, failing_replies))
def test_a_good_document_outlives_an_answer_that_is_none(library: Any, reply: Reply) -> None:
    async def work() -> None:
        upstream = Upstream(library, OLD)
        site = Site(upstream.client)
        assert (await site.visit(currency, token=TOKEN)).text == "OLD"
        upstream.get = reply
        for pause in (70, 30, 100, 100):
            await asyncio.sleep(pause)
            assert (await site.visit(currency, token=TOKEN)).text == "OLD"
        asked = upstream.count("GET")
        assert asked > 1
        upstream.get = NEW
        await asyncio.sleep(100)
        assert (await site.visit(currency, token=TOKEN)).text == "NEW"

    quiet(work)


@with_both_libraries
@fuzz(150)
@given(reply=any_reply)
def test_a_page_renders_whatever_is_answered(library: Any, reply: Reply) -> None:
    async def work() -> None:
        upstream = Upstream(library, reply)
        site = Site(upstream.client)

        for _ in range(2):
            assert (await site.visit(page, token=TOKEN)).status == 200
        await asyncio.sleep(200)
        upstream.get = Reply(503)
        assert (await site.visit(page, token=TOKEN)).status == 200
        assert CANARY not in repr(site.events)

    quiet(work)


@fuzz(100)
@example(text="\ud800", key="currency")
@given(text=odd_texts, key=st.sampled_from(KEYS[1:-2]))
def test_whatever_a_document_says_can_be_written_into_a_page(text: str, key: str) -> None:
    async def work() -> None:
        site = Site(Upstream(httpx, Reply(200, encoded(document() | {key: text}))).client)

        async def template(ctx: SessionContext) -> str:
            await ctx
            values = (ctx.site_code, ctx.currency, ctx.language, ctx.target_location, ctx.cart_id, ctx.customer_id)
            return " ".join(value or "" for value in values)

        assert (await site.visit(template, token=TOKEN)).status == 200

    play(work)


@with_both_libraries
@fuzz(60)
@example(cookie=b"\x80")
@given(cookie=st.binary(max_size=20))
def test_a_cookie_in_an_answer_does_no_harm_to_later_calls(library: Any, cookie: bytes) -> None:
    async def work() -> None:
        upstream = Upstream(library, Reply(200, OLD.body, ((b"set-cookie", cookie),)))
        site = Site(upstream.client)
        assert (await site.visit(currency, token=TOKEN)).text == "OLD"
        upstream.get = NEW
        await asyncio.sleep(200)
        assert (await site.visit(currency, token=TOKEN)).text == "NEW"
        assert (await site.visit(currency, token="another")).text == "NEW"

    play(work)


def everything_in(error: BaseException) -> str:
    """Return all that an error reporter would show: texts, causes and what is kept in attributes."""
    told = "".join(traceback.format_exception(error))
    seen: BaseException | None = error
    while seen is not None:
        told += f"{seen!r} {seen.args!r} { ({**vars(seen), 'session_id': None})!r}"
        seen = seen.__cause__ or seen.__context__
    return told


async def attempt(call: Callable[[], Awaitable[object]], errors: list[SessionContextError]) -> None:
    try:
        await call()
    except SessionContextError as error:
        errors.append(error)


@with_both_libraries
@fuzz(150)
@given(get=any_reply, patch=any_reply, first=st.booleans())
def test_explicit_calls_raise_our_errors_only_and_they_quote_nothing(
    library: Any, get: Reply, patch: Reply, *, first: bool
) -> None:
    async def work() -> None:
        upstream = Upstream(library, OLD if first else get, patch)
        site = Site(upstream.client)
        errors: list[SessionContextError] = []

        async def endpoint(ctx: SessionContext) -> str:
            await attempt(lambda: ctx.load(required=True), errors)
            upstream.get = get
            ctx.switch(currency="USD")
            ctx.set_attribute("a", "b")
            for call in (ctx.commit, ctx.refresh, lambda: ctx.cart_created("c"), ctx.commit, ctx.forget):
                await attempt(call, errors)
            return await page(ctx)

        assert (await site.visit(endpoint, token=TOKEN)).status == 200
        await asyncio.sleep(100)
        assert CANARY not in "".join(map(everything_in, errors))
        assert CANARY not in repr(site.events)

    quiet(work)


@with_both_libraries
@fuzz(120)
@given(reply=any_reply)
def test_a_change_survives_whatever_is_answered_or_is_refused(library: Any, reply: Reply) -> None:
    async def work() -> None:
        upstream = Upstream(library, OLD, reply)
        site = Site(upstream.client)

        async def switch(ctx: SessionContext) -> None:
            ctx.switch(currency="USD")

        assert (await site.visit(switch, token=TOKEN)).status == 200
        outcome = next(event.outcome for event in site.events if event.name.startswith("commit."))
        kept = outcome in {"applied", "parked"}
        assert kept or outcome in {"TokenRejected", "ChangeRefused"}
        if kept:
            assert (await site.visit(currency, token=TOKEN)).text == "USD"
        await asyncio.sleep(100)
        upstream.patch = Reply(204)
        before = upstream.count("PATCH")
        for _ in range(2):
            await site.visit(currency, token=TOKEN)
            await asyncio.sleep(5)
        if outcome == "parked":
            assert upstream.count("PATCH") == before + 1
            assert json.loads(upstream.calls[-1].body or b"0") or upstream.count("PATCH")
        else:
            assert upstream.count("PATCH") == before

    quiet(work)


# One value at a time


@with_both_libraries
@fuzz(100)
@example(reply=Reply(301, b"", ((b"location", b"http://xn--a/"),)))
@example(reply=Reply(429, b"", ((b"retry-after", b"0\x1f"),)))
@given(reply=any_reply)
def test_the_platform_client_raises_our_errors_only(library: Any, reply: Reply) -> None:
    async def work() -> None:
        client = OwnContextClient("acme", http_client=Upstream(library, reply, reply).client)
        errors: list[SessionContextError] = []
        await attempt(lambda: client.get(TOKEN), errors)
        await attempt(lambda: client.patch(TOKEN, {"currency": "USD", "metadata": {"version": 3}}), errors)
        assert CANARY not in "".join(map(everything_in, errors))

    play(work)


@example(header="0\x1f")
@fuzz(300)
@given(st.one_of(retry_after.map(lambda pair: str(pair[1], "latin-1")), st.text(max_size=40)))
def test_any_retry_after_is_a_number_of_seconds_or_none(header: str) -> None:
    async def work() -> None:
        seconds = seconds_of(header, VirtualClock())
        assert seconds is None or 0 <= seconds < float("inf")

    play(work)


@with_both_libraries
@pytest.mark.parametrize("times", [1, 2])
def test_a_bomb_is_not_unpacked(library: Any, times: int) -> None:
    """What is large only when unpacked is given up as soon as it is larger than a document may be."""
    bomb = gzipped(b" " * 200_000_000, times=times)

    async def work() -> None:
        site = Site(Upstream(library, bomb).client)
        tracemalloc.start()
        try:
            assert (await site.visit(currency, token=TOKEN)).text == "none"
            assert tracemalloc.get_traced_memory()[1] < 150_000_000
        finally:
            tracemalloc.stop()

    quiet(work)
