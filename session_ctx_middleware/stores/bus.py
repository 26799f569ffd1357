"""Telling the stores of one process, and their event loops, what one of them did."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from .protocol import Attachment, Listener, Notice

__all__ = ["Audience", "Member"]


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
