"""Which session a token is of, as far as anybody in this process was told: for 24 hours."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

from ..clock import Clock
from ..stores.protocol import PARKED_TTL

__all__ = ["KnownSessions"]

TOKENS: Final = 10_000

if TYPE_CHECKING:
    _Sessions = TTLCache[bytes, str]
else:
    _Sessions = TTLCache


class KnownSessions:
    """What authenticated answers have told, for the engines of all event loops and instances.

    Args:
        clock: where time comes from.
    """

    __slots__ = ("_by_key", "_lock")

    def __init__(self, clock: Clock) -> None:
        self._by_key = _Sessions(TOKENS, PARKED_TTL, timer=clock.monotonic)
        self._lock = Lock()

    def learn(self, key: bytes, session_id: str) -> None:
        """Note of which session a token is.

        Args:
            key: of the token.
            session_id: as Emporix has told it.
        """
        with self._lock:
            # To look first takes a fifth of `get`, and most tokens are met for the first time.
            if key not in self._by_key or self._by_key.get(key) != session_id:
                self._by_key[key] = session_id

    def of(self, key: bytes) -> str | None:
        """Return the session of a token, `None` where nobody knows."""
        with self._lock:
            return self._by_key.get(key) if key in self._by_key else None
