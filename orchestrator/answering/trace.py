"""The outermost link: one span a request, and the request's id on every error."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from opentelemetry.trace import SpanKind

from mesh.errors import of_request
from mesh.stream import StreamEvent
from mesh.telemetry import spans
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
                    "gen_ai.request.max_tokens": request.sampling.max_tokens,
                    "gen_ai.request.temperature": request.sampling.temperature,
                },
            ) as span,
            of_request(request.id),
        ):
            async with aclosing(inner(ask.traced(span))) as events:
                async for event in events:
                    yield event

    return answer
