"""Documents that processes share, as far as the store is shared: asked before Emporix, and told what has changed."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from ..model.document import ContextDocument
from ..policies import CachePolicy
from ..stores import Attachment, ContextStore, ContextStoreUnavailable, Stored
from .entry import Entry
from .keys import Keys

__all__ = ["Sharing", "StoreRead", "tried"]

_log = logging.getLogger("session_ctx_middleware")

T = TypeVar("T")

NO_IDENTITY: Final = ""


@dataclass(frozen=True, slots=True, repr=False)
class StoreRead:
    """What the store had about a token a moment ago, and what this process knew when it asked.

    Args:
        stored: what it had; `None` where that was nothing, or it failed.
        at: when it was asked, in monotonic seconds.
        generation: of the entry at that time.
        news: of the entry at that time.
        parkings: of this process at that time.
    """

    stored: Stored | None
    at: float
    generation: int
    news: int
    parkings: int


class Sharing:
    """The store, seen as a place for documents; when it fails, everything goes on without it.

    Args:
        store: the store.
        attachment: how well it keeps this event loop informed.
        cache: how long documents are of use.
        naming: names for contexts.
    """

    def __init__(self, store: ContextStore, attachment: Attachment, cache: CachePolicy, naming: Keys) -> None:
        self._store = store
        self._naming = naming
        self._lifetime = cache.longest
        self.attachment = attachment
        self.shared = store.shared

    async def load(self, entry: Entry) -> Stored | None:
        """Return what other processes know about a token; `None` where that is nothing."""
        return await tried(self._store.load(entry.name), None) if self.shared else None

    async def store_read(self, entry: Entry, at: float, parkings: int) -> StoreRead | None:
        """Return what the store has about a token that is new here; `None` for others, and where it is not shared.

        Args:
            entry: of the token.
            at: now, in monotonic seconds.
            parkings: of this process until now.
        """
        if not self.shared or entry.looked_in is not None:
            return None
        generation, news = entry.generation, entry.news
        return StoreRead(await self.load(entry), at, generation, news, parkings)

    async def save(self, entry: Entry, document: ContextDocument, age: float) -> None:
        """Let other processes have a document that came from a GET."""
        if self.shared:
            await tried(self._save(entry, document, age), None)

    async def _save(self, entry: Entry, document: ContextDocument, age: float) -> None:
        await self._store.save(
            entry.name,
            document,
            self._naming.identity(document.identity),
            age=age,
            lifetime=max(self._lifetime - age, 0.0),
            session=entry.session if entry.proven and entry.session is not None else "",
        )

    async def invalidate(self, entries: Iterable[Entry], identity: tuple[str | None, str | None], floor: int) -> None:
        """Keep other processes from believing less than `floor` of a context."""
        if self.shared:
            await self._invalidate(entries, self._naming.identity(identity), floor)

    async def reject(self, entry: Entry) -> None:
        """Take away the document of a token that was refused."""
        if self.shared:
            await self._invalidate((entry,), NO_IDENTITY, 0)

    async def _invalidate(self, entries: Iterable[Entry], identity: str, floor: int) -> None:
        entries = tuple(entries)
        sessions = {entry.session: None for entry in entries if entry.proven and entry.session is not None}
        names = [*(entry.name for entry in entries), *sessions] if identity else [entry.name for entry in entries]
        await tried(self._store.invalidate(names, identity, floor, lifetime=self._lifetime), None)


async def tried(answer: Awaitable[T], instead: T) -> T:
    """Return what a store answers, or `instead` when it fails: the page is more important."""
    try:
        return await answer
    except ContextStoreUnavailable:
        return instead
    except Exception as error:  # noqa: BLE001 - whatever a store raises
        _log.error("the store failed: %s", type(error).__name__)
        return instead
