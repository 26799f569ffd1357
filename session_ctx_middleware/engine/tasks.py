"""Work that goes on when the request that started it is gone."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Coroutine

from ..clock import Clock, wait

__all__ = ["Tasks"]

_log = logging.getLogger("session_ctx_middleware")


class Tasks:
    """Detached tasks, held until they end; a client that goes away cannot cancel them.

    Args:
        clock: where timers come from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: set[asyncio.Task[object]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def spawn(self, work: Coroutine[object, object, object]) -> None:
        """Run `work` to its end, in a context of its own: it serves many requests, not the one that began it."""
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        if task.done():  # an eager task factory may have run it to its end already
            self._ended(task)
        else:
            self._running.add(task)
            task.add_done_callback(self._ended)

    async def drain(self, timeout: float) -> None:
        """Wait until every task has ended, and cancel what is left after `timeout` seconds."""
        until = self._clock.monotonic() + timeout
        while self._running and (left := until - self._clock.monotonic()) > 0:
            await self._one_ends(left)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _one_ends(self, timeout: float) -> None:
        ended: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()

        def notice(_: asyncio.Task[object]) -> None:
            if not ended.done():
                ended.set_result(True)

        tasks = tuple(self._running)
        for task in tasks:
            task.add_done_callback(notice)
        await wait(ended, timeout, self._clock)
        for task in tasks:
            task.remove_done_callback(notice)

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Only the class: the text of an unexpected error is not ours and could quote data.
            _log.error("background work failed unexpectedly: %s", type(error).__name__)
