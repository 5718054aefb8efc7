"""What loads really took corrects the next estimate."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from node.engines.llama_cpp.memory.repacked import copied_bytes, twice_bytes
from node.engines.llama_cpp.traits import LlamaCppTraits
from node.engines.traits import EngineTraits, ModelFiles
from node.models.fit import Basis, Corrections, Estimate, Parts, fingerprint
from node.models.fit.measured import FILE, MAX_ENTRIES
from node.models.kept import MAX_BYTES

MIB = 1024 * 1024
MODEL, ENGINE = "m.gguf:1:2", "llama_cpp 1.0"


def estimate(context_length: int = 1024, slots: int = 4, device: str = "GPU-1") -> Estimate:
    parts = Parts(
        weights_bytes=1000 * MIB,
        kv_bytes=context_length * slots * 1024,
        compute_bytes=100 * MIB,
        overhead_bytes=300 * MIB,
    )
    return Estimate(
        device=device,
        context_length=context_length,
        slots=slots,
        kv_type="f16",
        layers=10,
        gpu_layers=11,
        gpu=parts,
        ram=parts,
        kv_slot_bytes=context_length * 1024,
        notes=("a doubt",),
    )


def record(corrections: Corrections, load: Estimate, beyond_mib: int, model: str = MODEL) -> None:
    corrections.record(
        load,
        model=model,
        engine=ENGINE,
        vram_bytes=load.gpu.total_bytes + beyond_mib * MIB,
        ram_bytes=load.ram.total_bytes,
    )


def test_the_same_load_again_is_what_was_measured(tmp_path: Path) -> None:
    record(Corrections(tmp_path), estimate(), 77)
    found = Corrections(tmp_path).apply(estimate(), model=MODEL, engine=ENGINE)
    assert found.vram_bytes == estimate().gpu.total_bytes + 77 * MIB
    assert found.basis is Basis.MEASURED
    assert found.notes == ()


def test_a_corrected_estimate_may_be_recorded_without_counting_twice(tmp_path: Path) -> None:
    corrections = Corrections(tmp_path)
    record(corrections, estimate(), 77)
    corrected = corrections.apply(estimate(), model=MODEL, engine=ENGINE)
    record(corrections, corrected, 77)
    again = corrections.apply(estimate(), model=MODEL, engine=ENGINE)
    assert again.vram_bytes == corrected.vram_bytes


def test_one_reading_carries_its_difference_to_other_sizes(tmp_path: Path) -> None:
    corrections = Corrections(tmp_path)
    record(corrections, estimate(1024), -120)
    found = corrections.apply(estimate(8192), model=MODEL, engine=ENGINE)
    assert found.correction_vram_bytes == -120 * MIB
    assert found.basis is Basis.SCALED
    assert found.notes == ("a doubt",)


def test_two_readings_carry_on_along_their_line(tmp_path: Path) -> None:
    corrections = Corrections(tmp_path)
    record(corrections, estimate(1024), 10)
    record(corrections, estimate(2048), 12)
    found = corrections.apply(estimate(4096), model=MODEL, engine=ENGINE)
    assert found.correction_vram_bytes == 16 * MIB


def test_a_steep_line_is_taken_for_noise(tmp_path: Path) -> None:
    corrections = Corrections(tmp_path)
    record(corrections, estimate(1024), 0)
    record(corrections, estimate(1025), 500)
    found = corrections.apply(estimate(2048), model=MODEL, engine=ENGINE)
    growth = (2048 - 1025) * 4 * 1024
    assert found.correction_vram_bytes == 500 * MIB + growth // 2


def test_weights_and_cache_are_never_corrected_away(tmp_path: Path) -> None:
    corrections = Corrections(tmp_path)
    record(corrections, estimate(), -5000)
    found = corrections.apply(estimate(4096), model=MODEL, engine=ENGINE)
    assert found.vram_bytes == found.gpu.weights_bytes + found.gpu.kv_bytes


@pytest.mark.parametrize(
    "other",
    [
        {"device": "GPU-2"},
        {"kv_type": "q8_0"},
        {"gpu_layers": 5},
    ],
)
def test_another_kind_of_load_is_not_corrected(tmp_path: Path, other: dict[str, object]) -> None:
    corrections = Corrections(tmp_path)
    record(corrections, estimate(), 77)
    wanted = replace(estimate(), **other)  # type: ignore[arg-type]
    assert corrections.apply(wanted, model=MODEL, engine=ENGINE) is wanted


def test_another_file_or_engine_is_not_corrected(tmp_path: Path) -> None:
    corrections = Corrections(tmp_path)
    record(corrections, estimate(), 77)
    wanted = estimate()
    assert corrections.apply(wanted, model="other", engine=ENGINE) is wanted
    assert corrections.apply(wanted, model=MODEL, engine="llama_cpp 2.0") is wanted


def test_what_was_not_measured_corrects_nothing(tmp_path: Path) -> None:
    corrections = Corrections(tmp_path)
    corrections.record(estimate(), model=MODEL, engine=ENGINE)
    wanted = estimate()
    assert corrections.apply(wanted, model=MODEL, engine=ENGINE) is wanted


def test_the_oldest_reading_goes_when_there_are_too_many(tmp_path: Path) -> None:
    corrections = Corrections(tmp_path)
    for number in range(MAX_ENTRIES + 1):
        record(corrections, estimate(), 7, model=f"model-{number}")
    again = Corrections(tmp_path)
    assert (tmp_path / FILE).stat().st_size < MAX_BYTES
    assert again.apply(estimate(), model="model-0", engine=ENGINE).basis is Basis.FORMULA
    for number in (1, MAX_ENTRIES):
        found = again.apply(estimate(), model=f"model-{number}", engine=ENGINE)
        assert found.basis is Basis.MEASURED


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00garbage",
        b"[]",
        b'{"format": 1}',
        b'{"format": 99, "readings": []}',
        b'{"format": 1, "readings": [{"key": 3}]}',
        b" " * (MAX_BYTES + 10),
    ],
)
def test_a_damaged_file_counts_as_empty_with_one_line(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        corrections = Corrections(tmp_path)
    assert len(caplog.records) == 1
    wanted = estimate()
    assert corrections.apply(wanted, model=MODEL, engine=ENGINE) is wanted
    record(corrections, wanted, 5)
    again = Corrections(tmp_path).apply(wanted, model=MODEL, engine=ENGINE)
    assert again.basis is Basis.MEASURED


def test_a_folder_that_cannot_be_written_is_logged_and_the_reading_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("not a folder")
    corrections = Corrections(tmp_path / "file")
    with caplog.at_level(logging.WARNING):
        record(corrections, estimate(), 5)
    assert "cannot keep measured model sizes" in caplog.text
    found = corrections.apply(estimate(), model=MODEL, engine=ENGINE)
    assert found.basis is Basis.MEASURED


def test_a_changed_file_has_another_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"one")
    before = fingerprint(path)
    assert before == fingerprint(path)
    os.utime(path, ns=(1, 1))
    assert fingerprint(path) != before


def test_an_engine_without_a_package_has_a_name_only() -> None:
    class Toy(EngineTraits[ModelFiles]):
        name = "toy"
        distribution = "no-such-package-anywhere"

    assert Toy().version == "toy"
    assert LlamaCppTraits().version.startswith("llama_cpp 0.")


@pytest.mark.parametrize(
    ("surplus", "copied"),
    [(-40, 0), (30, 0), (95, 100), (130, 100), (390, 400), (520, 500), (900, 500)],
)
def test_whole_types_were_copied_or_not(surplus: int, copied: int) -> None:
    assert copied_bytes(surplus, (400, 100)) == copied


def test_originals_of_copied_weights_are_not_needed() -> None:
    assert twice_bytes(mapped=500, weights=500, copied=0) == 0
    assert twice_bytes(mapped=500, weights=500, copied=400) == 400
    # Only part of the file is in memory: the rest of the weights first.
    assert twice_bytes(mapped=150, weights=500, copied=400) == 50
    assert twice_bytes(mapped=50, weights=500, copied=400) == 0
