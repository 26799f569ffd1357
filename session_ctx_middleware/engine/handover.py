"""What a browser takes along from one worker to the next, and what of it is to be shown and sent."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..clock import Clock
from ..model.changes import NO_CHANGES, ContextChanges
from ..model.view import Snapshot
from .binding import Binding
from .entry import Entry
from .keys import Keys
from .note import ForeignPending, Note
from .requirements import Requirements

__all__ = ["Handover"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """Reads and writes notes, on the engine's side.

    Args:
        keys: fingerprints of contexts.
        binding: tells whose a note is.
        requirements: tells which floors still stand.
        clock: where time comes from.
    """

    keys: Keys
    binding: Binding
    requirements: Requirements
    clock: Clock

    def with_parked(self, entry: Entry, token: str, note: Note | None, snapshot: Snapshot) -> Snapshot:
        """Show the parked changes of a note, too."""
        if note is None or snapshot.rejected:
            return snapshot
        parked = self.parked(entry, note, token).newest(snapshot.parked.minus(entry.consistency.taken))
        return replace(snapshot, parked=parked)

    def parked(self, entry: Entry, note: Note | None, token: str) -> ContextChanges:
        """Return the changes of a note that Emporix has not taken; to another session only the switches go along."""
        if note is None or not note.has_parked:
            return NO_CHANGES
        changes = note.parked
        if not self.binding.binds(note, entry, token):
            changes = changes.switches()
        return changes.newest(self.binding.foreign(entry, note, token)).minus(entry.consistency.taken)

    def to_note(self, entry: Entry, note: Note | None, token: str, shown: ContextChanges) -> Note:
        """Return what the browser should take to the next worker, in place of what it brought along.

        Args:
            entry: what is known here.
            note: what was brought along.
            token: of the request.
            shown: the parked changes that the request has shown; a store may have lost them since.
        """
        known = entry.consistency
        here = shown.newest(entry.snapshot.parked).minus(known.taken)
        parked = self.parked(entry, note, token).newest(here)
        if note is not None and entry.proven_session is None and not self.binding.binds(note, entry, token):
            return self._passed_on(entry, note, token, parked)
        incarnation = "" if known.incarnation is None else self.keys.incarnation(known.incarnation)
        floor, taken, complete_from = known.floor, known.taken, known.complete_from
        if note is not None and self.requirements.still_stands(entry, note, token, incarnation):
            if incarnation != note.incarnation:
                taken, complete_from = note.taken.newest(taken.taken_at(-1)), note.complete_from
            incarnation, floor = note.incarnation, note.floor
        return Note(
            token=self.binding.of_token(token),
            # What the application says will do here: it counts only for a token that is proven to be of that session.
            session="" if entry.session is None else self.binding.of_session(entry.session.session_id),
            incarnation=incarnation,
            floor=floor,
            taken=taken,
            complete_from=complete_from,
            parked=parked,
            foreign=() if note is None else self._left_foreign(entry, note, token),
            issued=self.clock.time(),
        )

    def _passed_on(self, entry: Entry, note: Note, token: str, parked: ContextChanges) -> Note:
        """Return a note as it was brought, as nobody can tell yet whether it is of the same session.

        The switches go along with the shopper in any case; attributes have to wait for their own token.
        """
        mine, attributes = self.binding.of_token(token), parked.attributes()
        own = (ForeignPending(mine, "", attributes),) if attributes else ()
        return replace(
            note,
            parked=parked.switches().newest(note.parked),
            foreign=(*self._others(entry, note, token), *own),
            on_behalf_of=mine,
            issued=self.clock.time(),
        )

    def _left_foreign(self, entry: Entry, note: Note, token: str) -> tuple[ForeignPending, ...]:
        """Return the attributes that have to go on waiting for their own session."""
        others = self._others(entry, note, token)
        if self.binding.binds(note, entry, token):
            return others
        left = [ForeignPending(note.token, note.session, note.parked.attributes())]
        # A later choice of the same field is not undone, though nobody will know any more that Emporix has it.
        left += [each if each.session else replace(each, changes=each.changes.minus(note.taken)) for each in others]
        return tuple(each for each in left if each.changes)

    def _others(self, entry: Entry, note: Note, token: str) -> tuple[ForeignPending, ...]:
        return tuple(each for each in note.foreign if not self.binding.binds(each, entry, token))
