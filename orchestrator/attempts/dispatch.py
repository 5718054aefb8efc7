"""Answers: from a decision to attempts that make one stream, and its trailer.

The client sees one gap-free, duplicate-free stream or a typed error that says how many tokens came
before it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from opentelemetry.trace import Span

from mesh.clock import Clock
from mesh.errors import CannotAnswer, InternalError
from mesh.fleet.eligibility import asked_for
from mesh.fleet.placement import stand_in
from mesh.fleet.records import FleetView
from mesh.fleet.work import Home, Work
from mesh.manners import mannered
from mesh.parts import prompt_bytes
from mesh.quarantine.quarantine import Quarantine
from mesh.stream import Done, StreamEvent, rate
from mesh.transport.base import Finished
from mesh.types import Decision, Request, Specialty
from orchestrator.attempts.collect import TokenCollector
from orchestrator.attempts.course import Course
from orchestrator.attempts.failover import Failover
from orchestrator.attempts.hedge import HedgePolicy
from orchestrator.picture.affinity import Affinity, origin_of
from orchestrator.picture.fleet import Fleet
from orchestrator.slots.queue import RECOVERY_S, Admission


class Dispatch:
    """``max_attempts``: tries per request that broke (``Failover``). ``affinity``: where
    conversations are, None: this one's own memory; so with the
    ``quarantine``. ``run`` watches what is under way, also that of
    whoever else uses ``failover``, and must run."""

    def __init__(
        self,
        fleet: Fleet,
        admission: Admission,
        clock: Clock,
        *,
        max_attempts: int,
        hedging: HedgePolicy | None = None,
        affinity: Affinity | None = None,
        quarantine: Quarantine | None = None,
    ) -> None:
        self._fleet = fleet
        self._clock = clock
        self.affinity = affinity if affinity is not None else Affinity()
        self.failover = Failover(
            fleet,
            admission,
            clock,
            max_attempts=max_attempts,
            hedging=hedging or HedgePolicy(),
            quarantine=quarantine or Quarantine(clock),
        )

    async def run(self) -> None:
        """Watches deadlines and stalls until cancelled."""
        await self.failover.run()

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
        """Yields ``Assigned``, ``Waiting``, ``Progress`` and ``Tokens``, and ``Done`` last.

        ``substitutes``: who answers when nobody serves the decided specialty (``work.chain``).
        ``arrived``, ``deadline``: monotonic seconds; ``span``: the parent of every attempt's. Close
        the generator to cancel: the node's slot is freed. Raises ``InvalidRequest``, ``NotServed``,
        ``DeadlineExceeded`` and ``AttemptFailed``, of which ``NotResumable``.
        """
        begun = request.continuation
        given = mannered(request, decision)
        while True:
            collector = TokenCollector(given, request)
            course = Course(
                collector=collector,
                arrived=arrived,
                deadline=deadline,
                work=self.work_of(request, decision, substitutes, arrived),
                span=span,
                attempts=begun.attempts if begun is not None else 0,
                resumed=collector.delivered > 0,
            )
            had = collector.delivered
            try:
                async with aclosing(self.failover.events(course)) as events:
                    async for event in events:
                        yield event
                break
            except CannotAnswer:
                # A model whose template knows no system text is not to be lost by one that its
                # client never sent.
                if given.messages == request.messages or collector.delivered > had:
                    raise
                given = replace(given, messages=request.messages)
        row, pieces = course.run.row, collector.delivery.pieces
        said = "".join(piece.text for piece in pieces)
        self.affinity.keep(request.tenant, request.messages, said, (row.node, row.model))
        yield _done(course, len(pieces), len(pieces) - had, self._clock.now())

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
            # Nobody stands in for whoever began an answer.
            substitutes=substitutes if not resuming else (),
            named=request.specialty is not None,
            model=request.model,
            prompt_bytes=prompt_bytes(mannered(request, decision).messages),
            priority=request.priority,
            arrived=arrived,
            resuming=resuming,
            patience_s=RECOVERY_S if resuming else 0.0,
            prefer=begun.model if begun is not None else None,
            weights=begun.weights if begun is not None else "",
            strict=request.strict and resuming,
            affinity=origin_of(request.tenant, request.messages),
        )
        homes = self.affinity.homes(request.tenant, request.messages)
        return replace(work, home=_home(homes, self._fleet.view, work)) if homes else work


def _done(course: Course, count: int, streamed: int, now: float) -> Done:
    """``count``: tokens of the whole answer; ``streamed``: those that came here."""
    course.went_on(now)  # after a break, nothing was missing but the end
    row, end, first = course.run.row, course.run.outcome, course.first_token
    if not isinstance(end, Finished):
        raise InternalError("an answer ended that has not finished")
    spread = course.last_token - first if first is not None else 0.0
    return Done(
        reason=end.reason,
        node=row.node,
        node_name=row.node_name,
        model=row.model,
        prompt_tokens=end.usage.prompt_tokens,
        # Counted here: a resumed answer has parts from several nodes.
        completion_tokens=count,
        cached_tokens=end.usage.cached_tokens,
        ttft_ms=1000.0 * (first - course.arrived) if first is not None else 0.0,
        tokens_per_second=rate(streamed, spread),
        resumed=course.resumed,
        attempts=course.attempts,
        trace_id=format(course.span.get_span_context().trace_id, "032x"),
        queue_ms=1000.0 * course.queued_s,
        resumes=tuple(course.resumes),
    )


def _home(homes: tuple[Home, ...], view: FleetView, work: Work) -> Home | None:
    """The newest of them that is asked for: a conversation that changed its subject and came back
    is where it was."""
    specialty, _ = stand_in(view, work)
    for node, model in homes:
        found = view.model(node, model)
        if found is not None and asked_for(found, work, specialty):
            return node, model
    return None
