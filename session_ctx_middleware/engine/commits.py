"""Sending changes: the write protocol of a service that answers a stale version with 404 and tells no new one."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from ..clock import Clock, wait
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
from ..model.changes import NO_CHANGES, ContextChanges
from ..model.document import ContextDocument
from ..model.view import Snapshot
from ..policies import UpstreamPolicy
from ..tasks import KeyedLock, Tasks
from .entries import Entries
from .entry import Entry
from .flights import Failed, Flights, Found, Missing, Rejected
from .handover import Handover
from .job import Commit, Job, Settled
from .patching import Patching
from .pending import Pending, visible
from .ports import ContextSource
from .reads import Reads
from .sharing import Sharing
from .stats import Stats

__all__ = ["Commits"]

_log = logging.getLogger("session_ctx_middleware")

CONFLICTS: Final = (ContextNotFound, VersionConflict)
BACKOFF: Final = 0.15
MAX_AGE_FACTOR: Final = 3


@dataclass(frozen=True, slots=True, repr=False)
class Base:
    """A document that came from a GET, and when that GET was sent: what a PATCH is made against."""

    document: ContextDocument
    asked_at: float


class Commits:
    """Runs commits, one per session at a time.

    Args:
        policy: deadlines and attempts.
        source: Emporix.
        table: the entries.
        reader: publishes what commits learn.
        flights: the way to a new document.
        parking: where changes wait that cannot be sent.
        shelf: where other processes look for documents.
        carrying: what browsers have brought along.
        tasks: runs the commits.
        clock: where time and randomness come from.
        stats: the counters.
    """

    def __init__(
        self,
        *,
        policy: UpstreamPolicy,
        source: ContextSource,
        table: Entries,
        reader: Reads,
        flights: Flights,
        parking: Pending,
        shelf: Sharing,
        carrying: Handover,
        tasks: Tasks,
        clock: Clock,
        stats: Stats,
    ) -> None:
        self._policy = policy
        self._table = table
        self._reader = reader
        self._flights = flights
        self._parking = parking
        self._shelf = shelf
        self._carrying = carrying
        self._tasks = tasks
        self._clock = clock
        self._stats = stats
        self._turns = KeyedLock()
        self._patches = Patching(source, table, reader, shelf, tasks, clock, MAX_AGE_FACTOR * policy.timeout)
        self._running = 0

    async def commit(self, job: Job) -> Settled:
        """Send a job's changes and wait for it until its time is up; the job itself is never cut short.

        Args:
            job: the changes. When the time is up first, a job that parks is parked here and now; should Emporix
                take it in the end, it is unparked again.

        Returns:
            How it ended, as far as is known by then.
        """
        if self._running >= self._policy.max_flights:
            return await self._later(job, EmporixNotAsked("context.patch", None, "too many commits are on their way"))
        self._running += 1
        job.waiter = asyncio.get_running_loop().create_future()
        self._table.pin(job.entry)
        job.entry.sending += 1
        self._tasks.spawn(self._run(job))
        try:
            settled = await wait(job.waiter, job.until - self._clock.monotonic(), self._clock)
        except asyncio.CancelledError:
            job.parks = True  # nobody is left to be told
            raise
        if settled is not None:
            return settled
        self._postpone(job.entry)
        late = ContextUnavailable("Emporix did not take the changes in time.")
        if not job.parks:
            return Settled(error=late, attempts=job.attempts)
        await self._parking.keep(job)
        return Settled(Commit.PARKED, attempts=job.attempts)

    async def _run(self, job: Job) -> None:
        settled = Settled(error=ContextUnavailable("The application is shutting down."))
        try:
            async with self._turns.hold(job.entry.key):
                settled = await self._settle(job)
        except asyncio.CancelledError:
            if job.parks:
                await self._parking.keep(job)
            raise
        finally:
            self._running -= 1
            job.entry.sending -= 1
            self._table.unpin(job.entry)
            job.settle(settled)

    async def _settle(self, job: Job) -> Settled:
        try:
            commit = await self._in_turn(job)
        except (TooManyRequests, EmporixNotAsked) as error:
            job.status = error.status
            self._postpone(job.entry)
            commit = Commit.PARKED
        except (ChangeRefused, TokenRejected) as error:
            job.status = error.status
            if isinstance(error, ChangeRefused):
                await self._refused(job)
            return self._settled(job, error=error)
        except SessionContextError as error:
            return await self._later(job, error)
        except Exception as error:  # noqa: BLE001 - a conflict function of the app, or a bug: the change survives both
            _log.error("a commit failed unexpectedly: %s", type(error).__name__)
            return await self._later(job, ContextUnavailable(f"The commit failed: {type(error).__name__}."))
        if commit is Commit.PARKED:
            await self._parking.keep(job)
        else:
            self._remember(job)
            await self._parking.clear(job)
        return self._settled(job, commit=commit)

    async def _refused(self, job: Job) -> None:
        """Drop what Emporix refused: parked changes are not to blame, unless they were alone."""
        if not job.own:
            job.entry.remember(job.parked.over(job.entry.settled))  # a browser may still carry them
        await self._parking.clear(job, parked=not job.own)

    def _remember(self, job: Job) -> None:
        """Note what Emporix has of this process: an earlier wish that is still on its way must not undo it."""
        taken = job.changes
        for entry in (job.entry, *self._table.siblings(job.entry)):
            entry.settle(taken, job.version)
            self._parking.settle(entry)

    async def _later(self, job: Job, error: SessionContextError) -> Settled:
        self._postpone(job.entry)
        if isinstance(error, EmporixError):
            job.status = error.status
            error = ContextUnavailable(f"Emporix could not take the changes ({error}).")
        if not job.parks:
            return self._settled(job, error=error)
        await self._parking.keep(job)
        return self._settled(job, commit=Commit.PARKED)

    def _settled(self, job: Job, commit: Commit | None = None, error: SessionContextError | None = None) -> Settled:
        return Settled(commit, error, job.attempts, job.status)

    def _postpone(self, entry: Entry) -> None:
        entry.drain_after = self._clock.monotonic() + self._policy.deadline * (1 + self._clock.random())

    async def _in_turn(self, job: Job) -> Commit:
        """Send a job when it is the session's turn: other tokens of the session write the same context."""
        while True:
            session = job.entry.session
            async with self._turns.hold(session or job):
                base = await self._base(job)
                if job.entry.session == session:  # else the answer has told which session this is
                    return await self._send(job, base)

    async def _send(self, job: Job, base: Base | None) -> Commit:
        await self._parking.look(job.entry, again=bool(job.entry.snapshot.parked))
        carried = self._carrying.parked(job.entry, job.carried, job.token)
        job.parked = carried.newest(job.entry.snapshot.parked)
        job.stored = job.entry.snapshot.parked.ids
        if base is None:
            return Commit.PARKED
        first = base.document
        changes = job.changes if job.changes.missing_from(first, base.asked_at) else NO_CHANGES
        in_doubt = False
        while changes:
            self._may_go_on(job)
            error = await self._patches.send(job, base.document, changes)
            if error is None:
                await self._accepted(job, base, changes)
                return Commit.APPLIED
            in_doubt = in_doubt or not isinstance(error, CONFLICTS)
            latest = await self._latest(job)
            if latest is None:
                return Commit.PARKED
            await self._reconsider(job)
            # Always all of them: only a PATCH that is taken proves that a document was not an old one.
            changes = job.changes.rebase(first, latest.document, self._policy.on_conflict)
            base = latest
        self._seen(job, base.document)
        await self._tell(job, base.document)
        return Commit.APPLIED if in_doubt else Commit.ALREADY

    async def _reconsider(self, job: Job) -> None:
        """Leave out what was parked and has been sent, or replaced, by somebody else since this job began."""
        if job.parked:
            await self._parking.look(job.entry, again=True)
            job.parked = job.parked.without(job.stored - job.entry.snapshot.parked.ids)

    def _may_go_on(self, job: Job) -> None:
        if self._clock.monotonic() >= job.until:
            raise ContextUnavailable("The time for this commit was used up before the changes could be sent.")
        if job.attempts >= self._policy.max_attempts:
            raise CommitConflict(
                f"Others changed the session context during each of {job.attempts} attempts. "
                "Try again, or raise UpstreamPolicy(max_attempts=...)."
            )

    async def _base(self, job: Job) -> Base | None:
        """Return what to send changes against: a document from a GET, never a guess; `None` for no context."""
        entry, now = job.entry, self._clock.monotonic()
        known = entry.snapshot
        if known.document is not None and not known.accepted and now < entry.stale_until:
            return Base(known.document, entry.asked_at)
        if known.document is None and now < entry.fresh_until:
            if known.rejected:
                raise TokenRejected("context.patch", 401, "the token was refused a moment ago")
            return None
        return await self._latest(job, join=True)

    async def _latest(self, job: Job, *, join: bool = False) -> Base | None:
        """Return what Emporix has now; `None` for no context.

        Raises:
            EmporixError: Emporix could not be asked.
            ContextUnavailable: there was no time left.
        """
        if job.attempts > 1:
            await self._clock.sleep(BACKOFF * self._clock.random() * job.attempts)
        while (left := job.until - self._clock.monotonic()) > 0:
            entry = job.entry
            flight = self._flights.join(entry, job.token) if join else self._flights.start(entry, job.token)
            match await flight.wait(left, self._clock):
                case Found(document, asked_at):
                    if not self._reader.overtaken(entry, document):
                        return Base(document, asked_at)
                    join = False
                    await self._clock.sleep(self._reader.pause())
                case Missing():
                    return None
                case Rejected(error) | Failed(error):
                    raise error.again()
                case None:
                    break
        raise ContextUnavailable("Emporix did not answer in time.")

    async def _accepted(self, job: Job, base: Base, changes: ContextChanges) -> None:
        """Make known that Emporix took changes: here at once, and elsewhere before anybody is told."""
        # Nobody has promised that a PATCH which changes nothing raises the version.
        document = base.document
        job.version = document.version + 1 if changes.missing_from(document) else document.version
        self._show(job, base, changes)
        await self._tell(job, document)

    def _show(self, job: Job, base: Base, changes: ContextChanges) -> None:
        entry, document = job.entry, base.document
        entry.met = job.carried
        job.kept = job.kept or bool(entry.snapshot.parked)
        if entry.snapshot.rejected:
            return  # refused meanwhile: nothing is to be shown any more
        entry.raise_floor(document.identity, job.version)
        if entry.epoch != job.epoch:
            entry.expire()
            entry.disown()  # logged out meanwhile: whoever comes now sees what Emporix has
            return
        parked = visible(entry.snapshot.parked, job)
        self._reader.accept(entry, Snapshot(document=document, accepted=changes, parked=parked), base.asked_at)
        for sibling in self._table.siblings(entry):
            self._reader.overlay(sibling, document, job.version, job.changes.held(document, changes))

    async def _tell(self, job: Job, document: ContextDocument) -> None:
        """Keep the other processes from showing less than the version that has the changes."""
        entries = (job.entry, *self._table.siblings(job.entry))
        await self._shelf.invalidate(entries, document.identity, job.version)

    def _seen(self, job: Job, document: ContextDocument) -> None:
        """Keep the other tokens of the session from showing less than this one has seen."""
        job.entry.met = job.carried
        job.version = document.version
        for sibling in self._table.siblings(job.entry):
            known = sibling.snapshot.document
            if known is None or known.identity != document.identity or known.version < document.version:
                sibling.fence()
                self._reader.overlay(sibling, document, document.version, job.changes.held(document, NO_CHANGES))
