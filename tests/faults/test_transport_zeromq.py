"""What only real sockets can do: raw bytes, full buffers, broken TCP, another loop."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
import zmq

from mesh.errors import ConfigError, NodeLost, PortInUse
from mesh.fleet.records import PROTOCOL_VERSION
from mesh.transport import frames
from mesh.transport.base import Attempt, Finished, Sink, Tokens
from mesh.transport.frames import MAX_FRAME_BYTES, Credit, FrameType, Hello
from mesh.transport.zeromq import RouterWire, ZeroMQListener
from mesh.types import NodeId, Piece
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
    """A bare pyzmq DEALER."""

    def __init__(self, endpoint: str, identity: bytes = b"bare", **options: int) -> None:
        self._context = zmq.Context()
        self.socket = self._context.socket(zmq.DEALER)
        self.socket.set(zmq.LINGER, 0)
        self.socket.set(zmq.ROUTING_ID, identity)
        for name, value in options.items():
            self.socket.set(getattr(zmq, name), value)
        self.socket.connect(endpoint)

    async def receive(self) -> frames.Frame:
        async with asyncio.timeout(DEADLINE_S):
            while not self.socket.poll(0):  # noqa: ASYNC110 (the bare socket knows no loop)
                await asyncio.sleep(0.002)
        return frames.decode(self.socket.recv())

    async def heard(self, kind: FrameType) -> frames.Frame:
        while (frame := await self.receive()).kind is not kind:
            pass
        return frame

    def __enter__(self) -> Bare:
        return self

    def __exit__(self, *exc: object) -> None:
        self._context.destroy(linger=0)


async def test_bare_bytes_end_their_senders_session_and_a_new_hello_begins_another() -> None:
    async with Rig("zeromq") as rig:
        listener, _ = rig.listen(counting(3))
        link = (await rig.dialed(listener.endpoint)).link
        with Bare(listener.endpoint) as bare:
            for parts in ([b"junk"], [b""], [b"", b""], [b"\xff" * 50], [b"junk", HELLO]):
                bare.socket.send(HELLO)
                await bare.heard(FrameType.WELCOME)
                bare.socket.send_multipart(parts)
                await bare.heard(FrameType.BYE)
        assert link.up
        assert (await read(link.open(attempt()))).last == END


async def test_a_message_over_the_largest_cap_cuts_that_connection_only() -> None:
    cancelled = asyncio.Event()

    async def handle(asked: Attempt, sink: Sink) -> None:
        if asked.number == 1:
            await counting(3)(asked, sink)
            return
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with Rig("zeromq") as rig, asyncio.timeout(DEADLINE_S):
        listener, _ = rig.listen(handle)
        link = (await rig.dialed(listener.endpoint)).link
        with Bare(listener.endpoint, RECONNECT_IVL=-1) as bare:
            bare.socket.send(HELLO)
            await bare.heard(FrameType.WELCOME)
            bare.socket.send(frames.encode(FrameType.OPEN, 1, attempt(number=2)))
            bare.socket.send(b"\x07" + bytes(MAX_FRAME_BYTES + 1))
            await cancelled.wait()
        assert link.up
        assert (await read(link.open(attempt(number=1)))).last == END


async def test_nobody_can_take_over_a_session_by_its_identity() -> None:
    async with Rig("zeromq") as rig:
        listener, _ = rig.listen(counting(10**9))
        with Bare(listener.endpoint, b"same") as first:
            first.socket.send(HELLO)
            await first.heard(FrameType.WELCOME)
            with Bare(listener.endpoint, b"same") as thief:
                thief.socket.send(HELLO)
                assert not thief.socket.poll(50)
                first.socket.send(frames.encode(FrameType.OPEN, 1, attempt()))
                await first.heard(FrameType.TOKENS)
                assert not thief.socket.poll(50)


async def test_a_peer_that_reads_nothing_holds_up_only_its_own_handlers() -> None:
    """Its buffers fill, ``send`` waits, others flow; when it reads again, all is there in order."""
    sent = 0
    piece = Piece(id=7, text="x" * 8_000)
    count = 6_000  # 48 MB: far beyond what sockets and ZeroMQ keep

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

    async with Rig("zeromq") as rig, asyncio.timeout(30):
        listener, _ = rig.listen(handle)
        link = (await rig.dialed(listener.endpoint)).link
        with Bare(listener.endpoint, RCVHWM=10, RCVBUF=65_536) as bare:
            bare.socket.send(
                frames.encode(FrameType.HELLO, 0, Hello(protocol=PROTOCOL_VERSION, heartbeat_s=60))
            )
            await bare.heard(FrameType.WELCOME)
            bare.socket.send(frames.encode(FrameType.OPEN, 1, attempt(number=2, credit=10**6)))
            held = -1
            while held != sent or sent == 0:  # until a while passes without progress
                held = sent
                await asyncio.sleep(0.1)
            assert 0 < sent < count
            assert len((await read(link.open(attempt(number=1)))).pieces) == 500
            next_piece = 0
            while True:
                body = (await bare.receive()).body
                if isinstance(body, Finished):
                    break
                if isinstance(body, Tokens):
                    assert body.first == next_piece
                    next_piece += len(body.pieces)
            assert next_piece == count


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://127.0.0.1:1", "tcp://no-such-host.invalid:7000", "ipc:///tmp/x", "tcp://1.2.3.4", ""],
)
async def test_an_address_that_cannot_be_dialed_leaves_the_link_down_with_a_reason(
    endpoint: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Rig("zeromq") as rig, asyncio.timeout(DEADLINE_S):
        dialed = rig.dial(endpoint)
        await until(lambda: "link to node" in caplog.text)
        assert not dialed.link.up
        assert not dialed.task.done()


async def test_what_is_no_squadron_node_leaves_the_link_down() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Rig("zeromq") as rig:
        dialed = rig.dial(f"tcp://127.0.0.1:{port}")
        await asyncio.sleep(0.3)  # several tries
        assert dialed.ups == []
        assert not dialed.task.done()


async def test_many_grants_and_cancels_of_a_bare_peer_are_taken() -> None:
    async with Rig("zeromq") as rig:
        listener, _ = rig.listen(counting(10**9))
        with Bare(listener.endpoint) as bare:
            bare.socket.send(HELLO)
            for number in range(1, 500):
                bare.socket.send_multipart(
                    [
                        frames.encode(FrameType.OPEN, number, attempt(credit=0)),
                        frames.encode(FrameType.CREDIT, number, Credit(pieces=1)),
                        frames.encode(FrameType.CANCEL, number),
                        frames.encode(FrameType.CREDIT, number, Credit(pieces=1)),
                        frames.encode(FrameType.CANCEL, number),
                    ]
                )
            bare.socket.send(frames.encode(FrameType.PING, 0))
            await bare.heard(FrameType.PONG)
            bare.socket.send(frames.encode(FrameType.OPEN, 500, attempt(credit=1)))
            assert (await bare.heard(FrameType.TOKENS)).stream == 500


def test_it_runs_on_uvloop_as_well() -> None:
    async def main() -> None:
        async with Rig("zeromq") as rig, asyncio.timeout(DEADLINE_S):
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


@pytest.mark.parametrize(
    ("bind", "advertise", "host"),
    [
        ("tcp://127.0.0.1:0", None, "127.0.0.1"),
        ("tcp://localhost:0", None, "localhost"),
        ("tcp://127.0.0.1:0", "node.example", "node.example"),
        ("tcp://[::1]:0", None, "[::1]"),
    ],
)
def test_the_endpoint_is_what_peers_dial(bind: str, advertise: str | None, host: str) -> None:
    wire = RouterWire(bind, advertise)
    wire.bind()
    assert wire.endpoint.startswith(f"tcp://{host}:")
    assert int(wire.endpoint.rpartition(":")[2]) > 0
    wire.close()


def test_a_wildcard_is_never_advertised() -> None:
    wire = RouterWire("tcp://0.0.0.0:0", None)
    wire.bind()
    assert "0.0.0.0" not in wire.endpoint
    wire.close()


@pytest.mark.parametrize(
    "bind",
    ["127.0.0.1:0", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "tcp://192.0.2.7:0", "ipc://x"],
)
def test_a_bind_address_that_is_none_of_ours_is_a_config_error_that_names_it(bind: str) -> None:
    with pytest.raises(ConfigError, match=bind.removeprefix("tcp://").partition(":")[0]):
        ZeroMQListener(bind, NodeId("n"), "i", TIMING, None).bind()  # type: ignore[arg-type]


def test_port_in_use_names_the_address() -> None:
    first = RouterWire("tcp://127.0.0.1:0", None)
    first.bind()
    with pytest.raises(PortInUse, match=first.endpoint):
        RouterWire(first.endpoint, None).bind()
    first.close()
