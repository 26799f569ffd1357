"""Sealed sessions, and who is at work on one, in the memory of this process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cachetools import TLRUCache

from ..clock import Clock

__all__ = ["MemoryTokens"]

if TYPE_CHECKING:
    _Cache = TLRUCache[str, tuple[str, float]]
else:
    _Cache = TLRUCache


class MemoryTokens:
    """Keeps sealed texts, and claims, for as long as each is good for; see `sessions.TokenStore`.

    Args:
        max_entries: texts, and claims, kept at most; the least recently used one goes first.
        clock: where time comes from.
    """

    def __init__(self, max_entries: int, clock: Clock) -> None:
        self._now = clock.monotonic
        # Two caches, so that work that goes on pushes out no session.
        self._texts, self._claims = (
            _Cache(max_entries, lambda _key, entry, _now: entry[1], timer=clock.monotonic) for _ in range(2)
        )
        self._lock = threading.Lock()

    async def load(self, key: str) -> str | None:
        """Return the text that is kept under a key, `None` where there is none."""
        with self._lock:
            found = self._texts.get(key)
        return None if found is None else found[0]

    async def save(self, key: str, sealed: str, lifetime: float) -> None:
        """Keep a text for `lifetime` seconds in place of the one that is there; with 0, forget that one."""
        with self._lock:
            if lifetime > 0:
                self._texts[key] = (sealed, self._now() + lifetime)
            else:
                self._texts.pop(key, None)

    async def claim(self, key: str, seconds: float) -> bool:
        """Tell whether a key is the caller's for that long: `False` while it is anybody else's."""
        with self._lock:
            if key in self._claims:
                return False
            self._claims[key] = ("", self._now() + seconds)
            return True
