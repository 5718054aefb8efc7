"""What is fuzzed: the modules of this folder that have seeds and a decoder, loaded by name."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.fuzz.mutate import mutated

NAMES = ("registry", "frames", "grpc_messages", "sse", "gguf", "toml", "rules")


@dataclass(frozen=True, slots=True)
class Target:
    """``decode`` returns, or raises one of ``expected``; anything else is a finding."""

    name: str
    seeds: tuple[bytes, ...]
    decode: Callable[[bytes], object]
    expected: tuple[type[Exception], ...]

    def input(self, seed: int, number: int) -> bytes:
        """Input ``number`` of the run with ``seed``: the same bytes each time."""
        return mutated(self.seeds, random.Random(f"{seed} {self.name} {number}"))


def load(name: str) -> Target:
    """Raises ``ValueError`` for a name that is none of ``NAMES``."""
    if name not in NAMES:
        raise ValueError(f"no target {name!r}; there are {', '.join(NAMES)}")
    module = importlib.import_module(f"benchmarks.fuzz.{name}")
    return Target(name, module.SEEDS, module.decode, module.EXPECTED)
