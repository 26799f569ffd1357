"""The session context as a FastAPI dependency (extra ``fastapi``)."""

from __future__ import annotations

from typing import Annotated

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from .access import STATE_KEY, get_session_context
from .checks import instance
from .context import SessionContext
from .errors import InvalidChange

try:
    from fastapi import Depends, FastAPI
except ImportError as error:  # pragma: no cover - tested from a wheel without extras
    raise ImportError("Install session-ctx-middleware[fastapi] to use session_ctx_middleware.fastapi.") from error

__all__ = ["SessionCtx", "install", "loaded_session_context"]


async def loaded_session_context(connection: HTTPConnection) -> SessionContext:
    """Return the session context of a request or WebSocket, loaded.

    Raises:
        ConfigurationError: the middleware is not installed.
    """
    return await get_session_context(connection)


SessionCtx = Annotated[SessionContext, Depends(loaded_session_context)]
"""The loaded session context, as the type of a parameter: ``async def home(ctx: SessionCtx): ...``."""


def install(app: FastAPI) -> None:
    """Answer an `InvalidChange` that leaves an endpoint in the form of FastAPI's own validation errors, with 422.

    What the request has changed besides is dropped, as it is without this.

    Args:
        app: the application; an exception handler is added to it, and its OpenAPI document stays as it is.

    Raises:
        ConfigurationError: that is no FastAPI application.
    """
    instance(app, FastAPI, "install(app)").add_exception_handler(InvalidChange, _unprocessable)


async def _unprocessable(request: Request, error: Exception) -> Response:
    if request.scope["type"] != "http":
        raise error  # a WebSocket has no such answer
    get_session_context(request).discard()
    detail = {"type": "invalid_change", "loc": [STATE_KEY], "msg": str(error)}
    return JSONResponse({"detail": [detail]}, 422, {"cache-control": "no-store"})
