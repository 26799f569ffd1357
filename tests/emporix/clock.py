"""A clock for the tests of the platform clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class VirtualClock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.wall = 1_800_000_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.wall

    def random(self) -> float:
        return 0.5

    def call_later(self, delay: float, callback: Callable[[], object]) -> Any:
        # How long a call may take is measured by the event loop, which has a time of its own here.
        return asyncio.get_running_loop().call_later(delay, callback)

    async def sleep(self, delay: float) -> None:
        raise AssertionError("platform clients do not sleep")
