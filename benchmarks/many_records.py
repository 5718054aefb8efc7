"""8,000 records in the registry: when is a fresh orchestrator ready, and with how many files?

Method. Real etcd, one real node with the simulated engine, and records of nodes that nobody runs,
each at an address of its own on loopback where nothing listens, put under no lease. Then a fresh
orchestrator, ``ROUNDS`` times: the time from its start until its health service says SERVING, until
the real node has answered a request, and until the listing has every record; its open files and its
memory are looked at every 50 ms until ``WATCH_S`` after that. The floor is the same orchestrator
with the real node alone.

Run: ``python -m benchmarks.many_records [--records 8000]``. Exit code 1 when a bar is not kept:
ready in under 3 s, under 1,000 files.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aetcd
import psutil

import mesh
from benchmarks.data_plane_rig import etcd_in, python, running
from benchmarks.figures import Row, percentile, show
from mesh.either import beside
from mesh.errors import MeshError
from mesh.fleet.records import ModelRecord, ModelState, NodeRecord, NodeState, encode_record
from mesh.local.ports import free_port
from mesh.local.ready import serving
from mesh.types import ModelId, NodeId, Specialty

PREFIX = "/mesh/v1/nodes/"
ROUNDS = 3
WATCH_S = 5.0
LIMIT_S = 60.0
READY_BAR_S = 3.0
FILES_BAR = 1_000
A_BATCH = 100


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds from the start, ``files`` at most, ``rss`` in bytes at the end."""

    ready_s: float
    answered_s: float
    listed_s: float
    files: int
    rss: int


def record(number: int) -> NodeRecord:
    model = ModelRecord(
        id=ModelId("sim"),
        engine="simulated",
        specialties=(Specialty("math"),),
        state=ModelState.RESIDENT,
        slots=4,
        used_slots=0,
        device="cpu",
        context_length=8_192,
    )
    return NodeRecord(
        id=NodeId(f"claimed-{number}"),
        instance=f"{number:x}",
        name=f"claimed-{number}",
        host="nowhere",
        pid=1 + number,
        state=NodeState.READY,
        reason="",
        endpoint=f"tcp://127.{1 + number // 60_000}.{number // 250 % 240}.{1 + number % 250}:9",
        specialties=(Specialty("math"),),
        models=(model,),
    )


async def claim(etcd: str, records: int) -> None:
    host, _, port = etcd.rpartition(":")
    async with aetcd.Client(host=host, port=int(port), timeout=10) as client:
        put = client.transactions.put
        for start in range(0, records, A_BATCH):
            numbers = range(start, min(records, start + A_BATCH))
            puts = [put(f"{PREFIX}claimed-{n}".encode(), encode_record(record(n))) for n in numbers]
            await client.transaction([], puts, [])


async def once(folder: Path, etcd: str, records: int) -> Round:
    endpoint = f"127.0.0.1:{free_port()}"
    settings = {"name": "fresh", "state_dir": str(folder / "fresh"), "etcd": etcd}
    settings |= {"bind": endpoint, "log_level": "error"}
    begun = time.perf_counter()
    most = [0]
    async with (
        running(python("orchestrator", json.dumps(settings))) as process,
        asyncio.timeout(LIMIT_S),
        beside(_files(process, most)),
    ):
        await _holds(lambda: serving(endpoint), 0.02)
        ready_s = time.perf_counter() - begun
        async with mesh.connect(endpoint) as client:
            await _answered(client)
            answered_s = time.perf_counter() - begun

            async def listed() -> bool:
                return len((await client.fleet()).nodes) > records

            await _holds(listed, 0.2)
            listed_s = time.perf_counter() - begun
            await asyncio.sleep(WATCH_S)
            await _answered(client)
        rss = process.memory_info().rss
    return Round(ready_s, answered_s, listed_s, most[0], rss)


async def _holds(condition: Callable[[], Awaitable[bool]], every_s: float) -> None:
    while not await condition():  # noqa: ASYNC110  another process: nothing here can tell
        await asyncio.sleep(every_s)


async def _files(process: psutil.Process, most: list[int]) -> None:
    while True:
        most[0] = max(most[0], process.num_fds())
        await asyncio.sleep(0.05)


async def _answered(client: mesh.Client) -> None:
    while True:
        try:
            async for _ in client.generate("what is there?", specialty="real", max_tokens=4):
                pass
            return
        except MeshError:
            await asyncio.sleep(0.05)


async def measure(records: int) -> int:
    """Prints the table; returns the exit code."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="squadron-many-")))
        etcd = await stack.enter_async_context(etcd_in(folder))
        model: dict[str, Any] = {"source": "simulated", "id": "real", "engine": "simulated"}
        model |= {"specialties": ["real"], "options": {"words": 4}}
        node: dict[str, Any] = {
            "name": "real",
            "state_dir": str(folder / "real"),
            "etcd": etcd,
            "models": [model],
        }
        node["log_level"] = "error"
        await stack.enter_async_context(running(python("node", json.dumps(node))))
        await once(folder, etcd, 0)  # compiles the rules, once for all
        alone = [await once(folder, etcd, 0) for _ in range(ROUNDS)]
        await claim(etcd, records)
        many = [await once(folder, etcd, records) for _ in range(ROUNDS)]

    def median(rounds: list[Round], name: str) -> float:
        return percentile([float(getattr(one, name)) for one in rounds], 0.5)

    rows = []
    for name in ("ready_s", "answered_s", "listed_s"):
        ours, floor = median(many, name), median(alone, name)
        worst = max(getattr(one, name) for one in many)
        figure = f"p50 {ours:.2f} s, longest {worst:.2f} s"
        rows.append(Row(name.removesuffix("_s"), figure, f"{floor:.2f} s", f"{ours / floor:.1f}"))
    files, least = max(one.files for one in many), max(one.files for one in alone)
    rows.append(Row("open files at most", f"{files:,}", f"{least:,}"))
    rows.append(Row("memory", *(f"{median(r, 'rss') / 2**20:.0f} MiB" for r in (many, alone))))
    show(f"a fresh orchestrator, {records:,} records", rows, ["floor: with the real node alone"])
    kept = max(one.ready_s for one in many) < READY_BAR_S and files < FILES_BAR
    bars = f"ready under {READY_BAR_S:g} s, under {FILES_BAR:,} files"
    print(f"bars ({bars}): {'kept' if kept else 'missed'}")
    return 0 if kept else 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=8_000)
    return asyncio.run(measure(parser.parse_args(arguments).records))


if __name__ == "__main__":
    sys.exit(main())
