"""One commit on its way: what it wants, and how it ended."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass, field

from ..errors import SessionContextError
from ..model.changes import NO_CHANGES, ContextChanges
from .entry import Entry
from .note import Note

__all__ = ["Commit", "Job", "Settled"]


class Commit(enum.Enum):
    """How a commit ended."""

    NOTHING = "nothing"
    """There was nothing to send."""
    APPLIED = "applied"
    """Emporix took the changes."""
    ALREADY = "already"
    """Emporix had it so: a document fetched after the changes were recorded shows them."""
    PARKED = "parked"
    """Emporix cannot take the changes yet; they are kept, and shown, until it can."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The end of a commit: what became of the changes, or the error that says why nothing did."""

    commit: Commit | None = None
    error: SessionContextError | None = None
    attempts: int = 0
    status: int | None = None


@dataclass(slots=True, repr=False, eq=False)
class Job:
    """Changes of one request, sent by a task of their own so that a client that leaves does not stop them.

    Args:
        entry: whose context.
        token: with which token.
        own: what the request wants.
        until: monotonic seconds; after that nothing new is begun.
        parks: whether the job itself parks what cannot be sent, because nobody else will.
        epoch: the entry's epoch when the job began; what is forgotten since must not come back.
        carried: what the shopper's browser brought along.
        parked: what waited for Emporix when the job was first sent, and goes along.
        stored: the ids of those of them that the store had.
        version: the version of the context in which Emporix has the changes.
    """

    entry: Entry
    token: str
    own: ContextChanges
    until: float
    parks: bool
    epoch: int
    carried: Note | None = None
    parked: ContextChanges = NO_CHANGES
    stored: frozenset[str] = frozenset()
    attempts: int = 0
    status: int | None = None
    version: int = -1
    kept: bool = False
    keeping: asyncio.Future[None] | None = field(default=None)
    settled: Settled | None = None
    waiter: asyncio.Future[Settled | None] | None = field(default=None)

    @property
    def changes(self) -> ContextChanges:
        """What is to be sent: this request's changes and the parked ones, the later of each field, if not too late."""
        return self.own.newest(self.parked).minus(self.entry.settled)

    def settle(self, settled: Settled) -> None:
        """Tell the request, if it still waits."""
        self.settled = settled
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(settled)
