"""The store, in and out; when it fails, everything goes on without it (hinted handoff for what it could not take)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from ..clock import Clock
from ..model.changes import ContextChanges
from ..model.document import ContextDocument
from ..stores import Attachment, ContextStore, ContextStoreUnavailable, MemoryStore, Stored
from .consistency import Incarnation
from .entry import Entry, Fence
from .keys import Keys

__all__ = ["Sharing", "StoreRead"]

_log = logging.getLogger("session_ctx_middleware")

T = TypeVar("T")

NO_IDENTITY: Final = ""


@dataclass(frozen=True, slots=True, repr=False)
class StoreRead:
    """What the store had about a token a moment ago, and what was known here when it was asked.

    Args:
        stored: what it had; `None` where that was nothing, or it failed.
        asked_at: monotonic seconds.
        fence: of the entry at that time.
        news: of the entry at that time.
        own_changes: how often this process had parked or unparked anything by then.
    """

    stored: Stored | None
    asked_at: float
    fence: Fence
    news: int
    own_changes: int


class Sharing:
    """The one access to the store: documents that processes share, and parked changes.

    What the store cannot take of parked changes is kept in this process until it can: what was acknowledged must not
    be lost with it (hinted handoff, DeCandia et al. 2007, section 4.6).

    Args:
        store: the store.
        attachment: how well it keeps this event loop informed.
        keys: names for contexts.
        lifetime: seconds after which nobody uses a document any more.
        clock: where time comes from.
    """

    __slots__ = ("_fallback", "_keys", "_lifetime", "_own_changes", "_store", "attachment")

    def __init__(self, store: ContextStore, attachment: Attachment, keys: Keys, lifetime: float, clock: Clock) -> None:
        self._store = store
        self._fallback = MemoryStore(clock=clock)
        self._keys = keys
        self._lifetime = lifetime
        self._own_changes = 0
        self.attachment = attachment

    # Documents, where the store is shared with other processes.

    async def load(self, entry: Entry) -> Stored | None:
        """Return what other processes know about a token; `None` where that is nothing."""
        return await or_default(self._store.load(entry.name), None) if self._store.shared else None

    async def read(self, entry: Entry, now: float) -> StoreRead | None:
        """Return what the store has about a token that is new here; `None` for others, and where it is not shared.

        Args:
            entry: of the token.
            now: monotonic seconds.
        """
        view = entry.store_view
        if not self._store.shared or view.looked_under is not None:
            return None
        fence, news, own_changes = entry.fence, view.news, self._own_changes
        return StoreRead(await self.load(entry), now, fence, news, own_changes)

    async def save(self, entry: Entry, document: ContextDocument, age: float) -> None:
        """Let other processes have a document that came from a GET, `age` seconds ago."""
        if self._store.shared:
            await or_default(self._save(entry, document, age), None)

    async def invalidate(self, entries: Iterable[Entry], incarnation: Incarnation, floor: int) -> None:
        """Keep other processes from showing less than `floor` of a context."""
        if self._store.shared:
            entries = tuple(entries)
            sessions = {each.proven_session.name: None for each in entries if each.proven_session is not None}
            names = [*(each.name for each in entries), *sessions]
            await self._invalidate(names, self._keys.incarnation(incarnation), floor)

    async def reject(self, entry: Entry) -> None:
        """Take away the document of a token that was rejected."""
        if self._store.shared:
            await self._invalidate([entry.name], NO_IDENTITY, 0)

    # Parked changes.

    async def parked(self, names: Sequence[str], known: ContextChanges) -> ContextChanges:
        """Return what is parked under any of `names`; what the store could not take before goes there now.

        Args:
            names: of a token, and of its session last.
            known: what was parked the last time: it still counts when the store cannot be asked.
        """
        left = await self._fallback.parked(names)
        if left and await self._takes(names[-1], left):
            await self._fallback.unpark(names, left)
        return left.newest(await or_default(self._store.parked(names), known))

    async def park(self, name: str, changes: ContextChanges) -> None:
        """Keep `changes`; of two changes of one field the later one stays."""
        if not await self._takes(name, changes):
            await self._fallback.park(name, changes)

    async def unpark(self, names: Sequence[str], changes: ContextChanges) -> None:
        """Forget these changes, and earlier ones of their fields, under all of `names`; later ones stay."""
        await self._fallback.unpark(names, changes)
        await self._changed(self._store.unpark(names, changes), None)

    async def forget(self, names: Sequence[str]) -> None:
        """Forget documents and parked changes under `names`."""
        await self._fallback.forget(names)
        await self._changed(self._store.forget(names), None)

    def has_nothing_parked(self, names: Sequence[str], entry: Entry, read: StoreRead) -> bool:
        """Tell whether nothing is parked under any of `names`, nor has been since the store was read."""
        if read.stored is None or read.news != entry.store_view.news or read.own_changes != self._own_changes:
            return False
        return all(name in read.stored.unparked for name in names) and not self._fallback.holds(names)

    async def _save(self, entry: Entry, document: ContextDocument, age: float) -> None:
        session = entry.proven_session
        await self._store.save(
            entry.name,
            document,
            self._keys.incarnation(document.identity),
            age=age,
            lifetime=max(self._lifetime - age, 0.0),
            session="" if session is None else session.name,
        )

    async def _invalidate(self, names: Sequence[str], identity: str, floor: int) -> None:
        await or_default(self._store.invalidate(names, identity, floor, lifetime=self._lifetime), None)

    async def _takes(self, name: str, changes: ContextChanges) -> bool:
        """Tell whether the store has taken changes."""

        async def park() -> bool:
            await self._store.park(name, changes)
            return True

        failed = False
        return await self._changed(park(), failed)

    async def _changed(self, answer: Awaitable[T], default: T) -> T:
        try:
            return await or_default(answer, default)
        finally:
            self._own_changes += 1


async def or_default(answer: Awaitable[T], default: T) -> T:
    """Return what a store answers, or `default` when it fails: the page is more important."""
    try:
        return await answer
    except ContextStoreUnavailable:
        return default
    except Exception as error:  # noqa: BLE001 - whatever a store raises
        _log.error("the store failed: %s", type(error).__name__)
        return default
