"""One commit per session at a time, in the order in which they came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

__all__ = ["Lanes"]


class Lanes:
    """A first-come-first-served turn for each name; names nobody uses take no memory."""

    def __init__(self) -> None:
        self._lanes: dict[Hashable, tuple[asyncio.Lock, int]] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    @asynccontextmanager
    async def turn(self, name: Hashable) -> AsyncIterator[None]:
        """Wait for the turn of `name`, and hold it inside the block."""
        lock, users = self._lanes.get(name) or (asyncio.Lock(), 0)
        self._lanes[name] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._lanes[name]
            if users == 1:
                del self._lanes[name]
            else:
                self._lanes[name] = (lock, users - 1)
