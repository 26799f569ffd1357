"""The panel changes nothing of what it shows, keeps little, tells nobody, and is not there where it is off."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from session_ctx_middleware import (
    ContinuityPolicy,
    SessionContext,
    SessionContextMiddleware,
    StorefrontToken,
    get_session_context,
)
from session_ctx_middleware.debug_panel import DebugPanel
from session_ctx_middleware.debug_panel.records import RequestRecord
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..support.asgi import Message, never, scope_for
from ..support.shop import Shop
from ..support.virtual_time import VirtualClock
from .reading import load, request_texts, text_of

MakeShop = Callable[..., Shop]
SECRET = "a secret that all workers of this shop share"
GUEST: dict[str, Any] = {"site_code": "main", "currency": "EUR", "language": "de", "target_location": "AT"}
VARIANT = {"Session-Variant": "acme~main~EUR~de~AT", "Cookie": "session_variant=acme~main~EUR~de~AT"}


async def currency(ctx: SessionContext, _: Request) -> str:
    return (await ctx).currency or ""


async def shared(ctx: SessionContext, _: Request) -> str:
    await ctx
    ctx.share_by_variant(300)
    return f"{ctx.site_code} {ctx.currency} {ctx.language} {ctx.target_location}"


async def unread(_: SessionContext, __: Request) -> PlainTextResponse:
    return PlainTextResponse("for everybody", headers={"Cache-Control": "public, max-age=60"})


async def switched(ctx: SessionContext, _: Request) -> str:
    ctx.switch(currency="USD")
    return ctx.currency or ""


@pytest.mark.parametrize(
    ("handler", "headers"),
    [(currency, {}), (shared, VARIANT), (unread, {}), (switched, {}), (switched, {"Authorization": "Bearer nobody"})],
    ids=["read", "shared", "unread", "switched", "rejected"],
)
@pytest.mark.parametrize("options", [{}, {"preload": True}, {"secret_key": SECRET}], ids=["plain", "preload", "notes"])
async def test_same_answer(make_shop: MakeShop, handler: Any, headers: dict[str, str], options: dict[str, Any]) -> None:
    """With the panel a shop answers, tells and asks as it does without: looking is not touching."""
    seen = []
    for panel in (None, DebugPanel()):
        emporix = FakeEmporix(now=lambda: 1_800_000_000.0 + asyncio.get_running_loop().time())
        token = emporix.new_session(**GUEST).token
        shop = make_shop(emporix=emporix, debug_panel=panel, **options)
        answer = await shop.visit(handler, headers={"Authorization": f"Bearer {token}", **headers})
        names = [name for name, _ in answer.headers.multi_items()]
        kept = {name: answer.headers.get(name) for name in ("cache-control", "vary", "content-length")}
        told = [(event.name, event.outcome) for event in shop.events if event.name != "panel.on"]
        seen.append((answer.status_code, answer.text, names, kept, told, [call.operation for call in emporix.calls]))

    assert seen[0] == seen[1]


async def test_streams(emporix: FakeEmporix) -> None:
    """Streamed answers go out piece by piece, as they were, and what they do late is noted."""
    session, sent = emporix.new_session(currency="EUR"), list[Message]()
    emporix.fault("context.patch", Fault(delay=1.0))

    async def page(request: Request) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            for piece in (b"one", b"two"):
                yield piece
                await asyncio.sleep(1)
            async with get_session_context(request).late_changes() as ctx:
                ctx.switch(currency="USD")

        await get_session_context(request)
        return StreamingResponse(body())

    panel = DebugPanel()
    app = SessionContextMiddleware(
        Starlette(routes=[Route("/", page)]),
        tenant="acme",
        http_client=emporix.client(httpx2),
        store=MemoryStore(clock=VirtualClock()),
        clock=VirtualClock(),
        debug_panel=panel,
    )
    times = []

    async def send(message: Message) -> None:
        sent.append(message)
        times.append(asyncio.get_running_loop().time())

    began = asyncio.get_running_loop().time()
    serving = asyncio.create_task(app(scope_for(session.token), never, send))
    await asyncio.sleep(0.5)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as browser:
        (open_,) = await request_texts(browser)
        await serving
        (ended,) = await request_texts(browser)

    assert [each.get("body") for each in sent[1:]] == [b"one", b"two", b""]
    assert [round(each - began) for each in times] == [0, 0, 1, 3]
    assert "GET / 200 miss 1 call 500.0 ms" in open_
    assert "currency EUR document (not read) USD" in ended.replace("USD document", "EUR document").replace(
        "EUR EUR", "EUR"
    )
    assert "commit.applied late_changes" in ended


def test_websockets() -> None:
    """A WebSocket goes on as ever, and is listed while it is open and after."""
    emporix = FakeEmporix()
    session = emporix.new_session(currency="EUR")

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        ctx = get_session_context(websocket)
        async for text in websocket.iter_text():
            ctx.switch(currency=text)
            await websocket.send_text(str(await ctx.commit()))

    app = Starlette(
        routes=[WebSocketRoute("/live/{room}", socket)],
        middleware=[
            Middleware(
                SessionContextMiddleware,
                tenant="acme",
                http_client=emporix.client(httpx2),
                debug_panel=DebugPanel(),
                store=MemoryStore(),
            )
        ],
    )
    with TestClient(app, base_url="http://localhost", client=("127.0.0.1", 1)) as browser:
        with browser.websocket_connect("/live/7", headers={"Authorization": f"Bearer {session.token}"}) as websocket:
            websocket.send_text("USD")
            assert websocket.receive_text() == "Commit.APPLIED"
            opened = text_of(browser.get("/__session_ctx").text)
        closed = text_of(browser.get("/__session_ctx").text)

    assert "WebSocket /live/7 open not loaded 1 change, applied" in opened
    assert "WebSocket /live/{room} not loaded 1 change" in closed
    assert "commit.applied commit, applied, 1 attempt" in closed


async def test_several_middlewares(emporix: FakeEmporix) -> None:
    """One panel for a shop and one inside it shows the requests of both, each with its calls, and by name."""
    platforms = {tenant: FakeEmporix(tenant, seed=1, now=emporix.now) for tenant in ("outer", "inner")}
    token = platforms["outer"].new_session(currency="EUR").token
    assert platforms["inner"].new_session(currency="JPY").token == token
    panel = DebugPanel()

    async def page(request: Request) -> PlainTextResponse:
        ctx = get_session_context(request)
        ctx.switch(language="fr")
        return PlainTextResponse((await ctx).currency)

    def around(app: Any, tenant: str) -> Any:
        options: dict[str, Any] = {"tenant": tenant, "http_client": platforms[tenant].client(httpx2)}
        return SessionContextMiddleware(app, clock=VirtualClock(), store=MemoryStore(), debug_panel=panel, **options)

    async def touching(scope: Any, receive: Any, send: Any) -> None:
        """Change the outer shop's context around what the inner shop does."""
        if "session_ctx" in scope.get("state", {}) and scope["path"] == "/inner/":
            scope["state"]["session_ctx"].switch(currency="USD")
        await routes(scope, receive, send)

    inner = around(around(Starlette(routes=[Route("/", page)]), "inner"), "inner")
    routes = Starlette(routes=[Route("/", page), Mount("/inner", inner)])
    app = around(touching, "outer")
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as browser:
        for path in ("/", "/inner/"):
            await browser.get(path, headers={"Authorization": f"Bearer {token}"})
        texts = await request_texts(browser)

    by_tenant = sorted((text.split()[1], text) for text in texts)
    assert [tenant for tenant, _ in by_tenant] == ["inner", "outer", "outer"]
    assert all(text.count("commit.applied") == 1 for _, text in by_tenant)
    assert "JPY" in by_tenant[0][1]


CANARIES = (
    "tokencanary",
    "sessioncanary",
    "valuecanary",
    "cartcanary",
    "cookiecanary",
    "customercanary",
    "querycanary",
)


async def test_canary(make_shop: MakeShop, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """No token, cookie, query, id or value of an attribute is on the page, and no value at all in a log or event."""
    caplog.set_level(logging.DEBUG)
    token, cart = "tokencanary" + "x" * 20, "cartcanary-0123456789abcdef"
    session = emporix.new_session(
        currency="EUR", site_code="sitecanary", customer_id="customercanary", cart_id=cart,
        attributes={"gift": "valuecanary", "deep": {"er": "valuecanary"}},
    )  # fmt: skip
    world = emporix._world
    world.sessions["sessioncanary"] = world.sessions.pop(session.session_id)
    world.sessions["sessioncanary"].session_id = "sessioncanary"
    emporix.edit("sessioncanary", sessionId="sessioncanary")
    world.access[token] = world.access[session.token]
    shop = make_shop(
        token=lambda _: StorefrontToken(token, session_id="sessioncanary"),
        secret_key=SECRET,
        continuity=ContinuityPolicy(document=True),
        debug_panel=DebugPanel(),
    )

    async def page(ctx: SessionContext, _: Request) -> None:
        await ctx
        assert ctx.cart_id == cart
        read = (ctx.attributes, ctx.document, ctx.session_id, ctx.customer_id, ctx.to_dict(), ctx.pending, repr(ctx))
        assert all(read[:-2])
        ctx.set_attribute("gift", "valuecanary-2")
        ctx.switch(site_code="sitecanary2")

    async def fails(ctx: SessionContext, _: Request) -> None:
        ctx.set_attribute("gift", "valuecanary-3")
        raise KeyError("valuecanary")

    for fault in (None, Fault(status=500, body=b"valuecanary"), Fault(status=422, body={"message": "valuecanary"})):
        if fault is not None:
            emporix.fault("context.patch", fault, times=None)
        await shop.visit(page, headers={"Cookie": "other=cookiecanary", "Referer": "http://x/?q=querycanary"})
        with pytest.raises(KeyError):
            await shop.visit(fails, headers={"Cookie": "other=cookiecanary"})
    html = (await load(shop.browser)).text
    carried = [cookie.value or "" for cookie in shop.browser.cookies.jar]

    assert "sitecanary2" in html
    assert "attributes.gift" in html
    assert "\u2026cdef" in html
    assert carried
    assert [each for each in (*CANARIES, *carried, SECRET) if each in html] == []
    said = [*(f"{record.getMessage()} {vars(record)}" for record in caplog.records), *map(repr, shop.events)]
    assert [line for line in said if "canary" in line] == []


async def test_memory(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """However many requests there are, it keeps the last ones, and not more of one than fits on a page."""
    shop = make_shop(debug_panel=DebugPanel(requests=10))
    tokens = [emporix.new_session(currency="EUR").token for _ in range(40)]

    async def busy(ctx: SessionContext, _: Request) -> None:
        for number in range(100):
            await ctx.refresh()
            ctx.switch(currency="USD" if number % 2 else "CHF")
            await ctx.commit()

    for token in tokens:
        await shop.visit(currency, token=token, headers={"X-Long": "x" * 1000})
    small = len((await load(shop.browser)).content)
    await shop.visit(busy, token=tokens[0])
    busy_one = len((await load(shop.browser)).content)
    texts = await request_texts(shop.browser)
    gc.collect()

    assert len(texts) == 10
    assert small < 30_000
    assert busy_one < 60_000
    records = [each for each in gc.get_objects() if isinstance(each, RequestRecord)]
    assert len(records) <= 10 + 2  # and those of the page, and of whoever was told last


async def test_told_once(emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """That it is on is a warning at the start, one for each panel, and an event."""
    events: list[Any] = []
    panel = DebugPanel()
    for tenant in ("acme", "other"):
        SessionContextMiddleware(
            Starlette(), tenant=tenant, debug_panel=panel, on_event=events.append, clock=VirtualClock()
        )

    (line,) = [record for record in caplog.records if "panel.on" in record.getMessage()]
    assert line.levelno == logging.WARNING
    assert "Leave debug_panel=... out in production" in line.getMessage()
    assert [event.name for event in events] == ["panel.on"]


def test_off() -> None:
    """Where it is off nothing of it is imported, and contexts and applications are what they always are."""
    code = """
import sys
from starlette.applications import Starlette
from session_ctx_middleware import SessionContext, SessionContextMiddleware
import session_ctx_middleware.testing, session_ctx_middleware.switcher
app = Starlette()
middleware = SessionContextMiddleware(app, tenant="acme")
assert middleware.app is app
import asyncio
async def seen(scope, receive, send):
    assert type(scope["state"]["session_ctx"]) is SessionContext
asyncio.run(SessionContextMiddleware(seen, tenant="acme")({"type": "http", "headers": []}, None, None))
print([name for name in sys.modules if "debug_panel" in name])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert (done.stdout.strip(), done.stderr) == ("[]", "")
