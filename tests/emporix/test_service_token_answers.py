"""What the token endpoint may answer, and what is made of it."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import pytest

from session_ctx_middleware.emporix import ServiceToken
from session_ctx_middleware.errors import (
    ConfigurationError,
    EmporixError,
    EmporixFailed,
    EmporixUnreachable,
    MalformedAnswer,
    TokenRejected,
    TooManyRequests,
)

from .clock import VirtualClock
from .oauth import SCOPE, OAuth, settle


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, TokenRejected),
        (401, TokenRejected),
        (403, TokenRejected),
        (404, EmporixFailed),
        (302, EmporixFailed),
        (201, EmporixFailed),
        (429, TooManyRequests),
        (500, EmporixFailed),
    ],
)
async def test_every_status(status: int, kind: type[EmporixError], oauth: OAuth) -> None:
    """Every status of the token endpoint has its error."""
    oauth.failure = oauth.library.Response(
        status, json={"fault": {"faultstring": "Invalid ApiKey", "detail": {"errorcode": "oauth.v2.InvalidApiKey"}}}
    )
    with pytest.raises(kind) as caught:
        await oauth.token.value()
    assert caught.value.operation == "oauth.token"
    assert caught.value.status == status


async def test_unreachable_shows_no_secret(oauth: OAuth) -> None:
    """An unreachable token endpoint shows no credentials."""
    oauth.failure = oauth.library.ConnectError("s&cret=1")
    with pytest.raises(EmporixUnreachable) as caught:
        await oauth.token.value()
    text = "".join(traceback.format_exception(caught.value))
    assert "cret=1" not in text
    oauth.failure = None
    assert await oauth.token.value() == "token-2"


async def test_waiters_learn_of_failures(oauth: OAuth) -> None:
    """Whatever fails, the waiters are told."""
    oauth.failure = KeyError("s&cret=1")
    results = await asyncio.gather(*(oauth.token.value() for _ in range(3)), return_exceptions=True)
    assert [str(result) for result in results] == ["oauth.token: no answer, unexpected KeyError"] * 3


@pytest.mark.parametrize(
    "scope",
    ["", "tenant=acme", "tenant=acme cart.cart_manage", "tenant=acme session_context.context_manage", 7, ["x"]],
)
async def test_missing_scope_is_named(scope: object, oauth: OAuth) -> None:
    """A scope that was not granted is named."""
    oauth.fields["scope"] = scope
    results = await asyncio.gather(oauth.token.value(), oauth.token.value(), return_exceptions=True)
    for result in results:
        assert isinstance(result, ConfigurationError)
        assert "sessioncontext.context_manage" in str(result)
        assert "token-1" not in str(result)
    assert results[0] is not results[1]


async def test_only_missing_scopes_are_named(library: Any, clock: VirtualClock) -> None:
    """Only the scopes that are missing are named."""
    oauth = OAuth(library, clock)
    oauth.fields["scope"] = "tenant=acme cart.cart_read"
    clients: Any = oauth.token._http._clients
    token = ServiceToken(
        "acme",
        client_id="i",
        client_secret="s",
        scope="cart.cart_read price.price_read",
        http_client=clients.current().client,
    )
    with pytest.raises(ConfigurationError, match=r"the scope price\.price_read\."):
        await token.value()


async def test_other_scopes_are_fine(oauth: OAuth) -> None:
    """More scopes than asked for, and no scope at all, are fine."""
    oauth.fields["scope"] = f"a.b {SCOPE} c.d"
    assert await oauth.token.value() == "token-1"
    oauth.token.drop("token-1")
    del oauth.fields["scope"]
    assert await oauth.token.value() == "token-2"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"<html>",
        b'{"access_token": ""}',
        b'{"access_token": 7}',
        b'{"access_token": "a b"}',
        b"[" * 99_999,
    ],
    ids=range(8),
)
async def test_no_usable_token(body: bytes, oauth: OAuth) -> None:
    """An answer without a usable token is malformed."""
    oauth.failure = oauth.library.Response(200, content=body)
    with pytest.raises(MalformedAnswer):
        await oauth.token.value()


NONSENSE: list[object] = ["missing", None, True, -5, 0, "", "soon", "NaN", "-1", [], {}, "inf"]


@pytest.mark.parametrize("expires_in", NONSENSE, ids=str)
async def test_a_nonsense_life_is_a_short_one(expires_in: object, oauth: OAuth, clock: VirtualClock) -> None:
    """A nonsense life is a short one."""
    oauth.fields["expires_in"] = expires_in
    if expires_in == "missing":
        del oauth.fields["expires_in"]
    await oauth.token.value()
    clock.now += 29
    assert await oauth.token.value() == "token-1"
    await settle()
    assert len(oauth.requests) == 1
    clock.now += 31
    assert await oauth.token.value() == "token-2"


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"1" + b"0" * 400])
async def test_life_is_no_number(number: bytes, oauth: OAuth, clock: VirtualClock) -> None:
    """A life that is no number of seconds is a short one."""
    oauth.failure = oauth.library.Response(200, content=b'{"access_token": "t", "expires_in": %s}' % number)
    assert await oauth.token.value() == "t"
    oauth.failure = None
    clock.now += 60
    assert await oauth.token.value() == "token-2"


@pytest.mark.parametrize("expires_in", ["3600", 3600.0, 3600])
async def test_life_in_a_string(expires_in: object, oauth: OAuth, clock: VirtualClock) -> None:
    """A life may be a number in a string."""
    oauth.fields["expires_in"] = expires_in
    await oauth.token.value()
    clock.now += 3530
    assert await oauth.token.value() == "token-1"
    await settle()
    assert len(oauth.requests) == 1
