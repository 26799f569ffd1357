"""Versions that Emporix was to have made for changes: of two changes with one version it has never seen one. Pure.

A proxy may answer a PATCH with a success and drop it. What tells is another change that has made the same version at
another moment; only where versions have fallen in between are both true.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from ..model.changes import ContextChanges
from ..model.operation import SOMEHOW, Operation, Taken, later, value_digest

__all__ = ["DISPUTED_SECONDS", "Made", "at_first_hand", "disputes", "has_made", "latest", "made_besides", "made_by"]

Made: TypeAlias = tuple[str, int, float]
"""The fingerprint of the context, the version, and when it was made, in seconds since the epoch."""

DISPUTED_SECONDS: Final = 60.0
"""Seconds for which it may yet be proven that Emporix has never seen a change that it was to have taken."""
REMEMBERED: Final = 8
"""Versions: more are not made while the answer to one PATCH is in doubt."""
SAME_MOMENT: Final = 0.000_01
"""Seconds between two copies of one moment, of which one was rounded for a note."""


def has_made(operation: Operation) -> bool:
    """Tell whether a change was to have made a version: its value is another one than that which it replaced."""
    taken = operation.taken
    return taken is not None and taken.replaced not in {"", value_digest(operation.value)}


def made_by(operation: Operation) -> Made:
    """Return the version that was made for a change."""
    taken = operation.taken or SOMEHOW
    return taken.context, taken.version, taken.at


def disputes(made: Made, taken: Taken) -> bool:
    """Tell whether a version was made for another change than one that was to be taken with it."""
    context, version, at = made
    return (context, version) == (taken.context, taken.version) and abs(at - taken.at) > SAME_MOMENT


def made_besides(last: ContextChanges, earlier: ContextChanges, made: Iterable[Made]) -> tuple[Made, ...]:
    """Return the latest versions that were made for changes in whose place there are later ones.

    Args:
        last: the last change of each field.
        earlier: changes that were known before.
        made: versions that were known before.
    """
    gone = (each for path, each in earlier.operations.items() if last.get(path) is not each)
    more = [made_by(each) for each in gone if has_made(each)]
    return tuple(sorted({*made, *more}))[-REMEMBERED:]


def at_first_hand(taken: ContextChanges) -> ContextChanges:
    """Return the changes of which not only another worker says that Emporix has taken them; see `Taken.told`."""
    return taken.without(
        {each.op_id for each in taken.operations.values() if each.taken is not None and each.taken.told}
    )


def latest(taken: ContextChanges, known: ContextChanges) -> ContextChanges:
    """Return the changes that are in the place of `taken` ones: later ones of their fields, where such are known.

    Versions of one context tell which of two changes came later, and timestamps only where they are equal, as somebody
    was told of a version in vain: the clocks of two hosts differ.
    """
    pairs = ((path, operation, known.get(path)) for path, operation in taken.operations.items())
    return ContextChanges({path: one if other is None else _later(one, other) for path, one, other in pairs})


def _later(one: Operation, other: Operation) -> Operation:
    mine, theirs = one.taken or SOMEHOW, other.taken or SOMEHOW
    are_ordered = theirs.version >= 0 and mine.context == theirs.context and mine.version != theirs.version
    if one.op_id == other.op_id or not are_ordered:
        return later(one, other)
    return other if theirs.version > mine.version else one
