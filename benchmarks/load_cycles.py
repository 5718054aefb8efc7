"""1,000 loads and unloads, 10,000 requests, one node: is a process, file or slot left over?

Method. Real processes: etcd and one node whose settings name two models and the memory for one of
them. Requests go over the real data plane, straight to the node: so many for the one model at a
time, then so many for the other, which makes the node unload and load. Every answer is checked to
be whole, every twentieth one is left in the middle, and what is refused for want of a slot is asked
again; every fiftieth turn both models are asked at once. The agent's memory (USS: what would come
back if it ended), open files, threads and children are read at the start (after ``WARM_UP``
loads), after a tenth of the loads, in the middle and at the end, each time when nothing runs. The
floor of a figure is the same figure after a tenth: allocators take their arenas in the first loads,
and a leak goes on growing after them. The start's figure is printed beside it. With
``--engine llama_cpp`` the models are two of the toys in ``tests/specialists``, else they are
simulated.

Run: ``python -m benchmarks.load_cycles [--cycles 1000] [--requests 10000] [--engine llama_cpp]``.
Exit code 1 when a request, slot, file, thread or process is lost, a turn did not load its model
anew, or memory grew by over 5 %.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.figures import Row, percentile, show
from benchmarks.soak import child
from mesh.clock import SystemClock
from mesh.errors import MeshError, Overloaded
from mesh.fleet.records import Heartbeat, ModelState
from mesh.local.etcd import etcd_command, wait_healthy
from mesh.local.ports import free_port
from mesh.settings.timing import PRESETS
from mesh.transport.base import Attempt, Finished, Link, Refused, Tokens
from mesh.transport.dialers import all_dialers
from mesh.types import Message, ModelId, NodeId, RequestId, Role, Sampling

MIB = 2**20
SLOTS, WORDS = 4, 8
WARM_UP = 10  # loads before the first reading: imports, caches, allocator
LEAVE_EVERY, BOTH_EVERY = 20, 50
READY_S, REQUEST_S, REST_S = 40.0, 60.0, 5.0
RETRY_S = 0.05
BAR = 0.05
SLACK = 3  # files or threads more or less: a connection, an NVML probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The agent, at rest; ``uss``, ``rss`` in bytes."""

    uss: int
    rss: int
    files: int
    threads: int
    children: int


@dataclass(slots=True)
class Tally:
    asked: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)  # to the first token, of a turn's first
    seen: set[psutil.Process] = field(default_factory=set)  # runners


class Node:
    """The node's process and the link to it."""

    def __init__(self, agent: psutil.Process, link: Link, heartbeats: list[Heartbeat]) -> None:
        self.agent = agent
        self._link = link
        self._heartbeats = heartbeats
        self._number = 0

    async def ask(self, model: str, tally: Tally, *, leave: bool = False) -> float | None:
        """Seconds to the first token."""
        tally.asked += 1
        while True:
            try:
                return await self._try(model, tally, leave)
            except Overloaded as full:
                tally.ended["refused"] += 1
                if full.retry_after_s is None:
                    tally.wrong.append(f"{model}: refused: {full.message}")
                    return None
                await asyncio.sleep(RETRY_S)

    async def _try(self, model: str, tally: Tally, leave: bool) -> float | None:
        """Raises ``Overloaded``."""
        self._number += 1
        attempt = Attempt(
            request_id=RequestId(f"{self._number:032x}"),
            number=1,
            model=ModelId(model),
            messages=(Message.of(Role.USER, "What is 2 + 3?"),),
            sampling=Sampling(max_tokens=WORDS, seed=1),
            timeout_s=REQUEST_S,
        )
        begun, first, tokens = time.perf_counter(), None, 0
        try:
            async with self._link.open(attempt) as stream:
                async for event in stream:
                    match event:
                        case Tokens(pieces=pieces):
                            first = first or time.perf_counter() - begun
                            tokens += len(pieces)
                            if leave:
                                tally.ended["left"] += 1
                                return first
                        case Finished():
                            tally.ended["answered"] += 1
                            if not tokens:
                                tally.wrong.append(f"{model}: an answer without a token")
                            return first
                        case Refused(message=message, retry_after_s=after):
                            raise Overloaded(message, retry_after_s=after)
        except Overloaded:
            raise
        except MeshError as error:
            tally.ended[error.code] += 1
            tally.wrong.append(f"{model}: {error!r}")
        return None

    def resident(self) -> list[str]:
        loads = self._heartbeats[-1].models if self._heartbeats else ()
        return [load.model for load in loads if load.state is ModelState.RESIDENT]

    def used(self) -> int:
        return sum(load.used_slots + load.queued for load in self._heartbeats[-1].models)

    def runners(self) -> list[psutil.Process]:
        return [p for p in self.agent.children() if p.status() != psutil.STATUS_ZOMBIE]

    async def read(self) -> Reading:
        """Once it is at rest: no slot used, one runner."""
        async with asyncio.timeout(READY_S):
            while self.used() or len(self.runners()) > 1:  # noqa: ASYNC110 - another's doing
                await asyncio.sleep(0.05)
        await asyncio.sleep(REST_S)
        with self.agent.oneshot():
            memory = self.agent.memory_full_info()
            return Reading(
                uss=memory.uss,
                rss=memory.rss,
                files=self.agent.num_fds(),
                threads=self.agent.num_threads(),
                children=len(self.agent.children(recursive=True)),
            )


async def measure(cycles: int, requests: int, engine: str) -> int:
    """Prints progress and the table; returns the exit code."""
    tally, readings = Tally(), []
    each = max(1, requests // cycles)
    names = ("math", "code")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="squadron-loads-")))
        node = await _start(stack, folder, engine, names)
        begun = time.perf_counter()
        for cycle in range(-WARM_UP, cycles):
            await _turn(node, names, cycle, each, tally)
            if cycle in (0, cycles // 10, cycles // 2, cycles - 1):
                readings.append(await node.read())
            if cycle % max(1, cycles // 10) == 0:
                rss = node.agent.memory_info().rss / MIB
                took = time.perf_counter() - begun
                print(f"load {cycle:,} after {took:.0f} s: agent {rss:.1f} MiB", flush=True)
        took = time.perf_counter() - begun
        used = node.used()
        orphans = [p.pid for p in tally.seen - set(node.runners()) if _lives(p)]
        agent = node.agent
    left = [p.pid for p in tally.seen | {agent} if _lives(p)]
    return _report(tally, readings, took, cycles, engine, used, left, orphans)


async def _turn(node: Node, names: Sequence[str], cycle: int, requests: int, tally: Tally) -> None:
    """The model of this turn is loaded, and asked ``requests`` times."""
    name = names[cycle % 2]
    if cycle % BOTH_EVERY == 0:  # the two of them at once: one waits for the other
        async with asyncio.TaskGroup() as group:
            for each in names:
                group.create_task(node.ask(each, tally))
    first = await node.ask(name, tally)
    if first is not None:
        tally.first_s.append(first)
    async with asyncio.TaskGroup() as group:
        for number in range(1, requests):
            leave = tally.asked % LEAVE_EVERY == 0
            group.create_task(node.ask(name, tally, leave=leave))
            await asyncio.sleep(0)  # so that it counts as asked
            if number % SLOTS == 0:
                await asyncio.sleep(0.02)
    tally.seen.update(node.runners())


def _report(
    tally: Tally,
    readings: Sequence[Reading],
    took: float,
    cycles: int,
    engine: str,
    used: int,
    left: Sequence[int],
    orphans: Sequence[int],
) -> int:
    first, start, middle, end = readings
    grown = end.uss / start.uss - 1
    problems = tally.wrong[:10]
    if grown > BAR:
        problems.append(f"the agent grew by {grown:.1%}; the bar is {BAR:.0%}")
    for what in ("files", "threads", "children"):
        before, after = getattr(start, what), getattr(end, what)
        if after > before + (SLACK if what != "children" else 0):
            problems.append(f"{after} {what} at the end, {before} at the start")
    if used:
        problems.append(f"{used} slots used or requests in line at the end")
    if left:
        problems.append(f"processes left after the node's end: {left}")
    whole = tally.ended["answered"] + tally.ended["left"]
    if whole != tally.asked:
        problems.append(f"{tally.asked:,} requests, of which {whole:,} were answered or left")
    if not tally.ended["left"]:
        problems.append("no request was left in the middle: too few requests to say anything")
    if len(tally.seen) < cycles:
        problems.append(
            f"{len(tally.seen):,} runners in {cycles:,} turns: models were not unloaded"
        )
    if orphans:
        problems.append(f"runners of models that were unloaded still live: {orphans}")
    rows = [
        Row(
            what="agent USS, end",
            figure=f"{end.uss / MIB:.1f} MiB",
            floor=f"{start.uss / MIB:.1f} MiB "
            f"(start {first.uss / MIB:.1f}, middle {middle.uss / MIB:.1f})",
            ratio=f"{end.uss / start.uss:.3f}",
        ),
        Row(
            what="agent RSS, end",
            figure=f"{end.rss / MIB:.1f} MiB",
            floor=f"{start.rss / MIB:.1f} MiB "
            f"(start {first.rss / MIB:.1f}, middle {middle.rss / MIB:.1f})",
            ratio=f"{end.rss / start.rss:.3f}",
        ),
        Row("open files", str(end.files), f"{start.files} (middle {middle.files})"),
        Row("threads", str(end.threads), f"{start.threads} (middle {middle.threads})"),
        Row("child processes", str(end.children), f"{start.children} (middle {middle.children})"),
        Row("slots used at the end", str(used), "0"),
        Row("processes left after the node's end", str(len(left)), "0"),
        Row(
            what="cold model: first token",
            figure=f"p50 {percentile(tally.first_s, 0.5):.2f} s, "
            f"p99 {percentile(tally.first_s, 0.99):.2f} s",
        ),
    ]
    notes = [
        f"engine {engine}: {cycles + WARM_UP:,} turns ({len(tally.seen):,} runners seen) in "
        f"{took:.0f} s; requests: {dict(tally.ended)}. The time of a cold model's first token "
        "holds what the other model may stay and the load itself.",
        *(f"WRONG: {problem}" for problem in problems),
    ]
    show("Load cycles: the agent at the end, and after a tenth of the loads", rows, notes)
    return 1 if problems else 0


def _lives(process: psutil.Process) -> bool:
    """Whether it is this very process: its number may be another's, or a thread's, by now."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


async def _start(stack: AsyncExitStack, folder: Path, engine: str, names: Sequence[str]) -> Node:
    port, data = free_port(), free_port()
    etcd = f"127.0.0.1:{port}"
    await stack.enter_async_context(
        child(folder, "etcd", *etcd_command(folder / "data", port, free_port()))
    )
    await wait_healthy(etcd, 20)
    models, limit = _models(engine, names)
    given = {
        "name": "box",
        "state_dir": str(folder / "state"),
        "etcd": etcd,
        "bind": f"tcp://127.0.0.1:{data}",
        "models": models,
        "memory_limit_bytes": limit,
        "reserve_bytes": 0,
        "log_level": "warning",
    }
    agent = await stack.enter_async_context(
        child(folder, "node", sys.executable, "-m", "node", json.dumps(given))
    )
    identity = folder / "state" / "nodes" / "box" / "id"
    async with asyncio.timeout(READY_S):
        while not identity.exists():  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.05)
    heartbeats: list[Heartbeat] = []

    def keep(heartbeat: Heartbeat) -> None:
        heartbeats[:] = [heartbeat]

    dialers = all_dialers("benchmark", PRESETS["local"], SystemClock(), random.Random(1))
    link = dialers["zeromq"].link(
        f"tcp://127.0.0.1:{data}", NodeId(identity.read_text().strip()), keep, lambda up: None
    )
    group = await stack.enter_async_context(asyncio.TaskGroup())
    task = group.create_task(link.run(), name="link")
    stack.callback(task.cancel)
    node = Node(agent, link, heartbeats)
    async with asyncio.timeout(READY_S):
        while not (link.up and node.resident()):  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.05)
    return node


def _models(engine: str, names: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
    """The two models, and bytes that hold one of them."""
    common = {"engine": engine, "slots": SLOTS}
    if engine == "simulated":
        options = {"words": WORDS}
        sized = {"source": "simulated", "memory_bytes": 100 * MIB, "options": options}
        return [common | sized | {"id": n, "specialties": [n]} for n in names], 150 * MIB
        from node.engines.llama_cpp.memory.need import need
    from node.models.catalogue import inspect
    from training.specialists import shipped

    paths = shipped()
    facts = inspect(paths[names[0]])
    one = need(
        facts, context_length=facts.context_length, slots=SLOTS, gpu_layers=0, device="cpu"
    ).ram_bytes
    models = [common | {"source": str(paths[n]), "id": n, "specialties": [n]} for n in names]
    return models, one * 3 // 2


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cycles", type=int, default=1_000, help="loads (%(default)s)")
    parser.add_argument("--requests", type=int, default=10_000, help="in all (%(default)s)")
    parser.add_argument("--engine", choices=("simulated", "llama_cpp"), default="simulated")
    given = parser.parse_args(arguments)
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    return asyncio.run(measure(given.cycles, given.requests, given.engine))


if __name__ == "__main__":
    sys.exit(main())
