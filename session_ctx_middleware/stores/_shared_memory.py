"""What several `MemoryStore` objects, or several event loops, share within one process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from cachetools import TLRUCache

from ..clock import Clock
from ..document import ContextDocument
from .protocol import Attachment, Listener, Notice, Stored

__all__ = ["Audience", "Documents"]


@dataclass(slots=True, repr=False)
class _Entry:
    """What is known under one name; all times are monotonic seconds.

    Args:
        identity: which context the document and the floor are of.
        until: when everything here is forgotten.
        floor: the lowest version that may be believed.
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
        self, name: str, document: ContextDocument, identity: str, age: float, lifetime: float, session: str
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
                entry.floor = max(entry.floor, floor)
                entry.until = max(entry.until, until)
                if entry.document is not None and entry.document.version < entry.floor:
                    entry.document = None
                self._entries[name] = entry

    def forget(self, names: Sequence[str]) -> None:
        """Drop the documents under `names`; floors stay, so that a slow worker does not bring one back."""
        with self._lock:
            for name in names:
                entry = self._entries.get(name)
                if entry is not None:
                    entry.document = None


def _is_later(old: _Entry, document: ContextDocument, asked_at: float) -> bool:
    """Tell whether what is kept is a later version, or a later look at the same one."""
    return old.document is not None and (old.document.version, old.asked_at) > (document.version, asked_at)


@dataclass(slots=True, eq=False, repr=False)
class _Seat:
    """One event loop that listens through one store object."""

    listeners: list[Listener]
    attachment: Attachment


class Audience:
    """Passes on what one store object does to everybody else who shares its memory."""

    def __init__(self) -> None:
        self._members: WeakKeyDictionary[Member, None] = WeakKeyDictionary()  # in the order in which they came
        self._lock = threading.Lock()

    def join(self) -> Member:
        """Return a place for one store object."""
        member = Member(self)
        with self._lock:
            self._members[member] = None
        return member

    def members(self) -> list[Member]:
        """Return the places of all store objects."""
        with self._lock:
            return list(self._members)


class Member:
    """One store object's place in an `Audience`."""

    def __init__(self, audience: Audience) -> None:
        self._audience = audience
        self._seats: WeakKeyDictionary[asyncio.AbstractEventLoop, _Seat] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def attach(self, listener: Listener) -> Attachment:
        """Let a listener hear, on the running event loop, what is not done here."""
        loop = asyncio.get_running_loop()
        with self._lock:
            # A listener keeps its loop alive, so a closed loop does not go by itself.
            for closed in [each for each in self._seats if each.is_closed()]:
                del self._seats[closed]
            seat = self._seats.setdefault(loop, _Seat([], Attachment()))
            seat.listeners.append(listener)
            return seat.attachment

    def tell(self, notice: Notice) -> None:
        """Tell every listener of other store objects, and of other event loops of this one."""
        here = asyncio.get_running_loop()
        for member in self._audience.members():
            for loop, seat in member.seats():
                if member is self and loop is here:
                    continue
                for listener in seat.listeners:
                    _call(loop, listener, notice, here=loop is here)

    def seats(self) -> list[tuple[asyncio.AbstractEventLoop, _Seat]]:
        """Return who listens here."""
        with self._lock:
            return list(self._seats.items())


def _call(loop: asyncio.AbstractEventLoop, listener: Listener, notice: Notice, *, here: bool) -> None:
    # Later, even on this very loop: the other engine may be in the middle of something.
    call = loop.call_soon if here else loop.call_soon_threadsafe
    try:
        call(listener, notice)
    except RuntimeError:
        # Closed: nobody reads what that loop knew.
        return
