"""What of the engines only a CUDA GPU shows. Run with ``-m gpu`` where there is one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from mesh.types import Message, Role, Sampling
from node.engines.base import Emission, Engine, ModelSpec, Prefilling, Token

torch = pytest.importorskip("torch", reason="engine torch is an extra")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU"),
]
NOBODY: frozenset[int] = frozenset()
EXL2_FOLDER = "SQUADRON_EXL2_FOLDER"  # environment: a folder of EXL2 or GPTQ weights
PROMPTS = ("hello user", "one two four " * 9, "x", "assistant, " * 4)


def user(text: str) -> tuple[Message, ...]:
    return (Message.of(Role.USER, text),)


def said(emissions: Sequence[Emission], slot: int) -> list[int]:
    return [e.id for e in emissions if isinstance(e, Token) and e.slot == slot]


def run(engine: Engine, count: int) -> list[Emission]:
    return [e for _ in range(count) for e in engine.step(NOBODY)]


def alone(engine: Engine, text: str, count: int) -> list[int]:
    engine.open(0, user(text), Sampling(), (), "")
    found = said(run(engine, count + 20), 0)[:count]
    engine.close(0)
    return found


def together(engine: Engine, count: int) -> list[list[int]]:
    emissions: list[Emission] = []
    for slot, text in enumerate(PROMPTS):
        engine.open(slot, user(text), Sampling(), (), "")
        emissions += run(engine, 2)
    emissions += run(engine, count + 20)
    for slot in range(len(PROMPTS)):
        engine.close(slot)
    return [said(emissions, slot)[:count] for slot in range(len(PROMPTS))]


def test_torch_answers_on_the_gpu_as_on_the_cpu_and_gives_its_memory_back(tmp_path: Path) -> None:
    from node.engines.torch.engine import TorchEngine
    from tests.torch_folder import write_random

    folder = write_random(tmp_path / "random", seed=3)
    before = torch.cuda.memory_allocated()
    found = []
    for device in ("cpu", f"GPU-{torch.cuda.get_device_properties(0).uuid}"):
        engine = TorchEngine(seconds=lambda: 0.0)
        facts = engine.load(
            ModelSpec(
                id="tiny",
                source=str(folder),
                slots=4,
                context_length=256,
                threads=1,
                options={"device": device, "dtype": "float32"},
            )
        )
        assert facts.device == device
        found.append(together(engine, 20))
        engine.unload()
        del engine
    assert found[0] == found[1]
    assert torch.cuda.memory_allocated() == before


def test_exllamav2_answers_the_same_beside_others_and_reuses_a_prefix() -> None:
    if not os.environ.get(EXL2_FOLDER):
        pytest.skip(f"{EXL2_FOLDER} names no folder of EXL2 or GPTQ weights")
    from node.engines.exllamav2.engine import ExLlamaV2Engine

    engine = ExLlamaV2Engine()
    facts = engine.load(
        ModelSpec(
            id="exl2",
            source=os.environ[EXL2_FOLDER],
            slots=4,
            context_length=1024,
            threads=1,
        )
    )
    assert facts.device.startswith("GPU-")
    beside = together(engine, 20)
    assert all(len(answer) > 0 for answer in beside)
    text = "one two four " * 150
    first = alone(engine, text, 10)
    prompt = engine.open(1, user(text), Sampling(), (), "")
    again = run(engine, 20)
    cached = [e.cached for e in again if isinstance(e, Prefilling)]
    assert cached[-1] > 0.8 * prompt
    assert said(again, 1)[:10] == first
    engine.unload()
