"""The tokens of shoppers: those of guests, and those that a login, a refresh or an exchange gives to customers."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Unpack

from ..checks import is_visible, printable
from ..errors import EmporixError, EmporixFailed, LoginRefused, MalformedAnswer, TokenRejected, TooManyRequests
from ..frames import without_locals
from ..model.fields import SWITCHES, checked_switch
from .address import segment
from .answers import FOREIGN, Answer, error_of
from .client import ClientOptions, PlatformClient
from .forms import gateway_code
from .token_answer import TokenAnswer, ValidToken, json_object

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
    404: LoginRefused,
    429: TooManyRequests,
}
LOGINS: Final = frozenset({"customer.login", "customer.exchange", "customer.social_login", "customer.opt_in"})
UNSENDABLE: Final = "it cannot be sent"

_ABOUT_THE_BEARER: Final = re.compile("access_?token", re.IGNORECASE)


class ShopperTokens(PlatformClient):
    """Begins, continues and ends the sessions of shoppers (Emporix Customer Service, and its anonymous login).

    Its addresses hold secrets: none of them reaches a log, an error or an event.

    Args:
        tenant: the name of the tenant.
        client_id: of the storefront; it is public, and no shopper's.
        options: see `ClientOptions`.

    Raises:
        ConfigurationError: one of them cannot work.
    """

    def __init__(
        self,
        tenant: str,
        client_id: str,
        **options: Unpack[ClientOptions],
    ) -> None:
        super().__init__(tenant, **options)
        self._client_id = printable(client_id, "client_id")
        self._customer = f"/customer/{self.tenant}"

    async def begin(
        self,
        *,
        site_code: str | None = None,
        currency: str | None = None,
        language: str | None = None,
        target_location: str | None = None,
    ) -> TokenAnswer:
        """Begin a session for a guest.

        Args:
            site_code: what its context begins with, as everything else; `None` says nothing.
            currency: three upper-case letters.
            language: a BCP 47 tag.
            target_location: two upper-case letters.

        Raises:
            InvalidChange: a value has another form; nothing was sent.
            TokenRejected: Emporix does not know the client id.
            EmporixError: as for `OwnContextClient.get`.
        """
        seeds = {
            "site_code": site_code,
            "currency": currency,
            "language": language,
            "target_location": target_location,
        }
        chosen = {SWITCHES[name]: checked_switch(name, value) for name, value in seeds.items() if value is not None}
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
            TokenRejected: the guest's token has ended.
            EmporixError: as for `OwnContextClient.get`.
        """
        body = {"email": email, "password": password}
        answer = await self._call("customer.login", "POST", f"{self._customer}/login", token=guest_token, json=body)
        return _granted("customer.login", answer, LOGGING_IN)

    async def refresh_customer(
        self,
        refresh_token: str,
        *,
        bearer: str | None = None,
        other_bearer: Callable[[], Awaitable[str]] | None = None,
        legal_entity_id: str | None = None,
    ) -> TokenAnswer:
        """Return another token of a customer's session.

        Emporix' pages contradict each other about what the parameter is called, which is why it is sent by both names,
        and about whose token goes along: the customer's, or a guest's.

        Args:
            refresh_token: from the last answer.
            bearer: the customer's access token.
            other_bearer: asked for a guest's where Emporix refuses the first one. It has to be of this browser alone:
                Emporix may go on with the session of the bearer, and shoppers who share one would share that.
            legal_entity_id: the company that the customer acts for; where it is not named, the token is for none.

        Raises:
            TokenRejected: Emporix does not take one of the tokens.
            EmporixError: as for `OwnContextClient.get`.
        """
        params = {"refreshToken": refresh_token, "refresh_token": refresh_token}
        if legal_entity_id is not None:
            params["legalEntityId"] = legal_entity_id
        path = f"{self._customer}/refreshauthtoken"
        answer = await self._call("customer.refresh", "GET", path, params=params, token=bearer)
        if answer.status == 401 and other_bearer is not None:
            other = await other_bearer()
            answer = await self._call("customer.refresh", "GET", path, params=params, token=other)
        return _granted("customer.refresh", answer, REFUSING)

    async def validate(self, token: str) -> ValidToken:
        """Return what a customer's token is good for. Emporix bills the call: it is none for every request.

        Args:
            token: the customer's.

        Raises:
            TokenRejected: it has ended, or is none of a customer.
            EmporixError: as for `OwnContextClient.get`.
        """
        answer = await self._call("customer.validate", "GET", f"{self._customer}/validateauthtoken", token=token)
        if answer.status != OK:
            # The answer to a dead token has no body: a 401 without one is Emporix' own word here.
            refused = answer.status == 401 and not answer.body
            raise (
                TokenRejected("customer.validate", 401) if refused else error_of("customer.validate", answer, REFUSING)
            )
        data = json_object(answer.body)
        if not data:
            raise MalformedAnswer("customer.validate", answer.status, "no JSON object")
        return ValidToken.parse(data)

    async def log_out(self, token: str) -> None:
        """End a customer's token at Emporix.

        Args:
            token: the customer's.

        Raises:
            TokenRejected: it has ended already.
            EmporixError: as for `OwnContextClient.get`.
        """
        params = {"accessToken": token}
        answer = await self._call("customer.logout", "GET", f"{self._customer}/logout", token=token, params=params)
        if answer.status not in LOGGED_OUT:
            raise error_of("customer.logout", answer, REFUSING)
        if answer.body and answer.body.lstrip().startswith(b"<"):  # some firewalls answer what they block with 200
            raise EmporixFailed("customer.logout", answer.status, FOREIGN)

    async def exchange(self, subject_token: str, config: str | None = None, *, guest_token: str) -> TokenAnswer:
        """Return a customer's tokens for a token of the shop's identity provider (RFC 8693).

        Args:
            subject_token: the provider's access token.
            config: the name of the configuration at Emporix; `None` for the default one.
            guest_token: of the session that goes on with the login.

        Raises:
            LoginRefused: Emporix does not take the token or the configuration, or knows no such customer.
            TokenRejected: the guest's token has ended.
            EmporixError: as for `OwnContextClient.get`.
        """
        params = {"subjectAccessToken": subject_token, **({} if config is None else {"config": config})}
        answer = await self._call(
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
            TokenRejected: the guest's token has ended.
            EmporixError: as for `OwnContextClient.get`.
        """
        params = {
            "code": code,
            "redirect_uri": redirect_uri,
            **({"code_verifier": code_verifier} if code_verifier else {}),
        }
        answer = await self._call(
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
            TokenRejected: the guest's token has ended.
            EmporixError: as for `OwnContextClient.get`.
        """
        path = f"{self._customer}/signup/optin/{_segment_of(code)}"
        answer = await self._call("customer.opt_in", "GET", path, token=guest_token)
        return _granted("customer.opt_in", answer, LOGGING_IN)

    async def _call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Answer:
        fits = all(map(_has_a_form, (params or {}).values())) and all(map(is_visible, (headers or {}).values()))
        if not fits:
            raise (LoginRefused if operation in LOGINS else TokenRejected)(operation, None, UNSENDABLE)
        send = self._http.call
        return await send(operation, method, path, params=params, headers=headers, confidential=True, **options)

    async def _granted(
        self, operation: str, path: str, *, params: Mapping[str, str], token: str | None = None
    ) -> TokenAnswer:
        answer = await self._call(operation, "GET", path, params=params, token=token)
        return _granted(operation, answer, REFUSING)


def _has_a_form(text: str) -> bool:
    """Tell whether an address can hold a text: half a surrogate pair has no form in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@without_locals
def _segment_of(code: str) -> str:
    try:
        return segment(code)
    except ValueError:
        pass
    raise LoginRefused("customer.opt_in", None, UNSENDABLE)


@without_locals
def _granted(operation: str, answer: Answer, kinds: Mapping[int, type[EmporixError]]) -> TokenAnswer:
    if answer.status != OK:
        # The gateway's word about the bearer says nothing about a password.
        dead = answer.status == 401 and _ABOUT_THE_BEARER.search(gateway_code(json_object(answer.body)))
        raise error_of(operation, answer, REFUSING if dead else kinds)
    return TokenAnswer.parse(operation, json_object(answer.body), answer.status)
