"""Parked changes in the memory of this process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

from ..changes import NO_CHANGES, ContextChanges
from ..clock import Clock, SystemClock
from ..document import ContextDocument
from .protocol import Attachment, Listener, Stored

__all__ = ["PARKED_TTL", "MemoryStore"]

PARKED_TTL: Final = 24 * 3600.0
SESSION_PREFIX: Final = "session-"

if TYPE_CHECKING:
    _Parked = TTLCache[str, ContextChanges]
else:
    _Parked = TTLCache


class MemoryStore:
    """Keeps parked changes for 24 hours in this process; another process or host does not see them.

    Args:
        max_entries: sessions with parked changes; the least recently used one goes first.
        clock: where time comes from.
    """

    def __init__(self, *, max_entries: int = 10_000, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        # Apart, so that made-up tokens do not push out what sessions wait for that Emporix knows.
        self._sessions = _Parked(max_entries, PARKED_TTL, timer=self._clock.monotonic)
        self._tokens = _Parked(max_entries, PARKED_TTL, timer=self._clock.monotonic)
        # Event loops of several threads may share one store, and the cache's own book-keeping is not atomic.
        self._lock = threading.Lock()

    shared = False

    def __repr__(self) -> str:
        return "<MemoryStore>"

    def attach(self, listener: Listener) -> Attachment:
        """Return an attachment that never changes: nobody else writes here."""
        del listener
        return Attachment()

    async def load(self, name: str) -> Stored | None:
        """Return nothing: documents of this process are in its cache already."""
        del name
        return None

    async def save(self, name: str, document: ContextDocument, identity: str, *, age: float, lifetime: float) -> None:
        """Do nothing, see `load`."""

    async def invalidate(self, names: Sequence[str], identity: str, floor: int, *, lifetime: float) -> None:
        """Do nothing, see `load`."""

    async def aclose(self) -> None:
        """Do nothing: memory needs no closing."""

    async def parked(self, names: Sequence[str]) -> ContextChanges:
        """Return what is parked under any of `names`, the latest change of each field."""
        oldest = self._clock.time() - PARKED_TTL
        found = NO_CHANGES
        with self._lock:
            for name in names:
                found = self._entries(name).get(name, NO_CHANGES).newest(found)
        return found.since(oldest)

    async def park(self, name: str, changes: ContextChanges) -> None:
        """Keep `changes`; of two changes of one field the later one stays."""
        with self._lock:
            entries = self._entries(name)
            entries[name] = changes.newest(entries.get(name, NO_CHANGES))

    async def unpark(self, names: Sequence[str], changes: ContextChanges) -> None:
        """Forget these changes, and earlier ones of their fields, under all of `names`; later ones stay."""
        with self._lock:
            for name in names:
                entries = self._entries(name)
                left = entries.get(name, NO_CHANGES).minus(changes)
                if left:
                    entries[name] = left
                else:
                    entries.pop(name, None)

    async def forget(self, names: Sequence[str]) -> None:
        """Forget everything under `names`."""
        with self._lock:
            for name in names:
                self._entries(name).pop(name, None)

    def _entries(self, name: str) -> _Parked:
        return self._sessions if name.startswith(SESSION_PREFIX) else self._tokens
