"""Recording one change of a request: checked, in order, and known to the block that it was made in."""

from __future__ import annotations

import secrets
import threading
from contextvars import ContextVar
from typing import Final

from .clock import DECIMALS, STEP, Clock
from .errors import InvalidChange
from .model.changes import ContextChanges
from .model.document import ATTRIBUTE_PREFIX, ContextDocument, Removed, Value
from .model.fields import check_room
from .model.operation import Operation
from .model.room import MAX_CONTEXT, outgrows
from .model.view import Snapshot

__all__ = ["after_known", "batch_of_changes", "new_operation", "recording", "with_operation"]

recording: Final = threading.Lock()
"""Synchronous endpoints record from worker threads, and one request may have several."""

batch_of_changes: Final[ContextVar[set[str] | None]] = ContextVar("session_ctx_batch", default=None)
"""The operation ids of the `late_changes` block that the running code is in."""


def after_known(at: float, path: str, known: Snapshot | None, changes: ContextChanges) -> float:
    """Return a timestamp for a change that is later than those of its field which the request has in front of it.

    A host whose clock is ahead may have made them. Whoever sends the change cannot tell any more what was known when it
    was made: an hour that was to come has passed when a slow page ends.

    Args:
        at: when it is made, in seconds since the epoch.
        path: of its field.
        known: what was loaded; `None` where nothing was.
        changes: what has been recorded so far.

    Returns:
        Seconds since the epoch.
    """
    recorded = changes.get(path)
    last = max(0.0 if known is None else known.last_at(path), 0.0 if recorded is None else recorded.at)
    return at if at > last else round(last + STEP, DECIMALS)


def new_operation(value: Value, at: float, era: int, clock: Clock) -> Operation:
    """Return a change that is made now, and tell the block that it is made in.

    Args:
        value: of the field.
        at: its timestamp, in seconds since the epoch.
        era: how often the shopper has logged out in this browser.
        clock: where time comes from.
    """
    operation = Operation(value, secrets.token_urlsafe(8), at=at, recorded=clock.monotonic(), era=era)
    batch = batch_of_changes.get()
    if batch is not None:
        batch.add(operation.op_id)
    return operation


def with_operation(
    changes: ContextChanges, path: str, operation: Operation, document: ContextDocument | None = None
) -> ContextChanges:
    """Return changes and one more.

    Args:
        changes: what has been recorded so far.
        path: of the field.
        operation: the change.
        document: the context, where it is known by now.

    Raises:
        InvalidChange: there is no room for another attribute.
    """
    recorded = changes.recorded(path, operation)
    if path.startswith(ATTRIBUTE_PREFIX):
        check_room(recorded.attributes_over({}).items())
        if document is not None and not isinstance(operation.value, Removed) and outgrows(recorded, document):
            raise InvalidChange(
                f"With this attribute the session context would take more than {MAX_CONTEXT // 1024} KiB, and Emporix' "
                "answer could soon not be read any more. Remove attributes first."
            )
    return recorded
