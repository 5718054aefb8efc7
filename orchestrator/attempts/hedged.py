"""The time before an attempt's first token, with a second attempt where the first is late.

Without hedging this is nothing at all: the stream goes on as it is.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from opentelemetry.trace import Span, SpanKind

from mesh.clock import Clock
from mesh.errors import NodeLost, NotServed
from mesh.telemetry import spans
from mesh.transport.base import (
    Accepted,
    Attempt,
    AttemptEvent,
    AttemptStream,
    Progress,
)
from orchestrator.attempts.attempt import Broken
from orchestrator.attempts.course import Course
from orchestrator.attempts.hedge import HedgePolicy, next_within, race
from orchestrator.picture.fleet import Fleet
from orchestrator.slots.capacity import Reservation
from orchestrator.slots.queue import Admission


@dataclass(slots=True, kw_only=True)
class Lane:
    """``stream``: where to read on after ``before`` has ended, beginning with ``events`` that were
    read from it already. ``reservation``: the second attempt's, when it won. ``broken``: there is
    nothing to read on."""

    stream: AttemptStream
    course: Course
    attempt: Attempt
    span: Span
    lanes: Lanes
    held: ExitStack
    delay_s: float | None
    events: tuple[AttemptEvent, ...] = ()
    reservation: Reservation | None = None
    broken: Broken | None = None

    async def before(self) -> AsyncGenerator[Accepted | Progress, None]:
        """What comes before the first token, as far as it comes here. Raises
        ``DeadlineExceeded``."""
        if self.delay_s is None:
            return
        clock = self.lanes.clock
        until = clock.now() + self.delay_s
        try:
            while (left := until - clock.now()) > 0:
                event = await next_within(self.stream, clock, left)
                match event:
                    case Accepted() | Progress():
                        yield event
                    case None:
                        break
                    case _:
                        self.events = (event,)
                        return
        except NodeLost as error:
            self.broken = Broken(error, blame=True)
            return
        if clock.now() < until:
            return  # it has ended; who reads on learns how
        await self._race()

    async def _race(self) -> None:
        left = self.course.deadline - self.lanes.clock.now()
        second = self.lanes.second(self) if left > 0 else None
        if second is None:
            return
        reservation, stream, span = second
        winner, self.events = await race((self.stream, stream), self.lanes.clock, left)
        span.set_attribute("squadron.hedge.won", winner == 1)
        if winner == 1:
            self.stream, self.reservation = stream, reservation


class Lanes:
    """Opens second attempts by ``policy``, on nodes with a slot free this moment: a hedge waits for
    nothing and nobody waits for it."""

    def __init__(
        self, fleet: Fleet, admission: Admission, clock: Clock, policy: HedgePolicy
    ) -> None:
        self._fleet = fleet
        self._admission = admission
        self.clock = clock
        self._policy = policy

    @asynccontextmanager
    async def first(
        self, course: Course, attempt: Attempt, stream: AttemptStream, span: Span
    ) -> AsyncIterator[Lane]:
        """The attempt's lane; leaving it cancels whatever the second attempt has open."""
        # A resume has its failover; hedging is for the first token of an answer.
        delay_s = None if attempt.delivered else self._policy.delay_s(attempt.model)
        begun = self.clock.now()
        with ExitStack() as held:
            lane = Lane(
                stream=stream,
                course=course,
                attempt=attempt,
                span=span,
                lanes=self,
                held=held,
                delay_s=delay_s,
            )
            yield lane
            first = course.first_token
            if delay_s is not None and first is not None and lane.reservation is None:
                self._policy.first_token(attempt.model, first - begun)

    def second(self, lane: Lane) -> tuple[Reservation, AttemptStream, Span] | None:
        """Another attempt, opened; None when there is no budget or no free slot for it."""
        course = lane.course
        first = course.reservation
        if first is None:
            return None
        work = replace(course.work, exclude=course.work.exclude | {first.candidate.node})
        try:
            reservation = self._admission.offer(work)
        except NotServed:
            return None
        if reservation is None:
            return None
        if not self._policy.spend():
            reservation.release()
            return None
        row = reservation.candidate
        lane.held.enter_context(reservation)
        span = lane.held.enter_context(
            spans.detached(
                "attempt",
                parent=course.span,
                kind=SpanKind.CLIENT,
                attributes={
                    "squadron.attempt": lane.attempt.number + 1,
                    "squadron.hedge": True,
                    "squadron.node.id": row.node,
                    "squadron.node.name": row.node_name,
                    "gen_ai.request.model": row.model,
                },
            )
        )
        attempt = replace(
            lane.attempt,
            number=lane.attempt.number + 1,
            model=row.model,
            timeout_s=max(0.001, course.deadline - self.clock.now()),
            traceparent=spans.traceparent_of(span),
        )
        try:
            stream = self._fleet.open(row.node, attempt)
        except NodeLost:
            return None
        lane.held.callback(stream.cancel)
        return reservation, stream, span
