"""Which of several contexts of one session: versions of one that was created anew start again. Pure."""

from __future__ import annotations

from itertools import chain
from typing import Final, TypeAlias

__all__ = ["Floors", "Incarnation", "floors_besides", "precedence", "precedes"]

Incarnation: TypeAlias = tuple[str | None, str | None]
"""Session id and creation time."""

Floors: TypeAlias = tuple[tuple[Incarnation, int], ...]
"""The lowest versions of some incarnations that may be shown."""

MAX_EARLIER: Final = 3


def precedes(one: Incarnation, other: Incarnation) -> bool:
    """Tell whether one incarnation was created before another of its session, where both say when in one notation."""
    if one[1] is None or other[1] is None or one[0] != other[0]:
        return False
    return len(one[1]) == len(other[1]) and one[1] < other[1]


def precedence(incarnation: Incarnation | None) -> tuple[object, ...]:
    """Return what orders incarnations: the one that was created later comes last, and any order of the others."""
    session_id, created_at = incarnation or (None, None)
    created = created_at or ""
    return incarnation is not None, len(created), created, session_id or ""


def floors_besides(incarnation: Incarnation | None, *known: Floors) -> Floors:
    """Return the floors of all known incarnations but one, those of the latest incarnations."""
    floors: dict[Incarnation, int] = {}
    for each, floor in chain(*known):
        if each != incarnation:
            floors[each] = max(floor, floors.get(each, -1))
    return tuple(sorted(floors.items(), key=_created, reverse=True)[:MAX_EARLIER])


def _created(floor: tuple[Incarnation, int]) -> tuple[str, str]:
    session_id, created_at = floor[0]
    return created_at or "", session_id or ""
