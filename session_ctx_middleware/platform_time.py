"""Emporix' time: the one clock that all workers of a shop hear, whatever the clocks of their hosts say.

Every answer of an HTTP server says when it was made, in whole seconds (``Date``, RFC 9110, section 6.6.1). From some of
them a process knows how its monotonic clock stands to Emporix' time, to a second or less (Cristian 1989). What a worker
lets others know of by way of a browser is dated in it, so that "more than ten seconds ago" means the same to both.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, TypeAlias

from .clock import Clock

__all__ = ["PlatformTime", "http_date"]

EVERY: Final = 10.0
"""Seconds between two answers that are looked at: host clocks drift by far less meanwhile."""
RESOLUTION: Final = 1.0

Bounds: TypeAlias = tuple[float, float]


class PlatformTime:
    """How far Emporix' time is ahead of this process' monotonic clock, between two bounds.

    One answer that contradicts all that is known may be that of a cache on the way; two that agree are believed.

    Args:
        clock: of this process.
    """

    __slots__ = ("_bounds", "_clock", "_doubt", "_next")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bounds: Bounds | None = None
        self._doubt: Bounds | None = None
        self._next = float("-inf")

    @property
    def wants_date(self) -> bool:
        """Whether the next answer is worth a look."""
        return self._clock.monotonic() >= self._next

    def at(self, moment: float) -> float | None:
        """Return Emporix' time in seconds since the epoch; `None` where no answer has told it.

        Args:
            moment: monotonic seconds of this process.
        """
        return None if self._bounds is None else moment + sum(self._bounds) / 2

    def moment(self, told: float) -> float:
        """Return when it was that time at Emporix, in monotonic seconds of this process; just now where nobody knows.

        Args:
            told: seconds since the epoch by Emporix' clock, of a moment that is past.
        """
        now = self._clock.monotonic()
        there = self.at(now)
        return now if there is None else now - max(0.0, there - told)

    def told(self, date: str | None, asked: float) -> None:
        """Take the date of an answer that has just arrived.

        Args:
            date: the header ``Date``; anything else than a date counts as nothing.
            asked: when the call began, in monotonic seconds.
        """
        seconds, now = _seconds(date), self._clock.monotonic()
        if seconds is None:
            return
        told = seconds - now, seconds + RESOLUTION - asked
        agreed = told if self._bounds is None else _both(self._bounds, told)
        if agreed is None and self._doubt is not None:
            agreed = _both(self._doubt, told)
        self._doubt = told if agreed is None else None
        self._bounds = agreed or self._bounds
        self._next = now + EVERY if agreed else now


def _both(one: Bounds, other: Bounds) -> Bounds | None:
    """Return what two answers say together; `None` where they contradict each other."""
    low, high = max(one[0], other[0]), min(one[1], other[1])
    return (low, high) if low <= high else None


def http_date(text: str) -> float:
    """Return the moment of an HTTP date, in seconds since the epoch (RFC 9110, section 5.6.7).

    Args:
        text: in any of the three forms; the one that names no time zone is always UTC.

    Raises:
        ValueError: this is no date.
        OverflowError: no clock shows that date.
    """
    moment = parsedate_to_datetime(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _seconds(date: str | None) -> float | None:
    try:
        return None if date is None else http_date(date)
    except (ValueError, OverflowError):
        return None
