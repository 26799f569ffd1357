"""Every token endpoint with every fault, and everywhere that something of it could be said: none of it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
import sentry_sdk
from hpack import Encoder
from sentry_sdk.integrations.httpx import HttpxIntegration
from sentry_sdk.integrations.httpx2 import Httpx2Integration

from session_ctx_middleware.emporix import ShopperTokens
from session_ctx_middleware.errors import EmporixError
from session_ctx_middleware.testing import FakeEmporix

from ..support.sentry import tracked
from ..support.virtual_time import WALL_START
from .test_token_endpoints import FAULTS, KIM, OPERATIONS, URL, Canaries, locals_of
from .test_traces import Tracer

LOGGERS = ("", "httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "hpack.hpack", "hpack.table", "asyncio")


@pytest.fixture(name="tracked")
def _tracked() -> Iterator[list[str]]:
    """What Sentry, which watches httpx and httpx2, would send."""
    with tracked(HttpxIntegration(), Httpx2Integration()) as sent:
        yield sent


@pytest.fixture
def tracer() -> Iterator[Tracer]:
    built = Tracer()
    yield built
    built.shutdown()


def over_http2(emporix: FakeEmporix, library: Any) -> Any:
    """Return a client whose requests are packed as HTTP/2 packs them, on one connection with a small table."""
    encoder = Encoder()
    encoder.header_table_size = 256
    inner = emporix.client(library)._transport

    class Way(library.AsyncBaseTransport):  # type: ignore[misc]
        async def handle_async_request(self, request: Any) -> Any:
            encoder.encode([(b":path", request.url.raw_path), *request.headers.raw])
            return await inner.handle_async_request(request)

    return library.AsyncClient(transport=Way(), base_url=URL)


async def test_nothing_is_said(
    library: Any, tracer: Tracer, tracked: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a log of any library, nor a span, a breadcrumb, an error, its frames or a repr has a secret."""
    for name in LOGGERS:
        caplog.set_level(logging.DEBUG, name)
    emporix = FakeEmporix(now=lambda: WALL_START + asyncio.get_running_loop().time())
    shoppers: list[Canaries] = []
    told: list[str] = []
    async with over_http2(emporix, library) as client:
        tracer.watch(client)
        tokens = ShopperTokens("acme", "storefront", base_url=URL, http_client=client)
        with sentry_sdk.start_transaction(name="page"):
            for fault, _ in FAULTS.values():
                guest = await tokens.begin()
                kim = await tokens.log_in(*KIM, guest_token=(await tokens.begin()).access_token)
                shoppers.append(Canaries(emporix, tokens, guest, kim))
                for operation in OPERATIONS:
                    emporix.fault(operation, fault)
                    try:
                        told.append(repr(await shoppers[-1].call(operation)))
                    except EmporixError as error:
                        told.append(f"{error!r} {vars(error)} {locals_of(error)}")
                    emporix.clear_faults()
            for number in range(8):  # somebody else's, which push out of the table what is left there
                await client.get("/", params={"number": number})
            sentry_sdk.capture_message("what led to it")
        told += [f"{record.name} {record.getMessage()} {vars(record)}" for record in caplog.records]
        told += [*tracer.spans(), *tracked, repr(tokens)]
        text = "\n".join(told)
        assert "what led to it" in text
        assert [secret for shopper in shoppers for secret in shopper.read_in(text)] == []

        await control(client, shoppers[0])
    said = [*tracer.spans(), *tracked, *(record.getMessage() for record in caplog.records)]
    places = {line.partition(" ")[0] for line in said if shoppers[0].read_in(line)}
    assert len(places) >= 4, "this is where it would have been read"


async def control(client: Any, shopper: Canaries) -> None:
    """Make a call of the shop's own with a secret in its address."""
    with sentry_sdk.start_transaction(name="page"), suppress(httpx.HTTPError):
        await client.get("/customerlogin/auth/anonymous/refresh", params={"refresh_token": shopper.secrets[1]})
        sentry_sdk.capture_message("what led to it")
