"""The data plane over gRPC: one bidirectional stream a link, the same frames as everywhere."""

from __future__ import annotations

from mesh.clock import Clock
from mesh.settings.timing import Timing
from mesh.transport.address import bracketed, resolve
from mesh.transport.dialer import FramedDialer
from mesh.transport.grpc_wire import CallWire, SessionServer
from mesh.transport.listener import FramedListener
from mesh.transport.wire import Wire, WireUser
from mesh.types import NodeId


class GrpcDialer(FramedDialer):
    """A ``Dialer``; endpoints are ``grpc://host:port``."""

    async def connect(self, endpoint: str, user: WireUser) -> Wire:
        host, port = await resolve(endpoint, self.timing.connect_timeout_s)
        return CallWire(f"{bracketed(host)}:{port}", user)


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
