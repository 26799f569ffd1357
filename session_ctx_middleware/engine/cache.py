"""Slots by key, bounded in number and age."""

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

    The CLOCK algorithm finds it (Corbató 1968): a hand goes round, and takes the first entry that was not used since it
    came by last. So a hit writes to one entry and to nothing else, where a list in order of use would be written to in
    four places, which among a million sessions is most of what a hit costs. And what was read once only, as by a
    crawler, goes before what a shopper came back to.

    Args:
        size: entries at most.
        clock: where time comes from.
        gone: told every entry that goes, whatever the reason.
    """

    def __init__(self, size: int, clock: Clock, gone: Callable[[Entry], None]) -> None:
        self._size = size
        self._clock = clock
        self._gone = gone
        # The hand points at the first; a plain dict is slow to find it once others have gone.
        self._slots: OrderedDict[bytes, Entry] = OrderedDict()

    def get(self, key: bytes) -> Entry | None:
        """Return the entry of a key, `None` where there is none any more."""
        entry = self.find(key)
        return None if entry is None or entry.filed_until <= self._clock.monotonic() else entry

    def find(self, key: bytes) -> Entry | None:
        """Return the entry of a key, also one that is too old, for callers that look at its age themselves."""
        entry = self._slots.get(key)
        if entry is not None:
            entry.used = True
        return entry

    def put(self, entry: Entry, until: float) -> None:
        """Keep a entry.

        Args:
            entry: found from now on, also if it was kept before.
            until: monotonic seconds.
        """
        entry.filed_until = until
        old = self._slots.get(entry.key)
        self._sweep(new=old is None)
        self._slots[entry.key] = entry
        if old is not None and old is not entry:
            self._gone(old)

    def discard(self, key: bytes) -> None:
        """Do without the entry of a key, if there is one."""
        old = self._slots.pop(key, None)
        if old is not None:
            self._gone(old)

    def __contains__(self, key: bytes) -> bool:
        entry = self._slots.get(key)
        return entry is not None and entry.filed_until > self._clock.monotonic()

    def __len__(self) -> int:
        """Return how many there are; some of them may be too old already."""
        return len(self._slots)

    def _sweep(self, *, new: bool) -> None:
        """Move the hand on, and make room for a new one; nobody waits for a full round, whatever is used or old."""
        now = self._clock.monotonic()
        for left in reversed(range(STEPS)):
            if not self._slots:
                return
            key, entry = next(iter(self._slots.items()))
            too_many = len(self._slots) + new > self._size
            if entry.filed_until <= now or (too_many and not (entry.used and left)):
                del self._slots[key]
                self._gone(entry)
                continue
            self._slots.move_to_end(key)
            if not too_many:
                return
            entry.used = False
