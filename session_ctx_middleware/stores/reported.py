"""A store whose failures are told to operators."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import TypeVar

from ..events import ContextEvent, Events
from ..model.changes import NO_CHANGES, ContextChanges
from ..model.document import ContextDocument
from .memory import MemoryStore
from .protocol import (
    Attachment,
    ContextStore,
    ContextStoreUnavailable,
    Listener,
    Parked,
    SessionIndex,
    Stored,
    tells_taken,
)

__all__ = ["losses_of", "or_default", "reported"]

T = TypeVar("T")


def reported(store: ContextStore, events: Events) -> ContextStore:
    """Return a store whose failures are told; what is in this process' own memory never fails.

    Args:
        store: what keeps everything.
        events: who is told.
    """
    if isinstance(store, MemoryStore) and tells_taken(store):
        return store
    return _ReportedIndex(store, store, events) if isinstance(store, SessionIndex) else _ReportedStore(store, events)


def losses_of(store: ContextStore) -> Mapping[str, int]:
    """Return how often a store had to give something up, by the reason: where it says so, by a property ``losses``."""
    losses: Mapping[str, int] = getattr(store, "losses", {})
    return losses


async def or_default(answer: Awaitable[T], default: T) -> T:
    """Return what a store answers, or `default` when it fails: the page is more important."""
    try:
        return await answer
    except Exception:  # noqa: BLE001 - whatever a store raises; `reported` has told it
        return default


class _ReportedStore:
    """Passes every call on, and tells of those that fail, once per change of state."""

    def __init__(self, store: ContextStore, events: Events) -> None:
        self.shared = store.shared
        self._store = store
        self._tells_taken = tells_taken(store)
        self._events = events

    @property
    def losses(self) -> Mapping[str, int]:
        """How often something had to go, by the reason; nothing where the store does not say."""
        return losses_of(self._store)

    def attach(self, listener: Listener) -> Attachment:
        """Notify the running event loop of what others change."""
        return self._store.attach(listener)

    async def load(self, name: str) -> Stored | None:
        """Return what is kept under the name of a token."""
        return await self._told("load", self._store.load(name))

    async def save(
        self, name: str, document: ContextDocument, identity: str, *, age: float, lifetime: float, session: str = ""
    ) -> None:
        """Keep a document."""
        await self._told(
            "save", self._store.save(name, document, identity, age=age, lifetime=lifetime, session=session)
        )

    async def invalidate(
        self,
        names: Sequence[str],
        identity: str,
        floor: int,
        *,
        lifetime: float,
        taken: ContextChanges = NO_CHANGES,
    ) -> None:
        """Raise the floor of documents; which changes were taken goes to a store that has a place for it."""
        more = {"taken": taken} if self._tells_taken else {}
        await self._told("invalidate", self._store.invalidate(names, identity, floor, lifetime=lifetime, **more))

    async def forget(self, names: Sequence[str]) -> None:
        """Forget documents and parked changes."""
        await self._told("forget", self._store.forget(names))

    async def parked(self, names: Sequence[str]) -> ContextChanges:
        """Return what is parked."""
        return await self._told("parked", self._store.parked(names))

    async def park(self, name: str, changes: ContextChanges) -> None:
        """Keep changes."""
        await self._told("park", self._store.park(name, changes))

    async def unpark(self, names: Sequence[str], changes: ContextChanges) -> None:
        """Forget changes."""
        await self._told("unpark", self._store.unpark(names, changes))

    async def aclose(self) -> None:
        """Close what belongs to the running event loop."""
        await self._store.aclose()

    async def _told(self, call: str, answer: Awaitable[T]) -> T:
        operation = f"store.{call}"
        try:
            found = await answer
        except ContextStoreUnavailable as error:
            # It has logged what an operator has to know, and its text quotes nothing.
            self._events.emit(_failed(operation, error), news=False, detail=f"{error}.")
            raise
        except Exception as error:
            self._events.emit(_failed(operation, error))
            raise
        self._events.over("store.failed", operation)
        return found


class _ReportedIndex(_ReportedStore):
    """The same for a store that knows which session a token is of."""

    def __init__(self, store: ContextStore, index: SessionIndex, events: Events) -> None:
        super().__init__(store, events)
        self._index = index

    async def link(self, names: Sequence[str], session: str) -> None:
        """Note to which session tokens belong."""
        await self._told("link", self._index.link(names, session))

    async def look(self, name: str) -> Parked:
        """Return what is parked for a token and its session."""
        return await self._told("look", self._index.look(name))


def _failed(operation: str, error: Exception) -> ContextEvent:
    return ContextEvent(name="store.failed", operation=operation, outcome=type(error).__name__)
