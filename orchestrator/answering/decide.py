"""What a request is for: what its client asked for by name, else what the cascade says."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol

from opentelemetry.trace import Span

from mesh.fleet.work import chain
from mesh.manners import DEFAULT_MANNER, complete, mannered
from mesh.stream import Decided, StreamEvent
from mesh.telemetry import spans
from mesh.types import Decision, Manner, ModelId, Request, Role, Specialty
from orchestrator.answering.ask import Answer, Ask, Cascade, Routed
from orchestrator.router.base import Features
from orchestrator.router.cascade import Outcome
from orchestrator.router.conversation import SoFar, so_far

REQUESTED = "requested"
RESUMED = "resumed"


class Cascades(Protocol):
    """Where the cascade of this moment is: it changes when the rules do."""

    @property
    def current(self) -> Cascade: ...


class Decider:
    """``specialty_of``: what a named model's first specialty is, None when no node has it.
    ``substitutes``: who answers for a specialty that nobody serves. ``manners``: how each specialty
    answers, the mesh's default where it is not in there."""

    def __init__(
        self,
        cascades: Cascades,
        specialty_of: Callable[[ModelId | None], Specialty | None],
        substitutes: Mapping[str, str],
        manners: Mapping[str, Manner] | None = None,
    ) -> None:
        self._manners = manners or {}
        self._cascades = cascades
        self._specialty_of = specialty_of
        self._substitutes = substitutes

    async def routed(self, request: Request, *, dry_run: bool = False) -> Routed:
        """``dry_run``: nothing will be generated."""
        cascade = self._cascades.current
        features = _features(request, cascade, dry_run=dry_run)
        outcome = self._mannered(request, await self._outcome(request, cascade, features))
        # What was decided says how it is drawn, and with that whether it would come again.
        features = replace(features, cacheable=_cacheable(request, outcome.decision))
        # Who asks for a specialty by name gets it, or whoever the operator said stands in for it,
        # and never the fallback.
        fallback = cascade.fallback if request.specialty is None else None
        return Routed(
            cascade=cascade,
            features=features,
            outcome=outcome,
            substitutes=chain(outcome.decision.specialty, self._substitutes, fallback),
        )

    def _mannered(self, request: Request, outcome: Outcome) -> Outcome:
        """With how its specialty answers; what began elsewhere keeps the system text it has."""
        manner = self._manners.get(outcome.decision.specialty, DEFAULT_MANNER)
        begun = request.continuation
        if begun is not None and begun.system is not None:
            manner = replace(manner, system=begun.system)
        return replace(outcome, decision=replace(outcome.decision, manner=manner))

    async def _outcome(self, request: Request, cascade: Cascade, features: Features) -> Outcome:
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
        # A named model answers whatever is asked; its first specialty is what that is called.
        specialty = request.specialty or self._specialty_of(request.model) or cascade.fallback
        passing = known is not None and known.passing
        return Outcome(_named(specialty, REQUESTED), passing=passing)


def decided(inner: Answer, decider: Decider, *, notes_in_traces: bool) -> Answer:
    """``Decided`` first. ``notes_in_traces``: stages' notes on spans, too, which may quote the
    prompt."""

    async def answer(ask: Ask) -> AsyncGenerator[StreamEvent, None]:
        with spans.detached("route", parent=ask.span) as span:
            routed = await decider.routed(ask.request)
            _tell(span, routed.outcome.decision, notes_in_traces)
        async with aclosing(inner(ask.decided(routed))) as events:
            yield Decided(request_id=ask.request.id, decision=routed.outcome.decision)
            async for event in events:
                yield event

    return answer


def _features(request: Request, cascade: Cascade, *, dry_run: bool) -> Features:
    messages = request.messages
    before = SoFar()
    if sum(message.role is Role.USER for message in messages) > 1:
        before = so_far(messages, cascade.quick)
    return replace(
        Features.of(messages, before.prior),
        so_far=before.chances,
        bond=before.bond,
        sampling=request.sampling,
        model=request.model,
        specialty=request.specialty,
        tenant=request.tenant,
        cacheable=request.cacheable,
        dry_run=dry_run,
    )


def _cacheable(request: Request, decision: Decision) -> bool:
    if request.cacheable is not None:
        return request.cacheable
    sampling = complete(mannered(request, decision).sampling)
    return sampling.temperature == 0.0 or sampling.seed is not None


def _named(specialty: Specialty, stage: str) -> Decision:
    return Decision(specialty=specialty, stage=stage, rule=None, confidence=1.0)


def _tell(span: Span, decision: Decision, notes: bool) -> None:
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
        if notes:
            attributes["squadron.note"] = said.note
        span.add_event(said.stage, attributes)
