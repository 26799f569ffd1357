"""What stands behind a `SessionContext`: its token and waits, loading, recording, and the commit at the end.

Private to `context` and `middleware`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, TypeAlias, TypeVar

from starlette.types import Message, Scope

from .carrying import COMMITTING, READING, Carrying
from .dependencies import RequestDependencies
from .engine import Commit, CommitResult, Notes, without_token
from .errors import ContextNotLoaded, ContextSealed, ContextUnavailable, NoToken, TokenRejected
from .frames import without_locals
from .model.changes import NO_CHANGES, ContextChanges
from .model.document import Value
from .model.fields import checked_switch
from .model.view import NOTHING_KNOWN, ContextDefaults, Snapshot, switch_value
from .recording import after_known, new_operation, recording, with_operation
from .tokens import StorefrontToken

__all__ = ["THREAD_PATIENCE", "RequestLifecycle"]

T = TypeVar("T")
Ask: TypeAlias = Callable[[StorefrontToken, float, Notes | None], Awaitable[Snapshot]]

COMMITTED: Final = "committed"
NO_DEFAULTS: Final = ContextDefaults()
THREAD_PATIENCE: Final = 1.0  # seconds that a worker thread waits longer for a load than it may take


class RequestLifecycle(Carrying):
    """One request: finds its token, loads its context at most once, records changes, and sends them at the end.

    Args:
        deps: what every request of the middleware shares.
        scope: the ASGI scope of the request, or as much of it as tokens and the cookie are found in.
        loop: the event loop that serves the request.
    """

    # Defaults live on the class: a request that never touches its context pays for its three attributes only.
    _changes: ContextChanges = NO_CHANGES
    """What is recorded and not yet sent."""
    _batches: tuple[set[str], ...] = ()
    """The operations of the `late_changes` blocks that are open."""
    _unsent: frozenset[str] = frozenset()
    """The operations with which Emporix could not be reached: at the end they are parked without another attempt."""
    _sending: frozenset[str] = frozenset()
    """The operations of commits that are under way, which go on without this request."""

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
                return self._load_at_once()
            self._found = self._deps.tokens.now(self._scope)
            self._token_sought = True
        found = self._found
        if found is None:
            self._brought_no_token()
            self._known = without_token(self._notes())
            return True
        deps = self._deps
        engine = deps.engine(self._loop)
        notes = None if deps.cookies is None else self._notes()
        known = engine.peek(engine.key(found if isinstance(found, str) else found.value), notes)
        if known is None:
            return False
        self._loaded(known)
        return True

    def _load_at_once(self) -> bool:
        """Do the same with the token of a session that the request brings, if nobody has to be asked for that."""
        tokens = self._deps.tokens
        if not tokens.begins_sessions or (found := tokens.at_once(self._scope, self._visiting())) is None:
            return False
        self._found, self._token_sought = found, True
        return self._load_now() and not self._is_refused

    @without_locals
    async def _load(self) -> None:
        if self._is_abroad():
            await self._at_home(self._load())
            return
        sought = self._token_sought  # then `_load_now` has just been asked in vain
        token = await self._credentials()
        if (not (sought and token) and self._load_now() and not self._is_refused) or token is None:
            return
        self._brought_a_token()
        offer, renews, began = self._offer(), self._renews(), self._deps.clock.monotonic()

        async def read(token: StorefrontToken, until: float, notes: Notes | None) -> Snapshot:
            return await self._engine.read(token, until, notes, offer, renews=renews)

        self._loaded(await self._asked(token, read), began)

    @property
    def _is_refused(self) -> bool:
        """Whether Emporix has refused the token a moment ago, and there may be another one in its place."""
        return self._known is not None and self._known.rejected and self._deps.tokens.begins_sessions

    async def _asked(self, token: StorefrontToken, ask: Ask) -> Snapshot:
        """Return what Emporix says; where it refuses the token, to another one of the shopper."""
        with self._budget(READING) as until:
            known = await ask(token, until, self._notes())
        another = await self._another_token(token) if known.rejected else None
        if another is None:
            return known
        with self._budget(READING) as until:
            return await ask(another, until, self._notes())

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
                asyncio.run_coroutine_threadsafe(self._load_ahead(), self._loop).result(patience)
            except TimeoutError:
                raise ContextUnavailable("The event loop did not load the session context in time.") from None
        if self._known is None:
            raise ContextNotLoaded
        return self._known

    def _loaded(self, known: Snapshot, began: float | None = None) -> None:
        self._known = known
        if self._deps.observes:
            self._tell_load(known, began)

    def _read(self) -> Snapshot:
        """Return what was loaded, and note that the response depends on it."""
        if not self._used:
            self._touch()
        known = self._known
        return self._load_from_thread() if known is None else known

    # Recording

    def _record_switches(self, **given: str | None) -> None:
        """Record new values of fields by their names, all of them or none; what is `None` stays as it is."""
        values = {field: checked_switch(field, value) for field, value in given.items() if value is not None}
        for field, value in values.items():
            self._record(field, value)

    def _record(self, path: str, value: Value) -> None:
        if self._sealed and not self._batches:
            raise ContextSealed
        self._put(path, value)

    def _put(self, path: str, value: Value) -> None:
        seen = self._newest_at()
        with recording:
            at = after_known(self._deps.timestamps.next(seen), path, self._known, self._changes)
            operation = new_operation(value, at, self._era, self._deps.clock)
            known = None if self._known is None else self._known.document
            self._changes = with_operation(self._changes, path, operation, known)
        self._change()

    def _minus(self, sent: ContextChanges) -> None:
        """Note that changes are kept elsewhere now; what a thread records meanwhile stays."""
        with recording:
            self._changes = self._changes.minus(sent)

    # Committing

    async def _commit(
        self, operation: str, *, parks: bool, changes: ContextChanges | None = None, carried: bool = False
    ) -> CommitResult:
        """Send what is recorded, or just these changes; `carried` from before a login."""
        if self._is_abroad():
            return await self._at_home(self._commit(operation, parks=parks, changes=changes, carried=carried))
        changes = self._changes if changes is None else changes
        if not changes and not self._drains():
            return CommitResult(Commit.NOTHING)
        began = self._deps.clock.monotonic()
        outcome = await self._send(changes, parks=parks, carried=carried)
        self._tell(outcome.told, receipts=outcome.receipts)
        self._take_over(changes, outcome)
        self._tell_commit(operation, outcome, began)
        return outcome

    async def _send(self, changes: ContextChanges, *, parks: bool, carried: bool = False) -> CommitResult:
        token = await self._credentials()
        if token is None:
            self._brought_no_token()
            return self._keep_for_visitor(changes)
        self._sending |= changes.ids
        if parks and changes and changes.ids <= self._unsent:
            outcome = await self._engine.park(token, changes)
        else:
            with self._budget(COMMITTING) as until:
                # What a login writes over, a browser that keeps notes brings once more.
                notes, offer = self._notes() or (self._no_notes if carried else None), self._offer()
                outcome = await self._engine.commit(
                    token, changes, until, parks=parks, notes=notes, offer=offer, carried=carried
                )
        self._sending -= changes.ids
        if not isinstance(outcome.error, TokenRejected):
            return outcome
        another = await self._another_token(token)
        return outcome if another is None else await self._send(changes, parks=parks, carried=carried)

    def _keep_for_visitor(self, changes: ContextChanges) -> CommitResult:
        """Keep the switches of a visitor without a token in his browser until he has one; there is no other place."""
        self._minus(changes)
        kept = NO_CHANGES if self._deps.cookies is None else changes.switches()
        known = NOTHING_KNOWN if self._known is None else self._known
        self._learn(replace(known, parked=kept.newest(known.parked)))
        if len(kept) == len(changes):
            return CommitResult(Commit.PARKED, told=kept, receipts=True)
        return CommitResult(error=NoToken(), told=kept, receipts=bool(kept))

    def _take_over(self, sent: ContextChanges, outcome: CommitResult) -> None:
        """Show what has become of changes that were sent."""
        if outcome.commit is None and not outcome.is_refused:
            self._unsent = sent.ids
            return
        self._minus(sent)
        shown = (None if self._token is None else self._engine.view(self._token, self._notes())) or self._known
        if shown is not None and outcome.commit is Commit.PARKED:
            shown = replace(shown, parked=sent.newest(shown.parked))
        self._learn(shown)

    @without_locals
    async def _commit_late(self) -> None:
        outcome = await self._commit("late_changes", parks=True)
        if outcome.error is not None:
            raise outcome.error

    def _discard_batch(self, batch: set[str], before: frozenset[str]) -> None:
        """Discard what a `late_changes` block has recorded, and say so.

        Args:
            batch: the operations that are known to be of the block.
            before: those from before it. Where no other block is open, all others are of this one, also those of code
                that runs in another context, as the parts of a generator may.
        """
        alone = self._sealed and len(self._batches) == 1
        with recording:
            recorded = self._changes
            self._changes = recorded.only(before - batch) if alone else recorded.without(batch)
        if len(self._changes) < len(recorded):
            self._emit("changes.discarded", "late_changes", "exception")

    # The end

    def _starts(self, message: Message) -> bool:
        """Start the response with its first message; return `False` if `_finish` must be awaited first."""
        known = self._known
        if self._deps.resolvers is not None and self._deps.resolvers.persists:
            self._persist_resolved()
        if self._changes.operations or (known is not None and known.parked.operations and self._drains()):
            return False
        if (self._cookies_read or self._visitor is not None) and self._owes_cookies():
            return False
        self._sealed = True
        self._response = message
        return True

    def _persist_resolved(self) -> None:
        """Record what the address of an opened page names, where the shopper's session has something else."""
        known = self._known
        if known is None or not self._used or known.stale or known.degraded or known.rejected or self._token is None:
            return
        for field, value in self._resolved.persisted.items():
            if field not in self._changes and switch_value(field, NO_CHANGES, known, NO_DEFAULTS) != value:
                self._put(field, value)

    async def _finish(self, message: Message) -> tuple[bytes, ...]:
        """Commit what was recorded, or discard it when the response is an error of the server; then start the response.

        Returns:
            The values of ``Set-Cookie``, where the browser should carry something else from now on.
        """
        self._sealed = True  # what is recorded from now on would not be sent any more
        if self._noticing is not None:
            await self._noticing.get()
            self._noticing = None
        await self._end_with(message["status"])
        headers = await self._cookies_out() if self._owes_cookies() else ()
        self._used = self._used or bool(headers)
        self._response = message
        return headers

    async def _end_with(self, status: int) -> None:
        if status >= 500:
            self._drop_uncommitted(f"status {status}")
        elif self._token_sought:
            await self._commit("respond", parks=True)
        else:
            await self._commit_detached()

    async def _commit_detached(self) -> None:
        """Commit though seeking the token may take its time, and the browser may leave meanwhile."""
        ended = await self._engine.shared(self._last_commit(), otherwise="cut short").get()
        if isinstance(ended, Exception):
            raise ended
        if ended != COMMITTED:
            # What was parked on the way out goes into the cookies.
            self._tell(self._changes, receipts=True)
            self._emit("commit.failed", "respond", "shut down")

    async def _last_commit(self) -> Exception | str:
        try:
            await self._commit("respond", parks=True)
        except Exception as error:  # noqa: BLE001 - raised where the request still waits for it
            return error
        return COMMITTED

    def _drop_uncommitted(self, why: str) -> None:
        """Discard changes that nobody has committed, and say so."""
        if not self._changes.operations or (self._batches and self._response is not None):
            return  # after the start of the response, whatever is there is of a block that is open
        late = frozenset[str]().union(*self._batches)
        with recording:
            recorded, self._changes = self._changes, self._changes.only(late)
        if recorded.without(late | self._sending):
            websocket = self._scope["type"] == "websocket"
            self._emit("changes.uncommitted" if websocket else "changes.discarded", "end", why)
