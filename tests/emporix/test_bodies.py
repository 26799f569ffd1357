"""How much of an answer is read, and what becomes of the rest of it."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import httpx2
import pytest

from session_ctx_middleware.emporix import OwnContextClient
from session_ctx_middleware.emporix.transport import MAX_BODY
from session_ctx_middleware.errors import (
    EmporixError,
    EmporixFailed,
    EmporixUnreachable,
    MalformedAnswer,
    TooManyRequests,
)

from .conftest import SHORT_DOCUMENT, Upstream


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


async def test_endless_answer(own: OwnContextClient, upstream: Upstream) -> None:
    """An endless answer is left at the limit, and closed."""
    closed: list[bool] = []
    upstream.default = lambda _: streamed(upstream.library, chunks=endless(10**9), closed=closed)
    with pytest.raises(MalformedAnswer, match="256 KiB"):
        await own.get("t")
    assert closed


async def test_announced_too_large(own: OwnContextClient, upstream: Upstream) -> None:
    """An answer that announces too much is not read."""

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
async def test_lying_content_length(length: str, own: OwnContextClient, upstream: Upstream) -> None:
    """A Content-Length that lies does not lift the limit."""
    upstream.default = lambda _: streamed(
        upstream.library,
        chunks=endless(10**9),
        headers=[(b"content-length", length.encode("latin-1"))],
    )
    with pytest.raises(MalformedAnswer):
        await own.get("t")


async def test_exactly_the_limit(own: OwnContextClient, upstream: Upstream) -> None:
    """An answer of exactly the limit is read."""
    body = json.dumps(SHORT_DOCUMENT).encode()
    upstream.answer(200, body + b" " * (MAX_BODY - len(body)))
    assert (await own.get("t")).version == 3
    upstream.answer(200, body + b" " * (MAX_BODY - len(body) + 1))
    with pytest.raises(MalformedAnswer):
        await own.get("t")


async def test_limit_of_unpacked_size(own: OwnContextClient, upstream: Upstream) -> None:
    """The limit counts what a compressed answer unpacks to."""
    upstream.answer(200, gzip.compress(b" " * (MAX_BODY * 4)), {"content-encoding": "gzip"})
    with pytest.raises(MalformedAnswer):
        await own.get("t")


async def test_compressed_answers(own: OwnContextClient, upstream: Upstream) -> None:
    """A compressed answer is unpacked, and a broken one is no answer."""
    upstream.answer(200, gzip.compress(json.dumps(SHORT_DOCUMENT).encode()), {"content-encoding": "gzip"})
    assert (await own.get("t")).version == 3
    upstream.answer(200, b"not gzip", {"content-encoding": "gzip"})
    with pytest.raises(EmporixUnreachable):
        await own.get("t")


async def test_bomb_takes_no_memory(own: OwnContextClient, upstream: Upstream) -> None:
    """A piece that unpacks to a thousand times its size is unpacked only as far as it may count."""
    bomb = gzip.compress(bytes(64 * MAX_BODY))
    headers = {"content-encoding": "gzip"}
    upstream.default = lambda _: streamed(upstream.library, chunks=iter([bomb]), headers=headers)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedAnswer, match="256 KiB"):
            await own.get("t")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MAX_BODY


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip", "gzip,identity", "x", "*"])
async def test_encoding_nobody_asked_for(encoding: str, own: OwnContextClient, upstream: Upstream) -> None:
    """Only gzip is asked for, and what comes in another encoding is not unpacked; its status still counts."""
    for status, kind in ((200, MalformedAnswer), (429, TooManyRequests)):
        headers = {"content-encoding": encoding}
        upstream.default = lambda _, status=status, headers=headers: streamed(
            upstream.library, chunks=iter([b"{}"]), status=status, headers=headers
        )
        with pytest.raises(kind):
            await own.get("t")
    assert upstream.last.headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(("status", "kind"), [(404, EmporixFailed), (429, TooManyRequests), (503, EmporixFailed)])
async def test_large_error_answer(
    status: int, kind: type[EmporixError], own: OwnContextClient, upstream: Upstream
) -> None:
    """An error answer that is too large still counts by its status, but is nothing that Emporix says of a session."""
    upstream.default = lambda _: streamed(upstream.library, chunks=endless(10**9), status=status)
    with pytest.raises(kind) as caught:
        await own.get("t")
    assert caught.value.status == status


async def test_closed_though_reading_fails(own: OwnContextClient, upstream: Upstream) -> None:
    """The response is closed also when reading fails."""
    closed: list[bool] = []

    def breaking() -> Iterator[bytes]:
        yield b"{"
        raise upstream.library.ReadError("https://api.emporix.io/secret")

    upstream.default = lambda _: streamed(upstream.library, chunks=breaking(), closed=closed)
    with pytest.raises(EmporixUnreachable):
        await own.get("t")
    assert closed


async def test_closing_may_fail(own: OwnContextClient, upstream: Upstream) -> None:
    """An answer counts even when closing it fails."""
    body = Body(iter([b""]), None, failure=OSError("gone"))
    headers = {"content-length": "999999999"}
    upstream.default = lambda _: upstream.library.Response(429, headers=headers, stream=body)
    with pytest.raises(TooManyRequests):
        await own.get("t")
