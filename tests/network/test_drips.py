"""Answers that drip: they take no permit for good, and none of our connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import pytest

from session_ctx_middleware import UpstreamPolicy

from .conftest import OpenShop
from .proxy import LOOPBACK
from .shop import RealShop, until

pytestmark = pytest.mark.network

BODY = b'{"sessionId":"s","currency":"EUR","metadata":{"version":1}}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)
FEW = UpstreamPolicy(deadline=0.4, commit_deadline=0.4, total_timeout=0.6, max_concurrency=4, get_retry=False)
PERMITS = 4


class Dripping:
    """An upstream whose answers drip for as long as anybody listens; what is asked once it is well, it answers."""

    def __init__(self, where: Literal["headers", "body"]) -> None:
        self._start = b"HTTP/1.1 200 OK\r\n" + (b"x-slow: " if where == "headers" else b"content-length: 9999\r\n\r\n")
        self._writers: set[asyncio.StreamWriter] = set()
        self.is_well = False
        self.dripping = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve inside the block, and give the address."""
        server = await asyncio.start_server(self._handle, LOOPBACK, 0)
        try:
            yield f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for writer in self._writers:
                writer.close()
            await until(lambda: not self._writers)

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                if not self.is_well:
                    await self._drip(writer)
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self._writers.discard(writer)

    async def _drip(self, writer: asyncio.StreamWriter) -> None:
        self.dripping += 1
        try:
            writer.write(self._start)
            while not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        finally:
            self.dripping -= 1


async def _fresh(shop: RealShop, token: str) -> None:
    """Come back until the page is fresh; no pause is skipped."""
    async with asyncio.timeout(60):
        while (await shop.page(token))["currency"] != "EUR":
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("where", ["headers", "body"])
async def test_permits_come_back(open_shop: OpenShop, where: Literal["headers", "body"]) -> None:
    """Calls whose answers drip give their permits back, and who comes later is answered."""
    upstream = Dripping(where)
    async with upstream.serving() as url:
        shop = await open_shop(base_url=url, upstream=FEW)
        pages = await asyncio.gather(*(shop.page(f"token-{number}") for number in range(3 * PERMITS)))
        assert {page["degraded"] for page in pages} == {True}

        upstream.is_well = True
        for number in range(3 * PERMITS):
            await _fresh(shop, f"token-{number}")

        if where == "body":
            await until(lambda: not upstream.dripping)
            assert not shop.busy_connections
        await shop.close()


async def test_many_that_drip(open_shop: OpenShop) -> None:
    """However many calls have dripped, everybody is answered once the upstream is well, though those drip on."""
    upstream = Dripping("headers")
    async with upstream.serving() as url:
        shop = await open_shop(base_url=url, upstream=FEW)
        for wave in range(8):
            await asyncio.gather(*(shop.page(f"token-{wave}-{number}") for number in range(PERMITS)))
            shop.clock.jump(5)
            await asyncio.sleep(0.3)

        upstream.is_well = True
        shop.clock.jump(5)
        for number in range(3 * PERMITS):
            await _fresh(shop, f"fresh-{number}")
        await shop.close()
