"""The shop in Starlette."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from session_ctx_middleware import SessionContextMiddleware, get_session_context

from .common import MIDDLEWARE, chunks, open_gate, shown, switched


async def page(request: Request) -> Response:
    return JSONResponse(await shown(get_session_context(request)))


async def switch(request: Request) -> Response:
    get_session_context(request).switch_currency(request.query_params["currency"])
    return PlainTextResponse("done")


async def stream(request: Request) -> Response:
    get_session_context(request).switch_currency(request.query_params["currency"])
    return StreamingResponse(chunks(request.query_params["gate"]))


async def open_(request: Request) -> Response:
    open_gate(request.query_params["gate"])
    return PlainTextResponse("open")


async def socket(websocket: WebSocket) -> None:
    context = await get_session_context(websocket)
    await websocket.accept()
    await websocket.send_text(str(context.currency))
    await websocket.send_text(await switched(context, await websocket.receive_text()))
    await websocket.close()


app = Starlette(
    routes=[
        Route("/page", page),
        Route("/switch", switch, methods=["POST"]),
        Route("/stream", stream),
        Route("/open", open_, methods=["POST"]),
        WebSocketRoute("/socket", socket),
    ],
    middleware=[Middleware(SessionContextMiddleware, **MIDDLEWARE)],
)
