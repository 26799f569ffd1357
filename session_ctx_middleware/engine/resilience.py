"""Keeping Emporix from being asked too much, and this process from waiting on it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from ..breaker import Admission, Breaker, Change, RetryBudget
from ..clock import Clock
from ..errors import EmporixError, EmporixFailed, EmporixNotAsked, EmporixUnreachable, TooManyRequests
from ..events import ContextEvent, Events
from ..model.document import ContextDocument
from ..policies import UpstreamPolicy
from .ports import ContextSource
from .stats import Stats

__all__ = ["Bulkhead", "Gate", "Guard", "ProtectedSource"]

MAX_RETRY_AFTER: Final = 60.0
DEFAULT_RETRY_AFTER: Final = 1.0
RETRY_PAUSE: Final = (0.03, 0.12)
RETRIED: Final = frozenset({502, 503, 504})
FOREIGN: Final = frozenset({401, 403, 404})


class Gate:
    """Closed for as long as Emporix asked to be left alone; nobody waits in front of it.

    Args:
        clock: where time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._closed_until = float("-inf")

    def check(self, operation: str) -> None:
        """Raise `EmporixNotAsked` while the gate is closed."""
        left = self._closed_until - self._clock.monotonic()
        if left > 0:
            raise EmporixNotAsked(operation, None, "Emporix asked for a pause, which is not over", retry_after=left)

    def note(self, error: EmporixError) -> None:
        """Close after a 429, or after a 503 that names a time; at most for 60 seconds."""
        seconds = error.retry_after
        if seconds is None:
            if not isinstance(error, TooManyRequests):
                return
            seconds = DEFAULT_RETRY_AFTER
        seconds = min(max(seconds, 0.0), MAX_RETRY_AFTER)
        self._closed_until = max(self._closed_until, self._clock.monotonic() + seconds)


class Bulkhead:
    """A semaphore with a bounded queue (Nygard 2007): what would wait behind too many others is refused at once.

    It is smaller than the HTTP client's connection pool, so that no call ever queues inside the pool.

    Args:
        size: calls at once; twice as many may wait.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._room = 2 * size
        self._queue: deque[asyncio.Future[None]] = deque()

    async def take(self, operation: str) -> None:
        """Take one permit, or raise `EmporixNotAsked` when the queue is full."""
        if self._free:
            self._free -= 1
            return
        if len(self._queue) >= self._room:
            raise EmporixNotAsked(operation, None, "too many calls are waiting")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give()
            raise

    def give(self) -> None:
        """Give a permit back: to whoever waits longest, if anybody does."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


@dataclass(slots=True, kw_only=True)
class Guard:
    """Everything that stands between this process and one kind of call.

    Args:
        operation: the name of the calls.
        bulkhead: shared with the other kinds.
        gate: shared with the other kinds.
        breaker: of these calls alone.
        events: who is told that it opens and closes.
        stats: the counters.
        clock: where time comes from.
        slow_after: seconds after which a call that is still on its way counts as failed.
    """

    operation: str
    bulkhead: Bulkhead
    gate: Gate
    breaker: Breaker
    events: Events
    stats: Stats
    clock: Clock
    slow_after: float

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """Make one call inside the block, or raise `EmporixNotAsked`; what it raises is counted."""
        self.gate.check(self.operation)
        await self.bulkhead.take(self.operation)
        try:
            report = _Report(self, probe=self._admit())
            timer = self.clock.call_later(self.slow_after, report.failed)
            try:
                yield
            except EmporixError as error:
                self.gate.note(error)
                if _is_failure(error):
                    report.failed()
                else:
                    report.succeeded()
                raise
            else:
                report.succeeded()
            finally:
                timer.cancel()
                report.open_ended()
        finally:
            self.bulkhead.give()

    def _admit(self) -> bool:
        admission = self.breaker.admit()
        if admission is Admission.REFUSED:
            raise EmporixNotAsked(self.operation, None, "it failed too often lately")
        return admission is Admission.PROBE

    def tell(self, change: Change | None) -> None:
        """Tell operators what became of the breaker, once per change of state."""
        if change is Change.OPENED:
            self.events.emit(ContextEvent(name="upstream.unavailable", operation=self.operation, outcome="left alone"))
        elif change is Change.CLOSED:
            self.events.emit(ContextEvent(name="upstream.restored", operation=self.operation, outcome="asked again"))


class _Report:
    """What one call means to the breaker of its guard; the first word counts."""

    def __init__(self, guard: Guard, *, probe: bool) -> None:
        self._guard: Guard | None = guard
        self._probe = probe

    def failed(self) -> None:
        self._say(failed=True)

    def succeeded(self) -> None:
        self._say(failed=False)

    def open_ended(self) -> None:
        """Let go of a call that was cancelled: it says nothing."""
        if self._guard is not None and self._probe:
            self._guard.breaker.release()

    def _say(self, *, failed: bool) -> None:
        if self._guard is not None:
            self._guard.tell(self._guard.breaker.record(failed=failed, probe=self._probe))
            self._guard = None


class ProtectedSource:
    """Emporix behind a bulkhead, a gate and breakers; a GET is repeated once, a PATCH never.

    Args:
        source: Emporix.
        policy: the limits.
        clock: where time and randomness come from.
        stats: the counters.
        events: who is told that Emporix is unavailable, and back.
    """

    def __init__(
        self, source: ContextSource, policy: UpstreamPolicy, clock: Clock, stats: Stats, events: Events
    ) -> None:
        self._source = source
        self._clock = clock
        self._stats = stats
        self._retries = RetryBudget() if policy.get_retry else None
        self._get_guard, self._patch_guard = _guards(policy, clock, stats, events)

    @property
    def refuses(self) -> bool:
        """Whether a breaker refuses calls at the moment."""
        return self._get_guard.breaker.refuses or self._patch_guard.breaker.refuses

    async def get(self, token: str) -> ContextDocument:
        """Return the context of the token's session; after a connection error, 502, 503 or 504 ask once more."""
        try:
            return await self._get(token)
        except EmporixError as error:
            if not (_worth_repeating(error) and self._retries is not None and self._retries.spend()):
                raise
        low, high = RETRY_PAUSE
        await self._clock.sleep(low + (high - low) * self._clock.random())
        return await self._get(token)

    async def patch(self, token: str, body: Mapping[str, object]) -> None:
        """Change the context of the token's session."""
        async with self._patch_guard.call():
            self._stats.count_patch()
            await self._source.patch(token, body)

    async def _get(self, token: str) -> ContextDocument:
        async with self._get_guard.call():
            self._stats.count_get()
            if self._retries is not None:
                self._retries.earn()
            return await self._source.get(token)


def _is_failure(error: EmporixError) -> bool:
    if isinstance(error, EmporixUnreachable):
        return True
    # A 401, 403 or 404 that is not Emporix' own word: whoever is on the way says it of every session.
    foreign = isinstance(error, EmporixFailed) and error.status in FOREIGN
    return foreign or (error.status is not None and error.status >= 500)


def _worth_repeating(error: EmporixError) -> bool:
    return error.retry_after is None and (isinstance(error, EmporixUnreachable) or error.status in RETRIED)


def _guards(policy: UpstreamPolicy, clock: Clock, stats: Stats, events: Events) -> tuple[Guard, Guard]:
    """Return what stands in front of GET and PATCH calls."""
    bulkhead, gate = Bulkhead(policy.max_concurrency), Gate(clock)
    get, patch = (
        Guard(
            operation=operation,
            bulkhead=bulkhead,
            gate=gate,
            breaker=Breaker(clock),
            events=events,
            stats=stats,
            clock=clock,
            slow_after=slow_after,
        )
        for operation, slow_after in (("context.get", policy.deadline), ("context.patch", policy.commit_deadline))
    )
    return get, patch
