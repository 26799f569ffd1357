"""What comes over the wire in unusual forms: informational answers, redirects, compression, and answers cut short."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

import pytest

from session_ctx_middleware import EmporixError, EmporixFailed, EmporixUnreachable, MalformedAnswer
from session_ctx_middleware.emporix import OwnContextClient
from session_ctx_middleware.emporix.transport import MAX_BODY

pytestmark = [pytest.mark.network, pytest.mark.usefixtures("nothing_left")]

DOCUMENT = json.dumps({"currency": "EUR", "metadata": {"version": 3}}).encode()


class Answering:
    """A server that sends the same bytes to everybody, and closes."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        with contextlib.suppress(ConnectionError):  # a client may have read enough
            writer.write(self.answer)
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def open_client(library: str) -> Any:
    """Return a client that is passed in."""
    module = import_module(library)
    return module.ClientSession() if library == "aiohttp" else module.AsyncClient(trust_env=False)


@asynccontextmanager
async def asked(library: str, answer: bytes) -> AsyncIterator[tuple[OwnContextClient, Answering]]:
    """Open a client of a server that gives one answer."""
    answering = Answering(answer)
    server = await asyncio.start_server(answering.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_client(library) as http_client:
        yield OwnContextClient("acme", base_url=f"http://127.0.0.1:{port}", http_client=http_client), answering


def answer(status: str, body: bytes = b"", *fields: bytes, length: int | None = None) -> bytes:
    size = b"content-length: %d" % (len(body) if length is None else length)
    return b"\r\n".join([b"HTTP/1.1 " + status.encode(), size, b"connection: close", *fields, b"", body])


HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"

READ = {
    "plain": answer("200 OK", DOCUMENT),
    "early hints": HINTS + answer("200 OK", DOCUMENT),
    "several hints": HINTS * 3 + CONTINUE + answer("200 OK", DOCUMENT),
    "gzip": answer("200 OK", gzip.compress(DOCUMENT), b"content-encoding: gzip"),
    "chunks": CHUNKED + b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (5, DOCUMENT[:5], len(DOCUMENT) - 5, DOCUMENT[5:]),
    "until the end": b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + DOCUMENT,
    "byte order mark": answer("200 OK", b"\xef\xbb\xbf" + DOCUMENT),
    "of the limit": answer("200 OK", DOCUMENT.ljust(MAX_BODY)),
}
REFUSED: dict[str, tuple[bytes, type[EmporixError]]] = {
    "no content": (b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n", EmporixFailed),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nconnection: close\r\n\r\n", EmporixFailed),
    "a part": (answer("206 Partial Content", DOCUMENT, b"content-range: bytes 0-1/9"), EmporixFailed),
    "moved": (answer("302 Found", b"", b"location: /session-context/acme/me/context"), EmporixFailed),
    "moved for good": (answer("308 Permanent Redirect", b"", b"location: http://127.0.0.1:9/"), EmporixFailed),
    "a bomb": (answer("200 OK", gzip.compress(b" " * 10**8), b"content-encoding: gzip"), MalformedAnswer),
    "packed twice": (
        answer("200 OK", gzip.compress(gzip.compress(DOCUMENT)), b"content-encoding: gzip, gzip"),
        MalformedAnswer,
    ),
    "one byte more": (answer("200 OK", DOCUMENT.ljust(MAX_BODY + 1)), MalformedAnswer),
    "cut off": (answer("200 OK", DOCUMENT[:-5], length=len(DOCUMENT)), EmporixUnreachable),
    "chunks cut off": (CHUNKED + b"%x\r\n%b\r\n" % (len(DOCUMENT), DOCUMENT), EmporixUnreachable),
    "nothing": (b"", EmporixUnreachable),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.9\r\n", EmporixUnreachable),
    "another protocol": (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        EmporixError,
    ),
    "a page that is not there": (answer("404 Not Found", b"<html>"), EmporixFailed),
}


@pytest.mark.parametrize("raw", READ.values(), ids=READ)
async def test_read(raw: bytes, http_library: str) -> None:
    """However a context comes, it is read."""
    async with asked(http_library, raw) as (client, answering):
        document = await client.get("token")

    assert (document.version, document.currency) == (3, "EUR")
    assert len(answering.requests) == 1


@pytest.mark.parametrize(("raw", "kind"), REFUSED.values(), ids=REFUSED)
async def test_refused(raw: bytes, kind: type[EmporixError], http_library: str) -> None:
    """What is no context is an error of its kind, after one request."""
    async with asked(http_library, raw) as (client, answering):
        with pytest.raises(kind) as caught:
            await client.get("token")

    assert type(caught.value) is kind or kind is EmporixError
    assert len(answering.requests) == 1
