"""Changes as JSON values, for places outside this process."""

from __future__ import annotations

from typing import Final

from ..errors import InvalidChange
from .changes import ContextChanges, Operation
from .document import ATTRIBUTE_PREFIX, REMOVED, Removed, Value
from .fields import SWITCHES, checked_attribute, checked_key, checked_switch
from .frozen_json import Json, version_of

__all__ = ["Packed", "moment_of", "pack", "unpack"]

Packed = list[object]
"""One change: path, value (``None`` for a removal), operation id, when it was recorded, and `Operation.taken`."""

MAX_ID: Final = 32
END_OF_TIME: Final = 1e11
"""Seconds since the epoch: numbers that are no moments are far beyond it."""
AHEAD: Final = 24 * 3600.0
"""Seconds by which the clock of another host may be ahead: what is later than that would be later than everything."""


def pack(changes: ContextChanges) -> list[Packed]:
    """Return changes as JSON values."""
    return [
        [
            path,
            None if isinstance(operation.value, Removed) else operation.value,
            operation.op_id,
            operation.at,
            operation.taken,
        ]
        for path, operation in changes.operations.items()
    ]


def unpack(packed: object, *, now: float, wall: float) -> ContextChanges:
    """Return the changes that were packed.

    Args:
        packed: what `pack` returned, perhaps in another process.
        now: monotonic seconds of this process.
        wall: seconds since the epoch.

    Raises:
        ValueError: this is not what `pack` returns.
    """
    if not isinstance(packed, list | tuple):
        raise ValueError("not packed changes")
    operations: dict[str, Operation] = {}
    for item in packed:
        if not isinstance(item, list | tuple) or len(item) != 5 or not isinstance(item[0], str):
            raise ValueError("not a packed change")
        path, value, op_id, at, taken = item
        if not isinstance(op_id, str) or len(op_id) > MAX_ID:
            raise ValueError("not an operation id")
        at = moment_of(at)
        if at > wall + AHEAD:
            raise ValueError("not yet")
        recorded = now - max(0.0, wall - at)
        taken = -1 if taken == -1 else version_of(taken)
        operations[path] = Operation(_value(path, value), op_id, at=at, recorded=recorded, taken=taken)
    return ContextChanges(operations)


def moment_of(value: object) -> float:
    """Return seconds since the epoch.

    Raises:
        ValueError: this is no moment.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < END_OF_TIME:
        raise ValueError("not a time")
    return float(value)


def _value(path: str, value: object) -> Value:
    try:
        if path not in SWITCHES:
            if not path.startswith(ATTRIBUTE_PREFIX):
                raise ValueError("no such field")
            checked_key(path.removeprefix(ATTRIBUTE_PREFIX))
        if value is None:
            return REMOVED
        if path in SWITCHES:
            return checked_switch(path, value)
        attribute: Json = checked_attribute(value)
    except InvalidChange as error:
        raise ValueError("not a value of this field") from error
    return attribute
