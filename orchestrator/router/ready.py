"""An answer that a stage of the router has already, so that no node needs to be asked."""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.trace import Span

from mesh.stream import Done, Ready, Tokens
from mesh.types import FinishReason, ModelId, NodeId, Piece

NOBODY = NodeId("")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyAnswer:
    """``source``: the stage's name, which the stream's end carries (``Done.source``). ``node``,
    ``node_name`` and ``model`` say who made it once; "" node: this orchestrator itself, now.
    Tokens are counted as the one who made it counted them."""

    source: str
    pieces: tuple[Piece, ...]
    reason: FinishReason
    model: ModelId
    node: NodeId = NOBODY
    node_name: str = ""
    tokenizer_hash: str = ""
    prompt_tokens: int = 0


def events(
    answer: ReadyAnswer, name: str, waited_s: float, span: Span
) -> tuple[Tokens | Done, ...]:
    """The stream's events after the decision: what a node would have sent. ``name``: this
    orchestrator's; ``waited_s``: seconds since the request arrived."""
    done = Done(
        reason=answer.reason,
        node=answer.node,
        node_name=answer.node_name or name,
        model=answer.model,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=len(answer.pieces),
        cached_tokens=0,
        ttft_ms=waited_s * 1000.0,
        tokens_per_second=0.0,
        resumed=False,
        attempts=0,
        trace_id=format(span.get_span_context().trace_id, "032x"),
        queue_ms=0.0,
        source=answer.source,
    )
    return (Tokens(first=0, pieces=answer.pieces), done) if answer.pieces else (done,)


def shown(answer: ReadyAnswer) -> Ready:
    """For a dry run."""
    return Ready(
        source=answer.source,
        text="".join(piece.text for piece in answer.pieces),
        node_name=answer.node_name,
        model=answer.model,
        reason=answer.reason,
    )
