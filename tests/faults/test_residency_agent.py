"""Models that come and go on one node, on twins: lines, failed loads, scarce memory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mesh.errors import DeadlineExceeded
from mesh.fleet.records import ModelState
from mesh.transport.base import Accepted, Finished, Progress, Refused
from node.hardware.gpu import NO_DRIVER
from node.models.hosted import RECOVER_S
from tests.node_fakes import done
from tests.residency_rig import GIB, OPENED, Box, box, model, phases


async def test_all_models_are_loaded_at_start_and_stay_where_they_all_fit(tmp_path: Path) -> None:
    async with box(tmp_path, model("a", 3), model("b", 4), model("c")) as node:
        await node.until(lambda: node.resident() == {"a", "b", "c"})
        await node.clock.advance(3_600.0)
        assert node.resident() == {"a", "b", "c"}
        assert sorted(node.made) == ["a", "b", "c"]


async def test_a_cold_model_is_loaded_for_the_request_that_waits_in_line(tmp_path: Path) -> None:
    async with box(tmp_path, model("a", 6), model("b", 6), quick=False) as node:
        await node.until(lambda: "a" in node.runners)
        node.runners["a"].loaded()
        await node.until(lambda: node.record("b").state is ModelState.COLD)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(node.ask("b"))
            await node.until(lambda: "b" in node.runners)
            assert node.runners["a"].stopped, "it made room first"
            node.runners["b"].percent(40)
            await node.clock.advance(0.5)
            node.runners["b"].loaded()
            await node.until(task.done)
    events = task.result()
    assert isinstance(events[-1], Finished)
    assert phases(events)[0] == "queued"
    assert Progress(phase="loading", done=40, total=100) in events
    assert next(type(e) for e in events if not isinstance(e, Progress)) is Accepted


async def test_requests_for_a_model_that_loads_join_that_load_and_are_served_in_turn(
    tmp_path: Path,
) -> None:
    async with box(tmp_path, model("a", 6), quick=False) as node:
        await node.until(lambda: "a" in node.runners)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(node.ask("a")) for _ in range(5)]
            await node.until(lambda: node.residency.loads()[0].queued == 5)
            node.runners["a"].loaded()
            await node.until(lambda: all(task.done() for task in tasks))
        assert node.made == ["a"]
    assert all(isinstance(task.result()[-1], Finished) for task in tasks)


async def test_a_full_line_refuses_at_once_and_says_when_to_come_back(tmp_path: Path) -> None:
    async with box(tmp_path, model("a", 6), quick=False) as node:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(node.ask("a")) for _ in range(16)]
            await node.until(lambda: node.residency.loads()[0].queued == 16)
            (event,) = await node.ask("a")
            for task in tasks:
                task.cancel()
        assert isinstance(event, Refused)
        assert (event.code, event.retry_after_s) == ("overloaded", 1.0)
        assert node.residency.loads()[0].queued == 0, "who gives up leaves the line"


async def test_a_load_that_fails_is_told_to_all_who_wait_and_stays_in_the_record(
    tmp_path: Path,
) -> None:
    async with box(tmp_path, model("a", 6), quick=False) as node:
        await node.until(lambda: "a" in node.runners)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(node.ask("a")) for _ in range(3)]
            await node.until(lambda: node.residency.loads()[0].queued == 3)
            node.runners["a"].broken("weights are damaged at tensor 7")
            await node.until(lambda: all(task.done() for task in tasks))
        for task in tasks:
            assert "weights are damaged at tensor 7" in task.result()[-1].message
        assert node.record("a").state is ModelState.FAILED
        assert node.record("a").error == "weights are damaged at tensor 7"
        (refused,) = await node.ask("a")
        assert "does not work here" in refused.message
        await node.clock.advance(RECOVER_S)
        await node.until(lambda: node.made == ["a", "a"])
        node.runners["a"].loaded()
        await node.until(lambda: node.resident() == {"a"})
        assert node.record("a").error is None
        assert node.record("a").last_error == "weights are damaged at tensor 7"


async def test_a_try_that_fails_is_told_to_who_waits_though_more_tries_follow(
    tmp_path: Path,
) -> None:
    async with box(tmp_path, model("a", 6), quick=False) as node:
        await node.until(lambda: "a" in node.runners)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(node.ask("a"))
            await node.until(lambda: node.residency.loads()[0].queued == 1)
            node.runners["a"].broken("out of memory", for_good=False)
            await node.until(task.done)
        assert "out of memory" in task.result()[-1].message
        assert task.result()[-1].retry_after_s is not None
        assert node.record("a").state is ModelState.LOADING


async def test_a_deadline_in_the_line_says_what_was_waited_for(tmp_path: Path) -> None:
    async with box(tmp_path, model("a", 6), model("b", 6)) as node:
        await node.until(lambda: node.resident() == {"a"})
        node.runners["a"].script = (OPENED,)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(node.ask("a"))
            await node.until(lambda: node.models[0].used_slots == 1)
            with pytest.raises(DeadlineExceeded, match="waiting for model 'b'"):
                await node.ask("b", timeout_s=0.05)
            assert node.resident() == {"a"}, "nothing busy is unloaded"
            running.cancel()


async def test_a_busy_model_lets_the_other_have_its_turn_and_comes_back(tmp_path: Path) -> None:
    async with box(tmp_path, model("a", 6), model("b", 6)) as node:
        await node.until(lambda: node.resident() == {"a"})
        node.runners["a"].script = (OPENED,)
        async with asyncio.TaskGroup() as group:
            streaming = group.create_task(node.ask("a"))
            await node.until(lambda: node.models[0].used_slots == 1)
            other = group.create_task(node.ask("b"))
            await node.clock.advance(10.0)
            late = group.create_task(node.ask("a"))
            await node.clock.advance(1.0)
            assert not late.done(), "it takes nothing new, though a slot is free"
            assert node.models[0].used_slots == 1
            node.runners["a"].opened[0][0].put(done())
            await node.until(lambda: other.done() and late.done())
        for task in (streaming, other, late):
            assert isinstance(task.result()[-1], Finished)
        assert node.made == ["a", "b", "a"]


async def test_an_idle_model_is_unloaded_after_its_time_and_loaded_when_asked_for(
    tmp_path: Path,
) -> None:
    async with box(tmp_path, model("a", 1, ttl_s=60.0), model("b", 1)) as node:
        await node.until(lambda: node.resident() == {"a", "b"})
        assert node.residency.loads()[0].unload_at > 0
        node.residency.see((), NO_DRIVER, node.clock.now())
        await node.clock.advance(61.0)
        node.residency.see((), NO_DRIVER, node.clock.now())
        await node.until(lambda: node.resident() == {"b"})
        events = await _until_done(node, "a")
        assert isinstance(events[-1], Finished)


async def _until_done(node: Box, name: str) -> list[Any]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(node.ask(name))
        await node.until(task.done)
    return task.result()


async def test_memory_that_others_take_unloads_idle_models_and_shrinks_what_is_advertised(
    tmp_path: Path,
) -> None:
    async with box(tmp_path, model("a", 3), model("b", 3)) as node:
        await node.until(lambda: node.resident() == {"a", "b"})
        node.runners["b"].script = (OPENED,)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(node.ask("b"))
            await node.until(lambda: node.models[1].used_slots == 1)
            node.available = -GIB
            node.residency.changed()
            await node.until(lambda: node.resident() == {"b"})
            await node.until(lambda: node.slots("a") == 0)
            (refused,) = await node.ask("a")
            assert "cannot be loaded now" in refused.message
            assert "MiB too little on cpu" in refused.message
            assert not running.done()
            node.available = 10 * GIB
            await node.clock.advance(1.0)
            node.residency.changed()
            await node.until(lambda: node.slots("a") == 2)
            running.cancel()


async def test_a_drain_tells_who_waits_to_go_elsewhere(tmp_path: Path) -> None:
    async with box(tmp_path, model("a", 6), quick=False) as node, asyncio.TaskGroup() as group:
        task = group.create_task(node.ask("a"))
        await node.until(lambda: node.residency.loads()[0].queued == 1)
        node.server.in_flight.draining = True
        node.residency.drain()
        await node.until(task.done)
    assert task.result()[-1].code == "draining"
