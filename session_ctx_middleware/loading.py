"""Loading the session context of one request: finding the token, and asking the engine at most once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Self

from starlette.requests import HTTPConnection
from starlette.types import Scope

from .clock import Budget, Clock, Stamps
from .continuity import ContinuityCookie
from .engine import Engine, Note
from .errors import ContextNotLoaded, ContextUnavailable, TokenRejected
from .events import ContextEvent, Events
from .http_cache import invites_shared_caches
from .model.view import NOTHING_KNOWN, ContextDefaults, Snapshot
from .recording import WritableContext
from .tokens import StorefrontToken, TokenChain

__all__ = ["COMMITTING", "READING", "LoadableContext", "Services"]

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
        stamps: moments for changes.
        engine: returns the engine of an event loop.
        cookie: carries what one worker knows to the next; `None` without a secret.
    """

    tokens: TokenChain
    defaults: ContextDefaults
    events: Events
    clock: Clock
    stamps: Stamps
    engine: Callable[[asyncio.AbstractEventLoop], Engine]
    cookie: ContinuityCookie | None = None


class LoadableContext(WritableContext):
    """What a request knows of its session context, once it has asked."""

    # Defaults live on the class: a request that never touches its context pays for its three attributes only.
    _found: str | StorefrontToken | None = None
    _token_sought = False
    _seeking: asyncio.Task[StorefrontToken | None] | None = None
    _known: Snapshot | None = None
    _budgets: tuple[Budget, Budget] | None = None
    _brought: Note | None = None
    _cookie_read = False
    _cookie_ignored = False

    def __init__(self, services: Services, scope: Scope, loop: asyncio.AbstractEventLoop) -> None:
        self._services = services
        self._scope = scope
        self._loop = loop

    def __repr__(self) -> str:
        return f"<SessionContext {'loaded' if self._known is not None else 'not loaded'}>"

    def __await__(self) -> Generator[object, None, Self]:
        if not self._load_now():
            yield from self._load().__await__()
        return self

    async def load(self, *, required: bool = False) -> Self:
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

    async def refresh(self) -> Self:
        """Read the context again from Emporix, past every cache; what Emporix fails to say stays as it was known."""
        token = await self._credentials()
        if token is None:
            self._known = NOTHING_KNOWN
        else:
            with self._budget(READING) as until:
                self._known = await self._engine.refresh(token, until, self._carried())
        return self

    @property
    def is_loaded(self) -> bool:
        """Whether values can be read."""
        return self._known is not None

    @property
    def _defaults(self) -> ContextDefaults:
        return self._services.defaults

    @property
    def _clock(self) -> Clock:
        return self._services.clock

    @property
    def _stamps(self) -> Stamps:
        return self._services.stamps

    def _seen(self) -> float:
        carried = self._carried()
        return 0.0 if carried is None else carried.newest_at

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

    def _carried(self) -> Note | None:
        """Return what the shopper's browser brought along from other workers."""
        cookie = self._services.cookie
        if cookie is None or self._cookie_read:
            return self._brought
        self._cookie_read = True
        found = cookie.read(self._scope)
        self._brought = found.note
        if found.ignored:
            self._cookie_ignored = True
            self._emit("continuity.ignored", "load", found.ignored)
        return self._brought

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
        carried = None if self._services.cookie is None else self._carried()
        known = engine.peek(engine.key(found if isinstance(found, str) else found.value), carried)
        if known is None:
            return False
        self._loaded(known, "hit")
        return True

    async def _load(self) -> None:
        token = await self._credentials()
        if self._load_now() or token is None:
            return
        with self._budget(READING) as until:
            known = await self._engine.read(token, until, self._carried())
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

    def _emit(self, name: str, operation: str, outcome: str, *, cache: str = "") -> None:
        self._services.events.emit(ContextEvent(name=name, operation=operation, outcome=outcome, cache=cache))


def _cache(known: Snapshot, result: str) -> str:
    if known.rejected:
        return "rejected"
    if known.degraded:
        return "degraded"
    if known.stale:
        return "stale"
    return "missing" if known.document is None else result
