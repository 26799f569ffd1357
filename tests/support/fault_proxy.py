"""A TCP proxy in front of Redis that breaks in the ways that networks do."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Self

CHUNK = 65_536


@dataclass(eq=False)
class _Pair:
    """Both ends of one connection."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    listens: bool = False


class FaultProxy:
    """Passes bytes on to a port of this host, or does not.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self.server_port = port
        self.port = 0
        self.opened = 0
        self.lose_messages = False
        self.lost = 0
        self.delay = 0.0
        self._passing = asyncio.Event()
        self._passing.set()
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._pairs)

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def listen(self) -> None:
        """Accept connections, after `refuse` at the same port again."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Cut all connections and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()

    def cut(self, *, only_listeners: bool = False) -> None:
        """Cut all connections, or those with a subscription."""
        for pair in list(self._pairs):
            if pair.listens or not only_listeners:
                pair.client.transport.abort()
                pair.server.transport.abort()

    def blackhole(self) -> None:
        """Pass nothing on, with all connections open, and new ones accepted."""
        self._passing.clear()

    def pass_on(self) -> None:
        """Pass on again, beginning with what was held back."""
        self._passing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self.opened += 1
        try:
            upstream, server = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(writer, server)
        self._pairs.add(pair)
        try:
            # Streams of Python 3.11 complain about a handler that was cancelled.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(self._requests(pair, reader), self._answers(pair, upstream))
        finally:
            self._pairs.discard(pair)
            writer.transport.abort()
            server.transport.abort()

    async def _requests(self, pair: _Pair, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                pair.listens = pair.listens or b"SUBSCRIBE" in data
                await self._passing.wait()
                pair.server.write(data)
        pair.server.transport.abort()

    async def _answers(self, pair: _Pair, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._passing.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                if self.lose_messages and pair.listens and b"$7\r\nmessage" in data:
                    self.lost += 1
                else:
                    pair.client.write(data)
        pair.client.transport.abort()
