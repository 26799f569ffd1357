"""Leaving Emporix alone for a moment after it could not begin a session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..clock import Clock
from ..errors import EmporixError
from .once import Failed

__all__ = ["Pause"]


class Pause:
    """Whether Emporix is left alone; after a failure one visitor at a time tries whether it is over.

    Args:
        clock: where time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = 0.0
        self._failing = False
        self._trying = 0

    @property
    def is_on(self) -> bool:
        """Whether nobody should ask now."""
        return self._clock.monotonic() < self._until or (self._failing and self._trying > 0)

    def begin(self, error: EmporixError) -> None:
        """Leave Emporix alone for as long as that failure wants it."""
        self._until, self._failing = self._clock.monotonic() + Failed(error).pause, True

    @contextmanager
    def trying(self) -> Iterator[None]:
        """Try inside the block; it is over when that raises nothing."""
        self._trying += 1
        try:
            yield
        finally:
            self._trying -= 1
        self._failing = False
