"""Spans and metrics for OpenTelemetry (extra ``otel``): what sessions cost, and how the platform answers.

Whatever is written down is in the tables of `ATTRIBUTES`: names, numbers and durations, and nothing of a shopper. Only
the API is needed here; without an SDK nothing is recorded.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextvars import Context, ContextVar
from dataclasses import dataclass, replace
from typing import Final
from weakref import WeakKeyDictionary, WeakSet

from .emporix.routes import ROUTES
from .events import ContextEvent
from .health import Monitored
from .observing import Call

try:
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context as TraceContext
except ImportError as error:  # pragma: no cover - tested from a wheel without extras
    raise ImportError("Install session-ctx-middleware[otel] to use session_ctx_middleware.telemetry.") from error

__all__ = ["Telemetry"]

SCOPE: Final = "session_ctx_middleware"
SCHEMA: Final = "https://opentelemetry.io/schemas/1.44.0"

LOAD: Final = "emporix.session_context.load"
COMMIT: Final = "emporix.session_context.commit"

LOOKUPS: Final = "emporix.session_context.cache.lookups"
LOAD_DURATION: Final = "emporix.session_context.load.duration"
COMMIT_DURATION: Final = "emporix.session_context.commit.duration"
EVENTS: Final = "emporix.session_context.events"
HEALTHY: Final = "emporix.session_context.healthy"
CALL_DURATION: Final = "http.client.request.duration"

CACHE_RESULT: Final = "emporix.session_context.cache.result"
COMMIT_RESULT: Final = "emporix.session_context.commit.result"
COMMIT_ATTEMPTS: Final = "emporix.session_context.commit.attempts"
EVENT_NAME: Final = "emporix.session_context.event.name"
COMPONENT: Final = "emporix.session_context.component"
OPERATION: Final = "emporix.session_context.operation"
METHOD: Final = "http.request.method"
STATUS: Final = "http.response.status_code"
ADDRESS: Final = "server.address"
PORT: Final = "server.port"
TEMPLATE: Final = "url.template"
ERROR: Final = "error.type"

_HTTP: Final = (METHOD, TEMPLATE, ADDRESS, PORT, STATUS, ERROR, OPERATION)
ATTRIBUTES: Final[Mapping[str, Sequence[str]]] = {
    LOOKUPS: (CACHE_RESULT,),
    LOAD_DURATION: (CACHE_RESULT,),
    COMMIT_DURATION: (COMMIT_RESULT,),
    EVENTS: (EVENT_NAME,),
    HEALTHY: (COMPONENT,),
    CALL_DURATION: _HTTP,
    LOAD: (CACHE_RESULT,),
    COMMIT: (COMMIT_RESULT, COMMIT_ATTEMPTS, STATUS, ERROR),
}
"""What each metric and span may have; the spans of calls have what their metric has."""
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds, as the semantic conventions recommend for HTTP."""

COMMITTED: Final = frozenset({"commit.applied", "commit.already", "commit.parked", "commit.refused", "commit.failed"})
UNSENT: Final = frozenset({"commit.refused", "commit.failed"})

Value = str | int
Attributes = dict[str, Value]


@dataclass(frozen=True, slots=True)
class _Origin:
    """The span of whoever has begun work that outlasts it.

    Args:
        span: as the API has it.
        is_late: whether nobody waits for the work.
    """

    span: trace.Span
    is_late: bool

    @property
    def is_over(self) -> bool:
        """Whether the span has no more children: nobody waits, or it has ended. Not every SDK tells the latter."""
        return self.is_late or getattr(self.span, "end_time", None) is not None


_origin: Final[ContextVar[_Origin | None]] = ContextVar("session_ctx_middleware_origin", default=None)
"""Set once in the context of each detached task, which ends with the task: nothing has to be reset."""


class _Asked:
    """What a provider asks for when it exports, so that a page from the cache costs no call of an SDK.

    An SDK hears only the first instrument of a name: whoever shares a provider shares this.

    Args:
        meter: of the provider.
    """

    def __init__(self, meter: metrics.Meter) -> None:
        self.middlewares: WeakSet[Monitored] = WeakSet()
        self._lookups: Counter[str] = Counter()
        self._lock = threading.Lock()
        loads, well = "Loads, by what the cache had for them.", "1 while all middlewares of the process are well."
        meter.create_observable_counter(LOOKUPS, [lambda _: self._loads()], "{lookup}", loads)
        meter.create_observable_gauge(HEALTHY, [lambda _: self._health()], "{component}", well)

    def count(self, result: str) -> None:
        """Count a load by what the cache had for it."""
        with self._lock:  # worker threads load, too
            self._lookups[result] += 1

    def _loads(self) -> Iterable[metrics.Observation]:
        with self._lock:
            return [metrics.Observation(number, {CACHE_RESULT: result}) for result, number in self._lookups.items()]

    def _health(self) -> Iterable[metrics.Observation]:
        each = [middleware.health() for middleware in list(self.middlewares)]
        for component in ("emporix", "breaker", "store") if each else ():
            well = all(getattr(health, component) for health in each)
            yield metrics.Observation(int(well), {COMPONENT: component})


_asked: Final[WeakKeyDictionary[object, _Asked]] = WeakKeyDictionary()
"""By provider; the module of the API stands for the global one, which may come later."""


class Telemetry:
    """Tells OpenTelemetry of loads, commits, calls and events: the ``telemetry=...`` of a middleware or of a client.

    A call is a child of the span that waits for it. What nobody waits for, and what has outlasted the span of its
    request, begins a trace of its own that is linked to it.

    Args:
        tracer_provider: where spans go; the global one by default.
        meter_provider: where metrics go; the global one by default.
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider, schema_url=SCHEMA)
        meter = metrics.get_meter(SCOPE, meter_provider=meter_provider, schema_url=SCHEMA)
        self._events = meter.create_counter(EVENTS, "{event}", "What happened, by its name.")
        self._loads = _seconds(meter, LOAD_DURATION, "Loads that had to wait.")
        self._commits = _seconds(meter, COMMIT_DURATION, "Commits.")
        self._calls = _seconds(meter, CALL_DURATION, "Duration of HTTP client requests.")
        provider: object = meter_provider or metrics
        asked = _asked.get(provider)
        if asked is None:
            asked = _asked[provider] = _Asked(meter)
        self._asked = asked

    def watch(self, monitored: Monitored, /) -> None:
        """Tell of the health of a middleware from now on."""
        self._asked.middlewares.add(monitored)

    def heard(self, event: ContextEvent, /) -> None:
        """Count an event; a load that had to wait, and a commit, leave a span as well."""
        if event.name == "context.loaded":
            self._loaded(event)
            return
        self._events.add(1, {EVENT_NAME: event.name})
        if event.name in COMMITTED and event.operation != "parked":
            self._committed(event)

    def called(self, call: Call, /) -> None:
        """Count a call that has ended just now, and leave its span."""
        attributes = _of_call(call)
        self._calls.record(call.seconds, attributes)
        context, links = _place()
        name = f"{call.method} {attributes[TEMPLATE]}" if TEMPLATE in attributes else call.method
        self._leave(name, call.seconds, attributes, kind=trace.SpanKind.CLIENT, context=context, links=links)

    def detached(self, *, awaited: bool) -> Context:
        """Return context variables for detached work: nothing but whose span it may belong to."""
        context, span, origin = Context(), trace.get_current_span(), _origin.get()
        if span.get_span_context().is_valid:
            context.run(_origin.set, _Origin(span, not awaited))
        elif origin is not None:
            context.run(_origin.set, replace(origin, is_late=origin.is_late or not awaited))
        return context

    def _loaded(self, event: ContextEvent) -> None:
        self._asked.count(event.cache)
        if event.duration:  # else nothing had to be awaited
            attributes: Attributes = {CACHE_RESULT: event.cache}
            self._loads.record(event.duration, attributes)
            context, links = _place()
            self._leave(LOAD, event.duration, attributes, context=context, links=links)

    def _committed(self, event: ContextEvent) -> None:
        attributes: Attributes = {COMMIT_RESULT: event.name.removeprefix("commit.")}
        self._commits.record(event.duration, attributes)
        attributes[COMMIT_ATTEMPTS] = event.attempts
        if event.status is not None:
            attributes[STATUS] = event.status
        if event.name in UNSENT:
            attributes[ERROR] = event.outcome
        context, links = _place()
        self._leave(COMMIT, event.duration, attributes, context=context, links=links)

    def _leave(
        self,
        name: str,
        seconds: float,
        attributes: Attributes,
        *,
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
        context: TraceContext | None,
        links: Sequence[trace.Link],
    ) -> None:
        """Leave a span that ends now; it was never the current one, so that nothing of a request depends on it."""
        now = time.time_ns()
        span = self._tracer.start_span(
            name, context, kind, attributes, links, start_time=now - int(seconds * 1_000_000_000)
        )
        if ERROR in attributes:
            span.set_status(trace.StatusCode.ERROR)
        span.end(now)


def _of_call(call: Call) -> Attributes:
    attributes: Attributes = {METHOD: call.method, ADDRESS: call.host, PORT: call.port, OPERATION: call.operation}
    if call.operation in ROUTES:
        attributes[TEMPLATE] = ROUTES[call.operation]
    if call.status is not None:
        attributes[STATUS] = call.status
    failed = call.error or (str(call.status) if call.status is not None and call.status >= 400 else "")
    return {**attributes, ERROR: failed} if failed else attributes


def _place() -> tuple[TraceContext | None, Sequence[trace.Link]]:
    """Return the context that a span of this task begins in, and what it is linked to."""
    if trace.get_current_span().get_span_context().is_valid:
        return None, ()
    origin = _origin.get()
    if origin is None:
        return None, ()
    if origin.is_over:
        return None, (trace.Link(origin.span.get_span_context()),)
    return trace.set_span_in_context(origin.span), ()


def _seconds(meter: metrics.Meter, name: str, description: str) -> metrics.Histogram:
    return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=BUCKETS)
