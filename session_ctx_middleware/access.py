"""Where a request keeps its session context, and how to find it there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, TypedDict

from starlette.types import Scope

from .context import SessionContext
from .errors import ConfigurationError
from .resolution import Resolvers

__all__ = ["SCOPE_KEY", "STATE_KEY", "Scoped", "SessionState", "get_session_context", "inside_another", "resolvers_of"]

STATE_KEY: Final = "session_ctx"
SCOPE_KEY: Final = "session_ctx_middleware.context"
OUTER_KEY: Final = "session_ctx_middleware.outer"
"""The contexts of middlewares for other shops, around the one that a request is in now."""


class SessionState(TypedDict):
    """Types ``request.state``: annotate a request as ``Request[SessionState]``, or inherit where it holds more."""

    session_ctx: SessionContext


class Scoped(Protocol):
    """What keeps the scope of an ASGI connection: a request, WebSocket or consumer of any framework."""

    @property
    def scope(self) -> Mapping[str, object]:
        """The scope."""
        ...


def get_session_context(connection: Scoped) -> SessionContext:
    """Return the session context of a request or WebSocket, typed.

    Args:
        connection: of Starlette or any other ASGI framework: whatever has the connection's scope as ``scope``.

    Raises:
        ConfigurationError: the middleware is not installed around this application.
    """
    context = connection.scope.get(SCOPE_KEY)
    if isinstance(context, SessionContext):
        return context
    raise ConfigurationError(
        "There is no session context in this request. Add Middleware(SessionContextMiddleware, tenant=...) to the "
        "application's middleware, in front of the other ones that read it; with app.add_middleware(...), add it last."
    )


def resolvers_of(connection: Scoped) -> Resolvers | None:
    """Return what tells values from the addresses of the shop that a request is for; `None` where nothing does."""
    return get_session_context(connection)._deps.resolvers


def inside_another(scope: Scope, place: tuple[str, str]) -> tuple[Scope, bool]:
    """Return what an application inside another middleware gets to see, and whether its own is to place a context.

    Mounted twice for one shop, the outer one wins. For another shop, the inner one works for its own application, and
    nothing shows there of the outer shop's context; outside it nothing shows of the inner one's.
    """
    outer = (scope[SCOPE_KEY], *scope.get(OUTER_KEY, ()))
    known = next((each for each in outer if each._deps.place == place), None)
    # What is in between may have made a scope of its own.
    state = {key: value for key, value in scope.get("state", {}).items() if key != STATE_KEY}
    if known is not None and known is outer[0]:
        if known._response is None:
            scope.setdefault("state", {})[STATE_KEY] = known
            return scope, False
        del scope[SCOPE_KEY]  # the answer was thrown away, and this is another attempt
        scope["state"] = state
        return scope, True
    inside = {**scope, "state": state, OUTER_KEY: outer}
    if known is None:
        del inside[SCOPE_KEY]
    else:
        inside[SCOPE_KEY] = state[STATE_KEY] = known
    return inside, known is None
