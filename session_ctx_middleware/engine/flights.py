"""One GET per key at a time, shared by everybody who wants its answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from ..clock import Clock, wait
from ..errors import ContextNotFound, EmporixError, EmporixFailed, EmporixNotAsked, EmporixUnreachable, TokenRejected
from ..model.document import ContextDocument
from ..tasks import Tasks
from .entries import Entries
from .entry import Entry
from .ports import ContextSource
from .sharing import Sharing, StoreRead

__all__ = ["Failed", "Flight", "Flights", "Found", "Missing", "Outcome", "Rejected"]

_log = logging.getLogger("session_ctx_middleware")

OPERATION: Final = "context.get"


@dataclass(frozen=True, slots=True, repr=False)
class Found:
    """Emporix sent a document, to this process or to one that shared it.

    Args:
        document: the document.
        asked_at: when the GET left, in monotonic seconds.
        shared: whether another process asked.
    """

    document: ContextDocument
    asked_at: float
    shared: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Missing:
    """Emporix has no context for this session."""

    session_id: str | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Emporix refused the token."""

    error: TokenRejected


@dataclass(frozen=True, slots=True)
class Failed:
    """Emporix could not be asked, or did not answer as it should."""

    error: EmporixError


Outcome: TypeAlias = Found | Missing | Rejected | Failed


class Flight:
    """A GET in the air. It belongs to nobody: who waits has a future of its own, and can leave at any time."""

    __slots__ = ("entry", "epoch", "generation", "outcome", "parked", "started", "straight", "waiters")

    def __init__(self, entry: Entry, started: float, *, straight: bool) -> None:
        self.entry = entry
        self.straight = straight
        self.generation = entry.generation
        self.epoch = entry.epoch
        self.parked = entry.snapshot.parked
        self.started = started
        self.outcome: Outcome | None = None
        # In order of arrival, so that they are woken in that order too.
        self.waiters: dict[asyncio.Future[Outcome | None], None] = {}

    async def wait(self, timeout: float, clock: Clock) -> Outcome | None:
        """Return the outcome, or ``None`` when `timeout` seconds were up first; the flight goes on in any case."""
        if self.outcome is not None:
            return self.outcome
        waiter: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        self.waiters[waiter] = None
        try:
            return await wait(waiter, timeout, clock)
        finally:
            self.waiters.pop(waiter, None)

    def land(self, outcome: Outcome) -> None:
        """Tell everybody who waits."""
        self.outcome = outcome
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(outcome)


class Flights:
    """Starts flights and hands what they bring to `publish`.

    Args:
        source: Emporix.
        shelf: what other processes have read, asked first unless a flight goes `straight` to Emporix.
        table: keeps the entries of flights in reach.
        tasks: runs the flights.
        clock: where time comes from.
        arrive: awaited with every outcome first, for what a session's entry should know before anybody reads it; tells
            whether the store had to be asked.
        glanced: the same, without waiting, for a document of a store_read; tells whether that was possible.
        publish: told every outcome, once.
        usable: tells whether a document that another process has read is new enough, for always or for when Emporix
            cannot be asked.
        max_flights: at most so many at once; above it a flight fails at once.
        max_age: seconds after which a flight that hangs is given up: new callers start another, and what the old
            one brings in the end is not believed.
    """

    def __init__(
        self,
        *,
        source: ContextSource,
        shelf: Sharing,
        table: Entries,
        tasks: Tasks,
        clock: Clock,
        arrive: Callable[[Entry, Outcome], Awaitable[bool]],
        glanced: Callable[[Entry, Found, StoreRead], bool],
        publish: Callable[[Flight, Outcome], None],
        usable: Callable[[Entry, Found, bool], bool],
        max_flights: int,
        max_age: float,
    ) -> None:
        self._source = source
        self._shelf = shelf
        self._usable = usable
        self._table = table
        self._tasks = tasks
        self._clock = clock
        self._arrive = arrive
        self._glanced = glanced
        self._publish = publish
        self._max_flights = max_flights
        self._max_age = max_age
        self.in_air = 0

    def join(self, entry: Entry, token: str, store_read: StoreRead | None = None) -> Flight:
        """Return the flight of a entry, a new one where none is in the air or the one that is hangs.

        Args:
            entry: to be filled.
            token: to ask Emporix with.
            store_read: what the store has said just now, so that it need not be asked again.
        """
        now = self._clock.monotonic()
        flight = entry.flight
        if flight is not None and now - flight.started <= self._max_age:
            return flight
        if flight is not None:
            entry.fence()
        return self._start(entry, token, now, store_read, straight=False)

    def start(self, entry: Entry, token: str) -> Flight:
        """Return a flight to Emporix that starts now, whatever is in the air; what was is not published any more."""
        entry.fence()
        return self._start(entry, token, self._clock.monotonic(), None, straight=True)

    def _start(self, entry: Entry, token: str, now: float, store_read: StoreRead | None, *, straight: bool) -> Flight:
        flight = Flight(entry, now, straight=straight)
        if self.in_air >= self._max_flights:
            flight.land(Failed(EmporixNotAsked(OPERATION, None, "too many sessions are being read at once")))
            return flight
        self.in_air += 1
        entry.flight = flight
        self._table.pin(entry)
        if store_read is not None and store_read.generation != flight.generation:
            store_read = None  # something was written meanwhile
        found = None if store_read is None else self._at_hand(flight, store_read)
        if found is not None and store_read is not None and self._glanced(entry, found, store_read):
            self._land(flight, found)  # without a task: there is nothing to wait for
        else:
            self._tasks.spawn(self._fly(flight, token, store_read))
        return flight

    def _at_hand(self, flight: Flight, store_read: StoreRead) -> Found | None:
        """Return the document of a store_read, if it is new enough."""
        stored = store_read.stored
        if stored is None or stored.document is None:
            return None
        flight.entry.rumour = (stored.identity, stored.floor)
        found = Found(stored.document, store_read.at - stored.age, shared=True)
        return found if self._usable(flight.entry, found, False) else None

    async def _fly(self, flight: Flight, token: str, store_read: StoreRead | None) -> None:
        outcome: Outcome = Failed(EmporixUnreachable(OPERATION, None, "the application is shutting down"))
        try:
            outcome = await self._find(flight, token, store_read)
            asked = await self._arrive(flight.entry, outcome)
            if asked and isinstance(outcome, Found) and outcome.shared:
                # Whoever has sent what was parked a moment ago has told of a later version than this one.
                outcome = await self._find(flight, token, None)
                await self._arrive(flight.entry, outcome)
        finally:
            self._land(flight, outcome)
        await self._share(flight.entry, outcome)

    async def _find(self, flight: Flight, token: str, store_read: StoreRead | None) -> Outcome:
        asked_at = flight.started if store_read is None else store_read.at
        stored = None if store_read is None else store_read.stored
        if store_read is None and not flight.straight:
            stored = await self._shelf.load(flight.entry)
        if stored is None:
            return await self._ask(flight, token)
        flight.entry.rumour = (stored.identity, stored.floor)
        if stored.document is None:
            return await self._ask(flight, token)
        found = Found(stored.document, asked_at - stored.age, shared=True)
        if self._usable(flight.entry, found, False):
            return found
        outcome = await self._ask(flight, token)
        return found if isinstance(outcome, Failed) and self._usable(flight.entry, found, True) else outcome

    async def _share(self, entry: Entry, outcome: Outcome) -> None:
        """Let other processes know, once those who wait here do."""
        if isinstance(outcome, Rejected):
            await self._shelf.reject(entry)
        elif isinstance(outcome, Found) and not outcome.shared and entry.snapshot.document is outcome.document:
            await self._shelf.save(entry, outcome.document, self._clock.monotonic() - outcome.asked_at)

    async def _ask(self, flight: Flight, token: str) -> Outcome:
        try:
            return Found(await self._source.get(token), flight.started)
        except ContextNotFound as error:
            return Missing(error.session_id)
        except TokenRejected as error:
            return Rejected(error)
        except EmporixError as error:
            return Failed(error)
        except Exception as error:  # noqa: BLE001 - whatever a source does, the waiters get an answer
            _log.error("%s failed unexpectedly: %s", OPERATION, type(error).__name__)
            return Failed(EmporixFailed(OPERATION, None, f"unexpected {type(error).__name__}"))

    def _land(self, flight: Flight, outcome: Outcome) -> None:
        self.in_air -= 1
        entry = flight.entry
        if self._clock.monotonic() - flight.started > self._max_age and entry.generation == flight.generation:
            entry.fence()
        if entry.flight is flight:
            entry.flight = None
        try:
            self._publish(flight, outcome)
        finally:
            self._table.unpin(entry)
            flight.land(outcome)
