"""Making known what Emporix took: here at once, and in other processes before the commit ends."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..model.changes import NO_CHANGES, ContextChanges
from ..model.document import ContextDocument
from ..model.operation import NEVER, Taken
from ..model.view import Snapshot
from .bases import Base
from .entries import Entries
from .job import Job
from .pending import left_parked
from .publishing import Publisher
from .sharing import Sharing

__all__ = ["Announcer"]


@dataclass(slots=True, kw_only=True)
class Announcer:
    """Shows what was taken, and keeps everybody else from showing less.

    Args:
        entries: finds the other tokens of the session.
        publisher: changes what entries show.
        sharing: notifies other processes.
    """

    entries: Entries
    publisher: Publisher
    sharing: Sharing

    def show_seen(self, job: Job, document: ContextDocument) -> None:
        """Keep the other tokens of the session from showing less than a document that has all changes of the job."""
        for sibling in self.entries.siblings(job.entry):
            known = sibling.document
            if known is None or known.identity != document.identity or known.version < document.version:
                sibling.raise_fence()
                held = job.changes.held(document, NO_CHANGES)
                self.publisher.show_taken_by_sibling(sibling, document, document.version, held)

    def show_taken(self, job: Job, base: Base, changes: ContextChanges, version: int) -> None:
        """Show that Emporix took `changes` to `base`, and that `version` has them."""
        entry, document = job.entry, base.document
        if entry.snapshot.parked:
            job.counts_as_parked()
        if entry.snapshot.rejected:
            return  # rejected meanwhile: nothing is to be shown any more
        entry.learn(entry.consistency.raised(document.identity, version, self.publisher.clock.monotonic()))
        if job.is_forgotten:
            entry.expire()
            entry.hide()  # logged out meanwhile: whoever comes now sees what Emporix has
            return
        parked = left_parked(entry.snapshot.parked, job)
        # Other engines of this process may have written since the base was read, before this write and after it.
        taken = entry.consistency.taken
        after = taken.taken_after(version).over(_claiming(taken, version).not_followed_by(changes))
        overlay = after.over(changes.over(taken.taken_after(document.version)))
        snapshot = Snapshot(document, overlay, parked, asked_on=base.asked_on)
        self.publisher.show_taken(entry, snapshot, base.asked_at)
        for sibling in self.entries.siblings(entry):
            held = after.over(job.changes.held(document, changes))
            self.publisher.show_taken_by_sibling(sibling, document, version, held)

    async def notify(
        self, job: Job, document: ContextDocument, version: int, taken: ContextChanges = NO_CHANGES
    ) -> None:
        """Keep everybody else from showing less than a version; call it when all that is known of it is noted here.

        Args:
            job: which has made it, or seen it.
            document: of its context.
            version: that version.
            taken: all changes that were sent for it, where that is known.
        """
        is_known = version > document.version and not job.is_forgotten
        made_for = _for_others(taken) if is_known else NO_CHANGES
        await self.sharing.invalidate(self.entries.with_siblings(job.entry), document.identity, version, made_for)


def _claiming(taken: ContextChanges, version: int) -> ContextChanges:
    """Return the changes that were to be taken with exactly this version; Emporix has made it for one PATCH at most."""
    return taken.taken_after(version - 1).up_to(version)


def _for_others(changes: ContextChanges) -> ContextChanges:
    """Return changes as other workers hear of them: without what only the clock of this process says."""
    return ContextChanges(
        {path: replace(each, taken=_elsewhere(each.taken)) for path, each in changes.operations.items()}
    )


def _elsewhere(taken: Taken | None) -> Taken | None:
    return None if taken is None else replace(taken, asked=NEVER, heard=NEVER, told=True)
