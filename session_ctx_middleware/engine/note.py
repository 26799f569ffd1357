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
        incarnation: which context `floor` is of.
        floor: the lowest version that the shopper may still be shown; below 0 for none.
        taken: what Emporix took last of each field: for showing it over a document that is older.
        complete_from: the lowest version of a document over which `taken` shows all that the shopper has chosen.
        parked: changes that Emporix could not take yet.
        foreign: parked changes of other tokens.
        on_behalf_of: fingerprint of the token at hand where it is one of those; this is not written.
        issued: seconds since the epoch.
    """

    token: str
    session: str = ""
    incarnation: str = ""
    floor: int = -1
    taken: ContextChanges = NO_CHANGES
    complete_from: int = 0
    parked: ContextChanges = NO_CHANGES
    foreign: tuple[ForeignPending, ...] = ()
    on_behalf_of: str = ""
    issued: float = 0.0

    def __bool__(self) -> bool:
        return self.floor >= 0 or bool(self.taken) or self.has_parked

    @property
    def has_parked(self) -> bool:
        """Whether there are changes that Emporix could not take yet."""
        return bool(self.parked.operations or self.foreign)

    @property
    def parked_ids(self) -> frozenset[str]:
        """The ids of all changes that Emporix could not take yet."""
        return self.parked.ids.union(*(each.changes.ids for each in self.foreign))

    @property
    def newest_at(self) -> float:
        """When the last of all these changes was recorded, in seconds since the epoch; 0 where there is none."""
        every = (self.taken, self.parked, *(each.changes for each in self.foreign))
        return max(changes.newest_at for changes in every)

    def says(self) -> tuple[object, ...]:
        """Return all that counts when two of them are compared: everything but when they were issued."""
        return (
            self.token,
            self.session,
            self.incarnation,
            self.floor,
            self.taken.ids,
            self.parked.ids,
            {(each.token, each.session): each.changes.ids for each in self.foreign},
        )

    def without_taken_attributes(self) -> Note:
        """Return as much as is needed to tell which documents are too old, for want of room."""
        kept = self.taken.switches()
        gone = max((op.taken for path, op in self.taken.operations.items() if path not in kept), default=-1)
        return replace(self, taken=kept, complete_from=max(self.complete_from, gone))

    def without_own_attributes(self) -> Note:
        """Return the same without the attributes that wait for the token at hand."""
        if not self.on_behalf_of:
            return replace(self, parked=self.parked.switches())
        return replace(self, foreign=tuple(each for each in self.foreign if each.token != self.on_behalf_of))

    def without_parked_attributes(self) -> Note:
        """Return the same without any attributes that wait."""
        return replace(self, parked=self.parked.switches(), foreign=())
