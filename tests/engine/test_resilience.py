"""The gate."""

from __future__ import annotations

import asyncio

import pytest

from session_ctx_middleware import (
    EmporixNotAsked,
    EmporixUnreachable,
    TooManyRequests,
)
from session_ctx_middleware.engine.gate import Gate

from ..support.virtual_time import VirtualClock


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
