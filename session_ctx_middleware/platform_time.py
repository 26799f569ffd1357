"""Emporix' time: the one clock that all workers of a shop hear, whatever the clocks of their hosts say.

Every answer of an HTTP server says when it was made, in whole seconds (``Date``, RFC 9110, section 6.6.1). From some of
them a process knows how its monotonic clock stands to Emporix' time, to a second or less (Cristian 1989). What a worker
lets others know of by way of a browser is dated in it, so that "more than ten seconds ago" means the same to both.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final, TypeAlias

from .clock import Clock

__all__ = ["CorrectedClock", "PlatformTime"]

EVERY: Final = 10.0
"""Seconds between two answers that are looked at: host clocks drift by far less meanwhile."""
RESOLUTION: Final = 1.0

Bounds: TypeAlias = tuple[float, float]


class CorrectedClock:
    """A host's clock, of which the time is only believed within the bounds that Emporix' answers set.

    What one worker dates, others compare with their own time: with this clock, hosts that are an hour apart agree to a
    second or less as soon as Emporix has answered each of them. A clock that is right is asked directly.

    Args:
        host: the clock of this process.

    Attributes:
        time: returns seconds since the epoch.
    """

    __slots__ = ("_host", "call_later", "monotonic", "random", "sleep", "time")

    def __init__(self, host: Clock) -> None:
        self._host = host
        self.monotonic = host.monotonic
        self.random = host.random
        self.sleep = host.sleep
        self.call_later = host.call_later
        self.time: Callable[[], float] = host.time

    def keep_within(self, bounds: Bounds) -> None:
        """Tell the time that is nearest to the host's of all that it may be at Emporix.

        Args:
            bounds: how far Emporix' time is ahead of monotonic seconds, at least and at most.
        """
        monotonic, (low, high) = self.monotonic, bounds
        offset = self._host.time() - monotonic()
        nearest = min(max(offset, low), high)
        self.time = self._host.time if nearest == offset else lambda: monotonic() + nearest


class PlatformTime:
    """How far Emporix' time is ahead of this process' monotonic clock, between two bounds.

    One answer that contradicts all that is known may be that of a cache on the way; two that agree are believed.

    Args:
        host: the clock of this process.

    Attributes:
        clock: the same, corrected by what Emporix tells.
    """

    __slots__ = ("_bounds", "_clock", "_doubt", "_next", "clock")

    def __init__(self, host: Clock) -> None:
        self._clock = host
        self.clock = CorrectedClock(host)
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
        if agreed is not None:
            self._bounds = agreed
            self.clock.keep_within(agreed)
        self._next = now + EVERY if agreed else now


def _both(one: Bounds, other: Bounds) -> Bounds | None:
    """Return what two answers say together; `None` where they contradict each other."""
    low, high = max(one[0], other[0]), min(one[1], other[1])
    return (low, high) if low <= high else None


def _seconds(date: str | None) -> float | None:
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
