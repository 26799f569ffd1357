"""Timers that are hardly ever due, because the answer comes in time: one of the event loop stands for all of them.

A timer of asyncio is an object that other objects are compared with, in Python; to make one and to cancel it takes
five times as long as here, where that is an entry in a heap and an empty field.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final

__all__ = ["Timer", "call_later"]

RESOLUTION: Final = 0.001
"""Seconds by which a timer may be early: some event loops (uvloop) count milliseconds."""

ROOM: Final = 256
"""Timers, cancelled ones among them, up to which nobody sweeps."""


class Timer:
    """Something to do later.

    Args:
        callback: what.
    """

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback

    @property
    def is_cancelled(self) -> bool:
        """Whether there is nothing left to do."""
        return self._callback is None

    def cancel(self) -> None:
        """Forget the timer, and whatever its callback holds."""
        self._callback = None

    def run(self) -> None:
        """Do it, unless it was cancelled."""
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class _Timers:
    """The timers of one event loop; those that were cancelled are swept out when there are as many as others.

    Args:
        loop: the event loop.
    """

    __slots__ = ("_alarm", "_heap", "_loop", "_numbers", "_rings_at", "_room")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._numbers = itertools.count()  # no two timers are ever compared
        self._heap: list[tuple[float, int, Timer]] = []
        self._room = ROOM
        self._rings_at = inf
        self._alarm: asyncio.TimerHandle | None = None

    def add(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Return a timer that is due after `delay` seconds."""
        due, timer = self._loop.time() + delay, Timer(callback)
        heappush(self._heap, (due, next(self._numbers), timer))
        if len(self._heap) > self._room:
            self._sweep()
        if due < self._rings_at:
            self._ring_at(due)
        return timer

    def _sweep(self) -> None:
        self._heap = [each for each in self._heap if not each[2].is_cancelled]
        heapify(self._heap)
        self._room = max(ROOM, 2 * len(self._heap))

    def _ring_at(self, due: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._rings_at = due
        # In no context: whoever made the first timer has nothing to do with the others.
        self._alarm = self._loop.call_at(due, self._ring, context=contextvars.Context())

    def _ring(self) -> None:
        self._rings_at, self._alarm = inf, None
        heap, now = self._heap, self._loop.time() + RESOLUTION
        while heap and (heap[0][0] <= now or heap[0][2].is_cancelled):
            timer = heappop(heap)[2]
            if not timer.is_cancelled:
                self._loop.call_soon(timer.run)  # it may be cancelled by one that was due before it
        if heap:
            self._ring_at(heap[0][0])


_by_loop: dict[asyncio.AbstractEventLoop, _Timers] = {}
_last: tuple[asyncio.AbstractEventLoop, _Timers] | None = None  # most processes have one loop


def call_later(delay: float, callback: Callable[[], object]) -> Timer:
    """Call `callback` on the running event loop after `delay` seconds, in no context, and up to a millisecond early.

    Args:
        delay: seconds.
        callback: what to call.

    Returns:
        What cancels it.
    """
    loop, last = asyncio.get_running_loop(), _last
    timers = last[1] if last is not None and last[0] is loop else _timers_of(loop)
    return timers.add(delay, callback)


def _timers_of(loop: asyncio.AbstractEventLoop) -> _Timers:
    global _last  # noqa: PLW0603 - a look-up saved
    timers = _by_loop.get(loop)
    if timers is None:
        for closed in [each for each in list(_by_loop) if each.is_closed()]:  # which would not go by itself
            _by_loop.pop(closed, None)
        timers = _by_loop[loop] = _Timers(loop)
    _last = loop, timers
    return timers
