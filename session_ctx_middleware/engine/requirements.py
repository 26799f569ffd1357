"""What a browser may expect because of what another worker has told it: no less than its own writes."""

from __future__ import annotations

from typing import Final

from ..clock import Clock
from ..model.document import ContextDocument
from ..model.view import Snapshot
from .binding import Binding
from .entry import Entry
from .keys import Keys
from .note import Note

__all__ = ["Requirements"]

FAR_AHEAD: Final = 1_000
FORCED_AT_ONCE: Final = 10.0
FORCED_PER_SECOND: Final = 1.0
FORCED_MEMORY: Final = 30.0
LONGEST_LAG: Final = 1.0


class Requirements:
    """Compares what entries know with what browsers carry.

    Args:
        naming: fingerprints of contexts.
        binding: tells whose something is that was carried.
        clock: where time comes from.
    """

    def __init__(self, naming: Keys, binding: Binding, clock: Clock) -> None:
        self._naming = naming
        self._binding = binding
        self._clock = clock

    def note(self, entry: Entry, carried: Note, token: str) -> None:
        """Let a entry know what a browser has seen; what is cached from before that is not good enough any more."""
        if self._binding.binds(carried, entry, token):
            self._learn(entry, carried)
        if entry.met is carried or entry.expected is carried or carried.floor < 0:
            return
        entry.expected = carried
        document = entry.snapshot.document
        if document is None:
            if self._forced(entry) >= FORCED_AT_ONCE:
                entry.expected = None  # Emporix has been asked often enough whether it has that version
            elif self._binding.binds(carried, entry, token) and self._may_force(entry):
                entry.expire()  # there was no context a moment ago; there is one now
        elif self.behind(entry, document) or self._another(entry, document, carried):
            self._force(entry, document, carried)

    def heed(self, entry: Entry, document: ContextDocument) -> bool:
        """Take what other processes have told of a context as its floor; tell whether it was this one."""
        if entry.rumour is None:
            return False
        identity, version = entry.rumour
        if identity != self._naming.identity(document.identity):
            return False
        entry.rumour = None
        entry.hear(document.identity, version)
        return True

    def supersede(self, entry: Entry, document: ContextDocument) -> None:
        """Take a document for past, because the session has been given another context since."""
        entry.supersede(document.identity, self._clock.monotonic() + LONGEST_LAG)

    def behind(self, entry: Entry, document: ContextDocument) -> bool:
        """Tell whether a document is older than what the last browser has seen."""
        if entry.superseded(document, self._clock.monotonic()):
            return True
        carried = entry.expected
        if carried is None or carried.identity != self._naming.identity(document.identity):
            return False
        return document.version < carried.floor <= document.version + FAR_AHEAD

    def lacks(self, entry: Entry, document: ContextDocument) -> bool:
        """Tell whether a document is older than what Emporix took from this shopper, and does not have it.

        Unlike `behind` this holds for every browser that has been here, however often it came: it is for documents
        that can be passed over without asking Emporix more than once.
        """
        taken = entry.settled.taken_after(document.version)
        return entry.settled_of in {None, document.identity} and bool(taken.missing_from(document))

    def unmet(self, entry: Entry) -> None:
        """Note that Emporix did not have what a browser expects; do not go on asking with every page."""
        entry.kept_until = self._clock.monotonic() + FORCED_MEMORY
        if entry.expected is not None and not self._may_force(entry):
            entry.expected = None

    def met(self, entry: Entry, token: str, carried: Note | None, snapshot: Snapshot) -> None:
        """Note that a browser was shown what it may expect."""
        if carried is None:
            return
        self.note(entry, carried, token)  # the answer may have told to which session the token belongs
        document = snapshot.document
        seen = document is not None and not snapshot.stale and not self.behind(entry, document)
        if seen and not self._binding.apart(entry, carried, token):
            entry.met = carried

    def still_stands(self, entry: Entry, carried: Note, token: str, identity: str) -> bool:
        """Tell whether a floor was brought along that nothing has come up to yet."""
        if entry.met is carried or carried.floor < 0 or not self._binding.binds(carried, entry, token):
            return False
        if carried.identity == identity:
            return carried.floor > entry.floor
        return self._tells_of_another(entry, carried, identity)

    def _learn(self, entry: Entry, carried: Note) -> None:
        """Add to what a entry knows to be settled what other workers have settled."""
        identity = None if entry.settled_of is None else self._naming.identity(entry.settled_of)
        if identity is None or identity == carried.identity:
            if carried.floor >= entry.told:  # else another process has told of a change that the browser does not know
                entry.vouch(carried.since, carried.floor, entry.floor)
            entry.remember(carried.settled.newest(entry.settled))
        else:
            entry.remember(carried.settled.taken_at(-1).newest(entry.settled))

    def _another(self, entry: Entry, document: ContextDocument, carried: Note) -> bool:
        """Tell whether the browser has seen another context of this very session than the one that is cached."""
        session_id = document.session_id
        return (
            self._tells_of_another(entry, carried, self._naming.identity(document.identity))
            and session_id is not None
            and carried.session == self._binding.of_session(session_id)
        )

    def _tells_of_another(self, entry: Entry, carried: Note, identity: str) -> bool:
        """Tell whether a cookie is of another context, and not of one that has made room for this one here."""
        return carried.identity != identity and (entry.met is None or entry.met.identity != carried.identity)

    def _force(self, entry: Entry, document: ContextDocument, carried: Note) -> None:
        another = self._another(entry, document, carried)
        whole = entry.since <= document.version and not another
        if whole:
            entry.overlay(entry.settled.taken_after(document.version))
        if self._may_force(entry):
            entry.fence()
            entry.expire()
            if another:
                self.supersede(entry, document)
            elif not whole:
                entry.disown()  # better the defaults than what the shopper knows to be past
        elif self._clock.monotonic() >= entry.fresh_until:
            entry.expected = None

    def _may_force(self, entry: Entry) -> bool:
        """Tell whether a cookie may make this entry ask Emporix: a few times at once, then once a second."""
        level = self._forced(entry)
        allowed = level < FORCED_AT_ONCE
        entry.forced = (level + 1 if allowed else level, self._clock.monotonic())
        return allowed

    def _forced(self, entry: Entry) -> float:
        level, since = entry.forced
        return max(0.0, level - (self._clock.monotonic() - since) * FORCED_PER_SECOND)
