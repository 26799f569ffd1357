"""Time, randomness and timers, in one place that tests can replace."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from threading import Lock
from typing import Final, Protocol, TypeVar

from .timers import call_later

__all__ = ["Budget", "Clock", "HybridClock", "SystemClock", "TimerHandle", "wait"]

STEP: Final = 1e-6
DECIMALS: Final = 6
"""Seconds between two timestamps of one instant."""

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
    call_later = staticmethod(call_later)


class HybridClock:
    """Timestamps for changes: a hybrid logical clock (Kulkarni et al., Logical Physical Clocks, OPODIS 2014).

    A timestamp is the time of the system, unless that is not later than one which this process has given out or seen
    from another host; then it is a microsecond after that. So it is close to real time, and of two changes of which
    one knew the other, the later one has the later timestamp, however far apart the clocks of the hosts are. The
    algorithm's logical counter is the microseconds: timestamps stay plain numbers.

    Args:
        clock: the physical clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0.0
        self._lock = Lock()  # event loops and synchronous endpoints of several threads share it

    def next(self, seen: float = 0.0) -> float:
        """Return a timestamp later than every one before it.

        Args:
            seen: the latest timestamp of another host that is known here, in seconds since the epoch.

        Returns:
            Seconds since the epoch.
        """
        with self._lock:
            # Between a change and the next one there is room for a copy of the first, which a login carries along.
            self._last = round(max(self._clock.time(), self._last + STEP, seen + 2 * STEP), DECIMALS)
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
    """Seconds that one request may spend on waiting, however many waits that are; waits at one time count once.

    ``with budget as until:`` measures the wait inside the block, which may last until then (monotonic seconds).

    Args:
        seconds: to begin with.
        clock: what measures the waits.

    Attributes:
        spent: seconds of the waits that have ended.
    """

    def __init__(self, seconds: float, clock: Clock) -> None:
        self._left = seconds
        self._clock = clock
        self._waits = 0
        self._began = 0.0
        self.spent = 0.0

    def __enter__(self) -> float:
        if not self._waits:
            self._began = self._clock.monotonic()
        self._waits += 1
        return self._began + self._left

    def __exit__(self, *_: object) -> None:
        self._waits -= 1
        if not self._waits:
            waited = self._clock.monotonic() - self._began
            self.spent += waited
            self._left = max(0.0, self._left - waited)
