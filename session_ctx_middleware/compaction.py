"""Which notes a browser is to hold after a response: as few bytes as can be, and nothing said less than before.

Requests overlap, so that several responses clear the same notes, and each may add another one. What they add piles up:

* what the other notes of a request say as well is cleared, and nothing is written for it;
* only light notes are joined: a heavy one would be sent once more by each of the responses that are on their way;
* while one joined note may be on its way, no other one is written: each would say most of it once more;
* where there is no room, heavy notes give their attributes up, the oldest first, and what is left of them is light.

Nothing is lost by clearing. One note is cleared for the sake of another only if that is written by the same response,
or ranks higher among those that the request brought; so of all that ever said a thing the highest one stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from .engine import Noted, Notes, join
from .model.document import ATTRIBUTE_PREFIX, Removed
from .model.frozen_json import dumps

__all__ = ["LIGHT", "MAX_HELD", "Compacted", "Held", "Room", "beside", "compact", "is_compact", "is_heavy", "needed"]

MAX_HELD: Final = 4 * 1024
"""Bytes that the notes of one browser are to take: proxies take 8 KiB of request header for all cookies."""
LIGHT: Final = 640
"""Bytes up to which a note is joined with others."""
CROWDED: Final = 1024
"""Bytes of what is left of heavy notes, joined, where there is no room for them."""
HEAVY_VALUE: Final = 64
"""Bytes above which an attribute has to give way to what may be on its way to the browser."""
TAKEN_ATTRIBUTES: Final = 512
"""Bytes of attributes that Emporix has taken: without them, documents from before them are not enough."""


@dataclass(frozen=True, slots=True, repr=False)
class Held:
    """A note that a browser has, or is to get.

    Args:
        name: of its cookie.
        notes: what it says.
        size: bytes of its cookie, name and value.
        weight: bytes that it would take without what other notes have replaced.
    """

    name: bytes
    notes: Notes
    size: int
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Room:
    """How much room there is.

    Args:
        size: tells how many bytes the cookie of a note takes; 0 for none.
        most: bytes of one cookie.
        on_its_way: bytes that the browser may have got meanwhile, so that they are no room for attributes.
    """

    size: Callable[[Notes | None], int]
    most: int
    on_its_way: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Compacted:
    """What a response does to the notes of a browser.

    Args:
        own: what it has to tell itself.
        joined: what others have said that are cleared.
        gone: the names of those.
        left_out: parked changes for which there was no room.
    """

    own: Notes | None
    joined: Notes | None = None
    gone: tuple[bytes, ...] = ()
    left_out: tuple[Noted, ...] = ()

    def tells_all_of(self, own: Notes) -> bool:
        """Tell whether the response tells every change of what it had to, with its value."""
        if self.own is None or self.left_out:
            return False
        told = {each.slot: each.is_outline for each in self.own.operations}
        return all(told.get(each.slot, True) <= each.is_outline for each in own.operations)


def needed(held: Iterable[Held]) -> tuple[Held, ...]:
    """Return the notes without which something would not be said, the highest first."""
    kept: list[Held] = []
    said = Notes()
    for each in sorted(held, key=_rank, reverse=True):
        more = join((said, each.notes))
        if not kept or not more.says_the_same_as(said):
            kept.append(each)
            said = more
    return tuple(kept)


def beside(brought: Sequence[Held], own: Held) -> tuple[tuple[Held, ...], Notes | None]:
    """Return what is needed of the notes that were brought, and of what the response itself has to tell."""
    held = needed([*brought, own])
    return tuple(each for each in held if each is not own), own.notes if own in held else None


def is_compact(brought: Sequence[Held]) -> bool:
    """Tell whether a browser may keep the notes that are `needed` as they are."""
    return sum(each.weight <= LIGHT for each in brought) < 2 and sum(each.size for each in brought) <= MAX_HELD


def is_heavy(noted: Noted) -> bool:
    """Tell whether a change is an attribute that has to give way where there is no room."""
    return _is_attribute(noted) and _length(noted) > HEAVY_VALUE


def compact(brought: Sequence[Held], own: Notes | None, room: Room) -> Compacted:
    """Decide what is to be joined, and what gives way.

    Args:
        brought: the notes of a request that are `needed`, the highest first.
        own: what the response has to tell.
        room: how much there is.
    """
    light = [each for each in brought if each.weight <= LIGHT]
    heavy = [each for each in brought if each.weight > LIGHT]
    own = None if own is None else _lightened(own)
    for staying in range(len(heavy), 0, -1):
        done, fits = _compacted(heavy[:staying], [*light, *heavy[staying:]], own, room, crowded=staying < len(heavy))
        if fits:
            return done
    return _compacted([], [*light, *heavy], own, room, crowded=bool(heavy))[0]


def _compacted(
    staying: Sequence[Held], rest: Sequence[Held], own: Notes | None, room: Room, *, crowded: bool
) -> tuple[Compacted, bool]:
    """Join all but the notes that stay; tell, too, whether there is room for what comes of that."""
    joined, left_out = _joined(rest, room, crowded=crowded)
    held = sum(each.size for each in (*staying, *(() if joined is not None else rest)))
    left = MAX_HELD - held - room.size(joined)
    own, first = _within(own, room, min(room.most, left - room.on_its_way), heavy_only=True)
    own, then = _within(own, room, room.most if staying else min(room.most, left))
    fits = room.size(own) <= left
    gone = () if joined is None else tuple(each.name for each in rest)
    if joined is not None and own is not None and not joined.operations:
        own, joined = own.taking_over(joined), None
    return Compacted(own, joined, gone, (*left_out, *first, *then)), fits


def _joined(held: Sequence[Held], room: Room, *, crowded: bool) -> tuple[Notes | None, tuple[Noted, ...]]:
    if len(held) < 2 and not crowded:
        return None, ()
    most = min(CROWDED, room.most) if crowded else room.most
    return _within(_lightened(join(each.notes for each in held)), room, most)


def _within(
    notes: Notes | None, room: Room, most: int, *, heavy_only: bool = False
) -> tuple[Notes | None, tuple[Noted, ...]]:
    """Return a note with as much as there is room for, and the parked changes that go without."""
    left_out: list[Noted] = []
    while notes is not None and room.size(notes) > most:
        may_go = [each for each in notes.operations if not heavy_only or is_heavy(each)]
        if not may_go:
            break
        first = min(may_go, key=_dispensability)
        notes = notes.without([first])
        if first.operation.taken is None:
            left_out.append(first)
    return notes, tuple(left_out)


def _lightened(notes: Notes) -> Notes:
    """Return notes without what can be done without: several joins may be on their way at once.

    Those are attributes that Emporix has taken, but for small ones, and proofs that are of no use any more.
    """
    room, heavy = TAKEN_ATTRIBUTES, []
    for noted in sorted(notes.operations, key=lambda noted: noted.operation.at, reverse=True):
        if _is_attribute(noted) and noted.operation.taken is not None and not noted.is_outline:
            room -= len(noted.path) + _length(noted)
            if room < 0:
                heavy.append(noted)
    return (notes.without(heavy) if heavy else notes).without_needless_proofs()


def _rank(held: Held) -> tuple[object, ...]:
    """Order notes: of two that say the same, one is always the higher."""
    notes = held.notes
    seen = max(((floor.at, floor.version, -floor.complete_from) for floor in notes.floors), default=())
    # What says all that another one says, and more, is the higher of the two, whatever a third one says besides.
    made = sorted((each.operation.at for each in notes.operations), reverse=True)
    return notes.era, notes.newest_at, len(notes.operations), made, seen, held.name


def _is_attribute(noted: Noted) -> bool:
    return noted.path.startswith(ATTRIBUTE_PREFIX)


def _length(noted: Noted) -> int:
    value = noted.operation.value
    return 0 if isinstance(value, Removed) else len(dumps(value))


def _dispensability(noted: Noted) -> tuple[bool, bool, bool, float]:
    """Order changes for want of room: what costs least goes first, and of that the oldest.

    Without one that Emporix has taken, documents from before it are not enough. One that waits is in no other place.
    """
    return not _is_attribute(noted), noted.is_outline, noted.operation.taken is None, noted.operation.at
