"""What fits, and what would fit instead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh.errors import ConfigError
from node.engines.base import ModelSpec
from node.engines.llama_cpp.memory.need import need
from node.engines.llama_cpp.traits import LlamaCppTraits
from node.engines.traits import Target
from node.models.catalogue import GgufFacts, inspect
from node.models.fit import CPU, Estimate, Fit, FitGrade
from node.models.fit import fit as fit_for
from training.rigs.gguf_shapes import Recipe, write

GIB = 1024**3
WANTS = ModelSpec(id="m", source="", context_length=4096, slots=4, threads=1)


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> GgufFacts:
    recipe = Recipe(
        name="plan", layers=16, width=2048, heads=16, groups=4, feed_forward=5632, context=32_768
    )
    return inspect(write(tmp_path_factory.mktemp("fit") / "model.gguf", recipe, empty=True))


def load(facts: GgufFacts, wants: ModelSpec, device: str = "GPU-1") -> Estimate:
    return need(
        facts,
        context_length=wants.context_length,
        slots=wants.slots,
        gpu_layers=wants.gpu_layers,
        device=device,
    )


def fit(
    facts: GgufFacts,
    free: int,
    wants: ModelSpec,
    *,
    device: str = CPU,
    **others: Any,
) -> Fit:
    return fit_for(LlamaCppTraits(), wants, facts, free, Target(device=device), **others)


def test_what_fits_says_what_is_left(facts: GgufFacts) -> None:
    found = fit(facts, 16 * GIB, WANTS, device="GPU-1")
    assert found.outcome is FitGrade.FITS
    assert found.left_bytes == 16 * GIB - found.estimate.vram_bytes
    assert "'plan' fits on GPU-1" in found.reason
    assert "all 16 layers on the GPU" in found.reason


@pytest.mark.parametrize("share", [0.9, 0.99, 0.9999, 1.0, 1.0001, 1.5])
@pytest.mark.parametrize("device", ["GPU-1", CPU])
def test_the_bounds_given_are_the_bounds(facts: GgufFacts, share: float, device: str) -> None:
    free = int(share * load(facts, WANTS, device).device_bytes)
    found = fit(facts, free, WANTS, device=device)
    assert (found.outcome is FitGrade.FITS) == (share >= 1.0)

    def takes(**changes: int) -> int:
        wants = replace(WANTS, **changes)  # type: ignore[arg-type]
        return load(facts, wants, device).device_bytes

    assert takes(context_length=found.largest_context) <= free
    assert takes(slots=found.most_slots) <= free
    assert takes(slots=found.most_slots + 1) > free
    if found.largest_context < 32_768:
        assert takes(context_length=found.largest_context + 1) > free
    if device != CPU:
        assert takes(gpu_layers=found.gpu_layers) <= free
        assert found.gpu_layers == 17 or takes(gpu_layers=found.gpu_layers + 1) > free


def test_too_small_for_all_layers_says_how_many_but_moves_none(facts: GgufFacts) -> None:
    free = load(facts, replace(WANTS, gpu_layers=8)).vram_bytes
    found = fit(facts, free, WANTS, device="GPU-1")
    assert found.gpu_layers == 8
    assert found.estimate.offload == "all 16 layers on the GPU"
    assert "gpu_layers 8 (7 of 16 layers and the output on the GPU, the rest on the CPU)" in (
        found.reason
    )
    chosen = fit(facts, free, replace(WANTS, gpu_layers=8), device="GPU-1")
    assert chosen.outcome is FitGrade.FITS
    assert "7 of 16 layers and the output on the GPU, 9 layers on the CPU" in chosen.reason


def test_what_cannot_fit_at_all_says_so_with_the_sums(facts: GgufFacts) -> None:
    found = fit(facts, 1024, WANTS, device="GPU-1")
    assert found.outcome is FitGrade.NO
    assert (found.largest_context, found.most_slots, found.gpu_layers) == (0, 0, 0)
    for word in ("weights", "cache", "compute", "overhead", "free", "smaller model"):
        assert word in found.reason
    assert "\n" not in found.reason


def test_a_gpus_load_needs_ram_too(facts: GgufFacts) -> None:
    assert fit(facts, 16 * GIB, WANTS, device="GPU-1", ram_free_bytes=GIB).outcome is FitGrade.FITS
    found = fit(facts, 16 * GIB, WANTS, device="GPU-1", ram_free_bytes=1024)
    assert found.outcome is FitGrade.NO


def test_a_correction_moves_the_verdict(facts: GgufFacts) -> None:
    free = load(facts, WANTS).vram_bytes
    assert fit(facts, free, WANTS, device="GPU-1").outcome is FitGrade.FITS
    found = fit(
        facts,
        free,
        WANTS,
        device="GPU-1",
        correct=lambda estimate: replace(estimate, correction_vram_bytes=50 * 1024**2),
    )
    assert found.outcome is FitGrade.SMALLER
    assert "measured 50 MiB beside that" in found.reason


def test_no_slots_is_an_error_and_not_a_verdict(facts: GgufFacts) -> None:
    with pytest.raises(ConfigError, match="slots must be at least 1"):
        fit(facts, GIB, replace(WANTS, slots=0))
