"""OpenTelemetry: what leaves a span or a count, what it is called, and that watching disturbs nobody."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from session_ctx_middleware import (
    CachePolicy,
    ConfigurationError,
    SessionContext,
    SessionContextMiddleware,
    get_session_context,
)
from session_ctx_middleware import emporix as emporix_package
from session_ctx_middleware.emporix import OwnContextClient
from session_ctx_middleware.emporix.http import ERRORS
from session_ctx_middleware.emporix.routes import ROUTES
from session_ctx_middleware.observing import Call
from session_ctx_middleware.telemetry import ATTRIBUTES, BUCKETS, Telemetry
from session_ctx_middleware.testing import FakeEmporix, Fault, routes
from session_ctx_middleware.testing.routes import find_route

from .support.asgi import middleware, never, scope_for
from .support.shop import Handler, Shop
from .support.telemetry import Recorder, everything

GET = "GET /session-context/{tenant}/me/context"
PATCH = "PATCH /session-context/{tenant}/me/context"
LOAD = "emporix.session_context.load"
COMMIT = "emporix.session_context.commit"
CALLS = "http.client.request.duration"
NAMES_OF_CALLS = re.compile(r'"([a-z]+\.[a-z_]+)"')

MakeShop = Callable[..., Shop]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    built = Recorder()
    yield built
    built.close()


async def page(ctx: SessionContext, _: Request) -> str:
    return (await ctx).currency or ""


def within(recorder: Recorder, handler: Handler) -> Handler:
    """Return a handler around which there is a span, as instrumentations of frameworks begin one."""

    async def traced(ctx: SessionContext, request: Request) -> Response | str | None:
        with recorder.tracer.start_as_current_span("request"):
            return await handler(ctx, request)

    return traced


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def linked_to(span: ReadableSpan) -> list[int]:
    return [link.context.span_id for link in span.links]


def span_id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


async def test_lookups_by_result(make_shop: MakeShop, emporix: FakeEmporix, recorder: Recorder) -> None:
    """Every load counts, by what the cache had for it."""
    shop, session = make_shop(telemetry=recorder.telemetry), emporix.new_session(currency="EUR")
    for _ in range(3):
        await shop.visit(page, token=session.token)
    await shop.visit(page, token=emporix.new_session(exists=False).token)
    await shop.visit(page, token="unknown")
    emporix.fault("context.get", Fault(status=500), times=None)
    await shop.visit(page, token=emporix.new_session().token)
    await asyncio.sleep(61)
    await shop.visit(page, token=session.token)

    metric = recorder.metrics["emporix.session_context.cache.lookups"]
    assert (metric.unit, metric.data.is_monotonic) == ("{lookup}", True)
    assert recorder.points(metric.name) == {
        ("hit",): 2,
        ("miss",): 1,
        ("missing",): 1,
        ("rejected",): 1,
        ("degraded",): 1,
        ("stale",): 1,
    }


async def test_a_hit_leaves_no_span(make_shop: MakeShop, emporix: FakeEmporix, recorder: Recorder) -> None:
    """Spans are for what had to wait: a page from the cache has none of ours."""
    shop, session = make_shop(telemetry=recorder.telemetry), emporix.new_session()
    emporix.fault("context.get", Fault(delay=0.2), times=None)
    await shop.visit(page, token=session.token)
    before = len(recorder.spans)

    await shop.visit(within(recorder, page), token=session.token)

    assert [span.name for span in recorder.spans[before:]] == ["request"]
    assert recorder.points("emporix.session_context.load.duration") == {("miss",): 1}


async def test_a_call_by_its_conventions(make_shop: MakeShop, emporix: FakeEmporix, recorder: Recorder) -> None:
    """A call has the stable names of HTTP clients, its template in place of its address, and its duration."""
    shop = make_shop(telemetry=recorder.telemetry, base_url="https://api.example")
    emporix.fault("context.get", Fault(delay=0.2), times=1)
    await shop.visit(page, token="unknown")

    (span,) = recorder.named(GET)
    expected = {
        "http.request.method": "GET",
        "url.template": "/session-context/{tenant}/me/context",
        "server.address": "api.example",
        "server.port": 443,
        "http.response.status_code": 401,
        "error.type": "401",
        "emporix.session_context.operation": "context.get",
    }
    assert dict(span.attributes or {}) == expected
    assert (span.kind, span.status.status_code) == (trace.SpanKind.CLIENT, trace.StatusCode.ERROR)
    assert (span.end_time or 0) - (span.start_time or 0) == pytest.approx(0.2e9, rel=0.1)
    (point,) = recorder.metrics[CALLS].data.data_points
    assert dict(point.attributes) == expected
    assert (recorder.metrics[CALLS].unit, point.explicit_bounds) == ("s", BUCKETS)
    assert point.sum == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [
        (None, 200, None),
        (Fault(status=503), 503, "503"),
        (Fault(drop="before"), None, "connection_failed"),
        (Fault(hang=True), None, "timeout"),
        (Fault(body=b"x" * 300_000), 200, "MalformedAnswer"),
        (Fault(body=b"no json"), 200, None),
    ],
)
async def test_how_a_call_ends(
    make_shop: MakeShop, emporix: FakeEmporix, fault: Fault | None, status: int | None, error: str | None
) -> None:
    """A call without an answer says why in a word, one with an answer has its status."""
    recorder = Recorder()
    shop = make_shop(telemetry=recorder.telemetry)
    if fault is not None:
        emporix.fault("context.get", fault, times=None)
    await shop.visit(page, token=emporix.new_session().token)
    await asyncio.sleep(30)

    attributes = dict(recorder.named(GET)[0].attributes or {})
    assert (attributes.get("http.response.status_code"), attributes.get("error.type")) == (status, error)
    recorder.close()


def test_every_reason_has_a_word() -> None:
    """Whatever keeps an answer away counts as a word without blanks."""
    assert len(set(ERRORS.values())) == len(ERRORS)
    assert all(word.isidentifier() for word in ERRORS.values())


async def test_a_commit(make_shop: MakeShop, emporix: FakeEmporix, recorder: Recorder) -> None:
    """A commit has its span, with what became of it, and is timed by that."""
    shop, session = make_shop(telemetry=recorder.telemetry), emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(status=422, delay=0.1), times=1)
    await shop.switch(session.token, currency="USD")
    await shop.switch(session.token, currency="CHF")

    refused, applied = recorder.named(COMMIT)
    assert dict(refused.attributes or {}) == {
        "emporix.session_context.commit.result": "refused",
        "emporix.session_context.commit.attempts": 1,
        "http.response.status_code": 422,
        "error.type": "ChangeRefused",
    }
    assert refused.status.status_code is trace.StatusCode.ERROR
    assert applied.attributes == {
        "emporix.session_context.commit.result": "applied",
        "emporix.session_context.commit.attempts": 1,
    }
    assert recorder.points("emporix.session_context.commit.duration") == {("refused",): 1, ("applied",): 1}
    assert recorder.metrics["emporix.session_context.commit.duration"].unit == "s"


async def test_events_are_counted(make_shop: MakeShop, emporix: FakeEmporix, recorder: Recorder) -> None:
    """Every event counts by its name; a load is a lookup instead."""
    shop = make_shop(telemetry=recorder.telemetry)

    async def leaky(ctx: SessionContext, _: Request) -> Response:
        return PlainTextResponse((await ctx).currency, headers={"cache-control": "public"})

    await shop.visit(leaky, token=emporix.new_session(currency="EUR").token)

    assert recorder.points("emporix.session_context.events") == {("leak.prevented",): 1}
    assert recorder.metrics["emporix.session_context.events"].unit == "{event}"


async def test_health(make_shop: MakeShop, emporix: FakeEmporix, recorder: Recorder) -> None:
    """A gauge says what is well, of all middlewares together."""
    shop, other = make_shop(telemetry=recorder.telemetry), make_shop(telemetry=recorder.telemetry)
    sharing = Telemetry(tracer_provider=recorder.tracers, meter_provider=recorder.meters)
    third = make_shop(telemetry=sharing)
    token = emporix.new_session().token
    for each in (shop, other, third):
        await each.visit(page, token=token)
    name = "emporix.session_context.healthy"
    assert recorder.points(name) == {("emporix",): 1, ("breaker",): 1, ("store",): 1}

    emporix.fault("context.get", Fault(status=500), times=None)
    await third.visit(page, token=emporix.new_session().token)

    assert recorder.points(name) == {("emporix",): 0, ("breaker",): 1, ("store",): 1}
    assert recorder.metrics[name].unit == "{component}"


async def test_what_a_request_waits_for_is_its_child(
    make_shop: MakeShop, emporix: FakeEmporix, recorder: Recorder
) -> None:
    """Load, commit and their calls are children of the span that waits for them."""
    shop, session = make_shop(telemetry=recorder.telemetry), emporix.new_session(currency="EUR")
    for operation in ("context.get", "context.patch"):
        emporix.fault(operation, Fault(delay=0.1), times=None)

    async def endpoint(ctx: SessionContext, _: Request) -> str:
        (await ctx).switch(currency="USD")
        await ctx.commit()
        return "done"

    await shop.visit(within(recorder, endpoint), token=session.token)

    (request,) = recorder.named("request")
    names = {span.name for span in recorder.spans if parent_of(span) == span_id(request)}
    assert names == {GET, LOAD, PATCH, COMMIT}
    assert [span.links for span in recorder.spans if span is not request] == [()] * 4


async def test_one_call_for_many_requests(make_shop: MakeShop, emporix: FakeEmporix, recorder: Recorder) -> None:
    """Where many requests wait for one call, it is a child of the first one's span; each has its own load."""
    shop, token = make_shop(telemetry=recorder.telemetry), emporix.new_session().token
    emporix.fault("context.get", Fault(delay=0.1), times=None)

    await asyncio.gather(*(shop.visit(within(recorder, page), token=token) for _ in range(3)))

    requests = {span_id(span) for span in recorder.named("request")}
    (call,) = recorder.named(GET)
    assert parent_of(call) in requests
    assert {parent_of(span) for span in recorder.named(LOAD)} == requests


async def test_a_background_refresh_is_linked(make_shop: MakeShop, emporix: FakeEmporix, recorder: Recorder) -> None:
    """What nobody waits for begins a trace of its own, linked to the span of the request that caused it."""
    shop = make_shop(telemetry=recorder.telemetry, cache=CachePolicy(ttl=1, jitter=0))
    token = emporix.new_session().token
    await shop.visit(page, token=token)
    await asyncio.sleep(2)

    async def slow(ctx: SessionContext, _: Request) -> str:
        assert (await ctx).is_stale
        await asyncio.sleep(1)  # the refresh ends meanwhile
        return "done"

    await shop.visit(within(recorder, slow), token=token)

    (request,) = recorder.named("request")
    call = recorder.named(GET)[-1]
    assert call.end_time is not None
    assert (parent_of(call), linked_to(call)) == (None, [span_id(request)])
    assert call.context is not None
    assert request.context is not None
    assert call.context.trace_id != request.context.trace_id


async def test_what_outlasts_its_request_is_linked(
    make_shop: MakeShop, emporix: FakeEmporix, recorder: Recorder
) -> None:
    """A call that ends after the span of its request has, is linked to it, and not its child."""
    shop = make_shop(telemetry=recorder.telemetry)
    emporix.fault("context.get", Fault(delay=3), times=None)

    await shop.visit(within(recorder, page), token=emporix.new_session().token)
    await asyncio.sleep(10)

    (request,), (call,), (load,) = recorder.named("request"), recorder.named(GET), recorder.named(LOAD)
    assert (parent_of(call), linked_to(call)) == (None, [span_id(request)])
    assert parent_of(load) == span_id(request)


async def test_a_cancelled_request(make_shop: MakeShop, emporix: FakeEmporix, recorder: Recorder) -> None:
    """A request that is cancelled while it commits leaves its call a link, and no context variable behind."""
    shop, session = make_shop(telemetry=recorder.telemetry), emporix.new_session(currency="EUR")
    emporix.fault("context.patch", Fault(delay=1), times=1)

    async def endpoint(ctx: SessionContext, _: Request) -> None:
        ctx.switch(currency="USD")
        await ctx.commit()

    task = asyncio.create_task(shop.visit(within(recorder, endpoint), token=session.token))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(10)

    (request,), (call,) = recorder.named("request"), recorder.named(PATCH)
    assert linked_to(call) == [span_id(request)]
    assert not trace.get_current_span().get_span_context().is_valid


async def test_streams_and_what_comes_after(make_shop: MakeShop, emporix: FakeEmporix, recorder: Recorder) -> None:
    """A commit from a stream and one from a background task are told, too."""
    shop, session = make_shop(telemetry=recorder.telemetry), emporix.new_session(currency="EUR")

    async def endpoint(ctx: SessionContext, _: Request) -> Response:
        await ctx

        async def body() -> AsyncIterator[bytes]:
            yield b"x"
            async with ctx.late_changes():
                ctx.switch(currency="USD")

        async def later() -> None:
            async with ctx.late_changes():
                ctx.switch(currency="CHF")

        return StreamingResponse(body(), background=BackgroundTask(later))

    await shop.visit(endpoint, token=session.token)

    assert recorder.points("emporix.session_context.commit.duration") == {("applied",): 2}
    assert len(recorder.named(COMMIT)) == 2


async def test_websocket(emporix: FakeEmporix, http_library: Any, recorder: Recorder) -> None:
    """A WebSocket loads and commits within the span of its connection, and what it leaves uncommitted is counted."""
    token = emporix.new_session(currency="EUR").token
    emporix.fault("context.get", Fault(delay=0.1), times=1)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with recorder.tracer.start_as_current_span("connection"):
            ctx = await scope["state"]["session_ctx"]
            ctx.switch(currency="USD")
            await ctx.commit()
            ctx.switch(currency="CHF")

    async def send(_: Any) -> None:
        raise AssertionError

    client = emporix.client(http_library)
    options: Any = {"telemetry": recorder.telemetry, "server_timing": True}
    wrapped = middleware(app, emporix, http_library, http_client=client, **options)
    await wrapped(scope_for(token, type="websocket"), never, send)
    await client.aclose()

    (connection,) = recorder.named("connection")
    children = {span.name for span in recorder.spans if parent_of(span) == span_id(connection)}
    assert children == {GET, LOAD, PATCH, COMMIT}
    assert recorder.points("emporix.session_context.events") == {("commit.applied",): 1, ("changes.uncommitted",): 1}


def test_a_synchronous_endpoint() -> None:
    """A load from a worker thread is within the span of its request, too."""
    recorder = Recorder()

    def endpoint(request: Request) -> Response:
        with recorder.tracer.start_as_current_span("request"):
            return PlainTextResponse(get_session_context(request).currency)

    emporix = FakeEmporix()
    session = emporix.new_session(currency="EUR")
    shop = SessionContextMiddleware(
        Starlette(routes=[Route("/", endpoint)]),
        tenant="acme",
        http_client=emporix.client(httpx2, base_url="http://localhost"),
        telemetry=recorder.telemetry,
    )
    with TestClient(shop) as browser:
        assert browser.get("/", headers={"Authorization": f"Bearer {session.token}"}).text == "EUR"

    (request,), (load,), (call,) = recorder.named("request"), recorder.named(LOAD), recorder.named(GET)
    assert (parent_of(load), parent_of(call)) == (span_id(request), span_id(request))
    recorder.close()


async def test_sampling_off(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Where no span is wanted there is none, also of calls that others have begun; counts stay."""
    recorder = Recorder(ParentBased(ALWAYS_OFF))
    shop = make_shop(telemetry=recorder.telemetry)

    await shop.visit(within(recorder, page), token=emporix.new_session().token)

    assert recorder.spans == []
    assert recorder.points("emporix.session_context.cache.lookups") == {("miss",): 1}
    recorder.close()


async def test_each_call_is_counted_once(
    make_shop: MakeShop, emporix: FakeEmporix, http_library: Any, recorder: Recorder
) -> None:
    """An HTTP client that is instrumented as well tells of the shop's own calls alone."""
    kind = HTTPX2ClientInstrumentor if http_library.__name__ == "httpx2" else HTTPXClientInstrumentor
    shop = make_shop(telemetry=recorder.telemetry)
    kind.instrument_client(shop.upstream_client, tracer_provider=recorder.tracers)

    await shop.visit(page, token=emporix.new_session().token)
    assert [span.name for span in recorder.spans] == [GET]

    await shop.upstream_client.get("http://emporix.test/site/acme/sites")
    assert len(recorder.spans) == 2


async def test_a_client_without_a_middleware(emporix: FakeEmporix, http_library: Any, recorder: Recorder) -> None:
    """Clients of the platform take it, too, and survive one that raises."""
    token = emporix.new_session(currency="EUR").token
    async with emporix.client(http_library, base_url="http://localhost:8000") as http:
        for telemetry in (recorder.telemetry, Broken()):
            client = OwnContextClient("acme", base_url="http://localhost:8000", http_client=http, telemetry=telemetry)
            assert (await client.get(token)).currency == "EUR"

    (span,) = recorder.named(GET)
    assert (span.attributes or {})["server.port"] == 8000


class Broken(Telemetry):
    """Raises wherever it can."""

    def watch(self, monitored: object, /) -> None:
        raise ValueError("secret")

    def heard(self, event: object, /) -> None:
        raise ValueError("secret")

    def called(self, call: Call, /) -> None:
        raise ValueError("secret")

    def detached(self, *, awaited: bool) -> Any:
        raise ValueError("secret")


async def test_broken_telemetry(make_shop: MakeShop, emporix: FakeEmporix, caplog: pytest.LogCaptureFixture) -> None:
    """Telemetry that raises disturbs no request; it is told as every hook that fails."""
    shop, session = make_shop(telemetry=Broken()), emporix.new_session(currency="EUR")

    assert (await shop.visit(page, token=session.token)).text == "EUR"
    assert (await shop.switch(session.token, currency="USD")).status_code == 200

    assert await shop.currency(session.token) == "USD"
    middleware: Any = shop.app.middleware_stack
    while not isinstance(middleware, SessionContextMiddleware):
        middleware = middleware.app
    assert middleware.stats()["hook.failed"] >= 5
    assert "hook.failed ValueError" in caplog.text
    assert "secret" not in caplog.text


class Raising(SpanProcessor):
    """A processor of spans as the SDK does not catch it."""

    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("no room")


async def test_broken_processor(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """A processor that raises in the request disturbs it no more."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Raising())
    shop, session = make_shop(telemetry=Telemetry(tracer_provider=provider)), emporix.new_session(currency="EUR")
    emporix.fault("context.get", Fault(delay=0.1), times=1)

    assert (await shop.visit(page, token=session.token)).text == "EUR"
    assert (await shop.switch(session.token, currency="USD")).status_code == 200


class Hanging(SpanExporter):
    """An exporter that takes for ever, until it is let go."""

    def __init__(self) -> None:
        self.asked, self.let_go = threading.Event(), threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.set()
        self.let_go.wait()
        return SpanExportResult.SUCCESS


async def test_hanging_exporter(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """An exporter that hangs behind a batch keeps no request waiting."""
    exporter, provider = Hanging(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=2, max_export_batch_size=1))
    shop = make_shop(telemetry=Telemetry(tracer_provider=provider))
    began = time.monotonic()
    try:
        for _ in range(20):
            assert (await shop.visit(page, token=emporix.new_session(currency="EUR").token)).text == "EUR"
        assert exporter.asked.wait(5)
        assert time.monotonic() - began < 5
    finally:
        exporter.let_go.set()
        provider.shutdown()


async def test_nobody_records(make_shop: MakeShop, emporix: FakeEmporix) -> None:
    """Without an SDK nothing is recorded, and everything works."""
    shop, session = make_shop(telemetry=Telemetry()), emporix.new_session(currency="EUR")

    assert (await shop.visit(page, token=session.token)).text == "EUR"
    assert (await shop.switch(session.token, currency="USD")).status_code == 200


@pytest.mark.parametrize("wrong", [True, Telemetry, "on", object()])
def test_wrong_telemetry(wrong: Any) -> None:
    """Whatever is no telemetry is refused when the middleware is built."""
    with pytest.raises(ConfigurationError, match="telemetry"):
        SessionContextMiddleware(lambda *_: None, tenant="acme", telemetry=wrong)  # type: ignore[arg-type]


async def test_only_what_is_allowed(make_shop: MakeShop, emporix: FakeEmporix, recorder: Recorder) -> None:
    """Spans and metrics have the attributes of their lists, and no others."""
    shop, session = make_shop(telemetry=recorder.telemetry), emporix.new_session(currency="EUR")
    for fault in (Fault(), Fault(status=500), Fault(status=422), Fault(delay=3)):
        for operation in ("context.get", "context.patch"):
            emporix.fault(operation, fault, times=1)
        await shop.visit(page, token=session.token)
        await shop.visit(page, token=emporix.new_session().token)
        await shop.switch(session.token, currency="USD")
        await asyncio.sleep(90)

    for span in recorder.spans:
        allowed = ATTRIBUTES[CALLS if span.kind is trace.SpanKind.CLIENT else span.name]
        assert set(span.attributes or {}) <= set(allowed)
    for name, metric in recorder.metrics.items():
        for point in metric.data.data_points:
            assert set(point.attributes) <= set(ATTRIBUTES[name])
    assert set(recorder.metrics) == set(ATTRIBUTES) - {LOAD, COMMIT}
    assert session.token not in everything(recorder)


def test_templates_are_those_of_the_platform() -> None:
    """Each call has the template that the fake platform answers at."""
    for operation, template in ROUTES.items():
        path = template.replace("{tenant}", "acme").replace("{", "").replace("}", "")
        found = filter(None, (find_route(method, path) for method in ("GET", "POST", "PUT", "PATCH", "DELETE")))

        assert operation in {route.operation for route, _ in found}


def test_every_call_has_a_template() -> None:
    """Every call that the clients of the platform make has one."""
    package = Path(emporix_package.__file__).parent
    said = {each for path in package.glob("*.py") for each in NAMES_OF_CALLS.findall(path.read_text("utf-8"))}
    known = set(NAMES_OF_CALLS.findall(Path(routes.__file__).read_text("utf-8")))

    assert said & known == set(ROUTES)


def test_forked_workers() -> None:
    """A process that is forked once the middleware is built serves as its parent would have."""
    code = (
        "import asyncio, os, sys\n"
        "import httpx2\n"
        "from starlette.applications import Starlette\n"
        "from starlette.middleware import Middleware\n"
        "from starlette.responses import PlainTextResponse\n"
        "from starlette.routing import Route\n"
        "from session_ctx_middleware import SessionContextMiddleware\n"
        "from session_ctx_middleware.testing import FakeEmporix\n"
        "from tests.support.telemetry import Recorder\n"
        "recorder, emporix = Recorder(), FakeEmporix()\n"
        "async def page(request):\n"
        "    return PlainTextResponse((await request.state.session_ctx).currency)\n"
        "client = emporix.client(httpx2, base_url='http://localhost')\n"
        "shop = SessionContextMiddleware(Starlette(routes=[Route('/', page)]), tenant='acme', http_client=client,\n"
        "                                telemetry=recorder.telemetry)\n"
        "async def visit():\n"
        "    headers = {'Authorization': 'Bearer ' + emporix.new_session(currency='EUR').token}\n"
        "    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(shop), base_url='http://shop') as browser:\n"
        "        return (await browser.get('/', headers=headers)).text\n"
        "child = os.fork()\n"
        "assert asyncio.run(visit()) == 'EUR'\n"
        "assert recorder.points('emporix.session_context.cache.lookups') == {('miss',): 1}\n"
        "if child:\n"
        "    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr
