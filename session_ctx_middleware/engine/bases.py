"""What changes are made to: a document that came from a GET, never a guess."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..clock import Clock
from ..errors import ContextUnavailable, TokenRejected
from ..model.document import ContextDocument
from .flights import Failed, Found, Missing, Rejected
from .handover import Handover
from .job import Job
from .loads import Loads
from .pacing import lag_pause
from .publishing import Publisher

__all__ = ["Base", "Bases"]

BACKOFF: Final = 0.15


@dataclass(frozen=True, slots=True, repr=False)
class Base:
    """What a PATCH is made against.

    Args:
        document: as Emporix answered it.
        asked_at: when that GET was sent, in monotonic seconds.
        asked_on: see `Snapshot.asked_on`.
    """

    document: ContextDocument
    asked_at: float
    asked_on: float = 0.0


@dataclass(slots=True, kw_only=True)
class Bases:
    """Finds documents that changes can be made to.

    Args:
        loads: ask Emporix.
        publisher: judges what comes back.
        handover: tells what the shopper's browser knows that a document may lack.
        clock: where time and randomness come from.
    """

    loads: Loads
    publisher: Publisher
    handover: Handover
    clock: Clock

    async def first(self, job: Job) -> Base | None:
        """Return what to send changes against; `None` for no context.

        Raises:
            TokenRejected: the token was rejected a moment ago.
            EmporixError: Emporix could not be asked.
            ContextUnavailable: there was no time left.
        """
        entry, now = job.entry, self.clock.monotonic()
        known = self.handover.with_notes(entry, job.token, job.notes, entry.snapshot)
        is_usable = now < entry.stale_until and entry.asked_at >= entry.fence.patched_at
        if known.document is not None and not known.overlay and is_usable:
            return Base(known.document, entry.asked_at, known.asked_on)
        if known.document is None and now < entry.fresh_until:
            if known.rejected:
                raise TokenRejected("context.patch", 401, "the token was refused a moment ago")
            return None
        return await self.latest(job, join=True)

    async def latest(self, job: Job, *, join: bool = False) -> Base | None:
        """Return what Emporix has now; `None` for no context.

        Args:
            job: which wants to know.
            join: whether a GET that is in flight already will do.

        Raises:
            EmporixError: Emporix could not be asked.
            ContextUnavailable: there was no time left.
        """
        if job.attempts > 1:
            # Full jitter (Brooker 2015): those who conflict with each other must not meet again.
            await self.clock.sleep(BACKOFF * self.clock.random() * job.attempts)
        while (left := job.until - self.clock.monotonic()) > 0:
            flight = self.loads.join(job.entry, job.token) if join else self.loads.start(job.entry, job.token)
            match await flight.landed.wait(left, self.clock):
                case Found(document, asked_at) if asked_at < job.entry.fence.patched_at:
                    join = False  # a PATCH that changed nothing may have raised the version all the same
                case Found(document, asked_at) as found:
                    if self.publisher.is_acceptable(job.entry, found):
                        return Base(document, asked_at)
                    join = False
                    await self.clock.sleep(lag_pause(self.clock))
                case Missing():
                    return None
                case Rejected(error) | Failed(error):
                    raise error.again()
                case None:
                    break
        raise ContextUnavailable("Emporix did not answer in time.")
