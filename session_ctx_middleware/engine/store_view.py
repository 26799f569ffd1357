"""How far an entry has kept up with the store, and what of it is not to be believed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from .required import LAG

__all__ = ["StoreView"]

NEVER: Final = float("-inf")
RETIRE_EVERY: Final = 10.0
"""Seconds between two announcements of another context that hide the known one."""


@dataclass(frozen=True, slots=True, repr=False)
class Doubts:
    """What is not to be believed of a token's context: anybody may have written it into a store, and a replica may lag.

    Args:
        disproved: see `StoreView.disproved`.
        retired_at: when an announcement of another context has hidden the known one, in monotonic seconds.
        lower: the version of the known context that was announced last, where that is below the known floor; else -1.
        missed_at: when Emporix had no context, though there had been one a moment before, in monotonic seconds.
    """

    disproved: tuple[str, int] = ("", -1)
    retired_at: float = NEVER
    lower: int = -1
    missed_at: float = NEVER


NO_DOUBTS: Final = Doubts()


class StoreView:
    """How far an entry has kept up with the store.

    Attributes:
        epoch: the store's epoch (`Attachment.epoch`) in which the entry was compared with it last.
        news: how often others have changed what is parked.
        looked: that number when the store was asked last.
        looked_under: the session under whose name it was asked as well: empty for none, `None` when it never was.
        linked: the name of the token's session as the store has it: an index, where Emporix has not told here.
    """

    __slots__ = ("_doubts", "epoch", "linked", "looked", "looked_under", "news")

    def __init__(self) -> None:
        self.epoch = self.news = self.looked = 0
        self.looked_under: str | None = None
        self.linked = ""
        self._doubts = NO_DOUBTS  # most entries share it

    @property
    def disproved(self) -> tuple[str, int]:
        """Fingerprint of a context, and a version that was announced of it and that Emporix did not have in time."""
        return self._doubts.disproved

    def disproves(self, fingerprint: str, version: int) -> None:
        """Note that Emporix does not have a version of a context, though it was given the time."""
        self._doubts = replace(self._doubts, disproved=(fingerprint, version))

    def believes(self, fingerprint: str, version: int) -> bool:
        """Tell whether a version that the store keeps of a context may be more than one that was disproved."""
        disproved, highest = self.disproved
        return fingerprint != disproved or version > highest

    @property
    def lower(self) -> int:
        """The version that was announced last, where that is below the floor; else -1."""
        return self._doubts.lower

    def hears(self, lower: int) -> None:
        """Note such a version: it comes late, or there is no later one any more, which is said right after it."""
        if lower != self._doubts.lower:
            self._doubts = replace(self._doubts, lower=lower)

    def may_retire(self, now: float) -> bool:
        """Tell whether an announcement of another context may hide the known one; not again and again.

        Args:
            now: monotonic seconds.
        """
        if now - self._doubts.retired_at < RETIRE_EVERY:
            return False
        self._doubts = replace(self._doubts, retired_at=now)
        return True

    def may_ask_once_more(self, now: float) -> bool:
        """Tell whether Emporix may be asked twice whether there is no context; not again and again.

        Args:
            now: monotonic seconds.
        """
        if now - self._doubts.missed_at < LAG:
            return False
        self._doubts = replace(self._doubts, missed_at=now)
        return True

    def caught_up(self, epoch: int) -> None:
        """Note the epoch in which the entry was compared with the store, which may have lost what it had."""
        self.epoch, self.linked = epoch, ""

    def parked_changed(self) -> None:
        """Note that others have changed what is parked."""
        self.news += 1

    def has_looked(self, news: int, under: str | None) -> None:
        """Note that the store was asked what is parked, at that number of news, also under a session's name."""
        self.looked, self.looked_under = news, under

    def is_linked(self, session: str) -> None:
        """Note the session with which the store has linked the token; empty for none."""
        self.linked = session

    def look_again(self) -> None:
        """Have the next reader ask the store what is parked."""
        self.looked_under = None
