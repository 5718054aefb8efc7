"""What a torch model is reserved before it is loaded, against what its runner then takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest

from mesh.fleet.records import ModelState
from mesh.settings.model import ModelSettings
from mesh.types import Message, ModelId, Role, Sampling
from node.models.fit import CPU, Corrections
from node.models.prepared import prepare
from node.models.residency.needs import needs
from node.runner.messages import Opening
from node.runner.process import RunnerProcess
from tests.runner_rig import make, read, run, until

pytest.importorskip("torch", reason="engine torch is an extra")
pytest.importorskip("transformers", reason="engine torch is an extra")
from tests.torch_folder import write_random

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]

CONTEXT, WITHIN = 1024, 0.15
WIDE = {"hidden_size": 768, "intermediate_size": 2304, "num_hidden_layers": 8}
DEEP = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 16}


@pytest.mark.parametrize(
    ("shape", "slots", "options"),
    [
        (WIDE | {"num_attention_heads": 12, "num_key_value_heads": 12}, 2, {}),
        (DEEP | {"num_attention_heads": 8, "num_key_value_heads": 2}, 6, {}),
        (WIDE | {"num_attention_heads": 12, "num_key_value_heads": 4}, 4, {"dtype": "bfloat16"}),
    ],
    ids=["wide", "deep, GQA", "bfloat16"],
)
async def test_the_estimate_is_near_what_is_taken_with_every_slot_full(
    tmp_path: Path, shape: dict[str, Any], slots: int, options: dict[str, Any]
) -> None:
    folder = write_random(tmp_path / "m", max_position_embeddings=CONTEXT, **shape)
    settings = ModelSettings(
        source=str(folder), specialties=("chat",), engine="torch", slots=slots, options=options
    )
    known = prepare(settings, ModelId("m"), 1)
    assert known.files is not None
    found = needs(settings, known, gpus=(), accelerator="none", corrections=Corrections(tmp_path))
    estimated = found.estimates[CPU].ram_bytes
    runner = make(
        engine="torch",
        source=str(folder),
        slots=slots,
        context_length=known.spec.context_length,
        options=options,
    )
    async with run(runner):
        await until(lambda: runner.state is not ModelState.LOADING and runner.pid is not None)
        assert runner.state is ModelState.RESIDENT, runner.error
        taken = await filled(runner, slots)
    assert abs(estimated / taken - 1) < WITHIN, f"{estimated / 2**20:.0f} of {taken / 2**20:.0f}"


async def filled(runner: RunnerProcess, slots: int) -> int:
    """The process's resident memory once every slot has had nearly its whole context. Not its
    proportional share, as agents measure: that shrinks with every test beside it that has PyTorch's
    libraries mapped."""
    text = "hello one two four " * (CONTEXT // 14)
    sequences = [
        runner.open(
            Opening(
                messages=(Message.of(Role.USER, f"{slot} {text}"),),
                sampling=Sampling(max_tokens=4),
                credit=64,
            )
        )
        for slot in range(slots)
    ]
    for sequence in sequences:
        pieces, _ = await read(sequence)
        assert pieces
    return int(psutil.Process(runner.pid).memory_info().rss)
