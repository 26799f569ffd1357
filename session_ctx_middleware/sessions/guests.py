"""Sessions: begun when somebody is about to see a page, refreshed before they end, replaced when refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.requests import HTTPConnection
from starlette.types import Scope

from ..clock import Clock
from ..credentials import StorefrontToken
from ..emporix import ShopperTokens, TokenAnswer
from ..errors import EmporixError, EmporixFailed, EmporixUnreachable
from ..events import ContextEvent, Events
from ..tasks import Tasks
from ..tokens import SessionSetup, Visitor
from .cookie import Brought
from .keeping import Keeping
from .kept import KeptSession
from .once import Once, Sharing
from .pausing import Pause
from .refreshing import Refreshing
from .renewal import Renewals
from .sealed_tokens import TokensUnavailable
from .visits import Visits

__all__ = ["BEGIN", "DRAIN_SECONDS", "OPERATION", "Guests"]

OPERATION: Final = "anonymous.login"
BEGIN: Final = "begin"
RENEW: Final = "renew"
DRAIN_SECONDS: Final = 5.0
FOR_A_GOOD_TOKEN: Final = 0.5
"""Share of its time that a page waits for the next token while the one that it has is good: the rest is for reading."""


class Guests:
    """Begins and refreshes sessions, for one middleware.

    Args:
        setup: what the middleware was built with.
        tokens: makes the calls.
        keeping: keeps the tokens.
        visits: tells whether a session may begin.
        refreshing: gets the next tokens.
        sharing: how workers agree on who refreshes a session; `None` where this process knows no other.
    """

    def __init__(
        self,
        setup: SessionSetup,
        tokens: ShopperTokens,
        keeping: Keeping,
        visits: Visits,
        *,
        refreshing: Refreshing,
        sharing: Sharing | None = None,
    ) -> None:
        self._events: Events = setup.events
        self._clock: Clock = setup.clock
        self._tokens = tokens
        self._keeping = keeping
        self._visits = visits
        self._refreshing = refreshing
        self._renewals = Renewals(self._refresh, setup.clock, sharing, setup.observer)
        self._replacements = Once(OPERATION, setup.clock, sharing, setup.observer)
        self._tasks = Tasks(setup.clock, setup.observer)
        self._pause = Pause(setup.clock)

    async def find(self, connection: HTTPConnection, visitor: Visitor) -> StorefrontToken | None:
        """Return the token of a request, of a new session where there is none yet and one may begin."""
        brought, now = await self._brought(connection, visitor), self._clock.time()
        kept = brought.kept
        if brought.refusal:
            self._emit("session.none", BEGIN, brought.refusal)
            return None
        if kept is None or kept.is_over(now):
            return await self._begin(connection, visitor, is_lost=brought.is_lost)
        if self._keeping.is_out_of_place(kept) and not visitor.is_answered():
            kept = await self._moved(kept, connection, visitor)
        if not kept.is_due(now) or self._is_too_late(visitor):
            return kept.token if kept.is_good(now) else None
        return await self._renew(kept, connection, visitor, is_good=kept.is_good(now))

    async def instead_of(
        self, refused: StorefrontToken, connection: HTTPConnection, visitor: Visitor
    ) -> StorefrontToken | None:
        """Return another token in place of one that Emporix has refused, `None` where there is none."""
        kept = visitor.session
        if not isinstance(kept, KeptSession) or kept.access_token != refused.value or self._is_too_late(visitor):
            return None
        if not kept.refresh_token:
            return await self._replace(kept, connection, visitor)
        return await self._renew(kept, connection, visitor, is_good=False)

    def saas_token(self, token: StorefrontToken, visitor: Visitor) -> str | None:
        """Return the saas token that goes with a token of these sessions, as long as it is good."""
        kept = visitor.session
        if not isinstance(kept, KeptSession) or kept.access_token != token.value:
            return None
        return kept.good_saas_token(self._clock.time())

    def at_once(self, scope: Scope, visitor: Visitor) -> StorefrontToken | None:
        """Return the token of a session that is in its cookie, good, and not due; `None` is for `find` to decide."""
        brought, now = self._keeping.at_once(scope, visitor.era()), self._clock.time()
        kept = brought.kept
        if kept is None or brought.void or kept.is_due(now) or not kept.is_good(now):
            return None
        visitor.is_of(kept, kept.era)
        return kept.token

    async def end(self, connection: HTTPConnection) -> None:
        """Have a store forget the sessions that a request has brought."""
        await self._keeping.end(connection)

    def carried(self, scope: Scope) -> Mapping[bytes, int]:
        """Return the names of cookies of sessions that a request has brought, and how many bytes each takes."""
        return self._keeping.carried(scope)

    async def settle(self) -> None:
        """Let calls end while what they need can be reached."""
        await self._renewals.settle(DRAIN_SECONDS)
        await self._replacements.settle(DRAIN_SECONDS)
        await self._tasks.settle(DRAIN_SECONDS)

    async def aclose(self) -> None:
        """Let refreshes end, then close the connections of the running event loop."""
        await self._renewals.aclose(DRAIN_SECONDS)
        await self._replacements.aclose(DRAIN_SECONDS)
        await self._tasks.drain(DRAIN_SECONDS)
        await self._keeping.aclose(DRAIN_SECONDS)
        await self._tokens.aclose()

    def _left(self, visitor: Visitor) -> float:
        """Return for how many seconds a request may still wait."""
        return max(0.0, visitor.until - self._clock.monotonic())

    def _is_too_late(self, visitor: Visitor) -> bool:
        """Tell whether nobody would keep other tokens of the session."""
        return self._keeping.needs_answer and visitor.is_answered()

    async def _renew(
        self, kept: KeptSession, connection: HTTPConnection, visitor: Visitor, *, is_good: bool
    ) -> StorefrontToken | None:
        outcome = await self._renewals.of(kept, self._left(visitor) * (FOR_A_GOOD_TOKEN if is_good else 1))
        if isinstance(outcome, KeptSession):
            return self.keep(outcome, connection, visitor)
        if is_good:
            return kept.token
        if self._renewals.is_final(kept, outcome):
            return await self._replace(kept, connection, visitor)
        return None

    async def _replace(self, kept: KeptSession, connection: HTTPConnection, visitor: Visitor) -> StorefrontToken | None:
        """Return the token of the one session that takes the place of another, whoever of its holders begins it."""
        if not await self._may_begin(connection, visitor):
            return None
        before = kept.refresh_token or kept.access_token
        outcome = await self._replacements.of(before, lambda: self._another(connection, visitor), self._left(visitor))
        return self.keep(outcome, connection, visitor) if isinstance(outcome, KeptSession) else None

    async def _begin(
        self, connection: HTTPConnection, visitor: Visitor, *, is_lost: bool = False
    ) -> StorefrontToken | None:
        if not await self._may_begin(connection, visitor):
            return None
        unanswered = EmporixUnreachable(OPERATION, None, "no answer in time")
        begun = self._tasks.share(self._begun(connection, visitor), otherwise=unanswered)
        kept = await begun.wait(self._left(visitor), self._clock)
        if kept is None:
            self._failed(unanswered)
        if not isinstance(kept, KeptSession):
            return None
        if is_lost:
            self._emit("session.replaced", BEGIN, "lost")
        return self.keep(kept, connection, visitor)

    async def _may_begin(self, connection: HTTPConnection, visitor: Visitor) -> bool:
        if visitor.is_answered() or self._pause.is_on:
            return False
        why = await self._visits.refusal(connection) or self._keeping.refusal
        if why:
            self._emit("session.none", BEGIN, why)
        return not why

    async def _another(self, connection: HTTPConnection, visitor: Visitor) -> KeptSession:
        kept = await self._new(connection, visitor)
        self._emit("session.replaced", BEGIN, "refused")
        return kept

    async def _begun(self, connection: HTTPConnection, visitor: Visitor) -> KeptSession | EmporixError:
        try:
            return await self._new(connection, visitor)
        except EmporixError as error:
            return error

    async def _new(self, connection: HTTPConnection, visitor: Visitor) -> KeptSession:
        asked_at = self._clock.time()
        answer = await self._granted(visitor)
        before = visitor.session if isinstance(visitor.session, KeptSession) else None
        kept = await self._placed(KeptSession.granted(answer, asked_at).following(before, visitor.era()), connection)
        self._emit("session.begun", BEGIN, "ok")
        return kept

    async def _granted(self, visitor: Visitor) -> TokenAnswer:
        try:
            with self._pause.trying():
                answer = await self._tokens.begin(**visitor.choices())
        except EmporixError as error:
            self._failed(error)
            raise
        self._events.over("session.failed", BEGIN)
        return answer

    async def _placed(self, kept: KeptSession, connection: HTTPConnection) -> KeptSession:
        try:
            return await self._keeping.place(kept, connection)
        except TokensUnavailable:
            # Nobody would find it again, nor what is chosen in it.
            self._emit("session.unkept", BEGIN, "store")
            raise EmporixFailed(OPERATION, None, "the session cannot be kept") from None

    async def _moved(self, kept: KeptSession, connection: HTTPConnection, visitor: Visitor) -> KeptSession:
        """Return a session at the place where the shop wants it by now, or as it is while that cannot take it."""
        try:
            placed = await self._keeping.place(kept, connection)
        except TokensUnavailable:
            return kept
        self.keep(placed, connection, visitor)
        return placed

    async def _refresh(self, kept: KeptSession) -> KeptSession:
        try:
            renewed = await self._refreshing.next_of(kept)
        except EmporixError as error:
            self._emit("session.failed", RENEW, type(error).__name__)
            raise
        self._events.over("session.failed", RENEW)
        self._emit("session.renewed", RENEW, "ok")
        await self._keeping.renewed(renewed)
        return renewed

    async def _brought(self, connection: HTTPConnection, visitor: Visitor) -> Brought:
        """Return the session that a request brings, and have its browser lose those that it has followed."""
        brought = await self._keeping.read(connection.scope, visitor.era())
        if brought.void and not visitor.is_answered():
            visitor.clears(self._keeping.clear(brought.void))
        if brought.kept is not None:
            visitor.is_of(brought.kept, brought.kept.era)
        return brought

    def keep(self, kept: KeptSession, connection: HTTPConnection, visitor: Visitor) -> StorefrontToken:
        """Have the browser keep a session that it has, with other tokens."""
        headers = self._keeping.write(connection, kept)
        if headers is None:
            self._emit("session.unkept", "respond", "too large")
        else:
            visitor.keeps(kept, kept.era, () if visitor.is_answered() else headers)
        return kept.token

    def _failed(self, error: EmporixError) -> None:
        self._pause.begin(error)
        self._emit("session.failed", BEGIN, type(error).__name__)

    def _emit(self, name: str, operation: str, outcome: str) -> None:
        self._events.emit(ContextEvent(name=name, operation=operation, outcome=outcome))
