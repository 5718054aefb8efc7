"""What engine ``tools`` says of itself."""

from __future__ import annotations

from mesh.extras import require
from node.engines.base import Engine
from node.engines.traits import EngineTraits, ModelFiles


class ToolsTraits(EngineTraits[ModelFiles]):
    name = "tools"
    measured = False  # it makes no tokens
    instant = True
    memory_note = ""

    def make(self) -> Engine:
        require("exact")
        from node.engines.tools.engine import ToolsEngine

        return ToolsEngine()
