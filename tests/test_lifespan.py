"""Start-up and shutdown, and event loops that come and go."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

import pytest
from asgi_lifespan import LifespanManager
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from session_ctx_middleware import ConfigurationError, SessionContextMiddleware
from session_ctx_middleware.testing import FakeEmporix, Fault

from .support.asgi import middleware, never


async def test_shutdown_waits_for_commits(emporix: FakeEmporix, http_library: Any) -> None:
    """The lifespan reaches the application, and shutdown waits for commits."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=2.0))
    httpx2 = import_module("httpx2")
    seen: list[str] = []

    async def page(request: Request) -> Response:
        request.state.session_ctx.switch_currency("USD")
        return PlainTextResponse("ok")

    async def lifespan_app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await Starlette(routes=[Route("/", page)])(scope, receive, send)
            return
        await receive()
        seen.append("startup")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        seen.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})

    app = middleware(lifespan_app, emporix, http_library)
    async with LifespanManager(app, shutdown_timeout=30) as manager:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(manager.app)) as browser:
            leaving = asyncio.create_task(
                browser.get("http://shop/", headers={"Authorization": f"Bearer {session.token}"})
            )
            await asyncio.sleep(1)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)

    assert seen == ["startup", "shutdown"]
    assert (emporix.document(session.session_id) or {})["currency"] == "USD"


async def test_app_without_lifespan(emporix: FakeEmporix, http_library: Any) -> None:
    """An app without lifespan fails as it would without us."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise NotImplementedError(scope["type"])

    with pytest.raises(NotImplementedError, match="lifespan"):
        await middleware(app, emporix, http_library)({"type": "lifespan", "state": {}}, never, never)  # type: ignore[arg-type]


async def test_shutdown_closes_own_client(emporix: FakeEmporix, http_library: Any) -> None:
    """Shutdown closes our own client only."""
    client = emporix.client(http_library)
    app = middleware(Starlette(), emporix, http_library, http_client=client)

    async with LifespanManager(app):
        pass

    assert not client.is_closed
    await client.aclose()


async def test_f41_several_event_loops(emporix: FakeEmporix, http_library: Any) -> None:
    """F41: One middleware works from several event loops.

    Starlette's TestClient runs every request in a loop of its own unless it is used as a context manager.
    """
    session = emporix.new_session(currency="EUR")

    async def page(request: Request) -> Response:
        return PlainTextResponse((await request.state.session_ctx).currency)

    async def switch(request: Request) -> Response:
        request.state.session_ctx.switch_currency("USD")
        return PlainTextResponse("ok")

    app = SessionContextMiddleware(
        Starlette(routes=[Route("/", page), Route("/switch", switch, methods=["POST"])]),
        tenant="acme",
        http_client=emporix.client(http_library),
    )
    headers = {"Authorization": f"Bearer {session.token}"}

    def in_threads() -> list[str]:
        client = TestClient(app)
        answers = [client.get("/", headers=headers).text, client.post("/switch", headers=headers).text]
        answers.append(client.get("/", headers=headers).text)
        with TestClient(app) as managed:
            answers.append(managed.get("/", headers=headers).text)
        return answers

    emporix.now = lambda: 1.79e9
    assert await asyncio.to_thread(in_threads) == ["EUR", "ok", "USD", "USD"]


async def unheard(_: Any) -> None:
    """Take what a server would be told."""


async def refuses(scope: Any, receive: Any, send: Any) -> None:
    """Refuse, as Django and Channels do."""
    raise ValueError("Django can only handle ASGI/HTTP connections, not lifespan.")


async def returns(scope: Any, receive: Any, send: Any) -> None:
    """Know nothing of it, as small applications do."""


@pytest.mark.parametrize("without", [refuses, returns])
async def test_application_without_a_lifespan(without: Any, emporix: FakeEmporix, http_library: Any) -> None:
    """Where the application has no lifespan, shutdown waits for commits all the same."""
    session = emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=2.0))
    httpx2 = import_module("httpx2")

    async def page(request: Request) -> Response:
        request.state.session_ctx.switch_currency("USD")
        return PlainTextResponse("ok")

    async def shop(scope: Any, receive: Any, send: Any) -> None:
        handles = without if scope["type"] == "lifespan" else Starlette(routes=[Route("/", page)])
        await handles(scope, receive, send)

    async with LifespanManager(middleware(shop, emporix, http_library), shutdown_timeout=30) as manager:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(manager.app)) as browser:
            leaving = asyncio.create_task(
                browser.get("http://shop/", headers={"Authorization": f"Bearer {session.token}"})
            )
            await asyncio.sleep(1)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)

    assert (emporix.document(session.session_id) or {})["currency"] == "USD"


@pytest.mark.parametrize("wrong", [RuntimeError("no database"), ValueError("PORT is no number")], ids=str)
async def test_application_that_cannot_start(wrong: Exception, emporix: FakeEmporix, http_library: Any) -> None:
    """An application that fails before it has started is not taken for one without a lifespan."""

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        raise wrong

    with pytest.raises(type(wrong), match=str(wrong)):
        await middleware(fails, emporix, http_library)({"type": "lifespan"}, never, unheard)


async def test_application_that_ends_before_it_has_started(emporix: FakeEmporix, http_library: Any) -> None:
    """An application that hears of the start, and refuses then, has refused to start."""

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise ValueError("lifespan: no database")

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    with pytest.raises(ValueError, match="no database"):
        await middleware(fails, emporix, http_library)({"type": "lifespan"}, receive, unheard)


def test_without_asyncio(emporix: FakeEmporix) -> None:
    """Where no event loop of asyncio runs, as under trio, the error says so."""
    app = middleware(PlainTextResponse("ok"), emporix, import_module("httpx2"))

    with pytest.raises(ConfigurationError, match=r"asyncio alone.*trio"):
        app({"type": "http", "headers": []}, never, unheard).send(None)
