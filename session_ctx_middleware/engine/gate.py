"""Leaving Emporix alone for as long as it has asked for (``Retry-After``, RFC 9110, section 10.2.3)."""

from __future__ import annotations

from typing import Final

from ..clock import Clock
from ..errors import EmporixError, EmporixNotAsked, TooManyRequests

__all__ = ["Gate"]

MAX_RETRY_AFTER: Final = 60.0
DEFAULT_RETRY_AFTER: Final = 1.0


class Gate:
    """Closed for as long as Emporix asked to be left alone; nobody waits in front of it.

    Args:
        clock: where time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._closed_until = float("-inf")

    def check(self, operation: str) -> None:
        """Raise `EmporixNotAsked` while the gate is closed."""
        refusal = self.refusal(operation)
        if refusal is not None:
            raise refusal

    def refusal(self, operation: str) -> EmporixNotAsked | None:
        """Return what `check` would raise."""
        left = self._closed_until - self._clock.monotonic()
        if left <= 0:
            return None
        return EmporixNotAsked(operation, None, "Emporix asked for a pause, which is not over", retry_after=left)

    def note(self, error: EmporixError) -> None:
        """Close after a 429, or after a 503 that names a time; at most for 60 seconds."""
        seconds = error.retry_after
        if seconds is None:
            if not isinstance(error, TooManyRequests):
                return
            seconds = DEFAULT_RETRY_AFTER
        seconds = min(max(seconds, 0.0), MAX_RETRY_AFTER)
        self._closed_until = max(self._closed_until, self._clock.monotonic() + seconds)
