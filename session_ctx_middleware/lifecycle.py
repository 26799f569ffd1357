"""What stands behind a `SessionContext`: its token and waits, loading, recording, and the commit at the end.

Private to `context` and `middleware`.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Final

from starlette.requests import HTTPConnection
from starlette.types import Message, Scope

from .clock import Budget
from .continuity import NOTHING, Found
from .dependencies import RequestDependencies
from .engine import Commit, CommitResult, Engine, Note
from .errors import ContextNotLoaded, ContextSealed, ContextUnavailable, NoToken
from .frames import without_locals
from .model.changes import NO_CHANGES, ContextChanges
from .model.document import Value
from .model.fields import checked_switch
from .model.view import NOTHING_KNOWN, Snapshot
from .privacy import Privacy
from .recording import new_operation, recording, with_operation
from .reports import commit_event, load_event
from .tokens import StorefrontToken

__all__ = ["READING", "RequestLifecycle"]

READING, COMMITTING = 0, 1
COMMITTED: Final = "committed"
THREAD_PATIENCE: Final = 1.0  # seconds that a worker thread waits longer for a load than it may take


class RequestLifecycle(Privacy):
    """One request: finds its token, loads its context at most once, records changes, and sends them at the end.

    Args:
        deps: what every request of the middleware shares.
        scope: the ASGI scope of the request, or as much of it as tokens and the cookie are found in.
        loop: the event loop that serves the request.
    """

    # Defaults live on the class: a request that never touches its context pays for its three attributes only.
    _found: str | StorefrontToken | None = None
    """The token, once it was sought."""
    _token_sought = False
    _seeking: asyncio.Task[StorefrontToken | None] | None = None
    """The search for the token, where it has to be awaited."""
    _cookie: Found = NOTHING
    """What the continuity cookie says, once it was read."""
    _cookie_read = False
    _budgets: tuple[Budget, Budget] | None = None
    """What is left for waiting: for reading, and for committing."""
    _changes: ContextChanges = NO_CHANGES
    """What is recorded and not yet sent."""
    _late = 0
    """How many `late_changes` blocks are open."""
    _unsent = False
    """Whether Emporix could not be reached with these changes: at the end they are parked without another attempt."""
    _sending = False
    """Whether a commit is under way, which goes on without this request."""
    _committed = False
    _forgotten = False

    def __init__(self, deps: RequestDependencies, scope: Scope, loop: asyncio.AbstractEventLoop) -> None:
        self._deps = deps
        self._scope = scope
        self._loop = loop

    # Loading

    def _load_now(self) -> bool:
        """Load without waiting, if nothing has to be waited for: the way that most requests go."""
        if self._known is not None and self._scope["type"] == "http":
            return True
        if not self._token_sought:
            if not self._deps.tokens.instant:
                return False
            self._found = self._deps.tokens.now(self._scope)
            self._token_sought = True
        found = self._found
        if found is None:
            self._brought_no_token()
            self._known = NOTHING_KNOWN
            return True
        engine = self._engine
        note = None if self._deps.cookie is None else self._note()
        known = engine.peek(engine.key(found if isinstance(found, str) else found.value), note)
        if known is None:
            return False
        self._loaded(known, hit=True)
        return True

    @without_locals
    async def _load(self) -> None:
        token = await self._credentials()
        if self._load_now() or token is None:
            return
        self._brought_a_token()
        with self._budget(READING) as until:
            known = await self._engine.read(token, until, self._note())
        self._loaded(known, hit=False)

    async def _load_ahead(self) -> None:
        """Load for whoever may read later: by itself that says nothing about the response."""
        if not self._load_now():
            await self._load()

    def _load_from_thread(self) -> Snapshot:
        """Load for a synchronous endpoint, which runs in a worker thread and cannot await."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            patience = self._deps.patience + THREAD_PATIENCE
            try:
                asyncio.run_coroutine_threadsafe(self._load(), self._loop).result(patience)
            except TimeoutError:
                raise ContextUnavailable("The event loop did not load the session context in time.") from None
        if self._known is None:
            raise ContextNotLoaded
        return self._known

    def _loaded(self, known: Snapshot, *, hit: bool) -> None:
        self._known = known
        if self._deps.events.wanted:
            self._deps.events.emit(load_event(known, hit=hit))

    def _read(self) -> Snapshot:
        """Return what was loaded, and note that the response depends on it."""
        if not self._used:
            self._touch()
        known = self._known
        return self._load_from_thread() if known is None else known

    # What a request brings along, and how long it may wait

    @property
    def _engine(self) -> Engine:
        return self._deps.engine(self._loop)

    @property
    def _token(self) -> StorefrontToken | None:
        return StorefrontToken(self._found) if isinstance(self._found, str) else self._found

    async def _credentials(self) -> StorefrontToken | None:
        if not self._token_sought:
            if self._seeking is None:
                self._seeking = self._loop.create_task(self._deps.tokens.find(HTTPConnection(self._scope)))
            await asyncio.wait({self._seeking})  # unlike awaiting the task, this does not cancel it with the waiter
            self._found = self._seeking.result()
            self._token_sought = True
        return self._token

    def _note(self) -> Note | None:
        """Return what the shopper's browser brought along from other workers."""
        cookie = self._deps.cookie
        if cookie is not None and not self._cookie_read:
            self._cookie_read = True
            self._cookie = cookie.read(self._scope)
            if self._cookie.ignored:
                self._emit("continuity.ignored", "load", self._cookie.ignored)
        return self._cookie.note

    def _budget(self, which: int) -> AbstractContextManager[float]:
        """Measure one wait: up to its response a request has one budget for all its waits, then a new one for each."""
        if self._budgets is None or self._sealed or self._scope["type"] == "websocket":
            self._budgets = self._engine.budgets()
        return self._budgets[which].spend()

    # Recording

    def _record_switches(self, **given: str | None) -> None:
        """Record new values of fields by their names, all of them or none; what is `None` stays as it is."""
        values = {field: checked_switch(field, value) for field, value in given.items() if value is not None}
        for field, value in values.items():
            self._record(field, value)

    def _record(self, path: str, value: Value) -> None:
        if self._sealed and not self._late:
            raise ContextSealed
        note = self._note()
        with recording:
            at = self._deps.timestamps.next(0.0 if note is None else note.newest_at)
            operation = new_operation(value, at, self._deps.clock)
            self._changes = with_operation(self._changes, path, operation)
        self._change()

    # Committing

    async def _commit(self, operation: str, *, parks: bool) -> CommitResult:
        changes = self._changes
        if not changes and not self._drains():
            return CommitResult(Commit.NOTHING)
        began = self._deps.clock.monotonic()
        outcome = await self._send(changes, parks=parks)
        self._committed = True
        self._take_over(changes, outcome)
        self._deps.events.emit(commit_event(operation, outcome, self._deps.clock.monotonic() - began))
        return outcome

    async def _send(self, changes: ContextChanges, *, parks: bool) -> CommitResult:
        token = await self._credentials()
        if token is None:
            self._brought_no_token()
            self._changes = NO_CHANGES
            return CommitResult(error=NoToken())
        if parks and self._unsent:
            return await self._engine.park(token, changes)
        self._sending = True
        with self._budget(COMMITTING) as until:
            outcome = await self._engine.commit(token, changes, until, parks=parks, note=self._note())
        self._sending = False
        return outcome

    def _take_over(self, sent: ContextChanges, outcome: CommitResult) -> None:
        """Show what has become of changes that were sent."""
        if outcome.commit is None and not outcome.is_refused:
            self._unsent = True
            return
        self._unsent = False
        self._changes = self._changes.minus(sent)
        shown = (None if self._token is None else self._engine.view(self._token, self._note())) or self._known
        if shown is not None and outcome.commit is Commit.PARKED:
            shown = replace(shown, parked=sent.newest(shown.parked))
        self._known = shown

    def _drains(self) -> bool:
        """Tell whether this request should send what is parked: its load found a context that is in good health."""
        known = self._known
        if known is None or known.document is None or not known.parked.operations or known.stale or self._token is None:
            return False
        return self._engine.may_drain(self._token)

    @without_locals
    async def _commit_late(self) -> None:
        outcome = await self._commit("late_changes", parks=True)
        if outcome.error is not None:
            raise outcome.error

    # The end

    def _starts(self, message: Message) -> bool:
        """Start the response with its first message; return `False` if `_finish` must be awaited first."""
        if self._changes.operations or (self._known is not None and self._drains()):
            return False
        if self._deps.cookie is not None and self._owes_cookie():
            return False
        self._sealed = True
        self._response = message
        return True

    async def _finish(self, message: Message) -> bytes | None:
        """Commit what was recorded, or discard it when the response is an error of the server; then start the response.

        Returns:
            The value of ``Set-Cookie``, where the browser should carry something else from now on.
        """
        self._sealed = True  # what is recorded from now on would not be sent any more
        await self._end_with(message["status"])
        header = await self._cookie_out() if self._deps.cookie is not None and self._owes_cookie() else None
        self._used = self._used or header is not None
        self._response = message
        return header

    async def _end_with(self, status: int) -> None:
        if status >= 500:
            self._drop_uncommitted(f"status {status}")
        elif self._token_sought:
            await self._commit("respond", parks=True)
        else:
            await self._commit_detached()

    async def _commit_detached(self) -> None:
        """Commit though seeking the token may take its time, and the browser may leave meanwhile."""
        ended = await self._engine.detached(self._last_commit()).get()
        if isinstance(ended, Exception):
            raise ended
        if ended != COMMITTED:
            self._committed = True  # what was parked on the way out goes into the cookie
            self._emit("commit.failed", "respond", "shut down")

    async def _last_commit(self) -> Exception | str:
        try:
            await self._commit("respond", parks=True)
        except Exception as error:  # noqa: BLE001 - raised where the request still waits for it
            return error
        return COMMITTED

    def _drop_uncommitted(self, why: str) -> None:
        """Discard changes that nobody has committed, and say so."""
        if self._changes.operations and not self._late:
            self._changes = NO_CHANGES
            if self._sending:
                return  # the commit goes on without this request
            websocket = self._scope["type"] == "websocket"
            self._emit("changes.uncommitted" if websocket else "changes.discarded", "end", why)

    def _owes_cookie(self) -> bool:
        """Tell whether the browser may have to carry something else than what it brought along."""
        found, known = self._cookie, self._known
        if self._forgotten or found.ignored:
            return True
        if known is None or known.rejected:
            return self._committed and known is None
        if self._committed or found.note is None or not found.note.has_parked:
            return self._committed or bool(known.parked.operations)
        return known.parked.ids != found.note.parked_ids

    async def _cookie_out(self) -> bytes | None:
        """Return the value of ``Set-Cookie``, `None` where the browser should keep what it has."""
        cookie, token, brought = self._deps.cookie, await self._credentials(), self._note()
        if cookie is None:
            return None
        note = None
        if token is not None and not self._forgotten:
            shown = NO_CHANGES if self._known is None else self._known.parked
            note = await self._engine.to_note(token, brought, shown)
        if token is None or not note or not (self._committed or note.has_parked or brought):
            return cookie.cleared(self._scope) if self._cookie is not NOTHING else None
        written = cookie.renewed(self._scope, note, brought)
        if written is None:
            return None
        overflow = await self._engine.handed_over(token, note, written.note)
        if overflow and (self._committed or written.header is not None):
            self._emit("continuity.overflow", "respond", overflow)
        return written.header
