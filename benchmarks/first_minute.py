"""The first minute: from `make run`, and from `mesh up` again, to a token of the real model.

Method. *First start*: the command of `make run`, with what it installs already there, in a fresh
state folder and on free ports, so that the rules are compiled as on a newcomer's machine. The
moment in which the mesh says ready (``mesh.json``) a client of its own asks the first model, beside
the tour. *Again*: ``mesh up --detach`` in the same folder until it returns, then a fresh client
until its first token; the first of these does not count. *Floor*: the same file loaded by
llama.cpp alone in a child, up to its first token. *Memory*: resident set size (RSS) of both nodes'
processes, runners included, after each node has answered; it counts shared pages twice, beside it
stands the proportional size (PSS). The page cache is warm; the first run warms it.

Run: ``python -m benchmarks.first_minute [--first 3] [--again 10]``. Exit code 1 when a bar is not
kept, 2 without the first model.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

import mesh
from benchmarks.figures import Row, percentile, show
from mesh.local.first_model import INSTALL, MODEL_ID, first_model
from mesh.local.ports import free_port

ROOT = Path(__file__).parents[1]
MESH = (sys.executable, "-m", "mesh.cli")
PROMPT = "What is the capital of France?"
FIRST_BAR_S, AGAIN_BAR_S, MEMORY_BAR = 15.0, 4.0, 2**30
LIMIT_S = 120.0
POLL_S = 0.02
ALONE = """
import sys, time
begun = time.perf_counter()
import llama_cpp
model = llama_cpp.Llama(sys.argv[1], n_ctx=4096, n_threads=1, verbose=False)
turns = [{"role": "user", "content": sys.argv[2]}]
for chunk in model.create_chat_completion(turns, stream=True, max_tokens=8):
    if chunk["choices"][0]["delta"].get("content"):
        break
print(time.perf_counter() - begun)
"""


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from the command."""

    ready_s: float
    token_s: float


@dataclass(frozen=True, slots=True)
class Place:
    state: Path
    endpoint: str
    etcd_port: int

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "MESH_STATE_DIR": str(self.state),
            "MESH_ENDPOINT": self.endpoint,
            "MESH_ETCD_PORT": str(self.etcd_port),
        }

    def ready(self) -> bool:
        try:
            return bool(json.loads((self.state / "mesh.json").read_bytes())["ready"])
        except (OSError, ValueError):
            return False

    def mesh(self, *arguments: str) -> None:
        done = subprocess.run(
            [*MESH, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"mesh {' '.join(arguments)} failed: {done.stderr or done.stdout}")


@contextmanager
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="squadron-first-") as folder:
        yield Place(Path(folder) / "state", f"127.0.0.1:{free_port()}", free_port())


async def first_token(endpoint: str, specialty: str | None = None) -> float:
    """Seconds until the real model's first token, of a client that is made now."""
    begun = time.perf_counter()
    async with mesh.connect(endpoint) as client:
        answer = client.generate(
            PROMPT, model=MODEL_ID, specialty=specialty, max_tokens=8, cacheable=False
        )
        first = None
        async for _ in answer:
            first = first or time.perf_counter() - begun
    if first is None:
        raise SystemExit("an answer without a token")
    return first


def first_start(at: Place) -> Start:
    """`make run`, until Ctrl-C."""
    command = ["make", "--old-file=.venv/.installed", "run", f"BIN={Path(sys.executable).parent}"]
    begun = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=at.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not at.ready():
            if process.poll() is not None or time.perf_counter() - begun > LIMIT_S:
                raise SystemExit(f"`make run` did not come up; see {at.state / 'logs'}")
            time.sleep(POLL_S)
        ready = time.perf_counter() - begun
        return Start(ready, ready + asyncio.run(first_token(at.endpoint)))
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=30)


def again(at: Place) -> Start:
    begun = time.perf_counter()
    at.mesh("up", "--detach")
    ready = time.perf_counter() - begun
    return Start(ready, ready + asyncio.run(first_token(at.endpoint)))


def alone(model: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(model), PROMPT],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    return float(done.stdout)


async def memory(at: Place) -> tuple[int, int]:
    """RSS and PSS in bytes of both nodes, once each has answered."""
    async with mesh.connect(at.endpoint) as client:
        nodes = (await client.fleet()).nodes
        for specialty in ("logic", "code"):  # of which each node has one alone
            await first_token(at.endpoint, specialty)
    rss = pss = 0
    for node in nodes:
        agent = psutil.Process(node.record.pid)
        for process in (agent, *agent.children(recursive=True)):
            found = process.memory_full_info()
            rss, pss = rss + found.rss, pss + found.pss
    return rss, pss


def row(what: str, values: Sequence[float], floor: Sequence[float] = ()) -> Row:
    p50, p90 = percentile(values, 0.5), percentile(values, 0.9)
    figure = f"p50 {p50:.2f} s, p90 {p90:.2f} s, max {max(values):.2f} s"
    if not floor:
        return Row(what, figure)
    alone_s = percentile(floor, 0.5)
    return Row(what, figure, f"p50 {alone_s:.2f} s", f"{p50 / alone_s:.1f}")


def measure(model: Path, firsts: int, agains: int) -> int:
    starts, later, floor = [], [], []
    for _ in range(firsts):
        with place() as at:
            starts.append(first_start(at))
    with place() as at:
        again(at)
        rss, pss = asyncio.run(memory(at))
        at.mesh("down")
        for _ in range(agains):
            later.append(again(at))
            at.mesh("down")
            floor.append(alone(model))
    slow = [s.token_s for s in starts if s.token_s >= FIRST_BAR_S]
    slow += [s.token_s for s in later if s.token_s >= AGAIN_BAR_S]
    kept = not slow and rss <= MEMORY_BAR
    show(
        "The first minute",
        [
            row("`make run` to ready, fresh state", [s.ready_s for s in starts]),
            row("`make run` to the first token", [s.token_s for s in starts], floor),
            row("`mesh up` again, to ready", [s.ready_s for s in later]),
            row("`mesh up` again, to the first token", [s.token_s for s in later], floor),
            Row("both nodes, RSS after answers", f"{rss / 2**20:.0f} MiB"),
            Row("both nodes, PSS after answers", f"{pss / 2**20:.0f} MiB"),
        ],
        [
            f"first starts: {firsts}, again: {agains}; floor: llama.cpp alone, one thread",
            f"bars: first token in under {FIRST_BAR_S:g} s, again in under {AGAIN_BAR_S:g} s, both "
            f"nodes within {MEMORY_BAR / 2**30:g} GiB: {'kept' if kept else 'missed'}",
        ],
    )
    return 0 if kept else 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--first", type=int, default=3, help="first starts (%(default)s)")
    parser.add_argument("--again", type=int, default=10, help="starts after it (%(default)s)")
    given = parser.parse_args(arguments)
    model = first_model()
    if model is None:
        print(f"the first model is not installed: {INSTALL}", file=sys.stderr)
        return 2
    return measure(model, max(1, given.first), max(1, given.again))


if __name__ == "__main__":
    sys.exit(main())
