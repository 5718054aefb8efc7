"""An answer that a stage of the router has already, so that no node needs to be asked."""

from __future__ import annotations

from dataclasses import dataclass

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
