"""The shop in Litestar."""

from __future__ import annotations

from typing import Any

from litestar import Litestar, MediaType, Request, WebSocket, get, post, websocket
from litestar.params import FromQuery
from litestar.response import Stream

from session_ctx_middleware import SessionContextMiddleware, get_session_context

from .common import MIDDLEWARE, chunks, open_gate, shown, switched


@get("/page")
async def page(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return await shown(get_session_context(request))


@post("/switch", media_type=MediaType.TEXT, status_code=200)
async def switch(request: Request[Any, Any, Any], currency: FromQuery[str]) -> str:
    get_session_context(request).switch_currency(currency)
    return "done"


@get("/stream")
async def stream(request: Request[Any, Any, Any], currency: FromQuery[str], gate: FromQuery[str]) -> Stream:
    get_session_context(request).switch_currency(currency)
    return Stream(chunks(gate))


@post("/open", media_type=MediaType.TEXT, status_code=200)
async def open_(gate: FromQuery[str]) -> str:
    open_gate(gate)
    return "open"


@websocket("/socket")
async def socket(socket: WebSocket[Any, Any, Any]) -> None:
    context = await get_session_context(socket)
    await socket.accept()
    await socket.send_text(str(context.currency))
    await socket.send_text(await switched(context, await socket.receive_text()))
    await socket.close()


app = SessionContextMiddleware(Litestar([page, switch, stream, open_, socket]), **MIDDLEWARE)
