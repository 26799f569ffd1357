"""Event loops that share one clock, which jumps instead of waiting: all loops of a process, in one thread."""

from __future__ import annotations

import asyncio
import selectors
import sys
from asyncio import events
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

__all__ = ["Loops", "SimulatedLoop", "Time"]

T = TypeVar("T")


class Time:
    """What all loops of a run believe the time to be, in seconds."""

    now = 0.0


class _Deaf(selectors.SelectSelector):
    """Waits for nobody: nothing outside this thread ever happens."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """One of several loops, which `Loops` lets run in turns.

    Args:
        time: what it shares with the others.
    """

    _ready: Any
    _scheduled: Any
    _run_once: Any

    def __init__(self, time: Time) -> None:
        super().__init__(_Deaf())
        self._time = time
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._time.now

    def _write_to_self(self) -> None:
        """Do nothing: who calls from another loop need not wake this one."""

    @property
    def is_busy(self) -> bool:
        """Whether it has something to do at this moment."""
        return bool(self._ready) or self.next_timer <= self._time.now

    @property
    def next_timer(self) -> float:
        """When it has something to do by itself."""
        return self._scheduled[0].when() if self._scheduled else float("inf")

    def turn(self) -> None:
        """Run what is ready, as the running loop."""
        events._set_running_loop(self)
        try:
            self._run_once()
        finally:
            events._set_running_loop(None)


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
            return self._until_done(self.all[0].create_task(main))
        finally:
            self._close()
            sys.set_asyncgen_hooks(*hooks)

    def _until_done(self, task: asyncio.Task[T]) -> T:
        loops, time = self.all, self.time
        while not task.done():
            busy = [loop for loop in loops if loop.is_busy]
            for loop in busy:
                loop.turn()
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
