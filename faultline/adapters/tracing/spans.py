"""OpenTelemetry behind our tracing: where spans go and which are kept."""

from __future__ import annotations

from contextlib import AbstractContextManager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from starlette.types import ASGIApp

from faultline import __version__
from faultline.adapters.tracing import Tracing
from faultline.adapters.tracing.jobs import TracedJobQueue
from faultline.adapters.tracing.messages import TracedBroker
from faultline.adapters.tracing.reloads import Reloads
from faultline.adapters.tracing.requests import TracedApp
from faultline.ports.broker import Broker
from faultline.ports.jobs import JobQueue


class OpenTelemetry(Tracing):
    """Makes spans of requests and messages.

    Parameters
    ----------
    service
        Its name in the traces, unless OTEL_SERVICE_NAME says another.
    ratio
        Part of the traces begun here that is kept. One that comes with a request or a message is
        kept when whoever began it keeps it.
    processor
        Takes the spans that end.
    """

    def __init__(self, service: str, ratio: float, processor: SpanProcessor) -> None:
        own = Resource.create({"service.name": f"faultline-{service}"})
        self._provider = TracerProvider(
            sampler=ParentBasedTraceIdRatio(ratio),
            resource=own.merge(OTELResourceDetector().detect()),
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("faultline", __version__)
        self._reloads = Reloads(self._tracer)

    def broker(self, broker: Broker) -> Broker:
        """Let messages carry the trace that they belong to, and be followed by it."""
        return TracedBroker(broker, self._tracer, self._reloads)

    def app(self, app: ASGIApp) -> ASGIApp:
        """Let each request be a span."""
        return TracedApp(app, self._tracer)

    def queue(self, queue: JobQueue) -> JobQueue:
        """Let jobs carry the trace of who asks for them, and be worked on within it."""
        return TracedJobQueue(queue, self._tracer)

    def reload(self, model_name: str, version: str) -> AbstractContextManager[None]:
        """Let the loading of a version be a span of the trace that an event told of it in."""
        return self._reloads.reload(model_name, version)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def exporting_to(endpoint: str, service: str, ratio: float) -> OpenTelemetry:
    """Spans in batches to an OTLP collector over HTTP, beside the work.

    What the collector does not take in time is lost; the work goes on.

    Parameters
    ----------
    endpoint
        The collector's base address, as OTEL_EXPORTER_OTLP_ENDPOINT has it.
    """
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    return OpenTelemetry(service, ratio, BatchSpanProcessor(exporter))
