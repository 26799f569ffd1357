"""What a browser takes along from one worker to the next, and what of it is to be shown and sent."""

from __future__ import annotations

from dataclasses import replace

from ..clock import Clock
from ..model.changes import NO_CHANGES, ContextChanges
from ..model.view import Snapshot
from .binding import Binding
from .entry import Entry
from .keys import Keys
from .note import ForeignPending, Note
from .requirements import Requirements

__all__ = ["Handover"]


class Handover:
    """Puts together what browsers carry.

    Args:
        naming: fingerprints of contexts.
        binding: tells whose something is that was carried.
        expectations: tells which floors still stand.
        clock: where time comes from.
    """

    def __init__(self, naming: Keys, binding: Binding, expectations: Requirements, clock: Clock) -> None:
        self._naming = naming
        self._binding = binding
        self._expectations = expectations
        self._clock = clock

    def with_parked(self, entry: Entry, token: str, carried: Note | None, snapshot: Snapshot) -> Snapshot:
        """Show what a browser carries and Emporix has not taken."""
        if carried is None or snapshot.rejected:
            return snapshot
        parked = self.parked(entry, carried, token).newest(snapshot.parked.minus(entry.settled))
        return replace(snapshot, parked=parked)

    def parked(self, entry: Entry, carried: Note | None, token: str) -> ContextChanges:
        """Return what a browser carries and Emporix has not taken; to another session only the switches go along."""
        if carried is None or not carried.waits:
            return NO_CHANGES
        changes = carried.parked
        if not self._binding.binds(carried, entry, token):
            changes = changes.switches()
        return changes.newest(self._binding.apart(entry, carried, token)).minus(entry.settled)

    def to_carry(self, entry: Entry, carried: Note | None, token: str, shown: ContextChanges) -> Note:
        """Return what the browser should take to the next worker, in place of what it brought along.

        Args:
            entry: what is known here.
            carried: what was brought along.
            token: of the request.
            shown: the parked changes that the request has shown; a store may have lost them since.
        """
        here = shown.newest(entry.snapshot.parked).minus(entry.settled)
        waiting = self.parked(entry, carried, token).newest(here)
        if carried is not None and not entry.proven and not self._binding.binds(carried, entry, token):
            return self._lend(entry, carried, token, waiting)
        identity = "" if entry.floor_of is None else self._naming.identity(entry.floor_of)
        floor, settled, since = entry.floor, entry.settled, entry.since
        if carried is not None and self._expectations.still_stands(entry, carried, token, identity):
            if identity != carried.identity:
                settled, since = carried.settled.newest(settled.taken_at(-1)), carried.since
            identity, floor = carried.identity, carried.floor
        return Note(
            token=self._binding.of_token(token),
            # What the application says will do here: it counts only for a token that is proven to be of that session.
            session="" if entry.session_id is None else self._binding.of_session(entry.session_id),
            identity=identity,
            floor=floor,
            settled=settled,
            since=since,
            parked=waiting,
            apart=() if carried is None else self._left_apart(entry, carried, token),
            issued=self._clock.time(),
        )

    def _lend(self, entry: Entry, carried: Note, token: str, waiting: ContextChanges) -> Note:
        """Return what was brought along as it was, as nobody can tell yet whether it is of the same session.

        The switches go along with the shopper in any case; attributes have to wait for their own token.
        """
        mine, attributes = self._binding.of_token(token), waiting.attributes()
        own = (ForeignPending(mine, "", attributes),) if attributes else ()
        return replace(
            carried,
            parked=waiting.switches().newest(carried.parked),
            apart=(*self._others(entry, carried, token), *own),
            borrower=mine,
            issued=self._clock.time(),
        )

    def _left_apart(self, entry: Entry, carried: Note, token: str) -> tuple[ForeignPending, ...]:
        """Return the attributes that have to go on waiting for their own session."""
        others = self._others(entry, carried, token)
        if self._binding.binds(carried, entry, token):
            return others
        left = [ForeignPending(carried.token, carried.session, carried.parked.attributes())]
        # A later choice of the same field is not undone, though nobody will know any more that Emporix has it.
        left += [
            each if each.session else replace(each, changes=each.changes.minus(carried.settled)) for each in others
        ]
        return tuple(each for each in left if each.changes)

    def _others(self, entry: Entry, carried: Note, token: str) -> tuple[ForeignPending, ...]:
        return tuple(each for each in carried.apart if not self._binding.binds(each, entry, token))
