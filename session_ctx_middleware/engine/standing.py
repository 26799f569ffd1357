"""Which of a shopper's changes still count against a document: to be sent, to be shown over it, or no more. Pure.

A document keeps *receipts* once a change of its session has been parked: the timestamp of the last change of each field
that was sent. So whoever reads it knows which parked changes later ones have replaced, though nothing else is shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

from ..model.changes import NO_CHANGES, ContextChanges
from ..model.document import ContextDocument, Value
from ..model.fields import SWITCHES
from ..model.frozen_json import same
from ..model.operation import NEVER, SOMEHOW, Operation, Taken, value_digest
from .consistency import LAG, Heard
from .made import DISPUTED_SECONDS, Made, disputes, has_made, made_by
from .notes import NO_LOGIN, Login, Notes

__all__ = ["INEXACT", "Against", "Standing", "digest_of_switches", "is_to_come", "receipts_that_count", "weigh"]

DIGITS: Final = 4
"""Of the digest of each switch: a chance of one in 65,536 to take another value for it."""

INEXACT: Final = 2.0
"""Seconds by which two workers may differ about Emporix' time."""

NEARLY: Final = 1.0
"""Seconds by which they mostly differ, at most."""


@dataclass(frozen=True, slots=True, repr=False)
class Against:
    """What changes are weighed against.

    Args:
        document: as Emporix answered it; `None` where there is no context, or nobody could be asked.
        context: the fingerprint of that context.
        asked_at: when Emporix was asked for it, in monotonic seconds; infinity where only another host can say.
        heard: versions of that context, and since when each is known here, in monotonic seconds.
        asked_on: when it was asked for, in Emporix' time; `None` where that is unknown.
        login: that has gone on with that context.
        notes: what the shopper's browser brought along.
        taken: changes that Emporix took by way of this process.
        made: versions that were made for changes in whose place there are later ones of those.
        now_on: Emporix' time now; `None` where nobody knows.
    """

    document: ContextDocument | None
    context: str = ""
    asked_at: float = inf
    heard: Heard = ()
    asked_on: float | None = None
    login: Login = NO_LOGIN
    notes: Notes | None = None
    taken: ContextChanges = NO_CHANGES
    made: tuple[Made, ...] = ()
    now_on: float | None = None

    def is_settled(self, taken: Taken) -> bool:
        """Tell whether the document is no older than a change, as it was asked for so long after that was taken."""
        if self.asked_at == inf:
            return False
        if taken.heard != NEVER:
            return self.asked_at > taken.heard + LAG
        after = self._seconds_after(taken)
        if after is not None and after > LAG:
            return True
        # Of a change that a browser tells of, a version that was known before says nothing: it has fallen since.
        made = -inf if self.notes is None or after is None else self.asked_at - after - INEXACT
        since = min((moment for known, moment in self.heard if known >= taken.version and moment >= made), default=inf)
        return since + LAG < self.asked_at

    def may_lag(self, taken: Taken) -> bool:
        """Tell whether the document was asked for so soon after a change was taken that a replica may have lagged."""
        if self.asked_at != inf:
            return not self.is_settled(taken)
        after = self._seconds_after(taken)
        return after is not None and after <= LAG

    def is_from_before(self, taken: Taken) -> bool:
        """Tell whether the document was asked for before a change was taken, or another one in its place.

        Where this process has sent it, its own clock says more than Emporix' time, of which two instances know but what
        is true within a second: what was asked for after the document to which it was made is not from before it.
        """
        if taken.asked != NEVER and self.asked_at != inf:
            return self.asked_at < taken.asked
        after = self._seconds_after(taken)
        return bool(taken.at) and after is not None and after < 0 and not self._shows_by_version(taken, after)

    def _shows_by_version(self, taken: Taken, after: float) -> bool:
        """Tell whether a document has the version of a change before whose answer it was asked for.

        No version that was there when the change was sent has fallen since. If this process has asked for the document
        at about that time, it knows by its own clock, too, whether that was before the change was made.
        """
        if self.document is None or not 0 <= taken.version <= self.document.version:
            return False
        return after >= -taken.took - (0.0 if self.asked_at == inf else NEARLY)

    def precedes(self, operation: Operation, taken: Taken) -> bool:
        """Tell whether the document was asked for before a change was made, or before Emporix had it."""
        after = self._seconds_after(taken) if taken.at else None
        if taken.told and self.document is not None and self.document.version >= taken.version:
            # Of what another worker tells, versions say more than two clocks, but for such that are long past.
            return after is not None and after + taken.took < -INEXACT
        if self.is_from_before(taken):
            return True
        # When another worker recorded it is known by two hosts' clocks alone, when Emporix took it by its own one.
        is_late = after is not None and after + taken.took > INEXACT
        return self.asked_at < operation.recorded and not (is_late or is_to_come(taken.at, self.now_on))

    def is_from_before_others(self, operation: Operation) -> bool:
        """Tell whether Emporix has taken another change of its field since the document, which has replaced this one.

        That one is not known any more. None of the two requests knew of the other one, so either of them may show.
        """
        document, taken = self.document, operation.taken
        if document is None or taken is None:
            return False
        since = (each for each in operation.overtaken_here if document.version < each.version)
        return any(each.at > taken.sent - INEXACT and not self.is_settled(each) for each in since)

    def _seconds_after(self, taken: Taken) -> float | None:
        """Return how long after a change was taken the document was asked for, `None` where nobody knows."""
        if self.asked_on is None or is_to_come(taken.at, self.now_on):
            return None
        return self.asked_on - taken.at

    def is_known(self, operation: Operation) -> bool:
        """Tell whether the browser knows of a change, and of no later one of its field."""
        return self.notes is not None and any(each.operation.op_id == operation.op_id for each in self.notes.operations)

    def is_disputed(self, operation: Operation) -> bool:
        """Tell whether another change is known to have made the version which this one was taken with."""
        taken = operation.taken
        if taken is None or self.asked_at == inf:
            return False
        told = self.notes is not None and self.notes.dispute(taken)
        if self.asked_on is None or self.asked_on >= taken.at + DISPUTED_SECONDS:
            return told and self.is_known(operation)
        own = (made_by(each) for each in self.taken.operations.values() if has_made(each))
        return told or any(disputes(made, taken) for made in (*self.made, *own))


@dataclass(frozen=True, slots=True, repr=False)
class Standing:
    """How a shopper's changes stand.

    Args:
        pending: those that Emporix does not have yet.
        overlay: those that it has, but that the document is too old to show.
        given_up: those that it was said to have taken twice, and never had.
    """

    pending: ContextChanges = NO_CHANGES
    overlay: ContextChanges = NO_CHANGES
    given_up: ContextChanges = NO_CHANGES


def is_to_come(moment: float, now_on: float | None) -> bool:
    """Tell whether a moment of Emporix' time is still to come: whoever has told it was wrong about the time.

    Args:
        moment: that somebody else may have told, in seconds since the epoch.
        now_on: Emporix' time now; `None` where nobody knows.
    """
    return now_on is not None and moment > now_on + INEXACT


def weigh(changes: ContextChanges, against: Against) -> Standing:
    """Return how changes stand.

    Args:
        changes: the last one of each field, whether Emporix has taken it or not.
        against: the document that is shown with them.
    """
    pending: dict[str, Operation] = {}
    overlay: dict[str, Operation] = {}
    given_up: dict[str, Operation] = {}
    for path, operation in changes.operations.items():
        stands = _standing(path, operation, against)
        if stands is not None:
            (pending if stands.taken is None else overlay)[path] = stands
        elif operation.again and _is_given_up(path, operation, against):
            given_up[path] = operation
    if pending and against.document is not None:
        for path, operation in _sent_along(changes, pending, against.document):
            pending[path] = operation
            overlay.pop(path, None)
    return Standing(ContextChanges(pending), ContextChanges(overlay), ContextChanges(given_up))


def _sent_along(
    changes: ContextChanges, pending: Mapping[str, Operation], document: ContextDocument
) -> list[tuple[str, Operation]]:
    """Return, as ones that wait, the changes that went in one PATCH with one that Emporix has never seen."""
    proven = ((changes.operations[path], each) for path, each in pending.items())
    never_seen = {made_by(was) for was, each in proven if each.again and not was.again}
    return [
        (path, each.waiting_anew(swallowed=True))
        for path, each in (changes.operations.items() if never_seen else ())
        if path not in pending and not each.again and made_by(each) in never_seen
        if each.taken_version == document.version and not same(document.value_at(path), each.value)
        if document.receipts.get(path, -1.0) < each.at
    ]


def digest_of_switches(values: Mapping[str, Value]) -> str:
    """Return a short digest of each switch, one behind the other."""
    return "".join(value_digest(values[path])[:DIGITS] for path in SWITCHES)


def is_as_left(path: str, value: Value, left: str) -> bool:
    """Tell whether a switch has the value that it has in a `digest_of_switches`."""
    begin = [*SWITCHES].index(path) * DIGITS
    return value_digest(value)[:DIGITS] == left[begin : begin + DIGITS]


def receipts_that_count(document: ContextDocument, login: int) -> Mapping[str, float]:
    """Return the receipts of a document, but for those of switches in the very one that a login has left.

    Args:
        document: that has them.
        login: the version before which a login has written over the switches; 0 where none has.
    """
    if not login or document.version != login:
        return document.receipts
    return {path: at for path, at in document.receipts.items() if path not in SWITCHES}


def _standing(path: str, operation: Operation, against: Against) -> Operation | None:
    document, taken = against.document, operation.taken
    if document is None:
        return operation
    received = receipts_that_count(document, against.login.version).get(path, -1.0)
    if received == operation.at and _is_written_over(path, operation, document, against):
        return operation.waiting_anew()
    if received >= operation.at:
        return None  # it is there, or a later one is
    return operation if taken is None else _once_taken(path, operation, taken, document, against)


def _once_taken(
    path: str, operation: Operation, taken: Taken, document: ContextDocument, against: Against
) -> Operation | None:
    if taken.version < 0:
        return operation if _is_known_to_be_later(path, operation, taken, document, against) else None
    differs = not same(document.value_at(path), operation.value)
    is_missing = differs and taken.context == against.context
    is_other = is_missing and document.version == taken.version and against.is_disputed(operation)
    is_before = is_missing and against.precedes(operation, taken)
    if is_before and not is_other:
        return operation  # a later version from before the change was made: versions have fallen
    if is_other or not (is_missing and against.asked_at < operation.recorded):  # else clocks contradict each other
        if _is_there_no_more(path, operation, taken, document, against):
            return operation.waiting_anew()
        if differs and _was_never_seen(path, operation, document, against):
            return None if operation.again else operation.waiting_anew(swallowed=True)
    is_later = is_before or document.version < taken.version or (differs and against.is_from_before_others(operation))
    return operation if is_later or (differs and _is_in_doubt(path, operation, document, against)) else None


def _is_known_to_be_later(
    path: str, operation: Operation, taken: Taken, document: ContextDocument, against: Against
) -> bool:
    """Tell whether a document is older than a change of which Emporix has that or a later one; a receipt tells."""
    # What was asked for so long after it is what there is: an older receipt is that of a backup.
    has_older = path in document.receipts and not (taken.at and against.is_settled(taken))
    return (has_older or against.is_from_before(taken)) and not operation.is_outline


def _is_there_no_more(
    path: str, operation: Operation, taken: Taken, document: ContextDocument, against: Against
) -> bool:
    """Tell whether an older change was sent over one, a login has written over it, or the context is another one."""
    differs = not same(document.value_at(path), operation.value)
    sent_over = differs and document.version >= taken.version and path in document.receipts
    another = taken.context not in {"", against.context}
    return sent_over or another or _is_written_over(path, operation, document, against)


def _is_in_doubt(path: str, operation: Operation, document: ContextDocument, against: Against) -> bool:
    """Tell whether nobody can say yet if somebody else has taken a change back, or Emporix never saw it.

    What is there is what was there before, and the browser knows of no later change. For as long as a replica may lag,
    the shopper's own choice counts.
    """
    taken = operation.taken
    if taken is None or not against.is_known(operation) or not against.may_lag(taken):
        return False
    if any(taken.version < each.version <= document.version for each in operation.overtaken_here):
        return False  # what is there is another choice of the shopper
    return taken.replaced == value_digest(document.value_at(path))


def _is_written_over(path: str, operation: Operation, document: ContextDocument, against: Against) -> bool:
    """Tell whether a login has written a customer's preference in the place of a switch that Emporix had."""
    taken, login = operation.taken, against.login
    if taken is None or path not in SWITCHES or taken.context != against.context or document.version < login.version:
        return False
    value = document.value_at(path)
    return taken.version < login.version and not same(value, operation.value) and is_as_left(path, value, login.left)


def _is_given_up(path: str, operation: Operation, against: Against) -> bool:
    """Tell whether Emporix has never seen a change that was sent once more, nor a later one in its place."""
    document, taken = against.document, operation.taken
    if document is None or taken is None or taken.version < 0 or document.receipts.get(path, -1.0) >= operation.at:
        return False
    return not same(document.value_at(path), operation.value) and _was_never_seen(path, operation, document, against)


def _was_never_seen(path: str, operation: Operation, document: ContextDocument, against: Against) -> bool:
    """Tell whether a document, which does not show a change, proves that Emporix does not have it."""
    taken = operation.taken or SOMEHOW
    if document.version < taken.version:
        return against.is_settled(taken)
    if taken.replaced != value_digest(document.value_at(path)):
        return False
    return document.version == taken.version or against.is_disputed(operation)
