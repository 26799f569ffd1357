"""The shop in FastAPI."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, WebSocket
from fastapi.responses import PlainTextResponse, StreamingResponse

from session_ctx_middleware import SessionContextMiddleware
from session_ctx_middleware.fastapi import SessionCtx

from .common import MIDDLEWARE, chunks, open_gate, shown, switched

app = FastAPI()
app.add_middleware(SessionContextMiddleware, **MIDDLEWARE)


@app.get("/page")
async def page(ctx: SessionCtx) -> dict[str, Any]:
    return await shown(ctx)


@app.post("/switch")
async def switch(ctx: SessionCtx, currency: str) -> PlainTextResponse:
    ctx.switch_currency(currency)
    return PlainTextResponse("done")


@app.get("/stream")
async def stream(ctx: SessionCtx, currency: str, gate: str) -> StreamingResponse:
    ctx.switch_currency(currency)
    return StreamingResponse(chunks(gate))


@app.post("/open")
async def open_(gate: str) -> PlainTextResponse:
    open_gate(gate)
    return PlainTextResponse("open")


@app.websocket("/socket")
async def socket(websocket: WebSocket, ctx: SessionCtx) -> None:
    await websocket.accept()
    await websocket.send_text(str(ctx.currency))
    await websocket.send_text(await switched(ctx, await websocket.receive_text()))
    await websocket.close()
