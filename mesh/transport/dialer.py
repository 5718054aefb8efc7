"""What every dialer does alike: its hello, and a link for each node. A transport adds its wire."""

from __future__ import annotations

import random
import secrets
from abc import ABC, abstractmethod

from mesh.clock import Clock
from mesh.fleet.records import PROTOCOL_VERSION
from mesh.settings.timing import Timing
from mesh.transport.base import OnHeartbeat, OnLink
from mesh.transport.frames import Hello
from mesh.transport.link import FramedLink
from mesh.transport.wire import Wire, WireUser
from mesh.types import NodeId


class FramedDialer(ABC):
    """A ``Dialer``. ``name`` is the dialing node's or orchestrator's, for the other end's log."""

    def __init__(self, name: str, timing: Timing, clock: Clock, rng: random.Random) -> None:
        self.timing = timing
        self._clock = clock
        self._rng = rng
        self._hello = Hello(
            protocol=PROTOCOL_VERSION,
            name=name,
            instance=secrets.token_hex(8),
            heartbeat_s=timing.heartbeat_s,
        )

    @abstractmethod
    async def connect(self, endpoint: str, user: WireUser) -> Wire:
        """One try, within ``timing.connect_timeout_s``. Raises ``Unreachable``."""

    def link(
        self, endpoint: str, node: NodeId, on_heartbeat: OnHeartbeat, on_link: OnLink
    ) -> FramedLink:
        return FramedLink(
            connect=lambda user: self.connect(endpoint, user),
            endpoint=endpoint,
            node=node,
            hello=self._hello,
            timing=self.timing,
            clock=self._clock,
            rng=self._rng,
            on_heartbeat=on_heartbeat,
            on_link=on_link,
        )
