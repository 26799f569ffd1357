"""The tokens of shoppers: those of guests, and those that a login, a refresh or an exchange gives to customers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from ..checks import printable
from ..clock import Clock
from ..errors import EmporixError, LoginRefused, TokenRejected, TooManyRequests
from ..frames import without_locals
from .address import BASE_URL
from .answers import Answer, error_of
from .client import MAX_CONNECTIONS, SYSTEM_CLOCK, TIMEOUT, TOTAL_TIMEOUT, PlatformClient
from .token_answer import TokenAnswer, json_object
from .transport import HttpClient

__all__ = ["ShopperTokens"]

OK: Final = 200
LOGGED_OUT: Final = frozenset({200, 204})
REFUSING: Final[Mapping[int, type[EmporixError]]] = {
    400: TokenRejected,
    401: TokenRejected,
    403: TokenRejected,
    429: TooManyRequests,
}
LOGGING_IN: Final[Mapping[int, type[EmporixError]]] = {
    400: LoginRefused,
    401: LoginRefused,
    403: LoginRefused,
    429: TooManyRequests,
}
SEEDS: Final[Mapping[str, str]] = {
    "site_code": "siteCode",
    "currency": "currency",
    "language": "language",
    "target_location": "targetLocation",
}


class ShopperTokens(PlatformClient):
    """Begins, continues and ends the sessions of shoppers (Emporix Customer Service, and its anonymous login).

    Its addresses hold secrets: none of them reaches a log, an error or an event.

    Args:
        tenant: the name of the tenant.
        client_id: of the storefront; it is public, and no shopper's.
        base_url: where Emporix is: https, or http on the machine itself.
        http_client: makes the calls, and is never closed here; `None` to have one built.
        timeout: seconds that connecting (at most 2), sending, or a pause in an answer may take; cut to `total_timeout`.
        total_timeout: seconds that the whole of a call may take.
        max_connections: connections open at once, for a client built here.
        clock: where time comes from.

    Raises:
        ConfigurationError: one of them cannot work.
    """

    def __init__(
        self,
        tenant: str,
        client_id: str,
        *,
        base_url: str = BASE_URL,
        http_client: HttpClient | None = None,
        timeout: float = TIMEOUT,
        total_timeout: float = TOTAL_TIMEOUT,
        max_connections: int = MAX_CONNECTIONS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(
            tenant,
            base_url=base_url,
            http_client=http_client,
            timeout=timeout,
            total_timeout=total_timeout,
            max_connections=max_connections,
            clock=clock,
        )
        self._client_id = printable(client_id, "client_id")
        self._customer = f"/customer/{self.tenant}"

    async def begin(self, **seeds: str | None) -> TokenAnswer:
        """Begin a session for a guest.

        Args:
            seeds: what its context begins with, by the names of the four switches; `None` says nothing.

        Raises:
            TokenRejected: Emporix does not know the client id.
            EmporixError: as for `OwnContextClient.get`.
        """
        chosen = {SEEDS[name]: value for name, value in seeds.items() if value is not None}
        params = {"tenant": self.tenant, "client_id": self._client_id, **chosen}
        return await self._granted("anonymous.login", "/customerlogin/auth/anonymous/login", params=params)

    async def refresh_guest(self, refresh_token: str) -> TokenAnswer:
        """Return another token of a guest's session.

        Args:
            refresh_token: from the last answer.

        Raises:
            TokenRejected: Emporix does not take the refresh token any more.
            EmporixError: as for `OwnContextClient.get`.
        """
        params = {"tenant": self.tenant, "client_id": self._client_id, "refresh_token": refresh_token}
        return await self._granted("anonymous.refresh", "/customerlogin/auth/anonymous/refresh", params=params)

    async def log_in(self, email: str, password: str, *, guest_token: str | None = None) -> TokenAnswer:
        """Log a customer in.

        Args:
            email: of the customer.
            password: of the customer.
            guest_token: of the session that goes on with the login; without one it is another session.

        Raises:
            LoginRefused: not this password, or not this customer.
            EmporixError: as for `OwnContextClient.get`.
        """
        body = {"email": email, "password": password}
        answer = await self._http.call(
            "customer.login", "POST", f"{self._customer}/login", token=guest_token, json=body
        )
        return _granted("customer.login", answer, LOGGING_IN)

    async def refresh_customer(
        self, refresh_token: str, *, bearer: str | None = None, legal_entity_id: str | None = None
    ) -> TokenAnswer:
        """Return another token of a customer's session.

        Args:
            refresh_token: from the last answer.
            bearer: Emporix' pages contradict each other about whose token goes along: the customer's, or a guest's.
            legal_entity_id: the company that the customer acts for; where it is not named, the token is for none.

        Raises:
            TokenRejected: Emporix does not take one of the tokens.
            EmporixError: as for `OwnContextClient.get`.
        """
        params = {"refreshToken": refresh_token}
        if legal_entity_id is not None:
            params["legalEntityId"] = legal_entity_id
        return await self._granted(
            "customer.refresh", f"{self._customer}/refreshauthtoken", params=params, token=bearer
        )

    async def log_out(self, token: str) -> None:
        """End a customer's token at Emporix.

        Args:
            token: the customer's.

        Raises:
            TokenRejected: it has ended already.
            EmporixError: as for `OwnContextClient.get`.
        """
        params = {"accessToken": token}
        answer = await self._http.call("customer.logout", "GET", f"{self._customer}/logout", token=token, params=params)
        if answer.status not in LOGGED_OUT:
            raise error_of("customer.logout", answer, REFUSING)

    async def exchange(self, subject_token: str, config: str, *, guest_token: str) -> TokenAnswer:
        """Return a customer's tokens for a token of the shop's identity provider (RFC 8693).

        Args:
            subject_token: the provider's access token.
            config: the name of the configuration at Emporix.
            guest_token: of the session that goes on with the login.

        Raises:
            LoginRefused: Emporix does not take the token or the configuration.
            EmporixError: as for `OwnContextClient.get`.
        """
        params = {"subjectAccessToken": subject_token, "config": config}
        answer = await self._http.call(
            "customer.exchange", "POST", f"{self._customer}/exchangeauthtoken", token=guest_token, params=params
        )
        return _granted("customer.exchange", answer, LOGGING_IN)

    async def social_login(
        self, code: str, redirect_uri: str, *, guest_token: str, code_verifier: str = "", session_id: str | None = None
    ) -> TokenAnswer:
        """Return a customer's tokens for the code of a social login (RFC 6749, section 4.1; RFC 7636).

        Args:
            code: from the provider.
            redirect_uri: the one that the code was sent to.
            guest_token: of the session that goes on with the login.
            code_verifier: of the code challenge, where there was one.
            session_id: of that session; some set-ups go by it.

        Raises:
            LoginRefused: Emporix does not take the code.
            EmporixError: as for `OwnContextClient.get`.
        """
        params = {
            "code": code,
            "redirect_uri": redirect_uri,
            **({"code_verifier": code_verifier} if code_verifier else {}),
        }
        answer = await self._http.call(
            "customer.social_login",
            "POST",
            f"{self._customer}/socialLogin",
            token=guest_token,
            params=params,
            headers=None if session_id is None else {"session-id": session_id},
        )
        return _granted("customer.social_login", answer, LOGGING_IN)

    async def opt_in(self, code: str, *, guest_token: str) -> TokenAnswer:
        """Confirm a sign-up with the code from the mail; the customer is logged in then.

        Args:
            code: from the mail.
            guest_token: of the session that goes on with the login.

        Raises:
            LoginRefused: Emporix does not take the code.
            EmporixError: as for `OwnContextClient.get`.
        """
        path = f"{self._customer}/signup/optin/{quote(code, safe='')}"
        answer = await self._http.call("customer.opt_in", "GET", path, token=guest_token)
        return _granted("customer.opt_in", answer, LOGGING_IN)

    async def _granted(
        self, operation: str, path: str, *, params: Mapping[str, str], token: str | None = None
    ) -> TokenAnswer:
        answer = await self._http.call(operation, "GET", path, params=params, token=token)
        return _granted(operation, answer, REFUSING)


@without_locals
def _granted(operation: str, answer: Answer, kinds: Mapping[int, type[EmporixError]]) -> TokenAnswer:
    if answer.status != OK:
        raise error_of(operation, answer, kinds)
    return TokenAnswer.parse(operation, json_object(answer.body), answer.status)
