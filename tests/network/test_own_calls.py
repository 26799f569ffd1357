"""The shop's own calls behind real sockets: clients of aiohttp, redirects to another host, and clients in threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import ModuleType

import aiohttp
import httpx
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from session_ctx_middleware import ContextNotLoaded, SessionContext, SessionContextMiddleware, get_session_context
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault, Quirks

from ..sessions.keys import SECRET
from .backend import WebServer

pytestmark = pytest.mark.network

Page = Callable[[SessionContext], Awaitable[object]]
NEW_CART = {"currency": "EUR", "siteCode": "main"}
CART = "/cart/acme/carts"


class Platform:
    """FakeEmporix, and ways that lead away from it, to a host that writes down what it gets."""

    def __init__(self) -> None:
        self.emporix = FakeEmporix(quirks=Quirks(cart_headers="required"))
        self.lead_away = ""
        self.got: list[dict[str, str]] = []
        self.server = WebServer(self)
        self.elsewhere = WebServer(Starlette(routes=[Route("/{path:path}", self._elsewhere, methods=["GET", "POST"])]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app: ASGIApp = self.emporix
        if self.lead_away and scope["path"] == CART:
            app = RedirectResponse(self.lead_away, 307)
        await app(scope, receive, send)

    async def _elsewhere(self, request: Request) -> Response:
        self.got.append(dict(request.headers))
        return PlainTextResponse("")


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    built = Platform()
    await built.server.start()
    await built.elsewhere.start()
    yield built
    await built.elsewhere.aclose()
    await built.server.aclose()


async def visit(platform: Platform, page: Page | Callable[[SessionContext], object], **cookies: str) -> httpx2.Response:
    """Send one request of a new browser to a shop with one page."""

    async def endpoint(request: Request) -> Response:
        await page(get_session_context(request))  # type: ignore[misc]
        return PlainTextResponse("done")

    def in_thread(request: Request) -> Response:
        page(get_session_context(request))
        return PlainTextResponse("done")

    app = SessionContextMiddleware(
        Starlette(routes=[Route("/", endpoint if asyncio.iscoroutinefunction(page) else in_thread, methods=["POST"])]),
        tenant="acme",
        base_url=platform.server.address,
        token=StorefrontSessions("storefront"),
        secret_key=SECRET,
        store=MemoryStore(),
    )
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="https://shop.test") as browser:
        answer = await browser.post("/")
    await app.aclose()
    assert answer.text == "done"
    return answer


async def test_aiohttp(platform: Platform) -> None:
    """A client middleware of aiohttp authorizes, repeats what was refused, and notices the cart."""
    platform.emporix.fault("cart.create", Fault(status=401))

    async def page(ctx: SessionContext) -> None:
        async with aiohttp.ClientSession(platform.server.address, middlewares=(ctx.auth,)) as session:
            async with session.post(CART, json=NEW_CART) as answer:
                assert answer.status == 201
                cart_id = (await answer.json())["cartId"]
            async with session.get("/site/acme/sites") as answer:
                assert answer.status == 200
            async with session.get(platform.elsewhere.address) as answer:
                assert answer.status == 200
        while not ctx.is_loaded:
            await asyncio.sleep(0.01)
        assert ctx.cart_id == cart_id

    await visit(platform, page)
    assert platform.emporix.count("anonymous.refresh") == 1
    assert not {"authorization", "session-id"}.intersection(platform.got[0])


async def test_aiohttp_follows_redirects(platform: Platform) -> None:
    """Aiohttp follows redirects unless it is told not to, and takes nothing along to another host."""
    platform.lead_away = f"{platform.elsewhere.address}/loot"

    async def page(ctx: SessionContext) -> None:
        async with aiohttp.ClientSession() as session:
            url = platform.server.address + CART
            async with session.post(url, json=NEW_CART, middlewares=(ctx.auth,)) as answer:
                assert answer.status == 200

    await visit(platform, page)
    (got,) = platform.got
    assert not {"authorization", "session-id", "saas-token"}.intersection(got)


async def test_aiohttp_comes_back(platform: Platform) -> None:
    """Where a redirect stays with Emporix, the next request goes out with what that one needs."""
    platform.lead_away = f"{platform.server.address}/site/acme/sites"

    async def page(ctx: SessionContext) -> None:
        async with aiohttp.ClientSession() as session:
            url = platform.server.address + CART
            async with session.get(url, middlewares=(ctx.auth,)) as answer:
                assert answer.status == 200

    await visit(platform, page)


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
async def test_in_a_thread(platform: Platform, library: ModuleType) -> None:
    """A synchronous client in a worker thread does all of it, too; on the event loop it needs a token that is known."""
    platform.emporix.fault("cart.create", Fault(status=401))

    def page(ctx: SessionContext) -> None:
        with library.Client(base_url=platform.server.address, trust_env=False) as client:
            assert client.post(CART, json=NEW_CART, auth=ctx.auth).status_code == 201
            assert "session-id" in ctx.auth.headers("POST", platform.server.address + CART)
        assert ctx.cart_id

    await visit(platform, page)
    assert platform.emporix.count("anonymous.refresh") == 1

    async def blocking(ctx: SessionContext) -> None:
        with library.Client(transport=library.MockTransport(lambda _: library.Response(401))) as client:
            with pytest.raises(ContextNotLoaded):
                client.get(platform.server.address, auth=ctx.auth)
            await ctx
            assert client.get(platform.server.address, auth=ctx.auth).status_code == 401

    await visit(platform, blocking)


async def test_on_another_event_loop(platform: Platform) -> None:
    """An endpoint that runs an event loop of its own in its worker thread may call from there."""

    def page(ctx: SessionContext) -> None:
        async def work() -> int:
            async with aiohttp.ClientSession(platform.server.address, middlewares=(ctx.auth,)) as session:
                async with session.post(CART, json=NEW_CART) as answer:
                    return answer.status

        assert asyncio.run(work()) == 201

    await visit(platform, page)
