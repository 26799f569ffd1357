"""Documents and their floors by name, in the memory of this process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachetools import TLRUCache

from ..clock import Clock
from ..model.document import ContextDocument
from .protocol import Stored

__all__ = ["Documents"]


@dataclass(slots=True, repr=False)
class _Entry:
    """What is known under one name; all times are monotonic seconds.

    Args:
        identity: which context the document and the floor are of.
        until: when everything here is forgotten.
        floor: the minimum version; -1 where there is none.
        document: what somebody read.
        asked_at: when Emporix was asked for it.
        document_until: when it is forgotten.
        session: the name of the session that it is of.
    """

    identity: str
    until: float
    floor: int = -1
    document: ContextDocument | None = None
    asked_at: float = 0.0
    document_until: float = 0.0
    session: str = ""

    def raise_floor(self, floor: int, until: float) -> None:
        """Drop earlier versions until `until`, in monotonic seconds; neither of the two ever falls."""
        self.floor = max(self.floor, floor)
        self.until = max(self.until, until)
        if self.document is not None and self.document.version < self.floor:
            self.document = None

    def forget_document(self) -> None:
        """Drop the document; the floor stays."""
        self.document = None


if TYPE_CHECKING:
    _Cache = TLRUCache[str, _Entry]
else:
    _Cache = TLRUCache


class Documents:
    """Documents and floors by name; what `ContextStore` asks of them, without the I/O.

    Args:
        max_entries: names; the least recently used one goes first.
        clock: where time comes from.
    """

    def __init__(self, max_entries: int, clock: Clock) -> None:
        self._entries = _Cache(max_entries, lambda _name, entry, _now: entry.until, timer=clock.monotonic)
        self._now = clock.monotonic
        self._lock = threading.Lock()

    def load(self, name: str) -> tuple[Stored, str] | None:
        """Return what is kept under a name, and the name of the session that its document is of."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is None:
                return None
            now = self._now()
            if entry.document is None or entry.document_until <= now:
                return (Stored(identity=entry.identity, floor=entry.floor), "") if entry.floor >= 0 else None
            age = max(0.0, now - entry.asked_at)
            return Stored(entry.document, age, entry.identity, entry.floor), entry.session

    def save(
        self, name: str, document: ContextDocument, identity: str, *, age: float, lifetime: float, session: str
    ) -> None:
        """Keep a document unless what is kept shows that it is out of date."""
        with self._lock:
            now = self._now()
            old = self._entries.get(name)
            floor, until = -1, now + lifetime
            if old is not None and old.identity == identity:
                if old.floor > document.version or _is_later(old, document, now - age):
                    return
                floor, until = old.floor, max(until, old.until)
            self._entries[name] = _Entry(identity, until, floor, document, now - age, now + lifetime, session)

    def invalidate(self, names: Sequence[str], identity: str, floor: int, lifetime: float) -> None:
        """Raise the floor under all of `names`, and drop documents below it."""
        with self._lock:
            until = self._now() + lifetime
            for name in names:
                entry = self._entries.get(name)
                if entry is None or entry.identity != identity:
                    entry = _Entry(identity, until)
                entry.raise_floor(floor, until)
                self._entries[name] = entry  # filed anew: its end may have moved

    def forget(self, names: Sequence[str]) -> None:
        """Drop the documents under `names`; floors stay, so that a slow worker does not bring one back."""
        with self._lock:
            for name in names:
                entry = self._entries.get(name)
                if entry is not None:
                    entry.forget_document()


def _is_later(old: _Entry, document: ContextDocument, asked_at: float) -> bool:
    """Tell whether what is kept is a later version, or the same one from a later GET."""
    return old.document is not None and (old.document.version, old.asked_at) > (document.version, asked_at)
