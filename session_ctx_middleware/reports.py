"""What a request tells of its loads and commits, as events."""

from __future__ import annotations

from .engine import CommitResult
from .events import ContextEvent
from .model.view import Snapshot

__all__ = ["commit_event", "load_event"]


def load_event(known: Snapshot, *, hit: bool) -> ContextEvent:
    """Return the event of a load.

    Args:
        known: what the load found.
        hit: whether nothing had to be awaited for it.
    """
    outcome = "rejected" if known.rejected else "ok"
    return ContextEvent(name="context.loaded", operation="load", outcome=outcome, cache=_cache_result(known, hit=hit))


def commit_event(operation: str, outcome: CommitResult, duration: float) -> ContextEvent:
    """Return the event of a commit.

    Args:
        operation: what was being done.
        outcome: how it ended.
        duration: seconds it took.
    """
    return ContextEvent(
        name=f"commit.{outcome.outcome}",
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
