"""The store and the neighbours, in and out; when the store fails, everything goes on without it (hinted handoff)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from ..clock import Clock
from ..events import ContextEvent, Events
from ..model.changes import NO_CHANGES, ContextChanges
from ..model.document import ContextDocument
from ..model.view import Snapshot
from ..stores import Attachment, ContextStore, MemoryStore, Notice, SessionIndex, Stored
from ..stores.reported import losses_of, or_default
from .entry import NEVER, Entry, Fence
from .flights import Flight
from .incarnations import Incarnation
from .keys import Keys
from .merging import merged
from .neighbours import Letter, Neighbour, Refused, Unseen, Written

__all__ = ["Sharing", "StoreRead"]

T = TypeVar("T")

NO_IDENTITY: Final = ""
NO_VERSION: Final = 0


@dataclass(frozen=True, slots=True, repr=False)
class StoreRead:
    """What the store had about a token a moment ago, and what was known here when it was asked.

    Args:
        stored: what it had; `None` where that was nothing, or it failed.
        asked_at: monotonic seconds.
        fence: of the entry at that time.
        news: of the entry at that time.
        own_changes: how often this process had parked or unparked anything by then.
    """

    stored: Stored | None
    asked_at: float
    fence: Fence
    news: int
    own_changes: int


class Sharing:
    """The one access to the store, and to the other engines of this process: documents, notices, and parked changes.

    Where the store keeps no documents, the neighbours have them: each keeps its own, and lets the others look. What the
    store cannot take of parked changes is kept in this process until it can: what was acknowledged must not be lost
    with it (hinted handoff, DeCandia et al. 2007, section 4.6).

    Args:
        store: the store.
        attachment: how well it keeps this event loop informed.
        keys: names for contexts.
        lifetime: seconds after which nobody uses a document any more.
        clock: where time comes from.
        events: who is told that there was no room for what waits.
        neighbour: the engine as its neighbours see it; `None` where it is alone.

    Attributes:
        own_changes: how often this process has parked or unparked anything.
    """

    __slots__ = (
        "_clock",
        "_events",
        "_fallback",
        "_index",
        "_keys",
        "_lifetime",
        "_lost",
        "_neighbour",
        "_store",
        "attachment",
        "own_changes",
    )

    def __init__(
        self,
        store: ContextStore,
        attachment: Attachment,
        *,
        keys: Keys,
        lifetime: float,
        clock: Clock,
        events: Events,
        neighbour: Neighbour | None = None,
    ) -> None:
        self._store = store
        self._index = store if isinstance(store, SessionIndex) and store.shared else None
        self._clock = clock
        self._neighbour = neighbour
        self._fallback = MemoryStore(clock=clock) if neighbour is None else neighbour.neighbourhood.fallback
        self._keys = keys
        self._lifetime = lifetime
        self.own_changes = 0
        self._events = events
        self._lost = self._losses()
        self.attachment = attachment

    @property
    def is_shared(self) -> bool:
        """Whether other processes see what is kept."""
        return self._store.shared

    # Documents.

    async def load(self, entry: Entry) -> Stored | None:
        """Return what others know about a token; `None` where that is nothing."""
        if self._store.shared:
            return await or_default(self._store.load(entry.name), None)
        return None if self._neighbour is None else self._seen_at(self._neighbour.look_around(entry.key), entry)

    def is_unknown(self, entry: Entry, read: StoreRead | None) -> bool:
        """Tell, without waiting, whether nobody else knows anything about a token.

        Args:
            entry: of the token.
            read: what the store has said just now.
        """
        if self._store.shared:
            return read is not None and read.stored is None
        return self._neighbour is None or not self._neighbour.look_around(entry.key)

    def written(self, entry: Entry) -> tuple[Snapshot, float] | None:
        """Return what another engine of this process shows taken changes over, and when it asked for that document."""
        around = [] if self._neighbour is None or self._store.shared else self._neighbour.look_around(entry.key)
        seen = (other.read_elsewhere() for other, _ in around)
        return next((each for each in seen if each[0].overlay), None)

    def learn(self, entry: Entry) -> None:
        """Let an entry know what other engines of this process know of its session by way of any token."""
        if self._neighbour is not None:
            self._neighbour.teach(entry)

    def flight(self, entry: Entry) -> Flight | None:
        """Return a GET for a token that another instance on this event loop has sent, and that may be waited for."""
        return None if self._neighbour is None else self._neighbour.flight_of(entry.key, self._clock.monotonic())

    async def read(self, entry: Entry, now: float) -> StoreRead | None:
        """Return what the store has about a token that is new here; `None` for others, and where it is not shared.

        Args:
            entry: of the token.
            now: monotonic seconds.
        """
        view = entry.store_view
        if not self._store.shared or view.looked_under is not None:
            return None
        fence, news, own_changes = entry.fence, view.news, self.own_changes
        return StoreRead(await self.load(entry), now, fence, news, own_changes)

    async def save(self, entry: Entry, document: ContextDocument, age: float) -> None:
        """Let other processes have a document that came from a GET, `age` seconds ago."""
        if self._store.shared:
            await or_default(self._save(entry, document, age), None)

    async def invalidate(
        self, entries: Sequence[Entry], incarnation: Incarnation, floor: int, taken: ContextChanges = NO_CHANGES
    ) -> None:
        """Keep everybody else from showing less than `floor` of a context, which was `taken` with it."""
        if self.has_others:
            notice = Notice("written", _names(entries), self._keys.incarnation(incarnation), floor, lambda: taken)
            await self._invalidate(notice, Written.by(entries[0], notice))

    async def tell(self, entries: Sequence[Entry], incarnation: Incarnation, version: int) -> None:
        """Tell everybody else which version of a context was read."""
        if self.has_others:
            await self._invalidate(Notice("written", _names(entries), self._keys.incarnation(incarnation), version))

    async def deny(self, entries: Sequence[Entry], incarnation: Incarnation, version: int) -> None:
        """Tell everybody else that a context has this version, and no later one."""
        await self.tell(entries, incarnation, version)
        await self.void(entries, version)

    async def void(self, entries: Sequence[Entry], version: int = NO_VERSION) -> None:
        """Take away the documents of tokens, and of their session; a version says that there is none after it."""
        if self.has_others:
            await self._invalidate(Notice("written", _names(entries), NO_IDENTITY, version))

    async def reject(self, entry: Entry) -> None:
        """Take away the document of a token that was rejected."""
        if self.has_others:
            await self._invalidate(Notice("written", (entry.name,), NO_IDENTITY, NO_VERSION), Refused((entry.name,)))

    # Parked changes.

    async def parked(self, names: Sequence[str], known: ContextChanges) -> ContextChanges:
        """Return what is parked under any of `names`; what the store could not take before goes there now.

        Args:
            names: of a token, and of its session last.
            known: what was parked the last time: it still counts when the store cannot be asked.
        """
        left = await self._left(names)
        return left.newest(await or_default(self._store.parked(names), known))

    async def look(self, entry: Entry, known: ContextChanges) -> tuple[ContextChanges, str]:
        """Return what is parked for a token of which Emporix has told no session here, and the name that a store has.

        Args:
            entry: of the token.
            known: what was parked the last time.
        """
        if self._index is None:
            return await self.parked((entry.name,), known), ""
        left = await self._left((entry.name,))
        looked = await or_default(self._index.look(entry.name), None)
        if looked is None:
            return left.newest(known), entry.store_view.linked
        return left.newest(looked.changes), looked.session

    async def link(self, entries: Iterable[Entry], session: str) -> None:
        """Let workers to which Emporix has not told whose tokens these are find what is parked for their session."""
        unknown = [entry for entry in entries if entry.store_view.linked != session]
        if self._index is None or not unknown:
            return
        failed = self._index.link([entry.name for entry in unknown], session)
        if await or_default(failed, session) is None:
            for entry in unknown:
                entry.store_view.is_linked(session)

    def has_none(self, names: Sequence[str]) -> bool:
        """Tell whether nothing is parked under any of `names`; a store that has to be asked cannot tell."""
        store = self._store
        # Exactly this class: one that is made from it may keep them elsewhere.
        if type(store) is not MemoryStore:
            return False
        return not (store.holds(names) or self._fallback.holds(names))

    async def park(self, name: str, changes: ContextChanges) -> None:
        """Keep `changes`; of two changes of one field the later one stays."""
        if not await self._takes(name, changes):
            await self._fallback.park(name, changes)
        self._tell(Notice("parked", (name,)))

    async def unpark(self, names: Sequence[str], changes: ContextChanges) -> None:
        """Forget these changes, and earlier ones of their fields, under all of `names`; later ones stay."""
        await self._fallback.unpark(names, changes)
        await self._changed(self._store.unpark(names, changes), None)
        self._tell(Notice("parked", tuple(names)))

    def unseen(self, names: Sequence[str], changes: ContextChanges) -> None:
        """Have the other engines of this process count changes as taken no more: Emporix has never seen them."""
        self._tell(Unseen(tuple(names), changes))

    async def forget(self, names: Sequence[str]) -> None:
        """Forget documents and parked changes under `names`."""
        await self._fallback.forget(names)
        await self._changed(self._store.forget(names), None)
        self._tell(Notice("forgotten", tuple(names)))

    def has_nothing_parked(self, names: Sequence[str], entry: Entry, read: StoreRead) -> bool:
        """Tell whether nothing is parked under any of `names`, nor has been since the store was read."""
        if read.stored is None or read.news != entry.store_view.news or read.own_changes != self.own_changes:
            return False
        return all(name in read.stored.unparked for name in names) and not self._fallback.holds(names)

    async def _save(self, entry: Entry, document: ContextDocument, age: float) -> None:
        session = entry.proven_session
        await self._store.save(
            entry.name,
            document,
            self._keys.incarnation(document.identity),
            age=age,
            lifetime=max(self._lifetime - age, 0.0),
            session="" if session is None else session.name,
        )

    async def _invalidate(self, notice: Notice, letter: Letter | None = None) -> None:
        if self._store.shared:
            what = notice.names, notice.identity, notice.floor
            await or_default(self._store.invalidate(*what, lifetime=self._lifetime, taken=notice.taken), None)
        self._tell(letter or notice)

    @property
    def has_others(self) -> bool:
        """Whether there is anybody else to tell."""
        return self._store.shared or (self._neighbour is not None and self._neighbour.has_company)

    def _tell(self, letter: Letter) -> None:
        if self._neighbour is not None:
            self._neighbour.tell(letter)

    def _seen_at(self, neighbours: Iterable[tuple[Entry, bool]], entry: Entry) -> Stored | None:
        """Let an entry know what the others know about its token, and return the latest document that one of them has.

        A document is read before what is known about versions: a write in between shows.
        """
        latest, read_at = None, NEVER
        for other, up_to_date in neighbours:
            snapshot, asked_at = other.read_elsewhere()
            entry.learn(merged(entry.consistency, other.consistency))
            if up_to_date and not snapshot.overlay and asked_at > read_at and snapshot.document is not None:
                latest, read_at = snapshot.document, asked_at
        if latest is None:
            return None
        return Stored(latest, self._clock.monotonic() - read_at, self._keys.incarnation(latest.identity))

    async def _left(self, names: Sequence[str]) -> ContextChanges:
        """Return what the store could not take before, and have it take that now, under the last of `names`."""
        left = await self._fallback.parked(names)
        if left and await self._takes(names[-1], left):
            await self._fallback.unpark(names, left)
        return left

    async def _takes(self, name: str, changes: ContextChanges) -> bool:
        """Tell whether the store has taken changes."""

        async def park() -> bool:
            await self._store.park(name, changes)
            return True

        failed = False
        return await self._changed(park(), failed)

    async def _changed(self, answer: Awaitable[T], default: T) -> T:
        try:
            return await or_default(answer, default)
        finally:
            self.own_changes += 1
            self._tell_losses()

    def _losses(self) -> Counter[str]:
        return Counter(losses_of(self._store)) + Counter(self._fallback.losses)

    def _tell_losses(self) -> None:
        known, self._lost = self._lost, self._losses()
        for reason in self._lost - known:
            self._events.emit(ContextEvent(name="changes.lost", operation="park", outcome=reason))


def _names(entries: Sequence[Entry]) -> tuple[str, ...]:
    sessions = {each.proven_session.name: None for each in entries if each.proven_session is not None}
    return (*(each.name for each in entries), *sessions)
