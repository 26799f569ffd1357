"""The shop in Quart."""

from __future__ import annotations

from typing import Any

from quart import Quart, request, websocket

from session_ctx_middleware import SessionContextMiddleware, get_session_context

from .common import MIDDLEWARE, chunks, open_gate, shown, switched

app = Quart(__name__)
app.asgi_app = SessionContextMiddleware(app.asgi_app, **MIDDLEWARE)


@app.get("/page")
async def page() -> dict[str, Any]:
    return await shown(get_session_context(request))


@app.post("/switch")
async def switch() -> str:
    get_session_context(request).switch_currency(request.args["currency"])
    return "done"


@app.get("/stream")
async def stream() -> Any:
    get_session_context(request).switch_currency(request.args["currency"])
    return chunks(request.args["gate"])


@app.post("/open")
async def open_() -> str:
    open_gate(request.args["gate"])
    return "open"


@app.websocket("/socket")
async def socket() -> None:
    context = await get_session_context(websocket)
    await websocket.send(str(context.currency))
    await websocket.send(await switched(context, await websocket.receive()))
