"""The shop in BlackSheep."""

from __future__ import annotations

from collections.abc import AsyncIterator

from blacksheep import Application, Request, Response, StreamedContent, WebSocket, get, json, post, text, ws

from session_ctx_middleware import SessionContextMiddleware, get_session_context

from .common import MIDDLEWARE, chunks, open_gate, shown, switched


@get("/page")
async def page(request: Request) -> Response:
    return json(await shown(get_session_context(request)))


@post("/switch")
async def switch(request: Request, currency: str) -> Response:
    get_session_context(request).switch_currency(currency)
    return text("done")


@get("/stream")
async def stream(request: Request, currency: str, gate: str) -> Response:
    get_session_context(request).switch_currency(currency)

    async def pieces() -> AsyncIterator[bytes]:
        async for piece in chunks(gate):
            yield piece

    return Response(200, content=StreamedContent(b"text/plain", pieces))


@post("/open")
async def open_(gate: str) -> Response:
    open_gate(gate)
    return text("open")


@ws("/socket")
async def socket(websocket: WebSocket) -> None:
    context = await get_session_context(websocket)
    await websocket.accept()
    await websocket.send_text(str(context.currency))
    await websocket.send_text(await switched(context, await websocket.receive_text()))
    await websocket.close()


app = SessionContextMiddleware(Application(), **MIDDLEWARE)
