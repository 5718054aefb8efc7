"""What every gateway serves: a decision and then an answer, a dry run, the fleet. No wire here."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol

from opentelemetry.trace import Span, SpanKind

from mesh.clock import Clock
from mesh.errors import MeshError
from mesh.placement import place
from mesh.records import FleetView
from mesh.stream import Decided, Done, Route, StreamEvent, Tokens
from mesh.telemetry import spans
from mesh.types import Decision, ModelId, Request, Specialty
from mesh.validation import check_continuation, check_messages, check_request
from orchestrator.dispatch import Dispatch, work_of
from orchestrator.fleet import Fleet
from orchestrator.outlook import substitutes
from orchestrator.router.base import Features
from orchestrator.router.cascade import Outcome
from orchestrator.router.ready import ReadyAnswer

REQUESTED = "requested"
RESUMED = "resumed"


class Cascade(Protocol):
    """What is asked of ``orchestrator/router/cascade.py``."""

    @property
    def fallback(self) -> Specialty: ...

    async def decide(self, features: Features) -> Outcome: ...


class Cascades(Protocol):
    """Where the cascade of this moment is: it changes when the rules do."""

    @property
    def current(self) -> Cascade: ...


class Answers:
    """``default_timeout_s``: budget of a request that names none. ``max_request_bytes``: of its
    messages. ``name``: the orchestrator's, for answers that it has itself."""

    def __init__(
        self,
        fleet: Fleet,
        dispatch: Dispatch,
        cascades: Cascades,
        clock: Clock,
        *,
        default_timeout_s: float,
        max_request_bytes: int,
        name: str = "",
    ) -> None:
        self._name = name
        self._fleet = fleet
        self._dispatch = dispatch
        self._cascades = cascades
        self._clock = clock
        self._default_timeout_s = default_timeout_s
        self._max_request_bytes = max_request_bytes

    @property
    def view(self) -> FleetView:
        return self._fleet.view

    @property
    def registry_connected(self) -> bool:
        return self._fleet.registry_connected

    def budget(self, request: Request, granted_s: float | None) -> Request:
        """With the timeout that applies, in seconds: the request's own, the default, or what the
        caller's transport allows (``granted_s``), whichever is least."""
        timeout = request.timeout_s if request.timeout_s is not None else self._default_timeout_s
        if granted_s is not None:
            timeout = min(timeout, granted_s)
        return replace(request, timeout_s=timeout)

    async def generate(
        self, request: Request, *, traceparent: str = ""
    ) -> AsyncGenerator[StreamEvent, None]:
        """``Decided`` first, then what ``Dispatch.generate`` yields. Every error carries the
        request's id. ``traceparent``: the caller's W3C trace context."""
        arrived = self._clock.now()
        with spans.detached(
            "orchestrator.generate",
            traceparent=traceparent,
            kind=SpanKind.SERVER,
            attributes={
                "squadron.request.id": request.id,
                "squadron.priority": request.priority,
                "gen_ai.operation.name": "chat",
                "gen_ai.request.max_tokens": request.sampling.max_tokens,
                "gen_ai.request.temperature": request.sampling.temperature,
            },
        ) as span:
            try:
                check_request(
                    request.messages,
                    request.sampling,
                    max_bytes=self._max_request_bytes,
                    timeout_s=request.timeout_s,
                )
                if request.continuation is not None:
                    check_continuation(
                        request.continuation, request.sampling, max_bytes=self._max_request_bytes
                    )
                with spans.detached("route", parent=span) as routing:
                    outcome = await self.decide(request)
                    decision = outcome.decision
                    routing.set_attribute("squadron.specialty", decision.specialty)
                    routing.set_attribute("squadron.stage", decision.stage)
                    routing.set_attribute("squadron.rule", decision.rule or "")
                    routing.set_attribute("squadron.confidence", decision.confidence)
                yield Decided(request_id=request.id, decision=decision)
                if outcome.answer is not None:
                    span.set_attribute("squadron.source", outcome.answer.source)
                    for ready in self._ready(outcome.answer, arrived, span):
                        yield ready
                    return
                events = self._dispatch.generate(
                    request,
                    decision,
                    fallback=self._cascades.current.fallback,
                    arrived=arrived,
                    deadline=arrived + (request.timeout_s or self._default_timeout_s),
                    span=span,
                )
                async with aclosing(events):
                    async for event in events:
                        yield event
            except MeshError as error:
                error.request_id = request.id
                raise

    async def route(self, request: Request) -> Route:
        """A dry run. Raises ``InvalidRequest``."""
        check_messages(request.messages, max_bytes=self._max_request_bytes)
        decision = (await self.decide(request, dry_run=True)).decision
        work = work_of(request, decision, self._cascades.current.fallback, self._clock.now())
        now = self._clock.now()
        candidates = place(
            self._fleet.view,
            specialty=work.specialty,
            fallback=work.fallback,
            model=work.model,
            prompt_bytes=work.prompt_bytes,
            now=now,
        )
        if not any(row.eligible for row in candidates):
            candidates = (*substitutes(self._fleet.view, work, now), *candidates)
        return Route(decision=decision, candidates=candidates)

    async def decide(self, request: Request, *, dry_run: bool = False) -> Outcome:
        """What the client asked for by name, else what the cascade says."""
        if request.specialty is not None:
            return Outcome(_requested(request.specialty))
        if request.model is not None:
            return Outcome(_requested(self._specialty_of(request.model)))
        if request.continuation is not None and request.continuation.specialty is not None:
            # One answer, one decision: another orchestrator's rules may be of another version.
            specialty = request.continuation.specialty
            return Outcome(Decision(specialty=specialty, stage=RESUMED, rule=None, confidence=1.0))
        return await self._cascades.current.decide(_features(request, dry_run))

    def _ready(
        self, answer: ReadyAnswer, arrived: float, span: Span
    ) -> tuple[Tokens, Done] | tuple[Done]:
        """What a node would have sent, from an answer that is there whole."""
        done = Done(
            reason=answer.reason,
            node=answer.node,
            node_name=answer.node_name or self._name,
            model=answer.model,
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=len(answer.pieces),
            cached_tokens=0,
            ttft_ms=(self._clock.now() - arrived) * 1000.0,
            tokens_per_second=0.0,
            resumed=False,
            attempts=0,
            trace_id=format(span.get_span_context().trace_id, "032x"),
            queue_ms=0.0,
            source=answer.source,
        )
        return (Tokens(first=0, pieces=answer.pieces), done) if answer.pieces else (done,)

    def _specialty_of(self, model: ModelId) -> Specialty:
        """A named model answers whatever is asked; its first specialty is what that is called."""
        for node in self._fleet.view.nodes.values():
            for record in node.record.models:
                if record.id == model and record.specialties:
                    return record.specialties[0]
        return self._cascades.current.fallback


def _features(request: Request, dry_run: bool) -> Features:
    asked = Features.of(request.messages)
    return replace(
        asked,
        sampling=request.sampling,
        model=request.model,
        specialty=request.specialty,
        tenant=request.tenant,
        cacheable=request.cacheable,
        dry_run=dry_run,
    )


def _requested(specialty: Specialty) -> Decision:
    return Decision(specialty=specialty, stage=REQUESTED, rule=None, confidence=1.0)
