"""500 nodes on one etcd: how soon does every orchestrator see a node's change, and at what cost?

Method. One durable etcd as ``mesh up`` starts it, two real orchestrator processes, and the nodes in
a few processes (``benchmarks/light_nodes.py``): every node has its own etcd session and lease, its
own ZeroMQ listener linked by both orchestrators, and heartbeats of the preset. Each node re-puts
its record every ``--change`` seconds in the mean and writes the moment into it; *seen* is when an
answer of that orchestrator's Fleet RPC, asked again and again, shows that moment or a newer one, so
the figures include the listing of all nodes, its transfer, and the wait for the next poll. (A
record is written at most once a second; changes here keep that distance, so that wait is not in the
figures.) Warm-up: until both orchestrators have a link to every node, and 5 s. The floor is the
same listing's own round trip.
Memory is each orchestrator's resident set at the end. Last, one of the node processes is killed:
*lost* is when no orchestrator shows a link to any of its nodes, *gone* when their records went with
their leases.

Run: ``python -m benchmarks.fleet_scale [--nodes 500] [--seconds 30]``. Exit code 1 when a node or a
change is never seen or a request fails; the bars are reported.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil

import mesh
from benchmarks.figures import Row, percentile, show, spread
from mesh.errors import MeshError
from mesh.local.etcd import etcd_command, wait_healthy
from mesh.local.ports import free_port
from mesh.protobuf.fleet import fleet_from_wire
from mesh.v1 import mesh_pb2 as pb
from mesh.v1 import mesh_pb2_grpc

PROCESSES = 4
ORCHESTRATORS = 2
WARM_UP_S = 5.0
POLL_S = 0.04
READY_S = 60.0
LOST_S = 30.0
REQUESTS = 40
SEEN_BAR_MS = 250.0
MEMORY_BAR_MB = 300.0
MAX_BYTES = 64 * 1024 * 1024
RULES = '[[rules]]\nname = "sum"\nspecialty = "math"\npattern = "[0-9] ?[+] ?[0-9]"\nweight = 0.9\n'


@dataclass(slots=True)
class Watcher:
    """Asks one orchestrator for its fleet again and again. Times in milliseconds; ``marks``: the
    newest moment seen per node (Unix seconds)."""

    endpoint: str
    marks: dict[str, float] = field(default_factory=dict)
    linked: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)
    seen_ms: list[float] = field(default_factory=list)
    poll_ms: list[float] = field(default_factory=list)

    async def run(self) -> None:
        options = [("grpc.max_receive_message_length", MAX_BYTES)]
        async with grpc.aio.insecure_channel(self.endpoint, options=options) as channel:
            make: Any = mesh_pb2_grpc.MeshStub
            stub = make(channel)
            while True:
                begun = time.perf_counter()
                try:
                    answer = await stub.Fleet(pb.FleetRequest(), timeout=10, wait_for_ready=True)
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(POLL_S)
                    continue
                now = time.time()
                self.poll_ms.append(1000 * (time.perf_counter() - begun))
                self._read(answer, now)
                await asyncio.sleep(POLL_S)

    def _read(self, answer: Any, now: float) -> None:
        self.listed, self.linked = set(), set()
        for listed in fleet_from_wire(answer).nodes:
            node = listed.record
            self.listed.add(node.id)
            if listed.link_up:
                self.linked.add(node.id)
            mark = float(node.accelerator.removeprefix("at "))
            if mark > self.marks.get(node.id, 0.0):
                self.marks[node.id] = mark
                self.seen_ms.append(1000 * (now - mark))


@asynccontextmanager
async def child(folder: Path, name: str, *command: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A process that is ended, and killed if need be, with the block; its output is in a file."""
    with (folder / f"{name}.log").open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - starting one takes milliseconds
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=Path.cwd()
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, 15)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)


async def measure(nodes: int, seconds: float, change_s: float, preset: str) -> int:
    """Prints the table; returns the exit code."""
    async with _stack(nodes, change_s, preset) as (endpoints, orchestrators, workers, etcd):
        watchers = [Watcher(endpoint) for endpoint in endpoints]
        everyone = {f"node-{number:016x}" for number in range(nodes)}
        problems: list[str] = []
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(watcher.run()) for watcher in watchers]
            begun = time.perf_counter()
            for watcher in watchers:
                if not await _holds(READY_S, lambda w=watcher: w.linked == everyone):
                    lacking = len(everyone - watcher.linked)
                    problems.append(f"{watcher.endpoint} has no link to {lacking} nodes")
            ready_s = time.perf_counter() - begun
            await asyncio.sleep(WARM_UP_S)
            for watcher in watchers:
                watcher.seen_ms.clear()
                watcher.poll_ms.clear()
            before = [_cpu_s(process) for process in (*orchestrators, etcd)]
            await asyncio.sleep(seconds)
            busy = [
                (_cpu_s(process) - spent) / seconds
                for process, spent in zip((*orchestrators, etcd), before, strict=True)
            ]
            seen = [list(watcher.seen_ms) for watcher in watchers]
            polls = [ms for watcher in watchers for ms in watcher.poll_ms]
            for watcher in watchers:
                if gone := everyone - watcher.linked:
                    problems.append(f"{watcher.endpoint} lost its link to {len(gone)} nodes")
            problems += await _answers(endpoints)
            rss = [psutil.Process(p.pid).memory_info().rss / 2**20 for p in orchestrators]
            files = [psutil.Process(p.pid).num_fds() for p in orchestrators]
            lost_s, gone_s, left = await _kill_one(workers, watchers, everyone, nodes)
            problems += left
            for task in tasks:
                task.cancel()
    # What one orchestrator never saw, the other may have: both end with the same newest marks.
    for node in everyone & set(watchers[0].marks):
        if abs(watchers[0].marks[node] - watchers[1].marks.get(node, 0.0)) > 2 * SEEN_BAR_MS:
            problems.append(f"a change of {node} was seen by one orchestrator only")
    changes = [ms for each in seen for ms in each]
    p99 = max(percentile(each, 0.99) for each in seen)
    rows = [
        Row(
            what=f"a change seen by an orchestrator ({len(changes):,} changes)",
            figure=spread(changes, "ms", 0),
            floor=f"listing: {spread(polls, 'ms', 0)}",
        ),
        Row(
            what=f"... the slower orchestrator's p99, bar {SEEN_BAR_MS:.0f} ms",
            figure=f"{p99:.0f} ms: {'within' if p99 <= SEEN_BAR_MS else 'ABOVE'} the bar",
        ),
        Row(
            what=f"orchestrator resident memory, bar {MEMORY_BAR_MB:.0f} MB",
            figure=f"{', '.join(f'{mb:.0f} MB' for mb in rss)}: "
            f"{'within' if max(rss) <= MEMORY_BAR_MB else 'ABOVE'} the bar",
        ),
        Row(what="orchestrator open files", figure=", ".join(map(str, files))),
        Row(
            what="CPU: orchestrators, etcd (share of a core)",
            figure=", ".join(f"{share:.0%}" for share in busy),
        ),
        Row(what="both linked to every node, from the first poll", figure=f"{ready_s:.1f} s"),
        Row(
            what=f"{nodes // PROCESSES} nodes killed at once: links lost / records gone",
            figure=f"{lost_s:.2f} s / {gone_s:.1f} s",
        ),
    ]
    notes = [
        f"{nodes} nodes in {PROCESSES} processes, preset {preset}, each node's record re-put every "
        f"{change_s:g} s in the mean; {seconds:g} s measured; polled every {POLL_S * 1000:.0f} ms.",
        *(f"WRONG: {problem}" for problem in problems),
    ]
    show("A large fleet", rows, notes)
    return 1 if problems else 0


@asynccontextmanager
async def _stack(nodes: int, change_s: float, preset: str) -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="squadron-scale-")))
        (folder / "rules.toml").write_text(RULES)
        client = free_port()
        command = etcd_command(folder / "etcd", client, free_port())
        etcd = await stack.enter_async_context(child(folder, "etcd", *command))
        await wait_healthy(f"127.0.0.1:{client}", 20)
        endpoints, orchestrators, workers = [], [], []
        for number in range(ORCHESTRATORS):
            endpoints.append(f"127.0.0.1:{free_port()}")
            settings = {
                "name": f"o{number}",
                "state_dir": str(folder / f"o{number}"),
                "etcd": f"127.0.0.1:{client}",
                "bind": endpoints[-1],
                "rules": str(folder / "rules.toml"),
                "router": {"stages": ["rules"]},  # the nodes shall answer, not the memory
                "preset": preset,
                "log_level": "warning",
            }
            run = (sys.executable, "-m", "orchestrator", json.dumps(settings))
            orchestrators.append(await stack.enter_async_context(child(folder, f"o{number}", *run)))
        for number in range(PROCESSES):
            first = nodes * number // PROCESSES
            light = {
                "etcd": f"127.0.0.1:{client}",
                "preset": preset,
                "first": first,
                "count": nodes * (number + 1) // PROCESSES - first,
                "change_s": change_s,
            }
            run = (sys.executable, "-m", "benchmarks.light_nodes", json.dumps(light))
            workers.append(await stack.enter_async_context(child(folder, f"w{number}", *run)))
        yield endpoints, orchestrators, workers, etcd


async def _answers(endpoints: Sequence[str]) -> list[str]:
    """Requests through each orchestrator, since a fleet that is only listed is none."""
    problems = []
    for endpoint in endpoints:
        try:
            async with mesh.connect(endpoint) as client:
                for number in range(REQUESTS):
                    text = await client.generate(f"{number} + 1", timeout_s=10).text()
                    if not text.startswith("tok0 tok1 ") or not text.endswith("tok7 "):
                        problems.append(f"{endpoint} answered {text!r}")
        except MeshError as error:
            problems.append(f"{endpoint} answered {error!r}")
    return problems


async def _kill_one(
    workers: list[subprocess.Popen[bytes]],
    watchers: list[Watcher],
    everyone: set[str],
    nodes: int,
) -> tuple[float, float, list[str]]:
    dead = {f"node-{n:016x}" for n in range(nodes * (PROCESSES - 1) // PROCESSES, nodes)}
    workers[-1].kill()
    begun = time.perf_counter()
    problems = []
    if not await _holds(LOST_S, lambda: not any(dead & w.linked for w in watchers)):
        problems.append("links to killed nodes still count as up")
    lost_s = time.perf_counter() - begun
    if not await _holds(LOST_S, lambda: all(w.listed == everyone - dead for w in watchers)):
        problems.append(
            "after the kill, listed and living nodes differ by "
            + ", ".join(str(len(w.listed ^ (everyone - dead))) for w in watchers)
        )
    return lost_s, time.perf_counter() - begun, problems


async def _holds(within_s: float, condition: Any) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110 - other processes' doing
                await asyncio.sleep(0.02)
            return True
    return False


def _cpu_s(process: subprocess.Popen[bytes]) -> float:
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=500, help="light nodes (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured (%(default)s)")
    parser.add_argument("--change", type=float, default=10.0, help="seconds a record (%(default)s)")
    parser.add_argument("--preset", default="lan", help="timing preset (%(default)s)")
    given = parser.parse_args(arguments)
    return asyncio.run(measure(given.nodes, given.seconds, given.change, given.preset))


if __name__ == "__main__":
    sys.exit(main())
