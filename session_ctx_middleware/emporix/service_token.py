"""The token of a service of the shop, by the client credentials grant of OAuth 2 (RFC 6749, section 4.4)."""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

from ..checks import is_visible, number, printable
from ..clock import Clock
from ..errors import (
    ConfigurationError,
    EmporixError,
    EmporixFailed,
    EmporixUnreachable,
    MalformedAnswer,
    SessionContextError,
    TokenRejected,
    TooManyRequests,
)
from ..frames import without_locals
from ..tasks import SharedResult, Tasks
from .address import BASE_URL
from .answers import SIGNING_IN, Answer, error_of
from .client import SYSTEM_CLOCK, TIMEOUT, TOTAL_TIMEOUT, PlatformClient
from .limits import MAX_HUNG
from .token_answer import SHORT_LIFE, json_object, seconds_in
from .transport import HttpClient

__all__ = ["REFUSED_PAUSE", "ServiceToken"]

_log = logging.getLogger("session_ctx_middleware")

OPERATION: Final = "oauth.token"
RETRY_PAUSE: Final = 5.0
REFUSED_PAUSE: Final = 3.0
FAILED_PAUSE: Final = 2.0
BUSY_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0


@dataclass(frozen=True, slots=True, repr=False)
class _Grant:
    """A token, and when it is to be renewed and when it expires, in monotonic seconds."""

    value: str
    renew_at: float
    expires_at: float


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


_Outcome: TypeAlias = _Grant | _Failure


class ServiceToken(PlatformClient):
    """A service token that is requested when it is needed, kept, and renewed before it expires.

    However many callers wait, one request is in flight per event loop (single flight). While a token is still valid,
    callers get it at once and the renewal runs in the background. After a refusal, a failure or a request to wait
    (``Retry-After``, at most a minute) callers get the same error for a while, and nothing is requested.

    Args:
        tenant: the name of the tenant.
        client_id: of the client credentials (RFC 6749, section 2.3.1).
        client_secret: of the client credentials.
        scope: what the token must allow; several scopes are separated by blanks (RFC 6749, section 3.3).
        base_url: where Emporix is: https, or http on the machine itself.
        insecure_http: allow http towards other hosts, for a fake Emporix in a network of containers.
        http_client: an ``httpx.AsyncClient``, ``httpx2.AsyncClient`` or ``aiohttp.ClientSession``, which is never
            closed here; ``"aiohttp"``, ``"httpx2"`` or ``"httpx"`` to have one of that library built; `None` for the
            first of these that is installed.
        renew_before: seconds before its expiry when a token is renewed; half its lifetime where that is shorter.
        total_timeout: seconds that the whole of a request may take.
        clock: where time comes from.

    Raises:
        ConfigurationError: one of them cannot work.
    """

    @without_locals
    def __init__(
        self,
        tenant: str,
        *,
        client_id: str,
        client_secret: str,
        scope: str = "sessioncontext.context_manage",
        base_url: str = BASE_URL,
        insecure_http: bool = False,
        http_client: HttpClient | None = None,
        renew_before: float = 60.0,
        total_timeout: float = TOTAL_TIMEOUT,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(
            tenant,
            base_url=base_url,
            insecure_http=insecure_http,
            http_client=http_client,
            timeout=TIMEOUT,
            total_timeout=total_timeout,
            max_connections=MAX_HUNG + 2,
            clock=clock,
        )
        self._client_id = printable(client_id, "ServiceToken(client_id=...)")
        self._client_secret = printable(client_secret, "ServiceToken(client_secret=...)")
        self._scope = printable(scope, "ServiceToken(scope=...)")
        self._renew_before = number(renew_before, "ServiceToken(renew_before=...)", at_least=0, unit="seconds")
        self._clock = clock
        self._grant: _Grant | None = None
        self._failure: _Failure | None = None
        self._requests: WeakKeyDictionary[asyncio.AbstractEventLoop, SharedResult[_Outcome]] = WeakKeyDictionary()
        self._tasks = Tasks(clock)

    async def value(self) -> str:
        """Return a token that is valid now.

        Raises:
            ConfigurationError: Emporix granted less than the scope.
            TokenRejected: Emporix refuses the client credentials.
            TooManyRequests: Emporix asks to wait (429).
            MalformedAnswer: an answer without a usable token.
            EmporixFailed: a server error, a redirect, or any other status.
            EmporixUnreachable: no answer came.
        """
        grant, failure, now = self._grant, self._failure, self._clock.monotonic()
        pauses = failure is not None and now < failure.until
        if grant is not None and now < grant.expires_at:
            if now >= grant.renew_at and not pauses:
                self._request()
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

    async def aclose(self) -> None:
        """Wait for a request in flight, then close the HTTP client where it was built here."""
        request = self._requests.get(asyncio.get_running_loop())
        if request is not None:
            await request.get()
        await super().aclose()

    def _request(self) -> SharedResult[_Outcome]:
        """Return the request in flight on this event loop; start one if there is none."""
        loop = asyncio.get_running_loop()
        request = self._requests.get(loop)
        if request is None or request.result is not None:
            leaving = _Failure(EmporixUnreachable(OPERATION, None, "the application is shutting down"), -math.inf)
            request = self._requests[loop] = self._tasks.share(self._renew(loop), otherwise=leaving)
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
            return self._failed(EmporixFailed(OPERATION, None, f"unexpected {type(error).__name__}"))
        self._failure = None
        return grant

    def _failed(self, error: SessionContextError) -> _Failure:
        now, pause = self._clock.monotonic(), _pause_after(error)
        if self._failure is None and isinstance(error, EmporixUnreachable):
            pause = 0.0  # a connection breaks now and then: the next caller may try at once, and those after that wait
        if self._grant is not None and now < self._grant.expires_at:
            pause = max(pause, RETRY_PAUSE)
            _log.warning("the service token could not be renewed ahead of its end: %s", error)
        failure = self._failure = _Failure(error, now + pause)
        return failure

    async def _ask(self) -> _Grant:
        asked_at = self._clock.monotonic()
        form = {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "scope": f"tenant={self.tenant} {self._scope}",
        }
        answer = await self._http.call(OPERATION, "POST", "/oauth/token", form=form)
        if answer.status != 200:
            raise error_of(OPERATION, answer, SIGNING_IN)
        return self._granted(answer, asked_at)

    def _granted(self, answer: Answer, asked_at: float) -> _Grant:
        data = json_object(answer.body)
        value = data.get("access_token")
        if not is_visible(value):
            raise MalformedAnswer(OPERATION, answer.status, "no usable access token")
        self._check_scope(data.get("scope"))
        life = seconds_in(data, "expires_in") or SHORT_LIFE
        expires_at = asked_at + life
        return _Grant(value, expires_at - min(self._renew_before, life / 2), expires_at)

    def _check_scope(self, granted: object) -> None:
        # RFC 6749, section 5.1: an answer without a scope grants what was asked. Emporix leaves out, without an error,
        # what the credentials may not have.
        names = granted.split() if isinstance(granted, str) else ()
        missing = [name for name in self._scope.split() if name not in names]
        if granted is not None and missing:
            raise ConfigurationError(
                f"The client credentials do not have the scope {' '.join(missing)}. Add it to the API key in the "
                "Emporix Developer Portal."
            )


def _pause_after(error: SessionContextError) -> float:
    """Return for how many seconds nobody need ask again."""
    seconds = error.retry_after if isinstance(error, EmporixError) else None
    if seconds is not None:
        return min(max(seconds, 0.0), LONGEST_PAUSE)
    if isinstance(error, TooManyRequests):
        return BUSY_PAUSE
    return REFUSED_PAUSE if isinstance(error, TokenRejected | ConfigurationError) else FAILED_PAUSE
