"""A clock of the real time on which hours can pass between two requests, for shop and platform alike."""

from __future__ import annotations

import time

from session_ctx_middleware.clock import SystemClock

__all__ = ["Hours"]


class Hours(SystemClock):
    """Real time, and what has `passed` besides (seconds)."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.passed

    def time(self) -> float:
        return time.time() + self.passed
