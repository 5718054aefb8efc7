"""A real engine in a real runner is measured, gives way to a user, and is pinned where told."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from mesh.clock import SystemClock
from mesh.fleet.records import ModelState
from mesh.types import Message, ModelId, Role, Sampling
from node.engines.base import ModelSpec
from node.models.calibration import Calibration
from node.models.hosted import Runner
from node.runner.messages import Done, Opening
from node.runner.process import RunnerProcess
from tests.etcd import EtcdServer
from tests.gguf import write_chain
from tests.node_process_rig import node, watching

pytestmark = pytest.mark.processes

DEADLINE_S = 60.0
MODEL = ModelId("model")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - the condition may be of another process
            await asyncio.sleep(0.005)


@asynccontextmanager
async def measured(
    folder: Path, engine: str, source: str, **changes: Any
) -> AsyncIterator[tuple[Any, Calibration]]:
    clock = SystemClock()
    calibration = Calibration(folder, clock=clock, rng=random.Random(5), measured=lambda _: True)
    spec = ModelSpec(
        id=MODEL,
        source=source,
        slots=2,
        context_length=changes.pop("context_length", 256),
        threads=1,
        gpu_layers=0,
        options=changes.pop("options", {}),
    )

    def make(on_change: Callable[[], None]) -> Runner:
        return RunnerProcess(engine, spec, on_change=on_change, clock=clock, **changes)

    runner = calibration.runner(engine, spec, lambda: None, make)
    async with asyncio.timeout(4 * DEADLINE_S), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(runner.run())
        try:
            await until(lambda: runner.state is ModelState.RESIDENT)
            yield runner, calibration
        finally:
            task.cancel()


async def test_a_real_model_is_measured_through_its_slots_and_only_once(tmp_path: Path) -> None:
    model = tmp_path / "chain.gguf"
    write_chain(model, "abcdefghijklmnopqrstuvwxyz")
    async with measured(tmp_path, "llama_cpp", str(model)) as (runner, calibration):
        await until(lambda: calibration.speeds(MODEL) is not None)
        speeds = calibration.speeds(MODEL)
        assert speeds is not None
        assert speeds.prefill_tps > 0.0
        assert speeds.decode_tps > 0.0
        await until(lambda: not runner.measuring)
        assert runner.used_slots == 0
    async with measured(tmp_path, "llama_cpp", str(model)) as (runner, again):
        await until(lambda: again.speeds(MODEL) is not None)
        assert again.speeds(MODEL) == speeds
        assert not runner.measuring


async def test_speeds_are_of_the_size_that_the_engine_is_told_to_have(tmp_path: Path) -> None:
    """A step takes 20 ms, and 10 more for each running slot."""
    options = {"base_ms": 20, "slope_ms": 10, "prefill_ms_per_token": 1, "words": 10_000}
    async with measured(tmp_path, "simulated", "x", options=options, context_length=4096) as (
        _,
        calibration,
    ):
        await until(lambda: calibration.speeds(MODEL) is not None)
        speeds = calibration.speeds(MODEL)
        assert speeds is not None
        # A busy machine makes it slower, and a late first token a little faster, than the formula.
        assert 0.0 < speeds.decode_tps <= 2 * 1 / 0.030
        assert 0.0 < speeds.decode_tps_full <= 2 * 2 / 0.040
        assert 0.0 < speeds.prefill_tps <= 2 * 1000


async def test_a_user_gets_all_slots_while_they_are_measured(tmp_path: Path) -> None:
    options = {"base_ms": 20, "words": 10_000}
    hello = (Message.of(Role.USER, "hello"),)

    async def ask(runner: Any) -> Any:
        opening = Opening(messages=hello, sampling=Sampling(max_tokens=5), credit=64)
        sequence = runner.open(opening)
        try:
            return [event async for event in sequence][-1]
        finally:
            sequence.cancel()

    async with measured(tmp_path, "simulated", "x", options=options, context_length=4096) as (
        runner,
        calibration,
    ):
        await until(lambda: runner.measuring)
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(ask(runner)) for _ in range(2)]
        assert all(isinstance(task.result(), Done) for task in answers)
        assert not runner.measuring
        await until(lambda: calibration.speeds(MODEL) is not None)  # later, when it is quiet


async def test_a_runner_and_all_its_threads_are_on_the_cpus_that_it_was_given(
    tmp_path: Path,
) -> None:
    model = tmp_path / "chain.gguf"
    write_chain(model, "abcdefghijklmnopqrstuvwxyz")
    cpu = max(os.sched_getaffinity(0))
    async with measured(tmp_path, "llama_cpp", str(model), cpus=frozenset({cpu})) as (
        runner,
        calibration,
    ):
        await until(lambda: calibration.speeds(MODEL) is not None)
        threads = psutil.Process(runner.pid).threads()
        assert {frozenset(os.sched_getaffinity(thread.id)) for thread in threads} == {
            frozenset({cpu})
        }
    assert len(os.sched_getaffinity(0)) >= 1


async def test_a_node_says_how_fast_its_models_are(tmp_path: Path) -> None:
    model = tmp_path / "chain.gguf"
    write_chain(model, "abcdefghijklmnopqrstuvwxyz")
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(
            tmp_path / "state",
            etcd.endpoint,
            models=[{"source": str(model), "specialties": ["math"], "slots": 2}],
        ) as process,
    ):

        def told() -> bool:
            record = seen.of(process.pid)
            return record is not None and any(m.decode_tps > 0.0 for m in record.models)

        await until(told)
        record = seen.of(process.pid)
        assert record is not None
        assert record.models[0].prefill_tps > 0.0
