"""Keeping Emporix from being asked too much, and this process from waiting on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from ..breaker import Change, RetryBudget
from ..clock import Clock
from ..errors import (
    ChangeRefused,
    ContextNotFound,
    EmporixError,
    EmporixFailed,
    EmporixNotAsked,
    EmporixUnreachable,
    VersionConflict,
)
from ..events import ContextEvent, Events
from ..model.document import ContextDocument
from ..policies import UpstreamPolicy
from .breaker import Admitted, SessionBreaker
from .bulkhead import Bulkhead
from .gate import Gate
from .ports import Caller, ContextSource
from .stats import Stats

__all__ = ["Guard", "ProtectedSource", "Protection"]

T = TypeVar("T")

RETRY_PAUSE: Final = (0.03, 0.12)
SLOW: Final = 0.98
PROBE_PATIENCE: Final = 0.75
PATIENCE_IF_HANGING: Final = 0.02
RETRIED: Final = frozenset({502, 503, 504})
FOREIGN: Final = frozenset({200, 201, 401, 403, 404})
ANSWERS: Final = (ContextNotFound, VersionConflict, ChangeRefused)
"""Errors that the service itself has answered with; to refuse a token, the gateway in front of it is enough."""


@dataclass(slots=True)
class Protection:
    """What all instances and event loops of a process know about Emporix: one that begins need not find out again.

    Args:
        clock: where time and randomness come from.
        gate: whether Emporix asked for a pause.
        get: whether GET calls fail for everybody.
        patch: whether PATCH calls do.
    """

    clock: Clock
    gate: Gate = field(init=False)
    get: SessionBreaker = field(init=False)
    patch: SessionBreaker = field(init=False)

    def __post_init__(self) -> None:
        self.gate = Gate(self.clock)
        self.get, self.patch = SessionBreaker(self.clock), SessionBreaker(self.clock)


@dataclass(slots=True, kw_only=True)
class Guard:
    """Everything that stands between this process and one kind of call.

    Args:
        operation: the name of the calls.
        patience: seconds within which an answer is of use.
        slow_after: seconds after which a call that is still on its way counts as failed: just before the first page
            gives up, as the event loop of that page may end with it.
        bulkhead: shared with the other kinds, on this event loop.
        gate: shared with the other kinds.
        breaker: of these calls alone.
        events: who is told that it opens and closes.
        stats: the counters.
        clock: where time comes from.
    """

    operation: str
    patience: float
    slow_after: float
    bulkhead: Bulkhead
    gate: Gate
    breaker: SessionBreaker
    events: Events
    stats: Stats
    clock: Clock

    async def call(self, caller: Caller, work: Callable[[], Awaitable[T]]) -> T:
        """Make one call, or raise `EmporixNotAsked`; what it raises is counted."""
        self.gate.check(self.operation)
        admitted = self.breaker.admit(caller.session)
        if admitted is None:
            raise self._left_alone()
        report = _Report(self, admitted)
        try:
            waits = not self.bulkhead.takes()
            if waits:
                await self._turn()
            try:
                if waits:
                    self._check_again(admitted)
                caller.sent()
                return await self._measured(report, work)
            finally:
                self.bulkhead.give()
        finally:
            report.open_ended()

    async def _turn(self) -> None:
        try:
            await self.bulkhead.take(self.operation, self.patience)
        except EmporixNotAsked:
            if not self.breaker.is_open:  # which has been told
                self.events.emit(ContextEvent(name="upstream.shed", operation=self.operation, outcome="no turn"))
            raise

    def refusal(self, session: Hashable) -> EmporixNotAsked | None:
        """Return what `call` would raise at once, without making the call."""
        if self.breaker.would_refuse(session):
            return self._left_alone()
        return self.gate.refusal(self.operation) or self.bulkhead.refusal(self.operation, self.patience)

    async def _measured(self, report: _Report, work: Callable[[], Awaitable[T]]) -> T:
        began = self.clock.monotonic()
        timer = self.clock.call_later(self.slow_after, report.takes_too_long)
        try:
            answer = await work()
        except EmporixError as error:
            self.gate.note(error)
            if _is_failure(error):
                report.failed()
            elif isinstance(error, ANSWERS):
                report.answered(self.clock.monotonic() - began)
            raise
        else:
            report.answered(self.clock.monotonic() - began)
            return answer
        finally:
            timer.cancel()

    def _check_again(self, admitted: Admitted) -> None:
        """Refuse a call whose turn came too late: meanwhile it has turned out that it is of no use."""
        self.gate.check(self.operation)
        if admitted.probes is None and self.breaker.is_open:
            raise self._left_alone()

    def _left_alone(self) -> EmporixNotAsked:
        return EmporixNotAsked(self.operation, None, "it failed for too many lately")

    def tell(self, change: Change | None) -> None:
        """Tell operators what became of the breaker, once per change of state."""
        if change is Change.OPENED:
            self.bulkhead.turn_away(self.operation)
            self.events.emit(ContextEvent(name="upstream.unavailable", operation=self.operation, outcome="left alone"))
        elif change is Change.CLOSED:
            self.events.emit(ContextEvent(name="upstream.restored", operation=self.operation, outcome="asked again"))


class _Report:
    """What one call means to the breaker of its guard; the first word counts."""

    __slots__ = ("_admitted", "_guard", "_said")

    def __init__(self, guard: Guard, admitted: Admitted) -> None:
        self._guard = guard
        self._admitted = admitted
        self._said = False

    def failed(self, *, hangs: bool = False) -> None:
        """Note that it failed, or that it is still on its way and takes too long."""
        if not self._said:
            self._said = True
            self._guard.tell(self._guard.breaker.failed(self._admitted, hangs=hangs))

    def takes_too_long(self) -> None:
        """Note that it takes too long."""
        self.failed(hangs=True)

    def answered(self, seconds: float) -> None:
        """Note that the service has answered, and how long that took."""
        self._guard.bulkhead.speed.note(seconds)
        if not self._said:
            self._said = True
            self._guard.tell(self._guard.breaker.answered(self._admitted))

    def open_ended(self) -> None:
        """Let go of a call that says nothing: it was cancelled, not made, or answered by the gateway."""
        if not self._said:
            self._said = True
            self._guard.breaker.ended(self._admitted)


class ProtectedSource:
    """Emporix behind a bulkhead, a gate and breakers; a GET is repeated once, a PATCH never.

    Args:
        source: Emporix.
        policy: the limits.
        clock: where time and randomness come from.
        stats: the counters.
        events: who is told that Emporix is unavailable, and back.
        protection: what other event loops know.
    """

    def __init__(
        self,
        source: ContextSource,
        *,
        policy: UpstreamPolicy,
        clock: Clock,
        stats: Stats,
        events: Events,
        protection: Protection,
    ) -> None:
        self._source = source
        self._clock = clock
        self._stats = stats
        self._retries = RetryBudget() if policy.get_retry else None
        self._get_guard, self._patch_guard = _guards(policy, clock, stats, events, protection)

    @property
    def refuses(self) -> bool:
        """Whether a breaker refuses calls at the moment."""
        return self._get_guard.breaker.refuses or self._patch_guard.breaker.refuses

    @property
    def probe_patience(self) -> float | None:
        """For how many seconds a page may wait for a GET, while that can only be a probe; `None` while it need not."""
        breaker = self._get_guard.breaker
        if not breaker.is_open:
            return None
        return PATIENCE_IF_HANGING if breaker.hangs else PROBE_PATIENCE

    def refusal(self, session: Hashable) -> EmporixNotAsked | None:
        """Return what a GET for this session would raise at once instead of being made, `None` where it would be."""
        return self._get_guard.refusal(session)

    async def get(self, token: str, caller: Caller) -> ContextDocument:
        """Return the context of the token's session; after a connection error, 502, 503 or 504 ask once more."""
        try:
            return await self._get(token, caller)
        except EmporixError as error:
            if not (_worth_repeating(error) and self._retries is not None and self._retries.spend()):
                raise
            failure = error.again()
        low, high = RETRY_PAUSE
        await self._clock.sleep(low + (high - low) * self._clock.random())
        try:
            return await self._get(token, caller)
        except EmporixNotAsked:
            pass
        raise failure  # Emporix has failed, though it was not asked again

    async def patch(self, token: str, body: Mapping[str, object], caller: Caller) -> None:
        """Change the context of the token's session."""

        async def patch() -> None:
            self._stats.count_patch()
            await self._source.patch(token, body)

        await self._patch_guard.call(caller, patch)

    async def _get(self, token: str, caller: Caller) -> ContextDocument:
        async def get() -> ContextDocument:
            self._stats.count_get()
            if self._retries is not None:
                self._retries.earn()
            return await self._source.get(token)

        return await self._get_guard.call(caller, get)


def _is_failure(error: EmporixError) -> bool:
    if isinstance(error, EmporixUnreachable):
        return True
    # Where one of these is a failure, it is not Emporix' own word: whoever is on the way says it of every session.
    foreign = isinstance(error, EmporixFailed) and error.status in FOREIGN
    return foreign or (error.status is not None and error.status >= 500)


def _worth_repeating(error: EmporixError) -> bool:
    return error.retry_after is None and (isinstance(error, EmporixUnreachable) or error.status in RETRIED)


def _guards(
    policy: UpstreamPolicy, clock: Clock, stats: Stats, events: Events, protection: Protection
) -> tuple[Guard, Guard]:
    """Return what stands in front of GET and PATCH calls."""
    bulkhead = Bulkhead(policy.max_concurrency, clock)
    get, patch = (
        Guard(
            operation=operation,
            patience=patience,
            slow_after=SLOW * patience,
            bulkhead=bulkhead,
            gate=protection.gate,
            breaker=breaker,
            events=events,
            stats=stats,
            clock=clock,
        )
        for operation, patience, breaker in (
            ("context.get", policy.deadline, protection.get),
            ("context.patch", policy.commit_deadline, protection.patch),
        )
    )
    return get, patch
