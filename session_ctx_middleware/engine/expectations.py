"""What a browser may expect because of what another worker has told it: its own writes, and what waits for Emporix."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..changes import NO_CHANGES, ContextChanges
from ..clock import Clock
from ..document import ContextDocument
from .carried import Carried, Waiting
from .identity import Naming
from .slot import Slot, Snapshot

__all__ = ["Expectations"]

FAR_AHEAD: Final = 1_000
FORCED_AT_ONCE: Final = 10.0
FORCED_PER_SECOND: Final = 1.0
FORCED_MEMORY: Final = 30.0
LONGEST_LAG: Final = 1.0


class Expectations:
    """Compares what slots know with what browsers carry.

    Args:
        naming: fingerprints of tokens, sessions and contexts.
        clock: where time comes from.
    """

    def __init__(self, naming: Naming, clock: Clock) -> None:
        self._naming = naming
        self._clock = clock

    def binds(self, made: Carried | Waiting, slot: Slot, token: str) -> bool:
        """Tell whether something was made for this token, or for another one of its session."""
        if made.token == self.of_token(token):
            return True
        return slot.proven and slot.session_id is not None and made.session == self.of_session(slot.session_id)

    def of_token(self, token: str) -> str:
        """Return the fingerprint of a token."""
        return self._naming.fingerprint("token", token)

    def of_session(self, session_id: str) -> str:
        """Return the fingerprint of a session."""
        return self._naming.fingerprint("session", session_id)

    def note(self, slot: Slot, carried: Carried, token: str) -> None:
        """Let a slot know what a browser has seen; what is cached from before that is not good enough any more."""
        if self.binds(carried, slot, token):
            self._learn(slot, carried)
        if slot.met is carried or slot.expected is carried or carried.floor < 0:
            return
        slot.expected = carried
        document = slot.snapshot.document
        if document is None:
            if self._forced(slot) >= FORCED_AT_ONCE:
                slot.expected = None  # Emporix has been asked often enough whether it has that version
            elif self.binds(carried, slot, token) and self._may_force(slot):
                slot.expire()  # there was no context a moment ago; there is one now
        elif self.behind(slot, document) or self._another(slot, document, carried):
            self._force(slot, document, carried)

    def heed(self, slot: Slot, document: ContextDocument) -> bool:
        """Take what other processes have told of a context as its floor; tell whether it was this one."""
        if slot.rumour is None:
            return False
        identity, version = slot.rumour
        if identity != self._naming.identity(document.identity):
            return False
        slot.rumour = None
        slot.hear(document.identity, version)
        return True

    def supersede(self, slot: Slot, document: ContextDocument) -> None:
        """Take a document for past, because the session has been given another context since."""
        slot.supersede(document.identity, self._clock.monotonic() + LONGEST_LAG)

    def behind(self, slot: Slot, document: ContextDocument) -> bool:
        """Tell whether a document is older than what the last browser has seen."""
        if slot.superseded(document, self._clock.monotonic()):
            return True
        carried = slot.expected
        if carried is None or carried.identity != self._naming.identity(document.identity):
            return False
        return document.version < carried.floor <= document.version + FAR_AHEAD

    def lacks(self, slot: Slot, document: ContextDocument) -> bool:
        """Tell whether a document is older than what Emporix took from this shopper, and does not have it.

        Unlike `behind` this holds for every browser that has been here, however often it came: it is for documents
        that can be passed over without asking Emporix more than once.
        """
        taken = slot.settled.taken_after(document.version)
        return slot.settled_of in {None, document.identity} and bool(taken.missing_from(document))

    def unmet(self, slot: Slot) -> None:
        """Note that Emporix did not have what a browser expects; do not go on asking with every page."""
        slot.kept_until = self._clock.monotonic() + FORCED_MEMORY
        if slot.expected is not None and not self._may_force(slot):
            slot.expected = None

    def met(self, slot: Slot, token: str, carried: Carried | None, snapshot: Snapshot) -> Snapshot:
        """Note that a browser was shown what it may expect, and show what it carries."""
        if carried is None:
            return snapshot
        self.note(slot, carried, token)  # the answer may have told to which session the token belongs
        document = snapshot.document
        seen = document is not None and not snapshot.stale and not self.behind(slot, document)
        if seen and not self._apart(slot, carried, token):
            slot.met = carried
        return self.with_parked(slot, token, carried, snapshot)

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
        if not self.binds(carried, slot, token):
            changes = changes.switches()
        return changes.newest(self._apart(slot, carried, token)).minus(slot.settled)

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
        if carried is not None and not slot.proven and not self.binds(carried, slot, token):
            return self._lend(slot, carried, token, waiting)
        identity = "" if slot.floor_of is None else self._naming.identity(slot.floor_of)
        floor, settled, since = slot.floor, slot.settled, slot.since
        if carried is not None and self._still_stands(slot, carried, token, identity):
            if identity != carried.identity:
                settled, since = carried.settled.newest(settled.taken_at(-1)), carried.since
            identity, floor = carried.identity, carried.floor
        return Carried(
            token=self.of_token(token),
            # What the application says will do here: it counts only for a token that is proven to be of that session.
            session="" if slot.session_id is None else self.of_session(slot.session_id),
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
        mine, attributes = self.of_token(token), waiting.attributes()
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
        if self.binds(carried, slot, token):
            return others
        left = [Waiting(carried.token, carried.session, carried.parked.attributes())]
        # A later choice of the same field is not undone, though nobody will know any more that Emporix has it.
        left += [
            each if each.session else replace(each, changes=each.changes.minus(carried.settled)) for each in others
        ]
        return tuple(each for each in left if each.changes)

    def _others(self, slot: Slot, carried: Carried, token: str) -> tuple[Waiting, ...]:
        return tuple(each for each in carried.apart if not self.binds(each, slot, token))

    def _apart(self, slot: Slot, carried: Carried, token: str) -> ContextChanges:
        """Return the attributes that were set apart for this token, or for another one of its session."""
        own = NO_CHANGES
        for each in carried.apart:
            if self.binds(each, slot, token):
                own = own.newest(each.changes.attributes())
        return own

    def _still_stands(self, slot: Slot, carried: Carried, token: str, identity: str) -> bool:
        """Tell whether a floor was brought along that nothing has come up to yet."""
        if slot.met is carried or carried.floor < 0 or not self.binds(carried, slot, token):
            return False
        if carried.identity == identity:
            return carried.floor > slot.floor
        return self._tells_of_another(slot, carried, identity)

    def _learn(self, slot: Slot, carried: Carried) -> None:
        """Add to what a slot knows to be settled what other workers have settled."""
        identity = None if slot.settled_of is None else self._naming.identity(slot.settled_of)
        if identity is None or identity == carried.identity:
            if carried.floor >= slot.told:  # else another process has told of a change that the browser does not know
                slot.vouch(carried.since, carried.floor, slot.floor)
            slot.remember(carried.settled.newest(slot.settled))
        else:
            slot.remember(carried.settled.taken_at(-1).newest(slot.settled))

    def _another(self, slot: Slot, document: ContextDocument, carried: Carried) -> bool:
        """Tell whether the browser has seen another context of this very session than the one that is cached."""
        session_id = document.session_id
        return (
            self._tells_of_another(slot, carried, self._naming.identity(document.identity))
            and session_id is not None
            and carried.session == self.of_session(session_id)
        )

    def _tells_of_another(self, slot: Slot, carried: Carried, identity: str) -> bool:
        """Tell whether a cookie is of another context, and not of one that has made room for this one here."""
        return carried.identity != identity and (slot.met is None or slot.met.identity != carried.identity)

    def _force(self, slot: Slot, document: ContextDocument, carried: Carried) -> None:
        another = self._another(slot, document, carried)
        whole = slot.since <= document.version and not another
        if whole:
            slot.overlay(slot.settled.taken_after(document.version))
        if self._may_force(slot):
            slot.fence()
            slot.expire()
            if another:
                self.supersede(slot, document)
            elif not whole:
                slot.disown()  # better the defaults than what the shopper knows to be past
        elif self._clock.monotonic() >= slot.fresh_until:
            slot.expected = None

    def _may_force(self, slot: Slot) -> bool:
        """Tell whether a cookie may make this slot ask Emporix: a few times at once, then once a second."""
        level = self._forced(slot)
        allowed = level < FORCED_AT_ONCE
        slot.forced = (level + 1 if allowed else level, self._clock.monotonic())
        return allowed

    def _forced(self, slot: Slot) -> float:
        level, since = slot.forced
        return max(0.0, level - (self._clock.monotonic() - since) * FORCED_PER_SECOND)
