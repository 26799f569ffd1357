"""How much of an answer is read, and what becomes of the rest of it."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import httpx2
import pytest

from session_ctx_middleware.emporix import OwnContextClient
from session_ctx_middleware.emporix.http import MAX_BODY
from session_ctx_middleware.errors import (
    ContextNotFound,
    EmporixError,
    EmporixFailed,
    EmporixUnreachable,
    MalformedAnswer,
    TooManyRequests,
)

from .conftest import Upstream

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
