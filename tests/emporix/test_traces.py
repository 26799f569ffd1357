"""What a tracer that watches the HTTP client sees: the shop's calls, and no address that holds a secret."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from session_ctx_middleware import SessionContextError
from session_ctx_middleware.emporix import ManagedContextClient, OwnContextClient, ServiceToken, ShopperTokens
from session_ctx_middleware.testing import FakeEmporix

from ..support.telemetry import Recorder, everything
from .test_token_endpoints import KIM, OPERATIONS, URL, Canaries


class Tracer:
    """The spans of a client that OpenTelemetry watches."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def watch(self, client: Any) -> None:
        kind = HTTPX2ClientInstrumentor if type(client).__module__.startswith("httpx2") else HTTPXClientInstrumentor
        kind.instrument_client(client, tracer_provider=self._provider)

    def spans(self) -> list[str]:
        spans = [f"{span.name} {dict(span.attributes or {})}" for span in self._exporter.get_finished_spans()]
        self._exporter.clear()
        return spans

    def shutdown(self) -> None:
        self._provider.shutdown()


@pytest.fixture
def tracer() -> Iterator[Tracer]:
    built = Tracer()
    yield built
    built.shutdown()


async def test_no_secret_in_a_span(library: Any, tracer: Tracer) -> None:
    """Calls of token endpoints leave no span, also where many are made at once; the shop's own calls still do."""
    emporix = FakeEmporix()
    async with emporix.client(library, base_url=URL) as client:
        tracer.watch(client)
        tokens = ShopperTokens("acme", "storefront", base_url=URL, http_client=client)
        guest = await tokens.begin()
        kim = await tokens.log_in(*KIM, guest_token=(await tokens.begin()).access_token)
        shopper = Canaries(emporix, tokens, guest, kim)

        await client.get("/customerlogin/auth/anonymous/refresh", params={"refresh_token": guest.refresh_token})
        (seen,) = tracer.spans()
        assert shopper.read_in(seen) == [guest.refresh_token], "this is what there is to keep out"

        calls = [operation for operation in OPERATIONS if operation not in {"customer.logout", "customer.opt_in"}]
        await asyncio.gather(*(shopper.call(operation) for operation in calls), return_exceptions=True)
        await shopper.call("customer.logout")
        assert tracer.spans() == []

        await client.get("/site/acme/sites", headers={"Authorization": f"Bearer {guest.access_token}"})
        own = OwnContextClient("acme", base_url=URL, http_client=client)
        await own.get(emporix.new_session().token)
        spans = tracer.spans()
        assert len(spans) == 2
        assert shopper.read_in(" ".join(spans)) == []


async def test_no_session_id_in_a_span(library: Any, tracer: Tracer) -> None:
    """The address of any session's context names the session, and leaves no span; that of the service token does."""
    emporix = FakeEmporix()
    session = emporix.new_session()
    async with emporix.client(library, base_url=URL) as client:
        tracer.watch(client)
        options = {"base_url": URL, "http_client": client}
        token = ServiceToken("acme", client_id="backend", client_secret=FakeEmporix.client_secret, **options)
        await ManagedContextClient("acme", service_token=token, **options).get(session.session_id)
        (seen,) = tracer.spans()
        assert "/oauth/token" in seen
        assert FakeEmporix.client_secret not in seen


async def test_what_telemetry_says(library: Any) -> None:
    """Our own spans and metrics tell of every call, also of those with secrets, and never by an address."""
    recorder, emporix = Recorder(), FakeEmporix()
    async with emporix.client(library, base_url=URL) as client:
        options: Any = {"base_url": URL, "http_client": client, "telemetry": recorder.telemetry}
        tokens = ShopperTokens("acme", "storefront", **options)
        guest = await tokens.begin()
        kim = await tokens.log_in(*KIM, guest_token=(await tokens.begin()).access_token)
        shopper = Canaries(emporix, tokens, guest, kim)
        for operation in OPERATIONS:
            with suppress(SessionContextError):
                await shopper.call(operation)
        service = ServiceToken("acme", client_id="backend", client_secret=FakeEmporix.client_secret, **options)
        session = emporix.new_session()
        await ManagedContextClient("acme", service_token=service, **options).get(session.session_id)

    told = everything(recorder)
    operations = {str((span.attributes or {})["emporix.session_context.operation"]) for span in recorder.spans}
    assert operations >= {*OPERATIONS, "managed.get", "oauth.token"}
    assert all("url.template" in (span.attributes or {}) for span in recorder.spans)
    assert shopper.read_in(told) == []
    assert session.session_id not in told
    assert FakeEmporix.client_secret not in told
    recorder.close()


async def test_nobody_traces(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where OpenTelemetry is not there, nothing is missing."""
    monkeypatch.delitem(sys.modules, "opentelemetry.context")
    async with FakeEmporix().client(library, base_url=URL) as client:
        assert (await ShopperTokens("acme", "storefront", base_url=URL, http_client=client).begin()).session_id


async def test_secrets_are_not_kept(library: Any) -> None:
    """A client remembers addresses that come again, and none that holds a secret."""
    async with FakeEmporix().client(library, base_url=URL) as client:
        tokens = ShopperTokens("acme", "storefront", base_url=URL, http_client=client)
        guest = await tokens.begin()
        await tokens.refresh_guest(guest.refresh_token or "")
        transport: Any = tokens._http._clients.current()
        assert not any("?" in url for url in transport._urls)
