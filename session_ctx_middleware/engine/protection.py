"""Keeping Emporix from being asked too much, and this process from waiting on it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from ..clock import Clock
from ..document import ContextDocument
from ..errors import EmporixError, EmporixUnreachable, TooManyRequests
from ..policies import UpstreamPolicy
from .ports import ContextSource
from .stats import Stats

__all__ = ["Gate", "Permits", "ProtectedSource"]

MAX_RETRY_AFTER: Final = 60.0
DEFAULT_RETRY_AFTER: Final = 1.0
RETRY_PAUSE: Final = (0.03, 0.12)
RETRIED: Final = frozenset({502, 503, 504})


class Gate:
    """Closed for as long as Emporix asked to be left alone; nobody waits in front of it.

    Args:
        clock: where time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._closed_until = float("-inf")

    def check(self, operation: str) -> None:
        """Raise `TooManyRequests` while the gate is closed."""
        left = self._closed_until - self._clock.monotonic()
        if left > 0:
            raise TooManyRequests(operation, None, "Emporix asked for a pause, which is not over", retry_after=left)

    def note(self, error: EmporixError) -> None:
        """Close after a 429, or after a 503 that names a time; at most for 60 seconds."""
        seconds = error.retry_after
        if seconds is None:
            if not isinstance(error, TooManyRequests):
                return
            seconds = DEFAULT_RETRY_AFTER
        seconds = min(max(seconds, 0.0), MAX_RETRY_AFTER)
        self._closed_until = max(self._closed_until, self._clock.monotonic() + seconds)


class Permits:
    """A semaphore with a bounded queue: what would wait behind too many others is refused at once.

    It is smaller than the HTTP client's connection pool, so that no call ever queues inside the pool.

    Args:
        size: calls at once; twice as many may wait.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._room = 2 * size
        self._queue: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def one(self, operation: str) -> AsyncIterator[None]:
        """Hold one permit inside the block, or raise `EmporixUnreachable` when the queue is full."""
        await self._take(operation)
        try:
            yield
        finally:
            self._give()

    async def _take(self, operation: str) -> None:
        if self._free:
            self._free -= 1
            return
        if len(self._queue) >= self._room:
            raise EmporixUnreachable(operation, None, "too many calls are waiting")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give()
            raise

    def _give(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class ProtectedSource:
    """Emporix behind permits and gates; a GET is repeated once, a PATCH never.

    Args:
        source: Emporix.
        policy: the limits.
        clock: where time and randomness come from.
        stats: the counters.
    """

    def __init__(self, source: ContextSource, policy: UpstreamPolicy, clock: Clock, stats: Stats) -> None:
        self._source = source
        self._policy = policy
        self._clock = clock
        self._stats = stats
        self._permits = Permits(policy.max_concurrency)
        self._gate = Gate(clock)

    async def get(self, token: str) -> ContextDocument:
        """Return the context of the token's session; after a connection error, 502, 503 or 504 ask once more."""
        try:
            return await self._get(token)
        except EmporixError as error:
            if not (self._policy.get_retry and self._worth_repeating(error)):
                raise
        low, high = RETRY_PAUSE
        await self._clock.sleep(low + (high - low) * self._clock.random())
        return await self._get(token)

    async def patch(self, token: str, body: Mapping[str, object]) -> None:
        """Change the context of the token's session."""
        self._gate.check("context.patch")
        async with self._permits.one("context.patch"):
            self._stats.upstream_patches += 1
            try:
                await self._source.patch(token, body)
            except EmporixError as error:
                self._gate.note(error)
                raise

    async def _get(self, token: str) -> ContextDocument:
        self._gate.check("context.get")
        async with self._permits.one("context.get"):
            self._stats.upstream_gets += 1
            try:
                return await self._source.get(token)
            except EmporixError as error:
                self._gate.note(error)
                raise

    def _worth_repeating(self, error: EmporixError) -> bool:
        if error.retry_after is not None:
            return False
        return isinstance(error, EmporixUnreachable) or error.status in RETRIED
