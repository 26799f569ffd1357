"""The protocol of stores, which keep what outlives a request and, perhaps, this process.

`session_ctx_middleware.testing.store_rules` checks an implementation of your own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

from ..checks import with_methods
from ..model.changes import NO_CHANGES, ContextChanges
from ..model.document import ContextDocument

__all__ = [
    "PARKED_TTL",
    "Attachment",
    "ContextStore",
    "ContextStoreUnavailable",
    "Listener",
    "Notice",
    "Parked",
    "SessionIndex",
    "Stored",
    "check_store",
    "tells_taken",
]

WANTED: Final = (
    "store=... must be a store object, such as MemoryStore() or RedisStore('redis://...'); "
    "session_ctx_middleware.stores.ContextStore says what it has to do."
)
METHODS: Final = ("attach", "load", "save", "invalidate", "forget", "parked", "park", "unpark", "aclose")

PARKED_TTL: Final = 24 * 3600.0
"""Seconds for which a parked change is kept, counted from when it was made."""


class ContextStoreUnavailable(Exception):
    """A store cannot do what it was asked, and has logged it once; the text quotes nothing that was sent."""


@dataclass(frozen=True, slots=True, repr=False)
class Stored:
    """What a shared store has under the name of a token.

    Args:
        document: as some process read it from Emporix; `None` where it was invalidated since.
        age: seconds since that process asked Emporix, by the store's clock alone (compare RFC 9111, section 4.2.3).
        identity: which context the floor is of.
        floor: the minimum version of that context: earlier ones must not be used.
        unparked: names under which nothing was parked at that moment: of the token, and of the session given to
            `save`. They save a call of `ContextStore.parked`. A store that did not check, or may have passed on a
            notice since that moment, leaves them out.
    """

    document: ContextDocument | None = None
    age: float = 0.0
    identity: str = ""
    floor: int = -1
    unparked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Parked:
    """What waits for the holder of a token; see `SessionIndex`.

    Args:
        changes: parked under the name of the token, or of its session.
        session: the name of that session; empty where nobody has linked the token with one.
    """

    changes: ContextChanges = NO_CHANGES
    session: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """What another process has changed under some names.

    Args:
        kind: ``written``: Emporix took a change, or refused the token; ``forgotten``: a logout; ``parked``: the parked
            changes are others than before. A logout that is published late is ``written`` without an identity, then
            ``parked``: what was changed after the logout stays.
        names: of tokens and sessions.
        identity: for ``written``: which context, empty for none.
        floor: for ``written``: the minimum version of it; without a context the one above which, as somebody denies,
            there is none, or 0.
        tells: for ``written``: returns the changes that Emporix took with that version, where whoever tells it knows
            them. Few of those who hear of a notice keep anything under its names.
    """

    kind: Literal["written", "forgotten", "parked"]
    names: tuple[str, ...]
    identity: str = ""
    floor: int = -1
    tells: Callable[[], ContextChanges] = field(default=ContextChanges, compare=False, repr=False)

    @property
    def taken(self) -> ContextChanges:
        """The changes that Emporix took with that version, as far as they were told."""
        return self.tells()


Listener: TypeAlias = Callable[[Notice], None]


@dataclass(slots=True, eq=False)
class Attachment:
    """How well a store keeps one event loop informed; the store changes it, the engine reads it.

    Args:
        epoch: rises whenever notices may have been missed: what was cached before is checked against the store.
        connected: whether notices arrive; while they do not, nothing counts as fresh for longer than two seconds.
    """

    epoch: int = 0
    connected: bool = True

    def missed(self) -> None:
        """Note that notices may have been missed."""
        self.epoch += 1

    def lost(self) -> None:
        """Note that notices no longer arrive."""
        self.connected = False

    def restored(self) -> None:
        """Note that notices arrive again, and that some may have been missed until now."""
        self.connected = True
        self.missed()


class ContextStore(Protocol):
    """Keeps what outlives a request: documents that processes share, and parked changes that Emporix could not take.

    A name stands for one token (``token-...``) or one session that Emporix knows (``session-...``); it holds a keyed
    hash, never the thing itself. Implementations bound what they keep in number and age, and the time that a call may
    take. They are used by every event loop of the process. What they raise is logged, unless it is a
    `ContextStoreUnavailable`, and pages go on without them. What `invalidate`, `forget` or `unpark` could not remove,
    they must not return to this process again, and must remove as soon as that is possible. A store that has to give
    something up, such as for lack of room, may count that in a property ``losses``, by the reason; it is told then. It
    may be a `SessionIndex`, too.
    """

    shared: bool
    """Whether other processes see what is kept; a store of this process alone is never asked for documents."""

    def attach(self, listener: Listener) -> Attachment:
        """Notify the running event loop of what others change; called once per event loop, before anything else.

        A notice comes once, late, or never; not twice: it would tell of a version that was made anew.
        """
        ...

    async def load(self, name: str) -> Stored | None:
        """Return what is kept under the name of a token, `None` where nothing is."""
        ...

    async def save(
        self, name: str, document: ContextDocument, identity: str, *, age: float, lifetime: float, session: str = ""
    ) -> None:
        """Keep a document that came from a GET, unless what is kept shows that it is out of date.

        A later version of the same identity, or a floor of it above this version, stays; another identity is replaced.

        Args:
            name: of the token.
            document: what Emporix answered.
            identity: tells this context from one that was created anew, where versions restart.
            age: seconds since Emporix was asked.
            lifetime: seconds from now until it is to be forgotten.
            session: name of the session that the document is of, for `Stored.unparked`.
        """
        ...

    async def invalidate(
        self,
        names: Sequence[str],
        identity: str,
        floor: int,
        *,
        lifetime: float,
        taken: ContextChanges = NO_CHANGES,
    ) -> None:
        """Raise the floor of documents of this identity, and notify the others.

        Args:
            names: of the tokens, and of their session last.
            identity: which context.
            floor: the minimum version; a floor never falls.
            lifetime: seconds from now for which the floor is kept: until all earlier versions have expired everywhere.
            taken: the changes that Emporix took with that version: for the notice alone, as who shares a store is to
                know them at once. A store without this argument is not told; other workers then ask Emporix.
        """
        ...

    async def forget(self, names: Sequence[str]) -> None:
        """Forget documents and parked changes under all of `names`, and notify the others.

        A logout is told once: a store that cannot do it now does it as soon as it can, and hands out nothing before.
        """
        ...

    async def parked(self, names: Sequence[str]) -> ContextChanges:
        """Return what is parked under any of `names`, the latest change of each field."""
        ...

    async def park(self, name: str, changes: ContextChanges) -> None:
        """Keep `changes`, and notify the others; of two changes of one field the later one stays."""
        ...

    async def unpark(self, names: Sequence[str], changes: ContextChanges) -> None:
        """Forget these changes, and earlier ones of their fields, under all of `names`; later ones stay."""
        ...

    async def aclose(self) -> None:
        """Close what belongs to the running event loop; a later call opens it again."""
        ...


@runtime_checkable
class SessionIndex(Protocol):
    """Which session a token is of, as the workers know that Emporix has told; a store may keep that, too.

    With it a worker to which Emporix has not said a word yet, as it is down, finds what waits for the session, not only
    what waits for the token. It is an index and nothing more: nothing is parked or sent by what it says. A store
    without these two methods is never asked.
    """

    async def link(self, names: Sequence[str], session: str) -> None:
        """Note for 24 hours to which session tokens belong, and notify the others as `ContextStore.park` does.

        Args:
            names: of the tokens; `ContextStore.forget` of one of them forgets its link, too.
            session: the name of their session.
        """
        ...

    async def look(self, name: str) -> Parked:
        """Return what is parked under the name of a token and under that of its session, where that is known."""
        ...


def tells_taken(store: ContextStore) -> bool:
    """Tell whether a store passes on which changes were taken: one that was written before that was so does not."""
    known = signature(store.invalidate).parameters.values()
    return any(each.name == "taken" or each.kind is Parameter.VAR_KEYWORD for each in known)


def check_store(store: object) -> None:
    """Raise a `ConfigurationError` unless this is a store, or `None`."""
    if store is not None:
        with_methods(store, METHODS, WANTED)
