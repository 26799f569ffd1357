"""A response that brings a session's cookie is nobody else's, of whatever kind it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from session_ctx_middleware import SessionContext, SessionContextMiddleware
from session_ctx_middleware.http_cache import is_private
from session_ctx_middleware.sessions import StorefrontSessions
from session_ctx_middleware.testing import FakeEmporix

from ..support.shop import Handler, Shop
from .test_guests import COOKIE, SECRET, MakeShop

PUBLIC = {"cache-control": "public, max-age=600", "cdn-cache-control": "max-age=600", "etag": '"1"'}


@pytest.fixture
def emporix() -> FakeEmporix:
    return FakeEmporix(context_at="login", now=lambda: 1_800_000_000.0 + asyncio.get_running_loop().time())


async def plain(ctx: SessionContext, _: Request) -> Response:
    await ctx
    return Response("page", headers=PUBLIC)


async def streamed(ctx: SessionContext, _: Request) -> Response:
    await ctx

    async def body() -> AsyncIterator[str]:
        yield "a"
        yield str(ctx.currency)

    return StreamingResponse(body(), headers=PUBLIC)


async def redirect(ctx: SessionContext, _: Request) -> Response:
    await ctx
    return RedirectResponse("/elsewhere", 303, headers=PUBLIC)


async def not_modified(ctx: SessionContext, _: Request) -> Response:
    await ctx
    return Response(status_code=304, headers=PUBLIC)


async def no_content(ctx: SessionContext, _: Request) -> Response:
    await ctx
    return Response(status_code=204, headers=PUBLIC)


async def error_page(ctx: SessionContext, _: Request) -> Response:
    await ctx
    return Response("sorry", 503, headers=PUBLIC)


async def raised(ctx: SessionContext, _: Request) -> Response:
    await ctx
    raise HTTPException(404, headers=PUBLIC)


async def unprocessable(ctx: SessionContext, _: Request) -> Response:
    await ctx
    ctx.switch(currency="nonsense")
    raise AssertionError


async def with_a_task(ctx: SessionContext, _: Request) -> Response:
    await ctx
    return JSONResponse({}, headers=PUBLIC, background=BackgroundTask(lambda: None))


async def a_file(ctx: SessionContext, _: Request) -> Response:
    await ctx
    return FileResponse(__file__, headers=PUBLIC, media_type="text/plain")


KINDS: tuple[Handler, ...] = (
    plain,
    streamed,
    redirect,
    not_modified,
    no_content,
    error_page,
    raised,
    unprocessable,
    with_a_task,
    a_file,
)


def check(answer: httpx2.Response) -> None:
    assert [each for each in answer.headers.get_list("set-cookie") if COOKIE in each]
    assert is_private(answer.headers.raw)
    assert "cookie" in answer.headers["vary"].lower()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_kinds(kind: Handler, method: str, make_shop: MakeShop) -> None:
    """Begun or refreshed: no shared cache keeps the response, though the application wants it to."""
    shop = make_shop(token=StorefrontSessions("storefront"), secret_key=SECRET)
    check(await shop.visit(kind, method=method))
    await asyncio.sleep(3500.0)
    check(await shop.visit(kind, method=method))


async def test_preloaded(make_shop: MakeShop) -> None:
    """A page that reads nothing is private as well where loading ahead of it has begun a session."""
    shop = make_shop(token=StorefrontSessions("storefront"), secret_key=SECRET, preload=True)

    async def reads_nothing(_: SessionContext, __: Request) -> Response:
        return Response("page", headers=PUBLIC)

    check(await shop.visit(reads_nothing))
    later = await shop.visit(reads_nothing)
    assert not later.headers.get_list("set-cookie")
    assert later.headers["cache-control"] == PUBLIC["cache-control"]


async def test_server_error(emporix: FakeEmporix, http_library: Any) -> None:
    """The page that Starlette makes of an exception is private where the middleware is around the whole application."""

    async def fails(request: Request) -> Response:
        await request.state.session_ctx
        raise LookupError

    async def sorry(_: Request, __: Exception) -> Response:
        return Response("sorry", 500, headers=PUBLIC)

    client = emporix.client(http_library, base_url="http://emporix.test")
    shop = Starlette(routes=[Route("/", fails)], exception_handlers={500: sorry})
    app = SessionContextMiddleware(
        shop, tenant="acme", token=StorefrontSessions("storefront"), secret_key=SECRET, http_client=client
    )
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="https://shop.test") as browser:
        check(await browser.get("/"))
    await app.aclose()
    await client.aclose()


@pytest.mark.parametrize("where", ["body", "task"])
async def test_too_late(where: str, make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """What is touched first when the response has started begins no session, as nobody could keep it."""
    shop: Shop = make_shop(token=StorefrontSessions("storefront"), secret_key=SECRET)

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        async def late() -> None:
            await ctx
            assert not ctx.has_token

        async def body() -> AsyncIterator[str]:
            yield "a"
            if where == "body":
                await late()

        return StreamingResponse(body(), background=BackgroundTask(late) if where == "task" else None)

    answer = await shop.visit(endpoint)
    assert not answer.headers.get_list("set-cookie")
    assert emporix.count("anonymous.login") == 0


async def test_nothing_to_keep(make_shop: MakeShop) -> None:
    """A page that uses nothing stays as public as it is."""
    shop = make_shop(token=StorefrontSessions("storefront"), secret_key=SECRET)

    async def public(_: SessionContext, __: Request) -> Response:
        return Response("page", headers=PUBLIC)

    answer = await shop.visit(public)
    assert answer.headers["cache-control"] == PUBLIC["cache-control"]
    assert "vary" not in answer.headers
