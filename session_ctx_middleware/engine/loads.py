"""Filling an entry: from what the store has, else by one GET that everybody shares."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Final

from ..clock import Clock
from ..errors import ContextNotFound, EmporixError, EmporixFailed, EmporixNotAsked, EmporixUnreachable, TokenRejected
from ..model.document import ContextDocument
from ..policies import CachePolicy
from ..stores import Stored
from ..tasks import Tasks
from .entries import Entries
from .entry import Entry
from .flights import Failed, Flight, Flights, Found, Missing, Outcome, Rejected
from .handover import Handover
from .hearings import Hearings
from .pacing import lag_pause
from .pending import Pending
from .ports import Caller, GuardedSource
from .publishing import UNINFORMED_TTL, Publisher
from .sharing import Sharing, StoreRead
from .verdict import Verdict

__all__ = ["Loads"]

_log = logging.getLogger("session_ctx_middleware")

OPERATION: Final = "context.get"


@dataclass(slots=True, kw_only=True)
class Loads:
    """Runs flights: store, Emporix, what is parked for the session, then publication.

    Args:
        source: Emporix.
        sharing: what others have read, or are reading; asked first unless a flight goes past all caches.
        pending: what is parked.
        handover: weighs changes against documents.
        publisher: puts what was found into the entry.
        entries: keeps the entries of flights in reach.
        flights: those in the air.
        tasks: runs them.
        cache: how old a shared document may be.
        clock: where time comes from.
        hearings: what becomes of changes that Emporix has never seen.
    """

    source: GuardedSource
    sharing: Sharing
    pending: Pending
    handover: Handover
    publisher: Publisher
    entries: Entries
    flights: Flights
    tasks: Tasks
    cache: CachePolicy
    clock: Clock
    hearings: Hearings

    @property
    def probe_patience(self) -> float | None:
        """For how many seconds a page may wait for a flight that is likely to fail; `None` while it is not."""
        return self.source.probe_patience

    def join(
        self,
        entry: Entry,
        token: str,
        store_read: StoreRead | None = None,
        *,
        eager: bool = False,
        awaited: bool = True,
    ) -> Flight:
        """Return the GET in flight; start one if none runs, or the one that runs hangs.

        Args:
            entry: to be filled.
            token: to ask Emporix with.
            store_read: what the store has said just now, so that it need not be asked again.
            eager: whether the caller waits for it and for nothing else: then it begins at once, where Python can.
            awaited: whether the caller waits for it at all.
        """
        now = self.clock.monotonic()
        return self.flights.of(entry, now) or self._start(entry, token, now, store_read, eager=eager, awaited=awaited)

    def start(self, entry: Entry, token: str) -> Flight:
        """Start a GET now, past all caches, whatever is in flight; what was is not published any more."""
        entry.raise_fence()
        return self._start(entry, token, self.clock.monotonic(), None, past_caches=True)

    def _start(
        self,
        entry: Entry,
        token: str,
        now: float,
        store_read: StoreRead | None,
        *,
        past_caches: bool = False,
        eager: bool = False,
        awaited: bool = True,
    ) -> Flight:
        flight = self.flights.begin(entry, now, past_caches=past_caches)
        self.entries.pin(entry)
        if store_read is not None and store_read.fence != flight.fence:
            store_read = None  # something was written meanwhile
        found = None if store_read is None else self._at_hand(entry, store_read)
        if found is not None and store_read is not None and self._has_nothing_parked(entry, found, store_read):
            self._land(flight, found)  # without a task: there is nothing to wait for
        elif (refusal := self._refusal(flight, store_read)) is not None:
            self._land(flight, Failed(refusal))  # likewise: while Emporix is left alone, pages are to cost little
        else:
            self.tasks.spawn(self._fly(flight, token, store_read), eager=eager, awaited=awaited)
        return flight

    def _refusal(self, flight: Flight, store_read: StoreRead | None) -> EmporixNotAsked | None:
        """Return why Emporix cannot be asked now, if nobody else knows anything, either."""
        refusal = self.source.refusal(flight.entry.owner)
        return refusal if refusal is not None and self.sharing.is_unknown(flight.entry, store_read) else None

    def serves(self, entry: Entry, store_read: StoreRead | None) -> bool:
        """Tell whether the store had a document that is new enough."""
        return store_read is not None and self._at_hand(entry, store_read) is not None

    def hear(self, entry: Entry, stored: Stored) -> None:
        """Note the floor that the store has, if it has one, and it is news, as a hint; one that is disproved goes."""
        if stored.floor < 0 or self.publisher.knows_floor(entry, stored):
            return
        view = entry.store_view
        if view.believes(stored.identity, stored.floor):
            entry.learn(entry.consistency.hinted(stored.identity, stored.floor))
        elif view.disproved == (stored.identity, stored.floor):  # whoever has taken it away did not reach the store
            self.tasks.spawn(self.sharing.void(self.entries.with_siblings(entry)))

    def _at_hand(self, entry: Entry, store_read: StoreRead) -> Found | None:
        """Return the document that the store had, if it is new enough."""
        stored = store_read.stored
        found = None if stored is None else self._shared_document(entry, stored, store_read.asked_at)
        return found if found is not None and self._is_usable(entry, found) else None

    def _has_nothing_parked(self, entry: Entry, found: Found, store_read: StoreRead) -> bool:
        self.entries.prove(entry, found.document.session_id)
        return self.pending.has_nothing(entry, store_read)

    async def _fly(self, flight: Flight, token: str, store_read: StoreRead | None) -> None:
        outcome: Outcome | None = None
        try:
            outcome = found = await self._find(flight, token, store_read)
            if await self._look(flight.entry, found):
                # Whoever has sent what was parked a moment ago has announced a later version than this one.
                outcome = found = await self._find(flight, token, None)
                await self._look(flight.entry, found)
        finally:
            before = flight.entry.document
            self._land(flight, _shut_down() if outcome is None else outcome)
        await self._share(flight.entry, found, before)

    async def _find(self, flight: Flight, token: str, store_read: StoreRead | None) -> Outcome:
        entry = flight.entry
        asked_at = flight.started if store_read is None else store_read.asked_at
        stored = None if store_read is None else store_read.stored
        if store_read is None and (entry.document is None or not flight.past_caches):
            stored = await self.sharing.load(entry)
            self._adopt(entry)
        found = None if stored is None else self._shared_document(entry, stored, asked_at)
        if flight.past_caches:
            found = None  # what others know was written says which answers of Emporix are too old
        if found is None or self._is_usable(entry, found):
            return found or await self._ask(flight, token)
        outcome = await self._ask(flight, token)
        if isinstance(outcome, Failed) and self._is_usable(entry, found, in_need=True):
            return replace(found, failure=outcome.error)
        return outcome

    def _adopt(self, entry: Entry) -> None:
        """Show what Emporix took by way of another engine of this process, until it shows it by itself."""
        is_open = entry.document is None and not entry.snapshot.rejected
        written = self.sharing.written(entry) if is_open else None
        if written is not None:
            snapshot, asked_at = written
            self.publisher.show_taken(entry, replace(snapshot, parked=entry.snapshot.parked), asked_at)

    def _shared_document(self, entry: Entry, stored: Stored, asked_at: float) -> Found | None:
        """Return the document that somebody else has shared, and note its floor."""
        self.hear(entry, stored)
        if stored.document is None or entry.snapshot.rejected:  # that Emporix takes the token again, it says itself
            return None
        return Found(stored.document, asked_at - stored.age, shared=True)

    def _is_usable(self, entry: Entry, found: Found, *, in_need: bool = False) -> bool:
        """Tell whether a shared document will do, or would when Emporix cannot be asked."""
        ttl = self.cache.ttl if self.sharing.attachment.connected else min(self.cache.ttl, UNINFORMED_TTL)
        seconds = ttl + (self.cache.stale_if_error if in_need else 0.0)
        if self.clock.monotonic() - found.asked_at >= seconds:
            return False
        # Whoever has made a later version may not have been able to write it to the store.
        return self.publisher.judge(entry, found) is Verdict.SHOW

    async def _look(self, entry: Entry, outcome: Outcome) -> bool:
        """Note which session an answer is of, and show what is parked for it.

        Returns:
            Whether others may have sent of that since, so that the answer is past.
        """
        if isinstance(outcome, Found):
            self.handover.date(entry)
            is_new = entry.proven_session is None
            self.entries.prove(entry, outcome.document.session_id)
            self.sharing.learn(entry)
            if is_new:
                self.entries.recall_floor(entry)
                if entry.consistency.floor > outcome.document.version:
                    await self._introduce(entry, outcome.document)
            heard = await self.hearings.recall(entry, outcome)
            asked = await self.pending.look(entry, document=outcome.document)
            return heard or (asked and outcome.shared)
        if isinstance(outcome, Missing):
            self.entries.prove(entry, outcome.session_id)
        await self.pending.look(entry)
        return False

    async def _introduce(self, entry: Entry, document: ContextDocument) -> None:
        """Tell others the floor of a session for a token of it that whoever told that floor could not name."""
        known = entry.consistency
        if known.incarnation is not None and known.incarnation == document.identity:
            await self.sharing.tell((entry,), known.incarnation, known.floor)

    async def _ask(self, flight: Flight, token: str) -> Outcome:
        joined = None if flight.past_caches else self.sharing.flight(flight.entry)
        if joined is not None:
            return await joined.landed.get()
        flight.begins_to_ask()
        outcome = await self._answer(flight, token)
        if isinstance(outcome, Missing) and self._may_lag(flight):
            await self.clock.sleep(lag_pause(self.clock))
            outcome = await self._answer(flight, token)
        return outcome

    def _may_lag(self, flight: Flight) -> bool:
        """Tell whether a replica may not have the context yet, nor was asked in vain a moment ago."""
        entry = flight.entry
        if not entry.consistency.expects_a_context(flight.asked_at):
            return False
        return entry.store_view.may_ask_once_more(self.clock.monotonic())

    async def _answer(self, flight: Flight, token: str) -> Outcome:
        try:
            document = await self.source.get(token, self._caller(flight))
            return Found(document, flight.asked_at)
        except ContextNotFound as error:
            return Missing(error.session_id)
        except TokenRejected as error:
            return Rejected(error)
        except EmporixError as error:
            return Failed(error)
        except Exception as error:  # noqa: BLE001 - whatever a source does, the waiters get an answer
            _log.error("%s failed unexpectedly: %s", OPERATION, type(error).__name__)
            return Failed(EmporixFailed(OPERATION, None, f"unexpected {type(error).__name__}"))

    def _caller(self, flight: Flight) -> Caller:
        return Caller(flight.entry.owner, lambda: flight.leaves(self.clock.monotonic()))

    def _land(self, flight: Flight, outcome: Outcome) -> None:
        entry = flight.entry
        if self.flights.hangs(flight, self.clock.monotonic()) and entry.fence == flight.fence:
            entry.raise_fence()
        self.flights.end(flight)
        try:
            self.publisher.publish(flight, outcome)
        finally:
            self.entries.unpin(entry)
            flight.landed.resolve(outcome)

    async def _share(self, entry: Entry, outcome: Outcome, before: ContextDocument | None) -> None:
        """Let other processes know, once those who wait here do.

        Args:
            entry: that was filled.
            outcome: with what.
            before: the document that it had.
        """
        if isinstance(outcome, Rejected):
            await self.sharing.reject(entry)
        elif isinstance(outcome, Missing) and before is not None and entry.document is None:
            await self.sharing.void(self.entries.with_siblings(entry))  # or it would come back from the store
        elif isinstance(outcome, Found) and not outcome.shared and entry.document is outcome.document:
            await self.sharing.save(entry, outcome.document, self.clock.monotonic() - outcome.asked_at)


def _shut_down() -> Failed:
    """Return what becomes of a flight that is cut short."""
    return Failed(EmporixUnreachable(OPERATION, None, "the application is shutting down"))
