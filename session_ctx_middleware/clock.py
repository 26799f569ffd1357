"""Time, randomness and timers, in one place that tests can replace."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

__all__ = ["Budget", "Clock", "Stamps", "SystemClock", "TimerHandle", "wait"]

STEP: Final = 1e-6

T = TypeVar("T")


class TimerHandle(Protocol):
    """What :meth:`Clock.call_later` returns."""

    def cancel(self) -> None:
        """Forget the timer."""
        ...


class Clock(Protocol):
    """Where every part of this package gets its time and its randomness from."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        ...

    def time(self) -> float:
        """Return seconds since the epoch, as the system believes them to be."""
        ...

    def random(self) -> float:
        """Return a number in [0, 1)."""
        ...

    def call_later(self, delay: float, callback: Callable[[], object]) -> TimerHandle:
        """Call `callback` on the running loop after `delay` seconds."""
        ...

    async def sleep(self, delay: float) -> None:
        """Return after `delay` seconds."""
        ...


class SystemClock:
    """The real clock."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)
    random = staticmethod(random.random)
    sleep = staticmethod(asyncio.sleep)

    def call_later(self, delay: float, callback: Callable[[], object]) -> TimerHandle:
        """Call `callback` on the running loop after `delay` seconds."""
        return asyncio.get_running_loop().call_later(delay, callback)


class Stamps:
    """Moments for changes, each later than all before it, also when the system's clock is set back.

    What another host has stamped counts as before, once it was seen here: of two changes of which one knew the other,
    the later one has the later moment, however far apart the clocks of the hosts are.

    Args:
        clock: where time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0.0

    def next(self, seen: float = 0.0) -> float:
        """Return a moment after every one before it and after `seen`, in seconds since the epoch.

        Call it from one thread at a time.
        """
        self._last = max(self._clock.time(), self._last + STEP, seen + STEP)
        return self._last


async def wait(future: asyncio.Future[T | None], timeout: float, clock: Clock) -> T | None:
    """Wait for a future that belongs to this waiter alone.

    Args:
        future: one waiter's own future.
        timeout: seconds to wait at most.
        clock: where the timer comes from.

    Returns:
        The result of the future, or ``None`` when the time was up first.
    """

    def give_up() -> None:
        if not future.done():
            future.set_result(None)

    timer = clock.call_later(max(timeout, 0.0), give_up)
    try:
        return await future
    finally:
        timer.cancel()


class Budget:
    """Seconds that one request may spend on waiting, however many waits that are.

    Args:
        seconds: to begin with.
        clock: what measures the waits.
    """

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._left = seconds
        self._clock = clock

    @contextmanager
    def spend(self) -> Iterator[float]:
        """Measure the wait inside the block; give until when it may last, in monotonic seconds."""
        began = self._clock.monotonic()
        try:
            yield began + self._left
        finally:
            self._left = max(0.0, self._left - (self._clock.monotonic() - began))
