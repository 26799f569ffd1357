"""Nothing goes wrong in silence: bad input, a missing token, and how each commit ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from session_ctx_middleware import (
    BearerToken,
    CachePolicy,
    ContextSealed,
    ContextUnavailable,
    InvalidChange,
    NoToken,
    SessionContext,
    SessionContextMiddleware,
    get_session_context,
)
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.asgi import Message, middleware, never, scope_for
from .support.shop import Shop


async def test_bad_input_is_422(shop: Shop, emporix: FakeEmporix) -> None:
    """An `InvalidChange` that leaves the application is answered with 422 and its text, and changes nothing."""
    session = emporix.new_session(currency="EUR")

    async def handler(ctx: SessionContext, _: Request) -> str:
        ctx.switch(language="fr")
        ctx.switch(currency="dollars")
        return "unreachable"

    answer = await shop.visit(handler, token=session.token)

    assert (answer.status_code, answer.text) == (
        422,
        "currency must be three upper-case letters, such as EUR (ISO 4217).",
    )
    assert answer.headers["cache-control"] == "no-store"
    assert emporix.count("context.patch") == 0


@pytest.mark.parametrize("bug", [False, True])
async def test_bad_input_in_tasks(shop: Shop, emporix: FakeEmporix, *, bug: bool) -> None:
    """An `InvalidChange` that a task group wraps is answered as well, but not where something else went wrong, too."""
    session = emporix.new_session(currency="EUR")

    async def handler(ctx: SessionContext, _: Request) -> None:
        async def switch() -> None:
            ctx.switch(currency="dollars")

        async def work() -> None:
            raise KeyError

        async with asyncio.TaskGroup() as outer:
            async with asyncio.TaskGroup() as inner:
                inner.create_task(switch())
                if bug:
                    inner.create_task(work())
            outer.create_task(switch())

    if bug:
        with pytest.raises(ExceptionGroup):
            await shop.visit(handler, token=session.token)
    else:
        answer = await shop.visit(handler, token=session.token)
        assert (answer.status_code, answer.text[:8]) == (422, "currency")


async def test_change_after_bad_input(emporix: FakeEmporix, http_library: Any) -> None:
    """The answer to bad input has started: what is recorded outside of the middleware is refused, not forgotten."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["session_ctx"].switch_currency("dollars")

    async def send(_: Message) -> None: ...

    scope = scope_for(emporix.new_session().token)
    await middleware(app, emporix, http_library)(scope, never, send)

    with pytest.raises(ContextSealed):
        scope["state"]["session_ctx"].switch_currency("USD")


async def test_late_bad_input(emporix: FakeEmporix) -> None:
    """Once the response has started, an `InvalidChange` is the application's: there is no second answer."""
    session = emporix.new_session(currency="EUR")

    async def endpoint(request: Request) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"begun"
            async with get_session_context(request).late_changes() as ctx:
                ctx.switch(currency="dollars")

        return StreamingResponse(body())

    client = emporix.client(httpx2)
    middleware = [Middleware(SessionContextMiddleware, tenant="acme", http_client=client)]
    app = Starlette(routes=[Route("/", endpoint)], middleware=middleware)
    async with client, httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://shop.test") as browser:
        with pytest.raises(InvalidChange):
            await browser.get("/", headers={"Authorization": f"Bearer {session.token}"})


async def test_other_errors_are_the_applications(shop: Shop, emporix: FakeEmporix) -> None:
    """Only an `InvalidChange` is answered; everything else leaves as it came."""
    session = emporix.new_session()

    async def handler(_ctx: SessionContext, _: Request) -> str:
        raise ValueError("of the application")

    with pytest.raises(ValueError, match="of the application"):
        await shop.visit(handler, token=session.token)


@pytest.mark.parametrize("source", [BearerToken(), lambda connection: None], ids=["instant", "function"])
async def test_no_token(make_shop: Callable[..., Shop], emporix: FakeEmporix, source: Any) -> None:
    """Without a token the context is empty and says so, nothing is asked, and requiring it raises `NoToken`."""
    shop = make_shop(token=source)

    async def handler(ctx: SessionContext, _: Request) -> str:
        await ctx
        assert (ctx.has_token, ctx.exists, ctx.currency) == (False, False, None)
        with pytest.raises(NoToken, match="token="):
            await ctx.load(required=True)
        ctx.switch(currency="USD")
        with pytest.raises(NoToken) as raised:
            await ctx.commit()
        assert isinstance(raised.value, ContextUnavailable)
        return "done"

    assert (await shop.visit(handler)).text == "done"
    assert emporix.count() == 0


async def test_has_token(shop: Shop, emporix: FakeEmporix) -> None:
    """A request with a token says so, also where Emporix cannot be asked or knows no context."""
    session = emporix.new_session(exists=False)

    async def handler(ctx: SessionContext, _: Request) -> str:
        await ctx.load(required=True)
        return f"{ctx.has_token} {ctx.exists}"

    assert (await shop.visit(handler, token=session.token)).text == "True False"


async def test_commits_are_counted(emporix: FakeEmporix) -> None:
    """Each commit is counted by how it ended."""
    emporix_client = emporix.client(httpx2)

    async def endpoint(request: Request) -> PlainTextResponse:
        request.state.session_ctx.switch(currency=request.query_params["currency"])
        return PlainTextResponse("")

    app = SessionContextMiddleware(Starlette(routes=[Route("/", endpoint)]), tenant="acme", http_client=emporix_client)
    session, waiting = emporix.new_session(currency="EUR"), emporix.new_session(exists=False)
    outcomes = ("applied", "already", "parked", "refused", "failed")

    def counted() -> list[int]:
        return [app.stats()[name] for name in outcomes]

    async with (
        emporix_client,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://shop.test") as browser,
    ):

        async def switch(currency: str, token: str | None = session.token) -> None:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            assert (await browser.get("/", params={"currency": currency}, headers=headers)).status_code == 200

        await switch("USD")
        assert counted() == [1, 0, 0, 0, 0]
        emporix.edit(session.session_id, currency="CHF")
        await switch("CHF")
        assert counted() == [1, 1, 0, 0, 0]
        await switch("GBP", waiting.token)
        assert counted() == [1, 1, 1, 0, 0]
        emporix.fault("context.patch", Fault(status=422))
        await switch("SEK")
        assert counted() == [1, 1, 1, 1, 0]
        await switch("NOK", None)
        assert app.stats()["changes.lost"] == 1
        assert counted() == [1, 1, 1, 1, 0]


async def test_dropped_parked_changes_are_counted(emporix: FakeEmporix) -> None:
    """A commit that Emporix takes only without what was parked is counted as applied, and as one that dropped."""

    async def endpoint(request: Request) -> PlainTextResponse:
        request.state.session_ctx.switch(**request.query_params)
        return PlainTextResponse("")

    session, client = emporix.new_session(exists=False), emporix.client(httpx2)
    app = SessionContextMiddleware(
        Starlette(routes=[Route("/", endpoint)]), tenant="acme", http_client=client, cache=CachePolicy(missing_ttl=0)
    )
    headers = {"Authorization": f"Bearer {session.token}"}
    async with client, httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://shop.test") as browser:
        await browser.get("/", params={"site_code": "gone"}, headers=headers)
        emporix.create_context(session.session_id)
        emporix.fault("context.patch", Fault(status=400))
        await browser.get("/", params={"currency": "USD"}, headers=headers)

    counted = app.stats()
    assert [counted[name] for name in ("applied", "parked", "refused", "dropped")] == [1, 1, 0, 1]


async def test_unavailable_and_back(shop: Shop, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """An outage is told once when it begins and once when it ends: a log line with the remedy, an event, a counter."""
    caplog.set_level("WARNING", "session_ctx_middleware")
    sessions = [emporix.new_session(currency="EUR") for _ in range(12)]
    emporix.fault("context.get", Fault(status=500), times=None)
    for session in sessions:
        await shop.currency(session.token)

    (down,) = shop.named("upstream.unavailable")
    assert (down.operation, down.outcome) == ("context.get", "left alone")
    told = [record.getMessage() for record in caplog.records if "upstream.unavailable" in record.getMessage()]
    assert len(told) == 1
    assert "Check base_url" in told[0]
    assert shop.named("upstream.restored") == []

    emporix.clear_faults()
    await asyncio.sleep(8)
    assert await shop.currency(sessions[0].token) == "EUR"
    assert [event.operation for event in shop.named("upstream.restored")] == ["context.get"]
    assert sum("Emporix answers again" in record.getMessage() for record in caplog.records) == 1
