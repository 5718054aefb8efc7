"""A request that engines are lost to, on a mesh of three nodes: what does it cost the others?

Method. Real processes: etcd, one orchestrator, three nodes with one small model each on the CPU;
``STREAMS`` clients read endless answers while each kind of poison is sent three times. Kinds: the
grammar whose ways multiply with every character and the hidden left recursion, as they stand; and
both behind the very words that this model answers with, so that a trial walk goes elsewhere and
only the answer walks into it. Counted: runners that ended (by process id, looked at
every 20 ms), the gaps between two tokens of the others (counted from when the kind begins until
``REST_S`` after), and how long each of the three took, at the client. Bars: at most two runners
lost, the others' gap p99 under 2 s, the third time refused in under 5 ms.

Run: ``python -m benchmarks.poison [--model FILE.gguf]``. Exit code 1 when a bar is not kept or a
stream is lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import string
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

import mesh
from benchmarks.figures import Row, percentile, show
from benchmarks.soak import child, resident
from mesh.errors import MeshError
from mesh.local.etcd import etcd_command, wait_healthy
from mesh.local.ports import free_port
from mesh.stream import Tokens
from training.specialists import shipped

NODES, SLOTS, STREAMS = 3, 4, 6
CONTEXT = 2048
TIMES = 3
REST_S = 4.0
READY_S = 90.0
POLL_S = 0.02
MOST_LOST, MOST_GAP_S, MOST_REFUSAL_S = 2, 2.0, 0.005
ASKED = "Tell me a story."
GROWS = 's ::= [a-z ] s "b" | [a-z ] s "c" | [a-z ] s "d" | "."'
GROWING = f"root ::= s\n{GROWS}\n"
RECURS = 's ::= b s "z" | "x"\nb ::= c*\nc ::= d?\nd ::= "q"'
HIDDEN = 'root ::= b root "z" | "x"\nb ::= c*\nc ::= d?\nd ::= "q"\n'
FREE = "root ::= [a-zA-Z ]{24,40}\n"
TOY = shipped()["chat"]


def behind(words: str, rest: str) -> str:
    """Goes on with the rule ``s`` of ``rest`` once an answer has begun with ``words``, and is
    harmless else."""
    rules = ["root ::= p0"]
    for number, character in enumerate(words):
        others = "".join(c for c in string.ascii_letters + " " if c != character)
        rules.append(f'p{number} ::= "{character}" p{number + 1} | [{others}] t')
    return "\n".join([*rules, f"p{len(words)} ::= s", "t ::= [a-zA-Z ]{0,40}", rest, ""])


@dataclass(slots=True)
class Others:
    """What the streams saw: when each pair of tokens came, and how long it took. Seconds."""

    gaps: list[tuple[float, float]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def since(self, begun: float) -> list[float]:
        return [gap for at, gap in self.gaps if at >= begun]


@dataclass(slots=True)
class Runners:
    """Ids of runner processes that were seen, over all nodes."""

    nodes: list[psutil.Process]
    seen: set[int] = field(default_factory=set)

    async def run(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(POLL_S)

    def look(self) -> int:
        """How many have ended so far."""
        now = set()
        for node in self.nodes:
            for process in node.children(recursive=True):
                try:
                    if "node.runner" in process.cmdline():
                        now.add(process.pid)
                except psutil.Error:
                    continue
        self.seen |= now
        return len(self.seen - now)


async def _stream(endpoint: str, others: Others, number: int) -> None:
    async with mesh.connect(endpoint) as client:
        while True:
            last = None
            try:
                async with client.events(
                    f"{ASKED} Part {number}.", specialty="chat", max_tokens=1500, timeout_s=600
                ) as events:
                    async for event in events:
                        if not isinstance(event, Tokens):
                            continue
                        now = time.monotonic()
                        if last is not None:
                            others.gaps.append((now, now - last))
                        last = now
            except MeshError as error:
                others.lost.append(f"{error.code}: {error.message}")
                await asyncio.sleep(0.2)


async def _send(client: mesh.Client, grammar: str, seed: int) -> tuple[str, str, float]:
    """Code, message and seconds."""
    begun = time.perf_counter()
    try:
        text = await client.generate(
            ASKED, specialty="chat", grammar=grammar, max_tokens=60, seed=seed, timeout_s=120
        ).text()
    except MeshError as error:
        return error.code, error.message, time.perf_counter() - begun
    return "answered", text, time.perf_counter() - begun


async def measure(model: Path) -> int:
    """Prints the table; returns the exit code."""
    problems: list[str] = []
    rows: list[Row] = []
    others = Others()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="squadron-poison-")))
        endpoint, nodes = await _mesh(stack, folder, model)
        client = await stack.enter_async_context(mesh.connect(endpoint))
        code, words, _ = await _send(client, FREE, 1)
        kinds = {"ways that multiply": GROWING, "hidden left recursion": HIDDEN}
        if code == "answered":
            kinds[f"ways that multiply, after {words[:6]!r}"] = behind(words[:6], GROWS)
            kinds[f"hidden left recursion, after {words[:7]!r}"] = behind(words[:7], RECURS)
        else:
            problems.append(f"the free grammar gave {code}: {words}")
        runners = Runners(nodes)
        async with _beside(endpoint, others, runners):
            await asyncio.sleep(REST_S)
            quiet = others.since(0.0)
            for kind, grammar in kinds.items():
                rows += await _kind(client, kind, grammar, runners, others, problems)
        problems += [f"a stream was lost: {why}" for why in others.lost]
    rows.append(Row("others' gap while nothing happens, p99", f"{percentile(quiet, 0.99):.3f} s"))
    show("Poison on a mesh of three nodes", rows, (f"model: {model.name}; {STREAMS} streams",))
    for problem in problems:
        print(f"NOT KEPT: {problem}")
    return 1 if problems else 0


async def _kind(
    client: mesh.Client,
    kind: str,
    grammar: str,
    runners: Runners,
    others: Others,
    problems: list[str],
) -> list[Row]:
    begun, before = time.monotonic(), runners.look()
    sent = [await _send(client, grammar, seed) for seed in range(1, TIMES + 1)]
    await asyncio.sleep(REST_S)
    lost, gaps = runners.look() - before, others.since(begun)
    p99 = percentile(gaps, 0.99)
    worst = sorted((gap, at - begun) for at, gap in others.gaps if at >= begun)[-3:]
    longest = ", ".join(f"{gap:.2f} s at {at:.1f} s" for gap, at in reversed(worst))
    print(f"{kind}: longest gaps {longest}", flush=True)
    code, message, third_s = sent[-1]
    if lost > MOST_LOST:
        problems.append(f"{kind}: {lost} runners were lost")
    if p99 >= MOST_GAP_S:
        problems.append(f"{kind}: the others' gap p99 was {p99:.2f} s")
    if third_s >= MOST_REFUSAL_S or code not in ("quarantined", "invalid_request"):
        problems.append(f"{kind}: the third time was {code} after {1e3 * third_s:.1f} ms")
    print(f"{kind}: {message}", flush=True)
    times = ", ".join(f"{code} {1e3 * seconds:.1f} ms" for code, _, seconds in sent)
    return [
        Row(f"{kind}: the three times", times),
        Row("  runners lost", str(lost)),
        Row("  others' gap p99, longest", f"{p99:.3f} s, {max(gaps):.2f} s of {len(gaps)}"),
    ]


@asynccontextmanager
async def _beside(endpoint: str, others: Others, runners: Runners) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_stream(endpoint, others, n)) for n in range(STREAMS)]
        tasks.append(group.create_task(runners.run()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def _mesh(
    stack: AsyncExitStack, folder: Path, model: Path
) -> tuple[str, list[psutil.Process]]:
    port = free_port()
    etcd, endpoint = f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}"
    await stack.enter_async_context(
        child(folder, "etcd", *etcd_command(folder / "data", port, free_port()))
    )
    await wait_healthy(etcd, 20)
    common = {"etcd": etcd, "log_level": "warning"}
    router = {"stages": ["rules"]}
    given = {"name": "o", "bind": endpoint, "state_dir": str(folder / "o"), "router": router}
    await stack.enter_async_context(
        child(folder, "o", sys.executable, "-m", "orchestrator", json.dumps(common | given))
    )
    nodes = []
    for number in range(NODES):
        name = f"node-{number}"
        hosted = {
            "source": str(model),
            "id": "small",
            "engine": "llama_cpp",
            "specialties": ["chat"],
            "slots": SLOTS,
            "context_length": CONTEXT,
            "threads": 1,
            "gpu_layers": 0,
        }
        given = {"name": name, "state_dir": str(folder / name), "models": [hosted]}
        command = (sys.executable, "-m", "node", json.dumps(common | given))
        nodes.append(await stack.enter_async_context(child(folder, name, *command)))
    await resident(endpoint, folder, NODES, "hello", "chat")
    return endpoint, nodes


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, default=TOY, help="a GGUF (%(default)s)")
    given = parser.parse_args(arguments)
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    return asyncio.run(measure(given.model.resolve()))


if __name__ == "__main__":
    sys.exit(main())
