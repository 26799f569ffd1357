"""One call per refresh token, on all workers that share a store: late holders get what it has brought."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

from cachetools import TTLCache

from ..cbor import dumps, loads
from ..clock import Clock
from ..errors import EmporixError, EmporixFailed, EmporixUnreachable, TokenRejected
from ..observing import CallObserver
from ..tasks import SharedResult, Tasks
from .kept import KeptSession
from .sealed_tokens import SealedTokens, TokensUnavailable

__all__ = ["HANDED_ON", "Failed", "Once", "Outcome", "Sharing"]

HANDED_ON: Final = 60.0
"""Seconds for which the successor of a refresh token is handed to late holders: requests that were sent before."""
REFUSED_PAUSE: Final = 30.0
FAILED_PAUSE: Final = 2.0
LONGEST_PAUSE: Final = 60.0
RACE: Final = 10.0
"""Seconds for which a refusal may be that of a loser: within them the browser hears from the worker that has won."""
REMEMBERED: Final = 24 * 3600.0
LOOK_AGAIN: Final = 0.1
"""Seconds between two looks for what another worker may have brought."""
MOST: Final = 10_000
REFUSED: Final = dumps("refused")


@dataclass(frozen=True, slots=True, repr=False)
class Failed:
    """Why there is no other token.

    Args:
        error: what the call has ended with.
        alone: whether nobody else can have used the token meanwhile.
    """

    error: EmporixError
    alone: bool = False

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
Work: TypeAlias = Callable[[], Awaitable[KeptSession]]
Flights: TypeAlias = dict[str, SharedResult[Outcome]]


@dataclass(frozen=True, slots=True, repr=False)
class Sharing:
    """How workers agree on who makes a call.

    Args:
        tokens: what they share.
        seconds: for which one of them has it to itself: longer than a call may take.
        is_everybodys: whether all workers of the shop share it, so that none can have made the call besides.
    """

    tokens: SealedTokens
    seconds: float
    is_everybodys: bool


class Once:
    """Makes one call per refresh token, however many requests hold it, on all workers that share a store.

    Args:
        operation: the name of the call, for errors and as the kind of work that workers agree on.
        clock: where time comes from.
        sharing: how workers agree; `None` where this process knows no other.
        observer: watches the calls.
    """

    def __init__(
        self, operation: str, clock: Clock, sharing: Sharing | None = None, observer: CallObserver | None = None
    ) -> None:
        self._operation = operation
        self._clock = clock
        self._sharing = sharing
        self._tasks = Tasks(clock, observer)
        self._flights: WeakKeyDictionary[asyncio.AbstractEventLoop, Flights] = WeakKeyDictionary()
        self._known: TTLCache[str, tuple[float, Outcome]] = TTLCache(MOST, LONGEST_PAUSE, timer=clock.monotonic)
        self._refused: TTLCache[str, float] = TTLCache(MOST, REMEMBERED, timer=clock.monotonic)
        self._lock = Lock()  # event loops of several threads share what is known

    async def of(self, token: str, work: Work, patience: float, *, anew: bool = False) -> Outcome | None:
        """Return what the call has brought, or why it has brought nothing; `None` where it takes longer.

        Args:
            token: the refresh token.
            work: makes the call, unless somebody else does or did.
            patience: seconds to wait; the call goes on in any case.
            anew: whether a failure of a moment ago does not count.
        """
        with self._lock:
            known = self._known.get(token)
        counts = known is not None and not (anew and isinstance(known[1], Failed))
        if counts and known is not None and self._clock.monotonic() < known[0]:
            return known[1]
        return await self._flight(token, work).wait(patience, self._clock)

    def is_final(self, token: str, outcome: Outcome | None) -> bool:
        """Tell whether Emporix has refused a token for good, and not because another worker was faster.

        Args:
            token: the refresh token.
            outcome: of its call.
        """
        if not isinstance(outcome, Failed) or not outcome.is_definite:
            return False
        now = self._clock.monotonic()
        with self._lock:
            since = self._refused.get(token, now)
        return outcome.alone or now - since >= RACE

    async def settle(self, seconds: float) -> None:
        """Let calls that are on their way end, for at most `seconds`: a token that nobody hears of would be lost."""
        await self._tasks.settle(seconds)

    async def aclose(self, seconds: float) -> None:
        """Do the same, and cancel those that have not ended then."""
        await self._tasks.drain(seconds)

    def _flight(self, token: str, work: Work) -> SharedResult[Outcome]:
        flights = self._flights.setdefault(asyncio.get_running_loop(), {})
        flight = flights.get(token)
        if flight is None:
            closing = self._failed("the application is shutting down")
            flight = flights[token] = self._tasks.share(self._fly(flights, token, work), otherwise=closing)
        return flight

    async def _fly(self, flights: Flights, token: str, work: Work) -> Outcome:
        try:
            outcome = await self._agreed(token, work)
            seconds = outcome.pause if isinstance(outcome, Failed) else HANDED_ON
            now = self._clock.monotonic()
            with self._lock:
                self._known[token] = (now + seconds, outcome)
                if isinstance(outcome, Failed) and outcome.is_definite:
                    self._refused.setdefault(token, now)
            return outcome
        finally:
            flights.pop(token, None)

    async def _agreed(self, token: str, work: Work) -> Outcome:
        """Return what this worker's call has brought, or that of another worker."""
        if self._sharing is None:
            return await self._outcome(work)
        try:
            claimed = await self._claimed(self._sharing, token)
        except TokensUnavailable:
            return await self._outcome(work)
        if not isinstance(claimed, int):
            return claimed
        outcome = await self._outcome(work, alone=self._sharing.is_everybodys)
        await self._hand_on(self._sharing, token, claimed, outcome)
        return outcome

    async def _claimed(self, sharing: Sharing, token: str) -> Outcome | int:
        """Return what another worker has brought, or the number of the attempt that this one has to itself now."""
        until, number, waits = self._clock.monotonic() + sharing.seconds, 0, False
        while True:
            # In this order: whoever had the claim before has left word of what it has brought.
            claimed = await sharing.tokens.claim(self._operation, f"{token} {number}", sharing.seconds)
            found = await sharing.tokens.load(self._operation, token)
            told = None if found is None else self._told(found, alone=sharing.is_everybodys)
            if told is not None and not isinstance(told, int):
                return told
            if told is not None and told > number:  # that attempt has failed: whoever comes later makes another one
                if waits:
                    return self._failed("the call of another worker has failed")
                number = told
                continue
            if claimed:
                return number
            if self._clock.monotonic() >= until:
                return self._failed("another worker is at it")
            waits = True
            await self._clock.sleep(LOOK_AGAIN * (0.5 + self._clock.random()))

    def _told(self, found: bytes, *, alone: bool) -> Outcome | int:
        """Return what another worker has left: a session, that it was refused, or how many attempts have failed."""
        kept = KeptSession.decode(found)
        if kept is not None:
            return kept
        failures = _number(found)
        return Failed(TokenRejected(self._operation, 401), alone) if failures is None else failures

    async def _hand_on(self, sharing: Sharing, token: str, number: int, outcome: Outcome) -> None:
        if isinstance(outcome, KeptSession):
            word, seconds = outcome.encode(), HANDED_ON
        elif outcome.is_definite:
            word, seconds = REFUSED, REFUSED_PAUSE
        else:
            word, seconds = dumps(number + 1), 2 * sharing.seconds  # longer than the claim
        try:
            await sharing.tokens.save(self._operation, token, word, seconds)
        except TokensUnavailable:
            return  # the others find out by themselves

    def _failed(self, why: str) -> Failed:
        return Failed(EmporixUnreachable(self._operation, None, why))

    async def _outcome(self, work: Work, *, alone: bool = False) -> Outcome:
        try:
            return await work()
        except EmporixError as error:
            return Failed(error, alone)
        except Exception as error:  # noqa: BLE001 - whatever a client does, the waiters get an answer
            return Failed(EmporixFailed(self._operation, None, f"unexpected {type(error).__name__}"))


def _number(found: bytes) -> int | None:
    try:
        number = loads(found)
    except ValueError:
        return None
    return number if isinstance(number, int) and not isinstance(number, bool) and number > 0 else None
