"""Calls without an answer: which error they are, and what it never quotes."""

from __future__ import annotations

import asyncio
import logging
import ssl
import traceback
from typing import Any

import anyio
import httpx
import httpx2
import pytest

from session_ctx_middleware.emporix import ManagedContextClient, OwnContextClient, ServiceToken
from session_ctx_middleware.errors import (
    ContextNotFound,
    EmporixError,
    EmporixFailed,
    EmporixUnreachable,
    TokenRejected,
    TooManyRequests,
)

from .conftest import OPERATIONS, SHORT_DOCUMENT, Call, Upstream


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
async def test_no_answer_is_unreachable(
    operation: str, index: int, calls: dict[str, Call], upstream: Upstream, secrets: tuple[str, ...]
) -> None:
    """Every way to get no answer is `EmporixUnreachable`, and quotes nothing."""
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


def test_failures_are_complete(library: Any) -> None:
    """The table of failures is complete."""
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
    """The reason is told in our own words."""
    upstream.fail(getattr(upstream.library, name)("SECRET"))
    with pytest.raises(EmporixUnreachable, match=reason):
        await own.get("t")


async def test_errors_of_the_other_library(own: OwnContextClient, upstream: Upstream) -> None:
    """Errors of the other library are understood too."""
    other = httpx2 if upstream.library is httpx else httpx
    upstream.fail(other.ReadTimeout("SECRET"))
    with pytest.raises(EmporixUnreachable, match="timed out"):
        await own.get("t")


async def test_a_closed_client_is_unreachable(upstream: Upstream) -> None:
    """A closed client is `EmporixUnreachable`."""
    client = upstream.client()
    await client.aclose()
    with pytest.raises(EmporixUnreachable, match="the HTTP client is closed"):
        await OwnContextClient("acme", http_client=client).get("t")


@pytest.mark.parametrize(("status", "kind"), [(404, ContextNotFound), (429, TooManyRequests), (500, EmporixFailed)])
async def test_raising_event_hook(status: int, kind: type[EmporixError], upstream: Upstream) -> None:
    """An event hook that raises for the status changes nothing."""

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


async def test_application_errors_show(upstream: Upstream) -> None:
    """A mistake of the application is not hidden."""

    async def broken(request: Any) -> None:
        raise KeyError("mistake")

    client = upstream.client(event_hooks={"request": [broken]})
    with pytest.raises(KeyError):
        await OwnContextClient("acme", http_client=client).get("t")


async def test_cancellation_passes(own: OwnContextClient, upstream: Upstream) -> None:
    """A cancellation passes through."""
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
async def test_no_secret_in_status_errors(
    operation: str, calls: dict[str, Call], upstream: Upstream, secrets: tuple[str, ...]
) -> None:
    """No error for a status shows a secret."""
    upstream.answer(401, {"sessionId": secrets[-1], "message": " ".join(secrets)})
    with pytest.raises(TokenRejected) as caught:
        await calls[operation]()
    text = "".join([str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)])
    assert not any(secret in text for secret in secrets)


async def test_log_names_the_call(
    managed: ManagedContextClient, upstream: Upstream, caplog: pytest.LogCaptureFixture, secrets: tuple[str, ...]
) -> None:
    """The request line that the library logs names the call instead of the URL."""
    upstream.answer(200, SHORT_DOCUMENT)
    with caplog.at_level(logging.INFO):
        await managed.get(secrets[-1])
        await upstream.client().get("https://shop.example/other")
    text = caplog.text
    assert "managed.get" in text
    assert "shop.example/other" in text
    assert not any(secret in text for secret in secrets)


def test_repr(own: OwnContextClient, managed: ManagedContextClient, service_token: ServiceToken) -> None:
    """The repr shows class and tenant only."""
    assert repr(own) == "<OwnContextClient tenant=acme>"
    assert repr(managed) == "<ManagedContextClient tenant=acme>"
    assert repr(service_token) == "<ServiceToken tenant=acme>"
