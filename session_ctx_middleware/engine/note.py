"""What a browser carries from one worker to the next."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..model.changes import NO_CHANGES, ContextChanges

__all__ = ["ForeignPending", "Note"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ForeignPending:
    """Attributes that Emporix could not take yet, and that are not for the session a browser is in now.

    Args:
        token: fingerprint of the token that they were made with.
        session: fingerprint of its session, empty where nobody knows yet which one that is.
        changes: the attributes.
    """

    token: str
    session: str
    changes: ContextChanges


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Note:
    """What one worker lets the next one know, by way of the shopper's own browser.

    Args:
        token: fingerprint of the token that it was made for.
        session: fingerprint of its session, empty where that was not known.
        identity: which context `floor` is of.
        floor: the lowest version that the shopper may still be shown; below 0 for none.
        settled: what Emporix took last of each field: for showing it over a document that is older.
        since: the lowest version of a document over which `settled` shows all that the shopper has chosen.
        parked: changes that Emporix could not take yet.
        apart: what waits for other tokens.
        borrower: fingerprint of the token at hand where it is one of those; this is not carried.
        issued: seconds since the epoch.
    """

    token: str
    session: str = ""
    identity: str = ""
    floor: int = -1
    settled: ContextChanges = NO_CHANGES
    since: int = 0
    parked: ContextChanges = NO_CHANGES
    apart: tuple[ForeignPending, ...] = ()
    borrower: str = ""
    issued: float = 0.0

    def __bool__(self) -> bool:
        return self.floor >= 0 or bool(self.settled) or self.waits

    @property
    def waits(self) -> bool:
        """Whether there are changes that Emporix could not take yet."""
        return bool(self.parked.operations or self.apart)

    @property
    def waiting(self) -> frozenset[str]:
        """The ids of all changes that Emporix could not take yet."""
        return self.parked.ids.union(*(each.changes.ids for each in self.apart))

    @property
    def newest_at(self) -> float:
        """When the last of all these changes was recorded, in seconds since the epoch; 0 where there is none."""
        every = (self.settled, self.parked, *(each.changes for each in self.apart))
        return max(changes.newest_at for changes in every)

    def says(self) -> tuple[object, ...]:
        """Return all that counts when two of them are compared: everything but when they were issued."""
        return (
            self.token,
            self.session,
            self.identity,
            self.floor,
            self.settled.ids,
            self.parked.ids,
            {(each.token, each.session): each.changes.ids for each in self.apart},
        )

    def without_settled_attributes(self) -> Note:
        """Return as much as is needed to tell which documents are too old, for want of room."""
        kept = self.settled.switches()
        gone = max((op.taken for path, op in self.settled.operations.items() if path not in kept), default=-1)
        return replace(self, settled=kept, since=max(self.since, gone))

    def without_own_attributes(self) -> Note:
        """Return the same without the attributes that wait for the token at hand."""
        if not self.borrower:
            return replace(self, parked=self.parked.switches())
        return replace(self, apart=tuple(each for each in self.apart if each.token != self.borrower))

    def without_waiting_attributes(self) -> Note:
        """Return the same without any attributes that wait."""
        return replace(self, parked=self.parked.switches(), apart=())
