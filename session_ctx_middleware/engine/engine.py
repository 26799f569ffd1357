"""One event loop's engine: reads and commits for any number of tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Final, TypeVar

from ..clock import Budget
from ..credentials import StorefrontToken
from ..model.changes import ContextChanges
from ..model.document import NO_RECEIPTS, ContextDocument
from ..model.view import DEGRADED, Snapshot
from ..tasks import KeyedLock, SharedResult
from .entries import Pinned
from .entry import Entry
from .job import Commit, CommitResult, Job
from .neighbours import Neighbour, Neighbourhood
from .notes import Noted, Notes
from .ports import ContextSource
from .sharing import StoreRead
from .travelling import DocumentOffer, Travelled
from .wiring import EngineOptions, build

__all__ = ["Engine"]

T = TypeVar("T")

CART_TRIES: Final = 3
CART_PAUSE: Final = (0.1, 0.5)


class Engine:
    """Reads and commits, on one event loop.

    Args:
        options: what the engines of all loops share.
        source: Emporix, over a client of this loop.
        neighbour: whom it is to the others of this process; it has no others where that is `None`.

    Attributes:
        neighbour: the engine as others of this process see it.
        turns_of_carts: one move of a session's cart at a time, and of the session with it.
        key: returns the cache key of a token.
        peek: returns what is fresh, without waiting; see `Reads.peek`.
        stats: the counters.
    """

    def __init__(self, options: EngineOptions, source: ContextSource, neighbour: Neighbour | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.neighbour = neighbour or Neighbourhood(object(), options.store, options.clock).neighbour()
        self._upstream = options.upstream
        self._clock = options.clock
        self.stats = options.stats
        attachment = self.neighbour.neighbourhood.attach(loop)
        self._parts = build(options, source, attachment, self.neighbour)
        self.neighbour.move_in(loop, self._parts.entries, self._parts.flights, self._parts.peers.apply)
        self.key = options.keys.key
        self.peek = self._parts.reads.peek
        self.turns_of_carts = KeyedLock()

    @property
    def is_calling(self) -> bool:
        """Whether no breaker refuses calls to Emporix at the moment."""
        return not self._parts.source.refuses

    def budgets(self) -> tuple[Budget, Budget]:
        """Return what one request may spend on reading, and on committing."""
        return Budget(self._upstream.deadline, self._clock), Budget(self._upstream.commit_deadline, self._clock)

    async def read(
        self,
        token: StorefrontToken,
        until: float,
        notes: Notes | None = None,
        offer: DocumentOffer | None = None,
        *,
        renews: bool = False,
    ) -> Snapshot:
        """Return the best that can be known about a token's context by `until` (monotonic seconds).

        Args:
            token: the shopper's token.
            until: monotonic seconds.
            notes: what the shopper's browser brought along.
            offer: opens the document that it brought.
            renews: whether the response can take a new document along.
        """
        with self._pinned(token) as entry:
            store_read = await self._prepare(entry, token, notes, offer)
            snapshot = await self._parts.reads.read(entry, token.value, until, store_read, renews=renews)
            return self._shown(entry, token.value, notes, snapshot)

    async def refresh(self, token: StorefrontToken, until: float, notes: Notes | None = None) -> Snapshot:
        """Return what Emporix says from now on, past every cache."""
        with self._pinned(token) as entry:
            await self._prepare(entry, token, notes)
            snapshot = await self._parts.reads.refresh(entry, token.value, until)
            return self._shown(entry, token.value, notes, snapshot)

    async def expect_cart(
        self, token: StorefrontToken, cart_id: str | None, until: float, notes: Notes | None = None
    ) -> Snapshot:
        """Return the context after a cart was created: Emporix may need a moment until it shows.

        Args:
            token: the shopper's token.
            cart_id: the new cart; with it, a context that does not name it yet counts as not yet there.
            until: monotonic seconds; the last answer by then counts.
            notes: what the shopper's browser brought along.
        """
        snapshot = DEGRADED
        for attempt in range(1, CART_TRIES + 1):
            snapshot = await self.refresh(token, until, notes)
            document = snapshot.document
            there = document is not None and (cart_id is None or document.cart_id == cart_id)
            if there or attempt == CART_TRIES or self._clock.monotonic() >= until:
                break
            low, high = CART_PAUSE
            await self._clock.sleep(min(low * 2**attempt, high) * (0.5 + 0.5 * self._clock.random()))
        if snapshot.document is not None and not snapshot.stale:
            self._parts.commits.resume(self.key(token.value))
            await self._announce(token, snapshot.document)
        return snapshot

    async def commit(
        self,
        token: StorefrontToken,
        changes: ContextChanges,
        until: float,
        *,
        parks: bool,
        notes: Notes | None = None,
        offer: DocumentOffer | None = None,
        carried: bool = False,
    ) -> CommitResult:
        """Send changes, and whatever is parked for the token, as one PATCH.

        Args:
            token: the shopper's token.
            changes: what the request wants; may be empty, when only parked changes are to be sent.
            until: monotonic seconds; what is not sent by then is parked or left to the caller.
            parks: park what cannot be sent; otherwise the caller keeps it.
            notes: what the shopper's browser brought along.
            offer: opens the document that it brought.
            carried: whether they are from before a login, which may have written over them.
        """
        try:
            job = await self._job(token, changes, until, notes, offer, parks=parks, carried=carried)
        except asyncio.CancelledError:  # whoever waited has left before there was a job
            self._parts.tasks.spawn(self._commit_alone(token, changes, until, notes))
            raise
        return await self._parts.commits.commit(job)

    async def park(self, token: StorefrontToken, changes: ContextChanges) -> CommitResult:
        """Keep changes without another attempt to send them now; who waits for it may leave."""
        parked = CommitResult(Commit.PARKED, told=changes, receipts=True)

        async def keep() -> CommitResult:
            with self._pinned(token) as entry:
                await self._prepare(entry, token)
                return await self._parts.commits.park(self._parking(entry, token, changes))

        return await self._parts.tasks.share(keep(), otherwise=parked).get()

    async def forget(self, token: StorefrontToken, until: float) -> None:
        """Drop everything that is cached or parked for a token and its session.

        Args:
            token: the shopper's token.
            until: monotonic seconds; a token that is new here is asked until then to which session it belongs.
        """
        with self._pinned(token) as entry:
            await self._prepare(entry, token)
            if entry.proven_session is None:
                await self._parts.reads.read(entry, token.value, until)
            every = self._parts.entries.with_siblings(entry)
            for each in every:
                self._parts.peers.log_out(each)
            await self._parts.pending.forget(every)

    async def leave(self, token: StorefrontToken) -> None:
        """Show what is cached for a token and its session to nobody any more; what is parked stays."""
        with self._pinned(token) as entry:
            await self._prepare(entry, token)
            await self._parts.moves.leave(entry)

    def changed(self, token: StorefrontToken, notes: Notes | None) -> ContextChanges:
        """Return the last change of each field that the shopper has made, as far as is known here or to his browser."""
        with self._pinned(token) as entry:
            return self._parts.moves.changed(entry, token.value, notes)

    def view(self, token: StorefrontToken, notes: Notes | None = None) -> Snapshot | None:
        """Return what this process would show for a token right now without asking; `None` if it knows nothing."""
        entry = self._parts.entries.get(self.key(token.value))
        if entry is None:
            return None
        return self._parts.handover.with_notes(entry, token.value, notes, self._parts.reads.current(entry))

    def to_note(
        self, token: StorefrontToken, told: ContextChanges, brought: Notes, *, receipts: bool, left: str = ""
    ) -> Notes:
        """Return what the shopper's browser should take to the next worker beside what it has.

        Args:
            token: the shopper's token.
            told: the changes of the request that Emporix has taken, or that are parked.
            brought: what the browser brought along.
            receipts: whether a change of the shopper has been parked.
            left: a `digest_of_switches` as a login of the request has left them, in the same session.
        """
        with self._pinned(token) as entry:
            self._parts.pending.known_session(entry)  # what was known of it may have ended meanwhile
            return self._parts.handover.note(entry, token.value, told, brought, receipts=receipts, left=left)

    def tell_later(self, token: StorefrontToken, told: ContextChanges) -> None:
        """Have the next response of a token tell what this request cannot tell any more."""
        self._parts.handover.tell_later(self.key(token.value), told)

    @property
    def has_untold(self) -> bool:
        """Whether any request could not tell what it had to tell."""
        return bool(self._parts.handover.untold)

    def tells_now(self, token: StorefrontToken) -> ContextChanges:
        """Return what earlier requests of a token could not tell."""
        return self._parts.handover.tells_now(self.key(token.value))

    async def keep(self, token: StorefrontToken, left_out: Sequence[Noted]) -> str:
        """Keep parked changes here for which a browser has no room.

        Args:
            token: the shopper's token.
            left_out: the changes.

        Returns:
            What became of them.
        """
        with self._pinned(token) as entry:
            await self._prepare(entry, token)
            mine = self._parts.binding.changes(entry, Notes(tuple(left_out)), token.value)
            if mine:
                await self._parts.pending.keep(self._parking(entry, token, mine))
            return "attributes are kept by the store" if mine else "attributes of another session were dropped"

    def given_along(self, token: StorefrontToken) -> Travelled | None:
        """Return the document that the shopper's browser may take to other workers."""
        return self._parts.travelling.given_along(self._parts.entries.peek(self.key(token.value)))

    def session_of(self, token: StorefrontToken) -> str | None:
        """Return the session of a token: as Emporix has told it to this process, else as the application says."""
        entry = self._parts.entries.peek(self.key(token.value))
        if entry is not None and entry.session is not None:
            return entry.session.session_id
        return token.session_id or self.neighbour.neighbourhood.known_sessions.of(self.key(token.value))

    def may_drain(self, token: StorefrontToken) -> bool:
        """Tell whether it is worth sending parked changes now: not shortly after that failed."""
        key = self.key(token.value)
        return self._parts.entries.get(key) is not None and self._parts.commits.may_drain(key)

    def shared(self, work: Coroutine[object, object, T], *, otherwise: T) -> SharedResult[T]:
        """Run `work` to its end, though who waits for its result may leave; `otherwise` where it is cut short."""
        return self._parts.tasks.share(work, otherwise=otherwise)

    async def aclose(self, timeout: float) -> None:
        """Wait for commits and reads in flight for at most `timeout` seconds, then cancel what is left."""
        await self._parts.tasks.drain(timeout)

    async def _commit_alone(
        self, token: StorefrontToken, changes: ContextChanges, until: float, notes: Notes | None
    ) -> None:
        await self._parts.commits.commit(await self._job(token, changes, until, notes, parks=True))

    async def _job(
        self,
        token: StorefrontToken,
        changes: ContextChanges,
        until: float,
        notes: Notes | None,
        offer: DocumentOffer | None = None,
        *,
        parks: bool,
        carried: bool = False,
    ) -> Job:
        with self._pinned(token) as entry:
            await self._prepare(entry, token, notes, offer)
            return Job(
                entry, token.value, changes, until, parks, entry.fence.era, notes, NO_RECEIPTS if carried else None
            )

    async def _announce(self, token: StorefrontToken, document: ContextDocument) -> None:
        """Have the other processes show no less than a version that somebody else has made."""
        with self._pinned(token) as entry:
            await self._prepare(entry, token)
            entries = self._parts.entries.with_siblings(entry)
            await self._parts.sharing.invalidate(entries, document.identity, document.version)

    def _parking(self, entry: Entry, token: StorefrontToken, changes: ContextChanges) -> Job:
        return Job(entry, token.value, changes, self._clock.monotonic(), parks=True, era=entry.fence.era)

    def _shown(self, entry: Entry, token: str, notes: Notes | None, snapshot: Snapshot) -> Snapshot:
        shown = self._parts.handover.with_notes(entry, token, notes, snapshot)
        self._parts.requirements.satisfied(entry, token, notes, snapshot, shown)
        unbound = None if notes is None else self._parts.binding.unbound(entry, notes, token)
        if unbound:
            self._parts.handover.tell_later(entry.key, unbound)  # this response, or the next one, says whose they are
        return shown

    def _pinned(self, token: StorefrontToken) -> Pinned:
        entry = self._parts.entries.obtain(self.key(token.value), token.session_id)
        if entry.ends_at is None:
            entry.set_end(token.ends_at())
        return self._parts.entries.pinned(entry)

    async def _prepare(
        self, entry: Entry, token: StorefrontToken, notes: Notes | None = None, offer: DocumentOffer | None = None
    ) -> StoreRead | None:
        """Let an entry know what is parked, and what the browser brought; return what the store has said, if asked."""
        parts = self._parts
        missed = entry.store_view.epoch != parts.sharing.attachment.epoch
        if missed:
            await parts.peers.catch_up(entry)
        # One question for the document and for what is parked: no page waits for two answers.
        store_read = await parts.sharing.read(entry, self._clock.monotonic())
        opened = False
        if offer is not None and entry.document is None:
            # Before the notes: what they say is shown over a document that they have left behind.
            opened = await parts.travelling.take(entry, offer, store_read, notes, token.value)
            offer = None if opened else offer
        store_read = await parts.pending.look_unless_read(entry, store_read, again=missed)
        if notes is not None:
            if not opened:
                parts.travelling.reconsider(entry, notes, token.value)
            parts.requirements.note(entry, notes, token.value)
            brought = parts.handover.brought(entry, token.value, notes)
            if brought:
                parts.tasks.spawn(parts.pending.hand_over(entry, brought))  # the browser keeps them from now on
        if offer is not None:
            await parts.travelling.take(entry, offer, store_read, notes, token.value)
        return store_read
