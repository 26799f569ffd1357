"""A Redis that is killed and comes back empty."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from ..support.redis_server import RedisServer

__all__ = ["Outages", "killed_again_and_again"]

DOWN: Final = 0.8
UP: Final = 1.0


class Outages:
    """What has happened to a server.

    Args:
        left: how many times it is still to be killed; `None` for again and again.
    """

    def __init__(self, left: int | None) -> None:
        self._left = left
        self.number = 0

    @property
    def to_come(self) -> bool:
        """Whether there are more to come."""
        return self._left is None or self.number < self._left

    def end(self) -> None:
        """Let this one be the last."""
        self._left = 0


@asynccontextmanager
async def killed_again_and_again(redis: RedisServer, times: int | None = None) -> AsyncIterator[Outages]:
    """Kill Redis and start it empty: so many times, or for as long as the block runs. It is up when this returns."""
    outages = Outages(times)

    async def misfortune() -> None:
        while outages.to_come:
            await asyncio.sleep(UP)
            redis.kill()
            await asyncio.sleep(DOWN)
            await asyncio.to_thread(redis.start)
            outages.number += 1

    task = asyncio.create_task(misfortune())
    try:
        yield outages
    finally:
        if times is None:
            outages.end()
        await task
