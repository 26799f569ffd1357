"""What Emporix, or something on the way to it, answers: pages render, and nonsense is not kept."""

from __future__ import annotations

import asyncio
import traceback
import tracemalloc
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
from .answers import (
    KEYS,
    NEW,
    OLD,
    TOKEN,
    any_reply,
    document,
    encoded,
    failing_replies,
    gzipped,
    malformed_replies,
    odd_texts,
    retry_after,
)
from .support import CANARY, Reply, Site, Upstream, currency, fuzz, overheard, page, play, with_both_libraries


def quiet(work: Callable[[], Awaitable[None]]) -> None:
    """Run one example, in whose log nothing of a body may stand, nor a sign of a case that nobody has thought of."""
    with overheard() as lines:
        play(work)
    text = "".join(lines)
    assert CANARY not in text
    assert "unexpected" not in text


@with_both_libraries
@fuzz(120)
@given(reply=st.one_of(malformed_replies, failing_replies))
def test_non_document_is_not_kept(library: Any, reply: Reply) -> None:
    """An answer that is no document is not kept."""

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
def test_good_document_outlives_it(library: Any, reply: Reply) -> None:
    """A good document outlives an answer that is none."""

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
def test_page_renders(library: Any, reply: Reply) -> None:
    """A page renders whatever is answered."""

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
def test_document_fits_into_a_page(text: str, key: str) -> None:
    """Whatever a document says can be written into a page."""

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
def test_cookies_do_no_harm(library: Any, cookie: bytes) -> None:
    """A cookie in an answer does no harm to later calls."""

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
def test_explicit_calls(library: Any, get: Reply, patch: Reply, *, first: bool) -> None:
    """Explicit calls raise our errors only, and they quote nothing."""

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
def test_change_survives(library: Any, reply: Reply) -> None:
    """A change survives whatever is answered, or is refused."""

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
        # What was parked is sent, and what a success has swallowed, once more: the document shows that it is not there.
        assert upstream.count("PATCH") == before + kept

    quiet(work)


@with_both_libraries
@fuzz(100)
@example(reply=Reply(301, b"", ((b"location", b"http://xn--a/"),)))
@example(reply=Reply(429, b"", ((b"retry-after", b"0\x1f"),)))
@given(reply=any_reply)
def test_platform_client(library: Any, reply: Reply) -> None:
    """The platform client raises our errors only."""

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
def test_retry_after(header: str) -> None:
    """Any Retry-After is a number of seconds or none."""

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
