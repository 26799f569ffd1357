"""What requests have to tell a browser whose response has gone, or that never had one: for 24 hours."""

from __future__ import annotations

from math import inf
from threading import Lock
from typing import Final

from ..clock import Clock
from ..model.changes import NO_CHANGES, ContextChanges
from .notes import NOTE_SECONDS

__all__ = ["Untold"]

TOKENS: Final = 10_000


class Untold:
    """Keeps it by the key of the token, for the engines of all event loops and instances: any of them may answer next.

    Args:
        clock: where time comes from.
    """

    __slots__ = ("_by_key", "_clock", "_lock")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # In the order in which they end. A cache with timers of its own would look at them at the end of each request.
        self._by_key: dict[bytes, tuple[ContextChanges, float]] = {}
        self._lock = Lock()

    def __bool__(self) -> bool:
        return bool(self._by_key)

    def add(self, key: bytes, told: ContextChanges) -> None:
        """Keep what a request has to tell beside what earlier ones have left."""
        with self._lock:
            every = told.newest(self._taken(key))
            if len(self._by_key) >= TOKENS:
                del self._by_key[next(iter(self._by_key))]
            self._by_key[key] = every, self._clock.monotonic() + NOTE_SECONDS

    def pop(self, key: bytes) -> ContextChanges:
        """Return what is kept for a token, which now tells it."""
        with self._lock:
            return self._taken(key)

    def _taken(self, key: bytes) -> ContextChanges:
        told, until = self._by_key.pop(key, (NO_CHANGES, inf))
        return told if self._clock.monotonic() < until else NO_CHANGES
