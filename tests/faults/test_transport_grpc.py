"""What only a real gRPC stream can do: raw messages, full windows, broken TCP, another loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
import uvloop

from mesh.errors import ConfigError, NodeLost, PortInUse
from mesh.fleet.records import PROTOCOL_VERSION
from mesh.transport import frames
from mesh.transport.base import Attempt, Finished, Sink, Tokens
from mesh.transport.frames import MAX_FRAME_BYTES, Frame, FrameType, Hello
from mesh.transport.grpc import GrpcListener
from mesh.transport.grpc_wire import MAX_QUEUED_FRAMES, METHOD, SERVICE, FrameQueue, SessionServer
from mesh.transport.wire import MAX_BATCH_BYTES
from mesh.types import NodeId, Piece
from mesh.v1.data_plane_pb2 import Frames
from tests.transport_rig import (
    DEADLINE_S,
    END,
    TIMING,
    Rig,
    attempt,
    counting,
    read,
    until,
)

pytestmark = pytest.mark.timeout(60)

HELLO = frames.encode(FrameType.HELLO, 0, Hello(protocol=PROTOCOL_VERSION, heartbeat_s=5))


class Bare:
    """A bare call of ``Session``; it reads only when a test asks it to."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._got: list[Frame] = []

    async def send(self, *parts: bytes) -> None:
        await self._call.write(Frames(frames=parts).SerializeToString())

    async def send_raw(self, message: bytes) -> None:
        await self._call.write(message)

    async def receive(self) -> Frame:
        while not self._got:
            async with asyncio.timeout(DEADLINE_S):
                message = await self._call.read()
            if message is grpc.aio.EOF:
                raise EOFError("the node ended the call")
            self._got += [frames.decode(frame) for frame in Frames.FromString(message).frames]
        return self._got.pop(0)

    async def heard(self, kind: FrameType) -> Frame:
        while (frame := await self.receive()).kind is not kind:
            pass
        return frame


@asynccontextmanager
async def bare(endpoint: str) -> AsyncIterator[Bare]:
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.http2.lookahead_bytes", 65_536),
        ("grpc.max_send_message_length", -1),
    ]
    address = endpoint.removeprefix("grpc://")
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield Bare(channel.stream_stream(f"/{SERVICE}/{METHOD}")())


@pytest.mark.parametrize(
    "message",
    [
        b"junk",
        b"\xff" * 50,
        b"",
        Frames(frames=[b""]).SerializeToString(),
        Frames(frames=[b"\xff" * 9]).SerializeToString(),
    ],
    ids=["junk", "ones", "no frames", "an empty frame", "an unknown frame"],
)
async def test_a_malformed_message_ends_its_senders_session_and_nothing_else(
    message: bytes,
) -> None:
    async with Rig("grpc") as rig:
        listener, _ = rig.listen(counting(3))
        link = (await rig.dialed(listener.endpoint)).link
        async with bare(listener.endpoint) as peer:
            await peer.send(HELLO)
            await peer.heard(FrameType.WELCOME)
            await peer.send_raw(message)
            await peer.heard(FrameType.BYE)
            await peer.send(HELLO)  # and it may begin anew
            await peer.heard(FrameType.WELCOME)
        assert link.up
        assert (await read(link.open(attempt()))).last == END


async def test_a_message_over_the_largest_size_ends_that_connection_only() -> None:
    cancelled = asyncio.Event()

    async def handle(asked: Attempt, sink: Sink) -> None:
        if asked.number == 1:
            await counting(3)(asked, sink)
            return
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with Rig("grpc") as rig, asyncio.timeout(DEADLINE_S):
        listener, _ = rig.listen(handle)
        link = (await rig.dialed(listener.endpoint)).link
        async with bare(listener.endpoint) as peer:
            await peer.send(HELLO)
            await peer.heard(FrameType.WELCOME)
            await peer.send(frames.encode(FrameType.OPEN, 1, attempt(number=2)))
            await peer.send(b"\x07" + bytes(MAX_FRAME_BYTES + 2 * MAX_BATCH_BYTES))
            with pytest.raises(grpc.aio.AioRpcError):
                await peer.heard(FrameType.BYE)
            await cancelled.wait()
        assert link.up
        assert (await read(link.open(attempt(number=1)))).last == END


async def test_a_peer_that_reads_nothing_holds_up_only_its_own_handlers() -> None:
    """Its windows fill, ``send`` waits, others flow; when it reads again, all is there in order."""
    sent = 0
    piece = Piece(id=7, text="x" * 8_000)
    count = 3_000  # 24 MB: far beyond what sockets and gRPC keep

    async def handle(asked: Attempt, sink: Sink) -> None:
        nonlocal sent
        if asked.number == 1:
            await counting(500)(asked, sink)
            return
        for first in range(count):
            await sink.send(Tokens(first=first, pieces=(piece,)))
            sent = first + 1
            await asyncio.sleep(0)
        await sink.send(END)

    async with Rig("grpc") as rig, asyncio.timeout(30):
        listener, _ = rig.listen(handle)
        link = (await rig.dialed(listener.endpoint)).link
        async with bare(listener.endpoint) as peer:
            hello = Hello(protocol=PROTOCOL_VERSION, heartbeat_s=20)
            await peer.send(frames.encode(FrameType.HELLO, 0, hello))
            await peer.heard(FrameType.WELCOME)
            await peer.send(frames.encode(FrameType.OPEN, 1, attempt(number=2, credit=10**6)))
            held = -1
            while held != sent or sent == 0:  # until a while passes without progress
                held = sent
                await asyncio.sleep(0.1)
            assert 0 < sent < count
            assert len((await read(link.open(attempt(number=1)))).pieces) == 500
            next_piece = 0
            while True:
                body = (await peer.receive()).body
                if isinstance(body, Finished):
                    break
                if isinstance(body, Tokens):
                    assert body.first == next_piece
                    next_piece += len(body.pieces)
            assert next_piece == count


@pytest.mark.parametrize(
    "endpoint", ["grpc://127.0.0.1:1", "grpc://no-such-host.invalid:7000", "grpc://1.2.3.4", ""]
)
async def test_an_address_that_cannot_be_dialed_leaves_the_link_down_with_a_reason(
    endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Rig("grpc") as rig, asyncio.timeout(DEADLINE_S):
        dialed = rig.dial(endpoint)
        await until(lambda: "link to node" in caplog.text)
        assert not dialed.link.up
        assert not dialed.task.done()


async def test_a_grpc_server_that_is_no_node_is_named_as_such(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with Rig("grpc") as rig, asyncio.timeout(DEADLINE_S):
            dialed = rig.dial(f"grpc://127.0.0.1:{port}")
            await until(lambda: "other than a Squadron node" in caplog.text)
            assert dialed.ups == []
    finally:
        await server.stop(None)


def test_it_runs_on_uvloop_as_well() -> None:
    async def main() -> None:
        async with Rig("grpc") as rig, asyncio.timeout(DEADLINE_S):
            listener, serving = rig.listen(counting(300))
            dialed = await rig.dialed(listener.endpoint)
            async with asyncio.TaskGroup() as group:
                reads = [
                    group.create_task(read(dialed.link.open(attempt(credit=8)))) for _ in range(50)
                ]
            assert all(len(r.result().pieces) == 300 for r in reads)
            stream = dialed.link.open(attempt(credit=1))
            await anext(stream)
            serving.cancel()
            with pytest.raises(NodeLost):
                await read(stream)

    uvloop.run(main())


async def test_a_full_queue_takes_nothing_and_tells_when_there_is_space() -> None:
    told = 0

    def drained() -> None:
        nonlocal told
        told += 1

    queue = FrameQueue(drained)
    batch = [bytes([number]) for number in range(MAX_QUEUED_FRAMES)]
    assert queue.put(batch)
    assert not queue.put([b"more"])
    message = await queue.message()
    assert message is not None
    assert list(Frames.FromString(message).frames) == batch
    assert told == 1
    assert queue.put([b"more"])
    queue.close()
    assert await queue.message() == Frames(frames=[b"more"]).SerializeToString()
    assert await queue.message() is None


@pytest.mark.parametrize(
    ("bind", "advertise", "host"),
    [
        ("tcp://127.0.0.1:0", None, "127.0.0.1"),
        ("grpc://localhost:0", None, "localhost"),
        ("grpc://127.0.0.1:0", "node.example", "node.example"),
    ],
)
async def test_the_endpoint_is_what_peers_dial(bind: str, advertise: str | None, host: str) -> None:
    server = SessionServer(bind, advertise)
    server.bind()
    assert server.endpoint.startswith(f"grpc://{host}:")
    assert int(server.endpoint.rpartition(":")[2]) > 0


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "grpc://127.0.0.1", "grpc://192.0.2.7:0", "x://y"])
async def test_a_bind_address_that_is_none_of_ours_is_a_config_error_that_names_it(
    bind: str,
) -> None:
    with pytest.raises(ConfigError, match=bind.rpartition("/")[2].partition(":")[0]):
        GrpcListener(bind, NodeId("n"), "i", TIMING, None).bind()  # type: ignore[arg-type]


async def test_port_in_use_names_the_address() -> None:
    async with Rig("grpc") as rig:
        listener, _ = rig.listen(counting(1))
        with pytest.raises(PortInUse, match=listener.endpoint):
            SessionServer(listener.endpoint, None).bind()
