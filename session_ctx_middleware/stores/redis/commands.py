"""Commands that are sent in more than one place."""

from __future__ import annotations

from ...model.changes import ContextChanges
from .scripts import FLOOR, UNPARK, Command

__all__ = ["milliseconds", "raise_floor", "unpark"]


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds; a time above 0 stays above 0, because Redis takes 0 for the end of a key."""
    return max(1, round(seconds * 1000)) if seconds > 0 else 0


def raise_floor(key: str, identity: str, floor: int, lifetime: float) -> Command:
    """Return the command that raises the floor of a document.

    Args:
        key: of the document.
        identity: which context the floor is of.
        floor: the lowest version that may still be believed.
        lifetime: seconds until the floor is forgotten.
    """
    return FLOOR(key, identity, floor, milliseconds(lifetime))


def unpark(key: str, changes: ContextChanges) -> Command:
    """Return the command that forgets parked changes that were sent, and earlier ones of their fields."""
    parts = ((path, change.at, change.op_id) for path, change in changes.operations.items())
    return UNPARK(key, *(part for each in parts for part in each))
