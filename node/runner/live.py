"""One sequence in a runner, from its opening until the agent has been told its end."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from opentelemetry.trace import Span

from mesh.types import FinishReason, Piece
from node.runner.text import TextAssembler


@dataclass(slots=True, kw_only=True)
class Live:
    """A sequence that the agent has not been told the end of.

    It has its engine slot until ``finish`` is set, and lives on until its ``outbox`` (pieces that
    wait for credit) is empty. ``index``: of the next piece to send, in the whole answer.
    ``tokens``: of the whole answer so far.
    """

    sequence: int
    slot: int
    credit: int
    index: int
    tokens: int
    max_tokens: int | None
    text: TextAssembler
    span: Span
    opened_at: float
    prompt_tokens: int = 0
    cached_tokens: int = 0
    first_token_at: float | None = None
    last_token_at: float = 0.0
    outbox: deque[Piece] = field(default_factory=deque)
    finish: FinishReason | None = None

    @property
    def full(self) -> bool:
        """Whether it has as many tokens as were asked for."""
        return self.max_tokens is not None and self.tokens >= self.max_tokens

    @property
    def able(self) -> bool:
        """Whether the engine may go on with it. The outbox first: it holds at most the tokens of
        one open stop string, since nothing is added while it is not empty."""
        return self.finish is None and self.credit > 0 and not self.outbox
