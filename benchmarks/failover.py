"""Kill, stop or cut a node under running streams, again and again: nothing lost, nothing twice.

Method. One etcd, one orchestrator process, ``NODES`` node processes with the simulated engine
(``SLOTS`` slots, one token every ``TOKEN_MS``), all on this machine; each node's data plane goes
through a TCP proxy in this process only for ``--how cut``. ``STREAMS`` clients, closed loop, each
asks for answers of ``WORDS`` tokens over the SDK and checks every event: the next token has the
next index, and its text is the one that belongs to that index, so a gap, a repetition or a wrong
resume shows in any stream; every answer must end with ``Done`` and all its tokens.
At random moments a random node is hit. ``kill``: SIGKILL to its agent, which is started again at
once, as a supervisor would. ``runner``: SIGKILL to its runner, the child process with the engine,
which the agent starts again. ``stop``: SIGSTOP to the agent, SIGCONT after ``AWAY_S``. ``cut``: its
connections stay open and carry nothing more for ``AWAY_S``. The next hit comes only when all nodes
but one are up, so that there is always somewhere to go.
*Gap*: at the client, between the two tokens around a resume, nothing subtracted; only gaps of
answers that the hit moved to another node are counted, one each. The bars are the issue's.
Run: ``python -m benchmarks.failover --kills 200 --how kill``; ends with 1 if anything was violated.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

import mesh
from benchmarks.data_plane_rig import etcd_in
from benchmarks.figures import Row, percentile, show, spread
from mesh import Assigned, Client, Done, Tokens
from mesh.errors import MeshError
from mesh.local.ports import free_port
from training.rigs.tcp_proxy import TcpProxy

NODES = 4
SLOTS = 12
STREAMS = 20
WORDS = 120
TOKEN_MS = 8.0
AWAY_S = 3.0
START_S = 30.0
BARS_MS = {
    "kill": (300.0, 1_000.0),
    "runner": (300.0, 1_000.0),
    "stop": (None, 2_000.0),
    "cut": (None, 2_000.0),
}
RULES = '[[rules]]\nname = "any"\nspecialty = "math"\npattern = "."\nweight = 0.9\n'


@dataclass(slots=True)
class Tally:
    """What the clients saw. Gaps in milliseconds."""

    answers: int = 0
    tokens: int = 0
    resumed: int = 0
    gaps_ms: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Box:
    """One node's process, which is started again whenever it ends. ``up`` is what the clients'
    orchestrator says."""

    name: str
    settings: str
    log: Path
    process: asyncio.subprocess.Process | None = None
    starts: int = 0

    async def run(self) -> None:
        """Keeps the process running until cancelled; then none is left."""
        try:
            while True:
                with self.log.open("ab") as log:
                    self.process = await asyncio.create_subprocess_exec(
                        sys.executable, "-m", "node", self.settings, stdout=log, stderr=log
                    )
                self.starts += 1
                await self.process.wait()
        finally:
            if self.process is not None and self.process.returncode is None:
                for number in (signal.SIGCONT, signal.SIGKILL):
                    self.process.send_signal(number)
                await self.process.wait()


async def main(kills: int, how: str, seed: int) -> int:
    rng = random.Random(seed)
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="squadron-failover-") as name:
        folder = Path(name)
        async with etcd_in(folder) as etcd, AsyncExitStack() as running:
            endpoint = f"127.0.0.1:{free_port()}"
            await running.enter_async_context(_orchestrator(folder, etcd, endpoint))
            proxies = {}
            boxes = []
            for number in range(NODES):
                port = free_port()
                if how == "cut":
                    # The node is at 127.0.0.2 and says that it is at 127.0.0.1, where the proxy is.
                    proxies[f"n{number}"] = await running.enter_async_context(
                        TcpProxy(f"127.0.0.2:{port}", port=port)
                    )
                boxes.append(_box(folder, etcd, f"n{number}", port, proxies))
            group = await running.enter_async_context(asyncio.TaskGroup())
            tasks = [group.create_task(box.run()) for box in boxes]
            begun = time.monotonic()
            try:
                async with aclosing(await _connected(endpoint)) as client:
                    await _ready(client, NODES)
                    stop = asyncio.Event()
                    async with asyncio.TaskGroup() as streams:
                        for number in range(STREAMS):
                            streams.create_task(_stream(client, number, tally, stop))
                        await _hit(client, boxes, proxies, kills, how, rng)
                        stop.set()
            finally:
                for task in tasks:
                    task.cancel()
    return _report(kills, how, seed, tally, time.monotonic() - begun)


@asynccontextmanager
async def _orchestrator(folder: Path, etcd: str, endpoint: str) -> AsyncIterator[None]:
    (folder / "rules.toml").write_text(RULES)
    settings = {
        "name": "one",
        "state_dir": str(folder / "orchestrator"),
        "etcd": etcd,
        "bind": endpoint,
        "rules": str(folder / "rules.toml"),
        "router": {"stages": ["rules"]},  # the nodes shall answer, not the memory
    }
    with (folder / "orchestrator.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "orchestrator", json.dumps(settings), stdout=log, stderr=log
        )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _connected(endpoint: str) -> Client:
    """A client, once the orchestrator listens."""
    async with asyncio.timeout(START_S):
        while True:
            try:
                client = mesh.connect(endpoint, timeout_s=120.0)
                await client.__aenter__()
                return client
            except MeshError:
                await asyncio.sleep(0.05)


def _box(folder: Path, etcd: str, name: str, port: int, proxies: dict[str, TcpProxy]) -> Box:
    settings = {
        "name": name,
        "state_dir": str(folder / name),
        "etcd": etcd,
        "bind": f"tcp://127.0.0.1:{port}",
        "models": [
            {
                "source": "simulated",
                "id": "sim",
                "engine": "simulated",
                "specialties": ["math"],
                "slots": SLOTS,
                "options": {"words": WORDS, "base_ms": TOKEN_MS},
            }
        ],
    }
    if name in proxies:
        settings |= {"bind": f"tcp://127.0.0.2:{port}", "advertise": "127.0.0.1"}
    return Box(name=name, settings=json.dumps(settings), log=folder / f"{name}.log")


async def _ready(client: Client, nodes: int) -> set[str]:
    """The names of those that take work, once there are so many."""
    async with asyncio.timeout(START_S):
        while len(usable := await _usable(client)) < nodes:  # noqa: ASYNC110 (a remote state)
            await asyncio.sleep(0.02)
    return usable


async def _usable(client: Client) -> set[str]:
    return {
        node.record.name
        for node in await client.nodes()
        if node.link_up and node.record.state == "ready" and node.last_seen_age_s < 0.6
    }


async def _hit(
    client: Client,
    boxes: list[Box],
    proxies: dict[str, TcpProxy],
    kills: int,
    how: str,
    rng: random.Random,
) -> None:
    for _ in range(kills):
        await asyncio.sleep(rng.uniform(0.05, 0.4))
        usable = await _ready(client, NODES - 1)
        box = rng.choice([box for box in boxes if box.name in usable])
        if box.process is None or box.process.returncode is not None:
            continue
        match how:
            case "kill":
                os.kill(box.process.pid, signal.SIGKILL)
            case "runner":
                for child in psutil.Process(box.process.pid).children():
                    child.kill()
            case "stop":
                os.kill(box.process.pid, signal.SIGSTOP)
                await asyncio.sleep(AWAY_S)
                os.kill(box.process.pid, signal.SIGCONT)
            case "cut":
                proxies[box.name].freeze()
                await asyncio.sleep(AWAY_S)


async def _stream(client: Client, number: int, tally: Tally, stop: asyncio.Event) -> None:
    """One client's answers, one after the other, each checked token by token."""
    while not stop.is_set():
        where = f"stream {number}, answer {tally.answers}"
        expected, last, node = 0, 0.0, ""
        moved = False
        done: Done | None = None
        try:
            async for event in client.events("1 + 1", max_tokens=WORDS):
                match event:
                    case Assigned(node_name=name):
                        moved, node = expected > 0 and bool(node), name
                    case Tokens(first=first, pieces=pieces):
                        now = time.monotonic()
                        if first != expected:
                            tally.violations.append(f"{where}: token {first}, not {expected}")
                        for index, piece in enumerate(pieces, first):
                            if piece.text != f"tok{index} ":
                                tally.violations.append(f"{where}: {piece.text!r} at {index}")
                        if moved:
                            tally.gaps_ms.append(1000 * (now - last))
                            moved = False
                        expected, last = first + len(pieces), now
                    case Done():
                        done = event
        except MeshError as error:
            tally.violations.append(f"{where}: lost after {expected} tokens: {error.message}")
        if done is not None and expected != WORDS:
            tally.violations.append(f"{where}: ended after {expected} of {WORDS} tokens")
        tally.answers += 1
        tally.tokens += expected
        tally.resumed += bool(done and done.resumed)


def _report(kills: int, how: str, seed: int, tally: Tally, seconds: float) -> int:
    p50_bar, p99_bar = BARS_MS[how]
    rows = [
        Row(f"nodes hit at random moments ({how})", str(kills), f"seed {seed}"),
        Row("answers", f"{tally.answers:,}", f"{STREAMS} streams, {seconds:.0f} s"),
        Row("tokens checked", f"{tally.tokens:,}"),
        Row("answers resumed on another node", f"{tally.resumed:,}"),
        Row("gaps, duplicates, wrong or lost", str(len(tally.violations)), "bar: 0"),
    ]
    failures = list(tally.violations)
    if tally.gaps_ms:
        p50, p99 = percentile(tally.gaps_ms, 0.5), percentile(tally.gaps_ms, 0.99)
        bar = f"bar: p99 {p99_bar:.0f} ms" + (f", p50 {p50_bar:.0f} ms" if p50_bar else "")
        rows.append(Row("gap at the client", spread(tally.gaps_ms, "ms", 0), bar))
        if p99 > p99_bar:
            failures.append(f"p99 of the gap is {p99:.0f} ms, over {p99_bar:.0f} ms")
        if p50_bar and p50 > p50_bar:
            failures.append(f"p50 of the gap is {p50:.0f} ms, over {p50_bar:.0f} ms")
    else:
        failures.append("no stream was ever moved: the run shows nothing")
    show(
        f"Failover, {how}",
        rows,
        [
            f"{NODES} nodes of {SLOTS} slots, one token every {TOKEN_MS:g} ms, answers of {WORDS} "
            "tokens; nodes, orchestrator, etcd and clients share this machine.",
            *failures[:20],
        ],
    )
    return 1 if failures else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Failover under load; see the module's text.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--how", choices=list(BARS_MS), default="kill")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.kills, given.how, given.seed)))
