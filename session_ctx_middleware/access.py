"""Where a request keeps its session context, and how to find it there."""

from __future__ import annotations

from typing import Any, Final, TypedDict

from starlette.requests import HTTPConnection

from .context import SessionContext
from .errors import ConfigurationError

__all__ = ["OUTER_KEY", "SCOPE_KEY", "STATE_KEY", "SessionState", "get_session_context"]

STATE_KEY: Final = "session_ctx"
SCOPE_KEY: Final = "session_ctx_middleware.context"
OUTER_KEY: Final = "session_ctx_middleware.outer"
"""The contexts of middlewares for other shops, around the one that a request is in now."""


class SessionState(TypedDict):
    """Types ``request.state``: annotate a request as ``Request[SessionState]``, or inherit where it holds more."""

    session_ctx: SessionContext


def get_session_context(connection: HTTPConnection[Any]) -> SessionContext:
    """Return the session context of a request or WebSocket, typed.

    Raises:
        ConfigurationError: the middleware is not installed around this application.
    """
    context = connection.scope.get(SCOPE_KEY)
    if isinstance(context, SessionContext):
        return context
    raise ConfigurationError(
        "There is no session context in this request. Add Middleware(SessionContextMiddleware, tenant=...) to the "
        "application's middleware."
    )
