"""A token source that needs no token code in the shop: it begins, keeps and refreshes the sessions of visitors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from starlette.requests import HTTPConnection
from starlette.types import Scope

from ..checks import cookie_name, function, printable
from ..clock import Clock
from ..credentials import StorefrontToken
from ..emporix import ShopperTokens
from ..errors import ConfigurationError, EmporixError, EmporixUnreachable
from ..events import ContextEvent, Events
from ..sealing import tenant_tag
from ..tasks import Tasks
from ..tokens import SessionSetup, SessionSource, Visitor
from .cookie import Persist, SessionCookie
from .kept import KeptSession
from .renewal import Failed, Renewals
from .visits import IsCrawler, Visits

__all__ = ["StorefrontSessions"]

T = TypeVar("T")

PURPOSE: Final = "session cookie"
NAME: Final = "storefront_session"
OPERATION: Final = "anonymous.login"
BEGIN: Final = "begin"
RENEW: Final = "renew"
DRAIN_SECONDS: Final = 5.0


def _for_the_session(_connection: HTTPConnection) -> bool:
    return False


class StorefrontSessions(SessionSource):
    """Takes care of the tokens of a shop's visitors: begins a session when one is needed, keeps it, and refreshes it.

    The tokens are kept in one sealed cookie. A session is begun for people who see a page, not for crawlers, prefetches
    or what other sites ask for without a navigation. An error that may pass changes no session: only when Emporix has
    refused the refresh token, and the access token has ended or was refused as well, another session is begun, and what
    the shopper has chosen goes along.

    Args:
        client_id: of the storefront, from the Emporix Developer Portal; it is public.
        keep: where tokens are kept: ``"cookie"``.
        cookie_name: of the cookie; on https with the prefix ``__Host-``. By default one of the tenant's own.
        persist: tells of a request whether the cookie is to outlive the browser's session.
        is_crawler: decides for the shop which requests are a crawler's; `None` leaves it to the known user agents. Who
            brings a cookie is none, whatever its user agent.

    Raises:
        ConfigurationError: one of them cannot work, or the extra ``sessions`` is not installed.
    """

    vary = ("Cookie",)

    def __init__(
        self,
        client_id: str,
        *,
        keep: str = "cookie",
        cookie_name: str | None = None,
        persist: Persist = _for_the_session,
        is_crawler: IsCrawler | None = None,
    ) -> None:
        if keep != "cookie":
            raise ConfigurationError("StorefrontSessions(keep=...) must be 'cookie'.")
        self._client_id = printable(client_id, "StorefrontSessions(client_id)")
        self._name = None if cookie_name is None else _checked_name(cookie_name)
        function(persist, "StorefrontSessions(persist=...)")
        self._persist = persist
        if is_crawler is not None:
            function(is_crawler, "StorefrontSessions(is_crawler=...)")
        self._is_crawler = is_crawler
        Visits()  # says at once what is not installed
        self._keeper: _Keeper | None = None

    def __repr__(self) -> str:
        return f"StorefrontSessions({self._client_id!r})"

    def bind(self, setup: SessionSetup) -> None:
        """Serve one middleware.

        Args:
            setup: what it was built with.

        Raises:
            ConfigurationError: another one has this object already, or there is no secret.
        """
        if self._keeper is not None:
            raise ConfigurationError("One StorefrontSessions(...) serves one middleware: give each its own.")
        sealer = setup.keyring.sealer(PURPOSE)
        name = self._name or f"{NAME}.{tenant_tag(setup.tenant, setup.base_url)}"
        persist = _careful(self._persist, setup.events, "consent.failed", otherwise=False)
        cookie = SessionCookie(sealer, name, https_only=setup.https_only, persist=persist, clock=setup.clock)
        asks = self._is_crawler
        visits = Visits(None if asks is None else _careful(asks, setup.events, "crawler.failed", otherwise=None))
        tokens = ShopperTokens(setup.tenant, self._client_id, **setup.client)
        self._keeper = _Keeper(setup, tokens, cookie, visits)

    async def find(self, connection: HTTPConnection, visitor: Visitor) -> StorefrontToken | None:
        """Return the token of a request, of a new session where there is none yet and one may begin."""
        return await self._bound.find(connection, visitor)

    async def instead_of(
        self, refused: StorefrontToken, connection: HTTPConnection, visitor: Visitor
    ) -> StorefrontToken | None:
        """Return another token in place of one that Emporix has refused, `None` where there is none."""
        return await self._bound.instead_of(refused, connection, visitor)

    def carried(self, scope: Scope) -> Mapping[bytes, int]:
        """Return the name of its cookie, and how many bytes of it a request has brought."""
        return self._bound.carried(scope)

    async def aclose(self) -> None:
        """Let refreshes end, then close the connections of the running event loop."""
        if self._keeper is not None:
            await self._keeper.aclose()

    @property
    def _bound(self) -> _Keeper:
        if self._keeper is None:
            raise ConfigurationError("StorefrontSessions(...) has to be the token=... of a SessionContextMiddleware.")
        return self._keeper


class _Keeper:
    """What `StorefrontSessions` does for its middleware.

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
        kept, now = self._brought(connection, visitor), self._clock.time()
        if kept is None or kept.is_over(now):
            return await self._begin(connection, visitor)
        if not kept.is_due(now) or visitor.is_answered():
            return kept.token if kept.is_good(now) else None
        return await self._renew(kept, connection, visitor, is_good=kept.is_good(now))

    async def instead_of(
        self, refused: StorefrontToken, connection: HTTPConnection, visitor: Visitor
    ) -> StorefrontToken | None:
        kept = visitor.session
        if not isinstance(kept, KeptSession) or kept.access_token != refused.value or visitor.is_answered():
            return None
        if not kept.refresh_token:
            return await self._replace(connection, visitor)
        return await self._renew(kept, connection, visitor, is_good=False)

    def carried(self, scope: Scope) -> Mapping[bytes, int]:
        return self._cookie.carried(scope)

    async def aclose(self) -> None:
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


def _careful(
    function: Callable[[HTTPConnection], T], events: Events, name: str, *, otherwise: T
) -> Callable[[HTTPConnection], T]:
    """Return a function of the shop that breaks no page: where it raises, that is told, and `otherwise` counts."""

    def asked(connection: HTTPConnection) -> T:
        try:
            return function(connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, only its class is told
            events.emit(ContextEvent(name=name, operation=BEGIN, outcome=type(error).__name__))
            return otherwise

    return asked


def _checked_name(name: str) -> str:
    return cookie_name(name, "StorefrontSessions(cookie_name=...)", bare=True)
