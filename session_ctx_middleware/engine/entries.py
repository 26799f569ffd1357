"""All entries of one event loop, bounded in number and age."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from ..clock import Clock
from .cache import ClockCache
from .entry import Entry
from .keys import Keys

__all__ = ["Entries"]

MAX_TOKENS: Final = 32
TOKEN_PREFIX: Final = "token-"  # noqa: S105 - a prefix of names


class Entries:
    """Finds the entry of a key.

    Documents and everything else (missing, refused, failed) are kept apart, so that garbage tokens never push out
    a good entry. A entry in use (`pin`) stays reachable even when its cache drops it: two entries of one key would
    not see each other's writes.

    Args:
        max_entries: entries with a document, and as many without.
        naming: names for sessions.
        clock: where time comes from.
    """

    def __init__(self, max_entries: int, naming: Keys, clock: Clock) -> None:
        self._naming = naming
        self.found = ClockCache(max_entries, clock, self._gone)
        self.absent = ClockCache(max_entries, clock, self._gone)
        self._busy: dict[bytes, Entry] = {}
        self._by_session: dict[str, tuple[bytes, ...]] = {}

    def get(self, key: bytes) -> Entry | None:
        """Return the entry of a key, ``None`` where nothing is known."""
        return self.found.get(key) or self.absent.get(key) or self._busy.get(key)

    def find(self, key: bytes) -> Entry | None:
        """Return the entry of a key, which may be out of date: what a hit needs, at the least cost."""
        return self.found.find(key) or self.absent.find(key)

    def obtain(self, key: bytes, session_id: str | None) -> Entry:
        """Return the entry of a key, a new one where nothing is known."""
        entry = self.get(key) or Entry(key)
        if session_id is not None and entry.session_id is None:
            self._move(entry, session_id)
        return entry

    def learn(self, entry: Entry, session_id: str | None) -> None:
        """Note to which session a entry belongs, as an authenticated answer has told."""
        if session_id is None:
            return
        if session_id != entry.session_id:
            self._move(entry, session_id)
        entry.proven = True
        for sibling in self.siblings(entry):
            if sibling.proven:
                entry.learn(sibling)

    def _move(self, entry: Entry, session_id: str) -> None:
        self._unindex(entry)
        entry.session_id = session_id
        entry.session = self._naming.session(session_id)
        entry.proven = False
        if self._in_reach(entry.key):
            self._index(entry)

    def pin(self, entry: Entry) -> None:
        """Keep a entry reachable until it is unpinned as often."""
        entry.pins += 1
        self._busy[entry.key] = entry
        self._index(entry)

    def unpin(self, entry: Entry) -> None:
        """Undo one `pin`."""
        entry.pins -= 1
        if not entry.pins:
            self._busy.pop(entry.key, None)
            self._gone(entry)

    def keep(self, entry: Entry) -> None:
        """File a entry by what it now knows, and for as long as that is of use."""
        if entry.snapshot.document is not None:
            self.absent.discard(entry.key)
            self.found.put(entry, max(entry.stale_until, entry.error_until))
        else:
            self.found.discard(entry.key)
            self.absent.put(entry, max(entry.fresh_until, entry.next_attempt, entry.kept_until))
        if self._in_reach(entry.key):
            self._index(entry)
        else:
            self._gone(entry)

    def drop(self, entry: Entry) -> None:
        """Forget a entry, whatever it knows."""
        self.found.discard(entry.key)
        self.absent.discard(entry.key)
        self._gone(entry)

    def siblings(self, entry: Entry) -> Iterator[Entry]:
        """Yield the other entries of the same session: a refreshed token, or a customer who was a guest."""
        if entry.session is None:
            return
        for key in self._by_session.get(entry.session, ()):
            other = None if key == entry.key else self.get(key)
            if other is not None:
                yield other

    def named(self, names: Iterable[str]) -> list[Entry]:
        """Return the entries that names of tokens and sessions stand for."""
        keys: dict[bytes, None] = {}
        for name in names:
            if name in self._by_session:
                keys |= dict.fromkeys(self._by_session[name])
            elif name.startswith(TOKEN_PREFIX):
                with suppress(ValueError):  # names come from other processes, too
                    keys[bytes.fromhex(name.removeprefix(TOKEN_PREFIX))] = None
        return [entry for entry in map(self.get, keys) if entry is not None]

    def __len__(self) -> int:
        return len(self.found)

    def _index(self, entry: Entry) -> None:
        if entry.session is None:
            return
        keys = self._by_session.get(entry.session, ())
        if entry.key in keys:
            return
        if len(keys) >= MAX_TOKENS:
            keys = tuple(key for key in keys if self._in_reach(key))
        self._by_session[entry.session] = (*keys, entry.key)
        if len(keys) >= MAX_TOKENS:
            # Every write has to reach all tokens of the session, and somebody may refresh one on and on.
            oldest = next((other for other in self.siblings(entry) if not other.pins), None)
            if oldest is not None:
                self.drop(oldest)

    def _gone(self, entry: Entry) -> None:
        # An expired item is reported late: meanwhile its entry, or another one of its key, may be in use again.
        held = self.get(entry.key)
        if held is None or held.session != entry.session:
            self._unindex(entry)

    def _in_reach(self, key: bytes) -> bool:
        return key in self._busy or key in self.found or key in self.absent

    def _unindex(self, entry: Entry) -> None:
        if entry.session is None:
            return
        left = tuple(key for key in self._by_session.get(entry.session, ()) if key != entry.key)
        if left:
            self._by_session[entry.session] = left
        else:
            self._by_session.pop(entry.session, None)
