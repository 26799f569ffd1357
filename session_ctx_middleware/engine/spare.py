"""A second place for parked changes, for when the store fails: what was acknowledged must not be lost with it."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TypeVar

from ..clock import Clock
from ..model.changes import ContextChanges
from ..stores import ContextStore, MemoryStore
from .sharing import tried

__all__ = ["SparedStore"]

T = TypeVar("T")


class SparedStore:
    """Parked changes in the store, and in this process while the store cannot take them; it never raises.

    Args:
        store: the store.
        clock: where time comes from.
    """

    def __init__(self, store: ContextStore, clock: Clock) -> None:
        self._store = store
        self._spare = MemoryStore(clock=clock)
        self.changes = 0
        """How often anything has been parked or taken away here: what the store said before may be out of date."""

    async def parked(self, names: Sequence[str], known: ContextChanges) -> ContextChanges:
        """Return what is parked under any of `names`; what the store could not take before goes there now.

        Args:
            names: of a token, and of its session last.
            known: what was parked the last time: it still counts when the store cannot be asked.
        """
        spared = await self._spare.parked(names)
        if spared and await self._taken(names[-1], spared):
            await self._spare.unpark(names, spared)
        return spared.newest(await tried(self._store.parked(names), known))

    def spares(self, names: Sequence[str]) -> bool:
        """Tell whether anything is kept here that the store could not take."""
        return self._spare.holds(names)

    async def park(self, name: str, changes: ContextChanges) -> None:
        """Keep `changes`; of two changes of one field the later one stays."""
        if not await self._taken(name, changes):
            await self._spare.park(name, changes)

    async def unpark(self, names: Sequence[str], changes: ContextChanges) -> None:
        """Forget these changes, and earlier ones of their fields, under all of `names`; later ones stay."""
        await self._spare.unpark(names, changes)
        await self._changed(self._store.unpark(names, changes), None)

    async def forget(self, names: Sequence[str]) -> None:
        """Forget everything under `names`."""
        await self._spare.forget(names)
        await self._changed(self._store.forget(names), None)

    async def _taken(self, name: str, changes: ContextChanges) -> bool:
        """Tell whether the store has taken changes."""

        async def park() -> bool:
            await self._store.park(name, changes)
            return True

        failed = False
        return await self._changed(park(), failed)

    async def _changed(self, answer: Awaitable[T], instead: T) -> T:
        try:
            return await tried(answer, instead)
        finally:
            self.changes += 1
