"""The data plane's cost: round trips and tokens/s of one ZeroMQ link, beside bare pyzmq.

Method. Node and dialer are two processes on loopback, each with its own loop. The node's handler
sends ``--batch`` tokens at a time, made anew each time, as fast as credit lets it; the dialer reads
every event and grants what it read. Two floors, each a bare DEALER and ROUTER in two processes with
blocking sockets, no event loop, no streams, no credit, and as many tokens a message as the link's
frames held on average in the round before:

* "the same work": makes the same pieces ``--batch`` at a time, encodes one msgpack message from
  them, decodes it at the other end, by msgspec, into pieces;
* "bytes only": one message encoded once, sent again and again, and not decoded.

The floors' round trip is one small message there and back. Link and floors run alternately,
``--rounds`` times; the first round warms up and is thrown away. Rates are medians over rounds (with
the lowest and highest), percentiles are over all round trips.

    python -m benchmarks.transport [--streams 32] [--tokens 2048] [--batch 1] [--rounds 7]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import statistics
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import uvloop
import zmq

from mesh.clock import SystemClock
from mesh.settings.timing import PRESETS
from mesh.transport import frames
from mesh.transport.base import DEFAULT_CREDIT, Attempt, Finished, Sink, Tokens
from mesh.transport.link import FramedLink
from mesh.transport.zeromq import ZeroMQDialer, ZeroMQListener
from mesh.types import (
    FinishReason,
    Message,
    ModelId,
    NodeId,
    Piece,
    RequestId,
    Role,
    Sampling,
    Usage,
)

NODE = NodeId("benchmark")
END = Finished(reason=FinishReason.LENGTH, usage=Usage(prompt_tokens=1, completion_tokens=1))
TEXTS = [" the", " mesh", " of", " old", " cards", ",", " one", " token"]


def made(first: int, count: int) -> Tokens:
    """What an engine's agent hands over: ``count`` tokens."""
    return Tokens(
        first=first,
        pieces=tuple([Piece(id=i + 1_000, text=TEXTS[i % 8]) for i in range(first, first + count)]),
    )


async def generate(attempt: Attempt, sink: Sink) -> None:
    """As many tokens as asked for; the batch comes in the place of the seed."""
    batch = attempt.sampling.seed or 1
    for first in range(0, attempt.sampling.max_tokens, batch):
        await sink.send(made(first, min(batch, attempt.sampling.max_tokens - first)))
    await sink.send(END)


def run_loop(loop: str, main: Coroutine[Any, Any, Any]) -> Any:
    return uvloop.run(main) if loop == "uvloop" else asyncio.run(main)


def node_process(pipe: Connection, loop: str) -> None:
    async def serve() -> None:
        listener = ZeroMQListener(
            "tcp://127.0.0.1:0", NODE, "instance", PRESETS["lan"], SystemClock()
        )
        listener.bind()
        pipe.send(listener.endpoint)
        await listener.run(generate)

    run_loop(loop, serve())


def floor_process(pipe: Connection) -> None:
    """The bare ROUTER: a request is (messages, pieces each, batch, frame). With 0 pieces the answer
    is the frame, so many times; else that many tokens are made and encoded for each message."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.set(zmq.LINGER, 0)
        router.set(zmq.ROUTER_MANDATORY, 1)
        pipe.send(f"tcp://127.0.0.1:{router.bind_to_random_port('tcp://127.0.0.1')}")
        while True:
            peer, messages, each, batch, frame = router.recv_multipart()
            for number in range(int(messages)):
                router.send(peer, 2)  # 2: more parts follow
                router.send(encoded(number, int(each), int(batch)) if int(each) else frame, 0)


def encoded(number: int, each: int, batch: int) -> bytes:
    pieces: list[Piece] = []
    for first in range(number * each, (number + 1) * each, batch):
        pieces += made(first, min(batch, (number + 1) * each - first)).pieces
    return frames.encode_tokens(1, number * each, pieces)


def attempt(tokens: int, credit: int, batch: int) -> Attempt:
    return Attempt(
        request_id=RequestId("0" * 32),
        number=1,
        model=ModelId("simulated"),
        messages=(Message.of(Role.USER, "a prompt of some words " * 8),),
        sampling=Sampling(max_tokens=tokens, seed=batch),
        timeout_s=60.0,
        credit=credit,
    )


async def first_token(link: FramedLink) -> float:
    began = time.perf_counter()
    async with link.open(attempt(1, 64, 1)) as stream:
        await anext(stream)
        return time.perf_counter() - began


async def read_all(link: FramedLink, tokens: int, credit: int, batch: int) -> int:
    """Reads one stream to its end; how many Tokens events it came in."""
    count = events = 0
    async with link.open(attempt(tokens, credit, batch)) as stream:
        async for event in stream:
            if isinstance(event, Tokens):
                count += len(event.pieces)
                events += 1
                stream.grant(len(event.pieces))
    if count != tokens:
        raise SystemExit(f"{count} of {tokens} tokens arrived")
    return events


class Floor:
    """The bare DEALER, used from the dialer's process."""

    def __init__(self, endpoint: str) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._socket = context.socket(zmq.DEALER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.connect(endpoint)

    def round_trips(self, count: int) -> list[float]:
        found = []
        for _ in range(count):
            began = time.perf_counter()
            self._socket.send_multipart([b"1", b"0", b"0", b"x" * 300])
            self._socket.recv()
            found.append(time.perf_counter() - began)
        return found

    def bytes_only(self, tokens: int, each: int) -> float:
        """Tokens per second."""
        count = -(-tokens // each)
        began = time.perf_counter()
        self._ask(count, 0, 0, encoded(0, each, each))
        for _ in range(count):
            self._socket.recv()
        return count * each / (time.perf_counter() - began)

    def same_work(self, tokens: int, each: int, batch: int) -> float:
        """Tokens per second."""
        count = -(-tokens // each)
        began = time.perf_counter()
        self._ask(count, each, batch, b"")
        for _ in range(count):
            frames.decode(self._socket.recv())
        return count * each / (time.perf_counter() - began)

    def _ask(self, count: int, each: int, batch: int, frame: bytes) -> None:
        numbers = [str(n).encode() for n in (count, each, batch)]
        self._socket.send_multipart([*numbers, frame])


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def start(target: Callable[..., None], *args: str) -> tuple[BaseProcess, str]:
    """The process and the endpoint that it sent."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=target, args=(theirs, *args), daemon=True)
    process.start()
    return process, ours.recv()


@dataclass
class Figures:
    trips: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    def row(self, name: str) -> str:
        trips = [
            f"{1e6 * percentile(self.trips, share):>10.0f}" if self.trips else " " * 10
            for share in (0.5, 0.99)
        ]
        low, high = min(self.rates), max(self.rates)
        return f"{name:<34}{''.join(trips)}{self.rate:>14,.0f}   {low:,.0f} to {high:,.0f}"


async def measure(options: argparse.Namespace, node: str, bare: str) -> None:
    up = asyncio.Event()
    dialer = ZeroMQDialer("benchmark", PRESETS["lan"], SystemClock(), random.Random())
    link = dialer.link(node, NODE, lambda _: None, lambda _: up.set())
    floor, ours, same, raw, held = Floor(bare), Figures(), Figures(), Figures(), []
    async with asyncio.TaskGroup() as group:
        running = group.create_task(link.run())
        async with asyncio.timeout(10):
            await up.wait()
        for number in range(options.rounds + 1):
            trips = [await first_token(link) for _ in range(options.trips)]
            began = time.perf_counter()
            async with asyncio.TaskGroup() as streams:
                reads = [
                    streams.create_task(
                        read_all(link, options.tokens, options.credit, options.batch)
                    )
                    for _ in range(options.streams)
                ]
            total = options.streams * options.tokens
            rate = total / (time.perf_counter() - began)
            each = max(1, round(total / sum(read.result() for read in reads)))
            # The floors block this loop, for less than the link's timeout.
            bare_trips = floor.round_trips(options.trips)
            same_rate = floor.same_work(total, each, options.batch)
            raw_rate = floor.bytes_only(total, each)
            if number:
                ours.trips += trips
                ours.rates.append(rate)
                same.trips += bare_trips
                same.rates.append(same_rate)
                raw.rates.append(raw_rate)
                held.append(each)
        running.cancel()
    print(
        f"{options.streams} streams of {options.tokens} tokens, {options.batch} a send, credit "
        f"{options.credit}, {options.loop}, {options.rounds} rounds; tokens an event: "
        f"{statistics.median(held):.0f}"
    )
    print(f"{'':<34}{'p50 us':>10}{'p99 us':>10}{'tokens/s':>14}   lowest to highest")
    print(ours.row("link: open -> first token"))
    print(same.row("bare pyzmq, the same work"))
    print(raw.row("bare pyzmq, bytes only"))
    print(f"the link carries {ours.rate / same.rate:.0%} of what the same work does bare")


def main() -> None:
    parser = argparse.ArgumentParser(description="cost of one ZeroMQ link beside bare pyzmq")
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=2_048, help="per stream")
    parser.add_argument("--batch", type=int, default=1, help="tokens per send at the node")
    parser.add_argument("--credit", type=int, default=DEFAULT_CREDIT)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--trips", type=int, default=500, help="round trips per round")
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop")
    options = parser.parse_args()
    node, endpoint = start(node_process, options.loop)
    bare, bare_endpoint = start(floor_process)
    try:
        run_loop(options.loop, measure(options, endpoint, bare_endpoint))
    finally:
        for process in (node, bare):
            process.kill()
            process.join()


if __name__ == "__main__":
    main()
