"""A limit for the whole of every call, whatever the HTTP client does with its own timeouts.

The timeouts of httpx bound connecting, sending and each pause in an answer; an answer that drips has no end. To cancel
a call is no way out with httpx: a cancelled one may keep its connection for ever, until the pool is used up (httpx
0.28.1 with httpcore 1.0.9; https://github.com/encode/httpcore/issues/1093), which httpx2 has mended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from ..clock import Clock
from .transport import Clients, Reply, Request, TimeLimitedCall, Transport

__all__ = ["MAX_HUNG", "TimeLimit"]

_log = logging.getLogger("session_ctx_middleware")

T = TypeVar("T")

MAX_HUNG: Final = 10
"""Calls that a client may leave behind at once; the connections that it has to spare are as many."""

LONGEST_HANG: Final = 60.0
"""Seconds after which what hangs in a client that nobody uses any more is cut off: its pool need not be spared."""


class _Calls:
    """The calls of one client that none may be cancelled of, each in a task of its own."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[object]] = set()
        self._hung: set[asyncio.Task[object]] = set()
        self._retired: Transport | None = None
        self._cut_off: asyncio.TimerHandle | None = None

    def begin(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Make a call; whoever asked for it may leave."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def leave_behind(self, task: asyncio.Task[T]) -> int:
        """Wait for a call no longer, and return how many are left behind by now."""
        self._hung.add(task)
        return len(self._hung)

    def retire(self, client: Transport) -> None:
        """Close the client as soon as its last call has ended, by itself or in the end by us."""
        self._retired = client
        self._cut_off = asyncio.get_running_loop().call_later(LONGEST_HANG, self._cancel)

    async def aclose(self) -> None:
        """Cut off the calls of the running event loop: the client is closed, or will be with the last of them."""
        self._cancel()
        while tasks := self._of_running_loop():
            await asyncio.wait(tasks)

    def _cancel(self) -> None:
        for task in self._of_running_loop():
            task.cancel()

    def _of_running_loop(self) -> list[asyncio.Task[object]]:
        loop = asyncio.get_running_loop()
        return [task for task in self._running if task.get_loop() is loop]

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._running.discard(task)
        self._hung.discard(task)
        if not task.cancelled():
            task.exception()  # whoever left does not want to know
        client = self._retired
        if client is not None and not self._running:
            self._retired = None
            if self._cut_off is not None:
                self._cut_off.cancel()
            self.begin(client.aclose())


async def _ends(task: asyncio.Task[T], seconds: float, clock: Clock) -> bool:
    """Wait for a task to end, and tell whether it has: `asyncio.wait` for one task, at half the cost."""
    over: asyncio.Future[None] = task.get_loop().create_future()

    def wake(_: object = None) -> None:
        if not over.done():
            over.set_result(None)

    timer = clock.call_later(seconds, wake)
    task.add_done_callback(wake)
    try:
        await over
    finally:
        timer.cancel()
        task.remove_done_callback(wake)
    return task.done()


class _Deadline:
    """Cancels the task that runs in a ``with`` block for too long, and makes a `TimeoutError` of that.

    What `asyncio.timeout` does, on the clock of this package and without two coroutines around every call.

    Args:
        seconds: for the block.
        clock: where the timer comes from.
    """

    __slots__ = ("_cancelling", "_is_over", "_task", "_timer")

    def __init__(self, seconds: float, clock: Clock) -> None:
        task = asyncio.current_task()
        if task is None:  # pragma: no cover - nothing but a task awaits on an event loop of asyncio
            raise RuntimeError("not in a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._is_over = False
        self._timer = clock.call_later(seconds, self._end)

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        self._timer.cancel()
        # Somebody else may have cancelled the task, too: then it stays cancelled.
        alone = self._is_over and self._task.uncancel() <= self._cancelling
        if alone and type(error) is asyncio.CancelledError:
            raise TimeoutError from error

    def _end(self) -> None:
        self._is_over = True
        self._task.cancel()


class TimeLimit:
    """Ends calls in time: a call is cancelled, or one of httpx is left behind to end by itself.

    After ten that are left behind a client of our own is replaced, and closed once they have ended, or after a minute;
    of a client that was passed in, its owner is told.

    Args:
        seconds: for each call.
        clients: where the clients come from.
        clock: where timers come from.
    """

    def __init__(self, seconds: float, clients: Clients, clock: Clock) -> None:
        self.seconds = seconds
        self._clock = clock
        self._clients = clients
        self._calls: WeakKeyDictionary[Transport, _Calls] = WeakKeyDictionary()

    async def run(self, client: Transport, request: Request) -> Reply:
        """Make one call.

        Args:
            client: that makes it.
            request: what it sends.

        Raises:
            TimeoutError: the time is up.
            ConnectionError: it was cut off, because the client was closed.
        """
        call = TimeLimitedCall(self.seconds)
        if client.cancellable:
            with _Deadline(self.seconds, self._clock):
                return await client.send(request, call)
        calls = self._calls_of(client)
        task = calls.begin(client.send(request, call))
        if not await _ends(task, self.seconds, self._clock):
            if not call.is_reading and calls.leave_behind(task) == MAX_HUNG:
                self._too_many(client, calls)
            raise TimeoutError
        if task.cancelled():
            raise ConnectionError
        return task.result()

    async def aclose(self) -> None:
        """Cut off what was left behind on clients of our own: they are closed."""
        if self._clients.own:
            for calls in tuple(self._calls.values()):
                await calls.aclose()

    def _calls_of(self, client: Transport) -> _Calls:
        calls = self._calls.get(client)
        if calls is None:
            calls = self._calls[client] = _Calls()
        return calls

    def _too_many(self, client: Transport, calls: _Calls) -> None:
        if self._clients.replace(client):
            calls.retire(client)
            _log.warning("%d calls to Emporix hang: a new HTTP client takes over", MAX_HUNG)
