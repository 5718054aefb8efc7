"""Real processes: whatever happens to a runner costs its model only, is in the record, and ends."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from mesh import Client
from mesh.errors import MeshError
from mesh.fleet.records import ModelRecord, ModelState
from tests.faults.real_mesh import Box, gone
from tests.residence import Heard, ask, residence, runs, seen, specialist

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]


def simulated(name: str, **options: Any) -> dict[str, Any]:
    return {
        "source": "simulated",
        "id": name,
        "engine": "simulated",
        "specialties": [name],
        "slots": 2,
        "options": options,
    }


async def one_runner(box: Box) -> psutil.Process:
    """The only one there is, once there is one."""
    found: list[psutil.Process] = []

    def there() -> bool:
        found[:] = [p for p in box.runners() if runs(p)]
        return len(found) == 1

    assert await gone(there, 20.0), f"runners: {found}"
    return found[0]


async def in_state(client: Client, name: str, state: ModelState) -> ModelRecord:
    return (await seen(client, lambda m: name in m and m[name].state is state))[name]


@pytest.mark.engine
async def test_a_runner_killed_while_idle_is_back_and_the_record_remembers(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    async with residence(tmp_path, [specialist("math")]) as (_, box, client):
        await in_state(client, "math", ModelState.RESIDENT)
        before, _ = await ask(client, "math")
        killed = await one_runner(box)
        killed.kill()
        lost = await seen(client, lambda m: "SIGKILL" in m["math"].last_error)
        assert "the runner died" in lost["math"].last_error
        # Its state comes with a heartbeat, its errors with the record: not at one moment.
        there = await seen(
            client, lambda m: m["math"].state is ModelState.RESIDENT and m["math"].error is None
        )
        assert "SIGKILL" in there["math"].last_error
        again, _ = await ask(client, "math")
        assert again == before
        assert (await one_runner(box)).pid != killed.pid


@pytest.mark.parametrize("moment", ["load", "prefill", "answer"])
async def test_a_runner_killed_at_work_costs_no_answer(tmp_path: Path, moment: str) -> None:
    model = simulated("sim", load_ms=800.0, prefill_ms_per_token=100.0, base_ms=20.0, batch=1)
    async with residence(tmp_path, [model | {"ttl_s": 1.0}]) as (_, box, client):
        await in_state(client, "sim", ModelState.RESIDENT)
        await in_state(client, "sim", ModelState.COLD)
        heard = Heard()
        reached = {
            "load": lambda: "loading" in heard.phases,
            "prefill": lambda: "prefilling" in heard.phases,
            "answer": lambda: "tok1" in heard.text,
        }
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(ask(client, "sim", heard))
            assert await gone(reached[moment], 20.0)
            (await one_runner(box)).kill()
            text, _ = await answer
        assert text == "".join(f"tok{n} " for n in range(12))
        assert "SIGKILL" in (await in_state(client, "sim", ModelState.RESIDENT)).last_error


async def test_a_stopped_runner_counts_as_hung_and_its_answer_goes_on(tmp_path: Path) -> None:
    model = simulated("sim", base_ms=50.0)
    async with residence(tmp_path, [model], hang_s=1.5) as (_, box, client):
        await in_state(client, "sim", ModelState.RESIDENT)
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(ask(client, "sim"))
            await seen(client, lambda m: m["sim"].used_slots == 1)
            hung = await one_runner(box)
            hung.suspend()
            text, _ = await answer
        assert text == "".join(f"tok{n} " for n in range(12))
        record = await in_state(client, "sim", ModelState.RESIDENT)
        assert "hangs: a step took more than 1.5 s; it was killed" in record.last_error
        assert not runs(hung)


async def test_a_model_that_keeps_crashing_is_given_up_and_tried_again_when_told(
    tmp_path: Path,
) -> None:
    models = [simulated("bad", crash_at=0), simulated("good")]
    async with residence(tmp_path, models, crash_limit=2) as (_, box, client):
        await in_state(client, "bad", ModelState.RESIDENT)
        for _ in range(2):
            with pytest.raises(MeshError):
                await ask(client, "bad")
            await seen(client, lambda m: m["bad"].state is not ModelState.RESIDENT)
            await seen(client, lambda m: m["bad"].state in (ModelState.RESIDENT, ModelState.FAILED))
        failed = await in_state(client, "bad", ModelState.FAILED)
        for words in ("SIGKILL", "given up, since it ended 2 times", "crash_limit", "SIGUSR1"):
            assert words in (failed.error or "")
        with pytest.raises(MeshError, match="given up") as caught:
            await ask(client, "bad")
        assert "\n" not in caught.value.message
        text, _ = await ask(client, "good")
        assert text, "it costs that model only"
        os.kill(box.pid, signal.SIGUSR1)
        await in_state(client, "bad", ModelState.RESIDENT)


async def test_a_killed_agent_leaves_no_runner_whatever_they_were_at(tmp_path: Path) -> None:
    models = [
        simulated("answering", base_ms=50.0),
        simulated("loading", load_ms=60_000.0),
        simulated("stopped"),
    ]
    async with residence(tmp_path, models) as (_, box, client):
        await in_state(client, "answering", ModelState.RESIDENT)
        await in_state(client, "stopped", ModelState.RESIDENT)
        await seen(client, lambda m: m["loading"].state is ModelState.LOADING)

        def all_there() -> bool:
            return sum(map(runs, box.runners())) == 3

        assert await gone(all_there, 20.0)
        left = box.runners()
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(ask(client, "answering"))
            await seen(client, lambda m: m["answering"].used_slots == 1)
            left[-1].suspend()
            await box.kill()
            assert await gone(lambda: not any(map(runs, left)), 5.0), "an orphan"
            answer.cancel()
        box.start()
        await in_state(client, "answering", ModelState.RESIDENT)
