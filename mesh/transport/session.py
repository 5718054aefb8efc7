"""One session of a dialing process with one node: from HELLO to the loss of its wire."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from itertools import islice

from mesh.clock import Clock
from mesh.errors import DeadlineExceeded, InvalidRequest, NodeLost, ProtocolError
from mesh.fleet.records import PROTOCOL_VERSION, Heartbeat
from mesh.settings.timing import Timing
from mesh.transport import frames
from mesh.transport.base import (
    Accepted,
    Attempt,
    Failed,
    Finished,
    OnHeartbeat,
    OnLink,
    Progress,
    Refused,
    Tokens,
    Vectors,
)
from mesh.transport.frames import MIN_SILENCE_BEATS, Bye, Credit, FrameType, Hello, Reject, Welcome
from mesh.transport.stream import DialedStream
from mesh.transport.wire import MAX_BATCH_FRAMES, Wire
from mesh.types import NodeId

MAX_OUTBOX_BYTES = 32 * 1024 * 1024  # behind a full wire; beyond it the node counts as lost

log = logging.getLogger(__name__)


class DialSession:
    """A wire's user. It ends once, by ``end``, and every stream that is open then loses its node.

    Sends never wait (``open``, ``grant`` and ``cancel`` are plain calls), so frames that a full
    wire does not take are kept here, up to ``MAX_OUTBOX_BYTES``; grants are put together meanwhile.
    """

    def __init__(
        self,
        *,
        hello: Hello,
        node: NodeId,
        timing: Timing,
        clock: Clock,
        on_heartbeat: OnHeartbeat,
        on_link: OnLink,
    ) -> None:
        self.up = False
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._hello = hello
        self._node = node
        self._clock = clock
        self._heartbeat_s = timing.heartbeat_s
        self._silence_s = timing.peer_timeout_s
        self._handshake_by = clock.now() + timing.connect_timeout_s
        self._last_heard = clock.now()
        self._on_heartbeat = on_heartbeat
        self._on_link = on_link
        self._wire: Wire | None = None
        self._streams: dict[int, DialedStream] = {}
        self._last_stream = 0
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._credit_due: dict[int, DialedStream] = {}

    @property
    def heard(self) -> bool:
        """Up, and not silent for longer than the node is given."""
        return self.up and self._clock.now() - self._last_heard <= self._silence_s

    def start(self, wire: Wire) -> None:
        self._wire = wire
        self._send(frames.encode(FrameType.HELLO, 0, self._hello))

    async def watch(self) -> None:
        """Pings, and ends the session when the handshake or the node's next sign of life is late.
        Returns when the session has ended."""
        next_ping = self._clock.now()
        while not self.ended.done():
            now = self._clock.now()
            if not self.up and now >= self._handshake_by:
                self.end("no answer to the handshake in time")
                return
            if self.up and now >= self._last_heard + self._silence_s:
                self.end(f"nothing heard for {self._silence_s:g} s")
                return
            if self.up and now >= next_ping:
                self._send(frames.encode(FrameType.PING, 0))
                next_ping = now + self._heartbeat_s
            until = self._last_heard + self._silence_s if self.up else self._handshake_by
            pause = min(until - now, self._heartbeat_s)
            await self._clock.sleep(pause)
            if self._clock.now() - now - pause > self._silence_s / 2:
                # This process itself was not running (stopped, or its loop blocked): what the node
                # sent meanwhile is still to be read, so its silence starts to count afresh.
                self._last_heard = self._clock.now()

    def open(self, attempt: Attempt) -> DialedStream:
        """Raises ``NodeLost`` when the session is not up, ``DeadlineExceeded`` when no time is
        left, ``InvalidRequest`` when the attempt is too large or no node would accept its values.
        """
        if attempt.timeout_s <= 0:
            raise DeadlineExceeded(
                "no time is left to try another node", request_id=attempt.request_id
            )
        if not self.heard:
            raise NodeLost(
                f"no link to node {self._node} right now",
                node_id=self._node,
                request_id=attempt.request_id,
            )
        try:
            frame = frames.encode(FrameType.OPEN, self._last_stream + 1, attempt)
        except ProtocolError as error:
            raise InvalidRequest(
                f"the request cannot be sent: {error.message}", request_id=attempt.request_id
            ) from None
        self._last_stream += 1
        stream = DialedStream(self, self._last_stream, self._node, attempt)
        self._streams[stream.id] = stream
        self._send(frame)
        return stream

    def end(self, reason: str, *, bye: bool = False) -> None:
        """Idempotent. ``bye``: the node is told why, as far as its wire still takes it."""
        if self.ended.done():
            return
        self.ended.set_result(reason)
        was_up, self.up = self.up, False
        if self._wire is not None:
            if bye:
                self._wire.send((frames.encode(FrameType.BYE, 0, Bye(reason=reason[:200])),))
            self._wire.close()
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.lose(f"node {self._node} was lost: {reason}")
        if was_up:
            self._on_link(False)

    # Called by streams.

    def credit_due(self, stream: DialedStream) -> None:
        if not self._credit_due and self._wire is not None and not self.ended.done():
            self._wire.nudge()
        self._credit_due[stream.id] = stream

    def cancelled(self, stream: DialedStream) -> None:
        self._credit_due.pop(stream.id, None)
        if self._streams.pop(stream.id, None) is not None:
            self._send(frames.encode(FrameType.CANCEL, stream.id))

    # Called by the wire.

    def on_frame(self, frame: bytes) -> None:
        if self.ended.done():
            return
        self._last_heard = self._clock.now()
        try:
            self._handle(*frames.decode(frame))
        except ProtocolError as error:
            log.warning("node %s: session ended: %s", self._node, error.message)
            self.end(f"protocol error: {error.message}", bye=True)

    def on_writable(self) -> None:
        while self._wire is not None and not self.ended.done():
            if not self._outbox:
                self._write_grants()
            if not self._outbox:
                return
            batch = list(islice(self._outbox, MAX_BATCH_FRAMES))
            if not self._wire.send(batch):
                return
            for frame in batch:
                self._outbox.popleft()
                self._outbox_bytes -= len(frame)

    def on_lost(self, reason: str) -> None:
        self.end(reason)

    def _send(self, frame: bytes) -> None:
        if self._wire is None or self.ended.done():
            return
        if not self._outbox and self._wire.send((frame,)):
            return
        self._keep(frame)

    def _write_grants(self) -> None:
        due, self._credit_due = self._credit_due, {}
        for stream in due.values():
            while pieces := stream.take_grant():
                self._keep(frames.encode(FrameType.CREDIT, stream.id, Credit(pieces=pieces)))

    def _keep(self, frame: bytes) -> None:
        self._outbox.append(frame)
        self._outbox_bytes += len(frame)
        if self._outbox_bytes > MAX_OUTBOX_BYTES:
            self.end("it reads nothing any more")

    def _handle(self, kind: FrameType, stream: int, body: frames.Body) -> None:
        match body:
            case Tokens() | Vectors() | Progress() | Accepted() | Finished() | Refused() | Failed():
                target = self._streams.get(stream)
                if target is not None:
                    if target.deliver(body):
                        del self._streams[stream]
                        self._credit_due.pop(stream, None)
                elif not 0 < stream <= self._last_stream:
                    raise ProtocolError(f"{kind.name} for stream {stream}, which was never opened")
            case Heartbeat():
                if body.node != self._node:
                    raise ProtocolError(f"a heartbeat of another node, {body.node!r}")
                if self.up:
                    self._on_heartbeat(body)
            case None if kind is FrameType.PING:
                self._send(frames.encode(FrameType.PONG, 0))
            case None if kind is FrameType.PONG:
                pass
            case Welcome() if not self.up:
                self._welcome(body)
            case Reject() if not self.up:
                self.end(f"it refused the handshake: {body.reason[:200]!r}")
            case Bye():
                self.end(f"it ended the session: {body.reason[:200]!r}")
            case _:
                raise ProtocolError(f"{kind.name} may not come from a node now")

    def _welcome(self, welcome: Welcome) -> None:
        if welcome.protocol != PROTOCOL_VERSION:
            self.end(
                f"it speaks protocol {welcome.protocol}, this process {PROTOCOL_VERSION}", bye=True
            )
        elif welcome.node != self._node:
            self.end(f"another node answers at this address: {welcome.node!r}", bye=True)
        else:
            self._silence_s = max(self._silence_s, MIN_SILENCE_BEATS * welcome.heartbeat_s)
            self.up = True
            self._on_link(True)
