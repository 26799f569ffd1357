"""What a browser may expect because of what another worker has told it: no less than its own writes."""

from __future__ import annotations

from typing import Final

from ..clock import Clock
from ..model.document import ContextDocument
from ..model.view import Snapshot
from .binding import Binding
from .carried import Carried
from .identity import Naming
from .slot import Slot

__all__ = ["Expectations"]

FAR_AHEAD: Final = 1_000
FORCED_AT_ONCE: Final = 10.0
FORCED_PER_SECOND: Final = 1.0
FORCED_MEMORY: Final = 30.0
LONGEST_LAG: Final = 1.0


class Expectations:
    """Compares what slots know with what browsers carry.

    Args:
        naming: fingerprints of contexts.
        binding: tells whose something is that was carried.
        clock: where time comes from.
    """

    def __init__(self, naming: Naming, binding: Binding, clock: Clock) -> None:
        self._naming = naming
        self._binding = binding
        self._clock = clock

    def note(self, slot: Slot, carried: Carried, token: str) -> None:
        """Let a slot know what a browser has seen; what is cached from before that is not good enough any more."""
        if self._binding.binds(carried, slot, token):
            self._learn(slot, carried)
        if slot.met is carried or slot.expected is carried or carried.floor < 0:
            return
        slot.expected = carried
        document = slot.snapshot.document
        if document is None:
            if self._forced(slot) >= FORCED_AT_ONCE:
                slot.expected = None  # Emporix has been asked often enough whether it has that version
            elif self._binding.binds(carried, slot, token) and self._may_force(slot):
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

    def met(self, slot: Slot, token: str, carried: Carried | None, snapshot: Snapshot) -> None:
        """Note that a browser was shown what it may expect."""
        if carried is None:
            return
        self.note(slot, carried, token)  # the answer may have told to which session the token belongs
        document = snapshot.document
        seen = document is not None and not snapshot.stale and not self.behind(slot, document)
        if seen and not self._binding.apart(slot, carried, token):
            slot.met = carried

    def still_stands(self, slot: Slot, carried: Carried, token: str, identity: str) -> bool:
        """Tell whether a floor was brought along that nothing has come up to yet."""
        if slot.met is carried or carried.floor < 0 or not self._binding.binds(carried, slot, token):
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
            and carried.session == self._binding.of_session(session_id)
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
