"""What the transport's tests run on: both wires behind one face, with raw ends to misbehave on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from mesh.clock import SystemClock
from mesh.errors import MeshError
from mesh.fleet.records import PROTOCOL_VERSION, Heartbeat
from mesh.settings.timing import Timing
from mesh.transport import frames
from mesh.transport.base import (
    Accepted,
    Attempt,
    AttemptEvent,
    AttemptStream,
    Finished,
    Handler,
    Sink,
    Tokens,
)
from mesh.transport.frames import Frame, FrameType, Hello, Welcome
from mesh.transport.grpc import GrpcDialer, GrpcListener
from mesh.transport.grpc_wire import CallWire, SessionServer
from mesh.transport.link import FramedLink
from mesh.transport.listener import FramedListener
from mesh.transport.twin import TwinNetwork, TwinServer
from mesh.transport.wire import Wire, WireServer
from mesh.transport.zeromq import DealerWire, RouterWire, ZeroMQDialer, ZeroMQListener
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

TIMING = Timing(lease_ttl_s=1, heartbeat_s=0.05, peer_timeout_s=0.4, connect_timeout_s=0.5)
# What is seen within a part of its peer timeout was not seen by waiting for silence.
PATIENT = Timing(lease_ttl_s=9, heartbeat_s=0.5, peer_timeout_s=6, connect_timeout_s=5)
NODE = NodeId("node-1")
DEADLINE_S = 10.0

USAGE = Usage(prompt_tokens=1, completion_tokens=1)
END = Finished(reason=FinishReason.STOP, usage=USAGE)


def attempt(**changes: Any) -> Attempt:
    plain: dict[str, Any] = {
        "request_id": RequestId("0" * 32),
        "number": 1,
        "model": ModelId("m"),
        "messages": (Message.of(Role.USER, "hello"),),
        "sampling": Sampling(),
        "timeout_s": 30.0,
    }
    return Attempt(**(plain | changes))


def tokens(first: int, count: int = 1) -> Tokens:
    return Tokens(
        first=first, pieces=tuple(Piece(id=i, text=f"t{i} ") for i in range(first, first + count))
    )


def counting(count: int, step: int = 1) -> Handler:
    """A handler that sends ``count`` pieces, ``step`` at a time, and finishes."""

    async def handle(asked: Attempt, sink: Sink) -> None:
        await sink.send(Accepted(node=NODE, model=asked.model))
        for first in range(len(asked.delivered), count, step):
            await sink.send(tokens(first, min(step, count - first)))
        await sink.send(END)

    return handle


@dataclass
class Answer:
    """All that a stream gave: pieces checked for gaps and repetitions, and the other events."""

    pieces: list[Piece] = field(default_factory=list)
    events: list[AttemptEvent] = field(default_factory=list)

    @property
    def last(self) -> AttemptEvent:
        return self.events[-1]


async def read(stream: AttemptStream, start: int = 0) -> Answer:
    """Reads to the end, granting what it reads."""
    answer = Answer()
    async for event in stream:
        answer.events.append(event)
        if isinstance(event, Tokens):
            assert event.first == start + len(answer.pieces), "a gap or a repetition"
            answer.pieces += event.pieces
            stream.grant(len(event.pieces))
    assert [p.id for p in answer.pieces] == list(range(start, start + len(answer.pieces)))
    return answer


async def until(holds: Callable[[], object], within_s: float = DEADLINE_S) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 (the condition has no event of its own)
            await asyncio.sleep(0.002)


@dataclass
class Dialed:
    """A running link and what it reported."""

    link: FramedLink
    task: asyncio.Task[None]
    ups: list[bool]
    heartbeats: list[Heartbeat]


class Rig:
    """Listeners, links and raw ends over one kind of wire; leaving it ends them all."""

    def __init__(self, kind: str, timing: Timing = TIMING) -> None:
        self.kind = kind
        self.timing = timing
        self.clock = SystemClock()
        self.rng = random.Random(7)
        self.network = TwinNetwork(timing=timing)
        self._group = asyncio.TaskGroup()
        self._closing: list[Callable[[], None]] = []

    async def __aenter__(self) -> Rig:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        for task in list(self._group._tasks):
            task.cancel()
        await self._group.__aexit__(*exc)
        for close in self._closing:
            close()

    def spawn(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        return self._group.create_task(work)  # type: ignore[arg-type]

    def make_listener(self, node: NodeId = NODE, bind: str = "tcp://127.0.0.1:0") -> FramedListener:
        if self.kind == "twin":
            return self.network.listener(node)
        if self.kind == "grpc":
            return GrpcListener(bind, node, "instance", self.timing, self.clock)
        return ZeroMQListener(bind, node, "instance", self.timing, self.clock)

    def listen(self, handler: Handler, node: NodeId = NODE) -> tuple[FramedListener, Any]:
        listener = self.make_listener(node)
        listener.bind()
        return listener, self.spawn(listener.run(handler))

    def dial(self, endpoint: str, node: NodeId = NODE) -> Dialed:
        ups: list[bool] = []
        heartbeats: list[Heartbeat] = []
        if self.kind == "twin":
            link = self.network.dialer("orchestrator").link(
                endpoint, node, heartbeats.append, ups.append
            )
        else:
            make = GrpcDialer if self.kind == "grpc" else ZeroMQDialer
            dialer = make("orchestrator", self.timing, self.clock, self.rng)
            link = dialer.link(endpoint, node, heartbeats.append, ups.append)
        return Dialed(link, self.spawn(link.run()), ups, heartbeats)

    async def dialed(self, endpoint: str, node: NodeId = NODE) -> Dialed:
        dialed = self.dial(endpoint, node)
        await until(lambda: dialed.link.up)
        return dialed

    async def pair(self, handler: Handler) -> FramedLink:
        listener, _ = self.listen(handler)
        return (await self.dialed(listener.endpoint)).link

    async def raw_peer(self, endpoint: str) -> RawPeer:
        peer = RawPeer()
        if self.kind == "twin":
            peer.wire = self.network.servers[endpoint].accept(peer)
        elif self.kind == "grpc":
            peer.wire = CallWire(endpoint.removeprefix("grpc://"), peer)
        else:
            peer.wire = DealerWire(endpoint, 1.0, peer)
        self.spawn(peer.wire.run())
        self._closing.append(peer.wire.close)
        return peer

    def raw_node(self) -> RawNode:
        wire: WireServer
        match self.kind:
            case "twin":
                wire = TwinServer(self.network, NODE)
            case "grpc":
                wire = SessionServer("grpc://127.0.0.1:0", None)
            case _:
                wire = RouterWire("tcp://127.0.0.1:0", None)
        wire.bind()
        node = RawNode(wire)
        wire.start(node)
        self.spawn(wire.run())
        self._closing.append(wire.close)
        return node


class RawPeer:
    """A dialing end that says what a test tells it to say."""

    def __init__(self) -> None:
        self.wire: Wire | None = None
        self.got: list[Frame] = []
        self.lost: str | None = None

    def on_frame(self, frame: bytes) -> None:
        self.got.append(frames.decode(frame))

    def on_writable(self) -> None:
        pass

    def on_lost(self, reason: str) -> None:
        self.lost = reason

    def say(self, kind: FrameType, stream: int = 0, body: frames.Body = None) -> None:
        self.raw(frames.encode(kind, stream, body))

    def raw(self, frame: bytes) -> None:
        assert self.wire is not None
        assert self.wire.send([frame])

    async def hello(self, protocol: int = PROTOCOL_VERSION) -> None:
        self.say(FrameType.HELLO, 0, Hello(protocol=protocol, name="raw", heartbeat_s=0.05))
        await self.heard(FrameType.WELCOME)

    async def heard(self, kind: FrameType) -> Frame:
        await until(lambda: any(f.kind is kind for f in self.got))
        return next(f for f in self.got if f.kind is kind)


class RawNode:
    """A listening end that says what a test tells it to say."""

    def __init__(self, wire: WireServer) -> None:
        self.wire = wire
        self.got: list[tuple[bytes, Frame]] = []

    def on_peer_frame(self, peer: bytes, frame: bytes) -> None:
        self.got.append((peer, frames.decode(frame)))

    def on_writable(self) -> None:
        pass

    def on_disconnect(self) -> None:
        pass

    def raw(self, frame: bytes) -> None:
        """To the peer that was heard last."""
        try:
            assert self.wire.send(self.got[-1][0], [frame])
        except MeshError as error:
            raise AssertionError(error.message) from error

    def say(self, kind: FrameType, stream: int = 0, body: frames.Body = None) -> None:
        self.raw(frames.encode(kind, stream, body))

    async def heard(self, kind: FrameType) -> Frame:
        await until(lambda: any(f.kind is kind for _, f in self.got))
        return next(f for _, f in reversed(self.got) if f.kind is kind)

    async def welcome(self, node: str = NODE, protocol: int = PROTOCOL_VERSION) -> None:
        await self.heard(FrameType.HELLO)
        body = Welcome(protocol=protocol, node=node, instance="raw", heartbeat_s=0.05)
        self.say(FrameType.WELCOME, 0, body)
