"""The next tokens of a session: those of guests and customers come from different places."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..clock import Clock
from ..emporix import ShopperTokens, TokenAnswer
from ..errors import ChangeRefused, TokenRejected
from .kept import KeptSession

__all__ = ["Refreshing"]

OPERATION: Final = "customer.refresh"
UNKNOWN_COMPANY: Final = frozenset({400, 403})


class Refreshing:
    """Asks Emporix for the next tokens.

    Args:
        tokens: makes the calls.
        clock: where time comes from.
    """

    def __init__(self, tokens: ShopperTokens, clock: Clock) -> None:
        self._tokens = tokens
        self._clock = clock

    async def next_of(self, kept: KeptSession) -> KeptSession:
        """Return a session with other tokens.

        Raises:
            TokenRejected: Emporix does not take the refresh token any more.
            EmporixError: as for `OwnContextClient.get`.
        """
        asked_at = self._clock.time()
        if kept.is_customer:
            return await self._customers(kept, asked_at)
        return kept.renewed(await self._tokens.refresh_guest(kept.refresh_token), asked_at)

    async def for_company(self, kept: KeptSession, legal_entity_id: str) -> KeptSession:
        """Return a customer's session with tokens for a company.

        Args:
            kept: the session.
            legal_entity_id: the company; empty for none.

        Raises:
            ChangeRefused: he does not act for that company.
            TokenRejected: Emporix does not take the refresh token any more.
            EmporixError: as for `OwnContextClient.get`.
        """
        wanted = replace(kept, legal_entity_id=legal_entity_id)
        try:
            return await self._customers(wanted, self._clock.time())
        except TokenRejected as error:
            if error.status not in UNKNOWN_COMPANY:
                raise
            status = error.status
        raise ChangeRefused(OPERATION, status, "the customer does not act for this company")

    async def guest_of(self, kept: KeptSession) -> TokenAnswer | None:
        """Return a guest's tokens of a customer's very session, `None` where there are none any more.

        Raises:
            EmporixError: Emporix could not be asked.
        """
        if not kept.guest_refresh:
            return None
        try:
            return await self._tokens.refresh_guest(kept.guest_refresh)
        except TokenRejected:
            return None

    async def _customers(self, kept: KeptSession, asked_at: float) -> KeptSession:
        guests: list[TokenAnswer] = []

        async def guests_token() -> str:
            # Of this very session where there is one: Emporix may go on with the session of the bearer.
            guests.append(await self.guest_of(kept) or await self._tokens.begin())
            return guests[0].access_token

        answer = await self._tokens.refresh_customer(
            kept.refresh_token,
            bearer=kept.access_token,
            other_bearer=guests_token,
            legal_entity_id=kept.legal_entity_id or None,
        )
        renewed = kept.renewed(answer, asked_at)
        return replace(renewed, guest_refresh=guests[0].refresh_token or "") if guests else renewed
