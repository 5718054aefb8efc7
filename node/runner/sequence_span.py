"""The span of one sequence in its runner, as OpenTelemetry's GenAI conventions have it."""

from __future__ import annotations

from opentelemetry.trace import Span

from mesh.telemetry import spans
from mesh.types import FinishReason, Usage
from node.engines.base import ModelSpec
from node.runner.messages import Opening


def start_span(spec: ModelSpec, opening: Opening) -> Span:
    """Begun when the sequence is opened; a child of the agent's span."""
    sampling = opening.sampling
    if opening.texts:
        return spans.start(
            f"embeddings {spec.id}",
            traceparent=opening.traceparent,
            attributes={
                "gen_ai.operation.name": "embeddings",
                "gen_ai.provider.name": "squadron",
                "gen_ai.request.model": spec.id,
                "squadron.texts": len(opening.texts),
            },
        )
    return spans.start(
        f"chat {spec.id}",
        traceparent=opening.traceparent,
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "squadron",
            "gen_ai.request.model": spec.id,
            "gen_ai.request.max_tokens": sampling.max_tokens or spec.context_length,
            "gen_ai.request.temperature": sampling.temperature,
            "gen_ai.request.top_p": sampling.top_p,
            "gen_ai.request.top_k": sampling.top_k,
            "gen_ai.request.stop_sequences": sampling.stop,
            "squadron.delivered_tokens": len(opening.delivered),
        },
    )


def describe_end(span: Span, reason: FinishReason, usage: Usage) -> None:
    """Says how it went and ends the span."""
    spans.finished(span, reason, usage)
    span.set_attribute("squadron.prefill_ms", usage.prefill_ms)
    span.set_attribute("squadron.decode_ms", usage.decode_ms)
    span.end()
