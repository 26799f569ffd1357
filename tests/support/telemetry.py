"""What OpenTelemetry's SDK has been told, in memory."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from session_ctx_middleware.telemetry import Telemetry

__all__ = ["Recorder", "everything"]


class Recorder:
    """Providers whose spans and metrics stay in memory.

    Args:
        sampler: decides which spans there are; all of them by default.
    """

    def __init__(self, sampler: Sampler | None = None) -> None:
        self._exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider(sampler, shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.telemetry = Telemetry(tracer_provider=self.tracers, meter_provider=self.meters)
        self.tracer = self.tracers.get_tracer("shop")

    def close(self) -> None:
        self.tracers.shutdown()
        self.meters.shutdown()

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, in that order."""
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics so far, by their names."""
        read = self._reader.get_metrics_data()
        scopes = [scope for resource in (read.resource_metrics if read else ()) for scope in resource.scope_metrics]
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def points(self, name: str) -> dict[tuple[Any, ...], Any]:
        """Return what a metric has: its values, or how many there were, by the values of its attributes."""
        metric = self.metrics.get(name)
        points = metric.data.data_points if metric else ()
        return {
            tuple(value for _, value in sorted(point.attributes.items())): getattr(
                point, "value", getattr(point, "count", None)
            )
            for point in points
        }


def everything(recorder: Recorder) -> str:
    """Return all that spans and metrics say, as text."""
    return "\n".join([*(span.to_json() for span in recorder.spans), *map(str, recorder.metrics.values())])
