"""Event loops that share one clock, which jumps instead of waiting: all loops of a process, in one thread."""

from __future__ import annotations

import asyncio
import itertools
import sys
from asyncio import events
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import Context, copy_context
from heapq import heappop, heappush
from typing import Any, Final, TypeVar

from ..support.virtual_time import WALL_START, VirtualClock

__all__ = ["Loops", "SimulatedClock", "SimulatedLoop", "Time"]

T = TypeVar("T")

RESOLUTION: Final = 1e-9


class Time:
    """What all loops of a run believe the time to be, in seconds."""

    now = 0.0


class _Handle:
    """A call that is due; asyncio asks nothing else of it."""

    __slots__ = ("args", "callback", "context")

    def __init__(self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None) -> None:
        self.callback: Callable[..., object] | None = callback
        self.args = args
        self.context = copy_context() if context is None else context

    def cancel(self) -> None:
        self.callback, self.args = None, ()

    def cancelled(self) -> bool:
        return self.callback is None


class _Timer(_Handle):
    """A call that is due later."""

    __slots__ = ("_when",)

    def __init__(
        self, when: float, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> None:
        super().__init__(callback, args, context)
        self._when = when

    def when(self) -> float:
        return self._when


class SimulatedLoop(asyncio.BaseEventLoop):
    """One of several loops, which `Loops` lets run in turns: nothing outside this thread ever happens.

    Args:
        time: what it shares with the others.
    """

    _ready: deque[_Handle]
    _scheduled: list[tuple[float, int, _Timer]]

    def __init__(self, time: Time) -> None:
        super().__init__()
        self._time = time
        self._numbers = itertools.count()

    def time(self) -> float:
        return self._time.now

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: Any = None, context: Context | None = None) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> Any:
        handle = _Handle(callback, args, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> Any:
        return self.call_at(self._time.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> Any:
        timer = _Timer(when, callback, args, context)
        heappush(self._scheduled, (when, next(self._numbers), timer))
        return timer

    @property
    def is_busy(self) -> bool:
        """Whether it has something to do at this moment."""
        return bool(self._ready) or self.next_timer <= self._time.now

    @property
    def next_timer(self) -> float:
        """When it has something to do by itself."""
        timers = self._scheduled
        while timers and timers[0][2].callback is None:
            heappop(timers)
        return timers[0][0] if timers else float("inf")

    def turn(self, turns: float = 1) -> None:
        """Run what is ready, as the running loop: so many times, or until there is no more."""
        ready, timers, now = self._ready, self._scheduled, self._time.now + RESOLUTION
        events._set_running_loop(self)
        try:
            while turns > 0 and (ready or (timers and timers[0][0] <= now)):
                turns -= 1
                while timers and timers[0][0] <= now:
                    ready.append(heappop(timers)[2])
                for _ in range(len(ready)):
                    self._call(ready.popleft())
        finally:
            events._set_running_loop(None)

    def _call(self, handle: _Handle) -> None:
        callback = handle.callback
        if callback is None:
            return
        try:
            handle.context.run(callback, *handle.args)
        except Exception as error:
            self.call_exception_handler({"message": f"{callback!r} failed", "exception": error})


class SimulatedClock(VirtualClock):
    """The library's clock, on the time of all loops.

    Args:
        time: of all loops.
        seed: of its randomness.
    """

    def __init__(self, time: Time, seed: int) -> None:
        super().__init__(seed)
        self._time = time

    def monotonic(self) -> float:
        return self._time.now

    def time(self) -> float:
        return WALL_START + self.wall_offset + self._time.now


class Loops:
    """All loops of one run; the first one is where the shoppers are.

    Args:
        number: how many.
    """

    def __init__(self, number: int = 1) -> None:
        self.time = Time()
        self.all = [SimulatedLoop(self.time) for _ in range(number)]

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the first loop, and everything that it begins on any of them; close them all."""
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=_finish_generator)
        try:
            task: asyncio.Task[T] = self.all[0].create_task(main)
            return self._until_done(task)
        finally:
            self._close()
            sys.set_asyncgen_hooks(*hooks)

    def _until_done(self, task: asyncio.Task[T]) -> T:
        loops, time, alone = self.all, self.time, len(self.all) == 1
        while not task.done():
            busy = [loop for loop in loops if loop.is_busy]
            for loop in busy:
                loop.turn(float("inf") if alone else 1)
            if not busy:
                time.now = min(loop.next_timer for loop in loops)
                if time.now == float("inf"):
                    raise RuntimeError("deadlock: every task waits for something that nobody will do")
        return task.result()

    def _close(self) -> None:
        for loop in self.all:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            while any(not task.done() for task in left) and loop.is_busy:
                loop.turn()
            loop.close()


def _finish_generator(generator: AsyncGenerator[Any, None]) -> None:
    asyncio.get_running_loop().create_task(generator.aclose())
