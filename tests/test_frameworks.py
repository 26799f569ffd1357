"""Templates and FastAPI."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx2
import jinja2
import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from session_ctx_middleware import (
    ConfigurationError,
    ContextDocument,
    ContextNotLoaded,
    InvalidChange,
    SessionContext,
    SessionContextMiddleware,
    get_session_context,
)
from session_ctx_middleware.fastapi import SessionCtx, install
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.templating import context_processor
from session_ctx_middleware.testing import FakeEmporix

from .support.shop import Shop
from .support.virtual_time import VirtualClock

TEMPLATES = Jinja2Templates(
    env=jinja2.Environment(
        loader=jinja2.DictLoader({"page": "{{ session_ctx.currency }} {{ session_ctx.attributes.tier.name }}"}),
        autoescape=True,
    ),
    context_processors=[context_processor],
)


async def render(_: SessionContext, request: Request) -> Response:
    return TEMPLATES.TemplateResponse(request, "page")


async def test_template(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A template reads the loaded context."""
    shop = make_shop()
    session = emporix.new_session(currency="EUR", attributes={"tier": {"name": "gold"}})

    async def page(ctx: SessionContext, request: Request) -> Response:
        await ctx
        return await render(ctx, request)

    response = await shop.visit(page, token=session.token)

    assert response.text == "EUR gold"
    assert response.headers["cache-control"] == "private"
    assert (await make_shop(preload=True).visit(render, token=session.token)).text == "EUR gold"


async def test_template_without_a_load(shop: Shop, emporix: FakeEmporix) -> None:
    """A template without a loaded context fails with the remedy."""
    with pytest.raises(ContextNotLoaded, match="preload"):
        await shop.visit(render, token=emporix.new_session().token)

    assert emporix.count() == 0


def fastapi_shop(emporix: FakeEmporix, http_library: Any, **options: Any) -> FastAPI:
    app = FastAPI()
    client = emporix.client(http_library)
    app.add_middleware(SessionContextMiddleware, tenant="acme", http_client=client, store=MemoryStore(), **options)

    @app.get("/")
    async def home(ctx: SessionCtx) -> dict[str, str | None]:
        return {"currency": ctx.currency}

    @app.get("/sync")
    def sync(ctx: SessionCtx) -> dict[str, str | None]:
        return {"currency": ctx.currency}

    @app.post("/currency/{code}")
    async def switch(code: str, ctx: SessionCtx) -> dict[str, str | None]:
        ctx.switch_currency(code)
        return {"currency": ctx.currency}

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, ctx: SessionCtx) -> None:
        await websocket.accept()
        await websocket.send_text(ctx.currency or "")
        await websocket.close()

    return app


async def test_a_fastapi_dependency_is_loaded(emporix: FakeEmporix, http_library: Any) -> None:
    """A FastAPI dependency is loaded."""
    session = emporix.new_session(currency="EUR")
    app = fastapi_shop(emporix, http_library, clock=VirtualClock())
    headers = {"Authorization": f"Bearer {session.token}"}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://shop") as browser:
        assert (await browser.get("/", headers=headers)).json() == {"currency": "EUR"}
        assert (await browser.post("/currency/USD", headers=headers)).json() == {"currency": "USD"}
        assert (await browser.get("/openapi.json")).status_code == 200

    assert emporix.count("context.patch") == 1


async def test_fastapi_sync_and_websocket(emporix: FakeEmporix, http_library: Any) -> None:
    """FastAPI's sync endpoints and WebSockets have the context, too."""
    emporix.now = lambda: 1.79e9
    session = emporix.new_session(currency="EUR")
    app = fastapi_shop(emporix, http_library)
    headers = {"Authorization": f"Bearer {session.token}"}

    def visit() -> list[object]:
        with TestClient(app) as client:
            with client.websocket_connect("/socket", headers=headers) as socket:
                return [socket.receive_text(), client.get("/sync", headers=headers).json()]

    assert await asyncio.to_thread(visit) == ["EUR", {"currency": "EUR"}]


async def test_fastapi_form_of_an_invalid_change(emporix: FakeEmporix, http_library: Any) -> None:
    """With `install`, an invalid change has the form of FastAPI's own errors, and takes nothing else along."""
    session = emporix.new_session(currency="EUR")
    app = fastapi_shop(emporix, http_library, clock=VirtualClock())
    before = app.openapi()
    install(app)

    @app.post("/both/{code}", include_in_schema=False)
    async def both(code: str, ctx: SessionCtx) -> None:
        ctx.switch_language("de")
        ctx.switch_currency(code)

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://shop") as browser:
        answer = await browser.post("/both/dollars", headers={"Authorization": f"Bearer {session.token}"})

    (detail,) = answer.json()["detail"]
    assert (answer.status_code, detail["type"], detail["loc"]) == (422, "invalid_change", ["session_ctx"])
    assert "ISO 4217" in detail["msg"]
    assert emporix.count("context.patch") == 0
    app.openapi_schema = None
    assert app.openapi() == before


async def test_fastapi_websocket_with_an_invalid_change(emporix: FakeEmporix, http_library: Any) -> None:
    """A WebSocket is closed because of an invalid change, as because of any mistake."""
    app = fastapi_shop(emporix, http_library)
    install(app)

    @app.websocket("/wrong")
    async def wrong(websocket: WebSocket) -> None:
        await websocket.accept()
        get_session_context(websocket).switch_currency("dollars")

    def visit() -> None:
        with TestClient(app) as client, client.websocket_connect("/wrong") as socket:
            socket.receive_text()

    with pytest.raises(InvalidChange):
        await asyncio.to_thread(visit)


def test_install_into_something_else() -> None:
    """Only a FastAPI application can be installed into."""
    with pytest.raises(ConfigurationError, match="FastAPI"):
        install(Starlette())  # type: ignore[arg-type]


def wants_a_body(app: FastAPI) -> None:
    @app.get("/")
    async def page(ctx: SessionContext) -> None: ...


def wants_an_optional_context(app: FastAPI) -> None:
    @app.get("/")
    async def page(ctx: SessionCtx | None) -> None: ...


def promises_a_context(app: FastAPI) -> None:
    @app.get("/")
    async def page(ctx: SessionCtx) -> SessionContext:
        return ctx


def promises_a_document(app: FastAPI) -> None:
    @app.get("/")
    async def page(ctx: SessionCtx) -> ContextDocument | None:
        return ctx.document


@pytest.mark.parametrize("endpoint", [wants_a_body, wants_an_optional_context, promises_a_context, promises_a_document])
def test_annotation_that_fastapi_would_take_for_a_model(endpoint: Callable[[FastAPI], None]) -> None:
    """A context annotated as data of request or response is told when the application is built, with the remedy."""
    with pytest.raises(ConfigurationError, match=r"SessionCtx.*response_model=None"):
        endpoint(FastAPI())


async def test_promised_without_a_model(emporix: FakeEmporix, http_library: Any) -> None:
    """With `response_model=None` the annotation of the return value stays, and the answer is JSON."""
    session = emporix.new_session(currency="EUR")
    app = fastapi_shop(emporix, http_library, clock=VirtualClock())

    @app.get("/document", response_model=None)
    async def document(ctx: SessionCtx) -> ContextDocument | None:
        return ctx.document

    headers = {"Authorization": f"Bearer {session.token}"}
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://shop") as browser:
        assert (await browser.get("/document", headers=headers)).json()["currency"] == "EUR"


async def test_read_by_a_middleware_outside(emporix: FakeEmporix, http_library: Any) -> None:
    """A middleware outside of ours has no context; the text says which order is the right one."""
    app = fastapi_shop(emporix, http_library, clock=VirtualClock())

    @app.middleware("http")
    async def outside(request: Request, _: Any) -> Response:
        return Response(get_session_context(request).currency)

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://shop") as browser:
        with pytest.raises(ConfigurationError, match=r"in front of the other ones.*add it last"):
            await browser.get("/")


def test_no_extra_is_imported() -> None:
    """Importing the package imports no extra."""
    code = (
        "import sys, session_ctx_middleware, session_ctx_middleware.templating, session_ctx_middleware.emporix\n"
        "heavy = {'fastapi', 'jinja2', 'babel', 'redis', 'opentelemetry', 'uvicorn', 'httpx2'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout.strip() == "[]"
