"""The two ends of a gRPC bidirectional stream as wires: what is sent waits in a bounded queue while
the stream is busy, and all that waits leaves as one message.

A connection carries one session and is not shared: it is as mortal as its session, and gRPC's own
reconnecting and retrying have no say. Source: the gRPC core's channel arguments, ``grpc_types.h``.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from mesh.channel import open_channel
from mesh.doors.calls import Calls
from mesh.doors.crowd import GREETING_S, QUIET_S
from mesh.errors import ConfigError, MeshError, PortInUse, Unreachable
from mesh.transport.address import advertised, bracketed, own_address, split
from mesh.transport.frames import MAX_FRAME_BYTES
from mesh.transport.wire import CLOSE_GRACE_S, MAX_BATCH_BYTES, WireServerUser, WireUser
from mesh.v1.data_plane_pb2 import DESCRIPTOR, Frames

log = logging.getLogger(__name__)

SERVICE = DESCRIPTOR.services_by_name["DataPlane"].full_name
METHOD = "Session"
MAX_SESSIONS = 4_096
# Behind a message that is under way. Small: what the queue refuses is put together by the streams.
MAX_QUEUED_FRAMES = 128
MAX_QUEUED_BYTES = 512 * 1024

MAX_MESSAGE_BYTES = MAX_FRAME_BYTES + MAX_BATCH_BYTES
_SERVER_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", -1),
    # The session's own pings notice silence first; these clear away what no session holds any more.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # without it, the timeout above is 60 s in any case
    ("grpc.so_reuseport", 0),  # a second node on the port must fail, not take half of the links
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.server_handshake_timeout_ms", int(GREETING_S * 1000)),
]


class FrameQueue:
    """One direction of a stream: frames in, whole messages out. Full: ``put`` takes nothing, and
    ``drained`` is called when there is space again."""

    def __init__(self, drained: Callable[[], None]) -> None:
        self._drained = drained
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._refused = False
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None

    def put(self, frames: Sequence[bytes]) -> bool:
        """As ``Wire.send``. An empty queue takes a batch of any size."""
        if self._frames and (
            len(self._frames) >= MAX_QUEUED_FRAMES or self._bytes >= MAX_QUEUED_BYTES
        ):
            self._refused = True
            return False
        self._frames.extend(frames)
        self._bytes += sum(map(len, frames))
        self._wake()
        return True

    def close(self) -> None:
        """What was put before still leaves."""
        self._closed = True
        self._wake()

    async def message(self) -> bytes | None:
        """The next message, None when the queue is closed and empty. One caller at a time."""
        while not self._frames:
            if self._closed:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        batch: list[bytes] = []
        size = 0
        while self._frames and (not batch or size + len(self._frames[0]) <= MAX_BATCH_BYTES):
            frame = self._frames.popleft()
            size += len(frame)
            batch.append(frame)
        self._bytes -= size
        if self._refused and not self._closed:
            self._refused = False
            self._drained()
        return Frames(frames=batch).SerializeToString()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def frames_of(message: bytes) -> Sequence[bytes]:
    """What is no ``Frames``, or holds none, is one frame of nothing, which ends its session."""
    try:
        return Frames.FromString(message).frames or (b"",)
    except DecodeError:
        log.warning("a message of %d bytes is no mesh.v1.Frames", len(message))
        return (b"",)


class CallWire:
    """A ``Wire``: one call on a channel of its own. ``address``: ``host:port``."""

    def __init__(self, address: str, user: WireUser) -> None:
        self._user = user
        self._channel = open_channel(address, receive_bytes=MAX_MESSAGE_BYTES)
        self._call: Any = self._channel.stream_stream(f"/{SERVICE}/{METHOD}")()
        self._queue = FrameQueue(self._writable)
        self._nudged = False
        self._open = True

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._read())
            tasks = {reading, group.create_task(self._write())}
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if self._open:  # lost: what arrived before comes before that is told
                    await asyncio.wait({reading}, timeout=CLOSE_GRACE_S)
                if self._open:
                    lost = reading.result() if reading.done() else ""
                    self._user.on_lost(lost or "the connection was closed")
            finally:
                self.close()
                await asyncio.wait(tasks, timeout=CLOSE_GRACE_S)
                self._call.cancel()
                for task in tasks:
                    task.cancel()
                await self._channel.close()

    def send(self, frames: Sequence[bytes]) -> bool:
        taken = self._queue.put(frames)
        if taken:
            self.nudge()
        return taken

    def nudge(self) -> None:
        if not self._nudged and self._open:
            self._nudged = True
            asyncio.get_running_loop().call_soon(self._look)

    def close(self) -> None:
        self._open = False
        self._queue.close()

    def _look(self) -> None:
        self._nudged = False
        self._writable()

    def _writable(self) -> None:
        if self._open:
            self._user.on_writable()

    async def _read(self) -> str:
        """Until the call ends; returns why, "" when the other end closed it in good order."""
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                for frame in frames_of(message):
                    if not self._open:
                        return ""
                    self._user.on_frame(frame)
        except grpc.aio.AioRpcError as error:
            match error.code():
                case grpc.StatusCode.UNAVAILABLE:
                    return "no connection can be made, or it broke"
                case grpc.StatusCode.UNIMPLEMENTED:
                    return "something other than a Squadron node answers there"
                case status:
                    return f"the connection ended with {status.name}: {error.details()!r}"
        return ""

    async def _write(self) -> None:
        try:
            while (message := await self._queue.message()) is not None:
                await self._call.write(message)
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            log.debug("a call is over: %s", error)  # the reader learns why


class SessionServer:
    """A ``WireServer``; a peer is one call of ``Session``, named by a number of its own."""

    def __init__(self, bind: str, advertise: str | None) -> None:
        self._bind = bind
        self._advertise = advertise
        self._endpoint = bind
        self._server: Any = None
        self._user: WireServerUser | None = None
        self._queues: dict[bytes, FrameQueue] = {}
        self._last_peer = 0
        self._nudged = False

    @property
    def endpoint(self) -> str:
        return self._endpoint

    def bind(self) -> None:
        """Inside the event loop. Raises ``PortInUse`` naming the address, or ``ConfigError``."""
        host, port = split(self._bind)
        address = own_address(host)
        port = self._free_port(address, port)
        server = grpc.aio.server(
            options=_SERVER_OPTIONS, interceptors=(Calls(MAX_SESSIONS, _refuse),)
        )
        handler = grpc.stream_stream_rpc_method_handler(self._session)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),)
        )
        try:
            port = server.add_insecure_port(f"{bracketed(address)}:{port}")
        except RuntimeError:
            raise self._taken() from None
        self._server = server
        self._endpoint = advertised("grpc", host, address, port, self._advertise)

    def start(self, user: WireServerUser) -> None:
        """Raises ``ConfigError`` before ``bind``."""
        if self._server is None:
            raise ConfigError("the listener is not bound: call bind() before run()")
        self._user = user

    async def run(self) -> None:
        if self._server is None:
            raise ConfigError("the listener is not bound: call bind() before run()")
        try:
            await self._server.start()
            await self._server.wait_for_termination()
        finally:
            self.close()
            await self._server.stop(CLOSE_GRACE_S)

    def send(self, peer: bytes, frames: Sequence[bytes]) -> bool:
        queue = self._queues.get(peer)
        if queue is None:
            raise Unreachable("the connection is gone")
        taken = queue.put(frames)
        if taken:
            self.nudge()
        return taken

    def nudge(self) -> None:
        if not self._nudged and self._user is not None:
            self._nudged = True
            asyncio.get_running_loop().call_soon(self._look)

    def close(self) -> None:
        self._user = None
        queues, self._queues = self._queues, {}
        for queue in queues.values():
            queue.close()

    def _look(self) -> None:
        self._nudged = False
        self._writable()

    def _writable(self) -> None:
        if self._user is not None:
            self._user.on_writable()

    async def _session(self, _: Any, context: Any) -> None:
        """One call, from its first frame to its loss. gRPC cancels it when the client is gone."""
        if self._user is None:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the node is starting or stopping")
        self._last_peer += 1
        peer = self._last_peer.to_bytes(8, "big")
        self._queues[peer] = queue = FrameQueue(self._writable)
        async with asyncio.TaskGroup() as group:
            tasks = {
                group.create_task(self._read(peer, context)),
                group.create_task(_write(queue, context)),
            }
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                queue.close()
                if self._queues.pop(peer, None) is not None and self._user is not None:
                    self._user.on_disconnect()
                await asyncio.wait(tasks, timeout=CLOSE_GRACE_S)
                for task in tasks:
                    task.cancel()

    async def _read(self, peer: bytes, context: Any) -> None:
        """Until the peer closes the call, or says nothing for so long that it is none of ours."""
        patience_s = GREETING_S
        while True:
            try:
                async with asyncio.timeout(patience_s):
                    message = await context.read()
            except TimeoutError:
                log.warning("a peer is hung up: nothing was heard for %g s", patience_s)
                return
            if message is grpc.aio.EOF:
                return
            patience_s = QUIET_S
            for frame in frames_of(message):
                if self._user is None or peer not in self._queues:
                    return
                self._user.on_peer_frame(peer, frame)

    def _free_port(self, address: str, port: int) -> int:
        """Fails here where gRPC would not say why it cannot listen. Raises ``PortInUse``."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                # As gRPC does: a port in TIME_WAIT is free, one with a listener is not.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except OSError as error:
            if port and error.errno == errno.EADDRINUSE:
                raise self._taken() from None
            raise ConfigError(f"cannot listen at {self._bind}: {error.strerror}") from None
        return port

    def _taken(self) -> PortInUse:
        return PortInUse(
            f"{self._bind} is taken by another process; stop it, or give another port "
            "(port 0 picks a free one)"
        )


async def _refuse(context: Any, error: MeshError) -> None:
    await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, error.message)


async def _write(queue: FrameQueue, context: Any) -> None:
    try:
        while (message := await queue.message()) is not None:
            await context.write(message)
    except grpc.aio.BaseError as error:
        log.debug("a call is over: %s", error)  # the reader learns why
