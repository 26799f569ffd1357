"""Reading one context: fresh, stale while it is renewed, one flight, or what is left when Emporix cannot be asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..clock import Clock
from ..model.changes import NO_CHANGES, ContextChanges
from ..model.document import ContextDocument
from ..model.view import DEGRADED, Snapshot
from ..policies import CachePolicy
from ..stores import Attachment
from .entries import Entries
from .entry import Entry
from .flights import Failed, Flight, Flights, Found, Missing, Outcome, Rejected
from .note import Note
from .requirements import Requirements
from .sharing import StoreRead
from .stats import Stats

__all__ = ["Reads"]

LAG_TRIES: Final = 3
UNINFORMED_TTL: Final = 2.0
LAG_PAUSE: Final = (0.02, 0.08)


class Reads:
    """Answers reads from entries, and fills entries from flights.

    Args:
        cache: how long what is known may be used.
        table: the entries.
        expectations: what browsers have been told by other workers.
        attachment: how well other processes keep this one informed.
        clock: where time and randomness come from.
        stats: the counters.
        slow_after: seconds after which a flight counts as slow, so that others need not wait for it.
    """

    def __init__(
        self,
        *,
        cache: CachePolicy,
        table: Entries,
        expectations: Requirements,
        attachment: Attachment,
        clock: Clock,
        stats: Stats,
        slow_after: float,
    ) -> None:
        self._cache = cache
        self._expectations = expectations
        self._attachment = attachment
        self._slow_after = slow_after
        self._table = table
        self._clock = clock
        self._stats = stats
        self.flights: Flights

    def peek(self, key: bytes, carried: Note | None) -> Snapshot | None:
        """Return what is fresh, without waiting for anything; ``None`` means ask `read`."""
        entry = self._table.find(key)
        if (
            entry is None
            or self._clock.monotonic() >= entry.fresh_until
            or entry.seen != self._attachment.epoch
            or entry.looked != entry.news
            or self._expired(entry)
            or (carried is not None and (carried.parked.operations or entry.met is not carried))
        ):
            return None
        self._stats.hits += 1
        return entry.snapshot

    async def read(self, entry: Entry, token: str, until: float, store_read: StoreRead | None = None) -> Snapshot:
        """Return the best that can be known by `until` (monotonic seconds); never raises for Emporix' sake.

        Args:
            entry: of the token.
            token: to ask Emporix with.
            until: monotonic seconds.
            store_read: what the store has said just now.
        """
        now = self._clock.monotonic()
        if self._expired(entry):
            entry.clear(entry.snapshot.parked)
        if now < entry.fresh_until:
            self._stats.hits += 1
            return entry.snapshot
        if now < entry.stale_until:
            return self._stale_while_revalidate(entry, token, now)
        if now < entry.next_attempt:
            return self.fallback(entry)
        return await self._wait(entry, self.flights.join(entry, token, store_read), token, until)

    async def refresh(self, entry: Entry, token: str, until: float) -> Snapshot:
        """Return what Emporix says from now on, past every cache."""
        return await self._wait(entry, self.flights.start(entry, token), token, until)

    def fallback(self, entry: Entry) -> Snapshot:
        """Return what there is when Emporix cannot be asked (RFC 5861, stale-if-error), else a degraded nothing."""
        document = entry.snapshot.document
        if (
            document is not None
            and self._clock.monotonic() < entry.error_until
            and not self._expired(entry)
            and not entry.lacks(document)
        ):
            self._stats.stale += 1
            return replace(entry.snapshot, stale=True)
        self._stats.degraded += 1
        parked = entry.snapshot.parked
        return replace(DEGRADED, parked=parked) if parked else DEGRADED

    def current(self, entry: Entry) -> Snapshot:
        """Return what a read would show now if it did not ask Emporix."""
        snapshot, now = entry.snapshot, self._clock.monotonic()
        own = snapshot.document is not None and snapshot.accepted and not entry.lacks(snapshot.document)
        if now < entry.fresh_until or (own and now < entry.asked_at + self._cache.ttl):
            return snapshot
        return self.fallback(entry)

    def publish(self, flight: Flight, outcome: Outcome) -> None:
        """Put what a flight brought into its entry, unless a write or something newer came between."""
        entry = flight.entry
        if isinstance(outcome, Found):
            self._expectations.heed(entry, outcome.document)
        if isinstance(outcome, Rejected):
            self.reject(entry)  # a token that is refused is refused, whatever else was going on
        elif flight.generation != entry.generation or entry.writers:
            self._stats.refused_publications += 1
            if isinstance(outcome, Found) and flight.epoch == entry.epoch and not entry.snapshot.rejected:
                self._last_resort(entry, outcome)
        elif isinstance(outcome, Found):
            self._found(entry, outcome)
        elif isinstance(outcome, Missing):
            self._absent(entry, Snapshot(parked=entry.snapshot.parked), self._cache.missing_ttl)
        else:
            self.throttle(entry)

    def reject(self, entry: Entry) -> None:
        """Forget the context of a token that Emporix refused, and do not ask again for a while."""
        entry.fence()  # an answer from before the refusal must not bring the context back
        entry.looked_in = None  # what is parked shows again should the token be taken again
        self._absent(entry, Snapshot(rejected=True), self._cache.rejected_ttl)

    def throttle(self, entry: Entry) -> None:
        """Leave Emporix alone for this session for a while, at random around the policy's time."""
        pause = self._cache.failure_throttle * (0.5 + self._clock.random())
        entry.next_attempt = self._clock.monotonic() + pause
        self._table.keep(entry)

    def show_parked(self, entry: Entry, parked: ContextChanges) -> None:
        """Let reads of this entry see what is parked."""
        parked = parked.minus(entry.settled)
        if entry.snapshot.parked is not parked and (entry.snapshot.parked or parked):
            entry.snapshot = replace(entry.snapshot, parked=parked)

    def accept(self, entry: Entry, snapshot: Snapshot, asked_at: float) -> None:
        """Show a change that Emporix took: until a GET brings its new version, reads show the base and the change.

        Args:
            entry: of the token.
            snapshot: both.
            asked_at: when Emporix was asked for the base, in monotonic seconds.
        """
        now = self._clock.monotonic()
        entry.asked_at = asked_at
        entry.expire()
        entry.error_until = now + max(self._cache.stale_if_error, self._cache.ttl)
        entry.next_attempt = now
        entry.snapshot = snapshot
        self._table.keep(entry)

    def overlay(self, entry: Entry, base: ContextDocument, version: int, changes: ContextChanges) -> None:
        """Show changes that Emporix took by way of another token of the session; each keeps its own document.

        Args:
            entry: of this token.
            base: what they were made to.
            version: the one that has them.
            changes: what Emporix holds now in their fields.
        """
        self._follow(entry, base, version)
        entry.overlay(changes)

    def _stale_while_revalidate(self, entry: Entry, token: str, now: float) -> Snapshot:
        if now >= entry.next_attempt:
            self.flights.join(entry, token)
        self._stats.stale += 1
        return replace(entry.snapshot, stale=True)

    async def _wait(self, entry: Entry, flight: Flight, token: str, until: float) -> Snapshot:
        for attempt in range(1, LAG_TRIES + 1):
            outcome = await flight.wait(until - self._clock.monotonic(), self._clock)
            if outcome is None and self._clock.monotonic() - flight.started >= self._slow_after:
                # The flight goes on; until it lands or is given up, other requests need not wait as long.
                self.throttle(entry)
            if not (isinstance(outcome, Found) and self._too_early(flight, outcome.document)):
                return self._answer(entry, outcome)
            if attempt < LAG_TRIES:
                await self._clock.sleep(self.pause())
                flight = self.flights.join(entry, token)
        self._expectations.unmet(entry)
        self._table.keep(entry)
        return self.fallback(entry)

    def _too_early(self, flight: Flight, document: ContextDocument) -> bool:
        """Tell whether a document was asked for before something that the shopper has been shown was sent."""
        entry = flight.entry
        # Whoever has sent what was parked has taken it away since, and a document from before does not have it.
        gone = flight.parked.minus(entry.snapshot.parked)
        return self.overtaken(entry, document) or bool(gone.missing_from(document))

    def overtaken(self, entry: Entry, document: ContextDocument) -> bool:
        """Tell whether a document goes behind what the shopper has been shown, or what Emporix has told."""
        return (
            entry.outdated(document)
            or any(sibling.outdated(document) for sibling in self._table.siblings(entry))
            or self._expectations.behind(entry, document)
        )

    def usable(self, entry: Entry, found: Found, in_need: bool) -> bool:
        """Tell whether a document that another process has read will do, or would when Emporix cannot be asked."""
        seconds = self._cache.ttl + (self._cache.stale_if_error if in_need else 0.0)
        if self._clock.monotonic() - found.asked_at >= seconds or self.overtaken(entry, found.document):
            return False
        # Whoever has written a later version may not have been able to tell the store.
        return not self._expectations.lacks(entry, found.document)

    def _answer(self, entry: Entry, outcome: Outcome | None) -> Snapshot:
        self._stats.misses += 1
        match outcome:
            case Found(document):
                if entry.snapshot.document is document:
                    return self._marked(entry)
                # Not published, because a write came between: true for this reader, not to be kept for others.
                return Snapshot(document=document, parked=entry.snapshot.parked)
            case Missing():
                return Snapshot(parked=entry.snapshot.parked)
            case Rejected():
                return Snapshot(rejected=True)
            case Failed():
                return self.fallback(entry)
            case None:
                return self.fallback(entry)

    def _marked(self, entry: Entry) -> Snapshot:
        """Return what is known, marked as stale where another process had it and Emporix could not be asked."""
        now = self._clock.monotonic()
        past = entry.fresh_until <= now < entry.error_until and entry.next_attempt > now
        return replace(entry.snapshot, stale=True) if past else entry.snapshot

    def _found(self, entry: Entry, outcome: Found) -> None:
        document = outcome.document
        if self.overtaken(entry, outcome.document) or any(sibling.writers for sibling in self._table.siblings(entry)):
            self._stats.refused_publications += 1
            return
        entry.believe(document)
        self._tell_siblings(entry, document)
        cache, informed = self._cache, self._attachment.connected
        ttl = cache.ttl if informed else min(cache.ttl, UNINFORMED_TTL)
        entry.asked_at = entry.next_attempt = outcome.asked_at
        limit = outcome.asked_at + ttl
        left = max(limit - self._clock.monotonic(), 0.0)
        entry.fresh_until = limit - left * cache.jitter * self._clock.random()
        entry.stale_until = entry.fresh_until + (cache.stale_while_revalidate if informed else 0.0)
        entry.error_until = entry.fresh_until + cache.stale_if_error
        entry.snapshot = Snapshot(document=document, accepted=NO_CHANGES, parked=entry.snapshot.parked)
        if outcome.shared and entry.fresh_until <= self._clock.monotonic():
            self.throttle(entry)
        else:
            self._table.keep(entry)

    def _tell_siblings(self, entry: Entry, document: ContextDocument) -> None:
        """Have the other tokens of the session ask again when this one has seen a later version."""
        for sibling in self._table.siblings(entry):
            shown = sibling.snapshot.document
            below = sibling.floor_of == document.identity and sibling.floor < document.version
            if below or (shown is not None and entry.outdated(shown)):
                self._follow(sibling, document, document.version)

    def _follow(self, entry: Entry, document: ContextDocument, version: int) -> None:
        """Have a token ask again, as its session has this version of the context of `document` now."""
        shown = entry.snapshot.document
        if shown is not None and shown.identity != document.identity:
            self._expectations.supersede(entry, shown)
        entry.raise_floor(document.identity, version)
        entry.expire()
        entry.next_attempt = self._clock.monotonic()  # Emporix answers again

    def _last_resort(self, entry: Entry, outcome: Found) -> None:
        """Hold a document that a write overlapped: it is true, so no page may go behind it, but the next one asks."""
        document = outcome.document
        if not self.overtaken(entry, document):
            entry.raise_floor(document.identity, document.version)
            self.accept(entry, Snapshot(document=document, parked=entry.snapshot.parked), outcome.asked_at)

    def _absent(self, entry: Entry, snapshot: Snapshot, seconds: float) -> None:
        entry.clear()
        entry.snapshot = snapshot
        entry.fresh_until = self._clock.monotonic() + seconds
        self._table.keep(entry)

    def _expired(self, entry: Entry) -> bool:
        # Without a document there is nothing to keep back, only calls to be spared.
        ended = entry.expires_at is not None and self._clock.time() >= entry.expires_at
        return ended and entry.snapshot.document is not None

    def pause(self) -> float:
        """Return for how long to wait for a replica that lags."""
        low, high = LAG_PAUSE
        return low + (high - low) * self._clock.random()
