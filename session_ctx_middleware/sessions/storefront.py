"""A token source that needs no token code in the shop: it begins, keeps and refreshes the sessions of visitors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from functools import partial
from typing import Final

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Scope

from ..checks import cookie_name, function, printable
from ..credentials import StorefrontToken
from ..emporix import ShopperTokens, ValidToken
from ..errors import ConfigurationError
from ..frames import without_locals
from ..model.transition import Transition
from ..sealing import tenant_tag
from ..stores import MemoryStore
from ..tokens import SessionSetup, SessionSource, Visitor
from .account import Account, Companies
from .asking import careful
from .assisted import assisted
from .cookie import Persist, SessionCookie
from .customers import Customers
from .keeping import Keeping, KeepsInBrowser, KeepsInStore
from .once import Sharing
from .refreshing import Refreshing
from .sealed_tokens import SealedTokens
from .successions import Successions
from .token_store import HasTokens, TokenStore, token_store, token_store_of
from .visits import IsCrawler, Visits

__all__ = ["StorefrontSessions"]

PURPOSE: Final = "session cookie"
ID_PURPOSE: Final = "session id"
NAME: Final = "storefront_session"
COOKIE: Final = "cookie"
SPARE_SECONDS: Final = 1.0
UNBOUND: Final = "StorefrontSessions(...) has to be the token=... of a SessionContextMiddleware."


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
        self._guests: Successions | None = None
        self._customers: Customers | None = None
        self._closes: Callable[[], Awaitable[None]] | None = None
        self._serves = False

    def __repr__(self) -> str:
        return f"StorefrontSessions({self._client_id!r})"

    def bind(self, setup: SessionSetup) -> None:
        """Serve one middleware.

        Args:
            setup: what it was built with.

        Raises:
            ConfigurationError: another one has this object, and was not closed; or there is no secret.
        """
        if self._serves:
            raise ConfigurationError("One StorefrontSessions(...) serves one middleware: give each its own.")
        asks = self._is_crawler
        visits = Visits(None if asks is None else careful(asks, setup.events, "crawler.failed", otherwise=None))
        tokens = ShopperTokens(setup.tenant, self._client_id, **setup.client)
        sharing, refreshing = self._sharing(setup), Refreshing(tokens, setup.clock)
        self._guests = Successions(
            setup, tokens, self._keeping(setup, sharing), visits, refreshing=refreshing, sharing=sharing
        )
        self._customers = Customers(setup, tokens, self._guests, refreshing)
        self._serves = True
        if self._store is not None and self._store is not token_store_of(setup.store):
            self._closes = getattr(self._store, "aclose", None)

    def _keeping(self, setup: SessionSetup, sharing: Sharing | None) -> Keeping:
        name = self._name or f"{NAME}.{tenant_tag(setup.tenant, setup.base_url)}"
        persist = careful(self._persist, setup.events, "consent.failed", otherwise=False)
        cookie, ticket = (
            SessionCookie(
                setup.keyring.sealer(each), name, https_only=setup.https_only, persist=persist, clock=setup.clock
            )
            for each in (PURPOSE, ID_PURPOSE)
        )
        if self._store is None or sharing is None:
            return KeepsInBrowser(cookie)
        return KeepsInStore(ticket, cookie, sharing.tokens, setup.clock)

    def _sharing(self, setup: SessionSetup) -> Sharing | None:
        """Return how workers agree: by way of where sessions are kept, or else of the shop's other store."""
        store = self._store or token_store_of(setup.store)
        if store is None:
            return None
        place = (setup.tenant, setup.base_url)
        tokens = SealedTokens(store, setup.keyring, place, clock=setup.clock, events=setup.events)
        everybody = self._store is not None or not isinstance(setup.store, MemoryStore)
        return Sharing(tokens, setup.client["total_timeout"] + SPARE_SECONDS, everybody)

    # Customers

    @without_locals
    async def login(self, request: HTTPConnection, email: str, password: str) -> Transition:
        """Log a customer in to the running session: it stays, with its cart and what the shopper has chosen.

        Args:
            request: that has brought the form.
            email: of the customer.
            password: of the customer.

        Returns:
            What has become of session, choices and cart. The response takes the tokens to the browser.

        Raises:
            LoginRefused: not this password, or not this customer; or another site has sent the form, or a field of it
                is missing.
            ContextUnavailable: Emporix could not be asked; the session is as it was.
            TokenRejected: Emporix begins no session for visitors either, as with a `client_id` of another tenant.
            ContextSealed: the response has started, or it is a WebSocket.
        """
        return await self._moved(request, lambda customers: customers.log_in(request, email, password))

    @without_locals
    async def login_with(self, request: HTTPConnection, answer: Mapping[str, object]) -> Transition:
        """Log a customer in with what another login at Emporix has answered: social login, token exchange, opt-in.

        Args:
            request: that goes on with the session. That nobody else has made the browser send it (login CSRF) is for
                the shop to see to, as by the ``state`` of a social login (RFC 6749, section 10.12).
            answer: the token answer, as Emporix spells it.

        Returns:
            What has become of session, choices and cart.

        Raises:
            MalformedAnswer: there is no access token in it.
            ContextUnavailable: the session could not be kept; it is as it was.
            ContextSealed: the response has started, or it is a WebSocket.
        """
        return await self._moved(request, lambda customers: customers.log_in_with(request, answer))

    @without_locals
    async def assisted_login(self, request: HTTPConnection, *, opened_from: Collection[str], to: str = "/") -> Response:
        """Return the answer to a request with which the Management Dashboard opens the shop as a customer.

        The tokens are taken from the address once, and the browser goes on to a clean one (303, ``no-referrer``,
        ``no-store``). Emporix is asked whether it takes the token. Nothing of the guest goes along, nor his cart.

        Args:
            request: with ``customerToken``, ``customerTokenExpiresIn`` and ``saasToken`` in its query.
            opened_from: origins of the pages that may open it, such as the dashboard's: it has to name itself in
                ``Referer``, as anybody else could send a shopper here with tokens of his own (login CSRF).
            to: the page of this shop to go on to.

        Returns:
            The redirect; 403 where somebody else has sent the request, or Emporix refuses the token; 503 where Emporix
            could not be asked. The session is as it was then.

        Raises:
            ConfigurationError: one of `opened_from` is no origin.
            ContextSealed: the response has started, or it is a WebSocket.
        """
        enter = partial(self._for_customers.assist, request)
        return await assisted(request, enter, opened_from=opened_from, to=to)

    async def logout(self, request: HTTPConnection) -> Transition:
        """Log the customer out: nothing of him is shown any more, on any worker, whether Emporix can be told or not.

        The four switches stay as they were seen, and the next page that needs a session begins one, of a guest.

        Args:
            request: of the customer.

        Raises:
            ContextSealed: the response has started, or it is a WebSocket.
        """
        return await self._moved(request, lambda customers: customers.log_out(request))

    async def switch_company(self, request: HTTPConnection, legal_entity_id: str | None) -> Transition:
        """Have the customer act for another company: what was cached for the one before is not shown any more.

        Args:
            request: of the customer.
            legal_entity_id: of the company, `None` for none.

        Raises:
            TokenRejected: nobody is logged in, or it is so long ago that the customer has to log in again.
            ChangeRefused: the customer does not act for this company.
            ContextUnavailable: Emporix could not be asked; the session is as it was.
            ContextSealed: the response has started, or it is a WebSocket.
        """
        return await self._moved(request, lambda customers: customers.act_for(request, legal_entity_id))

    async def companies(self, request: HTTPConnection) -> Companies:
        """Return the companies that the customer may act for, and whether he has to choose one. One call of Emporix.

        Args:
            request: of the customer.

        Raises:
            TokenRejected: nobody is logged in, or Emporix does not take the token any more.
            ContextUnavailable: Emporix could not be asked.
        """
        return await self._for_customers.companies(request)

    async def account(self, request: HTTPConnection) -> Account:
        """Return who is logged in, and whether a checkout needs another login. Emporix is not asked.

        Args:
            request: of anybody.
        """
        return await self._for_customers.account(request)

    async def validate(self, request: HTTPConnection) -> ValidToken:
        """Return what Emporix says the customer's token is good for. Emporix bills the call: it is none for every page.

        Args:
            request: of the customer.

        Raises:
            TokenRejected: nobody is logged in, or Emporix does not take the token any more.
            ContextUnavailable: Emporix could not be asked.
        """
        return await self._for_customers.validated(request)

    async def _moved(
        self, request: HTTPConnection, work: Callable[[Customers], Coroutine[object, object, Transition]]
    ) -> Transition:
        customers = self._for_customers
        return await customers.run(request, lambda: work(customers))

    @property
    def _for_customers(self) -> Customers:
        if self._customers is None:
            raise ConfigurationError(UNBOUND)
        return self._customers

    # For the middleware

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

    def at_once(self, scope: Scope, visitor: Visitor) -> StorefrontToken | None:
        """Return the token of a session that a request brings whole, and that need not be refreshed."""
        return self._bound.at_once(scope, visitor)

    async def end(self, connection: HTTPConnection) -> None:
        """Have the sessions that a request has brought be nobody's from now on, where a store keeps them."""
        await self._bound.end(connection)

    def carried(self, scope: Scope) -> Mapping[bytes, int]:
        """Return the name of its cookie, and how many bytes of it a request has brought."""
        return self._bound.carried(scope)

    async def settle(self) -> None:
        """Let refreshes end while the store and Emporix can be reached."""
        if self._guests is not None:
            await self._guests.settle()

    async def aclose(self) -> None:
        """Let refreshes end, then close the connections of the running event loop; another middleware may follow."""
        self._serves = False
        if self._customers is not None:
            await self._customers.aclose()
        if self._guests is not None:
            await self._guests.aclose()
        if self._closes is not None:
            await self._closes()

    @property
    def _bound(self) -> Successions:
        if self._guests is None:
            raise ConfigurationError(UNBOUND)
        return self._guests


def _checked_name(name: str) -> str:
    return cookie_name(name, "StorefrontSessions(cookie_name=...)", bare=True)
