"""A token source that needs no token code in the shop: it begins, keeps and refreshes the sessions of visitors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

from starlette.requests import HTTPConnection
from starlette.types import Scope

from ..checks import cookie_name, function, printable
from ..credentials import StorefrontToken
from ..emporix import ShopperTokens
from ..errors import ConfigurationError
from ..events import ContextEvent, Events
from ..sealing import tenant_tag
from ..stores import MemoryStore
from ..tokens import SessionSetup, SessionSource, Visitor
from .cookie import Persist, SessionCookie
from .guests import BEGIN, Guests
from .keeping import Keeping, KeepsInBrowser, KeepsInStore
from .once import Sharing
from .sealed_tokens import SealedTokens
from .token_store import HasTokens, TokenStore, token_store, token_store_of
from .visits import IsCrawler, Visits

__all__ = ["StorefrontSessions"]

T = TypeVar("T")

PURPOSE: Final = "session cookie"
ID_PURPOSE: Final = "session id"
NAME: Final = "storefront_session"
COOKIE: Final = "cookie"
SPARE_SECONDS: Final = 1.0


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
        keep: where tokens are kept: ``"cookie"``, or a store such as `RedisStore`, which all workers share; the browser
            has an id then.
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
        keep: str | TokenStore | HasTokens = COOKIE,
        cookie_name: str | None = None,
        persist: Persist = _for_the_session,
        is_crawler: IsCrawler | None = None,
    ) -> None:
        self._store = None if keep == COOKIE else token_store(keep)
        self._client_id = printable(client_id, "StorefrontSessions(client_id)")
        self._name = None if cookie_name is None else _checked_name(cookie_name)
        function(persist, "StorefrontSessions(persist=...)")
        self._persist = persist
        if is_crawler is not None:
            function(is_crawler, "StorefrontSessions(is_crawler=...)")
        self._is_crawler = is_crawler
        Visits()  # says at once what is not installed
        self._guests: Guests | None = None
        self._closes: Callable[[], Awaitable[None]] | None = None

    def __repr__(self) -> str:
        return f"StorefrontSessions({self._client_id!r})"

    def bind(self, setup: SessionSetup) -> None:
        """Serve one middleware.

        Args:
            setup: what it was built with.

        Raises:
            ConfigurationError: another one has this object already, or there is no secret.
        """
        if self._guests is not None:
            raise ConfigurationError("One StorefrontSessions(...) serves one middleware: give each its own.")
        asks = self._is_crawler
        visits = Visits(None if asks is None else _careful(asks, setup.events, "crawler.failed", otherwise=None))
        tokens = ShopperTokens(setup.tenant, self._client_id, **setup.client)
        sharing = self._sharing(setup)
        self._guests = Guests(setup, tokens, self._keeping(setup, sharing), visits, sharing)
        if self._store is not None and self._store is not token_store_of(setup.store):
            self._closes = getattr(self._store, "aclose", None)

    def _keeping(self, setup: SessionSetup, sharing: Sharing | None) -> Keeping:
        name = self._name or f"{NAME}.{tenant_tag(setup.tenant, setup.base_url)}"
        sealer = setup.keyring.sealer(PURPOSE if self._store is None else ID_PURPOSE)
        persist = _careful(self._persist, setup.events, "consent.failed", otherwise=False)
        cookie = SessionCookie(sealer, name, https_only=setup.https_only, persist=persist, clock=setup.clock)
        if self._store is None or sharing is None:
            return KeepsInBrowser(cookie)
        return KeepsInStore(cookie, sharing.tokens, setup.clock)

    def _sharing(self, setup: SessionSetup) -> Sharing | None:
        """Return how workers agree: by way of where sessions are kept, or else of the shop's other store."""
        store = self._store or token_store_of(setup.store)
        if store is None:
            return None
        place = (setup.tenant, setup.base_url)
        tokens = SealedTokens(store, setup.keyring, place, clock=setup.clock, events=setup.events)
        everybody = self._store is not None or not isinstance(setup.store, MemoryStore)
        return Sharing(tokens, setup.client["total_timeout"] + SPARE_SECONDS, everybody)

    async def find(self, connection: HTTPConnection, visitor: Visitor) -> StorefrontToken | None:
        """Return the token of a request, of a new session where there is none yet and one may begin."""
        return await self._bound.find(connection, visitor)

    async def instead_of(
        self, refused: StorefrontToken, connection: HTTPConnection, visitor: Visitor
    ) -> StorefrontToken | None:
        """Return another token in place of one that Emporix has refused, `None` where there is none."""
        return await self._bound.instead_of(refused, connection, visitor)

    def saas_token(self, token: StorefrontToken, visitor: Visitor) -> str | None:
        """Return the saas token that goes with a token of these sessions, as long as it is good."""
        return self._bound.saas_token(token, visitor)

    def carried(self, scope: Scope) -> Mapping[bytes, int]:
        """Return the name of its cookie, and how many bytes of it a request has brought."""
        return self._bound.carried(scope)

    async def settle(self) -> None:
        """Let refreshes end while the store and Emporix can be reached."""
        if self._guests is not None:
            await self._guests.settle()

    async def aclose(self) -> None:
        """Let refreshes end, then close the connections of the running event loop."""
        if self._guests is not None:
            await self._guests.aclose()
        if self._closes is not None:
            await self._closes()

    @property
    def _bound(self) -> Guests:
        if self._guests is None:
            raise ConfigurationError("StorefrontSessions(...) has to be the token=... of a SessionContextMiddleware.")
        return self._guests


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
