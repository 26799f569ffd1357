"""Entries by key, bounded in number and age (CLOCK, Corbató 1968)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ..clock import Clock
from .entry import Entry

__all__ = ["ClockCache"]

STEPS: Final = 16


class ClockCache:
    """Keeps entries until they are of no use; when there are too many, one goes that nobody has asked for lately.

    A hand goes round and evicts the first entry that was not used since it came by last (Corbató 1968, "A Paging
    Experiment with the Multics System"). So a hit writes to one entry and to nothing else, where a list in order of
    use would be written to in four places, which among a million sessions is most of what a hit costs. And what was
    read once only, as by a crawler, goes before what a shopper came back to.

    What goes is returned, so that whoever keeps an index can take it out.

    Args:
        size: entries at most.
        clock: where time comes from.

    Attributes:
        find: returns the entry of a key, also one that is too old, or `None`; for callers that look at its age
            themselves. It is the look-up itself, as a method around it would be felt in every hit.
    """

    __slots__ = ("_clock", "_entries", "_size", "find")

    def __init__(self, size: int, clock: Clock) -> None:
        self._size = size
        self._clock = clock
        # The hand points at the first; a plain dict is slow to find it once others have gone.
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self.find: Callable[[bytes], Entry | None] = self._entries.get

    def get(self, key: bytes) -> Entry | None:
        """Return the entry of a key, `None` where there is none any more."""
        entry = self._entries.get(key)
        if entry is None or entry.kept_until <= self._clock.monotonic():
            return None
        entry.touch()
        return entry

    def put(self, entry: Entry, until: float) -> list[Entry]:
        """Keep an entry.

        Args:
            entry: found from now on, also if it was kept before.
            until: monotonic seconds.

        Returns:
            The entries that are not kept any more.
        """
        entry.keep(until)
        replaced = self._entries.get(entry.key)
        gone = self._sweep(new=replaced is None)
        self._entries[entry.key] = entry
        return gone if replaced is None or replaced is entry else [*gone, replaced]

    def discard(self, key: bytes) -> Entry | None:
        """Do without the entry of a key; return it, if there was one."""
        return self._entries.pop(key, None)

    def __contains__(self, key: bytes) -> bool:
        entry = self._entries.get(key)
        return entry is not None and entry.kept_until > self._clock.monotonic()

    def __len__(self) -> int:
        """Return how many there are; some of them may be too old already."""
        return len(self._entries)

    def _sweep(self, *, new: bool) -> list[Entry]:
        """Move the hand on, and make room for a new one; nobody waits for a full round, whatever is used or old."""
        now, gone = self._clock.monotonic(), []
        for left in reversed(range(STEPS)):
            if not self._entries:
                break
            key, entry = next(iter(self._entries.items()))
            too_many = len(self._entries) + new > self._size
            if entry.kept_until <= now or (too_many and not (entry.used and left)):
                gone.append(self._entries.pop(key))
                continue
            self._entries.move_to_end(key)
            if not too_many:
                break
            entry.clear_used()
        return gone
