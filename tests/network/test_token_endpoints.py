"""Token endpoints behind real sockets: what drips, resets or hangs ends in time, and no log says what was asked."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from typing import Literal

import aiohttp
import pytest
import sentry_sdk
from opentelemetry.instrumentation.aiohttp_client import create_trace_config
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sentry_sdk.integrations.aiohttp import AioHttpIntegration
from sentry_sdk.integrations.aiohttp import create_trace_config as create_sentry_config

from session_ctx_middleware.emporix import OwnContextClient, ShopperTokens, TokenAnswer
from session_ctx_middleware.emporix.transport.libraries import Name
from session_ctx_middleware.errors import EmporixUnreachable
from session_ctx_middleware.testing import FakeEmporix, Fault

from ..emporix.test_token_endpoints import KIM, OPERATIONS, Canaries
from ..support.sentry import tracked
from .backend import WebServer
from .test_drips import Dripping

pytestmark = pytest.mark.network


@pytest.fixture
async def served() -> AsyncIterator[tuple[FakeEmporix, str]]:
    """FakeEmporix behind a server."""
    emporix = FakeEmporix()
    server = WebServer(emporix)
    await server.start()
    yield emporix, server.address
    await server.aclose()


async def shopper_at(emporix: FakeEmporix, url: str, tokens: ShopperTokens) -> Canaries:
    """Log a shopper in, and have the calls of `tokens` made for him."""
    async with ShopperTokens("acme", "storefront", base_url=url) as there:
        guest = await there.begin()
        kim = await there.log_in(*KIM, guest_token=(await there.begin()).access_token)
    return Canaries(emporix, tokens, guest, kim)


def said(caplog: pytest.LogCaptureFixture) -> str:
    """Return what was logged by anybody but the server that plays Emporix."""
    records = [record for record in caplog.records if not record.name.startswith("uvicorn")]
    return "\n".join(f"{record.name} {record.getMessage()} {vars(record)}" for record in records)


@pytest.mark.parametrize("where", ["headers", "body"])
async def test_dripping(
    served: tuple[FakeEmporix, str],
    where: Literal["headers", "body"],
    http_library: Name,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An answer that drips for ever ends with the time of the call, at every endpoint."""
    caplog.set_level(logging.DEBUG)
    upstream = Dripping(where)
    async with (
        upstream.serving() as url,
        ShopperTokens("acme", "storefront", base_url=url, total_timeout=0.1, http_client=http_library) as tokens,
    ):
        shopper = await shopper_at(*served, tokens)
        for operation in OPERATIONS:
            began = time.monotonic()
            with pytest.raises(EmporixUnreachable) as raised:
                await shopper.call(operation)
            assert time.monotonic() - began < 30
            assert shopper.read_in(repr(raised.value)) == []
    assert shopper.read_in(said(caplog)) == []


@pytest.mark.parametrize("when", ["before", "after"])
async def test_resets(
    served: tuple[FakeEmporix, str],
    when: Literal["before", "after"],
    http_library: Name,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A connection that breaks is an error at once, and the next call works."""
    caplog.set_level(logging.DEBUG)
    emporix, url = served
    async with ShopperTokens("acme", "storefront", base_url=url, http_client=http_library) as tokens:
        shopper = await shopper_at(emporix, url, tokens)
        for operation in OPERATIONS:
            emporix.fault(operation, Fault(drop=when))
            with pytest.raises(EmporixUnreachable):
                await shopper.call(operation)
        assert (await tokens.begin()).session_id
    assert shopper.read_in(said(caplog)) == []


async def test_logs_of_a_success(
    served: tuple[FakeEmporix, str], http_library: Name, caplog: pytest.LogCaptureFixture
) -> None:
    """No log of any library has a token, a code or a password, at any level."""
    caplog.set_level(logging.DEBUG)
    emporix, url = served
    async with ShopperTokens("acme", "storefront", base_url=url, http_client=http_library) as tokens:
        shopper = await shopper_at(emporix, url, tokens)
        answers = [await shopper.call(operation) for operation in OPERATIONS[:4]]
        shopper.secrets += [answer.access_token for answer in answers if isinstance(answer, TokenAnswer)]
    assert http_library == "aiohttp" or "httpcore" in said(caplog)
    assert shopper.read_in(said(caplog)) == []


async def test_no_span_of_aiohttp(served: tuple[FakeEmporix, str]) -> None:
    """Where OpenTelemetry watches a session of aiohttp, no address with a secret reaches a span; others do."""
    emporix, url = served
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with aiohttp.ClientSession(trace_configs=[create_trace_config(tracer_provider=provider)]) as session:
        async with ShopperTokens("acme", "storefront", base_url=url, http_client=session) as tokens:
            shopper = await shopper_at(emporix, url, tokens)
            for operation in OPERATIONS[:-1]:
                await shopper.call(operation)
        assert exporter.get_finished_spans() == ()
        await OwnContextClient("acme", base_url=url, http_client=session).get(emporix.new_session().token)
        assert len(exporter.get_finished_spans()) == 1
    provider.shutdown()


async def test_nothing_for_sentry(served: tuple[FakeEmporix, str]) -> None:
    """Where Sentry watches a session of aiohttp, no address with a secret reaches a span or a breadcrumb; others do."""
    emporix, url = served
    with tracked(AioHttpIntegration()) as sent:
        async with aiohttp.ClientSession(trace_configs=[create_sentry_config()]) as session:
            tokens = ShopperTokens("acme", "storefront", base_url=url, http_client=session)
            shopper = await shopper_at(emporix, url, tokens)
            with sentry_sdk.start_transaction(name="page"):
                for operation in OPERATIONS[:-1]:
                    await shopper.call(operation)
                await OwnContextClient("acme", base_url=url, http_client=session).get(emporix.new_session().token)
                sentry_sdk.capture_message("what led to it")
        told = "\n".join(sent)
    assert "/session-context/acme/me/context" in told
    assert "what led to it" in told
    assert shopper.read_in(told) == []
