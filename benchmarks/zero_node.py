"""A scripted node that costs next to nothing: the real data plane, and no engine behind it.

    python -m benchmarks.zero_node --etcd HOST:PORT --name zero-0 [--transport grpc] [--batch 16]

It announces a ``NodeRecord`` in the real etcd, links and beats as every node does, and answers each
attempt by itself. The request's ``seed`` is the pace: microseconds between tokens, 0 for as fast as
credit lets it. Token *i* has the id *i*; a paced one's text is the moment when it was sent
(``time.monotonic_ns``, the same clock in all processes of a box), so that whoever reads it knows
the node's own pace.

Beside it, in the same process, a bare gRPC server answers ``mesh.v1.Mesh/Generate`` with the same
events and nothing between: what the direct way to the same node costs. Its metadata ``each`` says
how many tokens a message has (the orchestrator's average, for a fair comparison).

It prints ``data-plane-endpoint grpc-port`` when both are served.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import secrets
import socket
import time
from typing import Any

import grpc
import uvloop

from mesh.clock import SystemClock
from mesh.fleet.records import (
    Heartbeat,
    ModelLoad,
    ModelRecord,
    ModelState,
    NodeRecord,
    NodeState,
    encode_record,
)
from mesh.registry.base import NODES
from mesh.registry.etcd import EtcdRegistry
from mesh.settings.timing import PRESETS
from mesh.transport.base import Accepted, Attempt, Finished, Sink, Tokens
from mesh.transport.grpc import GrpcListener
from mesh.transport.zeromq import ZeroMQListener
from mesh.types import FinishReason, ModelId, NodeId, Piece, Specialty, Usage
from mesh.v1 import mesh_pb2 as pb
from node.serve.direct import DirectServer
from node.serve.gate import Keyring, TicketGate

MODEL = ModelId("zero")
SPECIALTIES = tuple(Specialty(s) for s in ("chat", "math", "code", "knowledge", "logic"))
SLOTS = 4_096
INSTANCE = secrets.token_hex(8)
TEXTS = tuple(f" word{number}" for number in range(64))
TIMING = PRESETS["lan"]


def pieces(first: int, count: int, text: str | None = None) -> tuple[Piece, ...]:
    """Made anew each time, as an engine's are."""
    return tuple(
        [
            Piece(id=number, text=text or TEXTS[number % 64])
            for number in range(first, first + count)
        ]
    )


class Answers:
    """Answers over both planes."""

    def __init__(self, node: NodeId, batch: int) -> None:
        self._node = node
        self._batch = batch

    async def attempt(self, attempt: Attempt, sink: Sink) -> None:
        await sink.send(Accepted(node=self._node, model=attempt.model))
        done, total = len(attempt.delivered), attempt.sampling.max_tokens
        pace_s = (attempt.sampling.seed or 0) / 1e6
        began = time.monotonic()
        while done < total:
            if pace_s:
                await asyncio.sleep(began + done * pace_s - time.monotonic())
                text = str(time.monotonic_ns())
                await sink.send(Tokens(first=done, pieces=pieces(done, 1, text)))
                done += 1
            else:
                count = min(self._batch, total - done)
                await sink.send(Tokens(first=done, pieces=pieces(done, count)))
                done += count
        usage = Usage(prompt_tokens=1, completion_tokens=total)
        await sink.send(Finished(reason=FinishReason.LENGTH, usage=usage))

    async def generate(self, request: bytes, context: Any) -> None:
        wanted = pb.GenerateRequest.FromString(request).sampling
        each = int(dict(context.invocation_metadata()).get("each", "1"))
        pace_s = wanted.seed / 1e6
        await context.write(_event(decision=pb.Decision(specialty="chat", stage="direct")))
        await context.write(_event(assigned=pb.Assigned(node_id=self._node, attempt=1)))
        done, began = 0, time.monotonic()
        while done < wanted.max_tokens:
            if pace_s:
                await asyncio.sleep(began + done * pace_s - time.monotonic())
                text = str(time.monotonic_ns())
                made = pieces(done, 1, text)
            else:
                made = pieces(done, min(each if done else 1, wanted.max_tokens - done))
            tokens = pb.Tokens(first=done, ids=[p.id for p in made], texts=[p.text for p in made])
            await context.write(_event(tokens=tokens))
            done += len(made)
        await context.write(_event(done=pb.Done(finish_reason="length", completion_tokens=done)))


def _event(**event: Any) -> bytes:
    return pb.GenerateEvent(**event).SerializeToString()


def record(
    node: NodeId, name: str, endpoint: str, transport: str, direct_endpoint: str
) -> NodeRecord:
    model = ModelRecord(
        id=MODEL,
        engine="zero",
        specialties=SPECIALTIES,
        state=ModelState.RESIDENT,
        slots=SLOTS,
        used_slots=0,
        context_length=1_000_000,
        device="cpu",
        tokenizer_hash="zero",
        template_hash="zero",
    )
    return NodeRecord(
        id=node,
        instance=INSTANCE,
        name=name,
        host=socket.gethostname(),
        pid=os.getpid(),
        state=NodeState.READY,
        reason="",
        endpoint=endpoint,
        transport=transport,
        direct_endpoint=direct_endpoint,
        specialties=SPECIALTIES,
        models=(model,),
    )


async def serve(options: argparse.Namespace) -> None:
    node = NodeId(options.name)
    clock = SystemClock()
    kind = GrpcListener if options.transport == "grpc" else ZeroMQListener
    listener = kind("tcp://127.0.0.1:0", node, INSTANCE, TIMING, clock)
    listener.bind()
    load = ModelLoad(model=MODEL, state=ModelState.RESIDENT, slots=SLOTS, used_slots=0)
    listener.heartbeat(Heartbeat(node=node, state=NodeState.READY, models=(load,)))
    registry = EtcdRegistry(
        options.etcd, prefix="/mesh/v1", lease_ttl_s=5, clock=clock, rng=random.Random()
    )
    answers = Answers(node, options.batch)
    keyring = Keyring(registry, clock)
    direct = DirectServer(
        TicketGate(node, INSTANCE, keyring.keys, clock), clock, bind="127.0.0.1:0"
    )
    direct.bind()
    said = record(node, options.name, listener.endpoint, options.transport, direct.endpoint)
    registry.announce(f"{NODES}{node}", encode_record(said), owner=said.instance)
    server = grpc.aio.server()
    handler = grpc.unary_stream_rpc_method_handler(answers.generate)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("mesh.v1.Mesh", {"Generate": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with asyncio.TaskGroup() as group:
        group.create_task(registry.run())
        group.create_task(listener.run(answers.attempt))
        group.create_task(keyring.run())
        group.create_task(direct.run(answers.attempt, lambda node, model: (node, "zero")))
        print(listener.endpoint, port, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="a scripted node that costs next to nothing")
    parser.add_argument("--etcd", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--transport", choices=["zeromq", "grpc"], default="zeromq")
    parser.add_argument("--batch", type=int, default=16, help="tokens a send, when not paced")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
