"""Cookies of known storefronts: what is in them is found, and what is bent, sealed or foreign is no token."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from session_ctx_middleware import (
    ConfigurationError,
    SessionContext,
    SessionContextMiddleware,
    StorefrontToken,
    get_session_context,
)
from session_ctx_middleware.sessions import EmporixSdkCookies, ShowcaseCookie
from session_ctx_middleware.testing import FakeEmporix
from session_ctx_middleware.tokens import TokenChain

TOKEN = "tpYgJPZqddEQ2zwfzNtx79noBP65"
OTHER = "aYR3Lu3rpsQ9ODhBIR83b3txTr5K"


def connection(*cookies: tuple[str, str], kind: str = "http") -> HTTPConnection:
    header = "; ".join(f"{name}={value}" for name, value in cookies)
    return HTTPConnection({"type": kind, "headers": [(b"cookie", header.encode("latin-1", "replace"))]})


def encoded(value: object) -> str:
    """Return JSON as JavaScript writes it into a cookie."""
    return quote(json.dumps(value), safe="")


def guest(**changes: Any) -> str:
    return encoded({"refreshToken": "r", "sessionId": "s", "accessToken": TOKEN, **changes})


@pytest.mark.parametrize(
    ("cookies", "expected"),
    [
        ([("emporix.customerToken", TOKEN)], StorefrontToken(TOKEN)),
        ([("__Host-emporix.customerToken", TOKEN)], StorefrontToken(TOKEN)),
        ([("emporix.customerToken", OTHER), ("__Host-emporix.customerToken", TOKEN)], StorefrontToken(TOKEN)),
        (
            [("emporix.customerToken", TOKEN), ("emporix.customerTokenExpiresAt", "1800000000")],
            StorefrontToken(TOKEN, expires_at=1_800_000_000.0),
        ),
        ([("emporix.customerToken", TOKEN), ("emporix.customerTokenExpiresAt", "soon")], StorefrontToken(TOKEN)),
        ([("emporix.anonymousSession", guest())], StorefrontToken(TOKEN)),
        (
            [("emporix.anonymousSession", guest(accessToken=OTHER)), ("emporix.customerToken", TOKEN)],
            StorefrontToken(TOKEN),
        ),
        (
            [("emporix.anonymousSession", guest(expiresAt=1_800_000_000_000))],
            StorefrontToken(TOKEN, expires_at=1_800_000_000.0),
        ),
        (
            [("emporix.anonymousSession", guest(expiresAt=1_800_000_000))],
            StorefrontToken(TOKEN, expires_at=1_800_000_000.0),
        ),
        ([("emporix.anonymousSession", guest(expiresAt="soon"))], StorefrontToken(TOKEN)),
        ([("emporix.anonymousSession", guest(accessToken=None))], None),
        ([("emporix.anonymousSession", "{bent")], None),
        ([("emporix.anonymousSession", "%5B" * 5000)], None),
        ([("emporix.customerToken", "v1.0EnVJ4"), ("emporix.anonymousSession", guest())], None),
        ([("emporix.customerToken", ""), ("emporix.anonymousSession", guest())], None),
        ([("__Host-emporix.customerToken", "v1.0EnVJ4"), ("emporix.customerToken", OTHER)], None),
        ([("emporix.sid", TOKEN)], None),
    ],
    ids=lambda each: "" if isinstance(each, list) else None,
)
async def test_sdk_cookies(cookies: list[tuple[str, str]], expected: StorefrontToken | None) -> None:
    """The customer's token, else the guest's; what another sub-domain may set counts less, what is sealed nothing."""
    for kind in ("http", "websocket"):
        assert EmporixSdkCookies()(connection(*cookies, kind=kind)) == expected


def stored(**tokens: Any) -> str:
    return quote(base64.b64encode(json.dumps(tokens).encode()).decode(), safe="")


HELD = {"token": {"access_token": TOKEN, "session_id": "s"}, "expiryAt": 1_800_000_000_000}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (stored(customerToken=HELD), StorefrontToken(TOKEN, expires_at=1_800_000_000.0)),
        (stored(anonymousToken=HELD), StorefrontToken(TOKEN, expires_at=1_800_000_000.0)),
        (
            stored(anonymousToken={**HELD, "token": {"access_token": OTHER}}, customerToken=HELD),
            StorefrontToken(TOKEN, expires_at=1_800_000_000.0),
        ),
        (stored(anonymousToken={"token": TOKEN}), StorefrontToken(TOKEN)),
        (stored(anonymousToken={**HELD, "expiryAt": 10**400}), StorefrontToken(TOKEN)),
        (stored(anonymousToken={**HELD, "expiryAt": None}), StorefrontToken(TOKEN)),
        (stored(customerToken={"token": {"access_token": 3}}, anonymousToken=HELD), None),
        (stored(customerToken=None, anonymousToken=HELD), StorefrontToken(TOKEN, expires_at=1_800_000_000.0)),
        (stored(), None),
        (stored(anonymousToken=[]), None),
        ("enc.v1:abc", None),
        ("enc.v1%3Aabc", None),
        ("no base64!", None),
        ("", None),
        (quote(base64.b64encode(b"\xff\xfe").decode()), None),
        (quote(base64.b64encode(b"[" * 9000).decode()), None),
        ("A" * 20_000, None),
    ],
    ids=lambda each: each[:12] if isinstance(each, str) else None,
)
async def test_showcase_cookie(value: str, expected: StorefrontToken | None) -> None:
    """The customer's token, else the guest's, of this tenant; what is sealed or bent is nobody's."""
    source = ShowcaseCookie("acme")
    assert source(connection(("emporix-token_acme", value))) == expected
    assert source(connection(("emporix-token_other", value))) is None


@given(
    st.text(max_size=200), st.sampled_from(["emporix.customerToken", "emporix.anonymousSession", "emporix-token_acme"])
)
async def test_any_cookie(value: str, name: str) -> None:
    """No cookie is an exception."""
    for source in (EmporixSdkCookies(), ShowcaseCookie("acme")):
        found = source(connection((name, value)))
        assert found is None or name == "emporix.customerToken"


def test_tenant_of_the_cookie() -> None:
    """A tenant that cannot be part of a cookie's name is refused."""
    with pytest.raises(ConfigurationError, match="ShowcaseCookie"):
        ShowcaseCookie("a b")


def test_where_it_looked() -> None:
    """Operators read which cookies are looked for, never what is in them."""
    chain = TokenChain([EmporixSdkCookies(), ShowcaseCookie("acme")])
    assert chain.vary == ("Cookie",)
    assert chain.looked_in({"headers": [(b"cookie", b"a=secret")]}) == (
        "Looked in: EmporixSdkCookies(), ShowcaseCookie('acme'). The request had no Authorization header, and cookies."
    )


async def test_beside_a_storefront(make_shop: Any, emporix: FakeEmporix) -> None:
    """A service beside a known storefront shares its sessions, one source after the other."""
    session = emporix.new_session(currency="CHF")
    shop = make_shop(token=[EmporixSdkCookies(), ShowcaseCookie("acme")])

    async def page(ctx: SessionContext, _: Request) -> str:
        return (await ctx).currency or "nothing"

    for name, value in (
        ("emporix.customerToken", session.token),
        ("emporix-token_acme", stored(anonymousToken={"token": {"access_token": session.token}})),
    ):
        assert (await shop.visit(page, headers={"Cookie": f"{name}={value}"})).text == "CHF"
    assert emporix.count("context.get") == 1


@pytest.mark.parametrize("header", ["cookie", "x-token"])
async def test_handshakes(header: str, emporix: FakeEmporix, http_library: Any) -> None:
    """The handshake of a WebSocket brings header and cookies as a request does."""
    session = emporix.new_session(currency="CHF")
    value = f"emporix.customerToken={session.token}" if header == "cookie" else session.token
    sent: list[Any] = []

    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(f"{(await get_session_context(websocket)).currency}")

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    sources: list[Any] = [EmporixSdkCookies(), lambda connection: connection.headers.get("x-token")]
    async with emporix.client(http_library) as client:
        app = SessionContextMiddleware(
            Starlette(routes=[WebSocketRoute("/", chat)]), tenant="acme", token=sources, http_client=client
        )
        scope = {"type": "websocket", "path": "/", "headers": [(header.encode(), value.encode())], "subprotocols": []}
        await app(scope, receive, send)
        await app.aclose()
    assert [message.get("text") for message in sent] == [None, "CHF"]
