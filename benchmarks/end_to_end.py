"""A whole mesh of the three toy models: time to ready, idle memory, first token, tokens a second.

Method. One throw-away state folder and free ports; everything on loopback of this machine.
*Ready*: wall time of ``mesh up --detach --models tests/specialists``, which returns when every node
has a link and is READY; the first start is the warm-up and does not count. *Idle memory*: unique
set size (USS) of every process of the mesh two seconds after ready, runners included. *End to end*:
the SDK in this process asks one specialist greedily; closed loop, ``CLIENTS`` clients, each with
its own channel; time to first token is taken at the client. *Engine alone*: the same GGUF, prompt
and slots through ``node.engines`` in a child process, nothing else between. Runs of mesh and engine
alternate, so that a noisy neighbour hits both. Run: ``python -m benchmarks.end_to_end``.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

import mesh
from benchmarks.figures import Row, percentile, show, spread
from benchmarks.floors import measure as measure_floors
from mesh.local.ports import free_port
from training.specialists import FOLDER, shipped

PROMPT = "Write a Python function that returns the sum of a list of numbers."
SPECIALTY = "code"
ROUNDS = 5
REQUESTS = 16  # per round
MESH = (sys.executable, "-m", "mesh.cli")


@dataclass(frozen=True, slots=True)
class Load:
    """What a closed loop saw. ``first_ms``: milliseconds to first token; ``rate``: tokens/s, all
    clients together."""

    first_ms: tuple[float, ...]
    rate: float


async def through_mesh(endpoint: str, clients: int) -> Load:
    """``REQUESTS`` requests over ``clients`` clients."""
    first_ms: list[float] = []
    tokens = 0

    async def one_client(requests: int) -> None:
        nonlocal tokens
        async with mesh.connect(endpoint) as client:
            for _ in range(requests):
                start = time.perf_counter()
                first = None
                answer = client.generate(
                    PROMPT, specialty=SPECIALTY, cacheable=False, max_tokens=256, temperature=0.0
                )
                async for _chunk in answer:
                    first = first or time.perf_counter()
                if first is None or answer.done is None:
                    raise RuntimeError("an answer without a token")
                first_ms.append((first - start) * 1e3)
                tokens += answer.done.completion_tokens

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(one_client(REQUESTS // clients))
    return Load(tuple(first_ms), tokens / (time.perf_counter() - start))


def engine_alone(slots: int) -> Load:
    """The same requests with nothing between: runs in a child process, see ``_engine``."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.end_to_end", "engine", str(slots)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    out = json.loads(done.stdout)
    return Load(tuple(out["first_ms"]), out["rate"])


def _engine(at_once: int) -> None:
    from mesh.types import Message, Role, Sampling
    from node.engines.base import Ended, ModelSpec, Token
    from node.engines.registry import load_engine

    engine = load_engine("llama_cpp")
    engine.load(
        ModelSpec(
            id=SPECIALTY, source=str(shipped()[SPECIALTY]), slots=4, context_length=512, threads=1
        )
    )
    messages = (Message.of(Role.USER, PROMPT),)
    sampling = Sampling(max_tokens=256)
    first_ms: list[float] = []
    tokens, left, free = 0, REQUESTS, list(range(min(at_once, 4)))
    opened: dict[int, float] = {}
    waiting_first: set[int] = set()
    start = time.perf_counter()
    while left or opened:
        while left and free:
            slot = free.pop()
            opened[slot] = time.perf_counter()
            waiting_first.add(slot)
            engine.open(slot, messages, sampling, (), "")
            left -= 1
        for emission in engine.step(frozenset()):
            match emission:
                case Token(slot=slot):
                    tokens += 1
                    if slot in waiting_first:
                        waiting_first.remove(slot)
                        first_ms.append((time.perf_counter() - opened[slot]) * 1e3)
                case Ended(slot=slot):
                    engine.close(slot)
                    del opened[slot]
                    free.append(slot)
                case _:
                    pass
    print(json.dumps({"first_ms": first_ms, "rate": tokens / (time.perf_counter() - start)}))


def up(state: Path, port: int, etcd_port: int) -> float:
    """Starts the mesh and returns the seconds it took to be ready."""
    start = time.perf_counter()
    places = ("--etcd-port", str(etcd_port), "--endpoint", f"127.0.0.1:{port}")
    done = subprocess.run(
        [*MESH, "up", "--detach", "--models", str(FOLDER), "--state-dir", str(state), *places],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"mesh up failed: {done.stderr or done.stdout}")
    return time.perf_counter() - start


def down(state: Path) -> None:
    subprocess.run(
        [*MESH, "down", "--state-dir", str(state)], capture_output=True, timeout=60, check=True
    )


def idle_memory(state: Path) -> list[Row]:
    """One row a process of the mesh that lives in ``state``."""
    rows = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = process.info["cmdline"] or []
        line = " ".join(words)
        if str(state) not in line and not (process.parents() and _belongs(process, state)):
            continue
        rows.append((_title(words), process.memory_full_info().uss / 2**20))
    return [Row(f"idle memory, {name}", f"{mib:.0f} MiB") for name, mib in sorted(rows)]


def _belongs(process: psutil.Process, state: Path) -> bool:
    return any(str(state) in " ".join(parent.cmdline()) for parent in process.parents())


def _title(words: Sequence[str]) -> str:
    line = " ".join(words)
    for mark, title in (
        ("mesh.cli up", "mesh up (supervisor)"),
        ("node.runner", "runner (engine and model)"),
        ("-m orchestrator", "orchestrator"),
        ("-m node", "node agent"),
        ("etcd", "etcd"),
    ):
        if mark in line:
            return title
    return words[0] if words else "?"


def measure() -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        state, port, etcd_port = Path(folder), free_port(), free_port()
        ready = []
        for round_ in range(ROUNDS):
            seconds = up(state, port, etcd_port)
            if round_:
                ready.append(seconds)
            if round_ < ROUNDS - 1:
                down(state)
        try:
            rows.append(Row("`mesh up` to ready, warm", spread(ready, "s")))
            time.sleep(2)  # let start-up work end, so that idle is idle
            rows += idle_memory(state)
            for clients in (1, 8):
                rows += _compare(f"127.0.0.1:{port}", clients)
        finally:
            down(state)
    rows += asyncio.run(measure_floors())
    return rows, [
        f"{ROUNDS} rounds of {REQUESTS} requests each, mesh and engine alternating; 4 slots, "
        "1 engine thread; prompt and answer are the same in both.",
        "With 8 clients on 4 slots half of the requests wait for a slot: their first token too.",
    ]


def _compare(endpoint: str, clients: int) -> list[Row]:
    asyncio.run(through_mesh(endpoint, clients))  # warm-up: prompt cache on both sides
    ours, floor = [], []
    for _ in range(ROUNDS):
        ours.append(asyncio.run(through_mesh(endpoint, clients)))
        floor.append(engine_alone(clients))
    ours_first = [ms for load in ours for ms in load.first_ms]
    floor_first = [ms for load in floor for ms in load.first_ms]
    ours_rate = percentile([load.rate for load in ours], 0.5)
    floor_rate = percentile([load.rate for load in floor], 0.5)
    who = f"{clients} client{'s' if clients > 1 else ''}"
    return [
        Row(
            f"first token, {who}",
            spread(ours_first, "ms"),
            f"engine alone: {spread(floor_first, 'ms')}",
            f"{percentile(ours_first, 0.5) / percentile(floor_first, 0.5):.2f}",
        ),
        Row(
            f"tokens a second, {who}",
            f"{ours_rate:,.0f}",
            f"engine alone: {floor_rate:,.0f}",
            f"{ours_rate / floor_rate:.2f}",
        ),
    ]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["engine", slots]:
            _engine(int(slots))
        case _:
            title = "A mesh on one machine: etcd, orchestrator, three nodes"
            figures, method = measure()
            show(title, figures, method)
