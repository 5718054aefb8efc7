"""What a GGUF model is planned to take: all that its settings ask for, where they ask for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh.errors import ConfigError
from mesh.settings.model import ModelSettings
from mesh.types import ModelId
from node.models.fit import CPU, Corrections
from node.models.prepared import prepare
from node.models.residency.needs import Needs, needs, sums
from node.models.residency.state import Device
from tests.gguf import write_random

MIB = 2**20


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_random(tmp_path / "tiny.gguf")


def model(file: Path, **changes: Any) -> ModelSettings:
    given: dict[str, Any] = {"source": str(file), "specialties": ("chat",), "slots": 4}
    return ModelSettings(**(given | changes))


def needed(file: Path, **changes: Any) -> Needs:
    made = model(file, **changes)
    return needs(
        made,
        prepare(made, ModelId("m"), 1),
        gpus=(),
        accelerator="no driver",
        corrections=Corrections(file.parent),
    )


def size(file: Path, **options: Any) -> int:
    return needed(file, options=options).options[0].bytes


def test_adapters_are_counted_with_the_model(file: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter.gguf"
    adapter.write_bytes(bytes(3 * MIB))
    assert size(file, lora=[{"path": str(adapter)}]) == size(file) + 3 * MIB
    assert size(file, lora=[{"path": str(tmp_path / "none")}]) == size(file)
    assert size(file, lora="nonsense") == size(file), "the engine says what is wrong with it"


def test_what_speculation_and_a_smaller_batch_change_is_counted(file: Path) -> None:
    assert size(file, speculative=True) > size(file)
    assert size(file, batch=32) < size(file)
    with pytest.raises(ConfigError, match="speculative"):
        size(file, speculative="yes")


def test_a_model_for_the_cpu_has_no_note_and_one_without_a_gpu_says_why(file: Path) -> None:
    assert needed(file, gpu_layers=0).note == ""
    assert needed(file).note == "on the CPU: no driver"
    assert not needed(file).for_gpu
    assert needed(file, gpu_layers=4, allow_cpu=True).for_gpu


def test_the_sums_count_what_the_plan_counts_and_what_was_measured(
    file: Path, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter.gguf"
    adapter.write_bytes(bytes(64 * MIB))
    made = model(file, options={"lora": [{"path": str(adapter)}]})
    known = prepare(made, ModelId("m"), 1)
    corrections = Corrections(tmp_path)
    found = needs(made, known, gpus=(), accelerator="", corrections=corrections)
    load = found.estimates[CPU]
    corrections.record(
        load,
        model=found.fingerprint,
        engine=found.engine_version,
        ram_bytes=load.ram_bytes + 50 * MIB,
    )
    words = sums(
        made, known, found, Device(id=CPU, total_bytes=MIB, free_bytes=MIB), None, corrections
    )
    assert "does not fit" in words
    assert f"needs {(load.ram_bytes + 50 * MIB) / MIB:,.0f} MiB" in words
    assert "measured 50 MiB beside that" in words


def test_a_model_that_embeds_needs_an_output_for_every_token_of_its_longest_text(
    file: Path,
) -> None:
    """And its slots share one text's cells: more of them cost nothing."""
    options = {"embedding": True}
    short = needed(file, options=options, context_length=64).options[0].bytes
    long = needed(file, options=options, context_length=256).options[0].bytes
    assert long > short
    four, eight = (needed(file, options=options, slots=n).options[0].bytes for n in (4, 8))
    assert four == eight
