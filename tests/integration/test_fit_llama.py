"""Estimates against real llama.cpp: what it says that it allocated, and what the process has."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.engines.llama_cpp.memory.compute import Batch, buffer_bytes, output_bytes
from node.engines.llama_cpp.memory.kv import cells
from node.engines.llama_cpp.memory.need import need
from node.engines.llama_cpp.memory.repacked import copied_bytes, twice_bytes
from node.engines.llama_cpp.traits import LlamaCppTraits
from node.models.catalogue import inspect
from node.models.fit import CPU, Corrections, fingerprint, runner_ram_bytes
from training.rigs.gguf_shapes import F16, Q4_0, Recipe, write

pytestmark = [pytest.mark.engine, pytest.mark.processes]

MIB = 1024 * 1024
ROUNDING = 0.006 * MIB  # llama.cpp logs hundredths of a MiB
PLAIN = Recipe(name="plain", width=256, layers=3, heads=4, groups=4, feed_forward=704)
CASES = {
    "plain": (PLAIN, 4, 256),
    "grouped": (replace(PLAIN, heads=8, groups=2, head_width=64, weights=F16), 1, 1000),
    "wide": (replace(PLAIN, feed_forward=2816, vocabulary=20_000), 7, 512),
    "qwen2": (replace(PLAIN, architecture="qwen2", groups=2, tied=True), 2, 700),
    "qwen3": (replace(PLAIN, architecture="qwen3", head_width=128, layers=5), 2, 300),
    "gemma2": (replace(PLAIN, architecture="gemma2", window=512, tied=True, layers=4), 2, 2048),
    "experts": (replace(PLAIN, experts=4, feed_forward=512), 3, 300),
}


def loaded(path: Path, slots: int, context: int) -> dict[str, Any]:
    ended = subprocess.run(
        [sys.executable, "-m", "training.rigs.gguf_load", str(path), str(slots), str(context)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if ended.returncode:
        pytest.fail(f"it did not load: {ended.stderr[-500:]}")
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_formulas_give_what_llama_cpp_allocates(name: str, tmp_path: Path) -> None:
    recipe, slots, context = CASES[name]
    path = write(tmp_path / "model.gguf", recipe)
    facts = inspect(path)
    found = loaded(path, slots, context)
    told = found["told"]
    load = need(facts, context_length=context, slots=slots, gpu_layers=0, device=CPU)
    step = Batch(tokens=min(512, slots * context), slots=slots, cells=cells(context), outputs=slots)
    assert load.ram.weights_bytes == found["weights"]
    assert load.ram.kv_bytes == pytest.approx(told["KV"], abs=ROUNDING)
    assert output_bytes(facts.shape, step) == pytest.approx(told["output"], abs=ROUNDING)
    buffer = buffer_bytes(facts.shape, step, facts.shape.layers)
    assert buffer == pytest.approx(told["compute"], abs=max(ROUNDING, 0.02 * told["compute"]))


def test_a_process_has_what_was_estimated_within_a_tenth(tmp_path: Path) -> None:
    recipe = replace(PLAIN, width=512, layers=6, heads=8, groups=4, feed_forward=1408, context=4096)
    path = write(tmp_path / "model.gguf", recipe)
    found = loaded(path, 4, 2048)
    load = need(inspect(path), context_length=2048, slots=4, gpu_layers=0, device=CPU)
    assert load.ram_bytes == pytest.approx(found["after"], rel=0.1)


def test_weights_that_llama_cpp_copied_are_recognised(tmp_path: Path) -> None:
    recipe = replace(PLAIN, width=1024, layers=6, heads=8, feed_forward=4096, weights=Q4_0)
    path = write(tmp_path / "model.gguf", recipe)
    facts = inspect(path)
    found = loaded(path, 1, 256)
    load = need(facts, context_length=256, slots=1, gpu_layers=0, device=CPU)
    weights = load.ram.weights_bytes
    surplus = found["after"] - found["mapped"] - (load.ram.total_bytes - weights)
    copied = copied_bytes(surplus, facts.shape.quantised_bytes)
    assert copied == pytest.approx(found["told"].get("repacked", 0), abs=MIB)
    assert load.ram_bytes == pytest.approx(
        found["after"] - twice_bytes(found["mapped"], weights, copied), rel=0.1
    )


def test_what_a_process_takes_is_read_while_it_runs_and_corrects_the_next_load(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "model.gguf", PLAIN)
    facts = inspect(path)
    load = need(facts, context_length=256, slots=2, gpu_layers=0, device=CPU)
    with subprocess.Popen(
        [sys.executable, "-c", "input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            taken = runner_ram_bytes(process.pid, LlamaCppTraits(), path, facts, load)
        finally:
            process.kill()
    assert taken is not None
    assert taken > 0
    corrections = Corrections(tmp_path)
    model, engine = fingerprint(path), LlamaCppTraits().version
    measured = load.ram_bytes + 7 * MIB
    corrections.record(load, model=model, engine=engine, ram_bytes=measured)
    assert corrections.apply(load, model=model, engine=engine).ram_bytes == measured


def test_a_process_that_is_gone_has_no_figure(tmp_path: Path) -> None:
    path = write(tmp_path / "model.gguf", PLAIN)
    facts = inspect(path)
    load = need(facts, context_length=256, slots=2, gpu_layers=0, device=CPU)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(timeout=60)
    assert runner_ram_bytes(process.pid, LlamaCppTraits(), path, facts, load) is None
