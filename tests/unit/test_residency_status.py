"""What a node says of its models' memory: settings, records on the wire, `mesh status --models`."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from mesh.cli.fleet_models import render_models
from mesh.errors import ConfigError
from mesh.fleet.records import (
    FleetView,
    Gpu,
    Heartbeat,
    ModelLoad,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
    NodeView,
)
from mesh.protobuf.fleet import fleet_from_wire, fleet_to_wire
from mesh.settings.load import load
from mesh.settings.model import ModelSettings
from mesh.settings.node import NodeSettings
from mesh.stream import FleetStatus
from mesh.types import ModelId, NodeId, Specialty
from node.models.residency.measure import vram_bytes

MIB = 2**20
WALL = 1_000_000.0
GPU = Gpu(
    uuid="GPU-7",
    name="NVIDIA GeForce GTX 1080",
    index=0,
    total_bytes=8192 * MIB,
    used_bytes=0,
    free_bytes=8192 * MIB,
)


def model(name: str, state: ModelState, **changes: Any) -> ModelRecord:
    given: dict[str, Any] = {
        "id": ModelId(name),
        "engine": "llama_cpp",
        "specialties": (Specialty("math"),),
        "state": state,
        "slots": 4,
        "used_slots": 0,
        "context_length": 1024,
        "device": "cpu",
    }
    return ModelRecord(**(given | changes))


def listed(*models: ModelRecord, loads: tuple[ModelLoad, ...] = ()) -> FleetStatus:
    """As a client gets it: over the wire, with a heartbeat laid over the record."""
    record = NodeRecord(
        id=NodeId("node-1"),
        instance="i",
        name="box",
        host="h",
        pid=1,
        state=NodeState.READY,
        reason="",
        endpoint="tcp://127.0.0.1:1",
        models=models,
        gpus=(GPU,),
    )
    heartbeat = Heartbeat(node=record.id, state=NodeState.READY, models=loads) if loads else None
    view = NodeView(record=record, heartbeat=heartbeat, link_up=True)
    wire = fleet_to_wire(
        FleetView(nodes={record.id: view}), registry_connected=True, now=0.0, wall=WALL
    )
    return fleet_from_wire(wire)


def shown(fleet: FleetStatus, columns: int) -> str:
    output = io.StringIO()
    Console(file=output, width=columns, highlight=False).print(render_models(fleet, WALL))
    return output.getvalue()


def test_what_a_record_says_of_memory_survives_the_wire() -> None:
    whole = model(
        "a",
        ModelState.RESIDENT,
        pinned=True,
        ttl_s=600.0,
        estimated_bytes=55 * MIB,
        measured_bytes=43 * MIB,
        load_s=0.5,
        note="on the CPU: no NVIDIA driver",
        last_error="it died",
    )
    (node,) = listed(whole, model("b", ModelState.COLD)).nodes
    assert node.record.models == (whole, model("b", ModelState.COLD))


def test_the_hot_part_of_a_heartbeat_is_laid_over_the_record() -> None:
    load_now = ModelLoad(
        model=ModelId("a"),
        state=ModelState.LOADING,
        slots=0,
        used_slots=0,
        queued=3,
        load_percent=40,
        unload_at=WALL + 5,
    )
    (node,) = listed(model("a", ModelState.COLD), loads=(load_now,)).nodes
    (found,) = node.record.models
    assert (found.state, found.queued, found.load_percent) == (ModelState.LOADING, 3, 40)
    assert found.unload_at == WALL + 5
    assert found.slots == 4, "a model has its slots, though it can take nothing now"


@pytest.mark.parametrize("columns", [80, 120])
def test_every_model_has_a_row_that_fits_the_terminal_and_its_words_below(columns: int) -> None:
    fleet = listed(
        model("a", ModelState.RESIDENT, ttl_s=600.0, unload_at=WALL + 90, used_slots=1),
        model("b", ModelState.LOADING, load_percent=40, queued=2, estimated_bytes=5000 * MIB),
        model("c", ModelState.COLD, note="loaded on demand", measured_bytes=43 * MIB),
        model("d", ModelState.FAILED, error="d.gguf is truncated"),
        model("e", ModelState.RESIDENT, pinned=True, device="GPU-7", last_error="it died"),
    )
    text = shown(fleet, columns)
    lines = text.splitlines()
    assert all(len(line) <= columns for line in lines)
    for words in (
        "90s left",
        "loading 40%",
        "0/4 +2",
        "4.9G",
        "43M",
        "GTX 1080",
        "pinned",
        "box: c: loaded on demand",
        "box: d: d.gguf is truncated",
        "box: e: failed before: it died",
    ):
        assert words in text, words


@pytest.mark.parametrize(
    ("models", "changes", "words"),
    [
        ({"ttl_s": 0.1}, {}, "ttl_s must be 1 second"),
        ({"memory_bytes": -1}, {}, "memory_bytes must be 0"),
        ({"slots": 0}, {}, "slots must be 1 to 64"),
        ({}, {"memory_limit_bytes": -5}, "memory_limit_bytes must be 0"),
        ({}, {"reserve_bytes": -5}, "reserve_bytes must be 0"),
        ({}, {"crash_limit": 0}, "crash_limit must be 1 to 100 crashes, not 0"),
        ({}, {"hang_s": 0.0}, "hang_s must be 1 to 3600 seconds, not 0"),
        ({"pined": True}, {}, "unknown key 'models.pined'"),
    ],
)
def test_settings_that_mean_nothing_are_named(
    models: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    given = {"name": "n", "models": [{"source": "a", "specialties": ["math"]} | models]}
    with pytest.raises(ConfigError, match=words):
        load(NodeSettings, given | changes)


def test_by_default_models_stay_and_nothing_may_take_the_cpu_for_a_gpu() -> None:
    settings = ModelSettings(source="a", specialties=("math",))
    assert (settings.pinned, settings.ttl_s, settings.allow_cpu) == (False, None, False)


class FakeNvml:
    """Lists pid 7 with a figure and pid 8 without; fails when told."""

    class NVMLError(Exception):
        pass

    def __init__(self, *, fails: bool = False) -> None:
        self._fails = fails

    def nvmlInit(self) -> None:
        if self._fails:
            raise self.NVMLError("no driver")

    def nvmlShutdown(self) -> None:
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        return uuid

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:
        class Process:
            def __init__(self, pid: int, used: int | None) -> None:
                self.pid, self.usedGpuMemory = pid, used

        return [Process(7, 900 * MIB), Process(8, None)]


def test_vram_of_a_process_is_what_nvml_lists_and_never_a_guess() -> None:
    assert vram_bytes(7, "GPU-7", FakeNvml()) == 900 * MIB
    assert vram_bytes(8, "GPU-7", FakeNvml()) is None
    assert vram_bytes(9, "GPU-7", FakeNvml()) is None
    assert vram_bytes(7, "GPU-7", FakeNvml(fails=True)) is None
