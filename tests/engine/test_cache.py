"""The CLOCK cache."""

from __future__ import annotations

import asyncio

import pytest

from session_ctx_middleware.engine.cache import ClockCache
from session_ctx_middleware.engine.entry import Entry
from session_ctx_middleware.engine.keys import Keys

from ..support.virtual_time import VirtualClock

KEYS = Keys("acme", "https://emporix")
KINDS = (b"token", b"session")


def keys(*numbers: int) -> list[bytes]:
    return [number.to_bytes(4, "big") for number in numbers]


class Kept:
    """A cache that remembers what has gone."""

    def __init__(self, size: int) -> None:
        self.clock = VirtualClock()
        self.entries = ClockCache(size, self.clock)
        self.gone: list[bytes] = []

    def put(self, key: bytes, seconds: float = 10) -> None:
        self.gone += [entry.key for entry in self.entries.put(Entry(key), self.clock.monotonic() + seconds)]

    def discard(self, key: bytes) -> None:
        entry = self.entries.discard(key)
        self.gone += [] if entry is None else [entry.key]


async def test_used_entries_stay() -> None:
    """An entry that somebody came back to stays longer than one that was read once."""
    cache = Kept(3)
    entries, gone = cache.entries, cache.gone
    first, second, third, *others = keys(*range(20))
    for key in (first, second, third):
        cache.put(key)
    for key in others:
        assert entries.get(second) is not None
        cache.put(key)
        assert len(entries) == 3
    assert second in entries
    assert second not in gone
    assert {first, third} < set(gone)


async def test_all_used() -> None:
    """Room is made though all entries are used."""
    cache = Kept(100)
    entries, gone = cache.entries, cache.gone
    for key in keys(*range(500)):
        cache.put(key)
        for other in keys(*range(500)):
            entries.get(other)
        assert len(entries) <= 100
    assert len(gone) == len(set(gone)) == 400


async def test_old_entries_go() -> None:
    """Entries that are too old are not found, and go a few at a time."""
    cache = Kept(1000)
    entries, gone = cache.entries, cache.gone
    for key in keys(*range(100)):
        cache.put(key)
    kept = keys(7)[0]
    cache.put(kept, 100)
    assert gone == [kept]  # the one in whose place it is
    gone.clear()
    await asyncio.sleep(11)
    assert [key for key in keys(*range(100)) if entries.get(key)] == [kept]
    assert keys(8)[0] not in entries
    cache.put(b"new")
    assert 0 < len(gone) < 50  # no page waits for all of them
    for key in keys(*range(200, 240)):
        cache.put(key)
    assert sorted(gone) == [key for key in keys(*range(100)) if key != kept]
    cache.discard(kept)
    cache.discard(kept)
    assert entries.get(kept) is None
    assert gone.count(kept) == 1


@pytest.mark.parametrize("size", [1, 2, 8, 15, 100])
async def test_newest_stays(size: int) -> None:
    """What was just put is there, however many are used."""
    cache = Kept(size)
    entries = cache.entries
    for key in keys(*range(3 * size)):
        for other in keys(*range(3 * size)):
            entries.get(other)
        cache.put(key)
        assert entries.get(key) is not None
        assert len(entries) <= size
