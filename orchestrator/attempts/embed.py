"""Texts to vectors: from a request to one node's whole answer, by the attempts of answers."""

from __future__ import annotations

from contextlib import aclosing

from opentelemetry.trace import Span, SpanKind

from mesh.clock import Clock
from mesh.embedding import EMBEDDING, Embeddings, EmbedRequest
from mesh.errors import InternalError, of_request
from mesh.fleet.placement import specialty_of
from mesh.fleet.work import Work
from mesh.quarantine.marks import marks_of
from mesh.telemetry import spans
from mesh.transport.base import Finished
from mesh.types import Specialty
from mesh.validation import check_texts, check_timeout
from orchestrator.attempts.collect import VectorCollector
from orchestrator.attempts.course import Course
from orchestrator.attempts.failover import Failover
from orchestrator.picture.fleet import Fleet


class Embedder:
    """``failover``: of dispatch, which runs it. ``default_timeout_s``: of a request that names
    none; ``max_request_bytes``: of its texts."""

    def __init__(
        self,
        fleet: Fleet,
        failover: Failover,
        clock: Clock,
        *,
        default_timeout_s: float,
        max_request_bytes: int,
    ) -> None:
        self._fleet = fleet
        self._failover = failover
        self._clock = clock
        self._default_timeout_s = default_timeout_s
        self._max_request_bytes = max_request_bytes

    async def embed(
        self, request: EmbedRequest, *, granted_s: float | None = None, traceparent: str = ""
    ) -> Embeddings:
        """``granted_s``: what the caller's transport allows. ``traceparent``: the caller's W3C
        trace context. Cancelling it frees the node's slot.

        Raises ``InvalidRequest``, ``NotServed`` (``NoCandidate`` where nobody embeds),
        ``DeadlineExceeded`` and ``AttemptFailed``, each with the request's id.
        """
        arrived = self._clock.now()
        with (
            spans.detached(
                "orchestrator.embed",
                traceparent=traceparent,
                kind=SpanKind.SERVER,
                attributes={
                    "squadron.request.id": request.id,
                    "squadron.priority": request.priority,
                    "squadron.tenant": request.tenant,
                    "squadron.texts": len(request.texts),
                    "gen_ai.operation.name": "embeddings",
                },
            ) as span,
            of_request(request.id),
        ):
            check_texts(request.texts, max_bytes=self._max_request_bytes)
            check_timeout(request.timeout_s)
            self._failover.quarantine.check(lambda: marks_of((), texts=request.texts))
            timeout_s = request.timeout_s or self._default_timeout_s
            if granted_s is not None:
                timeout_s = min(timeout_s, granted_s)
            return await self._embedded(request, arrived=arrived, timeout_s=timeout_s, span=span)

    async def _embedded(
        self, request: EmbedRequest, *, arrived: float, timeout_s: float, span: Span
    ) -> Embeddings:
        collector = VectorCollector(request)
        course = Course(
            collector=collector,
            arrived=arrived,
            deadline=arrived + timeout_s,
            work=self._work(request, arrived),
            span=span,
        )
        async with aclosing(self._failover.events(course)) as events:
            async for _ in events:
                pass  # signs of life: vectors come whole
        row, end = course.run.row, course.run.outcome
        if not isinstance(end, Finished):
            raise InternalError("texts are embedded whose attempt has not finished")
        return Embeddings(
            data=collector.rows,
            dimension=collector.dimension,
            node=row.node,
            node_name=row.node_name,
            model=row.model,
            prompt_tokens=end.usage.prompt_tokens,
            attempts=course.attempts,
            queue_ms=1000.0 * course.queued_s,
            total_ms=1000.0 * (self._clock.now() - arrived),
            trace_id=format(span.get_span_context().trace_id, "032x"),
        )

    def _work(self, request: EmbedRequest, arrived: float) -> Work:
        specialty = request.specialty or (Specialty("") if request.model else EMBEDDING)
        return Work(
            # What a named model's work is called, in errors that say what was waited for.
            specialty=specialty or specialty_of(self._fleet.view, request.model) or EMBEDDING,
            named=True,
            model=request.model,
            # Each text has a context to itself, so it is the longest that must fit.
            prompt_bytes=max(len(text.encode("utf-8")) for text in request.texts),
            priority=request.priority,
            arrived=arrived,
            embeds=True,
        )
