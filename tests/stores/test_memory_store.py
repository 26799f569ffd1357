"""The store in the memory of one process: alone, and shared by several workers."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from session_ctx_middleware.errors import ConfigurationError
from session_ctx_middleware.model.changes import ContextChanges
from session_ctx_middleware.model.document import ContextDocument
from session_ctx_middleware.model.operation import Operation
from session_ctx_middleware.stores import ContextStore, MemoryStore, Notice
from session_ctx_middleware.testing.store_rules import Rule, store_rules

from ..support.virtual_time import VIRTUAL_BACKEND, VirtualClock

CHANGES = ContextChanges({"currency": Operation("USD", "1", at=2e9, recorded=1.0)})


@pytest.mark.parametrize("anyio_backend", [VIRTUAL_BACKEND], ids=["virtual"])
@pytest.mark.parametrize("rule", store_rules(VirtualClock()), ids=lambda rule: rule.__name__)
async def test_rules(rule: Rule) -> None:
    """Siblings keep the rules of a store."""
    store = MemoryStore(shared=True, clock=VirtualClock())

    async def make_store() -> ContextStore:
        return store.sibling()

    await rule(make_store)


async def test_not_shared_keeps_nothing() -> None:
    """A store of one process keeps no documents, and tells nothing."""
    store = MemoryStore()
    heard: list[Notice] = []
    attachment = store.attach(heard.append)

    await store.save("token-1", ContextDocument(1), "c", age=0.0, lifetime=60.0)
    await store.invalidate(["token-1"], "c", 2, lifetime=60.0)
    await store.park("token-1", CHANGES)
    await store.forget(["token-1"])
    await asyncio.sleep(0)

    assert await store.load("token-1") is None
    assert (store.shared, heard, attachment.epoch, attachment.connected) == (False, [], 0, True)


def test_not_shared_has_no_siblings() -> None:
    """A store that is not shared has no siblings."""
    with pytest.raises(ConfigurationError, match="shared=True"):
        MemoryStore().sibling()


async def test_documents_are_bounded() -> None:
    """Documents are bounded in number."""
    store = MemoryStore(max_entries=10, shared=True)
    for number in range(50):
        await store.save(f"token-{number}", ContextDocument(1), "c", age=0.0, lifetime=60.0)

    kept = [number for number in range(50) if await store.load(f"token-{number}") is not None]

    assert kept == list(range(40, 50))


async def test_f41_two_threads() -> None:
    """F41: Event loops of two threads tell each other through one store."""
    store = MemoryStore(shared=True)
    here: list[tuple[Notice, int]] = []
    there: list[tuple[Notice, int]] = []
    store.attach(lambda notice: here.append((notice, threading.get_ident())))
    attached, done = threading.Event(), threading.Event()
    other = threading.Thread(target=lambda: asyncio.run(visit()))

    async def visit() -> None:
        store.attach(lambda notice: there.append((notice, threading.get_ident())))
        attached.set()
        while not there:
            await asyncio.sleep(0.005)
        await store.park("session-2", CHANGES)
        done.set()

    other.start()
    await asyncio.to_thread(attached.wait, 60)
    await store.invalidate(["token-1"], "c", 3, lifetime=60.0)
    await asyncio.to_thread(done.wait, 60)
    await asyncio.to_thread(other.join, 60)
    await asyncio.sleep(0)
    # The other loop is closed now; telling it something must not fail.
    await store.forget(["token-1"])

    assert there == [(Notice("written", ("token-1",), "c", 3), other.ident)]
    assert here == [(Notice("parked", ("session-2",)), threading.get_ident())]


def test_not_shared_stays_small() -> None:
    """A store of one process stays small."""
    assert MemoryStore()._memory.documents is None
    assert sys.getsizeof(MemoryStore()) < 200
