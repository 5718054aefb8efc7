"""The outermost link: one span a request, and the request's id on every error."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from opentelemetry.trace import SpanKind

from mesh.errors import of_request
from mesh.stream import StreamEvent
from mesh.telemetry import spans
from mesh.types import SaidSampling
from orchestrator.answering.ask import Answer, Ask


def traced(inner: Answer) -> Answer:
    async def answer(ask: Ask) -> AsyncGenerator[StreamEvent, None]:
        request = ask.request
        with (
            spans.detached(
                "orchestrator.generate",
                traceparent=ask.traceparent,
                kind=SpanKind.SERVER,
                attributes={
                    "squadron.request.id": request.id,
                    "squadron.priority": request.priority,
                    "gen_ai.operation.name": "chat",
                    **_said(request.sampling),
                },
            ) as span,
            of_request(request.id),
        ):
            async with aclosing(inner(ask.traced(span))) as events:
                async for event in events:
                    yield event

    return answer


def _said(sampling: SaidSampling) -> dict[str, float]:
    """As the client said it; what it settled to is on the span of its sequence."""
    said = {"max_tokens": sampling.max_tokens, "temperature": sampling.temperature}
    return {f"gen_ai.request.{name}": value for name, value in said.items() if value is not None}
