"""What a browser takes along from one worker to the next, and what of it is to be shown and sent."""

from __future__ import annotations

from dataclasses import replace

from ..clock import Clock
from ..model.changes import NO_CHANGES, ContextChanges
from ..model.view import Snapshot
from .binding import Binding
from .carried import Carried, Waiting
from .expectations import Expectations
from .identity import Naming
from .slot import Slot

__all__ = ["Carrying"]


class Carrying:
    """Puts together what browsers carry.

    Args:
        naming: fingerprints of contexts.
        binding: tells whose something is that was carried.
        expectations: tells which floors still stand.
        clock: where time comes from.
    """

    def __init__(self, naming: Naming, binding: Binding, expectations: Expectations, clock: Clock) -> None:
        self._naming = naming
        self._binding = binding
        self._expectations = expectations
        self._clock = clock

    def with_parked(self, slot: Slot, token: str, carried: Carried | None, snapshot: Snapshot) -> Snapshot:
        """Show what a browser carries and Emporix has not taken."""
        if carried is None or snapshot.rejected:
            return snapshot
        parked = self.parked(slot, carried, token).newest(snapshot.parked.minus(slot.settled))
        return replace(snapshot, parked=parked)

    def parked(self, slot: Slot, carried: Carried | None, token: str) -> ContextChanges:
        """Return what a browser carries and Emporix has not taken; to another session only the switches go along."""
        if carried is None or not carried.waits:
            return NO_CHANGES
        changes = carried.parked
        if not self._binding.binds(carried, slot, token):
            changes = changes.switches()
        return changes.newest(self._binding.apart(slot, carried, token)).minus(slot.settled)

    def to_carry(self, slot: Slot, carried: Carried | None, token: str, shown: ContextChanges) -> Carried:
        """Return what the browser should take to the next worker, in place of what it brought along.

        Args:
            slot: what is known here.
            carried: what was brought along.
            token: of the request.
            shown: the parked changes that the request has shown; a store may have lost them since.
        """
        here = shown.newest(slot.snapshot.parked).minus(slot.settled)
        waiting = self.parked(slot, carried, token).newest(here)
        if carried is not None and not slot.proven and not self._binding.binds(carried, slot, token):
            return self._lend(slot, carried, token, waiting)
        identity = "" if slot.floor_of is None else self._naming.identity(slot.floor_of)
        floor, settled, since = slot.floor, slot.settled, slot.since
        if carried is not None and self._expectations.still_stands(slot, carried, token, identity):
            if identity != carried.identity:
                settled, since = carried.settled.newest(settled.taken_at(-1)), carried.since
            identity, floor = carried.identity, carried.floor
        return Carried(
            token=self._binding.of_token(token),
            # What the application says will do here: it counts only for a token that is proven to be of that session.
            session="" if slot.session_id is None else self._binding.of_session(slot.session_id),
            identity=identity,
            floor=floor,
            settled=settled,
            since=since,
            parked=waiting,
            apart=() if carried is None else self._left_apart(slot, carried, token),
            issued=self._clock.time(),
        )

    def _lend(self, slot: Slot, carried: Carried, token: str, waiting: ContextChanges) -> Carried:
        """Return what was brought along as it was, as nobody can tell yet whether it is of the same session.

        The switches go along with the shopper in any case; attributes have to wait for their own token.
        """
        mine, attributes = self._binding.of_token(token), waiting.attributes()
        own = (Waiting(mine, "", attributes),) if attributes else ()
        return replace(
            carried,
            parked=waiting.switches().newest(carried.parked),
            apart=(*self._others(slot, carried, token), *own),
            borrower=mine,
            issued=self._clock.time(),
        )

    def _left_apart(self, slot: Slot, carried: Carried, token: str) -> tuple[Waiting, ...]:
        """Return the attributes that have to go on waiting for their own session."""
        others = self._others(slot, carried, token)
        if self._binding.binds(carried, slot, token):
            return others
        left = [Waiting(carried.token, carried.session, carried.parked.attributes())]
        # A later choice of the same field is not undone, though nobody will know any more that Emporix has it.
        left += [
            each if each.session else replace(each, changes=each.changes.minus(carried.settled)) for each in others
        ]
        return tuple(each for each in left if each.changes)

    def _others(self, slot: Slot, carried: Carried, token: str) -> tuple[Waiting, ...]:
        return tuple(each for each in carried.apart if not self._binding.binds(each, slot, token))
