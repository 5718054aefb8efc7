"""From a decision to a finished answer: attempts, one after the other, that make one stream.

A refusal moves on to the next candidate; a failure sets the node aside and, if tokens were
delivered already, the next attempt goes on from exactly those. The client sees one gap-free,
duplicate-free stream or a typed error that says how many tokens came before it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from opentelemetry.trace import Span, SpanKind

from mesh.clock import Clock
from mesh.errors import (
    AttemptFailed,
    ContextOverflow,
    DeadlineExceeded,
    Draining,
    InternalError,
    InvalidRequest,
    NodeLost,
    NotServed,
    Overloaded,
    from_code,
)
from mesh.stream import Assigned, Done, StreamEvent
from mesh.telemetry import spans
from mesh.transport.base import Accepted, Attempt, Finished, Progress, Refused, Tokens
from mesh.types import Decision, Request, Specialty
from orchestrator.admission import Admission
from orchestrator.attempt import AttemptRun, Broken, Delivery, Outcome
from orchestrator.capacity import Reservation
from orchestrator.fleet import Fleet
from orchestrator.outlook import Work

# How long a request that lost its node waits for another, or for the same one to come back: a
# supervised node is up again within a few seconds, and the answer is worth that.
RECOVERY_S = 10.0


@dataclass(slots=True, kw_only=True)
class _Run:
    """What became of one request so far. Times are monotonic seconds."""

    request: Request
    arrived: float
    deadline: float
    work: Work
    span: Span
    delivery: Delivery = field(default_factory=Delivery)
    attempts: int = 0
    outcome: Outcome | None = None
    queued_s: float = 0.0
    first_token: float | None = None
    last_token: float = 0.0
    resumed: bool = False

    @property
    def delivered(self) -> str:
        count = len(self.delivery.pieces)
        return "1 token was delivered" if count == 1 else f"{count} tokens were delivered"


class Dispatch:
    """``max_attempts``: accepted or broken tries per request; refusals do not count."""

    def __init__(
        self,
        fleet: Fleet,
        admission: Admission,
        clock: Clock,
        *,
        max_attempts: int,
    ) -> None:
        self._fleet = fleet
        self._admission = admission
        self._clock = clock
        self._max_attempts = max_attempts

    async def generate(
        self,
        request: Request,
        decision: Decision,
        *,
        fallback: Specialty | None,
        arrived: float,
        deadline: float,
        span: Span,
    ) -> AsyncGenerator[StreamEvent, None]:
        """Yields ``Assigned``, ``Progress`` and ``Tokens``, and ``Done`` last.

        ``fallback``: the specialty that answers when nobody serves the decided one.
        ``arrived``, ``deadline``: monotonic seconds; ``span``: the parent of every attempt's. Close
        the generator to cancel: the node's slot is freed. Raises ``InvalidRequest``, ``NotServed``,
        ``DeadlineExceeded`` and ``AttemptFailed``.
        """
        work = work_of(request, decision, fallback, arrived)
        run = _Run(request=request, arrived=arrived, deadline=deadline, work=work, span=span)
        lost: AttemptFailed | None = None
        try:
            while True:
                reservation = self._admission.offer(run.work)
                if reservation is None:
                    begun = self._clock.now()
                    with self._admission.queue(run.work) as place:
                        if not place.served and not run.delivery.pieces:
                            yield Progress(phase="queued")
                        reservation = await place.reservation(deadline)
                    run.queued_s += self._clock.now() - begun
                with reservation:
                    async with aclosing(self._attempt(run, reservation)) as events:
                        async for event in events:
                            yield event
                match run.outcome:
                    case Finished() as finished:
                        self._fleet.succeeded(reservation.candidate.node)
                        yield _done(run, reservation, finished)
                        return
                    case Refused() as refused:
                        run.work = self._after_refusal(run.work, reservation, refused)
                    case Broken() as broken:
                        lost = self._after_failure(run, reservation, broken)
                    case None:
                        raise InternalError("an attempt ended without an outcome")
        except DeadlineExceeded as error:
            raise _too_late(error, run, self._clock.now()) from error
        except NotServed as error:
            if lost is None:
                raise
            raise _given_up(lost, run, f"nobody could go on: {error.message}") from error

    async def _attempt(
        self, run: _Run, reservation: Reservation
    ) -> AsyncGenerator[StreamEvent, None]:
        """One attempt's events; ``run.outcome`` is set once they end."""
        row = reservation.candidate
        number = run.attempts + 1
        delivered = tuple(run.delivery.pieces)
        run.outcome = None
        with spans.detached(
            "attempt",
            parent=run.span,
            kind=SpanKind.CLIENT,
            attributes={
                "squadron.attempt": number,
                "squadron.node.id": row.node,
                "squadron.node.name": row.node_name,
                "squadron.placement.reason": row.reason,
                "squadron.delivered_tokens": len(delivered),
                "gen_ai.request.model": row.model,
            },
        ) as span:
            attempt = Attempt(
                request_id=run.request.id,
                number=number,
                model=row.model,
                messages=run.request.messages,
                sampling=run.request.sampling,
                timeout_s=max(0.001, run.deadline - self._clock.now()),
                delivered=delivered,
                tokenizer_hash=run.delivery.tokenizer if delivered else "",
                traceparent=spans.traceparent_of(span),
            )
            async with aclosing(self._tried(run, reservation, attempt)) as events:
                async for event in events:
                    match event:
                        case Tokens():
                            run.last_token = self._clock.now()
                            if run.first_token is None:
                                run.first_token = run.last_token
                            yield event
                        case Accepted():
                            run.attempts = number
                            run.resumed = run.resumed or bool(delivered)
                            yield Assigned(
                                node=row.node,
                                node_name=row.node_name,
                                model=row.model,
                                attempt=number,
                            )
                        case Progress() if not delivered:
                            yield event
            match run.outcome:
                case Broken(error=error):
                    run.attempts = number
                    spans.failed(span, error)
                case Refused(code=code):
                    span.set_attribute("squadron.refused", code)
                case Finished(reason=reason, usage=usage):
                    span.set_attribute("gen_ai.response.finish_reasons", [reason])
                    span.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
                    span.set_attribute("gen_ai.usage.output_tokens", len(run.delivery.pieces))

    async def _tried(
        self, run: _Run, reservation: Reservation, attempt: Attempt
    ) -> AsyncGenerator[Accepted | Progress | Tokens, None]:
        try:
            stream = self._fleet.open(reservation.candidate.node, attempt)
        except NodeLost as error:
            run.outcome = Broken(error, blame=True)
            return
        async with stream:
            tries = AttemptRun(
                stream,
                run.delivery,
                self._clock,
                deadline=run.deadline,
                tokenizer=reservation.model.tokenizer_hash,
            )
            async with aclosing(tries.events()) as events:
                async for event in events:
                    yield event
            run.outcome = tries.outcome

    def _after_refusal(self, work: Work, reservation: Reservation, refused: Refused) -> Work:
        """The work as it is to be offered next. Raises what would be refused anywhere alike."""
        row = reservation.candidate
        error = from_code(refused.code, refused.message, node_id=row.node)
        match error:
            case ContextOverflow():
                larger = max(work.larger_than, reservation.model.context_length)
                return replace(work, larger_than=larger, overflow=error)
            case InvalidRequest() | DeadlineExceeded():
                raise error
            case Overloaded() | Draining():
                self._fleet.refused(row.node, row.model, refused.retry_after_s)
                return work
            case _:
                # It will say the same again, so this request does not ask it again.
                return replace(work, exclude=work.exclude | {row.node})

    def _after_failure(self, run: _Run, reservation: Reservation, broken: Broken) -> AttemptFailed:
        """What the request lost. Raises when it may not try again."""
        row, error = reservation.candidate, broken.error
        if isinstance(error, InvalidRequest):
            raise error
        if broken.blame:
            self._fleet.failed(row.node, error.message)
        else:
            self._fleet.refused(row.node, row.model, None)
        kind = type(error) if isinstance(error, AttemptFailed) else AttemptFailed
        lost = kind(f"{row.node_name}: {error.message}", node_id=row.node)
        if run.attempts >= self._max_attempts:
            raise _given_up(lost, run, f"that was attempt {run.attempts} of {self._max_attempts}")
        run.work = replace(run.work, resuming=True, patience_s=RECOVERY_S)
        return lost


def work_of(
    request: Request, decision: Decision, fallback: Specialty | None, arrived: float
) -> Work:
    """What the request needs of a node. ``fallback`` does not stand in for a specialty that the
    client named. ``arrived``: monotonic seconds."""
    return Work(
        specialty=decision.specialty,
        fallback=None if request.specialty is not None else fallback,
        model=request.model,
        prompt_bytes=sum(len(m.content.encode("utf-8")) for m in request.messages),
        priority=request.priority,
        arrived=arrived,
    )


def _given_up(lost: AttemptFailed, run: _Run, why: str) -> AttemptFailed:
    return type(lost)(f"{lost.message}; {run.delivered} before that; {why}", node_id=lost.node_id)


def _too_late(error: DeadlineExceeded, run: _Run, now: float) -> DeadlineExceeded:
    if error.message and not run.attempts:
        return DeadlineExceeded(error.message)
    return DeadlineExceeded(
        f"the answer was not finished within {now - run.arrived:.1f} s; {run.delivered}; "
        "allow more time or ask for fewer tokens"
    )


def _done(run: _Run, reservation: Reservation, finished: Finished) -> Done:
    row, count = reservation.candidate, len(run.delivery.pieces)
    first = run.first_token
    spread = run.last_token - first if first is not None else 0.0
    return Done(
        reason=finished.reason,
        node=row.node,
        node_name=row.node_name,
        model=row.model,
        prompt_tokens=finished.usage.prompt_tokens,
        # Counted here: a resumed answer has parts from several nodes.
        completion_tokens=count,
        cached_tokens=finished.usage.cached_tokens,
        ttft_ms=1000.0 * (first - run.arrived) if first is not None else 0.0,
        tokens_per_second=(count - 1) / spread if count > 1 and spread > 0 else 0.0,
        resumed=run.resumed,
        attempts=run.attempts,
        trace_id=format(run.span.get_span_context().trace_id, "032x"),
        queue_ms=1000.0 * run.queued_s,
    )
