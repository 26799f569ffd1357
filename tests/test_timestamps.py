"""Timestamps of changes: later than every one before, from any thread."""

from __future__ import annotations

import sys
import threading
import time

from session_ctx_middleware.clock import HybridClock, SystemClock


def standing() -> float:
    """Return one and the same moment, and let other threads run meanwhile."""
    time.sleep(0)
    return 1.8e9


class Standing(SystemClock):
    """A clock that stands still."""

    time = staticmethod(standing)


def test_several_threads() -> None:
    """No two changes have one timestamp, though event loops and synchronous endpoints of several threads make them."""
    clock = HybridClock(Standing())
    found: tuple[list[float], list[float]] = ([], [])

    def take(into: list[float]) -> None:
        into.extend(clock.next() for _ in range(2_000))

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=take, args=(each,)) for each in found]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(before)

    assert len({*found[0], *found[1]}) == 4_000
    assert all(sorted(each) == each for each in found)


def test_what_another_host_has_seen() -> None:
    """A timestamp is later than one of another host that is known, whatever the clock says."""
    clock = HybridClock(Standing())

    first = clock.next(seen=1.9e9)

    assert first > 1.9e9
    assert clock.next() > first
