"""Sending changes: the write protocol of a service that answers a stale version with 404 and names no new one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from ..clock import Clock
from ..errors import (
    ChangeRefused,
    CommitConflict,
    ContextNotFound,
    ContextUnavailable,
    EmporixError,
    EmporixNotAsked,
    SessionContextError,
    TokenRejected,
    TooManyRequests,
    VersionConflict,
)
from ..events import ContextEvent, Events
from ..model.changes import NO_CHANGES, ContextChanges
from ..model.document import NO_RECEIPTS, ContextDocument
from ..model.operation import SOMEHOW, Taken
from ..policies import UpstreamPolicy
from ..tasks import KeyedLock, Tasks
from .announcing import Announcer
from .bases import Base, Bases
from .entries import Entries
from .entry import Entry
from .handover import Handover
from .job import Along, Commit, CommitResult, Job
from .pacing import Pauses
from .patching import Patching
from .pending import Pending

__all__ = ["Commits"]

CONFLICTS: Final = (ContextNotFound, VersionConflict)


@dataclass(slots=True, kw_only=True)
class Commits:
    """Runs commits, one per session at a time.

    Args:
        policy: deadlines and attempts.
        entries: of this event loop.
        bases: documents that changes can be made to.
        patching: sends PATCH calls.
        pending: where changes wait that cannot be sent.
        announcer: shows what was taken, here and elsewhere.
        handover: what browsers have brought along.
        pauses: for tokens whose parked changes are to be sent later.
        tasks: runs the commits.
        clock: where time and randomness come from.
        events: who is told of what nobody expected.
        turns: one commit per token, and per session, at a time.
        receipts: whether receipts may be left at Emporix.
        sending: how many commits of each token are on their way.
    """

    policy: UpstreamPolicy
    entries: Entries
    bases: Bases
    patching: Patching
    pending: Pending
    announcer: Announcer
    handover: Handover
    pauses: Pauses
    tasks: Tasks
    clock: Clock
    events: Events
    receipts: bool = True
    turns: KeyedLock = field(default_factory=KeyedLock)
    sending: dict[bytes, int] = field(default_factory=dict)

    def may_drain(self, key: bytes) -> bool:
        """Tell whether it is worth sending parked changes now: not shortly after that failed."""
        return key not in self.sending and not self.pauses.holds(key)

    def resume(self, key: bytes) -> None:
        """Let a token send parked changes again, though that failed a moment ago."""
        self.pauses.end(key)

    async def commit(self, job: Job) -> CommitResult:
        """Send a job's changes and wait for it until its time is up; the job itself is never cut short.

        Args:
            job: the changes. When the time is up first, a job that parks is parked here and now; should Emporix
                take it in the end, it is unparked again.

        Returns:
            How it ended, as far as is known by then.
        """
        self.sending[job.entry.key] = self.sending.get(job.entry.key, 0) + 1
        self.entries.pin(job.entry)
        self.tasks.spawn(self._run(job), awaited=True)
        try:
            result = await job.result.wait(job.until - self.clock.monotonic(), self.clock)
        except asyncio.CancelledError:
            job.abandon()
            raise
        return await self._overdue(job) if result is None else result

    async def _overdue(self, job: Job) -> CommitResult:
        self._postpone(job)
        if not job.parks:
            late = ContextUnavailable("Emporix did not take the changes in time.")
            return CommitResult(error=late, attempts=job.attempts)
        return await self.park(job)

    async def park(self, job: Job) -> CommitResult:
        """Park a job's own changes without sending them."""
        self._raise(job, job.entry.document, job.entry.asked_at)
        await self.pending.keep(job)
        return _parked(job)

    async def _run(self, job: Job) -> None:
        result = CommitResult(error=ContextUnavailable("The application is shutting down."))
        try:
            async with self.turns.hold(job.entry.key):
                result = await self._result(job)
        except asyncio.CancelledError:
            if job.parks:
                result = await self.park(job)
            raise
        finally:
            self.sending[job.entry.key] -= 1
            if not self.sending[job.entry.key]:
                del self.sending[job.entry.key]
            self.entries.unpin(job.entry)
            job.result.resolve(result)

    async def _result(self, job: Job) -> CommitResult:
        try:
            commit = await self._in_turn(job)
        except TooManyRequests as error:
            job.answered(error.status)
            self._postpone(job)
            commit = Commit.PARKED
        except EmporixNotAsked as error:
            self._postpone_until_asked(job, error)
            commit = Commit.PARKED
        except (ChangeRefused, TokenRejected) as error:
            job.answered(error.status)
            if isinstance(error, ChangeRefused):
                await self._refused(job, error)
            return _ended(job, error=error)
        except SessionContextError as error:
            return await self._later(job, error)
        except Exception as error:  # noqa: BLE001 - a conflict function of the app, or a bug: the change survives both
            self.events.emit(ContextEvent(name="commit.unexpected", operation="commit", outcome=type(error).__name__))
            return await self._later(job, ContextUnavailable(f"The commit failed: {type(error).__name__}."))
        if commit is Commit.PARKED:
            return await self.park(job)
        await self.pending.unpark(job)
        return _ended(job, commit=commit)

    async def _refused(self, job: Job, error: ChangeRefused) -> None:
        """Drop what Emporix refused: parked changes are not to blame, unless they were alone."""
        if job.parking is not None:
            self.pending.tell_refused(job, error)  # the request has been told that they wait, and is gone
        if not job.own:
            self._settle(job, job.parked.as_taken(self.handover.taken(job.entry.document)))
        await self.pending.unpark(job, with_parked=not job.own)

    def _settle(self, job: Job, dropped: ContextChanges) -> None:
        """Note that parked changes have had their time: browsers may still bring them."""
        job.is_done(dropped)
        for entry in self.entries.with_siblings(job.entry):
            entry.learn(entry.consistency.remembering(dropped.newest(entry.consistency.taken)))

    def _take_over(self, job: Job, document: ContextDocument, taken: Taken, replaced: ContextDocument | None) -> None:
        """Note which changes of a job Emporix has; a receipt tells of those in whose place it has later ones."""
        there = job.changes.not_replaced(self._received(job, document))
        job.is_done(job.changes.without(there.ids).as_taken(replace(SOMEHOW, at=taken.at)))
        job.is_done(there.as_taken(taken, replaced))

    def _remember(self, job: Job, taken: Taken) -> None:
        """Note what Emporix has of this process: an earlier change that is still on its way must not undo it."""
        for entry in self.entries.with_siblings(job.entry):
            entry.learn(entry.consistency.committed(job.done, taken))
            self.pending.remember_taken(entry)

    async def _later(self, job: Job, error: SessionContextError) -> CommitResult:
        self._postpone(job)
        if isinstance(error, EmporixError):
            job.answered(error.status)
            error = ContextUnavailable(f"Emporix could not take the changes ({error}).")
        if not job.parks:
            return _ended(job, error=error)
        return await self.park(job)

    def _postpone(self, job: Job) -> None:
        """Let the token send nothing for a while after the job began: one that took long has made its pause."""
        began = job.until - self.policy.commit_deadline
        pause = self.policy.deadline * (1 + self.clock.random())
        self.pauses.begin(job.entry.key, began + pause - self.clock.monotonic())

    def _postpone_until_asked(self, job: Job, error: EmporixNotAsked) -> None:
        """Wait until the pause is over that Emporix asked for; no other reason not to ask keeps the next request."""
        if error.retry_after is not None:
            self.pauses.begin(job.entry.key, error.retry_after)

    async def _in_turn(self, job: Job) -> Commit:
        """Send a job when it is the session's turn: other tokens of the session write the same context."""
        while True:
            session = _session(job.entry)
            async with self.turns.hold(session or job):
                base = await self.bases.first(job)
                if _session(job.entry) == session:  # else the answer has named the session
                    return await self._send(job, base)

    async def _send(self, job: Job, base: Base | None) -> Commit:
        if base is not None:
            job.begins_at(base.document)
        await self._take_parked_along(job, base)
        try:
            return await self._converge(job, base, self.policy.max_attempts)
        except ChangeRefused as error:
            parked = job.leaves_parked()
            if not parked:
                raise
            refused = error.again()
        commit = await self._converge(job, await self.bases.first(job), max(self.policy.max_attempts, job.attempts + 1))
        if commit is not Commit.PARKED:
            await self._drop(job, parked, refused)
        return commit

    async def _drop(self, job: Job, parked: ContextChanges, refused: EmporixError) -> None:
        """Drop parked changes without which Emporix has taken the job's own, and say so."""
        dropped = parked.beside(job.own)
        self._settle(job, dropped.as_taken(self.handover.taken(job.entry.document)))
        await self.pending.drop(job.entry, dropped)
        self.pending.tell_refused(job, refused)

    async def _converge(self, job: Job, base: Base | None, most: int) -> Commit:
        """Send a job's changes until Emporix has them, in `most` attempts of the job."""
        if base is None:
            return Commit.PARKED
        first = base.document
        changes = self._outstanding(job, base)
        in_doubt = False
        while changes:
            self._may_go_on(job, most)
            receipts = self._receipts(job, base.document, changes)
            sent_at = self.clock.monotonic()
            error = await self.patching.send(job, base.document, changes, receipts)
            if error is None:
                # Nobody has promised that a PATCH which changes nothing raises the version.
                raised = 1 if receipts or changes.missing_from(base.document) else 0
                taken = self.handover.taken(base.document, raised, base.asked_at, sent_at)
                self._take_over(job, base.document, taken, base.document)
                self.announcer.show_taken(job, base, changes, taken.version)
                self._remember(job, taken)
                await self.announcer.notify(job, base.document, taken.version, changes.as_taken(taken, base.document))
                return Commit.APPLIED
            in_doubt = in_doubt or not isinstance(error, CONFLICTS)
            latest = await self.bases.latest(job)
            if latest is None:
                return Commit.PARKED
            await self._reconsider(job)
            # Always all of them: only a PATCH that is taken proves that a document was not an old one.
            changes = self._rebased(job, first, latest.document)
            base = latest
        taken = self.handover.taken(base.document, 0, base.asked_at, base.asked_at)
        self._take_over(job, base.document, taken, None)
        self.announcer.show_seen(job, base.document)
        self._remember(job, taken)
        await self.announcer.notify(job, base.document, base.document.version)
        return Commit.APPLIED if in_doubt else Commit.ALREADY

    def _outstanding(self, job: Job, base: Base) -> ContextChanges:
        """Return what is to be sent: all of it, or nothing where a document proves that it is there already."""
        left = job.changes.not_received(self._received(job, base.document))
        if self._keeps_receipts(job, base.document):
            return left  # its receipt is what stops an older change
        return left if left.missing_from(base.document, base.asked_at) else NO_CHANGES

    def _rebased(self, job: Job, first: ContextDocument, latest: ContextDocument) -> ContextChanges:
        """Return what is still to be sent now that the document is another one."""
        left = job.changes.not_received(self._received(job, latest))
        rebased = left.rebase(first, latest, self.policy.on_conflict)
        return rebased.over(left.shown_by(latest)) if self._keeps_receipts(job, latest) else rebased

    def _received(self, job: Job, document: ContextDocument) -> Mapping[str, float]:
        return job.counting(self.handover.received(document, job.notes))

    def _keeps_receipts(self, job: Job, document: ContextDocument) -> bool:
        return self.receipts and (job.leaves_receipts or bool(document.receipts))

    def _receipts(self, job: Job, document: ContextDocument, changes: ContextChanges) -> Mapping[str, float]:
        if self._keeps_receipts(job, document):
            return self.handover.receipts(document, changes)
        return NO_RECEIPTS

    async def _take_parked_along(self, job: Job, base: Base | None) -> None:
        """Have a job send what waits for Emporix, too, and make its own changes the latest ones of their fields."""
        entry = job.entry
        await self.pending.look(entry, again=bool(entry.snapshot.parked))
        document = None if base is None else base.document
        asked_at, asked_on = (0.0, 0.0) if base is None else (base.asked_at, base.asked_on)
        self._raise(job, document, asked_at)
        against = self.handover.against(entry, document, asked_at, job.notes, asked_on)
        stands = self.handover.standing(entry, job.token, job.notes, against)
        disproved = self.handover.disproved(entry, stands.pending)
        if disproved.operations:
            self.pending.forget_taken(entry, disproved)
        elsewhere = self.handover.brought(entry, job.token, job.notes) if job.notes is not None else NO_CHANGES
        stored = entry.snapshot.parked.ids - elsewhere.ids
        told = self.pending.has_told(entry) or self.handover.wants_receipts(entry, job.token, job.notes, against)
        job.takes_along(Along(stands.pending, stored, told))

    def _raise(self, job: Job, document: ContextDocument | None, asked_at: float) -> None:
        job.raises(self.handover.from_the_future(job, document, asked_at))

    async def _reconsider(self, job: Job) -> None:
        """Leave out what was parked and has been sent, or replaced, by somebody else since this job began."""
        if job.parked:
            await self.pending.look(job.entry, again=True)
            job.leaves_out(job.along.stored - job.entry.snapshot.parked.ids)

    def _may_go_on(self, job: Job, most: int) -> None:
        if self.clock.monotonic() >= job.until:
            raise ContextUnavailable("The time for this commit was used up before the changes could be sent.")
        if job.attempts >= most:
            raise CommitConflict(
                f"Others changed the session context during each of {job.attempts} attempts. "
                "Try again, or raise UpstreamPolicy(max_attempts=...)."
            )


def _ended(job: Job, commit: Commit | None = None, error: SessionContextError | None = None) -> CommitResult:
    return CommitResult(commit, error, job.attempts, job.status, job.taken, job.leaves_receipts)


def _parked(job: Job) -> CommitResult:
    return CommitResult(Commit.PARKED, None, job.attempts, job.status, job.own.newest(job.taken), receipts=True)


def _session(entry: Entry) -> str | None:
    return None if entry.told_session is None else entry.told_session.name
