"""Keeping pages from waiting for Redis, and Redis commands from being cut off by pages."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import NoPermissionError, OutOfMemoryError, ResponseError

from ..breaker import Breaker
from ..clock import Clock, wait
from ..errors import EmporixNotAsked
from .protocol import ContextStoreUnavailable

__all__ = ["Guard"]

_log = logging.getLogger("session_ctx_middleware")

IN_A_ROW: Final = 3
CLUSTER_IN_A_ROW: Final = 10
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 15.0
POOL_FAILURES: Final = 5
DENIED_PAUSE: Final = 60.0
LAST_WORDS: Final = 1.0
LATE: Final = 1.2
SECOND_LOOK: Final = 0.2


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of a call."""

    answers: list[Any]
    error: Exception | None


@dataclass(slots=True, eq=False)
class _Flight:
    """One call on its way, and who waits for it."""

    probe: bool
    waiter: asyncio.Future[_Outcome | None]
    outcome: _Outcome | None = None
    started: bool = False
    judged: bool = False
    overdue: bool = False


class Guard:
    """Runs calls of one event loop in tasks of their own, for a bounded time, and not at all while Redis fails.

    A command that nobody waits for any more is left to end by its own timeouts: cancelling it could leave its answer
    to somebody else. Until it ends, a single server is asked nothing else, so that one page waits and not the next
    ones too; and if it ends without an answer, that server is left alone. A page never waits for the call that finds
    out whether Redis is back.

    Args:
        budget: seconds that a caller waits.
        room: calls at once; further ones wait, within their budget.
        clock: where time comes from.
        replace: is called when connections keep failing, to build new ones.
        clustered: one server of several may be gone, which the others need not suffer for.
    """

    def __init__(
        self, budget: float, room: int, clock: Clock, replace: Callable[[], None], *, clustered: bool = False
    ) -> None:
        self._budget = budget
        self._clock = clock
        self._replace = replace
        self._room = asyncio.Semaphore(room)
        self._clustered = clustered
        self._breaker = Breaker(
            "redis",
            clock,
            in_a_row=CLUSTER_IN_A_ROW if clustered else IN_A_ROW,
            first_pause=FIRST_PAUSE,
            longest_pause=LONGEST_PAUSE,
        )
        self._overdue = 0
        self._failures = 0
        self._last_failure = ""
        self._denied_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_open(self) -> bool:
        """Whether calls fail at once, but for a probe now and then."""
        return self._breaker.is_open or self._denied_until > self._clock.monotonic()

    async def call(self, work: Callable[[], Awaitable[list[Any]]]) -> list[Any]:
        """Return what `work` returns.

        Args:
            work: sends commands; errors may be among the answers.

        Raises:
            ContextStoreUnavailable: there is no good answer, for whatever reason.
        """
        loop = asyncio.get_running_loop()
        flight = _Flight(self._admit(), loop.create_future())
        task = loop.create_task(self._fly(work, flight), name="session_ctx_middleware redis")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if flight.probe:
            raise ContextStoreUnavailable("Redis is being asked whether it is back")
        began = self._clock.monotonic()
        outcome = await wait(flight.waiter, self._budget, self._clock)
        if outcome is None and self._clock.monotonic() - began > LATE * self._budget:
            # It was this event loop that took too long; the answer may have been there for a while.
            flight.waiter = loop.create_future()
            outcome = flight.outcome or await wait(flight.waiter, SECOND_LOOK * self._budget, self._clock)
        outcome = outcome or flight.outcome
        if outcome is None:
            self._give_up(flight, task)
            raise ContextStoreUnavailable("no answer from Redis in time")
        if outcome.error is not None:
            raise ContextStoreUnavailable(f"Redis failed: {type(outcome.error).__name__}")
        return outcome.answers

    async def drain(self) -> None:
        """Wait a moment for what is on its way."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_WORDS)

    def _admit(self) -> bool:
        if self._denied_until > self._clock.monotonic():
            raise ContextStoreUnavailable("Redis denies what is needed")
        if self._overdue and not self._clustered:
            raise ContextStoreUnavailable("Redis owes an answer")
        try:
            return self._breaker.admit()
        except EmporixNotAsked:
            raise ContextStoreUnavailable("Redis failed too often lately") from None

    async def _fly(self, work: Callable[[], Awaitable[list[Any]]], flight: _Flight) -> None:
        answers: list[Any] = []
        error: Exception | None
        async with self._room:
            flight.started = True
            try:
                answers = await work()
                error = next((each for each in answers if isinstance(each, Exception)), None)
            except Exception as failure:  # noqa: BLE001 - told to the caller, by its class
                error = failure
        self._judge(flight, error)
        if flight.overdue:
            self._settle(error)
        flight.outcome = _Outcome(answers, error)
        if not flight.waiter.done():
            flight.waiter.set_result(flight.outcome)

    def _give_up(self, flight: _Flight, task: asyncio.Task[None]) -> None:
        if flight.started:
            flight.overdue = True
            self._overdue += 1
            self._judge(flight, TimeoutError())
            return
        # Nothing was sent, and waiting in the own queue says nothing about Redis.
        task.cancel()

    def _settle(self, error: Exception | None) -> None:
        """Note the end of a call that nobody waited for any more."""
        self._overdue -= 1
        if error is not None and not self._clustered and not _is_answer(error) and not self._breaker.is_open:
            self._breaker.trip()
            self._left_alone()

    def _left_alone(self) -> None:
        _log.warning("Redis fails (%s): it is left alone for a while", self._last_failure)

    def _judge(self, flight: _Flight, error: Exception | None) -> None:
        if flight.judged:
            return
        flight.judged = True
        if is_denied(error):
            self._deny(flight)
            return
        failed = error is not None and not _is_answer(error)
        if failed:
            self._last_failure = type(error).__name__
        was_open = self._breaker.is_open
        self._breaker.record(failed=failed, probe=flight.probe)
        if self._breaker.is_open and not was_open:
            self._left_alone()
        elif was_open and not self._breaker.is_open:
            _log.warning("Redis answers again")
        self._failures = self._failures + 1 if failed else 0
        if self._failures >= POOL_FAILURES:
            self._failures = 0
            self._replace()

    def _deny(self, flight: _Flight) -> None:
        if flight.probe:
            self._breaker.release()
        if self._denied_until <= self._clock.monotonic():
            _log.error(
                "Redis denies this user commands that the store needs (EVALSHA, EVAL, HSET, HMGET, HGETALL, HGET, "
                "HDEL, DEL, EXISTS, GET, SET, INCR, PTTL, PEXPIRE, PUBLISH, SUBSCRIBE, PING): nothing is shared"
            )
        self._denied_until = self._clock.monotonic() + DENIED_PAUSE


def is_denied(error: Exception | None) -> bool:
    """Tell whether the access rules of Redis are in the way."""
    if isinstance(error, NoPermissionError):
        return True
    return isinstance(error, ResponseError) and "can't run this command" in str(error)


def _is_answer(error: Exception) -> bool:
    """Tell whether Redis is well: it refuses to take more, but can be read from."""
    # Older versions wrap what happens inside a script.
    return isinstance(error, OutOfMemoryError) or (isinstance(error, ResponseError) and "OOM command" in str(error))
