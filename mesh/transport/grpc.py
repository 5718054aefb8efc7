"""The data plane over gRPC: one bidirectional stream a link, the same frames as everywhere."""

from __future__ import annotations

import random
import secrets

from mesh.clock import Clock
from mesh.config import Timing
from mesh.records import PROTOCOL_VERSION
from mesh.transport.address import bracketed, resolve
from mesh.transport.base import OnHeartbeat, OnLink
from mesh.transport.frames import Hello
from mesh.transport.grpc_wire import CallWire, SessionServer
from mesh.transport.link import FramedLink
from mesh.transport.listener import FramedListener
from mesh.transport.wire import Wire, WireUser
from mesh.types import NodeId


class GrpcDialer:
    """A ``Dialer``; endpoints are ``grpc://host:port``. ``name`` is the dialing node's or
    orchestrator's, for the other end's log."""

    def __init__(self, name: str, timing: Timing, clock: Clock, rng: random.Random) -> None:
        self._timing = timing
        self._clock = clock
        self._rng = rng
        self._hello = Hello(
            protocol=PROTOCOL_VERSION,
            name=name,
            instance=secrets.token_hex(8),
            heartbeat_s=timing.heartbeat_s,
        )

    def link(
        self, endpoint: str, node: NodeId, on_heartbeat: OnHeartbeat, on_link: OnLink
    ) -> FramedLink:
        timeout_s = self._timing.connect_timeout_s

        async def connect(user: WireUser) -> Wire:
            host, port = await resolve(endpoint, timeout_s)
            return CallWire(f"{bracketed(host)}:{port}", user)

        return FramedLink(
            connect=connect,
            endpoint=endpoint,
            node=node,
            hello=self._hello,
            timing=self._timing,
            clock=self._clock,
            rng=self._rng,
            on_heartbeat=on_heartbeat,
            on_link=on_link,
        )


class GrpcListener(FramedListener):
    """A ``Listener`` at ``bind`` (``tcp://host:port`` or ``grpc://host:port``, port 0 for a free
    one); ``bind`` it inside the event loop. ``advertise``: as in ``ZeroMQListener``."""

    def __init__(
        self,
        bind: str,
        node_id: NodeId,
        instance: str,
        timing: Timing,
        clock: Clock,
        advertise: str | None = None,
    ) -> None:
        super().__init__(
            wire=SessionServer(bind, advertise),
            node=node_id,
            instance=instance,
            timing=timing,
            clock=clock,
        )
