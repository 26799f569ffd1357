"""The session context of one request: what it sees, and what it wants to change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from starlette.requests import HTTPConnection
from starlette.types import Scope

from .changes import NO_CHANGES, ContextChanges
from .clock import Budget, Clock
from .engine import NOTHING_KNOWN, Commit, Engine, Settled, Snapshot
from .errors import ChangeRefused, ConfigurationError, ContextNotLoaded, ContextUnavailable, TokenRejected
from .events import ContextEvent, Events
from .http_cache import invites_shared_caches
from .policies import ContextDefaults
from .recording import WritableContext, batch_of_changes
from .tokens import StorefrontToken, TokenChain

__all__ = ["SCOPE_KEY", "STATE_KEY", "Services", "SessionContext", "get_session_context"]

STATE_KEY: Final = "session_ctx"
SCOPE_KEY: Final = "session_ctx_middleware.context"
THREAD_PATIENCE: Final = 1.0
READING, COMMITTING = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What every request of one middleware shares.

    Args:
        tokens: where tokens are found.
        defaults: what the shop shows where nothing else is known.
        events: who is told what happens.
        clock: where time comes from.
        engine: returns the engine of an event loop.
    """

    tokens: TokenChain
    defaults: ContextDefaults
    events: Events
    clock: Clock
    engine: Callable[[asyncio.AbstractEventLoop], Engine]


class SessionContext(WritableContext):
    """The Emporix session context of this request: ``request.state.session_ctx``.

    ``await ctx`` loads it; reading is then plain attribute access. Changes are recorded without waiting, are visible
    at once, and leave as one PATCH before the response starts.
    """

    # Defaults live on the class: a request that never touches its context pays for two attributes only.
    _found: str | StorefrontToken | None = None
    _token_sought = False
    _known: Snapshot | None = None
    _budgets: tuple[Budget, Budget] | None = None
    _unsent = False
    _sending = False
    _seeking: asyncio.Task[StorefrontToken | None] | None = None
    _failure: Exception | None = None

    def __init__(self, services: Services, scope: Scope, loop: asyncio.AbstractEventLoop) -> None:
        self._services = services
        self._scope = scope
        self._loop = loop

    def __repr__(self) -> str:
        return f"<SessionContext {'loaded' if self._known is not None else 'not loaded'}>"

    # Loading

    def __await__(self) -> Generator[object, None, SessionContext]:
        if not self._load_now():
            yield from self._load().__await__()
        return self

    async def load(self, *, required: bool = False) -> SessionContext:
        """Load the context: from the cache, or with one GET that concurrent requests of the session share.

        Args:
            required: raise instead of leaving a degraded or rejected context.

        Raises:
            ContextUnavailable: `required`, and Emporix could not be asked.
            TokenRejected: `required`, and Emporix refused the token.
        """
        if not self._load_now():
            await self._load()
        if required:
            self._require()
        return self

    async def refresh(self) -> SessionContext:
        """Read the context again from Emporix, past every cache; what Emporix fails to say stays as it was known."""
        token = await self._credentials()
        if token is None:
            self._known = NOTHING_KNOWN
        else:
            with self._budget(READING) as until:
                self._known = await self._engine.refresh(token, until)
        return self

    @property
    def is_loaded(self) -> bool:
        """Whether values can be read."""
        return self._known is not None

    # Sending

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
            self._known = await self._engine.expect_cart(token, cart_id, until)
        await self._commit("cart_created", parks=True)
        return self

    async def forget(self) -> None:
        """Drop everything cached, parked or recorded for this session: the shopper logs out."""
        token = await self._credentials()
        self._changes = NO_CHANGES
        self._known = NOTHING_KNOWN
        if token is not None:
            with self._budget(READING) as until:
                await self._engine.forget(token, until)

    async def finish(self, status: int) -> None:
        """End the request: commit what was recorded, or discard it when the response is an error of the server."""
        self.sealed = True  # what is recorded from now on would not be sent any more
        if status >= 500:
            self.end(f"status {status}")
        elif self._token_sought:
            await self._commit("respond", parks=True)
        else:
            # Seeking the token may take its time, and the browser may leave meanwhile.
            await self._engine.detached(self._last_commit())
            if self._failure is not None:
                raise self._failure

    @property
    def settled(self) -> bool:
        """Whether there is nothing to commit: neither changes of this request nor parked ones that it should send."""
        return not self._changes and (self._known is None or not self._drains())

    def end(self, why: str) -> None:
        """Discard changes that nobody has committed, and say so."""
        if self._changes and not self._late:
            self._changes = NO_CHANGES
            if self._sending:
                return  # the commit goes on without this request
            websocket = self._scope["type"] == "websocket"
            self._emit("changes.uncommitted" if websocket else "changes.discarded", "end", why)

    # Inside

    @property
    def _defaults(self) -> ContextDefaults:
        return self._services.defaults

    @property
    def _clock(self) -> Clock:
        return self._services.clock

    @property
    def _engine(self) -> Engine:
        return self._services.engine(self._loop)

    def _budget(self, which: int) -> AbstractContextManager[float]:
        """Measure one wait: up to its response a request has one budget for all its waits, then a new one for each."""
        if self._budgets is None or self.sealed or self._scope["type"] == "websocket":
            self._budgets = self._engine.budgets()
        return self._budgets[which].spend()

    @property
    def _token(self) -> StorefrontToken | None:
        return StorefrontToken(self._found) if isinstance(self._found, str) else self._found

    async def _credentials(self) -> StorefrontToken | None:
        if not self._token_sought:
            if self._seeking is None:
                self._seeking = self._loop.create_task(self._services.tokens.find(HTTPConnection(self._scope)))
            await asyncio.wait({self._seeking})  # unlike awaiting the task, this does not cancel it with the waiter
            self._found = self._seeking.result()
            self._token_sought = True
        return self._token

    def _load_now(self) -> bool:
        """Load without waiting, if nothing has to be waited for: the way that most requests go."""
        if self._known is not None and self._scope["type"] == "http":
            return True
        if not self._token_sought:
            if not self._services.tokens.instant:
                return False
            self._found = self._services.tokens.now(self._scope)
            self._token_sought = True
        found = self._found
        if found is None:
            self._known = NOTHING_KNOWN
            return True
        engine = self._engine
        known = engine.peek(engine.key(found if isinstance(found, str) else found.value))
        if known is None:
            return False
        self._loaded(known, "hit")
        return True

    async def _load(self) -> None:
        token = await self._credentials()
        if self._load_now() or token is None:
            return
        with self._budget(READING) as until:
            known = await self._engine.read(token, until)
        self._loaded(known, "miss")

    def _loaded(self, known: Snapshot, result: str) -> None:
        self._known = known
        if self._services.events.wanted:
            self._emit("context.loaded", "load", "rejected" if known.rejected else "ok", cache=_cache(known, result))

    def _require(self) -> None:
        known = self._read()
        if known.degraded:
            raise ContextUnavailable("Emporix could not be asked for the session context, and no copy is left.")
        if known.rejected:
            raise TokenRejected("context.get", 401, "the shopper has to log in again")

    def _read(self) -> Snapshot:
        if not self.used:
            self._first_use()
        known = self._known
        return self._load_from_thread() if known is None else known

    def _first_use(self) -> None:
        self.used = True
        if self.response is not None and invites_shared_caches([*self.response.get("headers", ())]):
            self._emit("leak.late", "respond", "read after the response had started")

    def _load_from_thread(self) -> Snapshot:
        """Load for a synchronous endpoint, which runs in a worker thread and cannot await."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            patience = self._engine.patience + THREAD_PATIENCE
            try:
                asyncio.run_coroutine_threadsafe(self.load(), self._loop).result(patience)
            except TimeoutError:
                raise ContextUnavailable("The event loop did not load the session context in time.") from None
        if self._known is None:
            raise ContextNotLoaded
        return self._known

    def _drains(self) -> bool:
        """Tell whether this request should send what is parked: its load found a context that is in good health."""
        known = self._known
        if known is None or known.document is None or not known.parked or known.stale or self._token is None:
            return False
        return self._engine.may_drain(self._token)

    async def _last_commit(self) -> None:
        try:
            await self._commit("respond", parks=True)
        except Exception as error:  # noqa: BLE001 - raised where the request still waits for it
            self._failure = error

    async def _commit(self, operation: str, *, parks: bool) -> Settled:
        changes = self._changes
        if not changes and not self._drains():
            return Settled(Commit.NOTHING)
        began = self._clock.monotonic()
        token = await self._credentials()
        if token is None:
            self._changes = NO_CHANGES
            settled = Settled(error=ContextUnavailable("There is no token in this request, so nothing can be changed."))
        elif parks and self._unsent:
            settled = await self._engine.park(token, changes)
        else:
            self._sending = True
            with self._budget(COMMITTING) as until:
                settled = await self._engine.commit(token, changes, until, parks=parks)
            self._sending = False
        self._after(changes, settled)
        self._report(operation, settled, self._clock.monotonic() - began)
        return settled

    def _after(self, sent: ContextChanges, settled: Settled) -> None:
        if settled.commit is None and not isinstance(settled.error, TokenRejected | ChangeRefused):
            self._unsent = True
            return
        self._unsent = False
        self._changes = self._changes.minus(sent)
        shown = None if self._token is None else self._engine.view(self._token)
        if settled.commit is Commit.PARKED:
            shown = shown or self._known or NOTHING_KNOWN
            shown = replace(shown, parked=sent.newest(shown.parked))
        if shown is not None:
            self._known = shown

    def _report(self, operation: str, settled: Settled, duration: float) -> None:
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

    def _emit(self, name: str, operation: str, outcome: str, *, cache: str = "") -> None:
        self._services.events.emit(ContextEvent(name=name, operation=operation, outcome=outcome, cache=cache))


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


def _cache(known: Snapshot, result: str) -> str:
    if known.rejected:
        return "rejected"
    if known.degraded:
        return "degraded"
    if known.stale:
        return "stale"
    return "missing" if known.document is None else result
