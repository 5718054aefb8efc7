"""A node's end of the data plane, over any wire: sessions by peer, one task per attempt."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from mesh.clock import Clock
from mesh.errors import MeshError, ProtocolError, Unreachable
from mesh.fleet.records import PROTOCOL_VERSION, Heartbeat
from mesh.settings.timing import Timing
from mesh.transport import frames
from mesh.transport.base import Attempt, Failed, Handler
from mesh.transport.frames import Bye, Credit, FrameType, Hello, Reject, Welcome
from mesh.transport.peer import INTERNAL, PeerSession
from mesh.transport.sink import AttemptSink
from mesh.transport.wire import WireServer
from mesh.types import NodeId

MAX_PEERS = 4_096
# After a connection closed, its peer is looked for at once and, as the wire may still be letting go
# of it, twice more, these seconds apart. Peers that vanish unseen are found by their silence.
PROBE_PAUSES_S = (0.0, 0.02, 0.1)

log = logging.getLogger(__name__)


class FramedListener:
    """A ``Listener``. The wire counts as busy from a frame's sending to the loop's next turn; what
    is sent meanwhile leaves in that turn."""

    def __init__(
        self, *, wire: WireServer, node: NodeId, instance: str, timing: Timing, clock: Clock
    ) -> None:
        self._wire = wire
        self._node = node
        self._timing = timing
        self._clock = clock
        welcome = Welcome(
            protocol=PROTOCOL_VERSION,
            node=node,
            instance=instance,
            heartbeat_s=timing.heartbeat_s,
        )
        self._welcome_frame = frames.encode(FrameType.WELCOME, 0, welcome)
        self._beat_kind = FrameType.PING  # until the node has given a heartbeat
        self._beat = frames.encode(FrameType.PING, 0)
        self._sessions: dict[bytes, PeerSession] = {}
        self._waiting: dict[bytes, PeerSession] = {}  # have something for the next turn
        self._busy = False
        self._spawn: Callable[[PeerSession, AttemptSink, Attempt], None] | None = None
        self._disconnected = asyncio.Event()

    @property
    def endpoint(self) -> str:
        return self._wire.endpoint

    def bind(self) -> None:
        """Raises ``PortInUse`` naming the address, ``ConfigError`` when it is not one of ours."""
        self._wire.bind()

    async def run(self, handler: Handler) -> None:
        self._wire.start(self)
        async with asyncio.TaskGroup() as carrier:
            carrier.create_task(self._wire.run())
            try:
                await self._serve_peers(handler)
            finally:
                # Here, while the wire still runs: it carries the last words.
                for session in list(self._sessions.values()):
                    self._end(session, "the node has stopped", level=logging.INFO)
                self._wire.close()

    async def _serve_peers(self, handler: Handler) -> None:
        async with asyncio.TaskGroup() as group:

            def spawn(session: PeerSession, sink: AttemptSink, attempt: Attempt) -> None:
                task = group.create_task(self._serve(handler, session, sink, attempt))
                sink.task = task
                task.add_done_callback(
                    lambda done: session.handler_done(sink, done, stopping=self._spawn is None)
                )

            self._spawn = spawn
            group.create_task(self._probe())
            try:
                await self._tick()
            finally:
                self._spawn = None  # the group takes no more tasks

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """Raises ``ProtocolError`` when it is too large or no peer would accept its values."""
        self._beat = frames.encode(FrameType.HEARTBEAT, 0, heartbeat)
        self._beat_kind = FrameType.HEARTBEAT
        for session in list(self._sessions.values()):
            session.tell(self._beat_kind, self._beat)

    # Tasks.

    async def _serve(
        self, handler: Handler, session: PeerSession, sink: AttemptSink, attempt: Attempt
    ) -> None:
        """One attempt. Nothing but cancellation leaves it, or it would end all the others."""
        try:
            await handler(attempt, sink)
        except MeshError as error:
            if sink.ended:
                log.warning("attempt %s failed after its end: %s", attempt.request_id, error)
            sink.finish(Failed(code=error.code, message=error.message))
        except Exception:
            log.exception(
                "the handler of attempt %s (peer %r) raised", attempt.request_id, session.name
            )
            sink.finish(INTERNAL)
        else:
            if not sink.ended:
                log.error("the handler of attempt %s returned without an end", attempt.request_id)
                sink.finish(INTERNAL)

    async def _tick(self) -> None:
        """Tells every peer that the node lives; ends the sessions of silent ones."""
        interval = min(self._timing.heartbeat_s, self._timing.peer_timeout_s / 3)
        while True:
            began = self._clock.now()
            await self._clock.sleep(interval)
            now = self._clock.now()
            for session in list(self._sessions.values()):
                if now - began - interval > session.silence_s / 2:
                    session.last_heard = now  # this process stood still, not the peer
                elif now - session.last_heard > session.silence_s - interval:
                    self._end(session, f"nothing heard for {session.silence_s:g} s")
                else:
                    session.tell(self._beat_kind, self._beat)
            self.on_writable()

    async def _probe(self) -> None:
        while True:
            await self._disconnected.wait()
            self._disconnected.clear()
            ping = frames.encode(FrameType.PING, 0)
            for pause in PROBE_PAUSES_S:
                await self._clock.sleep(pause)
                for session in list(self._sessions.values()):
                    session.tell(FrameType.PING, ping)

    # Called by the wire.

    def on_peer_frame(self, peer: bytes, frame: bytes) -> None:
        session = self._sessions.get(peer)
        try:
            kind, stream, body = frames.decode(frame)
            if session is None:
                self._greet(peer, kind, body)
            else:
                session.last_heard = self._clock.now()
                self._handle(session, kind, stream, body, len(frame))
        except ProtocolError as error:
            if session is None:
                self._answer(peer, FrameType.BYE, Bye(reason=error.message[:200]))
            else:
                self._end(session, f"protocol error: {error.message}")

    def on_writable(self) -> None:
        waiting, self._waiting = self._waiting, {}
        self._busy = True  # what is put down while this runs waits for the next turn
        sent = False
        for session in waiting.values():
            sent = session.flush() or sent
        self._busy = sent
        if sent:
            self._wire.nudge()

    def on_disconnect(self) -> None:
        self._disconnected.set()

    # Called by peers' sessions.

    def transmit(self, peer: bytes, batch: Sequence[bytes]) -> bool:
        return self._wire.send(peer, batch)

    def hold(self, session: PeerSession) -> bool:
        self._waiting[session.peer] = session
        was_busy, self._busy = self._busy, True
        if not was_busy:
            self._wire.nudge()
        return was_busy

    def gone(self, session: PeerSession, reason: str) -> None:
        if self._sessions.get(session.peer) is session:
            log.info("peer %r: session ended: %s", session.name, reason)
            del self._sessions[session.peer]
        self._waiting.pop(session.peer, None)
        session.end(reason)

    # What peers say.

    def _greet(self, peer: bytes, kind: FrameType, body: frames.Body) -> None:
        match body:
            case Hello() if body.protocol != PROTOCOL_VERSION:
                self._reject(
                    peer,
                    f"this node speaks protocol {PROTOCOL_VERSION}, you speak {body.protocol}: "
                    "run the same version of squadron-mesh on both",
                )
            case Hello() if len(self._sessions) >= MAX_PEERS:
                self._reject(peer, f"this node already has {MAX_PEERS} peers")
            case Hello():
                session = PeerSession(
                    self, peer, body, self._clock.now(), self._timing.peer_timeout_s
                )
                self._sessions[peer] = session
                session.tell(FrameType.WELCOME, self._welcome_frame)
                session.tell(self._beat_kind, self._beat)
            case Bye():
                pass  # a Bye is never answered, or two ends without a session would go on for ever
            case _:
                raise ProtocolError(f"{kind.name} before HELLO: there is no session")

    def _handle(
        self, session: PeerSession, kind: FrameType, stream: int, body: frames.Body, size: int
    ) -> None:
        match body:
            case Credit(pieces=pieces):
                if not session.credit(stream, pieces):
                    raise ProtocolError(f"CREDIT for stream {stream}, which was never opened")
            case Attempt():
                if not session.accepts(stream):
                    raise ProtocolError(f"OPEN with stream id {stream}, which is not a new one")
                if self._spawn is None:
                    session.refuse(stream, "draining", "the node is stopping")
                elif (sink := session.admit(stream, body, size)) is not None:
                    self._spawn(session, sink, body)
            case None if kind is FrameType.CANCEL:
                if not session.cancel(stream):
                    raise ProtocolError(f"CANCEL for stream {stream}, which was never opened")
            case None if kind is FrameType.PING:
                session.tell(FrameType.PONG, frames.encode(FrameType.PONG, 0))
            case None if kind is FrameType.PONG:
                pass
            case Hello():
                self.gone(session, "the peer started a new session")
                self._greet(session.peer, kind, body)
            case Bye():
                self.gone(session, f"the peer ended it: {body.reason[:200]!r}")
            case _:
                raise ProtocolError(f"{kind.name} may not come from a peer")

    def _end(self, session: PeerSession, reason: str, level: int = logging.WARNING) -> None:
        """Ends a session from this side, telling the peer why."""
        log.log(level, "peer %r: ending its session: %s", session.name, reason)
        self._answer(session.peer, FrameType.BYE, Bye(reason=reason[:200]))
        self.gone(session, reason)

    def _reject(self, peer: bytes, reason: str) -> None:
        log.warning("handshake refused: %s", reason)
        self._answer(peer, FrameType.REJECT, Reject(reason=reason))

    def _answer(self, peer: bytes, kind: FrameType, body: frames.Body) -> None:
        """Best effort: a peer that is gone or does not read needs no reason."""
        try:
            taken = self._wire.send(peer, (frames.encode(kind, 0, body),))
        except Unreachable:
            return
        if not taken:
            log.debug("%s was not sent: the peer does not read", kind.name)
