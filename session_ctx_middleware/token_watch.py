"""Whether requests bring tokens: told once where they do not, and once when they do again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .events import ContextEvent, Events

__all__ = ["TokenWatch"]

IN_A_ROW: Final = 100


class TokenWatch:
    """Tells a wrong token source from guests, who have no token in many shops.

    That no request has brought a token yet is told with the first one that uses the context. Once tokens were found,
    one without is a guest, and only 100 in a row are news: a cookie may have got another name.

    Args:
        events: who is told.
        reads: returns how many reads with a token there were. It makes up for requests that are served from the cache,
            which this watch would only make slower.
    """

    def __init__(self, events: Events, reads: Callable[[], int]) -> None:
        self._events = events
        self._reads = reads
        self._reads_before = 0
        self._in_a_row = 0
        self._ever_found = False
        self._told = False

    def missing(self, looked_in: Callable[[], str]) -> None:
        """Note that a request which uses the context has no token.

        Args:
            looked_in: returns where it was sought, for the log.
        """
        reads = self._reads()
        if reads != self._reads_before:
            self.found()
            self._reads_before = reads
        self._in_a_row += 1
        news = not self._told and (not self._ever_found or self._in_a_row >= IN_A_ROW)
        self._told = self._told or news
        event = ContextEvent(name="token.missing", operation="load", outcome="none")
        self._events.emit(event, news=news, detail=looked_in() if news else "")

    def found(self) -> None:
        """Note that a request has brought a token."""
        self._ever_found, self._in_a_row = True, 0
        if self._told:
            self._told = False
            self._events.emit(ContextEvent(name="token.found", operation="load", outcome="over"))
