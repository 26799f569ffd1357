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
from .carried import Carried
from .expectations import Expectations
from .flights import Failed, Flight, Flights, Found, Missing, Outcome, Rejected
from .shelf import Glance
from .slot import Slot
from .stats import Stats
from .table import SlotTable

__all__ = ["Reader"]

LAG_TRIES: Final = 3
UNINFORMED_TTL: Final = 2.0
LAG_PAUSE: Final = (0.02, 0.08)


class Reader:
    """Answers reads from slots, and fills slots from flights.

    Args:
        cache: how long what is known may be used.
        table: the slots.
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
        table: SlotTable,
        expectations: Expectations,
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

    def peek(self, key: bytes, carried: Carried | None) -> Snapshot | None:
        """Return what is fresh, without waiting for anything; ``None`` means ask `read`."""
        slot = self._table.find(key)
        if (
            slot is None
            or self._clock.monotonic() >= slot.fresh_until
            or slot.seen != self._attachment.epoch
            or slot.looked != slot.news
            or self._expired(slot)
            or (carried is not None and (carried.parked.operations or slot.met is not carried))
        ):
            return None
        self._stats.hits += 1
        return slot.snapshot

    async def read(self, slot: Slot, token: str, until: float, glance: Glance | None = None) -> Snapshot:
        """Return the best that can be known by `until` (monotonic seconds); never raises for Emporix' sake.

        Args:
            slot: of the token.
            token: to ask Emporix with.
            until: monotonic seconds.
            glance: what the store has said just now.
        """
        now = self._clock.monotonic()
        if self._expired(slot):
            slot.clear(slot.snapshot.parked)
        if now < slot.fresh_until:
            self._stats.hits += 1
            return slot.snapshot
        if now < slot.stale_until:
            return self._stale_while_revalidate(slot, token, now)
        if now < slot.next_attempt:
            return self.fallback(slot)
        return await self._wait(slot, self.flights.join(slot, token, glance), token, until)

    async def refresh(self, slot: Slot, token: str, until: float) -> Snapshot:
        """Return what Emporix says from now on, past every cache."""
        return await self._wait(slot, self.flights.start(slot, token), token, until)

    def fallback(self, slot: Slot) -> Snapshot:
        """Return what there is when Emporix cannot be asked (RFC 5861, stale-if-error), else a degraded nothing."""
        document = slot.snapshot.document
        if (
            document is not None
            and self._clock.monotonic() < slot.error_until
            and not self._expired(slot)
            and not slot.lacks(document)
        ):
            self._stats.stale += 1
            return replace(slot.snapshot, stale=True)
        self._stats.degraded += 1
        parked = slot.snapshot.parked
        return replace(DEGRADED, parked=parked) if parked else DEGRADED

    def current(self, slot: Slot) -> Snapshot:
        """Return what a read would show now if it did not ask Emporix."""
        snapshot, now = slot.snapshot, self._clock.monotonic()
        own = snapshot.document is not None and snapshot.accepted and not slot.lacks(snapshot.document)
        if now < slot.fresh_until or (own and now < slot.asked_at + self._cache.ttl):
            return snapshot
        return self.fallback(slot)

    def publish(self, flight: Flight, outcome: Outcome) -> None:
        """Put what a flight brought into its slot, unless a write or something newer came between."""
        slot = flight.slot
        if isinstance(outcome, Found):
            self._expectations.heed(slot, outcome.document)
        if isinstance(outcome, Rejected):
            self.reject(slot)  # a token that is refused is refused, whatever else was going on
        elif flight.generation != slot.generation or slot.writers:
            self._stats.refused_publications += 1
            if isinstance(outcome, Found) and flight.epoch == slot.epoch and not slot.snapshot.rejected:
                self._last_resort(slot, outcome)
        elif isinstance(outcome, Found):
            self._found(slot, outcome)
        elif isinstance(outcome, Missing):
            self._absent(slot, Snapshot(parked=slot.snapshot.parked), self._cache.missing_ttl)
        else:
            self.throttle(slot)

    def reject(self, slot: Slot) -> None:
        """Forget the context of a token that Emporix refused, and do not ask again for a while."""
        slot.fence()  # an answer from before the refusal must not bring the context back
        slot.looked_in = None  # what is parked shows again should the token be taken again
        self._absent(slot, Snapshot(rejected=True), self._cache.rejected_ttl)

    def throttle(self, slot: Slot) -> None:
        """Leave Emporix alone for this session for a while, at random around the policy's time."""
        pause = self._cache.failure_throttle * (0.5 + self._clock.random())
        slot.next_attempt = self._clock.monotonic() + pause
        self._table.keep(slot)

    def show_parked(self, slot: Slot, parked: ContextChanges) -> None:
        """Let reads of this slot see what is parked."""
        parked = parked.minus(slot.settled)
        if slot.snapshot.parked is not parked and (slot.snapshot.parked or parked):
            slot.snapshot = replace(slot.snapshot, parked=parked)

    def accept(self, slot: Slot, snapshot: Snapshot, asked_at: float) -> None:
        """Show a change that Emporix took: until a GET brings its new version, reads show the base and the change.

        Args:
            slot: of the token.
            snapshot: both.
            asked_at: when Emporix was asked for the base, in monotonic seconds.
        """
        now = self._clock.monotonic()
        slot.asked_at = asked_at
        slot.expire()
        slot.error_until = now + max(self._cache.stale_if_error, self._cache.ttl)
        slot.next_attempt = now
        slot.snapshot = snapshot
        self._table.keep(slot)

    def overlay(self, slot: Slot, base: ContextDocument, version: int, changes: ContextChanges) -> None:
        """Show changes that Emporix took by way of another token of the session; each keeps its own document.

        Args:
            slot: of this token.
            base: what they were made to.
            version: the one that has them.
            changes: what Emporix holds now in their fields.
        """
        self._follow(slot, base, version)
        slot.overlay(changes)

    def _stale_while_revalidate(self, slot: Slot, token: str, now: float) -> Snapshot:
        if now >= slot.next_attempt:
            self.flights.join(slot, token)
        self._stats.stale += 1
        return replace(slot.snapshot, stale=True)

    async def _wait(self, slot: Slot, flight: Flight, token: str, until: float) -> Snapshot:
        for attempt in range(1, LAG_TRIES + 1):
            outcome = await flight.wait(until - self._clock.monotonic(), self._clock)
            if outcome is None and self._clock.monotonic() - flight.started >= self._slow_after:
                # The flight goes on; until it lands or is given up, other requests need not wait as long.
                self.throttle(slot)
            if not (isinstance(outcome, Found) and self._too_early(flight, outcome.document)):
                return self._answer(slot, outcome)
            if attempt < LAG_TRIES:
                await self._clock.sleep(self.pause())
                flight = self.flights.join(slot, token)
        self._expectations.unmet(slot)
        self._table.keep(slot)
        return self.fallback(slot)

    def _too_early(self, flight: Flight, document: ContextDocument) -> bool:
        """Tell whether a document was asked for before something that the shopper has been shown was sent."""
        slot = flight.slot
        # Whoever has sent what was parked has taken it away since, and a document from before does not have it.
        gone = flight.parked.minus(slot.snapshot.parked)
        return self.overtaken(slot, document) or bool(gone.missing_from(document))

    def overtaken(self, slot: Slot, document: ContextDocument) -> bool:
        """Tell whether a document goes behind what the shopper has been shown, or what Emporix has told."""
        return (
            slot.outdated(document)
            or any(sibling.outdated(document) for sibling in self._table.siblings(slot))
            or self._expectations.behind(slot, document)
        )

    def usable(self, slot: Slot, found: Found, in_need: bool) -> bool:
        """Tell whether a document that another process has read will do, or would when Emporix cannot be asked."""
        seconds = self._cache.ttl + (self._cache.stale_if_error if in_need else 0.0)
        if self._clock.monotonic() - found.asked_at >= seconds or self.overtaken(slot, found.document):
            return False
        # Whoever has written a later version may not have been able to tell the store.
        return not self._expectations.lacks(slot, found.document)

    def _answer(self, slot: Slot, outcome: Outcome | None) -> Snapshot:
        self._stats.misses += 1
        match outcome:
            case Found(document):
                if slot.snapshot.document is document:
                    return self._marked(slot)
                # Not published, because a write came between: true for this reader, not to be kept for others.
                return Snapshot(document=document, parked=slot.snapshot.parked)
            case Missing():
                return Snapshot(parked=slot.snapshot.parked)
            case Rejected():
                return Snapshot(rejected=True)
            case Failed():
                return self.fallback(slot)
            case None:
                return self.fallback(slot)

    def _marked(self, slot: Slot) -> Snapshot:
        """Return what is known, marked as stale where another process had it and Emporix could not be asked."""
        now = self._clock.monotonic()
        past = slot.fresh_until <= now < slot.error_until and slot.next_attempt > now
        return replace(slot.snapshot, stale=True) if past else slot.snapshot

    def _found(self, slot: Slot, outcome: Found) -> None:
        document = outcome.document
        if self.overtaken(slot, outcome.document) or any(sibling.writers for sibling in self._table.siblings(slot)):
            self._stats.refused_publications += 1
            return
        slot.believe(document)
        self._tell_siblings(slot, document)
        cache, informed = self._cache, self._attachment.connected
        ttl = cache.ttl if informed else min(cache.ttl, UNINFORMED_TTL)
        slot.asked_at = slot.next_attempt = outcome.asked_at
        limit = outcome.asked_at + ttl
        left = max(limit - self._clock.monotonic(), 0.0)
        slot.fresh_until = limit - left * cache.jitter * self._clock.random()
        slot.stale_until = slot.fresh_until + (cache.stale_while_revalidate if informed else 0.0)
        slot.error_until = slot.fresh_until + cache.stale_if_error
        slot.snapshot = Snapshot(document=document, accepted=NO_CHANGES, parked=slot.snapshot.parked)
        if outcome.shared and slot.fresh_until <= self._clock.monotonic():
            self.throttle(slot)
        else:
            self._table.keep(slot)

    def _tell_siblings(self, slot: Slot, document: ContextDocument) -> None:
        """Have the other tokens of the session ask again when this one has seen a later version."""
        for sibling in self._table.siblings(slot):
            shown = sibling.snapshot.document
            below = sibling.floor_of == document.identity and sibling.floor < document.version
            if below or (shown is not None and slot.outdated(shown)):
                self._follow(sibling, document, document.version)

    def _follow(self, slot: Slot, document: ContextDocument, version: int) -> None:
        """Have a token ask again, as its session has this version of the context of `document` now."""
        shown = slot.snapshot.document
        if shown is not None and shown.identity != document.identity:
            self._expectations.supersede(slot, shown)
        slot.raise_floor(document.identity, version)
        slot.expire()
        slot.next_attempt = self._clock.monotonic()  # Emporix answers again

    def _last_resort(self, slot: Slot, outcome: Found) -> None:
        """Hold a document that a write overlapped: it is true, so no page may go behind it, but the next one asks."""
        document = outcome.document
        if not self.overtaken(slot, document):
            slot.raise_floor(document.identity, document.version)
            self.accept(slot, Snapshot(document=document, parked=slot.snapshot.parked), outcome.asked_at)

    def _absent(self, slot: Slot, snapshot: Snapshot, seconds: float) -> None:
        slot.clear()
        slot.snapshot = snapshot
        slot.fresh_until = self._clock.monotonic() + seconds
        self._table.keep(slot)

    def _expired(self, slot: Slot) -> bool:
        # Without a document there is nothing to keep back, only calls to be spared.
        ended = slot.expires_at is not None and self._clock.time() >= slot.expires_at
        return ended and slot.snapshot.document is not None

    def pause(self) -> float:
        """Return for how long to wait for a replica that lags."""
        low, high = LAG_PAUSE
        return low + (high - low) * self._clock.random()
