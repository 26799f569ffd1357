"""Versions that Emporix was to have made for changes: of two changes with one version it has never seen one. Pure.

A proxy may answer a PATCH with a success and drop it. What tells is another change that has made the same version at
another moment; only where versions have fallen in between are both true.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from ..model.changes import ContextChanges
from ..model.operation import SOMEHOW, Operation, Taken, value_digest

__all__ = ["DISPUTED_SECONDS", "Made", "disputes", "has_made", "made_besides", "made_by"]

Made: TypeAlias = tuple[str, int, float]
"""The fingerprint of the context, the version, and when it was made, in seconds since the epoch."""

DISPUTED_SECONDS: Final = 60.0
"""Seconds for which it may yet be proven that Emporix has never seen a change that it was to have taken."""
REMEMBERED: Final = 8
"""Versions: more are not made while the answer to one PATCH is in doubt."""
SAME_MOMENT: Final = 0.001
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
