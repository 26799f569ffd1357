"""The engines of one process that use one store object: of several middleware instances, and of several event loops.

Frameworks build one instance per route or mount, servers and tests bring one event loop after another. What a shopper
changed by way of one of them has to show in all others at once, and what one of them knows the others need not ask for.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from ..clock import Clock, HybridClock
from ..model.changes import ContextChanges
from ..model.view import Snapshot
from ..stores import Attachment, ContextStore, MemoryStore, Notice
from .consistency import Consistency
from .entries import Entries
from .entry import Entry
from .flights import Flight, Flights
from .known_sessions import KnownSessions
from .merging import merged
from .resilience import Protection
from .untold import Untold

__all__ = ["Letter", "Neighbour", "Neighbourhood", "Refused", "Unseen", "Written"]

_log = logging.getLogger("session_ctx_middleware")

MAX_LETTERS: Final = 10_000
"""Notices that wait for a middleware that is not used at the moment; with more than that it begins with nothing."""

_known: Final[WeakValueDictionary[Hashable, Neighbourhood]] = WeakValueDictionary()
_lock: Final = threading.Lock()


@dataclass(frozen=True, slots=True, repr=False)
class Written:
    """What an engine knows after a write; all of it is immutable, so that it may go to another thread.

    Args:
        notice: what other processes are told.
        key: of the token that it was made with.
        snapshot: what its reads show now.
        asked_at: when Emporix was asked for the document, in monotonic seconds.
        consistency: what it knows about versions.
    """

    notice: Notice
    key: bytes
    snapshot: Snapshot
    asked_at: float
    consistency: Consistency

    @classmethod
    def by(cls, entry: Entry, notice: Notice) -> Written:
        """Return what an entry has to tell with a notice."""
        return cls(notice, entry.key, entry.snapshot, entry.asked_at, entry.consistency)


@dataclass(frozen=True, slots=True, repr=False)
class Unseen:
    """Changes that Emporix has said it had taken, and has not: they are parked again.

    Args:
        names: of the token and its session.
        changes: these.
    """

    names: tuple[str, ...]
    changes: ContextChanges


@dataclass(frozen=True, slots=True, repr=False)
class Refused:
    """That Emporix has refused a token.

    Args:
        names: of the token.
    """

    names: tuple[str, ...]


Letter: TypeAlias = Notice | Written | Unseen | Refused
"""What neighbours tell each other; from other processes come notices alone."""


class Neighbourhood:
    """What the middleware instances that use one store object have in common; it ends with the last of them.

    Args:
        name: under which those who come later find it, while anybody lives there.
        store: the store.
        clock: where time comes from.

    Attributes:
        store: the store.
        fallback: keeps parked changes that the store could not take.
        known_sessions: which session a token is of.
        untold: what requests without a response of their own have to tell.
        timestamps: of changes: of two that are made in this process, the later one has the later timestamp.
    """

    def __init__(self, name: Hashable, store: ContextStore, clock: Clock) -> None:
        self._name = name
        self.store = store
        self.fallback = MemoryStore(clock=clock)
        self.known_sessions = KnownSessions(clock)
        self.untold = Untold(clock)
        self.timestamps = HybridClock(clock)
        self._clock = clock
        self._protections: dict[Hashable, Protection] = {}
        self._residents: WeakSet[object] = WeakSet()
        self._neighbours: WeakSet[Neighbour] = WeakSet()
        self._attachments: WeakKeyDictionary[asyncio.AbstractEventLoop, Attachment] = WeakKeyDictionary()
        self._lock = threading.Lock()

    @classmethod
    def around(cls, name: Hashable, store: Callable[[], ContextStore], clock: Clock) -> Neighbourhood:
        """Return the neighbourhood of a name, a new one where nobody lives in it.

        Args:
            name: equal for those who are to share.
            store: makes or returns the store of a new one.
            clock: of a new one.
        """
        with _lock:
            known = _known.get(name)
            if known is None:
                known = _known[name] = cls(name, store(), clock)
            return known

    def joined_by(self, resident: object) -> Neighbourhood:
        """Let a middleware instance live here, or in the one of this name that others have founded meanwhile."""
        with _lock:
            here = _known.setdefault(self._name, self)
            here.welcome(resident)
            return here

    def welcome(self, resident: object) -> None:
        """Count a middleware instance among those who live here."""
        self._residents.add(resident)

    def left_by(self, resident: object) -> None:
        """Note that a middleware instance was closed; when nobody is left, whoever comes now begins anew."""
        with _lock:
            self._residents.discard(resident)
            if not self._residents and _known.get(self._name) is self:
                del _known[self._name]

    def protection(self, place: Hashable) -> Protection:
        """Return what those who live here know about the health of Emporix at a place: of a tenant, at an address."""
        with self._lock:
            known = self._protections.get(place)
            if known is None:
                known = self._protections[place] = Protection(self._clock)
            return known

    @property
    def ends_with_changes(self) -> bool:
        """Whether nobody lives here any more, and changes are parked that end with the memory of this process."""
        here = [each for each in (self.store, self.fallback) if isinstance(each, MemoryStore)]
        return not self._residents and any(each.waiting for each in here)

    def neighbour(self) -> Neighbour:
        """Return a new neighbour, for one event loop of one middleware instance after another."""
        neighbour = Neighbour(self)
        with self._lock:
            self._neighbours.add(neighbour)
        return neighbour

    def others(self, neighbour: Neighbour) -> list[Neighbour]:
        """Return everybody else."""
        if len(self._neighbours) == 1:  # as in most processes: there is nobody else
            return []
        with self._lock:
            return [each for each in self._neighbours if each is not neighbour]

    def attach(self, loop: asyncio.AbstractEventLoop) -> Attachment:
        """Have the store notify an event loop: once, however many instances it has."""
        with self._lock:
            attachment = self._attachments.get(loop)
            if attachment is None:
                attachment = self._attachments[loop] = self.store.attach(self._notified)
            return attachment

    async def release(self) -> None:
        """Close what the store has for the running event loop, unless another instance uses it there."""
        loop = asyncio.get_running_loop()
        with self._lock:
            used = any(each.loop is loop for each in self._neighbours)
        if not used:
            await self.store.aclose()

    def _notified(self, notice: Notice) -> None:
        """Pass on what another process did, to everybody on the event loop that was told."""
        loop = asyncio.get_running_loop()
        with self._lock:
            here = [each for each in self._neighbours if each.loop is loop]
        for each in here:
            each.receive(notice)


class Neighbour:
    """One engine as the others see it. What it knows outlives its event loop: the next one of its instance goes on.

    An event loop that ends, ends without a word. So a notice is first put where the next engine finds it, and what the
    others may read of an engine on another thread is read in an order in which it can only look older than it is.

    Args:
        neighbourhood: whom it has for neighbours.

    Attributes:
        loop: the event loop of its engine; `None` while there is none.
        entries: what its engine keeps.
    """

    __slots__ = ("__weakref__", "_flights", "_letters", "_listener", "_neighbourhood", "_reads", "entries", "loop")

    def __init__(self, neighbourhood: Neighbourhood) -> None:
        self._neighbourhood = neighbourhood
        self._letters: deque[Letter] = deque()
        self._reads = False
        self._flights: Flights | None = None
        self._listener: Callable[[Letter], None] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.entries: Entries | None = None

    @property
    def neighbourhood(self) -> Neighbourhood:
        """Whom it has for neighbours."""
        return self._neighbourhood

    @property
    def is_vacant(self) -> bool:
        """Whether it has no engine, or one that cannot run any more."""
        return self.loop is None or self.loop.is_closed()

    @property
    def has_company(self) -> bool:
        """Whether there is anybody to be told."""
        return bool(self._neighbourhood.others(self))

    def move_in(
        self,
        loop: asyncio.AbstractEventLoop,
        entries: Entries,
        flights: Flights,
        listener: Callable[[Letter], None],
    ) -> None:
        """Let an engine go on with what is known here; call it on its event loop.

        Args:
            loop: that loop.
            entries: what it keeps.
            flights: its GETs in the air.
            listener: is called on that loop with what others did, first of all with what they did meanwhile.
        """
        self.loop, self.entries, self._flights, self._listener = loop, entries, flights, listener
        self._read_letters()

    def move_out(self) -> None:
        """Note that the engine was closed."""
        self.loop = self._flights = self._listener = None

    def tell(self, letter: Letter) -> None:
        """Tell everybody else what this engine did."""
        for other in self._neighbourhood.others(self):
            other.receive(letter)

    def receive(self, letter: Letter) -> None:
        """Have the engine apply a letter: on this event loop at once, elsewhere before it does anything else."""
        self._letters.append(letter)
        loop = self.loop
        if loop is asyncio.get_running_loop():
            self._read_letters()
        elif loop is not None and not loop.is_closed():
            with suppress(RuntimeError):  # closed this moment: the next engine reads it
                loop.call_soon_threadsafe(self._read_letters)
        elif len(self._letters) > MAX_LETTERS:
            self.entries = None
            self._letters.clear()

    def look_around(self, key: bytes) -> list[tuple[Entry, bool]]:
        """Return what the others keep for a token, and of each whether it has heard of everything."""
        others = self._neighbourhood.others(self)
        if not others:
            return []
        # In this order: what is told after that is not yet acknowledged.
        seen = ((other.is_up_to_date, other.entry_of(key)) for other in others)
        return [(entry, up_to_date) for up_to_date, entry in seen if entry is not None]

    def teach(self, entry: Entry) -> None:
        """Let an entry know what the others know of its session by way of any token."""
        session = entry.proven_session
        if session is None:
            return
        for other in self._neighbourhood.others(self):
            for each in () if other.entries is None else other.entries.of_session(session.name):
                entry.learn(merged(entry.consistency, each.consistency))

    @property
    def is_up_to_date(self) -> bool:
        """Whether no notice waits to be read."""
        return not (self._letters or self._reads)

    def entry_of(self, key: bytes) -> Entry | None:
        """Return what is kept here for a token."""
        return None if self.entries is None else self.entries.peek(key)

    def flight_of(self, key: bytes, now: float) -> Flight | None:
        """Return a GET that another instance on this event loop has sent, and that may be waited for."""
        for other in self._neighbourhood.others(self):
            flight = other.asking(key, now) if other.loop is self.loop else None
            if flight is not None:
                return flight
        return None

    def asking(self, key: bytes, now: float) -> Flight | None:
        """Return the GET that this engine has sent for a token, unless nobody may join it."""
        return None if self._flights is None else self._flights.asking(key, now)

    def _read_letters(self) -> None:
        if self._reads:
            return  # further down in the stack
        self._reads = True
        while self._letters and self._listener is not None:
            try:
                self._listener(self._letters.popleft())
            except Exception as error:  # noqa: BLE001 - who tells something does not answer for who is told
                _log.error("a notice could not be applied: %s", type(error).__name__)
        self._reads = False
