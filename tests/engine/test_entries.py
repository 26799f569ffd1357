"""Entries by token and by session."""

from __future__ import annotations

import asyncio

from session_ctx_middleware import (
    ContextDocument,
)
from session_ctx_middleware.engine.consistency import START
from session_ctx_middleware.engine.entries import MAX_TOKENS, Entries
from session_ctx_middleware.engine.entry import Entry
from session_ctx_middleware.engine.keys import Keys
from session_ctx_middleware.model.view import Snapshot

from ..support.virtual_time import VirtualClock

KEYS = Keys("acme", "https://emporix")
KINDS = (b"token", b"session")


def filed(
    entries: Entries, clock: VirtualClock, key: bytes, session_id: str | None = None, seconds: float = 10
) -> Entry:
    entry = entries.obtain(key, session_id)
    entries.prove(entry, session_id)
    now = clock.monotonic()
    entry.set_lifetime(now, fresh_until=now, stale_until=now, error_until=now + seconds)
    entry.show(Snapshot(document=ContextDocument(version=1)), START)
    entries.keep(entry)
    return entry


def proven(entries: Entries, key: bytes, session_id: str) -> Entry:
    entry = entries.obtain(key, None)
    entries.prove(entry, session_id)
    return entry


async def test_pinned_entry() -> None:
    """An entry in use stays one object though its cache drops it."""
    clock = VirtualClock()
    entries = Entries(1, KEYS, clock)
    entry = filed(entries, clock, b"a", "s")
    entries.pin(entry)

    filed(entries, clock, b"b")

    assert entries.get(b"a") is entry
    assert [*entries.siblings(proven(entries, b"c", "s"))] == [entry]
    entries.unpin(entry)
    assert entries.get(b"a") is None
    assert [*entries.siblings(proven(entries, b"c", "s"))] == []


async def test_moved_token() -> None:
    """A token that has moved to another session is not found under the first."""
    clock = VirtualClock()
    entries = Entries(100, KEYS, clock)
    for number in range(50):
        filed(entries, clock, b"others" + bytes([number]), f"other-{number}", seconds=1000)
    filed(entries, clock, b"a", "first")
    await asyncio.sleep(11)

    filed(entries, clock, b"a", "second")

    assert entries.named([KEYS.session("first")]) == []
    assert [*entries.siblings(proven(entries, b"b", "first"))] == []
    assert KEYS.session("first") not in entries._by_session


async def test_ended_tokens() -> None:
    """Tokens that have ended do not count for how many a session may have."""
    clock = VirtualClock()
    entries = Entries(1000, KEYS, clock)
    for number in range(MAX_TOKENS):
        filed(entries, clock, b"old" + bytes([number]), "s")
    await asyncio.sleep(11)

    fresh = [filed(entries, clock, b"new" + bytes([number]), "s") for number in range(5)]

    assert [entries.get(entry.key) for entry in fresh] == fresh


async def test_index_shrinks() -> None:
    """The index of sessions shrinks with the cache."""
    clock = VirtualClock()
    entries = Entries(5, KEYS, clock)
    for number in range(50):
        filed(entries, clock, bytes([number]), f"session-{number}")
    assert len(entries._by_session) == 5

    await asyncio.sleep(11)
    filed(entries, clock, b"new", "new")
    proven(entries, b"new", "newer")

    assert list(entries._by_session) == [KEYS.session("newer")]
    assert len(entries) == 1
