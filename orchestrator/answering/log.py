"""Decisions kept for whoever improves the rules."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from mesh.stream import StreamEvent
from mesh.types import Decision
from orchestrator.answering.ask import Answer, Ask
from orchestrator.answering.decide import REQUESTED, RESUMED
from orchestrator.router.base import Features


class DecisionLog(Protocol):
    """Never waits, never raises."""

    def record(self, features: Features, decision: Decision) -> None: ...


def logged(inner: Answer, log: DecisionLog) -> Answer:
    """Only what the cascade decided: a client's own word says nothing about the rules."""

    def answer(ask: Ask) -> AsyncGenerator[StreamEvent, None]:
        if ask.decision.stage not in (REQUESTED, RESUMED):
            log.record(ask.known.features, ask.decision)
        return inner(ask)

    return answer
