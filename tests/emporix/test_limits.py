"""How long the whole of a call may take, and what becomes of one that takes longer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

import httpx
import httpx2
import pytest

from session_ctx_middleware.emporix import ManagedContextClient, OwnContextClient, ServiceToken
from session_ctx_middleware.emporix.limits import MAX_HUNG
from session_ctx_middleware.emporix.transport import libraries
from session_ctx_middleware.emporix.transport.httpx_adapter import HttpxTransport
from session_ctx_middleware.errors import ConfigurationError, EmporixUnreachable
from session_ctx_middleware.model.document import ContextDocument

from .conftest import SESSION, Upstream
from .oauth import settle

BODY = b'{"metadata":{"version":3}}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Drip(httpx.AsyncByteStream, httpx2.AsyncByteStream):
    """A body of one blank a second, without end."""

    def __init__(self) -> None:
        self.pieces = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(1)
            self.pieces += 1
            yield b" "

    async def aclose(self) -> None:
        self.closed = True


class Silence:
    """An upstream that never answers; it remembers who waits."""

    def __init__(self, library: Any, *, says: Any = None) -> None:
        self.library = library
        self.waiting = self.cancelled = 0
        self.released = asyncio.Event()
        self.says = says

    async def handle(self, _: Any) -> Any:
        self.waiting += 1
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.waiting -= 1
        return self.library.Response(200, content=BODY)

    def client(self) -> Any:
        return self.library.AsyncClient(transport=self.library.MockTransport(self.handle))


async def took(call: Awaitable[object]) -> float:
    """Return for how many seconds a call without an answer was waited for."""
    began = asyncio.get_running_loop().time()
    with pytest.raises(EmporixUnreachable, match="timed out"):
        await call
    return asyncio.get_running_loop().time() - began


async def test_drip_ends(own: OwnContextClient, upstream: Upstream) -> None:
    """An answer that drips is left when its time is up, and closed."""
    drip = Drip()
    upstream.default = lambda _: upstream.library.Response(200, stream=drip)

    assert await took(own.get("t")) == pytest.approx(4.0)
    await asyncio.sleep(1)

    assert drip.closed
    assert drip.pieces <= 4


async def test_silence_ends(library: Any) -> None:
    """A call that is never answered ends when its time is up."""
    silence = Silence(library)
    own = OwnContextClient("acme", http_client=silence.client(), total_timeout=0.5)

    assert await took(own.get("t")) == pytest.approx(0.5)


async def test_every_operation(library: Any) -> None:
    """The limit holds for all clients, and for the endpoint that gives out service tokens."""
    silence = Silence(library)
    token = ServiceToken("acme", client_id="i", client_secret="s", http_client=silence.client(), total_timeout=1.0)
    managed = ManagedContextClient("acme", service_token=token, http_client=silence.client())
    own = OwnContextClient("acme", http_client=silence.client(), total_timeout=2.0)

    assert await took(token.value()) == pytest.approx(1.0)
    assert await took(managed.get(SESSION)) == pytest.approx(1.0)
    assert await took(own.patch("t", {})) == pytest.approx(2.0)
    assert await took(own.add_attribute("t", "k", "v")) == pytest.approx(2.0)


async def test_dripping_token_endpoint(upstream: Upstream) -> None:
    """A token endpoint whose answer drips keeps nobody longer than the limit, and who comes later asks anew."""
    library, calls = upstream.library, 0

    def handle(_: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            return library.Response(200, stream=Drip())
        return library.Response(200, json={"access_token": "t", "expires_in": 60})

    client = library.AsyncClient(transport=library.MockTransport(handle))
    token = ServiceToken("acme", client_id="i", client_secret="s", http_client=client)

    seconds = await asyncio.gather(*(took(token.value()) for _ in range(10)))

    assert max(seconds) == pytest.approx(4.0)
    assert await token.value() == "t"


async def test_only_a_new_library_is_cancelled(library: Any) -> None:
    """A call of httpx is left behind and ends by itself, one of httpx2 is cancelled."""
    silence = Silence(library)
    own = OwnContextClient("acme", http_client=silence.client(), total_timeout=1.0)

    await took(own.get("t"))
    await settle()

    assert (silence.waiting, silence.cancelled) == ((1, 0) if library is httpx else (0, 1))
    silence.released.set()
    await settle()
    assert silence.waiting == 0


async def test_caller_does_not_cancel(library: Any) -> None:
    """A caller that is cancelled leaves a call of httpx alone."""
    silence = Silence(library)
    own = OwnContextClient("acme", http_client=silence.client())
    caller = asyncio.ensure_future(own.get("t"))
    await settle()

    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert silence.cancelled == (0 if library is httpx else 1)
    silence.released.set()
    await settle()


async def test_short_timeouts_stay(upstream: Upstream) -> None:
    """A client's own timeouts are cut to the limit, and shorter ones stay."""
    upstream.answer(200, BODY)
    for timeout, within in ((None, 4.0), (60.0, 4.0), (0.25, 0.25)):
        await OwnContextClient("acme", http_client=upstream.client(timeout=timeout)).get("t")
        seconds = upstream.last.extensions["timeout"]["read"]
        assert 0.9 * within <= seconds <= within


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "4", None, True])
def test_bad_limits(seconds: Any) -> None:
    """A limit is a number of seconds."""
    for build in (
        lambda: OwnContextClient("acme", total_timeout=seconds),
        lambda: ServiceToken("acme", client_id="i", client_secret="s", total_timeout=seconds),
    ):
        with pytest.raises(ConfigurationError, match="total_timeout"):
            build()


async def test_owner_is_told(library: Any, caplog: pytest.LogCaptureFixture) -> None:
    """After ten hanging calls in a client that was passed in, its owner is told, once."""
    silence = Silence(library)
    own = OwnContextClient("acme", http_client=silence.client(), total_timeout=1.0)
    with caplog.at_level(logging.WARNING, "session_ctx_middleware"):
        for _ in range(3):
            await asyncio.gather(*(took(own.get("t")) for _ in range(9)))
    told = [record.getMessage() for record in caplog.records if "passed in" in record.getMessage()]

    assert len(told) == (1 if library is httpx else 0)
    silence.released.set()
    await settle()


class Deaf:
    """A server on a real socket that sends one byte of a header now and then, until it is told to answer."""

    def __init__(self) -> None:
        self.answers = False
        self.connections = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                if self.answers:
                    writer.write(ANSWER)
                    continue
                writer.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
                await self._drip(writer)
                writer.write(b"\r\n" + ANSWER.partition(b"\r\n")[2])
        except (asyncio.IncompleteReadError, ConnectionError):
            pass

    async def _drip(self, writer: asyncio.StreamWriter) -> None:
        while not self.answers:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def answered(own: OwnContextClient) -> ContextDocument:
    """Return the answer of a call, made again while a busy machine takes longer than it may."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(EmporixUnreachable):
                return await own.get("t")


@pytest.mark.network
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_own_client_is_replaced(own_library: Any) -> None:
    """After ten hanging calls our client is replaced; the old one is closed once they have ended."""
    async with (
        Deaf() as deaf,
        OwnContextClient("acme", base_url=deaf.url, http_client=own_library, total_timeout=0.3) as own,
    ):
        clients: Any = own._http._clients
        await took(own.get("t"))
        old = clients.current()
        await asyncio.gather(*(took(own.get("t")) for _ in range(8)))
        assert clients.current() is old
        await asyncio.gather(*(took(own.get("t")) for _ in range(4)))
        new = clients.current()

        assert (new is old) == (own_library != "httpx")
        assert not old.is_closed
        deaf.answers = True
        assert (await answered(own)).version == 3
        if own_library == "httpx":
            await until(lambda: old.is_closed)
        assert not new.is_closed


async def test_hung_calls_end_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs without end in a client that was replaced is cut off after a minute: nothing piles up."""
    silence, built = Silence(httpx), []

    def build(*_: object) -> HttpxTransport:
        built.append(silence.client())
        return HttpxTransport(built[-1], 1.0)

    monkeypatch.setattr(libraries, "build", build)
    own = OwnContextClient("acme", http_client="httpx", total_timeout=1.0)
    for _ in range(20):
        await asyncio.gather(*(took(own.get("t")) for _ in range(MAX_HUNG)))
        assert silence.waiting <= (60 + 1) * MAX_HUNG
        await asyncio.sleep(9)
    assert silence.waiting <= 7 * MAX_HUNG
    await asyncio.sleep(60)

    assert silence.waiting == 0
    closed = [client.is_closed for client in built]
    assert closed.count(False) <= 2, "the one in use, and one that the certificates were read with"
    await own.aclose()


@pytest.mark.network
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_nothing_is_left_when_closed(own_library: Any) -> None:
    """What hangs in a client of our own ends with it, also in one that was replaced."""
    before = asyncio.all_tasks()
    async with Deaf() as deaf:
        async with OwnContextClient("acme", base_url=deaf.url, http_client=own_library, total_timeout=0.3) as own:
            clients: Any = own._http._clients
            await took(own.get("t"))
            old = clients.current()
            await asyncio.gather(*(took(own.get("t")) for _ in range(12)))
        assert old.is_closed
        left = [task for task in asyncio.all_tasks() - before if "_handle" not in str(task.get_coro())]
        assert not left
