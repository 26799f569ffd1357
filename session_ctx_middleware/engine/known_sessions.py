"""Which session a token is of, as far as anybody in this process was told: for 24 hours."""

from __future__ import annotations

from threading import Lock
from typing import Final

from ..clock import Clock
from ..stores.protocol import PARKED_TTL

__all__ = ["KnownSessions"]

TOKENS: Final = 10_000


class KnownSessions:
    """What authenticated answers have told, for the engines of all event loops and instances.

    Args:
        clock: where time comes from.
    """

    __slots__ = ("_by_key", "_clock", "_lock")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # In the order in which they end: that of the answers. A cache with timers of its own takes ten times as long,
        # and every token that is met goes in here.
        self._by_key: dict[bytes, tuple[str, float]] = {}
        self._lock = Lock()

    def learn(self, key: bytes, session_id: str) -> None:
        """Note of which session a token is.

        Args:
            key: of the token.
            session_id: as Emporix has told it.
        """
        known = self._by_key.get(key)
        if known is not None and known[0] == session_id and self._clock.monotonic() < known[1]:
            return
        with self._lock:
            self._by_key.pop(key, None)
            if len(self._by_key) >= TOKENS:
                del self._by_key[next(iter(self._by_key))]
            self._by_key[key] = session_id, self._clock.monotonic() + PARKED_TTL

    def of(self, key: bytes) -> str | None:
        """Return the session of a token, `None` where nobody knows."""
        known = self._by_key.get(key)
        return None if known is None or self._clock.monotonic() >= known[1] else known[0]
