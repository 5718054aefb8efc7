"""What a node's heartbeat says of the wait: by measured speeds, else by how long answers took."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.fleet.records import ModelLoad, ModelState
from mesh.types import ModelId, NodeId, Usage
from node.models.calibration import Calibration, Speeds
from node.serve.server import AttemptServer


def hosted(name: str, used: int, state: ModelState = ModelState.RESIDENT) -> Any:
    return SimpleNamespace(id=ModelId(name), state=state, slots=4, used_slots=used)


def server_of(folder: Path, *models: Any, queued: int = 0, **speeds: Speeds) -> AttemptServer:
    clock = ManualClock()
    calibration = Calibration(folder, clock=clock, rng=random.Random(1))
    calibration._speeds |= speeds
    for name in speeds:
        for _ in range(50):
            usage = Usage(prompt_tokens=0, completion_tokens=100)
            calibration.answered(ModelId(name), usage)
    lines: Any = SimpleNamespace(
        loads=lambda: [SimpleNamespace(model=each.id, queued=queued) for each in models]
    )
    return AttemptServer(
        NodeId("n"),
        models,
        clock=clock,
        on_change=lambda: None,
        residency=lines,
        calibration=calibration,
    )


FAST = Speeds(slots=4, decode_tps=50.0, decode_tps_full=200.0)
SLOW = Speeds(slots=4, decode_tps=5.0, decode_tps_full=20.0)


def test_a_full_model_says_how_long_by_its_speed(tmp_path: Path) -> None:
    assert server_of(tmp_path, hosted("a", 4), a=FAST).expected_wait_s() == pytest.approx(0.5)


def test_its_line_counts(tmp_path: Path) -> None:
    server = server_of(tmp_path, hosted("a", 4), queued=3, a=FAST)
    assert server.expected_wait_s() == pytest.approx(2.0)


def test_of_several_models_the_one_that_is_free_first_counts(tmp_path: Path) -> None:
    both = hosted("a", 4), hosted("b", 4)
    assert server_of(tmp_path, *both, a=SLOW, b=FAST).expected_wait_s() == pytest.approx(0.5)
    one_free = hosted("a", 4), hosted("b", 3)
    assert server_of(tmp_path, *one_free, a=FAST).expected_wait_s() == 0.0


def test_without_speeds_the_mean_of_answers_counts_and_it_is_0_at_first(tmp_path: Path) -> None:
    server = server_of(tmp_path, hosted("a", 4))
    assert server.expected_wait_s() == 0.0
    server._mean_s = 8.0
    assert server.expected_wait_s() == pytest.approx(2.0)


def test_models_that_are_not_resident_do_not_count(tmp_path: Path) -> None:
    cold = hosted("b", 0, ModelState.COLD)
    assert server_of(tmp_path, hosted("a", 4), cold, a=FAST).expected_wait_s() == pytest.approx(0.5)
    assert server_of(tmp_path, cold).expected_wait_s() == 0.0


def test_each_model_says_its_own_wait(tmp_path: Path) -> None:
    models = hosted("a", 4), hosted("b", 4), hosted("c", 1), hosted("d", 0, ModelState.COLD)
    server = server_of(tmp_path, *models, a=SLOW, b=FAST, c=SLOW)
    loads = [
        ModelLoad(model=each.id, state=each.state, slots=4, used_slots=each.used_slots, queued=line)
        for each, line in zip(models, (0, 3, 0, 0), strict=True)
    ]
    told = {load.model: load.expected_wait_s for load in server.waits(loads)}
    assert told == {"a": pytest.approx(5.0), "b": pytest.approx(2.0), "c": 0.0, "d": None}


def test_a_model_without_speeds_waits_as_long_as_answers_took(tmp_path: Path) -> None:
    server = server_of(tmp_path, hosted("a", 4))
    server._mean_s = 8.0
    load = ModelLoad(model=ModelId("a"), state=ModelState.RESIDENT, slots=4, used_slots=4)
    (told,) = server.waits([load])
    assert told.expected_wait_s == pytest.approx(2.0)
    stranger = ModelLoad(model=ModelId("z"), state=ModelState.RESIDENT, slots=4, used_slots=4)
    assert server.waits([stranger]) == (stranger,)
