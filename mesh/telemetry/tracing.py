"""One trace a request, over every process: W3C trace context in and out, OTLP when configured.

Span names follow OpenTelemetry's GenAI semantic conventions where they have one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from mesh.telemetry import spans
from mesh.version import __version__

_PROPAGATOR = TraceContextTextMapPropagator()


def configure(service: str, *, instance: str, otlp_endpoint: str | None) -> Callable[[], None]:
    """Sets this process's tracer provider, once; returns what flushes and stops it (bounded, 2 s).

    ``otlp_endpoint``: ``http://host:4317`` (OTLP over gRPC), None: spans get ids and go nowhere.
    """
    resource = Resource.create(
        {
            "service.namespace": "squadron",
            "service.name": service,
            "service.instance.id": instance,
            "service.version": __version__,
        }
    )
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    if otlp_endpoint:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(
            endpoint=otlp_endpoint, insecure=otlp_endpoint.startswith("http://"), timeout=2
        )
        provider.add_span_processor(
            BatchSpanProcessor(exporter, max_queue_size=4096, schedule_delay_millis=500)
        )
    trace.set_tracer_provider(provider)

    def shut_down() -> None:
        provider.force_flush(2_000)
        provider.shutdown()

    return shut_down


@contextmanager
def span(
    name: str,
    *,
    traceparent: str = "",
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Iterator[Span]:
    """A span under ``traceparent`` if given, else under the current one; errors mark it."""
    parent = _PROPAGATOR.extract({"traceparent": traceparent}) if traceparent else None
    tracer = trace.get_tracer("squadron", __version__)
    with tracer.start_as_current_span(
        name, context=parent, kind=kind, attributes=attributes, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except Exception as error:
            spans.failed(current, error)
            raise


def current_traceparent() -> str:
    """The current span as a W3C ``traceparent`` header, "" when there is none."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, otel_context.get_current())
    return carrier.get("traceparent", "")


def trace_id(current: Span) -> str:
    """32 hex digits."""
    return format(current.get_span_context().trace_id, "032x")
