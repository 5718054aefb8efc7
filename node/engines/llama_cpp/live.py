"""What engine ``llama_cpp`` holds while a model is loaded and sequences are open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from node.engines.chat_template import PromptBuilder
from node.engines.llama_cpp.sampling import Candidates, Sampler
from node.engines.llama_cpp.speculation import Lookup, Speculation
from node.engines.llama_cpp.vocabulary import Vocabulary


@dataclass(slots=True)
class Drawing:
    """How a slot's tokens are drawn. ``lookup``: of one whose next tokens may be guessed."""

    sampler: Sampler
    lookup: Lookup | None


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
