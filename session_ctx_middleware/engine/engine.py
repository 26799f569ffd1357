"""One event loop's engine: reads and commits for any number of tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from ..clock import Budget
from ..credentials import StorefrontToken
from ..model.changes import ContextChanges
from ..model.document import ContextDocument
from ..model.view import DEGRADED, Snapshot
from ..tasks import SharedResult
from .entry import Entry
from .job import Commit, CommitResult, Job
from .neighbours import Neighbour, Neighbourhood
from .note import Note
from .ports import ContextSource
from .sharing import StoreRead
from .wiring import EngineOptions, build

__all__ = ["Engine"]

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

    @property
    def is_calling(self) -> bool:
        """Whether no breaker refuses calls to Emporix at the moment."""
        return not self._parts.source.refuses

    def budgets(self) -> tuple[Budget, Budget]:
        """Return what one request may spend on reading, and on committing."""
        return Budget(self._upstream.deadline, self._clock), Budget(self._upstream.commit_deadline, self._clock)

    async def read(self, token: StorefrontToken, until: float, note: Note | None = None) -> Snapshot:
        """Return the best that can be known about a token's context by `until` (monotonic seconds)."""
        with self._pinned(token) as entry:
            store_read = await self._prepare(entry, token, note)
            snapshot = await self._parts.reads.read(entry, token.value, until, store_read)
            return self._shown(entry, token.value, note, snapshot)

    async def refresh(self, token: StorefrontToken, until: float, note: Note | None = None) -> Snapshot:
        """Return what Emporix says from now on, past every cache."""
        async with self._prepared(token, note) as entry:
            snapshot = await self._parts.reads.refresh(entry, token.value, until)
            return self._shown(entry, token.value, note, snapshot)

    async def expect_cart(
        self, token: StorefrontToken, cart_id: str | None, until: float, note: Note | None = None
    ) -> Snapshot:
        """Return the context after a cart was created: Emporix may need a moment until it shows.

        Args:
            token: the shopper's token.
            cart_id: the new cart; with it, a context that does not name it yet counts as not yet there.
            until: monotonic seconds; the last answer by then counts.
            note: what the shopper's browser brought along.
        """
        snapshot = DEGRADED
        for attempt in range(1, CART_TRIES + 1):
            snapshot = await self.refresh(token, until, note)
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
        note: Note | None = None,
    ) -> CommitResult:
        """Send changes, and whatever is parked for the token, as one PATCH.

        Args:
            token: the shopper's token.
            changes: what the request wants; may be empty, when only parked changes are to be sent.
            until: monotonic seconds; what is not sent by then is parked or left to the caller.
            parks: park what cannot be sent; otherwise the caller keeps it.
            note: what the shopper's browser brought along.
        """
        async with self._prepared(token, note) as entry:
            job = Job(entry, token.value, changes, until, parks, entry.fence.era, note)
            return await self._parts.commits.commit(job)

    async def park(self, token: StorefrontToken, changes: ContextChanges) -> CommitResult:
        """Keep changes without another attempt to send them now."""
        async with self._prepared(token) as entry:
            await self._keep(entry, token, changes)
        return CommitResult(Commit.PARKED)

    async def forget(self, token: StorefrontToken, until: float) -> None:
        """Drop everything that is cached or parked for a token and its session.

        Args:
            token: the shopper's token.
            until: monotonic seconds; a token that is new here is asked until then to which session it belongs.
        """
        async with self._prepared(token) as entry:
            if entry.proven_session is None:
                await self._parts.reads.read(entry, token.value, until)
            every = self._parts.entries.with_siblings(entry)
            for each in every:
                self._parts.peers.log_out(each)
            await self._parts.pending.forget(every)

    def view(self, token: StorefrontToken, note: Note | None = None) -> Snapshot | None:
        """Return what this process would show for a token right now without asking; `None` if it knows nothing."""
        entry = self._parts.entries.get(self.key(token.value))
        if entry is None:
            return None
        return self._parts.handover.with_parked(entry, token.value, note, self._parts.reads.current(entry))

    async def to_note(self, token: StorefrontToken, note: Note | None, shown: ContextChanges) -> Note:
        """Return what the shopper's browser should take to the next worker.

        Args:
            token: the shopper's token.
            note: what it brought along; of that, what Emporix has taken is left out.
            shown: the parked changes that the request has shown.
        """
        async with self._prepared(token, note) as entry:
            return self._parts.handover.to_note(entry, note, token.value, shown)

    async def handed_over(self, token: StorefrontToken, wanted: Note, written: Note) -> str:
        """Note what a browser keeps from now on, and keep here what it has no room for.

        Args:
            token: the shopper's token.
            wanted: what the browser was to take along.
            written: as much of it as there was room for.

        Returns:
            What became of changes that it had no room for; empty where there are none.
        """
        handover = self._parts.handover
        async with self._prepared(token) as entry:
            taken_along = handover.parked(entry, written, token.value)
            left = handover.parked(entry, wanted, token.value).minus(taken_along)
            await self._parts.pending.hand_over(entry, taken_along)
            if left:
                await self._keep(entry, token, left)
            if len(written.parked_ids) + len(left) < len(wanted.parked_ids):
                return "attributes of another session were dropped"
            return "attributes are kept by the store" if left else ""

    def may_drain(self, token: StorefrontToken) -> bool:
        """Tell whether it is worth sending parked changes now: not shortly after that failed."""
        key = self.key(token.value)
        return self._parts.entries.get(key) is not None and self._parts.commits.may_drain(key)

    def detached(self, work: Coroutine[object, object, Exception | str]) -> SharedResult[Exception | str]:
        """Run `work` to its end; who waits for its result may leave."""
        return self._parts.tasks.share(work, otherwise="cut short")

    async def aclose(self, timeout: float) -> None:
        """Wait for commits and reads in flight for at most `timeout` seconds, then cancel what is left."""
        await self._parts.tasks.drain(timeout)

    async def _announce(self, token: StorefrontToken, document: ContextDocument) -> None:
        """Have the other processes show no less than a version that somebody else has made."""
        async with self._prepared(token) as entry:
            entries = self._parts.entries.with_siblings(entry)
            await self._parts.sharing.invalidate(entries, document.identity, document.version)

    async def _keep(self, entry: Entry, token: StorefrontToken, changes: ContextChanges) -> None:
        job = Job(entry, token.value, changes, self._clock.monotonic(), parks=True, era=entry.fence.era)
        await self._parts.pending.keep(job)

    def _shown(self, entry: Entry, token: str, note: Note | None, snapshot: Snapshot) -> Snapshot:
        self._parts.requirements.satisfied(entry, token, note, snapshot)
        return self._parts.handover.with_parked(entry, token, note, snapshot)

    @asynccontextmanager
    async def _prepared(self, token: StorefrontToken, note: Note | None = None) -> AsyncIterator[Entry]:
        with self._pinned(token) as entry:
            await self._prepare(entry, token, note)
            yield entry

    @contextmanager
    def _pinned(self, token: StorefrontToken) -> Iterator[Entry]:
        entry = self._parts.entries.obtain(self.key(token.value), token.session_id)
        if entry.ends_at is None:
            entry.set_end(token.ends_at())
        with self._parts.entries.pinned(entry):
            yield entry

    async def _prepare(self, entry: Entry, token: StorefrontToken, note: Note | None) -> StoreRead | None:
        """Let an entry know what is parked, and what the browser brought; return what the store has said, if asked."""
        parts = self._parts
        missed = entry.store_view.epoch != parts.sharing.attachment.epoch
        if missed:
            await parts.peers.catch_up(entry)
        # One question for the document and for what is parked: no page waits for two answers.
        store_read = await parts.sharing.read(entry, self._clock.monotonic())
        store_read = await parts.pending.look_unless_read(entry, store_read, again=missed)
        if note is not None:
            parts.requirements.note(entry, note, token.value)
        return store_read
