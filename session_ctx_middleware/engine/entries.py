"""All entries of one event loop: by token, by session, and those in use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from cachetools import TTLCache

from ..clock import Clock
from .cache import ClockCache
from .consistency import LAG
from .entry import NEVER, Entry, Membership
from .keys import Keys
from .merging import merged

__all__ = ["Entries", "Pinned"]

MAX_TOKENS: Final = 32
TOKEN_PREFIX: Final = "token-"  # noqa: S105 - a prefix of names
SESSIONS: Final = 10_000
HEARD_SECONDS: Final = 2 * LAG
"""Seconds for which a session's latest floor is remembered: longer than a GET takes, and a replica may be behind."""


class Pinned:
    """Keeps an entry reachable inside a ``with`` block: a generator would take three times as long, with every miss.

    Args:
        entries: where it is found.
        entry: which one.
    """

    __slots__ = ("_entries", "_entry")

    def __init__(self, entries: Entries, entry: Entry) -> None:
        self._entries = entries
        self._entry = entry

    def __enter__(self) -> Entry:
        self._entries.pin(self._entry)
        return self._entry

    def __exit__(self, *_: object) -> None:
        self._entries.unpin(self._entry)


class Entries:
    """Finds the entry of a token, and the other tokens of its session.

    Documents have one cache, everything else (missing, rejected, failed) has another: garbage tokens never push out a
    good entry. An entry in use (`pinned`) stays reachable even when its cache drops it: two entries of one key would
    not see each other's writes.

    Args:
        max_entries: entries with a document, and as many without.
        keys: names for sessions.
        clock: where time comes from.
        before: of an event loop that has ended, to go on with what it kept; what it had in use is in use no more.

    Attributes:
        found: entries with a document.
        absent: all others.
    """

    __slots__ = ("_by_session", "_clock", "_floors", "_keys", "_pins", "_writes", "absent", "found")

    def __init__(self, max_entries: int, keys: Keys, clock: Clock, before: Entries | None = None) -> None:
        self._keys = keys
        self._clock = clock
        self._by_session: dict[str, tuple[bytes, ...]]
        if before is None:
            self.found, self.absent = ClockCache(max_entries, clock), ClockCache(max_entries, clock)
            self._by_session = {}
        else:
            self.found, self.absent, self._by_session = before.kept()
        self._floors: TTLCache[str, tuple[str, int]] | None = None  # until there is anybody to tell one
        self._pins: dict[bytes, tuple[Entry, int]] = {}
        self._writes: dict[bytes, int] = {}

    def kept(self) -> tuple[ClockCache, ClockCache, dict[str, tuple[bytes, ...]]]:
        """Return everything but what is in use: entries with a document, all others, and the tokens of sessions."""
        return self.found, self.absent, self._by_session

    def get(self, key: bytes) -> Entry | None:
        """Return the entry of a key, `None` where nothing is known."""
        found = self.found.get(key) or self.absent.get(key)
        if found is None and key in self._pins:
            return self._pins[key][0]
        return found

    def peek(self, key: bytes) -> Entry | None:
        """Return the entry of a key as `get` does, but leave no trace: for those who look on from another thread."""
        found = self.found.find(key) or self.absent.find(key)
        pinned = None if found is not None else self._pins.get(key)
        return found if pinned is None else pinned[0]

    def of_session(self, name: str) -> list[Entry]:
        """Return the entries of a session, and leave no trace: for those who look on from another thread."""
        found = map(self.peek, self._by_session.get(name, ()))
        return [entry for entry in found if entry is not None and entry.proven_session is not None]

    def obtain(self, key: bytes, session_id: str | None) -> Entry:
        """Return the entry of a key, a new one where nothing is known."""
        entry = self.get(key) or Entry(key)
        if session_id is not None and (entry.session is None or not entry.session.session_id):
            self._move(entry, session_id, proven=False)
        return entry

    def prove(self, entry: Entry, session_id: str | None) -> None:
        """Note to which session a token belongs, as an authenticated answer says; merge what its siblings know."""
        if session_id is None:
            return
        known = entry.proven_session
        if known is None or known.session_id != session_id:
            self._move(entry, session_id, proven=True)
        for sibling in self.siblings(entry):
            if sibling.proven_session is not None:
                entry.learn(merged(entry.consistency, sibling.consistency))

    def link(self, entry: Entry, name: str) -> None:
        """Let notices for a session reach a token of which nobody but a store says that it is of that session."""
        if not name or entry.proven_session is not None:
            return
        known = entry.session
        claimed = known.session_id if known is not None and known.name == name else ""
        self._unindex(entry)
        self._join(entry, Membership(claimed, name, proven=False, linked=True))

    def pinned(self, entry: Entry) -> Pinned:
        """Return what keeps an entry reachable inside a ``with`` block."""
        return Pinned(self, entry)

    def pin(self, entry: Entry) -> None:
        """Keep an entry reachable until it is unpinned as often."""
        _, pins = self._pins.get(entry.key, (entry, 0))
        self._pins[entry.key] = (entry, pins + 1)
        self._index(entry)

    def unpin(self, entry: Entry) -> None:
        """Undo one `pin`."""
        _, pins = self._pins[entry.key]
        if pins > 1:
            self._pins[entry.key] = (entry, pins - 1)
        else:
            del self._pins[entry.key]
            self._gone(entry)

    @contextmanager
    def written(self, entries: Sequence[Entry]) -> Iterator[None]:
        """Fence entries off while their context is being written: reads that overlap the block are not published."""
        for entry in entries:
            entry.raise_fence()
            self._writes[entry.key] = self._writes.get(entry.key, 0) + 1
        try:
            yield
        finally:
            for entry in entries:
                entry.raise_fence()
                self._writes[entry.key] -= 1
                if not self._writes[entry.key]:
                    del self._writes[entry.key]

    def is_written(self, entry: Entry) -> bool:
        """Tell whether the context of an entry is being written."""
        return entry.key in self._writes

    def keep(self, entry: Entry, at_least: float = 0.0) -> None:
        """File an entry by what it now knows, and for as long as that is of use.

        Args:
            entry: to be kept.
            at_least: seconds for which what it knows of versions and changes is needed, though it has no document.
        """
        if entry.document is not None:
            gone = [self.absent.discard(entry.key), *self.found.put(entry, max(entry.stale_until, entry.error_until))]
        else:
            promised = entry.kept_until if self.absent.find(entry.key) is entry else NEVER
            until = max(entry.fresh_until, entry.retry_at, promised, self._clock.monotonic() + at_least)
            gone = [self.found.discard(entry.key), *self.absent.put(entry, until)]
        for each in gone:
            if each is not None:
                self._gone(each)
        if self._in_reach(entry.key):
            self._index(entry)
        else:
            self._gone(entry)

    def drop(self, entry: Entry) -> None:
        """Forget an entry, whatever it knows."""
        self.found.discard(entry.key)
        self.absent.discard(entry.key)
        self._gone(entry)

    def siblings(self, entry: Entry) -> list[Entry]:
        """Return the other entries of the same session: a refreshed token, or a customer who was a guest."""
        session = entry.session
        keys = () if session is None else self._by_session.get(session.name, ())
        if not keys or keys == (entry.key,) or entry.told_session is None:  # as almost always
            return []
        others = [self.get(key) for key in keys if key != entry.key]
        return [other for other in others if other is not None]

    def with_siblings(self, entry: Entry) -> tuple[Entry, ...]:
        """Return all entries of the session, this one first."""
        return (entry, *self.siblings(entry))

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

    def note_floor(self, names: Iterable[str], identity: str, floor: int) -> None:
        """Remember a floor that is announced of a session: a token may be on its way to be known as one of it."""
        if self._floors is None:
            self._floors = TTLCache(SESSIONS, HEARD_SECONDS, timer=self._clock.monotonic)
        for name in names:
            known, lowest = self._floors.get(name, (identity, -1))
            if not name.startswith(TOKEN_PREFIX) and (known != identity or lowest < floor):
                self._floors[name] = identity, floor

    def recall_floor(self, entry: Entry) -> None:
        """Count what was announced of a session before a token was known to be of it, unless that is known by now."""
        if self._floors is None or entry.proven_session is None:
            return
        identity, floor = self._floors.get(entry.proven_session.name, ("", -1))
        known = entry.consistency
        is_known = known.incarnation is not None and self._keys.incarnation(known.incarnation) == identity
        if floor > (known.floor if is_known else -1):
            entry.learn(known.hinted(identity, floor))

    def __len__(self) -> int:
        return len(self.found)

    def _move(self, entry: Entry, session_id: str, *, proven: bool) -> None:
        known = entry.session
        same = known is not None and known.session_id == session_id
        name = known.name if same and known is not None else self._keys.session(session_id)
        linked = known is not None and known.linked and known.name == name
        if known is not None and known.name != name:
            self._unindex(entry)
            if known.counts:
                entry.learn(entry.consistency.moved(session_id))
        self._join(entry, Membership(session_id, name, proven, linked))

    def _join(self, entry: Entry, session: Membership) -> None:
        entry.joins(session)
        if self._in_reach(entry.key):
            self._index(entry)

    def _index(self, entry: Entry) -> None:
        session = entry.told_session
        if session is None:
            return
        keys = self._by_session.get(session.name, ())
        if entry.key in keys:
            return
        if len(keys) >= MAX_TOKENS:
            keys = tuple(key for key in keys if self._in_reach(key))
        self._by_session[session.name] = (*keys, entry.key)
        if len(keys) >= MAX_TOKENS:
            # Every write has to reach all tokens of the session, and somebody may refresh one on and on.
            oldest = next((other for other in self.siblings(entry) if other.key not in self._pins), None)
            if oldest is not None:
                self.drop(oldest)

    def _gone(self, entry: Entry) -> None:
        # An entry that is too old is evicted late: meanwhile it, or another one of its key, may be in use again.
        held = self.get(entry.key)
        if held is None or held.session is None or entry.session is None or held.session.name != entry.session.name:
            self._unindex(entry)

    def _in_reach(self, key: bytes) -> bool:
        return key in self._pins or key in self.found or key in self.absent

    def _unindex(self, entry: Entry) -> None:
        if entry.session is None:
            return
        left = tuple(key for key in self._by_session.get(entry.session.name, ()) if key != entry.key)
        if left:
            self._by_session[entry.session.name] = left
        else:
            self._by_session.pop(entry.session.name, None)
