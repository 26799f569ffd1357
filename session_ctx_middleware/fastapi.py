"""The session context as a FastAPI dependency (extra ``fastapi``)."""

from __future__ import annotations

from typing import Annotated

from starlette.requests import HTTPConnection

from .access import get_session_context
from .context import SessionContext

try:
    from fastapi import Depends
except ImportError as error:  # pragma: no cover - tested from a wheel without extras
    raise ImportError("Install session-ctx-middleware[fastapi] to use session_ctx_middleware.fastapi.") from error

__all__ = ["SessionCtx", "loaded_session_context"]


async def loaded_session_context(connection: HTTPConnection) -> SessionContext:
    """Return the session context of a request or WebSocket, loaded.

    Raises:
        ConfigurationError: the middleware is not installed.
    """
    return await get_session_context(connection)


SessionCtx = Annotated[SessionContext, Depends(loaded_session_context)]
"""The loaded session context, as the type of a parameter: ``async def home(ctx: SessionCtx): ...``."""
