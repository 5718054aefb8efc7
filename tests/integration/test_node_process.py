"""A node as a real process: real etcd, real ZeroMQ, runners with the simulated engine."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from mesh.clock import SystemClock
from mesh.fleet.records import (
    TRANSPORTS,
    Heartbeat,
    ModelState,
    NodeRecord,
    NodeState,
    decode_node,
)
from mesh.registry.base import NODES, Delete, Put
from mesh.registry.etcd import EtcdRegistry
from mesh.settings.timing import PRESETS
from mesh.transport.base import Accepted, Attempt, Failed, Finished, Link, Refused, Tokens
from mesh.transport.dialers import all_dialers
from mesh.types import Sampling
from tests.etcd import EtcdServer
from tests.node_fakes import attempt, until

pytestmark = pytest.mark.processes

TIMING = PRESETS["local"]
SLOW = {"base_ms": 20.0, "words": 500}  # 10 s of tokens


@dataclass
class Seen:
    """The registry as a watcher sees it."""

    nodes: dict[str, NodeRecord] = field(default_factory=dict)

    def of(self, pid: int) -> NodeRecord | None:
        return next((record for record in self.nodes.values() if record.pid == pid), None)

    async def state(self, pid: int, state: NodeState, within_s: float = 15.0) -> NodeRecord:
        def holds() -> bool:
            record = self.of(pid)
            return record is not None and record.state is state

        await until(holds, within_s)
        record = self.of(pid)
        if record is None:
            raise LookupError(f"no record of pid {pid}")
        return record


@asynccontextmanager
async def watching(endpoint: str) -> AsyncIterator[Seen]:
    registry = EtcdRegistry(
        endpoint, prefix="/mesh/v1", lease_ttl_s=4, clock=SystemClock(), rng=random.Random(1)
    )
    seen = Seen()

    async def watch() -> None:
        async for changes in registry.watch(NODES):
            for change in changes:
                match change:
                    case Put(key=key, value=value):
                        seen.nodes[key] = decode_node(value)
                    case Delete(key=key):
                        seen.nodes.pop(key, None)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(registry.run()), group.create_task(watch())]
        try:
            yield seen
        finally:
            for task in tasks:
                task.cancel()


class NodeProcess:
    """One agent; ``log`` is its stderr so far."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self.pid = process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def exit_code(self, within_s: float = 15.0) -> int:
        async with asyncio.timeout(within_s):
            return await self._process.wait()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)


@asynccontextmanager
async def node(folder: Path, etcd: str, **settings: Any) -> AsyncIterator[NodeProcess]:
    given = {
        "name": "math",
        "state_dir": str(folder),
        "etcd": etcd,
        "models": [model()],
        **settings,
    }
    os.makedirs(folder, exist_ok=True)
    log = folder / f"{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "node",
            json.dumps(given),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    agent = NodeProcess(process, log)
    try:
        yield agent
    finally:
        if process.returncode is None:
            left = agent.children()
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            for child in left:
                with suppress(psutil.NoSuchProcess):
                    child.kill()


def model(**options: Any) -> dict[str, Any]:
    return {
        "source": "toy",
        "id": "toy",
        "engine": "simulated",
        "specialties": ["math"],
        "slots": 2,
        "context_length": 4096,
        "options": options,
    }


@dataclass
class Peer:
    """This test's own link to a node, as an orchestrator has one."""

    link: Link
    heartbeats: list[Heartbeat]

    async def ask(self, asked: Attempt) -> list[Any]:
        events = []
        async with asyncio.timeout(20), self.link.open(asked) as stream:
            async for event in stream:
                events.append(event)
                if isinstance(event, Tokens):
                    stream.grant(len(event.pieces))
        return events


@asynccontextmanager
async def linked(record: NodeRecord) -> AsyncIterator[Peer]:
    heartbeats: list[Heartbeat] = []
    dialers = all_dialers("test", TIMING, SystemClock(), random.Random(1))
    link = dialers[record.transport].link(
        record.endpoint, record.id, heartbeats.append, lambda up: None
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(link.run())
        try:
            await until(lambda: link.up and bool(heartbeats))
            yield Peer(link, heartbeats)
        finally:
            task.cancel()


def gone(processes: list[psutil.Process]) -> Callable[[], bool]:
    return lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_node_appears_answers_and_leaves_nothing_behind_on_sigterm(
    tmp_path: Path, transport: str
) -> None:
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path, etcd.endpoint, models=[model(words=8)], transport=transport) as agent,
    ):
        record = await seen.state(agent.pid, NodeState.READY)
        assert (record.name, record.specialties) == ("math", ("math",))
        assert record.models[0].state is ModelState.RESIDENT
        assert record.accelerator
        assert record.transport == transport
        async with linked(record) as peer:
            events = await peer.ask(attempt())
            assert isinstance(events[0], Accepted)
            assert isinstance(events[-1], Finished)
            pieces = [p for e in events if isinstance(e, Tokens) for p in e.pieces]
            assert [piece.id for piece in pieces] == list(range(8))
            resumed = await peer.ask(
                attempt(
                    delivered=tuple(pieces[:5]),
                    tokenizer_hash=record.models[0].tokenizer_hash,
                )
            )
            rest = [p for e in resumed if isinstance(e, Tokens) for p in e.pieces]
            assert rest == pieces[5:]
        children = agent.children()
        assert len(children) == 1
        agent.signal(signal.SIGTERM)
        assert await agent.exit_code() == 0
        assert gone(children)()
        await until(lambda: seen.nodes == {}, 1.0)
        assert "ready: node-" in agent.log
        assert "Traceback" not in agent.log


async def test_a_restarted_node_is_the_same_node(tmp_path: Path) -> None:
    async with EtcdServer() as etcd, watching(etcd.endpoint) as seen:
        records = []
        for _ in range(2):
            async with node(tmp_path, etcd.endpoint) as agent:
                records.append(await seen.state(agent.pid, NodeState.READY))
                agent.signal(signal.SIGINT)
                assert await agent.exit_code() == 0
    assert records[0].id == records[1].id
    assert records[0].instance != records[1].instance


async def test_sigkill_of_the_agent_takes_its_runners_and_then_its_record(tmp_path: Path) -> None:
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path, etcd.endpoint) as agent,
    ):
        await seen.state(agent.pid, NodeState.READY)
        children = agent.children()
        assert children
        agent.signal(signal.SIGKILL)
        await agent.exit_code()
        await until(gone(children), 2.0)
        # etcd looks for ended leases twice a second.
        await until(lambda: seen.nodes == {}, TIMING.lease_ttl_s + 1.0)


async def test_a_drain_lets_a_stream_finish_and_refuses_new_ones(tmp_path: Path) -> None:
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path, etcd.endpoint, models=[model(base_ms=20.0, words=60)]) as agent,
    ):
        record = await seen.state(agent.pid, NodeState.READY)
        async with linked(record) as peer, asyncio.TaskGroup() as group:
            running = group.create_task(peer.ask(attempt()))
            await until(lambda: peer.heartbeats[-1].models[0].used_slots == 1)
            agent.signal(signal.SIGTERM)
            await until(lambda: peer.heartbeats[-1].state is NodeState.DRAINING)
            (refusal,) = await peer.ask(attempt())
            assert isinstance(refusal, Refused)
            assert refusal.code == "draining"
            events = await running
            assert isinstance(events[-1], Finished)
            assert events[-1].usage.completion_tokens == 60
        assert await agent.exit_code() == 0


async def test_a_second_signal_ends_streams_at_once_with_a_typed_word(tmp_path: Path) -> None:
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path, etcd.endpoint, models=[model(**SLOW)]) as agent,
    ):
        record = await seen.state(agent.pid, NodeState.READY)
        async with linked(record) as peer, asyncio.TaskGroup() as group:
            running = group.create_task(peer.ask(attempt(sampling=_long())))
            await until(lambda: peer.heartbeats[-1].models[0].used_slots == 1)
            agent.signal(signal.SIGTERM)
            await until(lambda: peer.heartbeats[-1].state is NodeState.DRAINING)
            agent.signal(signal.SIGTERM)
            last = (await running)[-1]
            assert isinstance(last, Failed)
            assert last.code == "draining"
        assert await agent.exit_code(5.0) == 0


async def test_a_client_that_goes_away_frees_its_slot_within_a_second(tmp_path: Path) -> None:
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path, etcd.endpoint, models=[model(**SLOW)]) as agent,
    ):
        record = await seen.state(agent.pid, NodeState.READY)
        async with linked(record) as peer:
            async with peer.link.open(attempt(sampling=_long())) as stream:
                async for event in stream:
                    if isinstance(event, Tokens):
                        break
                assert peer.heartbeats[-1].models[0].used_slots == 1
            await until(lambda: peer.heartbeats[-1].models[0].used_slots == 0, 1.0)


async def test_a_dead_runner_fails_its_streams_only_and_comes_back(tmp_path: Path) -> None:
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path, etcd.endpoint, models=[model(**SLOW)]) as agent,
    ):
        record = await seen.state(agent.pid, NodeState.READY)
        async with linked(record) as peer, asyncio.TaskGroup() as group:
            running = group.create_task(peer.ask(attempt(sampling=_long())))
            await until(lambda: peer.heartbeats[-1].models[0].used_slots == 1)
            (runner,) = agent.children()
            runner.kill()
            last = (await running)[-1]
            assert isinstance(last, Failed)
            assert last.code == "engine_failed"
            await until(lambda: peer.heartbeats[-1].models[0].state is ModelState.LOADING)
            await until(lambda: peer.heartbeats[-1].models[0].state is ModelState.RESIDENT, 15.0)


async def test_a_second_agent_on_the_same_state_folder_is_refused_by_name(tmp_path: Path) -> None:
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path, etcd.endpoint) as first,
    ):
        await seen.state(first.pid, NodeState.READY)
        async with node(tmp_path, etcd.endpoint) as second:
            assert await second.exit_code() == 2
            assert f"already running as pid {first.pid}" in second.log
            assert second.log.count("\n") == 1


async def test_a_copied_identity_is_refused_while_the_original_lives(tmp_path: Path) -> None:
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path / "a", etcd.endpoint) as first,
    ):
        original = await seen.state(first.pid, NodeState.READY)
        copy = tmp_path / "b/nodes/math"
        copy.mkdir(parents=True)
        (copy / "id").write_text((tmp_path / "a/nodes/math/id").read_text())
        async with node(tmp_path / "b", etcd.endpoint) as second:
            assert await second.exit_code(20.0) == 2
            assert f"{first.pid}" in second.log
            assert "Traceback" not in second.log
        record = seen.of(first.pid)
        assert record is not None
        assert record.instance == original.instance


async def test_a_node_starts_without_etcd_and_registers_when_it_comes(tmp_path: Path) -> None:
    async with (
        EtcdServer(start=False) as etcd,
        node(tmp_path, etcd.endpoint) as agent,
        watching(etcd.endpoint) as seen,
    ):
        await until(lambda: "ready: node-" in agent.log, 15.0)
        await etcd.start()
        await seen.state(agent.pid, NodeState.READY, 20.0)


async def test_a_file_that_is_no_model_shows_in_the_record_and_the_node_stays(
    tmp_path: Path,
) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"this is no model")
    bad = {"source": str(tmp_path / "bad.gguf"), "specialties": ["code"]}
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path / "one", etcd.endpoint, models=[bad]) as alone,
        node(tmp_path / "two", etcd.endpoint, name="both", models=[bad, model()]) as both,
    ):
        failed = await seen.state(alone.pid, NodeState.FAILED)
        assert failed.reason.startswith("no model works: bad: ")
        assert "bad.gguf" in failed.reason
        ready = await seen.state(both.pid, NodeState.READY)
        assert [m.state for m in ready.models] == [ModelState.FAILED, ModelState.RESIDENT]
        assert ready.models[0].error is not None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"models": []}, "hosts no model"),
        ({"models": [model(), model()]}, "two models have the id 'toy'"),
        ({"models": [model() | {"engine": "gptq"}]}, "no engine 'gptq'; known: "),
        ({"name": "../up"}, "node name '../up' is not usable"),
    ],
)
async def test_settings_that_cannot_work_end_with_one_line_and_exit_code_2(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    async with node(tmp_path, "127.0.0.1:1", **settings) as agent:
        assert await agent.exit_code() == 2
        assert words in agent.log
        assert agent.log.count("\n") == 1


async def test_a_port_that_is_taken_is_named_with_exit_code_2(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        async with node(tmp_path, "127.0.0.1:1", bind=f"tcp://127.0.0.1:{port}") as agent:
            assert await agent.exit_code() == 2
            assert f"{port}" in agent.log
            assert "Traceback" not in agent.log


def _long() -> Sampling:
    return Sampling(max_tokens=500)
