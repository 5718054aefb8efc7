"""When a node's record is worth a write, and what state its models make it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mesh.fleet.records import (
    Cpu,
    Gpu,
    Memory,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
)
from mesh.types import ModelId, NodeId, Specialty
from node.record import MIB, due, status

GIB = 1024 * MIB

GPU = Gpu(
    uuid="GPU-1",
    name="card",
    index=0,
    total_bytes=24 * GIB,
    used_bytes=4 * GIB,
    free_bytes=20 * GIB,
    temperature_c=50.0,
)
MODEL = ModelRecord(
    id=ModelId("toy"),
    engine="simulated",
    specialties=(Specialty("math"),),
    state=ModelState.RESIDENT,
    slots=4,
    used_slots=0,
    context_length=512,
    device="cpu",
)
RECORD = NodeRecord(
    id=NodeId("node-1"),
    instance="i",
    name="math",
    host="box",
    pid=1,
    state=NodeState.READY,
    reason="",
    endpoint="tcp://127.0.0.1:1",
    models=(MODEL,),
    gpus=(GPU,),
    cpu=Cpu(name="cpu", physical_cores=2, logical_cores=4, load=0.2),
    memory=Memory(total_bytes=16 * GIB, available_bytes=8 * GIB),
)


def gpu(**changes: Any) -> NodeRecord:
    return replace(RECORD, gpus=(replace(GPU, **changes),))


def model(**changes: Any) -> NodeRecord:
    return replace(RECORD, models=(replace(MODEL, **changes),))


def load(share: float) -> NodeRecord:
    return replace(RECORD, cpu=Cpu(name="cpu", physical_cores=2, logical_cores=4, load=share))


def free_memory(size: int) -> NodeRecord:
    return replace(RECORD, memory=Memory(total_bytes=16 * GIB, available_bytes=size))


@pytest.mark.parametrize(
    ("new", "age_s", "expected"),
    [
        pytest.param(RECORD, 1e6, False, id="nothing new is never written again"),
        pytest.param(model(state=ModelState.FAILED, error="x"), 0, True, id="a model's state"),
        pytest.param(replace(RECORD, state=NodeState.DRAINING), 0, True, id="the node's state"),
        pytest.param(model(used_slots=3), 1e6, False, id="slots ride on heartbeats"),
        pytest.param(replace(RECORD, updated_at=9.0), 1e6, False, id="time itself"),
        pytest.param(gpu(free_bytes=20 * GIB - 64 * MIB), 0.5, False, id="VRAM too soon"),
        pytest.param(gpu(free_bytes=20 * GIB - 64 * MIB), 1.0, True, id="VRAM by 64 MiB"),
        pytest.param(gpu(free_bytes=20 * GIB - 63 * MIB), 9.0, False, id="VRAM by less"),
        pytest.param(gpu(error="lost"), 0, True, id="a lost GPU"),
        pytest.param(replace(RECORD, gpus=()), 0, True, id="no GPU any more"),
        pytest.param(gpu(temperature_c=80.0), 9.9, False, id="heat too soon"),
        pytest.param(gpu(temperature_c=80.0), 10.0, True, id="heat"),
        pytest.param(gpu(temperature_c=None), 10.0, True, id="a sensor that stopped"),
        pytest.param(load(0.9), 9.9, False, id="load too soon"),
        pytest.param(load(0.9), 10.0, True, id="load"),
        pytest.param(load(0.25), 10.0, False, id="load that hardly moved"),
        pytest.param(free_memory(7 * GIB), 9.9, False, id="memory too soon"),
        pytest.param(free_memory(7 * GIB), 10.0, True, id="memory"),
        pytest.param(free_memory(8 * GIB - MIB), 60.0, False, id="memory that hardly moved"),
    ],
)
def test_a_record_is_written_on_meaningful_change_only(
    new: NodeRecord, age_s: float, expected: bool
) -> None:
    assert due(new, RECORD, age_s) is expected


def test_the_first_record_is_always_written() -> None:
    assert due(RECORD, None, 0.0)


def test_one_percent_counts_on_a_small_device() -> None:
    small = replace(GPU, total_bytes=1 * GIB, free_bytes=512 * MIB)
    before = replace(RECORD, gpus=(small,))
    after = replace(RECORD, gpus=(replace(small, free_bytes=500 * MIB),))
    assert due(after, before, 1.0)


@pytest.mark.parametrize(
    ("states", "expected", "reason"),
    [
        ([ModelState.RESIDENT, ModelState.FAILED], NodeState.READY, ""),
        ([ModelState.RESIDENT, ModelState.LOADING], NodeState.READY, ""),
        ([ModelState.COLD], NodeState.READY, ""),
        ([ModelState.LOADING, ModelState.FAILED], NodeState.STARTING, "loading m0 (e0)"),
        (
            [ModelState.FAILED, ModelState.FAILED],
            NodeState.FAILED,
            "no model works: m0: e0; m1: e1",
        ),
    ],
)
def test_a_node_is_as_good_as_its_best_model(
    states: list[ModelState], expected: NodeState, reason: str
) -> None:
    models = [
        replace(MODEL, id=ModelId(f"m{i}"), state=state, error=f"e{i}")
        for i, state in enumerate(states)
    ]
    assert (status(models, draining=False).state, status(models, draining=False).reason) == (
        expected,
        reason,
    )
    assert status(models, draining=True).state is NodeState.DRAINING
