"""Changes as JSON values, for places outside this process."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from .changes import ContextChanges, Operation
from .clock import Clock
from .document import ATTRIBUTE_PREFIX, REMOVED, SWITCHES, Removed, Value
from .errors import InvalidChange
from .frozen_json import Json
from .validation import checked_attribute, checked_key, checked_switch

__all__ = ["Packed", "pack", "unpack"]

Packed = list[object]
"""One change: path, value (``None`` for a removal), operation id, seconds since the epoch."""

MAX_ID: Final = 32


def pack(changes: ContextChanges) -> list[Packed]:
    """Return changes as JSON values."""
    return [
        [path, None if isinstance(operation.value, Removed) else operation.value, operation.op_id, operation.at]
        for path, operation in changes.operations.items()
    ]


def unpack(packed: Iterable[object], clock: Clock) -> ContextChanges:
    """Return the changes that were packed, with their order in the time of this process.

    Args:
        packed: what `pack` returned, perhaps in another process.
        clock: of this process.

    Raises:
        ValueError: this is not what `pack` returns.
    """
    operations: dict[str, Operation] = {}
    now, wall = clock.monotonic(), clock.time()
    for item in packed:
        if not isinstance(item, list | tuple) or len(item) != 4:
            raise ValueError("not a packed change")
        path, value, op_id, at = item
        if not (isinstance(path, str) and isinstance(op_id, str) and len(op_id) <= MAX_ID):
            raise ValueError("not a packed change")
        if isinstance(at, bool) or not isinstance(at, int | float) or not math.isfinite(at):
            raise ValueError("not a time")
        # A clock that is ahead elsewhere must not make an old change look newer than one that is made here and now.
        operations[path] = Operation(_value(path, value), op_id, at=at, recorded=now - max(0.0, wall - at))
    return ContextChanges(operations)


def _value(path: str, value: object) -> Value:
    try:
        if path in SWITCHES:
            return checked_switch(path, value)
        if not path.startswith(ATTRIBUTE_PREFIX):
            raise ValueError("no such field")
        checked_key(path.removeprefix(ATTRIBUTE_PREFIX))
        if value is None:
            return REMOVED
        attribute: Json = checked_attribute(value)
    except InvalidChange as error:
        raise ValueError("not a value of this field") from error
    return attribute
