"""What the notes of one request say, and what its response has the browser keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .compaction import Held
from .engine import Noted, Notes

__all__ = ["NOTHING", "Found", "Written"]


@dataclass(frozen=True, slots=True, repr=False)
class Found:
    """What was in the request.

    Args:
        notes: what all notes say together, `None` where there is none that can be believed.
        brought: those of them that say anything which the others do not, the highest first (`compaction.needed`).
        useless: the names of the cookies that can go: the other notes, and what is not believed.
        ignored: why one of those is not believed; empty where there is none.
        until: until when this may be used again for the same header, in seconds since the epoch.
        is_tidy: whether the browser may keep what it brought as it is.
    """

    notes: Notes | None = None
    brought: tuple[Held, ...] = ()
    useless: tuple[bytes, ...] = ()
    ignored: str = ""
    until: float = float("inf")
    is_tidy: bool = True

    @property
    def names(self) -> tuple[bytes, ...]:
        """The names of all cookies that were looked at."""
        return *self.useless, *self.sizes

    @property
    def sizes(self) -> dict[bytes, int]:
        """The names of the cookies that are needed, and how many bytes each takes."""
        return {each.name: each.size for each in self.brought}


@dataclass(frozen=True, slots=True, repr=False)
class Written:
    """Cookies on their way to the browser.

    Args:
        headers: the values of ``Set-Cookie``.
        left_out: parked changes for which there was no room.
    """

    headers: tuple[bytes, ...]
    left_out: tuple[Noted, ...] = ()


NOTHING: Final = Found()
