"""What every gateway serves: a decision and then an answer, a dry run, the fleet. No wire here."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol

from opentelemetry.trace import Span, SpanKind

from mesh.clock import Clock
from mesh.errors import MeshError
from mesh.fleet.placement import rank, relieved, specialty_of
from mesh.fleet.reasons import candidates
from mesh.fleet.records import FleetView
from mesh.fleet.work import chain
from mesh.stream import Decided, Done, Route, StreamEvent
from mesh.telemetry import spans
from mesh.types import Candidate, Decision, Request, Role, Specialty
from mesh.validation import check_continuation, check_messages, check_request
from orchestrator.attempts.dispatch import Dispatch
from orchestrator.picture.fleet import Fleet
from orchestrator.router import ready
from orchestrator.router.base import Features, Recording, Stage
from orchestrator.router.cascade import Outcome
from orchestrator.router.conversation import prior_of

REQUESTED = "requested"
RESUMED = "resumed"


class Cascade(Protocol):
    """What is asked of ``orchestrator/router/cascade.py``."""

    @property
    def fallback(self) -> Specialty: ...

    async def decide(self, features: Features) -> Outcome: ...

    async def recall(self, features: Features) -> Outcome | None: ...

    def recording(self, features: Features) -> Recording | None: ...

    @property
    def quick(self) -> Sequence[Stage]: ...


class Cascades(Protocol):
    """Where the cascade of this moment is: it changes when the rules do."""

    @property
    def current(self) -> Cascade: ...


class DecisionLog(Protocol):
    """Where decisions are kept for whoever improves the rules. Never waits, never raises."""

    def record(self, features: Features, decision: Decision) -> None: ...


class Answers:
    """``default_timeout_s``: budget of a request that names none. ``max_request_bytes``: of its
    messages. ``name``: the orchestrator's, for answers that it has itself. ``substitutes``: who
    answers for a specialty that nobody serves. ``notes_in_traces``: stages' notes on spans, too,
    which may quote the prompt."""

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
        substitutes: Mapping[str, str] | None = None,
        log: DecisionLog | None = None,
        notes_in_traces: bool = False,
    ) -> None:
        self._fleet = fleet
        self._dispatch = dispatch
        self._cascades = cascades
        self._clock = clock
        self._default_timeout_s = default_timeout_s
        self._max_request_bytes = max_request_bytes
        self._name = name
        self._substitutes = substitutes or {}
        self._log = log
        self._notes_in_traces = notes_in_traces

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
        """``Decided`` first, then what ``Dispatch.generate`` yields, or the whole answer where the
        router has it. Every error carries the request's id. ``traceparent``: the caller's W3C trace
        context."""
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
                self._check(request)
                # Once a request: rules that change meanwhile must not mix with those it was
                # decided by.
                cascade = self._cascades.current
                features = self._features(request, cascade)
                outcome = await self._routed(request, cascade, features, span)
                decided = Decided(request_id=request.id, decision=outcome.decision)
                yield decided
                if outcome.answer is not None:
                    span.set_attribute("squadron.source", outcome.answer.source)
                    waited_s = self._clock.now() - arrived
                    for known in ready.events(outcome.answer, self._name, waited_s, span):
                        yield known
                    # What the conversation's node has of it is still the most that anyone has.
                    said = "".join(piece.text for piece in outcome.answer.pieces)
                    self._dispatch.affinity.keep(request.tenant, request.messages, said, None)
                    return
                recording = _recording(request, cascade, features, outcome, decided)
                events = self._dispatch.generate(
                    request,
                    outcome.decision,
                    substitutes=self._chain(request, outcome.decision, cascade),
                    arrived=arrived,
                    deadline=arrived + (request.timeout_s or self._default_timeout_s),
                    span=span,
                )
                async with aclosing(events):
                    async for event in events:
                        if recording is not None:
                            recording.take(event)
                            if isinstance(event, Done):  # before whoever listens goes away
                                await recording.keep()
                        yield event
            except MeshError as error:
                error.request_id = request.id
                raise

    async def route(self, request: Request, *, candidates: bool = True) -> Route:
        """A dry run. ``candidates`` False: the decision only. Raises ``InvalidRequest``."""
        check_messages(request.messages, max_bytes=self._max_request_bytes)
        cascade = self._cascades.current
        features = self._features(request, cascade, dry_run=True)
        outcome = await self._decide(request, cascade, features)
        return Route(
            decision=outcome.decision,
            candidates=self._candidates(request, cascade, outcome.decision) if candidates else (),
            ready=None if outcome.answer is None else ready.shown(outcome.answer),
            prior=features.prior,
        )

    async def _decide(self, request: Request, cascade: Cascade, features: Features) -> Outcome:
        """What the client asked for by name, else what the cascade says."""
        begun = request.continuation
        if begun is not None:
            # One answer, one decision: another orchestrator's rules may be of another version. And
            # what goes on after its first tokens is never given anew.
            if begun.specialty is not None:
                return Outcome(_named(begun.specialty, RESUMED))
            if begun.pieces:
                return Outcome((await cascade.decide(features)).decision)
        if request.specialty is None and request.model is None:
            return await cascade.decide(features)
        known = await cascade.recall(features)
        if known is not None and known.answer is not None:
            return known
        specialty = (
            request.specialty or specialty_of(self._fleet.view, request.model) or cascade.fallback
        )
        passing = known is not None and known.passing
        return Outcome(_named(specialty, REQUESTED), passing=passing)

    async def _routed(
        self, request: Request, cascade: Cascade, features: Features, parent: Span
    ) -> Outcome:
        with spans.detached("route", parent=parent) as span:
            outcome = await self._decide(request, cascade, features)
            decision = outcome.decision
            span.set_attribute("squadron.specialty", decision.specialty)
            span.set_attribute("squadron.stage", decision.stage)
            span.set_attribute("squadron.rule", decision.rule or "")
            span.set_attribute("squadron.confidence", decision.confidence)
            span.set_attribute("squadron.rules_version", decision.rules_version)
            for said in decision.verdicts:
                attributes: dict[str, str | float] = {
                    "squadron.specialty": said.specialty or "",
                    "squadron.confidence": said.confidence,
                    "squadron.rule": said.rule or "",
                    "squadron.micros": said.micros,
                }
                if self._notes_in_traces:
                    attributes["squadron.note"] = said.note
                span.add_event(said.stage, attributes)
        if self._log is not None and decision.stage not in (REQUESTED, RESUMED):
            self._log.record(features, decision)
        return outcome

    def _check(self, request: Request) -> None:
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

    def _features(self, request: Request, cascade: Cascade, *, dry_run: bool = False) -> Features:
        messages = request.messages
        prior = None
        if sum(message.role is Role.USER for message in messages) > 1:
            prior = prior_of(messages, cascade.quick)
        return replace(
            Features.of(messages, prior),
            sampling=request.sampling,
            model=request.model,
            specialty=request.specialty,
            tenant=request.tenant,
            cacheable=request.cacheable,
            dry_run=dry_run,
        )

    def _candidates(
        self, request: Request, cascade: Cascade, decision: Decision
    ) -> tuple[Candidate, ...]:
        now = self._clock.now()
        substitutes = self._chain(request, decision, cascade)
        work = self._dispatch.work_of(request, decision, substitutes, now)
        ranking = rank(self._fleet.view, work, now)
        found = candidates(ranking, ranking.explained())
        relief = None if len(ranking) else relieved(ranking)
        return found if relief is None else (*candidates(relief, relief.best()), *found)

    def _chain(
        self, request: Request, decision: Decision, cascade: Cascade
    ) -> tuple[Specialty, ...]:
        """Who asks for a specialty by name gets it, or whoever the operator said stands in for it,
        and never the fallback."""
        fallback = cascade.fallback if request.specialty is None else None
        return chain(decision.specialty, self._substitutes, fallback)


def _recording(
    request: Request, cascade: Cascade, features: Features, outcome: Outcome, decided: Decided
) -> Recording | None:
    if request.continuation is not None:  # half an answer
        return None
    if outcome.passing:  # a moment later the exact tools may have it, or another specialist
        return None
    recording = cascade.recording(features)
    if recording is not None:
        recording.take(decided)
    return recording


def _named(specialty: Specialty, stage: str) -> Decision:
    return Decision(specialty=specialty, stage=stage, rule=None, confidence=1.0)
