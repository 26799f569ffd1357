"""A TCP proxy that breaks connections on purpose; it knows just enough HTTP to do so at a chosen moment."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter, deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

__all__ = ["LOOPBACK", "Mode", "Proxy", "bind", "reserve_port"]

LOOPBACK: Final = "127.0.0.1"
DRIP_BYTES: Final = 3
DRIP_PAUSE: Final = 0.05
NOTICED: Final = 0.03


class Mode(Enum):
    """What happens to a request, or to everybody who connects."""

    PASS = auto()
    CUT_BEFORE = auto()
    """Both connections are closed in good order before the request reaches the server."""
    CUT_AFTER = auto()
    """The request has its effect, and the connection is closed instead of an answer."""
    RESET_BEFORE = auto()
    """The connection is reset before the request reaches the server."""
    RESET_AFTER = auto()
    """The request has its effect, and the connection is reset instead of an answer."""
    RESET_WITHIN = auto()
    """The connection is reset when half of the answer is through."""
    BLACKHOLE = auto()
    """The request is accepted and swallowed."""
    DRIP = auto()
    """The answer comes a few bytes at a time, until the proxy is healed."""
    REFUSE = auto()
    """Nobody listens, and open connections are reset."""
    STALL = auto()
    """Connecting takes forever, because the queue of the listener is full, and open connections are reset."""


_BEFORE: Final = {Mode.CUT_BEFORE, Mode.RESET_BEFORE, Mode.BLACKHOLE}
_DEAF: Final = {Mode.REFUSE, Mode.STALL}


@dataclass(frozen=True, slots=True)
class _Message:
    """A request or an answer, in bytes."""

    head: bytes
    body: bytes

    @property
    def raw(self) -> bytes:
        return self.head + self.body

    @property
    def method(self) -> str:
        return self.head.partition(b" ")[0].decode("ascii")


@dataclass(slots=True)
class _Plan:
    """A mode for the next requests."""

    mode: Mode
    times: int
    method: str | None


class Proxy:
    """Listens on one port and passes requests on to another one.

    All methods that are coroutines belong to the event loop that the proxy runs on; the others may be called from
    any thread.

    Args:
        target: the port of the server.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._reserved, self.port = reserve_port()
        self._mode = Mode.PASS
        self._plans: deque[_Plan] = deque()
        self._server: asyncio.Server | None = None
        self._stalled: list[socket.socket] = []
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._healed = asyncio.Event()
        self.requests: Counter[str] = Counter()

    @property
    def address(self) -> str:
        """Where the proxy is."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    def next(self, mode: Mode, *, times: int = 1, method: str | None = None) -> None:
        """Let the next requests (of one method) go wrong."""
        self._plans.append(_Plan(mode, times, method))

    async def set(self, mode: Mode) -> None:
        """Let everything from now on go this way."""
        was, self._mode = self._mode, mode
        if mode is not Mode.DRIP:
            self._healed.set()
            self._healed = asyncio.Event()
        if was is Mode.BLACKHOLE:
            await self.reset_all()  # what was swallowed is never answered any more
        if was in _DEAF and mode is not was:
            self._close_stalled()
            await self._listen()
        if mode in _DEAF:
            await self._stop_listening()
            await self.reset_all()
        if mode is Mode.STALL:
            self._stall()

    async def renew(self) -> None:
        """Forget what was asked for and what has been seen."""
        self._plans.clear()
        await self.set(Mode.PASS)
        await self.reset_all()
        self.requests.clear()

    async def start(self) -> None:
        """Begin to listen."""
        await self._listen()

    async def stop(self) -> None:
        """Let go of everything."""
        await self._stop_listening()
        self._close_stalled()
        await self.reset_all()
        self._reserved.close()

    async def reset_all(self) -> None:
        """Reset every connection."""
        tasks = list(self._connections)
        for task, writer in list(self._connections.items()):
            _reset(writer)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Listening

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, sock=bind(self.port), backlog=500)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            await asyncio.sleep(0)

    def _stall(self) -> None:
        """Listen without accepting, and fill the queue, so that further connections are not answered at all."""
        listener = bind(self.port)
        listener.listen(0)
        self._stalled.append(listener)
        for _ in range(2):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((LOOPBACK, self.port))
            self._stalled.append(filler)

    def _close_stalled(self) -> None:
        while self._stalled:
            self._stalled.pop().close()

    # Connections

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            # A client that goes away, a server that is down: the connection ends, which is all there is to it.
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            del self._connections[task]
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Pass one request on and its answer back; tell whether the connection goes on."""
        request = await _read(reader)
        self.requests[request.method] += 1
        mode, healed = self._mode_of(request.method), self._healed
        if mode in _BEFORE:
            await self._break_before(mode, reader, writer)
            return False
        try:
            answer = await self._ask(request)
        except OSError:
            _reset(writer)
            return False
        return await self._answer(mode, answer, writer, healed)

    def _mode_of(self, method: str) -> Mode:
        for plan in self._plans:
            if plan.method in {None, method}:
                plan.times -= 1
                if plan.times == 0:
                    self._plans.remove(plan)
                return plan.mode
        return self._mode

    async def _break_before(self, mode: Mode, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if mode is Mode.RESET_BEFORE:
            _reset(writer)
        elif mode is Mode.BLACKHOLE:
            await reader.read()

    async def _ask(self, request: _Message) -> _Message:
        reader, writer = await asyncio.open_connection(LOOPBACK, self._target)
        try:
            writer.write(request.raw)
            return await _read(reader)
        except EOFError as error:
            raise ConnectionResetError from error
        finally:
            writer.close()

    async def _answer(self, mode: Mode, answer: _Message, writer: asyncio.StreamWriter, healed: asyncio.Event) -> bool:
        if mode is Mode.RESET_AFTER:
            _reset(writer)
        elif mode is Mode.RESET_WITHIN:
            await _send(writer, answer.raw[: len(answer.raw) // 2])
            await asyncio.sleep(NOTICED)  # the reset must not overtake what was sent
            _reset(writer)
        elif mode is Mode.DRIP:
            await _drip(answer.raw, writer, healed)
            return True
        elif mode is not Mode.CUT_AFTER:
            await _send(writer, answer.raw)
            return True
        return False


async def _drip(raw: bytes, writer: asyncio.StreamWriter, healed: asyncio.Event) -> None:
    for start in range(0, len(raw), DRIP_BYTES):
        if not healed.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(healed.wait(), DRIP_PAUSE)
        await _send(writer, raw[start : start + DRIP_BYTES])


async def _read(reader: asyncio.StreamReader) -> _Message:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return _Message(head, await reader.readexactly(length))


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with RST instead of FIN."""
    channel: socket.socket | None = writer.get_extra_info("socket")
    if channel is not None:
        with contextlib.suppress(OSError):  # it is closed already
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def bind(port: int) -> socket.socket:
    """Return a socket bound to a port of this machine, next to others that do not listen."""
    channel = socket.socket()
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    channel.bind((LOOPBACK, port))
    return channel


def reserve_port() -> tuple[socket.socket, int]:
    """Return a free port, and a socket that keeps others from getting it while nobody listens there."""
    channel = bind(0)
    return channel, int(channel.getsockname()[1])
