"""One GET per token at a time, shared by all who want its answer (single flight, as in Go's ``singleflight``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from ..errors import EmporixError, TokenRejected
from ..model.changes import ContextChanges
from ..model.document import ContextDocument
from ..tasks import SharedResult
from .entry import Entry, Fence

__all__ = ["Failed", "Flight", "Flights", "Found", "Missing", "Outcome", "Rejected"]


@dataclass(slots=True, repr=False, eq=False)  # frozen, it would take twice as long to make, with every miss
class Found:
    """Emporix sent a document, to this process or to one that shared it.

    Args:
        document: the document.
        asked_at: when the GET left, in monotonic seconds.
        shared: whether another process asked.
        failure: why it has to do though it is old; `None` where it is not.
    """

    document: ContextDocument
    asked_at: float
    shared: bool = False
    failure: EmporixError | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Missing:
    """Emporix has no context for this session.

    Args:
        session_id: the session, where the answer names it.
    """

    session_id: str | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Emporix rejected the token.

    Args:
        error: what it answered.
    """

    error: TokenRejected


@dataclass(frozen=True, slots=True)
class Failed:
    """Emporix could not be asked, or did not answer as it should.

    Args:
        error: why.
    """

    error: EmporixError


Outcome: TypeAlias = Found | Missing | Rejected | Failed


@dataclass(slots=True, eq=False, repr=False)
class Flight:
    """A GET in the air. It belongs to nobody: whoever waits may leave at any time.

    Args:
        entry: to be filled.
        started: monotonic seconds.
        past_caches: whether it goes straight to Emporix.
        fence: of the entry when it started: behind another one it is not published.
        parked: what the entry showed as parked when it started.
        asks: whether it has sent a GET of its own.
        landed: its outcome.
        sent_at: when a call of it left the last time, in monotonic seconds; `None` while it waits for its turn.
    """

    entry: Entry
    started: float
    past_caches: bool
    fence: Fence
    parked: ContextChanges
    asks: bool = False
    landed: SharedResult[Outcome] = field(default_factory=SharedResult)
    sent_at: float | None = None

    @property
    def asked_at(self) -> float:
        """When Emporix was asked for what it has answered: one that was asked twice has answered the second time."""
        return self.started if self.sent_at is None else self.sent_at

    def leaves(self, now: float) -> None:
        """Note that a call leaves now (monotonic seconds)."""
        self.sent_at = now

    def is_slow(self, now: float, slow_after: float) -> bool:
        """Tell whether Emporix, not the own queue, has kept it waiting for so many seconds."""
        return self.sent_at is not None and now - self.sent_at >= slow_after

    def begins_to_ask(self) -> None:
        """Note that it sends a GET of its own now."""
        self.asks = True


class Flights:
    """The flights in the air, at most one per token that callers may join; how many there are is bounded by time.

    Args:
        max_age: seconds after which a flight that hangs is given up: new callers start another, and what the old one
            brings in the end is not believed.

    Attributes:
        in_air: how many there are, also those that nobody may join any more.
    """

    __slots__ = ("_joinable", "_max_age", "in_air")

    def __init__(self, max_age: float) -> None:
        self._max_age = max_age
        self._joinable: dict[bytes, Flight] = {}
        self.in_air = 0

    def of(self, entry: Entry, now: float) -> Flight | None:
        """Return the flight that a caller may join, `None` where there is none, or only one that hangs."""
        flight = self._joinable.get(entry.key)
        if flight is None or flight.fence != entry.fence:
            return None
        if self.hangs(flight, now):
            entry.raise_fence()
            return None
        return flight

    def asking(self, key: bytes, now: float) -> Flight | None:
        """Return the flight of a token that has sent a GET, and that others may join; `None` where there is none."""
        flight = self._joinable.get(key)
        joined = None if flight is None else self.of(flight.entry, now)
        return joined if joined is not None and joined.asks else None

    def hangs(self, flight: Flight, now: float) -> bool:
        """Tell whether a flight has been in the air for too long."""
        return now - flight.started > self._max_age

    def begin(self, entry: Entry, now: float, *, past_caches: bool) -> Flight:
        """Return a new flight, which callers join from now on."""
        flight = Flight(entry, now, past_caches, entry.fence, entry.snapshot.parked)
        self._joinable[entry.key] = flight
        self.in_air += 1
        return flight

    def end(self, flight: Flight) -> None:
        """Note that a flight has landed; a newer one of its token stays."""
        self.in_air -= 1
        if self._joinable.get(flight.entry.key) is flight:
            del self._joinable[flight.entry.key]
