"""What happened, told to hooks: names, counts and durations, never a person's data."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

__all__ = ["ContextEvent", "EventHook", "Events", "log_event"]

_log = logging.getLogger("session_ctx_middleware")

_WARNINGS: Final = frozenset(
    {
        "commit.failed",
        "commit.refused",
        "changes.uncommitted",
        "leak.prevented",
        "leak.late",
        "state.shared",
        "upstream.unavailable",
        "upstream.restored",
    }
)
_REMEDIES: Final = {
    "upstream.unavailable": ": Emporix fails or is too slow. Pages show the last known values or the defaults, changes "
    "wait, and it is asked again every few seconds. Check base_url=..., the network, and whether Emporix is up",
    "upstream.restored": ": Emporix answers again, and what waited is sent",
}
"""What an operator has to know, or to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextEvent:
    """One thing that happened. It carries no token, session id or value of a document.

    Args:
        name: what happened, such as ``context.loaded``, ``commit.applied``, ``commit.parked``, ``leak.prevented``.
        operation: what was being done: ``load``, ``refresh``, ``commit``, ``respond`` ...
        outcome: how it ended, in one word.
        cache: for reads: ``hit``, ``stale``, ``miss``, ``missing``, ``rejected`` or ``degraded``.
        status: HTTP status of Emporix' last answer, where there was one and it was not a success.
        attempts: PATCH calls that a commit made.
        duration: seconds it took.
    """

    name: str
    operation: str = ""
    outcome: str = ""
    cache: str = ""
    status: int | None = None
    attempts: int = 0
    duration: float = 0.0


EventHook: TypeAlias = Callable[[ContextEvent], object]


def log_event(event: ContextEvent) -> None:
    """Write an event to the logger ``session_ctx_middleware``: what lost or nearly leaked something as a warning."""
    level = logging.WARNING if event.name in _WARNINGS else logging.DEBUG
    if _log.isEnabledFor(level):
        fields = {f"session_ctx_{name}": getattr(event, name) for name in ContextEvent.__slots__}
        remedy = _REMEDIES.get(event.name, "")
        _log.log(level, "%s %s%s", event.name, event.operation if remedy else event.outcome, remedy, extra=fields)


class Events:
    """Tells every hook every event; a hook that fails is logged and disturbs nobody.

    Args:
        hooks: called with each event, on the event loop: a hook must not block.
    """

    __slots__ = ("_hooks", "wanted")

    def __init__(self, hooks: Sequence[EventHook] = ()) -> None:
        self._hooks = (log_event, *hooks)
        self.wanted = bool(hooks)
        """Whether anybody but the log listens: cache hits are too many to be told to nobody."""

    def emit(self, event: ContextEvent) -> None:
        """Tell the hooks."""
        for hook in self._hooks:
            try:
                hook(event)
            except Exception as error:  # noqa: BLE001 - telling must not break what is told about
                _log.error("an event hook failed: %s", type(error).__name__)
