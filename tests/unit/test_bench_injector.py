"""Faults happen at their time, to the right process, and nothing stays stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import psutil
import pytest

from mesh.bench.faults import parse
from mesh.bench.injector import FaultMark, Injector, find_process
from mesh.clock import ManualClock
from mesh.errors import ConfigError, NodeLost, Unreachable
from mesh.fleet.records import NodeRecord, NodeState
from tests.local_mesh import wait_for
from tests.unit.test_bench_faults import record


@dataclass
class Process:
    pid: int
    sent: list[int] = field(default_factory=list)
    gone: bool = False

    def send_signal(self, sig: int) -> None:
        if self.gone:
            raise psutil.NoSuchProcess(self.pid)
        self.sent.append(sig)


@dataclass
class Rig:
    """A fleet of made-up processes on a clock that is moved by hand."""

    nodes: list[NodeRecord]
    clock: ManualClock = field(default_factory=ManualClock)
    processes: dict[str, Process] = field(default_factory=dict)
    down: bool = False

    def injector(self, schedule: str, seed: int = 1) -> Injector:
        return Injector(
            parse(schedule), self.fleet, self.clock, seed=seed, find=self.find, host="here"
        )

    async def fleet(self) -> Sequence[NodeRecord]:
        if self.down:
            raise Unreachable("nobody answers")
        return self.nodes

    def find(self, node: NodeRecord) -> Process:
        return self.processes.setdefault(node.name, Process(pid=node.pid))

    async def play(self, schedule: str, seconds: float, **more: float) -> list[FaultMark]:
        injector = self.injector(schedule)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(injector.run(self.clock.now(), more.get("until_s")))
            await self.clock.advance(seconds)
            running.cancel()
        return injector.marks


def rig(*names: str) -> Rig:
    return Rig(nodes=[replace(record(name), pid=100 + i) for i, name in enumerate(names)])


def happened(marks: Sequence[FaultMark]) -> list[tuple[float, str, str]]:
    return [(mark.at_s, mark.action, mark.node) for mark in marks if mark.done]


async def test_each_fault_happens_at_its_time() -> None:
    made = rig("a", "b", "c")
    marks = await made.play("kill a at 3s; stop b at 1s for 4s; drain c at 2s", 10)
    assert happened(marks) == [
        (1.0, "stop", "b"),
        (2.0, "drain", "c"),
        (3.0, "kill", "a"),
        (5.0, "continue", "b"),
    ]
    assert made.processes["a"].sent == [signal.SIGKILL]
    assert made.processes["b"].sent == [signal.SIGSTOP, signal.SIGCONT]
    assert made.processes["c"].sent == [signal.SIGTERM]
    assert marks[0].note == "pid 101"


async def test_what_is_stopped_is_continued_when_the_run_is_cut_short() -> None:
    made = rig("a")
    marks = await made.play("stop a at 1s for 1h", 2)
    assert happened(marks) == [(1.0, "stop", "a"), (2.0, "continue", "a")]
    assert made.processes["a"].sent == [signal.SIGSTOP, signal.SIGCONT]


async def test_no_fault_begins_after_the_load_and_a_stop_still_ends_then() -> None:
    made = rig("a", "b")
    marks = await made.play("kill a every 2s; stop b at 4500ms for 3s", 60, until_s=5.0)
    assert happened(marks) == [
        (2.0, "kill", "a"),
        (4.0, "kill", "a"),
        (4.5, "stop", "b"),
        (7.5, "continue", "b"),
    ]


async def test_a_seed_gives_the_same_random_faults_again() -> None:
    seen = []
    for seed in (5, 5, 6):
        made = rig("a", "b", "c", "d", "e")
        injector = made.injector("kill random every 1s", seed)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(injector.run(made.clock.now()))
            await made.clock.advance(20.5)
            running.cancel()
        seen.append([mark.node for mark in injector.marks])
    assert seen[0] == seen[1] != seen[2]
    assert len(set(seen[0])) > 2


async def test_random_hits_only_ready_nodes_of_this_host() -> None:
    made = rig("a", "b", "c")
    made.nodes[0] = replace(made.nodes[0], host="elsewhere")
    made.nodes[1] = replace(made.nodes[1], state=NodeState.STARTING)
    marks = await made.play("kill random every 1s", 10.5)
    assert {mark.node for mark in marks} == {"c"}
    made.nodes.pop()
    (mark,) = await made.play("kill random at 1s", 2)
    assert not mark.done
    assert "no node of this host is ready" in mark.note


async def test_a_fault_that_cannot_be_is_noted_and_the_rest_goes_on() -> None:
    made = rig("a", "b")
    made.processes["a"] = Process(pid=100, gone=True)
    marks = await made.play("kill a at 1s; kill nobody at 2s; kill b at 3s", 4)
    assert [(mark.node, mark.done) for mark in marks] == [
        ("a", False),
        ("nobody", False),
        ("b", True),
    ]
    made.down = True
    (mark,) = await made.play("kill b at 1s", 2)
    assert (mark.done, mark.note) == (False, "nobody answers")


async def test_a_node_that_is_killed_while_stopped_is_not_woken() -> None:
    made = rig("a")
    injector = made.injector("stop a at 1s for 5s")
    async with asyncio.TaskGroup() as group:
        group.create_task(injector.run(made.clock.now()))
        await made.clock.advance(2)
        made.processes["a"].gone = True
        await made.clock.advance(5)
    assert [(mark.action, mark.done) for mark in injector.marks] == [
        ("stop", True),
        ("continue", False),
    ]


def test_a_process_that_is_no_node_is_left_alone() -> None:
    with pytest.raises(ConfigError, match="is no node's"):
        find_process(replace(record("a"), pid=os.getpid()))


@pytest.mark.processes
def test_the_process_of_a_node_is_found_by_its_command_line() -> None:
    process = subprocess.Popen(  # after ``-c PROGRAM`` the rest are just its arguments
        [sys.executable, "-c", "input()", "-m", "node"], stdin=subprocess.PIPE
    )
    node = replace(record("a"), pid=process.pid)
    try:
        # While it execs, a process has no command line at all.
        wait_for(lambda: psutil.Process(process.pid).cmdline(), "it has begun")
        assert find_process(node).pid == process.pid
    finally:
        process.kill()
        process.communicate()
    with pytest.raises(NodeLost, match="has no process"):
        find_process(node)
