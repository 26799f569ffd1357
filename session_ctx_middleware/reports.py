"""What a request tells operators, and where they can ask."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from starlette.types import Scope

from .dependencies import RequestDependencies
from .engine import CommitResult
from .errors import NoToken
from .events import ContextEvent
from .health import Monitored
from .model.view import Snapshot
from .observing import CallObserver

__all__ = ["Observer", "Reporting", "cache_result", "resolver_failed"]

TROUBLED: Final = frozenset({"stale", "degraded", "rejected"})


class Observer(CallObserver, Protocol):
    """Whoever watches a middleware, such as a `session_ctx_middleware.telemetry.Telemetry`."""

    def watch(self, monitored: Monitored, /) -> None:
        """Be told of a middleware from now on, and ask it how it is."""
        ...

    def heard(self, event: ContextEvent, /) -> object:
        """Note what has happened just now, in the context of the request that it has happened to."""
        ...


class Reporting:
    """The part of a request that operators see."""

    _deps: RequestDependencies
    _scope: Scope
    _loop: asyncio.AbstractEventLoop
    _known: Snapshot | None = None
    """What the load found."""
    _load_result = ""
    """What the cache had for it, where somebody wants to know."""
    _commit_result = ""
    """How the last commit ended, in one word."""

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

    def _tell_load(self, known: Snapshot, began: float | None) -> None:
        """Tell what the cache had for a load, and how long that took where something had to be awaited."""
        self._load_result = cache = cache_result(known, hit=began is None)
        if self._deps.events.wanted:
            seconds = 0.0 if began is None else self._deps.clock.monotonic() - began
            self._deps.events.emit(_load_event(cache, seconds))

    def _tell_commit(self, operation: str, outcome: CommitResult, began: float) -> None:
        self._commit_result = outcome.outcome
        self._deps.events.emit(_commit_event(operation, outcome, self._deps.clock.monotonic() - began))

    def _emit(self, name: str, operation: str, outcome: str) -> None:
        # Synchronous endpoints run in worker threads, where async hooks cannot.
        self._deps.events.emit(ContextEvent(name=name, operation=operation, outcome=outcome), loop=self._loop)


def resolver_failed(kind: str) -> ContextEvent:
    """Return the event of a resolver that has raised this class of error."""
    return ContextEvent(name="resolver.failed", operation="resolve", outcome=kind)


def _load_event(cache: str, duration: float) -> ContextEvent:
    outcome = cache if cache in TROUBLED else "ok"
    return ContextEvent(name="context.loaded", operation="load", outcome=outcome, cache=cache, duration=duration)


def _commit_event(operation: str, outcome: CommitResult, duration: float) -> ContextEvent:
    return ContextEvent(
        name="changes.lost" if isinstance(outcome.error, NoToken) else f"commit.{outcome.outcome}",
        operation=operation,
        outcome=outcome.outcome if outcome.error is None else type(outcome.error).__name__,
        status=outcome.status,
        attempts=outcome.attempts,
        duration=duration,
    )


def cache_result(known: Snapshot, *, hit: bool) -> str:
    """Return what the cache had for a load; a `hit` is one for which nothing had to be awaited."""
    if known.rejected:
        return "rejected"
    if known.degraded:
        return "degraded"
    if known.stale:
        return "stale"
    if known.document is None:
        return "missing"
    return "hit" if hit else "miss"
