"""What a request tells operators, and where they can ask."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import Scope

from .dependencies import RequestDependencies
from .engine import CommitResult
from .errors import NoToken
from .events import ContextEvent
from .health import Monitored
from .model.view import Snapshot

__all__ = ["Reporting", "commit_event", "load_event", "resolver_failed"]

TROUBLED: Final = frozenset({"stale", "degraded", "rejected"})


class Reporting:
    """The part of a request that operators see."""

    _deps: RequestDependencies
    _scope: Scope
    _loop: asyncio.AbstractEventLoop
    _known: Snapshot | None = None
    """What the load found."""

    @property
    def middleware(self) -> Monitored:
        """The middleware that this context comes from: its `stats()`, and its `health()`."""
        return self._deps.monitored()

    def _brought_no_token(self) -> None:
        if self._known is None and self._deps.token_watch is not None:
            self._deps.token_watch.missing(lambda: self._deps.tokens.looked_in(self._scope))

    def _brought_a_token(self) -> None:
        if self._deps.token_watch is not None:
            self._deps.token_watch.found()

    def _emit(self, name: str, operation: str, outcome: str) -> None:
        # Synchronous endpoints run in worker threads, where async hooks cannot.
        self._deps.events.emit(ContextEvent(name=name, operation=operation, outcome=outcome), loop=self._loop)


def resolver_failed(kind: str) -> ContextEvent:
    """Return the event of a resolver that has raised this class of error."""
    return ContextEvent(name="resolver.failed", operation="resolve", outcome=kind)


def load_event(known: Snapshot, *, hit: bool) -> ContextEvent:
    """Return the event of a load.

    Args:
        known: what the load found.
        hit: whether nothing had to be awaited for it.
    """
    cache = _cache_result(known, hit=hit)
    outcome = cache if cache in TROUBLED else "ok"
    return ContextEvent(name="context.loaded", operation="load", outcome=outcome, cache=cache)


def commit_event(operation: str, outcome: CommitResult, duration: float) -> ContextEvent:
    """Return the event of a commit.

    Args:
        operation: what was being done.
        outcome: how it ended.
        duration: seconds it took.
    """
    return ContextEvent(
        name="changes.lost" if isinstance(outcome.error, NoToken) else f"commit.{outcome.outcome}",
        operation=operation,
        outcome=outcome.outcome if outcome.error is None else type(outcome.error).__name__,
        status=outcome.status,
        attempts=outcome.attempts,
        duration=duration,
    )


def _cache_result(known: Snapshot, *, hit: bool) -> str:
    if known.rejected:
        return "rejected"
    if known.degraded:
        return "degraded"
    if known.stale:
        return "stale"
    if known.document is None:
        return "missing"
    return "hit" if hit else "miss"
