"""A shop on a package that knows one field more, `channel`; run with that copy first on the path.

Writes as JSON where the package came from, and what was seen of the field.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import httpx
from jinja2 import DictLoader, Environment
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

import session_ctx_middleware
from session_ctx_middleware import ContextDefaults, InvalidChange, SessionContextMiddleware
from session_ctx_middleware.stores import MemoryStore
from session_ctx_middleware.templating import context_processor
from session_ctx_middleware.testing import FakeEmporix

LOADER = DictLoader({"page": "{{ session_ctx.channel }} from the {{ session_ctx.source('channel') }}"})
TEMPLATES = Jinja2Templates(env=Environment(loader=LOADER, autoescape=True), context_processors=[context_processor])


async def page(request: Request) -> Response:
    """Show the field in a template."""
    await request.state.session_ctx
    return TEMPLATES.TemplateResponse(request, "page")


async def switch(request: Request) -> Response:
    """Switch to the channel of the query, and tell what that is until it has been sent."""
    ctx: Any = request.state.session_ctx
    await ctx
    try:
        ctx.switch(channel=request.query_params["to"])
    except InvalidChange as error:
        return JSONResponse({"refused": str(error)})
    return JSONResponse({"pending": dict(ctx.pending), "source": ctx.source("channel"), "channel": ctx.channel})


class Worker:
    """One process of the shop, as the browser of one shopper sees it."""

    def __init__(self, emporix: FakeEmporix, cookies: dict[str, str]) -> None:
        defaults: Any = ContextDefaults
        options = {
            "tenant": "acme",
            "secret_key": "s" * 32,
            "defaults": defaults(channel="web"),
            "store": MemoryStore(),
        }
        upstream = emporix.client(httpx, base_url="http://emporix.test")
        app = Starlette(
            routes=[Route("/", page), Route("/switch", switch)],
            middleware=[Middleware(SessionContextMiddleware, http_client=upstream, **options)],
        )
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://shop.test")
        self._cookies = cookies

    async def get(self, url: str, token: str) -> Response:
        """Ask for a page with what the browser carries, and let it carry what it is told to."""
        cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        answer = await self._client.get(url, headers={"Authorization": f"Bearer {token}", "Cookie": cookie})
        self._cookies.update(answer.cookies)
        return answer  # type: ignore[return-value] # only text and JSON of it are looked at


async def visit() -> dict[str, Any]:
    """Walk through the shop."""
    # What is written will not be read back for a minute: only the cookie can tell the second worker.
    emporix = FakeEmporix(replica_lag=60.0, now=lambda: time.time() - 3600.0)
    session, without = emporix.new_session(channel="app"), emporix.new_session()
    emporix.now = time.time
    cookies: dict[str, str] = {}
    one, other = Worker(emporix, cookies), Worker(emporix, cookies)

    async def text(worker: Worker, token: str = session.token) -> str:
        return (await worker.get("/", token)).text  # type: ignore[attr-defined, no-any-return]

    async def switched(to: str) -> Any:
        return (await one.get(f"/switch?to={to}", session.token)).json()  # type: ignore[attr-defined]

    seen: dict[str, Any] = {"package": session_ctx_middleware.__file__}
    seen["GET"] = await text(one)
    seen["cache"] = [await text(one), emporix.count("context.get")]
    seen["default"] = await text(Worker(emporix, {}), without.token)
    seen["before"] = await text(other)
    seen["refused"] = await switched("NOT A CHANNEL")
    seen["change"] = await switched("kiosk")
    document = emporix.document(session.session_id) or {}
    patches = [call.body for call in emporix.calls if call.operation == "context.patch"]
    seen["PATCH"] = [document.get("channel"), patches]
    seen["after"] = await text(one)
    seen["cookie"] = await text(other)
    seen["no cookie"] = await text(Worker(emporix, {}))
    return seen


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(visit())))
