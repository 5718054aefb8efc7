"""What the data plane's benchmarks run on: real processes, and a client that checks its streams."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil

from mesh.child.start import tethered
from mesh.local.etcd import etcd_command, wait_healthy
from mesh.local.ports import free_port
from mesh.v1 import mesh_pb2 as pb
from orchestrator.router.reload import starter_rules

RULES = 500
METHOD = "/mesh.v1.Mesh/Generate"
DIRECT = "/mesh.v1.Direct/Generate"
START_S = 30.0
CALL_S = 80.0
PROMPT = (
    "Write a function that returns the sum of a list of numbers, and explain how it works. " * 3
)


@dataclass(frozen=True, slots=True)
class Node:
    """A zero node: its process, and the port of the bare gRPC server in it."""

    process: psutil.Process
    port: int


@dataclass(frozen=True, slots=True)
class Rig:
    """``orchestrator``: ``host:port``; ``memory``: its process; ``relay``: the bare one's."""

    orchestrator: str
    process: psutil.Process
    nodes: Sequence[Node]
    relay: str


@asynccontextmanager
async def rig(nodes: int, *, transport: str = "zeromq", batch: int = 16) -> AsyncIterator[Rig]:
    """etcd, ``nodes`` zero nodes, one orchestrator with 500 rules linked to all of them, and a bare
    gRPC relay in front of the nodes' bare servers. All of it ends with the block."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        etcd = await stack.enter_async_context(etcd_in(folder))
        made = []
        for number in range(nodes):
            options = ["--etcd", etcd, "--name", f"zero-{number}", "--transport", transport]
            command = python("benchmarks.zero_node", *options, "--batch", str(batch))
            process, said = await stack.enter_async_context(speaking(command))
            made.append(Node(process, int(said.split()[1])))
        rules = folder / "rules.toml"
        rules.write_text(many_rules(), encoding="utf-8")
        bind = f"127.0.0.1:{free_port()}"
        settings = {
            "name": "benchmark",
            "state_dir": str(folder / "state"),
            "etcd": etcd,
            "bind": bind,
            "rules": str(rules),
            "preset": "lan",
            "log_level": "warning",
        }
        command = python("orchestrator", json.dumps(settings))
        process = await stack.enter_async_context(running(command))
        await linked(bind, nodes)
        ports = [str(node.port) for node in made]
        _, port = await stack.enter_async_context(speaking(python("benchmarks.bare_relay", *ports)))
        yield Rig(bind, process, made, f"127.0.0.1:{port}")


@asynccontextmanager
async def etcd_in(folder: Path) -> AsyncIterator[str]:
    """An etcd that answers, as ``host:port``; its data is in ``folder`` and its end the block's."""
    port = free_port()
    command = etcd_command(folder / "etcd", port, free_port(), durable=False)
    async with running(command):
        await wait_healthy(f"127.0.0.1:{port}", START_S)
        yield f"127.0.0.1:{port}"


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


@asynccontextmanager
async def running(command: Sequence[str], **options: Any) -> AsyncIterator[psutil.Process]:
    """A process that dies with this one; killed at the block's end."""
    process = await asyncio.create_subprocess_exec(*tethered(command), **options)
    try:
        yield psutil.Process(process.pid)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def speaking(command: Sequence[str]) -> AsyncIterator[tuple[psutil.Process, str]]:
    """As ``running``, with the line that the process says when it is ready."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as pipe:
        async with running(command, stdout=writing) as process:
            os.close(writing)
            async with asyncio.timeout(START_S):
                line = await asyncio.to_thread(pipe.readline)
            if not line:
                raise SystemExit(f"{' '.join(command[1:4])} did not start")
            yield process, line.strip()


async def linked(endpoint: str, nodes: int) -> None:
    """Returns once the orchestrator has a link to so many nodes."""
    async with asyncio.timeout(START_S), grpc.aio.insecure_channel(endpoint) as channel:
        ask = channel.unary_unary(
            "/mesh.v1.Mesh/Fleet", response_deserializer=pb.FleetResponse.FromString
        )
        while True:
            fleet = await ask(b"", wait_for_ready=True, timeout=START_S)
            if sum(node.link_up for node in fleet.nodes) == nodes:
                return
            await asyncio.sleep(0.05)


def many_rules() -> str:
    """The starter rules, and generated ones up to 500, as in ``benchmarks.router_rules``."""
    chance = random.Random(2)
    letters = "aeioubcdfghlmnprst"
    words = ["".join(chance.choices(letters, k=chance.randint(3, 9))) for _ in range(3_000)]
    text = starter_rules().read_text(encoding="utf-8")
    for number in range(RULES - text.count("[[rules]]")):
        one, two, three = chance.sample(words, 3)
        specialty = chance.choice(["math", "code", "logic", "chat"])
        text += (
            f"\n[[rules]]\nname = 'generated-{number}'\nspecialty = '{specialty}'\nweight = 0.5\n"
            f"pattern = '\\b{one}\\b[\\w ,]*\\b({two}|{three})s?\\b'\n"
        )
    return text


def request(tokens: int, *, pace_us: int = 0) -> bytes:
    return pb.GenerateRequest(
        messages=[pb.Message(role="user", content=PROMPT)],
        sampling=pb.Sampling(max_tokens=tokens, seed=pace_us),
        timeout_s=CALL_S,
        cacheable=False,  # each is to be dispatched, and none remembered
    ).SerializeToString()


async def ticket(orchestrator: str) -> tuple[str, str]:
    """A ticket of the orchestrator's for the node it would ask: the node's address, the token."""
    async with grpc.aio.insecure_channel(orchestrator) as channel:
        ask = channel.unary_unary(
            "/mesh.v1.Mesh/Route",
            request_serializer=pb.RouteRequest.SerializeToString,
            response_deserializer=pb.RouteResponse.FromString,
        )
        messages = [pb.Message(role="user", content=PROMPT)]
        answer = await ask(pb.RouteRequest(messages=messages, want_ticket=True), timeout=START_S)
    if not answer.ticket.token:
        raise SystemExit("the orchestrator gave no ticket")
    return answer.ticket.endpoint, answer.ticket.token


def with_ticket(token: str, asked: bytes) -> bytes:
    request = pb.GenerateRequest.FromString(asked)
    return pb.DirectRequest(ticket=token, request=request).SerializeToString()


@dataclass(slots=True)
class Reading:
    """What a client saw of its streams. ``beyond_s``: how much longer than at the node each gap
    between tokens was, in seconds, of tokens that came after ``since`` (``time.monotonic_ns``);
    ``ttft_s``: from call to first token."""

    tokens: int = 0
    events: int = 0
    streams: int = 0
    since: int = 0
    ttft_s: list[float] = field(default_factory=list)
    beyond_s: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def each(self) -> int:
        """Tokens an event, on average."""
        return max(1, round(self.tokens / max(1, self.events)))


async def read(
    call: Any, asked: bytes, tokens: int, into: Reading, *, paced: bool = False, each: int = 1
) -> None:
    """One stream to its end; a gap, a repetition or an error becomes one of ``faults``."""
    began = time.perf_counter()
    expected, last = 0, (0, 0)
    ended = False
    try:
        stream = call(asked, timeout=CALL_S, metadata=(("each", str(each)),))
        while (message := await stream.read()) is not grpc.aio.EOF:
            event = pb.GenerateEvent.FromString(message)
            if event.HasField("tokens"):
                part = event.tokens
                ids = part.ids
                count = len(ids)
                if not expected:
                    into.ttft_s.append(time.perf_counter() - began)
                if part.first != expected or list(ids) != list(range(expected, expected + count)):
                    into.faults.append(f"token {part.first} came where {expected} was next")
                    return
                expected += count
                into.events += 1
                if paced:
                    now = time.monotonic_ns()
                    for text in part.texts:
                        sent = int(text)
                        if last[0] and now > into.since:
                            into.beyond_s.append(((now - last[0]) - (sent - last[1])) / 1e9)
                        last = (now, sent)
            elif event.HasField("done"):
                ended = True
    except grpc.aio.AioRpcError as error:
        into.faults.append(f"{error.code().name}: {error.details()}")
        return
    into.tokens += expected
    into.streams += 1
    if expected != tokens or not ended:
        into.faults.append(f"ended after {expected} of {tokens} tokens, done: {ended}")


@asynccontextmanager
async def callers(endpoint: str, count: int, method: str = METHOD) -> AsyncIterator[list[Any]]:
    """Ways to call ``Generate``, each over a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(endpoint, options=options) for _ in range(count)]
    try:
        for channel in channels:
            await channel.channel_ready()
        yield [channel.unary_stream(method) for channel in channels]
    finally:
        for channel in channels:
            await channel.close()
