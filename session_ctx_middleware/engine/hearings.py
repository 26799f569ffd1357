"""What becomes of changes that Emporix was said to have taken, and that turn out not to be there."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

from ..clock import Clock
from ..model.changes import ContextChanges
from ..model.document import ContextDocument
from ..tasks import SharedResult
from .entries import Entries
from .entry import Entry
from .flights import Found
from .handover import Handover
from .pending import Pending
from .publishing import Publisher
from .sharing import Sharing

__all__ = ["Hearings"]

ANSWERS_IN: Final = 6
PATIENCE: Final = 0.05
"""Seconds between two looks whether another worker has parked anything, and how many looks are enough."""


@dataclass(slots=True, kw_only=True)
class Hearings:
    """Has them parked again, and hears whether another worker knows better.

    Args:
        handover: weighs changes against documents.
        pending: what is parked.
        publisher: tells what may be shown.
        sharing: tells the others.
        entries: finds the other tokens of a session.
        clock: where time comes from.
        under_way: the contexts, by whose they are, about which others are asked at this moment.
    """

    handover: Handover
    pending: Pending
    publisher: Publisher
    sharing: Sharing
    entries: Entries
    clock: Clock
    under_way: dict[Hashable, SharedResult[str]] = field(default_factory=dict)

    async def recall(self, entry: Entry, found: Found) -> bool:
        """Have parked again what Emporix was said to have taken and does not have, by whoever was told so.

        Only that worker may know the change, and the shopper is asking this one.

        Returns:
            Whether anybody else has changed what is parked since, or sent it, so that the answer is past.
        """
        hearing = self.under_way.get(entry.owner) if self.under_way else None
        if hearing is not None:
            await hearing.get()
        unseen, denies = self.handover.unseen(entry, found.document, found.asked_at), self._denies(entry, found)
        missing = unseen.pending
        if unseen.given_up.operations:  # an earlier change that still waits is in its place again
            self.pending.forget_taken(entry, unseen.given_up)
        if not denies and not missing.operations:
            return False
        news = entry.store_view.news
        await self._ask_around(entry, found.document, missing, denies=denies)
        is_gone = not missing.ids <= entry.snapshot.parked.ids
        return is_gone or (denies and entry.store_view.news != news)

    def _denies(self, entry: Entry, found: Found) -> bool:
        """Tell whether Emporix does not have a version that somebody has announced."""
        if found.shared or found.document.version >= entry.consistency.floor_of(found.document.identity):
            return False
        return self.sharing.has_others and self.publisher.is_acceptable(entry, found)

    async def _ask_around(
        self, entry: Entry, document: ContextDocument, missing: ContextChanges, *, denies: bool
    ) -> None:
        """Park changes again, and give others the time to do so, and to take away those of which they know later ones.

        Changes that show at once might be past. They are parked before anybody hears that there is no later version
        than that of the document, and shows it.
        """
        news, owner = entry.store_view.news, entry.owner
        hearing = self.under_way[owner] = SharedResult[str]()
        try:
            if missing.operations:
                await self.pending.offer_again(entry, missing)
            if denies:
                await self.sharing.deny(self.entries.with_siblings(entry), document.identity, document.version)
            if denies or self.sharing.is_shared:
                await self._hear_out(entry, news)
            if missing.operations:
                await self.pending.show(entry)  # before anybody who has waited answers his shopper
        finally:
            self.under_way.pop(owner, None)
            hearing.resolve("heard")

    async def _hear_out(self, entry: Entry, news: int) -> None:
        """Wait until another worker has changed what is parked, or has had the time to."""
        for _ in range(ANSWERS_IN):
            if entry.store_view.news != news:
                break
            await self.clock.sleep(PATIENCE)
