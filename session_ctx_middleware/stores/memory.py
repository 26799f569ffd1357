"""Parked changes, and where it is shared also documents, in the memory of this process."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

from ..clock import Clock, SystemClock
from ..errors import ConfigurationError
from ..model.changes import NO_CHANGES, ContextChanges
from ..model.document import ContextDocument
from .bus import NoticeBus
from .documents import Documents
from .protocol import PARKED_TTL, Attachment, Listener, Notice, Parked, Stored
from .tokens import MemoryTokens

__all__ = ["MemoryStore"]

SESSION_PREFIX: Final = "session-"

if TYPE_CHECKING:
    _Cache = TTLCache[str, ContextChanges]
    _Links = TTLCache[str, str]
else:
    _Cache = _Links = TTLCache


class _Parked(_Cache):
    """Parked changes by name; counts those that had to go for lack of room."""

    lost = 0

    def popitem(self) -> tuple[str, ContextChanges]:
        self.lost += 1
        return super().popitem()


class MemoryStore:
    """Keeps parked changes for 24 hours in this process; another process or host does not see them.

    Several event loops of one process share documents as well when they are given one store with ``shared=True``.
    Simulated workers on one event loop take one `sibling` each: what is done through one of them is published to all
    others.

    Args:
        max_entries: sessions with parked changes; the least recently used one goes first. With ``shared=True`` also
            the number of documents; in any case also that of sessions that `StorefrontSessions` keeps here.
        shared: keep documents too, and notify everybody else who is attached.
        clock: where time comes from.
    """

    def __init__(self, *, max_entries: int = 10_000, shared: bool = False, clock: Clock | None = None) -> None:
        self._open(_Memory(max_entries, clock or SystemClock(), shared=shared))

    def _open(self, memory: _Memory) -> None:
        self.shared = memory.bus is not None
        self._memory = memory
        self._subscriber = None if memory.bus is None else memory.bus.join()

    def sibling(self) -> MemoryStore:
        """Return a store on the same memory, for another worker.

        Raises:
            ConfigurationError: this store is not shared.
        """
        if self._memory.bus is None:
            raise ConfigurationError("Only a store that is built with shared=True has siblings.")
        return _Sibling(self._memory)

    def __repr__(self) -> str:
        return "<MemoryStore shared>" if self.shared else "<MemoryStore>"

    @property
    def tokens(self) -> MemoryTokens:
        """Keeps sealed sessions for whoever shares this memory (`sessions.TokenStore`)."""
        return self._memory.kept

    @property
    def losses(self) -> Mapping[str, int]:
        """How often parked changes had to go, by the reason."""
        return {"no room": self._memory.sessions.lost + self._memory.tokens.lost}

    @property
    def waiting(self) -> int:
        """For how many sessions, or tokens of sessions that are not known, changes are parked."""
        return len(self._memory.sessions) + len(self._memory.tokens)

    def attach(self, listener: Listener) -> Attachment:
        """Notify `listener` of what others do; a store that is not shared never does."""
        return Attachment() if self._subscriber is None else self._subscriber.attach(listener)

    async def load(self, name: str) -> Stored | None:
        """Return what is kept under the name of a token; nothing where the store is not shared."""
        return self._memory.load(name)

    async def save(
        self, name: str, document: ContextDocument, identity: str, *, age: float, lifetime: float, session: str = ""
    ) -> None:
        """Keep a document unless what is kept shows that it is out of date; do nothing where it is not shared."""
        if self._memory.documents is not None:
            self._memory.documents.save(name, document, identity, age=age, lifetime=lifetime, session=session)

    async def invalidate(
        self,
        names: Sequence[str],
        identity: str,
        floor: int,
        *,
        lifetime: float,
        taken: ContextChanges = NO_CHANGES,
    ) -> None:
        """Raise the floor of documents; do nothing where it is not shared."""
        if self._memory.documents is not None:
            self._memory.documents.invalidate(names, identity, floor, lifetime)
            self._publish(Notice("written", tuple(names), identity, floor, lambda: taken))

    async def aclose(self) -> None:
        """Do nothing: memory needs no closing."""

    async def parked(self, names: Sequence[str]) -> ContextChanges:
        """Return what is parked under any of `names`, the latest change of each field."""
        return self._memory.parked(names)

    def holds(self, names: Sequence[str]) -> bool:
        """Tell whether anything is parked under any of `names`, or of the sessions that they were linked with."""
        return bool(self._memory.parked((*names, *self._memory.linked(names))))

    async def link(self, names: Sequence[str], session: str) -> None:
        """Note to which session tokens belong."""
        self._memory.link(names, session)
        self._publish(Notice("parked", tuple(names)))

    async def look(self, name: str) -> Parked:
        """Return what is parked under the name of a token and under that of its session, where that is known."""
        session = self._memory.linked((name,))
        return Parked(self._memory.parked((name, *session)), *session)

    async def park(self, name: str, changes: ContextChanges) -> None:
        """Keep `changes`; of two changes of one field the later one stays."""
        self._memory.park(name, changes)
        self._publish(Notice("parked", (name,)))

    async def unpark(self, names: Sequence[str], changes: ContextChanges) -> None:
        """Forget these changes, and earlier ones of their fields, under all of `names`; later ones stay."""
        if self._memory.unpark(names, changes):
            self._publish(Notice("parked", tuple(names)))

    async def forget(self, names: Sequence[str]) -> None:
        """Forget everything under `names`."""
        self._memory.forget(names)
        self._publish(Notice("forgotten", tuple(names)))

    def _publish(self, notice: Notice) -> None:
        if self._subscriber is not None:
            self._subscriber.publish(notice)


class _Sibling(MemoryStore):
    """A further store on the memory of another one."""

    def __init__(self, memory: _Memory) -> None:
        self._open(memory)


class _Memory:
    """What siblings share.

    Args:
        max_entries: sessions, tokens, and documents, kept at most of each.
        clock: where time comes from.
        shared: whether documents are kept too, and others are notified.
    """

    def __init__(self, max_entries: int, clock: Clock, *, shared: bool) -> None:
        self._clock = clock
        # Two caches, so that made-up tokens do not push out what is parked for sessions that Emporix knows.
        self.sessions = _Parked(max_entries, PARKED_TTL, timer=clock.monotonic)
        self.tokens = _Parked(max_entries, PARKED_TTL, timer=clock.monotonic)
        self._links = _Links(max_entries, PARKED_TTL, timer=clock.monotonic)
        # Event loops of several threads may share one store, and the cache's own book-keeping is not atomic.
        self._lock = threading.Lock()
        self._ever_parked = False
        self.documents = Documents(max_entries, clock) if shared else None
        self.bus = NoticeBus() if shared else None
        self.kept = MemoryTokens(max_entries, clock)

    def load(self, name: str) -> Stored | None:
        found = None if self.documents is None else self.documents.load(name)
        if found is None:
            return None
        stored, session = found
        names = [each for each in (name, session) if each and not self.parked((each, *self.linked((each,))))]
        return replace(stored, unparked=tuple(names))

    def link(self, names: Sequence[str], session: str) -> None:
        with self._lock:
            self._links.update(dict.fromkeys(names, session))

    def linked(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the sessions that names of tokens were linked with."""
        if not self._links:
            return ()
        with self._lock:
            return tuple(self._links[name] for name in names if name in self._links)

    def parked(self, names: Sequence[str]) -> ContextChanges:
        found = NO_CHANGES
        if not self._ever_parked:
            return found
        with self._lock:
            for name in names:
                entries = self._entries(name)
                if name in entries:  # which costs a fifth of `get`, and nothing is parked for most shoppers
                    found = entries.get(name, NO_CHANGES).newest(found)
        return found.since(self._clock.time() - PARKED_TTL) if found else found

    def park(self, name: str, changes: ContextChanges) -> None:
        with self._lock:
            self._ever_parked = True
            entries = self._entries(name)
            entries[name] = changes.newest(entries.get(name, NO_CHANGES))

    def unpark(self, names: Sequence[str], changes: ContextChanges) -> bool:
        """Return whether anything was there to be forgotten."""
        gone = False
        with self._lock:
            for name in names:
                entries = self._entries(name)
                there = entries.get(name, NO_CHANGES)
                left = there.minus(changes)
                gone = gone or len(left) < len(there)
                if not left:
                    entries.pop(name, None)
                elif len(left) < len(there):
                    entries[name] = left
        return gone

    def forget(self, names: Sequence[str]) -> None:
        with self._lock:
            for name in names:
                self._entries(name).pop(name, None)
                self._links.pop(name, None)
        if self.documents is not None:
            self.documents.forget(names)

    def _entries(self, name: str) -> _Parked:
        return self.sessions if name.startswith(SESSION_PREFIX) else self.tokens
