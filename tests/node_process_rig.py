"""A node as a real process, seen through the registry and asked through a link of one's own."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from mesh.clock import SystemClock
from mesh.fleet.records import (
    Heartbeat,
    NodeRecord,
    NodeState,
    decode_node,
)
from mesh.registry.base import NODES, Delete, Put
from mesh.registry.etcd import EtcdRegistry
from mesh.settings.timing import PRESETS
from mesh.transport.base import Attempt, Link, Tokens
from mesh.transport.dialers import all_dialers
from tests.node_fakes import until

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
