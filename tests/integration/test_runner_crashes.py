"""A real runner process that dies, hangs or is stopped: the agent knows, and nothing is left."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.errors import EngineFailed
from mesh.fleet.records import ModelState
from node.runner.process import HANG_S
from node.runner.restarts import CRASH_LIMIT, restart_delay
from tests.runner_rig import (
    DEADLINE_S,
    ENDLESS,
    SLOW,
    alive,
    make,
    read,
    read_on,
    run,
    running,
    some_pieces,
    start,
    until,
)

pytestmark = pytest.mark.processes


async def test_a_killed_runner_fails_its_sequences_at_once_and_comes_back() -> None:
    changes: list[ModelState] = []
    runner = make(options=SLOW, on_change=lambda: changes.append(runner.state))
    async with run(runner):
        await until(lambda: runner.state is ModelState.RESIDENT)
        sequence = start(runner, sampling=ENDLESS)
        await some_pieces(sequence, 3)
        pid = runner.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        with pytest.raises(EngineFailed, match="died"):
            await read(sequence)
        assert time.monotonic() - killed < 1.0
        assert runner.used_slots == 0
        await until(lambda: "SIGKILL" in (runner.error or ""))
        with pytest.raises(EngineFailed, match="not resident"):
            start(runner)
        await until(lambda: runner.state is ModelState.RESIDENT)
        assert runner.pid not in (None, pid)
        assert runner.error is None
        assert len(await some_pieces(start(runner), 1)) >= 1
    assert changes[0] is ModelState.LOADING
    assert runner.state is ModelState.COLD


async def test_an_engine_that_fails_says_why() -> None:
    async with running(options={"fail_at": 5}) as runner:
        sequence = start(runner)
        assert len(await some_pieces(sequence, 5)) == 5
        with pytest.raises(EngineFailed, match="simulated failure at token 5"):
            await read(sequence)


async def test_a_hung_engine_is_killed_and_counts_as_a_crash() -> None:
    clock = ManualClock()
    async with running(options={"hang_at": 3}, clock=clock) as runner:
        await clock.advance(10 * HANG_S)  # silence without work is no hang
        assert runner.state is ModelState.RESIDENT
        sequence = start(runner)
        await some_pieces(sequence, 3)
        pid = runner.pid
        assert pid is not None
        await clock.advance(HANG_S / 2)
        assert runner.pid == pid
        await clock.advance(HANG_S)
        with pytest.raises(EngineFailed, match="hangs"):
            await read(sequence)
        await until(lambda: not alive(pid))
        async with asyncio.timeout(DEADLINE_S):
            while runner.state is not ModelState.RESIDENT:
                await clock.advance(0.05)  # through the wait before the next start


async def test_a_slow_reader_is_not_taken_for_a_hung_engine() -> None:
    clock = ManualClock()
    async with running(options={"words": 50}, clock=clock) as runner:
        sequence = start(runner, credit=2)
        await some_pieces(sequence, 2)
        pid = runner.pid
        await clock.advance(10 * HANG_S)
        assert runner.pid == pid
        pieces, _ = await read_on(sequence)
        assert len(pieces) == 48


async def test_too_many_crashes_are_final_and_say_why() -> None:
    clock = ManualClock()
    runner = make(options={"crash_at": 0}, clock=clock)
    async with run(runner):
        for _ in range(CRASH_LIMIT):
            await until(lambda: runner.state is ModelState.RESIDENT)
            with pytest.raises(EngineFailed):
                await read(start(runner))
            await until(lambda: "SIGKILL" in (runner.error or ""))
            await clock.advance(31.0)
        await until(lambda: runner.state is ModelState.FAILED)
        assert runner.pid is None
        assert "SIGKILL" in (runner.error or "")
        assert f"ended {CRASH_LIMIT} times within 300 s (crash_limit)" in (runner.error or "")
        with pytest.raises(EngineFailed, match="failed"):
            start(runner)


async def test_the_limit_of_crashes_is_a_setting() -> None:
    runner = make(options={"crash_at": 0}, crash_limit=1)
    async with run(runner):
        await until(lambda: runner.state is ModelState.RESIDENT)
        with pytest.raises(EngineFailed):
            await read(start(runner))
        await until(lambda: runner.state is ModelState.FAILED)
        assert "ended once within 300 s (crash_limit)" in (runner.error or "")


@pytest.mark.parametrize(
    ("engine", "options", "words"),
    [
        ("llama_cpp", {}, "no model file"),
        ("simulated", {"nonsense": 1}, "no option 'nonsense'"),
        ("no_such_engine", {}, "known: "),
    ],
)
async def test_a_bad_file_or_setting_is_final_at_once(
    engine: str, options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    runner = make(engine=engine, source=str(tmp_path / "none.gguf"), options=options)
    async with asyncio.timeout(DEADLINE_S):
        await runner.run()  # returns, since trying again is of no use
    assert runner.state is ModelState.FAILED
    assert words in (runner.error or "")
    assert runner.pid is None


@pytest.mark.parametrize(
    ("crashes", "delay"),
    [
        ([0.0], 1.0),
        ([0.0, 1.0], 2.0),
        ([0.0, 1.0, 2.0], 4.0),
        ([0.0, 1.0, 2.0, 3.0], 8.0),
        ([0.0, 1.0, 2.0, 3.0, 4.0], None),
        ([-400.0, -399.0, -398.0, -397.0, 4.0], 1.0),
    ],
)
def test_restarts_slow_down_and_end(crashes: list[float], delay: float | None) -> None:
    assert restart_delay(crashes, now=5.0) == delay


@pytest.mark.parametrize("options", [{}, SLOW, {"hang_at": 1}])
async def test_stopping_leaves_no_process_whatever_the_engine_does(
    options: dict[str, Any],
) -> None:
    async with running(options=options) as runner:
        pid = runner.pid
        assert pid is not None
        sequence = start(runner, sampling=ENDLESS)
        await some_pieces(sequence, 1)
        stopped = time.monotonic()
    assert time.monotonic() - stopped < 3.5
    assert not alive(pid)
    assert runner.used_slots == 0


async def test_stopping_while_loading_leaves_no_process() -> None:
    runner = make(options={"load_ms": 60_000})
    async with run(runner):
        await until(lambda: runner.load_percent == 0 and runner.pid is not None)
        pid = runner.pid
        assert pid is not None
    assert not alive(pid)


async def test_an_interrupt_from_the_terminal_does_not_reach_a_runner() -> None:
    async with running() as runner:
        assert runner.pid is not None
        os.kill(runner.pid, signal.SIGINT)
        pieces, _ = await read(start(runner))
        assert len(pieces) == 64


AGENT = """
import asyncio
from mesh.clock import SystemClock
from mesh.fleet.records import ModelState
from node.engines.base import ModelSpec
from node.runner.process import RunnerProcess

spec = ModelSpec(id="m", source="x", slots=1, context_length=64, threads=1)
def tell():
    if runner.state is ModelState.RESIDENT:
        print(runner.pid, flush=True)
runner = RunnerProcess("simulated", spec, on_change=tell, clock=SystemClock())
asyncio.run(runner.run())
"""


async def test_a_runner_does_not_outlive_an_agent_that_is_killed() -> None:
    agent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", AGENT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert agent.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            pid = int(await agent.stdout.readline())
        assert alive(pid)
    finally:
        agent.kill()
        await agent.wait()
    await until(lambda: not alive(pid))


async def test_a_runners_last_words_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "runner.log"
    runner = make(stderr=log)
    async with run(runner):
        await until(lambda: runner.state is ModelState.RESIDENT)
        log.write_text("earlier line\nsomething broke\n")
        assert runner.pid is not None
        os.kill(runner.pid, signal.SIGABRT)
        await until(lambda: "SIGABRT" in (runner.error or ""))
        assert "something broke" in (runner.error or "")
