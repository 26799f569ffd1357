"""Work that goes on when the request that began it is gone, and waiting for it without owning it."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
from collections.abc import AsyncIterator, Coroutine, Hashable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from .clock import Clock, wait
from .observing import CallObserver

__all__ = ["KeyedLock", "SharedResult", "Tasks"]

_log = logging.getLogger("session_ctx_middleware")

T = TypeVar("T")


class SharedResult(Generic[T]):
    """A result that any number of waiters share; each has a future of its own, so that any of them may leave.

    Waiting for a task itself would let a waiter that is cancelled cancel the work, and `asyncio.shield` leaves errors
    unnoticed. Resolve it, and wait for it, on one event loop.
    """

    __slots__ = ("_result", "_waiters")

    def __init__(self) -> None:
        self._result: T | None = None
        # In order of arrival, so that they are woken in that order too.
        self._waiters: dict[asyncio.Future[T | None], None] = {}

    @property
    def result(self) -> T | None:
        """The result, `None` while there is none."""
        return self._result

    @property
    def waiting(self) -> int:
        """How many wait at the moment."""
        return len(self._waiters)

    def resolve(self, result: T) -> None:
        """Give everybody the result; only the first one counts."""
        if self._result is not None:
            return
        self._result = result
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(result)

    async def wait(self, timeout: float, clock: Clock) -> T | None:
        """Return the result, or `None` when `timeout` seconds were up first; the work goes on in any case."""
        if self._result is not None:
            return self._result
        waiter = self._join()
        try:
            return await wait(waiter, timeout, clock)
        finally:
            self._waiters.pop(waiter, None)

    async def get(self) -> T:
        """Return the result, however long it takes."""
        if self._result is None:
            waiter = self._join()
            try:
                await waiter
            finally:
                self._waiters.pop(waiter, None)
        if self._result is None:  # pragma: no cover - a waiter is only woken by the result
            raise RuntimeError("woken without a result")
        return self._result

    def _join(self) -> asyncio.Future[T | None]:
        waiter: asyncio.Future[T | None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        return waiter


class Tasks:
    """Detached tasks, held until they end; a client that goes away cannot cancel them.

    Several event loops may use one object; each waits for its own tasks alone.

    Args:
        clock: where timers come from.
        observer: knows what the work keeps of the request that began it; `None` for nothing.
    """

    __slots__ = ("_clock", "_observer", "_running")

    def __init__(self, clock: Clock, observer: CallObserver | None = None) -> None:
        self._clock = clock
        self._observer = observer
        self._running: set[asyncio.Task[object]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def spawn(
        self,
        work: Coroutine[object, object, object],
        *,
        context: contextvars.Context | None = None,
        eager: bool = False,
        awaited: bool = False,
    ) -> asyncio.Task[object]:
        """Run `work` to its end.

        Args:
            work: what to run.
            context: what context variables it sees; none by default, as work that many requests share must not see
                those of the one that began it.
            eager: run it at once as far as it comes without waiting, where this Python can (from 3.12 on).
            awaited: whether whoever begins it waits for it, for those who watch.
        """
        if context is None:
            context = contextvars.Context() if self._observer is None else self._observer.detached(awaited=awaited)
        task = (_begin_eagerly if eager else _begin)(work, context)
        if task.done():  # an eager task factory may have run it to its end already
            self._ended(task)
        else:
            self._running.add(task)
            task.add_done_callback(self._ended)
        return task

    def share(self, work: Coroutine[object, object, T], *, otherwise: T, awaited: bool = True) -> SharedResult[T]:
        """Run `work` to its end and share its result.

        Args:
            work: as for `spawn`.
            otherwise: what waiters get when it is cancelled at shutdown, or fails unexpectedly.
            awaited: as for `spawn`.
        """
        shared: SharedResult[T] = SharedResult()

        async def run() -> None:
            result = otherwise
            try:
                result = await work
            finally:
                shared.resolve(result)

        def ended(_: asyncio.Task[object]) -> None:
            # A task that is cancelled before its first step runs nothing of the above.
            work.close()
            shared.resolve(otherwise)

        self.spawn(run(), awaited=awaited).add_done_callback(ended)
        return shared

    async def settle(self, timeout: float) -> None:
        """Wait until every task has ended, but not longer than `timeout` seconds; cancel nothing."""
        until = self._clock.monotonic() + timeout
        while (mine := self._mine()) and (left := until - self._clock.monotonic()) > 0:
            await self._one_ends(mine, left)

    async def drain(self, timeout: float) -> None:
        """Wait until every task has ended, and cancel what is left after `timeout` seconds."""
        await self.settle(timeout)
        while mine := self._mine():  # one that is cut short may begin another
            for task in mine:
                task.cancel()
            await asyncio.gather(*mine, return_exceptions=True)

    def _mine(self) -> list[asyncio.Task[object]]:
        """Return the tasks of the running event loop: those of others cannot be waited for."""
        loop = asyncio.get_running_loop()
        return [task for task in self._running.copy() if task.get_loop() is loop]

    async def _one_ends(self, tasks: Sequence[asyncio.Task[object]], timeout: float) -> None:
        ended: asyncio.Future[bool | None] = asyncio.get_running_loop().create_future()

        def notice(_: asyncio.Task[object]) -> None:
            if not ended.done():
                ended.set_result(True)

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


def _begin(work: Coroutine[object, object, T], context: contextvars.Context) -> asyncio.Task[T]:
    return asyncio.get_running_loop().create_task(work, context=context)


if sys.version_info >= (3, 12):

    def _begin_eagerly(work: Coroutine[object, object, T], context: contextvars.Context) -> asyncio.Task[T]:
        return asyncio.Task(work, loop=asyncio.get_running_loop(), context=context, eager_start=True)
else:
    _begin_eagerly = _begin


class KeyedLock:
    """A first-come-first-served lock for each key; keys that nobody uses take no memory."""

    __slots__ = ("_locks",)

    def __init__(self) -> None:
        self._locks: dict[Hashable, tuple[asyncio.Lock, int]] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @asynccontextmanager
    async def hold(self, key: Hashable) -> AsyncIterator[None]:
        """Wait for the lock of `key`, and hold it inside the block."""
        lock, users = self._locks.get(key) or (asyncio.Lock(), 0)
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)
