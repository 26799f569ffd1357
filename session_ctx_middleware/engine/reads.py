"""Answering reads: fresh, stale while it is renewed, from a load, or what is left when Emporix cannot be asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from ..clock import Clock
from ..model.document import ContextDocument
from ..model.view import DEGRADED, Snapshot
from ..policies import CachePolicy
from ..stores import Attachment
from .entries import Entries
from .entry import NEVER, Entry
from .flights import Failed, Flight, Found, Missing, Outcome, Rejected
from .keys import Keys
from .loads import Loads
from .notes import Notes
from .pacing import FULL_AFTER, lag_pause
from .publishing import Publisher
from .requirements import Requirements
from .sharing import StoreRead
from .stats import Stats
from .verdict import Verdict

__all__ = ["Reads"]

LAG_TRIES: Final = 3
RENEWAL: Final = 0.15
"""Seconds for which a page that could show a stale document waits for a new one that its response takes along."""


@dataclass(slots=True, kw_only=True)
class Reads:
    """Answers reads from entries, and has entries filled.

    Args:
        cache: how long what is known may be used.
        entries: of this event loop.
        loads: fill entries.
        publisher: throttles, and judges documents.
        requirements: what browsers have seen on other workers.
        attachment: how well other processes keep this one informed.
        keys: fingerprints of contexts.
        clock: where time and randomness come from.
        stats: the counters.
        slow_after: seconds after which a flight counts as slow, so that others need not wait for it.
    """

    cache: CachePolicy
    entries: Entries
    loads: Loads
    publisher: Publisher
    requirements: Requirements
    attachment: Attachment
    keys: Keys
    clock: Clock
    stats: Stats
    slow_after: float

    def peek(self, key: bytes, notes: Notes | None) -> Snapshot | None:
        """Return what is fresh, without waiting for anything; `None` means ask `read`."""
        entries = self.entries
        entry = entries.found.find(key) or entries.absent.find(key)
        if entry is None:
            return None
        snapshot = entry.hit(self.clock.monotonic(), self.attachment.epoch, notes)
        if snapshot is None or (entry.ends_at is not None and entry.has_ended(self.clock.time())):
            return None
        self.stats.count_hit()
        return snapshot

    async def read(
        self,
        entry: Entry,
        token: str,
        until: float,
        store_read: StoreRead | None = None,
        *,
        renews: bool = False,
    ) -> Snapshot:
        """Return the best that can be known by `until` (monotonic seconds); never raises for Emporix' sake.

        Args:
            entry: of the token.
            token: to ask Emporix with.
            until: monotonic seconds.
            store_read: what the store has said just now.
            renews: whether the response can take a new document along, so that what is stale is worth a short wait.
        """
        now = self.clock.monotonic()
        if entry.has_ended(self.clock.time()):
            entry.clear(Snapshot(parked=entry.snapshot.parked))
        if now < entry.fresh_until:
            self.stats.count_hit()
            return entry.snapshot
        if now < entry.stale_until:
            if renews and now >= entry.retry_at:
                return await self._renewed(entry, token, min(until, now + RENEWAL), store_read)
            return self._stale_while_revalidate(entry, token, now)
        if now < entry.retry_at:
            return self.fallback(entry)
        return await self._wait(entry, self.loads.join(entry, token, store_read, eager=True), token, until)

    async def refresh(self, entry: Entry, token: str, until: float) -> Snapshot:
        """Return what Emporix says from now on, past every cache."""
        return await self._wait(entry, self.loads.start(entry, token), token, until)

    def fallback(self, entry: Entry) -> Snapshot:
        """Return what there is when Emporix cannot be asked (RFC 5861, stale-if-error), else a degraded nothing."""
        document = entry.document
        if document is not None and self._serves_on_error(entry, document):
            self.stats.count_stale()
            return replace(entry.snapshot, stale=True)
        self.stats.count_degraded()
        parked = entry.snapshot.parked
        return replace(DEGRADED, parked=parked) if parked else DEGRADED

    def current(self, entry: Entry) -> Snapshot:
        """Return what a read would show now if it did not ask Emporix."""
        snapshot, now = entry.snapshot, self.clock.monotonic()
        own = snapshot.document is not None and snapshot.overlay and not self._is_hidden(entry, snapshot.document)
        if now < entry.fresh_until or (own and now < self._own_until(entry)):
            return snapshot
        return self.fallback(entry)

    def _own_until(self, entry: Entry) -> float:
        """Return until when a document with the shopper's own changes over it does not count as stale."""
        cache = self.cache
        if entry.asked_at != NEVER:
            return entry.asked_at + cache.ttl
        # Counted from the write where only the clock of another host dates the document: see `Publisher.show_taken`.
        return entry.error_until - max(cache.stale_if_error - cache.ttl, 0.0)

    def _serves_on_error(self, entry: Entry, document: ContextDocument) -> bool:
        if self.clock.monotonic() >= entry.error_until or entry.has_ended(self.clock.time()):
            return False
        return not self._is_hidden(entry, document)

    def _is_hidden(self, entry: Entry, document: ContextDocument) -> bool:
        now = self.clock.monotonic()
        return entry.consistency.judge(document, entry.asked_at, now, self.keys.incarnation) is Verdict.HIDE

    def _stale_while_revalidate(self, entry: Entry, token: str, now: float) -> Snapshot:
        if now >= entry.retry_at:
            self.loads.join(entry, token, awaited=False)
        self.stats.count_stale()
        return replace(entry.snapshot, stale=True)

    async def _renewed(self, entry: Entry, token: str, until: float, store_read: StoreRead | None) -> Snapshot:
        """Return the new document if it is here by `until` (monotonic seconds), else the stale one."""
        flight = self.loads.join(entry, token, store_read)
        outcome = await flight.landed.wait(until - self.clock.monotonic(), self.clock)
        in_vain = outcome is None or isinstance(outcome, Failed)
        in_vain = in_vain or self._is_too_early(flight, outcome)
        if entry.document is None or not in_vain:
            return self._answer(entry, outcome)
        self.stats.count_stale()
        return replace(entry.snapshot, stale=True)

    async def _wait(self, entry: Entry, flight: Flight, token: str, until: float) -> Snapshot:
        for attempt in range(1, LAG_TRIES + 1):
            outcome = await self._landing(entry, flight, until)
            if not self._is_too_early(flight, outcome) or (isinstance(outcome, Missing) and attempt == LAG_TRIES):
                return self._answer(entry, outcome)
            if attempt < LAG_TRIES:
                await self.clock.sleep(lag_pause(self.clock))
                flight = self.loads.join(entry, token)
        self.requirements.unsatisfied(entry)
        self.entries.keep(entry, at_least=FULL_AFTER)  # or it would ask again with every page
        return self.fallback(entry)

    async def _landing(self, entry: Entry, flight: Flight, until: float) -> Outcome | None:
        """Wait for a flight; it goes on when the time is up, and then other requests need not wait as long."""
        patience, slow_after = until - self.clock.monotonic(), self.slow_after
        probing = self.loads.probe_patience
        if probing is not None:  # no page waits long for the call that finds out whether Emporix is back
            patience, slow_after = min(patience, flight.asked_at + probing - self.clock.monotonic()), 0.0
        outcome = await flight.landed.wait(patience, self.clock)
        now = self.clock.monotonic()
        if outcome is None and flight.is_slow(now, slow_after):
            self.publisher.throttle(entry, now)
        return outcome

    def _is_too_early(self, flight: Flight, outcome: Outcome | None) -> bool:
        """Tell whether Emporix was asked before something that the shopper has been shown was sent."""
        match outcome:
            case Found(document):
                return not self.publisher.is_acceptable(flight.entry, outcome) or flight.entry.has_lost(
                    flight.parked, document
                )
            case Missing():
                return flight.entry.has_lost(flight.parked, None)
            case _:
                return False

    def _answer(self, entry: Entry, outcome: Outcome | None) -> Snapshot:
        self.stats.count_miss()
        match outcome:
            case Found(document):
                if entry.document is document:
                    return self._marked(entry, outcome)
                # Not published, because a write came between: true for this reader, not to be kept for others.
                return Snapshot(document=document, parked=entry.snapshot.parked)
            case Missing() if entry.document is not None:
                return self.current(entry)  # not published, either: what was written meanwhile is later
            case Missing():
                return Snapshot(parked=entry.snapshot.parked)
            case Rejected():
                return Snapshot(rejected=True)
            case Failed() | None:
                return self.fallback(entry)

    def _marked(self, entry: Entry, found: Found) -> Snapshot:
        """Return what is known, marked as stale where another process had it and Emporix could not be asked."""
        now = self.clock.monotonic()
        in_need = found.failure is not None or entry.retry_at > now
        past = entry.fresh_until <= now < entry.error_until and in_need
        return replace(entry.snapshot, stale=True) if past else entry.snapshot
