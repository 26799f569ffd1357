"""A time limit and a circuit breaker in front of Redis; commands are never cancelled half way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from redis.exceptions import ResponseError

from ...breaker import Admission, Breaker, Change
from ...clock import Clock
from ...tasks import SharedResult, Tasks
from ..protocol import ContextStoreUnavailable
from .refusals import Refusal, Refusals, refusal_of

__all__ = ["Guard"]

_log = logging.getLogger("session_ctx_middleware")

IN_A_ROW: Final = 3
CLUSTER_IN_A_ROW: Final = 10
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 15.0
POOL_FAILURES: Final = 5
DENIED_PAUSE: Final = 2.0
CLOSING_SECONDS: Final = 1.0
LATE: Final = 1.2
SECOND_WAIT: Final = 0.2


Work: TypeAlias = Callable[[], Awaitable[list[Any]]]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a call ended."""

    answers: list[Any]
    error: BaseException | None


@dataclass(slots=True, eq=False)
class _Call:
    """One call, which may outlast the wait for it."""

    probe: bool
    result: SharedResult[_Outcome] = field(default_factory=SharedResult)


class Guard:
    """Runs calls of one event loop in tasks of their own, with a time limit, and refuses them while Redis fails.

    A command that nobody waits for any more ends by its own timeouts: a connection on which a command was cancelled
    could give its answer to the next one. Until it ends, a single server gets no further call, so that one page waits
    and not the next ones too; if it ends without an answer, the breaker opens. Probes run in the background: no page
    waits for the call that finds out whether Redis is back.

    Args:
        budget: seconds that a caller waits.
        room: calls at once; further ones queue, within their budget.
        clock: where time and randomness come from.
        replace: called after five failures in a row, to build new connections.
        probe: a call that changes nothing.
        clustered: whether there are several servers: one that fails does not stop calls to the others.

    Attributes:
        refusals: what Redis refuses at the moment.
    """

    def __init__(
        self,
        budget: float,
        room: int,
        clock: Clock,
        replace: Callable[[], None],
        probe: Work,
        *,
        clustered: bool = False,
    ) -> None:
        self.refusals = Refusals(clock)
        self._probe = probe
        self._budget = budget
        self._clock = clock
        self._replace = replace
        self._room = asyncio.Semaphore(room)
        self._clustered = clustered
        self._breaker = Breaker(
            clock,
            in_a_row=CLUSTER_IN_A_ROW if clustered else IN_A_ROW,
            first_pause=FIRST_PAUSE,
            longest_pause=LONGEST_PAUSE,
        )
        self._queued: set[_Call] = set()
        self._overdue: set[_Call] = set()
        self._failures = 0
        self._last_failure = ""
        self._denied_until = 0.0
        self._tasks = Tasks(clock)

    @property
    def is_open(self) -> bool:
        """Whether calls fail at once, but for a probe now and then."""
        return self._breaker.is_open or self._denied_until > self._clock.monotonic()

    async def call(self, work: Work) -> list[Any]:
        """Return the answers of `work`.

        Args:
            work: sends commands; errors of single commands may be among the answers.

        Raises:
            ContextStoreUnavailable: no answer in time, an error among the answers, or the breaker refused the call.
        """
        if self._admit():
            self._start(self._probe, probe=True)
            raise ContextStoreUnavailable("Redis is being asked whether it is back")
        call, task = self._start(work)
        began = self._clock.monotonic()
        outcome = await call.result.wait(self._budget, self._clock)
        if outcome is None and self._clock.monotonic() - began > LATE * self._budget:
            # It was this event loop that took too long; the answer may have been there for a while.
            outcome = await call.result.wait(SECOND_WAIT * self._budget, self._clock)
        outcome = outcome or call.result.result
        if outcome is None:
            self._give_up(call, task)
            raise ContextStoreUnavailable("no answer from Redis in time")
        if outcome.error is not None:
            raise ContextStoreUnavailable(f"Redis failed: {type(outcome.error).__name__}")
        return outcome.answers

    async def drain(self) -> None:
        """Wait up to a second for calls that have not ended."""
        await self._tasks.settle(CLOSING_SECONDS)

    def _admit(self) -> bool:
        if self._denied_until > self._clock.monotonic():
            raise ContextStoreUnavailable("Redis denies what is needed")
        if self._overdue and not self._clustered:
            raise ContextStoreUnavailable("Redis owes an answer")
        admission = self._breaker.admit()
        if admission is Admission.REFUSED:
            raise ContextStoreUnavailable("Redis failed too often lately")
        return admission is Admission.PROBE

    def _start(self, work: Work, *, probe: bool = False) -> tuple[_Call, asyncio.Task[object]]:
        call = _Call(probe)
        self._queued.add(call)
        # The caller's own context variables: whoever traces calls to Redis sees which request they belong to.
        return call, self._tasks.spawn(self._run(work, call), context=copy_context())

    async def _run(self, work: Work, call: _Call) -> None:
        answers: list[Any] = []
        error: BaseException | None
        async with self._room:
            self._queued.discard(call)
            began = self._clock.monotonic()
            try:
                answers = await work()
                error = next((each for each in answers if isinstance(each, Exception)), None)
            except BaseException as failure:  # noqa: BLE001 - told to the caller, by its class
                error = failure
        if call.probe and error is None and self._clock.monotonic() - began > self._budget:
            error = TimeoutError()  # it is back, but too slow for a page
        self._judge(call, error)
        call.result.resolve(_Outcome(answers, error))
        if error is not None and not isinstance(error, Exception):
            raise error

    def _give_up(self, call: _Call, task: asyncio.Task[object]) -> None:
        if call in self._queued:
            # Nothing was sent, and waiting in the own queue says nothing about Redis.
            self._queued.discard(call)
            task.cancel()
            return
        if not self._overdue or self._clustered:  # those that wait together are one failure
            self._count(TimeoutError(), probe=False)
        self._overdue.add(call)

    def _judge(self, call: _Call, error: BaseException | None) -> None:
        """Count the end of a call; one that was overdue has been counted as a failure before."""
        overdue = call in self._overdue
        self._overdue.discard(call)
        refusal = refusal_of(error)
        if refusal is not None:
            self.refusals.note(refusal)
        if refusal is Refusal.COMMANDS:
            self._deny(probe=call.probe)
        elif not overdue:
            self._count(error, probe=call.probe)
        elif _is_failure(error) and not self._clustered and self._breaker.trip():
            self._report_open()

    def _count(self, error: BaseException | None, *, probe: bool) -> None:
        failed = _is_failure(error)
        if failed:
            self._last_failure = type(error).__name__
        change = self._breaker.record(failed=failed, probe=probe)
        if change is Change.OPENED:
            self._report_open()
        elif change is Change.CLOSED:
            _log.warning("Redis answers again")
        self._failures = self._failures + 1 if failed else 0
        if self._failures >= POOL_FAILURES:
            self._failures = 0
            self._replace()

    def _report_open(self) -> None:
        _log.warning("Redis fails (%s): it is left alone for a while", self._last_failure)

    def _deny(self, *, probe: bool) -> None:
        if probe:
            self._breaker.release()
        self._denied_until = self._clock.monotonic() + DENIED_PAUSE


def _is_failure(error: BaseException | None) -> bool:
    """Tell whether this counts as a failure; not where Redis refuses writes, or a key is something else."""
    if isinstance(error, ResponseError) and "WRONGTYPE" in str(error):
        return False
    return error is not None and refusal_of(error) is None
