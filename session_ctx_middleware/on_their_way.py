"""What this process has sent to browsers, and what no request has brought back yet.

Requests that overlap bring the same notes, and know nothing of each other: together, what they have to tell would take
more room than each of them sees. Other workers may be sending as much.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from threading import Lock
from typing import Final

from cachetools import TTLCache

from .clock import Clock
from .compaction import LIGHT, is_heavy
from .engine import Notes, join

__all__ = ["OnTheirWay"]

TOKENS: Final = 10_000
SECONDS: Final = 10.0
"""For which a note may be on its way to a browser, and come back."""
SOON: Final = 2.0
"""Seconds after which a note has most likely arrived, or been lost.

A joined one is written once more then, as another one, and what a single one has told is told once more no longer:
with clocks that are wrong, it could come back in the place of what was chosen since.
"""
ELSEWHERE: Final = 3
"""Times what this process has sent: others may have sent as much."""
FEW: Final = 4
"""Light notes that may be on their way to one browser before the next one says what they say, too."""
REMEMBERED: Final = 16
"""Of one browser, the latest."""


@dataclass(frozen=True, slots=True, repr=False)
class _Sent:
    """A note that went out.

    Args:
        notes: what it says.
        size: bytes of its cookie.
        at: when, in monotonic seconds.
        gathered: the names of those that say nothing more.
        is_gathered: whether there is a later one beside which it says nothing more.
    """

    notes: Notes
    size: int
    at: float
    gathered: tuple[bytes, ...] = ()
    is_gathered: bool = False


class OnTheirWay:
    """Notes that go to browsers.

    Args:
        clock: where time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sent: TTLCache[str, dict[bytes, _Sent]] = TTLCache(TOKENS, SECONDS, timer=clock.monotonic)
        self._joined: TTLCache[str, bytes] = TTLCache(TOKENS, SOON, timer=clock.monotonic)
        self._lock = Lock()  # event loops of several threads share it

    def size(self, token: str, here: Collection[bytes], gathered: Collection[bytes] = ()) -> int:
        """Return the bytes that notes with attributes may take which are on their way to a browser.

        Args:
            token: the fingerprint of its token.
            here: the names of the notes that it has brought.
            gathered: the names of those that are told once more.
        """
        others = (sent for name, sent in self._to(token, here).items() if name not in gathered)
        return ELSEWHERE * sum(sent.size for sent in others if _has_heavy(sent.notes))

    def gathered(
        self, token: str, own: Notes, here: Collection[bytes], size: Callable[[Notes], int]
    ) -> tuple[Notes, tuple[bytes, ...]]:
        """Return what a response has to tell, and the names of earlier notes that say nothing more, the latest first.

        There are such notes where many are on their way to one browser: what they say is told once more, so that they
        can be cleared, in whatever order they arrive.

        Args:
            token: the fingerprint of the browser's token.
            own: what the response itself has to tell.
            here: the names of the notes that the browser has brought.
            size: tells how many bytes the cookie of a note takes.
        """
        since = self._clock.monotonic() - SOON
        light = {
            name: sent
            for name, sent in self._to(token, here).items()
            if sent.at > since and sent.size <= LIGHT and sent.notes.era == own.era and not sent.is_gathered
        }
        if sum(1 + len(sent.gathered) for sent in light.values()) < FEW:
            return own, ()
        whole, told = own, list[bytes]()
        for name, sent in reversed(light.items()):
            more = join((whole, sent.notes))
            if size(more) <= LIGHT:  # what is heavier would neither be told once more nor joined with others
                whole = more
                told += [name, *sent.gathered]
        # Of two that say the same, who has both could clear this one for the sake of the other, which is to go.
        if any(whole.says_the_same_as(sent.notes) for sent in light.values()):
            return own, ()
        return whole, tuple(told)

    def sends(self, token: str, name: bytes, notes: Notes, size: int, gathered: tuple[bytes, ...] = ()) -> None:
        """Remember a note that goes out.

        Args:
            token: the fingerprint of the browser's token; for visitors without one nothing is remembered.
            name: of the cookie.
            notes: what it says.
            size: bytes of the cookie.
            gathered: the names of earlier ones that say nothing more.
        """
        if not token:
            return
        with self._lock:
            latest = [*self._sent.get(token, {}).items()][1 - REMEMBERED :]
            sent = {each: replace(one, is_gathered=one.is_gathered or each in gathered) for each, one in latest}
            sent[name] = _Sent(notes, size, self._clock.monotonic(), gathered[:REMEMBERED])
            self._sent[token] = sent

    def joins(self, token: str, name: bytes, here: Collection[bytes]) -> bool:
        """Tell whether a joined note may go out, and remember it: not while another one may be on its way.

        Args:
            token: the fingerprint of the browser's token; for visitors without one nothing is remembered.
            name: of the cookie; overlapping answers that join the same notes write one and the same.
            here: the names of the notes that the browser has brought.
        """
        if not token:
            return True
        with self._lock:
            other = self._joined.get(token, name)
            if other != name and other not in here:
                return False
            self._joined[token] = name
        return True

    def _to(self, token: str, here: Collection[bytes]) -> dict[bytes, _Sent]:
        """Return what may be on its way to a browser, and forget what is not any more."""
        with self._lock:
            sent = self._sent.get(token)
            if sent is None:
                return {}
            since = self._clock.monotonic() - SECONDS
            left = {name: each for name, each in sent.items() if each.at > since and name not in here}
            self._sent[token] = left
        return left


def _has_heavy(notes: Notes) -> bool:
    return any(is_heavy(each) for each in notes.operations)
