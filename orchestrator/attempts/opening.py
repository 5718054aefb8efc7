"""An attempt as a context: its slot, its stream and its span begin and end with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf

from opentelemetry.trace import Span, SpanKind

from mesh.clock import Clock
from mesh.errors import NodeLost
from mesh.telemetry import spans
from mesh.transport.base import AttemptEvent, AttemptStream, Finished, Refused
from orchestrator.attempts.attempt import AttemptRun, Broken, Outcome
from orchestrator.attempts.course import Course
from orchestrator.attempts.stall import first_token_s
from orchestrator.picture.fleet import Fleet
from orchestrator.slots.capacity import Reservation


@contextmanager
def opened(
    fleet: Fleet,
    course: Course,
    slot: Reservation,
    number: int,
    clock: Clock,
    *,
    hedge: bool = False,
) -> Iterator[AttemptRun]:
    """Attempt ``number`` of the request, on its way to the node of the slot, which is its own from
    here on. Leaving it cancels what is open and gives the slot back."""
    row = slot.candidate
    with (
        slot,
        spans.detached(
            "attempt",
            parent=course.span,
            kind=SpanKind.CLIENT,
            attributes={
                "squadron.attempt": number,
                "squadron.hedge": hedge,
                "squadron.node.id": row.node,
                "squadron.node.name": row.node_name,
                "squadron.placement.reason": row.reason,
                "squadron.delivered_tokens": course.begun_at,
                "gen_ai.request.model": row.model,
            },
        ) as span,
    ):
        left = max(0.001, course.deadline - clock.now())
        attempt = course.collector.attempt(row.model, number, left, spans.traceparent_of(span))
        stream: AttemptStream
        try:
            stream = fleet.open(row.node, attempt)
        except NodeLost as error:
            stream = _LostStream(error)
        deadline = course.deadline
        # Whoever goes on computes what was delivered, too: a few bytes a token.
        prompt = course.work.prompt_bytes + 4 * course.begun_at
        run = AttemptRun(
            row,
            slot.model,
            stream,
            course.collector,
            clock,
            deadline=deadline,
            give_back=slot.release,
            first_s=inf if course.work.embeds else first_token_s(prompt, slot.model),
        )
        try:
            yield run
        finally:
            stream.cancel()
            if hedge:
                span.set_attribute("squadron.hedge.won", course.newest is run)
            _note_end(span, run.outcome, course.collector.delivered)


def _note_end(span: Span, outcome: Outcome | None, delivered: int) -> None:
    match outcome:
        case Broken(error=error):
            spans.failed(span, error)
        case Refused(code=code):
            span.set_attribute("squadron.refused", code)
        case Finished(reason=reason, usage=usage):
            span.set_attribute("gen_ai.response.finish_reasons", [reason])
            span.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
            span.set_attribute("gen_ai.usage.output_tokens", delivered)


class _LostStream:
    """The stream of an attempt that could not be opened: lost before its first event."""

    def __init__(self, error: NodeLost) -> None:
        self._error = error

    def __aiter__(self) -> _LostStream:
        return self

    async def __anext__(self) -> AttemptEvent:
        raise self._error

    def grant(self, pieces: int) -> None:
        pass

    def cancel(self) -> None:
        pass

    async def __aenter__(self) -> _LostStream:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass
