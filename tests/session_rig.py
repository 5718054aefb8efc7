"""A session with one node on a wire that takes what a test lets it take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mesh.clock import ManualClock
from mesh.fleet.records import PROTOCOL_VERSION, Heartbeat
from mesh.settings.timing import Timing
from mesh.transport import frames
from mesh.transport.frames import Frame, FrameType, Hello, Welcome
from mesh.transport.session import DialSession
from tests.transport_rig import NODE

TIMING = Timing(lease_ttl_s=9, heartbeat_s=1.0, peer_timeout_s=5.0, connect_timeout_s=3.0)


class FakeWire:
    def __init__(self) -> None:
        self.full = False
        self.closed = 0
        self.nudged = 0
        self.batches: list[list[bytes]] = []

    async def run(self) -> None: ...

    def send(self, frames: Sequence[bytes]) -> bool:
        if self.full:
            return False
        self.batches.append(list(frames))
        return True

    def nudge(self) -> None:
        self.nudged += 1

    def close(self) -> None:
        self.closed += 1

    @property
    def sent(self) -> list[Frame]:
        return [frames.decode(frame) for batch in self.batches for frame in batch]


class StoppableClock(ManualClock):
    def stand_still(self, seconds: float) -> None:
        """Time goes by and nobody runs: a stopped process. Who slept wakes at the next advance."""
        self._now += seconds


class SessionRig:
    """Made inside a running loop. ``sent`` leaves out the greeting."""

    def __init__(self, *, up: bool = True, heartbeat_s: float = 1.0) -> None:
        self.clock = StoppableClock()
        self.wire = FakeWire()
        self.heartbeats: list[Heartbeat] = []
        self.ups: list[bool] = []
        self.session = DialSession(
            hello=Hello(protocol=PROTOCOL_VERSION, name="o"),
            node=NODE,
            timing=TIMING,
            clock=self.clock,
            on_heartbeat=self.heartbeats.append,
            on_link=self.ups.append,
        )
        self.session.start(self.wire)
        if up:
            self.welcome(heartbeat_s=heartbeat_s)

    def welcome(self, **changes: Any) -> None:
        plain = {"protocol": PROTOCOL_VERSION, "node": NODE, "instance": "i", "heartbeat_s": 1.0}
        self.say(FrameType.WELCOME, 0, Welcome(**(plain | changes)))

    def say(self, kind: FrameType, stream: int = 0, body: frames.Body = None) -> None:
        self.session.on_frame(frames.encode(kind, stream, body))

    @property
    def sent(self) -> list[Frame]:
        return self.wire.sent[1:]

    @property
    def kinds(self) -> list[FrameType]:
        return [frame.kind for frame in self.sent]

    @property
    def reason(self) -> str | None:
        """Why the session ended; None while it has not."""
        ended = self.session.ended
        return ended.result() if ended.done() else None
