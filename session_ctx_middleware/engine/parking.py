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
from .job import Commit, Job
from .reader import Reader
from .shelf import Glance
from .slot import Slot
from .spare import SparedStore
from .table import SlotTable

__all__ = ["Parking"]

_log = logging.getLogger("session_ctx_middleware")

SESSIONS: Final = 10_000
SESSION_SECONDS: Final = 24 * 3600.0

if TYPE_CHECKING:
    _Sessions = TTLCache[bytes, str]
    _Settled = TTLCache[str, ContextChanges]
else:
    _Sessions = _Settled = TTLCache


class Parking:
    """Moves changes between jobs, the store and what slots show.

    Args:
        store: where parked changes live; when it fails, they live in this process.
        table: finds the other tokens of a session.
        reader: shows what is parked.
        clock: where time comes from.
    """

    def __init__(self, store: ContextStore, table: SlotTable, reader: Reader, clock: Clock) -> None:
        self._store = SparedStore(store, clock)
        self._table = table
        self._reader = reader
        self._sessions = _Sessions(SESSIONS, SESSION_SECONDS, timer=clock.monotonic)
        self._settled = _Settled(SESSIONS, SESSION_SECONDS, timer=clock.monotonic)

    @property
    def changes(self) -> int:
        """How often this process has parked anything, or taken it away."""
        return self._store.changes

    async def look(self, slot: Slot, *, again: bool = False) -> bool:
        """Show in a slot what is parked for it; asks the store once, and when the session becomes known.

        Args:
            slot: the slot.
            again: ask in any case: somebody else may have sent it meanwhile.

        Returns:
            Whether the store was asked. What has been read before is then older than what is parked: somebody may have
            sent that in between, and told of a later version.
        """
        names = self._known_names(slot)
        session = _session(names)
        if not again and session == slot.looked_in and slot.looked == slot.news:
            return False
        news = slot.news
        parked = await self._valid(names, slot)
        slot.looked = news  # a page that comes before this looks itself
        if slot.looked_in is not None and session != slot.looked_in and parked:
            await self._move(names, parked, slot)
        slot.looked_in = session
        self._reader.show_parked(slot, parked)
        return True

    async def heed(self, slot: Slot, glance: Glance | None, *, again: bool) -> Glance | None:
        """Do what `look` does, without asking where a glance tells enough; return the glance if it still counts."""
        if glance is not None and self.glanced(slot, glance):
            return glance
        asked = await self.look(slot, again=again)
        return None if asked and glance is not None and glance.stored is not None else glance

    def glanced(self, slot: Slot, glance: Glance) -> bool:
        """Tell whether `look` has nothing to ask for after a glance, and do without waiting what it would do."""
        names = self._known_names(slot)
        if not self._unparked(names, slot, glance):
            return False
        slot.looked, slot.looked_in = glance.news, _session(names)
        self._reader.show_parked(slot, NO_CHANGES)
        return True

    def settle(self, slot: Slot) -> None:
        """Remember what Emporix has taken for as long as an earlier wish may be parked: longer than the slot lives."""
        if slot.proven and slot.session is not None:
            self._settled[slot.session] = slot.settled.outlines()

    async def keep(self, job: Job) -> None:
        """Park a job's own changes; those that were parked already still are."""
        if job.keeping is not None:
            await asyncio.wait({job.keeping})  # whoever says that it is parked has to know
        if job.kept or job.slot.epoch != job.epoch:
            return
        job.kept = True
        job.keeping = asyncio.get_running_loop().create_future()
        try:
            await self._keep(job)
        finally:
            job.keeping.set_result(None)

    async def _keep(self, job: Job) -> None:
        names = self._names(job.slot)
        wanted = job.own.minus(job.slot.settled)
        if wanted:
            there = await self._store.parked(names, job.slot.snapshot.parked)
            await self._park(names[-1], wanted.newest(there), job.slot)
            self._reader.show_parked(job.slot, wanted.newest(there))
        if job.settled is not None and job.settled.commit in {Commit.APPLIED, Commit.ALREADY}:
            await self.clear(job)  # it was sent after all while it was being parked
        else:
            await self._show(job.slot)

    async def clear(self, job: Job, *, parked: bool = True) -> None:
        """Forget what a job has sent, if it was parked; a change that was made since then stays.

        Args:
            job: its own changes go.
            parked: whether the parked ones that it sent along go too.
        """
        if job.kept or job.parked or job.slot.snapshot.parked:
            for changes in (job.own, job.parked) if parked else (job.own,):
                await self._store.unpark(self._names(job.slot), changes)
            await self._show(job.slot)

    async def hand_over(self, slot: Slot, changes: ContextChanges) -> None:
        """Take changes out of the store that the shopper's browser keeps from now on."""
        if slot.snapshot.parked:
            await self._store.unpark(self._names(slot), changes)
            await self._show(slot)

    async def forget(self, slots: Iterable[Slot]) -> None:
        """Forget everything kept for these slots and their sessions."""
        for slot in slots:
            self._settled.pop(slot.session or "", None)
            await self._store.forget(self._names(slot))

    async def _park(self, name: str, changes: ContextChanges, slot: Slot) -> None:
        kept = changes.within(MAX_ATTRIBUTES, MAX_ATTRIBUTE_BYTES)
        if len(kept) < len(changes):
            _log.warning("%d parked attributes were dropped for lack of room", len(changes) - len(kept))
            await self._store.unpark([name], changes)
        await self._store.park(name, kept)
        if slot.proven and slot.session_id is not None:
            # The slot may be forgotten long before its session is.
            self._sessions[slot.key] = slot.session_id

    async def _move(self, names: tuple[str, ...], parked: ContextChanges, slot: Slot) -> None:
        """Keep under the session's name, which other tokens share, what was parked before the session was known."""
        await self._park(names[-1], parked, slot)
        await self._store.unpark(names[:-1], parked)

    async def _show(self, slot: Slot) -> None:
        for each in (slot, *self._table.siblings(slot)):
            self._reader.show_parked(each, await self._valid(self._names(each), each))

    async def _valid(self, names: tuple[str, ...], slot: Slot) -> ContextChanges:
        """Return what is parked, and forget what later changes have replaced: the slot will not always know."""
        parked = await self._store.parked(names, slot.snapshot.parked)
        valid = parked.minus(slot.settled)
        if len(valid) < len(parked):
            await self._store.unpark(names, slot.settled)
        return valid

    def _known_names(self, slot: Slot) -> tuple[str, ...]:
        if not slot.proven and slot.key in self._sessions:
            self._table.learn(slot, self._sessions.get(slot.key))
        names = self._names(slot)
        if _session(names) != slot.looked_in and names[-1] in self._settled:
            slot.remember(slot.settled.newest(self._settled.get(names[-1], NO_CHANGES)))
        return names

    def _unparked(self, names: tuple[str, ...], slot: Slot, glance: Glance) -> bool:
        """Tell whether nothing is parked under any of `names`, nor has been since the glance."""
        if glance.stored is None or glance.news != slot.news or glance.parkings != self._store.changes:
            return False
        return all(name in glance.stored.unparked for name in names) and not self._store.spares(names)

    def _names(self, slot: Slot) -> tuple[str, ...]:
        """Return the names to look under; the last one, of the session where it is proven, is the one to park under."""
        return (slot.name, slot.session) if slot.proven and slot.session is not None else (slot.name,)


def _session(names: tuple[str, ...]) -> str:
    return names[1] if len(names) > 1 else ""


def visible(changes: ContextChanges, job: Job) -> ContextChanges:
    """Return what is left of parked `changes` once a job has been taken by Emporix."""
    return changes.minus(job.own).minus(job.parked)
