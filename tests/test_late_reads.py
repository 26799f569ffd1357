"""What is touched when the response is no longer ours to change is reported, or refused in strict mode."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from session_ctx_middleware import (
    ContextEvent,
    SessionContext,
    SessionContextMiddleware,
    SharedCacheLeak,
    get_session_context,
)
from session_ctx_middleware.testing import FakeEmporix

from .support.asgi import middleware, scope_for
from .support.shop import Shop
from .support.virtual_time import VirtualClock

Touch = Callable[[SessionContext], Awaitable[object]]


async def awaiting(ctx: SessionContext) -> str:
    return (await ctx).currency or ""


async def reading_what_was_preloaded(ctx: SessionContext) -> str:
    return ctx.currency or ""


TOUCHES: list[Touch] = [awaiting, reading_what_was_preloaded, SessionContext.load, SessionContext.refresh]


def streaming(touch: Touch, **headers: str) -> Callable[[SessionContext, Request], Awaitable[Response]]:
    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            yield "<p>"
            yield f"{await touch(ctx)} {ctx.currency} {ctx.customer_id}"

        return StreamingResponse(body(), headers={name.replace("_", "-"): value for name, value in headers.items()})

    return endpoint


# A streamed body


@pytest.mark.parametrize("headers", [{}, {"Cache_Control": "public, max-age=600"}, {"X_Accel_Expires": "600"}], ids=str)
async def test_awaited_before_a_streamed_body(shop: Shop, emporix: FakeEmporix, headers: dict[str, str]) -> None:
    """A page that awaits the context, and reads it inside its streamed body, is private from the start."""
    session = emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, request: Request) -> Response:
        await ctx
        return await streaming(reading_what_was_preloaded, **headers)(ctx, request)

    response = await shop.visit(endpoint, token=session.token)

    assert "EUR" in response.text
    assert response.headers["vary"] == "Authorization"
    assert "private" in response.headers["cache-control"]
    assert "public" not in response.headers["cache-control"]
    assert response.headers.get("x-accel-expires", "0") == "0"
    assert not shop.named("leak.late")


@pytest.mark.parametrize("headers", [{}, {"Cache_Control": "max-age=60"}, {"Cache_Control": "public"}], ids=str)
@pytest.mark.parametrize("touch", TOUCHES, ids=lambda touch: touch.__name__)
async def test_first_touched_in_a_streamed_body(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, touch: Touch, headers: dict[str, str]
) -> None:
    """Whoever touches the context first inside the body is reported once: even a page that says nothing may be kept."""
    shop = make_shop(preload=True)

    response = await shop.visit(streaming(touch, **headers), token=emporix.new_session(currency="EUR").token)

    assert "EUR" in response.text
    assert len(shop.named("leak.late")) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Cache_Control": "private"},
        {"Cache_Control": "max-age=60, Private"},
        {"Cache_Control": "no-store"},
        {"Cache_Control": "private", "CDN_Cache_Control": "no-store", "X_Accel_Expires": "0"},
    ],
    ids=str,
)
async def test_private_stream(make_shop: Callable[..., Shop], emporix: FakeEmporix, headers: dict[str, str]) -> None:
    """What the application has made private by itself is nothing to report, and passes in strict mode."""
    shop = make_shop(strict=True)

    response = await shop.visit(streaming(awaiting, **headers), token=emporix.new_session(currency="EUR").token)

    assert "EUR" in response.text
    assert not shop.named("leak.late")


@pytest.mark.parametrize(
    "headers",
    [
        {"Cache_Control": "private", "CDN_Cache_Control": "max-age=60"},
        {"Cache_Control": "private, s-maxage=60"},
        {"Cache_Control": 'private="set-cookie"'},
        {"Cache_Control": "no-store, must-understand"},
        {"Cache_Control": "no-cache"},
    ],
    ids=str,
)
async def test_almost_private_stream(
    make_shop: Callable[..., Shop], emporix: FakeEmporix, headers: dict[str, str]
) -> None:
    """What is private for some caches alone is not."""
    shop = make_shop()

    await shop.visit(streaming(awaiting, **headers), token=emporix.new_session(currency="EUR").token)

    assert len(shop.named("leak.late")) == 1


@pytest.mark.parametrize("touch", TOUCHES, ids=lambda touch: touch.__name__)
async def test_strict_stream(make_shop: Callable[..., Shop], emporix: FakeEmporix, touch: Touch) -> None:
    """In strict mode nobody gets a value that the response would show to others."""
    shop, seen = make_shop(strict=True, preload=True), []

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            yield "<p>"
            for _ in range(2):
                with pytest.raises(SharedCacheLeak, match="private") as leak:
                    await touch(ctx)
                seen.append(leak.value)

        return StreamingResponse(body())

    response = await shop.visit(endpoint, token=emporix.new_session(currency="EUR").token)

    assert response.text == "<p>"
    assert len(seen) == len(shop.named("leak.late")) == 2


async def test_late_change_is_no_leak(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A background task may record changes for a page that is the same for everybody."""
    shop, session = make_shop(strict=True), emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        async def note() -> None:
            async with ctx.late_changes():
                ctx.set_attribute("seen", "home")

        return PlainTextResponse("x", headers={"Cache-Control": "public"}, background=BackgroundTask(note))

    response = await shop.visit(endpoint, token=session.token)

    assert response.headers["cache-control"] == "public"
    assert not shop.named("leak.late")
    assert emporix.count("context.patch") == 1


async def test_late_change_hides_no_late_read(make_shop: Callable[..., Shop], emporix: FakeEmporix) -> None:
    """A change in a streamed body does not make the reading of it unseen."""
    shop = make_shop(preload=True)

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            async with ctx.late_changes():
                ctx.switch_currency("USD")
                yield ctx.currency or ""

        return StreamingResponse(body())

    response = await shop.visit(endpoint, token=emporix.new_session(currency="EUR").token)

    assert response.text == "USD"
    assert len(shop.named("leak.late")) == 1


# Outside of the middleware


class Outside:
    """An application with error pages and a middleware around ours.

    Args:
        emporix: the platform.
        outer: a middleware that stands around ours.
        handlers: of exceptions.
        options: keywords of the middleware.
    """

    def __init__(
        self, emporix: FakeEmporix, *, outer: Any = None, handlers: Any = None, inside: bool = True, **options: Any
    ) -> None:
        self.events: list[ContextEvent] = []
        keywords = {
            "tenant": "acme",
            "http_client": emporix.client(httpx2),
            "clock": VirtualClock(),
            "on_event": self.events.append,
            **options,
        }
        ours = [Middleware(SessionContextMiddleware, **keywords)] if inside else []
        self.app: Any = Starlette(
            routes=[Route("/{name}", self._page)],
            middleware=[*([Middleware(outer)] if outer else []), *ours],
            exception_handlers=handlers,
        )
        if not inside:
            self.app = SessionContextMiddleware(self.app, **keywords)

    async def _page(self, request: Request) -> Response:
        ctx = get_session_context(request)
        if request.path_params["name"] == "breaks-after-reading":
            assert (await ctx).currency
        if request.path_params["name"].startswith("breaks"):
            raise KeyError
        if request.path_params["name"] == "reads":
            assert (await ctx).currency
        return PlainTextResponse("the same for all")

    async def get(self, path: str, token: str) -> httpx2.Response:
        transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="https://shop.test") as browser:
            return await browser.get(path, headers={"Authorization": f"Bearer {token}"})

    @property
    def late(self) -> list[ContextEvent]:
        return [event for event in self.events if event.name == "leak.late"]


async def error_page(request: Request, _: Exception) -> Response:
    ctx = await get_session_context(request)
    return HTMLResponse(f"Sorry. Prices in {ctx.currency}", 500)


@pytest.mark.parametrize("page", ["/breaks", "/breaks-after-reading"])
async def test_error_page_outside(emporix: FakeEmporix, page: str) -> None:
    """The 500 handler of Starlette runs outside of all middlewares: what it shows is reported."""
    shop = Outside(emporix, handlers={500: error_page})

    response = await shop.get(page, emporix.new_session(currency="EUR").token)

    assert response.text == "Sorry. Prices in EUR"
    assert "cache-control" not in response.headers
    assert len(shop.late) == 1


@pytest.mark.parametrize("page", ["/breaks", "/breaks-after-reading"])
async def test_error_page_inside(emporix: FakeEmporix, page: str) -> None:
    """Around the whole application the middleware covers its error pages, too."""
    shop = Outside(emporix, handlers={500: error_page}, inside=False, strict=True)

    response = await shop.get(page, emporix.new_session(currency="EUR").token)

    assert response.text == "Sorry. Prices in EUR"
    assert response.headers["cache-control"] == "private"
    assert response.headers["vary"] == "Authorization"
    assert not shop.late


async def test_error_page_in_strict_mode(emporix: FakeEmporix) -> None:
    """In strict mode the handler outside gets no value."""
    shop = Outside(emporix, handlers={500: error_page}, strict=True)

    with pytest.raises(SharedCacheLeak, match="outside of the middleware"):
        await shop.app(scope_for(emporix.new_session(currency="EUR").token, path="/breaks"), _request, _nowhere)
    assert len(shop.late) == 1


async def test_handler_of_another_exception(emporix: FakeEmporix) -> None:
    """The handler of any other exception runs inside, and its page is private."""
    shop = Outside(emporix, handlers={KeyError: error_page}, strict=True)

    response = await shop.get("/breaks", emporix.new_session(currency="EUR").token)

    assert response.headers["cache-control"] == "private"
    assert not shop.late


async def test_leak_with_an_error_page(emporix: FakeEmporix) -> None:
    """The page that Starlette shows for a refused leak is outside, too."""
    shop = Outside(emporix, handlers={500: error_page}, strict=True)

    async def inviting(request: Request) -> Response:
        await get_session_context(request)
        return PlainTextResponse("x", headers={"Cache-Control": "public"})

    shop.app.router.routes.insert(0, Route("/inviting", inviting))

    with pytest.raises(SharedCacheLeak):
        await shop.app(scope_for(emporix.new_session(currency="EUR").token, path="/inviting"), _request, _nowhere)
    assert len(shop.late) == 1


class Banner(BaseHTTPMiddleware):
    """Adds to each page what the shopper has chosen."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        response = await call_next(request)
        response.headers["x-currency"] = (await get_session_context(request)).currency or ""
        return response  # type: ignore[no-any-return]


async def test_middleware_outside(emporix: FakeEmporix) -> None:
    """What a middleware outside shows is reported where the page itself was not private."""
    shop = Outside(emporix, outer=Banner)
    token = emporix.new_session(currency="EUR").token

    same = await shop.get("/same", token)
    assert (same.headers["x-currency"], len(shop.late)) == ("EUR", 1)

    read = await shop.get("/reads", token)
    assert (read.headers["cache-control"], len(shop.late)) == ("private", 1)


class Composer:
    """Sends an answer of its own when the application has sent none."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)
        currency = scope["state"]["session_ctx"].currency
        await PlainTextResponse(currency)(scope, receive, send)


async def test_answer_made_outside(emporix: FakeEmporix, http_library: Any) -> None:
    """An application may leave the answer to somebody outside."""
    events: list[ContextEvent] = []

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        await scope["state"]["session_ctx"]

    inner = middleware(silent, emporix, http_library, on_event=events.append)

    await Composer(inner)(scope_for(emporix.new_session(currency="EUR").token), _request, _nowhere)

    assert [event.name for event in events if event.name.startswith("leak.")] == ["leak.late"]


async def test_websocket_is_never_late(emporix: FakeEmporix, http_library: Any) -> None:
    """No cache keeps what a WebSocket says."""
    events: list[ContextEvent] = []
    read: list[str] = []

    async def talk(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    async def outside(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope, receive, send)
        read.append((await scope["state"]["session_ctx"]).currency)

    inner = middleware(talk, emporix, http_library, on_event=events.append, strict=True)

    await outside(scope_for(emporix.new_session(currency="EUR").token, type="websocket"), _request, _nowhere)

    assert read == ["EUR"]
    assert not [event for event in events if event.name.startswith("leak.")]


async def _request() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _nowhere(message: Any) -> None:
    pass
