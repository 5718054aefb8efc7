"""From a decision to a finished answer: attempts, one after the other, that make one stream.

A refusal moves on to the next candidate; a failure sets the node aside and, if tokens were
delivered already, the next attempt goes on from exactly those. The client sees one gap-free,
duplicate-free stream or a typed error that says how many tokens came before it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from opentelemetry.trace import Span, SpanKind

from mesh.clock import Clock
from mesh.errors import (
    AttemptFailed,
    CannotAnswer,
    DeadlineExceeded,
    Draining,
    InternalError,
    NodeLost,
    NotResumable,
    NotServed,
)
from mesh.fleet.eligibility import asked_for
from mesh.fleet.placement import stand_in
from mesh.fleet.records import FleetView
from mesh.fleet.work import Home, Work
from mesh.stream import Assigned, StreamEvent
from mesh.telemetry import spans
from mesh.transport.base import Accepted, Attempt, Finished, Progress, Refused, Tokens
from mesh.types import Decision, Request, Specialty
from orchestrator.attempts.attempt import AttemptRun, Broken
from orchestrator.attempts.course import Course, given_up, too_late
from orchestrator.attempts.hedge import HedgePolicy
from orchestrator.attempts.hedged import Lanes
from orchestrator.attempts.refusal import after_break, after_refusal, troubles, without
from orchestrator.attempts.watch import Watch
from orchestrator.picture.affinity import Affinity, origin_of
from orchestrator.picture.fleet import Fleet
from orchestrator.slots.capacity import Reservation
from orchestrator.slots.queue import Admission

# How long a request that lost its node waits for another, or for the same one to come back: a
# supervised node is up again within a few seconds, and the answer is worth that.
RECOVERY_S = 10.0
# Attempts that each brought the answer further are not counted against ``max_attempts``, since it
# was not the request that broke them; but they end too.
MOST_ATTEMPTS = 64


class Dispatch:
    """``max_attempts``: tries per request that broke without bringing it further, or in the engine;
    refusals do not count. ``affinity``: where conversations are, None: this one's own memory.
    ``run`` watches what is under way, and must run."""

    def __init__(
        self,
        fleet: Fleet,
        admission: Admission,
        clock: Clock,
        *,
        max_attempts: int,
        hedging: HedgePolicy | None = None,
        affinity: Affinity | None = None,
    ) -> None:
        self._fleet = fleet
        self._admission = admission
        self._clock = clock
        self._max_attempts = max_attempts
        self.affinity = affinity if affinity is not None else Affinity()
        self.watch = Watch(fleet, admission, clock)
        self._lanes = Lanes(fleet, admission, clock, hedging or HedgePolicy())

    async def run(self) -> None:
        """Watches deadlines and stalls until cancelled."""
        await self.watch.run()

    async def generate(
        self,
        request: Request,
        decision: Decision,
        *,
        substitutes: tuple[Specialty, ...],
        arrived: float,
        deadline: float,
        span: Span,
    ) -> AsyncGenerator[StreamEvent, None]:
        """Yields ``Assigned``, ``Progress`` and ``Tokens``, and ``Done`` last.

        ``substitutes``: who answers when nobody serves the decided specialty (``work.chain``).
        ``arrived``, ``deadline``: monotonic seconds; ``span``: the parent of every attempt's. Close
        the generator to cancel: the node's slot is freed. Raises ``InvalidRequest``, ``NotServed``,
        ``DeadlineExceeded`` and ``AttemptFailed``, of which ``NotResumable``.
        """
        work = self.work_of(request, decision, substitutes, arrived)
        course = Course(request=request, arrived=arrived, deadline=deadline, work=work, span=span)
        lost: AttemptFailed | None = None
        try:
            while True:
                course.reservation, course.elsewhere = course.elsewhere, None
                course.reservation = course.reservation or self._admission.offer(course.work)
                if course.reservation is None:
                    begun = self._clock.now()
                    with self._admission.queue(course.work) as place:
                        if not place.served and not course.delivery.pieces:
                            yield Progress(phase=place.phase)
                        course.reservation = await place.reservation(deadline)
                    course.queued_s += self._clock.now() - begun
                with course.reservation:
                    async with aclosing(self._attempt(course, course.reservation)) as events:
                        async for event in events:
                            yield event
                match course.outcome:
                    case Finished() as finished:
                        row = course.reservation.candidate
                        self._fleet.succeeded(row.node)
                        self.affinity.keep(
                            request.tenant,
                            request.messages,
                            "".join(piece.text for piece in course.delivery.pieces),
                            (row.node, row.model),
                        )
                        yield course.done(course.reservation, finished, self._clock.now())
                        return
                    case Refused() as refused:
                        course.refused(refused.message)
                        course.work = after_refusal(
                            self._fleet, course.work, course.reservation, refused
                        )
                    case Broken(error=CannotAnswer() as error) if not course.delivery.pieces:
                        course.work = without(
                            course.work, course.reservation.candidate.model, error
                        )
                    case Broken() as broken:
                        lost = self._after_failure(course, course.reservation, broken)
                    case None:
                        raise InternalError("an attempt ended without an outcome")
        except DeadlineExceeded as error:
            why = troubles(self._fleet.view, course.work)
            raise too_late(error, course, self._clock.now(), why) from error
        except NotServed as error:
            if lost is None:
                raise
            raise given_up(lost, course, f"nobody could go on: {error.message}") from error
        finally:
            course.close()

    def work_of(
        self,
        request: Request,
        decision: Decision,
        substitutes: tuple[Specialty, ...],
        arrived: float,
    ) -> Work:
        """What the request needs of a node, and where its conversation is. ``arrived``: monotonic
        seconds."""
        begun = request.continuation
        resuming = begun is not None and bool(begun.pieces)
        work = Work(
            specialty=decision.specialty,
            substitutes=substitutes,
            named=request.specialty is not None,
            model=request.model,
            prompt_bytes=sum(len(m.text.encode("utf-8")) for m in request.messages),
            priority=request.priority,
            arrived=arrived,
            resuming=resuming,
            patience_s=RECOVERY_S if resuming else 0.0,
            prefer=begun.model if begun is not None else None,
            affinity=origin_of(request.tenant, request.messages),
        )
        homes = self.affinity.homes(request.tenant, request.messages)
        return replace(work, home=_home(homes, self._fleet.view, work)) if homes else work

    async def _attempt(
        self, course: Course, reservation: Reservation
    ) -> AsyncGenerator[StreamEvent, None]:
        """One attempt's events; ``course.outcome`` is set once they end, and
        ``course.reservation`` is the one that they came from."""
        row = reservation.candidate
        number = course.attempts + 1
        delivered = tuple(course.delivery.pieces)
        course.outcome = None
        course.begun_at = len(delivered)
        with spans.detached(
            "attempt",
            parent=course.span,
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
                request_id=course.request.id,
                number=number,
                model=row.model,
                messages=course.request.messages,
                sampling=course.request.sampling,
                timeout_s=max(0.001, course.deadline - self._clock.now()),
                delivered=delivered,
                tokenizer_hash=course.delivery.tokenizer if delivered else "",
                traceparent=spans.traceparent_of(span),
            )
            async with aclosing(self._tried(course, reservation, attempt, span)) as events:
                async for event in events:
                    match event:
                        case Tokens():
                            course.tokens(self._clock.now())
                            yield event
                        case Accepted():
                            yield self._assigned(course, resumed=bool(delivered))
                        case Progress() if not delivered:
                            yield event
            match course.outcome:
                case Broken(error=error):
                    course.attempts = max(course.attempts, number)
                    spans.failed(span, error)
                case Refused(code=code):
                    span.set_attribute("squadron.refused", code)
                case Finished(reason=reason, usage=usage):
                    span.set_attribute("gen_ai.response.finish_reasons", [reason])
                    span.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
                    span.set_attribute("gen_ai.usage.output_tokens", len(course.delivery.pieces))

    def _assigned(self, course: Course, *, resumed: bool) -> Assigned:
        if course.reservation is None:
            raise InternalError("an attempt was accepted that has no slot")
        row = course.reservation.candidate
        self._fleet.accepted(row.node)
        course.attempts += 1
        course.resumed = course.resumed or resumed
        return Assigned(
            node=row.node,
            node_name=row.node_name,
            model=row.model,
            attempt=course.attempts,
            tokenizer_hash=course.reservation.model.tokenizer_hash,
        )

    async def _tried(
        self, course: Course, reservation: Reservation, attempt: Attempt, span: Span
    ) -> AsyncGenerator[Accepted | Progress | Tokens, None]:
        try:
            stream = self._fleet.open(reservation.candidate.node, attempt)
        except NodeLost as error:
            course.outcome = Broken(error, blame=True)
            return
        async with stream, self._lanes.first(course, attempt, stream, span) as lane:
            async with aclosing(lane.before()) as signs:
                async for sign in signs:
                    yield sign
            if lane.broken is not None:
                course.outcome = lane.broken
                return
            if lane.reservation is not None:
                course.reservation = reservation = lane.reservation
            row = reservation.candidate
            tries = AttemptRun(
                lane.stream,
                course.delivery,
                self._clock,
                deadline=course.deadline,
                tokenizer=reservation.model.tokenizer_hash,
            )
            with self.watch.over(
                tries,
                node=row.node,
                model=row.model,
                work=course.work,
                resumable=course.request.resumable,
            ):
                try:
                    async with aclosing(tries.events(lane.events)) as events:
                        async for event in events:
                            yield event
                finally:
                    course.elsewhere = tries.elsewhere
            course.outcome = tries.outcome

    def _after_failure(
        self, course: Course, reservation: Reservation, broken: Broken
    ) -> AttemptFailed:
        """What the request lost. Raises when it may not try again."""
        row, error = reservation.candidate, broken.error
        lost = after_break(self._fleet, row, broken)
        delivered = bool(course.delivery.pieces)
        if delivered and not course.request.resumable:
            raise NotResumable(
                f"{lost.message}; {course.delivered} before that, and this request may not be "
                "resumed; ask again",
                node_id=row.node,
            )
        further = course.broke(row.node_name, error, self._clock.now())
        if not further or not isinstance(error, NodeLost | Draining):
            course.strikes += 1
        if course.strikes >= self._max_attempts:
            why = f"that was attempt {course.strikes} of {self._max_attempts}"
            raise given_up(lost, course, why)
        if course.attempts >= MOST_ATTEMPTS:
            raise given_up(lost, course, f"that was the last of {MOST_ATTEMPTS} attempts")
        course.work = replace(
            course.work,
            resuming=True,
            patience_s=RECOVERY_S,
            prefer=row.model if delivered else course.work.prefer,
        )
        return lost


def _home(homes: tuple[Home, ...], view: FleetView, work: Work) -> Home | None:
    """The newest of them that is asked for: a conversation that changed its subject and came back
    is where it was."""
    specialty, _ = stand_in(view, work)
    for node, model in homes:
        found = view.model(node, model)
        if found is not None and asked_for(found, work, specialty):
            return node, model
    return None
