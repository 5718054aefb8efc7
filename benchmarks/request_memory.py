"""Five hundred requests of 4 MB at once: what the orchestrator holds, and whom else it serves.

Method. ``mesh up`` in a throw-away folder on loopback, and two nodes of simulated answers beside
it, one for requests of any length and one for small ones. Small requests (a few words, eight
tokens) go one after the other from this process: first alone, then while another process has
``--requests`` large ones under way at once over eight channels, valid ones and ones whose sampling
is wrong, by the SDK's own calls. ``--wide``: in Python's widest letters. Resident memory of the
orchestrator's process is read every 50 ms. The bars: under 600 MB, and small ones within twice
their median. Before it, ``--rejected`` invalid large ones one after the other: what is left of
them. Run: ``python -m benchmarks.request_memory``; exit code 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import psutil

import mesh
from benchmarks.end_to_end import MESH, down, up
from benchmarks.figures import Row, percentile, show, spread
from mesh.channel import open_channel
from mesh.client import wire
from mesh.client.sending import MESH as SERVICE
from mesh.client.sending import answered
from mesh.errors import MeshError
from mesh.local.ports import free_port
from mesh.v1 import mesh_pb2 as pb
from mesh.v1 import mesh_pb2_grpc

LARGE_BYTES = 4_000_000
WIDE = "\U0001f600"  # with it, Python keeps the whole text in four bytes a letter
CHANNELS = 8
SMALL = 100  # requests, alone
LIMIT_MB = 600.0
LARGE_AT, SMALL_AT = "large", "small"  # nodes, and their specialties
NODE = """
name = "{name}"
etcd = "{etcd}"
[[models]]
source = "{name}"
specialties = ["{name}"]
engine = "simulated"
slots = 8
context_length = 10000000
[models.options]
words = 8
base_ms = 2.0
"""


def message(valid: bool, wide: str = "") -> pb.GenerateRequest:
    return pb.GenerateRequest(
        messages=[pb.Message(role="user", content="x" * LARGE_BYTES + wide)],
        sampling=pb.Sampling(max_tokens=8 if valid else -1),
        specialty=LARGE_AT,
        timeout_s=100.0,
    )


async def flood(
    endpoint: str, count: int, at_once: int, kinds: tuple[bool, ...], wide: str = ""
) -> Counter[str]:
    """How ``count`` large requests ended, ``at_once`` of them under way."""
    ends: Counter[str] = Counter()
    messages = {kind: message(kind, wide) for kind in kinds}
    lines = [(channel := open_channel(endpoint), _stub(channel)) for _ in range(CHANNELS)]
    room = asyncio.Semaphore(at_once)

    async def one(number: int) -> None:
        channel, stub = lines[number % CHANNELS]
        async with room:
            call = answered(
                channel, stub, SERVICE + "Generate", messages[kinds[number % len(kinds)]], 110.0, ()
            )
            try:
                async for _ in call:
                    pass
                ends["answered"] += 1
            except grpc.aio.AioRpcError as error:
                ends[wire.translated(error, endpoint).code] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))
    for channel, _ in lines:
        await channel.close()
    return ends


def _stub(channel: Any) -> Any:
    make: Any = mesh_pb2_grpc.MeshStub  # generated, and without types
    return make(channel)


async def small(endpoint: str, until: Callable[[], bool]) -> list[float]:
    """Milliseconds of small requests, one after the other, as long as ``until`` is False."""
    took: list[float] = []
    async with mesh.connect(endpoint) as client:
        while not until():
            begun = time.perf_counter()
            try:
                await client.generate(
                    f"one {len(took)}", specialty=SMALL_AT, max_tokens=8, cacheable=False
                ).text()
            except MeshError as error:
                print(f"a small request ended: {error.message}", flush=True)
            took.append(1e3 * (time.perf_counter() - begun))
            await asyncio.sleep(0.01)
    return took


async def watched(process: psutil.Process, work: Awaitable[Any]) -> tuple[Any, float]:
    """What the work returns, and the most that the process held meanwhile, in MB."""
    peak = process.memory_info().rss
    task = asyncio.ensure_future(work)
    while not task.done():
        peak = max(peak, process.memory_info().rss)
        await asyncio.wait((task,), timeout=0.05)
    return task.result(), peak / 1e6


async def measure(
    endpoint: str, process: psutil.Process, count: int, rejected: int, wide: str
) -> tuple[list[Row], bool]:
    rows = []
    await small(endpoint, _after(20))
    before = process.memory_info().rss / 1e6
    await flood(endpoint, rejected, 1, (False,))
    left = process.memory_info().rss / 1e6
    was = f"{before:.0f} MB before"
    rows.append(Row(f"memory after {rejected} rejected, one by one", f"{left:.0f} MB", was))
    alone = await small(endpoint, _after(SMALL))
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.request_memory", "flood", endpoint, str(count), wide),
        stdout=subprocess.PIPE,
    )
    try:
        said = asyncio.ensure_future(child.communicate())
        beside, most = await watched(process, small(endpoint, said.done))
        ends = json.loads((await said)[0])
    finally:
        if child.returncode is None:
            child.kill()
    ratio = percentile(beside, 0.5) / percentile(alone, 0.5)
    rows += [
        Row(f"{count} large at once: ends", ", ".join(f"{n} {k}" for k, n in ends.items())),
        Row("most memory meanwhile", f"{most:.0f} MB", f"bar: {LIMIT_MB:.0f} MB"),
        Row("memory 2 s after", f"{await _settled(process):.0f} MB"),
        Row("small ones alone", spread(alone, "ms")),
        Row("small ones meanwhile", spread(beside, "ms"), "bar: 2 x", f"{ratio:.2f}"),
    ]
    return rows, most < LIMIT_MB and ratio <= 2.0


async def _settled(process: psutil.Process) -> float:
    await asyncio.sleep(2.0)
    return float(process.memory_info().rss / 1e6)


def _after(count: int) -> Callable[[], bool]:
    left = iter(range(count))
    return lambda: next(left, None) is None


def _orchestrator(state: Path) -> psutil.Process:
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if "-m orchestrator" in line and str(state) in line:
            return process
    raise SystemExit("the orchestrator's process is not there")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--wide", action="store_true")
    parser.add_argument("--rejected", type=int, default=80)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state, endpoint = Path(folder), f"127.0.0.1:{(port := free_port())}"
        up(state, port, free_port())
        nodes = [_node(state, name) for name in (LARGE_AT, SMALL_AT)]
        try:
            asyncio.run(_ready(endpoint))
            rows, held = asyncio.run(
                measure(
                    endpoint,
                    _orchestrator(state),
                    given.requests,
                    given.rejected,
                    WIDE if given.wide else "",
                )
            )
        finally:
            for node in nodes:
                node.terminate()
                node.wait(20)
            down(state)
    show("Large requests at once", rows)
    return 0 if held else 1


def _node(state: Path, name: str) -> subprocess.Popen[bytes]:
    config = state / f"{name}.toml"
    etcd = json.loads((state / "mesh.json").read_text())["etcd"]
    config.write_text(NODE.format(etcd=etcd, name=name))
    return subprocess.Popen(
        [*MESH, "node", "--config", str(config), "--state-dir", str(state / name)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def _ready(endpoint: str) -> None:
    async with mesh.connect(endpoint) as client, asyncio.timeout(30.0):
        up = False
        while not up:
            there = {node.record.name for node in await client.nodes() if node.link_up}
            up = {LARGE_AT, SMALL_AT} <= there
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["flood", where, number, letter]:
            each = int(number)
            print(json.dumps(asyncio.run(flood(where, each, each, (True, False), letter))))
        case _:
            sys.exit(main())
