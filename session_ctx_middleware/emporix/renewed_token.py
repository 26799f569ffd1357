"""A token that is asked for when it is needed, kept, and renewed before it ends."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

from ..clock import Clock
from ..errors import (
    ConfigurationError,
    EmporixError,
    EmporixFailed,
    EmporixUnreachable,
    SessionContextError,
    TokenRejected,
    TooManyRequests,
)
from ..observing import CallObserver
from ..tasks import SharedResult, Tasks

__all__ = ["REFUSED_PAUSE", "Grant", "RenewedToken"]

_log = logging.getLogger("session_ctx_middleware")

RETRY_PAUSE: Final = 5.0
REFUSED_PAUSE: Final = 3.0
FAILED_PAUSE: Final = 2.0
BUSY_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0


@dataclass(frozen=True, slots=True, repr=False)
class Grant:
    """A token, and when it is to be renewed and when it expires, in monotonic seconds."""

    value: str
    renew_at: float
    expires_at: float

    @classmethod
    def lasting(cls, value: str, asked_at: float, life: float, renew_before: float) -> Grant:
        """Return a token that is renewed some time before its end, after half its life at the earliest.

        Args:
            value: the token.
            asked_at: monotonic seconds.
            life: seconds for which it is good.
            renew_before: seconds before its end when it is renewed.
        """
        expires_at = asked_at + life
        return cls(value, expires_at - min(renew_before, life / 2), expires_at)


@dataclass(frozen=True, slots=True, repr=False)
class _Failure:
    """Why there is no token, and until when nobody need ask again, in monotonic seconds."""

    error: SessionContextError
    until: float

    def again(self, now: float) -> SessionContextError:
        """Return an equal error for one of several callers, see `EmporixError.again`."""
        error = self.error
        if not isinstance(error, EmporixError):
            return type(error)(*error.args)
        left = None if error.retry_after is None else max(self.until - now, 0.0)
        return type(error)(error.operation, error.status, error.reason, retry_after=left)


_Outcome: TypeAlias = Grant | _Failure


class RenewedToken:
    """Asks for a token once for all who want it (single flight per event loop), and ahead of its end in the background.

    After a refusal, a failure or a request to wait (``Retry-After``, at most a minute) callers get the same error for a
    while, and nobody asks.

    Args:
        what: it is, for the log.
        operation: the name of the call in errors.
        ask: makes it.
        clock: where time comes from.
        observer: watches the calls.
    """

    def __init__(
        self,
        what: str,
        operation: str,
        ask: Callable[[], Awaitable[Grant]],
        clock: Clock,
        observer: CallObserver | None = None,
    ) -> None:
        self._what = what
        self._operation = operation
        self._ask = ask
        self._clock = clock
        self._grant: Grant | None = None
        self._failure: _Failure | None = None
        self._requests: WeakKeyDictionary[asyncio.AbstractEventLoop, SharedResult[_Outcome]] = WeakKeyDictionary()
        self._tasks = Tasks(clock, observer)

    async def value(self) -> str:
        """Return a token that is valid now, or raise what asking for it has ended with."""
        grant, failure, now = self._grant, self._failure, self._clock.monotonic()
        pauses = failure is not None and now < failure.until
        if grant is not None and now < grant.expires_at:
            if now >= grant.renew_at and not pauses:
                self._request(awaited=False)
            return grant.value
        outcome = failure if failure is not None and pauses else await self._request().get()
        if isinstance(outcome, _Failure):
            raise outcome.again(self._clock.monotonic())
        return outcome.value

    def drop(self, value: str) -> None:
        """Forget a token that Emporix refused.

        Args:
            value: the token; a newer one that has replaced it is kept.
        """
        if self._grant is not None and self._grant.value == value:
            self._grant = None

    async def settle(self) -> None:
        """Wait for a request in flight on this event loop."""
        request = self._requests.get(asyncio.get_running_loop())
        if request is not None:
            await request.get()

    def _request(self, *, awaited: bool = True) -> SharedResult[_Outcome]:
        """Return the request in flight on this event loop; start one if there is none."""
        loop = asyncio.get_running_loop()
        request = self._requests.get(loop)
        if request is None or request.result is not None:
            leaving = _Failure(EmporixUnreachable(self._operation, None, "the application is shutting down"), -math.inf)
            request = self._requests[loop] = self._tasks.share(self._renew(loop), otherwise=leaving, awaited=awaited)
        return request

    async def _renew(self, loop: asyncio.AbstractEventLoop) -> _Outcome:
        try:
            return await self._outcome()
        finally:
            self._requests.pop(loop, None)

    async def _outcome(self) -> _Outcome:
        try:
            grant = self._grant = await self._ask()
        except SessionContextError as error:
            return self._failed(error)
        except Exception as error:  # noqa: BLE001 - an event hook of the HTTP client may raise anything
            return self._failed(EmporixFailed(self._operation, None, f"unexpected {type(error).__name__}"))
        self._failure = None
        return grant

    def _failed(self, error: SessionContextError) -> _Failure:
        now, pause = self._clock.monotonic(), _pause_after(error)
        if self._failure is None and isinstance(error, EmporixUnreachable):
            pause = 0.0  # a connection breaks now and then: the next caller may try at once, and those after that wait
        if self._grant is not None and now < self._grant.expires_at:
            pause = max(pause, RETRY_PAUSE)
            _log.warning("the %s could not be renewed ahead of its end: %s", self._what, error)
        failure = self._failure = _Failure(error, now + pause)
        return failure


def _pause_after(error: SessionContextError) -> float:
    """Return for how many seconds nobody need ask again."""
    seconds = error.retry_after if isinstance(error, EmporixError) else None
    if seconds is not None:
        return min(max(seconds, 0.0), LONGEST_PAUSE)
    if isinstance(error, TooManyRequests):
        return BUSY_PAUSE
    return REFUSED_PAUSE if isinstance(error, TokenRejected | ConfigurationError) else FAILED_PAUSE
