"""One peer's session on a listening node: its open attempts and what waits to be sent to it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Protocol

from mesh.errors import Unreachable
from mesh.transport import frames
from mesh.transport.base import Attempt, Failed, Refused
from mesh.transport.frames import FrameType, Hello
from mesh.transport.sink import AttemptSink

MAX_OPEN_STREAMS = 4_096  # per peer, cancelled ones count until their handler has ended
MAX_OPEN_BYTES = 256 * 1024 * 1024  # of all attempts a peer has open, as they came off the wire
MAX_WAITING_REFUSALS = 1_024  # for a peer that goes on opening and reads nothing
MIN_SILENCE_BEATS = 3

INTERNAL = Failed(code="internal", message="a defect in the node's handler; see the node's log")

log = logging.getLogger(__name__)


class PeerOwner(Protocol):
    """The listener, as its peers' sessions see it."""

    def transmit(self, peer: bytes, frame: bytes) -> bool:
        """As ``WireServer.send``."""
        ...

    def hold(self, session: PeerSession) -> bool:
        """Whether what is not urgent is to wait for the turn's end; marks the wire as busy and
        puts the session down for that moment."""
        ...

    def gone(self, session: PeerSession, reason: str) -> None: ...


class PeerSession:
    """Sends a sink's frames at once while the wire is idle; else sinks stand in line, one turn of
    frames each, and their tokens are put together meanwhile. Session frames go first; of pings,
    pongs and heartbeats only the newest waits."""

    def __init__(self, owner: PeerOwner, peer: bytes, hello: Hello, now: float, silence_s: float):
        self.peer = peer
        self.name = hello.name
        self.last_heard = now
        self.silence_s = max(silence_s, MIN_SILENCE_BEATS * hello.heartbeat_s)
        self.blocked = False
        self.alive = True
        self._owner = owner
        self._sinks: dict[int, AttemptSink] = {}
        self._last_stream = 0
        self._running = 0
        self._open_bytes = 0
        self._line: deque[AttemptSink] = deque()
        self._newest: dict[FrameType, bytes] = {}
        self._refusals: deque[bytes] = deque()

    # What the peer sent.

    def accepts(self, stream: int) -> bool:
        """Whether that number may be opened: numbers only go up."""
        return stream > self._last_stream

    def admit(self, stream: int, attempt: Attempt, frame_bytes: int) -> AttemptSink | None:
        """The sink of a new attempt, None when it was refused."""
        self._last_stream = stream
        is_open = max(self._running, len(self._sinks))  # unread ends count, and slow handlers do
        if is_open >= MAX_OPEN_STREAMS:
            self.refuse(stream, "overloaded", f"{is_open} attempts are open on this link")
            return None
        if self._open_bytes + frame_bytes > MAX_OPEN_BYTES:
            self.refuse(stream, "overloaded", "the open attempts of this link are too large")
            return None
        sink = AttemptSink(self, stream, attempt, frame_bytes)
        self._sinks[stream] = sink
        self._running += 1
        self._open_bytes += frame_bytes
        return sink

    def credit(self, stream: int, pieces: int) -> bool:
        """False for a stream that was never opened; one that has ended needs no credit."""
        sink = self._sinks.get(stream)
        if sink is not None:
            sink.add_credit(pieces)
        return sink is not None or 0 < stream <= self._last_stream

    def cancel(self, stream: int) -> bool:
        """False for a stream that was never opened; one that has ended is left alone."""
        sink = self._sinks.pop(stream, None)
        if sink is not None:
            self._drop(sink, "the peer cancelled the attempt")
        return sink is not None or 0 < stream <= self._last_stream

    def handler_done(self, sink: AttemptSink, task: asyncio.Task[None], *, stopping: bool) -> None:
        """Its task has ended, in whatever way, perhaps before its first step. ``stopping``: the
        listener cancels its handlers; the peers hear of that by the session's end."""
        self._running -= 1
        self._open_bytes -= sink.frame_bytes
        ours = stopping or not self.alive or self._sinks.get(sink.id) is not sink
        if task.cancelled() and not ours and not sink.ended:
            log.error("a handler for peer %r cancelled itself", self.name)
            sink.finish(INTERNAL)

    def end(self, reason: str) -> None:
        """Cancels all that the peer has open. Idempotent."""
        self.alive = False
        sinks, self._sinks = self._sinks, {}
        for sink in sinks.values():
            self._drop(sink, reason)
        self._line.clear()

    def _drop(self, sink: AttemptSink, reason: str) -> None:
        sink.lose(reason)
        if sink.task is not None:
            sink.task.cancel()

    # What goes to the peer.

    def tell(self, kind: FrameType, frame: bytes) -> None:
        """A session frame. While the wire is full, a newer one replaces an older of its kind."""
        if not self.alive:
            return
        if self.blocked or not self._put(frame):
            self._newest[kind] = frame

    def refuse(self, stream: int, code: str, message: str) -> None:
        frame = frames.encode_event(stream, Refused(code=code, message=message))
        if self.blocked or not self._put(frame):
            self._refusals.append(frame)
            if len(self._refusals) > MAX_WAITING_REFUSALS:
                self._owner.gone(self, "it opens attempts and does not read the answers")

    def ready(self, sink: AttemptSink, *, urgent: bool) -> None:
        if not self.alive or (sink.queued and not urgent):
            return
        if (self._owner.hold(self) and not urgent) or self.blocked:
            if not sink.queued:
                sink.queued = True
                self._line.append(sink)
        elif not self._send_all(sink) and not sink.queued:
            sink.queued = True
            self._line.append(sink)

    def flush(self) -> bool:
        """Sends what waits, as far as the wire takes it; whether anything was sent."""
        self.blocked = False
        sent = False
        while self.alive and not self.blocked:
            if self._newest:
                kind = next(iter(self._newest))
                if self._put(self._newest[kind]):
                    del self._newest[kind]
                    sent = True
            elif self._refusals:
                if self._put(self._refusals[0]):
                    self._refusals.popleft()
                    sent = True
            elif self._line:
                sink = self._line[0]
                sent = sent or not sink.empty
                if self._send_all(sink) and self._line:
                    self._line.popleft()
                    sink.queued = False
            else:
                break
        return sent

    def _send_all(self, sink: AttemptSink) -> bool:
        """Whether all that the sink holds went out."""
        while (frame := sink.head()) is not None:
            if not self._put(frame):
                return False
            sink.sent()
        if sink.ended:
            self._sinks.pop(sink.id, None)
        sink.wake()
        return True

    def _put(self, frame: bytes) -> bool:
        try:
            taken = self._owner.transmit(self.peer, frame)
        except Unreachable as error:
            self._owner.gone(self, error.message)
            return False
        if not taken:
            self.blocked = True
            self._owner.hold(self)
        return taken
