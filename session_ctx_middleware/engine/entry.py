"""What this process knows about one token's context."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..model.changes import NO_CHANGES, ContextChanges
from ..model.document import ContextDocument
from ..model.fields import MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES
from ..model.view import NOTHING_KNOWN, Snapshot
from .note import Note

if TYPE_CHECKING:
    from .flights import Flight

__all__ = ["NEVER", "Entry"]

NEVER: Final = float("-inf")
UNKNOWN: Final = sys.maxsize
NOT_FORCED: Final = (0.0, NEVER)  # one for all entries


class Entry:
    """The state of one token: only ever touched on its event loop, between awaits.

    Two numbers keep a read that overlapped a write from being published: `generation` and `floor`.

    Attributes:
        generation: rises when a write starts and when it ends; a read publishes only into the one it started in.
        floor: the lowest version of the context `floor_of` that may still be believed.
        proven: an authenticated answer told the session; what an application says about it counts for less.
        settled: the last changes of the context `settled_of` that Emporix took from this shopper, as far as is known:
            an earlier wish for one of their fields has had its time.
        since: over a document of this version or later, `settled` shows what the shopper has chosen.
        told: the highest version that another process has told of.
        rumour: what was told of a context that has not been seen here yet.
        past: the context that has made room for another one, and until when a lagging replica may still show it.
        news: how often others have changed what is parked; `looked` is that count when the store was asked last,
            and `looked_in` the session under whose name it was asked as well: empty for none, `None` for not yet.
        expected: what the last browser carried; `met` is the last that was satisfied.
        filed_until: how long the table has promised to keep it.
        used: whether anybody has asked for it since the table last looked for one to do without.
        seen: the store's epoch in which this entry was compared with it.
    """

    __slots__ = (
        "asked_at",
        "drain_after",
        "epoch",
        "error_until",
        "expected",
        "expires_at",
        "filed_until",
        "flight",
        "floor",
        "floor_of",
        "forced",
        "fresh_until",
        "generation",
        "kept_until",
        "key",
        "looked",
        "looked_in",
        "met",
        "news",
        "next_attempt",
        "past",
        "pins",
        "proven",
        "rumour",
        "seen",
        "sending",
        "session",
        "session_id",
        "settled",
        "settled_of",
        "since",
        "snapshot",
        "stale_until",
        "told",
        "used",
        "writers",
    )

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.session_id: str | None = None
        self.session: str | None = None
        self.proven = False
        self.seen = 0
        self.expected: Note | None = None
        self.met: Note | None = None
        self.forced = NOT_FORCED
        self.kept_until = NEVER
        self.filed_until = NEVER
        self.used = False
        self.settled = NO_CHANGES
        self.settled_of: tuple[str | None, str | None] | None = None
        self.since = UNKNOWN
        self.told = -1
        self.past: tuple[tuple[str | None, str | None], float] | None = None
        self.rumour: tuple[str, int] | None = None
        self.sending = 0
        self.snapshot = NOTHING_KNOWN
        self.asked_at = NEVER
        self.fresh_until = NEVER
        self.stale_until = NEVER
        self.error_until = NEVER
        self.expires_at: float | None = None
        self.next_attempt = NEVER
        self.drain_after = NEVER
        self.generation = 0
        self.epoch = 0
        self.floor = -1
        self.looked_in: str | None = None
        self.news = self.looked = 0
        self.floor_of: tuple[str | None, str | None] | None = None
        self.writers = 0
        self.pins = 0
        self.flight: Flight | None = None

    @property
    def name(self) -> str:
        """The name of the token outside this process."""
        return f"token-{self.key.hex()}"

    def __repr__(self) -> str:
        return f"<Entry generation={self.generation} writers={self.writers}>"

    def outdated(self, document: ContextDocument) -> bool:
        """Tell whether a version that is already known to be past would come back with `document`.

        A context that was created anew starts at version 1 again, so versions of two identities are not compared:
        of those the one that was created earlier is past, where both say when in the same notation.
        """
        if document.identity == self.floor_of:
            return document.version < self.floor
        session_id, created_at = self.floor_of or (None, None)
        if document.created_at is None or created_at is None or document.session_id != session_id:
            return False
        return len(document.created_at) == len(created_at) and document.created_at < created_at

    def raise_floor(self, identity: tuple[str | None, str | None], version: int) -> None:
        """Believe nothing below `version` of this identity any more."""
        if identity == self.floor_of:
            self.floor = max(self.floor, version)
        else:
            self._begin(identity, version)

    def hear(self, identity: tuple[str | None, str | None], version: int) -> None:
        """Note that another process has made `version` of this identity: what it changed is not known here."""
        self.raise_floor(identity, version)
        self.told = max(self.told, version)
        self.since = max(self.since, version)

    def lacks(self, document: ContextDocument) -> bool:
        """Tell whether a document is from before a change of the shopper's that is not known here."""
        return document.identity == self.floor_of and document.version < min(self.told, self.since)

    def believe(self, document: ContextDocument) -> None:
        """Take a document that is not outdated as what is known now."""
        if document.identity == self.floor_of:
            self.floor = document.version
        else:
            self._begin(document.identity, document.version)

    def _begin(self, identity: tuple[str | None, str | None], version: int) -> None:
        """Follow another context than before; its versions have nothing to do with those of the last one."""
        if identity != self.settled_of:
            self.settled, self.since = self.settled.taken_at(-1), UNKNOWN
        self.floor_of, self.floor, self.told = identity, version, -1
        self.settled_of = identity

    def settle(self, changes: ContextChanges, version: int) -> None:
        """Note what Emporix has taken with `version` of the context."""
        if changes:
            self.since = min(self.since, max(version - 1, self.told))
            self.remember(changes.taken_at(version).over(self.settled))

    def learn(self, other: Entry) -> None:
        """Add what is settled, and what may be believed, according to another token of the session."""
        known = self.floor
        if other.floor_of is not None and self.floor_of in {None, other.floor_of}:
            self.raise_floor(other.floor_of, other.floor)
        if self.settled_of is None:
            self.settled_of = other.settled_of
        same = self.settled_of == other.settled_of
        if same and other.told >= self.told:  # else it has not heard of a change that is not known here either
            self.vouch(other.since, other.floor, known)
        self.remember(self.settled.newest(other.settled if same else other.settled.taken_at(-1)))

    def vouch(self, since: int, until: int, known: int) -> None:
        """Note that what is learnt of settled changes goes from one version to another.

        Args:
            since: over a document of this version or later, all of them show,
            until: up to this version.
            known: up to which version those that were known here before show.
        """
        earlier, later = sorted(((self.since, known), (since, until)), key=lambda each: each[1])
        joined = later[0] <= earlier[1]  # else nobody knows what was between
        self.since = min(earlier[0], later[0]) if joined else later[0]

    def remember(self, settled: ContextChanges) -> None:
        """Keep what was settled, as much of it as there is room for."""
        kept = settled.within(MAX_ATTRIBUTES, MAX_ATTRIBUTE_BYTES)
        if len(kept) < len(settled):
            dropped = (op.taken for path, op in settled.operations.items() if path not in kept)
            self.since = max(self.since, *dropped)
        self.settled = kept
        parked = self.snapshot.parked.minus(kept)
        if parked is not self.snapshot.parked:
            self.snapshot = replace(self.snapshot, parked=parked)

    def fence(self) -> None:
        """Keep every read that is in the air from being published, and new callers from joining it."""
        self.generation += 1
        self.flight = None

    def overlay(self, changes: ContextChanges) -> None:
        """Show changes that Emporix has taken over the document, until a GET brings a later one."""
        if self.snapshot.document is not None:
            self.snapshot = replace(self.snapshot, accepted=changes.over(self.snapshot.accepted))

    def expire(self) -> None:
        """Make the next read ask Emporix; what is known stays for when that fails."""
        self.fresh_until = self.stale_until = NEVER

    def disown(self) -> None:
        """Show the document to nobody any more, also when Emporix cannot be asked."""
        self.error_until = NEVER
        self.snapshot = Snapshot(parked=self.snapshot.parked)

    def supersede(self, identity: tuple[str | None, str | None], until: float) -> None:
        """Show nothing of this context any more, and do not believe a lagging replica in it `until` (monotonic)."""
        self.past = (identity, until)
        self.disown()
        self.expire()

    def superseded(self, document: ContextDocument, now: float) -> bool:
        """Tell whether a document is of a context in whose place another one has been seen a moment ago."""
        return self.past is not None and document.identity == self.past[0] and now < self.past[1]

    def clear(self, parked: ContextChanges = NO_CHANGES) -> None:
        """Forget what is known but `parked`, at once and also for when Emporix cannot be asked."""
        self.snapshot = Snapshot(parked=parked) if parked else NOTHING_KNOWN
        self.asked_at = self.next_attempt = self.drain_after = NEVER
        self.fresh_until = self.stale_until = self.error_until = NEVER
