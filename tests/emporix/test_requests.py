"""What is sent to Emporix, and what is refused before it is sent."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from session_ctx_middleware.emporix import ManagedContextClient, OwnContextClient, ServiceToken
from session_ctx_middleware.emporix.transport import Options, libraries
from session_ctx_middleware.errors import (
    EmporixFailed,
    InvalidChange,
    TokenRejected,
)
from session_ctx_middleware.model.document import ContextDocument

from .clock import VirtualClock
from .conftest import OPERATIONS, SHORT_DOCUMENT, Call, Upstream


async def test_own_operations(own: OwnContextClient, upstream: Upstream) -> None:
    """Own operations use the shopper's token and the documented paths."""
    upstream.answer(200, SHORT_DOCUMENT)
    await own.get("tok")
    await own.patch("tok", {"currency": "USD", "metadata": {"version": 3}})
    await own.add_attribute("tok", "gift", {"wrap": True})
    await own.remove_attribute("tok", "gift")
    base = "https://api.emporix.io/session-context/acme/me/context"
    assert [(r.method, str(r.url)) for r in upstream.requests] == [
        ("GET", base),
        ("PATCH", base),
        ("POST", f"{base}/attributes"),
        ("DELETE", f"{base}/attributes/gift"),
    ]
    assert {r.headers["authorization"] for r in upstream.requests} == {"Bearer tok"}
    assert [json.loads(r.content or b"null") for r in upstream.requests] == [
        None,
        {"currency": "USD", "metadata": {"version": 3}},
        {"key": "gift", "value": {"wrap": True}},
        None,
    ]
    assert [r.headers.get("content-type") for r in upstream.requests] == [None, *["application/json"] * 2, None]


async def test_managed_operations(managed: ManagedContextClient, upstream: Upstream) -> None:
    """Managed operations use the service token and the documented paths."""
    upstream.answer(200, SHORT_DOCUMENT)
    await managed.get("s-1")
    await managed.put("s-1", SHORT_DOCUMENT, upsert=True, saas_token="saas")
    await managed.put("s-1", SHORT_DOCUMENT)
    await managed.add_attribute("s-1", "gift", "yes")
    await managed.remove_attribute("s-1", "gift")
    base = "https://api.emporix.io/session-context/acme/context/s-1"
    assert [(r.method, str(r.url)) for r in upstream.requests] == [
        ("GET", base),
        ("PUT", f"{base}?upsert=true"),
        ("PUT", base),
        ("POST", f"{base}/attributes"),
        ("DELETE", f"{base}/attributes/gift"),
    ]
    assert {r.headers["authorization"] for r in upstream.requests} == {"Bearer service-Secret-tOken-4711"}
    assert [r.headers.get("saas-token") for r in upstream.requests] == [None, "saas", None, None, None]
    assert upstream.token_requests == 1


async def test_read_document_can_be_put(managed: ManagedContextClient, upstream: Upstream) -> None:
    """A document that was read can be put back."""
    upstream.answer(200, {**SHORT_DOCUMENT, "context": {"a": {"b": ["c"]}}, "sessionId": "s-1"})
    document = await managed.get("s-1")
    assert isinstance(document, ContextDocument)
    await managed.put("s-1", document)
    assert json.loads(upstream.last.content) == {
        **SHORT_DOCUMENT,
        "context": {"a": {"b": ["c"]}},
        "sessionId": "s-1",
    }


async def test_path_prefix(upstream: Upstream) -> None:
    """A path prefix of the base URL is kept."""
    upstream.answer(200, SHORT_DOCUMENT)
    await OwnContextClient("acme", base_url="http://localhost:81/emporix/", http_client=upstream.client()).get("t")
    assert str(upstream.last.url) == "http://localhost:81/emporix/session-context/acme/me/context"


async def test_injected_client_settings(upstream: Upstream) -> None:
    """Headers and timeouts of an injected client apply."""
    upstream.answer(200, SHORT_DOCUMENT)
    client = upstream.client(headers={"user-agent": "shop/1"}, timeout=1.25, base_url="https://elsewhere.example/x")
    await OwnContextClient("acme", http_client=client).get("t")
    assert upstream.last.headers["user-agent"] == "shop/1"
    assert upstream.last.extensions["timeout"]["read"] == 1.25
    assert upstream.last.url.host == "api.emporix.io"


async def test_injected_client_credentials(upstream: Upstream, clock: VirtualClock) -> None:
    """Credentials and cookies of an injected client are not sent."""
    upstream.answer(200, SHORT_DOCUMENT)
    seen: list[Any] = []

    def handle(request: Any) -> Any:
        seen.append(request)
        return upstream._handle(request)

    client = upstream.library.AsyncClient(
        transport=upstream.library.MockTransport(handle),
        auth=("user", "hunter2"),
        cookies={"sid": "foreign"},
        headers={"authorization": "Basic hunter2", "Cookie": "a=foreign"},
    )
    await OwnContextClient("acme", http_client=client).get("tok")
    await ServiceToken("acme", client_id="i", client_secret="s", http_client=client, clock=clock).value()
    assert [r.headers.get("authorization") for r in seen] == ["Bearer tok", None]
    assert [r.headers.get("cookie") for r in seen] == [None, None]


async def test_answers_set_no_cookies(own: OwnContextClient, upstream: Upstream) -> None:
    """A cookie that an answer sets is not sent with the next call."""
    upstream.answer(200, SHORT_DOCUMENT, {"set-cookie": "sid=foreign; Path=/; Domain=emporix.io"})
    await own.get("first")
    await own.get("second")
    assert "cookie" not in upstream.last.headers


async def test_own_client_is_plain(library: Any) -> None:
    """A client of our own keeps no cookies and follows no redirects."""
    transport: Any = await asyncio.to_thread(libraries.build, library.__name__, Options(5.0, 4.0, 60), None)
    client = transport.client
    assert isinstance(client, library.AsyncClient)
    assert client.follow_redirects is False
    response = library.Response(
        200, headers={"set-cookie": "sid=foreign; Path=/"}, request=library.Request("GET", "https://api.emporix.io")
    )
    client.cookies.extract_cookies(response)
    assert list(client.cookies.jar) == []
    assert (client.timeout.connect, client.timeout.read, client.timeout.pool) == (2.0, 5.0, 2.0)
    await client.aclose()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_no_redirects(operation: str, status: int, upstream: Upstream, clock: VirtualClock) -> None:
    """Redirects are not followed, even where the client would."""
    client = upstream.client(follow_redirects=True)
    own = OwnContextClient("acme", http_client=client)
    token = ServiceToken("acme", client_id="i", client_secret="s", http_client=client, clock=clock)
    managed = ManagedContextClient("acme", service_token=token, http_client=client)
    upstream.answer(status, b"", {"location": "https://evil.example/"})
    call: Call = {
        "context.get": lambda: own.get("t"),
        "context.patch": lambda: own.patch("t", {}),
        "context.attribute_add": lambda: own.add_attribute("t", "k", "v"),
        "context.attribute_remove": lambda: own.remove_attribute("t", "k"),
        "managed.get": lambda: managed.get("s"),
        "managed.put": lambda: managed.put("s", {}),
        "managed.attribute_add": lambda: managed.add_attribute("s", "k", "v"),
        "managed.attribute_remove": lambda: managed.remove_attribute("s", "k"),
    }[operation]
    with pytest.raises(EmporixFailed, match="redirects are not followed"):
        await call()
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("token", ["", " ", "a b", "a\nb", "a\x00", "tök", "€", "\x7f", None, 7, b"bytes"])
async def test_bad_tokens(token: Any, own: OwnContextClient, managed: ManagedContextClient, upstream: Upstream) -> None:
    """A token that no header can hold is rejected without a call."""
    upstream.answer(200, SHORT_DOCUMENT)
    for call in (
        own.get(token),
        own.patch(token, {}),
        own.add_attribute(token, "k", "v"),
        own.remove_attribute(token, "k"),
    ):
        if token is None:
            call.close()
            continue
        with pytest.raises(TokenRejected) as caught:
            await call
        assert caught.value.status is None
    if token is not None:
        with pytest.raises(TokenRejected, match="saas"):
            await managed.put("s", {}, saas_token=token)
    assert upstream.requests == []


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}, b"x", {"a": {"b": float("inf")}}])
async def test_values_without_json(
    value: Any, own: OwnContextClient, managed: ManagedContextClient, upstream: Upstream
) -> None:
    """What has no JSON form is refused without a call."""
    for call in (
        own.patch("t", {"context": value}),
        managed.put("s", {"context": value}),
        own.add_attribute("t", "k", {"v": value}),
        managed.add_attribute("s", "k", {"v": value}),
    ):
        with pytest.raises(InvalidChange):
            await call
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("key", "value"), [("", "v"), ("x" * 65, "v"), ("a\nb", "v"), ("k", 7), ("k", None), ("k", [])]
)
async def test_bad_attributes(
    key: Any, value: Any, own: OwnContextClient, managed: ManagedContextClient, upstream: Upstream
) -> None:
    """Attributes that Emporix cannot hold are refused without a call."""
    with pytest.raises(InvalidChange):
        await own.add_attribute("t", key, value)
    with pytest.raises(InvalidChange):
        await managed.add_attribute("s", key, value)
    assert upstream.requests == []
