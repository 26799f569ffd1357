"""A store that takes its time to tell what is parked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from session_ctx_middleware.model.changes import ContextChanges
from session_ctx_middleware.stores import MemoryStore

__all__ = ["SlowStore"]


class SlowStore(MemoryStore):
    """A store over a network, which answers with what was there `delay` seconds ago, and takes as long to be asked."""

    delay = 0.3

    async def parked(self, names: Sequence[str]) -> ContextChanges:
        await asyncio.sleep(self.delay)
        found = await super().parked(names)
        await asyncio.sleep(self.delay)
        return found
