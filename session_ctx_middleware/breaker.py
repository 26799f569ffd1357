"""Not asking for a while what has failed too often: circuit breaker (Nygard 2007), retry budget."""

from __future__ import annotations

import enum
from collections import deque
from typing import Final

from .clock import Clock

__all__ = ["Admission", "Breaker", "Change", "RetryBudget"]

WINDOW: Final = 10.0
BUCKET: Final = 1.0
MIN_CALLS: Final = 10
IN_A_ROW: Final = 5
FAILURE_SHARE: Final = 0.5
FIRST_PAUSE: Final = 5.0
LONGEST_PAUSE: Final = 60.0
SPREAD: Final = 0.2


class Admission(enum.Enum):
    """Whether a call may be made."""

    CALL = "call"
    """It may."""
    PROBE = "probe"
    """It may, and decides whether an open breaker closes."""
    REFUSED = "refused"
    """It may not."""


class Change(enum.Enum):
    """What became of a breaker."""

    OPENED = "opened"
    CLOSED = "closed"


class Breaker:
    """Opens when some calls in a row failed (five by default), or at least half of at least ten within ten seconds.

    Open, it refuses every call. After a pause it lets one call through: if that succeeds it closes, if it fails the
    next pause is twice as long, up to a limit (a minute by default). Who decides what counts as a failure is the
    caller; a client that went away and an answer below 500 do not.

    Args:
        clock: where time and randomness come from.
        in_a_row: failures in a row that open it.
        first_pause: seconds before the first probe, give or take a fifth.
        longest_pause: seconds between two probes at most.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        in_a_row: int = IN_A_ROW,
        first_pause: float = FIRST_PAUSE,
        longest_pause: float = LONGEST_PAUSE,
    ) -> None:
        self._clock = clock
        self._limit = in_a_row
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._in_a_row = 0
        self._buckets: deque[tuple[float, int, int]] = deque()
        self._pause = 0.0
        self._open_until = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether calls are refused, but for a probe now and then."""
        return self._pause > 0

    @property
    def refuses(self) -> bool:
        """Whether a call that came now would be refused."""
        return self.is_open and (self._probing or self._clock.monotonic() < self._open_until)

    def admit(self) -> Admission:
        """Tell whether a call may be made now; whoever is admitted has to `record` it, or `release` a probe."""
        if not self.is_open:
            return Admission.CALL
        if self.refuses:
            return Admission.REFUSED
        self._probing = True
        return Admission.PROBE

    def release(self) -> None:
        """Take back a probe that ended without telling anything."""
        self._probing = False

    def trip(self) -> Change | None:
        """Open at once, for one failure that leaves no doubt."""
        if self.is_open:
            return None
        return self._open(self._first_pause)

    def record(self, *, failed: bool, probe: bool) -> Change | None:
        """Count a call that was let through; return what that changed."""
        if probe:
            self._probing = False
            if not failed:
                return self._close()
            self._open(min(2 * self._pause, self._longest_pause))
            return None
        return None if self.is_open else self._count(failed=failed)

    def _count(self, *, failed: bool) -> Change | None:
        self._in_a_row = self._in_a_row + 1 if failed else 0
        start = self._clock.monotonic() // BUCKET
        if not self._buckets or self._buckets[-1][0] != start:
            self._buckets.append((start, 0, 0))
        while self._buckets[0][0] <= start - WINDOW / BUCKET:
            self._buckets.popleft()
        _, calls, failures = self._buckets[-1]
        self._buckets[-1] = (start, calls + 1, failures + failed)
        calls = sum(bucket[1] for bucket in self._buckets)
        failures = sum(bucket[2] for bucket in self._buckets)
        if self._in_a_row >= self._limit or (calls >= MIN_CALLS and failures >= FAILURE_SHARE * calls):
            return self._open(self._first_pause)
        return None

    def _open(self, pause: float) -> Change:
        self._pause = pause
        spread = 1 - SPREAD + 2 * SPREAD * self._clock.random()
        self._open_until = self._clock.monotonic() + pause * spread
        return Change.OPENED

    def _close(self) -> Change:
        self._pause = 0.0
        self._in_a_row = 0
        self._buckets.clear()
        return Change.CLOSED


class RetryBudget:
    """Lets retries be at most a fifth of the calls (retry budget, as in Finagle): they must not double the load."""

    SHARE: Final = 0.2
    RESERVE: Final = 3.0

    def __init__(self) -> None:
        self._left = self.RESERVE

    def earn(self) -> None:
        """Count a call."""
        self._left = min(self._left + self.SHARE, 10 * self.RESERVE)

    def spend(self) -> bool:
        """Tell whether one retry is allowed, and count it."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
