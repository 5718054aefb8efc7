"""100,000 short requests through one orchestrator: does anything grow?

Method. Real processes: etcd, one orchestrator, two nodes whose simulated engine answers at once,
so that nothing but the mesh's own work is done; ``CLIENTS`` clients in this process, closed loop,
each answer checked token by token, every hundredth one left in the middle. Resident memory, open
files and threads of every process are read when a tenth of the requests is done and every tenth
from then on, each time after a pause of ``REST_S`` in which nobody asks. The bar: at the end at
most 5% more resident memory than after the first tenth, in each process but etcd (whose history
grows until it compacts itself). ``--trace`` has the orchestrator say, with tracemalloc, which lines
hold what is new; it makes everything several times slower and larger.

Run: ``python -m benchmarks.soak [--requests 100000] [--trace]``. Exit code 1 when a request or a
slot is lost, files or threads leak, or the bar is not kept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

import mesh
from benchmarks.figures import Row, show
from mesh.errors import MeshError
from mesh.local.etcd import etcd_command, wait_healthy
from mesh.local.ports import free_port
from mesh.stream import Done, Tokens

CLIENTS = 32
CHANNELS = 4
NODES = 2
SLOTS = 16
WORDS = 8
STEPS = 10
LEAVE_EVERY = 100
REST_S = 2.0
READY_S = 40.0
REQUEST_S = 30.0
BAR = 0.05
SLACK_FILES = 4  # a connection more or less is no leak
RULES = '[[rules]]\nname = "sum"\nspecialty = "math"\npattern = "[0-9] ?[+] ?[0-9]"\nweight = 0.9\n'
# The orchestrator with a look at its own memory: USR1 keeps a snapshot, USR2 prints what grew.
TRACED = """
import signal, sys, tracemalloc, gc
tracemalloc.start(12)
kept = []
def take():
    gc.collect()
    return tracemalloc.take_snapshot().filter_traces(
        (tracemalloc.Filter(False, tracemalloc.__file__),))
def keep(*_):
    kept[:] = [take()]
def tell(*_):
    for difference in take().compare_to(kept[0], "traceback")[:12]:
        print(difference, *difference.traceback.format(), sep="\\n", file=sys.stderr, flush=True)
signal.signal(signal.SIGUSR1, keep)
signal.signal(signal.SIGUSR2, tell)
from orchestrator.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One process at one moment; ``rss`` in bytes."""

    rss: int
    files: int
    threads: int


@dataclass(slots=True)
class Tally:
    """What became of the requests."""

    begun: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@asynccontextmanager
async def child(folder: Path, name: str, *command: str) -> AsyncIterator[psutil.Process]:
    """A process that is ended, and killed if need be, with the block; its output is in a file."""
    with (folder / f"{name}.log").open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - starting one takes milliseconds
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=Path.cwd()
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, 15)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)


async def measure(requests: int, *, trace: bool) -> int:
    """Prints progress and the table; returns the exit code."""
    tally = Tally()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="squadron-soak-")))
        endpoint, processes = await _mesh(stack, folder, trace)
        clients = [await stack.enter_async_context(mesh.connect(endpoint)) for _ in range(CHANNELS)]
        processes |= _runners(processes) | {"client (this process)": psutil.Process()}
        readings: list[dict[str, Reading]] = []
        step = max(1, requests // STEPS)
        begun = time.perf_counter()
        for number in range(STEPS):
            await _ask(clients, step, tally)
            rate = tally.begun / (time.perf_counter() - begun)
            await asyncio.sleep(REST_S)
            readings.append({name: _read(process) for name, process in processes.items()})
            told = ", ".join(f"{n} {r.rss / 2**20:.1f} MB" for n, r in readings[-1].items())
            print(f"{tally.begun:,} at {rate:,.0f}/s: {told}", flush=True)
            if trace:
                processes["orchestrator"].send_signal(12 if number else 10)
                await asyncio.sleep(5 * REST_S)
        problems = [*tally.wrong[:10], *await _slots(clients[0])]
        if trace:
            print((folder / "orchestrator.log").read_text()[-20_000:])
    first, last = readings[0], readings[-1]
    rows = [
        Row(
            what=name,
            figure=f"{last[name].rss / 2**20:.1f} MB, {last[name].files} files, "
            f"{last[name].threads} threads",
            floor=f"{first[name].rss / 2**20:.1f} MB, {first[name].files}, {first[name].threads}",
            ratio=f"{last[name].rss / first[name].rss:.3f}",
        )
        for name in processes
    ]
    problems += [line for name in processes for line in _grown(name, first[name], last[name])]
    notes = [
        f"{tally.begun:,} requests of {WORDS} tokens by {CLIENTS} clients over {CHANNELS} "
        f"connections: {dict(tally.ended)}; the floor is the same process after "
        f"{requests // STEPS:,} requests.",
        *(f"WRONG: {problem}" for problem in problems),
    ]
    show("Soak: at the end, and after the first tenth", rows, notes)
    return 1 if problems else 0


async def _ask(clients: Sequence[mesh.Client], requests: int, tally: Tally) -> None:
    left = iter(range(requests))

    async def one_client(client: mesh.Client) -> None:
        for _ in left:
            tally.begun += 1
            await _one(client, tally, leave=tally.begun % LEAVE_EVERY == 0)

    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(one_client(clients[number % len(clients)]))


async def _one(client: mesh.Client, tally: Tally, *, leave: bool) -> None:
    received, done = 0, False
    try:
        async with client.events("what is 1 + 1?", timeout_s=REQUEST_S) as events:
            async for event in events:
                match event:
                    case Tokens(first=first, pieces=pieces):
                        right = [piece.text for piece in pieces] == [
                            f"tok{index} " for index in range(first, first + len(pieces))
                        ]
                        if first != received or not right:
                            tally.wrong.append(f"after {received} tokens came {event}")
                        received = first + len(pieces)
                        if leave:
                            tally.ended["left"] += 1
                            return
                    case Done():
                        done = True
    except MeshError as error:
        tally.ended[error.code] += 1
        tally.wrong.append(f"a request ended with {error!r}")
        return
    tally.ended["answered"] += 1
    if not done or received != WORDS:
        tally.wrong.append(f"an answer ended after {received} tokens")


async def _slots(client: mesh.Client) -> list[str]:
    """What is still held by somebody when nobody asks for anything."""
    return [
        f"{node.record.name}: {node.in_flight} in flight, {model.used_slots} slots used at the end"
        for node in await client.nodes()
        for model in node.record.models
        if node.in_flight or model.used_slots
    ]


def _grown(name: str, first: Reading, last: Reading) -> list[str]:
    found = []
    if name != "etcd" and last.rss > first.rss * (1 + BAR):
        found.append(f"{name} grew by {last.rss / first.rss - 1:.1%}; the bar is {BAR:.0%}")
    if last.files > first.files + SLACK_FILES:
        found.append(f"{name} has {last.files} files open, {first.files} before")
    if name != "etcd" and last.threads > first.threads + SLACK_FILES:
        found.append(f"{name} has {last.threads} threads, {first.threads} before")
    return found


def _read(process: psutil.Process) -> Reading:
    with process.oneshot():
        return Reading(
            rss=process.memory_info().rss, files=process.num_fds(), threads=process.num_threads()
        )


def _runners(processes: dict[str, psutil.Process]) -> dict[str, psutil.Process]:
    return {
        f"{name}'s runner": runner
        for name, process in processes.items()
        if name.startswith("node")
        for runner in process.children(recursive=True)[:1]
    }


async def _mesh(
    stack: AsyncExitStack, folder: Path, trace: bool
) -> tuple[str, dict[str, psutil.Process]]:
    (folder / "rules.toml").write_text(RULES)
    port = free_port()
    etcd = f"127.0.0.1:{port}"
    endpoint = f"127.0.0.1:{free_port()}"
    command = etcd_command(folder / "data", port, free_port())
    processes = {"etcd": await stack.enter_async_context(child(folder, "etcd", *command))}
    await wait_healthy(etcd, 20)
    common = {"etcd": etcd, "log_level": "warning"}
    settings: dict[str, object] = {
        "name": "o",
        "bind": endpoint,
        "rules": str(folder / "rules.toml"),
    }
    settings["router"] = {"stages": ["rules"]}  # the nodes shall answer, not the memory
    run = ("-c", TRACED) if trace else ("-m", "orchestrator")
    given = json.dumps(common | settings | {"state_dir": str(folder / "o")})
    processes["orchestrator"] = await stack.enter_async_context(
        child(folder, "orchestrator", sys.executable, *run, given)
    )
    for number in range(NODES):
        name = f"node-{number}"
        model = {
            "source": "simulated",
            "id": "sim",
            "engine": "simulated",
            "specialties": ["math"],
            "slots": SLOTS,
            "options": {"words": WORDS},
        }
        given = json.dumps(
            common | {"name": name, "state_dir": str(folder / name), "models": [model]}
        )
        processes[name] = await stack.enter_async_context(
            child(folder, name, sys.executable, "-m", "node", given)
        )
    await resident(endpoint, folder, NODES, "1 + 1")
    return endpoint, processes


async def resident(
    endpoint: str, folder: Path, nodes: int, prompt: str, specialty: str | None = None
) -> None:
    """Returns once so many nodes have a model for the prompt; ``folder``: of the logs. Raises
    ``RuntimeError`` that shows them."""
    try:
        async with asyncio.timeout(READY_S):
            while True:
                try:
                    async with mesh.connect(endpoint) as client:
                        rows = (await client.route(prompt, specialty=specialty)).candidates
                        if sum("resident" in row.reason for row in rows if row.eligible) == nodes:
                            return
                except MeshError:
                    pass
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise RuntimeError(f"not ready in {READY_S} s:\n{_logs(folder)}") from None


def _logs(folder: Path) -> str:
    return "\n".join(path.read_text()[-1000:] for path in folder.glob("*.log"))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=100_000, help="in all (%(default)s)")
    parser.add_argument("--trace", action="store_true", help="tracemalloc in the orchestrator")
    given = parser.parse_args(arguments)
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    return asyncio.run(measure(given.requests, trace=given.trace))


if __name__ == "__main__":
    sys.exit(main())
