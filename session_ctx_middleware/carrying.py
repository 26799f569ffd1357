"""What a request brings along, its token and its notes, and what its response lets the browser carry.

Private to `lifecycle` and `context`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from starlette.requests import HTTPConnection

from .brought_notes import NOTHING, Found
from .clock import Budget
from .document_cookie import MAX_CARRIED, MAX_SET, NOT_LOOKED_FOR, PASSED_OVER, BroughtDocument, held_after
from .engine import DocumentOffer, Engine, Noted, Notes, Travelled, digest_of_switches
from .errors import ConfigurationError
from .model.changes import NO_CHANGES, ContextChanges
from .model.fields import SWITCHES
from .model.view import NOTHING_RESOLVED, Resolved, Snapshot
from .privacy import Privacy
from .tasks import SharedResult
from .tokens import StorefrontToken, Visitor

__all__ = ["COMMITTING", "READING", "Carrying"]

READING, COMMITTING = 0, 1

T = TypeVar("T")


class Carrying(Privacy):
    """The part of a request that deals with the shopper's browser."""

    _found: str | StorefrontToken | None = None
    """The token, once it was sought."""
    _token_sought = False
    _seeking: asyncio.Task[StorefrontToken | None] | None = None
    """The search for the token, where it has to be awaited."""
    _budgets: tuple[Budget, Budget] | None = None
    """What is left for waiting: for reading, and for committing."""
    _visitor: Visitor | None = None
    """Who it is, to a source that takes care of sessions, and what the browser is to keep of that."""
    _noticing: SharedResult[Exception | str] | None = None
    """The look for the context after a call of the shop has created a cart; there is a `_visitor` then."""
    _brought: Found = NOTHING
    """What the continuity cookies say, once they were read."""
    _cookies_read = False
    _document_cookie: BroughtDocument = NOT_LOOKED_FOR
    """The document that the browser brought, once it was looked for."""
    _may_travel: bool | None = None
    """Whether the shopper has agreed to it, once that was asked."""
    _ended: Notes | None = None
    """The end mark, once the shopper has logged out in this request: what he brought counts no more."""
    _told: ContextChanges = NO_CHANGES
    """What the shopper's browser should know of: changes that Emporix has taken, or that are parked."""
    _tells_version = False
    """Whether the shopper's browser should know the version that was seen: another worker may show an older one."""
    _logs_in = False
    """Whether the shopper has logged in, in the same session: what was chosen before may have been written over."""
    _receipts = False
    """Whether a change of the shopper has been parked."""

    _what_resolves: Resolved | None = None
    """What the request says by itself of values, once that was asked."""

    @property
    def _resolved(self) -> Resolved:
        resolvers = self._deps.resolvers
        if not resolvers:
            return NOTHING_RESOLVED
        if self._what_resolves is None:
            self._what_resolves = resolvers.resolve(HTTPConnection(self._scope))
        return self._what_resolves

    def _learn(self, known: Snapshot | None) -> None:
        """Go on with what was learnt after the load: what was read before may be something else."""
        self._has_shifted = self._has_shifted or self._known is not None
        self._known = known

    def _is_abroad(self) -> bool:
        """Tell whether the code that awaits this runs on another event loop than the one that serves the request."""
        return asyncio.get_running_loop() is not self._loop

    async def _at_home(self, work: Coroutine[object, object, T]) -> T:
        """Run `work` on the event loop that serves the request, though it is awaited on another one.

        A synchronous endpoint may bring its worker thread a loop of its own (`asyncio.run`), which ends with the call,
        and would take along what others wait for.
        """
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    @property
    def _engine(self) -> Engine:
        return self._deps.engine(self._loop)

    @property
    def _token(self) -> StorefrontToken | None:
        return StorefrontToken(self._found) if isinstance(self._found, str) else self._found

    async def _credentials(self) -> StorefrontToken | None:
        if not self._token_sought:
            if self._seeking is None:
                self._seeking = self._loop.create_task(self._seek())
            elif self._seeking is asyncio.current_task():
                raise ConfigurationError("A token source used the session context, which is waiting for its token.")
            await asyncio.wait({self._seeking})  # unlike awaiting the task, this does not cancel it with the waiter
            self._found = self._seeking.result()
            self._token_sought = True
        return self._token

    async def _seek(self) -> StorefrontToken | None:
        connection = HTTPConnection(self._scope)
        if not self._deps.tokens.begins_sessions:
            return await self._deps.tokens.find(connection)
        with self._budget(READING) as until:
            return await self._deps.tokens.find(connection, self._visiting().waiting(until))

    async def _another_token(self, refused: StorefrontToken) -> StorefrontToken | None:
        """Return another token of the shopper in place of one that Emporix has refused, `None` where there is none."""
        if not self._deps.tokens.begins_sessions:
            return None
        with self._budget(READING) as until:
            visitor = self._visiting().waiting(until)
            found = await self._deps.tokens.instead_of(refused, HTTPConnection(self._scope), visitor)
        self._found = found or self._found
        return found

    def _visiting(self) -> Visitor:
        if self._visitor is None:
            self._visitor = Visitor(self._choices, lambda: self._cannot_answer, lambda: self._era)
        return self._visitor

    def _budget(self, which: int) -> Budget:
        """Measure one wait: up to its response a request has one budget for all its waits, then a new one for each."""
        if self._budgets is None or self._response is not None or self._scope["type"] == "websocket":
            self._budgets = self._engine.budgets()
        return self._budgets[which]

    def _choices(self) -> dict[str, str]:
        """Return what a session should begin with: what was chosen before there was one, and else the defaults."""
        notes = self._notes()
        chosen = {} if notes is None else {path: each.value for path, each in notes.of("", "").operations.items()}
        resolved = self._resolved
        chosen = {**{name: resolved.value(name) for name in resolved.rest}, **chosen, **resolved.url}
        if "site_code" not in chosen:  # defaults of one site may not be offered by another one
            chosen = {**{name: getattr(self._deps.defaults, name) for name in SWITCHES}, **chosen}
        return {name: value for name, value in chosen.items() if name in SWITCHES and isinstance(value, str)}

    def _notes(self) -> Notes | None:
        """Return what the shopper's browser brought along from other workers."""
        cookies = self._deps.cookies
        if cookies is not None and not self._cookies_read:
            self._cookies_read = True
            self._brought = cookies.read(self._scope)
            if self._brought.ignored:
                self._emit("continuity.ignored", "load", self._brought.ignored)
        return self._brought.notes if self._ended is None else self._ended

    @property
    def _no_notes(self) -> Notes | None:
        """What is brought along by a browser that could bring notes, and brings none."""
        return None if self._deps.cookies is None else Notes()

    def _drains(self) -> bool:
        """Tell whether this request should send what is parked: its load found a context that is in good health."""
        known = self._known
        if known is None or known.document is None or not known.parked.operations or known.stale or self._token is None:
            return False
        return self._engine.may_drain(self._token)

    # The travelling document

    def _offer(self) -> DocumentOffer | None:
        """Return what opens the document that the browser brought, where there is one that may be used."""
        if self._deps.documents is None or self._token is None or self._ended is not None:
            return None
        brought = self._brought_document()
        return self._open_document if brought.values and not brought.opened and self._travels() else None

    def _open_document(self) -> Travelled | None:
        documents, token, brought = self._deps.documents, self._token, self._brought_document()
        if documents is None or token is None:
            return None
        travelled = documents.open(self._scope, brought, token.value, self._era)
        if brought.ignored:
            kind = "document.passed_over" if brought.ignored in PASSED_OVER else "document.ignored"
            self._emit(kind, "load", brought.ignored)
        return travelled

    def _brought_document(self) -> BroughtDocument:
        if self._document_cookie is NOT_LOOKED_FOR and self._deps.documents is not None:
            self._document_cookie = self._deps.documents.find(self._scope)
        return self._document_cookie

    def _travels(self) -> bool:
        """Tell whether the shopper has agreed that a document is kept in the browser."""
        asks = self._deps.consents
        if asks is None:
            return True
        if self._may_travel is None:
            try:
                self._may_travel = bool(asks(HTTPConnection(self._scope)))
            except Exception as error:  # noqa: BLE001 - who cannot be asked has not agreed
                self._may_travel = False
                self._emit("consent.failed", "respond", type(error).__name__)
        return self._may_travel

    def _renews(self) -> bool:
        """Tell whether the response can take a new document along."""
        return self._deps.documents is not None and not self._cannot_answer and self._travels()

    def _document_out(self) -> bytes | None:
        """Return the value of ``Set-Cookie`` that has the browser keep another document than it brought, or none."""
        documents, brought, known, token = self._deps.documents, self._brought_document(), self._known, self._token
        if documents is None or token is None:
            return None
        if self._ended is None and known is not None and documents.is_current(brought, known.document, self._era):
            return None if self._travels() else documents.clear(self._scope)
        if self._ended is None and self._travels():
            if self._tells_version and brought.values and not brought.opened:
                self._open_document()  # nobody has needed it, but what it has says whether the browser gets another one
            travelled = self._engine.given_along(token)
            if travelled is not None and documents.is_later(brought, travelled, token.value, self._era):
                header = documents.set(self._scope, travelled, token.value, self._era)
                if header is not None:
                    return header
            elif not (brought.ignored == "unreadable" or _is_gone(known)):
                return None
        return documents.clear(self._scope) if brought.values else None

    def _left(self) -> str:
        """Return a digest of the switches as a login of this request has left them, empty where there was none."""
        known = self._known
        if not self._logs_in or known is None or known.document is None:
            return ""
        taken, document = known.overlay, known.document
        return digest_of_switches(
            {path: each.value if (each := taken.get(path)) else document.value_at(path) for path in SWITCHES}
        )

    @property
    def _era(self) -> int:
        notes = self._notes()
        return 0 if notes is None else notes.era

    def _newest_at(self) -> float:
        """Return the latest timestamp of a change that this request knows of, in seconds since the epoch."""
        notes, known = self._notes(), self._known
        parked = 0.0 if known is None else known.parked.newest_at
        return parked if notes is None else max(notes.newest_at, parked)

    def _tell(self, told: ContextChanges, *, receipts: bool) -> None:
        """Have the response tell the browser; where that has gone, or there is none, the next response of the token."""
        self._told = told.newest(self._told)
        self._receipts = self._receipts or receipts
        if self._cannot_answer:
            self._tell_later(told)

    def _tell_later(self, told: ContextChanges) -> None:
        if told.operations and self._token is not None and self._deps.cookies is not None:
            self._engine.tell_later(self._token, told)

    def _leaves(self, *, answered: bool = True) -> None:
        """Keep what there was to tell where somebody outside answers, or nobody."""
        unanswered = self._scope["type"] == "http" and (self._response is None or not answered)
        if unanswered:
            self._tell_later(self._told)
        super()._leaves(answered=answered)

    @property
    def _cannot_answer(self) -> bool:
        return self._response is not None or self._scope["type"] == "websocket"

    def _owes_cookies(self) -> bool:
        """Tell whether the browser should carry something else than what it brought along, or may have to."""
        if self._visitor is not None and (self._visitor.headers or self._noticing is not None):
            return True
        if self._deps.cookies is None:
            return False
        if self._ended is not None:
            return True  # what earlier requests have left to tell ends with the visit
        if not (self._used or self._told.operations or self._tells_version):
            return False
        if self._has_news() or self._tells_version or not self._brought.is_tidy:
            return True
        return self._deps.documents is not None and self._document_out() is not None

    def _has_news(self) -> bool:
        """Tell whether there is something to tell, with what earlier requests have left, which is taken over."""
        left = (
            self._engine.tells_now(self._token) if self._engine.has_untold and self._token is not None else NO_CHANGES
        )
        if left.operations:
            self._told, self._receipts = self._told.newest(left), True
        return bool(self._told.operations)

    async def _cookies_out(self) -> tuple[bytes, ...]:
        """Return the values of ``Set-Cookie``."""
        cookies, token = self._deps.cookies, await self._credentials()
        session = () if self._visitor is None else self._visitor.headers
        if cookies is None:
            return session
        ends, taken = self._ended is not None, sum(map(len, session))
        written = cookies.write(self._scope, self._brought, self._own_note(token), ends=ends, taken=taken)
        if written.left_out:
            lost = "switches of a visitor without a token were dropped"
            became = lost if token is None else await self._engine.keep(token, written.left_out)
            self._emit("continuity.overflow", "respond", became)
        return self._with_document((*session, *written.headers))

    def _with_document(self, headers: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Return what the browser is to keep, and the document where there is room for it."""
        documents = self._deps.documents
        if documents is None:
            return headers
        sizes = {**self._brought.sizes, **self._deps.tokens.carried(self._scope)}
        brought, held = self._brought_document(), held_after(sizes, headers)
        if held + documents.size(self._scope, brought, header := self._document_out()) > MAX_CARRIED:
            self._emit("document.left_out", "respond", "no room beside the others")
            header = documents.clear(self._scope) if brought.values else None
        fits = header is not None and sum(map(len, headers)) + len(header) <= MAX_SET
        return (*headers, header) if fits and header is not None else headers

    def _own_note(self, token: StorefrontToken | None) -> Notes | None:
        """Return what this response itself has to tell."""
        if not (self._told.operations or self._tells_version):
            return self._ended
        brought = self._notes() or Notes()
        if token is not None:
            return self._engine.to_note(token, self._told, brought, receipts=self._receipts, left=self._left())
        operations = tuple(Noted(path, operation) for path, operation in self._told.operations.items())
        return Notes(operations, (), brought.era, brought.ended, self._receipts)


def _is_gone(known: Snapshot | None) -> bool:
    """Tell whether Emporix has said that there is no context, or refused the token."""
    return known is not None and (known.rejected or (known.document is None and not known.degraded))
