"""What a browser takes along from one worker to the next, and what of it is to be shown and sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Final

from ..clock import Clock
from ..model.changes import ContextChanges
from ..model.document import NO_RECEIPTS, ContextDocument
from ..model.frozen_json import same
from ..model.operation import MICROSECONDS, SOMEHOW, TENTHS, Operation, Taken
from ..model.view import NOTHING_KNOWN, Snapshot
from ..platform_time import PlatformTime
from .binding import Binding
from .entry import NEVER, Entry
from .given_up import GivenUp
from .job import Job
from .keys import Keys
from .notes import NO_LOGIN, NOTE_SECONDS, Floor, Login, Noted, Notes
from .standing import INEXACT, Against, Standing, receipts_that_count, weigh
from .untold import Untold

__all__ = ["Handover", "without_token"]

NOTHING_STANDS: Final = Standing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """Weighs what browsers bring, and writes what they take along.

    Args:
        keys: fingerprints of contexts.
        binding: tells whose a change is.
        clock: where time comes from.
        untold: what requests without a response of their own have to tell, by the key of their token.
        platform_time: dates what other workers are to hear of.
        given_up: tells of changes that Emporix has never seen, twice.
    """

    keys: Keys
    binding: Binding
    clock: Clock
    untold: Untold
    platform_time: PlatformTime
    given_up: GivenUp

    def with_notes(self, entry: Entry, token: str, notes: Notes | None, snapshot: Snapshot) -> Snapshot:
        """Return a snapshot with what the browser knows beyond it, and without what is void."""
        if snapshot.rejected or (notes is None and not snapshot.parked.operations):
            return snapshot
        against = self.against(entry, snapshot.document, entry.asked_at, notes, snapshot.asked_on)
        known = self.known(entry, token, notes)
        if snapshot.document is None:  # what only this process was told may be past, and hides nothing that waits
            stands = self._weighed(known.newest(entry.consistency.taken.only(known.ids)), against)
        else:
            stands = self.standing(entry, token, notes, against)
        overlay = stands.overlay.newest(snapshot.overlay.not_followed_by(known))
        same_overlay = overlay.operations == snapshot.overlay.operations
        if stands.pending.operations == snapshot.parked.operations and same_overlay:
            return snapshot
        return replace(snapshot, parked=stands.pending, overlay=overlay)

    def standing(self, entry: Entry, token: str, notes: Notes | None, against: Against) -> Standing:
        """Return how all changes that are known here stand.

        Args:
            entry: of the token.
            token: of the request.
            notes: what its browser brought along.
            against: what they are weighed against.
        """
        taken = entry.consistency.taken
        if notes is not None and notes.era:
            taken = taken.not_before(notes.era)  # what a login may bring back is not from before a logout
        if notes is not None and taken.operations:
            taken = taken.without(_overwritten(taken, self.binding.changes(entry, notes, token), against))
        return self._weighed(self.known(entry, token, notes).newest(taken), against)

    def disproved(self, entry: Entry, pending: ContextChanges) -> ContextChanges:
        """Return the changes that were to have been taken here, and that must not keep what waits from being sent.

        Args:
            entry: of the token.
            pending: what waits, as `standing` tells: those themselves, or what the browser brings in their place.
        """
        taken = entry.consistency.taken
        waiting = ((path, pending.get(path), operation.at) for path, operation in taken.operations.items())
        return taken.at({path for path, waits, at in waiting if waits is not None and at >= waits.at})

    def unseen(self, entry: Entry, document: ContextDocument, asked_at: float) -> Standing:
        """Return which changes wait anew, or are given up, of those that an answer said here Emporix had taken.

        Args:
            entry: of the token.
            document: as Emporix has answered it just now.
            asked_at: when it was asked, in monotonic seconds.
        """
        taken = entry.consistency.taken
        return self._weighed(taken, self.against(entry, document, asked_at)) if taken.operations else NOTHING_STANDS

    def _weighed(self, changes: ContextChanges, against: Against) -> Standing:
        if not changes.operations:
            return NOTHING_STANDS
        stands = weigh(changes, against)
        if stands.given_up.operations:
            self.given_up.tell(stands.given_up)
        return stands

    def known(self, entry: Entry, token: str, notes: Notes | None) -> ContextChanges:
        """Return what the browser knows, and what is parked here; what is from before a logout is void."""
        parked = entry.snapshot.parked
        if notes is None:
            return parked
        return self.binding.changes(entry, notes, token).newest(parked.not_before(notes.era))

    def brought(self, entry: Entry, token: str, notes: Notes) -> ContextChanges:
        """Return the parked changes of an entry that the browser has, too, and not as such that Emporix has taken."""
        parked = entry.snapshot.parked
        if not parked.operations:
            return parked
        theirs = self.binding.changes(entry, notes, token)
        return parked.at({path for path, each in parked.operations.items() if _is_kept(each, theirs.get(path))})

    def against(
        self,
        entry: Entry,
        document: ContextDocument | None,
        asked_at: float,
        notes: Notes | None = None,
        asked_on: float = 0.0,
    ) -> Against:
        """Return what changes are weighed against.

        Args:
            entry: of the token.
            document: as Emporix answered it.
            asked_at: when it was asked, in monotonic seconds.
            notes: what the shopper's browser brought along.
            asked_on: see `Snapshot.asked_on`.
        """
        if document is None:
            return Against(None)
        heard = entry.consistency.heard_of(document, self.keys.incarnation)
        asked, on = (inf, asked_on or None) if asked_at == NEVER else (asked_at, self.platform_time.at(asked_at))
        context = self.keys.incarnation(document.identity)
        login = NO_LOGIN if notes is None else notes.login_in(context)
        known = entry.consistency
        now_on = self.platform_time.at(self.clock.monotonic())
        return Against(document, context, asked, heard, on, login, notes, known.taken, known.made, now_on)

    def received(self, document: ContextDocument, notes: Notes | None) -> Mapping[str, float]:
        """Return the receipts of a document that count.

        Args:
            document: as Emporix answered it.
            notes: what the shopper's browser brought along.
        """
        if notes is None or not document.receipts:
            return document.receipts
        login = notes.login_in(self.keys.incarnation(document.identity))
        return receipts_that_count(document, login.version)

    def date(self, entry: Entry) -> None:
        """Count what a browser requires from when it was written, now that an answer may have told Emporix' time."""
        known = entry.consistency
        if known.required is not None:
            written = self.platform_time.moment(known.required.floor.at)
            entry.learn(known.requiring(known.required.dated(written)))

    def taken(
        self, document: ContextDocument | None, more: int = 0, asked_at: float = NEVER, sent_at: float = NEVER
    ) -> Taken:
        """Return what there is to know about changes that a document has, or one that is so many versions later.

        Args:
            document: as Emporix answered it; `None` where nobody has one.
            more: so many.
            asked_at: when Emporix was asked for it, in monotonic seconds.
            sent_at: when it was asked to take the changes, likewise; just now where that is `NEVER`.
        """
        if document is None:
            return SOMEHOW
        now, context = self.clock.monotonic(), self.keys.incarnation(document.identity)
        at, took = round(self._dated(now), MICROSECONDS), 0.0 if sent_at == NEVER else round(now - sent_at, TENTHS)
        return Taken(document.version + more, context, at, took=took, asked=asked_at, heard=now)

    def _dated(self, moment: float) -> float:
        """Return monotonic seconds as seconds since the epoch: Emporix', and this host's only while it tells none."""
        told = self.platform_time.at(moment)
        return self.clock.time() - (self.clock.monotonic() - moment) if told is None else told

    def wants_receipts(self, entry: Entry, token: str, notes: Notes | None, against: Against) -> bool:
        """Tell whether a browser brought a change that waits, or that has come along from another context."""
        changes = self.binding.changes(entry, notes, token).operations.values()
        return any(each.taken is None or each.taken.context not in {"", against.context} for each in changes)

    def from_the_future(self, job: Job, document: ContextDocument | None, asked_at: float) -> dict[str, float]:
        """Return the timestamps known here that are later than now, by field: somebody's clock is wrong.

        His changes may be older than they seem, and Emporix may have taken others since, whose timestamps do not tell.
        Receipts from before the job are its past, whatever the time is: pages may take as long as clocks are ahead.

        Args:
            job: is to be later.
            document: whose receipts are known; `None` where there is none.
            asked_at: when Emporix was asked for it, in monotonic seconds.
        """
        entry, now = job.entry, self.clock.time()
        known = self.known(entry, job.token, job.notes).newest(entry.consistency.taken)
        stamps = {path: operation.at for path, operation in known.operations.items() if operation.at > now}
        since = 0.0 if job.was_recorded_after(asked_at) else now
        for path, at in (NO_RECEIPTS if document is None else document.receipts).items():
            if at > max(since, stamps.get(path, 0.0)):
                stamps[path] = at
        return stamps

    def receipts(self, document: ContextDocument, changes: ContextChanges) -> Mapping[str, float]:
        """Return the receipts that go along with changes to a document: its own that are still of use, and theirs."""
        oldest = self.clock.time() - NOTE_SECONDS
        kept = {path: at for path, at in document.receipts.items() if at >= oldest}
        return {**kept, **{path: operation.at for path, operation in changes.operations.items()}}

    def tell_later(self, key: bytes, told: ContextChanges) -> None:
        """Keep what a request has to tell whose response has gone: the next one of its token tells it."""
        self.untold.add(key, told)

    def tells_now(self, key: bytes) -> ContextChanges:
        """Return what earlier requests of a token have left to tell."""
        return self.untold.pop(key)

    def note(
        self, entry: Entry, token: str, told: ContextChanges, brought: Notes, *, receipts: bool, left: str = ""
    ) -> Notes:
        """Return the note with what one response has to tell.

        Args:
            entry: of the token.
            token: of the request.
            told: the changes that Emporix has taken from it, or that are parked.
            brought: what the browser brought along.
            receipts: whether a change of the shopper has been parked.
            left: a digest of the switches that a login of this request has left, in the same session.
        """
        mine, known = self.binding.of_token(token), entry.session
        session = "" if known is None or not known.session_id else self.binding.of_session(known.session_id)
        proven = known is not None and known.proven
        operations = tuple(
            Noted(path, told.operations[path], mine, session, proven) for path in sorted(told.operations)
        )
        return Notes(operations, self._floors(entry, session, left), brought.era, brought.ended, receipts)

    def _floors(self, entry: Entry, session: str, left: str) -> tuple[Floor, ...]:
        known = entry.consistency
        if known.incarnation is None or known.floor < 0 or not session:
            return ()
        context = self.keys.incarnation(known.incarnation)
        written = max(self._dated(known.since), 0.0)
        login = Login(known.floor, left) if left else NO_LOGIN
        return (Floor(context, session, known.floor, written, min(known.complete_from, known.floor), login),)


def _is_kept(parked: Operation, theirs: Operation | None) -> bool:
    """Tell whether a browser has a change that waits, and does not take it for done as it knows of an earlier round."""
    if theirs is None or theirs.op_id != parked.op_id:
        return False
    return theirs.taken is None or theirs.rounds >= parked.rounds


def _overwritten(taken: ContextChanges, brought: ContextChanges, against: Against) -> set[str]:
    """Return the ids of changes that say nothing about those which a browser brings, whatever their timestamps say.

    Clocks of hosts differ. Emporix took that of the browser later; or that one waits, and as the browser knows of none
    of the others, none of them was made in its place. What Emporix has had in between is there no more.
    """
    found = set[str]()
    for path, operation in taken.operations.items() if against.document is not None else ():
        other = brought.get(path)
        if other is None or other.op_id == operation.op_id:
            continue
        if _was_taken_later(other, operation) or (other.taken is None and _is_past(path, operation, against)):
            found.add(operation.op_id)
    return found


def _was_taken_later(one: Operation, other: Operation) -> bool:
    """Tell whether Emporix took one of two changes later, in the same context."""
    mine, theirs = one.taken, other.taken
    if mine is None or theirs is None or theirs.version < 0 or mine.context != theirs.context:
        return False
    # Versions may have fallen in between.
    return mine.version > theirs.version and mine.at > theirs.sent - INEXACT


def _is_past(path: str, operation: Operation, against: Against) -> bool:
    """Tell whether a document that may show a change shows another value."""
    document, taken = against.document, operation.taken
    if document is None or taken is None or taken.context != against.context:
        return False
    return 0 <= taken.version <= document.version and not same(document.value_at(path), operation.value)


def without_token(notes: Notes | None) -> Snapshot:
    """Return what a visitor without a token has chosen, as his browser tells."""
    if notes is None or not notes.operations:
        return NOTHING_KNOWN
    stands = weigh(notes.of("", ""), Against(None))
    return Snapshot(parked=stands.pending, overlay=stands.overlay)
