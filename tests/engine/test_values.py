"""Plain values and the store of this process."""

from __future__ import annotations

from session_ctx_middleware import (
    CachePolicy,
    UpstreamPolicy,
)
from session_ctx_middleware.engine.keys import Keys
from session_ctx_middleware.model.changes import NO_CHANGES, ContextChanges
from session_ctx_middleware.model.operation import Operation
from session_ctx_middleware.stores import MemoryStore

from ..support.virtual_time import VirtualClock

KEYS = Keys("acme", "https://emporix")
KINDS = (b"token", b"session")


async def test_memory_store() -> None:
    """A memory store keeps the later change, and is bounded."""
    clock = VirtualClock()
    store = MemoryStore(max_entries=3, clock=clock)
    early = ContextChanges({"currency": Operation("USD", "1", at=clock.time(), recorded=0)})
    late = ContextChanges({"currency": Operation("CHF", "2", at=clock.time() + 1, recorded=1)})

    await store.park("a", late)
    await store.park("a", early)
    await store.unpark(["a"], early)
    assert await store.parked(["a", "b"]) == late
    await store.unpark(["a", "b"], late)
    assert await store.parked(["a"]) == NO_CHANGES
    for number in range(10):
        await store.park(str(number), late)
    assert sum([bool(await store.parked([str(number)])) for number in range(10)]) == 3
    assert repr(store) == "<MemoryStore>"


def test_policies() -> None:
    """Policies are plain values."""
    assert CachePolicy() == CachePolicy(ttl=60, missing_ttl=2)
    assert UpstreamPolicy().deadline == 2.0
