"""Timers that share one of the event loop's."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref
from collections.abc import Callable

import pytest

from session_ctx_middleware.clock import SystemClock
from session_ctx_middleware.timers import Timer, call_later


def noting(moments: list[tuple[str, float]], name: str) -> Callable[[], None]:
    """Return a callback that notes when it is called, in seconds of the loop's clock."""
    return lambda: moments.append((name, round(asyncio.get_running_loop().time(), 3)))


async def test_order() -> None:
    """Timers are due in the order of their moments, however they were made, and only once."""
    moments: list[tuple[str, float]] = []
    for name, delay in (("third", 3), ("first", 1), ("second", 2), ("now", 0)):
        call_later(delay, noting(moments, name))
    await asyncio.sleep(2.5)
    call_later(0.1, noting(moments, "later"))
    await asyncio.sleep(10)

    assert moments == [("now", 0), ("first", 1), ("second", 2), ("later", 2.6), ("third", 3)]


async def test_cancelled() -> None:
    """One that is cancelled is not due, also where that comes in the last moment; it lets go of what it held."""
    moments: list[tuple[str, float]] = []
    timers: list[Timer] = []

    def first() -> None:
        timers[0].cancel()

    call_later(1, first)
    timers.append(call_later(1, noting(moments, "second")))
    held = noting(moments, "third")
    gone, third = weakref.ref(held), call_later(3, held)
    del held
    third.cancel()
    gc.collect()
    assert gone() is None
    await asyncio.sleep(5)

    assert moments == []


async def test_sweeping() -> None:
    """Those that were cancelled take no more room than those that were not; none of these is lost."""
    moments: list[tuple[str, float]] = []
    for number in range(300):
        call_later(100 + number, noting(moments, str(number)))
        for _ in range(10):
            call_later(1_000, noting(moments, "never")).cancel()
    kept = sum(type(each) is Timer for each in gc.get_objects())
    await asyncio.sleep(2_000)

    assert kept < 1_000
    assert moments == [(str(number), 100 + number) for number in range(300)]


async def test_failure(caplog: pytest.LogCaptureFixture) -> None:
    """One that fails disturbs none of the others."""
    moments: list[tuple[str, float]] = []

    def fails() -> None:
        raise ValueError("mine")

    asyncio.get_running_loop().set_exception_handler(lambda _, context: moments.append((str(context["exception"]), 1)))
    call_later(1, fails)
    call_later(1, noting(moments, "other"))
    await asyncio.sleep(2)

    assert moments == [("mine", 1), ("other", 1)]


async def test_no_context() -> None:
    """None sees the context variables of whoever made it, or another one."""
    variable = contextvars.ContextVar("shopper", default="nobody")
    variable.set("somebody")
    seen: list[str] = []
    SystemClock().call_later(1, lambda: seen.append(variable.get()))
    await asyncio.sleep(2)

    assert seen == ["nobody"]


def test_loops() -> None:
    """Each event loop has timers of its own, also one that comes after another was closed."""

    async def due() -> bool:
        over = asyncio.Event()
        call_later(0, over.set)
        await asyncio.wait_for(over.wait(), 10)
        return over.is_set()

    assert [asyncio.run(due()) for _ in range(2)] == [True, True]
