"""The token of a service of the shop, by the client credentials grant of OAuth 2 (RFC 6749, section 4.4)."""

from __future__ import annotations

from typing import Final

from ..checks import is_visible, number, printable
from ..clock import Clock
from ..errors import ConfigurationError, MalformedAnswer
from ..frames import without_locals
from ..observing import CallObserver, careful
from .address import BASE_URL
from .answers import SIGNING_IN, Answer, error_of
from .client import SYSTEM_CLOCK, TIMEOUT, TOTAL_TIMEOUT, PlatformClient
from .limits import MAX_HUNG
from .renewed_token import REFUSED_PAUSE, Grant, RenewedToken
from .token_answer import SHORT_LIFE, json_object, seconds_in
from .transport import HttpClient

__all__ = ["REFUSED_PAUSE", "ServiceToken"]

OPERATION: Final = "oauth.token"


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
        telemetry: is told of each request, as in `ClientOptions`.

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
        telemetry: CallObserver | None = None,
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
            telemetry=telemetry,
        )
        self._client_id = printable(client_id, "ServiceToken(client_id=...)")
        self._client_secret = printable(client_secret, "ServiceToken(client_secret=...)")
        self._scope = printable(scope, "ServiceToken(scope=...)")
        self._renew_before = number(renew_before, "ServiceToken(renew_before=...)", at_least=0, unit="seconds")
        self._kept = RenewedToken("service token", OPERATION, self._ask, clock, careful(telemetry))

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
        return await self._kept.value()

    def drop(self, value: str) -> None:
        """Forget a token that Emporix refused.

        Args:
            value: the token; a newer one that has replaced it is kept.
        """
        self._kept.drop(value)

    async def aclose(self) -> None:
        """Wait for a request in flight, then close the HTTP client where it was built here."""
        await self._kept.settle()
        await super().aclose()

    async def _ask(self) -> Grant:
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

    def _granted(self, answer: Answer, asked_at: float) -> Grant:
        data = json_object(answer.body)
        value = data.get("access_token")
        if not is_visible(value):
            raise MalformedAnswer(OPERATION, answer.status, "no usable access token")
        self._check_scope(data.get("scope"))
        life = seconds_in(data, "expires_in") or SHORT_LIFE
        return Grant.lasting(value, asked_at, life, self._renew_before)

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
