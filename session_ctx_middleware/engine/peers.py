"""Applying what other processes announce."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..clock import Clock
from ..model.changes import NO_CHANGES, ContextChanges
from ..stores import Notice, Stored
from ..tasks import Tasks
from .announced import denied, has_fallen, is_made_since, told
from .consistency import Consistency
from .entries import Entries
from .entry import Entry
from .handover import Handover
from .merging import merged
from .neighbours import Letter, Refused, Unseen, Written
from .pacing import Pauses
from .pending import Pending
from .publishing import Publisher
from .requirements import Requirements
from .sharing import Sharing

__all__ = ["Peers"]


@dataclass(slots=True, kw_only=True)
class Peers:
    """Applies notices of other processes, and makes good for those that were missed.

    Args:
        entries: of this event loop.
        sharing: the store that sends notices.
        pending: what is parked.
        publisher: takes announcements as floors.
        requirements: retires what another context has followed.
        pauses: for tokens whose parked changes are to be sent later.
        tasks: run what a notice makes necessary.
        clock: where time comes from.
        handover: weighs changes against documents, and tells of those that Emporix has never seen, twice.
    """

    entries: Entries
    sharing: Sharing
    pending: Pending
    publisher: Publisher
    requirements: Requirements
    pauses: Pauses
    tasks: Tasks
    clock: Clock
    handover: Handover

    def apply(self, letter: Letter) -> None:
        """Bring the entries that a notice names up to date."""
        if isinstance(letter, Unseen):
            for entry in self.entries.named(letter.names):
                self.pending.forget_taken(entry, letter.changes)
            return
        if isinstance(letter, Refused):
            for entry in self.entries.named(letter.names):
                _ask_again(entry)
                entry.hide()
            return
        notice, written = (letter, None) if isinstance(letter, Notice) else (letter.notice, letter)
        if notice.kind == "written" and notice.identity:
            self.entries.note_floor(notice.names, notice.identity, notice.floor)
        entries = self.entries.named(notice.names)
        taken = notice.taken if entries else NO_CHANGES
        for entry in entries:
            self._told(entry, notice, written, taken)

    def _told(self, entry: Entry, notice: Notice, written: Written | None, taken: ContextChanges) -> None:
        if notice.kind == "parked":
            entry.store_view.parked_changed()
            self.tasks.spawn(self.pending.look(entry))
        elif notice.kind == "forgotten":
            entry.store_view.is_linked("")
            self.log_out(entry)
        elif written is None or not self._adopts(entry, written):
            if notice.identity:
                self._hears_of(entry, notice, taken)
            else:
                self._forgets(entry, notice.floor)

    def log_out(self, entry: Entry) -> None:
        """Forget a token, and what it was about to do."""
        entry.log_out()
        self.pauses.end(entry.key)
        self.entries.drop(entry)

    def _hears_of(self, entry: Entry, notice: Notice, taken: ContextChanges) -> None:
        before, keys = entry.consistency, self.publisher.keys
        lower = -1
        if before.incarnation is not None and notice.floor < before.floor:
            lower = notice.floor if keys.incarnation(before.incarnation) == notice.identity else -1
        entry.store_view.hears(lower)
        self._believes_again(entry, notice, taken)
        if not self._shows(entry, notice.identity, notice.floor, notice.floor):
            _ask_again(entry)
        if taken.operations:
            self._learns(entry, notice, before, taken)

    def _believes_again(self, entry: Entry, notice: Notice, taken: ContextChanges) -> None:
        """Give up the doubt of a version that Emporix did not have, where it was made after that."""
        if (notice.identity, notice.floor) != entry.store_view.disproved:
            return
        if is_made_since(entry.consistency, taken, self.clock.monotonic(), self.handover.platform_time):
            entry.store_view.disproves("", -1)

    def _learns(self, entry: Entry, notice: Notice, before: Consistency, taken: ContextChanges) -> None:
        """Note which changes Emporix has taken from the shopper by way of another worker, and show them."""
        known, now = entry.consistency, self.clock.monotonic()
        if known.incarnation is None or self.publisher.keys.incarnation(known.incarnation) != notice.identity:
            # A context that is not known here yet: it has them in the place of what the last one had.
            entry.learn(known.remembering(taken.newest(known.taken)))
        elif known.floor >= notice.floor:  # else nobody believes that there is such a version
            fallen = has_fallen(known, taken, notice.floor, now, self.handover.platform_time)
            entry.learn(told(known, before, taken, notice.floor, now, fallen=fallen))
            self._shows_told(entry, fallen=fallen)

    def _shows_told(self, entry: Entry, *, fallen: bool) -> None:
        """Show what another worker has told over a document that is older, or of the same version and lacks it."""
        document = entry.document
        if document is None:
            return
        taken = entry.consistency.taken.taken_after(document.version - 1)
        if entry.consistency.complete_from <= document.version and not fallen:
            entry.lay_over(taken)
        if fallen or taken.missing_from(document):
            _ask_again(entry)
        if fallen:
            entry.hide()

    def _forgets(self, entry: Entry, denied_from: int) -> None:
        """Forget a context: its token was rejected, or Emporix does not have any more what was announced of it.

        Args:
            entry: of the token.
            denied_from: the version above which Emporix has none, as somebody says; 0 where nobody speaks of versions.
        """
        _ask_again(entry)
        if entry.consistency.hint is not None:
            entry.learn(replace(entry.consistency, hint=None))
        # Whoever can write to the store may say so again and again: Emporix is asked all the same.
        if entry.store_view.may_retire(self.clock.monotonic()) and not self._gives_up_floor(entry, denied_from):
            entry.hide()

    def _gives_up_floor(self, entry: Entry, lower: int) -> bool:
        """Go back to a lower version if it was announced last, of the same context; tell whether it was."""
        known, document, now = entry.consistency, entry.document, self.clock.monotonic()
        is_denied = 0 < lower == entry.store_view.lower
        given_up = denied(known, lower, now) if is_denied else known
        if given_up is known or known.incarnation is None:
            return False
        entry.store_view.hears(-1)
        entry.store_view.disproves(self.publisher.keys.incarnation(known.incarnation), known.floor)
        void = known.taken.taken_after(lower)
        entry.learn(given_up.forgetting(void))
        if document is not None and document.version > lower:
            entry.hide()
        if void:
            again = void.once_more()
            self.handover.given_up.tell(void.without(again.ids))
            self.tasks.spawn(self.pending.park_again(entry, again))
        return True

    def _adopts(self, entry: Entry, written: Written) -> bool:
        """Take over what another engine of this process knows after a write, and tell whether that was anything."""
        theirs, document, shown = written.snapshot, written.snapshot.document, entry.document
        if document is None or entry.snapshot.rejected:
            return False
        entry.raise_fence()
        entry.learn(merged(entry.consistency, written.consistency))
        own = shown is not None and (shown.identity != document.identity or shown.version > document.version)
        if own or entry.key != written.key:
            taken = NO_CHANGES if shown is None else entry.consistency.taken.taken_after(shown.version)
            self.publisher.show_taken_by_sibling(entry, document, written.notice.floor, theirs.overlay.newest(taken))
        else:
            snapshot = replace(theirs, parked=entry.snapshot.parked)
            self.publisher.show_taken(entry, snapshot, written.asked_at)
        return True

    async def catch_up(self, entry: Entry) -> None:
        """Compare an entry with the store: notices may have been missed."""
        entry.store_view.caught_up(self.sharing.attachment.epoch)
        if entry.document is None:
            entry.expire()
            return
        stored = await self.sharing.load(entry)
        if stored is None or not self.sharing.attachment.connected:
            entry.expire()  # nobody says that nothing was written; nor does the store, unless it can be written to
        elif self.publisher.knows_floor(entry, stored):
            if not _reaches(entry, _latest(stored)):
                _ask_again(entry)
        elif not self._shows(entry, stored.identity, stored.floor, _latest(stored)):
            _ask_again(entry)

    def _shows(self, entry: Entry, identity: str, floor: int, version: int) -> bool:
        """Note an announced floor; tell whether the document of an entry reaches a version of the same context.

        Args:
            entry: of the token.
            identity: fingerprint of the announced incarnation.
            floor: of that incarnation.
            version: the one to reach.
        """
        document = entry.document
        if (identity, floor) == entry.store_view.disproved and floor != entry.consistency.floor + 1:
            return document is not None
        entry.learn(entry.consistency.hinted(identity, floor))
        if document is None:
            known = entry.consistency
            if known.incarnation is not None:  # its document is hidden; later versions count all the same
                self.publisher.apply_hint(entry, known.incarnation, known.floor)
            return False
        if not self.publisher.apply_hint(entry, document.identity, document.version):
            # Whoever can write to the store may name any context, again and again: Emporix is asked all the same.
            if entry.store_view.may_retire(self.clock.monotonic()):
                self.requirements.retire(entry, document.identity)
            return False
        return document.version >= version


def _ask_again(entry: Entry) -> None:
    """Have the next page ask Emporix, and publish nothing that was asked for before."""
    entry.raise_fence()
    entry.expire()


def _reaches(entry: Entry, version: int) -> bool:
    return entry.document is not None and entry.document.version >= version


def _latest(stored: Stored) -> int:
    return max(stored.floor, stored.document.version if stored.document else -1)
