"""Keeping changes that Emporix could not take yet, and showing them to every read of the session."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

from ..clock import Clock
from ..model.changes import NO_CHANGES, ContextChanges
from ..model.fields import MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES
from ..stores import ContextStore
from .entries import Entries
from .entry import Entry
from .job import Commit, Job
from .reads import Reads
from .sharing import StoreRead
from .spare import SparedStore

__all__ = ["Pending"]

_log = logging.getLogger("session_ctx_middleware")

SESSIONS: Final = 10_000
SESSION_SECONDS: Final = 24 * 3600.0

if TYPE_CHECKING:
    _Sessions = TTLCache[bytes, str]
    _Settled = TTLCache[str, ContextChanges]
else:
    _Sessions = _Settled = TTLCache


class Pending:
    """Moves changes between jobs, the store and what entries show.

    Args:
        store: where parked changes live; when it fails, they live in this process.
        table: finds the other tokens of a session.
        reader: shows what is parked.
        clock: where time comes from.
    """

    def __init__(self, store: ContextStore, table: Entries, reader: Reads, clock: Clock) -> None:
        self._store = SparedStore(store, clock)
        self._table = table
        self._reader = reader
        self._sessions = _Sessions(SESSIONS, SESSION_SECONDS, timer=clock.monotonic)
        self._settled = _Settled(SESSIONS, SESSION_SECONDS, timer=clock.monotonic)

    @property
    def changes(self) -> int:
        """How often this process has parked anything, or taken it away."""
        return self._store.changes

    async def look(self, entry: Entry, *, again: bool = False) -> bool:
        """Show in a entry what is parked for it; asks the store once, and when the session becomes known.

        Args:
            entry: the entry.
            again: ask in any case: somebody else may have sent it meanwhile.

        Returns:
            Whether the store was asked. What has been read before is then older than what is parked: somebody may have
            sent that in between, and told of a later version.
        """
        names = self._known_names(entry)
        session = _session(names)
        if not again and session == entry.looked_in and entry.looked == entry.news:
            return False
        news = entry.news
        parked = await self._valid(names, entry)
        entry.looked = news  # a page that comes before this looks itself
        if entry.looked_in is not None and session != entry.looked_in and parked:
            await self._move(names, parked, entry)
        entry.looked_in = session
        self._reader.show_parked(entry, parked)
        return True

    async def heed(self, entry: Entry, store_read: StoreRead | None, *, again: bool) -> StoreRead | None:
        """Do what `look` does, without asking where a store_read tells enough; return it if it still counts."""
        if store_read is not None and self.glanced(entry, store_read):
            return store_read
        asked = await self.look(entry, again=again)
        return None if asked and store_read is not None and store_read.stored is not None else store_read

    def glanced(self, entry: Entry, store_read: StoreRead) -> bool:
        """Tell whether `look` has nothing to ask for after a store_read, and do without waiting what it would do."""
        names = self._known_names(entry)
        if not self._unparked(names, entry, store_read):
            return False
        entry.looked, entry.looked_in = store_read.news, _session(names)
        self._reader.show_parked(entry, NO_CHANGES)
        return True

    def settle(self, entry: Entry) -> None:
        """Remember what Emporix has taken for as long as an earlier wish may be parked: longer than the entry lives."""
        if entry.proven and entry.session is not None:
            self._settled[entry.session] = entry.settled.outlines()

    async def keep(self, job: Job) -> None:
        """Park a job's own changes; those that were parked already still are."""
        if job.keeping is not None:
            await asyncio.wait({job.keeping})  # whoever says that it is parked has to know
        if job.kept or job.entry.epoch != job.epoch:
            return
        job.kept = True
        job.keeping = asyncio.get_running_loop().create_future()
        try:
            await self._keep(job)
        finally:
            job.keeping.set_result(None)

    async def _keep(self, job: Job) -> None:
        names = self._names(job.entry)
        wanted = job.own.minus(job.entry.settled)
        if wanted:
            there = await self._store.parked(names, job.entry.snapshot.parked)
            await self._park(names[-1], wanted.newest(there), job.entry)
            self._reader.show_parked(job.entry, wanted.newest(there))
        if job.settled is not None and job.settled.commit in {Commit.APPLIED, Commit.ALREADY}:
            await self.clear(job)  # it was sent after all while it was being parked
        else:
            await self._show(job.entry)

    async def clear(self, job: Job, *, parked: bool = True) -> None:
        """Forget what a job has sent, if it was parked; a change that was made since then stays.

        Args:
            job: its own changes go.
            parked: whether the parked ones that it sent along go too.
        """
        if job.kept or job.parked or job.entry.snapshot.parked:
            for changes in (job.own, job.parked) if parked else (job.own,):
                await self._store.unpark(self._names(job.entry), changes)
            await self._show(job.entry)

    async def hand_over(self, entry: Entry, changes: ContextChanges) -> None:
        """Take changes out of the store that the shopper's browser keeps from now on."""
        if entry.snapshot.parked:
            await self._store.unpark(self._names(entry), changes)
            await self._show(entry)

    async def forget(self, entries: Iterable[Entry]) -> None:
        """Forget everything kept for these entries and their sessions."""
        for entry in entries:
            self._settled.pop(entry.session or "", None)
            await self._store.forget(self._names(entry))

    async def _park(self, name: str, changes: ContextChanges, entry: Entry) -> None:
        kept = changes.within(MAX_ATTRIBUTES, MAX_ATTRIBUTE_BYTES)
        if len(kept) < len(changes):
            _log.warning("%d parked attributes were dropped for lack of room", len(changes) - len(kept))
            await self._store.unpark([name], changes)
        await self._store.park(name, kept)
        if entry.proven and entry.session_id is not None:
            # The entry may be forgotten long before its session is.
            self._sessions[entry.key] = entry.session_id

    async def _move(self, names: tuple[str, ...], parked: ContextChanges, entry: Entry) -> None:
        """Keep under the session's name, which other tokens share, what was parked before the session was known."""
        await self._park(names[-1], parked, entry)
        await self._store.unpark(names[:-1], parked)

    async def _show(self, entry: Entry) -> None:
        for each in (entry, *self._table.siblings(entry)):
            self._reader.show_parked(each, await self._valid(self._names(each), each))

    async def _valid(self, names: tuple[str, ...], entry: Entry) -> ContextChanges:
        """Return what is parked, and forget what later changes have replaced: the entry will not always know."""
        parked = await self._store.parked(names, entry.snapshot.parked)
        valid = parked.minus(entry.settled)
        if len(valid) < len(parked):
            await self._store.unpark(names, entry.settled)
        return valid

    def _known_names(self, entry: Entry) -> tuple[str, ...]:
        if not entry.proven and entry.key in self._sessions:
            self._table.learn(entry, self._sessions.get(entry.key))
        names = self._names(entry)
        if _session(names) != entry.looked_in and names[-1] in self._settled:
            entry.remember(entry.settled.newest(self._settled.get(names[-1], NO_CHANGES)))
        return names

    def _unparked(self, names: tuple[str, ...], entry: Entry, store_read: StoreRead) -> bool:
        """Tell whether nothing is parked under any of `names`, nor has been since the store_read."""
        if store_read.stored is None or store_read.news != entry.news or store_read.parkings != self._store.changes:
            return False
        return all(name in store_read.stored.unparked for name in names) and not self._store.spares(names)

    def _names(self, entry: Entry) -> tuple[str, ...]:
        """Return the names to look under; the last one, of the session where it is proven, is the one to park under."""
        return (entry.name, entry.session) if entry.proven and entry.session is not None else (entry.name,)


def _session(names: tuple[str, ...]) -> str:
    return names[1] if len(names) > 1 else ""


def visible(changes: ContextChanges, job: Job) -> ContextChanges:
    """Return what is left of parked `changes` once a job has been taken by Emporix."""
    return changes.minus(job.own).minus(job.parked)
