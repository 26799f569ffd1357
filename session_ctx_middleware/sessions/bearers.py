"""With whose token a customer's login goes out: that of the running session, so that the session stays."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeAlias

from starlette.requests import HTTPConnection

from ..emporix import TokenAnswer
from ..errors import EmporixUnreachable, TokenRejected
from ..tokens import Movable, StorefrontToken, Visitor
from .kept import KeptSession
from .refreshing import Refreshing
from .successions import Successions

__all__ = ["Bearers", "Caller"]

OPERATION: Final = "customer.login"

Bearer: TypeAlias = tuple[str, str]
"""A guest's token, and what refreshes it."""
Login: TypeAlias = Callable[..., Awaitable[TokenAnswer]]


@dataclass(frozen=True, slots=True, repr=False)
class Caller:
    """A request whose shopper logs in or out.

    Args:
        moving: the request, as it goes over to another token.
        connection: the same, as Starlette has it.
    """

    moving: Movable
    connection: HTTPConnection

    @property
    def visitor(self) -> Visitor:
        """Who it is, to a source that takes care of sessions."""
        return self.moving.visitor

    @property
    def session(self) -> KeptSession | None:
        """The session that the request goes on with."""
        kept = self.visitor.session
        return kept if isinstance(kept, KeptSession) else None


class Bearers:
    """Finds guests' tokens for logins.

    Args:
        guests: begins sessions.
        refreshing: gets the next tokens.
    """

    def __init__(self, guests: Successions, refreshing: Refreshing) -> None:
        self._guests = guests
        self._refreshing = refreshing

    async def granted(self, caller: Caller, login: Login, *, anew: bool) -> tuple[TokenAnswer, str]:
        """Return what a login gives, and what refreshes a guest's token of its session.

        Args:
            caller: the request.
            login: makes the call, with a guest's token.
            anew: whether that is to be of another session than the running one.
        """
        refused: TokenRejected | None = None
        for way in self._ways(caller, anew=anew):
            bearer = await way()
            if bearer is None:
                continue
            try:
                return await login(guest_token=bearer[0]), bearer[1]
            except TokenRejected as error:
                refused = error
        raise refused or EmporixUnreachable(OPERATION, None, "no session to log in to")

    def _ways(self, caller: Caller, *, anew: bool) -> tuple[Callable[[], Awaitable[Bearer | None]], ...]:
        """Return ways to a guest's token: first of the running session, last of one of its own."""
        session = caller.session
        if anew:
            return (partial(self._fresh, caller),)
        if session is not None and session.is_customer:  # once more, for a saas token
            return partial(self._guest_of, caller, session), partial(self._fresh, caller)
        return partial(self._running, caller), partial(self._refreshed, caller), partial(self._fresh, caller)

    async def _running(self, caller: Caller) -> Bearer | None:
        return _bearer(await caller.moving.credentials(), caller.session)

    async def _refreshed(self, caller: Caller) -> Bearer | None:
        refused = await caller.moving.credentials()
        another = None if refused is None else await caller.moving.another_token(refused)
        return _bearer(another, caller.session)

    async def _guest_of(self, caller: Caller, customer: KeptSession) -> Bearer | None:
        answer = await self._refreshing.guest_of(customer)
        if answer is None:
            return None
        refresh_token = answer.refresh_token or customer.guest_refresh
        if refresh_token != customer.guest_refresh:  # which is good once: it has to be kept, even if nobody logs in
            kept = await self._guests.goes_on(replace(customer, guest_refresh=refresh_token))
            self._guests.keep(kept, caller.connection, caller.visitor)
        return answer.access_token, refresh_token

    async def _fresh(self, caller: Caller) -> Bearer:
        answer = await self._guests.fresh(caller.visitor)
        return answer.access_token, answer.refresh_token or ""


def _bearer(token: StorefrontToken | None, session: KeptSession | None) -> Bearer | None:
    if token is None:
        return None
    own = session is not None and session.access_token == token.value
    return token.value, session.refresh_token if own and session is not None else ""
