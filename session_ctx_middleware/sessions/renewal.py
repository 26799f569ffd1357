"""One refresh per refresh token: who holds the old one gets its successor, and a failure is not repeated at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from ..clock import Clock
from ..observing import CallObserver
from .kept import KeptSession
from .once import Failed, Once, Outcome, Sharing

__all__ = ["Failed", "Outcome", "Renewals"]

OPERATION: Final = "anonymous.refresh"


class Renewals:
    """Refreshes sessions, each refresh token once, however many requests hold it.

    Args:
        refresh: makes the call.
        clock: where time comes from.
        sharing: how workers agree on who makes it; `None` where this process knows no other.
        observer: watches the calls.
    """

    def __init__(
        self,
        refresh: Callable[[KeptSession], Awaitable[KeptSession]],
        clock: Clock,
        sharing: Sharing | None = None,
        observer: CallObserver | None = None,
    ) -> None:
        self._refresh = refresh
        self._once = Once(OPERATION, clock, sharing, observer)

    async def of(self, kept: KeptSession, patience: float) -> Outcome | None:
        """Return the session with other tokens, or why there are none; `None` where it takes longer.

        Args:
            kept: as the browser has it.
            patience: seconds to wait; the call goes on in any case.
        """
        return await self._once.of(kept.refresh_token, lambda: self._refresh(kept), patience)

    async def instead(
        self, kept: KeptSession, work: Callable[[], Awaitable[KeptSession]], patience: float
    ) -> Outcome | None:
        """Do `work` in place of a refresh, unless one has just been done; what failed a moment ago is tried again."""
        return await self._once.of(kept.refresh_token, work, patience, anew=True)

    def is_final(self, kept: KeptSession, outcome: Outcome | None) -> bool:
        """Tell whether Emporix has refused a refresh token for good, and not because another worker was faster.

        Args:
            kept: as the browser has it.
            outcome: of its refresh.
        """
        return self._once.is_final(kept.refresh_token, outcome)

    async def settle(self, seconds: float) -> None:
        """Let calls that are on their way end, for at most `seconds`: a token that nobody hears of would be lost."""
        await self._once.settle(seconds)

    async def aclose(self, seconds: float) -> None:
        """Do the same, and cancel those that have not ended then."""
        await self._once.aclose(seconds)
