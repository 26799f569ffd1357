"""What somebody who watches requests is told by a middleware; by default nobody watches, and nothing is done for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from .errors import ConfigurationError
from .events import EventHook, Events

if TYPE_CHECKING:
    from .context import SessionContext
    from .observing import CallHook

__all__ = ["Watcher", "checked_watcher"]

WANTED = (
    "debug_panel=... must be a DebugPanel(...), from session_ctx_middleware.debug_panel. Leave it out in production: "
    "debug_panel=DebugPanel() if DEBUG else None"
)


class Watcher:
    """Sees what becomes of the requests of a middleware; this one does not look."""

    hooks: tuple[EventHook, ...] = ()
    """Are told every event."""
    on_call: CallHook | None = None
    """Is told every call to Emporix."""

    def around(self, app: ASGIApp) -> ASGIApp:
        """Return what the middleware is to call in place of the application."""
        return app

    def context(self, kind: type[SessionContext]) -> type[SessionContext]:
        """Return the class of which requests get their contexts."""
        return kind

    def begins(self, events: Events) -> None:
        """Note that a middleware was built; `events` tells operators."""


NOBODY = Watcher()


def checked_watcher(value: object) -> Watcher:
    """Return who watches; nobody where nothing was configured.

    Raises:
        ConfigurationError: this is nobody who could.
    """
    if value is None:
        return NOBODY
    if isinstance(value, Watcher):
        return value
    raise ConfigurationError(WANTED)
