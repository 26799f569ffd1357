"""Changes that are sent no more: Emporix was said to have taken them twice, and never had them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

from ..clock import Clock
from ..events import ContextEvent, Events
from ..model.changes import ContextChanges
from .notes import NOTE_SECONDS

__all__ = ["GivenUp"]

REMEMBERED: Final = 10_000

if TYPE_CHECKING:
    _Told = TTLCache[str, None]
else:
    _Told = TTLCache


class GivenUp:
    """Tells operators of each change once: browsers bring it for as long as they keep their notes.

    Args:
        clock: where time comes from.
        events: who is told.
    """

    __slots__ = ("_events", "_told")

    def __init__(self, clock: Clock, events: Events) -> None:
        self._events = events
        self._told = _Told(REMEMBERED, NOTE_SECONDS, timer=clock.monotonic)

    def tell(self, changes: ContextChanges) -> None:
        """Tell of changes that are sent no more, unless that was told."""
        news = [each.op_id for each in changes.operations.values() if each.op_id not in self._told]
        if news:
            self._told.update(dict.fromkeys(news))
            self._events.emit(ContextEvent(name="changes.lost", operation="commit", outcome="swallowed"))
