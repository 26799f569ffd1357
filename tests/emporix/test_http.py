from __future__ import annotations

import asyncio
import gzip
import json
import logging
import ssl
import sys
import traceback
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpx
import httpx2
import pytest

from session_ctx_middleware.emporix import ManagedContextClient, OwnContextClient, ServiceToken
from session_ctx_middleware.emporix.http import MAX_BODY
from session_ctx_middleware.emporix.transport import build_client
from session_ctx_middleware.errors import (
    ContextNotFound,
    EmporixError,
    EmporixFailed,
    EmporixUnreachable,
    InvalidChange,
    MalformedAnswer,
    TokenRejected,
    TooManyRequests,
)
from session_ctx_middleware.model.document import ContextDocument

from .conftest import Call, Upstream, VirtualClock

DOCUMENT = {"metadata": {"version": 3}, "currency": "EUR"}
OPERATIONS = [
    "context.get",
    "context.patch",
    "context.attribute_add",
    "context.attribute_remove",
    "managed.get",
    "managed.put",
    "managed.attribute_add",
    "managed.attribute_remove",
]


# What is sent


async def test_own_operations_use_the_shoppers_token_and_the_documented_paths(
    own: OwnContextClient, upstream: Upstream
) -> None:
    upstream.answer(200, DOCUMENT)
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


async def test_managed_operations_use_the_service_token_and_the_documented_paths(
    managed: ManagedContextClient, upstream: Upstream
) -> None:
    upstream.answer(200, DOCUMENT)
    await managed.get("s-1")
    await managed.put("s-1", DOCUMENT, upsert=True, saas_token="saas")
    await managed.put("s-1", DOCUMENT)
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


async def test_a_document_that_was_read_can_be_put_back(managed: ManagedContextClient, upstream: Upstream) -> None:
    upstream.answer(200, {**DOCUMENT, "context": {"a": {"b": ["c"]}}, "sessionId": "s-1"})
    document = await managed.get("s-1")
    assert isinstance(document, ContextDocument)
    await managed.put("s-1", document)
    assert json.loads(upstream.last.content) == {
        **DOCUMENT,
        "context": {"a": {"b": ["c"]}},
        "sessionId": "s-1",
    }


async def test_a_path_prefix_of_the_base_url_is_kept(upstream: Upstream) -> None:
    upstream.answer(200, DOCUMENT)
    await OwnContextClient("acme", base_url="http://localhost:81/emporix/", http_client=upstream.client()).get("t")
    assert str(upstream.last.url) == "http://localhost:81/emporix/session-context/acme/me/context"


async def test_headers_and_timeouts_of_an_injected_client_apply(upstream: Upstream) -> None:
    upstream.answer(200, DOCUMENT)
    client = upstream.client(headers={"user-agent": "shop/1"}, timeout=1.25, base_url="https://elsewhere.example/x")
    await OwnContextClient("acme", http_client=client).get("t")
    assert upstream.last.headers["user-agent"] == "shop/1"
    assert upstream.last.extensions["timeout"]["read"] == 1.25
    assert upstream.last.url.host == "api.emporix.io"


async def test_credentials_and_cookies_of_an_injected_client_are_not_sent(
    upstream: Upstream, clock: VirtualClock
) -> None:
    upstream.answer(200, DOCUMENT)
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


async def test_a_cookie_that_an_answer_sets_is_not_sent_with_the_next_call(
    own: OwnContextClient, upstream: Upstream
) -> None:
    upstream.answer(200, DOCUMENT, {"set-cookie": "sid=foreign; Path=/; Domain=emporix.io"})
    await own.get("first")
    await own.get("second")
    assert "cookie" not in upstream.last.headers


async def test_a_client_of_our_own_keeps_no_cookies_and_follows_no_redirects(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library is httpx:
        monkeypatch.setitem(sys.modules, "httpx2", None)
    client = await asyncio.to_thread(build_client, 5.0, 60)
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
async def test_redirects_are_not_followed_even_where_the_client_would(
    operation: str, status: int, upstream: Upstream, clock: VirtualClock
) -> None:
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
async def test_a_token_that_no_header_can_hold_is_rejected_without_a_call(
    token: Any, own: OwnContextClient, managed: ManagedContextClient, upstream: Upstream
) -> None:
    upstream.answer(200, DOCUMENT)
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
async def test_what_has_no_json_form_is_refused_without_a_call(
    value: Any, own: OwnContextClient, managed: ManagedContextClient, upstream: Upstream
) -> None:
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
async def test_attributes_that_emporix_cannot_hold_are_refused_without_a_call(
    key: Any, value: Any, own: OwnContextClient, managed: ManagedContextClient, upstream: Upstream
) -> None:
    with pytest.raises(InvalidChange):
        await own.add_attribute("t", key, value)
    with pytest.raises(InvalidChange):
        await managed.add_attribute("s", key, value)
    assert upstream.requests == []


# Bodies


class Body(httpx.AsyncByteStream, httpx2.AsyncByteStream):
    """The body of an answer of either library."""

    def __init__(self, chunks: Iterator[bytes], closed: list[bool] | None, failure: Exception | None = None) -> None:
        self.chunks = chunks
        self.closed = closed
        self.failure = failure

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk

    async def aclose(self) -> None:
        if self.closed is not None:
            self.closed.append(True)
        if self.failure is not None:
            raise self.failure


def streamed(
    library: Any, *, chunks: Iterator[bytes], status: int = 200, headers: Any = None, closed: list[bool] | None = None
) -> Any:
    return library.Response(status, headers=headers, stream=Body(chunks, closed))


def endless(limit: int) -> Iterator[bytes]:
    for count in range(limit):
        if count > 80:
            raise AssertionError("read on after the limit")
        yield b" " * 4096


async def test_an_endless_answer_is_left_at_the_limit_and_closed(own: OwnContextClient, upstream: Upstream) -> None:
    closed: list[bool] = []
    upstream.default = lambda _: streamed(upstream.library, chunks=endless(10**9), closed=closed)
    with pytest.raises(MalformedAnswer, match="256 KiB"):
        await own.get("t")
    assert closed


async def test_an_answer_that_announces_too_much_is_not_read(own: OwnContextClient, upstream: Upstream) -> None:
    def unread() -> bytes:
        raise AssertionError("read")

    def never() -> Iterator[bytes]:
        yield unread()

    closed: list[bool] = []
    upstream.default = lambda _: streamed(
        upstream.library, chunks=never(), headers={"content-length": str(MAX_BODY + 1)}, closed=closed
    )
    with pytest.raises(MalformedAnswer):
        await own.get("t")
    assert closed


@pytest.mark.parametrize("length", ["10", "0", "x", "-5", "9" * 5_000, "²"])
async def test_a_content_length_that_lies_does_not_lift_the_limit(
    length: str, own: OwnContextClient, upstream: Upstream
) -> None:
    upstream.default = lambda _: streamed(
        upstream.library,
        chunks=endless(10**9),
        headers=[(b"content-length", length.encode("latin-1"))],
    )
    with pytest.raises(MalformedAnswer):
        await own.get("t")


async def test_an_answer_of_exactly_the_limit_is_read(own: OwnContextClient, upstream: Upstream) -> None:
    body = json.dumps(DOCUMENT).encode()
    upstream.answer(200, body + b" " * (MAX_BODY - len(body)))
    assert (await own.get("t")).version == 3
    upstream.answer(200, body + b" " * (MAX_BODY - len(body) + 1))
    with pytest.raises(MalformedAnswer):
        await own.get("t")


async def test_the_limit_counts_what_a_compressed_answer_unpacks_to(own: OwnContextClient, upstream: Upstream) -> None:
    upstream.answer(200, gzip.compress(b" " * (MAX_BODY * 4)), {"content-encoding": "gzip"})
    with pytest.raises(MalformedAnswer):
        await own.get("t")


async def test_a_compressed_answer_is_unpacked_and_a_broken_one_is_no_answer(
    own: OwnContextClient, upstream: Upstream
) -> None:
    upstream.answer(200, gzip.compress(json.dumps(DOCUMENT).encode()), {"content-encoding": "gzip"})
    assert (await own.get("t")).version == 3
    upstream.answer(200, b"not gzip", {"content-encoding": "gzip"})
    with pytest.raises(EmporixUnreachable):
        await own.get("t")


@pytest.mark.parametrize(("status", "kind"), [(404, ContextNotFound), (429, TooManyRequests), (503, EmporixFailed)])
async def test_an_error_answer_that_is_too_large_still_counts_by_its_status(
    status: int, kind: type[EmporixError], own: OwnContextClient, upstream: Upstream
) -> None:
    upstream.default = lambda _: streamed(upstream.library, chunks=endless(10**9), status=status)
    with pytest.raises(kind) as caught:
        await own.get("t")
    assert caught.value.status == status


async def test_the_response_is_closed_also_when_reading_fails(own: OwnContextClient, upstream: Upstream) -> None:
    closed: list[bool] = []

    def breaking() -> Iterator[bytes]:
        yield b"{"
        raise upstream.library.ReadError("https://api.emporix.io/secret")

    upstream.default = lambda _: streamed(upstream.library, chunks=breaking(), closed=closed)
    with pytest.raises(EmporixUnreachable):
        await own.get("t")
    assert closed


async def test_an_answer_counts_even_when_closing_it_fails(own: OwnContextClient, upstream: Upstream) -> None:
    body = Body(iter([b""]), None, failure=OSError("gone"))
    headers = {"content-length": "999999999"}
    upstream.default = lambda _: upstream.library.Response(404, headers=headers, stream=body)
    with pytest.raises(ContextNotFound):
        await own.get("t")


# Failures


def failures(library: Any) -> list[Exception]:
    request = library.Request("GET", "https://api.emporix.io/SECRET", headers={"authorization": "Bearer SECRET"})
    with_request = [
        "ConnectError",
        "ReadError",
        "WriteError",
        "CloseError",
        "ProxyError",
        "RemoteProtocolError",
        "LocalProtocolError",
        "UnsupportedProtocol",
        "DecodingError",
        "TooManyRedirects",
        "ConnectTimeout",
        "ReadTimeout",
        "WriteTimeout",
        "PoolTimeout",
    ]
    return [
        *(getattr(library, name)("SECRET", request=request) for name in with_request),
        library.InvalidURL("SECRET"),
        library.StreamError("SECRET"),
        library.CookieConflict("SECRET"),
        OSError("SECRET"),
        ConnectionResetError("SECRET"),
        TimeoutError("SECRET"),
        ssl.SSLError("SECRET"),
        EOFError("SECRET"),
        anyio.ClosedResourceError("SECRET"),
        anyio.BrokenResourceError("SECRET"),
        RuntimeError("Event loop is closed SECRET"),
    ]


@pytest.mark.parametrize("index", range(25))
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_every_way_to_get_no_answer_is_unreachable_and_quotes_nothing(
    operation: str, index: int, calls: dict[str, Call], upstream: Upstream, secrets: tuple[str, ...]
) -> None:
    error = failures(upstream.library)[index]
    upstream.fail(error)
    with pytest.raises(EmporixUnreachable) as caught:
        await calls[operation]()
    raised = caught.value
    text = "".join([str(raised), repr(raised), *traceback.format_exception(raised)])
    assert not any(secret in text for secret in ("SECRET", *secrets))
    # The client's error holds the request, so not even a tool that walks the chain finds it.
    assert raised.__context__ is None
    assert raised.__cause__ is None
    assert raised.status is None
    assert raised.reason


def test_the_table_of_failures_is_complete(library: Any) -> None:
    assert len(failures(library)) == 25


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ReadTimeout", "timed out"),
        ("ConnectError", "the connection failed"),
        ("UnsupportedProtocol", "could not be sent"),
    ],
)
async def test_the_reason_is_in_our_own_words(
    name: Any, reason: str, own: OwnContextClient, upstream: Upstream
) -> None:
    upstream.fail(getattr(upstream.library, name)("SECRET"))
    with pytest.raises(EmporixUnreachable, match=reason):
        await own.get("t")


async def test_errors_of_the_other_library_are_understood_too(own: OwnContextClient, upstream: Upstream) -> None:
    other = httpx2 if upstream.library is httpx else httpx
    upstream.fail(other.ReadTimeout("SECRET"))
    with pytest.raises(EmporixUnreachable, match="timed out"):
        await own.get("t")


async def test_a_closed_client_is_unreachable(upstream: Upstream) -> None:
    client = upstream.client()
    await client.aclose()
    with pytest.raises(EmporixUnreachable, match="the HTTP client is closed"):
        await OwnContextClient("acme", http_client=client).get("t")


@pytest.mark.parametrize(("status", "kind"), [(404, ContextNotFound), (429, TooManyRequests), (500, EmporixFailed)])
async def test_an_event_hook_that_raises_for_the_status_changes_nothing(
    status: int, kind: type[EmporixError], upstream: Upstream
) -> None:
    async def strict(response: Any) -> None:
        response.raise_for_status()

    upstream.answer(status, b"", {"retry-after": "9"})
    client = upstream.client(event_hooks={"response": [strict]})
    with pytest.raises(kind) as caught:
        await OwnContextClient("acme", http_client=client).get("t")
    assert caught.value.status == status
    assert caught.value.__context__ is None
    if status == 429:
        assert isinstance(caught.value, TooManyRequests)
        assert caught.value.retry_after == 9.0


async def test_a_mistake_of_the_application_is_not_hidden(upstream: Upstream) -> None:
    async def broken(request: Any) -> None:
        raise KeyError("mistake")

    client = upstream.client(event_hooks={"request": [broken]})
    with pytest.raises(KeyError):
        await OwnContextClient("acme", http_client=client).get("t")


async def test_cancellation_passes(own: OwnContextClient, upstream: Upstream) -> None:
    started = asyncio.Event()

    async def hang(request: Any) -> None:
        started.set()
        await asyncio.Event().wait()

    client = upstream.library.AsyncClient(transport=upstream.library.MockTransport(hang))
    task = asyncio.ensure_future(OwnContextClient("acme", http_client=client).get("t"))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_no_error_for_a_status_shows_a_secret(
    operation: str, calls: dict[str, Call], upstream: Upstream, secrets: tuple[str, ...]
) -> None:
    upstream.answer(401, {"sessionId": secrets[-1], "message": " ".join(secrets)})
    with pytest.raises(TokenRejected) as caught:
        await calls[operation]()
    text = "".join([str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)])
    assert not any(secret in text for secret in secrets)


async def test_the_request_line_that_the_library_logs_names_the_call_instead_of_the_url(
    managed: ManagedContextClient, upstream: Upstream, caplog: pytest.LogCaptureFixture, secrets: tuple[str, ...]
) -> None:
    upstream.answer(200, DOCUMENT)
    with caplog.at_level(logging.INFO):
        await managed.get(secrets[-1])
        await upstream.client().get("https://shop.example/other")
    text = caplog.text
    assert "managed.get" in text
    assert "shop.example/other" in text
    assert not any(secret in text for secret in secrets)


def test_repr_shows_class_and_tenant_only(
    own: OwnContextClient, managed: ManagedContextClient, service_token: ServiceToken
) -> None:
    assert repr(own) == "<OwnContextClient tenant=acme>"
    assert repr(managed) == "<ManagedContextClient tenant=acme>"
    assert repr(service_token) == "<ServiceToken tenant=acme>"
