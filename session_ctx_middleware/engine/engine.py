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
from .carried import Carried
from .carrying import Carrying
from .expectations import Expectations
from .flights import Flights, Found, Missing, Outcome
from .identity import Naming
from .job import Commit, Job, Settled
from .parking import Parking
from .ports import ContextSource
from .protection import ProtectedSource
from .reader import Reader
from .shelf import Glance, Shelf
from .slot import Slot
from .stats import Stats
from .table import SlotTable
from .writer import Writer

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
    naming: Naming
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
        self._table = table = SlotTable(parts.cache.max_entries, parts.naming, clock)
        attachment = parts.store.attach(self._noticed)
        self._shelf = shelf = Shelf(parts.store, attachment, parts.cache, parts.naming)
        binding = Binding(parts.naming)
        self._expectations = expectations = Expectations(parts.naming, binding, clock)
        self._carrying = Carrying(parts.naming, binding, expectations, clock)
        protected = ProtectedSource(source, parts.upstream, clock, parts.stats)
        self._reader = reader = Reader(
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
        self._parking = Parking(parts.store, table, reader, clock)
        self._writer = Writer(
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

    async def read(self, token: StorefrontToken, until: float, carried: Carried | None = None) -> Snapshot:
        """Return the best that can be known about a token's context by `until`."""
        with self._pinned(token) as slot:
            glance = await self._prepare(slot, token, carried)
            snapshot = await self._reader.read(slot, token.value, until, glance)
            return self._shown(slot, token.value, carried, snapshot)

    async def refresh(self, token: StorefrontToken, until: float, carried: Carried | None = None) -> Snapshot:
        """Return what Emporix says from now on, past every cache."""
        async with self._slot(token, carried) as slot:
            snapshot = await self._reader.refresh(slot, token.value, until)
            return self._shown(slot, token.value, carried, snapshot)

    async def expect_cart(
        self, token: StorefrontToken, cart_id: str | None, until: float, carried: Carried | None = None
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
        async with self._slot(token) as slot:
            slots = (slot, *self._table.siblings(slot))
            await self._shelf.invalidate(slots, document.identity, document.version)

    async def commit(
        self,
        token: StorefrontToken,
        changes: ContextChanges,
        until: float,
        *,
        parks: bool,
        carried: Carried | None = None,
    ) -> Settled:
        """Send changes, and whatever is parked for the token, as one PATCH.

        Args:
            token: the shopper's token.
            changes: what the request wants; may be empty, when only parked changes are to be sent.
            until: monotonic seconds; what is not sent by then is parked or left to the caller.
            parks: park what cannot be sent; otherwise the caller keeps it.
            carried: what the shopper's browser brought along.
        """
        async with self._slot(token, carried) as slot:
            return await self._writer.commit(Job(slot, token.value, changes, until, parks, slot.epoch, carried))

    async def park(self, token: StorefrontToken, changes: ContextChanges) -> Settled:
        """Keep changes without another attempt to send them now."""
        async with self._slot(token) as slot:
            await self._parking.keep(Job(slot, token.value, changes, self._clock.monotonic(), True, slot.epoch))
        return Settled(Commit.PARKED)

    async def forget(self, token: StorefrontToken, until: float) -> None:
        """Drop everything that is cached or parked for a token and its session.

        Args:
            token: the shopper's token.
            until: monotonic seconds; a token that is new here is asked until then to which session it belongs.
        """
        async with self._slot(token) as slot:
            if not slot.proven:
                await self._reader.read(slot, token.value, until)
            every = (slot, *self._table.siblings(slot))
            for each in every:
                self._forget(each)
            await self._parking.forget(every)

    def view(self, token: StorefrontToken, carried: Carried | None = None) -> Snapshot | None:
        """Return what this process would show for a token right now without asking; `None` if it knows nothing."""
        slot = self._table.get(self.key(token.value))
        if slot is None:
            return None
        return self._carrying.with_parked(slot, token.value, carried, self._reader.current(slot))

    async def to_carry(self, token: StorefrontToken, carried: Carried | None, shown: ContextChanges) -> Carried:
        """Return what the shopper's browser should take to the next worker.

        Args:
            token: the shopper's token.
            carried: what it brought along; of that, what is settled is left out.
            shown: the parked changes that the request has shown.
        """
        async with self._slot(token, carried) as slot:
            return self._carrying.to_carry(slot, carried, token.value, shown)

    async def handed_over(self, token: StorefrontToken, wanted: Carried, written: Carried) -> str:
        """Note what a browser keeps from now on, and keep here what it has no room for.

        Args:
            token: the shopper's token.
            wanted: what the browser was to carry.
            written: as much of it as there was room for.

        Returns:
            What became of changes that it had no room for; empty where there are none.
        """
        async with self._slot(token) as slot:
            taken = self._carrying.parked(slot, written, token.value)
            left = self._carrying.parked(slot, wanted, token.value).minus(taken)
            await self._parking.hand_over(slot, taken)
            if left:
                await self._parking.keep(Job(slot, token.value, left, self._clock.monotonic(), True, slot.epoch))
            if len(written.waiting) + len(left) < len(wanted.waiting):
                return "attributes of another session were dropped"
            return "attributes are kept by the store" if left else ""

    def may_drain(self, token: StorefrontToken) -> bool:
        """Tell whether it is worth sending parked changes now: not shortly after that failed."""
        slot = self._table.get(self.key(token.value))
        return slot is not None and not slot.sending and self._clock.monotonic() >= slot.drain_after

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

    def _shown(self, slot: Slot, token: str, carried: Carried | None, snapshot: Snapshot) -> Snapshot:
        self._expectations.met(slot, token, carried, snapshot)
        return self._carrying.with_parked(slot, token, carried, snapshot)

    @asynccontextmanager
    async def _slot(self, token: StorefrontToken, carried: Carried | None = None) -> AsyncIterator[Slot]:
        with self._pinned(token) as slot:
            await self._prepare(slot, token, carried)
            yield slot

    @contextmanager
    def _pinned(self, token: StorefrontToken) -> Iterator[Slot]:
        slot = self._table.obtain(self.key(token.value), token.session_id)
        if slot.expires_at is None:
            slot.expires_at = token.ends_at()
        self._table.pin(slot)
        try:
            yield slot
        finally:
            self._table.unpin(slot)

    async def _prepare(self, slot: Slot, token: StorefrontToken, carried: Carried | None) -> Glance | None:
        """Let a slot know what is parked, and what the browser brought; return what the store has said, if asked."""
        missed = slot.seen != self._shelf.attachment.epoch
        if missed:
            await self._catch_up(slot)
        # One question for the document and for what is parked: no page waits for two answers.
        glance = await self._shelf.glance(slot, self._clock.monotonic(), self._parking.changes)
        glance = await self._parking.heed(slot, glance, again=missed)
        if carried is not None:
            self._expectations.note(slot, carried, token.value)
        return glance

    async def _catch_up(self, slot: Slot) -> None:
        """Compare a slot with the store: what other processes did may have been told while nobody listened."""
        slot.seen = self._shelf.attachment.epoch
        document = slot.snapshot.document
        if document is None:
            slot.expire()
            return
        stored = await self._shelf.load(slot)
        if stored is None:
            if not self._shelf.attachment.connected:
                slot.expire()
            slot.fresh_until = min(slot.fresh_until, self._clock.monotonic())
            return
        slot.rumour = (stored.identity, stored.floor)
        if not self._expectations.heed(slot, document):
            self._expectations.supersede(slot, document)
        elif max(stored.floor, stored.document.version if stored.document else -1) > document.version:
            slot.fence()
            slot.expire()

    def _noticed(self, notice: Notice) -> None:
        """Do what another process says has to be done."""
        for slot in self._table.named(notice.names):
            if notice.kind == "parked":
                slot.news += 1
                self._tasks.spawn(self._parking.look(slot))
            elif notice.kind == "forgotten":
                self._forget(slot)
            else:
                self._written(slot, notice)

    def _written(self, slot: Slot, notice: Notice) -> None:
        slot.rumour = (notice.identity, notice.floor)
        document = slot.snapshot.document
        if document is not None:
            if not self._expectations.heed(slot, document):
                self._expectations.supersede(slot, document)
            elif document.version >= notice.floor:
                return
        slot.fence()
        slot.expire()

    def _forget(self, slot: Slot) -> None:
        slot.epoch += 1
        slot.fence()
        slot.clear()
        slot.settled = NO_CHANGES
        slot.expected = slot.met = None
        self._table.drop(slot)

    def _glanced(self, slot: Slot, found: Found, glance: Glance) -> bool:
        """Do the same as `_arrived` where a glance has told everything; tell whether it has."""
        self._table.learn(slot, found.document.session_id)
        return self._parking.glanced(slot, glance)

    async def _arrived(self, slot: Slot, outcome: Outcome) -> bool:
        """Note which session an answer tells of, and show what is parked for it; tell whether that had to be asked."""
        if isinstance(outcome, Found):
            self._table.learn(slot, outcome.document.session_id)
        elif isinstance(outcome, Missing):
            self._table.learn(slot, outcome.session_id)
        return await self._parking.look(slot)
