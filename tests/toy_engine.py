"""An engine of somebody else's, in a distribution of its own: says the words of a file, over and
over. What a test puts on the path here is all that there is of it.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest

PACKAGE = """
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import ModelFileError
from node.engines.base import ModelFacts, Prefilling, Token
from node.engines.estimate import CPU, Estimate, Parts
from node.engines.traits import EngineTraits, Source

MIB = 2**20


@dataclass(frozen=True)
class Words:
    name: str
    file_bytes: int
    architecture: str = "parrot"
    parameters: int = 0
    quantisation: str = "words"
    context_length: int = 1024
    embeds: bool = False


class Parrot:
    def load(self, spec):
        self.words = Path(spec.source).read_text().split()
        self.slots = {}
        return ModelFacts(context_length=spec.context_length, device="cpu", architecture="parrot")

    def open(self, slot, messages, sampling, delivered, delivered_text):
        self.slots[slot] = len(delivered) or len(delivered_text.split())
        return 1

    def step(self, held):
        found = []
        for slot in self.slots.keys() - held:
            at = self.slots[slot]
            word = self.words[at % len(self.words)]
            found += [Prefilling(slot, 1, 1), Token(slot, at, f"{word} ".encode())]
            self.slots[slot] += 1
        return found

    def close(self, slot):
        self.slots.pop(slot, None)

    def unload(self):
        self.slots.clear()


class ParrotTraits(EngineTraits[Words]):
    name = "parrot"
    distribution = "squadron-parrot"
    sources = frozenset({Source.FILE})

    def make(self):
        return Parrot()

    def check(self, path):
        if path.suffix != ".words":
            raise ModelFileError(f"{path} has no words")

    def inspect(self, path):
        return Words(path.stem, path.stat().st_size)

    def estimate(self, spec, files, target):
        size = Parts(weights_bytes=files.file_bytes, kv_bytes=spec.slots * MIB)
        return Estimate(
            device=target.device, context_length=spec.context_length, slots=spec.slots,
            kv_type="words", layers=1, gpu_layers=0, gpu=Parts() if target.device == CPU else size,
            ram=size, kv_slot_bytes=MIB,
        )

    def runner_environment(self, spec):
        return {"PARROT": "1"}


class MineTraits(EngineTraits[Words]):
    name = "mine"

    def make(self):
        return Parrot()


class Misnamed(EngineTraits[Words]):
    name = "another"


not_traits = Parrot
"""
ENTRY_POINTS = """[squadron.engines]
parrot = parrot_engine:ParrotTraits
mine = parrot_engine:MineTraits
misnamed = parrot_engine:Misnamed
undescribed = parrot_engine:not_traits
absent = parrot_engine:Nothing
"""
METADATA = "Metadata-Version: 2.1\nName: squadron-parrot\nVersion: 1.2\n"


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the path of this process and of those that it starts, until the test ends."""
    about = folder / "squadron_parrot-1.2.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(METADATA)
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    (folder / "parrot_engine.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(folder))
    path = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", str(folder) + (f":{path}" if path else ""))
    monkeypatch.delitem(sys.modules, "parrot_engine", raising=False)
    importlib.invalidate_caches()
