"""One change of one field, and what is known about Emporix' taking it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

from .document import Removed, Value
from .frozen_json import dumps, same
from .personal import Personal

__all__ = ["MICROSECONDS", "NEVER", "SOMEHOW", "TENTHS", "Operation", "Taken", "later", "value_digest"]

DIGEST: Final = 8
MICROSECONDS: Final = 6
"""Decimals of timestamps: notes tell microseconds, and a change is to have one timestamp wherever it is kept."""
TENTHS: Final = 1
"""Decimals of how long an answer took: two workers do not know Emporix' time any better."""
NEVER: Final = float("-inf")


@dataclass(frozen=True, slots=True, repr=False)
class Taken:
    """What is known about Emporix' taking a change.

    Args:
        version: the version of the context that has it; below 0 where nobody knows.
        context: the fingerprint of that context; empty where nobody knows.
        at: when, in seconds since the epoch; where nobody knows the version, when Emporix had it, or a later one.
        replaced: a digest of the value that it replaced (`value_digest`); empty where nobody knows.
        took: seconds, to a tenth, from when Emporix was asked to take it until it had answered, at `at`; 0 where nobody
            knows. It had it at some moment in between.
        asked: when Emporix was asked for the document that it was made to, in monotonic seconds of this process;
            `NEVER` where another one did so.
        heard: when Emporix had taken it, likewise.
        told: whether nobody but another worker says so. Its clock may be wrong: the timestamp of the change says
            nothing about those that were on their way here meanwhile.
    """

    version: int = -1
    context: str = ""
    at: float = 0.0
    replaced: str = ""
    took: float = 0.0
    asked: float = field(default=NEVER, compare=False)
    heard: float = field(default=NEVER, compare=False)
    told: bool = field(default=False, compare=False)

    @property
    def sent(self) -> float:
        """When Emporix was asked to take it, in seconds since the epoch: it did not have it before."""
        return self.at - self.took


@dataclass(frozen=True, slots=True, repr=False)
class Operation(Personal):
    """One recorded change of one field.

    Args:
        value: what the field shall hold; `REMOVED` for an attribute that shall go.
        op_id: tells this change from every other one, also of the same field.
        at: seconds since the epoch when it was recorded, for its age and its order, see `HybridClock`.
        recorded: monotonic seconds of this process when it was recorded: only a document asked for after that can
            prove that the change is already there.
        taken: how Emporix took it; `None` while it has not.
        era: how often the shopper had logged out in this browser when it was recorded.
        again: whether it was parked once more, because Emporix had said that it had taken it and never seen it.
        rounds: how often it has begun to wait anew, as Emporix has it no more, or never had it: who knows it as taken
            in an earlier round takes it for done.
        overtaken_by: how Emporix took others of its field later, though their timestamps are earlier, the last one by
            context: none of the requests knew of the other ones.
    """

    value: Value
    op_id: str
    at: float
    recorded: float
    taken: Taken | None = None
    era: int = 0
    again: bool = False
    rounds: int = 0
    overtaken_by: tuple[Taken, ...] = ()

    def waiting_anew(self, *, swallowed: bool = False) -> Operation:
        """Return the change as one that waits though Emporix was said to have it; `swallowed`: as it never had it."""
        return replace(self, taken=None, again=self.again or swallowed, rounds=self.rounds + 1)

    @property
    def is_outline(self) -> bool:
        """Whether it only tells that Emporix has taken a change, and not which; see `ContextChanges.outlines`."""
        return self.taken == SOMEHOW and isinstance(self.value, Removed)

    @property
    def overtaken_here(self) -> tuple[Taken, ...]:
        """How Emporix took the last of `overtaken_by` in the context that has this one."""
        context = None if self.taken is None else self.taken.context
        return tuple(each for each in self.overtaken_by if each.context == context)

    def is_later_than(self, version: int) -> bool:
        """Tell whether a document of a version cannot show it: it waits, or was taken with a later one."""
        return self.taken is None or self.taken.version > version

    @property
    def taken_version(self) -> int:
        """The version of the context with which Emporix took it; below 0 where it did not, or nobody knows."""
        return -1 if self.taken is None else self.taken.version


SOMEHOW: Final = Taken()
"""Emporix has taken it, but in which version of which context is not known any more."""


def value_digest(value: Value) -> str:
    """Return a short digest of a value, to tell later whether a field still holds it."""
    text = "" if isinstance(value, Removed) else dumps(value)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]


def later(one: Operation, other: Operation) -> Operation:
    """Return the later one of two changes of a field, whichever it is handed first; see `ContextChanges.newest`."""
    if one.op_id == other.op_id:
        first = _better_copy(one, other)
    else:
        first = one if (one.at, one.op_id) > (other.at, other.op_id) else other
    return _overtaken(first, other if first is one else one)


def _overtaken(first: Operation, second: Operation) -> Operation:
    """Return a change that knows of those in whose place it is, and that Emporix took after it."""
    if not (first.overtaken_by or second.overtaken_by) and _is_in_order(first.taken, second.taken):
        return first
    latest: dict[str, Taken] = {}
    for taken in (*_taken_in_a_version(first), *first.overtaken_by, *_taken_in_a_version(second), *second.overtaken_by):
        there = latest.get(taken.context)
        if there is None or (taken.version, taken.at) > (there.version, there.at):
            latest[taken.context] = taken if taken is first.taken else replace(taken, replaced="", took=0.0)
    found = tuple(latest[context] for context in sorted(latest) if latest[context] is not first.taken)
    return first if found == first.overtaken_by else replace(first, overtaken_by=found)


def _is_in_order(first: Taken | None, second: Taken | None) -> bool:
    """Tell whether Emporix took the second of two changes before the first one, or in no version that is known."""
    if second is None or second.version < 0:
        return True
    if first is None or first.context != second.context:
        return False
    return (first.version, first.at) >= (second.version, second.at)


def _taken_in_a_version(operation: Operation) -> tuple[Taken, ...]:
    return () if operation.taken is None or operation.taken.version < 0 else (operation.taken,)


def _better_copy(one: Operation, other: Operation) -> Operation:
    """Return one of two copies of one change, the same one in either order."""
    # A change that was recorded later is proven by fewer documents: of two estimates this is the careful one.
    mine, theirs = _knowledge(one), _knowledge(other)
    if mine != theirs:
        return one if mine > theirs else other
    if one.value is other.value or same(one.value, other.value):
        return one
    return one if _value_order(one) > _value_order(other) else other


def _knowledge(operation: Operation) -> tuple[object, ...]:
    taken = operation.taken or SOMEHOW
    # Of two contexts that have it, the later one is that of the session in which the shopper is now.
    known = (taken.version >= 0, taken.at, taken.version, taken.context, taken.replaced, taken.took)
    here = taken.heard, taken.asked, not taken.told
    of_it = operation.at, operation.recorded, operation.era, operation.again
    # Whoever knows it as taken in an earlier round has not heard that Emporix does not have it any more.
    return operation.rounds, operation.taken is not None, *known, *here, *of_it


def _value_order(operation: Operation) -> tuple[bool, str]:
    removed = isinstance(operation.value, Removed)  # `outlines` has no values: the copy that has one is better
    return not removed, "" if removed else dumps(operation.value)
