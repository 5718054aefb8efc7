"""What links of the chain around an answer are tried with: answers out of lists."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mesh.errors import MeshError
from mesh.stream import Done, StreamEvent, Tokens
from mesh.telemetry import spans
from mesh.types import (
    Continuation,
    Decision,
    FinishReason,
    Message,
    ModelId,
    NodeId,
    Piece,
    Request,
    RequestId,
    Role,
    Specialty,
)
from orchestrator.answering.ask import Answer, Ask, Routed
from orchestrator.answering.decide import Decider
from orchestrator.router.base import Features
from orchestrator.router.cascade import Outcome
from orchestrator.router.ready import ReadyAnswer

MATH, CHAT, CODE = Specialty("math"), Specialty("chat"), Specialty("code")
ID = RequestId("ab" * 16)
TOKENS = Tokens(first=0, pieces=(Piece(id=1, text="four"),))
DONE = Done(
    reason=FinishReason.STOP,
    node=NodeId("n"),
    node_name="n",
    model=ModelId("m"),
    prompt_tokens=1,
    completion_tokens=1,
    cached_tokens=0,
    ttft_ms=1.0,
    tokens_per_second=0.0,
    resumed=False,
    attempts=1,
    trace_id="0" * 32,
    queue_ms=0.0,
)
HALF = Continuation(pieces=(Piece(id=1, text="four"),))
KNOWN = ReadyAnswer(
    source="memo", pieces=TOKENS.pieces, reason=FinishReason.STOP, model=ModelId("m")
)


@dataclass
class Listed:
    """An ``Answer`` out of a list: exceptions in it are raised."""

    script: Sequence[StreamEvent | MeshError] = (TOKENS, DONE)
    asks: list[Ask] = field(default_factory=list)
    closed: int = 0

    async def __call__(self, ask: Ask) -> AsyncGenerator[StreamEvent, None]:
        self.asks.append(ask)
        try:
            for event in self.script:
                if isinstance(event, MeshError):
                    raise event
                yield event
        finally:
            self.closed += 1


@dataclass
class Recorded:
    taken: list[StreamEvent] = field(default_factory=list)
    kept: int = 0

    def take(self, event: StreamEvent) -> None:
        self.taken.append(event)

    async def keep(self) -> bool:
        self.kept += 1
        return True


@dataclass
class Fixed:
    """A cascade that says one thing. ``recalls``: what its memory has for a named specialist."""

    outcome: Outcome
    recalls: Outcome | None = None
    keeper: Recorded | None = None
    seen: list[Features] = field(default_factory=list)
    fallback: Specialty = CHAT
    quick: tuple[Any, ...] = ()

    async def decide(self, features: Features) -> Outcome:
        self.seen.append(features)
        return self.outcome

    async def recall(self, features: Features) -> Outcome | None:
        return self.recalls

    def recording(self, features: Features) -> Recorded | None:
        return self.keeper


@dataclass
class Current:
    current: Any


def said(specialty: Specialty = MATH, stage: str = "rules") -> Decision:
    return Decision(specialty=specialty, stage=stage, rule=None, confidence=0.9)


def ask(text: str = "what is 2 + 2?", *, outcome: Outcome | None = None, **given: Any) -> Ask:
    request = Request(id=ID, messages=(Message.of(Role.USER, text),), **given)
    routed = None
    if outcome is not None:
        features = Features.of(request.messages)
        routed = Routed(cascade=Fixed(outcome), features=features, outcome=outcome)
    return Ask(request=request, arrived=1.0, deadline=11.0, routed=routed)


async def events_of(answer: Answer, asked: Ask) -> list[StreamEvent]:
    async with aclosing(answer(asked)) as events:
        return [event async for event in events]


@dataclass
class Log:
    rows: list[tuple[Features, Decision]] = field(default_factory=list)

    def record(self, features: Features, decision: Decision) -> None:
        self.rows.append((features, decision))


def decider(cascade: Fixed, **given: Any) -> Decider:
    models: dict[str, Specialty] = given.pop("models", {})
    return Decider(Current(cascade), lambda model: models.get(model), given.pop("instead", {}))


@contextmanager
def spans_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[], tuple[ReadableSpan, ...]]]:
    """The spans that ended within, with all that they carry."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    kept = (trace.get_tracer_provider(), provider.get_tracer("test"))
    monkeypatch.setattr(spans, "_kept", kept)
    yield exporter.get_finished_spans
