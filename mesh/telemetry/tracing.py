"""One trace a request, over every process: W3C trace context in and out, OTLP when configured.

Span names follow OpenTelemetry's GenAI semantic conventions where they have one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from mesh.channel import channel_options
from mesh.telemetry import spans
from mesh.version import __version__


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
            endpoint=otlp_endpoint,
            insecure=otlp_endpoint.startswith("http://"),
            timeout=2,
            channel_options=tuple(channel_options()),  # type: ignore[arg-type]  # they are numbers
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
    with (
        spans.detached(name, traceparent=traceparent, kind=kind, attributes=attributes) as current,
        trace.use_span(current, set_status_on_exception=False),
    ):
        yield current


def current_traceparent() -> str:
    """The current span as a W3C ``traceparent`` header, "" when there is none."""
    return spans.traceparent_of(trace.get_current_span())


def trace_id(current: Span) -> str:
    """32 hex digits."""
    return format(current.get_span_context().trace_id, "032x")
