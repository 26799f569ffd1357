"""What a shopper's browser carries from one response to the next requests, whichever workers serve them.

Browsers keep the last cookie of a name, and answers arrive in any order. So a response never overwrites what another
one had to tell: it adds a note, and a request joins all notes that it brings. Joining commutes and repeats without
harm, as in a state-based CRDT (Shapiro et al. 2011), so no order of requests and answers loses anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ..model.changes import NO_CHANGES, ContextChanges
from ..model.fields import SWITCHES
from ..model.operation import Operation, Taken, later
from .made import DISPUTED_SECONDS, Made, disputes, has_made, made_by

__all__ = ["END_SECONDS", "NOTE_SECONDS", "NO_LOGIN", "Floor", "Login", "Noted", "Notes", "join", "joined_start"]

NOTE_SECONDS: Final = 24 * 3600.0
"""Seconds for which a change is kept in notes, counted from when it was made."""
END_SECONDS: Final = 48 * 3600.0
"""Seconds for which it is kept that the shopper has logged out: longer than any note that was written before."""


@dataclass(frozen=True, slots=True, repr=False)
class Noted:
    """One change, and whose it is.

    Args:
        path: of the field.
        operation: the change.
        token: the fingerprint of the token that it was made with; empty for a visitor without one.
        session: the fingerprint of its session; empty where nobody knew it.
        proven: whether an answer of Emporix has told that the token is of that session.
    """

    path: str
    operation: Operation
    token: str = ""
    session: str = ""
    proven: bool = False

    @property
    def slot(self) -> tuple[str, str]:
        """What of two changes only the later one of counts: switches go along with the shopper, attributes do not."""
        return self.path, "" if self.path in SWITCHES else self.session or self.token

    @property
    def is_outline(self) -> bool:
        """Whether it only tells that Emporix has taken a change of this field, and not which."""
        return self.operation.is_outline


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Login:
    """A login that has gone on with a session: Emporix may have written over what was chosen there.

    Args:
        version: of the context; what Emporix took before it may have been written over. 0 where nobody has logged in.
        left: a digest of each switch as it was left: what has another value since is somebody's choice.
    """

    version: int = 0
    left: str = ""


NO_LOGIN: Final = Login()


@dataclass(frozen=True, slots=True, repr=False)
class Floor:
    """The lowest version of one context that the shopper may still be shown.

    Args:
        context: the fingerprint of the context.
        session: the fingerprint of its session.
        version: the version.
        at: when it was written or first seen, in seconds since the epoch.
        complete_from: over a document of this version or later, the changes beside it show all that was chosen.
        login: that has written a customer's preferences over what was chosen.
    """

    context: str
    session: str
    version: int
    at: float
    complete_from: int
    login: Login = NO_LOGIN


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Notes:
    """What one note says, or several of them together.

    Args:
        operations: changes, the last one of each slot.
        floors: of the contexts that were seen.
        era: how often the shopper has logged out in this browser; what was noted before is void.
        ended: when that was last, in seconds since the epoch; 0 where it never was.
        receipts: whether a change of the shopper has ever been parked, so that receipts are needed.
        made: the versions that were made for changes in whose place there are later ones.
        left_out_at: the latest timestamp of a change that had no room in it, in seconds since the epoch: what is chosen
            where the note is brought is to count as later, whatever the clock there says. 0 where there is none.
    """

    operations: tuple[Noted, ...] = ()
    floors: tuple[Floor, ...] = ()
    era: int = 0
    ended: float = 0.0
    receipts: bool = False
    made: tuple[Made, ...] = ()
    left_out_at: float = 0.0

    @property
    def newest_at(self) -> float:
        """The latest timestamp in it, in seconds since the epoch; 0 where there is none."""
        return max([self.ended, self.left_out_at, *(noted.operation.at for noted in self.operations)])

    @property
    def ends_at(self) -> float:
        """Until when there is anything in it, in seconds since the epoch."""
        last = max((noted.operation.at + NOTE_SECONDS for noted in self.operations), default=0.0)
        seen = max((floor.at + NOTE_SECONDS for floor in self.floors), default=0.0)
        left_out = self.left_out_at + NOTE_SECONDS if self.left_out_at else 0.0
        return max(last, seen, left_out, self.ended + END_SECONDS if self.era else 0.0)

    @property
    def whole_until(self) -> float:
        """Until when all of it is of use, in seconds since the epoch."""
        moments = [noted.operation.at for noted in self.operations] + [floor.at for floor in self.floors]
        return min(moments, default=float("inf")) + NOTE_SECONDS

    def sessions_of(self, token: str, session: str) -> frozenset[str]:
        """Return the sessions that a token belongs to.

        Args:
            token: its fingerprint.
            session: the fingerprint of the session that Emporix has told here; empty where it has not.
        """
        if session:
            return frozenset({session})
        return frozenset(
            noted.session for noted in self.operations if noted.proven and noted.token == token and noted.session
        )

    def of(self, token: str, session: str) -> ContextChanges:
        """Return the changes that concern a token: all switches, and the attributes of its session.

        Args:
            token: its fingerprint; empty for a visitor without one.
            session: the fingerprint of the session that Emporix has told here; empty where it has not.
        """
        sessions = self.sessions_of(token, session)
        mine = NO_CHANGES
        for noted in self.operations:
            if noted.path in SWITCHES or (token and noted.token == token) or noted.session in sessions:
                mine = mine.newest(ContextChanges({noted.path: _as_seen_in(noted, sessions)}))
        return mine

    def floor_of(self, token: str, session: str) -> Floor | None:
        """Return the floor of the context that a session had last; see `of`."""
        sessions = self.sessions_of(token, session)
        mine = [floor for floor in self.floors if floor.session in sessions]
        return max(mine, key=_recency, default=None)

    def login_in(self, context: str) -> Login:
        """Return the last login that has gone on with a context."""
        return max((floor.login for floor in self.floors if floor.context == context), default=NO_LOGIN)

    def dispute(self, taken: Taken) -> bool:
        """Tell whether another change has made the version that a change was to be taken with, at another moment.

        One of the two Emporix has never seen: versions are made once, unless they have fallen since.
        """
        own = (made_by(noted.operation) for noted in self.operations if has_made(noted.operation))
        return any(disputes(made, taken) for made in (*self.made, *own))

    def says_the_same_as(self, other: Notes) -> bool:
        """Tell whether another one says just the same, wherever and whenever the two were read."""
        return self._said() == other._said()

    def only(self, op_ids: Collection[str]) -> Notes:
        """Return the same with only the changes that have one of these ids."""
        return replace(self, operations=tuple(each for each in self.operations if each.operation.op_id in op_ids))

    def _said(self) -> tuple[object, ...]:
        changes = [
            (each.slot, each.token, each.session, each.proven, *_told(each.operation)) for each in self.operations
        ]
        return changes, self.floors, self.era, self.ended, self.newest_at, self.receipts, _in_dispute(self)

    def without_needless_proofs(self) -> Notes:
        """Return the same without digests of replaced values, and moments, that prove nothing any more."""
        floors = {floor.context: floor for floor in self.floors}
        kept = replace(self, operations=tuple(_without_needless(noted, floors) for noted in self.operations))
        return replace(kept, made=_in_dispute(kept))

    def taking_over(self, other: Notes) -> Notes:
        """Return the same in place of another note, which has no changes left."""
        return replace(join((self, other)), operations=self.operations)

    def without(self, left_out: Iterable[Noted]) -> Notes:
        """Return the same without some changes.

        Where Emporix has taken one of them, documents from before that are not enough any more. Of such an attribute it
        is still told that there was one: else an earlier one that waits, in a note on its way, would come back.
        """
        gone = {id(noted): noted for noted in left_out}
        outlines = {key: _outline(noted) for key, noted in gone.items()}
        kept = (outlines.get(id(noted), noted) for noted in self.operations)
        lacking: dict[str, int] = {}
        for noted in gone.values():
            taken = noted.operation.taken
            if taken is not None:
                lacking[taken.context] = max(taken.version, lacking.get(taken.context, 0))
        floors = tuple(
            replace(floor, complete_from=max(floor.complete_from, lacking.get(floor.context, 0)))
            for floor in self.floors
        )
        operations = tuple(noted for noted in kept if noted is not None)
        untold = (noted.operation.at for key, noted in gone.items() if outlines[key] is None)
        return replace(self, operations=operations, floors=floors, left_out_at=max([self.left_out_at, *untold]))


def join(notes: Iterable[Notes], oldest: float = 0.0) -> Notes:
    """Return what several notes say together; those from before the last logout are void.

    Args:
        notes: in any order.
        oldest: changes and floors from before that are left out, in seconds since the epoch.
    """
    every = tuple(notes)
    era = max((each.era for each in every), default=0)
    current = [each for each in every if each.era == era]
    operations: dict[tuple[str, str], Noted] = {}
    floors: dict[str, list[Floor]] = {}
    for each in current:
        for noted in each.operations:
            if noted.operation.at < oldest:
                continue
            there = operations.get(noted.slot)
            operations[noted.slot] = noted if there is None else _later(noted, there)
        for floor in each.floors:
            if floor.at >= oldest:
                floors.setdefault(floor.context, []).append(floor)
    return Notes(
        tuple(operations[slot] for slot in sorted(operations)),
        tuple(_joined(floors[context]) for context in sorted(floors)),
        era,
        max((each.ended for each in every), default=0.0),
        any(each.receipts for each in current),
        _made_besides(operations, current, oldest),
        max((each.left_out_at for each in current if each.left_out_at >= oldest), default=0.0),
    )


def _made_besides(last: Mapping[tuple[str, str], Noted], notes: Sequence[Notes], oldest: float) -> tuple[Made, ...]:
    """Return the versions that were made for others than the last changes."""
    made = {moment for each in notes for moment in each.made}
    others = (noted for each in notes for noted in each.operations if last.get(noted.slot) is not noted)
    made.update(made_by(noted.operation) for noted in others if has_made(noted.operation))
    if not made:
        return ()
    made -= {made_by(noted.operation) for noted in last.values() if has_made(noted.operation)}
    return tuple(sorted(moment for moment in made if moment[2] >= oldest))


def _as_seen_in(noted: Noted, sessions: frozenset[str]) -> Operation:
    """Return a change as it counts in a session: one that another session has taken somehow waits in this one."""
    taken = noted.operation.taken
    if taken is None or taken.context or not noted.session or not sessions or noted.session in sessions:
        return noted.operation
    return replace(noted.operation, taken=None)


def _outline(noted: Noted) -> Noted | None:
    """Return what is left of a change without its value."""
    if noted.operation.taken is None or noted.path in SWITCHES or noted.is_outline:
        return None
    return replace(noted, operation=ContextChanges({noted.path: noted.operation}).outlines().operations[noted.path])


def _told(operation: Operation) -> tuple[object, ...]:
    return operation.op_id, operation.at, operation.taken, operation.again, operation.overtaken_here


def _in_dispute(notes: Notes) -> tuple[Made, ...]:
    """Return the versions of earlier changes with which one of the last ones was to be taken, too."""
    if not notes.made:
        return ()
    takens = [taken for noted in notes.operations if (taken := noted.operation.taken) is not None and taken.replaced]
    return tuple(made for made in notes.made if any(disputes(made, taken) for taken in takens))


def _without_needless(noted: Noted, floors: Mapping[str, Floor]) -> Noted:
    operation, taken = noted.operation, noted.operation.taken
    if operation.overtaken_by != operation.overtaken_here:
        operation = replace(operation, overtaken_by=operation.overtaken_here)
    if taken is not None and taken.replaced and _is_proven(taken, floors.get(taken.context)):
        operation = replace(operation, taken=replace(taken, replaced=""))
    return noted if operation is noted.operation else replace(noted, operation=operation)


def _is_proven(taken: Taken, floor: Floor | None) -> bool:
    """Tell whether nobody can prove any more that Emporix has never seen what it was to have taken."""
    return floor is not None and floor.version > taken.version and floor.at >= taken.at + DISPUTED_SECONDS


def _later(one: Noted, other: Noted) -> Noted:
    operation = later(one.operation, other.operation)
    # Of two copies the one that knows the session is of more use.
    copies = one.operation.op_id == other.operation.op_id
    first = _binding(one) >= _binding(other) if copies else operation.op_id == one.operation.op_id
    noted = one if first else other
    return noted if noted.operation is operation else replace(noted, operation=operation)


def _binding(noted: Noted) -> tuple[bool, bool, str, str]:
    return noted.proven, bool(noted.session), noted.session, noted.token


def _joined(floors: list[Floor]) -> Floor:
    # From the highest on downwards: which ranges meet must not depend on the order in which notes are heard.
    highest, *lower = sorted(floors, key=_height, reverse=True)
    start = highest.complete_from
    for floor in lower:
        start = joined_start((floor.complete_from, floor.version), (start, highest.version))
    return replace(highest, complete_from=start, login=max(floor.login for floor in floors))


def joined_start(lower: tuple[int, int], higher: tuple[int, int]) -> int:
    """Return from which version on two ranges of versions (start, end) are complete together."""
    # Where they do not meet, nobody knows what was between.
    return min(lower[0], higher[0]) if higher[0] <= lower[1] else higher[0]


def _height(floor: Floor) -> tuple[int, float, int, str]:
    return floor.version, floor.at, -floor.complete_from, floor.session


def _recency(floor: Floor) -> tuple[float, int, str]:
    return floor.at, floor.version, floor.context
