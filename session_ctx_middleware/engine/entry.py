"""What one event loop keeps for one token: what is cached, for how long, and how the store was asked about it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from ..model.changes import ContextChanges
from ..model.document import ContextDocument
from ..model.view import NOTHING_KNOWN, Snapshot
from .consistency import START, Consistency
from .notes import Notes
from .store_view import StoreView

__all__ = ["NEVER", "Entry", "Fence", "Membership"]

NEVER: Final = float("-inf")


class Fence(NamedTuple):
    """What a read has to find unchanged when it lands, or it is not published (fencing token, Kleppmann 2016).

    Args:
        era: rises with each logout; what began before must not come back.
        generation: rises when a write starts and when it ends, and when a read is given up.
        patched_at: when Emporix took the last PATCH of this process, in monotonic seconds.
    """

    era: int = 0
    generation: int = 0
    patched_at: float = float("-inf")


OPEN: Final = Fence()


@dataclass(slots=True, repr=False)  # frozen, it would take twice as long to make, with every miss
class Membership:
    """To which session a token belongs.

    Args:
        session_id: the session at Emporix; empty where a store has only told its name.
        name: its name outside this process.
        proven: whether an authenticated answer says so.
        linked: whether a store says so, which some worker has told after such an answer.
    """

    session_id: str
    name: str
    proven: bool
    linked: bool = False

    @property
    def counts(self) -> bool:
        """Whether more than the application says so, which may believe whatever a client sends."""
        return self.proven or self.linked


class Entry:
    """The cache entry of one token: only ever touched on its event loop, between awaits.

    Attributes:
        key: the cache key of the token.
        session: to which session the token belongs, as far as is known.
        ends_at: when the token ends, in seconds since the epoch; `None` where nothing says so.
        snapshot: what reads show.
        asked_at: when Emporix was asked for the document, in monotonic seconds, as all that follow; `NEVER` where only
            the clock of another host says so.
        fresh_until: until when it is served without asking (RFC 9111, section 4.2).
        stale_until: until when it is served while it is renewed (RFC 5861, stale-while-revalidate).
        error_until: until when it is served if Emporix cannot be asked (RFC 5861, stale-if-error).
        retry_at: when Emporix may be asked again after a failure.
        fence: what a read in flight has to find unchanged.
        store_view: how far the entry has kept up with the store.
        used: whether anybody has asked for it since the cache last looked for one to evict (CLOCK).
        kept_until: how long the cache has promised to keep it.
    """

    __slots__ = (
        "_consistency",
        "asked_at",
        "ends_at",
        "error_until",
        "fence",
        "fresh_until",
        "kept_until",
        "key",
        "retry_at",
        "session",
        "snapshot",
        "stale_until",
        "store_view",
        "used",
    )

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.session: Membership | None = None
        self.ends_at: float | None = None
        self.snapshot = NOTHING_KNOWN
        self.asked_at = self.fresh_until = self.stale_until = self.error_until = self.retry_at = NEVER
        self.fence = OPEN
        self.store_view = StoreView()
        self._consistency = START
        self.used = False
        self.kept_until = NEVER

    def __repr__(self) -> str:
        return f"<Entry generation={self.fence.generation}>"

    @property
    def name(self) -> str:
        """The name of the token outside this process."""
        return f"token-{self.key.hex()}"

    @property
    def proven_session(self) -> Membership | None:
        """The session, if an authenticated answer has named it."""
        return self.session if self.session is not None and self.session.proven else None

    @property
    def told_session(self) -> Membership | None:
        """The session, if an authenticated answer or a store has named it: what others of it know counts here, too."""
        return self.session if self.session is not None and self.session.counts else None

    @property
    def owner(self) -> Hashable:
        """Whose context it is: the session, and where Emporix has not named it the key of the token."""
        return self.key if self.proven_session is None else self.proven_session.name

    @property
    def document(self) -> ContextDocument | None:
        """The document that reads show."""
        return self.snapshot.document

    @property
    def consistency(self) -> Consistency:
        """What is known about versions. Most entries were only read, so that their document says it all."""
        known, document = self._consistency, self.snapshot.document
        return known.published(document, self.asked_at) if known is START and document is not None else known

    def known_besides(self, document: ContextDocument) -> Consistency:
        """Return what is known about versions, without what a document that is shown says itself."""
        return self._consistency if self.snapshot.document is document else self.consistency

    # Reading from the cache.

    def hit(self, now: float, epoch: int, notes: Notes | None) -> Snapshot | None:
        """Return what can be served without asking anybody, `None` where that is nothing.

        Args:
            now: monotonic seconds.
            epoch: the store's at present.
            notes: what the browser brought; unless this shows all of it, the request takes the long way.
        """
        view = self.store_view
        if now >= self.fresh_until or view.epoch != epoch or view.looked != view.news:
            return None
        if notes is not None and self._consistency.satisfied is not notes:
            return None
        self.used = True
        return self.snapshot

    def has_ended(self, wall: float) -> bool:
        """Tell whether the token has ended at `wall` (seconds since the epoch), so that its document is void."""
        # Without a document there is nothing to keep back, only calls to be saved.
        return self.ends_at is not None and wall >= self.ends_at and self.snapshot.document is not None

    def read_elsewhere(self) -> tuple[Snapshot, float]:
        """Return the snapshot and when its document was asked for (monotonic seconds), for another event loop.

        That loop may be changing both at this moment. It shows a document before it sets its time, so that a document
        which is read after its time looks too old at worst, never too new.
        """
        asked_at = self.asked_at
        return self.snapshot, asked_at

    # What the cache keeps.

    def set_end(self, wall: float | None) -> None:
        """Note when the token ends, unless that is known."""
        if self.ends_at is None:
            self.ends_at = wall

    def joins(self, session: Membership) -> None:
        """Note to which session the token belongs."""
        self.session = session

    def touch(self) -> None:
        """Note that somebody has asked for this entry."""
        self.used = True

    def clear_used(self) -> None:
        """Clear the reference bit (CLOCK): the hand evicts the entry next time, unless somebody asks for it before."""
        self.used = False

    def keep(self, until: float) -> None:
        """Note until when the cache keeps it (monotonic seconds)."""
        self.kept_until = until

    # What is known.

    def learn(self, consistency: Consistency) -> None:
        """Take what is known about versions from now on; parked changes that turn out to be taken show no more."""
        self._learn(consistency, dated=self.asked_at != NEVER)

    def show(self, snapshot: Snapshot, consistency: Consistency, *, dated: bool = True) -> None:
        """Show a snapshot from now on.

        Args:
            snapshot: what was found, or what follows from a write.
            consistency: what is known about versions with it.
            dated: whether it is known when its document was asked for.
        """
        if snapshot.document is not self.snapshot.document:
            consistency = consistency.satisfying(None)  # what browsers bring is weighed against this one anew
        self.snapshot = snapshot
        self._learn(consistency, dated=dated)

    def show_read(self, document: ContextDocument, asked_at: float) -> None:
        """Show a document that may be shown from now on; what is known about versions follows from it.

        Args:
            document: as Emporix sent it.
            asked_at: when it was asked for, in monotonic seconds.
        """
        before = self.snapshot.document
        goes_on = self._consistency is START and (before is None or before.identity == document.identity)
        known = START if goes_on else self.consistency.published(document, asked_at)  # START: the document says it all
        self.show(Snapshot(document=document, parked=self.snapshot.parked), known)

    def show_parked(self, parked: ContextChanges) -> None:
        """Show what is parked, but for what Emporix has taken since."""
        if not (parked.operations or self.snapshot.parked.operations):
            return
        parked, document = parked.minus(self._consistency.taken), self.snapshot.document
        if document is not None and document.receipts:
            parked = parked.not_received(document.receipts)
        if self.snapshot.parked is not parked and (self.snapshot.parked or parked):
            self.snapshot = replace(self.snapshot, parked=parked)

    def has_lost(self, waited: ContextChanges, document: ContextDocument | None) -> bool:
        """Tell whether there are changes that `lost` returns."""
        return bool(self.lost(waited, document).operations)

    def lost(self, waited: ContextChanges, document: ContextDocument | None) -> ContextChanges:
        """Return the changes that somebody has sent since: they `waited`, do so no more, and a document lacks them."""
        if not waited.operations:
            return waited
        gone = waited.minus(self.snapshot.parked).minus(self._consistency.taken)
        return gone if document is None or not gone.operations else gone.missing_from(document)

    def lay_over(self, changes: ContextChanges) -> None:
        """Show changes that Emporix has, or is likely to have, over the document, until a GET brings a later one."""
        if self.snapshot.document is not None:
            self.snapshot = replace(self.snapshot, overlay=changes.over(self.snapshot.overlay))

    def hide(self) -> None:
        """Show the document to nobody any more, also when Emporix cannot be asked."""
        self._drop_document(Snapshot(parked=self.snapshot.parked, rejected=self.snapshot.rejected))
        self.error_until = NEVER

    def clear(self, snapshot: Snapshot = NOTHING_KNOWN) -> None:
        """Forget what is cached, at once and also for when Emporix cannot be asked; show `snapshot` instead."""
        self._drop_document(snapshot)
        self.asked_at = self.fresh_until = self.stale_until = self.error_until = self.retry_at = NEVER

    def log_out(self) -> None:
        """Forget the shopper: what began before must not come back."""
        self.fence = Fence(self.fence.era + 1, self.fence.generation + 1, self.fence.patched_at)
        self.clear()
        self._consistency = self._consistency.logged_out()

    # For how long.

    def set_lifetime(self, asked_at: float, *, fresh_until: float, stale_until: float, error_until: float) -> None:
        """Set for how long the snapshot is of use (monotonic seconds), and when Emporix was asked for it."""
        self.fresh_until, self.stale_until, self.error_until = fresh_until, stale_until, error_until
        self.asked_at = self.retry_at = asked_at

    def serve_until(self, until: float) -> None:
        """Serve an answer without a document until then (monotonic seconds)."""
        self.fresh_until = until

    def expire(self) -> None:
        """Make the next read ask Emporix; what is known stays for when that fails."""
        self.fresh_until = self.stale_until = NEVER

    def retry_after(self, at: float) -> None:
        """Leave Emporix alone for this token until then (monotonic seconds)."""
        self.retry_at = at

    # Against reads that overlap.

    def raise_fence(self) -> None:
        """Keep every read in flight from being published, and new callers from joining it."""
        self.fence = self.fence._replace(generation=self.fence.generation + 1)

    def note_patch(self, at: float) -> None:
        """Note that Emporix took a PATCH, which may have raised the version though it changed nothing (monotonic)."""
        self.fence = self.fence._replace(patched_at=at)

    def _learn(self, consistency: Consistency, *, dated: bool) -> None:
        document = self.snapshot.document
        implied = dated and document is not None and consistency.shown_by(document)
        self._consistency = START if implied else consistency
        self.show_parked(self.snapshot.parked)

    def _drop_document(self, snapshot: Snapshot) -> None:
        self._consistency = self.consistency.satisfying(None)  # the document no longer says it, nor satisfies notes
        self.snapshot = snapshot
