"""Keeping changes that Emporix could not take yet, and showing them to every read of the session."""

from __future__ import annotations

from collections.abc import Iterable

from ..document import ContextChanges
from .identity import Naming
from .job import Job
from .ports import ContextStore
from .reader import Reader
from .slot import Slot
from .table import SlotTable

__all__ = ["Parking"]


class Parking:
    """Moves changes between jobs, the store and what slots show.

    Args:
        store: where parked changes live.
        naming: names for tokens and sessions.
        table: finds the other tokens of a session.
        reader: shows what is parked.
    """

    def __init__(self, store: ContextStore, naming: Naming, table: SlotTable, reader: Reader) -> None:
        self._store = store
        self._naming = naming
        self._table = table
        self._reader = reader

    async def look(self, slot: Slot) -> None:
        """Show in a slot what is parked for it; asks the store once, and again when the session becomes known."""
        names = self._names(slot)
        if names != slot.names:
            slot.names = names
            self._reader.show_parked(slot, await self._store.parked(names))

    async def keep(self, job: Job) -> None:
        """Park a job's own changes; those that were parked already still are."""
        if job.kept or job.slot.epoch != job.epoch:
            return
        job.kept = True
        await self._store.park(self._names(job.slot)[-1], job.own)
        if job.settled is not None and job.settled.error is None and job.settled.commit is not None:
            # It was sent after all while it was being parked.
            await self.clear(job)
        else:
            await self._show(job.slot)

    async def clear(self, job: Job) -> None:
        """Forget what a job has sent, if it was parked; a change that was made since then stays."""
        if job.kept or job.parked or job.slot.snapshot.parked:
            names = self._names(job.slot)
            for changes in (job.own, job.parked):
                await self._store.unpark(names, changes)
            await self._show(job.slot)

    async def forget(self, slots: Iterable[Slot]) -> None:
        """Forget everything parked for these slots and their sessions."""
        for slot in slots:
            await self._store.forget(self._names(slot))

    async def _show(self, slot: Slot) -> None:
        for each in (slot, *self._table.siblings(slot)):
            self._reader.show_parked(each, await self._store.parked(self._names(each)))

    def _names(self, slot: Slot) -> tuple[str, ...]:
        """Return the names to look under; the last one, of the session where it is known, is the one to park under."""
        token = slot.key.hex()
        return (token,) if slot.session_id is None else (token, self._naming.session(slot.session_id))


def visible(changes: ContextChanges, job: Job) -> ContextChanges:
    """Return what is left of parked `changes` once a job has been taken by Emporix."""
    return changes.minus(job.own).minus(job.parked)
