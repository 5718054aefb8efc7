"""One peer's session on a listening node: its open attempts and what waits to be sent to it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from mesh.errors import Unreachable
from mesh.transport import frames
from mesh.transport.base import Attempt, Failed, Refused
from mesh.transport.frames import MIN_SILENCE_BEATS, FrameType, Hello
from mesh.transport.sink import AttemptSink
from mesh.transport.wire import MAX_BATCH_BYTES, MAX_BATCH_FRAMES

MAX_OPEN_STREAMS = 4_096  # per peer, cancelled ones count until their handler has ended
MAX_PEER_OPEN_BYTES = 256 * 1024 * 1024  # all open attempts of one peer, as they came off the wire
MAX_WAITING_REFUSALS = 1_024  # for a peer that goes on opening and reads nothing

INTERNAL = Failed(code="internal", message="a defect in the node's handler; see the node's log")

log = logging.getLogger(__name__)


class PeerOwner(Protocol):
    """The listener, as its peers' sessions see it."""

    def transmit(self, peer: bytes, batch: Sequence[bytes]) -> bool:
        """As ``WireServer.send``."""
        ...

    def hold(self, session: PeerSession) -> bool:
        """Whether what is not urgent is to wait for the turn's end; marks the wire as busy and
        puts the session down for that moment."""
        ...

    def gone(self, session: PeerSession, reason: str) -> None: ...


class PeerSession:
    """Sends a sink's frames at once while the wire is idle; else sinks stand in line, their tokens
    are put together meanwhile, and all of the line leaves as one batch. Session frames go first;
    of pings, pongs and heartbeats only the newest waits."""

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
        self._unsent: list[bytes] = []  # the batch that a full wire did not take; it goes first

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
        if self._open_bytes + frame_bytes > MAX_PEER_OPEN_BYTES:
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
        sink.task = None  # a cancelled task keeps its frames, and they the sink
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
        self._newest.clear()
        self._refusals.clear()
        self._unsent = []

    def _drop(self, sink: AttemptSink, reason: str) -> None:
        sink.lose(reason)
        if sink.task is not None:
            sink.task.cancel()

    # What goes to the peer.

    def tell(self, kind: FrameType, frame: bytes) -> None:
        """A session frame. While the wire is full, a newer one replaces an older of its kind."""
        if self.blocked:
            self._newest[kind] = frame
        elif self.alive:
            self._put([frame])

    def refuse(self, stream: int, code: str, message: str) -> None:
        frame = frames.encode_event(stream, Refused(code=code, message=message))
        if not self.blocked:
            self._put([frame])
            return
        self._refusals.append(frame)
        if len(self._refusals) > MAX_WAITING_REFUSALS:
            self._owner.gone(self, "it opens attempts and does not read the answers")

    def ready(self, sink: AttemptSink, *, urgent: bool) -> None:
        if not self.alive or (sink.queued and not urgent):
            return
        busy = self._owner.hold(self)
        if self.blocked or (busy and not urgent):
            if not sink.queued:
                sink.queued = True
                self._line.append(sink)
        else:
            self._put(self._take(sink))

    def flush(self) -> bool:
        """Sends what waits, as far as the wire takes it; whether anything was sent."""
        sent = False
        self.blocked = False
        unsent, self._unsent = self._unsent, []
        batch = unsent or self._gather()
        while batch and self.alive and self._put(batch):
            sent = True
            batch = self._gather()
        return sent

    def _gather(self) -> list[bytes]:
        """The next frames to go together: the session's own first, then of sinks in their turn."""
        batch = list(self._newest.values())
        self._newest.clear()
        while self._refusals and len(batch) < MAX_BATCH_FRAMES:
            batch.append(self._refusals.popleft())
        size = 0
        while self._line and len(batch) < MAX_BATCH_FRAMES and size < MAX_BATCH_BYTES:
            sink = self._line.popleft()
            sink.queued = False
            taken = self._take(sink)
            batch += taken
            size += sum(map(len, taken))
        return batch

    def _take(self, sink: AttemptSink) -> list[bytes]:
        if sink.ended:
            self._sinks.pop(sink.id, None)
        return sink.take()

    def _put(self, batch: list[bytes]) -> bool:
        """False: the wire is full and the batch waits, or the peer is gone."""
        if not batch:
            return True
        try:
            taken = self._owner.transmit(self.peer, batch)
        except Unreachable as error:
            self._owner.gone(self, error.message)
            return False
        if not taken:
            self.blocked = True
            self._unsent = batch
            self._owner.hold(self)
        return taken
