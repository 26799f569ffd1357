"""Sessions that take the place of others: after a login, for another company; and of none, after a logout."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from starlette.requests import HTTPConnection

from ..emporix import TokenAnswer
from ..errors import ConfigurationError, ContextUnavailable, EmporixNotAsked, EmporixUnreachable
from ..tokens import Visitor
from .guests import OPERATION, Guests
from .kept import KeptSession
from .sealed_tokens import TokensUnavailable

__all__ = ["Successions"]

REFRESH: Final = "customer.refresh"


class Successions(Guests):
    """The sessions of guests, and of those who follow them."""

    async def running(self, connection: HTTPConnection, visitor: Visitor) -> KeptSession | None:
        """Return the session of a request, without beginning or refreshing one."""
        if visitor.session is None:
            await self._brought(connection, visitor)
        return visitor.session if isinstance(visitor.session, KeptSession) else None

    async def fresh(self, visitor: Visitor) -> TokenAnswer:
        """Return tokens of a guest's session that nobody keeps.

        Raises:
            EmporixError: Emporix could not be asked, or is left alone just now.
        """
        if self._pause.is_on:
            raise EmporixNotAsked(OPERATION, None, "Emporix is left alone after a failure")
        return await self._granted(visitor)

    async def enter(self, kept: KeptSession, connection: HTTPConnection, visitor: Visitor) -> None:
        """Keep a session in place of the one that the browser brought.

        Raises:
            ContextUnavailable: there is no place to keep it at the moment.
            ConfigurationError: it is too large for a cookie.
        """
        placed = await self.place(kept, connection)
        headers = self._keeping.write(connection, placed)
        if headers is None:
            raise ConfigurationError(
                "The tokens of this customer are too large for a cookie: let StorefrontSessions(keep=RedisStore(...)) "
                "keep them."
            )
        visitor.keeps(placed, placed.era, headers)

    async def place(self, kept: KeptSession, connection: HTTPConnection) -> KeptSession:
        """Return a session with a place to be kept at; those that the request brought are over.

        Raises:
            ContextUnavailable: there is none at the moment.
        """
        try:
            return await self._keeping.place(kept, connection)
        except TokensUnavailable:
            raise ContextUnavailable("The store that keeps sessions could not be reached.") from None

    async def goes_on(self, kept: KeptSession) -> KeptSession:
        """Return a session that goes on with tokens for another company, kept though nobody may hear of it."""
        if self._keeping.needs_answer:
            return replace(kept, generation=kept.generation + 1)  # late answers keep those for the company before
        await self._keeping.renewed(kept)
        return kept

    async def leave(self, era: int, connection: HTTPConnection, visitor: Visitor) -> None:
        """Have the browser, and the store, forget all sessions that a request brings."""
        await self.end(connection)
        names = [name.decode() for name in self._keeping.carried(connection.scope)]
        visitor.keeps(None, era, self._keeping.clear(names))

    async def renewed(
        self, kept: KeptSession, work: Callable[[], Awaitable[KeptSession]], patience: float
    ) -> KeptSession:
        """Return what `work` makes of a session, unless another request has refreshed it a moment ago.

        Raises:
            EmporixError: what it has ended with.
        """
        outcome = await self._renewals.instead(kept, work, patience)
        if isinstance(outcome, KeptSession):
            return outcome
        raise EmporixUnreachable(REFRESH, None, "no answer in time") if outcome is None else outcome.error.again()
