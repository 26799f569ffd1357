"""Changes as JSON values, for places outside this process."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..errors import InvalidChange
from .changes import ContextChanges
from .document import ATTRIBUTE_PREFIX, END_OF_TIME, REMOVED, Removed, Value
from .fields import SWITCHES, checked_attribute, checked_key, checked_switch
from .frozen_json import Json, version_of
from .operation import Operation, Taken

__all__ = ["Packed", "era_of", "moment_of", "operation_of", "pack", "tenths_of", "took_of", "unpack"]

Packed = list[object]
"""One change: path, value (``None`` for a removal), operation id, when it was recorded, the version that has it (-1 for
one that Emporix has not taken), `Operation.era`, `Operation.again` and `Operation.rounds`."""

MAX_ID: Final = 32
AHEAD: Final = 24 * 3600.0
"""Seconds by which the clock of another host may be ahead: what is later than that would be later than everything."""
LONGEST: Final = 3600.0
"""Seconds that an answer takes at most: what took longer would be from before everything."""
TENTH: Final = 10


def pack(changes: ContextChanges) -> list[Packed]:
    """Return changes as JSON values."""
    return [
        [
            path,
            None if isinstance(operation.value, Removed) else operation.value,
            operation.op_id,
            operation.at,
            operation.taken_version,
            operation.era,
            int(operation.again),
            operation.rounds,
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
        if not isinstance(item, list | tuple) or len(item) < 5 or not isinstance(item[0], str):
            raise ValueError("not a packed change")
        path, value, op_id, at, version, *rest = item
        taken = None if version == -1 else Taken(version_of(version))
        operation = operation_of(path, value, op_id, at, now=now, wall=wall, taken=taken, era=era_of(*rest[:1]))
        again = rest[1:2] == [1]
        operations[path] = replace(operation, again=again, rounds=version_of(rest[2]) if rest[2:] else int(again))
    return ContextChanges(operations)


def operation_of(
    path: str, value: object, op_id: object, at: object, *, now: float, wall: float, taken: Taken | None, era: int
) -> Operation:
    """Return one change from its JSON values.

    Raises:
        ValueError: one of them is not what it should be.
    """
    if not isinstance(op_id, str) or len(op_id) > MAX_ID:
        raise ValueError("not an operation id")
    moment = moment_of(at)
    if moment > wall + AHEAD:
        raise ValueError("not yet")
    recorded = now - max(0.0, wall - moment)
    return Operation(_value(path, value), op_id, at=moment, recorded=recorded, taken=taken, era=era)


def era_of(value: object = 0) -> int:
    """Return how often a shopper has logged out.

    Raises:
        ValueError: this is no such number.
    """
    return version_of(value)


def tenths_of(took: float) -> int:
    """Return `Taken.took` as it is written: in tenths of a second."""
    return round(took * TENTH)


def took_of(tenths: object) -> float:
    """Return the `Taken.took` that was written.

    Raises:
        ValueError: this is no number of tenths.
    """
    return min(version_of(tenths) / TENTH, LONGEST)


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
