"""What engine ``openai`` says of itself."""

from __future__ import annotations

from node.engines.base import Engine
from node.engines.traits import EngineTraits, ModelFiles


class OpenAiTraits(EngineTraits[ModelFiles]):
    name = "openai"
    embeds = True
    measured = False  # somebody else's hardware, whose time may cost money
    memory_note = "not estimated: the upstream has the model"

    def make(self) -> Engine:
        from node.engines.openai.engine import OpenAiEngine

        return OpenAiEngine()
