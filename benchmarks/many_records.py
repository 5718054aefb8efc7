"""Thousands of nodes in the registry, nearly all dead: when does a fresh orchestrator serve?

Method. A real etcd holds ``--records`` records of nodes that nobody runs: a third at a port where
nothing listens, a third at one that accepts and says nothing, a third at addresses that never
answer. All claim the specialty that is asked for. One real node with the simulated engine is among
them. Then an orchestrator process starts: *ready* is when its Fleet call is answered, *listed* when
that has every record, *served* when a request is answered by the one node that lives. From then on
it is asked once every 50 ms for ``--seconds``, and its files and its share of a core are read. The
floor is the same with no dead record.

Run: ``python -m benchmarks.many_records [--records 8000] [--seconds 20]``. Exit code 1 when a
request fails or a bar is missed: ready in 3 s, 1,000 files.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aetcd
import psutil

import mesh
from benchmarks.figures import Row, show, spread
from benchmarks.fleet_scale import child
from mesh.errors import MeshError
from mesh.fleet.records import ModelRecord, ModelState, NodeRecord, NodeState, encode_record
from mesh.local.etcd import etcd_command, wait_healthy
from mesh.local.ports import free_port
from mesh.types import ModelId, NodeId, Specialty

READY_BAR_S = 3.0
FILES_BAR = 1_000
ASK_S = 0.05
START_S = 60.0
RULES = '[[rules]]\nname = "sum"\nspecialty = "math"\npattern = "[0-9] ?[+] ?[0-9]"\nweight = 0.9\n'


@dataclass(slots=True)
class Found:
    ready_s: float = 0.0
    listed_s: float = 0.0
    served_s: float = 0.0
    answers_ms: list[float] = field(default_factory=list)
    files: int = 0
    busy: float = 0.0
    problems: list[str] = field(default_factory=list)


def dead(number: int, ports: Sequence[int]) -> NodeRecord:
    """``ports``: where nothing listens, and where nothing is said."""
    endpoint = (
        f"tcp://127.0.0.1:{ports[number % 3]}"
        if number % 3 < 2
        else f"tcp://10.255.{number % 250}.{number // 250 % 250}:7000"
    )
    return NodeRecord(
        id=NodeId(f"node-{number:016x}"),
        instance="dead",
        name=f"dead-{number}",
        host="nowhere",
        pid=1,
        state=NodeState.READY,
        reason="",
        endpoint=endpoint,
        specialties=(Specialty("math"),),
        models=(
            ModelRecord(
                id=ModelId("sim"),
                engine="simulated",
                specialties=(Specialty("math"),),
                state=ModelState.RESIDENT,
                slots=4,
                used_slots=0,
                context_length=4096,
                device="cpu",
            ),
        ),
    )


async def measure(records: int, seconds: float) -> Found:
    """One run with so many dead records."""
    found = Found()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="squadron-many-")))
        (folder / "rules.toml").write_text(RULES)
        client = free_port()
        command = etcd_command(folder / "etcd", client, free_port())
        await stack.enter_async_context(child(folder, "etcd", *command))
        await wait_healthy(f"127.0.0.1:{client}", 20)
        mute = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4096))
        ports = (free_port(), int(mute.getsockname()[1]))
        async with aetcd.Client("127.0.0.1", client) as etcd:
            for number in range(records):
                record = dead(number, ports)
                key = f"/mesh/v1/nodes/{record.id}".encode()
                await etcd.put(key, encode_record(record, indent=0))
        common = {"state_dir": str(folder), "etcd": f"127.0.0.1:{client}", "log_level": "warning"}
        model = {
            "source": "simulated",
            "id": "sim",
            "engine": "simulated",
            "specialties": ["math"],
            "slots": 4,
            "options": {"words": 8, "base_ms": 1.0},
        }
        node = {"name": "alive", "models": [model], **common}
        run = (sys.executable, "-m", "node", json.dumps(node))
        await stack.enter_async_context(child(folder, "node", *run))
        await asyncio.sleep(5.0)  # its model is loaded by then, and it is not what is measured
        endpoint = f"127.0.0.1:{free_port()}"
        settings = {
            "name": "o",
            "bind": endpoint,
            "rules": str(folder / "rules.toml"),
            "router": {"stages": ["rules"]},
            **common,
        }
        begun = time.perf_counter()
        run = (sys.executable, "-m", "orchestrator", json.dumps(settings))
        process = await stack.enter_async_context(child(folder, "o", *run))
        await _asked(found, endpoint, records, seconds, begun, psutil.Process(process.pid))
    return found


@asynccontextmanager
async def _connected(endpoint: str) -> AsyncIterator[mesh.Client]:
    """Once it listens."""
    while True:
        client = mesh.connect(endpoint)
        try:
            await client.__aenter__()
        except MeshError:
            await asyncio.sleep(0.02)
            continue
        try:
            yield client
        finally:
            await client.__aexit__(None, None, None)
        return


async def _asked(
    found: Found,
    endpoint: str,
    records: int,
    seconds: float,
    begun: float,
    process: psutil.Process,
) -> None:
    async with asyncio.timeout(START_S + seconds), _connected(endpoint) as client:
        while not found.listed_s:
            try:
                listed = (await client.fleet()).nodes
            except MeshError:
                await asyncio.sleep(0.02)
                continue
            found.ready_s = found.ready_s or time.perf_counter() - begun
            if len(listed) > records:
                found.listed_s = time.perf_counter() - begun
        while not found.served_s:
            try:
                await client.generate("1 + 1", timeout_s=10).text()
                found.served_s = time.perf_counter() - begun
            except MeshError as error:
                found.problems.append(f"at first: {error.message}")
        spent = sum(process.cpu_times()[:2])
        asked = time.perf_counter()
        while time.perf_counter() - asked < seconds:
            at = time.perf_counter()
            try:
                text = await client.generate("1 + 1", timeout_s=10).text()
                if not text.startswith("tok0 "):
                    found.problems.append(f"answered {text!r}")
            except MeshError as error:
                found.problems.append(error.message)
            found.answers_ms.append(1000 * (time.perf_counter() - at))
            found.files = max(found.files, process.num_fds())
            await asyncio.sleep(ASK_S)
        found.busy = (sum(process.cpu_times()[:2]) - spent) / (time.perf_counter() - asked)


async def compare(records: int, seconds: float) -> int:
    """Prints the table; returns the exit code."""
    floor, found = await measure(0, seconds), await measure(records, seconds)
    met = found.ready_s <= READY_BAR_S and found.files < FILES_BAR
    rows = [
        Row(
            what=f"ready, bar {READY_BAR_S:g} s",
            figure=f"{found.ready_s:.2f} s",
            floor=f"{floor.ready_s:.2f} s",
        ),
        Row(
            what="every record listed",
            figure=f"{found.listed_s:.2f} s",
            floor=f"{floor.listed_s:.2f} s",
        ),
        Row(what="first answer", figure=f"{found.served_s:.2f} s", floor=f"{floor.served_s:.2f} s"),
        Row(
            what=f"open files at most, bar {FILES_BAR:,}",
            figure=str(found.files),
            floor=str(floor.files),
        ),
        Row(
            what="an answer of 8 tokens",
            figure=spread(found.answers_ms, "ms", 1),
            floor=spread(floor.answers_ms, "ms", 1),
        ),
        Row(what="CPU (share of a core)", figure=f"{found.busy:.0%}", floor=f"{floor.busy:.0%}"),
    ]
    problems = floor.problems + found.problems
    notes = [
        f"{records:,} dead records; {seconds:g} s of one request after another.",
        *(f"WRONG: {problem}" for problem in problems[:10]),
    ]
    show("A registry full of the dead", rows, notes)
    return 0 if met and not problems else 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=8000, help="of dead nodes (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="asked (%(default)s)")
    given = parser.parse_args(arguments)
    return asyncio.run(compare(given.records, given.seconds))


if __name__ == "__main__":
    sys.exit(main())
