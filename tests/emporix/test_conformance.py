"""What every HTTP library has to do behind the port, over real sockets: the same calls, answers, errors and silence."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import gzip
import logging
import random
import time
import traceback
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib import import_module
from typing import Any

import aiohttp
import pytest

from session_ctx_middleware.emporix import ManagedContextClient, OwnContextClient, ServiceToken
from session_ctx_middleware.emporix.transport import MAX_BODY
from session_ctx_middleware.errors import (
    ContextNotFound,
    EmporixError,
    EmporixFailed,
    EmporixUnreachable,
    MalformedAnswer,
    TokenRejected,
    TooManyRequests,
)

from .wire import ANSWER, DOCUMENT, Peer, answer

pytestmark = pytest.mark.network

TOKEN = "shopper-Secret-tOken-0815"
A_MOMENT = 0.01
"""Long enough that whoever shares this event loop has seen a connection end."""
SESSION = "6d4d4d5e-04b9-40c5-9074-4df1405c6081"
FAILED = (EmporixUnreachable, "the connection failed")
TOO_LARGE = (MalformedAnswer, "larger than 256 KiB")
ENCODED = (MalformedAnswer, "encoded in a way that was not asked for")
REDIRECTED = (EmporixFailed, "redirects are not followed")
JSON = b"content-type: application/json"
BROTLI_BOMB = b"\xcf\xff\xff\x7f\xf8\x27\x00\xe2\xb1\x40\x20\xf7\xfe\x9f" * 9
ZSTD_BOMB = b"\x28\xb5\x2f\xfd\xa4\x00\x00\x00\x40" + b"\x53\x00\x01\x00" * 99


@pytest.fixture
def anyio_backend() -> str:
    """Real sockets need real time."""
    return "asyncio"


def running(before: set[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """Return the tasks that were begun since then, without those that run the tests."""
    return [task for task in asyncio.all_tasks() - before if "TestRunner" not in str(task.get_coro())]


@pytest.fixture
async def nothing_left(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """No task is left behind, and nothing is reported to the event loop or to its log."""
    loop = asyncio.get_running_loop()
    unnoticed: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unnoticed.append(context))
    before = asyncio.all_tasks()
    yield
    for _ in range(500):
        if not running(before):
            break
        await asyncio.sleep(0.01)
    gc.collect()
    assert not running(before)
    assert not unnoticed
    assert not [record for record in caplog.records if record.name == "asyncio" and record.levelno > logging.DEBUG]


@pytest.fixture
async def peer(nothing_left: None) -> AsyncIterator[Peer]:
    async with Peer() as peer:
        yield peer


@pytest.fixture
async def own(peer: Peer, own_library: Any) -> AsyncIterator[OwnContextClient]:
    async with OwnContextClient("acme", base_url=peer.url, http_client=own_library) as own:
        yield own


@contextlib.asynccontextmanager
async def managed(peer: Peer, library: Any) -> AsyncIterator[ManagedContextClient]:
    """Open a client with a service token that it has already."""
    peer.answer = answer("200 OK", b'{"access_token":"service","expires_in":9999}')
    token = ServiceToken(
        "acme", client_id="i", client_secret="client-sEcret-99", base_url=peer.url, http_client=library
    )
    async with token, ManagedContextClient("acme", service_token=token, base_url=peer.url, http_client=library) as it:
        await token.value()
        peer.requests.clear()
        peer.answer = answer("204 No Content")
        yield it


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


def encoded(body: bytes, encoding: bytes) -> bytes:
    return answer("200 OK", body, b"content-encoding: " + encoding)


READ = {
    "plain": ANSWER,
    "another type": answer("200 OK", DOCUMENT, b"content-type: text/plain; charset=utf-16"),
    "a type that is none": answer("200 OK", DOCUMENT, b"content-type: ;;;\xff"),
    "no type": answer("200 OK", DOCUMENT),
    "no reason": b"HTTP/1.1 200 \r\n" + answer("200 OK", DOCUMENT).partition(b"\r\n")[2],
    "chunks": chunked(DOCUMENT[:7], DOCUMENT[7:]),
    "gzip": encoded(gzip.compress(DOCUMENT), b"gzip"),
    "gzip in capitals": encoded(gzip.compress(DOCUMENT), b"GZIP"),
    "identity": encoded(DOCUMENT, b"identity"),
    "gzip in chunks": chunked(DOCUMENT).replace(b"chunked\r\n\r\n", b"chunked\r\nx-is: gone\r\n\r\n"),
    "of the limit": answer("200 OK", DOCUMENT.ljust(MAX_BODY)),
    "a hundred headers": answer("200 OK", DOCUMENT, *(b"x-%d: %d" % (n, n) for n in range(100))),
    "after hints": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 20 + ANSWER,
    "cookies": answer(
        "200 OK", DOCUMENT, b"set-cookie: sid=foreign; Path=/", b"set-cookie: =;\xff=", b"set-cookie: a=b"
    ),
}

REFUSED: dict[str, tuple[bytes, tuple[type[EmporixError], str]]] = {
    "a bomb": (encoded(gzip.compress(bytes(10**8)), b"gzip"), TOO_LARGE),
    "a bomb in chunks": (
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n"
        + chunked(gzip.compress(bytes(10**8))).partition(b"\r\n\r\n")[2],
        TOO_LARGE,
    ),
    "a bomb of brotli": (encoded(BROTLI_BOMB, b"br"), ENCODED),
    "a bomb of zstd": (encoded(ZSTD_BOMB, b"zstd"), ENCODED),
    "a bomb of deflate": (encoded(zlib.compress(bytes(10**8)), b"deflate"), ENCODED),
    "packed twice": (encoded(gzip.compress(gzip.compress(DOCUMENT)), b"gzip, gzip"), ENCODED),
    "packed twice in two headers": (
        answer("200 OK", gzip.compress(DOCUMENT), b"content-encoding: gzip", b"content-encoding: gzip"),
        ENCODED,
    ),
    "not packed": (encoded(DOCUMENT, b"gzip"), FAILED),
    "packed and cut": (encoded(gzip.compress(DOCUMENT)[:-9], b"gzip"), FAILED),
    "one byte more": (answer("200 OK", DOCUMENT.ljust(MAX_BODY + 1)), TOO_LARGE),
    "one byte more in chunks": (chunked(DOCUMENT.ljust(MAX_BODY), b" "), TOO_LARGE),
    "announced": (b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n", TOO_LARGE),
    "cut off": (ANSWER[:-5], FAILED),
    "cut off in a chunk": (chunked(end=b"ff\r\n{"), FAILED),
    "cut off after a chunk": (chunked(DOCUMENT, end=b""), FAILED),
    "cut off in a header": (b"HTTP/1.1 200 OK\r\ncontent-le", FAILED),
    "nothing": (b"", FAILED),
    "a bad chunk": (chunked(end=b"zz\r\n{}\r\n0\r\n\r\n"), FAILED),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", FAILED),
    "zeros": (bytes(100), FAILED),
    "random bytes": (random.Random(7).randbytes(2_000), FAILED),
    "no status": (b"HTTP/1.1\r\n\r\n", FAILED),
    "a status that is none": (b"HTTP/1.1 abc OK\r\n\r\n", FAILED),
    "a length that is none": (b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n{}", FAILED),
    "two lengths": (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{} ", FAILED),
    "a header without end": (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 500_000, FAILED),
    "headers without end": (b"HTTP/1.1 200 OK\r\n" + b"x-flood: xxxxxxxxxxxxxxxxxxxx\r\n" * 20_000, FAILED),
    "hints without end": (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20_000, FAILED),
    "moved": (answer("302 Found", b"", b"location: /elsewhere"), REDIRECTED),
    "moved to another host": (answer("307 Temporary Redirect", b"", b"location: http://127.0.0.1:9/"), REDIRECTED),
    "moved to nowhere": (answer("301 Moved", b"", b"location: http://[bad"), REDIRECTED),
    "moved to itself": (answer("308 Permanent Redirect", b"", b"location: "), REDIRECTED),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", (EmporixFailed, "")),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\n\r\n", REDIRECTED),
    "another protocol": (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        FAILED,
    ),
    "a page": (answer("404 Not Found", b"<html>"), (EmporixFailed, "base_url")),
    "a page of success": (answer("200 OK", b"<html>", b"content-type: text/html"), (MalformedAnswer, "usable version")),
    "no context": (answer("404 Not Found", b'{"code":404}', JSON), (ContextNotFound, "")),
    "a refused token": (answer("401 Unauthorized", b'{"message":"no"}', JSON), (TokenRejected, "")),
    "a wish to wait": (answer("429 Too Many Requests", b"{}", b"retry-after: 7"), (TooManyRequests, "")),
    "an error of a megabyte": (answer("503 Unavailable", b" " * 2**20), (EmporixFailed, "503")),
    "an error that is packed": (answer("503 Unavailable", b"x", b"content-encoding: br"), (EmporixFailed, "503")),
}


async def test_date(peer: Peer, own: OwnContextClient) -> None:
    """The date of an answer tells Emporix' time."""
    peer.answer = answer("200 OK", DOCUMENT, b"date: Fri, 27 Nov 2026 00:00:00 GMT")
    began = time.monotonic()

    await own.get(TOKEN)

    told = own.platform_time.at(began)
    assert told is not None
    assert abs(told - 1_795_737_600) <= 1.0 + time.monotonic() - began


@pytest.mark.parametrize("raw", READ.values(), ids=READ)
@pytest.mark.parametrize("closes", [False, True], ids=["kept", "closed"])
async def test_read(raw: bytes, own: OwnContextClient, peer: Peer, *, closes: bool) -> None:
    """However a context comes, it is read, and so is the next one."""
    peer.answer, peer.closes = raw, closes
    for _ in range(2):
        assert (await own.get(TOKEN)).version == 3
        await asyncio.sleep(A_MOMENT)

    assert len(peer.requests) == 2
    assert len({request.partition(b"\r\n")[0] for request in peer.requests}) == 1
    assert all(b"bearer shopper-secret-token-0815" in request.lower() for request in peer.requests)
    assert all(b"\r\naccept-encoding: gzip\r\n" in request.lower() for request in peer.requests)
    assert not [request for request in peer.requests if b"cookie" in request.lower()]
    if not closes:
        assert peer.connections == 1


@pytest.mark.parametrize(("raw", "expected"), REFUSED.values(), ids=REFUSED)
async def test_refused(raw: bytes, expected: tuple[type[EmporixError], str], own: OwnContextClient, peer: Peer) -> None:
    """What is no context is the same error whichever library reads it, after one request; the next call works."""
    kind, text = expected
    peer.answer, peer.closes = raw, True
    with pytest.raises(EmporixError) as caught:
        await own.get(TOKEN)

    assert type(caught.value) is kind
    assert text in str(caught.value)
    assert len(peer.requests) == 1
    assert caught.value.retry_after == (7.0 if kind is TooManyRequests else None)
    peer.answer, peer.closes = ANSWER, False
    await asyncio.sleep(A_MOMENT)
    assert (await own.get(TOKEN)).version == 3


OPERATIONS = ["get", "put", "add_attribute", "remove_attribute", "patch"]


async def _call(operation: str, peer: Peer, library: Any) -> None:
    own = OwnContextClient("acme", base_url=peer.url, http_client=library)
    async with own, managed(peer, library) as others:
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "get": lambda: others.get(SESSION),
            "put": lambda: others.put(SESSION, {"metadata": {"version": 1}}),
            "add_attribute": lambda: others.add_attribute(SESSION, "k", "v"),
            "remove_attribute": lambda: others.remove_attribute(SESSION, "k"),
            "patch": lambda: own.patch(TOKEN, {"metadata": {"version": 1}}),
        }
        peer.answer, peer.closes = b"", True
        with pytest.raises(EmporixUnreachable, match="the connection failed"):
            await calls[operation]()


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_sent_once(operation: str, own_library: Any, peer: Peer) -> None:
    """A call whose connection ends without an answer has been sent once: no library repeats it."""
    await _call(operation, peer, own_library)

    assert len(peer.requests) == 1


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_reset(operation: str, own_library: Any, nothing_left: None) -> None:
    """The same where the connection is reset."""

    async def reset(peer: Peer, _: bytes, writer: asyncio.StreamWriter) -> None:
        if peer.answer:
            writer.write(peer.answer)
        else:
            writer.transport.abort()

    async with Peer(reset) as peer:
        await _call(operation, peer, own_library)

        assert len(peer.requests) == 1


async def test_closed_between_calls(own: OwnContextClient, peer: Peer) -> None:
    """A connection that the server has closed since the last call is not used for the next one."""
    peer.closes = True
    for _ in range(20):
        assert (await own.get(TOKEN)).version == 3
        await asyncio.sleep(A_MOMENT)

    assert len(peer.requests) == peer.connections == 20


OUT_OF_STEP = pytest.mark.xfail(reason="they take it for the answer to the next call: httpx 0.28.1, httpx2 2.16.2")


@pytest.mark.parametrize(
    ("own_library", "when"),
    [
        *(("aiohttp", when) for when in ("with the answer", "after it", "half of it")),
        pytest.param("httpx", "with the answer", marks=OUT_OF_STEP),
        pytest.param("httpx2", "with the answer", marks=OUT_OF_STEP),
    ],
)
async def test_answer_that_nobody_asked_for(when: str, own_library: Any, nothing_left: None) -> None:
    """What comes after an answer is not taken for the answer to the next call, which may be another shopper's."""
    foreign = ANSWER.replace(b'"version":3', b'"version":9')

    async def handle(peer: Peer, _: bytes, writer: asyncio.StreamWriter) -> None:
        if when == "after it":
            writer.write(ANSWER)
            await writer.drain()
            asyncio.get_running_loop().call_soon(writer.write, foreign)
        else:
            writer.write(ANSWER + (foreign if when == "with the answer" else foreign[:30]))

    async with (
        Peer(handle) as peer,
        OwnContextClient("acme", base_url=peer.url, http_client=own_library) as own,
    ):
        for _ in range(5):
            with contextlib.suppress(EmporixUnreachable):
                assert (await own.get(TOKEN)).version == 3
            await asyncio.sleep(A_MOMENT)


async def test_requests_are_the_same(own_library: Any, peer: Peer) -> None:
    """Paths stay as they were encoded, bodies are JSON or a form of known length, and nothing else goes along."""
    odd = "a/../b%2F ~ü+"
    async with managed(peer, own_library) as others:
        await others.put(odd, {"metadata": {"version": 1}}, upsert=True, saas_token="saas")
        await others.remove_attribute(odd, "k?#")

    put, delete = (request.partition(b"\r\n\r\n") for request in peer.requests)
    path = b"/session-context/acme/context/a%2F..%2Fb%252F%20~%C3%BC%2B"
    assert put[0].startswith(b"PUT " + path + b"?upsert=true HTTP/1.1\r\n")
    assert delete[0].startswith(b"DELETE " + path + b"/attributes/k%3F%23 HTTP/1.1\r\n")
    assert put[2] == b'{"metadata":{"version":1}}'
    for head in (put[0].lower(), delete[0].lower()):
        names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:]]
        assert len(names) == len(set(names))
        known = {b"host", b"accept", b"accept-encoding", b"connection", b"user-agent", b"authorization"}
        assert set(names) - known <= {b"content-type", b"content-length", b"saas-token"}
        assert b"content-type: application/octet-stream" not in head


async def test_storm(own_library: Any, nothing_left: None) -> None:
    """After 300 calls over ten connections that their callers have left at any moment, 50 of 50 are answered."""
    rng = random.Random(11)

    async def slow(peer: Peer, _: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01 * rng.random())
        writer.write(peer.answer[:60])
        await asyncio.sleep(0.01 * rng.random())
        writer.write(peer.answer[60:])

    async with (
        Peer(slow) as peer,
        OwnContextClient("acme", base_url=peer.url, http_client=own_library, max_connections=10) as own,
    ):

        async def leave() -> None:
            call = asyncio.ensure_future(own.get(TOKEN))
            await asyncio.sleep(0.03 * rng.random())
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError, EmporixError):
                await call

        for _ in range(6):
            await asyncio.gather(*(leave() for _ in range(50)))
        answers = [await asyncio.gather(*(own.get(TOKEN) for _ in range(10))) for _ in range(5)]

        assert {document.version for some in answers for document in some} == {3}
        assert sum(len(some) for some in answers) == 50


@pytest.mark.parametrize("part", ["head", "body", "chunks", "silence"])
async def test_time_is_up(part: str, own_library: Any, nothing_left: None) -> None:
    """Whatever of an answer drips without end, the call ends when its time is up, and the next one works."""
    starts = {
        "head": b"HTTP/1.1 200 OK\r\nx-slow: ",
        "body": b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n",
        "chunks": chunked(b" ", end=b""),
        "silence": b"",
    }

    async def drip(peer: Peer, _: bytes, writer: asyncio.StreamWriter) -> None:
        if peer.answer is not ANSWER:
            writer.write(ANSWER)
            return
        writer.write(starts[part])
        while peer.answer is ANSWER and not writer.is_closing():
            await asyncio.sleep(0.02)
            if part != "silence":
                writer.write(b"1\r\n \r\n" if part == "chunks" else b" ")
        writer.transport.abort()

    async with (
        Peer(drip) as peer,
        OwnContextClient("acme", base_url=peer.url, http_client=own_library, total_timeout=0.3) as own,
    ):
        with pytest.raises(EmporixUnreachable, match="timed out"):
            await own.get(TOKEN)
        peer.answer = b"healed"
        for attempt in range(100):
            with contextlib.suppress(EmporixUnreachable):
                assert (await own.get(TOKEN)).version == 3
                return
            await asyncio.sleep(0.01 * attempt)
        pytest.fail("no answer any more")


@pytest.mark.parametrize("ending", ["answered", "refused", "cut", "left"])
async def test_secrets_stay_here(
    ending: str, own_library: Any, nothing_left: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither what a library logs nor the frames of an error hold a token or a session id."""
    caplog.set_level(logging.DEBUG)

    async def handle(peer: Peer, _: bytes, writer: asyncio.StreamWriter) -> None:
        if ending == "cut":
            writer.transport.abort()
        elif ending != "left":
            writer.write(answer("200 OK" if ending == "answered" else "403 Forbidden", DOCUMENT, b"set-cookie: =;;x"))

    async with Peer(handle) as peer:
        token = ServiceToken("acme", client_id="i", client_secret="s", base_url=peer.url, http_client=own_library)
        async with OwnContextClient("acme", base_url=peer.url, http_client=own_library) as own, token:
            call = asyncio.ensure_future(own.get(TOKEN))
            await asyncio.sleep(0.05)
            call.cancel()
            result: Any = (await asyncio.gather(call, return_exceptions=True))[0]

    if isinstance(result, BaseException):
        frames = list(traceback.walk_tb(result.__traceback__))
        locals_of_frames = [repr(frame.f_locals) for frame, _ in frames if frame.f_code.co_name != call_site()]
        assert not [text for text in locals_of_frames if "Secret" in text]
        assert result.__context__ is None or "Secret" not in repr(vars(result.__context__))
    assert not [record.getMessage() for record in caplog.records if "Secret" in record.getMessage()]
    assert not [record.getMessage() for record in caplog.records if "/session-context/" in record.getMessage()]


def call_site() -> str:
    return "test_secrets_stay_here"


def test_nobody_closes_it(caplog: pytest.LogCaptureFixture) -> None:
    """A session of aiohttp that is never closed ends without the noise that it makes, with its event loop or before."""

    async def drop(own: OwnContextClient | None) -> OwnContextClient:
        async with Peer() as peer:
            own = own or OwnContextClient("acme", base_url=peer.url, http_client="aiohttp")
            own._http._base_url = peer.url
            await own.get(TOKEN)
            return own

    async def dropped_before() -> None:
        await drop(None)
        gc.collect()
        await asyncio.sleep(0.01)

    kept = None
    for _ in range(3):
        kept = asyncio.run(drop(kept))
    asyncio.run(dropped_before())
    del kept
    gc.collect()
    assert not [record for record in caplog.records if "nclosed" in record.getMessage()]


@pytest.fixture
def no_library_warns(recwarn: pytest.WarningsRecorder) -> Iterator[None]:
    yield
    assert not list(recwarn)


@pytest.mark.usefixtures("no_library_warns")
class TestPassedIn:
    """A client that was passed in."""

    def client(self, library: str, **options: Any) -> Any:
        module = import_module(library)
        return module.ClientSession(**options) if library == "aiohttp" else module.AsyncClient(**options)

    async def test_stays_open(self, own_library: str, peer: Peer) -> None:
        """It is not closed here."""
        async with self.client(own_library) as client:
            async with OwnContextClient("acme", base_url=peer.url, http_client=client) as own:
                assert (await own.get(TOKEN)).version == 3
            assert not (client.closed if own_library == "aiohttp" else client.is_closed)
            assert (await own.get(TOKEN)).version == 3
        with pytest.raises(EmporixUnreachable, match="the HTTP client is closed"):
            await own.get(TOKEN)

    async def test_keeps_its_headers(self, own_library: str, peer: Peer) -> None:
        """Its headers go along, its credentials and cookies do not, and cookies of answers go nowhere."""
        headers = {
            "User-Agent": "shop/1",
            "Authorization": "Basic Secret",
            "Cookie": "a=Secret",
            "Accept-Encoding": "br",
        }
        peer.answer = answer("200 OK", DOCUMENT, b"set-cookie: sid=Secret; Path=/")
        async with self.client(own_library, headers=headers, cookies={"b": "Secret"}) as client:
            own = OwnContextClient("acme", base_url=peer.url, http_client=client)
            token = ServiceToken("acme", client_id="i", client_secret="s", base_url=peer.url, http_client=client)
            for _ in range(2):
                await own.get(TOKEN)
            with pytest.raises(MalformedAnswer):
                await token.value()

        assert len(peer.requests) == 3
        for request in peer.requests:
            head = request.lower()
            assert b"\r\nuser-agent: shop/1\r\n" in head
            assert b"\r\naccept-encoding: gzip\r\n" in head
            assert b"cookie" not in head
            assert b"basic" not in head
        assert b"authorization" not in peer.requests[-1].lower()


class TestSession:
    """An ``aiohttp.ClientSession`` that was passed in."""

    async def test_auth(self, peer: Peer) -> None:
        """Its own credentials give way to the token of the call."""
        with pytest.deprecated_call():
            session = aiohttp.ClientSession(auth=aiohttp.BasicAuth("user", "hunter2"))
        async with session:
            await OwnContextClient("acme", base_url=peer.url, http_client=session).get(TOKEN)
        assert f"Bearer {TOKEN}".encode() in peer.requests[0]

    async def test_habits(self, peer: Peer) -> None:
        """What a session does with every call of its owner, it does not do here."""

        async def twice(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
            await handler(request)
            return await handler(request)

        peer.answer = answer("404 Not Found", gzip.compress(b'{"code":404}'), b"content-encoding: gzip", JSON)
        async with aiohttp.ClientSession("http://127.0.0.1:9/", raise_for_status=True, middlewares=(twice,)) as session:
            with pytest.raises(ContextNotFound):
                await OwnContextClient("acme", base_url=peer.url, http_client=session).get(TOKEN)
        assert len(peer.requests) == 1

    async def test_timeouts(self, nothing_left: None) -> None:
        """Its own timeouts apply, where they are shorter."""

        async def silent(*_: object) -> None:
            """Send nothing."""

        timeout = aiohttp.ClientTimeout(sock_read=0.05)
        async with Peer(silent) as peer, aiohttp.ClientSession(timeout=timeout) as session:
            own = OwnContextClient("acme", base_url=peer.url, http_client=session, total_timeout=60.0)
            with pytest.raises(EmporixUnreachable, match="timed out"):
                await own.get(TOKEN)

    async def test_closed_meanwhile(self, nothing_left: None) -> None:
        """Closed by its owner, it cancels nobody who waits for a connection: they learn that it is closed."""

        async def silent(*_: object) -> None:
            """Send nothing."""

        async with Peer(silent) as peer:
            session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
            own = OwnContextClient("acme", base_url=peer.url, http_client=session)
            calls = [asyncio.ensure_future(own.get(TOKEN)) for _ in range(3)]
            while not peer.requests:
                await asyncio.sleep(A_MOMENT)
            await session.close()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)

        assert [type(outcome) for outcome in outcomes] == [EmporixUnreachable] * 3
        assert all("the HTTP client is closed" in str(outcome) for outcome in outcomes)

    async def test_other_loop(self, peer: Peer) -> None:
        """On another event loop than its own nothing is sent."""
        async with aiohttp.ClientSession() as session:
            own = OwnContextClient("acme", base_url=peer.url, http_client=session)
            await own.get(TOKEN)
            with pytest.raises(EmporixUnreachable, match="perhaps because it belongs to another event loop"):
                await asyncio.to_thread(lambda: asyncio.run(own.get(TOKEN)))
            assert (await own.get(TOKEN)).version == 3
        assert len(peer.requests) == 2
