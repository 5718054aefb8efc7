"""Models on a node's devices, on twins: GPUs that vanish, the CPU and why, what cannot fit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mesh.fleet.records import Gpu, ModelState
from mesh.transport.base import Refused
from node.hardware.gpu import NO_DRIVER
from tests.node_fakes import FACTS
from tests.residency_rig import GIB, box, gpu, model, on_gpu


async def test_a_model_is_placed_on_a_gpu_by_its_uuid(tmp_path: Path) -> None:
    async with box(tmp_path, on_gpu(tmp_path), gpus=(gpu(8),)) as node:
        await node.until(lambda: node.resident() == {"g"})
        assert node.runners["g"].spec.options["device"] == "GPU-1"
        assert node.record("g").device == "GPU-1"
        assert node.record("g").estimated_bytes > 0


async def test_a_gpu_that_vanishes_fails_its_models_clearly_and_they_come_back_with_it(
    tmp_path: Path,
) -> None:
    async with box(tmp_path, on_gpu(tmp_path), model("b"), gpus=(gpu(8),)) as node:
        await node.until(lambda: node.resident() == {"g", "b"})
        lost = gpu(8, error="GPU 0 does not answer: GPU is lost")
        for _ in range(2):
            node.residency.see((lost,), "1 GPU", node.clock.now())
            await node.clock.advance(1.0)
        await node.until(lambda: node.record("g").state is ModelState.FAILED)
        assert "GPU is lost" in (node.record("g").error or "")
        (refused,) = await node.ask("g")
        assert isinstance(refused, Refused)
        assert "its device is lost: GPU 0 does not answer: GPU is lost" in refused.message
        assert node.resident() == {"b"}
        node.residency.see((gpu(8),), "1 GPU", node.clock.now())
        await node.until(lambda: node.resident() == {"g", "b"})


async def test_one_bad_reading_of_a_gpu_fails_nothing(tmp_path: Path) -> None:
    async with box(tmp_path, on_gpu(tmp_path), gpus=(gpu(8),)) as node:
        await node.until(lambda: node.resident() == {"g"})
        node.residency.see((gpu(8, error="hiccup"),), "1 GPU", node.clock.now())
        await node.clock.advance(1.0)
        node.residency.see((gpu(8),), "1 GPU", node.clock.now())
        await node.clock.advance(5.0)
        assert node.made == ["g"]


async def test_a_gpu_that_is_asked_for_and_not_there_is_refused_in_words(tmp_path: Path) -> None:
    async with box(tmp_path, on_gpu(tmp_path, gpu_layers=20)) as node:
        await node.until(lambda: node.record("g").state is ModelState.FAILED)
        error = node.record("g").error or ""
    assert "gpu_layers = 20 asks for a GPU, which this node has not" in error
    assert "allow_cpu = true" in error


@pytest.mark.parametrize("changes", [{"gpu_layers": 20, "allow_cpu": True}, {"gpu_layers": -1}])
async def test_a_model_on_the_cpu_says_so_and_why(tmp_path: Path, changes: dict[str, Any]) -> None:
    async with box(tmp_path, on_gpu(tmp_path, **changes)) as node:
        await node.until(lambda: node.resident() == {"g"})
        record = node.record("g")
        assert node.runners["g"].spec.gpu_layers == 0
    assert record.device == "cpu"
    assert NO_DRIVER in record.note


async def test_an_engine_without_gpu_support_does_not_take_the_cpu_in_silence(
    tmp_path: Path,
) -> None:
    async with box(tmp_path, on_gpu(tmp_path), quick=False, gpus=(gpu(8),)) as node:
        await node.until(lambda: "g" in node.runners)
        node.runners["g"].loaded(FACTS)
        await node.until(lambda: node.record("g").state is ModelState.FAILED)
        assert "runs on the CPU only" in (node.record("g").error or "")
        assert node.runners["g"].stopped


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(b"not a model at all, only text"), "GGUF"),
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "truncated"),
        (lambda path: path.unlink(), "does not exist"),
    ],
)
async def test_a_bad_file_is_in_the_record_and_a_good_one_in_its_place_is_loaded(
    tmp_path: Path, spoil: Callable[[Path], object], words: str
) -> None:
    settings = on_gpu(tmp_path)
    path = tmp_path / "tiny.gguf"
    good = await asyncio.to_thread(path.read_bytes)
    spoil(path)
    async with box(tmp_path, settings, model("b")) as node:
        await node.until(lambda: node.record("g").state is ModelState.FAILED)
        assert words in (node.record("g").error or "")
        (refused,) = await node.ask("g")
        assert words in refused.message
        await node.until(lambda: node.resident() == {"b"})
        await asyncio.to_thread(path.write_bytes, good)
        await node.until(lambda: node.resident() == {"b", "g"})


async def test_a_context_longer_than_the_models_is_refused(tmp_path: Path) -> None:
    async with box(tmp_path, on_gpu(tmp_path, context_length=1_000_000)) as node:
        await node.until(lambda: node.record("g").state is ModelState.FAILED)
        assert "1000000 tokens is more than" in (node.record("g").error or "")


async def test_a_model_larger_than_the_device_fails_with_the_sums(tmp_path: Path) -> None:
    async with box(tmp_path, on_gpu(tmp_path), gpus=(gpu(0.01),)) as node:
        node.residency.see((gpu(0.01),), "1 GPU", node.clock.now())
        await node.until(lambda: node.slots("g") == 0)
        small = Gpu(
            uuid="GPU-1",
            name="card",
            index=0,
            total_bytes=GIB // 100,
            used_bytes=0,
            free_bytes=GIB // 100,
        )
        node.residency.see((small,), "1 GPU", node.clock.now())
        await node.until(lambda: node.record("g").state is ModelState.FAILED)
        error = node.record("g").error or ""
    assert "does not fit" in error
    assert "weights" in error
