"""Keeping changes that Emporix could not take yet, and showing them to every read of the session."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

from ..clock import Clock
from ..errors import EmporixError
from ..events import ContextEvent, Events
from ..model.changes import NO_CHANGES, ContextChanges
from ..model.document import ContextDocument
from ..model.fields import MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES
from ..stores.protocol import PARKED_TTL
from .entries import Entries
from .entry import Entry
from .job import Commit, Job
from .known_sessions import KnownSessions
from .sharing import Sharing, StoreRead

__all__ = ["Pending", "left_parked"]

SESSIONS: Final = 10_000
LOOKS: Final = 3
"""How often the store is asked while requests of this process park one change after the other."""

if TYPE_CHECKING:
    _Taken = TTLCache[str, ContextChanges]
    _Told = TTLCache[str, None]
else:
    _Taken = _Told = TTLCache


class Pending:
    """Moves parked changes between jobs, the store and what entries show.

    Args:
        sharing: where parked changes live.
        entries: finds the other tokens of a session.
        known_sessions: which session a token is of: an entry may be evicted long before its session ends, and another
            engine of this process may have been told.
        clock: where time comes from.
        events: who is told what had no room, and what Emporix refused.
    """

    __slots__ = ("_entries", "_events", "_known_sessions", "_sharing", "_taken", "_told")

    def __init__(
        self, sharing: Sharing, entries: Entries, known_sessions: KnownSessions, clock: Clock, events: Events
    ) -> None:
        self._events = events
        self._sharing = sharing
        self._entries = entries
        self._known_sessions = known_sessions
        self._taken = _Taken(SESSIONS, PARKED_TTL, timer=clock.monotonic)
        self._told = _Told(SESSIONS, PARKED_TTL, timer=clock.monotonic)

    async def look(self, entry: Entry, *, again: bool = False, document: ContextDocument | None = None) -> bool:
        """Show in an entry what is parked for it; asks the store once, and when the session becomes known.

        Args:
            entry: of the token.
            again: ask in any case: somebody else may have sent it meanwhile.
            document: that has just arrived: what its receipts name need not wait any more.

        Returns:
            Whether the store was asked. What has been read before is then older than what is parked: somebody may have
            sent that in between, and announced a later version.
        """
        session, view = self.known_session(entry), entry.store_view
        if not again and session == view.looked_under and view.looked == view.news:
            if entry.snapshot.parked.operations:
                await self._left_of(entry.snapshot.parked, entry, document)
            return False
        news = view.news
        parked, is_settled = await self._up_to_date(entry, document)
        if session and session != view.looked_under and parked:
            await self._link(entry)
            if view.looked_under is not None:
                await self._move(entry, parked)
                await self.show(entry)  # other tokens of the session have looked before it was there
        if is_settled:
            view.has_looked(news, session)  # a page that comes before this looks itself
        else:
            view.look_again()
        self._found(entry, parked)
        return True

    async def look_unless_read(self, entry: Entry, read: StoreRead | None, *, again: bool) -> StoreRead | None:
        """Do what `look` does, without asking where a read of the store says enough; return it if it still counts."""
        if read is not None and self.has_nothing(entry, read):
            return read
        asked = await self.look(entry, again=again)
        return None if asked and read is not None and read.stored is not None else read

    def has_nothing(self, entry: Entry, read: StoreRead) -> bool:
        """Tell whether a read of the store says that nothing is parked; then `look` has nothing left to do."""
        session = self.known_session(entry)
        if not self._sharing.has_nothing_parked(_names(entry), entry, read):
            return False
        entry.store_view.has_looked(read.news, session)
        self._found(entry, NO_CHANGES)
        return True

    def _found(self, entry: Entry, parked: ContextChanges) -> None:
        """Show what the store has."""
        waited = entry.snapshot.parked
        entry.show_parked(parked)
        _doubt(entry, waited)

    def remember_taken(self, entry: Entry) -> None:
        """Remember what Emporix has taken while an earlier change may still be parked: longer than the entry lives."""
        session = entry.proven_session
        if session is not None:
            self._taken[session.name] = entry.consistency.taken.outlines()

    def has_told(self, entry: Entry) -> bool:
        """Tell whether a browser may know a change of an entry as one that waits, though Emporix has it by now."""
        return entry.proven_session is not None and entry.proven_session.name in self._told

    async def keep(self, job: Job) -> None:
        """Park a job's own changes; those that were parked already still are."""
        if job.parking is not None:
            await job.parking.get()  # whoever says that it is parked has to know
        if job.parking is not None or job.is_forgotten:
            return
        parking = job.begins_parking()
        if job.attempts and job.entry.proven_session is not None:  # a PATCH is on its way, and may yet be taken
            self._told[job.entry.proven_session.name] = None
        try:
            await self._keep(job)
        finally:
            parking.resolve(Commit.PARKED)

    async def unpark(self, job: Job, *, with_parked: bool = True) -> None:
        """Forget what a job has sent, if it was parked; a change that was made since then stays.

        Args:
            job: its own changes go.
            with_parked: whether the parked ones that it sent along go too.
        """
        if job.parking is not None or job.parked or job.entry.snapshot.parked:
            for changes in (job.own, job.parked) if with_parked else (job.own,):
                await self._sharing.unpark(_names(job.entry), changes)
            await self.show(job.entry, gone=job.own.ids | job.parked.ids)

    async def drop(self, entry: Entry, changes: ContextChanges) -> None:
        """Forget changes that Emporix does not want."""
        await self._sharing.unpark(_names(entry), changes)
        await self.show(entry, gone=changes.ids)

    def tell_refused(self, job: Job, refused: EmporixError) -> None:
        """Tell operators of parked changes that Emporix refused: no request waits to be told."""
        self._events.emit(
            ContextEvent(
                name="commit.refused",
                operation="parked",
                outcome=type(refused).__name__,
                status=refused.status,
                attempts=job.attempts,
            )
        )

    async def hand_over(self, entry: Entry, changes: ContextChanges) -> None:
        """Take changes out of the store that the shopper's browser keeps from now on."""
        if entry.snapshot.parked:
            await self._sharing.unpark(_names(entry), changes)
            await self.show(entry, gone=changes.ids)

    async def park_again(self, entry: Entry, changes: ContextChanges) -> None:
        """Park changes that Emporix has said it had taken, and has not, and show them."""
        await self.offer_again(entry, changes)
        await self.show(entry)

    async def offer_again(self, entry: Entry, changes: ContextChanges) -> None:
        """Do that without showing them: whoever knows of later ones takes these away."""
        self.forget_taken(entry, changes)
        era, names = entry.fence.era, _names(entry)
        self._sharing.unseen(names, changes)
        await self._park(entry, changes)
        if entry.fence.era != era:
            await self._sharing.unpark(names, changes)  # the shopper has logged out meanwhile

    def forget_taken(self, entry: Entry, changes: ContextChanges) -> None:
        """Count changes as taken no more: Emporix has never seen them, whichever token of the session was told so."""
        for each in self._entries.with_siblings(entry):
            each.learn(each.consistency.forgetting(changes))
        self._taken.pop(_home(entry), None)

    async def forget(self, entries: Iterable[Entry]) -> None:
        """Forget everything kept for these entries and their sessions."""
        for entry in entries:
            if entry.told_session is not None:
                self._taken.pop(entry.told_session.name, None)
            await self._sharing.forget(_names(entry))
            entry.store_view.is_linked("")

    async def _keep(self, job: Job) -> None:
        entry, waited = job.entry, job.entry.snapshot.parked
        wanted = job.own.minus(entry.consistency.taken)
        if wanted:
            there = await self._stored(entry)
            await self._park(entry, wanted, there)
            if job.is_forgotten:
                await self._sharing.unpark(_names(entry), wanted)  # the shopper has logged out meanwhile
                return
            entry.show_parked(wanted.newest(there))
        result = job.result.result
        if result is not None and result.is_taken:
            await self.unpark(job)  # it was sent after all while it was being parked
        else:
            await self.show(entry, waited=waited)

    async def _park(self, entry: Entry, changes: ContextChanges, there: ContextChanges = NO_CHANGES) -> None:
        """Park changes beside those that are there already; somebody may send those at this moment."""
        name = _home(entry)
        every = changes.newest(there)
        kept = every.within(MAX_ATTRIBUTES, MAX_ATTRIBUTE_BYTES)
        if len(kept) < len(every):
            self._events.emit(ContextEvent(name="changes.lost", operation="park", outcome="no room"))
            await self._sharing.unpark([name], every.without(kept.ids))
        await self._sharing.park(name, changes.only(kept.ids))
        await self._link(entry)

    async def _link(self, entry: Entry) -> None:
        """Let workers to which Emporix has told less find what is parked for the session, where that is known here."""
        session = entry.proven_session
        if session is not None:
            every = self._entries.with_siblings(entry)
            await self._sharing.link([each for each in every if each.proven_session is not None], session.name)

    async def _move(self, entry: Entry, parked: ContextChanges) -> None:
        """Keep under the session's name, which other tokens share, what was parked before the session was known."""
        await self._park(entry, parked)
        await self._sharing.unpark([entry.name], parked)

    async def show(self, entry: Entry, *, waited: ContextChanges | None = None, gone: Collection[str] = ()) -> None:
        """Show what is parked now to all tokens of a session, and doubt what is there no more.

        Args:
            entry: of one of them.
            waited: what was parked for this one before; what it shows where that is `None`.
            gone: the ids of changes that this process has taken out itself.
        """
        for each in self._entries.with_siblings(entry):
            before = waited if each is entry and waited is not None else each.snapshot.parked
            parked, _ = await self._up_to_date(each)
            each.show_parked(parked)
            _doubt(each, before.without(gone))

    async def _up_to_date(self, entry: Entry, document: ContextDocument | None = None) -> tuple[ContextChanges, bool]:
        """Return what is parked, also by requests of this process that have parked it while the store was asked.

        Returns:
            That, and whether it is all: where the process parks all the time, the store may have to be asked once more.
        """
        parked = NO_CHANGES
        for _ in range(LOOKS):
            own_changes = self._sharing.own_changes
            parked = await self._still_parked(entry, document)
            if self._sharing.own_changes == own_changes:
                return parked, True
        return parked.newest(entry.snapshot.parked), False

    async def _still_parked(self, entry: Entry, document: ContextDocument | None = None) -> ContextChanges:
        if self._sharing.has_none(_names(entry)):
            return NO_CHANGES
        return await self._left_of(await self._stored(entry), entry, document)

    async def _stored(self, entry: Entry) -> ContextChanges:
        """Return what is parked for a token; the store may know of which session it is where Emporix has not told."""
        if entry.proven_session is not None:
            return await self._sharing.parked(_names(entry), entry.snapshot.parked)
        parked, session = await self._sharing.look(entry, entry.snapshot.parked)
        if entry.proven_session is None:
            entry.store_view.is_linked(session)
            self._entries.link(entry, session)
        return parked

    async def _left_of(self, parked: ContextChanges, entry: Entry, document: ContextDocument | None) -> ContextChanges:
        """Return what still waits of `parked`, and forget the rest: neither this entry nor another will always know."""
        left = parked.minus(entry.consistency.taken)
        for each in (document, entry.document):
            if each is not None and len(waiting := left.not_received(each.receipts)) < len(left):
                # Whoever shows it now, over an older document, must not show that alone.
                self._show_received(entry, each, left.without(waiting.ids))
                await self._sharing.tell(self._entries.with_siblings(entry), each.identity, each.version)
                left = waiting
        if len(left) < len(parked):
            await self._sharing.unpark(_names(entry), parked.without(left.ids))
        return left

    def _show_received(self, entry: Entry, document: ContextDocument, received: ContextChanges) -> None:
        """Show what a document has of changes that waited to other tokens of the session whose own one is older."""
        for sibling in self._entries.siblings(entry):
            known = sibling.document
            if known is not None and known.identity == document.identity and known.version < document.version:
                later = sibling.snapshot.overlay.taken_after(document.version)
                sibling.lay_over(later.over(received.held(document, NO_CHANGES)))

    def known_session(self, entry: Entry) -> str:
        """Return the name of the session of a token, empty where Emporix has told it to nobody in this process."""
        proven = entry.proven_session
        if proven is None:
            self._entries.prove(entry, self._known_sessions.of(entry.key))
            proven = entry.proven_session
        else:
            self._known_sessions.learn(entry.key, proven.session_id)
        session = "" if proven is None else proven.name
        if session and session != entry.store_view.looked_under and session in self._taken:
            known = entry.consistency
            entry.learn(known.remembering(known.taken.newest(self._taken.get(session, NO_CHANGES))))
        return session


def _names(entry: Entry) -> tuple[str, ...]:
    """Return the names to look under: of the token, and of its session, as far as Emporix or the store has told it."""
    session = entry.store_view.linked if entry.proven_session is None else entry.proven_session.name
    return (entry.name, session) if session else (entry.name,)


def _doubt(entry: Entry, waited: ContextChanges) -> None:
    """Ask Emporix if the store has lost changes, and show them until then: who has sent them may not be heard of."""
    lost = entry.lost(waited, entry.document)
    if lost.operations:
        entry.lay_over(lost)
        entry.expire()


def _home(entry: Entry) -> str:
    """Return the name to park under: only Emporix' word tells whose a change is."""
    return entry.name if entry.proven_session is None else entry.proven_session.name


def left_parked(changes: ContextChanges, job: Job) -> ContextChanges:
    """Return what is left of parked `changes` once a job has been taken by Emporix."""
    return changes.minus(job.own).minus(job.parked)
