"""A model that was meant for a GPU and runs on the CPU says so in its record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh.fleet.records import Gpu, ModelState
from tests.node_fakes import FACTS
from tests.residency_rig import box, gpu, on_gpu

TOO_FULL = gpu(0)


@pytest.mark.parametrize(
    ("changes", "gpus", "fallback"),
    [
        ({"gpu_layers": 20, "allow_cpu": True}, (), True),
        ({"options": {"device": "GPU-1"}, "allow_cpu": True}, (), True),
        ({"allow_cpu": True}, (TOO_FULL,), True),
        ({"allow_cpu": True}, (gpu(8, error="lost"),), True),
        ({"allow_cpu": True}, (gpu(8),), False),  # it fits
        ({"gpu_layers": 0}, (gpu(8),), False),  # it was meant for the CPU
        ({}, (), False),  # all there is, on a box that has no GPU
    ],
)
async def test_only_a_model_that_was_meant_for_a_gpu_falls_back(
    tmp_path: Path, changes: dict[str, Any], gpus: tuple[Gpu, ...], fallback: bool
) -> None:
    async with box(tmp_path, on_gpu(tmp_path, **changes), gpus=gpus) as node:
        await node.until(lambda: node.resident() == {"g"})
        await node.clock.advance(1.0)
        record = node.record("g")
    assert record.cpu_fallback is fallback
    assert record.device == (
        "GPU-1" if gpus == (gpu(8),) and "gpu_layers" not in changes else "cpu"
    )


async def test_an_engine_built_without_gpu_support_falls_back_where_that_is_allowed(
    tmp_path: Path,
) -> None:
    settings = on_gpu(tmp_path, allow_cpu=True)
    async with box(tmp_path, settings, quick=False, gpus=(gpu(8),)) as node:
        await node.until(lambda: "g" in node.runners)
        assert not node.record("g").cpu_fallback
        node.runners["g"].loaded(FACTS)
        await node.until(lambda: node.record("g").cpu_fallback)
        assert "allow_cpu" in node.record("g").note


@pytest.mark.parametrize(
    ("changes", "fallback"), [({}, False), ({"gpu_layers": 20, "allow_cpu": True}, True)]
)
async def test_a_build_that_leaves_the_card_idle_serves_on_the_cpu_and_says_so(
    tmp_path: Path, changes: dict[str, Any], fallback: bool
) -> None:
    gap = "GPU present, engine is CPU-only"
    async with box(tmp_path, on_gpu(tmp_path, **changes), gpus=(gpu(8),), gap=gap) as node:
        await node.until(lambda: node.resident() == {"g"})
        record = node.record("g")
    assert record.device == "cpu"
    assert gap in record.note
    assert record.cpu_fallback is fallback


@pytest.mark.parametrize("changes", [{"gpu_layers": 20}, {"options": {"device": "GPU-1"}}])
async def test_what_is_meant_for_a_gpu_is_refused_where_the_build_has_no_gpus(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    gap = "GPU present, engine is CPU-only"
    async with box(tmp_path, on_gpu(tmp_path, **changes), gpus=(gpu(8),), gap=gap) as node:
        await node.until(lambda: node.record("g").state is ModelState.FAILED)
        error = node.record("g").error or ""
    assert "it is meant for a GPU" in error
    assert gap in error
    assert "allow_cpu = true" in error
