"""A session context that notes what is done with it, and touches nothing that the request has not touched."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, suppress
from typing import Any, ClassVar, Final, Protocol

from starlette.types import Message, Scope

from ..brought_notes import Found
from ..clock import Clock
from ..context import SessionContext
from ..dependencies import RequestDependencies
from ..document_cookie import NOT_LOOKED_FOR
from ..engine import CommitResult, Travelled
from ..errors import UnknownField
from ..model import view
from ..model.changes import ContextChanges
from ..model.document import Removed, Value
from ..model.fields import SWITCHES
from ..model.view import NOTHING_KNOWN, NOTHING_RESOLVED, Snapshot
from ..reports import cache_result
from ..shared_pages import is_customer
from .records import NO_TOKEN, NOT_KNOWN, Facts, Load, Read, RequestRecord

__all__ = ["Keeper", "Watched", "watched"]

FIELDS: Final = frozenset(
    {
        *SWITCHES,
        *("attributes", "cart_id", "customer_id", "document", "exists", "has_token", "is_degraded", "is_logged_in"),
        *("is_rejected", "is_stale", "pending", "session_id", "version"),
    }
)
PRICED: Final = ("site_code", "currency", "target_location")
READ: Final = "read"
"""What stands in the place of values that nobody is shown."""
END: Final = 4
"""Characters of the end of a cart's id that are shown, to tell carts apart."""


class Keeper(Protocol):
    """What keeps the records."""

    def begin(self, tenant: str, clock: Clock) -> RequestRecord:
        """Return a new record."""
        ...

    def keep(self, record: RequestRecord) -> None:
        """List a record: its request has touched its context."""
        ...

    def following(self, record: RequestRecord) -> AbstractContextManager[None]:
        """Take what is told inside the block for what a request has brought about."""
        ...

    def owner(self, token: str) -> bytes:
        """Return what stands for a token."""
        ...


class Watched(SessionContext):
    """The session context of a request that somebody watches."""

    _keeper: ClassVar[Keeper]

    def __init__(self, deps: RequestDependencies, scope: Scope, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(deps, scope, loop)
        self._noted = self._keeper.begin(deps.place[0], deps.clock)
        self._travelled: Travelled | None = None

    @property
    def _watching(self) -> RequestRecord:
        """The record, listed from now on."""
        self._keeper.keep(self._noted)
        return self._noted

    def recorded_for(self, keeper: object) -> RequestRecord | None:
        """Return the record, to who keeps it."""
        return self._noted if keeper is self._keeper else None

    # Reading

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name in FIELDS:
            self._note_read(name, value)
        return value

    def price_criteria(self) -> dict[str, str]:
        """Return what explicit price matching needs; that is as good as reading it."""
        found = super().price_criteria()
        for field in PRICED:
            self._note_read(field, self._plain(field))
        return found

    def _note_read(self, field: str, value: object) -> None:
        self._watching.read(field, Read(_shown(field, value), self._came_from(field, value)))

    def _came_from(self, field: str, value: object) -> str:
        """Return where a value came from, without touching anything, as `source` does."""
        source = ""
        with suppress(UnknownField):
            source = view.source(
                field, self._changes, self._known or NOTHING_KNOWN, self._deps.defaults, self._what_is_resolved
            )
        own = field in SWITCHES and source != "change" and value != self._plain(field)
        return "default" if own else source  # of the site, which does not offer what is remembered

    def _plain(self, field: str) -> str | None:
        known, defaults = self._known or NOTHING_KNOWN, self._deps.defaults
        return view.switch_value(field, self._changes, known, defaults, self._what_is_resolved)

    @property
    def _what_is_resolved(self) -> view.Resolved:
        """What resolvers have told so far: nobody asks them for the panel's sake."""
        return self._what_resolves or NOTHING_RESOLVED

    # Loading

    def _touch(self) -> None:
        self._keeper.keep(self._noted)
        super()._touch()

    async def _load(self) -> None:
        clock = self._deps.clock
        began = clock.monotonic()
        await super()._load()
        self._watching.wait(clock.monotonic() - began)

    def _loaded(self, known: Snapshot, began: float | None = None) -> None:
        super()._loaded(known, began)
        self._note_token()
        travelled = self._travelled
        came_along = travelled is not None and travelled.document is known.document
        version = None if known.document is None else known.document.version
        cache = cache_result(known, hit=began is None)
        age = travelled.age if came_along and travelled is not None else self._age(known)
        self._watching.load(Load(cache, came_along, age, version))

    def _age(self, known: Snapshot) -> float | None:
        token = self._token
        kept = None if token is None or known.document is None else self._engine.given_along(token)
        return None if kept is None else kept.age

    def _open_document(self) -> Travelled | None:
        self._travelled = super()._open_document()
        return self._travelled

    def _note_token(self) -> None:
        token = self._token
        if token is not None:
            self._watching.own(self._keeper.owner(token.value))

    # Changing

    def _put(self, path: str, value: Value) -> None:
        super()._put(path, value)
        self._watching.change(path, _to(path, value))

    async def _commit(
        self, operation: str, *, parks: bool, changes: ContextChanges | None = None, carried: bool = False
    ) -> CommitResult:
        with self._keeper.following(self._noted):  # it may run in a task of its own, as the browser may leave
            outcome = await super()._commit(operation, parks=parks, changes=changes, carried=carried)
        self._note_token()
        return outcome

    # The response

    def _starts(self, message: Message) -> bool:
        self._noted.start(message["status"])
        return super()._starts(message)

    async def _cookies_out(self) -> tuple[bytes, ...]:
        headers = await super()._cookies_out()
        self._noted.send_cookies(headers)
        return headers

    def facts(self) -> Facts:
        """Return what the context is like now."""
        known = self._known
        return Facts(
            shopper=self._who(),
            unread={} if known is None else self._unread(),
            parked=() if known is None else tuple(known.parked),
            notes=_notes_in_words(self._brought),
            document=self._document_in_words(),
        )

    def _unread(self) -> dict[str, Read]:
        values = {field: self._plain(field) for field in SWITCHES if field not in self._noted.reads}
        return {field: Read(value or "", self._came_from(field, value)) for field, value in values.items()}

    def _who(self) -> str:
        if self._token_sought and self._token is None:
            return NO_TOKEN
        if self._known is None or self._known.degraded or self._known.rejected:
            return NOT_KNOWN
        return "customer" if is_customer(self._known) else "guest"

    def _document_in_words(self) -> str:
        brought = self._document_cookie
        if brought is NOT_LOOKED_FOR or not brought.values:
            return ""
        if brought.ignored:
            return f"brought, not used: {brought.ignored}"
        return "brought, and used" if self._travelled is not None else "brought, not needed"


def watched(kind: type[SessionContext], keeper: Keeper) -> type[SessionContext]:
    """Return a class of contexts that note what is done with them.

    Args:
        kind: the class that they would be of.
        keeper: keeps what they note.
    """
    return type(kind.__name__, (Watched, kind), {"_keeper": keeper, "__doc__": kind.__doc__})


def _to(path: str, value: Value) -> str:
    """Return what a field was changed to; of an attribute only whether it is there."""
    if path in SWITCHES and isinstance(value, str):
        return value
    return "removed" if isinstance(value, Removed) else "set"


def _shown(field: str, value: object) -> str:
    """Return what the panel keeps of a value."""
    if value is None:
        return ""
    if isinstance(value, bool | int):
        return str(value)
    if not isinstance(value, str) or field not in {*SWITCHES, "cart_id"}:
        return READ
    return value if field in SWITCHES else _masked(value)


def _masked(value: str) -> str:
    return "\u2026" + value[-END:] if len(value) >= 4 * END else "\u2026"


def _notes_in_words(found: Found) -> tuple[str, ...]:
    """Return what notes hold: how much of what kind."""
    notes = found.notes
    if notes is None:
        return (f"not believed: {found.ignored}",) if found.ignored else ()
    waiting = sorted({each.path for each in notes.operations if each.operation.taken is None})
    taken = sorted({each.path for each in notes.operations if each.operation.taken is not None})
    words = [
        f"waiting: {', '.join(waiting)}" if waiting else "",
        f"taken by Emporix: {', '.join(taken)}" if taken else "",
        f"lowest versions: {len(notes.floors)}" if notes.floors else "",
        "after a logout" if notes.era else "",
        f"not believed: {found.ignored}" if found.ignored else "",
    ]
    return (f"{len(found.brought)} note{'' if len(found.brought) == 1 else 's'}", *(each for each in words if each))
