"""The client that begins, continues and ends shoppers' sessions: what it sends, and what it makes of the answers."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from session_ctx_middleware.emporix import ShopperTokens, TokenAnswer
from session_ctx_middleware.errors import (
    EmporixError,
    EmporixFailed,
    EmporixUnreachable,
    InvalidChange,
    LoginRefused,
    MalformedAnswer,
    TokenRejected,
    TooManyRequests,
)

from .conftest import Upstream

ACCESS, REFRESH, PASSWORD, CODE = "acceSS-1", "rEfresh-1", "pAss word", "c0de/with?odd=signs"
GRANTED = {
    "token_type": "Bearer",
    "access_token": ACCESS,
    "expires_in": 3599,
    "refresh_token": REFRESH,
    "refresh_token_expires_in": 86399,
    "sessionId": "s-1",
}
Call = Callable[[ShopperTokens], Awaitable[Any]]
GRANTS: dict[str, Call] = {
    "anonymous.login": lambda tokens: tokens.begin(currency="USD", site_code="main"),
    "anonymous.refresh": lambda tokens: tokens.refresh_guest(REFRESH),
    "customer.login": lambda tokens: tokens.log_in("jane@example.com", PASSWORD, guest_token=ACCESS),
    "customer.refresh": lambda tokens: tokens.refresh_customer(REFRESH, bearer=ACCESS, legal_entity_id="le-1"),
    "customer.exchange": lambda tokens: tokens.exchange(CODE, "main", guest_token=ACCESS),
    "customer.social_login": lambda tokens: tokens.social_login(
        CODE, "https://shop.test/back", guest_token=ACCESS, code_verifier=PASSWORD, session_id="s-1"
    ),
    "customer.opt_in": lambda tokens: tokens.opt_in(CODE, guest_token=ACCESS),
}
CALLS: dict[str, Call] = {
    **GRANTS,
    "customer.validate": lambda tokens: tokens.validate(ACCESS),
    "customer.logout": lambda tokens: tokens.log_out(ACCESS),
}
LOGINS = {"customer.login", "customer.exchange", "customer.social_login", "customer.opt_in"}
SECRETS = (ACCESS, REFRESH, PASSWORD, CODE, "jane@example.com", "s-1")


@pytest.fixture
def tokens(upstream: Upstream, clock: Any) -> ShopperTokens:
    return ShopperTokens("acme", "storefront", http_client=upstream.client(), clock=clock)


SENT: dict[str, tuple[str, str, dict[str, str], str | None]] = {
    "anonymous.login": (
        "GET",
        "/customerlogin/auth/anonymous/login",
        {"tenant": "acme", "client_id": "storefront", "siteCode": "main", "currency": "USD"},
        None,
    ),
    "anonymous.refresh": (
        "GET",
        "/customerlogin/auth/anonymous/refresh",
        {"tenant": "acme", "client_id": "storefront", "refresh_token": REFRESH},
        None,
    ),
    "customer.login": ("POST", "/customer/acme/login", {}, ACCESS),
    "customer.refresh": (
        "GET",
        "/customer/acme/refreshauthtoken",
        {"refreshToken": REFRESH, "refresh_token": REFRESH, "legalEntityId": "le-1"},
        ACCESS,
    ),
    "customer.exchange": (
        "POST",
        "/customer/acme/exchangeauthtoken",
        {"subjectAccessToken": CODE, "config": "main"},
        ACCESS,
    ),
    "customer.social_login": (
        "POST",
        "/customer/acme/socialLogin",
        {"code": CODE, "redirect_uri": "https://shop.test/back", "code_verifier": PASSWORD},
        ACCESS,
    ),
    "customer.opt_in": ("GET", "/customer/acme/signup/optin/c0de%2Fwith%3Fodd%3Dsigns", {}, ACCESS),
    "customer.validate": ("GET", "/customer/acme/validateauthtoken", {}, ACCESS),
    "customer.logout": ("GET", "/customer/acme/logout", {"accessToken": ACCESS}, ACCESS),
}


@pytest.mark.parametrize("operation", CALLS)
async def test_what_is_sent(operation: str, tokens: ShopperTokens, upstream: Upstream) -> None:
    """Each call goes where Emporix expects it, with the parameters and the bearer token that it wants."""
    upstream.answer(200, GRANTED)

    await CALLS[operation](tokens)

    request = upstream.last
    bearer = request.headers.get("authorization")
    path = request.url.raw_path.decode().partition("?")[0]
    sent = (request.method, path, dict(request.url.params), bearer and bearer.removeprefix("Bearer "))
    assert sent == SENT[operation]


async def test_credentials_go_into_the_body(tokens: ShopperTokens, upstream: Upstream) -> None:
    """The password is in the body, and a social login names the session in its header."""
    upstream.answer(200, GRANTED)

    await tokens.log_in("jane@example.com", PASSWORD)
    assert upstream.last.read() == b'{"email":"jane@example.com","password":"pAss word"}'
    assert "authorization" not in upstream.last.headers

    await GRANTS["customer.social_login"](tokens)
    assert upstream.last.headers["session-id"] == "s-1"


SPELLINGS: list[dict[str, object]] = [
    GRANTED,
    {**GRANTED, "expires_in": "3599", "refresh_token_expires_in": "86399"},
    {
        "accessToken": ACCESS,
        "expiresIn": 3599,
        "refreshToken": REFRESH,
        "refreshTokenExpiresIn": 86399,
        "session_id": "s-1",
    },
]


@pytest.mark.parametrize("body", SPELLINGS)
@pytest.mark.parametrize("operation", GRANTS)
async def test_spellings(operation: str, body: dict[str, object], tokens: ShopperTokens, upstream: Upstream) -> None:
    """Both spellings of every name are known, and numbers that are texts."""
    upstream.answer(200, body)

    granted = await GRANTS[operation](tokens)

    assert granted == TokenAnswer(ACCESS, 3599.0, REFRESH, 86399.0, "s-1")


@pytest.mark.parametrize("expires_in", [None, "", "soon", -1, 0, True, float("nan"), 10**400, [], "1e999"])
async def test_nonsense_about_the_end(expires_in: object, tokens: ShopperTokens, upstream: Upstream) -> None:
    """A token whose answer says nothing usable about its end is used for a minute."""
    upstream.answer(200, {"access_token": ACCESS, "expires_in": expires_in, "refresh_token": 7, "sessionId": "a\nb"})

    assert await tokens.begin() == TokenAnswer(ACCESS, 60.0)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"<html>", b"{}", b'{"access_token": "two words"}', b'{"access_token": 1}']
)
@pytest.mark.parametrize("operation", GRANTS)
async def test_no_token_in_it(operation: str, body: bytes, tokens: ShopperTokens, upstream: Upstream) -> None:
    """An answer without a token that can be sent is malformed."""
    upstream.answer(200, body)

    with pytest.raises(MalformedAnswer):
        await GRANTS[operation](tokens)


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("operation", CALLS)
async def test_refused(operation: str, status: int, tokens: ShopperTokens, upstream: Upstream) -> None:
    """What Emporix refuses is a refused login, or a refused token."""
    upstream.answer(status, {"code": status, "message": " ".join(SECRETS)})

    with pytest.raises(LoginRefused if operation in LOGINS else TokenRejected) as caught:
        await CALLS[operation](tokens)

    text = "".join([repr(caught.value), *traceback.format_exception(caught.value)])
    assert not any(secret in text for secret in SECRETS)


@pytest.mark.parametrize(
    ("status", "kind"), [(429, TooManyRequests), (500, EmporixFailed), (503, EmporixFailed), (302, EmporixFailed)]
)
@pytest.mark.parametrize("operation", CALLS)
async def test_transient(
    operation: str, status: int, kind: type[EmporixError], tokens: ShopperTokens, upstream: Upstream
) -> None:
    """What may be over in a moment is no refusal."""
    upstream.answer(status, {"message": "try again"})

    with pytest.raises(kind):
        await CALLS[operation](tokens)


@pytest.mark.parametrize("operation", CALLS)
async def test_page_of_a_proxy(operation: str, tokens: ShopperTokens, upstream: Upstream) -> None:
    """A 401 that something on the way has made is no word of Emporix, and refuses nothing."""
    upstream.answer(401, b"<html>please log in to the proxy</html>")

    with pytest.raises(EmporixFailed):
        await CALLS[operation](tokens)


@pytest.mark.parametrize("operation", CALLS)
async def test_no_answer(operation: str, tokens: ShopperTokens, upstream: Upstream) -> None:
    """A broken connection is told as one, without the address that was asked."""
    upstream.fail(upstream.library.ConnectError(f"no route to /?refresh_token={REFRESH}"))

    with pytest.raises(EmporixUnreachable) as caught:
        await CALLS[operation](tokens)

    text = "".join([repr(caught.value), *traceback.format_exception(caught.value)])
    assert not any(secret in text for secret in SECRETS)


@pytest.mark.parametrize("operation", CALLS)
async def test_log_names_the_call(
    operation: str, tokens: ShopperTokens, upstream: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """The HTTP client's own log has the name of the call instead of an address with secrets."""
    upstream.answer(200, GRANTED)

    with caplog.at_level(logging.DEBUG):
        granted = await CALLS[operation](tokens)

    assert operation in caplog.text
    assert not any(secret in caplog.text + repr(granted) for secret in SECRETS)


async def test_session_goes_on(emporix: Any, http_library: Any) -> None:
    """At the platform a refresh and a login go on with the guest's session; a wrong password ends nothing."""
    async with emporix.client(http_library, base_url="https://emporix.test") as client:
        tokens = ShopperTokens("acme", "storefront", base_url="https://emporix.test", http_client=client)
        guest = await tokens.begin(currency="CHF")
        again = await tokens.refresh_guest(guest.refresh_token or "")
        with pytest.raises(LoginRefused):
            await tokens.log_in("jane@example.com", "wrong-password", guest_token=again.access_token)
        customer = await tokens.log_in("jane@example.com", "correct-horse", guest_token=again.access_token)
        later = await tokens.refresh_customer(customer.refresh_token or "", bearer=customer.access_token)

        assert guest.session_id == again.session_id == customer.session_id == later.session_id
        assert customer.saas_token
        await tokens.log_out(later.access_token)
        with pytest.raises(TokenRejected):
            await tokens.refresh_customer(later.refresh_token or "", bearer=later.access_token)


async def refusal(work: Awaitable[object]) -> LoginRefused | None:
    try:
        await work
    except LoginRefused as error:
        return error
    return None


BENT = ("..", ".", "", "x\ud800y", "a\nb")


@pytest.mark.parametrize("code", BENT)
async def test_code_that_names_no_mail(code: str, tokens: ShopperTokens, upstream: Upstream) -> None:
    """A code out of a link is one segment of the path, whatever somebody has written into it, or refused unsent."""
    upstream.answer(200, GRANTED)
    refused = await refusal(tokens.opt_in(code, guest_token=ACCESS))
    if refused is not None:
        assert (refused.status, upstream.requests) == (None, [])
    else:
        path = upstream.last.url.raw_path.decode()
        assert path.startswith("/customer/acme/signup/optin/")
        assert "/" not in path.removeprefix("/customer/acme/signup/optin/")


UNSENT = "seCret\ud800"
UNSENDABLE: dict[str, Callable[[ShopperTokens, str], Awaitable[Any]]] = {
    "begin": lambda tokens, bad: tokens.begin(currency=bad),
    "refresh": lambda tokens, bad: tokens.refresh_guest(bad),
    "customer refresh": lambda tokens, bad: tokens.refresh_customer(bad, bearer=ACCESS),
    "company": lambda tokens, bad: tokens.refresh_customer(REFRESH, bearer=ACCESS, legal_entity_id=bad),
    "exchange": lambda tokens, bad: tokens.exchange(bad, guest_token=ACCESS),
    "code": lambda tokens, bad: tokens.social_login(bad, "https://shop.test", guest_token=ACCESS),
    "address": lambda tokens, bad: tokens.social_login(CODE, bad, guest_token=ACCESS),
    "session": lambda tokens, bad: tokens.social_login(CODE, "https://s.test", guest_token=ACCESS, session_id=bad),
    "logout": lambda tokens, bad: tokens.log_out(bad),
}


@pytest.mark.parametrize("call", UNSENDABLE)
async def test_what_cannot_be_sent(call: str, tokens: ShopperTokens, upstream: Upstream) -> None:
    """What no address can hold is refused unsent, by an error that quotes nothing; it is no outage."""
    upstream.answer(200, GRANTED)

    with pytest.raises((TokenRejected, LoginRefused, InvalidChange)) as caught:
        await UNSENDABLE[call](tokens, UNSENT)

    assert upstream.requests == []
    text = "".join([repr(caught.value), *traceback.format_exception(caught.value)])
    assert "seCret" not in text
