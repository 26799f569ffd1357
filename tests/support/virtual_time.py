"""An event loop whose clock jumps instead of waiting, and the library's clock on top of it."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable
from typing import Any

WALL_START = 1_790_000_000.0
REAL_WAIT = 60.0


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits for a timer: reports how long it should have waited to the loop's clock."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if ready:
            return ready
        if timeout is None:
            # Nothing is scheduled: only another thread can wake the loop.
            ready = super().select(REAL_WAIT)
            if not ready:
                raise RuntimeError("deadlock: every task waits for something that nobody will do")
            return ready
        self.clock += max(timeout, 0.0)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`loop.time()` is virtual; timers fire in order, at once."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._jumping.clock

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for worker threads without a limit: from Python 3.12 on there is one, and here it would be over at once.

        Args:
            timeout: seconds of the loop's clock, which know nothing of what a thread does.
        """
        await super().shutdown_default_executor()


class VirtualClock:
    """The library's `Clock` on the running loop's virtual time; randomness from one seed."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self.wall_offset = 0.0

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def time(self) -> float:
        return WALL_START + self.wall_offset + self.monotonic()

    def random(self) -> float:
        return self._random.random()

    def call_later(self, delay: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(delay, callback)

    async def sleep(self, delay: float) -> None:
        await asyncio.sleep(delay)


VIRTUAL_BACKEND: tuple[str, dict[str, Any]] = ("asyncio", {"loop_factory": VirtualTimeLoop})
