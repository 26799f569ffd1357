"""The gate and the bulkhead."""

from __future__ import annotations

import asyncio

import pytest

from session_ctx_middleware import (
    EmporixNotAsked,
    EmporixUnreachable,
    TooManyRequests,
)
from session_ctx_middleware.engine.keys import Keys
from session_ctx_middleware.engine.resilience import Bulkhead, Gate

from ..support.virtual_time import VirtualClock

KEYS = Keys("acme", "https://emporix")
KINDS = (b"token", b"session")


async def test_bulkhead() -> None:
    """A bulkhead holds back, queues, and sheds."""
    permits = Bulkhead(2)
    running = peak = 0

    async def call() -> str:
        nonlocal running, peak
        try:
            await permits.take("context.get")
        except EmporixNotAsked:
            return "shed"
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(1)
        running -= 1
        permits.give()
        return "served"

    outcomes = await asyncio.gather(*(call() for _ in range(10)))

    assert (peak, outcomes.count("served"), outcomes.count("shed")) == (2, 6, 4)
    assert await call() == "served"


async def test_permit_is_not_lost() -> None:
    """A permit given to somebody who has left is not lost."""
    permits = Bulkhead(1)

    async def call(seconds: float) -> None:
        await permits.take("context.get")
        try:
            await asyncio.sleep(seconds)
        finally:
            permits.give()

    first = asyncio.create_task(call(1))
    second, third = asyncio.create_task(call(1)), asyncio.create_task(call(1))
    await asyncio.sleep(0.5)
    third.cancel()
    await first
    second.cancel()
    await asyncio.gather(second, third, return_exceptions=True)

    async with asyncio.timeout(1):
        await call(0)


@pytest.mark.parametrize(("seconds", "closed"), [(5.0, 5.0), (None, 1.0), (0.0, 0.0), (1e9, 60.0), (-3.0, 0.0)])
async def test_gate_closes(seconds: float | None, closed: float) -> None:
    """F36: the gate closes for Retry-After, at most a minute."""
    clock = VirtualClock()
    gate = Gate(clock)

    gate.note(TooManyRequests("context.get", 429, retry_after=seconds))

    if closed:
        await asyncio.sleep(closed - 0.01)
        with pytest.raises(EmporixNotAsked):
            gate.check("context.get")
        await asyncio.sleep(0.02)
    gate.check("context.get")


async def test_gate_stays_open() -> None:
    """A server error without a time leaves the gate open."""
    gate = Gate(VirtualClock())

    gate.note(EmporixUnreachable("context.get"))

    gate.check("context.get")
