"""The travelling document: what a shopper's browser brings from other workers, one more place to look before Emporix.

It is authentic, as only workers of the shop can seal one, but *when* Emporix was asked for it is the word of another
host's clock. `Consistency` takes what was asked for later than any replica lags for the truth, whatever its version; so
a document from a browser counts as asked for at any time, and what it has shown as seen from the moment it came here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ..clock import Clock
from ..events import ContextEvent, Events
from ..model.document import ContextDocument
from ..policies import CachePolicy
from .consistency import LAG
from .entries import Entries
from .entry import NEVER, Entry
from .flights import Found
from .loads import Loads
from .notes import Notes
from .pending import Pending
from .publishing import Publisher
from .requirements import Requirements
from .sharing import Sharing, StoreRead
from .stats import Stats

__all__ = ["DocumentOffer", "Travelled", "Travelling"]


@dataclass(slots=True, eq=False, repr=False)
class Travelled:
    """A document on its way between a worker and a browser.

    Args:
        document: as Emporix answered it.
        age: seconds since it was asked.
        asked_on: when that was, in Emporix' time; 0 where nobody knew.
    """

    document: ContextDocument
    age: float
    asked_on: float = 0.0


DocumentOffer: TypeAlias = Callable[[], Travelled | None]
"""Opens what a browser brought; called at most once, and only where the process knows nothing fresh."""


@dataclass(slots=True, kw_only=True)
class Travelling:
    """Takes documents from browsers, and gives them along.

    Args:
        entries: of this event loop.
        publisher: judges them.
        requirements: know what the browser has seen.
        loads: note what the store says about versions.
        sharing: the store.
        pending: what is parked.
        cache: how long documents are of use.
        clock: where time comes from.
        stats: the counters.
        events: who is told of a document that may not be shown.
    """

    entries: Entries
    publisher: Publisher
    requirements: Requirements
    loads: Loads
    sharing: Sharing
    pending: Pending
    cache: CachePolicy
    clock: Clock
    stats: Stats
    events: Events

    async def take(
        self, entry: Entry, offer: DocumentOffer, store_read: StoreRead | None, notes: Notes | None, token: str
    ) -> bool:
        """Show what a browser brought, where nothing fresh is known and nothing better; tell whether it was opened.

        Args:
            entry: of the token.
            offer: opens it.
            store_read: what the store has said just now.
            notes: what the browser brought beside it.
            token: of the request.
        """
        if not self._is_wanted(entry, store_read):
            return False
        travelled = offer()
        if travelled is None:
            return True
        asked_at = self.clock.monotonic() - travelled.age
        document, known = travelled.document, entry.proven_session
        if known is not None and known.session_id != document.session_id:
            return True  # Emporix has told since that the token is of another session
        await self._look_around(entry, document)
        if self._is_news(entry, document, asked_at):
            forbidden = self.requirements.forbids(entry, document, travelled.asked_on, notes, token)
            if not forbidden and self.publisher.adopt(entry, document, asked_at, travelled.asked_on):
                self.stats.count_travelled()
            else:
                event = ContextEvent(name="document.passed_over", operation="load", outcome="outdated")
                self.events.emit(event)
        return True

    def reconsider(self, entry: Entry, notes: Notes, token: str) -> None:
        """Hide a document that a browser brought where notes that came later say that it may lack something.

        Args:
            entry: of the token.
            notes: what the browser brought now.
            token: of the request.
        """
        document = entry.document
        if document is None or entry.asked_at != NEVER or entry.snapshot.overlay.operations:
            return
        if self.requirements.forbids(entry, document, entry.snapshot.asked_on, notes, token):
            entry.hide()
            entry.expire()

    def given_along(self, entry: Entry | None) -> Travelled | None:
        """Return what a browser may take along; `None` where this process has not asked Emporix for it itself."""
        if entry is None or entry.document is None or entry.asked_at == NEVER or entry.snapshot.overlay.operations:
            return None
        age = self.clock.monotonic() - entry.asked_at
        if age >= self.cache.longest or entry.has_ended(self.clock.time()):
            return None
        found = Found(entry.document, entry.asked_at)
        asked_on = self.requirements.platform_time.at(entry.asked_at) or 0.0
        return Travelled(entry.document, age, asked_on) if self.publisher.is_acceptable(entry, found) else None

    def _is_wanted(self, entry: Entry, store_read: StoreRead | None) -> bool:
        if self.clock.monotonic() < entry.fresh_until or entry.snapshot.rejected:
            return False
        return entry.document is not None or not self.loads.serves(entry, store_read)

    async def _look_around(self, entry: Entry, document: ContextDocument) -> None:
        """Note which session a token is of, what is parked for that, and what others have announced of it."""
        self.entries.prove(entry, document.session_id)
        self.sharing.learn(entry)
        if await self.pending.look(entry, document=document) and self.sharing.is_shared:
            # Whoever has sent what was parked a moment ago has announced a later version before.
            stored = await self.sharing.load(entry)
            if stored is not None:
                self.loads.hear(entry, stored)

    def _is_news(self, entry: Entry, document: ContextDocument, asked_at: float) -> bool:
        """Tell whether a document is later than what is known: of two the higher version, then the later moment."""
        if self.clock.monotonic() < entry.fresh_until or entry.snapshot.rejected:
            return False  # somebody else has found one meanwhile
        shown = entry.document
        if shown is None:
            return True
        if entry.asked_at > asked_at + LAG:
            return False  # Emporix was asked here so much later that its word counts, also where the version has fallen
        if shown.identity != document.identity:
            return True
        until = asked_at + self.cache.longest
        return (document.version, until) > (shown.version, max(entry.error_until, entry.stale_until))
