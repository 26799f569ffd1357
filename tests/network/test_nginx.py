"""A real nginx in front, which keeps all that it may: it never serves what one shopper chose to another one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from session_ctx_middleware import (
    BearerToken,
    ContextEvent,
    CookieToken,
    SessionContext,
    SessionContextMiddleware,
    get_session_context,
)
from session_ctx_middleware.testing import FakeEmporix

from ..support.nginx import caching_proxy
from ..support.redis_server import free_port
from .backend import WebServer

pytestmark = [pytest.mark.network, pytest.mark.nginx]

SHOPPERS = ("canary-anna", "canary-ben")
SECRET = "the same 32 bytes on every worker of a shop"
FAR_AWAY = "Thu, 01 Dec 2094 16:00:00 GMT"
Page = Callable[[SessionContext, Request], Awaitable[Response]]
Browse = Callable[..., Awaitable[httpx.AsyncClient]]


async def name_of(ctx: SessionContext) -> str:
    return str((await ctx).attributes.get("name", "nobody"))


# One page for each kind of response; each shows, somewhere, whose it is.


async def plain(ctx: SessionContext, _: Request) -> Response:
    return HTMLResponse(f"<p>{await name_of(ctx)}</p>")


async def streamed(ctx: SessionContext, _: Request) -> Response:
    name = await name_of(ctx)

    async def body() -> AsyncIterator[str]:
        yield "<p>"
        yield name

    return StreamingResponse(body(), media_type="text/html")


async def read_while_streaming(ctx: SessionContext, _: Request) -> Response:
    await ctx

    async def body() -> AsyncIterator[str]:
        yield "<p>"
        await asyncio.sleep(0)
        yield str(ctx.attributes.get("name"))

    return StreamingResponse(body(), media_type="text/html")


async def not_found(ctx: SessionContext, _: Request) -> Response:
    raise HTTPException(404, f"Nothing here, {await name_of(ctx)}")


async def error_page(ctx: SessionContext, _: Request) -> Response:
    return HTMLResponse(f"Sorry, {await name_of(ctx)}", 503)


async def broken(ctx: SessionContext, _: Request) -> Response:
    await ctx
    raise KeyError


async def redirect(ctx: SessionContext, _: Request) -> Response:
    return RedirectResponse(f"/of/{await name_of(ctx)}", 302)


async def moved_for_good(ctx: SessionContext, _: Request) -> Response:
    return RedirectResponse(f"/of/{await name_of(ctx)}", 301)


async def header_only(ctx: SessionContext, _: Request) -> Response:
    return Response(headers={"X-Name": await name_of(ctx)})


async def conditional(ctx: SessionContext, request: Request) -> Response:
    name = await name_of(ctx)
    headers = {"ETag": f'"{name}"', "Last-Modified": "Thu, 01 Dec 2022 16:00:00 GMT"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return HTMLResponse(name, headers=headers)


async def one_tag_for_all(ctx: SessionContext, request: Request) -> Response:
    headers = {"ETag": '"page-1"'}
    if request.headers.get("if-none-match"):
        await ctx
        return Response(status_code=304, headers=headers)
    return HTMLResponse(await name_of(ctx), headers=headers)


async def background(ctx: SessionContext, _: Request) -> Response:
    async def later() -> None:
        async with ctx.late_changes():
            ctx.set_attribute("seen", "home")

    return HTMLResponse(await name_of(ctx), background=BackgroundTask(later))


async def changing(ctx: SessionContext, _: Request) -> Response:
    name = await name_of(ctx)
    ctx.set_attribute("last", name)
    return JSONResponse(ctx.to_dict())


def said(headers: dict[str, str]) -> Page:
    """Return a page that says about caches what no personal page should."""

    async def page(ctx: SessionContext, _: Request) -> Response:
        return HTMLResponse(await name_of(ctx), headers=headers)

    return page


PAGES: dict[str, Page] = {
    "plain": plain,
    "streamed": streamed,
    "read-while-streaming": read_while_streaming,
    "not-found": not_found,
    "error-page": error_page,
    "broken": broken,
    "redirect": redirect,
    "moved-for-good": moved_for_good,
    "header-only": header_only,
    "conditional": conditional,
    "one-tag-for-all": one_tag_for_all,
    "background": background,
    "changing": changing,
    "public": said({"Cache-Control": "public, max-age=600"}),
    "shared": said({"Cache-Control": "max-age=0, s-maxage=600"}),
    "expires": said({"Expires": FAR_AWAY}),
    "accel": said({"X-Accel-Expires": "600"}),
    "accel-at": said({"X-Accel-Expires": "@4070908800", "Cache-Control": "private"}),
    "targeted": said({"CDN-Cache-Control": "max-age=600", "Surrogate-Control": "max-age=600"}),
    "vary": said({"Vary": "Accept-Encoding", "Cache-Control": "max-age=600"}),
}


class Shop:
    """The pages behind a server, and nginx in front of that.

    Args:
        emporix: the platform.
        files: where files of shoppers are.
        options: keywords of the middleware.
    """

    def __init__(self, emporix: FakeEmporix, files: Path, **options: Any) -> None:
        self.emporix = emporix
        self.events: list[ContextEvent] = []
        self._files = files
        routes = [Route(f"/{name}", self._endpoint(page)) for name, page in PAGES.items()]
        routes += [Route("/file", self._endpoint(self._file)), Route("/late", self._endpoint(late))]
        routes += [Route("/same", same), Route("/unguarded", unguarded), Route("/ready", same)]
        app = Starlette(routes=routes, exception_handlers={500: sorry, HTTPException: told})
        self.app = SessionContextMiddleware(
            app,
            tenant="acme",
            token=[CookieToken("t"), BearerToken()],
            http_client=emporix.client(httpx),
            on_event=self.events.append,
            **options,
        )

    def _endpoint(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return await page(get_session_context(request), request)

        return endpoint

    async def _file(self, ctx: SessionContext, _: Request) -> Response:
        return FileResponse(self._files / f"{await name_of(ctx)}.txt")


async def late(ctx: SessionContext, _: Request) -> Response:
    """Touch the context when it is too late."""

    async def body() -> AsyncIterator[str]:
        yield "<p>"
        yield await name_of(ctx)

    return StreamingResponse(body(), media_type="text/html")


async def same(request: Request) -> Response:
    return HTMLResponse("the same for all")


async def unguarded(request: Request) -> Response:
    """Show whose page it is without asking the context, as pages did before."""
    return HTMLResponse(f"page of {request.cookies.get('name')}")


async def sorry(request: Request, _: Exception) -> Response:
    return HTMLResponse(f"Sorry, {await name_of(get_session_context(request))}", 500)


async def told(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return HTMLResponse(error.detail, error.status_code)


@pytest.fixture
def emporix() -> FakeEmporix:
    return FakeEmporix()


@pytest.fixture
async def browse(emporix: FakeEmporix, tmp_path: Path, nothing_left: None) -> AsyncIterator[Browse]:
    """Open a shop behind nginx, and return a browser that keeps nothing."""
    files = tmp_path / "files"
    files.mkdir()
    for name in (*SHOPPERS, "nobody"):
        (files / f"{name}.txt").write_text(f"file of {name}")
    async with contextlib.AsyncExitStack() as stack:

        async def browse(shop: Shop, **options: Any) -> httpx.AsyncClient:
            server = WebServer(shop.app)
            stack.push_async_callback(server.aclose)
            await server.start()
            home = tmp_path / "nginx"
            home.mkdir()
            proxy = caching_proxy(home, free_port(), server.port, **options)
            address = await stack.enter_async_context(proxy)
            return await stack.enter_async_context(httpx.AsyncClient(base_url=address, trust_env=False, timeout=30))

        yield browse


def shoppers(emporix: FakeEmporix) -> dict[str, str]:
    return {name: emporix.new_session(attributes={"name": name}).token for name in SHOPPERS}


def with_cookie(token: str, name: str) -> dict[str, str]:
    return {"Cookie": f"t={token}; name={name}"}


def with_header(token: str, _: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def others_in(answer: httpx.Response, name: str) -> list[str]:
    """Return which other shoppers an answer tells something about."""
    text = answer.text + str(sorted(answer.headers.multi_items()))
    return [other for other in SHOPPERS if other != name and other in text]


REQUESTS: list[tuple[str, dict[str, str]]] = [
    ("GET", {}),
    ("HEAD", {}),
    ("GET", {"Range": "bytes=0-5"}),
    ("GET", {"If-None-Match": '"canary-anna"'}),
    ("GET", {"If-None-Match": '"page-1"'}),
    ("GET", {"Cache-Control": "no-cache", "Pragma": "no-cache"}),
    ("GET", {"Accept-Encoding": "gzip"}),
]


@pytest.mark.parametrize("secret", [None, SECRET], ids=["no cookies of ours", "continuity"])
@pytest.mark.parametrize("sent", [with_cookie, with_header], ids=["token in a cookie", "token in a header"])
async def test_no_shopper_sees_another_one(
    emporix: FakeEmporix,
    browse: Browse,
    tmp_path: Path,
    sent: Callable[[str, str], dict[str, str]],
    secret: str | None,
) -> None:
    """Every kind of response, asked for in every way, in turns."""
    shop = Shop(emporix, tmp_path / "files", secret_key=secret)
    browser = await browse(shop)
    tokens = shoppers(emporix)
    shown: dict[str, set[str]] = {}

    for path in (*PAGES, "file"):
        for method, headers in REQUESTS:
            for name in (*SHOPPERS, SHOPPERS[0]):
                answer = await browser.request(method, f"/{path}", headers={**sent(tokens[name], name), **headers})
                assert others_in(answer, name) == [], (path, method, headers)
                assert answer.headers.get("x-cache") != "HIT", (path, method, headers)
                shown.setdefault(path, set()).update({name} if name in answer.text + str(answer.headers) else ())
            answer = await browser.request(method, f"/{path}", headers=headers)
            assert others_in(answer, "nobody") == [], (path, method, headers)

    assert {path for path, names in shown.items() if names != set(SHOPPERS)} == set()
    assert not [event for event in shop.events if event.name == "leak.late"]


async def test_careless_operator(emporix: FakeEmporix, browse: Browse, tmp_path: Path) -> None:
    """Where somebody has told nginx to keep everything all the same, `Vary` keeps shoppers apart."""
    browser = await browse(Shop(emporix, tmp_path / "files"), careless=True)
    tokens = shoppers(emporix)
    hits = 0

    for path in (*PAGES, "file"):
        for name in (*SHOPPERS, *SHOPPERS):
            answer = await browser.get(f"/{path}", headers=with_cookie(tokens[name], name))
            assert others_in(answer, name) == [], path
            hits += answer.headers["x-cache"] == "HIT"
        assert others_in(await browser.get(f"/{path}"), "nobody") == [], path

    assert hits >= len(PAGES)


async def test_nginx_keeps_what_it_may(emporix: FakeEmporix, browse: Browse, tmp_path: Path) -> None:
    """A page that is the same for all is kept, also when it was loaded ahead; a page with a leak would be noticed."""
    browser = await browse(Shop(emporix, tmp_path / "files", preload=True))
    anna, ben = (with_cookie(token, name) for name, token in shoppers(emporix).items())

    same = [await browser.get("/same", headers=headers) for headers in (anna, ben)]
    leaking = [await browser.get("/unguarded", headers=headers) for headers in (anna, ben)]

    assert [answer.headers["x-cache"] for answer in same] == ["MISS", "HIT"]
    assert others_in(leaking[1], "canary-ben") == ["canary-anna"]


async def test_what_is_too_late(emporix: FakeEmporix, browse: Browse, tmp_path: Path) -> None:
    """In strict mode a body that becomes personal when it is too late is cut, and nginx keeps nothing of it."""
    shop = Shop(emporix, tmp_path / "files", strict=True)
    browser = await browse(shop)

    for name, token in shoppers(emporix).items():
        try:
            answer = await browser.get("/late", headers=with_cookie(token, name))
        except httpx.RemoteProtocolError:
            continue
        assert others_in(answer, name) == []
        assert name not in answer.text

    assert len([event for event in shop.events if event.name == "leak.late"]) >= 2


async def test_validation_of_what_was_kept(emporix: FakeEmporix, browse: Browse, tmp_path: Path) -> None:
    """A page that was the same for all and has become personal is not served from what was kept of it before."""
    shop = Shop(emporix, tmp_path / "files")
    browser = await browse(shop, revalidate=True)
    anna, ben = shoppers(emporix).items()
    turned = asyncio.Event()

    async def page(request: Request) -> Response:
        headers = {"ETag": '"page-1"', "Cache-Control": "max-age=1"}
        if turned.is_set():
            name = await name_of(get_session_context(request))
            return HTMLResponse(name, headers={"ETag": f'"{name}"'})
        return HTMLResponse("the same for all", headers=headers)

    shop.app.app.router.routes.insert(0, Route("/turning", page))  # type: ignore[attr-defined]
    before = await browser.get("/turning")
    turned.set()
    while (answer := await browser.get("/turning", headers=with_cookie(anna[1], anna[0]))).text == before.text:
        await asyncio.sleep(0.1)
    after = await browser.get("/turning", headers=with_cookie(ben[1], ben[0]))

    assert before.headers["x-cache"] == "MISS"
    assert (answer.text, after.text) == (anna[0], ben[0])
