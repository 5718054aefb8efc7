"""What a memo guarantees, and what it remembers of an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mesh.types import FinishReason, ModelId, NodeId, Piece, Specialty


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A whole answer, and who gave it. ``specialty``: as decided then. ``kept_at``: Unix seconds.
    ``tokenizer_hash``: whose ids the pieces have, "" if not known."""

    specialty: Specialty
    pieces: tuple[Piece, ...]
    reason: FinishReason
    model: ModelId
    node: NodeId
    node_name: str
    tokenizer_hash: str
    prompt_tokens: int
    kept_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoCounts:
    """Since the start, except ``entries`` and ``bytes``, which are what this process holds now
    (bytes of real memory, estimated). ``hits`` includes ``shared_hits``, those found in Redis.
    ``too_large``: answers not kept for their size; ``evicted``: pushed out by newer ones;
    ``expired``: found, but too old; ``garbage``: found in Redis, but no answer of ours.
    ``shared_failures``: calls to Redis that failed; ``dropped_writes``: answers that only this
    process kept because Redis was away or behind."""

    hits: int = 0
    misses: int = 0
    kept: int = 0
    too_large: int = 0
    evicted: int = 0
    expired: int = 0
    entries: int = 0
    bytes: int = 0
    shared_hits: int = 0
    shared_failures: int = 0
    dropped_writes: int = 0
    garbage: int = 0


class Memo(Protocol):
    """Answers by key (``orchestrator/memo/key.py``; 32 bytes).

    * Never raises for what its store does: whatever goes wrong there is a miss, and ``trouble``
      says so in a few words that a client may read ("" when all is well).
    * What is kept is found again until its time is over or newer answers need the room, and never
      after its time; of two kept under one key the later counts.
    * What ``look`` gives has been checked, wherever it was kept.
    * Memory is bounded, in bytes.
    """

    @property
    def max_answer_bytes(self) -> int:
        """Larger answers are not kept; bytes as ``orchestrator/memo/codec.py`` encodes them."""
        ...

    @property
    def timeout_s(self) -> float:
        """The longest that ``look`` may take."""
        ...

    @property
    def counts(self) -> MemoCounts: ...

    @property
    def trouble(self) -> str: ...

    async def look(self, key: bytes) -> Remembered | None:
        """The answer, None where there is none. Does not suspend for what this process holds."""
        ...

    async def keep(self, key: bytes, remembered: Remembered) -> bool:
        """Whether it was kept. Never waits for a network."""
        ...

    async def run(self) -> None:
        """Owns connections and tasks, until cancelled; ``look`` and ``keep`` also work without it,
        by what this process holds."""
        ...
