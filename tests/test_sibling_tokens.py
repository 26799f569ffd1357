"""Several tokens of one session on several workers: each keeps what its own browser was told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx2
from starlette.requests import Request

from session_ctx_middleware import SessionContext, SessionContextMiddleware
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop, held
from .support.virtual_time import VirtualClock

SECRET = "k" * 40


async def page(ctx: SessionContext, _: Request) -> str:
    """Show the currency, and the version that it is from."""
    await ctx
    return "degraded" if ctx.is_degraded else f"{ctx.currency} {ctx.version}"


async def refresh(ctx: SessionContext, _: Request) -> str:
    """Read past all caches."""
    await ctx.refresh()
    return f"rejected {ctx.is_rejected}"


async def read(shop: Shop, token: str, cookie: str = "") -> str:
    """Return what a page shows."""
    return (await shop.visit(page, token=token, headers={"Cookie": cookie} if cookie else None)).text


async def switched(shop: Shop, token: str, cookie: str = "", **values: str) -> str:
    """Switch, and return the cookie of the answer."""

    async def handler(ctx: SessionContext, _: Request) -> None:
        ctx.switch(**values)

    headers = {"Cookie": cookie} if cookie else None
    answer = await shop.visit(handler, token=token, headers=headers, method="POST")
    header: str = answer.headers.get("set-cookie", "")
    return header.partition(";")[0]


def sharing(make_shop: Callable[..., Shop], workers: int) -> list[Shop]:
    """Return workers that share a store."""
    store = MemoryStore(shared=True, clock=VirtualClock())
    return [make_shop(store=store if not number else store.sibling()) for number in range(workers)]


async def test_rejected_token(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A token that is refused on one worker takes nothing from the session's other tokens on another."""
    one, other = sharing(make_shop, 2)
    session = emporix.new_session(currency="USD")
    await read(one, session.token)
    await read(other, session.token)
    newer = emporix.new_token(session.session_id)
    emporix.revoke(session.token)

    assert (await one.visit(refresh, token=session.token)).text == "rejected True"
    await asyncio.sleep(0.01)
    emporix.clear_calls()

    assert [await read(other, newer) for _ in range(3)] == ["USD 1"] * 3
    assert emporix.count("context.get") == 1
    await other.switch(newer, currency="CHF")
    assert emporix.count("context.get") == 1
    assert (emporix.document(session.session_id) or {})["currency"] == "CHF"


async def test_announcement_of_another_context(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """What one token was told of the last context does not replace what another was told of the present one."""
    first, second, third = sharing(make_shop, 3)
    session = emporix.new_session(currency="EUR")
    for _ in range(10):
        emporix.edit(session.session_id, language="de")
    await third.switch(session.token, language="fr")
    await asyncio.sleep(5)
    emporix.recreate_context(session.session_id, currency="EUR")
    before = emporix.document(session.session_id)
    newer = emporix.new_token(session.session_id)
    await first.switch(newer, currency="USD")
    emporix.fault("context.get", Fault(body=before), times=2)  # a replica lags
    await read(second, session.token)

    assert await read(second, newer) == "USD 2"
    await asyncio.sleep(30)
    assert await read(second, newer) == "USD 2"


async def test_note_of_another_context(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """The floor that one token's browser brought is not replaced by that of another's, of the last context."""
    first, second, third = (make_shop(secret_key=SECRET) for _ in range(3))
    session = emporix.new_session(currency="EUR")
    for _ in range(10):
        emporix.edit(session.session_id, language="de")
    cookie = await switched(first, session.token, language="fr")
    await read(second, session.token, cookie)
    await asyncio.sleep(5)
    emporix.recreate_context(session.session_id, currency="EUR")
    before = emporix.document(session.session_id)
    newer = emporix.new_token(session.session_id)
    cookie = await switched(third, newer, currency="USD")
    emporix.fault("context.get", Fault(body=before))  # one replica lags

    assert await read(second, newer, cookie) == "USD 2"


async def test_late_request_with_an_old_note(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A worker that could not see a change yet remembers it: a request that left earlier does not undo it."""
    first, other = make_shop(secret_key=SECRET), make_shop(secret_key=SECRET)
    session = emporix.new_session(exists=False)
    old = await switched(first, session.token, currency="GBP")
    emporix.create_context(session.session_id, currency="CHF")
    before = emporix.document(session.session_id)
    await asyncio.sleep(3)
    new = await switched(first, session.token, old, currency="EUR")
    emporix.fault("context.get", Fault(body=before), times=3)  # a replica lags
    await read(other, session.token, new)
    await asyncio.sleep(1)

    await read(other, session.token, old)

    assert (emporix.document(session.session_id) or {})["currency"] == "EUR"


async def test_shutdown_inside_a_commit(emporix: FakeEmporix) -> None:
    """A shutdown in the middle of a commit says so, and the browser keeps the choice."""
    for loads in (False, True):
        shop = Shop(emporix, httpx2, secret_key=SECRET)
        session = emporix.new_session(currency="EUR")
        await read(shop, session.token)
        emporix.fault("context.patch", Fault(delay=60))

        async def handler(ctx: SessionContext, _: Request, loads: bool = loads) -> None:
            if loads:
                await ctx
            ctx.switch(currency="USD")

        request = asyncio.create_task(shop.visit(handler, token=session.token, method="POST"))
        await asyncio.sleep(0.5)
        middleware: Any = shop.app.middleware_stack
        while not isinstance(middleware, SessionContextMiddleware):
            middleware = middleware.app
        await middleware.aclose()
        answer = await request

        assert answer.status_code == 200
        assert [event.name for event in shop.events if event.name.startswith(("commit", "changes"))] != []
        cookie = answer.headers["set-cookie"].partition(";")[0]
        other = Shop(emporix, httpx2, secret_key=SECRET)
        assert (await read(other, session.token, cookie)).startswith("USD")
        for each in (shop, other):
            await each.browser.aclose()
            await each.upstream_client.aclose()
        emporix.clear_faults()


async def test_version_that_fell(shop: Shop, emporix: FakeEmporix) -> None:
    """After a backup was restored, a token that sees the lower version is believed for the other ones, too."""
    session = emporix.new_session(currency="EUR", language="en")
    other = emporix.new_token(session.session_id)
    for currency in ("USD", "GBP", "USD", "GBP"):
        await switched(shop, session.token, currency=currency)
        await read(shop, session.token)
    await read(shop, other)
    await asyncio.sleep(60)
    backup = held(emporix, session.session_id)
    backup["metadata"]["version"] = 2
    emporix.rewrite_context(session.session_id, {**backup, "language": "sv"})
    await asyncio.sleep(150)

    async def language(ctx: SessionContext, _: Request) -> str:
        await ctx
        return f"{ctx.language} {ctx.is_stale}"

    for token in (session.token, other) * 2:
        assert (await shop.visit(language, token=token)).text == "sv False"


async def test_receipt_beside_earlier_changes(shop: Shop, emporix: FakeEmporix) -> None:
    """What a receipt tells of is not covered by an earlier change of the same field, also where others wait."""
    session = emporix.new_session(currency="EUR", language="en")
    other = emporix.new_token(session.session_id)
    await read(shop, other)
    await read(shop, session.token)
    await switched(shop, session.token, language="fr")  # shown over the document, until a GET brings a later one
    emporix.fault("context", Fault(status=503), times=None)
    await switched(shop, session.token, language="it")  # waits
    await asyncio.sleep(5)
    emporix.clear_faults()
    emporix.fault("context.patch", Fault(drop="after"))
    await switched(shop, other, currency="USD")  # takes it along; only a GET tells that
    assert held(emporix, session.session_id)["language"] == "it"
    emporix.fault("context", Fault(status=503), times=None)
    await switched(shop, session.token, site_code="other")  # waits

    async def language(ctx: SessionContext, _: Request) -> str:
        await ctx
        return f"{ctx.language} {ctx.currency} {ctx.site_code}"

    for token in (session.token, other):
        assert (await shop.visit(language, token=token)).text == "it USD other"
