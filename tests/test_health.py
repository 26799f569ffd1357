"""The middleware can be asked how it is, from any request, however it was installed; asking costs no call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route, Router

from session_ctx_middleware import ConfigurationError, SessionContext, SessionContextMiddleware, get_session_context
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.shop import Shop


async def status(request: Request) -> JSONResponse:
    middleware = get_session_context(request).middleware
    await request.state.session_ctx
    return JSONResponse({"reads": middleware.stats()["misses"], "ok": middleware.health().ok})


def by_keyword(**options: Any) -> Any:
    return Starlette(routes=[Route("/", status)], middleware=[Middleware(SessionContextMiddleware, **options)])


def by_method(**options: Any) -> Any:
    app = FastAPI()
    app.add_middleware(SessionContextMiddleware, **options)
    app.add_route("/", status)
    return app


def around(**options: Any) -> Any:
    return SessionContextMiddleware(Starlette(routes=[Route("/", status)]), **options)


def on_a_route(**options: Any) -> Any:
    return Router([Route("/", status, middleware=[Middleware(SessionContextMiddleware, **options)])])


def in_a_mount(**options: Any) -> Any:
    return Starlette(routes=[Mount("/", app=around(**options))])


def twice(**options: Any) -> Any:
    return SessionContextMiddleware(around(**options), **options)


@pytest.mark.parametrize("install", [by_keyword, by_method, around, on_a_route, in_a_mount, twice])
async def test_reachable(emporix: FakeEmporix, install: Callable[..., Any]) -> None:
    """A request leads to the middleware that serves it."""
    client = emporix.client(httpx2)
    app = install(tenant="acme", http_client=client)
    headers = {"Authorization": f"Bearer {emporix.new_session().token}"}

    async with client, httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://shop.test") as browser:
        answers = [(await browser.get("/", headers=headers)).json() for _ in range(2)]

    assert answers == [{"reads": 1, "ok": True}] * 2


async def test_same_object(emporix: FakeEmporix) -> None:
    """It is the middleware itself; a context that outlives it says so."""
    contexts: list[SessionContext] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        contexts.append(scope["state"]["session_ctx"])

    middleware = SessionContextMiddleware(app, tenant="acme")
    await middleware({"type": "http", "headers": []}, None, None)  # type: ignore[arg-type]

    assert contexts[0].middleware is middleware
    del middleware
    with pytest.raises(ConfigurationError, match="keep the application"):
        _ = contexts[0].middleware


async def health(shop: Shop) -> dict[str, bool]:
    """Return what the shop's middleware says of itself."""
    found: list[Any] = []

    async def handler(ctx: SessionContext, _: Request) -> None:
        found.append(ctx.middleware.health())

    await shop.visit(handler)
    with pytest.raises(FrozenInstanceError):
        found[0].emporix = True
    assert found[0].ok is all(asdict(found[0]).values())
    return asdict(found[0])


WELL = {"emporix": True, "breaker": True, "store": True}


async def test_breaker(shop: Shop, emporix: FakeEmporix) -> None:
    """While a breaker refuses calls it is not well; asking for its health calls nobody."""
    assert await health(shop) == WELL
    emporix.fault("context.get", Fault(status=500), times=None)
    for _ in range(12):
        await shop.currency(emporix.new_session().token)
    calls = emporix.count()

    assert (await health(shop))["breaker"] is False
    assert emporix.count() == calls


async def test_breaker_without_visitors(shop: Shop, emporix: FakeEmporix) -> None:
    """Who gets no requests because it is not well counts as well again once a call may tell."""
    emporix.fault("context.get", Fault(status=500), times=None)
    for _ in range(12):
        await shop.currency(emporix.new_session().token)
    await asyncio.sleep(100)

    assert await health(shop) == WELL
