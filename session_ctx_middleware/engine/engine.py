"""One event loop's engine: reads and commits for any number of tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final

from ..clock import Budget, Clock
from ..credentials import StorefrontToken
from ..model.changes import NO_CHANGES, ContextChanges
from ..model.document import ContextDocument
from ..model.view import DEGRADED, Snapshot
from ..policies import CachePolicy, UpstreamPolicy
from ..stores import ContextStore, Notice
from ..tasks import Tasks
from .binding import Binding
from .commits import Commits
from .entries import Entries
from .entry import Entry
from .flights import Flights, Found, Missing, Outcome
from .handover import Handover
from .job import Commit, Job, Settled
from .keys import Keys
from .note import Note
from .pending import Pending
from .ports import ContextSource
from .reads import Reads
from .requirements import Requirements
from .resilience import ProtectedSource
from .sharing import Sharing, StoreRead
from .stats import Stats

__all__ = ["Engine", "Parts"]

CART_TRIES: Final = 3
CART_PAUSE: Final = (0.1, 0.5)
MAX_AGE_FACTOR: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the engines of all event loops of one middleware share.

    Args:
        cache: how long what is known may be used.
        upstream: how much of Emporix may be used.
        store: where parked changes live.
        naming: names for tokens and sessions.
        clock: where time and randomness come from.
        stats: the counters.
    """

    cache: CachePolicy
    upstream: UpstreamPolicy
    store: ContextStore
    naming: Keys
    clock: Clock
    stats: Stats


class Engine:
    """Reads and commits, on one event loop.

    Args:
        parts: what the engines of all loops share.
        source: Emporix, over a client of this loop.
    """

    def __init__(self, parts: Parts, source: ContextSource) -> None:
        self._parts = parts
        self._clock = clock = parts.clock
        self._tasks = Tasks(clock)
        self._table = table = Entries(parts.cache.max_entries, parts.naming, clock)
        attachment = parts.store.attach(self._noticed)
        self._shelf = shelf = Sharing(parts.store, attachment, parts.cache, parts.naming)
        binding = Binding(parts.naming)
        self._expectations = expectations = Requirements(parts.naming, binding, clock)
        self._carrying = Handover(parts.naming, binding, expectations, clock)
        protected = ProtectedSource(source, parts.upstream, clock, parts.stats)
        self._reader = reader = Reads(
            cache=parts.cache,
            table=table,
            expectations=expectations,
            attachment=attachment,
            clock=clock,
            stats=parts.stats,
            slow_after=parts.upstream.deadline / 2,
        )
        reader.flights = flights = Flights(
            source=protected,
            shelf=shelf,
            table=table,
            tasks=self._tasks,
            clock=clock,
            arrive=self._arrived,
            glanced=self._glanced,
            publish=reader.publish,
            usable=reader.usable,
            max_flights=parts.upstream.max_flights,
            max_age=MAX_AGE_FACTOR * parts.upstream.timeout,
        )
        self._parking = Pending(parts.store, table, reader, clock)
        self._writer = Commits(
            policy=parts.upstream,
            source=protected,
            table=table,
            reader=reader,
            flights=flights,
            parking=self._parking,
            shelf=shelf,
            carrying=self._carrying,
            tasks=self._tasks,
            clock=clock,
            stats=parts.stats,
        )
        self.key = parts.naming.key
        self.peek = reader.peek

    @property
    def patience(self) -> float:
        """For how many seconds a request waits for reading."""
        return self._parts.upstream.deadline

    def budgets(self) -> tuple[Budget, Budget]:
        """Return what one request may spend on reading, and on committing."""
        upstream = self._parts.upstream
        return Budget(upstream.deadline, self._clock), Budget(upstream.commit_deadline, self._clock)

    async def read(self, token: StorefrontToken, until: float, carried: Note | None = None) -> Snapshot:
        """Return the best that can be known about a token's context by `until`."""
        with self._pinned(token) as entry:
            store_read = await self._prepare(entry, token, carried)
            snapshot = await self._reader.read(entry, token.value, until, store_read)
            return self._shown(entry, token.value, carried, snapshot)

    async def refresh(self, token: StorefrontToken, until: float, carried: Note | None = None) -> Snapshot:
        """Return what Emporix says from now on, past every cache."""
        async with self._slot(token, carried) as entry:
            snapshot = await self._reader.refresh(entry, token.value, until)
            return self._shown(entry, token.value, carried, snapshot)

    async def expect_cart(
        self, token: StorefrontToken, cart_id: str | None, until: float, carried: Note | None = None
    ) -> Snapshot:
        """Return the context after a cart was created: Emporix may need a moment until it shows.

        Args:
            token: the shopper's token.
            cart_id: the new cart; with it, a context that does not name it yet counts as not yet there.
            until: monotonic seconds; the last answer by then counts.
            carried: what the shopper's browser brought along.
        """
        snapshot = DEGRADED
        for attempt in range(1, CART_TRIES + 1):
            snapshot = await self.refresh(token, until, carried)
            document = snapshot.document
            there = document is not None and (cart_id is None or document.cart_id == cart_id)
            if there or attempt == CART_TRIES or self._clock.monotonic() >= until:
                break
            low, high = CART_PAUSE
            await self._clock.sleep(min(low * 2**attempt, high) * (0.5 + 0.5 * self._clock.random()))
        if snapshot.document is not None and not snapshot.stale:
            await self._announce(token, snapshot.document)
        return snapshot

    async def _announce(self, token: StorefrontToken, document: ContextDocument) -> None:
        """Have the other processes show no less than a version that somebody else has made."""
        async with self._slot(token) as entry:
            entries = (entry, *self._table.siblings(entry))
            await self._shelf.invalidate(entries, document.identity, document.version)

    async def commit(
        self,
        token: StorefrontToken,
        changes: ContextChanges,
        until: float,
        *,
        parks: bool,
        carried: Note | None = None,
    ) -> Settled:
        """Send changes, and whatever is parked for the token, as one PATCH.

        Args:
            token: the shopper's token.
            changes: what the request wants; may be empty, when only parked changes are to be sent.
            until: monotonic seconds; what is not sent by then is parked or left to the caller.
            parks: park what cannot be sent; otherwise the caller keeps it.
            carried: what the shopper's browser brought along.
        """
        async with self._slot(token, carried) as entry:
            return await self._writer.commit(Job(entry, token.value, changes, until, parks, entry.epoch, carried))

    async def park(self, token: StorefrontToken, changes: ContextChanges) -> Settled:
        """Keep changes without another attempt to send them now."""
        async with self._slot(token) as entry:
            await self._parking.keep(Job(entry, token.value, changes, self._clock.monotonic(), True, entry.epoch))
        return Settled(Commit.PARKED)

    async def forget(self, token: StorefrontToken, until: float) -> None:
        """Drop everything that is cached or parked for a token and its session.

        Args:
            token: the shopper's token.
            until: monotonic seconds; a token that is new here is asked until then to which session it belongs.
        """
        async with self._slot(token) as entry:
            if not entry.proven:
                await self._reader.read(entry, token.value, until)
            every = (entry, *self._table.siblings(entry))
            for each in every:
                self._forget(each)
            await self._parking.forget(every)

    def view(self, token: StorefrontToken, carried: Note | None = None) -> Snapshot | None:
        """Return what this process would show for a token right now without asking; `None` if it knows nothing."""
        entry = self._table.get(self.key(token.value))
        if entry is None:
            return None
        return self._carrying.with_parked(entry, token.value, carried, self._reader.current(entry))

    async def to_carry(self, token: StorefrontToken, carried: Note | None, shown: ContextChanges) -> Note:
        """Return what the shopper's browser should take to the next worker.

        Args:
            token: the shopper's token.
            carried: what it brought along; of that, what is settled is left out.
            shown: the parked changes that the request has shown.
        """
        async with self._slot(token, carried) as entry:
            return self._carrying.to_carry(entry, carried, token.value, shown)

    async def handed_over(self, token: StorefrontToken, wanted: Note, written: Note) -> str:
        """Note what a browser keeps from now on, and keep here what it has no room for.

        Args:
            token: the shopper's token.
            wanted: what the browser was to carry.
            written: as much of it as there was room for.

        Returns:
            What became of changes that it had no room for; empty where there are none.
        """
        async with self._slot(token) as entry:
            taken = self._carrying.parked(entry, written, token.value)
            left = self._carrying.parked(entry, wanted, token.value).minus(taken)
            await self._parking.hand_over(entry, taken)
            if left:
                await self._parking.keep(Job(entry, token.value, left, self._clock.monotonic(), True, entry.epoch))
            if len(written.waiting) + len(left) < len(wanted.waiting):
                return "attributes of another session were dropped"
            return "attributes are kept by the store" if left else ""

    def may_drain(self, token: StorefrontToken) -> bool:
        """Tell whether it is worth sending parked changes now: not shortly after that failed."""
        entry = self._table.get(self.key(token.value))
        return entry is not None and not entry.sending and self._clock.monotonic() >= entry.drain_after

    def detached(self, work: Coroutine[object, object, None]) -> asyncio.Future[None]:
        """Run `work` to its end; who waits for the future may leave."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                await work
            finally:
                if not ended.done():
                    ended.set_result(None)

        self._tasks.spawn(run())
        return ended

    async def aclose(self, timeout: float) -> None:
        """Wait for commits and reads in the air for at most `timeout` seconds, then cancel what is left."""
        await self._tasks.drain(timeout)

    def _shown(self, entry: Entry, token: str, carried: Note | None, snapshot: Snapshot) -> Snapshot:
        self._expectations.met(entry, token, carried, snapshot)
        return self._carrying.with_parked(entry, token, carried, snapshot)

    @asynccontextmanager
    async def _slot(self, token: StorefrontToken, carried: Note | None = None) -> AsyncIterator[Entry]:
        with self._pinned(token) as entry:
            await self._prepare(entry, token, carried)
            yield entry

    @contextmanager
    def _pinned(self, token: StorefrontToken) -> Iterator[Entry]:
        entry = self._table.obtain(self.key(token.value), token.session_id)
        if entry.expires_at is None:
            entry.expires_at = token.ends_at()
        self._table.pin(entry)
        try:
            yield entry
        finally:
            self._table.unpin(entry)

    async def _prepare(self, entry: Entry, token: StorefrontToken, carried: Note | None) -> StoreRead | None:
        """Let a entry know what is parked, and what the browser brought; return what the store has said, if asked."""
        missed = entry.seen != self._shelf.attachment.epoch
        if missed:
            await self._catch_up(entry)
        # One question for the document and for what is parked: no page waits for two answers.
        store_read = await self._shelf.store_read(entry, self._clock.monotonic(), self._parking.changes)
        store_read = await self._parking.heed(entry, store_read, again=missed)
        if carried is not None:
            self._expectations.note(entry, carried, token.value)
        return store_read

    async def _catch_up(self, entry: Entry) -> None:
        """Compare a entry with the store: what other processes did may have been told while nobody listened."""
        entry.seen = self._shelf.attachment.epoch
        document = entry.snapshot.document
        if document is None:
            entry.expire()
            return
        stored = await self._shelf.load(entry)
        if stored is None:
            if not self._shelf.attachment.connected:
                entry.expire()
            entry.fresh_until = min(entry.fresh_until, self._clock.monotonic())
            return
        entry.rumour = (stored.identity, stored.floor)
        if not self._expectations.heed(entry, document):
            self._expectations.supersede(entry, document)
        elif max(stored.floor, stored.document.version if stored.document else -1) > document.version:
            entry.fence()
            entry.expire()

    def _noticed(self, notice: Notice) -> None:
        """Do what another process says has to be done."""
        for entry in self._table.named(notice.names):
            if notice.kind == "parked":
                entry.news += 1
                self._tasks.spawn(self._parking.look(entry))
            elif notice.kind == "forgotten":
                self._forget(entry)
            else:
                self._written(entry, notice)

    def _written(self, entry: Entry, notice: Notice) -> None:
        entry.rumour = (notice.identity, notice.floor)
        document = entry.snapshot.document
        if document is not None:
            if not self._expectations.heed(entry, document):
                self._expectations.supersede(entry, document)
            elif document.version >= notice.floor:
                return
        entry.fence()
        entry.expire()

    def _forget(self, entry: Entry) -> None:
        entry.epoch += 1
        entry.fence()
        entry.clear()
        entry.settled = NO_CHANGES
        entry.expected = entry.met = None
        self._table.drop(entry)

    def _glanced(self, entry: Entry, found: Found, store_read: StoreRead) -> bool:
        """Do the same as `_arrived` where a store_read has told everything; tell whether it has."""
        self._table.learn(entry, found.document.session_id)
        return self._parking.glanced(entry, store_read)

    async def _arrived(self, entry: Entry, outcome: Outcome) -> bool:
        """Note which session an answer tells of, and show what is parked for it; tell whether that had to be asked."""
        if isinstance(outcome, Found):
            self._table.learn(entry, outcome.document.session_id)
        elif isinstance(outcome, Missing):
            self._table.learn(entry, outcome.session_id)
        return await self._parking.look(entry)
