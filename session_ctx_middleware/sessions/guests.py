"""Sessions: begun when somebody is about to see a page, refreshed before they end, replaced when refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.requests import HTTPConnection
from starlette.types import Scope

from ..clock import Clock
from ..credentials import StorefrontToken
from ..emporix import ShopperTokens
from ..errors import EmporixError, EmporixUnreachable
from ..events import ContextEvent, Events
from ..tasks import Tasks
from ..tokens import SessionSetup, Visitor
from .cookie import SessionCookie
from .kept import KeptSession
from .renewal import Failed, Renewals
from .visits import Visits

__all__ = ["BEGIN", "Guests"]

OPERATION: Final = "anonymous.login"
BEGIN: Final = "begin"
RENEW: Final = "renew"
DRAIN_SECONDS: Final = 5.0


class Guests:
    """Begins and refreshes sessions, for one middleware.

    Args:
        setup: what the middleware was built with.
        tokens: makes the calls.
        cookie: keeps the tokens.
        visits: tells whether a session may begin.
    """

    def __init__(self, setup: SessionSetup, tokens: ShopperTokens, cookie: SessionCookie, visits: Visits) -> None:
        self._events: Events = setup.events
        self._clock: Clock = setup.clock
        self._patience = setup.patience
        self._tokens = tokens
        self._cookie = cookie
        self._visits = visits
        self._renewals = Renewals(self._refresh, setup.clock)
        self._tasks = Tasks(setup.clock)
        self._paused_until = 0.0
        self._failing = False
        self._trying = 0

    async def find(self, connection: HTTPConnection, visitor: Visitor) -> StorefrontToken | None:
        """Return the token of a request, of a new session where there is none yet and one may begin."""
        kept, now = self._brought(connection, visitor), self._clock.time()
        if kept is None or kept.is_over(now):
            return await self._begin(connection, visitor)
        if not kept.is_due(now) or visitor.is_answered():
            return kept.token if kept.is_good(now) else None
        return await self._renew(kept, connection, visitor, is_good=kept.is_good(now))

    async def instead_of(
        self, refused: StorefrontToken, connection: HTTPConnection, visitor: Visitor
    ) -> StorefrontToken | None:
        """Return another token in place of one that Emporix has refused, `None` where there is none."""
        kept = visitor.session
        if not isinstance(kept, KeptSession) or kept.access_token != refused.value or visitor.is_answered():
            return None
        if not kept.refresh_token:
            return await self._replace(connection, visitor)
        return await self._renew(kept, connection, visitor, is_good=False)

    def saas_token(self, token: StorefrontToken, visitor: Visitor) -> str | None:
        """Return the saas token that goes with a token of these sessions, as long as it is good."""
        kept = visitor.session
        if not isinstance(kept, KeptSession) or kept.access_token != token.value:
            return None
        return kept.good_saas_token(self._clock.time())

    def carried(self, scope: Scope) -> Mapping[bytes, int]:
        """Return the names of cookies of sessions that a request has brought, and how many bytes each takes."""
        return self._cookie.carried(scope)

    async def aclose(self) -> None:
        """Let refreshes end, then close the connections of the running event loop."""
        await self._renewals.aclose(DRAIN_SECONDS)
        await self._tasks.drain(DRAIN_SECONDS)
        await self._tokens.aclose()

    async def _renew(
        self, kept: KeptSession, connection: HTTPConnection, visitor: Visitor, *, is_good: bool
    ) -> StorefrontToken | None:
        outcome = await self._renewals.of(kept, self._patience)
        if isinstance(outcome, KeptSession):
            return self._keep(outcome, connection, visitor)
        if is_good:
            return kept.token
        if isinstance(outcome, Failed) and outcome.is_definite:
            return await self._replace(connection, visitor)
        return None

    async def _replace(self, connection: HTTPConnection, visitor: Visitor) -> StorefrontToken | None:
        token = await self._begin(connection, visitor)
        if token is not None:
            self._emit("session.replaced", BEGIN, "refused")
        return token

    async def _begin(self, connection: HTTPConnection, visitor: Visitor) -> StorefrontToken | None:
        if visitor.is_answered() or self._is_pausing:
            return None
        why = await self._visits.refusal(connection)
        if why:
            self._emit("session.none", BEGIN, why)
            return None
        unanswered = EmporixUnreachable(OPERATION, None, "no answer in time")
        begun = self._tasks.share(self._new(visitor), otherwise=unanswered)
        kept = await begun.wait(self._patience, self._clock)
        if kept is None:
            self._failed(unanswered)
        return self._keep(kept, connection, visitor) if isinstance(kept, KeptSession) else None

    @property
    def _is_pausing(self) -> bool:
        """Whether Emporix is left alone; after a failure one visitor at a time tries whether it is over."""
        return self._clock.monotonic() < self._paused_until or (self._failing and self._trying > 0)

    async def _new(self, visitor: Visitor) -> KeptSession | EmporixError:
        asked_at = self._clock.time()
        self._trying += 1
        try:
            answer = await self._tokens.begin(**visitor.choices())
        except EmporixError as error:
            self._failed(error)
            return error
        finally:
            self._trying -= 1
        self._failing = False
        self._events.over("session.failed", BEGIN)
        self._emit("session.begun", BEGIN, "ok")
        before = visitor.session if isinstance(visitor.session, KeptSession) else None
        return KeptSession.granted(answer, asked_at).following(before, visitor.era())

    async def _refresh(self, kept: KeptSession) -> KeptSession:
        asked_at = self._clock.time()
        try:
            answer = await self._tokens.refresh_guest(kept.refresh_token)
        except EmporixError as error:
            self._emit("session.failed", RENEW, type(error).__name__)
            raise
        self._events.over("session.failed", RENEW)
        self._emit("session.renewed", RENEW, "ok")
        return kept.renewed(answer, asked_at)

    def _brought(self, connection: HTTPConnection, visitor: Visitor) -> KeptSession | None:
        """Return the session that a request brings, and have its browser lose those that it has followed."""
        brought = self._cookie.read(connection.scope, visitor.era())
        if brought.void and not visitor.is_answered():
            visitor.clears(self._cookie.clear(brought.void))
        if brought.kept is not None:
            visitor.is_of(brought.kept, brought.kept.era)
        return brought.kept

    def _keep(self, kept: KeptSession, connection: HTTPConnection, visitor: Visitor) -> StorefrontToken:
        headers = self._cookie.write(connection, kept)
        if headers is None:
            self._emit("session.unkept", "respond", "too large")
        else:
            visitor.keeps(kept, kept.era, headers)
        return kept.token

    def _failed(self, error: EmporixError) -> None:
        self._paused_until, self._failing = self._clock.monotonic() + Failed(error).pause, True
        self._emit("session.failed", BEGIN, type(error).__name__)

    def _emit(self, name: str, operation: str, outcome: str) -> None:
        self._events.emit(ContextEvent(name=name, operation=operation, outcome=outcome))
