"""All slots of one event loop, bounded in number and age."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from ..clock import Clock
from .bounded import Bounded
from .identity import Naming
from .slot import Slot

__all__ = ["SlotTable"]

MAX_TOKENS: Final = 32
TOKEN_PREFIX: Final = "token-"  # noqa: S105 - a prefix of names


class SlotTable:
    """Finds the slot of a key.

    Documents and everything else (missing, refused, failed) are kept apart, so that garbage tokens never push out
    a good entry. A slot in use (`pin`) stays reachable even when its cache drops it: two slots of one key would
    not see each other's writes.

    Args:
        max_entries: slots with a document, and as many without.
        naming: names for sessions.
        clock: where time comes from.
    """

    def __init__(self, max_entries: int, naming: Naming, clock: Clock) -> None:
        self._naming = naming
        self.found = Bounded(max_entries, clock, self._gone)
        self.absent = Bounded(max_entries, clock, self._gone)
        self._busy: dict[bytes, Slot] = {}
        self._by_session: dict[str, tuple[bytes, ...]] = {}

    def get(self, key: bytes) -> Slot | None:
        """Return the slot of a key, ``None`` where nothing is known."""
        return self.found.get(key) or self.absent.get(key) or self._busy.get(key)

    def find(self, key: bytes) -> Slot | None:
        """Return the slot of a key, which may be out of date: what a hit needs, at the least cost."""
        return self.found.find(key) or self.absent.find(key)

    def obtain(self, key: bytes, session_id: str | None) -> Slot:
        """Return the slot of a key, a new one where nothing is known."""
        slot = self.get(key) or Slot(key)
        if session_id is not None and slot.session_id is None:
            self._move(slot, session_id)
        return slot

    def learn(self, slot: Slot, session_id: str | None) -> None:
        """Note to which session a slot belongs, as an authenticated answer has told."""
        if session_id is None:
            return
        if session_id != slot.session_id:
            self._move(slot, session_id)
        slot.proven = True
        for sibling in self.siblings(slot):
            if sibling.proven:
                slot.learn(sibling)

    def _move(self, slot: Slot, session_id: str) -> None:
        self._unindex(slot)
        slot.session_id = session_id
        slot.session = self._naming.session(session_id)
        slot.proven = False
        if self._in_reach(slot.key):
            self._index(slot)

    def pin(self, slot: Slot) -> None:
        """Keep a slot reachable until it is unpinned as often."""
        slot.pins += 1
        self._busy[slot.key] = slot
        self._index(slot)

    def unpin(self, slot: Slot) -> None:
        """Undo one `pin`."""
        slot.pins -= 1
        if not slot.pins:
            self._busy.pop(slot.key, None)
            self._gone(slot)

    def keep(self, slot: Slot) -> None:
        """File a slot by what it now knows, and for as long as that is of use."""
        if slot.snapshot.document is not None:
            self.absent.discard(slot.key)
            self.found.put(slot, max(slot.stale_until, slot.error_until))
        else:
            self.found.discard(slot.key)
            self.absent.put(slot, max(slot.fresh_until, slot.next_attempt, slot.kept_until))
        if self._in_reach(slot.key):
            self._index(slot)
        else:
            self._gone(slot)

    def drop(self, slot: Slot) -> None:
        """Forget a slot, whatever it knows."""
        self.found.discard(slot.key)
        self.absent.discard(slot.key)
        self._gone(slot)

    def siblings(self, slot: Slot) -> Iterator[Slot]:
        """Yield the other slots of the same session: a refreshed token, or a customer who was a guest."""
        if slot.session is None:
            return
        for key in self._by_session.get(slot.session, ()):
            other = None if key == slot.key else self.get(key)
            if other is not None:
                yield other

    def named(self, names: Iterable[str]) -> list[Slot]:
        """Return the slots that names of tokens and sessions stand for."""
        keys: dict[bytes, None] = {}
        for name in names:
            if name in self._by_session:
                keys |= dict.fromkeys(self._by_session[name])
            elif name.startswith(TOKEN_PREFIX):
                with suppress(ValueError):  # names come from other processes, too
                    keys[bytes.fromhex(name.removeprefix(TOKEN_PREFIX))] = None
        return [slot for slot in map(self.get, keys) if slot is not None]

    def __len__(self) -> int:
        return len(self.found)

    def _index(self, slot: Slot) -> None:
        if slot.session is None:
            return
        keys = self._by_session.get(slot.session, ())
        if slot.key in keys:
            return
        if len(keys) >= MAX_TOKENS:
            keys = tuple(key for key in keys if self._in_reach(key))
        self._by_session[slot.session] = (*keys, slot.key)
        if len(keys) >= MAX_TOKENS:
            # Every write has to reach all tokens of the session, and somebody may refresh one on and on.
            oldest = next((other for other in self.siblings(slot) if not other.pins), None)
            if oldest is not None:
                self.drop(oldest)

    def _gone(self, slot: Slot) -> None:
        # An expired item is reported late: meanwhile its slot, or another one of its key, may be in use again.
        held = self.get(slot.key)
        if held is None or held.session != slot.session:
            self._unindex(slot)

    def _in_reach(self, key: bytes) -> bool:
        return key in self._busy or key in self.found or key in self.absent

    def _unindex(self, slot: Slot) -> None:
        if slot.session is None:
            return
        left = tuple(key for key in self._by_session.get(slot.session, ()) if key != slot.key)
        if left:
            self._by_session[slot.session] = left
        else:
            self._by_session.pop(slot.session, None)
