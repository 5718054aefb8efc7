"""Rows decided as an orchestrator decides them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from mesh.clock import SystemClock
from mesh.types import Request, RequestId, Specialty
from orchestrator.answering.decide import Decider
from orchestrator.router import classifier as classifier_stage
from orchestrator.router import conversation, exact
from orchestrator.router import embedding as embedding_stage
from orchestrator.router import rules as rules_stage
from orchestrator.router.cascade import Cascade
from orchestrator.router.classifier import SURE, ClassifierStage
from orchestrator.router.conversation import ConversationStage
from orchestrator.router.embedding import EmbeddingSettings, EmbeddingStage
from orchestrator.router.exact import ExactStage
from orchestrator.router.reload import starter_rules
from orchestrator.router.rule_file import parse
from orchestrator.router.rules import RulesStage
from orchestrator.router.spec import Placed
from orchestrator.rules.labelled import features
from training.router.quality.asked import Asked

FALLBACK = Specialty("chat")


@dataclass(frozen=True, slots=True)
class Made:
    """One decision. ``micros``: the cascade's own stopwatch."""

    row: Asked
    specialty: str
    stage: str
    confidence: float
    micros: float
    rule: str = ""

    @property
    def right(self) -> bool:
        return self.specialty in self.row.right


@dataclass(frozen=True, slots=True)
class _Held:
    current: Cascade


def threshold(embedding: bool) -> float | None:
    """As ``stages`` sets it: what the classifier doubts is left to the stage after it."""
    return SURE if embedding else None


@asynccontextmanager
async def router(classifier: ClassifierStage, embedding: bool) -> AsyncIterator[Decider]:
    """The default cascade with this classifier, behind what an orchestrator asks it through."""
    rules = parse(starter_rules().read_bytes(), where=str(starter_rules()))
    stages = [
        Placed(exact.SPEC, ExactStage(None, SystemClock())),
        Placed(rules_stage.SPEC, RulesStage(rules)),
        Placed(conversation.SPEC, ConversationStage()),
        Placed(classifier_stage.SPEC, classifier),
    ]
    if not embedding:
        yield _decider(Cascade(stages, FALLBACK, rules.version))
        return
    neighbours = EmbeddingStage(EmbeddingSettings(timeout_ms=10_000.0))
    stages.append(Placed(embedding_stage.SPEC, neighbours))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(neighbours.run())
        await _ready(neighbours)
        yield _decider(Cascade(stages, FALLBACK, rules.version))
        running.cancel()


def _decider(cascade: Cascade) -> Decider:
    return Decider(_Held(cascade), lambda _: None, {})


async def _ready(stage: EmbeddingStage) -> None:
    """Waits until the stage has loaded its model: up to then it abstains."""
    probe = features("who wrote the odyssey")
    async with asyncio.timeout(120):
        while "load" in (await stage.consult(probe)).note:  # noqa: ASYNC110, it has no event
            await asyncio.sleep(0.1)


async def decided(rows: Sequence[Asked], decider: Decider) -> list[Made]:
    return [await _made(row, decider) for row in rows]


async def _made(row: Asked, decider: Decider) -> Made:
    request = Request(id=RequestId("quality"), messages=row.messages)
    said = (await decider.routed(request)).outcome.decision
    return Made(row, said.specialty, said.stage, said.confidence, said.micros, said.rule or "")
