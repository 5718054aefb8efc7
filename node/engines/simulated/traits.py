"""What engine ``simulated`` says of itself."""

from __future__ import annotations

from node.engines.base import Engine
from node.engines.traits import EngineTraits, ModelFiles


class SimulatedTraits(EngineTraits[ModelFiles]):
    name = "simulated"
    embeds = True
    measured = False  # its times are by formula
    memory_note = ""

    def make(self) -> Engine:
        from node.engines.simulated.engine import SimulatedEngine

        return SimulatedEngine()
