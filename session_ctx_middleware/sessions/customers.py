"""Customers: logging in and out, and acting for companies. Each goes out with the token of the running session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Final, TypeVar

from starlette.requests import HTTPConnection

from ..emporix import CustomerProfile, ShopperTokens, TokenAnswer, ValidToken
from ..errors import (
    ChangeRefused,
    ContextUnavailable,
    EmporixError,
    EmporixUnreachable,
    LoginRefused,
    MalformedAnswer,
    TokenRejected,
)
from ..events import ContextEvent
from ..model.transition import Belongings, Follows, Transition
from ..tasks import Tasks
from ..tokens import SessionSetup
from .account import Account, Companies
from .bearers import Bearers, Caller
from .guests import DRAIN_SECONDS
from .kept import KeptSession
from .refreshing import Refreshing
from .successions import Successions
from .visits import is_cross_site

__all__ = ["Customers"]

T = TypeVar("T")

LOGIN: Final = "customer.login"
LOGOUT: Final = "customer.logout"
ASSIST: Final = "customer.assist"
REFRESH: Final = "customer.refresh"
WHO: Final = 16
TRIES: Final = 3
LATER: Final = (2.0, 10.0)
"""Seconds after which Emporix is told again that a customer has logged out, where it could not be told at once."""
UNTOUCHED: Final = "Emporix could not be asked, and the session is as it was."


class Customers:
    """Logs customers in and out, for one middleware.

    Args:
        setup: what the middleware was built with.
        tokens: makes the calls.
        guests: begins, keeps and refreshes sessions.
        refreshing: gets the next tokens.
    """

    def __init__(self, setup: SessionSetup, tokens: ShopperTokens, guests: Successions, refreshing: Refreshing) -> None:
        self._moving = setup.moving
        self._events = setup.events
        self._clock = setup.clock
        self._patience = setup.patience
        self._tokens = tokens
        self._guests = guests
        self._refreshing = refreshing
        self._bearers = Bearers(guests, refreshing)
        self._profile = CustomerProfile(setup.tenant, **setup.client)
        self._tasks = Tasks(setup.clock, setup.observer)

    async def aclose(self) -> None:
        """Let calls end, then close the connections of the running event loop."""
        await self._tasks.drain(DRAIN_SECONDS)
        await self._profile.aclose()

    async def run(
        self, connection: HTTPConnection, work: Callable[[], Coroutine[object, object, Transition]]
    ) -> Transition:
        """Do what changes a request on the event loop that serves it."""
        run = self._moving(connection).run
        return await run(work())

    # In

    async def log_in(self, connection: HTTPConnection, email: object, password: object) -> Transition:
        """Log a customer in with a password; see `StorefrontSessions.login`."""
        if is_cross_site(connection):
            # A form on somebody else's site would have the shopper buy in that one's account (login CSRF).
            raise LoginRefused(LOGIN, None, "another site has sent this request")
        if not (isinstance(email, str) and isinstance(password, str)):
            # A form without the field, or with a file in its place: anybody can send that.
            raise LoginRefused(LOGIN, None, "e-mail address and password have to be texts")
        caller, who = await self._caller(connection), _fingerprint(email)
        before = await caller.moving.choices()
        another = caller.session is not None and caller.session.is_customer and caller.session.who != who
        call, asked_at = partial(self._tokens.log_in, email, password), self._clock.time()
        answer, guest_refresh = await self._asked(self._bearers.granted(caller, call, anew=another))
        customer = replace(_customer(answer, asked_at), who=who, guest_refresh=guest_refresh)
        if not another and caller.session is not None and caller.session.legal_entity_id:
            customer = await self._again_for(customer, caller.session.legal_entity_id)
        return await self._enter(caller, before, customer, "choices" if another else "everything")

    async def _again_for(self, customer: KeptSession, company: str) -> KeptSession:
        """Have a customer who has logged in once more act for the company that he acted for before."""
        try:
            return await self._refreshing.for_company(customer, company)
        except (ChangeRefused, TokenRejected):
            return customer  # he does not act for it any more
        except EmporixError:
            return replace(customer, legal_entity_id=company, renew_at=0.0)  # with the next request, then

    async def log_in_with(self, connection: HTTPConnection, answer: Mapping[str, object]) -> Transition:
        """Log a customer in with a token answer; see `StorefrontSessions.login_with`."""
        customer = _customer(TokenAnswer.parse(LOGIN, answer), self._clock.time())
        caller = await self._caller(connection)
        before, old = await caller.moving.belongings_of_before(), caller.session
        if old is not None and old.is_customer:
            return await self._enter(caller, before, customer, "choices")
        if old is not None and customer.session_id == old.session_id:
            customer = replace(customer, guest_refresh=old.refresh_token)
        return await self._enter(caller, before, customer, "everything")

    async def assist(self, connection: HTTPConnection, answer: Mapping[str, str]) -> Transition:
        """Log somebody of the staff in as a customer; see `StorefrontSessions.assisted_login`.

        Raises:
            TokenRejected: there is no token, or Emporix refuses it.
            ContextUnavailable: Emporix could not be asked.
        """
        try:
            customer = _customer(TokenAnswer.parse(ASSIST, answer), self._clock.time())
        except MalformedAnswer:
            customer = None
        if customer is None:
            raise TokenRejected(ASSIST, None, "no token in the address")
        caller = await self._caller(connection)
        valid = await self._asked(self._tokens.validate(customer.access_token))
        company, session_id = valid.legal_entity_id or "", valid.session_id or ""
        customer = replace(customer, is_assisted=True, legal_entity_id=company, session_id=session_id)
        before = await caller.moving.choices()
        moved = await self._enter(caller, before, customer, "nothing")
        self._emit("session.assisted", ASSIST, "ok")
        return moved

    async def _enter(self, caller: Caller, before: Belongings, customer: KeptSession, follows: Follows) -> Transition:
        """Have a request, and its browser, go on with a customer's session.

        Args:
            caller: the request.
            before: what the shopper had.
            customer: the session.
            follows: what of that goes along; where it is not all of it, nothing else of it is shown any more.
        """
        moving, ends = caller.moving, follows != "everything"
        era, old = moving.next_era() if ends else caller.visitor.era(), await moving.credentials()
        await self._guests.enter(customer.following(caller.session, era), caller.connection, caller.visitor)
        if ends:
            await moving.end(old, era)
        return await moving.move(before, customer.token, "login", follows)

    # Out

    async def log_out(self, connection: HTTPConnection) -> Transition:
        """Log whoever it is out; see `StorefrontSessions.logout`."""
        caller = await self._caller(connection)
        moving = caller.moving
        if await self._guests.running(connection, caller.visitor) is None:
            moving.goes_on_with(None)  # nobody begins a session to end it
        before, token = await moving.belongings(), await moving.credentials()
        if caller.session is not None and caller.session.is_customer:
            await self._revoke(caller.session.access_token)
        era = moving.next_era()
        await self._guests.leave(era, connection, caller.visitor)
        await moving.end(token, era)
        return await moving.move(before, None, "logout", "choices")

    async def _revoke(self, token: str) -> None:
        """Have Emporix end a token; where it cannot be told now, the customer is logged out here all the same."""
        await self._tasks.share(self._tell(token), otherwise=False).wait(self._patience, self._clock)

    async def _tell(self, token: str) -> bool:
        told = await self._is_told(token)
        if not told:
            self._tasks.spawn(self._tell_later(token))
        return told

    async def _is_told(self, token: str) -> bool:
        try:
            await self._tokens.log_out(token)
        except TokenRejected:
            return True  # it has ended already
        except EmporixError as error:
            self._emit("logout.untold", LOGOUT, type(error).__name__)
            return False
        return True

    async def _tell_later(self, token: str) -> None:
        for seconds in LATER:
            await self._clock.sleep(seconds)
            if await self._is_told(token):
                return

    # Who, and for whom

    async def account(self, connection: HTTPConnection) -> Account:
        """Return who is logged in; see `StorefrontSessions.account`."""
        moving = self._moving(connection)
        moving.uses()
        return Account.of(await self._guests.running(connection, moving.visitor), self._clock.time())

    async def companies(self, connection: HTTPConnection) -> Companies:
        """Return the companies of a customer; see `StorefrontSessions.companies`."""
        caller = Caller(self._moving(connection), connection)
        every = await self._asked(self._with_customers_token(caller, self._profile.companies))
        return Companies(every, None if caller.session is None else caller.session.legal_entity_id or None)

    async def validated(self, connection: HTTPConnection) -> ValidToken:
        """Return what a customer's token is good for; see `StorefrontSessions.validate`."""
        caller = Caller(self._moving(connection), connection)
        return await self._asked(self._with_customers_token(caller, self._tokens.validate))

    async def act_for(self, connection: HTTPConnection, legal_entity_id: str | None) -> Transition:
        """Have a customer act for another company; see `StorefrontSessions.switch_company`."""
        caller = await self._caller(connection)
        before, session = await caller.moving.belongings(), await self._customer_of(caller)
        cart_id = None if before.document is None else before.document.cart_id
        scoped = await self._asked(self._scoped(session, legal_entity_id or "", cart_id))
        self._guests.keep(scoped, connection, caller.visitor)
        return await caller.moving.move(before, scoped.token, "company", "everything")

    async def _scoped(self, session: KeptSession, company: str, cart_id: str | None) -> KeptSession:
        """Return a customer's session with tokens for a company, whoever else is refreshing it."""

        async def scoped(latest: KeptSession) -> KeptSession:
            left = latest.leaving(cart_id)
            return await self._guests.goes_on(await self._refreshing.for_company(left, company))

        for _ in range(TRIES):
            found = await self._guests.renewed(session, partial(scoped, session), self._patience)
            if found.legal_entity_id == company and found.access_token != session.access_token:
                return found
            session = found  # somebody else has refreshed it a moment ago
        raise EmporixUnreachable(REFRESH, None, "others refresh it all the time")

    async def _with_customers_token(self, caller: Caller, call: Callable[[str], Awaitable[T]]) -> T:
        """Return what a call says that wants a customer's token; one that is refused is refreshed once."""
        caller.moving.uses()
        session = await self._customer_of(caller)
        try:
            return await call(session.access_token)
        except TokenRejected:
            if await caller.moving.another_token(session.token) is None:
                raise
        return await call((await self._customer_of(caller)).access_token)

    async def _customer_of(self, caller: Caller) -> KeptSession:
        await caller.moving.credentials()
        session = caller.session
        if session is None or not session.is_customer:
            raise TokenRejected(REFRESH, None, "nobody is logged in")
        return session

    # What all of them need

    async def _caller(self, connection: HTTPConnection) -> Caller:
        caller = Caller(self._moving(connection), connection)
        caller.moving.check()
        caller.moving.uses()  # also where a login is refused, which says something about this shopper
        await self._guests.running(connection, caller.visitor)
        return caller

    async def _asked(self, work: Awaitable[T]) -> T:
        """Return what a call of Emporix says.

        Raises:
            LoginRefused, ChangeRefused, TokenRejected: as Emporix has it.
            ContextUnavailable: Emporix could not be asked.
        """
        try:
            return await work
        except (LoginRefused, ChangeRefused, TokenRejected):
            raise
        except EmporixError as error:
            why = type(error).__name__
        raise ContextUnavailable(f"{UNTOUCHED} ({why})")

    def _emit(self, name: str, operation: str, outcome: str) -> None:
        self._events.emit(ContextEvent(name=name, operation=operation, outcome=outcome))


def _customer(answer: TokenAnswer, now: float) -> KeptSession:
    return KeptSession.granted(answer, now, is_customer=True)


def _fingerprint(email: str) -> str:
    return sha256(email.strip().casefold().encode("utf-8", "surrogatepass")).hexdigest()[:WHO]
