"""A way to Emporix on which calls go wrong in more ways than FakeEmporix itself can show within one process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import httpx2

from session_ctx_middleware.testing import FakeEmporix

__all__ = ["WAYS", "Way", "drip"]

WAYS: Final = ("silent", "dripping headers", "dripping", "5xx", "gateway", "refused")


class drip(httpx.AsyncByteStream, httpx2.AsyncByteStream):  # noqa: N801 - reads as what it is
    """A body of one blank a second, without end."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(1)

    async def aclose(self) -> None:
        pass


class Way:
    """A way that is healthy until a test says otherwise; a call keeps to what held when it was sent.

    Args:
        emporix: at the end of the way.
        library: httpx or httpx2.

    Attributes:
        fails: how, one of `WAYS`; empty while it is healthy.
        broken: tokens for which Emporix always answers 500.
        calls: when calls were made.
        calls_of_broken: how many of them were made with a broken token.
    """

    def __init__(self, emporix: FakeEmporix, library: Any) -> None:
        self.fails = ""
        self.calls: list[float] = []
        self.broken: set[str] = set()
        self.calls_of_broken = 0
        self._library = library
        self._inner = library.ASGITransport(app=emporix)
        way = self

        class Transport(library.AsyncBaseTransport):  # type: ignore[misc]
            async def handle_async_request(self, request: Any) -> Any:
                return await way.send(request)

        self.client = library.AsyncClient(transport=Transport(), base_url="http://emporix.test")

    async def send(self, request: Any) -> Any:
        library = self._library
        self.calls.append(asyncio.get_running_loop().time())
        if request.headers["authorization"].removeprefix("Bearer ") in self.broken:
            self.calls_of_broken += 1
            return library.Response(500, json={"code": 500, "message": "broken"})
        match self.fails:
            case "silent":
                await asyncio.sleep(request.extensions["timeout"]["read"])
                raise library.ReadTimeout("silent", request=request)
            case "dripping headers":
                await asyncio.sleep(30)
                raise library.ReadError("at last", request=request)
            case "dripping":
                return library.Response(200, stream=drip())
            case "5xx":
                return library.Response(500, json={"code": 500, "message": "broken"})
            case "gateway":
                return library.Response(503, content=b"<html>")
            case "refused":
                raise library.ConnectError("refused", request=request)
        await asyncio.sleep(0.05)
        return await self._inner.handle_async_request(request)
