"""Spans of streams, which are never the current span of any task.

A stream's parts run in whichever task asks for the next event, so a span that is attached to the
context in one part could be detached in another's. These carry their place in the trace by hand.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from mesh.types import FinishReason, Usage
from mesh.version import __version__

_PROPAGATOR = TraceContextTextMapPropagator()
_kept: tuple[trace.TracerProvider, trace.Tracer] | None = None


def start(
    name: str,
    *,
    parent: Span | None = None,
    traceparent: str = "",
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Span:
    """A span under ``parent``, else under the W3C ``traceparent``, else under the task's current
    one. The caller ends it."""
    if parent is not None:
        context = trace.set_span_in_context(parent)
    elif traceparent:
        context = _PROPAGATOR.extract({"traceparent": traceparent})
    else:
        context = otel_context.get_current()
    return _tracer().start_span(name, context=context, kind=kind, attributes=attributes)


def _tracer() -> trace.Tracer:
    """The provider's own; kept, since to find it again costs as much as the span itself."""
    global _kept
    provider = trace.get_tracer_provider()
    if _kept is None or _kept[0] is not provider:
        _kept = (provider, provider.get_tracer("squadron", __version__))
    return _kept[1]


@contextmanager
def detached(
    name: str,
    *,
    parent: Span | None = None,
    traceparent: str = "",
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Iterator[Span]:
    """``start``, ended when the context is left; an error marks it."""
    current = start(name, parent=parent, traceparent=traceparent, kind=kind, attributes=attributes)
    try:
        yield current
    except Exception as error:
        failed(current, error)
        raise
    finally:
        current.end()


def failed(span: Span, error: BaseException) -> None:
    """Marks the span as ended in ``error``."""
    span.set_attribute("error.type", getattr(error, "code", type(error).__name__))
    span.set_status(Status(StatusCode.ERROR, str(error)))


def finished(span: Span, reason: FinishReason, usage: Usage) -> None:
    """Says how an answer ended and what it took, as OpenTelemetry's GenAI conventions have it."""
    span.set_attributes(
        {
            "gen_ai.response.finish_reasons": (reason.value,),
            "gen_ai.usage.input_tokens": usage.prompt_tokens,
            "gen_ai.usage.output_tokens": usage.completion_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        }
    )


def traceparent_of(span: Span) -> str:
    """The W3C ``traceparent`` header of a child's parent, "" when the span is none."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
    return carrier.get("traceparent", "")


def fresh_trace() -> str:
    """A trace of its own where the client's process has no tracing: the mesh's spans are one trace
    in any case, and ``Done.trace_id`` names it."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
