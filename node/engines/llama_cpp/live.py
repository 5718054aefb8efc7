"""What engine ``llama_cpp`` holds while a model is loaded and sequences are open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from node.engines.chat_template import PromptBuilder
from node.engines.llama_cpp.sampling import Candidates, Sampler
from node.engines.llama_cpp.speculation import Lookup, Speculation
from node.engines.llama_cpp.vocabulary import Vocabulary
from node.engines.scheduler import Work


@dataclass(slots=True)
class LiveSequence:
    """An open slot. ``cache``: its KV sequence. The first ``evaluated`` of ``tokens`` are in the
    cache, the first ``prefill`` were there at the start; the rest was drawn. ``lookup``: of one
    whose next tokens may be guessed."""

    slot: int
    cache: int
    arrival: int
    tokens: list[int]
    prefill: int
    cached: int
    evaluated: int
    sampler: Sampler
    lookup: Lookup | None = None
    ended: bool = False

    @property
    def work(self) -> Work:
        return Work(
            slot=self.slot, prefill=max(0, self.prefill - self.evaluated), arrival=self.arrival
        )


@dataclass(slots=True, kw_only=True)
class LiveModel:
    """What ``load`` made; freed by ``unload``."""

    model: Any
    context: Any
    memory: Any
    batch: Any
    batch_size: int
    vocabulary: Vocabulary
    prompts: PromptBuilder
    candidates: Candidates
    speculation: Speculation | None
    context_length: int
