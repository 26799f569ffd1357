"""What becomes of an entry when an answer arrives, or a change was taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..clock import Clock
from ..errors import EmporixError, EmporixNotAsked
from ..model.changes import ContextChanges
from ..model.document import ContextDocument
from ..model.view import Snapshot
from ..policies import CachePolicy
from ..stores import Attachment, Stored
from .consistency import FAR_AHEAD, LAG, START
from .entries import Entries
from .entry import NEVER, Entry
from .flights import Failed, Flight, Found, Missing, Outcome, Rejected
from .incarnations import Incarnation
from .keys import Keys
from .pacing import Pauses
from .requirements import Requirements
from .stats import Stats
from .verdict import REFRESH, SHOW, Verdict

__all__ = ["UNINFORMED_TTL", "Publisher"]

UNINFORMED_TTL: Final = 2.0
"""Seconds for which a document is believed while others cannot tell this event loop what they do."""


@dataclass(slots=True, kw_only=True)
class Publisher:
    """Changes entries by what has arrived; decides by `Consistency.judge`.

    Args:
        cache: how long what is known may be used.
        entries: of this event loop.
        keys: fingerprints of contexts.
        requirements: retires what another context has followed.
        attachment: how well other processes keep this one informed.
        pauses: for tokens whose parked changes are to be sent later.
        clock: where time and randomness come from.
        stats: the counters.
        refused_for: seconds for which it is remembered that Emporix has refused a token: as long as a browser may
            bring what another worker still knows of it, or a store have what one has read just before.
    """

    cache: CachePolicy
    entries: Entries
    keys: Keys
    requirements: Requirements
    attachment: Attachment
    pauses: Pauses
    clock: Clock
    stats: Stats
    refused_for: float = 0.0

    def judge(self, entry: Entry, found: Found) -> Verdict:
        """Decide what may be done with a document that has arrived."""
        others = [sibling.consistency for sibling in self.entries.siblings(entry)]
        known = entry.known_besides(found.document)
        if known is START and not others:  # as of most sessions: nothing is known that a document could fail
            return SHOW
        return known.judge(found.document, found.asked_at, self.clock.monotonic(), self.keys.incarnation, others)

    def is_acceptable(self, entry: Entry, found: Found) -> bool:
        """Tell whether a document from Emporix may be taken up: it is no older than what the shopper has seen."""
        verdict = self.judge(entry, found)
        return verdict is SHOW or verdict is REFRESH

    def publish(self, flight: Flight, outcome: Outcome) -> None:
        """Put what a flight brought into its entry, unless a write or something newer came between."""
        entry = flight.entry
        if isinstance(outcome, Found):
            self.apply_hint(entry, outcome.document.identity, outcome.document.version)
        if isinstance(outcome, Rejected):
            self.reject(entry)  # a token that is rejected is rejected, whatever else was going on
        elif flight.fence != entry.fence or self.entries.is_written(entry):
            self.stats.count_refused_publication()
            if isinstance(outcome, Found) and flight.fence.era == entry.fence.era and not entry.snapshot.rejected:
                self._last_resort(entry, outcome)
        elif isinstance(outcome, Found):
            self._found(flight, outcome)
        elif isinstance(outcome, Missing):
            was_there = entry.consistency.expects_a_context(flight.asked_at)
            self._absent(entry, Snapshot(parked=entry.snapshot.parked), self.cache.missing_ttl)
            self.entries.keep(entry, at_least=LAG if was_there else 0.0)  # or Emporix would be asked twice again
        elif isinstance(outcome, Failed):
            self._failed(flight, outcome.error)

    def apply_hint(self, entry: Entry, incarnation: Incarnation, version: int) -> bool:
        """Take an announced version of a context as its floor, and tell whether it was of this one.

        Args:
            entry: of the token.
            incarnation: of which context somebody has seen a document.
            version: of that document.
        """
        known = entry.consistency
        if known.hint is None or not known.hints_at(incarnation, self.keys.incarnation):
            return False
        if known.hint[1] <= version + FAR_AHEAD:  # whoever can write to a store may announce what is absurd
            entry.learn(known.with_hint_applied(incarnation, self.keys.incarnation, self.clock.monotonic()))
        return True

    def knows_floor(self, entry: Entry, stored: Stored) -> bool:
        """Tell whether a store has no later floor than is known here, with its changes or a document that shows them.

        Mostly it is what this process has put there.
        """
        known = entry.consistency
        if known.incarnation is None or self.keys.incarnation(known.incarnation) != stored.identity:
            return False
        shows = entry.document is not None and entry.document.version >= stored.floor
        return stored.floor <= known.floor and (shows or known.complete_from <= stored.floor)

    def adopt(self, entry: Entry, document: ContextDocument, asked_at: float, asked_on: float) -> bool:
        """Show a document that a browser brought, unless it may lack something; tell whether it is shown.

        Args:
            entry: of the token.
            document: as some worker has read it.
            asked_at: when that was, in monotonic seconds, as far as its clock is right: no longer than that it is of
                use. For all else that moment is unknown, and what is fresh counts as seen from now on. What is not
                fresh says nothing about what Emporix answers next: its version may have fallen since.
            asked_on: when that was in Emporix' time, for comparison with when changes were taken; 0 where nobody knows.
        """
        now = self.clock.monotonic()
        self.apply_hint(entry, document.identity, document.version)
        writes = any(self.entries.is_written(each) for each in self.entries.with_siblings(entry))
        if writes or self.judge(entry, Found(document, NEVER)) is not SHOW:
            return False
        retry_at, seen, fresh = entry.retry_at, entry.consistency, now < asked_at + self.cache.ttl
        if fresh:
            seen = seen.raised(document.identity, document.version, now)
        entry.show(Snapshot(document, parked=entry.snapshot.parked, asked_on=asked_on), seen, dated=False)
        self._set_lifetime(entry, asked_at, dated=False)
        entry.retry_after(retry_at)
        if fresh:
            self._expire_siblings(entry, Found(document, now))
        self.entries.keep(entry)
        return True

    def reject(self, entry: Entry) -> None:
        """Forget the context of a token that Emporix rejected, and do not ask again for a while."""
        entry.raise_fence()  # an answer from before the rejection must not bring the context back
        entry.store_view.look_again()  # what is parked shows again should the token be taken again
        self._absent(entry, Snapshot(rejected=True), self.cache.rejected_ttl)
        if entry.proven_session is not None:  # of a token that was never good, nobody has a document
            self.entries.keep(entry, at_least=self.refused_for)

    def throttle(self, entry: Entry, since: float) -> None:
        """Leave Emporix alone for this token for a while, at random up to the policy's time.

        Args:
            entry: of the token.
            since: when Emporix was asked in vain (monotonic seconds): a call that took long has made its pause.
        """
        pause = self.cache.failure_throttle * (0.5 + 0.5 * self.clock.random())
        entry.retry_after(since + pause)
        self.entries.keep(entry)

    def show_taken(self, entry: Entry, snapshot: Snapshot, asked_at: float) -> None:
        """Show a document and the changes that Emporix took after it, until a GET brings the new version.

        Args:
            entry: of the token.
            snapshot: both.
            asked_at: when Emporix was asked for the document, in monotonic seconds.
        """
        now = self.clock.monotonic()
        error_until = now + max(self.cache.stale_if_error, self.cache.ttl)
        entry.show(snapshot, entry.consistency)
        entry.set_lifetime(asked_at, fresh_until=NEVER, stale_until=NEVER, error_until=error_until)
        self.entries.keep(entry)

    def show_taken_by_sibling(self, entry: Entry, base: ContextDocument, version: int, changes: ContextChanges) -> None:
        """Show changes that Emporix took by way of another token of the session; each keeps its own document.

        Args:
            entry: of this token.
            base: what they were made to.
            version: the one that has them.
            changes: what Emporix holds now in their fields.
        """
        self._follow(entry, base.identity, version, self.clock.monotonic())
        entry.lay_over(changes)

    def _failed(self, flight: Flight, error: EmporixError) -> None:
        # That this process did not ask says nothing about Emporix: the next request tries again.
        if not isinstance(error, EmporixNotAsked):
            self.throttle(flight.entry, flight.asked_at)

    def _found(self, flight: Flight, found: Found) -> None:
        entry = flight.entry
        siblings = self.entries.siblings(entry)
        if any(map(self.entries.is_written, siblings)) or not self.is_acceptable(entry, found):
            self.stats.count_refused_publication()
            return
        floor = entry.consistency.floor_of(found.document.identity)
        if floor > found.document.version:
            entry.store_view.disproves(self.keys.incarnation(found.document.identity), floor)
        elif not found.shared:
            entry.store_view.hears(-1)  # a lower version that was announced came late
        entry.show_read(found.document, found.asked_at)
        self._set_lifetime(entry, found.asked_at)  # in this order: see Entry.read_elsewhere
        self._expire_siblings(entry, found)
        self.entries.keep(entry)
        if entry.has_lost(flight.parked, found.document):
            entry.expire()
        if found.failure is not None:
            self._failed(flight, found.failure)
        elif found.shared and entry.fresh_until <= self.clock.monotonic():
            self.throttle(entry, self.clock.monotonic())

    def _set_lifetime(self, entry: Entry, asked_at: float, *, dated: bool = True) -> None:
        cache, informed = self.cache, self.attachment.connected
        limit = asked_at + (cache.ttl if informed else min(cache.ttl, UNINFORMED_TTL))
        left = max(limit - self.clock.monotonic(), 0.0)
        fresh_until = limit - left * cache.jitter * self.clock.random()
        entry.set_lifetime(
            asked_at if dated else NEVER,
            fresh_until=fresh_until,
            stale_until=fresh_until + (cache.stale_while_revalidate if informed else 0.0),
            error_until=fresh_until + cache.stale_if_error,
        )

    def _expire_siblings(self, entry: Entry, found: Found) -> None:
        """Have the other tokens of the session ask again when this one has seen a later version."""
        document = found.document
        for sibling in self.entries.siblings(entry):
            shown, known = sibling.document, sibling.consistency
            below = known.incarnation == document.identity and known.floor < document.version
            if below or (shown is not None and entry.consistency.outdates(shown, sibling.asked_at)):
                self._follow(sibling, document.identity, document.version, found.asked_at)

    def _follow(self, entry: Entry, incarnation: Incarnation, version: int, at: float) -> None:
        """Have a token ask again, as its session has this version of a context now."""
        shown = entry.document
        if shown is not None and shown.identity != incarnation:
            self.requirements.retire(entry, shown.identity)
        entry.learn(entry.consistency.raised(incarnation, version, at))
        entry.expire()
        entry.retry_after(self.clock.monotonic())  # Emporix answers again

    def _last_resort(self, entry: Entry, found: Found) -> None:
        """Hold a document that a write overlapped: it is true, so no page may go behind it, but the next one asks."""
        document = found.document
        if self.is_acceptable(entry, found):
            entry.learn(entry.consistency.published(document, found.asked_at))
            self.show_taken(entry, Snapshot(document=document, parked=entry.snapshot.parked), found.asked_at)

    def _absent(self, entry: Entry, snapshot: Snapshot, seconds: float) -> None:
        entry.clear(snapshot)
        self.pauses.end(entry.key)
        entry.serve_until(self.clock.monotonic() + seconds)
        self.entries.keep(entry)
