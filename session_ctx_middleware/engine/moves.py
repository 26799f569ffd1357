"""What a shopper takes along from one token to another, and what of the old one nobody is shown any more."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.changes import ContextChanges
from ..model.view import Snapshot
from .consistency import LAG
from .entries import Entries
from .entry import Entry
from .handover import Handover
from .notes import Notes
from .sharing import Sharing

__all__ = ["Moves"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """Knows what was chosen under a token, and takes documents away from the tokens of a session.

    Args:
        entries: of this event loop.
        handover: what browsers bring.
        sharing: the store, and the other engines of this process.
    """

    entries: Entries
    handover: Handover
    sharing: Sharing

    def changed(self, entry: Entry, token: str, notes: Notes | None) -> ContextChanges:
        """Return the last change of each field that a shopper has made, whether Emporix has taken it or not.

        Args:
            entry: of the token.
            token: of the request.
            notes: what its browser brought along.
        """
        return self.handover.known(entry, token, notes).newest(entry.consistency.taken)

    async def leave(self, entry: Entry) -> None:
        """Show the document of a session to nobody any more, here or elsewhere, stale or not; what is parked stays."""
        every = self.entries.with_siblings(entry)
        for each in every:
            each.raise_fence()
            each.clear(Snapshot(parked=each.snapshot.parked))
            self.entries.keep(each, at_least=LAG)  # the versions of its context go on
        await self.sharing.void(every)
