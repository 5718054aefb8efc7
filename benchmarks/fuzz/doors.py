"""Some thousands of bad inputs at each door of real processes: does one end, or a view go down?

Method. Real etcd, one orchestrator and two nodes with the simulated engine. Inputs are made as for
``benchmarks.fuzz``, by number, and go in four streams side by side: values put below the registry's
prefix and deleted again, frames to a node's ZeroMQ socket, messages to every method of the
orchestrator's gRPC server and to a node's direct one, and raw bytes to every port. Meanwhile one
honest client asks all the time. Memory and files of every process are read when a tenth is through
and at the end, each after a pause. A finding is a process that ends or is another one, an honest
request that is not answered, a fleet that cannot be listed, a traceback in a log, an answer
INTERNAL or UNKNOWN, memory more than 10 % above, files that differ.

Run: ``python -m benchmarks.fuzz.doors [--inputs 4000] [--seed 1]``, inputs a door.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aetcd
import grpc
import psutil
import zmq
import zmq.asyncio

import mesh
from benchmarks.data_plane_rig import etcd_in, linked, python, running
from benchmarks.figures import Row, show
from benchmarks.fuzz.target import load
from mesh.either import beside
from mesh.errors import MeshError
from mesh.local.ports import free_port

NODES = 2
HONEST = "what is honest?"
PREFIX = "/mesh/v1/"
KEYS = ("nodes/", "orchestrators/", "quarantine/", "config/rules", "config/", "")
MESH_METHODS = tuple(
    f"/mesh.v1.Mesh/{m}" for m in ("Generate", "Route", "RouteBatch", "Embed", "Fleet")
)
DIRECT_METHODS = ("/mesh.v1.Direct/Generate",)
REST_S = 4.0
CALL_S = 10.0
GROWTH = 0.10
SLACK_FILES = 4  # a connection more or less is no leak
BAD_CODES = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


@dataclass(slots=True)
class Mesh:
    etcd: str
    endpoint: str
    folder: Path
    processes: dict[str, psutil.Process]


@dataclass(slots=True)
class Tally:
    sent: Counter[str] = field(default_factory=Counter)
    honest: int = 0
    findings: list[str] = field(default_factory=list)

    def found(self, what: str) -> None:
        if len(self.findings) < 40:
            self.findings.append(what)


async def measure(inputs: int, seed: int) -> int:
    """Prints the table and the findings; returns the exit code."""
    tally = Tally()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="squadron-fuzz-")))
        there = await stack.enter_async_context(_mesh(folder))
        runners = _family(there)
        warm = max(1, inputs // 10)
        await _attack(there, tally, seed, range(warm))
        await asyncio.sleep(REST_S)
        before = _read(runners)
        await _attack(there, tally, seed, range(warm, inputs))
        await asyncio.sleep(REST_S)
        _ended(runners, _family(there), tally)
        after = _read(runners)
        await _sound(there, tally)
        _logs(folder, tally)
    rows = []
    for name, (rss, files) in after.items():
        was_rss, was_files = before[name]
        if rss > was_rss * (1 + GROWTH):
            tally.found(f"{name}: memory from {was_rss >> 20} to {rss >> 20} MiB")
        if abs(files - was_files) > SLACK_FILES:
            tally.found(f"{name}: files from {was_files} to {files}")
        figure = f"{rss / 2**20:.1f} MiB, {files} files"
        rows.append(
            Row(
                name,
                figure,
                f"{was_rss / 2**20:.1f} MiB, {was_files} files",
                f"{rss / was_rss:.2f}",
            )
        )
    sent = ", ".join(f"{count:,} {door}" for door, count in sorted(tally.sent.items()))
    show(
        "doors: at the end, and after the first tenth",
        rows,
        [sent, f"{tally.honest:,} honest requests"],
    )
    for finding in tally.findings:
        print(f"FINDING {finding}")
    return 1 if tally.findings else 0


@asynccontextmanager
async def _mesh(folder: Path) -> AsyncIterator[Mesh]:
    async with AsyncExitStack() as stack:
        etcd = await stack.enter_async_context(etcd_in(folder))
        endpoint = f"127.0.0.1:{free_port()}"
        common = {"etcd": etcd, "log_level": "warning"}
        processes = {}

        async def start(name: str, module: str, settings: dict[str, object]) -> None:
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            given = json.dumps(common | settings | {"name": name, "state_dir": str(folder / name)})
            processes[name] = await stack.enter_async_context(
                running(python(module, given), stdout=log, stderr=log)
            )

        await start("orchestrator", "orchestrator", {"bind": endpoint})
        model = {"source": "simulated", "id": "sim", "engine": "simulated", "slots": 8}
        model |= {"specialties": ["math", "chat"], "options": {"words": 8}}
        for number in range(NODES):
            await start(f"node-{number}", "node", {"models": [model]})
        await linked(endpoint, NODES)
        yield Mesh(etcd, endpoint, folder, processes)


def _family(there: Mesh) -> dict[str, psutil.Process]:
    found = dict(there.processes)
    for name, process in there.processes.items():
        if name.startswith("node") and process.is_running():
            for number, child in enumerate(process.children(recursive=True)):
                found[f"{name}, child {number}"] = child
    return found


def _read(processes: dict[str, psutil.Process]) -> dict[str, tuple[int, int]]:
    found = {}
    for name, process in processes.items():
        with contextlib.suppress(psutil.Error):
            found[name] = (process.memory_info().rss, process.num_fds())
    return found


def _ended(
    before: dict[str, psutil.Process], after: dict[str, psutil.Process], tally: Tally
) -> None:
    for name, process in before.items():
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            tally.found(f"{name} has ended")
        elif after.get(name) != process:
            tally.found(f"{name} is another process now")


async def _attack(there: Mesh, tally: Tally, seed: int, numbers: range) -> None:
    async with mesh.connect(there.endpoint) as client:
        fleet = await client.fleet()
        # Those that are really there: what inputs claim has no live link.
        records = [node.record for node in fleet.nodes if node.record.name.startswith("node-")]
    planes = [record.endpoint for record in records if record.pid in _pids(there)]
    directs = [record.direct_endpoint for record in records if record.pid in _pids(there)]
    ports = [there.endpoint, *directs, *(plane.removeprefix("tcp://") for plane in planes)]
    async with beside(_honest(there, tally)), asyncio.TaskGroup() as group:
        group.create_task(_registry(there, tally, seed, numbers))
        group.create_task(_frames(planes, tally, seed, numbers))
        group.create_task(
            _calls("client plane", there.endpoint, MESH_METHODS, tally, seed, numbers)
        )
        group.create_task(_calls("direct", directs[0], DIRECT_METHODS, tally, seed, numbers))
        group.create_task(_raw(ports, tally, seed, numbers))


def _pids(there: Mesh) -> set[int]:
    return {process.pid for process in there.processes.values()}


async def _honest(there: Mesh, tally: Tally) -> None:
    async with mesh.connect(there.endpoint) as client:
        while True:
            try:
                async for _ in client.generate(HONEST, specialty="math", max_tokens=8):
                    pass
                tally.honest += 1
                if tally.honest % 20 == 0:
                    await client.fleet()
            except MeshError as error:
                tally.found(f"an honest request: {error.code}: {error.message}")
            await asyncio.sleep(0.02)


async def _sound(there: Mesh, tally: Tally) -> None:
    try:
        async with mesh.connect(there.endpoint) as client:
            up = sum(node.link_up for node in (await client.fleet()).nodes)
            if up < NODES:
                tally.found(f"{up} of {NODES} nodes are linked at the end")
    except MeshError as error:
        tally.found(f"the fleet at the end: {error.code}: {error.message}")


def _logs(folder: Path, tally: Tally) -> None:
    for log in folder.glob("*.log"):
        text = log.read_text(errors="replace")
        if (at := text.find("Traceback")) >= 0:
            tally.found(f"{log.name}: {text[max(0, at - 300) : at + 1_500]}")


async def _registry(there: Mesh, tally: Tally, seed: int, numbers: range) -> None:
    target = load("registry")
    host, _, port = there.etcd.rpartition(":")
    async with aetcd.Client(host=host, port=int(port)) as client:
        for number in numbers:
            rng = random.Random(f"{seed} key {number}")
            prefix = rng.choice(KEYS)
            name = (
                "" if prefix == "config/rules" else rng.choice(("x", "é", "a/b", "0" * 32, "\x1b"))
            )
            key = f"{PREFIX}{prefix}{name}".encode()
            with contextlib.suppress(aetcd.ClientError):
                await client.put(key, target.input(seed, number)[:1_000_000])
                if rng.random() < 0.8:
                    await client.delete(key)
            tally.sent["registry"] += 1
            await asyncio.sleep(0.005)
        await client.delete_prefix(f"{PREFIX}config/".encode())


async def _frames(planes: Sequence[str], tally: Tally, seed: int, numbers: range) -> None:
    target = load("frames")
    context = zmq.asyncio.Context()
    sockets: dict[str, zmq.asyncio.Socket] = {}
    try:
        for number in numbers:
            rng = random.Random(f"{seed} frame {number}")
            plane = rng.choice(planes)
            if plane not in sockets or rng.random() < 0.02:
                if plane in sockets:
                    sockets[plane].close(0)
                sockets[plane] = context.socket(zmq.DEALER)
                sockets[plane].connect(plane)
            parts = [target.input(seed, number + i) for i in range(rng.choice((1, 1, 1, 2, 5)))]
            with contextlib.suppress(zmq.Again):
                await sockets[plane].send_multipart(parts, zmq.NOBLOCK)
            tally.sent["frames"] += 1
            await asyncio.sleep(0.002)
    finally:
        context.destroy(0)


async def _calls(
    door: str, address: str, methods: Sequence[str], tally: Tally, seed: int, numbers: range
) -> None:
    target = load("grpc_messages")
    options = [("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        for number in numbers:
            method = random.Random(f"{seed} {door} {number}").choice(methods)
            data = target.input(seed, number)
            call = channel.unary_stream(method)(data, timeout=CALL_S)
            try:
                async for _ in call:
                    pass
            except grpc.aio.AioRpcError as error:
                if error.code() in BAD_CODES:
                    tally.found(f"{method} input {number}: {error.code().name} {error.details()}")
            tally.sent[door] += 1


async def _raw(ports: Sequence[str], tally: Tally, seed: int, numbers: range) -> None:
    targets = [load(name) for name in ("frames", "grpc_messages", "sse")]
    for number in numbers:
        rng = random.Random(f"{seed} raw {number}")
        host, _, port = rng.choice(list(ports)).rpartition(":")
        data = rng.choice(targets).input(seed, number)
        start = rng.choice(
            (
                b"",
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"GET / HTTP/1.1\r\n\r\n",
                b"\xff" + b"\0" * 9,
            )
        )
        with contextlib.suppress(OSError, TimeoutError):
            await _bytes(host, int(port), start + data)
        tally.sent["raw"] += 1


async def _bytes(host: str, port: int, data: bytes) -> None:
    async with asyncio.timeout(2.0):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(data)
            await writer.drain()
            async with asyncio.timeout(0.01):
                await reader.read(100)
        finally:
            writer.transport.abort()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=4_000, help="a door (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    return asyncio.run(measure(given.inputs, given.seed))


if __name__ == "__main__":
    sys.exit(main())
