"""Whole answers as a client has them, and what the mesh said of their end."""

from __future__ import annotations

from dataclasses import replace

from mesh.client.answer import Answer
from mesh.stream import Done
from mesh.types import Decision, FinishReason, ModelId, NodeId, RequestId, Specialty

DECISION = Decision(specialty=Specialty("math"), stage="rules", rule=None, confidence=1.0)
REQUEST = RequestId("0" * 32)
DONE = Done(
    reason=FinishReason.STOP,
    node=NodeId("n"),
    node_name="a",
    model=ModelId("m"),
    prompt_tokens=3,
    completion_tokens=1_234,
    cached_tokens=0,
    ttft_ms=1.0,
    tokens_per_second=0.0,
    resumed=False,
    attempts=1,
    trace_id="0" * 32,
    queue_ms=0.0,
)


def ended(reason: FinishReason, tokens: int = 1_234) -> Answer:
    done = replace(DONE, reason=reason, completion_tokens=tokens)
    return Answer(text="two", decision=DECISION, done=done, request_id=REQUEST)
