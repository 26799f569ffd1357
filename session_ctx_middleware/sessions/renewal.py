"""One refresh per refresh token: who holds the old one gets its successor, and a failure is not repeated at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

from cachetools import TTLCache

from ..clock import Clock
from ..errors import EmporixError, EmporixFailed, EmporixUnreachable, TokenRejected
from ..tasks import SharedResult, Tasks
from .kept import KeptSession

__all__ = ["Failed", "Outcome", "Renewals"]

HANDED_ON: Final = 60.0
"""Seconds for which the successor of a refresh token is handed to late holders: requests that were sent before."""
REFUSED_PAUSE: Final = 30.0
FAILED_PAUSE: Final = 2.0
LONGEST_PAUSE: Final = 60.0
MOST: Final = 10_000
OPERATION: Final = "anonymous.refresh"


@dataclass(frozen=True, slots=True, repr=False)
class Failed:
    """Why there is no other token.

    Args:
        error: what the call has ended with.
    """

    error: EmporixError

    @property
    def is_definite(self) -> bool:
        """Whether Emporix has refused the refresh token, which it will do again."""
        return isinstance(self.error, TokenRejected)

    @property
    def pause(self) -> float:
        """Seconds for which nobody need ask again."""
        if self.error.retry_after is not None:
            return min(max(self.error.retry_after, FAILED_PAUSE), LONGEST_PAUSE)
        return REFUSED_PAUSE if self.is_definite else FAILED_PAUSE


Outcome: TypeAlias = KeptSession | Failed
Flights: TypeAlias = dict[str, SharedResult[Outcome]]


class Renewals:
    """Refreshes sessions, each refresh token once, however many requests hold it.

    Args:
        refresh: makes the call.
        clock: where time comes from.
    """

    def __init__(self, refresh: Callable[[KeptSession], Awaitable[KeptSession]], clock: Clock) -> None:
        self._refresh = refresh
        self._clock = clock
        self._tasks = Tasks(clock)
        self._flights: WeakKeyDictionary[asyncio.AbstractEventLoop, Flights] = WeakKeyDictionary()
        self._known: TTLCache[str, tuple[float, Outcome]] = TTLCache(MOST, LONGEST_PAUSE, timer=clock.monotonic)
        self._lock = Lock()  # event loops of several threads share what is known

    async def of(self, kept: KeptSession, patience: float) -> Outcome | None:
        """Return the session with other tokens, or why there are none; `None` where it takes longer.

        Args:
            kept: as the browser has it.
            patience: seconds to wait; the call goes on in any case.
        """
        key = kept.refresh_token
        with self._lock:
            known = self._known.get(key)
        if known is not None and self._clock.monotonic() < known[0]:
            return known[1]
        return await self._flight(key, kept).wait(patience, self._clock)

    async def aclose(self, seconds: float) -> None:
        """Let calls that are on their way end, for at most `seconds`: a token that nobody hears of would be lost."""
        await self._tasks.drain(seconds)

    def _flight(self, key: str, kept: KeptSession) -> SharedResult[Outcome]:
        flights = self._flights.setdefault(asyncio.get_running_loop(), {})
        flight = flights.get(key)
        if flight is None:
            closing = Failed(EmporixUnreachable(OPERATION, None, "the application is shutting down"))
            flight = flights[key] = self._tasks.share(self._fly(flights, key, kept), otherwise=closing)
        return flight

    async def _fly(self, flights: Flights, key: str, kept: KeptSession) -> Outcome:
        try:
            outcome = await self._outcome(kept)
            seconds = outcome.pause if isinstance(outcome, Failed) else HANDED_ON
            with self._lock:
                self._known[key] = (self._clock.monotonic() + seconds, outcome)
            return outcome
        finally:
            flights.pop(key, None)

    async def _outcome(self, kept: KeptSession) -> Outcome:
        try:
            return await self._refresh(kept)
        except EmporixError as error:
            return Failed(error)
        except Exception as error:  # noqa: BLE001 - whatever a client does, the waiters get an answer
            return Failed(EmporixFailed(OPERATION, None, f"unexpected {type(error).__name__}"))
