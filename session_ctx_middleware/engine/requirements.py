"""What a browser has seen on another worker: no document below that may be shown to it here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..clock import Clock
from ..model.document import ContextDocument
from ..model.view import Snapshot
from .binding import Binding
from .consistency import Incarnation
from .entry import Entry
from .keys import Keys
from .note import Note
from .pacing import TokenBuckets

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
    """

    keys: Keys
    binding: Binding
    buckets: TokenBuckets
    clock: Clock

    def note(self, entry: Entry, note: Note, token: str) -> None:
        """Let an entry know what a browser has seen; what is cached from before that is not good enough any more."""
        if self.binding.binds(note, entry, token):
            entry.learn(entry.consistency.note_seen(note, self.keys.incarnation))
        known = entry.consistency
        if known.satisfied is note or known.required is note or note.floor < 0:
            return
        entry.learn(known.requiring(note))
        document = entry.document
        if document is None:
            self._require_document(entry, note, token)
        elif self.is_behind(entry, document) or self._is_of_another(entry, document, note):
            self._enforce(entry, document, note)

    def satisfied(self, entry: Entry, token: str, note: Note | None, snapshot: Snapshot) -> None:
        """Note that a browser was shown what its note requires, if that is so."""
        if note is None:
            return
        self.note(entry, note, token)  # the answer may have named the session of the token
        document = snapshot.document
        seen = document is not None and not snapshot.stale and not self.is_behind(entry, document)
        if seen and not self.binding.foreign(entry, note, token):
            entry.learn(entry.consistency.satisfying(note))

    def unsatisfied(self, entry: Entry) -> None:
        """Note that Emporix did not have what a browser requires; do not go on asking with every page."""
        if entry.consistency.required is not None and not self.buckets.take(entry.key):
            entry.learn(entry.consistency.requiring(None))

    def still_stands(self, entry: Entry, note: Note, token: str, fingerprint: str) -> bool:
        """Tell whether a floor was brought along that nothing has come up to yet.

        Args:
            entry: of the token.
            note: what was brought along.
            token: of the request.
            fingerprint: of the incarnation that is known here.
        """
        known = entry.consistency
        if known.satisfied is note or note.floor < 0 or not self.binding.binds(note, entry, token):
            return False
        if note.incarnation == fingerprint:
            return note.floor > known.floor
        return self._tells_of_another(entry, note, fingerprint)

    def is_behind(self, entry: Entry, document: ContextDocument) -> bool:
        """Tell whether a document is older than what the last browser has seen."""
        known, now = entry.consistency, self.clock.monotonic()
        return known.is_retired(document.identity, now) or known.is_below_required(document, self.keys.incarnation)

    def retire(self, entry: Entry, incarnation: Incarnation) -> None:
        """Show nothing of an incarnation any more, because the session has been given another context since."""
        entry.learn(entry.consistency.retiring(incarnation, self.clock.monotonic() + LONGEST_LAG))
        entry.hide()
        entry.expire()

    def _require_document(self, entry: Entry, note: Note, token: str) -> None:
        if self.buckets.is_empty(entry.key):
            # Emporix has been asked often enough whether it has that version.
            entry.learn(entry.consistency.requiring(None))
        elif self.binding.binds(note, entry, token) and self.buckets.take(entry.key):
            entry.expire()  # there was no context a moment ago; there is one now

    def _enforce(self, entry: Entry, document: ContextDocument, note: Note) -> None:
        """Show the taken changes over a document that is too old, and have the next read ask Emporix."""
        another = self._is_of_another(entry, document, note)
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
            entry.learn(entry.consistency.requiring(None))

    def _is_of_another(self, entry: Entry, document: ContextDocument, note: Note) -> bool:
        """Tell whether the browser has seen another context of this very session than the one that is cached."""
        session_id = document.session_id
        return (
            self._tells_of_another(entry, note, self.keys.incarnation(document.identity))
            and session_id is not None
            and note.session == self.binding.of_session(session_id)
        )

    def _tells_of_another(self, entry: Entry, note: Note, fingerprint: str) -> bool:
        """Tell whether a note is of another context, and not of one that this one has replaced here."""
        satisfied = entry.consistency.satisfied
        return note.incarnation != fingerprint and (satisfied is None or satisfied.incarnation != note.incarnation)
