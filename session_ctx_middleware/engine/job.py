"""One commit on its way: what it wants, and how it ended."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from ..clock import STEP
from ..errors import ChangeRefused, SessionContextError, TokenRejected
from ..model.changes import NO_CHANGES, ContextChanges
from ..model.document import ContextDocument
from ..tasks import SharedResult
from .entry import NEVER, Entry
from .made import at_first_hand
from .notes import Notes

__all__ = ["Commit", "CommitResult", "Job"]


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
class CommitResult:
    """What became of a commit.

    Args:
        commit: how it ended; `None` where an error says why nothing came of it.
        error: that error.
        attempts: PATCH calls that were made.
        status: HTTP status of Emporix' last answer, where it was not a success.
        told: what the shopper's browser should know of: changes that Emporix has taken or dropped, or that are parked.
        receipts: whether a change of the shopper has been parked.
    """

    commit: Commit | None = None
    error: SessionContextError | None = None
    attempts: int = 0
    status: int | None = None
    told: ContextChanges = NO_CHANGES
    receipts: bool = False

    @property
    def outcome(self) -> str:
        """How it ended, in one word: that of `commit`, ``refused``, or ``failed``."""
        if self.commit is not None:
            return self.commit.value
        return "refused" if self.is_refused else "failed"

    @property
    def is_refused(self) -> bool:
        """Whether Emporix does not want the changes, so that sending them again is no use."""
        return isinstance(self.error, TokenRejected | ChangeRefused)

    @property
    def is_taken(self) -> bool:
        """Whether Emporix has the changes."""
        return self.commit in {Commit.APPLIED, Commit.ALREADY}


@dataclass(frozen=True, slots=True, repr=False)
class Along:
    """What a job sends besides its own changes.

    Args:
        changes: what was parked.
        stored: the ids of those that the store had.
        receipts: whether the browser brought a change that waits, or that another context has taken; or may do so yet.
    """

    changes: ContextChanges = NO_CHANGES
    stored: frozenset[str] = frozenset()
    receipts: bool = False


NOTHING_ALONG: Final = Along()


@dataclass(slots=True, repr=False, eq=False)
class Job:
    """Changes of one request, sent by a task of their own so that a client that leaves does not stop them.

    Args:
        entry: whose context.
        token: with which token.
        own: what the request wants.
        until: monotonic seconds; after that nothing new is begun.
        parks: whether the job itself parks what cannot be sent, because nobody else will.
        era: the entry's era when the job began; what was forgotten since must not come back.
        notes: what the shopper's browser brought along.
        void: receipts that do not count, where the own changes are from before a login, which writes a customer's
            preferences over them; `None` where they are not.
        along: what waited for Emporix when the job was first sent, and goes along.
        attempts: PATCH calls made so far.
        status: HTTP status of Emporix' last answer, where it was not a success.
        done: the changes that Emporix has taken, or dropped.
        parking: whether the own changes have been parked; `None` while nobody has begun to.
        result: what became of it, for the request that waits.
    """

    entry: Entry
    token: str
    own: ContextChanges
    until: float
    parks: bool
    era: int
    notes: Notes | None = None
    void: Mapping[str, float] | None = None
    along: Along = NOTHING_ALONG
    attempts: int = 0
    status: int | None = None
    done: ContextChanges = NO_CHANGES
    parking: SharedResult[Commit] | None = None
    result: SharedResult[CommitResult] = field(default_factory=SharedResult)

    @property
    def changes(self) -> ContextChanges:
        """What is to be sent: this request's changes and the parked ones, the later of each field, if not too late."""
        taken = at_first_hand(self.entry.consistency.taken)
        return self.own.newest(self.parked).minus(taken if self.void is None else taken.with_versions())

    @property
    def parked(self) -> ContextChanges:
        """What waited for Emporix when the job was first sent."""
        return self.along.changes

    @property
    def taken(self) -> ContextChanges:
        """What Emporix has in the fields of this job: its own changes, or later ones that have come before them."""
        return at_first_hand(self.entry.consistency.taken).in_place_of(self.own).newest(self.done)

    @property
    def leaves_receipts(self) -> bool:
        """Whether a change of the shopper has been parked, so that what is sent leaves receipts."""
        if self.void is not None:
            return True  # they may not be sent over what another page chooses at this moment
        brought = self.along.receipts or (self.notes is not None and self.notes.receipts)
        return brought or bool(self.parked.operations or self.entry.snapshot.parked.operations)

    @property
    def is_forgotten(self) -> bool:
        """Whether the shopper has logged out since."""
        return self.entry.fence.era != self.era

    def abandon(self) -> None:
        """Note that nobody waits for the result any more: the job itself parks what it cannot send."""
        self.parks = True

    def counting(self, received: Mapping[str, float]) -> Mapping[str, float]:
        """Return the receipts that tell of later changes.

        What another page has chosen while the login was on its way is known by its receipt alone, and the login may
        have written over it. An older receipt in its place has the browser, which knows it, bring it once more.
        """
        void = self.void
        return {path: at for path, at in received.items() if void.get(path) != at} if void else received

    def begins_at(self, document: ContextDocument) -> None:
        """Note the document that the first attempt is made against."""
        if self.void is not None and self.notes is not None:
            self.void = {path: at for path, at in document.receipts.items() if path in self.own}

    def takes_along(self, along: Along) -> None:
        """Send parked changes, too."""
        self.along = along

    def leaves_out(self, op_ids: frozenset[str]) -> None:
        """Send parked changes no more that somebody else has sent, or replaced."""
        self.along = replace(self.along, changes=self.parked.without(op_ids))

    def leaves_parked(self) -> ContextChanges:
        """Send the own changes alone from now on.

        Returns:
            What was parked and has been sent along; nothing where the own changes have been alone already, or there are
            none.
        """
        along = self.parked.without(self.own.ids)
        sent = along.only(self.changes.ids)
        if not self.own or not sent:
            return NO_CHANGES
        self.along = replace(self.along, changes=NO_CHANGES)
        return sent

    def begins_attempt(self) -> None:
        """Count a PATCH call."""
        self.attempts += 1

    def answered(self, status: int | None) -> None:
        """Note the status of Emporix' answer, `None` for a success or where there was none."""
        self.status = status

    def raises(self, stamps: Mapping[str, float]) -> None:
        """Give the own changes timestamps above those of their fields in `stamps`, while nobody has been told of them.

        What is from before a login has its own. What has been sent or parked keeps it: later changes may know it.
        """
        if self.void is None and self.parking is None and not self.attempts:
            self.own = self.own.above(stamps, STEP)

    def was_recorded_after(self, moment: float) -> bool:
        """Tell whether the own changes are from after a moment (monotonic); not where only another host has told it."""
        return NEVER < moment <= min((each.recorded for each in self.own.operations.values()), default=NEVER)

    def is_done(self, changes: ContextChanges) -> None:
        """Note changes that Emporix has taken, or dropped."""
        self.done = changes.newest(self.done)

    def begins_parking(self) -> SharedResult[Commit]:
        """Return what is to be resolved once the own changes are parked."""
        self.parking = SharedResult()
        return self.parking

    def counts_as_parked(self) -> None:
        """Note that there may be parked changes which the job has to unpark once it is taken."""
        if self.parking is None:
            self.begins_parking().resolve(Commit.PARKED)
