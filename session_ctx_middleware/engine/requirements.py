"""What a browser has seen on another worker: no document below that may be shown to it here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..clock import Clock
from ..model.document import ContextDocument
from ..model.view import Snapshot
from ..platform_time import PlatformTime
from .binding import Binding
from .consistency import LAG
from .entry import Entry
from .incarnations import Incarnation
from .keys import Keys
from .notes import Floor, Notes
from .pacing import TokenBuckets
from .required import required
from .standing import is_to_come

__all__ = ["Requirements"]

LONGEST_LAG: Final = 1.0


@dataclass(slots=True, kw_only=True)
class Requirements:
    """Compares what entries know with what browsers bring.

    Args:
        keys: fingerprints of contexts.
        binding: tells whose a note is.
        buckets: how often the notes of one token may make this process ask Emporix.
        clock: where time comes from.
        platform_time: tells how long ago a floor was written by somebody else.
    """

    keys: Keys
    binding: Binding
    buckets: TokenBuckets
    clock: Clock
    platform_time: PlatformTime

    def note(self, entry: Entry, notes: Notes, token: str) -> None:
        """Let an entry know what a browser has seen; what is cached from before that is not good enough any more."""
        floor = self.binding.floor(entry, notes, token)
        if floor is None:
            return
        known = entry.consistency
        if known.satisfied is notes:
            return
        if known.required is not None and known.required.floor is floor and not known.required.waived:
            return
        taken = self.binding.changes(entry, notes, token).taken_in(floor.context)
        seen = known.notes_seen(taken, floor, self.keys.incarnation)
        entry.learn(seen.requiring(required(floor, self.platform_time.moment(floor.at), known.required)))
        document = entry.document
        if document is None:
            self._require_document(entry)
        elif self.is_behind(entry, document, entry.asked_at) or self._is_of_another(entry, document, floor):
            self._enforce(entry, document, floor)

    def satisfied(self, entry: Entry, token: str, notes: Notes | None, snapshot: Snapshot, shown: Snapshot) -> None:
        """Note that what is cached here is all that a browser wants to see, if that is so.

        Args:
            entry: of the token.
            token: of the request.
            notes: what the browser brought along.
            snapshot: what is known here.
            shown: the same with what the browser knows.
        """
        if notes is None:
            return
        self.note(entry, notes, token)  # the answer may have named the session of the token
        document = snapshot.document
        if document is None or snapshot.stale or shown is not snapshot or snapshot is not entry.snapshot:
            return
        if shown.parked.operations:
            return  # they leave this process as soon as the browser has them
        if not self.is_behind(entry, document, entry.asked_at):
            entry.learn(entry.consistency.satisfying(notes))

    def unsatisfied(self, entry: Entry) -> None:
        """Note that Emporix did not have what a browser requires; do not go on asking with every page."""
        known = entry.consistency
        if known.required is not None and not known.required.waived and not self.buckets.take(entry.key):
            self._give_up(entry)

    def forbids(
        self, entry: Entry, document: ContextDocument, asked_on: float, notes: Notes | None, token: str
    ) -> bool:
        """Tell whether a document that a browser brought may lack what it has seen, and the notes do not say what.

        Args:
            entry: of the token.
            document: the document.
            asked_on: when Emporix was asked for it, in Emporix' time; 0 where nobody knows.
            notes: what the browser brought beside it.
            token: of the request.
        """
        if notes is None:
            return False
        floor, session_id = self.binding.floor(entry, notes, token), document.session_id
        context = self.keys.incarnation(document.identity)
        if floor is not None and session_id is not None and floor.session == self.binding.of_session(session_id):
            if floor.context != context:
                return True  # which of the two contexts was created later is for Emporix to say
            if document.version < min(floor.version, floor.complete_from):
                return True
        # Its version may have fallen since: then it is older than changes that have lower ones.
        taken = self.binding.changes(entry, notes, token).taken_in(context)
        now_on = self.platform_time.at(self.clock.monotonic())
        how = {each.op_id: each.taken for each in taken.operations.values() if each.taken is not None}
        later = {op_id for op_id, each in how.items() if each.sent >= asked_on and not is_to_come(each.at, now_on)}
        return bool(taken.only(later).up_to(document.version).missing_from(document))

    def is_behind(self, entry: Entry, document: ContextDocument, asked_at: float) -> bool:
        """Tell whether a document is older than what the last browser has seen."""
        known, now = entry.consistency, self.clock.monotonic()
        if known.is_retired(document.identity, now):
            return True
        return known.is_below_required(document, asked_at, self.keys.incarnation)

    def retire(self, entry: Entry, incarnation: Incarnation) -> None:
        """Show nothing of an incarnation any more, because the session has been given another context since."""
        entry.learn(entry.consistency.retiring(incarnation, self.clock.monotonic() + LONGEST_LAG))
        entry.hide()
        entry.expire()

    def _give_up(self, entry: Entry) -> None:
        known = entry.consistency
        if known.required is not None:
            entry.learn(known.requiring(known.required.given_up()))

    def _require_document(self, entry: Entry) -> None:
        if self.buckets.is_empty(entry.key):
            self._give_up(entry)  # Emporix has been asked often enough whether it has that version
        elif self.buckets.take(entry.key):
            entry.raise_fence()
            entry.expire()  # there was no context a moment ago; there is one now

    def _enforce(self, entry: Entry, document: ContextDocument, floor: Floor) -> None:
        """Show the taken changes over a document that is too old, and have the next read ask Emporix."""
        another = self._is_of_another(entry, document, floor)
        known = entry.consistency
        whole = known.complete_from <= document.version and not another
        if whole:
            entry.lay_over(known.taken.taken_after(document.version))
        if self.buckets.take(entry.key):
            entry.raise_fence()
            entry.expire()
            if another:
                self.retire(entry, document.identity)
            elif not whole:
                entry.hide()  # better the defaults than what the shopper knows to be past
        elif self.clock.monotonic() >= entry.fresh_until:
            self._give_up(entry)

    def _is_of_another(self, entry: Entry, document: ContextDocument, floor: Floor) -> bool:
        """Tell whether the browser has seen another context of this very session than the one that is cached."""
        known = entry.consistency
        if known.required is not None and entry.asked_at > known.required.written + LAG:
            return False
        session_id = document.session_id
        if session_id is None or floor.session != self.binding.of_session(session_id):
            return False
        if floor.context == self.keys.incarnation(document.identity):
            return False
        # Not one that this one has replaced here.
        return all(self.keys.incarnation(incarnation) != floor.context for incarnation, _ in known.earlier)
