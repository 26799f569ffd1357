"""How soon something may be tried again, for as many tokens as there is room for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cachetools import TLRUCache, TTLCache

from ..clock import Clock

__all__ = ["FULL_AFTER", "Pauses", "TokenBuckets", "lag_pause"]

ROOM: Final = 10_000
AT_ONCE: Final = 10.0
PER_SECOND: Final = 1.0
LAG_PAUSE: Final = (0.02, 0.08)
FULL_AFTER: Final = 30.0
"""Seconds after which a bucket has long been full again, and need not be kept."""

if TYPE_CHECKING:
    _Ends = TLRUCache[bytes, float]
    _Levels = TTLCache[bytes, tuple[float, float]]
else:
    _Ends, _Levels = TLRUCache, TTLCache


class Pauses:
    """Keys that are to be left alone until a moment of their own.

    Args:
        clock: where time comes from.
    """

    __slots__ = ("_clock", "_ends")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends = _Ends(ROOM, lambda _key, end, _now: end, timer=clock.monotonic)

    def begin(self, key: bytes, seconds: float) -> None:
        """Leave a key alone for some seconds."""
        self._ends[key] = self._clock.monotonic() + seconds

    def end(self, key: bytes) -> None:
        """Leave a key alone no longer."""
        self._ends.pop(key, None)

    def holds(self, key: bytes) -> bool:
        """Tell whether a key is to be left alone now."""
        return key in self._ends


class TokenBuckets:
    """Lets each key do something ten times at once, and then once a second (token bucket).

    Args:
        clock: where time comes from.
    """

    __slots__ = ("_clock", "_levels")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._levels = _Levels(ROOM, FULL_AFTER, timer=clock.monotonic)

    def is_empty(self, key: bytes) -> bool:
        """Tell whether a key has used all that it may do at the moment."""
        return self._used(key) >= AT_ONCE

    def take(self, key: bytes) -> bool:
        """Take one from the bucket of a key, if there is one left, and tell whether there was."""
        used = self._used(key)
        if used >= AT_ONCE:
            return False
        self._levels[key] = (used + 1, self._clock.monotonic())
        return True

    def _used(self, key: bytes) -> float:
        used, at = self._levels.get(key, (0.0, 0.0))
        return max(0.0, used - (self._clock.monotonic() - at) * PER_SECOND)


def lag_pause(clock: Clock) -> float:
    """Return for how many seconds to wait for a replica that lags."""
    low, high = LAG_PAUSE
    return low + (high - low) * clock.random()
