"""The session context of one request: what it sees, what it wants to change, and how that leaves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from starlette.requests import HTTPConnection

from .engine import Commit, CommitResult
from .errors import ChangeRefused, ConfigurationError, ContextUnavailable, TokenRejected
from .events import ContextEvent
from .loading import COMMITTING, READING, LoadableContext, Services
from .model.changes import NO_CHANGES, ContextChanges
from .model.view import NOTHING_KNOWN
from .recording import batch_of_changes

__all__ = ["SCOPE_KEY", "STATE_KEY", "Services", "SessionContext", "get_session_context"]

STATE_KEY: Final = "session_ctx"
SCOPE_KEY: Final = "session_ctx_middleware.context"


class SessionContext(LoadableContext):
    """The Emporix session context of this request: ``request.state.session_ctx``.

    ``await ctx`` loads it; reading is then plain attribute access. Changes are recorded without waiting, are visible
    at once, and leave as one PATCH before the response starts.
    """

    _unsent = False
    _committed = False
    _forgotten = False
    set_cookie: bytes | None = None
    """What the response sends as ``Set-Cookie``."""
    _sending = False
    _failure: Exception | None = None

    @asynccontextmanager
    async def late_changes(self) -> AsyncIterator[SessionContext]:
        """Record changes after the response has started: a batch that is committed when the block ends.

        For streaming bodies and background tasks. What Emporix cannot take now is parked; when the block raises,
        its changes are discarded.

        Raises:
            TokenRejected: Emporix refused the token.
            ChangeRefused: Emporix refused the changes.
        """
        batch: set[str] = set()
        self._late += 1
        mine = batch_of_changes.set(batch)
        try:
            yield self
        except BaseException:
            self._changes = self._changes.without(batch)
            raise
        finally:
            batch_of_changes.reset(mine)
            self._late -= 1
        settled = await self._commit("late_changes", parks=True)
        if settled.error is not None:
            raise settled.error

    async def commit(self) -> Commit:
        """Send this request's changes, and what was parked, now.

        Returns:
            `Commit.APPLIED`, `Commit.ALREADY`, `Commit.PARKED` (there is no context yet, or Emporix asked for a
            pause), or `Commit.NOTHING`.

        Raises:
            ContextUnavailable: Emporix did not take them in time; they stay recorded, and are parked at the end.
            CommitConflict: others kept changing the context; they stay recorded, and are parked at the end.
            TokenRejected: Emporix refused the token; the changes are dropped.
            ChangeRefused: Emporix refused the changes; they are dropped.
        """
        settled = await self._commit("commit", parks=False)
        if settled.error is not None:
            raise settled.error
        return settled.commit or Commit.NOTHING

    async def cart_created(self, cart_id: str | None = None) -> SessionContext:
        """Say that the app has created a cart: the context is read again, and what was parked is sent.

        Args:
            cart_id: the new cart. Emporix may need a moment until the context shows it; it is asked up to three
                times within the reading deadline.
        """
        token = await self._credentials()
        if token is None:
            self._known = NOTHING_KNOWN
            return self
        with self._budget(READING) as until:
            self._known = await self._engine.expect_cart(token, cart_id, until, self._carried())
        self._committed = True  # the next worker must not show less
        await self._commit("cart_created", parks=True)
        return self

    async def forget(self) -> None:
        """Drop everything cached, parked or recorded for this session: the shopper logs out."""
        token = await self._credentials()
        self._changes = NO_CHANGES
        self._known = NOTHING_KNOWN
        self._carried()
        self._forgotten = True
        if token is not None:
            with self._budget(READING) as until:
                await self._engine.forget(token, until)

    async def finish(self, status: int) -> None:
        """End the request: commit what was recorded, or discard it when the response is an error of the server."""
        self.sealed = True  # what is recorded from now on would not be sent any more
        await self._end_with(status)
        if self._owes_cookie():
            await self._write_cookie()

    async def _end_with(self, status: int) -> None:
        if status >= 500:
            self.end(f"status {status}")
        elif self._token_sought:
            await self._commit("respond", parks=True)
        else:
            # Seeking the token may take its time, and the browser may leave meanwhile.
            await self._engine.detached(self._last_commit()).get()
            if self._failure is not None:
                raise self._failure

    @property
    def settled(self) -> bool:
        """Whether there is nothing to do before the response: neither changes to send nor a cookie to write."""
        if self._changes.operations or (self._known is not None and self._drains()):
            return False
        return self._services.cookie is None or not self._owes_cookie()

    def end(self, why: str) -> None:
        """Discard changes that nobody has committed, and say so."""
        if self._changes.operations and not self._late:
            self._changes = NO_CHANGES
            if self._sending:
                return  # the commit goes on without this request
            websocket = self._scope["type"] == "websocket"
            self._emit("changes.uncommitted" if websocket else "changes.discarded", "end", why)

    def _owes_cookie(self) -> bool:
        """Tell whether the browser should carry something else than what it brought along."""
        if self._services.cookie is None:
            return False
        if self._known is not None and self._known.rejected:
            return self._forgotten or self._cookie_ignored
        if self._committed or self._forgotten or self._cookie_ignored:
            return True
        if self._known is None:
            return False
        shown, brought = self._known.parked, self._brought
        if brought is None or not brought.has_parked:
            return bool(shown.operations)
        return shown.ids != brought.parked_ids

    async def _write_cookie(self) -> None:
        cookie, token, brought = self._services.cookie, await self._credentials(), self._carried()
        if cookie is None:
            return
        carry = None
        if token is not None and not self._forgotten:
            shown = NO_CHANGES if self._known is None else self._known.parked
            carry = await self._engine.to_note(token, brought, shown)
        if token is None or not carry or not (self._committed or carry.has_parked or brought):
            if brought is not None or self._cookie_ignored:
                self.set_cookie = cookie.cleared(self._scope)
        elif brought is None or carry.says() != brought.says():
            written = cookie.write(self._scope, carry)
            overflow = await self._engine.handed_over(token, carry, written.note)
            if brought is None or written.note.says() != brought.says():
                self.set_cookie = written.header
            if overflow and (self._committed or self.set_cookie is not None):
                self._emit("continuity.overflow", "respond", overflow)
        self.used = self.used or self.set_cookie is not None

    def _drains(self) -> bool:
        """Tell whether this request should send what is parked: its load found a context that is in good health."""
        known = self._known
        if known is None or known.document is None or not known.parked.operations or known.stale or self._token is None:
            return False
        return self._engine.may_drain(self._token)

    async def _last_commit(self) -> bool:
        try:
            await self._commit("respond", parks=True)
        except Exception as error:  # noqa: BLE001 - raised where the request still waits for it
            self._failure = error
        return True

    async def _commit(self, operation: str, *, parks: bool) -> CommitResult:
        changes = self._changes
        if not changes and not self._drains():
            return CommitResult(Commit.NOTHING)
        began = self._clock.monotonic()
        token = await self._credentials()
        if token is None:
            self._changes = NO_CHANGES
            settled = CommitResult(
                error=ContextUnavailable("There is no token in this request, so nothing can be changed.")
            )
        elif parks and self._unsent:
            settled = await self._engine.park(token, changes)
        else:
            self._sending = True
            with self._budget(COMMITTING) as until:
                settled = await self._engine.commit(token, changes, until, parks=parks, note=self._carried())
            self._sending = False
        self._committed = True
        self._after(changes, settled)
        self._report(operation, settled, self._clock.monotonic() - began)
        return settled

    def _after(self, sent: ContextChanges, settled: CommitResult) -> None:
        if settled.commit is None and not isinstance(settled.error, TokenRejected | ChangeRefused):
            self._unsent = True
            return
        self._unsent = False
        self._changes = self._changes.minus(sent)
        shown = (None if self._token is None else self._engine.view(self._token, self._carried())) or self._known
        if shown is not None and settled.commit is Commit.PARKED:
            shown = replace(shown, parked=sent.newest(shown.parked))
        self._known = shown

    def _report(self, operation: str, settled: CommitResult, duration: float) -> None:
        if settled.commit is not None:
            name = outcome = settled.commit.value
        else:
            refused = isinstance(settled.error, TokenRejected | ChangeRefused)
            name, outcome = "refused" if refused else "failed", type(settled.error).__name__
        self._services.events.emit(
            ContextEvent(
                name=f"commit.{name}",
                operation=operation,
                outcome=outcome,
                status=settled.status,
                attempts=settled.attempts,
                duration=duration,
            )
        )


def get_session_context(connection: HTTPConnection) -> SessionContext:
    """Return the session context of a request or WebSocket, typed.

    Raises:
        ConfigurationError: the middleware is not installed around this application.
    """
    context = connection.scope.get(SCOPE_KEY)
    if isinstance(context, SessionContext):
        return context
    raise ConfigurationError(
        "There is no session context in this request. Add Middleware(SessionContextMiddleware, tenant=...) to the "
        "application's middleware."
    )
